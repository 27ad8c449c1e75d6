use std::cell::RefCell;

use super::*;
use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after};
use crate::provider::{HostJob, Outcome};

/// Plays a script of `Action body`.
fn one(host: HostJob, script: &[(&str, &str)]) -> Outcome {
    let settings = play::settings("dnspod", &[(SECRET_ID, "my-id"), (SECRET_KEY, "my-key")]);
    let actions = RefCell::new(Vec::new());
    let split: Vec<_> = script.iter().map(|(asked, _)| asked.split_once(' ').unwrap()).collect();
    let calls: Vec<_> = split
        .iter()
        .zip(script)
        .map(|((_, body), (_, said))| (format!("POST / {body}"), (200, (*said).to_owned())))
        .collect();
    let outcome = play::play(&settings, "home.test", &[host], &calls, |call| {
        actions.borrow_mut().push(play::header(call, "x-tc-action").to_str().unwrap().to_owned());
        let authorization = play::header(call, "authorization").to_str().unwrap();
        let start = "TC3-HMAC-SHA256 Credential=my-id/2026-11-22/dnspod/tc3_request, SignedHeaders=content-type;host, ";
        assert!(authorization.starts_with(start), "{authorization}");
        assert_eq!(play::header(call, "x-tc-timestamp"), "1795348800");
    });
    assert_eq!(*actions.borrow(), split.iter().map(|(action, _)| *action).collect::<Vec<_>>());
    outcome.into_iter().next().unwrap()
}

const FREE: (&str, &str) = (
    r#"DescribeDomain {"Domain":"home.test"}"#,
    r#"{"Response": {"DomainInfo": {"DomainId": 62, "Domain": "home.test", "Grade": "DP_Free", "TTL": 600}, "RequestId": "1"}}"#,
);
const LOOK: &str = r#"DescribeRecordList {"Domain":"home.test","ErrorOnEmpty":"no","Limit":100,"Subdomain":"nas"}"#;
const NONE: &str = r#"{"Response": {"RecordCountInfo": {"SubdomainCount": 0, "ListCount": 0, "TotalCount": 0}, "RecordList": [], "RequestId": "1"}}"#;
const CREATE: &str = r#"CreateRecord {"Domain":"home.test","RecordLine":"默认","RecordLineId":"0","RecordType":"A","SubDomain":"nas","TTL":600,"Value":"192.0.2.1"}"#;
const MODIFY: &str = r#"ModifyDynamicDNS {"Domain":"home.test","RecordId":162,"RecordLine":"默认","RecordLineId":"0","SubDomain":"nas","Ttl":600,"Value":"192.0.2.2"}"#;
const DONE: &str = r#"{"Response": {"RecordId": 162, "RequestId": "1"}}"#;
const MEMORY: &str = "2 home.test home.test id=600 A=162/600/";

fn listed(kind: &str, value: &str, line: (&str, &str), status: &str) -> String {
    format!(
        r#"{{"Response": {{"RecordCountInfo": {{"ListCount": 1, "TotalCount": 1}}, "RecordList": [{{"RecordId": 162,
            "Name": "nas", "Type": "{kind}", "Value": "{value}", "Line": "{}", "LineId": "{}", "TTL": 600,
            "Status": "{status}", "Weight": null, "Remark": "", "MX": 0}}], "RequestId": "1"}}}}"#,
        line.0, line.1
    )
}

fn error(code: &str) -> String {
    format!(r#"{{"Response": {{"Error": {{"Code": "{code}", "Message": "words"}}, "RequestId": "1"}}}}"#)
}

fn confirmed(memory: &str, ttl: u32) -> Outcome {
    Outcome::Confirmed { remembered: Some(memory.into()), ttl }
}

#[test]
fn a_new_name_is_made_with_the_plans_least_ttl_and_changed_by_one_call() {
    let new = HostJob { ttl: Some(60), ..host("nas.home.test", "192.0.2.1") };
    assert_eq!(one(new, &[FREE, (LOOK, NONE), (CREATE, DONE)]), confirmed(MEMORY, 600));
    let later = HostJob { ttl: Some(60), ..host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2") };
    assert_eq!(one(later, &[(MODIFY, DONE)]), confirmed(MEMORY, 600));
}

#[test]
fn a_paid_plan_may_have_a_least_ttl_too() {
    let paid = (FREE.0, &*FREE.1.replace("DP_Free", "DP_Plus"));
    let low = CREATE.replace("600", "60");
    let refused = error("LimitExceeded.RecordTtlLimit");
    let script = [paid, (LOOK, NONE), (&low, &refused), (LOOK, NONE), (CREATE, DONE)];
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 600));
}

#[test]
fn both_families_root_wildcard_and_removal() {
    let at = |text: &str, name: &str| text.replace("\"nas\"", &format!("\"{name}\""));
    let v6 = at(CREATE, "@").replace("\"A\"", "\"AAAA\"").replace("192.0.2.1", "2001:db8::1");
    let (look, v4, other) = (at(LOOK, "@"), at(CREATE, "@"), DONE.replace("162", "163"));
    let script = [FREE, (&look, NONE), (&v4, DONE), (&v6, &other)];
    let outcome = one(host("home.test", "192.0.2.1,2001:db8::1"), &script);
    assert_eq!(outcome, confirmed("2 home.test home.test id=600 A=162/600/ AAAA=163/600/", 600));
    let (look, create) = (at(LOOK, "*"), at(CREATE, "*"));
    assert_eq!(one(host("*.home.test", "192.0.2.1"), &[FREE, (&look, NONE), (&create, DONE)]), confirmed(MEMORY, 600));
    let gone = host_after("nas.home.test", "192.0.2.1", MEMORY, "");
    let list = listed("A", "192.0.2.1", ("默认", "0"), "ENABLE");
    let delete = r#"DeleteRecord {"Domain":"home.test","RecordId":162}"#;
    let script = [(LOOK, list.as_str()), (delete, r#"{"Response": {"RequestId": "1"}}"#)];
    assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=600", 0));
}

#[test]
fn what_is_somebodys_intention_is_in_the_way() {
    for (list, word) in [
        (listed("A", "192.0.2.9", ("电信", "10=0"), "ENABLE"), "line 电信"),
        (listed("AAAA", "2001:db8::9", ("默认", "0"), "DISABLE"), "disabled AAAA record"),
        (listed("CNAME", "elsewhere.test.", ("默认", "0"), "ENABLE"), "CNAME"),
    ] {
        assert_refused(&one(host("nas.home.test", "192.0.2.1"), &[FREE, (LOOK, &list)]), Class::Invalid, word);
    }
}

#[test]
fn answers_in_other_words_are_read() {
    let bare = r#"{"Response": {"RecordList": [{"RecordId": "162", "Name": "nas", "Type": "A", "Value": "192.0.2.1", "TTL": "600"}]}}"#;
    let forgotten = || host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
    let done = DONE.replace("162", "\"162\"");
    assert_eq!(one(forgotten(), &[FREE, (LOOK, bare), (MODIFY, &done)]), confirmed(MEMORY, 600));
    let null = NONE.replace("[]", "null");
    let script = [FREE, (LOOK, null.as_str()), (CREATE, DONE)];
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 600));
}

#[test]
fn refusals_are_told_apart() {
    for (codes, class) in [
        (
            &[
                "AuthFailure",
                "AuthFailure.SignatureFailure",
                "AuthFailure.SecretIdNotFound",
                "AuthFailure.SignatureExpire",
                "AuthFailure.TokenFailure",
            ][..],
            Class::Auth,
        ),
        (
            &[
                "UnauthorizedOperation",
                "AuthFailure.UnauthorizedOperation",
                "OperationDenied.IPInBlacklistNotAllowed",
                "FailedOperation.NotDomainOwner",
                "InvalidParameter.RequestIpLimited",
                "FailedOperation.DomainIsLocked",
                "FailedOperation.DomainIsSpam",
                "InvalidParameter.DomainIsAliaser",
            ],
            Class::Denied,
        ),
        (
            &[
                "ResourceNotFound.NoDataOfDomain",
                "InvalidParameterValue.DomainNotExists",
                "InvalidParameter.DomainInvalid",
            ],
            Class::NoZone,
        ),
        (
            &[
                "InvalidParameter.RecordValueInvalid",
                "InvalidParameter.SubdomainInvalid",
                "InvalidParameter.RecordLineInvalid",
                "InvalidParameter.RecordTypeInvalid",
            ],
            Class::Invalid,
        ),
        (&["LimitExceeded.AAAACountLimit", "LimitExceeded.SubdomainRollLimit"], Class::Quota),
    ] {
        for code in codes {
            assert_refused(&one(host("nas.home.test", "192.0.2.1"), &[(FREE.0, &error(code))]), class, "words");
        }
    }
    let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    for (code, class, maybe_written) in [
        ("RequestLimitExceeded", Class::Rate, false),
        ("RequestLimitExceeded.UinLimitExceeded", Class::Rate, false),
        ("FailedOperation.FrequencyLimit", Class::Rate, false),
        ("InvalidParameter.OperationIsTooFrequent", Class::Rate, false),
        ("InternalError", Class::Down, true),
        ("FailedOperation.UnknowError", Class::Down, true),
        ("FailedOperation.SomethingNew", Class::Bug, true),
    ] {
        assert_unconfirmed(&one(later(), &[(MODIFY, &error(code))]), class, maybe_written);
    }
    for body in ["{}", "[]", r#"{"Response": {"RequestId": "1"}}"#, r#"{"Response": {"RecordId": 163}}"#] {
        assert_unconfirmed(&one(later(), &[(MODIFY, body)]), Class::Bug, true);
    }
    // A record that is gone is made again, one that is there already is looked at.
    let create = CREATE.replace("192.0.2.1", "192.0.2.2");
    for code in ["ResourceNotFound.NoDataOfRecord", "InvalidParameter.RecordIdInvalid"] {
        let (gone, none) = (error(code), error("ResourceNotFound.NoDataOfRecord"));
        let script = [(MODIFY, gone.as_str()), (LOOK, &none), (&create, DONE)];
        assert_eq!(one(later(), &script), confirmed(MEMORY, 600));
    }
    let (exists, list) =
        (error("InvalidParameter.DomainRecordExist"), listed("A", "192.0.2.1", ("默认", "0"), "ENABLE"));
    let script = [FREE, (LOOK, NONE), (CREATE, &exists), (LOOK, &list)];
    assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 600));
}
