//! What is Cloudflare's alone: the proxy, its batch, and which class its troubles have. What it has in common with all
//! providers stands in `every_provider.rs`.

use std::sync::Arc;

use nicgate::provider::send::{Mask, Sender, Unbounded};
use nicgate::provider::{Class, Moment, Outcome, Setting};
use nicgate_tests::fake::cloudflare::{SUBJECT, ZONE_ID};
use nicgate_tests::fake::{Fake, Mishap, Record, Said};
use serde_json::json;

use crate::every_provider::bench::Bench;

const HOST: &str = "nas.home.test";

fn bench() -> (Bench, Fake) {
    let bench = Bench::new(&SUBJECT).unwrap();
    let fake = bench.fake().unwrap().clone();
    (bench, fake)
}

#[tokio::test]
async fn both_families_go_in_one_batch() {
    let (mut bench, fake) = bench();
    bench.confirm(HOST, "192.0.2.1").await;
    assert_eq!(bench.confirm(HOST, "192.0.2.1,2001:db8::1").await, 2, "a new family is looked for first");
    bench.confirm(HOST, "192.0.2.2,2001:db8::2").await;
    assert_eq!(bench.calls, [format!("POST /client/v4/zones/{ZONE_ID}/dns_records/batch")]);
    assert_eq!(bench.confirm(HOST, "").await, 2);
    assert!(fake.records(HOST).is_empty());
}

#[tokio::test]
async fn with_a_zone_id_the_first_change_costs_two_calls() {
    let (mut bench, _) = bench();
    bench.settings.set("zone_id", Setting::Text(ZONE_ID.to_owned()));
    assert_eq!(bench.confirm(HOST, "192.0.2.1,2001:db8::1").await, 2);
}

#[tokio::test]
async fn the_proxy_stays_as_it_is_unless_it_is_configured() {
    let (mut bench, fake) = bench();
    let by_hand = json!({"proxied": true, "comment": "the box in the cellar", "tags": ["owner:me"]});
    fake.put_by_hand(Record::new(HOST, "A", "192.0.2.200").with(by_hand.clone()));
    bench.confirm(HOST, "192.0.2.1").await;
    bench.confirm(HOST, "192.0.2.2").await;
    let record = bench.record(HOST, "A");
    assert_eq!((&record.extra["proxied"], record.ttl), (&json!(true), 1));
    assert_eq!((&record.extra["comment"], &record.extra["tags"]), (&by_hand["comment"], &by_hand["tags"]));
    bench.settings.set("proxied", Setting::Flag(false));
    bench.confirm(HOST, "192.0.2.3").await;
    assert_eq!(bench.record(HOST, "A").extra["proxied"], json!(false));
}

#[tokio::test]
async fn trouble_has_its_class_and_costs_one_call() {
    let says = |status, body| Mishap::Says(Said::json(status, &body));
    let throttled = json!({"success": false, "errors": [{"code": 971, "message": "wait"}]});
    for (mishap, wanted, patience) in [
        (Mishap::Says(Said::json(429, &throttled).with("retry-after", "17")), Class::Rate, Some(17)),
        (says(500, json!({"success": false, "errors": []})), Class::Down, None),
        (Mishap::Says(Said::html(502)), Class::Down, None),
        (Mishap::Says(Said::html(200)), Class::Down, None),
        (Mishap::Says(Said::text(200, r#"{"success":true,"result":{"id":"0"#)), Class::Bug, None),
        (Mishap::Says(Said::empty(301)), Class::Bug, None),
        (Mishap::SendsHalf, Class::Down, None),
        (Mishap::CutsAfter, Class::Down, None),
    ] {
        let (mut bench, fake) = bench();
        bench.confirm(HOST, "192.0.2.1,2001:db8::1").await;
        fake.then(mishap.clone());
        let pushed = bench.push(HOST, "192.0.2.2,2001:db8::2").await;
        let [Outcome::Unconfirmed { class, retry_after, .. }] = pushed.outcomes.as_slice() else {
            panic!("{mishap:?}: {pushed:?}");
        };
        assert_eq!((*class, retry_after.map(|span| span.as_secs())), (wanted, patience), "{mishap:?}");
        assert_eq!(pushed.calls, 1, "{mishap:?}: trouble is not answered with more calls");
        bench.confirm(HOST, "192.0.2.2,2001:db8::2").await;
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_gets_no_token() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut bench, _) = bench();
    bench.settings.endpoint = Some(format!("https://localhost:{}", listener.local_addr().unwrap().port()));
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.is_ok()
    });
    let job = bench.job(&[(HOST, "192.0.2.1")]);
    let talk = bench.provider().update(&job);
    let sender = Sender::of(&bench.settings).unwrap();
    let pushed = sender.push(talk, 1, &Mask::new(&bench.settings), &Unbounded(Moment::default)).await;
    let [Outcome::Unconfirmed { class: Class::Down, why, maybe_written: false, .. }] = pushed.outcomes.as_slice()
    else {
        panic!("{pushed:?}");
    };
    assert!(why.contains("certificate"), "{why}");
    assert!(!serving.await.unwrap(), "the handshake must not end well");
}
