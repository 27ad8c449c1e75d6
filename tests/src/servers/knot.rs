//! Knot DNS: `knotd`, with keys for dynamic updates.

use std::net::SocketAddr;
use std::process::Command;

use super::{ALGORITHMS, KEY, SECRET, Server, ZONE, is_serving, zone_file};
use crate::tool;

/// A running Knot.
pub struct Knot {
    /// Its process.
    pub server: Server,
    /// Where it listens, UDP and TCP.
    pub address: SocketAddr,
}

impl Knot {
    /// Starts it with [`ZONE`] and more `records`, as a zone file has them. `None` when it is not installed.
    #[must_use]
    pub fn start(name: &str, records: &str) -> Option<Self> {
        let mut sections = String::from("key:\n");
        for (key, algorithm) in [(KEY, "hmac-sha256")].into_iter().chain(ALGORITHMS.map(|name| (name, name))) {
            sections += &format!("  - id: {key}.\n    algorithm: {algorithm}\n    secret: {SECRET}\n");
        }
        let keys: Vec<String> = [KEY].iter().chain(&ALGORITHMS).map(|key| format!("{key}.")).collect();
        sections += &format!(
            "acl:\n  - id: addresses\n    key: [{}]\n    action: update\n    update-type: [A, AAAA]\n\
             zone:\n  - domain: {ZONE}\n    file: example.com.zone\n    acl: addresses\n",
            keys.join(", ")
        );
        Self::with(name, &sections, records)
    }

    /// Starts it with other sections beside `server`, `database` and `template`: keys, rules and zones. The zone file
    /// of [`ZONE`] is `example.com.zone`.
    #[must_use]
    pub fn with(name: &str, sections: &str, records: &str) -> Option<Self> {
        let knotd = tool("knotd")?;
        let (server, [address]) = Server::start(
            name,
            |folder, [address]| {
                let path = folder.display();
                let configuration = format!(
                    "server:\n    rundir: \"{path}\"\n    listen: 127.0.0.1@{}\n    udp-workers: 1\n    \
                     tcp-workers: 1\n    background-workers: 1\nlog:\n  - target: stderr\n    any: info\n\
                     database:\n    storage: \"{path}\"\ntemplate:\n  - id: default\n    storage: \"{path}\"\n{sections}",
                    address.port()
                );
                let file = folder.join("knot.conf");
                std::fs::write(&file, configuration)
                    .and_then(|()| std::fs::write(folder.join("example.com.zone"), zone_file(folder, records)))
                    .expect("a new folder takes files");
                let mut command = Command::new(&knotd);
                command.arg("-c").arg(file);
                command
            },
            |folder, [address]| is_serving(folder, address),
        );
        Some(Self { server, address })
    }
}
