//! A Porkbun of our own, API version 3 (porkbun.com/api/json/v3/documentation).
//!
//! Records and answers of success are those of the recorded traffic of 2024: ids are text in lists and a number where
//! one is made. The words of refusals are those that other clients met (ddns-updater issues 536 and 546, docs.rs/
//! porkbun-api); an edit that changes nothing is refused as they say. Unknown is what an edit does with notes that it
//! does not name: it is a mistake here.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const KEY: &str = "pk1_fake0123456789";
const SECRET: &str = "sk1_fake0123456789";
/// What numbers of records begin after.
const FIRST: u64 = 432_480_000;

/// Porkbun in the suite.
pub static SUBJECT: Subject = Subject {
    word: "porkbun",
    start,
    traits: Traits {
        first_calls: 2,        // the domain's name is all that is needed: a look, a write
        ttl: Some((120, 600)), // the least
        ttl_by_hand: 3600,
        beside: || json!({"prio": "0", "notes": "the box in the cellar"}),
        spoil: |settings| settings.set("secret_api_key", secret("sk1_wrong0123456789")),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Porkbun { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("porkbun").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("api_key", secret(KEY));
    settings.set("secret_api_key", secret(SECRET));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Porkbun {
    zone: Zone,
}

impl Api for Porkbun {
    fn base(&self) -> &'static str {
        "/api/json/v3"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        matches!(asked.path().as_slice(), ["dns", "create" | "edit" | "delete", ..])
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn put_by_hand(&mut self, record: Record) {
        let extra = if record.extra.is_null() { json!({"prio": "0", "notes": null}) } else { record.extra.clone() };
        self.zone.add(record.with(extra));
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        asked.only_parameters(&[]);
        let Some(body) = asked.json() else { return failure("All API requests require an API key.") };
        match (body["apikey"].as_str(), body["secretapikey"].as_str()) {
            (Some(KEY), Some(SECRET)) => {}
            (Some(KEY), Some(_)) => return failure("Invalid API key. (002)"),
            (Some(_), _) => return failure("Invalid API key. (001)"),
            (None, _) => return failure("All API requests require an API key."),
        }
        match (asked.method(), asked.path().as_slice()) {
            ("POST", ["dns", _, zone, ..]) if *zone != self.zone.name => failure("Invalid domain."),
            ("POST", ["dns", "retrieve", _]) => {
                members(asked, &body, &[]);
                let records: Vec<Value> = self.zone.records.iter().map(shown).collect();
                success(&json!({"status": "SUCCESS", "cloudflare": "enabled", "records": records}))
            }
            ("POST", ["dns", "create", _]) => self
                .create(asked, &body)
                .unwrap_or_else(|| failure("Create error: We were unable to create the DNS record.")),
            ("POST", ["dns", "edit", _, id]) => self
                .edit(asked, &body, id)
                .unwrap_or_else(|| failure("Edit error: We were unable to edit the DNS record.")),
            ("POST", ["dns", "delete", _, id]) => {
                members(asked, &body, &[]);
                let gone = number(id).and_then(|id| self.zone.remove(id));
                gone.map_or_else(|| failure("Delete error: We were unable to delete the DNS record."), |_| done())
            }
            ("POST", ["dns", "editByNameType", ..]) => {
                asked.mistake("answers SUCCESS also where nothing stands");
                done()
            }
            _ => asked.unknown_call(failure("Invalid endpoint.")),
        }
    }
}

impl Porkbun {
    fn create(&mut self, asked: &Asked, body: &Value) -> Option<Said> {
        let record = self.named(asked, body)?.with(json!({"prio": "0", "notes": body["notes"]}));
        if self.zone.has_same(&record) || self.zone.is_cname_in_the_way(&record) {
            return None;
        }
        let id = FIRST + self.zone.add(record).id;
        Some(success(&json!({"status": "SUCCESS", "id": id})))
    }

    fn edit(&mut self, asked: &Asked, body: &Value, id: &str) -> Option<Said> {
        let known = self.zone.by_id(number(id)?)?.clone();
        let named = self.named(asked, body)?;
        let had_notes = known.extra["notes"].as_str().is_some_and(|notes| !notes.is_empty());
        if had_notes && body["notes"].is_null() {
            asked.mistake("the notes may be lost");
        }
        let mut record = Record { id: known.id, ..named }.with(known.extra.clone());
        if !body["notes"].is_null() {
            record.extra["notes"] = body["notes"].clone();
        }
        if record == known || self.zone.has_same(&record) || self.zone.is_cname_in_the_way(&record) {
            return None;
        }
        let place = self.zone.by_id_mut(known.id)?;
        *place = record;
        Some(done())
    }

    /// The record that a body names.
    fn named(&self, asked: &Asked, body: &Value) -> Option<Record> {
        members(asked, body, &["name", "type", "content", "ttl", "notes"]);
        let name = body["name"].as_str().unwrap_or_default();
        if name == "@" || name.ends_with('.') || name.ends_with(&self.zone.name) {
            asked.mistake("names are relative, empty at the apex");
        }
        let ttl = body["ttl"].as_str().map_or(body["ttl"].as_u64(), |text| text.parse().ok()).unwrap_or(600);
        if ttl < 600 {
            asked.mistake("a TTL below 600");
        }
        let record = Record::new(&self.zone.absolute(name), body["type"].as_str()?, body["content"].as_str()?);
        let record = Record { ttl: u32::try_from(ttl).ok()?, ..record };
        record.is_sound().then_some(record)
    }
}

fn members(asked: &Asked, body: &Value, known: &[&str]) {
    let keys = ["apikey", "secretapikey"];
    asked.only_members(body, &[&keys[..], known].concat());
}

fn shown(record: &Record) -> Value {
    json!({"id": (FIRST + record.id).to_string(), "name": record.hostname, "type": record.record_type,
        "content": record.content, "ttl": record.ttl.to_string(), "prio": record.extra["prio"], "notes": record.extra["notes"]})
}

fn number(id: &str) -> Option<u64> {
    id.parse::<u64>().ok()?.checked_sub(FIRST)
}

fn done() -> Said {
    success(&json!({"status": "SUCCESS"}))
}

fn success(body: &Value) -> Said {
    Said::json(200, body)
}

fn failure(message: &str) -> Said {
    Said::json(400, &json!({"status": "ERROR", "message": message}))
}
