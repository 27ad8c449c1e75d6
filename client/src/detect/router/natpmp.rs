//! NAT-PMP: the question for the external address (RFC 6886 3.2). It changes nothing in the router.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use crate::detect::ask::{AskFault, Line, Rhythm};
use crate::way::Way;

/// RFC 6886 3.1: a quarter of a second, doubled each time. PCP keeps it too, instead of the 3 s of RFC 6887 8.1.1: the
/// router is one hop away, and repeats do no harm.
pub(crate) const RHYTHM: Rhythm = Rhythm { first: Duration::from_millis(250), most: Duration::from_secs(4) };

/// Version 0, opcode 0.
const QUESTION: [u8; 2] = [0, 0];
/// What answers bear: the opcode and the highest bit.
const ANSWER: u8 = 0x80;

/// Asks a router for its external address.
///
/// # Errors
/// When it does not tell.
pub async fn address(way: &Way, router: SocketAddr, patience: Duration) -> Result<Ipv4Addr, NatPmpFault> {
    let asking = async {
        let line = Line::open(way, router).await?;
        line.ask(&QUESTION, RHYTHM, read).await
    };
    timeout(patience, asking).await.unwrap_or(Err(AskFault::NoAnswer)).map_err(NatPmpFault::Ask)?
}

/// An answer, if it is one. A speaker of PCP puts its own version first and the same result into the same place
/// (RFC 6887 9).
fn read(bytes: &[u8]) -> Option<Result<Ipv4Addr, NatPmpFault>> {
    let (&[version, ANSWER, r0, r1], rest) = bytes.split_first_chunk()? else { return None };
    match (version, u16::from_be_bytes([r0, r1])) {
        // The seconds since the router's start stand before the address.
        (0, 0) => rest.get(4..8)?.first_chunk().map(|octets: &[u8; 4]| Ok(Ipv4Addr::from(*octets))),
        (_, 1) => Some(Err(NatPmpFault::OtherVersion)),
        (0, code) => Some(Err(NatPmpFault::Refused(code))),
        _ => None,
    }
}

/// Why there is no address.
#[derive(Debug)]
pub enum NatPmpFault {
    /// Nothing was heard.
    Ask(AskFault),
    /// It speaks another version: PCP.
    OtherVersion,
    /// It refused, with this code.
    Refused(u16),
}

impl fmt::Display for NatPmpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(fault) => fault.fmt(f),
            Self::OtherVersion => f.write_str("the router speaks another version"),
            // RFC 6886 3.5.
            Self::Refused(2) => f.write_str("the router is not allowed to tell: it is switched off there"),
            Self::Refused(3) => f.write_str("the router has no external address at present"),
            Self::Refused(code) => write!(f, "the router refused (code {code})"),
        }
    }
}

impl std::error::Error for NatPmpFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ask(fault) => Some(fault),
            Self::OtherVersion | Self::Refused(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_give_an_address_or_a_reason() {
        for (bytes, expected) in [
            // miniupnpd 2.3.1, with 8.8.4.4 as its external address.
            (&[0, 128, 0, 0, 0, 0, 0, 1, 8, 8, 4, 4][..], Some("8.8.4.4")),
            (&[0, 128, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], Some("0.0.0.0")),
            (&[0, 128, 0, 1, 0, 0, 0, 1], Some("the router speaks another version")),
            (&[2, 128, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1], Some("the router speaks another version")),
            (&[0, 128, 0, 2, 0, 0, 0, 1], Some("the router is not allowed to tell: it is switched off there")),
            (&[0, 128, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0], Some("the router has no external address at present")),
            (&[0, 128, 1, 0, 0, 0, 0, 1], Some("the router refused (code 256)")),
            (&[0, 128, 0, 0, 0, 0, 0, 1, 8, 8, 4], None),
            (&[0, 129, 0, 0, 0, 0, 0, 1, 8, 8, 4, 4], None),
            (&[1, 128, 0, 0, 0, 0, 0, 1, 8, 8, 4, 4], None),
            (&[0, 0], None),
            (&[], None),
        ] {
            let told = read(bytes).map(|told| told.map_or_else(|fault| fault.to_string(), |found| found.to_string()));
            assert_eq!(told.as_deref(), expected, "{bytes:?}");
        }
    }
}
