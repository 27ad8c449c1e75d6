//! The words of dyndns2, each with the addresses it may carry: print them, and read them as a client does.
//!
//! Which HTTP status goes with a word depends on who asked: that is `gateway/src/http/reply.rs`.

use std::fmt;
use std::net::IpAddr;

use crate::address::{AddressSet, unmapped};

/// One answer, as one line of the body says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnCode {
    /// Changed: durable here and confirmed by the primary provider.
    Good(AddressSet),
    /// Nothing had to change.
    NoChg(AddressSet),
    /// Unknown device, wrong secret or signature, replay, or no credentials at all.
    BadAuth,
    /// Not this device's host, or no such host: the two look the same.
    NoHost,
    /// No full hostname.
    NotFqdn,
    /// More than 20 hostnames.
    NumHost,
    /// The address cannot be published, or the provider refused.
    DnsErr,
    /// Not now: try again later.
    NineOneOne,
    /// Refused for good.
    Abuse,
    /// A method that updates do not use.
    BadAgent,
}

impl ReturnCode {
    /// The bare word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Good(_) => "good",
            Self::NoChg(_) => "nochg",
            Self::BadAuth => "badauth",
            Self::NoHost => "nohost",
            Self::NotFqdn => "notfqdn",
            Self::NumHost => "numhost",
            Self::DnsErr => "dnserr",
            Self::NineOneOne => "911",
            Self::Abuse => "abuse",
            Self::BadAgent => "badagent",
        }
    }

    /// Whether the name now points where the client asked.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Good(_) | Self::NoChg(_))
    }

    /// The addresses of a success.
    #[must_use]
    pub fn addresses(&self) -> Option<AddressSet> {
        if let Self::Good(addresses) | Self::NoChg(addresses) = self { Some(*addresses) } else { None }
    }

    /// Reads one line of an answer, ours or another server's. `None` for a word that is not ours.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let word = words.next()?;
        let mut addresses = AddressSet::EMPTY;
        for text in words.flat_map(|rest| rest.split(',')) {
            match unmapped(text.parse().ok()?) {
                IpAddr::V4(v4) => addresses.v4 = Some(v4),
                IpAddr::V6(v6) => addresses.v6 = Some(v6),
            }
        }
        Some(match word {
            "good" => Self::Good(addresses),
            "nochg" => Self::NoChg(addresses),
            "badauth" => Self::BadAuth,
            "nohost" => Self::NoHost,
            "notfqdn" => Self::NotFqdn,
            "numhost" => Self::NumHost,
            "dnserr" => Self::DnsErr,
            "911" => Self::NineOneOne,
            "abuse" => Self::Abuse,
            "badagent" => Self::BadAgent,
            _ => return None,
        })
    }
}

/// The line without its line feed: the word, and for a success a blank and the addresses.
impl fmt::Display for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addresses() {
            Some(addresses) if !addresses.is_empty() => {
                f.write_str(self.word())?;
                f.write_str(" ")?;
                addresses.fmt(f)
            }
            _ => f.write_str(self.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_there_and_back() {
        for line in [
            "good 192.0.2.1",
            "nochg 192.0.2.1,2001:db8::1",
            "good",
            "badauth",
            "nohost",
            "notfqdn",
            "numhost",
            "dnserr",
            "911",
            "abuse",
            "badagent",
        ] {
            assert_eq!(ReturnCode::parse(line).unwrap().to_string(), line);
        }
        assert_eq!(ReturnCode::parse("<html>"), None);
        assert_eq!(ReturnCode::parse(""), None);
        assert_eq!(ReturnCode::parse("good maybe"), None);
    }

    /// inadyn takes any body that holds one of these for success (dyndns2.md 3).
    #[test]
    fn no_refusal_can_be_taken_for_success() {
        let refusals = [
            ReturnCode::BadAuth,
            ReturnCode::NoHost,
            ReturnCode::NotFqdn,
            ReturnCode::NumHost,
            ReturnCode::DnsErr,
            ReturnCode::NineOneOne,
            ReturnCode::Abuse,
            ReturnCode::BadAgent,
        ];
        for refusal in refusals {
            for success in ["ok", "good", "nochg", "true", "updated", "success"] {
                assert!(!refusal.word().contains(success), "{} holds {success}", refusal.word());
            }
        }
    }
}
