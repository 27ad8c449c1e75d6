//! What becomes of a change when the vendor says no, says nothing, or says something else.

use std::time::Duration;

use nicgate::clock::Clock;
use nicgate::provider::{Class, Outcome};
use nicgate_protocol::Timestamp;
use nicgate_tests::fake::{Api, Asked, Fake, Mishap, Removal, Said, Zone, http_date};
use serde_json::json;

use super::bench::Bench;

pub(super) async fn a_wrong_credential_is_refused_and_never_shown(mut bench: Bench) {
    let host = bench.host();
    (bench.traits.spoil)(&mut bench.settings);
    let pushed = bench.push(&host, "192.0.2.1").await;
    let [Outcome::Refused { class, text, maybe_written: false, .. }] = pushed.outcomes.as_slice() else {
        panic!("{}: {pushed:?}", bench.word);
    };
    assert_eq!(*class, bench.traits.spoilt, "{}: {text}", bench.word);
    assert!(!text.is_empty(), "{}", bench.word);
    assert_eq!(bench.addresses(&host), "", "{}", bench.word);
}

pub(super) async fn a_vendor_that_repeats_the_secret_does_not_spread_it(mut bench: Bench) {
    let Some(fake) = bench.fake().cloned() else { return };
    let host = bench.host();
    let secrets: Vec<String> = bench.settings.secrets().map(|secret| secret.expose().clone()).collect();
    for secret in secrets {
        for status in [401, 403, 500] {
            fake.then(Mishap::Says(Said::text(status, format!("{secret} is not good enough"))));
            let pushed = bench.push(&host, "192.0.2.1").await; // which looks for secrets
            assert!(!matches!(pushed.outcomes[..], [Outcome::Confirmed { .. }]), "{}: {pushed:?}", bench.word);
        }
    }
}

pub(super) async fn a_zone_that_is_not_there_is_told_by_name(mut bench: Bench) {
    let Some(expected) = bench.traits.unknown_zone else { return };
    let pushed = bench.push_in("elsewhere.test", &[("nas.elsewhere.test", "192.0.2.1")]).await;
    let [Outcome::Refused { class, text, .. }] = pushed.outcomes.as_slice() else {
        panic!("{}: {pushed:?}", bench.word);
    };
    assert_eq!(*class, expected, "{}: {text}", bench.word);
    assert!(text.contains("elsewhere.test"), "{}: {text}", bench.word);
}

pub(super) async fn patience_is_learnt_from_the_vendor(mut bench: Bench) {
    let Some(fake) = bench.fake().cloned() else { return };
    let host = bench.host();
    bench.confirm(&host, "192.0.2.1").await;
    let soon = http_date(Clock::system().wall() + Duration::from_secs(600));
    let throttled = || Said::text(429, "Too Many Requests");
    for (last, said, patience) in [
        (2, throttled().with("retry-after", "17"), Some(17..=17)),
        (3, throttled().with("retry-after", soon), Some(590..=600)),
        (4, throttled(), None),
        (5, (bench.traits.throttled)(), None),
    ] {
        fake.then(Mishap::Says(said.clone()));
        let pushed = bench.push(&host, &format!("192.0.2.{last}")).await;
        let [Outcome::Unconfirmed { class: Class::Rate, retry_after, maybe_written: false, .. }] = pushed.outcomes[..]
        else {
            panic!("{}: {said:?}: {pushed:?}", bench.word);
        };
        if let Some(patience) = patience {
            let seconds = retry_after.map(|span| span.as_secs());
            assert!(seconds.is_some_and(|seconds| patience.contains(&seconds)), "{}: {seconds:?}", bench.word);
        }
        assert_eq!(pushed.calls, 1, "{}: trouble is not answered with more calls", bench.word);
        assert_eq!(bench.addresses(&host), "192.0.2.1", "{}", bench.word);
    }
    bench.confirm(&host, "192.0.2.5").await;
}

pub(super) async fn a_provider_that_misbehaves_is_never_taken_for_one_that_confirmed(mut bench: Bench) {
    let Some(fake) = bench.fake().cloned() else { return };
    let mishaps = [
        Mishap::Says(Said::html(200)),
        Mishap::Says(Said::html(403)),
        Mishap::Says(Said::html(502)),
        Mishap::Says(Said::empty(500)),
        Mishap::Says(Said::json(503, &json!({}))),
        Mishap::Says(Said::text(200, r#"{"id": "0"#)),
        Mishap::Says(Said::json(200, &json!(["something", "else"]))),
        Mishap::Cuts,
        Mishap::CutsAfter,
        Mishap::SendsHalf,
    ];
    for (number, mishap) in mishaps.iter().enumerate() {
        // At the first call for a host of which nothing is known.
        let host = bench.below(&format!("new{number}"));
        fake.then(mishap.clone());
        expect_unconfirmed(&mut bench, &host, "192.0.2.1", mishap).await;
        bench.confirm(&host, "192.0.2.1").await;
        // At the write of a host of which all is known.
        fake.then_at_write(mishap.clone());
        expect_unconfirmed(&mut bench, &host, "192.0.2.2", mishap).await;
        bench.confirm(&host, "192.0.2.2").await;
        if !bench.traits.has_ipv6 {
            continue;
        }
        // At the first and at the second write of a change of both families, where there are two.
        bench.confirm(&host, "192.0.2.2,2001:db8::1").await;
        fake.then_at_write(mishap.clone());
        expect_unconfirmed(&mut bench, &host, "192.0.2.3,2001:db8::2", mishap).await;
        bench.confirm(&host, "192.0.2.3,2001:db8::2").await;
        if bench.traits.dual_stack_calls > bench.traits.change_calls {
            fake.then_at_write(Mishap::None);
            fake.then_at_write(mishap.clone());
            expect_unconfirmed(&mut bench, &host, "192.0.2.4,2001:db8::3", mishap).await;
            bench.confirm(&host, "192.0.2.4,2001:db8::3").await;
        }
    }
}

async fn expect_unconfirmed(bench: &mut Bench, host: &str, wanted: &str, mishap: &Mishap) {
    let pushed = bench.push(host, wanted).await;
    let [Outcome::Unconfirmed { class, why, .. }] = pushed.outcomes.as_slice() else {
        panic!("{}: {wanted} and {mishap:?}: {pushed:?}", bench.word);
    };
    assert!(matches!(class, Class::Down | Class::Bug | Class::Busy), "{}: {mishap:?}: {class:?}", bench.word);
    assert!(!why.is_empty(), "{}: {mishap:?}", bench.word);
    let left = bench.fake().is_some_and(Fake::has_mishaps_left);
    assert!(!left, "{}: {wanted} was asked for, and {mishap:?} did not come to pass", bench.word);
}

pub(super) async fn a_redirect_is_not_followed(mut bench: Bench) {
    let Some(fake) = bench.fake().cloned() else { return };
    let elsewhere = Fake::start(Nobody(Zone::new("elsewhere.test")));
    let host = bench.host();
    bench.confirm(&host, "192.0.2.1").await;
    for (last, status) in (2..).zip([301, 302, 303, 307, 308]) {
        let wanted = format!("192.0.2.{last}");
        fake.then_at_write(Mishap::Says(Said::redirect(status, &elsewhere.endpoint())));
        let pushed = bench.push(&host, &wanted).await;
        assert!(matches!(pushed.outcomes[..], [Outcome::Unconfirmed { .. }]), "{}: {status}: {pushed:?}", bench.word);
        assert_eq!(elsewhere.calls(), [""; 0], "{}: {status}", bench.word);
        bench.confirm(&host, &wanted).await;
    }
}

/// Where redirects lead to.
struct Nobody(Zone);

impl Api for Nobody {
    fn answer(&mut self, _asked: &Asked, _now: Timestamp) -> Said {
        Said::empty(404)
    }

    fn is_write(&self, _asked: &Asked) -> bool {
        false
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.0
    }
}

pub(super) async fn nobody_waits_for_a_vendor_that_says_nothing(mut bench: Bench) {
    let Some(fake) = bench.fake().cloned() else { return };
    let host = bench.host();
    bench.confirm(&host, "192.0.2.1").await;
    bench.lose_patience_after(Duration::from_millis(500));
    for (mishap, wanted, left) in
        [(Mishap::Mute, "192.0.2.2", "192.0.2.1"), (Mishap::MuteAfter, "192.0.2.3", "192.0.2.3")]
    {
        fake.then_at_write(mishap.clone());
        let pushed = tokio::time::timeout(Duration::from_secs(15), bench.push(&host, wanted)).await;
        let Ok(pushed) = pushed else { panic!("{}: it waits for ever", bench.word) };
        let [Outcome::Unconfirmed { class: Class::Down, maybe_written: true, .. }] = pushed.outcomes[..] else {
            panic!("{}: {mishap:?}: {pushed:?}", bench.word);
        };
        assert_eq!(bench.addresses(&host), left, "{}: {mishap:?}", bench.word);
    }
    bench.lose_patience_after(Duration::from_secs(20));
    bench.confirm(&host, "192.0.2.4").await;
}

pub(super) async fn a_lost_answer_is_found_out_whatever_is_wanted_next(mut bench: Bench) {
    let Some(fake) = bench.fake().cloned() else { return };
    let mut stories = vec!["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    stories.extend((bench.traits.removal != Removal::Nothing).then_some(""));
    for (number, next) in stories.into_iter().enumerate() {
        for mishap in [Mishap::CutsAfter, Mishap::SendsHalf] {
            let host = bench.below(if mishap == Mishap::CutsAfter { "cut" } else { "half" });
            let host = format!("n{number}-{host}");
            bench.confirm(&host, "192.0.2.1").await;
            fake.then_at_write(mishap.clone());
            let pushed = bench.push(&host, "192.0.2.2").await;
            let [Outcome::Unconfirmed { maybe_written: true, .. }] = pushed.outcomes[..] else {
                panic!("{}: {mishap:?}: {pushed:?}", bench.word);
            };
            bench.confirm(&host, next).await;
        }
    }
}

pub(super) async fn a_lost_answer_to_the_first_record_makes_no_second_one(mut bench: Bench) {
    let Some(fake) = bench.fake().cloned() else { return };
    for (host, next) in [("same", "192.0.2.1"), ("other", "192.0.2.2")] {
        let host = bench.below(host);
        fake.then_at_write(Mishap::CutsAfter);
        let pushed = bench.push(&host, "192.0.2.1").await;
        let [Outcome::Unconfirmed { maybe_written: true, .. }] = pushed.outcomes[..] else {
            panic!("{}: {pushed:?}", bench.word);
        };
        bench.confirm(&host, next).await;
    }
}
