//! A dynv6 of our own, API version 2, after dynv6.github.io/api-spec: zones with addresses of their own, and records
//! below them. Errors come as a bare status, but for values that do not fit (422 with `error`).
//!
//! How a zone's own address is taken away, and what a PATCH of a zone answers besides 200, is not in the specification:
//! the first is a mistake here, the second nothing.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const ID: u64 = 4711;
const TOKEN: &str = "fake-token-0123456789";
const TTL: u32 = 60;
const MEMBERS: [(&str, &str); 2] = [("A", "ipv4address"), ("AAAA", "ipv6prefix")];

/// dynv6 in the suite.
pub static SUBJECT: Subject = Subject {
    word: "dynv6",
    start,
    traits: Traits {
        ttl: None,
        ttl_by_hand: TTL,
        spoil: |settings| settings.set("token", secret("wrong-token-0123456789")),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Dynv6 { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("dynv6").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("token", secret(TOKEN));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

/// The API.
pub struct Dynv6 {
    zone: Zone,
}

impl Api for Dynv6 {
    fn base(&self) -> &'static str {
        "/api/v2"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn put_by_hand(&mut self, record: Record) {
        self.zone.add(Record { ttl: TTL, ..record });
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.credential("Bearer") != Some(TOKEN) {
            return Said::empty(401);
        }
        asked.only_parameters(&[]);
        let body = if asked.body().is_empty() { Some(Value::Null) } else { asked.json() };
        let Some(body) = body else { return Said::empty(400) };
        let id = ID.to_string();
        match (asked.method(), asked.path().as_slice()) {
            ("GET", ["zones", "by-name", name]) if *name == self.zone.name => Said::json(200, &self.shown_zone()),
            ("GET", ["zones", zone]) if *zone == id => Said::json(200, &self.shown_zone()),
            ("PATCH", ["zones", zone]) if *zone == id => self.change_zone(asked, &body),
            ("GET", ["zones", zone, "records"]) if *zone == id => {
                let below = self.zone.records.iter().filter(|record| record.hostname != self.zone.name);
                Said::json(200, &below.map(|record| self.shown(record)).collect())
            }
            ("POST", ["zones", zone, "records"]) if *zone == id => {
                asked.only_members(&body, &["name", "type", "data", "priority"]);
                let name = body["name"].as_str().unwrap_or_default();
                if name.is_empty() {
                    asked.mistake("the zone's own addresses are no records");
                }
                let kind = body["type"].as_str().unwrap_or_default();
                let record = Record { ttl: TTL, ..Record::new(&self.zone.absolute(name), kind, "") };
                self.write(record, &body)
            }
            (method, ["zones", zone, "records", record]) if *zone == id => {
                let known = record.parse().ok().and_then(|id| self.zone.by_id(id)).cloned();
                match (method, known) {
                    (_, None) => Said::empty(404),
                    ("DELETE", Some(known)) => {
                        asked.no_body();
                        self.zone.remove(known.id);
                        Said::empty(204)
                    }
                    ("PATCH", Some(known)) => {
                        asked.only_members(&body, &["data", "priority"]);
                        self.write(known, &body)
                    }
                    _ => asked.unknown_call(Said::empty(404)),
                }
            }
            (_, ["zones", ..]) => Said::empty(404),
            _ => asked.unknown_call(Said::empty(404)),
        }
    }
}

impl Dynv6 {
    fn shown_zone(&self) -> Value {
        let mut shown = json!({"id": ID, "name": self.zone.name, "createdAt": "2020-01-01T00:00:00Z",
            "updatedAt": "2020-01-01T00:00:00Z"});
        for (kind, member) in MEMBERS {
            shown[member] = json!(self.zone.contents(&self.zone.name, kind).concat());
        }
        shown
    }

    fn change_zone(&mut self, asked: &Asked, body: &Value) -> Said {
        asked.only_members(body, &["ipv4address", "ipv6prefix"]);
        let name = self.zone.name.clone();
        for (kind, member) in MEMBERS {
            let Some(value) = body.get(member) else { continue };
            let record = Record::new(&name, kind, value.as_str().unwrap_or_default());
            if record.content.is_empty() {
                asked.mistake("nobody knows what this does");
            }
            if !record.is_sound() {
                return invalid(member);
            }
            self.zone.replace(&name, kind, TTL, &[record.content]);
        }
        Said::empty(200)
    }

    fn write(&mut self, record: Record, body: &Value) -> Said {
        let record = Record { content: body["data"].as_str().unwrap_or_default().to_owned(), ..record };
        if !record.is_sound() || self.zone.has_same(&record) || self.zone.is_cname_in_the_way(&record) {
            return invalid("data");
        }
        let stands = match self.zone.by_id_mut(record.id) {
            Some(place) => {
                *place = record.clone();
                record
            }
            None => self.zone.add(record).clone(),
        };
        Said::json(200, &self.shown(&stands))
    }

    fn shown(&self, record: &Record) -> Value {
        let name = self.zone.relative(&record.hostname).unwrap_or_default();
        json!({"id": record.id, "zoneID": ID, "name": name, "type": record.record_type, "data": record.content})
    }
}

fn invalid(field: &str) -> Said {
    let fields = json!([{"name": field, "message": "is invalid"}]);
    Said::json(422, &json!({"error": {"name": "ValidationError", "message": "validation failed", "fields": fields}}))
}
