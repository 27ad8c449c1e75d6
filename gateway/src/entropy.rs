//! The only caller of the system's dice.

use std::io;

use nicgate_protocol::enrollment::{CODE_BYTES, Code};
use zeroize::Zeroizing;

/// 32 bytes from the system's generator, for keys.
///
/// # Errors
/// When the system has none to give.
pub fn key() -> io::Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// 16 bytes from the system's generator, for a one-time code.
///
/// # Errors
/// When the system has none to give.
pub fn code() -> io::Result<Code> {
    let mut bytes = Zeroizing::new([0; CODE_BYTES]);
    getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
    Ok(Code::new(*bytes))
}

/// One roll, for jitter. A system without dice gives the same number each time: pushes then keep in step, and
/// nothing else is lost.
#[must_use]
pub fn roll() -> u64 {
    getrandom::u64().unwrap_or(0)
}

/// A number that nobody can guess, for signatures and message ids. A system without dice gives the same number each
/// time: providers then refuse the second call as a repeat, and nothing else is lost.
#[must_use]
pub fn nonce() -> u128 {
    let mut bytes = [0; 16];
    // What cannot be filled stays zero.
    let _ = getrandom::fill(&mut bytes);
    u128::from_ne_bytes(bytes)
}
