//! What the canonical texts of several schemes share: RFC 3986 encoding, sorted queries, hexadecimal, HMAC.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

const HEX: [&[u8; 16]; 2] = [b"0123456789abcdef", b"0123456789ABCDEF"];

/// HMAC-SHA256 (RFC 2104).
pub(super) fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    mac(key).chain_update(text).finalize().into_bytes().into()
}

/// Whether `presented` is the HMAC-SHA256 of `text`, compared in constant time.
pub(super) fn is_hmac_sha256(key: &[u8], text: &[u8], presented: &[u8; 32]) -> bool {
    mac(key).chain_update(text).verify_slice(presented).is_ok()
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length (RFC 2104 section 2)")
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// 32 bytes as 64 lower-case digits.
pub(super) fn hex(bytes: &[u8; 32]) -> [u8; 64] {
    let mut text = [0; 64];
    for (two, byte) in text.chunks_exact_mut(2).zip(bytes) {
        two.copy_from_slice(&digits(*byte, HEX[0]));
    }
    text
}

/// 64 lower-case digits as 32 bytes; nothing else will do.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, two) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(two[0])? << 4 | digit(two[1])?;
    }
    Some(bytes)
}

fn digits(byte: u8, hex: &[u8; 16]) -> [u8; 2] {
    [hex[usize::from(byte >> 4)], hex[usize::from(byte & 15)]]
}

/// Letters, digits, `-`, `.`, `_`, `~` (RFC 3986 section 2.3).
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Percent-encodes all that is not unreserved, in upper case; plain text costs nothing.
fn encode(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_unreserved) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if is_unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.extend(digits(byte, HEX[1]).map(char::from));
        }
    }
    Cow::Owned(encoded)
}

/// Decoded pairs as a canonical query: percent-encoded, then sorted by name and value, joined by `&`.
pub(super) fn query<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    join_sorted(pairs.map(|(name, value)| (encode(name), encode(value))).collect())
}

/// A raw query, its items sorted by name and value and otherwise left alone.
pub(super) fn query_as_sent(raw: &str) -> String {
    let split = |item| {
        let (name, value): (&str, &str) = str::split_once(item, '=').unwrap_or((item, ""));
        (Cow::Borrowed(name), Cow::Borrowed(value))
    };
    join_sorted(raw.split('&').map(split).collect())
}

fn join_sorted(mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> String {
    pairs.sort_unstable();
    let length = pairs.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut text = String::with_capacity(length);
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_query_is_encoded_and_then_sorted() {
        let pairs = [("b", "x y+z"), ("a", "ü"), ("a1", ""), ("a", "~-._"), ("a:", "1"), ("a", "A")];
        assert_eq!(query(pairs.into_iter()), "a=%C3%BC&a=A&a=~-._&a%3A=1&a1=&b=x%20y%2Bz");
        assert_eq!(query_as_sent("b=,&a=2&a=%2c&c"), "a=%2c&a=2&b=,&c=");
    }

    #[test]
    fn hexadecimal_is_lower_case_and_exact() {
        let bytes = std::array::from_fn(|index| index as u8 * 8);
        let text = String::from_utf8(hex(&bytes).to_vec()).unwrap();
        assert_eq!(unhex(&text), Some(bytes));
        assert_eq!(unhex(&text.to_uppercase()), None);
        assert_eq!(unhex(&text[1..]), None);
        assert_eq!(unhex(&format!("{}g", &text[1..])), None);
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_mac_is_hmac_sha256() {
        let mac = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&mac), *b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(is_hmac_sha256(b"Jefe", b"what do ya want for nothing?", &mac));
        assert!(!is_hmac_sha256(b"jefe", b"what do ya want for nothing?", &mac));
    }
}
