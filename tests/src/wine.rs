//! Windows programs under Wine: the client as `tests/windows` has built it, started by the script `tests/wine` on a
//! disk of the tests' own.
//!
//! Wine shows that a program runs and what it asks of Windows. It does not show that Windows does it: access lists,
//! the event log and scheduled tasks are written there and never looked at again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{missing, program, tool};

/// Proof that Wine and the client for Windows are there.
pub struct Wine {
    client: PathBuf,
}

impl Wine {
    /// `None`, with a word about it, when something is missing and may be.
    ///
    /// # Panics
    /// When the client is older than one of its sources.
    #[must_use]
    pub fn find() -> Option<Self> {
        tool("wine")?;
        tool("x86_64-w64-mingw32-gcc")?;
        let build = "tests/windows";
        let client = program::target_folder().join("x86_64-pc-windows-gnu/small/nicgate-client.exe");
        let client = missing("nicgate-client.exe, which tests/windows builds,", client.is_file().then_some(client))?;
        Some(Self { client: program::newest(client, build) })
    }

    /// Where the client is.
    #[must_use]
    pub fn client(&self) -> &Path {
        &self.client
    }

    /// A Windows program, to be given arguments and run. Its environment is this one's, but for what Windows sets
    /// anew for each user (`APPDATA` among it).
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("wine"));
        command.arg(program);
        command
    }

    /// Whoever makes or removes scheduled tasks does so alone: Wine has one scheduler for all stories.
    ///
    /// # Panics
    /// When the lock cannot be made.
    #[must_use]
    pub fn scheduler(&self) -> File {
        let lock = File::create(program::target_folder().join("wine-tasks.lock")).expect("the target folder is ours");
        lock.lock().expect("files can be locked");
        lock
    }

    /// What a file is called under Wine: our root is its drive Z.
    #[must_use]
    pub fn path(&self, file: &Path) -> String {
        format!("Z:{}", file.display()).replace('/', "\\")
    }
}
