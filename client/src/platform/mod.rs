//! What differs from system to system, behind the same few functions. No `cfg` for a system stands elsewhere.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::path::Path;

use crate::choose::Marks;

#[cfg(any(target_os = "linux", test))]
mod linux;

/// What the system notes about its IPv6 addresses; an address that is missing is one about which it says nothing.
/// So far only Linux is asked.
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
