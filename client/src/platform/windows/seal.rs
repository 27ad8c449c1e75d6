//! The data protection of Windows (DPAPI): keys sealed for this user or this machine.

use std::io;
use std::ptr::null;

use nicgate_protocol::Secret;
use windows_sys::Win32::Security::Cryptography::{
    CRYPT_INTEGER_BLOB, CRYPTPROTECT_LOCAL_MACHINE, CRYPTPROTECT_UI_FORBIDDEN, CryptProtectData, CryptUnprotectData,
};
use zeroize::Zeroize as _;

use super::Lent;
use crate::platform::Scope;

/// Goes into every seal, so that no other program's sealed data is taken for a key. Not a secret.
const PURPOSE: &[u8] = b"nicgate-client key v1";

#[expect(unsafe_code, reason = "the system seals")]
pub(in crate::platform) fn seal(key: &[u8], scope: Scope) -> io::Result<Option<Vec<u8>>> {
    let flags = match scope {
        Scope::User => CRYPTPROTECT_UI_FORBIDDEN,
        Scope::Machine => CRYPTPROTECT_UI_FORBIDDEN | CRYPTPROTECT_LOCAL_MACHINE,
    };
    let (key, purpose, mut sealed) = (blob(key)?, blob(PURPOSE)?, CRYPT_INTEGER_BLOB::default());
    // SAFETY: the first two outlive the call and are not written to, whatever their pointers' type; the last is a
    // place for the result.
    let is_done = unsafe { CryptProtectData(&key, null(), &purpose, null(), null(), flags, &mut sealed) } != 0;
    // SAFETY: the system has filled it in, or left it empty.
    unsafe { take(is_done, sealed) }.map(Some)
}

#[expect(unsafe_code, reason = "the system unseals")]
pub(in crate::platform) fn unseal(sealed: &[u8]) -> io::Result<Secret<Vec<u8>>> {
    let (sealed, purpose, mut key) = (blob(sealed)?, blob(PURPOSE)?, CRYPT_INTEGER_BLOB::default());
    let (description, flags) = (std::ptr::null_mut(), CRYPTPROTECT_UI_FORBIDDEN);
    // SAFETY: as in `seal`; no description is asked for.
    let is_done = unsafe { CryptUnprotectData(&sealed, description, &purpose, null(), null(), flags, &mut key) } != 0;
    // SAFETY: as in `seal`.
    unsafe { take(is_done, key) }.map(Secret::new)
}

fn blob(bytes: &[u8]) -> io::Result<CRYPT_INTEGER_BLOB> {
    let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "it is too long");
    Ok(CRYPT_INTEGER_BLOB { cbData: u32::try_from(bytes.len()).map_err(too_long)?, pbData: bytes.as_ptr().cast_mut() })
}

/// Copies what the system gave, wipes the original and gives it back.
///
/// # Safety
/// `given` is empty or memory of `LocalAlloc` that nobody else frees.
#[expect(unsafe_code, reason = "memory of the system's")]
unsafe fn take(is_done: bool, given: CRYPT_INTEGER_BLOB) -> io::Result<Vec<u8>> {
    if !is_done {
        return Err(io::Error::last_os_error());
    }
    let lent = Lent(given.pbData.cast());
    if lent.0.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: it is `cbData` bytes long, and `lent` frees it only afterwards.
    let bytes = unsafe { std::slice::from_raw_parts_mut(given.pbData, given.cbData as usize) };
    let copy = bytes.to_vec();
    bytes.zeroize();
    Ok(copy)
}
