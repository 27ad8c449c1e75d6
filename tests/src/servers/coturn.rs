//! coturn: `turnserver`, as a STUN server alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[cfg(target_os = "linux")]
use crate::namespace::Namespace;
use crate::tool;

use super::Server;

/// A running coturn.
pub struct Coturn {
    /// Its process.
    pub server: Server,
    /// Where it listens by UDP.
    pub port: u16,
}

impl Coturn {
    /// Starts it on loopback of both families. `None` when it is not installed.
    #[must_use]
    pub fn start(name: &str) -> Option<Self> {
        let turnserver = tool("turnserver")?;
        let (server, [address]) = Server::start(
            name,
            |folder, [address]| {
                let mut command = Command::new(&turnserver);
                let listening = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                command.args(arguments(folder, &listening, address.port()));
                command
            },
            |_, [address]| is_answering(address),
        );
        Some(Self { server, port: address.port() })
    }

    /// Starts it on an address in a network of the story's own, at STUN's own port. `None` when it is not installed.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn start_in(network: &Namespace, address: IpAddr) -> Option<Self> {
        const PORT: u16 = 3478;
        let turnserver = tool("turnserver")?;
        let (server, []) = Server::start(
            network.name(),
            |folder, []| {
                let mut command = network.command(&turnserver);
                command.args(arguments(folder, &[address], PORT));
                command
            },
            |_, []| network.run(|| is_answering(SocketAddr::new(address, PORT))),
        );
        Some(Self { server, port: PORT })
    }
}

fn arguments(folder: &Path, listening: &[IpAddr], port: u16) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["-n", "--stun-only", "--no-tls", "--no-dtls", "--no-tcp", "--no-cli", "--log-file", "stdout"]
            .map(str::to_owned)
            .into();
    arguments.extend(["--pidfile".to_owned(), folder.join("pid").display().to_string()]);
    arguments.extend(["--listening-port".to_owned(), port.to_string()]);
    arguments.extend(listening.iter().flat_map(|address| ["--listening-ip".to_owned(), address.to_string()]));
    arguments
}

/// Whether a Binding request gets a Binding success (RFC 8489 5). One STUN server is as good as another.
fn is_answering(address: SocketAddr) -> bool {
    let asked = || {
        let here: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((here, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.connect(address)?;
        socket.send(b"\x00\x01\x00\x00\x21\x12\xa4\x42is it there?")?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        std::io::Result::Ok(answer[..length].starts_with(b"\x01\x01"))
    };
    asked().unwrap_or(false)
}
