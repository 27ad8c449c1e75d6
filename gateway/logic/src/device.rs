//! Devices and what they may touch: one registry for what stands in the file and what came by command.
//!
//! Secrets are not here: they are derived when they are needed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use nicgate_protocol::{DeviceId, HostPattern, Hostname, Timestamp};

/// What a device may touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    exact: HashSet<Hostname>,
    /// The names below which everything is granted.
    below: HashSet<Box<str>>,
}

impl Grants {
    /// From a list of patterns; repeats do no harm.
    pub fn new(patterns: impl IntoIterator<Item = HostPattern>) -> Self {
        let mut grants = Self::default();
        for pattern in patterns {
            match pattern.wildcard_base() {
                Some(base) => grants.below.insert(base.into()),
                None => grants.exact.insert(pattern.as_hostname().clone()),
            };
        }
        grants
    }

    /// Whether `hostname` is granted. Costs one look-up per label, however many grants there are.
    #[must_use]
    pub fn cover(&self, hostname: &Hostname) -> bool {
        self.exact.contains(hostname)
            || (!self.below.is_empty() && hostname.ancestors().any(|above| self.below.contains(above)))
    }

    /// The patterns as text, sorted.
    #[must_use]
    pub fn patterns(&self) -> Vec<String> {
        let exact = self.exact.iter().map(Hostname::to_string);
        let mut all: Vec<String> = exact.chain(self.below.iter().map(|base| format!("*.{base}"))).collect();
        all.sort();
        all
    }

    /// How many patterns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len() + self.below.len()
    }

    /// Whether nothing is granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How replies are dressed for a client; see `gateway/src/http/reply.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Routers, ddclient, inadyn: the body decides, so most refusals come with status 200.
    Classic,
    /// Clients that read only the status.
    Strict,
}

/// What the operator allows a device beyond the ordinary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowances {
    /// `username` and `password` may stand in the query.
    pub query_credentials: bool,
    /// It may speak on a plain HTTP listener.
    pub plain: bool,
    /// It may take its hosts offline (`offline=YES`, `/nic/delete`).
    pub delete: bool,
}

/// Where a device was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the configuration file: commands may rotate it and nothing else.
    File,
    /// By command.
    Command,
}

/// What is remembered about a credential: the generation from which its secrets are derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// 1 for a new device; `rotate` raises it.
    pub number: u32,
    /// Until when the secrets of the generation before still hold.
    pub previous_until: Option<Timestamp>,
}

impl Default for Generation {
    fn default() -> Self {
        Self { number: 1, previous_until: None }
    }
}

/// One holder of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// What it may touch; shared, because a device may have very many.
    pub grants: Arc<Grants>,
    /// How replies are dressed; `None`: by User-Agent.
    pub profile: Option<Profile>,
    /// What it may do beyond the ordinary.
    pub allowances: Allowances,
    /// Which secrets hold.
    pub generation: Generation,
    /// Where it was registered.
    pub origin: Origin,
}

/// Every device, by id.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    devices: HashMap<DeviceId, Arc<Device>>,
}

impl Registry {
    /// From a list; of two devices with one id the later wins.
    pub fn new(devices: impl IntoIterator<Item = Device>) -> Self {
        Self { devices: devices.into_iter().map(|device| (device.id.clone(), Arc::new(device))).collect() }
    }

    /// The device with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Arc<Device>> {
        self.devices.get(id)
    }

    /// Adds or replaces a device.
    pub fn insert(&mut self, device: Device) {
        self.devices.insert(device.id.clone(), Arc::new(device));
    }

    /// Removes a device.
    pub fn remove(&mut self, id: &str) -> Option<Arc<Device>> {
        self.devices.remove(id)
    }

    /// All devices, sorted by id.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Arc<Device>> {
        let mut all: Vec<&Arc<Device>> = self.devices.values().collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_cover_names_and_what_lies_below() {
        let patterns = ["home.home.test", "*.lan.home.test"].map(|text| HostPattern::parse(text).unwrap());
        let grants = Grants::new(patterns);
        for (name, covered) in [
            ("home.home.test", true),
            ("nas.lan.home.test", true),
            ("*.lan.home.test", true),
            ("a.b.lan.home.test", true),
            ("lan.home.test", false),
            ("other.home.test", false),
            ("x.home.home.test", false),
        ] {
            assert_eq!(grants.cover(&Hostname::parse(name).unwrap()), covered, "{name}");
        }
        assert_eq!(grants.patterns(), ["*.lan.home.test", "home.home.test"]);
    }
}
