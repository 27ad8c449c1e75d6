//! Everything the store knows, in memory: reads never touch the disk, and go on while it is in trouble.
//!
//! A million hosts cost about 250 bytes each: 46 for a slot of the table, 112 for the state, 48 for the name,
//! 18 for its place in the sorted list; a provider's confirmation comes on top (100 bytes and its ids).
//! Locks are held for the length of a look-up, and none is taken while another is held.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use nicgate_logic::state::HostState;
use nicgate_protocol::{DeviceId, Hostname};

use super::{Committed, StoredDevice};

/// Parts of the table, each under its own lock: two cores rarely meet.
const SHARDS: usize = 64;

type Shard = HashMap<Hostname, Box<HostState>>;
type Observer = Box<dyn Fn(&Committed<'_>) + Send>;

/// What is durable, and beside it what providers confirmed a moment ago.
pub(super) struct Memory {
    pub(super) hosts: Hosts,
    devices: RwLock<BTreeMap<DeviceId, StoredDevice>>,
    key_fingerprint: Mutex<Option<[u8; 16]>>,
    number: AtomicU64,
    trouble: Mutex<Option<String>>,
    observers: Mutex<Vec<Observer>>,
}

impl Memory {
    /// What was read at the start.
    pub(super) fn new(
        hosts: Hosts,
        devices: BTreeMap<DeviceId, StoredDevice>,
        key_fingerprint: Option<[u8; 16]>,
        number: u64,
    ) -> Self {
        Self {
            hosts,
            devices: RwLock::new(devices),
            key_fingerprint: Mutex::new(key_fingerprint),
            number: AtomicU64::new(number),
            trouble: Mutex::new(None),
            observers: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    pub(super) fn set_number(&self, number: u64) {
        self.number.store(number, Ordering::Release);
    }

    pub(super) fn device(&self, id: &DeviceId) -> Option<StoredDevice> {
        read(&self.devices).get(id).cloned()
    }

    pub(super) fn with_device<T>(&self, id: &DeviceId, look: impl FnOnce(&StoredDevice) -> T) -> Option<T> {
        read(&self.devices).get(id).map(look)
    }

    pub(super) fn devices(&self) -> Vec<StoredDevice> {
        read(&self.devices).values().cloned().collect()
    }

    pub(super) fn put_device(&self, device: StoredDevice) {
        write(&self.devices).insert(device.id.clone(), device);
    }

    pub(super) fn key_fingerprint(&self) -> Option<[u8; 16]> {
        *lock(&self.key_fingerprint)
    }

    pub(super) fn set_key_fingerprint(&self, fingerprint: [u8; 16]) {
        *lock(&self.key_fingerprint) = Some(fingerprint);
    }

    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *lock(&self.trouble) = trouble;
    }

    pub(super) fn follow(&self, observer: Observer) {
        lock(&self.observers).push(observer);
    }

    pub(super) fn announce(&self, committed: &Committed<'_>) {
        for observer in &*lock(&self.observers) {
            observer(committed);
        }
    }
}

/// The hosts: a table for looking up, and a sorted list of their names for turning pages.
pub(super) struct Hosts {
    shards: Vec<RwLock<Shard>>,
    names: RwLock<BTreeSet<Hostname>>,
    hasher: RandomState,
}

impl Hosts {
    /// An empty table with room for `expected` hosts.
    pub(super) fn with_capacity(expected: usize) -> Self {
        let shard = || RwLock::new(Shard::with_capacity(expected / SHARDS));
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), names: RwLock::default(), hasher: RandomState::new() }
    }

    /// Fills an empty table; ends with the first error.
    pub(super) fn load<E>(&mut self, hosts: impl Iterator<Item = Result<(Hostname, HostState), E>>) -> Result<(), E> {
        let mut names = Vec::with_capacity(hosts.size_hint().0);
        for host in hosts {
            let (name, state) = host?;
            names.push(name.clone());
            write(self.shard(name.as_str())).insert(name, Box::new(state));
        }
        // Made in one go from a list that is sorted already: its nodes are full then.
        self.names = RwLock::new(names.into_iter().collect());
        Ok(())
    }

    /// Looks at one host, under the lock of its shard: `look` must not ask the store for anything.
    pub(super) fn with<T>(&self, name: &str, look: impl FnOnce(&HostState) -> T) -> Option<T> {
        read(self.shard(name)).get(name).map(|state| look(state))
    }

    /// Adds or replaces a host.
    pub(super) fn put(&self, name: &Hostname, mut state: HostState) {
        // A list that grew by `push` holds room for four.
        state.applied.shrink_to_fit();
        let is_new = match write(self.shard(name.as_str())).entry(name.clone()) {
            Entry::Occupied(mut slot) => {
                **slot.get_mut() = state;
                false
            }
            Entry::Vacant(slot) => {
                slot.insert(Box::new(state));
                true
            }
        };
        if is_new {
            write(&self.names).insert(name.clone());
        }
    }

    /// Changes a host in place, an unknown one from its default.
    pub(super) fn change(&self, name: &Hostname, change: impl FnOnce(&mut HostState)) {
        let mut state = self.with(name.as_str(), HostState::clone).unwrap_or_default();
        change(&mut state);
        self.put(name, state);
    }

    /// Up to `limit` hosts that sort after `after`.
    pub(super) fn after(&self, after: Option<&str>, limit: usize) -> Vec<(Hostname, HostState)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names: Vec<Hostname> =
            read(&self.names).range::<str, _>((from, Bound::Unbounded)).take(limit).cloned().collect();
        let with_state = |name: Hostname| {
            let state = self.with(name.as_str(), HostState::clone)?;
            Some((name, state))
        };
        names.into_iter().filter_map(with_state).collect()
    }

    /// Looks at every host, in no order, under the lock of one shard at a time.
    pub(super) fn for_each(&self, mut look: impl FnMut(&Hostname, &HostState)) {
        for shard in &self.shards {
            #[expect(clippy::disallowed_methods, reason = "callers are promised no order")]
            for (name, state) in read(shard).iter() {
                look(name, state);
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        read(&self.names).len()
    }

    /// A number that spreads names evenly, the same for one name as long as the program runs.
    pub(super) fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    fn shard(&self, name: &str) -> &RwLock<Shard> {
        // The upper bits: the lower ones choose the stripe of turns.
        &self.shards[(self.hash(name) >> 32) as usize % SHARDS]
    }
}

/// Nothing panics half-way through a change under these locks, so what a poisoned one guards is whole.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use nicgate_protocol::Timestamp;

    use super::*;

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repeat() {
        let hosts = Hosts::with_capacity(0);
        for number in (0..250).rev() {
            let state = HostState { ordered_at: Timestamp(number), ..HostState::default() };
            hosts.put(&name(&format!("h{number:03}.home.test")), state);
        }
        let mut seen = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = hosts.after(after.as_deref(), 100);
            let Some((last, _)) = page.last() else { break };
            after = Some(last.to_string());
            seen.extend(page.into_iter().map(|(_, state)| state.ordered_at.0));
        }
        assert_eq!(seen, (0..250).collect::<Vec<_>>());
        assert_eq!(hosts.len(), 250);
    }

    #[test]
    fn a_page_may_begin_after_a_name_that_is_gone() {
        let hosts = Hosts::with_capacity(0);
        hosts.put(&name("c.home.test"), HostState::default());
        assert_eq!(hosts.after(Some("b.home.test"), 10).len(), 1);
        assert_eq!(hosts.after(Some("c.home.test"), 10).len(), 0);
    }

    #[test]
    fn a_million_hosts_cost_less_than_four_hundred_bytes_each() {
        let hosts = 1_000_000;
        // A table's size is a power of two, at most seven eighths of it taken; each slot has a byte of its own.
        let slots = SHARDS * (hosts / SHARDS * 8 / 7).next_power_of_two();
        let table = slots * (size_of::<(Hostname, Box<HostState>)>() + 1) / hosts;
        // Allocations come in steps of 16 bytes, eight of them for the allocator; an `Arc` counts with sixteen.
        let allocated = |size: usize| (size + 8).next_multiple_of(16);
        let name = allocated(16 + "host-0000000.home.test".len());
        // Inserted one by one, the nodes of the sorted list may be half full.
        let sorted = 2 * size_of::<Hostname>();
        let each = table + name + allocated(size_of::<HostState>()) + sorted;
        eprintln!("{each} bytes per host; 100,000 hosts: {} MB", each / 10);
        assert!(each < 400, "{each}");
    }

    #[test]
    fn every_host_is_looked_at_once() {
        let mut hosts = Hosts::with_capacity(1000);
        let loaded = (0..1000).map(|number| Ok::<_, ()>((name(&format!("h{number}.home.test")), HostState::default())));
        hosts.load(loaded).unwrap();
        let mut seen = BTreeSet::new();
        hosts.for_each(|name, _| assert!(seen.insert(name.clone())));
        assert_eq!(seen.len(), 1000);
    }
}
