//! Name.com, Core API version 1 (docs.name.com).
//!
//! The list shows the whole zone, page by page; records have numbers as ids and are changed by `PUT`, which takes the
//! whole record.

use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nicgate_protocol::Hostname;
use serde_json::{Value, json};

use super::encode::{absolute, is_id, number, relative, scalar, seconds, secret_header};
use super::records::{Act, Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Trouble, read_json};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url, is_same_name,
};

const DEFAULT_ENDPOINT: &str = "https://api.name.com/core/v1";
/// 20 calls a second and 3,000 an hour (docs.name.com, rate limiting).
const BUDGET: Budget = Budget::of(&[Window::new(20, 1), Window::new(3000, 3600)]);
/// Records on one page, the most that the list takes.
const PAGE: u32 = 1000;

const USERNAME: &str = "username";
const TOKEN: &str = "token";
const KEYS: &[Key] = &[
    Key::text(USERNAME, "The account's user name."),
    Key::secret(TOKEN, "An API token of the account (Account, Settings, API)."),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "namecom", about: "Name.com, by its API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let user = settings.credential(USERNAME)?;
    if user.contains(':') {
        return Err(BadSetting { key: USERNAME, why: "a user name holds no colon".to_owned() });
    }
    let pair = STANDARD.encode(format!("{user}:{}", settings.credential(TOKEN)?));
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        authorization: secret_header(TOKEN, &format!("Basic {pair}"))?,
    }))
}

struct Account {
    base: String,
    authorization: HeaderValue,
}

impl Account {
    fn call(&self, method: Method, ask: &Ask<'_>, below: &str) -> HttpCall {
        HttpCall::new(method, format!("{}/domains/{}/records{below}", self.base, ask.zone))
            .with(AUTHORIZATION, self.authorization.clone())
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Zone
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        300..=604_800
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check username and token; a token of the test environment works only there",
            Class::Denied => "; the account must be allowed to use the API, also from this address",
            Class::NoZone => "; the domain must belong to the account and use Name.com's name servers",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn look(&self, ask: &Ask<'_>, _at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        self.call(Method::GET, ask, &format!("?page={}&perPage={PAGE}", page.unwrap_or("1")))
    }

    /// A zone without records has no list at all.
    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, explain).map_err(Trouble::about_zone)?;
        let list = match (&body["records"], body.as_object()) {
            (Value::Array(list), _) => list.as_slice(),
            (Value::Null, Some(_)) => &[],
            _ => return Err(Trouble::unknown("the list of records cannot be read")),
        };
        let alias = |value: &Value| {
            let kind = value["type"].as_str().filter(|kind| matches!(*kind, "ANAME" | "CNAME"))?;
            Some((name(value, ask.zone), format!("the name has a {kind} record")))
        };
        Ok(Page {
            records: list.iter().filter_map(|value| record(value, ask.zone)).collect(),
            obstacles: list.iter().filter_map(alias).collect(),
            next: number(&body["nextPage"]).filter(|next| *next > 1).map(|next| next.to_string()),
        })
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let body = json!({
            "host": relative(&change.hostname, ask.zone, ""),
            "type": change.family.record_type(),
            "answer": change.to(),
            "ttl": change.ttl(),
        });
        match &change.act {
            Act::Create { .. } => self.call(Method::POST, ask, "").with_json(&body),
            Act::Alter { known, .. } => self.call(Method::PUT, ask, &format!("/{}", known.id)).with_json(&body),
            Act::Remove { known, .. } => self.call(Method::DELETE, ask, &format!("/{}", known.id)),
        }
    }

    /// A written record is shown; a removal is answered with nothing in it.
    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read_json(answer, explain)?;
        let [change] = changes else { unreachable!("one change at a time") };
        if change.to().is_none() {
            return Ok(Written::unechoed(changes));
        }
        let shown = record(&body, ask.zone).filter(|record| is_same_name(&record.name, &change.hostname));
        let shown = shown.ok_or_else(|| Trouble::unknown("the answer to the write does not show the record"))?;
        Ok(vec![Written::shown(shown)])
    }
}

/// `{"id": 178073536, "host": "nas", "fqdn": "nas.zone1.example.", "type": "A", "answer": "192.0.2.1", "ttl": 3600}`.
fn record(value: &Value, zone: &Hostname) -> Option<Record> {
    let id = scalar(&value["id"]).filter(|id| is_id(id))?;
    let ttl = seconds(&value["ttl"]).unwrap_or(0);
    let known = Known { id: id.into(), ttl, note: "".into() };
    Record::read(name(value, zone), value["type"].as_str()?, value["answer"].as_str()?, known)
}

/// A record's whole name, from the one within its domain where the whole one is left out.
fn name(value: &Value, zone: &Hostname) -> String {
    match value["fqdn"].as_str() {
        Some(whole) if !whole.is_empty() => whole.to_owned(),
        Some(_) | None => absolute(value["host"].as_str().unwrap_or_default(), zone),
    }
}

/// `{"message": "Unauthorized", "details": "…"}`.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let message = body["message"].as_str()?;
    let text = match body["details"].as_str() {
        Some(details) if !details.is_empty() => format!("{message} ({details})"),
        Some(_) | None => message.to_owned(),
    };
    Some(Trouble::with_status(status, &status.to_string(), &text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome, Setting};

    const LOOK: &str = "GET /domains/zone1.example/records?page=1&perPage=1000";
    const RECORD: &str = r#"{"id": 178073536, "domainName": "zone1.example", "host": "nas",
        "fqdn": "nas.zone1.example.", "type": "A", "answer": "192.0.2.1", "ttl": 300}"#;
    const CREATE: &str =
        r#"POST /domains/zone1.example/records {"answer":"192.0.2.1","host":"nas","ttl":300,"type":"A"}"#;
    const PUT: &str = concat!(
        "PUT /domains/zone1.example/records/178073536 ",
        r#"{"answer":"192.0.2.2","host":"nas","ttl":300,"type":"A"}"#
    );
    const MEMORY: &str = "2 zone1.example zone1.example id= A=178073536/300/";

    fn settings() -> ProviderSettings {
        let mut settings = play::settings("namecom", &[(TOKEN, "right")]);
        settings.set(USERNAME, Setting::Text("me".into()));
        settings
    }

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(&settings(), "zone1.example", &[host], &script, |call| {
            assert_eq!(play::header(call, "authorization"), "Basic bWU6cmlnaHQ=");
        })
        .remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    fn later() -> HostJob {
        host_after("nas.zone1.example", "192.0.2.1", MEMORY, "192.0.2.2")
    }

    #[test]
    fn a_new_record_is_made_and_a_later_change_is_one_put() {
        let script = [(LOOK, (200, "{}")), (CREATE, (200, RECORD))];
        assert_eq!(one(host("nas.zone1.example", "192.0.2.1"), &script), confirmed(MEMORY, 300));
        let changed = RECORD.replace("192.0.2.1", "192.0.2.2");
        assert_eq!(one(later(), &[(PUT, (200, &changed))]), confirmed(MEMORY, 300));
        assert_unconfirmed(&one(later(), &[(PUT, (200, RECORD))]), Class::Bug, true);
        let elsewhere = changed.replace("nas.", "www.");
        assert_unconfirmed(&one(later(), &[(PUT, (200, &elsewhere))]), Class::Bug, true);
    }

    #[test]
    fn pages_root_removal_and_a_cname() {
        let first = r#"{"records": [], "nextPage": 2, "lastPage": 2}"#;
        let root = RECORD.replace("nas.zone1", "zone1").replace(r#""nas""#, r#""""#);
        let last = format!(r#"{{"records": [{root}], "totalCount": 1}}"#);
        let gone = host_after("zone1.example", "192.0.2.1", MEMORY, "");
        let second = ("GET /domains/zone1.example/records?page=2&perPage=1000", (200, last.as_str()));
        let delete = ("DELETE /domains/zone1.example/records/178073536", (200, "{}"));
        let script = [(LOOK, (200, first)), second, delete];
        assert_eq!(one(gone, &script), confirmed("2 zone1.example zone1.example id=", 0));
        let alias = format!(r#"{{"records": [{}]}}"#, RECORD.replace(r#""A""#, r#""CNAME""#));
        let outcome = one(host("nas.zone1.example", "192.0.2.1"), &[(LOOK, (200, &alias))]);
        assert_refused(&outcome, Class::Invalid, "CNAME");
    }

    #[test]
    fn refusals_are_told_apart() {
        for (status, message, class, word) in [
            (401, "Unauthorized", Class::Auth, "token"),
            (403, "Permission Denied", Class::Auth, "Permission"),
            (404, "Not Found", Class::NoZone, "no zone named zone1.example"),
            (400, "Parameter Value Error", Class::Invalid, "the reason"),
        ] {
            let body = json!({ "message": message, "details": "the reason" }).to_string();
            let outcome = one(host("nas.zone1.example", "192.0.2.1"), &[(LOOK, (status, &body))]);
            assert_refused(&outcome, class, word);
        }
        let gone = (404, r#"{"message": "Not Found"}"#);
        let create = CREATE.replace(".1\"", ".2\"");
        let made = RECORD.replace("192.0.2.1", "192.0.2.2");
        let script = [(PUT, gone), (LOOK, (200, "{}")), (create.as_str(), (200, made.as_str()))];
        assert_eq!(one(later(), &script), confirmed(MEMORY, 300));
        assert_unconfirmed(&one(later(), &[(PUT, (429, r#"{"message": "Too Many"}"#))]), Class::Rate, false);
    }

    /// As recorded in 2020, and as somebody else may write it.
    #[test]
    fn spelling_and_what_is_left_out_make_no_difference() {
        let changed = r#"{"id": 178073536, "domainName": "zone1.example", "host": "nas", "fqdn": "nas.zone1.example.",
            "type": "A", "answer": "192.0.2.2", "ttl": 300}"#;
        let short = r#"{"id": "178073536", "host": "nas", "type": "A", "answer": "192.0.2.2", "ttl": "300"}"#;
        for body in [changed, short] {
            assert_eq!(one(later(), &[(PUT, (201, body))]), confirmed(MEMORY, 300), "{body}");
        }
        let list = format!(r#"{{"records": [{}], "nextPage": null}}"#, short.replace(".2.2", ".2.1"));
        let gone = host_after("nas.zone1.example", "192.0.2.1", MEMORY, "");
        let script = [(LOOK, (200, list.as_str())), ("DELETE /domains/zone1.example/records/178073536", (204, ""))];
        assert_eq!(one(gone, &script), confirmed("2 zone1.example zone1.example id=", 0));
    }
}
