//! Desired against applied: which push goes next, and when to ask again.
//!
//! One lane per provider, in it the hosts whose newest desired addresses it has not confirmed. Latest wins: a push
//! in flight finishes, then the newest desired goes. Where an API takes several hosts of a zone in one call, one push
//! of a zone is in flight and what comes in meanwhile goes together in the next (as a group commit does).
//!
//! Providers that share a credential share an account: trouble of one host delays that host; trouble of the provider
//! (credential refused, too many calls, not answering) closes the account's gate, and from then on one push at a time
//! probes it. Calls are paid from the account's budget, and whoever waited longest goes first, whatever lane it
//! stands in.
//!
//! Nothing here sends, waits or remembers across a restart: pushes come out of [`Reconcile::next`], their ends go
//! into [`Reconcile::ended`], and [`Reconcile::wake_at`] says when to look again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nicgate_protocol::{AddressSet, Hostname};

use self::account::Account;
use self::lane::{Lane, Pending};
use crate::Now;
use crate::budget::Budget;
use crate::limits::FedClock;

mod account;
mod gate;
mod lane;
mod meter;

/// Pushes of one account at the same time.
pub const PUSHES_PER_ACCOUNT: usize = 16;

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

/// How a push ended for one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The provider publishes what was pushed.
    Confirmed,
    /// The provider said no.
    Refused {
        /// Why.
        class: Class,
        /// Part of the change may have been made all the same.
        maybe_written: bool,
    },
    /// The budget had no further call for the conversation in time, see [`Reconcile::permit`]. What was sent before
    /// may have been made.
    Unaffordable,
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

impl End {
    /// The trouble; `None` when there was none.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Confirmed => None,
            Self::Refused { class, .. } | Self::Unconfirmed { class, .. } => Some(*class),
            Self::Unaffordable => Some(Class::Rate),
        }
    }

    /// Whether the provider may publish what was pushed, or a part of it, without having confirmed it.
    #[must_use]
    pub fn maybe_written(&self) -> bool {
        match self {
            Self::Confirmed => false,
            Self::Refused { maybe_written, .. } | Self::Unconfirmed { maybe_written, .. } => *maybe_written,
            Self::Unaffordable => true,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unconfirmed { retry_after, .. } => *retry_after,
            Self::Confirmed | Self::Refused { .. } | Self::Unaffordable => None,
        }
    }
}

/// One push to make now: some hosts of one zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// To whom.
    pub provider: Arc<str>,
    /// The zone that holds them all.
    pub zone: Hostname,
    /// The hosts; never none, and one only where the provider takes no more at once.
    pub items: Vec<Item>,
    account: u64,
    is_probe: bool,
    /// No other push of this account and zone starts meanwhile.
    holds_zone: bool,
    /// Calls that were free when it started, beyond the first.
    promised: u32,
}

/// One host of a [`Push`].
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Which.
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

impl Push {
    /// Whether these ends refuse several hosts as one, for a reason that may be that of one of them. Then nothing is
    /// decided yet: each goes alone next, at once, so one bad host never blocks the others.
    #[must_use]
    pub fn is_split_by(&self, ends: &[End]) -> bool {
        let class_of = |end: &End| match end {
            End::Refused { class, .. } if *class != Class::Auth => Some(*class),
            End::Confirmed | End::Refused { .. } | End::Unaffordable | End::Unconfirmed { .. } => None,
        };
        let first = ends.first().and_then(class_of);
        self.items.len() > 1 && first.is_some() && ends.iter().all(|end| class_of(end) == first)
    }
}

/// What the desired state of a host is, as the store says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Want {
    /// The zone that holds the host.
    pub zone: Hostname,
    /// What shall be published.
    pub desired: AddressSet,
    /// The commit that recorded it.
    pub number: u64,
    /// What the provider confirmed last; empty when nothing.
    pub applied: AddressSet,
    /// What earlier pushes without a known end tried to publish, also those of an earlier run.
    pub doubted: Vec<AddressSet>,
}

/// One configured provider, as [`Reconcile::configure`] takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// Its name.
    pub provider: Arc<str>,
    /// The same number for providers that use the same credential at the same place.
    pub account: u64,
    /// How many calls the account may make. Where lanes of one account differ, all their windows hold.
    pub budget: Budget,
    /// So many hosts of a zone go into one push.
    pub hosts_at_once: usize,
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

/// All lanes and accounts. See the module.
#[derive(Debug, Default)]
pub struct Reconcile {
    lanes: BTreeMap<Arc<str>, Lane>,
    accounts: BTreeMap<u64, Account>,
    clock: FedClock,
}

impl Reconcile {
    /// Nothing configured, nothing to do.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a new list of providers. What waits for one that vanished is dropped, as is what no longer goes there:
    /// `zone_of` names the zone that sends a host to a provider, if any. Closed gates open and refused hosts are tried
    /// again, since the operator may just have cured it; only a provider that asked for patience keeps its time.
    pub fn configure(
        &mut self,
        lanes: &[LaneSettings],
        now: Now,
        zone_of: impl Fn(&str, &Hostname) -> Option<Hostname>,
    ) {
        for lane in self.lanes.values_mut() {
            lane.is_gone = true;
        }
        let mut budgets: BTreeMap<u64, Budget> = BTreeMap::new();
        for settings in lanes {
            let LaneSettings { provider, account, budget, hosts_at_once } = settings;
            let all = budgets.entry(*account).or_default();
            *all = all.and(budget);
            let new = || Lane::new(*account, *hosts_at_once);
            let lane = self.lanes.entry(Arc::clone(provider)).or_insert_with(new);
            (lane.account, lane.hosts_at_once, lane.is_gone) = (*account, *hosts_at_once, false);
        }
        for (name, lane) in &mut self.lanes {
            lane.reload(|hostname| zone_of(name, hostname), now.uptime);
        }
        self.lanes.retain(|_, lane| !lane.is_gone || lane.in_flight > 0);
        self.accounts.retain(|id, account| budgets.contains_key(id) || !account.is_idle());
        for (id, budget) in budgets {
            let account = self.accounts.entry(id).or_insert_with(|| Account::new(budget.clone(), &self.clock));
            account.set_budget(budget, &self.clock);
            account.gate.give_another_chance();
        }
    }

    /// The newest desired state of a host, for one provider of its zone. Repeats and older ones change nothing.
    pub fn want(&mut self, provider: &str, hostname: &Hostname, want: Want, now: Now) {
        if let Some(lane) = self.lanes.get_mut(provider).filter(|lane| !lane.is_gone) {
            lane.want(hostname, want, now.uptime);
        }
    }

    /// The next push to make now, its first call paid for; ask until nothing comes. Whoever takes it owes an
    /// [`Self::ended`].
    #[must_use]
    pub fn next(&mut self, now: Now) -> Option<Push> {
        for (id, account) in &mut self.accounts {
            if !account.has_room() || now.uptime < account.ready_at() {
                continue;
            }
            let heads = lanes_of(&self.lanes, *id).filter_map(|(name, lane)| {
                let (due, zone) = lane_head(lane, account)?;
                Some((due, name, zone))
            });
            let Some((due, provider, zone)) = heads.min() else { continue };
            if due > now.uptime {
                continue;
            }
            let (provider, zone) = (Arc::clone(provider), zone.clone());
            let Some(lane) = self.lanes.get_mut(&provider) else { continue };
            let (names, calls) = lane.company(&zone, now.uptime);
            if names.is_empty() || !account.pay_first(calls, now) {
                continue;
            }
            let push = Push {
                items: lane.start(names),
                provider,
                zone,
                account: *id,
                is_probe: account.gate.is_closed(),
                holds_zone: lane.is_batching(),
                promised: calls - 1,
            };
            account.started(&push);
            return Some(push);
        }
        None
    }

    /// The uptime at which [`Self::next`] may have something again; `None`: not before another call of ours.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let wakes = self.accounts.iter().filter(|(_, account)| account.has_room()).flat_map(|(id, account)| {
            let heads = lanes_of(&self.lanes, *id).filter_map(|(_, lane)| lane_head(lane, account));
            heads.map(|(due, _)| due.max(account.ready_at()))
        });
        wakes.min()
    }

    /// Pays one more call of a conversation with this provider.
    ///
    /// # Errors
    /// How long until the budget holds one. Whoever would have to wait longer than [`Self::patience`] for it gives the
    /// conversation up as [`End::Unaffordable`].
    pub fn permit(&mut self, provider: &str, now: Now) -> Result<(), Duration> {
        let Some(lane) = self.lanes.get(provider) else { return Ok(()) };
        self.accounts.get_mut(&lane.account).map_or(Ok(()), |account| account.pay_next(now))
    }

    /// How long a conversation with this provider waits for its next call.
    #[must_use]
    pub fn patience(&self, provider: &str) -> Duration {
        self.account_of(provider).map_or(Duration::ZERO, Account::patience)
    }

    /// For how long nothing goes to this provider, as far as is known: its gate is closed, or the budget is spent.
    #[must_use]
    pub fn blocked_for(&self, provider: &str, now: Now) -> Option<Duration> {
        let wait = self.account_of(provider)?.blocked_for(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Takes the ends of a push, one for each of its hosts, in order; a host without one counts as unconfirmed.
    /// `dice` is any random number.
    pub fn ended(&mut self, push: &Push, ends: &[End], now: Now, dice: u64) {
        let unheard = End::Unconfirmed { class: Class::Bug, retry_after: None, maybe_written: true };
        let all = ends.iter().copied().chain(std::iter::repeat(unheard));
        let ends: Vec<End> = all.take(push.items.len()).collect();
        let Some(lane) = self.lanes.get_mut(&push.provider) else { return };
        lane.ended(push, &ends, now.uptime, dice);
        if lane.is_gone && lane.in_flight == 0 {
            self.lanes.remove(&push.provider);
        }
        let is_used = self.lanes.values().any(|lane| lane.account == push.account);
        if let Some(account) = self.accounts.get_mut(&push.account) {
            account.ended(push);
            account.gate.judge(&ends, push.is_probe, now.uptime, dice);
            if account.is_idle() && !is_used {
                self.accounts.remove(&push.account);
            }
        }
    }

    /// Takes the end of a reading: it says nothing about any host's push, and all about the account.
    pub fn looked(&mut self, provider: &str, end: End, now: Now, dice: u64) {
        let Some(lane) = self.lanes.get(provider) else { return };
        if let Some(account) = self.accounts.get_mut(&lane.account) {
            account.gate.judge(&[end], false, now.uptime, dice);
        }
    }

    /// Where the update with this number stands.
    #[must_use]
    pub fn standing(&self, provider: &str, hostname: &Hostname, number: u64, now: Now) -> Standing {
        let Some((pending, account)) = self.pending_of(provider, hostname) else { return Standing::Applied };
        if pending.in_flight.is_some() {
            Standing::Pending(Duration::ZERO)
        } else if account.gate.is_credential_refused() || pending.refused.is_some_and(|no| no >= number) {
            Standing::Refused
        } else {
            Standing::Pending(pending.due.max(account.next_start(now)))
        }
    }

    /// What waits for a host at a provider; `None` when nothing does.
    #[must_use]
    pub fn waiting(&self, provider: &str, hostname: &Hostname, now: Now) -> Option<Waiting> {
        let (pending, account) = self.pending_of(provider, hostname)?;
        let is_in_flight = pending.in_flight.is_some();
        let next_try = (!is_in_flight).then(|| pending.due.max(account.next_start(now)));
        Some(Waiting { attempts: pending.attempts, is_in_flight, next_try })
    }

    /// What may stand at the provider beside what it confirmed last and what is desired now: whoever records a newer
    /// update has to remember it, should the process die before the next confirmation.
    #[must_use]
    pub fn overtaken(&self, provider: &str, hostname: &Hostname) -> Vec<AddressSet> {
        let Some((pending, _)) = self.pending_of(provider, hostname) else { return Vec::new() };
        pending.overtaken()
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

    fn account_of(&self, provider: &str) -> Option<&Account> {
        self.accounts.get(&self.lanes.get(provider)?.account)
    }

    fn pending_of(&self, provider: &str, hostname: &Hostname) -> Option<(&Pending, &Account)> {
        let lane = self.lanes.get(provider)?;
        Some((lane.hosts.get(hostname)?, self.accounts.get(&lane.account)?))
    }
}

/// The lanes of one account that are still configured.
fn lanes_of(lanes: &BTreeMap<Arc<str>, Lane>, account: u64) -> impl Iterator<Item = (&Arc<str>, &Lane)> {
    lanes.iter().filter(move |(_, lane)| lane.account == account && !lane.is_gone)
}

/// When the first host of a lane is due that its account's pushes in flight let go, and its zone.
fn lane_head<'a>(lane: &'a Lane, account: &Account) -> Option<(Duration, &'a Hostname)> {
    lane.head(|zone| lane.is_batching() && account.is_busy_with(zone))
}

#[cfg(test)]
mod dice;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
