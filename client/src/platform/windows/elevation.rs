//! Administrators' rights: whether we have them, and asking the person at the screen for them.

use std::ffi::OsString;
use std::io;
use std::os::windows::ffi::OsStrExt as _;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{ERROR_CANCELLED, WAIT_OBJECT_0};
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_ELEVATION, TOKEN_QUERY, TokenElevation};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetExitCodeProcess, INFINITE, OpenProcessToken, WaitForSingleObject,
};
use windows_sys::Win32::UI::Shell::{
    SEE_MASK_FLAG_NO_UI, SEE_MASK_NOASYNC, SEE_MASK_NOCLOSEPROCESS, SHELLEXECUTEINFOW, ShellExecuteExW,
};
use windows_sys::Win32::UI::WindowsAndMessaging::SW_HIDE;

use super::wide;
use crate::platform::command_line;

#[expect(unsafe_code, reason = "the system's token of this process")]
pub(in crate::platform) fn is_elevated() -> bool {
    let mut token = null_mut();
    // SAFETY: the process' own handle needs no closing; `token` is a place for one handle.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &mut token) } == 0 {
        return false;
    }
    // SAFETY: it was opened just now, for us alone.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let mut elevation = TOKEN_ELEVATION::default();
    let (place, size) = ((&raw mut elevation).cast(), size_of::<TOKEN_ELEVATION>() as u32);
    // SAFETY: `place` has room for `size` bytes, all that this question is answered with.
    let is_told = unsafe { GetTokenInformation(token.as_raw_handle(), TokenElevation, place, size, &mut 0) } != 0;
    is_told && elevation.TokenIsElevated != 0
}

#[expect(unsafe_code, reason = "the system asks the person")]
pub(in crate::platform) fn run_elevated(arguments: &[OsString]) -> io::Result<u32> {
    let (verb, program) = (wide("runas")?, wide(std::env::current_exe()?)?);
    let mut line = command_line::join(arguments.iter().map(|argument| argument.encode_wide().collect()));
    if line.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an argument has a zero byte in it"));
    }
    line.push(0);
    let mut order = SHELLEXECUTEINFOW {
        cbSize: size_of::<SHELLEXECUTEINFOW>() as u32,
        fMask: SEE_MASK_NOCLOSEPROCESS | SEE_MASK_NOASYNC | SEE_MASK_FLAG_NO_UI,
        lpVerb: verb.as_ptr(),
        lpFile: program.as_ptr(),
        lpParameters: line.as_ptr(),
        nShow: SW_HIDE,
        ..SHELLEXECUTEINFOW::default()
    };
    // SAFETY: `order` says its own size; its texts end with zeros and outlive the call.
    if unsafe { ShellExecuteExW(&mut order) } == 0 {
        let fault = io::Error::last_os_error();
        return Err(if fault.raw_os_error() == Some(ERROR_CANCELLED as i32) {
            io::Error::new(io::ErrorKind::PermissionDenied, "Windows asked for an administrator and was told no")
        } else {
            fault
        });
    }
    if order.hProcess.is_null() {
        return Err(io::Error::other("Windows has started something, but does not say what"));
    }
    // SAFETY: the flag NOCLOSEPROCESS makes the handle ours.
    let process = unsafe { OwnedHandle::from_raw_handle(order.hProcess) };
    let mut code = 0;
    // SAFETY: the handle is open; `code` is a place for one number.
    let has_ended = unsafe {
        WaitForSingleObject(process.as_raw_handle(), INFINITE) == WAIT_OBJECT_0
            && GetExitCodeProcess(process.as_raw_handle(), &mut code) != 0
    };
    if has_ended { Ok(code) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where somebody would be asked, this does not ask: Wine says yes by itself.
    #[test]
    fn an_elevated_run_gives_its_exit_code() {
        if std::env::var_os("WINEPREFIX").is_none() {
            return;
        }
        let run = |arguments: &[&str]| run_elevated(&arguments.iter().map(OsString::from).collect::<Vec<_>>()).unwrap();
        assert!(is_elevated());
        // This very program, which finds no test of such a name, or no such option.
        assert_eq!(run(&["--exact", r#"a "name" with\"#]), 0);
        assert_ne!(run(&["--no-such-option"]), 0);
    }
}
