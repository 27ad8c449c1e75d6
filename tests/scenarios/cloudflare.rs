//! The Cloudflare provider against a fake over real HTTP: how many calls a change costs, and what is left of it when
//! something breaks on the way.

use std::sync::Arc;

use nicgate::provider::send::{Mask, Sender, Unbounded};
use nicgate::provider::{Class, HostJob, Job, Moment, Outcome, ProviderSettings, Setting, kind};
use nicgate_logic::state::Applied;
use nicgate_protocol::{AddressSet, Hostname, Secret};
use nicgate_tests::fake_cloudflare::{FakeCloudflare, Mishap, TOKEN, ZONE, ZONE_ID};
use serde_json::{Value, json};

const HOST: &str = "nas.home.test";

/// How one push ended.
#[derive(Debug)]
struct Ended {
    outcome: Outcome,
    calls: usize,
}

/// One host at the fake, with what is remembered between changes.
struct Bench {
    fake: FakeCloudflare,
    sender: Sender,
    settings: ProviderSettings,
    before: Option<Applied>,
    doubted: Vec<AddressSet>,
}

impl Bench {
    async fn new() -> Self {
        let fake = FakeCloudflare::start().await;
        let mut settings = ProviderSettings::new("cloud", kind("cloudflare").unwrap());
        settings.endpoint = Some(fake.endpoint());
        settings.set("api_token", Setting::Secret(Secret::new(TOKEN.to_owned())));
        Self { fake, sender: Sender::new().unwrap(), settings, before: None, doubted: Vec::new() }
    }

    /// One push, after which the bench remembers what a gateway would.
    async fn push(&mut self, wanted: &str) -> Ended {
        let wanted = addresses(wanted);
        let host = HostJob {
            hostname: Hostname::parse(HOST).unwrap(),
            before: self.before.clone(),
            doubted: self.doubted.clone(),
            wanted,
            ttl: None,
        };
        let job = Job { zone: Hostname::parse(ZONE).unwrap(), hosts: vec![host] };
        let talk = self.settings.open().unwrap().update(&job);
        let pushed = self.sender.push(talk, 1, &Mask::new(&self.settings), &Unbounded(Moment::default)).await;
        let pushed = Ended { outcome: pushed.outcomes.into_iter().next().unwrap(), calls: pushed.calls };
        match &pushed.outcome {
            Outcome::Confirmed { remembered, ttl } => {
                let remembered = remembered.clone();
                self.before = Some(Applied {
                    provider: "cloud".into(),
                    addresses: wanted,
                    ttl: *ttl,
                    remembered,
                    ..Applied::default()
                });
                self.doubted.clear();
            }
            Outcome::Unconfirmed { maybe_written: true, .. } => self.doubted.push(wanted),
            Outcome::Refused { .. } | Outcome::Unconfirmed { .. } => {}
        }
        assert_eq!(self.fake.mistakes(), [""; 0]);
        pushed
    }

    async fn confirm(&mut self, wanted: &str) -> Vec<String> {
        let pushed = self.push(wanted).await;
        assert!(matches!(pushed.outcome, Outcome::Confirmed { .. }), "{wanted}: {pushed:?}");
        let calls = self.fake.calls();
        assert_eq!(calls.len(), pushed.calls);
        let published: Vec<String> =
            ["A", "AAAA"].into_iter().flat_map(|kind| self.fake.contents(HOST, kind)).collect();
        assert_eq!(published.join(","), addresses(wanted).to_string());
        calls
    }
}

fn addresses(text: &str) -> AddressSet {
    let mut set = AddressSet::EMPTY;
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let one = AddressSet::from(part.parse::<std::net::IpAddr>().unwrap());
        set = AddressSet { v4: one.v4.or(set.v4), v6: one.v6.or(set.v6) };
    }
    set
}

#[tokio::test]
async fn the_first_change_costs_three_calls_later_ones_one_and_none_without_a_change() {
    let mut bench = Bench::new().await;
    assert_eq!(bench.confirm("192.0.2.1").await.len(), 3);
    for last in 2..6 {
        assert_eq!(bench.confirm(&format!("192.0.2.{last}")).await.len(), 1);
    }
    assert_eq!(bench.confirm("192.0.2.5").await.len(), 0);
    assert_eq!(bench.confirm("192.0.2.5,2001:db8::1").await.len(), 2, "a new family is looked for first");
    assert_eq!(bench.confirm("192.0.2.6,2001:db8::2").await, [format!("POST /zones/{ZONE_ID}/dns_records/batch")]);
    assert_eq!(bench.confirm("192.0.2.6,2001:db8::3").await.len(), 1);
    assert_eq!(bench.confirm("").await.len(), 2);
    assert!(bench.fake.records(HOST).is_empty());
}

#[tokio::test]
async fn with_a_zone_id_the_first_change_costs_two_calls() {
    let mut bench = Bench::new().await;
    bench.settings.set("zone_id", Setting::Text(ZONE_ID.to_owned()));
    assert_eq!(bench.confirm("192.0.2.1,2001:db8::1").await.len(), 2);
}

#[tokio::test]
async fn what_was_set_by_hand_stays() {
    let mut bench = Bench::new().await;
    let by_hand = json!({"proxied": true, "comment": "the box in the cellar", "tags": ["owner:me"]});
    bench.fake.put("A", HOST, "192.0.2.200", &by_hand);
    bench.confirm("192.0.2.1").await;
    bench.confirm("192.0.2.2").await;
    let record = &bench.fake.records(HOST)[0];
    assert_eq!((&record["proxied"], &record["ttl"]), (&json!(true), &json!(1)));
    assert_eq!((&record["comment"], &record["tags"]), (&by_hand["comment"], &by_hand["tags"]));
    bench.settings.set("proxied", Setting::Flag(false));
    bench.confirm("192.0.2.3").await;
    assert_eq!(bench.fake.records(HOST)[0]["proxied"], json!(false));
}

#[tokio::test]
async fn a_record_that_somebody_removed_is_made_again() {
    let mut bench = Bench::new().await;
    let id = bench.fake.put("A", HOST, "192.0.2.200", &Value::Null);
    bench.confirm("192.0.2.1").await;
    bench.fake.lose(&id);
    assert_eq!(bench.confirm("192.0.2.2").await.len(), 3, "the lost one, a look, the new one");
    assert_eq!(bench.confirm("192.0.2.3").await.len(), 1);
}

#[tokio::test]
async fn a_cname_in_the_way_is_refused_in_words() {
    let mut bench = Bench::new().await;
    bench.fake.put("CNAME", HOST, "elsewhere.test", &Value::Null);
    let pushed = bench.push("192.0.2.1").await;
    let Outcome::Refused { class: Class::Invalid, code, text, .. } = pushed.outcome else { panic!("{pushed:?}") };
    assert_eq!(&*code, "81054");
    assert!(text.contains("CNAME"), "{text}");
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_never_shown() {
    let mut bench = Bench::new().await;
    bench.settings.set("api_token", Setting::Secret(Secret::new("wrong-token".to_owned())));
    let pushed = bench.push("192.0.2.1").await;
    assert!(matches!(pushed.outcome, Outcome::Refused { class: Class::Auth, .. }), "{pushed:?}");
    bench.fake.then(Mishap::Answers {
        status: 403,
        retry_after: None,
        body: r#"{"success":false,"errors":[{"code":9109,"message":"wrong-token is not a token"}]}"#,
    });
    let pushed = format!("{:?}", bench.push("192.0.2.1").await);
    assert!(!pushed.contains("wrong-token") && pushed.contains("***"), "{pushed}");
}

#[tokio::test]
async fn a_provider_that_misbehaves_leaves_the_change_unconfirmed_and_the_next_push_makes_it() {
    let answers = |status, retry_after, body| Mishap::Answers { status, retry_after, body };
    let html = "<html><h1>502 Bad Gateway</h1></html>";
    for (mishap, wanted, patience) in [
        (
            answers(429, Some(17), r#"{"success":false,"errors":[{"code":971,"message":"wait"}]}"#),
            Class::Rate,
            Some(17),
        ),
        (answers(500, None, r#"{"success":false,"errors":[]}"#), Class::Down, None),
        (answers(502, None, html), Class::Down, None),
        (answers(200, None, html), Class::Down, None),
        (answers(200, None, r#"{"success":true,"result":{"id":"0"#), Class::Bug, None),
        (answers(301, None, ""), Class::Bug, None),
        (Mishap::SendsHalf, Class::Down, None),
        (Mishap::CutsAfterWrite, Class::Down, None),
    ] {
        let mut bench = Bench::new().await;
        bench.confirm("192.0.2.1,2001:db8::1").await;
        bench.fake.then(mishap.clone());
        let pushed = bench.push("192.0.2.2,2001:db8::2").await;
        let Outcome::Unconfirmed { class, retry_after, .. } = pushed.outcome else { panic!("{mishap:?}: {pushed:?}") };
        assert_eq!((class, retry_after.map(|span| span.as_secs())), (wanted, patience), "{mishap:?}");
        assert_eq!(pushed.calls, 1, "{mishap:?}: trouble is not answered with more calls");
        assert_eq!(bench.fake.calls().len(), 1, "{mishap:?}: nor does the HTTP client repeat any");
        bench.confirm("192.0.2.2,2001:db8::2").await;
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_out_whatever_is_wanted_next() {
    for next in ["192.0.2.1", "192.0.2.2", "192.0.2.3", ""] {
        for mishap in [Mishap::CutsAfterWrite, Mishap::SendsHalf] {
            let mut bench = Bench::new().await;
            bench.confirm("192.0.2.1").await;
            bench.fake.then(mishap);
            let pushed = bench.push("192.0.2.2").await;
            assert!(matches!(pushed.outcome, Outcome::Unconfirmed { maybe_written: true, .. }), "{pushed:?}");
            assert_eq!(bench.fake.contents(HOST, "A"), ["192.0.2.2"], "the write was made");
            bench.fake.calls();
            bench.confirm(next).await;
        }
    }
}

#[tokio::test]
async fn a_lost_answer_to_the_first_record_makes_no_second_one() {
    let mut bench = Bench::new().await;
    bench.settings.set("zone_id", Setting::Text(ZONE_ID.to_owned()));
    let look = Mishap::Answers {
        status: 200,
        retry_after: None,
        body: r#"{"success":true,"errors":[],"messages":[],"result":[]}"#,
    };
    bench.fake.then(look);
    bench.fake.then(Mishap::CutsAfterWrite);
    let pushed = bench.push("192.0.2.1").await;
    assert!(matches!(pushed.outcome, Outcome::Unconfirmed { maybe_written: true, .. }), "{pushed:?}");
    bench.fake.calls();
    bench.confirm("192.0.2.2").await;
    assert_eq!(bench.fake.records(HOST).len(), 1);
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
    let mut bench = Bench::new().await;
    bench.settings.endpoint = Some(format!("https://localhost:{}", listener.local_addr().unwrap().port()));
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.is_ok()
    });
    let pushed = bench.push("192.0.2.1").await;
    let Outcome::Unconfirmed { class: Class::Down, why, maybe_written: false, .. } = pushed.outcome else {
        panic!("{pushed:?}");
    };
    assert!(why.contains("certificate"), "{why}");
    assert!(!serving.await.unwrap(), "the handshake must not end well");
}
