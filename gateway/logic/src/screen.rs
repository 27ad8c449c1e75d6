//! The screen: is this shaped like an update? A positive model: what does not fit is refused with a reason,
//! before anybody spends a thought on who sent it.
//!
//! What hyper's parser lets pass and HTTP forbids ends here too (RFC 9112 3.2, 6.1, 6.3): two programs must
//! never read one message in two ways. Reading what the parameters mean is `protocol::update`.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, TRANSFER_ENCODING};
use http::{Method, Uri, Version};
use nicgate_protocol::signature::Message;
use nicgate_protocol::update::{Endpoint, Parameters};

use crate::refusal::Refusal;

/// One request as it came off the wire: owned and bounded, believed in nothing.
#[derive(Debug)]
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// The target as sent, in origin or absolute form.
    pub target: Uri,
    /// 1.0 or 1.1.
    pub version: Version,
    /// All header fields.
    pub headers: HeaderMap,
    /// The whole body, at most 8 KiB.
    pub body: Bytes,
    /// Who speaks: the other end of the socket, or whom a trusted proxy names. IPv4-mapped addresses are unwrapped.
    pub peer: IpAddr,
    /// Whether it came over TLS, here or at a trusted proxy.
    pub secure: bool,
    /// Who stands between the peer and us.
    pub via: Via,
}

/// Who stands between a peer and us: how far its address tells one peer from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Nobody that we know of. What forwards bytes and says nothing (`ssh -R`) looks the same.
    Nobody,
    /// A trusted proxy that names the peer.
    Proxy,
    /// Somebody who names nobody, or whose word does not count: many may share the address.
    Forwarder,
}

impl RawRequest {
    /// A header field as text; `None` when it is absent or not plain ASCII.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The request as a signature sees it.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        Message {
            method: self.method.as_str(),
            // In absolute form the target names the authority and Host does not count (RFC 9112 3.2.2).
            authority: self.target.authority().map_or_else(|| self.header(&HOST).unwrap_or(""), |name| name.as_str()),
            path: self.target.path(),
            query: self.target.query(),
            headers: &self.headers,
            body: &self.body,
        }
    }
}

/// A request that is shaped like an update. Made by [`screen`] alone.
pub struct Screened<'a> {
    pub(crate) raw: &'a RawRequest,
    pub(crate) endpoint: Endpoint,
    pub(crate) parameters: Parameters<'a>,
}

/// Passes an update on, or says why it is none.
///
/// # Errors
/// [`Refusal::NoSuchPath`], [`Refusal::BadMethod`] or [`Refusal::BadHttp`].
pub fn screen(raw: &RawRequest) -> Result<Screened<'_>, Refusal> {
    check_http(raw)?;
    let endpoint = match Endpoint::of_path(raw.target.path()) {
        Some(endpoint @ (Endpoint::Update | Endpoint::Delete)) => endpoint,
        Some(Endpoint::CheckIp | Endpoint::MyIp) | None => return Err(Refusal::NoSuchPath),
    };
    if raw.method != Method::GET && raw.method != Method::POST {
        return Err(Refusal::BadMethod);
    }
    // A posted body is a form whatever its Content-Type says: nothing obliges a signer to cover that header, and
    // altering it must not make signed parameters vanish.
    let form = (raw.method == Method::POST).then_some(&*raw.body);
    Ok(Screened { raw, endpoint, parameters: Parameters::read(raw.target.query(), form) })
}

/// What HTTP demands of every message, whatever it asks for.
///
/// # Errors
/// [`Refusal::BadHttp`].
pub fn check_http(raw: &RawRequest) -> Result<(), Refusal> {
    let single = |name: &HeaderName| -> Result<Option<&[u8]>, Refusal> {
        let mut values = raw.headers.get_all(name).iter();
        let first = values.next().map(http::HeaderValue::as_bytes);
        if values.next().is_some() { Err(Refusal::BadHttp) } else { Ok(first) }
    };
    match single(&HOST)? {
        Some(host) if !is_host(host) => return Err(Refusal::BadHttp),
        None if raw.version == Version::HTTP_11 => return Err(Refusal::BadHttp),
        Some(_) | None => {}
    }
    let length = single(&CONTENT_LENGTH)?;
    if let Some(coding) = single(&TRANSFER_ENCODING)?
        && (length.is_some() || raw.version != Version::HTTP_11 || !coding.eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Refusal::BadHttp);
    }
    Ok(())
}

/// `uri-host [ ":" port ]` (RFC 9110 7.2), in the characters that such a thing can hold. Empty is allowed: it
/// is what a client sends that knows no name (RFC 9112 3.2).
fn is_host(value: &[u8]) -> bool {
    let (name, port) = match value.iter().rposition(|byte| *byte == b':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some(colon) if !value[colon..].contains(&b']') => (&value[..colon], &value[colon + 1..]),
        Some(_) | None => (value, &value[..0]),
    };
    let is_name = match name {
        [b'[', inner @ .., b']'] => inner.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')),
        plain => plain.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~')),
    };
    is_name && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request from header lines; for the tests of every stage.
    pub(crate) fn raw(method: &str, target: &str, headers: &[(&str, &str)]) -> RawRequest {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        RawRequest {
            method: method.parse().unwrap(),
            target: target.parse().unwrap(),
            version: Version::HTTP_11,
            headers: map,
            body: Bytes::new(),
            peer: IpAddr::from([198, 51, 100, 7]),
            secure: true,
            via: Via::Nobody,
        }
    }

    #[test]
    fn an_update_passes_in_any_of_its_spellings() {
        for target in [
            "/nic/update?hostname=a.b",
            "//nic/update",
            "/\\/nic/update",
            "/%5C/nic/update",
            "http://h/nic/update",
            "/v3/update",
            "/nic/delete",
        ] {
            assert!(screen(&raw("GET", target, &[("host", "ddns.example.com:8443")])).is_ok(), "{target}");
        }
    }

    #[test]
    fn what_is_no_update_hears_why() {
        let host = [("host", "a.example")];
        assert_eq!(screen(&raw("GET", "/wp-login.php", &host)).err(), Some(Refusal::NoSuchPath));
        assert_eq!(screen(&raw("PUT", "/nic/update", &host)).err(), Some(Refusal::BadMethod));
        assert_eq!(screen(&raw("GET", "/myip", &host)).err(), Some(Refusal::NoSuchPath));
    }

    #[test]
    fn messages_that_two_readers_could_read_in_two_ways_are_refused() {
        for headers in [
            &[][..],
            &[("host", "a.example"), ("host", "a.example")],
            &[("host", "a.example/x")],
            &[("host", "user@a.example")],
            &[("host", "a.example:port")],
            &[("host", "a b")],
            &[("host", "a.example"), ("transfer-encoding", "chunked"), ("content-length", "3")],
            &[("host", "a.example"), ("transfer-encoding", "chunked, chunked")],
            &[("host", "a.example"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("host", "a.example"), ("transfer-encoding", "gzip")],
            &[("host", "a.example"), ("content-length", "3"), ("content-length", "3")],
        ] {
            assert_eq!(screen(&raw("GET", "/nic/update", headers)).err(), Some(Refusal::BadHttp), "{headers:?}");
        }
    }

    #[test]
    fn http_1_0_needs_no_host_and_knows_no_chunks() {
        let mut request = raw("GET", "/nic/update", &[]);
        request.version = Version::HTTP_10;
        assert!(screen(&request).is_ok());
        request.headers.insert(TRANSFER_ENCODING, "chunked".parse().unwrap());
        assert_eq!(screen(&request).err(), Some(Refusal::BadHttp));
    }

    #[test]
    fn hosts_are_names_or_addresses_with_a_port() {
        for good in ["a.example", "a.example:8443", "192.0.2.1:80", "[2001:db8::1]:8443", "[::1]", "localhost", ""] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in ["a.example:123456", "[::1", "::1]:1", "a,b", "a.example:8o", "[g]"] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn only_a_posted_body_gives_parameters() {
        let mut request = raw("POST", "/nic/update?a=1", &[("host", "h"), ("content-type", "text/plain")]);
        request.body = Bytes::from_static(b"b=2");
        assert_eq!(screen(&request).unwrap().parameters.get("b"), Some("2"));
        request.method = Method::GET;
        assert_eq!(screen(&request).unwrap().parameters.get("b"), None);
    }
}
