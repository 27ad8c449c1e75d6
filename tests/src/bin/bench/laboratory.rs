//! Where everything happens: one folder, one certificate, one master key, and how the contestants are set up.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use nicgate_protocol::{Hostname, MasterKey, Timestamp};
use nicgate_tests::Folder;

use crate::process::Program;

/// The zone of everything.
pub(crate) const ZONE: &str = "b.test";
/// The device that may touch every name of it.
pub(crate) const DEVICE: &str = "box";
/// What an update that changes nothing is answered, and what those who answer a constant answer.
pub(crate) const CONSTANT: &str = "nochg 192.0.2.1\n";

/// The address that stands in [`CONSTANT`].
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The folder and what lies in it.
pub(crate) struct Laboratory {
    folder: Folder,
    gateway: PathBuf,
    /// The secret of all devices.
    pub(crate) master: MasterKey,
}

/// A program that answers HTTPS.
pub(crate) struct Contestant {
    /// How it is called in the table.
    pub(crate) name: &'static str,
    /// The program.
    pub(crate) program: Program,
    /// Where it listens.
    pub(crate) https: SocketAddr,
    /// Where its name server listens; the same as `https` where it has none.
    pub(crate) dns: SocketAddr,
}

impl Laboratory {
    pub(crate) fn new() -> Self {
        let folder = Folder::new("bench");
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        nicgate::http::tls::development_ca(folder.path(), &names).expect("a development CA is made");
        let secret = nicgate::entropy::key().expect("the system has dice");
        let digits = secret.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        fs::write(folder.path().join("master.key"), digits).expect("the master key is written");
        let beside = std::env::current_exe().expect("a program knows itself").with_file_name("nicgate");
        assert!(beside.is_file(), "{} is missing: cargo build --release -p nicgate", beside.display());
        Self { folder, gateway: beside, master: MasterKey::new(&secret) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The value of an Authorization header for Basic.
    pub(crate) fn basic(&self, device: &str) -> String {
        let password = self.master.password(device, 1);
        let pair = format!("{device}:{}", password.text());
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }

    /// Writes the gateway's configuration, with the data in the folder `data`; `devices` are its `[[device]]`s.
    pub(crate) fn configure(&self, name: &str, data: &str, devices: &str) -> PathBuf {
        let file = self.path(name);
        let text = format!(
            r#"[server]
listen = ["127.0.0.1:0"]
data_dir = "{data}"
master_key_file = "master.key"
max_connections_per_source = 10000

[tls]
cert_file = "server.crt"
key_file = "server.key"

[dns]
listen = ["127.0.0.1:0"]

[[provider]]
name = "lab"
type = "embedded"

[[zone]]
name = "{ZONE}"
providers = ["lab"]
addresses = "any"
nameservers = ["ns.{ZONE}"]

[limits]
enabled = false

{devices}"#
        );
        fs::write(&file, text).expect("the configuration is written");
        file
    }

    /// `[[device]]` of the one device that may touch every name.
    pub(crate) fn one_device() -> String {
        format!("[[device]]\nid = \"{DEVICE}\"\nhosts = [\"*.{ZONE}\"]\n")
    }

    /// Starts the gateway and waits until it says that it has started.
    pub(crate) fn gateway(&self, configuration: &Path) -> Contestant {
        self.gateway_by(Command::new(&self.gateway), configuration)
    }

    /// The same, by a command that runs it under something else.
    pub(crate) fn gateway_by(&self, mut command: Command, configuration: &Path) -> Contestant {
        let log = configuration.with_extension("log");
        let mut program = Program::start(command.arg("serve").arg("--config").arg(configuration), &log);
        let started = program.wait_until_started();
        let address = |field: &str| started[field].as_str().and_then(|text| text.parse().ok());
        let https = address("https").expect("the gateway says where it listens");
        Contestant { name: "nicgate", program, https, dns: address("dns").unwrap_or(https) }
    }

    /// Where the gateway's program is.
    pub(crate) fn gateway_program(&self) -> &Path {
        &self.gateway
    }

    /// hyper and rustls as the gateway sets them up, and a constant answer.
    pub(crate) fn bare(&self) -> Contestant {
        self.bare_by(Command::new(std::env::current_exe().expect("a program knows itself")))
    }

    /// The same, by a command that runs it under something else.
    pub(crate) fn bare_by(&self, mut command: Command) -> Contestant {
        let mut program = Program::start(command.arg("bare").arg(self.folder.path()), &self.path("bare.log"));
        let started = program.wait_until_started();
        let https = started["https"].as_str().and_then(|text| text.parse().ok()).expect("it says where it listens");
        Contestant { name: "bare", program, https, dns: https }
    }

    /// nginx with the same certificate, a worker for each core, and the same constant answer.
    pub(crate) fn nginx(&self) -> Contestant {
        let https = free_address();
        let folder = self.folder.path().display();
        let text = format!(
            r#"daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  keepalive_requests 1000000000;
  server {{
    listen {https} ssl;
    ssl_certificate {folder}/server.crt;
    ssl_certificate_key {folder}/server.key;
    ssl_protocols TLSv1.3;
    ssl_session_cache off;
    ssl_session_tickets off;
    default_type text/plain;
    location / {{ return 200 "{}\n"; }}
  }}
}}
"#,
            CONSTANT.trim()
        );
        let file = self.path("nginx.conf");
        fs::write(&file, text).expect("nginx's configuration is written");
        let nginx = nicgate_tests::tool("nginx").expect("tests/bench looked for nginx");
        let mut program = Program::start(Command::new(nginx).arg("-c").arg(&file), &self.path("nginx.log"));
        program.wait_until_listening(https);
        Contestant { name: "nginx", program, https, dns: https }
    }
}

/// A loopback address with a port that nobody uses.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address")
}

/// The host of this number: five letters, so that a million of them fit into a configuration file.
pub(crate) fn host(number: usize) -> Hostname {
    let mut label = [b'0'; 5];
    let mut rest = number;
    for letter in label.iter_mut().rev() {
        *letter = b"0123456789abcdefghijklmnopqrstuvwxyz"[rest % 36];
        rest /= 36;
    }
    Hostname::parse(&format!("{}.{ZONE}", String::from_utf8_lossy(&label))).expect("letters and digits are a name")
}

/// The present, for what is signed or seeded.
pub(crate) fn present() -> Timestamp {
    nicgate::clock::Clock::system().now().wall
}
