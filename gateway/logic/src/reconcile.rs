//! Desired against applied: which push goes next, and when to ask again.
//!
//! One lane per provider, in it the hosts whose newest desired addresses it has not confirmed. Latest wins: a push
//! in flight finishes, then the newest desired goes. Trouble of one host delays that host; trouble of the provider
//! (credential refused, too many calls, not answering) closes the gate of its lane, and from then on one push at a
//! time probes it.
//!
//! Nothing here sends, waits or remembers across a restart: pushes come out of [`Reconcile::next`], their ends go
//! into [`Reconcile::ended`], and [`Reconcile::wake_at`] says when to look again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use nicgate_protocol::{AddressSet, Hostname};

use crate::Now;

/// Pushes of one provider at the same time.
pub const PUSHES_PER_PROVIDER: usize = 16;
/// The shortest pause after a push that was not confirmed.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two pushes of a host that a provider does not confirm.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// The first and the longest pause after a provider refused the credential.
const AUTH_PAUSES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// A provider cannot ask for more patience than this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// How long a refused host rests before it is asked for again, unless something changes before.
const REFUSED_PAUSE: Duration = Duration::from_secs(3600);
/// So many pushes in a row without a usable answer, and the provider counts as down.
const DOWN_AFTER: u32 = 3;
/// Of pushes without a known end, so many are remembered per host.
const MOST_DOUBTED: usize = 8;

/// What kind of trouble a provider reported, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The credential is wrong, expired or not accepted.
    Auth,
    /// The credential is good and may not touch this zone, record or address.
    Denied,
    /// The provider does not hold the zone.
    NoZone,
    /// The request itself is wrong: value, name, TTL, a conflict with other records.
    Invalid,
    /// A limit of the plan is reached.
    Quota,
    /// Too many requests.
    Rate,
    /// Locked, or an earlier change still runs.
    Busy,
    /// No connection, no answer in time, a fault of the provider.
    Down,
    /// An answer of unknown shape.
    Bug,
}

impl Class {
    /// The word that the log keeps.
    #[must_use]
    pub fn error_code(self) -> &'static str {
        match self {
            Self::Auth => "provider_auth",
            Self::Denied => "provider_denied",
            Self::NoZone => "provider_no_zone",
            Self::Invalid => "provider_invalid",
            Self::Quota => "provider_quota",
            Self::Rate => "provider_rate",
            Self::Busy => "provider_busy",
            Self::Down => "provider_down",
            Self::Bug => "provider_bug",
        }
    }
}

/// How a push ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The provider publishes what was pushed.
    Confirmed,
    /// The provider said no and changed nothing.
    Refused(Class),
    /// Nobody knows, or not now.
    Unconfirmed {
        /// Why.
        class: Class,
        /// The provider asked to wait so long.
        retry_after: Option<Duration>,
        /// The change may have been made all the same.
        maybe_written: bool,
    },
}

/// One push to make now.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// To whom.
    pub provider: Arc<str>,
    /// For which host.
    pub hostname: Hostname,
    /// What shall be published.
    pub desired: AddressSet,
    /// The commit that recorded it.
    pub number: u64,
    /// 1 for the first push since the last confirmation.
    pub attempt: u32,
    /// What earlier pushes without a known end tried to publish: any of it may stand there. Empty: what was
    /// confirmed last stands.
    pub doubted: Vec<AddressSet>,
}

/// What the desired state of a host is, as the store says it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Want {
    /// What shall be published.
    pub desired: AddressSet,
    /// The commit that recorded it.
    pub number: u64,
    /// What the provider confirmed last; empty when nothing.
    pub applied: AddressSet,
    /// Whether an earlier run may have pushed `desired` and died before it heard the answer.
    pub is_doubtful: bool,
}

/// Where a host stands with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is left to do.
    Applied,
    /// The provider said no, and nothing has changed since.
    Refused,
    /// A push is on its way, or comes at this uptime or later.
    Pending(Duration),
}

/// What the operator may want to know about a host that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Pushes since the last confirmation.
    pub attempts: u32,
    /// Whether one is on its way.
    pub is_in_flight: bool,
    /// The uptime before which no other goes; `None` while one is on its way.
    pub next_try: Option<Duration>,
}

/// One host that a provider has not confirmed yet.
#[derive(Debug)]
struct Pending {
    desired: AddressSet,
    number: u64,
    applied: AddressSet,
    doubted: Vec<AddressSet>,
    attempts: u32,
    /// Not before this uptime. The queue of the lane holds the same, unless a push is in flight.
    due: Duration,
    /// The newest number that the provider refused.
    refused: Option<u64>,
    in_flight: Option<InFlight>,
}

impl Pending {
    /// Whether the provider publishes what is desired, for certain.
    fn is_applied(&self) -> bool {
        self.doubted.is_empty() && self.applied == self.desired
    }
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    desired: AddressSet,
    is_probe: bool,
}

/// Why a gate is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    Auth,
    Rate,
    Down,
}

/// Whether a provider takes pushes. Behind a closed gate nothing starts before `until`, and then one at a time.
#[derive(Clone, Copy, Debug)]
enum Gate {
    Open,
    Closed { why: Closed, until: Duration, probes: u32 },
}

/// One provider and the hosts that wait for it.
#[derive(Debug)]
struct Lane {
    gate: Gate,
    /// Pushes in a row without a usable answer.
    down_in_a_row: u32,
    in_flight: usize,
    hosts: HashMap<Hostname, Pending>,
    /// Hosts without a push in flight, the earliest due first.
    queue: BTreeSet<(Duration, Hostname)>,
    /// No longer configured; kept until its last push has ended.
    is_gone: bool,
}

impl Lane {
    fn new() -> Self {
        Self {
            gate: Gate::Open,
            down_in_a_row: 0,
            in_flight: 0,
            hosts: HashMap::new(),
            queue: BTreeSet::new(),
            is_gone: false,
        }
    }

    /// The uptime before which the gate lets nothing through.
    fn opens_at(&self) -> Duration {
        match self.gate {
            Gate::Open => Duration::ZERO,
            Gate::Closed { until, .. } => until,
        }
    }

    fn has_room(&self) -> bool {
        match self.gate {
            Gate::Open => self.in_flight < PUSHES_PER_PROVIDER,
            Gate::Closed { .. } => self.in_flight == 0,
        }
    }

    fn want(&mut self, hostname: &Hostname, want: Want, uptime: Duration) {
        let Some(pending) = self.hosts.get_mut(hostname) else {
            let doubted = if want.is_doubtful { vec![want.desired] } else { Vec::new() };
            let pending = Pending {
                desired: want.desired,
                number: want.number,
                applied: want.applied,
                doubted,
                attempts: 0,
                due: uptime,
                refused: None,
                in_flight: None,
            };
            if !pending.is_applied() {
                self.queue.insert((uptime, hostname.clone()));
                self.hosts.insert(hostname.clone(), pending);
            }
            return;
        };
        if want.number <= pending.number {
            return; // an older update, or the same asking again
        }
        pending.number = want.number;
        let has_changed = pending.desired != want.desired;
        pending.desired = want.desired;
        if pending.in_flight.is_some() {
            return; // it finishes, then the newest goes
        }
        self.queue.remove(&(pending.due, hostname.clone()));
        if pending.is_applied() {
            self.hosts.remove(hostname);
            return;
        }
        if has_changed {
            // Something new is worth a try at once; should it fail, the pause is longer than the one before.
            pending.due = uptime;
            pending.refused = None;
        } else if pending.refused.is_some() {
            pending.refused = Some(want.number); // the same again: the answer stands
        }
        self.queue.insert((pending.due, hostname.clone()));
    }

    fn next(&mut self, provider: &Arc<str>, uptime: Duration) -> Option<Push> {
        if !self.has_room() || uptime < self.opens_at() {
            return None;
        }
        let (due, _) = self.queue.first()?;
        if *due > uptime {
            return None;
        }
        let (_, hostname) = self.queue.pop_first()?;
        let pending = self.hosts.get_mut(&hostname)?;
        pending.attempts = pending.attempts.saturating_add(1);
        let is_probe = matches!(self.gate, Gate::Closed { .. });
        pending.in_flight = Some(InFlight { desired: pending.desired, is_probe });
        self.in_flight += 1;
        Some(Push {
            provider: Arc::clone(provider),
            hostname,
            desired: pending.desired,
            number: pending.number,
            attempt: pending.attempts,
            doubted: pending.doubted.clone(),
        })
    }

    fn ended(&mut self, hostname: &Hostname, end: &End, uptime: Duration, dice: u64) {
        let Some(pending) = self.hosts.get_mut(hostname) else { return };
        let Some(pushed) = pending.in_flight.take() else { return };
        self.in_flight = self.in_flight.saturating_sub(1);
        let is_still_desired = pending.desired == pushed.desired;
        pending.due = uptime;
        match end {
            End::Confirmed => {
                pending.applied = pushed.desired;
                pending.doubted.clear();
                pending.attempts = 0;
            }
            // The gate makes everybody wait; the pause lets another host be the next probe, in case only this one's
            // zone is out of bounds.
            End::Refused(Class::Auth) => pending.due += doubling(AUTH_PAUSES, pending.attempts.saturating_sub(1)),
            End::Refused(_) if is_still_desired => {
                pending.refused = Some(pending.number);
                pending.due += REFUSED_PAUSE;
            }
            End::Refused(_) | End::Unconfirmed { class: Class::Rate, .. } => {}
            End::Unconfirmed { .. } => pending.due += pause(pending.attempts, dice),
        }
        if let End::Unconfirmed { maybe_written: true, .. } = end
            && !pending.doubted.contains(&pushed.desired)
        {
            if pending.doubted.len() == MOST_DOUBTED {
                pending.doubted.remove(0);
            }
            pending.doubted.push(pushed.desired);
        }
        if self.is_gone || pending.is_applied() {
            self.hosts.remove(hostname);
        } else {
            self.queue.insert((pending.due, hostname.clone()));
        }
        self.judge_provider(end, pushed.is_probe, uptime, dice);
    }

    /// What the end of a push says about the provider as a whole.
    fn judge_provider(&mut self, end: &End, is_probe: bool, uptime: Duration, dice: u64) {
        let (class, retry_after) = match end {
            End::Confirmed => (None, None),
            End::Refused(class) => (Some(*class), None),
            End::Unconfirmed { class, retry_after, .. } => (Some(*class), *retry_after),
        };
        if let Some(asked) = retry_after {
            let asked = asked.clamp(SHORTEST_PAUSE, LONGEST_RETRY_AFTER);
            return self.close(Closed::Rate, is_probe, uptime, |_| asked);
        }
        match class {
            // Whoever refuses one host for its own sake is there and took the credential.
            None | Some(Class::Denied | Class::NoZone | Class::Invalid | Class::Quota | Class::Busy) => {
                self.down_in_a_row = 0;
                if is_probe {
                    self.gate = Gate::Open;
                }
            }
            Some(Class::Auth) => self.close(Closed::Auth, is_probe, uptime, |probes| doubling(AUTH_PAUSES, probes)),
            Some(Class::Rate) => self.close(Closed::Rate, is_probe, uptime, |probes| pause(probes + 1, dice)),
            Some(Class::Down | Class::Bug) => {
                self.down_in_a_row = self.down_in_a_row.saturating_add(1);
                if is_probe || self.down_in_a_row >= DOWN_AFTER {
                    self.close(Closed::Down, is_probe, uptime, |probes| pause(probes + 1, dice));
                }
            }
        }
    }

    /// Closes the gate, or keeps it closed for longer. Only a failed probe makes the pauses grow: pushes that were
    /// under way when the gate closed say nothing new about how long the trouble lasts.
    fn close(&mut self, why: Closed, is_probe: bool, uptime: Duration, pause: impl Fn(u32) -> Duration) {
        self.gate = match self.gate {
            Gate::Open => Gate::Closed { why, until: uptime + pause(0), probes: 0 },
            Gate::Closed { probes, .. } if is_probe => {
                let probes = probes.saturating_add(1);
                Gate::Closed { why, until: uptime + pause(probes), probes }
            }
            Gate::Closed { why: known, until, probes } => {
                // "Down" is the weakest of the three: whoever says more than that is believed.
                let why = if known == Closed::Down { why } else { known };
                Gate::Closed { why, until: until.max(uptime + pause(probes)), probes }
            }
        };
    }

    fn standing(&self, hostname: &Hostname, number: u64) -> Standing {
        let Some(pending) = self.hosts.get(hostname) else { return Standing::Applied };
        if pending.in_flight.is_some() {
            return Standing::Pending(Duration::ZERO);
        }
        if matches!(self.gate, Gate::Closed { why: Closed::Auth, .. }) || pending.refused.is_some_and(|no| no >= number)
        {
            return Standing::Refused;
        }
        Standing::Pending(pending.due.max(self.opens_at()))
    }
}

/// A pause that doubles with each attempt, with full jitter: somewhere between a second and the doubled time.
fn pause(attempt: u32, dice: u64) -> Duration {
    let longest = doubling((SHORTEST_PAUSE, LONGEST_PAUSE), attempt);
    let spread = longest.saturating_sub(SHORTEST_PAUSE).as_millis();
    let spread = u64::try_from(spread).unwrap_or(u64::MAX);
    SHORTEST_PAUSE + Duration::from_millis(dice % (spread + 1))
}

/// `first`, doubled `times` times, at most `longest`.
fn doubling((first, longest): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(longest)
}

/// All lanes. See the module.
#[derive(Debug, Default)]
pub struct Reconcile {
    lanes: BTreeMap<Arc<str>, Lane>,
}

impl Reconcile {
    /// Nothing configured, nothing to do.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a new list of providers. What waits for one that vanished is dropped, as is what `keeps` no longer sends
    /// there. Closed gates open and refused hosts are tried again, since the operator may just have cured it; only
    /// a provider that asked for patience keeps its time.
    pub fn configure(&mut self, providers: &[Arc<str>], now: Now, keeps: impl Fn(&str, &Hostname) -> bool) {
        for (name, lane) in &mut self.lanes {
            lane.is_gone = !providers.contains(name);
            lane.down_in_a_row = 0;
            if !matches!(lane.gate, Gate::Closed { why: Closed::Rate, .. }) {
                lane.gate = Gate::Open;
            }
            lane.queue.clear();
            let is_gone = lane.is_gone;
            lane.hosts.retain(|hostname, pending| pending.in_flight.is_some() || (!is_gone && keeps(name, hostname)));
            for (hostname, pending) in &mut lane.hosts {
                pending.refused = None;
                if pending.in_flight.is_none() {
                    pending.due = now.uptime;
                    lane.queue.insert((pending.due, hostname.clone()));
                }
            }
        }
        self.lanes.retain(|_, lane| !lane.is_gone || lane.in_flight > 0);
        for name in providers {
            self.lanes.entry(Arc::clone(name)).or_insert_with(Lane::new);
        }
    }

    /// The newest desired state of a host, for one provider of its zone. Repeats and older ones change nothing.
    pub fn want(&mut self, provider: &str, hostname: &Hostname, want: Want, now: Now) {
        if let Some(lane) = self.lanes.get_mut(provider).filter(|lane| !lane.is_gone) {
            lane.want(hostname, want, now.uptime);
        }
    }

    /// The next push to make now; ask until nothing comes. Whoever takes it owes an [`Self::ended`].
    #[must_use]
    pub fn next(&mut self, now: Now) -> Option<Push> {
        self.lanes
            .iter_mut()
            .filter(|(_, lane)| !lane.is_gone)
            .find_map(|(provider, lane)| lane.next(provider, now.uptime))
    }

    /// The uptime at which [`Self::next`] may have something again; `None`: not before another call of ours.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let ready = |lane: &Lane| lane.queue.first().map(|(due, _)| (*due).max(lane.opens_at()));
        self.lanes.values().filter(|lane| !lane.is_gone && lane.has_room()).filter_map(ready).min()
    }

    /// Takes the end of a push. `dice` is any random number.
    pub fn ended(&mut self, provider: &str, hostname: &Hostname, end: &End, now: Now, dice: u64) {
        let Some(lane) = self.lanes.get_mut(provider) else { return };
        lane.ended(hostname, end, now.uptime, dice);
        if lane.is_gone && lane.in_flight == 0 {
            self.lanes.remove(provider);
        }
    }

    /// Where the update with this number stands.
    #[must_use]
    pub fn standing(&self, provider: &str, hostname: &Hostname, number: u64) -> Standing {
        self.lanes.get(provider).map_or(Standing::Applied, |lane| lane.standing(hostname, number))
    }

    /// What waits for a host at a provider; `None` when nothing does.
    #[must_use]
    pub fn waiting(&self, provider: &str, hostname: &Hostname) -> Option<Waiting> {
        let lane = self.lanes.get(provider)?;
        let pending = lane.hosts.get(hostname)?;
        let is_in_flight = pending.in_flight.is_some();
        let next_try = (!is_in_flight).then(|| pending.due.max(lane.opens_at()));
        Some(Waiting { attempts: pending.attempts, is_in_flight, next_try })
    }

    /// How many pushes are on their way, to all providers.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.lanes.values().map(|lane| lane.in_flight).sum()
    }

    /// How many hosts wait, at all providers.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.lanes.values().map(|lane| lane.hosts.len()).sum()
    }
}

#[cfg(test)]
mod tests;
