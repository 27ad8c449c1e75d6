//! The conversation, with an API on paper: its calls are lines of words, its answers too.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use nicgate_protocol::Hostname;

use super::*;
use crate::provider::play::{NOON, assert_refused, assert_unconfirmed, host, host_after, set};
use crate::provider::{Answer, HostJob, Silence};

/// What the API on paper is like.
#[derive(Clone)]
struct Paper {
    view: View,
    at_once: usize,
    sets: bool,
    in_place: bool,
    ttl_apart: bool,
    has_session: bool,
    has_finish: bool,
    /// The session needs a second call, and the end is a logout.
    has_lock: bool,
    /// Whether a wrong credential is another answer than one without the right.
    rights_apart: bool,
}

const PAPER: Paper = Paper {
    view: View::Name,
    at_once: 1,
    sets: false,
    in_place: true,
    has_session: false,
    has_finish: false,
    has_lock: false,
    ttl_apart: false,
    rights_apart: false,
};

fn call(line: String) -> HttpCall {
    HttpCall::new(Method::GET, line)
}

/// The words of an answer; a status other than 200 is trouble, and its body says which.
fn words(answer: &Answer) -> Result<Vec<Vec<String>>, Trouble> {
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let meaning = match (answer.status, body.as_str()) {
        (200, _) => {
            return Ok(body.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect());
        }
        (404, "zone") => Meaning::NoZone,
        (404, "record") => Meaning::NoRecord,
        (409, "exists") => Meaning::Exists,
        (403, _) => Meaning::Forbidden,
        (422, "ttl") => Meaning::LowTtl,
        _ => return Err(Trouble::by_status(answer)),
    };
    Err(Trouble::new(meaning, "code", "text"))
}

impl Api for Paper {
    fn view(&self, _hosts: usize) -> View {
        self.view
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        60..=3600
    }

    fn budget(&self) -> Budget {
        Budget::default()
    }

    fn cure(&self, _class: Class) -> &'static str {
        "; the cure"
    }

    fn tells_rights_apart(&self) -> bool {
        self.rights_apart
    }

    fn changes_at_once(&self) -> usize {
        self.at_once
    }

    fn writes_sets(&self) -> bool {
        self.sets
    }

    fn changes_in_place(&self) -> bool {
        self.in_place
    }

    fn least_ttl(&self, zone_id: &str) -> u32 {
        zone_id.split_once('>').map_or(0, |(_, least)| least.parse().unwrap())
    }

    fn after_low_ttl(&self, zone_id: &str) -> Option<String> {
        (!zone_id.contains('>')).then(|| format!("{zone_id}>600"))
    }

    fn changes_ttl_apart(&self) -> bool {
        self.ttl_apart
    }

    fn log_in(&self, _moment: Moment) -> Option<HttpCall> {
        self.has_session.then(|| call("login".into()))
    }

    fn logged_in(&self, answer: &Answer) -> Result<String, Trouble> {
        Ok(words(answer)?.concat().concat())
    }

    fn unlock(&self, ask: &Ask<'_>) -> Option<HttpCall> {
        self.has_lock.then(|| call(format!("{}unlock", ask.session)))
    }

    fn unlocked(&self, _ask: &Ask<'_>, answer: &Answer) -> Result<(), Trouble> {
        words(answer).map(drop)
    }

    fn is_publication(&self) -> bool {
        !self.has_lock
    }

    fn find_zone(&self, ask: &Ask<'_>, page: Option<&str>) -> Option<HttpCall> {
        Some(call(format!("{}zone {}{}", ask.session, ask.zone, page.unwrap_or_default())))
    }

    fn zone_found(&self, _ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let words = words(answer)?.concat();
        Ok(match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["next", page] => Found::More(page.to_owned()),
            ["several"] => Found::Several("choose".into()),
            ["id", id] => Found::Zone(id.to_owned()),
            _ => Found::Nothing,
        })
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let (what, page) = (at.hostname, page.unwrap_or_default());
        call(match at.view {
            View::Family => format!("{}look {} {what} {}{page}", ask.session, ask.zone_id, at.family.record_type()),
            View::Name => format!("{}look {} {what}{page}", ask.session, ask.zone_id),
            View::Zone => format!("{}look {}{page}", ask.session, ask.zone_id),
        })
    }

    fn looked(&self, _ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let mut page = Page::default();
        for words in words(answer)? {
            match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["next", next] => page.next = Some(next.to_owned()),
                [name, "CNAME"] => page.obstacles.push((name.to_owned(), "the name has a CNAME record".into())),
                [name, address, id, ttl] => page.records.push(Record {
                    name: name.to_owned(),
                    address: address.parse().unwrap(),
                    known: Known { id: id.into(), ttl: ttl.parse().unwrap(), note: "".into() },
                }),
                _ => return Err(Trouble::unknown("what is this")),
            }
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let words = changes.iter().map(|change| {
            let (name, id) = (&change.hostname, change.known().map(|known| known.id.as_ref()).unwrap_or_default());
            match (&change.act, self.sets) {
                (Act::Create { .. } | Act::Alter { .. } | Act::Remove { .. }, true) => {
                    let values: Vec<String> = change.set().iter().map(IpAddr::to_string).collect();
                    format!("set {name} {} {}", values.join(","), change.ttl())
                }
                (Act::Create { to, ttl }, false) => format!("create {name} {to} {ttl}"),
                (Act::Alter { to, ttl: None, .. }, false) => format!("alter {name} {id} {to}"),
                (Act::Alter { to, ttl: Some(ttl), .. }, false) => format!("alter {name} {id} {to} {ttl}"),
                (Act::Remove { .. }, false) => format!("remove {name} {id}"),
            }
        });
        call(format!("{}{}", ask.session, words.collect::<Vec<_>>().join("; ")))
    }

    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let lines = words(answer)?;
        if lines.concat() == ["done"] {
            return Ok(Written::unechoed(changes));
        }
        let shown = |words: Vec<String>| Written {
            id: words.get(1).map(|id| id.as_str().into()),
            address: words[0].parse().ok(),
            ..Written::default()
        };
        Ok(lines.into_iter().map(shown).collect())
    }

    fn finish(&self, ask: &Ask<'_>, wrote: bool) -> Option<HttpCall> {
        (self.has_finish && wrote).then(|| call(format!("{}finish", ask.session)))
    }

    fn finished(&self, answer: &Answer) -> Result<(), Trouble> {
        words(answer).map(drop)
    }
}

/// Plays a conversation: each call, and its answer as a status and a body; status 0 is silence after the call was sent.
#[track_caller]
fn play(paper: &Paper, hosts: &[HostJob], script: &[(&str, u16, &str)]) -> Vec<Outcome> {
    let job = Job { zone: Hostname::parse("dyn.home.test").unwrap(), hosts: hosts.to_vec() };
    match run(&mut *Zoned(Arc::new(paper.clone())).update(&job), script) {
        Step::Done(outcomes) => outcomes,
        other @ (Step::Seen(_) | Step::Send(_)) => panic!("one call too many: {other:?}"),
    }
}

#[track_caller]
fn run(talk: &mut dyn Talk, script: &[(&str, u16, &str)]) -> Step {
    let mut heard = None;
    for (line, status, body) in script {
        let call = match talk.next(heard.take(), NOON) {
            Step::Send(Call::Http(call)) => call,
            other @ (Step::Done(_) | Step::Seen(_) | Step::Send(Call::Dns(_))) => {
                panic!("ended before {line}: {other:?}")
            }
        };
        assert_eq!(call.url, *line);
        heard = Some(match status {
            0 => Heard::Silence(Silence { why: "silence".into(), was_sent: true }),
            _ => {
                let body = Bytes::copy_from_slice(body.as_bytes());
                Heard::Answer(Answer { status: *status, headers: HeaderMap::new(), body })
            }
        });
    }
    talk.next(heard, NOON)
}

fn confirmed(memory: &str, ttl: u32) -> Outcome {
    Outcome::Confirmed { remembered: Some(memory.into()), ttl }
}

const ZONE: (&str, u16, &str) = ("zone dyn.home.test", 200, "id z1");
const LOOK: (&str, u16, &str) = ("look z1 a.dyn.home.test", 200, "");
const MEMORY: &str = "2 dyn.home.test dyn.home.test id=z1 A=r1/300/";

#[test]
fn a_zone_is_looked_for_upwards_and_page_by_page() {
    let script = [
        ("zone dyn.home.test", 200, "next 2"),
        ("zone dyn.home.test2", 200, "nothing"),
        ("zone home.test", 200, "id z9"),
        ("look z9 a.dyn.home.test", 200, ""),
        ("create a.dyn.home.test 192.0.2.1 60", 200, "192.0.2.1 r1"),
    ];
    let memory = "2 dyn.home.test home.test id=z9 A=r1/60/";
    assert_eq!(play(&PAPER, &[host("a.dyn.home.test", "192.0.2.1")], &script), [confirmed(memory, 60)]);
    let script = [("alter a.dyn.home.test r1 192.0.2.2", 200, "done")];
    let later = host_after("a.dyn.home.test", "192.0.2.1", memory, "192.0.2.2");
    assert_eq!(play(&PAPER, &[later], &script), [confirmed(memory, 60)]);
    let nowhere = [("zone dyn.home.test", 404, "zone"), ("zone home.test", 404, "zone")];
    let outcome = play(&PAPER, &[host("a.dyn.home.test", "192.0.2.1")], &nowhere);
    assert_refused(&outcome[0], Class::NoZone, "no zone named dyn.home.test");
    let several = [("zone dyn.home.test", 200, "several")];
    let outcome = play(&PAPER, &[host("a.dyn.home.test", "192.0.2.1")], &several);
    assert_refused(&outcome[0], Class::NoZone, "several zones named dyn.home.test; choose");
}

#[test]
fn nothing_to_do_is_no_call() {
    let same = host_after("a.dyn.home.test", "192.0.2.1", MEMORY, "192.0.2.1");
    let with_session = Paper { has_session: true, has_finish: true, ..PAPER };
    assert_eq!(play(&with_session, &[same], &[]), [confirmed(MEMORY, 300)]);
    // Of a record with others beside it no more is remembered than the zone.
    let bare = "2 dyn.home.test dyn.home.test id=z1";
    let same = host_after("a.dyn.home.test", "192.0.2.1", bare, "192.0.2.1");
    assert_eq!(play(&PAPER, &[same], &[]), [confirmed(bare, 60)]);
    // Of another zone nothing is.
    let elsewhere = host_after("a.dyn.home.test", "192.0.2.1", "2 other.test other.test id=z2", "192.0.2.1");
    let script = [ZONE, (LOOK.0, 200, "a.dyn.home.test 192.0.2.1 r1 300")];
    assert_eq!(play(&PAPER, &[elsewhere], &script), [confirmed(MEMORY, 300)]);
}

#[test]
fn records_are_read_page_by_page_and_family_by_family() {
    let both = host("a.dyn.home.test", "192.0.2.1,2001:db8::1");
    let script = [
        ZONE,
        ("look z1 a.dyn.home.test A", 200, "next 2"),
        ("look z1 a.dyn.home.test A2", 200, "a.dyn.home.test 192.0.2.1 r1 300"),
        ("look z1 a.dyn.home.test AAAA", 404, "record"),
        ("create a.dyn.home.test 2001:db8::1 60", 200, "2001:db8::1 r2"),
    ];
    let by_family = Paper { view: View::Family, ..PAPER };
    assert_eq!(play(&by_family, &[both], &script), [confirmed(&format!("{MEMORY} AAAA=r2/60/"), 300)]);
}

#[test]
fn one_list_of_the_zone_serves_all_hosts_and_their_changes_go_together() {
    let paper = Paper { view: View::Zone, at_once: 3, ..PAPER };
    let hosts: Vec<HostJob> =
        ["a", "b", "c", "d"].map(|name| host(&format!("{name}.dyn.home.test"), "192.0.2.1")).into();
    let list = "b.dyn.home.test 192.0.2.1 r2 60\nc.dyn.home.test CNAME\nd.dyn.home.test 192.0.2.9 r4 60";
    let script = [
        ZONE,
        ("look z1", 200, list),
        ("create a.dyn.home.test 192.0.2.1 60; alter d.dyn.home.test r4 192.0.2.1", 200, "192.0.2.1 r1\n192.0.2.1 r4"),
    ];
    let outcomes = play(&paper, &hosts, &script);
    let memory = |id: &str| confirmed(&format!("2 dyn.home.test dyn.home.test id=z1 A={id}/60/"), 60);
    assert_eq!([&outcomes[0], &outcomes[1], &outcomes[3]], [&memory("r1"), &memory("r2"), &memory("r4")]);
    assert_refused(&outcomes[2], Class::Invalid, "CNAME");
}

#[test]
fn hosts_that_do_not_fit_go_in_the_next_call_and_a_host_is_not_torn() {
    let paper = Paper { at_once: 3, ..PAPER };
    let memory = "2 dyn.home.test dyn.home.test id=z1 A=r1/60/ AAAA=r2/60/";
    let name = |name| format!("{name}.dyn.home.test");
    let later = |host| host_after(&name(host), "192.0.2.1,2001:db8::1", memory, "192.0.2.2,2001:db8::2");
    let alter = |host| format!("alter {0} r1 192.0.2.2; alter {0} r2 2001:db8::2", name(host));
    let (first, second) = (alter("a"), alter("b"));
    let script = [(first.as_str(), 200, "192.0.2.2\n2001:db8::2"), (second.as_str(), 500, "")];
    let outcomes = play(&paper, &[later("a"), later("b")], &script);
    assert!(matches!(outcomes[0], Outcome::Confirmed { .. }), "{outcomes:?}");
    assert_unconfirmed(&outcomes[1], Class::Down, true);
}

#[test]
fn a_refusal_of_one_host_lets_the_others_go_on_and_a_silence_stops_all() {
    let hosts = ["a", "b"].map(|name| host_after(&format!("{name}.dyn.home.test"), "192.0.2.1", MEMORY, "192.0.2.2"));
    let (a, b) = ("alter a.dyn.home.test r1 192.0.2.2", "alter b.dyn.home.test r1 192.0.2.2");
    let outcomes = play(&PAPER, &hosts, &[(a, 422, ""), (b, 200, "done")]);
    assert_refused(&outcomes[0], Class::Invalid, "; the cure");
    assert!(matches!(outcomes[1], Outcome::Confirmed { .. }));
    let outcomes = play(&PAPER, &hosts, &[(a, 0, "")]);
    assert_unconfirmed(&outcomes[0], Class::Down, true);
    assert_unconfirmed(&outcomes[1], Class::Down, false);
}

#[test]
fn a_change_in_two_calls_that_breaks_in_between_is_told() {
    let memory = "2 dyn.home.test dyn.home.test id=z1 A=r1/60/ AAAA=r2/60/";
    let both = host_after("a.dyn.home.test", "192.0.2.1,2001:db8::1", memory, "192.0.2.2,2001:db8::2");
    let (first, second) = ("alter a.dyn.home.test r1 192.0.2.2", "alter a.dyn.home.test r2 2001:db8::2");
    let outcome = play(&PAPER, slice::from_ref(&both), &[(first, 200, "done"), (second, 422, "")]);
    assert!(matches!(outcome[0], Outcome::Refused { maybe_written: true, .. }), "{outcome:?}");
    let outcome = play(&PAPER, slice::from_ref(&both), &[(first, 200, "done"), (second, 429, "")]);
    assert_unconfirmed(&outcome[0], Class::Rate, true);
    let outcome = play(&PAPER, &[both], &[(first, 429, "")]);
    assert_unconfirmed(&outcome[0], Class::Rate, false);
}

#[test]
fn what_cannot_be_changed_in_place_is_made_before_the_old_goes() {
    let paper = Paper { in_place: false, ..PAPER };
    let later = host_after("a.dyn.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    let (create, remove) = ("create a.dyn.home.test 192.0.2.2 300", "remove a.dyn.home.test r1");
    let after = "2 dyn.home.test dyn.home.test id=z1 A=r2/300/";
    let script = [(create, 200, "192.0.2.2 r2"), (remove, 200, "done")];
    assert_eq!(play(&paper, slice::from_ref(&later), &script), [confirmed(after, 300)]);
    // The answer to the first was lost: both stand there.
    let outcome = play(&paper, slice::from_ref(&later), &[(create, 0, "")]);
    assert_unconfirmed(&outcome[0], Class::Down, true);
    let doubting = HostJob { doubted: vec![set("192.0.2.2")], ..later };
    let list = "a.dyn.home.test 192.0.2.1 r1 300\na.dyn.home.test 192.0.2.2 r2 300\na.dyn.home.test 192.0.2.77 r3 300";
    let script = [(LOOK.0, 200, list), (remove, 200, "done")];
    assert_eq!(play(&paper, std::slice::from_ref(&doubting), &script), [confirmed(after, 300)]);
    // Meanwhile a third one is wanted: both of ours go.
    let doubting = HostJob { wanted: set("192.0.2.3"), ..doubting };
    let create = "create a.dyn.home.test 192.0.2.3 300";
    let script = [
        (LOOK.0, 200, list),
        (create, 200, "192.0.2.3 r9"),
        (remove, 200, "done"),
        ("remove a.dyn.home.test r2", 200, "done"),
    ];
    assert_eq!(play(&paper, &[doubting], &script), [confirmed(&after.replace("r2", "r9"), 300)]);
}

#[test]
fn sets_are_written_whole_with_what_others_put_there() {
    let paper = Paper { sets: true, ..PAPER };
    let known = "2 dyn.home.test dyn.home.test id=z1 A=/300/";
    let later = |wanted| host_after("a.dyn.home.test", "192.0.2.1", known, wanted);
    let script = [("set a.dyn.home.test 192.0.2.2 300", 200, "done")];
    assert_eq!(play(&paper, &[later("192.0.2.2")], &script), [confirmed(known, 300)]);
    let list = "a.dyn.home.test 192.0.2.1  300\na.dyn.home.test 192.0.2.77  300";
    let forgotten = host_after("a.dyn.home.test", "192.0.2.1", "", "192.0.2.2");
    let script = [ZONE, (LOOK.0, 200, list), ("set a.dyn.home.test 192.0.2.2,192.0.2.77 300", 200, "done")];
    assert_eq!(play(&paper, &[forgotten], &script), [confirmed("2 dyn.home.test dyn.home.test id=z1", 300)]);
    // Taken offline: only what we wrote goes.
    let script = [(LOOK.0, 200, list), ("set a.dyn.home.test 192.0.2.77 300", 200, "done")];
    assert_eq!(play(&paper, &[later("")], &script), [confirmed("2 dyn.home.test dyn.home.test id=z1", 0)]);
    // A doubt: of the two that may be ours one is wanted.
    let list = "a.dyn.home.test 192.0.2.1  300\na.dyn.home.test 192.0.2.2  300";
    let doubting = HostJob { doubted: vec![set("192.0.2.2")], ..later("192.0.2.2") };
    let script = [(LOOK.0, 200, list), ("set a.dyn.home.test 192.0.2.2 300", 200, "done")];
    assert_eq!(play(&paper, &[doubting], &script), [confirmed(known, 300)]);
}

#[test]
fn a_session_goes_through_all_calls_and_is_finished() {
    let paper = Paper { has_session: true, has_finish: true, ..PAPER };
    let new = host("a.dyn.home.test", "192.0.2.1");
    let script = [
        ("login", 200, "s1:"),
        ("s1:zone dyn.home.test", 200, "id z1"),
        ("s1:look z1 a.dyn.home.test", 200, ""),
        ("s1:create a.dyn.home.test 192.0.2.1 60", 200, "192.0.2.1 r1"),
        ("s1:finish", 200, "done"),
    ];
    assert!(matches!(play(&paper, slice::from_ref(&new), &script)[..], [Outcome::Confirmed { .. }]));
    assert_refused(&play(&paper, slice::from_ref(&new), &[("login", 401, "")])[0], Class::Auth, "; the cure");
    // What is written but not published does not count, and the next push publishes it.
    let mut broken = script;
    broken[4] = ("s1:finish", 500, "");
    assert_unconfirmed(&play(&paper, slice::from_ref(&new), &broken)[0], Class::Down, true);
    let doubting = HostJob { doubted: vec![set("192.0.2.1")], ..new };
    let script =
        [script[0], script[1], ("s1:look z1 a.dyn.home.test", 200, "a.dyn.home.test 192.0.2.1 r1 60"), script[4]];
    assert!(matches!(play(&paper, slice::from_ref(&doubting), &script)[..], [Outcome::Confirmed { .. }]));
    assert_unconfirmed(&play(&paper, &[doubting], &[script[0], script[1], script[2], broken[4]])[0], Class::Down, true);
}

#[test]
fn a_session_may_need_a_second_call_and_a_logout_may_get_lost() {
    let paper = Paper { has_session: true, has_lock: true, has_finish: true, ..PAPER };
    let later = host_after("a.dyn.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    let alter = "s1:alter a.dyn.home.test r1 192.0.2.2";
    let (login, unlock) = (("login", 200, "s1:"), ("s1:unlock", 200, "done"));
    for end in [(200, "done"), (500, ""), (0, "")] {
        let script = [login, unlock, (alter, 200, "done"), ("s1:finish", end.0, end.1)];
        assert_eq!(play(&paper, std::slice::from_ref(&later), &script), [confirmed(MEMORY, 300)], "{end:?}");
    }
    let outcome = play(&paper, std::slice::from_ref(&later), &[login, ("s1:unlock", 403, "no")]);
    assert_refused(&outcome[0], Class::Auth, "text");
    // Nobody says farewell to somebody who does not answer.
    let doubting = HostJob { doubted: vec![set("192.0.2.2")], ..later };
    let outcome = play(&paper, &[doubting], &[login, unlock, ("s1:look z1 a.dyn.home.test", 0, "")]);
    assert_unconfirmed(&outcome[0], Class::Down, false);
}

#[test]
fn a_ttl_is_changed_only_when_it_was_asked_for_and_kept_within_bounds() {
    let list = "a.dyn.home.test 192.0.2.1 r1 300";
    for (ttl, write, after) in [
        (None, None, 300),
        (Some(300), None, 300),
        (Some(5), Some("alter a.dyn.home.test r1 192.0.2.1 60"), 60),
        (Some(9999), Some("alter a.dyn.home.test r1 192.0.2.1 3600"), 3600),
    ] {
        let new = HostJob { ttl, ..host("a.dyn.home.test", "192.0.2.1") };
        let script: Vec<_> =
            [ZONE, (LOOK.0, 200, list)].into_iter().chain(write.map(|line| (line, 200, "done"))).collect();
        let memory = format!("2 dyn.home.test dyn.home.test id=z1 A=r1/{after}/");
        assert_eq!(play(&PAPER, &[new], &script), [confirmed(&memory, after)]);
    }
}

#[test]
fn where_a_ttl_is_changed_apart_the_address_comes_first() {
    let paper = Paper { ttl_apart: true, ..PAPER };
    let known = "2 dyn.home.test dyn.home.test id=z1 A=r1/300/";
    let later = HostJob { ttl: Some(120), ..host_after("a.dyn.home.test", "192.0.2.1", known, "192.0.2.2") };
    let script =
        [("alter a.dyn.home.test r1 192.0.2.2", 200, "done"), ("alter a.dyn.home.test r1 192.0.2.2 120", 200, "done")];
    let after = "2 dyn.home.test dyn.home.test id=z1 A=r1/120/";
    assert_eq!(play(&paper, slice::from_ref(&later), &script), [confirmed(after, 120)]);
    let broken = [script[0], (script[1].0, 500, "")];
    assert_unconfirmed(&play(&paper, &[later], &broken)[0], Class::Down, true);
    let same = HostJob { ttl: Some(120), ..host("a.dyn.home.test", "192.0.2.2") };
    let list = "a.dyn.home.test 192.0.2.2 r1 300";
    assert_eq!(play(&paper, &[same], &[ZONE, (LOOK.0, 200, list), script[1]]), [confirmed(after, 120)]);
}

#[test]
fn a_credential_that_was_good_a_moment_ago_is_only_not_good_for_this() {
    let new = host("a.dyn.home.test", "192.0.2.1");
    assert_refused(&play(&PAPER, slice::from_ref(&new), &[("zone dyn.home.test", 403, "")])[0], Class::Auth, "text");
    let create = "create a.dyn.home.test 192.0.2.1 60";
    assert_refused(&play(&PAPER, slice::from_ref(&new), &[ZONE, LOOK, (create, 403, "")])[0], Class::Denied, "text");
    let apart = Paper { rights_apart: true, ..PAPER };
    assert_refused(&play(&apart, slice::from_ref(&new), &[("zone dyn.home.test", 403, "")])[0], Class::Denied, "text");
    assert_refused(&play(&apart, &[new], &[("zone dyn.home.test", 401, "")])[0], Class::Auth, "401");
}

#[test]
fn what_was_remembered_and_is_stale_is_found_again_once() {
    let later = host_after("a.dyn.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    let (alter, create) = ("alter a.dyn.home.test r1 192.0.2.2", "create a.dyn.home.test 192.0.2.2 60");
    let fresh = confirmed("2 dyn.home.test dyn.home.test id=z1 A=r2/60/", 60);
    let script = [(alter, 404, "record"), LOOK, (create, 200, "192.0.2.2 r2")];
    assert_eq!(play(&PAPER, slice::from_ref(&later), &script), slice::from_ref(&fresh));
    for answer in [(404, "zone"), (403, "")] {
        let script = [(alter, answer.0, answer.1), ZONE, LOOK, (create, 200, "192.0.2.2 r2")];
        assert_eq!(play(&PAPER, slice::from_ref(&later), &script), slice::from_ref(&fresh));
    }
    let script = [(alter, 404, "record"), LOOK, (create, 409, "exists")];
    assert_refused(&play(&PAPER, &[later], &script)[0], Class::Invalid, "text");
}

#[test]
fn a_new_record_that_finds_nowhere_to_go_misses_its_zone() {
    let create = "create a.dyn.home.test 192.0.2.1 60";
    for word in ["record", "zone"] {
        let script = [ZONE, LOOK, (create, 404, word), LOOK, (create, 404, word)];
        let outcome = play(&PAPER, &[host("a.dyn.home.test", "192.0.2.1")], &script);
        assert_refused(&outcome[0], Class::NoZone, "no zone named dyn.home.test");
    }
}

#[test]
fn of_several_hosts_each_ends_as_its_own_calls_say() {
    let later = |name: &str| host_after(&format!("{name}.dyn.home.test"), "192.0.2.1", MEMORY, "192.0.2.2");
    let hosts = [later("a"), later("b"), later("c")];
    let alter = |name: &str| format!("alter {name}.dyn.home.test r1 192.0.2.2");
    let (a, b, c) = (alter("a"), alter("b"), alter("c"));
    // A limit in the middle.
    let outcomes = play(&PAPER, &hosts, &[(&a, 200, "done"), (&b, 429, "")]);
    assert_eq!(outcomes[0], confirmed(MEMORY, 300));
    assert_unconfirmed(&outcomes[1], Class::Rate, false);
    assert_unconfirmed(&outcomes[2], Class::Rate, false);
    // A stale id after a refusal of somebody else.
    let script = [
        (&*a, 422, ""),
        (&b, 404, "record"),
        ("look z1 b.dyn.home.test", 200, "b.dyn.home.test 192.0.2.1 r7 300"),
        ("look z1 c.dyn.home.test", 200, "c.dyn.home.test 192.0.2.1 r1 300"),
        ("alter b.dyn.home.test r7 192.0.2.2", 200, "done"),
        (&c, 200, "done"),
    ];
    let outcomes = play(&PAPER, &hosts, &script);
    assert_refused(&outcomes[0], Class::Invalid, "; the cure");
    assert_eq!(outcomes[1..], [confirmed(&MEMORY.replace("r1", "r7"), 300), confirmed(MEMORY, 300)]);
}

#[test]
fn what_one_host_remembers_of_the_zone_serves_the_others() {
    let paper = Paper { at_once: 2, ..PAPER };
    let known = host_after("a.dyn.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    let new = host("*.dyn.home.test", "192.0.2.2");
    let both = "alter a.dyn.home.test r1 192.0.2.2; create *.dyn.home.test 192.0.2.2 60";
    let look = ("look z1 *.dyn.home.test", 200, "a.dyn.home.test 192.0.2.9 r9 60\ndyn.home.test 192.0.2.9 r8 60");
    let script = [look, (both, 200, "192.0.2.2 r1\n192.0.2.2 r2")];
    let after = confirmed("2 dyn.home.test dyn.home.test id=z1 A=r2/60/", 60);
    assert_eq!(play(&paper, &[known.clone(), new.clone()], &script), [confirmed(MEMORY, 300), after]);
    // The zone was made anew: nothing of it holds, for none of them.
    let again = "alter a.dyn.home.test r3 192.0.2.2; create *.dyn.home.test 192.0.2.2 60";
    let script = [
        look,
        (both, 404, "zone"),
        ("zone dyn.home.test", 200, "id z2"),
        ("look z2 a.dyn.home.test", 200, "a.dyn.home.test 192.0.2.1 r3 300"),
        ("look z2 *.dyn.home.test", 200, ""),
        (again, 200, "192.0.2.2 r3\n192.0.2.2 r4"),
    ];
    let outcomes = play(&paper, &[known.clone(), new], &script);
    assert_eq!(outcomes[0], confirmed("2 dyn.home.test dyn.home.test id=z2 A=r3/300/", 300));
    // Those who disagree are not believed.
    let other = host_after("b.dyn.home.test", "192.0.2.1", &MEMORY.replace("z1", "z9"), "192.0.2.1");
    let script = [
        ZONE,
        ("look z1 a.dyn.home.test", 200, "a.dyn.home.test 192.0.2.2 r1 300"),
        ("look z1 b.dyn.home.test", 200, "b.dyn.home.test 192.0.2.1 r5 300"),
    ];
    let outcomes = play(&paper, &[known, other], &script);
    assert_eq!(outcomes, [confirmed(MEMORY, 300), confirmed(&MEMORY.replace("r1", "r5"), 300)]);
}

#[test]
fn what_leads_nowhere_together_is_told_one_by_one() {
    let paper = Paper { at_once: 3, ..PAPER };
    let later = |name: &str| host_after(&format!("{name}.dyn.home.test"), "192.0.2.1", MEMORY, "192.0.2.2");
    let alter = |name: &str| format!("alter {name}.dyn.home.test r1 192.0.2.2");
    let stands =
        |name: &str| (format!("look z1 {name}.dyn.home.test"), format!("{name}.dyn.home.test 192.0.2.1 r1 300"));
    let (a, b, both) = (alter("a"), alter("b"), format!("{}; {}", alter("a"), alter("b")));
    let (seen_a, seen_b) = (stands("a"), stands("b"));
    let (look_a, look_b) = ((&*seen_a.0, 200, &*seen_a.1), (&*seen_b.0, 200, &*seen_b.1));
    // There is no call for several.
    let script = [(&*both, 405, ""), look_a, look_b, (&a, 200, "done"), (&b, 200, "done")];
    assert_eq!(play(&paper, &[later("a"), later("b")], &script), [confirmed(MEMORY, 300), confirmed(MEMORY, 300)]);
    // One of them leads nowhere although it is shown.
    let script = [
        (&*both, 404, "record"),
        look_a,
        look_b,
        (&both, 404, "record"),
        look_a,
        look_b,
        (&a, 404, "record"),
        (&b, 200, "done"),
    ];
    let outcomes = play(&paper, &[later("a"), later("b")], &script);
    assert_unconfirmed(&outcomes[0], Class::Busy, false);
    assert_eq!(outcomes[1], confirmed(MEMORY, 300));
}

#[test]
fn another_address_in_the_answer_proves_nothing() {
    let later = host_after("a.dyn.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    for body in ["192.0.2.1 r1", "192.0.2.2 r1\n192.0.2.2 r1", ""] {
        let outcome = play(&PAPER, slice::from_ref(&later), &[("alter a.dyn.home.test r1 192.0.2.2", 200, body)]);
        assert_unconfirmed(&outcome[0], Class::Bug, true);
    }
}

#[test]
fn a_look_shows_everything_and_writes_nothing() {
    let (zone, hostname) = (Hostname::parse("dyn.home.test").unwrap(), Hostname::parse("a.dyn.home.test").unwrap());
    let look = |script: &[(&str, u16, &str)]| {
        run(&mut *Zoned(Arc::new(PAPER.clone())).look(&zone, &hostname).unwrap(), script)
    };
    let list = "a.dyn.home.test 192.0.2.1 r1 300\na.dyn.home.test CNAME\nb.dyn.home.test 192.0.2.9 r1 300";
    let Step::Seen(sight) = look(&[ZONE, (LOOK.0, 200, list)]) else { panic!("nothing seen") };
    let addresses: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap()];
    let obstacles = vec!["the name has a CNAME record".to_owned()];
    assert_eq!(sight, Sight { zone: "dyn.home.test".into(), addresses, obstacles });
    let Step::Done(outcomes) = look(&[("zone dyn.home.test", 401, "")]) else { panic!("something seen") };
    assert_refused(&outcomes[0], Class::Auth, "401");
}

#[test]
fn a_ttl_below_the_zones_least_does_not_hold_up_an_address() {
    let asked = |host: HostJob| HostJob { ttl: Some(120), ..host };
    let look = "look z1>600 a.dyn.home.test";
    let script = [
        ZONE,
        LOOK,
        ("create a.dyn.home.test 192.0.2.1 120", 422, "ttl"),
        (look, 200, ""),
        ("create a.dyn.home.test 192.0.2.1 600", 200, "192.0.2.1 r1"),
    ];
    let memory = "2 dyn.home.test dyn.home.test id=z1%3E600 A=r1/600/";
    assert_eq!(play(&PAPER, &[asked(host("a.dyn.home.test", "192.0.2.1"))], &script), [confirmed(memory, 600)]);
    // What the zone takes is remembered: neither the next change nor the next look asks for less.
    let later = asked(host_after("a.dyn.home.test", "192.0.2.1", memory, "192.0.2.2"));
    let script = [("alter a.dyn.home.test r1 192.0.2.2", 200, "done")];
    assert_eq!(play(&PAPER, &[later], &script), [confirmed(memory, 600)]);
    let doubted = HostJob {
        doubted: vec![set("192.0.2.1")],
        ..asked(host_after("a.dyn.home.test", "192.0.2.1", memory, "192.0.2.1"))
    };
    let script = [(look, 200, "a.dyn.home.test 192.0.2.1 r1 600")];
    assert_eq!(play(&PAPER, &[doubted], &script), [confirmed(memory, 600)]);
    // One that is refused even so is refused for good.
    let script = [("alter a.dyn.home.test r1 192.0.2.2", 422, "ttl")];
    let refused = play(&PAPER, &[asked(host_after("a.dyn.home.test", "192.0.2.1", memory, "192.0.2.2"))], &script);
    assert_refused(&refused[0], Class::Invalid, "text");
}
