//! The only place that talks to providers: HTTP clients, DNS sockets, their deadlines and bounds, and the loop that
//! carries a conversation to its end.
//!
//! It follows no redirect (a credential must not travel), asks no proxy, retries nothing (the reconciler does), and
//! logs nothing. What a provider said and an operator will read is cut, cleaned and stripped of secrets here.

mod dns;
mod mask;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Uri;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy as Redirects;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{Answer, Call, Class, Heard, HttpCall, Moment, Outcome, ProviderSettings, Sight, Silence, Step, Talk};

pub use self::mask::Mask;

/// What providers are told about us, unless a provider wants more.
pub const USER_AGENT: &str = concat!("nicgate/", env!("CARGO_PKG_VERSION"), " (+", env!("CARGO_PKG_REPOSITORY"), ")");

/// What this program was built for, as some providers want to know it.
pub(crate) const OPERATING_SYSTEM: &str = std::env::consts::OS;

/// Until a connection stands.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// From the first byte sent to the last one received, unless told otherwise.
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// The longest body read; only lists of zones come near it.
const LONGEST_BODY: usize = 2 << 20;
/// Calls of one conversation, for each host of its job. The longest honest one of a single host has some ten: a login,
/// zones by name, pages of records, two writes, a publication, a logout.
const MOST_CALLS: usize = 32;

/// Why there is no client.
#[derive(Debug)]
pub enum SenderError {
    /// The TLS library does not agree with itself.
    Tls(rustls::Error),
    /// The HTTP client could not be built.
    Http(reqwest::Error),
    /// The file of certificate authorities cannot be used.
    Authorities(PathBuf, String),
}

impl fmt::Display for SenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(source) => write!(f, "TLS towards providers: {source}"),
            Self::Http(source) => write!(f, "the HTTP client for providers: {source}"),
            Self::Authorities(file, why) => write!(f, "{}: {why}", file.display()),
        }
    }
}

impl std::error::Error for SenderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tls(source) => Some(source),
            Self::Http(source) => Some(source),
            Self::Authorities(..) => None,
        }
    }
}

/// How a conversation ended, and how many calls it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The end, for each host of the job.
    pub outcomes: Vec<Outcome>,
    /// Calls made.
    pub calls: usize,
}

/// What a conversation takes from outside, besides the network.
pub trait Outside: Send + Sync {
    /// The present, and a random number.
    fn moment(&self) -> Moment;

    /// Waits until one more call fits the provider's budget. The first call of a conversation is paid for by whoever
    /// starts it.
    ///
    /// # Errors
    /// In how long it would: too long to wait here.
    fn permit(&self) -> Pin<Box<dyn Future<Output = Result<(), Duration>> + Send + '_>>;
}

/// A clock and dice, and no budget: for a single look.
#[derive(Clone, Copy, Debug)]
pub struct Unbounded<F>(pub F);

impl<F: Fn() -> Moment + Send + Sync> Outside for Unbounded<F> {
    fn moment(&self) -> Moment {
        (self.0)()
    }

    fn permit(&self) -> Pin<Box<dyn Future<Output = Result<(), Duration>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Talks to providers. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Sender {
    client: reqwest::Client,
    /// From the first byte sent to the last one received.
    deadline: Duration,
}

impl Sender {
    /// One that trusts the public certificate authorities (Mozilla's list).
    ///
    /// # Errors
    /// When TLS or HTTP cannot be set up at all.
    pub fn new() -> Result<Self, SenderError> {
        Self::trusting(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// One that trusts the certificate authorities of a PEM file, and no others.
    ///
    /// # Errors
    /// When the file holds no usable certificate, and as [`Self::new`].
    pub fn with_authorities(file: &Path) -> Result<Self, SenderError> {
        let bad = |why: String| SenderError::Authorities(file.to_owned(), why);
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file).map_err(|why| bad(why.to_string()))? {
            let certificate = certificate.map_err(|why| bad(why.to_string()))?;
            roots.add(certificate).map_err(|why| bad(why.to_string()))?;
        }
        if roots.is_empty() {
            return Err(bad("it holds no PEM block CERTIFICATE".to_owned()));
        }
        Self::trusting(roots)
    }

    /// For a configured provider.
    ///
    /// # Errors
    /// As [`Self::with_authorities`].
    pub fn of(settings: &ProviderSettings) -> Result<Self, SenderError> {
        settings.ca_file.as_deref().map_or_else(Self::new, Self::with_authorities)
    }

    fn trusting(roots: RootCertStore) -> Result<Self, SenderError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(SenderError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_DEADLINE)
            .redirect(Redirects::none())
            .referer(false)
            .no_proxy()
            .dns_resolver(Arc::new(Resolver))
            .build()
            .map_err(SenderError::Http)?;
        Ok(Self { client, deadline: CALL_DEADLINE })
    }

    /// The same, with another patience for each HTTP call than the usual 20 seconds.
    #[must_use]
    pub fn waiting_at_most(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Carries a conversation about `hosts` hosts to its end.
    pub async fn push(&self, talk: Box<dyn Talk + Send>, hosts: usize, mask: &Mask, outside: &impl Outside) -> Pushed {
        let (end, calls) = self.talk(talk, hosts, outside).await;
        let outcomes = match end {
            Ok(End::Done(outcomes)) if outcomes.len() == hosts => outcomes,
            Ok(End::Done(_) | End::Seen(_)) => vec![broken("the conversation ended without an outcome"); hosts],
            Err(outcome) => vec![outcome; hosts],
        };
        Pushed { outcomes: outcomes.into_iter().map(|outcome| mask.clean_outcome(outcome)).collect(), calls }
    }

    /// Carries a conversation that only reads to its end.
    ///
    /// # Errors
    /// What it ended with instead.
    pub async fn look(
        &self,
        talk: Box<dyn Talk + Send>,
        mask: &Mask,
        outside: &impl Outside,
    ) -> Result<Sight, Outcome> {
        let outcome = match self.talk(talk, 1, outside).await.0 {
            Ok(End::Seen(sight)) => return Ok(sight),
            Ok(End::Done(outcomes)) => outcomes.into_iter().next(),
            Err(outcome) => Some(outcome),
        };
        Err(mask.clean_outcome(outcome.unwrap_or_else(|| broken("the conversation ended without an outcome"))))
    }

    async fn talk(
        &self,
        mut talk: Box<dyn Talk + Send>,
        hosts: usize,
        outside: &impl Outside,
    ) -> (Result<End, Outcome>, usize) {
        let most = MOST_CALLS * hosts.max(1);
        let mut heard = None;
        for calls in 0..=most {
            let call = match talk.next(heard.take(), outside.moment()) {
                Step::Done(outcomes) => return (Ok(End::Done(outcomes)), calls),
                Step::Seen(sight) => return (Ok(End::Seen(sight)), calls),
                Step::Send(call) => call,
            };
            if calls == most {
                break;
            }
            if calls > 0
                && let Err(wait) = outside.permit().await
            {
                let end = Outcome::Unconfirmed {
                    class: Class::Rate,
                    why: "the provider's budget of calls is spent".into(),
                    retry_after: Some(wait),
                    maybe_written: true,
                };
                return (Err(end), calls);
            }
            heard = Some(match call {
                Call::Http(call) => self.call(call).await,
                Call::Dns(call) => dns::ask(&call).await,
            });
        }
        (Err(broken(&format!("no end after {most} calls"))), most)
    }

    /// One request and its answer.
    async fn call(&self, call: HttpCall) -> Heard {
        if is_out_of_bounds(&call.url) {
            let why = "link-local addresses are out of bounds".to_owned();
            return Heard::Silence(Silence { why, was_sent: false });
        }
        let mut request = self.client.request(call.method, call.url).timeout(self.deadline).body(call.body);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let was_sent = !error.is_connect() && !error.is_builder();
                return Heard::Silence(Silence { why: in_words(&error), was_sent });
            }
        };
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        match read(&mut response).await {
            Ok(body) => Heard::Answer(Answer { status, headers, body }),
            Err(why) => Heard::Silence(Silence { why, was_sent: true }),
        }
    }
}

/// What a conversation ends with by itself.
enum End {
    Done(Vec<Outcome>),
    Seen(Sight),
}

/// A fault of ours.
fn broken(why: &str) -> Outcome {
    Outcome::Unconfirmed { class: Class::Bug, why: why.into(), retry_after: None, maybe_written: true }
}

/// No provider lives at a link-local address, but the secrets of a cloud's own machines do (169.254.169.254,
/// fd00:ec2::254).
fn is_allowed(address: IpAddr) -> bool {
    match nicgate_protocol::address::unmapped(address) {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && v6.segments() != [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254],
    }
}

/// The same for a URL that names its address; names are resolved by [`Resolver`].
fn is_out_of_bounds(url: &str) -> bool {
    let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    host.trim_matches(['[', ']']).parse().is_ok_and(|address| !is_allowed(address))
}

/// The system's resolver, without addresses that are out of bounds: what is resolved is what is connected to.
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| is_allowed(address.ip())).collect();
            if allowed.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no usable address").into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The whole body, or why not.
async fn read(response: &mut reqwest::Response) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| in_words(&error))? {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(format!("the answer is longer than {LONGEST_BODY} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// A transport error in words. The library's own text holds the URL, and a URL may hold a secret; the innermost
/// cause does not.
fn in_words(error: &reqwest::Error) -> String {
    let what = if error.is_builder() {
        "the URL cannot be used"
    } else if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off"
    } else {
        "the connection broke"
    };
    let mut source = std::error::Error::source(error);
    let mut innermost = None;
    while let Some(cause) = source {
        innermost = Some(cause.to_string());
        source = cause.source();
    }
    match innermost {
        Some(cause) if !error.is_builder() => format!("{what}: {cause}"),
        Some(_) | None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn push(talk: Box<dyn Talk + Send>) -> Pushed {
        Sender::new().unwrap().push(talk, 1, &Mask::default(), &Unbounded(Moment::default)).await
    }

    /// A conversation that never ends.
    struct Endless;

    impl Talk for Endless {
        fn next(&mut self, _heard: Option<Heard>, _: Moment) -> Step {
            Step::Send(Call::Http(HttpCall {
                method: http::Method::GET,
                url: "not a url".into(),
                headers: Vec::new(),
                body: Bytes::new(),
            }))
        }
    }

    #[tokio::test]
    async fn a_conversation_without_end_is_cut_off() {
        let pushed = push(Box::new(Endless)).await;
        assert_eq!(pushed.calls, MOST_CALLS);
        let [Outcome::Unconfirmed { class: Class::Bug, .. }] = &pushed.outcomes[..] else { panic!("{pushed:?}") };
    }

    /// A conversation of one call, which keeps what it heard.
    struct One(String);

    impl Talk for One {
        fn next(&mut self, heard: Option<Heard>, _: Moment) -> Step {
            let Some(heard) = heard else {
                let headers = Vec::new();
                let call = HttpCall { method: http::Method::GET, url: self.0.clone(), headers, body: Bytes::new() };
                return Step::Send(Call::Http(call));
            };
            let (why, maybe_written) = match heard {
                Heard::Silence(silence) => (silence.why, silence.was_sent),
                Heard::Answer(answer) => (format!("{}", answer.status), true),
                Heard::Message(_) => ("a DNS message".to_owned(), true),
            };
            let why = why.into();
            Step::Done(vec![Outcome::Unconfirmed { class: Class::Down, why, retry_after: None, maybe_written }])
        }
    }

    #[tokio::test]
    async fn a_refused_connection_wrote_nothing_and_names_no_url() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/update?token=hush-hush", listener.local_addr().unwrap());
        drop(listener);
        let pushed = push(Box::new(One(url))).await;
        let [Outcome::Unconfirmed { why, maybe_written, .. }] = &pushed.outcomes[..] else { panic!("{pushed:?}") };
        assert!(!*maybe_written);
        assert!(why.contains("no connection") && !why.contains("hush") && !why.contains("update"), "{why}");
    }

    #[tokio::test]
    async fn link_local_addresses_are_never_called() {
        for url in [
            "http://169.254.169.254/latest",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.0.1]/",
            "http://[fd00:ec2::254]",
        ] {
            let pushed = push(Box::new(One(url.into()))).await;
            let [Outcome::Unconfirmed { why, .. }] = &pushed.outcomes[..] else { panic!("{pushed:?}") };
            assert!(why.contains("out of bounds"), "{url}: {why}");
        }
        assert!(!is_out_of_bounds("https://api.test/") && !is_out_of_bounds("http://127.0.0.1:9000/"));
    }
}
