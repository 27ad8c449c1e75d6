//! One provider and its vendor on a bench: pushes as the gateway makes them, remembers what the gateway remembers,
//! and watches each push.
//!
//! What must never happen, in whichever story: a mistake that a strict vendor would note; a call that the conversation
//! does not know of; a moment without an address where there was one and shall be one; any other record touched; a
//! secret in what an operator reads; a word about a success that differs from what stands there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nicgate::clock::Clock;
use nicgate::provider::send::{Mask, Pushed, Sender, Unbounded};
use nicgate::provider::{HostJob, Job, Moment, Outcome, Provider, ProviderSettings, Sight};
use nicgate_logic::state::Applied;
use nicgate_protocol::{AddressSet, Family, Hostname};
use nicgate_tests::fake::{Fake, Record, Subject, Traits, Vendor};
use serde_json::Value;

/// What the gateway knows of one host at one provider.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) before: Option<Applied>,
    pub(crate) doubted: Vec<AddressSet>,
}

/// A subject that has been started.
pub(crate) struct Bench {
    pub(crate) word: &'static str,
    pub(crate) traits: Traits,
    pub(crate) vendor: Box<dyn Vendor>,
    pub(crate) settings: ProviderSettings,
    /// The TTL that is asked for.
    pub(crate) ttl: Option<u32>,
    /// By host.
    pub(crate) known: BTreeMap<String, Known>,
    /// The calls of the last push, as `METHOD path`.
    pub(crate) calls: Vec<String>,
    /// Every request that the vendor answered.
    pub(crate) sent: Vec<Value>,
    sender: Sender,
}

impl Bench {
    /// `None` where something is missing that it needs, and may be.
    pub(crate) fn new(subject: &Subject) -> Option<Self> {
        if !subject.traits.needs.iter().all(|program| nicgate_tests::tool(program).is_some()) {
            return None;
        }
        let started = (subject.start)();
        Some(Self {
            word: subject.word,
            traits: subject.traits,
            vendor: started.vendor,
            sender: Sender::of(&started.settings).unwrap(),
            settings: started.settings,
            ttl: None,
            known: BTreeMap::new(),
            calls: Vec::new(),
            sent: Vec::new(),
        })
    }

    /// The fake, where the vendor is one.
    pub(crate) fn fake(&self) -> Option<&Fake> {
        self.vendor.fake()
    }

    /// The host of most stories.
    pub(crate) fn host(&self) -> String {
        self.below("nas")
    }

    /// A name below the zone.
    pub(crate) fn below(&self, label: &str) -> String {
        format!("{label}.{}", self.traits.zone)
    }

    /// The provider, made anew as after a restart.
    pub(crate) fn provider(&self) -> std::sync::Arc<dyn Provider> {
        self.settings.open().unwrap_or_else(|bad| panic!("{}: {bad}", self.word))
    }

    /// From now on, no call is waited for longer than this.
    pub(crate) fn lose_patience_after(&mut self, deadline: Duration) {
        self.sender = self.sender.clone().waiting_at_most(deadline);
    }

    /// The contents of a name and type, sorted.
    pub(crate) fn contents(&self, hostname: &str, record_type: &str) -> Vec<String> {
        let of_type = |record: &Record| (record.record_type == record_type).then(|| record.content.clone());
        let mut contents: Vec<String> = self.vendor.records(hostname).iter().filter_map(of_type).collect();
        contents.sort();
        contents
    }

    /// The addresses of a name, as a set would print them.
    pub(crate) fn addresses(&self, hostname: &str) -> String {
        let families = Family::BOTH.iter().flat_map(|family| self.contents(hostname, family.record_type()));
        families.collect::<Vec<String>>().join(",")
    }

    /// The only record of a name and type.
    pub(crate) fn record(&self, hostname: &str, record_type: &str) -> Record {
        let records = self.vendor.records(hostname).into_iter().filter(|record| record.record_type == record_type);
        let records: Vec<Record> = records.collect();
        let [record] = records.as_slice() else {
            panic!("{}: one {record_type} of {hostname}: {records:?}", self.word)
        };
        record.clone()
    }

    /// One push of a host in the subject's zone.
    pub(crate) async fn push(&mut self, hostname: &str, wanted: &str) -> Pushed {
        self.push_all(&[(hostname, wanted)]).await
    }

    /// One push of several hosts in the subject's zone.
    pub(crate) async fn push_all(&mut self, wanted: &[(&str, &str)]) -> Pushed {
        self.push_in(self.traits.zone, wanted).await
    }

    /// One push, after which the bench remembers what a gateway would.
    pub(crate) async fn push_in(&mut self, zone: &str, wanted: &[(&str, &str)]) -> Pushed {
        let job = Job { zone: Hostname::parse(zone).unwrap(), ..self.job(wanted) };
        let watch = self.fake().map(Watch::start);
        let mask = Mask::new(&self.settings);
        let talk = self.provider().update(&job);
        let pushed = self.sender.push(talk, job.hosts.len(), &mask, &Unbounded(moment)).await;
        assert_eq!(pushed.outcomes.len(), job.hosts.len(), "{}: one outcome for each host", self.word);
        for (host, outcome) in job.hosts.iter().zip(&pushed.outcomes) {
            self.remember(host, outcome);
        }
        self.expect_no_secret(&format!("{pushed:?}"));
        if let (Some(watch), Some(fake)) = (watch, self.fake()) {
            let (calls, sent) = watch.end(fake, &job, &pushed, self.word);
            self.calls = calls;
            self.sent.extend(sent);
        }
        pushed
    }

    /// One push that must be confirmed, and must have left exactly this. Gives the calls that it took.
    pub(crate) async fn confirm(&mut self, hostname: &str, wanted: &str) -> usize {
        let pushed = self.push(hostname, wanted).await;
        let [Outcome::Confirmed { ttl, .. }] = pushed.outcomes.as_slice() else {
            panic!("{}: {wanted:?} for {hostname}: {pushed:?}", self.word);
        };
        assert_eq!(self.addresses(hostname), wanted, "{}: {hostname}", self.word);
        if self.traits.ttl.is_some() && !wanted.is_empty() {
            let records = self.vendor.records(hostname);
            assert!(records.iter().any(|record| record.ttl == *ttl), "{}: TTL {ttl}, {records:?}", self.word);
        }
        pushed.calls
    }

    /// A look at a host.
    pub(crate) async fn look(&mut self, hostname: &str) -> Option<Result<Sight, Outcome>> {
        let (zone, name) = (Hostname::parse(self.traits.zone).unwrap(), Hostname::parse(hostname).unwrap());
        let talk = self.provider().look(&zone, &name)?;
        let seen = self.sender.look(talk, &Mask::new(&self.settings), &Unbounded(moment)).await;
        if let Some(fake) = self.fake() {
            fake.calls();
            let seen = fake.seen();
            assert!(seen.iter().all(|seen| !seen.is_write), "{}: a look writes: {seen:?}", self.word);
            assert_eq!(fake.mistakes(), [""; 0], "{}", self.word);
            self.sent.extend(seen.into_iter().map(|seen| seen.sent));
        }
        Some(seen)
    }

    /// What the gateway knows of a host that it has pushed before.
    pub(crate) fn known(&mut self, hostname: &str) -> &mut Known {
        self.known.entry(hostname.to_owned()).or_default()
    }

    /// None of the secrets, nor what goes over the wire in their place.
    pub(crate) fn expect_no_secret(&self, text: &str) {
        for secret in self.settings.secrets() {
            assert!(!text.contains(secret.expose().as_str()), "{}: a secret in {text}", self.word);
        }
    }

    /// What a gateway would ask for, in the subject's zone.
    pub(crate) fn job(&self, wanted: &[(&str, &str)]) -> Job {
        let host = |(hostname, wanted): &(&str, &str)| {
            let known = self.known.get(*hostname).cloned().unwrap_or_default();
            HostJob {
                hostname: Hostname::parse(hostname).unwrap(),
                before: known.before,
                doubted: known.doubted,
                wanted: set(wanted),
                ttl: self.ttl,
            }
        };
        Job { zone: Hostname::parse(self.traits.zone).unwrap(), hosts: wanted.iter().map(host).collect() }
    }

    fn remember(&mut self, host: &HostJob, outcome: &Outcome) {
        let known = self.known.entry(host.hostname.as_str().to_owned()).or_default();
        match outcome {
            Outcome::Confirmed { remembered, ttl } => {
                let (addresses, remembered) = (host.wanted, remembered.clone());
                known.before =
                    Some(Applied { provider: "some".into(), addresses, ttl: *ttl, remembered, ..Applied::default() });
                known.doubted.clear();
            }
            Outcome::Refused { maybe_written: true, .. } | Outcome::Unconfirmed { maybe_written: true, .. } => {
                known.doubted.push(host.wanted);
            }
            Outcome::Refused { .. } | Outcome::Unconfirmed { .. } => {}
        }
    }
}

/// A set of addresses as it prints, in any order.
fn set(text: &str) -> AddressSet {
    let mut set = AddressSet::EMPTY;
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let one = AddressSet::from(part.parse::<IpAddr>().unwrap());
        set = AddressSet { v4: one.v4.or(set.v4), v6: one.v6.or(set.v6) };
    }
    set
}

/// The present, with dice that show another number each time.
fn moment() -> Moment {
    static THROWN: AtomicU64 = AtomicU64::new(1);
    let thrown = u128::from(THROWN.fetch_add(1, Ordering::Relaxed));
    Moment { now: Clock::system().wall(), dice: thrown.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) }
}

/// An eye on one push at a fake.
struct Watch {
    before: Vec<Record>,
}

impl Watch {
    fn start(fake: &Fake) -> Self {
        fake.calls();
        fake.seen();
        Self { before: fake.zone(|zone| zone.records.clone()) }
    }

    /// Fails on what must never happen; gives the calls, and what was sent.
    fn end(self, fake: &Fake, job: &Job, pushed: &Pushed, word: &str) -> (Vec<String>, Vec<Value>) {
        assert_eq!(fake.mistakes(), [""; 0], "{word}: what a strict vendor notes");
        let calls = fake.calls();
        assert_eq!(calls.len(), pushed.calls, "{word}: calls that the conversation does not know of: {calls:?}");
        let seen = fake.seen();
        let after = fake.zone(|zone| zone.records.clone());
        let is_ours = |record: &Record| {
            let is_address = ["A", "AAAA"].contains(&record.record_type.as_str());
            is_address && job.hosts.iter().any(|host| host.hostname.as_str() == record.hostname)
        };
        assert_eq!(without_ids(&self.before, is_ours), without_ids(&after, is_ours), "{word}: other records");
        for host in &job.hosts {
            for family in Family::BOTH {
                let stands = |records: &[Record]| {
                    records.iter().any(|record| record.is(host.hostname.as_str(), family.record_type()))
                };
                if host.wanted.of(family).is_some() && stands(&self.before) {
                    let gap = seen.iter().find(|seen| !stands(&seen.after));
                    assert!(gap.is_none(), "{word}: no {} of {} after {gap:?}", family.record_type(), host.hostname);
                }
            }
        }
        (calls, seen.into_iter().map(|seen| seen.sent).collect())
    }
}

/// Records besides some, without what a rewrite of the whole zone may change.
fn without_ids(records: &[Record], besides: impl Fn(&Record) -> bool) -> Vec<Record> {
    let kept = records.iter().filter(|record| !besides(record));
    let mut kept: Vec<Record> = kept.map(|record| Record { id: 0, ..record.clone() }).collect();
    kept.sort_by(|one, other| {
        (&one.hostname, &one.record_type, &one.content).cmp(&(&other.hostname, &other.record_type, &other.content))
    });
    kept
}
