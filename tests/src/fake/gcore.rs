//! A Gcore of our own (Managed DNS, version 2): sets, made by `POST` and replaced by `PUT`.
//!
//! Shapes are those of the vendor's reference. Unknown, and chosen here: the words of the errors, beyond that a zone is
//! called a zone and a record a record.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const TOKEN: &str = "1234$fake-api-token-0123456789";

/// Gcore in the suite.
pub static SUBJECT: Subject = Subject {
    word: "gcore",
    start,
    traits: Traits {
        first_calls: 4, // the zone, no set, no CNAME, a write
        replaces_sets: true,
        ttl: Some((60, 120)),
        beside: || json!({"meta": {"notes": ["cellar"]}, "filters": [{"type": "geodns", "limit": 1}]}),
        spoil: |settings| settings.set("api_token", secret("1234$wrong-api-token-0123456789")),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Gcore { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("gcore").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("api_token", secret(TOKEN));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

/// What a record has beside: its own `meta`, and the `filters` of its set.
struct Gcore {
    zone: Zone,
}

impl Api for Gcore {
    fn base(&self) -> &'static str {
        "/dns/v2"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn put_by_hand(&mut self, record: Record) {
        let extra = json!({"meta": record.extra["meta"], "filters": record.extra["filters"]});
        self.zone.add(record.with(extra));
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.credential("APIKey") != Some(TOKEN) {
            return failure(401, "invalid or expired token");
        }
        asked.only_parameters(&[]);
        match (asked.method(), asked.path().as_slice()) {
            (_, ["zones", zone, ..]) if *zone != self.zone.name => failure(404, "zone is not found"),
            ("GET", ["zones", _]) => Said::json(200, &json!({"name": self.zone.name, "enabled": true})),
            ("GET", ["zones", _, name, kind]) => match self.shown(name, kind) {
                Some(set) => Said::json(200, &set),
                None => failure(404, "record is not found"),
            },
            (method @ ("POST" | "PUT"), ["zones", _, name, kind]) => {
                let stands = self.zone.of(name, kind).next().is_some();
                match (method, stands) {
                    ("POST", true) => failure(409, "rrset already exists"),
                    ("PUT", false) => failure(404, "record is not found"),
                    _ => self.write(asked, name, kind),
                }
            }
            ("DELETE", ["zones", _, name, kind]) => {
                asked.no_body();
                match self.zone.remove_all(name, kind).as_slice() {
                    [] => failure(404, "record is not found"),
                    [_, ..] => Said::json(200, &json!({})),
                }
            }
            _ => asked.unknown_call(failure(404, "page not found")),
        }
    }
}

impl Gcore {
    fn write(&mut self, asked: &Asked, name: &str, kind: &str) -> Said {
        let body = asked.json().unwrap_or_default();
        asked.only_members(&body, &["ttl", "resource_records", "filters", "pickers", "meta"]);
        let ttl = body["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(0);
        if ttl < 120 {
            return failure(400, "ttl is less than 120");
        }
        let before = self.zone.remove_all(name, kind);
        for one in body["resource_records"].as_array().into_iter().flatten() {
            asked.only_members(one, &["content", "enabled", "meta"]);
            let content = one["content"][0].as_str().unwrap_or_default();
            let extra = json!({"meta": one["meta"], "filters": body["filters"]});
            let record = Record { ttl, ..Record::new(name, kind, content).with(extra) };
            let is_wrong = !record.is_sound() || self.zone.has_same(&record) || one["content"][1] != Value::Null;
            if is_wrong || self.zone.is_cname_in_the_way(&record) || self.zone.relative(name).is_none() {
                self.zone.remove_all(name, kind);
                self.zone.records.extend(before);
                return failure(400, if is_wrong { "invalid record content" } else { "CNAME conflicts" });
            }
            self.zone.add(record);
        }
        self.shown(name, kind).map_or_else(|| failure(400, "no records"), |set| Said::json(200, &set))
    }

    fn shown(&self, name: &str, kind: &str) -> Option<Value> {
        let first = self.zone.of(name, kind).next()?;
        let record = |record: &Record| {
            let mut shown = json!({"content": [record.content], "enabled": true, "id": record.id});
            if !record.extra["meta"].is_null() {
                shown["meta"] = record.extra["meta"].clone();
            }
            shown
        };
        let records: Vec<Value> = self.zone.of(name, kind).map(record).collect();
        let mut set = json!({"name": name, "type": kind, "ttl": first.ttl, "meta": {}, "resource_records": records,
            "updated_at": "2023-11-07T05:31:56Z"});
        if !first.extra["filters"].is_null() {
            set["filters"] = first.extra["filters"].clone();
        }
        Some(set)
    }
}

fn failure(status: u16, text: &str) -> Said {
    Said::json(status, &json!({ "error": text }))
}
