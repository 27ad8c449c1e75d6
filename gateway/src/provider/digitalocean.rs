//! DigitalOcean DNS, API version 2 (docs.digitalocean.com/reference/api, Domain Records).
//!
//! A domain is addressed by its name, a record by its number. `PATCH` changes what it names and keeps the rest.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nicgate_protocol::{Family, Hostname};
use serde_json::{Value, json};

use super::encode::{absolute, bearer, is_id, query, relative, scalar, seconds};
use super::records::{Act, Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json, says_nothing};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://api.digitalocean.com/v2";
/// Records on one page; the API's most.
const PAGE: &str = "200";
/// 5,000 calls an hour and 250 a minute per token (reference, Rate Limit).
const BUDGET: Budget = Budget::of(&[Window::new(250, 60), Window::new(5000, 3600)]);

const TOKEN: &str = "token";
const KEYS: &[Key] =
    &[Key::secret(TOKEN, "A personal access token with the scopes domain:read, :create, :update and :delete.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "digitalocean", about: "DigitalOcean DNS, by its API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        authorization: bearer(settings, TOKEN)?,
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
        View::Name
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        30..=2_147_483_647
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn tells_rights_apart(&self) -> bool {
        true
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check token: is it whole, and not expired?",
            Class::Denied => "; give the token the scopes domain:read, :create, :update and :delete",
            Class::NoZone => "; the domain must be in the team of the token",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let query = query(&[("name", at.hostname.as_str()), ("page", page.unwrap_or("1")), ("per_page", PAGE)]);
        self.call(Method::GET, ask, &format!("?{query}"))
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body =
            read_json(answer, |status, body| explain(status, body, Meaning::NoZone)).map_err(Trouble::about_zone)?;
        let unreadable = || Trouble::unknown("the list of records cannot be read");
        let list = body["domain_records"].as_array().ok_or_else(unreadable)?;
        let mut page = Page { next: next_page(&body), ..Page::default() };
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
        let kind = change.family.record_type();
        match &change.act {
            Act::Create { to, ttl } => {
                let name = relative(&change.hostname, ask.zone, "@");
                self.call(Method::POST, ask, "").with_json(&json!({"type": kind, "name": name, "data": to, "ttl": ttl}))
            }
            Act::Alter { known, to, ttl, .. } => {
                let mut body = json!({ "type": kind, "data": to });
                if let Some(ttl) = ttl {
                    body["ttl"] = json!(ttl);
                }
                self.call(Method::PATCH, ask, &format!("/{}", known.id)).with_json(&body)
            }
            Act::Remove { known, .. } => self.call(Method::DELETE, ask, &format!("/{}", known.id)),
        }
    }

    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let [change] = changes else { unreachable!("one change at a time") };
        let body = read_json(answer, |status, body| explain(status, body, Meaning::NoRecord))?;
        if change.to().is_none() && says_nothing(&body) {
            return Ok(Written::unechoed(changes));
        }
        let shown = &body["domain_record"];
        let is_it = |record: &Record| {
            super::is_same_name(&record.name, &change.hostname)
                && change.known().is_none_or(|known| known.id == record.known.id)
        };
        let record = record(shown, ask.zone).filter(is_it).filter(|_| change.to().is_some()).map(Written::shown);
        let unknown = || Trouble::unknown("the answer to the write does not show the record");
        // Not every example of the vendor's shows the TTL.
        Ok(vec![Written { ttl: seconds(&shown["ttl"]), ..record.ok_or_else(unknown)? }])
    }
}

/// `{"id": 78210035, "type": "A", "name": "nas", "data": "192.0.2.1", "ttl": 1800, …}`.
fn record(shown: &Value, zone: &Hostname) -> Option<Record> {
    let address = shown["data"].as_str()?.parse().ok()?;
    if Family::of(address).record_type() != shown["type"].as_str()? {
        return None;
    }
    let ttl = seconds(&shown["ttl"]).unwrap_or(0);
    let known = Known { id: scalar(&shown["id"]).filter(|id| is_id(id))?.into(), ttl, ..Known::default() };
    Some(Record { name: absolute(shown["name"].as_str()?, zone), address, known })
}

/// The number of the page after this one, out of `links.pages.next`, a URL.
fn next_page(body: &Value) -> Option<String> {
    let (_, query) = body["links"]["pages"]["next"].as_str()?.split_once('?')?;
    let number = query.split('&').find_map(|pair| pair.strip_prefix("page="))?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.to_owned())
}

/// `{"id": "not_found", "message": "…"}`; `missing`: what is not there when something is not.
fn explain(status: u16, body: &Value, missing: Meaning) -> Option<Trouble> {
    let (code, text) = (body["id"].as_str()?, body["message"].as_str()?);
    Some(if code == "not_found" { Trouble::new(missing, code, text) } else { Trouble::with_status(status, code, text) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(&play::settings("digitalocean", &[(TOKEN, "right")]), "home.test", &[host], &script, |call| {
            assert_eq!(play::header(call, "authorization"), "Bearer right");
        })
        .remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    const NONE: (u16, &str) = (200, r#"{"domain_records": [], "links": {}, "meta": {"total": 0}}"#);
    const LOOK: &str = "GET /domains/home.test/records?name=nas.home.test&page=1&per_page=200";
    const MEMORY: &str = "2 home.test home.test id= A=92264290/60/";
    const CREATE: &str = r#"POST /domains/home.test/records {"data":"192.0.2.1","name":"nas","ttl":60,"type":"A"}"#;
    const PATCH: &str = r#"PATCH /domains/home.test/records/92264290 {"data":"192.0.2.2","type":"A"}"#;

    /// As recorded in 2020.
    fn shown(name: &str, kind: &str, data: &str, ttl: u32) -> String {
        format!(
            r#"{{"id": 92264290, "type": "{kind}", "name": "{name}", "data": "{data}", "priority": null, "port": null,
                "ttl": {ttl}, "weight": null, "flags": null, "tag": null}}"#
        )
    }

    fn made(name: &str, kind: &str, data: &str) -> String {
        format!(r#"{{"domain_record": {}}}"#, shown(name, kind, data, 60))
    }

    fn list(records: &str) -> String {
        format!(r#"{{"domain_records": [{records}], "links": {{}}, "meta": {{"total": 1}}}}"#)
    }

    #[test]
    fn a_new_name_is_looked_at_and_made_and_later_changes_are_one_call() {
        let new = || host("nas.home.test", "192.0.2.1");
        let script = [(LOOK, NONE), (CREATE, (201, &*made("nas", "A", "192.0.2.1")))];
        assert_eq!(one(new(), &script), confirmed(MEMORY, 60));
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        assert_eq!(one(later(), &[(PATCH, (200, &made("nas", "A", "192.0.2.2")))]), confirmed(MEMORY, 60));
        for other in [made("nas", "A", "192.0.2.1"), made("x", "A", "192.0.2.2"), "{}".to_owned()] {
            assert_unconfirmed(&one(later(), &[(PATCH, (200, &other))]), Class::Bug, true);
        }
        let patch = r#"PATCH /domains/home.test/records/92264290 {"data":"192.0.2.2","ttl":30,"type":"A"}"#;
        let cheaper = HostJob { ttl: Some(5), ..later() };
        let answer = made("nas", "A", "192.0.2.2").replace("60", "30");
        assert_eq!(one(cheaper, &[(patch, (200, &answer))]), confirmed("2 home.test home.test id= A=92264290/30/", 30));
    }

    #[test]
    fn root_wildcard_removal_and_pages() {
        let look = "GET /domains/home.test/records?name=home.test&page=1&per_page=200";
        let create = r#"POST /domains/home.test/records {"data":"2001:db8::1","name":"@","ttl":60,"type":"AAAA"}"#;
        let script = [(look, NONE), (create, (201, &*made("@", "AAAA", "2001:db8::1")))];
        let memory = "2 home.test home.test id= AAAA=92264290/60/";
        assert_eq!(one(host("home.test", "2001:db8::1"), &script), confirmed(memory, 60));
        let page = |number| format!("GET /domains/home.test/records?name=%2A.lan.home.test&page={number}&per_page=200");
        let first = r#"{"domain_records": [], "links": {"pages": {"last": "https://api.digitalocean.com/v2/domains/home.test/records?page=2",
            "next": "https://api.digitalocean.com/v2/domains/home.test/records?name=x&page=2&per_page=200"}}, "meta": {"total": 201}}"#;
        let script = [
            (&*page(1), (200, first)),
            (&*page(2), (200, &*list(&shown("*.lan", "A", "192.0.2.1", 60)))),
            ("DELETE /domains/home.test/records/92264290", (204, "")),
        ];
        let gone = host_after("*.lan.home.test", "192.0.2.1", MEMORY, "");
        assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=", 0));
    }

    #[test]
    fn answers_in_other_words_are_read() {
        // Without a TTL, as in an example of the vendor's; with texts for numbers.
        let bare = r#"{"domain_record": {"id": "92264290", "type": "A", "name": "nas", "data": "192.0.2.1", "priority": null}}"#;
        for made in [bare.to_owned(), bare.replace("\"priority\": null", "\"ttl\": \"60\"")] {
            let script = [(LOOK, NONE), (CREATE, (200, &*made))];
            assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 60), "{made}");
        }
        let gone = host_after("nas.home.test", "192.0.2.1", MEMORY, "");
        let list = list(&shown("nas", "A", "192.0.2.1", 60));
        for answer in [(200, ""), (200, "{}"), (204, "")] {
            let script = [(LOOK, (200, &*list)), ("DELETE /domains/home.test/records/92264290", answer)];
            assert_eq!(one(gone.clone(), &script), confirmed("2 home.test home.test id=", 0));
        }
        // A domain that is not there is no domain without records, whatever the words.
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[(LOOK, (404, r#"{"message": "no"}"#))]);
        assert_refused(&outcome, Class::NoZone, "home.test");
    }

    #[test]
    fn refusals_are_told_apart() {
        let error = |id: &str| format!(r#"{{"id": "{id}", "message": "said so"}}"#);
        let new = || host("nas.home.test", "192.0.2.1");
        for (status, id, class, word) in [
            (401, "Unauthorized", Class::Auth, "check token"),
            (403, "forbidden", Class::Denied, "scopes"),
            (404, "not_found", Class::NoZone, "home.test"),
            (422, "unprocessable_entity", Class::Invalid, "said so"),
        ] {
            assert_refused(&one(new(), &[(LOOK, (status, &error(id)))]), class, word);
        }
        assert_refused(&one(new(), &[(LOOK, NONE), (CREATE, (403, &error("forbidden")))]), Class::Denied, "scopes");
        let cname = list(&shown("nas", "CNAME", "elsewhere.test", 60));
        assert_refused(&one(new(), &[(LOOK, (200, &cname))]), Class::Invalid, "CNAME");
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        assert_unconfirmed(&one(later(), &[(PATCH, (429, &error("too_many_requests")))]), Class::Rate, false);
        assert_unconfirmed(&one(later(), &[(PATCH, (500, &error("server_error")))]), Class::Down, true);
        // A record that somebody removed is made again.
        let create = CREATE.replace("192.0.2.1", "192.0.2.2");
        let answer = made("nas", "A", "192.0.2.2");
        let script = [(PATCH, (404, &*error("not_found"))), (LOOK, NONE), (&create, (201, &answer))];
        assert_eq!(one(later(), &script), confirmed(MEMORY, 60));
    }
}
