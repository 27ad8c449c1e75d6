//! The ways to say who is speaking: which scheme a request uses, what it claims, whether the claim holds.
//!
//! One proof counts, and it is the first of these that stands in the request:
//!
//! 1. an HTTP message signature tagged `nicgate` ([`rfc9421`]);
//! 2. `Authorization: AWS4-HMAC-SHA256` (`sigv4`);
//! 3. the parameter `sign` ([`sign_param`]);
//! 4. `Authorization: Basic` (`basic`);
//! 5. user and password in the query (`basic`), in a request without any Authorization header.
//!
//! A signature that is there must be readable and must hold: nothing weaker beside it is looked at. Two
//! Authorization headers are never read.
//!
//! Not here: which devices exist, whether the claimed time is near, whether a nonce was seen before. Reading a
//! claim costs no cryptography; checking one takes the key of the device it names, and compares in constant time.

mod basic;
mod canonical;
pub mod rfc9421;
pub mod sign_param;
mod sigv4;

use std::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

pub use self::basic::PasswordClaim;
use crate::secret::Key;
use crate::timestamp::Timestamp;
use crate::update::Parameters;

/// A request as it was sent, in the parts that signatures cover.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// The method.
    pub method: &'a str,
    /// The Host header's value as sent, or the authority of a target in absolute form; empty when there is none.
    pub authority: &'a str,
    /// The path, raw.
    pub path: &'a str,
    /// The query, raw: what stands behind the first `?`.
    pub query: Option<&'a str>,
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// The whole body; empty when there is none.
    pub body: &'a [u8],
}

/// Whose word a request offers.
pub enum Presented<'a> {
    /// No credentials: the normal first request of clients that wait for a challenge.
    Nobody,
    /// A device's id and a password.
    Password(PasswordClaim<'a>),
    /// A signature.
    Signed(SignedClaim<'a>),
}

/// Why credentials cannot be read. Says nothing of what was in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BadProof {
    /// An AWS4-HMAC-SHA256 header without its three fields, or with others.
    MalformedAuthorization,
    /// Basic credentials that are no base64, no UTF-8, or have no colon.
    MalformedBasic,
    /// `Signature-Input`, `Signature` or the list of components is no structured field (RFC 9651).
    MalformedFields,
    /// The nonce is missing, or not 8 to 64 of the letters a nonce has.
    MalformedNonce,
    /// The signature is missing, or has not the form and length of an HMAC-SHA256.
    MalformedSignature,
    /// The time is missing or no time, or the end lies before the beginning.
    MalformedTime,
    /// The signature does not say whose it is.
    MissingDevice,
    /// Different values under one name: sorted, as they are signed, they have no order.
    RepeatedParameter,
    /// More than one Authorization header.
    SeveralAuthorizations,
    /// More than one signature tagged `nicgate`.
    SeveralSignatures,
    /// A path with escapes or odd characters, which signers spell differently.
    UnclearPath,
    /// Something that must be covered is not.
    UncoveredPart,
    /// `alg` names another algorithm than HMAC-SHA256.
    UnknownAlgorithm,
    /// A covered component that is not known, has parameters, or stands twice; or too many of them.
    UnknownComponent,
    /// An Authorization header of a scheme that is not spoken here.
    UnknownScheme,
    /// A credential scope for another service or another day.
    WrongScope,
}

impl fmt::Display for BadProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MalformedAuthorization => "the AWS4-HMAC-SHA256 header is malformed",
            Self::MalformedBasic => "the Basic credentials cannot be decoded",
            Self::MalformedFields => "Signature-Input or Signature is not a structured field",
            Self::MalformedNonce => "the nonce is not 8 to 64 letters, digits, \"-\" or \"_\"",
            Self::MalformedSignature => "the signature is missing or malformed",
            Self::MalformedTime => "the time of signing is missing or malformed",
            Self::MissingDevice => "the signature names no device",
            Self::RepeatedParameter => "a signed parameter stands twice with different values",
            Self::SeveralAuthorizations => "there are several Authorization headers",
            Self::SeveralSignatures => "there are several signatures tagged \"nicgate\"",
            Self::UnclearPath => "the path has characters that signers spell differently",
            Self::UncoveredPart => "the signature does not cover all it must",
            Self::UnknownAlgorithm => "the signature's algorithm is not hmac-sha256",
            Self::UnknownComponent => "the signature covers an unknown component, or one twice",
            Self::UnknownScheme => "the Authorization scheme is unknown",
            Self::WrongScope => "the credential scope is for another service or day",
        })
    }
}

impl std::error::Error for BadProof {}

/// Finds the proof that counts and reads it; checks nothing yet. `parameters` are those of the message: its query,
/// and its body wherever that will be acted upon as a form.
///
/// # Errors
/// When credentials are there and cannot be read.
pub fn presented<'a>(message: &Message<'a>, parameters: &'a Parameters<'a>) -> Result<Presented<'a>, BadProof> {
    let mut authorizations = message.headers.get_all(AUTHORIZATION).iter();
    let authorization = authorizations.next();
    if authorizations.next().is_some() {
        return Err(BadProof::SeveralAuthorizations);
    }
    if let Some(claim) = rfc9421::read(message)? {
        return Ok(Presented::Signed(SignedClaim(Claim::HttpMessage(claim))));
    }
    // Header fields may hold any bytes; credentials are ASCII.
    let authorization = authorization.map(|value| {
        let text = value.to_str().unwrap_or_default().trim_ascii();
        text.split_once(' ').unwrap_or((text, ""))
    });
    if let Some((scheme, fields)) = authorization
        && scheme.eq_ignore_ascii_case(sigv4::ALGORITHM)
    {
        return sigv4::read(fields, message, parameters)
            .map(|claim| Presented::Signed(SignedClaim(Claim::SigV4(claim))));
    }
    if let Some(claim) = sign_param::read(parameters)? {
        return Ok(Presented::Signed(SignedClaim(Claim::SignParam(claim))));
    }
    let claim = match authorization {
        Some((scheme, encoded)) if scheme.eq_ignore_ascii_case("Basic") => basic::read_header(encoded)?,
        Some(_) => return Err(BadProof::UnknownScheme),
        None => basic::read_query(parameters),
    };
    Ok(claim.map_or(Presented::Nobody, Presented::Password))
}

/// The three ways to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// RFC 9421.
    HttpMessage,
    /// The `sign` parameter.
    SignParam,
    /// AWS Signature Version 4.
    SigV4,
}

/// A signature and what it says of itself; believed only once [`SignedClaim::is_signed_by`] has said yes.
pub struct SignedClaim<'a>(Claim<'a>);

enum Claim<'a> {
    HttpMessage(rfc9421::Claim),
    SignParam(sign_param::Claim<'a>),
    SigV4(sigv4::Claim<'a>),
}

impl SignedClaim<'_> {
    /// The device it claims to be.
    #[must_use]
    pub fn device(&self) -> &str {
        match &self.0 {
            Claim::HttpMessage(claim) => &claim.device,
            Claim::SignParam(claim) => claim.device,
            Claim::SigV4(claim) => claim.device,
        }
    }

    /// How it was signed.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match &self.0 {
            Claim::HttpMessage(_) => Scheme::HttpMessage,
            Claim::SignParam(_) => Scheme::SignParam,
            Claim::SigV4(_) => Scheme::SigV4,
        }
    }

    /// When it was signed, as claimed, in whole seconds.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        match &self.0 {
            Claim::HttpMessage(claim) => claim.created,
            Claim::SignParam(claim) => claim.created,
            Claim::SigV4(claim) => claim.created,
        }
    }

    /// When it ends to hold, where the signer said so; never before [`SignedClaim::created`].
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        match &self.0 {
            Claim::HttpMessage(claim) => claim.expires,
            Claim::SignParam(_) | Claim::SigV4(_) => None,
        }
    }

    /// What may count once per device while the time is near: the nonce, or the signature where there is none.
    #[must_use]
    pub fn nonce(&self) -> &[u8] {
        match &self.0 {
            Claim::HttpMessage(claim) => claim.nonce.as_bytes(),
            Claim::SignParam(claim) => claim.nonce.as_bytes(),
            Claim::SigV4(claim) => &claim.mac,
        }
    }

    /// Whether the holder of `key` signed this very message, the one that [`presented`] read.
    #[must_use]
    pub fn is_signed_by(&self, key: &Key, message: &Message<'_>) -> bool {
        match &self.0 {
            Claim::HttpMessage(claim) => claim.is_signed_by(key, message),
            Claim::SignParam(claim) => claim.is_signed_by(key, message),
            Claim::SigV4(claim) => claim.is_signed_by(key, message),
        }
    }

    /// Tells this signature from every other: the start of the SHA-256 of its raw bytes, however they were spelled.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        let mac = match &self.0 {
            Claim::HttpMessage(claim) => &claim.mac,
            Claim::SignParam(claim) => &claim.mac,
            Claim::SigV4(claim) => &claim.mac,
        };
        let mut id = [0; 16];
        id.copy_from_slice(&canonical::sha256(mac)[..16]);
        id
    }
}

/// 8 to 64 of `A-Z`, `a-z`, `0-9`, `_`, `-`.
fn is_nonce(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (8..=64).contains(&text.len()) && text.bytes().all(is_letter)
}

/// The value of a header field that stands once and is text.
fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    let mut values = headers.get_all(HeaderName::from_static(name)).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod recorded;

#[cfg(test)]
mod tests {
    use super::recorded::{KEY, Recorded};
    use super::*;
    use crate::secret::Secret;

    const REQUESTS: &str = include_str!("../tests/vectors/requests.json");

    #[test]
    fn what_others_signed_is_read_and_holds() {
        let requests = Recorded::all(REQUESTS);
        assert_eq!(requests.len(), 36);
        for request in requests {
            assert_eq!(request.holds(), Ok(true), "{}", request.name);
            let _ = request.claim(|claim| {
                assert_eq!(claim.device(), "fritzbox");
                assert_eq!(format!("{:?}", claim.scheme()), request.scheme);
                assert!(claim.created() >= Timestamp::from_seconds(1_795_348_800), "{}", request.name);
                assert!(claim.nonce().len() >= 8);
                assert!(!claim.is_signed_by(&Secret::new([b'A'; 43]), &request.message()), "{}", request.name);
            });
        }
    }

    #[test]
    fn whatever_is_altered_in_a_signed_request_breaks_it() {
        type Alteration = (&'static str, fn(&mut Recorded));
        let alterations: [Alteration; 9] = [
            ("method", |request| request.method = "DELETE".to_owned()),
            ("host", |request| request.authority.insert(0, 'x')),
            ("no host", |request| request.authority.clear()),
            ("path", |request| request.path = request.path.replace("update", "delete")),
            ("parameter added", |request| {
                let query = request.query.take().map_or(String::new(), |query| query + "&");
                request.query = Some(query + "offline=yes");
            }),
            ("query or form changed", |request| match &mut request.query {
                Some(query) => *query = query.replace("203.0.113.7", "203.0.113.8").replace("home", "nas"),
                None => request.query = Some("hostname=x.test".to_owned()),
            }),
            ("body", |request| request.body.extend(b"&offline=yes")),
            ("body gone", |request| {
                request.body = if request.body.is_empty() { b"a=b".to_vec() } else { Vec::new() };
            }),
            ("device", |request| {
                let name = if request.scheme == "SigV4" { "authorization" } else { "signature-input" };
                request.replace(name, "fritzbox", "fritzbux");
            }),
        ];
        for request in Recorded::all(REQUESTS) {
            for (what, alter) in alterations {
                // The access key's name is no part of what SigV4 signs; the key is looked up by it.
                if what == "device" && request.scheme == "SigV4" {
                    continue;
                }
                let mut altered = request.clone();
                alter(&mut altered);
                assert_ne!(altered.holds(), Ok(true), "{}: {what}", request.name);
            }
        }
    }

    #[test]
    fn a_covered_header_field_is_verified() {
        let mut count = 0;
        for mut request in Recorded::all(REQUESTS) {
            let Some(value) = request.headers.get("x-custom").cloned() else { continue };
            count += 1;
            request.replace("x-custom", "b", "c");
            assert_eq!(request.holds(), Ok(false), "{}", request.name);
            request.headers.remove("x-custom");
            assert_eq!(request.holds(), Ok(false), "{}", request.name);
            request.headers.append("x-custom", value.clone());
            assert_eq!(request.holds(), Ok(true), "{}", request.name);
            request.headers.append("x-custom", value);
            assert_eq!(request.holds(), Ok(false), "{}", request.name);
        }
        assert_eq!(count, 4);
    }

    /// What a request shows, in one word.
    fn shows(query: &str, headers: &[(&str, &str)]) -> Result<&'static str, BadProof> {
        let mut request = Recorded::new("GET", "ddns.test", "/nic/update", Some(query), b"");
        for (name, value) in headers {
            request.add(name, value);
        }
        let parameters = request.parameters();
        Ok(match presented(&request.message(), &parameters)? {
            Presented::Nobody => "nobody",
            Presented::Password(claim) if claim.is_in_query() => "query",
            Presented::Password(_) => "basic",
            Presented::Signed(claim) => match claim.scheme() {
                Scheme::HttpMessage => "message",
                Scheme::SignParam => "sign",
                Scheme::SigV4 => "sigv4",
            },
        })
    }

    const INPUT: (&str, &str) = (
        "Signature-Input",
        "a=(\"@method\" \"@target-uri\");created=1;nonce=\"n0nce-0001\";keyid=\"x\";tag=\"nicgate\"",
    );
    const SIGNATURE: (&str, &str) = ("Signature", "a=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:");
    const AWS: (&str, &str) = (
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=x/20260102/auto/ddns/aws4_request, SignedHeaders=host;x-amz-date, \
         Signature=0000000000000000000000000000000000000000000000000000000000000000",
    );
    const DATE: (&str, &str) = ("X-Amz-Date", "20260102T030405Z");
    const BASIC: (&str, &str) = ("Authorization", "Basic YTpi");
    const QUERY: &str = "user=a&pass=b";
    const SIGN: &str = "user=a&pass=b&id=x&ts=1&nonce=n0nce-0001&sign=0000000000000000000000000000000000000000000000000000000000000000";

    #[test]
    fn the_strongest_proof_counts() {
        assert_eq!(shows(SIGN, &[INPUT, SIGNATURE, AWS, DATE]), Ok("message"));
        assert_eq!(shows(SIGN, &[INPUT, SIGNATURE, BASIC]), Ok("message"));
        assert_eq!(shows(SIGN, &[AWS, DATE]), Ok("sigv4"));
        assert_eq!(shows(SIGN, &[BASIC]), Ok("sign"));
        assert_eq!(shows(QUERY, &[BASIC]), Ok("basic"));
        assert_eq!(shows(QUERY, &[]), Ok("query"));
        assert_eq!(shows("hostname=home.test", &[]), Ok("nobody"));
    }

    #[test]
    fn a_signature_that_cannot_be_read_is_never_passed_over() {
        assert_eq!(shows(QUERY, &[INPUT, BASIC]), Err(BadProof::MalformedSignature));
        assert_eq!(shows(QUERY, &[("Signature-Input", "a=("), BASIC]), Err(BadProof::MalformedFields));
        assert_eq!(shows(SIGN, &[AWS]), Err(BadProof::MalformedTime));
        assert_eq!(shows(SIGN, &[("Authorization", "AWS4-HMAC-SHA256")]), Err(BadProof::MalformedAuthorization));
        assert_eq!(shows("sign=&user=a&pass=b", &[BASIC]), Err(BadProof::MalformedSignature));
    }

    #[test]
    fn a_signature_of_somebody_else_is_passed_over() {
        let other = ("Signature-Input", "a=(\"@method\");created=1;keyid=\"x\";tag=\"cdn\"");
        assert_eq!(shows(QUERY, &[other, SIGNATURE, BASIC]), Ok("basic"));
        assert_eq!(shows(QUERY, &[SIGNATURE]), Ok("query"));
        assert_eq!(shows(QUERY, &[other, INPUT, SIGNATURE]), Ok("message"));
    }

    #[test]
    fn query_credentials_do_not_stand_in_for_a_header_that_fails() {
        assert_eq!(shows(QUERY, &[("Authorization", "Basic !")]), Err(BadProof::MalformedBasic));
        assert_eq!(shows(QUERY, &[("Authorization", "Basic Og==")]), Ok("nobody"));
        assert_eq!(shows(QUERY, &[("Authorization", "Bearer x")]), Err(BadProof::UnknownScheme));
        assert_eq!(shows(QUERY, &[("Authorization", "")]), Err(BadProof::UnknownScheme));
        assert_eq!(shows(QUERY, &[("Authorization", "Basic YTpié")]), Err(BadProof::UnknownScheme));
        assert_eq!(shows(QUERY, &[("Authorization", "bASIC   YTpi")]), Ok("basic"));
    }

    #[test]
    fn two_authorization_headers_are_never_read() {
        let several = Err(BadProof::SeveralAuthorizations);
        assert_eq!(shows(QUERY, &[BASIC, BASIC]), several);
        assert_eq!(shows(QUERY, &[AWS, DATE, BASIC]), several);
        assert_eq!(shows(SIGN, &[INPUT, SIGNATURE, BASIC, BASIC]), several);
    }

    #[test]
    fn the_same_signature_has_the_same_id_and_another_has_another() {
        let ids: Vec<[u8; 16]> =
            Recorded::all(REQUESTS).iter().map(|request| request.claim(|claim| claim.id()).unwrap()).collect();
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id));
        }
        let again = Recorded::all(REQUESTS)[0].claim(|claim| claim.id()).unwrap();
        assert_eq!(again, ids[0]);
    }

    #[test]
    fn a_key_is_the_text_that_scripts_use() {
        assert_eq!(Secret::new(*KEY).text().as_bytes(), KEY);
    }
}
