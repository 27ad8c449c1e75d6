//! One configured provider and what a gateway would remember of it: pushes straight to it, without the gateway around.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use nicgate::provider::send::{Mask, Pushed, Sender, Unbounded};
use nicgate::provider::{HostJob, Job, Moment, Outcome, ProviderSettings, Setting, Sight, kind};
use nicgate_logic::state::Applied;
use nicgate_protocol::{AddressSet, Hostname, Secret};

/// What is known of a host between pushes.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What was confirmed last.
    pub before: Option<Applied>,
    /// What may stand there.
    pub doubted: Vec<AddressSet>,
}

/// The provider.
pub struct Pusher {
    /// Its settings, to be changed by stories.
    pub settings: ProviderSettings,
    /// The zone, as it is configured.
    pub zone: String,
    /// The TTL asked for.
    pub ttl: Option<u32>,
    /// How far the clock is ahead of the machine's, in seconds.
    pub clock_off: i64,
    /// What is remembered, by host.
    pub hosts: BTreeMap<String, Known>,
    runtime: tokio::runtime::Runtime,
}

impl Pusher {
    /// Of a kind, with these keys; a key that the kind calls secret is set as one.
    ///
    /// # Panics
    /// When there is no such kind or key.
    #[must_use]
    pub fn new(word: &str, zone: &str, keys: &[(&str, &str)]) -> Self {
        let kind = kind(word).expect("a kind of provider");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let settings = ProviderSettings::new("lab", kind);
        let mut pusher =
            Self { settings, zone: zone.to_owned(), ttl: None, clock_off: 0, hosts: BTreeMap::new(), runtime };
        keys.iter().for_each(|(key, value)| pusher.set(key, value));
        pusher
    }

    /// Sets a key.
    ///
    /// # Panics
    /// When the kind has none of that name.
    pub fn set(&mut self, key: &str, value: &str) {
        if key == "endpoint" {
            self.settings.endpoint = Some(value.to_owned());
            return;
        }
        let key = self.settings.kind.keys.iter().find(|known| known.name == key).expect("a key of the kind");
        let value = value.to_owned();
        let setting = if key.is_secret { Setting::Secret(Secret::new(value)) } else { Setting::Text(value) };
        self.settings.set(key.name, setting);
    }

    /// One push about several hosts, after which is remembered what a gateway would remember.
    ///
    /// # Panics
    /// When the settings cannot be used.
    pub fn push(&mut self, wanted: &[(&str, &str)]) -> Pushed {
        let hosts = wanted.iter().map(|(hostname, addresses)| {
            let known = self.hosts.get(*hostname).cloned().unwrap_or_default();
            HostJob {
                hostname: name(hostname),
                before: known.before,
                doubted: known.doubted,
                wanted: set(addresses),
                ttl: self.ttl,
            }
        });
        let job = Job { zone: name(&self.zone), hosts: hosts.collect() };
        let provider = self.settings.open().expect("the settings are good");
        assert!(job.hosts.len() <= provider.hosts_at_once(), "too many hosts for one job");
        let (sender, mask) = (Sender::new().expect("a sender"), Mask::new(&self.settings));
        let outside = Unbounded(moments(self.clock_off));
        let pushed = self.runtime.block_on(sender.push(provider.update(&job), wanted.len(), &mask, &outside));
        for ((hostname, addresses), outcome) in wanted.iter().zip(&pushed.outcomes) {
            let known = self.hosts.entry((*hostname).to_owned()).or_default();
            match outcome {
                Outcome::Confirmed { remembered, ttl } => {
                    let addresses = set(addresses);
                    let remembered = remembered.clone();
                    known.before = Some(Applied {
                        provider: "lab".into(),
                        addresses,
                        ttl: *ttl,
                        remembered,
                        ..Applied::default()
                    });
                    known.doubted.clear();
                }
                Outcome::Unconfirmed { maybe_written: true, .. } | Outcome::Refused { maybe_written: true, .. } => {
                    known.doubted.push(set(addresses));
                }
                Outcome::Refused { .. } | Outcome::Unconfirmed { .. } => {}
            }
        }
        pushed
    }

    /// One push about one host that must be confirmed; how many calls it took.
    ///
    /// # Panics
    /// When it is not.
    pub fn confirm(&mut self, hostname: &str, addresses: &str) -> usize {
        let pushed = self.push(&[(hostname, addresses)]);
        let is_confirmed = matches!(pushed.outcomes[..], [Outcome::Confirmed { .. }]);
        assert!(is_confirmed, "{hostname} {addresses}: {pushed:?}");
        pushed.calls
    }

    /// One push about one host; its outcome.
    pub fn outcome(&mut self, hostname: &str, addresses: &str) -> Outcome {
        self.push(&[(hostname, addresses)]).outcomes.remove(0)
    }

    /// Only looks.
    ///
    /// # Errors
    /// What it ended with instead.
    ///
    /// # Panics
    /// When the provider cannot be looked at.
    pub fn look(&self, hostname: &str) -> Result<Sight, Outcome> {
        let provider = self.settings.open().expect("the settings are good");
        let talk = provider.look(&name(&self.zone), &name(hostname)).expect("this kind can be looked at");
        let (sender, mask) = (Sender::new().expect("a sender"), Mask::new(&self.settings));
        self.runtime.block_on(sender.look(talk, &mask, &Unbounded(moments(self.clock_off))))
    }
}

/// The machine's clock, moved, and dice.
fn moments(clock_off: i64) -> impl Fn() -> Moment + Send + Sync {
    let clock = nicgate::clock::Clock::system();
    move || {
        let off = Duration::from_secs(clock_off.unsigned_abs());
        let now = clock.now().wall;
        let now = if clock_off < 0 { now - off } else { now + off };
        Moment { now, dice: u128::from(RandomState::new().hash_one(now.0)) << 64 }
    }
}

fn name(text: &str) -> Hostname {
    Hostname::parse(text).expect("a host name")
}

/// Addresses, separated by commas.
fn set(text: &str) -> AddressSet {
    let mut set = AddressSet::EMPTY;
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let one = AddressSet::from(part.parse::<std::net::IpAddr>().expect("an address"));
        set = AddressSet { v4: one.v4.or(set.v4), v6: one.v6.or(set.v6) };
    }
    set
}
