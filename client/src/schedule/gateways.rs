//! Which gateway to try first: those that answered before those that were silent lately, each in the order of the
//! file. Pure.
//!
//! A gateway that is silent is left out of the first round for a while, longer each time, and then tried first again:
//! so the preferred one is used again soon after it is back, and costs its timeout only now and then while it is not.

use std::time::Duration;

use nicgate_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a silent gateway is left alone after its first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// And at the most.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A gateway that was silent when last spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its base URL.
    pub gateway: String,
    /// How often in a row.
    pub failures: u32,
    /// Since when (seconds since 1970).
    pub since: u64,
    /// Until when others are tried first.
    pub until: u64,
}

/// The gateways in the order in which to try them, as places in `gateways`.
#[must_use]
pub fn order(gateways: &[String], silent: &[Silence], now: Timestamp) -> Vec<usize> {
    let is_left_alone = |gateway: &str| {
        let silence = silent.iter().find(|silence| silence.gateway == gateway);
        silence.is_some_and(|silence| {
            // A pause beyond the longest was noted before the clock was set back.
            silence.until > now.seconds() && silence.until - now.seconds() <= LONGEST_PAUSE.as_secs()
        })
    };
    let (later, first): (Vec<usize>, Vec<usize>) =
        (0..gateways.len()).partition(|index| is_left_alone(&gateways[*index]));
    first.into_iter().chain(later).collect()
}

/// Notes that a gateway answered. Gives how long it had been silent, if it was.
pub fn note_answer(silent: &mut Vec<Silence>, gateway: &str, now: Timestamp) -> Option<Duration> {
    let index = silent.iter().position(|silence| silence.gateway == gateway)?;
    let silence = silent.remove(index);
    Some(Duration::from_secs(now.seconds().saturating_sub(silence.since)))
}

/// Notes that a gateway was silent.
pub fn note_silence(silent: &mut Vec<Silence>, gateway: &str, now: Timestamp) {
    let index = silent.iter().position(|silence| silence.gateway == gateway).unwrap_or_else(|| {
        silent.push(Silence { gateway: gateway.to_owned(), failures: 0, since: now.seconds(), until: 0 });
        silent.len() - 1
    });
    let silence = &mut silent[index];
    let pause = FIRST_PAUSE.saturating_mul(1 << silence.failures.min(6)).min(LONGEST_PAUSE);
    silence.failures = silence.failures.saturating_add(1);
    silence.until = now.seconds() + pause.as_secs();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_silent_gateway_waits_behind_the_others_and_comes_back_first() {
        let gateways = ["a", "b", "c"].map(str::to_owned);
        let mut silent = Vec::new();
        assert_eq!(order(&gateways, &silent, at(0)), [0, 1, 2]);
        note_silence(&mut silent, "a", at(0));
        assert_eq!(order(&gateways, &silent, at(59)), [1, 2, 0]);
        assert_eq!(order(&gateways, &silent, at(60)), [0, 1, 2]);
        note_silence(&mut silent, "a", at(60));
        note_silence(&mut silent, "b", at(61));
        assert_eq!(order(&gateways, &silent, at(100)), [2, 0, 1]);
        assert_eq!(order(&gateways, &silent, at(121)), [1, 2, 0], "the second silence lasts twice as long");
        assert_eq!(note_answer(&mut silent, "a", at(130)), Some(Duration::from_secs(130)));
        assert_eq!(note_answer(&mut silent, "a", at(130)), None);
        assert_eq!(order(&gateways, &silent, at(130)), [0, 1, 2]);
    }

    #[test]
    fn no_silence_lasts_longer_than_an_hour_nor_does_a_clock_set_back_stretch_it() {
        let gateways = ["a", "b"].map(str::to_owned);
        let mut silent = Vec::new();
        for _ in 0..100 {
            note_silence(&mut silent, "a", at(100_000));
        }
        assert_eq!(order(&gateways, &silent, at(103_599)), [1, 0]);
        assert_eq!(order(&gateways, &silent, at(103_600)), [0, 1]);
        assert_eq!(order(&gateways, &silent, at(50_000)), [0, 1]);
    }
}
