//! What differs from system to system, behind the same few functions. No `cfg` for a system stands elsewhere, but
//! for the sockets of [`crate::way`].
//!
//! Whatever judges is apart from whatever asks the system: `linux` reads text, `adapter` judges plain values, and both
//! are tested everywhere. A protection that cannot be given is an error, never silence.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Output;

use nicgate_protocol::{Family, Secret};

use crate::choose::Marks;

#[cfg(any(windows, test))]
mod adapter;
mod child;
#[cfg(any(windows, test))]
mod command_line;
pub mod events;
#[cfg(any(target_os = "linux", test))]
mod linux;
#[cfg(all(unix, not(target_os = "linux")))]
mod macos;
pub mod service;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

/// A network interface as the system lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// What people call it: `eth0`, `Ethernet 2`.
    pub name: String,
    /// The system's number for it; 0 where it has none.
    pub index: u32,
    /// Its hardware address, if it has one.
    pub mac: Option<[u8; 6]>,
    /// What the driver says it is (Windows); empty elsewhere.
    pub description: String,
    /// Whether it carries packets.
    pub is_up: bool,
    /// What kind it is.
    pub kind: Kind,
    /// Its addresses, in the system's order.
    pub addresses: Vec<Local>,
    /// The default routes that leave by it: family by the next hop, the smaller metric first.
    pub routes: Vec<DefaultRoute>,
}

/// What an interface is, as far as it matters to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A card, a bridge, a PPP line.
    Ordinary,
    /// The machine itself.
    Loopback,
    /// A tunnel into somebody else's network: what is reached through it is seen with that network's address.
    Vpn,
}

/// An address on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// The address.
    pub address: IpAddr,
    /// How many leading bits name the network.
    pub prefix: u8,
    /// What the system notes about it; `None` when it says nothing, as for every IPv4 address.
    pub marks: Option<Marks>,
}

/// A route for everything that no other route covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultRoute {
    /// The router; unspecified (`0.0.0.0`, `::`) on a line that needs none.
    pub router: IpAddr,
    /// Smaller is preferred.
    pub metric: u32,
}

/// The default routes in the order in which [`Interface::routes`] has them. There are few: sorting proper would be
/// more code than all that reads them.
fn prefer(routes: Vec<DefaultRoute>) -> Vec<DefaultRoute> {
    let rank = |route: &DefaultRoute| (route.router.is_ipv6(), route.metric);
    let mut sorted = Vec::with_capacity(routes.len());
    for route in routes {
        let at = sorted.partition_point(|earlier| rank(earlier) <= rank(&route));
        sorted.insert(at, route);
    }
    sorted
}

/// Every interface with its addresses and default routes, in the system's order. One that has no address may be
/// missing.
///
/// # Errors
/// When the system does not list them.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    system::interfaces()
}

/// The system's word that an address or a route has changed.
pub struct Changes(system::Changes);

impl Changes {
    /// Listens from now on. Needs tokio's runtime with I/O.
    ///
    /// # Errors
    /// When the system does not tell about changes; then only looking again and again finds them.
    pub fn watch() -> io::Result<Self> {
        Ok(Self(system::Changes::watch()?))
    }

    /// Waits for a change after the one last told; several at once are told once, and some are none at all. Nothing
    /// is lost when this future is dropped. Should the system stop telling, this waits for ever.
    pub async fn next(&mut self) {
        if self.0.next().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Who can open what [`seal`] has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Programs of this user on this machine.
    User,
    /// Any program on this machine that can read the file: its readers must be restricted.
    Machine,
}

/// Closes a key so that it is of no use elsewhere (DPAPI on Windows); `None` where the system has no such thing, and
/// a file that only its owner can read has to do.
///
/// # Errors
/// When the system has it and refuses.
pub fn seal(key: &[u8], scope: Scope) -> io::Result<Option<Vec<u8>>> {
    system::seal(key, scope)
}

/// Opens what [`seal`] has closed, of either scope.
///
/// # Errors
/// When it was sealed elsewhere, for somebody else, or is damaged; always where there is no [`seal`].
pub fn unseal(sealed: &[u8]) -> io::Result<Secret<Vec<u8>>> {
    system::unseal(sealed)
}

/// Who may read a file or folder, besides the system and its administrators. Only Windows tells the last three apart;
/// elsewhere it is the owner in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner, who may do everything.
    Owner,
    /// Nobody else; it belongs to the administrators.
    Administrators,
    /// The account `LOCAL SERVICE`; it belongs to the administrators.
    Service,
    /// The account `LOCAL SERVICE`, which may change and delete it as well.
    ServiceWriter,
}

/// Lets nobody but `readers` at a file, or at a folder and whatever will be in it.
///
/// # Errors
/// When the system does not set it: then the file is not protected.
pub fn restrict(path: &Path, readers: Readers) -> io::Result<()> {
    system::restrict(path, readers)
}

/// A new file that only `readers` can read, from the moment it is there. It is the caller's to fill; one that exists is
/// an error.
///
/// # Errors
/// When it cannot be made or is not protected.
pub fn create_private(path: &Path, readers: Readers) -> io::Result<File> {
    system::create_private(path, readers)
}

/// A new file with `bytes` in it. On Windows nobody can change or remove it as long as the result lives; it is open for
/// reading. Elsewhere it is its owner's alone.
///
/// # Errors
/// When it is there already, cannot be written, or somebody was at it before it was held.
pub fn write_held(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = create_private(path, Readers::Owner)?;
    file.write_all(bytes)?;
    // Others could not open it for reading while it is open here for writing.
    drop(file);
    let mut held = system::hold(path)?;
    let mut there = Vec::new();
    held.read_to_end(&mut there)?;
    if there == bytes { Ok(held) } else { Err(io::Error::other("somebody has changed it")) }
}

/// Lets `readers` at a file that holds no secret. Where files have mode bits, a service's file is everybody's: its
/// account may exist only while it runs.
///
/// # Errors
/// When the system does not set it.
pub fn share(path: &Path, readers: Readers) -> io::Result<()> {
    system::share(path, readers)
}

/// Makes a folder of our own fit for `readers`. One that was there before is left as it is, but on Windows, where
/// anybody may have made the machine's folder beforehand and must not keep an owner's rights.
///
/// # Errors
/// When the system does not set it.
pub fn claim_folder(path: &Path, readers: Readers, is_new: bool) -> io::Result<()> {
    system::claim_folder(path, readers, is_new)
}

/// A terminal that does not show what is typed, as long as this lives.
pub struct Hush {
    _held: system::Hush,
}

impl Hush {
    /// `None` where the terminal goes on showing it.
    #[must_use]
    pub fn begin() -> Option<Self> {
        system::Hush::begin().map(|held| Self { _held: held })
    }
}

/// Whether somebody else than a file's owner can read it; `None` where the system has no such mode bits or the file
/// cannot be looked at.
#[must_use]
pub fn is_readable_by_others(path: &Path) -> Option<bool> {
    system::is_readable_by_others(path)
}

/// Whether this program may change the system: root, or an administrator who has said yes. `false` when the system
/// does not tell.
#[must_use]
pub fn is_elevated() -> bool {
    system::is_elevated()
}

/// What lets others than the administrators change a file: the file itself, or a folder on the way to it, as the first
/// of them is called. `None`: nothing does. On Windows nothing does in the machine's folder, which `init` and `install`
/// restrict; elsewhere access lists are not judged, and the file itself is named.
#[must_use]
pub fn exposed(path: &Path) -> Option<PathBuf> {
    system::exposed(path)
}

/// Runs this program once more as an administrator, after asking the person at the screen, and gives its exit code.
/// What it prints is not seen.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] when the person says no, [`io::ErrorKind::Unsupported`] where there is nobody
/// to ask (all but Windows).
pub fn run_elevated(arguments: &[OsString]) -> io::Result<u32> {
    system::run_elevated(arguments)
}

/// Runs a program to its end without a window, and without anything to read from. What it leaves running in the
/// background is not waited for.
///
/// # Errors
/// When it cannot be started.
pub fn run_hidden(program: &Path, arguments: &[OsString]) -> io::Result<Output> {
    system::run_hidden(program, arguments)
}

/// Where the machine's configuration is. Never taken from the environment, which somebody without rights may have
/// set for a program that has them.
#[must_use]
pub fn system_folder() -> PathBuf {
    system::system_folder()
}

/// Where state and log of a configuration in `folder` are, if not beside it: below the machine's folder on Windows,
/// where a service may write its state but not its configuration.
#[must_use]
pub fn state_folder(folder: &Path) -> Option<PathBuf> {
    system::state_folder(folder)
}

/// Where the system's own programs are (Windows: `C:\\Windows\\System32`). Never taken from the environment either.
#[must_use]
pub fn programs_folder() -> PathBuf {
    system::programs_folder()
}

/// Folders of the system's in which everybody may put files, and which are emptied now and then. The environment may
/// know more.
#[must_use]
pub fn temporary_folders() -> Vec<PathBuf> {
    system::temporary_folders()
}

/// Where a user's own configuration is, unless the environment does not say.
#[must_use]
pub fn own_folder(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    system::own_folder(&|name| environment(name).filter(|value| !value.is_empty()))
}

/// What the machine calls itself, without a domain; `None` when it does not.
#[must_use]
pub fn machine_name() -> Option<String> {
    system::machine_name().filter(|name| !name.is_empty())
}

/// The address with which the system would speak to the outside. Connecting a UDP socket only asks the routing
/// table: nothing is sent. The destinations are documentation addresses, which go where the default route leads.
#[must_use]
pub fn source_address(family: Family) -> Option<IpAddr> {
    let (here, there): (SocketAddr, SocketAddr) = match family {
        Family::V4 => ((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(198, 51, 100, 1), 9).into()),
        Family::V6 => ((Ipv6Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into()),
    };
    let socket = UdpSocket::bind(here).ok()?;
    socket.connect(there).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests;
