//! The task that makes providers publish what the store says: it asks `logic::reconcile` what to push, has
//! `provider::send` do it, and records what was confirmed.
//!
//! One tokio task per push (`push.rs`), so a slow answer delays nobody else; how many at once, in which order and when
//! again is decided in the logic. The store is the only truth: what is desired is read from it when a push is planned,
//! and the task itself may die at any time without losing anything.
//!
//! Lock order: the rounds of `drift.rs` first, then the reconciler's own lock, then the store's.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nicgate_logic::Now;
use nicgate_logic::drift::Rounds;
use nicgate_logic::policy::{HostPolicy, Policy};
use nicgate_logic::reconcile::{End, LaneSettings, Reconcile, Standing, Want};
use nicgate_logic::state::{Applied, HostState};
use nicgate_protocol::{AddressSet, Hostname};
use tokio::sync::{Notify, oneshot};

pub use self::drift::DriftEvent;
use crate::provider::send::{Mask, Sender};
use crate::provider::{BadSetting, Budget, Drift, Provider, ProviderSettings};
use crate::store::Ticket;

mod drift;
mod push;

/// How long [`Reconciler::stop`] waits for pushes that are on their way.
const GRACE: Duration = Duration::from_secs(5);

/// What the reconciler needs of the store.
pub trait Ledger: Send + Sync {
    /// The newest state of a host; `None` when it has none.
    fn host(&self, hostname: &Hostname) -> Option<HostState>;

    /// Records what a provider confirmed; it ends all doubts about this host there. Losing it costs a push after a restart, nothing else, so a store in trouble
    /// reports that by its own ways.
    fn confirm<'a>(&'a self, hostname: &'a Hostname, applied: Applied)
    -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

    /// Records, durably, that a provider may publish addresses which it has not confirmed. A store in trouble reports
    /// that by its own ways.
    fn doubt<'a>(
        &'a self,
        hostname: &'a Hostname,
        provider: &'a str,
        addresses: AddressSet,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

    /// Shows every host.
    fn for_each_host(&self, visit: &mut dyn FnMut(&Hostname, &HostState));
}

/// How an update stands when the reply is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The primary provider publishes it, or something newer.
    Confirmed,
    /// The primary provider said no.
    Refused,
    /// Still being pushed.
    NotYet,
}

/// How one push ended, for the log and the counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushEvent {
    /// The provider's name.
    pub provider: Arc<str>,
    /// The host.
    pub hostname: Hostname,
    /// What was to be published.
    pub desired: AddressSet,
    /// In words, without secrets: what the provider said and what would help.
    pub outcome: String,
    /// `None` when it was confirmed.
    pub error_code: Option<&'static str>,
    /// Whether the operator has to act.
    pub is_refused: bool,
    /// 1 for the first push since the last confirmation.
    pub attempt: u32,
    /// Calls made to the provider. Of several hosts that went together, the first has them all.
    pub calls: usize,
    /// How long the push took.
    pub took: Duration,
    /// In how long the next one goes at the earliest; `None` when nothing is left to do.
    pub next_try: Option<Duration>,
}

/// How one provider stands with a host, for `host show`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderStatus {
    /// The provider's name.
    pub provider: Arc<str>,
    /// Whether it is the embedded name server, which publishes what is desired by itself.
    pub is_embedded: bool,
    /// What it confirmed last.
    pub applied: Option<Applied>,
    /// Pushes since the last confirmation; 0 when nothing waits.
    pub attempts: u32,
    /// Whether a push is on its way.
    pub is_in_flight: bool,
    /// In how long the next push goes at the earliest.
    pub next_try: Option<Duration>,
    /// The last thing that went wrong since the last confirmation.
    pub trouble: Option<Box<str>>,
    /// Nothing goes to this provider for so long: it asked to wait, refuses our credential, does not answer, or its
    /// budget of calls is spent.
    pub is_blocked: Option<Duration>,
}

/// What comes in from outside: time, chance, and where events go.
#[derive(Clone)]
pub struct Surroundings {
    /// Reads the clocks.
    pub now: Arc<dyn Fn() -> Now + Send + Sync>,
    /// A random number.
    pub dice: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Hears how every push ended. Called without any lock held.
    pub report: Arc<dyn Fn(PushEvent) + Send + Sync>,
    /// Hears what somebody changed by hand. Called without any lock held.
    pub drifted: Arc<dyn Fn(DriftEvent) + Send + Sync>,
}

/// One configured provider, opened.
#[derive(Clone)]
struct Upstream {
    provider: Arc<dyn Provider>,
    sender: Sender,
    mask: Arc<Mask>,
    ttl: Option<u32>,
    /// The same number where the same credential is used.
    account: u64,
    budget: Budget,
    drift: Option<Drift>,
}

/// Somebody whose reply is due.
struct Waiter {
    number: u64,
    /// The uptime at which it is.
    deadline: Duration,
    tell: oneshot::Sender<Settled>,
}

/// A host at a provider.
type Place = (Arc<str>, Hostname);

/// What the lock guards.
struct Inner {
    plan: Reconcile,
    policy: Arc<Policy>,
    upstreams: HashMap<Arc<str>, Upstream>,
    waiters: HashMap<Place, Vec<Waiter>>,
    troubles: HashMap<Place, Box<str>>,
    /// Before that nothing is queued by itself: only [`Reconciler::resume`] knows that a run before may have died.
    is_resumed: bool,
    is_stopping: bool,
}

/// See the module.
pub struct Reconciler {
    ledger: Arc<dyn Ledger>,
    sender: Sender,
    surroundings: Surroundings,
    inner: Mutex<Inner>,
    rounds: Mutex<Rounds>,
    /// What is watched has changed.
    watched: Notify,
    /// The plan has changed.
    changed: Notify,
    /// The last push of a stopping reconciler has ended.
    idle: Notify,
}

impl Reconciler {
    /// Starts the task; it ends with [`Self::stop`]. Nothing is pushed before [`Self::configure`].
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, sender: Sender, surroundings: Surroundings) -> Arc<Self> {
        let inner = Inner {
            plan: Reconcile::new(),
            policy: Arc::new(Policy::new(Vec::new(), Vec::new(), Duration::ZERO)),
            upstreams: HashMap::new(),
            waiters: HashMap::new(),
            troubles: HashMap::new(),
            is_resumed: false,
            is_stopping: false,
        };
        let reconciler = Arc::new(Self {
            ledger,
            sender,
            surroundings,
            inner: Mutex::new(inner),
            rounds: Mutex::default(),
            watched: Notify::new(),
            changed: Notify::new(),
            idle: Notify::new(),
        });
        tokio::spawn(Arc::clone(&reconciler).run());
        tokio::spawn(Arc::clone(&reconciler).watch());
        reconciler
    }

    /// Takes a new configuration, whole or not at all. What waits for providers that vanished is dropped, blocked
    /// providers and refused hosts are tried again, and (after [`Self::resume`]) hosts that a new provider does not
    /// know yet are queued.
    ///
    /// # Errors
    /// The provider that cannot be opened, and why; then everything stays as it was.
    pub fn configure(&self, policy: Arc<Policy>, providers: &[ProviderSettings]) -> Result<(), (Arc<str>, BadSetting)> {
        let mut upstreams = HashMap::new();
        for settings in providers {
            let provider = settings.open().map_err(|bad| (Arc::clone(&settings.name), bad))?;
            let sender = match &settings.ca_file {
                None => self.sender.clone(),
                Some(_) => Sender::of(settings)
                    .map_err(|why| (Arc::clone(&settings.name), BadSetting { key: "ca_file", why: why.to_string() }))?,
            };
            let budget = settings.calls_per_minute.map_or_else(|| provider.budget(), Budget::per_minute);
            let (mask, ttl, account) = (Arc::new(Mask::new(settings)), settings.ttl, settings.account());
            let drift = settings.drift.filter(|_| !provider.is_embedded());
            let upstream = Upstream { provider, sender, mask, ttl, account, budget, drift };
            upstreams.insert(Arc::clone(&settings.name), upstream);
        }
        self.adopt(policy, upstreams);
        Ok(())
    }

    fn adopt(&self, policy: Arc<Policy>, upstreams: HashMap<Arc<str>, Upstream>) {
        let watched = |name: &Arc<str>| Some((Arc::clone(name), upstreams.get(name)?.drift?.every));
        let watched: Vec<_> = upstreams.keys().filter_map(watched).collect();
        self.rounds().configure(&watched, self.now());
        self.watched.notify_one();
        let is_resumed = {
            let mut inner = self.lock();
            let lane = |name: &Arc<str>| {
                let upstream = upstreams.get(name).filter(|upstream| !upstream.provider.is_embedded())?;
                Some(LaneSettings {
                    provider: Arc::clone(name),
                    account: upstream.account,
                    budget: upstream.budget.clone(),
                    hosts_at_once: upstream.provider.hosts_at_once(),
                })
            };
            let lanes: Vec<LaneSettings> = upstreams.keys().filter_map(lane).collect();
            let zone_of = |provider: &str, hostname: &Hostname| {
                let zone = policy.of(hostname)?.zone;
                zone.providers.iter().any(|name| **name == *provider).then(|| zone.name.clone())
            };
            let now = self.now();
            inner.plan.configure(&lanes, now, zone_of);
            let Inner { plan, waiters, troubles, .. } = &mut *inner;
            // Whoever waits for something that was dropped hears nothing more, and that is "not yet".
            waiters.retain(|(provider, hostname), _| plan.waiting(provider, hostname, now).is_some());
            troubles.retain(|(provider, hostname), _| plan.waiting(provider, hostname, now).is_some());
            inner.policy = policy;
            inner.upstreams = upstreams;
            inner.is_resumed
        };
        if is_resumed {
            self.queue_all(false);
        }
    }

    /// Once, after the first [`Self::configure`] and before any update: queues everything where desired differs from
    /// applied. The run before may have died between a push and its answer, so those hosts are looked at before
    /// anything is written.
    pub fn resume(&self) {
        self.lock().is_resumed = true;
        self.queue_all(true);
    }

    fn queue_all(&self, is_doubtful: bool) {
        let (policy, upstreams) = {
            let inner = self.lock();
            (Arc::clone(&inner.policy), inner.upstreams.clone())
        };
        // Asking a million hosts takes a while.
        if upstreams.values().all(|upstream| upstream.provider.is_embedded()) {
            return;
        }
        let is_behind = |state: &HostState, name: &Arc<str>| {
            upstreams.get(name).is_some_and(|upstream| !upstream.provider.is_embedded()) && !state.is_applied_by(name)
        };
        // The store's lock is held while it shows its hosts: only names are taken, and read again under ours.
        let mut behind = Vec::new();
        self.ledger.for_each_host(&mut |hostname, state| {
            if let Some(host) = policy.of(hostname)
                && host.zone.providers.iter().any(|name| is_behind(state, name))
            {
                behind.push((hostname.clone(), host));
            }
        });
        let now = self.now();
        for (hostname, host) in behind {
            let mut inner = self.lock();
            if let Some(state) = self.ledger.host(&hostname) {
                // Nothing newer was recorded here.
                let _ = inner.want(&hostname, &host, &state, is_doubtful, now);
            }
        }
        self.changed.notify_one();
    }

    /// Sees to it that every provider of the host's zone is told, and waits, at most until `deadline`, for the
    /// primary one. The embedded name server follows the store by itself and is never waited for. When the next push
    /// lies beyond the deadline anyway, the answer comes at once.
    pub async fn settle(&self, ticket: &Ticket, policy: &HostPolicy, deadline: Duration) -> Settled {
        let (heard, overtaken) = self.enqueue(ticket, policy, deadline);
        for (provider, addresses) in overtaken {
            self.ledger.doubt(&ticket.hostname, &provider, addresses).await;
        }
        let Some(heard) = heard else { return Settled::Confirmed };
        match heard {
            Ok(settled) => settled,
            Err(wait) => match tokio::time::timeout(deadline, wait).await {
                Ok(Ok(settled)) => settled,
                Ok(Err(_)) | Err(_) => Settled::NotYet,
            },
        }
    }

    /// Plans the pushes. `None`: there is no primary to wait for; else how it stands, or who will tell. With it, what
    /// [`Inner::want`] gives.
    fn enqueue(
        &self,
        ticket: &Ticket,
        policy: &HostPolicy,
        deadline: Duration,
    ) -> (Option<Result<Settled, oneshot::Receiver<Settled>>>, Vec<Doubt>) {
        let now = self.now();
        let hostname = &ticket.hostname;
        let mut inner = self.lock();
        // Read under the lock: of two updates of a host, whichever comes here first plans the newer.
        let state = self.ledger.host(hostname).unwrap_or_else(|| HostState {
            desired: ticket.desired,
            number: ticket.number,
            ..HostState::default()
        });
        let overtaken = inner.want(hostname, policy, &state, false, now);
        self.changed.notify_one();
        let primary = policy.zone.providers.first().filter(|primary| {
            let upstream = inner.upstreams.get(*primary);
            upstream.is_some_and(|upstream| !upstream.provider.is_embedded())
        });
        let heard = primary.map(|primary| inner.hear(primary, ticket, now.uptime + deadline, now));
        (heard, overtaken)
    }

    /// How each provider of the host's zone stands, the primary first.
    #[must_use]
    pub fn status(&self, hostname: &Hostname) -> Vec<ProviderStatus> {
        let now = self.now();
        let inner = self.lock();
        let Some(host) = inner.policy.of(hostname) else { return Vec::new() };
        let state = self.ledger.host(hostname).unwrap_or_default();
        let status = |name: &Arc<str>| {
            let waiting = inner.plan.waiting(name, hostname, now);
            ProviderStatus {
                provider: Arc::clone(name),
                is_embedded: inner.upstreams.get(name).is_some_and(|upstream| upstream.provider.is_embedded()),
                applied: state.applied_by(name).cloned(),
                attempts: waiting.map_or(0, |waiting| waiting.attempts),
                is_in_flight: waiting.is_some_and(|waiting| waiting.is_in_flight),
                next_try: waiting.and_then(|waiting| waiting.next_try).map(|at| at.saturating_sub(now.uptime)),
                is_blocked: inner.plan.blocked_for(name, now),
                trouble: inner.troubles.get(&(Arc::clone(name), hostname.clone())).cloned(),
            }
        };
        host.zone.providers.iter().map(status).collect()
    }

    /// How many hosts wait for a provider.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.lock().plan.pending()
    }

    /// Starts nothing more and waits a moment for what is on its way. What does not make it is pushed again after the
    /// next start.
    pub async fn stop(&self) {
        let idle = self.idle.notified();
        {
            let mut inner = self.lock();
            inner.is_stopping = true;
            if inner.plan.in_flight() == 0 {
                inner.waiters.clear();
                self.changed.notify_one();
                self.watched.notify_one();
                return;
            }
        }
        self.changed.notify_one();
        self.watched.notify_one();
        // Either way the store knows what is still to be done.
        let _ = tokio::time::timeout(GRACE, idle).await;
        self.lock().waiters.clear();
    }

    /// Starts what is due, then waits for a change or for the next due time.
    async fn run(self: Arc<Self>) {
        loop {
            let wake_at = {
                let mut inner = self.lock();
                if inner.is_stopping {
                    return;
                }
                let now = self.now();
                while let Some(push) = inner.plan.next(now) {
                    self.start(&inner, push);
                }
                inner.plan.wake_at()
            };
            match wake_at {
                None => self.changed.notified().await,
                Some(at) => {
                    // Timers round down to milliseconds; one more spares an empty round.
                    let pause = at.saturating_sub(self.now().uptime) + Duration::from_millis(1);
                    tokio::select! {
                        () = self.changed.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    fn now(&self) -> Now {
        (self.surroundings.now)()
    }

    /// A panic elsewhere leaves nothing half-done here, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A doubt that the store has to remember.
type Doubt = (Arc<str>, AddressSet);

impl Inner {
    /// Plans one host at all providers of its zone. Gives what may stand at them and is no longer desired: should we
    /// die before the next confirmation, the store has to know of it.
    fn want(
        &mut self,
        hostname: &Hostname,
        host: &HostPolicy,
        state: &HostState,
        is_doubtful: bool,
        now: Now,
    ) -> Vec<Doubt> {
        let mut overtaken = Vec::new();
        for name in &host.zone.providers {
            let known = state.applied_by(name);
            let mut doubted = known.map(|applied| applied.doubted.clone()).unwrap_or_default();
            if is_doubtful && !state.is_applied_by(name) && !doubted.contains(&state.desired) {
                doubted.push(state.desired);
            }
            let want = Want {
                zone: host.zone.name.clone(),
                desired: state.desired,
                number: state.number,
                applied: known.map(|applied| applied.addresses).unwrap_or_default(),
                doubted,
            };
            self.plan.want(name, hostname, want, now);
            let suspects = self.plan.overtaken(name, hostname);
            overtaken.extend(suspects.into_iter().map(|addresses| (Arc::clone(name), addresses)));
        }
        overtaken
    }

    /// How the update of this ticket stands with its primary provider, or who will tell.
    fn hear(
        &mut self,
        primary: &Arc<str>,
        ticket: &Ticket,
        deadline: Duration,
        now: Now,
    ) -> Result<Settled, oneshot::Receiver<Settled>> {
        let Ticket { hostname, number, .. } = ticket;
        match self.plan.standing(primary, hostname, *number, now) {
            Standing::Applied => Ok(Settled::Confirmed),
            Standing::Refused => Ok(Settled::Refused),
            Standing::Pending(at) if at > deadline || self.is_stopping => Ok(Settled::NotYet),
            Standing::Pending(_) => {
                let (tell, wait) = oneshot::channel();
                let waiters = self.waiters.entry((Arc::clone(primary), hostname.clone())).or_default();
                waiters.retain(|waiter| !waiter.tell.is_closed());
                waiters.push(Waiter { number: *number, deadline, tell });
                Err(wait)
            }
        }
    }

    /// After push `number` of a host: answers those for whom it decides. `None`: it decided nothing.
    fn tell_waiters(&mut self, place: &Place, number: u64, end: Option<End>, now: Now) {
        let Some(waiters) = self.waiters.remove(place) else { return };
        let (provider, hostname) = place;
        let mut others = Vec::new();
        for waiter in waiters {
            let settled = match end {
                // Something newer than what was waited for is as good: it took its place.
                Some(End::Confirmed) if waiter.number <= number => Some(Settled::Confirmed),
                Some(End::Refused { .. }) if waiter.number <= number => Some(Settled::Refused),
                Some(_) | None => match self.plan.standing(provider, hostname, waiter.number, now) {
                    Standing::Applied => Some(Settled::Confirmed),
                    Standing::Refused => Some(Settled::Refused),
                    Standing::Pending(at) if at > waiter.deadline => Some(Settled::NotYet),
                    Standing::Pending(_) => None,
                },
            };
            match settled {
                // Whoever no longer listens has been answered "not yet".
                Some(settled) => _ = waiter.tell.send(settled),
                None if !waiter.tell.is_closed() => others.push(waiter),
                None => {}
            }
        }
        if !others.is_empty() {
            self.waiters.insert(place.clone(), others);
        }
    }
}

#[cfg(test)]
mod tests;
