//! What is remembered about a host between changes, in one line of text: the zone, and for each type the record.
//!
//! It comes back from the store, so whatever cannot be read is forgotten, never trusted.

use std::fmt::Write as _;

use nicgate_protocol::{Family, Hostname};

use super::Known;
use crate::provider::encode::{percent_decoded, percent_encoded};

/// The first word of the line; another form gets another number.
const FORM: &str = "2";

/// A zone at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) name: Hostname,
    pub(super) id: String,
}

/// What we know of a host's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Whether it was written for this zone; nothing can be said without.
    pub(super) is_of_zone: bool,
    v4: Option<Known>,
    v6: Option<Known>,
}

impl Memory {
    pub(super) fn of(&self, family: Family) -> Option<&Known> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    pub(super) fn set(&mut self, family: Family, known: Option<Known>) {
        match family {
            Family::V4 => self.v4 = known,
            Family::V6 => self.v6 = known,
        }
    }

    /// `None` when it is no memory, or one of another configured zone.
    pub(super) fn parse(text: &str, configured: &Hostname) -> Option<(Zone, Self)> {
        let mut words = text.split(' ');
        if words.next() != Some(FORM) || words.next() != Some(configured.as_str()) {
            return None;
        }
        let name = Hostname::parse(words.next()?).ok().filter(|zone| configured.is_within(zone))?;
        let id = percent_decoded(words.next()?.strip_prefix("id=")?)?;
        let mut memory = Self { is_of_zone: true, ..Self::default() };
        for word in words {
            let (kind, known) = word.split_once('=')?;
            let family = Family::BOTH.into_iter().find(|family| family.record_type() == kind)?;
            let mut parts = known.split('/');
            let id = percent_decoded(parts.next()?)?.into();
            let ttl = parts.next()?.parse().ok()?;
            let note = percent_decoded(parts.next()?)?.into();
            if parts.next().is_some() {
                return None;
            }
            memory.set(family, Some(Known { id, ttl, note }));
        }
        Some((Zone { name, id }, memory))
    }

    pub(super) fn write(&self, zone: &Zone, configured: &Hostname) -> String {
        let mut text = format!("{FORM} {configured} {} id={}", zone.name, percent_encoded(&zone.id));
        for family in Family::BOTH {
            if let Some(Known { id, ttl, note }) = self.of(family) {
                let (kind, id, note) = (family.record_type(), percent_encoded(id), percent_encoded(note));
                // Writing into a String cannot fail.
                let _ = write!(text, " {kind}={id}/{ttl}/{note}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_anything_else_forgotten() {
        let configured = Hostname::parse("dyn.home.test").unwrap();
        let zone = Zone { name: Hostname::parse("home.test").unwrap(), id: "a/b c".into() };
        let mut memory = Memory { is_of_zone: true, ..Memory::default() };
        memory.set(Family::V6, Some(Known { id: "=1 /".into(), ttl: 300, note: "".into() }));
        let text = memory.write(&zone, &configured);
        assert_eq!(text, "2 dyn.home.test home.test id=a%2Fb%20c AAAA=%3D1%20%2F/300/");
        assert_eq!(Memory::parse(&text, &configured), Some((zone, memory)));
        for other in [
            "",
            "2",
            "1 dyn.home.test home.test id=1",
            "2 dyn.home.test other.test id=1",
            "2 dyn.home.test home.test 1",
            "2 other.home.test home.test id=1",
            "2 dyn.home.test home.test id=1 TXT=1/60/",
            "2 dyn.home.test home.test id=1 A=1/60",
            "2 dyn.home.test home.test id=1 A=1/x/",
            "2 dyn.home.test home.test id=1 A=1/60//",
            "2 dyn.home.test home.test id=%zz",
        ] {
            assert_eq!(Memory::parse(other, &configured), None, "{other}");
        }
    }
}
