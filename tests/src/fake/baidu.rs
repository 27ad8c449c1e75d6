//! A Baidu AI Cloud DNS of our own, version 1: strict about signature, parameters and members.
//!
//! Shapes are those of the vendor's pages and SDK; there is no recorded traffic. Writes are answered with nothing.
//! Not documented, and so unknown: the codes for a record that is there already, for a CNAME in the way and for a TTL
//! below the edition's least (here: an edition that takes every TTL); whether an update that names no description keeps
//! it (here it does not).

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::canonical::{canonical_query, encoded};
use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone, hex, hmac_sha256};

const ACCESS_KEY: &str = "fakebaiduaccesskey0123456789";
const SECRET_KEY: &str = "fake-baidu-secret-key-0123456789";

/// Baidu in the suite.
pub static SUBJECT: Subject = Subject {
    word: "baidu",
    start,
    traits: Traits {
        learns_late: true, // the answer to a creation is empty
        beside: || json!({"description": "the box in the cellar"}),
        spoil: |settings| settings.set("secret_access_key", secret("wrong-baidu-secret-key-0123456789")),
        oracle: Some("baidu.py"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Baidu { zone: Zone::new("home.test"), tokens: Vec::new() });
    let mut settings = ProviderSettings::new("some", kind("baidu").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("access_key_id", secret(ACCESS_KEY));
    settings.set("secret_access_key", secret(SECRET_KEY));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Baidu {
    zone: Zone,
    tokens: Vec<String>,
}

impl Api for Baidu {
    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn put_by_hand(&mut self, record: Record) {
        let extra = if record.extra.is_null() { json!({"description": ""}) } else { record.extra.clone() };
        self.zone.add(record.with(extra));
    }

    fn answer(&mut self, asked: &Asked, now: Timestamp) -> Said {
        if let Err(refused) = check(asked, now) {
            return refused;
        }
        if asked.method() != "GET" {
            asked.only_parameters(&["clientToken"]);
            let token = asked.parameter("clientToken").unwrap_or_default().to_owned();
            if token.is_empty() || token.len() > 64 || self.tokens.contains(&token) {
                asked.mistake("a token of a write counts once, and has at most 64 letters");
            }
            self.tokens.push(token);
        }
        let done = match (asked.method(), asked.path().as_slice()) {
            ("GET", ["v1", "dns", "zone"]) => Ok(self.zones(asked)),
            (_, ["v1", "dns", "zone", zone, "record", ..]) if *zone != self.zone.name => Err(no_such("zone")),
            ("GET", ["v1", "dns", "zone", _, "record"]) => Ok(self.list(asked)),
            ("POST", ["v1", "dns", "zone", _, "record"]) => self.create(asked),
            ("PUT", ["v1", "dns", "zone", _, "record", id]) => self.put(asked, id),
            ("DELETE", ["v1", "dns", "zone", _, "record", id]) => self.delete(asked, id),
            _ => return asked.unknown_call(no_such("path")),
        };
        match done {
            Ok(Value::Null) => Said::empty(200),
            Ok(body) => Said::json(200, &body),
            Err(refused) => refused,
        }
    }
}

/// `bce-auth-v1/{access key}/{time}/{seconds}/{signed headers}/{signature}`.
fn check(asked: &Asked, now: Timestamp) -> Result<(), Said> {
    let no = |code, message| Err(failure(403, code, message));
    let authorization = asked.header("authorization").unwrap_or_default();
    let ["bce-auth-v1", id, time, lifetime, names, signed] = authorization.split('/').collect::<Vec<_>>()[..] else {
        return Err(failure(400, "InvalidHTTPAuthHeader", "The HTTP authorization header is invalid."));
    };
    if id != ACCESS_KEY {
        return no("InvalidAccessKeyId", "The Access Key ID you provided does not exist in our records.");
    }
    let start = Timestamp::from_basic(&time.replace(['-', ':'], "")).map_or(0, Timestamp::seconds);
    if start.abs_diff(now.seconds()) > lifetime.parse().unwrap_or(0) || asked.header("x-bce-date") != Some(time) {
        return Err(failure(400, "RequestExpired", "Request has expired."));
    }
    let prefix = format!("bce-auth-v1/{id}/{time}/{lifetime}");
    if !names.split(';').any(|name| name == "host")
        || signature(asked, &prefix, names, SECRET_KEY).as_deref() != Some(signed)
    {
        return no(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        );
    }
    Ok(())
}

/// An answer, or why not; null for an empty one.
type Done = Result<Value, Said>;

impl Baidu {
    /// The name is searched for, not compared.
    fn zones(&self, asked: &Asked) -> Value {
        asked.only_parameters(&["marker", "name"]);
        let name = asked.parameter("name").unwrap_or_default();
        let zones = [format!("my{}", self.zone.name), self.zone.name.clone()];
        let fits = |zone: &&String| zone.contains(name);
        let zones: Vec<Value> =
            zones.iter().filter(fits).map(|zone| json!({"id": "z", "name": zone, "status": "running"})).collect();
        json!({"marker": "", "isTruncated": false, "maxKeys": 1000, "zones": zones})
    }

    fn list(&self, asked: &Asked) -> Value {
        asked.only_parameters(&["marker", "rr"]);
        let name = self.zone.absolute(asked.parameter("rr").unwrap_or_default());
        let records: Vec<Value> = self
            .zone
            .records
            .iter()
            .filter(|record| record.hostname == name)
            .map(|record| self.shown(record))
            .collect();
        json!({"marker": "", "isTruncated": false, "maxKeys": 1000, "records": records})
    }

    fn shown(&self, record: &Record) -> Value {
        let rr = self.zone.relative(&record.hostname).filter(|rr| !rr.is_empty()).unwrap_or("@");
        json!({"id": record.id.to_string(), "rr": rr, "type": record.record_type, "value": record.content,
            "ttl": record.ttl, "line": "default", "status": "running", "priority": 0,
            "description": record.extra["description"]})
    }

    fn create(&mut self, asked: &Asked) -> Done {
        let record = self.checked(asked, &["description", "line", "rr", "ttl", "type", "value"], 0)?;
        self.zone.add(record);
        Ok(Value::Null)
    }

    fn put(&mut self, asked: &Asked, id: &str) -> Done {
        let known = self.known(id)?;
        let record = self.checked(asked, &["description", "rr", "ttl", "type", "value"], known)?;
        if let Some(place) = self.zone.by_id_mut(known) {
            *place = record;
        }
        Ok(Value::Null)
    }

    fn delete(&mut self, asked: &Asked, id: &str) -> Done {
        asked.no_body();
        let known = self.known(id)?;
        self.zone.remove(known);
        Ok(Value::Null)
    }

    fn known(&self, id: &str) -> Result<u64, Said> {
        let known = id.parse().ok().filter(|id| self.zone.by_id(*id).is_some());
        known.ok_or_else(|| no_such("record"))
    }

    /// The record that a body describes, as far as the real one takes it.
    fn checked(&self, asked: &Asked, members: &[&str], id: u64) -> Result<Record, Said> {
        let no = |message| Err(failure(400, "InappropriateJSON", message));
        let Some(body) = asked.json() else { return no("The JSON is not well-formed.") };
        asked.only_members(&body, members);
        let text = |member: &str| body[member].as_str().unwrap_or_default();
        let ttl = body["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(300);
        let record = Record { id, ttl, ..Record::new(&self.zone.absolute(text("rr")), text("type"), text("value")) };
        if text("rr").is_empty() || ttl == 0 || !record.is_sound() {
            return no("A member is invalid.");
        }
        if self.zone.has_same(&record) || self.zone.is_cname_in_the_way(&record) {
            return no("The record conflicts with others.");
        }
        Ok(record.with(json!({ "description": text("description") })))
    }
}

/// "Generate authentication strings": the prefix makes the key, and the key is hexadecimal text.
fn signature(asked: &Asked, prefix: &str, names: &str, secret: &str) -> Option<String> {
    let mut lines = Vec::new();
    for name in names.split(';') {
        lines.push(format!("{}:{}", encoded(name), encoded(asked.header(name)?.trim())));
    }
    lines.sort();
    let text = [asked.method(), asked.raw_path(), &canonical_query(asked), &lines.join("\n")].join("\n");
    let key = hex(&hmac_sha256(secret.as_bytes(), prefix.as_bytes()));
    Some(hex(&hmac_sha256(key.as_bytes(), text.as_bytes())))
}

fn no_such(what: &str) -> Said {
    failure(404, "NoSuchObject", &format!("{what} not exist"))
}

fn failure(status: u16, code: &str, message: &str) -> Said {
    Said::json(status, &json!({"code": code, "message": message, "requestId": "1"}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::canonical::asked;

    #[test]
    fn the_signature_is_the_sdks() {
        // bce-python-sdk 0.9.79 with made-up keys.
        let headers = [("host", "dns.baidubce.com"), ("x-bce-date", "2026-01-02T03:04:05Z")];
        let asked = asked("GET", "/v1/dns/zone/example.com/record?rr=home", &headers, "");
        let prefix = "bce-auth-v1/FakeBaiduAccessKey00000000000001/2026-01-02T03:04:05Z/1800";
        let signature = signature(&asked, prefix, "host;x-bce-date", "FakeBaiduSecretKey00000000000001");
        assert_eq!(signature.as_deref(), Some("418ee363fc7173a70716563bf86aa41c583233f40a8531e673960c471340831f"));
    }
}
