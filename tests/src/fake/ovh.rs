//! An OVHcloud of our own, API 1.0: signed calls, records by id, a refresh.
//!
//! Shapes are those of the recorded traffic of 2018, error codes and words those of threads about the official SDKs.
//! Unknown, and chosen here: how long a signature holds, and what is said of a CNAME in the way or of the same record
//! twice.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const APPLICATION_KEY: &str = "fake-application-key-01";
const APPLICATION_SECRET: &str = "fake-application-secret-0123456789";
const CONSUMER_KEY: &str = "fake-consumer-key-0123456789";
/// Seconds that a signature holds.
const WINDOW: u64 = 60;

/// OVH in the suite.
pub static SUBJECT: Subject = Subject {
    word: "ovh",
    start,
    traits: Traits {
        first_calls: 4, // the zone's name is all that is needed: no address, no CNAME, a write, the refresh
        change_calls: 2,
        dual_stack_calls: 3,
        spoil: |settings| settings.set("application_secret", secret("wrong-application-secret-0123456789")),
        throttled: || failure(429, "TOO_MANY_REQUESTS", "Too many requests"),
        oracle: Some("ovh_verify.py"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Ovh { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("ovh").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("application_key", secret(APPLICATION_KEY));
    settings.set("application_secret", secret(APPLICATION_SECRET));
    settings.set("consumer_key", secret(CONSUMER_KEY));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Ovh {
    zone: Zone,
}

impl Api for Ovh {
    fn base(&self) -> &'static str {
        "/1.0"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, now: Timestamp) -> Said {
        if let Err(refused) = check(asked, now) {
            return refused;
        }
        match (asked.method(), asked.path().as_slice()) {
            (_, ["domain", "zone", zone, ..]) if *zone != self.zone.name => {
                failure(404, "Client::NotFound", "This service does not exist")
            }
            ("GET", ["domain", "zone", _, "record"]) => {
                asked.only_parameters(&["fieldType", "subDomain"]);
                let hostname = asked.parameter("subDomain").map(|name| self.zone.absolute(name));
                let fits = |record: &&Record| {
                    asked.parameter("fieldType").is_none_or(|kind| kind == record.record_type)
                        && hostname.as_ref().is_none_or(|hostname| *hostname == record.hostname)
                };
                Said::json(200, &self.zone.records.iter().filter(fits).map(|record| record.id).collect())
            }
            ("GET", ["domain", "zone", _, "record", id]) => match self.known(id) {
                Some(record) => Said::json(200, &self.shown(record)),
                None => no_record(id),
            },
            ("POST", ["domain", "zone", _, "record"]) => self.create(asked),
            ("PUT", ["domain", "zone", _, "record", id]) => self.change(asked, id),
            ("DELETE", ["domain", "zone", _, "record", id]) => {
                asked.no_body();
                match id.parse().ok().and_then(|id| self.zone.remove(id)) {
                    Some(_) => Said::json(200, &Value::Null),
                    None => no_record(id),
                }
            }
            ("POST", ["domain", "zone", _, "refresh"]) => {
                asked.no_body();
                Said::json(200, &Value::Null)
            }
            _ => asked.unknown_call(failure(404, "NOT_FOUND", "Got an invalid (or empty) URL")),
        }
    }
}

impl Ovh {
    fn known(&self, id: &str) -> Option<&Record> {
        self.zone.by_id(id.parse().ok()?)
    }

    fn create(&mut self, asked: &Asked) -> Said {
        let body = asked.json().unwrap_or_default();
        asked.only_members(&body, &["fieldType", "subDomain", "target", "ttl"]);
        let hostname = self.zone.absolute(body["subDomain"].as_str().unwrap_or_default());
        let record = Record::new(&hostname, body["fieldType"].as_str().unwrap_or_default(), "");
        match self.checked(record, &body) {
            Ok(record) => {
                let record = self.zone.add(record).clone();
                Said::json(200, &self.shown(&record))
            }
            Err(refused) => refused,
        }
    }

    fn change(&mut self, asked: &Asked, id: &str) -> Said {
        let Some(record) = self.known(id).cloned() else { return no_record(id) };
        let body = asked.json().unwrap_or_default();
        asked.only_members(&body, &["subDomain", "target", "ttl"]);
        if body["ttl"].is_null() {
            asked.mistake("whether a TTL that is not named stays is not documented");
        }
        let hostname = body["subDomain"].as_str().map(|name| self.zone.absolute(name));
        if hostname.is_none_or(|hostname| hostname != record.hostname) {
            asked.mistake("the record would get another name");
        }
        match self.checked(record, &body) {
            Ok(record) => {
                if let Some(place) = self.zone.by_id_mut(record.id) {
                    *place = record;
                }
                Said::json(200, &Value::Null)
            }
            Err(refused) => refused,
        }
    }

    /// A record with what a body says, as far as it may be.
    fn checked(&self, record: Record, body: &Value) -> Result<Record, Said> {
        let ttl = body["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(0);
        let record = Record { content: body["target"].as_str().unwrap_or_default().to_owned(), ttl, ..record };
        match record {
            _ if !record.is_sound() => Err(failure(400, "Client::BadRequest", "Invalid target")),
            _ if ttl != 0 && ttl < 60 => Err(failure(400, "Client::BadRequest", "Invalid ttl")),
            _ if self.zone.has_same(&record) || self.zone.is_cname_in_the_way(&record) => {
                Err(failure(409, "Client::Conflict", "The record conflicts with another"))
            }
            _ => Ok(record),
        }
    }

    fn shown(&self, record: &Record) -> Value {
        json!({
            "id": record.id,
            "zone": self.zone.name,
            "subDomain": self.zone.relative(&record.hostname),
            "fieldType": record.record_type,
            "target": record.content,
            "ttl": record.ttl,
        })
    }
}

/// Keys, time and signature.
fn check(asked: &Asked, now: Timestamp) -> Result<(), Said> {
    if asked.header("x-ovh-application") != Some(APPLICATION_KEY) {
        return Err(failure(403, "INVALID_KEY", "Invalid application key"));
    }
    if asked.header("x-ovh-consumer") != Some(CONSUMER_KEY) {
        return Err(failure(403, "INVALID_CREDENTIAL", "This credential is not valid"));
    }
    let time = asked.header("x-ovh-timestamp").unwrap_or_default();
    if time.parse().map_or(true, |time: u64| time.abs_diff(now.seconds()) > WINDOW) {
        return Err(failure(400, "QUERY_TIME_OUT", "Query out of time"));
    }
    let query = if asked.raw_query().is_empty() { String::new() } else { format!("?{}", asked.raw_query()) };
    let url = format!("http://{}{}{query}", asked.host(), asked.raw_path());
    let expected = signature(asked.method(), &url, asked.body(), time, APPLICATION_SECRET, CONSUMER_KEY);
    if asked.header("x-ovh-signature") != Some(expected.as_str()) {
        return Err(failure(400, "INVALID_SIGNATURE", "Invalid signature"));
    }
    Ok(())
}

/// help.ovhcloud.com, "First steps with the OVHcloud APIs".
fn signature(method: &str, url: &str, body: &[u8], time: &str, application: &str, consumer: &str) -> String {
    let body = String::from_utf8_lossy(body);
    let signed = [application, consumer, method, url, &body, time].join("+");
    let hash = Sha1::digest(signed);
    format!("$1${}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn no_record(id: &str) -> Said {
    let text = format!("The requested object (id = {id}) does not exist");
    failure(404, "Client::NotFound", &text)
}

/// Codes of the gate come as `errorCode`, those of the service behind it as `class`.
fn failure(status: u16, code: &str, message: &str) -> Said {
    let member = if code.contains("::") { "class" } else { "errorCode" };
    Said::json(status, &json!({ member: code, "httpCode": format!("{status} x"), "message": message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the official Python package, ovh 1.2.0.
    #[test]
    fn signatures_are_those_of_the_official_package() {
        let base = "https://eu.api.ovh.com/1.0/domain/zone/example.com";
        let update = r#"{"subDomain":"home","target":"2001:db8::7","ttl":60}"#;
        for (method, path, body, expected) in [
            ("PUT", "/record/1234567890", update, "$1$944f89cf0f42011678f4fb6751405d9073a99dbe"),
            ("DELETE", "/record/1234567890", "", "$1$538bd8f392b45e62d9d1f1337f0ffd1b512b97f3"),
            ("POST", "/refresh", "", "$1$207c48423218063531536e5e1e0832dde446c3c0"),
        ] {
            let (application, consumer) = ("FakeOvhApplicationSecret00000001", "FakeOvhConsumerKey00000000000001");
            let url = format!("{base}{path}");
            let made = signature(method, &url, body.as_bytes(), "1767323045", application, consumer);
            assert_eq!(made, expected, "{path}");
        }
    }
}
