use super::*;
use crate::provider::play::{self, assert_refused, assert_unconfirmed, header, host, host_after, look, play};
use crate::provider::{HostJob, Outcome};

const ROOT: (u16, &str) =
    (200, r#"{"statusCode": 200, "id": 100373707, "domainName": "home.test", "hostname": "home.test", "node": ""}"#);
const INVALID: (u16, &str) = (501, r#"{"statusCode": 501, "type": "Argument Exception", "message": "Invalid."}"#);
const DONE: (u16, &str) = (200, r#"{"statusCode": 200}"#);
const FIND: &str = "GET /dns/getroot/home.test";
const READ: &str = "GET /dns/100373707";
const LOOK: &str = "GET /dns/100373707/record";

fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
    let script: Vec<_> = script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
    let settings = play::settings("dynu", &[(API_KEY, "right")]);
    play(&settings, "home.test", &[host], &script, |call| assert_eq!(header(call, "api-key"), "right")).remove(0)
}

fn confirmed(memory: &str, ttl: u32) -> Outcome {
    Outcome::Confirmed { remembered: Some(memory.into()), ttl }
}

/// As recorded, with another group and other flags.
fn domain(v4: &str, v6: &str, flags: [bool; 4]) -> String {
    let quoted = |text: &str| if text.is_empty() { "null".to_owned() } else { format!("\"{text}\"") };
    let [ipv4, ipv6, wild4, wild6] = flags;
    format!(
        r#"{{"id": 100373707, "name": "home.test", "unicodeName": "home.test", "token": "t", "state": "Complete",
            "group": "cellar", "ipv4Address": {}, "ipv6Address": {}, "ttl": 60, "ipv4": {ipv4}, "ipv6": {ipv6},
            "ipv4WildcardAlias": {wild4}, "ipv6WildcardAlias": {wild6}, "allowZoneTransfer": false, "dnssec": true,
            "createdOn": "2025-05-06T18:31:27", "updatedOn": "2025-05-06T18:32:32.19"}}"#,
        quoted(v4),
        quoted(v6)
    )
}

fn put(v4: &str, v6: &str, flags: [bool; 4]) -> String {
    let mut body: Value = serde_json::from_str(&domain(v4, v6, flags)).unwrap();
    body.as_object_mut().unwrap().retain(|name, _| SETTINGS.contains(&name.as_str()));
    format!("POST /dns/100373707 {body}")
}

fn node(id: u64, address: &str, group: &str) -> String {
    format!(
        r#"{{"statusCode": 200, "id": {id}, "domainId": 100373707, "domainName": "home.test", "nodeName": "nas",
            "hostname": "nas.home.test", "recordType": "A", "ttl": 3600, "state": true,
            "content": "nas.home.test. 3600 IN A {address}", "location": "", "group": "{group}", "ipv4Address": "{address}"}}"#
    )
}

fn list(records: &[String]) -> String {
    format!(r#"{{"statusCode": 200, "dnsRecords": [{}]}}"#, records.join(","))
}

#[test]
fn a_name_below_is_a_record_and_later_changes_are_one_call() {
    let (none, made) = (list(&[]), node(13, "192.0.2.1", ""));
    let post = r#"POST /dns/100373707/record {"group":"","ipv4Address":"192.0.2.1","nodeName":"nas","recordType":"A","state":true,"ttl":60}"#;
    let memory = "2 home.test home.test id=100373707 A=13/3600/";
    let script = [(FIND, ROOT), (LOOK, (200, none.as_str())), (post, (200, made.as_str()))];
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(memory, 3600));
    let memory = "2 home.test home.test id=100373707 A=13/3600/lab";
    let post = r#"POST /dns/100373707/record/13 {"group":"lab","ipv4Address":"192.0.2.2","nodeName":"nas","recordType":"A","state":true,"ttl":3600}"#;
    let made = node(13, "192.0.2.2", "lab");
    let later = host_after("nas.home.test", "192.0.2.1", memory, "192.0.2.2");
    assert_eq!(one(later.clone(), &[(post, (200, &made))]), confirmed(memory, 3600));
    // Somebody removed it: an unknown id is an "Argument Exception".
    let (none, create) = (list(&[]), post.replace("/13", "").replace("lab", "").replace("3600", "60"));
    let script = [(post, INVALID), (LOOK, (200, none.as_str())), (&create, (200, made.as_str()))];
    assert!(matches!(one(later, &script), Outcome::Confirmed { .. }));
    let gone = host_after("nas.home.test", "192.0.2.1", memory, "");
    let stands = list(&[node(13, "192.0.2.1", "lab")]);
    let script = [(LOOK, (200, stands.as_str())), ("DELETE /dns/100373707/record/13", DONE)];
    assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=100373707", 0));
}

#[test]
fn a_record_that_is_switched_off_is_switched_on() {
    let off = node(13, "192.0.2.1", "lab").replace("\"state\": true", "\"state\": false");
    let (stands, on) = (list(&[off]), node(13, "192.0.2.1", "lab"));
    let post = r#"POST /dns/100373707/record/13 {"group":"lab","ipv4Address":"192.0.2.1","nodeName":"nas","recordType":"A","state":true,"ttl":3600}"#;
    let script = [(FIND, ROOT), (LOOK, (200, stands.as_str())), (post, (200, on.as_str()))];
    assert!(matches!(one(host("nas.home.test", "192.0.2.1"), &script), Outcome::Confirmed { ttl: 3600, .. }));
}

#[test]
fn the_domain_itself_is_read_and_written_whole() {
    let off = [false, true, false, false];
    let stands = domain("192.0.2.9", "2001:db8::9", off);
    let post = put("192.0.2.1", "2001:db8::9", [true, true, false, false]);
    let script = [(FIND, ROOT), (READ, (200, stands.as_str())), (&post, DONE)];
    let memory = "zone home.test 100373707";
    assert_eq!(one(host("home.test", "192.0.2.1"), &script), confirmed(memory, 60));
    let stands = domain("192.0.2.1", "2001:db8::9", [true, true, false, false]);
    let post = put("192.0.2.2", "2001:db8::2", [true, true, false, false]);
    let later = host_after("home.test", "192.0.2.1,2001:db8::1", memory, "192.0.2.2,2001:db8::2");
    assert_eq!(one(later.clone(), &[(READ, (200, &stands)), (&post, DONE)]), confirmed(memory, 60));
    // What stands already costs no write, what is known to stand no call.
    let stands = domain("192.0.2.2", "2001:0DB8::2", [true, true, false, false]);
    assert_eq!(one(later, &[(READ, (200, &stands))]), confirmed(memory, 60));
    let same = host_after("home.test", "192.0.2.2", memory, "192.0.2.2");
    assert_eq!(one(same, &[]), confirmed(memory, 60));
    // A removal is a switch, and only for what we wrote.
    let gone = host_after("home.test", "192.0.2.2,2001:db8::1", memory, "");
    let post = put("192.0.2.2", "2001:0DB8::2", [false, true, false, false]);
    assert_eq!(one(gone, &[(READ, (200, &stands)), (&post, DONE)]), confirmed(memory, 0));
    let settings = play::settings("dynu", &[(API_KEY, "right")]);
    let script = [(FIND, (200, ROOT.1.to_owned())), (READ, (200, stands))];
    let sight = look(&settings, "home.test", "home.test", &script).unwrap();
    assert_eq!(sight.addresses.len(), 2);
}

#[test]
fn a_remembered_domain_that_is_gone_is_searched_again() {
    let stale = host_after("home.test", "192.0.2.1", "zone home.test 7", "192.0.2.2");
    let stands = domain("192.0.2.2", "", [true, false, false, false]);
    let script = [("GET /dns/7", INVALID), (FIND, ROOT), (READ, (200, stands.as_str()))];
    assert_eq!(one(stale, &script), confirmed("zone home.test 100373707", 60));
}

#[test]
fn the_wildcard_of_the_domain_follows_it() {
    let stands = domain("192.0.2.1", "", [true, false, false, false]);
    let post = put("192.0.2.1", "", [true, false, true, false]);
    let script = [(FIND, ROOT), (READ, (200, stands.as_str())), (&post, DONE)];
    assert_eq!(one(host("*.home.test", "192.0.2.1"), &script), confirmed("zone home.test 100373707", 60));
    let other = one(host("*.home.test", "192.0.2.7"), &script[..2]);
    assert_unconfirmed(&other, Class::Busy, false);
    let gone = host_after("*.home.test", "192.0.2.1", "zone home.test 100373707", "");
    let follows = domain("192.0.2.1", "", [true, false, true, false]);
    let post = put("192.0.2.1", "", [true, false, false, false]);
    assert!(matches!(one(gone, &[(READ, (200, &follows)), (&post, DONE)]), Outcome::Confirmed { ttl: 0, .. }));
}

#[test]
fn a_zone_that_is_a_name_of_a_domain_above_is_a_record_of_it() {
    let settings = play::settings("dynu", &[(API_KEY, "right")]);
    let below = r#"{"statusCode": 200, "id": 100373707, "domainName": "home.test", "hostname": "dyn.home.test", "node": "dyn"}"#;
    let made = node(13, "192.0.2.1", "").replace("nas", "dyn");
    let post = r#"POST /dns/100373707/record {"group":"","ipv4Address":"192.0.2.1","nodeName":"dyn","recordType":"A","state":true,"ttl":60}"#;
    let find = "GET /dns/getroot/dyn.home.test";
    let script = [(find, below), (find, below), (FIND, ROOT.1), (LOOK, &list(&[])), (post, &made)]
        .map(|(asked, body)| (asked, (200, body.to_owned())));
    let outcome = play(&settings, "dyn.home.test", &[host("dyn.home.test", "192.0.2.1")], &script, |_| ()).remove(0);
    assert_eq!(outcome, confirmed("2 dyn.home.test home.test id=100373707 A=13/3600/", 3600));
}

#[test]
fn answers_in_other_words_are_read() {
    let root = ROOT.1.replace("100373707", "\"100373707\"").replace("\"\"", "null");
    let record = node(13, "192.0.2.1", "").replace(": 3600", ": \"3600\"").replace(": 13,", ": \"13\",");
    let stands = list(&[record]);
    let script = [(FIND, (200, root.as_str())), (LOOK, (200, stands.as_str()))];
    let memory = "2 home.test home.test id=100373707 A=13/3600/";
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(memory, 3600));
}

#[test]
fn a_domain_that_was_just_read_is_not_missed_when_its_change_is_refused() {
    let stands = domain("192.0.2.9", "", [true, false, false, false]);
    let post = put("192.0.2.1", "", [true, false, false, false]);
    let script = [(FIND, ROOT), (READ, (200, stands.as_str())), (&post, INVALID)];
    assert_refused(&one(host("home.test", "192.0.2.1"), &script), Class::Invalid, "Invalid.");
}

#[test]
fn refusals_are_told_apart_wherever_they_stand() {
    let error =
        |code: u16, kind: &str| format!(r#"{{"statusCode": {code}, "type": "{kind} Exception", "message": "words"}}"#);
    for (status, code, kind, class) in [
        (401, 401, "Authentication", Class::Auth),
        (200, 401, "Authentication", Class::Auth),
        (403, 403, "Authorization", Class::Denied),
        (501, 501, "Argument", Class::NoZone),
        (400, 400, "Validation", Class::Invalid),
        (422, 422, "Some New", Class::Invalid),
    ] {
        for body in [error(code, kind), format!(r#"{{"exception": {}}}"#, error(code, kind))] {
            for name in ["nas.home.test", "home.test"] {
                assert_refused(&one(host(name, "192.0.2.1"), &[(FIND, (status, &body))]), class, "words");
            }
        }
    }
    for (status, code, kind, class) in
        [(429, 429, "Quota", Class::Rate), (200, 500, "Server", Class::Down), (504, 504, "Timeout", Class::Down)]
    {
        assert_unconfirmed(&one(host("home.test", "192.0.2.1"), &[(FIND, (status, &error(code, kind)))]), class, false);
    }
    // Half an object is not written back.
    let half = r#"{"statusCode": 200, "id": 100373707, "ttl": 60, "ipv4": true, "ipv4Address": "192.0.2.9"}"#;
    assert_unconfirmed(&one(host("home.test", "192.0.2.1"), &[(FIND, ROOT), (READ, (200, half))]), Class::Bug, false);
}

#[test]
fn a_cname_is_seen() {
    let alias = r#"{"id": 9, "nodeName": "nas", "hostname": "nas.home.test", "recordType": "CNAME", "ttl": 60, "state": true, "host": "x.test"}"#;
    let stands = list(&[alias.to_owned()]);
    let script = [(FIND, ROOT), (LOOK, (200, stands.as_str()))];
    assert_refused(&one(host("nas.home.test", "192.0.2.1"), &script), Class::Invalid, "CNAME");
}
