//! When to try again, and when the resident client looks next: exponential, with jitter, and never before the
//! gateway's Retry-After. Pure; `dice` is a number that the caller drew.

use std::time::Duration;

/// The pause after a first failure.
const FIRST: Duration = Duration::from_secs(2);
/// The longest pause between two tries of one scheduled update.
const LONGEST: Duration = Duration::from_secs(60);

/// How long to wait before try number `failures + 1`: twice as long each time, half of it left to chance, so that
/// many clients that failed together do not come back together.
#[must_use]
pub fn pause(failures: u32, longest: Duration, retry_after: Option<Duration>, dice: u32) -> Duration {
    let full = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    let half = full / 2;
    let chance = half.as_millis() * u128::from(dice) / u128::from(u32::MAX);
    (half + Duration::from_millis(u64::try_from(chance).unwrap_or(0))).max(retry_after.unwrap_or_default())
}

/// How long to wait before another try of a scheduled update, or `None` when there is no time left for one.
#[must_use]
pub fn another_try(
    failures: u32,
    spent: Duration,
    allowed: Duration,
    retry_after: Option<Duration>,
    dice: u32,
) -> Option<Duration> {
    let pause = pause(failures, LONGEST, retry_after, dice);
    (spent + pause < allowed).then_some(pause)
}

/// How long the resident client rests after a look: its interval when all is well, sooner after a failure.
#[must_use]
pub fn next_look(failures: u32, interval: Duration, retry_after: Option<Duration>, dice: u32) -> Duration {
    if failures == 0 { interval } else { pause(failures, interval, retry_after, dice) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_never_exceed_the_longest() {
        for (failures, least, most) in [(1, 1, 2), (2, 2, 4), (3, 4, 8), (5, 16, 32), (6, 30, 60), (1000, 30, 60)] {
            for dice in [0, 1, u32::MAX / 2, u32::MAX] {
                let pause = pause(failures, LONGEST, None, dice).as_secs_f64();
                assert!((f64::from(least)..=f64::from(most)).contains(&pause), "{failures}: {pause}");
            }
        }
    }

    #[test]
    fn the_gateways_wish_is_heeded_and_the_time_limit_kept() {
        let (allowed, seconds) = (Duration::from_secs(240), Duration::from_secs);
        assert_eq!(another_try(1, seconds(0), allowed, Some(seconds(90)), 0), Some(seconds(90)));
        assert_eq!(another_try(1, seconds(200), allowed, Some(seconds(90)), 0), None);
        assert_eq!(another_try(1, seconds(239), allowed, None, 0), None);
        assert_eq!(another_try(1, seconds(238), allowed, None, 0), Some(seconds(1)));
    }

    #[test]
    fn the_resident_looks_at_its_interval_and_sooner_after_a_failure() {
        let (interval, seconds) = (Duration::from_secs(300), Duration::from_secs);
        assert_eq!(next_look(0, interval, None, 7), interval);
        assert_eq!(next_look(1, interval, None, 0), seconds(1));
        assert!(next_look(20, interval, None, u32::MAX) <= interval);
        assert_eq!(next_look(1, interval, Some(seconds(900)), 0), seconds(900));
    }
}
