//! Gcore Managed DNS, version 2 (gcore.com/docs/api-reference/dns).
//!
//! Records of one name and type are one set, written whole by `POST` when it is new and by `PUT` when it stands. What a
//! set has beside its addresses (meta, filters, pickers, meta of each record) is read once, remembered, and written
//! back: `PUT` would drop it otherwise.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nicgate_protocol::{Family, Hostname};
use serde_json::{Map, Value, json};

use super::encode::{seconds, secret_header, segment};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json, says_nothing};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url, is_same_name,
};

const DEFAULT_ENDPOINT: &str = "https://api.gcore.com/dns/v2";
/// Gcore names no limit for this API; a bound of our own, in calls and seconds.
const BUDGET: Budget = Budget::of(&[Window::new(120, 60)]);
/// What a set may have beside its records and its TTL.
const BESIDE: [&str; 3] = ["filters", "meta", "pickers"];
/// The page of a look where no set stands: whether a CNAME stands there instead.
const ALIASES: &str = "CNAME";

const API_TOKEN: &str = "api_token";
const KEYS: &[Key] = &[Key::secret(API_TOKEN, "A permanent API token of a user who may edit DNS zones.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "gcore", about: "Gcore Managed DNS.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        authorization: secret_header(API_TOKEN, &format!("APIKey {}", settings.credential(API_TOKEN)?))?,
    }))
}

struct Account {
    base: String,
    authorization: HeaderValue,
}

impl Account {
    fn call(&self, method: Method, ask: &Ask<'_>, below: &str) -> HttpCall {
        HttpCall::new(method, format!("{}/zones/{}{below}", self.base, ask.zone))
            .with(AUTHORIZATION, self.authorization.clone())
    }

    fn set(&self, method: Method, ask: &Ask<'_>, hostname: &Hostname, kind: &str) -> HttpCall {
        self.call(method, ask, &format!("/{}/{kind}", segment(hostname.as_str())))
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Family
    }

    /// The free plan takes no less than 120 seconds.
    fn ttls(&self) -> RangeInclusive<u32> {
        120..=604_800
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check api_token: is it whole, and not expired?",
            Class::Denied => "; the token's user must be allowed to edit this zone",
            Class::NoZone => "; the account must have a DNS zone of that name",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn writes_sets(&self) -> bool {
        true
    }

    fn find_zone(&self, ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        Some(self.call(Method::GET, ask, ""))
    }

    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let body = read_json(answer, explain)?;
        match body["name"].as_str() {
            Some(name) if is_same_name(name, ask.zone) => Ok(Found::Zone(String::new())),
            Some(_) | None => Err(Trouble::unknown("the zone cannot be read")),
        }
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        self.set(Method::GET, ask, at.hostname, page.unwrap_or(at.family.record_type()))
    }

    fn looked(&self, _ask: &Ask<'_>, at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = match read_json(answer, explain) {
            Err(trouble) if trouble.meaning == Meaning::NoRecord && at.page.is_none() => {
                return Ok(Page { next: Some(ALIASES.to_owned()), ..Page::default() });
            }
            read => read?,
        };
        let name = at.hostname.as_str();
        if at.page.is_some() {
            let obstacles = vec![(name.to_owned(), "the name has a CNAME record".to_owned())];
            return Ok(Page { obstacles, ..Page::default() });
        }
        let list = body["resource_records"].as_array();
        let list = list.ok_or_else(|| Trouble::unknown("the set of records cannot be read"))?;
        let mut page = Page::default();
        if list.iter().any(|one| one["enabled"] == false) {
            // Somebody switched it off; an address in it would be published nowhere.
            let kind = at.family.record_type();
            page.obstacles.push((name.to_owned(), format!("the name has an {kind} record that is disabled")));
        }
        let known = Known { id: "".into(), ttl: seconds(&body["ttl"]).unwrap_or(0), note: note(&body) };
        // One that cannot be read would be lost with the next write.
        if list.iter().any(|one| !is_of(one, at.family)) {
            return Err(Trouble::unknown("the set has a value that is no address of its type"));
        }
        let record = |address| Record { name: name.to_owned(), address, known: known.clone() };
        page.records.extend(list.iter().flat_map(addresses).map(record));
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let kind = change.family.record_type();
        let Some(body) = set_after(change) else {
            return self.set(Method::DELETE, ask, &change.hostname, kind);
        };
        let method = if change.known().is_some() { Method::PUT } else { Method::POST };
        self.set(method, ask, &change.hostname, kind).with_json(&body)
    }

    /// The answers to `POST` and `PUT` show the set, as an object or as its list of records; that to `DELETE` nothing.
    /// One without a body says no more than its status.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read_json(answer, explain)?;
        let [change] = changes else { unreachable!("one change at a time") };
        let Some(after) = set_after(change) else { return Ok(Written::unechoed(changes)) };
        let note = Some(note(&after));
        if says_nothing(&body) {
            return Ok(vec![Written { note, ..Written::default() }]);
        }
        let list = body.as_array().or_else(|| body["resource_records"].as_array());
        let shown: Vec<IpAddr> = list.into_iter().flatten().flat_map(addresses).collect();
        if let Some(missing) = change.set().into_iter().find(|address| !shown.contains(address)) {
            let text = format!("the answer to the write does not show {missing} at {}", change.hostname);
            return Err(Trouble::unknown(&text));
        }
        Ok(vec![Written { id: None, address: change.to(), ttl: seconds(&body["ttl"]), note }])
    }
}

/// Whether a record of a set holds addresses of a family and nothing else.
fn is_of(record: &Value, family: Family) -> bool {
    let parts = record["content"].as_array().map_or(0, Vec::len);
    let of_family = addresses(record).filter(|address| Family::of(*address) == family).count();
    parts > 0 && parts == of_family
}

/// The addresses of one `{"content": ["192.0.2.1"], "enabled": true, "meta": {…}}`.
fn addresses(record: &Value) -> impl Iterator<Item = IpAddr> {
    record["content"].as_array().into_iter().flatten().filter_map(|part| part.as_str()?.parse().ok())
}

/// What is to be remembered of a set: nothing, where it holds addresses and no more.
fn note(set: &Value) -> Box<str> {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    let mut kept = Map::new();
    for member in BESIDE.into_iter().filter(|member| !is_empty(&set[*member])) {
        kept.insert(member.to_owned(), set[member].clone());
    }
    let records = set["resource_records"].as_array().into_iter().flatten();
    let metas: Map<String, Value> = records
        .filter(|record| !is_empty(&record["meta"]))
        .flat_map(|record| addresses(record).map(|address| (address.to_string(), record["meta"].clone())))
        .collect();
    if !metas.is_empty() {
        kept.insert("metas".to_owned(), metas.into());
    }
    if kept.is_empty() { "".into() } else { Value::Object(kept).to_string().into() }
}

/// The whole set after a change, with everything that stood beside; `None`: nothing is left of it.
fn set_after(change: &Change) -> Option<Value> {
    let known = change.known().map_or("", |known| &known.note);
    let mut set: Map<String, Value> = serde_json::from_str(known).unwrap_or_default();
    let metas = set.remove("metas").unwrap_or_default();
    let record = |address: IpAddr| {
        let before = match &change.act {
            Act::Alter { from: Some(from), to, .. } if *to == address => *from,
            Act::Alter { .. } | Act::Create { .. } | Act::Remove { .. } => address,
        };
        let mut record = json!({ "content": [address], "enabled": true });
        if let Some(meta) = metas.get(before.to_string()) {
            record["meta"] = meta.clone();
        }
        record
    };
    let records: Vec<Value> = change.set().into_iter().map(record).collect();
    if records.is_empty() {
        return None;
    }
    set.insert("resource_records".to_owned(), records.into());
    set.insert("ttl".to_owned(), change.ttl().into());
    Some(set.into())
}

/// `{"error": "record is not found"}`.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let text = body["error"].as_str()?;
    let code = status.to_string();
    Some(match status {
        404 if text.contains("zone") && !text.contains("record") => Trouble::new(Meaning::NoZone, &code, text),
        409 => Trouble::new(Meaning::Exists, &code, text),
        _ => Trouble::with_status(status, &code, text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    const FIND: (&str, (u16, &str)) = ("GET /zones/example.com", (200, r#"{"name": "example.com"}"#));
    const LOOK: &str = "GET /zones/example.com/nas.example.com/A";
    const ALIAS: &str = "GET /zones/example.com/nas.example.com/CNAME";
    const NONE: (u16, &str) = (404, r#"{"error": "record is not found"}"#);
    const PUT: &str = concat!(
        "PUT /zones/example.com/nas.example.com/A ",
        r#"{"resource_records":[{"content":["192.0.2.2"],"enabled":true}],"ttl":120}"#
    );
    const MEMORY: &str = "2 example.com example.com id= A=/120/";

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(&play::settings("gcore", &[(API_TOKEN, "right")]), "example.com", &[host], &script, |call| {
            assert_eq!(play::header(call, "authorization"), "APIKey right");
        })
        .remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    fn later() -> HostJob {
        host_after("nas.example.com", "192.0.2.1", MEMORY, "192.0.2.2")
    }

    #[test]
    fn a_new_set_is_posted_and_a_later_change_is_one_put() {
        let post = concat!(
            "POST /zones/example.com/nas.example.com/A ",
            r#"{"resource_records":[{"content":["192.0.2.1"],"enabled":true}],"ttl":120}"#
        );
        let script = [FIND, (LOOK, NONE), (ALIAS, NONE), (post, (200, r#"[{"content": ["192.0.2.1"]}]"#))];
        assert_eq!(one(host("nas.example.com", "192.0.2.1"), &script), confirmed(MEMORY, 120));
        let shown = r#"{"name": "nas.example.com", "type": "A", "ttl": 120, "meta": {}, "pickers": [], "updated_at": "x",
            "resource_records": [{"content": ["192.0.2.2"], "enabled": true, "id": 42, "meta": {}}]}"#;
        assert_eq!(one(later(), &[(PUT, (200, shown))]), confirmed(MEMORY, 120));
        assert_unconfirmed(&one(later(), &[(PUT, (200, &shown.replace(".2.2", ".2.3")))]), Class::Bug, true);
    }

    #[test]
    fn what_stands_beside_is_kept_now_and_later() {
        let set = |address: &str| {
            let records = json!([{"content": [address], "enabled": true, "meta": {"countries": ["lu"]}}]);
            json!({"filters": [{"limit": 1, "type": "geodns"}], "resource_records": records, "ttl": 300})
        };
        let seen = set("192.0.2.1").to_string();
        let put = |address| format!("PUT /zones/example.com/nas.example.com/A {}", set(address));
        let (first, second) = (put("192.0.2.2"), put("192.0.2.3"));
        let shown = set("192.0.2.2").to_string();
        let script = [FIND, (LOOK, (200, seen.as_str())), (first.as_str(), (200, shown.as_str()))];
        let outcome = one(host("nas.example.com", "192.0.2.2"), &script);
        let Outcome::Confirmed { remembered: Some(memory), .. } = outcome else { panic!("{outcome:?}") };
        let later = host_after("nas.example.com", "192.0.2.2", &memory, "192.0.2.3");
        let outcome = one(later, &[(second.as_str(), (200, &set("192.0.2.3").to_string()))]);
        assert!(matches!(outcome, Outcome::Confirmed { .. }), "{outcome:?}");
    }

    #[test]
    fn the_values_of_others_stay_and_removal_takes_only_ours() {
        let two = r#"{"ttl": 120, "resource_records": [{"content": ["192.0.2.1"]}, {"content": ["192.0.2.77"]}]}"#;
        let put = concat!(
            "PUT /zones/example.com/*.lan.example.com/A ",
            r#"{"resource_records":[{"content":["192.0.2.77"],"enabled":true}],"ttl":120}"#
        );
        let look = "GET /zones/example.com/*.lan.example.com/A";
        let gone = || host_after("*.lan.example.com", "192.0.2.1", MEMORY, "");
        let script = [(look, (200, two)), (put, (200, r#"{"resource_records": [{"content": ["192.0.2.77"]}]}"#))];
        assert_eq!(one(gone(), &script), confirmed("2 example.com example.com id=", 0));
        let alone = r#"{"ttl": 120, "resource_records": [{"content": ["192.0.2.1"]}]}"#;
        let script = [(look, (200, alone)), ("DELETE /zones/example.com/*.lan.example.com/A", (200, "{}"))];
        assert_eq!(one(gone(), &script), confirmed("2 example.com example.com id=", 0));
    }

    #[test]
    fn answers_in_other_words_are_read_and_what_cannot_be_is_not_lost() {
        let set = r#"{"ttl": "120", "filters": null, "resource_records": [{"content": ["192.0.2.1"], "meta": null}]}"#;
        let forgotten = || host_after("nas.example.com", "192.0.2.1", "", "192.0.2.2");
        for answer in [(200, ""), (204, ""), (200, "{}")] {
            assert_eq!(one(forgotten(), &[FIND, (LOOK, (200, set)), (PUT, answer)]), confirmed(MEMORY, 120));
        }
        let other = set.replace("}]}", r#"}, {"content": ["192.0.2"]}]}"#);
        assert_unconfirmed(&one(forgotten(), &[FIND, (LOOK, (200, &other))]), Class::Bug, false);
    }

    #[test]
    fn refusals_are_told_apart() {
        let unseen = (404, r#"{"error": "zone is not found"}"#);
        let outcome = one(host("nas.example.com", "192.0.2.1"), &[("GET /zones/example.com", unseen)]);
        assert_refused(&outcome, Class::NoZone, "no zone named example.com");
        let outcome = one(host("nas.example.com", "192.0.2.1"), &[FIND, (LOOK, NONE), (ALIAS, (200, "{}"))]);
        assert_refused(&outcome, Class::Invalid, "CNAME");
        let off = r#"{"ttl": 120, "resource_records": [{"content": ["192.0.2.9"], "enabled": false}]}"#;
        assert_refused(
            &one(host("nas.example.com", "192.0.2.1"), &[FIND, (LOOK, (200, off))]),
            Class::Invalid,
            "disabled",
        );
        for (status, text, class) in [(401, "invalid token", Class::Auth), (400, "invalid content", Class::Invalid)] {
            let body = json!({ "error": text }).to_string();
            assert_refused(&one(later(), &[(PUT, (status, &body))]), class, text);
        }
        assert_unconfirmed(
            &one(later(), &[(PUT, (409, r#"{"error": "x"}"#)), (LOOK, (500, "{}"))]),
            Class::Down,
            false,
        );
    }
}
