//! Spaceship (docs.spaceship.dev, section DNS records).
//!
//! Records have no ids and are told apart by name, type and value. None can be changed in place: `PUT` adds, or gives
//! one that stands another TTL; `DELETE` removes those that are named. So the new address is added before the old one
//! goes, and for a moment both stand.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use nicgate_protocol::Hostname;
use serde_json::{Value, json};

use super::encode::{absolute, number, relative, seconds, secret_header};
use super::records::{Act, Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Trouble, read_json};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://spaceship.dev/api/v1";
/// 300 calls in 300 seconds (docs.spaceship.dev).
const BUDGET: Budget = Budget::of(&[Window::new(300, 300)]);
/// Records on one page, the most that the list takes.
const PAGE: u64 = 500;

const API_KEY: &str = "api_key";
const API_SECRET: &str = "api_secret";
const KEYS: &[Key] = &[
    Key::secret(API_KEY, "The API key, with the scopes dnsrecords:read and dnsrecords:write."),
    Key::secret(API_SECRET, "The secret that belongs to the key."),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "spaceship", about: "Spaceship, by its API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        key: secret_header(API_KEY, settings.credential(API_KEY)?)?,
        secret: secret_header(API_SECRET, settings.credential(API_SECRET)?)?,
    }))
}

struct Account {
    base: String,
    key: HeaderValue,
    secret: HeaderValue,
}

impl Account {
    fn call(&self, method: Method, ask: &Ask<'_>, query: &str) -> HttpCall {
        HttpCall::new(method, format!("{}/dns/records/{}{query}", self.base, ask.zone))
            .with(HeaderName::from_static("x-api-key"), self.key.clone())
            .with(HeaderName::from_static("x-api-secret"), self.secret.clone())
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Zone
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        60..=3600
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check api_key and api_secret",
            Class::Denied => "; give the key the scopes dnsrecords:read and dnsrecords:write",
            Class::NoZone => "; the domain must belong to the account and use Spaceship's name servers",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn changes_in_place(&self) -> bool {
        false
    }

    fn look(&self, ask: &Ask<'_>, _at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        self.call(Method::GET, ask, &format!("?take={PAGE}&skip={}", page.unwrap_or("0")))
    }

    fn looked(&self, ask: &Ask<'_>, at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, |status, body| explain(answer, status, body)).map_err(Trouble::about_zone)?;
        let list = body["items"].as_array().ok_or_else(|| Trouble::unknown("the list of records cannot be read"))?;
        let mut page = Page::default();
        for value in list {
            let kind = value["type"].as_str().unwrap_or_default();
            let name = absolute(value["name"].as_str().unwrap_or_default(), ask.zone);
            match (kind, value["group"]["type"].as_str()) {
                ("ALIAS" | "CNAME", _) => page.obstacles.push((name, format!("the name has a {kind} record"))),
                ("A" | "AAAA", Some(group)) if group != "custom" => {
                    page.obstacles.push((name, format!("the name has an {kind} record that belongs to {group:?}")));
                }
                _ => page.records.extend(record(value, ask.zone)),
            }
        }
        let skipped: u64 = at.page.and_then(|page| page.parse().ok()).unwrap_or(0);
        let seen = skipped + list.len() as u64;
        let is_more = !list.is_empty() && number(&body["total"]).is_some_and(|total| total > seen);
        page.next = is_more.then(|| seen.to_string());
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let (name, kind) = (relative(&change.hostname, ask.zone, "@"), change.family.record_type());
        match &change.act {
            Act::Create { to, .. } | Act::Alter { to, .. } => {
                let item = json!({ "type": kind, "name": name, "address": to, "ttl": change.ttl() });
                self.call(Method::PUT, ask, "").with_json(&json!({ "force": false, "items": [item] }))
            }
            Act::Remove { address, .. } => {
                let item = json!({ "type": kind, "name": name, "address": address });
                self.call(Method::DELETE, ask, "").with_json(&json!([item]))
            }
        }
    }

    /// Both are answered with 204 and no body. The address is the id.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        if !read_json(answer, |status, body| explain(answer, status, body))?.is_null() {
            return Err(Trouble::unknown("the answer to the write does not say that it was made"));
        }
        let id = |change: &Change| change.to().map(|to| to.to_string().into());
        Ok(changes.iter().map(|change| Written { id: id(change), ..Written::default() }).collect())
    }
}

/// `{"type": "A", "name": "nas", "address": "192.0.2.1", "ttl": 3600, "group": {"type": "custom"}}`.
fn record(value: &Value, zone: &Hostname) -> Option<Record> {
    let ttl = seconds(&value["ttl"]).unwrap_or(0);
    let name = absolute(value["name"].as_str()?, zone);
    let known = Known { ttl, ..Known::default() };
    let mut record = Record::read(name, value["type"].as_str()?, value["address"].as_str()?, known)?;
    record.known.id = record.address.to_string().into();
    Some(record)
}

/// `{"detail": "…", "data": [{"field": "name", "details": "…"}]}`; the code stands in a header.
fn explain(answer: &Answer, status: u16, body: &Value) -> Option<Trouble> {
    let detail = body["detail"].as_str()?;
    let code = answer.headers.get("spaceship-error-code").and_then(|code| code.to_str().ok());
    let field = |entry: &Value| Some(format!("{}: {}", entry["field"].as_str()?, entry["details"].as_str()?));
    let fields: Vec<String> = body["data"].as_array().into_iter().flatten().filter_map(field).collect();
    let text = if fields.is_empty() { detail.to_owned() } else { format!("{detail} ({})", fields.join(", ")) };
    Some(Trouble::with_status(status, code.unwrap_or(&status.to_string()), &text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play, set};
    use crate::provider::{HostJob, Outcome};

    const LOOK: &str = "GET /dns/records/home.test?take=500&skip=0";
    const NONE: (u16, &str) = (200, r#"{"items": [], "total": 0}"#);
    const DONE: (u16, &str) = (204, "");
    const ADD: &str = concat!(
        "PUT /dns/records/home.test ",
        r#"{"force":false,"items":[{"address":"192.0.2.2","name":"nas","ttl":60,"type":"A"}]}"#
    );
    const REMOVE: &str = r#"DELETE /dns/records/home.test [{"address":"192.0.2.1","name":"nas","type":"A"}]"#;

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        let settings = play::settings("spaceship", &[(API_KEY, "right-key"), (API_SECRET, "right-secret")]);
        play(&settings, "home.test", &[host], &script, |call| {
            assert_eq!(play::header(call, "x-api-key"), "right-key");
            assert_eq!(play::header(call, "x-api-secret"), "right-secret");
        })
        .remove(0)
    }

    fn memory(address: &str) -> String {
        format!("2 home.test home.test id= A={address}/60/")
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    fn later() -> HostJob {
        host_after("nas.home.test", "192.0.2.1", &memory("192.0.2.1"), "192.0.2.2")
    }

    #[test]
    fn the_new_address_is_added_before_the_old_one_goes() {
        let script = [(LOOK, NONE), (ADD, DONE)];
        assert_eq!(one(host("nas.home.test", "192.0.2.2"), &script), confirmed(&memory("192.0.2.2"), 60));
        assert_eq!(one(later(), &[(ADD, DONE), (REMOVE, DONE)]), confirmed(&memory("192.0.2.2"), 60));
        assert_unconfirmed(&one(later(), &[(ADD, (200, "{}"))]), Class::Bug, true);
        // The first was made, the second not: the next push sees both.
        assert_unconfirmed(&one(later(), &[(ADD, DONE), (REMOVE, (500, "{}"))]), Class::Down, true);
        let both = r#"{"items": [{"type": "A", "name": "nas", "address": "192.0.2.1", "ttl": 60},
            {"type": "A", "name": "nas", "address": "192.0.2.2", "ttl": 60, "group": {"type": "custom"}}], "total": 2}"#;
        let doubting = HostJob { doubted: vec![set("192.0.2.2")], ..later() };
        assert_eq!(one(doubting, &[(LOOK, (200, both)), (REMOVE, DONE)]), confirmed(&memory("192.0.2.2"), 60));
    }

    #[test]
    fn root_pages_ttl_and_what_is_in_the_way() {
        let first = r#"{"items": [{"type": "AAAA", "name": "@", "address": "2001:DB8::1", "ttl": 3600}], "total": 2}"#;
        let second = ("GET /dns/records/home.test?take=500&skip=1", (200, r#"{"items": [], "total": 2}"#));
        let refresh = concat!(
            "PUT /dns/records/home.test ",
            r#"{"force":false,"items":[{"address":"2001:db8::1","name":"@","ttl":300,"type":"AAAA"}]}"#
        );
        let wanted = HostJob { ttl: Some(300), ..host("home.test", "2001:db8::1") };
        let outcome = one(wanted, &[(LOOK, (200, first)), second, (refresh, DONE)]);
        assert_eq!(outcome, confirmed("2 home.test home.test id= AAAA=2001%3Adb8%3A%3A1/300/", 300));
        for (record, word) in [
            (r#"{"type": "CNAME", "name": "nas", "cname": "elsewhere.example"}"#, "CNAME"),
            (r#"{"type": "A", "name": "nas", "address": "192.0.2.2", "group": {"type": "product"}}"#, "product"),
        ] {
            let list = format!(r#"{{"items": [{record}], "total": 1}}"#);
            let outcome = one(host("nas.home.test", "192.0.2.2"), &[(LOOK, (200, &list))]);
            assert_refused(&outcome, Class::Invalid, word);
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        for (status, class, word) in [
            (401, Class::Auth, "api_secret"),
            (403, Class::Auth, "api_secret"),
            (404, Class::NoZone, "no zone named home.test"),
            (422, Class::Invalid, "name: The domain name contains invalid characters"),
        ] {
            let body = r#"{"detail": "the reason",
                "data": [{"field": "name", "details": "The domain name contains invalid characters"}]}"#;
            let outcome = one(host("nas.home.test", "192.0.2.2"), &[(LOOK, (status, body))]);
            assert_refused(&outcome, class, word);
        }
        let slow = (429, r#"{"detail": "Too many requests"}"#);
        assert_unconfirmed(&one(later(), &[(ADD, slow)]), Class::Rate, false);
        // Somebody removed the old one: what stands is looked at, and is right.
        let now = r#"{"items": [{"type": "A", "name": "nas", "address": "192.0.2.2", "ttl": 60}], "total": 1}"#;
        let gone = (404, r#"{"detail": "Record not found"}"#);
        let script = [(ADD, DONE), (REMOVE, gone), (LOOK, (200, now))];
        assert_eq!(one(later(), &script), confirmed(&memory("192.0.2.2"), 60));
    }

    #[test]
    fn numbers_may_be_texts_members_missing_and_another_status_as_good() {
        let list = r#"{"items": [{"type": "A", "name": "NAS", "address": "192.0.2.1", "ttl": "60"}], "total": "1"}"#;
        let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
        let script = [(LOOK, (200, list)), (ADD, (200, "")), (REMOVE, (202, ""))];
        assert_eq!(one(forgotten, &script), confirmed(&memory("192.0.2.2"), 60));
        assert_unconfirmed(&one(later(), &[(ADD, (200, "[]"))]), Class::Bug, true);
    }
}
