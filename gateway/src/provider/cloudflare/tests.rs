//! Whole conversations: what is sent, and what each answer leads to.

use bytes::Bytes;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use nicgate_protocol::{Hostname, Secret};

use super::*;
use crate::provider::play::{self, assert_refused, assert_unconfirmed, set};
use crate::provider::{Heard, HostJob, Job, Moment, Outcome, Setting, Silence, Step};

const ZONE: &str = r#"{"success":true,"errors":[],"messages":[],"result":[{"id":"z1","name":"home.test","status":"active"}],
    "result_info":{"page":1,"per_page":20,"count":1,"total_count":1,"total_pages":1}}"#;
const FIND: &str = "GET /zones?name=home.test";
const LOOK: &str = "GET /zones/z1/dns_records?name=nas.home.test&per_page=100";

fn settings() -> ProviderSettings {
    let mut settings = ProviderSettings::new("cloud", &KIND);
    settings.endpoint = Some("http://api.test/v4".into());
    settings.set(API_TOKEN, Setting::Secret(Secret::new("right".into())));
    settings
}

fn job(wanted: &str) -> HostJob {
    play::host("nas.home.test", wanted)
}

fn job_after(before: &str, remembered: &str, wanted: &str) -> HostJob {
    play::host_after("nas.home.test", before, remembered, wanted)
}

/// A record as the API writes it: `"A a1 192.0.2.1"`, with further words for TTL and `proxied`.
fn record(short: &str) -> Value {
    let words: Vec<&str> = short.split(' ').collect();
    let ttl: u32 = words.get(3).map_or(60, |ttl| ttl.parse().unwrap());
    json!({"id": words[1], "name": "nas.home.test", "type": words[0], "content": words[2], "ttl": ttl,
        "proxied": words.contains(&"proxied"), "proxiable": true, "settings": {}, "meta": {}, "comment": "by hand",
        "tags": [], "created_on": "2026-01-02T03:04:05.678901Z", "modified_on": "2026-01-02T03:04:05.678901Z"})
}

fn success(result: Value) -> (u16, String) {
    (200, json!({"success": true, "errors": [], "messages": [], "result": result}).to_string())
}

fn list(records: &[&str]) -> (u16, String) {
    success(records.iter().map(|short| record(short)).collect())
}

fn one(short: &str) -> (u16, String) {
    success(record(short))
}

fn failure(status: u16, code: u32, message: &str) -> (u16, String) {
    let errors = json!([{"code": code, "message": message}]);
    (status, json!({"success": false, "errors": errors, "messages": [], "result": null}).to_string())
}

fn zone() -> (u16, String) {
    (200, ZONE.to_owned())
}

fn play(settings: &ProviderSettings, host: &HostJob, script: &[(&str, (u16, String))]) -> Outcome {
    let mut outcomes = play::play(settings, "home.test", std::slice::from_ref(host), script, |call| {
        let authorization = play::header(call, "authorization");
        assert_eq!(authorization, "Bearer right");
        assert!(authorization.is_sensitive());
    });
    outcomes.remove(0)
}

fn confirmed(remembered: &str, ttl: u32) -> Outcome {
    Outcome::Confirmed { remembered: Some(remembered.into()), ttl }
}

#[test]
fn the_first_change_finds_the_zone_looks_and_creates() {
    let create = r#"POST /zones/z1/dns_records {"content":"192.0.2.1","name":"nas.home.test","proxied":false,"ttl":60,"type":"A"}"#;
    let script = [(FIND, zone()), (LOOK, list(&[])), (create, one("A a1 192.0.2.1"))];
    assert_eq!(play(&settings(), &job("192.0.2.1"), &script), confirmed("2 home.test home.test id=z1 A=a1/60/", 60));
}

#[test]
fn what_stands_already_is_not_written() {
    let script = [(FIND, zone()), (LOOK, list(&["A a1 192.0.2.1 300", "AAAA b1 2001:0db8::0001"]))];
    let remembered = "2 home.test home.test id=z1 A=a1/300/ AAAA=b1/60/";
    assert_eq!(play(&settings(), &job("192.0.2.1,2001:db8::1"), &script), confirmed(remembered, 300));
}

#[test]
fn a_later_change_is_one_patch_of_the_content() {
    let job = job_after("192.0.2.1", "2 home.test home.test id=z1 A=a1/1/proxied", "192.0.2.2");
    let patch = r#"PATCH /zones/z1/dns_records/a1 {"content":"192.0.2.2"}"#;
    let script = [(patch, one("A a1 192.0.2.2 1 proxied"))];
    assert_eq!(play(&settings(), &job, &script), confirmed("2 home.test home.test id=z1 A=a1/1/proxied", 1));
}

#[test]
fn one_family_leaves_the_other_alone() {
    let remembered = "2 home.test home.test id=z1 A=a1/60/ AAAA=b1/300/";
    let job = job_after("192.0.2.1,2001:db8::1", remembered, "192.0.2.1,2001:db8::2");
    let patch = r#"PATCH /zones/z1/dns_records/b1 {"content":"2001:db8::2"}"#;
    assert_eq!(play(&settings(), &job, &[(patch, one("AAAA b1 2001:db8::2 300"))]), confirmed(remembered, 60));
    assert_eq!(play(&settings(), &job_after("192.0.2.1", remembered, "192.0.2.1"), &[]), confirmed(remembered, 60));
}

#[test]
fn both_families_go_in_one_batch() {
    let remembered = "2 home.test home.test id=z1 A=a1/60/ AAAA=b1/60/";
    let job = job_after("192.0.2.1,2001:db8::1", remembered, "192.0.2.2,2001:db8::2");
    let batch = concat!(
        r#"POST /zones/z1/dns_records/batch {"patches":["#,
        r#"{"content":"192.0.2.2","id":"a1"},{"content":"2001:db8::2","id":"b1"}]}"#
    );
    let both = json!({"deletes": null, "puts": null, "posts": [],
        "patches": [record("AAAA b1 2001:db8::2"), record("A a1 192.0.2.2")]});
    assert_eq!(play(&settings(), &job, &[(batch, success(both))]), confirmed(remembered, 60));
    let half = json!({"patches": [record("A a1 192.0.2.2")], "posts": []});
    assert_unconfirmed(&play(&settings(), &job, &[(batch, success(half))]), Class::Bug, true);
    // A place that speaks the API without batches.
    let patch = |id: &str, address: &str| format!(r#"PATCH /zones/z1/dns_records/{id} {{"content":"{address}"}}"#);
    let (four, six) = (patch("a1", "192.0.2.2"), patch("b1", "2001:db8::2"));
    let script = [
        (batch, (405, r#"{"detail":"Method Not Allowed"}"#.to_owned())),
        (LOOK, list(&["A a1 192.0.2.1", "AAAA b1 2001:db8::1"])),
        (&four, one("A a1 192.0.2.2")),
        (&six, one("AAAA b1 2001:db8::2")),
    ];
    assert_eq!(play(&settings(), &job, &script), confirmed(remembered, 60));
}

#[test]
fn ttl_and_proxied_go_along_only_where_they_are_asked_for_and_differ() {
    let patch = |body: &str| format!("PATCH /zones/z1/dns_records/a1 {body}");
    for (ttl, proxied, known, body) in [
        (None, None, "300/", r#"{"content":"192.0.2.2"}"#),
        (Some(300), None, "300/", r#"{"content":"192.0.2.2"}"#),
        (Some(60), None, "300/", r#"{"content":"192.0.2.2","ttl":60}"#),
        (Some(60), None, "1/proxied", r#"{"content":"192.0.2.2"}"#),
        (Some(60), Some(true), "300/", r#"{"content":"192.0.2.2","proxied":true}"#),
        (Some(60), Some(false), "1/proxied", r#"{"content":"192.0.2.2","proxied":false,"ttl":60}"#),
        (None, Some(false), "300/", r#"{"content":"192.0.2.2"}"#),
    ] {
        let mut settings = settings();
        if let Some(proxied) = proxied {
            settings.set(PROXIED, Setting::Flag(proxied));
        }
        let job = HostJob {
            ttl,
            ..job_after("192.0.2.1", &format!("2 home.test home.test id=z1 A=a1/{known}"), "192.0.2.2")
        };
        let outcome = play(&settings, &job, &[(&patch(body), one("A a1 192.0.2.2 60"))]);
        assert!(matches!(outcome, Outcome::Confirmed { .. }), "{body}: {outcome:?}");
    }
}

#[test]
fn of_several_records_only_ours_is_changed() {
    let two = list(&["A a1 192.0.2.8", "A a2 192.0.2.9"]);
    let outcome = play(&settings(), &job("192.0.2.1"), &[(FIND, zone()), (LOOK, two.clone())]);
    assert_refused(&outcome, Class::Invalid, "192.0.2.8, 192.0.2.9");
    // The memory of ids is gone, the address that was written last is known.
    let job = job_after("192.0.2.9", "", "192.0.2.1");
    let patch = r#"PATCH /zones/z1/dns_records/a2 {"content":"192.0.2.1"}"#;
    let script = [(FIND, zone()), (LOOK, two), (patch, one("A a2 192.0.2.1"))];
    assert_eq!(play(&settings(), &job, &script), confirmed("2 home.test home.test id=z1 A=a2/60/", 60));
}

#[test]
fn a_host_goes_offline_only_where_its_records_say_what_we_wrote() {
    let job = job_after("192.0.2.1,2001:db8::1", "2 home.test home.test id=z1 A=a1/60/ AAAA=b1/60/", "");
    let by_hand = list(&["A a1 192.0.2.77", "AAAA b1 2001:db8::1"]);
    let script = [(LOOK, by_hand), ("DELETE /zones/z1/dns_records/b1", success(json!({"id": "b1"})))];
    assert_eq!(play(&settings(), &job, &script), confirmed("2 home.test home.test id=z1", 0));
    let delete = r#"POST /zones/z1/dns_records/batch {"deletes":[{"id":"a1"},{"id":"b1"}]}"#;
    let ours = list(&["A a1 192.0.2.1", "AAAA b1 2001:db8::1"]);
    let script = [(LOOK, ours), (delete, success(json!({"deletes": []})))];
    assert_eq!(play(&settings(), &job, &script), confirmed("2 home.test home.test id=z1", 0));
    assert_eq!(play(&settings(), &job, &[(LOOK, list(&[]))]), confirmed("2 home.test home.test id=z1", 0));
}

#[test]
fn a_family_that_nobody_mentioned_is_not_touched() {
    let script = [(FIND, zone()), (LOOK, list(&["A a1 192.0.2.1", "AAAA b1 2001:db8::5"]))];
    assert_eq!(play(&settings(), &job("192.0.2.1"), &script), confirmed("2 home.test home.test id=z1 A=a1/60/", 60));
}

#[test]
fn a_doubt_is_cleared_by_a_look() {
    let before = job_after("192.0.2.1", "2 home.test home.test id=z1 A=a1/60/", "192.0.2.1");
    let job = HostJob { doubted: vec![set("192.0.2.2")], ..before };
    let patch = r#"PATCH /zones/z1/dns_records/a1 {"content":"192.0.2.1"}"#;
    let script = [(LOOK, list(&["A a1 192.0.2.2"])), (patch, one("A a1 192.0.2.1"))];
    assert_eq!(play(&settings(), &job, &script), confirmed("2 home.test home.test id=z1 A=a1/60/", 60));
    assert_eq!(
        play(&settings(), &job, &[(LOOK, list(&["A a1 192.0.2.1"]))]),
        confirmed("2 home.test home.test id=z1 A=a1/60/", 60)
    );
}

#[test]
fn a_record_that_is_gone_is_looked_for_once() {
    let job = job_after("192.0.2.1", "2 home.test home.test id=z1 A=a1/60/", "192.0.2.2");
    let patch = r#"PATCH /zones/z1/dns_records/a1 {"content":"192.0.2.2"}"#;
    let create = r#"POST /zones/z1/dns_records {"content":"192.0.2.2","name":"nas.home.test","proxied":false,"ttl":60,"type":"A"}"#;
    let gone = failure(404, 81044, "Record does not exist.");
    let script = [(patch, gone.clone()), (LOOK, list(&[])), (create, one("A a9 192.0.2.2"))];
    assert_eq!(play(&settings(), &job, &script), confirmed("2 home.test home.test id=z1 A=a9/60/", 60));
    let again = r#"PATCH /zones/z1/dns_records/a2 {"content":"192.0.2.2"}"#;
    let script = [(patch, gone.clone()), (LOOK, list(&["A a2 192.0.2.1"])), (again, gone)];
    assert_unconfirmed(&play(&settings(), &job, &script), Class::Busy, false);
}

#[test]
fn a_zone_that_was_made_anew_is_found_again() {
    let job = job_after("192.0.2.1", "2 home.test home.test id=z0 A=a0/60/", "192.0.2.2");
    let stale = r#"PATCH /zones/z0/dns_records/a0 {"content":"192.0.2.2"}"#;
    let patch = r#"PATCH /zones/z1/dns_records/a1 {"content":"192.0.2.2"}"#;
    for (status, code) in [(404, 7003), (403, 10000), (403, 9109)] {
        let script = [
            (stale, failure(status, code, "no")),
            (FIND, zone()),
            (LOOK, list(&["A a1 192.0.2.1"])),
            (patch, one("A a1 192.0.2.2")),
        ];
        assert_eq!(play(&settings(), &job, &script), confirmed("2 home.test home.test id=z1 A=a1/60/", 60));
    }
}

#[test]
fn memory_of_another_zone_is_not_used() {
    let job = job_after("192.0.2.1", "2 old.test old.test id=z0 A=a0/60/", "192.0.2.2");
    let patch = r#"PATCH /zones/z1/dns_records/a1 {"content":"192.0.2.2"}"#;
    let script = [(FIND, zone()), (LOOK, list(&["A a1 192.0.2.1"])), (patch, one("A a1 192.0.2.2"))];
    assert_eq!(play(&settings(), &job, &script), confirmed("2 home.test home.test id=z1 A=a1/60/", 60));
    let mut settings = settings();
    settings.set(ZONE_ID, Setting::Text("z1".into()));
    let job = job_after("192.0.2.1", "2 home.test home.test id=z0 A=a0/60/", "192.0.2.2");
    let script = [(LOOK, list(&["A a1 192.0.2.1"])), (patch, one("A a1 192.0.2.2"))];
    assert_eq!(play(&settings, &job, &script), confirmed("2 home.test home.test id=z1 A=a1/60/", 60));
}

#[test]
fn a_record_that_exists_already_is_read_and_taken_for_what_it_is() {
    let create = r#"POST /zones/z1/dns_records {"content":"192.0.2.1","name":"nas.home.test","proxied":false,"ttl":60,"type":"A"}"#;
    for code in [81057, 81058] {
        let exists = failure(400, code, "An identical record already exists.");
        let script = [(FIND, zone()), (LOOK, list(&[])), (create, exists.clone()), (LOOK, list(&["A a1 192.0.2.1"]))];
        assert_eq!(
            play(&settings(), &job("192.0.2.1"), &script),
            confirmed("2 home.test home.test id=z1 A=a1/60/", 60)
        );
        let script = [(FIND, zone()), (LOOK, list(&[])), (create, exists.clone()), (LOOK, list(&[])), (create, exists)];
        assert_refused(&play(&settings(), &job("192.0.2.1"), &script), Class::Invalid, "identical");
    }
}

#[test]
fn a_zone_that_the_token_does_not_see_is_refused_with_a_cure() {
    let none = success(json!([]));
    assert_refused(&play(&settings(), &job("192.0.2.1"), &[(FIND, none)]), Class::NoZone, "zone_id");
    let other = success(json!([{"id": "z2", "name": "myhome.test"}]));
    assert_refused(&play(&settings(), &job("192.0.2.1"), &[(FIND, other)]), Class::NoZone, "zone_id");
    let two = success(json!([{"id": "z1", "name": "home.test"}, {"id": "z2", "name": "home.test"}]));
    assert_refused(&play(&settings(), &job("192.0.2.1"), &[(FIND, two)]), Class::NoZone, "several");
}

#[test]
fn refusals_are_told_apart() {
    let remembered = "2 home.test home.test id=z1 A=a1/60/";
    let after = job_after("192.0.2.1", remembered, "192.0.2.2");
    let patch = r#"PATCH /zones/z1/dns_records/a1 {"content":"192.0.2.2"}"#;
    for (status, code, class) in [
        (401, 10000, Class::Auth),
        (400, 6111, Class::Auth),
        (400, 9005, Class::Invalid),
        (400, 81053, Class::Invalid),
        (400, 9041, Class::Invalid),
        (400, 81045, Class::Quota),
    ] {
        let outcome = play(&settings(), &after, &[(patch, failure(status, code, "the reason"))]);
        assert_refused(&outcome, class, "the reason");
    }
    // The token is good: it read the zone. It may only not write.
    let forbidden = failure(403, 10000, "Authentication error");
    let create = r#"POST /zones/z1/dns_records {"content":"192.0.2.1","name":"nas.home.test","proxied":false,"ttl":60,"type":"A"}"#;
    let script = [(FIND, zone()), (LOOK, list(&[])), (create, forbidden.clone())];
    assert_refused(&play(&settings(), &job("192.0.2.1"), &script), Class::Denied, "DNS - Edit");
    // Nothing works with it.
    let script = [(patch, forbidden.clone()), (FIND, forbidden.clone())];
    assert_refused(&play(&settings(), &after, &script), Class::Auth, "api_token");
    assert_refused(&play(&settings(), &job("192.0.2.1"), &[(FIND, forbidden)]), Class::Auth, "api_token");
}

/// How the write ends when `heard` is the answer to it.
fn after_write(heard: Heard) -> Outcome {
    let job = job_after("192.0.2.1", "2 home.test home.test id=z1 A=a1/60/", "192.0.2.2");
    let job = Job { zone: Hostname::parse("home.test").unwrap(), hosts: vec![job] };
    let mut talk = settings().open().unwrap().update(&job);
    assert!(matches!(talk.next(None, Moment::default()), Step::Send(_)));
    match talk.next(Some(heard), Moment::default()) {
        Step::Done(mut outcomes) => outcomes.remove(0),
        other @ (Step::Seen(_) | Step::Send(_)) => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_that_proves_nothing_is_unconfirmed() {
    let answer = |status: u16, body: &str| {
        Heard::Answer(Answer { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()) })
    };
    let silence = |was_sent| Heard::Silence(Silence { why: "no answer in time".into(), was_sent });
    let (_, other_address) = one("A a1 192.0.2.99");
    let (_, other_record) = one("A a7 192.0.2.2");
    let (_, half) = one("A a1 192.0.2.2");
    for (heard, wanted, written) in [
        (answer(500, "{}"), Class::Down, true),
        (answer(502, "<html></html>"), Class::Down, true),
        (answer(200, "<html></html>"), Class::Down, true),
        (answer(200, &half[..half.len() / 2]), Class::Bug, true),
        (answer(200, &other_address), Class::Bug, true),
        (answer(200, &other_record), Class::Bug, true),
        (answer(200, r#"{"success":true,"result":null}"#), Class::Bug, true),
        (silence(true), Class::Down, true),
        (silence(false), Class::Down, false),
    ] {
        assert_unconfirmed(&after_write(heard), wanted, written);
    }
}

#[test]
fn too_many_requests_carry_their_patience() {
    let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("123"))]);
    let (_, body) = failure(429, 10000, "Rate limited.");
    let outcome = after_write(Heard::Answer(Answer { status: 429, headers, body: body.into() }));
    let Outcome::Unconfirmed { class: Class::Rate, retry_after, maybe_written: false, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(retry_after.map(|span| span.as_secs()), Some(123));
}

#[test]
fn a_wildcard_is_looked_for_by_its_name() {
    let job = HostJob { hostname: Hostname::parse("*.home.test").unwrap(), ..job("192.0.2.1") };
    let mut star = record("A a1 192.0.2.1");
    star["name"] = json!("*.home.test");
    let look = "GET /zones/z1/dns_records?name=%2A.home.test&per_page=100";
    let script = [(FIND, zone()), (look, success(json!([star])))];
    assert_eq!(play(&settings(), &job, &script), confirmed("2 home.test home.test id=z1 A=a1/60/", 60));
}

#[test]
fn a_removal_is_told_as_the_reference_shows_it() {
    let gone = job_after("192.0.2.1", "2 home.test home.test id=z1 A=a1/60/", "");
    let delete = "DELETE /zones/z1/dns_records/a1";
    for (body, is_done) in [
        (r#"{"result":{"id":"a1"}}"#, true),
        (r#"{"result":{"id":"a1"},"success":true,"errors":[],"messages":[]}"#, true),
        (r#"{"result":null}"#, false),
    ] {
        let script = [(LOOK, list(&["A a1 192.0.2.1"])), (delete, (200, body.to_owned()))];
        let outcome = play(&settings(), &gone, &script);
        assert_eq!(matches!(outcome, Outcome::Confirmed { ttl: 0, .. }), is_done, "{body}: {outcome:?}");
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    let with = |change: &dyn Fn(&mut ProviderSettings)| {
        let mut settings = settings();
        change(&mut settings);
        settings.open().map(|_| ()).map_err(|bad| bad.key)
    };
    let token = |text: &str| Setting::Secret(Secret::new(text.to_owned()));
    assert_eq!(with(&|_| ()), Ok(()));
    assert_eq!(with(&|settings| settings.set(API_TOKEN, token("  right\n"))), Ok(()), "a file ends with a newline");
    assert_eq!(with(&|settings| settings.set(API_TOKEN, token(" "))), Err(API_TOKEN));
    assert_eq!(with(&|settings| settings.set(API_TOKEN, token("a b"))), Err(API_TOKEN));
    assert_eq!(with(&|settings| settings.set(ZONE_ID, Setting::Text("home.test".into()))), Err(ZONE_ID));
    assert_eq!(with(&|settings| settings.ttl = Some(5)), Err("ttl"));
    assert_eq!(with(&|settings| settings.endpoint = Some("api.test".into())), Err("endpoint"));
    assert_eq!(ProviderSettings::new("cloud", &KIND).open().map(|_| ()).map_err(|bad| bad.key), Err(API_TOKEN));
}
