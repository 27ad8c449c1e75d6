//! One push from its start to its report.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use nicgate_logic::reconcile::{Class, End, Item, Push};
use nicgate_logic::state::Applied;

use super::{Inner, PushEvent, Reconciler, Upstream};
use crate::provider::send::{Outside, Pushed};
use crate::provider::{HostJob, Job, Moment, Outcome};

/// How a push ended for one host, and what the operator reads of it.
struct Ended {
    end: End,
    words: String,
}

impl Reconciler {
    /// Starts the task of one push.
    pub(super) fn start(self: &Arc<Self>, inner: &Inner, push: Push) {
        let upstream = inner.upstreams.get(&push.provider).cloned();
        let job = upstream.map(|upstream| {
            let hosts = push.items.iter().map(|item| {
                let host = inner.policy.of(&item.hostname);
                HostJob {
                    hostname: item.hostname.clone(),
                    before: self
                        .ledger
                        .host(&item.hostname)
                        .and_then(|state| state.applied_by(&push.provider).cloned()),
                    doubted: item.doubted.clone(),
                    wanted: item.desired,
                    ttl: host.and_then(|host| host.ttl()).or(upstream.ttl),
                }
            });
            (Job { zone: push.zone.clone(), hosts: hosts.collect() }, upstream)
        });
        let me = Arc::clone(self);
        tokio::spawn(async move {
            match job {
                Some((job, upstream)) => me.push(push, &job, &upstream).await,
                // The plan holds nothing for providers that are not configured.
                None => {
                    let end = End::Refused { class: Class::NoZone, maybe_written: false };
                    let ended = Ended { end, words: "no longer configured".to_owned() };
                    me.ended(&push, &push.items.iter().map(|_| &ended).collect::<Vec<_>>());
                }
            }
        });
    }

    async fn push(&self, push: Push, job: &Job, upstream: &Upstream) {
        let started = self.now().uptime;
        let payer = Payer { reconciler: self, provider: &push.provider, is_given_up: AtomicBool::new(false) };
        let conversation = async {
            let talk = upstream.provider.update(job);
            upstream.sender.push(talk, job.hosts.len(), &upstream.mask, &payer).await
        };
        // The plan is owed an end for every push, also for one that breaks off: else its hosts would wait for ever.
        let Pushed { outcomes, calls } = AssertUnwindSafe(conversation).catch_unwind().await.unwrap_or_else(|_| {
            let outcome = Outcome::Unconfirmed {
                class: Class::Bug,
                why: "the push broke off inside the gateway".into(),
                retry_after: None,
                maybe_written: true,
            };
            Pushed { outcomes: vec![outcome; job.hosts.len()], calls: 0 }
        });
        let is_given_up = payer.is_given_up.load(Ordering::Relaxed);
        let each = push.items.iter().zip(outcomes);
        // All at once: what they wait for is one sync of the disk.
        let ended: Vec<Ended> =
            join_all(each.map(|(item, outcome)| self.remember(&push.provider, item, outcome, is_given_up))).await;
        self.ended(&push, &ended.iter().collect::<Vec<_>>());
        self.tell(&push, ended, calls, started);
    }

    /// Records what came of one host, before the plan hears of it: its next push starts from there.
    async fn remember(&self, provider: &Arc<str>, item: &Item, outcome: Outcome, is_given_up: bool) -> Ended {
        let (end, words) = match outcome {
            Outcome::Confirmed { remembered, ttl } => {
                let provider = Box::from(&**provider);
                let applied = Applied { provider, addresses: item.desired, ttl, remembered, ..Applied::default() };
                self.ledger.confirm(&item.hostname, applied).await;
                (End::Confirmed, "confirmed".to_owned())
            }
            Outcome::Refused { class, code, text, maybe_written } => {
                (End::Refused { class, maybe_written }, format!("{text} ({code})"))
            }
            Outcome::Unconfirmed { why, .. } if is_given_up => (End::Unaffordable, why.into()),
            Outcome::Unconfirmed { class, why, retry_after, maybe_written } => {
                (End::Unconfirmed { class, retry_after, maybe_written }, why.into())
            }
        };
        if !end.maybe_written() {
            return Ended { end, words };
        }
        self.ledger.doubt(&item.hostname, provider, item.desired).await;
        let what = if matches!(end, End::Refused { .. }) { "a part of the change" } else { "the change" };
        Ended { end, words: format!("{words}; {what} may have been made") }
    }

    /// Tells the plan and everybody who waits.
    fn ended(&self, push: &Push, ended: &[&Ended]) {
        let now = self.now();
        let dice = (self.surroundings.dice)();
        let ends: Vec<End> = ended.iter().map(|ended| ended.end).collect();
        let is_split = push.is_split_by(&ends);
        let mut inner = self.lock();
        inner.plan.ended(push, &ends, now, dice);
        for (item, ended) in push.items.iter().zip(ended) {
            let place = (Arc::clone(&push.provider), item.hostname.clone());
            if ended.end != End::Confirmed && inner.plan.waiting(&push.provider, &item.hostname, now).is_some() {
                inner.troubles.insert(place.clone(), ended.words.as_str().into());
            } else {
                inner.troubles.remove(&place);
            }
            // Refused together, a host has not been judged yet.
            inner.tell_waiters(&place, item.number, (!is_split).then_some(ended.end), now);
        }
        if inner.is_stopping && inner.plan.in_flight() == 0 {
            self.idle.notify_one();
        }
        self.changed.notify_one();
    }

    /// Reports one event per host.
    fn tell(&self, push: &Push, ended: Vec<Ended>, calls: usize, started: Duration) {
        let now = self.now();
        let ends: Vec<End> = ended.iter().map(|ended| ended.end).collect();
        let is_split = push.is_split_by(&ends);
        for (index, (item, Ended { end, words })) in push.items.iter().zip(ended).enumerate() {
            let waiting = self.lock().plan.waiting(&push.provider, &item.hostname, now);
            let is_refused = matches!(end, End::Refused { .. }) && !is_split;
            (self.surroundings.report)(PushEvent {
                provider: Arc::clone(&push.provider),
                hostname: item.hostname.clone(),
                desired: item.desired,
                outcome: if is_split { format!("{words}; its hosts go one by one next") } else { words },
                error_code: end.class().map(Class::error_code),
                is_refused,
                attempt: item.attempt,
                calls: if index == 0 { calls } else { 0 },
                took: now.uptime.saturating_sub(started),
                next_try: waiting.and_then(|waiting| waiting.next_try).map(|at| at.saturating_sub(now.uptime)),
            });
        }
    }
}

/// Pays the further calls of one conversation.
pub(super) struct Payer<'a> {
    pub(super) reconciler: &'a Reconciler,
    pub(super) provider: &'a str,
    /// Whether the budget would have made it wait for too long.
    pub(super) is_given_up: AtomicBool,
}

impl Outside for Payer<'_> {
    fn moment(&self) -> Moment {
        let roll = || u128::from((self.reconciler.surroundings.dice)());
        Moment { now: self.reconciler.now().wall, dice: roll() << 64 | roll() }
    }

    fn permit(&self) -> Pin<Box<dyn Future<Output = Result<(), Duration>> + Send + '_>> {
        Box::pin(async move {
            let asked_at = self.reconciler.now().uptime;
            loop {
                let now = self.reconciler.now();
                let (paid, patience) = {
                    let plan = &mut self.reconciler.lock().plan;
                    (plan.permit(self.provider, now), plan.patience(self.provider))
                };
                let Err(wait) = paid else { return Ok(()) };
                if now.uptime.saturating_sub(asked_at) + wait > patience {
                    self.is_given_up.store(true, Ordering::Relaxed);
                    return Err(wait);
                }
                // Timers round down to milliseconds; one more spares an empty round.
                tokio::time::sleep(wait + Duration::from_millis(1)).await;
            }
        })
    }
}
