use super::*;
use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after};
use crate::provider::{HostJob, Outcome, Setting};

fn settings() -> ProviderSettings {
    let mut settings = play::settings("huaweicloud", &[(ACCESS_KEY, "my-ak"), (SECRET_KEY, "my-sk")]);
    settings.set(REGION, Setting::Text("cn-north-4".into()));
    settings
}

fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
    let script: Vec<_> = script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
    play::play(&settings(), "home.test", &[host], &script, |call| {
        let authorization = play::header(call, "authorization").to_str().unwrap();
        let names = if call.body.is_empty() { "host;x-sdk-date" } else { "content-type;host;x-sdk-date" };
        let start = format!("SDK-HMAC-SHA256 Access=my-ak, SignedHeaders={names}, Signature=");
        assert!(authorization.starts_with(&start), "{authorization}");
        assert_eq!(play::header(call, "x-sdk-date"), "20261122T120000Z");
    })
    .remove(0)
}

const ZONE: (&str, (u16, &str)) = (
    "GET /v2/zones?limit=500&name=home.test.&search_mode=equal&type=public",
    (
        200,
        r#"{"links": {}, "zones": [{"id": "z1", "name": "home.test.", "status": "ACTIVE"}], "metadata": {"total_count": 1}}"#,
    ),
);
const LOOK: &str = "GET /v2.1/zones/z1/recordsets?limit=500&name=nas.home.test.&search_mode=equal";
const NONE: (u16, &str) = (200, r#"{"recordsets": [], "metadata": {"total_count": 0}}"#);
const POST: &str =
    r#"POST /v2.1/zones/z1/recordsets {"name":"nas.home.test.","records":["192.0.2.1"],"ttl":60,"type":"A"}"#;
const PUT: &str =
    r#"PUT /v2.1/zones/z1/recordsets/s1 {"name":"nas.home.test.","records":["192.0.2.2"],"ttl":60,"type":"A"}"#;
const MEMORY: &str = "2 home.test home.test id=z1 A=s1/60/";

fn set(values: &str, status: &str, line: &str) -> String {
    format!(
        r#"{{"id": "s1", "name": "nas.home.test.", "type": "A", "ttl": 60, "records": [{values}], "status": "{status}",
            "zone_id": "z1", "zone_name": "home.test.", "default": false, "line": "{line}", "weight": null}}"#
    )
}

fn listed(sets: &str) -> String {
    format!(r#"{{"recordsets": [{sets}], "metadata": {{"total_count": 1}}}}"#)
}

fn confirmed(memory: &str, ttl: u32) -> Outcome {
    Outcome::Confirmed { remembered: Some(memory.into()), ttl }
}

#[test]
fn a_new_name_is_made_and_changed_by_one_put_and_removed() {
    let made = set(r#""192.0.2.1""#, "PENDING_CREATE", LINE);
    let new = host("nas.home.test", "192.0.2.1");
    assert_eq!(one(new, &[ZONE, (LOOK, NONE), (POST, (202, &made))]), confirmed(MEMORY, 60));
    let changed = set(r#""192.0.2.2""#, "PENDING_UPDATE", LINE);
    let later = host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    assert_eq!(one(later, &[(PUT, (202, &changed))]), confirmed(MEMORY, 60));
    let gone = host_after("nas.home.test", "192.0.2.1", MEMORY, "");
    let list = listed(&set(r#""192.0.2.1""#, "ACTIVE", LINE));
    let deleted = set(r#""192.0.2.1""#, "PENDING_DELETE", LINE);
    let script = [(LOOK, (200, list.as_str())), ("DELETE /v2.1/zones/z1/recordsets/s1", (202, &deleted))];
    assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=z1", 0));
}

#[test]
fn both_families_a_wildcard_and_a_zone_above() {
    let above = r#"{"zones": [{"id": "z1", "name": "home.test.", "status": "ACTIVE"}]}"#;
    let look = "GET /v2.1/zones/z1/recordsets?limit=500&name=%2A.lan.home.test.&search_mode=equal";
    let post = |value: &str, kind: &str| {
        format!(
            r#"POST /v2.1/zones/z1/recordsets {{"name":"*.lan.home.test.","records":["{value}"],"ttl":60,"type":"{kind}"}}"#
        )
    };
    let made = |value: &str, kind: &str| {
        format!(
            r#"{{"id": "s-{kind}", "name": "*.lan.home.test.", "type": "{kind}", "ttl": 60, "records": ["{value}"], "status": "PENDING_CREATE"}}"#
        )
    };
    let script = [
        (ZONE.0.replace("home.test", "lan.home.test"), (200, r#"{"zones": []}"#.to_owned())),
        (ZONE.0.to_owned(), (200, above.to_owned())),
        (look.to_owned(), (200, NONE.1.to_owned())),
        (post("192.0.2.1", "A"), (202, made("192.0.2.1", "A"))),
        (post("2001:db8::1", "AAAA"), (202, made("2001:DB8:0:0:0:0:0:1", "AAAA"))),
    ];
    let both = host("*.lan.home.test", "192.0.2.1,2001:db8::1");
    let outcome = play::play(&settings(), "lan.home.test", &[both], &script, |_| ()).remove(0);
    assert_eq!(outcome, confirmed("2 lan.home.test home.test id=z1 A=s-A/60/ AAAA=s-AAAA/60/", 60));
}

#[test]
fn values_of_others_stay_in_the_set() {
    let list = listed(&set(r#""192.0.2.1", "192.0.2.77""#, "ACTIVE", LINE));
    let put = PUT.replace(r#"["192.0.2.2"]"#, r#"["192.0.2.2","192.0.2.77"]"#);
    let done = set(r#""192.0.2.77", "192.0.2.2""#, "PENDING_UPDATE", LINE);
    let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
    let outcome = one(forgotten, &[ZONE, (LOOK, (200, &list)), (&put, (200, &done))]);
    assert_eq!(outcome, confirmed("2 home.test home.test id=z1", 60));
}

#[test]
fn what_is_somebodys_intention_is_in_the_way() {
    let plain = set(r#""192.0.2.1""#, "ACTIVE", LINE);
    for (sets, word) in [
        (set(r#""192.0.2.1""#, "ACTIVE", "Dianxin"), "line Dianxin"),
        (set(r#""192.0.2.1""#, "DISABLE", LINE), "disabled A record set"),
        (format!("{plain}, {plain}"), "several A record sets"),
        (plain.replace(r#""A""#, r#""CNAME""#), "CNAME"),
    ] {
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[ZONE, (LOOK, (200, &listed(&sets)))]);
        assert_refused(&outcome, Class::Invalid, word);
    }
    let going = listed(&set(r#""192.0.2.1""#, "PENDING_DELETE", LINE));
    let outcome = one(host("nas.home.test", "192.0.2.1"), &[ZONE, (LOOK, (200, &going))]);
    assert_unconfirmed(&outcome, Class::Busy, false);
}

#[test]
fn an_answer_that_shows_something_else_is_no_success() {
    let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    let other = set(r#""192.0.2.1""#, "PENDING_UPDATE", LINE);
    let more = set(r#""192.0.2.2", "192.0.2.3""#, "PENDING_UPDATE", LINE);
    for body in ["{}", "", &other, &more] {
        assert_unconfirmed(&one(later(), &[(PUT, (202, body))]), Class::Bug, true);
    }
}

#[test]
fn refusals_are_told_apart() {
    let said = |code: &str| match code.strip_prefix("APIGW") {
        Some(_) => format!(r#"{{"error_code": "{code}", "error_msg": "words", "request_id": "1"}}"#),
        None => format!(r#"{{"code": "{code}", "message": "words"}}"#),
    };
    for (codes, status, class) in [
        (&["APIGW.0301", "APIGW.0303", "APIGW.0305", "DNS.0005"][..], 401, Class::Auth),
        (&["APIGW.0302", "APIGW.0306", "DNS.0013", "DNS.0030", "DNS.0040", "DNS.1802"], 403, Class::Denied),
        (&["DNS.0209", "DNS.0213", "DNS.0214", "DNS.2003", "DNS.2005", "DNS.2006"], 403, Class::Denied),
        (&["DNS.0302", "DNS.0101", "DNS.1206"], 404, Class::NoZone),
        (&["DNS.0304", "DNS.0307", "DNS.0308", "DNS.0319", "DNS.0303", "DNS.0202", "DNS.9999"], 400, Class::Invalid),
        (&["DNS.0403", "DNS.0404", "DNS.0409", "DNS.2002"], 400, Class::Quota),
    ] {
        for code in codes {
            let outcome = one(host("nas.home.test", "192.0.2.1"), &[(ZONE.0, (status, &said(code)))]);
            assert_refused(&outcome, class, "words");
        }
    }
    for (codes, status, class, maybe_written) in [
        (&["APIGW.0308"][..], 429, Class::Rate, false),
        (&["DNS.0014"], 403, Class::Rate, false),
        (&["DNS.0021"], 400, Class::Busy, false),
        (&["DNS.0000", "DNS.0001", "DNS.0003"], 500, Class::Down, true),
    ] {
        for code in codes {
            let later = host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
            assert_unconfirmed(&one(later, &[(PUT, (status, &said(code)))]), class, maybe_written);
        }
    }
    let made = set(r#""192.0.2.2""#, "PENDING_CREATE", LINE);
    let post = POST.replace("192.0.2.1", "192.0.2.2");
    for code in ["DNS.0313", "DNS.0004"] {
        let stale = host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        let script = [(PUT, (404, said(code))), (LOOK, (200, NONE.1.to_owned())), (&post, (202, made.clone()))];
        let script: Vec<_> = script.iter().map(|(asked, (status, body))| (*asked, (*status, body.as_str()))).collect();
        assert_eq!(one(stale, &script), confirmed(MEMORY, 60));
    }
    for code in ["DNS.0312", "DNS.0335", "DNS.0016"] {
        let there = listed(&set(r#""192.0.2.1""#, "ACTIVE", LINE));
        let refused = said(code);
        let script = [ZONE, (LOOK, NONE), (POST, (400, refused.as_str())), (LOOK, (200, &there))];
        assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 60));
    }
}

#[test]
fn a_region_is_an_id() {
    let mut settings = settings();
    settings.endpoint = None;
    for (region, taken) in
        [("eu-west-101", true), ("cn-north-4", true), ("cn north", false), ("Beijing", false), ("", false)]
    {
        settings.set(REGION, Setting::Text(region.into()));
        assert_eq!(settings.open().map_err(|bad| bad.key).err(), (!taken).then_some(REGION), "{region}");
    }
}

#[test]
fn spelling_and_what_is_left_out_make_no_difference() {
    let list = listed(r#"{"id": "s1", "name": "NAS.home.test", "type": "A", "ttl": "60", "records": ["192.0.2.1"]}"#);
    let delete = "DELETE /v2.1/zones/z1/recordsets/s1";
    for (status, body) in [(204, ""), (202, "")] {
        let gone = host_after("nas.home.test", "192.0.2.1", MEMORY, "");
        let script = [(LOOK, (200, list.as_str())), (delete, (status, body))];
        assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=z1", 0));
    }
    let path = ZONE.1.1.replace("z1", "../z1");
    assert_unconfirmed(&one(host("nas.home.test", "192.0.2.1"), &[(ZONE.0, (200, &path))]), Class::Bug, false);
}
