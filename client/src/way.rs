//! The way out: by which network card packets leave, and the sockets that keep to it.
//!
//! A machine with several uplinks asks and tells through one of them at a time. The source address alone is enough
//! where the system routes by it (Windows since Vista, macOS with `IP_BOUND_IF`); Linux wants the device named too.
//! Which way to take is decided in `uplink`; nothing here chooses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nicgate_protocol::Family;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// By which card packets leave. The default leaves it to the system's routing table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The card, where one is named.
    pub card: Option<Card>,
}

/// A network card as sockets know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The system's name for it.
    pub name: String,
    /// The system's number for it.
    pub index: u32,
    /// The IPv4 address to speak from, if it has one.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address to speak from, if it has one.
    pub v6: Option<Ipv6Addr>,
}

impl Way {
    /// Whatever the routing table says.
    pub const ANY: Self = Self { card: None };

    /// Connects to `peer` by this way. Nagle's algorithm is off: with a delayed acknowledgement it would cost 40 ms
    /// between handshake and request.
    ///
    /// # Errors
    /// When the card has no address of the peer's family, or the system does not connect.
    pub async fn connect(&self, peer: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(Family::of(peer.ip()), Type::STREAM, Protocol::TCP)?;
        let stream = TcpSocket::from_std_stream(socket.into()).connect(peer).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A UDP socket of one family on a free port, bound to this way.
    ///
    /// # Errors
    /// When the card has no address of that family, or the system gives no socket.
    pub fn datagrams(&self, family: Family) -> io::Result<UdpSocket> {
        let socket = self.socket(family, Type::DGRAM, Protocol::UDP)?;
        if self.card.is_none() {
            let anywhere: IpAddr = match family {
                Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
                Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
            };
            socket.bind(&SocketAddr::new(anywhere, 0).into())?;
        }
        UdpSocket::from_std(socket.into())
    }

    /// The address from which this way speaks, where a card is named.
    #[must_use]
    pub fn source(&self, family: Family) -> Option<IpAddr> {
        let card = self.card.as_ref()?;
        match family {
            Family::V4 => card.v4.map(IpAddr::V4),
            Family::V6 => card.v6.map(IpAddr::V6),
        }
    }

    fn socket(&self, family: Family, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let domain = if family == Family::V4 { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        if let Some(card) = &self.card {
            let source = self.source(family).ok_or_else(|| no_address(card, family))?;
            pin(&socket, card, family)?;
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        Ok(socket)
    }
}

fn no_address(card: &Card, family: Family) -> io::Error {
    let family = if family == Family::V4 { "IPv4" } else { "IPv6" };
    io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{} has no {family} address to speak from", card.name))
}

/// Keeps a socket to a card whatever the routing table prefers.
#[cfg(target_os = "linux")]
fn pin(socket: &Socket, card: &Card, _family: Family) -> io::Result<()> {
    socket.bind_device(Some(card.name.as_bytes()))
}

/// Keeps a socket to a card whatever the routing table prefers.
#[cfg(target_os = "macos")]
fn pin(socket: &Socket, card: &Card, family: Family) -> io::Result<()> {
    let index = std::num::NonZeroU32::new(card.index);
    match family {
        Family::V4 => socket.bind_device_by_index_v4(index),
        Family::V6 => socket.bind_device_by_index_v6(index),
    }
}

/// The source address decides (strong host model): nothing else is needed.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn pin(_socket: &Socket, _card: &Card, _family: Family) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Way {
        let (name, index) = ("lo".to_owned(), 1);
        Way { card: Some(Card { name, index, v4: Some(Ipv4Addr::LOCALHOST), v6: None }) }
    }

    #[tokio::test]
    async fn a_socket_speaks_from_the_address_of_its_card() {
        let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        for way in [Way::ANY, loopback()] {
            let here = way.datagrams(Family::V4).unwrap();
            here.send_to(b"x", there.local_addr().unwrap()).await.unwrap();
            let (_, from) = there.recv_from(&mut [0]).await.unwrap();
            assert_eq!(from.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST), "{way:?}");
        }
    }

    #[tokio::test]
    async fn a_card_without_an_address_of_the_family_is_said() {
        let fault = loopback().datagrams(Family::V6).unwrap_err();
        assert_eq!(fault.to_string(), "lo has no IPv6 address to speak from");
    }
}
