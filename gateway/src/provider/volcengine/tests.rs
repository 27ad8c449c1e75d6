use super::*;
use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after};
use crate::provider::{HostJob, Outcome};

fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
    let settings = play::settings("volcengine", &[(ACCESS_KEY_ID, "my-id"), (SECRET_ACCESS_KEY, "my-key")]);
    let script: Vec<_> = script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
    play::play(&settings, "home.test", &[host], &script, |call| {
        let authorization = play::header(call, "authorization").to_str().unwrap();
        let start = "HMAC-SHA256 Credential=my-id/20261122/cn-north-1/DNS/request, SignedHeaders=";
        assert!(authorization.starts_with(start), "{authorization}");
    })
    .remove(0)
}

const ZONE: (&str, (u16, &str)) = (
    "GET /?Action=ListZones&Key=home.test&SearchMode=exact&Version=2018-08-01",
    (
        200,
        r#"{"ResponseMetadata": {"RequestId": "1", "Action": "ListZones"}, "Result": {"Total": 1,
            "Zones": [{"ZID": 1234, "ZoneName": "home.test", "TradeCode": "free_inner"}]}}"#,
    ),
);
const LOOK: &str = "GET /?Action=ListRecords&Host=nas&PageSize=100&SearchMode=exact&Version=2018-08-01&ZID=1234";
const NONE: (u16, &str) = (
    200,
    r#"{"ResponseMetadata": {"RequestId": "1"}, "Result": {"PageNumber": 1, "PageSize": 100, "Records": null, "TotalCount": 0}}"#,
);
const CREATE: &str = r#"POST /?Action=CreateRecord&Version=2018-08-01 {"Host":"nas","Line":"default","TTL":60,"Type":"A","Value":"192.0.2.1","ZID":1234}"#;
const UPDATE: &str = r#"POST /?Action=UpdateRecord&Version=2018-08-01 {"Host":"nas","Line":"default","RecordID":"r1","TTL":60,"Type":"A","Value":"192.0.2.2"}"#;
const MEMORY: &str = "2 home.test home.test id=1234 A=r1/60/";

fn record(kind: &str, value: &str, ttl: u32, line: &str, more: &str) -> String {
    format!(
        r#"{{"RecordID": "r1", "Host": "nas", "Type": "{kind}", "Value": "{value}", "TTL": {ttl}, "Line": "{line}", {more}}}"#
    )
}

const PLAIN: &str = r#""Enable": true, "Weight": 1, "Remark": null, "FQDN": "nas.home.test.""#;

fn done(result: &str) -> String {
    format!(r#"{{"ResponseMetadata": {{"RequestId": "1"}}, "Result": {result}}}"#)
}

fn listed(records: &str) -> String {
    done(&format!(r#"{{"PageNumber": 1, "PageSize": 100, "TotalCount": 1, "Records": [{records}]}}"#))
}

fn error(code: &str, message: &str) -> String {
    format!(
        r#"{{"ResponseMetadata": {{"RequestId": "1", "Error": {{"CodeN": 400000, "Code": "{code}", "Message": "{message}"}}}}}}"#
    )
}

fn confirmed(memory: &str, ttl: u32) -> Outcome {
    Outcome::Confirmed { remembered: Some(memory.into()), ttl }
}

#[test]
fn a_new_name_is_made_changed_by_one_call_and_removed() {
    let made = done(&record("A", "192.0.2.1", 60, LINE, PLAIN));
    assert_eq!(
        one(host("nas.home.test", "192.0.2.1"), &[ZONE, (LOOK, NONE), (CREATE, (200, &made))]),
        confirmed(MEMORY, 60)
    );
    let later = host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    let changed = done(&record("A", "192.0.2.2", 60, LINE, PLAIN));
    assert_eq!(one(later, &[(UPDATE, (200, &changed))]), confirmed(MEMORY, 60));
    let gone = host_after("nas.home.test", "192.0.2.1", MEMORY, "");
    let list = listed(&record("A", "192.0.2.1", 60, LINE, PLAIN));
    let delete = r#"POST /?Action=DeleteRecord&Version=2018-08-01 {"RecordID":"r1"}"#;
    let script = [(LOOK, (200, list.as_str())), (delete, (200, r#"{"ResponseMetadata": {"RequestId": "1"}}"#))];
    assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=1234", 0));
}

#[test]
fn an_editions_least_ttl_is_found_out_and_remembered() {
    let refused = error("ErrSpecNotValid", "record TTL not valid when creating record");
    let (create, made) = (CREATE.replace("60", "600"), done(&record("A", "192.0.2.1", 600, LINE, PLAIN)));
    let script = [ZONE, (LOOK, NONE), (CREATE, (400, &refused)), (LOOK, NONE), (&create, (200, &made))];
    let memory = "2 home.test home.test id=1234%3E600 A=r1/600/";
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(memory, 600));
    let later = HostJob { ttl: Some(60), ..host_after("nas.home.test", "192.0.2.1", memory, "192.0.2.2") };
    let changed = done(&record("A", "192.0.2.2", 600, LINE, PLAIN));
    assert_eq!(one(later, &[(&UPDATE.replace("60", "600"), (200, &changed))]), confirmed(memory, 600));
}

#[test]
fn root_wildcard_and_what_was_set_by_hand() {
    for (name, host_name) in [("home.test", "@"), ("*.home.test", "*")] {
        let look = LOOK.replace("Host=nas", &format!("Host={}", super::super::encode::percent_encoded(host_name)));
        let create = CREATE.replace("\"nas\"", &format!("\"{host_name}\""));
        let made = done(&record("A", "192.0.2.1", 60, LINE, PLAIN).replace("\"nas\"", &format!("\"{host_name}\"")));
        assert_eq!(
            one(host(name, "192.0.2.1"), &[ZONE, (&look, NONE), (&create, (200, &made))]),
            confirmed(MEMORY, 60)
        );
    }
    let more = r#""Enable": true, "Weight": 3, "Remark": "the box in the cellar""#;
    let list = listed(&record("A", "192.0.2.1", 60, LINE, more));
    let update = UPDATE
        .replace(r#""RecordID":"r1","#, r#""RecordID":"r1","Remark":"the box in the cellar","#)
        .replace(r#""192.0.2.2"}"#, r#""192.0.2.2","Weight":3}"#);
    let changed = done(&record("A", "192.0.2.2", 60, LINE, more));
    let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
    let outcome = one(forgotten, &[ZONE, (LOOK, (200, &list)), (&update, (200, &changed))]);
    assert_eq!(outcome, confirmed("2 home.test home.test id=1234 A=r1/60/3%20the%20box%20in%20the%20cellar", 60));
}

#[test]
fn what_is_somebodys_intention_is_in_the_way() {
    for (record, word) in [
        (record("A", "192.0.2.9", 60, "telecom", PLAIN), "line telecom"),
        (record("A", "192.0.2.9", 60, LINE, r#""Enable": false"#), "disabled A record"),
        (record("CNAME", "elsewhere.test", 60, LINE, PLAIN), "CNAME"),
    ] {
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[ZONE, (LOOK, (200, &listed(&record)))]);
        assert_refused(&outcome, Class::Invalid, word);
    }
}

#[test]
fn refusals_are_told_apart() {
    for (codes, status, class) in [
        (
            &[
                "InvalidAccessKey",
                "SignatureDoesNotMatch",
                "InvalidCredential",
                "InvalidTimestamp",
                "InvalidSecretToken",
                "InvalidAuthorization",
                "MissingAuthenticationToken",
                "MissingSignature",
            ][..],
            401,
            Class::Auth,
        ),
        (&["AccessDenied"], 403, Class::Denied),
        (&["ErrZoneNotFound"], 400, Class::NoZone),
        (&["ErrParamInvalid", "ErrParsingParams", "ErrHostCanNotBeEmpty", "ErrSpecNotValid"], 400, Class::Invalid),
        (&["ErrQuotaExceeded", "ErrAccountRecordCountLimited", "ErrZoneRecordCountLimited"], 400, Class::Quota),
    ] {
        for code in codes {
            let outcome = one(host("nas.home.test", "192.0.2.1"), &[(ZONE.0, (status, &error(code, "words")))]);
            assert_refused(&outcome, class, "words");
        }
    }
    let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    for (code, status, class, maybe_written) in [
        ("FlowLimitExceeded", 429, Class::Rate, false),
        ("ErrInternalServer", 500, Class::Down, true),
        ("InternalServiceTimeout", 504, Class::Down, true),
        ("ErrSomethingNew", 200, Class::Bug, true),
    ] {
        assert_unconfirmed(&one(later(), &[(UPDATE, (status, &error(code, "words")))]), class, maybe_written);
    }
    let other = done(&record("A", "192.0.2.1", 60, LINE, PLAIN));
    for body in ["{}", "[]", r#"{"ResponseMetadata": {}}"#, &other] {
        assert_unconfirmed(&one(later(), &[(UPDATE, (200, body))]), Class::Bug, true);
    }
    let (gone, create) = (error("ErrDBNotFound", "record not found"), CREATE.replace("192.0.2.1", "192.0.2.2"));
    let made = done(&record("A", "192.0.2.2", 60, LINE, PLAIN));
    let script = [(UPDATE, (400, gone.as_str())), (LOOK, NONE), (&create, (200, &made))];
    assert_eq!(one(later(), &script), confirmed(MEMORY, 60));
    let (twice, list) = (error("ErrDBDuplicated", "duplicated"), listed(&record("A", "192.0.2.1", 60, LINE, PLAIN)));
    let script = [ZONE, (LOOK, NONE), (CREATE, (409, twice.as_str())), (LOOK, (200, &list))];
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 60));
}

#[test]
fn spelling_and_what_is_left_out_make_no_difference() {
    let zone = ZONE.1.1.replace("1234", "\"1234\"");
    let list = listed(r#"{"RecordID": "r1", "Host": "NAS", "Type": "A", "Value": "192.0.2.1", "TTL": "60"}"#);
    let forgotten = || host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
    let told = |answer: &str| {
        one(forgotten(), &[(ZONE.0, (200, zone.as_str())), (LOOK, (200, list.as_str())), (UPDATE, (200, answer))])
    };
    assert_eq!(told(&done(r#"{"RecordID": "r1"}"#)), confirmed(MEMORY, 60));
    for other in [done(r#"{"RecordID": "r2"}"#), done("{}"), "{}".to_owned()] {
        assert_unconfirmed(&told(&other), Class::Bug, true);
    }
}
