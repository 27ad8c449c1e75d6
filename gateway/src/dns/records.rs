//! The addresses of all hosts, by name, whichever zone they lie in.
//!
//! One name costs a bucket of 49 octets in a table that is between 7/16 and 7/8 full, and an allocation of its
//! own for its key of one octet more than it has characters: 90 to 145 octets for a name of twenty characters. A
//! million of them were measured at 134 MB. A full table doubles at once, within the batch that filled it.
//!
//! The tables hash with a key of their own (`RandomState`): names in questions are chosen by strangers.

use std::collections::HashMap;
use std::net::IpAddr;

use domain::base::iana::Rtype;
use nicgate_protocol::AddressSet;

use super::name::WireName;

/// What a name has. Empty for a name that merely lies above others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) addresses: AddressSet,
    /// Seconds.
    pub(super) ttl: u32,
}

impl Record {
    pub(super) const EMPTY: Self = Self { addresses: AddressSet::EMPTY, ttl: 0 };

    /// The one address that answers a question for `rtype`. For ANY that is one record set too, the first there
    /// is (RFC 8482 4.1).
    pub(super) fn pick(&self, rtype: Rtype) -> Option<IpAddr> {
        match rtype {
            Rtype::A => self.addresses.v4.map(IpAddr::V4),
            Rtype::AAAA => self.addresses.v6.map(IpAddr::V6),
            Rtype::ANY => self.addresses.iter().next(),
            _ => None,
        }
    }
}

/// Hosts, and the empty names between them and the top of their zone (RFC 4592 2.2.2).
#[derive(Default)]
pub(super) struct Records {
    /// By `WireName::key`; never an empty record.
    hosts: HashMap<Box<[u8]>, Record>,
    /// How many hosts lie below a name that lies below the top of their zone. Never zero.
    above: HashMap<Box<[u8]>, u32>,
}

impl Records {
    pub(super) fn with_room_for(hosts: usize) -> Self {
        Self { hosts: HashMap::with_capacity(hosts), above: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Record> {
        self.hosts.get(key)
    }

    /// Whether hosts lie below this name.
    pub(super) fn is_above(&self, key: &[u8]) -> bool {
        self.above.contains_key(key)
    }

    /// The names of all hosts, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.hosts.keys().map(Box::as_ref)
    }

    /// Sets what a host has; an empty record removes it. `zone_labels` is the depth of the host's zone. Says
    /// whether anything changed.
    pub(super) fn set(&mut self, name: &WireName, zone_labels: usize, record: Record) -> bool {
        if record.addresses.is_empty() {
            return self.remove(name, zone_labels);
        }
        if let Some(known) = self.hosts.get_mut(name.key()) {
            return std::mem::replace(known, record) != record;
        }
        self.hosts.insert(name.key().into(), record);
        for above in name.between(zone_labels) {
            match self.above.get_mut(above) {
                Some(count) => *count += 1,
                None => {
                    self.above.insert(above.into(), 1);
                }
            }
        }
        true
    }

    pub(super) fn remove(&mut self, name: &WireName, zone_labels: usize) -> bool {
        if self.hosts.remove(name.key()).is_none() {
            return false;
        }
        for above in name.between(zone_labels) {
            match self.above.get_mut(above) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) | None => {
                    self.above.remove(above);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use nicgate_protocol::Hostname;

    use super::*;

    #[test]
    fn a_bucket_is_as_small_as_the_note_above_says() {
        assert_eq!(size_of::<(Box<[u8]>, Record)>() + 1, 49);
    }

    #[test]
    fn empty_names_in_between_live_as_long_as_a_host_below_them() {
        let name = |text| WireName::from_hostname(&Hostname::parse(text).unwrap());
        let record = Record { addresses: IpAddr::from([192, 0, 2, 1]).into(), ttl: 60 };
        let mut records = Records::default();
        let above = name("b.c.home.test");
        assert!(records.set(&name("a.b.c.home.test"), 2, record));
        assert!(!records.set(&name("a.b.c.home.test"), 2, record), "nothing changed");
        assert!(records.set(&name("x.b.c.home.test"), 2, record));
        assert!(
            records.is_above(above.key()) && records.is_above(above.suffix(3)) && !records.is_above(above.suffix(2))
        );
        assert!(records.set(&name("a.b.c.home.test"), 2, Record::EMPTY));
        assert!(records.is_above(above.key()));
        assert!(records.remove(&name("x.b.c.home.test"), 2));
        assert!(!records.remove(&name("x.b.c.home.test"), 2));
        assert!(records.above.is_empty() && records.hosts.is_empty());
    }
}
