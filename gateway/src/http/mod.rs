//! From sockets to requests, and from answers back to bytes: HTTP/1.0 and 1.1, over TLS or in clear.
//!
//! A connection passes through [`listener`] (accept, caps), [`peer`] (PROXY header), [`tls`] (handshake),
//! [`connection`] (hyper; one [`RawRequest`] after the other) and comes back through [`reply`]. Nothing here decides
//! whether a request is welcome; that begins with the screen, behind [`Answerer`].
//!
//! Every phase has a deadline, because a peer that says nothing must cost nothing for long; answering alone is
//! bounded by whoever answers. The protocol is never guessed from the first bytes: it is HTTP/1, and TLS says so.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use nicgate_logic::screen::RawRequest;

pub mod connection;
mod first_line;
pub mod listener;
pub mod peer;
#[cfg(test)]
mod rehearsal;
pub mod reply;
pub mod seats;
pub mod tls;
mod wire;

pub use listener::Door;
pub use reply::{Dress, Reply};
pub use seats::{Caps, Seats};

/// How long a proxy may take for its PROXY header.
pub const PROXY_HEADER_DEADLINE: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take, its first byte included.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long the head of a request may take; on a kept connection the wait before it counts too.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// How long a body may take.
pub const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// How long a whole reply may wait for the peer to read it.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// How long requests that are being answered may take when the gateway stops.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// How long a peer that was refused in the middle of its request is listened to.
const LINGER: Duration = Duration::from_secs(1);

/// The longest head, request line included. hyper takes no smaller limit.
pub const LONGEST_HEAD: usize = 8192;
/// The most header fields.
pub const MOST_HEADERS: usize = 64;
/// The longest body.
pub const LONGEST_BODY: usize = 8192;

/// What the connections hand their requests to; implemented by the gateway, and by tests.
pub trait Answerer: Send + Sync + 'static {
    /// Answers one request. Has to end in bounded time by itself.
    fn answer(&self, request: RawRequest) -> impl Future<Output = Reply> + Send;

    /// Something happened that is no request: to be counted, and logged as loud as [`Notice::level`] says.
    fn notice(&self, notice: Notice<'_>);
}

/// What happens to connections, for counters and the log.
#[derive(Debug)]
pub enum Notice<'a> {
    /// Accepting failed for lack of descriptors or memory; it goes on after a pause.
    Starved(&'a io::Error),
    /// Accepting failed in a way that nobody expects; it goes on after a pause.
    AcceptFailed(&'a io::Error),
    /// Closed at once: all seats, or those of this source, are being answered.
    Full(IpAddr),
    /// A PROXY header was due and did not come, or came from somebody who is not trusted with one.
    NoProxyHeader(IpAddr),
    /// The TLS handshake failed.
    HandshakeFailed(IpAddr, &'a io::Error),
    /// A deadline passed: the PROXY header, the handshake, the head, the body, the reply.
    TooSlow(IpAddr, Phase),
    /// A request was cut short with this status: 400, 408, 413 or 431.
    CutShort(IpAddr, u16),
    /// HTTP that the parser refused: it answered 400, 414 or 431 where there was still somebody to hear it.
    Unreadable(IpAddr),
    /// A connection's task panicked: a fault of ours.
    Panicked,
    /// Connections were still open when the time to stop was over.
    Cut(usize),
}

/// The phases of a connection that have a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The PROXY header.
    ProxyHeader,
    /// The TLS handshake.
    Handshake,
    /// The head of a request, or the wait for it.
    Head,
    /// Reading the reply.
    Reply,
}

/// How loud the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What any stranger can cause.
    Debug,
    /// What the operator may want to know.
    Warning,
    /// What the operator has to look at.
    Error,
}

impl Notice<'_> {
    /// How loud. What a stranger can cause is never loud.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::HandshakeFailed(..)
            | Self::TooSlow(..)
            | Self::CutShort(..)
            | Self::Unreadable(_)
            | Self::Full(_)
            | Self::NoProxyHeader(_) => Level::Debug,
            Self::Starved(_) | Self::Cut(_) => Level::Warning,
            Self::AcceptFailed(_) | Self::Panicked => Level::Error,
        }
    }

    /// The word that the log keeps as `error_code`, and a counter as its label.
    #[must_use]
    pub fn error_code(&self) -> &'static str {
        match self {
            Self::Starved(_) => "accept_starved",
            Self::AcceptFailed(_) => "accept_failed",
            Self::Full(_) => "connections_full",
            Self::NoProxyHeader(_) => "no_proxy_header",
            Self::HandshakeFailed(..) => "handshake_failed",
            Self::TooSlow(_, Phase::ProxyHeader) => "slow_proxy_header",
            Self::TooSlow(_, Phase::Handshake) => "slow_handshake",
            Self::TooSlow(_, Phase::Head) => "slow_head",
            Self::TooSlow(_, Phase::Reply) => "slow_reader",
            Self::CutShort(_, 408) => "slow_body",
            Self::CutShort(_, 413 | 431) => "request_too_long",
            Self::CutShort(..) => "malformed_stream",
            Self::Unreadable(_) => "unreadable_http",
            Self::Panicked => "connection_panicked",
            Self::Cut(_) => "connections_cut",
        }
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starved(why) => {
                write!(f, "cannot accept connections for the moment: {why}; raise the limit of open files")
            }
            Self::AcceptFailed(why) => write!(f, "cannot accept connections: {why}"),
            Self::Full(peer) => write!(f, "closed a connection of {peer}: too many at once"),
            Self::NoProxyHeader(peer) => {
                write!(f, "closed a connection of {peer}: no PROXY protocol v2 header of a trusted proxy")
            }
            Self::HandshakeFailed(peer, why) => write!(f, "the TLS handshake with {peer} failed: {why}"),
            Self::TooSlow(peer, Phase::ProxyHeader) => write!(f, "{peer} took too long for its PROXY header"),
            Self::TooSlow(peer, Phase::Handshake) => write!(f, "{peer} took too long for the TLS handshake"),
            Self::TooSlow(peer, Phase::Head) => write!(f, "{peer} said nothing for too long"),
            Self::TooSlow(peer, Phase::Reply) => write!(f, "{peer} took too long to read a reply"),
            Self::CutShort(peer, status) => write!(f, "cut a request of {peer} short with {status}"),
            Self::Unreadable(peer) => write!(f, "{peer} sent what cannot be read as HTTP"),
            Self::Panicked => f.write_str("a connection ended in a fault of ours"),
            Self::Cut(count) => write!(f, "cut {count} connections that had not ended in time"),
        }
    }
}
