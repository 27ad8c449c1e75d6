//! A Volcengine DNS of our own, API of 2018-08-01: strict about signature, parameters and members.
//!
//! Shapes are those of the vendor's SDK, codes those of his pages; there is no recorded traffic. Whether an update that
//! names neither weight nor remark keeps them is not known: here it does not. An edition that takes every TTL.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::canonical::{are_signed, canonical_request, part, parts};
use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone, hex, hmac_sha256, sha256_hex};

const KEY_ID: &str = "AKLTfakekeyid0123456789";
const SECRET: &str = "fake-secret-access-key-0123456789";
const ZONE_ID: u64 = 1_234_567;

/// Volcengine in the suite.
pub static SUBJECT: Subject = Subject {
    word: "volcengine",
    start,
    traits: Traits {
        beside: || json!({"Remark": "the box in the cellar", "Weight": 3}),
        spoil: |settings| settings.set("secret_access_key", secret("wrong-secret-access-key-0123456789")),
        throttled: || failure(429, "FlowLimitExceeded", "The request is limited."),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Volcengine { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("volcengine").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("access_key_id", secret(KEY_ID));
    settings.set("secret_access_key", secret(SECRET));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Volcengine {
    zone: Zone,
}

impl Api for Volcengine {
    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn put_by_hand(&mut self, record: Record) {
        let extra = if record.extra.is_null() { plain() } else { record.extra.clone() };
        self.zone.add(record.with(extra));
    }

    fn answer(&mut self, asked: &Asked, now: Timestamp) -> Said {
        if let Err(refused) = check(asked, now) {
            return refused;
        }
        let body = if asked.body().is_empty() { Some(Value::Null) } else { asked.json() };
        let Some(body) = body else { return failure(400, "ErrParsingParams", "parsing params error") };
        let action = asked.parameter("Action").unwrap_or_default();
        let done = match (asked.method(), asked.path().as_slice(), action) {
            ("GET", [""], "ListZones") => Ok(self.zones(asked)),
            ("GET", [""], "ListRecords") => self.list(asked),
            ("POST", [""], "CreateRecord") => self.create(asked, &body),
            ("POST", [""], "UpdateRecord") => self.update(asked, &body),
            ("POST", [""], "DeleteRecord") => self.delete(asked, &body),
            _ => return asked.unknown_call(failure(404, "InvalidActionOrVersion", "There is no such action.")),
        };
        done.map_or_else(|refused| refused, |result| said(200, json!({"RequestId": "1", "Action": action}), result))
    }
}

fn check(asked: &Asked, now: Timestamp) -> Result<(), Said> {
    let no = |code, message| Err(failure(401, code, message));
    let Some(parts) = parts(asked, "HMAC-SHA256") else {
        return no("MissingAuthenticationToken", "Nothing is signed.");
    };
    let names = part(&parts, "SignedHeaders").unwrap_or_default();
    let time = asked.header("x-date").unwrap_or_default();
    let is_near = |time: Timestamp| time.seconds().abs_diff(now.seconds()) <= 900;
    if !Timestamp::from_basic(time).is_some_and(is_near) {
        return no("InvalidTimestamp", "The signature is expired.");
    }
    let Some((id, scope)) = part(&parts, "Credential").and_then(|credential| credential.split_once('/')) else {
        return no("InvalidCredential", "There is no scope.");
    };
    if id != KEY_ID {
        return no("InvalidAccessKey", "The access key is invalid.");
    }
    let is_right = scope == format!("{}/cn-north-1/DNS/request", &time[..8])
        && are_signed(names, &["host", "x-content-sha256", "x-date"])
        && asked.header("x-content-sha256") == Some(&sha256_hex(asked.body()))
        && part(&parts, "Signature") == signature(asked, names, time, scope, SECRET).as_deref();
    if !is_right {
        return no("SignatureDoesNotMatch", "The request signature we calculated does not match.");
    }
    if asked.parameter("Version") != Some("2018-08-01") {
        asked.mistake("another version");
    }
    Ok(())
}

/// An answer, or why not.
type Done = Result<Value, Said>;

impl Volcengine {
    fn zones(&self, asked: &Asked) -> Value {
        asked.only_parameters(&["Action", "Key", "SearchMode", "Version"]);
        if asked.parameter("Key") != Some(&self.zone.name) {
            return json!({"Total": 0, "Zones": null});
        }
        json!({"Total": 1, "Zones": [{"ZID": ZONE_ID, "ZoneName": self.zone.name, "TradeCode": "flagship"}]})
    }

    fn list(&self, asked: &Asked) -> Done {
        asked.only_parameters(&["Action", "Host", "PageSize", "SearchMode", "Version", "ZID"]);
        if asked.parameter("ZID") != Some(&ZONE_ID.to_string()) {
            return Err(no_zone());
        }
        let name = self.zone.absolute(asked.parameter("Host").unwrap_or_default());
        let fits = |record: &&Record| match asked.parameter("SearchMode") {
            Some("exact") => record.hostname == name,
            _ => record.hostname.contains(&name),
        };
        let records: Vec<Value> = self.zone.records.iter().filter(fits).map(|record| self.shown(record)).collect();
        let count = records.len();
        let records = if records.is_empty() { Value::Null } else { Value::Array(records) };
        Ok(json!({"PageNumber": 1, "PageSize": 100, "TotalCount": count, "Records": records}))
    }

    fn shown(&self, record: &Record) -> Value {
        let host = self.zone.relative(&record.hostname).filter(|host| !host.is_empty()).unwrap_or("@");
        json!({"RecordID": spelled(record.id), "Host": host, "Type": record.record_type, "Value": record.content,
            "TTL": record.ttl, "Line": "default", "Enable": true, "FQDN": format!("{}.", record.hostname),
            "Weight": record.extra["Weight"], "Remark": record.extra["Remark"]})
    }

    fn create(&mut self, asked: &Asked, body: &Value) -> Done {
        asked.only_members(body, &["Host", "Line", "Remark", "TTL", "Type", "Value", "Weight", "ZID"]);
        if body["ZID"] != ZONE_ID {
            return Err(no_zone());
        }
        let record = self.checked(body, 0)?;
        let record = self.zone.add(record).clone();
        Ok(self.shown(&record))
    }

    fn update(&mut self, asked: &Asked, body: &Value) -> Done {
        asked.only_members(body, &["Host", "Line", "RecordID", "Remark", "TTL", "Type", "Value", "Weight"]);
        let record = self.checked(body, self.known(body)?)?;
        if let Some(place) = self.zone.by_id_mut(record.id) {
            *place = record.clone();
        }
        Ok(self.shown(&record))
    }

    fn delete(&mut self, asked: &Asked, body: &Value) -> Done {
        asked.only_members(body, &["RecordID"]);
        let id = self.known(body)?;
        self.zone.remove(id);
        Ok(Value::Null)
    }

    fn known(&self, body: &Value) -> Result<u64, Said> {
        let known = self.zone.records.iter().find(|record| body["RecordID"] == spelled(record.id));
        known.map(|record| record.id).ok_or_else(|| failure(400, "ErrDBNotFound", "record not found :id"))
    }

    /// The record that a body describes, as far as the real one takes it.
    fn checked(&self, body: &Value, id: u64) -> Result<Record, Said> {
        let text = |member: &str| body[member].as_str().unwrap_or_default();
        let ttl = body["TTL"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(600);
        if text("Host").is_empty() {
            return Err(failure(400, "ErrHostCanNotBeEmpty", "host can't be empty, use @ instead"));
        }
        let mut extra = plain();
        for member in ["Remark", "Weight"].into_iter().filter(|member| !body[*member].is_null()) {
            extra[member] = body[member].clone();
        }
        let record = Record { id, ttl, ..Record::new(&self.zone.absolute(text("Host")), text("Type"), text("Value")) };
        if !record.is_sound() || text("Line") != "default" {
            return Err(failure(400, "ErrParamInvalid", "validation fail: Value"));
        }
        if self.zone.has_same(&record) {
            return Err(failure(409, "ErrDBDuplicated", "duplicated: record"));
        }
        if self.zone.is_cname_in_the_way(&record) {
            return Err(failure(400, "ErrParamInvalid", "validation fail: it conflicts with a CNAME"));
        }
        Ok(record.with(extra))
    }
}

/// What stands beside a record of which nobody said anything.
fn plain() -> Value {
    json!({"Remark": null, "Weight": 1})
}

fn spelled(id: u64) -> String {
    format!("{id:032x}")
}

/// "Signature method": the key of the day, of the region, of the service, and nothing before the secret.
fn signature(asked: &Asked, names: &str, time: &str, scope: &str, secret: &str) -> Option<String> {
    let request = canonical_request(asked, asked.raw_path(), names)?;
    let text = format!("HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(request.as_bytes()));
    let key = scope.split('/').fold(secret.as_bytes().to_vec(), |key, part| hmac_sha256(&key, part.as_bytes()));
    Some(hex(&hmac_sha256(&key, text.as_bytes())))
}

fn no_zone() -> Said {
    failure(400, "ErrZoneNotFound", "zone not found")
}

fn failure(status: u16, code: &str, message: &str) -> Said {
    said(status, json!({"RequestId": "1", "Error": {"CodeN": 400_000, "Code": code, "Message": message}}), Value::Null)
}

fn said(status: u16, metadata: Value, result: Value) -> Said {
    Said::json(status, &json!({"ResponseMetadata": metadata, "Result": result}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::canonical::asked;

    #[test]
    fn the_signature_is_the_sdks() {
        // volcenginesdkcore 5.0.54 with made-up keys.
        let time = "20260102T030405Z";
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let headers = [("host", "open.volcengineapi.com"), ("x-content-sha256", empty), ("x-date", time)];
        let target = "/?ZID=123456&Action=ListRecords&Host=home&SearchMode=exact&Type=A&Version=2018-08-01";
        let asked = asked("GET", target, &headers, "");
        let scope = "20260102/cn-north-1/DNS/request";
        let signature =
            signature(&asked, "host;x-content-sha256;x-date", time, scope, "FakeSecretKeyForTestsOnly0000000001");
        assert_eq!(signature.as_deref(), Some("ddbe0a2345594a53b1eb11b050e0fdf12a0ee2bbeb76ae75b4da7535dbd68cf8"));
    }
}
