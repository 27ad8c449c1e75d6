//! Which uplink to use: probe results and memory in, a choice and why out. Pure.
//!
//! The uplink in use is kept while it works. When it does not, the first in order that works takes over at once. An
//! uplink that is preferred to the one in use is taken again only when it was seen working for the hold-down without
//! a break, so that a line that comes and goes does not drag the name along.

use std::fmt;
use std::time::Duration;

use nicgate_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::schedule::Span;

/// What is remembered from one look to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The uplink in use, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    /// The uplinks that worked when last looked at, and since when (seconds since 1970).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    working: Vec<(String, u64)>,
}

impl Memory {
    /// The uplink in use.
    #[must_use]
    pub fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// Since when an uplink was seen working, without a break.
    fn working_since(&self, name: &str, now: Timestamp) -> Timestamp {
        let since = self.working.iter().find(|(known, _)| known == name);
        // A time ahead of the clock says that the clock was set back: begin to count anew.
        since.map(|(_, since)| Timestamp::from_seconds(*since)).filter(|since| *since <= now).unwrap_or(now)
    }
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The uplink to use, as its place in the order; none when none works.
    pub index: Option<usize>,
    /// Why.
    pub why: Why,
    /// What to remember.
    pub memory: Memory,
}

/// Why an uplink was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has worked for the hold-down and is preferred to the one named.
    Back(String),
    /// It is the first that works.
    First,
    /// The one named, preferred to it or in use before, does not work.
    Instead(String),
    /// It is in use and works; the better one named has yet to prove itself for so long.
    Held(String, Duration),
    /// It is in use and works.
    Kept,
    /// None works.
    NoneWorks,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Back(other) => write!(f, "it works again and is preferred to {other}"),
            Self::First => f.write_str("the first that works"),
            Self::Instead(other) => write!(f, "{other} does not work"),
            Self::Held(better, rest) => {
                write!(
                    f,
                    "in use and working; {better} is preferred, but has to work for another {} first",
                    Span(*rest)
                )
            }
            Self::Kept => f.write_str("in use and working"),
            Self::NoneWorks => f.write_str("no uplink works"),
        }
    }
}

/// Decides. `uplinks` are name and whether its probes were answered just now, in the order of preference.
#[must_use]
pub fn decide(uplinks: &[(&str, bool)], memory: &Memory, hold_down: Duration, now: Timestamp) -> Choice {
    let working: Vec<(String, u64)> = uplinks
        .iter()
        .filter(|(_, works)| *works)
        .map(|(name, _)| ((*name).to_owned(), memory.working_since(name, now).seconds()))
        .collect();
    let place = |wanted: &str| uplinks.iter().position(|(name, _)| *name == wanted);
    let in_use = memory.current().and_then(place);
    let has_proven = |index: &usize| {
        let (name, works) = uplinks[*index];
        works && now.since(memory.working_since(name, now)) >= hold_down
    };

    let (index, why) = match in_use {
        Some(used) if uplinks[used].1 => match (0..used).find(has_proven) {
            Some(better) => (Some(better), Why::Back(uplinks[used].0.to_owned())),
            None => match uplinks[..used].iter().find(|(_, works)| *works) {
                Some((better, _)) => {
                    let rest = hold_down.saturating_sub(now.since(memory.working_since(better, now)));
                    (Some(used), Why::Held((*better).to_owned(), rest))
                }
                None => (Some(used), Why::Kept),
            },
        },
        _ => match uplinks.iter().position(|(_, works)| *works) {
            Some(first) => {
                let silent = in_use.or_else(|| (first > 0).then_some(0)).map(|index| uplinks[index].0.to_owned());
                (Some(first), silent.map_or(Why::First, Why::Instead))
            }
            None => (None, Why::NoneWorks),
        },
    };
    // With none that works the memory of the one in use stays: it is the first to be kept when it is back.
    let current = index.map(|index| uplinks[index].0.to_owned()).or_else(|| memory.current.clone());
    Choice { index, why, memory: Memory { current, working } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(120);

    /// Looks at `fibre` and `lte` at each time; gives what was in use after each look.
    fn run(looks: &[(u64, bool, bool)]) -> Vec<(String, Why)> {
        let mut memory = Memory::default();
        looks
            .iter()
            .map(|(at, fibre, lte)| {
                let uplinks = [("fibre", *fibre), ("lte", *lte)];
                let choice = decide(&uplinks, &memory, HOLD, Timestamp::from_seconds(*at));
                memory = choice.memory;
                (choice.index.map_or("-", |index| uplinks[index].0).to_owned(), choice.why)
            })
            .collect()
    }

    #[test]
    fn the_first_that_works_is_taken_and_kept() {
        let fibre = || "fibre".to_owned();
        assert_eq!(run(&[(0, true, true)]), [("fibre".to_owned(), Why::First)]);
        assert_eq!(run(&[(0, false, true)]), [("lte".to_owned(), Why::Instead(fibre()))]);
        assert_eq!(run(&[(0, false, false)]), [("-".to_owned(), Why::NoneWorks)]);
        assert_eq!(run(&[(0, true, true), (60, true, false)])[1], (fibre(), Why::Kept));
    }

    #[test]
    fn a_broken_one_is_left_at_once_and_taken_back_after_the_hold_down() {
        let used: Vec<String> = run(&[
            (0, true, true),
            (60, false, true),
            (120, true, true),
            (180, true, true),
            (239, true, true),
            (240, true, true),
        ])
        .into_iter()
        .map(|(name, _)| name)
        .collect();
        assert_eq!(used, ["fibre", "lte", "lte", "lte", "lte", "fibre"]);
    }

    #[test]
    fn a_flapping_line_never_gets_the_name_back() {
        let looks: Vec<(u64, bool, bool)> = (0..100).map(|minute| (minute * 60, minute % 3 != 1, true)).collect();
        let changes = run(&looks).windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
        assert_eq!(changes, 1, "it is left once and never taken again");
    }

    #[test]
    fn when_all_are_down_the_one_in_use_is_remembered() {
        let seen = run(&[(0, true, true), (60, false, true), (120, false, false), (180, true, true)]);
        assert_eq!(seen[2].0, "-");
        assert_eq!(seen[3], ("lte".to_owned(), Why::Held("fibre".to_owned(), HOLD)));
    }

    #[test]
    fn a_clock_set_back_starts_the_count_anew() {
        let seen =
            run(&[(10_000, false, true), (10_060, true, true), (60, true, true), (179, true, true), (180, true, true)]);
        let used: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(used, ["lte", "lte", "lte", "lte", "fibre"]);
    }

    #[test]
    fn an_uplink_that_is_no_longer_in_the_file_is_forgotten() {
        let memory = Memory { current: Some("old".to_owned()), working: vec![("old".to_owned(), 0)] };
        let choice = decide(&[("new", true)], &memory, HOLD, Timestamp::from_seconds(9));
        assert_eq!((choice.index, choice.why), (Some(0), Why::First));
        assert_eq!(choice.memory.current(), Some("new"));
    }

    #[test]
    fn whatever_the_lines_do_only_working_ones_are_used_and_none_is_taken_back_before_its_time() {
        for seed in 0..200_u64 {
            let mut dice = seed;
            let mut roll = |below: u64| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (dice >> 33) % below
            };
            let names = ["a", "b", "c"];
            let (mut memory, mut now) = (Memory::default(), 1000);
            let mut works = [true; 3];
            let mut since = [now; 3];
            for _ in 0..200 {
                now += roll(90);
                for (index, works) in works.iter_mut().enumerate() {
                    let will = if roll(5) == 0 { !*works } else { *works };
                    if will && !*works {
                        since[index] = now;
                    }
                    *works = will;
                }
                let seen: Vec<(&str, bool)> = names.into_iter().zip(works).collect();
                let before = memory.current().and_then(|name| names.iter().position(|known| *known == name));
                let choice = decide(&seen, &memory, HOLD, Timestamp::from_seconds(now));
                match choice.index {
                    None => assert_eq!(works, [false; 3]),
                    Some(index) => {
                        assert!(works[index], "seed {seed}, {now}");
                        let is_moved = before.is_some_and(|before| before != index && works[before]);
                        if is_moved {
                            assert!(before > Some(index), "a working line is left for a better one alone");
                            assert!(now - since[index] >= HOLD.as_secs(), "seed {seed}, {now}: too early");
                        }
                    }
                }
                memory = choice.memory;
            }
        }
    }
}
