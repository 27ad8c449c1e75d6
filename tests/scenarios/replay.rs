//! What was signed once counts once: replays, repeats, clocks that are off, copies at the same moment, in every
//! scheme and across restarts.

use std::time::Duration;

use nicgate_protocol::Timestamp;
use nicgate_tests::signing::{Parts, Pen, Scheme};
use nicgate_tests::{Answer, House, PLAIN, Request, wire};

/// A signed update of `a.home.test`; `None` where the scheme's signer is missing.
fn signed(house: &House, scheme: Scheme, address: &str, created: Timestamp, nonce: &str) -> Option<Request> {
    let parts = Parts::get(house, &format!("hostname=a.home.test&myip={address}"));
    let key = house.key("box");
    Some(scheme.sign(&parts, Pen { device: "box", key: &key, created, nonce })?.request())
}

fn now(house: &House) -> Timestamp {
    house.hands.now().wall
}

fn basic(house: &House, address: &str) -> String {
    house.update(&format!("hostname=a.home.test&myip={address}")).body
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// What an update without effect must leave alone: the store's number, the zone's SOA with its serial, the address.
fn standing(house: &House) -> (u64, Vec<String>, Vec<String>) {
    (house.running().gateway.desk.store.number(), house.dig("home.test", "SOA"), house.dig("a.home.test", "A"))
}

fn is_refused(answer: &Answer) -> bool {
    (answer.status, answer.body.as_str()) == (401, "badauth\n")
}

fn restart(house: &mut House) {
    house.stop();
    house.start();
}

#[test]
fn a_replay_after_anything_newer_is_refused_and_changes_nothing() {
    for scheme in Scheme::ALL {
        let house = House::new("replay");
        let Some(first) = signed(&house, scheme, "192.0.2.1", now(&house), "n0nce-0001") else { continue };
        assert_eq!(house.send(&first).body, "good 192.0.2.1\n", "{scheme:?}");
        house.hands.forward(seconds(2));
        let Some(second) = signed(&house, scheme, "192.0.2.2", now(&house), "n0nce-0002") else { continue };
        assert_eq!(house.send(&second).body, "good 192.0.2.2\n", "{scheme:?}");
        let before = standing(&house);
        assert!(is_refused(&house.send(&first)), "{scheme:?}");
        house.hands.forward(seconds(2));
        assert!(is_refused(&house.send(&first)), "{scheme:?}");
        assert_eq!(standing(&house), before, "{scheme:?}");

        // Newest of any kind, also of those without a signature, also when it changed nothing.
        assert_eq!(basic(&house, "192.0.2.2"), "nochg 192.0.2.2\n");
        assert!(is_refused(&house.send(&second)), "{scheme:?}");
        assert_eq!(basic(&house, "192.0.2.3"), "good 192.0.2.3\n");
        assert!(is_refused(&house.send(&second)), "{scheme:?}");
        assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.3"]);
    }
}

#[test]
fn an_exact_repeat_of_the_newest_gets_the_same_answer_and_changes_nothing() {
    for scheme in Scheme::ALL {
        let mut house = House::new("repeat");
        let Some(request) = signed(&house, scheme, "192.0.2.1", now(&house), "n0nce-0001") else { continue };
        assert_eq!(house.send(&request).body, "good 192.0.2.1\n", "{scheme:?}");
        let before = standing(&house);
        for _ in 0..3 {
            house.hands.forward(seconds(10));
            assert_eq!(house.send(&request).body, "good 192.0.2.1\n", "{scheme:?}");
        }
        assert_eq!(standing(&house), before, "{scheme:?}");
        restart(&mut house);
        assert_eq!(house.send(&request).body, "good 192.0.2.1\n", "{scheme:?}");
        assert_eq!(house.running().gateway.desk.store.number(), before.0, "{scheme:?}");
        house.hands.forward(seconds(271));
        assert!(is_refused(&house.send(&request)), "{scheme:?}: too old by now");
    }
}

#[test]
fn a_signature_counts_within_300_seconds_either_way() {
    for scheme in Scheme::ALL {
        let house = House::new("window");
        for (number, (early, late, holds)) in
            [(301, 0, false), (300, 0, true), (0, 300, true), (0, 301, false)].into_iter().enumerate()
        {
            let address = format!("192.0.2.{}", number + 1);
            let created = now(&house) - seconds(early) + seconds(late);
            let nonce = format!("n0nce-000{number}");
            let Some(request) = signed(&house, scheme, &address, created, &nonce) else { continue };
            let answer = house.send(&request);
            if holds {
                assert_eq!(answer.body, format!("good {address}\n"), "{scheme:?}: -{early} +{late}");
            } else {
                assert!(is_refused(&answer), "{scheme:?}: -{early} +{late}: {answer:?}");
            }
        }
        assert!(house.log().iter().any(|line| line["error_code"] == "clock_off"));
    }
}

#[test]
fn a_nonce_that_comes_with_other_content_is_refused() {
    for scheme in [Scheme::HttpMessage, Scheme::SignParam] {
        let house = House::new("nonce");
        let sign = |address, nonce| signed(&house, scheme, address, now(&house), nonce).unwrap();
        assert_eq!(house.send(&sign("192.0.2.1", "n0nce-0001")).body, "good 192.0.2.1\n");
        house.hands.forward(seconds(1));
        assert!(is_refused(&house.send(&sign("192.0.2.2", "n0nce-0001"))), "{scheme:?}");
        assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.1"]);
        assert_eq!(house.send(&sign("192.0.2.2", "n0nce-0002")).body, "good 192.0.2.2\n");
        // Another device may have had the same idea.
        let (parts, key) = (Parts::get(&house, "hostname=foreign.home.test&myip=192.0.2.9"), house.key("other"));
        let pen = Pen { device: "other", key: &key, created: now(&house), nonce: "n0nce-0001" };
        assert_eq!(house.send(&scheme.sign(&parts, pen).unwrap().request()).body, "good 192.0.2.9\n");
    }
}

#[test]
fn a_wrong_signature_does_not_use_up_its_nonce() {
    for scheme in [Scheme::HttpMessage, Scheme::SignParam] {
        let house = House::new("burn");
        let parts = Parts::get(&house, "hostname=a.home.test&myip=192.0.2.1");
        let sign = |device: &str| {
            let key = house.key(device);
            let pen = Pen { device: "box", key: &key, created: now(&house), nonce: "n0nce-0001" };
            scheme.sign(&parts, pen).unwrap().request()
        };
        assert!(is_refused(&house.send(&sign("other"))), "{scheme:?}: signed with another device's key");
        assert_eq!(house.send(&sign("box")).body, "good 192.0.2.1\n", "{scheme:?}");
    }
}

#[test]
fn what_was_signed_before_a_newer_change_is_too_old_though_nobody_saw_it() {
    for scheme in Scheme::ALL {
        let mut house = House::new("stale");
        let Some(used) = signed(&house, scheme, "192.0.2.1", now(&house), "n0nce-0001") else { continue };
        assert_eq!(house.send(&used).body, "good 192.0.2.1\n");
        house.hands.forward(seconds(5));
        let Some(unsent) = signed(&house, scheme, "192.0.2.2", now(&house), "n0nce-0002") else { continue };
        house.hands.forward(seconds(5));
        assert_eq!(basic(&house, "192.0.2.3"), "good 192.0.2.3\n");
        assert!(is_refused(&house.send(&unsent)), "{scheme:?}");
        assert!(is_refused(&house.send(&used)), "{scheme:?}");
        let before = standing(&house).2;
        restart(&mut house);
        assert!(is_refused(&house.send(&unsent)), "{scheme:?}: after a restart");
        assert!(is_refused(&house.send(&used)), "{scheme:?}: after a restart");
        assert_eq!(house.dig("a.home.test", "A"), before);
        // Other hosts have not moved on meanwhile.
        let parts = Parts::get(&house, "hostname=b.home.test&myip=192.0.2.4");
        let (key, created) = (house.key("box"), now(&house) - seconds(5));
        let Some(other) = scheme.sign(&parts, Pen { device: "box", key: &key, created, nonce: "n0nce-0003" }) else {
            continue;
        };
        assert_eq!(house.send(&other.request()).body, "good 192.0.2.4\n", "{scheme:?}");
    }
}

#[test]
fn a_clock_that_runs_ahead_does_not_lock_out_its_own_true_time() {
    for scheme in Scheme::ALL {
        let mut house = House::new("ahead");
        let ahead = now(&house) + seconds(270);
        let Some(fast) = signed(&house, scheme, "192.0.2.1", ahead, "n0nce-0001") else { continue };
        assert_eq!(house.send(&fast).body, "good 192.0.2.1\n", "{scheme:?}");
        house.hands.forward(seconds(2));
        let Some(true_time) = signed(&house, scheme, "192.0.2.2", now(&house), "n0nce-0002") else { continue };
        assert_eq!(house.send(&true_time).body, "good 192.0.2.2\n", "{scheme:?}");
        // By its own claim the first is the newer one for another four minutes.
        house.hands.forward(seconds(100));
        assert!(is_refused(&house.send(&fast)), "{scheme:?}");
        restart(&mut house);
        assert!(is_refused(&house.send(&fast)), "{scheme:?}: after a restart");
        house.hands.forward(seconds(100));
        assert!(is_refused(&house.send(&fast)), "{scheme:?}: after a restart");
        assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.2"]);
    }
}

#[test]
fn sixteen_copies_at_once_are_one_change_and_all_are_answered_good() {
    for scheme in Scheme::ALL {
        let house = House::new("copies");
        let (server, ca) = (house.https(), house.folder().join("ca.crt"));
        // Also ahead of our clock, where the first copy has to wait for the disk before it may go on.
        for (number, ahead) in [0, 0, 270, 270].into_iter().enumerate() {
            house.hands.forward(seconds(5));
            let address = format!("192.0.2.{}", number + 1);
            let (created, nonce) = (now(&house) + seconds(ahead), format!("n0nce-000{number}"));
            let Some(request) = signed(&house, scheme, &address, created, &nonce) else { continue };
            let before = house.running().gateway.desk.store.number();
            let start = std::sync::Barrier::new(16);
            let answers: Vec<Answer> = std::thread::scope(|scope| {
                let copies: Vec<_> = (0..16)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            wire::over_tls(server, &ca, &request)
                        })
                    })
                    .collect();
                copies.into_iter().map(|copy| copy.join().unwrap()).collect()
            });
            for answer in &answers {
                assert_eq!(answer.body, format!("good {address}\n"), "{scheme:?}, {ahead} s ahead");
            }
            assert_eq!(house.running().gateway.desk.store.number(), before + 1, "{scheme:?}, {ahead} s ahead");
        }
    }
}

#[test]
fn what_was_turned_away_for_haste_may_be_sent_again_as_it_is() {
    let house = House::with("haste", &PLAIN.replace("enabled = false", "enabled = true"));
    for scheme in Scheme::ALL {
        let mut turned_away = None;
        for number in 1..100 {
            // Each in a second of its own: within one, a repeat would not be told from what came after it.
            house.hands.forward(seconds(1));
            let (address, nonce) = (format!("192.0.2.{number}"), format!("n0nce-{scheme:?}-{number}"));
            let Some(request) = signed(&house, scheme, &address, now(&house), &nonce) else { break };
            let answer = house.send(&request);
            if answer.body == "911\n" {
                turned_away = Some((request, address));
                break;
            }
        }
        let Some((request, address)) = turned_away else { continue };
        house.hands.forward(seconds(200));
        assert_eq!(house.send(&request).body, format!("good {address}\n"), "{scheme:?}");
        assert_eq!(house.dig("a.home.test", "A"), [address]);
        house.hands.forward(seconds(600));
    }
}
