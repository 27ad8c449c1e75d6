//! How many connections may be open, in all and from one source, and who goes when it is full.
//!
//! A newcomer is not turned away while somebody sits idle: the connection that has been open longest and is not
//! being answered has to leave. So slow connections crowd out each other, and an update that comes in between is
//! served. The table holds at most as many entries as there are seats.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many connections may be open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// In all, over every listener that shares the seats.
    pub in_all: usize,
    /// From one IPv4 address or one IPv6 /64. Trusted proxies are not counted: they speak for many.
    pub per_source: usize,
}

/// An idle TLS connection costs about 24 KiB, so these keep the whole below 100 MiB.
impl Default for Caps {
    fn default() -> Self {
        Self { in_all: 4096, per_source: 256 }
    }
}

/// All seats, shared by the listeners.
#[derive(Debug)]
pub struct Seats {
    caps: Caps,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// In order of arrival.
    taken: BTreeMap<u64, Taken>,
    sources: HashMap<IpAddr, Vec<u64>>,
}

#[derive(Debug)]
struct Taken {
    place: Arc<Place>,
    source: Option<IpAddr>,
}

/// What a connection and the table know of each other.
#[derive(Debug, Default)]
pub(super) struct Place {
    busy: AtomicBool,
    leave: Notify,
}

impl Place {
    /// A request is being answered, or no longer is.
    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// Asks the connection to end.
    pub(super) fn leave(&self) {
        self.leave.notify_one();
    }

    /// Returns when the connection has to end.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
}

/// One connection's seat; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    pub(super) place: Arc<Place>,
}

impl Seats {
    /// Empty seats.
    #[must_use]
    pub fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, table: Mutex::default() })
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.table().taken.len()
    }

    /// A seat that counts for nobody yet; `None` when all are taken and everybody is being answered.
    pub(super) fn take(self: &Arc<Self>) -> Option<Seat> {
        let mut table = self.table();
        if table.taken.len() >= self.caps.in_all {
            let (&idle, _) = table.taken.iter().find(|(_, taken)| !taken.place.is_busy())?;
            table.send_away(idle);
        }
        let number = table.next;
        table.next += 1;
        let place = Arc::new(Place::default());
        table.taken.insert(number, Taken { place: Arc::clone(&place), source: None });
        drop(table);
        Some(Seat { seats: Arc::clone(self), number, place })
    }

    /// Asks everybody to leave: the gateway stops.
    pub(super) fn dismiss(&self) {
        for taken in self.table().taken.values() {
            taken.place.leave();
        }
    }

    /// The table is whole after every step, so a panic elsewhere cannot have spoiled it.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn send_away(&mut self, number: u64) {
        if let Some(taken) = self.remove(number) {
            taken.place.leave();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Taken> {
        let taken = self.taken.remove(&number)?;
        if let Some(source) = taken.source
            && let Some(numbers) = self.sources.get_mut(&source)
        {
            numbers.retain(|&other| other != number);
            if numbers.is_empty() {
                self.sources.remove(&source);
            }
        }
        Some(taken)
    }
}

impl Seat {
    /// Counts the seat for a peer; `false` when that source has its share and everybody in it is being answered.
    pub(super) fn count_for(&self, peer: IpAddr) -> bool {
        let source = source_of(peer);
        let mut table = self.seats.table();
        let numbers = table.sources.get(&source).map_or(&[][..], Vec::as_slice);
        if numbers.len() >= self.seats.caps.per_source {
            let is_idle = |number: &&u64| table.taken.get(*number).is_some_and(|taken| !taken.place.is_busy());
            let Some(&idle) = numbers.iter().find(is_idle) else { return false };
            table.send_away(idle);
        }
        // Nobody: the seat was given to another in the meantime, and this connection has been told to leave.
        if let Some(taken) = table.taken.get_mut(&self.number) {
            taken.source = Some(source);
            table.sources.entry(source).or_default().push(self.number);
        }
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.table().remove(self.number);
    }
}

/// What counts as one source: an IPv4 address, or the /64 that a household gets of IPv6.
fn source_of(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Whether the connection was told to leave.
    fn must_leave(seat: &Seat) -> bool {
        let mut leave = std::pin::pin!(seat.place.asked_to_leave());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        leave.as_mut().poll(&mut cx).is_ready()
    }

    #[test]
    fn the_longest_idle_goes_when_all_seats_are_taken() {
        let seats = Seats::new(Caps { in_all: 3, per_source: 3 });
        let held = [(); 3].map(|()| seats.take().unwrap());
        held[0].place.set_busy(true);
        let newcomer = seats.take().unwrap();
        assert!(!must_leave(&held[0]) && must_leave(&held[1]) && !must_leave(&held[2]) && !must_leave(&newcomer));
        assert_eq!(seats.taken(), 3);
        drop(held);
        assert_eq!(seats.taken(), 1);
    }

    #[test]
    fn nobody_who_is_being_answered_is_sent_away() {
        let seats = Seats::new(Caps { in_all: 1, per_source: 1 });
        let held = seats.take().unwrap();
        held.place.set_busy(true);
        assert!(seats.take().is_none());
        held.place.set_busy(false);
        assert!(seats.take().is_some());
    }

    #[test]
    fn one_source_crowds_out_itself_alone() {
        let seats = Seats::new(Caps { in_all: 10, per_source: 2 });
        let sit = |text: &str| {
            let seat = seats.take().unwrap();
            assert!(seat.count_for(peer(text)));
            seat
        };
        let first = sit("2001:db8::1");
        let second = sit("2001:db8::2");
        let other = sit("2001:db8:0:1::1");
        let third = sit("2001:db8::3");
        assert!(must_leave(&first) && !must_leave(&second) && !must_leave(&other) && !must_leave(&third));
        second.place.set_busy(true);
        third.place.set_busy(true);
        assert!(!seats.take().unwrap().count_for(peer("2001:db8::4")));
        drop((second, third));
        assert!(seats.take().unwrap().count_for(peer("2001:db8::5")));
    }

    #[test]
    fn the_table_keeps_nothing_of_those_who_left() {
        let seats = Seats::new(Caps { in_all: 4, per_source: 1 });
        for number in 0..100u32 {
            let seat = seats.take().unwrap();
            assert!(seat.count_for(IpAddr::from(number.to_be_bytes())));
        }
        let table = seats.table();
        assert!(table.taken.is_empty() && table.sources.is_empty());
    }
}
