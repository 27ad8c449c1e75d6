//! The first line of a connection, mended where routers really break it, before hyper's parser sees it.
//!
//! Three things are mended: `<`, `>` and `"` in the request target are percent-encoded (a FRITZ!Box that finds no
//! address sends its placeholder as it stands: `myip=<ip6addr>`), and a target without its leading slash gets one
//! (inadyn: `GET host.name HTTP/1.0`, `GET %2fupdate%3f…`). Everything else stays as sent: blanks, control bytes and
//! a bare CR in a request line are errors (RFC 9112 3), and the parser says so.
//!
//! Only the first request of a connection is mended. Routers open one connection per update, and to mend later
//! ones we would have to know where a body ends, which is the parser's business: two opinions about that are how
//! requests are smuggled.

/// The longest text that is held back until it is known whether a target is in absolute form.
const LONGEST_SCHEME: usize = "https://".len();
/// After this many bytes nobody is mending any more; the parser's own limit answers 431.
const LONGEST_LINE: usize = 8192;
/// Bytes of empty lines in front of the first request that are let pass (RFC 9112 2.2 asks for one line).
const EMPTY_LINES: usize = 4;

/// Mends a stream of bytes up to the end of the first request target, however it is cut into pieces.
#[derive(Debug)]
pub(super) struct Mender {
    stage: Stage,
    /// Bytes seen so far.
    seen: usize,
    held: [u8; LONGEST_SCHEME],
    held_len: usize,
    too_many_empty_lines: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Before the method, where empty lines may stand.
    Front,
    Method,
    /// At the first bytes of the target, until it is clear which form it has.
    Start,
    Target,
    /// Past the target, or past mending.
    Done,
}

impl Mender {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Front, seen: 0, held: [0; LONGEST_SCHEME], held_len: 0, too_many_empty_lines: false }
    }

    /// Whether all further bytes pass as they are.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether more empty lines stood in front than anybody sends by accident.
    pub(super) fn too_many_empty_lines(&self) -> bool {
        self.too_many_empty_lines
    }

    /// Appends to `out` what shall be read in place of `bytes`. May hold back up to eight bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for (index, &byte) in bytes.iter().enumerate() {
            if self.stage == Stage::Done {
                out.extend_from_slice(&bytes[index..]);
                return;
            }
            self.seen += 1;
            self.step(byte, out);
            if self.seen >= LONGEST_LINE {
                self.finish(out);
            }
        }
    }

    /// The stream has ended, or mending has: appends what was held back.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.held[..self.held_len]);
        self.held_len = 0;
        self.stage = Stage::Done;
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.stage, byte) {
            (Stage::Front, b'\r' | b'\n') => {
                self.too_many_empty_lines |= self.seen > EMPTY_LINES;
                out.push(byte);
            }
            // CONNECT has a target of its own kind, without a slash; it is refused further in.
            (Stage::Front, b'C') => self.end_with(byte, out),
            (Stage::Front, _) => {
                self.stage = Stage::Method;
                out.push(byte);
            }
            (Stage::Method, b' ') => {
                self.stage = Stage::Start;
                out.push(byte);
            }
            (Stage::Start, b'/' | b'*') if self.held_len == 0 => {
                self.stage = Stage::Target;
                out.push(byte);
            }
            (Stage::Start, b' ') if self.held_len == 0 => self.end_with(byte, out),
            (Stage::Method | Stage::Start | Stage::Target, b'\r' | b'\n') => self.end_with(byte, out),
            (Stage::Start, _) => self.start(byte, out),
            (Stage::Target, b' ') => self.end_with(byte, out),
            (Stage::Target, b'<') => out.extend_from_slice(b"%3C"),
            (Stage::Target, b'>') => out.extend_from_slice(b"%3E"),
            (Stage::Target, b'"') => out.extend_from_slice(b"%22"),
            (Stage::Method | Stage::Target | Stage::Done, _) => out.push(byte),
        }
    }

    /// The target does not begin with a slash: absolute form, or a slash is missing.
    fn start(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.held[self.held_len] = byte;
        self.held_len += 1;
        let so_far = &self.held[..self.held_len];
        for scheme in ["http://", "https://"] {
            let Some(begun) = scheme.as_bytes().get(..so_far.len()) else { continue };
            if !begun.eq_ignore_ascii_case(so_far) {
                continue;
            }
            if begun.len() == scheme.len() {
                out.extend_from_slice(so_far);
                self.held_len = 0;
                self.stage = Stage::Target;
            }
            return;
        }
        let held = self.held;
        let held_len = std::mem::take(&mut self.held_len);
        self.stage = Stage::Target;
        out.push(b'/');
        for &byte in &held[..held_len] {
            self.step(byte, out);
        }
    }

    fn end_with(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.finish(out);
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read in place of `sent`, cut into pieces of `size`.
    fn mended(sent: &[u8], size: usize) -> Vec<u8> {
        let mut mender = Mender::new();
        let mut out = Vec::new();
        for piece in sent.chunks(size) {
            mender.feed(piece, &mut out);
        }
        mender.finish(&mut out);
        out
    }

    #[test]
    fn what_routers_break_is_mended_however_it_arrives() {
        for (sent, read) in [
            ("GET /nic/update?myip=<ipaddr> HTTP/1.1\r\n", "GET /nic/update?myip=%3Cipaddr%3E HTTP/1.1\r\n"),
            ("GET /a?b=\"c\" HTTP/1.0\r\n", "GET /a?b=%22c%22 HTTP/1.0\r\n"),
            ("GET nic/update?a=<b> HTTP/1.0\r\n", "GET /nic/update?a=%3Cb%3E HTTP/1.0\r\n"),
            ("GET %2fupdate%3fhostname=a HTTP/1.0\r\n", "GET /%2fupdate%3fhostname=a HTTP/1.0\r\n"),
            ("GET ht HTTP/1.0\r\n", "GET /ht HTTP/1.0\r\n"),
            ("GET h<t HTTP/1.0\r\n", "GET /h%3Ct HTTP/1.0\r\n"),
            ("GET home.test HTTP/1.0\r\n", "GET /home.test HTTP/1.0\r\n"),
            ("GET ?hostname=a HTTP/1.0\r\n", "GET /?hostname=a HTTP/1.0\r\n"),
            ("\r\nGET a HTTP/1.0\r\n", "\r\nGET /a HTTP/1.0\r\n"),
        ] {
            for size in [1, 2, 3, 7, sent.len()] {
                assert_eq!(String::from_utf8(mended(sent.as_bytes(), size)).unwrap(), read, "by {size}");
            }
        }
    }

    #[test]
    fn everything_else_passes_untouched() {
        for sent in [
            "GET /nic/update?hostname=a.b&myip=192.0.2.1 HTTP/1.1\r\nHost: <x>\r\n\r\nGET no<slash HTTP/1.1\r\n",
            "GET http://host/nic/update HTTP/1.1\r\n",
            "GET HTTPS://host/nic/update HTTP/1.1\r\n",
            "GET /\\/nic/update HTTP/1.0\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n<\">",
            "OPTIONS * HTTP/1.1\r\n",
            "CONNECT host:443 HTTP/1.1\r\n",
            "GET  /two HTTP/1.1\r\n",
            "GET /a b HTTP/1.1\r\n",
            "GET /a\rb<c HTTP/1.1\r\n",
            "GET /\r\n<",
            "GET\r\n<",
            "",
        ] {
            for size in [1, 2, 5, 4096] {
                assert_eq!(mended(sent.as_bytes(), size), sent.as_bytes(), "by {size}");
            }
        }
    }

    #[test]
    fn a_stream_that_ends_early_loses_nothing() {
        for sent in ["GET https:/", "GET http", "GE", "GET /nic", "\r\n"] {
            assert_eq!(mended(sent.as_bytes(), 1), sent.as_bytes());
        }
    }

    #[test]
    fn mending_ends_with_the_longest_line() {
        let line = format!("GET /{} HTTP/1.1\r\n", "<".repeat(LONGEST_LINE));
        let read = mended(line.as_bytes(), 100);
        assert!(read.ends_with(b"<<< HTTP/1.1\r\n"));
    }

    #[test]
    fn a_run_of_empty_lines_is_noticed() {
        let many = |text: &str| {
            let mut mender = Mender::new();
            mender.feed(text.as_bytes(), &mut Vec::new());
            mender.too_many_empty_lines()
        };
        assert!(!many("\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\n\r\n\r\n"));
        assert!(many("\r\n\r\n\r\nGET / HTTP/1.1\r\n"));
    }
}
