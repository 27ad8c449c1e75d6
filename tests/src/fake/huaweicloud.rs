//! A Huawei Cloud DNS of our own: public zones by v2, record sets by v2.1, strict about signature, query and body.
//!
//! Shapes and codes are those of the vendor's pages; there is no recorded traffic. A set's id is that of its first
//! record; every set is on the line of everybody.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::canonical::{are_signed, canonical_request, part, parts};
use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone, hex, hmac_sha256, sha256_hex};

const ACCESS_KEY: &str = "HWFAKEACCESSKEY0123456789";
const SECRET_KEY: &str = "fake-secret-key-0123456789";
const ZONE_ID: &str = "2c9eb155587194ec01587224c9f90149";

/// Huawei Cloud in the suite.
pub static SUBJECT: Subject = Subject {
    word: "huaweicloud",
    start,
    traits: Traits {
        replaces_sets: true,
        beside: || json!({"description": "the box in the cellar"}),
        spoil: |settings| settings.set("secret_key", secret("wrong-secret-key-0123456789")),
        throttled: || refused_at_the_gate(429, "APIGW.0308", "The throttling threshold has been reached"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Huawei { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("huaweicloud").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("access_key", secret(ACCESS_KEY));
    settings.set("secret_key", secret(SECRET_KEY));
    settings.set("region", Setting::Text("cn-north-4".to_owned()));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Huawei {
    zone: Zone,
}

impl Api for Huawei {
    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, now: Timestamp) -> Said {
        if let Err(said) = check(asked, now) {
            return said;
        }
        let done = match (asked.method(), asked.path().as_slice()) {
            ("GET", ["v2", "zones"]) => self.zones(asked),
            (_, ["v2.1", "zones", zone, ..]) if *zone != ZONE_ID => {
                Err(failure(404, "DNS.0302", "The zone does not exist."))
            }
            ("GET", ["v2.1", "zones", _, "recordsets"]) => self.list(asked),
            ("POST", ["v2.1", "zones", _, "recordsets"]) => self.create(asked),
            ("PUT", ["v2.1", "zones", _, "recordsets", id]) => self.put(asked, id),
            ("DELETE", ["v2.1", "zones", _, "recordsets", id]) => self.delete(asked, id),
            _ => return asked.unknown_call(refused_at_the_gate(404, "APIGW.0101", "The API does not exist")),
        };
        let status = if asked.method() == "GET" { 200 } else { 202 };
        done.map_or_else(|refused| refused, |body| Said::json(status, &body))
    }
}

fn check(asked: &Asked, now: Timestamp) -> Result<(), Said> {
    let no = |why| Err(refused_at_the_gate(401, "APIGW.0301", why));
    let Some(parts) = parts(asked, "SDK-HMAC-SHA256") else {
        return no("Incorrect IAM authentication information: none");
    };
    let names = part(&parts, "SignedHeaders").unwrap_or_default();
    let wanted =
        if asked.body().is_empty() { &["host", "x-sdk-date"][..] } else { &["content-type", "host", "x-sdk-date"] };
    let date = asked.header("x-sdk-date").unwrap_or_default();
    let is_near = |date: Timestamp| date.seconds().abs_diff(now.seconds()) <= 900;
    if !are_signed(names, wanted) || !Timestamp::from_basic(date).is_some_and(is_near) {
        return no("Incorrect IAM authentication information: x-sdk-date expired");
    }
    let is_right = part(&parts, "Signature") == signature(asked, names, date, SECRET_KEY).as_deref();
    if part(&parts, "Access") != Some(ACCESS_KEY) || !is_right {
        return no("Incorrect IAM authentication information: verify aksk signature fail");
    }
    Ok(())
}

/// An answer, or why not.
type Done = Result<Value, Said>;

impl Huawei {
    fn zones(&self, asked: &Asked) -> Done {
        asked.only_parameters(&["limit", "name", "search_mode", "type"]);
        let zone =
            json!({"id": ZONE_ID, "name": format!("{}.", self.zone.name), "zone_type": "public", "status": "ACTIVE"});
        let asked_for = asked.parameter("name").unwrap_or_default().trim_end_matches('.');
        let is_it = match asked.parameter("search_mode") {
            Some("equal") => self.zone.name == asked_for,
            _ => self.zone.name.contains(asked_for),
        };
        let zones: Vec<Value> = is_it.then_some(zone).into_iter().collect();
        Ok(json!({"links": {"self": "/v2/zones"}, "metadata": {"total_count": zones.len()}, "zones": zones}))
    }

    fn list(&self, asked: &Asked) -> Done {
        asked.only_parameters(&["limit", "marker", "name", "search_mode", "type"]);
        let name = asked.parameter("name").unwrap_or_default().trim_end_matches('.');
        let fits = |record: &&Record| match asked.parameter("search_mode") {
            Some("equal") => record.hostname == name,
            _ => record.hostname.contains(name),
        };
        let mut sets: Vec<(&str, &str)> = Vec::new();
        for record in self.zone.records.iter().filter(fits) {
            let key = (record.hostname.as_str(), record.record_type.as_str());
            if !sets.contains(&key) {
                sets.push(key);
            }
        }
        let sets: Vec<Value> = sets.iter().map(|(name, kind)| self.shown(name, kind, "ACTIVE")).collect();
        Ok(json!({"links": {"self": "/v2.1"}, "metadata": {"total_count": sets.len()}, "recordsets": sets}))
    }

    fn shown(&self, hostname: &str, record_type: &str, status: &str) -> Value {
        let first = self.zone.of(hostname, record_type).next();
        json!({"id": first.map(|record| spelled(record.id)), "name": format!("{hostname}."), "type": record_type,
            "ttl": first.map(|record| record.ttl), "records": self.zone.contents(hostname, record_type), "status": status,
            "description": first.map(|record| record.extra["description"].clone()), "line": "default_view", "weight": null,
            "zone_id": ZONE_ID, "zone_name": format!("{}.", self.zone.name), "default": false})
    }

    fn create(&mut self, asked: &Asked) -> Done {
        let wanted = self.checked(asked)?;
        let (name, kind) = (wanted.hostname.as_str(), wanted.record_type.as_str());
        if self.zone.of(name, kind).next().is_some() || self.zone.is_cname_in_the_way(&wanted.record("")) {
            return Err(failure(400, "DNS.0312", "Attribute 'name' conflicts with an existing record set."));
        }
        self.zone.replace(name, kind, wanted.ttl, &wanted.records);
        Ok(self.shown(name, kind, "PENDING_CREATE"))
    }

    fn put(&mut self, asked: &Asked, id: &str) -> Done {
        let known = self.known(id)?;
        let wanted = self.checked(asked)?;
        let (name, kind) = (wanted.hostname.as_str(), wanted.record_type.as_str());
        if (known.hostname.as_str(), known.record_type.as_str()) != (name, kind) {
            return Err(failure(400, "DNS.0307", "The type of a record set cannot be changed."));
        }
        self.zone.replace(name, kind, wanted.ttl, &wanted.records);
        Ok(self.shown(name, kind, "PENDING_UPDATE"))
    }

    fn delete(&mut self, asked: &Asked, id: &str) -> Done {
        asked.no_body();
        let known = self.known(id)?;
        let shown = self.shown(&known.hostname, &known.record_type, "PENDING_DELETE");
        self.zone.remove_all(&known.hostname, &known.record_type);
        Ok(shown)
    }

    /// The first record of a set.
    fn known(&self, id: &str) -> Result<Record, Said> {
        let first = |record: &&Record| {
            spelled(record.id) == id && self.zone.of(&record.hostname, &record.record_type).next() == Some(*record)
        };
        let known = self.zone.records.iter().find(first).cloned();
        known.ok_or_else(|| failure(404, "DNS.0313", "The record set does not exist."))
    }

    /// The set that a body describes, as far as the real one takes it.
    fn checked(&self, asked: &Asked) -> Result<Wanted, Said> {
        let no = |code, message| Err(failure(400, code, message));
        let Some(body) = asked.json() else { return no("DNS.0202", "The body is no JSON.") };
        asked.only_members(&body, &["name", "records", "ttl", "type"]);
        let text = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
        let values = body["records"].as_array().into_iter().flatten();
        let wanted = Wanted {
            hostname: text("name").trim_end_matches('.').to_owned(),
            record_type: text("type"),
            ttl: body["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(0),
            records: values.filter_map(|value| value.as_str().map(str::to_owned)).collect(),
        };
        if !text("name").ends_with('.') || self.zone.relative(&wanted.hostname).is_none() {
            return no("DNS.0304", "Attribute 'name' is invalid.");
        }
        if wanted.ttl == 0 {
            return no("DNS.0319", "Attribute 'ttl' is invalid.");
        }
        let mut different = wanted.records.clone();
        different.sort();
        different.dedup();
        let is_sound = |content: &String| wanted.record(content).is_sound();
        if different.len() != wanted.records.len() || different.is_empty() || !different.iter().all(is_sound) {
            return no("DNS.0308", "Attribute 'records' is invalid.");
        }
        Ok(wanted)
    }
}

struct Wanted {
    hostname: String,
    record_type: String,
    ttl: u32,
    records: Vec<String>,
}

impl Wanted {
    fn record(&self, content: &str) -> Record {
        Record::new(&self.hostname, &self.record_type, content)
    }
}

fn spelled(id: u64) -> String {
    format!("2c9eb155587228570158722b{id:08x}")
}

/// "AK/SK signing": the path with a slash at its end, the hash of the canonical request, under the secret itself.
fn signature(asked: &Asked, names: &str, date: &str, secret: &str) -> Option<String> {
    let path = format!("{}/", asked.raw_path().trim_end_matches('/'));
    let text = format!("SDK-HMAC-SHA256\n{date}\n{}", sha256_hex(canonical_request(asked, &path, names)?.as_bytes()));
    Some(hex(&hmac_sha256(secret.as_bytes(), text.as_bytes())))
}

fn failure(status: u16, code: &str, message: &str) -> Said {
    Said::json(status, &json!({"code": code, "message": message}))
}

/// What the API gateway before the service says.
fn refused_at_the_gate(status: u16, code: &str, message: &str) -> Said {
    Said::json(status, &json!({"error_code": code, "error_msg": message, "request_id": "1"}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::canonical::asked;

    #[test]
    fn the_signature_is_the_sdks() {
        // huaweicloudsdkcore 3.1.219 with made-up keys.
        let (date, host) = ("20260102T030405Z", "dns.cn-north-4.myhuaweicloud.com");
        let target = "/v2.1/recordsets?zone_type=public&name=home.example.com.&type=A&search_mode=equal";
        let asked = asked("GET", target, &[("host", host), ("x-sdk-date", date)], "");
        let signature = signature(&asked, "host;x-sdk-date", date, "FakeSecretKeyForTestsOnly0000000001");
        assert_eq!(signature.as_deref(), Some("24d4e13aa853e01091543fe984cfe7ec9c3d9c6e65ba4606255455b0f84db42d"));
    }
}
