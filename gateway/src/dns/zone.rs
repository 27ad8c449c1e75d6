//! The zones we answer for: what their SOA and NS records say, and where one ends and the next begins.
//!
//! No delegations (RFC 1034 4.2): a zone holds all names below it, save those of a longer zone of ours.

use std::collections::HashMap;

use domain::base::name::Name;
use domain::base::{Serial, Ttl};
use domain::rdata::Soa;
use nicgate_protocol::{AddressSet, Hostname};

use super::name::WireName;
use super::records::Record;

/// Nobody transfers our zones, so what the SOA says to secondaries only has to look sane (RFC 1912 2.2).
const REFRESH: Ttl = Ttl::from_secs(7200);
const RETRY: Ttl = Ttl::from_secs(900);
const EXPIRE: Ttl = Ttl::from_secs(1_209_600);

/// The most name servers a zone answers with; with them every answer fits a reply buffer.
const MOST_NAMESERVERS: usize = 13;

/// What a zone has at its top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneHead {
    /// The zone's own name.
    pub name: Hostname,
    /// The names of its servers, the primary first. Never empty; those after the thirteenth are left out.
    pub nameservers: Vec<Hostname>,
    /// The mailbox of whoever looks after the zone, `@` written as a dot.
    pub mailbox: Hostname,
    /// How long SOA and NS may be kept, in seconds.
    pub ttl: u32,
    /// How long it may be remembered that there is no such name or type, in seconds (RFC 2308 4).
    pub negative_ttl: u32,
    /// The addresses of those of its servers whose names lie in the zone. A host of the same name goes before
    /// them, so that a server may have a changing address too.
    pub nameserver_addresses: AddressSet,
}

/// A zone as the answers need it.
pub(super) struct Zone {
    pub(super) name: Name<Vec<u8>>,
    pub(super) nameservers: Vec<Name<Vec<u8>>>,
    pub(super) ttl: Ttl,
    pub(super) serial: Serial,
    mailbox: Name<Vec<u8>>,
    negative_ttl: Ttl,
    head: ZoneHead,
}

impl Zone {
    fn new(head: ZoneHead, serial: Serial) -> Self {
        Self {
            name: absolute(&head.name),
            nameservers: head.nameservers.iter().take(MOST_NAMESERVERS).map(absolute).collect(),
            ttl: Ttl::from_secs(head.ttl),
            serial,
            mailbox: absolute(&head.mailbox),
            negative_ttl: Ttl::from_secs(head.negative_ttl),
            head,
        }
    }

    pub(super) fn soa(&self) -> Soa<&Name<[u8]>> {
        let primary = self.nameservers.first().unwrap_or(&self.name);
        let (primary, mailbox) = (primary.for_slice(), self.mailbox.for_slice());
        Soa::new(primary, mailbox, self.serial, REFRESH, RETRY, EXPIRE, self.negative_ttl)
    }

    /// How long the SOA may be kept where it stands for something that is not there (RFC 2308 3).
    pub(super) fn negative_ttl(&self) -> Ttl {
        self.ttl.min(self.negative_ttl)
    }
}

fn absolute(hostname: &Hostname) -> Name<Vec<u8>> {
    let mut octets = WireName::from_hostname(hostname).key().to_vec();
    octets.push(0);
    Name::from_octets(octets).expect("a key and the root's label make a name")
}

/// All zones, and the names that are there because of them.
#[derive(Default)]
pub(super) struct ZoneSet {
    /// By `WireName::key`.
    zones: HashMap<Box<[u8]>, Zone>,
    /// Name servers with their addresses, and the empty names above them and above zones within zones.
    fixed: HashMap<Box<[u8]>, Record>,
    /// How many labels the shortest zone has, and the longest: no other suffix of a question is worth a look.
    fewest: usize,
    most: usize,
}

impl ZoneSet {
    /// Zones that `before` has with the same head keep their serial; all others get `serial`.
    pub(super) fn new(heads: Vec<ZoneHead>, before: &Self, serial: Serial) -> Self {
        let mut set = Self { fewest: usize::MAX, ..Self::default() };
        for head in heads {
            let name = WireName::from_hostname(&head.name);
            set.fewest = set.fewest.min(name.labels());
            set.most = set.most.max(name.labels());
            let serial = match before.zones.get(name.key()) {
                Some(zone) if zone.head == head => zone.serial,
                Some(_) | None => serial,
            };
            set.zones.insert(name.key().into(), Zone::new(head, serial));
        }
        set.fix();
        set
    }

    /// Notes the names that are there because the zones are.
    fn fix(&mut self) {
        let mut fixed = HashMap::new();
        for zone in self.zones.values() {
            // Asked for a name between two zones we must not say that there is none: resolvers would conclude
            // that nothing lies below it (RFC 8020).
            let name = WireName::from_hostname(&zone.head.name);
            let outer = (1..name.labels()).rev().find(|depth| self.zones.contains_key(name.suffix(*depth)));
            if let Some(outer) = outer {
                for above in name.between(outer) {
                    fixed.entry(Box::from(above)).or_insert(Record::EMPTY);
                }
            }
            if zone.head.nameserver_addresses.is_empty() {
                continue;
            }
            let record = Record { addresses: zone.head.nameserver_addresses, ttl: zone.head.ttl };
            for nameserver in zone.head.nameservers.iter().take(MOST_NAMESERVERS) {
                let nameserver = WireName::from_hostname(nameserver);
                let Some(depth) = self.depth(&nameserver) else { continue };
                if nameserver.suffix(depth) == name.key() {
                    fixed.insert(nameserver.key().into(), record);
                    for above in nameserver.between(depth) {
                        fixed.entry(Box::from(above)).or_insert(Record::EMPTY);
                    }
                }
            }
        }
        self.fixed = fixed;
    }

    /// How many labels the zone has that a name lies in: the longest one.
    pub(super) fn depth(&self, name: &WireName) -> Option<usize> {
        let longest = self.most.min(name.labels());
        (self.fewest..=longest).rev().find(|depth| self.zones.contains_key(name.suffix(*depth)))
    }

    /// The zone a name lies in, and how many labels it has.
    pub(super) fn of(&self, name: &WireName) -> Option<(&Zone, usize)> {
        let longest = self.most.min(name.labels());
        (self.fewest..=longest).rev().find_map(|depth| Some((self.zones.get(name.suffix(depth))?, depth)))
    }

    /// What a name has because of the zones.
    pub(super) fn fixed(&self, key: &[u8]) -> Option<&Record> {
        self.fixed.get(key)
    }

    /// Whether both have zones of the same names.
    pub(super) fn has_the_names_of(&self, other: &Self) -> bool {
        self.zones.len() == other.zones.len() && self.zones.keys().all(|name| other.zones.contains_key(name))
    }

    pub(super) fn set_all_serials(&mut self, serial: Serial) {
        for zone in self.zones.values_mut() {
            zone.serial = serial;
        }
    }

    /// Raises the serial of the zone with this name; it never goes back (RFC 1982).
    pub(super) fn raise_serial(&mut self, zone: &[u8], serial: Serial) {
        if let Some(zone) = self.zones.get_mut(zone)
            && zone.serial < serial
        {
            zone.serial = serial;
        }
    }
}
