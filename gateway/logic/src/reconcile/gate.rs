//! Whether an account's provider takes pushes now, judged by how pushes end.
//!
//! Trouble of one host delays that host and is none of this file's business. Trouble of the provider closes the gate:
//! a refused credential, too many calls, no answers. Behind a closed gate nothing starts before a time, and then one
//! push at a time probes whether the trouble is over.

use std::time::Duration;

use super::{Class, End};

/// The shortest pause after a push that was not confirmed.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two pushes of a host that a provider does not confirm.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// The first and the longest pause after a provider refused the credential.
pub(super) const AUTH_PAUSES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// A provider cannot ask for more patience than this; some ask for hours, for the rest of the day.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
/// So many pushes in a row without a usable answer, and the provider counts as down.
const DOWN_AFTER: u32 = 3;

/// Why a gate is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    Auth,
    Rate,
    Down,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Open,
    Closed {
        why: Closed,
        until: Duration,
        probes: u32,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: State,
    /// Pushes in a row without a usable answer.
    down_in_a_row: u32,
}

impl Gate {
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether the credential was refused, and no probe has shown otherwise since.
    pub(super) fn is_credential_refused(&self) -> bool {
        matches!(self.state, State::Closed { why: Closed::Auth, .. })
    }

    /// The uptime before which it lets nothing through.
    pub(super) fn opens_at(&self) -> Duration {
        match self.state {
            State::Open => Duration::ZERO,
            State::Closed { until, .. } => until,
        }
    }

    /// Opens, since the operator may just have cured the trouble. Only a provider that asked for patience keeps its
    /// time.
    pub(super) fn give_another_chance(&mut self) {
        self.down_in_a_row = 0;
        if !matches!(self.state, State::Closed { why: Closed::Rate, .. }) {
            self.state = State::Open;
        }
    }

    /// What the end of a push says about the provider as a whole.
    pub(super) fn judge(&mut self, ends: &[End], is_probe: bool, uptime: Duration, dice: u64) {
        if let Some(asked) = ends.iter().filter_map(End::retry_after).max() {
            let asked = asked.clamp(SHORTEST_PAUSE, LONGEST_RETRY_AFTER);
            return self.close(Closed::Rate, is_probe, uptime, |_| asked);
        }
        let Some(class) = gravest(ends) else { return };
        match class {
            // Whoever refuses one host for its own sake is there and took the credential.
            None | Some(Class::Denied | Class::NoZone | Class::Invalid | Class::Quota | Class::Busy) => {
                self.down_in_a_row = 0;
                if is_probe {
                    self.state = State::Open;
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

    /// Closes, or stays closed for longer. Only a failed probe makes the pauses grow: pushes that were under way when
    /// the gate closed say nothing new about how long the trouble lasts.
    fn close(&mut self, why: Closed, is_probe: bool, uptime: Duration, pause: impl Fn(u32) -> Duration) {
        self.state = match self.state {
            State::Open => State::Closed { why, until: uptime + pause(0), probes: 0 },
            State::Closed { probes, .. } if is_probe => {
                let probes = probes.saturating_add(1);
                State::Closed { why, until: uptime + pause(probes), probes }
            }
            State::Closed { why: known, until, probes } => {
                // "Down" is the weakest of the three: whoever says more than that is believed.
                let why = if known == Closed::Down { why } else { known };
                State::Closed { why, until: until.max(uptime + pause(probes)), probes }
            }
        };
    }
}

/// The trouble among the ends of one push that weighs most; `Some(None)` when the provider does its work, `None` when
/// the ends say nothing about it.
fn gravest(ends: &[End]) -> Option<Option<Class>> {
    if ends.contains(&End::Confirmed) {
        return Some(None);
    }
    let weight = |class: &Class| match class {
        Class::Auth => 3,
        Class::Rate => 2,
        Class::Down | Class::Bug => 1,
        Class::Busy | Class::Denied | Class::Invalid | Class::NoZone | Class::Quota => 0,
    };
    let classes = ends.iter().filter(|end| **end != End::Unaffordable).filter_map(End::class);
    classes.max_by_key(weight).map(Some)
}

/// A pause that doubles with each attempt, with full jitter: somewhere between a second and the doubled time.
pub(super) fn pause(attempt: u32, dice: u64) -> Duration {
    let longest = doubling((SHORTEST_PAUSE, LONGEST_PAUSE), attempt);
    let spread = longest.saturating_sub(SHORTEST_PAUSE).as_millis();
    let spread = u64::try_from(spread).unwrap_or(u64::MAX);
    SHORTEST_PAUSE + Duration::from_millis(dice % (spread + 1))
}

/// `first`, doubled `times` times, at most `longest`.
pub(super) fn doubling((first, longest): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_quarter_of_an_hour_and_never_vanish() {
        for (attempt, longest) in [(1, 2), (2, 4), (5, 32), (9, 512), (10, 900), (40, 900)] {
            let longest = Duration::from_secs(longest);
            assert_eq!(pause(attempt, 0), SHORTEST_PAUSE);
            let spread = u64::try_from((longest - SHORTEST_PAUSE).as_millis()).unwrap();
            assert_eq!(pause(attempt, spread), longest, "{attempt}");
            assert_eq!(pause(attempt, spread + 1), SHORTEST_PAUSE);
        }
    }

    #[test]
    fn one_good_end_among_many_shows_a_provider_at_work() {
        let down = End::Unconfirmed { class: Class::Down, retry_after: None, maybe_written: true };
        let refused = |class| End::Refused { class, maybe_written: false };
        assert_eq!(gravest(&[refused(Class::Auth), End::Confirmed]), Some(None));
        assert_eq!(gravest(&[refused(Class::Invalid), refused(Class::Auth), down]), Some(Some(Class::Auth)));
        assert_eq!(gravest(&[End::Unaffordable]), None);
    }
}
