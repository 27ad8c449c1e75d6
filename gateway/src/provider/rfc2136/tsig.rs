//! TSIG (RFC 8945): signs one request, and judges the answer to it.
//!
//! Not here: the server's side, several messages under one request (5.3.1, zone transfers), and shortened MACs
//! (5.2.2.1), which no server sends unasked and which would only be easier to guess.

use std::fmt;

use domain::base::iana::{Class, Rtype};
use domain::base::name::{Name, ParsedName, ToName as _};
use domain::base::wire::ParseError;
use domain::base::{ParsedRecord, Question, Ttl};
use domain::dep::octseq::Parser;
use domain::rdata::Tsig;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nicgate_protocol::Secret;

/// Seconds that the clocks of both ends may differ (RFC 8945 10: 300 is recommended).
const FUDGE: u16 = 300;
/// Octets of a message's header; the last two count the additional records.
const HEADER: usize = 12;

/// TSIG's own error codes (RFC 8945 3).
const BAD_SIG: u16 = 16;
const BAD_KEY: u16 = 17;
const BAD_TIME: u16 = 18;

/// The algorithms of RFC 8945 6, without MD5 and without the shortened ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    pub(super) const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Reads a name as BIND, Knot and RFC 8945 write it; case and a final dot make no difference.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('.');
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(text))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha224 => "hmac-sha224",
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        }
    }

    /// As it stands on the wire: one label.
    fn wire_name(self) -> Vec<u8> {
        let name = self.name();
        let mut wire = vec![name.len() as u8];
        wire.extend_from_slice(name.as_bytes());
        wire.push(0);
        wire
    }

    fn mac(self, secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        const ANY_LENGTH: &str = "HMAC takes keys of every length (RFC 2104 section 2)";
        macro_rules! hmac {
            ($digest:ty) => {{
                let mut mac = Hmac::<$digest>::new_from_slice(secret).expect(ANY_LENGTH);
                parts.iter().for_each(|part| mac.update(part));
                mac.finalize().into_bytes().to_vec()
            }};
        }
        match self {
            Self::Sha1 => hmac!(sha1::Sha1),
            Self::Sha224 => hmac!(sha2::Sha224),
            Self::Sha256 => hmac!(sha2::Sha256),
            Self::Sha384 => hmac!(sha2::Sha384),
            Self::Sha512 => hmac!(sha2::Sha512),
        }
    }
}

/// A key that both ends know. Its `Debug` shows no secret.
#[derive(Clone)]
pub(super) struct Key {
    /// On the wire, in lower case.
    name: Vec<u8>,
    algorithm: Algorithm,
    secret: Secret<Vec<u8>>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A request, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// The message with its TSIG record.
    pub(super) message: Vec<u8>,
    /// The MAC in it, which the answer's covers.
    pub(super) mac: Vec<u8>,
    /// The time it was signed at, in seconds since 1970.
    pub(super) time: u64,
}

/// What the TSIG record of an answer is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    /// Whoever has the key wrote this answer to our request.
    Good,
    /// As good, and it says that the clocks differ too much.
    BadTime {
        /// The server's clock in seconds since 1970.
        server: u64,
    },
    /// The server says that it could not accept the signature. It cannot sign that, so anybody may have said it.
    NotAccepted {
        /// What stands for the reason in RFC 8945.
        code: &'static str,
    },
    /// There is none.
    Missing,
    /// It does not hold: a forgery, or the answer to another request.
    Broken,
}

impl Key {
    pub(super) fn new(name: &Name<Vec<u8>>, algorithm: Algorithm, secret: Secret<Vec<u8>>) -> Self {
        // Lengths of labels are below the letters, so they stay as they are.
        Self { name: name.as_slice().to_ascii_lowercase(), algorithm, secret }
    }

    /// Adds a TSIG record at the end of a message.
    pub(super) fn sign(&self, mut message: Vec<u8>, time: u64) -> Signed {
        let variables = self.variables(time, FUDGE, 0, &[]);
        let mac = self.algorithm.mac(self.secret.expose(), &[&message, &variables]);
        let mut data = self.algorithm.wire_name();
        data.extend_from_slice(&time48(time));
        data.extend_from_slice(&FUDGE.to_be_bytes());
        data.extend_from_slice(&(mac.len() as u16).to_be_bytes());
        data.extend_from_slice(&mac);
        data.extend_from_slice(&message[..2]);
        data.extend_from_slice(&[0; 4]);
        message.extend_from_slice(&self.name);
        message.extend_from_slice(&Rtype::TSIG.to_int().to_be_bytes());
        message.extend_from_slice(&Class::ANY.to_int().to_be_bytes());
        message.extend_from_slice(&0_u32.to_be_bytes());
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(&data);
        let additional = u16::from_be_bytes([message[10], message[11]]) + 1;
        message[10..HEADER].copy_from_slice(&additional.to_be_bytes());
        Signed { message, mac, time }
    }

    /// Judges the answer to what [`Self::sign`] gave. `now` is the time it came, in seconds since 1970.
    pub(super) fn judge(&self, answer: &[u8], request: &Signed, now: u64) -> Seal {
        let Ok(found) = find(answer) else { return Seal::Broken };
        let Some((start, owner, tsig)) = found else { return Seal::Missing };
        let error = tsig.error().to_int();
        if tsig.mac_slice().is_empty() {
            return match error {
                BAD_SIG => Seal::NotAccepted { code: "BADSIG" },
                BAD_KEY => Seal::NotAccepted { code: "BADKEY" },
                0 => Seal::Broken,
                _ => Seal::NotAccepted { code: "TSIG" },
            };
        }
        let algorithm = tsig.algorithm().to_vec().as_slice().to_ascii_lowercase();
        if owner != self.name || algorithm != self.algorithm.wire_name() {
            return Seal::Broken;
        }
        // The answer as it was before it was signed (RFC 8945 4.3.2): its own id, and one record less.
        let mut unsigned = answer[..start].to_vec();
        unsigned[..2].copy_from_slice(&tsig.original_id().to_be_bytes());
        let additional = u16::from_be_bytes([answer[10], answer[11]]) - 1;
        unsigned[10..HEADER].copy_from_slice(&additional.to_be_bytes());
        let time = tsig.time_signed().into_octets().into_iter().fold(0, |sum, octet| sum << 8 | u64::from(octet));
        let other: &[u8] = tsig.other();
        let variables = self.variables(time, tsig.fudge(), error, other);
        let length = (request.mac.len() as u16).to_be_bytes();
        let mac = self.algorithm.mac(self.secret.expose(), &[&length, &request.mac, &unsigned, &variables]);
        if !Secret::new(mac).verify_slice(tsig.mac_slice()) {
            return Seal::Broken;
        }
        match (error, tsig.other_time()) {
            (0, _) if now.abs_diff(time) <= u64::from(tsig.fudge()) => Seal::Good,
            // Signed long ago by its clock: for us the same as if it had said so of ours.
            (0, _) => Seal::BadTime { server: time },
            (BAD_TIME, Some(clock)) => {
                let server = clock.into_octets().into_iter().fold(0, |sum, octet| sum << 8 | u64::from(octet));
                Seal::BadTime { server }
            }
            _ => Seal::NotAccepted { code: "TSIG" },
        }
    }

    /// What is signed besides the message (RFC 8945 4.3.3).
    fn variables(&self, time: u64, fudge: u16, error: u16, other: &[u8]) -> Vec<u8> {
        let mut variables = self.name.clone();
        variables.extend_from_slice(&Class::ANY.to_int().to_be_bytes());
        variables.extend_from_slice(&0_u32.to_be_bytes());
        variables.extend_from_slice(&self.algorithm.wire_name());
        variables.extend_from_slice(&time48(time));
        variables.extend_from_slice(&fudge.to_be_bytes());
        variables.extend_from_slice(&error.to_be_bytes());
        variables.extend_from_slice(&(other.len() as u16).to_be_bytes());
        variables.extend_from_slice(other);
        variables
    }
}

/// The lower 48 bits, enough for nine million years.
fn time48(time: u64) -> [u8; 6] {
    let [_, _, rest @ ..] = time.to_be_bytes();
    rest
}

type Found<'a> = (usize, Vec<u8>, Tsig<&'a [u8], ParsedName<&'a [u8]>>);

/// Where a message's TSIG record starts, its owner in lower case, and what it says. It must be the last record (RFC
/// 8945 5.1), and there must be nothing behind it.
fn find(message: &[u8]) -> Result<Option<Found<'_>>, ParseError> {
    let mut parser = Parser::from_ref(message);
    parser.advance(4).map_err(ParseError::from)?;
    let mut counts = [0_u16; 4];
    for count in &mut counts {
        *count = parser.parse_u16_be().map_err(ParseError::from)?;
    }
    for _ in 0..counts[0] {
        Question::<ParsedName<&[u8]>>::parse(&mut parser)?;
    }
    let records = counts[1..].iter().map(|count| u32::from(*count)).sum::<u32>();
    let mut last = None;
    for number in 1..=records {
        let start = parser.pos();
        let record = ParsedRecord::parse(&mut parser)?;
        if record.rtype() == Rtype::TSIG {
            if number != records || counts[3] == 0 || record.class() != Class::ANY || record.ttl() != Ttl::ZERO {
                return Err(ParseError::form_error("a TSIG record in the wrong place"));
            }
            last = Some((start, record));
        }
    }
    if parser.remaining() > 0 {
        return Err(ParseError::form_error("octets behind the last record"));
    }
    let Some((start, record)) = last else { return Ok(None) };
    let owner = record.owner().to_vec().as_slice().to_ascii_lowercase();
    let Some(record) = record.to_record::<Tsig<&[u8], ParsedName<&[u8]>>>()? else { return Ok(None) };
    Ok(Some((start, owner, record.into_data())))
}

#[cfg(test)]
pub(super) mod tests {
    use std::str::FromStr as _;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use super::*;

    fn vectors() -> Vec<Value> {
        let file: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
        file["vectors"].as_array().unwrap().clone()
    }

    fn unhex(text: &Value) -> Vec<u8> {
        let text = text.as_str().unwrap();
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn key(vector: &Value) -> Key {
        let name = Name::from_str(vector["key_name"].as_str().unwrap()).unwrap();
        let algorithm = Algorithm::parse(vector["algorithm"].as_str().unwrap()).unwrap();
        let secret = STANDARD.decode(vector["secret_base64"].as_str().unwrap()).unwrap();
        Key::new(&name, algorithm, Secret::new(secret))
    }

    fn request(vector: &Value) -> Signed {
        let (mac, time) = (unhex(&vector["request_mac_hex"]), vector["time_signed"].as_u64().unwrap());
        Signed { message: Vec::new(), mac, time }
    }

    /// An answer as a server signs it (RFC 8945 5.3).
    pub(in super::super) fn sign_answer(
        key: &Key,
        request: &Signed,
        answer: &[u8],
        time: u64,
        error: u16,
        other: &[u8],
    ) -> Vec<u8> {
        let length = (request.mac.len() as u16).to_be_bytes();
        let variables = key.variables(time, FUDGE, error, other);
        let mac = key.algorithm.mac(key.secret.expose(), &[&length, &request.mac, answer, &variables]);
        with_record(key, answer, &mac, time, error, other)
    }

    /// An answer with a TSIG record, whatever its worth.
    pub(in super::super) fn with_record(
        key: &Key,
        answer: &[u8],
        mac: &[u8],
        time: u64,
        error: u16,
        other: &[u8],
    ) -> Vec<u8> {
        let Signed { message, .. } = key.sign(answer.to_vec(), time);
        let start = answer.len() + key.name.len();
        let mut data = key.algorithm.wire_name();
        data.extend_from_slice(&time48(time));
        data.extend_from_slice(&FUDGE.to_be_bytes());
        data.extend_from_slice(&(mac.len() as u16).to_be_bytes());
        data.extend_from_slice(mac);
        data.extend_from_slice(&answer[..2]);
        data.extend_from_slice(&error.to_be_bytes());
        data.extend_from_slice(&(other.len() as u16).to_be_bytes());
        data.extend_from_slice(other);
        let mut message = message[..start + 8].to_vec();
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(&data);
        message
    }

    #[test]
    fn requests_are_signed_as_another_library_signs_them() {
        let mut algorithms = Vec::new();
        for vector in vectors().iter().filter(|vector| vector["direction"] == "request") {
            let signed =
                key(vector).sign(unhex(&vector["wire_without_tsig_hex"]), vector["time_signed"].as_u64().unwrap());
            assert_eq!(signed.message, unhex(&vector["wire_with_tsig_hex"]), "{}", vector["name"]);
            algorithms.push(key(vector).algorithm);
        }
        assert!(Algorithm::ALL.iter().all(|algorithm| algorithms.contains(algorithm)), "{algorithms:?}");
    }

    #[test]
    fn answers_are_judged_as_they_were_signed() {
        for vector in vectors().iter().filter(|vector| vector["direction"] == "response") {
            let (key, request, answer) = (key(vector), request(vector), unhex(&vector["wire_with_tsig_hex"]));
            let expected = match vector["tsig_error"].as_u64().unwrap() {
                0 => Seal::Good,
                16 => Seal::NotAccepted { code: "BADSIG" },
                17 => Seal::NotAccepted { code: "BADKEY" },
                18 => {
                    let server =
                        unhex(&vector["other_data_hex"]).iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
                    Seal::BadTime { server }
                }
                other => panic!("{other}"),
            };
            assert_eq!(key.judge(&answer, &request, request.time), expected, "{}", vector["name"]);
            let unsigned = unhex(&vector["wire_without_tsig_hex"]);
            assert_eq!(key.judge(&unsigned, &request, request.time), Seal::Missing, "{}", vector["name"]);
        }
    }

    #[test]
    fn no_octet_of_a_signed_answer_can_be_changed() {
        let vectors = vectors();
        let vector = vectors.iter().find(|vector| vector["name"] == "response-NOERROR").unwrap();
        let (key, request, answer) = (key(vector), request(vector), unhex(&vector["wire_with_tsig_hex"]));
        assert_eq!(key.judge(&answer, &request, request.time), Seal::Good);
        for at in 0..answer.len() {
            let mut forged = answer.clone();
            forged[at] ^= 1;
            let seal = key.judge(&forged, &request, request.time);
            // The id counts as it was signed; whoever reads the answer compares the other one.
            assert_eq!(seal == Seal::Good, at < 2, "octet {at}: {seal:?}");
            let _ = key.judge(&answer[..at], &request, request.time);
        }
        let other = Signed { mac: vec![0; 32], ..request.clone() };
        assert_eq!(key.judge(&answer, &other, request.time), Seal::Broken, "an answer to another request");
        let late = request.time + u64::from(FUDGE) + 1;
        assert_eq!(key.judge(&answer, &request, late), Seal::BadTime { server: request.time });
        assert!(!format!("{key:?}").contains("secret"));
    }
}
