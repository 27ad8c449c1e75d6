//! Access lists of files and folders, written in the system's own language for them (SDDL).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::windows::io::AsRawHandle as _;
use std::path::Path;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::GENERIC_WRITE;
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1, SE_FILE_OBJECT, SetSecurityInfo,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, GetSecurityDescriptorOwner, OWNER_SECURITY_INFORMATION,
    PROTECTED_DACL_SECURITY_INFORMATION,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES,
    FILE_SHARE_READ, READ_CONTROL, WRITE_DAC, WRITE_OWNER,
};

use super::{Lent, checked, wide};
use crate::platform::Readers;

/// The list for `readers`: `D:P` takes no rule over from the folder above. `SY` is the system, `BA` its
/// administrators, `OW` whoever owns it, `LS` the account of services that need no rights; `FA` is everything, `FR`
/// reading (for a folder, together with `FX`, entering), `0x1301bf` changing and deleting. What belongs to the
/// administrators (`O:BA`) can have belonged to somebody else, who must not keep an owner's rights.
fn list(readers: Readers, is_folder: bool) -> String {
    let pass_on = if is_folder { "OICI" } else { "" };
    let (owner, third) = match readers {
        Readers::Owner => ("", "FA;;;OW"),
        Readers::Administrators => ("O:BA", ""),
        Readers::Service => ("O:BA", "FRFX;;;LS"),
        Readers::ServiceWriter => ("O:BA", "0x1301bf;;;LS"),
    };
    let mut list = format!("{owner}D:P(A;{pass_on};FA;;;SY)(A;{pass_on};FA;;;BA)");
    if !third.is_empty() {
        list.push_str(&format!("(A;{pass_on};{third})"));
    }
    list
}

/// What has to be asked for to set a list, and an owner with it.
fn rights(readers: Readers) -> u32 {
    let owner = if readers == Readers::Owner { 0 } else { WRITE_OWNER };
    FILE_READ_ATTRIBUTES | READ_CONTROL | WRITE_DAC | owner
}

/// In a place where everybody can make files, somebody may have laid a link to what we are not meant to change. What is
/// opened here is the thing itself, and that very thing gets the list.
pub(in crate::platform) fn restrict(path: &Path, readers: Readers) -> io::Result<()> {
    let flags = FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT;
    let file = OpenOptions::new().access_mode(rights(readers)).custom_flags(flags).open(path)?;
    protect(&file, readers)
}

#[expect(unsafe_code, reason = "the system's access lists")]
fn protect(file: &File, readers: Readers) -> io::Result<()> {
    let about = file.metadata()?;
    if about.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a link, not the thing itself"));
    }
    let text = wide(list(readers, about.is_dir()))?;
    let mut descriptor = null_mut();
    // SAFETY: `text` ends with a zero; `descriptor` is a place for one pointer.
    let is_read = unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &mut descriptor,
            null_mut(),
        )
    };
    if is_read == 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = Lent(descriptor);
    let (mut owner, mut rules, mut is_there, mut is_default) = (null_mut(), null_mut(), 0, 0);
    // SAFETY: the descriptor is valid until `descriptor` is dropped, at the end; the others are places for results
    // that point into it.
    let is_taken_apart = unsafe {
        GetSecurityDescriptorDacl(descriptor.0, &mut is_there, &mut rules, &mut is_default) != 0
            && GetSecurityDescriptorOwner(descriptor.0, &mut owner, &mut is_default) != 0
    };
    if !is_taken_apart {
        return Err(io::Error::last_os_error());
    }
    // An empty place here would mean: everybody may do everything.
    if is_there == 0 || rules.is_null() {
        return Err(io::Error::other("the system has read no rules"));
    }
    let mut parts = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    if !owner.is_null() {
        parts |= OWNER_SECURITY_INFORMATION;
    }
    // SAFETY: the handle is open; owner and rules are parts of the descriptor.
    checked(unsafe { SetSecurityInfo(file.as_raw_handle(), SE_FILE_OBJECT, parts, owner, null_mut(), rules, null()) })
}

/// Nobody else opens the file while it is open here, so that nobody can have got at it before the list was written.
pub(in crate::platform) fn create_private(path: &Path, readers: Readers) -> io::Result<File> {
    let access = GENERIC_WRITE | rights(readers);
    let file = OpenOptions::new().write(true).access_mode(access).create_new(true).share_mode(0).open(path)?;
    protect(&file, readers)?;
    Ok(file)
}

/// Whoever opens the file meanwhile can read it, and neither change nor remove it.
pub(in crate::platform) fn hold(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).share_mode(FILE_SHARE_READ).open(path)
}

pub(in crate::platform) fn share(path: &Path, readers: Readers) -> io::Result<()> {
    restrict(path, readers)
}

pub(in crate::platform) fn claim_folder(path: &Path, readers: Readers, _is_new: bool) -> io::Result<()> {
    restrict(path, readers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_those_who_may_and_nobody_else() {
        for (readers, is_folder, text) in [
            (Readers::Owner, false, "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;OW)"),
            (Readers::Owner, true, "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)"),
            (Readers::Administrators, true, "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"),
            (Readers::Service, false, "O:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FRFX;;;LS)"),
            (Readers::ServiceWriter, true, "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;LS)"),
        ] {
            assert_eq!(list(readers, is_folder), text);
        }
    }
}
