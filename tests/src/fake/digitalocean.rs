//! A DigitalOcean of our own, API version 2 (docs.digitalocean.com/reference/api, Domain Records).
//!
//! Records, lists, statuses and headers are those of the recorded traffic of 2020; 404 and 401 those of the vendor's
//! pages. Unknown, because neither shows them, are the words of 422, and whether the same record is taken twice: it
//! is a mistake here.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const TOKEN: &str = "dop_v1_fake0123456789";
/// What numbers of records begin after.
const FIRST: u64 = 92_264_000;

/// DigitalOcean in the suite.
pub static SUBJECT: Subject = Subject {
    word: "digitalocean",
    start,
    traits: Traits {
        first_calls: 2,      // the domain's name is all that is needed: a look, a write
        ttl: Some((10, 30)), // the least
        ttl_by_hand: 1800,
        spoil: |settings| settings.set("token", secret("dop_v1_wrong0123456789")),
        throttled: || {
            let said = failure(429, "too_many_requests", "API rate limit exceeded.");
            said.with("ratelimit-limit", "5000").with("ratelimit-remaining", "0").with("ratelimit-reset", "1583891032")
        },
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(DigitalOcean { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("digitalocean").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("token", secret(TOKEN));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct DigitalOcean {
    zone: Zone,
}

impl Api for DigitalOcean {
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
        if asked.credential("Bearer") != Some(TOKEN) {
            return failure(401, "Unauthorized", "Unable to authenticate you");
        }
        let path = asked.path();
        let ["domains", zone, "records", rest @ ..] = path.as_slice() else {
            return asked.unknown_call(missing());
        };
        if *zone != self.zone.name {
            return missing();
        }
        let done = match (asked.method(), rest) {
            ("GET", []) => self.list(asked),
            ("POST", []) => self.create(asked),
            ("PATCH", [id]) => self.patch(asked, id),
            ("DELETE", [id]) => {
                asked.no_body();
                number(id).and_then(|id| self.zone.remove(id)).map(|_| Said::empty(204)).ok_or_else(missing)
            }
            _ => return asked.unknown_call(missing()),
        };
        done.unwrap_or_else(|failure| failure)
    }
}

impl DigitalOcean {
    fn list(&self, asked: &Asked) -> Result<Said, Said> {
        asked.only_parameters(&["name", "type", "page", "per_page"]);
        let size = asked.parameter("per_page").map_or(Some(20), |text| text.parse::<usize>().ok());
        let page = asked.parameter("page").map_or(Some(1), |text| text.parse::<usize>().ok());
        let (Some(size @ 1..=200), Some(page @ 1..)) = (size, page) else { return Err(unprocessable("page")) };
        let fits = |record: &&Record| {
            asked.parameter("name").is_none_or(|name| name == record.hostname)
                && asked.parameter("type").is_none_or(|kind| kind == record.record_type)
        };
        let found: Vec<&Record> = self.zone.records.iter().filter(fits).collect();
        let shown: Vec<Value> = found.iter().skip((page - 1) * size).take(size).map(|one| self.shown(one)).collect();
        let last = found.len().div_ceil(size).max(1);
        let url = |page: usize| {
            format!("https://api.digitalocean.com/v2/domains/{}/records?page={page}&per_page={size}", self.zone.name)
        };
        let links = if page < last { json!({"pages": {"last": url(last), "next": url(page + 1)}}) } else { json!({}) };
        Ok(Said::json(200, &json!({"domain_records": shown, "links": links, "meta": {"total": found.len()}})))
    }

    fn create(&mut self, asked: &Asked) -> Result<Said, Said> {
        let body = body(asked, &["type", "name", "data", "ttl"])?;
        let (Some(name), Some(kind), Some(data)) =
            (body["name"].as_str(), body["type"].as_str(), body["data"].as_str())
        else {
            return Err(unprocessable("name, type and data are wanted"));
        };
        if name.is_empty() || name.ends_with('.') || name.ends_with(&self.zone.name) {
            asked.mistake("names are relative, @ at the apex");
        }
        let record = Record { ttl: ttl(&body, 1800)?, ..Record::new(&self.zone.absolute(name), kind, data) };
        self.check(asked, &record)?;
        let made = self.zone.add(record).clone();
        let shown = self.shown(&made);
        Ok(Said::json(201, &json!({ "domain_record": shown })))
    }

    fn patch(&mut self, asked: &Asked, id: &str) -> Result<Said, Said> {
        let body = body(asked, &["type", "name", "data", "ttl"])?;
        let known = number(id).and_then(|id| self.zone.by_id(id)).ok_or_else(missing)?.clone();
        if body["type"].as_str() != Some(&known.record_type) {
            return Err(unprocessable("type is wanted, and is not changed"));
        }
        let name = body["name"].as_str().map_or(known.hostname.clone(), |name| self.zone.absolute(name));
        let content = body["data"].as_str().unwrap_or(&known.content).to_owned();
        let record = Record { hostname: name, content, ttl: ttl(&body, known.ttl)?, ..known };
        self.check(asked, &record)?;
        let shown = self.shown(&record);
        if let Some(place) = self.zone.by_id_mut(record.id) {
            *place = record;
        }
        Ok(Said::json(200, &json!({ "domain_record": shown })))
    }

    fn check(&self, asked: &Asked, record: &Record) -> Result<(), Said> {
        if self.zone.has_same(record) {
            asked.mistake("the same record twice");
        }
        if !record.is_sound() {
            return Err(unprocessable("Data is not a valid address"));
        }
        if self.zone.is_cname_in_the_way(record) {
            return Err(unprocessable("CNAME records cannot share a name with other records"));
        }
        Ok(())
    }

    fn shown(&self, record: &Record) -> Value {
        let name = self.zone.relative(&record.hostname).filter(|name| !name.is_empty()).unwrap_or("@");
        json!({"id": FIRST + record.id, "type": record.record_type, "name": name, "data": record.content,
            "priority": null, "port": null, "ttl": record.ttl, "weight": null, "flags": null, "tag": null})
    }
}

fn body(asked: &Asked, members: &[&str]) -> Result<Value, Said> {
    let body = asked.json().ok_or_else(|| failure(400, "bad_request", "The body is no JSON."))?;
    asked.only_members(&body, members);
    Ok(body)
}

fn ttl(body: &Value, usual: u32) -> Result<u32, Said> {
    let ttl = if body["ttl"].is_null() { Some(usual.into()) } else { body["ttl"].as_u64() };
    let ttl = ttl.and_then(|ttl| u32::try_from(ttl).ok()).filter(|ttl| *ttl >= 30);
    ttl.ok_or_else(|| unprocessable("TTL must be at least 30"))
}

fn number(id: &str) -> Option<u64> {
    id.parse::<u64>().ok()?.checked_sub(FIRST)
}

fn missing() -> Said {
    failure(404, "not_found", "The resource you were accessing could not be found.")
}

fn unprocessable(message: &str) -> Said {
    failure(422, "unprocessable_entity", message)
}

fn failure(status: u16, id: &str, message: &str) -> Said {
    Said::json(status, &json!({"id": id, "message": message, "request_id": "4d9d8375-3c56-4925-a3e7-eb137fed17e9"}))
}
