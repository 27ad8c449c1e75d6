//! Why `init` came to no good end: a sentence, the cure, an exit code.

use std::io;
use std::path::Path;

/// What to do where rights are missing.
pub(super) const RIGHTS: &str =
    "repeat it as administrator or with sudo; or use --for user, or name a place with --config";

/// Why nothing was set up, or not all of it.
#[derive(Debug)]
pub(super) struct Failure {
    /// A sentence.
    pub(super) what: String,
    /// What to do.
    pub(super) cure: Option<String>,
    /// 1 this machine failed, 2 bad words or values, 4 no gateway, 5 refused.
    pub(super) exit_code: u8,
}

impl Failure {
    pub(super) fn new(exit_code: u8, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { what: what.into(), cure: Some(cure.into()), exit_code }
    }

    /// Something that was given cannot be used.
    pub(super) fn bad(what: impl Into<String>) -> Self {
        Self { what: what.into(), cure: None, exit_code: 2 }
    }

    /// Something is missing, and there is nobody to ask.
    pub(super) fn missing(what: &str, option: &str) -> Self {
        let cure = format!("give {option}; on a terminal `nicgate-client init` asks for it");
        Self::new(2, format!("{what} is missing"), cure)
    }

    /// A file or folder cannot be made, read or protected.
    pub(super) fn file(path: &Path, doing: &str, fault: &io::Error) -> Self {
        let what = format!("{} cannot be {doing}: {fault}", path.display());
        if fault.kind() == io::ErrorKind::PermissionDenied {
            return Self::new(1, what, RIGHTS);
        }
        Self { what, cure: None, exit_code: 1 }
    }
}
