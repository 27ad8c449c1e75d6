//! netcup, the CCP API (ccp.netcup.net/run/webservice/servers/endpoint.php).
//!
//! One URL, and the action in the body. Every conversation logs in and out; a session holds 15 minutes. Records have
//! ids, and several of a zone are changed in one call. The answer shows the whole zone.
//!
//! Records have no TTL of their own: it is the zone's, and is not changed here, whatever `ttl` says. It is asked for once,
//! where the zone is looked for, so that the operator sees it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use nicgate_protocol::Secret;
use serde_json::{Value, json};

use super::encode::{absolute, is_id, number, relative, scalar};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Moment, Provider, ProviderSettings, Window, base_url,
    is_same_name,
};

const DEFAULT_ENDPOINT: &str = "https://ccp.netcup.net/run/webservice/servers/endpoint.php";
/// 180 calls a minute, as the API's own refusal says.
const BUDGET: Budget = Budget::of(&[Window::new(180, 60)]);
/// Changes in one call; no limit is documented, this is our own.
const BATCH: usize = 20;

const CUSTOMER_NUMBER: &str = "customer_number";
const API_KEY: &str = "api_key";
const API_PASSWORD: &str = "api_password";
const KEYS: &[Key] = &[
    Key::text(CUSTOMER_NUMBER, "The customer number, written in quotes."),
    Key::secret(API_KEY, "An API key, made in the customer control panel."),
    Key::secret(API_PASSWORD, "The API password, made in the same place; not the password of the panel."),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "netcup", about: "netcup, by its CCP API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let customer = settings.credential(CUSTOMER_NUMBER)?;
    if !customer.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadSetting { key: CUSTOMER_NUMBER, why: "write the digits alone, as in \"12345\"".to_owned() });
    }
    Ok(Zoned::provider(Account {
        url: format!("{}?JSON", base_url(settings, DEFAULT_ENDPOINT)?),
        customer: customer.to_owned(),
        key: Secret::new(settings.credential(API_KEY)?.to_owned()),
        password: Secret::new(settings.credential(API_PASSWORD)?.to_owned()),
    }))
}

struct Account {
    url: String,
    customer: String,
    key: Secret<String>,
    password: Secret<String>,
}

impl Account {
    fn call(&self, action: &str, mut param: Value) -> HttpCall {
        param["customernumber"] = json!(self.customer);
        param["apikey"] = json!(self.key.expose());
        HttpCall::new(Method::POST, self.url.clone()).with_json(&json!({ "action": action, "param": param }))
    }

    /// A call of a session, about a zone.
    fn ask(&self, ask: &Ask<'_>, action: &str, mut param: Value) -> HttpCall {
        param["apisessionid"] = json!(ask.session);
        param["domainname"] = json!(ask.zone.as_str());
        self.call(action, param)
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Zone
    }

    /// None that could be asked for.
    fn ttls(&self) -> RangeInclusive<u32> {
        0..=0
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check customer_number, api_key and api_password",
            Class::Denied | Class::NoZone => "; the domain must belong to the customer and use netcup's name servers",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn changes_at_once(&self) -> usize {
        BATCH
    }

    fn ttl_for(&self, _standing: Option<&Known>, _asked: Option<u32>) -> Option<u32> {
        None
    }

    fn log_in(&self, _moment: Moment) -> Option<HttpCall> {
        Some(self.call("login", json!({ "apipassword": self.password.expose() })))
    }

    fn logged_in(&self, answer: &Answer) -> Result<String, Trouble> {
        let data = read(answer, Meaning::Plain(Class::Auth))?;
        let session = data["apisessionid"].as_str().filter(|session| !session.is_empty());
        session.map(str::to_owned).ok_or_else(|| Trouble::unknown("the login gave no session"))
    }

    fn find_zone(&self, ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        Some(self.ask(ask, "infoDnsZone", json!({})))
    }

    /// What is remembered in place of an id is the zone's TTL.
    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let data = read(answer, Meaning::Plain(Class::Invalid))?;
        let is_it = data["name"].as_str().is_some_and(|name| is_same_name(name, ask.zone));
        Ok(match scalar(&data["ttl"]) {
            Some(ttl) if is_it => Found::Zone(ttl),
            Some(_) | None => Found::Nothing,
        })
    }

    fn look(&self, ask: &Ask<'_>, _at: &Spot<'_>, _page: Option<&str>) -> HttpCall {
        self.ask(ask, "infoDnsRecords", json!({}))
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let data = read(answer, Meaning::Plain(Class::Invalid))?;
        let list = data["dnsrecords"].as_array();
        let list = list.ok_or_else(|| Trouble::unknown("the list of records cannot be read"))?;
        let alias = |value: &Value| {
            let name = absolute(value["hostname"].as_str()?, ask.zone);
            (value["type"] == "CNAME").then(|| (name, "the name has a CNAME record".to_owned()))
        };
        Ok(Page {
            records: list.iter().filter_map(|value| record(value, ask)).collect(),
            obstacles: list.iter().filter_map(alias).collect(),
            next: None,
        })
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let one = |change: &Change| {
            let destination = match &change.act {
                Act::Create { to, .. } | Act::Alter { to, .. } => to,
                Act::Remove { address, .. } => address,
            };
            let mut one = json!({
                "hostname": relative(&change.hostname, ask.zone, "@"),
                "type": change.family.record_type(),
                "priority": "0",
                "destination": destination,
                "deleterecord": change.to().is_none(),
            });
            if let Some(known) = change.known() {
                one["id"] = json!(&*known.id);
            }
            one
        };
        let records: Vec<Value> = changes.iter().map(one).collect();
        self.ask(ask, "updateDnsRecords", json!({ "dnsrecordset": { "dnsrecords": records } }))
    }

    /// The answer shows the whole zone. Nothing documented says that several changes are made all or none.
    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        // A value that is refused may be an id of yesterday: a look tells.
        let data = read(answer, Meaning::Exists).map_err(|trouble| {
            let maybe_written = trouble.maybe_written || changes.len() > 1;
            Trouble { maybe_written, ..trouble }
        })?;
        let list = data["dnsrecords"].as_array().into_iter().flatten();
        let records: Vec<Record> = list.filter_map(|value| record(value, ask)).collect();
        let shown = |change: &Change| {
            let is_of = |record: &&Record| is_same_name(&record.name, &change.hostname);
            match change.to() {
                None => {
                    let id = change.known().map_or("", |known| &known.id);
                    let is_there = records.iter().any(|record| &*record.known.id == id);
                    if is_there { Err("still shows the record") } else { Ok(Written::default()) }
                }
                Some(to) => {
                    let found = records.iter().filter(is_of).find(|record| record.address == to);
                    found.cloned().map(Written::shown).ok_or("does not show the record")
                }
            }
        };
        let written: Result<Vec<Written>, _> = changes.iter().map(shown).collect();
        written.map_err(|what| Trouble::unknown(&format!("the answer to the write {what}")))
    }

    fn finish(&self, ask: &Ask<'_>, _wrote: bool) -> Option<HttpCall> {
        Some(self.call("logout", json!({ "apisessionid": ask.session })))
    }

    fn is_publication(&self) -> bool {
        false
    }
}

/// `{"id": "405422", "hostname": "@", "type": "A", "priority": "0", "destination": "192.0.2.1", "state": "unknown"}`.
fn record(value: &Value, ask: &Ask<'_>) -> Option<Record> {
    let known = Known {
        id: scalar(&value["id"]).filter(|id| is_id(id))?.into(),
        ttl: ask.zone_id.parse().unwrap_or(0),
        note: "".into(),
    };
    let name = absolute(value["hostname"].as_str()?, ask.zone);
    Record::read(name, value["type"].as_str()?, value["destination"].as_str()?, known)
}

/// `responsedata` of `{"status": "success", "statuscode": 2000, "shortmessage": "…", "longmessage": "…"}`. `otherwise` is
/// what a refusal of unknown code means here.
fn read(answer: &Answer, otherwise: Meaning) -> Result<Value, Trouble> {
    let body = read_json(answer, |_, _| None)?;
    let Some(number) = number(&body["statuscode"]) else {
        return Err(Trouble::unknown("the answer has no statuscode"));
    };
    if number == 2000 && body["status"] == "success" {
        return Ok(body["responsedata"].clone());
    }
    let short = body["shortmessage"].as_str().unwrap_or_default();
    let text = body["longmessage"].as_str().filter(|text| !text.is_empty()).unwrap_or(short);
    let meaning = match number {
        _ if text.contains("requests per minute") || text.contains("Too many error messages") => {
            Meaning::Plain(Class::Rate)
        }
        // The session is gone; the next conversation opens another.
        4001 => Meaning::Plain(Class::Busy),
        5029 => Meaning::NoRecord,
        5031 => Meaning::NoZone,
        4000..=4999 => otherwise,
        5000..=5999 => Meaning::Plain(Class::Down),
        _ => Meaning::Plain(Class::Bug),
    };
    Err(Trouble::new(meaning, &number.to_string(), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome, Setting};

    const MEMORY: &str = "2 zone1.example zone1.example id=86400 A=11758160/86400/";

    fn settings() -> ProviderSettings {
        let mut settings = play::settings("netcup", &[(API_KEY, "right-key"), (API_PASSWORD, "right-word")]);
        settings.set(CUSTOMER_NUMBER, Setting::Text("12345".into()));
        settings
    }

    fn call(action: &str, mut param: Value) -> String {
        param["customernumber"] = json!("12345");
        param["apikey"] = json!("right-key");
        format!("POST ?JSON {}", json!({"action": action, "param": param}))
    }

    fn ask(action: &str, mut param: Value) -> String {
        param["apisessionid"] = json!("s1");
        if action != "logout" {
            param["domainname"] = json!("zone1.example");
        }
        call(action, param)
    }

    fn said(data: Value) -> (u16, String) {
        (
            200,
            json!({"serverrequestid": "x", "clientrequestid": "", "action": "x", "status": "success",
            "statuscode": 2000, "shortmessage": "ok", "longmessage": "ok", "responsedata": data})
            .to_string(),
        )
    }

    fn refused(number: u32, text: &str) -> (u16, String) {
        (
            200,
            json!({"status": "error", "statuscode": number, "shortmessage": "no", "longmessage": text,
            "responsedata": ""})
            .to_string(),
        )
    }

    /// `"11758160 nas A 192.0.2.1"`.
    fn records(shorts: &[&str]) -> (u16, String) {
        let one = |short: &&str| {
            let words: Vec<&str> = short.split(' ').collect();
            json!({"id": words[0], "hostname": words[1], "type": words[2], "priority": "0", "destination": words[3],
                "deleterecord": false, "state": "unknown"})
        };
        said(json!({"dnsrecords": shorts.iter().map(one).collect::<Vec<_>>()}))
    }

    fn update(changes: Value) -> String {
        ask("updateDnsRecords", json!({"dnsrecordset": {"dnsrecords": changes}}))
    }

    fn change(id: Option<&str>, hostname: &str, kind: &str, destination: &str, is_gone: bool) -> Value {
        let mut change = json!({"hostname": hostname, "type": kind, "priority": "0", "destination": destination,
            "deleterecord": is_gone});
        if let Some(id) = id {
            change["id"] = json!(id);
        }
        change
    }

    fn login() -> (String, (u16, String)) {
        (call("login", json!({"apipassword": "right-word"})), said(json!({"apisessionid": "s1"})))
    }

    fn logout() -> (String, (u16, String)) {
        (ask("logout", json!({})), said(json!("")))
    }

    fn zone() -> (String, (u16, String)) {
        let data = json!({"name": "zone1.example", "ttl": "86400", "serial": "2019042071", "dnssecstatus": false});
        (ask("infoDnsZone", json!({})), said(data))
    }

    fn look(shorts: &[&str]) -> (String, (u16, String)) {
        (ask("infoDnsRecords", json!({})), records(shorts))
    }

    fn one(host: HostJob, script: &[(String, (u16, String))]) -> Outcome {
        play(&settings(), "zone1.example", &[host], script, |_| ()).remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    fn later() -> HostJob {
        host_after("nas.zone1.example", "192.0.2.1", MEMORY, "192.0.2.2")
    }

    #[test]
    fn a_session_a_look_a_change_and_out() {
        let script = [
            login(),
            zone(),
            look(&["405422 @ A 203.0.113.10", "405423 www CNAME @"]),
            (
                update(json!([change(None, "nas", "A", "192.0.2.1", false)])),
                records(&["405422 @ A 203.0.113.10", "11758160 nas A 192.0.2.1"]),
            ),
            logout(),
        ];
        assert_eq!(one(host("nas.zone1.example", "192.0.2.1"), &script), confirmed(MEMORY, 86400));
        let put = update(json!([change(Some("11758160"), "nas", "A", "192.0.2.2", false)]));
        let made = (put.clone(), records(&["11758160 nas A 192.0.2.2"]));
        assert_eq!(one(later(), &[login(), made, logout()]), confirmed(MEMORY, 86400));
        let not_made = (put, records(&["11758160 nas A 192.0.2.1"]));
        assert_unconfirmed(&one(later(), &[login(), not_made]), Class::Bug, true);
    }

    #[test]
    fn both_families_go_together_and_removal_names_what_it_removes() {
        let memory = "2 zone1.example zone1.example id=300 A=1/300/ AAAA=2/300/";
        let both = host_after("zone1.example", "192.0.2.1,2001:db8::1", memory, "192.0.2.2,2001:db8::2");
        let changes = json!([
            change(Some("1"), "@", "A", "192.0.2.2", false),
            change(Some("2"), "@", "AAAA", "2001:db8::2", false)
        ]);
        let made = records(&["1 @ A 192.0.2.2", "2 @ AAAA 2001:0db8::2"]);
        assert_eq!(one(both, &[login(), (update(changes), made), logout()]), confirmed(memory, 300));
        let gone = host_after("*.lan.zone1.example", "192.0.2.1", MEMORY, "");
        let list = ["7 *.lan A 192.0.2.1", "8 nas A 192.0.2.8"];
        let remove = update(json!([change(Some("7"), "*.lan", "A", "192.0.2.1", true)]));
        let script = [login(), look(&list), (remove.clone(), records(&list[1..])), logout()];
        assert_eq!(one(gone.clone(), &script), confirmed("2 zone1.example zone1.example id=86400", 0));
        let script = [login(), look(&list), (remove, records(&list))];
        assert_unconfirmed(&one(gone, &script), Class::Bug, true);
    }

    #[test]
    fn refusals_are_told_apart() {
        let (enter, _) = login();
        for (number, text, class) in
            [(4013, "Validation Error", Class::Auth), (4011, "The api password is wrong", Class::Auth)]
        {
            assert_refused(&one(later(), &[(enter.clone(), refused(number, text))]), class, "api_password");
        }
        let slow = refused(4013, "More than 180 requests per minute. Please wait and retry later.");
        assert_unconfirmed(&one(later(), &[(enter, slow)]), Class::Rate, false);
        let put = update(json!([change(Some("11758160"), "nas", "A", "192.0.2.2", false)]));
        let bad = || (put.clone(), refused(4013, "Validation Error."));
        let list = || look(&["11758160 nas A 192.0.2.1"]);
        assert_refused(&one(later(), &[login(), bad(), list(), bad(), logout()]), Class::Invalid, "Validation");
        let lost = (put.clone(), refused(4001, "The session id is not in a valid format."));
        assert_unconfirmed(&one(later(), &[login(), lost, logout()]), Class::Busy, false);
        let (find, _) = zone();
        let unseen = [login(), (find, refused(5031, "Can not get DNS zone")), logout()];
        assert_refused(&one(host("nas.zone1.example", "192.0.2.1"), &unseen), Class::NoZone, "no zone named");
        let alias = [login(), zone(), look(&["405423 nas CNAME @"]), logout()];
        assert_refused(&one(host("nas.zone1.example", "192.0.2.1"), &alias), Class::Invalid, "CNAME");
    }

    #[test]
    fn the_ttl_is_the_zones() {
        let asked = HostJob { ttl: Some(60), ..later() };
        let put = update(json!([change(Some("11758160"), "nas", "A", "192.0.2.2", false)]));
        let script = [login(), (put, records(&["11758160 nas A 192.0.2.2"])), logout()];
        assert_eq!(one(asked, &script), confirmed(MEMORY, 86400));
        let mut named = settings();
        named.set(CUSTOMER_NUMBER, Setting::Text("me".into()));
        assert_eq!(named.open().err().map(|bad| bad.key), Some(CUSTOMER_NUMBER));
    }

    #[test]
    fn a_number_may_be_a_text_and_a_name_in_capitals() {
        let put = update(json!([change(Some("11758160"), "nas", "A", "192.0.2.2", false)]));
        let made = |status| {
            let (code, text) = records(&["11758160 NAS A 192.0.2.2"]);
            (code, text.replace("2000", r#""2000""#).replace("success", status))
        };
        let outcome = one(later(), &[login(), (put.clone(), made("success")), logout()]);
        assert_eq!(outcome, confirmed(MEMORY, 86400));
        assert!(matches!(one(later(), &[login(), (put, made("started"))]), Outcome::Unconfirmed { .. }));
    }
}
