//! What is remembered about a host between changes, in one line of text: the zone and, per family, the record.
//!
//! It comes back from the store, so whatever cannot be read is forgotten, never trusted.

use std::fmt;

use nicgate_protocol::{Family, Hostname};

use super::answer::{Record, is_id};

/// The first word of the line; another form gets another number.
const FORM: &str = "1";

/// A zone and what we know of the host's records in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// The configured zone for which this was found out.
    pub(super) zone: Hostname,
    pub(super) zone_id: Box<str>,
    pub(super) v4: Option<KnownRecord>,
    pub(super) v6: Option<KnownRecord>,
}

/// A record without its address, which the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownRecord {
    pub(super) id: Box<str>,
    pub(super) ttl: u32,
    pub(super) is_proxied: bool,
}

impl From<&Record> for KnownRecord {
    fn from(record: &Record) -> Self {
        Self { id: record.id.clone(), ttl: record.ttl, is_proxied: record.is_proxied }
    }
}

impl Memory {
    pub(super) fn of_zone(zone: &Hostname, zone_id: &str) -> Self {
        Self { zone: zone.clone(), zone_id: zone_id.into(), v4: None, v6: None }
    }

    pub(super) fn of(&self, family: Family) -> Option<&KnownRecord> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    pub(super) fn set(&mut self, family: Family, record: Option<KnownRecord>) {
        match family {
            Family::V4 => self.v4 = record,
            Family::V6 => self.v6 = record,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some(FORM) {
            return None;
        }
        let zone = Hostname::parse(words.next()?).ok()?;
        let zone_id = words.next().filter(|id| is_id(id))?;
        let mut memory = Self::of_zone(&zone, zone_id);
        for word in words {
            let (kind, record) = word.split_once('=')?;
            let family = Family::BOTH.into_iter().find(|family| family.record_type() == kind)?;
            memory.set(family, Some(KnownRecord::parse(record)?));
        }
        Some(memory)
    }
}

impl KnownRecord {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let id = parts.next().filter(|id| is_id(id))?;
        let ttl = parts.next()?.parse().ok()?;
        let is_proxied = match parts.next()? {
            "proxied" => true,
            "plain" => false,
            _ => return None,
        };
        parts.next().is_none().then(|| Self { id: id.into(), ttl, is_proxied })
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM} {} {}", self.zone, self.zone_id)?;
        for family in Family::BOTH {
            if let Some(record) = self.of(family) {
                let proxied = if record.is_proxied { "proxied" } else { "plain" };
                write!(f, " {}={}/{}/{proxied}", family.record_type(), record.id, record.ttl)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_comes_back() {
        for text in [
            "1 home.test z1",
            "1 home.test 0123456789abcdef A=a1/60/plain",
            "1 home.test z1 A=a1/1/proxied AAAA=b-2/300/plain",
        ] {
            assert_eq!(Memory::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_read_is_forgotten() {
        for text in [
            "",
            "1",
            "2 home.test z1",
            "1 home.test",
            "1 home z1",
            "1 home.test ../z1",
            "1 home.test z1 A",
            "1 home.test z1 A=",
            "1 home.test z1 A=a1/60",
            "1 home.test z1 A=a1/60/maybe",
            "1 home.test z1 A=a1/x/plain",
            "1 home.test z1 A=a?1/60/plain",
            "1 home.test z1 A=a1/60/plain/more",
            "1 home.test z1 MX=a1/60/plain",
            "1 home.test z1 ",
        ] {
            assert_eq!(Memory::parse(text), None, "{text:?}");
        }
    }
}
