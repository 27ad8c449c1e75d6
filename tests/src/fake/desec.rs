//! A deSEC of our own, API version 1 (desec.readthedocs.io): records of one name and type are one set, and lists of sets
//! are changed all or none.
//!
//! Sets and statuses are those of the recorded traffic of 2025 and of the vendor's pages. The order of checks is the
//! vendor's: first each set by itself, with an entry for each; then what they mean, without telling which it was. Its
//! exact words for the latter are unknown.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const TOKEN: &str = "fake-desec-token-0123456789";
const LEAST_TTL: u32 = 3600;
const MOST_TTL: u32 = 86_400;

/// deSEC in the suite.
pub static SUBJECT: Subject = Subject {
    word: "desec",
    start,
    traits: Traits {
        dual_stack_calls: 1, // a list of sets
        batch: 50,
        replaces_sets: true,
        ttl: Some((120, LEAST_TTL)),
        ttl_by_hand: 7200,
        spoil: |settings| settings.set("token", secret("wrong-desec-token-0123456789")),
        throttled: || {
            detail(429, "Request was throttled. Expected available in 3321 seconds.").with("retry-after", "3321")
        },
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Desec { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("desec").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("token", secret(TOKEN));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Desec {
    zone: Zone,
}

impl Api for Desec {
    fn base(&self) -> &'static str {
        "/api/v1"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.credential("Token") != Some(TOKEN) {
            return detail(401, "Invalid token.").with("www-authenticate", "Token");
        }
        match (asked.method(), asked.path().as_slice()) {
            (_, ["domains", zone, ..]) if *zone != self.zone.name => detail(404, "Not found."),
            ("GET", ["domains", _, ""]) => {
                asked.only_parameters(&[]);
                let at = "2022-11-12T18:01:35.454616Z";
                let domain = json!({"created": at, "published": at, "touched": at, "name": self.zone.name,
                    "minimum_ttl": LEAST_TTL});
                Said::json(200, &domain)
            }
            ("GET", ["domains", _, "rrsets", ""]) => self.list(asked),
            ("PATCH", ["domains", _, "rrsets", ""]) => {
                let before = self.zone.records.clone();
                let done = self.patch(asked);
                if done.is_err() {
                    self.zone.records = before; // one transaction
                }
                done.unwrap_or_else(|failure| failure)
            }
            _ => asked.unknown_call(detail(404, "Not found.")),
        }
    }
}

impl Desec {
    fn list(&self, asked: &Asked) -> Said {
        asked.only_parameters(&["subname", "type", "cursor"]);
        let name = asked.parameter("subname").map(|name| self.zone.absolute(name));
        if asked.parameter("subname") == Some("@") {
            asked.mistake("subname is empty at the apex");
        }
        let mut firsts: Vec<&Record> = Vec::new();
        for record in &self.zone.records {
            let is_asked_for = name.as_ref().is_none_or(|name| *name == record.hostname)
                && asked.parameter("type").is_none_or(|kind| kind == record.record_type);
            if is_asked_for && !firsts.iter().any(|first| first.is(&record.hostname, &record.record_type)) {
                firsts.push(record);
            }
        }
        let sets: Vec<Value> = firsts.iter().map(|first| self.shown(&first.hostname, &first.record_type)).collect();
        let said = Said::json(200, &Value::from(sets));
        if asked.parameter("cursor").is_none() {
            return said;
        }
        let first = format!("<https://desec.io/api/v1/domains/{}/rrsets/?cursor=>; rel=\"first\"", self.zone.name);
        said.with("link", first)
    }

    fn patch(&mut self, asked: &Asked) -> Result<Said, Said> {
        let body = asked.json().ok_or_else(|| detail(400, "JSON parse error"))?;
        let Some(parts) = body.as_array().filter(|parts| !parts.is_empty()) else {
            return Err(Said::json(400, &json!({"non_field_errors": ["Expected a list of items."]})));
        };
        let faults: Vec<Value> =
            parts.iter().enumerate().map(|(at, part)| self.fault(asked, parts, at, part)).collect();
        if faults.iter().any(|fault| *fault != json!({})) {
            return Err(Said::json(400, &Value::from(faults)));
        }
        let mut left = Vec::new();
        for part in parts {
            let (hostname, kind) = self.key(part);
            let standing = self.zone.of(&hostname, &kind).next().map(|record| record.ttl);
            let ttl = part["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).or(standing).unwrap_or(LEAST_TTL);
            match values(part) {
                Some(values) => self.zone.replace(&hostname, &kind, ttl, &values),
                None => {
                    self.zone.records.iter_mut().filter(|one| one.is(&hostname, &kind)).for_each(|one| one.ttl = ttl)
                }
            }
            for record in self.zone.of(&hostname, &kind) {
                if !record.is_sound() {
                    return Err(meant("Record content of type A malformed."));
                }
                if self.zone.is_cname_in_the_way(record) {
                    return Err(meant(
                        "RRset with conflicting type present: no other RRsets are allowed alongside CNAME.",
                    ));
                }
            }
            if self.zone.of(&hostname, &kind).next().is_some() {
                left.push((hostname, kind));
            }
        }
        let left: Vec<Value> = left.iter().map(|(hostname, kind)| self.shown(hostname, kind)).collect();
        Ok(Said::json(200, &Value::from(left)))
    }

    /// What is wrong with one set by itself.
    fn fault(&self, asked: &Asked, parts: &[Value], at: usize, part: &Value) -> Value {
        asked.only_members(part, &["subname", "type", "ttl", "records"]);
        if part["type"].as_str().is_none_or(|kind| kind.to_ascii_uppercase() != kind) {
            return json!({"type": ["This field is required."]});
        }
        let subname = part["subname"].as_str().unwrap_or_default();
        if subname == "@" || subname.ends_with(&self.zone.name) || subname.to_ascii_lowercase() != subname {
            return json!({"subname": ["Subname can only use (lowercase) a-z, 0-9, ., -, and _."]});
        }
        if parts[..at].iter().any(|other| self.key(other) == self.key(part)) {
            return json!({"non_field_errors": ["Same subname and type as in position(s) 0, but must be unique."]});
        }
        match part["ttl"].as_u64() {
            Some(ttl) if ttl < LEAST_TTL.into() => {
                return json!({"ttl": [format!("Ensure this value is greater than or equal to {LEAST_TTL}.")]});
            }
            Some(ttl) if ttl > MOST_TTL.into() => {
                return json!({"ttl": [format!("Ensure this value is less than or equal to {MOST_TTL}.")]});
            }
            Some(_) | None => {}
        }
        let (hostname, kind) = self.key(part);
        let is_new = self.zone.of(&hostname, &kind).next().is_none();
        let is_removal = values(part).is_some_and(|values| values.is_empty());
        match () {
            () if is_new && values(part).is_none() => json!({"records": ["This field is required."]}),
            () if is_new && !is_removal && part["ttl"].is_null() => json!({"ttl": ["This field is required."]}),
            () => json!({}),
        }
    }

    fn key(&self, part: &Value) -> (String, String) {
        let hostname = self.zone.absolute(part["subname"].as_str().unwrap_or_default());
        (hostname, part["type"].as_str().unwrap_or_default().to_owned())
    }

    fn shown(&self, hostname: &str, kind: &str) -> Value {
        let (at, subname) = ("2025-10-15T23:22:14.754330Z", self.zone.relative(hostname));
        let ttl = self.zone.of(hostname, kind).next().map(|record| record.ttl);
        json!({"created": at, "domain": self.zone.name, "subname": subname, "name": format!("{hostname}."),
            "records": self.zone.contents(hostname, kind), "ttl": ttl, "type": kind, "touched": at})
    }
}

fn values(part: &Value) -> Option<Vec<String>> {
    part["records"].as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

fn meant(text: &str) -> Said {
    Said::json(400, &json!({"non_field_errors": [text]}))
}

fn detail(status: u16, text: &str) -> Said {
    Said::json(status, &json!({ "detail": text }))
}
