//! What the operator decided: the configuration file, read and checked as a whole before anything starts.
//!
//! [`load`] reads the file, the secret files and certificates it names, and the environment; it opens no socket,
//! asks no network and creates nothing. Every mistake of a file comes at once, each with its place and its cure.
//!
//! `file.rs` knows what is written; the files named after sections know what it means; this one holds it together.

mod devices;
mod duration;
mod failover;
mod file;
mod nearest;
mod providers;
mod reading;
pub mod report;
mod secrets;
mod server;
#[cfg(test)]
mod shipped;
#[cfg(test)]
mod tests;
mod zones;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nicgate_logic::device::Device;
use nicgate_logic::policy::Policy;
use nicgate_protocol::{DeviceId, MasterKey};

pub(crate) use self::nearest::enumerate;
pub use self::report::{Mistake, Mistakes, Place, Position};
pub use self::server::{Dns, Limits, LogForm, Server, Tls};
pub use self::zones::ZoneSettings;

use self::file::Section;
use self::reading::Reading;
use self::report::Source;
use crate::provider::ProviderSettings;

/// The largest configuration file that is read.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// Where the file is looked for when none is named.
const USUAL_PLACES: [&str; 2] = ["nicgate.toml", "/etc/nicgate/gateway.toml"];

/// Everything the operator decided.
pub struct Settings {
    /// `[server]`.
    pub server: Server,
    /// `[tls]`; there whenever `server.listen` is not empty.
    pub tls: Option<Tls>,
    /// `[dns]`; there whenever a provider is of type `embedded`.
    pub dns: Option<Dns>,
    /// `[limits]`.
    pub limits: Limits,
    /// `[[provider]]`, in file order.
    pub providers: Vec<ProviderSettings>,
    /// `[[zone]]`, in file order.
    pub zones: Vec<ZoneSettings>,
    /// What holds for each name: zones, hosts, services and the cool-down.
    pub policy: Arc<Policy>,
    /// `[[device]]`, in file order.
    pub devices: Vec<Device>,
    /// Where each device's id stands, for messages.
    pub device_places: HashMap<DeviceId, Place>,
    /// What deserves a second thought, in file order.
    pub warnings: Vec<Mistake>,
    /// Which version of the file this is; `None` for a text that came from none.
    pub stamp: Option<Stamp>,
}

/// What tells one version of a file from another: when it was written, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(SystemTime, u64);

impl Stamp {
    /// The version of a file that is there now; `None` when there is none.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(file).ok()?;
        Some(Self(metadata.modified().ok()?, metadata.len()))
    }
}

impl Settings {
    /// Whether a provider is the embedded name server.
    #[must_use]
    pub fn is_embedded(&self, provider: &str) -> bool {
        self.providers.iter().any(|settings| &*settings.name == provider && settings.kind.word == "embedded")
    }

    /// What of `[server]` and `[dns]` differs in `newer` and counts only from the next start on.
    #[must_use]
    pub fn needs_restart(&self, newer: &Self) -> Vec<&'static str> {
        let (old, new) = (&self.server, &newer.server);
        let mut changed = Vec::new();
        let mut compare = |is_same: bool, what| {
            if !is_same {
                changed.push(what);
            }
        };
        compare(old.listen == new.listen, "[server] listen");
        compare(old.plain_listen == new.plain_listen, "[server] plain_listen");
        compare(old.proxy_protocol == new.proxy_protocol, "[server] proxy_protocol");
        compare(old.trusted_proxies == new.trusted_proxies, "[server] trusted_proxies");
        compare(old.data_dir == new.data_dir, "[server] data_dir");
        compare(old.max_connections == new.max_connections, "[server] max_connections");
        compare(
            old.max_connections_per_source == new.max_connections_per_source,
            "[server] max_connections_per_source",
        );
        compare(old.log == new.log, "[server] log");
        let fingerprint =
            |server: &Server| server.master_key.as_ref().map(|key| MasterKey::new(key.expose()).fingerprint());
        compare(fingerprint(old) == fingerprint(new), "the master key");
        compare(self.tls == newer.tls, "[tls]");
        compare(self.dns.as_ref().map(|dns| &dns.listen) == newer.dns.as_ref().map(|dns| &dns.listen), "[dns] listen");
        changed
    }
}

/// Reads a span of time as the configuration writes it: a number with `s`, `m` or `h`.
///
/// # Errors
/// A sentence that says what a span looks like.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text)
        .ok_or_else(|| format!("\"{text}\" is no span of time: write a number with s, m or h, for instance \"2h\""))
}

/// The configuration file: the one that was given, else the first that is there.
#[must_use]
pub fn find(given: Option<&Path>) -> Option<PathBuf> {
    let usual = || USUAL_PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    given.map(Path::to_path_buf).or_else(usual)
}

/// Reads a configuration file. `environment` looks a variable up.
///
/// # Errors
/// Every mistake in it, in file order.
pub fn load(path: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Mistakes> {
    // Taken first: a file that is written while it is read differs from it afterwards.
    let stamp = Stamp::of(path);
    let bytes = secrets::read_at_most(path, LARGEST_FILE).map_err(|why| {
        Mistake::about_file(path, format!("cannot be read: {why}"), "name another file with --config")
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
        Mistake::about_file(path, format!("line {line} is not UTF-8"), "save the file as UTF-8")
    })?;
    Ok(Settings { stamp, ..parse(&text, path, environment)? })
}

/// Reads the text of a configuration file that stands, or would stand, at `path`.
///
/// # Errors
/// Every mistake in it, in file order.
pub fn parse(text: &str, path: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Mistakes> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let reading = Reading::new(Source::new(path, text), folder, environment);
    let table = file::parse(&reading);
    let mut settings = read(Section::root(&reading, table.get_ref()));
    if let Some(secret) = reading.first_secret().filter(|_| secrets::is_open_to_all(path)) {
        let found = format!("{} stands in a file that everybody may read", secret.value);
        let hint = format!("chmod o= {}, or use {}_file", path.display(), secret.value);
        reading.warn(Some(&secret.span), found, hint);
    }
    drop(table);
    let (mistakes, warnings) = reading.finish();
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes));
    }
    settings.warnings = warnings;
    Ok(settings)
}

/// Every section, in the order in which one refers to another. With mistakes noted, the result is not to be used.
fn read(mut root: Section<'_>) -> Settings {
    let reading = root.reading;
    let server = server::read_server(root.take_section("server", "[server]"));
    let tls = server::read_tls(root.take_section("tls", "[tls]"), &server);
    let dns = root.take_section("dns", "[dns]");
    let dns_span = dns.span().cloned();
    let dns = server::read_dns(dns);
    let limits = server::read_limits(root.take_section("limits", "[limits]"));
    let providers = providers::read_providers(root.take_sections("provider", "[[provider]]"), dns.is_some());
    let zones = zones::read_zones(root.take_sections("zone", "[[zone]]"), reading, &providers);
    if dns.is_some() && !zones.settings.iter().any(|zone| zone.is_embedded) {
        let hint = "name a provider of type \"embedded\" in a zone, or leave [dns] out";
        reading.warn(dns_span.as_ref(), "the name server serves no zone", hint);
    }
    let services = devices::read_services(root.take_sections("service", "[[service]]"));
    let (hosts, fed) = devices::read_hosts(root.take_sections("host", "[[host]]"), &services, &zones);
    let (devices, device_places) = devices::read_devices(root.take_sections("device", "[[device]]"), reading, &zones);
    failover::check_devices(reading, &fed, &devices);
    let cool_down = devices::read_cool_down(root.take_section("policy", "[policy]"));
    root.finish(false);

    let policies = zones.settings.iter().map(|zone| zone.policy.clone()).collect();
    let policy = Arc::new(Policy::new(policies, hosts, cool_down));
    Settings {
        server,
        tls,
        dns,
        limits,
        providers: providers.settings,
        zones: zones.settings,
        policy,
        devices,
        device_places,
        warnings: Vec::new(),
        stamp: None,
    }
}
