//! The stream under hyper: mends the first line, notices bytes that no request holds, cuts off a peer that does not
//! read, and lets a peer finish that was refused in the middle of its sentence.
//!
//! Costs nothing while a connection behaves: no timer is made unless a write has to wait.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::first_line::Mender;
use super::{LINGER, WRITE_DEADLINE};

/// The most that is read and thrown away after a refusal.
const LINGER_BYTES: usize = 256 * 1024;

/// What the stream and the requests that are read from it must know of each other.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// A control byte came by that neither a head nor a form may hold, or a run of empty lines. hyper lets both pass
    /// where they stand in front of a request or in a chunk's extension (RFC 9112 2.2, 7.1.1).
    malformed: AtomicBool,
    /// The peer was answered before it had said everything.
    unread: AtomicBool,
}

impl Notes {
    pub(super) fn is_malformed(&self) -> bool {
        self.malformed.load(Ordering::Relaxed)
    }

    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }
}

pub(super) struct Wire<S> {
    stream: S,
    notes: Arc<Notes>,
    /// Until the first target has passed.
    mending: Option<Mending>,
    /// Runs while bytes of a reply wait for the peer.
    stalled: Option<Pin<Box<Sleep>>>,
    lingering: Option<Lingering>,
}

struct Mending {
    mender: Mender,
    mended: Vec<u8>,
    /// How much of `mended` was read already.
    taken: usize,
}

struct Lingering {
    deadline: Pin<Box<Sleep>>,
    left: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, notes: Arc<Notes>) -> Self {
        let mending = Mending { mender: Mender::new(), mended: Vec::new(), taken: 0 };
        Self { stream, notes, mending: Some(mending), stalled: None, lingering: None }
    }

    fn poll_mended(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(mending) = &mut self.mending else { return Poll::Ready(Ok(())) };
        loop {
            let waiting = &mending.mended[mending.taken..];
            if !waiting.is_empty() {
                let fits = waiting.len().min(buf.remaining());
                buf.put_slice(&waiting[..fits]);
                mending.taken += fits;
                if mending.taken == mending.mended.len() {
                    mending.mended.clear();
                    mending.taken = 0;
                    if mending.mender.is_done() {
                        self.mending = None;
                    }
                }
                return Poll::Ready(Ok(()));
            }
            let mut scratch = [0; 2048];
            let mut fresh = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut fresh))?;
            if fresh.filled().is_empty() {
                mending.mender.finish(&mut mending.mended);
                if mending.mended.is_empty() {
                    self.mending = None;
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            mending.mender.feed(fresh.filled(), &mut mending.mended);
            if holds_control(fresh.filled()) || mending.mender.too_many_empty_lines() {
                self.notes.malformed.store(true, Ordering::Relaxed);
            }
        }
    }

    /// A write that waits gets a deadline; it ends with the flush, so that a peer cannot buy time byte by byte.
    fn watched<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_DEADLINE)));
            if stalled.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        written
    }

    /// Closing a socket with unread bytes resets it, and the reset may overtake the reply. So whoever was refused
    /// while still speaking is listened to for a moment.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        loop {
            let mut fresh = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut fresh);
            let unread = fresh.filled().len();
            if self.lingering.is_none() && (unread > 0 || self.notes.unread.load(Ordering::Relaxed)) {
                self.lingering = Some(Lingering { deadline: Box::pin(sleep(LINGER)), left: LINGER_BYTES });
            }
            let Some(lingering) = &mut self.lingering else { return Poll::Ready(()) };
            match read {
                Poll::Ready(Ok(())) if unread > 0 && unread < lingering.left => lingering.left -= unread,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return lingering.deadline.as_mut().poll(cx),
            }
        }
    }
}

/// Whether a byte stands here that neither a head nor a form holds. Written so that it is done 16 bytes at a time.
fn holds_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, &byte| {
        found | ((byte < b' ') & (byte != b'\t') & (byte != b'\n') & (byte != b'\r')) | (byte == 0x7f)
    })
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.mending.is_some() {
            return this.poll_mended(cx, buf);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if holds_control(&buf.filled()[before..]) {
            this.notes.malformed.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.watched(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.watched(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if flushed.is_ready() {
            this.stalled = None;
        }
        this.watched(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.watched(cx, shut))?;
        }
        this.poll_linger(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn the_first_line_is_mended_byte_by_byte() {
        let (mut peer, ours) = duplex(1);
        let mut wire = Wire::new(ours, Arc::default());
        let sent = "GET nic/update?myip=<ipaddr> HTTP/1.1\r\nX: <\r\n\r\n";
        let (_, read) = tokio::join!(
            async move {
                peer.write_all(sent.as_bytes()).await.unwrap();
            },
            async move {
                let mut text = String::new();
                wire.read_to_string(&mut text).await.unwrap();
                text
            }
        );
        assert_eq!(read, "GET /nic/update?myip=%3Cipaddr%3E HTTP/1.1\r\nX: <\r\n\r\n");
    }

    #[tokio::test]
    async fn bytes_that_no_request_holds_are_noticed_wherever_they_stand() {
        for (sent, malformed) in [
            ("POST / HTTP/1.1\r\n\r\n5;a=b\r\n\thi\u{e9}", false),
            ("POST / HTTP/1.1\r\n\r\n5;a=\0b\r\n", true),
            ("\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n", true),
        ] {
            for size in [1, 1024] {
                let (mut peer, ours) = duplex(size);
                let notes = Arc::new(Notes::default());
                let mut wire = Wire::new(ours, Arc::clone(&notes));
                let write = async move { peer.write_all(sent.as_bytes()).await.unwrap() };
                let (_, read) = tokio::join!(write, async move { wire.read_to_end(&mut Vec::new()).await.unwrap() });
                assert_eq!(read, sent.len());
                assert_eq!(notes.is_malformed(), malformed, "{sent:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_cut_off() {
        let (_peer, ours) = duplex(16);
        let mut wire = Wire::new(ours, Arc::default());
        let begun = Instant::now();
        let trouble = wire.write_all(&[b'x'; 100]).await.unwrap_err();
        assert_eq!(trouble.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= WRITE_DEADLINE && begun.elapsed() < 2 * WRITE_DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_byte_by_byte_gains_no_time() {
        let (mut peer, ours) = duplex(1);
        let mut wire = Wire::new(ours, Arc::default());
        let slow = tokio::spawn(async move {
            while peer.read_u8().await.is_ok() {
                sleep(std::time::Duration::from_secs(1)).await;
            }
        });
        let begun = Instant::now();
        let trouble = wire.write_all(&[b'x'; 100]).await.unwrap_err();
        assert_eq!(trouble.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < 2 * WRITE_DEADLINE);
        slow.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_peer_may_finish_its_sentence_but_not_for_ever() {
        let (mut peer, ours) = duplex(16);
        let notes = Arc::new(Notes::default());
        let mut wire = Wire::new(ours, Arc::clone(&notes));
        notes.leave_unread();
        let begun = Instant::now();
        let endless = tokio::spawn(async move {
            while peer.write_u8(b'x').await.is_ok() {
                sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        wire.shutdown().await.unwrap();
        assert!(begun.elapsed() >= LINGER && begun.elapsed() < 2 * LINGER);
        drop(wire);
        endless.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_ordinary_end_does_not_wait() {
        let (_peer, ours) = duplex(16);
        let begun = Instant::now();
        Wire::new(ours, Arc::default()).shutdown().await.unwrap();
        assert!(begun.elapsed().is_zero());
    }
}
