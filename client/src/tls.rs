//! The cryptography that the client brings for TLS: as much of rustls' as a client without a certificate needs.
//!
//! Left out is what no server insists on, because the program is to stay small: ChaCha20 (AES-128-GCM is what TLS 1.3
//! demands of everybody, RFC 8446 9.1, and no server offers the other alone), key exchange with P-384, and signing with
//! a key of one's own. Every signature that rustls checks is checked here too: private authorities use them all.

use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{Error, SignatureScheme};
use webpki::ring as check;

/// What connections are made with.
#[must_use]
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Dice,
        key_provider: &NoKeys,
    }
}

/// The signatures of certificates and handshakes. In TLS 1.2 a scheme does not say which curve it means.
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        check::ECDSA_P256_SHA256,
        check::ECDSA_P256_SHA384,
        check::ECDSA_P384_SHA256,
        check::ECDSA_P384_SHA384,
        check::ED25519,
        check::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        check::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        check::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        check::RSA_PKCS1_2048_8192_SHA256,
        check::RSA_PKCS1_2048_8192_SHA384,
        check::RSA_PKCS1_2048_8192_SHA512,
        check::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        check::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        check::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[check::ECDSA_P384_SHA384, check::ECDSA_P256_SHA384]),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[check::ECDSA_P256_SHA256, check::ECDSA_P384_SHA256]),
        (SignatureScheme::ED25519, &[check::ED25519]),
        (SignatureScheme::RSA_PSS_SHA512, &[check::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[check::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA256, &[check::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[check::RSA_PKCS1_2048_8192_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[check::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[check::RSA_PKCS1_2048_8192_SHA256]),
    ],
};

/// The system's dice, as rustls asks for them.
#[derive(Debug)]
struct Dice;

impl SecureRandom for Dice {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        getrandom::fill(bytes).map_err(|_| GetRandomFailed)
    }
}

/// The client shows no certificate, so it reads no key.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _key: PrivateKeyDer<'static>) -> Result<std::sync::Arc<dyn SigningKey>, Error> {
        Err(Error::General("the client has no certificates of its own".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_that_rustls_checks_is_checked() {
        let (ours, all) = (provider(), rustls::crypto::ring::default_provider());
        let (ours, all) = (ours.signature_verification_algorithms, all.signature_verification_algorithms);
        assert_eq!(ours.supported_schemes(), all.supported_schemes());
        assert_eq!(format!("{ours:?}"), format!("{all:?}"));
    }

    #[test]
    fn what_is_left_out_is_known() {
        let (ours, all) = (provider(), rustls::crypto::ring::default_provider());
        let missing = |name: &String| !ours.cipher_suites.iter().any(|suite| format!("{:?}", suite.suite()) == *name);
        let all_suites = all.cipher_suites.iter().map(|suite| format!("{:?}", suite.suite()));
        assert!(all_suites.filter(missing).all(|name| name.contains("CHACHA20")));
        let groups =
            |provider: &CryptoProvider| provider.kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>();
        assert_eq!(groups(&all)[..2], groups(&ours));
    }
}
