//! HTTP Message Signatures (RFC 9421) with `hmac-sha256` under the device's key, and the Content-Digest of
//! RFC 9530: what our client speaks.
//!
//! Taken is the one signature tagged `nicgate`; others in the same request belong to somebody else and are
//! ignored. It covers `@method`, `@authority`, `@path`, `@query` (or `@target-uri` for the last three), and
//! `content-digest` when there is a body. Further plain header fields may be covered and are verified; component
//! parameters (`sf`, `bs`, `key`, `req`, `tr`, `name`) are refused, so that nothing can be covered in part.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use sfv::{BareItem, Dictionary, FieldType as _, InnerList, List, ListEntry, Parser};

use super::canonical::{hmac_sha256, is_hmac_sha256, sha256};
use super::{BadProof, Message, is_nonce};
use crate::secret::Key;
use crate::timestamp::Timestamp;

/// The tag of our signatures, and the label that ours carry.
const TAG: &str = "nicgate";
/// How many components a signature may cover; ours covers five.
const MOST_COMPONENTS: usize = 32;
/// The only algorithm; a key never serves another.
const ALGORITHM: &str = "hmac-sha256";

/// What the signature tagged `nicgate` claims.
pub(super) struct Claim {
    pub(super) device: String,
    pub(super) created: Timestamp,
    pub(super) expires: Option<Timestamp>,
    pub(super) nonce: String,
    pub(super) mac: [u8; 32],
    components: Vec<Component>,
    /// The value of `@signature-params`, serialised strictly (section 2.3).
    parameters: String,
}

/// A part of the message that a signature covers (section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Component {
    Authority,
    /// A header field, in lower case.
    Field(String),
    Method,
    Path,
    Query,
    TargetUri,
}

impl Component {
    fn read(name: &str) -> Option<Self> {
        Some(match name {
            "@authority" => Self::Authority,
            "@method" => Self::Method,
            "@path" => Self::Path,
            "@query" => Self::Query,
            "@target-uri" => Self::TargetUri,
            // Neither another derived name nor one in upper case is a header field's name.
            _ => Self::Field(http::HeaderName::from_lowercase(name.as_bytes()).ok()?.as_str().to_owned()),
        })
    }

    fn name(&self) -> &str {
        match self {
            Self::Authority => "@authority",
            Self::Field(name) => name,
            Self::Method => "@method",
            Self::Path => "@path",
            Self::Query => "@query",
            Self::TargetUri => "@target-uri",
        }
    }

    fn is_digest(&self) -> bool {
        self.name() == "content-digest"
    }
}

/// Reads the signature tagged `nicgate`; `None` when there is none.
pub(super) fn read(message: &Message<'_>) -> Result<Option<Claim>, BadProof> {
    let Some(input) = field(message.headers, "signature-input") else { return Ok(None) };
    let inputs = dictionary(&input)?;
    let mut tagged = inputs.iter().filter_map(|(label, entry)| match entry {
        ListEntry::InnerList(list) if text(list, "tag") == Some(TAG) => Some((label, list)),
        ListEntry::InnerList(_) | ListEntry::Item(_) => None,
    });
    let Some((label, list)) = tagged.next() else { return Ok(None) };
    if tagged.next().is_some() {
        return Err(BadProof::SeveralSignatures);
    }
    let signatures = dictionary(&field(message.headers, "signature").ok_or(BadProof::MalformedSignature)?)?;
    let mac = match signatures.get(label.as_str()) {
        Some(ListEntry::Item(item)) => item.bare_item.as_byte_sequence(),
        Some(ListEntry::InnerList(_)) | None => None,
    };
    let mac = mac.and_then(|mac| mac.try_into().ok()).ok_or(BadProof::MalformedSignature)?;
    Claim::read(list, mac, !message.body.is_empty()).map(Some)
}

/// All lines of a header field as one (RFC 9110 section 5.3).
fn field<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, [u8]>> {
    let mut values = headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii());
    let first = values.next()?;
    let mut joined = Cow::Borrowed(first);
    for value in values {
        let joined = joined.to_mut();
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(value);
    }
    Some(joined)
}

fn dictionary(field: &[u8]) -> Result<Dictionary, BadProof> {
    Parser::new(field).parse().map_err(|_| BadProof::MalformedFields)
}

/// A signature parameter that is a string.
fn text<'a>(list: &'a InnerList, name: &str) -> Option<&'a str> {
    list.params.get(name).and_then(BareItem::as_string).map(|text| text.as_str())
}

/// A signature parameter that is a point in time.
fn time(list: &InnerList, name: &str) -> Option<Timestamp> {
    let seconds = list.params.get(name).and_then(BareItem::as_integer)?;
    u64::try_from(i64::from(seconds)).ok().map(Timestamp::from_seconds)
}

impl Claim {
    fn read(list: &InnerList, mac: [u8; 32], has_body: bool) -> Result<Self, BadProof> {
        if list.items.len() > MOST_COMPONENTS {
            return Err(BadProof::UnknownComponent);
        }
        let mut components = Vec::with_capacity(list.items.len());
        for item in &list.items {
            let name = item.bare_item.as_string().ok_or(BadProof::MalformedFields)?;
            let component = Component::read(name.as_str()).ok_or(BadProof::UnknownComponent)?;
            // Section 2: each component at most once.
            if !item.params.is_empty() || components.contains(&component) {
                return Err(BadProof::UnknownComponent);
            }
            components.push(component);
        }
        let is_covered = |component| components.contains(&component);
        let has_target = is_covered(Component::TargetUri)
            || is_covered(Component::Authority) && is_covered(Component::Path) && is_covered(Component::Query);
        let has_digest = components.iter().any(Component::is_digest);
        if !is_covered(Component::Method) || !has_target || has_body && !has_digest {
            return Err(BadProof::UncoveredPart);
        }

        if list.params.contains_key("alg") && text(list, "alg") != Some(ALGORITHM) {
            return Err(BadProof::UnknownAlgorithm);
        }
        let device = text(list, "keyid").filter(|id| !id.is_empty()).ok_or(BadProof::MissingDevice)?.to_owned();
        let nonce = text(list, "nonce").filter(|nonce| is_nonce(nonce)).ok_or(BadProof::MalformedNonce)?.to_owned();
        let created = time(list, "created").ok_or(BadProof::MalformedTime)?;
        let expires = time(list, "expires");
        if expires.is_none() && list.params.contains_key("expires") || expires.is_some_and(|end| end < created) {
            return Err(BadProof::MalformedTime);
        }
        let alone: List = vec![ListEntry::InnerList(list.clone())];
        let parameters = alone.serialize().ok_or(BadProof::MalformedFields)?;
        Ok(Self { device, created, expires, nonce, mac, components, parameters })
    }

    pub(super) fn is_signed_by(&self, key: &Key, message: &Message<'_>) -> bool {
        if self.components.iter().any(Component::is_digest) && !is_digest_of(message.headers, message.body) {
            return false;
        }
        // Which scheme the client saw in front of a proxy is not known here, and with it the port that may be
        // left out. Every spelling names the same host, so any of them will do.
        let lower = message.authority.to_ascii_lowercase();
        let mut authorities = vec![without_default_port(&lower)];
        for other in [&*lower, message.authority] {
            if !authorities.contains(&other) {
                authorities.push(other);
            }
        }
        let schemes: &[&str] =
            if self.components.contains(&Component::TargetUri) { &["https", "http"] } else { &["https"] };
        authorities.iter().any(|authority| {
            schemes.iter().any(|scheme| {
                let origin = Origin { scheme, authority };
                let base = signature_base(&self.components, &self.parameters, message, &origin, None);
                base.is_some_and(|base| is_hmac_sha256(key.expose(), &base, &self.mac))
            })
        })
    }
}

/// Section 2.2.3: the default port is left out.
fn without_default_port(authority: &str) -> &str {
    authority.strip_suffix(":443").or_else(|| authority.strip_suffix(":80")).unwrap_or(authority)
}

/// Whether the Content-Digest holds the SHA-256 of the body (RFC 9530 section 2).
fn is_digest_of(headers: &HeaderMap, body: &[u8]) -> bool {
    let Some(Ok(digests)) = field(headers, "content-digest").map(|field| dictionary(&field)) else { return false };
    match digests.get("sha-256") {
        Some(ListEntry::Item(item)) => item.bare_item.as_byte_sequence() == Some(&sha256(body)),
        Some(ListEntry::InnerList(_)) | None => false,
    }
}

/// Where a request went, in one of its spellings.
struct Origin<'a> {
    scheme: &'a str,
    authority: &'a str,
}

/// The signature base (section 2.5). `digest` stands in for a Content-Digest that is still to be sent. `None` when
/// a covered field is not there.
fn signature_base(
    components: &[Component],
    parameters: &str,
    message: &Message<'_>,
    origin: &Origin<'_>,
    digest: Option<&str>,
) -> Option<Vec<u8>> {
    let path = if message.path.is_empty() { "/" } else { message.path };
    let mut base = Vec::with_capacity(512);
    for component in components {
        for part in ["\"", component.name(), "\": "] {
            base.extend_from_slice(part.as_bytes());
        }
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| base.extend_from_slice(part.as_bytes()));
        match component {
            Component::Authority => put(&[origin.authority]),
            Component::Field(_) if component.is_digest() && digest.is_some() => put(&[digest.unwrap_or_default()]),
            Component::Field(name) => base.extend_from_slice(&field(message.headers, name)?),
            Component::Method => put(&[message.method]),
            Component::Path => put(&[path]),
            // Section 2.2.7: a question mark even when there is no query.
            Component::Query => put(&["?", message.query.unwrap_or_default()]),
            Component::TargetUri => {
                put(&[origin.scheme, "://", origin.authority, path]);
                if let Some(query) = message.query {
                    put(&["?", query]);
                }
            }
        }
        base.push(b'\n');
    }
    base.extend_from_slice(b"\"@signature-params\": ");
    base.extend_from_slice(parameters.as_bytes());
    Some(base)
}

/// The header fields that make a request a signed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFields {
    /// `Content-Digest`, when there is a body.
    pub content_digest: Option<String>,
    /// `Signature-Input`.
    pub signature_input: String,
    /// `Signature`.
    pub signature: String,
}

/// Signs a request as `device` with the text of its `key`.
///
/// `nonce` is 8 to 64 of `A-Z`, `a-z`, `0-9`, `_`, `-` and new for each request; what is no nonce or no device id
/// makes a signature that no gateway takes. The header fields of the message are not covered, a body is.
#[must_use]
pub fn sign(key: &str, device: &str, message: &Message<'_>, created: Timestamp, nonce: &str) -> SignatureFields {
    let mut components = vec![Component::Method, Component::Authority, Component::Path, Component::Query];
    let mut content_digest = None;
    if !message.body.is_empty() {
        components.push(Component::Field("content-digest".to_owned()));
        content_digest = Some(format!("sha-256=:{}:", STANDARD.encode(sha256(message.body))));
    }
    let names: Vec<String> = components.iter().map(|component| format!("\"{}\"", component.name())).collect();
    let parameters = format!(
        "({});created={};nonce={};keyid={};alg=\"{ALGORITHM}\";tag=\"{TAG}\"",
        names.join(" "),
        created.seconds(),
        quoted(nonce),
        quoted(device),
    );
    let lower = message.authority.to_ascii_lowercase();
    let origin = Origin { scheme: "https", authority: without_default_port(&lower) };
    let base = signature_base(&components, &parameters, message, &origin, content_digest.as_deref())
        .expect("the one covered header field, content-digest, was just made");
    let mac = STANDARD.encode(hmac_sha256(key.as_bytes(), &base));
    SignatureFields {
        content_digest,
        signature_input: format!("{TAG}={parameters}"),
        signature: format!("{TAG}=:{mac}:"),
    }
}

/// A string of RFC 9651 section 4.1.6.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::super::recorded::{KEY, Recorded};
    use super::super::sigv4;
    use super::*;

    fn key() -> &'static str {
        std::str::from_utf8(KEY).unwrap()
    }

    fn signed(mut request: Recorded) -> Recorded {
        let created = Timestamp::from_seconds(1_795_348_800);
        let fields = sign(key(), "fritzbox", &request.message(), created, "n0nce-0001");
        request.add("signature-input", &fields.signature_input);
        request.add("signature", &fields.signature);
        if let Some(digest) = fields.content_digest {
            request.add("content-digest", &digest);
        }
        request
    }

    fn get() -> Recorded {
        signed(Recorded::new("GET", "ddns.test:8443", "/nic/update", Some("hostname=home.test&myip=203.0.113.7"), b""))
    }

    fn post() -> Recorded {
        signed(Recorded::new("POST", "ddns.test", "/nic/update", None, b"hostname=home.test"))
    }

    #[test]
    fn what_we_sign_we_take() {
        for request in [
            get(),
            post(),
            signed(Recorded::new("GET", "DDNS.test:443", "", Some(""), b"")),
            signed(Recorded::new("GET", "[2001:db8::1]", "/nic/update", Some("a=%2c,"), b"")),
        ] {
            assert_eq!(request.holds(), Ok(true));
            request
                .claim(|claim| {
                    assert_eq!(claim.device(), "fritzbox");
                    assert_eq!(claim.nonce(), b"n0nce-0001");
                    assert_eq!(claim.created(), Timestamp::from_seconds(1_795_348_800));
                    assert_eq!(claim.expires(), None);
                })
                .unwrap();
        }
    }

    #[test]
    fn the_fields_look_as_the_rfc_says() {
        let post = post();
        assert_eq!(
            post.headers["signature-input"],
            "nicgate=(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\");created=1795348800;\
             nonce=\"n0nce-0001\";keyid=\"fritzbox\";alg=\"hmac-sha256\";tag=\"nicgate\""
        );
        // printf 'hostname=home.test' | openssl dgst -sha256 -binary | base64
        assert_eq!(post.headers["content-digest"], "sha-256=:nfHOseLjyueqAeNQcrPENsukZQsG/gTLLmpJhB35v9A=:");
        let base = signature_base(
            &[Component::Method, Component::TargetUri, Component::Query],
            "()",
            &post.message(),
            &Origin { scheme: "https", authority: "ddns.test" },
            None,
        );
        let expected = "\"@method\": POST\n\"@target-uri\": https://ddns.test/nic/update\n\"@query\": ?\n\"@signature-params\": ()";
        assert_eq!(base.unwrap(), expected.as_bytes());
    }

    /// RFC 9421 appendix B.2.5, with its key and its request.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let secret = STANDARD
            .decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
            .unwrap();
        let mut request = Recorded::new("POST", "example.com", "/foo", Some("param=Value&Pet=dog"), b"");
        request.add("date", "Tue, 20 Apr 2021 02:07:55 GMT");
        request.add("content-type", "application/json");
        let components =
            [Component::Field("date".to_owned()), Component::Authority, Component::Field("content-type".to_owned())];
        let parameters = "(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
        let origin = Origin { scheme: "https", authority: "example.com" };
        let base = signature_base(&components, parameters, &request.message(), &origin, None).unwrap();
        assert_eq!(STANDARD.encode(hmac_sha256(&secret, &base)), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
    }

    #[test]
    fn what_is_covered_and_how_it_was_spelled_is_signed() {
        for (from, to) in [
            ("1795348800", "1795348801"),
            ("n0nce-0001", "n0nce-0002"),
            ("fritzbox", "fritzbux"),
            ("\"@path\" \"@query\"", "\"@query\" \"@path\""),
            (";alg=\"hmac-sha256\"", ""),
            (";alg", ";expires=1795348900;alg"),
        ] {
            let mut request = get();
            request.replace("signature-input", from, to);
            assert_eq!(request.holds(), Ok(false), "{from}");
        }
        // Blanks and the label are no part of it (RFC 9421 section 2.3).
        let mut request = get();
        request.replace("signature-input", "\"@method\" ", "  \"@method\"   ");
        request.replace("signature-input", "nicgate=", "other=");
        request.replace("signature", "nicgate=", "other=");
        assert_eq!(request.holds(), Ok(true));
    }

    #[test]
    fn a_signature_that_covers_too_little_or_something_unknown_is_refused() {
        for (from, to, why) in [
            ("\"@method\" ", "", BadProof::UncoveredPart),
            ("\"@authority\" ", "", BadProof::UncoveredPart),
            ("\"@path\" ", "", BadProof::UncoveredPart),
            (" \"@query\"", "", BadProof::UncoveredPart),
            (" \"content-digest\"", "", BadProof::UncoveredPart),
            ("\"@query\"", "\"@query\" \"@query\"", BadProof::UnknownComponent),
            ("\"@query\"", "\"@query\" \"@query-param\";name=\"a\"", BadProof::UnknownComponent),
            ("\"@query\"", "\"@query\" \"@status\"", BadProof::UnknownComponent),
            ("\"@query\"", "\"@query\";req", BadProof::UnknownComponent),
            ("\"content-digest\"", "\"content-digest\";sf", BadProof::UnknownComponent),
            ("\"content-digest\"", "\"Content-Digest\"", BadProof::UnknownComponent),
            ("\"@query\"", "@query", BadProof::MalformedFields),
            ("\"@query\"", "query", BadProof::MalformedFields),
            ("alg=\"hmac-sha256\"", "alg=\"rsa-pss-sha512\"", BadProof::UnknownAlgorithm),
            ("alg=\"hmac-sha256\"", "alg=hmac-sha256", BadProof::UnknownAlgorithm),
            (";created=1795348800", "", BadProof::MalformedTime),
            ("1795348800", "-1", BadProof::MalformedTime),
            ("1795348800", "\"1795348800\"", BadProof::MalformedTime),
            (";alg", ";expires=1795348799;alg", BadProof::MalformedTime),
            (";alg", ";expires=\"1\";alg", BadProof::MalformedTime),
            (";nonce=\"n0nce-0001\"", "", BadProof::MalformedNonce),
            ("n0nce-0001", "n0nce", BadProof::MalformedNonce),
            ("n0nce-0001", "n0nce 0001", BadProof::MalformedNonce),
            (";keyid=\"fritzbox\"", "", BadProof::MissingDevice),
            ("fritzbox", "", BadProof::MissingDevice),
            ("nicgate=(", "other=(", BadProof::MalformedSignature),
        ] {
            let mut request = post();
            request.replace("signature-input", from, to);
            assert_eq!(request.holds(), Err(why), "{from} to {to}");
        }
        let mut request = post();
        let many: String = (0..40).map(|number| format!("\"x-{number}\" ")).collect();
        request.replace("signature-input", "\"@method\" ", &format!("\"@method\" {many}"));
        assert_eq!(request.holds(), Err(BadProof::UnknownComponent));
    }

    #[test]
    fn the_signature_must_be_bytes_of_the_right_length_under_the_same_label() {
        for (from, to) in [("nicgate=:", "nicgate=:AAAA"), (":", "\""), ("nicgate=", "other=")] {
            let mut request = get();
            request.replace("signature", from, to);
            assert!(request.holds().is_err(), "{from} to {to}");
        }
    }

    #[test]
    fn two_signatures_tagged_nicgate_are_refused_and_foreign_ones_ignored() {
        let mut request = get();
        let again = request.headers["signature-input"].to_str().unwrap().replace("nicgate=(", "again=(");
        request.add("signature-input", &again);
        assert_eq!(request.holds(), Err(BadProof::SeveralSignatures));

        let mut request = get();
        request.add("signature-input", "cdn=(\"@status\";req);keyid=\"x\", odd=7");
        request.add("signature", "cdn=:AAAA:");
        assert_eq!(request.holds(), Ok(true));
    }

    #[test]
    fn the_digest_must_be_that_of_the_body_and_of_nothing_weaker() {
        let mut request = post();
        request.body = b"hostname=evil.test".to_vec();
        assert_eq!(request.holds(), Ok(false));
        let mut request = post();
        request.headers.remove("content-digest");
        assert_eq!(request.holds(), Ok(false));
        let mut request = post();
        request.replace("content-digest", "sha-256", "md5");
        assert_eq!(request.holds(), Ok(false));
        let mut request = get();
        request.body = b"offline=yes".to_vec();
        assert_eq!(request.holds(), Err(BadProof::UncoveredPart));
    }

    #[test]
    fn the_authority_may_be_spelled_in_other_ways_but_not_be_another() {
        let mut request = get();
        request.authority = "DDNS.Test:8443".to_owned();
        assert_eq!(request.holds(), Ok(true));
        for other in ["ddns.test", "ddns.test:8444", "ddns.test:8443.", ""] {
            request.authority = other.to_owned();
            assert_eq!(request.holds(), Ok(false), "{other}");
        }
        let mut request = post();
        for same in ["ddns.test:443", "ddns.test:80", "ddns.TEST"] {
            request.authority = same.to_owned();
            assert_eq!(request.holds(), Ok(true), "{same}");
        }
    }

    /// The three schemes share one key: nothing signed for one may be taken for another.
    #[test]
    fn a_signature_base_is_no_text_of_another_scheme() {
        let request = get();
        let origin = Origin { scheme: "https", authority: "ddns.test" };
        let base = signature_base(&[Component::Method], "()", &request.message(), &origin, None).unwrap();
        let empty = signature_base(&[], "()", &request.message(), &origin, None).unwrap();
        for base in [base, empty] {
            assert_eq!(base[0], b'"');
            assert!(!base.starts_with(sigv4::ALGORITHM.as_bytes()));
        }
    }
}
