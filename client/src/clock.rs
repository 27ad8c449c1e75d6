//! The only caller of the system's clock. Everybody else is handed `now`.

use std::time::{SystemTime, UNIX_EPOCH};

use nicgate_protocol::Timestamp;

/// The system's time. A clock before 1970 counts as 1970: the gateway will refuse the signature and say so.
#[must_use]
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
