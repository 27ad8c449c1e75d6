//! One thread's share of the datagrams: receive, answer, send, until told to stop. No allocation, no waiting
//! for anybody, and no error that ends it.

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::wire::PAYLOAD;
use super::{ReplyBuffer, Transport, Zones};

/// How often a thread without work looks up whether it should stop.
pub(super) const LOOK_UP: Duration = Duration::from_millis(400);
/// How long to leave the system alone when it is out of something.
const BREATHER: Duration = Duration::from_millis(20);

/// Answers until `stopping` is set. The socket blocks, with `LOOK_UP` as its read timeout.
pub(super) fn answer(socket: &UdpSocket, zones: &Zones, stopping: &AtomicBool) {
    // Longer queries are cut off by the system and then do not parse; we told nobody that we take them.
    let mut query = [0; PAYLOAD as usize];
    let mut reply = ReplyBuffer::new();
    while !stopping.load(Ordering::Relaxed) {
        match socket.recv_from(&mut query) {
            Ok((length, peer)) => {
                let query = query.get(..length).unwrap_or_default();
                if zones.answer(query, Transport::Udp, &mut reply) {
                    // Whoever cannot be reached asks again, or never was there.
                    let _ = socket.send_to(reply.message(), peer);
                }
            }
            Err(error) if is_passing(&error) => {}
            Err(_) => thread::sleep(BREATHER),
        }
    }
}

/// A time-out, or what a peer's ICMP messages brought about: no reason to wait.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}
