//! A Linode of our own, API version 4 (techdocs.akamai.com/linode-api, Domains).
//!
//! Domains, records, lists and statuses are those of the recorded traffic of 2018 and later; the words of refusals are
//! the vendor's pages' where they show some. Unknown are those about a CNAME beside something else, and whether the same
//! record is taken twice: it is a mistake here.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const TOKEN: &str = "fake-linode-token-0123456789";
const ZONE_ID: &str = "1065421";
/// What numbers of records begin after.
const FIRST: u64 = 9_295_000;
/// Others are rounded, says the page.
const TTLS: [u32; 15] =
    [0, 30, 120, 300, 3600, 7200, 14_400, 28_800, 57_600, 86_400, 172_800, 345_600, 604_800, 1_209_600, 2_419_200];

/// Linode in the suite.
pub static SUBJECT: Subject = Subject {
    word: "linode",
    start,
    traits: Traits {
        ttl: Some((60, 120)), // the next one that there is
        ttl_by_hand: 3600,
        spoil: |settings| settings.set("token", secret("wrong-linode-token-0123456789")),
        throttled: || failure(429, None, "Too many requests"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Linode { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("linode").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("token", secret(TOKEN));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Linode {
    zone: Zone,
}

impl Api for Linode {
    fn base(&self) -> &'static str {
        "/v4"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.credential("Bearer") != Some(TOKEN) {
            return failure(401, None, "Invalid Token");
        }
        let done = match (asked.method(), asked.path().as_slice()) {
            ("GET", ["domains"]) => self.domains(asked),
            ("GET", ["domains", ZONE_ID, "records"]) => {
                let records: Vec<Value> = self.zone.records.iter().map(|record| self.shown(record)).collect();
                page(asked, &records)
            }
            ("POST", ["domains", ZONE_ID, "records"]) => self.create(asked),
            ("PUT", ["domains", ZONE_ID, "records", id]) => self.put(asked, id),
            ("DELETE", ["domains", ZONE_ID, "records", id]) => {
                asked.no_body();
                let gone = number(id).and_then(|id| self.zone.remove(id));
                gone.map(|_| Said::json(200, &json!({}))).ok_or_else(missing)
            }
            (_, ["domains", id, "records", ..]) if *id != ZONE_ID => Err(missing()),
            _ => return asked.unknown_call(missing()),
        };
        // The recorded answers carry it also when nothing is wrong.
        done.unwrap_or_else(|failure| failure).with("x-ratelimit-limit", "800")
    }
}

impl Linode {
    fn domains(&self, asked: &Asked) -> Result<Said, Said> {
        let filter = asked.header("x-filter").map(serde_json::from_str::<Value>);
        let name = match filter {
            None => None,
            Some(Ok(filter)) => {
                asked.only_members(&filter, &["domain"]);
                filter["domain"].as_str().map(str::to_owned)
            }
            Some(Err(_)) => return Err(failure(400, None, "Cannot parse filter")),
        };
        let domain = json!({"id": 1_065_421, "type": "master", "domain": self.zone.name, "tags": [], "group": "",
            "status": "active", "errors": "", "description": "", "soa_email": "person1@mail.example", "retry_sec": 0,
            "master_ips": [], "axfr_ips": [], "expire_sec": 0, "refresh_sec": 0, "ttl_sec": 0});
        let is_asked_for = name.is_none_or(|name| name == self.zone.name);
        page(asked, if is_asked_for { std::slice::from_ref(&domain) } else { &[] })
    }

    fn create(&mut self, asked: &Asked) -> Result<Said, Said> {
        let body = body(asked, &["type", "name", "target", "ttl_sec"])?;
        let Some(kind) = body["type"].as_str() else { return Err(failure(400, Some("type"), "type is required")) };
        let name = body["name"].as_str().unwrap_or_default();
        if name == "@" || name.ends_with('.') {
            asked.mistake("names are relative, empty at the apex");
        }
        let record = Record { ttl: ttl(asked, &body, 0)?, ..Record::new(&self.zone.absolute(name), kind, "") };
        let record = Record { content: body["target"].as_str().unwrap_or_default().to_owned(), ..record };
        self.check(asked, &record)?;
        let made = self.zone.add(record).clone();
        Ok(Said::json(200, &self.shown(&made)))
    }

    fn put(&mut self, asked: &Asked, id: &str) -> Result<Said, Said> {
        let body = body(asked, &["type", "name", "target", "ttl_sec"])?;
        let known = number(id).and_then(|id| self.zone.by_id(id)).ok_or_else(missing)?.clone();
        let hostname = body["name"].as_str().map_or(known.hostname.clone(), |name| self.zone.absolute(name));
        let content = body["target"].as_str().unwrap_or(&known.content).to_owned();
        let record = Record { hostname, content, ttl: ttl(asked, &body, known.ttl)?, ..known };
        self.check(asked, &record)?;
        let shown = self.shown(&record);
        if let Some(place) = self.zone.by_id_mut(record.id) {
            *place = record;
        }
        Ok(Said::json(200, &shown))
    }

    fn check(&self, asked: &Asked, record: &Record) -> Result<(), Said> {
        if self.zone.has_same(record) {
            asked.mistake("the same record twice");
        }
        if !record.is_sound() {
            return Err(failure(400, Some("target"), "Must be a valid address"));
        }
        if self.zone.is_cname_in_the_way(record) {
            return Err(failure(400, Some("name"), "hostname conflicts with a CNAME"));
        }
        Ok(())
    }

    fn shown(&self, record: &Record) -> Value {
        json!({"id": FIRST + record.id, "type": record.record_type, "name": self.zone.relative(&record.hostname),
            "target": record.content, "priority": 0, "weight": 0, "port": 0, "service": null, "protocol": null,
            "ttl_sec": record.ttl, "tag": null, "created": "2018-01-02T03:04:05", "updated": "2018-01-02T03:04:05"})
    }
}

fn page(asked: &Asked, all: &[Value]) -> Result<Said, Said> {
    asked.only_parameters(&["page", "page_size"]);
    let size = asked.parameter("page_size").map_or(Some(100), |text| text.parse::<usize>().ok());
    let page = asked.parameter("page").map_or(Some(1), |text| text.parse::<usize>().ok());
    let Some(size @ 25..=500) = size else {
        return Err(failure(400, Some("page_size"), "Must be 25-500"));
    };
    let pages = all.len().div_ceil(size).max(1);
    let Some(page) = page.filter(|page| (1..=pages).contains(page)) else {
        return Err(missing());
    };
    let data: Vec<&Value> = all.iter().skip((page - 1) * size).take(size).collect();
    Ok(Said::json(200, &json!({"pages": pages, "page": page, "data": data, "results": all.len()})))
}

fn body(asked: &Asked, members: &[&str]) -> Result<Value, Said> {
    let body = asked.json().ok_or_else(|| failure(400, None, "Invalid JSON"))?;
    asked.only_members(&body, members);
    Ok(body)
}

fn ttl(asked: &Asked, body: &Value, usual: u32) -> Result<u32, Said> {
    let ttl = if body["ttl_sec"].is_null() { Some(usual.into()) } else { body["ttl_sec"].as_u64() };
    let ttl =
        ttl.and_then(|ttl| u32::try_from(ttl).ok()).ok_or_else(|| failure(400, Some("ttl_sec"), "Must be a number"))?;
    if !TTLS.contains(&ttl) {
        asked.mistake("a TTL that would be rounded");
    }
    Ok(ttl)
}

fn number(id: &str) -> Option<u64> {
    id.parse::<u64>().ok()?.checked_sub(FIRST)
}

fn missing() -> Said {
    failure(404, None, "Not found")
}

fn failure(status: u16, field: Option<&str>, reason: &str) -> Said {
    let error = field.map_or_else(|| json!({ "reason": reason }), |field| json!({"field": field, "reason": reason}));
    Said::json(status, &json!({ "errors": [error] }))
}
