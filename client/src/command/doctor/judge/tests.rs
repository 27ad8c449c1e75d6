use super::*;
use crate::platform::{DefaultRoute, Local};
use crate::reply::HostResult;
use crate::settings::Trust;
use crate::task::{Ended, Told};
use nicgate_protocol::secret::KEY_LETTERS;
use nicgate_protocol::{DeviceId, Hostname, Secret};

fn url() -> BaseUrl {
    BaseUrl::parse("https://g.example").unwrap()
}

fn settings() -> Settings {
    let (device, host) = (DeviceId::parse("laptop").unwrap(), Hostname::parse("a.home.test").unwrap());
    Settings::new(url(), Trust::PublicRoots, device, Secret::new([b'A'; KEY_LETTERS]), vec![host])
}

fn refused(kind: io::ErrorKind) -> io::Result<()> {
    Err(kind.into())
}

#[test]
fn the_clock_is_judged_by_what_the_gateway_refuses() {
    let noon = Timestamp::from_basic("20260102T120000Z").unwrap().seconds();
    let date = Some("Fri, 02 Jan 2026 12:00:00 GMT");
    for (ours, grade, part) in [
        (noon, Grade::Fine, "agrees"),
        (noon - 60, Grade::Fine, "agrees"),
        (noon + 60, Grade::Fine, "agrees"),
        (noon - 61, Grade::Doubtful, "behind"),
        (noon + 300, Grade::Doubtful, "ahead of"),
        (noon - 301, Grade::Wrong, "it refuses"),
        (noon + 86_400, Grade::Wrong, "ahead of"),
    ] {
        let finding = clock(&url(), Timestamp::from_seconds(ours), date).unwrap();
        assert_eq!(finding.grade, grade, "{finding}");
        assert!(finding.says.contains(part), "{finding}");
    }
    assert_eq!(clock(&url(), Timestamp::from_seconds(noon), None), None);
}

#[test]
fn only_dates_as_http_writes_them_are_read() {
    for (text, expected) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some("19941106T084937Z")),
        ("Thu, 29 Feb 2024 23:59:59 GMT", Some("20240229T235959Z")),
        ("Wed, 29 Feb 2023 00:00:00 GMT", None),
        ("Sun, 6 Nov 1994 08:49:37 GMT", None),
        ("Sunday, 06-Nov-94 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("Sun, 06 Nov 1994 084937:: GMT", None),
        ("Sun, 06 Nov 1994 8:49:370 GMT", None),
        ("Sun, 06 nov 1994 08:49:37 GMT", None),
        ("", None),
    ] {
        assert_eq!(reply::date(text).map(Timestamp::basic).as_deref(), expected, "{text}");
    }
}

#[test]
fn the_key_is_good_when_only_the_name_is_refused() {
    let heard = |verdict, code| {
        let hostname = Hostname::parse("doctor.invalid").unwrap();
        let results = vec![HostResult { hostname, code, verdict }];
        Ok(Heard { results, retry_after: Some(Duration::from_secs(90)) })
    };
    for (verdict, code, is_clock_wrong, grade, part) in [
        (Verdict::Refused, ReturnCode::NoHost, false, Grade::Fine, "nothing was changed"),
        (Verdict::Refused, ReturnCode::BadAuth, false, Grade::Wrong, "nicgate device show laptop"),
        (Verdict::Refused, ReturnCode::BadAuth, true, Grade::Wrong, "clock right first"),
        (Verdict::Refused, ReturnCode::Abuse, false, Grade::Wrong, "operator"),
        (Verdict::NotNow, ReturnCode::NineOneOne, false, Grade::Doubtful, "try again in"),
        (Verdict::Refused, ReturnCode::DnsErr, false, Grade::Doubtful, "says nothing about the key"),
        (Verdict::Done, ReturnCode::Good(AddressSet::EMPTY), false, Grade::Doubtful, "good"),
    ] {
        let finding = credentials(&url(), &settings(), heard(verdict, code), is_clock_wrong);
        assert_eq!(finding.grade, grade, "{finding}");
        assert!(finding.to_string().contains(part), "{finding}");
    }
    let lost = Err(NoAnswer::NotOurs(NotOurs::Form(200)));
    assert_eq!(credentials(&url(), &settings(), lost, false).grade, Grade::Wrong);
}

#[test]
fn a_file_that_cannot_be_written_is_wrong_unless_it_is_somebody_elses() {
    let (file, deep) = (std::env::temp_dir().join("none/state.json"), std::env::temp_dir().join("a/b/state.json"));
    for (path, tried, is_others, grade) in [
        (&file, Ok(()), false, Grade::Fine),
        (&file, refused(io::ErrorKind::PermissionDenied), false, Grade::Wrong),
        (&file, refused(io::ErrorKind::PermissionDenied), true, Grade::Doubtful),
        (&file, refused(io::ErrorKind::NotFound), false, Grade::Doubtful),
        (&deep, refused(io::ErrorKind::NotFound), false, Grade::Wrong),
        (&file, refused(io::ErrorKind::StorageFull), true, Grade::Wrong),
    ] {
        let finding = writable("state", path, tried, is_others);
        assert_eq!(finding.grade, grade, "{finding}");
    }
    assert!(writable("log", &file, refused(io::ErrorKind::StorageFull), false).to_string().contains("`log_file`"));
}

#[test]
fn a_gateway_is_told_apart_from_its_silence() {
    let reached = |faults: &[bool]| -> Vec<Reached> {
        let fault = |is_fault: &bool| is_fault.then(|| io::ErrorKind::ConnectionRefused.into());
        faults.iter().map(|is_fault| (SocketAddr::from(([192, 0, 2, 1], 443)), fault(is_fault))).collect()
    };
    for (faults, grade) in
        [(&[false][..], Grade::Fine), (&[true, false], Grade::Doubtful), (&[true, true], Grade::Wrong)]
    {
        assert_eq!(tcp(&url(), &reached(faults)).grade, grade, "{faults:?}");
    }
    for (status, body, grade) in [
        (200, "192.0.2.7\n", Grade::Fine),
        (200, "<html>", Grade::Wrong),
        (200, "", Grade::Wrong),
        (404, "192.0.2.7", Grade::Wrong),
    ] {
        let answer = Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() };
        assert_eq!(seen(&url(), &answer).grade, grade, "{status} {body}");
    }
    let unknown = io::Error::from(io::ErrorKind::NotFound);
    assert_eq!(name(&url(), Err(&unknown)).grade, Grade::Wrong);
    assert_eq!(tls(&url(), None).grade, Grade::Fine);
    assert_eq!(tls(&BaseUrl::parse("http://127.0.0.1").unwrap(), None).grade, Grade::Doubtful);
}

#[test]
fn uplinks_are_wrong_when_none_works() {
    let broken = [("fibre".to_owned(), "no answer".to_owned())];
    for (name, taken, grade) in
        [("fibre", "lte", Grade::Doubtful), ("fibre", "", Grade::Wrong), ("lte", "lte", Grade::Fine)]
    {
        assert_eq!(uplink(name, taken, &broken).grade, grade, "{name} {taken}");
    }
}

#[test]
fn a_missing_task_is_no_fault_and_a_failing_one_is() {
    let there = |is_fine| {
        let last = Some(Ended { words: "x".to_owned(), is_fine });
        task::Answer::There(Some(Told { is_on: Some(true), last, ..Told::default() }))
    };
    let at_work = Resident::AtWork(Duration::ZERO);
    for (job, answer, resident, grade) in [
        (Job::Update, task::Answer::Missing, None, Grade::Doubtful),
        (Job::Update, task::Answer::Missing, Some(&at_work), Grade::Fine),
        (Job::Resident, task::Answer::Missing, None, Grade::Fine),
        (Job::Update, task::Answer::Denied, None, Grade::Doubtful),
        (Job::Update, there(true), None, Grade::Fine),
        (Job::Update, there(false), None, Grade::Wrong),
    ] {
        assert_eq!(super::task(job, &answer, resident).grade, grade, "{answer:?}");
    }
}

#[test]
fn the_cheapest_default_route_of_a_wanted_family_is_shown() {
    let card = |name: &str, router: &str, metric| Interface {
        name: name.to_owned(),
        index: 1,
        mac: None,
        description: String::new(),
        is_up: true,
        kind: Kind::Ordinary,
        addresses: vec![Local { address: "192.0.2.5".parse().unwrap(), prefix: 24, marks: None }],
        routes: vec![DefaultRoute { router: router.parse().unwrap(), metric }],
    };
    let cards = Ok(vec![card("wlan0", "192.0.2.2", 600), card("eth0", "192.0.2.1", 100)]);
    let seen = routes(&settings(), &cards);
    assert_eq!(
        seen.iter().map(Finding::to_string).collect::<Vec<_>>(),
        ["ok  route for ipv4: leaves by eth0 to 192.0.2.1"]
    );
    assert_eq!(interfaces(&cards).says, "wlan0 (192.0.2.5), eth0 (192.0.2.5)");
    assert_eq!(interfaces(&Ok(Vec::new())).grade, Grade::Doubtful);
    assert_eq!(routes(&settings(), &Ok(Vec::new()))[0].grade, Grade::Doubtful);
}

#[test]
fn no_address_at_all_is_wrong_and_one_of_two_families_a_doubt() {
    let both = Settings { ipv6: vec![crate::settings::Source::Web], ..settings() };
    let v4 = AddressSet { v4: Some("192.0.2.1".parse().unwrap()), v6: None };
    let grades = |set| addresses(&both, set, &[]).iter().map(|finding| finding.grade).collect::<Vec<_>>();
    assert_eq!(grades(v4), [Grade::Fine, Grade::Doubtful]);
    assert_eq!(grades(AddressSet::EMPTY), [Grade::Wrong, Grade::Wrong]);
}

#[test]
fn people_and_scripts_read_the_same() {
    let finding = key(&["laptop.key holds the key and others can read it".to_owned()]);
    let shown = finding.to_string();
    assert!(shown.starts_with("!!  key: laptop.key holds") && shown.contains("\n      close the file"), "{shown}");
    assert_eq!((finding.json()["grade"].as_str(), finding.json()["about"].as_str()), (Some("wrong"), Some("key")));
    assert_eq!(key(&[]).grade, Grade::Fine);
}
