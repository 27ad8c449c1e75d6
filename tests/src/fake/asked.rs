//! What a fake is asked: one request, taken apart, and a place to note what a strict vendor would not have liked.

use std::cell::RefCell;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::Said;

/// One request.
#[derive(Debug)]
pub struct Asked {
    method: String,
    raw_path: String,
    raw_query: String,
    path: Vec<String>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
    mistakes: RefCell<Vec<String>>,
}

impl Asked {
    /// Takes a request apart; `base` is the part of the path that the endpoint holds. `None` when the request goes
    /// elsewhere.
    pub(super) fn new(head: &Parts, body: Bytes, base: &str) -> Option<Self> {
        let below = head.uri.path().strip_prefix(base)?;
        if !(below.is_empty() || below.starts_with('/')) {
            return None;
        }
        let raw_query = head.uri.query().unwrap_or_default().to_owned();
        Some(Self {
            method: head.method.to_string(),
            raw_path: head.uri.path().to_owned(),
            path: below.trim_start_matches('/').split('/').map(|part| decoded(part, false)).collect(),
            query: pairs(&raw_query),
            raw_query,
            headers: head.headers.clone(),
            body,
            mistakes: RefCell::default(),
        })
    }

    /// The method, in capitals.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The parts of the path below the endpoint's, decoded. `/` alone is one empty part.
    #[must_use]
    pub fn path(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The whole path, as sent.
    #[must_use]
    pub fn raw_path(&self) -> &str {
        &self.raw_path
    }

    /// The query, as sent and without its `?`.
    #[must_use]
    pub fn raw_query(&self) -> &str {
        &self.raw_query
    }

    /// The pairs of the query, decoded, in their order.
    #[must_use]
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// A parameter of the query, decoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header as text. One that is sent twice, or is no text, is a mistake.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() {
            self.mistake(format!("{name} is sent twice"));
        }
        let text = value.to_str().ok();
        if text.is_none() {
            self.mistake(format!("{name} is no text"));
        }
        text
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The host that was asked, as sent: signatures cover it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.header("host").unwrap_or_default()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as JSON; another content type is a mistake, and so is a body that is no JSON.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        self.expect_type("application/json");
        let value = serde_json::from_slice(&self.body).ok();
        if value.is_none() {
            self.mistake("the body is no JSON");
        }
        value
    }

    /// The body as pairs of a form; another content type is a mistake.
    #[must_use]
    pub fn form(&self) -> Vec<(String, String)> {
        self.expect_type("application/x-www-form-urlencoded");
        let text = std::str::from_utf8(&self.body);
        if text.is_err() {
            self.mistake("the body is no form");
        }
        pairs(text.unwrap_or_default())
    }

    /// The body as text of another type, which must be announced.
    #[must_use]
    pub fn text(&self, content_type: &str) -> &str {
        self.expect_type(content_type);
        std::str::from_utf8(&self.body).unwrap_or_else(|_| {
            self.mistake("the body is no UTF-8");
            ""
        })
    }

    /// What follows a word in `Authorization`: `credential("Bearer")`, `credential("Token")`, `credential("sso-key")`.
    #[must_use]
    pub fn credential(&self, scheme: &str) -> Option<&str> {
        self.header("authorization")?.strip_prefix(scheme)?.strip_prefix(' ')
    }

    /// User and password of Basic.
    #[must_use]
    pub fn basic(&self) -> Option<(String, String)> {
        let text = String::from_utf8(STANDARD.decode(self.credential("Basic")?).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// Every parameter besides these is a mistake, and so is one that stands there twice.
    pub fn only_parameters(&self, known: &[&str]) {
        for (at, (name, _)) in self.query.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                self.mistake(format!("unknown parameter {name}"));
            }
            if self.query[..at].iter().any(|(earlier, _)| earlier == name) {
                self.mistake(format!("parameter {name} stands there twice"));
            }
        }
    }

    /// Every member besides these is a mistake, and so is a value that is no object.
    pub fn only_members(&self, value: &Value, known: &[&str]) {
        match value.as_object() {
            Some(members) => {
                for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
                    self.mistake(format!("unknown member {name}"));
                }
            }
            None => self.mistake(format!("{value} is no object")),
        }
    }

    /// A body where the API wants none is a mistake.
    pub fn no_body(&self) {
        if !self.body.is_empty() {
            self.mistake("a body where none belongs");
        }
    }

    /// Notes what a strict vendor would not have liked. A test fails on any.
    pub fn mistake(&self, what: impl Into<String>) {
        self.mistakes.borrow_mut().push(what.into());
    }

    /// For a call that the API does not have: notes it and answers what the vendor answers.
    #[must_use]
    pub fn unknown_call(&self, said: Said) -> Said {
        self.mistake("no such call");
        said
    }

    /// As it was sent, for somebody else's opinion: `method`, `url`, `headers`, `body`.
    #[must_use]
    pub fn as_sent(&self) -> Value {
        let query = if self.raw_query.is_empty() { String::new() } else { format!("?{}", self.raw_query) };
        let headers = self.headers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), Value::from(String::from_utf8_lossy(value.as_bytes()).into_owned()))
        });
        json!({
            "method": self.method,
            "url": format!("http://{}{}{query}", self.host(), self.raw_path),
            "headers": Value::Object(headers.collect()),
            "body": String::from_utf8_lossy(&self.body),
        })
    }

    /// What was noted.
    pub(super) fn mistakes(&self) -> Vec<String> {
        self.mistakes.borrow().iter().map(|what| format!("{self}: {what}")).collect()
    }

    fn expect_type(&self, wanted: &str) {
        let sent = self.header("content-type").unwrap_or("none");
        let (media, parameter) = sent.split_once(';').unwrap_or((sent, "charset=utf-8"));
        let is_utf8 = parameter.trim().eq_ignore_ascii_case("charset=utf-8");
        if !(sent == wanted || media.trim() == wanted && is_utf8) {
            self.mistake(format!("content type {sent} where {wanted} belongs"));
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.raw_path)
    }
}

/// The pairs of a query or form, decoded.
#[must_use]
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name, true), decoded(value, true))
        })
        .collect()
}

/// Percent-encoding undone; what is none stays. Forms write a blank as `+`.
fn decoded(text: &str, is_form: bool) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(if is_form && *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn asked(target: &str, headers: &[(&str, &str)], body: &'static str) -> Asked {
        let mut request = Request::builder().method("POST").uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Asked::new(&request.body(()).unwrap().into_parts().0, Bytes::from(body), "/v1").unwrap()
    }

    #[test]
    fn a_request_is_taken_apart_below_the_endpoint() {
        let asked = asked("/v1/zones/a%2Fb/?name=%2A.lan&x=1+2&y=%2B", &[], "");
        assert_eq!(asked.path(), ["zones", "a/b", ""]);
        assert_eq!((asked.parameter("name"), asked.parameter("x")), (Some("*.lan"), Some("1 2")));
        assert_eq!((asked.parameter("y"), asked.parameter("z")), (Some("+"), None));
        let parts = Request::builder().uri("/v11/zones").body(()).unwrap().into_parts().0;
        assert!(Asked::new(&parts, Bytes::new(), "/v1").is_none());
    }

    #[test]
    fn what_a_strict_vendor_would_not_take_is_noted() {
        let json = [("content-type", "application/json; charset=utf-8")];
        for (sent, mistakes) in [
            (asked("/v1/a?b=1&b=2&c=3", &json, r#"{"d": 1, "e": 2}"#), 4),
            (asked("/v1/a?b=1", &json, r#"{"d": 1}"#), 0),
            (asked("/v1/a?b=1", &json, "half"), 1),
            (asked("/v1/a?b=1", &[("content-type", "application/jsonp")], r#"{"d": 1}"#), 1),
            (asked("/v1/a?b=1", &[json[0], json[0]], r#"{"d": 1}"#), 1),
            (asked("/v1/a?b=1", &[], r#"{"d": 1}"#), 1),
        ] {
            sent.only_parameters(&["b"]);
            if let Some(body) = sent.json() {
                sent.only_members(&body, &["d"]);
            }
            // `c`, `e`, and `b` twice make three; the fourth is ours.
            if mistakes == 4 {
                let _ = sent.unknown_call(Said::empty(404));
            }
            assert_eq!(sent.mistakes().len(), mistakes, "{:?}", sent.mistakes());
        }
    }

    #[test]
    fn credentials_are_read_as_they_are_written() {
        let bearer = asked("/v1/a", &[("authorization", "Bearer abc")], "");
        assert_eq!((bearer.credential("Bearer"), bearer.credential("bearer")), (Some("abc"), None));
        let basic = asked("/v1/a", &[("authorization", "Basic bWU6YTpi")], "");
        assert_eq!(basic.basic(), Some(("me".to_owned(), "a:b".to_owned())));
    }
}
