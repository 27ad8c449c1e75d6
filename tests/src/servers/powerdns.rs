//! PowerDNS Authoritative with an SQLite database: its HTTP API, and dynamic updates.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{KEY, MARK, SECRET, Server, ZONE, mark};
use crate::wire::{Answer, Request};
use crate::{run, text, tool, wire};

/// Where the Debian package puts what an empty database is made from.
const SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";

/// A running PowerDNS.
pub struct PowerDns {
    /// Its process.
    pub server: Server,
    /// Where it answers DNS, UDP and TCP.
    pub address: SocketAddr,
    /// Where its API is.
    pub api: SocketAddr,
}

impl PowerDns {
    /// Starts it with [`ZONE`], in which the TSIG key [`KEY`] may update. `None` when it is not installed.
    #[must_use]
    pub fn start(name: &str) -> Option<Self> {
        let (pdns, pdnsutil, python) = (tool("pdns_server")?, tool("pdnsutil")?, tool("python3")?);
        let (server, [address, api]) = Server::start(
            name,
            |folder, [address, api]| {
                prepare(folder, address, api, &python);
                for arguments in [
                    &["create-zone", ZONE, &format!("ns1.{ZONE}")][..],
                    &["add-record", ZONE, MARK, "TXT", &format!("\"{}\"", mark(folder))],
                    &["import-tsig-key", KEY, "hmac-sha256", SECRET],
                    &["set-meta", ZONE, "TSIG-ALLOW-DNSUPDATE", KEY],
                ] {
                    let output = run(Command::new(&pdnsutil).arg("--config-dir").arg(folder).args(arguments));
                    assert!(output.status.success(), "pdnsutil {arguments:?}: {}", text(&output));
                }
                let mut command = Command::new(&pdns);
                command.arg(format!("--config-dir={}", folder.display()));
                command
            },
            |folder, [address, api]| {
                // Its key is its own: another server would answer 401.
                let question = Request::get("/api/v1/servers").header("X-API-Key", &mark(folder));
                super::is_serving(folder, address) && ask(api, &question).is_some_and(|answer| answer.status == 200)
            },
        );
        Some(Self { server, address, api })
    }

    /// Its base URL, as an operator writes it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.api)
    }

    /// The key of its API.
    #[must_use]
    pub fn api_key(&self) -> String {
        mark(self.server.folder())
    }

    /// Asks its API with the right key; `path` follows `/api/v1/servers/localhost`.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut request = Request::get(&format!("/api/v1/servers/localhost{path}"))
            .method(method)
            .header("X-API-Key", &self.api_key());
        if let Some(body) = body {
            request = request.body("application/json", &body.to_string());
        }
        ask(self.api, &request).expect("PowerDNS answers")
    }

    /// Makes another zone. `kind` is one of `Native`, `Master`, `Slave`.
    ///
    /// # Panics
    /// When it does not want to.
    pub fn add_zone(&self, name: &str, kind: &str) {
        let mut zone = json!({ "name": format!("{name}."), "kind": kind });
        if kind == "Slave" {
            zone["masters"] = json!(["127.0.0.1:9"]);
        } else {
            zone["nameservers"] = json!([format!("ns1.{ZONE}.")]);
        }
        let answer = self.ask("POST", "/zones", Some(&zone));
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Writes record sets, as somebody would by hand: `rrsets` of a PATCH.
    ///
    /// # Panics
    /// When it does not want to.
    pub fn patch(&self, rrsets: &Value) {
        let answer = self.ask("PATCH", &format!("/zones/{ZONE}."), Some(&json!({ "rrsets": rrsets })));
        assert_eq!(answer.status, 204, "{answer:?}");
    }
}

fn ask(server: SocketAddr, request: &Request) -> Option<Answer> {
    // Asked before it listens, too.
    std::net::TcpStream::connect(server).ok()?;
    Some(Answer::read(&wire::exchange_in_clear(server, &request.bytes(server))))
}

/// Its configuration and an empty database.
fn prepare(folder: &Path, address: SocketAddr, api: SocketAddr, python: &Path) {
    let (database, key) = (folder.join("pdns.sqlite3"), mark(folder));
    let configuration = format!(
        "launch=gsqlite3\ngsqlite3-database={}\nsocket-dir={}\nlocal-address=127.0.0.1\nlocal-port={}\n\
         api=yes\napi-key={key}\nwebserver=yes\nwebserver-address=127.0.0.1\nwebserver-port={}\n\
         webserver-allow-from=127.0.0.1\nguardian=no\ndaemon=no\ndnsupdate=yes\nallow-dnsupdate-from=127.0.0.0/8\n\
         receiver-threads=1\ndistributor-threads=1\ncache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\n\
         security-poll-suffix=\n",
        database.display(),
        folder.display(),
        address.port(),
        api.port(),
    );
    std::fs::write(folder.join("pdns.conf"), configuration).expect("a new folder takes files");
    let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())";
    let output = run(Command::new(python).args(["-c", script]).arg(database).arg(SCHEMA));
    assert!(output.status.success(), "{}", text(&output));
}
