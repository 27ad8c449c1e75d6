//! A NameSilo of our own, API version 1: `GET` for everything, the key in the query, a new id with each change.
//!
//! Fields and codes are those of the recorded traffic of 2016 (XML, the same fields) and of the vendor's table of codes.
//! Unknown, and chosen here: which number code 280 carries in words.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const KEY: &str = "fakeapikey0123456789";

/// NameSilo in the suite.
pub static SUBJECT: Subject = Subject {
    word: "namesilo",
    start,
    traits: Traits {
        first_calls: 2, // the zone's name is all that is needed: a look, a write
        ttl: Some((120, 3600)),
        ttl_by_hand: 7207,
        spoil: |settings| settings.set("api_key", secret("wrongapikey0123456789")),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(NameSilo { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("namesilo").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("api_key", secret(KEY));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct NameSilo {
    zone: Zone,
}

impl Api for NameSilo {
    fn base(&self) -> &'static str {
        "/api"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.path().first().is_some_and(|operation| *operation != "dnsListRecords")
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.parameter("version") != Some("1") || asked.parameter("type") != Some("json") {
            asked.mistake("version=1 and type=json are wanted");
        }
        if asked.parameter("key") != Some(KEY) {
            return failure(110, "Invalid API Key");
        }
        if asked.parameter("domain") != Some(self.zone.name.as_str()) {
            return failure(200, "Domain is not active, or does not belong to this user");
        }
        let common = ["version", "type", "key", "domain"];
        match (asked.method(), asked.path().as_slice()) {
            ("GET", ["dnsListRecords"]) => {
                asked.only_parameters(&common);
                let shown = |record: &Record| {
                    json!({"record_id": id(record.id), "type": record.record_type, "host": record.hostname,
                        "value": record.content, "ttl": record.ttl.to_string(), "distance": "0"})
                };
                let records: Vec<Value> = self.zone.records.iter().map(shown).collect();
                let more = if records.is_empty() { json!({}) } else { json!({ "resource_record": records }) };
                said(&more)
            }
            ("GET", ["dnsAddRecord"]) => {
                asked.only_parameters(&[&common[..], &["rrtype", "rrhost", "rrvalue", "rrttl"]].concat());
                let kind = asked.parameter("rrtype").unwrap_or_default();
                self.write(asked, &Record::new("", kind, ""))
            }
            ("GET", ["dnsUpdateRecord"]) => {
                asked.only_parameters(&[&common[..], &["rrid", "rrhost", "rrvalue", "rrttl"]].concat());
                let known = asked.parameter("rrid").and_then(number).and_then(|id| self.zone.by_id(id)).cloned();
                match known {
                    Some(known) => self.write(asked, &known),
                    None => failure(280, "could not update resource record: invalid record_id"),
                }
            }
            ("GET", ["dnsDeleteRecord"]) => {
                asked.only_parameters(&[&common[..], &["rrid"]].concat());
                match asked.parameter("rrid").and_then(number).and_then(|id| self.zone.remove(id)) {
                    Some(_) => said(&json!({})),
                    None => failure(280, "could not delete resource record: invalid record_id"),
                }
            }
            _ => asked.unknown_call(failure(107, "Invalid API operation")),
        }
    }
}

impl NameSilo {
    /// Makes a record, or another in the place of `known`, under a new id.
    fn write(&mut self, asked: &Asked, known: &Record) -> Said {
        let text = |name: &str| asked.parameter(name).unwrap_or_default();
        let Ok(ttl) = text("rrttl").parse() else {
            return failure(108, "Missing parameters for the specified operation");
        };
        let record = Record::new(&self.zone.absolute(text("rrhost")), &known.record_type, text("rrvalue"));
        let record = Record { id: known.id, ttl, ..record };
        let is_wrong = !record.is_sound() || !(3600..=2_592_000).contains(&ttl);
        if is_wrong || self.zone.has_same(&record) || self.zone.is_cname_in_the_way(&record) {
            return failure(
                280,
                "could not write resource record: the value is invalid, or CNAME or the same is there",
            );
        }
        self.zone.remove(known.id);
        let record = self.zone.add(record);
        said(&json!({"record_id": id(record.id)}))
    }
}

fn id(number: u64) -> String {
    format!("{number:032x}")
}

fn number(id: &str) -> Option<u64> {
    u64::from_str_radix(id, 16).ok().filter(|_| id.len() == 32)
}

fn said(more: &Value) -> Said {
    let mut reply = more.clone();
    reply["code"] = 300.into();
    reply["detail"] = "success".into();
    Said::json(200, &json!({"request": {"operation": "x", "ip": "192.0.2.250"}, "reply": reply}))
}

fn failure(code: u32, detail: &str) -> Said {
    let reply = json!({"code": code, "detail": detail});
    Said::json(200, &json!({"request": {"operation": "x", "ip": "192.0.2.250"}, "reply": reply}))
}
