//! The canonical request that AWS invented and others took over, made of what came over the wire: the caller says which
//! headers are signed, and we look each of them up.

use std::fmt::Write as _;

use super::{Asked, sha256_hex};

/// Method, path, sorted query, the named headers, their names, the hash of the body. `path` as the scheme wants it;
/// `None` when a header is named that was not sent.
#[must_use]
pub(super) fn canonical_request(asked: &Asked, path: &str, names: &str) -> Option<String> {
    let mut text = format!("{}\n{path}\n{}\n", asked.method(), canonical_query(asked));
    for name in names.split(';') {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{name}:{}", asked.header(name)?.trim());
    }
    let _ = write!(text, "\n{names}\n{}", sha256_hex(asked.body()));
    Some(text)
}

/// The pairs of the query, sorted, everything but unreserved letters as `%XX`.
#[must_use]
pub(super) fn canonical_query(asked: &Asked) -> String {
    let mut pairs: Vec<String> =
        asked.query().iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.sort();
    pairs.join("&")
}

/// RFC 3986 2.1.
#[must_use]
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => {
                // Writing into a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    })
}

/// `Scheme Key1=…, Key2=…` of an `Authorization`, whether or not a blank follows the comma.
#[must_use]
pub(super) fn parts<'a>(asked: &'a Asked, scheme: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let pairs = asked.credential(scheme)?.split(',');
    pairs.map(|pair| pair.trim().split_once('=')).collect()
}

/// The value of one of [`parts`].
#[must_use]
pub(super) fn part<'a>(parts: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    parts.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
}

/// Whether all of these are among the names that are signed.
#[must_use]
pub(super) fn are_signed(names: &str, wanted: &[&str]) -> bool {
    wanted.iter().all(|wanted| names.split(';').any(|name| name == *wanted))
}

/// A request for the unit tests of fakes.
#[cfg(test)]
pub(super) fn asked(method: &str, target: &str, headers: &[(&str, &str)], body: &'static str) -> Asked {
    let mut request = hyper::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Asked::new(&request.body(()).unwrap().into_parts().0, bytes::Bytes::from(body), "").unwrap()
}
