//! Rate limits (GCRA, `governor`), fed with our own clock: per source without credentials, per source with
//! wrong ones, per device, per host and family for real changes, and per one-time code that was used.
//!
//! Strangers choose their sources, so those share a fixed number of budgets by hash; devices and hosts are the
//! operator's, so each has its own. Bans are not made here.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use nicgate_protocol::{DeviceId, Family, Hostname};

use crate::now::Now;

/// How many budgets all strangers of the world share, as a mask: 65,536, at 61 bytes each 4 MB at the most.
const STRANGERS: u64 = 0xffff;

/// A clock that stands still until it is fed.
#[derive(Clone, Debug, Default)]
pub(crate) struct FedClock(Arc<AtomicU64>);

impl FedClock {
    pub(crate) fn feed(&self, now: Now) {
        let nanos = u64::try_from(now.uptime.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Clock for FedClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

/// Budgets of one kind, keyed by a hash.
struct Budgets {
    limiter: RateLimiter<u64, DashMapStateStore<u64>, FedClock, NoOpMiddleware<Nanos>>,
    hasher: RandomState,
    mask: u64,
}

impl Budgets {
    fn new(burst: u32, refill_every: Duration, mask: u64, clock: &FedClock) -> Self {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(refill_every).unwrap_or(Quota::per_second(burst)).allow_burst(burst);
        Self { limiter: RateLimiter::dashmap_with_clock(quota, clock.clone()), hasher: RandomState::new(), mask }
    }

    /// Takes one from the budget of `key`, or says how long until there is one.
    fn take(&self, key: impl Hash, clock: &FedClock) -> Result<(), Duration> {
        let hash = self.hasher.hash_one(key) & self.mask;
        self.limiter.check_key(&hash).map_err(|full| full.wait_time_from(clock.now()))
    }
}

/// All limits of a gateway.
pub struct Limits {
    clock: FedClock,
    challenged: Budgets,
    wrong: Budgets,
    device: Budgets,
    change: Budgets,
    repeated: Budgets,
    told: Budgets,
}

impl Default for Limits {
    fn default() -> Self {
        let clock = FedClock::default();
        Self {
            // A first request without credentials is how wget and others speak.
            challenged: Budgets::new(120, Duration::from_millis(500), STRANGERS, &clock),
            // One misconfigured ddclient fails every five minutes and must never end here.
            wrong: Budgets::new(20, Duration::from_secs(6), STRANGERS, &clock),
            // inadyn sends up to 50 hosts one by one, and a refresh that changes nothing is no abuse.
            device: Budgets::new(600, Duration::from_millis(100), u64::MAX, &clock),
            // Two families and a dummy-then-real pair within a second are normal.
            change: Budgets::new(30, Duration::from_secs(5), u64::MAX, &clock),
            // Somebody whose answers get lost asks a few times.
            repeated: Budgets::new(10, Duration::from_secs(30), u64::MAX, &clock),
            told: Budgets::new(1, Duration::from_secs(60), u64::MAX, &clock),
            clock,
        }
    }
}

impl Limits {
    /// A request without any credentials.
    ///
    /// # Errors
    /// How long until the next one is taken; so for all of them.
    pub fn challenge(&self, peer: IpAddr, now: Now) -> Result<(), Duration> {
        self.clock.feed(now);
        self.challenged.take(source(peer), &self.clock)
    }

    /// A wrong credential.
    ///
    /// # Errors
    /// The source has spent its budget.
    pub fn wrong(&self, peer: IpAddr, now: Now) -> Result<(), Duration> {
        self.clock.feed(now);
        self.wrong.take(source(peer), &self.clock)
    }

    /// A request of a proved device.
    ///
    /// # Errors
    /// The device has spent its budget.
    pub fn device(&self, device: &DeviceId, now: Now) -> Result<(), Duration> {
        self.clock.feed(now);
        self.device.take(device, &self.clock)
    }

    /// A real change of a host's address; `nochg` costs nothing.
    ///
    /// # Errors
    /// The host has spent its budget for that family.
    pub fn change(&self, hostname: &Hostname, family: Family, now: Now) -> Result<(), Duration> {
        self.clock.feed(now);
        self.change.take((hostname, family), &self.clock)
    }

    /// The same answer once more for a one-time code that was used. Only for a right one: of those there are no more
    /// than devices.
    ///
    /// # Errors
    /// The code has spent its budget.
    pub fn repeat(&self, code: &[u8; 32], now: Now) -> Result<(), Duration> {
        self.clock.feed(now);
        self.repeated.take(code, &self.clock)
    }

    /// A warning that a right one-time code came and opened nothing: one a minute for each code.
    ///
    /// # Errors
    /// It was told within this minute.
    pub fn tell_of_code(&self, code: &[u8; 32], now: Now) -> Result<(), Duration> {
        self.clock.feed(now);
        self.told.take(code, &self.clock)
    }

    /// Forgets budgets that are full again; to be called every minute or so.
    pub fn tidy(&self, now: Now) {
        self.clock.feed(now);
        for budgets in [&self.challenged, &self.wrong, &self.device, &self.change, &self.repeated, &self.told] {
            budgets.limiter.retain_recent();
            budgets.limiter.shrink_to_fit();
        }
    }
}

/// What counts as one source: an IPv4 address, an IPv6 /64.
pub(crate) fn source(peer: IpAddr) -> u64 {
    match peer {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use nicgate_protocol::Timestamp;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now { wall: Timestamp(0), uptime: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_budget_is_spent_and_comes_back() {
        let limits = Limits::default();
        let peer = IpAddr::from([192, 0, 2, 1]);
        let taken = (0..100).filter(|_| limits.wrong(peer, at(0)).is_ok()).count();
        assert_eq!(taken, 20);
        assert!(limits.wrong(IpAddr::from([192, 0, 2, 2]), at(0)).is_ok());
        assert!(limits.wrong(peer, at(5)).is_err());
        assert!(limits.wrong(peer, at(7)).is_ok());
    }

    #[test]
    fn an_ipv6_source_is_its_network() {
        let limits = Limits::default();
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        while limits.wrong(peer("2001:db8::1"), at(0)).is_ok() {}
        assert!(limits.wrong(peer("2001:db8::2:3:4:5"), at(0)).is_err());
        assert!(limits.wrong(peer("2001:db8:0:1::1"), at(0)).is_ok());
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let limits = Limits::default();
        for number in 0..300_000u32 {
            let _ = limits.challenge(IpAddr::from(number.to_be_bytes()), at(0));
        }
        assert!(limits.challenged.limiter.len() <= 65_536);
        limits.tidy(at(3600));
        assert_eq!(limits.challenged.limiter.len(), 0);
    }

    #[test]
    fn a_dummy_then_real_pair_of_both_families_is_no_haste() {
        let limits = Limits::default();
        let hostname = Hostname::parse("a.home.test").unwrap();
        for _ in 0..4 {
            for family in Family::BOTH {
                assert!(limits.change(&hostname, family, at(0)).is_ok());
            }
        }
    }
}
