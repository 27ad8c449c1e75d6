//! PCP, the successor of NAT-PMP (RFC 6887), as far as it tells the external address.
//!
//! It has no question for that alone. Every mapping comes back with the address outside, so one is asked for: of UDP
//! to the very port that this question came from, for the shortest time that routers grant. Nobody else listens at
//! that port, and the socket hears the router only, so nothing new can be reached from outside. The mapping is given
//! back (lifetime 0, section 15) as soon as it has told the address; were that lost, it ends by itself.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use nicgate_protocol::address::unmapped;
use tokio::time::timeout;

use super::natpmp::RHYTHM;
use crate::detect::ask::{AskFault, Line};
use crate::way::Way;

/// What proves to the router that who gives a mapping back is who asked for it (RFC 6887 11.1).
pub type Nonce = [u8; 12];

/// Seconds; routers raise it to their own least, mostly 120.
const LIFETIME: u32 = 30;
/// How long the giving back may take. The address is known by then.
const FAREWELL: Duration = Duration::from_secs(1);

const VERSION: u8 = 2;
const MAP: u8 = 1;
const ANSWER: u8 = 0x80;
const UDP: u8 = 17;
const HEADER: usize = 24;
/// Header and MAP (11.1).
const LENGTH: usize = HEADER + 36;

/// Asks a router for its external address.
///
/// # Errors
/// When it does not tell.
pub async fn address(way: &Way, router: SocketAddr, patience: Duration, nonce: Nonce) -> Result<IpAddr, PcpFault> {
    let asking = async {
        let line = Line::open(way, router).await?;
        let local = line.local()?;
        let told = line.ask(&question(local, LIFETIME, nonce), RHYTHM, |bytes| read(bytes, local, nonce)).await?;
        Ok((line, local, told))
    };
    let (line, local, told) =
        timeout(patience, asking).await.unwrap_or(Err(AskFault::NoAnswer)).map_err(PcpFault::Ask)?;
    let address = told?;
    let farewell = question(local, 0, nonce);
    // Lost or refused, the mapping ends by itself.
    let _ = timeout(FAREWELL, line.ask(&farewell, RHYTHM, |bytes| read(bytes, local, nonce))).await;
    Ok(address)
}

/// A MAP request of UDP to `local`; a lifetime of 0 gives the mapping back.
fn question(local: SocketAddr, lifetime: u32, nonce: Nonce) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    (bytes[0], bytes[1]) = (VERSION, MAP);
    bytes[4..8].copy_from_slice(&lifetime.to_be_bytes());
    bytes[8..24].copy_from_slice(&wide(local.ip()).octets());
    bytes[24..36].copy_from_slice(&nonce);
    bytes[36] = UDP;
    bytes[40..42].copy_from_slice(&local.port().to_be_bytes());
    // Port and address outside are the router's to choose: all zeros of the family (11.1).
    let any: IpAddr = if local.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    bytes[44..60].copy_from_slice(&wide(any).octets());
    bytes
}

/// Every address is an IPv6 one to PCP (section 5).
fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The answer about our mapping, if it is one. A refusal may come without the mapping (8.3).
fn read(bytes: &[u8], local: SocketAddr, nonce: Nonce) -> Option<Result<IpAddr, PcpFault>> {
    let code = *bytes.get(3)?;
    if bytes[1] != MAP | ANSWER || bytes.len() > 1100 {
        return None;
    }
    let map = bytes.get(HEADER..LENGTH);
    let is_ours = |map: &[u8]| map[..12] == nonce && map[12] == UDP && map[16..18] == local.port().to_be_bytes();
    match (code, map) {
        (0, Some(map)) if bytes[0] == VERSION && is_ours(map) => {
            let outside = map[20..].first_chunk().map(|octets: &[u8; 16]| Ipv6Addr::from(*octets))?;
            Some(Ok(unmapped(outside.into())))
        }
        (0, _) => None,
        (_, Some(map)) if !is_ours(map) => None,
        (code, _) => Some(Err(PcpFault::Refused(code))),
    }
}

/// Why there is no address.
#[derive(Debug)]
pub enum PcpFault {
    /// Nothing was heard.
    Ask(AskFault),
    /// It refused, with this code.
    Refused(u8),
}

impl fmt::Display for PcpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(fault) => fault.fmt(f),
            // RFC 6887 7.4.
            Self::Refused(1) => f.write_str("the router speaks another version"),
            Self::Refused(2) => f.write_str("the router does not let this machine open ports, and tells nothing else"),
            Self::Refused(7) => f.write_str("the router has no external address at present"),
            Self::Refused(8) => f.write_str("the router has no room for another mapping at present"),
            Self::Refused(12) => {
                f.write_str("the router sees this machine at another address: something between translates")
            }
            Self::Refused(code) => write!(f, "the router refused (code {code})"),
        }
    }
}

impl std::error::Error for PcpFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ask(fault) => Some(fault),
            Self::Refused(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = *b"nnnnnnnnnnnn";

    fn local() -> SocketAddr {
        "10.0.0.2:9".parse().unwrap()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn told(answer: &[u8]) -> Option<String> {
        read(answer, local(), NONCE)
            .map(|told| told.map_or_else(|fault| fault.to_string(), |address| address.to_string()))
    }

    /// miniupnpd 2.3.1, with 8.8.4.4 as its external address.
    fn answer() -> Vec<u8> {
        bytes(
            "0281000000000078000000010000000000000000000000006e6e6e6e6e6e6e6e6e6e6e6e\
             110000000009000900000000000000000000ffff08080404",
        )
    }

    #[test]
    fn a_question_asks_for_a_mapping_to_its_own_port() {
        let expected = "020100000000001e00000000000000000000ffff0a0000026e6e6e6e6e6e6e6e6e6e6e6e\
                        110000000009000000000000000000000000ffff00000000";
        assert_eq!(question(local(), 30, NONCE).to_vec(), bytes(expected));
        let v6 = question("[2001:db8::2]:9".parse().unwrap(), 0, NONCE);
        assert_eq!((&v6[4..8], &v6[8..12], &v6[44..]), (&[0; 4][..], &[0x20, 1, 0xd, 0xb8][..], &[0; 16][..]));
    }

    #[test]
    fn answers_give_an_address_or_a_reason() {
        assert_eq!(told(&answer()).as_deref(), Some("8.8.4.4"));
        for (code, expected) in [
            (1, "the router speaks another version"),
            (2, "the router does not let this machine open ports, and tells nothing else"),
            (3, "the router refused (code 3)"),
            (7, "the router has no external address at present"),
            (255, "the router refused (code 255)"),
        ] {
            let mut refused = answer();
            refused[3] = code;
            assert_eq!(told(&refused).as_deref(), Some(expected));
            assert_eq!(told(&refused[..HEADER]).as_deref(), Some(expected));
            refused[30] ^= 1;
            assert_eq!(told(&refused), None, "somebody else's mapping");
        }
    }

    #[test]
    fn what_is_no_answer_to_this_question_is_passed_over() {
        for (at, what) in [(0, "version"), (1, "opcode"), (24, "nonce"), (35, "nonce"), (36, "protocol"), (41, "port")]
        {
            let mut other = answer();
            other[at] ^= 2;
            assert_eq!(told(&other), None, "{what}");
        }
        for length in 0..LENGTH {
            assert_eq!(told(&answer()[..length]), None, "{length} bytes");
        }
        assert_eq!(told(&question(local(), 30, NONCE)), None, "an echo");
    }
}
