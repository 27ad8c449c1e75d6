//! One configured provider and the hosts that wait for it, zone by zone, in order of due time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use nicgate_protocol::{AddressSet, Hostname};

use super::gate::{AUTH_PAUSES, doubling, pause};
use super::meter::LONGEST_CONVERSATION;
use super::{Class, End, Item, Push, Want};
use crate::state::Applied;

/// How long a refused host rests before it is asked for again, unless something changes before.
const REFUSED_PAUSE: Duration = Duration::from_secs(3600);

/// One host that the provider has not confirmed yet.
#[derive(Debug)]
pub(super) struct Pending {
    zone: Hostname,
    desired: AddressSet,
    number: u64,
    applied: AddressSet,
    doubted: Vec<AddressSet>,
    pub(super) attempts: u32,
    /// Not before this uptime. The queue of the zone holds the same, unless a push is in flight.
    pub(super) due: Duration,
    /// The newest number that the provider refused.
    pub(super) refused: Option<u64>,
    /// What is being pushed.
    pub(super) in_flight: Option<AddressSet>,
    /// So many hosts may share its next push, itself included: a host that may have spoilt a push of several travels
    /// in smaller company until it is confirmed.
    company: usize,
    /// So many calls must be free before its next push starts: more than its last one could afford.
    calls: u32,
    /// The host no longer goes to this provider; kept until its push has ended.
    is_dropped: bool,
}

impl Pending {
    fn new(want: Want, uptime: Duration) -> Self {
        Self {
            zone: want.zone,
            desired: want.desired,
            number: want.number,
            applied: want.applied,
            doubted: want.doubted,
            attempts: 0,
            due: uptime,
            refused: None,
            in_flight: None,
            company: usize::MAX,
            calls: 1,
            is_dropped: false,
        }
    }

    /// Whether the provider publishes what is desired, for certain.
    fn is_applied(&self) -> bool {
        self.doubted.is_empty() && self.applied == self.desired
    }

    pub(super) fn overtaken(&self) -> Vec<AddressSet> {
        let suspects = self.in_flight.iter().chain(&self.doubted);
        suspects.filter(|suspect| **suspect != self.desired).copied().collect()
    }

    fn doubt(&mut self, pushed: AddressSet) {
        if self.doubted.contains(&pushed) {
            return;
        }
        if self.doubted.len() == Applied::MOST_DOUBTED {
            self.doubted.remove(0);
        }
        self.doubted.push(pushed);
    }

    /// Takes the end of a push of `count` hosts. `is_split`: it was refused as a whole, and nobody knows for whose
    /// sake.
    fn ended(&mut self, pushed: AddressSet, end: End, count: usize, is_split: bool, uptime: Duration, dice: u64) {
        self.due = uptime;
        match end {
            End::Confirmed => {
                self.applied = pushed;
                self.doubted.clear();
                self.attempts = 0;
                self.company = usize::MAX;
                self.calls = 1;
            }
            // The gate makes everybody wait; the pause lets another host be the next probe, in case only this one's
            // zone is out of bounds.
            End::Refused { class: Class::Auth, .. } => {
                self.due += doubling(AUTH_PAUSES, self.attempts.saturating_sub(1));
            }
            End::Refused { .. } if is_split => self.company = 1,
            End::Refused { .. } if self.desired == pushed => {
                self.refused = Some(self.number);
                self.due += REFUSED_PAUSE;
            }
            End::Refused { .. } | End::Unconfirmed { class: Class::Rate, .. } => {}
            End::Unaffordable => self.calls = (self.calls * 2).min(LONGEST_CONVERSATION),
            End::Unconfirmed { class, .. } => {
                self.due += pause(self.attempts, dice);
                if matches!(class, Class::Bug | Class::Down) {
                    self.company = self.company.min(count.div_ceil(2));
                }
            }
        }
        if end.maybe_written() {
            self.doubt(pushed);
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) account: u64,
    pub(super) hosts_at_once: usize,
    /// Pushes.
    pub(super) in_flight: usize,
    pub(super) hosts: HashMap<Hostname, Pending>,
    /// Hosts without a push in flight, the earliest due first.
    queues: BTreeMap<Hostname, BTreeSet<(Duration, Hostname)>>,
    /// No longer configured; kept until its last push has ended.
    pub(super) is_gone: bool,
}

impl Lane {
    pub(super) fn new(account: u64, hosts_at_once: usize) -> Self {
        Self { account, hosts_at_once, in_flight: 0, hosts: HashMap::new(), queues: BTreeMap::new(), is_gone: false }
    }

    /// Whether its hosts go together, and the pushes of a zone one after the other.
    pub(super) fn is_batching(&self) -> bool {
        self.hosts_at_once > 1
    }

    /// Drops what `zone_of` no longer sends here, and has everything else tried at once.
    pub(super) fn reload(&mut self, zone_of: impl Fn(&Hostname) -> Option<Hostname>, uptime: Duration) {
        self.queues.clear();
        let is_gone = self.is_gone;
        self.hosts.retain(|hostname, pending| {
            let zone = zone_of(hostname).filter(|_| !is_gone);
            pending.is_dropped = zone.is_none();
            pending.zone = zone.unwrap_or_else(|| pending.zone.clone());
            pending.refused = None;
            pending.in_flight.is_some() || !pending.is_dropped
        });
        for (hostname, pending) in &mut self.hosts {
            if pending.in_flight.is_none() {
                // Who waited longer stays ahead.
                pending.due = pending.due.min(uptime);
                enqueue(&mut self.queues, hostname, pending);
            }
        }
    }

    pub(super) fn want(&mut self, hostname: &Hostname, want: Want, uptime: Duration) {
        let Some(pending) = self.hosts.get_mut(hostname) else {
            let pending = Pending::new(want, uptime);
            if !pending.is_applied() {
                enqueue(&mut self.queues, hostname, &pending);
                self.hosts.insert(hostname.clone(), pending);
            }
            return;
        };
        pending.is_dropped = false;
        if want.number <= pending.number {
            return; // an older update, or the same asking again
        }
        pending.number = want.number;
        want.doubted.into_iter().for_each(|doubted| pending.doubt(doubted));
        let has_changed = pending.desired != want.desired;
        pending.desired = want.desired;
        if pending.in_flight.is_some() {
            return; // it finishes, then the newest goes
        }
        if pending.is_applied() {
            dequeue(&mut self.queues, hostname, pending);
            self.hosts.remove(hostname);
        } else if has_changed {
            // Something new is worth a try at once; should it fail, the pause is longer than the one before. Whoever
            // waits already keeps its place.
            dequeue(&mut self.queues, hostname, pending);
            pending.due = pending.due.min(uptime);
            pending.refused = None;
            enqueue(&mut self.queues, hostname, pending);
        } else if pending.refused.is_some() {
            pending.refused = Some(want.number); // the same again: the answer stands
        }
    }

    /// The zone whose first host is due before all others, and when; `is_held` are zones that have to wait.
    pub(super) fn head(&self, is_held: impl Fn(&Hostname) -> bool) -> Option<(Duration, &Hostname)> {
        let zones = self.queues.iter().filter(|(zone, _)| !is_held(zone));
        zones.filter_map(|(zone, queue)| queue.first().map(|(due, _)| (*due, zone))).min()
    }

    /// Who goes together with the first host of this zone, and how many calls must be free for them.
    pub(super) fn company(&self, zone: &Hostname, uptime: Duration) -> (Vec<Hostname>, u32) {
        let (mut names, mut calls, mut most) = (Vec::new(), 1, self.hosts_at_once.max(1));
        for (due, hostname) in self.queues.get(zone).into_iter().flatten() {
            if *due > uptime || names.len() >= most {
                break;
            }
            let Some(pending) = self.hosts.get(hostname) else { continue };
            if pending.company > names.len() {
                most = most.min(pending.company);
                calls = calls.max(pending.calls);
                names.push(hostname.clone());
            }
        }
        (names, calls)
    }

    /// Takes hosts out of the queue and puts them on their way.
    pub(super) fn start(&mut self, names: Vec<Hostname>) -> Vec<Item> {
        self.in_flight += 1;
        let mut items = Vec::with_capacity(names.len());
        for hostname in names {
            let Some(pending) = self.hosts.get_mut(&hostname) else { continue };
            dequeue(&mut self.queues, &hostname, pending);
            pending.attempts = pending.attempts.saturating_add(1);
            pending.in_flight = Some(pending.desired);
            items.push(Item {
                hostname,
                desired: pending.desired,
                number: pending.number,
                attempt: pending.attempts,
                doubted: pending.doubted.clone(),
            });
        }
        items
    }

    /// Takes the ends of a push, one for each of its hosts.
    pub(super) fn ended(&mut self, push: &Push, ends: &[End], uptime: Duration, dice: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let is_split = push.is_split_by(ends);
        for (item, end) in push.items.iter().zip(ends) {
            let Some(pending) = self.hosts.get_mut(&item.hostname) else { continue };
            let Some(pushed) = pending.in_flight.take() else { continue };
            pending.ended(pushed, *end, push.items.len(), is_split, uptime, dice);
            if self.is_gone || pending.is_dropped || pending.is_applied() {
                self.hosts.remove(&item.hostname);
            } else {
                enqueue(&mut self.queues, &item.hostname, pending);
            }
        }
    }
}

fn enqueue(queues: &mut BTreeMap<Hostname, BTreeSet<(Duration, Hostname)>>, hostname: &Hostname, pending: &Pending) {
    queues.entry(pending.zone.clone()).or_default().insert((pending.due, hostname.clone()));
}

fn dequeue(queues: &mut BTreeMap<Hostname, BTreeSet<(Duration, Hostname)>>, hostname: &Hostname, pending: &Pending) {
    if let Some(queue) = queues.get_mut(&pending.zone) {
        queue.remove(&(pending.due, hostname.clone()));
        if queue.is_empty() {
            queues.remove(&pending.zone);
        }
    }
}
