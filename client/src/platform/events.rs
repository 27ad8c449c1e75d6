//! The log that the system keeps for programs nobody watches: the event log of Windows. Elsewhere these functions do
//! nothing, because whoever starts the program keeps what it prints.

use std::io;

use super::system;

/// Under which name the log has us.
pub const SOURCE: &str = "nicgate-client";

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It does not work.
    Error,
    /// It may stop working.
    Warning,
    /// It works.
    Information,
}

/// Makes our name known, so that the log shows our texts as they are. Needs an administrator.
///
/// # Errors
/// When the system refuses.
pub fn register() -> io::Result<()> {
    system::events::register()
}

/// Takes our name off again; not being known is fine.
///
/// # Errors
/// When the system refuses.
pub fn unregister() -> io::Result<()> {
    system::events::unregister()
}

/// Writes an event. Ids from 1 to 1000 have a text that is `text` alone, see [`register`].
///
/// # Errors
/// When the log does not take it.
pub fn report(level: Level, id: u16, text: &str) -> io::Result<()> {
    system::events::report(level, id, text)
}
