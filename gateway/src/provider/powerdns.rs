//! PowerDNS Authoritative Server, by its HTTP API (doc.powerdns.com/authoritative/http-api).
//!
//! Records of one name and type are one set; a `PATCH` with `REPLACE` writes any number of sets in one transaction and
//! keeps their comments. There are no ids but the zone's, which is its name in a spelling of its own.
//!
//! Not here: making zones, and their DNSSEC and notifications, which the server does by itself after a change.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use nicgate_protocol::{Family, Hostname};
use serde_json::{Value, json};

use super::encode::{percent_encoded, seconds, secret_header};
use super::records::{Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:8081";
/// What the server puts before every path; an operator may write it or leave it out.
const ROOT: &str = "/api/v1";
const DEFAULT_SERVER_ID: &str = "localhost";
/// A bound of ours: the API has none, and its web server works one request after the other.
const BUDGET: Budget = Budget::of(&[Window::new(50, 1)]);
/// Sets in one transaction: fifty hosts with both families.
const CHANGES_AT_ONCE: usize = 100;

const API_KEY: &str = "api_key";
const SERVER_ID: &str = "server_id";
const KEYS: &[Key] = &[
    Key::secret(API_KEY, "The server's api-key."),
    Key::text(SERVER_ID, "The server's id behind a proxy for several; localhost without one.").optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind =
    Kind { word: "powerdns", about: "Your own PowerDNS Authoritative Server, by its HTTP API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let server_id = settings.text(SERVER_ID).map_or(DEFAULT_SERVER_ID, str::trim);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if server_id.is_empty() || !server_id.bytes().all(is_plain) {
        let why = "an id is one word; where no proxy stands before the server it is \"localhost\"".to_owned();
        return Err(BadSetting { key: SERVER_ID, why });
    }
    if settings.ttl.is_some_and(|ttl| i32::try_from(ttl).is_err()) {
        return Err(BadSetting { key: "ttl", why: "a TTL has 31 bits at most (RFC 2181 8)".to_owned() });
    }
    let base = base_url(settings, DEFAULT_ENDPOINT)?;
    let base = base.strip_suffix(ROOT).unwrap_or(&base);
    Ok(Zoned::provider(Account {
        zones: format!("{base}{ROOT}/servers/{server_id}/zones"),
        api_key: secret_header(API_KEY, settings.credential(API_KEY)?)?,
    }))
}

struct Account {
    /// The URL of all zones.
    zones: String,
    api_key: HeaderValue,
}

impl Account {
    fn call(&self, method: Method, zone: &Hostname, query: &str) -> HttpCall {
        let url = format!("{}/{}{query}", self.zones, zone_id(zone));
        HttpCall::new(method, url).with(HeaderName::from_static("x-api-key"), self.api_key.clone())
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Name
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        0..=i32::MAX as u32
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check api_key, and api=yes and api-key in pdns.conf",
            Class::NoZone => "; check server_id, and the zone by `pdnsutil list-all-zones`",
            Class::Denied | Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn changes_at_once(&self) -> usize {
        CHANGES_AT_ONCE
    }

    fn writes_sets(&self) -> bool {
        true
    }

    /// Old versions do not know the filter and show the whole zone.
    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, _page: Option<&str>) -> HttpCall {
        let name = percent_encoded(at.hostname.as_str());
        self.call(Method::GET, ask.zone, &format!("?rrset_name={name}."))
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let zone = read(answer)?;
        let sets = zone["rrsets"].as_array().ok_or_else(|| Trouble::unknown("the zone cannot be read"))?;
        let kind = zone["kind"].as_str().unwrap_or_default();
        // It would take the change, and lose it at the next transfer.
        if matches!(kind, "Slave" | "Secondary" | "Consumer") {
            let text = format!("the server only has a copy of {} ({kind}); write to its primary server", ask.zone);
            return Err(Trouble::of(Class::Denied, "secondary_zone", &text));
        }
        let mut page = Page::default();
        for set in sets {
            let (Some(name), Some(kind)) = (set["name"].as_str(), set["type"].as_str()) else { continue };
            let is_disabled = |record: &Value| record["disabled"] == true;
            if matches!(kind, "ALIAS" | "CNAME" | "LUA") {
                page.obstacles.push((name.to_owned(), format!("the name has a {kind} record")));
            } else if matches!(kind, "A" | "AAAA") && values(set).any(is_disabled) {
                // A set is written whole, and our change would drop them.
                page.obstacles.push((name.to_owned(), format!("the name has {kind} records that are disabled")));
            }
            page.records.extend(records(set, name, kind));
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let sets: Vec<Value> = changes.iter().map(set_after).collect();
        self.call(Method::PATCH, ask.zone, "").with_json(&json!({ "rrsets": sets }))
    }

    /// 204 and no body: "the zone was changed" (openapi, `patchZone`). A proxy may make another status of success of it.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        if read(answer)?.is_null() {
            return Ok(Written::unechoed(changes));
        }
        Err(Trouble::unknown("the answer to the write does not say that it was made"))
    }
}

/// A zone's id in URLs: its name with the final dot, and `=XX` for whatever is neither letter, digit, dot nor hyphen.
fn zone_id(zone: &Hostname) -> String {
    let mut id = String::new();
    for byte in zone.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') {
            id.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(id, "={byte:02X}");
        }
    }
    id + "."
}

/// A set as a change leaves it.
fn set_after(change: &Change) -> Value {
    let (name, kind) = (format!("{}.", change.hostname), change.family.record_type());
    let addresses = change.set();
    if addresses.is_empty() {
        return json!({ "name": name, "type": kind, "changetype": "DELETE" });
    }
    let record = |address: IpAddr| json!({ "content": address, "disabled": false });
    let records: Vec<Value> = addresses.into_iter().map(record).collect();
    json!({ "name": name, "type": kind, "ttl": change.ttl(), "changetype": "REPLACE", "records": records })
}

fn values(set: &Value) -> impl Iterator<Item = &Value> {
    set["records"].as_array().into_iter().flatten()
}

/// The addresses of a set.
fn records(set: &Value, name: &str, kind: &str) -> Vec<Record> {
    let ttl = seconds(&set["ttl"]).unwrap_or(0);
    let addresses = values(set).filter_map(|value| value["content"].as_str()?.parse::<IpAddr>().ok());
    let fitting = addresses.filter(|address| Family::of(*address).record_type() == kind);
    let known = Known { ttl, ..Known::default() };
    fitting.map(|address| Record { name: name.to_owned(), address, known: known.clone() }).collect()
}

fn read(answer: &Answer) -> Result<Value, Trouble> {
    let plain = String::from_utf8_lossy(&answer.body);
    // These come as bare words.
    match (answer.status, plain.trim()) {
        (401, _) => return Err(Trouble::of(Class::Auth, "401", "the server does not accept the key")),
        (404, _) => return Err(Trouble::new(Meaning::NoZone, "404", "")),
        (400, text) if !text.starts_with(['{', '<']) => return Err(Trouble::of(Class::Invalid, "400", text)),
        _ => {}
    }
    read_json(answer, |status, body| {
        let text = body["error"].as_str()?;
        let code = status.to_string();
        // What old versions say instead of 404.
        if status == 422 && text.starts_with("Could not find domain") {
            return Some(Trouble::new(Meaning::NoZone, &code, text));
        }
        Some(Trouble::with_status(status, &code, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome, Setting};

    const ZONE: &str = "GET /api/v1/servers/localhost/zones/home.test.";
    const PATCH: &str = "PATCH /api/v1/servers/localhost/zones/home.test.";
    const DONE: (u16, &str) = (204, "");
    const MEMORY: &str = "2 home.test home.test id= A=/60/";

    fn with(hosts: &[HostJob], script: &[(String, (u16, &str))]) -> Vec<Outcome> {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (asked, (*status, (*body).to_owned()))).collect();
        play(&play::settings("powerdns", &[(API_KEY, "right")]), "home.test", hosts, &script, |call| {
            assert_eq!(play::header(call, "x-api-key"), "right");
        })
    }

    fn one(host: HostJob, script: &[(String, (u16, &str))]) -> Outcome {
        with(&[host], script).remove(0)
    }

    fn look(name: &str) -> String {
        format!("{ZONE}?rrset_name={name}.")
    }

    fn put(name: &str, kind: &str, ttl: u32, addresses: &[&str]) -> String {
        let records: Vec<String> =
            addresses.iter().map(|address| format!(r#"{{"content":"{address}","disabled":false}}"#)).collect();
        format!(
            r#"{{"changetype":"REPLACE","name":"{name}.","records":[{}],"ttl":{ttl},"type":"{kind}"}}"#,
            records.join(",")
        )
    }

    fn patch(sets: &[String]) -> String {
        format!(r#"{PATCH} {{"rrsets":[{}]}}"#, sets.join(","))
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    /// A zone as the server shows it, with these sets: type, TTL, content, whether it is disabled.
    fn zone(kind: &str, sets: &[(&str, u32, &str, bool)]) -> String {
        let set = |(kind, ttl, content, disabled): &(&str, u32, &str, bool)| {
            let records: Vec<Value> =
                content.split(',').map(|content| json!({ "content": content, "disabled": disabled })).collect();
            json!({ "comments": [], "name": "nas.home.test.", "records": records, "ttl": ttl, "type": kind })
        };
        let sets: Vec<Value> = sets.iter().map(set).collect();
        json!({ "api_rectify": false, "id": "home.test.", "kind": kind, "name": "home.test.", "rrsets": sets })
            .to_string()
    }

    #[test]
    fn a_new_name_is_two_calls_and_a_later_change_one() {
        let nothing = zone("Native", &[]);
        let write = patch(&[put("nas.home.test", "A", 60, &["192.0.2.1"])]);
        let outcome =
            one(host("nas.home.test", "192.0.2.1"), &[(look("nas.home.test"), (200, &nothing)), (write, DONE)]);
        assert_eq!(outcome, confirmed(MEMORY, 60));
        let write = patch(&[put("nas.home.test", "A", 60, &["192.0.2.2"])]);
        let later = host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        assert_eq!(one(later, &[(write, DONE)]), confirmed(MEMORY, 60));
    }

    #[test]
    fn all_hosts_and_families_go_in_one_transaction() {
        let memory = "2 home.test home.test id= A=/60/ AAAA=/90/";
        let hosts: Vec<HostJob> = (0..3)
            .map(|n| host_after(&format!("h{n}.home.test"), "192.0.2.1,2001:db8::1", memory, "192.0.2.2,2001:db8::2"))
            .collect();
        let sets: Vec<String> = (0..3)
            .flat_map(|n| {
                let name = format!("h{n}.home.test");
                [put(&name, "A", 60, &["192.0.2.2"]), put(&name, "AAAA", 90, &["2001:db8::2"])]
            })
            .collect();
        assert_eq!(with(&hosts, &[(patch(&sets), DONE)]), vec![confirmed(memory, 60); 3]);
    }

    #[test]
    fn what_stands_is_kept_as_far_as_it_is_not_ours() {
        let several = zone("Master", &[("A", 300, "192.0.2.1,192.0.2.77", false), ("TXT", 300, "\"x\"", false)]);
        let write = patch(&[put("nas.home.test", "A", 300, &["192.0.2.2", "192.0.2.77"])]);
        let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
        let outcome = one(forgotten, &[(look("nas.home.test"), (200, &several)), (write, DONE)]);
        assert!(matches!(outcome, Outcome::Confirmed { .. }), "{outcome:?}");
        for (kind, sets, class, word) in [
            ("Native", &[("A", 300, "192.0.2.76,192.0.2.77", false)][..], Class::Invalid, "192.0.2.77"),
            ("Native", &[("CNAME", 300, "other.test.", false)], Class::Invalid, "CNAME"),
            ("Native", &[("LUA", 300, "A \"x\"", false)], Class::Invalid, "LUA"),
            ("Native", &[("A", 300, "192.0.2.77", true)], Class::Invalid, "disabled"),
            ("Slave", &[], Class::Denied, "primary"),
            ("Secondary", &[], Class::Denied, "primary"),
        ] {
            let shown = zone(kind, sets);
            let outcome = one(host("nas.home.test", "192.0.2.9"), &[(look("nas.home.test"), (200, &shown))]);
            assert_refused(&outcome, class, word);
        }
    }

    #[test]
    fn removal_narrows_or_deletes_the_set() {
        let gone = || host_after("nas.home.test", "192.0.2.1", MEMORY, "");
        let ours = zone("Native", &[("A", 60, "192.0.2.1", false)]);
        let delete = patch(&[r#"{"changetype":"DELETE","name":"nas.home.test.","type":"A"}"#.to_owned()]);
        let none = confirmed("2 home.test home.test id=", 0);
        assert_eq!(one(gone(), &[(look("nas.home.test"), (200, &ours)), (delete, DONE)]), none);
        let both = zone("Native", &[("A", 60, "192.0.2.1,192.0.2.77", false)]);
        let narrow = patch(&[put("nas.home.test", "A", 60, &["192.0.2.77"])]);
        assert_eq!(one(gone(), &[(look("nas.home.test"), (200, &both)), (narrow, DONE)]), none);
        let foreign = zone("Native", &[("A", 60, "192.0.2.77", false)]);
        assert_eq!(one(gone(), &[(look("nas.home.test"), (200, &foreign))]), none);
    }

    #[test]
    fn refusals_are_told_apart() {
        for (answer, class, word) in [
            ((401, "Unauthorized"), Class::Auth, "api_key"),
            ((404, "Not Found"), Class::NoZone, "home.test"),
            ((422, r#"{"error": "Could not find domain 'home.test.'"}"#), Class::NoZone, "home.test"),
            (
                (422, r#"{"error": "RRset nas.home.test. IN A: Conflicts with pre-existing RRset"}"#),
                Class::Invalid,
                "RRset",
            ),
            ((400, "Your client sent a bad request"), Class::Invalid, "bad request"),
        ] {
            assert_refused(&one(host("nas.home.test", "192.0.2.1"), &[(look("nas.home.test"), answer)]), class, word);
        }
        let later = host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        let write = patch(&[put("nas.home.test", "A", 60, &["192.0.2.2"])]);
        for (answer, class) in [
            ((500, r#"{"error": "backend"}"#), Class::Down),
            ((502, "<html>proxy</html>"), Class::Down),
            ((200, "{}"), Class::Bug),
        ] {
            assert_unconfirmed(&one(later.clone(), &[(write.clone(), answer)]), class, true);
        }
    }

    #[test]
    fn urls_are_built_as_the_server_reads_them() {
        for (endpoint, server_id, url) in [
            ("http://127.0.0.1:8081", None, "http://127.0.0.1:8081/api/v1/servers/localhost/zones"),
            ("https://dns.test/api/v1/", Some("ns1"), "https://dns.test/api/v1/servers/ns1/zones"),
            ("https://dns.test/pdns", None, "https://dns.test/pdns/api/v1/servers/localhost/zones"),
        ] {
            let mut settings = play::settings("powerdns", &[(API_KEY, "right")]);
            settings.endpoint = Some(endpoint.to_owned());
            if let Some(id) = server_id {
                settings.set(SERVER_ID, Setting::Text(id.to_owned()));
            }
            let (zone, name) = (Hostname::parse("_x.home.test").unwrap(), Hostname::parse("*._x.home.test").unwrap());
            let mut talk = settings.open().unwrap().look(&zone, &name).unwrap();
            let crate::provider::Step::Send(crate::provider::Call::Http(call)) = talk.next(None, play::NOON) else {
                panic!("no look");
            };
            assert_eq!(call.url, format!("{url}/=5Fx.home.test.?rrset_name=%2A._x.home.test."));
        }
        let mut settings = play::settings("powerdns", &[(API_KEY, "right")]);
        settings.set(SERVER_ID, Setting::Text("../x".to_owned()));
        assert_eq!(settings.open().map(|_| ()).unwrap_err().key, SERVER_ID);
    }

    /// As recorded, without a filter; and as little as there may be.
    #[test]
    fn spelling_and_what_is_left_out_make_no_difference() {
        let recorded = r#"{"account": "", "api_rectify": false, "dnssec": false, "id": "home.test.", "kind": "Master",
            "last_check": 0, "masters": [], "name": "home.test.", "notified_serial": 0, "nsec3narrow": false,
            "nsec3param": "", "rrsets": [{"comments": [], "name": "docs.home.test.", "type": "CNAME", "ttl": 3600,
            "records": [{"content": "docs.example.com.", "disabled": false}]}, {"comments": [], "name": "nas.home.test.",
            "type": "A", "ttl": 60, "records": [{"content": "192.0.2.1", "disabled": false}]}], "serial": 0,
            "soa_edit": "", "soa_edit_api": "", "url": "/api/v1/servers/localhost/zones/home.test."}"#;
        let short = r#"{"rrsets": [{"name": "NAS.home.test", "type": "A", "ttl": "60", "records": [{"content": "192.0.2.1"}]}]}"#;
        let write = patch(&[put("nas.home.test", "A", 60, &["192.0.2.2"])]);
        for (zone, done) in [(recorded, DONE), (short, DONE), (short, (200, ""))] {
            let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
            let outcome = one(forgotten, &[(look("nas.home.test"), (200, zone)), (write.clone(), done)]);
            assert_eq!(outcome, confirmed(MEMORY, 60), "{zone}");
        }
    }
}
