//! The address from which somebody outside sees us come: the gateway is asked for `/myip` over one family; where no
//! gateway can tell, public services are.
//!
//! An answer is believed only when it is one address of the family that the question went over: a portal's page or
//! a proxy's other family is none. The gateway's word counts alone, since it is the one that has to believe us. A
//! public service's counts when another says the same; where only one is named, alone.

use std::fmt;
use std::net::IpAddr;

use nicgate_protocol::Family;
use nicgate_protocol::address::unmapped;

use crate::base_url::BaseUrl;
use crate::gateway;
use crate::http::{Answer, Caller, HttpFault, Line};

/// How many public services have to agree.
const AGREEMENT: usize = 2;

/// No address, and why.
#[derive(Debug)]
pub enum WebFault {
    /// The public services say different things, or too few of them anything: what each said.
    Disagreement(Vec<String>),
    /// The peer could not be asked.
    Http(HttpFault),
    /// It answered something else than one address of this family.
    NotAnAddress(u16, Family),
}

impl fmt::Display for WebFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disagreement(said) => write!(f, "no two public services agree: {}", said.join("; ")),
            Self::Http(fault) => fault.fmt(f),
            Self::NotAnAddress(status, family) => {
                let family = if *family == Family::V4 { "IPv4" } else { "IPv6" };
                write!(
                    f,
                    "its /myip did not answer with one {family} address (status {status}); is `gateway` the right \
                     URL, and if a proxy stands before the gateway, does the gateway trust it?"
                )
            }
        }
    }
}

impl std::error::Error for WebFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Http(fault) => Some(fault),
            Self::Disagreement(_) | Self::NotAnAddress(..) => None,
        }
    }
}

/// Asks a gateway over one family. The connection comes back for further use.
///
/// # Errors
/// When the gateway cannot be reached over that family or does not answer with an address of it.
pub async fn by_gateway(caller: &Caller, url: &BaseUrl, family: Family) -> Result<(IpAddr, Line), WebFault> {
    let mut line = caller.connect(url, Some(family)).await.map_err(WebFault::Http)?;
    let answer = line.ask(&gateway::get(url, "/myip")).await.map_err(WebFault::Http)?;
    match read(&answer, family) {
        Some(address) => Ok((address, line)),
        None => Err(WebFault::NotAnAddress(answer.status, family)),
    }
}

/// Asks public services over one family, one after the other, until two agree. Gives the address, who said it, and
/// the address of ours from which it was asked.
///
/// # Errors
/// When they do not agree.
pub async fn by_echo(
    caller: &Caller,
    services: &[BaseUrl],
    family: Family,
) -> Result<(IpAddr, String, Option<IpAddr>), WebFault> {
    let mut heard: Vec<IpAddr> = Vec::new();
    let mut said = Vec::new();
    for url in services {
        let answer = async {
            let mut line = caller.connect(url, Some(family)).await?;
            line.ask(&gateway::get(url, "")).await.map(|answer| (answer, line.local()))
        };
        match answer.await {
            Ok((answer, local)) => match read(&answer, family) {
                Some(address) => {
                    said.push(format!("{} says {address}", url.host()));
                    heard.push(address);
                    if is_agreed(&heard, services.len()) {
                        return Ok((address, url.host().to_owned(), local));
                    }
                }
                None => said.push(format!("{} answers with something else (status {})", url.host(), answer.status)),
            },
            Err(fault) => said.push(format!("{}: {fault}", url.host())),
        }
    }
    Err(WebFault::Disagreement(said))
}

/// Whether enough of the services said what the last one did; one that is named alone is enough.
fn is_agreed(heard: &[IpAddr], services: usize) -> bool {
    let agreeing = heard.iter().filter(|address| Some(*address) == heard.last()).count();
    agreeing >= AGREEMENT.min(services).max(1)
}

/// The one address that the answer is, if it is one: bare, or in a line `ip=…`.
fn read(answer: &Answer, family: Family) -> Option<IpAddr> {
    if answer.status != 200 {
        return None;
    }
    let text = std::str::from_utf8(&answer.body).ok()?.trim_ascii();
    let mut marked = text.lines().filter_map(|line| line.strip_prefix("ip="));
    let text = match (marked.next(), marked.next()) {
        (Some(only), None) => only.trim_ascii(),
        (Some(_), Some(_)) => return None,
        (None, _) => text,
    };
    text.parse().ok().map(unmapped).filter(|address| Family::of(*address) == family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_public_service_among_several_is_not_believed_alone() {
        for (heard, services, expected) in [
            (&[][..], 3, false),
            (&[1], 3, false),
            (&[1, 2], 3, false),
            (&[1, 2, 1], 3, true),
            (&[1, 1], 2, true),
            (&[1, 2], 2, false),
            (&[1], 1, true),
        ] {
            let addresses: Vec<IpAddr> = heard.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect();
            assert_eq!(is_agreed(&addresses, services), expected, "{heard:?} of {services}");
        }
    }

    #[test]
    fn only_a_bare_address_of_the_family_is_believed() {
        for (status, body, family, expected) in [
            (200, "192.0.2.1\n", Family::V4, Some("192.0.2.1")),
            (200, "::ffff:192.0.2.1", Family::V4, Some("192.0.2.1")),
            (200, "2001:DB8::1\n", Family::V6, Some("2001:db8::1")),
            (200, "fl=1\nip=192.0.2.1\nts=2\n", Family::V4, Some("192.0.2.1")),
            (200, "ip=192.0.2.1\nip=192.0.2.2\n", Family::V4, None),
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
