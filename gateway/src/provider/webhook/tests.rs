use super::*;
use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after};
use crate::provider::{Call, HostJob, Job, Outcome, Setting, Step};

/// Settings without an endpoint; `url` and the like are secrets.
fn settings(pairs: &[(&'static str, &str)]) -> ProviderSettings {
    let secrets: Vec<(&'static str, &str)> =
        pairs.iter().filter(|(key, _)| ![METHOD, EXPECT, DELETE_METHOD].contains(key)).copied().collect();
    let mut settings = play::settings("webhook", &secrets);
    settings.endpoint = None;
    for (key, value) in pairs.iter().filter(|(key, _)| [METHOD, EXPECT, DELETE_METHOD].contains(key)) {
        settings.set(key, Setting::Text((*value).to_owned()));
    }
    settings
}

fn with_header(mut settings: ProviderSettings, name: &str, value: &str) -> ProviderSettings {
    settings.set(HEADERS, Setting::Headers(vec![(name.to_owned(), Secret::new(value.to_owned()))]));
    settings
}

fn one(settings: &ProviderSettings, host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
    let script: Vec<_> = script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
    // The whole URL is compared: nothing is cut off before it.
    let mut settings = settings.clone();
    let provider = settings.open().unwrap();
    settings.endpoint = Some(String::new());
    let job = Job { zone: Hostname::parse("home.test").unwrap(), hosts: vec![host] };
    let step = play::run(&settings, provider.update(&job), &script, |_| ());
    let Step::Done(mut outcomes) = step else { panic!("one call too many: {step:?}") };
    outcomes.remove(0)
}

const DONE: Outcome = Outcome::Confirmed { remembered: None, ttl: 60 };

#[test]
fn one_call_for_each_family_or_one_for_both() {
    let each = settings(&[(URL, "https://x.test/{zone}/{subdomain}?t={type}&a={ip}&ttl={ttl}&at={timestamp}")]);
    let at = "&ttl=60&at=1795348800";
    let four = format!("GET https://x.test/home.test/%2A.lan?t=A&a=192.0.2.1{at}");
    let six = format!("GET https://x.test/home.test/%2A.lan?t=AAAA&a=2001%3Adb8%3A%3A1{at}");
    let both = host("*.lan.home.test", "192.0.2.1,2001:db8::1");
    assert_eq!(one(&each, both, &[(&four, (200, "")), (&six, (204, ""))]), DONE);
    let later = host_after("*.lan.home.test", "192.0.2.9,2001:db8::1", "", "192.0.2.1,2001:db8::1");
    assert_eq!(one(&each, later.clone(), &[(&four, (200, ""))]), DONE);

    let body = r#"{"name": "{hostname}", "a": "{ipv4}", "aaaa": "{ipv6}"}"#;
    let whole = settings(&[(URL, "https://x.test/"), (BODY, body)]);
    let filled = r#"POST https://x.test/ {"name": "*.lan.home.test", "a": "192.0.2.1", "aaaa": "2001:db8::1"}"#;
    assert_eq!(one(&whole, later, &[(filled, (201, ""))]), DONE);
    // A family that goes is told as nothing.
    let half = host_after("*.lan.home.test", "192.0.2.1,2001:db8::1", "", "192.0.2.1");
    assert_eq!(one(&whole, half, &[(&filled.replace("2001:db8::1", ""), (200, ""))]), DONE);
    // ddns-go's own spelling.
    let foreign = settings(&[(URL, "http://x.test/?d=#{domain}&i=#{ip}&r=#{recordType}")]);
    let filled = "GET http://x.test/?d=nas.home.test&i=192.0.2.1&r=A";
    assert_eq!(one(&foreign, host("nas.home.test", "192.0.2.1"), &[(filled, (200, ""))]), DONE);
}

#[test]
fn going_offline_needs_a_url_of_its_own() {
    let gone = host_after("nas.home.test", "192.0.2.1,2001:db8::1", "", "");
    let without = settings(&[(URL, "https://x.test/?a={ip}")]);
    assert_refused(&one(&without, gone.clone(), &[]), Class::Invalid, "offline");
    let with = settings(&[(URL, "https://x.test/?a={ip}"), (DELETE_URL, "https://x.test/{hostname}/{type}/{ip}")]);
    let (four, six) = (
        "DELETE https://x.test/nas.home.test/A/192.0.2.1",
        "DELETE https://x.test/nas.home.test/AAAA/2001%3Adb8%3A%3A1",
    );
    let outcome = one(&with, gone.clone(), &[(four, (204, "")), (six, (204, ""))]);
    assert_eq!(outcome, Outcome::Confirmed { remembered: None, ttl: 0 });
    let whole = settings(&[
        (URL, "https://x.test/?a={ipv4}&b={ipv6}"),
        (DELETE_URL, "https://x.test/?gone={hostname}"),
        (DELETE_METHOD, "get"),
    ]);
    let asked = "GET https://x.test/?gone=nas.home.test";
    assert_eq!(one(&whole, gone, &[(asked, (200, ""))]), Outcome::Confirmed { remembered: None, ttl: 0 });
}

#[test]
fn an_answer_is_held_against_what_is_expected() {
    let settings = settings(&[(URL, "https://x.test/?a={ip}"), (EXPECT, "status 200; json /ip = {ip}")]);
    let asked = "GET https://x.test/?a=192.0.2.1";
    let told = |status, body| one(&settings, host("nas.home.test", "192.0.2.1"), &[(asked, (status, body))]);
    assert_eq!(told(200, r#"{"ip": "192.0.2.1"}"#), DONE);
    assert_unconfirmed(&told(200, r#"{"ip": "192.0.2.7"}"#), Class::Bug, true);
    assert_unconfirmed(&told(200, "<html>"), Class::Bug, true);
    assert_unconfirmed(&told(201, r#"{"ip": "192.0.2.1"}"#), Class::Bug, true);
    for (status, class) in [(401, Class::Auth), (403, Class::Denied), (404, Class::NoZone), (422, Class::Invalid)] {
        assert_refused(&told(status, "no"), class, "no");
    }
    for (status, class, written) in
        [(429, Class::Rate, false), (503, Class::Down, true), (409, Class::Busy, false), (302, Class::Bug, true)]
    {
        assert_unconfirmed(&told(status, ""), class, written);
    }
}

#[test]
fn values_are_escaped_for_the_type_of_the_body_and_calls_are_signed() {
    let form = settings(&[(URL, "https://x.test/"), (BODY, "a={ip}"), (HMAC_SECRET, "hush-hush-0123")]);
    let talk = |settings: &ProviderSettings, wanted| {
        let job = Job { zone: Hostname::parse("home.test").unwrap(), hosts: vec![host("nas.home.test", wanted)] };
        let step = settings.open().unwrap().update(&job).next(None, play::NOON);
        let Step::Send(Call::Http(call)) = step else { panic!("{step:?}") };
        call
    };
    let call = talk(&form, "2001:db8::1");
    assert_eq!(call.body, "a=2001%3Adb8%3A%3A1");
    assert_eq!(play::header(&call, "content-type"), FORM);
    // openssl dgst -sha256 -hmac hush-hush-0123, of "1795348800.a=2001%3Adb8%3A%3A1".
    let signed = play::header(&call, "x-nicgate-signature").to_str().unwrap();
    assert_eq!(signed, "t=1795348800,v1=664816d882a6350c79814903043aed5ac5063619dc615129e02b3af607ee79f1");
    let plain = with_header(settings(&[(URL, "https://x.test/"), (BODY, "a={ip}")]), "Content-Type", "text/plain");
    let call = talk(&plain, "2001:db8::1");
    assert_eq!(
        (&call.body[..], play::header(&call, "content-type").to_str().unwrap()),
        (&b"a=2001:db8::1"[..], "text/plain")
    );
    assert!(play::header(&call, "content-type").is_sensitive());
}

#[test]
fn mistakes_are_found_before_anything_is_called() {
    let wrong = |pairs: &[(&'static str, &str)], key: &str, word: &str| {
        let bad = settings(pairs).open().map(|_| ()).expect_err(word);
        assert!(bad.key == key && bad.why.contains(word), "{bad}, not {key} {word}");
    };
    let url = "https://x.test/?a={ip}";
    wrong(&[], URL, "missing");
    wrong(&[(URL, "ftp://x.test/{ip}")], URL, "http://");
    wrong(&[(URL, "https://{ip}/")], URL, "server");
    wrong(&[(URL, "https://x{ip}.test/")], URL, "server");
    wrong(&[(URL, "https://me:pw@x.test/{ip}")], URL, "without a user");
    wrong(&[(URL, "https://x.test/{ip}#here")], URL, "fragment");
    wrong(&[(URL, "https://x.test/a b{ip}")], URL, "no URL");
    wrong(&[(URL, "https://x.test/{address}")], URL, "{address}");
    wrong(&[(URL, "https://x.test/")], URL, "no address");
    wrong(&[(URL, "https://x.test/{ipv6}"), (DELETE_URL, "https://x.test/{type}")], DELETE_URL, "{type}");
    wrong(&[(URL, "https://x.test/{ipv6}"), (EXPECT, "{ip}")], EXPECT, "{ip}");
    wrong(&[(URL, "https://x.test/{type}")], URL, "no address");
    wrong(&[(URL, "/{ip}")], URL, "http://");
    wrong(&[(URL, url), (METHOD, "BREW")], METHOD, "PATCH");
    wrong(&[(URL, url), (METHOD, "GET"), (BODY, "x")], METHOD, "no body");
    wrong(&[(URL, url), (BODY, r#"{"a": {ip}}"#)], BODY, "no JSON");
    wrong(&[(URL, url), (EXPECT, "json success")], EXPECT, "pointer");
    wrong(&[(URL, url), (EXPECT, "contains {timestamp}")], EXPECT, "{timestamp}");
    wrong(&[(URL, url), (DELETE_METHOD, "GET")], DELETE_METHOD, "delete_url");
    wrong(&[(URL, url), (DELETE_URL, "x.test")], DELETE_URL, "http://");
    for (name, value, word) in [
        ("X", "a\r\nY: b", "several lines"),
        ("X", "a\u{7}", "no header may"),
        ("X Y", "a", "no name"),
        ("Host", "elsewhere", "not for you"),
        ("X", "{who}", "{who}"),
    ] {
        let bad = with_header(settings(&[(URL, url)]), name, value).open().map(|_| ()).unwrap_err();
        assert!(bad.key == HEADERS && bad.why.contains(word), "{bad}");
    }
    let mut elsewhere = settings(&[(URL, url)]);
    elsewhere.endpoint = Some("http://127.0.0.1".into());
    assert_eq!(elsewhere.open().map(|_| ()).unwrap_err().key, URL);
}

#[test]
fn an_endpoint_is_what_a_path_stands_behind() {
    let told = "GET http://127.0.0.1:9/hook?a=192.0.2.1";
    for url in ["/hook?a={ip}", "http://127.0.0.1:9/hook?a={ip}"] {
        let mut with = settings(&[(URL, url)]);
        with.endpoint = Some("http://127.0.0.1:9".into());
        let job = Job { zone: Hostname::parse("home.test").unwrap(), hosts: vec![host("nas.home.test", "192.0.2.1")] };
        let talk = with.open().unwrap().update(&job);
        with.endpoint = Some(String::new());
        let step = play::run(&with, talk, &[(told, (200, String::new()))], |_| ());
        assert!(matches!(step, Step::Done(outcomes) if outcomes == [DONE]), "{url}");
    }
}

#[test]
fn a_call_about_one_family_may_tell_of_both() {
    let body = r#"{"type": "{type}", "ip": "{ip}", "ipv4": "{ipv4}", "ipv6": "{ipv6}"}"#;
    let mixed = settings(&[(URL, "https://x.test/"), (BODY, body)]);
    let filled =
        r#"POST https://x.test/ {"type": "AAAA", "ip": "2001:db8::2", "ipv4": "192.0.2.1", "ipv6": "2001:db8::2"}"#;
    let later = host_after("nas.home.test", "192.0.2.1,2001:db8::1", "", "192.0.2.1,2001:db8::2");
    assert_eq!(one(&mixed, later, &[(filled, (200, ""))]), DONE);
}

#[test]
fn a_webhook_with_one_word_tells_one_family() {
    let settings = settings(&[(URL, "https://x.test/?a={ipv4}")]);
    let both = host("nas.home.test", "192.0.2.1,2001:db8::1");
    let outcome = one(&settings, both, &[("GET https://x.test/?a=192.0.2.1", (200, ""))]);
    assert_refused(&outcome, Class::Invalid, "{ipv6}");
}
