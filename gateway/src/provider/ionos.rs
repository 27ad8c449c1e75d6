//! IONOS DNS for hosted domains (developer.hosting.ionos.com/docs/dns); not the DNS of IONOS Cloud, which has another
//! API.
//!
//! Zones and records have ids; a record is changed by `PUT`. Names are whole names everywhere.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::encode::{is_id, query, scalar, seconds, secret_header};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url, is_same_name,
};

const DEFAULT_ENDPOINT: &str = "https://api.hosting.ionos.com/dns/v1";
/// IONOS names no limit; a bound of our own, in calls and seconds.
const BUDGET: Budget = Budget::of(&[Window::new(60, 60)]);

const API_KEY: &str = "api_key";
const KEYS: &[Key] =
    &[Key::secret(API_KEY, "The API key: public prefix and secret, with a dot between them (prefix.secret).")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "ionos", about: "IONOS, DNS of hosted domains.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let key = settings.credential(API_KEY)?;
    if !key.split_once('.').is_some_and(|(prefix, secret)| !prefix.is_empty() && !secret.is_empty()) {
        let why = "write the public prefix, a dot and the secret, as in \"prefix.secret\"".to_owned();
        return Err(BadSetting { key: API_KEY, why });
    }
    Ok(Zoned::provider(Account { base: base_url(settings, DEFAULT_ENDPOINT)?, key: secret_header(API_KEY, key)? }))
}

struct Account {
    base: String,
    key: HeaderValue,
}

impl Account {
    fn call(&self, method: Method, path: &str) -> HttpCall {
        HttpCall::new(method, format!("{}{path}", self.base))
            .with(HeaderName::from_static("x-api-key"), self.key.clone())
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Name
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        60..=604_800
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check api_key: prefix and secret with a dot between them",
            Class::Denied | Class::NoZone => "; the domain must belong to the contract of the key and use IONOS DNS",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn find_zone(&self, _ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        Some(self.call(Method::GET, "/zones"))
    }

    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let body = read_json(answer, explain)?;
        let zones = body.as_array().filter(|zones| zones.iter().all(Value::is_object));
        let zones = zones.ok_or_else(|| Trouble::unknown("the list of zones cannot be read"))?;
        let named = zones.iter().find(|zone| zone["name"].as_str().is_some_and(|name| is_same_name(name, ask.zone)));
        let Some(zone) = named else { return Ok(Found::Nothing) };
        let id = scalar(&zone["id"]).filter(|id| is_id(id));
        id.map(Found::Zone).ok_or_else(|| Trouble::unknown("the id of the zone cannot be read"))
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, _page: Option<&str>) -> HttpCall {
        let name = query(&[("recordName", at.hostname.as_str())]);
        self.call(Method::GET, &format!("/zones/{}?{name}", ask.zone_id))
    }

    fn looked(&self, _ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, explain).map_err(Trouble::about_zone)?;
        // A zone in which nothing fits may come without a list.
        let list = match body["records"].as_array() {
            Some(list) => list.as_slice(),
            None if body["records"].is_null() && body["name"].is_string() => &[],
            None => return Err(Trouble::unknown("the list of records cannot be read")),
        };
        let mut page = Page::default();
        for value in list {
            let (Some(name), Some(kind)) = (value["name"].as_str(), value["type"].as_str()) else { continue };
            match kind {
                "CNAME" => page.obstacles.push((name.to_owned(), "the name has a CNAME record".to_owned())),
                // Somebody switched it off; an address in it would be published nowhere.
                "A" | "AAAA" if value["disabled"] == true => {
                    page.obstacles.push((name.to_owned(), format!("the name has an {kind} record that is disabled")));
                }
                _ => page.records.extend(record(value)),
            }
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let records = format!("/zones/{}/records", ask.zone_id);
        let mut body = json!({ "content": change.to(), "ttl": change.ttl(), "prio": 0, "disabled": false });
        match &change.act {
            Act::Create { .. } => {
                body["name"] = json!(change.hostname.as_str());
                body["type"] = json!(change.family.record_type());
                self.call(Method::POST, &records).with_json(&json!([body]))
            }
            Act::Alter { known, .. } => self.call(Method::PUT, &format!("{records}/{}", known.id)).with_json(&body),
            Act::Remove { known, .. } => self.call(Method::DELETE, &format!("{records}/{}", known.id)),
        }
    }

    /// New records are shown as a list (201), a changed one alone; a removal has no body.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read_json(answer, explain)?;
        let [change] = changes else { unreachable!("one change at a time") };
        let shown =
            || record(body.get(0).unwrap_or(&body)).filter(|record| is_same_name(&record.name, &change.hostname));
        match &change.act {
            Act::Remove { .. } => Ok(Written::unechoed(changes)),
            Act::Create { .. } | Act::Alter { .. } => match shown() {
                Some(record) => Ok(vec![Written::shown(record)]),
                None => Err(Trouble::unknown("the answer to the write does not show the record")),
            },
        }
    }
}

fn record(value: &Value) -> Option<Record> {
    let id = scalar(&value["id"]).filter(|id| is_id(id))?;
    let ttl = seconds(&value["ttl"]).unwrap_or(0);
    let known = Known { id: id.into(), ttl, note: "".into() };
    Record::read(value["name"].as_str()?.to_owned(), value["type"].as_str()?, value["content"].as_str()?, known)
}

/// `[{"code": "INVALID_RECORD", "message": "…", "parameters": {…}}]`, sometimes without the brackets.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let first = body.get(0).unwrap_or(body);
    let code = first["code"].as_str()?;
    let text = first["message"].as_str().unwrap_or_default();
    Some(match code {
        "UNAUTHORIZED" if status != 403 => Trouble::of(Class::Auth, code, text),
        "RECORD_NOT_FOUND" => Trouble::new(Meaning::NoRecord, code, text),
        _ if status == 404 => Trouble::new(Meaning::NoZone, code, text),
        _ => Trouble::with_status(status, code, text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    const ZONES: &str = r#"[{"name": "example.com", "id": "77f076a3-34e2", "type": "NATIVE"}]"#;
    const FIND: (&str, (u16, &str)) = ("GET /zones", (200, ZONES));
    const LOOK: &str = "GET /zones/77f076a3-34e2?recordName=nas.example.com";
    const EMPTY: &str = r#"{"name": "example.com", "id": "77f076a3-34e2", "type": "NATIVE", "records": []}"#;
    const RECORD: &str = r#"{"name": "nas.example.com", "rootName": "example.com", "type": "A",
        "content": "192.0.2.1", "changeDate": "2024-11-28T13:45:43.504Z", "ttl": 3600, "disabled": false, "id": "4babe6f6"}"#;
    const PUT: &str = concat!(
        "PUT /zones/77f076a3-34e2/records/4babe6f6 ",
        r#"{"content":"192.0.2.2","disabled":false,"prio":0,"ttl":3600}"#
    );
    const MEMORY: &str = "2 example.com example.com id=77f076a3-34e2 A=4babe6f6/3600/";

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(&play::settings("ionos", &[(API_KEY, "prefix.secret")]), "example.com", &[host], &script, |call| {
            assert_eq!(play::header(call, "x-api-key"), "prefix.secret");
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
    fn a_new_record_is_made_and_a_later_change_is_one_put() {
        let create = concat!(
            "POST /zones/77f076a3-34e2/records ",
            r#"[{"content":"192.0.2.1","disabled":false,"name":"nas.example.com","prio":0,"ttl":60,"type":"A"}]"#
        );
        let made = format!("[{RECORD}]");
        let script = [FIND, (LOOK, (200, EMPTY)), (create, (201, made.as_str()))];
        assert_eq!(one(host("nas.example.com", "192.0.2.1"), &script), confirmed(MEMORY, 3600));
        let changed = RECORD.replace("192.0.2.1", "192.0.2.2");
        assert_eq!(one(later(), &[(PUT, (200, &changed))]), confirmed(MEMORY, 3600));
        assert_unconfirmed(&one(later(), &[(PUT, (200, RECORD))]), Class::Bug, true);
        assert_unconfirmed(&one(later(), &[(PUT, (200, ""))]), Class::Bug, true);
    }

    #[test]
    fn wildcard_removal_and_what_is_in_the_way() {
        let look = "GET /zones/77f076a3-34e2?recordName=%2A.lan.example.com";
        let list = format!(r#"{{"records": [{}]}}"#, RECORD.replace("nas.", "*.lan."));
        let gone = host_after("*.lan.example.com", "192.0.2.1", MEMORY, "");
        let script = [(look, (200, list.as_str())), ("DELETE /zones/77f076a3-34e2/records/4babe6f6", (200, ""))];
        assert_eq!(one(gone, &script), confirmed("2 example.com example.com id=77f076a3-34e2", 0));
        for (from, to, word) in [(r#""A""#, r#""CNAME""#, "CNAME"), ("false", "true", "disabled")] {
            let list = format!(r#"{{"records": [{}]}}"#, RECORD.replace(from, to));
            let outcome = one(host("nas.example.com", "192.0.2.9"), &[FIND, (LOOK, (200, &list))]);
            assert_refused(&outcome, Class::Invalid, word);
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        for (status, body, class, word) in [
            (
                400,
                r#"[{"code": "INVALID_RECORD", "message": "the reason", "parameters": {}}]"#,
                Class::Invalid,
                "reason",
            ),
            (401, r#"[{"code": "UNAUTHORIZED", "message": "not authorized"}]"#, Class::Auth, "api_key"),
            (401, r#"{"code": "UNAUTHORIZED"}"#, Class::Auth, "api_key"),
        ] {
            assert_refused(&one(later(), &[(PUT, (status, body))]), class, word);
        }
        assert_unconfirmed(&one(later(), &[(PUT, (500, r#"[{"code": "INTERNAL_SERVER_ERROR"}]"#))]), Class::Down, true);
        let unseen = one(host("nas.example.com", "192.0.2.1"), &[("GET /zones", (200, "[]"))]);
        assert_refused(&unseen, Class::NoZone, "no zone named example.com");
        let gone = (404, r#"[{"code": "RECORD_NOT_FOUND", "message": "Record does not exist."}]"#);
        let again = RECORD.replace("4babe6f6", "5cacf707").replace("192.0.2.1", "192.0.2.2");
        let list = format!(r#"{{"records": [{again}]}}"#);
        let outcome = one(later(), &[(PUT, gone), (LOOK, (200, &list))]);
        assert_eq!(outcome, confirmed("2 example.com example.com id=77f076a3-34e2 A=5cacf707/3600/", 3600));
    }

    #[test]
    fn a_key_has_two_parts() {
        for (key, is_good) in [("prefix.secret", true), ("prefix", false), (".secret", false), ("prefix.", false)] {
            assert_eq!(play::settings("ionos", &[(API_KEY, key)]).open().is_ok(), is_good, "{key}");
        }
    }

    #[test]
    fn spelling_and_what_is_left_out_make_no_difference() {
        let short =
            r#"{"id": "4babe6f6", "name": "NAS.example.com.", "type": "A", "content": "192.0.2.2", "ttl": "3600"}"#;
        for body in [short.to_owned(), format!("[{short}]")] {
            assert_eq!(one(later(), &[(PUT, (201, &body))]), confirmed(MEMORY, 3600), "{body}");
        }
        let create = concat!(
            "POST /zones/77f076a3-34e2/records ",
            r#"[{"content":"192.0.2.2","disabled":false,"name":"nas.example.com","prio":0,"ttl":60,"type":"A"}]"#
        );
        let bare = r#"{"id": "77f076a3-34e2", "name": "example.com", "type": "NATIVE"}"#;
        let script = [FIND, (LOOK, (200, bare)), (create, (200, short))];
        assert_eq!(one(host("nas.example.com", "192.0.2.2"), &script), confirmed(MEMORY, 3600));
        let odd = one(host("nas.example.com", "192.0.2.2"), &[FIND, (LOOK, (200, "{}"))]);
        assert_unconfirmed(&odd, Class::Bug, false);
    }
}
