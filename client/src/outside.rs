//! What comes from outside a decision: the time and the dice. Tests hand in their own.

use nicgate_protocol::Timestamp;

use crate::entropy::Throw;
use crate::trouble::Trouble;
use crate::{clock, entropy};

/// Time and dice.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    now: &'a (dyn Fn() -> Timestamp + Sync),
    dice: &'a (dyn Fn() -> Option<Throw> + Sync),
}

impl<'a> Outside<'a> {
    /// The system's clock and dice.
    #[must_use]
    pub fn of_system() -> Self {
        Self { now: &clock::now, dice: &entropy::throw }
    }

    /// A clock of one's own, the system's dice.
    #[must_use]
    pub fn with_clock(now: &'a (dyn Fn() -> Timestamp + Sync)) -> Self {
        Self { now, dice: &entropy::throw }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Random bytes.
    ///
    /// # Errors
    /// [`Trouble::NoDice`] when the system gives none.
    pub fn throw(&self) -> Result<Throw, Trouble> {
        (self.dice)().ok_or(Trouble::NoDice)
    }

    /// A random number.
    ///
    /// # Errors
    /// As [`throw`](Self::throw).
    pub fn number(&self) -> Result<u32, Trouble> {
        let [a, b, c, d, ..] = self.throw()?;
        Ok(u32::from_be_bytes([a, b, c, d]))
    }
}
