//! BIND 9: `named`, with keys for dynamic updates.

use std::net::SocketAddr;
use std::process::Command;

use super::{ALGORITHMS, KEY, SECRET, Server, ZONE, is_serving, zone_file};
use crate::tool;

/// A key that may write AAAA records and nothing else.
pub const V6_ONLY_KEY: &str = "v6-key.example";

/// A key that may write anything: for what a story does by hand.
pub const HAND_KEY: &str = "hand-key.example";

/// A zone that nobody may change.
const STATIC_ZONE: &str = "$TTL 300\n@ IN SOA ns1.example.com. hostmaster.example.com. 1 3600 600 86400 30\n\
                           @ IN NS ns1.example.com.\n";

/// A running BIND.
pub struct Bind {
    /// Its process.
    pub server: Server,
    /// Where it listens, UDP and TCP.
    pub address: SocketAddr,
}

impl Bind {
    /// Starts it with [`ZONE`] and more `records`, as a zone file has them. `None` when it is not installed.
    #[must_use]
    pub fn start(name: &str, records: &str) -> Option<Self> {
        let mut sections = String::new();
        let mut rules =
            format!("grant {KEY} zonesub A AAAA; grant {V6_ONLY_KEY} zonesub AAAA; grant {HAND_KEY} zonesub ANY;");
        for (key, algorithm) in [(KEY, "hmac-sha256"), (V6_ONLY_KEY, "hmac-sha256"), (HAND_KEY, "hmac-sha256")]
            .into_iter()
            .chain(ALGORITHMS.map(|name| (name, name)))
        {
            sections += &format!("key \"{key}\" {{ algorithm {algorithm}; secret \"{SECRET}\"; }};\n");
        }
        for algorithm in ALGORITHMS {
            rules += &format!(" grant {algorithm} zonesub A AAAA;");
        }
        sections += &format!(
            "zone \"{ZONE}\" {{ type primary; file \"example.com.zone\"; update-policy {{ {rules} }}; }};\n\
             zone \"static.test\" {{ type primary; file \"static.zone\"; allow-update {{ none; }}; }};\n\
             zone \"copy.test\" {{ type secondary; file \"copy.zone\"; primaries {{ 127.0.0.1 port 9; }}; }};\n"
        );
        Self::with(name, &sections, records)
    }

    /// Starts it with other sections beside `options` and `controls`: keys and zones. The zone file of [`ZONE`] is
    /// `example.com.zone`.
    #[must_use]
    pub fn with(name: &str, sections: &str, records: &str) -> Option<Self> {
        Self::with_files(name, sections, records, &[])
    }

    /// As [`with`](Self::with), with more zone files beside that one: their names and texts.
    #[must_use]
    pub fn with_files(name: &str, sections: &str, records: &str, files: &[(&str, &str)]) -> Option<Self> {
        let named = tool("named")?;
        let (server, [address]) = Server::start(
            name,
            |folder, [address]| {
                let path = folder.display();
                let configuration = format!(
                    "options {{ directory \"{path}\"; listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; \
                     recursion no; dnssec-validation no; pid-file \"{path}/named.pid\"; \
                     session-keyfile \"{path}/session.key\"; }};\ncontrols {{ }};\n{sections}",
                    address.port()
                );
                let file = folder.join("named.conf");
                std::fs::write(&file, configuration)
                    .and_then(|()| std::fs::write(folder.join("example.com.zone"), zone_file(folder, records)))
                    .and_then(|()| std::fs::write(folder.join("static.zone"), STATIC_ZONE))
                    .and_then(|()| files.iter().try_for_each(|(file, text)| std::fs::write(folder.join(file), text)))
                    .expect("a new folder takes files");
                let mut command = Command::new(&named);
                command.args(["-g", "-n", "1", "-c"]).arg(file);
                command
            },
            |folder, [address]| is_serving(folder, address),
        );
        Some(Self { server, address })
    }
}
