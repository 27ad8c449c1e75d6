//! Hostnames as this project takes them: letters, digits, hyphens and underscores in labels, two labels at
//! least, an optional `*` in front (RFC 1035 2.3.4, RFC 1123 2.1, RFC 4592). Kept in lower case without the
//! final dot, so that equal names are equal text.
//!
//! Nothing here knows about zones in DNS or about who may touch a name.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name in presentation form, without the final dot (RFC 1035 2.3.4: 255 octets on the wire).
const LONGEST_NAME: usize = 253;
/// The longest label (RFC 1035 2.3.4).
const LONGEST_LABEL: usize = 63;

/// A full, lower-case name such as `home.example.com` or `*.lan.example.com`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hostname(Arc<str>);

/// Why a text is no hostname.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHostname {
    /// Nothing there at all.
    Empty,
    /// More than 253 characters, or a label of more than 63.
    TooLong,
    /// An empty label: two dots in a row, or a dot in front.
    EmptyLabel,
    /// A character that no label may hold, or a hyphen at a label's edge, or a `*` that is not the first label.
    BadLabel,
    /// One label only: not a full name.
    NotFull,
}

impl fmt::Display for BadHostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name is empty",
            Self::TooLong => "a name has at most 253 characters, a label at most 63",
            Self::EmptyLabel => "two dots stand together, or one stands in front",
            Self::BadLabel => {
                "a label holds letters, digits, \"-\" and \"_\" (no \"-\" at its edges); only the first may be \"*\""
            }
            Self::NotFull => "a full name has at least two labels, for instance \"home.example.com\"",
        })
    }
}

impl std::error::Error for BadHostname {}

impl Hostname {
    /// Reads a name in any case, with or without the final dot.
    ///
    /// # Errors
    /// When the text is not a full name; with the feature `idn`, non-ASCII letters are first turned into
    /// A-labels (RFC 5891).
    pub fn parse(text: &str) -> Result<Self, BadHostname> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_ascii() {
            check(text)?;
            if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Ok(Self(text.to_ascii_lowercase().into()));
            }
            return Ok(Self(text.into()));
        }
        Self::parse_international(text)
    }

    #[cfg(feature = "idn")]
    fn parse_international(text: &str) -> Result<Self, BadHostname> {
        if text.len() > 4 * LONGEST_NAME {
            return Err(BadHostname::TooLong);
        }
        let ascii = idna::domain_to_ascii(text).map_err(|_| BadHostname::BadLabel)?;
        check(&ascii)?;
        Ok(Self(ascii.into()))
    }

    #[cfg(not(feature = "idn"))]
    fn parse_international(_text: &str) -> Result<Self, BadHostname> {
        Err(BadHostname::BadLabel)
    }

    /// The name in lower case, without the final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the first label is `*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The labels from left to right.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The names above this one, nearest first, this one left out: `a.b.c` gives `b.c`, then `c`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        let text: &str = &self.0;
        text.match_indices('.').map(move |(dot, _)| &text[dot + 1..])
    }

    /// Whether this name is `zone` or lies below it.
    #[must_use]
    pub fn is_within(&self, zone: &Self) -> bool {
        match self.0.strip_suffix(zone.as_str()) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }
}

/// The grammar, on ASCII text without the final dot.
fn check(text: &str) -> Result<(), BadHostname> {
    if text.is_empty() {
        return Err(BadHostname::Empty);
    }
    if text.len() > LONGEST_NAME {
        return Err(BadHostname::TooLong);
    }
    let mut count = 0;
    for (index, label) in text.split('.').enumerate() {
        count += 1;
        if index == 0 && label == "*" {
            continue;
        }
        let bytes = label.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return Err(BadHostname::EmptyLabel);
        };
        if bytes.len() > LONGEST_LABEL {
            return Err(BadHostname::TooLong);
        }
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
        if *first == b'-' || *last == b'-' || !bytes.iter().all(plain) {
            return Err(BadHostname::BadLabel);
        }
    }
    let wanted = if text.starts_with("*.") { 3 } else { 2 };
    if count < wanted {
        return Err(BadHostname::NotFull);
    }
    // The last label of a name is never all digits: `192.168.1.1` is an address, not a name (RFC 1123 2.1).
    match text.rsplit('.').next() {
        Some(last) if !last.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err(BadHostname::BadLabel),
    }
}

impl FromStr for Hostname {
    type Err = BadHostname;

    fn from_str(text: &str) -> Result<Self, BadHostname> {
        Self::parse(text)
    }
}

impl Borrow<str> for Hostname {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a device may touch: one name, or with `*.` in front every name below it and the wildcard itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPattern(Hostname);

impl HostPattern {
    /// Reads `home.example.com` or `*.lan.example.com`.
    ///
    /// # Errors
    /// When the text is no hostname.
    pub fn parse(text: &str) -> Result<Self, BadHostname> {
        Hostname::parse(text).map(Self)
    }

    /// The pattern as a name; for a wildcard with its `*.`.
    #[must_use]
    pub fn as_hostname(&self) -> &Hostname {
        &self.0
    }

    /// For a wildcard the name that everything covered lies below; for a plain name nothing.
    #[must_use]
    pub fn wildcard_base(&self) -> Option<&str> {
        self.0.as_str().strip_prefix("*.")
    }

    /// Whether the pattern covers `hostname`.
    #[must_use]
    pub fn covers(&self, hostname: &Hostname) -> bool {
        match self.wildcard_base() {
            Some(base) => hostname.ancestors().any(|above| above == base),
            None => self.0 == *hostname,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_the_final_dot_make_no_difference() {
        let name = Hostname::parse("Home.Example.COM.").unwrap();
        assert_eq!(name.as_str(), "home.example.com");
        assert_eq!(name, Hostname::parse("home.example.com").unwrap());
    }

    #[test]
    fn what_is_not_a_full_name_is_told_apart() {
        for (text, why) in [
            ("", BadHostname::Empty),
            (".", BadHostname::Empty),
            ("localhost", BadHostname::NotFull),
            ("*.com", BadHostname::NotFull),
            ("a..b", BadHostname::EmptyLabel),
            (".a.b", BadHostname::EmptyLabel),
            ("a.b..", BadHostname::EmptyLabel),
            ("a b.example", BadHostname::BadLabel),
            ("-a.example", BadHostname::BadLabel),
            ("a-.example", BadHostname::BadLabel),
            ("a.*.example", BadHostname::BadLabel),
            ("*a.example.com", BadHostname::BadLabel),
            ("$(reboot).example.com", BadHostname::BadLabel),
            ("192.168.1.1", BadHostname::BadLabel),
            ("a%2eb.example", BadHostname::BadLabel),
        ] {
            assert_eq!(Hostname::parse(text), Err(why), "{text:?}");
        }
        let label = "a".repeat(64);
        assert_eq!(Hostname::parse(&format!("{label}.example")), Err(BadHostname::TooLong));
        let long = format!("{}example", "a.".repeat(130));
        assert_eq!(Hostname::parse(&long), Err(BadHostname::TooLong));
    }

    #[test]
    fn names_that_people_use_are_taken() {
        for text in [
            "home.test",
            "_dmarc.example.com",
            "a-b.c--d.example",
            "*.lan.home.test",
            "xn--bcher-kva.example",
            "1.example",
        ] {
            assert_eq!(Hostname::parse(text).unwrap().as_str(), text);
        }
    }

    #[cfg(feature = "idn")]
    #[test]
    fn letters_beyond_ascii_become_a_labels() {
        assert_eq!(Hostname::parse("Bücher.example.com").unwrap().as_str(), "xn--bcher-kva.example.com");
        assert!(Hostname::parse("a\u{202e}b.example.com").is_err());
    }

    #[test]
    fn a_name_lies_within_its_zone_and_not_beside_it() {
        let zone = Hostname::parse("home.test").unwrap();
        assert!(Hostname::parse("home.test").unwrap().is_within(&zone));
        assert!(Hostname::parse("a.b.home.test").unwrap().is_within(&zone));
        assert!(!Hostname::parse("myhome.test").unwrap().is_within(&zone));
    }

    #[test]
    fn a_wildcard_grant_covers_all_below_and_not_its_base() {
        let pattern = HostPattern::parse("*.lan.home.test").unwrap();
        for (name, covered) in [
            ("nas.lan.home.test", true),
            ("a.b.lan.home.test", true),
            ("*.lan.home.test", true),
            ("lan.home.test", false),
            ("home.test", false),
            ("xlan.home.test", false),
        ] {
            assert_eq!(pattern.covers(&Hostname::parse(name).unwrap()), covered, "{name}");
        }
    }
}
