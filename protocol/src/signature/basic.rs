//! A device's id and password: Basic authentication (RFC 7617), or parameters of the query for routers that know
//! nothing else. Whether a device may use the query is the gateway's judgement.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::BadProof;
use crate::secret::{Password, Secret};
use crate::update::Parameters;

/// Some routers leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The pairs of names under which routers send credentials in the query.
const QUERY_CREDENTIALS: [(&str, &str); 3] = [("username", "password"), ("user", "pass"), ("user", "passwd")];

/// Somebody says to be a device and shows a password. No `Debug`: the password is in it.
pub struct PasswordClaim<'a> {
    device: Cow<'a, str>,
    password: Secret<String>,
    is_in_query: bool,
}

impl PasswordClaim<'_> {
    /// The device it claims to be.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Whether it is this password, compared in constant time.
    #[must_use]
    pub fn is_right(&self, password: &Password) -> bool {
        password.verify_slice(self.password.expose().as_bytes())
    }

    /// Whether the credentials stood in the query, where logs and histories see them, and not in a header.
    #[must_use]
    pub fn is_in_query(&self) -> bool {
        self.is_in_query
    }
}

/// What follows `Basic` in the header. `None` when user and password are both empty: a client that has none.
pub(super) fn read_header<'a>(encoded: &str) -> Result<Option<PasswordClaim<'a>>, BadProof> {
    let bytes = Zeroizing::new(BASE64.decode(encoded.trim()).map_err(|_| BadProof::MalformedBasic)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| BadProof::MalformedBasic)?;
    // The first colon: a password may hold more of them (RFC 7617 section 2).
    let (device, password) = text.split_once(':').ok_or(BadProof::MalformedBasic)?;
    Ok(claim(Cow::Owned(device.to_owned()), password, false))
}

/// Credentials among the parameters.
pub(super) fn read_query<'a>(parameters: &'a Parameters<'_>) -> Option<PasswordClaim<'a>> {
    let (device, password) = QUERY_CREDENTIALS
        .iter()
        .find_map(|(user, password)| Some((parameters.get(user)?, parameters.get(password)?)))?;
    claim(Cow::Borrowed(device), password, true)
}

fn claim<'a>(device: Cow<'a, str>, password: &str, is_in_query: bool) -> Option<PasswordClaim<'a>> {
    if device.is_empty() && password.is_empty() {
        return None;
    }
    Some(PasswordClaim { device, password: Secret::new(password.to_owned()), is_in_query })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::MasterKey;

    fn read(text: &[u8]) -> Result<Option<PasswordClaim<'static>>, BadProof> {
        read_header(&BASE64.encode(text))
    }

    #[test]
    fn a_password_is_right_or_it_is_not() {
        let password = MasterKey::new(&[7; 32]).password("fritzbox", 1);
        let claim = read(format!("fritzbox:{}", password.text()).as_bytes()).unwrap().unwrap();
        assert_eq!(claim.device(), "fritzbox");
        assert!(!claim.is_in_query());
        assert!(claim.is_right(&password));
        assert!(!claim.is_right(&MasterKey::new(&[7; 32]).password("fritzbox", 2)));
        for wrong in [&password.text()[1..], "", &format!("{} ", password.text()), &password.text().to_lowercase()] {
            assert!(!read(format!("fritzbox:{wrong}").as_bytes()).unwrap().unwrap().is_right(&password), "{wrong}");
        }
    }

    #[test]
    fn the_first_colon_parts_id_and_password() {
        let claim = read(b"a:b:c").unwrap().unwrap();
        assert_eq!(claim.device(), "a");
        assert_eq!(claim.password.expose(), "b:c");
    }

    #[test]
    fn padding_may_be_missing() {
        assert_eq!(read_header("YTpi").unwrap().unwrap().device(), "a");
        assert_eq!(read_header(" YTpiYg== ").unwrap().unwrap().device(), "a");
        assert_eq!(read_header("YTpiYg").unwrap().unwrap().device(), "a");
    }

    #[test]
    fn empty_credentials_are_none() {
        assert!(read(b":").unwrap().is_none());
        assert!(read(b"a:").unwrap().is_some());
        assert!(read(b":b").unwrap().is_some());
    }

    #[test]
    fn what_cannot_be_decoded_is_malformed() {
        for text in [&b""[..], b"no colon", b"\xff:b", b"a:\xc3"] {
            assert!(matches!(read(text), Err(BadProof::MalformedBasic)), "{text:?}");
        }
        for encoded in ["", "a", "!!!!", "YTp=i", "YTpi YTpi", "YT%70i"] {
            assert!(matches!(read_header(encoded), Err(BadProof::MalformedBasic)), "{encoded}");
        }
    }

    #[test]
    fn routers_send_credentials_in_the_query_under_three_pairs_of_names() {
        for query in ["username=a&password=b", "user=a&pass=b", "user=a&passwd=b", "PASSWORD=b&UserName=%61"] {
            let parameters = Parameters::read(Some(query), None);
            let claim = read_query(&parameters).unwrap();
            assert_eq!((claim.device(), claim.password.expose().as_str()), ("a", "b"), "{query}");
            assert!(claim.is_in_query());
        }
        for query in ["", "username=a", "password=b", "username=&password=", "username=a&pass=b"] {
            assert!(read_query(&Parameters::read(Some(query), None)).is_none(), "{query}");
        }
    }
}
