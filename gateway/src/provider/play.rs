//! For the unit tests of providers: plays a whole conversation from a script of requests and answers.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use nicgate_logic::state::Applied;
use nicgate_protocol::{AddressSet, Hostname, Timestamp};

use super::{
    Answer, Call, Class, Heard, HostJob, HttpCall, Job, Moment, Outcome, ProviderSettings, Setting, Sight, Step,
};

/// 2026-11-22T12:00:00Z, and dice that always fall alike.
pub(crate) const NOON: Moment =
    Moment { now: Timestamp(1_795_348_800_000), dice: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff };

/// Addresses, separated by commas.
pub(crate) fn set(text: &str) -> AddressSet {
    let mut set = AddressSet::EMPTY;
    for address in text.split(',').filter(|part| !part.is_empty()) {
        let one = AddressSet::from(address.parse::<std::net::IpAddr>().unwrap());
        set = AddressSet { v4: one.v4.or(set.v4), v6: one.v6.or(set.v6) };
    }
    set
}

/// A host that this provider never heard of.
pub(crate) fn host(hostname: &str, wanted: &str) -> HostJob {
    let hostname = Hostname::parse(hostname).unwrap();
    HostJob { hostname, before: None, doubted: Vec::new(), wanted: set(wanted), ttl: None }
}

/// A host of which this provider confirmed something before.
pub(crate) fn host_after(hostname: &str, before: &str, remembered: &str, wanted: &str) -> HostJob {
    let applied = Applied {
        provider: "cloud".into(),
        addresses: set(before),
        ttl: 60,
        remembered: Some(remembered.into()),
        ..Applied::default()
    };
    HostJob { before: Some(applied), ..host(hostname, wanted) }
}

/// Settings with an endpoint of `http://api.test` and these secrets.
pub(crate) fn settings(word: &str, secrets: &[(&'static str, &str)]) -> ProviderSettings {
    let mut settings = ProviderSettings::new("cloud", super::kind(word).unwrap());
    settings.endpoint = Some("http://api.test".into());
    for (key, secret) in secrets {
        settings.set(key, Setting::Secret(nicgate_protocol::Secret::new((*secret).to_owned())));
    }
    settings
}

/// A header that must be there, once.
#[track_caller]
pub(crate) fn header<'a>(call: &'a HttpCall, name: &str) -> &'a HeaderValue {
    let mut found = call.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
    let value = found.next().unwrap_or_else(|| panic!("{call:?} has no {name}"));
    assert!(found.next().is_none(), "{call:?} has {name} twice");
    value
}

/// Plays an update: each request as `METHOD path` or `METHOD path body` (the endpoint left out), and its answer.
/// `check` sees every call.
#[track_caller]
pub(crate) fn play<S: AsRef<str>>(
    settings: &ProviderSettings,
    zone: &str,
    hosts: &[HostJob],
    script: &[(S, (u16, String))],
    check: impl Fn(&HttpCall),
) -> Vec<Outcome> {
    let job = Job { zone: Hostname::parse(zone).unwrap(), hosts: hosts.to_vec() };
    match run(settings, settings.open().unwrap().update(&job), script, check) {
        Step::Done(outcomes) => outcomes,
        other @ (Step::Seen(_) | Step::Send(_)) => panic!("one call too many: {other:?}"),
    }
}

/// The same for a look.
#[track_caller]
pub(crate) fn look<S: AsRef<str>>(
    settings: &ProviderSettings,
    zone: &str,
    hostname: &str,
    script: &[(S, (u16, String))],
) -> Result<Sight, Outcome> {
    let (zone, hostname) = (Hostname::parse(zone).unwrap(), Hostname::parse(hostname).unwrap());
    let talk = settings.open().unwrap().look(&zone, &hostname).unwrap();
    match run(settings, talk, script, |_| ()) {
        Step::Seen(sight) => Ok(sight),
        Step::Done(mut outcomes) => Err(outcomes.remove(0)),
        other @ Step::Send(_) => panic!("one call too many: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn run<S: AsRef<str>>(
    settings: &ProviderSettings,
    mut talk: Box<dyn super::Talk + Send>,
    script: &[(S, (u16, String))],
    check: impl Fn(&HttpCall),
) -> Step {
    let endpoint = settings.endpoint.as_deref().unwrap();
    let mut heard = None;
    for (request, (status, body)) in script {
        let request = request.as_ref();
        let call = match talk.next(heard.take(), NOON) {
            Step::Send(Call::Http(call)) => call,
            other @ (Step::Done(_) | Step::Seen(_) | Step::Send(Call::Dns(_))) => {
                panic!("ended before {request}: {other:?}")
            }
        };
        check(&call);
        let mut sent = format!("{} {}", call.method, call.url.strip_prefix(endpoint).unwrap());
        if !call.body.is_empty() {
            sent = format!("{sent} {}", std::str::from_utf8(&call.body).unwrap());
        }
        assert_eq!(sent, request);
        let headers = HeaderMap::new();
        heard = Some(Heard::Answer(Answer { status: *status, headers, body: Bytes::from(body.clone()) }));
    }
    talk.next(heard, NOON)
}

#[track_caller]
pub(crate) fn assert_refused(outcome: &Outcome, wanted: Class, word: &str) {
    let fits = matches!(outcome, Outcome::Refused { class, text, .. } if *class == wanted && text.contains(word));
    assert!(fits, "not {wanted:?} with {word:?}: {outcome:?}");
}

#[track_caller]
pub(crate) fn assert_unconfirmed(outcome: &Outcome, wanted: Class, is_maybe_written: bool) {
    let fits = matches!(outcome, Outcome::Unconfirmed { class, maybe_written, .. }
        if *class == wanted && *maybe_written == is_maybe_written);
    assert!(fits, "not {wanted:?}, written {is_maybe_written}: {outcome:?}");
}
