//! What time alone changes about a host, and when that is due: the end of a hold, a device that fell silent, a switch
//! that had to wait.
//!
//! Nobody asks for these changes, so nobody is answered; they are recorded and pushed as any other.

use std::time::Duration;

use nicgate_protocol::{AddressSet, DeviceId, Timestamp};

use crate::agenda::Due;
use crate::failover::FailOver;
use crate::now::Watch;
use crate::state::HostState;

/// What to do about a host whose time has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Nothing, until it is due again.
    Nothing,
    /// Remember this state, in memory only.
    Note(HostState),
    /// Record this state; what it wants is pushed as any change.
    Record(HostState),
}

/// Looks at a host.
#[must_use]
pub fn look(state: &HostState, rule: Option<&FailOver>, cool_down: Duration, watch: Watch) -> Look {
    let mut next = state.lifted(watch.now.wall, cool_down);
    let mut is_new = state.hold.is_some() && next.hold.is_none();
    if let (Some(rule), Some(feeds)) = (rule, next.feeds.as_deref_mut()) {
        feeds.pass(rule, watch);
        if feeds.choose(rule, watch) {
            is_new = true;
            let (addresses, device) = (feeds.addresses(), feeds.active.clone());
            publish(&mut next, addresses, device, watch.now.wall);
        }
    }
    if is_new {
        Look::Record(next)
    } else if next != *state {
        Look::Note(next)
    } else {
        Look::Nothing
    }
}

/// Wants other addresses, or notes them under a hold.
fn publish(state: &mut HostState, addresses: AddressSet, device: DeviceId, now: Timestamp) {
    state.ordered_at = state.ordered_at.max(now);
    state.newest = None;
    match &mut state.hold {
        Some(hold) => (hold.noted, hold.noted_by) = (Some(addresses), Some(device)),
        None => (state.desired, state.device) = (addresses, Some(device)),
    }
}

/// When to look at a host.
#[must_use]
pub fn due(state: &HostState, rule: Option<&FailOver>, cool_down: Duration, watch: Watch) -> Due {
    let feeds = state.feeds.as_deref().zip(rule);
    Due {
        wall: state.hold.as_deref().and_then(|hold| hold.end(cool_down)),
        uptime: feeds.and_then(|(feeds, rule)| feeds.due(rule, watch)),
    }
}
