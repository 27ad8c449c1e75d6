//! Who speaks: the other end of the socket, or whom a trusted proxy names.
//!
//! A proxy speaks by `Forwarded` (RFC 7239), by `X-Forwarded-For` and `X-Forwarded-Proto`, or by a PROXY protocol v2
//! header in front of everything. All three are believed from `trusted_proxies` alone; from anybody else headers are
//! ignored and a PROXY header closes the connection.
//!
//! Lists are read from the right, where the nearest proxy writes, past every trusted hop: the first that is not
//! trusted is the peer. What stands further left is the peer's own invention. At an entry that names nobody
//! (`unknown`, `_hidden`, rubbish) reading stops, and the last hop that was named is the peer. When both kinds of
//! header are there and name different peers, one of them came from outside, and the socket's hop is the peer.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use nicgate_logic::screen::Via;
use nicgate_protocol::address::unmapped;
use tokio::io::{AsyncRead, AsyncReadExt as _};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// What those add who forward requests: one of them shows that somebody does, whatever it says.
const TRACES: [HeaderName; 7] = [
    header::FORWARDED,
    header::VIA,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// The networks whose word is taken for somebody else's address.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// From the networks of the configuration.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether the address is a trusted proxy's. IPv4-mapped addresses count as the one inside.
    #[must_use]
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = unmapped(address);
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Who speaks, and whether in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// IPv4-mapped addresses are unwrapped.
    pub address: IpAddr,
    /// Whether the request came over TLS, here or at the trusted proxy.
    pub secure: bool,
}

/// Who speaks in a request that came over a trusted hop. What the proxy says about TLS counts more than our own
/// leg: behind it we see only the proxy. Where two headers speak of TLS, both have to say so.
#[must_use]
pub fn behind_proxy(hop: Peer, headers: &HeaderMap, trusted: &TrustedProxies) -> Peer {
    let (standard, standard_secure) = by_forwarded(hop.address, headers, trusted);
    let usual = by_x_forwarded_for(hop.address, headers, trusted);
    let address = match (standard, usual) {
        (Some(one), Some(other)) if one == other => one,
        (Some(one), None) | (None, Some(one)) => one,
        (Some(_), Some(_)) | (None, None) => hop.address,
    };
    let secure = match (standard_secure, x_forwarded_secure(headers)) {
        (Some(one), Some(other)) => one && other,
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => hop.secure,
    };
    Peer { address, secure }
}

/// Who stands between us and `peer`, whom the hop or its headers named; `is_named`: the hop itself was named, by a PROXY
/// header.
#[must_use]
pub fn via(hop: IpAddr, is_named: bool, peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Via {
    if trusted.hold(peer) {
        // A proxy for itself, or for somebody whom it does not name.
        return Via::Forwarder;
    }
    if is_named || peer != hop {
        return Via::Proxy;
    }
    if TRACES.iter().any(|trace| headers.contains_key(trace)) { Via::Forwarder } else { Via::Nobody }
}

/// Whom `X-Forwarded-For` names; `None` without such a header.
fn by_x_forwarded_for(hop: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Option<IpAddr> {
    let mut lines = headers.get_all(&X_FORWARDED_FOR).iter().rev().peekable();
    lines.peek()?;
    let mut address = hop;
    for entry in lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',')) {
        let Some(named) = node(entry.trim()) else { break };
        address = named;
        if !trusted.hold(address) {
            break;
        }
    }
    Some(address)
}

/// What `X-Forwarded-Proto` says; its last value is the nearest proxy's.
fn x_forwarded_secure(headers: &HeaderMap) -> Option<bool> {
    let line = headers.get_all(&X_FORWARDED_PROTO).iter().next_back()?;
    let last = line.to_str().unwrap_or_default().rsplit(',').next().unwrap_or_default();
    Some(last.trim().eq_ignore_ascii_case("https"))
}

/// Whom `Forwarded` names, and what it says of that hop's TLS; nothing without such a header.
fn by_forwarded(hop: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> (Option<IpAddr>, Option<bool>) {
    if !headers.contains_key(header::FORWARDED) {
        return (None, None);
    }
    let mut address = hop;
    let mut secure = None;
    for line in headers.get_all(header::FORWARDED).iter().rev() {
        let Some(elements) = line.to_str().ok().and_then(elements) else { break };
        for element in elements.iter().rev() {
            let Some(named) = element.node.as_deref().and_then(node) else { return (Some(address), secure) };
            address = named;
            secure = element.secure.or(secure);
            if !trusted.hold(address) {
                return (Some(address), secure);
            }
        }
    }
    (Some(address), secure)
}

/// One hop of a `Forwarded` header (RFC 7239 4).
#[derive(Debug, Default, PartialEq, Eq)]
struct Element {
    node: Option<String>,
    secure: Option<bool>,
}

/// Reads `for=192.0.2.60;proto=https, for="[2001:db8::1]:4711"`; `None` when it cannot be read to the end.
fn elements(line: &str) -> Option<Vec<Element>> {
    let mut all = Vec::new();
    let mut element = Element::default();
    let mut rest = line.trim();
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        match name.trim() {
            name if name.eq_ignore_ascii_case("for") && element.node.is_none() => element.node = Some(value),
            name if name.eq_ignore_ascii_case("proto") && element.secure.is_none() => {
                element.secure = Some(value.eq_ignore_ascii_case("https"));
            }
            // Given twice in one element: two readers could take either.
            name if name.eq_ignore_ascii_case("for") || name.eq_ignore_ascii_case("proto") => return None,
            _ => {}
        }
        let after = after.trim_start();
        if let Some(next) = after.strip_prefix(';') {
            rest = next;
        } else if let Some(next) = after.strip_prefix(',') {
            all.push(std::mem::take(&mut element));
            rest = next;
        } else if after.is_empty() {
            all.push(element);
            return Some(all);
        } else {
            return None;
        }
    }
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        let (token, after) = text.split_at(end);
        return (!token.contains('"')).then(|| (token.to_owned(), after));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    address.or_else(bare).or_else(with_port).map(unmapped)
}

/// The first twelve bytes of a PROXY protocol v2 header.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;
/// The longest rest of a header that is taken: addresses, and more additional fields than proxies send.
const LONGEST_REST: usize = 1024;

/// Why a PROXY header was not taken.
#[derive(Debug)]
pub enum BadProxyHeader {
    /// It does not begin with the v2 signature.
    NotV2,
    /// A version, command or family that v2 does not know, or a length that does not fit.
    Malformed,
    /// The connection broke before the header had ended.
    Broken(io::Error),
}

impl fmt::Display for BadProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotV2 => f.write_str("no PROXY protocol v2 header: let the proxy send one (HAProxy: send-proxy-v2)"),
            Self::Malformed => f.write_str("a PROXY protocol header that cannot be read"),
            Self::Broken(why) => write!(f, "the connection ended within the PROXY protocol header: {why}"),
        }
    }
}

impl std::error::Error for BadProxyHeader {}

/// Reads a PROXY header and nothing after it. `None`: the proxy speaks for itself (a health check).
///
/// # Errors
/// When it is not a v2 header for a TCP connection.
pub async fn read_proxy_header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>, BadProxyHeader> {
    let mut fixed = [0; FIXED];
    stream.read_exact(&mut fixed).await.map_err(BadProxyHeader::Broken)?;
    let length = rest_of_header(&fixed)?;
    let mut rest = [0; LONGEST_REST];
    let rest = rest.get_mut(..length).ok_or(BadProxyHeader::Malformed)?;
    stream.read_exact(rest).await.map_err(BadProxyHeader::Broken)?;
    source(&fixed, rest)
}

/// How many bytes follow the fixed part.
fn rest_of_header(fixed: &[u8; FIXED]) -> Result<usize, BadProxyHeader> {
    if fixed[..12] != SIGNATURE {
        return Err(BadProxyHeader::NotV2);
    }
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > LONGEST_REST { Err(BadProxyHeader::Malformed) } else { Ok(length) }
}

/// The source address of a header; fields after the addresses are skipped.
fn source(fixed: &[u8; FIXED], rest: &[u8]) -> Result<Option<IpAddr>, BadProxyHeader> {
    match (fixed[12], fixed[13]) {
        // LOCAL: whatever family it names, it is to be ignored.
        (0x20, _) => Ok(None),
        // TCP over IPv4: two addresses, two ports.
        (0x21, 0x11) if rest.len() >= 12 => Ok(Some(IpAddr::V4(Ipv4Addr::new(rest[0], rest[1], rest[2], rest[3])))),
        (0x21, 0x21) if rest.len() >= 36 => {
            let mut octets = [0; 16];
            octets.copy_from_slice(&rest[..16]);
            Ok(Some(unmapped(IpAddr::from(octets))))
        }
        // Unspecified: the proxy does not know either.
        (0x21, 0x00) => Ok(None),
        _ => Err(BadProxyHeader::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: Peer = Peer { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), secure: false };

    fn trusted() -> TrustedProxies {
        TrustedProxies::new(["10.0.0.0/8", "2001:db8:ff::/48"].map(|net| net.parse().unwrap()).to_vec())
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn peer(lines: &[(&str, &str)]) -> String {
        let peer = behind_proxy(HOP, &headers(lines), &trusted());
        format!("{}{}", peer.address, if peer.secure { " tls" } else { "" })
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right() {
        for (lists, expected) in [
            (&["192.0.2.7"][..], "192.0.2.7"),
            (&["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
            (&["6.6.6.6,192.0.2.7, 10.0.0.2 ,10.0.0.3"], "192.0.2.7"),
            (&["6.6.6.6", "192.0.2.7", "10.9.9.9"], "192.0.2.7"),
            (&["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
            (&["::ffff:192.0.2.7"], "192.0.2.7"),
            (&["2001:DB8::1"], "2001:db8::1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["192.0.2.7:4711"], "192.0.2.7"),
            (&["192.0.2.7, 2001:db8:ff::2"], "192.0.2.7"),
            (&["6.6.6.6, rubbish, 10.0.0.2"], "10.0.0.2"),
            (&["6.6.6.6, unknown"], "10.0.0.1"),
            (&["6.6.6.6,,"], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["192.0.2.7; DROP TABLE"], "10.0.0.1"),
            (&["192.0.2.007"], "10.0.0.1"),
        ] {
            let lines: Vec<_> = lists.iter().map(|list| ("x-forwarded-for", *list)).collect();
            assert_eq!(peer(&lines), expected, "{lists:?}");
        }
    }

    #[test]
    fn forwarded_is_read_from_the_right() {
        for (lists, expected) in [
            (&["for=192.0.2.7"][..], "192.0.2.7"),
            (&["For=192.0.2.7;Proto=HTTPS;by=10.0.0.1;host=a.b"], "192.0.2.7 tls"),
            (&["for=6.6.6.6;proto=https, for=192.0.2.7;proto=http"], "192.0.2.7"),
            (&["for=192.0.2.7;proto=https, for=10.0.0.2;proto=http"], "192.0.2.7 tls"),
            (&["for=192.0.2.7 ; proto=https , for=10.0.0.2"], "192.0.2.7 tls"),
            (&["for=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
            (&["for=\"192.0.2.7:80\", for=10.0.0.2"], "192.0.2.7"),
            (&["for=\"\\1\\9\\2.0.2.7\""], "192.0.2.7"),
            (&["for=6.6.6.6", "for=192.0.2.7, for=10.0.0.2", "for=10.0.0.3"], "192.0.2.7"),
            (&["for=6.6.6.6, for=unknown, for=10.0.0.2"], "10.0.0.2"),
            (&["for=6.6.6.6, for=_hidden"], "10.0.0.1"),
            (&["for=6.6.6.6, proto=https"], "10.0.0.1"),
            (&["for=6.6.6.6;for=192.0.2.7"], "10.0.0.1"),
            (&["for=\"6.6.6.6, for=192.0.2.7"], "10.0.0.1"),
            (&["for=x\"y, for=192.0.2.7"], "10.0.0.1"),
            (&["for=\"x,for=6.6.6.6\", for=10.0.0.2"], "10.0.0.2"),
            (&["for=192.0.2.7,"], "10.0.0.1"),
            (&["rubbish"], "10.0.0.1"),
        ] {
            let lines: Vec<_> = lists.iter().map(|list| ("forwarded", *list)).collect();
            assert_eq!(peer(&lines), expected, "{lists:?}");
        }
    }

    #[test]
    fn two_kinds_of_header_must_agree() {
        let both = |standard, usual| peer(&[("forwarded", standard), ("x-forwarded-for", usual)]);
        assert_eq!(both("for=192.0.2.7", "192.0.2.7"), "192.0.2.7");
        assert_eq!(both("for=6.6.6.6", "192.0.2.7"), "10.0.0.1");
        let with_proto = |proto| peer(&[("forwarded", "for=192.0.2.7;proto=https"), ("x-forwarded-proto", proto)]);
        assert_eq!(with_proto("https"), "192.0.2.7 tls");
        assert_eq!(with_proto("http"), "192.0.2.7");
    }

    #[test]
    fn tls_is_what_the_nearest_proxy_says() {
        let with = |proto| peer(&[("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", proto)]);
        assert_eq!(with("https"), "192.0.2.7 tls");
        assert_eq!(with("HTTPS"), "192.0.2.7 tls");
        assert_eq!(with("https, http"), "192.0.2.7");
        assert_eq!(with("http"), "192.0.2.7");
        let over_tls = Peer { secure: true, ..HOP };
        let secure = |lines| behind_proxy(over_tls, &headers(lines), &trusted()).secure;
        assert!(secure(&[("x-forwarded-for", "192.0.2.7")]));
        assert!(!secure(&[("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "http")]));
    }

    #[test]
    fn whoever_stands_between_is_noticed() {
        for (hop, is_named, lines, expected) in [
            ("127.0.0.1", false, &[][..], Via::Nobody),
            ("192.0.2.7", false, &[("x-other", "a")], Via::Nobody),
            ("192.0.2.7", true, &[], Via::Proxy),
            ("127.0.0.1", true, &[], Via::Proxy),
            ("10.0.0.1", false, &[("x-forwarded-for", "192.0.2.7")], Via::Proxy),
            ("10.0.0.1", false, &[("x-forwarded-for", "127.0.0.1")], Via::Proxy),
            ("10.0.0.1", false, &[("x-forwarded-for", "10.0.0.9")], Via::Forwarder),
            ("10.0.0.1", false, &[], Via::Forwarder),
            ("127.0.0.1", false, &[("forwarded", "for=192.0.2.7")], Via::Forwarder),
            ("127.0.0.1", false, &[("x-forwarded-for", "192.0.2.7")], Via::Forwarder),
            ("127.0.0.1", false, &[("x-forwarded-proto", "https")], Via::Forwarder),
            ("127.0.0.1", false, &[("x-real-ip", "192.0.2.7")], Via::Forwarder),
            ("127.0.0.1", false, &[("cf-connecting-ip", "192.0.2.7")], Via::Forwarder),
            ("127.0.0.1", false, &[("via", "1.1 nginx")], Via::Forwarder),
        ] {
            let hop: IpAddr = hop.parse().unwrap();
            let headers = headers(lines);
            let peer = Peer { address: hop, secure: false };
            let peer = if trusted().hold(hop) { behind_proxy(peer, &headers, &trusted()) } else { peer };
            assert_eq!(via(hop, is_named, peer.address, &headers, &trusted()), expected, "{hop} {lines:?}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_one_inside() {
        assert!(trusted().hold("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!trusted().hold("192.0.2.1".parse().unwrap()));
    }

    /// A header with `addresses` behind the fixed part, and a few bytes of the stream after it.
    fn header(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
        bytes.extend(addresses);
        bytes.extend(b"GET /");
        bytes
    }

    async fn read(bytes: &[u8]) -> Result<Option<IpAddr>, BadProxyHeader> {
        let mut stream = bytes;
        let read = read_proxy_header(&mut stream).await?;
        assert_eq!(stream, b"GET /", "nothing after the header may be taken");
        Ok(read)
    }

    #[tokio::test]
    async fn a_proxy_header_names_the_source() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb];
        assert_eq!(read(&header(0x21, 0x11, &v4)).await.unwrap(), Some("192.0.2.7".parse().unwrap()));
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(read(&header(0x21, 0x21, &v6)).await.unwrap(), Some("2001:db8::7".parse().unwrap()));
        v6[..16].copy_from_slice(&"::ffff:192.0.2.7".parse::<Ipv6Addr>().unwrap().octets());
        let mut with_fields = v6.to_vec();
        with_fields.extend([0x04, 0, 3, 1, 2, 3]);
        assert_eq!(read(&header(0x21, 0x21, &with_fields)).await.unwrap(), Some("192.0.2.7".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_proxy_may_speak_for_itself() {
        assert_eq!(read(&header(0x20, 0x00, &[])).await.unwrap(), None);
        assert_eq!(read(&header(0x20, 0x11, &[0; 12])).await.unwrap(), None);
        assert_eq!(read(&header(0x21, 0x00, &[])).await.unwrap(), None);
    }

    #[tokio::test]
    async fn other_headers_are_refused() {
        for bytes in [
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            header(0x11, 0x11, &[0; 12]),
            header(0x22, 0x11, &[0; 12]),
            header(0x21, 0x12, &[0; 12]),
            header(0x21, 0x31, &[0; 216]),
            header(0x21, 0x11, &[0; 11]),
            header(0x21, 0x21, &[0; 35]),
            header(0x21, 0x11, &[0; LONGEST_REST + 1]),
            header(0x21, 0x11, &[0; 12])[..20].to_vec(),
            Vec::new(),
        ] {
            assert!(read(&bytes).await.is_err(), "{bytes:?}");
        }
    }
}
