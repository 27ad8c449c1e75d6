//! Queries over TCP (RFC 7766): several per connection, and a bound on everything a stranger can hold on to.
//!
//! At most 64 connections in all, 4 per source, 5 seconds and 128 queries each, 2 seconds of silence.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nicgate_protocol::address::unmapped;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{ReplyBuffer, Transport, Zones};

/// Connections in all; more wait in the system's queue.
const MOST_CONNECTIONS: usize = 64;
/// Connections of one source; more are closed at once.
const MOST_PER_SOURCE: usize = 4;
/// Queries on one connection.
const MOST_QUERIES: usize = 128;
/// The longest query worth reading; a longer one closes the connection.
const LONGEST_QUERY: usize = 4096;
/// How long a connection may take for one query, the wait for it included.
const IDLE: Duration = Duration::from_secs(2);
/// How long a connection may last.
const TOTAL: Duration = Duration::from_secs(5);
/// How long to leave the system alone when it is out of something.
const BREATHER: Duration = Duration::from_millis(100);

/// The places for connections, shared by all listeners.
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// The source of each connection there is: at most `MOST_CONNECTIONS`.
    sources: Mutex<Vec<IpAddr>>,
}

impl Places {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(MOST_CONNECTIONS)), sources: Mutex::new(Vec::new()) })
    }

    /// Seats a connection, unless its source has enough of them.
    fn seat(self: &Arc<Self>, source: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let source = network(source);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.iter().filter(|seated| **seated == source).count() >= MOST_PER_SOURCE {
            return None;
        }
        sources.push(source);
        Some(Place { places: Arc::clone(self), source, _permit: permit })
    }
}

/// One connection's place, free again when dropped.
struct Place {
    places: Arc<Places>,
    source: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.places.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = sources.iter().position(|seated| *seated == self.source) {
            sources.swap_remove(index);
        }
    }
}

/// What counts as one source: an IPv4 address, an IPv6 /64.
fn network(source: IpAddr) -> IpAddr {
    match unmapped(source) {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Accepts and serves connections until it is dropped, and they with it.
pub(super) async fn accept(listener: TcpListener, places: Arc<Places>, zones: Arc<Zones>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&places.free).acquire_owned().await else {
            return; // The semaphore is never closed.
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some(place) = places.seat(peer.ip(), permit) else { continue };
                let zones = Arc::clone(&zones);
                connections.spawn(async move {
                    let _place = place;
                    let _ = timeout(TOTAL, serve(stream, &zones)).await;
                });
            }
            Err(error) if is_passing(&error) => {}
            Err(_) => sleep(BREATHER).await,
        }
    }
}

/// Of one connection that went away before we took it, not of us.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Answers one query after the other, until the peer has enough or is silent for too long.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, zones: &Zones) -> io::Result<()> {
    let mut query = vec![0; LONGEST_QUERY];
    let mut reply = ReplyBuffer::new();
    for _ in 0..MOST_QUERIES {
        let turn = async {
            let length = usize::from(stream.read_u16().await?);
            let query = query.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
            stream.read_exact(query).await?;
            if !zones.answer(query, Transport::Tcp, &mut reply) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            stream.write_all(reply.framed()).await
        };
        timeout(IDLE, turn).await??;
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_and_half_a_query_end_a_connection() {
        let zones = Zones::new(Vec::new());
        for sent in [&b""[..], b"\0", b"\0\x20", b"\0\x20half a query"] {
            let (mut peer, ours) = tokio::io::duplex(1024);
            peer.write_all(sent).await.unwrap();
            let error = timeout(IDLE + Duration::from_millis(10), serve(ours, &zones)).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_after_its_share_of_queries() {
        let zones = Zones::new(Vec::new());
        // A header without a question is answered with FORMERR, in twelve octets.
        let query = b"\0\x0c\x12\x34\0\0\0\0\0\0\0\0\0\0";
        let (mut peer, ours) = tokio::io::duplex(1 << 16);
        peer.write_all(&query.repeat(2 * MOST_QUERIES)).await.unwrap();
        serve(ours, &zones).await.unwrap();
        let mut replies = Vec::new();
        peer.read_to_end(&mut replies).await.unwrap();
        assert_eq!(replies.len(), query.len() * MOST_QUERIES);
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_gone() {
        let places = Places::new();
        let permit = || Arc::clone(&places.free).try_acquire_owned();
        let seat = |source: &str| permit().ok().and_then(|permit| places.seat(source.parse().unwrap(), permit));
        let mut seated: Vec<Place> = (0..MOST_PER_SOURCE).map(|_| seat("2001:db8::1").unwrap()).collect();
        assert!(seat("2001:db8::2").is_none(), "the same /64");
        assert!(seat("2001:db8:0:1::1").is_some());
        seated.pop();
        assert!(seat("2001:db8::2").is_some());
        drop(seated);
        assert!(places.sources.lock().unwrap().is_empty());

        let all: Vec<Place> =
            (0..).map_while(|source| seat(&format!("192.0.2.{}", source / MOST_PER_SOURCE))).collect();
        assert_eq!(all.len(), MOST_CONNECTIONS);
        drop(all);
        assert_eq!(places.free.available_permits(), MOST_CONNECTIONS);
    }
}
