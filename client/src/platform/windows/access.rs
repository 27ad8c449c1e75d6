//! Access lists of files and folders, written in the system's own language for them (SDDL).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1, SE_FILE_OBJECT, SetNamedSecurityInfoW,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, GetSecurityDescriptorOwner, OWNER_SECURITY_INFORMATION,
    PROTECTED_DACL_SECURITY_INFORMATION,
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

#[expect(unsafe_code, reason = "the system's access lists")]
pub(in crate::platform) fn restrict(path: &Path, readers: Readers) -> io::Result<()> {
    let about = std::fs::symlink_metadata(path)?;
    // In a place where everybody can make files, somebody may have laid a link to what we are not meant to change.
    if about.is_symlink() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a link, not the thing itself"));
    }
    let is_folder = about.is_dir();
    let (path, text) = (wide(path)?, wide(list(readers, is_folder))?);
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
    // SAFETY: `path` ends with a zero; owner and rules are parts of the descriptor.
    checked(unsafe { SetNamedSecurityInfoW(path.as_ptr(), SE_FILE_OBJECT, parts, owner, null_mut(), rules, null()) })
}

/// Nobody else opens the file while it is open here, so that nobody can have got at it before the list was written.
pub(in crate::platform) fn create_private(path: &Path, readers: Readers) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).share_mode(0).open(path)?;
    restrict(path, readers)?;
    Ok(file)
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
