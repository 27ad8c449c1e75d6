//! The doors: accept, give out seats, and send each connection through its phases in a task of its own.
//!
//! The accept loop cannot end by an error. Whatever fails belongs to one client, passes when somebody else lets go
//! of a descriptor, or is nobody's doing; in each case the next client is as welcome as the last.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use nicgate_protocol::address::unmapped;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::connection::{Hop, protocol, serve};
use super::peer::{Peer, TrustedProxies, read_proxy_header};
use super::seats::{Seat, Seats};
use super::{Answerer, HANDSHAKE_DEADLINE, Notice, PROXY_HEADER_DEADLINE, Phase, STOP_DEADLINE};

/// How long accepting pauses when it fails for a reason that does not lie with one client.
const PAUSE: Duration = Duration::from_millis(50);

/// What holds for the connections of one listener.
#[derive(Clone, Debug)]
pub struct Door {
    /// How to speak TLS, made by [`super::tls::server_config`]; `None`: in clear.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether every connection begins with a PROXY protocol v2 header of a trusted proxy.
    pub proxy_protocol: bool,
    /// Whose word is taken for somebody else's address.
    pub trusted: Arc<TrustedProxies>,
    /// The seats, shared by all doors. The first door that stops asks everybody to leave, so doors stop together.
    pub seats: Arc<Seats>,
}

/// Accepts connections until `stop` says so or its sender is gone; returns when the last of them has ended. Requests
/// that are being answered then have [`STOP_DEADLINE`] to end.
pub async fn run<A: Answerer>(listener: TcpListener, door: Door, answerer: Arc<A>, stop: watch::Receiver<bool>) {
    run_on(listener, door, answerer, stop).await;
}

/// Where connections come from: a socket, or a test that fails on purpose.
trait Source: Send {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Source for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.accept().await?;
        // Without this a small reply may wait 40 ms for the other side's delayed acknowledgement. It fails when the
        // client is gone already, which the handshake will notice.
        let _ = stream.set_nodelay(true);
        Ok((stream, address))
    }
}

async fn run_on<S: Source, A: Answerer>(source: S, door: Door, answerer: Arc<A>, mut stop: watch::Receiver<bool>) {
    let house = Arc::new(House { door, protocol: protocol(), answerer });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = told(&mut stop) => break,
            Some(ended) = connections.join_next() => house.note_end(&ended),
            accepted = source.next() => match accepted {
                Ok((stream, address)) => house.admit(&mut connections, stream, unmapped(address.ip())),
                Err(trouble) => house.accept_failed(&trouble).await,
            },
        }
    }
    drop(source);
    house.door.seats.dismiss();
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            house.note_end(&ended);
        }
    };
    if timeout(STOP_DEADLINE, all_ended).await.is_err() {
        house.answerer.notice(Notice::Cut(connections.len()));
        connections.shutdown().await;
    }
}

/// Returns when it is time to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could say so.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Why accepting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// That client is gone, or its network is: the next one is fine (accept(2), "Error handling").
    OfClient,
    /// Descriptors or memory have run out.
    Starved,
    /// Anything else.
    Other,
}

impl Trouble {
    fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;

        // ENFILE and EMFILE are the same numbers on every Unix; ENOBUFS is not.
        const OUT_OF_DESCRIPTORS: [i32; 2] = [23, 24];
        const NO_BUFFERS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };
        // ENONET and EPROTO, where they exist.
        const OF_NETWORK: [i32; 2] = [64, 71];

        if let Some(number) = error.raw_os_error() {
            if OUT_OF_DESCRIPTORS.contains(&number) || number == NO_BUFFERS {
                return Self::Starved;
            }
            if cfg!(target_os = "linux") && OF_NETWORK.contains(&number) {
                return Self::OfClient;
            }
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "the standard library adds kinds; new ones are unexpected")]
        match error.kind() {
            Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::BrokenPipe
            | Kind::HostUnreachable
            | Kind::Interrupted
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::PermissionDenied
            | Kind::TimedOut
            | Kind::WouldBlock => Self::OfClient,
            Kind::OutOfMemory => Self::Starved,
            _ => Self::Other,
        }
    }
}

/// What all connections of a door share.
struct House<A> {
    door: Door,
    protocol: http1::Builder,
    answerer: Arc<A>,
}

impl<A: Answerer> House<A> {
    fn admit<S>(self: &Arc<Self>, connections: &mut JoinSet<()>, stream: S, address: IpAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let is_trusted = self.door.trusted.hold(address);
        if self.door.proxy_protocol && !is_trusted {
            self.answerer.notice(Notice::NoProxyHeader(address));
            return;
        }
        match self.door.seats.take() {
            // A trusted proxy speaks for many: its connections are counted in all and not for one source.
            Some(seat) if is_trusted || seat.count_for(address) => {
                let house = Arc::clone(self);
                connections.spawn(async move { house.receive(stream, address, is_trusted, seat).await });
            }
            _ => self.answerer.notice(Notice::Full(address)),
        }
    }

    async fn receive<S>(&self, mut stream: S, mut address: IpAddr, mut is_trusted: bool, seat: Seat)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let place = &seat.place;
        let mut is_named = false;
        if self.door.proxy_protocol {
            let header = timeout(PROXY_HEADER_DEADLINE, read_proxy_header(&mut stream));
            let header = tokio::select! {
                header = header => header,
                () = place.asked_to_leave() => return,
            };
            match header {
                Ok(Ok(Some(source))) => {
                    address = source;
                    is_named = true;
                    is_trusted = self.door.trusted.hold(source);
                    if !is_trusted && !seat.count_for(source) {
                        return self.answerer.notice(Notice::Full(source));
                    }
                }
                Ok(Ok(None)) => {}
                Ok(Err(_)) => return self.answerer.notice(Notice::NoProxyHeader(address)),
                Err(_) => return self.answerer.notice(Notice::TooSlow(address, Phase::ProxyHeader)),
            }
        }
        let hop = Hop { peer: Peer { address, secure: self.door.tls.is_some() }, is_trusted, is_named };
        let Some(config) = &self.door.tls else {
            return serve(stream, hop, &self.protocol, &self.door.trusted, &self.answerer, place).await;
        };
        let handshake = timeout(HANDSHAKE_DEADLINE, TlsAcceptor::from(Arc::clone(config)).accept(stream));
        let handshake = tokio::select! {
            handshake = handshake => handshake,
            () = place.asked_to_leave() => return,
        };
        match handshake {
            Ok(Ok(stream)) => serve(stream, hop, &self.protocol, &self.door.trusted, &self.answerer, place).await,
            Ok(Err(why)) => self.answerer.notice(Notice::HandshakeFailed(address, &why)),
            Err(_) => self.answerer.notice(Notice::TooSlow(address, Phase::Handshake)),
        }
    }

    async fn accept_failed(&self, error: &io::Error) {
        match Trouble::of(error) {
            Trouble::OfClient => return,
            Trouble::Starved => self.answerer.notice(Notice::Starved(error)),
            Trouble::Other => self.answerer.notice(Notice::AcceptFailed(error)),
        }
        sleep(PAUSE).await;
    }

    fn note_end(&self, ended: &Result<(), tokio::task::JoinError>) {
        if ended.as_ref().is_err_and(tokio::task::JoinError::is_panic) {
            self.answerer.notice(Notice::Panicked);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, SupportedProtocolVersion};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::Mutex;
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;
    use tokio_rustls::TlsConnector;

    use super::super::rehearsal::{Echo, Folder, ask, echo, exchange, read_all, read_one};
    use super::super::seats::Caps;
    use super::super::tls::{Certificate, DevelopmentCa, development_ca, provider, server_config};
    use super::*;

    /// Errors that accepting gives first, then connections as the test makes them.
    struct Scripted {
        errors: std::sync::Mutex<VecDeque<io::Error>>,
        connections: Mutex<mpsc::UnboundedReceiver<(DuplexStream, SocketAddr)>>,
    }

    impl Source for Scripted {
        type Stream = DuplexStream;

        async fn next(&self) -> io::Result<(DuplexStream, SocketAddr)> {
            let error = self.errors.lock().unwrap().pop_front();
            match error {
                Some(error) => Err(error),
                None => self.connections.lock().await.recv().await.ok_or_else(|| io::Error::other("nobody comes")),
            }
        }
    }

    /// A listener that runs, in memory.
    struct Running {
        connections: mpsc::UnboundedSender<(DuplexStream, SocketAddr)>,
        stop: watch::Sender<bool>,
        echo: Arc<Echo>,
        seats: Arc<Seats>,
        task: JoinHandle<()>,
    }

    fn door(caps: Caps) -> Door {
        let trusted = Arc::new(TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]));
        Door { tls: None, proxy_protocol: false, trusted, seats: Seats::new(caps) }
    }

    fn run_in_memory(door: Door, errors: Vec<io::Error>) -> Running {
        let (connections, receiver) = mpsc::unbounded_channel();
        let source = Scripted { errors: std::sync::Mutex::new(errors.into()), connections: Mutex::new(receiver) };
        let (stop, stopped) = watch::channel(false);
        let echo = echo();
        let seats = Arc::clone(&door.seats);
        let task = tokio::spawn(run_on(source, door, Arc::clone(&echo), stopped));
        Running { connections, stop, echo, seats, task }
    }

    impl Running {
        fn connect_from(&self, peer: &str) -> DuplexStream {
            let (theirs, ours) = duplex(64 * 1024);
            self.connections.send((ours, SocketAddr::new(peer.parse().unwrap(), 4711))).unwrap();
            theirs
        }

        fn connect(&self) -> DuplexStream {
            self.connect_from("192.0.2.7")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_error_ends_the_accept_loop() {
        use io::ErrorKind as Kind;
        let of_client = [Kind::ConnectionAborted, Kind::PermissionDenied, Kind::NetworkUnreachable];
        let mut errors: Vec<_> = of_client.into_iter().map(io::Error::from).collect();
        errors.extend([23, 24, 12, 71, 9999].map(io::Error::from_raw_os_error));
        let running = run_in_memory(door(Caps::default()), errors);
        let begun = Instant::now();
        assert!(ask(&mut running.connect(), "/a").await.contains("from 192.0.2.7 in clear"));
        assert_eq!(running.echo.notices(), ["accept_starved", "accept_starved", "accept_starved", "accept_failed"]);
        assert!(begun.elapsed() >= 4 * PAUSE && begun.elapsed() < 5 * PAUSE);
    }

    #[test]
    fn what_the_system_says_is_sorted() {
        let sorted = |number| Trouble::of(&io::Error::from_raw_os_error(number));
        for (number, trouble) in [
            (24, Trouble::Starved),
            (23, Trouble::Starved),
            (12, Trouble::Starved),
            (4, Trouble::OfClient),
            (1, Trouble::OfClient),
            (9, Trouble::Other),
            (22, Trouble::Other),
        ] {
            assert_eq!(sorted(number), trouble, "{number}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn mapped_addresses_are_unwrapped_at_the_door() {
        let running = run_in_memory(door(Caps::default()), Vec::new());
        let answer = ask(&mut running.connect_from("::ffff:192.0.2.7"), "/a").await;
        assert!(answer.contains("from 192.0.2.7 in clear"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_connections_crowd_out_each_other_and_not_an_update() {
        let running = run_in_memory(door(Caps { in_all: 10, per_source: 3 }), Vec::new());
        let mut slow: Vec<_> = (0..20).map(|_| running.connect()).collect();
        let answer = exchange(&mut running.connect(), b"GET /a HTTP/1.0\r\n\r\n").await;
        assert!(answer.contains("from 192.0.2.7"), "{answer}");
        assert!(running.seats.taken() <= 3);
        assert_eq!(slow[0].read(&mut [0]).await.unwrap(), 0);
        assert!(running.echo.notices().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_everybody_being_answered_is_turned_away() {
        let running = run_in_memory(door(Caps { in_all: 10, per_source: 1 }), Vec::new());
        let mut busy = running.connect();
        busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(read_all(&mut running.connect()).await, "");
        assert_eq!(running.echo.notices(), ["connections_full"]);
        assert!(ask(&mut running.connect_from("192.0.2.8"), "/a").await.contains("200 OK"));
        // A trusted proxy speaks for many.
        let mut proxied = [running.connect_from("10.0.0.1"), running.connect_from("10.0.0.1")];
        for stream in &mut proxied {
            stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        }
        for stream in &mut proxied {
            assert!(read_one(stream).await.contains("200 OK"));
        }
        assert!(read_one(&mut busy).await.contains("200 OK"));
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_lets_answers_out_and_idle_connections_go() {
        let running = run_in_memory(door(Caps::default()), Vec::new());
        let (mut busy, mut idle, mut silent) = (running.connect(), running.connect(), running.connect());
        ask(&mut idle, "/a").await;
        busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        running.stop.send(true).unwrap();
        assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert!(read_one(&mut busy).await.contains("200 OK"));
        running.task.await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(running.connections.is_closed());
        assert!(running.echo.notices().is_empty());
        assert_eq!(running.seats.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_does_not_wait_for_ever() {
        let running = run_in_memory(door(Caps::default()), Vec::new());
        let mut busy = running.connect();
        busy.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        drop(running.stop);
        running.task.await.unwrap();
        assert!(begun.elapsed() >= STOP_DEADLINE && begun.elapsed() < 2 * STOP_DEADLINE);
        assert_eq!(read_all(&mut busy).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_ends_one_connection_alone() {
        let running = run_in_memory(door(Caps::default()), Vec::new());
        let answer = exchange(&mut running.connect(), b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(answer, "");
        assert!(ask(&mut running.connect(), "/a").await.contains("200 OK"));
        assert_eq!(running.echo.notices(), ["connection_panicked"]);
        assert_eq!(running.seats.taken(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_header_says_who_speaks() {
        let behind_proxy = Door { proxy_protocol: true, ..door(Caps::default()) };
        let running = run_in_memory(behind_proxy, Vec::new());
        let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x63\x0a\0\0\x01\0\x50\x01\xbb";
        let mut proxied = running.connect_from("10.0.0.1");
        proxied.write_all(v2).await.unwrap();
        // Its own headers do not count: it is no proxy.
        let sent = b"GET /a HTTP/1.0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
        assert!(exchange(&mut proxied, sent).await.contains("from 192.0.2.99 in clear"));

        assert_eq!(exchange(&mut running.connect_from("192.0.2.7"), v2).await, "");
        assert_eq!(exchange(&mut running.connect_from("10.0.0.1"), sent).await, "");
        let begun = Instant::now();
        assert_eq!(exchange(&mut running.connect_from("10.0.0.1"), &v2[..20]).await, "");
        assert!(begun.elapsed() >= PROXY_HEADER_DEADLINE && begun.elapsed() < 2 * PROXY_HEADER_DEADLINE);
        assert_eq!(running.echo.notices(), ["no_proxy_header", "no_proxy_header", "slow_proxy_header"]);
    }

    fn tls_door(folder: &Folder) -> (Door, DevelopmentCa) {
        let made = development_ca(folder.path(), &["home.test".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = Certificate::open(&made.server.cert_file, &made.server.key_file).unwrap();
        let config = server_config(certificate).unwrap();
        (Door { tls: Some(Arc::new(config)), ..door(Caps::default()) }, made)
    }

    fn client(made: &DevelopmentCa, version: &'static SupportedProtocolVersion, alpn: &[&str]) -> TlsConnector {
        use rustls::pki_types::pem::PemObject as _;

        let mut roots = rustls::RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_file(&made.ca_file).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    #[tokio::test]
    async fn tls_is_spoken_with_and_without_a_name() {
        let folder = Folder::new();
        let (door, made) = tls_door(&folder);
        let running = run_in_memory(door, Vec::new());
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            // A client that connects to an address sends no name (RFC 6066 3).
            for name in ["home.test", "127.0.0.1"] {
                for alpn in [&[][..], &["http/1.1"], &["h2", "http/1.1"], &["http/1.0"]] {
                    let name = ServerName::try_from(name).unwrap();
                    let connector = client(&made, version, alpn);
                    let mut stream = connector.connect(name, running.connect()).await.unwrap();
                    let chosen = stream.get_ref().1.alpn_protocol();
                    assert_eq!(chosen, alpn.last().map(|name| name.as_bytes()));
                    assert!(ask(&mut stream, "/a").await.contains("from 192.0.2.7 in tls"));
                }
            }
        }
        assert!(running.echo.notices().is_empty(), "{:?}", running.echo.notices());
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_a_deadline_and_so_has_the_silence_after_it() {
        let folder = Folder::new();
        let (door, made) = tls_door(&folder);
        let running = run_in_memory(door, Vec::new());
        for (sent, notice) in [(&b""[..], "slow_handshake"), (b"\x16\x03\x01\x02", "slow_handshake")] {
            let begun = Instant::now();
            exchange(&mut running.connect(), sent).await;
            assert!(begun.elapsed() >= HANDSHAKE_DEADLINE && begun.elapsed() < 2 * HANDSHAKE_DEADLINE);
            assert_eq!(running.echo.notices().last(), Some(&notice));
        }
        exchange(&mut running.connect(), b"GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(running.echo.notices().last(), Some(&"handshake_failed"));

        let connector = client(&made, &rustls::version::TLS13, &[]);
        let name = ServerName::try_from("home.test").unwrap();
        let mut stream = connector.connect(name, running.connect()).await.unwrap();
        let begun = Instant::now();
        assert_eq!(read_all(&mut stream).await, "");
        assert!(begun.elapsed() >= super::super::HEAD_DEADLINE && begun.elapsed() < 2 * HANDSHAKE_DEADLINE);
        assert_eq!(running.echo.notices().last(), Some(&"slow_head"));
    }

    #[tokio::test]
    async fn a_real_socket_is_served_and_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(listener, door(Caps::default()), echo(), stopped));
        let mut kept = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut kept, "/a").await.contains("from 127.0.0.1 in clear"));
        let mut refused = TcpStream::connect(address).await.unwrap();
        // Far more than is read before the refusal: it has to arrive all the same.
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
        assert!(exchange(&mut refused, long.as_bytes()).await.starts_with("HTTP/1.1 431 "));
        stop.send(true).unwrap();
        task.await.unwrap();
        assert_eq!(kept.read(&mut [0]).await.unwrap(), 0);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
