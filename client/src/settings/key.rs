//! The key that signs: out of the file, a file beside it, a systemd credential or an environment variable.
//!
//! A key file holds the key's letters, or `dpapi:` and a sealed form that only this machine (or this account) opens.
//! What is read is never repeated in a message.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nicgate_protocol::Secret;
use nicgate_protocol::secret::{KEY_LETTERS, Key};

use super::file::File;
use crate::platform;

/// What a sealed key file begins with; base64 follows.
pub const SEALED: &str = "dpapi:";

/// The key out of exactly one of `key`, `key_file`, `key_env`, and the file that `key_file` names. Never repeats what it
/// read.
pub(super) fn key(
    file: &mut File<'_>,
    warnings: &mut Vec<String>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<(Key, Option<PathBuf>)> {
    let written = (file.text("key"), file.text("key_file"), file.text("key_env"));
    let mut named = None;
    let (place, text) = match written {
        (Some(key), None, None) => {
            if platform::is_readable_by_others(file.path()) == Some(true) {
                warnings.push(too_open(file.path()));
            }
            let text = Secret::new(key.text.clone());
            (key, text)
        }
        (None, Some(name), None) => {
            let beside = file.beside(&name);
            let path = credential(environment, &name.text).unwrap_or_else(|| beside.clone());
            named = Some(beside);
            match fs::read_to_string(&path) {
                Ok(mut text) => {
                    if platform::is_readable_by_others(&path) == Some(true) {
                        warnings.push(too_open(&path));
                    }
                    if text.starts_with(super::MARK) {
                        text.remove(0);
                    }
                    match unsealed(text) {
                        Ok(text) => (name, text),
                        Err(why) => {
                            file.mistake(&name, &format!("{} {why}", path.display()));
                            return None;
                        }
                    }
                }
                Err(fault) => {
                    file.mistake(&name, &format!("{} cannot be read: {fault}", path.display()));
                    return None;
                }
            }
        }
        (None, None, Some(name)) => match environment(&name.text) {
            Some(text) => (name, Secret::new(text)),
            None => {
                file.mistake(&name, "there is no such environment variable");
                return None;
            }
        },
        (None, None, None) => {
            file.missing("key_file", "key_file = \"laptop.key\" (or key, or key_env)");
            return None;
        }
        (Some(place), _, _) | (None, Some(place), Some(_)) => {
            file.mistake(&place, "there is more than one of key, key_file and key_env; leave one");
            return None;
        }
    };
    parse(&text).map_err(|why| file.mistake(&place, &why)).ok().map(|key| (key, named))
}

/// A key out of what somebody wrote; blanks around it do not count.
///
/// # Errors
/// What a key looks like. The text is not repeated.
pub fn parse(text: &Secret<String>) -> Result<Key, String> {
    let bytes = text.expose().trim().as_bytes();
    let is_plain = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    match <[u8; KEY_LETTERS]>::try_from(bytes) {
        Ok(key) if is_plain => Ok(Secret::new(key)),
        Ok(_) | Err(_) => Err(format!(
            "this gives {} bytes; a key is {KEY_LETTERS} letters of base64url, as `nicgate device show` prints it after \
             \"key\" (the password is another secret)",
            bytes.len()
        )),
    }
}

fn too_open(path: &Path) -> String {
    format!("{} holds the key and others can read it; cure: chmod 600 {0}", path.display())
}

/// A credential that the service manager handed over under the key file's name (systemd.exec(5), `LoadCredential=`):
/// the account that runs us may not be able to read the file itself.
fn credential(environment: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<PathBuf> {
    let folder = environment("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty())?;
    let path = Path::new(&folder).join(Path::new(name).file_name()?);
    path.is_file().then_some(path)
}

/// The letters of a key file, opened if they are sealed.
///
/// # Errors
/// A part of a sentence, when they are sealed and do not open.
pub fn unsealed(text: String) -> Result<Secret<String>, String> {
    let text = Secret::new(text);
    let Some(sealed) = text.expose().trim().strip_prefix(SEALED) else { return Ok(text) };
    let blob = STANDARD.decode(sealed).map_err(|_| "is sealed, but not whole: make it anew with `init`".to_owned())?;
    let key = platform::unseal(&blob).map_err(|fault| {
        format!("cannot be opened by this account on this machine: {fault}; make it anew with `init`")
    })?;
    std::str::from_utf8(key.expose()).map(|key| Secret::new(key.to_owned())).map_err(|_| "holds no key".to_owned())
}
