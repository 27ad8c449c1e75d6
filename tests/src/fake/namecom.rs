//! A Name.com of our own, Core API version 1.
//!
//! Shapes are those of the recorded traffic of 2020 (version 4, which has the same records): a `fqdn` with its dot, JSON
//! that calls itself HTML, no list in an empty zone. Unknown, and chosen here: the words of a conflict.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const USERNAME: &str = "somebody";
const TOKEN: &str = "fake-api-token-0123456789";

/// Name.com in the suite.
pub static SUBJECT: Subject = Subject {
    word: "namecom",
    start,
    traits: Traits {
        first_calls: 2, // the zone's name is all that is needed: a look, a write
        ttl: Some((120, 300)),
        ttl_by_hand: 3600,
        spoil: |settings| settings.set("token", secret("wrong-api-token-0123456789")),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(NameCom { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("namecom").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("username", Setting::Text(USERNAME.to_owned()));
    settings.set("token", secret(TOKEN));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct NameCom {
    zone: Zone,
}

impl Api for NameCom {
    fn base(&self) -> &'static str {
        "/core/v1"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.basic().is_none_or(|(user, token)| user != USERNAME || token != TOKEN) {
            return failure(401, "Unauthorized", "");
        }
        match (asked.method(), asked.path().as_slice()) {
            (_, ["domains", zone, "records", ..]) if *zone != self.zone.name => failure(404, "Not Found", ""),
            ("GET", ["domains", _, "records"]) => {
                asked.only_parameters(&["page", "perPage"]);
                self.list(asked)
            }
            ("POST", ["domains", _, "records"]) => match self.read(asked, 0) {
                Ok(record) => {
                    let record = self.zone.add(record).clone();
                    said(&self.shown(&record))
                }
                Err(refused) => refused,
            },
            ("PUT", ["domains", _, "records", id]) => {
                let Some(known) = id.parse().ok().and_then(|id| self.zone.by_id(id)).cloned() else {
                    return failure(404, "Not Found", "");
                };
                match self.read(asked, known.id) {
                    Ok(record) => {
                        if !record.is(&known.hostname, &known.record_type) {
                            asked.mistake("the record would become another");
                        }
                        let shown = self.shown(&record);
                        if let Some(place) = self.zone.by_id_mut(record.id) {
                            *place = record;
                        }
                        said(&shown)
                    }
                    Err(refused) => refused,
                }
            }
            ("DELETE", ["domains", _, "records", id]) => {
                asked.no_body();
                match id.parse().ok().and_then(|id| self.zone.remove(id)) {
                    Some(_) => said(&json!({})),
                    None => failure(404, "Not Found", ""),
                }
            }
            _ => asked.unknown_call(failure(404, "Not Found", "")),
        }
    }
}

impl NameCom {
    fn list(&self, asked: &Asked) -> Said {
        let number = |name: &str, other| asked.parameter(name).map_or(other, |text| text.parse().unwrap_or(other));
        let (page, size): (usize, usize) = (number("page", 1), number("perPage", 1000));
        if size > 1000 {
            return failure(400, "Parameter Value Error", "perPage");
        }
        let shown = self.zone.records.iter().skip((page - 1) * size).take(size);
        let records: Vec<Value> = shown.map(|record| self.shown(record)).collect();
        let last = self.zone.records.len().div_ceil(size).max(1);
        let mut body = json!({});
        if !records.is_empty() {
            body["records"] = records.into();
        }
        if page < last {
            body["nextPage"] = (page + 1).into();
            body["lastPage"] = last.into();
        }
        said(&body)
    }

    fn read(&self, asked: &Asked, id: u64) -> Result<Record, Said> {
        let body = asked.json().unwrap_or_default();
        asked.only_members(&body, &["host", "type", "answer", "ttl", "priority"]);
        let text = |member: &str| body[member].as_str().unwrap_or_default();
        let ttl = body["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(300);
        let record = Record::new(&self.zone.absolute(text("host")), text("type"), text("answer"));
        let record = Record { id, ttl, ..record };
        let refuse = |details: &str| Err(failure(400, "Parameter Value Error", details));
        match record {
            _ if !record.is_sound() => refuse("answer"),
            _ if ttl < 300 => refuse("ttl must be at least 300"),
            _ if self.zone.has_same(&record) => refuse("duplicate record"),
            _ if self.zone.is_cname_in_the_way(&record) => refuse("CNAME"),
            _ => Ok(record),
        }
    }

    fn shown(&self, record: &Record) -> Value {
        let mut shown = json!({
            "id": record.id,
            "domainName": self.zone.name,
            "fqdn": format!("{}.", record.hostname),
            "type": record.record_type,
            "answer": record.content,
            "ttl": record.ttl,
        });
        if let Some(host) = self.zone.relative(&record.hostname).filter(|host| !host.is_empty()) {
            shown["host"] = host.into();
        }
        shown
    }
}

/// JSON that calls itself HTML, as recorded.
fn said(body: &Value) -> Said {
    let mut said = Said::json(200, body);
    said.headers = vec![("content-type", "text/html; charset=UTF-8".to_owned())];
    said
}

fn failure(status: u16, message: &str, details: &str) -> Said {
    Said::json(status, &json!({"message": message, "details": details}))
}
