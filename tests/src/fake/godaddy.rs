//! A GoDaddy of our own, Domains API version 1 (developer.godaddy.com/doc/endpoint/domains): records of one name and type
//! are one set.
//!
//! Bodies and statuses of success are those of the recorded traffic of 2021: a write is answered with nothing. Codes are
//! the vendor's pages'; unknown are the words of 422, and which code a CNAME beside something else has.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::json;

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const KEY: &str = "fakeKey_0123456789";
const SECRET: &str = "fakeSecret0123456789";

/// GoDaddy in the suite.
pub static SUBJECT: Subject = Subject {
    word: "godaddy",
    start,
    traits: Traits {
        first_calls: 3, // a look at the one type, one for a CNAME in its place, a write
        replaces_sets: true,
        ttl: Some((120, 600)), // the least
        ttl_by_hand: 3600,
        spoil: |settings| settings.set("api_secret", secret("wrongSecret0123456789")),
        throttled: || {
            let text = "Too many requests received within interval";
            Said::json(429, &json!({"code": "TOO_MANY_REQUESTS", "message": text, "retryAfterSec": 30}))
        },
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(GoDaddy { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("godaddy").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("api_key", secret(KEY));
    settings.set("api_secret", secret(SECRET));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct GoDaddy {
    zone: Zone,
}

impl Api for GoDaddy {
    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        match asked.credential("sso-key").map(|pair| pair.split_once(':')) {
            Some(Some((KEY, SECRET))) => {}
            Some(Some((KEY, _))) => return failure(401, "INVALID_SECRET", "The provided secret is invalid"),
            Some(_) => {
                return failure(401, "UNABLE_TO_AUTHENTICATE", "Unauthorized : Could not authenticate API key/secret");
            }
            None => return failure(401, "MISSING_CREDENTIALS", "Unauthorized : Credentials must be specified"),
        }
        asked.only_parameters(&[]);
        match (asked.method(), asked.path().as_slice()) {
            (_, ["v1", "domains", zone, ..]) if *zone != self.zone.name => {
                failure(404, "UNKNOWN_DOMAIN", "The given domain is not registered, or does not have a zone file")
            }
            ("GET", ["v1", "domains", _, "records", kind, name]) => {
                let hostname = self.zone.absolute(name);
                let record = |one: &Record| json!({"data": one.content, "name": name, "ttl": one.ttl, "type": kind});
                Said::json(200, &self.zone.of(&hostname, kind).map(record).collect())
            }
            ("PUT", ["v1", "domains", _, "records", kind, name]) => {
                self.put(asked, kind, name).unwrap_or_else(|failure| failure)
            }
            ("DELETE", ["v1", "domains", _, "records", kind, name]) => {
                asked.no_body();
                match self.zone.remove_all(&self.zone.absolute(name), kind).as_slice() {
                    [] => failure(404, "NOT_FOUND", "The requested resource was not found"),
                    [_, ..] => Said::empty(204),
                }
            }
            ("PUT", ["v1", "domains", _, "records", ..]) => {
                asked.mistake("PUT of all records of a type, or of the domain");
                failure(422, "INVALID_BODY", "Not here.")
            }
            _ => asked.unknown_call(failure(404, "NOT_FOUND", "The requested resource was not found")),
        }
    }
}

impl GoDaddy {
    fn put(&mut self, asked: &Asked, kind: &str, name: &str) -> Result<Said, Said> {
        let invalid = |text: &str| failure(422, "INVALID_BODY", text);
        let body = asked.json().ok_or_else(|| failure(400, "INVALID_BODY", "The body is no JSON"))?;
        let entries = body.as_array().filter(|entries| !entries.is_empty()).ok_or_else(|| invalid("no records"))?;
        let (hostname, mut values, mut ttls) = (self.zone.absolute(name), Vec::new(), Vec::new());
        for entry in entries {
            asked.only_members(entry, &["data", "ttl", "name", "type"]);
            let ttl = entry["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).filter(|ttl| *ttl >= 600);
            let record = Record::new(&hostname, kind, entry["data"].as_str().unwrap_or_default());
            if !record.is_sound() || ttl.is_none() {
                return Err(invalid("Request body doesn't fulfill schema, see details in `fields`"));
            }
            if values.contains(&record.content) || self.zone.is_cname_in_the_way(&record) {
                let text = "Another record with the same attributes already exists";
                return Err(failure(422, "DUPLICATE_RECORD", text));
            }
            values.push(record.content);
            ttls.extend(ttl);
        }
        if ttls.iter().any(|ttl| *ttl != ttls[0]) {
            asked.mistake("a set with several TTLs");
        }
        self.zone.replace(&hostname, kind, ttls[0], &values);
        Ok(Said::empty(200))
    }
}

fn failure(status: u16, code: &str, message: &str) -> Said {
    Said::json(status, &json!({"code": code, "message": message}))
}
