//! Windows: the functions of the system, one file for each concern. All `unsafe` code of the client is in this folder.
//! Nothing here judges: that is `adapter.rs`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::windows::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use windows_sys::Win32::Foundation::{LocalFree, WIN32_ERROR};
use windows_sys::Win32::System::Com::CoTaskMemFree;
use windows_sys::Win32::System::SystemInformation::{ComputerNameDnsHostname, GetComputerNameExW};
use windows_sys::Win32::System::Threading::CREATE_NO_WINDOW;
use windows_sys::Win32::UI::Shell::{FOLDERID_ProgramData, FOLDERID_System, SHGetKnownFolderPath};
use windows_sys::core::GUID;

mod access;
mod changes;
mod console;
mod elevation;
pub(super) mod events;
mod interfaces;
mod seal;

pub(super) use access::{claim_folder, create_private, hold, restrict, share};
pub(super) use changes::Changes;
pub(super) use console::Hush;
pub(super) use elevation::{is_elevated, run_elevated};
pub(super) use interfaces::interfaces;
pub(super) use seal::{seal, unseal};

/// Files have no mode bits; who may read them says their access list, which [`restrict`] writes.
pub(super) fn is_readable_by_others(_path: &Path) -> Option<bool> {
    None
}

pub(super) fn exposed(path: &Path) -> Option<PathBuf> {
    let is_in_ours = path.parent().is_some_and(|folder| state_folder(folder).is_some());
    (!is_in_ours).then(|| path.to_owned())
}

pub(super) fn run_hidden(program: &Path, arguments: &[OsString]) -> io::Result<Output> {
    super::child::run(Command::new(program).args(arguments).creation_flags(CREATE_NO_WINDOW))
}

pub(super) fn system_folder() -> PathBuf {
    Path::new(&known_folder(&FOLDERID_ProgramData, r"C:\ProgramData")).join("nicgate")
}

pub(super) fn state_folder(folder: &Path) -> Option<PathBuf> {
    // `C:\programdata` is the same folder.
    let is_ours = folder.as_os_str().eq_ignore_ascii_case(system_folder());
    is_ours.then(|| system_folder().join("state"))
}

pub(super) fn programs_folder() -> PathBuf {
    PathBuf::from(known_folder(&FOLDERID_System, r"C:\Windows\System32"))
}

/// Where a folder of the system's is; `otherwise`, where it is unless somebody has moved it, when the system does not
/// say.
#[expect(unsafe_code, reason = "the system's word for where its folders are")]
fn known_folder(id: &GUID, otherwise: &str) -> OsString {
    let mut path = std::ptr::null_mut();
    // SAFETY: `id` and `path` are places for what they are said to be. `path` is set even on failure, to null; the
    // text it points to ends with a zero and is ours to free, once.
    let folder = unsafe {
        let result = SHGetKnownFolderPath(id, 0, std::ptr::null_mut(), &mut path);
        let folder = if result >= 0 { text(path) } else { String::new() };
        CoTaskMemFree(path.cast());
        folder
    };
    if folder.is_empty() { otherwise.into() } else { folder.into() }
}

pub(super) fn temporary_folders() -> Vec<PathBuf> {
    programs_folder().parent().map(|windows| windows.join("Temp")).into_iter().collect()
}

pub(super) fn own_folder(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    Some(PathBuf::from(environment("APPDATA")?).join("nicgate"))
}

#[expect(unsafe_code, reason = "the system's name for the machine, longer than the 15 letters in the environment")]
pub(super) fn machine_name() -> Option<String> {
    // A name in DNS has 63 letters at most.
    let mut name = [0u16; 256];
    let mut length = name.len() as u32;
    // SAFETY: `length` says how many units `name` has room for, and then how many were written.
    let is_told = unsafe { GetComputerNameExW(ComputerNameDnsHostname, name.as_mut_ptr(), &mut length) } != 0;
    is_told.then(|| OsString::from_wide(name.get(..length as usize).unwrap_or_default()).to_string_lossy().into_owned())
}

/// A text as the system's functions take it: UTF-16 with a zero at the end.
///
/// # Errors
/// When a zero stands within.
fn wide(text: impl AsRef<OsStr>) -> io::Result<Vec<u16>> {
    let mut units: Vec<u16> = text.as_ref().encode_wide().collect();
    if units.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is a zero byte in it"));
    }
    units.push(0);
    Ok(units)
}

/// A text of the system's.
///
/// # Safety
/// `text` is null or points to UTF-16 that ends with a zero.
#[expect(unsafe_code, reason = "the system's texts are pointers")]
unsafe fn text(text: *const u16) -> String {
    if text.is_null() {
        return String::new();
    }
    let mut length = 0;
    // SAFETY: the caller promises a zero, and nothing after it is looked at.
    let units = unsafe {
        while *text.add(length) != 0 {
            length += 1;
        }
        std::slice::from_raw_parts(text, length)
    };
    String::from_utf16_lossy(units)
}

/// What a function says that returns an error number.
fn checked(number: WIN32_ERROR) -> io::Result<()> {
    if number == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(number as i32)) }
}

/// Memory that the system gave us with `LocalAlloc`.
struct Lent(*mut core::ffi::c_void);

impl Drop for Lent {
    #[expect(unsafe_code, reason = "memory of the system's")]
    fn drop(&mut self) {
        // SAFETY: whoever makes one hands over what is freed nowhere else; null is allowed.
        unsafe { LocalFree(self.0) };
    }
}
