//! A gateway of paper: TLS under a certificate of its own, answers as told, and a memory of what it heard.
//!
//! Blocking and by hand, so that it can break off in the middle of anything.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) const KEY: &str = "TMXYMpMRxDQBdZRC6o8NNl9Ym-raN3GbmvvOE4e56dg";

/// What the gateway does with an update.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// Answers with a status and JSON.
    Json(u16, &'static str),
    /// Answers with these bytes.
    Raw(&'static str),
    /// Reads the request and hangs up.
    HangUp,
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    /// Which connection it came over.
    pub(crate) connection: u32,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) certificate: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    folder: PathBuf,
}

struct Part {
    myip: &'static str,
    acts: Mutex<Vec<Act>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Server {
    /// Answers `/myip` with `myip` and the updates with `acts` in turn, the last one for ever.
    pub(crate) fn start(name: &str, myip: &'static str, acts: &[Act]) -> Self {
        let identity =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der()));
        let mut tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.cert.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = Arc::new(tls);

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let acts = Mutex::new(acts.iter().rev().copied().collect());
        let part = Arc::new(Part { myip, acts, heard: heard.clone() });
        thread::spawn(move || {
            let count = AtomicU32::new(0);
            for stream in listener.incoming() {
                let (part, tls) = (part.clone(), tls.clone());
                let number = count.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || part.play(ServerConnection::new(tls).unwrap(), stream.unwrap(), number));
            }
        });

        let folder = std::env::temp_dir().join(format!("nicgate-update-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let server = Self { port, certificate: identity.cert.pem(), heard, folder };
        server.write("ca.crt", &server.certificate);
        server.configure("");
        server
    }

    /// Writes the configuration: the usual one with `lines` in place of those with the same keys.
    pub(crate) fn configure(&self, lines: &str) {
        let usual = format!(
            "gateway = \"https://localhost:{}\"\nca_file = \"ca.crt\"\ndevice = \"laptop\"\nkey_env = \"NICGATE_TEST_KEY\"\n\
             hosts = [\"a.home.test\"]\nipv4 = \"web\"\nstate_file = \"state.json\"\ntimeout = \"5s\"\n",
            self.port
        );
        let key = |line: &str| line.split(" = ").next().unwrap_or_default().to_owned();
        let replaced: Vec<String> = lines.lines().map(key).collect();
        let kept: Vec<&str> = usual.lines().filter(|line| !replaced.contains(&key(line))).collect();
        self.write("client.toml", &format!("{}\n{lines}\n", kept.join("\n")));
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).unwrap();
    }

    pub(crate) fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.file(name)).unwrap()).unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs the real program with this server's configuration.
    pub(crate) fn run(&self, words: &str) -> Ended {
        run(&self.file("client.toml"), words)
    }

    /// Every update heard so far.
    pub(crate) fn updates(&self) -> Vec<Heard> {
        self.everything().into_iter().filter(|heard| heard.target.contains("/nic/update")).collect()
    }

    /// Every request heard so far.
    pub(crate) fn everything(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Part {
    fn play(&self, tls: ServerConnection, stream: TcpStream, connection: u32) {
        let mut stream = StreamOwned::new(tls, stream);
        while let Some(heard) = read(&mut stream, connection) {
            let is_update = heard.target.contains("/nic/update");
            self.heard.lock().unwrap().push(heard);
            let reply = if is_update { self.next_act() } else { Act::Raw(self.myip) };
            let text = match reply {
                Act::HangUp => return,
                Act::Raw(text) if text.starts_with("HTTP/") => text.to_owned(),
                Act::Raw(text) => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()),
                Act::Json(status, body) => format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nretry-after: 7\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                ),
            };
            if stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }

    fn next_act(&self) -> Act {
        let mut acts = self.acts.lock().unwrap();
        let act = *acts.last().unwrap();
        if acts.len() > 1 {
            acts.pop();
        }
        act
    }
}

/// One request head; `None` when the client has gone.
fn read(stream: &mut impl Read, connection: u32) -> Option<Heard> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value.trim()).unwrap())
    });
    Some(Heard { method, target, headers: headers.collect(), connection })
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs the real program.
pub(crate) fn run(config: &Path, words: &str) -> Ended {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_nicgate-client"))
        .arg("--config")
        .arg(config)
        .args(words.split_ascii_whitespace())
        .env("NICGATE_TEST_KEY", KEY)
        .output()
        .unwrap();
    Ended {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}
