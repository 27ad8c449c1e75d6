//! The sockets of the name server: each address over UDP and over TCP, on the same port.
//!
//! UDP has threads of its own and never waits for the runtime; TCP runs on it, within bounds (`tcp`). On a host
//! with several addresses name each of them: a reply to a datagram that came in on the wildcard address leaves
//! from the one that the system prefers.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::{Zones, tcp, udp};

/// UDP threads for each address, if there are as many cores.
const MOST_THREADS: usize = 2;
/// How often to look for a port that is free over TCP and over UDP, where any will do.
const TRIES: usize = 16;
/// Connections that the system may hold for us until there is a place.
const BACKLOG: i32 = 128;
/// What the system may hold for us while a thread is busy.
const RECEIVE_BUFFER: usize = 1 << 20;
/// A reply that cannot be sent for so long is given up.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);

/// A name server that holds its sockets and does not answer yet.
pub struct Server {
    addresses: Vec<SocketAddr>,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    runtime: Handle,
}

impl Server {
    /// Binds each address over UDP and TCP. To be called within a tokio runtime, which then serves TCP.
    ///
    /// # Errors
    /// When an address cannot be bound, with the address in the text, or when there is no runtime.
    pub fn bind(listen: &[SocketAddr]) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let mut server = Self { addresses: Vec::new(), udp: Vec::new(), tcp: Vec::new(), runtime };
        for address in listen {
            let bound = server.bind_one(*address);
            bound.map_err(|error| io::Error::new(error.kind(), format!("cannot serve DNS on {address}: {error}")))?;
        }
        Ok(server)
    }

    /// The addresses with their real ports, in the order they were given.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Starts to answer.
    ///
    /// # Panics
    /// When the system has no thread to give.
    #[must_use]
    pub fn start(self, zones: Arc<Zones>) -> Running {
        let stopping = Arc::new(AtomicBool::new(false));
        let answer = |socket| {
            let (zones, stopping) = (Arc::clone(&zones), Arc::clone(&stopping));
            thread::spawn(move || udp::answer(&socket, &zones, &stopping))
        };
        let threads = self.udp.into_iter().map(answer).collect();
        let places = tcp::Places::new();
        let accept = |listener| {
            let accepting = tcp::accept(listener, Arc::clone(&places), Arc::clone(&zones));
            self.runtime.spawn(accepting).abort_handle()
        };
        let listeners = self.tcp.into_iter().map(accept).collect();
        Running { stopping, threads, listeners }
    }

    fn bind_one(&mut self, address: SocketAddr) -> io::Result<()> {
        let tries = if address.port() == 0 { TRIES } else { 1 };
        let mut tried = self.try_to_bind(address);
        for _ in 1..tries {
            if tried.is_ok() {
                break;
            }
            tried = self.try_to_bind(address);
        }
        tried
    }

    fn try_to_bind(&mut self, address: SocketAddr) -> io::Result<()> {
        // TCP first: this socket is ours alone, so a second server on the same address fails here, and does not
        // take half of our datagrams over a shared port.
        let listener = socket(address, Type::STREAM, Protocol::TCP)?;
        #[cfg(unix)]
        listener.set_reuse_address(true)?; // connections of a server before us may still be in TIME-WAIT
        listener.set_nonblocking(true)?;
        listener.bind(&address.into())?;
        listener.listen(BACKLOG)?;
        let listener = TcpListener::from_std(listener.into())?;

        let address = listener.local_addr()?;
        let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS));
        let mut sockets = Vec::new();
        if threads > 1 {
            // Where the system cannot share a port, one socket does.
            sockets.extend((0..threads).map_while(|_| datagrams(address, true).ok()));
        }
        if sockets.is_empty() {
            sockets.push(datagrams(address, false)?);
        }
        self.addresses.push(address);
        self.tcp.push(listener);
        self.udp.append(&mut sockets);
        Ok(())
    }
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // so that 0.0.0.0 and [::] can stand side by side
    }
    Ok(socket)
}

fn datagrams(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
    if shared {
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        #[cfg(not(unix))]
        return Err(io::ErrorKind::Unsupported.into());
    }
    // The system may allow less; that is no reason not to start.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_read_timeout(Some(udp::LOOK_UP))?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A name server that answers, until it is stopped or dropped.
pub struct Running {
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    listeners: Vec<AbortHandle>,
}

impl Running {
    /// Closes all sockets and connections. Blocks for half a second at the most, until the last thread has ended.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
        // Last, because this socket keeps the port: a server that got it earlier would share it with our threads.
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{IpAddr, TcpStream};

    use nicgate_protocol::{AddressSet, Hostname};

    use super::*;
    use crate::dns::ZoneHead;

    /// Long enough for a busy machine; nothing waits for it when all is well.
    const PATIENCE: Duration = Duration::from_secs(20);
    /// Asks for the A record of `nas.home.test`; the id is left out.
    const QUERY: &[u8] = b"\x01\0\0\x01\0\0\0\0\0\0\x03nas\x04home\x04test\0\0\x01\0\x01";
    /// What follows the id in the reply.
    const REPLY: &[u8] = b"\x85\0\0\x01\0\x01\0\0\0\0\x03nas\x04home\x04test\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";

    fn zones() -> Arc<Zones> {
        let host = |text| Hostname::parse(text).unwrap();
        let zones = Zones::new(vec![ZoneHead {
            name: host("home.test"),
            nameservers: vec![host("ns.home.test")],
            mailbox: host("hostmaster.home.test"),
            ttl: 300,
            negative_ttl: 30,
            nameserver_addresses: AddressSet::EMPTY,
        }]);
        zones.load([(host("nas.home.test"), IpAddr::from([192, 0, 2, 1]).into(), 60)].into_iter(), 1);
        Arc::new(zones)
    }

    fn start() -> (Running, SocketAddr) {
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = server.addresses()[0];
        (server.start(zones()), address)
    }

    fn ask_udp(server: SocketAddr, id: u16) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(server).unwrap();
        socket.send(&[&id.to_be_bytes(), QUERY].concat()).unwrap();
        let mut reply = [0; 512];
        let mut length = socket.recv(&mut reply).unwrap();
        // The port may have been somebody else's a moment ago, who did not wait for the reply.
        while reply[..2] != id.to_be_bytes() {
            length = socket.recv(&mut reply).unwrap();
        }
        assert_eq!(reply[..length], [&id.to_be_bytes(), REPLY].concat());
    }

    fn connect(server: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn framed(id: u16, message: &[u8]) -> Vec<u8> {
        let length = (message.len() + 2) as u16;
        [&length.to_be_bytes(), &id.to_be_bytes(), message].concat()
    }

    fn ask_tcp(stream: &mut TcpStream, id: u16) {
        stream.write_all(&framed(id, QUERY)).unwrap();
        let expected = framed(id, REPLY);
        let mut reply = vec![0; expected.len()];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply, expected);
    }

    fn is_closed(mut stream: TcpStream) -> bool {
        match stream.read(&mut [0]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn both_transports_answer_on_one_port_and_end_when_told_to() {
        let (running, address) = start();
        for id in 0..20 {
            ask_udp(address, id); // from as many ports, so that each thread has its turn
        }
        let mut stream = connect(address);
        for id in 0..5 {
            ask_tcp(&mut stream, id);
        }
        running.stop();
        assert!(is_closed(stream));
        Server::bind(&[address]).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn datagrams_that_nobody_understands_or_waits_for_stop_nothing() {
        let (running, address) = start();
        for id in 0..50 {
            // Closed at once, so that the reply is met by "port unreachable".
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(&[&[0, id], QUERY].concat(), address).unwrap();
            socket.send_to(&vec![id; usize::from(id) * 100], address).unwrap();
        }
        for id in 1000..1020 {
            ask_udp(address, id);
        }
        running.stop();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_second_server_does_not_share_the_port_of_the_first() {
        let (running, address) = start();
        let error = Server::bind(&[address]).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        running.stop();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_source_holds_four_connections_and_the_fifth_is_closed() {
        let (running, address) = start();
        let mut seated: Vec<TcpStream> = (0..4).map(|_| connect(address)).collect();
        for (id, stream) in (0..).zip(&mut seated) {
            ask_tcp(stream, id);
        }
        assert!(is_closed(connect(address)));
        running.stop();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_no_query_closes_its_connection() {
        let (running, address) = start();
        for bad in [&[0, 2, 1, 1][..], &[0xff, 0xff, 0, 0], &framed(1, REPLY)] {
            let mut stream = connect(address);
            stream.write_all(bad).unwrap();
            assert!(is_closed(stream), "{bad:?}");
        }
        running.stop();
    }

    #[test]
    fn without_a_runtime_there_is_an_error_and_no_panic() {
        assert!(Server::bind(&["127.0.0.1:0".parse().unwrap()]).is_err());
    }
}
