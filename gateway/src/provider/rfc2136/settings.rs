//! The keys of a `[[provider]]` block of this kind, read.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::base::name::Name;
use nicgate_protocol::Secret;

use super::tsig::{self, Algorithm};
use super::{Account, KEY_ALGORITHM, KEY_NAME, KEY_SECRET, SERVER, TRANSPORT};
use crate::provider::{BadSetting, ProviderSettings};

/// Where name servers listen.
const PORT: u16 = 53;

/// What messages go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// UDP first: one round trip instead of three. TCP for what does not fit, what was cut short, what was met with
    /// silence, and whatever an answer says that its sender did not sign.
    Either,
    Tcp,
    Udp,
}

impl Account {
    pub(super) fn read(settings: &ProviderSettings) -> Result<Self, BadSetting> {
        let bad = |key, why: &str| BadSetting { key, why: why.to_owned() };
        if settings.endpoint.is_some() {
            return Err(bad("endpoint", "this kind has no URL; write server = \"host:port\""));
        }
        if settings.ttl.is_some_and(|ttl| i32::try_from(ttl).is_err()) {
            return Err(bad("ttl", "a TTL has 31 bits at most (RFC 2181 8)"));
        }
        let server = server(settings.text(SERVER).unwrap_or_default()).ok_or_else(|| {
            bad(SERVER, "write host or host:port, for instance \"ns1.example.com:53\" or \"[2001:db8::1]:53\"")
        })?;
        let transport = match settings.text(TRANSPORT).map(str::trim) {
            None => Transport::Either,
            Some("tcp") => Transport::Tcp,
            Some("udp") => Transport::Udp,
            Some(_) => return Err(bad(TRANSPORT, "write \"tcp\" or \"udp\", or leave it out")),
        };
        let key_name = settings.credential(KEY_NAME)?;
        let name = key_name
            .parse::<Name<Vec<u8>>>()
            .map_err(|_| bad(KEY_NAME, "a key is named like a host, for instance \"ddns-key.example.com\""))?;
        let algorithm = match settings.text(KEY_ALGORITHM) {
            None => Algorithm::Sha256,
            Some(text) => Algorithm::parse(text).ok_or_else(|| {
                let known: Vec<&str> = Algorithm::ALL.into_iter().map(Algorithm::name).collect();
                bad(KEY_ALGORITHM, &format!("write one of {}; MD5 is broken, make a new key", known.join(", ")))
            })?,
        };
        let secret = settings.secret(KEY_SECRET).map(|secret| secret.expose().trim()).unwrap_or_default();
        let secret = secret_bytes(secret).ok_or_else(|| {
            bad(KEY_SECRET, "write the base64 text between the quotes after `secret`, or all that tsig-keygen printed")
        })?;
        Ok(Self {
            server: server.into(),
            transport,
            key_in_words: format!("{} ({})", key_name.trim_end_matches('.'), algorithm.name()),
            key: tsig::Key::new(&name, algorithm, secret),
        })
    }
}

/// `host:port`, with the usual port where none is named.
fn server(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        let port = if after.is_empty() { PORT } else { port(after.strip_prefix(':')?)? };
        return Some(format!("[{address}]:{port}"));
    }
    // Without brackets the port could not be told from the address.
    if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) {
        return None;
    }
    let (host, port) = match text.split_once(':') {
        None => (text, PORT),
        Some((host, text)) => (host, port(text)?),
    };
    let is_host = |host: &str| {
        !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    is_host(host).then(|| format!("{host}:{port}"))
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// The secret out of base64, or out of the block that `tsig-keygen` (BIND) or `keymgr -t` (Knot) print around it.
fn secret_bytes(text: &str) -> Option<Secret<Vec<u8>>> {
    let is_block = text.contains(char::is_whitespace);
    let word = if is_block {
        let (_, after) = text.rsplit_once("secret")?;
        after.trim_start_matches([':', ' ', '\t', '"']).split(['"', ';', ' ', '\t', '\r', '\n', '}']).next()?
    } else {
        text.trim_end_matches(';').trim_matches('"')
    };
    let bytes = STANDARD.decode(word).ok().filter(|bytes| !bytes.is_empty())?;
    Some(Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for (text, read) in [
            ("127.0.0.1:5353", Some("127.0.0.1:5353")),
            ("ns1.example.com", Some("ns1.example.com:53")),
            (" ns1.example.com:53 ", Some("ns1.example.com:53")),
            ("[2001:DB8::1]:5353", Some("[2001:db8::1]:5353")),
            ("[::1]", Some("[::1]:53")),
            ("2001:db8::1", None),
            ("ns1.example.com:0", None),
            ("ns1.example.com:70000", None),
            ("[::1]53", None),
            ("[127.0.0.1]:53", None),
            ("dns://ns1", None),
            ("ns1/example", None),
            (":53", None),
            ("", None),
        ] {
            assert_eq!(server(text).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn a_secret_is_taken_as_the_servers_tools_print_it() {
        for text in [
            "MTIzNDU2Nzg=",
            "\"MTIzNDU2Nzg=\";",
            "key \"ddns\" {\n\talgorithm hmac-sha256;\n\tsecret \"MTIzNDU2Nzg=\";\n};\n",
            "# hmac-sha256:ddns:MTIzNDU2Nzg=\nkey:\n- id: ddns\n  algorithm: hmac-sha256\n  secret: MTIzNDU2Nzg=\n",
        ] {
            assert_eq!(secret_bytes(text).unwrap().expose(), b"12345678", "{text}");
        }
        for text in ["", "not base64", "MTIzNDU2Nzg", "key ddns { secret \"\"; };", "secret"] {
            assert!(secret_bytes(text).is_none(), "{text}");
        }
    }
}
