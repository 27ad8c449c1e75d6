//! The event log. Texts are our own; a program of the system that has a message "%1" for each id from 1 to 1000 lends
//! the form, so that none has to be built into ours.

use std::io;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND};
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE, RegisterEventSourceW,
    ReportEventW,
};
use windows_sys::Win32::System::Registry::{
    HKEY_LOCAL_MACHINE, REG_DWORD, REG_EXPAND_SZ, REG_VALUE_TYPE, RegDeleteTreeW, RegSetKeyValueW,
};

use super::{checked, wide};
use crate::platform::events::{Level, SOURCE};

/// Where sources of the log "Application" are, one key each.
const SOURCES: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application";
const MESSAGES: &str = r"%SystemRoot%\System32\EventCreate.exe";
/// Errors, warnings and information.
const TYPES: u32 = 7;

pub(in crate::platform) fn register() -> io::Result<()> {
    add(SOURCE)
}

pub(in crate::platform) fn unregister() -> io::Result<()> {
    remove(SOURCE)
}

fn add(source: &str) -> io::Result<()> {
    let messages: Vec<u8> = wide(MESSAGES)?.into_iter().flat_map(u16::to_ne_bytes).collect();
    set(source, "EventMessageFile", REG_EXPAND_SZ, &messages)?;
    set(source, "TypesSupported", REG_DWORD, &TYPES.to_ne_bytes())
}

/// Sets a value of a source's key, which is made if it is not there.
#[expect(unsafe_code, reason = "the registry")]
fn set(source: &str, name: &str, kind: REG_VALUE_TYPE, value: &[u8]) -> io::Result<()> {
    let (key, name) = (wide(format!(r"{SOURCES}\{source}"))?, wide(name)?);
    let (place, size) = (value.as_ptr().cast(), value.len() as u32);
    // SAFETY: both texts end with zeros; `place` has `size` bytes.
    checked(unsafe { RegSetKeyValueW(HKEY_LOCAL_MACHINE, key.as_ptr(), name.as_ptr(), kind, place, size) })
}

#[expect(unsafe_code, reason = "the registry")]
fn remove(source: &str) -> io::Result<()> {
    let key = wide(format!(r"{SOURCES}\{source}"))?;
    // SAFETY: the text ends with a zero.
    match unsafe { RegDeleteTreeW(HKEY_LOCAL_MACHINE, key.as_ptr()) } {
        ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND => Ok(()),
        number => checked(number),
    }
}

#[expect(unsafe_code, reason = "the system's log")]
pub(in crate::platform) fn report(level: Level, id: u16, text: &str) -> io::Result<()> {
    let kind = match level {
        Level::Error => EVENTLOG_ERROR_TYPE,
        Level::Warning => EVENTLOG_WARNING_TYPE,
        Level::Information => EVENTLOG_INFORMATION_TYPE,
    };
    let (source, text) = (wide(SOURCE)?, wide(text.replace('\0', " "))?);
    // SAFETY: the text ends with a zero; no server's name means this machine.
    let log = unsafe { RegisterEventSourceW(null(), source.as_ptr()) };
    if log.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the log is open; one text is announced and given, and no data.
    let is_written =
        unsafe { ReportEventW(log, kind, 0, u32::from(id), null_mut(), 1, 0, [text.as_ptr()].as_ptr(), null()) } != 0;
    let fault = io::Error::last_os_error();
    // SAFETY: it was opened above and is closed once.
    unsafe { DeregisterEventSource(log) };
    if is_written { Ok(()) } else { Err(fault) }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use super::super::{is_elevated, run_hidden};
    use super::*;

    /// What `reg.exe`, which is not ours, finds at a source's key.
    fn read(source: &str) -> Option<String> {
        let root = std::env::var_os("SystemRoot").unwrap();
        let program = PathBuf::from(root).join(r"System32\reg.exe");
        let arguments = ["query".into(), OsString::from(format!(r"HKLM\{SOURCES}\{source}"))];
        let output = run_hidden(&program, &arguments).unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[test]
    fn a_source_is_added_and_removed_by_an_administrator() {
        // Not our own: that may be in use.
        let source = "nicgate-client-test";
        if !is_elevated() {
            assert_eq!(add(source).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            return;
        }
        add(source).unwrap();
        let found = read(source).unwrap();
        assert!(found.contains(MESSAGES) && found.contains("REG_EXPAND_SZ") && found.contains("0x7"), "{found}");
        remove(source).unwrap();
        assert_eq!(read(source), None);
        remove(source).unwrap();
    }

    #[test]
    fn a_zero_in_a_text_does_not_keep_it_out() {
        report(Level::Information, 1, "a test\0of nicgate-client").unwrap();
    }
}
