//! The address from which the gateway sees us come: it is asked for `/myip` over one family.
//!
//! The answer is believed only when it is exactly one address of the family that the question went over; a portal's
//! page or a proxy's other family is none.

use std::fmt;
use std::net::IpAddr;

use nicgate_protocol::Family;
use nicgate_protocol::address::unmapped;

use crate::gateway::{Gateway, GatewayFault, Line};
use crate::reply::Answer;

/// No address, and why.
#[derive(Debug)]
pub enum EchoFault {
    /// The gateway could not be asked.
    Gateway(GatewayFault),
    /// It answered something else than one address of this family.
    NotAnAddress(u16, Family),
}

impl fmt::Display for EchoFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(fault) => fault.fmt(f),
            Self::NotAnAddress(status, family) => {
                let family = if *family == Family::V4 { "IPv4" } else { "IPv6" };
                write!(
                    f,
                    "the gateway's /myip did not answer with one {family} address (status {status}); is `gateway` the \
                     right URL, and if a proxy stands before the gateway, does the gateway trust it?"
                )
            }
        }
    }
}

impl std::error::Error for EchoFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Gateway(fault) => Some(fault),
            Self::NotAnAddress(..) => None,
        }
    }
}

/// Asks over one family. The connection comes back for further use.
///
/// # Errors
/// When the gateway cannot be reached over that family or does not answer with an address of it.
pub async fn address(gateway: &Gateway<'_>, family: Family) -> Result<(IpAddr, Line), EchoFault> {
    let mut line = gateway.connect(Some(family)).await.map_err(EchoFault::Gateway)?;
    let answer = line.ask(&gateway.question("/myip")).await.map_err(EchoFault::Gateway)?;
    match read(&answer, family) {
        Some(address) => Ok((address, line)),
        None => Err(EchoFault::NotAnAddress(answer.status, family)),
    }
}

/// The one address that the answer is, if it is one.
fn read(answer: &Answer, family: Family) -> Option<IpAddr> {
    if answer.status != 200 {
        return None;
    }
    let text = std::str::from_utf8(&answer.body).ok()?;
    text.trim_ascii().parse().ok().map(unmapped).filter(|address| Family::of(*address) == family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_address_of_the_family_is_believed() {
        for (status, body, family, expected) in [
            (200, "192.0.2.1\n", Family::V4, Some("192.0.2.1")),
            (200, "::ffff:192.0.2.1", Family::V4, Some("192.0.2.1")),
            (200, "2001:DB8::1\n", Family::V6, Some("2001:db8::1")),
            (200, "2001:db8::1", Family::V4, None),
            (200, "192.0.2.1", Family::V6, None),
            (200, "192.0.2.1,192.0.2.2", Family::V4, None),
            (200, "Current IP Address: 192.0.2.1", Family::V4, None),
            (200, "<html>192.0.2.1</html>", Family::V4, None),
            (200, "", Family::V4, None),
            (502, "192.0.2.1", Family::V4, None),
        ] {
            let answer = Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() };
            assert_eq!(read(&answer, family).map(|address| address.to_string()).as_deref(), expected, "{body}");
        }
    }
}
