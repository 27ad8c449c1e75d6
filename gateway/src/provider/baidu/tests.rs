use super::*;
use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after};
use crate::provider::{HostJob, Outcome};

fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
    let settings = play::settings("baidu", &[(ACCESS_KEY_ID, "my-ak"), (SECRET_ACCESS_KEY, "my-sk")]);
    let script: Vec<_> = script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
    play::play(&settings, "home.test", &[host], &script, |call| {
        let authorization = play::header(call, "authorization").to_str().unwrap();
        assert!(
            authorization.starts_with("bce-auth-v1/my-ak/2026-11-22T12:00:00Z/1800/host;x-bce-date/"),
            "{authorization}"
        );
    })
    .remove(0)
}

const ZONE: (&str, (u16, &str)) = (
    "GET /v1/dns/zone?name=home.test",
    (
        200,
        r#"{"marker": "", "isTruncated": false, "maxKeys": 1000,
            "zones": [{"id": "z1", "name": "nothome.test", "status": "running"}, {"id": "z2", "name": "home.test", "status": "running"}]}"#,
    ),
);
const LOOK: &str = "GET /v1/dns/zone/home.test/record?rr=nas";
const NONE: (u16, &str) = (200, r#"{"marker": "", "isTruncated": false, "maxKeys": 1000, "records": []}"#);
const POST: &str = r#"POST /v1/dns/zone/home.test/record?clientToken=00112233445566778899aabbccddeeff {"line":"default","rr":"nas","ttl":60,"type":"A","value":"192.0.2.1"}"#;
const PUT: &str = r#"PUT /v1/dns/zone/home.test/record/52082?clientToken=00112233445566778899aabbccddeeff {"rr":"nas","ttl":60,"type":"A","value":"192.0.2.2"}"#;
const DONE: (u16, &str) = (200, "");
const MEMORY: &str = "2 home.test home.test id= A=52082/60/";

fn listed(kind: &str, value: &str, line: &str, status: &str, description: &str) -> String {
    format!(
        r#"{{"isTruncated": false, "maxKeys": 1000, "records": [{{"id": "52082", "rr": "nas", "status": "{status}",
            "type": "{kind}", "value": "{value}", "ttl": 60, "line": "{line}", "description": "{description}", "priority": 0}}]}}"#
    )
}

fn error(code: &str, message: &str) -> String {
    format!(r#"{{"code": "{code}", "message": "{message}", "requestId": "1"}}"#)
}

fn confirmed(memory: &str, ttl: u32) -> Outcome {
    Outcome::Confirmed { remembered: Some(memory.into()), ttl }
}

#[test]
fn a_new_name_is_made_and_its_id_is_learnt_with_the_next_change() {
    let made = "2 home.test home.test id=";
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &[ZONE, (LOOK, NONE), (POST, DONE)]), confirmed(made, 60));
    let list = listed("A", "192.0.2.1", LINE, "running", "");
    let second = host_after("nas.home.test", "192.0.2.1", made, "192.0.2.2");
    assert_eq!(one(second, &[(LOOK, (200, &list)), (PUT, DONE)]), confirmed(MEMORY, 60));
    let third = host_after("nas.home.test", "192.0.2.9", MEMORY, "192.0.2.2");
    assert_eq!(one(third, &[(PUT, DONE)]), confirmed(MEMORY, 60));
    let gone = host_after("nas.home.test", "192.0.2.1", MEMORY, "");
    let delete = "DELETE /v1/dns/zone/home.test/record/52082?clientToken=00112233445566778899aabbccddeeff";
    assert_eq!(one(gone, &[(LOOK, (200, &list)), (delete, DONE)]), confirmed(made, 0));
}

#[test]
fn pages_are_turned_and_a_description_goes_along() {
    let first = r#"{"isTruncated": true, "nextMarker": "m 1", "zones": [{"name": "nothome.test"}]}"#;
    let list = listed("A", "192.0.2.1", LINE, "running", "the box");
    let put = PUT.replace(r#"{"rr""#, r#"{"description":"the box","rr""#);
    let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
    let next = "GET /v1/dns/zone?marker=m%201&name=home.test";
    let script = [(ZONE.0, (200, first)), (next, ZONE.1), (LOOK, (200, &list)), (&put, DONE)];
    assert_eq!(one(forgotten, &script), confirmed("2 home.test home.test id= A=52082/60/the%20box", 60));
}

#[test]
fn an_editions_least_ttl_is_found_out() {
    let refused = error("InvalidParameter", "The ttl is less than the minimum of the zone");
    let post = POST.replace("\"ttl\":60", "\"ttl\":300");
    let script = [ZONE, (LOOK, NONE), (POST, (400, refused.as_str())), (LOOK, NONE), (&post, DONE)];
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed("2 home.test home.test id=300", 300));
}

#[test]
fn what_is_somebodys_intention_is_in_the_way() {
    for (list, word) in [
        (listed("A", "192.0.2.9", "ct", "running", ""), "line ct"),
        (listed("A", "192.0.2.9", LINE, "disable", ""), "disabled A record"),
        (listed("CNAME", "elsewhere.test", LINE, "running", ""), "CNAME"),
    ] {
        assert_refused(&one(host("nas.home.test", "192.0.2.1"), &[ZONE, (LOOK, (200, &list))]), Class::Invalid, word);
    }
}

#[test]
fn answers_in_other_words_are_read() {
    let list = listed("A", "192.0.2.1", "", "", "").replace("\"52082\"", "52082").replace("60", "\"60\"");
    let forgotten = || host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
    for done in [DONE, (200, "{}"), (204, "")] {
        assert_eq!(one(forgotten(), &[ZONE, (LOOK, (200, &list)), (PUT, done)]), confirmed(MEMORY, 60));
    }
}

#[test]
fn refusals_are_told_apart() {
    for (code, status, class) in [
        ("InvalidAccessKeyId", 403, Class::Auth),
        ("SignatureDoesNotMatch", 400, Class::Auth),
        ("RequestExpired", 400, Class::Auth),
        ("InvalidHTTPAuthHeader", 400, Class::Auth),
        ("AccessDenied", 403, Class::Denied),
        ("QualifyNotPass", 403, Class::Denied),
        ("NoSuchObject", 404, Class::NoZone),
        ("InappropriateJSON", 400, Class::Invalid),
        ("SomethingNew", 400, Class::Invalid),
    ] {
        let said = error(code, "words");
        assert_refused(&one(host("nas.home.test", "192.0.2.1"), &[(ZONE.0, (status, &said))]), class, "words");
    }
    let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    for (code, status, class, maybe_written) in [
        ("TooManyRequests", 429, Class::Rate, false),
        ("InternalError", 500, Class::Down, true),
        ("SomethingNew", 200, Class::Bug, true),
    ] {
        assert_unconfirmed(&one(later(), &[(PUT, (status, &error(code, "words")))]), class, maybe_written);
    }
    for answer in [(200, "[]"), (200, r#"{"something": "else"}"#)] {
        assert_unconfirmed(&one(later(), &[(PUT, answer)]), Class::Bug, true);
    }
    let (gone, post) = (error("NoSuchObject", "no record"), POST.replace("192.0.2.1", "192.0.2.2"));
    let script = [(PUT, (404, gone.as_str())), (LOOK, NONE), (&post, DONE)];
    assert_eq!(one(later(), &script), confirmed("2 home.test home.test id=", 60));
}
