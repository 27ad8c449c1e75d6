//! The addresses of this machine's network interfaces.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nicgate_protocol::Family;
use nicgate_protocol::address::unmapped;

use crate::choose::{Found, Origin, Standing};
use crate::platform;

/// Every address of every interface, in the system's order.
///
/// # Errors
/// When the system does not list its interfaces.
pub fn addresses() -> io::Result<Vec<Found>> {
    let interfaces = if_addrs::get_if_addrs()?;
    let marks = platform::address_marks();
    let ways_out = Family::BOTH.map(source_address);
    let leads_out = |family: Family, name: &str| {
        let is_way_out = |interface: &&if_addrs::Interface| ways_out.contains(&Some(interface.ip()));
        interfaces
            .iter()
            .filter(is_way_out)
            .any(|interface| interface.name == name && Family::of(interface.ip()) == family)
    };
    let found = interfaces.iter().map(|interface| {
        let address = unmapped(interface.ip());
        let standing = Standing {
            name: interface.name.clone(),
            // A tunnel or a loopback interface that works reports "unknown".
            is_up: matches!(interface.oper_status, if_addrs::IfOperStatus::Up | if_addrs::IfOperStatus::Unknown),
            leads_out: leads_out(Family::of(address), &interface.name),
            marks: match address {
                IpAddr::V4(_) => None,
                IpAddr::V6(v6) => marks.get(&v6).copied(),
            },
        };
        Found { address, origin: Origin::Interface(standing) }
    });
    Ok(found.collect())
}

/// The address with which the system would speak to the outside. Connecting a UDP socket only asks the routing
/// table: nothing is sent. The destinations are documentation addresses, which go where the default route leads.
fn source_address(family: Family) -> Option<IpAddr> {
    let (here, there): (SocketAddr, SocketAddr) = match family {
        Family::V4 => ((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(198, 51, 100, 1), 9).into()),
        Family::V6 => ((Ipv6Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into()),
    };
    let socket = UdpSocket::bind(here).ok()?;
    socket.connect(there).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_always_there() {
        let found = addresses().unwrap();
        let loopback = found.iter().find(|found| found.address == IpAddr::from([127, 0, 0, 1])).unwrap();
        let Origin::Interface(standing) = &loopback.origin else { panic!("it stands on an interface") };
        assert!(standing.is_up && !standing.leads_out);
    }
}
