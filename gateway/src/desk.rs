//! The operator's desk: settings, devices, master key and store, and what can be done with them. The running
//! gateway has one, and so has a command that finds no gateway running.
//!
//! No listener, no push: what a command changes here, the gateway acts on.

mod departed;
mod invite;
mod order;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use nicgate_logic::device::{Allowances, Device, Generation, Grants, Origin, Profile, Registry};
use nicgate_logic::policy::HostPolicy;
use nicgate_logic::state::{HostState, Presence};
use nicgate_logic::{Now, Watch, upkeep};
use nicgate_protocol::{AddressSet, DeviceId, HostPattern, Hostname, MasterKey};

pub use self::departed::Departure;
use self::invite::Made;
pub use self::order::{
    DeviceLine, DeviceReport, FeedReport, HostReport, InvitationReport, Order, ProviderReport, Report,
};
use crate::clock::Clock;
use crate::config::Settings;
use crate::master_key::{self, KeyError};
use crate::store::{DeviceTurn, Registration, Store, StoreError, StoredDevice};
use crate::upkeep::Upkeep;

/// How many hosts one page of a listing holds.
const PAGE: usize = 1000;

/// What the gateway knows and keeps.
pub struct Desk {
    /// What the operator wrote.
    pub settings: Arc<ArcSwap<Settings>>,
    /// All devices, from the file and from commands.
    pub registry: ArcSwap<Registry>,
    /// From which every device's secrets are derived.
    pub master: MasterKey,
    /// What is durable.
    pub store: Arc<Store>,
    /// What time it is.
    pub clock: Clock,
    /// The uptime at which it was opened.
    pub since: Duration,
    /// Which hosts are to be looked at again, and when.
    pub upkeep: Upkeep,
}

/// Why there is no desk to work at.
#[derive(Debug)]
pub enum DeskError {
    /// The store could not be opened.
    Store(StoreError),
    /// The master key could not be had.
    Key(KeyError),
}

impl std::fmt::Display for DeskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DeskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Key(error) => Some(error),
        }
    }
}

/// Tells how a provider stands towards a host; the running gateway knows more than the store does.
pub type ProviderStatus<'a> = dyn Fn(&Hostname, &str) -> String + Sync + 'a;

impl Desk {
    /// Opens the store and the master key, and reads what is there.
    ///
    /// # Errors
    /// When the store is in use, damaged or not to be written, or the master key is missing or another one.
    pub async fn open(settings: Arc<Settings>, clock: Clock) -> Result<Self, DeskError> {
        let now = clock.now();
        let store = Store::open(&settings.server.data_dir, now.wall).map_err(DeskError::Store)?;
        let master = master_key::load(&settings.server, store.key_fingerprint()).map_err(DeskError::Key)?;
        if store.key_fingerprint().is_none() {
            store.set_key_fingerprint(master.fingerprint()).await.map_err(DeskError::Store)?;
        }
        let registry = ArcSwap::from_pointee(registry(&settings, &store.devices()));
        let settings = Arc::new(ArcSwap::new(settings));
        Ok(Self {
            settings,
            registry,
            master,
            store: Arc::new(store),
            clock,
            since: now.uptime,
            upkeep: Upkeep::default(),
        })
    }

    /// Puts new settings in force, and records which devices left the file; gives what became of that. Waits for
    /// whoever changes a device: what that one makes of the registry must not be undone by what was read before.
    pub async fn configure(&self, settings: Arc<Settings>) -> Vec<Departure> {
        let turn = self.store.device_turn().await;
        let kept = self.store.devices();
        let changed = departed::changed(&settings, &self.registry.load(), &kept);
        let mut devices = registry(&settings, &kept);
        for device in changed.iter().filter(|device| device.is_revoked) {
            devices.remove(device.id.as_str());
        }
        self.registry.store(Arc::new(devices));
        self.settings.store(settings);
        self.put_departures(&turn, changed).await
    }

    /// Records which devices left the file, or came back to it, while no gateway ran; gives what became of that.
    pub async fn record_departures(&self) -> Vec<Departure> {
        let turn = self.store.device_turn().await;
        let changed = departed::changed(&self.settings.load(), &Registry::default(), &self.store.devices());
        self.put_departures(&turn, changed).await
    }

    async fn put_departures(&self, turn: &DeviceTurn, changed: Vec<StoredDevice>) -> Vec<Departure> {
        let put = |device: StoredDevice| async {
            let (id, has_left) = (device.id.clone(), device.is_revoked);
            Departure { id, has_left, recorded: self.store.put_device(turn, device).await }
        };
        // Together: one commit takes very many.
        join_all(changed.into_iter().map(put)).await
    }

    /// The present, and since when we listen.
    pub fn watch(&self) -> Watch {
        Watch { now: self.clock.now(), since: self.since }
    }

    /// Carries out an order. What a provider has to hear is pushed by whoever runs the gateway. Not to be dropped
    /// half-way: what was recorded would not be in force.
    pub async fn carry_out(&self, order: Order, status: &ProviderStatus<'_>) -> Report {
        let now = self.clock.now();
        let result = match order {
            Order::DeviceAdd { id, hosts, profile, query_credentials, allow_plain, allow_delete, gateway } => {
                let allowances = Allowances { query_credentials, plain: allow_plain, delete: allow_delete };
                self.add_device(&id, &hosts, profile.as_deref(), allowances, gateway.as_deref(), now).await
            }
            Order::DeviceInvite { id, gateway, seconds } => {
                self.invite_device(&id, gateway.as_deref(), seconds, now).await
            }
            Order::DeviceList => Ok(self.list_devices()),
            Order::DeviceShow { id } => self.device(&id).map(|device| Report::Device(self.describe(&device))),
            Order::DeviceRotate { id, gateway, at_once } => {
                self.rotate_device(&id, gateway.as_deref(), at_once, now).await
            }
            Order::DeviceRevoke { id } => self.revoke_device(&id).await,
            Order::HostList { after } => Ok(self.list_hosts(after.as_deref(), now, status)),
            Order::HostShow { name } => self.show_host(&name, now, status),
            Order::HostPin { name, addresses, seconds } => self.pin_host(&name, &addresses, seconds, now).await,
            Order::HostRelease { name } => self.release_host(&name, now).await,
            Order::Reload => Err("no gateway is running that could read its configuration again".to_owned()),
        };
        result.unwrap_or_else(|message| Report::Refused { message })
    }

    /// Replaces the registry by a changed copy: requests read it without ever waiting, and changes are rare.
    fn change_registry(&self, change: impl Fn(&mut Registry)) {
        self.registry.rcu(|registry| {
            let mut changed = Registry::clone(registry);
            change(&mut changed);
            changed
        });
    }

    fn device(&self, id: &str) -> Result<Arc<Device>, String> {
        let registry = self.registry.load();
        registry
            .find(id)
            .cloned()
            .ok_or_else(|| format!("there is no device \"{id}\"; `nicgate device list` shows all"))
    }

    async fn add_device(
        &self,
        id: &str,
        hosts: &[String],
        profile: Option<&str>,
        allowances: Allowances,
        gateway: Option<&str>,
        now: Now,
    ) -> Result<Report, String> {
        gateway.map(invite::checked).transpose()?;
        let turn = self.store.device_turn().await;
        let id = DeviceId::parse(id).map_err(|why| format!("\"{id}\" is no device id: {why}"))?;
        if self.device(id.as_str()).is_ok() {
            return Err(format!("there is a device \"{id}\" already; rotate or revoke it, or choose another id"));
        }
        let profile = match profile {
            None => None,
            Some("classic") => Some(Profile::Classic),
            Some("strict") => Some(Profile::Strict),
            Some(other) => return Err(format!("\"{other}\" is no profile: \"classic\" or \"strict\"")),
        };
        let settings = self.settings.load_full();
        let mut patterns = Vec::new();
        for text in hosts {
            let pattern = HostPattern::parse(text).map_err(|why| format!("\"{text}\" is no host: {why}"))?;
            if settings.policy.of(pattern.as_hostname()).is_none() {
                return Err(format!("no [[zone]] of the configuration holds \"{pattern}\""));
            }
            patterns.push(pattern);
        }
        if patterns.is_empty() {
            return Err("a device needs at least one host: `--host home.example.com`".to_owned());
        }
        // An id that was there before goes on counting: the old secrets must never hold again. A revoked one was counted
        // on already; the other kind left the file while no gateway ran.
        let generation = self.stored(id.as_str()).map_or(Generation::default(), |stored| {
            if stored.is_revoked { stored.generation } else { departed::next(stored.generation) }
        });
        let registration = Registration { patterns: patterns.clone(), profile, allowances };
        let invited = self.invitation(&id, gateway, invite::USUAL_SPAN, now);
        let kept = StoredDevice {
            id: id.clone(),
            generation,
            registration: Some(registration),
            is_revoked: false,
            invite: invited.as_ref().ok().map(|made| made.invite.clone()),
        };
        self.put(&turn, kept).await?;
        let grants = Arc::new(Grants::new(patterns));
        let device = Device { id, grants, profile, allowances, generation, origin: Origin::Command };
        let report = self.describe(&device);
        self.change_registry(|registry| registry.insert(device.clone()));
        Ok(report.with(invited))
    }

    fn stored(&self, id: &str) -> Option<StoredDevice> {
        self.store.devices().into_iter().find(|stored| stored.id.as_str() == id)
    }

    async fn put(&self, turn: &DeviceTurn, device: StoredDevice) -> Result<(), String> {
        self.store.put_device(turn, device).await.map_err(|error| error.to_string())
    }

    fn list_devices(&self) -> Report {
        let registry = self.registry.load();
        let devices = registry.sorted().into_iter().map(|device| DeviceLine {
            id: device.id.to_string(),
            hosts: device.grants.patterns(),
            generation: device.generation.number,
            origin: origin(device).to_owned(),
            previous_until: device.generation.previous_until.map(|until| until.to_string()),
        });
        Report::Devices { devices: devices.collect() }
    }

    fn describe(&self, device: &Device) -> DeviceReport {
        let (id, generation) = (device.id.as_str(), device.generation.number);
        DeviceReport {
            id: id.to_owned(),
            password: self.master.password(id, generation).text().to_owned(),
            key: self.master.key(id, generation).text().to_owned(),
            hosts: device.grants.patterns(),
            generation,
            origin: origin(device).to_owned(),
            enroll: None,
            enroll_until: None,
            enroll_hint: None,
        }
    }

    async fn rotate_device(&self, id: &str, gateway: Option<&str>, at_once: bool, now: Now) -> Result<Report, String> {
        gateway.map(invite::checked).transpose()?;
        let turn = self.store.device_turn().await;
        let mut device = Device::clone(&*self.device(id)?);
        let grace = self.settings.load().server.rotation_grace;
        device.generation = Generation {
            number: device.generation.number.saturating_add(1),
            previous_until: (!at_once && !grace.is_zero()).then(|| now.wall + grace),
        };
        let registration = match device.origin {
            // The file says what it may; only which secrets hold is kept here.
            Origin::File => None,
            Origin::Command => self.stored(id).and_then(|stored| stored.registration),
        };
        let invited = self.invitation(&device.id, gateway, invite::USUAL_SPAN, now);
        // A line of before ends here, also where there is no new one.
        let invite = invited.as_ref().ok().map(|made| made.invite.clone());
        let (id, generation) = (device.id.clone(), device.generation);
        self.put(&turn, StoredDevice { id, generation, registration, is_revoked: false, invite }).await?;
        let report = self.describe(&device);
        self.change_registry(|registry| registry.insert(device.clone()));
        Ok(report.with(invited))
    }

    async fn revoke_device(&self, id: &str) -> Result<Report, String> {
        let turn = self.store.device_turn().await;
        let device = self.device(id)?;
        if device.origin == Origin::File {
            return Err(format!(
                "\"{id}\" stands in the configuration file: take its [[device]] out there, the gateway reads it at once. \
                 To make its secrets worthless now and keep it: `nicgate device rotate {id} --now`"
            ));
        }
        self.put(&turn, departed::gone(device.id.clone(), device.generation)).await?;
        self.change_registry(|registry| drop(registry.remove(id)));
        Ok(Report::Done { message: format!("\"{id}\" is revoked; its hosts keep their addresses") })
    }

    fn list_hosts(&self, after: Option<&str>, now: Now, status: &ProviderStatus<'_>) -> Report {
        let hosts = self.store.hosts_after(after, PAGE);
        let has_more = hosts.len() == PAGE;
        let hosts = hosts.iter().map(|(name, state)| self.host_report(name, state, now, status)).collect();
        Report::Hosts { hosts, has_more }
    }

    fn show_host(&self, name: &str, now: Now, status: &ProviderStatus<'_>) -> Result<Report, String> {
        let hostname = self.hostname(name)?;
        let Some(state) = self.store.host(hostname.as_str()) else {
            return Err(format!("nobody has sent an address for \"{hostname}\" yet"));
        };
        Ok(Report::Host(self.host_report(&hostname, &state, now, status)))
    }

    fn hostname(&self, name: &str) -> Result<Hostname, String> {
        let hostname = Hostname::parse(name).map_err(|why| format!("\"{name}\" is no host: {why}"))?;
        if self.settings.load().policy.of(&hostname).is_none() {
            return Err(format!("no [[zone]] of the configuration holds \"{hostname}\""));
        }
        Ok(hostname)
    }

    fn host_report(&self, name: &Hostname, state: &HostState, now: Now, status: &ProviderStatus<'_>) -> HostReport {
        let settings = self.settings.load();
        let policy = settings.policy.of(name);
        let providers = policy.iter().flat_map(|policy| &policy.zone.providers).map(|provider| {
            let applied = if settings.is_embedded(provider) {
                state.desired
            } else {
                state.applied_by(provider).map_or(AddressSet::EMPTY, |applied| applied.addresses)
            };
            let status = status(name, provider);
            ProviderReport { name: provider.to_string(), applied: words(applied), status }
        });
        let cool_down = settings.policy.cool_down;
        let hold = state.hold_at(now.wall, cool_down);
        HostReport {
            name: name.to_string(),
            desired: words(state.desired),
            device: state.device.as_ref().map(DeviceId::to_string),
            changed: (state.number > 0).then(|| state.ordered_at.to_string()),
            hold: hold.map(|hold| {
                let is_pinned = hold.is_pinned_at(now.wall);
                let (word, end) =
                    if is_pinned { ("pinned", hold.until) } else { ("cooling down", hold.end(cool_down)) };
                end.map_or(word.to_owned(), |end| format!("{word} until {end}"))
            }),
            noted: hold.and_then(|hold| hold.noted).map(words).unwrap_or_default(),
            noted_by: hold.and_then(|hold| hold.noted_by.as_ref()).map(DeviceId::to_string),
            devices: policy.as_ref().map(|policy| self.feeding(policy, state)).unwrap_or_default(),
            providers: providers.collect(),
        }
    }

    /// The devices that feed a host with fail-over, the preferred one first.
    fn feeding(&self, policy: &HostPolicy, state: &HostState) -> Vec<FeedReport> {
        let Some(rule) = policy.rule.fail_over.as_deref() else { return Vec::new() };
        let mut feeds = state.feeds.as_deref().cloned();
        if let Some(feeds) = &mut feeds {
            feeds.pass(rule, self.watch());
        }
        let reports = feeds.iter().flat_map(|feeds| &feeds.reports);
        let others = reports.map(|report| &report.device).filter(|device| !rule.devices.contains(device));
        let feed = |device: &DeviceId| {
            let report = feeds.as_ref().and_then(|feeds| feeds.report(device));
            let is_active = feeds.as_ref().is_some_and(|feeds| feeds.active == *device) && report.is_some();
            let heard = report.map(|report| report.heard.wall.to_string());
            let standing = match report.map(|report| report.presence) {
                None => "never heard",
                Some(Presence::Here) => "living",
                Some(Presence::Returning { .. }) => "returning",
                Some(Presence::Silent) => "silent",
            };
            FeedReport {
                device: device.to_string(),
                rank: rule.rank(device),
                addresses: report.map(|report| words(report.addresses)).unwrap_or_default(),
                is_active,
                standing: standing.to_owned(),
                silent_since: heard.clone().filter(|_| standing == "silent"),
                heard,
            }
        };
        rule.devices.iter().chain(others).map(feed).collect()
    }

    async fn pin_host(&self, name: &str, addresses: &str, seconds: Option<u64>, now: Now) -> Result<Report, String> {
        let hostname = self.hostname(name)?;
        let wanted = addresses_of(addresses)?;
        let cool_down = self.settings.load().policy.cool_down;
        let until = seconds.map(|seconds| now.wall + Duration::from_secs(seconds));
        let turn = self.store.turn(&hostname).await;
        let next = turn.state().pinned(wanted, until, now.wall, cool_down);
        self.expect_end(&hostname, &next, cool_down);
        turn.record(next).await.map_err(|error| error.to_string())?;
        let until = match until {
            None => "until it is released".to_owned(),
            Some(until) => format!("until {until}; updates count again from {} on", until + cool_down),
        };
        Ok(Report::Done { message: format!("{hostname} is pinned to {wanted} {until}") })
    }

    /// Sees to it that the end of a host's hold is not missed.
    fn expect_end(&self, hostname: &Hostname, state: &HostState, cool_down: Duration) {
        // Fail-over is expected already; a pin changes nothing about it.
        self.upkeep.expect(hostname, upkeep::due(state, None, cool_down, self.watch()));
    }

    async fn release_host(&self, name: &str, now: Now) -> Result<Report, String> {
        let hostname = self.hostname(name)?;
        let cool_down = self.settings.load().policy.cool_down;
        let turn = self.store.turn(&hostname).await;
        let Some(next) = turn.state().released(now.wall, cool_down) else {
            let end = turn.state().hold_at(now.wall, cool_down).and_then(|hold| hold.end(cool_down));
            let rest = end.map(|end| format!(" any more, and cools down until {end}")).unwrap_or_default();
            return Err(format!("{hostname} is not pinned{rest}"));
        };
        self.expect_end(&hostname, &next, cool_down);
        let end = next.hold.as_deref().and_then(|hold| hold.end(cool_down));
        let automatic = next.automatic();
        turn.record(next).await.map_err(|error| error.to_string())?;
        Ok(Report::Done {
            message: match end {
                Some(end) if automatic.is_empty() => {
                    format!("{hostname} is released; updates count again from {end} on")
                }
                Some(end) => {
                    format!("{hostname} is released; {automatic} is published at {end}, and updates count again")
                }
                None => format!("{hostname} is released; updates count again"),
            },
        })
    }
}

impl DeviceReport {
    /// The same with the line that was made for it, or why there is none.
    fn with(self, invited: Result<Made, String>) -> Report {
        Report::Device(match invited {
            Ok(Made { report, .. }) => Self { enroll: Some(report.enroll), enroll_until: Some(report.until), ..self },
            Err(why) => Self { enroll_hint: Some(why), ..self },
        })
    }
}

fn origin(device: &Device) -> &'static str {
    match device.origin {
        Origin::File => "file",
        Origin::Command => "command",
    }
}

fn words(addresses: AddressSet) -> Vec<String> {
    addresses.iter().map(|address| address.to_string()).collect()
}

fn addresses_of(text: &str) -> Result<AddressSet, String> {
    let mut set = AddressSet::EMPTY;
    for part in text.split(',') {
        match part.trim().parse() {
            Ok(std::net::IpAddr::V4(v4)) => set.v4 = Some(v4),
            Ok(std::net::IpAddr::V6(v6)) => set.v6 = Some(v6),
            Err(_) => return Err(format!("\"{part}\" is no address")),
        }
    }
    Ok(set)
}

/// What stands in the file, with the generations that rotations left; and what came by command.
fn registry(settings: &Settings, stored: &[StoredDevice]) -> Registry {
    let mut registry = Registry::default();
    for device in stored.iter().filter(|device| !device.is_revoked) {
        let Some(registration) = &device.registration else { continue };
        registry.insert(Device {
            id: device.id.clone(),
            grants: Arc::new(Grants::new(registration.patterns.iter().cloned())),
            profile: registration.profile,
            allowances: registration.allowances,
            generation: device.generation,
            origin: Origin::Command,
        });
    }
    let generations: std::collections::HashMap<&str, Generation> =
        stored.iter().map(|device| (device.id.as_str(), device.generation)).collect();
    for device in &settings.devices {
        let generation = generations.get(device.id.as_str()).copied().unwrap_or_default();
        registry.insert(Device { generation, ..device.clone() });
    }
    registry
}
