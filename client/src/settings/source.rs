//! Where an address comes from, which card is meant, and how an uplink is probed, as they are written in the file.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use nicgate_protocol::address::unmapped;

use crate::base_url::BaseUrl;

/// Where an address of one family comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The program that the file names.
    Command,
    /// A DNS server that answers with the address that it was asked from.
    Dns,
    /// This address, as written.
    Fixed(IpAddr),
    /// A network interface.
    Interface(Which),
    /// The home router says what its outer address is.
    Router(Method),
    /// A STUN server (RFC 8489).
    Stun,
    /// The address from which the gateway, or else a public service, sees us come.
    Web,
}

/// How a home router is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By whatever it answers to.
    Any,
    /// NAT-PMP or PCP.
    Pcp,
    /// UPnP IGD.
    Upnp,
}

/// Which network interface is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that has this address.
    Address(IpAddr),
    /// Any.
    Any,
    /// The one by which the default route leaves.
    DefaultRoute,
    /// The one with this hardware address.
    Mac([u8; 6]),
    /// Those of this name; `*` stands for any letters, the case of ASCII letters does not count.
    Named(String),
}

/// How to find out whether an uplink works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A DNS server answers, whatever it says.
    Dns(SocketAddr),
    /// A URL is answered with a status below 500.
    Http(BaseUrl),
    /// A TCP port takes a connection: host and port.
    Tcp(String, u16),
}

impl Source {
    /// Reads what stands behind `ipv4` or `ipv6`, but for "off".
    ///
    /// # Errors
    /// What may be written there.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "command" => Self::Command,
            "dns" => Self::Dns,
            "interface" => Self::Interface(Which::Any),
            "router" => Self::Router(Method::Any),
            "router:pcp" => Self::Router(Method::Pcp),
            "router:upnp" => Self::Router(Method::Upnp),
            "stun" => Self::Stun,
            "web" => Self::Web,
            _ => match text.strip_prefix("interface:") {
                Some(which) => Self::Interface(which.parse()?),
                None => text.parse().map(|address| Self::Fixed(unmapped(address))).map_err(|_| {
                    "write \"web\", \"interface\", \"interface:eth0\", \"router\", \"stun\", \"dns\", an address, or \
                     \"off\""
                })?,
            },
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command => f.write_str("command"),
            Self::Dns => f.write_str("dns"),
            Self::Fixed(address) => address.fmt(f),
            Self::Interface(Which::Any) => f.write_str("interface"),
            Self::Interface(which) => write!(f, "interface:{which}"),
            Self::Router(Method::Any) => f.write_str("router"),
            Self::Router(Method::Pcp) => f.write_str("router:pcp"),
            Self::Router(Method::Upnp) => f.write_str("router:upnp"),
            Self::Stun => f.write_str("stun"),
            Self::Web => f.write_str("web"),
        }
    }
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("name the interface, for instance \"interface:eth0\"".to_owned());
        }
        if text == "default" {
            return Ok(Self::DefaultRoute);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(unmapped(address)));
        }
        Ok(mac(text).map_or_else(|| Self::Named(text.to_owned()), Self::Mac))
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Any => f.write_str("any"),
            Self::DefaultRoute => f.write_str("default"),
            Self::Mac([a, b, c, d, e, g]) => write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// `00:11:22:aa:bb:cc`, as Linux and macOS write it, or `00-11-22-AA-BB-CC`, as Windows does.
fn mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for octet in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        *octet = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// Whether a name fits a pattern in which `*` stands for any letters; the case of ASCII letters does not
/// count.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(head) else { return false };
    let mut parts = tail.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(index) => rest = &rest[index + part.len()..],
            None => return false,
        }
    }
    true
}

impl FromStr for Probe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write \"https://host/path\", \"tcp:host:port\" or \"dns:192.0.2.53\"";
        if let Some(server) = text.strip_prefix("dns:") {
            let address = server.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
            return address.or_else(|_| server.parse()).map(Self::Dns).map_err(|_| example.to_owned());
        }
        if let Some(peer) = text.strip_prefix("tcp:") {
            let (host, port) = host_and_port(peer, None).ok_or(example)?;
            return Ok(Self::Tcp(host.to_owned(), port));
        }
        BaseUrl::parse_allowing_plain(text).map(Self::Http).map_err(|_| example.to_owned())
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(server) => write!(f, "dns:{server}"),
            Self::Http(url) => url.fmt(f),
            Self::Tcp(host, port) if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// `host`, `host:port`, `192.0.2.1:53`, `2001:db8::1` or `[2001:db8::1]:53`; without a port `otherwise`, if there is
/// one.
#[must_use]
pub fn host_and_port(text: &str, otherwise: Option<u16>) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if rest.is_empty() { otherwise? } else { rest.strip_prefix(':')?.parse().ok()? })
        }
        None => match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => (text.parse::<Ipv6Addr>().map(|_| text).ok()?, otherwise?),
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, otherwise?),
        },
    };
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    (!host.is_empty() && host.len() <= 253 && port != 0 && host.bytes().all(is_letter)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_prints_as_it_is_written() {
        for text in [
            "command",
            "dns",
            "interface",
            "interface:eth0",
            "interface:Ethernet 2",
            "interface:default",
            "interface:00:11:22:aa:bb:cc",
            "router",
            "router:pcp",
            "router:upnp",
            "stun",
            "web",
            "192.0.2.1",
            "2001:db8::1",
        ] {
            assert_eq!(Source::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Source::parse("interface:00-11-22-AA-BB-CC"), Source::parse("interface:00:11:22:aa:bb:cc"));
        for text in ["", "wbe", "interface:", "router:x", "off", "192.0.2"] {
            assert!(Source::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_fits_names_without_regard_to_case() {
        for (pattern, name, expected) in [
            ("eth0", "eth0", true),
            ("Ethernet 2", "ethernet 2", true),
            ("eth0", "eth01", false),
            ("eth*", "eth0", true),
            ("*", "anything", true),
            ("wl*p*s0", "wlp2s0", true),
            ("wl*p*s0", "wlp2s1", false),
            ("*net*", "Ethernet", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn probes_are_written_in_three_ways() {
        for (text, printed) in [
            ("https://ddns.example.com/healthz", "https://ddns.example.com/healthz"),
            ("http://192.0.2.1", "http://192.0.2.1"),
            ("tcp:192.0.2.1:443", "tcp:192.0.2.1:443"),
            ("tcp:[2001:db8::1]:443", "tcp:[2001:db8::1]:443"),
            ("tcp:host.example.com:443", "tcp:host.example.com:443"),
            ("dns:192.0.2.53", "dns:192.0.2.53:53"),
            ("dns:192.0.2.53:5353", "dns:192.0.2.53:5353"),
            ("dns:2001:db8::53", "dns:[2001:db8::53]:53"),
        ] {
            assert_eq!(text.parse::<Probe>().unwrap().to_string(), printed);
        }
        for text in ["", "ping", "tcp:host", "tcp:host:0", "tcp::443", "tcp:2001:db8::1", "dns:", "dns:example.com"] {
            assert!(text.parse::<Probe>().is_err(), "{text}");
        }
    }
}
