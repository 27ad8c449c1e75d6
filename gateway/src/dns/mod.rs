//! The embedded name server: authoritative answers from memory for the zones of the gateway (RFC 1034 4.3.2
//! without recursion and without delegations). SOA, NS, A and AAAA; everything else is NODATA.
//!
//! It deliberately does not: recurse, transfer zones, take dynamic updates, sign, or keep anything. Records come
//! from whoever publishes, each batch under a serial that is durable before it is handed in.
//!
//! `wire` turns a query into a reply and touches no socket; `server`, `udp` and `tcp` own the sockets; `zone`,
//! `records` and `lookup` are the data, with names as `name` writes them.
//!
//! A reply is never much larger than its query: no additional records but the addresses of name servers, one
//! record set for ANY, 512 octets without EDNS and 1232 with it, and refusals no longer than what they refuse.

mod lookup;
mod name;
mod records;
mod server;
mod tcp;
mod udp;
mod wire;
mod zone;

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use domain::base::Serial;
use nicgate_protocol::{AddressSet, Hostname};

use lookup::Content;
use name::WireName;
use records::{Record, Records};
use zone::ZoneSet;

pub use server::{Running, Server};
pub use wire::{ReplyBuffer, Transport};
pub use zone::ZoneHead;

/// All zones and their hosts, shared between those who answer and whoever publishes.
///
/// Answers are never seen half-changed: each of the changing calls shows all it does at once, and holds up
/// answers only while it writes into the tables, not while it prepares.
pub struct Zones {
    content: RwLock<Content>,
    /// The highest serial seen. Held by whoever changes something, so that between its reading and its writing
    /// nothing moves.
    latest: Mutex<Serial>,
}

impl Zones {
    /// Zones without hosts. To be loaded before a server starts: until then every host is said not to exist.
    #[must_use]
    pub fn new(heads: Vec<ZoneHead>) -> Self {
        let serial = Serial::from(0);
        let zones = ZoneSet::new(heads, &ZoneSet::default(), serial);
        Self { content: RwLock::new(Content { zones, ..Content::default() }), latest: Mutex::new(serial) }
    }

    /// Sets which zones there are. Hosts whose zone stays are kept; a host whose zone goes, or for which there is
    /// now a longer zone, is dropped, and is there again once it is published again.
    pub fn configure(&self, heads: Vec<ZoneHead>) {
        let latest = self.turn();
        let (zones, homeless) = {
            let content = self.read();
            let zones = ZoneSet::new(heads, &content.zones, *latest);
            let homeless = homeless(&content, &zones);
            (zones, homeless)
        };
        let mut content = self.write();
        let content = &mut *content;
        for name in homeless.iter().filter_map(|key| WireName::from_key(key)) {
            if let Some(depth) = content.zones.depth(&name) {
                content.records.remove(&name, depth);
            }
        }
        content.zones = zones;
    }

    /// Sets all hosts of all zones, each with its TTL in seconds, and the serial of every zone. Hosts in none of
    /// the zones and hosts without addresses are passed over.
    pub fn load(&self, records: impl Iterator<Item = (Hostname, AddressSet, u32)>, serial: u32) {
        let mut latest = self.turn();
        *latest = Serial::from(serial);
        // Nobody waits to write while we have the turn, so reading all this time holds nobody up.
        let mut loaded = Records::with_room_for(records.size_hint().0);
        {
            let content = self.read();
            for (hostname, addresses, ttl) in records {
                let name = WireName::from_hostname(&hostname);
                if let Some(depth) = content.zones.depth(&name) {
                    loaded.set(&name, depth, Record { addresses, ttl });
                }
            }
        }
        let before = {
            let mut content = self.write();
            content.zones.set_all_serials(*latest);
            std::mem::replace(&mut content.records, loaded)
        };
        drop(before);
    }

    /// Shows one committed batch, all of it at once: hosts with their new addresses (none: the host goes) and
    /// TTLs in seconds. Zones in which something changed get the serial, unless theirs is later. Hosts in none
    /// of the zones are passed over.
    pub fn publish(&self, changes: &[(Hostname, AddressSet, u32)], serial: u32) {
        let serial = Serial::from(serial);
        let mut latest = self.turn();
        if *latest < serial {
            *latest = serial;
        }
        let mut content = self.write();
        let content = &mut *content;
        for (hostname, addresses, ttl) in changes {
            let name = WireName::from_hostname(hostname);
            let Some(depth) = content.zones.depth(&name) else { continue };
            let record = Record { addresses: *addresses, ttl: *ttl };
            if content.records.set(&name, depth, record) {
                content.zones.raise_serial(name.suffix(depth), serial);
            }
        }
    }

    /// Answers one query into `reply`. False where silence is the only answer: what is no query at all.
    pub fn answer(&self, query: &[u8], transport: Transport, reply: &mut ReplyBuffer) -> bool {
        wire::answer(self, query, transport, reply)
    }

    /// How many hosts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().records.len()
    }

    /// Whether there is no host.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // Nothing in here panics half-way through a change, so a poisoned lock still guards whole data.

    fn turn(&self) -> MutexGuard<'_, Serial> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of the hosts that `zones` would put elsewhere.
fn homeless(content: &Content, zones: &ZoneSet) -> Vec<Box<[u8]>> {
    if zones.has_the_names_of(&content.zones) {
        return Vec::new();
    }
    // Zones of one name differ exactly if they differ in length.
    let is_moved = |name: WireName| zones.depth(&name) != content.zones.depth(&name);
    content.records.keys().filter(|key| WireName::from_key(key).is_some_and(is_moved)).map(Box::from).collect()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use domain::base::iana::Rtype;

    use super::lookup::Found;
    use super::*;

    fn host(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn head(zone: &str) -> ZoneHead {
        ZoneHead {
            name: host(zone),
            nameservers: vec![host(&format!("ns.{zone}"))],
            mailbox: host(&format!("hostmaster.{zone}")),
            ttl: 300,
            negative_ttl: 30,
            nameserver_addresses: AddressSet::EMPTY,
        }
    }

    fn record(name: &str, last: u8) -> (Hostname, AddressSet, u32) {
        (host(name), IpAddr::from([192, 0, 2, last]).into(), 60)
    }

    fn gone(name: &str) -> (Hostname, AddressSet, u32) {
        (host(name), AddressSet::EMPTY, 60)
    }

    /// What is found for the name's A record, in a word: the address's last octet, or the zone that has none.
    fn found(zones: &Zones, name: &str) -> String {
        match zones.read().find(&WireName::from_hostname(&host(name)), Rtype::A) {
            Found::Address(IpAddr::V4(v4), _) => v4.octets()[3].to_string(),
            Found::NoData(zone) => format!("no data in {}", zone.name),
            Found::NoName(zone) => format!("no name in {}", zone.name),
            Found::NotOurs => "not ours".into(),
            Found::Address(IpAddr::V6(_), _) | Found::Nameservers(_) | Found::Soa(_) => "something else".into(),
        }
    }

    fn serial(zones: &Zones, zone: &str) -> u32 {
        let content = zones.read();
        let Found::Soa(zone) = content.find(&WireName::from_hostname(&host(zone)), Rtype::SOA) else {
            panic!("{zone} is no zone");
        };
        zone.serial.into_int()
    }

    #[test]
    fn a_batch_changes_hosts_and_the_serial_of_their_zones_alone() {
        let zones = Zones::new(vec![head("home.test"), head("lan.home.test"), head("other.test")]);
        zones.load([record("a.home.test", 1), record("b.home.test", 2), record("a.nowhere.test", 3)].into_iter(), 5);
        assert_eq!(zones.len(), 2);
        zones.publish(
            &[
                record("a.home.test", 11),
                gone("b.home.test"),
                record("c.lan.home.test", 13),
                record("d.nowhere.test", 4),
            ],
            6,
        );
        assert_eq!(found(&zones, "a.home.test"), "11");
        assert_eq!(found(&zones, "b.home.test"), "no name in home.test");
        assert_eq!(found(&zones, "c.lan.home.test"), "13");
        assert_eq!(found(&zones, "d.nowhere.test"), "not ours");
        assert_eq!(["home.test", "lan.home.test", "other.test"].map(|zone| serial(&zones, zone)), [6, 6, 5]);
        assert_eq!(zones.len(), 2);
    }

    #[test]
    fn a_serial_grows_with_changes_and_never_goes_back() {
        let zones = Zones::new(vec![head("home.test")]);
        zones.load([record("a.home.test", 1)].into_iter(), u32::MAX - 1);
        for (change, given, expected) in [
            (record("a.home.test", 2), u32::MAX, u32::MAX),
            (record("a.home.test", 2), 1, u32::MAX), // nothing changed
            (gone("b.home.test"), 2, u32::MAX),      // nothing there
            (record("a.home.test", 3), 3, 3),        // round the corner (RFC 1982)
            (record("a.home.test", 4), 2, 3),        // late
        ] {
            zones.publish(&[change], given);
            assert_eq!(serial(&zones, "home.test"), expected);
        }
        assert_eq!(found(&zones, "a.home.test"), "4");
    }

    #[test]
    fn zones_come_and_go_and_only_their_own_hosts_with_them() {
        let zones = Zones::new(vec![head("home.test"), head("other.test")]);
        zones.load([record("a.home.test", 1), record("x.lan.home.test", 2), record("a.other.test", 3)].into_iter(), 5);

        // A longer zone takes its names, empty until it is filled.
        zones.configure(vec![head("home.test"), head("lan.home.test"), head("other.test")]);
        assert_eq!(found(&zones, "a.home.test"), "1");
        assert_eq!(found(&zones, "x.lan.home.test"), "no name in lan.home.test");
        zones.publish(&[record("x.lan.home.test", 4)], 6);
        assert_eq!(["home.test", "lan.home.test"].map(|zone| serial(&zones, zone)), [5, 6]);

        // When it goes, its hosts do not fall to the shorter one.
        zones.configure(vec![head("home.test")]);
        assert_eq!(found(&zones, "x.lan.home.test"), "no name in home.test");
        assert_eq!(found(&zones, "a.other.test"), "not ours");
        assert_eq!(found(&zones, "lan.home.test"), "no name in home.test", "no empty name is left behind");
        assert_eq!(zones.len(), 1);

        // A zone that comes back has to be filled again, and its serial is no lower than it was.
        zones.configure(vec![head("home.test"), head("other.test")]);
        assert_eq!(found(&zones, "a.other.test"), "no name in other.test");
        assert_eq!(["home.test", "other.test"].map(|zone| serial(&zones, zone)), [5, 6]);

        // A new head is a change, too; the hosts stay.
        zones.configure(vec![ZoneHead { ttl: 600, ..head("home.test") }]);
        assert_eq!(serial(&zones, "home.test"), 6);
        assert_eq!(found(&zones, "a.home.test"), "1");
    }

    #[test]
    fn a_host_goes_before_the_fixed_address_of_a_name_server() {
        let zones = Zones::new(vec![ZoneHead { nameserver_addresses: record("a.test", 53).1, ..head("home.test") }]);
        assert_eq!(found(&zones, "ns.home.test"), "53");
        zones.publish(&[record("ns.home.test", 54)], 1);
        assert_eq!(found(&zones, "ns.home.test"), "54");
        zones.publish(&[gone("ns.home.test")], 2);
        assert_eq!(found(&zones, "ns.home.test"), "53");
    }

    #[test]
    fn readers_see_a_batch_whole_or_not_at_all() {
        let zones = Zones::new(vec![head("home.test")]);
        let names = ["a.home.test", "b.home.test"].map(|name| WireName::from_hostname(&host(name)));
        zones.load(["a.home.test", "b.home.test"].map(|name| record(name, 0)).into_iter(), 0);
        std::thread::scope(|scope| {
            let publisher = scope.spawn(|| {
                for round in 1..=200 {
                    zones.publish(&["a.home.test", "b.home.test"].map(|name| record(name, round)), round.into());
                }
            });
            while !publisher.is_finished() {
                let content = zones.read();
                let [a, b] = names.each_ref().map(|name| *content.records.get(name.key()).unwrap());
                assert_eq!(a, b);
            }
        });
        assert_eq!(found(&zones, "a.home.test"), "200");
    }
}
