use super::*;
use crate::provider::play::{self, assert_refused, header, host, host_after, play};
use crate::provider::{HostJob, Outcome, Setting};

fn settings(texts: &[(&'static str, &str)]) -> ProviderSettings {
    let mut settings = play::settings("dyndns2", &[(PASSWORD, "hush-hush")]);
    settings.set(USERNAME, Setting::Text("me".into()));
    for (key, text) in texts {
        settings.set(key, Setting::Text((*text).to_owned()));
    }
    settings
}

fn one(settings: &ProviderSettings, host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
    let script: Vec<_> = script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
    play(settings, "home.test", &[host], &script, |_| ()).remove(0)
}

const DONE: Outcome = Outcome::Confirmed { remembered: None, ttl: DEFAULT_TTL };
const NAS: &str = "GET /nic/update?hostname=nas.home.test";

#[test]
fn both_families_go_as_the_server_takes_them() {
    let both = host_after("nas.home.test", "192.0.2.9,2001:db8::1", "", "192.0.2.1,2001:db8::1");
    let six = "2001%3Adb8%3A%3A1";
    for (texts, asked) in [
        (&[][..], format!("{NAS}&myip=192.0.2.1%2C{six}")),
        (&[(IP6, "myipv6")], format!("{NAS}&myip=192.0.2.1&myipv6={six}")),
        (&[(IP6, "separate")], format!("{NAS}&myip=192.0.2.1")),
        (
            &[(PATH, "/update"), (HOSTNAME_PARAMETER, "host"), (IP_PARAMETER, "ip"), (IP6, "ipv6")],
            format!("GET /update?host=nas.home.test&ip=192.0.2.1&ipv6={six}"),
        ),
        (&[(PRESET, "all-inkl")], format!("GET /?host=nas.home.test&myip=192.0.2.1&myip6={six}")),
    ] {
        assert_eq!(one(&settings(texts), both.clone(), &[(&asked, (200, "good"))]), DONE, "{asked}");
    }
    let new = host("nas.home.test", "192.0.2.1,2001:db8::1");
    let outcome = one(&settings(&[(IP6, "none")]), new, &[(&format!("{NAS}&myip=192.0.2.1"), (200, "good"))]);
    assert_refused(&outcome, Class::Invalid, "ip6");
}

#[test]
fn separate_families_are_told_as_they_change() {
    let settings = settings(&[(IP6, "separate")]);
    let (four, six) = (format!("{NAS}&myip=192.0.2.1"), format!("{NAS}&myip=2001%3Adb8%3A%3A1"));
    let new = host("nas.home.test", "192.0.2.1,2001:db8::1");
    let script = [(four.as_str(), (200, "good 192.0.2.1")), (&six, (200, "nochg 2001:db8::1"))];
    assert_eq!(one(&settings, new.clone(), &script), DONE);
    // What was told before the trouble may stand.
    let outcome = one(&settings, new, &[script[0], (&six, (200, "badauth"))]);
    assert!(matches!(outcome, Outcome::Refused { class: Class::Auth, maybe_written: true, .. }), "{outcome:?}");
}

#[test]
fn some_servers_have_words_for_what_is_not_told_and_for_what_goes() {
    let alone = host("nas.home.test", "2001:db8::1");
    let six = "myipv6=2001%3Adb8%3A%3A1";
    let gone = host_after("nas.home.test", "192.0.2.1,2001:db8::1", "", "2001:db8::1");
    let offline = host_after("nas.home.test", "192.0.2.1,2001:db8::1", "", "");
    let desec = settings(&[(PRESET, "desec")]);
    assert_eq!(one(&desec, alone.clone(), &[(&format!("{NAS}&myip=preserve&{six}"), (200, "good"))]), DONE);
    assert_eq!(one(&desec, gone.clone(), &[(&format!("{NAS}&myip=&{six}"), (200, "good"))]), DONE);
    let outcome = one(&desec, offline.clone(), &[(&format!("{NAS}&myip=&myipv6="), (200, "good"))]);
    assert_eq!(outcome, Outcome::Confirmed { remembered: None, ttl: 0 });
    let dynu = settings(&[(PRESET, "dynu")]);
    assert_eq!(one(&dynu, alone, &[(&format!("{NAS}&myip=no&{six}"), (200, "good"))]), DONE);
    assert_refused(&one(&dynu, gone, &[]), Class::Invalid, "leave the other");
    assert_refused(&one(&dynu, offline, &[]), Class::Invalid, "offline");
}

#[test]
fn credentials_go_where_the_server_wants_them() {
    let first = host("nas.home.test", "192.0.2.1");
    let asked = |more: &str| (format!("{NAS}&myip=192.0.2.1{more}"), (200, "good".to_owned()));
    for (texts, flag, more, authorization) in [
        (&[][..], None, "", "Basic bWU6aHVzaC1odXNo"),
        (&[(USERNAME, "{hostname}")], None, "", "Basic bmFzLmhvbWUudGVzdDpodXNoLWh1c2g="),
        (&[(PRESET, "ovh")], None, "&system=dyndns", "Basic bWU6aHVzaC1odXNo"),
        (&[], Some(true), "&username=me&password=hush-hush", ""),
        (&[(PRESET, "spdyn")], None, "&user=me&pass=hush-hush", ""),
        (&[(PRESET, "spdyn")], Some(false), "", "Basic bWU6aHVzaC1odXNo"),
    ] {
        let mut settings = settings(texts);
        if let Some(flag) = flag {
            settings.set(QUERY_CREDENTIALS, Setting::Flag(flag));
        }
        let outcomes = play(&settings, "home.test", std::slice::from_ref(&first), &[asked(more)], |call| {
            if authorization.is_empty() {
                assert!(call.headers.is_empty(), "{:?}", call.headers);
            } else {
                assert_eq!(header(call, "authorization"), authorization);
                assert!(header(call, "authorization").is_sensitive());
            }
        });
        assert_eq!(outcomes, [DONE], "{more}");
    }
}

#[test]
fn mistakes_are_found_before_anything_is_called() {
    for (texts, key) in [
        (&[(PRESET, "nobody")][..], PRESET),
        (&[(PATH, "nic/update")], PATH),
        (&[(PATH, "/nic/update?x=1")], PATH),
        (&[(HOSTNAME_PARAMETER, "a&b")], HOSTNAME_PARAMETER),
        (&[(IP_PARAMETER, "")], IP_PARAMETER),
        (&[(IP6, "coma")], IP6),
        (&[(USERNAME, "a:b")], USERNAME),
        (&[(USERNAME, " ")], USERNAME),
    ] {
        let bad = settings(texts).open().map(|_| ()).unwrap_err();
        assert_eq!(bad.key, key, "{bad}");
    }
    let mut nowhere = settings(&[]);
    nowhere.endpoint = None;
    assert_eq!(nowhere.open().map(|_| ()).unwrap_err().key, "endpoint");
}

#[test]
fn every_preset_opens_by_itself() {
    let words: Vec<&str> = PRESETS.iter().map(|preset| preset.word).collect();
    assert!(words.is_sorted(), "{words:?}");
    for word in words {
        let mut settings = settings(&[(PRESET, word)]);
        settings.endpoint = None;
        assert!(settings.open().is_ok(), "{word}");
    }
}
