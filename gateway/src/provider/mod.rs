//! Providers: what each kind is called, which settings it takes, and how a change is told to it.
//!
//! A provider file is a conversation, not a client: what to send next, and what the answer meant. It touches no
//! network, no clock and no dice; [`send`] alone talks. So a provider is tested by a table of answers and cannot
//! forget a timeout. What it may remember for the next change (zone and record ids) comes back with the outcome.
//!
//! Most APIs know zones and records. They share one conversation, [`records`]: what to look at before writing, what
//! may be changed, what a lost answer means. Their files only say how to ask and how to read the answers. The others
//! (update URLs, RFC 2136) have conversations of their own.
//!
//! A new provider is one file here and one word in the `providers!` line.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use nicgate_logic::state::Applied;
use nicgate_protocol::{AddressSet, Family, Hostname, Secret, Timestamp};
use sha2::{Digest as _, Sha256};

pub use nicgate_logic::budget::{Budget, Window};
pub use nicgate_logic::reconcile::Class;

mod apex;
mod encode;
#[cfg(test)]
mod nonsense;
#[cfg(test)]
mod play;
mod records;
pub mod send;
mod service;
mod sign;
mod trouble;

/// Writes both the modules and the list of kinds. `cargo fmt` does not enter modules named in a macro: a format check
/// names `gateway/src/provider/*.rs` by hand.
macro_rules! providers {
    ($($name:ident),+ $(,)?) => {
        $(pub mod $name;)+

        /// Every kind of provider, sorted by its word.
        pub static KINDS: &[Kind] = &[$($name::KIND),+];
    };
}

providers! {
    alidns,
    baidu,
    bunny,
    cloudflare,
    desec,
    digitalocean,
    dnspod,
    duckdns,
    dyndns2,
    dynu,
    dynv6,
    embedded,
    gandi,
    gcore,
    godaddy,
    hetzner,
    huaweicloud,
    inwx,
    ionos,
    linode,
    namecheap,
    namecom,
    namesilo,
    netcup,
    noip,
    ovh,
    porkbun,
    powerdns,
    rfc2136,
    route53,
    scaleway,
    spaceship,
    vercel,
    volcengine,
    vultr,
    webhook,
}

/// The kind with this word after `type =`.
#[must_use]
pub fn kind(word: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.word == word)
}

/// Keys that every kind takes; a kind does not list them among its own.
pub const COMMON_KEYS: [&str; 8] =
    ["name", "type", "endpoint", "ttl", "ca_file", "calls_per_minute", "drift", "drift_every"];

/// A key that a kind of provider takes in its `[[provider]]` block, besides [`COMMON_KEYS`].
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

impl Key {
    /// A required secret.
    #[must_use]
    pub const fn secret(name: &'static str, about: &'static str) -> Self {
        Self { name, about, is_secret: true, is_required: true, shape: Shape::Text }
    }

    /// A required text that is no secret.
    #[must_use]
    pub const fn text(name: &'static str, about: &'static str) -> Self {
        Self { name, about, is_secret: false, is_required: true, shape: Shape::Text }
    }

    /// The same, but not required.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { is_required: false, ..self }
    }

    /// The same, but of another shape.
    #[must_use]
    pub const fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }
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

/// One kind of provider. Each provider's file has one as `KIND`.
#[derive(Clone, Copy)]
pub struct Kind {
    /// What stands after `type =`.
    pub word: &'static str,
    /// A sentence for the operator.
    pub about: &'static str,
    /// The keys of its own.
    pub keys: &'static [Key],
    /// Makes a provider of this kind. Talks to nobody. The error is the first setting that cannot be used, and what
    /// would be right.
    pub open: fn(&ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting>,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word)
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

/// How changes by hand are found, and what is done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Each host is read once in so long.
    pub every: Duration,
    /// Whether what was changed is changed back, rather than only told.
    pub repairs: bool,
}

/// One `[[provider]]` block. Its `Debug` shows no values.
#[derive(Clone)]
pub struct ProviderSettings {
    /// What zones call it.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: &'static Kind,
    /// Its base URL, where that is not the kind's own.
    pub endpoint: Option<String>,
    /// TTL of hosts for which nobody asked for another, in seconds.
    pub ttl: Option<u32>,
    /// Certificate authorities (PEM) that are trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// The operator's own bound on calls, instead of the kind's.
    pub calls_per_minute: Option<u32>,
    /// Whether the provider is read from time to time, to find what somebody changed by hand.
    pub drift: Option<Drift>,
    values: BTreeMap<&'static str, Setting>,
}

impl ProviderSettings {
    /// A provider with no settings yet.
    #[must_use]
    pub fn new(name: &str, kind: &'static Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            endpoint: None,
            ttl: None,
            ca_file: None,
            calls_per_minute: None,
            drift: None,
            values: BTreeMap::new(),
        }
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
        (self.kind.open)(self)
    }

    /// Which credential this is, as a number: the same for two blocks that log in alike, and then they share the
    /// vendor's limits.
    #[must_use]
    pub fn account(&self) -> u64 {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        add(self.kind.word);
        add(self.endpoint.as_deref().unwrap_or_default());
        for key in self.kind.keys.iter().filter(|key| key.is_required || key.is_secret) {
            add(self.text(key.name).unwrap_or_default());
            add(self.secret(key.name).map_or("", |secret| secret.expose()));
        }
        let digest = hash.finalize();
        digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// The value of a required secret key, trimmed.
    ///
    /// # Errors
    /// When it is missing, empty, or holds what no credential holds: blanks, control characters, other letters than
    /// ASCII's.
    pub(crate) fn credential(&self, key: &'static str) -> Result<&str, BadSetting> {
        let text = self.secret(key).map(|secret| secret.expose().trim()).or(self.text(key).map(str::trim));
        match text {
            None | Some("") => Err(BadSetting { key, why: "it is missing".to_owned() }),
            Some(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text),
            Some(_) => Err(BadSetting { key, why: "it holds letters, digits and signs, and no blanks".to_owned() }),
        }
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
    /// Starts the conversation that makes the hosts of a job so.
    fn update(&self, job: &Job) -> Box<dyn Talk + Send>;

    /// Starts a conversation that only reads what stands for a host; it ends with [`Step::Seen`], or with one outcome.
    /// `None`: the API cannot be read.
    fn look(&self, _zone: &Hostname, _hostname: &Hostname) -> Option<Box<dyn Talk + Send>> {
        None
    }

    /// How many hosts of one zone a job may have: more than one where the API changes them in one call.
    fn hosts_at_once(&self) -> usize {
        1
    }

    /// How many calls the vendor allows.
    fn budget(&self) -> Budget;

    /// Whether this is our own name server, which follows the store by itself and is never pushed to.
    fn is_embedded(&self) -> bool {
        false
    }
}

/// What a provider shall publish, for one or several hosts of a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The zone that holds the hosts, as it is configured. At the provider they may lie in a zone above it.
    pub zone: Hostname,
    /// The hosts; at most [`Provider::hosts_at_once`], none of them twice, never empty.
    pub hosts: Vec<HostJob>,
}

/// What a provider shall publish for one host.
///
/// A family that is absent in `wanted` but was written by us (present in `before` or `doubted`) is removed, as far as
/// its records still say what we wrote. A family absent in all of them is not touched.
#[derive(Clone, Debug, PartialEq)]
pub struct HostJob {
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

impl HostJob {
    /// What this provider confirmed last; empty when nothing.
    pub(crate) fn written(&self) -> AddressSet {
        self.before.as_ref().map(|before| before.addresses).unwrap_or_default()
    }

    /// Whether this gateway wrote an address, or may have.
    pub(crate) fn may_be_ours(&self, address: IpAddr) -> bool {
        let family = Family::of(address);
        std::iter::once(&self.written()).chain(&self.doubted).any(|ours| ours.of(family) == Some(address))
    }

    /// Whether this gateway has something to do with a family of the host at all.
    pub(crate) fn concerns(&self, family: Family) -> bool {
        let ours = [self.wanted, self.written()];
        ours.iter().chain(&self.doubted).any(|set| set.of(family).is_some())
    }
}

/// When something is said, and a random number to go with it: handed in, so that a conversation asks neither clock nor
/// dice for its signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub now: Timestamp,
    /// Unguessable, another one each time.
    pub dice: u128,
}

/// A conversation about one [`Job`].
pub trait Talk {
    /// What to do, given what was heard after the last [`Step::Send`]; `None` at the start.
    fn next(&mut self, heard: Option<Heard>, moment: Moment) -> Step;
}

/// What a conversation wants.
#[derive(Debug)]
pub enum Step {
    /// It is over: one outcome for each host of the job, in the job's order.
    Done(Vec<Outcome>),
    /// It was only to look, and this is what stands there.
    Seen(Sight),
    /// Send this and tell what comes back.
    Send(Call),
}

/// What stands at a provider for one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The provider's zone, in its own words.
    pub zone: String,
    /// Every address of the name.
    pub addresses: Vec<IpAddr>,
    /// What is in the way of an update, in words: a CNAME, a record with special routing.
    pub obstacles: Vec<String>,
}

/// One message to a provider.
#[derive(Debug)]
pub enum Call {
    /// A DNS message.
    Dns(DnsCall),
    /// An HTTP request.
    Http(HttpCall),
}

/// One DNS message and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsCall {
    /// The server, as `host:port`.
    pub server: Box<str>,
    /// Over TCP rather than UDP.
    pub is_tcp: bool,
    /// The message, without the length that TCP puts before it.
    pub message: Bytes,
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
    /// A whole HTTP answer.
    Answer(Answer),
    /// A DNS message.
    Message(Bytes),
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
    /// How long the provider asks to be left alone: `Retry-After` in seconds or as a date (RFC 9110 10.2.3), else the
    /// seconds of `RateLimit` (draft-ietf-httpapi-ratelimit-headers) or of `RateLimit-Reset` and its kin where nothing
    /// is left.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let field = |name: &str| self.headers.get(name)?.to_str().ok().map(str::trim);
        if let Some(text) = field("retry-after") {
            return match text.parse() {
                Ok(seconds) => Some(Duration::from_secs(seconds)),
                Err(_) => httpdate::parse_http_date(text).ok().and_then(|date| {
                    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
                    Some(Timestamp::from_seconds(since.as_secs()).since(now))
                }),
            };
        }
        // `"default";r=0;t=30`, several by commas.
        let spent = |policy: &str| {
            let part = |name| policy.split(';').find_map(|part| part.trim().strip_prefix(name)?.parse().ok());
            part("t=").filter(|_| part("r=") == Some(0))
        };
        if let Some(seconds) = field("ratelimit").and_then(|text| text.split(',').filter_map(spent).max()) {
            return Some(Duration::from_secs(seconds));
        }
        let names = ["ratelimit", "x-ratelimit", "x-rate-limit"];
        let spent = names.into_iter().find(|name| field(&format!("{name}-remaining")) == Some("0"))?;
        let reset: u64 = field(&format!("{spent}-reset"))?.parse().ok()?;
        // Some write seconds from now, some the time in Unix seconds.
        let is_date = reset > 1_000_000_000;
        Some(if is_date { Timestamp::from_seconds(reset).since(now) } else { Duration::from_secs(reset) })
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
    /// The provider said no.
    Refused {
        /// Why.
        class: Class,
        /// The provider's own code.
        code: Box<str>,
        /// What happened and what would help.
        text: Box<str>,
        /// A part of the change was made before, in a call of its own.
        maybe_written: bool,
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

impl Outcome {
    /// Refused, and nothing was changed.
    pub(crate) fn refused(class: Class, code: &str, text: &str) -> Self {
        Self::Refused { class, code: code.into(), text: text.into(), maybe_written: false }
    }
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

/// The base URL of a service that has one path only: an operator who wrote that, too, meant the same.
///
/// # Errors
/// As [`base_url`].
pub(crate) fn base_url_before(path: &str, settings: &ProviderSettings, default: &str) -> Result<String, BadSetting> {
    let url = base_url(settings, default)?;
    Ok(url.strip_suffix(path.trim_end_matches('/')).unwrap_or(&url).to_owned())
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
        let words: Vec<&str> = KINDS.iter().map(|kind| kind.word).collect();
        let mut sorted = words.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(words, sorted);
        for kind in KINDS {
            assert_eq!(super::kind(kind.word).map(|kind| kind.word), Some(kind.word));
            assert!(kind.about.ends_with('.'), "{}", kind.word);
            for key in kind.keys {
                assert!(key.about.ends_with('.'), "{} {}", kind.word, key.name);
                assert!(!COMMON_KEYS.contains(&key.name), "every kind takes {}", key.name);
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
    fn the_only_path_of_a_service_may_be_written_with_its_endpoint() {
        let mut settings = ProviderSettings::new("cloud", kind("noip").unwrap());
        for text in ["http://127.0.0.1:9", "http://127.0.0.1:9/", "http://127.0.0.1:9/nic/update"] {
            settings.endpoint = Some(text.into());
            assert_eq!(base_url_before("/nic/update", &settings, "").unwrap(), "http://127.0.0.1:9");
        }
        assert_eq!(base_url_before("/", &settings, "").unwrap(), "http://127.0.0.1:9/nic/update");
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
    fn patience_is_read_however_it_is_written() {
        let now = Timestamp::from_seconds(1_795_348_800); // Sun, 22 Nov 2026 12:00:00 GMT
        for (fields, seconds) in [
            (&[("retry-after", "30")][..], Some(30)),
            (&[("retry-after", " 7 ")], Some(7)),
            (&[("retry-after", "Sun, 22 Nov 2026 12:01:30 GMT")], Some(90)),
            (&[("retry-after", "Sun, 22 Nov 2026 11:59:00 GMT")], Some(0)),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "5"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "9")], Some(5)),
            (&[("ratelimit-remaining", "0"), ("ratelimit-reset", "9")], Some(9)),
            (&[("ratelimit-remaining", "3"), ("ratelimit-reset", "9")], None),
            (&[("ratelimit", "\"default\";r=0;t=42")], Some(42)),
            (&[("ratelimit", "\"a\"; r=0; t=7, \"b\"; r=0; t=11, \"c\";r=5;t=99")], Some(11)),
            (&[("ratelimit", "\"default\";r=1199;t=42")], None),
            (&[("ratelimit", "nonsense")], None),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795348860")], Some(60)),
            (&[], None),
        ] {
            let field = |(name, text): &(&'static str, &str)| {
                (HeaderName::from_static(name), HeaderValue::from_str(text).unwrap())
            };
            let answer = Answer { status: 429, headers: fields.iter().map(field).collect(), body: Bytes::new() };
            assert_eq!(answer.retry_after(now), seconds.map(Duration::from_secs), "{fields:?}");
        }
    }

    #[test]
    fn blocks_that_log_in_alike_are_one_account() {
        let with = |name: &str, token: &str, endpoint: Option<&str>| {
            let mut settings = ProviderSettings::new(name, kind("cloudflare").unwrap());
            settings.set("api_token", Setting::Secret(Secret::new(token.into())));
            settings.endpoint = endpoint.map(str::to_owned);
            settings.account()
        };
        assert_eq!(with("a", "one", None), with("b", "one", None));
        assert_ne!(with("a", "one", None), with("a", "two", None));
        assert_ne!(with("a", "one", None), with("a", "one", Some("http://127.0.0.1")));
    }
}
