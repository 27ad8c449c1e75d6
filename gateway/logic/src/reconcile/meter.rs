//! Keeps the budget of an account, by GCRA (`governor`).
//!
//! A plain token bucket of `calls` that refills within `per` lets nearly twice as many through right after a rest.
//! Here a burst and its refill share one window, so that *no* interval of the length `per` sees more than `calls`.
//!
//! Counted where calls leave, from the start of the program: what an earlier run has spent is not known, and then the
//! provider's own "too many" is what holds us back.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::Now;
use crate::budget::{Budget, Window};
use crate::limits::FedClock;

/// The longest honest conversations with a provider have about so many calls.
pub(super) const LONGEST_CONVERSATION: u32 = 16;
/// How long a conversation waits for its next call, at most. Whatever a budget holds back for longer is better begun
/// again later.
const PATIENCE: Duration = Duration::from_secs(30);

/// What may go at once after a rest: half. The other half is the refill.
fn burst(window: &Window) -> u32 {
    window.calls.max(1).div_ceil(2)
}

/// The time in which one call comes back. Any interval of the length `per` sees at most `burst + per / pace` calls,
/// rounded down; this is the shortest pace for which that is `calls`.
fn pace(window: &Window) -> Duration {
    window.per / (window.calls.max(1) - burst(window) + 1) + Duration::from_nanos(1)
}

/// How long a conversation under this budget waits for its next call before it is given up. A window of which a burst
/// holds less than a conversation is waited for however long that takes: beginning again would not help.
pub(super) fn patience(budget: &Budget) -> Duration {
    let is_narrow = |window: &&Window| burst(window) < LONGEST_CONVERSATION;
    budget.windows.iter().filter(is_narrow).map(pace).fold(PATIENCE, Duration::max)
}

/// Keeps a [`Budget`].
#[derive(Debug)]
pub(super) struct Meter {
    budget: Budget,
    gauges: Vec<Gauge>,
    clock: FedClock,
}

impl Meter {
    /// A full budget. The clock may be fed by others as well.
    pub(super) fn new(budget: Budget, clock: &FedClock) -> Self {
        let gauges = budget.windows.iter().map(|window| Gauge::new(window, clock)).collect();
        Self { budget, gauges, clock: clock.clone() }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// How long until `calls` may be made at once, or as many of them as can ever be; zero when they may be now.
    /// Takes nothing.
    pub(super) fn wait_for(&self, calls: u32, now: Now) -> Duration {
        self.clock.feed(now);
        self.gauges.iter().map(|gauge| gauge.wait_for(calls, &self.clock)).max().unwrap_or(Duration::ZERO)
    }

    /// Takes one call from every window, or from none.
    pub(super) fn take(&self, now: Now) -> Result<(), Duration> {
        let wait = self.wait_for(1, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        for gauge in &self.gauges {
            gauge.tally.accept();
        }
        Ok(())
    }
}

/// One window.
#[derive(Debug)]
struct Gauge {
    limiter: RateLimiter<NotKeyed, Tally, FedClock, NoOpMiddleware<Nanos>>,
    tally: Tally,
    burst: u32,
}

impl Gauge {
    fn new(window: &Window, clock: &FedClock) -> Self {
        let burst = NonZeroU32::new(burst(window)).unwrap_or(NonZeroU32::MIN);
        // A pace is never zero, see there.
        let quota = Quota::with_period(pace(window)).unwrap_or(Quota::per_second(burst)).allow_burst(burst);
        let tally = Tally::default();
        Self { limiter: RateLimiter::new(quota, tally.clone(), clock.clone()), tally, burst: burst.get() }
    }

    fn wait_for(&self, calls: u32, clock: &FedClock) -> Duration {
        let calls = NonZeroU32::new(calls.min(self.burst)).unwrap_or(NonZeroU32::MIN);
        match self.limiter.check_n(calls) {
            Ok(Ok(())) | Err(_) => Duration::ZERO, // more than the burst was not asked for
            Ok(Err(full)) => full.wait_time_from(clock.now()),
        }
    }
}

/// Where a limiter stands, and where its last decision would bring it: a call is taken from all windows or from none,
/// so a decision stays a proposal until it is accepted.
#[derive(Clone, Debug, Default)]
struct Tally(Arc<Standings>);

#[derive(Debug, Default)]
struct Standings {
    accepted: AtomicU64,
    proposed: AtomicU64,
}

impl Tally {
    fn accept(&self) {
        self.0.accepted.store(self.0.proposed.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl StateStore for Tally {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // Zero, long past, and never asked are the same to GCRA.
        let (verdict, proposed) = decide(Some(Nanos::from(self.0.accepted.load(Ordering::Relaxed))))?;
        self.0.proposed.store(proposed.as_u64(), Ordering::Relaxed);
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use nicgate_protocol::Timestamp;

    use super::super::dice::Dice;
    use super::*;

    const DESEC: &[Window] =
        &[Window::new(2, 1), Window::new(15, 60), Window::new(100, 3600), Window::new(300, 86_400)];

    fn at(uptime: Duration) -> Now {
        Now { wall: Timestamp(0), uptime }
    }

    fn only(window: Window) -> Budget {
        Budget { windows: vec![window].into() }
    }

    /// The most calls that any closed interval of this length saw.
    fn most_within(calls: &[Duration], per: Duration) -> usize {
        let mut from = 0;
        let mut most = 0;
        for (to, call) in calls.iter().enumerate() {
            while *call - calls[from] > per {
                from += 1;
            }
            most = most.max(to + 1 - from);
        }
        most
    }

    #[test]
    fn no_interval_sees_more_than_its_window_allows_however_one_asks() {
        let single: Vec<Vec<Window>> =
            [(1, 1), (1, 60), (2, 1), (3, 7), (5, 60), (9, 60), (15, 60), (1200, 300), (7, 86_400)]
                .iter()
                .map(|(calls, per)| vec![Window::new(*calls, *per)])
                .collect();
        for (seed, windows) in single.into_iter().chain([DESEC.to_vec()]).cycle().take(60).enumerate() {
            let mut dice = Dice(seed as u64);
            let meter = Meter::new(Budget { windows: windows.clone().into() }, &FedClock::default());
            let mut now = Duration::from_millis(dice.below(10_000));
            let mut calls = Vec::new();
            for _ in 0..4000 {
                // Greedy, patient, idle for a while, or at the very moment that was named.
                match (meter.take(at(now)), dice.below(100)) {
                    (Ok(()), _) => calls.push(now),
                    (Err(wait), 0..60) => now += wait,
                    (Err(wait), 60..98) => now += wait.mul_f64(dice.below(1500) as f64 / 1000.0),
                    (Err(_), _) => now += windows[0].per * u32::try_from(dice.below(3)).unwrap(),
                }
                if dice.below(50) == 0 {
                    now += Duration::from_nanos(dice.below(2_000_000_000));
                }
            }
            for window in &windows {
                let most = most_within(&calls, window.per);
                assert!(most <= window.calls as usize, "seed {seed}: {most} in {window:?}");
            }
        }
    }

    #[test]
    fn a_budget_can_be_used_nearly_whole() {
        for (calls, per) in [(1, 1), (2, 1), (15, 60), (1200, 300), (300, 86_400)] {
            let window = Window::new(calls, per);
            let meter = Meter::new(only(window), &FedClock::default());
            let (mut now, mut taken) = (Duration::ZERO, 0u32);
            while now < window.per * 100 {
                match meter.take(at(now)) {
                    Ok(()) => taken += 1,
                    Err(wait) => now += wait,
                }
            }
            // Half of it at once, and in the long run at least half of it.
            assert!(taken >= calls.div_ceil(2) * 100, "{window:?}: {taken}");
        }
    }

    #[test]
    fn a_refusal_takes_nothing_from_the_windows_that_have_room() {
        let budget = Budget { windows: vec![Window::new(4, 1), Window::new(8, 3600)].into() };
        let meter = Meter::new(budget, &FedClock::default());
        let mut now = Duration::ZERO;
        for _ in 0..8 {
            while let Err(wait) = meter.take(at(now)) {
                now += wait;
            }
        }
        now += Duration::from_secs(10);
        for _ in 0..100 {
            assert!(meter.take(at(now)).is_err());
        }
        assert_eq!(meter.gauges[0].wait_for(2, &meter.clock), Duration::ZERO);
    }

    #[test]
    fn a_conversation_fits_into_a_long_window_or_is_waited_for() {
        let hours = Meter::new(Budget::of(DESEC), &FedClock::default());
        assert!(hours.gauges[2..].iter().all(|gauge| gauge.burst >= LONGEST_CONVERSATION));
        assert_eq!(patience(&Budget::of(DESEC)), PATIENCE);
        assert!(patience(&only(Window::new(1, 60))) > Duration::from_secs(60));
    }
}
