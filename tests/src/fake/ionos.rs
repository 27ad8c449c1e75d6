//! An IONOS of our own (hosted domains, DNS API version 1).
//!
//! Shapes are those of the recorded traffic of 2024, error lists those of the vendor's examples. Unknown, and chosen
//! here: the words of a conflict.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const KEY: &str = "fakeprefix0123.fake-secret-0123456789";
const ZONE_ID: &str = "77f076a3-34e2-5e16-621f-ba41bee1567d";

/// IONOS in the suite.
pub static SUBJECT: Subject = Subject {
    word: "ionos",
    start,
    traits: Traits {
        spoil: |settings| settings.set("api_key", secret("fakeprefix0123.wrong-secret-0123456789")),
        throttled: || failure(429, "RATE_LIMIT_EXCEEDED", "Too many requests"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Ionos { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("ionos").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("api_key", secret(KEY));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Ionos {
    zone: Zone,
}

impl Api for Ionos {
    fn base(&self) -> &'static str {
        "/dns/v1"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.header("x-api-key") != Some(KEY) {
            return failure(401, "UNAUTHORIZED", "The customer is not authorized to do this operation.");
        }
        let zone = json!({"name": self.zone.name, "id": ZONE_ID, "type": "NATIVE"});
        match (asked.method(), asked.path().as_slice()) {
            ("GET", ["zones"]) => {
                asked.only_parameters(&[]);
                Said::json(200, &json!([{"name": "elsewhere.example", "id": "x", "type": "NATIVE"}, zone]))
            }
            (_, ["zones", id, ..]) if *id != ZONE_ID => failure(404, "ZONE_NOT_FOUND", "Zone does not exist."),
            ("GET", ["zones", _]) => {
                asked.only_parameters(&["recordName", "recordType", "suffix"]);
                let fits = |record: &&Record| {
                    asked.parameter("recordName").is_none_or(|name| name == record.hostname)
                        && asked.parameter("recordType").is_none_or(|kinds| kinds.contains(&record.record_type))
                };
                let records: Vec<Value> = self.zone.records.iter().filter(fits).map(|one| self.shown(one)).collect();
                let mut zone = zone;
                zone["records"] = records.into();
                Said::json(200, &zone)
            }
            ("POST", ["zones", _, "records"]) => self.create(asked),
            ("PUT", ["zones", _, "records", id]) => self.change(asked, id),
            ("DELETE", ["zones", _, "records", id]) => {
                asked.no_body();
                match number(id).and_then(|id| self.zone.remove(id)) {
                    Some(_) => Said::empty(200),
                    None => no_record(),
                }
            }
            ("PUT" | "PATCH", ["zones", _]) => {
                asked.mistake("records of others would be replaced");
                failure(400, "INVALID_REQUEST", "Not here.")
            }
            _ => asked.unknown_call(failure(404, "NOT_FOUND", "No such resource.")),
        }
    }
}

impl Ionos {
    fn create(&mut self, asked: &Asked) -> Said {
        let body = asked.json().unwrap_or_default();
        let Some([one]) = body.as_array().map(Vec::as_slice) else {
            asked.mistake("new records come as a list, here of one");
            return failure(400, "INVALID_REQUEST", "A list of records is wanted.");
        };
        asked.only_members(one, &["name", "type", "content", "ttl", "prio", "disabled"]);
        let text = |member: &str| one[member].as_str().unwrap_or_default();
        match self.checked(Record::new(text("name"), text("type"), ""), one) {
            Ok(record) => {
                let record = self.zone.add(record).clone();
                Said::json(201, &json!([self.shown(&record)]))
            }
            Err(refused) => refused,
        }
    }

    fn change(&mut self, asked: &Asked, id: &str) -> Said {
        let Some(record) = number(id).and_then(|id| self.zone.by_id(id)).cloned() else { return no_record() };
        let body = asked.json().unwrap_or_default();
        asked.only_members(&body, &["content", "ttl", "prio", "disabled"]);
        match self.checked(record, &body) {
            Ok(record) => {
                let shown = self.shown(&record);
                if let Some(place) = self.zone.by_id_mut(record.id) {
                    *place = record;
                }
                Said::json(200, &shown)
            }
            Err(refused) => refused,
        }
    }

    fn checked(&self, record: Record, body: &Value) -> Result<Record, Said> {
        let ttl = body["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(3600);
        let record = Record { content: body["content"].as_str().unwrap_or_default().to_owned(), ttl, ..record };
        let refuse = |what: &str| {
            let parameters = json!({"invalidFields": [what], "errorRecord": body});
            let error = json!({"code": "INVALID_RECORD", "message": what, "parameters": parameters});
            Err(Said::json(400, &json!([error])))
        };
        match record {
            // "IONOS rejects a bare label."
            _ if self.zone.relative(&record.hostname).is_none() => refuse("name"),
            _ if !record.is_sound() => refuse("content"),
            _ if ttl < 60 => refuse("ttl"),
            _ if self.zone.has_same(&record) => refuse("the record exists"),
            _ if self.zone.is_cname_in_the_way(&record) => refuse("CNAME"),
            _ => Ok(record),
        }
    }

    fn shown(&self, record: &Record) -> Value {
        json!({
            "id": id(record.id),
            "name": record.hostname,
            "rootName": self.zone.name,
            "type": record.record_type,
            "content": record.content,
            "changeDate": "2024-11-28T13:45:43.504Z",
            "ttl": record.ttl,
            "disabled": false,
        })
    }
}

fn id(number: u64) -> String {
    format!("{number:08x}-9cae-88f9-8020-e79dc72621ac")
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.get(..8)?, 16).ok().filter(|number| id(*number) == text)
}

fn no_record() -> Said {
    failure(404, "RECORD_NOT_FOUND", "Record does not exist.")
}

fn failure(status: u16, code: &str, message: &str) -> Said {
    Said::json(status, &json!([{"code": code, "message": message}]))
}
