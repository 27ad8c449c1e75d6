//! Reads from time to time what watched providers publish, and tells, or has changed back, what somebody changed by
//! hand. When to read whom is decided in `nicgate_logic::drift`; changing back is a push like any other.

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use nicgate_logic::drift::{Rounds, differing};
use nicgate_logic::reconcile::End;
use nicgate_logic::state::{Applied, HostState};
use nicgate_protocol::{AddressSet, Family, Hostname};

use super::push::Payer;
use super::{Reconciler, Upstream};
use crate::provider::{Outcome, Sight};

/// Readings are far apart, and a machine that slept has missed some: the clock is asked again after so long.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Something else stands at a provider than it confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftEvent {
    /// The provider's name.
    pub provider: Arc<str>,
    /// The host.
    pub hostname: Hostname,
    /// What the provider confirmed.
    pub confirmed: AddressSet,
    /// What stands there now.
    pub standing: Vec<IpAddr>,
    /// Whether it is changed back.
    pub repairs: bool,
}

impl Reconciler {
    /// Reads one host after the other, as long as the reconciler runs.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            if self.lock().is_stopping {
                return;
            }
            let next = self.rounds().next(self.now(), |provider| self.hosts_of(provider));
            if let Some((provider, hostname)) = next {
                self.read(&provider, hostname).await;
                continue;
            }
            let wake_at = self.rounds().wake_at();
            match wake_at {
                None => self.watched.notified().await,
                Some(at) => {
                    let pause = (at.saturating_sub(self.now().uptime) + Duration::from_millis(1)).min(LONGEST_SLEEP);
                    tokio::select! {
                        () = self.watched.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// The hosts of which a provider confirmed something, sorted.
    pub(super) fn hosts_of(&self, provider: &str) -> Vec<Hostname> {
        let policy = Arc::clone(&self.lock().policy);
        let mut hosts = Vec::new();
        self.ledger.for_each_host(&mut |hostname, state| {
            let is_confirmed = state.applied_by(provider).is_some_and(|applied| !applied.addresses.is_empty());
            if is_confirmed
                && policy.of(hostname).is_some_and(|host| host.zone.providers.iter().any(|name| **name == *provider))
            {
                hosts.push(hostname.clone());
            }
        });
        hosts.sort_unstable();
        hosts
    }

    /// Reads one host, unless a push of it is due anyway: that looks for itself.
    async fn read(&self, provider: &Arc<str>, hostname: Hostname) {
        let (upstream, zone) = {
            let mut inner = self.lock();
            let now = self.now();
            if inner.plan.waiting(provider, &hostname, now).is_some() {
                return;
            }
            if let Some(wait) = inner.plan.blocked_for(provider, now) {
                drop(inner);
                return self.rounds().postpone(provider, hostname, wait, now);
            }
            let (Some(upstream), Some(host)) = (inner.upstreams.get(provider).cloned(), inner.policy.of(&hostname))
            else {
                return;
            };
            // What may be had was asked just now, under the same lock.
            let _ = inner.plan.permit(provider, now);
            (upstream, host.zone.name.clone())
        };
        let before = self.ledger.host(&hostname);
        let Some(talk) = upstream.provider.look(&zone, &hostname) else { return };
        let payer = Payer { reconciler: self, provider, is_given_up: AtomicBool::new(false) };
        let seen = upstream.sender.look(talk, &upstream.mask, &payer).await;
        let end = match &seen {
            Ok(_) | Err(Outcome::Confirmed { .. }) => End::Confirmed,
            Err(Outcome::Refused { class, .. }) => End::Refused { class: *class, maybe_written: false },
            Err(Outcome::Unconfirmed { class, retry_after, .. }) => {
                End::Unconfirmed { class: *class, retry_after: *retry_after, maybe_written: false }
            }
        };
        let dice = (self.surroundings.dice)();
        self.lock().plan.looked(provider, end, self.now(), dice);
        if let Ok(sight) = seen {
            self.compare(provider, &hostname, before, sight, &upstream).await;
        }
    }

    /// Holds what stands against what was confirmed, if nothing happened to the host meanwhile.
    async fn compare(
        &self,
        provider: &Arc<str>,
        hostname: &Hostname,
        before: Option<HostState>,
        sight: Sight,
        upstream: &Upstream,
    ) {
        let applied = |state: &HostState| state.applied_by(provider).cloned();
        let state = self.ledger.host(hostname);
        let Some(Applied { addresses: confirmed, .. }) = before.as_ref().and_then(applied) else { return };
        let is_same = state.as_ref().is_some_and(|state| applied(state) == before.as_ref().and_then(applied));
        let is_waiting = self.lock().plan.waiting(provider, hostname, self.now()).is_some();
        let families = differing(confirmed, &sight.addresses);
        if !is_same || is_waiting || families.is_empty() {
            return;
        }
        let repairs = upstream.drift.is_some_and(|drift| drift.repairs);
        if repairs {
            self.repair(provider, hostname, &sight).await;
        }
        (self.surroundings.drifted)(DriftEvent {
            provider: Arc::clone(provider),
            hostname: hostname.clone(),
            confirmed,
            standing: sight.addresses,
            repairs,
        });
    }

    /// Has a host pushed again: what stands there may be changed as if it had been written from here.
    async fn repair(&self, provider: &Arc<str>, hostname: &Hostname, sight: &Sight) {
        let first = |family| sight.addresses.iter().copied().find(|address| Family::of(*address) == family);
        let mut standing = AddressSet::EMPTY;
        for address in Family::BOTH.into_iter().filter_map(first) {
            let one = AddressSet::from(address);
            standing = AddressSet { v4: one.v4.or(standing.v4), v6: one.v6.or(standing.v6) };
        }
        self.ledger.doubt(hostname, provider, standing).await;
        let mut inner = self.lock();
        if let (Some(host), Some(state)) = (inner.policy.of(hostname), self.ledger.host(hostname)) {
            let _ = inner.want(hostname, &host, &state, false, self.now());
        }
        drop(inner);
        self.changed.notify_one();
    }

    pub(super) fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
