//! Linux: what the kernel tells in text files about addresses, routes and cards, and its word when they change.
//!
//! `/proc/net/if_inet6` has one line for each IPv6 address: 32 hex digits, interface index, prefix length, scope,
//! flags (all hex), interface name. The flags are `IFA_F_*` of `linux/if_addr.h`. `/proc/net/route` and
//! `/proc/net/ipv6_route` have one line for each route, with `RTF_*` of `linux/route.h`. `/sys/class/net/NAME` is a
//! folder of facts about a card; its `type` is `ARPHRD_*` of `linux/if_arp.h`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{DefaultRoute, Kind};
use crate::choose::Marks;

/// `IFA_F_TEMPORARY`: a privacy address (RFC 8981).
const TEMPORARY: u8 = 0x01;
/// `IFA_F_DADFAILED`: somebody else has the address.
const DUPLICATE: u8 = 0x08;
/// `IFA_F_DEPRECATED`: past its preferred lifetime.
const DEPRECATED: u8 = 0x20;
/// `IFA_F_TENTATIVE`: duplicate detection is not over.
const TENTATIVE: u8 = 0x40;
/// `RTF_UP`: the route is in use.
const IN_USE: u32 = 0x0001;
/// `RTF_REJECT`: the route leads nowhere.
const REJECT: u32 = 0x0200;
/// `ARPHRD_NONE`: a card without a link layer. Tunnels, and modems that speak bare IP.
const NO_LINK_LAYER: u32 = 65534;
/// `ARPHRD_LOOPBACK`.
const LOOPBACK: u32 = 772;

/// Adds what the list of addresses does not tell: marks, routes, hardware addresses, kinds, whether a cable is in.
#[cfg(target_os = "linux")]
pub(super) fn complete(interfaces: &mut [super::Interface]) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let marks = marks(&read("/proc/net/if_inet6"));
    let mut routes: Vec<_> = read("/proc/net/route").lines().filter_map(route).collect();
    routes.extend(read("/proc/net/ipv6_route").lines().filter_map(route_v6));
    for interface in interfaces {
        let folder = format!("/sys/class/net/{}", interface.name);
        let fact = |name: &str| read(&format!("{folder}/{name}"));
        let has_tun_flags = std::path::Path::new(&folder).join("tun_flags").exists();
        interface.mac = mac(&fact("address"));
        interface.kind = kind(&fact("type"), &fact("uevent"), has_tun_flags).unwrap_or(interface.kind);
        interface.is_up = is_up(&fact("operstate")).unwrap_or(interface.is_up);
        let leave_here = routes.iter().filter(|(name, _)| *name == interface.name).map(|(_, route)| *route);
        interface.routes = super::prefer(leave_here.collect());
        for local in &mut interface.addresses {
            if let std::net::IpAddr::V6(address) = local.address {
                local.marks = marks.get(&address).copied();
            }
        }
    }
}

/// A netlink socket that hears of cards, addresses and routes (rtnetlink(7)).
#[cfg(target_os = "linux")]
pub(super) fn change_socket() -> std::io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::AsFd as _;
    /// `RTMGRP_LINK`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV6_IFADDR` and `_IPV6_ROUTE` of `linux/rtnetlink.h`.
    const GROUPS: u32 = 0x001 | 0x010 | 0x040 | 0x100 | 0x400;
    let mut socket = netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_ROUTE)?;
    socket.bind(&netlink_sys::SocketAddr::new(0, GROUPS))?;
    socket.as_fd().try_clone_to_owned()
}

#[cfg(target_os = "linux")]
pub(super) const TEMPORARY_FOLDERS: [&str; 2] = ["/tmp", "/var/tmp"];

#[cfg(target_os = "linux")]
pub(super) fn is_elevated() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| effective_user(&status) == Some(0))
}

#[cfg(target_os = "linux")]
pub(super) fn machine_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().split('.').next()?.to_owned())
}

#[cfg(target_os = "linux")]
pub(super) fn system_folder() -> std::path::PathBuf {
    std::path::PathBuf::from("/etc/nicgate")
}

/// The second of the four users in the line `Uid:` of a process' status (proc(5)).
fn effective_user(status: &str) -> Option<u32> {
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Reads the table of IPv6 addresses; lines of another form are passed over.
fn marks(text: &str) -> BTreeMap<Ipv6Addr, Marks> {
    text.lines().filter_map(marks_line).collect()
}

fn marks_line(line: &str) -> Option<(Ipv6Addr, Marks)> {
    let mut words = line.split_ascii_whitespace();
    let address = address_v6(words.next()?)?;
    let flags = u8::from_str_radix(words.nth(3)?, 16).ok()?;
    let marks = Marks {
        is_temporary: flags & TEMPORARY != 0,
        is_deprecated: flags & DEPRECATED != 0,
        is_tentative: flags & (TENTATIVE | DUPLICATE) != 0,
    };
    Some((address, marks))
}

fn address_v6(digits: &str) -> Option<Ipv6Addr> {
    let bits = u128::from_str_radix(Some(digits).filter(|digits| digits.len() == 32)?, 16).ok()?;
    Some(Ipv6Addr::from_bits(bits))
}

/// A line of the IPv4 table, if it is a default route in use: name, destination, router, flags, two counters, metric
/// (the only decimal one), mask. An address is printed as the number that its bytes are to this processor.
fn route(line: &str) -> Option<(String, DefaultRoute)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let hex = |at: usize| words.get(at).and_then(|word| u32::from_str_radix(word, 16).ok());
    let (destination, router, flags, mask) = (hex(1)?, hex(2)?, hex(3)?, hex(7)?);
    let metric = words.get(6)?.parse().ok()?;
    let router = Ipv4Addr::from(router.to_ne_bytes()).into();
    let is_default = destination == 0 && mask == 0 && is_in_use(flags);
    is_default.then(|| (words[0].to_owned(), DefaultRoute { router, metric }))
}

/// A line of the IPv6 table, if it is a default route in use: destination and its length, source and its length,
/// router, metric, two counters, flags, name.
fn route_v6(line: &str) -> Option<(String, DefaultRoute)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let hex = |at: usize| words.get(at).and_then(|word| u32::from_str_radix(word, 16).ok());
    let (destination, length, metric, flags) = (address_v6(words.first()?)?, hex(1)?, hex(5)?, hex(8)?);
    let router = address_v6(words.get(4)?)?.into();
    let name = words.get(9)?;
    let is_default = destination.is_unspecified() && length == 0 && is_in_use(flags);
    is_default.then(|| ((*name).to_owned(), DefaultRoute { router, metric }))
}

fn is_in_use(flags: u32) -> bool {
    flags & (IN_USE | REJECT) == IN_USE
}

/// A hardware address as `address` has it. All zeros are none.
fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.trim().split(':').map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    <[u8; 6]>::try_from(bytes?).ok().filter(|mac| *mac != [0; 6])
}

/// What a card is, by the files `type` and `uevent`; `has_tun_flags` where a program is its other end. A PPP line
/// and a 6in4 tunnel are ways to the Internet like any other.
fn kind(hardware: &str, uevent: &str, has_tun_flags: bool) -> Option<Kind> {
    let hardware: u32 = hardware.trim().parse().ok()?;
    let device = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).unwrap_or_default();
    Some(match device {
        "wireguard" => Kind::Vpn,
        // A mobile modem.
        "wwan" => Kind::Ordinary,
        _ if has_tun_flags || hardware == NO_LINK_LAYER => Kind::Vpn,
        _ if hardware == LOOPBACK => Kind::Loopback,
        _ => Kind::Ordinary,
    })
}

/// Whether a card carries packets, by the file `operstate` (RFC 2863). A tunnel or the loopback says "unknown".
fn is_up(text: &str) -> Option<bool> {
    let state = text.trim();
    (!state.is_empty()).then_some(matches!(state, "up" | "unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_from_the_kernels_table() {
        let table = marks(
            "20010db8000000000000000000000001 02 40 00 80     eth0\n\
             20010db8000000000000000000000002 02 40 00 01     eth0\n\
             20010db8000000000000000000000003 02 40 00 21     eth0\n\
             20010db8000000000000000000000004 02 40 00 40   wlan0\n\
             20010db8000000000000000000000005 02 40 00 c8   wlan0\n\
             00000000000000000000000000000001 01 80 10 80       lo\n",
        );
        let marks = |last: u16| {
            let marks = table[&Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)];
            (marks.is_temporary, marks.is_deprecated, marks.is_tentative)
        };
        assert_eq!(marks(1), (false, false, false));
        assert_eq!(marks(2), (true, false, false));
        assert_eq!(marks(3), (true, true, false));
        assert_eq!(marks(4), (false, false, true));
        assert_eq!(marks(5), (false, false, true));
        assert_eq!(table.len(), 6);
    }

    #[test]
    fn lines_of_another_form_are_passed_over() {
        for line in [
            "",
            "x",
            "20010db8 02 40 00 80 eth0",
            "20010db8000000000000000000000001 02 40",
            "20010db8000000000000000000000001 02 40 00 zz eth0",
            "+0010db8000000000000000000000001 02 40 00 8z eth0",
        ] {
            assert!(marks(line).is_empty(), "{line:?}");
            assert!(route(line).is_none() && route_v6(line).is_none(), "{line:?}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn default_routes_are_told_from_others() {
        let read = |line: &str| route(line).map(|(name, route)| (name, route.router.to_string(), route.metric));
        for (line, found) in [
            ("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT", None),
            ("eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0", Some(("eth0", "192.0.2.1", 100))),
            ("ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0", Some(("ppp0", "0.0.0.0", 0))),
            ("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0", None),
            // Half of everything, as OpenVPN sets it, is not everything.
            ("tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080\t0\t0\t0", None),
            ("*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0", None),
        ] {
            let found = found.map(|(name, router, metric)| (name.to_owned(), router.to_owned(), metric));
            assert_eq!(read(line), found, "{line}");
        }
    }

    #[test]
    fn default_routes_of_ipv6_are_told_from_others() {
        const ZERO: &str = "00000000000000000000000000000000";
        let read = |line: &str| route_v6(line).map(|(name, route)| (name, route.router.to_string(), route.metric));
        let router = "fe800000000000000000000000000001";
        let line = format!("{ZERO} 00 {ZERO} 00 {router} 00000400 00000003 00000000 00450003     eth0");
        assert_eq!(read(&line), Some(("eth0".to_owned(), "fe80::1".to_owned(), 1024)));
        for line in [
            format!("{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo"),
            format!("20010db8000000000000000000000000 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001 eth0"),
            format!("{ZERO} 03 {ZERO} 00 {router} 00000400 00000003 00000000 00000003 eth0"),
            format!("{ZERO} 00 {ZERO} 00 {router} 00000400 00000003 00000000 00450003"),
        ] {
            assert_eq!(read(&line), None, "{line}");
        }
    }

    #[test]
    fn the_effective_user_counts() {
        for (status, user) in [
            ("Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t1\t1\t1\t1\n", Some(0)),
            ("Uid:\t0\t65534\t0\t0\n", Some(65534)),
            ("Uid:\t0\n", None),
            ("Gid:\t0\t0\t0\t0\n", None),
        ] {
            assert_eq!(effective_user(status), user, "{status:?}");
        }
    }

    #[test]
    fn a_card_is_known_by_its_folder() {
        let plain = "INTERFACE=x\nIFINDEX=4\n";
        for (hardware, uevent, has_tun_flags, found) in [
            ("1\n", plain, false, Some(Kind::Ordinary)),
            ("772\n", plain, false, Some(Kind::Loopback)),
            ("65534\n", "DEVTYPE=wireguard\nINTERFACE=wg0\nIFINDEX=5\n", false, Some(Kind::Vpn)),
            ("65534\n", plain, true, Some(Kind::Vpn)),
            ("65534\n", plain, false, Some(Kind::Vpn)),
            ("1\n", plain, true, Some(Kind::Vpn)),
            ("65534\n", "DEVTYPE=wwan\nINTERFACE=wwan0\n", false, Some(Kind::Ordinary)),
            ("512\n", "DEVTYPE=ppp\nINTERFACE=ppp0\n", false, Some(Kind::Ordinary)),
            ("776\n", plain, false, Some(Kind::Ordinary)),
            ("1\n", "DEVTYPE=bridge\n", false, Some(Kind::Ordinary)),
            ("", "", false, None),
        ] {
            assert_eq!(kind(hardware, uevent, has_tun_flags), found, "{hardware:?} {uevent:?}");
        }
        for (text, found) in [("up\n", Some(true)), ("unknown\n", Some(true)), ("down\n", Some(false)), ("", None)] {
            assert_eq!(is_up(text), found, "{text:?}");
        }
        for (text, found) in [
            ("02:00:5e:10:00:ff\n", Some([2, 0, 0x5e, 0x10, 0, 0xff])),
            ("00:00:00:00:00:00\n", None),
            ("02:00:5e:10:00\n", None),
            ("", None),
        ] {
            assert_eq!(mac(text), found, "{text:?}");
        }
    }
}
