//! Hetzner DNS, by the Cloud API, version 1 (docs.hetzner.cloud/reference/cloud, Zones and Zone RRSets).
//!
//! Records of one name and type are one set. `set_records` replaces its values, `change_ttl` its TTL: two calls. A zone
//! is addressed by its name, so a change is one call also after everything was forgotten but what stood there. Values
//! have comments, which `set_records` forgets unless they are sent along.
//!
//! Changes are actions that run for a moment after the answer. Their end is not awaited: Hetzner checks a change before
//! it answers, and an action that has failed already is no success.
//!
//! The older DNS Console (dns.hetzner.com) is another API and not spoken here.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nicgate_protocol::Family;
use serde_json::{Map, Value, json};

use super::encode::{absolute, bearer, number, query, relative, seconds, segment};
use super::records::{Act, Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json, says_nothing};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://api.hetzner.cloud/v1";
/// Sets on one page; the API's most.
const PAGE: &str = "50";
/// 3,600 calls an hour per project (reference, Rate Limiting).
const BUDGET: Budget = Budget::of(&[Window::new(3600, 3600)]);
/// The comment of the record that is ours, in [`Known::note`]; those of others go by their addresses.
const OURS: &str = "";

const TOKEN: &str = "token";
const KEYS: &[Key] =
    &[Key::secret(TOKEN, "An API token of the project that holds the zone, with read and write rights.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "hetzner", about: "Hetzner DNS, by the Cloud API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Project {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        authorization: bearer(settings, TOKEN)?,
    }))
}

struct Project {
    base: String,
    authorization: HeaderValue,
}

impl Project {
    fn call(&self, method: Method, ask: &Ask<'_>, below: &str) -> HttpCall {
        let url = format!("{}/zones/{}/rrsets{below}", self.base, ask.zone);
        HttpCall::new(method, url).with(AUTHORIZATION, self.authorization.clone())
    }
}

impl Api for Project {
    fn view(&self, _hosts: usize) -> View {
        View::Name
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        60..=2_147_483_647
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn tells_rights_apart(&self) -> bool {
        true
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check token: is it whole, and of the Cloud Console rather than of the old DNS Console?",
            Class::Denied => "; the token must be allowed to write, the zone be a primary one, and the set unprotected",
            Class::NoZone => "; the zone must be in the project of the token",
            Class::Quota => "; a limit of the project is reached",
            Class::Invalid | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn writes_sets(&self) -> bool {
        true
    }

    fn changes_ttl_apart(&self) -> bool {
        true
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let name = relative(at.hostname, ask.zone, "@");
        let query = query(&[("name", name), ("page", page.unwrap_or("1")), ("per_page", PAGE)]);
        self.call(Method::GET, ask, &format!("?{query}"))
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body =
            read_json(answer, |status, body| explain(status, body, Meaning::NoZone)).map_err(Trouble::about_zone)?;
        let unreadable = || Trouble::unknown("the list of records cannot be read");
        let sets = body["rrsets"].as_array().ok_or_else(unreadable)?;
        let next = number(&body["meta"]["pagination"]["next_page"]).map(|page| page.to_string());
        let mut page = Page { next, ..Page::default() };
        for set in sets {
            let (Some(name), Some(kind)) = (set["name"].as_str(), set["type"].as_str()) else {
                return Err(unreadable());
            };
            let name = absolute(name, ask.zone);
            match kind {
                "A" | "AAAA" => page.records.extend(records(set, &name, kind).ok_or_else(unreadable)?),
                "CNAME" => page.obstacles.push((name, "the name has a CNAME record".to_owned())),
                _ => {}
            }
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let (name, kind) = (relative(&change.hostname, ask.zone, "@"), change.family.record_type());
        let set = format!("/{}/{kind}", segment(name));
        if let Act::Create { ttl, .. } = change.act {
            let body = json!({ "name": name, "type": kind, "ttl": ttl, "records": values(change) });
            return self.call(Method::POST, ask, "").with_json(&body);
        }
        if let Some(ttl) = change.new_ttl() {
            return self
                .call(Method::POST, ask, &format!("{set}/actions/change_ttl"))
                .with_json(&json!({ "ttl": ttl }));
        }
        if change.set().is_empty() {
            return self.call(Method::DELETE, ask, &set);
        }
        let body = json!({ "records": values(change) });
        self.call(Method::POST, ask, &format!("{set}/actions/set_records")).with_json(&body)
    }

    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read_json(answer, |status, body| explain(status, body, Meaning::NoRecord))?;
        if changes.iter().all(|change| change.to().is_none()) && says_nothing(&body) {
            return Ok(Written::unechoed(changes));
        }
        let action = &body["action"];
        match action["status"].as_str() {
            Some("running" | "success") => {}
            Some("error") => {
                let text = |member: &str| action["error"][member].as_str().unwrap_or("the change failed");
                return Err(Trouble::of(Class::Down, text("code"), text("message")));
            }
            Some(_) | None => return Err(Trouble::unknown("the answer to the write does not say that it was made")),
        }
        let shown = |change: &Change| {
            let values = body["rrset"]["records"].as_array()?;
            let mut addresses = values.iter().filter_map(|value| value["value"].as_str()?.parse::<IpAddr>().ok());
            // Any that is not what was written tells that it does not stand.
            addresses.clone().find(|address| Some(*address) == change.to()).or_else(|| addresses.next())
        };
        let written = |change| Written { address: shown(change), ..Written::default() };
        Ok(changes.iter().map(written).collect())
    }
}

/// The addresses of a set. One that cannot be read would be lost with the next write, so then there are none.
fn records(set: &Value, name: &str, kind: &str) -> Option<Vec<Record>> {
    // Sets without a TTL have that of the zone, which is not shown here: 0 stays 0 until another is asked for.
    let ttl = if set["ttl"].is_null() { 0 } else { seconds(&set["ttl"])? };
    let value = |value: &Value| {
        let address = value["value"].as_str()?.parse::<IpAddr>().ok()?;
        let comment = value["comment"].as_str().unwrap_or_default().to_owned();
        (Family::of(address).record_type() == kind).then_some((address, comment))
    };
    let values: Vec<(IpAddr, String)> = set["records"].as_array()?.iter().map(value).collect::<Option<_>>()?;
    let known = |ours: IpAddr| {
        let key = |address: IpAddr| if address == ours { OURS.to_owned() } else { address.to_string() };
        let commented = values.iter().filter(|(_, comment)| !comment.is_empty());
        let note: Map<String, Value> = commented.map(|(at, comment)| (key(*at), json!(comment))).collect();
        let note = if note.is_empty() { String::new() } else { Value::Object(note).to_string() };
        Known { ttl, note: note.into(), ..Known::default() }
    };
    let record = |address| Record { name: name.to_owned(), address, known: known(address) };
    Some(values.iter().map(|(address, _)| record(*address)).collect())
}

/// The whole set after a change, each value with the comment that it had.
fn values(change: &Change) -> Vec<Value> {
    let note = change.known().and_then(|known| serde_json::from_str::<Value>(&known.note).ok());
    let comment = |key: &str| note.as_ref()?.get(key)?.as_str();
    let value = |address: IpAddr, key: &str| match comment(key) {
        Some(comment) => json!({ "value": address, "comment": comment }),
        None => json!({ "value": address }),
    };
    let ours = change.to().map(|address| value(address, OURS));
    ours.into_iter().chain(change.others.iter().map(|address| value(*address, &address.to_string()))).collect()
}

/// `{"error": {"code": "not_found", "message": "…", "details": {}}}`; `missing`: what is not there when something is not.
fn explain(status: u16, body: &Value, missing: Meaning) -> Option<Trouble> {
    let (code, text) = (body["error"]["code"].as_str()?, body["error"]["message"].as_str()?);
    let meaning = match code {
        "incorrect_zone_mode" | "protected" | "token_readonly" => Meaning::Plain(Class::Denied),
        "not_found" => missing,
        "resource_limit_exceeded" => Meaning::Plain(Class::Quota),
        "uniqueness_error" => Meaning::Exists,
        _ => return Some(Trouble::with_status(status, code, text)),
    };
    Some(Trouble::new(meaning, code, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(&play::settings("hetzner", &[(TOKEN, "right")]), "home.test", &[host], &script, |call| {
            assert_eq!(play::header(call, "authorization"), "Bearer right");
        })
        .remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    // As recorded in 2026.
    const NONE: (u16, &str) = (
        200,
        r#"{"meta": {"pagination": {"last_page": 1, "next_page": null, "page": 1, "per_page": 25, "previous_page": null,
            "total_entries": 0}}, "rrsets": []}"#,
    );
    const RUNS: (u16, &str) = (
        201,
        r#"{"action": {"id": 604989101983648, "status": "running", "command": "set_rrset_records", "progress": 0,
            "started": "2026-01-13T14:19:21Z", "finished": null, "error": null, "resources": [{"id": 53091, "type": "zone"}]}}"#,
    );
    const LOOK: &str = "GET /zones/home.test/rrsets?name=nas&page=1&per_page=50";
    const MEMORY: &str = "2 home.test home.test id= A=/60/";

    fn list(sets: &str) -> String {
        format!(r#"{{"meta": {{"pagination": {{"next_page": null, "page": 1}}}}, "rrsets": [{sets}]}}"#)
    }

    #[test]
    fn a_new_name_is_looked_at_and_made_and_later_changes_are_one_call() {
        let create =
            r#"POST /zones/home.test/rrsets {"name":"nas","records":[{"value":"192.0.2.1"}],"ttl":60,"type":"A"}"#;
        let made = r#"{"rrset": {"id": "nas/A", "name": "nas", "type": "A", "ttl": 60, "labels": {}, "protection": {"change": false},
            "records": [{"value": "192.0.2.1", "comment": ""}], "zone": 42}, "action": {"id": 1, "status": "running", "error": null}}"#;
        let new = || host("nas.home.test", "192.0.2.1");
        assert_eq!(one(new(), &[(LOOK, NONE), (create, (201, made))]), confirmed(MEMORY, 60));
        let other = made.replace("192.0.2.1", "192.0.2.9");
        assert_unconfirmed(&one(new(), &[(LOOK, NONE), (create, (201, &other))]), Class::Bug, true);
        let set = r#"POST /zones/home.test/rrsets/nas/A/actions/set_records {"records":[{"value":"192.0.2.2"}]}"#;
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        assert_eq!(one(later(), &[(set, RUNS)]), confirmed(MEMORY, 60));
        let failed = r#"{"action": {"id": 1, "status": "error", "error": {"code": "action_failed", "message": "Action failed"}}}"#;
        assert_unconfirmed(&one(later(), &[(set, (201, failed))]), Class::Down, true);
        assert_unconfirmed(&one(later(), &[(set, (201, "{}"))]), Class::Bug, true);
        // Another TTL is a call of its own.
        let ttl = r#"POST /zones/home.test/rrsets/nas/A/actions/change_ttl {"ttl":120}"#;
        let dearer = HostJob { ttl: Some(120), ..later() };
        assert_eq!(one(dearer, &[(set, RUNS), (ttl, RUNS)]), confirmed("2 home.test home.test id= A=/120/", 120));
    }

    #[test]
    fn comments_and_the_values_of_others_stay() {
        let sets = list(
            r#"{"name": "nas", "type": "A", "ttl": null, "records": [{"value": "192.0.2.1", "comment": "the box"},
                {"value": "192.0.2.77", "comment": "spare"}]}, {"name": "nas", "type": "TXT", "records": [{"value": "\"x\""}]}"#,
        );
        let set = r#"POST /zones/home.test/rrsets/nas/A/actions/set_records {"records":[{"comment":"the box","value":"192.0.2.2"},{"comment":"spare","value":"192.0.2.77"}]}"#;
        let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
        let outcome = one(forgotten, &[(LOOK, (200, &sets)), (set, RUNS)]);
        assert_eq!(outcome, confirmed("2 home.test home.test id=", 0));
        let gone = host_after("nas.home.test", "192.0.2.1", "", "");
        let set = r#"POST /zones/home.test/rrsets/nas/A/actions/set_records {"records":[{"comment":"spare","value":"192.0.2.77"}]}"#;
        let outcome = one(gone, &[(LOOK, (200, &sets)), (set, RUNS)]);
        assert_eq!(outcome, confirmed("2 home.test home.test id=", 0));
        // The comment of a value that is ours alone is remembered.
        let memory = "2 home.test home.test id= A=/60/%7B%22%22%3A%22the%20box%22%7D";
        let set = r#"POST /zones/home.test/rrsets/nas/A/actions/set_records {"records":[{"comment":"the box","value":"192.0.2.2"}]}"#;
        let later = host_after("nas.home.test", "192.0.2.1", memory, "192.0.2.2");
        assert_eq!(one(later, &[(set, RUNS)]), confirmed(memory, 60));
    }

    #[test]
    fn root_wildcard_both_families_and_removal() {
        let look = "GET /zones/home.test/rrsets?name=%40&page=1&per_page=50";
        let create = |kind: &str, address: &str| {
            format!(
                r#"POST /zones/home.test/rrsets {{"name":"@","records":[{{"value":"{address}"}}],"ttl":60,"type":"{kind}"}}"#
            )
        };
        let (v4, v6) = (create("A", "192.0.2.1"), create("AAAA", "2001:db8::1"));
        let outcome = one(host("home.test", "192.0.2.1,2001:db8::1"), &[(look, NONE), (&v4, RUNS), (&v6, RUNS)]);
        assert_eq!(outcome, confirmed("2 home.test home.test id= A=/60/ AAAA=/60/", 60));
        let look = "GET /zones/home.test/rrsets?name=%2A.lan&page=1&per_page=50";
        let sets = list(r#"{"name": "*.lan", "type": "A", "ttl": 60, "records": [{"value": "192.0.2.1"}]}"#);
        let gone = host_after("*.lan.home.test", "192.0.2.1", MEMORY, "");
        let delete = "DELETE /zones/home.test/rrsets/*.lan/A";
        let outcome = one(gone, &[(look, (200, &sets)), (delete, RUNS)]);
        assert_eq!(outcome, confirmed("2 home.test home.test id=", 0));
    }

    #[test]
    fn a_cname_is_in_the_way_also_on_a_later_page() {
        let first = NONE.1.replace(r#""next_page": null"#, r#""next_page": 2"#);
        let second = list(r#"{"name": "nas", "type": "CNAME", "ttl": 60, "records": [{"value": "elsewhere.test."}]}"#);
        let more = "GET /zones/home.test/rrsets?name=nas&page=2&per_page=50";
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[(LOOK, (200, &first)), (more, (200, &second))]);
        assert_refused(&outcome, Class::Invalid, "CNAME");
    }

    #[test]
    fn answers_in_other_words_are_read() {
        let sets = list(r#"{"name": "nas", "type": "A", "ttl": "60", "records": [{"value": "192.0.2.1"}]}"#);
        let gone = host_after("nas.home.test", "192.0.2.1", "", "");
        for answer in [RUNS, (204, ""), (200, "")] {
            let script = [(LOOK, (200, &*sets)), ("DELETE /zones/home.test/rrsets/nas/A", answer)];
            assert_eq!(one(gone.clone(), &script), confirmed("2 home.test home.test id=", 0));
        }
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[(LOOK, (404, "{}"))]);
        assert_refused(&outcome, Class::NoZone, "home.test");
    }

    #[test]
    fn refusals_are_told_apart() {
        let error = |code: &str| format!(r#"{{"error": {{"code": "{code}", "message": "said so", "details": {{}}}}}}"#);
        for (status, code, class, word) in [
            (401, "unauthorized", Class::Auth, "check token"),
            (403, "forbidden", Class::Denied, "allowed to write"),
            (404, "not_found", Class::NoZone, "home.test"),
            (400, "invalid_input", Class::Invalid, "said so"),
        ] {
            assert_refused(&one(host("nas.home.test", "192.0.2.1"), &[(LOOK, (status, &error(code)))]), class, word);
        }
        let set = r#"POST /zones/home.test/rrsets/nas/A/actions/set_records {"records":[{"value":"192.0.2.2"}]}"#;
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        for (status, code, class) in [
            (403, "token_readonly", Class::Denied),
            (403, "protected", Class::Denied),
            (422, "incorrect_zone_mode", Class::Denied),
            (422, "resource_limit_exceeded", Class::Quota),
            (422, "invalid_input", Class::Invalid),
        ] {
            assert_refused(&one(later(), &[(set, (status, &error(code)))]), class, "said so");
        }
        for (status, code, class, maybe) in [
            (429, "rate_limit_exceeded", Class::Rate, false),
            (423, "locked", Class::Busy, false),
            (409, "conflict", Class::Busy, false),
            (503, "unavailable", Class::Down, true),
        ] {
            assert_unconfirmed(&one(later(), &[(set, (status, &error(code)))]), class, maybe);
        }
        // A set that somebody removed is made again; one that somebody made is looked at.
        let create =
            r#"POST /zones/home.test/rrsets {"name":"nas","records":[{"value":"192.0.2.2"}],"ttl":60,"type":"A"}"#;
        let outcome = one(later(), &[(set, (404, &error("not_found"))), (LOOK, NONE), (create, RUNS)]);
        assert_eq!(outcome, confirmed(MEMORY, 60));
        let sets =
            list(r#"{"name": "nas", "type": "A", "ttl": 60, "records": [{"value": "192.0.2.2", "comment": null}]}"#);
        let script = [(LOOK, NONE), (create, (409, &*error("uniqueness_error"))), (LOOK, (200, &*sets))];
        assert_eq!(one(host("nas.home.test", "192.0.2.2"), &script), confirmed(MEMORY, 60));
    }
}
