//! Speaking to a gateway byte by byte, the way stories need it: HTTP over TLS without a client library that
//! would smooth anything, and DNS through an independent library.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

/// A request, written as it goes over the wire.
#[derive(Clone)]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    body: String,
    has_host: bool,
    is_kept: bool,
}

impl Request {
    /// A GET by HTTP/1.1, with a Host and `Connection: close`.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self {
            method: "GET".into(),
            target: target.into(),
            version: "HTTP/1.1",
            headers: Vec::new(),
            body: String::new(),
            has_host: true,
            is_kept: false,
        }
    }

    /// A posted form.
    #[must_use]
    pub fn form(target: &str, body: &str) -> Self {
        Self::get(target).method("POST").body("application/x-www-form-urlencoded", body)
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: &str) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    /// Another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    /// By HTTP/1.0, without a Host.
    #[must_use]
    pub fn http10(mut self) -> Self {
        self.version = "HTTP/1.0";
        self.has_host = false;
        self
    }

    /// Without `Connection: close`.
    #[must_use]
    pub fn kept(mut self) -> Self {
        self.is_kept = true;
        self
    }

    /// One more header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.has_host &= !name.eq_ignore_ascii_case("host");
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self, server: SocketAddr) -> Vec<u8> {
        let mut text = format!("{} {} {}\r\n", self.method, self.target, self.version);
        if self.has_host {
            text += &format!("Host: localhost:{}\r\n", server.port());
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if self.version == "HTTP/1.1" && !self.is_kept {
            text += "Connection: close\r\n";
        }
        if !self.body.is_empty() {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        text += "\r\n";
        text += &self.body;
        text.into_bytes()
    }
}

/// The value of an Authorization header for Basic (RFC 7617).
#[must_use]
pub fn basic(device: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{device}:{password}")))
}

/// An answer, taken apart as far as stories look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 when the connection closed without one.
    pub status: u16,
    /// Everything before the empty line, as it came.
    pub head: String,
    /// Everything after it.
    pub body: String,
}

impl Answer {
    /// Takes an answer apart.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        Self { status, head: head.into(), body: body.into() }
    }

    /// A header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// The certificates of a PEM file.
#[must_use]
pub fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    let all = CertificateDer::pem_file_iter(file).expect("the file is there");
    all.map(|certificate| certificate.expect("it is a certificate")).collect()
}

/// A TLS client that believes in one CA.
#[must_use]
pub fn tls_config(ca: &Path) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(ca) {
        roots.add(certificate).expect("the CA is taken");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Sends a request over TLS on a connection of its own and reads until the other end closes.
#[must_use]
pub fn over_tls(server: SocketAddr, ca: &Path, request: &Request) -> Answer {
    Answer::read(&exchange(server, ca, &request.bytes(server)))
}

/// Sends bytes over TLS and reads until the other end closes.
#[must_use]
pub fn exchange(server: SocketAddr, ca: &Path, bytes: &[u8]) -> String {
    let mut connection = Connection::secure(server, ca);
    connection.send(bytes);
    connection.rest()
}

/// Sends bytes in clear and reads until the other end closes.
#[must_use]
pub fn exchange_in_clear(server: SocketAddr, bytes: &[u8]) -> String {
    let mut connection = Connection::plain(server);
    connection.send(bytes);
    connection.rest()
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// A connection that is kept.
pub struct Connection {
    stream: Box<dyn Duplex>,
    server: SocketAddr,
}

impl Connection {
    /// In clear.
    #[must_use]
    pub fn plain(server: SocketAddr) -> Self {
        Self { stream: Box::new(connect(server).expect("the gateway listens")), server }
    }

    /// Over TLS, to `localhost`. The handshake begins with the first byte that is sent.
    #[must_use]
    pub fn secure(server: SocketAddr, ca: &Path) -> Self {
        Self::tls(server, tls_config(ca), "localhost")
    }

    /// Over TLS as `config` says. To an address no name is sent.
    #[must_use]
    pub fn tls(server: SocketAddr, config: Arc<rustls::ClientConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let tls = rustls::ClientConnection::new(config, name).expect("a TLS client");
        let socket = connect(server).expect("the gateway listens");
        Self { stream: Box::new(rustls::StreamOwned::new(tls, socket)), server }
    }

    /// Over TLS to a gateway that may be gone.
    ///
    /// # Errors
    /// When nobody listens.
    ///
    /// # Panics
    /// When the TLS library refuses its own configuration.
    pub fn open(server: SocketAddr, config: &Arc<rustls::ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = rustls::ClientConnection::new(Arc::clone(config), name).expect("a TLS client");
        Ok(Self { stream: Box::new(rustls::StreamOwned::new(tls, connect(server)?)), server })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When the connection ends before the answer does.
    pub fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        self.stream.write_all(&request.bytes(self.server))?;
        self.stream.flush()?;
        let answer = self.answer();
        if answer.status == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
    }

    /// Sends bytes; whether anybody still listens shows in the answer.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// One answer, as long as its Content-Length says; status 0 when the other end closed before it was whole.
    pub fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if !matches!(self.stream.read(&mut byte), Ok(1)) {
                break;
            }
            head.push(byte[0]);
        }
        let mut answer = Answer::read(&String::from_utf8_lossy(&head));
        let length = answer.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if self.stream.read_exact(&mut body).is_err() {
            answer.status = 0;
        }
        answer.body = String::from_utf8_lossy(&body).into_owned();
        answer
    }

    /// What comes until the other end closes. A connection that is cut instead still has an answer to look at.
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Asks a name server over UDP with an independent library; the data of all answers, sorted.
#[must_use]
pub fn resolve(server: SocketAddr, name: &str, record_type: &str) -> Vec<String> {
    let response = query(server, name, record_type);
    let mut data: Vec<String> = response.answers.iter().map(|record| record.data.to_string()).collect();
    data.sort();
    data
}

/// Asks a name server over UDP; the whole message.
#[must_use]
pub fn query(server: SocketAddr, name: &str, record_type: &str) -> Message {
    ask(server, &question(name, record_type)).expect("the name server answers")
}

/// A question as a stub resolver puts it.
#[must_use]
pub fn question(name: &str, record_type: &str) -> Message {
    let name = Name::from_ascii(format!("{name}.")).expect("a name");
    let mut message = Message::new(0x4e49, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name, RecordType::from_str(record_type).expect("a record type")));
    message
}

/// Sends a message over UDP and reads the reply; like every resolver it asks again when none comes.
///
/// # Errors
/// When none comes within five seconds.
///
/// # Panics
/// When the other library cannot read it.
pub fn ask(server: SocketAddr, message: &Message) -> io::Result<Message> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    // Connected, so that a server that is gone is noticed.
    socket.connect(server)?;
    let mut buffer = [0; 4096];
    let mut tries = 0;
    let length = loop {
        socket.send(&message.to_vec().expect("a message"))?;
        tries += 1;
        match socket.recv(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < 10 => {}
            ended => break ended?,
        }
    };
    Ok(Message::from_vec(&buffer[..length]).expect("an answer that another library can read"))
}
