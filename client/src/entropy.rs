//! The only caller of the system's dice. Everybody else is handed the nonce.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::trouble::Trouble;

/// A fresh nonce: 16 random bytes as 22 letters of base64url.
///
/// # Errors
/// When the system gives no random bytes.
pub fn nonce() -> Result<String, Trouble> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|fault| Trouble::NoDice(fault.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn nonces_differ_and_fit_the_protocol() {
        let (one, two) = (super::nonce().unwrap(), super::nonce().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 22);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    }
}
