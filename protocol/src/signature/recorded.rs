//! Requests that other programs signed, for the tests: see `tests/vectors/README.md`.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::{BadProof, Message, Presented, SignedClaim, presented};
use crate::secret::{Key, Secret};
use crate::update::Parameters;

/// The made-up key of the requests in `requests.json`.
pub(super) const KEY: &[u8; 43] = b"TMXYMpMRxDQBdZRC6o8NNl9Ym-raN3GbmvvOE4e56dg";

/// One request, open to alteration.
#[derive(Clone)]
pub(super) struct Recorded {
    pub(super) name: String,
    pub(super) scheme: String,
    pub(super) method: String,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Recorded {
    /// All requests of a file.
    pub(super) fn all(json: &str) -> Vec<Self> {
        let all: Vec<Value> = serde_json::from_str(json).unwrap();
        all.iter().map(Self::read).collect()
    }

    fn read(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let mut recorded = Self {
            name: format!("{}: {}", text("maker"), text("name")),
            scheme: text("scheme"),
            method: text("method"),
            authority: text("authority"),
            path: text("path"),
            query: value["query"].as_str().map(str::to_owned),
            headers: HeaderMap::new(),
            body: text("body").into_bytes(),
        };
        for pair in value["headers"].as_array().unwrap() {
            recorded.add(pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        }
        recorded
    }

    /// A request of our own making.
    pub(super) fn new(method: &str, authority: &str, path: &str, query: Option<&str>, body: &[u8]) -> Self {
        Self {
            name: String::new(),
            scheme: String::new(),
            method: method.to_owned(),
            authority: authority.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers: HeaderMap::new(),
            body: body.to_vec(),
        }
    }

    /// Adds a header field, without the blanks that a parser takes away at its edges.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }

    /// Replaces text in a header field that is there.
    pub(super) fn replace(&mut self, name: &'static str, from: &str, to: &str) {
        let value = self.headers[name].to_str().unwrap();
        assert!(value.contains(from), "{name}: {value}");
        let value = HeaderValue::from_str(&value.replacen(from, to, 1)).unwrap();
        self.headers.insert(name, value);
    }

    pub(super) fn message(&self) -> Message<'_> {
        Message {
            method: &self.method,
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
            body: &self.body,
        }
    }

    /// Query and form; every body in these requests is a form.
    pub(super) fn parameters(&self) -> Parameters<'_> {
        Parameters::read(self.query.as_deref(), Some(&self.body))
    }

    /// Hands the signed claim to `look`.
    pub(super) fn claim<T>(&self, look: impl FnOnce(&SignedClaim<'_>) -> T) -> Result<T, BadProof> {
        let parameters = self.parameters();
        match presented(&self.message(), &parameters)? {
            Presented::Signed(claim) => Ok(look(&claim)),
            Presented::Nobody | Presented::Password(_) => panic!("{}: no signature", self.name),
        }
    }

    /// Whether the request is read and holds under `KEY`.
    pub(super) fn holds(&self) -> Result<bool, BadProof> {
        let key: Key = Secret::new(*KEY);
        self.claim(|claim| claim.is_signed_by(&key, &self.message()))
    }
}
