//! Scaleway Domains and DNS, v2beta1 (scaleway.com/en/developers/api/domains-and-dns).
//!
//! One `PATCH` takes any number of changes of a zone and makes all or none. A change `set` replaces the records of a
//! name and type, so several hosts go in one call and no id is needed.
//!
//! It never makes a zone: without `disallow_new_zone_creation` a change of an unknown sub-zone would. Records with
//! geographic, weighted or health-checked answers are left alone.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::encode::{absolute, number, query, relative, seconds, secret_header};
use super::records::{Act, Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url, is_same_name,
};

const DEFAULT_ENDPOINT: &str = "https://api.scaleway.com/domain/v2beta1";
/// Scaleway names no limit for this API; a bound of our own, in calls and seconds.
const BUDGET: Budget = Budget::of(&[Window::new(120, 60)]);
/// Records on one page.
const PAGE: u64 = 100;
/// Changes in one call; no limit is documented, this is our own.
const BATCH: usize = 50;
/// What makes a record more than an address.
const DYNAMIC: [&str; 4] = ["geo_ip_config", "http_service_config", "weighted_config", "view_config"];

const SECRET_KEY: &str = "secret_key";
const KEYS: &[Key] =
    &[Key::secret(SECRET_KEY, "The secret key of an API key with the permission DomainsDNSFullAccess.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "scaleway", about: "Scaleway Domains and DNS.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        token: secret_header(SECRET_KEY, settings.credential(SECRET_KEY)?)?,
    }))
}

struct Account {
    base: String,
    token: HeaderValue,
}

impl Account {
    fn call(&self, method: Method, ask: &Ask<'_>, query: &str) -> HttpCall {
        HttpCall::new(method, format!("{}/dns-zones/{}/records{query}", self.base, ask.zone))
            .with(HeaderName::from_static("x-auth-token"), self.token.clone())
    }
}

impl Api for Account {
    fn view(&self, hosts: usize) -> View {
        if hosts > 1 { View::Zone } else { View::Name }
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        60..=604_800
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check secret_key: is it the secret key of an API key, and not expired?",
            Class::Denied => "; give the key the permission DomainsDNSFullAccess in the project of this zone",
            Class::NoZone => "; the zone must exist at Scaleway, in a project that the key may use",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn changes_at_once(&self) -> usize {
        BATCH
    }

    fn writes_sets(&self) -> bool {
        true
    }

    /// At the zone itself the filter is empty, which shows the whole zone.
    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let name = match at.view {
            View::Zone => "",
            View::Family | View::Name => relative(at.hostname, ask.zone, ""),
        };
        let (page, size) = (page.unwrap_or("1"), PAGE.to_string());
        let mut pairs = vec![("page", page), ("page_size", size.as_str())];
        if !name.is_empty() {
            pairs.push(("name", name));
        }
        self.call(Method::GET, ask, &format!("?{}", query(&pairs)))
    }

    fn looked(&self, ask: &Ask<'_>, at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, explain).map_err(Trouble::about_zone)?;
        let list = body["records"].as_array().ok_or_else(|| Trouble::unknown("the list of records cannot be read"))?;
        let mut page = Page::default();
        for value in list {
            let kind = value["type"].as_str().unwrap_or_default();
            let name = absolute(value["name"].as_str().unwrap_or_default(), ask.zone);
            let dynamic = DYNAMIC.into_iter().find(|member| value.get(member).is_some_and(|config| !config.is_null()));
            match (kind, dynamic) {
                ("CNAME" | "ALIAS", _) => page.obstacles.push((name, format!("the name has a {kind} record"))),
                ("A" | "AAAA", Some(dynamic)) => {
                    page.obstacles.push((name, format!("the name has an {kind} record with {dynamic}")));
                }
                _ => page.records.extend(record(value, name, list)),
            }
        }
        let this: u64 = at.page.and_then(|page| page.parse().ok()).unwrap_or(1);
        let is_more = number(&body["total_count"]).is_some_and(|total| total > this * PAGE) && !list.is_empty();
        page.next = is_more.then(|| (this + 1).to_string());
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let part = |change: &Change| {
            let (name, kind) = (relative(&change.hostname, ask.zone, ""), change.family.record_type());
            let fields = json!({ "name": name, "type": kind });
            if change.set().is_empty() {
                return json!({ "delete": { "id_fields": fields } });
            }
            let comments = comments_after(change);
            let one = |address: &std::net::IpAddr| {
                let comment = comments.get(&address.to_string());
                let mut one = json!({ "name": name, "type": kind, "data": address, "ttl": change.ttl() });
                if let Some(comment) = comment {
                    one["comment"] = comment.clone();
                }
                one
            };
            let records: Vec<Value> = change.set().iter().map(one).collect();
            json!({ "set": { "id_fields": fields, "records": records } })
        };
        let changes: Vec<Value> = changes.iter().map(part).collect();
        let body = json!({ "changes": changes, "disallow_new_zone_creation": true, "return_all_records": false });
        self.call(Method::PATCH, ask, "").with_json(&body)
    }

    /// The answer shows the records that were written.
    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read_json(answer, explain)?;
        let list =
            body["records"].as_array().ok_or_else(|| Trouble::unknown("the answer to the write shows nothing"))?;
        let named = |value: &Value| absolute(value["name"].as_str().unwrap_or_default(), ask.zone);
        let records: Vec<Record> = list.iter().filter_map(|value| record(value, named(value), &[])).collect();
        let shown = |change: &Change| {
            let Some(to) = change.to() else { return Ok(Written::default()) };
            let is_it = |record: &&Record| record.address == to && is_same_name(&record.name, &change.hostname);
            let record = records.iter().find(is_it).ok_or_else(|| {
                Trouble::unknown(&format!("the answer to the write does not show {to} at {}", change.hostname))
            })?;
            let note = Some(note(&comments_after(change)));
            Ok(Written { id: None, address: Some(to), ttl: Some(record.known.ttl), note })
        };
        changes.iter().map(shown).collect()
    }
}

/// The comments of a set's records after a change, by address: the changed record keeps its own.
fn comments_after(change: &Change) -> Map<String, Value> {
    let known = change.known().map_or("", |known| &known.note);
    let mut comments: Map<String, Value> = serde_json::from_str(known).unwrap_or_default();
    if let Act::Alter { from: Some(from), to, .. } = &change.act
        && let Some(comment) = comments.remove(&from.to_string())
    {
        comments.insert(to.to_string(), comment);
    }
    comments
}

fn note(comments: &Map<String, Value>) -> Box<str> {
    if comments.is_empty() { "".into() } else { Value::Object(comments.clone()).to_string().into() }
}

/// A record, and with it the comments of all of its set in `list`.
fn record(value: &Value, name: String, list: &[Value]) -> Option<Record> {
    let is_beside = |other: &&Value| other["name"] == value["name"] && other["type"] == value["type"];
    let comment = |other: &Value| {
        let address: std::net::IpAddr = other["data"].as_str()?.parse().ok()?;
        let comment = other["comment"].as_str().filter(|comment| !comment.is_empty())?;
        Some((address.to_string(), Value::from(comment)))
    };
    let comments = list.iter().filter(is_beside).filter_map(comment).collect();
    let ttl = seconds(&value["ttl"]).unwrap_or(0);
    let known = Known { id: "".into(), ttl, note: note(&comments) };
    Record::read(name, value["type"].as_str()?, value["data"].as_str()?, known)
}

/// `{"type": "not_found", "message": "…"}`; an unknown zone is 403 with "domain not found".
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let text = body["message"].as_str()?;
    let code = body["type"].as_str().unwrap_or("error");
    Some(match (status, code) {
        (403 | 404, _) if text.contains("domain not found") => Trouble::new(Meaning::NoZone, code, text),
        (_, "denied_authentication" | "expired") => Trouble::of(Class::Auth, code, text),
        (_, "permissions_denied") => Trouble::of(Class::Denied, code, text),
        (_, "quotas_exceeded") => Trouble::of(Class::Quota, code, text),
        (_, "transient_state" | "locked") => Trouble::of(Class::Busy, code, text),
        (404, _) => Trouble::new(Meaning::NoZone, code, text),
        _ => Trouble::with_status(status, code, text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    const LOOK: &str = "GET /dns-zones/example.com/records?page=1&page_size=100&name=nas";
    const MEMORY: &str = "2 example.com example.com id= A=/3600/";

    fn all(hosts: &[HostJob], script: &[(String, (u16, String))]) -> Vec<Outcome> {
        play(&play::settings("scaleway", &[(SECRET_KEY, "right")]), "example.com", hosts, script, |call| {
            assert_eq!(play::header(call, "x-auth-token"), "right");
        })
    }

    fn one(host: HostJob, script: &[(String, (u16, String))]) -> Outcome {
        all(&[host], script).remove(0)
    }

    /// `"A nas 192.0.2.1"`, and perhaps a comment, as the API shows it.
    fn shown(short: &str) -> Value {
        let words: Vec<&str> = short.split(' ').collect();
        json!({"id": "9040c49e-4214-abba-7688-2873fec086f6", "data": words[2], "name": words[1], "priority": 0,
            "ttl": 3600, "type": words[0], "comment": words.get(3)})
    }

    fn said(records: &[&str]) -> (u16, String) {
        let records: Vec<Value> = records.iter().map(|short| shown(short)).collect();
        (200, json!({"total_count": records.len(), "records": records}).to_string())
    }

    fn patch(changes: Value) -> String {
        let body = json!({"changes": changes, "disallow_new_zone_creation": true, "return_all_records": false});
        format!("PATCH /dns-zones/example.com/records {body}")
    }

    fn set(short: &str, ttl: u32) -> Value {
        let words: Vec<&str> = short.split(' ').collect();
        let record = json!({"name": words[1], "type": words[0], "data": words[2], "ttl": ttl});
        json!({"set": {"id_fields": {"name": words[1], "type": words[0]}, "records": [record]}})
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    #[test]
    fn a_set_is_looked_at_and_made_and_later_changes_are_one_patch() {
        let script =
            [(LOOK.into(), said(&[])), (patch(json!([set("A nas 192.0.2.1", 60)])), said(&["A nas 192.0.2.1"]))];
        assert_eq!(one(host("nas.example.com", "192.0.2.1"), &script), confirmed(MEMORY, 3600));
        let later = || host_after("nas.example.com", "192.0.2.1", MEMORY, "192.0.2.2");
        let change = patch(json!([set("A nas 192.0.2.2", 3600)]));
        assert_eq!(one(later(), &[(change.clone(), said(&["A nas 192.0.2.2"]))]), confirmed(MEMORY, 3600));
        assert_unconfirmed(&one(later(), &[(change, said(&["A nas 192.0.2.1"]))]), Class::Bug, true);
    }

    #[test]
    fn several_hosts_and_families_go_together() {
        let both = "2 example.com example.com id= A=/60/ AAAA=/60/";
        let hosts = ["a", "b"].map(|name| {
            host_after(&format!("{name}.example.com"), "192.0.2.1,2001:db8::1", both, "192.0.2.2,2001:db8::2")
        });
        let sets = ["A a 192.0.2.2", "AAAA a 2001:db8::2", "A b 192.0.2.2", "AAAA b 2001:db8::2"];
        let change = patch(sets.iter().map(|short| set(short, 60)).collect());
        let outcomes = all(&hosts, &[(change, said(&sets))]);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Confirmed { .. })), "{outcomes:?}");
    }

    #[test]
    fn comments_and_the_values_of_others_stay() {
        let list = said(&["A nas 192.0.2.1 cellar", "A nas 192.0.2.77 attic"]);
        let records = json!([
            {"name": "nas", "type": "A", "data": "192.0.2.2", "ttl": 3600, "comment": "cellar"},
            {"name": "nas", "type": "A", "data": "192.0.2.77", "ttl": 3600, "comment": "attic"}]);
        let change = patch(json!([{"set": {"id_fields": {"name": "nas", "type": "A"}, "records": records}}]));
        let forgotten = host_after("nas.example.com", "192.0.2.1", "", "192.0.2.2");
        let script = [(LOOK.into(), list), (change, said(&["A nas 192.0.2.2", "A nas 192.0.2.77"]))];
        assert_eq!(one(forgotten, &script), confirmed("2 example.com example.com id=", 3600));
        // Later changes remember the comment.
        let memory = |address: &str| format!("2 example.com example.com id= A=/3600/%7B%22{address}%22%3A%22x%22%7D");
        let later = host_after("nas.example.com", "192.0.2.1", &memory("192.0.2.1"), "192.0.2.2");
        let mut change = set("A nas 192.0.2.2", 3600);
        change["set"]["records"][0]["comment"] = json!("x");
        let script = [(patch(json!([change])), said(&["A nas 192.0.2.2 x"]))];
        assert_eq!(one(later, &script), confirmed(&memory("192.0.2.2"), 3600));
    }

    #[test]
    fn root_pages_wildcard_and_removal() {
        let look = |page: &str| format!("GET /dns-zones/example.com/records?page={page}&page_size=100");
        let first = json!({"total_count": 101, "records": [shown("NS  ns0.dom.scw.cloud.")]}).to_string();
        let script = [
            (look("1"), (200, first)),
            (look("2"), said(&["AAAA  2001:0db8::1"])),
            (patch(json!([set("AAAA  2001:db8::2", 3600)])), said(&["AAAA  2001:db8::2"])),
        ];
        let outcome = one(host("example.com", "2001:db8::2"), &script);
        assert_eq!(outcome, confirmed("2 example.com example.com id= AAAA=/3600/", 3600));
        let look = "GET /dns-zones/example.com/records?page=1&page_size=100&name=%2A.lan".to_owned();
        let delete = patch(json!([{"delete": {"id_fields": {"name": "*.lan", "type": "A"}}}]));
        let gone = host_after("*.lan.example.com", "192.0.2.1", MEMORY, "");
        let script = [(look, said(&["A *.lan 192.0.2.1"])), (delete, (200, r#"{"records": []}"#.into()))];
        assert_eq!(one(gone, &script), confirmed("2 example.com example.com id=", 0));
    }

    #[test]
    fn what_is_in_the_way_is_refused() {
        let alias = said(&["CNAME nas elsewhere.example."]);
        let outcome = one(host("nas.example.com", "192.0.2.1"), &[(LOOK.into(), alias)]);
        assert_refused(&outcome, Class::Invalid, "CNAME");
        let mut weighted = shown("A nas 192.0.2.1");
        weighted["weighted_config"] = json!({"weighted_ips": []});
        let list = json!({"total_count": 1, "records": [weighted]}).to_string();
        let outcome = one(host("nas.example.com", "192.0.2.1"), &[(LOOK.into(), (200, list))]);
        assert_refused(&outcome, Class::Invalid, "weighted_config");
    }

    #[test]
    fn refusals_are_told_apart() {
        for (status, body, class, word) in [
            (
                401,
                json!({"type": "denied_authentication", "message": "authentication is denied"}),
                Class::Auth,
                "secret",
            ),
            (
                403,
                json!({"type": "permissions_denied", "message": "insufficient permissions"}),
                Class::Denied,
                "insuff",
            ),
            (403, json!({"message": "domain not found"}), Class::NoZone, "no zone named example.com"),
            (400, json!({"type": "invalid_arguments", "message": "invalid argument(s)"}), Class::Invalid, "argument"),
            (403, json!({"type": "quotas_exceeded", "message": "quota"}), Class::Quota, "quota"),
        ] {
            let script = [(LOOK.to_owned(), (status, body.to_string()))];
            assert_refused(&one(host("nas.example.com", "192.0.2.1"), &script), class, word);
        }
        let locked = json!({"type": "transient_state", "message": "wait"}).to_string();
        let outcome = one(host("nas.example.com", "192.0.2.1"), &[(LOOK.into(), (409, locked))]);
        assert_unconfirmed(&outcome, Class::Busy, false);
    }

    #[test]
    fn numbers_may_be_texts_and_members_missing() {
        let list =
            r#"{"total_count": "1", "records": [{"data": "192.0.2.1", "name": "NAS", "type": "A", "ttl": "3600"}]}"#;
        let forgotten = host_after("nas.example.com", "192.0.2.1", "", "192.0.2.2");
        let change = patch(json!([set("A nas 192.0.2.2", 3600)]));
        let script = [(LOOK.into(), (200, list.to_owned())), (change, (200, list.replace(".2.1", ".2.2")))];
        assert_eq!(one(forgotten, &script), confirmed(MEMORY, 3600));
    }
}
