//! macOS: interfaces without marks, the default route by asking where packets would leave, and a routing socket that
//! tells about changes.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nicgate_protocol::Family;
use socket2::{Domain, Socket, Type};

use super::{DefaultRoute, Interface, Kind, unix};

/// `PF_ROUTE` of `sys/socket.h`.
const ROUTES: i32 = 17;

/// Adds what the list of addresses does not tell. Which router a default route leads to stays unknown, and so does
/// every route that is not the preferred one.
pub(super) fn complete(interfaces: &mut [Interface]) {
    let sources = Family::BOTH.map(super::source_address);
    for interface in interfaces {
        if ["utun", "ipsec"].iter().any(|prefix| interface.name.starts_with(prefix)) {
            interface.kind = Kind::Vpn;
        }
        let has = |source: &IpAddr| interface.addresses.iter().any(|local| local.address == *source);
        let leaves_here = sources.iter().flatten().filter(|source| has(source));
        interface.routes = super::prefer(leaves_here.map(|source| route(*source)).collect());
    }
}

fn route(source: IpAddr) -> DefaultRoute {
    let router = match source {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    DefaultRoute { router, metric: 0 }
}

/// A socket that hears whatever happens to the routing table, addresses and cards included (route(4)).
pub(super) fn change_socket() -> io::Result<OwnedFd> {
    Ok(Socket::new(Domain::from(ROUTES), Type::RAW, None)?.into())
}

pub(super) const TEMPORARY_FOLDERS: [&str; 5] =
    ["/tmp", "/var/tmp", "/private/tmp", "/private/var/tmp", "/private/var/folders"];

pub(super) fn is_elevated() -> bool {
    said("/usr/bin/id", "-u").is_some_and(|user| user == "0")
}

pub(super) fn machine_name() -> Option<String> {
    said("/bin/hostname", "-s")
}

/// What a program of the system prints.
fn said(program: &str, argument: &str) -> Option<String> {
    let output = unix::run_hidden(Path::new(program), &[OsString::from(argument)]).ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

pub(super) fn system_folder() -> PathBuf {
    PathBuf::from("/Library/Application Support/nicgate")
}
