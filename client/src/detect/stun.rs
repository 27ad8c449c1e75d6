//! STUN: a server tells from which address a question reached it (RFC 8489, the Binding method over UDP).
//!
//! One question, repeated until an answer comes or patience ends (6.2.1). Only what comes from the server that was
//! asked and bears the question's own 96 random bits is an answer; everything else is passed over. No credentials, no
//! ALTERNATE-SERVER, no FINGERPRINT: nothing else shares the port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use nicgate_protocol::Family;
use nicgate_protocol::address::unmapped;
use tokio::time::timeout;

use super::ask::{self, AskFault, Line, Rhythm};
use crate::way::Way;

/// Where STUN servers listen.
pub const PORT: u16 = 3478;

/// RFC 8489 6.2.1: the first wait is RTO, each further one twice as long.
const RHYTHM: Rhythm = Rhythm { first: Duration::from_millis(500), most: Duration::from_secs(8) };

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const COOKIE: [u8; 4] = 0x2112_a442_u32.to_be_bytes();
const HEADER: usize = 20;

const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// What makes a question this one and no other (RFC 8489 5).
pub type TransactionId = [u8; 12];

/// Asks a server, `host` or `host:port`, from which address it is asked.
///
/// # Errors
/// When the server has no address of the family, does not answer in time, or answers without an address of it.
pub async fn address(
    way: &Way,
    family: Family,
    server: &str,
    patience: Duration,
    id: TransactionId,
) -> Result<IpAddr, StunFault> {
    let asked = timeout(patience, ask_at_leisure(way, family, server, id)).await;
    let address = unmapped(asked.map_err(|_| StunFault::Ask(AskFault::NoAnswer))??);
    if Family::of(address) == family { Ok(address) } else { Err(StunFault::OtherFamily(address)) }
}

async fn ask_at_leisure(way: &Way, family: Family, server: &str, id: TransactionId) -> Result<IpAddr, StunFault> {
    let server = ask::look_up(server, PORT, family).await.map_err(StunFault::Ask)?;
    let line = Line::open(way, server).await.map_err(StunFault::Ask)?;
    line.ask(&question(id), RHYTHM, |bytes| read(bytes, id)).await.map_err(StunFault::Ask)?
}

/// A Binding request without attributes.
fn question(id: TransactionId) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
    bytes[4..8].copy_from_slice(&COOKIE);
    bytes[8..].copy_from_slice(&id);
    bytes
}

/// The answer to the question of this id; `None` for whatever is none.
fn read(bytes: &[u8], id: TransactionId) -> Option<Result<IpAddr, StunFault>> {
    let (header, attributes) = bytes.split_first_chunk::<HEADER>()?;
    let [t0, t1, l0, l1, c0, c1, c2, c3, their_id @ ..] = *header;
    if [c0, c1, c2, c3] != COOKIE || their_id != id || usize::from(u16::from_be_bytes([l0, l1])) != attributes.len() {
        return None;
    }
    match u16::from_be_bytes([t0, t1]) {
        BINDING_SUCCESS => Some(mapped(attributes, id).ok_or(StunFault::NoAddress)),
        BINDING_ERROR => {
            let code = find(attributes, ERROR_CODE).and_then(|value| Some((*value.get(2)?, *value.get(3)?)));
            let (class, number) = code.unwrap_or_default();
            Some(Err(StunFault::Refused(u16::from(class & 7) * 100 + u16::from(number))))
        }
        _ => None,
    }
}

/// XOR-MAPPED-ADDRESS (14.2), or the MAPPED-ADDRESS (14.1) of servers older than RFC 5389.
fn mapped(attributes: &[u8], id: TransactionId) -> Option<IpAddr> {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE);
    mask[4..].copy_from_slice(&id);
    find(attributes, XOR_MAPPED_ADDRESS)
        .and_then(|value| plain(value, mask))
        .or_else(|| find(attributes, MAPPED_ADDRESS).and_then(|value| plain(value, [0; 16])))
}

/// The value of the first attribute of a kind. Values are padded to four bytes.
fn find(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    while let Some(([k0, k1, l0, l1], rest)) = attributes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let value = rest.get(..length)?;
        if u16::from_be_bytes([*k0, *k1]) == kind {
            return Some(value);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// An address attribute: a zero byte, the family, the port, the address; masked with cookie and id.
fn plain(value: &[u8], mask: [u8; 16]) -> Option<IpAddr> {
    let (&[0, family, _, _], bytes) = value.split_first_chunk()? else { return None };
    match (family, bytes.len()) {
        (1, 4) => Some(Ipv4Addr::from(unmasked::<4>(bytes, mask)).into()),
        (2, 16) => Some(Ipv6Addr::from(unmasked::<16>(bytes, mask)).into()),
        _ => None,
    }
}

fn unmasked<const LENGTH: usize>(bytes: &[u8], mask: [u8; 16]) -> [u8; LENGTH] {
    std::array::from_fn(|index| bytes[index] ^ mask[index])
}

/// Why there is no address.
#[derive(Debug)]
pub enum StunFault {
    /// Nothing was heard.
    Ask(AskFault),
    /// The answer has no address in it.
    NoAddress,
    /// The answer is an address of the other family.
    OtherFamily(IpAddr),
    /// The server refused, with this code.
    Refused(u16),
}

impl fmt::Display for StunFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(fault) => fault.fmt(f),
            Self::NoAddress => f.write_str("the STUN server answered without an address"),
            Self::OtherFamily(address) => {
                write!(f, "the STUN server saw {address}, which is of the other family: something between translates")
            }
            Self::Refused(code) => write!(f, "the STUN server refused (code {code}): does it want a password?"),
        }
    }
}

impl std::error::Error for StunFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ask(fault) => Some(fault),
            Self::NoAddress | Self::OtherFamily(_) | Self::Refused(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 2.2 and 2.3: the sample answers, XOR-MAPPED-ADDRESS 192.0.2.1 and 2001:db8:1234:5678:11:2233:4455:6677.
    const ID: TransactionId = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
    const SAMPLE_V4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
                             002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7\
                             80280004c07d4c96";
    const SAMPLE_V6: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
                             002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf1\
                             1784c97c8292c275bfe3ed4180280004c8fb0b4c";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// A success with these attributes, of the sample's id.
    fn success(attributes: &str) -> Vec<u8> {
        let attributes = bytes(attributes);
        let mut answer = question(ID).to_vec();
        answer[..2].copy_from_slice(&BINDING_SUCCESS.to_be_bytes());
        answer[2..4].copy_from_slice(&u16::try_from(attributes.len()).unwrap().to_be_bytes());
        answer.extend(attributes);
        answer
    }

    fn told(answer: &[u8]) -> Option<String> {
        read(answer, ID).map(|told| told.map_or_else(|fault| fault.to_string(), |address| address.to_string()))
    }

    #[test]
    fn a_question_is_the_header_of_a_binding_request() {
        assert_eq!(question(ID).to_vec(), bytes("000100002112a442b7e7a701bc34d686fa87dfae"));
    }

    #[test]
    fn the_samples_of_the_rfc_are_read() {
        assert_eq!(told(&bytes(SAMPLE_V4)).as_deref(), Some("192.0.2.1"));
        assert_eq!(told(&bytes(SAMPLE_V6)).as_deref(), Some("2001:db8:1234:5678:11:2233:4455:6677"));
    }

    #[test]
    fn answers_give_an_address_or_a_reason() {
        for (attributes, expected) in [
            // MAPPED-ADDRESS of a server that knows no other; the masked one is preferred.
            ("000100080001a147c0000202", "192.0.2.2"),
            ("000100080001a147c0000202002000080001a147e112a643", "192.0.2.1"),
            ("000100080001a147c0000202002000080003a147e112a643", "192.0.2.2"),
            // Nothing, a length beyond the end, an unknown family, a length of the other family.
            ("", "the STUN server answered without an address"),
            ("002000090001a147e112a643", "the STUN server answered without an address"),
            ("002000080003a147e112a643", "the STUN server answered without an address"),
            ("002000080002a147e112a643", "the STUN server answered without an address"),
            ("0020000401", "the STUN server answered without an address"),
        ] {
            assert_eq!(told(&success(attributes)).as_deref(), Some(expected), "{attributes}");
        }
        let mut refused = success("000900040000040100000000");
        refused[..2].copy_from_slice(&BINDING_ERROR.to_be_bytes());
        assert_eq!(told(&refused).as_deref(), Some("the STUN server refused (code 401): does it want a password?"));
    }

    #[test]
    fn what_is_no_answer_to_this_question_is_passed_over() {
        let sample = bytes(SAMPLE_V4);
        for (at, what) in [(0, "type"), (1, "type"), (3, "length"), (4, "cookie"), (8, "id"), (19, "id")] {
            let mut other = sample.clone();
            other[at] ^= 2;
            assert_eq!(told(&other), None, "{what}");
        }
        assert_eq!(told(&question(ID)), None, "an echo");
        for length in 0..sample.len() {
            assert_eq!(told(&sample[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn garbage_of_any_shape_is_survived() {
        // xorshift: the same garbage each time.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..20_000 {
            let mut answer = success("");
            let length = round % 61;
            for _ in 0..length {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // Small numbers now and then: kinds and lengths that fit.
                answer.push(if state & 0x300 == 0 { state.to_le_bytes()[0] } else { state.to_le_bytes()[0] & 0x21 });
            }
            answer[3] = u8::try_from(length).unwrap();
            assert!(read(&answer, ID).is_some());
        }
    }
}
