//! What the gateway knows about one host: what was asked last, what each provider confirmed.
//!
//! The store keeps it and says how it looks on disk; nothing here touches a disk.

use std::time::Duration;

use nicgate_protocol::{AddressSet, DeviceId, Timestamp};

use crate::now::Now;

/// Sixteen bytes that tell one signed request from every other: the start of the SHA-256 of its signature.
pub type SignatureId = [u8; 16];

/// One host. An absent host and [`HostState::default`] mean the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostState {
    /// What the newest accepted update, or the operator, wants published.
    pub desired: AddressSet,
    /// The commit that recorded `desired`; 0 before the first.
    pub number: u64,
    /// When the newest change, or what a hold noted since, counts as sent: the earlier of the sender's clock and ours.
    pub ordered_at: Timestamp,
    /// The signature of the newest update of any kind; `None` when that one was not signed.
    pub newest: Option<SignatureId>,
    /// Whether that newest update changed something.
    pub newest_changed: bool,
    /// Who changed the host last; `None` for the operator.
    pub device: Option<DeviceId>,
    /// What each provider of the zone confirmed; the embedded one is not listed, it follows `desired` by itself.
    pub applied: Vec<Applied>,
    /// A manual override, or the pause after one; also one that is over, until somebody looks.
    pub hold: Option<Box<Hold>>,
    /// What its devices said, each for itself; for hosts with fail-over alone.
    pub feeds: Option<Box<Feeds>>,
}

/// What one provider confirmed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// The provider's name in the configuration.
    pub provider: Box<str>,
    /// What it confirmed to publish.
    pub addresses: AddressSet,
    /// The time to live that went with it, in seconds.
    pub ttl: u32,
    /// Zone and record ids, in the provider's own words, so that the next change costs one call.
    pub remembered: Option<Box<str>>,
    /// What later pushes without a known end tried to publish: any of it may stand there instead of `addresses`. The
    /// next confirmation clears it.
    pub doubted: Vec<AddressSet>,
}

impl Applied {
    /// Of pushes without a known end, so many are remembered per host; a router that dials in anew while a provider
    /// lies down for hours makes a new one each time.
    pub const MOST_DOUBTED: usize = 32;

    /// Whether the provider may publish something else than it confirmed.
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        !self.doubted.is_empty()
    }
}

/// Automatic updates of the host are suspended; how long, and what comes after, is told in [`crate::hold`].
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// Until when the pin or the cool-down lasts; `None`: until released.
    pub until: Option<Timestamp>,
    /// Pinned by hand, rather than cooling down after a release.
    pub is_pin: bool,
    /// What would be published without the hold; `None` when nobody ever asked for anything.
    pub noted: Option<AddressSet>,
    /// The device that asked for it; `None` for the operator.
    pub noted_by: Option<DeviceId>,
}

/// The devices that feed one host, and which of them is published; how one takes over from another is told in
/// [`crate::failover`].
#[derive(Clone, Debug, PartialEq)]
pub struct Feeds {
    /// One for each device that ever spoke, in no order.
    pub reports: Vec<Report>,
    /// The device whose addresses are published, but for a hold.
    pub active: DeviceId,
    /// When another one was before; `None` when there never was. Its uptime is zero after a start.
    pub switched: Option<Now>,
}

/// What one device said of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The device.
    pub device: DeviceId,
    /// Its addresses for the host; none when it took them away.
    pub addresses: AddressSet,
    /// As [`HostState::ordered_at`], for this device alone.
    pub ordered_at: Timestamp,
    /// As [`HostState::newest`], for this device alone.
    pub newest: Option<SignatureId>,
    /// Whether that one changed what is published.
    pub newest_changed: bool,
    /// The last heartbeat. Its uptime is zero after a start, and what the disk has of it may be old.
    pub heard: Now,
    /// Whether it counts as living.
    pub presence: Presence,
}

/// Whether a device counts as living.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It does.
    Here,
    /// It was silent and has begun to speak again.
    Returning {
        /// How many heartbeats in a row.
        heartbeats: u32,
        /// The uptime of the last one that counted.
        counted: Duration,
    },
    /// It was not heard for too long.
    Silent,
}

impl HostState {
    /// What `provider` confirmed, if it ever did.
    #[must_use]
    pub fn applied_by(&self, provider: &str) -> Option<&Applied> {
        self.applied.iter().find(|applied| &*applied.provider == provider)
    }

    /// Whether `provider` publishes what is desired, for certain.
    #[must_use]
    pub fn is_applied_by(&self, provider: &str) -> bool {
        match self.applied_by(provider) {
            Some(applied) => applied.addresses == self.desired && !applied.is_doubted(),
            None => self.desired.is_empty(),
        }
    }

    /// Replaces what `applied.provider` confirmed.
    pub fn set_applied(&mut self, applied: Applied) {
        match self.applied.iter_mut().find(|known| known.provider == applied.provider) {
            Some(known) => *known = applied,
            None => self.applied.push(applied),
        }
    }

    /// Remembers that `provider` may publish these addresses, which it has not confirmed. `false`: it was known, or
    /// they are what it confirmed.
    pub fn doubt(&mut self, provider: &str, addresses: AddressSet) -> bool {
        let index = self.applied.iter().position(|applied| &*applied.provider == provider).unwrap_or_else(|| {
            self.applied.push(Applied { provider: provider.into(), ..Applied::default() });
            self.applied.len() - 1
        });
        let Applied { addresses: confirmed, doubted, .. } = &mut self.applied[index];
        if *confirmed == addresses || doubted.contains(&addresses) {
            return false;
        }
        if doubted.len() == Applied::MOST_DOUBTED {
            doubted.remove(0);
        }
        doubted.push(addresses);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_never_heard_of_a_host_applies_nothing() {
        let mut state = HostState::default();
        assert!(state.is_applied_by("cloud"));
        state.desired.v4 = Some([192, 0, 2, 1].into());
        assert!(!state.is_applied_by("cloud"));
        state.set_applied(Applied { provider: "cloud".into(), addresses: state.desired, ..Applied::default() });
        assert!(state.is_applied_by("cloud"));
    }

    #[test]
    fn a_doubt_lasts_until_the_next_confirmation() {
        let old = AddressSet { v4: Some([192, 0, 2, 1].into()), v6: None };
        let new = AddressSet { v4: Some([192, 0, 2, 2].into()), v6: None };
        let confirmed = Applied { provider: "cloud".into(), addresses: old, ..Applied::default() };
        let mut state = HostState { desired: old, ..HostState::default() };
        state.set_applied(confirmed.clone());
        assert!(state.doubt("cloud", new) && !state.doubt("cloud", new));
        assert!(!state.is_applied_by("cloud"), "the old address was confirmed, and the new one may stand there");
        state.set_applied(confirmed);
        assert!(state.is_applied_by("cloud"));
        // A host of which nothing was ever confirmed can be doubted as well.
        state = HostState::default();
        assert!(state.doubt("cloud", new) && !state.is_applied_by("cloud"));
        for last in 0..100 {
            state.doubt("cloud", AddressSet { v4: Some([192, 0, 2, last].into()), v6: None });
        }
        assert_eq!(state.applied_by("cloud").unwrap().doubted.len(), Applied::MOST_DOUBTED);
    }
}
