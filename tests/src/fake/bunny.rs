//! A bunny.net of our own: types are numbers, a change answers with nothing.
//!
//! Shapes are those of the vendor's reference. Nothing documented says whether a member that a change leaves out stays,
//! so here it does not: only what is sent along is there afterwards. Unknown, and chosen here: the error keys.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const KEY: &str = "fake-access-key-0123456789";
const ZONE_ID: u64 = 4711;
const TYPES: [&str; 5] = ["A", "AAAA", "CNAME", "TXT", "MX"];

/// bunny.net in the suite.
pub static SUBJECT: Subject = Subject {
    word: "bunny",
    start,
    traits: Traits {
        beside: || json!({"Comment": "the box in the cellar", "Weight": 100, "MonitorType": 1}),
        spoil: |settings| settings.set("access_key", secret("wrong-access-key-0123456789")),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Bunny { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("bunny").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("access_key", secret(KEY));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Bunny {
    zone: Zone,
}

impl Api for Bunny {
    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn put_by_hand(&mut self, record: Record) {
        let extra = beside(&record.extra);
        self.zone.add(record.with(extra));
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.header("accesskey") != Some(KEY) {
            return Said::json(401, &json!({"Message": "Authorization has been denied for this request."}));
        }
        let path = asked.path();
        let zone_id = path.get(1).map(|id| id.parse::<u64>().ok());
        match (asked.method(), path.as_slice()) {
            ("GET", ["dnszone"]) => {
                asked.only_parameters(&["page", "perPage", "search"]);
                let search = asked.parameter("search").unwrap_or_default();
                let zones = [(1, format!("my{}", self.zone.name)), (ZONE_ID, self.zone.name.clone())];
                let found = zones.iter().filter(|(_, name)| name.contains(search));
                let items: Vec<Value> = found.map(|(id, name)| json!({"Id": id, "Domain": name})).collect();
                let (count, page) = (items.len(), 1);
                Said::json(
                    200,
                    &json!({"CurrentPage": page, "TotalItems": count, "HasMoreItems": false, "Items": items}),
                )
            }
            (_, ["dnszone", ..]) if zone_id != Some(Some(ZONE_ID)) => Said::empty(404),
            ("GET", ["dnszone", _]) => {
                let records: Vec<Value> = self.zone.records.iter().map(|one| self.shown(one)).collect();
                Said::json(200, &json!({"Id": ZONE_ID, "Domain": self.zone.name, "Records": records}))
            }
            ("PUT", ["dnszone", _, "records"]) => {
                let body = asked.json().unwrap_or_default();
                match self.read(asked, Record::new("", "", ""), &body) {
                    Ok(record) => {
                        let record = self.zone.add(record).clone();
                        Said::json(201, &self.shown(&record))
                    }
                    Err(refused) => refused,
                }
            }
            ("POST", ["dnszone", _, "records", id]) => {
                let known = id.parse().ok().and_then(|id| self.zone.by_id(id)).cloned();
                let Some(known) = known else { return Said::empty(404) };
                let body = asked.json().unwrap_or_default();
                if body["Id"] != known.id {
                    return invalid("Id", "The id is required.");
                }
                match self.read(asked, known, &body) {
                    Ok(record) => {
                        if let Some(place) = self.zone.by_id_mut(record.id) {
                            *place = record;
                        }
                        Said::empty(204)
                    }
                    Err(refused) => refused,
                }
            }
            ("DELETE", ["dnszone", _, "records", id]) => {
                asked.no_body();
                let gone = id.parse().ok().and_then(|id| self.zone.remove(id));
                Said::empty(if gone.is_some() { 204 } else { 404 })
            }
            _ => asked.unknown_call(Said::empty(404)),
        }
    }
}

impl Bunny {
    fn read(&self, asked: &Asked, known: Record, body: &Value) -> Result<Record, Said> {
        let mut members = vec!["Id", "Type", "Name", "Value", "Ttl"];
        let empty = beside(&Value::Null);
        members.extend(empty.as_object().into_iter().flat_map(|members| members.keys().map(String::as_str)));
        asked.only_members(body, &members);
        let kind = body["Type"].as_u64().and_then(|number| TYPES.get(usize::try_from(number).ok()?));
        let Some(kind) = kind else { return Err(invalid("Type", "The type is required.")) };
        let hostname = self.zone.absolute(body["Name"].as_str().unwrap_or_default());
        let ttl = body["Ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(0);
        let record = Record::new(&hostname, kind, body["Value"].as_str().unwrap_or_default());
        let record = Record { id: known.id, ttl, ..record }.with(beside(body));
        match record {
            _ if !record.is_sound() => Err(invalid("Value", "The value is not valid.")),
            _ if ttl < 15 => Err(invalid("Ttl", "The TTL is not valid.")),
            _ if self.zone.has_same(&record) => Err(invalid("Value", "The record already exists.")),
            _ if self.zone.is_cname_in_the_way(&record) => Err(invalid("Name", "A CNAME record exists.")),
            _ => Ok(record),
        }
    }

    fn shown(&self, record: &Record) -> Value {
        let mut shown = record.extra.clone();
        shown["Id"] = record.id.into();
        shown["Type"] = TYPES.iter().position(|kind| *kind == record.record_type).into();
        shown["Ttl"] = record.ttl.into();
        shown["Value"] = record.content.clone().into();
        shown["Name"] = self.zone.relative(&record.hostname).into();
        shown["Disabled"] = false.into();
        shown
    }
}

/// What a record has beside, as `said` names it, else as it is by default.
fn beside(said: &Value) -> Value {
    let mut beside = json!({"Weight": 0, "Priority": 0, "Accelerated": false, "MonitorType": 0, "LatencyZone": null,
        "GeolocationLatitude": 0.0, "GeolocationLongitude": 0.0, "SmartRoutingType": 0, "Comment": null,
        "EnviromentalVariables": [], "AutoSslIssuance": false});
    for (name, value) in beside.as_object_mut().into_iter().flatten() {
        if let Some(said) = said.get(name) {
            *value = said.clone();
        }
    }
    beside
}

fn invalid(field: &str, message: &str) -> Said {
    Said::json(400, &json!({"ErrorKey": "validation_error", "Field": field, "Message": message}))
}
