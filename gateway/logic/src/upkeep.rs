//! What time alone changes about a host, and when that is due: the end of a hold.
//!
//! Nobody asks for these changes, so nobody is answered; they are recorded and pushed as any other.

use std::time::Duration;

use crate::agenda::Due;
use crate::now::Watch;
use crate::state::HostState;

/// What to do about a host whose time has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Nothing, until it is due again.
    Nothing,
    /// Record this state; what it wants is pushed as any change.
    Record(HostState),
}

/// Looks at a host.
#[must_use]
pub fn look(state: &HostState, cool_down: Duration, watch: Watch) -> Look {
    let next = state.lifted(watch.now.wall, cool_down);
    if state.hold.is_some() && next.hold.is_none() { Look::Record(next) } else { Look::Nothing }
}

/// When to look at a host.
#[must_use]
pub fn due(state: &HostState, cool_down: Duration) -> Due {
    Due { wall: state.hold.as_deref().and_then(|hold| hold.end(cool_down)), uptime: None }
}
