//! What the client works with. `file.rs` keeps what is written and where; this turns it into values that hold.
//!
//! Every mistake of a file is reported at once, each with its place. A program may also build [`Settings`] itself;
//! what cannot be wrong then is guarded by the types.

mod file;
mod locate;
mod mistake;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nicgate_protocol::address::unmapped;
use nicgate_protocol::secret::{KEY_LETTERS, Key};
use nicgate_protocol::{DeviceId, Family, Hostname, Secret};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::base_url::BaseUrl;
use crate::choose::key_of;
use crate::platform;
use file::{File, Written};
pub use locate::locate;
pub use mistake::{Mistake, Mistakes};

/// As many hostnames as the gateway takes in one update.
pub const MOST_HOSTS: usize = 20;
/// How long an acknowledgement is believed without asking again.
pub const REFRESH: Duration = Duration::from_secs(25 * 86_400);
/// How long the gateway may take to connect and to answer.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Everything an update needs to know.
pub struct Settings {
    /// Where the gateway is.
    pub gateway: BaseUrl,
    /// Who may have signed the gateway's certificate.
    pub trust: Trust,
    /// Our name at the gateway.
    pub device: DeviceId,
    /// What we sign with.
    pub key: Key,
    /// The names that shall point here; from a file 1 to 20.
    pub hosts: Vec<Hostname>,
    /// Where the IPv4 address comes from.
    pub ipv4: Source,
    /// Where the IPv6 address comes from.
    pub ipv6: Source,
    /// Whether a private address on an interface will do when there is no public one.
    pub allow_private: bool,
    /// Where to remember what was acknowledged; without one every update is sent, and nothing keeps two instances
    /// apart.
    pub state_file: Option<PathBuf>,
    /// How long an acknowledgement is believed without asking again.
    pub refresh: Duration,
    /// How long the gateway may take: to connect, and again to answer.
    pub timeout: Duration,
}

impl Settings {
    /// The source of one family.
    #[must_use]
    pub fn source(&self, family: Family) -> &Source {
        match family {
            Family::V4 => &self.ipv4,
            Family::V6 => &self.ipv6,
        }
    }
}

/// Whose signature on the gateway's certificate counts.
#[derive(Clone)]
pub enum Trust {
    /// The public certificate authorities (Mozilla's list, built in).
    PublicRoots,
    /// These authorities and no other.
    Only(RootCertStore),
}

impl Trust {
    /// Reads one or several certificates in PEM form.
    ///
    /// # Errors
    /// A part of a sentence, when the text is not PEM or holds no certificate that can be used.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|fault| format!("is not PEM: {fault}"))?;
            roots.add(certificate).map_err(|fault| format!("holds a certificate that cannot be used: {fault}"))?;
        }
        if roots.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(Self::Only(roots)) }
    }
}

/// Where an address of one family comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This address, as written.
    Fixed(IpAddr),
    /// A network interface: the one of this name, or any.
    Interface(Option<String>),
    /// Nowhere: the family is left alone.
    Off,
    /// The address from which the gateway sees us come.
    Web,
}

impl FromStr for Source {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "off" => Ok(Self::Off),
            "web" => Ok(Self::Web),
            "interface" => Ok(Self::Interface(None)),
            _ => match text.strip_prefix("interface:") {
                Some("") => Err("name the interface, for instance \"interface:eth0\""),
                Some(name) => Ok(Self::Interface(Some(name.to_owned()))),
                None => text
                    .parse()
                    .map(|address| Self::Fixed(unmapped(address)))
                    .map_err(|_| "write \"web\", \"interface\", \"interface:eth0\", an address, or \"off\""),
            },
        }
    }
}

/// Settings as read from a file, with what the reader should hear about although it stops nothing.
pub struct Loaded {
    /// What the file says.
    pub settings: Settings,
    /// Full sentences.
    pub warnings: Vec<String>,
}

/// Reads a configuration file. `environment` looks a variable up (`key_env`).
///
/// # Errors
/// Every mistake of the file, each with its place.
pub fn load(path: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Mistakes> {
    let text =
        fs::read_to_string(path).map_err(|fault| Mistakes::of_file(path, &format!("cannot be read: {fault}")))?;
    read(path, &text, environment)
}

/// Reads the text of a configuration file; `path` is what relative paths start from.
///
/// # Errors
/// As [`load`].
pub fn read(path: &Path, text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Mistakes> {
    let mut file = File::parse(path, text)?;
    let mut warnings = Vec::new();

    let allow_plain = file.truth("allow_plain").unwrap_or(false);
    let gateway = file.required("gateway", "gateway = \"https://ddns.example.com\"", |text| {
        if allow_plain { BaseUrl::parse_allowing_plain(text) } else { BaseUrl::parse(text) }
    });
    let trust = match file.text("ca_file") {
        Some(written) => certificates(&mut file, &written),
        None => Some(Trust::PublicRoots),
    };
    let device = file.required("device", "device = \"laptop\"", DeviceId::parse);
    let key = key(&mut file, &mut warnings, environment);
    let hosts = hosts(&mut file);
    let ipv4 = source(&mut file, Family::V4, Source::Web);
    let ipv6 = source(&mut file, Family::V6, Source::Off);
    let allow_private = file.truth("allow_private").unwrap_or(false);
    if (&ipv4, &ipv6) == (&Some(Source::Off), &Some(Source::Off)) {
        file.mistake_at_key("ipv4", "both families are \"off\"; let one of them have a source, for instance \"web\"");
    }
    let state_file =
        file.text("state_file").map_or_else(|| path.with_extension("state.json"), |text| file.beside(&text));
    let refresh = span_of(&mut file, "refresh", REFRESH);
    let timeout = span_of(&mut file, "timeout", TIMEOUT);

    match (gateway, trust, device, key, hosts, ipv4, ipv6, refresh, timeout) {
        (
            Some(gateway),
            Some(trust),
            Some(device),
            Some(key),
            Some(hosts),
            Some(ipv4),
            Some(ipv6),
            Some(refresh),
            Some(timeout),
        ) if file.is_sound() => {
            let state_file = Some(state_file);
            let settings = Settings {
                gateway,
                trust,
                device,
                key,
                hosts,
                ipv4,
                ipv6,
                allow_private,
                state_file,
                refresh,
                timeout,
            };
            Ok(Loaded { settings, warnings })
        }
        _ => Err(file.into_mistakes()),
    }
}

fn certificates(file: &mut File<'_>, written: &Written) -> Option<Trust> {
    let path = file.beside(written);
    let trust =
        fs::read(&path).map_err(|fault| format!("cannot be read: {fault}")).and_then(|pem| Trust::from_pem(&pem));
    trust.map_err(|why| file.mistake(written, &format!("{} {why}", path.display()))).ok()
}

/// The key out of exactly one of `key`, `key_file`, `key_env`. Never repeats what it read.
fn key(file: &mut File<'_>, warnings: &mut Vec<String>, environment: &dyn Fn(&str) -> Option<String>) -> Option<Key> {
    let written = (file.text("key"), file.text("key_file"), file.text("key_env"));
    let (place, text) = match written {
        (Some(key), None, None) => {
            if platform::is_readable_by_others(file.path()) == Some(true) {
                warnings.push(too_open(file.path()));
            }
            let text = Secret::new(key.text.clone());
            (key, text)
        }
        (None, Some(name), None) => {
            let path = file.beside(&name);
            match fs::read_to_string(&path) {
                Ok(text) => {
                    if platform::is_readable_by_others(&path) == Some(true) {
                        warnings.push(too_open(&path));
                    }
                    (name, Secret::new(text))
                }
                Err(fault) => {
                    file.mistake(&name, &format!("{} cannot be read: {fault}", path.display()));
                    return None;
                }
            }
        }
        (None, None, Some(name)) => match environment(&name.text) {
            Some(text) => (name, Secret::new(text)),
            None => {
                file.mistake(&name, "there is no such environment variable");
                return None;
            }
        },
        (None, None, None) => {
            file.missing("key_file", "key_file = \"laptop.key\" (or key, or key_env)");
            return None;
        }
        (Some(place), _, _) | (None, Some(place), Some(_)) => {
            file.mistake(&place, "there is more than one of key, key_file and key_env; leave one");
            return None;
        }
    };
    let bytes = text.expose().trim().as_bytes();
    let is_plain = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    match <[u8; KEY_LETTERS]>::try_from(bytes) {
        Ok(key) if is_plain => Some(Secret::new(key)),
        Ok(_) | Err(_) => {
            let length = bytes.len();
            file.mistake(
                &place,
                &format!(
                    "this gives {length} bytes; a key is {KEY_LETTERS} letters of base64url, as `nicgate device show` \
                     prints it after \"key\" (the password is another secret)"
                ),
            );
            None
        }
    }
}

fn too_open(path: &Path) -> String {
    format!("{} holds the key and others can read it; cure: chmod 600 {0}", path.display())
}

fn hosts(file: &mut File<'_>) -> Option<Vec<Hostname>> {
    if !file.has("hosts") {
        file.missing("hosts", "hosts = [\"laptop.home.example.com\"]");
        return None;
    }
    let list = file.texts("hosts")?;
    let mut hosts = Vec::new();
    let mut seen = BTreeSet::new();
    for written in &list {
        match Hostname::parse(&written.text) {
            Ok(hostname) if seen.insert(hostname.clone()) => hosts.push(hostname),
            Ok(hostname) => file.mistake(written, &format!("{hostname} stands here twice")),
            Err(why) => file.mistake(written, &why.to_string()),
        }
    }
    if list.is_empty() || list.len() > MOST_HOSTS {
        file.mistake_at_key("hosts", &format!("{} names; one update carries 1 to {MOST_HOSTS}", list.len()));
    }
    Some(hosts)
}

fn source(file: &mut File<'_>, family: Family, otherwise: Source) -> Option<Source> {
    let Some(written) = file.text(key_of(family)) else { return Some(otherwise) };
    match written.text.parse() {
        Ok(Source::Fixed(address)) if Family::of(address) != family => {
            file.mistake(&written, &format!("{address} is an address of the other family"));
            None
        }
        Ok(source) => Some(source),
        Err(why) => {
            file.mistake(&written, why);
            None
        }
    }
}

fn span_of(file: &mut File<'_>, key: &str, otherwise: Duration) -> Option<Duration> {
    let Some(written) = file.text(key) else { return Some(otherwise) };
    let span = span(&written.text);
    if span.is_none() {
        file.mistake(&written, "write a number above zero with s, m, h or d, for instance \"20s\" or \"25d\"");
    }
    span
}

/// `20s`, `5m`, `2h`, `25d`; never zero.
fn span(text: &str) -> Option<Duration> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        b'd' => 86_400,
        _ => return None,
    };
    let number: u32 = text.get(..text.len() - 1)?.parse().ok()?;
    (number > 0).then(|| Duration::from_secs(u64::from(number) * unit))
}

#[cfg(test)]
mod tests;
