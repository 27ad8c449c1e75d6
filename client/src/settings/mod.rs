//! What the client works with. `file.rs` keeps what is written and where; this turns it into values that hold.
//!
//! Every mistake of a file is reported at once, each with its place. A program may also build [`Settings`] itself;
//! what cannot be wrong then is guarded by the types.

mod file;
pub mod key;
mod locate;
mod mistake;
pub mod source;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nicgate_protocol::secret::Key;
use nicgate_protocol::{DeviceId, Family, Hostname};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::base_url::BaseUrl;
use crate::choose::key_of;
use crate::detect::whoami::Question;
use crate::platform;
use file::{File, Written};
pub use locate::locate;
pub use mistake::{Mistake, Mistakes};
use source::host_and_port;
pub use source::{Method, Probe, Source, Which};

/// As many hostnames as the gateway takes in one update.
pub const MOST_HOSTS: usize = 20;
/// How long an acknowledgement is believed without asking again.
pub const REFRESH: Duration = Duration::from_secs(25 * 86_400);
/// How long a better uplink must have worked before it is taken again.
pub const HOLD_DOWN: Duration = Duration::from_secs(120);
/// How often the resident client looks.
pub const INTERVAL: Duration = Duration::from_secs(300);
/// How long a scheduled update goes on trying.
pub const RETRY_FOR: Duration = Duration::from_secs(240);
/// How large the log grows before a new one is begun.
pub const LOG_SIZE: u64 = 1 << 20;
/// How long the gateway may take to connect and to answer.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// The byte order mark, which editors on Windows put before a text.
const MARK: char = '\u{feff}';
/// The public services that are asked when no gateway can tell: bare text, or a line `ip=…`.
const ECHOES: [&str; 3] =
    ["https://api64.ipify.org", "https://icanhazip.com", "https://www.cloudflare.com/cdn-cgi/trace"];
/// Everything an update needs to know.
pub struct Settings {
    /// Where the gateways are, in the order of preference; at least one.
    pub gateways: Vec<BaseUrl>,
    /// Who may have signed the gateways' certificates.
    pub trust: Trust,
    /// Our name at the gateways.
    pub device: DeviceId,
    /// What we sign with.
    pub key: Key,
    /// The file that the configuration names for it, if it names one.
    pub key_path: Option<PathBuf>,
    /// The names that shall point here; from a file 1 to 20.
    pub hosts: Vec<Hostname>,
    /// Where the IPv4 address comes from, in the order of preference; nowhere: the family is left alone.
    pub ipv4: Vec<Source>,
    /// Where the IPv6 address comes from, likewise.
    pub ipv6: Vec<Source>,
    /// Which addresses are taken that otherwise are not.
    pub allow: Allow,
    /// What stands in the last 64 bits of the IPv6 address that is sent, instead of what was found there.
    pub interface_id: Option<Ipv6Addr>,
    /// Who else is asked from where we come.
    pub asked: Asked,
    /// The lines to the outside, in the order of preference. Empty: whatever the routing table says.
    pub uplinks: Vec<Uplink>,
    /// How long a better uplink must have worked before it is taken again.
    pub hold_down: Duration,
    /// Where to remember what was acknowledged; without one every update is sent, and nothing keeps two instances
    /// apart.
    pub state_file: Option<PathBuf>,
    /// Where to write down what was done.
    pub log: Option<LogFile>,
    /// How long an acknowledgement is believed without asking again.
    pub refresh: Duration,
    /// How often the resident client looks.
    pub interval: Duration,
    /// How long a scheduled update goes on trying.
    pub retry_for: Duration,
    /// How long a peer may take: to connect, and again to answer.
    pub timeout: Duration,
}

/// Which addresses are taken that otherwise are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// Past its preferred lifetime.
    pub deprecated: bool,
    /// `169.254.0.0/16`, `fe80::/10`.
    pub link_local: bool,
    /// RFC 1918, carrier NAT, unique local.
    pub private: bool,
    /// Replaced within days.
    pub temporary: bool,
    /// Of a VPN, or seen through one.
    pub vpn: bool,
}

/// Who is asked for an address besides the gateway and the interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Public services that echo the address that they see.
    pub echo: Vec<BaseUrl>,
    /// STUN servers, `host:port`; none: those that are known.
    pub stun: Vec<String>,
    /// DNS questions with the server to put them to; none: those that are known.
    pub whoami: Vec<String>,
    /// The home router, where it is not the default route's.
    pub router: Option<Ipv4Addr>,
    /// A program that prints the address, with its arguments.
    pub command: Vec<String>,
}

/// One line to the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// What people call it.
    pub name: String,
    /// The network interface.
    pub bind: Which,
    /// How to find out whether it works: it does when one of them answers. Empty: a gateway takes a connection.
    pub probes: Vec<Probe>,
}

/// Where to write down what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The file; the one before it has `.1` behind its name, and so on.
    pub path: PathBuf,
    /// How many bytes before a new one is begun.
    pub size: u64,
}

impl Settings {
    /// Settings with the defaults of a file that names no more than these.
    #[must_use]
    pub fn new(gateway: BaseUrl, trust: Trust, device: DeviceId, key: Key, hosts: Vec<Hostname>) -> Self {
        Self {
            gateways: vec![gateway],
            trust,
            device,
            key,
            key_path: None,
            hosts,
            ipv4: vec![Source::Web],
            ipv6: Vec::new(),
            allow: Allow::default(),
            interface_id: None,
            asked: Asked::default(),
            uplinks: Vec::new(),
            hold_down: HOLD_DOWN,
            state_file: None,
            log: None,
            refresh: REFRESH,
            interval: INTERVAL,
            retry_for: RETRY_FOR,
            timeout: TIMEOUT,
        }
    }

    /// The sources of one family.
    #[must_use]
    pub fn sources(&self, family: Family) -> &[Source] {
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
    let text = fs::read_to_string(path).map_err(|fault| {
        let what = if fault.kind() == io::ErrorKind::InvalidData {
            "is not written in UTF-8; save it in that encoding".to_owned()
        } else {
            format!("cannot be read: {fault}")
        };
        Mistakes::of_file(path, &what)
    })?;
    let loaded = read(path, &text, environment)?;
    match refuse_command(&loaded.settings, platform::is_elevated(), || platform::exposed(path)) {
        None => Ok(loaded),
        Some(what) => Err(Mistakes::of_file(path, &what)),
    }
}

/// Why a program that the file names is not run: whoever may change the file would become root or administrator by it.
fn refuse_command(settings: &Settings, is_elevated: bool, exposed: impl FnOnce() -> Option<PathBuf>) -> Option<String> {
    let is_used = settings.ipv4.contains(&Source::Command) || settings.ipv6.contains(&Source::Command);
    let by = (is_used && is_elevated).then(exposed).flatten()?;
    Some(format!(
        "names a command, which is not run as root or administrator while others may change {}; let it and its folders \
         belong to root or the administrators alone, or run this as somebody else",
        by.display()
    ))
}

/// Reads the text of a configuration file; `path` is what relative paths start from.
///
/// # Errors
/// As [`load`].
pub fn read(path: &Path, text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Mistakes> {
    let mut file = File::parse(path, text)?;
    let mut warnings = Vec::new();

    let allow_plain = file.truth("allow_plain");
    let url = |text: &str| if allow_plain { BaseUrl::parse_allowing_plain(text) } else { BaseUrl::parse(text) };
    if !file.has("gateway") {
        file.missing("gateway", "gateway = \"https://ddns.example.com\"");
    }
    let gateways = file.parsed("gateway", url);
    let trust = match file.text("ca_file") {
        Some(written) => certificates(&mut file, &written),
        None => Some(Trust::PublicRoots),
    };
    let device = file.required("device", "device = \"laptop\"", DeviceId::parse);
    let key = key::key(&mut file, &mut warnings, environment);
    let hosts = hosts(&mut file);
    let ipv4 = sources(&mut file, Family::V4, vec![Source::Web]);
    let ipv6 = sources(&mut file, Family::V6, Vec::new());
    if ipv4.is_empty() && ipv6.is_empty() && file.is_sound() {
        file.mistake_at_key("ipv4", "both families are \"off\"; let one of them have a source, for instance \"web\"");
    }
    let allow = Allow {
        deprecated: file.truth("allow_deprecated"),
        link_local: file.truth("allow_link_local"),
        private: file.truth("allow_private"),
        temporary: file.truth("allow_temporary"),
        vpn: file.truth("allow_vpn"),
    };
    let interface_id = interface_id(&mut file);
    let asked = asked(&mut file, &ipv4, &ipv6);
    let uplinks = uplinks(&mut file);
    let hold_down = span_of(&mut file, "hold_down", HOLD_DOWN);
    let state_file = place_of(&mut file, "state_file", "state.json", environment);
    let log = log_file(&mut file, environment);
    let refresh = span_of(&mut file, "refresh", REFRESH);
    let interval = span_of(&mut file, "interval", INTERVAL);
    let retry_for = span_of(&mut file, "retry_for", RETRY_FOR);
    let timeout = span_of(&mut file, "timeout", TIMEOUT);

    match (gateways, trust, device, key, hosts) {
        (Some(gateways), Some(trust), Some(device), Some((key, key_path)), Some(hosts)) if file.is_sound() => {
            let state_file = Some(state_file);
            let settings = Settings {
                gateways,
                trust,
                device,
                key,
                key_path,
                hosts,
                ipv4,
                ipv6,
                allow,
                interface_id,
                asked,
                uplinks,
                hold_down,
                state_file,
                log,
                refresh,
                interval,
                retry_for,
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

/// The sources of a family, in the order of preference; none for "off". What is wrong is noted.
fn sources(file: &mut File<'_>, family: Family, otherwise: Vec<Source>) -> Vec<Source> {
    let Some(list) = file.one_or_more(key_of(family)) else {
        return if file.has(key_of(family)) { Vec::new() } else { otherwise };
    };
    if let [written] = list.as_slice()
        && written.text == "off"
    {
        return Vec::new();
    }
    let mut sources = Vec::new();
    for written in &list {
        match Source::parse(&written.text) {
            Ok(Source::Fixed(address)) if Family::of(address) != family => {
                file.mistake(written, &format!("{address} is an address of the other family"));
            }
            Ok(Source::Router(_)) if family == Family::V6 => {
                file.mistake(written, "a router tells its IPv4 address only; IPv6 addresses stand on the interface");
            }
            Ok(source) => sources.push(source),
            Err(why) => file.mistake(written, &why),
        }
    }
    sources
}

/// The last 64 bits of the IPv6 address to send: written as an address whose first 64 are zero.
fn interface_id(file: &mut File<'_>) -> Option<Ipv6Addr> {
    let written = file.text("interface_id")?;
    let id = written.text.parse::<Ipv6Addr>().ok().filter(|id| id.to_bits() >> 64 == 0 && id.to_bits() != 0);
    if id.is_none() {
        file.mistake(
            &written,
            "write the last 64 bits as an address, for instance \"::1\" or \"::211:22ff:feaa:bbcc\"",
        );
    }
    id
}

fn asked(file: &mut File<'_>, ipv4: &[Source], ipv6: &[Source]) -> Asked {
    let uses = |source: &Source| ipv4.contains(source) || ipv6.contains(source);
    // A list that is written empty is meant so: nobody else is asked.
    let echo = if file.has("echo") { file.texts("echo").unwrap_or_default() } else { Vec::new() };
    let has_echo = file.has("echo");
    let mut echoes = Vec::new();
    for written in &echo {
        match BaseUrl::parse(&written.text) {
            Ok(url) => echoes.push(url),
            Err(_) => file.mistake(written, "write an https URL that answers with the bare address, or a line ip=…"),
        }
    }
    if !has_echo {
        echoes.extend(ECHOES.iter().filter_map(|url| BaseUrl::parse(url).ok()));
    }
    let server = |text: &str| match host_and_port(text, Some(3478)) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write host:port, for instance \"stun.example.com:3478\""),
    };
    let stun = file.parsed("stun", server).unwrap_or_default();
    let question = |text: &str| text.parse::<Question>().map(|_| text.to_owned());
    let whoami = file.parsed("whoami", question).unwrap_or_default();
    let router = file.parsed("router", |text| {
        text.parse::<Ipv4Addr>().map_err(|_| "write the router's IPv4 address, for instance \"192.168.1.1\"")
    });
    let allow_command = file.truth("allow_command");
    let command: Vec<String> =
        file.texts("command").unwrap_or_default().into_iter().map(|written| written.text).collect();
    if uses(&Source::Command) && (command.is_empty() || !allow_command) {
        file.mistake_at_key(
            if ipv4.contains(&Source::Command) { "ipv4" } else { "ipv6" },
            "a command is run only when the file says so twice: `command = [\"/path/program\", \"argument\"]` and \
             `allow_command = true`",
        );
    }
    Asked { echo: echoes, stun, whoami, router: router.and_then(|list| list.first().copied()), command }
}

/// The uplinks: every `[[uplink]]`, or the one that `bind` names.
fn uplinks(file: &mut File<'_>) -> Vec<Uplink> {
    let bind = file.parsed("bind", Which::from_str).and_then(|list| list.into_iter().next());
    let probes = file.parsed("probe", Probe::from_str).unwrap_or_default();
    let mut list = file.sections("uplink", &file::UPLINK_KEYS, |section| {
        let bind = section.required("bind", "bind = \"eth0\"", Which::from_str);
        let name = section.text("name").map(|written| written.text);
        let probes = section.parsed("probe", Probe::from_str);
        bind.map(|bind| Uplink {
            name: name.unwrap_or_else(|| bind.to_string()),
            bind,
            probes: probes.unwrap_or_default(),
        })
    });
    let mut names = BTreeSet::new();
    if list.iter().flatten().any(|uplink| !names.insert(uplink.name.clone())) {
        file.mistake_at_key("uplink", "two uplinks have the same name");
    }
    if let Some(bind) = bind {
        if !list.is_empty() {
            file.mistake_at_key("bind", "`bind` is for one card; with [[uplink]] each has its own");
        }
        list.push(Some(Uplink { name: bind.to_string(), bind, probes: Vec::new() }));
    }
    // What is written above the uplinks holds for those that have no probes of their own.
    let mut uplinks: Vec<Uplink> = list.into_iter().flatten().collect();
    for uplink in uplinks.iter_mut().filter(|uplink| uplink.probes.is_empty()) {
        uplink.probes.clone_from(&probes);
    }
    uplinks
}

fn log_file(file: &mut File<'_>, environment: &dyn Fn(&str) -> Option<String>) -> Option<LogFile> {
    let size = file.text("log_size").and_then(|written| {
        let size = size(&written.text);
        if size.is_none() {
            file.mistake(&written, "write a number with K or M, for instance \"1M\"");
        }
        size
    });
    if file.text("log_file").is_some_and(|written| written.text == "off") {
        return None;
    }
    let path = place_of(file, "log_file", "log", environment);
    Some(LogFile { path, size: size.unwrap_or(LOG_SIZE) })
}

/// Where a file of ours is: as written, or by default beside the configuration, with `ending` in place of its own.
/// A service manager may name a folder that is ours to write (systemd.exec(5), `StateDirectory=`); a configuration
/// in `/etc` has its state in `/var/lib`, one of the machine on Windows in a folder below its own.
fn place_of(file: &mut File<'_>, key: &str, ending: &str, environment: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    if let Some(written) = file.text(key) {
        return file.beside(&written);
    }
    let beside = file.path().with_extension(ending);
    let path = std::path::absolute(&beside).unwrap_or_else(|_| beside.clone());
    let below_etc = path.strip_prefix("/etc").ok();
    let state = environment("STATE_DIRECTORY").filter(|folder| !folder.is_empty());
    let folder = match (state, below_etc) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(_)) => PathBuf::from("/var/lib/nicgate-client"),
        (None, None) => match path.parent().and_then(platform::state_folder) {
            Some(folder) => folder,
            None => return beside,
        },
    };
    // `/etc/nicgate/client.toml` has `client.state.json`; another one in `/etc` must not share it.
    let inner = below_etc.map(|inner| inner.strip_prefix("nicgate").unwrap_or(inner));
    let name = inner.unwrap_or(Path::new(path.file_name().unwrap_or_default()));
    folder.join(name.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "-"))
}

/// The span under a key. What is wrong is noted.
fn span_of(file: &mut File<'_>, key: &str, otherwise: Duration) -> Duration {
    let Some(written) = file.text(key) else { return otherwise };
    span(&written.text).unwrap_or_else(|| {
        file.mistake(&written, "write a number above zero with s, m, h or d, for instance \"20s\" or \"25d\"");
        otherwise
    })
}

/// `500K`, `1M`; at least 1 K.
fn size(text: &str) -> Option<u64> {
    let unit = match text.as_bytes().last()? {
        b'K' => 1 << 10,
        b'M' => 1 << 20,
        _ => return None,
    };
    let number: u32 = text.get(..text.len() - 1)?.parse().ok()?;
    (number > 0).then_some(u64::from(number) * unit)
}

/// `20s`, `5m`, `2h`, `25d`; never zero.
#[must_use]
pub fn span(text: &str) -> Option<Duration> {
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
