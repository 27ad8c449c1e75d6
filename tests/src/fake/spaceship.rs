//! A Spaceship of our own: records without ids, added by `PUT` and removed by `DELETE`.
//!
//! Shapes are those of the vendor's pages (docs.spaceship.dev). Unknown, and chosen here: what is said of a wrong key,
//! of a zone or a record that is not there, and of a CNAME in the way.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const KEY: &str = "fake-api-key-0123456789";
const SECRET: &str = "fake-api-secret-0123456789";

/// Spaceship in the suite.
pub static SUBJECT: Subject = Subject {
    word: "spaceship",
    start,
    traits: Traits {
        first_calls: 2,  // the zone's name is all that is needed: a look, a write
        change_calls: 2, // no change in place: the new one, then the old one
        dual_stack_calls: 4,
        in_place: false,
        spoil: |settings| settings.set("api_secret", secret("wrong-api-secret-0123456789")),
        throttled: || failure(429, "rateLimitExceeded", "Too many requests"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Spaceship { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("spaceship").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("api_key", secret(KEY));
    settings.set("api_secret", secret(SECRET));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Spaceship {
    zone: Zone,
}

impl Api for Spaceship {
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
        if asked.header("x-api-key") != Some(KEY) || asked.header("x-api-secret") != Some(SECRET) {
            return failure(401, "unauthorized", "The API key or secret is wrong");
        }
        match (asked.method(), asked.path().as_slice()) {
            (_, ["dns", "records", zone]) if *zone != self.zone.name => {
                failure(404, "domainNotFound", "The domain was not found")
            }
            ("GET", ["dns", "records", _]) => {
                asked.only_parameters(&["take", "skip", "orderBy"]);
                let number = |name: &str| asked.parameter(name).and_then(|text| text.parse::<usize>().ok());
                let (Some(take @ 1..=500), Some(skip)) = (number("take"), number("skip")) else {
                    return failure(422, "validation", "take is between 1 and 500");
                };
                let page = self.zone.records.iter().skip(skip).take(take);
                let items: Vec<Value> = page.map(|record| self.shown(record)).collect();
                Said::json(200, &json!({"items": items, "total": self.zone.records.len()}))
            }
            ("PUT", ["dns", "records", _]) => {
                let body = asked.json().unwrap_or_default();
                asked.only_members(&body, &["force", "items"]);
                if body["force"] != false {
                    asked.mistake("with force, what conflicts is removed");
                }
                self.add(asked, &body["items"])
            }
            ("DELETE", ["dns", "records", _]) => {
                let body = asked.json().unwrap_or_default();
                self.remove(asked, &body)
            }
            _ => asked.unknown_call(failure(404, "notFound", "No such resource")),
        }
    }
}

impl Spaceship {
    fn read(&self, item: &Value) -> Record {
        let text = |member: &str| item[member].as_str().unwrap_or_default();
        Record::new(&self.zone.absolute(text("name")), text("type"), text("address"))
    }

    fn add(&mut self, asked: &Asked, items: &Value) -> Said {
        for item in items.as_array().into_iter().flatten() {
            asked.only_members(item, &["type", "name", "address", "ttl"]);
            let ttl = item["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(3600);
            let record = Record { ttl, ..self.read(item) };
            if !record.is_sound() || !(60..=3600).contains(&ttl) {
                return failure(422, "validation", "The record is not valid");
            }
            if self.zone.is_cname_in_the_way(&record) {
                return failure(422, "conflict", "A CNAME record is in the way");
            }
            let same = |known: &&mut Record| {
                known.is(&record.hostname, &record.record_type) && known.content == record.content
            };
            match self.zone.records.iter_mut().find(same) {
                Some(known) => known.ttl = ttl,
                None => {
                    self.zone.add(record);
                }
            }
        }
        Said::empty(204)
    }

    fn remove(&mut self, asked: &Asked, items: &Value) -> Said {
        for item in items.as_array().into_iter().flatten() {
            asked.only_members(item, &["type", "name", "address"]);
            let gone = self.read(item);
            let is_it = |known: &&Record| known.is(&gone.hostname, &gone.record_type) && known.content == gone.content;
            let Some(id) = self.zone.records.iter().find(is_it).map(|known| known.id) else {
                return failure(404, "recordNotFound", "The record was not found");
            };
            self.zone.remove(id);
        }
        Said::empty(204)
    }

    fn shown(&self, record: &Record) -> Value {
        let name = self.zone.relative(&record.hostname).filter(|name| !name.is_empty()).unwrap_or("@");
        let value = match record.record_type.as_str() {
            "A" | "AAAA" => "address",
            "CNAME" => "cname",
            _ => "value",
        };
        json!({"type": record.record_type, "name": name, value: record.content, "ttl": record.ttl,
            "group": {"type": "custom"}})
    }
}

fn failure(status: u16, code: &str, detail: &str) -> Said {
    Said::json(status, &json!({ "detail": detail })).with("spaceship-error-code", code)
}
