//! Where the master key comes from: the configuration, a systemd credential, `data_dir`, or, on the first start,
//! the dice. Deriving secrets from it is `protocol::secret`.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

use nicgate_protocol::MasterKey;
use zeroize::Zeroizing;

use crate::config::Server;
use crate::entropy;

/// The name of a systemd credential that holds the key (`LoadCredential=nicgate-master-key:…`).
pub const CREDENTIAL: &str = "nicgate-master-key";
/// The file that is made on the first start, in `data_dir`.
pub const FILE: &str = "master.key";

/// Why there is no master key.
#[derive(Debug)]
pub enum KeyError {
    /// The file could not be read or made.
    Io(PathBuf, io::Error),
    /// The text is no key.
    Malformed(String),
    /// A key other than the one that made the devices' secrets.
    Another(String),
    /// The key is gone, and the store is not new.
    Lost(PathBuf),
    /// Others may read the file.
    Open(PathBuf),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: the master key cannot be read or made: {error}", path.display()),
            Self::Malformed(place) => write!(f, "{place} holds no master key: 64 hexadecimal digits are expected"),
            Self::Another(place) => write!(
                f,
                "{place} holds another master key than the one this store was made with; with it no device could log in. \
                 Put the old key back, or move nicgate.redb away to start anew"
            ),
            Self::Lost(path) => write!(
                f,
                "{} is gone, but the store beside it belongs to a master key; put the key back from your backup, \
                 or move nicgate.redb away to start anew with new secrets for every device",
                path.display()
            ),
            Self::Open(path) => write!(
                f,
                "{} can be read by others: `chmod 600 {0}`, and if anybody else has an account here, start anew with a new key",
                path.display()
            ),
        }
    }
}

impl std::error::Error for KeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Io(_, error) = self { Some(error) } else { None }
    }
}

/// Finds the key, or makes one when the store is new. `known` is the fingerprint that the store keeps.
///
/// # Errors
/// See [`KeyError`].
pub fn load(server: &Server, known: Option<[u8; 16]>) -> Result<MasterKey, KeyError> {
    let (place, key) = match &server.master_key {
        Some(given) => ("the configuration".to_owned(), MasterKey::new(given.expose())),
        None => {
            let path = find(&server.data_dir, known.is_some())?;
            let place = path.display().to_string();
            let bytes = parse(&read(&path)?).ok_or_else(|| KeyError::Malformed(place.clone()))?;
            (place, MasterKey::new(&bytes))
        }
    };
    match known {
        Some(fingerprint) if fingerprint != key.fingerprint() => Err(KeyError::Another(place)),
        Some(_) | None => Ok(key),
    }
}

/// The file that holds the key: systemd's, else the one in `data_dir`, which is made when the store is new.
fn find(data_dir: &Path, is_old_store: bool) -> Result<PathBuf, KeyError> {
    if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") {
        let path = Path::new(&folder).join(CREDENTIAL);
        if path.exists() {
            return Ok(path);
        }
    }
    let path = data_dir.join(FILE);
    if path.exists() {
        return Ok(path);
    }
    if is_old_store {
        return Err(KeyError::Lost(path));
    }
    let wrap = |error| KeyError::Io(path.clone(), error);
    let bytes = entropy::key().map_err(wrap)?;
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in bytes.iter() {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    write_private(&path, text.as_bytes()).map_err(wrap)?;
    Ok(path)
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let wrap = |error| KeyError::Io(path.to_owned(), error);
    let mode = std::fs::metadata(path).map_err(wrap)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyError::Open(path.to_owned()));
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(wrap)
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// 64 hexadecimal digits.
fn parse(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let digits = text.trim_ascii().as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        assert_eq!(parse(&"0a".repeat(32)).map(|bytes| *bytes), Some([10; 32]));
        assert!(parse("").is_none());
        assert!(parse(&"0g".repeat(32)).is_none());
        assert!(parse(&"00".repeat(33)).is_none());
    }
}
