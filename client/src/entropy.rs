//! The only caller of the system's dice. Everybody else is handed what was thrown.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 16 random bytes.
pub type Throw = [u8; 16];

/// Throws the system's dice; `None` when the system gives no random bytes.
#[must_use]
pub fn throw() -> Option<Throw> {
    let mut bytes = Throw::default();
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}

/// A nonce out of random bytes: 22 letters of base64url.
#[must_use]
pub fn nonce(bytes: Throw) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_differ_and_fit_the_protocol() {
        let (one, two) = (nonce(throw().unwrap()), nonce(throw().unwrap()));
        assert_ne!(one, two);
        assert_eq!(one.len(), 22);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    }
}
