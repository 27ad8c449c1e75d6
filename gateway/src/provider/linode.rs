//! Linode (Akamai) DNS Manager, API version 4 (techdocs.akamai.com/linode-api).
//!
//! Domains and records have numbers; `PUT` changes what it names and keeps the rest. Filters go in a header of their own,
//! `X-Filter`; records are not filtered, so that one look shows everything.
//!
//! Linode takes certain TTLs only and rounds others; 0 is the zone's default. Name servers hear of a change some minutes
//! later.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use nicgate_logic::policy::DEFAULT_TTL;
use nicgate_protocol::{Family, Hostname};
use serde_json::{Value, json};

use super::encode::{absolute, bearer, is_id, number, relative, scalar, seconds};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url, is_same_name,
};

const DEFAULT_ENDPOINT: &str = "https://api.linode.com/v4";
const FILTER: HeaderName = HeaderName::from_static("x-filter");
/// Records on one page; the API's most.
const PAGE: u32 = 500;
/// Recorded answers name 400 calls (2018) and 800 (later) in `X-RateLimit-Limit`, and almost two minutes in
/// `Retry-After`; the narrower bound is kept.
const BUDGET: Budget = Budget::of(&[Window::new(400, 120)]);
/// The TTLs that a record can have.
const TTLS: [u32; 14] =
    [30, 120, 300, 3600, 7200, 14_400, 28_800, 57_600, 86_400, 172_800, 345_600, 604_800, 1_209_600, 2_419_200];

const TOKEN: &str = "token";
const KEYS: &[Key] = &[Key::secret(TOKEN, "A personal access token with the scope Domains: Read/Write.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "linode", about: "Linode (Akamai) DNS Manager.", keys: KEYS, open };

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
    fn call(&self, method: Method, path: &str) -> HttpCall {
        HttpCall::new(method, format!("{}/domains{path}", self.base)).with(AUTHORIZATION, self.authorization.clone())
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Zone
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        TTLS[0]..=TTLS[TTLS.len() - 1]
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check token: is it whole, and not expired?",
            Class::Denied => "; give the token the scope Domains: Read/Write, and its user access to the domain",
            Class::NoZone => "; the domain must be in the account of the token",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    /// Rounded up here, so that nobody wonders afterwards why another TTL stands there.
    fn ttl_for(&self, standing: Option<&Known>, asked: Option<u32>) -> Option<u32> {
        let rounded = |ttl| TTLS.into_iter().find(|step| *step >= ttl).unwrap_or(TTLS[TTLS.len() - 1]);
        match standing {
            Some(known) => asked.map(rounded).filter(|ttl| *ttl != known.ttl),
            None => Some(rounded(asked.unwrap_or(DEFAULT_TTL))),
        }
    }

    fn find_zone(&self, ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        let filter = json!({ "domain": ask.zone.as_str() }).to_string();
        // A hostname holds nothing that a header may not.
        let filter = HeaderValue::from_str(&filter).unwrap_or_else(|_| HeaderValue::from_static("{}"));
        Some(self.call(Method::GET, "").with(FILTER, filter))
    }

    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let body = read_json(answer, |status, body| explain(status, body, Meaning::NoZone))?;
        let domains = body["data"].as_array().ok_or_else(|| Trouble::unknown("the list of domains cannot be read"))?;
        let is_it = |domain: &&Value| domain["domain"].as_str().is_some_and(|name| is_same_name(name, ask.zone));
        match domains.iter().find(is_it).map(|domain| scalar(&domain["id"]).filter(|id| is_id(id))) {
            Some(Some(id)) => Ok(Found::Zone(id)),
            Some(None) => Err(Trouble::unknown("the domain has no id")),
            None => Ok(Found::Nothing),
        }
    }

    fn look(&self, ask: &Ask<'_>, _at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let page = page.unwrap_or("1");
        self.call(Method::GET, &format!("/{}/records?page={page}&page_size={PAGE}", ask.zone_id))
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, |status, body| explain(status, body, Meaning::NoZone))?;
        let unreadable = || Trouble::unknown("the list of records cannot be read");
        let list = body["data"].as_array().ok_or_else(unreadable)?;
        let (at, pages) = (number(&body["page"]).unwrap_or(1), number(&body["pages"]).unwrap_or(1));
        let mut page = Page { next: (at < pages).then(|| (at + 1).to_string()), ..Page::default() };
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
        let records = format!("/{}/records", ask.zone_id);
        match &change.act {
            Act::Create { to, ttl } => {
                let (kind, name) = (change.family.record_type(), relative(&change.hostname, ask.zone, ""));
                let body = json!({ "type": kind, "name": name, "target": to, "ttl_sec": ttl });
                self.call(Method::POST, &records).with_json(&body)
            }
            Act::Alter { known, to, ttl, .. } => {
                let mut body = json!({ "target": to });
                if let Some(ttl) = ttl {
                    body["ttl_sec"] = json!(ttl);
                }
                self.call(Method::PUT, &format!("{records}/{}", known.id)).with_json(&body)
            }
            Act::Remove { known, .. } => self.call(Method::DELETE, &format!("{records}/{}", known.id)),
        }
    }

    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let [change] = changes else { unreachable!("one change at a time") };
        let body = read_json(answer, |status, body| explain(status, body, Meaning::NoRecord))?;
        let unknown = || Trouble::unknown("the answer to the write does not show the record");
        if change.to().is_none() {
            return if body == json!({}) || body.is_null() { Ok(Written::unechoed(changes)) } else { Err(unknown()) };
        }
        let is_it = |record: &Record| {
            is_same_name(&record.name, &change.hostname)
                && change.known().is_none_or(|known| known.id == record.known.id)
        };
        let record = record(&body, ask.zone).filter(is_it).map(Written::shown);
        Ok(vec![record.ok_or_else(unknown)?])
    }
}

/// `{"id": 9295232, "type": "A", "name": "nas", "target": "192.0.2.1", "ttl_sec": 0, …}`.
fn record(shown: &Value, zone: &Hostname) -> Option<Record> {
    let address = shown["target"].as_str()?.parse().ok()?;
    if Family::of(address).record_type() != shown["type"].as_str()? {
        return None;
    }
    let ttl = seconds(&shown["ttl_sec"]).unwrap_or(0);
    let id = scalar(&shown["id"]).filter(|id| is_id(id))?;
    let known = Known { id: id.into(), ttl, ..Known::default() };
    Some(Record { name: absolute(shown["name"].as_str()?, zone), address, known })
}

/// `{"errors": [{"field": "target", "reason": "…"}]}`; `missing`: what is not there when something is not.
fn explain(status: u16, body: &Value, missing: Meaning) -> Option<Trouble> {
    let reason = |error: &Value| {
        let reason = error["reason"].as_str()?;
        Some(error["field"].as_str().map_or_else(|| reason.to_owned(), |field| format!("{field}: {reason}")))
    };
    let reasons: Vec<String> = body["errors"].as_array()?.iter().filter_map(reason).collect();
    let (code, text) = (status.to_string(), reasons.join("; "));
    // A token without the scope is told so with the status of one that is unknown.
    let is_scope = status == 401 && text.contains("not authorized");
    Some(match status {
        _ if is_scope => Trouble::of(Class::Denied, &code, &text),
        404 => Trouble::new(missing, &code, &text),
        _ => Trouble::with_status(status, &code, &text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(&play::settings("linode", &[(TOKEN, "right")]), "home.test", &[host], &script, |call| {
            assert_eq!(play::header(call, "authorization"), "Bearer right");
            if call.url.ends_with("/domains") {
                assert_eq!(play::header(call, "x-filter"), r#"{"domain":"home.test"}"#);
            }
        })
        .remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    // As recorded in 2018.
    const DOMAIN: (&str, (u16, &str)) = (
        "GET /domains",
        (
            200,
            r#"{"pages": 1, "page": 1, "data": [{"soa_email": "person1@mail.example", "status": "active", "description": "",
                "refresh_sec": 0, "id": 1065421, "retry_sec": 0, "type": "master", "domain": "home.test", "ttl_sec": 0,
                "master_ips": [], "group": "", "axfr_ips": [], "expire_sec": 0}], "results": 1}"#,
        ),
    );
    const NONE: (u16, &str) = (200, r#"{"pages": 1, "page": 1, "data": [], "results": 0}"#);
    const LOOK: &str = "GET /domains/1065421/records?page=1&page_size=500";
    const MEMORY: &str = "2 home.test home.test id=1065421 A=9295232/120/";
    const CREATE: &str =
        r#"POST /domains/1065421/records {"name":"nas","target":"192.0.2.1","ttl_sec":120,"type":"A"}"#;
    const PUT: &str = r#"PUT /domains/1065421/records/9295232 {"target":"192.0.2.2"}"#;

    fn shown(name: &str, kind: &str, target: &str, ttl: u32) -> String {
        format!(
            r#"{{"priority": 0, "tag": null, "service": null, "id": 9295232, "weight": 0, "name": "{name}",
                "target": "{target}", "port": 0, "type": "{kind}", "ttl_sec": {ttl}, "protocol": null}}"#
        )
    }

    fn list(page: u32, pages: u32, record: &str) -> String {
        format!(r#"{{"pages": {pages}, "page": {page}, "data": [{record}], "results": 1}}"#)
    }

    #[test]
    fn a_new_name_is_looked_at_and_made_and_later_changes_are_one_call() {
        let new = || host("nas.home.test", "192.0.2.1");
        let script = [DOMAIN, (LOOK, NONE), (CREATE, (200, &*shown("nas", "A", "192.0.2.1", 120)))];
        assert_eq!(one(new(), &script), confirmed(MEMORY, 120));
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        assert_eq!(one(later(), &[(PUT, (200, &shown("nas", "A", "192.0.2.2", 120)))]), confirmed(MEMORY, 120));
        for other in [shown("nas", "A", "192.0.2.1", 120), shown("x", "A", "192.0.2.2", 120), "{}".to_owned()] {
            assert_unconfirmed(&one(later(), &[(PUT, (200, &other))]), Class::Bug, true);
        }
    }

    #[test]
    fn ttls_are_rounded_up_to_those_that_there_are() {
        let account = Account { base: String::new(), authorization: HeaderValue::from_static("x") };
        for (standing, asked, ttl) in [
            (None, None, Some(120)),
            (None, Some(1), Some(30)),
            (None, Some(301), Some(3600)),
            (None, Some(9_999_999), Some(2_419_200)),
            (Some(0), None, None),
            (Some(0), Some(60), Some(120)),
            (Some(120), Some(60), None),
        ] {
            let standing = standing.map(|ttl| Known { ttl, ..Known::default() });
            assert_eq!(account.ttl_for(standing.as_ref(), asked), ttl, "{standing:?} {asked:?}");
        }
    }

    #[test]
    fn root_wildcard_removal_and_pages() {
        let create = r#"POST /domains/1065421/records {"name":"","target":"2001:db8::1","ttl_sec":120,"type":"AAAA"}"#;
        let script = [DOMAIN, (LOOK, NONE), (create, (200, &*shown("", "AAAA", "2001:db8::1", 120)))];
        let memory = "2 home.test home.test id=1065421 AAAA=9295232/120/";
        assert_eq!(one(host("home.test", "2001:db8::1"), &script), confirmed(memory, 120));
        let script = [
            (LOOK, (200, &*list(1, 2, &shown("x", "A", "192.0.2.1", 0)))),
            (
                "GET /domains/1065421/records?page=2&page_size=500",
                (200, &*list(2, 2, &shown("*.lan", "A", "192.0.2.1", 0))),
            ),
            ("DELETE /domains/1065421/records/9295232", (200, "{}")),
        ];
        let gone = host_after("*.lan.home.test", "192.0.2.1", MEMORY, "");
        assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=1065421", 0));
    }

    #[test]
    fn refusals_are_told_apart() {
        let error = |reason: &str| format!(r#"{{"errors": [{{"reason": "{reason}"}}]}}"#);
        let new = || host("nas.home.test", "192.0.2.1");
        for (status, reason, class, word) in [
            (401, "Invalid Token", Class::Auth, "check token"),
            (401, "Your OAuth token is not authorized to use this endpoint.", Class::Denied, "scope"),
            (403, "Unauthorized", Class::Auth, "Unauthorized"),
        ] {
            assert_refused(&one(new(), &[(DOMAIN.0, (status, &error(reason)))]), class, word);
        }
        assert_refused(&one(new(), &[(DOMAIN.0, NONE)]), Class::NoZone, "home.test");
        let cname = list(1, 1, &shown("nas", "CNAME", "elsewhere.test", 0));
        assert_refused(&one(new(), &[DOMAIN, (LOOK, (200, &cname))]), Class::Invalid, "CNAME");
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        let wrong = r#"{"errors": [{"field": "target", "reason": "Must be a valid IPv4 address"}]}"#;
        assert_refused(&one(later(), &[(PUT, (400, wrong))]), Class::Invalid, "target: Must be");
        assert_unconfirmed(&one(later(), &[(PUT, (429, &error("Too many requests")))]), Class::Rate, false);
        assert_unconfirmed(&one(later(), &[(PUT, (503, &error("Unavailable")))]), Class::Down, true);
        // A record that somebody removed is made again.
        let create = CREATE.replace("192.0.2.1", "192.0.2.2");
        let answer = shown("nas", "A", "192.0.2.2", 120);
        let script = [(PUT, (404, &*error("Not found"))), (LOOK, NONE), (&create, (200, &answer))];
        assert_eq!(one(later(), &script), confirmed(MEMORY, 120));
    }

    #[test]
    fn spelling_and_what_is_left_out_make_no_difference() {
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        let short = r#"{"id": "9295232", "name": "NAS", "type": "A", "target": "192.0.2.2", "ttl_sec": "120"}"#;
        assert_eq!(one(later(), &[(PUT, (200, short))]), confirmed(MEMORY, 120));
        let list = r#"{"data": [{"id": 9295232, "name": "nas", "type": "A", "target": "192.0.2.1", "ttl_sec": null}]}"#;
        let gone = host_after("nas.home.test", "192.0.2.1", MEMORY, "");
        let script = [(LOOK, (200, list)), ("DELETE /domains/1065421/records/9295232", (204, ""))];
        assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=1065421", 0));
    }

    /// Recorded from version 4beta.
    #[test]
    fn newer_answers_have_more_members() {
        let shown = r#"{"id": 9295232, "type": "A", "name": "nas", "target": "192.0.2.2", "priority": 0, "weight": 0, "port": 0,
            "service": null, "protocol": null, "ttl_sec": 0, "tag": null, "created": "2018-01-02T03:04:05",
            "updated": "2018-01-02T03:04:05"}"#;
        let later = host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        assert_eq!(one(later, &[(PUT, (200, shown))]), confirmed(&MEMORY.replace("/120/", "/0/"), 0));
    }
}
