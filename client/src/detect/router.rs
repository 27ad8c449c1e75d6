//! The home router's external address, asked of the router itself: NAT-PMP, PCP or UPnP.
//!
//! It costs no third party and no packet beyond the home. A router may be mistaken, or stand behind another one:
//! what it says is told as it is, private addresses and 0.0.0.0 included; judging is for [`super::claims`] and whoever
//! asks. IPv4 alone: IPv6 is not translated, the interfaces know it.

pub mod igd;
pub mod natpmp;
pub mod pcp;
mod xml;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use natpmp::NatPmpFault;

pub use igd::IgdFault;
pub use pcp::PcpFault;

pub use crate::settings::Method;
use crate::way::Way;

/// Where routers take questions of NAT-PMP and of PCP, its successor (RFC 6886 3.1, RFC 6887 19.1).
pub const PORT: u16 = 5351;

/// Asks the router for its external address; also how it told. `router` is the next hop of the default route:
/// without one only UPnP can find it. `nonce` are random bits for PCP.
///
/// With [`Method::Any`], NAT-PMP and PCP have a third of the patience: who does not speak them is mostly silent.
///
/// # Errors
/// When it does not tell.
pub async fn address(
    way: &Way,
    router: Option<Ipv4Addr>,
    method: Method,
    patience: Duration,
    nonce: pcp::Nonce,
) -> Result<(IpAddr, &'static str), RouterFault> {
    let first = match (method, router) {
        (Method::Upnp, _) => None,
        (Method::Any | Method::Pcp, None) => Some(PortFault::NoRouter),
        (Method::Any | Method::Pcp, Some(router)) => {
            let share = if method == Method::Any { patience / 3 } else { patience };
            match ask_the_port(way, SocketAddr::new(router.into(), PORT), share, nonce).await {
                Ok(told) => return Ok(told),
                Err(fault) => Some(fault),
            }
        }
    };
    match (method, first) {
        (Method::Pcp, Some(fault)) => Err(RouterFault { port: Some(fault), upnp: None }),
        (_, port) => {
            let share = if port.is_some() { patience - patience / 3 } else { patience };
            match igd::address(way, igd::Search { router, ..igd::Search::default() }, share).await {
                Ok(address) => Ok((address.into(), "UPnP")),
                Err(fault) => Err(RouterFault { port, upnp: Some(fault) }),
            }
        }
    }
}

/// NAT-PMP first: its question changes nothing in the router. Who answers that it speaks another version speaks PCP.
///
/// # Errors
/// When neither tells an address.
pub async fn ask_the_port(
    way: &Way,
    router: SocketAddr,
    patience: Duration,
    nonce: pcp::Nonce,
) -> Result<(IpAddr, &'static str), PortFault> {
    match natpmp::address(way, router, patience).await {
        Ok(address) => Ok((address.into(), "NAT-PMP")),
        Err(NatPmpFault::OtherVersion) => match pcp::address(way, router, patience, nonce).await {
            Ok(address) => Ok((address, "PCP")),
            Err(fault) => Err(PortFault::Pcp(fault)),
        },
        Err(fault) => Err(PortFault::NatPmp(fault)),
    }
}

/// Why NAT-PMP and PCP told nothing.
#[derive(Debug)]
pub enum PortFault {
    /// NAT-PMP did not.
    NatPmp(NatPmpFault),
    /// There is no router to ask.
    NoRouter,
    /// PCP did not.
    Pcp(PcpFault),
}

impl fmt::Display for PortFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NatPmp(fault) => write!(f, "NAT-PMP: {fault}"),
            Self::NoRouter => f.write_str("NAT-PMP: this machine has no default IPv4 route, so no router is known"),
            Self::Pcp(fault) => write!(f, "PCP: {fault}"),
        }
    }
}

/// Why the router's address is unknown: what each method that was tried ended with.
#[derive(Debug)]
pub struct RouterFault {
    /// NAT-PMP and PCP, where they were tried.
    pub port: Option<PortFault>,
    /// UPnP, where it was tried.
    pub upnp: Option<IgdFault>,
}

impl fmt::Display for RouterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the router tells no address (")?;
        if let Some(fault) = &self.port {
            fault.fmt(f)?;
        }
        if let Some(fault) = &self.upnp {
            write!(f, "{}UPnP: {fault}", if self.port.is_some() { "; " } else { "" })?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for RouterFault {}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    /// A router that speaks PCP alone: what it answers to NAT-PMP, and how many mappings it has after each question.
    async fn speak_pcp_alone(socket: UdpSocket, mappings: tokio::sync::mpsc::UnboundedSender<usize>) {
        let mut mapped = Vec::new();
        let mut buffer = [0; 1100];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            let mut answer = buffer[..length].to_vec();
            match answer[..] {
                // RFC 6887 9: its own version, and the result in the place that both share.
                [0, opcode] => answer = vec![2, opcode | 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
                _ => {
                    let (lifetime, key) = (buffer[4..8].to_vec(), buffer[24..42].to_vec());
                    mapped.retain(|other| *other != key);
                    if lifetime != [0; 4] {
                        mapped.push(key);
                    }
                    answer[1] |= 0x80;
                    answer[56..60].copy_from_slice(&[192, 0, 2, 1]);
                }
            }
            socket.send_to(&answer, peer).await.unwrap();
            mappings.send(mapped.len()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_router_that_speaks_pcp_alone_is_asked_by_that_and_keeps_no_mapping() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let router = socket.local_addr().unwrap();
        let (sender, mut mappings) = tokio::sync::mpsc::unbounded_channel();
        let speaking = tokio::spawn(speak_pcp_alone(socket, sender));
        let told = ask_the_port(&Way::ANY, router, Duration::from_secs(5), [7; 12]).await.unwrap();
        assert_eq!(told, ("192.0.2.1".parse().unwrap(), "PCP"));
        let mut counts = Vec::new();
        while let Ok(count) = mappings.try_recv() {
            counts.push(count);
        }
        assert_eq!(counts, [0, 1, 0]);
        speaking.abort();
    }
}
