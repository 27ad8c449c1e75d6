//! What every fake keeps: one zone with its records. Each API shows them in its own form.

use std::net::IpAddr;

use serde_json::Value;

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// A number of its own, counted from 1. Fakes write it as their vendor writes ids.
    pub id: u64,
    /// The whole name, in lower case, without the final dot; a wildcard as `*`.
    pub hostname: String,
    /// `A`, `AAAA`, `TXT`, …
    pub record_type: String,
    /// The value, addresses as Rust spells them.
    pub content: String,
    /// In seconds.
    pub ttl: u32,
    /// What this vendor's records have beside: comment, line, proxied, weight.
    pub extra: Value,
}

impl Record {
    /// A record with a TTL of 300 and nothing beside.
    #[must_use]
    pub fn new(hostname: &str, record_type: &str, content: &str) -> Self {
        Self {
            id: 0,
            hostname: hostname.to_owned(),
            record_type: record_type.to_owned(),
            content: content.to_owned(),
            ttl: 300,
            extra: Value::Null,
        }
    }

    /// The same with something beside.
    #[must_use]
    pub fn with(self, extra: Value) -> Self {
        Self { extra, ..self }
    }

    /// Whether it is of this name and type.
    #[must_use]
    pub fn is(&self, hostname: &str, record_type: &str) -> bool {
        self.hostname == hostname && self.record_type == record_type
    }

    /// Whether its content fits its type, as far as fakes look: every type but A and AAAA takes any text.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        match (self.record_type.as_str(), self.content.parse::<IpAddr>()) {
            ("A", address) => matches!(address, Ok(IpAddr::V4(_))),
            ("AAAA", address) => matches!(address, Ok(IpAddr::V6(_))),
            (_, _) => !self.content.is_empty(),
        }
    }
}

/// A zone.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Its records, the oldest first.
    pub records: Vec<Record>,
    made: u64,
}

impl Zone {
    /// An empty one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), records: Vec::new(), made: 0 }
    }

    /// Takes a record and gives it a number.
    pub fn add(&mut self, record: Record) -> &Record {
        self.made += 1;
        self.records.push(Record { id: self.made, ..record });
        self.records.last().expect("it was pushed")
    }

    /// The records of a name and type.
    pub fn of<'a>(&'a self, hostname: &'a str, record_type: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records.iter().filter(move |record| record.is(hostname, record_type))
    }

    /// The contents of the records of a name and type.
    #[must_use]
    pub fn contents(&self, hostname: &str, record_type: &str) -> Vec<String> {
        self.of(hostname, record_type).map(|record| record.content.clone()).collect()
    }

    /// A record by its number.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<&Record> {
        self.records.iter().find(|record| record.id == id)
    }

    /// A record by its number, to be changed.
    pub fn by_id_mut(&mut self, id: u64) -> Option<&mut Record> {
        self.records.iter_mut().find(|record| record.id == id)
    }

    /// Takes a record out.
    pub fn remove(&mut self, id: u64) -> Option<Record> {
        let at = self.records.iter().position(|record| record.id == id)?;
        Some(self.records.remove(at))
    }

    /// Takes all records of a name and type out, as they stood.
    pub fn remove_all(&mut self, hostname: &str, record_type: &str) -> Vec<Record> {
        let (gone, left) = std::mem::take(&mut self.records).into_iter().partition(|one| one.is(hostname, record_type));
        self.records = left;
        gone
    }

    /// Puts these contents in the place of all records of a name and type. The first ones keep number and extra.
    pub fn replace(&mut self, hostname: &str, record_type: &str, ttl: u32, contents: &[String]) {
        let mut before = self.remove_all(hostname, record_type).into_iter();
        for content in contents {
            match before.next() {
                Some(old) => self.records.push(Record { content: content.clone(), ttl, ..old }),
                None => {
                    self.add(Record { ttl, ..Record::new(hostname, record_type, content) });
                }
            }
        }
    }

    /// Whether a CNAME would stand beside something else, were this record there.
    #[must_use]
    pub fn is_cname_in_the_way(&self, record: &Record) -> bool {
        let beside = self.records.iter().filter(|other| other.id != record.id && other.hostname == record.hostname);
        beside.into_iter().any(|other| other.record_type == "CNAME" || record.record_type == "CNAME")
    }

    /// Whether the same record is there already, under another number.
    #[must_use]
    pub fn has_same(&self, record: &Record) -> bool {
        let same = |other: &Record| other.is(&record.hostname, &record.record_type) && other.content == record.content;
        self.records.iter().any(|other| other.id != record.id && same(other))
    }

    /// The name relative to the zone, empty at the root. `None` when it lies elsewhere.
    #[must_use]
    pub fn relative<'a>(&self, hostname: &'a str) -> Option<&'a str> {
        let label = hostname.strip_suffix(&self.name)?;
        if label.is_empty() { Some("") } else { label.strip_suffix('.').filter(|label| !label.is_empty()) }
    }

    /// The whole name of a relative one; empty and `@` are the root.
    #[must_use]
    pub fn absolute(&self, relative: &str) -> String {
        match relative {
            "" | "@" => self.name.clone(),
            label => format!("{label}.{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_zone_and_back() {
        let zone = Zone::new("home.test");
        for (hostname, relative) in [
            ("home.test", Some("")),
            ("nas.home.test", Some("nas")),
            ("*.lan.home.test", Some("*.lan")),
            ("nasxhome.test", None),
            ("elsewhere.test", None),
        ] {
            assert_eq!(zone.relative(hostname), relative, "{hostname}");
            if let Some(relative) = relative {
                assert_eq!(zone.absolute(relative), hostname);
            }
        }
    }

    #[test]
    fn replacing_keeps_what_stands_beside() {
        let mut zone = Zone::new("home.test");
        zone.add(Record::new("a.home.test", "A", "192.0.2.1").with("by hand".into()));
        zone.add(Record::new("a.home.test", "TXT", "words"));
        zone.replace("a.home.test", "A", 60, &["192.0.2.2".to_owned(), "192.0.2.3".to_owned()]);
        let kept = zone.of("a.home.test", "A").next().unwrap();
        assert_eq!((kept.id, kept.ttl, &kept.extra), (1, 60, &Value::from("by hand")));
        assert_eq!(zone.contents("a.home.test", "A"), ["192.0.2.2", "192.0.2.3"]);
        assert_eq!(zone.contents("a.home.test", "TXT"), ["words"]);
    }
}
