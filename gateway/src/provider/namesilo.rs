//! NameSilo, API version 1 (namesilo.com/api-reference).
//!
//! Every call is a `GET` with the key in the query. A change gives the record a new id, which the answer tells. The
//! list shows the whole zone. NameSilo publishes every 15 minutes, and takes no TTL below an hour.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use nicgate_protocol::Secret;
use serde_json::Value;

use super::encode::{is_id, query, relative, scalar};
use super::records::{Act, Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://www.namesilo.com/api";
/// NameSilo names no limit; a bound of our own, in calls and seconds.
const BUDGET: Budget = Budget::of(&[Window::new(60, 60)]);

const API_KEY: &str = "api_key";
const KEYS: &[Key] = &[Key::secret(API_KEY, "The account's API key (API Manager), not a read-only one.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "namesilo", about: "NameSilo, by its API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        key: Secret::new(settings.credential(API_KEY)?.to_owned()),
    }))
}

struct Account {
    base: String,
    key: Secret<String>,
}

impl Account {
    fn call(&self, operation: &str, ask: &Ask<'_>, pairs: &[(&str, &str)]) -> HttpCall {
        let common =
            [("version", "1"), ("type", "json"), ("key", self.key.expose().as_str()), ("domain", ask.zone.as_str())];
        let pairs: Vec<_> = common.iter().chain(pairs).copied().collect();
        HttpCall::new(Method::GET, format!("{}/{operation}?{}", self.base, query(&pairs)))
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Zone
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        3600..=2_592_000
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check api_key: is it the whole key, and not a read-only one?",
            Class::Denied => "; allow this machine's address for the API in the API Manager",
            Class::NoZone => "; the domain must be active, belong to the account and use NameSilo's name servers",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn look(&self, ask: &Ask<'_>, _at: &Spot<'_>, _page: Option<&str>) -> HttpCall {
        self.call("dnsListRecords", ask, &[])
    }

    /// A zone without records has no list, and one with a single record may show it without brackets.
    fn looked(&self, _ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let reply = read(answer)?;
        let list = match &reply["resource_record"] {
            Value::Array(list) => list.as_slice(),
            one @ Value::Object(_) => std::slice::from_ref(one),
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(Trouble::unknown("the list of records cannot be read"));
            }
        };
        let alias = |value: &Value| {
            let name = value["host"].as_str()?.to_owned();
            (value["type"] == "CNAME").then(|| (name, "the name has a CNAME record".to_owned()))
        };
        Ok(Page {
            records: list.iter().filter_map(record).collect(),
            obstacles: list.iter().filter_map(alias).collect(),
            next: None,
        })
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let host = relative(&change.hostname, ask.zone, "");
        let (value, ttl) = (change.to().map(|to| to.to_string()).unwrap_or_default(), change.ttl().to_string());
        let rest = [("rrhost", host), ("rrvalue", value.as_str()), ("rrttl", ttl.as_str())];
        match &change.act {
            Act::Create { .. } => {
                let kind = ("rrtype", change.family.record_type());
                self.call("dnsAddRecord", ask, &[&[kind][..], &rest].concat())
            }
            Act::Alter { known, .. } => {
                self.call("dnsUpdateRecord", ask, &[&[("rrid", &*known.id)][..], &rest].concat())
            }
            Act::Remove { known, .. } => self.call("dnsDeleteRecord", ask, &[("rrid", &*known.id)]),
        }
    }

    /// The answer tells the new id, also after a change of a record that had another.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let reply = read(answer)?;
        let [change] = changes else { unreachable!("one change at a time") };
        let id = scalar(&reply["record_id"]).filter(|id| is_id(id));
        if change.to().is_some() && id.is_none() {
            return Err(Trouble::unknown("the answer to the write does not show the record's id"));
        }
        Ok(vec![Written { id: id.map(Into::into), ..Written::default() }])
    }
}

/// `{"record_id": "478278a7…", "type": "A", "host": "nas.zone1.example", "value": "192.0.2.1", "ttl": "7207"}`.
fn record(value: &Value) -> Option<Record> {
    let known = Known {
        id: scalar(&value["record_id"]).filter(|id| is_id(id))?.into(),
        ttl: scalar(&value["ttl"]).and_then(|ttl| ttl.parse().ok()).unwrap_or(0),
        note: "".into(),
    };
    Record::read(value["host"].as_str()?.to_owned(), value["type"].as_str()?, value["value"].as_str()?, known)
}

/// `reply` of `{"request": {…}, "reply": {"code": 300, "detail": "success"}}`.
fn read(answer: &Answer) -> Result<Value, Trouble> {
    let body = read_json(answer, |_, _| None)?;
    let reply = &body["reply"];
    let Some(code) = scalar(&reply["code"]) else { return Err(Trouble::unknown("the answer has no code")) };
    let text = scalar(&reply["detail"]).unwrap_or_default();
    let class = match code.as_str() {
        "300" => return Ok(reply.clone()),
        "110" | "111" | "109" => Class::Auth,
        "112" | "113" => Class::Denied,
        "200" => return Err(Trouble::new(Meaning::NoZone, &code, &text)),
        // Wrong ids, wrong values and records that exist are all this; a look tells the first from the others.
        "280" => return Err(Trouble::new(Meaning::Exists, &code, &text)),
        "400" => Class::Busy,
        "115" | "201" | "210" => Class::Down,
        code if code.len() == 3 && code.starts_with('1') => Class::Invalid,
        _ => Class::Bug,
    };
    Err(Trouble::of(class, &code, &text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    const COMMON: &str = "version=1&type=json&key=right&domain=zone1.example";
    const MEMORY: &str = "2 zone1.example zone1.example id= A=4782/3600/";

    fn look() -> String {
        format!("GET /dnsListRecords?{COMMON}")
    }

    fn add(address: &str) -> String {
        format!("GET /dnsAddRecord?{COMMON}&rrtype=A&rrhost=nas&rrvalue={address}&rrttl=3600")
    }

    fn update() -> String {
        format!("GET /dnsUpdateRecord?{COMMON}&rrid=4782&rrhost=nas&rrvalue=192.0.2.2&rrttl=3600")
    }

    fn said(code: Value, detail: &str, more: &[(&str, Value)]) -> (u16, String) {
        let mut reply = serde_json::json!({"code": code, "detail": detail});
        for (name, value) in more {
            reply[*name] = value.clone();
        }
        let request = serde_json::json!({"operation": "x", "ip": "192.0.2.250"});
        (200, serde_json::json!({"request": request, "reply": reply}).to_string())
    }

    fn done(id: &str) -> (u16, String) {
        said(300.into(), "success", &[("record_id", id.into())])
    }

    fn list(records: &[[&str; 4]]) -> (u16, String) {
        let one = |[id, kind, host, value]: &[&str; 4]| serde_json::json!({"record_id": id, "type": kind, "host": host, "value": value, "ttl": "3600", "distance": 0});
        let records: Vec<Value> = records.iter().map(one).collect();
        said("300".into(), "success", &[("resource_record", records.into())])
    }

    fn one(host: HostJob, script: &[(String, (u16, String))]) -> Outcome {
        play(&play::settings("namesilo", &[(API_KEY, "right")]), "zone1.example", &[host], script, |_| ()).remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    fn later() -> HostJob {
        host_after("nas.zone1.example", "192.0.2.1", MEMORY, "192.0.2.2")
    }

    #[test]
    fn a_change_is_one_call_and_gives_a_new_id() {
        let none = said(300.into(), "success", &[]);
        let script = [(look(), none), (add("192.0.2.1"), done("4782"))];
        assert_eq!(one(host("nas.zone1.example", "192.0.2.1"), &script), confirmed(MEMORY, 3600));
        let after = MEMORY.replace("4782", "31cb");
        assert_eq!(one(later(), &[(update(), done("31cb"))]), confirmed(&after, 3600));
        assert_unconfirmed(&one(later(), &[(update(), said(300.into(), "success", &[]))]), Class::Bug, true);
    }

    #[test]
    fn root_wildcard_removal_and_a_cname() {
        let gone = host_after("zone1.example", "203.0.113.12", "2 zone1.example zone1.example id= A=ce2a/3600/", "");
        let delete = format!("GET /dnsDeleteRecord?{COMMON}&rrid=ce2a");
        let records = [["ce2a", "A", "zone1.example", "203.0.113.12"], ["x", "CNAME", "*.zone1.example", "y"]];
        let script = [(look(), list(&records)), (delete, said(300.into(), "success", &[]))];
        assert_eq!(one(gone, &script), confirmed("2 zone1.example zone1.example id=", 0));
        let outcome = one(host("*.zone1.example", "192.0.2.1"), &[(look(), list(&records))]);
        assert_refused(&outcome, Class::Invalid, "CNAME");
        let single = serde_json::json!({"record_id": "4782", "type": "A", "host": "nas.zone1.example",
            "value": "192.0.2.1", "ttl": 3600});
        let single = said(300.into(), "success", &[("resource_record", single)]);
        assert_eq!(one(host("nas.zone1.example", "192.0.2.1"), &[(look(), single)]), confirmed(MEMORY, 3600));
    }

    #[test]
    fn refusals_are_told_apart() {
        for (code, class, word) in [
            (110, Class::Auth, "api_key"),
            (113, Class::Denied, "address"),
            (200, Class::NoZone, "no zone named zone1.example"),
            (108, Class::Invalid, "the reason"),
        ] {
            let script = [(look(), said(code.into(), "the reason", &[]))];
            assert_refused(&one(host("nas.zone1.example", "192.0.2.1"), &script), class, word);
        }
        for (code, class, is_maybe_written) in [(400, Class::Busy, false), (201, Class::Down, true)] {
            let outcome = one(later(), &[(update(), said(code.into(), "the reason", &[]))]);
            assert_unconfirmed(&outcome, class, is_maybe_written);
        }
        // The id is of yesterday.
        let no = || said("280".into(), "could not update the resource record", &[]);
        let script = [(update(), no()), (look(), list(&[])), (add("192.0.2.2"), done("31cb"))];
        assert_eq!(one(later(), &script), confirmed(&MEMORY.replace("4782", "31cb"), 3600));
        let script = [(update(), no()), (look(), list(&[])), (add("192.0.2.2"), no())];
        assert_refused(&one(later(), &script), Class::Invalid, "could not update");
    }
}
