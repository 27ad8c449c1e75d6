//! An Alibaba Cloud DNS of our own, API of 2015-01-09: strict about action, signature, nonce, parameters and TTL.
//!
//! Shapes are those of the recorded traffic of 2019, codes those of the vendor's pages. What the real one says to an
//! address of the other family is not known; here it is `InvalidParameter`.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::canonical::{are_signed, canonical_request, part, parts};
use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone, hex, hmac_sha256, sha256_hex};

const KEY_ID: &str = "LTAIfakekeyid0123456789";
const SECRET: &str = "fake-key-secret-0123456789";
/// The free edition's.
const LEAST_TTL: u64 = 600;
/// Ids are larger than a float can count.
const FIRST_ID: u64 = 9_223_372_036_854_000_000;

/// AliDNS in the suite.
pub static SUBJECT: Subject = Subject {
    word: "alidns",
    start,
    traits: Traits {
        ttl: Some((120, 600)), // the free edition
        ttl_by_hand: 900,
        spoil: |settings| settings.set("access_key_secret", secret("wrong-key-secret-0123456789")),
        throttled: || failure(400, "Throttling.User", "Request was denied due to user flow control."),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(AliDns { zone: Zone::new("home.test"), nonces: Vec::new() });
    let mut settings = ProviderSettings::new("some", kind("alidns").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("access_key_id", secret(KEY_ID));
    settings.set("access_key_secret", secret(SECRET));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct AliDns {
    zone: Zone,
    nonces: Vec<String>,
}

fn action(asked: &Asked) -> &str {
    asked.header("x-acs-action").unwrap_or_default()
}

impl Api for AliDns {
    fn is_write(&self, asked: &Asked) -> bool {
        !action(asked).starts_with("Describe")
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, now: Timestamp) -> Said {
        if let Err(refused) = self.check(asked, now) {
            return refused;
        }
        asked.no_body();
        if asked.parameter("Lang") != Some("en") {
            asked.mistake("messages would come in Chinese");
        }
        if asked.header("accept") != Some("application/json") {
            asked.mistake("the answer would come in XML");
        }
        let done = match (asked.path().as_slice(), action(asked)) {
            ([""], "DescribeDomainInfo") => self.info(asked),
            ([""], "DescribeSubDomainRecords") => self.list(asked),
            ([""], "AddDomainRecord") => self.add(asked),
            ([""], "UpdateDomainRecord") => self.update(asked),
            ([""], "DeleteDomainRecord") => self.delete(asked),
            _ => return asked.unknown_call(failure(404, "InvalidAction.NotFound", "No such action.")),
        };
        done.map_or_else(|refused| refused, |body| Said::json(200, &body))
    }
}

/// An answer, or why not.
type Done = Result<Value, Said>;

impl AliDns {
    fn check(&mut self, asked: &Asked, now: Timestamp) -> Result<(), Said> {
        let no = |code, message| Err(failure(400, code, message));
        let Some(parts) = parts(asked, "ACS3-HMAC-SHA256") else {
            return no("IncompleteSignature", "Nothing is signed.");
        };
        let (id, names) = (part(&parts, "Credential"), part(&parts, "SignedHeaders").unwrap_or_default());
        if id != Some(KEY_ID) {
            return Err(failure(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."));
        }
        let wanted =
            ["host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"];
        if !are_signed(names, &wanted) || asked.header("x-acs-content-sha256") != Some(&sha256_hex(asked.body())) {
            return no("IncompleteSignature", "Not all of it is signed.");
        }
        if part(&parts, "Signature") != signature(asked, names, SECRET).as_deref() {
            return no(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            );
        }
        // `2026-01-02T03:04:05Z`, 15 minutes around the present.
        let date = asked.header("x-acs-date").unwrap_or_default().replace(['-', ':'], "");
        let is_near = |date: Timestamp| date.seconds().abs_diff(now.seconds()) <= 900;
        if !Timestamp::from_basic(&date).is_some_and(is_near) {
            return no("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.");
        }
        let nonce = asked.header("x-acs-signature-nonce").unwrap_or_default().to_owned();
        if nonce.len() < 16 || self.nonces.contains(&nonce) {
            return no("SignatureNonceUsed", "Specified signature nonce was used already.");
        }
        self.nonces.push(nonce);
        if asked.header("x-acs-version") != Some("2015-01-09") {
            asked.mistake("another version");
        }
        Ok(())
    }

    fn own_zone(&self, asked: &Asked) -> Result<(), Said> {
        if asked.parameter("DomainName") == Some(&self.zone.name) {
            return Ok(());
        }
        Err(failure(404, "InvalidDomainName.NoExist", "The specified domain name does not exist."))
    }

    fn info(&self, asked: &Asked) -> Done {
        asked.only_parameters(&["DomainName", "Lang"]);
        self.own_zone(asked)?;
        Ok(json!({"DomainName": self.zone.name, "PunyCode": self.zone.name, "DomainId": "1", "VersionCode": "mianfei",
            "MinTtl": LEAST_TTL, "AvailableTtls": {"AvailableTtl": ["600", "1800"]}, "RequestId": "1"}))
    }

    fn list(&self, asked: &Asked) -> Done {
        asked.only_parameters(&["DomainName", "Lang", "PageNumber", "PageSize", "SubDomain", "Type"]);
        self.own_zone(asked)?;
        let sub = asked.parameter("SubDomain").unwrap_or_default();
        let name = sub.strip_prefix("@.").unwrap_or(sub);
        if self.zone.relative(name).is_none() {
            return Err(failure(400, "SubDomainInvalid.Value", "The sub-domain is invalid."));
        }
        let records: Vec<Value> = self
            .zone
            .records
            .iter()
            .filter(|record| record.hostname == name)
            .map(|record| self.shown(record))
            .collect();
        Ok(json!({"PageNumber": 1, "PageSize": 100, "TotalCount": records.len(), "RequestId": "1",
            "DomainRecords": {"Record": records}}))
    }

    fn shown(&self, record: &Record) -> Value {
        let rr = self.zone.relative(&record.hostname).filter(|rr| !rr.is_empty()).unwrap_or("@");
        json!({"RR": rr, "Type": record.record_type, "Value": record.content, "TTL": record.ttl, "Line": "default",
            "RecordId": spelled(record.id), "DomainName": self.zone.name, "Status": "ENABLE", "Locked": false, "Weight": 1})
    }

    fn add(&mut self, asked: &Asked) -> Done {
        asked.only_parameters(&["DomainName", "Lang", "Line", "RR", "TTL", "Type", "Value"]);
        self.own_zone(asked)?;
        let record = self.checked(asked, 0)?;
        let id = self.zone.add(record).id;
        Ok(json!({"RecordId": spelled(id), "RequestId": "1"}))
    }

    fn update(&mut self, asked: &Asked) -> Done {
        asked.only_parameters(&["Lang", "Line", "RR", "RecordId", "TTL", "Type", "Value"]);
        let known = self.known(asked)?.clone();
        let record = Record { id: known.id, extra: known.extra.clone(), ..self.checked(asked, known.id)? };
        if record == known {
            return Err(failure(400, "DomainRecordDuplicate", "The DNS record already exists."));
        }
        if let Some(place) = self.zone.by_id_mut(known.id) {
            *place = record;
        }
        Ok(json!({"RecordId": spelled(known.id), "RequestId": "1"}))
    }

    fn delete(&mut self, asked: &Asked) -> Done {
        asked.only_parameters(&["Lang", "RecordId"]);
        let id = self.known(asked)?.id;
        self.zone.remove(id);
        Ok(json!({"RecordId": spelled(id), "RequestId": "1"}))
    }

    fn known(&self, asked: &Asked) -> Result<&Record, Said> {
        let id = asked.parameter("RecordId").and_then(|id| id.parse::<u64>().ok()?.checked_sub(FIRST_ID));
        let known = id.and_then(|id| self.zone.by_id(id));
        known.ok_or_else(|| failure(404, "InvalidRecordId.NotFound", "The record id does not exist."))
    }

    /// The record that the parameters describe, as far as the real one takes it.
    fn checked(&self, asked: &Asked, id: u64) -> Result<Record, Said> {
        let text = |name: &str| asked.parameter(name).unwrap_or_default();
        let ttl = text("TTL").parse::<u64>().unwrap_or(LEAST_TTL);
        if text("TTL").is_empty() || text("Line") != "default" {
            asked.mistake("what is left out falls back to its default");
        }
        if !(LEAST_TTL..=86_400).contains(&ttl) {
            let range = "The specified TTL is invalid. A valid TTL must be in the range of 600 to 86400.";
            return Err(failure(400, "QuotaExceeded.TTL", range));
        }
        let (name, ttl) = (self.zone.absolute(text("RR")), u32::try_from(ttl).unwrap_or(u32::MAX));
        let record = Record { id, ttl, ..Record::new(&name, text("Type"), text("Value")) };
        if text("RR").is_empty() || !record.is_sound() {
            return Err(failure(400, "InvalidParameter", "The parameter is invalid."));
        }
        if self.zone.has_same(&record) {
            return Err(failure(400, "DomainRecordDuplicate", "The DNS record already exists."));
        }
        if self.zone.is_cname_in_the_way(&record) {
            return Err(failure(400, "DomainRecordConflict", "The DNS record conflicts with others."));
        }
        Ok(record)
    }
}

fn spelled(id: u64) -> String {
    (FIRST_ID + id).to_string()
}

/// "V3 request structure and signature": the hash of the canonical request, under the secret itself.
fn signature(asked: &Asked, names: &str, secret: &str) -> Option<String> {
    let request = canonical_request(asked, asked.raw_path(), names)?;
    let text = format!("ACS3-HMAC-SHA256\n{}", sha256_hex(request.as_bytes()));
    Some(hex(&hmac_sha256(secret.as_bytes(), text.as_bytes())))
}

fn failure(status: u16, code: &str, message: &str) -> Said {
    let body = json!({"RequestId": "1", "HostId": "alidns.aliyuncs.com", "Code": code, "Message": message,
        "Recommend": "https://api.aliyun.com/troubleshoot"});
    Said::json(status, &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::canonical::asked;

    #[test]
    fn the_signature_is_the_sdks() {
        // alibabacloud-tea-openapi 0.4.6 with made-up keys.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let headers = [
            ("host", "alidns.aliyuncs.com"),
            ("x-acs-action", "DescribeSubDomainRecords"),
            ("x-acs-content-sha256", empty),
            ("x-acs-date", "2026-01-02T03:04:05Z"),
            ("x-acs-signature-nonce", "00000000000000000000000000000001"),
            ("x-acs-version", "2015-01-09"),
        ];
        let names = headers.map(|(name, _)| name).join(";");
        let asked = asked("POST", "/?Type=A&SubDomain=home.example.com&DomainName=example.com", &headers, "");
        let signature = signature(&asked, &names, "FakeSecretKeyForTestsOnly0000000001");
        assert_eq!(signature.as_deref(), Some("f6046c90f27aa431939ece38021679b2f165606b542bc3928fde2de56fef53c6"));
    }
}
