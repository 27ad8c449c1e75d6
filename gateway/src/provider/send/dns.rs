//! DNS messages to a name server and back, over UDP or TCP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::{CALL_DEADLINE, CONNECT_DEADLINE, is_allowed};
use crate::provider::{DnsCall, Heard, Silence};

/// For a DNS answer over UDP; then the conversation may ask again, or over TCP.
const UDP_DEADLINE: Duration = Duration::from_secs(3);
/// The longest DNS message.
const LONGEST_MESSAGE: usize = 65_535;

/// One DNS message and its answer.
pub(super) async fn ask(call: &DnsCall) -> Heard {
    let mut why = "the name of the server has no address".to_owned();
    let found = match tokio::net::lookup_host(&*call.server).await {
        Ok(found) => found.filter(|address| is_allowed(address.ip())),
        Err(error) => {
            let why = format!("the server's name cannot be resolved: {error}");
            return Heard::Silence(Silence { why, was_sent: false });
        }
    };
    for server in found {
        let asked =
            if call.is_tcp { ask_tcp(server, &call.message).await } else { ask_udp(server, &call.message).await };
        match asked {
            Ok(message) => return Heard::Message(message),
            // It may have arrived: the next address may be the same server.
            Err(silence) if silence.was_sent => return Heard::Silence(silence),
            Err(silence) => why = silence.why,
        }
    }
    Heard::Silence(Silence { why, was_sent: false })
}

async fn ask_udp(server: SocketAddr, message: &[u8]) -> Result<Bytes, Silence> {
    let local: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let unsent = |error: io::Error| Silence { why: format!("no connection: {error}"), was_sent: false };
    let socket = UdpSocket::bind(local).await.map_err(unsent)?;
    socket.connect(server).await.map_err(unsent)?;
    socket.send(message).await.map_err(unsent)?;
    let mut answer = vec![0; LONGEST_MESSAGE];
    let receive = async {
        loop {
            let length = socket.recv(&mut answer).await?;
            // Another id is a late answer to somebody else, or a guess.
            if answer[..length].get(..2) == message.get(..2) {
                return Ok::<usize, io::Error>(length);
            }
        }
    };
    match tokio::time::timeout(UDP_DEADLINE, receive).await {
        Ok(Ok(length)) => Ok(Bytes::copy_from_slice(&answer[..length])),
        // The system tells a closed port from a lost datagram.
        Ok(Err(error)) => {
            let was_sent = error.kind() != io::ErrorKind::ConnectionRefused;
            Err(Silence { why: format!("no connection: {error}"), was_sent })
        }
        Err(_) => Err(Silence { why: "no answer in time".to_owned(), was_sent: true }),
    }
}

async fn ask_tcp(server: SocketAddr, message: &[u8]) -> Result<Bytes, Silence> {
    let unsent = |why: String| Silence { why, was_sent: false };
    let mut stream = match tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(server)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unsent(format!("no connection: {error}"))),
        Err(_) => return Err(unsent("no connection in time".to_owned())),
    };
    let Ok(length) = u16::try_from(message.len()) else {
        return Err(unsent("the message is longer than DNS allows".to_owned()));
    };
    let exchange = async {
        stream.write_all(&[&length.to_be_bytes()[..], message].concat()).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, io::Error>(Bytes::from(answer))
    };
    match tokio::time::timeout(CALL_DEADLINE, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Silence { why: format!("the connection broke: {error}"), was_sent: true }),
        Err(_) => Err(Silence { why: "no answer in time".to_owned(), was_sent: true }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_port_heard_no_dns_message_and_a_silent_one_may_have() {
        let message = Bytes::from_static(&[7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for (server, is_tcp, was_sent) in
            [(silent.local_addr().unwrap(), false, true), (closed, false, false), (closed, true, false)]
        {
            let call = DnsCall { server: server.to_string().into(), is_tcp, message: message.clone() };
            let Heard::Silence(silence) = ask(&call).await else { panic!("{call:?}") };
            assert_eq!(silence.was_sent, was_sent, "{call:?}: {}", silence.why);
        }
    }
}
