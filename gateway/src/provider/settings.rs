//! What the operator writes about a provider: which keys there are, what their values look like, one `[[provider]]` block
//! as it was read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use nicgate_protocol::Secret;
use sha2::{Digest as _, Sha256};

use super::{Kind, Provider};

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
#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::kind;

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

    #[test]
    fn the_only_path_of_a_service_may_be_written_with_its_endpoint() {
        let mut settings = ProviderSettings::new("cloud", kind("noip").unwrap());
        for text in ["http://127.0.0.1:9", "http://127.0.0.1:9/", "http://127.0.0.1:9/nic/update"] {
            settings.endpoint = Some(text.into());
            assert_eq!(base_url_before("/nic/update", &settings, "").unwrap(), "http://127.0.0.1:9");
        }
        assert_eq!(base_url_before("/", &settings, "").unwrap(), "http://127.0.0.1:9/nic/update");
    }
}
