//! The present, handed in from outside: wall clock for what others sign and read, uptime for what we wait for.

use std::time::Duration;

use nicgate_protocol::Timestamp;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// UTC; may jump when somebody sets it.
    pub wall: Timestamp,
    /// Time since the program started; never jumps. Limits and backoff live by it.
    pub uptime: Duration,
}

/// The present, and since when this process listens: what happened before that, nobody here can have missed.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// The present.
    pub now: Now,
    /// The uptime at which this process began to listen.
    pub since: Duration,
}

impl Watch {
    /// How long ago something was, as far as this process could notice.
    #[must_use]
    pub fn elapsed(self, moment: Now) -> Duration {
        self.now.uptime.saturating_sub(self.noticed(moment))
    }

    /// The uptime of a moment, or of our start for one before it.
    #[must_use]
    pub fn noticed(self, moment: Now) -> Duration {
        moment.uptime.max(self.since)
    }
}
