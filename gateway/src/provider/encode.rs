//! How texts are written into calls: URLs, query strings, headers that hold a secret, JSON bodies.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use nicgate_protocol::Hostname;
use serde_json::Value;

use super::{BadSetting, HttpCall, ProviderSettings};

impl HttpCall {
    /// A call that asks for JSON.
    pub(crate) fn new(method: Method, url: String) -> Self {
        let headers = vec![(ACCEPT, HeaderValue::from_static("application/json"))];
        Self { method, url, headers, body: Bytes::new() }
    }

    /// A call that takes whatever the answer is written in.
    pub(crate) fn plain(method: Method, url: String) -> Self {
        Self { method, url, headers: Vec::new(), body: Bytes::new() }
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same with a JSON body.
    pub(crate) fn with_json(self, body: &Value) -> Self {
        self.with_body("application/json", body.to_string())
    }

    /// The same with a body of any type.
    pub(crate) fn with_body(mut self, content_type: &'static str, body: String) -> Self {
        self.headers.push((CONTENT_TYPE, HeaderValue::from_static(content_type)));
        self.body = Bytes::from(body);
        self
    }
}

/// A header value that holds a secret.
///
/// # Errors
/// When it holds what no header may.
pub(crate) fn secret_header(key: &'static str, text: &str) -> Result<HeaderValue, BadSetting> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| BadSetting { key, why: "it holds letters, digits and signs, and no blanks".to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}

/// `Basic`, in UTF-8 (RFC 7617). The user holds no colon.
pub(crate) fn basic_header(username: &str, password: &str) -> HeaderValue {
    let text = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
    let mut value = HeaderValue::from_str(&text).expect("base64 has no letter that a header may not hold");
    value.set_sensitive(true);
    value
}

/// The value of an Authorization header with a token (RFC 6750 2.1), which is the setting `key`.
///
/// # Errors
/// When it is missing, or no token.
pub(crate) fn bearer(settings: &ProviderSettings, key: &'static str) -> Result<HeaderValue, BadSetting> {
    secret_header(key, &format!("Bearer {}", settings.credential(key)?))
}

/// Everything but the unreserved characters of RFC 3986 2.3 as `%XX`.
pub(crate) fn percent_encoded(text: &str) -> String {
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

/// A name as one part of a path. `@` and `*` stay as they are, as vendors write them (RFC 3986 3.3 allows both): not
/// every server decodes what it compares.
pub(crate) fn segment(name: &str) -> String {
    percent_encoded(name).replace("%40", "@").replace("%2A", "*")
}

/// The reverse of [`percent_encoded`]; `None` when it is none.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push((digit()? * 16 + digit()?) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// `a=1&b=2`, in the order given, names and values percent-encoded.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", percent_encoded(name), percent_encoded(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// A name as it stands within its zone: `nas` for `nas.home.test`; `apex` for the zone itself.
pub(crate) fn relative<'a>(hostname: &'a Hostname, zone: &Hostname, apex: &'a str) -> &'a str {
    let within = hostname.as_str().strip_suffix(zone.as_str()).and_then(|rest| rest.strip_suffix('.'));
    if hostname == zone { apex } else { within.unwrap_or(hostname.as_str()) }
}

/// The whole name of what an API calls `name` within `zone`; `@` and nothing mean the zone itself. A name that ends
/// with a dot is whole already.
pub(crate) fn absolute(name: &str, zone: &Hostname) -> String {
    match name.strip_suffix('.') {
        Some(whole) => whole.to_owned(),
        None if name.is_empty() || name == "@" => zone.as_str().to_owned(),
        None => format!("{name}.{zone}"),
    }
}

/// A number or a text of an answer, as text: APIs write ids and TTLs either way.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A whole number of an answer, however it is written.
pub(crate) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// The same for a TTL, in seconds.
pub(crate) fn seconds(value: &Value) -> Option<u32> {
    number(value).and_then(|seconds| u32::try_from(seconds).ok())
}

/// Whether a text may stand in a path as an id.
pub(crate) fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain)
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
    fn what_is_encoded_comes_back() {
        for text in ["", "plain-._~", "a b/c?d=e&f", "*.home.test", "schön"] {
            assert_eq!(percent_decoded(&percent_encoded(text)).as_deref(), Some(text));
        }
        assert_eq!(percent_encoded("*+ä"), "%2A%2B%C3%A4");
        assert_eq!((&*segment("@"), &*segment("*.lan"), &*segment("a/b@")), ("@", "*.lan", "a%2Fb@"));
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decoded(broken), None, "{broken}");
        }
        assert_eq!(query(&[("name", "*.a"), ("x", "")]), "name=%2A.a&x=");
    }

    #[test]
    fn names_go_into_their_zone_and_back() {
        let zone = Hostname::parse("home.test").unwrap();
        for (whole, within) in [("nas.home.test", "nas"), ("home.test", "@"), ("*.lan.home.test", "*.lan")] {
            let hostname = Hostname::parse(whole).unwrap();
            assert_eq!(relative(&hostname, &zone, "@"), within);
            assert_eq!(absolute(within, &zone), whole);
        }
        assert_eq!(absolute("", &zone), "home.test");
        assert_eq!(absolute("nas.home.test.", &zone), "nas.home.test");
    }

    #[test]
    fn scalars_are_text_and_ids_are_plain() {
        assert_eq!(scalar(&7.into()).as_deref(), Some("7"));
        assert_eq!(scalar(&"7".into()).as_deref(), Some("7"));
        assert_eq!((scalar(&Value::Null), scalar(&true.into())), (None, None));
        assert_eq!((number(&7.into()), number(&"7".into()), number(&"-7".into())), (Some(7), Some(7), None));
        assert_eq!((seconds(&"600".into()), seconds(&u64::MAX.into()), seconds(&Value::Null)), (Some(600), None, None));
        assert!(is_id("rec_0a-9") && !is_id("") && !is_id("..") && !is_id("a/b") && !is_id(&"a".repeat(65)));
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
}
