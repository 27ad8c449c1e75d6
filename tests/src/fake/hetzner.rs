//! A Hetzner Cloud API of our own, version 1, as far as it is about DNS (docs.hetzner.cloud/reference/cloud): records of
//! one name and type are one set, and what changes one is an action.
//!
//! Lists, actions and headers are those of the recorded traffic of 2026. Codes are the reference's; not recorded, and so
//! unknown, are their words, and the code for a CNAME beside something else.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const TOKEN: &str = "fake-project-token-0123456789";

/// Hetzner in the suite.
pub static SUBJECT: Subject = Subject {
    word: "hetzner",
    start,
    traits: Traits {
        first_calls: 2, // the zone's name is all that is needed: a look, a write
        replaces_sets: true,
        ttl: Some((30, 60)), // the least
        ttl_by_hand: 10800,
        beside: || json!({"comment": "the box in the cellar"}),
        spoil: |settings| settings.set("token", secret("wrong-project-token-0123456789")),
        throttled: || failure(429, "rate_limit_exceeded", "limit of 3600 requests per hour reached"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Hetzner { zone: Zone::new("home.test"), actions: 0 });
    let mut settings = ProviderSettings::new("some", kind("hetzner").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("token", secret(TOKEN));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Hetzner {
    zone: Zone,
    actions: u64,
}

impl Api for Hetzner {
    fn base(&self) -> &'static str {
        "/v1"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn put_by_hand(&mut self, record: Record) {
        let extra = if record.extra.is_null() { json!({"comment": ""}) } else { record.extra.clone() };
        self.zone.add(record.with(extra));
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.credential("Bearer") != Some(TOKEN) {
            return failure(401, "unauthorized", "unable to authenticate");
        }
        let path = asked.path();
        let ["zones", zone, "rrsets", rest @ ..] = path.as_slice() else {
            return asked.unknown_call(failure(404, "not_found", "not found"));
        };
        if *zone != self.zone.name {
            return failure(404, "not_found", "zone not found");
        }
        let done = match (asked.method(), rest) {
            ("GET", []) => return self.list(asked),
            ("POST", []) => self.create(asked),
            ("POST", [name, kind, "actions", "set_records"]) => self.set_records(asked, name, kind),
            ("POST", [name, kind, "actions", "change_ttl"]) => self.change_ttl(asked, name, kind),
            ("DELETE", [name, kind]) => self.delete(asked, name, kind),
            _ => return asked.unknown_call(failure(404, "not_found", "not found")),
        };
        done.unwrap_or_else(|failure| failure)
    }
}

/// An answer, or why not.
type Done = Result<Said, Said>;

impl Hetzner {
    fn list(&self, asked: &Asked) -> Said {
        asked.only_parameters(&["name", "type", "page", "per_page"]);
        let size = asked.parameter("per_page").map_or(Some(25), |text| text.parse::<usize>().ok());
        let page = asked.parameter("page").map_or(Some(1), |text| text.parse::<usize>().ok());
        let (Some(size @ 1..=50), Some(page @ 1..)) = (size, page) else {
            return failure(400, "invalid_input", "invalid input in field 'per_page'");
        };
        let name = asked.parameter("name").map(|name| self.zone.absolute(name));
        let mut sets: Vec<&Record> = Vec::new();
        for record in &self.zone.records {
            let is_asked_for = name.as_ref().is_none_or(|name| *name == record.hostname)
                && asked.parameter("type").is_none_or(|kind| kind == record.record_type);
            if is_asked_for && !sets.iter().any(|set| set.is(&record.hostname, &record.record_type)) {
                sets.push(record);
            }
        }
        let shown: Vec<Value> = sets.iter().skip((page - 1) * size).take(size).map(|set| self.shown(set)).collect();
        let last = sets.len().div_ceil(size).max(1);
        let pagination = json!({"page": page, "per_page": size, "last_page": last, "total_entries": sets.len(),
            "next_page": (page < last).then_some(page + 1), "previous_page": (page > 1).then(|| page - 1)});
        Said::json(200, &json!({"meta": {"pagination": pagination}, "rrsets": shown}))
    }

    fn create(&mut self, asked: &Asked) -> Done {
        let body = body(asked, &["name", "type", "ttl", "records", "labels"])?;
        let (Some(name), Some(kind)) = (body["name"].as_str(), body["type"].as_str()) else {
            return Err(invalid("name"));
        };
        let hostname = self.named(name)?;
        let records = records(asked, &hostname, kind, &body)?;
        let ttl = ttl(&body)?;
        if self.zone.of(&hostname, kind).next().is_some() {
            return Err(failure(409, "uniqueness_error", "an rrset of that name and type exists"));
        }
        if records.iter().any(|record| self.zone.is_cname_in_the_way(record)) {
            return Err(failure(422, "invalid_input", "a CNAME cannot stand beside other records"));
        }
        for record in records {
            self.zone.add(Record { ttl, ..record });
        }
        let set = self.zone.of(&hostname, kind).next().map(|set| self.shown(set));
        let action = self.action("create_rrset");
        Ok(Said::json(201, &json!({"rrset": set, "action": action})))
    }

    fn set_records(&mut self, asked: &Asked, name: &str, kind: &str) -> Done {
        let hostname = self.named(name)?;
        let body = body(asked, &["records"])?;
        let records = records(asked, &hostname, kind, &body)?;
        let gone = self.zone.remove_all(&hostname, kind);
        let ttl = gone.first().map(|record| record.ttl).ok_or_else(no_set)?;
        for record in records {
            self.zone.add(Record { ttl, ..record });
        }
        let action = self.action("set_rrset_records");
        Ok(Said::json(201, &json!({ "action": action })))
    }

    fn change_ttl(&mut self, asked: &Asked, name: &str, kind: &str) -> Done {
        let hostname = self.named(name)?;
        let ttl = ttl(&body(asked, &["ttl"])?)?;
        let mut sets = self.zone.records.iter_mut().filter(|record| record.is(&hostname, kind)).peekable();
        sets.peek().ok_or_else(no_set)?;
        sets.for_each(|record| record.ttl = ttl);
        let action = self.action("change_rrset_ttl");
        Ok(Said::json(201, &json!({ "action": action })))
    }

    fn delete(&mut self, asked: &Asked, name: &str, kind: &str) -> Done {
        asked.no_body();
        let hostname = self.named(name)?;
        if self.zone.remove_all(&hostname, kind).is_empty() {
            return Err(no_set());
        }
        let action = self.action("delete_rrset");
        Ok(Said::json(201, &json!({ "action": action })))
    }

    /// "The name must be in lower case, and must not end with a dot or the zone name. For the apex, use `@`."
    fn named(&self, name: &str) -> Result<String, Said> {
        let is_whole = name == self.zone.name || name.ends_with(&format!(".{}", self.zone.name));
        let is_well = !name.is_empty() && !name.ends_with('.') && !is_whole && name.to_ascii_lowercase() == name;
        is_well.then(|| self.zone.absolute(name)).ok_or_else(|| invalid("name"))
    }

    fn shown(&self, set: &Record) -> Value {
        let name = self.zone.relative(&set.hostname).filter(|name| !name.is_empty()).unwrap_or("@");
        let records: Vec<Value> = self
            .zone
            .of(&set.hostname, &set.record_type)
            .map(|record| json!({"value": record.content, "comment": record.extra["comment"]}))
            .collect();
        json!({"id": format!("{name}/{}", set.record_type), "name": name, "type": set.record_type, "ttl": set.ttl,
            "labels": {}, "protection": {"change": false}, "records": records, "zone": 53091})
    }

    fn action(&mut self, command: &str) -> Value {
        self.actions += 1;
        json!({"id": 604_989_101_982_000 + self.actions, "status": "running", "command": command, "progress": 0,
            "started": "2026-01-13T14:16:43Z", "finished": null, "error": null, "resources": [{"id": 53091, "type": "zone"}]})
    }
}

fn body(asked: &Asked, members: &[&str]) -> Result<Value, Said> {
    let body = asked.json().ok_or_else(|| failure(400, "json_error", "invalid JSON"))?;
    asked.only_members(&body, members);
    Ok(body)
}

/// What a body names as the values of a set; a comment that it does not name is none.
fn records(asked: &Asked, hostname: &str, kind: &str, body: &Value) -> Result<Vec<Record>, Said> {
    let values = body["records"].as_array().filter(|values| !values.is_empty()).ok_or_else(|| invalid("records"))?;
    let record = |value: &Value| {
        asked.only_members(value, &["value", "comment"]);
        let comment = value["comment"].as_str().unwrap_or_default();
        let record = Record::new(hostname, kind, value["value"].as_str()?).with(json!({ "comment": comment }));
        record.is_sound().then_some(record)
    };
    let records: Option<Vec<Record>> = values.iter().map(record).collect();
    let records = records.ok_or_else(|| invalid("records"))?;
    let is_repeated = (1..records.len()).any(|at| records[..at].iter().any(|one| one.content == records[at].content));
    if is_repeated { Err(invalid("records")) } else { Ok(records) }
}

fn ttl(body: &Value) -> Result<u32, Said> {
    let ttl = if body["ttl"].is_null() { Some(86_400) } else { body["ttl"].as_u64() };
    ttl.filter(|ttl| (60..=2_147_483_647).contains(ttl))
        .and_then(|ttl| u32::try_from(ttl).ok())
        .ok_or_else(|| invalid("ttl"))
}

fn no_set() -> Said {
    failure(404, "not_found", "rrset not found")
}

fn invalid(field: &str) -> Said {
    failure(422, "invalid_input", &format!("invalid input in field '{field}'"))
}

fn failure(status: u16, code: &str, message: &str) -> Said {
    Said::json(status, &json!({"error": {"code": code, "message": message, "details": {}}}))
}
