//! A Vultr of our own, API version 2 (www.vultr.com/api, dns).
//!
//! Records, lists and statuses are those of the recorded traffic of 2021; a change is answered with nothing. Unknown are
//! the words of 400 and 404, the least TTL, and whether the same record is taken twice: it is a mistake here.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const KEY: &str = "FAKEKEY0123456789";
/// Records on one page here. The real one gives as many as are asked for, 500 at most; cursors are its own affair, so
/// that a shorter page is one that a client has to take.
const PAGE: usize = 2;

/// Vultr in the suite.
pub static SUBJECT: Subject = Subject {
    word: "vultr",
    start,
    traits: Traits {
        first_calls: 2, // the domain's name is all that is needed: a look, a write
        spoil: |settings| settings.set("api_key", secret("WRONGKEY0123456789")),
        throttled: || failure(429, "Rate limit exceeded"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Vultr { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("vultr").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("api_key", secret(KEY));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Vultr {
    zone: Zone,
}

impl Api for Vultr {
    fn base(&self) -> &'static str {
        "/v2"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.credential("Bearer") != Some(KEY) {
            return failure(401, "Invalid API token.");
        }
        let path = asked.path();
        let ["domains", zone, "records", rest @ ..] = path.as_slice() else {
            return asked.unknown_call(failure(404, "Invalid resource"));
        };
        if *zone != self.zone.name {
            return failure(404, "Invalid domain.");
        }
        let done = match (asked.method(), rest) {
            ("GET", []) => self.list(asked),
            ("POST", []) => self.create(asked),
            ("PATCH", [id]) => self.patch(asked, id),
            ("DELETE", [id]) => {
                asked.no_body();
                number(id).and_then(|id| self.zone.remove(id)).map(|_| nothing()).ok_or_else(missing)
            }
            _ => return asked.unknown_call(failure(404, "Invalid resource")),
        };
        done.unwrap_or_else(|failure| failure)
    }
}

impl Vultr {
    fn list(&self, asked: &Asked) -> Result<Said, Said> {
        asked.only_parameters(&["per_page", "cursor"]);
        let size = asked.parameter("per_page").map_or(Some(100), |text| text.parse::<usize>().ok());
        let Some(1..=500) = size else { return Err(failure(400, "Invalid per_page")) };
        let from = match asked.parameter("cursor") {
            None => Some(0),
            Some(cursor) => cursor.strip_prefix("bmV4dF9f+").and_then(|rest| rest.strip_suffix("==")?.parse().ok()),
        };
        let from: usize = from.ok_or_else(|| failure(400, "Invalid cursor"))?;
        let shown: Vec<Value> = self.zone.records.iter().skip(from).take(PAGE).map(|one| self.shown(one)).collect();
        let next = from + PAGE;
        let next = if next < self.zone.records.len() { format!("bmV4dF9f+{next}==") } else { String::new() };
        let meta = json!({"total": self.zone.records.len(), "links": {"next": next, "prev": ""}});
        Ok(Said::json(200, &json!({"records": shown, "meta": meta})))
    }

    fn create(&mut self, asked: &Asked) -> Result<Said, Said> {
        let body = body(asked, &["name", "type", "data", "ttl", "priority"])?;
        let (Some(name), Some(kind), Some(data)) =
            (body["name"].as_str(), body["type"].as_str(), body["data"].as_str())
        else {
            return Err(failure(400, "name, type and data are required"));
        };
        if name == "@" || name.ends_with('.') || name.ends_with(&self.zone.name) {
            asked.mistake("names are relative, empty at the apex");
        }
        let record = Record { ttl: ttl(&body, 300)?, ..Record::new(&self.zone.absolute(name), kind, data) };
        self.check(asked, &record)?;
        let made = self.zone.add(record).clone();
        Ok(Said::json(201, &json!({ "record": self.shown(&made) })))
    }

    fn patch(&mut self, asked: &Asked, id: &str) -> Result<Said, Said> {
        let body = body(asked, &["name", "data", "ttl", "priority"])?;
        let known = number(id).and_then(|id| self.zone.by_id(id)).ok_or_else(missing)?.clone();
        let hostname = body["name"].as_str().map_or(known.hostname.clone(), |name| self.zone.absolute(name));
        let content = body["data"].as_str().unwrap_or(&known.content).to_owned();
        let record = Record { hostname, content, ttl: ttl(&body, known.ttl)?, ..known };
        self.check(asked, &record)?;
        if let Some(place) = self.zone.by_id_mut(record.id) {
            *place = record;
        }
        Ok(nothing())
    }

    fn check(&self, asked: &Asked, record: &Record) -> Result<(), Said> {
        if self.zone.has_same(record) {
            asked.mistake("the same record twice");
        }
        if !record.is_sound() {
            return Err(failure(400, "Invalid data"));
        }
        if self.zone.is_cname_in_the_way(record) {
            return Err(failure(400, "A CNAME cannot stand beside other records"));
        }
        Ok(())
    }

    fn shown(&self, record: &Record) -> Value {
        json!({"id": id(record.id), "type": record.record_type, "name": self.zone.relative(&record.hostname),
            "data": record.content, "priority": -1, "ttl": record.ttl})
    }
}

fn body(asked: &Asked, members: &[&str]) -> Result<Value, Said> {
    let body = asked.json().ok_or_else(|| failure(400, "Invalid JSON"))?;
    asked.only_members(&body, members);
    Ok(body)
}

fn ttl(body: &Value, usual: u32) -> Result<u32, Said> {
    let ttl = if body["ttl"].is_null() { Some(usual.into()) } else { body["ttl"].as_u64() };
    ttl.and_then(|ttl| u32::try_from(ttl).ok()).ok_or_else(|| failure(400, "Invalid ttl"))
}

fn id(number: u64) -> String {
    format!("ccd5379b-3b7f-a99b-0bcf-{number:012x}")
}

fn number(id: &str) -> Option<u64> {
    u64::from_str_radix(id.strip_prefix("ccd5379b-3b7f-a99b-0bcf-")?, 16).ok()
}

/// As recorded: no body, and a type for it all the same.
fn nothing() -> Said {
    Said::empty(204).with("content-type", "text/html; charset=UTF-8")
}

fn missing() -> Said {
    failure(404, "Invalid record.")
}

fn failure(status: u16, error: &str) -> Said {
    Said::json(status, &json!({"error": error, "status": status}))
}
