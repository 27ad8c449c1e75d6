//! The only caller of the system's clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nicgate_logic::Now;
use nicgate_protocol::Timestamp;

/// Where `now` comes from. Tests drive one of their own.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's clocks; uptime counts from the moment given.
    System(Instant),
    /// A clock that somebody sets.
    Set(std::sync::Arc<std::sync::Mutex<Now>>),
}

impl Clock {
    /// The system's clocks, uptime counted from here.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place that asks the system")]
    pub fn system() -> Self {
        Self::System(Instant::now())
    }

    /// Both clocks at once.
    #[must_use]
    pub fn now(&self) -> Now {
        match self {
            Self::System(start) => Now { wall: system_wall(), uptime: start.elapsed() },
            Self::Set(hands) => *hands.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        }
    }

    /// The wall clock alone, where asking both for each line would be half in vain.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        match self {
            Self::System(_) => system_wall(),
            Self::Set(_) => self.now().wall,
        }
    }

    /// The uptime alone.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        match self {
            Self::System(start) => start.elapsed(),
            Self::Set(_) => self.now().uptime,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place that asks the system")]
fn system_wall() -> Timestamp {
    // A clock before 1970 counts as 1970: nothing was signed then.
    Timestamp::default() + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}
