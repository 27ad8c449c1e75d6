//! Porkbun, API version 3 (porkbun.com/api/json/v3/documentation).
//!
//! Every call is a `POST` with both keys in its body, and every answer says `SUCCESS` or `ERROR`, whatever its status.
//! Records have ids. The calls "by name and type" are not used: one to change something answers `SUCCESS` also where
//! nothing stands (github.com/stalwartlabs/dns-update/issues/67), and one to look shows neither the other family nor a
//! CNAME. So a look reads the whole domain, and a change goes by the id.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use nicgate_protocol::{Family, Secret};
use serde_json::{Value, json};

use super::encode::{relative, seconds};
use super::records::{Act, Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://api.porkbun.com/api/json/v3";
/// The vendor publishes no limit, and answers 429 or 503 to the hasty; this bound is ours.
const BUDGET: Budget = Budget::of(&[Window::new(2, 1), Window::new(60, 60)]);

const API_KEY: &str = "api_key";
const SECRET_API_KEY: &str = "secret_api_key";
const KEYS: &[Key] = &[
    Key::secret(API_KEY, "An API key (pk1_…); API Access must be on for the domain."),
    Key::secret(SECRET_API_KEY, "The secret key (sk1_…) that was shown with it."),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "porkbun", about: "Porkbun, by its API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let secret = |key| Ok(Secret::new(settings.credential(key)?.to_owned()));
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        api_key: secret(API_KEY)?,
        secret_api_key: secret(SECRET_API_KEY)?,
    }))
}

struct Account {
    base: String,
    api_key: Secret<String>,
    secret_api_key: Secret<String>,
}

impl Account {
    fn call(&self, path: &str, mut body: Value) -> HttpCall {
        body["apikey"] = json!(self.api_key.expose());
        body["secretapikey"] = json!(self.secret_api_key.expose());
        HttpCall::new(Method::POST, format!("{}/dns/{path}", self.base)).with_json(&body)
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Zone
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        600..=2_147_483_647
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check api_key (pk1_…) and secret_api_key (sk1_…): are both whole, and of one pair?",
            Class::Denied => "; turn on API Access in the domain's details",
            Class::NoZone => "; the domain must be in the account, use Porkbun's name servers and have API Access on",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn look(&self, ask: &Ask<'_>, _at: &Spot<'_>, _page: Option<&str>) -> HttpCall {
        self.call(&format!("retrieve/{}", ask.zone), json!({}))
    }

    fn looked(&self, _ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read(answer, Meaning::NoZone)?;
        let unreadable = || Trouble::unknown("the list of records cannot be read");
        let list = body["records"].as_array().ok_or_else(unreadable)?;
        let mut page = Page::default();
        for shown in list {
            let (Some(name), Some(kind)) = (shown["name"].as_str(), shown["type"].as_str()) else {
                return Err(unreadable());
            };
            match kind {
                "A" | "AAAA" => page.records.push(record(shown, name, kind).ok_or_else(unreadable)?),
                "ALIAS" | "CNAME" => page.obstacles.push((name.to_owned(), format!("the name has a {kind} record"))),
                _ => {}
            }
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let (name, zone) = (relative(&change.hostname, ask.zone, ""), ask.zone);
        let body = |to: &IpAddr| {
            let (kind, ttl) = (change.family.record_type(), change.ttl().to_string());
            json!({ "name": name, "type": kind, "content": to, "ttl": ttl })
        };
        match &change.act {
            Act::Create { to, .. } => self.call(&format!("create/{zone}"), body(to)),
            Act::Alter { known, to, .. } => {
                let mut body = body(to);
                if !known.note.is_empty() {
                    body["notes"] = json!(known.note);
                }
                self.call(&format!("edit/{zone}/{}", known.id), body)
            }
            Act::Remove { known, .. } => self.call(&format!("delete/{zone}/{}", known.id), json!({})),
        }
    }

    /// The answer repeats nothing but the id of a new record.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let [change] = changes else { unreachable!("one change at a time") };
        let is_new = matches!(change.act, Act::Create { .. });
        let body = read(answer, if is_new { Meaning::Exists } else { Meaning::NoRecord })?;
        if !is_new {
            return Ok(Written::unechoed(changes));
        }
        let id = id(&body["id"]).ok_or_else(|| Trouble::unknown("the answer to the write shows no id"))?;
        Ok(vec![Written { id: Some(id), ..Written::default() }])
    }
}

/// `{"id": "421658077", "name": "nas.home.test", "type": "A", "content": "192.0.2.1", "ttl": "600", "notes": null, …}`.
fn record(shown: &Value, name: &str, kind: &str) -> Option<Record> {
    let address = shown["content"].as_str()?.parse().ok()?;
    if Family::of(address).record_type() != kind {
        return None;
    }
    let ttl = seconds(&shown["ttl"])?;
    let known = Known { id: id(&shown["id"])?, ttl, note: shown["notes"].as_str().unwrap_or_default().into() };
    Some(Record { name: name.to_owned(), address, known })
}

/// An id, which is text in lists and a number where one is made.
fn id(shown: &Value) -> Option<Box<str>> {
    let text = shown.as_str().map(str::to_owned).or_else(|| shown.as_u64().map(|id| id.to_string()))?;
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.into())
}

/// The body of a success. `unable`: what "we were unable to" means, which is all that some refusals say.
fn read(answer: &Answer, unable: Meaning) -> Result<Value, Trouble> {
    let body = read_json(answer, |status, body| explain(status, body, unable))?;
    match body["status"].as_str() {
        Some("SUCCESS") => Ok(body),
        // Some refusals come with a status of success.
        _ => Err(explain(400, &body, unable).unwrap_or_else(|| Trouble::unknown("the answer has no status"))),
    }
}

/// `{"status": "ERROR", "message": "…"}`; newer ones have a code beside.
fn explain(status: u16, body: &Value, unable: Meaning) -> Option<Trouble> {
    let text = body["message"].as_str().filter(|_| body["status"] == "ERROR")?;
    let code = body["code"].as_str().unwrap_or("ERROR");
    let says = |words: &str| text.to_ascii_lowercase().contains(words);
    let meaning = match () {
        () if says("opted in to api access") => Meaning::Plain(Class::Denied),
        () if says("api key") => Meaning::Plain(Class::Auth),
        () if says("invalid domain") => Meaning::NoZone,
        () if says("unable to") || says("invalid record") => unable,
        () => return Some(Trouble::with_status(status, code, text)),
    };
    Some(Trouble::new(meaning, code, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let keys = r#""apikey":"pk1_right""#;
        let script: Vec<_> = script
            .iter()
            .map(|(asked, (status, body))| {
                let asked =
                    asked.replace("{KEYS", &format!("{{{keys}")).replace("SECRET", r#""secretapikey":"sk1_right""#);
                (asked, (*status, (*body).to_owned()))
            })
            .collect();
        let settings = play::settings("porkbun", &[(API_KEY, "pk1_right"), (SECRET_API_KEY, "sk1_right")]);
        play(&settings, "home.test", &[host], &script, |_| ()).remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    const LOOK: &str = "POST /dns/retrieve/home.test {KEYS,SECRET}";
    const NONE: (u16, &str) = (200, r#"{"status": "SUCCESS", "cloudflare": "enabled", "records": []}"#);
    const DONE: (u16, &str) = (200, r#"{"status": "SUCCESS"}"#);
    const MADE: (u16, &str) = (200, r#"{"status": "SUCCESS", "id": 432480875}"#);
    const MEMORY: &str = "2 home.test home.test id= A=432480875/600/";
    const CREATE: &str =
        r#"POST /dns/create/home.test {KEYS,"content":"192.0.2.1","name":"nas",SECRET,"ttl":"600","type":"A"}"#;
    const EDIT: &str =
        r#"POST /dns/edit/home.test/432480875 {KEYS,"content":"192.0.2.2","name":"nas",SECRET,"ttl":"600","type":"A"}"#;

    /// As recorded in 2024.
    fn list(name: &str, kind: &str, content: &str, notes: &str) -> String {
        format!(
            r#"{{"status": "SUCCESS", "cloudflare": "enabled", "records": [
                {{"id": "421642428", "name": "home.test", "type": "NS", "content": "maceio.porkbun.com", "ttl": "86400", "prio": null, "notes": null}},
                {{"id": "432480875", "name": "{name}", "type": "{kind}", "content": "{content}", "ttl": "600", "prio": "0", "notes": {notes}}}]}}"#
        )
    }

    #[test]
    fn a_new_name_is_looked_at_and_made_and_later_changes_are_one_call() {
        let new = || host("nas.home.test", "192.0.2.1");
        assert_eq!(one(new(), &[(LOOK, NONE), (CREATE, MADE)]), confirmed(MEMORY, 600));
        assert_unconfirmed(&one(new(), &[(LOOK, NONE), (CREATE, DONE)]), Class::Bug, true);
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        assert_eq!(one(later(), &[(EDIT, DONE)]), confirmed(MEMORY, 600));
        assert_unconfirmed(&one(later(), &[(EDIT, (200, "{}"))]), Class::Bug, true);
    }

    #[test]
    fn notes_stay_and_so_does_the_ttl() {
        let known = list("nas.home.test", "A", "192.0.2.1", r#""the box""#).replace(r#""600""#, r#""3600""#);
        let edit = r#"POST /dns/edit/home.test/432480875 {KEYS,"content":"192.0.2.2","name":"nas","notes":"the box",SECRET,"ttl":"3600","type":"A"}"#;
        let memory = "2 home.test home.test id= A=432480875/3600/the%20box";
        let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
        assert_eq!(one(forgotten, &[(LOOK, (200, &known)), (edit, DONE)]), confirmed(memory, 3600));
    }

    #[test]
    fn root_wildcard_both_families_and_removal() {
        let create =
            r#"POST /dns/create/home.test {KEYS,"content":"192.0.2.1","name":"",SECRET,"ttl":"600","type":"A"}"#;
        let create6 =
            r#"POST /dns/create/home.test {KEYS,"content":"2001:db8::1","name":"",SECRET,"ttl":"600","type":"AAAA"}"#;
        let script = [(LOOK, NONE), (create, MADE), (create6, (200, r#"{"status": "SUCCESS", "id": "5"}"#))];
        let outcome = one(host("home.test", "192.0.2.1,2001:db8::1"), &script);
        assert_eq!(outcome, confirmed("2 home.test home.test id= A=432480875/600/ AAAA=5/600/", 600));
        let known = list("*.lan.home.test", "A", "192.0.2.1", "null");
        let delete = "POST /dns/delete/home.test/432480875 {KEYS,SECRET}";
        let gone = host_after("*.lan.home.test", "192.0.2.1", MEMORY, "");
        let outcome = one(gone, &[(LOOK, (200, &known)), (delete, DONE)]);
        assert_eq!(outcome, confirmed("2 home.test home.test id=", 0));
    }

    #[test]
    fn refusals_are_told_apart() {
        let error = |message: &str| format!(r#"{{"status": "ERROR", "message": "{message}"}}"#);
        let new = || host("nas.home.test", "192.0.2.1");
        for (message, class, word) in [
            ("Invalid API key. (001)", Class::Auth, "secret_api_key"),
            ("All API requests require an API key.", Class::Auth, "secret_api_key"),
            ("Domain is not opted in to API access.", Class::Denied, "turn on API Access"),
            ("Invalid domain.", Class::NoZone, "home.test"),
            ("Something else.", Class::Invalid, "Something else."),
        ] {
            for status in [200, 400] {
                assert_refused(&one(new(), &[(LOOK, (status, &error(message)))]), class, word);
            }
        }
        let cname = list("nas.home.test", "CNAME", "elsewhere.test", "null");
        assert_refused(&one(new(), &[(LOOK, (200, &cname))]), Class::Invalid, "CNAME");
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        assert_unconfirmed(&one(later(), &[(EDIT, (429, &error("Rate limited.")))]), Class::Rate, false);
        assert_unconfirmed(&one(later(), &[(EDIT, (503, "<html>busy</html>"))]), Class::Down, true);
        // An edit that changes nothing, and one of a record that is gone, are refused in the same words.
        let unable = error("Edit error: We were unable to edit the DNS record.");
        let there = list("nas.home.test", "A", "192.0.2.2", "null");
        assert_eq!(one(later(), &[(EDIT, (400, &unable)), (LOOK, (200, &there))]), confirmed(MEMORY, 600));
        let create = CREATE.replace("192.0.2.1", "192.0.2.2");
        assert_eq!(one(later(), &[(EDIT, (400, &unable)), (LOOK, NONE), (&create, MADE)]), confirmed(MEMORY, 600));
        let unable = error("Create error: We were unable to create the DNS record.");
        let script = [(LOOK, NONE), (CREATE, (400, &*unable)), (LOOK, NONE), (CREATE, (400, &*unable))];
        assert_refused(&one(new(), &script), Class::Invalid, "unable to create");
    }

    #[test]
    fn spelling_and_what_is_left_out_make_no_difference() {
        let list = r#"{"records": [{"id": 432480875, "name": "NAS.home.test", "type": "A", "content": "192.0.2.1", "ttl": 600}],
            "status": "SUCCESS"}"#;
        let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
        let script = [(LOOK, (200, list)), (EDIT, (200, r#"{"status": "SUCCESS", "message": "done"}"#))];
        assert_eq!(one(forgotten, &script), confirmed(MEMORY, 600));
    }
}
