//! What Windows says about its network adapters, judged. Plain values in, [`Interface`]s out: the structures of the
//! system stay in `windows/interfaces.rs`.
//!
//! Numbers are those of `ipifcons.h` and `nldef.h`.

use std::net::IpAddr;

use super::{DefaultRoute, Interface, Kind, Local, prefer};
use crate::choose::Marks;

/// `IF_TYPE_ETHERNET_CSMACD`: a wired card, and whatever pretends to be one.
const ETHERNET: u32 = 6;
/// `IF_TYPE_SOFTWARE_LOOPBACK`.
const LOOPBACK: u32 = 24;
/// `IF_TYPE_IEEE80211`.
const WIRELESS: u32 = 71;
/// `IfOperStatusUp`.
const UP: i32 = 1;
/// `IpSuffixOriginRandom`: a privacy address. A stable address that only looks random has the origin "link layer".
const RANDOM: i32 = 5;
/// `IpDadStatePreferred`.
const PREFERRED: i32 = 4;
/// `IpDadStateDeprecated`.
const DEPRECATED: i32 = 3;

/// Words in a description, in small letters, by which a tunnel of this kind is known.
const TUNNELS: [&str; 22] = [
    "anyconnect",
    "check point virtual",
    "cisco secure client",
    "cloudflare",
    "fortinet",
    "globalprotect",
    "hamachi",
    "juniper networks virtual",
    "netbird",
    "nordlynx",
    "openvpn",
    "pangp",
    "proton",
    "pulse secure",
    "tailscale",
    "tap-",
    "vpn",
    "wan miniport",
    "wintun",
    "wireguard",
    "zerotier",
    "zscaler",
];

/// An adapter as the system lists it.
#[derive(Clone, Debug, Default)]
pub(super) struct Adapter {
    /// "Friendly name".
    pub name: String,
    pub description: String,
    /// The number for IPv4, or 0; the one for IPv6 is the same wherever both are on.
    pub index: u32,
    pub index_v6: u32,
    pub mac: Vec<u8>,
    pub if_type: u32,
    pub oper_status: i32,
    /// Added to the metric of every route that leaves here.
    pub metric: u32,
    pub metric_v6: u32,
    pub addresses: Vec<Unicast>,
}

/// An address of an adapter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unicast {
    pub address: IpAddr,
    pub prefix: u8,
    pub suffix_origin: i32,
    pub dad_state: i32,
    /// Seconds; 0 when it is over.
    pub preferred_lifetime: u32,
}

/// A row of the routing table whose destination is everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub index: u32,
    pub router: IpAddr,
    /// Without the adapter's own.
    pub metric: u32,
}

/// What the adapters are, as far as it matters to an address.
pub(super) fn judge(adapters: Vec<Adapter>, routes: &[Route]) -> Vec<Interface> {
    adapters.into_iter().map(|adapter| interface(adapter, routes)).collect()
}

fn interface(adapter: Adapter, routes: &[Route]) -> Interface {
    let kind = match adapter.if_type {
        LOOPBACK => Kind::Loopback,
        if_type if is_vpn(if_type, &adapter.name, &adapter.description) => Kind::Vpn,
        _ => Kind::Ordinary,
    };
    let leaves_here = |route: &&Route| {
        let index = if route.router.is_ipv4() { adapter.index } else { adapter.index_v6 };
        index != 0 && route.index == index
    };
    let whole = |route: &Route| {
        let own = if route.router.is_ipv4() { adapter.metric } else { adapter.metric_v6 };
        DefaultRoute { router: route.router, metric: route.metric.saturating_add(own) }
    };
    Interface {
        index: if adapter.index == 0 { adapter.index_v6 } else { adapter.index },
        mac: adapter.mac.try_into().ok(),
        is_up: adapter.oper_status == UP,
        kind,
        addresses: adapter.addresses.iter().map(local).collect(),
        routes: prefer(routes.iter().filter(leaves_here).map(whole).collect()),
        name: adapter.name,
        description: adapter.description,
    }
}

fn local(unicast: &Unicast) -> Local {
    let is_deprecated = unicast.dad_state == DEPRECATED || unicast.preferred_lifetime == 0;
    let marks = Marks {
        is_temporary: unicast.suffix_origin == RANDOM,
        is_deprecated,
        // Tentative, duplicate, or not valid at all.
        is_tentative: !matches!(unicast.dad_state, DEPRECATED | PREFERRED),
    };
    Local { address: unicast.address, prefix: unicast.prefix, marks: unicast.address.is_ipv6().then_some(marks) }
}

/// Whether an adapter leads into somebody else's network. The name, which people choose, counts only where the
/// system does not take the adapter for a card. Virtual switches of Hyper-V and Docker stay in the machine, whatever
/// they are called.
pub(super) fn is_vpn(if_type: u32, name: &str, description: &str) -> bool {
    let description = description.to_ascii_lowercase();
    if description.contains("hyper-v") {
        return false;
    }
    let is_known = |text: &str| TUNNELS.iter().any(|word| text.contains(word));
    is_known(&description) || (!matches!(if_type, ETHERNET | WIRELESS) && is_known(&name.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unicast(address: &str, suffix_origin: i32, dad_state: i32, preferred_lifetime: u32) -> Unicast {
        Unicast { address: address.parse().unwrap(), prefix: 64, suffix_origin, dad_state, preferred_lifetime }
    }

    #[test]
    fn tunnels_are_known_by_what_they_say_of_themselves() {
        for (if_type, name, description) in [
            (53, "wg0", "WireGuard Tunnel"),
            (53, "anything", "Wintun Userspace Tunnel"),
            (53, "Tailscale", "Tailscale Tunnel"),
            (53, "CloudflareWARP", "Cloudflare WARP Interface Tunnel"),
            (53, "NordLynx", "NordLynx Tunnel"),
            (53, "office vpn", "Some Tunnel"),
            (23, "Company VPN", "Company VPN"),
            (23, "at work", "WAN Miniport (IKEv2)"),
            (6, "Ethernet 3", "TAP-Windows Adapter V9"),
            (6, "Ethernet 3", "TAP-NordVPN Windows Adapter V9"),
            (53, "Ethernet 3", "OpenVPN Data Channel Offload"),
            (6, "ZeroTier One [0123456789abcdef]", "ZeroTier Virtual Port"),
            (6, "Ethernet 4", "Cisco AnyConnect Virtual Miniport Adapter for Windows x64"),
            (6, "Ethernet 4", "Fortinet SSL VPN Virtual Ethernet Adapter"),
            (6, "Ethernet 4", "PANGP Virtual Ethernet Adapter"),
            (6, "Hamachi", "LogMeIn Hamachi Virtual Ethernet Adapter"),
        ] {
            assert!(is_vpn(if_type, name, description), "{name}: {description}");
        }
        for (if_type, name, description) in [
            (6, "Ethernet", "Intel(R) Ethernet Connection (7) I219-V"),
            (6, "towards the vpn box", "Realtek PCIe GbE Family Controller"),
            (71, "Wi-Fi", "Intel(R) Wi-Fi 6 AX201 160MHz"),
            (6, "vEthernet (Default Switch)", "Hyper-V Virtual Ethernet Adapter"),
            (53, "vEthernet (nat VPN)", "Hyper-V Virtual Ethernet Adapter #2"),
            (6, "VMware Network Adapter VMnet8", "VMware Virtual Ethernet Adapter for VMnet8"),
            (6, "Ethernet 2", "VirtualBox Host-Only Ethernet Adapter"),
            (23, "Broadband Connection", "Broadband Connection"),
            (131, "Teredo Tunneling Pseudo-Interface", "Microsoft Teredo Tunneling Adapter"),
            (24, "Loopback Pseudo-Interface 1", "Software Loopback Interface 1"),
        ] {
            assert!(!is_vpn(if_type, name, description), "{name}: {description}");
        }
    }

    #[test]
    fn an_address_is_marked_by_origin_state_and_lifetime() {
        // Suffix origin, state of duplicate detection, preferred lifetime; temporary, deprecated, tentative.
        for (origin, state, lifetime, marks) in [
            (4, 4, 3600, (false, false, false)),
            (1, 4, u32::MAX, (false, false, false)),
            (5, 4, 3600, (true, false, false)),
            (5, 3, 0, (true, true, false)),
            (4, 4, 0, (false, true, false)),
            (4, 1, 3600, (false, false, true)),
            (4, 2, 3600, (false, false, true)),
            (4, 0, 3600, (false, false, true)),
        ] {
            let found = local(&unicast("2001:db8::1", origin, state, lifetime)).marks.unwrap();
            assert_eq!((found.is_temporary, found.is_deprecated, found.is_tentative), marks, "{origin} {state}");
        }
        assert_eq!(local(&unicast("192.0.2.1", 5, 4, 0)).marks, None);
    }

    #[test]
    fn an_adapter_has_the_routes_of_its_numbers() {
        let card = Adapter {
            name: "Ethernet".to_owned(),
            description: "Some Card".to_owned(),
            index: 7,
            index_v6: 7,
            mac: vec![2, 0, 0, 0, 0, 1],
            if_type: ETHERNET,
            oper_status: UP,
            metric: 25,
            metric_v6: 30,
            addresses: vec![unicast("192.0.2.2", 3, 4, 600), unicast("2001:db8::2", 4, 4, 600)],
        };
        let v6_only = Adapter { index: 0, index_v6: 9, mac: Vec::new(), oper_status: 2, ..card.clone() };
        let inner = Adapter { if_type: LOOPBACK, index: 1, index_v6: 1, ..Adapter::default() };
        let route = |index, router: &str, metric| Route { index, router: router.parse().unwrap(), metric };
        let routes = [
            route(7, "fe80::1", 16),
            route(7, "192.0.2.254", 100),
            route(7, "192.0.2.1", 0),
            route(0, "198.51.100.1", 0),
            route(9, "::", u32::MAX),
        ];
        let [card, v6_only, inner] = judge(vec![card, v6_only, inner], &routes).try_into().unwrap();
        let said = |interface: &Interface| -> Vec<_> {
            interface.routes.iter().map(|route| (route.router.to_string(), route.metric)).collect()
        };
        assert_eq!(said(&card), [("192.0.2.1".into(), 25), ("192.0.2.254".into(), 125), ("fe80::1".into(), 46)]);
        assert_eq!((card.index, card.mac, card.is_up, card.kind), (7, Some([2, 0, 0, 0, 0, 1]), true, Kind::Ordinary));
        assert_eq!(card.addresses.len(), 2);
        assert_eq!(said(&v6_only), [("::".into(), u32::MAX)]);
        assert_eq!((v6_only.index, v6_only.mac, v6_only.is_up), (9, None, false));
        assert_eq!((inner.kind, said(&inner)), (Kind::Loopback, vec![]));
    }
}
