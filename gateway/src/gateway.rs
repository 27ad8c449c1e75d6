//! The gateway in one piece: what it is made of, how it starts, what it does when its configuration changes,
//! and how it stops.
//!
//! Judgement is in `nicgate-logic`, the way of an update in `journey.rs`; here parts are only put together.

mod follow;
mod reload;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nicgate_logic::answer::Ending;
use nicgate_logic::authorize::Wanted;
use nicgate_logic::failover::Switch;
use nicgate_logic::limits::Limits;
use nicgate_logic::policy::HostPolicy;
use nicgate_logic::state::HostState;
use nicgate_protocol::Hostname;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::control::Control;
use crate::clock::Clock;
use crate::config::{Settings, Tls};
use crate::desk::{Desk, DeskError, Order, Report};
use crate::dns::{self, Zones};
use crate::entropy;
use crate::http::peer::TrustedProxies;
use crate::http::tls::{self, Certificate, TlsError};
use crate::http::{Caps, Door, Seats, listener};
use crate::log::{Level, Log, Value};
use crate::provider::send::Sender;
use crate::reconciler::{DriftEvent, Ledger, PushEvent, Reconciler, Surroundings};
use crate::store::{StoreError, Ticket};
use crate::upkeep;

/// How often budgets that are full again are forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How long a stopping gateway lets requests wait for their providers before it stops pushing, too. Together with the
/// time that pushes on their way then have, less than [`crate::http::STOP_DEADLINE`].
const PUSH_PATIENCE: Duration = Duration::from_secs(4);

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
    /// Whether the primary provider of the host's zone publishes what is desired. The embedded name server does as
    /// soon as it is recorded.
    pub fn is_settled(&self, state: &HostState, policy: &HostPolicy) -> bool {
        let settings = self.desk.settings.load();
        policy
            .zone
            .providers
            .first()
            .is_none_or(|primary| settings.is_embedded(primary) || state.is_applied_by(primary))
    }

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

    /// Tells that another device of a host is published now.
    pub fn tell_switch(&self, ticket: &Ticket, switch: Option<&Switch>) {
        let Some(switch) = switch else { return };
        let fields = [
            ("host", Value::Text(ticket.hostname.as_str())),
            ("from", Value::Text(switch.from.as_str())),
            ("to", Value::Text(switch.to.as_str())),
            ("desired", Value::Shown(&ticket.desired)),
            ("why", Value::Text(&switch.why)),
        ];
        if switch.is_back {
            self.log.say(Level::Info, "failback", "", &fields);
        } else {
            self.log.say(Level::Warn, "failover", "", &fields);
        }
    }

    /// Carries out an order that came over the control socket.
    async fn carry_out(&self, order: Order, reload: &watch::Sender<()>) -> Report {
        match &order {
            Order::Reload => {
                reload.send_replace(());
                return Report::Done {
                    message: "the configuration is being read; the log tells what became of it".into(),
                };
            }
            Order::DeviceAdd { .. }
            | Order::DeviceInvite { .. }
            | Order::DeviceList
            | Order::DeviceShow { .. }
            | Order::DeviceRotate { .. }
            | Order::DeviceRevoke { .. }
            | Order::HostList { .. }
            | Order::HostPin { .. }
            | Order::HostRelease { .. }
            | Order::HostShow { .. } => {}
        }
        self.desk.carry_out(order, &|hostname, provider| self.standing(hostname, provider)).await
    }

    /// How a provider stands with a host, in words.
    fn standing(&self, hostname: &Hostname, provider: &str) -> String {
        let all = self.reconciler.status(hostname);
        let Some(one) = all.into_iter().find(|one| &*one.provider == provider) else {
            return "not configured".to_owned();
        };
        if one.is_embedded {
            return "served".to_owned();
        }
        let next = match one.next_try {
            Some(wait) if wait.is_zero() => ", next try now".to_owned(),
            Some(wait) => format!(", next try in {} s", wait.as_secs().max(1)),
            None => String::new(),
        };
        let blocked = match one.is_blocked {
            Some(wait) if one.next_try.is_some() => {
                format!("; nothing may be sent to it for {} s", wait.as_secs().max(1))
            }
            Some(_) | None => String::new(),
        };
        match (one.trouble, one.is_in_flight, one.attempts) {
            (Some(trouble), _, attempts) => format!("{trouble} (attempt {attempts}{next}{blocked})"),
            (None, true, _) => "being pushed".to_owned(),
            (None, false, 0) if one.next_try.is_none() => "confirmed".to_owned(),
            (None, false, attempts) => format!("waiting (attempt {attempts}{next}{blocked})"),
        }
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
    /// The name server could not listen.
    NameServer(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Desk(error) => error.fmt(f),
            Self::Listen(address, error) => {
                let cure = if error.kind() == io::ErrorKind::AddrInUse {
                    "another program listens there: stop it, or choose another port"
                } else if error.kind() == io::ErrorKind::PermissionDenied {
                    "ports below 1024 need a right: AmbientCapabilities=CAP_NET_BIND_SERVICE"
                } else if error.kind() == io::ErrorKind::AddrNotAvailable {
                    "this machine does not have that address"
                } else {
                    "see `listen` in the configuration"
                };
                write!(f, "cannot listen on {address}: {error}; {cure}")
            }
            Self::Tls(error) => error.fmt(f),
            Self::Control(path, error) => write!(f, "{}: the control socket cannot be opened: {error}", path.display()),
            Self::Provider(error) => f.write_str(error),
            Self::NameServer(error) => write!(f, "{error}; see [dns] `listen` in the configuration"),
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
        let zones = Arc::new(Zones::new(follow::zone_heads(&settings)));
        let commits = follow::follow(&desk, &zones);
        let reconciler = reconciler(&desk, &clock, &log)?;
        reload::configure(&reconciler, &settings).map_err(StartError::Provider)?;

        let name_server = match &settings.dns {
            None => None,
            Some(dns) => Some(dns::Server::bind(&dns.listen).map_err(StartError::NameServer)?),
        };
        let certificate = match &settings.tls {
            None => None,
            Some(tls) => Some(certificate(tls, &settings).map_err(StartError::Tls)?),
        };
        let secure = match &certificate {
            None => None,
            Some(certificate) => {
                let resolver = Arc::clone(certificate) as Arc<dyn rustls::server::ResolvesServerCert>;
                let config = tls::server_config(resolver).map_err(|why| StartError::Provider(why.to_string()))?;
                Some(Arc::new(config))
            }
        };
        let https = listen(&settings.server.listen).await?;
        let plain = listen(&settings.server.plain_listen).await?;
        let data_dir = &settings.server.data_dir;
        let control = Control::open(data_dir).map_err(|error| StartError::Control(data_dir.clone(), error))?;

        let gateway = Arc::new(Gateway { desk, reconciler, limits: Limits::default(), log, zones });
        // Whoever left the file while nobody ran.
        reload::tell_departures(&gateway.log, &gateway.desk.record_departures().await);
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
        let trusted = Arc::new(TrustedProxies::new(settings.server.trusted_proxies.clone()));
        let with_tls = https.into_iter().map(|listener| (listener, secure.clone()));
        let in_clear = plain.into_iter().map(|listener| (listener, None));
        for (listener, tls) in with_tls.chain(in_clear) {
            let address = listener.local_addr().ok();
            let door = Door {
                tls,
                proxy_protocol: address.is_some_and(|address| settings.server.proxy_protocol.contains(&address)),
                trusted: Arc::clone(&trusted),
                seats: Arc::clone(&seats),
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
        upkeep::expect_all(&gateway.desk);
        running.chores.spawn(upkeep::run(Arc::clone(&gateway)));
        running.chores.spawn(follow::push_commits(Arc::clone(&gateway), commits));
        if let Some(certificate) = certificate {
            let log = gateway.log.clone();
            running.chores.spawn(async move { certificate.watch(|outcome| tell_certificate(&log, outcome)).await });
        }
        if let Some(file) = file {
            running.chores.spawn(reload::watch_configuration(Arc::clone(&gateway), file, reloads));
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
        let reconciler = Arc::clone(&self.gateway.reconciler);
        let doors = &mut self.doors;
        let all_left = async { while doors.join_next().await.is_some() {} };
        tokio::pin!(all_left);
        if tokio::time::timeout(PUSH_PATIENCE, &mut all_left).await.is_err() {
            // Whoever still waits for a provider hears "not yet" before the doors close on them.
            tokio::join!(all_left, reconciler.stop());
            self.chores.shutdown().await;
        } else {
            self.chores.shutdown().await;
            reconciler.stop().await;
        }
        if let Some(name_server) = self.name_server.take() {
            // Its threads look up every half second; nobody else waits meanwhile.
            let _ = tokio::task::spawn_blocking(move || name_server.stop()).await;
        }
        self.gateway.log.say(Level::Info, "stopped", "", &[]);
    }
}

fn reconciler(desk: &Desk, clock: &Clock, log: &Log) -> Result<Arc<Reconciler>, StartError> {
    let sender = Sender::new().map_err(|error| StartError::Provider(error.to_string()))?;
    let (clock, of_pushes, of_drift) = (clock.clone(), log.clone(), log.clone());
    let surroundings = Surroundings {
        now: Arc::new(move || clock.now()),
        dice: Arc::new(entropy::roll),
        report: Arc::new(move |event| tell_push(&of_pushes, &event)),
        drifted: Arc::new(move |event| tell_drift(&of_drift, &event)),
    };
    Ok(Reconciler::new(Arc::clone(&desk.store) as Arc<dyn Ledger>, sender, surroundings))
}

fn tell_push(log: &Log, event: &PushEvent) {
    let desired = event.desired.to_string();
    let mut fields = vec![
        ("provider", Value::Text(&event.provider)),
        ("host", Value::Text(event.hostname.as_str())),
        ("desired", Value::Text(&desired)),
        ("outcome", Value::Text(&event.outcome)),
        ("attempt", Value::Number(u64::from(event.attempt))),
        ("calls", Value::Number(event.calls as u64)),
    ];
    if let Some(wait) = event.next_try {
        fields.push(("next_try_s", Value::Number(wait.as_secs())));
    }
    match event.error_code {
        None => log.say(Level::Info, "pushed", "", &fields),
        Some(code) => log.say(Level::Warn, code, "", &fields),
    }
}

fn tell_drift(log: &Log, event: &DriftEvent) {
    let confirmed = event.confirmed.to_string();
    let standing = event.standing.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let fields = [
        ("provider", Value::Text(&event.provider)),
        ("host", Value::Text(event.hostname.as_str())),
        ("confirmed", Value::Text(&confirmed)),
        ("standing", Value::Text(&standing)),
    ];
    let message = if event.repairs {
        "something else stands there than was written from here; it is being changed back"
    } else {
        "something else stands there than was written from here; it stays until the host's next change"
    };
    log.say(Level::Warn, "drift", message, &fields);
}

fn tell_certificate(log: &Log, outcome: Result<(), TlsError>) {
    match outcome {
        Ok(()) => log.say(Level::Info, "certificate_read", "the certificate changed and is served from now on", &[]),
        Err(error) => {
            log.say(Level::Error, "certificate_kept", &format!("{error}; the one before is served on"), &[]);
        }
    }
}

fn certificate(tls: &Tls, settings: &Settings) -> Result<Arc<Certificate>, TlsError> {
    match tls {
        Tls::Files { cert, key } => Certificate::open(cert, key),
        Tls::SelfSigned { names } => {
            let pair = tls::own(&settings.server.data_dir, names)?;
            Certificate::open(&pair.cert_file, &pair.key_file)
        }
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
