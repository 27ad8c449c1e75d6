//! Pins: a host's addresses held by hand, the pause after, and what is published when both are over.
//!
//! A pin lasts until its time has come or it is released; either way the cool-down follows, and only then do automatic
//! updates count again. What would be published without the hold is noted all the while, and published at its end.
//! A pin holds the whole host: with one family pinned, the other one stays as it was.
//!
//! Ends are points of the wall clock, since they must mean the same after a restart. Nothing wakes up here: whoever
//! looks at a host sees to a hold that is over ([`HostState::lifted`]).

use std::time::Duration;

use nicgate_protocol::{AddressSet, Timestamp};

use crate::state::{Hold, HostState};

impl Hold {
    /// When automatic updates count again; `None`: not before it is released.
    #[must_use]
    pub fn end(&self, cool_down: Duration) -> Option<Timestamp> {
        let pause = if self.is_pin { cool_down } else { Duration::ZERO };
        self.until.map(|until| until + pause)
    }

    /// Whether it is pinned still, rather than cooling down.
    #[must_use]
    pub fn is_pinned_at(&self, now: Timestamp) -> bool {
        self.is_pin && self.until.is_none_or(|until| now < until)
    }
}

impl HostState {
    /// The hold that is in force at `now`, pin or cool-down.
    #[must_use]
    pub fn hold_at(&self, now: Timestamp, cool_down: Duration) -> Option<&Hold> {
        self.hold.as_deref().filter(|hold| hold.end(cool_down).is_none_or(|end| now < end))
    }

    /// What would be published without a hold.
    #[must_use]
    pub fn automatic(&self) -> AddressSet {
        match &self.hold {
            Some(hold) => hold.noted.unwrap_or_default(),
            None => self.desired,
        }
    }

    /// The host without a hold that is over at `now`: then it wants what was noted, if anything ever was. Any other
    /// host stays as it is.
    #[must_use]
    pub fn lifted(&self, now: Timestamp, cool_down: Duration) -> Self {
        let mut next = self.clone();
        if self.hold_at(now, cool_down).is_none()
            && let Some(hold) = next.hold.take()
            && let Some(noted) = hold.noted.filter(|noted| *noted != next.desired)
        {
            next.desired = noted;
            next.device = hold.noted_by;
        }
        next
    }

    /// The host pinned to `wanted`; a family that is not named stays as it is.
    #[must_use]
    pub fn pinned(&self, wanted: AddressSet, until: Option<Timestamp>, now: Timestamp, cool_down: Duration) -> Self {
        let next = self.lifted(now, cool_down);
        let (noted, noted_by) = match &next.hold {
            Some(hold) => (hold.noted, hold.noted_by.clone()),
            None => ((next.number > 0).then_some(next.desired), next.device.clone()),
        };
        Self {
            desired: AddressSet { v4: wanted.v4.or(next.desired.v4), v6: wanted.v6.or(next.desired.v6) },
            ordered_at: now,
            newest: None,
            newest_changed: true,
            device: None,
            hold: Some(Box::new(Hold { until, is_pin: true, noted, noted_by })),
            ..next
        }
    }

    /// The host cooling down from now on; without a cool-down its hold is over at once. `None` when it is not pinned.
    #[must_use]
    pub fn released(&self, now: Timestamp, cool_down: Duration) -> Option<Self> {
        let hold = self.hold.as_deref().filter(|hold| hold.is_pinned_at(now))?;
        let cooling = Hold { until: Some(now + cool_down), is_pin: false, ..hold.clone() };
        Some(Self { hold: Some(Box::new(cooling)), ..self.clone() }.lifted(now, cool_down))
    }
}

#[cfg(test)]
mod tests {
    use nicgate_protocol::DeviceId;

    use super::*;

    const NOON: Timestamp = Timestamp(1_795_348_800_000);
    const COOL_DOWN: Duration = Duration::from_secs(300);
    const HOUR: Duration = Duration::from_secs(3600);

    fn set(text: &str) -> AddressSet {
        let mut set = AddressSet::EMPTY;
        for address in text.split(',').filter(|part| !part.is_empty()) {
            match address.parse().unwrap() {
                std::net::IpAddr::V4(v4) => set.v4 = Some(v4),
                std::net::IpAddr::V6(v6) => set.v6 = Some(v6),
            }
        }
        set
    }

    fn known(addresses: &str) -> HostState {
        let device = DeviceId::parse("box").ok();
        HostState { desired: set(addresses), number: 7, device, ..HostState::default() }
    }

    #[test]
    fn a_pin_ends_by_its_time_or_by_hand_and_the_cool_down_comes_after_either() {
        let timed = known("192.0.2.1").pinned(set("192.0.2.9"), Some(NOON + HOUR), NOON, COOL_DOWN);
        let end = NOON + HOUR + COOL_DOWN;
        assert!(timed.hold.as_ref().unwrap().is_pinned_at(NOON + HOUR - Duration::from_millis(1)));
        assert!(!timed.hold.as_ref().unwrap().is_pinned_at(NOON + HOUR));
        assert_eq!(timed.lifted(end - Duration::from_millis(1), COOL_DOWN), timed);
        let over = timed.lifted(end, COOL_DOWN);
        assert_eq!((over.desired, &over.hold), (set("192.0.2.1"), &None));
        assert_eq!(over.device, DeviceId::parse("box").ok());

        let open = known("192.0.2.1").pinned(set("192.0.2.9"), None, NOON, COOL_DOWN);
        assert_eq!(open.lifted(NOON + 1000 * HOUR, COOL_DOWN), open);
        let released = open.released(NOON + HOUR, COOL_DOWN).unwrap();
        assert_eq!(released.desired, set("192.0.2.9"));
        assert!(released.released(NOON + HOUR, COOL_DOWN).is_none(), "once is enough");
        assert_eq!(released.hold.as_ref().unwrap().end(COOL_DOWN), Some(end));
        assert_eq!(released.lifted(end, COOL_DOWN).desired, set("192.0.2.1"));
        assert_eq!(open.released(NOON, Duration::ZERO).unwrap().desired, set("192.0.2.1"), "nothing to wait for");
    }

    #[test]
    fn what_the_end_publishes() {
        for (what, before, pin, at_the_end) in [
            ("what was there before", "192.0.2.1", "192.0.2.9", "192.0.2.1"),
            ("a host that nobody updated keeps its pin", "", "192.0.2.9", "192.0.2.9"),
            ("one family pinned", "192.0.2.1,2001:db8::1", "192.0.2.9", "192.0.2.1,2001:db8::1"),
            ("a family that the pin alone had goes with it", "192.0.2.1", "2001:db8::9", "192.0.2.1"),
        ] {
            let state = if before.is_empty() { HostState::default() } else { known(before) };
            let pinned = state.pinned(set(pin), Some(NOON + HOUR), NOON, COOL_DOWN);
            assert_eq!(pinned.lifted(NOON + 2 * HOUR, COOL_DOWN).desired, set(at_the_end), "{what}");
        }
    }

    #[test]
    fn a_second_pin_keeps_what_was_noted_under_the_first() {
        let first = known("192.0.2.1").pinned(set("192.0.2.8"), Some(NOON + HOUR), NOON, COOL_DOWN);
        for later in [NOON, NOON + HOUR, NOON + 3 * HOUR] {
            let second = first.pinned(set("192.0.2.9"), Some(later + HOUR), later, COOL_DOWN);
            assert_eq!(second.desired, set("192.0.2.9"));
            assert_eq!(second.lifted(later + 2 * HOUR, COOL_DOWN).desired, set("192.0.2.1"), "{later}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_lengthens_a_hold_and_never_brings_one_back() {
        let pinned = known("192.0.2.1").pinned(set("192.0.2.9"), Some(NOON + HOUR), NOON, COOL_DOWN);
        assert_eq!(pinned.lifted(NOON - HOUR, COOL_DOWN), pinned);
        let over = pinned.lifted(NOON + 2 * HOUR, COOL_DOWN);
        assert_eq!(over.lifted(NOON, COOL_DOWN), over);
    }
}
