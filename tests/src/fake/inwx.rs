//! An INWX of our own (DomRobot, JSON-RPC): login, second factor, cookie, logout.
//!
//! Fields and codes are those of the recorded traffic of 2018 (XML-RPC, the same methods) and of the vendor's own
//! clients; codes are those of EPP. The account has a second factor. The real one takes each code once, as other clients
//! found; here it may be used again, else every push would wait for half a minute.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit as _, Mac as _};
use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};
use sha1::Sha1;

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const USERNAME: &str = "somebody";
const PASSWORD: &str = "fake password, with blanks 0123456789";
/// In base32, as it is shown with the QR code, and as bytes.
const SHARED_SECRET: (&str, &[u8]) = ("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", b"12345678901234567890");

/// INWX in the suite.
pub static SUBJECT: Subject = Subject {
    word: "inwx",
    start,
    traits: Traits {
        first_calls: 5, // login, second factor, a look, a write, logout
        change_calls: 4,
        dual_stack_calls: 5,
        ttl: Some((120, 300)),
        ttl_by_hand: 3600,
        spoil: |settings| settings.set("password", secret("wrong password, with blanks 0123456789")),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake =
        Fake::start(Inwx { zone: Zone::new("home.test"), opened: 0, locked: BTreeSet::new(), open: BTreeSet::new() });
    let mut settings = ProviderSettings::new("some", kind("inwx").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("username", Setting::Text(USERNAME.to_owned()));
    settings.set("password", secret(PASSWORD));
    settings.set("shared_secret", secret(SHARED_SECRET.0));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Inwx {
    zone: Zone,
    opened: u64,
    /// Sessions that wait for the second factor.
    locked: BTreeSet<String>,
    /// Sessions that may work.
    open: BTreeSet<String>,
}

impl Api for Inwx {
    fn base(&self) -> &'static str {
        "/jsonrpc"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        let body: Value = serde_json::from_slice(asked.body()).unwrap_or_default();
        let method = body["method"].as_str().unwrap_or_default();
        method.starts_with("nameserver.") && method != "nameserver.info"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, now: Timestamp) -> Said {
        let body = asked.json().unwrap_or_default();
        asked.only_members(&body, &["method", "params"]);
        let (method, params) = (body["method"].as_str().unwrap_or_default(), &body["params"]);
        // The path ends with a slash: without it, the real one redirects.
        if asked.method() != "POST" || asked.raw_path() != "/jsonrpc/" {
            return asked.unknown_call(Said::empty(404));
        }
        if method == "account.login" {
            return self.log_in(asked, params);
        }
        let session = asked.header("cookie").and_then(|cookie| cookie.strip_prefix("domrobot=")).unwrap_or_default();
        if method == "account.unlock" {
            asked.only_members(params, &["tan"]);
            let is_right = [0, 30].iter().any(|back| params["tan"] == code(now.seconds() - back));
            if !(is_right && self.locked.remove(session)) {
                return failure(2200, "Authentication error");
            }
            self.open.insert(session.to_owned());
            return said(&json!({}));
        }
        if !self.open.contains(session) {
            return failure(2200, "Authentication error");
        }
        match method {
            "account.logout" => {
                self.open.remove(session);
                Said::json(200, &json!({"code": 1500, "msg": "Command completed successfully; ending session"}))
            }
            "nameserver.info" => self.info(asked, params),
            "nameserver.createRecord" => self.create(asked, params),
            "nameserver.updateRecord" => self.update(asked, params),
            "nameserver.deleteRecord" => {
                asked.only_members(params, &["id"]);
                match params["id"].as_u64().and_then(|id| self.zone.remove(id)) {
                    Some(_) => said(&Value::Null),
                    None => failure(2303, "Object does not exist"),
                }
            }
            _ => asked.unknown_call(failure(2000, "Unknown command")),
        }
    }
}

impl Inwx {
    fn log_in(&mut self, asked: &Asked, params: &Value) -> Said {
        asked.only_members(params, &["user", "pass", "lang"]);
        if params["user"] != USERNAME || params["pass"] != PASSWORD {
            return failure(2200, "Authentication error");
        }
        self.opened += 1;
        let session = format!("{:032x}", self.opened);
        self.locked.insert(session.clone());
        said(&json!({"customerId": 1, "accountId": 1, "tfa": "GOOGLE-AUTH"}))
            .with("set-cookie", format!("domrobot={session}; path=/; secure; HttpOnly"))
    }

    fn info(&self, asked: &Asked, params: &Value) -> Said {
        asked.only_members(params, &["domain", "name", "type"]);
        if params["domain"] != self.zone.name {
            return failure(2303, "Object does not exist");
        }
        let fits = |record: &&Record| params["name"].is_null() || params["name"] == record.hostname;
        let shown = |record: &Record| {
            json!({"id": record.id, "name": record.hostname, "type": record.record_type, "content": record.content,
                "ttl": record.ttl, "prio": 0})
        };
        let records: Vec<Value> = self.zone.records.iter().filter(fits).map(shown).collect();
        let mut data = json!({"roId": 2238, "domain": self.zone.name, "type": "MASTER"});
        if !records.is_empty() {
            data["count"] = records.len().into();
            data["record"] = records.into();
        }
        said(&data)
    }

    fn create(&mut self, asked: &Asked, params: &Value) -> Said {
        asked.only_members(params, &["domain", "name", "type", "content", "ttl"]);
        if params["domain"] != self.zone.name {
            return failure(2303, "Object does not exist");
        }
        let text = |member: &str| params[member].as_str().unwrap_or_default();
        match self.checked(Record::new(text("name"), text("type"), ""), params) {
            Ok(record) => said(&json!({"id": self.zone.add(record).id})),
            Err(refused) => refused,
        }
    }

    fn update(&mut self, asked: &Asked, params: &Value) -> Said {
        asked.only_members(params, &["id", "content", "ttl"]);
        let Some(record) = params["id"].as_u64().and_then(|id| self.zone.by_id(id)).cloned() else {
            return failure(2303, "Object does not exist");
        };
        match self.checked(record, params) {
            Ok(record) => {
                if let Some(place) = self.zone.by_id_mut(record.id) {
                    *place = record;
                }
                said(&Value::Null)
            }
            Err(refused) => refused,
        }
    }

    fn checked(&self, record: Record, params: &Value) -> Result<Record, Said> {
        let ttl = params["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(record.ttl);
        let record = Record { content: params["content"].as_str().unwrap_or_default().to_owned(), ttl, ..record };
        match record {
            _ if !record.is_sound() || ttl < 300 => Err(failure(2005, "Parameter value syntax error")),
            _ if self.zone.relative(&record.hostname).is_none() => Err(failure(2005, "Parameter value syntax error")),
            _ if self.zone.has_same(&record) => Err(failure(2302, "Object exists")),
            _ if self.zone.is_cname_in_the_way(&record) => {
                Err(failure(2308, "Data management policy violation: CNAME"))
            }
            _ => Ok(record),
        }
    }
}

/// RFC 6238, section 4.
fn code(seconds: u64) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(SHARED_SECRET.1).expect("HMAC takes any key");
    mac.update(&(seconds / 30).to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] % 16);
    let number = u32::from_be_bytes([hash[at] & 0x7f, hash[at + 1], hash[at + 2], hash[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

fn said(data: &Value) -> Said {
    let mut body = json!({"code": 1000, "msg": "Command completed successfully", "svTRID": "x", "runtime": 0.08});
    if !data.is_null() {
        body["resData"] = data.clone();
    }
    Said::json(200, &body)
}

fn failure(code: u32, text: &str) -> Said {
    Said::json(200, &json!({"code": code, "msg": text, "svTRID": "x", "runtime": 0.08}))
}

#[cfg(test)]
mod tests {
    /// Appendix B of the RFC, the last six digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        for (seconds, expected) in [(59, "287082"), (1_111_111_111, "050471"), (2_000_000_000, "279037")] {
            assert_eq!(super::code(seconds), expected);
        }
    }
}
