//! Adapters, their addresses and the default routes, copied out of the system's linked lists into plain values.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use windows_sys::Win32::Foundation::{ERROR_ADDRESS_NOT_ASSOCIATED, ERROR_BUFFER_OVERFLOW, ERROR_NO_DATA};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    FreeMibTable, GAA_FLAG_SKIP_ANYCAST, GAA_FLAG_SKIP_DNS_SERVER, GAA_FLAG_SKIP_MULTICAST, GetAdaptersAddresses,
    GetIpForwardTable2, IP_ADAPTER_ADDRESSES_LH, IP_ADAPTER_UNICAST_ADDRESS_LH, MIB_IPFORWARD_ROW2,
};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6, AF_UNSPEC, SOCKADDR_INET};

use super::{checked, text};
use crate::platform::Interface;
use crate::platform::adapter::{Adapter, Route, Unicast, judge};

/// Room for the list at first: Microsoft's advice is to begin with 15 KB.
const ROOM: u32 = 16 * 1024;

pub(in crate::platform) fn interfaces() -> io::Result<Vec<Interface>> {
    Ok(judge(adapters()?, &default_routes()?))
}

#[expect(unsafe_code, reason = "the system's list of adapters")]
fn adapters() -> io::Result<Vec<Adapter>> {
    let flags = GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER;
    let mut size = ROOM;
    // The list may grow between asking how long it is and asking for it, but not for ever.
    for _ in 0..5 {
        // Aligned as the list wants it.
        let mut room = vec![0u64; (size as usize).div_ceil(size_of::<u64>())];
        let first = room.as_mut_ptr().cast::<IP_ADAPTER_ADDRESSES_LH>();
        // SAFETY: `room` has `size` bytes, aligned to eight.
        let result = unsafe { GetAdaptersAddresses(u32::from(AF_UNSPEC), flags, std::ptr::null(), first, &mut size) };
        match result {
            ERROR_BUFFER_OVERFLOW => {}
            ERROR_NO_DATA | ERROR_ADDRESS_NOT_ASSOCIATED => return Ok(Vec::new()),
            result => {
                checked(result)?;
                let mut found = Vec::new();
                let mut next = first.cast_const();
                // SAFETY: the system has filled `room`, which lives on, with a list whose pointers stay within and
                // whose last one is null.
                while let Some(listed) = unsafe { next.as_ref() } {
                    // SAFETY: as above, for everything that hangs on it.
                    found.push(unsafe { adapter(listed) });
                    next = listed.Next;
                }
                return Ok(found);
            }
        }
    }
    checked(ERROR_BUFFER_OVERFLOW).map(|()| Vec::new())
}

/// # Safety
/// `listed` comes from `GetAdaptersAddresses`, and the list is still there.
#[expect(unsafe_code, reason = "the system's list of adapters")]
unsafe fn adapter(listed: &IP_ADAPTER_ADDRESSES_LH) -> Adapter {
    let mut addresses = Vec::new();
    let mut next = listed.FirstUnicastAddress.cast_const();
    // SAFETY: a list within the list, ended by null.
    while let Some(unicast) = unsafe { next.as_ref() } {
        // SAFETY: it is an item of that list.
        addresses.extend(unsafe { address(unicast) });
        next = unicast.Next;
    }
    let mac = listed.PhysicalAddress.get(..listed.PhysicalAddressLength as usize).unwrap_or_default();
    Adapter {
        // SAFETY: texts of the list end with a zero.
        name: unsafe { text(listed.FriendlyName) },
        // SAFETY: as above.
        description: unsafe { text(listed.Description) },
        // SAFETY: both forms of the union are numbers of the same size; any bits will do.
        index: unsafe { listed.Anonymous1.Anonymous.IfIndex },
        index_v6: listed.Ipv6IfIndex,
        mac: mac.to_vec(),
        if_type: listed.IfType,
        oper_status: listed.OperStatus,
        metric: listed.Ipv4Metric,
        metric_v6: listed.Ipv6Metric,
        addresses,
    }
}

/// # Safety
/// `unicast` is an item of a list of `GetAdaptersAddresses` that is still there.
#[expect(unsafe_code, reason = "the system's list of adapters")]
unsafe fn address(unicast: &IP_ADAPTER_UNICAST_ADDRESS_LH) -> Option<Unicast> {
    let length = usize::try_from(unicast.Address.iSockaddrLength).ok()?;
    let mut copy = SOCKADDR_INET::default();
    let room = size_of::<SOCKADDR_INET>().min(length);
    if unicast.Address.lpSockaddr.is_null() {
        return None;
    }
    // SAFETY: the pointer has `length` bytes behind it, `copy` at least `room`, and they are different memory.
    unsafe {
        let from = unicast.Address.lpSockaddr.cast::<u8>();
        std::ptr::copy_nonoverlapping(from, std::ptr::from_mut(&mut copy).cast::<u8>(), room);
    }
    Some(Unicast {
        address: ip(&copy)?,
        prefix: unicast.OnLinkPrefixLength,
        suffix_origin: unicast.SuffixOrigin,
        dad_state: unicast.DadState,
        preferred_lifetime: unicast.PreferredLifetime,
    })
}

/// The default routes of both families. The list of adapters has routers only: it leaves out routes that need none,
/// such as a tunnel's.
#[expect(unsafe_code, reason = "the system's routing table")]
fn default_routes() -> io::Result<Vec<Route>> {
    let mut table = std::ptr::null_mut();
    // SAFETY: `table` is a place for one pointer.
    checked(unsafe { GetIpForwardTable2(AF_UNSPEC, &mut table) })?;
    // SAFETY: on success there is a table with that many rows behind the first; it is freed once, after the last look.
    let routes = unsafe {
        let first = (&raw const (*table).Table).cast::<MIB_IPFORWARD_ROW2>();
        let rows = (0..(*table).NumEntries as usize).map(|number| first.add(number));
        let routes = rows.filter_map(|row| default_route(row)).collect();
        FreeMibTable(table.cast());
        routes
    };
    Ok(routes)
}

/// Field by field: Windows' truth values may be other numbers than Rust's `bool` can be, so there must not even be a
/// reference to a whole row.
///
/// # Safety
/// `row` points to a row of a table of `GetIpForwardTable2` that is still there.
#[expect(unsafe_code, reason = "the system's routing table")]
unsafe fn default_route(row: *const MIB_IPFORWARD_ROW2) -> Option<Route> {
    // SAFETY: every field is within the row, which is aligned as the system aligns it; any bits are a number.
    unsafe {
        let is_loopback = (&raw const (*row).Loopback).cast::<u8>().read() != 0;
        let is_default = (&raw const (*row).DestinationPrefix.PrefixLength).read() == 0 && !is_loopback;
        let (index, metric) = ((&raw const (*row).InterfaceIndex).read(), (&raw const (*row).Metric).read());
        let router = ip(&(&raw const (*row).NextHop).read())?;
        is_default.then_some(Route { index, router, metric })
    }
}

/// The address in a socket address of either family.
#[expect(unsafe_code, reason = "a union, told apart by its family")]
fn ip(address: &SOCKADDR_INET) -> Option<IpAddr> {
    // SAFETY: all forms begin with the family, are plain bytes, and the value has room for the longest.
    unsafe {
        match address.si_family {
            AF_INET => Some(Ipv4Addr::from(address.Ipv4.sin_addr.S_un.S_addr.to_ne_bytes()).into()),
            AF_INET6 => Some(Ipv6Addr::from(address.Ipv6.sin6_addr.u.Byte).into()),
            _ => None,
        }
    }
}
