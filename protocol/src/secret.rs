//! Secrets: how they are held, compared, and how a device's key and password come out of the master key.
//!
//! Derivation is HKDF-SHA256 (RFC 5869) over the master key with the device's id and generation, so nothing
//! about a device's secrets is ever stored, and a check costs one HMAC.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, Zeroizing};

/// Letters of a signing key: 256 bits in base64url without padding.
pub const KEY_LETTERS: usize = 43;
/// Letters of a password: 22 of 62 different ones, 130.9 bits. Short enough for every router's form, and plain
/// enough to stand unescaped in a URL.
pub const PASSWORD_LETTERS: usize = 22;
/// The longest device id.
pub const LONGEST_DEVICE_ID: usize = 64;

/// Something that must not be seen: no `Debug`, no `Display`, no `==`; wiped when dropped.
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes a value into custody.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Compares in a time that depends on the lengths alone.
    #[must_use]
    pub fn verify_slice(&self, presented: &[u8]) -> bool {
        self.0.as_ref().ct_eq(presented).into()
    }
}

impl<T: Zeroize + Clone> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The name of a credential: 1 to 64 of `a-z`, `A-Z`, `0-9`, `.`, `_`, `-`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// Reads an id.
    ///
    /// # Errors
    /// A sentence that says what an id looks like.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > LONGEST_DEVICE_ID || !text.bytes().all(plain) {
            return Err("a device id is 1 to 64 letters, digits, \".\", \"_\" or \"-\"");
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for DeviceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device's signing key, as the text that both ends use.
pub type Key = Secret<[u8; KEY_LETTERS]>;
/// A device's password for Basic authentication.
pub type Password = Secret<[u8; PASSWORD_LETTERS]>;

impl Key {
    /// The key as text.
    #[must_use]
    pub fn text(&self) -> &str {
        as_text(self.expose())
    }
}

impl Password {
    /// The password as text.
    #[must_use]
    pub fn text(&self) -> &str {
        as_text(self.expose())
    }
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The one secret of a gateway: 32 random bytes.
pub struct MasterKey {
    derivation: Hkdf<Sha256>,
}

impl MasterKey {
    /// From the 32 bytes; they are wiped by their owner.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self { derivation: Hkdf::new(Some(b"nicgate"), bytes) }
    }

    /// The key with which generation `generation` of a device signs.
    #[must_use]
    pub fn key(&self, device: &str, generation: u32) -> Key {
        let bytes = self.expand(b"key", device, generation);
        let mut text = [0; KEY_LETTERS];
        // 32 bytes are 43 letters; the slice fits by construction.
        let _ = URL_SAFE_NO_PAD.encode_slice(bytes.as_slice(), &mut text);
        Secret::new(text)
    }

    /// The password of generation `generation` of a device.
    #[must_use]
    pub fn password(&self, device: &str, generation: u32) -> Password {
        Secret::new(letters(&self.expand(b"password", device, generation)))
    }

    /// A value that tells one master key from another and gives nothing away: kept in the store, so that a
    /// swapped key is noticed before every device is locked out.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 16] {
        let bytes = self.expand(b"fingerprint", "", 0);
        let mut short = [0; 16];
        short.copy_from_slice(&bytes[..16]);
        short
    }

    fn expand(&self, purpose: &[u8], device: &str, generation: u32) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; 32]);
        // The zero byte ends the purpose, the fixed four bytes of the generation come before the id: no two
        // inputs give the same text. Expanding to one hash length cannot fail (RFC 5869 2.3).
        let info: [&[u8]; 4] = [purpose, &[0], &generation.to_be_bytes(), device.as_bytes()];
        let _ = self.derivation.expand_multi_info(&info, &mut *bytes);
        bytes
    }
}

/// The first 22 digits, to the base 62, of a 256-bit number.
fn letters(bytes: &[u8; 32]) -> [u8; PASSWORD_LETTERS] {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // Five digits come out of each division, because 62^5 is the largest power that fits in 32 bits.
    const CHUNK: u64 = 62u64.pow(5);
    let mut number = Zeroizing::new([0u32; 8]);
    for (limb, four) in number.iter_mut().zip(bytes.chunks_exact(4)) {
        *limb = u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
    }
    let mut text = [0; PASSWORD_LETTERS];
    for group in text.chunks_mut(5) {
        let mut remainder = 0u64;
        for limb in number.iter_mut() {
            let value = remainder << 32 | u64::from(*limb);
            *limb = (value / CHUNK) as u32;
            remainder = value % CHUNK;
        }
        for letter in group {
            *letter = LETTERS[(remainder % 62) as usize];
            remainder /= 62;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_by_device_generation_and_purpose() {
        let master = MasterKey::new(&[7; 32]);
        let key = master.key("laptop", 1);
        assert_eq!(key.text().len(), 43);
        assert!(key.verify_slice(master.key("laptop", 1).text().as_bytes()));
        assert!(!key.verify_slice(master.key("laptop", 2).text().as_bytes()));
        assert!(!key.verify_slice(master.key("laptop2", 1).text().as_bytes()));
        assert!(!key.verify_slice(MasterKey::new(&[8; 32]).key("laptop", 1).text().as_bytes()));
        assert!(!key.verify_slice(b""));
        let password = master.password("laptop", 1);
        assert!(password.text().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(password.text(), &key.text()[..22]);
    }

    /// The same number, divided digit by digit in the plainest way.
    #[test]
    fn a_password_is_a_number_written_to_the_base_62() {
        for seed in 0..50u8 {
            let mut bytes = [0; 32];
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte = seed.wrapping_mul(31).wrapping_add(index as u8).wrapping_mul(97);
            }
            let mut number = bytes.to_vec();
            let plain: Vec<u8> = (0..PASSWORD_LETTERS)
                .map(|_| {
                    let mut remainder = 0u32;
                    for byte in &mut number {
                        let value = remainder << 8 | u32::from(*byte);
                        *byte = (value / 62) as u8;
                        remainder = value % 62;
                    }
                    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[remainder as usize]
                })
                .collect();
            assert_eq!(letters(&bytes).as_slice(), plain);
        }
    }

    /// What was handed to users once must come out for ever: this text is part of the contract with every
    /// router that holds a password.
    #[test]
    fn derivation_never_changes() {
        let master = MasterKey::new(&[0x42; 32]);
        assert_eq!(master.key("fritzbox", 1).text(), "TMXYMpMRxDQBdZRC6o8NNl9Ym-raN3GbmvvOE4e56dg");
        assert_eq!(master.password("fritzbox", 1).text(), "05Bqnz2YTPaqmfwcEOS4SN");
    }

    #[test]
    fn device_ids_are_plain_words() {
        for good in ["a", "fritzbox", "Laptop-2.home_x"] {
            assert_eq!(DeviceId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a:b", "a/b", "ä", &"x".repeat(65)] {
            assert!(DeviceId::parse(bad).is_err(), "{bad}");
        }
    }
}
