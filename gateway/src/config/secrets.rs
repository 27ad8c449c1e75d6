//! Secrets of the configuration: in the file itself, in a file of their own, or in the environment.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use nicgate_protocol::Secret;

use super::file::{Section, quote};
use super::nearest::enumerate;
use super::reading::{At, Reading};

/// The largest file beside the configuration that is read. A chain of certificates is a few kilobytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The endings of a secret's key for the places beside the file.
pub(super) const ELSEWHERE: [&str; 3] = ["file", "env", "credential"];

/// Where a secret may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// In the file (`x`), a file of its own (`x_file`), the environment (`x_env`) or a systemd credential
    /// (`x_credential`).
    Anywhere,
    /// Not in the file.
    Elsewhere,
}

/// The secret `key`, wherever it stands; more than one place is a mistake, and so is an empty one.
pub(super) fn take(section: &mut Section<'_>, key: &'static str, home: Home) -> Option<At<Secret<String>>> {
    let reading = section.reading;
    let [file_key, env_key, credential_key] = ELSEWHERE.map(|place| format!("{key}_{place}"));
    let everywhere: [&str; 4] = [&file_key, &env_key, &credential_key, key];
    let places = if home == Home::Anywhere { &everywhere[..] } else { &everywhere[..3] };
    let mut written: Vec<(usize, &str)> =
        places.iter().filter_map(|key| section.key_span(key).map(|span| (span.start, *key))).collect();
    written.sort_unstable();
    if let [_, .., (_, last)] = written.as_slice()
        && let Some(span) = section.key_span(last)
    {
        let found = format!("{} stand side by side", enumerate(written.iter().map(|(_, key)| *key)));
        reading.mistake(&span, found, "keep one of them");
    }

    let clear = if home == Home::Anywhere { section.take_secret_text(key) } else { None };
    let from_file = section.take_text(file_key.clone());
    let from_env = section.take_text(env_key.clone());
    let from_credential = section.take_text(credential_key.clone());
    if let Some(clear) = clear {
        if clear.value.is_empty() {
            reading.mistake(
                &clear.span,
                format!("{key} is empty"),
                format!("write the secret, or use {file_key} or {env_key}"),
            );
            return None;
        }
        return Some(At { value: Secret::new(clear.value.to_owned()), span: clear.span });
    }
    if let Some(file) = from_file {
        let path = reading.path(file.value);
        let value = read_file(reading, &file_key, &file, &path)?;
        warn_when_open(reading, &file, &path);
        return Some(At { value, span: file.span });
    }
    if let Some(name) = from_credential {
        return read_credential(reading, &credential_key, &name).map(|value| At { value, span: name.span });
    }
    let variable = from_env?;
    match reading.environment(variable.value) {
        Some(text) if !text.is_empty() => Some(At { value: Secret::new(text), span: variable.span }),
        _ => {
            let found = format!("{env_key} names {}, which is not set", variable.value);
            reading.mistake(&variable.span, found, "set it where the gateway is started");
            None
        }
    }
}

/// The secret in a file of its own, without the end of its line.
fn read_file(reading: &Reading<'_>, key: &str, written: &At<&str>, path: &Path) -> Option<Secret<String>> {
    let unusable = |why: &str| {
        let hint = format!("{} should hold the secret and nothing else", path.display());
        reading.mistake(&written.span, format!("{key} cannot be used: {why}"), hint);
        None
    };
    let text = match read_bounded(path).map(String::from_utf8) {
        Ok(Ok(text)) => Secret::new(text),
        Ok(Err(_)) => return unusable("it is no text"),
        Err(why) => return unusable(&why.to_string()),
    };
    let trimmed = text.expose().trim_end_matches(['\r', '\n']);
    if trimmed.is_empty() {
        return unusable("it is empty");
    }
    Some(Secret::new(trimmed.to_owned()))
}

/// The secret that systemd hands over as a file of this name (systemd.exec, LoadCredential=).
fn read_credential(reading: &Reading<'_>, key: &str, name: &At<&str>) -> Option<Secret<String>> {
    let hint = || format!("write LoadCredential={}:/path/of/the/secret into the unit", name.value);
    if name.value.is_empty() || name.value.contains(['/', ':']) || name.value.starts_with('.') {
        reading.mistake(&name.span, format!("{key} is no name of a credential"), hint());
        return None;
    }
    match reading.environment("CREDENTIALS_DIRECTORY") {
        Some(folder) => read_file(reading, key, name, &Path::new(&folder).join(name.value)),
        None => {
            let found = format!("{key} names {}, and systemd has given no credentials", name.value);
            reading.mistake(&name.span, found, hint());
            None
        }
    }
}

/// The bytes of a file that should be small.
pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, LARGEST_FILE)
}

/// The bytes of a file, unless there are more than `most`.
pub(super) fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// Warns of a secret file that everybody may read.
pub(super) fn warn_when_open(reading: &Reading<'_>, written: &At<&str>, path: &Path) {
    if is_open_to_all(path) {
        let found = format!("{} is readable by everybody", quote(written.value));
        reading.warn(Some(&written.span), found, format!("chmod o= {}", path.display()));
    }
}

/// Whether everybody on this machine may read a file. What cannot be asked is not.
#[cfg(unix)]
pub(super) fn is_open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// Whether everybody on this machine may read a file; not known on this system.
#[cfg(not(unix))]
pub(super) fn is_open_to_all(_path: &Path) -> bool {
    false
}
