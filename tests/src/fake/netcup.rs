//! A netcup of our own (CCP API): one URL, the action in the body, a session in the parameters.
//!
//! Shapes are those of the recorded traffic of 2019: ids as text, the whole zone in the answer to a change. Unknown, and
//! chosen here: what is said of an id that is not there, of a CNAME in the way and of the same record twice; all is the
//! validation error 4013.

use std::collections::BTreeSet;

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const CUSTOMER: &str = "12345";
const KEY: &str = "fake-api-key-0123456789";
const PASSWORD: &str = "fake-api-password-0123456789";
/// The TTL of the zone.
const TTL: u32 = 300;

/// netcup in the suite.
pub static SUBJECT: Subject = Subject {
    word: "netcup",
    start,
    traits: Traits {
        first_calls: 5, // login, the zone, a look, a write, logout
        change_calls: 3,
        dual_stack_calls: 3, // any number of changes in one call
        batch: 20,
        ttl: None, // the zone's
        spoil: |settings| settings.set("api_password", secret("wrong-api-password-0123456789")),
        throttled: || {
            failure(
                "login",
                4013,
                "More than 180 requests per minute. Please wait and retry later. Please contact our \
                customer service to find out if the limitation of requests can be increased.",
            )
        },
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Netcup { zone: Zone::new("home.test"), opened: 0, sessions: BTreeSet::new() });
    let mut settings = ProviderSettings::new("some", kind("netcup").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("customer_number", Setting::Text(CUSTOMER.to_owned()));
    settings.set("api_key", secret(KEY));
    settings.set("api_password", secret(PASSWORD));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Netcup {
    zone: Zone,
    opened: u64,
    sessions: BTreeSet<String>,
}

impl Api for Netcup {
    fn base(&self) -> &'static str {
        "/run/webservice/servers/endpoint.php"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        let body: Value = serde_json::from_slice(asked.body()).unwrap_or_default();
        body["action"] == "updateDnsRecords"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn put_by_hand(&mut self, record: Record) {
        self.zone.add(Record { ttl: TTL, ..record });
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        let body = asked.json().unwrap_or_default();
        asked.only_members(&body, &["action", "param"]);
        let (action, param) = (body["action"].as_str().unwrap_or_default(), &body["param"]);
        if asked.method() != "POST" || asked.raw_query() != "JSON" {
            return asked.unknown_call(Said::empty(404));
        }
        if param["customernumber"] != CUSTOMER || param["apikey"] != KEY {
            return failure(action, 4013, "Validation Error.");
        }
        if action == "login" {
            asked.only_members(param, &["customernumber", "apikey", "apipassword"]);
            if param["apipassword"] != PASSWORD {
                return failure(action, 4013, "Validation Error.");
            }
            self.opened += 1;
            let session = format!("session{:024}", self.opened);
            self.sessions.insert(session.clone());
            return said(action, &json!({"apisessionid": session}));
        }
        let session = param["apisessionid"].as_str().unwrap_or_default();
        if !self.sessions.contains(session) {
            return failure(action, 4001, "The session id is not in a valid format.");
        }
        let members = ["customernumber", "apikey", "apisessionid", "domainname", "dnsrecordset"];
        match action {
            "logout" => {
                asked.only_members(param, &members[..3]);
                self.sessions.remove(session);
                said(action, &json!(""))
            }
            _ if param["domainname"] != self.zone.name => failure(action, 5031, "Can not get DNS zone."),
            "infoDnsZone" => {
                asked.only_members(param, &members[..4]);
                let zone = json!({"name": self.zone.name, "ttl": TTL.to_string(), "serial": "2019042071",
                    "refresh": "28800", "retry": "7200", "expire": "1209600", "dnssecstatus": false});
                said(action, &zone)
            }
            "infoDnsRecords" => {
                asked.only_members(param, &members[..4]);
                said(action, &self.shown())
            }
            "updateDnsRecords" => {
                asked.only_members(param, &members);
                let before = self.zone.clone();
                for one in param["dnsrecordset"]["dnsrecords"].as_array().cloned().unwrap_or_default() {
                    if !self.update(asked, &one) {
                        self.zone = before;
                        return failure(action, 4013, "Validation Error.");
                    }
                }
                said(action, &self.shown())
            }
            _ => asked.unknown_call(failure(action, 4000, "Unknown action.")),
        }
    }
}

impl Netcup {
    fn update(&mut self, asked: &Asked, one: &Value) -> bool {
        asked.only_members(one, &["id", "hostname", "type", "priority", "destination", "deleterecord", "state"]);
        let text = |member: &str| one[member].as_str().unwrap_or_default();
        let record = Record::new(&self.zone.absolute(text("hostname")), text("type"), text("destination"));
        let known = one["id"].as_str().and_then(|id| id.parse().ok()).filter(|id| self.zone.by_id(*id).is_some());
        let id = match known {
            Some(id) => id,
            None if one["id"].is_null() => 0,
            None => return false,
        };
        let record = Record { id, ttl: TTL, ..record };
        if one["deleterecord"] == true {
            let is_same =
                |known: &Record| known.is(&record.hostname, &record.record_type) && known.content == record.content;
            return self.zone.by_id(id).is_some_and(is_same) && self.zone.remove(id).is_some();
        }
        if !record.is_sound() || self.zone.has_same(&record) || self.zone.is_cname_in_the_way(&record) {
            return false;
        }
        match self.zone.by_id_mut(id) {
            Some(place) => *place = record,
            None => {
                self.zone.add(record);
            }
        }
        true
    }

    fn shown(&self) -> Value {
        let one = |record: &Record| {
            let name = self.zone.relative(&record.hostname).filter(|name| !name.is_empty()).unwrap_or("@");
            json!({"id": record.id.to_string(), "hostname": name, "type": record.record_type, "priority": "0",
                "destination": record.content, "deleterecord": false, "state": "unknown"})
        };
        json!({"dnsrecords": self.zone.records.iter().map(one).collect::<Vec<Value>>()})
    }
}

fn said(action: &str, data: &Value) -> Said {
    Said::json(
        200,
        &json!({"serverrequestid": "x", "clientrequestid": "", "action": action, "status": "success",
            "statuscode": 2000, "shortmessage": "Successful", "longmessage": "It was successful.", "responsedata": data}),
    )
}

fn failure(action: &str, code: u32, text: &str) -> Said {
    Said::json(
        200,
        &json!({"serverrequestid": "x", "clientrequestid": "", "action": action, "status": "error",
            "statuscode": code, "shortmessage": "Error", "longmessage": text, "responsedata": ""}),
    )
}
