//! One question by UDP, asked again and again until an answer comes. Whoever asks sets the limit of time.
//!
//! The socket is connected: the system passes nothing up that another peer sent, and tells when nobody listens there.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nicgate_protocol::Family;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::settings::source::host_and_port;
use crate::way::Way;

/// The longest datagram that is read. Every answer here is shorter (RFC 1035 4.2.1, RFC 6887 7, RFC 8489 6.1).
const LONGEST: usize = 1280;

/// How long to wait for an answer before asking again: twice as long each time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    /// The first wait.
    pub(crate) first: Duration,
    /// No wait is longer.
    pub(crate) most: Duration,
}

/// A way to one server.
pub(crate) struct Line {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Line {
    /// Gets ready to ask. Nothing is sent yet.
    pub(crate) async fn open(way: &Way, server: SocketAddr) -> Result<Self, AskFault> {
        let broken = |fault| AskFault::Network(server, fault);
        let socket = way.datagrams(Family::of(server.ip())).map_err(broken)?;
        socket.connect(server).await.map_err(broken)?;
        Ok(Self { socket, server })
    }

    /// The address and port from which this end speaks.
    pub(crate) fn local(&self) -> Result<SocketAddr, AskFault> {
        self.socket.local_addr().map_err(|fault| AskFault::Network(self.server, fault))
    }

    /// Asks until `read` takes a datagram for the answer; for ever, if it never does.
    pub(crate) async fn ask<T: Send>(
        &self,
        question: &[u8],
        rhythm: Rhythm,
        read: impl Fn(&[u8]) -> Option<T> + Sync,
    ) -> Result<T, AskFault> {
        let mut answer = None;
        let is_answer = &mut |bytes: &[u8]| {
            answer = read(bytes);
            answer.is_some()
        };
        let heard = self.insist(question, rhythm, is_answer).await;
        heard.map_err(|fault| AskFault::Network(self.server, fault))?;
        answer.ok_or(AskFault::NoAnswer)
    }

    /// Ends once `is_answer` says so. Not generic: compiled once for all who ask.
    async fn insist(
        &self,
        question: &[u8],
        rhythm: Rhythm,
        is_answer: &mut (dyn FnMut(&[u8]) -> bool + Send),
    ) -> io::Result<()> {
        let mut wait = rhythm.first;
        loop {
            self.socket.send(question).await?;
            match timeout(wait, self.listen(is_answer)).await {
                Ok(heard) => return heard,
                Err(_) => wait = rhythm.most.min(wait * 2),
            }
        }
    }

    async fn listen(&self, is_answer: &mut (dyn FnMut(&[u8]) -> bool + Send)) -> io::Result<()> {
        let mut buffer = [0; LONGEST];
        loop {
            let mut heard = ReadBuf::new(&mut buffer);
            // Unlike `recv` this gives way now and then even where a system (Wine) calls the socket closed for good once
            // the peer's port was, and no datagram follows: limits of time must hold.
            poll_fn(|context| self.socket.poll_recv(context, &mut heard)).await?;
            if is_answer(heard.filled()) {
                return Ok(());
            }
        }
    }
}

/// The first address of a family that a server has.
pub(crate) async fn look_up(server: &str, port: u16, family: Family) -> Result<SocketAddr, AskFault> {
    let Some((host, port)) = host_and_port(server, Some(port)) else { return Err(AskFault::NoServer) };
    // An address needs no resolver, and no resolver's thread.
    let address = match host.parse::<IpAddr>() {
        Ok(address) => Some(SocketAddr::new(address, port)),
        Err(_) => {
            let mut found = tokio::net::lookup_host((host, port)).await.map_err(AskFault::Unresolved)?;
            found.find(|address| Family::of(address.ip()) == family)
        }
    };
    address.filter(|address| Family::of(address.ip()) == family).ok_or(AskFault::NoSuchFamily(family))
}

/// Why a server could not be asked.
#[derive(Debug)]
pub enum AskFault {
    /// The network took no packet, or nobody listens there.
    Network(SocketAddr, io::Error),
    /// Patience ended.
    NoAnswer,
    /// The text names no server.
    NoServer,
    /// The server has no address of this family.
    NoSuchFamily(Family),
    /// Its name could not be looked up.
    Unresolved(io::Error),
}

impl fmt::Display for AskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(server, fault)
                if matches!(
                    fault.kind(),
                    // Windows tells of a closed port by a reset.
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
                ) =>
            {
                write!(f, "nobody listens at {server}")
            }
            Self::Network(server, fault) => write!(f, "{server} cannot be asked: {fault}"),
            Self::NoAnswer => f.write_str("no answer came in time"),
            Self::NoServer => f.write_str("the server is not written as a name or an address with an optional port"),
            Self::NoSuchFamily(Family::V4) => f.write_str("the server has no IPv4 address"),
            Self::NoSuchFamily(Family::V6) => f.write_str("the server has no IPv6 address"),
            Self::Unresolved(fault) => write!(f, "the server's name cannot be looked up: {fault}"),
        }
    }
}

impl std::error::Error for AskFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Network(_, fault) | Self::Unresolved(fault) => Some(fault),
            Self::NoAnswer | Self::NoServer | Self::NoSuchFamily(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_name_or_an_address_with_an_optional_port() {
        for (text, expected) in [
            ("stun.example.net", Some(("stun.example.net", 3478))),
            ("stun.example.net:19302", Some(("stun.example.net", 19302))),
            ("192.0.2.1", Some(("192.0.2.1", 3478))),
            ("192.0.2.1:53", Some(("192.0.2.1", 53))),
            ("2001:db8::1", Some(("2001:db8::1", 3478))),
            ("[2001:db8::1]", Some(("2001:db8::1", 3478))),
            ("[2001:db8::1]:53", Some(("2001:db8::1", 53))),
            ("", None),
            (":53", None),
            ("a:", None),
            ("a:0", None),
            ("a:65536", None),
            ("a b", None),
            ("a/b", None),
            ("[192.0.2.1]", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]53", None),
            ("a:b:c", None),
        ] {
            assert_eq!(host_and_port(text, Some(3478)), expected, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_question_is_repeated_until_an_answer_is_believed() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let line = Line::open(&Way::ANY, server.local_addr().unwrap()).await.unwrap();
        let rhythm = Rhythm { first: Duration::from_millis(5), most: Duration::from_millis(10) };
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let answering = async {
            let mut buffer = [0; 16];
            for _ in 0..4 {
                let (length, peer) = server.recv_from(&mut buffer).await.unwrap();
                assert_eq!(&buffer[..length], b"who?");
                stranger.send_to(b"yes", peer).await.unwrap();
                server.send_to(b"no", peer).await.unwrap();
            }
            let (_, peer) = server.recv_from(&mut buffer).await.unwrap();
            server.send_to(b"yes, you", peer).await.unwrap();
        };
        let asking = line.ask(b"who?", rhythm, |bytes| bytes.starts_with(b"yes").then(|| bytes.to_vec()));
        let (answer, ()) = tokio::join!(asking, answering);
        assert_eq!(answer.unwrap(), b"yes, you");
    }

    #[tokio::test]
    async fn who_is_not_there_is_told_at_once() {
        let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let nobody = taken.local_addr().unwrap();
        drop(taken);
        let line = Line::open(&Way::ANY, nobody).await.unwrap();
        let rhythm = Rhythm { first: Duration::from_millis(50), most: Duration::from_secs(1) };
        let fault = line.ask(b"?", rhythm, |_| Some(())).await.unwrap_err();
        assert_eq!(fault.to_string(), format!("nobody listens at {nobody}"));
    }
}
