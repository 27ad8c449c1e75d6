use super::*;
use crate::provider::play::{self, assert_refused, header, host, host_after, look, play};
use crate::provider::{HostJob, Outcome};

const FIND: &str = "GET /zones/by-name/home.test";
const LOOK: &str = "GET /zones/7/records";
const MEMORY: &str = "zone home.test 7";

fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
    let script: Vec<_> = script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
    play(&play::settings("dynv6", &[(TOKEN, "right")]), "home.test", &[host], &script, |call| {
        assert_eq!(header(call, "authorization"), "Bearer right");
    })
    .remove(0)
}

fn confirmed(memory: &str) -> Outcome {
    Outcome::Confirmed { remembered: Some(memory.into()), ttl: TTL }
}

fn zone(v4: &str, v6: &str) -> String {
    format!(
        r#"{{"id": 7, "name": "home.test", "ipv4address": "{v4}", "ipv6prefix": "{v6}",
            "createdAt": "2020-01-01T00:00:00Z", "updatedAt": "2020-01-01T00:00:00Z"}}"#
    )
}

fn entry(name: &str, kind: &str, data: &str) -> String {
    format!(r#"{{"id": 13, "zoneID": 7, "name": "{name}", "type": "{kind}", "data": "{data}"}}"#)
}

#[test]
fn a_name_below_is_a_record() {
    let (zone, made) = (zone("192.0.2.99", ""), entry("nas", "A", "192.0.2.1"));
    let post = r#"POST /zones/7/records {"data":"192.0.2.1","name":"nas","type":"A"}"#;
    let memory = "2 home.test home.test id=7 A=13/60/";
    let script = [(FIND, (200, zone.as_str())), (LOOK, (200, "[]")), (post, (200, made.as_str()))];
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(memory));
    let patch = r#"PATCH /zones/7/records/13 {"data":"192.0.2.2"}"#;
    let made = entry("nas", "A", "192.0.2.2");
    let later = host_after("nas.home.test", "192.0.2.1", memory, "192.0.2.2");
    assert_eq!(one(later, &[(patch, (200, &made))]), confirmed(memory));
    let list = format!("[{made}]");
    let gone = host_after("nas.home.test", "192.0.2.2", memory, "");
    let outcome = one(gone, &[(LOOK, (200, &list)), ("DELETE /zones/7/records/13", (204, ""))]);
    assert!(matches!(outcome, Outcome::Confirmed { ttl: 0, .. }), "{outcome:?}");
}

#[test]
fn a_record_that_follows_the_zone_is_left_alone() {
    let zone = zone("192.0.2.99", "2001:db8::/64");
    for (kind, data) in [("AAAA", "::1"), ("AAAA", ""), ("CNAME", "elsewhere.test")] {
        let list = format!("[{}]", entry("nas", kind, data));
        let script = [(FIND, (200, zone.as_str())), (LOOK, (200, list.as_str()))];
        assert_refused(&one(host("nas.home.test", "2001:db8::7"), &script), Class::Invalid, "record");
    }
}

#[test]
fn the_zone_itself_is_one_call_and_two_at_first() {
    let (stands, now) = (zone("192.0.2.99", ""), zone("192.0.2.1", ""));
    let patch = r#"PATCH /zones/7 {"ipv4address":"192.0.2.1"}"#;
    let script = [(FIND, (200, stands.as_str())), (patch, (200, now.as_str()))];
    assert_eq!(one(host("home.test", "192.0.2.1"), &script), confirmed(MEMORY));
    let later = host_after("home.test", "192.0.2.1,2001:db8::1", MEMORY, "192.0.2.2,2001:db8::2");
    let patch = r#"PATCH /zones/7 {"ipv4address":"192.0.2.2","ipv6prefix":"2001:db8::2"}"#;
    assert_eq!(one(later, &[(patch, (200, ""))]), confirmed(MEMORY));
    // A family that is new is looked at, and what stands is not written.
    let new = host_after("home.test", "192.0.2.1", MEMORY, "192.0.2.1,2001:db8::2");
    let stands = zone("192.0.2.1", "2001:db8::2/128");
    assert_eq!(one(new, &[("GET /zones/7", (200, &stands))]), confirmed(MEMORY));
    let gone = host_after("home.test", "192.0.2.1", MEMORY, "");
    assert_refused(&one(gone, &[("GET /zones/7", (200, &stands))]), Class::Invalid, "by hand");
    let settings = play::settings("dynv6", &[(TOKEN, "right")]);
    let sight = look(&settings, "home.test", "home.test", &[(FIND, (200, stands))]).unwrap();
    assert_eq!(sight.addresses.len(), 2);
}

#[test]
fn answers_in_other_words_are_read() {
    let zone = zone("192.0.2.99", "").replace("7", "\"7\"").replace("\"\"", "null");
    let list = format!("[{}]", entry("nas", "A", "192.0.2.1").replace("13", "\"13\""));
    let script = [(FIND, (200, zone.as_str())), (LOOK, (200, list.as_str()))];
    let memory = "2 home.test home.test id=7 A=13/60/";
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(memory));
    let gone = host_after("nas.home.test", "192.0.2.1", memory, "");
    let script = [(LOOK, (200, list.as_str())), ("DELETE /zones/7/records/13", (200, ""))];
    assert!(matches!(one(gone, &script), Outcome::Confirmed { ttl: 0, .. }));
}

#[test]
fn refusals_are_told_apart() {
    let error = r#"{"error": {"name": "ValidationError", "message": "invalid", "fields": [{"name": "data", "message": "is no address"}]}}"#;
    for (answer, class, word) in [
        ((401, ""), Class::Auth, "token"),
        ((403, ""), Class::Auth, "403"),
        ((404, ""), Class::NoZone, "home.test"),
        ((422, error), Class::Invalid, "is no address"),
    ] {
        for name in ["nas.home.test", "home.test"] {
            assert_refused(&one(host(name, "192.0.2.1"), &[(FIND, answer)]), class, word);
        }
    }
}
