//! The addresses of this machine's network interfaces, and the cards that uplinks are bound to.

use std::net::{IpAddr, Ipv4Addr};

use nicgate_protocol::address::unmapped;
use nicgate_protocol::{Family, Scope};

use crate::choose::{Found, Origin, Standing, is_meant};
use crate::platform::{self, Interface, Kind, Local};
use crate::settings::Which;
use crate::way::{Card, Way};

/// Where packets to the outside leave, by family: the address that they carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WayOut {
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
}

impl WayOut {
    /// Asks the routing table, or tells what the way says.
    #[must_use]
    pub fn of(way: &Way) -> Self {
        match &way.card {
            Some(card) => Self { v4: card.v4.map(IpAddr::V4), v6: card.v6.map(IpAddr::V6) },
            None => Self { v4: platform::source_address(Family::V4), v6: platform::source_address(Family::V6) },
        }
    }

    /// The address of one family.
    #[must_use]
    pub fn source(self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// Every address of every interface, in the system's order. By a bound way only those of its card.
#[must_use]
pub fn addresses(interfaces: &[Interface], way: &Way) -> Vec<Found> {
    let out = WayOut::of(way);
    let is_ours = |interface: &&Interface| way.card.as_ref().is_none_or(|card| card.name == interface.name);
    let found_on = |interface: &Interface| {
        let interface = interface.clone();
        let found = |local: &Local| Found {
            address: unmapped(local.address),
            origin: Origin::Interface(standing(&interface, local, out)),
        };
        interface.addresses.iter().map(found).collect::<Vec<Found>>()
    };
    interfaces.iter().filter(is_ours).flat_map(found_on).collect()
}

fn standing(interface: &Interface, local: &Local, out: WayOut) -> Standing {
    let family = Family::of(local.address);
    Standing {
        name: interface.name.clone(),
        mac: interface.mac,
        is_up: interface.is_up,
        is_vpn: interface.kind == Kind::Vpn,
        leads_out: out.source(family).is_some_and(|source| has(interface, source)),
        marks: local.marks,
    }
}

fn has(interface: &Interface, address: IpAddr) -> bool {
    interface.addresses.iter().any(|local| local.address == address)
}

/// The VPN that owns an address, by name: what is sent from there is seen with the VPN's address.
#[must_use]
pub fn vpn_of(interfaces: &[Interface], address: IpAddr) -> Option<String> {
    let owner = interfaces.iter().find(|interface| has(interface, address))?;
    (owner.kind == Kind::Vpn).then(|| owner.name.clone())
}

/// The next hop of the IPv4 default route, by a bound way that of its card.
#[must_use]
pub fn router(interfaces: &[Interface], way: &Way) -> Option<Ipv4Addr> {
    let is_ours = |interface: &&Interface| way.card.as_ref().is_none_or(|card| card.name == interface.name);
    let hops =
        interfaces.iter().filter(is_ours).flat_map(|interface| &interface.routes).filter_map(|route| {
            if let IpAddr::V4(router) = route.router { Some((route.metric, router)) } else { None }
        });
    hops.filter(|(_, router)| !router.is_unspecified()).min().map(|(_, router)| router)
}

/// The card that an uplink is bound to, with the addresses to speak from.
///
/// # Errors
/// A part of a sentence, when there is no such card or it is of no use.
pub fn card(interfaces: &[Interface], bind: &Which) -> Result<Card, String> {
    let out = WayOut::of(&Way::ANY);
    let is_bound = |interface: &&Interface| {
        interface.addresses.iter().any(|local| is_meant(bind, local.address, &standing(interface, local, out)))
            || matches!(bind, Which::Mac(mac) if interface.mac == Some(*mac))
            || matches!(bind, Which::Named(name) if crate::settings::source::fits(name, &interface.name))
    };
    // One that is up before one that is not: a pattern may fit several.
    let fitting = || interfaces.iter().filter(is_bound);
    let interface = fitting()
        .find(|interface| interface.is_up && !interface.addresses.is_empty())
        .or_else(|| fitting().next())
        .ok_or_else(|| format!("there is no network interface {bind}"))?;
    if !interface.is_up {
        return Err(format!("the network interface {} is down", interface.name));
    }
    let card = Card {
        name: interface.name.clone(),
        index: interface.index,
        v4: best(interface, bind, |address| if let IpAddr::V4(v4) = address { Some(v4) } else { None }),
        v6: best(interface, bind, |address| if let IpAddr::V6(v6) = address { Some(v6) } else { None }),
    };
    if card.v4.is_none() && card.v6.is_none() {
        return Err(format!("the network interface {} has no address", interface.name));
    }
    Ok(card)
}

/// The address to speak from: the one that `bind` names, else the widest scope, and one that lasts.
fn best<T>(interface: &Interface, bind: &Which, of: impl Fn(IpAddr) -> Option<T>) -> Option<T> {
    let rank = |local: &&Local| {
        let marks = local.marks.unwrap_or_default();
        let is_named = matches!(bind, Which::Address(address) if *address == local.address);
        (!is_named, marks.is_tentative, marks.is_deprecated, is_link_local(local.address), Scope::of(local.address))
    };
    let usable = |local: &&Local| !is_link_local(local.address) && of(local.address).is_some();
    interface.addresses.iter().filter(usable).min_by_key(rank).and_then(|local| of(local.address))
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choose::Marks;
    use crate::platform::DefaultRoute;

    /// `NAME[!down][!vpn] ADDRESS[~temporary] …`
    fn interface(text: &str) -> Interface {
        let mut words = text.split(' ');
        let mut flags = words.next().unwrap().split('!');
        let name = flags.next().unwrap().to_owned();
        let flags: Vec<&str> = flags.collect();
        let local = |word: &str| {
            let (address, mark) = word.split_once('~').unwrap_or((word, ""));
            let marks = Marks { is_temporary: mark == "temporary", ..Marks::default() };
            Local { address: address.parse().unwrap(), prefix: 64, marks: Some(marks) }
        };
        Interface {
            name,
            index: 2,
            mac: Some([0, 0x11, 0x22, 0xaa, 0xbb, 0xcc]),
            description: String::new(),
            is_up: !flags.contains(&"down"),
            kind: if flags.contains(&"vpn") { Kind::Vpn } else { Kind::Ordinary },
            addresses: words.map(local).collect(),
            routes: Vec::new(),
        }
    }

    #[test]
    fn an_uplink_is_bound_by_name_pattern_address_or_hardware_address() {
        let list =
            [interface("eth0!down 192.0.2.1"), interface("eth1 fe80::1 10.0.0.5 2001:db8::5"), interface("eth2")];
        let bound = |text: &str| card(&list, &text.parse().unwrap()).map(|card| (card.name, card.v4, card.v6));
        let eth1 = Ok(("eth1".to_owned(), "10.0.0.5".parse().ok(), "2001:db8::5".parse().ok()));
        for text in ["eth1", "ETH1", "eth*", "10.0.0.5", "2001:db8::5", "00:11:22:aa:bb:cc"] {
            assert_eq!(bound(text), eth1, "{text}");
        }
        assert_eq!(bound("eth0"), Err("the network interface eth0 is down".to_owned()));
        assert_eq!(bound("eth2"), Err("the network interface eth2 has no address".to_owned()));
        assert_eq!(bound("wlan0"), Err("there is no network interface wlan0".to_owned()));
    }

    #[test]
    fn a_bound_way_sees_the_addresses_of_its_card_alone() {
        let list = [interface("eth0 192.0.2.1"), interface("eth1 10.0.0.5")];
        let way = Way { card: Some(card(&list, &"eth1".parse().unwrap()).unwrap()) };
        let found = addresses(&list, &way);
        assert_eq!(found.len(), 1);
        assert!(
            matches!(&found[0].origin, Origin::Interface(standing) if standing.leads_out && standing.name == "eth1")
        );
        assert_eq!(addresses(&list, &Way::ANY).len(), 2);
    }

    #[test]
    fn the_router_is_the_next_hop_of_the_best_default_route() {
        let route = |router: &str, metric| DefaultRoute { router: router.parse().unwrap(), metric };
        let with = |text: &str, routes| Interface { routes, ..interface(text) };
        let list = [
            with("eth0 192.0.2.1", vec![route("192.0.2.254", 200), route("fe80::1", 1)]),
            with("eth1 10.0.0.5", vec![route("10.0.0.1", 100), route("0.0.0.0", 1)]),
        ];
        let bound = |name: &str| Way { card: Some(card(&list, &name.parse().unwrap()).unwrap()) };
        assert_eq!(router(&list, &Way::ANY), "10.0.0.1".parse().ok());
        assert_eq!(router(&list, &bound("eth0")), "192.0.2.254".parse().ok());
        assert_eq!(router(&list[..0], &Way::ANY), None);
    }

    #[test]
    fn the_vpn_behind_an_address_is_named() {
        let list = [interface("eth0 192.0.2.1"), interface("wg0!vpn 10.0.0.5")];
        assert_eq!(vpn_of(&list, "10.0.0.5".parse().unwrap()).as_deref(), Some("wg0"));
        assert_eq!(vpn_of(&list, "192.0.2.1".parse().unwrap()), None);
        assert_eq!(vpn_of(&list, "192.0.2.9".parse().unwrap()), None);
    }
}
