//! The task that makes providers publish what the store says: it asks `logic::reconcile` what to push, has
//! `provider::send` do it, and records what was confirmed.
//!
//! One tokio task per push, so a slow answer delays nobody else; how many at once, in which order and when again is
//! decided in the logic. The store is the only truth: what is desired is read from it when a push is planned, and the
//! task itself may die at any time without losing anything.
//!
//! Lock order: the reconciler's own lock first, then the store's.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nicgate_logic::Now;
use nicgate_logic::policy::{HostPolicy, Policy};
use nicgate_logic::reconcile::{End, Push, Reconcile, Standing, Want};
use nicgate_logic::state::{Applied, HostState};
use nicgate_protocol::{AddressSet, Hostname};
use tokio::sync::{Notify, oneshot};

use crate::provider::send::{Mask, Pushed, Sender, Unbounded};
use crate::provider::{BadSetting, Class, HostJob, Job, Moment, Outcome, Provider, ProviderSettings};
use crate::store::Ticket;

/// How long [`Reconciler::stop`] waits for pushes that are on their way.
const GRACE: Duration = Duration::from_secs(5);

/// What the reconciler needs of the store.
pub trait Ledger: Send + Sync {
    /// The newest state of a host; `None` when it has none.
    fn host(&self, hostname: &Hostname) -> Option<HostState>;

    /// Records what a provider confirmed. Losing it costs a push after a restart, nothing else, so a store in trouble
    /// reports that by its own ways.
    fn confirm<'a>(&'a self, hostname: &'a Hostname, applied: Applied)
    -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

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
    /// Calls made to the provider.
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
}

/// One configured provider, opened.
#[derive(Clone)]
struct Upstream {
    provider: Arc<dyn Provider>,
    sender: Sender,
    mask: Arc<Mask>,
    ttl: Option<u32>,
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
            changed: Notify::new(),
            idle: Notify::new(),
        });
        tokio::spawn(Arc::clone(&reconciler).run());
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
            let upstream = Upstream { provider, sender, mask: Arc::new(Mask::new(settings)), ttl: settings.ttl };
            upstreams.insert(Arc::clone(&settings.name), upstream);
        }
        self.adopt(policy, upstreams);
        Ok(())
    }

    fn adopt(&self, policy: Arc<Policy>, upstreams: HashMap<Arc<str>, Upstream>) {
        let is_resumed = {
            let mut inner = self.lock();
            let is_pushed_to = |name: &&Arc<str>| !upstreams[*name].provider.is_embedded();
            let names: Vec<Arc<str>> = upstreams.keys().filter(is_pushed_to).cloned().collect();
            let goes_to = |provider: &str, hostname: &Hostname| {
                let found = policy.of(hostname);
                found.is_some_and(|host| host.zone.providers.iter().any(|name| **name == *provider))
            };
            inner.plan.configure(&names, self.now(), goes_to);
            let Inner { plan, waiters, troubles, .. } = &mut *inner;
            // Whoever waits for something that was dropped hears nothing more, and that is "not yet".
            waiters.retain(|(provider, hostname), _| plan.waiting(provider, hostname).is_some());
            troubles.retain(|(provider, hostname), _| plan.waiting(provider, hostname).is_some());
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
                inner.want(&hostname, &host, &state, is_doubtful, now);
            }
        }
        self.changed.notify_one();
    }

    /// Sees to it that every provider of the host's zone is told, and waits, at most until `deadline`, for the
    /// primary one. The embedded name server follows the store by itself and is never waited for. When the next push
    /// lies beyond the deadline anyway, the answer comes at once.
    pub async fn settle(&self, ticket: &Ticket, policy: &HostPolicy, deadline: Duration) -> Settled {
        let Some(heard) = self.enqueue(ticket, policy, deadline) else { return Settled::Confirmed };
        match heard {
            Ok(settled) => settled,
            Err(wait) => match tokio::time::timeout(deadline, wait).await {
                Ok(Ok(settled)) => settled,
                Ok(Err(_)) | Err(_) => Settled::NotYet,
            },
        }
    }

    /// Plans the pushes. `None`: there is no primary to wait for; else how it stands, or who will tell.
    fn enqueue(
        &self,
        ticket: &Ticket,
        policy: &HostPolicy,
        deadline: Duration,
    ) -> Option<Result<Settled, oneshot::Receiver<Settled>>> {
        let now = self.now();
        let hostname = &ticket.hostname;
        let mut inner = self.lock();
        // Read under the lock: of two updates of a host, whichever comes here first plans the newer.
        let state = self.ledger.host(hostname).unwrap_or_else(|| HostState {
            desired: ticket.desired,
            number: ticket.number,
            ..HostState::default()
        });
        inner.want(hostname, policy, &state, false, now);
        self.changed.notify_one();
        let primary = policy.zone.providers.first()?;
        if inner.upstreams.get(primary).is_none_or(|upstream| upstream.provider.is_embedded()) {
            return None;
        }
        let until = now.uptime + deadline;
        Some(match inner.plan.standing(primary, hostname, ticket.number) {
            Standing::Applied => Ok(Settled::Confirmed),
            Standing::Refused => Ok(Settled::Refused),
            Standing::Pending(at) if at > until || inner.is_stopping => Ok(Settled::NotYet),
            Standing::Pending(_) => {
                let (tell, wait) = oneshot::channel();
                let waiters = inner.waiters.entry((Arc::clone(primary), hostname.clone())).or_default();
                waiters.retain(|waiter| !waiter.tell.is_closed());
                waiters.push(Waiter { number: ticket.number, deadline: until, tell });
                Err(wait)
            }
        })
    }

    /// How each provider of the host's zone stands, the primary first.
    #[must_use]
    pub fn status(&self, hostname: &Hostname) -> Vec<ProviderStatus> {
        let uptime = self.now().uptime;
        let inner = self.lock();
        let Some(host) = inner.policy.of(hostname) else { return Vec::new() };
        let state = self.ledger.host(hostname).unwrap_or_default();
        let status = |name: &Arc<str>| {
            let waiting = inner.plan.waiting(name, hostname);
            ProviderStatus {
                provider: Arc::clone(name),
                is_embedded: inner.upstreams.get(name).is_some_and(|upstream| upstream.provider.is_embedded()),
                applied: state.applied_by(name).cloned(),
                attempts: waiting.map_or(0, |waiting| waiting.attempts),
                is_in_flight: waiting.is_some_and(|waiting| waiting.is_in_flight),
                next_try: waiting.and_then(|waiting| waiting.next_try).map(|at| at.saturating_sub(uptime)),
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
                return;
            }
        }
        self.changed.notify_one();
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

    /// Starts the task of one push.
    fn start(self: &Arc<Self>, inner: &Inner, push: Push) {
        let found = inner.policy.of(&push.hostname);
        let job = found.zip(inner.upstreams.get(&push.provider)).map(|(host, upstream)| {
            let state = self.ledger.host(&push.hostname).unwrap_or_default();
            let job = Job {
                zone: host.zone.name.clone(),
                hosts: vec![HostJob {
                    hostname: push.hostname.clone(),
                    before: state.applied_by(&push.provider).cloned(),
                    doubted: push.doubted.clone(),
                    wanted: push.desired,
                    ttl: host.ttl().or(upstream.ttl),
                }],
            };
            (job, upstream.clone())
        });
        let me = Arc::clone(self);
        tokio::spawn(async move {
            match job {
                Some((job, upstream)) => me.push(push, &job, &upstream).await,
                // `configure` empties the plan of what is no longer configured, so this is a zone that was taken away
                // in this very moment.
                None => me.ended(&push, &End::Refused(Class::NoZone), Some("no longer configured")),
            }
        });
    }

    /// One push from its start to its report.
    async fn push(&self, push: Push, job: &Job, upstream: &Upstream) {
        let started = self.now().uptime;
        let mut owed = Owed { reconciler: self, push: &push, is_paid: false };
        let outside = Unbounded(|| self.moment());
        let Pushed { outcomes, calls } =
            upstream.sender.push(upstream.provider.update(job), 1, &upstream.mask, &outside).await;
        let (end, words) = match outcomes.into_iter().next().unwrap_or_else(|| unreachable!("one host, one outcome")) {
            Outcome::Confirmed { remembered, ttl } => {
                let provider = Box::from(&*push.provider);
                let applied = Applied { provider, addresses: push.desired, ttl, remembered };
                // Before the plan hears of it, so that the next push of this host starts from here.
                self.ledger.confirm(&push.hostname, applied).await;
                (End::Confirmed, None)
            }
            Outcome::Refused { class, code, text, .. } => (End::Refused(class), Some(format!("{text} ({code})"))),
            Outcome::Unconfirmed { class, why, retry_after, maybe_written } => {
                let words = if maybe_written { format!("{why}; the change may have been made") } else { why.into() };
                (End::Unconfirmed { class, retry_after, maybe_written }, Some(words))
            }
        };
        owed.is_paid = true;
        drop(owed);
        self.ended(&push, &end, words.as_deref());
        let now = self.now();
        let waiting = self.lock().plan.waiting(&push.provider, &push.hostname);
        let (error_code, is_refused) = match end {
            End::Confirmed => (None, false),
            End::Refused(class) => (Some(class.error_code()), true),
            End::Unconfirmed { class, .. } => (Some(class.error_code()), false),
        };
        (self.surroundings.report)(PushEvent {
            provider: push.provider,
            hostname: push.hostname,
            desired: push.desired,
            outcome: words.unwrap_or_else(|| "confirmed".to_owned()),
            error_code,
            is_refused,
            attempt: push.attempt,
            calls,
            took: now.uptime.saturating_sub(started),
            next_try: waiting.and_then(|waiting| waiting.next_try).map(|at| at.saturating_sub(now.uptime)),
        });
    }

    /// Tells the plan and everybody who waits.
    fn ended(&self, push: &Push, end: &End, words: Option<&str>) {
        let now = self.now();
        let dice = (self.surroundings.dice)();
        let mut inner = self.lock();
        inner.plan.ended(&push.provider, &push.hostname, end, now, dice);
        let place = (Arc::clone(&push.provider), push.hostname.clone());
        match words {
            Some(words) if inner.plan.waiting(&push.provider, &push.hostname).is_some() => {
                inner.troubles.insert(place.clone(), words.into());
            }
            Some(_) | None => {
                inner.troubles.remove(&place);
            }
        }
        inner.tell_waiters(&place, push.number, end);
        if inner.is_stopping && inner.plan.in_flight() == 0 {
            self.idle.notify_one();
        }
        self.changed.notify_one();
    }

    fn moment(&self) -> Moment {
        let roll = || u128::from((self.surroundings.dice)());
        Moment { now: self.now().wall, dice: roll() << 64 | roll() }
    }

    fn now(&self) -> Now {
        (self.surroundings.now)()
    }

    /// A panic elsewhere leaves nothing half-done here, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The plan is owed an end for every push, even for one whose task died: else its host would wait for ever.
struct Owed<'a> {
    reconciler: &'a Reconciler,
    push: &'a Push,
    is_paid: bool,
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        if !self.is_paid {
            let end = End::Unconfirmed { class: Class::Bug, retry_after: None, maybe_written: true };
            self.reconciler.ended(self.push, &end, Some("the push broke off inside the gateway"));
        }
    }
}

impl Inner {
    /// Plans one host at all providers of its zone.
    fn want(&mut self, hostname: &Hostname, host: &HostPolicy, state: &HostState, is_doubtful: bool, now: Now) {
        for name in &host.zone.providers {
            let applied = state.applied_by(name).map(|applied| applied.addresses).unwrap_or_default();
            let is_doubtful = is_doubtful && !state.is_applied_by(name);
            let want = Want { desired: state.desired, number: state.number, applied, is_doubtful };
            self.plan.want(name, hostname, want, now);
        }
    }

    /// After push `number` of a host: answers those for whom it decides.
    fn tell_waiters(&mut self, place: &Place, number: u64, end: &End) {
        let Some(waiters) = self.waiters.remove(place) else { return };
        let (provider, hostname) = place;
        let mut others = Vec::new();
        for waiter in waiters {
            let settled = match end {
                // Something newer than what was waited for is as good: it took its place.
                End::Confirmed if waiter.number <= number => Some(Settled::Confirmed),
                End::Refused(_) if waiter.number <= number => Some(Settled::Refused),
                End::Confirmed | End::Refused(_) | End::Unconfirmed { .. } => {
                    match self.plan.standing(provider, hostname, waiter.number) {
                        Standing::Applied => Some(Settled::Confirmed),
                        Standing::Refused => Some(Settled::Refused),
                        Standing::Pending(at) if at > waiter.deadline => Some(Settled::NotYet),
                        Standing::Pending(_) => None,
                    }
                }
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
