//! AWS Signature Version 4 in the `Authorization` header, as stock curl and every cloud SDK make it: service
//! `ddns`, any region, the device's id and key for access key and secret.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//!
//! Stricter than AWS where leniency would leave room: the body is always signed (`UNSIGNED-PAYLOAD` and streams
//! are refused), a signed header stands once, the path is plain (AWS encodes paths twice for some services and
//! once for others; a plain path reads the same), no parameter contradicts itself. The presigned form, with the
//! signature in the query, is not taken.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::canonical::{self, hex, hmac_sha256, is_hmac_sha256, is_unreserved, sha256, unhex};
use super::{BadProof, Message, single};
use crate::secret::Key;
use crate::timestamp::Timestamp;
use crate::update::{MOST_PARAMETERS, Parameters};

/// The scheme's name in the header, and the first line of what is signed.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The only service these signatures may be for.
const SERVICE: &str = "ddns";
/// The end of every credential scope.
const TERMINATOR: &str = "aws4_request";

/// What an `AWS4-HMAC-SHA256` header claims.
pub(super) struct Claim<'a> {
    pub(super) device: &'a str,
    pub(super) created: Timestamp,
    pub(super) mac: [u8; 32],
    /// `x-amz-date` as sent.
    time: &'a str,
    /// Date, region, service and terminator, joined by slashes.
    scope: &'a str,
    region: &'a str,
    service: &'a str,
    /// Names of header fields in lower case, ascending, joined by semicolons.
    signed_headers: &'a str,
}

/// Reads what follows the scheme's name in the header.
pub(super) fn read<'a>(
    fields: &'a str,
    message: &Message<'a>,
    parameters: &Parameters<'_>,
) -> Result<Claim<'a>, BadProof> {
    let claim = read_any_service(fields, message)?;
    if claim.service != SERVICE {
        return Err(BadProof::WrongScope);
    }
    if parameters.contradicts_itself() {
        return Err(BadProof::RepeatedParameter);
    }
    Ok(claim)
}

fn read_any_service<'a>(fields: &'a str, message: &Message<'a>) -> Result<Claim<'a>, BadProof> {
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for field in fields.split(',') {
        let (name, value) = field.trim().split_once('=').ok_or(BadProof::MalformedAuthorization)?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => return Err(BadProof::MalformedAuthorization),
        };
        if slot.replace(value).is_some() {
            return Err(BadProof::MalformedAuthorization);
        }
    }
    let (Some(credential), Some(signed_headers), Some(signature)) = (credential, signed_headers, signature) else {
        return Err(BadProof::MalformedAuthorization);
    };
    let mac = unhex(signature).ok_or(BadProof::MalformedSignature)?;

    let (device, scope) = credential.split_once('/').ok_or(BadProof::MalformedAuthorization)?;
    if device.is_empty() {
        return Err(BadProof::MissingDevice);
    }
    let mut parts = scope.split('/');
    let (Some(date), Some(region), Some(service), Some(TERMINATOR), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(BadProof::WrongScope);
    };

    let time = single(message.headers, "x-amz-date").ok_or(BadProof::MalformedTime)?;
    let created = Timestamp::from_basic(time).ok_or(BadProof::MalformedTime)?;
    if time.get(..8) != Some(date) {
        return Err(BadProof::WrongScope);
    }

    let names = || signed_headers.split(';');
    let is_ascending = names().zip(names().skip(1)).all(|(name, next)| name < next);
    let is_covered = |wanted: &str| names().any(|name| name == wanted);
    if !is_ascending || !is_covered("host") || !is_covered("x-amz-date") {
        return Err(BadProof::UncoveredPart);
    }
    if !message.path.bytes().all(|byte| is_unreserved(byte) || byte == b'/') {
        return Err(BadProof::UnclearPath);
    }
    Ok(Claim { device, created, mac, time, scope, region, service, signed_headers })
}

impl Claim<'_> {
    pub(super) fn is_signed_by(&self, key: &Key, message: &Message<'_>) -> bool {
        self.holds(key.expose(), message)
    }

    fn holds(&self, secret: &[u8], message: &Message<'_>) -> bool {
        let body_hash = hex(&sha256(message.body));
        // A signer that says which hash it signed must have meant this body.
        if message.headers.get_all("x-amz-content-sha256").iter().any(|said| said.as_bytes() != body_hash) {
            return false;
        }
        let signing_key = self.signing_key(secret);
        let is_right = |query: &str| {
            let Some(request) = self.hash_request(message, query, &body_hash) else { return false };
            is_hmac_sha256(&*signing_key, &self.text_to_sign(&request), &self.mac)
        };
        // curl before 8 signs the query as it sends it; SDKs sort it and some leave it unencoded; AWS, and curl
        // since, sort and encode it. All of them mean the same parameters, and none stands twice.
        let as_sent = message.query.unwrap_or_default();
        if is_right(as_sent) {
            return true;
        }
        if as_sent.is_empty() {
            return false;
        }
        let canonical = canonical::query(Parameters::read(message.query, None).iter());
        if canonical != as_sent && is_right(&canonical) {
            return true;
        }
        // Of more than are looked at, the order decides which ones count: never sorted as a whole.
        if as_sent.split('&').count() > MOST_PARAMETERS {
            return false;
        }
        let sorted = canonical::query_as_sent(as_sent);
        sorted != as_sent && sorted != canonical && is_right(&sorted)
    }

    fn signing_key(&self, secret: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut start = Zeroizing::new(Vec::with_capacity(4 + secret.len()));
        start.extend_from_slice(b"AWS4");
        start.extend_from_slice(secret);
        let date = self.time.get(..8).unwrap_or_default();
        let mut key = Zeroizing::new(hmac_sha256(&start, date.as_bytes()));
        for step in [self.region, self.service, TERMINATOR] {
            *key = hmac_sha256(&*key, step.as_bytes());
        }
        key
    }

    fn text_to_sign(&self, request: &[u8; 32]) -> Vec<u8> {
        let mut text = Vec::with_capacity(160);
        for line in [ALGORITHM, self.time, self.scope] {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        text.extend_from_slice(&hex(request));
        text
    }

    /// The hash of the canonical request. `None` when a signed header field is missing or stands twice.
    fn hash_request(&self, message: &Message<'_>, query: &str, body_hash: &[u8; 64]) -> Option<[u8; 32]> {
        let path = if message.path.is_empty() { "/" } else { message.path };
        let mut hash = Sha256::new();
        for line in [message.method, path, query] {
            hash.update(line);
            hash.update(b"\n");
        }
        for name in self.signed_headers.split(';') {
            hash.update(name);
            hash.update(b":");
            if name == "host" {
                hash.update(message.authority.trim());
            } else {
                let mut values = message.headers.get_all(name).iter();
                let (Some(value), None) = (values.next(), values.next()) else { return None };
                let words = value.as_bytes().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
                for (index, word) in words.enumerate() {
                    if index > 0 {
                        hash.update(b" ");
                    }
                    hash.update(word);
                }
            }
            hash.update(b"\n");
        }
        hash.update(b"\n");
        hash.update(self.signed_headers);
        hash.update(b"\n");
        hash.update(body_hash);
        Some(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorded::Recorded;
    use super::*;

    const SUITE: &str = include_str!("../../tests/vectors/aws-sigv4-suite.json");
    const REQUESTS: &str = include_str!("../../tests/vectors/requests.json");
    const SUITE_SECRET: &[u8] = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn fields(request: &Recorded) -> &str {
        request.headers["authorization"].to_str().unwrap().strip_prefix("AWS4-HMAC-SHA256 ").unwrap()
    }

    #[test]
    fn the_suite_of_aws_holds_but_for_what_we_refuse_on_purpose() {
        let suite = Recorded::all(SUITE);
        assert_eq!(suite.len(), 19);
        for request in suite {
            let message = request.message();
            let result = read_any_service(fields(&request), &message).map(|claim| claim.holds(SUITE_SECRET, &message));
            let expected = match request.name.trim_start_matches(": ") {
                // A signed header field stands three times.
                "get-header-key-duplicate" => Ok(false),
                // AWS takes `..` and doubled slashes away; the path that was sent is another one.
                "normalize-path/get-relative" | "normalize-path/get-slash" => Ok(false),
                "get-utf8" => Err(BadProof::UnclearPath),
                _ => Ok(true),
            };
            assert_eq!(result, expected, "{}", request.name);
            if result == Ok(true) {
                let claim = read_any_service(fields(&request), &message).unwrap();
                assert_eq!(claim.device, "AKIDEXAMPLE");
                assert_eq!(claim.created.basic(), "20150830T123600Z");
                assert!(!claim.holds(&SUITE_SECRET[1..], &message));
                // Not for us: another service.
                let refused = read(fields(&request), &message, &request.parameters()).err();
                assert_eq!(refused, Some(BadProof::WrongScope));
            }
        }
    }

    /// A request of curl's: `GET /nic/update?myip=203.0.113.7&hostname=a.home.test`.
    fn curl() -> Recorded {
        Recorded::all(REQUESTS).swap_remove(1)
    }

    #[test]
    fn what_the_header_says_is_read_strictly() {
        assert_eq!(curl().holds(), Ok(true));
        for (from, to, why) in [
            ("SignedHeaders=host;x-amz-date, ", "", BadProof::MalformedAuthorization),
            ("Signature=", "Sig=", BadProof::MalformedAuthorization),
            ("SignedHeaders", "Credential=a/b, SignedHeaders", BadProof::MalformedAuthorization),
            ("SignedHeaders", "X=, SignedHeaders", BadProof::MalformedAuthorization),
            ("Signature=", "Signature=A", BadProof::MalformedSignature),
            ("fritzbox/", "/", BadProof::MissingDevice),
            ("/ddns/", "/s3/", BadProof::WrongScope),
            ("/aws4_request", "", BadProof::WrongScope),
            ("/aws4_request", "/aws4_request/", BadProof::WrongScope),
            ("/2026", "/2025", BadProof::WrongScope),
            ("host;", "", BadProof::UncoveredPart),
            (";x-amz-date", "", BadProof::UncoveredPart),
            ("host;x-amz-date", "x-amz-date;host", BadProof::UncoveredPart),
            ("host;", "host;host;", BadProof::UncoveredPart),
        ] {
            let mut request = curl();
            request.replace("authorization", from, to);
            assert_eq!(request.holds(), Err(why), "{from} to {to}");
        }
        let mut request = curl();
        request.replace("authorization", "/auto/", "/eu-central-1/");
        assert_eq!(request.holds(), Ok(false));
    }

    #[test]
    fn the_time_must_stand_once_and_be_the_signed_one() {
        let mut request = curl();
        request.replace("x-amz-date", "Z", "");
        assert_eq!(request.holds(), Err(BadProof::MalformedTime));
        let mut request = curl();
        request.headers.remove("x-amz-date");
        assert_eq!(request.holds(), Err(BadProof::MalformedTime));
        let mut request = curl();
        request.add("x-amz-date", "20260102T030405Z");
        assert_eq!(request.holds(), Err(BadProof::MalformedTime));
        let mut request = curl();
        let time = request.headers["x-amz-date"].to_str().unwrap().to_owned();
        let other = if time.ends_with("00Z") { "01Z" } else { "00Z" };
        request.replace("x-amz-date", &time[13..], other);
        assert_eq!(request.holds(), Ok(false));
    }

    #[test]
    fn parameters_in_another_order_are_the_same_request_unless_they_contradict() {
        let mut request = curl();
        // Signed as sent, and sent otherwise: neither as sent nor as AWS sorts it.
        request.query = Some("hostname=a.home.test&myip=203.0.113.7".to_owned());
        assert_eq!(request.holds(), Ok(false));
        let mut request = Recorded::all(REQUESTS).swap_remove(0);
        assert!(request.query.as_deref().unwrap().starts_with("hostname="));
        request.query = Some("myip=203.0.113.7,2001:db8::1&hostname=a.home.test,b.home.test".to_owned());
        assert_eq!(request.holds(), Ok(true));
        request.query.as_mut().unwrap().push_str("&hostname=b.home.test");
        assert_eq!(request.holds(), Err(BadProof::RepeatedParameter));
    }

    #[test]
    fn of_too_many_parameters_no_other_order_holds() {
        let many =
            |count: usize| (0..count).rev().map(|number| format!("n{number:03}=,")).collect::<Vec<_>>().join("&");
        for (count, holds) in [(MOST_PARAMETERS, true), (MOST_PARAMETERS + 1, false)] {
            let mut request = curl();
            request.query = Some(many(count));
            let message = request.message();
            let mut claim = read_any_service(fields(&request), &message).unwrap();
            let secret = SUITE_SECRET;
            let hash = claim.hash_request(&message, &canonical::query_as_sent(&many(count)), &hex(&sha256(b"")));
            claim.mac = hmac_sha256(&*claim.signing_key(secret), &claim.text_to_sign(&hash.unwrap()));
            assert_eq!(claim.holds(secret, &message), holds, "{count}");
        }
    }

    #[test]
    fn an_unsigned_body_is_refused() {
        let mut request = curl();
        request.add("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
        assert_eq!(request.holds(), Ok(false));
    }

    #[test]
    fn a_path_that_signers_spell_differently_is_refused() {
        for path in ["/nic/%75pdate", "/nic/upd,ate", "/\\/nic/update", "/nic/update%2F"] {
            let mut request = curl();
            request.path = path.to_owned();
            assert_eq!(request.holds(), Err(BadProof::UnclearPath), "{path}");
        }
    }
}
