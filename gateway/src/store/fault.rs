//! What can go wrong with the store, in an operator's words: what happened, and what to do.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A fault of the store. Cheap to clone: everybody who waited for one commit hears of the same fault.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// The store was closed, or its writer is gone.
    Closed,
    /// Something in the file cannot be read.
    Damaged {
        /// The file.
        file: PathBuf,
        /// Which part of it, and why.
        what: String,
    },
    /// Another process owns the file.
    InUse {
        /// The file.
        file: PathBuf,
    },
    /// A newer version of the program wrote the file.
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Which part of it.
        what: String,
    },
    /// The disk did not take it: full, read-only, broken, or not ours.
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// The word that the log keeps as `error_code`; it never changes once shipped.
    #[must_use]
    pub fn error_code(&self) -> &'static str {
        match self {
            Self::Closed => "store_closed",
            Self::Damaged { .. } => "store_damaged",
            Self::InUse { .. } => "store_in_use",
            Self::NewerFormat { .. } => "store_newer_format",
            Self::Unwritable { .. } => "store_unwritable",
        }
    }

    pub(super) fn unwritable(file: &Path, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Unwritable { file: file.into(), source: Arc::new(source) }
    }

    pub(super) fn damaged(file: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { file: file.into(), what: what.into() }
    }

    /// Sorts what redb says. Whatever is not known to be damage or a lock is taken for the disk's trouble, since
    /// that is the one that passes.
    pub(super) fn from_redb(file: &Path, error: impl Into<redb::Error>) -> Self {
        let error = error.into();
        if matches!(error, redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch) {
            return Self::InUse { file: file.into() };
        }
        // redb reports a file that is none of its own, or cut short, as these two kinds of I/O error.
        let is_no_store = |why: &io::Error| matches!(why.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof);
        let is_damage = matches!(
            &error,
            redb::Error::Corrupted(_)
                | redb::Error::RepairAborted
                | redb::Error::TableDoesNotExist(_)
                | redb::Error::TableIsMultimap(_)
                | redb::Error::TableTypeMismatch { .. }
                | redb::Error::TypeDefinitionChanged { .. }
                | redb::Error::UpgradeRequired(_)
        ) || matches!(&error, redb::Error::Io(why) if is_no_store(why));
        if is_damage { Self::damaged(file, error.to_string()) } else { Self::unwritable(file, error) }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the store is closed"),
            Self::Damaged { file, what } => write!(
                f,
                "{} is damaged: {what}; put a backup in its place, or move it away to start with an empty one \
                 (hosts and devices added by command are then forgotten)",
                file.display()
            ),
            Self::InUse { file } => {
                write!(
                    f,
                    "{} belongs to another running nicgate; stop that one, or set another data_dir",
                    file.display()
                )
            }
            Self::NewerFormat { file, what } => {
                write!(f, "{} was written by a newer nicgate ({what}); run that version or a later one", file.display())
            }
            Self::Unwritable { file, source } => write!(
                f,
                "{} cannot be written: {source}; check free space, owner and mode of its folder",
                file.display()
            ),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unwritable { source, .. } => Some(&**source),
            Self::Closed | Self::Damaged { .. } | Self::InUse { .. } | Self::NewerFormat { .. } => None,
        }
    }
}
