//! Replay memory: which nonces were used, by whom, for how long it matters.
//!
//! Two generations, turned over every [`PERIOD`]: an entry lives through one whole period at least, and dropping
//! costs nothing. At most [`MOST`] entries; beyond that nobody is admitted, rather than somebody twice. An entry takes
//! 28 bytes and one of bookkeeping: 61 MB at worst, 91 MB while a table grows.
//!
//! The clock is the caller's and may jump. Whatever is dropped raises [`Nonces::remembers_since`], so a clock that
//! is set back meets a memory that says what it no longer knows. Nothing here judges whether a claimed time is
//! acceptable; callers let pass what lies within 300 s.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use nicgate_logic::state::SignatureId;
use nicgate_protocol::{DeviceId, Timestamp};
use sha2::{Digest as _, Sha256};

use super::Admission;

/// How far a claimed time may lie from ours; `design.md`, "Four ways to speak".
pub(super) const WINDOW: Duration = Duration::from_secs(300);
/// A claim may be made 300 s ahead and used until 300 s behind; one more second keeps the edges apart.
const PERIOD: Duration = Duration::from_secs(601);
/// How many nonces are remembered at most.
pub(super) const MOST: usize = 1 << 20;

/// One nonce of one device: the start of a SHA-256. Nobody but the device's owner could look for two that
/// collide, and to nobody's harm but the device's.
pub(super) type Claim = [u8; 16];
/// The start of the signature that came with it.
pub(super) type Mark = [u8; 8];

/// The key of a nonce.
pub(super) fn claim_of(device: &DeviceId, nonce: &[u8]) -> Claim {
    // No id holds a zero byte, so no two pairs give the same text.
    let hash = Sha256::new().chain_update(device.as_str()).chain_update([0]).chain_update(nonce).finalize();
    let mut claim = Claim::default();
    claim.copy_from_slice(&hash[..16]);
    claim
}

/// What is kept of a signature.
pub(super) fn mark_of(signature: &SignatureId) -> Mark {
    let mut mark = Mark::default();
    mark.copy_from_slice(&signature[..8]);
    mark
}

/// Why a nonce is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// No room.
    Full,
    /// Another signature used it.
    Reused,
}

/// The memory.
pub(super) struct Nonces {
    recent: Generation,
    older: Generation,
    /// When `recent` began.
    began: Timestamp,
    remembers_since: Timestamp,
    most: usize,
}

/// One nonce that was used.
#[derive(Clone, Copy)]
struct Seen {
    mark: Mark,
    /// When first, in seconds since 1970, until 2106; 0 when that was before a restart.
    at: u32,
}

#[derive(Default)]
struct Generation {
    seen: HashMap<Claim, Seen>,
    /// The latest time that a nonce in it claimed.
    latest: Timestamp,
}

impl Nonces {
    /// An empty memory of `most` entries; `since`: claims up to then may have been used before it began.
    pub(super) fn new(now: Timestamp, since: Timestamp, most: usize) -> Self {
        Self { recent: Generation::default(), older: Generation::default(), began: now, remembers_since: since, most }
    }

    /// Every nonce that claimed a later time than this is remembered.
    pub(super) fn remembers_since(&self) -> Timestamp {
        self.remembers_since
    }

    /// Takes back what was read from disk, beyond the bound if need be: it was admitted once.
    pub(super) fn restore(&mut self, claim: Claim, mark: Mark, claimed: Timestamp) {
        self.recent.seen.insert(claim, Seen { mark, at: 0 });
        self.recent.latest = self.recent.latest.max(claimed);
    }

    /// Admits a nonce once.
    pub(super) fn admit(
        &mut self,
        claim: Claim,
        mark: Mark,
        claimed: Timestamp,
        now: Timestamp,
    ) -> Result<Admission, Rejected> {
        self.turn_over(now);
        if let Some(known) = self.recent.seen.get(&claim).or_else(|| self.older.seen.get(&claim)) {
            let first = Timestamp::from_seconds(known.at.into());
            return if known.mark == mark { Ok(Admission::Again(first)) } else { Err(Rejected::Reused) };
        }
        if self.len() >= self.most {
            return Err(Rejected::Full);
        }
        let at = u32::try_from(now.seconds()).unwrap_or(u32::MAX);
        self.recent.seen.insert(claim, Seen { mark, at });
        // Bounded by our own clock, so that no claim, however wild, silences the memory for longer.
        self.recent.latest = self.recent.latest.max(claimed.min(now + WINDOW));
        Ok(Admission::First)
    }

    fn len(&self) -> usize {
        self.recent.seen.len() + self.older.seen.len()
    }

    /// Drops the older generation once the newer one is old enough. A clock that was set back starts the period
    /// anew: nothing is dropped early, and nothing is kept until the clock has caught up.
    fn turn_over(&mut self, now: Timestamp) {
        self.began = self.began.min(now);
        if now.since(self.began) < PERIOD {
            return;
        }
        let dropped = mem::replace(&mut self.older, mem::take(&mut self.recent));
        self.remembers_since = self.remembers_since.max(dropped.latest);
        self.began = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_767_323_045_000);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn claim(number: u32) -> Claim {
        claim_of(&DeviceId::parse("laptop").unwrap(), &number.to_be_bytes())
    }

    fn admit(nonces: &mut Nonces, number: u32, claimed: Timestamp, now: Timestamp) -> Result<Admission, Rejected> {
        nonces.admit(claim(number), *b"the mark", claimed, now)
    }

    #[test]
    fn a_nonce_counts_once_per_device_and_signature() {
        let mut nonces = Nonces::new(START, START, MOST);
        assert_eq!(admit(&mut nonces, 1, START, START), Ok(Admission::First));
        assert_eq!(admit(&mut nonces, 1, START, START + seconds(9)), Ok(Admission::Again(START)));
        assert_eq!(nonces.admit(claim(1), *b"another!", START, START), Err(Rejected::Reused));
        let other = claim_of(&DeviceId::parse("laptop2").unwrap(), &1u32.to_be_bytes());
        assert_eq!(nonces.admit(other, *b"the mark", START, START), Ok(Admission::First));
        assert_eq!(admit(&mut nonces, 2, START, START), Ok(Admission::First));
    }

    #[test]
    fn a_nonce_is_remembered_while_its_claim_could_pass() {
        for (lead, ahead) in [(0, 300), (300, 300), (600, 300), (601, 300), (900, 0)] {
            let mut nonces = Nonces::new(START, START, MOST);
            // Something before, so that the periods do not begin with the nonce.
            assert_eq!(admit(&mut nonces, 0, START, START), Ok(Admission::First));
            let used = START + seconds(lead);
            let claimed = used + seconds(ahead);
            assert_eq!(admit(&mut nonces, 1, claimed, used), Ok(Admission::First));
            for later in 0..=(ahead + 300) {
                assert_eq!(
                    admit(&mut nonces, 1, claimed, used + seconds(later)),
                    Ok(Admission::Again(used)),
                    "{lead} {later}"
                );
            }
        }
    }

    #[test]
    fn the_memory_forgets_what_cannot_pass_any_more() {
        let mut nonces = Nonces::new(START, START, MOST);
        let mut most = 0;
        for second in 0..10_000 {
            let now = START + seconds(second);
            admit(&mut nonces, second as u32, now, now).unwrap();
            most = most.max(nonces.len());
        }
        assert!(most <= 2 * 601, "{most}");
        assert!(nonces.remembers_since() < START + seconds(9_999 - 300));
    }

    #[test]
    fn a_full_memory_admits_nobody_new_until_it_forgets() {
        let mut nonces = Nonces::new(START, START, 3);
        for number in 0..3 {
            assert_eq!(admit(&mut nonces, number, START, START), Ok(Admission::First));
        }
        assert_eq!(admit(&mut nonces, 3, START, START), Err(Rejected::Full));
        assert_eq!(admit(&mut nonces, 2, START, START), Ok(Admission::Again(START)));
        assert_eq!(admit(&mut nonces, 3, START, START + seconds(601)), Err(Rejected::Full));
        assert_eq!(admit(&mut nonces, 3, START, START + seconds(1202)), Ok(Admission::First));
    }

    #[test]
    fn a_clock_set_back_neither_drops_early_nor_keeps_for_ever() {
        let mut nonces = Nonces::new(START, START, 2);
        let back = START - seconds(86_400);
        assert_eq!(admit(&mut nonces, 1, START, START), Ok(Admission::First));
        assert_eq!(admit(&mut nonces, 2, back, back), Ok(Admission::First));
        assert_eq!(admit(&mut nonces, 1, START, back + seconds(600)), Ok(Admission::Again(START)));
        assert_eq!(admit(&mut nonces, 2, back, back + seconds(600)), Ok(Admission::Again(back)));
        assert_eq!(admit(&mut nonces, 3, back, back + seconds(601)), Err(Rejected::Full));
        assert_eq!(admit(&mut nonces, 3, back, back + seconds(1202)), Ok(Admission::First));
    }

    #[test]
    fn what_was_dropped_by_a_jump_ahead_is_known_to_be_forgotten() {
        let mut nonces = Nonces::new(START, START, MOST);
        let used = START + seconds(10);
        assert_eq!(admit(&mut nonces, 1, used, used), Ok(Admission::First));
        for jump in [3600, 7200] {
            admit(&mut nonces, jump, used, START + seconds(jump.into())).unwrap();
        }
        // Back at the true time the memory would admit it again; whoever asks is told that it does not know.
        assert_eq!(admit(&mut nonces, 1, used, used + seconds(1)), Ok(Admission::First));
        assert!(nonces.remembers_since() >= used);
    }
}
