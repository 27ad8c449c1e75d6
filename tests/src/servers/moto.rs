//! moto: a Route 53 that keeps records in memory, speaks the real XML and checks what botocore's models say.
//!
//! Where it differs from the real service: it checks no signatures (any will do, but it must be there), finds a zone
//! by equality only, lets CREATE overwrite, takes any text for an address, and never says "slow down".

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use super::Server;
use crate::wire::{Answer, Request};
use crate::{python, wire};

/// A running moto.
pub struct Moto {
    /// Its process.
    pub server: Server,
    /// Where it listens, plain HTTP.
    pub address: SocketAddr,
}

impl Moto {
    /// Starts it, empty. `None` when the tests' Python environment is missing.
    #[must_use]
    pub fn start(name: &str) -> Option<Self> {
        let program = python()?.with_file_name("moto_server");
        let (server, [address]) = Server::start(
            name,
            |_, [address]| {
                let mut command = Command::new(&program);
                command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
                command
            },
            // It names its port when it has it, and ends when another process has.
            |folder, [address]| {
                super::said(folder).contains(&format!("Running on http://{address}"))
                    && TcpStream::connect(address).is_ok()
                    && ask(address, &Request::get("/moto-api/data.json")).status == 200
            },
        );
        Some(Self { server, address })
    }

    /// Its base URL, as an operator writes it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request to its Route 53: with a header that looks like a signature, else moto takes it for its S3.
    #[must_use]
    pub fn ask(&self, request: Request) -> Answer {
        const CREDENTIAL: &str = "AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/route53/aws4_request, \
                                  SignedHeaders=host, Signature=0";
        ask(self.address, &request.header("Authorization", CREDENTIAL))
    }
}

fn ask(server: SocketAddr, request: &Request) -> Answer {
    Answer::read(&wire::exchange_in_clear(server, &request.bytes(server)))
}
