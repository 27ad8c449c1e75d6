//! The gateway in one piece: what it is made of, how it starts, what it does when its configuration changes,
//! and how it stops.
//!
//! Judgement is in `nicgate-logic`, the way of an update in `journey.rs`; here parts are only put together.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nicgate_logic::Now;
use nicgate_logic::answer::Ending;
use nicgate_logic::authorize::Wanted;
use nicgate_logic::limits::Limits;
use nicgate_logic::state::HostState;
use nicgate_protocol::{AddressSet, Hostname};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::control::Control;
use crate::clock::Clock;
use crate::config::{self, Settings, Tls};
use crate::desk::{Desk, DeskError, Order, Report};
use crate::dns::{self, Zones};
use crate::entropy;
use crate::http::listener::{self, Door};
use crate::http::seats::{Caps, Seats};
use crate::http::tls::{self, Certificate, TlsError};
use crate::log::{Level, Log, Value};
use crate::reconciler::{PushEvent, Reconciler};
use crate::store::{Committed, StoreError};

/// How often files are looked at for changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often budgets that are full again are forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// The running gateway, as requests see it.
pub struct Gateway {
    /// Settings, devices, master key, store.
    pub desk: Desk,
    /// Drives what providers publish to what is desired.
    pub reconciler: Arc<Reconciler>,
    /// Rate limits.
    pub limits: Limits,
    /// Where events are told.
    pub log: Log,
    /// What the embedded name server serves.
    pub zones: Arc<Zones>,
}

impl Gateway {
    /// Tells a fault of ours, and what the peer hears of it.
    pub fn fault(&self, fault: &StoreError) -> Ending {
        self.log.say(Level::Error, fault.error_code(), &fault.to_string(), &[]);
        Ending::Fault(fault.error_code())
    }

    /// Tells what became of a host that moved along with its network.
    pub fn report_related(&self, wanted: &Wanted, ending: Ending) {
        let code = ending.return_code().to_string();
        let fields = [
            ("device", Value::Text(wanted.sent.device.id.as_str())),
            ("host", Value::Text(wanted.hostname.as_str())),
            ("answer", Value::Text(&code)),
            ("error_code", Value::Text(ending.error_code().unwrap_or_default())),
        ];
        self.log.say(Level::Info, "moved_along", "", &fields);
    }

    /// Carries out an order that came over the control socket.
    async fn carry_out(&self, order: Order, reload: &watch::Sender<()>) -> Report {
        let touched = match &order {
            Order::Reload => {
                reload.send_replace(());
                return Report::Done { message: "the configuration is being read; the log tells what became of it".into() };
            }
            Order::HostPin { name, .. } | Order::HostRelease { name } => Hostname::parse(name).ok(),
            Order::DeviceAdd { .. }
            | Order::DeviceList
            | Order::DeviceShow { .. }
            | Order::DeviceRotate { .. }
            | Order::DeviceRevoke { .. }
            | Order::HostList { .. }
            | Order::HostShow { .. } => None,
        };
        let status = |name: &Hostname, _: &HostState, provider: &str| self.reconciler.status(name, provider);
        let report = self.desk.carry_out(order, &status).await;
        if let Some(hostname) = touched {
            self.reconciler.want(&hostname);
        }
        report
    }
}

/// Why the gateway did not start.
#[derive(Debug)]
pub enum StartError {
    /// No store or no master key.
    Desk(DeskError),
    /// An address could not be listened on.
    Listen(SocketAddr, io::Error),
    /// The certificate cannot be used.
    Tls(TlsError),
    /// The control socket could not be opened.
    Control(PathBuf, io::Error),
    /// The client for provider APIs could not be made, or a provider's settings do not do.
    Provider(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Desk(error) => error.fmt(f),
            Self::Listen(address, error) => {
                let cure = match error.kind() {
                    io::ErrorKind::AddrInUse => "another program listens there: stop it, or choose another port",
                    io::ErrorKind::PermissionDenied => "ports below 1024 need a right: AmbientCapabilities=CAP_NET_BIND_SERVICE",
                    io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
                    _ => "see `listen` in the configuration",
                };
                write!(f, "cannot listen on {address}: {error}; {cure}")
            }
            Self::Tls(error) => error.fmt(f),
            Self::Control(path, error) => write!(f, "{}: the control socket cannot be opened: {error}", path.display()),
            Self::Provider(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for StartError {}

/// A gateway that has started.
pub struct Running {
    /// Where HTTPS is spoken.
    pub https: Vec<SocketAddr>,
    /// Where plain HTTP is spoken.
    pub plain: Vec<SocketAddr>,
    /// Where the embedded name server listens, over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// What answers.
    pub gateway: Arc<Gateway>,
    stop: watch::Sender<bool>,
    reload: watch::Sender<()>,
    doors: JoinSet<()>,
    chores: JoinSet<()>,
    name_server: Option<dns::Running>,
}

/// What a gateway is started with.
pub struct Start {
    /// The configuration.
    pub settings: Settings,
    /// Its file, to be read again when it changes.
    pub file: Option<PathBuf>,
    /// What time it is.
    pub clock: Clock,
    /// Where events are told.
    pub log: Log,
}

impl Running {
    /// Starts a gateway.
    ///
    /// # Errors
    /// What is in the way; nothing is left running then.
    pub async fn start(start: Start) -> Result<Self, StartError> {
        let Start { settings, file, clock, log } = start;
        let settings = Arc::new(settings);
        // The store comes first: whoever owns it owns the folder.
        let desk = Desk::open(Arc::clone(&settings), clock.clone()).await.map_err(StartError::Desk)?;

        // The name server follows the store's commits, so its serial is durable before it is served.
        let zones = Arc::new(Zones::new(settings.zone_heads()));
        follow(&desk, &zones);
        let reconciler = reconciler(&desk, &clock, &log).map_err(StartError::Provider)?;
        reconciler.configure(&settings).map_err(|error| StartError::Provider(error.to_string()))?;

        let name_server = match &settings.dns {
            None => None,
            Some(dns) => Some(
                dns::Server::bind(&dns.listen).map_err(|(address, error)| StartError::Listen(address, error))?,
            ),
        };
        let certificate = match &settings.tls {
            None => None,
            Some(tls) => Some(certificate(tls, &settings).map_err(StartError::Tls)?),
        };
        let https = listen(&settings.server.listen).await?;
        let plain = listen(&settings.server.plain_listen).await?;
        let data_dir = &settings.server.data_dir;
        let control = Control::open(data_dir).map_err(|error| StartError::Control(data_dir.clone(), error))?;

        let gateway = Arc::new(Gateway { desk, reconciler, limits: Limits::default(), log, zones });
        let (stop, stopped) = watch::channel(false);
        let (reload, reloads) = watch::channel(());
        let mut running = Self {
            https: addresses(&https),
            plain: addresses(&plain),
            dns: name_server.as_ref().map(dns::Server::addresses).unwrap_or_default(),
            name_server: name_server.map(|server| server.start(Arc::clone(&gateway.zones))),
            gateway: Arc::clone(&gateway),
            stop,
            reload: reload.clone(),
            doors: JoinSet::new(),
            chores: JoinSet::new(),
        };

        let seats = Seats::new(Caps {
            in_all: settings.server.max_connections,
            per_source: settings.server.max_connections_per_source,
        });
        let secure = certificate.as_ref().map(|certificate| tls::server_config(certificate.resolver()));
        for (listener, tls) in https.into_iter().map(|one| (one, secure.clone())).chain(plain.into_iter().map(|one| (one, None))) {
            let address = listener.local_addr().ok();
            let door = Door {
                tls,
                expects_proxy_header: address.is_some_and(|address| settings.server.proxy_protocol.contains(&address)),
                trusted_proxies: settings.server.trusted_proxies.clone().into(),
                seats: Arc::clone(&seats),
                log: gateway.log.clone(),
            };
            running.doors.spawn(listener::run(listener, door, Arc::clone(&gateway), stopped.clone()));
        }

        let for_control = Arc::clone(&gateway);
        running.chores.spawn(control.run(move |order| {
            let gateway = Arc::clone(&for_control);
            let reload = reload.clone();
            async move { gateway.carry_out(order, &reload).await }
        }));
        running.chores.spawn(tidy(Arc::clone(&gateway)));
        if let Some(certificate) = certificate {
            running.chores.spawn(tls::watch(certificate, gateway.log.clone(), LOOK_EVERY));
        }
        if let Some(file) = file {
            running.chores.spawn(watch_configuration(Arc::clone(&gateway), file, reloads));
        }
        gateway.reconciler.resume();
        running.tell_start();
        Ok(running)
    }

    fn tell_start(&self) {
        let join = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let (https, plain, dns) = (join(&self.https), join(&self.plain), join(&self.dns));
        let desk = &self.gateway.desk;
        let fields = [
            ("https", Value::Text(&https)),
            ("plain", Value::Text(&plain)),
            ("dns", Value::Text(&dns)),
            ("hosts", Value::Number(desk.store.host_count() as u64)),
            ("version", Value::Text(env!("CARGO_PKG_VERSION"))),
        ];
        self.gateway.log.say(Level::Info, "started", "", &fields);
        for warning in &desk.settings.load().warnings {
            self.gateway.log.say(Level::Warn, "configuration_warning", &warning.to_string(), &[]);
        }
    }

    /// Reads the configuration again, as SIGHUP asks.
    pub fn reload(&self) {
        self.reload.send_replace(());
    }

    /// Stops: no new connections, requests under way finish within a bound, what is recorded stays recorded.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.doors.join_next().await.is_some() {}
        self.chores.shutdown().await;
        self.gateway.reconciler.stop().await;
        if let Some(name_server) = self.name_server.take() {
            // Its threads look up every half second; nobody else waits meanwhile.
            let _ = tokio::task::spawn_blocking(move || name_server.stop()).await;
        }
        self.gateway.log.say(Level::Info, "stopped", "", &[]);
    }
}

/// The embedded name server's view of the store: first all there is, then every commit, in order.
fn follow(desk: &Desk, zones: &Arc<Zones>) {
    let settings = Arc::clone(&desk.settings);
    let zones = Arc::clone(zones);
    let store = Arc::clone(&desk.store);
    fill(&settings.load(), &zones, &store);
    desk.store.follow(move |committed: &Committed<'_>| {
        let settings = settings.load();
        let records: Vec<_> =
            committed.changes.iter().filter_map(|(name, addresses)| settings.zone_record(name, *addresses)).collect();
        if !records.is_empty() {
            zones.publish(&records, serial(committed.number));
        }
    });
}

/// Gives the name server everything that the store holds for its zones.
fn fill(settings: &Settings, zones: &Zones, store: &crate::store::Store) {
    let mut records = Vec::new();
    store.for_each_host(|name, state| records.extend(settings.zone_record(name, state.desired)));
    zones.load(records.into_iter(), serial(store.number()));
}

/// The store's commit number as a zone's serial, which wraps (RFC 1982).
fn serial(number: u64) -> u32 {
    number as u32
}

impl Settings {
    /// A host's record in the embedded name server; `None` when its zone lives elsewhere.
    fn zone_record(&self, name: &Hostname, addresses: AddressSet) -> Option<(Hostname, AddressSet, u32)> {
        let policy = self.policy.of(name)?;
        let ttl = self.embedded_ttl(&policy)?;
        Some((name.clone(), addresses, ttl))
    }
}

fn reconciler(desk: &Desk, clock: &Clock, log: &Log) -> Result<Arc<Reconciler>, String> {
    let clock = clock.clone();
    let log = log.clone();
    Reconciler::new(
        Arc::clone(&desk.store),
        Arc::new(move || clock.now()),
        Arc::new(entropy::roll),
        Arc::new(move |event| tell_push(&log, &event)),
    )
    .map_err(|error| error.to_string())
}

fn tell_push(log: &Log, event: &PushEvent) {
    let wait = event.next_try.map_or(0, |wait| wait.as_secs());
    let fields = [
        ("provider", Value::Text(&event.provider)),
        ("host", Value::Text(event.hostname.as_str())),
        ("outcome", Value::Text(&event.outcome)),
        ("attempt", Value::Number(u64::from(event.attempt))),
        ("next_try_s", Value::Number(wait)),
    ];
    match event.error_code {
        None => log.say(Level::Info, "pushed", "", &fields),
        Some(code) => log.say(Level::Warn, code, "", &fields),
    }
}

fn certificate(tls: &Tls, settings: &Settings) -> Result<Certificate, TlsError> {
    match tls {
        Tls::Files { cert, key } => Certificate::from_files(cert, key),
        Tls::SelfSigned { names } => Certificate::self_signed(&settings.server.data_dir.join("tls"), names),
    }
}

async fn listen(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        listeners.push(TcpListener::bind(address).await.map_err(|error| StartError::Listen(*address, error))?);
    }
    Ok(listeners)
}

fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

async fn tidy(gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        gateway.limits.tidy(gateway.desk.clock.now());
    }
}

/// Reads the configuration again when its file changes, or when somebody asks. A bad file changes nothing.
async fn watch_configuration(gateway: Arc<Gateway>, file: PathBuf, mut reloads: watch::Receiver<()>) {
    let mut seen = fingerprint(&file);
    loop {
        let is_asked = tokio::select! {
            asked = reloads.changed() => asked.is_ok(),
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let stamp = fingerprint(&file);
        if !is_asked && stamp == seen {
            continue;
        }
        seen = stamp;
        reload(&gateway, &file);
    }
}

/// What tells one version of a file from another: when it was written, and how long it is.
fn fingerprint(file: &std::path::Path) -> Option<(std::time::SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn reload(gateway: &Gateway, file: &std::path::Path) {
    let log = &gateway.log;
    let settings = match config::load(file, &|name| std::env::var(name).ok()) {
        Ok(settings) => Arc::new(settings),
        Err(mistakes) => {
            for mistake in &mistakes.0 {
                log.say(Level::Error, "configuration_mistake", &mistake.to_string(), &[]);
            }
            log.say(Level::Error, "configuration_kept", "the configuration has mistakes; the one before stays in force", &[]);
            return;
        }
    };
    let before = gateway.desk.settings.load_full();
    if let Err(error) = gateway.reconciler.configure(&settings) {
        log.say(Level::Error, "configuration_kept", &format!("{error}; the configuration before stays in force"), &[]);
        return;
    }
    gateway.desk.configure(Arc::clone(&settings));
    let zones = Arc::clone(&gateway.zones);
    let store = Arc::clone(&gateway.desk.store);
    let in_force = Arc::clone(&settings);
    // Between two commits, so that no commit is overtaken by what was there before it.
    gateway.desk.store.between_commits(move || {
        zones.configure(in_force.zone_heads());
        fill(&in_force, &zones, &store);
    });
    gateway.reconciler.resume();
    for what in before.needs_restart(&settings) {
        let text = format!("{what} changed; that takes effect at the next start");
        log.say(Level::Warn, "restart_needed", &text, &[]);
    }
    for warning in &settings.warnings {
        log.say(Level::Warn, "configuration_warning", &warning.to_string(), &[]);
    }
    log.say(Level::Info, "configured", "the configuration was read again and is in force", &[]);
}

/// What the present is, for those who only need to wait.
pub type Present = dyn Fn() -> Now + Send + Sync;
