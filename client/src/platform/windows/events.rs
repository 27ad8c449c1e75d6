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

const KEY: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application\nicgate-client";
const MESSAGES: &str = r"%SystemRoot%\System32\EventCreate.exe";
/// Errors, warnings and information.
const TYPES: u32 = 7;

pub(in crate::platform) fn register() -> io::Result<()> {
    let messages: Vec<u8> = wide(MESSAGES)?.into_iter().flat_map(u16::to_ne_bytes).collect();
    set("EventMessageFile", REG_EXPAND_SZ, &messages)?;
    set("TypesSupported", REG_DWORD, &TYPES.to_ne_bytes())
}

/// Sets a value of our key, which is made if it is not there.
#[expect(unsafe_code, reason = "the registry")]
fn set(name: &str, kind: REG_VALUE_TYPE, value: &[u8]) -> io::Result<()> {
    let (key, name) = (wide(KEY)?, wide(name)?);
    let (place, size) = (value.as_ptr().cast(), value.len() as u32);
    // SAFETY: both texts end with zeros; `place` has `size` bytes.
    checked(unsafe { RegSetKeyValueW(HKEY_LOCAL_MACHINE, key.as_ptr(), name.as_ptr(), kind, place, size) })
}

#[expect(unsafe_code, reason = "the registry")]
pub(in crate::platform) fn unregister() -> io::Result<()> {
    let key = wide(KEY)?;
    // SAFETY: the text ends with a zero. It is a constant: no other key can be meant.
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
