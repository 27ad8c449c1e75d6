//! Load of our own, where wrk will not do: a full TLS 1.3 handshake for each request, or changes that are each
//! another one.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::laboratory::{Contestant, Laboratory};
use crate::process::now;
use crate::table::Sample;

/// How many new connections are under way at a time.
const AT_ONCE: usize = 32;

/// Sends `request`, which asks to close, on one new connection after the other.
pub(crate) fn connect_anew(laboratory: &Laboratory, to: &Contestant, request: &str, turn: Duration) -> Sample {
    to.program.empty_log();
    let connector = connector(&laboratory.path("ca.crt"));
    let request: Arc<str> = request.into();
    let before = to.program.cpu();
    let begun = now();
    let took = together(AT_ONCE, |_| {
        let (connector, request, address) = (connector.clone(), Arc::clone(&request), to.https);
        async move {
            let mut took = Vec::new();
            while begun.elapsed() < turn {
                let started = now();
                let mut stream = connect(&connector, address).await;
                let kind = stream.get_ref().1.handshake_kind();
                assert_eq!(kind, Some(HandshakeKind::Full), "every handshake is a full one");
                stream.write_all(request.as_bytes()).await.expect("the request is sent");
                let mut answer = Vec::new();
                // A connection that is cut instead of closed still has an answer to look at.
                let _ = stream.read_to_end(&mut answer).await;
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
                took.push(started.elapsed());
            }
            took
        }
    });
    sample(to, before, begun, took)
}

/// Sends what `request` gives, by connection and number, over `connections` that are kept; each answer has to
/// begin with `expected`.
pub(crate) fn keep_asking(
    laboratory: &Laboratory,
    to: &Contestant,
    connections: usize,
    expected: &'static str,
    turn: Duration,
    request: impl Fn(usize, usize) -> String + Clone + Send + 'static,
) -> Sample {
    to.program.empty_log();
    let connector = connector(&laboratory.path("ca.crt"));
    let before = to.program.cpu();
    let begun = now();
    let took = together(connections, |connection| {
        let (connector, request, address) = (connector.clone(), request.clone(), to.https);
        async move {
            let mut stream = connect(&connector, address).await;
            let mut took = Vec::new();
            let mut buffer = Vec::new();
            while begun.elapsed() < turn {
                let request = request(connection, took.len());
                let started = now();
                stream.write_all(request.as_bytes()).await.expect("the request is sent");
                let body = read_answer(&mut stream, &mut buffer).await;
                assert!(body.starts_with(expected), "{body} instead of {expected}");
                took.push(started.elapsed());
            }
            took
        }
    });
    sample(to, before, begun, took)
}

/// Sends requests one after the other over one connection; each answer has to begin with `expected`.
pub(crate) fn send_all(laboratory: &Laboratory, to: &Contestant, requests: &[String], expected: &str) {
    let connector = connector(&laboratory.path("ca.crt"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut stream = connect(&connector, to.https).await;
        let mut buffer = Vec::new();
        for request in requests {
            stream.write_all(request.as_bytes()).await.expect("the request is sent");
            let body = read_answer(&mut stream, &mut buffer).await;
            assert!(body.starts_with(expected), "{body} instead of {expected}");
        }
    });
}

/// A client that remembers no session.
fn connector(ca: &Path) -> TlsConnector {
    let mut config = ClientConfig::clone(&nicgate_tests::wire::tls_config(ca));
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

async fn connect(connector: &TlsConnector, address: std::net::SocketAddr) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("somebody listens");
    let _ = stream.set_nodelay(true);
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = connector.connect(name, stream).await.expect("the handshake succeeds");
    let version = stream.get_ref().1.protocol_version();
    assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_3), "both ends know TLS 1.3");
    stream
}

/// Reads one answer with Content-Length; gives its body.
async fn read_answer(stream: &mut TlsStream<TcpStream>, buffer: &mut Vec<u8>) -> String {
    buffer.clear();
    loop {
        let count = stream.read_buf(buffer).await.expect("the answer is read");
        assert!(count > 0, "the connection is kept");
        let text = std::str::from_utf8(buffer).expect("answers are ASCII");
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
            return body.to_owned();
        }
    }
}

/// Runs `count` tasks on one thread and gathers how long each of their operations took.
fn together<F>(count: usize, mut task: impl FnMut(usize) -> F) -> Vec<Duration>
where
    F: Future<Output = Vec<Duration>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for number in 0..count {
            tasks.spawn(task(number));
        }
        tasks.join_all().await.concat()
    })
}

fn sample(of: &Contestant, before: Duration, begun: Instant, mut took: Vec<Duration>) -> Sample {
    let elapsed = begun.elapsed();
    let cpu = of.program.cpu().saturating_sub(before);
    took.sort_unstable();
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    Sample {
        cpu: cpu.as_secs_f64() * 1e6 / took.len() as f64,
        rate: took.len() as f64 / elapsed.as_secs_f64(),
        p50: at(50),
        p99: at(99),
    }
}
