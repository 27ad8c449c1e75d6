use std::sync::Mutex;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::*;
use crate::provider::Silence;
use crate::provider::play::{NOON, assert_refused, assert_unconfirmed, host, host_after};

/// A service that takes everything but what it is told not to take.
struct Any {
    way: Way,
    removal: Removal,
    lacks: Option<Family>,
    asked: Mutex<Vec<String>>,
}

impl Service for Any {
    fn budget(&self) -> Budget {
        Budget::default()
    }

    fn cure(&self, _class: Class) -> &'static str {
        "; do something"
    }

    fn way(&self) -> Way {
        self.way
    }

    fn ttl(&self, asked: Option<u32>) -> u32 {
        asked.unwrap_or(60)
    }

    fn hosts_at_once(&self) -> usize {
        2
    }

    fn lacks(&self, family: Family) -> Option<&'static str> {
        self.lacks.filter(|lacking| *lacking == family).map(|_| "not of this family")
    }

    fn removal(&self) -> Removal {
        self.removal
    }

    fn call(&self, message: &Message, _moment: Moment) -> Result<HttpCall, Trouble> {
        let hosts: Vec<&str> = message.hosts.iter().map(Hostname::as_str).collect();
        let gone: Vec<&str> = message.removed.iter().map(|(family, _)| family.record_type()).collect();
        self.asked.lock().unwrap().push(format!("{} {} -{}", hosts.join("+"), message.addresses, gone.join(",")));
        Ok(HttpCall::plain(Method::GET, String::new()))
    }

    fn heard(&self, _message: &Message, answer: &Answer) -> Result<(), Trouble> {
        if answer.status == 200 { Ok(()) } else { Err(Trouble::by_status(answer)) }
    }
}

fn any(way: Way) -> Any {
    Any { way, removal: Removal::default(), lacks: None, asked: Mutex::default() }
}

/// What is asked, and how it ends, with these statuses for answers; 0 is a silence.
fn tell(service: Any, hosts: &[HostJob], statuses: &[u16]) -> (Vec<String>, Vec<Outcome>) {
    let service = Arc::new(service);
    let job = Job { zone: Hostname::parse("home.test").unwrap(), hosts: hosts.to_vec() };
    let mut talk = Conversation::new(Arc::clone(&service) as Arc<dyn Service>, &job);
    let (mut heard, mut left) = (None, statuses.iter());
    loop {
        match talk.next(heard.take(), NOON) {
            Step::Done(outcomes) => {
                assert_eq!(left.next(), None, "fewer calls than answers");
                return (std::mem::take(&mut service.asked.lock().unwrap()), outcomes);
            }
            Step::Send(_) => {
                heard = Some(match left.next().copied().unwrap_or(200) {
                    0 => Heard::Silence(Silence { why: "no answer".into(), was_sent: true }),
                    status => Heard::Answer(Answer { status, headers: HeaderMap::new(), body: Bytes::new() }),
                });
            }
            Step::Seen(sight) => panic!("{sight:?}"),
        }
    }
}

const DONE: Outcome = Outcome::Confirmed { remembered: None, ttl: 60 };

#[test]
fn what_is_told_depends_on_the_way_and_on_what_is_news() {
    let later = || host_after("a.home.test", "192.0.2.1,2001:db8::1", "", "192.0.2.2,2001:db8::1");
    let mut doubted = later();
    doubted.doubted.push(doubted.wanted);
    let both = "a.home.test 192.0.2.2,2001:db8::1 -";
    for (way, host, told) in [
        (Way::Changed, later(), &["a.home.test 192.0.2.2 -"][..]),
        (Way::Separate, later(), &["a.home.test 192.0.2.2 -"]),
        (Way::Whole, later(), &[both]),
        (Way::Changed, doubted.clone(), &[both]),
        (Way::Separate, doubted.clone(), &["a.home.test 192.0.2.2 -", "a.home.test 2001:db8::1 -"]),
        (Way::Whole, doubted, &[both]),
        (Way::Whole, host_after("a.home.test", "192.0.2.1", "", "192.0.2.1"), &[]),
        (Way::Changed, host_after("a.home.test", "", "", ""), &[]),
    ] {
        let (asked, outcomes) = tell(any(way), &[host], &vec![200; told.len()]);
        assert_eq!(asked, told, "{way:?}");
        assert!(matches!(outcomes[..], [Outcome::Confirmed { .. }]), "{outcomes:?}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_after_the_rest() {
    let half = || host_after("a.home.test", "192.0.2.1,2001:db8::1", "", "192.0.2.2");
    let gone = || host_after("a.home.test", "192.0.2.1,2001:db8::1", "", "");
    let can = |family, host| Any { removal: Removal { family, host }, ..any(Way::Changed) };
    let (asked, outcomes) = tell(can(false, true), &[half()], &[200]);
    assert_eq!(asked, ["a.home.test 192.0.2.2 -"]);
    assert!(matches!(outcomes[..], [Outcome::Refused { class: Class::Invalid, maybe_written: true, .. }]));
    assert_eq!(tell(can(true, false), &[half()], &[200]).0, ["a.home.test 192.0.2.2 -AAAA"]);
    let (asked, outcomes) = tell(can(true, false), &[gone()], &[]);
    assert_eq!(asked, [""; 0]);
    assert!(matches!(outcomes[..], [Outcome::Refused { maybe_written: false, .. }]));
    let (asked, outcomes) = tell(can(false, true), &[gone()], &[200]);
    assert_eq!(asked, ["a.home.test  -A,AAAA"]);
    assert_eq!(outcomes, [Outcome::Confirmed { remembered: None, ttl: 0 }]);
    let lacking = || Any { lacks: Some(Family::V6), ..any(Way::Whole) };
    let (asked, outcomes) = tell(lacking(), &[host("a.home.test", "192.0.2.1,2001:db8::1")], &[200]);
    assert_eq!(asked, ["a.home.test 192.0.2.1 -"]);
    assert_refused(&outcomes[0], Class::Invalid, "family");
}

#[test]
fn hosts_with_the_same_go_together_as_many_as_fit() {
    let host = |name: &str| host(&format!("{name}.home.test"), "192.0.2.1");
    let (asked, outcomes) = tell(any(Way::Changed), &[host("a"), host("b"), host("c")], &[200, 200]);
    assert_eq!(asked, ["a.home.test+b.home.test 192.0.2.1 -", "c.home.test 192.0.2.1 -"]);
    assert_eq!(outcomes, [DONE, DONE, DONE]);
}

#[test]
fn a_refusal_of_one_is_told_from_trouble_of_all() {
    let host = |name: &str| host(&format!("{name}.home.test"), "192.0.2.1");
    let hosts = [host("a"), host("b"), host("c")];
    let (asked, outcomes) = tell(any(Way::Changed), &hosts, &[404, 200, 404, 200]);
    assert_eq!(asked.len(), 4);
    assert_eq!((&outcomes[0], &outcomes[2]), (&DONE, &DONE));
    assert_refused(&outcomes[1], Class::NoZone, "do something");
    let (asked, outcomes) = tell(any(Way::Changed), &hosts, &[401]);
    assert_eq!(asked.len(), 1);
    outcomes.iter().for_each(|outcome| assert_refused(outcome, Class::Auth, ""));
    let (_, outcomes) = tell(any(Way::Changed), &hosts, &[0]);
    assert_unconfirmed(&outcomes[0], Class::Down, true);
    assert_unconfirmed(&outcomes[2], Class::Down, false);
    // A second family is not told after the first was refused.
    let both = [crate::provider::play::host("a.home.test", "192.0.2.1,2001:db8::1")];
    assert_eq!(tell(any(Way::Separate), &both, &[422]).0.len(), 1);
}
