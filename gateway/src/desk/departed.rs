//! Devices that are gone: by `device revoke`, or because they left the configuration file. What they had must not hold
//! again when their id comes back, so their generation is counted on, and a line that was never used ends.
//!
//! A device of the file that no command touched has no row in the store. It is missed only by a gateway that runs while
//! it leaves.

use std::collections::HashSet;

use nicgate_logic::device::{Generation, Origin, Registry};
use nicgate_protocol::DeviceId;

use crate::config::Settings;
use crate::store::{StoreError, StoredDevice};

/// A device that left the configuration file, or came back to it.
#[derive(Debug)]
pub struct Departure {
    /// Which.
    pub id: DeviceId,
    /// It left.
    pub has_left: bool,
    /// Whether that is durable.
    pub recorded: Result<(), StoreError>,
}

/// What is kept of a device that is gone.
pub(super) fn gone(id: DeviceId, generation: Generation) -> StoredDevice {
    StoredDevice { id, generation: next(generation), registration: None, is_revoked: true, invite: None }
}

/// The generation after `generation`, without a grace period.
pub(super) fn next(generation: Generation) -> Generation {
    Generation { number: generation.number.saturating_add(1), previous_until: None }
}

/// The rows that change with new settings, of devices that left the file and of those that came back to it. `before` is
/// what was in force.
pub(super) fn changed(settings: &Settings, before: &Registry, kept: &[StoredDevice]) -> Vec<StoredDevice> {
    let present: HashSet<&DeviceId> = settings.devices.iter().map(|device| &device.id).collect();
    let mut left: HashSet<&DeviceId> = HashSet::new();
    let mut changed = Vec::new();
    for device in before.sorted() {
        if device.origin == Origin::File && !present.contains(&device.id) && left.insert(&device.id) {
            changed.push(gone(device.id.clone(), device.generation));
        }
    }
    for row in kept {
        if present.contains(&row.id) {
            if row.is_revoked {
                changed.push(StoredDevice { is_revoked: false, ..row.clone() });
            }
        } else if row.registration.is_none() && !row.is_revoked && !left.contains(&row.id) {
            // It left while no gateway ran.
            changed.push(gone(row.id.clone(), row.generation));
        }
    }
    changed
}
