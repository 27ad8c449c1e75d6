//! What Linux and macOS have in common. Where they differ, `linux` and `macos` know more.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use if_addrs::{IfAddr, IfOperStatus};
use nicgate_protocol::Secret;

#[cfg(target_os = "linux")]
use super::linux as kernel;
#[cfg(not(target_os = "linux"))]
use super::macos as kernel;
use super::{Interface, Kind, Local, Readers, Scope};

pub(super) use kernel::{is_elevated, machine_name, system_folder};

pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for listed in if_addrs::get_if_addrs()? {
        // `eth0:1` is a label that an address on eth0 has.
        let name = listed.name.split(':').next().unwrap_or_default();
        let known = interfaces.iter().position(|interface| interface.name == name);
        let at = known.unwrap_or_else(|| {
            interfaces.push(bare(name, &listed));
            interfaces.len() - 1
        });
        let prefix = match &listed.addr {
            IfAddr::V4(v4) => v4.prefixlen,
            IfAddr::V6(v6) => v6.prefixlen,
        };
        interfaces[at].addresses.push(Local { address: listed.ip(), prefix, marks: None });
    }
    kernel::complete(&mut interfaces);
    Ok(interfaces)
}

/// An interface as far as the list of addresses tells.
fn bare(name: &str, listed: &if_addrs::Interface) -> Interface {
    Interface {
        name: name.to_owned(),
        index: listed.index.unwrap_or_default(),
        mac: None,
        description: String::new(),
        // One that works may say "unknown".
        is_up: matches!(listed.oper_status, IfOperStatus::Up | IfOperStatus::Unknown),
        kind: if listed.is_loopback() { Kind::Loopback } else { Kind::Ordinary },
        addresses: Vec::new(),
        routes: Vec::new(),
    }
}

/// The socket on which the kernel tells about changes. It is of another family, but gives message by message as this
/// type of socket does, and reading is all that happens to it.
pub(super) struct Changes(tokio::net::UnixDatagram);

impl Changes {
    pub(super) fn watch() -> io::Result<Self> {
        let socket = UnixDatagram::from(kernel::change_socket()?);
        socket.set_nonblocking(true)?;
        Ok(Self(tokio::net::UnixDatagram::from_std(socket)?))
    }

    /// Whatever has come by now is one change. What it says is of no interest: everything is looked at anew.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        let mut message = [0; 4096];
        let (mut is_changed, mut is_broken) = (false, false);
        while !is_changed {
            self.0.readable().await?;
            loop {
                match self.0.try_recv(&mut message) {
                    Ok(_) => (is_changed, is_broken) = (true, false),
                    Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => break,
                    // More has happened than the socket could keep: that is told once.
                    Err(_) if !is_broken => (is_changed, is_broken) = (true, true),
                    Err(fault) => return Err(fault),
                }
            }
        }
        Ok(())
    }
}

pub(super) fn seal(_key: &[u8], _scope: Scope) -> io::Result<Option<Vec<u8>>> {
    Ok(None)
}

pub(super) fn unseal(_sealed: &[u8]) -> io::Result<Secret<Vec<u8>>> {
    Err(unsupported("only Windows opens sealed keys"))
}

pub(super) fn restrict(path: &Path, _readers: Readers) -> io::Result<()> {
    set_mode(path, 0o700, 0o600)
}

/// In a place where everybody can make files, somebody may have laid a link to what we are not meant to change. What is
/// opened here gets the mode, if it is what the name stood for.
fn set_mode(path: &Path, of_folder: u32, of_file: u32) -> io::Result<()> {
    let named = std::fs::symlink_metadata(path)?;
    if !named.is_dir() && !named.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a link, not the thing itself"));
    }
    let file = File::open(path)?;
    let opened = file.metadata()?;
    if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it became something else while it was opened"));
    }
    file.set_permissions(PermissionsExt::from_mode(if opened.is_dir() { of_folder } else { of_file }))
}

pub(super) fn create_private(path: &Path, _readers: Readers) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

pub(super) fn hold(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(super) fn share(path: &Path, readers: Readers) -> io::Result<()> {
    match readers {
        Readers::Owner | Readers::Administrators => restrict(path, readers),
        // A service is handed its key and has a folder of its own for its state; the rest it reads here.
        Readers::Service | Readers::ServiceWriter => set_mode(path, 0o755, 0o644),
    }
}

pub(super) fn claim_folder(path: &Path, readers: Readers, is_new: bool) -> io::Result<()> {
    if is_new { share(path, readers) } else { Ok(()) }
}

/// The terminal's settings as they were, to be set again.
pub(super) struct Hush(String);

impl Hush {
    /// By the program that every system has for it: the call itself would be `unsafe`.
    pub(super) fn begin() -> Option<Self> {
        let stty = |words: &[&str]| {
            let output =
                Command::new("stty").args(words).stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let before = stty(&["-g"]).filter(|text| !text.is_empty())?;
        stty(&["-echo"]).map(|_| Self(before))
    }
}

impl Drop for Hush {
    fn drop(&mut self) {
        // A shell sets its terminal right by itself, should this fail.
        let _ = Command::new("stty").arg(&self.0).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
    }
}

pub(super) fn is_readable_by_others(path: &Path) -> Option<bool> {
    Some(std::fs::metadata(path).ok()?.mode() & 0o077 != 0)
}

/// Links are followed first. Where only owners may rename what is in a folder (`/tmp`), it may be everybody's, unless
/// the file lies directly in it.
pub(super) fn exposed(path: &Path) -> Option<PathBuf> {
    let Ok(real) = std::fs::canonicalize(path) else { return Some(path.to_owned()) };
    let is_open = |(depth, path): &(usize, &Path)| {
        std::fs::metadata(path).map_or(true, |about| {
            let is_sticky = *depth > 1 && about.mode() & 0o1000 != 0;
            about.uid() != 0 || (about.mode() & 0o022 != 0 && !is_sticky)
        })
    };
    real.ancestors().enumerate().find(is_open).map(|(_, path)| path.to_owned())
}

pub(super) fn run_elevated(_arguments: &[OsString]) -> io::Result<u32> {
    Err(unsupported("start it again with sudo"))
}

pub(super) fn run_hidden(program: &Path, arguments: &[OsString]) -> io::Result<Output> {
    super::child::run(Command::new(program).args(arguments))
}

/// The settings know `/var/lib`.
pub(super) fn state_folder(_folder: &Path) -> Option<PathBuf> {
    None
}

pub(super) fn programs_folder() -> PathBuf {
    PathBuf::from("/usr/bin")
}

pub(super) fn temporary_folders() -> Vec<PathBuf> {
    kernel::TEMPORARY_FOLDERS.iter().map(PathBuf::from).collect()
}

pub(super) fn own_folder(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let in_home = || environment("HOME").map(|home| Path::new(&home).join(".config"));
    let folder = environment("XDG_CONFIG_HOME").map(PathBuf::from).or_else(in_home)?;
    Some(folder.join("nicgate"))
}

/// There is no event log: whoever starts the program keeps what it prints.
pub(super) mod events {
    use std::io;

    use crate::platform::events::Level;

    pub(in crate::platform) fn register() -> io::Result<()> {
        Ok(())
    }

    pub(in crate::platform) fn unregister() -> io::Result<()> {
        Ok(())
    }

    pub(in crate::platform) fn report(_level: Level, _id: u16, _text: &str) -> io::Result<()> {
        Ok(())
    }
}

fn unsupported(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, what)
}
