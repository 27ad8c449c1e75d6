//! Where the gateway is: `https://host[:port][/prefix]`.
//!
//! Plain `http://` is taken for loopback alone, because an answer that was not protected proves nothing; whoever
//! wants it elsewhere says so by name. Nothing here looks a name up.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

/// A gateway's address, checked: scheme, host and port are there, nothing else but a path prefix is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    is_secure: bool,
    /// Lower case, IPv6 without brackets.
    host: String,
    port: u16,
    /// Empty, or `/` and more, without a final `/`.
    prefix: String,
}

/// Why a text is no gateway address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBaseUrl {
    /// Not a URL with scheme and host.
    NotAUrl,
    /// Another scheme than `https` and `http`.
    Scheme,
    /// Plain HTTP to a host that is not loopback.
    Plain,
    /// A user name or password in the URL.
    Credentials,
    /// A question mark and what follows it.
    Query,
}

impl fmt::Display for BadBaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAUrl => "write the gateway as a URL, for instance \"https://ddns.example.com\"",
            Self::Scheme => "the scheme is \"https\" (or \"http\" for a laboratory)",
            Self::Plain => "plain http is taken for loopback only: write https, or add `allow_plain = true`",
            Self::Credentials => "no credentials belong into the URL: they are `device` and `key_file`",
            Self::Query => "a base URL has no query: the client adds \"/nic/update?…\" itself",
        })
    }
}

impl std::error::Error for BadBaseUrl {}

impl BaseUrl {
    /// Reads a base URL; plain HTTP only towards loopback.
    ///
    /// # Errors
    /// What is wrong with the text, as a sentence that says what would be right.
    pub fn parse(text: &str) -> Result<Self, BadBaseUrl> {
        let url = Self::parse_allowing_plain(text)?;
        if url.is_secure || url.is_loopback() { Ok(url) } else { Err(BadBaseUrl::Plain) }
    }

    /// Reads a base URL; plain HTTP to any host. Signatures still hold, but anybody on the way can read along and
    /// invent answers.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but for [`BadBaseUrl::Plain`].
    pub fn parse_allowing_plain(text: &str) -> Result<Self, BadBaseUrl> {
        let uri: Uri = text.parse().map_err(|_| BadBaseUrl::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(BadBaseUrl::NotAUrl);
        };
        let is_secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(BadBaseUrl::Scheme),
        };
        if authority.as_str().contains('@') {
            return Err(BadBaseUrl::Credentials);
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(BadBaseUrl::Query);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        // "host:" has an empty port, "host:99999" none that fits: both are slips.
        let names_a_port = authority.as_str().len() > authority.host().len();
        let port = match authority.port_u16() {
            Some(port) if port != 0 => port,
            None if !names_a_port => {
                if is_secure {
                    443
                } else {
                    80
                }
            }
            Some(_) | None => return Err(BadBaseUrl::NotAUrl),
        };
        if host.is_empty() {
            return Err(BadBaseUrl::NotAUrl);
        }
        Ok(Self { is_secure, host, port, prefix: uri.path().trim_end_matches('/').to_owned() })
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The name or address, lower case, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also where the URL leaves it to the scheme.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of the Host header: the port only where it is not the scheme's own (RFC 9110 7.2).
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.is_secure { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }

    /// `suffix` (with its `/`) below the prefix.
    #[must_use]
    pub fn path(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.prefix)
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// The URL in its shortest form: equal gateways print alike.
impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_gives_authority_and_path() {
        for (text, authority, path) in [
            ("https://ddns.example.com", "ddns.example.com", "/nic/update"),
            ("https://DDNS.Example.com:443/", "ddns.example.com", "/nic/update"),
            ("https://ddns.example.com:8443", "ddns.example.com:8443", "/nic/update"),
            ("https://ddns.example.com/gate/", "ddns.example.com", "/gate/nic/update"),
            ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443", "/nic/update"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "/nic/update"),
            ("http://[::1]", "[::1]", "/nic/update"),
        ] {
            let url = BaseUrl::parse(text).unwrap();
            assert_eq!((url.authority().as_str(), url.path("/nic/update").as_str()), (authority, path), "{text}");
        }
        let url = BaseUrl::parse("HTTPS://[2001:DB8::1]").unwrap();
        assert_eq!((url.host(), url.port(), url.to_string().as_str()), ("2001:db8::1", 443, "https://[2001:db8::1]"));
    }

    #[test]
    fn what_is_no_base_url_is_told_apart() {
        for (text, why) in [
            ("ddns.example.com", BadBaseUrl::NotAUrl),
            ("", BadBaseUrl::NotAUrl),
            ("https://", BadBaseUrl::NotAUrl),
            ("https://host:99999", BadBaseUrl::NotAUrl),
            ("https://host:0", BadBaseUrl::NotAUrl),
            ("https://a b", BadBaseUrl::NotAUrl),
            ("ftp://ddns.example.com", BadBaseUrl::Scheme),
            ("http://ddns.example.com", BadBaseUrl::Plain),
            ("http://192.0.2.1", BadBaseUrl::Plain),
            ("http://localhost.example.com", BadBaseUrl::Plain),
            ("https://laptop:key@ddns.example.com", BadBaseUrl::Credentials),
            ("https://ddns.example.com/nic?hostname=a", BadBaseUrl::Query),
            ("https://ddns.example.com/#top", BadBaseUrl::Query),
        ] {
            assert_eq!(BaseUrl::parse(text), Err(why), "{text:?}");
        }
        assert!(BaseUrl::parse_allowing_plain("http://192.0.2.1").is_ok());
    }
}
