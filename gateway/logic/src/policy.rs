//! What the operator decided about zones and hosts: which ranges are taken, which TTL, which interface id.
//!
//! Made by the configuration, read by every decision, never changed in between.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use nicgate_protocol::{Hostname, Scope};

use crate::failover::FailOver;

/// The time to live without a service class, in seconds. A FRITZ!Box looks its own name up after 240 s.
pub const DEFAULT_TTL: u32 = 60;

/// Which addresses a zone takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Globally routable unicast only.
    #[default]
    PublicOnly,
    /// Also RFC 1918, carrier NAT and unique local addresses.
    AllowPrivate,
    /// Every unicast address, documentation and benchmark ranges too: laboratories.
    Any,
}

impl AddressPolicy {
    /// Whether an address may be published.
    #[must_use]
    pub fn takes(self, address: IpAddr) -> bool {
        let widest = match self {
            Self::PublicOnly => Scope::Public,
            Self::AllowPrivate => Scope::Private,
            Self::Any => Scope::Special,
        };
        Scope::of(address) <= widest
    }
}

/// One zone and where its updates go.
#[derive(Clone, Debug)]
pub struct ZonePolicy {
    /// The zone's apex.
    pub name: Hostname,
    /// Names of the providers, the primary first.
    pub providers: Vec<Arc<str>>,
    /// The ranges it takes.
    pub addresses: AddressPolicy,
    /// TTL of hosts without a service class, in seconds; `None`: the provider's own, else 60.
    pub ttl: Option<u32>,
}

/// What the configuration says about one host.
#[derive(Clone, Debug, Default)]
pub struct HostRule {
    /// From its service class or its own `ttl`, in seconds.
    pub ttl: Option<u32>,
    /// The host's part of an IPv6 address, for prefix updates.
    pub interface_id: Option<Ipv6Addr>,
    /// Several devices feed it, in an order of preference.
    pub fail_over: Option<Arc<FailOver>>,
}

/// Everything the operator decided about names.
#[derive(Clone, Debug)]
pub struct Policy {
    zones: HashMap<Hostname, Arc<ZonePolicy>>,
    hosts: HashMap<Hostname, HostRule>,
    /// Hosts with an interface id, by name, so that a prefix update finds them.
    with_interface_id: Vec<Hostname>,
    /// How long automatic updates wait after a release.
    pub cool_down: Duration,
}

/// What holds for one host.
#[derive(Clone, Debug)]
pub struct HostPolicy {
    /// The zone that holds it.
    pub zone: Arc<ZonePolicy>,
    /// What the configuration says about it alone.
    pub rule: HostRule,
}

impl HostPolicy {
    /// The TTL asked for, if anybody asked; the provider's own default stands behind it.
    #[must_use]
    pub fn ttl(&self) -> Option<u32> {
        self.rule.ttl.or(self.zone.ttl)
    }
}

impl Policy {
    /// From the parts of a configuration.
    #[must_use]
    pub fn new(zones: Vec<ZonePolicy>, hosts: Vec<(Hostname, HostRule)>, cool_down: Duration) -> Self {
        let mut with_interface_id: Vec<Hostname> =
            hosts.iter().filter(|(_, rule)| rule.interface_id.is_some()).map(|(name, _)| name.clone()).collect();
        with_interface_id.sort();
        Self {
            zones: zones.into_iter().map(|zone| (zone.name.clone(), Arc::new(zone))).collect(),
            hosts: hosts.into_iter().collect(),
            with_interface_id,
            cool_down,
        }
    }

    /// What holds for a host; `None` when no zone holds it. The longest zone wins.
    #[must_use]
    pub fn of(&self, hostname: &Hostname) -> Option<HostPolicy> {
        let zone =
            std::iter::once(hostname.as_str()).chain(hostname.ancestors()).find_map(|name| self.zones.get(name))?;
        let rule = self.hosts.get(hostname).cloned().unwrap_or_default();
        Some(HostPolicy { zone: Arc::clone(zone), rule })
    }

    /// The hosts that move with a prefix, by name.
    #[must_use]
    pub fn with_interface_id(&self) -> &[Hostname] {
        &self.with_interface_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn zone(text: &str) -> ZonePolicy {
        ZonePolicy { name: name(text), providers: Vec::new(), addresses: AddressPolicy::Any, ttl: None }
    }

    #[test]
    fn the_longest_zone_holds_a_host() {
        let policy = Policy::new(vec![zone("home.test"), zone("lan.home.test")], Vec::new(), Duration::ZERO);
        let holder = |text| policy.of(&name(text)).map(|found| found.zone.name.to_string());
        assert_eq!(holder("a.home.test").as_deref(), Some("home.test"));
        assert_eq!(holder("home.test").as_deref(), Some("home.test"));
        assert_eq!(holder("a.lan.home.test").as_deref(), Some("lan.home.test"));
        assert_eq!(holder("a.other.test"), None);
    }

    #[test]
    fn each_policy_takes_its_ranges() {
        let takes = |policy: AddressPolicy, text: &str| policy.takes(text.parse().unwrap());
        assert!(takes(AddressPolicy::PublicOnly, "8.8.8.8") && !takes(AddressPolicy::PublicOnly, "10.0.0.1"));
        assert!(takes(AddressPolicy::AllowPrivate, "10.0.0.1") && !takes(AddressPolicy::AllowPrivate, "203.0.113.1"));
        assert!(takes(AddressPolicy::Any, "203.0.113.1") && takes(AddressPolicy::Any, "::1"));
        assert!(!takes(AddressPolicy::Any, "0.0.0.0") && !takes(AddressPolicy::Any, "ff02::1"));
    }
}
