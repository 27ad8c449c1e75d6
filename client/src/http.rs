//! HTTP/1.1 over TLS 1.2 or 1.3 (rustls, ring) or plain TCP, by a given way: one request at a time, a bounded answer.
//!
//! Redirects are not followed and there is no other TLS to fall back to. What an answer means is decided by whoever
//! asked. Name lookups are the system's and go where it sends them, whatever the way.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderValue, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Body as _;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use nicgate_protocol::Family;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::base_url::BaseUrl;
use crate::settings::Trust;
use crate::way::Way;

/// The most of an answer that is read; 20 hosts need a tenth of it.
const LONGEST_BODY: usize = 64 * 1024;
/// No wish for quiet is heeded for longer.
const LONGEST_QUIET: Duration = Duration::from_secs(3600);
/// How long one address has before the next is tried beside it (RFC 8305 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects and asks: by one way, trusting certain authorities, with so much patience.
#[derive(Clone)]
pub struct Caller {
    tls: TlsConnector,
    way: Way,
    patience: Duration,
}

/// A connection that takes one request at a time.
pub struct Line {
    sender: SendRequest<Full<Bytes>>,
    patience: Duration,
    local: Option<IpAddr>,
}

/// A request, ready to be sent as often as need be: what is signed once stays the same bytes.
#[derive(Clone)]
pub struct Question {
    /// GET or POST.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Everything but what HTTP itself adds.
    pub headers: HeaderMap,
    /// Empty for a GET.
    pub body: Bytes,
}

/// An answer as it came off the line.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The Content-Type header, if it is text.
    pub content_type: Option<String>,
    /// The Date header, if it is text.
    pub date: Option<String>,
    /// The Location header, if it is text.
    pub location: Option<String>,
    /// The Retry-After header, if it is a number of seconds; an hour at the most.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a connection is, with TLS or without: behind one pointer, so that HTTP is compiled once.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Caller {
    /// Prepares to call; connects to nothing yet. `patience` is how long a connection, and again an answer, may take.
    #[must_use]
    pub fn new(trust: &Trust, way: Way, patience: Duration) -> Self {
        let roots = match trust {
            Trust::PublicRoots => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            Trust::Only(roots) => roots.clone(),
        };
        let mut tls = ClientConfig::builder_with_provider(Arc::new(crate::tls::provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has suites for TLS 1.2 and for 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { tls: TlsConnector::from(Arc::new(tls)), way, patience }
    }

    /// The way it takes.
    #[must_use]
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// How long a connection, and again an answer, may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Connects, over one family or over whichever answers first.
    ///
    /// # Errors
    /// When no connection comes about in time.
    pub async fn connect(&self, url: &BaseUrl, family: Option<Family>) -> Result<Line, HttpFault> {
        let patience = self.patience;
        timeout(patience, self.connect_at_leisure(url, family))
            .await
            .map_err(|_| HttpFault::ConnectTimeout(patience))?
    }

    async fn connect_at_leisure(&self, url: &BaseUrl, family: Option<Family>) -> Result<Line, HttpFault> {
        let mut addresses = resolve(url.host(), url.port()).await.map_err(HttpFault::Unresolved)?;
        if let Some(family) = family {
            addresses.retain(|address| Family::of(address.ip()) == family);
            if addresses.is_empty() {
                return Err(HttpFault::NoSuchFamily(family));
            }
        }
        let stream = self.dial(addresses).await.map_err(HttpFault::Connect)?;
        let local = stream.local_addr().ok().map(|address| address.ip());
        let stream: Box<dyn Stream> = if url.is_secure() {
            let name = ServerName::try_from(url.host().to_owned())
                .map_err(|_| HttpFault::Unresolved(io::ErrorKind::InvalidInput.into()))?;
            Box::new(self.tls.connect(name, stream).await.map_err(HttpFault::of_handshake)?)
        } else {
            Box::new(stream)
        };
        Line::over(stream, self.patience, local).await
    }

    /// Connects to the first address that answers, in the resolver's order: the next one starts when the one before
    /// failed or had its head start, so that a dead family costs a quarter of a second and not the whole timeout.
    async fn dial(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, Vec<(SocketAddr, io::Error)>> {
        let mut waiting = addresses.into_iter();
        let mut attempts = JoinSet::new();
        let mut failures = Vec::new();
        loop {
            if let Some(address) = waiting.next() {
                let way = self.way.clone();
                attempts.spawn(async move { way.connect(address).await.map_err(|fault| (address, fault)) });
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
}

impl Line {
    /// Connects without TLS to one address: for devices of the own network, which have no certificates.
    ///
    /// # Errors
    /// When no connection comes about.
    pub async fn plain(way: &Way, peer: SocketAddr, patience: Duration) -> Result<Self, HttpFault> {
        let dialled = timeout(patience, way.connect(peer)).await.map_err(|_| HttpFault::ConnectTimeout(patience))?;
        let stream = dialled.map_err(|fault| HttpFault::Connect(vec![(peer, fault)]))?;
        let local = stream.local_addr().ok().map(|address| address.ip());
        Self::over(Box::new(stream), patience, local).await
    }

    async fn over(stream: Box<dyn Stream>, patience: Duration, local: Option<IpAddr>) -> Result<Self, HttpFault> {
        // Some routers know headers by the capitals of the RFC alone.
        let speaking = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream));
        let (sender, connection) = speaking.await.map_err(HttpFault::Broken)?;
        // What ends the connection is told to whoever waits for the answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, patience, local })
    }

    /// The address of ours from which it goes out.
    #[must_use]
    pub fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// Whether it still stands and takes a request.
    pub async fn is_ready(&mut self) -> bool {
        matches!(timeout(self.patience, self.sender.ready()).await, Ok(Ok(())))
    }

    /// Sends a question and reads the whole answer.
    ///
    /// # Errors
    /// When no whole answer comes in time.
    pub async fn ask(&mut self, question: &Question) -> Result<Answer, HttpFault> {
        let patience = self.patience;
        timeout(patience, self.ask_at_leisure(question)).await.map_err(|_| HttpFault::AnswerTimeout(patience))?
    }

    async fn ask_at_leisure(&mut self, question: &Question) -> Result<Answer, HttpFault> {
        let mut request = Request::new(Full::new(question.body.clone()));
        *request.method_mut() = question.method.clone();
        *request.uri_mut() = question.target.parse().map_err(|_| HttpFault::BadRequest)?;
        *request.headers_mut() = question.headers.clone();
        let (head, body) = self.sender.send_request(request).await.map_err(HttpFault::Broken)?.into_parts();
        if body.size_hint().lower() > LONGEST_BODY as u64 {
            return Err(HttpFault::TooLong);
        }
        let body = match Limited::new(body, LONGEST_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(fault) => {
                return Err(match fault.downcast::<hyper::Error>() {
                    Ok(fault) => HttpFault::Broken(*fault),
                    Err(_) => HttpFault::TooLong,
                });
            }
        };
        let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
        Ok(Answer {
            status: head.status.as_u16(),
            content_type: text(CONTENT_TYPE),
            date: text(DATE),
            location: text(LOCATION),
            retry_after: text(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(quiet),
            body: body.to_vec(),
        })
    }
}

/// How long a peer wants to be left alone, as far as it is heeded.
fn quiet(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(LONGEST_QUIET)
}

/// The addresses of a name or an address, in the resolver's order.
///
/// # Errors
/// When the name cannot be looked up.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // An address needs no resolver, and no resolver's thread.
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum HttpFault {
    /// The question was sent, and no answer came in time.
    AnswerTimeout(Duration),
    /// The request cannot be written as HTTP.
    BadRequest,
    /// The connection broke, or spoke no HTTP.
    Broken(hyper::Error),
    /// No address took the connection.
    Connect(Vec<(SocketAddr, io::Error)>),
    /// No connection came about in time.
    ConnectTimeout(Duration),
    /// The TLS handshake broke.
    Handshake(io::Error),
    /// The peer has no address of this family.
    NoSuchFamily(Family),
    /// TLS refused: most often the certificate.
    Tls(rustls::Error),
    /// More of an answer than is read.
    TooLong,
    /// The name could not be looked up.
    Unresolved(io::Error),
}

impl HttpFault {
    fn of_handshake(fault: io::Error) -> Self {
        match fault.downcast::<rustls::Error>() {
            Ok(fault) => Self::Tls(fault),
            Err(fault) => Self::Handshake(fault),
        }
    }

    /// Whether the peer may have got the question all the same. Then the update is not confirmed, which is not
    /// the same as failed.
    #[must_use]
    pub fn may_have_been_heard(&self) -> bool {
        match self {
            Self::AnswerTimeout(_) | Self::Broken(_) | Self::TooLong => true,
            Self::BadRequest
            | Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Handshake(_)
            | Self::NoSuchFamily(_)
            | Self::Tls(_)
            | Self::Unresolved(_) => false,
        }
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnswerTimeout(patience) => write!(f, "it did not answer within {} s", patience.as_secs()),
            Self::BadRequest => {
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
            Self::TooLong => f.write_str("its answer is longer than anything that is asked for here"),
            Self::Unresolved(fault) => write!(f, "its name cannot be looked up: {fault}"),
        }
    }
}

impl std::error::Error for HttpFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken(fault) => Some(fault),
            Self::Handshake(fault) | Self::Unresolved(fault) => Some(fault),
            Self::Tls(fault) => Some(fault),
            Self::AnswerTimeout(_)
            | Self::BadRequest
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
