//! Who is at work: the claim of a running update, the heartbeat of the resident client, and when somebody else may
//! take over. Pure; the claim and the heartbeat are kept by `state`.
//!
//! Two instances never work at once: each holds a lock of the system's while it works. A lock ends with its process,
//! but a process that is stuck keeps it, so a claim beside the lock says until when the work must be over. Whoever
//! takes over writes a claim of its own; the one that was stuck finds it and writes nothing more.

use std::time::Duration;

use nicgate_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// No work takes longer; a claim beyond it is not believed.
const LONGEST: Duration = Duration::from_secs(900);
/// How far two readings of one machine's clock may lie apart without its having been set.
const SKEW: Duration = Duration::from_secs(60);

/// Somebody is at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The process.
    pub pid: u32,
    /// Tells one claim from the next.
    pub nonce: String,
    /// By when it is over (seconds since 1970).
    pub until: u64,
}

impl Claim {
    /// A claim on the next `span` of time.
    #[must_use]
    pub fn new(pid: u32, nonce: String, now: Timestamp, span: Duration) -> Self {
        Self { pid, nonce, until: now.seconds() + span.min(LONGEST).as_secs() }
    }

    /// Whether whoever made it should be left alone: it is still at work within its time.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        // One that ends too far ahead was made before the clock was set back.
        self.until >= now.seconds() && self.until - now.seconds() <= (LONGEST + SKEW).as_secs()
    }
}

/// The resident client is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The process.
    pub pid: u32,
    /// When it last came round (seconds since 1970).
    pub at: u64,
    /// When it will at the latest.
    pub next: u64,
    /// Whether the names pointed where they should when it last looked.
    pub is_well: bool,
}

/// How the resident client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resident {
    /// It looks after the names; its last look is so long ago.
    AtWork(Duration),
    /// It is there, but its updates fail.
    Failing,
    /// It should have come round and did not: dead or stuck. Its last look is so long ago.
    Silent(Duration),
    /// There is none.
    None,
}

/// Reads a heartbeat.
#[must_use]
pub fn resident(heartbeat: Option<&Heartbeat>, now: Timestamp) -> Resident {
    let Some(heartbeat) = heartbeat else { return Resident::None };
    let age = Duration::from_secs(now.seconds().saturating_sub(heartbeat.at));
    let is_ahead = heartbeat.at > now.seconds() + SKEW.as_secs();
    if is_ahead || now.seconds() > heartbeat.next + SKEW.as_secs() {
        Resident::Silent(age)
    } else if heartbeat.is_well {
        Resident::AtWork(age)
    } else {
        Resident::Failing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_claim_holds_until_its_time_is_over_or_the_clock_was_set_back() {
        let claim = Claim::new(7, "n".to_owned(), at(10_000), Duration::from_secs(300));
        for (now, holds) in [(10_000, true), (10_300, true), (10_301, false), (9_990, true), (9_000, false), (0, false)]
        {
            assert_eq!(claim.holds(at(now)), holds, "{now}");
        }
        let claim = Claim::new(7, "n".to_owned(), at(0), Duration::from_secs(86_400));
        assert!(!claim.holds(at(LONGEST.as_secs() + 1)), "no claim is longer than the longest work");
    }

    #[test]
    fn a_resident_that_does_not_come_round_is_silent() {
        let beat = Heartbeat { pid: 7, at: 1000, next: 1300, is_well: true };
        for (now, expected) in [
            (1000, Resident::AtWork(Duration::ZERO)),
            (1360, Resident::AtWork(Duration::from_secs(360))),
            (1361, Resident::Silent(Duration::from_secs(361))),
            (990, Resident::AtWork(Duration::ZERO)),
            (900, Resident::Silent(Duration::ZERO)),
        ] {
            assert_eq!(resident(Some(&beat), at(now)), expected, "{now}");
        }
        assert_eq!(resident(Some(&Heartbeat { is_well: false, ..beat }), at(1000)), Resident::Failing);
        assert_eq!(resident(None, at(0)), Resident::None);
    }
}
