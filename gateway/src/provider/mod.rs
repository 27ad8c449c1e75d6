//! Providers: where updates go. The list of kinds, their keys, and a provider's section as read.

use std::collections::BTreeMap;
use std::sync::Arc;

use nicgate_protocol::Secret;

/// One key of a provider's section.
pub struct Key {
    /// The key as written.
    pub name: &'static str,
    /// A sentence for the documentation.
    pub about: &'static str,
    /// Whether nobody may see its value; it may also be given as `name_file` and `name_env`.
    pub is_secret: bool,
    /// Whether the section is a mistake without it.
    pub is_required: bool,
    /// What kind of value it takes.
    pub shape: Shape,
}

/// What kind of value a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A text in quotes.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A URL with `http` or `https`.
    Url,
    /// A table of HTTP header fields.
    Headers,
}

/// One kind of provider.
pub trait Kind: Sync {
    /// The word after `type =`.
    fn word(&self) -> &'static str;
    /// A sentence for the documentation.
    fn about(&self) -> &'static str;
    /// Its keys, beside those every provider has.
    fn keys(&self) -> &'static [Key];
    /// Makes a provider of its section. Opens no connection.
    ///
    /// # Errors
    /// When a setting cannot be used.
    fn open(&self, settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting>;
}

/// Where updates go.
pub trait Provider: Send + Sync {}

/// A setting that cannot be used, and why.
pub struct BadSetting {
    /// Its key.
    pub key: &'static str,
    /// What would be right. Never holds a secret.
    pub why: String,
}

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

/// One `[[provider]]` block.
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

    /// The value of a secret key.
    #[must_use]
    pub fn secret(&self, key: &str) -> Option<&Secret<String>> {
        match self.values.get(key) {
            Some(Setting::Secret(secret)) => Some(secret),
            Some(Setting::Flag(_) | Setting::Headers(_) | Setting::Number(_) | Setting::Text(_)) | None => None,
        }
    }
}

/// Every kind of provider.
pub static KINDS: &[&dyn Kind] = &[&Cloudflare, &Embedded];

struct Cloudflare;
struct Embedded;
struct Nowhere;

impl Provider for Nowhere {}

impl Kind for Cloudflare {
    fn word(&self) -> &'static str {
        "cloudflare"
    }

    fn about(&self) -> &'static str {
        "Cloudflare DNS"
    }

    fn keys(&self) -> &'static [Key] {
        const KEYS: &[Key] = &[
            Key {
                name: "api_token",
                about: "An API token with the right to edit the zone.",
                is_secret: true,
                is_required: true,
                shape: Shape::Text,
            },
            Key {
                name: "zone_id",
                about: "The zone's id; looked up without it.",
                is_secret: false,
                is_required: false,
                shape: Shape::Text,
            },
            Key {
                name: "proxied",
                about: "Whether traffic goes through Cloudflare.",
                is_secret: false,
                is_required: false,
                shape: Shape::Flag,
            },
        ];
        KEYS
    }

    fn open(&self, _settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
        Ok(Arc::new(Nowhere))
    }
}

impl Kind for Embedded {
    fn word(&self) -> &'static str {
        "embedded"
    }

    fn about(&self) -> &'static str {
        "The embedded name server"
    }

    fn keys(&self) -> &'static [Key] {
        &[]
    }

    fn open(&self, _settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
        Ok(Arc::new(Nowhere))
    }
}
