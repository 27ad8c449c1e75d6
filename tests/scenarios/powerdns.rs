//! The HTTP API of a real PowerDNS.

use nicgate::provider::{Class, Outcome};
use nicgate_tests::dig;
use nicgate_tests::pusher::Pusher;
use nicgate_tests::servers::{PowerDns, ZONE};
use serde_json::{Value, json};

fn pusher(powerdns: &PowerDns) -> Pusher {
    Pusher::new("powerdns", ZONE, &[("endpoint", &powerdns.endpoint()), ("api_key", &powerdns.api_key())])
}

/// A set of `nas.example.com` as its API shows it.
fn set(powerdns: &PowerDns, kind: &str) -> Value {
    let answer = powerdns.ask("GET", &format!("/zones/{ZONE}.?rrset_name=nas.{ZONE}.&rrset_type={kind}"), None);
    let zone: Value = serde_json::from_str(&answer.body).unwrap();
    zone["rrsets"][0].clone()
}

fn by_hand(powerdns: &PowerDns, addresses: &[&str]) {
    let records: Vec<Value> =
        addresses.iter().map(|address| json!({ "content": address, "disabled": false })).collect();
    let comments = json!([{ "content": "the box in the cellar", "account": "me", "modified_at": 1 }]);
    powerdns.patch(&json!([{ "name": format!("nas.{ZONE}."), "type": "A", "ttl": 900, "changetype": "REPLACE",
        "records": records, "comments": comments }]));
}

#[track_caller]
fn assert_refused(outcome: &Outcome, wanted: Class, word: &str) {
    let fits = matches!(outcome, Outcome::Refused { class, text, maybe_written: false, .. }
        if *class == wanted && text.contains(word));
    assert!(fits, "not {wanted:?} with {word:?}: {outcome:?}");
}

#[test]
fn hosts_live_by_the_api() {
    let Some(powerdns) = PowerDns::start("powerdns-life") else { return };
    let (mut pusher, address) = (pusher(&powerdns), powerdns.address);
    for host in ["nas.example.com", "*.lan.example.com", "example.com"] {
        assert_eq!(pusher.confirm(host, "192.0.2.1"), 2, "{host}: new");
        assert_eq!(dig(address, host, "A"), ["192.0.2.1"]);
        assert_eq!(pusher.confirm(host, "192.0.2.2"), 1, "{host}: changed");
        assert_eq!(pusher.confirm(host, "192.0.2.2"), 0, "{host}: repeated");
        assert_eq!(pusher.confirm(host, "192.0.2.2,2001:db8::2"), 2, "{host}: a family more");
        assert_eq!(pusher.confirm(host, "192.0.2.3,2001:db8::3"), 1, "{host}: both families");
        assert_eq!(
            (dig(address, host, "A"), dig(address, host, "AAAA")),
            (vec!["192.0.2.3".into()], vec!["2001:db8::3".into()])
        );
        pusher.confirm(host, "");
        assert!(dig(address, host, "A").is_empty() && dig(address, host, "AAAA").is_empty(), "{host}: gone");
    }
    assert_eq!(dig(address, "example.com", "NS"), ["ns1.example.com."], "the root keeps the rest");
}

#[test]
fn what_others_put_there_stays() {
    let Some(powerdns) = PowerDns::start("powerdns-others") else { return };
    let mut pusher = pusher(&powerdns);
    by_hand(&powerdns, &["192.0.2.77"]);
    pusher.confirm("nas.example.com", "192.0.2.1");
    pusher.confirm("nas.example.com", "192.0.2.2");
    let standing = set(&powerdns, "A");
    assert_eq!((&standing["ttl"], &standing["records"][0]["content"]), (&json!(900), &json!("192.0.2.2")));
    assert_eq!(standing["comments"][0]["content"], "the box in the cellar");
    // Narrowed to ours where ours is among several, refused where it is not.
    by_hand(&powerdns, &["192.0.2.2", "192.0.2.77"]);
    pusher.hosts.get_mut("nas.example.com").unwrap().before.as_mut().unwrap().remembered = None;
    pusher.confirm("nas.example.com", "192.0.2.3");
    assert_eq!(dig(powerdns.address, "nas.example.com", "A"), ["192.0.2.3", "192.0.2.77"]);
    pusher.hosts.clear();
    assert_refused(&pusher.outcome("nas.example.com", "192.0.2.4"), Class::Invalid, "192.0.2.77");
    powerdns.patch(&json!([{ "name": format!("alias.{ZONE}."), "type": "CNAME", "ttl": 60, "changetype": "REPLACE",
        "records": [{ "content": format!("nas.{ZONE}."), "disabled": false }] }]));
    assert_refused(&pusher.outcome("alias.example.com", "192.0.2.4"), Class::Invalid, "CNAME");
}

#[test]
fn refusals_are_told_apart() {
    let Some(powerdns) = PowerDns::start("powerdns-no") else { return };
    let wrong_key = Pusher::new("powerdns", ZONE, &[("endpoint", &powerdns.endpoint()), ("api_key", "wrong-wrong")])
        .outcome("nas.example.com", "192.0.2.1");
    assert_refused(&wrong_key, Class::Auth, "api_key");
    let mut elsewhere = pusher(&powerdns);
    elsewhere.zone = "elsewhere.test".to_owned();
    assert_refused(&elsewhere.outcome("nas.elsewhere.test", "192.0.2.1"), Class::NoZone, "elsewhere.test");
    let mut other_server = pusher(&powerdns);
    other_server.set("server_id", "ns9");
    assert_refused(&other_server.outcome("nas.example.com", "192.0.2.1"), Class::NoZone, "server_id");
    powerdns.add_zone("copy.test", "Slave");
    let mut copy = pusher(&powerdns);
    copy.zone = "copy.test".to_owned();
    assert_refused(&copy.outcome("nas.copy.test", "192.0.2.1"), Class::Denied, "primary");
    // A zone above the configured one is found, one with odd letters is spelled as the server does.
    let mut above = pusher(&powerdns);
    above.zone = "dyn.example.com".to_owned();
    above.confirm("nas.dyn.example.com", "192.0.2.1");
    assert_eq!(above.confirm("nas.dyn.example.com", "192.0.2.2"), 1);
    powerdns.add_zone("_odd.test", "Native");
    let mut odd = pusher(&powerdns);
    odd.zone = "_odd.test".to_owned();
    odd.confirm("nas._odd.test", "192.0.2.1");
    let stopped = powerdns.endpoint();
    let key = powerdns.api_key();
    drop(powerdns);
    let outcome = Pusher::new("powerdns", ZONE, &[("endpoint", &stopped), ("api_key", &key)])
        .outcome("nas.example.com", "192.0.2.1");
    assert!(matches!(outcome, Outcome::Unconfirmed { class: Class::Down, maybe_written: false, .. }), "{outcome:?}");
}

#[test]
fn a_burst_of_fifty_hosts_is_one_write() {
    let Some(powerdns) = PowerDns::start("powerdns-burst") else { return };
    let mut pusher = pusher(&powerdns);
    let names: Vec<String> = (0..50).map(|n| format!("h{n}.example.com")).collect();
    for (round, calls) in [(1, 51), (2, 1), (3, 1)] {
        let addresses = format!("192.0.2.{round},2001:db8::{round}");
        let wanted: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), &*addresses)).collect();
        let pushed = pusher.push(&wanted);
        assert!(pushed.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Confirmed { .. })), "{pushed:?}");
        assert_eq!(pushed.calls, calls, "{round}");
    }
    assert!(names.iter().all(|name| dig(powerdns.address, name, "AAAA") == ["2001:db8::3"]));
}
