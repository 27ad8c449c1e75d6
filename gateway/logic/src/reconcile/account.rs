//! One credential at one provider: its gate, its budget, and what is on its way. Several configured providers may use
//! the same credential; to the other side they are one.

use std::collections::BTreeSet;
use std::time::Duration;

use nicgate_protocol::Hostname;

use super::gate::Gate;
use super::meter::{self, Meter};
use super::{PUSHES_PER_ACCOUNT, Push};
use crate::Now;
use crate::budget::Budget;
use crate::limits::FedClock;

/// A conversation that was told when its next call may go takes it by then; for so long new pushes stand back.
const COURTESY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) gate: Gate,
    meter: Meter,
    /// Pushes.
    in_flight: usize,
    /// Calls that pushes in flight were started for, beyond their first.
    promised: u32,
    /// Zones of which a push of several hosts is in flight.
    busy: BTreeSet<Hostname>,
    /// Not before this uptime the budget holds what the next push needs.
    affordable_at: Duration,
    /// A conversation waits for its next call; nothing new starts before this uptime.
    reserved_until: Duration,
}

impl Account {
    pub(super) fn new(budget: Budget, clock: &FedClock) -> Self {
        Self {
            gate: Gate::default(),
            meter: Meter::new(budget, clock),
            in_flight: 0,
            promised: 0,
            busy: BTreeSet::new(),
            affordable_at: Duration::ZERO,
            reserved_until: Duration::ZERO,
        }
    }

    /// Takes a new budget, full; one that did not change keeps what it has spent.
    pub(super) fn set_budget(&mut self, budget: Budget, clock: &FedClock) {
        if *self.meter.budget() != budget {
            self.meter = Meter::new(budget, clock);
            self.affordable_at = Duration::ZERO;
            self.reserved_until = Duration::ZERO;
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    pub(super) fn has_room(&self) -> bool {
        if self.gate.is_closed() { self.is_idle() } else { self.in_flight < PUSHES_PER_ACCOUNT }
    }

    pub(super) fn is_busy_with(&self, zone: &Hostname) -> bool {
        self.busy.contains(zone)
    }

    /// The uptime before which nothing new starts.
    pub(super) fn ready_at(&self) -> Duration {
        self.gate.opens_at().max(self.affordable_at).max(self.reserved_until)
    }

    /// The uptime before which nothing new starts, as far as is known; 0 when something may now.
    pub(super) fn next_start(&self, now: Now) -> Duration {
        let wait = self.meter.wait_for(1, now);
        let paid = if wait.is_zero() { Duration::ZERO } else { now.uptime + wait };
        self.ready_at().max(paid)
    }

    /// How long nothing goes to the provider, as far as is known; zero when something may now.
    pub(super) fn blocked_for(&self, now: Now) -> Duration {
        self.gate.opens_at().saturating_sub(now.uptime).max(self.meter.wait_for(1, now))
    }

    pub(super) fn patience(&self) -> Duration {
        meter::patience(self.meter.budget())
    }

    /// Pays the first call of a push that may need `calls`. `false`: not now, and [`Self::ready_at`] says when.
    pub(super) fn pay_first(&mut self, calls: u32, now: Now) -> bool {
        let wait = self.meter.wait_for(calls.saturating_add(self.promised), now);
        if wait.is_zero() && self.meter.take(now).is_ok() {
            return true;
        }
        self.affordable_at = now.uptime + wait;
        false
    }

    /// Pays a further call of a conversation. Conversations come before new pushes: what was begun is to end.
    pub(super) fn pay_next(&mut self, now: Now) -> Result<(), Duration> {
        let paid = self.meter.take(now);
        self.reserved_until = match paid {
            Err(wait) if wait <= self.patience() => now.uptime + wait + COURTESY,
            Ok(()) | Err(_) => Duration::ZERO,
        };
        paid
    }

    pub(super) fn started(&mut self, push: &Push) {
        self.in_flight += 1;
        self.promised = self.promised.saturating_add(push.promised);
        if push.holds_zone {
            self.busy.insert(push.zone.clone());
        }
    }

    pub(super) fn ended(&mut self, push: &Push) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.promised = self.promised.saturating_sub(push.promised);
        if push.holds_zone {
            self.busy.remove(&push.zone);
        }
    }
}
