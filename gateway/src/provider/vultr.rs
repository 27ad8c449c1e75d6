//! Vultr DNS, API version 2 (www.vultr.com/api, dns).
//!
//! A domain is addressed by its name, a record by its id. `PATCH` changes what it names and keeps the rest. Lists cannot
//! be filtered, so that one look shows the whole domain, page by page.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nicgate_protocol::{Family, Hostname};
use serde_json::{Value, json};

use super::encode::{absolute, bearer, percent_encoded, relative, scalar, seconds};
use super::records::{Act, Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url, is_same_name,
};

const DEFAULT_ENDPOINT: &str = "https://api.vultr.com/v2";
/// Records on one page; the API's most.
const PAGE: u32 = 500;
/// 30 calls a second for each address (www.vultr.com/api, Rate Limit).
const BUDGET: Budget = Budget::of(&[Window::new(30, 1)]);

const API_KEY: &str = "api_key";
const KEYS: &[Key] = &[Key::secret(API_KEY, "The API key; its access control must let the gateway's addresses in.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "vultr", about: "Vultr DNS, by its API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        authorization: bearer(settings, API_KEY)?,
    }))
}

struct Account {
    base: String,
    authorization: HeaderValue,
}

impl Account {
    fn call(&self, method: Method, ask: &Ask<'_>, below: &str) -> HttpCall {
        let url = format!("{}/domains/{}/records{below}", self.base, ask.zone);
        HttpCall::new(method, url).with(AUTHORIZATION, self.authorization.clone())
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Zone
    }

    /// The vendor's pages name a default of 300 and no bounds; the least is ours.
    fn ttls(&self) -> RangeInclusive<u32> {
        60..=2_147_483_647
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => {
                "; check api_key, and that its access control lets in this machine's IPv4 and IPv6 addresses"
            }
            Class::Denied => "; the user of the key must be allowed to manage DNS",
            Class::NoZone => "; the domain must be in the account of the key",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn look(&self, ask: &Ask<'_>, _at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let cursor = page.map(|cursor| format!("&cursor={}", percent_encoded(cursor))).unwrap_or_default();
        self.call(Method::GET, ask, &format!("?per_page={PAGE}{cursor}"))
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, |status, body| explain(status, body, Meaning::NoZone))?;
        let unreadable = || Trouble::unknown("the list of records cannot be read");
        let list = body["records"].as_array().ok_or_else(unreadable)?;
        let next = body["meta"]["links"]["next"].as_str().filter(|cursor| !cursor.is_empty()).map(str::to_owned);
        let mut page = Page { next, ..Page::default() };
        for shown in list {
            let (Some(name), Some(kind)) = (shown["name"].as_str(), shown["type"].as_str()) else {
                return Err(unreadable());
            };
            match kind {
                "A" | "AAAA" => page.records.push(record(shown, ask.zone).ok_or_else(unreadable)?),
                "CNAME" => page.obstacles.push((absolute(name, ask.zone), "the name has a CNAME record".to_owned())),
                _ => {}
            }
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        match &change.act {
            Act::Create { to, ttl } => {
                let (kind, name) = (change.family.record_type(), relative(&change.hostname, ask.zone, ""));
                let body = json!({ "type": kind, "name": name, "data": to, "ttl": ttl });
                self.call(Method::POST, ask, "").with_json(&body)
            }
            Act::Alter { known, to, ttl, .. } => {
                let mut body = json!({ "data": to });
                if let Some(ttl) = ttl {
                    body["ttl"] = json!(ttl);
                }
                self.call(Method::PATCH, ask, &format!("/{}", percent_encoded(&known.id))).with_json(&body)
            }
            Act::Remove { known, .. } => self.call(Method::DELETE, ask, &format!("/{}", percent_encoded(&known.id))),
        }
    }

    /// A new record is shown (201); a change and a removal are answered with nothing (204).
    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let [change] = changes else { unreachable!("one change at a time") };
        let body = read_json(answer, |status, body| explain(status, body, Meaning::NoRecord))?;
        let is_new = matches!(change.act, Act::Create { .. });
        if !is_new && body.is_null() {
            return Ok(Written::unechoed(changes));
        }
        let record = record(&body["record"], ask.zone).filter(|record| is_same_name(&record.name, &change.hostname));
        let unknown = || Trouble::unknown("the answer to the write does not say that it was made");
        Ok(vec![record.filter(|_| change.to().is_some()).map(Written::shown).ok_or_else(unknown)?])
    }
}

/// `{"id": "ccd5379b-…", "type": "A", "name": "nas", "data": "192.0.2.1", "priority": -1, "ttl": 300}`.
fn record(shown: &Value, zone: &Hostname) -> Option<Record> {
    let address = shown["data"].as_str()?.parse().ok()?;
    if Family::of(address).record_type() != shown["type"].as_str()? {
        return None;
    }
    let id = scalar(&shown["id"]).filter(|id| !id.is_empty())?;
    let ttl = seconds(&shown["ttl"]).unwrap_or(0);
    let known = Known { id: id.into(), ttl, ..Known::default() };
    Some(Record { name: absolute(shown["name"].as_str()?, zone), address, known })
}

/// `{"error": "…", "status": 404}`; `missing`: what is not there when something is not.
fn explain(status: u16, body: &Value, missing: Meaning) -> Option<Trouble> {
    let (code, text) = (status.to_string(), body["error"].as_str()?);
    Some(if status == 404 { Trouble::new(missing, &code, text) } else { Trouble::with_status(status, &code, text) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(&play::settings("vultr", &[(API_KEY, "right")]), "home.test", &[host], &script, |call| {
            assert_eq!(play::header(call, "authorization"), "Bearer right");
        })
        .remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    const ID: &str = "ccd5379b-3b7f-a99b-0bcf-629a64fa80b6";
    const LOOK: &str = "GET /domains/home.test/records?per_page=500";
    const NONE: (u16, &str) = (200, r#"{"records": [], "meta": {"total": 0, "links": {"next": "", "prev": ""}}}"#);
    const DONE: (u16, &str) = (204, "");
    const MEMORY: &str = "2 home.test home.test id= A=ccd5379b-3b7f-a99b-0bcf-629a64fa80b6/60/";
    const CREATE: &str = r#"POST /domains/home.test/records {"data":"192.0.2.1","name":"nas","ttl":60,"type":"A"}"#;

    fn patch() -> String {
        format!(r#"PATCH /domains/home.test/records/{ID} {{"data":"192.0.2.2"}}"#)
    }

    /// As recorded in 2021.
    fn shown(name: &str, kind: &str, data: &str) -> String {
        format!(r#"{{"id": "{ID}", "type": "{kind}", "name": "{name}", "data": "{data}", "priority": -1, "ttl": 60}}"#)
    }

    fn list(record: &str, next: &str) -> String {
        format!(r#"{{"records": [{record}], "meta": {{"total": 5, "links": {{"next": "{next}", "prev": ""}}}}}}"#)
    }

    #[test]
    fn a_new_name_is_looked_at_and_made_and_later_changes_are_one_call() {
        let made = |data| format!(r#"{{"record": {}}}"#, shown("nas", "A", data));
        let new = || host("nas.home.test", "192.0.2.1");
        assert_eq!(one(new(), &[(LOOK, NONE), (CREATE, (201, &made("192.0.2.1")))]), confirmed(MEMORY, 60));
        assert_unconfirmed(&one(new(), &[(LOOK, NONE), (CREATE, (201, &made("192.0.2.9")))]), Class::Bug, true);
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        assert_eq!(one(later(), &[(&patch(), DONE)]), confirmed(MEMORY, 60));
        assert_unconfirmed(&one(later(), &[(&patch(), (200, "{}"))]), Class::Bug, true);
    }

    #[test]
    fn root_wildcard_removal_and_pages() {
        let create = r#"POST /domains/home.test/records {"data":"2001:db8::1","name":"","ttl":60,"type":"AAAA"}"#;
        let made = format!(r#"{{"record": {}}}"#, shown("", "AAAA", "2001:db8::1"));
        let outcome = one(host("home.test", "2001:db8::1"), &[(LOOK, NONE), (create, (201, &made))]);
        assert_eq!(outcome, confirmed(&MEMORY.replace(" A=", " AAAA="), 60));
        let script = [
            (LOOK, (200, &*list(&shown("x", "A", "192.0.2.1"), "bmV4dF9f=="))),
            (
                "GET /domains/home.test/records?per_page=500&cursor=bmV4dF9f%3D%3D",
                (200, &*list(&shown("*.lan", "A", "192.0.2.1"), "")),
            ),
            (&*format!("DELETE /domains/home.test/records/{ID}"), DONE),
        ];
        let gone = host_after("*.lan.home.test", "192.0.2.1", MEMORY, "");
        assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=", 0));
    }

    #[test]
    fn refusals_are_told_apart() {
        let error = |status: u16, text: &str| format!(r#"{{"error": "{text}", "status": {status}}}"#);
        let new = || host("nas.home.test", "192.0.2.1");
        for (status, text, class, word) in [
            (401, "Invalid API token.", Class::Auth, "check api_key"),
            (401, "Unauthorized IP address: 203.0.113.9", Class::Auth, "access control"),
            (403, "Forbidden", Class::Auth, "Forbidden"),
            (404, "Invalid domain.", Class::NoZone, "home.test"),
            (400, "Invalid data", Class::Invalid, "Invalid data"),
        ] {
            assert_refused(&one(new(), &[(LOOK, (status, &error(status, text)))]), class, word);
        }
        let cname = list(&shown("nas", "CNAME", "elsewhere.test"), "");
        assert_refused(&one(new(), &[(LOOK, (200, &cname))]), Class::Invalid, "CNAME");
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        assert_unconfirmed(&one(later(), &[(&patch(), (429, &error(429, "Rate limit")))]), Class::Rate, false);
        assert_unconfirmed(&one(later(), &[(&patch(), (503, ""))]), Class::Down, true);
        // A record that somebody removed is made again.
        let create = CREATE.replace("192.0.2.1", "192.0.2.2");
        let made = format!(r#"{{"record": {}}}"#, shown("nas", "A", "192.0.2.2"));
        let patch = patch();
        let script = [(&*patch, (404, &*error(404, "Invalid record."))), (LOOK, NONE), (&create, (201, &made))];
        assert_eq!(one(later(), &script), confirmed(MEMORY, 60));
    }

    #[test]
    fn a_changed_record_may_be_shown_and_members_missing() {
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        let shown = format!(r#"{{"record": {}}}"#, shown("NAS", "A", "192.0.2.2").replace("60}", "\"60\"}"));
        for (status, body) in [(204, ""), (200, ""), (200, &*shown)] {
            assert_eq!(one(later(), &[(&patch(), (status, body))]), confirmed(MEMORY, 60), "{status} {body}");
        }
        assert_unconfirmed(&one(later(), &[(&patch(), (200, &shown.replace(".2.2", ".2.1")))]), Class::Bug, true);
        assert_eq!(
            one(
                host("nas.home.test", "192.0.2.2"),
                &[(LOOK, (200, r#"{"records": []}"#)), (&CREATE.replace(".2.1", ".2.2"), (200, &shown)),]
            ),
            confirmed(MEMORY, 60)
        );
    }
}
