//! Changes by hand: which host is read next, and what differs.
//!
//! A provider that is to be watched is read in rounds. A round takes all its hosts, one after the other, evenly spread
//! over the time it may take, so that the reading is never felt. What is done about a difference is decided elsewhere.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nicgate_protocol::{AddressSet, Family, Hostname};

use crate::Now;

/// Two readings of one provider are at least so far apart.
const SHORTEST_PACE: Duration = Duration::from_millis(100);

/// The rounds of all providers that are watched.
#[derive(Debug, Default)]
pub struct Rounds {
    rounds: BTreeMap<Arc<str>, Round>,
}

#[derive(Debug)]
struct Round {
    /// How long a round takes.
    every: Duration,
    /// What is still to be read in this one, the next last.
    hosts: Vec<Hostname>,
    /// Between two readings.
    pace: Duration,
    /// When the next reading, or the next round, begins.
    next_at: Duration,
    /// When the round after this one begins.
    next_round_at: Duration,
}

impl Rounds {
    /// Takes a new list of providers and how long a round of each may take. A round under way goes on; the first one
    /// begins when a round's time has passed.
    pub fn configure(&mut self, watched: &[(Arc<str>, Duration)], now: Now) {
        self.rounds.retain(|name, _| watched.iter().any(|(known, _)| known == name));
        for (name, every) in watched {
            let begins = now.uptime + *every;
            let fresh =
                || Round { every: *every, hosts: Vec::new(), pace: *every, next_at: begins, next_round_at: begins };
            let round = self.rounds.entry(Arc::clone(name)).or_insert_with(fresh);
            if round.every != *every {
                *round = fresh();
            }
        }
    }

    /// The host to read now. `hosts_of` gives the hosts of a provider when a round begins. Ask until nothing comes.
    pub fn next(&mut self, now: Now, hosts_of: impl Fn(&str) -> Vec<Hostname>) -> Option<(Arc<str>, Hostname)> {
        for (name, round) in &mut self.rounds {
            if now.uptime < round.next_at {
                continue;
            }
            if round.hosts.is_empty() && now.uptime >= round.next_round_at {
                round.hosts = hosts_of(name);
                round.hosts.reverse();
                let count = u32::try_from(round.hosts.len()).unwrap_or(u32::MAX);
                round.pace = (round.every / count.max(1)).max(SHORTEST_PACE);
                round.next_round_at = now.uptime + round.every;
            }
            let Some(hostname) = round.hosts.pop() else {
                round.next_at = round.next_round_at;
                continue;
            };
            // A round that was held up is followed by the next one without a pause.
            round.next_round_at = round.next_round_at.max(now.uptime + round.pace);
            round.next_at = if round.hosts.is_empty() { round.next_round_at } else { now.uptime + round.pace };
            return Some((Arc::clone(name), hostname));
        }
        None
    }

    /// Puts a host back that could not be read, for as long as `wait`.
    pub fn postpone(&mut self, provider: &str, hostname: Hostname, wait: Duration, now: Now) {
        if let Some(round) = self.rounds.get_mut(provider) {
            round.hosts.push(hostname);
            round.next_at = now.uptime + wait.max(SHORTEST_PACE);
        }
    }

    /// The uptime at which [`Self::next`] may have something again.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        self.rounds.values().map(|round| round.next_at).min()
    }
}

/// The families in which something else stands than was confirmed. Addresses beside it are somebody's intention and no
/// difference, and neither is a family that was never written from here.
#[must_use]
pub fn differing(confirmed: AddressSet, standing: &[IpAddr]) -> Vec<Family> {
    let is_gone = |family: &Family| confirmed.of(*family).is_some_and(|address| !standing.contains(&address));
    Family::BOTH.into_iter().filter(is_gone).collect()
}

#[cfg(test)]
mod tests {
    use nicgate_protocol::Timestamp;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now { wall: Timestamp(0), uptime: Duration::from_secs(seconds) }
    }

    fn hosts(count: usize) -> Vec<Hostname> {
        (0..count).map(|number| Hostname::parse(&format!("h{number}.home.test")).unwrap()).collect()
    }

    #[test]
    fn a_round_reads_each_host_once_and_takes_its_time() {
        let mut rounds = Rounds::default();
        rounds.configure(&[("cloud".into(), Duration::from_secs(600))], at(0));
        let mut read = Vec::new();
        for second in 0..1800 {
            while let Some((_, hostname)) = rounds.next(at(second), |_| hosts(6)) {
                read.push((second, hostname.to_string()));
            }
            assert!(rounds.wake_at().unwrap() > at(second).uptime);
        }
        let times: Vec<u64> = read.iter().map(|(second, _)| *second).collect();
        assert_eq!(times, [600, 700, 800, 900, 1000, 1100, 1200, 1300, 1400, 1500, 1600, 1700]);
        assert_eq!(read[0].1, "h0.home.test");
        assert_eq!(read[11].1, "h5.home.test");
    }

    #[test]
    fn a_host_that_could_not_be_read_comes_again_and_an_empty_provider_waits() {
        let mut rounds = Rounds::default();
        rounds.configure(&[("cloud".into(), Duration::from_secs(60))], at(0));
        assert!(rounds.next(at(60), |_| Vec::new()).is_none());
        assert_eq!(rounds.wake_at(), Some(Duration::from_secs(120)));
        let (_, first) = rounds.next(at(120), |_| hosts(2)).unwrap();
        rounds.postpone("cloud", first.clone(), Duration::from_secs(7), at(120));
        assert!(rounds.next(at(126), |_| hosts(2)).is_none());
        assert_eq!(rounds.next(at(127), |_| hosts(2)).unwrap().1, first);
    }

    #[test]
    fn a_new_configuration_keeps_what_did_not_change() {
        let mut rounds = Rounds::default();
        let watch = |seconds| [(Arc::from("cloud"), Duration::from_secs(seconds))];
        rounds.configure(&watch(60), at(0));
        rounds.configure(&watch(60), at(30));
        assert_eq!(rounds.wake_at(), Some(Duration::from_secs(60)));
        rounds.configure(&watch(90), at(30));
        assert_eq!(rounds.wake_at(), Some(Duration::from_secs(120)));
        rounds.configure(&[], at(30));
        assert_eq!(rounds.wake_at(), None);
    }

    #[test]
    fn only_what_was_written_from_here_can_drift() {
        let confirmed = |text: &str| AddressSet::from(text.parse::<IpAddr>().unwrap());
        let standing = |text: &str| text.split_whitespace().map(|word| word.parse().unwrap()).collect::<Vec<IpAddr>>();
        for (was, is, families) in [
            ("192.0.2.1", "192.0.2.1", &[][..]),
            ("192.0.2.1", "192.0.2.1 192.0.2.9 2001:db8::1", &[]),
            ("192.0.2.1", "192.0.2.9", &[Family::V4]),
            ("192.0.2.1", "", &[Family::V4]),
            ("2001:db8::1", "192.0.2.9", &[Family::V6]),
        ] {
            assert_eq!(differing(confirmed(was), &standing(is)), families, "{was}: {is}");
        }
        assert!(differing(AddressSet::EMPTY, &standing("192.0.2.9")).is_empty());
    }
}
