//! Fail-over: several devices feed one host in an order of preference. Every update of a device is a heartbeat, and
//! its addresses are remembered for it; published is what the first living one of the list last said.
//!
//! - A device is *silent* when `misses` heartbeats in a row did not come. Nobody is silent before this process has
//!   listened that long itself, so neither a restart nor a clock that is set makes anybody silent.
//! - A silent device counts as living again after `returns` heartbeats in a row; those that come closer together than
//!   half the span count as one. One that was never heard before is living at once.
//! - Between two switches lies at least `hold_down`.
//! - When all are silent nothing changes: it may be us who hear nothing. The published device stays published until
//!   another one that is living takes over, and when it speaks again, what it says is published at once.
//! - A device that is not in the list ranks behind all that are. Of such devices the one that is published and the one
//!   that spoke last are remembered.
//!
//! Nothing here knows about holds, or about the order of requests: see [`crate::hold`] and [`crate::decide`].

use std::time::Duration;

use nicgate_protocol::{AddressSet, DeviceId, Timestamp};

use crate::now::Watch;
use crate::state::{Feeds, HostState, Presence, Report};

/// The rule of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailOver {
    /// The devices, the preferred one first.
    pub devices: Vec<DeviceId>,
    /// How often each speaks at the least.
    pub heartbeat: Duration,
    /// How many heartbeats may be missed before a device is silent.
    pub misses: u32,
    /// How many heartbeats in a row bring a silent device back.
    pub returns: u32,
    /// The shortest time between two switches.
    pub hold_down: Duration,
}

impl FailOver {
    /// After how long without a heartbeat a device is silent.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.heartbeat.saturating_mul(self.misses)
    }

    /// The place of a device in the order of preference, 0 for the preferred one.
    #[must_use]
    pub fn rank(&self, device: &DeviceId) -> usize {
        self.devices.iter().position(|listed| listed == device).unwrap_or(self.devices.len())
    }
}

/// What a device said of a host, and where that stands among what it said before.
#[derive(Clone, Debug)]
pub struct Word {
    /// The addresses that the device has for the host now.
    pub addresses: AddressSet,
    /// As in [`Report`].
    pub ordered_at: Timestamp,
    /// Whether it is a sign of life: a request that may have come before is none.
    pub is_heartbeat: bool,
}

/// Another device is published than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The one before.
    pub from: DeviceId,
    /// The one that is now.
    pub to: DeviceId,
    /// It is a more preferred one.
    pub is_back: bool,
    /// Why, in words.
    pub why: String,
}

impl Feeds {
    /// What is known when `speaker` speaks: for a host that had no fail-over until now, the device that published last.
    #[must_use]
    pub fn take(state: &mut HostState, speaker: &DeviceId, watch: Watch) -> Box<Self> {
        if let Some(feeds) = state.feeds.take() {
            return feeds;
        }
        let addresses = state.automatic();
        let publisher = state.hold.as_deref().map_or(&state.device, |hold| &hold.noted_by).clone();
        let report = publisher.clone().filter(|_| !addresses.is_empty()).map(|device| Report {
            device,
            addresses,
            ordered_at: state.ordered_at,
            newest: state.newest,
            newest_changed: state.newest_changed,
            heard: watch.now,
            presence: Presence::Here,
        });
        let active = report.as_ref().map_or(speaker, |report| &report.device).clone();
        Box::new(Self { reports: report.into_iter().collect(), active, switched: None })
    }

    /// What a device said, if it ever did.
    #[must_use]
    pub fn report(&self, device: &DeviceId) -> Option<&Report> {
        self.reports.iter().find(|report| report.device == *device)
    }

    /// The addresses to publish.
    #[must_use]
    pub fn addresses(&self) -> AddressSet {
        self.report(&self.active).map(|report| report.addresses).unwrap_or_default()
    }

    /// Hears a device. Its report is there afterwards.
    pub fn hear(&mut self, device: &DeviceId, word: &Word, rule: &FailOver, watch: Watch) {
        self.pass(rule, watch);
        let is_kept =
            |report: &Report| rule.devices.contains(&report.device) || [device, &self.active].contains(&&report.device);
        self.reports.retain(is_kept);
        let Some(report) = self.reports.iter_mut().find(|report| report.device == *device) else {
            self.reports.push(Report {
                device: device.clone(),
                addresses: word.addresses,
                ordered_at: word.ordered_at,
                newest: None,
                newest_changed: false,
                heard: watch.now,
                presence: if word.is_heartbeat { Presence::Here } else { Presence::Silent },
            });
            return;
        };
        (report.addresses, report.ordered_at) = (word.addresses, word.ordered_at);
        if word.is_heartbeat {
            report.presence = after_heartbeat(report.presence, rule, watch);
            report.heard = watch.now;
        }
    }

    /// Lets time pass: who was not heard for too long is silent.
    pub fn pass(&mut self, rule: &FailOver, watch: Watch) {
        for report in &mut self.reports {
            if watch.elapsed(report.heard) >= rule.silence() {
                report.presence = Presence::Silent;
            }
        }
    }

    /// Chooses anew who is published, and says whether that is another one than before.
    pub fn choose(&mut self, rule: &FailOver, watch: Watch) -> bool {
        let Some(to) = self.successor(rule).cloned() else { return false };
        if self.switched.is_some_and(|switched| watch.elapsed(switched) < rule.hold_down) {
            return false;
        }
        (self.active, self.switched) = (to, Some(watch.now));
        true
    }

    /// Who should be published instead, but for the hold-down.
    fn successor(&self, rule: &FailOver) -> Option<&DeviceId> {
        let may_publish = |report: &&Report| report.presence == Presence::Here && !report.addresses.is_empty();
        let best = self.reports.iter().filter(may_publish).min_by_key(|report| rule.rank(&report.device))?;
        let active = self.report(&self.active);
        // One that is returning speaks: it keeps its place if nobody took it meanwhile.
        let is_lost = active.is_none_or(|active| active.presence == Presence::Silent || active.addresses.is_empty());
        let is_better = rule.rank(&best.device) < rule.rank(&self.active);
        (best.device != self.active && (is_lost || is_better)).then_some(&best.device)
    }

    /// The uptime at which time alone may change something; `None`: never.
    #[must_use]
    pub fn due(&self, rule: &FailOver, watch: Watch) -> Option<Duration> {
        let speaking = self.reports.iter().filter(|report| report.presence != Presence::Silent);
        let silences = speaking.map(|report| watch.noticed(report.heard).saturating_add(rule.silence()));
        let switch = self.switched.filter(|_| self.successor(rule).is_some());
        silences.chain(switch.map(|switched| watch.noticed(switched).saturating_add(rule.hold_down))).min()
    }
}

fn after_heartbeat(presence: Presence, rule: &FailOver, watch: Watch) -> Presence {
    let uptime = watch.now.uptime;
    let (heartbeats, counted) = match presence {
        Presence::Here => return Presence::Here,
        Presence::Silent => (1, uptime),
        Presence::Returning { heartbeats, counted } if uptime.saturating_sub(counted) >= rule.heartbeat / 2 => {
            (heartbeats.saturating_add(1), uptime)
        }
        Presence::Returning { heartbeats, counted } => (heartbeats, counted),
    };
    if heartbeats >= rule.returns { Presence::Here } else { Presence::Returning { heartbeats, counted } }
}

/// What happened between two states of a host, for the log.
#[must_use]
pub fn switch(before: &HostState, after: &HostState, rule: &FailOver) -> Option<Switch> {
    let feeds = after.feeds.as_deref()?;
    let from = before.feeds.as_deref().map(|feeds| &feeds.active).or(before.device.as_ref())?.clone();
    let to = feeds.active.clone();
    if from == to {
        return None;
    }
    let is_back = rule.rank(&to) < rule.rank(&from);
    let why = match feeds.report(&from) {
        Some(report) if report.addresses.is_empty() => format!("{from} took its addresses away"),
        Some(report) if report.presence == Presence::Silent => {
            format!("{from} was not heard since {}", report.heard.wall)
        }
        Some(_) | None if is_back => format!("{to} goes before {from}, and is there"),
        Some(_) | None => format!("{from} is not known any more"),
    };
    Some(Switch { from, to, is_back, why })
}

#[cfg(test)]
mod tests;
