//! A Dynu of our own, API version 2: the domain object and the records below it, as the recorded traffic of 2025 and
//! the vendor's pages show them.
//!
//! The addresses of the zone itself are records of the fake's zone like any other; here they show as members of the
//! domain. The flags `ipv4` and `ipv6` say whether there is one. What a change of the domain answers is not recorded
//! anywhere: it gets the bare `statusCode` that a deletion gets. Which records the real one refuses beside a CNAME is
//! unknown too; here it is any.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const ID: u64 = 100_373_707;
const KEY: &str = "fake-api-key-0123456789";
const FAMILIES: [(&str, &str, &str); 2] = [("A", "ipv4", "ipv4Address"), ("AAAA", "ipv6", "ipv6Address")];

/// Dynu in the suite.
pub static SUBJECT: Subject = Subject {
    word: "dynu",
    start,
    traits: Traits {
        beside: || json!({"group": "cellar", "state": true}),
        spoil: |settings| settings.set("api_key", secret("wrong-api-key-0123456789")),
        throttled: || failure(429, "Quota Exception", "Too many requests."),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Dynu::default());
    let mut settings = ProviderSettings::new("some", kind("dynu").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("api_key", secret(KEY));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

/// The API.
pub struct Dynu {
    zone: Zone,
    /// What the domain has besides its addresses.
    settings: Value,
}

impl Default for Dynu {
    fn default() -> Self {
        let settings = json!({"group": "roof", "ttl": 90, "ipv4WildcardAlias": false, "ipv6WildcardAlias": false,
            "allowZoneTransfer": false, "dnssec": true});
        Self { zone: Zone::new("home.test"), settings }
    }
}

impl Api for Dynu {
    fn base(&self) -> &'static str {
        "/v2"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn put_by_hand(&mut self, mut record: Record) {
        if record.extra.is_null() {
            record.extra = json!({"group": "", "state": true});
        }
        self.zone.add(record);
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if asked.header("api-key") != Some(KEY) {
            return failure(401, "Authentication Exception", "Invalid API key.");
        }
        asked.only_parameters(&[]);
        let body = if asked.body().is_empty() { Some(Value::Null) } else { asked.json() };
        let Some(body) = body else { return failure(400, "Parse Exception", "Invalid.") };
        let id = ID.to_string();
        match (asked.method(), asked.path().as_slice()) {
            ("GET", ["dns", "getroot", hostname]) => match self.zone.relative(hostname) {
                Some(node) => Said::json(
                    200,
                    &json!({"statusCode": 200, "id": ID, "domainName": self.zone.name, "hostname": hostname, "node": node}),
                ),
                None => invalid(),
            },
            ("GET", ["dns", domain]) if *domain == id => Said::json(200, &self.domain()),
            ("POST", ["dns", domain]) if *domain == id => self.change_domain(asked, &body),
            ("GET", ["dns", domain, "record"]) if *domain == id => {
                let below = self.zone.records.iter().filter(|record| record.hostname != self.zone.name);
                let records: Vec<Value> = below.map(|record| self.shown(record)).collect();
                Said::json(200, &json!({"statusCode": 200, "dnsRecords": records}))
            }
            ("POST", ["dns", domain, "record"]) if *domain == id => self.write(asked, None, &body),
            (method, ["dns", domain, "record", record]) if *domain == id => {
                let known = record.parse().ok().filter(|id| self.zone.by_id(*id).is_some());
                match (method, known) {
                    (_, None) => invalid(),
                    ("DELETE", Some(id)) => {
                        self.zone.remove(id);
                        Said::json(200, &json!({"statusCode": 200}))
                    }
                    ("POST", Some(id)) => self.write(asked, Some(id), &body),
                    _ => asked.unknown_call(invalid()),
                }
            }
            (_, ["dns", ..]) => invalid(),
            _ => asked.unknown_call(invalid()),
        }
    }
}

impl Dynu {
    fn domain(&self) -> Value {
        let mut domain = json!({"id": ID, "name": self.zone.name, "unicodeName": self.zone.name, "token": "t",
            "state": "Complete", "createdOn": "2025-05-06T18:31:27", "updatedOn": "2025-05-06T18:32:32.19"});
        for (name, value) in self.settings.as_object().into_iter().flatten() {
            domain[name] = value.clone();
        }
        for (kind, flag, member) in FAMILIES {
            let address = self.zone.of(&self.zone.name, kind).next().map(|record| record.content.clone());
            domain[flag] = json!(address.is_some());
            domain[member] = json!(address);
        }
        domain
    }

    fn change_domain(&mut self, asked: &Asked, body: &Value) -> Said {
        let mut known: Vec<String> =
            self.settings.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        known.extend(["name", "ipv4", "ipv6", "ipv4Address", "ipv6Address"].map(str::to_owned));
        asked.only_members(body, &known.iter().map(String::as_str).collect::<Vec<_>>());
        for name in &known {
            if body.get(name).is_none() {
                asked.mistake(format!("{name} is missing, which resets it"));
            }
        }
        if body["name"] != self.zone.name.as_str() {
            return failure(400, "Validation Exception", "The name cannot be changed.");
        }
        for (name, value) in self.settings.as_object_mut().into_iter().flatten() {
            let may_change = name == "ttl" || name.ends_with("Alias");
            if *value != body[name] && !may_change {
                asked.mistake(format!("{name} was {value} and is reset"));
            }
            *value = body[name].clone();
        }
        let name = self.zone.name.clone();
        for (kind, flag, member) in FAMILIES {
            let content: Vec<String> = if body[flag] == true {
                let record = Record::new(&name, kind, body[member].as_str().unwrap_or_default());
                if !record.is_sound() {
                    return failure(400, "Validation Exception", "Invalid IP address.");
                }
                vec![record.content]
            } else {
                Vec::new()
            };
            self.zone.replace(&name, kind, ttl(&self.settings), &content);
        }
        Said::json(200, &json!({"statusCode": 200}))
    }

    fn write(&mut self, asked: &Asked, id: Option<u64>, body: &Value) -> Said {
        asked.only_members(body, &["nodeName", "recordType", "ttl", "state", "group", "ipv4Address", "ipv6Address"]);
        let kind = body["recordType"].as_str().unwrap_or_default();
        let Some((_, _, member)) = FAMILIES.into_iter().find(|(word, _, _)| *word == kind) else { return invalid() };
        let node = body["nodeName"].as_str().unwrap_or_default();
        if node.is_empty() {
            asked.mistake("the domain's own addresses are no records");
        }
        let mut record = Record::new(&self.zone.absolute(node), kind, body[member].as_str().unwrap_or_default());
        record.id = id.unwrap_or(0);
        record.ttl = ttl(body);
        record.extra = json!({"group": body["group"], "state": body["state"]});
        if !record.is_sound() || self.zone.is_cname_in_the_way(&record) {
            return failure(400, "Validation Exception", "Invalid record.");
        }
        let same = |other: &&Record| other.is(&record.hostname, kind) && other.content == record.content;
        let twin = self.zone.records.iter().find(same).filter(|other| id.is_none_or(|id| id != other.id));
        // The same record again is the record that is there.
        let stands = match (twin.cloned(), id.and_then(|id| self.zone.by_id_mut(id))) {
            (Some(twin), _) => twin,
            (None, Some(place)) => {
                *place = record.clone();
                record
            }
            (None, None) => self.zone.add(record).clone(),
        };
        let mut said = self.shown(&stands);
        said["statusCode"] = json!(200);
        Said::json(200, &said)
    }

    fn shown(&self, record: &Record) -> Value {
        let kind = record.record_type.as_str();
        let content = format!("{}. {} IN {kind} {}", record.hostname, record.ttl, record.content);
        let node = self.zone.relative(&record.hostname).unwrap_or_default();
        let mut shown = json!({"id": record.id, "domainId": ID, "domainName": self.zone.name, "nodeName": node,
            "hostname": record.hostname, "recordType": kind, "ttl": record.ttl, "content": content,
            "updatedOn": "2025-05-06T18:36:06.03", "location": "", "group": record.extra["group"], "state": true});
        if record.extra["state"] == false {
            shown["state"] = json!(false);
        }
        if let Some((_, _, member)) = FAMILIES.into_iter().find(|(word, _, _)| *word == kind) {
            shown[member] = json!(record.content);
        }
        shown
    }
}

fn ttl(value: &Value) -> u32 {
    value["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(0)
}

fn invalid() -> Said {
    failure(501, "Argument Exception", "Invalid.")
}

fn failure(status: u16, kind: &str, message: &str) -> Said {
    Said::json(status, &json!({"statusCode": status, "type": kind, "message": message}))
}
