//! A Vercel of our own: `/v5` lists, `/v2` makes and removes, `/v1` changes.
//!
//! Shapes are those of the recorded traffic of 2021 and of the vendor's pages. Unknown, and chosen here: what is said
//! of the same record twice.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const TOKEN: &str = "fake-access-token-0123456789";
const TEAM: &str = "team_0123456789";

/// Vercel in the suite.
pub static SUBJECT: Subject = Subject {
    word: "vercel",
    start,
    traits: Traits {
        first_calls: 2, // the zone's name is all that is needed: a look, a write
        beside: || json!({"comment": "the box in the cellar"}),
        spoil: |settings| settings.set("token", secret("wrong-access-token-0123456789")),
        throttled: || failure(429, "rate_limited", "Rate limit exceeded"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Vercel { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("vercel").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("token", secret(TOKEN));
    settings.set("team_id", Setting::Text(TEAM.to_owned()));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Vercel {
    zone: Zone,
}

impl Api for Vercel {
    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.credential("Bearer") != Some(TOKEN) {
            let error = json!({"code": "forbidden", "message": "Not authorized", "invalidToken": true});
            return Said::json(403, &json!({ "error": error }));
        }
        if asked.parameter("teamId") != Some(TEAM) {
            return failure(403, "forbidden", "You don't have permission to access this resource.");
        }
        match (asked.method(), asked.path().as_slice()) {
            (_, [_, "domains", zone, "records", ..]) if *zone != self.zone.name => {
                failure(404, "not_found", "The domain was not found.")
            }
            ("GET", ["v5", "domains", _, "records"]) => {
                asked.only_parameters(&["teamId", "limit", "since", "until"]);
                self.list(asked)
            }
            ("POST", ["v2", "domains", _, "records"]) => {
                asked.only_parameters(&["teamId"]);
                let body = asked.json().unwrap_or_default();
                asked.only_members(&body, &["name", "type", "value", "ttl", "comment"]);
                let hostname = self.zone.absolute(body["name"].as_str().unwrap_or_default());
                let record = Record::new(&hostname, body["type"].as_str().unwrap_or_default(), "");
                match self.checked(record.with(json!({"comment": ""})), &body) {
                    Ok(record) => Said::json(200, &json!({"uid": id(self.zone.add(record).id), "updated": 1})),
                    Err(refused) => refused,
                }
            }
            ("PATCH", ["v1", "domains", "records", text]) => {
                asked.only_parameters(&["teamId"]);
                let Some(record) = number(text).and_then(|id| self.zone.by_id(id)).cloned() else {
                    return no_record();
                };
                let body = asked.json().unwrap_or_default();
                asked.only_members(&body, &["value", "ttl"]);
                match self.checked(record, &body) {
                    Ok(record) => {
                        let mut shown = self.shown(&record);
                        shown["recordType"] = shown["type"].take();
                        shown["type"] = "record".into();
                        if let Some(place) = self.zone.by_id_mut(record.id) {
                            *place = record;
                        }
                        Said::json(200, &shown)
                    }
                    Err(refused) => refused,
                }
            }
            ("DELETE", ["v2", "domains", _, "records", text]) => {
                asked.no_body();
                match number(text).and_then(|id| self.zone.remove(id)) {
                    Some(_) => Said::json(200, &json!({})),
                    None => no_record(),
                }
            }
            _ => asked.unknown_call(failure(404, "not_found", "The page could not be found")),
        }
    }
}

impl Vercel {
    /// The newest first; `pagination.next` stands there also on the last page.
    fn list(&self, asked: &Asked) -> Said {
        let limit = asked.parameter("limit").map_or(20, |text| text.parse().unwrap_or(20));
        if limit > 100 {
            return failure(400, "bad_request", "Invalid request: `limit` should be <= 100.");
        }
        let until: u64 = asked.parameter("until").map_or(u64::MAX, |text| text.parse().unwrap_or(0));
        let older = self.zone.records.iter().rev().filter(|record| time(record) < until);
        let page: Vec<&Record> = older.take(limit).collect();
        let pagination = json!({"count": page.len(), "next": page.last().map(|one| time(one)),
            "prev": page.first().map(|one| time(one))});
        let records: Vec<Value> = page.into_iter().map(|record| self.shown(record)).collect();
        Said::json(200, &json!({"records": records, "pagination": pagination}))
    }

    fn checked(&self, record: Record, body: &Value) -> Result<Record, Said> {
        let ttl = body["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(record.ttl);
        let record = Record { content: body["value"].as_str().unwrap_or_default().to_owned(), ttl, ..record };
        match record {
            _ if !record.is_sound() || ttl < 60 => Err(failure(400, "bad_request", "Invalid request")),
            _ if self.zone.has_same(&record) || self.zone.is_cname_in_the_way(&record) => {
                Err(failure(409, "record_conflicts", "Existing record conflicts with the attempted creation."))
            }
            _ => Ok(record),
        }
    }

    fn shown(&self, record: &Record) -> Value {
        json!({
            "id": id(record.id),
            "slug": "",
            "domain": self.zone.name,
            "name": self.zone.relative(&record.hostname),
            "type": record.record_type,
            "value": record.content,
            "ttl": record.ttl,
            "creator": "me",
            "createdAt": time(record),
            "updatedAt": time(record),
            "comment": record.extra["comment"],
        })
    }
}

/// When a record was made, in milliseconds.
fn time(record: &Record) -> u64 {
    1_628_537_900_000 + record.id
}

fn id(number: u64) -> String {
    format!("rec_{number:024x}")
}

fn number(id: &str) -> Option<u64> {
    u64::from_str_radix(id.strip_prefix("rec_")?, 16).ok()
}

fn no_record() -> Said {
    failure(404, "not_found", "The DNS record was not found.")
}

fn failure(status: u16, code: &str, message: &str) -> Said {
    Said::json(status, &json!({"error": {"code": code, "message": message}}))
}
