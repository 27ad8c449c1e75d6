//! The embedded store's writer: one thread, one file, one sync for everybody who waits (group commit).
//!
//! While one commit runs, the next batch gathers. After each commit, in this order: memory, number, observers,
//! those who wait. Nobody outside this thread writes durable facts into memory, so memory never runs ahead of the
//! disk, but for what providers confirmed or left in doubt: a confirmation's row follows with the next commit, and a
//! lost one costs a call; a doubt's row is waited for.
//!
//! A failed commit may have reached the disk, or not. Its rows are `unsure`: the commits that succeed next write
//! them once more as memory has them. The file is opened anew for each attempt, at most one in [`RETRY`]; who comes
//! in between hears of the fault at once.
//!
//! The queue has no bound of its own: a waiting entry holds its host's turn or its caller, and those are bounded by
//! connections; a confirmation is a name, and the reconciler has one push per host and provider under way.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nicgate_logic::state::HostState;
use nicgate_protocol::{AddressSet, DeviceId, Hostname, Timestamp};
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::file::{File, Ownership, Rows};
use super::memory::Memory;
use super::nonces::{Claim, Mark, WINDOW};
use super::{Committed, StoreError, StoredDevice, row};

/// Rows that one commit takes at most, and as many unsure or expired ones.
const MOST_ROWS: usize = 512;
/// How long confirmations wait for company when nobody waits for them.
const LINGER: Duration = Duration::from_millis(50);
/// The pause between two attempts to get a file back that failed.
const RETRY: Duration = Duration::from_millis(200);
/// From this many hosts on a start after a crash would take too long without redb's quick repair.
const QUICK_REPAIR_FROM: usize = 100_000;

/// Who waits for a commit: its number, or why there is none.
type Waiter = oneshot::Sender<Result<u64, StoreError>>;

/// What the writer is asked to do.
pub(super) enum Entry {
    /// Run something between two commits.
    Between(Box<dyn FnOnce() + Send>),
    /// Record a host. The turn ends when the row is durable or has failed, even when nobody waits any more.
    Host { hostname: Hostname, next: Box<HostState>, turn: OwnedMutexGuard<()>, waiter: Waiter },
    /// A provider confirmed something, memory has it: write the host's row some time.
    Confirmed(Hostname),
    /// A push ended without a known end, memory has it: write the host's row now.
    Doubted { hostname: Hostname, waiter: Waiter },
    /// Record a device. The turn does not end before the row is durable or has failed, even when nobody waits any more.
    Device { device: StoredDevice, turn: Arc<OwnedMutexGuard<()>>, waiter: Waiter },
    /// Record the master key's fingerprint.
    KeyFingerprint { fingerprint: [u8; 16], waiter: Waiter },
    /// Record a nonce that was used ahead of our clock.
    Claim { claim: Claim, mark: Mark, claimed: Timestamp, now: Timestamp, waiter: Waiter },
}

/// The way to the writer.
pub(super) struct Journal {
    queue: Option<Sender<Entry>>,
    writer: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Journal {
    /// Starts the writer.
    pub(super) fn start(owned: Ownership, file: File, memory: Arc<Memory>) -> Result<Self, StoreError> {
        let (queue, entries) = mpsc::channel();
        let path = owned.file().to_owned();
        let writer = Writer { owned, file: Some(file), memory, entries, unsure: BTreeSet::new(), failure: None };
        let writer = thread::Builder::new()
            .name("store".into())
            .spawn(|| writer.run())
            .map_err(|why| StoreError::unwritable(&path, why))?;
        Ok(Self { queue: Some(queue), writer: Some(writer) })
    }

    /// Hands over an entry that nobody waits for.
    pub(super) fn send(&self, entry: Entry) {
        if let Some(queue) = &self.queue {
            // A writer that is gone is noticed by everybody who waits for a commit.
            let _ = queue.send(entry);
        }
    }

    /// Hands over an entry and waits until it is durable; gives the number of its commit. Whoever stops waiting
    /// does not stop the commit.
    pub(super) async fn commit(&self, entry: impl FnOnce(Waiter) -> Entry) -> Result<u64, StoreError> {
        let (waiter, done) = oneshot::channel();
        self.send(entry(waiter));
        done.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Writes what waits and closes the file.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.queue = None;
        match self.writer.take() {
            Some(writer) => writer.join().unwrap_or(Err(StoreError::Closed)),
            None => Ok(()),
        }
    }
}

/// A row of which the disk may say something else than memory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Unsure {
    Device(DeviceId),
    Host(Hostname),
    KeyFingerprint,
}

struct Writer {
    owned: Ownership,
    /// `None` after a failed commit, until it can be opened again.
    file: Option<File>,
    memory: Arc<Memory>,
    entries: Receiver<Entry>,
    unsure: BTreeSet<Unsure>,
    /// The last attempt, when it failed.
    failure: Option<Failure>,
}

struct Failure {
    at: Instant,
    why: StoreError,
}

impl Writer {
    fn run(mut self) -> Result<(), StoreError> {
        while let Some(batch) = self.gather() {
            self.commit(batch);
        }
        while !self.unsure.is_empty() {
            self.attempt(&mut [])?;
        }
        match self.file {
            Some(file) => file.close(),
            None => Ok(()),
        }
    }

    /// The next batch; empty when unsure rows have waited long enough; `None` when the store was closed.
    fn gather(&mut self) -> Option<Vec<Entry>> {
        let mut batch = Vec::new();
        while batch.is_empty() {
            let heard = match self.patience() {
                Some(patience) => self.entries.recv_timeout(patience),
                None => self.entries.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match heard {
                Ok(entry) => self.sort(entry, &mut batch),
                Err(RecvTimeoutError::Timeout) => return Some(batch),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            if self.failure.is_none() && self.unsure.len() >= MOST_ROWS {
                return Some(batch);
            }
        }
        while batch.len() < MOST_ROWS {
            let Ok(entry) = self.entries.try_recv() else { break };
            self.sort(entry, &mut batch);
        }
        Some(batch)
    }

    fn sort(&mut self, entry: Entry, batch: &mut Vec<Entry>) {
        match entry {
            Entry::Between(work) => work(),
            Entry::Confirmed(hostname) => {
                self.unsure.insert(Unsure::Host(hostname));
            }
            Entry::Host { .. }
            | Entry::Doubted { .. }
            | Entry::Device { .. }
            | Entry::KeyFingerprint { .. }
            | Entry::Claim { .. } => batch.push(entry),
        }
    }

    /// How long to wait for an entry before something else is due.
    fn patience(&self) -> Option<Duration> {
        match &self.failure {
            Some(failure) => Some(RETRY.saturating_sub(failure.at.elapsed())),
            None if self.unsure.is_empty() => None,
            None => Some(LINGER),
        }
    }

    /// Commits a batch and tells everybody.
    fn commit(&mut self, mut batch: Vec<Entry>) {
        if let Some(failure) = &self.failure
            && failure.at.elapsed() < RETRY
        {
            let why = failure.why.clone();
            return tell(batch, &Err(why));
        }
        match self.attempt(&mut batch) {
            Ok(()) => tell(batch, &Ok(self.memory.number())),
            Err(why) => {
                self.memory.set_trouble(Some(why.to_string()));
                self.failure = Some(Failure { at: this_instant(), why: why.clone() });
                tell(batch, &Err(why));
            }
        }
    }

    fn attempt(&mut self, batch: &mut [Entry]) -> Result<(), StoreError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.owned)?,
        };
        let unsure: Vec<Unsure> = self.unsure.iter().take(MOST_ROWS).cloned().collect();
        let rows = self.rows(batch, &unsure);
        let quick_repair = self.memory.hosts.len() >= QUICK_REPAIR_FROM;
        if let Err(why) = file.write(&rows, quick_repair) {
            // `file` is dropped here: redb would refuse everything from now on.
            self.unsure.extend(batch.iter().filter_map(unsure_about));
            return Err(why);
        }
        self.file = Some(file);
        for known in &unsure {
            self.unsure.remove(known);
        }
        if self.failure.take().is_some() {
            self.memory.set_trouble(None);
        }
        self.publish(rows.number, batch);
        Ok(())
    }

    /// The rows of one commit: unsure ones first, so that a newer one of the same host wins.
    fn rows(&self, batch: &mut [Entry], unsure: &[Unsure]) -> Rows {
        let mut rows = Rows::default();
        for known in unsure {
            match known {
                Unsure::Device(id) => {
                    rows.devices.push((id.clone(), self.memory.device(id).as_ref().map(row::from_device)));
                }
                Unsure::Host(hostname) => {
                    let row = self.memory.hosts.with(hostname.as_str(), row::from_host);
                    rows.hosts.push((hostname.clone(), row));
                }
                Unsure::KeyFingerprint => rows.key_fingerprint = Some(self.memory.key_fingerprint()),
            }
        }
        let number = self.memory.number() + 1;
        for entry in batch {
            match entry {
                Entry::Host { hostname, next, .. } => {
                    next.number = number;
                    rows.number = Some(number);
                    rows.hosts.push((hostname.clone(), Some(row::from_host(next))));
                }
                Entry::Device { device, .. } => rows.devices.push((device.id.clone(), Some(row::from_device(device)))),
                Entry::KeyFingerprint { fingerprint, .. } => rows.key_fingerprint = Some(Some(*fingerprint)),
                Entry::Claim { claim, mark, claimed, now, .. } => {
                    rows.claims.push((*claimed, *claim, row::from_mark(*mark)));
                    rows.claims_expired = rows.claims_expired.max(*now - WINDOW);
                }
                // Nobody else records this host meanwhile: the doubt holds its stripe.
                Entry::Doubted { hostname, .. } => {
                    let row = self.memory.hosts.with(hostname.as_str(), row::from_host);
                    rows.hosts.push((hostname.clone(), row));
                }
                Entry::Between(_) | Entry::Confirmed(_) => {}
            }
        }
        rows
    }

    /// Makes known what is durable now.
    fn publish(&self, number: Option<u64>, batch: &mut [Entry]) {
        let mut changes: Vec<(Hostname, AddressSet)> = Vec::new();
        for entry in batch {
            match entry {
                Entry::Host { hostname, next, .. } => {
                    let before = self.memory.hosts.with(hostname.as_str(), |state| state.desired).unwrap_or_default();
                    if before != next.desired {
                        changes.push((hostname.clone(), next.desired));
                    }
                    self.memory.hosts.put(hostname, mem::take(next));
                }
                Entry::Device { device, .. } => self.memory.put_device(device.clone()),
                Entry::KeyFingerprint { fingerprint, .. } => self.memory.set_key_fingerprint(*fingerprint),
                Entry::Between(_) | Entry::Claim { .. } | Entry::Confirmed(_) | Entry::Doubted { .. } => {}
            }
        }
        if let Some(number) = number {
            self.memory.set_number(number);
            self.memory.announce(&Committed { number, changes: &changes });
        }
    }
}

/// What a failed commit leaves in doubt. A claim is not among it: should it have reached the disk, its nonce counts
/// as used after the next start, and it expires there by itself.
fn unsure_about(entry: &Entry) -> Option<Unsure> {
    match entry {
        Entry::Host { hostname, .. } | Entry::Confirmed(hostname) | Entry::Doubted { hostname, .. } => {
            Some(Unsure::Host(hostname.clone()))
        }
        Entry::Device { device, .. } => Some(Unsure::Device(device.id.clone())),
        Entry::KeyFingerprint { .. } => Some(Unsure::KeyFingerprint),
        Entry::Between(_) | Entry::Claim { .. } => None,
    }
}

/// Ends the turns and wakes those who wait.
fn tell(batch: Vec<Entry>, outcome: &Result<u64, StoreError>) {
    for entry in batch {
        let waiter = match entry {
            Entry::Host { waiter, turn, .. } => {
                drop(turn);
                waiter
            }
            Entry::Device { waiter, turn, .. } => {
                drop(turn);
                waiter
            }
            Entry::Doubted { waiter, .. } | Entry::KeyFingerprint { waiter, .. } | Entry::Claim { waiter, .. } => {
                waiter
            }
            Entry::Between(_) | Entry::Confirmed(_) => continue,
        };
        // Somebody who no longer waits is not told.
        let _ = waiter.send(outcome.clone());
    }
}

fn this_instant() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "paces attempts on a broken disk; nothing is decided by it")]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::nonces::claim_of;
    use super::*;

    /// A writer on a file of its own, without the thread around it.
    fn writer(name: &str) -> (PathBuf, Writer) {
        let folder = std::env::temp_dir().join(format!("nicgate-journal-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let owned = Ownership::take(&folder).unwrap();
        let file = File::open_or_make(&owned, 1000).unwrap();
        let contents = file.read().unwrap();
        let memory = Arc::new(Memory::new(contents.hosts, contents.devices, contents.key_fingerprint, contents.number));
        let entries = mpsc::channel().1;
        (folder, Writer { owned, file: Some(file), memory, entries, unsure: BTreeSet::new(), failure: None })
    }

    fn on_disk(writer: &Writer, hostname: &Hostname) -> Option<HostState> {
        let contents = writer.file.as_ref().unwrap().read().unwrap();
        contents.hosts.with(hostname.as_str(), HostState::clone)
    }

    #[test]
    fn rows_of_a_commit_that_failed_but_reached_the_disk_are_undone() {
        let (folder, mut writer) = writer("undone");
        let names = ["old.home.test", "new.home.test"].map(|text| Hostname::parse(text).unwrap());
        let state = |number| HostState { number, ..HostState::default() };
        writer.memory.hosts.put(&names[0], state(1001));

        let reached = Rows {
            hosts: names.iter().map(|name| (name.clone(), Some(row::from_host(&state(1002))))).collect(),
            key_fingerprint: Some(Some([7; 16])),
            ..Rows::default()
        };
        writer.file.as_ref().unwrap().write(&reached, false).unwrap();
        writer.unsure.extend(names.iter().cloned().map(Unsure::Host));
        writer.unsure.insert(Unsure::KeyFingerprint);
        writer.attempt(&mut []).unwrap();

        assert_eq!(on_disk(&writer, &names[0]), Some(state(1001)));
        assert_eq!(on_disk(&writer, &names[1]), None);
        assert_eq!(writer.file.as_ref().unwrap().read().unwrap().key_fingerprint, None);
        assert!(writer.unsure.is_empty());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_record_wins_over_an_unsure_row_of_the_same_host() {
        let (folder, mut writer) = writer("wins");
        let hostname = Hostname::parse("a.home.test").unwrap();
        writer.unsure.insert(Unsure::Host(hostname.clone()));
        let turn = Arc::new(tokio::sync::Mutex::new(())).try_lock_owned().unwrap();
        let (waiter, mut done) = oneshot::channel();
        let next = HostState { newest_changed: true, ..HostState::default() };
        writer.commit(vec![Entry::Host { hostname: hostname.clone(), next: Box::new(next.clone()), turn, waiter }]);
        assert_eq!(done.try_recv().unwrap().unwrap(), 1001);
        assert_eq!(on_disk(&writer, &hostname), Some(HostState { number: 1001, ..next }));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_vanished_is_not_made_anew() {
        let (folder, mut writer) = writer("vanished");
        writer.file = None;
        std::fs::remove_file(writer.owned.file()).unwrap();
        let (waiter, mut done) = oneshot::channel();
        let claim = claim_of(&DeviceId::parse("laptop").unwrap(), b"nonce");
        let now = Timestamp(5000);
        writer.commit(vec![Entry::Claim { claim, mark: Mark::default(), claimed: now, now, waiter }]);
        assert!(matches!(done.try_recv().unwrap(), Err(StoreError::Unwritable { .. })));
        assert!(writer.memory.trouble().is_some());
        assert!(!writer.owned.file().exists());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
