//! `[server]`, `[tls]`, `[dns]` and `[limits]`: where the gateway listens and what it may take.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use nicgate_protocol::enrollment::base_url;
use nicgate_protocol::{Hostname, Secret};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::file::Section;
use super::reading::{At, Once};
use super::secrets::{self, Home};

/// `[server]`.
pub struct Server {
    /// Where HTTPS is spoken.
    pub listen: Vec<SocketAddr>,
    /// Where plain HTTP is spoken.
    pub plain_listen: Vec<SocketAddr>,
    /// Where clients reach the gateway: a base URL for the lines that enroll them.
    pub public_url: Option<String>,
    /// Those of both that expect a PROXY protocol header, version 2, from a trusted proxy.
    pub proxy_protocol: Vec<SocketAddr>,
    /// Where everything durable is kept.
    pub data_dir: PathBuf,
    /// Peers whose `X-Forwarded-For`, `Forwarded` and PROXY header are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long an update waits for the provider before it is answered `911`.
    pub reply_deadline: Duration,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// The master key, if it is given; without it, it is kept in `data_dir`.
    pub master_key: Option<Secret<[u8; 32]>>,
    /// How long the secrets before a rotation stay valid.
    pub rotation_grace: Duration,
    /// The most connections at a time.
    pub max_connections: usize,
    /// The most connections at a time from one source (IPv6: one /64).
    pub max_connections_per_source: usize,
    /// How the log is written; `None`: `Human` on a terminal, else `Json`.
    pub log: Option<LogForm>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// One JSON object a line.
    Json,
    /// For eyes.
    Human,
}

/// `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// PEM files, read again when they change.
    Files {
        /// The certificate and what it is signed with, leaf first.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// A certificate of the gateway's own making.
    SelfSigned {
        /// Names and addresses it is for; empty: those of this machine that are known.
        names: Vec<String>,
    },
}

/// `[dns]`, the embedded name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Where it listens, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// The addresses of the zones' own name server names.
    pub nameserver_addresses: Vec<IpAddr>,
}

/// `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether there are rate limits and bans at all.
    pub is_enabled: bool,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn read_server(mut section: Section<'_>) -> Server {
    let reading = section.reading;
    let mut once = Once::default();
    let mut take_listen = |section: &mut Section<'_>, key| {
        let all = section.take_list(key, "127.0.0.1:8443", socket_address);
        // Port 0 is any free one, so it may stand several times.
        let is_free =
            |at: &At<SocketAddr>| at.value.port() == 0 || once.admit(reading, key, &at.value.to_string(), &at.span);
        all.into_iter().filter(is_free).map(|at| at.value).collect::<Vec<_>>()
    };
    let listen = take_listen(&mut section, "listen");
    let plain_listen = take_listen(&mut section, "plain_listen");
    if !section.holds_entries("listen") && !section.holds_entries("plain_listen") {
        let found = "there is nothing to listen on";
        reading.missing(section.span(), found, "write listen = [\"[::]:443\"] in [server]");
    }
    if let Some(span) = section.value_span("plain_listen")
        && plain_listen.iter().any(|address| !address.ip().is_loopback())
    {
        reading.warn(
            Some(&span),
            "plain_listen takes passwords in clear from the network",
            "keep it for routers without usable TLS, in networks you trust",
        );
    }

    let trusted_proxies = section.take_list("trusted_proxies", "10.0.0.0/8", network);
    for everybody in trusted_proxies.iter().filter(|network| network.value.prefix_len() == 0) {
        reading.warn(
            Some(&everybody.span),
            "every peer is a trusted proxy",
            "anybody may then claim any address; name the proxies",
        );
    }
    let proxy_protocol = section.take_list("proxy_protocol", "127.0.0.1:8443", socket_address);
    for at in &proxy_protocol {
        if !listen.contains(&at.value) && !plain_listen.contains(&at.value) {
            let found = format!("proxy_protocol holds \"{}\"", at.value);
            reading.missing(Some(&at.span), found, "it names addresses that stand in listen or plain_listen too");
        }
    }
    if let Some(span) = section.value_span("proxy_protocol")
        && !proxy_protocol.is_empty()
        && !section.holds_entries("trusted_proxies")
    {
        let hint = "name the proxies that may send the header in trusted_proxies";
        reading.missing(Some(&span), "proxy_protocol trusts nobody", hint);
    }

    let http2 = section.take_flag("http2").is_some_and(|at| {
        if at.value {
            reading.warn(Some(&at.span), "http2 is true", "it is not offered yet; HTTP/1.1 is served");
        }
        at.value
    });
    let server = Server {
        listen,
        plain_listen,
        public_url: section.take_parsed("public_url", base_url).map(|at| at.value),
        proxy_protocol: proxy_protocol.into_iter().map(|at| at.value).collect(),
        data_dir: reading.path(section.take_text("data_dir").map_or("/var/lib/nicgate", |at| at.value)),
        trusted_proxies: trusted_proxies.into_iter().map(|at| at.value).collect(),
        reply_deadline: section.take_duration("reply_deadline", SECOND..=MINUTE, 8 * SECOND),
        http2,
        master_key: take_master_key(&mut section),
        rotation_grace: section.take_duration("rotation_grace", Duration::ZERO..=720 * HOUR, 24 * HOUR),
        max_connections: section.take_number("max_connections", 1..=1_000_000).unwrap_or(10_000) as usize,
        max_connections_per_source: section.take_number("max_connections_per_source", 1..=1_000_000).unwrap_or(100)
            as usize,
        log: section.take_word("log", &[("json", LogForm::Json), ("human", LogForm::Human)]).map(|at| at.value),
    };
    section.finish(false);
    server
}

/// The master key from a file or the environment: 32 bytes as 64 hexadecimal digits. In the configuration itself it
/// may not stand.
fn take_master_key(section: &mut Section<'_>) -> Option<Secret<[u8; 32]>> {
    let secret = secrets::take(section, "master_key", Home::Elsewhere)?;
    let key = read_master_key(secret.value.expose());
    if key.is_none() {
        let hint = "write 32 random bytes as 64 hexadecimal digits, for instance from openssl rand -hex 32";
        section.reading.mistake(&secret.span, "the master key is not one", hint);
    }
    key
}

fn read_master_key(text: &str) -> Option<Secret<[u8; 32]>> {
    let text = text.trim().as_bytes();
    let mut key = [0; 32];
    if text.len() != 2 * key.len() {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |index: usize| char::from(digits[index]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(Secret::new(key))
}

pub(super) fn read_tls(mut section: Section<'_>, server: &Server) -> Option<Tls> {
    let reading = section.reading;
    let ways = "write cert_file and key_file, or self_signed = true";
    if !section.is_written() {
        if !server.listen.is_empty() {
            reading.missing(None, "listen speaks HTTPS, and there is no [tls]", format!("add [tls] and {ways}"));
        }
        return None;
    }
    if let Some(span) = section.value_span("acme") {
        reading.mistake(
            &span,
            "this version gets no certificates by itself",
            "use cert_file and key_file with a tool such as certbot or lego; the files are read again when they change",
        );
    }
    section.know("acme");
    let has_files = section.has("cert_file") || section.has("key_file");
    let cert = take_pem_file(&mut section, "cert_file", "certificate", |pem| {
        let count = CertificateDer::pem_slice_iter(pem).take_while(Result::is_ok).count();
        count > 0 && CertificateDer::pem_slice_iter(pem).count() == count
    });
    let key = take_pem_file(&mut section, "key_file", "private key", |pem| PrivateKeyDer::from_pem_slice(pem).is_ok());
    let self_signed = section.take_flag("self_signed");
    let names = section.take_list("names", "ddns.example.com", certificate_name);
    if let (true, Some(span)) = (has_files, section.key_span("names")) {
        let hint = "leave it out: the certificate in cert_file has its own";
        reading.warn(Some(&span), "names concerns self_signed = true alone", hint);
    }
    let tls = match (has_files, self_signed) {
        (true, Some(At { value: true, span })) => {
            reading.mistake(&span, "self_signed stands beside cert_file and key_file", "keep one of the two ways");
            None
        }
        (true, _) => {
            section.require("cert_file", "\"server.crt\"");
            section.require("key_file", "\"server.key\"");
            cert.zip(key).map(|(cert, key)| Tls::Files { cert, key })
        }
        (false, Some(At { value: true, .. })) => {
            Some(Tls::SelfSigned { names: names.into_iter().map(|at| at.value).collect() })
        }
        (false, _) => {
            if !section.has("acme") {
                reading.missing(section.span(), "[tls] has no certificate", ways);
            }
            None
        }
    };
    section.finish(false);
    tls
}

/// A PEM file that is there and in which `is_right` finds what it looks for.
fn take_pem_file(
    section: &mut Section<'_>,
    key: &'static str,
    what: &str,
    is_right: impl Fn(&[u8]) -> bool,
) -> Option<PathBuf> {
    let written = section.take_text(key)?;
    let path = section.reading.path(written.value);
    match secrets::read_bounded(&path) {
        Err(why) => {
            let found = format!("{key} cannot be read: {why}");
            section.reading.mistake(&written.span, found, format!("{} should be a PEM file", path.display()));
            return None;
        }
        Ok(pem) if !is_right(&pem) => {
            let found = format!("{key} holds no {what} that can be read");
            section.reading.mistake(&written.span, found, format!("{} should be a PEM file with one", path.display()));
            return None;
        }
        Ok(_) if what == "private key" => secrets::warn_when_open(section.reading, &written, &path),
        Ok(_) => {}
    }
    Some(path)
}

pub(super) fn read_dns(mut section: Section<'_>) -> Option<Dns> {
    if !section.is_written() {
        return None;
    }
    let reading = section.reading;
    let mut once = Once::default();
    let listen = section.take_list("listen", "127.0.0.1:5353", socket_address);
    let is_free =
        |at: &At<SocketAddr>| at.value.port() == 0 || once.admit(reading, "listen", &at.value.to_string(), &at.span);
    let listen = listen.into_iter().filter(is_free).map(|at| at.value).collect();
    if !section.holds_entries("listen") {
        reading.missing(section.span(), "[dns] has nothing to listen on", "write listen = [\"[::]:53\"]");
    }
    let addresses = section.take_list("nameserver_addresses", "198.51.100.53", |text| {
        text.parse::<IpAddr>().map_err(|_| "write an IP address, for instance \"198.51.100.53\"")
    });
    section.finish(false);
    Some(Dns { listen, nameserver_addresses: addresses.into_iter().map(|at| at.value).collect() })
}

pub(super) fn read_limits(mut section: Section<'_>) -> Limits {
    let enabled = section.take_flag("enabled");
    if let Some(At { value: false, span }) = &enabled {
        section.reading.warn(
            Some(span),
            "limits are off: no rate limits, no bans",
            "write true, unless this is a laboratory",
        );
    }
    section.finish(false);
    Limits { is_enabled: enabled.is_none_or(|at| at.value) }
}

fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an address and a port, for instance \"127.0.0.1:8443\" or \"[::]:8443\"")
}

fn network(text: &str) -> Result<IpNet, &'static str> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "write a network or an address, for instance \"10.0.0.0/8\" or \"192.0.2.1\"")
}

fn certificate_name(text: &str) -> Result<String, String> {
    if text == "localhost" || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Hostname::parse(text).map(|name| name.to_string()).map_err(|why| why.to_string())
}
