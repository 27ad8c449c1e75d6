//! Bodies are those of recorded traffic (2019), and of the vendor's pages where they are newer.

use std::cell::RefCell;

use super::*;
use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after};
use crate::provider::{HostJob, Outcome};

/// Plays a script of `Action METHOD path`.
fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
    let settings = play::settings("alidns", &[(ACCESS_KEY_ID, "my-id"), (ACCESS_KEY_SECRET, "my-secret")]);
    let actions = RefCell::new(Vec::new());
    let split: Vec<_> = script.iter().map(|(asked, _)| asked.split_once(' ').unwrap()).collect();
    let calls: Vec<_> = split
        .iter()
        .zip(script)
        .map(|((_, call), (_, (status, body)))| (*call, (*status, (*body).to_owned())))
        .collect();
    let outcome = play::play(&settings, "home.test", &[host], &calls, |call| {
        actions.borrow_mut().push(play::header(call, "x-acs-action").to_str().unwrap().to_owned());
        let authorization = play::header(call, "authorization").to_str().unwrap();
        assert!(authorization.starts_with("ACS3-HMAC-SHA256 Credential=my-id,SignedHeaders=host;x-acs-action;"));
        assert_eq!(play::header(call, "x-acs-signature-nonce"), "00112233445566778899aabbccddeeff");
    });
    assert_eq!(*actions.borrow(), split.iter().map(|(action, _)| *action).collect::<Vec<_>>());
    outcome.into_iter().next().unwrap()
}

const ZONE: (&str, (u16, &str)) = (
    "DescribeDomainInfo GET /?DomainName=home.test&Lang=en",
    (
        200,
        r#"{"PunyCode": "home.test", "AliDomain": true, "RequestId": "3c2e8354", "VersionCode": "mianfei",
            "DomainName": "home.test", "MinTtl": 600, "AvailableTtls": {"AvailableTtl": ["600", "1800"]}}"#,
    ),
);
const LOOK: &str =
    "DescribeSubDomainRecords GET /?DomainName=home.test&Lang=en&PageNumber=1&PageSize=100&SubDomain=nas.home.test";
const NONE: (u16, &str) =
    (200, r#"{"PageNumber": 1, "TotalCount": 0, "PageSize": 20, "DomainRecords": {"Record": []}}"#);
const DONE: (u16, &str) = (200, r#"{"RecordId": "17606200807154688123", "RequestId": "67a1fcfb"}"#);
const ADD: &str =
    "AddDomainRecord POST /?DomainName=home.test&Lang=en&Line=default&RR=nas&TTL=600&Type=A&Value=192.0.2.1";
const MEMORY: &str = "2 home.test home.test id=600 A=17606200807154688123/600/";

fn listed(records: &str) -> String {
    format!(r#"{{"PageNumber": 1, "TotalCount": 1, "PageSize": 100, "DomainRecords": {{"Record": [{records}]}}}}"#)
}

fn record(kind: &str, value: &str, line: &str, status: &str) -> String {
    format!(
        r#"{{"RR": "nas", "Status": "{status}", "Value": "{value}", "Weight": 1, "RecordId": "17606200807154688123",
            "Type": "{kind}", "DomainName": "home.test", "Locked": false, "Line": "{line}", "TTL": 600}}"#
    )
}

fn confirmed(memory: &str, ttl: u32) -> Outcome {
    Outcome::Confirmed { remembered: Some(memory.into()), ttl }
}

#[test]
fn a_new_name_is_made_with_the_least_ttl_of_the_edition_and_changed_by_one_call() {
    let new = HostJob { ttl: Some(60), ..host("nas.home.test", "192.0.2.1") };
    assert_eq!(one(new, &[ZONE, (LOOK, NONE), (ADD, DONE)]), confirmed(MEMORY, 600));
    let later = HostJob { ttl: Some(60), ..host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2") };
    let update = "UpdateDomainRecord POST /?Lang=en&Line=default&RR=nas&RecordId=17606200807154688123&TTL=600&Type=A&Value=192.0.2.2";
    assert_eq!(one(later, &[(update, DONE)]), confirmed(MEMORY, 600));
}

#[test]
fn an_edition_that_says_no_least_ttl_is_found_out_by_its_refusal() {
    let zone = (ZONE.0, (200, r#"{"DomainName": "home.test", "AvailableTtls": {"AvailableTtl": []}}"#));
    let add = ADD.replace("TTL=600", "TTL=60");
    let low = (
        400,
        r#"{"Code": "QuotaExceeded.TTL", "Message": "The specified TTL is invalid. A valid TTL must be in the range of 600 to 86400."}"#,
    );
    let script = [zone, (LOOK, NONE), (&add, low), (LOOK, NONE), (ADD, DONE)];
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 600));
}

#[test]
fn root_and_wildcard_are_named_as_the_api_wants() {
    let look = LOOK.replace("nas.home", "%40.home");
    let add = ADD.replace("RR=nas", "RR=%40").replace("Type=A&Value=192.0.2.1", "Type=AAAA&Value=2001%3Adb8%3A%3A1");
    let memory = "2 home.test home.test id=600 AAAA=17606200807154688123/600/";
    assert_eq!(one(host("home.test", "2001:db8::1"), &[ZONE, (&look, NONE), (&add, DONE)]), confirmed(memory, 600));
    let (look, add) = (LOOK.replace("nas.home", "%2A.home"), ADD.replace("RR=nas", "RR=%2A"));
    assert_eq!(one(host("*.home.test", "192.0.2.1"), &[ZONE, (&look, NONE), (&add, DONE)]), confirmed(MEMORY, 600));
}

#[test]
fn what_we_wrote_is_removed_by_its_id() {
    let gone = host_after("nas.home.test", "192.0.2.1", MEMORY, "");
    let list = listed(&record("A", "192.0.2.1", "default", "ENABLE"));
    let delete = "DeleteDomainRecord POST /?Lang=en&RecordId=17606200807154688123";
    assert_eq!(one(gone, &[(LOOK, (200, &list)), (delete, DONE)]), confirmed("2 home.test home.test id=600", 0));
}

#[test]
fn a_duplicate_is_looked_at_before_it_counts() {
    let list = listed(&record("A", "192.0.2.1", "default", "ENABLE"));
    let twice = (400, r#"{"Code": "DomainRecordDuplicate", "Message": "The DNS record already exists."}"#);
    let script = [ZONE, (LOOK, NONE), (ADD, twice), (LOOK, (200, list.as_str()))];
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 600));
}

#[test]
fn what_is_somebodys_intention_is_in_the_way() {
    for (record, word) in [
        (record("A", "192.0.2.9", "telecom", "ENABLE"), "line telecom"),
        (record("A", "192.0.2.9", "default", "DISABLE"), "disabled A record"),
        (record("CNAME", "elsewhere.test", "default", "ENABLE"), "CNAME"),
        (record("REDIRECT_URL", "http://elsewhere.test", "default", "ENABLE"), "REDIRECT_URL"),
    ] {
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[ZONE, (LOOK, (200, &listed(&record)))]);
        assert_refused(&outcome, Class::Invalid, word);
    }
}

#[test]
fn an_answer_without_the_records_id_is_no_success() {
    let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    let update = "UpdateDomainRecord POST /?Lang=en&Line=default&RR=nas&RecordId=17606200807154688123&TTL=600&Type=A&Value=192.0.2.2";
    for body in [r#"{"RequestId": "1"}"#, r#"{"RecordId": "17606200807154688124"}"#, "{}"] {
        assert_unconfirmed(&one(later(), &[(update, (200, body))]), Class::Bug, true);
    }
}

#[test]
fn answers_in_other_words_are_read() {
    let bare = r#"{"RR": "nas", "Value": "192.0.2.1", "RecordId": 17606200807154688123, "Type": "A", "TTL": "600"}"#;
    for record in [bare.to_owned(), record("A", "192.0.2.1", "default", "Enable")] {
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[ZONE, (LOOK, (200, &listed(&record)))]);
        assert_eq!(outcome, confirmed(MEMORY, 600), "{record}");
    }
    let recorded = r#"{"RecordLines": {"RecordLine": []}, "PunyCode": "home.test", "AliDomain": true,
        "VersionCode": "mianfei", "DomainName": "home.test", "AvailableTtls": {"AvailableTtl": []}}"#;
    let script = [(ZONE.0, (200, recorded)), (LOOK, NONE), (ADD, DONE)];
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 600));
    let huge = r#"{"PageNumber": 18446744073709551615, "TotalCount": "18446744073709551615", "PageSize": 9, "DomainRecords": {"Record": []}}"#;
    let script = [ZONE, (LOOK, (200, huge)), (ADD, DONE)];
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 600));
}

#[test]
fn refusals_are_told_apart() {
    for (code, status, class) in [
        ("InvalidAccessKeyId.NotFound", 404, Class::Auth),
        ("InvalidAccessKeyId.Inactive", 403, Class::Auth),
        ("SignatureDoesNotMatch", 400, Class::Auth),
        ("IncompleteSignature", 400, Class::Auth),
        ("InvalidSecurityToken.Expired", 400, Class::Auth),
        ("InvalidTimeStamp.Expired", 400, Class::Auth),
        ("Forbidden", 403, Class::Denied),
        ("Forbidden.RAM", 403, Class::Denied),
        ("NoPermission", 403, Class::Denied),
        ("Forbidden.RiskControl", 403, Class::Denied),
        ("IncorrectDomainUser", 400, Class::Denied),
        ("DomainRecordLocked", 400, Class::Denied),
        ("DomainForbidden", 400, Class::Denied),
        ("RecordForbidden.BlackHole", 400, Class::Denied),
        ("InvalidDomainName.NoExist", 404, Class::NoZone),
        ("InvalidDomainName.Suffix", 400, Class::NoZone),
        ("DomainNotFound", 400, Class::NoZone),
        ("DomainRecordConflict", 400, Class::Invalid),
        ("SubDomainInvalid.Value", 400, Class::Invalid),
        ("InvalidRR.Format", 400, Class::Invalid),
        ("InvalidParameter", 400, Class::Invalid),
        ("QuotaExceeded.ARecord", 400, Class::Quota),
    ] {
        let body = format!(r#"{{"RequestId": "1", "HostId": "h", "Code": "{code}", "Message": "words"}}"#);
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[(ZONE.0, (status, &body))]);
        assert_refused(&outcome, class, "words");
    }
    for (code, status, class, maybe_written) in [
        ("Throttling.User", 400, Class::Rate, false),
        ("Throttling", 503, Class::Rate, false),
        ("LastOperationNotFinished", 400, Class::Busy, false),
        ("SignatureNonceUsed", 400, Class::Busy, false),
        ("ServiceUnavailable", 503, Class::Down, true),
        ("UnKnownError", 400, Class::Down, true),
        ("InternalError", 200, Class::Down, true),
    ] {
        let body = format!(r#"{{"RequestId": "1", "HostId": "h", "Code": "{code}", "Message": "words"}}"#);
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[ZONE, (LOOK, NONE), (ADD, (status, &body))]);
        assert_unconfirmed(&outcome, class, maybe_written);
    }
    // An id that leads nowhere any more is looked up again.
    let body = r#"{"Code": "InvalidRecordId.NotFound", "Message": "The record id does not exist."}"#;
    let update = "UpdateDomainRecord POST /?Lang=en&Line=default&RR=nas&RecordId=17606200807154688123&TTL=600&Type=A&Value=192.0.2.1";
    let stale = host_after("nas.home.test", "192.0.2.9", MEMORY, "192.0.2.1");
    assert_eq!(one(stale, &[(update, (404, body)), (LOOK, NONE), (ADD, DONE)]), confirmed(MEMORY, 600));
}
