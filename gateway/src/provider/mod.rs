//! Providers: what each kind is called, which settings it takes, and how a change is told to it.
//!
//! A provider file is a conversation, not a client: what to send next, and what the answer meant. It touches no
//! network, no clock and no dice; [`send`] alone talks. So a provider is tested by a table of answers and cannot
//! forget a timeout. What it may remember for the next change (zone and record ids) comes back with the outcome.
//!
//! A new provider is one file here and one word in the `providers!` line.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Uri};
use nicgate_logic::state::Applied;
use nicgate_protocol::{AddressSet, Hostname, Secret};

pub use nicgate_logic::reconcile::Class;

pub mod send;

/// Writes both the modules and the list of kinds. `cargo fmt` does not enter modules named in a macro: a format check
/// names `gateway/src/provider/*.rs` by hand.
macro_rules! providers {
    ($($name:ident),+ $(,)?) => {
        $(pub mod $name;)+

        /// Every kind of provider, sorted by its word.
        pub static KINDS: &[&dyn Kind] = &[$(&$name::KIND),+];
    };
}

providers! { cloudflare, embedded }

/// The kind with this word after `type =`.
#[must_use]
pub fn kind(word: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.word() == word)
}

/// A key that a kind of provider takes in its `[[provider]]` block. Every kind also takes `name`, `type`, `endpoint`
/// and `ttl`; they are not listed.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// A sentence for the operator.
    pub about: &'static str,
    /// Whether it may also be given as `name_file` and `name_env`, and is never shown.
    pub is_secret: bool,
    /// Whether the provider cannot work without it.
    pub is_required: bool,
    /// What its value looks like.
    pub shape: Shape,
}

/// What the value of a key looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `true` or `false`.
    Flag,
    /// A table of header names and values.
    Headers,
    /// A whole number.
    Number,
    /// Any text.
    Text,
    /// An `http` or `https` URL.
    Url,
}

/// One kind of provider.
pub trait Kind: Sync {
    /// What stands after `type =`.
    fn word(&self) -> &'static str;

    /// A sentence for the operator.
    fn about(&self) -> &'static str;

    /// The keys of its own.
    fn keys(&self) -> &'static [Key];

    /// Makes a provider of this kind. Talks to nobody.
    ///
    /// # Errors
    /// The first setting that cannot be used, and what would be right.
    fn open(&self, settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting>;
}

impl fmt::Debug for dyn Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A setting that a provider cannot work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSetting {
    /// The key.
    pub key: &'static str,
    /// What is wrong with it and what would be right. Never holds a secret.
    pub why: String,
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.why)
    }
}

impl std::error::Error for BadSetting {}

/// The value of one of a provider's own keys.
#[derive(Clone)]
pub enum Setting {
    /// For [`Shape::Flag`].
    Flag(bool),
    /// For [`Shape::Headers`]; a value may hold a credential.
    Headers(Vec<(String, Secret<String>)>),
    /// For [`Shape::Number`].
    Number(i64),
    /// For [`Shape::Text`] and [`Shape::Url`] where the key is secret.
    Secret(Secret<String>),
    /// For [`Shape::Text`] and [`Shape::Url`].
    Text(String),
}

/// One `[[provider]]` block. Its `Debug` shows no values.
#[derive(Clone)]
pub struct ProviderSettings {
    /// What zones call it.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: &'static dyn Kind,
    /// Its base URL, where that is not the kind's own.
    pub endpoint: Option<String>,
    /// TTL of hosts for which nobody asked for another, in seconds.
    pub ttl: Option<u32>,
    values: BTreeMap<&'static str, Setting>,
}

impl ProviderSettings {
    /// A provider with no settings yet.
    #[must_use]
    pub fn new(name: &str, kind: &'static dyn Kind) -> Self {
        Self { name: name.into(), kind, endpoint: None, ttl: None, values: BTreeMap::new() }
    }

    /// Adds the value of one of the kind's own keys.
    pub fn set(&mut self, key: &'static str, value: Setting) {
        self.values.insert(key, value);
    }

    /// Makes the provider; see [`Kind::open`].
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn open(&self) -> Result<Arc<dyn Provider>, BadSetting> {
        self.kind.open(self)
    }

    /// The value of a key that holds text and is not secret.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key) {
            Some(Setting::Text(text)) => Some(text),
            Some(Setting::Flag(_) | Setting::Headers(_) | Setting::Number(_) | Setting::Secret(_)) | None => None,
        }
    }

    /// The value of a secret key.
    #[must_use]
    pub fn secret(&self, key: &str) -> Option<&Secret<String>> {
        match self.values.get(key) {
            Some(Setting::Secret(secret)) => Some(secret),
            Some(Setting::Flag(_) | Setting::Headers(_) | Setting::Number(_) | Setting::Text(_)) | None => None,
        }
    }

    /// The value of a key that holds a number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<i64> {
        match self.values.get(key) {
            Some(Setting::Number(number)) => Some(*number),
            Some(Setting::Flag(_) | Setting::Headers(_) | Setting::Secret(_) | Setting::Text(_)) | None => None,
        }
    }

    /// The value of a key that holds `true` or `false`.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.values.get(key) {
            Some(Setting::Flag(flag)) => Some(*flag),
            Some(Setting::Headers(_) | Setting::Number(_) | Setting::Secret(_) | Setting::Text(_)) | None => None,
        }
    }

    /// The value of a key that holds headers; empty when it is not given.
    #[must_use]
    pub fn headers(&self, key: &str) -> &[(String, Secret<String>)] {
        match self.values.get(key) {
            Some(Setting::Headers(headers)) => headers,
            Some(Setting::Flag(_) | Setting::Number(_) | Setting::Secret(_) | Setting::Text(_)) | None => &[],
        }
    }

    /// Everything that must not appear in a log.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret<String>> {
        self.values.values().flat_map(|value| match value {
            Setting::Secret(secret) => vec![secret],
            Setting::Headers(headers) => headers.iter().map(|(_, value)| value).collect(),
            Setting::Flag(_) | Setting::Number(_) | Setting::Text(_) => Vec::new(),
        })
    }
}

impl fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.values.keys().copied().collect();
        f.debug_struct("ProviderSettings")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("endpoint", &self.endpoint)
            .field("ttl", &self.ttl)
            .field("keys", &keys)
            .finish()
    }
}

/// One configured provider.
pub trait Provider: Send + Sync {
    /// Starts the conversation that makes one host so.
    fn update(&self, job: &Job) -> Box<dyn Talk + Send>;

    /// Whether this is our own name server, which follows the store by itself and is never pushed to.
    fn is_embedded(&self) -> bool {
        false
    }
}

/// What a provider shall publish for one host.
///
/// A family that is absent in `wanted` but was written by us (present in `before` or `doubted`) is removed, as far as
/// its records still say what we wrote. A family absent in all of them is not touched.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The zone that holds the host, as it is configured.
    pub zone: Hostname,
    /// The host.
    pub hostname: Hostname,
    /// What this provider confirmed last.
    pub before: Option<Applied>,
    /// What earlier pushes with an unknown end tried to publish: any of it may stand there. While this is not empty,
    /// `before` may be out of date, so look before writing.
    pub doubted: Vec<AddressSet>,
    /// What it shall publish.
    pub wanted: AddressSet,
    /// The TTL asked for, in seconds; `None`: keep what is there.
    pub ttl: Option<u32>,
}

/// A conversation about one [`Job`].
pub trait Talk {
    /// What to do, given what was heard after the last [`Step::Send`]; `None` at the start.
    fn next(&mut self, heard: Option<Heard>) -> Step;
}

/// What a conversation wants.
#[derive(Debug)]
pub enum Step {
    /// Send this and tell what comes back.
    Send(Call),
    /// It is over.
    Done(Outcome),
}

/// One message to a provider.
#[derive(Debug)]
pub enum Call {
    /// An HTTP request.
    Http(HttpCall),
}

/// One HTTP request. Header values that hold a secret are marked sensitive; URLs are never logged.
pub struct HttpCall {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// The headers, besides those that every request carries.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; empty for none.
    pub body: Bytes,
}

impl fmt::Debug for HttpCall {
    /// Without query, headers and body: several providers want their secrets there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url.split('?').next().unwrap_or_default())
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A whole answer.
    Answer(Answer),
    /// No answer, or half of one.
    Silence(Silence),
}

/// A whole HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// How long the provider asks to be left alone: `Retry-After` in seconds (RFC 9110 10.2.3). The form with a date
    /// is not read, no API of ours sends it.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        text.trim().parse().ok().map(Duration::from_secs)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// In words; holds no URL.
    pub why: String,
    /// Whether the request may have arrived. A write that may have arrived may have been made.
    pub was_sent: bool,
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider publishes what was wanted: it said so itself, in the answer to a write or to a look.
    Confirmed {
        /// Zone and record ids, in the provider's own words; comes back in [`Job::before`].
        remembered: Option<Box<str>>,
        /// The TTL that went with it, in seconds; 0 when nothing is published.
        ttl: u32,
    },
    /// The provider said no and changed nothing.
    Refused {
        /// Why.
        class: Class,
        /// The provider's own code.
        code: Box<str>,
        /// What happened and what would help.
        text: Box<str>,
    },
    /// Nobody knows, or not now.
    Unconfirmed {
        /// `Rate`, `Busy`, `Down` or `Bug`.
        class: Class,
        /// In words.
        why: Box<str>,
        /// The provider asked to wait so long.
        retry_after: Option<Duration>,
        /// The change may have been made all the same.
        maybe_written: bool,
    },
}

/// The base URL of a provider, without the slash at its end.
///
/// # Errors
/// When it is not an `http` or `https` URL, or carries a query.
pub(crate) fn base_url(settings: &ProviderSettings, default: &str) -> Result<String, BadSetting> {
    let text = settings.endpoint.as_deref().unwrap_or(default).trim().trim_end_matches('/');
    let is_plain = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    };
    match text.parse::<Uri>() {
        Ok(uri) if is_plain(&uri) && !text.contains('#') => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err(BadSetting {
            key: "endpoint",
            why: format!("write an http or https URL without user, query and fragment, for instance {default:?}"),
        }),
    }
}

/// Whether a name in a provider's answer is `hostname`: case, the final dot and an escaped `*` make no difference.
pub(crate) fn is_same_name(name: &str, hostname: &Hostname) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.strip_prefix("\\052.") {
        Some(rest) => hostname.as_str().strip_prefix("*.").is_some_and(|below| below.eq_ignore_ascii_case(rest)),
        None => name.eq_ignore_ascii_case(hostname.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_their_word_and_explain_themselves() {
        let words: Vec<&str> = KINDS.iter().map(|kind| kind.word()).collect();
        let mut sorted = words.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(words, sorted);
        for kind in KINDS {
            assert_eq!(super::kind(kind.word()).map(Kind::word), Some(kind.word()));
            assert!(kind.about().ends_with('.'), "{}", kind.word());
            for key in kind.keys() {
                assert!(key.about.ends_with('.'), "{} {}", kind.word(), key.name);
                assert!(!["name", "type", "endpoint", "ttl"].contains(&key.name), "every kind takes {}", key.name);
            }
        }
        assert!(super::kind("no-such-thing").is_none());
    }

    #[test]
    fn settings_never_show_their_values() {
        let mut settings = ProviderSettings::new("cloud", kind("cloudflare").unwrap());
        settings.set("api_token", Setting::Secret(Secret::new("hush-hush".into())));
        settings.set("headers", Setting::Headers(vec![("X".into(), Secret::new("psst-psst".into()))]));
        let shown = format!("{settings:?}");
        assert!(shown.contains("api_token") && !shown.contains("hush") && !shown.contains("psst"), "{shown}");
        assert_eq!(settings.secrets().count(), 2);
    }

    #[test]
    fn a_call_shows_neither_query_nor_headers() {
        let secret = HeaderValue::from_static("hush");
        let call = HttpCall {
            method: Method::GET,
            url: "https://api.test/update?token=hush".into(),
            headers: vec![(http::header::AUTHORIZATION, secret)],
            body: Bytes::from_static(b"hush"),
        };
        assert_eq!(format!("{call:?}"), "GET https://api.test/update");
    }

    #[test]
    fn an_endpoint_is_a_plain_url() {
        let mut settings = ProviderSettings::new("cloud", kind("cloudflare").unwrap());
        assert_eq!(base_url(&settings, "https://api.test/v4").unwrap(), "https://api.test/v4");
        for (text, taken) in [
            ("http://127.0.0.1:9000", true),
            ("https://api.test/v4/", true),
            ("api.test", false),
            ("ftp://api.test", false),
            ("https://me:pw@api.test", false),
            ("https://api.test/?x=1", false),
            ("https://api.test/#x", false),
            ("", false),
        ] {
            settings.endpoint = Some(text.into());
            assert_eq!(base_url(&settings, "https://api.test/v4").is_ok(), taken, "{text}");
        }
    }

    #[test]
    fn names_are_compared_as_names() {
        let name = Hostname::parse("*.lan.home.test").unwrap();
        for same in ["*.lan.home.test", "*.LAN.home.test.", "\\052.lan.home.test."] {
            assert!(is_same_name(same, &name), "{same}");
        }
        for other in ["lan.home.test", "x.lan.home.test", "\\052.home.test"] {
            assert!(!is_same_name(other, &name), "{other}");
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds() {
        for (text, seconds) in [("30", Some(30)), (" 7 ", Some(7)), ("soon", None), ("-1", None), ("", None)] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            let answer = Answer { status: 429, headers, body: Bytes::new() };
            assert_eq!(answer.retry_after(), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
