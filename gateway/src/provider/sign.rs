//! Requests that are signed as a whole: what is common to the schemes of the big clouds. Each scheme is a file below;
//! all but one of them hash the same canonical request (AWS invented it) and differ in headers, dates and keys.
//!
//! Pure: time and nonce come from the [`Moment`](super::Moment) of the call. Sent is what was signed: the query in its
//! canonical order, the `Host` that the HTTP client makes of the URL.

pub(crate) mod acs3;
pub(crate) mod bce;
pub(crate) mod sdk_hmac;
pub(crate) mod sigv4;
pub(crate) mod tc3;
#[cfg(test)]
mod tests;
pub(crate) mod volc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, Uri};
use nicgate_protocol::{Secret, Timestamp};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::encode::percent_encoded;
use super::{BadSetting, HttpCall, ProviderSettings};

/// A credential that signs.
pub(crate) struct Keys {
    /// Its public part, which every request names.
    pub(crate) id: String,
    secret: Secret<String>,
    /// What goes with temporary credentials.
    token: Option<Secret<String>>,
}

impl Keys {
    /// From the settings of these names.
    ///
    /// # Errors
    /// When one is missing or holds what no credential holds.
    pub(crate) fn of(
        settings: &ProviderSettings,
        id: &'static str,
        secret: &'static str,
        token: &'static str,
    ) -> Result<Self, BadSetting> {
        let read = |key| settings.credential(key).map(str::to_owned);
        let token = settings.secret(token).map(|_| read(token)).transpose()?;
        Ok(Self { id: read(id)?, secret: Secret::new(read(secret)?), token: token.map(Secret::new) })
    }
}

/// Where an API is reached, taken apart as signatures want it.
pub(crate) struct Site {
    base: String,
    /// As the HTTP client writes it into `Host`: in lower case, the scheme's own port left out.
    host: String,
    path: String,
}

impl Site {
    /// Of a checked base URL ([`base_url`](super::base_url)).
    pub(crate) fn of(base: String) -> Self {
        let uri: Uri = base.parse().unwrap_or_default();
        let own_port = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let name = uri.host().unwrap_or_default().to_ascii_lowercase();
        let host = match uri.port_u16() {
            Some(port) if port != own_port => format!("{name}:{port}"),
            Some(_) | None => name,
        };
        let path = uri.path().trim_end_matches('/').to_owned();
        Self { base, host, path }
    }
}

/// A request that is not signed yet.
pub(crate) struct Draft<'a> {
    site: &'a Site,
    method: Method,
    /// Below the site's own, percent-encoded as it is sent.
    path: String,
    query: Vec<(String, String)>,
    /// Those that are signed, besides `host`; names in lower case.
    headers: Vec<(&'static str, Zeroizing<String>)>,
    body: String,
}

impl<'a> Draft<'a> {
    /// Without query and body.
    pub(crate) fn new(site: &'a Site, method: Method, path: impl Into<String>) -> Self {
        Self { site, method, path: path.into(), query: Vec::new(), headers: Vec::new(), body: String::new() }
    }

    /// The same with more parameters.
    pub(crate) fn with_query(mut self, pairs: &[(&str, &str)]) -> Self {
        self.query.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// The same with a body.
    pub(crate) fn with_body(mut self, content_type: &str, body: String) -> Self {
        self.body = body;
        self.with("content-type", content_type)
    }

    /// The same with a header that is signed.
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, Zeroizing::new(value.to_owned())));
        self
    }

    /// The same with the token of a temporary credential.
    fn with_token(self, name: &'static str, keys: &Keys) -> Self {
        match &keys.token {
            Some(token) => self.with(name, token.expose()),
            None => self,
        }
    }

    /// The whole path, as it is sent; never empty.
    fn whole_path(&self) -> String {
        format!("{}{}", self.site.path, self.path)
    }

    /// Names and values percent-encoded, sorted by name, then value.
    fn canonical_query(&self) -> String {
        let mut pairs: Vec<_> =
            self.query.iter().map(|(name, value)| (percent_encoded(name), percent_encoded(value))).collect();
        pairs.sort_unstable();
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    /// `host` and the headers that are signed, sorted by name.
    fn signed_headers(&self) -> Vec<(&str, &str)> {
        let own = self.headers.iter().map(|(name, value)| (*name, value.trim()));
        let mut headers: Vec<_> = own.chain([("host", self.site.host.as_str())]).collect();
        headers.sort_unstable();
        headers
    }

    /// Their names, in the form that goes into `Authorization`.
    fn signed_names(&self) -> String {
        self.signed_headers().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";")
    }

    /// What is hashed: method, path, query, headers, their names, hash of the body. `path` as the scheme writes it.
    fn canonical_request(&self, path: &str) -> Zeroizing<String> {
        let (method, query, body) = (&self.method, self.canonical_query(), hex_sha256(&self.body));
        let lines = self.signed_headers().iter().fold(Zeroizing::new(String::new()), |mut lines, (name, value)| {
            lines.extend([name, ":", value, "\n"]);
            lines
        });
        Zeroizing::new(format!("{method}\n{path}\n{query}\n{}\n{}\n{body}", *lines, self.signed_names()))
    }

    /// As it is sent, with the signature in its place.
    fn signed(self, authorization: &str) -> HttpCall {
        let query = self.canonical_query();
        let mark = if query.is_empty() { "" } else { "?" };
        let mut call = HttpCall::new(self.method, format!("{}{}{mark}{query}", self.site.base, self.path));
        for (name, value) in &self.headers {
            let is_secret = name.ends_with("-token");
            call.headers.push((HeaderName::from_static(name), header(value, is_secret)));
        }
        call.body = self.body.into();
        call.with(AUTHORIZATION, header(authorization, true))
    }
}

fn header(text: &str, is_secret: bool) -> HeaderValue {
    // Credentials were checked to be visible ASCII, and whatever else goes into a header is written here.
    let mut value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(is_secret);
    value
}

/// A key, or what was made of it.
type Mac = Zeroizing<[u8; 32]>;

fn hmac_sha256(key: &[u8], text: &str) -> Mac {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length (RFC 2104 2)");
    hmac.update(text.as_bytes());
    Zeroizing::new(hmac.finalize().into_bytes().into())
}

/// HMAC of HMAC of …: the key that is good for one day, region and service.
fn derived_key(secret: &[u8], parts: &[&str]) -> Zeroizing<Vec<u8>> {
    let start = Zeroizing::new(secret.to_vec());
    parts.iter().fold(start, |key, part| Zeroizing::new(hmac_sha256(&key, part).to_vec()))
}

/// The HMAC, in hexadecimal.
fn signature(key: &[u8], text: &str) -> String {
    hex(&*hmac_sha256(key, text))
}

fn hex_sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `2026-01-02T03:04:05Z`.
fn whole_seconds(now: Timestamp) -> String {
    let (year, month, day, hour, minute, second) = now.civil();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
