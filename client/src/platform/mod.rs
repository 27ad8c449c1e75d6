//! What differs from system to system, behind the same few functions. No `cfg` for a system stands elsewhere, but
//! for the sockets of [`crate::way`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use crate::choose::Marks;

#[cfg(any(target_os = "linux", test))]
mod linux;

/// A network interface as the system lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// What people call it: `eth0`, `Ethernet 2`.
    pub name: String,
    /// The system's number for it; 0 where it has none.
    pub index: u32,
    /// Its hardware address, if it has one.
    pub mac: Option<[u8; 6]>,
    /// What the driver says it is (Windows); empty elsewhere.
    pub description: String,
    /// Whether it carries packets.
    pub is_up: bool,
    /// What kind it is.
    pub kind: Kind,
    /// Its addresses, in the system's order.
    pub addresses: Vec<Local>,
    /// The default routes that leave by it: family by the next hop, the smaller metric first.
    pub routes: Vec<DefaultRoute>,
}

/// What an interface is, as far as it matters to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A card, a bridge, a PPP line.
    Ordinary,
    /// The machine itself.
    Loopback,
    /// A tunnel into somebody else's network: what is reached through it is seen with that network's address.
    Vpn,
}

/// An address on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// The address.
    pub address: IpAddr,
    /// How many leading bits name the network.
    pub prefix: u8,
    /// What the system notes about it; `None` when it says nothing, as for every IPv4 address.
    pub marks: Option<Marks>,
}

/// A route for everything that no other route covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultRoute {
    /// The router; unspecified (`0.0.0.0`, `::`) on a line that needs none.
    pub router: IpAddr,
    /// Smaller is preferred.
    pub metric: u32,
}

/// What the system notes about its IPv6 addresses; an address that is missing is one about which it says nothing.
#[must_use]
pub fn address_marks() -> BTreeMap<Ipv6Addr, Marks> {
    #[cfg(target_os = "linux")]
    return linux::address_marks();
    #[cfg(not(target_os = "linux"))]
    BTreeMap::new()
}

/// Whether somebody else than a file's owner can read it; `None` where the system has no such mode bits or the file
/// cannot be looked at.
#[must_use]
pub fn is_readable_by_others(path: &Path) -> Option<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Some(std::fs::metadata(path).ok()?.mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}
