//! One connection: hyper in, [`RawRequest`]s out, replies back.
//!
//! What passes here is bounded in size and time and has a peer; nothing more is promised. A request that cannot
//! be brought so far is cut short with 400, 408, 413 or 431, and the connection with it; hyper itself answers 400,
//! 414 and 431 to what it cannot read.

use std::convert::Infallible;
use std::sync::Arc;

use ::http::{Request, Response, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nicgate_logic::screen::RawRequest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::peer::{Peer, TrustedProxies, behind_proxy, via};
use super::reply::cut_short;
use super::seats::Place;
use super::wire::{Notes, Wire};
use super::{
    Answerer, BODY_DEADLINE, HEAD_DEADLINE, LINGER, LONGEST_BODY, LONGEST_HEAD, MOST_HEADERS, Notice, Phase,
    STOP_DEADLINE,
};

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    /// The peer, if the hop is not a proxy.
    pub(super) peer: Peer,
    /// Whether its headers are believed about who the peer is.
    pub(super) is_trusted: bool,
    /// Whether it is whom a trusted proxy named by a PROXY header.
    pub(super) is_named: bool,
}

/// hyper as it is set up for every connection.
#[must_use]
pub fn protocol() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE).max_buf_size(LONGEST_HEAD);
    builder
}

/// Serves one connection until it ends, is asked to leave, or misses a deadline.
pub(super) async fn serve<S, A>(
    stream: S,
    hop: Hop,
    protocol: &http1::Builder,
    trusted: &Arc<TrustedProxies>,
    answerer: &Arc<A>,
    place: &Arc<Place>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Answerer,
{
    let notes = Arc::new(Notes::default());
    let desk = Arc::new(Desk {
        hop,
        trusted: Arc::clone(trusted),
        answerer: Arc::clone(answerer),
        place: Arc::clone(place),
        notes: Arc::clone(&notes),
    });
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.attend(request).await) }
    });
    let connection = protocol.serve_connection(TokioIo::new(Wire::new(stream, notes)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        () = place.asked_to_leave() => {
            connection.as_mut().graceful_shutdown();
            // Who is being answered gets the answer; who was still speaking, or idle, does not get to the end.
            let patience = if place.is_busy() { STOP_DEADLINE } else { LINGER };
            timeout(patience, connection).await.ok()
        }
    };
    if let Some(Err(trouble)) = ended {
        report(&trouble, hop, answerer.as_ref());
    }
}

fn report(trouble: &hyper::Error, hop: Hop, answerer: &impl Answerer) {
    let address = hop.peer.address;
    let source = std::error::Error::source(trouble).and_then(|why| why.downcast_ref::<std::io::Error>());
    if trouble.is_timeout() {
        answerer.notice(Notice::TooSlow(address, Phase::Head));
    } else if trouble.is_parse() {
        answerer.notice(Notice::Unreadable(address));
    } else if source.is_some_and(|why| why.kind() == std::io::ErrorKind::TimedOut) {
        answerer.notice(Notice::TooSlow(address, Phase::Reply));
    }
    // The rest is peers that went away.
}

/// Where the requests of one connection are received.
struct Desk<A> {
    hop: Hop,
    trusted: Arc<TrustedProxies>,
    answerer: Arc<A>,
    place: Arc<Place>,
    notes: Arc<Notes>,
}

impl<A: Answerer> Desk<A> {
    async fn attend(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        // Told to hyper, this limit would take the parser's arrays off the fast path.
        if head.headers.len() > MOST_HEADERS {
            return self.cut_short(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        let body = if body.is_end_stream() {
            Ok(Bytes::new())
        } else {
            let may_wait = !head.headers.contains_key(header::EXPECT);
            self.read(body, may_wait).await
        };
        let body = match body {
            Ok(_) if self.notes.is_malformed() => return self.cut_short(StatusCode::BAD_REQUEST),
            Ok(body) => body,
            Err(status) => return self.cut_short(status),
        };
        let peer =
            if self.hop.is_trusted { behind_proxy(self.hop.peer, &head.headers, &self.trusted) } else { self.hop.peer };
        let via = via(self.hop.peer.address, self.hop.is_named, peer.address, &head.headers, &self.trusted);
        let request = RawRequest {
            method: head.method,
            target: head.uri,
            version: head.version,
            headers: head.headers,
            body,
            peer: peer.address,
            secure: peer.secure,
            via,
        };
        let version = request.version;
        self.place.set_busy(true);
        let reply = self.answerer.answer(request).await;
        self.place.set_busy(false);
        let mut response = Response::from(reply);
        // Towards HTTP/1.0 the connection always ends, even where the client asks to keep it.
        *response.version_mut() = version;
        response
    }

    fn cut_short(&self, status: StatusCode) -> Response<Full<Bytes>> {
        self.notes.leave_unread();
        self.answerer.notice(Notice::CutShort(self.hop.peer.address, status.as_u16()));
        cut_short(status).into()
    }

    /// The whole body, or the status that says why not.
    async fn read(&self, body: Incoming, may_wait: bool) -> Result<Bytes, StatusCode> {
        if body.size_hint().lower() > LONGEST_BODY as u64 {
            // Whoever waits for "100 Continue" has sent nothing yet and hears the refusal first.
            if may_wait {
                self.notes.leave_unread();
            }
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        match timeout(BODY_DEADLINE, collect(body)).await {
            Ok(read) => read,
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        }
    }
}

/// Bodies mostly come in one piece, which is then not copied.
async fn collect(mut body: Incoming) -> Result<Bytes, StatusCode> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        // Trailers say nothing that we would listen to.
        let Ok(piece) = frame.into_data() else { continue };
        if first.len() + all.len() + piece.len() > LONGEST_BODY {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if first.is_empty() && all.is_empty() {
            first = piece;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&piece);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, sleep};

    use super::super::rehearsal::{Echo, ask, echo, exchange, read_all, read_one};
    use super::*;

    /// A connection that is served: the peer's end of it, and what the other end knows.
    struct Served {
        peer: DuplexStream,
        place: Arc<Place>,
        echo: Arc<Echo>,
        task: JoinHandle<()>,
    }

    fn served_by_hop(is_trusted: bool, buffer: usize) -> Served {
        let (peer, ours) = duplex(buffer);
        let place = Arc::new(Place::default());
        let echo = echo();
        let hop =
            Hop { peer: Peer { address: "10.0.0.1".parse().unwrap(), secure: false }, is_trusted, is_named: false };
        let trusted = Arc::new(TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]));
        let (ours_place, ours_echo) = (Arc::clone(&place), Arc::clone(&echo));
        let task = tokio::spawn(async move {
            serve(ours, hop, &protocol(), &trusted, &ours_echo, &ours_place).await;
        });
        Served { peer, place, echo, task }
    }

    fn served() -> Served {
        served_by_hop(false, 64 * 1024)
    }

    /// The body of the answer to one request, or its status when it is none of ours.
    async fn heard(sent: &str) -> String {
        let answer = exchange(&mut served().peer, sent.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        if head.contains(" 200 OK") { body.to_owned() } else { head.lines().next().unwrap().to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_arrive_as_they_were_sent() {
        for (sent, line) in [
            ("GET /nic/update?a=b HTTP/1.0\r\n\r\n", "GET /nic/update?a=b HTTP/1.0 from 10.0.0.1 in clear []\n"),
            ("GET /a HTTP/1.1\r\nHOST: x\r\ncOnNeCtIoN: close\r\n\r\n", "GET /a HTTP/1.1 from 10.0.0.1 in clear []\n"),
            ("GET /a?b=<c> HTTP/1.0\r\n\r\n", "GET /a?b=%3Cc%3E HTTP/1.0 from 10.0.0.1 in clear []\n"),
            ("GET home.test HTTP/1.0\r\n\r\n", "GET /home.test HTTP/1.0 from 10.0.0.1 in clear []\n"),
            ("GET %2fa%3fb HTTP/1.0\r\n\r\n", "GET /%2fa%3fb HTTP/1.0 from 10.0.0.1 in clear []\n"),
            ("GET /\\/nic/update HTTP/1.0\r\n\r\n", "GET /\\/nic/update HTTP/1.0 from 10.0.0.1 in clear []\n"),
            ("GET //nic/update HTTP/1.0\r\n\r\n", "GET //nic/update HTTP/1.0 from 10.0.0.1 in clear []\n"),
            ("GET http://h/a HTTP/1.0\r\n\r\n", "GET http://h/a HTTP/1.0 from 10.0.0.1 in clear []\n"),
            (
                "POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
                "POST /a HTTP/1.1 from 10.0.0.1 in clear [hello]\n",
            ),
            (
                "POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
                "POST /a HTTP/1.1 from 10.0.0.1 in clear [hello]\n",
            ),
        ] {
            assert_eq!(heard(sent).await, line, "{sent:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_malformed_or_too_long_is_cut_short() {
        let long = "x".repeat(LONGEST_BODY + 1);
        let chunked = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let fields = |count: usize| "a: b\r\n".repeat(count);
        for (sent, status) in [
            ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
            ("GET /a HTTP/1.1\r\nHost: x\0y\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
            (format!("{}GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n".repeat(64)), "HTTP/1.1 400 Bad Request"),
            (format!("{chunked}5;a=\0b\r\nhello\r\n0\r\n\r\n"), "HTTP/1.1 400 Bad Request"),
            (format!("{chunked}zz\r\n"), "HTTP/1.1 400 Bad Request"),
            (format!("{chunked}2001\r\n{long}\r\n0\r\n\r\n"), "HTTP/1.1 413 Payload Too Large"),
            (
                format!("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{long}", long.len()),
                "HTTP/1.1 413 Payload Too Large",
            ),
            (
                "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 8193\r\n\r\n".to_owned(),
                "HTTP/1.1 413 Payload Too Large",
            ),
            (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 431 Request Header Fields Too Large"),
            (
                format!("GET /a HTTP/1.1\r\n{}\r\n", fields(MOST_HEADERS + 1)),
                "HTTP/1.1 431 Request Header Fields Too Large",
            ),
        ] {
            let begun = Instant::now();
            assert_eq!(heard(&sent).await, status, "{:?}", &sent[..sent.len().min(80)]);
            assert!(begun.elapsed() < 2 * LINGER);
        }
        let most = format!("GET /a HTTP/1.0\r\n{}\r\n", fields(MOST_HEADERS));
        assert_eq!(heard(&most).await, "GET /a HTTP/1.0 from 10.0.0.1 in clear []\n");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_http_1_is_noticed_and_ends() {
        for sent in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SSH-2.0-x\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\r\n\r\n"] {
            let mut served = served();
            let begun = Instant::now();
            let answer = exchange(&mut served.peer, sent.as_bytes()).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{sent:?}: {answer}");
            served.task.await.unwrap();
            assert_eq!(served.echo.notices(), ["unreadable_http"], "{sent:?}");
            assert!(begun.elapsed() < 2 * LINGER);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn http_1_0_gets_a_length_a_reason_and_the_end_of_the_connection() {
        let sent = b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let answer = exchange(&mut served().peer, sent).await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\ncontent-length: 42\r\n"), "{answer}");
        assert!(!answer.contains("transfer-encoding") && !answer.contains("keep-alive"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_kept_connection_takes_one_request_after_the_other() {
        let mut served = served();
        for _ in 0..3 {
            assert!(ask(&mut served.peer, "/a").await.starts_with("HTTP/1.1 200 OK\r\n"));
            sleep(HEAD_DEADLINE - Duration::from_secs(1)).await;
        }
    }

    /// What is sent at once, then a byte that is repeated each second, then what is heard and noticed.
    #[tokio::test(start_paused = true)]
    async fn whoever_is_slow_is_cut_off_in_every_phase() {
        let half_body = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc";
        for (sent, drip, answer, notice) in [
            ("", None, "", "slow_head"),
            ("GET /a HT", None, "", "slow_head"),
            ("GET /a HTTP/1.1\r\nX: ", Some(b'x'), "", "slow_head"),
            ("GET /", Some(b'x'), "", "slow_head"),
            ("", Some(b'\n'), "", "slow_head"),
            (half_body, None, "HTTP/1.1 408 Request Timeout", "slow_body"),
            (half_body, Some(b'x'), "HTTP/1.1 408 Request Timeout", "slow_body"),
            ("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", None, "HTTP/1.1 200 OK", "slow_head"),
            ("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HT", None, "HTTP/1.1 200 OK", "slow_head"),
            ("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HT", Some(b'x'), "HTTP/1.1 200 OK", "slow_head"),
        ] {
            let served = served();
            let (mut read, mut write) = tokio::io::split(served.peer);
            let begun = Instant::now();
            write.write_all(sent.as_bytes()).await.unwrap();
            let dripping = tokio::spawn(async move {
                while let Some(byte) = drip {
                    sleep(Duration::from_secs(1)).await;
                    if write.write_u8(byte).await.is_err() {
                        break;
                    }
                }
                write
            });
            let heard = read_all(&mut read).await;
            assert_eq!(heard.lines().next().unwrap_or_default(), answer, "{sent:?}");
            served.task.await.unwrap();
            let took = begun.elapsed();
            assert!(took >= HEAD_DEADLINE && took <= HEAD_DEADLINE + LINGER + LINGER, "{sent:?}: {took:?}");
            assert_eq!(served.echo.notices(), [notice], "{sent:?}");
            dripping.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_read_is_cut_off() {
        let mut served = served_by_hop(false, 1024);
        served.peer.write_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let begun = Instant::now();
        served.task.await.unwrap();
        assert!(begun.elapsed() >= super::super::WRITE_DEADLINE && begun.elapsed() < Duration::from_secs(12));
        assert_eq!(served.echo.notices(), ["slow_reader"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_leaves_at_once() {
        for requests in [0, 1] {
            let mut served = served();
            for _ in 0..requests {
                ask(&mut served.peer, "/a").await;
            }
            sleep(Duration::from_secs(1)).await;
            served.place.leave();
            let begun = Instant::now();
            served.task.await.unwrap();
            assert!(begun.elapsed() <= LINGER);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_being_answered_is_answered_before_leaving() {
        let mut served = served();
        served.peer.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        served.place.leave();
        let answer = read_one(&mut served.peer).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(served.peer.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn headers_about_the_peer_are_believed_from_a_proxy_alone() {
        let sent = b"GET /a HTTP/1.0\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\r\n";
        for (is_trusted, expected) in [(true, "from 192.0.2.7 in tls"), (false, "from 10.0.0.1 in clear")] {
            let answer = exchange(&mut served_by_hop(is_trusted, 4096).peer, sent).await;
            assert!(answer.contains(expected), "{answer}");
        }
    }
}
