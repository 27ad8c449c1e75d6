//! What must outlive a crash: desired and applied state of every host, devices by command, nonces used ahead of
//! time. The contract; the rest of the gateway does not know what lies below.
//!
//! *Recorded* means synced to disk: [`Turn::record`] comes back after that, and memory changes after that. Reads are
//! answered from memory alone. When the disk fails, records fail, reads go on, and the first record after it has
//! recovered succeeds; nobody needs to restart anything.
//!
//! Decides nothing: whether an update is newer, allowed or a change is `nicgate-logic`'s concern. Knows no clock:
//! `now` is handed in.

mod fault;
mod file;
mod journal;
mod memory;
mod nonces;
mod row;

use std::path::Path;
use std::sync::{Arc, Mutex};

use nicgate_logic::device::{Allowances, Generation, Profile};
use nicgate_logic::enrollment::Invite;
use nicgate_logic::state::{Applied, HostState, SignatureId};
use nicgate_protocol::{AddressSet, DeviceId, HostPattern, Hostname, Timestamp};
use tokio::sync::{Mutex as TurnMutex, OwnedMutexGuard};

use self::file::{File, Ownership, Rows};
use self::journal::{Entry, Journal};
use self::memory::{Memory, lock};
use self::nonces::{Nonces, Rejected};

pub use self::fault::StoreError;

/// Turns are given per host, but counted per stripe: two hosts of one stripe wait for each other, rarely and briefly.
const STRIPES: usize = 4096;

/// The store. Shared by reference or `Arc`; dropping it writes what waits and closes it.
pub struct Store {
    memory: Arc<Memory>,
    journal: Journal,
    stripes: Vec<Arc<TurnMutex<()>>>,
    devices: Arc<TurnMutex<()>>,
    nonces: Mutex<Nonces>,
}

/// One durable commit, as observers hear of it.
#[derive(Clone, Copy, Debug)]
pub struct Committed<'a> {
    /// Its number; each is higher by one than the one before.
    pub number: u64,
    /// The hosts whose desired addresses changed with it; none of them twice.
    pub changes: &'a [(Hostname, AddressSet)],
}

/// The right to decide about one host; nobody else decides about it meanwhile. Dropping it changes nothing.
#[must_use]
pub struct Turn<'a> {
    store: &'a Store,
    hostname: Hostname,
    state: HostState,
    guard: OwnedMutexGuard<()>,
}

/// The right to change devices; nobody else changes one meanwhile. It ends when it is dropped and nothing that was put
/// with it waits for the disk any more.
#[must_use]
pub struct DeviceTurn(Arc<OwnedMutexGuard<()>>);

/// What was recorded and is now to be pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The host.
    pub hostname: Hostname,
    /// The commit that made it durable.
    pub number: u64,
    /// What is to be published.
    pub desired: AddressSet,
}

/// How a signed request stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The very same request was seen before; first then, to the second. A claim that was read from disk has no
    /// such time, and gives the earliest there is.
    Again(Timestamp),
    /// Nobody used the nonce yet.
    First,
}

/// Why a signed request is not admitted.
#[derive(Clone, Debug)]
pub enum AdmitError {
    /// The disk did not take it.
    Fault(StoreError),
    /// The replay memory has no room for another nonce: nobody is admitted rather than somebody twice.
    Full,
    /// The nonce came with another signature before.
    Reused,
}

/// What the store keeps of a device: never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDevice {
    /// Its name.
    pub id: DeviceId,
    /// Which secrets hold.
    pub generation: Generation,
    /// What was given by command; `None` for a device of the configuration file that was rotated, and for a
    /// revoked one.
    pub registration: Option<Registration>,
    /// Its credential was revoked.
    pub is_revoked: bool,
    /// The invitation that was made last, if it still stands for something.
    pub invite: Option<Invite>,
}

/// A device that was added by command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// What it may touch.
    pub patterns: Vec<HostPattern>,
    /// How replies are dressed; `None`: by User-Agent.
    pub profile: Option<Profile>,
    /// What it may do beyond the ordinary.
    pub allowances: Allowances,
}

impl Store {
    /// Opens or makes `nicgate.redb` in `data_dir` (mode 0600, a new folder 0700), reads everything, starts the
    /// writer. Blocks; a million hosts take about a second.
    ///
    /// # Errors
    /// When another process owns it, when it is damaged or newer than this program, when the folder cannot be used.
    pub fn open(data_dir: &Path, now: Timestamp) -> Result<Self, StoreError> {
        let owned = Ownership::take(data_dir)?;
        let file = File::open_or_make(&owned, first_number(now))?;
        let contents = file.read()?;

        // A clock that was set back while we were down must not make old claims look new.
        let mut nonces = Nonces::new(now, now.max(contents.newest), nonces::MOST);
        for (claimed, claim, mark) in contents.claims {
            if now <= claimed + nonces::WINDOW {
                nonces.restore(claim, mark, claimed);
            }
        }
        let memory = Memory::new(contents.hosts, contents.devices, contents.key_fingerprint, contents.number);
        let memory = Arc::new(memory);
        Ok(Self {
            journal: Journal::start(owned, file, Arc::clone(&memory))?,
            memory,
            stripes: (0..STRIPES).map(|_| Arc::default()).collect(),
            devices: Arc::default(),
            nonces: Mutex::new(nonces),
        })
    }

    /// Lets `observer` hear every commit of hosts from now on, in order, before those who waited for it. It is
    /// called on the writer's thread: it must be quick, must not panic and must not wait for the store.
    ///
    /// To start from a whole picture, follow first, then look at [`Self::for_each_host`], both before the first turn.
    pub fn follow(&self, observer: impl Fn(&Committed<'_>) + Send + 'static) {
        self.memory.follow(Box::new(observer));
    }

    /// Runs `work` between two commits, on the writer's thread and under the rules of [`Self::follow`]: whatever it
    /// reads is not overtaken by a commit that observers have heard of before.
    pub fn between_commits(&self, work: impl FnOnce() + Send + 'static) {
        self.journal.send(Entry::Between(Box::new(work)));
    }

    /// The number of the newest durable commit: each that records a host raises it by one. A new store starts at
    /// the seconds since 1970, so that one that replaces a lost one does not go back.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.memory.number()
    }

    /// Waits until nobody else decides about this host. A task holds one turn at a time, and confirms nothing
    /// while it does: it would wait for itself.
    pub async fn turn(&self, hostname: &Hostname) -> Turn<'_> {
        let guard = self.stripe(hostname).lock_owned().await;
        let state = self.host(hostname.as_str()).unwrap_or_default();
        Turn { store: self, hostname: hostname.clone(), state, guard }
    }

    /// What is known about a host; `None` when nothing ever was.
    #[must_use]
    pub fn host(&self, hostname: &str) -> Option<HostState> {
        self.with_host(hostname, HostState::clone)
    }

    /// Looks at a host without copying it. `look` runs under a lock: it must not ask the store for anything.
    pub fn with_host<T>(&self, hostname: &str, look: impl FnOnce(&HostState) -> T) -> Option<T> {
        self.memory.hosts.with(hostname, look)
    }

    /// Up to `limit` hosts that sort after `after`, sorted by name.
    #[must_use]
    pub fn hosts_after(&self, after: Option<&str>, limit: usize) -> Vec<(Hostname, HostState)> {
        self.memory.hosts.after(after, limit)
    }

    /// Looks at every host, in no order. `look` runs under a lock: it must not ask the store for anything.
    pub fn for_each_host(&self, look: impl FnMut(&Hostname, &HostState)) {
        self.memory.hosts.for_each(look);
    }

    /// How many hosts are known.
    #[must_use]
    pub fn host_count(&self) -> usize {
        self.memory.hosts.len()
    }

    /// Keeps what a provider confirmed: in memory at once, on disk with a later commit. Losing it costs one more
    /// call to the provider. Whatever is desired meanwhile stays untouched.
    pub async fn confirm(&self, hostname: &Hostname, applied: Applied) {
        let _guard = self.stripe(hostname).lock_owned().await;
        self.memory.hosts.change(hostname, |state| state.set_applied(applied));
        self.journal.send(Entry::Confirmed(hostname.clone()));
    }

    /// Keeps, durably, that a provider may publish addresses which it has not confirmed; the next confirmation clears
    /// it. Comes back when it is on disk; when the disk does not take it, memory has it, and the disk as soon as it
    /// works again.
    pub async fn doubt(&self, hostname: &Hostname, provider: &str, addresses: AddressSet) {
        // Held until the row is written: a record of this host that overtook it in the queue would be undone by it.
        let _guard = self.stripe(hostname).lock_owned().await;
        let mut is_new = false;
        self.memory.hosts.change(hostname, |state| is_new = state.doubt(provider, addresses));
        if is_new {
            // A store in trouble says so by its own ways.
            let _ = self.journal.commit(|waiter| Entry::Doubted { hostname: hostname.clone(), waiter }).await;
        }
    }

    /// Admits a nonce of a device once. Only for those whose signature held and whose claimed time is within 300 s
    /// of `now`. A claim ahead of `now`, second by second, is made durable first, by each copy of the request before
    /// it may go on: it outlives a restart, while older ones are told apart by [`Self::remembers_since`].
    ///
    /// # Errors
    /// When the nonce came with another signature, when there is no room, when a claim ahead could not be recorded.
    pub async fn admit_once(
        &self,
        device: &DeviceId,
        nonce: &[u8],
        signature: SignatureId,
        claimed: Timestamp,
        now: Timestamp,
    ) -> Result<Admission, AdmitError> {
        let (claim, mark) = (nonces::claim_of(device, nonce), nonces::mark_of(&signature));
        let admission = lock(&self.nonces).admit(claim, mark, claimed, now).map_err(|why| match why {
            Rejected::Full => AdmitError::Full,
            Rejected::Reused => AdmitError::Reused,
        })?;
        if claimed.seconds() > now.seconds() {
            let recorded = self.journal.commit(|waiter| Entry::Claim { claim, mark, claimed, now, waiter }).await;
            recorded.map_err(AdmitError::Fault)?;
        }
        Ok(admission)
    }

    /// Every admitted nonce whose claim lies in a later second than this is remembered. What was signed up to then
    /// may have been used before: only the order of a host's changes can tell. Moves on when a clock that jumped
    /// ahead made the memory forget.
    #[must_use]
    pub fn remembers_since(&self) -> Timestamp {
        lock(&self.nonces).remembers_since()
    }

    /// What is kept of one device; `None` when no command ever touched it.
    #[must_use]
    pub fn device(&self, id: &DeviceId) -> Option<StoredDevice> {
        self.memory.device(id)
    }

    /// All devices that commands touched, sorted by id.
    #[must_use]
    pub fn devices(&self) -> Vec<StoredDevice> {
        self.memory.devices()
    }

    /// Looks at what is kept of one device without copying it. `look` runs under a lock: it must not ask the store for
    /// anything.
    pub fn with_device<T>(&self, id: &DeviceId, look: impl FnOnce(&StoredDevice) -> T) -> Option<T> {
        self.memory.with_device(id, look)
    }

    /// Waits until nobody else changes a device: what is read of devices meanwhile is still so when it is recorded.
    pub async fn device_turn(&self) -> DeviceTurn {
        DeviceTurn(Arc::new(Arc::clone(&self.devices).lock_owned().await))
    }

    /// Adds or replaces a device, durably. Whoever stops waiting does not stop it, and the turn lasts until it is over.
    ///
    /// # Errors
    /// When the disk does not take it; then the one before stays.
    pub async fn put_device(&self, turn: &DeviceTurn, device: StoredDevice) -> Result<(), StoreError> {
        let turn = Arc::clone(&turn.0);
        self.journal.commit(|waiter| Entry::Device { device, turn, waiter }).await.map(drop)
    }

    /// Which master key the devices' secrets come from; `None` before the first start.
    #[must_use]
    pub fn key_fingerprint(&self) -> Option<[u8; 16]> {
        self.memory.key_fingerprint()
    }

    /// Remembers the master key's fingerprint, durably.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub async fn set_key_fingerprint(&self, fingerprint: [u8; 16]) -> Result<(), StoreError> {
        self.journal.commit(|waiter| Entry::KeyFingerprint { fingerprint, waiter }).await.map(drop)
    }

    /// Why nothing can be recorded now, in an operator's words; `None` when all is well.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.memory.trouble()
    }

    /// Writes what waits and closes the file; blocks meanwhile. Dropping does the same and keeps quiet about faults.
    ///
    /// # Errors
    /// When the last rows, all of them confirmations, could not be written.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.journal.close()
    }

    fn stripe(&self, hostname: &Hostname) -> Arc<TurnMutex<()>> {
        Arc::clone(&self.stripes[self.memory.hosts.hash(hostname.as_str()) as usize % STRIPES])
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Nobody is left to be told; whoever wants to know calls `close`.
        let _ = self.journal.close();
    }
}

impl Turn<'_> {
    /// The host as it stands.
    #[must_use]
    pub fn state(&self) -> &HostState {
        &self.state
    }

    /// Makes `next` the host's state, durably; its `number` becomes that of the commit. Whoever stops waiting does
    /// not stop the commit, and the turn lasts until it is over; but nobody then holds the ticket.
    ///
    /// # Errors
    /// When the disk does not take it. The state stays as it was, here and, once the disk works again, there.
    pub async fn record(self, next: HostState) -> Result<Ticket, StoreError> {
        let Self { store, hostname, guard: turn, .. } = self;
        let desired = next.desired;
        let (to_write, next) = (hostname.clone(), Box::new(next));
        let entry = |waiter| Entry::Host { hostname: to_write, next, turn, waiter };
        let number = store.journal.commit(entry).await?;
        Ok(Ticket { hostname, number, desired })
    }

    /// Makes `next` the host's state in memory: for what may be lost, such as the newest signature of an update
    /// that changed nothing. It reaches the disk when something else of the host does. The ticket is that of the
    /// commit which recorded what is desired.
    pub fn note(self, next: HostState) -> Ticket {
        let ticket = Ticket { hostname: self.hostname.clone(), number: next.number, desired: next.desired };
        // Most updates of routers leave nothing to remember.
        if next != self.state {
            self.store.memory.hosts.put(&self.hostname, next);
        }
        ticket
    }
}

/// Writes hosts into the store of `data_dir` in large commits: for benchmarks and tests, and for a store that
/// nobody has open. Sorted names go fastest. Gives the number of rows.
///
/// # Errors
/// As [`Store::open`] and [`Turn::record`].
pub fn seed(
    data_dir: &Path,
    now: Timestamp,
    hosts: impl IntoIterator<Item = (Hostname, HostState)>,
) -> Result<usize, StoreError> {
    const ROWS_AT_ONCE: usize = 50_000;
    let owned = Ownership::take(data_dir)?;
    let file = File::open_or_make(&owned, first_number(now))?;
    let mut hosts = hosts.into_iter().peekable();
    let mut count = 0;
    while hosts.peek().is_some() {
        let batch = hosts.by_ref().take(ROWS_AT_ONCE).map(|(name, state)| (name, Some(row::from_host(&state))));
        let rows = Rows { hosts: batch.collect(), ..Rows::default() };
        file.write(&rows, false)?;
        count += rows.hosts.len();
    }
    file.close()?;
    Ok(count)
}

/// The number before the first commit of a new store.
fn first_number(now: Timestamp) -> u64 {
    now.seconds()
}

#[cfg(test)]
mod tests;
