//! A Scaleway of our own (Domains and DNS, v2beta1): one `PATCH`, all of its changes or none.
//!
//! Shapes are those of the recorded traffic of 2025; types of errors those of the vendor's Go SDK. Unknown, and chosen
//! here: the words of a conflict.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const KEY: &str = "11111111-2222-3333-4444-555555555555";

/// Scaleway in the suite.
pub static SUBJECT: Subject = Subject {
    word: "scaleway",
    start,
    traits: Traits {
        first_calls: 2,      // the zone's name is all that is needed: a look, a write
        dual_stack_calls: 1, // any number of changes in one call
        batch: 50,
        replaces_sets: true,
        beside: || json!({"comment": "the box in the cellar"}),
        spoil: |settings| settings.set("secret_key", secret("99999999-2222-3333-4444-555555555555")),
        throttled: || failure(429, "too_many_requests", "too many requests"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Scaleway { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("scaleway").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("secret_key", secret(KEY));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Scaleway {
    zone: Zone,
}

/// A change, or why not.
type Done = Result<Vec<Value>, Said>;

impl Api for Scaleway {
    fn base(&self) -> &'static str {
        "/domain/v2beta1"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn put_by_hand(&mut self, record: Record) {
        let extra = if record.extra.is_null() { json!({"comment": null}) } else { record.extra.clone() };
        self.zone.add(record.with(extra));
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.header("x-auth-token") != Some(KEY) {
            return failure(401, "denied_authentication", "authentication is denied");
        }
        match (asked.method(), asked.path().as_slice()) {
            (_, ["dns-zones", zone, "records"]) if *zone != self.zone.name => {
                failure(403, "permissions_denied", "domain not found")
            }
            ("GET", ["dns-zones", _, "records"]) => {
                asked.only_parameters(&["page", "page_size", "name", "type", "order_by"]);
                let number = |name: &str, other: usize| {
                    asked.parameter(name).map_or(other, |text| text.parse().unwrap_or(other)).max(1)
                };
                let (page, size) = (number("page", 1), number("page_size", 20));
                if size > 1000 {
                    return failure(400, "invalid_arguments", "page_size");
                }
                let name = asked.parameter("name").filter(|name| !name.is_empty());
                let hostname = name.map(|name| self.zone.absolute(name));
                let fits = |record: &&Record| hostname.as_ref().is_none_or(|name| *name == record.hostname);
                let found: Vec<Value> = self.zone.records.iter().filter(fits).map(|one| self.shown(one)).collect();
                let shown: Vec<&Value> = found.iter().skip((page - 1) * size).take(size).collect();
                Said::json(200, &json!({"total_count": found.len(), "records": shown}))
            }
            ("PATCH", ["dns-zones", _, "records"]) => self.patch(asked),
            _ => asked.unknown_call(failure(404, "not_found", "resource is not found")),
        }
    }
}

impl Scaleway {
    fn patch(&mut self, asked: &Asked) -> Said {
        let body = asked.json().unwrap_or_default();
        asked.only_members(&body, &["changes", "return_all_records", "disallow_new_zone_creation"]);
        if body["disallow_new_zone_creation"] != true {
            asked.mistake("a zone that does not exist would be made");
        }
        let before = self.zone.clone();
        let mut records = Vec::new();
        for change in body["changes"].as_array().cloned().unwrap_or_default() {
            asked.only_members(&change, &["set", "delete"]);
            let done = if change["set"].is_null() { self.delete(asked, &change) } else { self.set(asked, &change) };
            match done {
                Ok(made) => records.extend(made),
                Err(refused) => {
                    self.zone = before;
                    return refused;
                }
            }
        }
        Said::json(200, &json!({ "records": records }))
    }

    /// Name and type of the records that a change is about.
    fn fields(&self, asked: &Asked, fields: &Value) -> (String, String) {
        asked.only_members(fields, &["name", "type"]);
        let kind = fields["type"].as_str().unwrap_or_default();
        if kind.is_empty() {
            asked.mistake("records of all types would go");
        }
        (self.zone.absolute(fields["name"].as_str().unwrap_or_default()), kind.to_owned())
    }

    fn set(&mut self, asked: &Asked, change: &Value) -> Done {
        let set = &change["set"];
        asked.only_members(set, &["id_fields", "records"]);
        let (hostname, kind) = self.fields(asked, &set["id_fields"]);
        self.zone.remove_all(&hostname, &kind);
        let mut made = Vec::new();
        for one in set["records"].as_array().cloned().unwrap_or_default() {
            asked.only_members(&one, &["name", "type", "data", "ttl", "comment"]);
            let text = |member: &str| one[member].as_str().unwrap_or_default();
            let ttl = one["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(0);
            let record = Record::new(&self.zone.absolute(text("name")), text("type"), text("data"));
            let record = Record { ttl, ..record }.with(json!({"comment": one["comment"]}));
            if !record.is(&hostname, &kind) || !record.is_sound() || ttl < 60 || self.zone.has_same(&record) {
                return Err(failure(400, "invalid_arguments", "invalid argument(s)"));
            }
            if self.zone.is_cname_in_the_way(&record) {
                return Err(failure(400, "invalid_arguments", "CNAME conflicts with another record"));
            }
            let record = self.zone.add(record).clone();
            made.push(self.shown(&record));
        }
        Ok(made)
    }

    fn delete(&mut self, asked: &Asked, change: &Value) -> Done {
        asked.only_members(&change["delete"], &["id_fields"]);
        let (hostname, kind) = self.fields(asked, &change["delete"]["id_fields"]);
        match self.zone.remove_all(&hostname, &kind).as_slice() {
            [] => Err(failure(404, "not_found", "resource is not found")),
            [_, ..] => Ok(Vec::new()),
        }
    }

    fn shown(&self, record: &Record) -> Value {
        json!({
            "id": format!("{:08x}-4214-abba-7688-2873fec086f6", record.id),
            "data": record.content,
            "name": self.zone.relative(&record.hostname),
            "priority": 0,
            "ttl": record.ttl,
            "type": record.record_type,
            "comment": record.extra["comment"],
        })
    }
}

fn failure(status: u16, kind: &str, message: &str) -> Said {
    Said::json(status, &json!({"type": kind, "message": message}))
}
