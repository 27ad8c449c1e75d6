//! The `sign` parameter, for scripts with openssl: HMAC-SHA256 under the device's key over method, host, path and
//! all other parameters, in query or form.
//!
//! Sorted parameters have no order, so a request in which one name stands twice with different values is not
//! read at all: somebody could swap the two.

use super::canonical::{self, hex, hmac_sha256, is_hmac_sha256, unhex};
use super::{BadProof, Message, is_nonce};
use crate::secret::Key;
use crate::timestamp::Timestamp;
use crate::update::Parameters;

/// The first line of what is signed.
const PURPOSE: &str = "NICGATE-HMAC-SHA256";

/// What a request with a `sign` parameter claims.
pub(super) struct Claim<'a> {
    pub(super) device: &'a str,
    pub(super) created: Timestamp,
    pub(super) nonce: &'a str,
    pub(super) mac: [u8; 32],
    parameters: &'a Parameters<'a>,
}

/// Reads `sign` and what belongs to it; `None` without it.
pub(super) fn read<'a>(parameters: &'a Parameters<'a>) -> Result<Option<Claim<'a>>, BadProof> {
    let Some(sign) = parameters.get("sign") else { return Ok(None) };
    if parameters.contradicts_itself() {
        return Err(BadProof::RepeatedParameter);
    }
    let mac = unhex(sign).ok_or(BadProof::MalformedSignature)?;
    let device = parameters.get("id").filter(|id| !id.is_empty()).ok_or(BadProof::MissingDevice)?;
    let created = parameters.get("ts").and_then(seconds).ok_or(BadProof::MalformedTime)?;
    let nonce = parameters.get("nonce").filter(|nonce| is_nonce(nonce)).ok_or(BadProof::MalformedNonce)?;
    Ok(Some(Claim { device, created, nonce, mac, parameters }))
}

/// Decimal digits only: the standard parser would take a sign in front.
fn seconds(text: &str) -> Option<Timestamp> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().map(Timestamp::from_seconds)
}

impl Claim<'_> {
    pub(super) fn is_signed_by(&self, key: &Key, message: &Message<'_>) -> bool {
        let text = text_to_sign(message.method, message.authority, message.path, self.parameters);
        is_hmac_sha256(key.expose(), text.as_bytes(), &self.mac)
    }
}

/// The value of `sign`, in lower-case hexadecimal. `parameters` hold `id`, `ts` and `nonce`, decoded; a `sign`
/// among them is left out. `host` is the value of the Host header.
#[must_use]
pub fn sign(key: &str, method: &str, host: &str, path: &str, parameters: &Parameters<'_>) -> String {
    let mac = hmac_sha256(key.as_bytes(), text_to_sign(method, host, path, parameters).as_bytes());
    hex(&mac).map(char::from).iter().collect()
}

/// The five lines, joined by LF.
fn text_to_sign(method: &str, host: &str, path: &str, parameters: &Parameters<'_>) -> String {
    let signed = parameters.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("sign"));
    let query = canonical::query(signed);
    let host = host.to_ascii_lowercase();
    [PURPOSE, method, &host, path, &query].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    const VECTORS: &str = include_str!("../../tests/vectors/sign-parameter.json");

    /// A vector as decoded parameters with `id`, `ts` and `nonce`, percent-encoded for the wire.
    fn wire(vector: &serde_json::Value) -> String {
        let mut pairs: Vec<(String, String)> = vector["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned()))
            .collect();
        pairs.push(("id".to_owned(), vector["id"].as_str().unwrap().to_owned()));
        pairs.push(("ts".to_owned(), vector["ts"].to_string()));
        pairs.push(("nonce".to_owned(), vector["nonce"].as_str().unwrap().to_owned()));
        canonical::query(pairs.iter().map(|(name, value)| (&**name, &**value)))
    }

    #[test]
    fn the_published_vectors_come_out_and_verify() {
        let vectors: Vec<serde_json::Value> = serde_json::from_str(VECTORS).unwrap();
        assert_eq!(vectors.len(), 6);
        for vector in &vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            let wire = wire(vector);
            let parameters = Parameters::read(Some(&wire), None);
            let (method, host, path) = (text("method"), text("host"), text("path"));
            assert_eq!(text_to_sign(method, host, path, &parameters), text("string_to_sign"));
            assert_eq!(sign(text("key"), method, host, path, &parameters), text("sign"), "{}", text("name"));

            let key = Secret::new(text("key").as_bytes().try_into().unwrap());
            let signed = format!("sign={}&{wire}", text("sign"));
            // Query or form, or a part in each: it is one set of parameters.
            let middle = wire.find('&').unwrap();
            let split = Parameters::read(Some(&wire[..middle]), Some(&wire.as_bytes()[middle..]));
            assert_eq!(sign(text("key"), method, host, path, &split), text("sign"));
            for parameters in [Parameters::read(Some(&signed), None), Parameters::read(None, Some(signed.as_bytes()))] {
                let claim = read(&parameters).unwrap().unwrap();
                assert_eq!(claim.device, text("id"));
                assert_eq!(claim.created, Timestamp::from_seconds(vector["ts"].as_u64().unwrap()));
                assert_eq!(claim.nonce, text("nonce"));
                let headers = http::HeaderMap::new();
                let message =
                    Message { method, authority: host, path, query: Some(&signed), headers: &headers, body: b"" };
                assert!(claim.is_signed_by(&key, &message));
            }
        }
    }

    const GOOD: &str = "hostname=home.test&myip=203.0.113.7&id=laptop&ts=1795348800&nonce=n0nce-0001";

    fn key() -> Key {
        Secret::new(*b"TMXYMpMRxDQBdZRC6o8NNl9Ym-raN3GbmvvOE4e56dg")
    }

    fn good_sign() -> String {
        sign(key().text(), "GET", "ddns.test", "/nic/update", &Parameters::read(Some(GOOD), None))
    }

    /// Whether a request holds with the signature made for `GOOD`.
    fn holds(method: &str, authority: &str, path: &str, query: &str) -> bool {
        let query = format!("{query}&sign={}", good_sign());
        let parameters = Parameters::read(Some(&query), None);
        let headers = http::HeaderMap::new();
        let message = Message { method, authority, path, query: Some(&query), headers: &headers, body: b"" };
        read(&parameters).unwrap().unwrap().is_signed_by(&key(), &message)
    }

    #[test]
    fn whatever_is_swapped_breaks_the_signature() {
        assert!(holds("GET", "ddns.test", "/nic/update", GOOD));
        assert!(holds("GET", "DDNS.test", "/nic/update", GOOD));
        assert!(!holds("POST", "ddns.test", "/nic/update", GOOD));
        assert!(!holds("GET", "ddns.test:8443", "/nic/update", GOOD));
        assert!(!holds("GET", "", "/nic/update", GOOD));
        assert!(!holds("GET", "ddns.test", "/nic/delete", GOOD));
        assert!(!holds("GET", "ddns.test", "//nic/update", GOOD));
        for (from, to) in [
            ("home.test", "nas.test"),
            ("203.0.113.7", "203.0.113.8"),
            ("laptop", "desktop"),
            ("800", "801"),
            ("0001", "0002"),
            ("&myip=203.0.113.7", ""),
            ("&myip", "&myipv6=&myip"),
        ] {
            assert!(GOOD.contains(from));
            assert!(!holds("GET", "ddns.test", "/nic/update", &GOOD.replace(from, to)), "{from} to {to}");
        }
    }

    #[test]
    fn order_and_spelling_of_parameters_do_not_matter() {
        let other = "ts=1795348800&nonce=n0nce%2d0001&id=laptop&myip=203.0.113.7&hostname=home%2Etest";
        assert!(holds("GET", "ddns.test", "/nic/update", other));
    }

    #[test]
    fn what_belongs_to_a_signature_must_be_there_and_well_formed() {
        let sign = "0".repeat(64);
        let nonce = "n".repeat(65);
        for (query, why) in [
            (format!("id=a&ts=1&nonce=12345678&sign={}", &sign[1..]), BadProof::MalformedSignature),
            (format!("id=a&ts=1&nonce=12345678&sign={}A", &sign[1..]), BadProof::MalformedSignature),
            ("id=a&ts=1&nonce=12345678&sign=".to_owned(), BadProof::MalformedSignature),
            (format!("ts=1&nonce=12345678&sign={sign}"), BadProof::MissingDevice),
            (format!("id=&ts=1&nonce=12345678&sign={sign}"), BadProof::MissingDevice),
            (format!("id=a&nonce=12345678&sign={sign}"), BadProof::MalformedTime),
            (format!("id=a&ts=&nonce=12345678&sign={sign}"), BadProof::MalformedTime),
            (format!("id=a&ts=%2B1&nonce=12345678&sign={sign}"), BadProof::MalformedTime),
            (format!("id=a&ts=-1&nonce=12345678&sign={sign}"), BadProof::MalformedTime),
            (format!("id=a&ts=1.0&nonce=12345678&sign={sign}"), BadProof::MalformedTime),
            (format!("id=a&ts=99999999999999999999&nonce=12345678&sign={sign}"), BadProof::MalformedTime),
            (format!("id=a&ts=1&sign={sign}"), BadProof::MalformedNonce),
            (format!("id=a&ts=1&nonce=1234567&sign={sign}"), BadProof::MalformedNonce),
            (format!("id=a&ts=1&nonce={nonce}&sign={sign}"), BadProof::MalformedNonce),
            (format!("id=a&ts=1&nonce=1234567.&sign={sign}"), BadProof::MalformedNonce),
            (format!("id=a&ts=1&nonce=12345678&myip=1&MYIP=2&sign={sign}"), BadProof::RepeatedParameter),
        ] {
            let parameters = Parameters::read(Some(&query), None);
            assert_eq!(read(&parameters).err(), Some(why), "{query}");
        }
        assert!(read(&Parameters::read(Some(GOOD), None)).unwrap().is_none());
    }
}
