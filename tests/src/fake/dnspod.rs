//! A DNSPod of our own as Tencent Cloud's API 3.0 shows it: every call is a `POST` of JSON, every answer has status 200.
//!
//! A domain of the free plan. Shapes and codes are those of the vendor's pages; there is no recorded traffic of this
//! API. `ModifyDynamicDNS` keeps what stands beside a record, as the page says.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::canonical::{are_signed, canonical_request, part, parts};
use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone, hex, hmac_sha256, sha256_hex};

const SECRET_ID: &str = "AKIDfakesecretid0123456789";
const SECRET_KEY: &str = "fake-secret-key-0123456789";
/// The free plan's.
const LEAST_TTL: u64 = 600;
const FIRST_ID: u64 = 1_000_000;

/// DNSPod in the suite.
pub static SUBJECT: Subject = Subject {
    word: "dnspod",
    start,
    traits: Traits {
        ttl: Some((120, 600)), // the free plan
        ttl_by_hand: 900,
        beside: || json!({"Remark": "the box in the cellar"}),
        spoil: |settings| settings.set("secret_key", secret("wrong-secret-key-0123456789")),
        throttled: || error("RequestLimitExceeded", "The number of requests exceeds the frequency limit."),
        oracle: Some("dnspod.py"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(DnsPod { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("dnspod").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("secret_id", secret(SECRET_ID));
    settings.set("secret_key", secret(SECRET_KEY));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct DnsPod {
    zone: Zone,
}

fn action(asked: &Asked) -> &str {
    asked.header("x-tc-action").unwrap_or_default()
}

impl Api for DnsPod {
    fn is_write(&self, asked: &Asked) -> bool {
        !action(asked).starts_with("Describe")
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, now: Timestamp) -> Said {
        if let Err(refused) = check(asked, now) {
            return refused;
        }
        asked.only_parameters(&[]);
        let Some(body) = asked.json() else { return error("InvalidParameter", "The body is no JSON.") };
        if body["Domain"] != self.zone.name {
            return error("ResourceNotFound.NoDataOfDomain", "There is no such domain.");
        }
        let done = match (asked.method(), asked.path().as_slice(), action(asked)) {
            ("POST", [""], "DescribeDomain") => {
                asked.only_members(&body, &["Domain"]);
                Ok(
                    json!({"DomainInfo": {"Domain": self.zone.name, "DomainId": 62, "Grade": "DP_Free", "TTL": LEAST_TTL}}),
                )
            }
            ("POST", [""], "DescribeRecordList") => self.list(asked, &body),
            ("POST", [""], "CreateRecord") => self.create(asked, &body),
            ("POST", [""], "ModifyDynamicDNS") => self.modify(asked, &body),
            ("POST", [""], "DeleteRecord") => self.delete(asked, &body),
            _ => return asked.unknown_call(error("InvalidAction", "There is no such action.")),
        };
        done.map_or_else(|refused| refused, response)
    }
}

fn check(asked: &Asked, now: Timestamp) -> Result<(), Said> {
    let no = |code, message| Err(error(code, message));
    let Some(parts) = parts(asked, "TC3-HMAC-SHA256") else {
        return no("AuthFailure.InvalidAuthorization", "Nothing is signed.");
    };
    let names = part(&parts, "SignedHeaders").unwrap_or_default();
    let time: u64 = asked.header("x-tc-timestamp").and_then(|time| time.parse().ok()).unwrap_or(0);
    if time.abs_diff(now.seconds()) > 300 {
        return no("AuthFailure.SignatureExpire", "The signature is expired.");
    }
    let Some((id, scope)) = part(&parts, "Credential").and_then(|credential| credential.split_once('/')) else {
        return no("AuthFailure.InvalidAuthorization", "There is no scope.");
    };
    if id != SECRET_ID {
        return no("AuthFailure.SecretIdNotFound", "The SecretId is not found.");
    }
    let (year, month, day, ..) = Timestamp::from_seconds(time).civil();
    let is_right = scope == format!("{year:04}-{month:02}-{day:02}/dnspod/tc3_request")
        && are_signed(names, &["content-type", "host"])
        && part(&parts, "Signature") == signature(asked, names, time, scope, SECRET_KEY).as_deref();
    if !is_right {
        return no("AuthFailure.SignatureFailure", "The provided credentials could not be validated.");
    }
    if asked.header("x-tc-version") != Some("2021-03-23") {
        asked.mistake("another version");
    }
    Ok(())
}

/// An answer, or why not.
type Done = Result<Value, Said>;

impl DnsPod {
    fn list(&self, asked: &Asked, body: &Value) -> Done {
        asked.only_members(body, &["Domain", "ErrorOnEmpty", "Limit", "Offset", "RecordType", "Subdomain"]);
        let name = self.zone.absolute(body["Subdomain"].as_str().unwrap_or("@"));
        let records: Vec<Value> = self
            .zone
            .records
            .iter()
            .filter(|record| record.hostname == name)
            .map(|record| self.shown(record))
            .collect();
        if records.is_empty() && body["ErrorOnEmpty"] != "no" {
            return Err(error("ResourceNotFound.NoDataOfRecord", "The list of records is empty."));
        }
        Ok(json!({"RecordCountInfo": {"ListCount": records.len(), "TotalCount": records.len()}, "RecordList": records}))
    }

    fn shown(&self, record: &Record) -> Value {
        let name = self.zone.relative(&record.hostname).filter(|name| !name.is_empty()).unwrap_or("@");
        json!({"RecordId": FIRST_ID + record.id, "Name": name, "Type": record.record_type, "Value": record.content,
            "TTL": record.ttl, "Line": "默认", "LineId": "0", "Status": "ENABLE", "Weight": null, "MX": 0,
            "Remark": record.extra["Remark"].as_str().unwrap_or_default()})
    }

    fn create(&mut self, asked: &Asked, body: &Value) -> Done {
        asked.only_members(body, &["Domain", "RecordLine", "RecordLineId", "RecordType", "SubDomain", "TTL", "Value"]);
        let kind = body["RecordType"].as_str().unwrap_or_default();
        let record = self.checked(body, 0, kind, &body["TTL"])?;
        Ok(json!({"RecordId": FIRST_ID + self.zone.add(record).id}))
    }

    fn modify(&mut self, asked: &Asked, body: &Value) -> Done {
        asked.only_members(body, &["Domain", "RecordId", "RecordLine", "RecordLineId", "SubDomain", "Ttl", "Value"]);
        let known = self.known(body)?.clone();
        let record = self.checked(body, known.id, &known.record_type, &body["Ttl"])?;
        if record.content == known.content && record.ttl == known.ttl {
            asked.mistake("five changes without a change in an hour lock the record");
        }
        if let Some(place) = self.zone.by_id_mut(known.id) {
            *place = Record { extra: known.extra, ..record };
        }
        Ok(json!({"RecordId": FIRST_ID + known.id}))
    }

    fn delete(&mut self, asked: &Asked, body: &Value) -> Done {
        asked.only_members(body, &["Domain", "RecordId"]);
        let id = self.known(body)?.id;
        self.zone.remove(id);
        Ok(json!({}))
    }

    fn known(&self, body: &Value) -> Result<&Record, Said> {
        let id = body["RecordId"].as_u64().and_then(|id| id.checked_sub(FIRST_ID));
        let known = id.and_then(|id| self.zone.by_id(id));
        known.ok_or_else(|| error("InvalidParameter.RecordIdInvalid", "The record id is invalid."))
    }

    /// The record that a body describes, as far as the real one takes it.
    fn checked(&self, body: &Value, id: u64, kind: &str, ttl: &Value) -> Result<Record, Said> {
        let text = |member: &str| body[member].as_str().unwrap_or_default();
        if text("RecordLine").is_empty() || text("RecordLineId") != "0" {
            return Err(error("InvalidParameter.RecordLineInvalid", "The line is invalid."));
        }
        // Left out, it is the domain's default.
        let ttl = if ttl.is_null() { LEAST_TTL } else { ttl.as_u64().unwrap_or(0) };
        if !(LEAST_TTL..=604_800).contains(&ttl) {
            return Err(error("LimitExceeded.RecordTtlLimit", "The TTL is beyond what the plan allows."));
        }
        let (name, ttl) = (self.zone.absolute(text("SubDomain")), u32::try_from(ttl).unwrap_or(u32::MAX));
        let record = Record { id, ttl, ..Record::new(&name, kind, text("Value")) };
        if !record.is_sound() {
            return Err(error("InvalidParameter.RecordValueInvalid", "The value is invalid."));
        }
        if self.zone.has_same(&record) || self.zone.is_cname_in_the_way(&record) {
            return Err(error("InvalidParameter.DomainRecordExist", "The record exists already."));
        }
        Ok(record)
    }
}

/// "Signature method v3": the key of the day and of the service.
fn signature(asked: &Asked, names: &str, time: u64, scope: &str, secret: &str) -> Option<String> {
    let request = canonical_request(asked, "/", names)?;
    let text = format!("TC3-HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(request.as_bytes()));
    let start = format!("TC3{secret}").into_bytes();
    let key = scope.split('/').fold(start, |key, part| hmac_sha256(&key, part.as_bytes()));
    Some(hex(&hmac_sha256(&key, text.as_bytes())))
}

fn response(mut response: Value) -> Said {
    response["RequestId"] = json!("1");
    Said::json(200, &json!({ "Response": response }))
}

fn error(code: &str, message: &str) -> Said {
    response(json!({"Error": {"Code": code, "Message": message}}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::canonical::asked;

    #[test]
    fn the_signature_is_the_sdks() {
        // tencentcloud-sdk-python-common 3.1.195 with made-up keys.
        let body =
            r#"{"Domain": "example.com", "Subdomain": "home", "RecordType": "A", "Limit": 100, "ErrorOnEmpty": "no"}"#;
        let headers = [("content-type", "application/json"), ("host", "dnspod.tencentcloudapi.com")];
        let asked = asked("POST", "/", &headers, body);
        let scope = "2026-01-02/dnspod/tc3_request";
        let signature =
            signature(&asked, "content-type;host", 1_767_323_045, scope, "FakeSecretKeyForTestsOnly0000000001");
        assert_eq!(signature.as_deref(), Some("cc79440dca4ba061a8689def1d5a37fc0cb42db1fe6a5f6f866f02dbf540d362"));
    }
}
