//! The store's file: `nicgate.redb` in the data folder, and how it is opened, read and written.
//!
//! redb keeps it whole through crashes: a write transaction is there after the next start, or it is not. After an
//! error redb refuses further work until the file is opened anew; that is the journal's concern, not decided here.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use nicgate_protocol::{DeviceId, Hostname, Timestamp};
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition,
};

use super::memory::Hosts;
use super::nonces::{Claim, Mark};
use super::row::{self, BadRow};
use super::{StoreError, StoredDevice};

/// Hosts by name.
const HOSTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("hosts");
/// Devices by id.
const DEVICES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("devices");
/// Nonces that were used ahead of our clock, by the time they claimed, in milliseconds.
const CLAIMS: TableDefinition<'_, (u64, &Claim), &[u8]> = TableDefinition::new("claims");
/// The format of the file, and the number of the newest commit.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// The fingerprint of the master key.
const FINGERPRINTS: TableDefinition<'_, &str, &[u8; 16]> = TableDefinition::new("fingerprints");

const FORMAT: &str = "format";
const NUMBER: &str = "number";
const MASTER_KEY: &str = "master_key";

/// The tables and their keys, as they are today.
const FORMAT_TODAY: u64 = 1;
/// Pages that redb keeps in memory. Everything is read from our own memory; this serves the inner nodes.
const CACHE: usize = 16 << 20;

/// Keeps other processes away, also for the moment in which the file is closed and opened again.
pub(super) struct Ownership {
    file: PathBuf,
    _lock: fs::File,
}

impl Ownership {
    /// Makes `folder` where it is missing, and takes it.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let file = folder.join("nicgate.redb");
        let fault = |why| StoreError::unwritable(&file, why);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
        let lock = private().truncate(false).open(folder.join("nicgate.lock")).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { file, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { file }),
            Err(TryLockError::Error(why)) => Err(StoreError::unwritable(&file, why)),
        }
    }

    /// Where the store's file is.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// For files that nobody else may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// The open file.
pub(super) struct File {
    database: Database,
    path: PathBuf,
}

/// What stood in it.
pub(super) struct Contents {
    pub(super) number: u64,
    pub(super) hosts: Hosts,
    /// The latest `ordered_at` of them all.
    pub(super) newest: Timestamp,
    pub(super) devices: BTreeMap<DeviceId, StoredDevice>,
    pub(super) key_fingerprint: Option<[u8; 16]>,
    pub(super) claims: Vec<(Timestamp, Claim, Mark)>,
}

/// One commit's worth of rows; `None` removes.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) number: Option<u64>,
    pub(super) hosts: Vec<(Hostname, Option<Vec<u8>>)>,
    pub(super) devices: Vec<(DeviceId, Option<Vec<u8>>)>,
    pub(super) key_fingerprint: Option<Option<[u8; 16]>>,
    pub(super) claims: Vec<(Timestamp, Claim, Vec<u8>)>,
    /// Claims of an earlier time are removed.
    pub(super) claims_expired: Timestamp,
}

impl File {
    /// Opens the file, or makes it with `first_number` as the number of its newest commit.
    pub(super) fn open_or_make(owned: &Ownership, first_number: u64) -> Result<Self, StoreError> {
        let path = owned.file();
        let fault = |why| StoreError::unwritable(path, why);
        if !path.try_exists().map_err(fault)? {
            Self::make(path, first_number)?;
        }
        if fs::metadata(path).map_err(fault)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(fault)?;
        }
        Self::open(owned)
    }

    /// Opens the file that is there. One that vanished is not made anew: rows of before would be missing in it.
    pub(super) fn open(owned: &Ownership) -> Result<Self, StoreError> {
        let path = owned.file();
        let database = guarded(path, || Ok(Builder::new().set_cache_size(CACHE).open(path)?))?;
        Ok(Self { database, path: path.into() })
    }

    /// Under another name first, so that a crash or a full disk leaves no half of a file behind.
    fn make(path: &Path, first_number: u64) -> Result<(), StoreError> {
        let fault = |why| StoreError::unwritable(path, why);
        let draft = path.with_extension("redb.new");
        match fs::remove_file(&draft) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(fault(why)),
            Ok(()) | Err(_) => {}
        }
        drop(private().create_new(true).open(&draft).map_err(fault)?);
        guarded(path, || {
            let database = Database::create(&draft)?;
            let transaction = database.begin_write()?;
            transaction.open_table(HOSTS)?;
            transaction.open_table(DEVICES)?;
            transaction.open_table(CLAIMS)?;
            transaction.open_table(FINGERPRINTS)?;
            {
                let mut numbers = transaction.open_table(NUMBERS)?;
                numbers.insert(FORMAT, FORMAT_TODAY)?;
                numbers.insert(NUMBER, first_number)?;
            }
            transaction.commit()?;
            Ok(database.close()?)
        })?;
        fs::rename(&draft, path).map_err(fault)?;
        // The new name is durable once its folder is.
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)
    }

    /// Reads everything.
    pub(super) fn read(&self) -> Result<Contents, StoreError> {
        guarded(&self.path, || self.read_all(&self.database.begin_read()?))
    }

    fn read_all(&self, transaction: &ReadTransaction) -> Result<Contents, FileError> {
        let numbers = transaction.open_table(NUMBERS)?;
        let number_of = |key| -> Result<u64, FileError> {
            let found = numbers.get(key)?;
            found.map(|value| value.value()).ok_or_else(|| self.bad(key, BadRow::Unreadable("it is missing")))
        };
        let format = number_of(FORMAT)?;
        if format > FORMAT_TODAY {
            let what = format!("format {format}, this program knows {FORMAT_TODAY}");
            return Err(FileError::Told(StoreError::NewerFormat { file: self.path.clone(), what }));
        }
        let number = number_of(NUMBER)?;

        let fingerprints = transaction.open_table(FINGERPRINTS)?;
        let key_fingerprint = fingerprints.get(MASTER_KEY)?.map(|value| *value.value());

        let mut devices = BTreeMap::new();
        for entry in transaction.open_table(DEVICES)?.iter()? {
            let (key, value) = entry?;
            let device = row::to_device(key.value(), value.value())
                .map_err(|why| self.bad(&format!("device {}", key.value()), why))?;
            devices.insert(device.id.clone(), device);
        }

        let mut claims = Vec::new();
        for entry in transaction.open_table(CLAIMS)?.iter()? {
            let (key, value) = entry?;
            let (claimed, claim) = key.value();
            let mark = row::to_mark(value.value()).map_err(|why| self.bad(&format!("claim of {claimed}"), why))?;
            claims.push((Timestamp(claimed), *claim, mark));
        }

        let table = transaction.open_table(HOSTS)?;
        let count = usize::try_from(table.len()?).unwrap_or_default();
        let mut hosts = Hosts::with_capacity(count);
        let mut names = row::DeviceNames::default();
        let mut newest = Timestamp::default();
        hosts.load(table.iter()?.map(|entry| {
            let (key, value) = entry?;
            let whose = |why| self.bad(&format!("host {}", key.value()), why);
            let hostname =
                Hostname::parse(key.value()).map_err(|_| whose(BadRow::Unreadable("its name is no hostname")))?;
            let state = row::to_host(value.value(), &mut names).map_err(whose)?;
            newest = newest.max(state.ordered_at);
            Ok::<_, FileError>((hostname, state))
        }))?;
        Ok(Contents { number, hosts, newest, devices, key_fingerprint, claims })
    }

    fn bad(&self, what: &str, why: BadRow) -> FileError {
        FileError::Told(match why {
            BadRow::Newer(version) => {
                StoreError::NewerFormat { file: self.path.clone(), what: format!("{what}: row version {version}") }
            }
            BadRow::Unreadable(why) => StoreError::damaged(&self.path, format!("{what}: {why}")),
        })
    }

    /// Writes the rows and waits until the disk has them: all of them or, with an error, perhaps all of them.
    ///
    /// With `quick_repair` a crash costs the next start nothing, and this commit a second sync.
    pub(super) fn write(&self, rows: &Rows, quick_repair: bool) -> Result<(), StoreError> {
        guarded(&self.path, || {
            // Immediate durability is redb's default: the commit returns once the data is synced.
            let mut transaction = self.database.begin_write()?;
            transaction.set_quick_repair(quick_repair);
            {
                let mut hosts = transaction.open_table(HOSTS)?;
                for (name, row) in &rows.hosts {
                    match row {
                        Some(row) => hosts.insert(name.as_str(), row.as_slice())?,
                        None => hosts.remove(name.as_str())?,
                    };
                }
            }
            if let Some(number) = rows.number {
                transaction.open_table(NUMBERS)?.insert(NUMBER, number)?;
            }
            if !rows.devices.is_empty() {
                let mut devices = transaction.open_table(DEVICES)?;
                for (id, row) in &rows.devices {
                    match row {
                        Some(row) => devices.insert(id.as_str(), row.as_slice())?,
                        None => devices.remove(id.as_str())?,
                    };
                }
            }
            if let Some(fingerprint) = rows.key_fingerprint {
                let mut fingerprints = transaction.open_table(FINGERPRINTS)?;
                match fingerprint {
                    Some(fingerprint) => fingerprints.insert(MASTER_KEY, &fingerprint)?,
                    None => fingerprints.remove(MASTER_KEY)?,
                };
            }
            if !rows.claims.is_empty() {
                let mut claims = transaction.open_table(CLAIMS)?;
                claims.retain_in(..(rows.claims_expired.0, &Claim::default()), |_, _| false)?;
                for (claimed, claim, row) in &rows.claims {
                    claims.insert((claimed.0, claim), row.as_slice())?;
                }
            }
            Ok(transaction.commit()?)
        })
    }

    /// Closes the file so that the next start finds everything in order at once.
    pub(super) fn close(self) -> Result<(), StoreError> {
        let Self { database, path } = self;
        guarded(&path, move || Ok(database.close()?))
    }
}

/// Runs `work` on the file and sorts its errors. redb trusts a file that was closed cleanly and may panic when
/// somebody damaged it since; that too ends as an error, with the file's name.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, FileError>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(FileError::Redb(why))) => Err(StoreError::from_redb(path, why)),
        Ok(Err(FileError::Told(why))) => Err(why),
        Err(_) => Err(StoreError::damaged(path, "its pages contradict each other")),
    }
}

/// What can end work on the file.
enum FileError {
    /// What redb says, still to be sorted.
    Redb(redb::Error),
    /// What we found ourselves.
    Told(StoreError),
}

impl<E: Into<redb::Error>> From<E> for FileError {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}
