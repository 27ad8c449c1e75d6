//! Every provider is told nonsense, at every turn of its conversations: none may panic, none may call it a success.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use nicgate_protocol::{Hostname, Secret};

use super::play::{NOON, host_after};
use super::{Answer, Call, Heard, Job, KINDS, Kind, Outcome, Provider, ProviderSettings, Setting, Step};

const BODIES: [&str; 17] = [
    "",
    "null",
    "[]",
    "{}",
    "0",
    "\"\"",
    "[[[]]]",
    "[null]",
    "[{}]",
    "{",
    "OK?",
    "<a></b>",
    "\u{0}\u{ff}",
    r#"{"result": [{}], "success": true, "records": [null], "zones": [{"id": 1}], "Items": [7], "data": {}}"#,
    r#"{"domain_records": [1], "dnsRecords": [{}], "rrsets": [{"name": 1}], "Response": [], "error": []}"#,
    r#"{"ttl": -1, "id": {}, "resource_records": [{"content": [1]}], "DomainRecords": {"Record": [{}]}}"#,
    r#"{"errors": [{}], "code": [], "message": {}, "statusCode": "x", "Code": 1, "status": "success"}"#,
];
const STATUSES: [u16; 14] = [200, 201, 204, 302, 400, 401, 403, 404, 405, 409, 422, 429, 500, 503];
/// More turns than a conversation of one host may have.
const TURNS: usize = 40;

/// A provider of a kind, with settings that will do.
fn opened(kind: &'static Kind) -> Arc<dyn Provider> {
    let mut settings = ProviderSettings::new("any", kind);
    let is_webhook = kind.word == "webhook";
    settings.endpoint = (!is_webhook).then(|| "http://api.test".to_owned());
    for key in kind.keys.iter().filter(|key| key.is_required) {
        let text = match (kind.word, key.name) {
            ("webhook", "url") => "http://api.test/?{ip}",
            ("ionos", _) => "prefix.secret",
            _ => "12345678",
        };
        let text = text.to_owned();
        settings.set(key.name, if key.is_secret { Setting::Secret(Secret::new(text)) } else { Setting::Text(text) });
    }
    settings.open().unwrap_or_else(|bad| panic!("{}: {bad}", kind.word))
}

/// How a conversation ends in which every answer has this status, and each its body of the list: `step` further than
/// the one before.
fn end(provider: &dyn Provider, job: &Job, status: u16, first: usize, step: usize) -> Vec<Outcome> {
    let mut talk = provider.update(job);
    let mut heard = None;
    for turn in 0..TURNS {
        match talk.next(heard.take(), NOON) {
            Step::Done(outcomes) => return outcomes,
            Step::Seen(_) | Step::Send(Call::Dns(_)) => panic!("nobody asked for that"),
            Step::Send(Call::Http(_)) => {
                // With 204 comes no body (RFC 9110 15.3.5).
                let body = if status == 204 { "" } else { BODIES[(first + turn * step) % BODIES.len()] };
                heard = Some(Heard::Answer(Answer { status, headers: HeaderMap::new(), body: Bytes::from(body) }));
            }
        }
    }
    Vec::new()
}

#[test]
fn no_answer_makes_a_provider_panic_and_nonsense_is_no_success() {
    let kinds: Vec<_> = KINDS.iter().filter(|kind| !matches!(kind.word, "embedded" | "rfc2136")).collect();
    assert!(kinds.len() > 30);
    let rounds = || (0..BODIES.len()).flat_map(|first| [(first, 0), (first, 1), (first, 3)]);
    for kind in kinds {
        let provider = opened(kind);
        let zone = if kind.word == "duckdns" { "duckdns.org" } else { "dyn.home.test" };
        for (before, wanted) in [("", "192.0.2.1,2001:db8::1"), ("192.0.2.1", "192.0.2.2"), ("192.0.2.1", "")] {
            let memory = format!("2 {zone} {zone} id=7 A=7/60/");
            let host = host_after(&format!("nas.{zone}"), before, &memory, wanted);
            let job = Job { zone: Hostname::parse(zone).unwrap(), hosts: vec![host] };
            for (status, (first, step)) in STATUSES.into_iter().flat_map(|status| rounds().map(move |it| (status, it)))
            {
                let outcomes = end(&*provider, &job, status, first, step);
                let is_success = matches!(outcomes[..], [Outcome::Confirmed { .. }]);
                // To some an empty body is an answer, and what is not shown needs no removal.
                let is_empty = status == 204 || matches!(BODIES[first], "" | "{}" | "null");
                let is_odd = is_success && !wanted.is_empty() && (status > 204 || step == 0 && !is_empty);
                // A webhook takes any status of success, until it is told what to expect.
                let is_meant = kind.word == "webhook" && status < 300;
                let told = (kind.word, status, BODIES[first], step, before, wanted);
                assert!(!is_odd || is_meant, "{told:?}: {outcomes:?}");
            }
        }
    }
}
