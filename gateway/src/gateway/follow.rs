//! What follows the store's commits: the embedded name server, which shows each of them at once, and the queue of
//! what other providers have to hear.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nicgate_logic::policy::{DEFAULT_TTL, HostPolicy};
use nicgate_logic::state::{Applied, HostState};
use nicgate_protocol::{AddressSet, Hostname};
use tokio::sync::mpsc;

use super::Gateway;
use crate::config::Settings;
use crate::desk::Desk;
use crate::dns::{ZoneHead, Zones};
use crate::reconciler::Ledger;
use crate::store::{Committed, Store, Ticket};

/// How long SOA and NS of an embedded zone may be kept, in seconds.
const ZONE_TTL: u32 = 3600;

/// Follows the store's commits: the embedded name server shows each of them at once, and what other providers have
/// to hear goes into the queue that is given back. So a change is pushed even if nobody waits for the answer any more.
pub(super) fn follow(desk: &Desk, zones: &Arc<Zones>) -> mpsc::UnboundedReceiver<Ticket> {
    let (queue, commits) = mpsc::unbounded_channel();
    let settings = Arc::clone(&desk.settings);
    let zones = Arc::clone(zones);
    fill(&settings.load(), &zones, &desk.store);
    desk.store.follow(move |committed: &Committed<'_>| {
        let settings = settings.load();
        let mut records = Vec::new();
        for (hostname, desired) in committed.changes {
            let Some(policy) = settings.policy.of(hostname) else { continue };
            if let Some(ttl) = embedded_ttl(&settings, &policy) {
                records.push((hostname.clone(), *desired, ttl));
            }
            if policy.zone.providers.iter().any(|name| !settings.is_embedded(name)) {
                let ticket = Ticket { hostname: hostname.clone(), number: committed.number, desired: *desired };
                // Nobody listens any more when the gateway stops; the next start finds what is left to push.
                let _ = queue.send(ticket);
            }
        }
        if !records.is_empty() {
            zones.publish(&records, serial(committed.number));
        }
    });
    commits
}

/// Queues what was committed, whoever waits for it.
pub(super) async fn push_commits(gateway: Arc<Gateway>, mut commits: mpsc::UnboundedReceiver<Ticket>) {
    while let Some(ticket) = commits.recv().await {
        let policy = gateway.desk.settings.load().policy.of(&ticket.hostname);
        if let Some(policy) = policy {
            let _ = gateway.reconciler.settle(&ticket, &policy, Duration::ZERO).await;
        }
    }
}

/// Gives the name server everything that the store holds for its zones.
pub(super) fn fill(settings: &Settings, zones: &Zones, store: &Store) {
    let mut records = Vec::new();
    store.for_each_host(|name, state| {
        let ttl = settings.policy.of(name).and_then(|policy| embedded_ttl(settings, &policy));
        records.extend(ttl.map(|ttl| (name.clone(), state.desired, ttl)));
    });
    zones.load(records.into_iter(), serial(store.number()));
}

/// The store's commit number as a zone's serial, which wraps (RFC 1982).
fn serial(number: u64) -> u32 {
    number as u32
}

/// The zones that the embedded name server answers for.
pub(super) fn zone_heads(settings: &Settings) -> Vec<ZoneHead> {
    let mut nameserver_addresses = AddressSet::EMPTY;
    for address in settings.dns.iter().flat_map(|dns| &dns.nameserver_addresses) {
        match address {
            IpAddr::V4(v4) => nameserver_addresses.v4 = Some(*v4),
            IpAddr::V6(v6) => nameserver_addresses.v6 = Some(*v6),
        }
    }
    let served = settings.zones.iter().filter(|zone| zone.is_embedded);
    served
        .map(|zone| ZoneHead {
            name: zone.policy.name.clone(),
            nameservers: zone.nameservers.clone(),
            mailbox: zone.mailbox.clone(),
            ttl: ZONE_TTL,
            negative_ttl: zone.negative_ttl,
            nameserver_addresses,
        })
        .collect()
}

/// The TTL of a host in the embedded name server; `None` when its zone lives elsewhere.
fn embedded_ttl(settings: &Settings, policy: &HostPolicy) -> Option<u32> {
    let name = policy.zone.providers.iter().find(|name| settings.is_embedded(name))?;
    let own = settings.providers.iter().find(|provider| provider.name == *name).and_then(|provider| provider.ttl);
    Some(policy.ttl().or(own).unwrap_or(DEFAULT_TTL))
}

impl Ledger for Store {
    fn host(&self, hostname: &Hostname) -> Option<HostState> {
        Self::host(self, hostname.as_str())
    }

    fn confirm<'a>(
        &'a self,
        hostname: &'a Hostname,
        applied: Applied,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(Self::confirm(self, hostname, applied))
    }

    fn doubt<'a>(
        &'a self,
        hostname: &'a Hostname,
        provider: &'a str,
        addresses: AddressSet,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(Self::doubt(self, hostname, provider, addresses))
    }

    fn for_each_host(&self, visit: &mut dyn FnMut(&Hostname, &HostState)) {
        Self::for_each_host(self, visit);
    }
}
