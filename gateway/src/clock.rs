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
    #[expect(clippy::disallowed_methods, reason = "this is the place that asks the system")]
    pub fn now(&self) -> Now {
        match self {
            Self::System(start) => {
                // A clock before 1970 counts as 1970: nothing was signed then.
                let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Now { wall: Timestamp::default() + since_1970, uptime: start.elapsed() }
            }
            Self::Set(hands) => *hands.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        }
    }
}
