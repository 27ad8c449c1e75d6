//! Speaking to a gateway byte by byte, the way stories need it: HTTP over TLS without a client library that
//! would smooth anything, and DNS through an independent library.

use std::io::{self, Read as _, Write as _};
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
    is_last: bool,
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
            is_last: true,
        }
    }

    /// A posted form.
    #[must_use]
    pub fn form(target: &str, body: &str) -> Self {
        let mut request = Self::get(target).header("Content-Type", "application/x-www-form-urlencoded");
        request.method = "POST".into();
        request.body = body.into();
        request
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

    /// Without `Connection: close`, for a [`Connection`] that goes on.
    #[must_use]
    pub fn keep_alive(mut self) -> Self {
        self.is_last = false;
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
        if self.version == "HTTP/1.1" && self.is_last {
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

/// A TLS client that believes in one CA.
#[must_use]
pub fn tls_config(ca: &Path) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).expect("the CA is there") {
        roots.add(certificate.expect("the CA is a certificate")).expect("the CA is taken");
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
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = rustls::ClientConnection::new(tls_config(ca), name).expect("a TLS client");
    let mut socket = TcpStream::connect(server).expect("the gateway listens");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout is set");
    let _ = socket.set_nodelay(true);
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    // A connection that is cut instead of closed still has an answer to look at.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A TLS connection that may serve one request after the other.
pub struct Connection {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
    server: SocketAddr,
}

impl Connection {
    /// Connects; the handshake comes with the first request.
    ///
    /// # Errors
    /// When nobody listens.
    ///
    /// # Panics
    /// When the TLS library refuses its own configuration.
    pub fn open(server: SocketAddr, config: &Arc<rustls::ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = rustls::ClientConnection::new(Arc::clone(config), name).expect("a TLS client");
        let socket = TcpStream::connect(server)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        socket.set_nodelay(true)?;
        Ok(Self { stream: rustls::StreamOwned::new(tls, socket), server })
    }

    /// Sends a request and reads its answer, as long as the answer says it is.
    ///
    /// # Errors
    /// When the connection ends before the answer does.
    pub fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        self.stream.write_all(&request.bytes(self.server))?;
        let mut text = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let length = self.stream.read(&mut buffer)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            text.extend_from_slice(&buffer[..length]);
            let answer = Answer::read(&String::from_utf8_lossy(&text));
            let whole = answer.header("content-length").and_then(|length| length.parse().ok());
            if whole.is_some_and(|whole: usize| answer.body.len() >= whole) {
                return Ok(answer);
            }
        }
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
