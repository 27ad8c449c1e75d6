//! When to look at which host again, because time alone may change what it wants.
//!
//! A queue of the hosts that have something to wait for: few, however many hosts there are. Looking once too often
//! does no harm, so an entry is never put off: whoever looks says anew when the next look is due.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use nicgate_protocol::{Hostname, Timestamp};

use crate::now::Now;

/// When a host is to be looked at, by either clock: what must outlive a restart goes by the wall clock, what waits for
/// something not to happen by the uptime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// By the wall clock.
    pub wall: Option<Timestamp>,
    /// By the uptime.
    pub uptime: Option<Duration>,
}

impl Due {
    /// Whether there is nothing to wait for.
    #[must_use]
    pub fn is_never(self) -> bool {
        self == Self::default()
    }
}

/// The queue.
#[derive(Debug, Default)]
pub struct Agenda {
    by_wall: Lane<Timestamp>,
    by_uptime: Lane<Duration>,
}

impl Agenda {
    /// Enters a host; an earlier entry of it stays.
    pub fn expect(&mut self, hostname: &Hostname, due: Due) {
        if let Some(at) = due.wall {
            self.by_wall.expect(hostname, at);
        }
        if let Some(at) = due.uptime {
            self.by_uptime.expect(hostname, at);
        }
    }

    /// Takes one host that is due.
    pub fn take(&mut self, now: Now) -> Option<Hostname> {
        self.by_wall.take(now.wall).or_else(|| self.by_uptime.take(now.uptime))
    }

    /// How long until the next one is due; `None` when nothing is waited for.
    #[must_use]
    pub fn pause(&self, now: Now) -> Option<Duration> {
        let by_wall = self.by_wall.first().map(|at| at.since(now.wall));
        let by_uptime = self.by_uptime.first().map(|at| at.saturating_sub(now.uptime));
        by_wall.into_iter().chain(by_uptime).min()
    }
}

/// The hosts that wait by one clock.
#[derive(Debug)]
struct Lane<T> {
    order: BTreeSet<(T, Hostname)>,
    entries: HashMap<Hostname, T>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { order: BTreeSet::new(), entries: HashMap::new() }
    }
}

impl<T: Copy + Ord> Lane<T> {
    fn expect(&mut self, hostname: &Hostname, at: T) {
        match self.entries.get(hostname) {
            Some(earlier) if *earlier <= at => return,
            Some(later) => _ = self.order.remove(&(*later, hostname.clone())),
            None => {}
        }
        self.entries.insert(hostname.clone(), at);
        self.order.insert((at, hostname.clone()));
    }

    fn take(&mut self, now: T) -> Option<Hostname> {
        if self.first()? > now {
            return None;
        }
        let (_, hostname) = self.order.pop_first()?;
        self.entries.remove(&hostname);
        Some(hostname)
    }

    fn first(&self) -> Option<T> {
        self.order.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn at(wall: u64, uptime: u64) -> Now {
        Now { wall: Timestamp(wall), uptime: Duration::from_millis(uptime) }
    }

    #[test]
    fn hosts_come_when_they_are_due_each_by_its_clock() {
        let (a, b) = (name("a.home.test"), name("b.home.test"));
        let mut agenda = Agenda::default();
        assert_eq!(agenda.pause(at(0, 0)), None);
        agenda.expect(&a, Due { wall: Some(Timestamp(500)), uptime: None });
        agenda.expect(&b, Due { wall: None, uptime: Some(Duration::from_millis(300)) });
        assert_eq!(agenda.pause(at(100, 100)), Some(Duration::from_millis(200)));
        assert_eq!(agenda.take(at(100, 299)), None);
        assert_eq!(agenda.take(at(100, 300)), Some(b));
        // The wall clock is set; nothing waits for it to come there by itself.
        assert_eq!(agenda.take(at(9999, 300)), Some(a));
        assert_eq!(agenda.take(at(9999, 9999)), None);
    }

    #[test]
    fn an_entry_is_never_put_off_and_stands_once() {
        let host = name("a.home.test");
        let mut agenda = Agenda::default();
        for wall in [500, 900, 300, 400] {
            agenda.expect(&host, Due { wall: Some(Timestamp(wall)), uptime: None });
        }
        assert_eq!(agenda.pause(at(0, 0)), Some(Duration::from_millis(300)));
        assert_eq!(agenda.take(at(300, 0)), Some(host));
        assert_eq!(agenda.take(at(9999, 0)), None);
    }
}
