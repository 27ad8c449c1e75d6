//! The only place that talks to providers: one HTTP client, its deadlines and bounds, and the loop that carries a
//! conversation to its end.
//!
//! It follows no redirect (a credential must not travel), asks no proxy, retries nothing (the reconciler does), and
//! logs nothing. What a provider said and an operator will read is cut, cleaned and stripped of secrets here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nicgate_protocol::Secret;
use reqwest::redirect::Policy as Redirects;
use rustls::{ClientConfig, RootCertStore};

use super::{Answer, Call, Class, Heard, HttpCall, Outcome, ProviderSettings, Silence, Step, Talk};

/// Until a connection stands.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// From the first byte sent to the last one received.
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// The longest body read; only lists of zones come near it.
const LONGEST_BODY: usize = 2 << 20;
/// Calls of one conversation. The longest honest one has eight.
const MOST_CALLS: usize = 16;
/// Letters of a provider's text that are kept.
const LONGEST_TEXT: usize = 300;
/// Shorter secrets are not masked: they would tear holes into ordinary words.
const SHORTEST_SECRET: usize = 4;

/// Why there is no client.
#[derive(Debug)]
pub enum SenderError {
    /// The TLS library does not agree with itself.
    Tls(rustls::Error),
    /// The HTTP client could not be built.
    Http(reqwest::Error),
}

impl fmt::Display for SenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(source) => write!(f, "TLS towards providers: {source}"),
            Self::Http(source) => write!(f, "the HTTP client for providers: {source}"),
        }
    }
}

impl std::error::Error for SenderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tls(source) => Some(source),
            Self::Http(source) => Some(source),
        }
    }
}

/// How a conversation ended, and how many calls it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The end.
    pub outcome: Outcome,
    /// Calls made.
    pub calls: usize,
}

/// Talks to providers. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Sender {
    client: reqwest::Client,
}

impl Sender {
    /// A client with the Mozilla roots.
    ///
    /// # Errors
    /// When TLS or HTTP cannot be set up at all.
    pub fn new() -> Result<Self, SenderError> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(SenderError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("nicgate/", env!("CARGO_PKG_VERSION"), " (+", env!("CARGO_PKG_REPOSITORY"), ")"))
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(CALL_DEADLINE)
            .redirect(Redirects::none())
            .referer(false)
            .no_proxy()
            .build()
            .map_err(SenderError::Http)?;
        Ok(Self { client })
    }

    /// Carries a conversation to its end.
    pub async fn push(&self, mut talk: Box<dyn Talk + Send>, mask: &Mask) -> Pushed {
        let mut heard = None;
        for calls in 0..=MOST_CALLS {
            match talk.next(heard.take()) {
                Step::Done(outcome) => return Pushed { outcome: mask.clean_outcome(outcome), calls },
                Step::Send(Call::Http(call)) if calls < MOST_CALLS => heard = Some(self.call(call).await),
                Step::Send(Call::Http(_)) => {}
            }
        }
        let outcome = Outcome::Unconfirmed {
            class: Class::Bug,
            why: format!("no end after {MOST_CALLS} calls").into(),
            retry_after: None,
            maybe_written: true,
        };
        Pushed { outcome, calls: MOST_CALLS }
    }

    /// One request and its answer.
    async fn call(&self, call: HttpCall) -> Heard {
        let mut request = self.client.request(call.method, call.url).body(call.body);
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

/// Makes a provider's text fit to be read by an operator.
#[derive(Clone, Default)]
pub struct Mask {
    secrets: Vec<Secret<String>>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask of {}", self.secrets.len())
    }
}

impl Mask {
    /// Covers the secrets of one provider, as they are and as they look in a URL.
    #[must_use]
    pub fn new(settings: &ProviderSettings) -> Self {
        let mut secrets = Vec::new();
        for secret in settings.secrets() {
            let plain = secret.expose().trim();
            if plain.len() < SHORTEST_SECRET {
                continue;
            }
            let escaped = percent_encoded(plain);
            if escaped != plain {
                secrets.push(Secret::new(escaped));
            }
            secrets.push(Secret::new(plain.to_owned()));
        }
        // The longest first: a secret may hold another.
        secrets.sort_by_key(|secret: &Secret<String>| std::cmp::Reverse(secret.expose().len()));
        Self { secrets }
    }

    /// Without secrets and control characters, in one line of at most 300 letters.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in &self.secrets {
            if masked.contains(secret.expose().as_str()) {
                masked = masked.replace(secret.expose().as_str(), "***");
            }
        }
        let one_line = masked.split(|letter: char| letter.is_control() || letter.is_whitespace());
        let words: Vec<&str> = one_line.filter(|word| !word.is_empty()).collect();
        words.join(" ").chars().take(LONGEST_TEXT).collect()
    }

    fn clean_outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Confirmed { .. } => outcome,
            Outcome::Refused { class, code, text } => {
                Outcome::Refused { class, code: self.clean(&code).into(), text: self.clean(&text).into() }
            }
            Outcome::Unconfirmed { class, why, retry_after, maybe_written } => {
                Outcome::Unconfirmed { class, why: self.clean(&why).into(), retry_after, maybe_written }
            }
        }
    }
}

/// Everything but the unreserved characters of RFC 3986 2.3 as `%XX`.
pub(crate) fn percent_encoded(text: &str) -> String {
    use fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Setting, kind};

    fn mask(secrets: &[(&'static str, &str)]) -> Mask {
        let mut settings = ProviderSettings::new("cloud", kind("cloudflare").unwrap());
        for (key, secret) in secrets {
            settings.set(key, Setting::Secret(Secret::new((*secret).to_owned())));
        }
        Mask::new(&settings)
    }

    #[test]
    fn what_is_kept_is_one_short_line_without_secrets() {
        let mask = mask(&[("a", "tok+en/1"), ("b", "tok+en/1-longer"), ("c", "abc")]);
        for (text, kept) in [
            ("all good", "all good"),
            ("token tok+en/1 is wrong", "token *** is wrong"),
            ("tok+en/1-longer", "***"),
            ("at /update?token=tok%2Ben%2F1&x", "at /update?token=***&x"),
            ("two\r\nlines\u{1b}[31m and\ttabs", "two lines [31m and tabs"),
            ("abc is too short to mask", "abc is too short to mask"),
        ] {
            assert_eq!(mask.clean(text), kept);
        }
        assert_eq!(mask.clean(&"ä".repeat(1000)).chars().count(), LONGEST_TEXT);
        assert!(!format!("{mask:?}").contains("tok"));
    }

    /// A conversation that never ends.
    struct Endless;

    impl Talk for Endless {
        fn next(&mut self, _heard: Option<Heard>) -> Step {
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
        let pushed = Sender::new().unwrap().push(Box::new(Endless), &Mask::default()).await;
        assert_eq!(pushed.calls, MOST_CALLS);
        let Outcome::Unconfirmed { class: Class::Bug, .. } = pushed.outcome else { panic!("{pushed:?}") };
    }

    /// A conversation of one call, which keeps what it heard.
    struct One(String);

    impl Talk for One {
        fn next(&mut self, heard: Option<Heard>) -> Step {
            let Some(heard) = heard else {
                let headers = Vec::new();
                let call = HttpCall { method: http::Method::GET, url: self.0.clone(), headers, body: Bytes::new() };
                return Step::Send(Call::Http(call));
            };
            let (why, maybe_written) = match heard {
                Heard::Silence(silence) => (silence.why, silence.was_sent),
                Heard::Answer(answer) => (format!("{}", answer.status), true),
            };
            Step::Done(Outcome::Unconfirmed { class: Class::Down, why: why.into(), retry_after: None, maybe_written })
        }
    }

    #[tokio::test]
    async fn a_refused_connection_wrote_nothing_and_names_no_url() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/update?token=hush-hush", listener.local_addr().unwrap());
        drop(listener);
        let pushed = Sender::new().unwrap().push(Box::new(One(url)), &Mask::default()).await;
        let Outcome::Unconfirmed { why, maybe_written, .. } = pushed.outcome else { panic!("{pushed:?}") };
        assert!(!maybe_written);
        assert!(why.contains("no connection") && !why.contains("hush") && !why.contains("update"), "{why}");
    }
}
