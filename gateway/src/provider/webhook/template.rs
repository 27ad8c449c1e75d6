//! Texts with words in braces: `{ip}`. ddns-go's spelling, `#{ip}`, is understood as well.
//!
//! A value is escaped for the place where it stands; what an operator wrote around it is sent as written. Braces that
//! hold no word, such as those of JSON, are text.

use nicgate_protocol::{AddressSet, Family, Hostname};

use crate::provider::encode::{percent_encoded, relative};

/// Where a value stands, and so how it is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Within a JSON string.
    Json,
    /// As it is.
    Plain,
    /// In a URL or a form: everything but unreserved characters as `%XX`.
    Url,
}

/// A word that stands for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The whole name.
    Hostname,
    /// The address of the family that this call is about.
    Ip,
    /// Of all addresses of the host the one of this family, also where the call is about the other.
    Ipv4,
    Ipv6,
    /// The name within its zone; `@` for the zone itself.
    Subdomain,
    /// Unix seconds.
    Timestamp,
    Ttl,
    /// `A` or `AAAA`, of the family that this call is about.
    Type,
    Zone,
}

/// As they are written; `domain` is the zone, as most scripts have it.
const WORDS: [(&str, Word); 10] = [
    ("hostname", Word::Hostname),
    ("domain", Word::Zone),
    ("subdomain", Word::Subdomain),
    ("zone", Word::Zone),
    ("type", Word::Type),
    ("ip", Word::Ip),
    ("ipv4", Word::Ipv4),
    ("ipv6", Word::Ipv6),
    ("ttl", Word::Ttl),
    ("timestamp", Word::Timestamp),
];

/// As ddns-go writes them after a `#`; its `domain` is the whole name.
const FOREIGN_WORDS: [(&str, Word); 4] =
    [("domain", Word::Hostname), ("ip", Word::Ip), ("recordType", Word::Type), ("ttl", Word::Ttl)];

/// What the words stand for in one call.
#[derive(Clone, Debug)]
pub(super) struct Values<'a> {
    pub(super) hostname: &'a Hostname,
    pub(super) zone: &'a Hostname,
    /// All of the host's.
    pub(super) addresses: AddressSet,
    /// Of a call about one family only.
    pub(super) family: Option<Family>,
    /// In seconds.
    pub(super) ttl: u32,
    /// In seconds since 1970.
    pub(super) timestamp: u64,
}

impl Values<'_> {
    fn of(&self, word: Word) -> String {
        let address = |family| self.addresses.of(family).map(|address| address.to_string()).unwrap_or_default();
        match word {
            Word::Hostname => self.hostname.to_string(),
            Word::Ip => self.family.map(address).unwrap_or_default(),
            Word::Ipv4 => address(Family::V4),
            Word::Ipv6 => address(Family::V6),
            Word::Subdomain => relative(self.hostname, self.zone, "@").to_owned(),
            Word::Timestamp => self.timestamp.to_string(),
            Word::Ttl => self.ttl.to_string(),
            Word::Type => self.family.map(Family::record_type).unwrap_or_default().to_owned(),
            Word::Zone => self.zone.to_string(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Word(Word),
}

/// A text with words. Its `Debug` shows the text: keep it out of logs where that holds a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// The word in braces that nothing stands for.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let (mut plain, mut rest) = (String::new(), text);
        while let Some(at) = rest.find('{') {
            let (before, after) = (&rest[..at], &rest[at + 1..]);
            let word = after.split_once('}').map(|(word, _)| word).filter(|word| is_wordlike(word));
            let Some(word) = word else {
                plain.push_str(&rest[..=at]);
                rest = after;
                continue;
            };
            let foreign = before.strip_suffix('#');
            let known: &[(&str, Word)] = if foreign.is_some() { &FOREIGN_WORDS } else { &WORDS };
            let Some((_, found)) = known.iter().find(|(name, _)| *name == word) else {
                let sign = if foreign.is_some() { "#" } else { "" };
                let words: Vec<String> = known.iter().map(|(name, _)| format!("{sign}{{{name}}}")).collect();
                return Err(format!("{sign}{{{word}}} stands for nothing; there are {}", words.join(" ")));
            };
            plain.push_str(foreign.unwrap_or(before));
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(Part::Word(*found));
            rest = &after[word.len() + 1..];
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self { parts })
    }

    /// Whether a word occurs.
    pub(super) fn has(&self, word: Word) -> bool {
        self.parts.contains(&Part::Word(word))
    }

    /// Whether an address occurs.
    pub(super) fn has_address(&self) -> bool {
        [Word::Ip, Word::Ipv4, Word::Ipv6].into_iter().any(|word| self.has(word))
    }

    /// What stands before the first word.
    pub(super) fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            Some(Part::Word(_)) | None => "",
        }
    }

    /// The text with the values in place of the words.
    pub(super) fn fill(&self, values: &Values<'_>, place: Place) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Word(word) => escaped(&values.of(*word), place),
        };
        self.parts.iter().map(part).collect()
    }
}

fn is_wordlike(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn escaped(text: &str, place: Place) -> String {
    match place {
        Place::Plain => text.to_owned(),
        Place::Url => percent_encoded(text),
        Place::Json => {
            let quoted = serde_json::Value::from(text).to_string();
            // A JSON string begins and ends with a quotation mark.
            quoted[1..quoted.len() - 1].to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::set;

    fn fill(text: &str, place: Place) -> String {
        let (hostname, zone) = (Hostname::parse("*.lan.home.test").unwrap(), Hostname::parse("home.test").unwrap());
        let values = Values {
            hostname: &hostname,
            zone: &zone,
            addresses: set("192.0.2.1,2001:db8::1"),
            family: Some(Family::V6),
            ttl: 60,
            timestamp: 1_795_348_800,
        };
        Template::parse(text).unwrap().fill(&values, place)
    }

    #[test]
    fn words_are_filled_in_for_their_place() {
        for (text, place, filled) in [
            (
                "https://x.test/{zone}/{subdomain}?a={ip}",
                Place::Url,
                "https://x.test/home.test/%2A.lan?a=2001%3Adb8%3A%3A1",
            ),
            (
                r#"{"h": "{hostname}", "t": {ttl}, "x": {}}"#,
                Place::Json,
                r#"{"h": "*.lan.home.test", "t": 60, "x": {}}"#,
            ),
            ("{type} {ipv4} {ipv6} {domain}", Place::Plain, "AAAA 192.0.2.1 2001:db8::1 home.test"),
            ("#{ip} #{domain} #{recordType} #{ttl}", Place::Plain, "2001:db8::1 *.lan.home.test AAAA 60"),
            ("{timestamp}#", Place::Plain, "1795348800#"),
            ("{ {not one} { ip} {", Place::Plain, "{ {not one} { ip} {"),
            ("", Place::Plain, ""),
        ] {
            assert_eq!(fill(text, place), filled);
        }
        assert_eq!(escaped("a\"b\\\n", Place::Json), r#"a\"b\\\n"#);
    }

    #[test]
    fn a_word_for_nothing_is_named() {
        for (text, word) in [("{ipaddr}", "{ipaddr}"), ("#{zone}", "#{zone}"), ("{\"a\": \"{IP}\"}", "{IP}")] {
            assert!(Template::parse(text).unwrap_err().starts_with(word), "{text}");
        }
    }
}
