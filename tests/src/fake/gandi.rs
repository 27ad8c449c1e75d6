//! A Gandi LiveDNS of our own, API version 5 (api.gandi.net/docs/livedns): records of one name and type are one set.
//!
//! Statuses, bodies and headers of sets are those of the recorded traffic of 2020. Not recorded, and shaped after the
//! error object that is: the words of 400, 401 and 409, and that a name without records shows an empty list.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const TOKEN: &str = "fake-access-token-0123456789";
const LEAST_TTL: u64 = 300;
const MOST_TTL: u64 = 2_592_000;

/// Gandi in the suite.
pub static SUBJECT: Subject = Subject {
    word: "gandi",
    start,
    traits: Traits {
        first_calls: 2, // the zone's name is all that is needed: a look, a write
        replaces_sets: true,
        ttl: Some((120, 300)), // the least
        ttl_by_hand: 10800,
        spoil: |settings| settings.set("token", secret("wrong-access-token-0123456789")),
        throttled: || failure(429, "HTTPTooManyRequests", "Too Many Requests", "Rate limit exceeded"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Gandi { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("gandi").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("token", secret(TOKEN));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Gandi {
    zone: Zone,
}

impl Api for Gandi {
    fn base(&self) -> &'static str {
        "/v5/livedns"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.credential("Bearer") != Some(TOKEN) {
            let text = "The server could not verify that you authorized to access the document you requested.";
            return failure(401, "HTTPUnauthorized", "Unauthorized", text);
        }
        asked.only_parameters(&[]);
        match (asked.method(), asked.path().as_slice()) {
            (_, ["domains", zone, ..]) if *zone != self.zone.name => {
                failure(404, "dns-zone", "Not Found", "The domain does not exist")
            }
            ("GET", ["domains", _, "records"]) => {
                Said::json(200, &Value::from(self.sets(|_| true).collect::<Vec<_>>()))
            }
            ("GET", ["domains", _, "records", name]) => {
                let hostname = self.zone.absolute(name);
                Said::json(200, &Value::from(self.sets(|record| record.hostname == hostname).collect::<Vec<_>>()))
            }
            ("GET", ["domains", _, "records", name, kind]) => {
                let hostname = self.zone.absolute(name);
                let set = self.sets(|record| record.is(&hostname, kind)).next();
                set.map_or_else(|| no_record(name, kind), |set| Said::json(200, &set))
            }
            ("PUT", ["domains", _, "records", name, kind]) => self.put(asked, name, kind),
            ("DELETE", ["domains", _, "records", name, kind]) => {
                asked.no_body();
                match self.zone.remove_all(&self.zone.absolute(name), kind).as_slice() {
                    [] => no_record(name, kind),
                    [_, ..] => Said::empty(204),
                }
            }
            (method @ ("PUT" | "DELETE"), ["domains", _, "records", ..]) => {
                asked.mistake(format!("{method} of all records at once"));
                failure(400, "HTTPBadRequest", "Bad Request", "Not here.")
            }
            _ => asked.unknown_call(failure(404, "HTTPNotFound", "Not Found", "The resource could not be found.")),
        }
    }
}

impl Gandi {
    fn put(&mut self, asked: &Asked, name: &str, kind: &str) -> Said {
        let invalid = |text: &str| failure(400, "HTTPBadRequest", "Bad Request", text);
        let Some(body) = asked.json() else { return invalid("The body is no JSON.") };
        asked.only_members(&body, &["rrset_values", "rrset_ttl"]);
        if body["rrset_ttl"].is_null() {
            asked.mistake("without rrset_ttl the set would fall back to the zone's own"); // 10800
        }
        let ttl = body["rrset_ttl"].as_u64().unwrap_or(10800);
        let values: Option<Vec<String>> = body["rrset_values"]
            .as_array()
            .and_then(|values| values.iter().map(|value| value.as_str().map(str::to_owned)).collect());
        let Some(values) = values.filter(|values| !values.is_empty()) else {
            return invalid("rrset_values: Shorter than minimum length 1");
        };
        if !(LEAST_TTL..=MOST_TTL).contains(&ttl) {
            return invalid("rrset_ttl: must be at least 300 and at most 2592000");
        }
        let hostname = self.zone.absolute(name);
        let records: Vec<Record> = values.iter().map(|value| Record::new(&hostname, kind, value)).collect();
        let is_repeated = (1..values.len()).any(|at| values[..at].contains(&values[at]));
        if !records.iter().all(Record::is_sound) || is_repeated {
            return invalid("rrset_values: invalid value");
        }
        let cname = self.zone.records.iter().any(|record| record.is(&hostname, "CNAME"));
        if cname && kind != "CNAME" {
            return failure(409, "HTTPConflict", "Conflict", "A CNAME record already exists");
        }
        self.zone.replace(&hostname, kind, u32::try_from(ttl).unwrap_or(u32::MAX), &values);
        Said::json(201, &json!({"message": "DNS Record Created"}))
    }

    /// Sets as they are shown, those whose records fit.
    fn sets<'a>(&'a self, fits: impl Fn(&Record) -> bool + 'a) -> impl Iterator<Item = Value> + 'a {
        let records = &self.zone.records;
        let is_first = move |at: usize| {
            let one = &records[at];
            !records[..at].iter().any(|other| other.is(&one.hostname, &one.record_type))
        };
        let firsts = (0..records.len()).filter(move |at| is_first(*at)).map(move |at| &records[at]);
        firsts.filter(move |record| fits(record)).map(|first| {
            let name = self.zone.relative(&first.hostname).filter(|name| !name.is_empty()).unwrap_or("@");
            let href = format!("/v5/livedns/domains/{}/records/{name}/{}", self.zone.name, first.record_type);
            json!({
                "rrset_type": first.record_type,
                "rrset_ttl": first.ttl,
                "rrset_name": name,
                "rrset_href": format!("https://api.gandi.net{href}"),
                "rrset_values": self.zone.contents(&first.hostname, &first.record_type),
            })
        })
    }
}

fn no_record(name: &str, kind: &str) -> Said {
    failure(404, "dns-record", "Not Found", &format!("Can't find the DNS record {name}/{kind} in the zone"))
}

fn failure(status: u16, object: &str, cause: &str, message: &str) -> Said {
    Said::json(status, &json!({"code": status, "message": message, "object": object, "cause": cause}))
}
