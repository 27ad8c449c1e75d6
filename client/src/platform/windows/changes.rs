//! The system calls us, on a thread of its own, when an address or a route changes.

use std::ffi::c_void;
use std::io;
use std::sync::Arc;

use tokio::sync::Notify;
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::NetworkManagement::IpHelper::{
    CancelMibChangeNotify2, MIB_IPFORWARD_ROW2, MIB_NOTIFICATION_TYPE, MIB_UNICASTIPADDRESS_ROW, NotifyRouteChange2,
    NotifyUnicastIpAddressChange,
};
use windows_sys::Win32::Networking::WinSock::AF_UNSPEC;

use super::checked;

pub(in crate::platform) struct Changes {
    /// Dropped before the bell that they ring.
    _calls: [Call; 2],
    bell: Arc<Notify>,
}

impl Changes {
    #[expect(unsafe_code, reason = "the system wants a function to call")]
    pub(in crate::platform) fn watch() -> io::Result<Self> {
        let bell = Arc::new(Notify::new());
        let context = Arc::as_ptr(&bell).cast::<c_void>();
        let (mut addresses, mut routes) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: `context` is a `Notify`, as `address_changed` wants it, and outlives the call: a `Call` is dropped
        // before `bell` is, here and in `Changes`.
        checked(unsafe {
            NotifyUnicastIpAddressChange(AF_UNSPEC, Some(address_changed), context, false, &mut addresses)
        })?;
        let addresses = Call(addresses as isize);
        // SAFETY: as above, for `route_changed`.
        checked(unsafe { NotifyRouteChange2(AF_UNSPEC, Some(route_changed), context, false, &mut routes) })?;
        Ok(Self { _calls: [addresses, Call(routes as isize)], bell })
    }

    pub(in crate::platform) async fn next(&mut self) -> io::Result<()> {
        // Remembers one ring that nobody was waiting for.
        self.bell.notified().await;
        Ok(())
    }
}

/// A registration: the handle, as a number because a number may change its thread.
struct Call(isize);

impl Drop for Call {
    #[expect(unsafe_code, reason = "a handle of the system's")]
    fn drop(&mut self) {
        // SAFETY: the handle comes from a registration and is given back once. The system waits for calls that are
        // going on, and none comes afterwards.
        unsafe { CancelMibChangeNotify2(self.0 as HANDLE) };
    }
}

/// # Safety
/// `context` is a `Notify`.
#[expect(unsafe_code, reason = "called by the system")]
unsafe extern "system" fn address_changed(
    context: *const c_void,
    _row: *const MIB_UNICASTIPADDRESS_ROW,
    _kind: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: see `Changes::watch`, the only one that hands it over.
    unsafe { ring(context) }
}

/// # Safety
/// `context` is a `Notify`.
#[expect(unsafe_code, reason = "called by the system")]
unsafe extern "system" fn route_changed(
    context: *const c_void,
    _row: *const MIB_IPFORWARD_ROW2,
    _kind: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: see `Changes::watch`, the only one that hands it over.
    unsafe { ring(context) }
}

/// # Safety
/// `context` is a `Notify`.
#[expect(unsafe_code, reason = "the context is a pointer")]
unsafe fn ring(context: *const c_void) {
    // SAFETY: the caller promises it.
    unsafe { &*context.cast::<Notify>() }.notify_one();
}
