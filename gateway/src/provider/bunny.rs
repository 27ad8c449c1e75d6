//! bunny.net DNS (docs.bunny.net/reference, section DNS Zone).
//!
//! Zones and records have numbers as ids, and types are numbers. The zone is shown whole. A change sends a record
//! along with everything that was set by hand, because nothing documented says that what is left out stays.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use nicgate_protocol::{Family, Hostname};
use serde_json::{Map, Value, json};

use super::encode::{absolute, is_id, query, relative, scalar, seconds, secret_header};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Trouble, read_json};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url, is_same_name,
};

const DEFAULT_ENDPOINT: &str = "https://api.bunny.net";
/// bunny.net names no limit; a bound of our own, in calls and seconds.
const BUDGET: Budget = Budget::of(&[Window::new(120, 60)]);
/// The types that stand in the way of an address, by their numbers.
const OBSTACLES: [(&str, u64); 5] = [("CNAME", 2), ("Redirect", 5), ("Flatten", 6), ("PullZone", 7), ("Script", 11)];
/// What somebody may have set beside name, type, value and TTL, as the model of the change names it.
const BESIDE: [&str; 11] = [
    "Accelerated",
    "AutoSslIssuance",
    "Comment",
    "EnviromentalVariables",
    "GeolocationLatitude",
    "GeolocationLongitude",
    "LatencyZone",
    "MonitorType",
    "Priority",
    "SmartRoutingType",
    "Weight",
];

const ACCESS_KEY: &str = "access_key";
const KEYS: &[Key] = &[Key::secret(ACCESS_KEY, "The account's API key.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "bunny", about: "bunny.net DNS.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        key: secret_header(ACCESS_KEY, settings.credential(ACCESS_KEY)?)?,
    }))
}

struct Account {
    base: String,
    key: HeaderValue,
}

impl Account {
    fn call(&self, method: Method, path: &str) -> HttpCall {
        HttpCall::new(method, format!("{}/dnszone{path}", self.base))
            .with(HeaderName::from_static("accesskey"), self.key.clone())
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Zone
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        60..=604_800
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth | Class::Denied => "; check access_key: the account's API key, not the one of a storage zone",
            Class::NoZone => "; the account must have a DNS zone of that name",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn find_zone(&self, ask: &Ask<'_>, page: Option<&str>) -> Option<HttpCall> {
        let pairs = [("page", page.unwrap_or("1")), ("perPage", "1000"), ("search", ask.zone.as_str())];
        Some(self.call(Method::GET, &format!("?{}", query(&pairs))))
    }

    /// The search finds also what only contains the name.
    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let body = read_json(answer, explain)?;
        let zones = body["Items"].as_array().ok_or_else(|| Trouble::unknown("the list of zones cannot be read"))?;
        let named = zones.iter().find(|zone| zone["Domain"].as_str().is_some_and(|name| is_same_name(name, ask.zone)));
        let id = named.and_then(|zone| scalar(&zone["Id"])).filter(|id| is_id(id));
        Ok(match (id, body["HasMoreItems"].as_bool(), body["CurrentPage"].as_u64()) {
            (Some(id), _, _) => Found::Zone(id),
            (None, Some(true), Some(page)) => Found::More(page.saturating_add(1).to_string()),
            (None, _, _) => Found::Nothing,
        })
    }

    fn look(&self, ask: &Ask<'_>, _at: &Spot<'_>, _page: Option<&str>) -> HttpCall {
        self.call(Method::GET, &format!("/{}", ask.zone_id))
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, explain).map_err(Trouble::about_zone)?;
        let list = body["Records"].as_array().ok_or_else(|| Trouble::unknown("the list of records cannot be read"))?;
        let mut page = Page::default();
        for value in list {
            let name = absolute(value["Name"].as_str().unwrap_or_default(), ask.zone);
            let is = |word: &str, number: u64| value["Type"] == number || value["Type"] == word;
            if let Some((word, _)) = OBSTACLES.into_iter().find(|(word, number)| is(word, *number)) {
                page.obstacles.push((name, format!("the name has a {word} record")));
            } else if let Some(record) = record(value, ask.zone) {
                if value["Disabled"] == true {
                    // Somebody switched it off; an address in it would be published nowhere.
                    let kind = Family::of(record.address).record_type();
                    page.obstacles.push((name, format!("the name has an {kind} record that is disabled")));
                } else {
                    page.records.push(record);
                }
            }
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let records = format!("/{}/records", ask.zone_id);
        let mut body = change.known().map(beside).unwrap_or_default();
        body.insert("Type".to_owned(), json!(number(change.family)));
        body.insert("Name".to_owned(), json!(relative(&change.hostname, ask.zone, "")));
        body.insert("Value".to_owned(), json!(change.to()));
        body.insert("Ttl".to_owned(), json!(change.ttl()));
        match &change.act {
            Act::Create { .. } => self.call(Method::PUT, &records).with_json(&body.into()),
            Act::Alter { known, .. } => {
                body.insert("Id".to_owned(), json!(known.id.parse::<u64>().ok()));
                self.call(Method::POST, &format!("{records}/{}", known.id)).with_json(&body.into())
            }
            Act::Remove { known, .. } => self.call(Method::DELETE, &format!("{records}/{}", known.id)),
        }
    }

    /// A new record is shown (201); a change and a removal are answered with 204 and nothing. Whatever is shown counts.
    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        // A zone that is gone and a record that is gone look alike; the search for the zone finds out.
        let body = read_json(answer, explain).map_err(Trouble::about_zone)?;
        let known = changes.iter().find_map(Change::known);
        let is_its = |record: &Record| known.is_none_or(|known| known.id == record.known.id);
        match record(&body, ask.zone) {
            Some(record) if is_its(&record) => Ok(vec![Written::shown(record)]),
            None if known.is_some() && body.is_null() => Ok(Written::unechoed(changes)),
            Some(_) | None => Err(Trouble::unknown("the answer to the write does not say that it was made")),
        }
    }
}

fn number(family: Family) -> u64 {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

/// What was set by hand beside a record, as it was seen.
fn beside(known: &Known) -> Map<String, Value> {
    serde_json::from_str(&known.note).unwrap_or_default()
}

/// Types come as numbers, in newer answers as words.
fn record(value: &Value, zone: &Hostname) -> Option<Record> {
    let is_of = |family: &Family| value["Type"] == number(*family) || value["Type"] == family.record_type();
    let family = Family::BOTH.into_iter().find(is_of)?;
    let is_said = |member: &str| match &value[member] {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty() && text != "None",
        Value::Array(list) => !list.is_empty(),
        Value::Object(_) => true,
    };
    let said: Map<String, Value> = BESIDE
        .into_iter()
        .filter(|member| is_said(member))
        .map(|member| (member.to_owned(), value[member].clone()))
        .collect();
    let known = Known {
        id: scalar(&value["Id"]).filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()) && is_id(id))?.into(),
        ttl: seconds(&value["Ttl"]).unwrap_or(0),
        note: if said.is_empty() { "".into() } else { Value::Object(said).to_string().into() },
    };
    let name = absolute(value["Name"].as_str().unwrap_or_default(), zone);
    Record::read(name, family.record_type(), value["Value"].as_str()?, known)
}

/// `{"ErrorKey": "validation_error", "Field": "Value", "Message": "…"}`; of a wrong key only `Message`.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let text = body["Message"].as_str()?;
    let code = body["ErrorKey"].as_str().map_or_else(|| status.to_string(), str::to_owned);
    Some(Trouble::with_status(status, &code, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    const FIND: &str = "GET /dnszone?page=1&perPage=1000&search=home.test";
    const ZONES: &str = r#"{"Items": [{"Id": 6, "Domain": "myhome.test"}, {"Id": 7, "Domain": "home.test"}],
        "CurrentPage": 1, "TotalItems": 2, "HasMoreItems": false}"#;
    const LOOK: &str = "GET /dnszone/7";
    const CREATE: &str = r#"PUT /dnszone/7/records {"Name":"nas","Ttl":60,"Type":0,"Value":"192.0.2.1"}"#;
    const CHANGE: &str = r#"POST /dnszone/7/records/15 {"Id":15,"Name":"nas","Ttl":300,"Type":0,"Value":"192.0.2.2"}"#;
    const MEMORY: &str = "2 home.test home.test id=7 A=15/300/";

    fn one(host: HostJob, script: &[(&str, (u16, String))]) -> Outcome {
        play(&play::settings("bunny", &[(ACCESS_KEY, "right")]), "home.test", &[host], script, |call| {
            assert_eq!(play::header(call, "accesskey"), "right");
        })
        .remove(0)
    }

    fn shown(name: &str, kind: u64, value: &str) -> Value {
        json!({"Id": 15, "Type": kind, "Ttl": 300, "Value": value, "Name": name, "Weight": 0, "Priority": 0, "Port": 0,
            "Flags": 0, "Tag": "", "Accelerated": false, "AcceleratedPullZoneId": 0, "LinkName": "", "MonitorStatus": 0,
            "MonitorType": 0, "GeolocationLatitude": 0.0, "GeolocationLongitude": 0.0, "EnviromentalVariables": [],
            "LatencyZone": null, "SmartRoutingType": 0, "Disabled": false, "Comment": null})
    }

    fn zone(records: Value) -> (u16, String) {
        (200, json!({"Id": 7, "Domain": "home.test", "Records": records}).to_string())
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    fn later() -> HostJob {
        host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2")
    }

    #[test]
    fn a_new_record_is_made_and_a_later_change_is_one_post() {
        let made = (201, shown("nas", 0, "192.0.2.1").to_string());
        let script = [(FIND, (200, ZONES.into())), (LOOK, zone(json!([]))), (CREATE, made)];
        assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 300));
        assert_eq!(one(later(), &[(CHANGE, (204, String::new()))]), confirmed(MEMORY, 300));
        assert_unconfirmed(&one(later(), &[(CHANGE, (200, "{}".into()))]), Class::Bug, true);
    }

    #[test]
    fn what_was_set_by_hand_goes_along() {
        let mut record = shown("", 1, "2001:0DB8::1");
        record["Comment"] = json!("cellar");
        record["Weight"] = json!(100);
        let change = r#"POST /dnszone/7/records/15 {"Comment":"cellar","Id":15,"Name":"","Ttl":300,"Type":1,"Value":"2001:db8::2","Weight":100}"#;
        let script = [(FIND, (200, ZONES.into())), (LOOK, zone(json!([record]))), (change, (204, String::new()))];
        let outcome = one(host("home.test", "2001:db8::2"), &script);
        let note = "%7B%22Comment%22%3A%22cellar%22%2C%22Weight%22%3A100%7D";
        assert_eq!(outcome, confirmed(&format!("2 home.test home.test id=7 AAAA=15/300/{note}"), 300));
    }

    #[test]
    fn pages_of_zones_removal_and_what_is_in_the_way() {
        let first = r#"{"Items": [], "CurrentPage": 1, "HasMoreItems": true}"#.to_owned();
        let second = "GET /dnszone?page=2&perPage=1000&search=home.test";
        let mut off = shown("nas", 0, "192.0.2.1");
        off["Disabled"] = json!(true);
        for (record, word) in [(shown("nas", 2, "elsewhere.example"), "CNAME"), (off, "disabled")] {
            let script = [(FIND, (200, first.clone())), (second, (200, ZONES.into())), (LOOK, zone(json!([record])))];
            assert_refused(&one(host("nas.home.test", "192.0.2.1"), &script), Class::Invalid, word);
        }
        let gone = host_after("*.lan.home.test", "192.0.2.1", MEMORY, "");
        let list = zone(json!([shown("*.lan", 0, "192.0.2.1")]));
        let script = [(LOOK, list), ("DELETE /dnszone/7/records/15", (204, String::new()))];
        assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=7", 0));
    }

    #[test]
    fn answers_in_other_words_are_read() {
        let mut record = shown("nas", 0, "192.0.2.2");
        for (member, value) in [("Id", json!("15")), ("Type", json!("A")), ("Ttl", json!("300"))] {
            record[member] = value;
        }
        for (status, body) in [(200, String::new()), (200, record.to_string())] {
            assert_eq!(one(later(), &[(CHANGE, (status, body))]), confirmed(MEMORY, 300));
        }
        record["Id"] = json!(16);
        assert_unconfirmed(&one(later(), &[(CHANGE, (200, record.to_string()))]), Class::Bug, true);
        let endless = format!(r#"{{"Items": [], "CurrentPage": {0}, "HasMoreItems": true}}"#, u64::MAX);
        let far = FIND.replace("page=1", &format!("page={}", u64::MAX));
        let script = [(FIND, (200, endless)), (far.as_str(), (401, String::new()))];
        assert_refused(&one(host("nas.home.test", "192.0.2.1"), &script), Class::Auth, "access_key");
    }

    #[test]
    fn refusals_are_told_apart() {
        let invalid = r#"{"ErrorKey": "validation_error", "Field": "Value", "Message": "The value is not valid."}"#;
        assert_refused(&one(later(), &[(CHANGE, (400, invalid.into()))]), Class::Invalid, "not valid");
        let wrong = (401, r#"{"Message": "Authorization has been denied for this request."}"#.to_owned());
        assert_refused(&one(later(), &[(CHANGE, wrong)]), Class::Auth, "access_key");
        let unseen = one(host("nas.home.test", "192.0.2.1"), &[(FIND, (200, r#"{"Items": []}"#.into()))]);
        assert_refused(&unseen, Class::NoZone, "no zone named home.test");
        let gone = (404, String::new());
        let again = CREATE.replace(".1\"", ".2\"");
        let made = (201, shown("nas", 0, "192.0.2.2").to_string());
        let script = [(CHANGE, gone), (FIND, (200, ZONES.into())), (LOOK, zone(json!([]))), (again.as_str(), made)];
        assert_eq!(one(later(), &script), confirmed(MEMORY, 300));
    }
}
