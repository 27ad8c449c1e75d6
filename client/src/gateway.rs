//! Speaks with the gateway: connects by family, signs, sends, reads the answer's bytes.
//!
//! HTTP/1.1 over TLS 1.2 or 1.3 (rustls, ring), one request at a time. Redirects are not followed and there is no
//! other TLS to fall back to. What the answer means is decided in `reply`.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Body as _;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use nicgate_protocol::signature::Message;
use nicgate_protocol::signature::rfc9421;
use nicgate_protocol::{AddressSet, Family, Hostname, Timestamp};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::reply::Answer;
use crate::settings::{Settings, Trust};

/// The most of an answer that is read; 20 hosts need a tenth of it.
const LONGEST_BODY: usize = 64 * 1024;
/// How long one address has before the next is tried beside it (RFC 8305 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// The gateway as the settings describe it.
pub struct Gateway<'a> {
    settings: &'a Settings,
    tls: TlsConnector,
}

/// A connection that takes one request at a time.
pub struct Line {
    sender: SendRequest<Empty<Bytes>>,
    patience: Duration,
}

/// A request, ready to be sent as often as need be: what is signed once stays the same bytes.
pub struct Question {
    target: String,
    headers: HeaderMap,
}

impl<'a> Gateway<'a> {
    /// Prepares to speak with the gateway; connects to nothing yet.
    #[must_use]
    pub fn new(settings: &'a Settings) -> Self {
        let roots = match &settings.trust {
            Trust::PublicRoots => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            Trust::Only(roots) => roots.clone(),
        };
        let mut tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has suites for TLS 1.2 and for 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { settings, tls: TlsConnector::from(Arc::new(tls)) }
    }

    /// Connects, over one family or over whichever answers first.
    ///
    /// # Errors
    /// When no connection comes about within the settings' timeout.
    pub async fn connect(&self, family: Option<Family>) -> Result<Line, GatewayFault> {
        let patience = self.settings.timeout;
        timeout(patience, self.connect_at_leisure(family)).await.map_err(|_| GatewayFault::ConnectTimeout(patience))?
    }

    async fn connect_at_leisure(&self, family: Option<Family>) -> Result<Line, GatewayFault> {
        let url = &self.settings.gateway;
        let mut addresses = resolve(url.host(), url.port()).await.map_err(GatewayFault::Unresolved)?;
        if let Some(family) = family {
            addresses.retain(|address| Family::of(address.ip()) == family);
            if addresses.is_empty() {
                return Err(GatewayFault::NoSuchFamily(family));
            }
        }
        let stream = dial(addresses).await.map_err(GatewayFault::Connect)?;
        // Without this, Nagle's algorithm and a delayed acknowledgement cost 40 ms between handshake and request.
        stream.set_nodelay(true).map_err(GatewayFault::Handshake)?;
        if !url.is_secure() {
            return self.speak(stream).await;
        }
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|_| GatewayFault::Unresolved(io::ErrorKind::InvalidInput.into()))?;
        self.speak(self.tls.connect(name, stream).await.map_err(GatewayFault::of_handshake)?).await
    }

    async fn speak<S>(&self, stream: S) -> Result<Line, GatewayFault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(GatewayFault::Broken)?;
        // What ends the connection is told to whoever waits for the answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Line { sender, patience: self.settings.timeout })
    }

    /// A GET of a path below the base URL, unsigned.
    #[must_use]
    pub fn question(&self, path: &str) -> Question {
        Question { target: self.settings.gateway.path(path), headers: self.headers() }
    }

    /// The signed update of `hosts` (RFC 9421: method, authority, path and query are covered).
    ///
    /// # Errors
    /// When a signature cannot stand in a header, which takes a nonce that breaks the protocol's grammar.
    pub fn update(
        &self,
        hosts: &[Hostname],
        addresses: AddressSet,
        now: Timestamp,
        nonce: &str,
    ) -> Result<Question, GatewayFault> {
        let names: Vec<&str> = hosts.iter().map(Hostname::as_str).collect();
        // Letters of names, addresses and commas stand in a query as they are (RFC 3986 3.4).
        let query = format!("hostname={}&myip={addresses}", names.join(","));
        let path = self.settings.gateway.path("/nic/update");
        let authority = self.settings.gateway.authority();
        let mut headers = self.headers();
        let message = Message {
            method: Method::GET.as_str(),
            authority: &authority,
            path: &path,
            query: Some(&query),
            headers: &headers,
            body: &[],
        };
        let fields = rfc9421::sign(self.settings.key.text(), self.settings.device.as_str(), &message, now, nonce);
        for (name, value) in [("signature-input", fields.signature_input), ("signature", fields.signature)] {
            let value = HeaderValue::try_from(value).map_err(|_| GatewayFault::BadNonce)?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(Question { target: format!("{path}?{query}"), headers })
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let authority = self.settings.gateway.authority();
        // The base URL was read by the same grammar, so its authority is a header value.
        headers.insert(HOST, HeaderValue::try_from(authority).unwrap_or(HeaderValue::from_static("")));
        headers.insert(USER_AGENT, user_agent());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers
    }

    /// Sends a question over `line` if that still stands, else over a new connection. When the answer is lost after
    /// the question was sent, the very same bytes are sent once more: to the gateway that is a repeat, which changes
    /// nothing and gets the same answer.
    ///
    /// # Errors
    /// When the gateway cannot be reached, or no answer came. [`GatewayFault::may_have_been_heard`] tells which.
    pub async fn exchange(&self, question: &Question, line: Option<Line>) -> Result<Answer, GatewayFault> {
        let mut standing = None;
        if let Some(mut line) = line
            && let Ok(Ok(())) = timeout(self.settings.timeout, line.sender.ready()).await
        {
            standing = Some(line);
        }
        let mut line = match standing {
            Some(line) => line,
            None => self.connect(None).await?,
        };
        let lost = match line.ask(question).await {
            Err(lost @ GatewayFault::Broken(_)) => lost,
            ended => return ended,
        };
        match self.connect(None).await {
            Ok(mut line) => line.ask(question).await,
            Err(_) => Err(lost),
        }
    }
}

impl Line {
    /// Sends a question and reads the whole answer.
    ///
    /// # Errors
    /// When no whole answer comes within the timeout.
    pub async fn ask(&mut self, question: &Question) -> Result<Answer, GatewayFault> {
        let patience = self.patience;
        timeout(patience, self.ask_at_leisure(question)).await.map_err(|_| GatewayFault::AnswerTimeout(patience))?
    }

    async fn ask_at_leisure(&mut self, question: &Question) -> Result<Answer, GatewayFault> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = question.target.parse().map_err(|_| GatewayFault::BadNonce)?;
        *request.headers_mut() = question.headers.clone();
        let (head, body) = self.sender.send_request(request).await.map_err(GatewayFault::Broken)?.into_parts();
        if body.size_hint().lower() > LONGEST_BODY as u64 {
            return Err(GatewayFault::TooLong);
        }
        let body = match Limited::new(body, LONGEST_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(fault) => {
                return Err(match fault.downcast::<hyper::Error>() {
                    Ok(fault) => GatewayFault::Broken(*fault),
                    Err(_) => GatewayFault::TooLong,
                });
            }
        };
        let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
        Ok(Answer {
            status: head.status.as_u16(),
            content_type: text(CONTENT_TYPE),
            location: text(LOCATION),
            retry_after: text(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs),
            body: body.to_vec(),
        })
    }
}

/// `nicgate-client/0.1.0 (linux)`.
fn user_agent() -> HeaderValue {
    let text = format!("nicgate-client/{} ({})", env!("CARGO_PKG_VERSION"), std::env::consts::OS);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("nicgate-client"))
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // An address needs no resolver, and no resolver's thread.
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
}

/// Connects to the first address that answers, in the resolver's order: the next one starts when the one before
/// failed or had its head start, so that a dead family costs a quarter of a second and not the whole timeout.
async fn dial(addresses: Vec<SocketAddr>) -> Result<TcpStream, Vec<(SocketAddr, io::Error)>> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failures = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(async move { TcpStream::connect(address).await.map_err(|fault| (address, fault)) });
        }
        let ended = if waiting.len() > 0 {
            match timeout(HEAD_START, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        } else {
            attempts.join_next().await
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(failure))) => failures.push(failure),
            // A task of ours is aborted only with the whole set.
            Some(Err(_)) => {}
            None => return Err(failures),
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum GatewayFault {
    /// The question was sent, and no answer came in time.
    AnswerTimeout(Duration),
    /// A signature cannot stand in a header.
    BadNonce,
    /// The connection broke, or spoke no HTTP.
    Broken(hyper::Error),
    /// No address took the connection.
    Connect(Vec<(SocketAddr, io::Error)>),
    /// No connection came about in time.
    ConnectTimeout(Duration),
    /// The TLS handshake broke.
    Handshake(io::Error),
    /// The gateway has no address of this family.
    NoSuchFamily(Family),
    /// TLS refused: most often the certificate.
    Tls(rustls::Error),
    /// More of an answer than any gateway gives.
    TooLong,
    /// The name could not be looked up.
    Unresolved(io::Error),
}

impl GatewayFault {
    fn of_handshake(fault: io::Error) -> Self {
        match fault.downcast::<rustls::Error>() {
            Ok(fault) => Self::Tls(fault),
            Err(fault) => Self::Handshake(fault),
        }
    }

    /// Whether the gateway may have got the question all the same. Then the update is not confirmed, which is not
    /// the same as failed.
    #[must_use]
    pub fn may_have_been_heard(&self) -> bool {
        match self {
            Self::AnswerTimeout(_) | Self::Broken(_) | Self::TooLong => true,
            Self::BadNonce
            | Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Handshake(_)
            | Self::NoSuchFamily(_)
            | Self::Tls(_)
            | Self::Unresolved(_) => false,
        }
    }
}

impl fmt::Display for GatewayFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnswerTimeout(patience) => write!(f, "it did not answer within {} s", patience.as_secs()),
            Self::BadNonce => {
                f.write_str("the request cannot be written: nonce or path hold letters that HTTP forbids")
            }
            Self::Broken(fault) => write!(f, "the connection broke: {fault}"),
            Self::Connect(failures) => {
                f.write_str("no connection:")?;
                for (index, (address, fault)) in failures.iter().enumerate() {
                    write!(f, "{} {address}: {fault}", if index > 0 { ";" } else { "" })?;
                }
                Ok(())
            }
            Self::ConnectTimeout(patience) => write!(f, "no connection within {} s", patience.as_secs()),
            Self::Handshake(fault) => write!(f, "the TLS handshake broke: {fault}"),
            Self::NoSuchFamily(Family::V4) => f.write_str("it has no IPv4 address (no A record)"),
            Self::NoSuchFamily(Family::V6) => f.write_str("it has no IPv6 address (no AAAA record)"),
            Self::Tls(fault) => match certificate_cure(fault) {
                Some(cure) => write!(f, "TLS was refused: {fault}; {cure}"),
                None => write!(f, "TLS was refused: {fault}"),
            },
            Self::TooLong => f.write_str("its answer is longer than any of nicgate's"),
            Self::Unresolved(fault) => write!(f, "its name cannot be looked up: {fault}"),
        }
    }
}

impl std::error::Error for GatewayFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken(fault) => Some(fault),
            Self::Handshake(fault) | Self::Unresolved(fault) => Some(fault),
            Self::Tls(fault) => Some(fault),
            Self::AnswerTimeout(_)
            | Self::BadNonce
            | Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::NoSuchFamily(_)
            | Self::TooLong => None,
        }
    }
}

/// What to do about a certificate that was not accepted.
fn certificate_cure(fault: &rustls::Error) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(why) = fault else { return None };
    if matches!(why, CertificateError::UnknownIssuer) {
        Some("if the gateway has a certificate authority of its own, name its certificate in `ca_file`")
    } else if matches!(why, CertificateError::BadSignature) {
        Some("the authority in `ca_file` was made anew: fetch its present certificate")
    } else if matches!(why, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
        Some("write a name into `gateway` that stands in the certificate")
    } else if matches!(
        why,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    ) {
        Some("renew it, or set this machine's clock right")
    } else {
        None
    }
}
