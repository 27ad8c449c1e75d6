//! Real servers: BIND, Knot, PowerDNS, and moto for Route 53, for stories about providers; coturn and miniupnpd for
//! stories about sources of addresses. Each runs in the foreground in a folder of its own on free loopback ports (a
//! router in a network of the story's own), is waited for until it answers, and is ended by its process id.
//!
//! Ports are picked before the server takes them, so another process may be quicker. Each server therefore holds
//! something that only it knows, and counts as started when it gives that; else another port is tried.

pub mod bind;
pub mod coturn;
pub mod knot;
#[cfg(target_os = "linux")]
pub mod miniupnpd;
pub mod moto;
pub mod powerdns;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Folder, Stopwatch, text, tool, wire};

pub use bind::Bind;
pub use coturn::Coturn;
pub use knot::Knot;
#[cfg(target_os = "linux")]
pub use miniupnpd::Miniupnpd;
pub use moto::Moto;
pub use powerdns::PowerDns;

/// The zone that BIND, Knot and PowerDNS serve.
pub const ZONE: &str = "example.com";
/// The TSIG key that may write addresses anywhere in [`ZONE`].
pub const KEY: &str = "ddns-key.example";
/// The secret of all TSIG keys: 32 bytes, and too well known for any other use.
pub const SECRET: &str = "bmljZ2F0ZS10ZXN0cy1vbmx5LTMyLWJ5dGVzLWxvbmc=";
/// More keys of the same rights and secret, one for each algorithm of RFC 8945.
pub const ALGORITHMS: [&str; 5] = ["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"];

/// How long a server may take until it answers. moto, which is Python, takes seconds on a busy machine.
const START: Duration = Duration::from_secs(40);
/// How often a server that lost its port to another process is started on another one.
const TRIES: u32 = 4;

/// A server's process, its folder and what it said.
pub struct Server {
    child: Child,
    folder: Folder,
}

impl Server {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its folder: configuration, zones, journals.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything it said so far.
    #[must_use]
    pub fn said(&self) -> String {
        said(self.folder.path())
    }

    /// Halts it in the middle of whatever it does: it keeps its sockets and answers nobody.
    ///
    /// # Panics
    /// When it cannot be halted.
    pub fn halt(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When it cannot.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(status.is_ok_and(|status| status.success()), "SIG{name} cannot be sent");
    }

    /// Starts a program on free ports. `prepare` writes what it needs into the folder and gives the command;
    /// `answers` tells whether this very server answers.
    fn start<const PORTS: usize>(
        name: &str,
        prepare: impl Fn(&Path, [SocketAddr; PORTS]) -> Command,
        answers: impl Fn(&Path, [SocketAddr; PORTS]) -> bool,
    ) -> (Self, [SocketAddr; PORTS]) {
        let mut last_words = String::new();
        for _ in 0..TRIES {
            let folder = Folder::new(name);
            let ports = free_ports();
            let output = File::create(folder.path().join(OUTPUT)).expect("a new folder takes a file");
            let errors = output.try_clone().expect("an open file can be written by two");
            let mut command = prepare(folder.path(), ports);
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(output).stderr(errors);
            let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
            let mut server = Self { child, folder };
            let waited = Stopwatch::start();
            while waited.elapsed() < START {
                if answers(server.folder(), ports) {
                    return (server, ports);
                }
                let status = server.child.try_wait().expect("a child can be waited for");
                // Some go on without the port that another process took.
                if status.is_some() || server.said().to_ascii_lowercase().contains("in use") {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            last_words = server.said();
        }
        panic!("{name} does not start. It said:\n{last_words}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only for one that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const OUTPUT: &str = "output.log";

fn said(folder: &Path) -> String {
    std::fs::read(folder.join(OUTPUT)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Loopback ports that are free for UDP and TCP at this moment, all different.
fn free_ports<const PORTS: usize>() -> [SocketAddr; PORTS] {
    // Held together, so that no two are the same.
    let held: [(TcpListener, UdpSocket); PORTS] = std::array::from_fn(|_| {
        for _ in 0..100 {
            let tcp = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
            let address = tcp.local_addr().expect("a bound listener has an address");
            if let Ok(udp) = UdpSocket::bind(address) {
                return (tcp, udp);
            }
        }
        panic!("a hundred ports that are free for TCP were all taken for UDP");
    });
    held.map(|(tcp, _)| tcp.local_addr().expect("a bound listener has an address"))
}

/// Changes [`ZONE`] by ISC's nsupdate, as somebody would by hand; what it printed, nothing when all went well. `None`
/// when it is not installed. `key` is a name and an algorithm.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn nsupdate(server: SocketAddr, key: (&str, &str), lines: &str) -> Option<String> {
    let mut child = Command::new(tool("nsupdate")?)
        .args(["-y", &format!("{}:{}:{SECRET}", key.1, key.0)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsupdate runs");
    let script = format!("server {} {}\nzone {ZONE}\n{lines}\nsend\n", server.ip(), server.port());
    let mut stdin = child.stdin.take().expect("it was piped");
    stdin.write_all(script.as_bytes()).expect("nsupdate reads");
    drop(stdin);
    Some(text(&child.wait_with_output().expect("nsupdate ends")))
}

/// A zone file for [`ZONE`]: SOA, name server, something by which the server is known, and `records` in the same
/// format.
fn zone_file(folder: &Path, records: &str) -> String {
    let mut text = format!(
        "$ORIGIN {ZONE}.\n$TTL 300\n\
         @ IN SOA ns1.{ZONE}. hostmaster.{ZONE}. 1 3600 600 86400 30\n\
         @ IN NS ns1.{ZONE}.\n\
         ns1 IN A 127.0.0.1\n"
    );
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{MARK} IN TXT \"{}\"\n{records}", mark(folder));
    text
}

/// The name that holds what only one server knows.
const MARK: &str = "which-server";

fn mark(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether the name server with this folder answers at an address.
fn is_serving(folder: &Path, address: SocketAddr) -> bool {
    let question = wire::question(&format!("{MARK}.{ZONE}"), "TXT");
    wire::ask(address, &question)
        .is_ok_and(|reply| reply.answers.iter().any(|record| record.data.to_string().contains(&mark(folder))))
}
