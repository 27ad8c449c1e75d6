//! The conversation, played from a script: what is sent over which transport, and what each answer means.

use bytes::Bytes;

use super::message::{Change, Edit, Question, Requires};
use super::settings::Transport;
use super::tsig::Signed;
use super::tsig::tests::{sign_answer, with_record};
use super::{Account, KIND};
use crate::provider::play::{NOON, assert_refused, assert_unconfirmed, host, host_after, set};
use crate::provider::{
    Call, Class, DnsCall, Heard, HostJob, Job, Moment, Outcome, ProviderSettings, Setting, Silence, Step,
};
use nicgate_protocol::{Family, Hostname, Secret};

const NOERROR: u8 = 0;
const NXRRSET: u8 = 8;
const MEMORY: &str = "1 home.test home.test A=300";

fn settings() -> ProviderSettings {
    let mut settings = ProviderSettings::new("own", &KIND);
    settings.set("server", Setting::Text("ns1.home.test".into()));
    settings.set("key_name", Setting::Text("Key.Home.test".into()));
    settings.set("key_secret", Setting::Secret(Secret::new("MTIzNDU2Nzg=".into())));
    settings
}

/// How a server answers an update.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Signed(u8),
    /// Signed, with the error BADTIME and a clock so many seconds ahead.
    BadTime(i64),
    /// With a TSIG record that holds this error and no signature.
    TsigError(u16),
    Unsigned(u8),
    /// Signed with our key, but as the answer to something else.
    Misplaced,
    Silence {
        was_sent: bool,
    },
}

/// A conversation under way: each call is told before its answer is made.
struct Play {
    account: Account,
    talk: Box<dyn crate::provider::Talk + Send>,
    heard: Option<Heard>,
    moment: Moment,
}

impl Play {
    fn new(settings: &ProviderSettings, hosts: &[HostJob]) -> Self {
        let account = Account::read(settings).unwrap();
        let job = Job { zone: Hostname::parse("home.test").unwrap(), hosts: hosts.to_vec() };
        Self { account, talk: settings.open().unwrap().update(&job), heard: None, moment: NOON }
    }

    fn call(&mut self) -> DnsCall {
        // Another id each time.
        self.moment.dice = self.moment.dice.wrapping_add(1 << 112);
        match self.talk.next(self.heard.take(), self.moment) {
            Step::Send(Call::Dns(call)) => call,
            other @ (Step::Done(_) | Step::Seen(_) | Step::Send(Call::Http(_))) => panic!("no call: {other:?}"),
        }
    }

    fn end(&mut self) -> Vec<Outcome> {
        match self.talk.next(self.heard.take(), self.moment) {
            Step::Done(outcomes) => outcomes,
            other @ (Step::Seen(_) | Step::Send(_)) => panic!("no end: {other:?}"),
        }
    }

    /// Expects an update, and answers it.
    fn update(&mut self, is_tcp: bool, answer: Answer) -> DnsCall {
        let call = self.call();
        assert_eq!((call.is_tcp, &*call.server), (is_tcp, "ns1.home.test:53"));
        assert_eq!(call.message[2] >> 3, 5, "not an update: {call:?}");
        let request = self.signed(&call);
        let now = NOON.now.seconds();
        let bare = |rcode| {
            let mut answer = call.message[..12].to_vec();
            (answer[2], answer[3]) = (answer[2] | 0x80, rcode);
            answer[4..].fill(0);
            answer
        };
        let key = &self.account.key;
        let message = match answer {
            Answer::Signed(rcode) => sign_answer(key, &request, &bare(rcode), now, 0, &[]),
            Answer::BadTime(ahead) => {
                let server = now.checked_add_signed(ahead).unwrap().to_be_bytes();
                sign_answer(key, &request, &bare(9), now, 18, &server[2..])
            }
            Answer::TsigError(error) => with_record(key, &bare(9), &[], now, error, &[]),
            Answer::Unsigned(rcode) => bare(rcode),
            Answer::Misplaced => {
                let other = Signed { mac: vec![1; 32], ..request };
                sign_answer(key, &other, &bare(NOERROR), now, 0, &[])
            }
            Answer::Silence { was_sent } => {
                self.heard = Some(Heard::Silence(Silence { why: "no answer in time".into(), was_sent }));
                return call;
            }
        };
        self.heard = Some(Heard::Message(Bytes::from(message)));
        call
    }

    /// What was signed, made again from what was sent.
    fn signed(&self, call: &DnsCall) -> Signed {
        const RECORD: usize = 15 + 10 + 13 + 10 + 32 + 6;
        let mut message = call.message[..call.message.len() - RECORD].to_vec();
        message[11] = 0;
        let signed = self.account.key.sign(message, NOON.now.seconds());
        assert_eq!(signed.message, call.message, "not signed with the key, or not at noon");
        signed
    }

    /// Expects a question about a family and shows these addresses with a TTL of 300; with `alias` a CNAME.
    fn look(&mut self, hostname: &str, family: Family, addresses: &[&str], alias: bool) {
        use domain::base::iana::Class as DnsClass;
        use domain::base::{Message, MessageBuilder, Ttl};
        use domain::rdata::{A, Aaaa, Cname};
        let call = self.call();
        let name = Hostname::parse(hostname).unwrap();
        let id = u16::from_be_bytes([call.message[0], call.message[1]]);
        assert_eq!(call.message, Question::Addresses(name.clone(), family).compose(id).unwrap());
        let asked = Message::from_slice(&call.message).unwrap();
        let mut answer = MessageBuilder::new_vec().start_answer(asked, domain::base::iana::Rcode::NOERROR).unwrap();
        answer.header_mut().set_aa(true);
        let (owner, ttl) = (super::message::name(&name), Ttl::from_secs(300));
        for address in addresses {
            match address.parse().unwrap() {
                std::net::IpAddr::V4(v4) => answer.push((&owner, DnsClass::IN, ttl, A::new(v4))).unwrap(),
                std::net::IpAddr::V6(v6) => answer.push((&owner, DnsClass::IN, ttl, Aaaa::new(v6))).unwrap(),
            }
        }
        if alias {
            answer.push((&owner, DnsClass::IN, ttl, Cname::new(super::message::name(&name)))).unwrap();
        }
        self.heard = Some(Heard::Message(Bytes::from(answer.finish())));
    }
}

fn later() -> HostJob {
    host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2")
}

fn confirmed(ttl: u32) -> Outcome {
    Outcome::Confirmed { remembered: Some(format!("1 home.test home.test A={ttl}").into()), ttl }
}

#[test]
fn every_answer_to_an_update_has_its_meaning() {
    // Over TCP, where there is nobody to ask again.
    for (answer, class, word) in [
        (Answer::Signed(1), Class::Invalid, "understand"),
        (Answer::Signed(4), Class::Invalid, "dynamic"),
        (Answer::Signed(5), Class::Denied, "update-policy"),
        (Answer::Unsigned(5), Class::Denied, "update-policy"),
        (Answer::TsigError(16), Class::Auth, "key_secret"),
        (Answer::TsigError(17), Class::Auth, "key_name"),
        (Answer::TsigError(22), Class::Auth, "key.home.test"),
        (Answer::BadTime(3600), Class::Auth, "3600 seconds ahead of"),
        (Answer::BadTime(-400), Class::Auth, "400 seconds behind"),
    ] {
        let mut settings = settings();
        settings.set("transport", Setting::Text("tcp".into()));
        settings.set("key_name", Setting::Text("key.home.test".into()));
        let mut play = Play::new(&settings, &[later()]);
        play.update(true, answer);
        assert_refused(&play.end()[0], class, word);
    }
    for (answer, class, maybe_written) in [
        (Answer::Signed(2), Class::Down, true),
        (Answer::Unsigned(2), Class::Down, true),
        (Answer::Signed(11), Class::Bug, true),
        (Answer::Unsigned(NOERROR), Class::Bug, true),
        (Answer::Misplaced, Class::Bug, true),
        (Answer::Silence { was_sent: true }, Class::Down, true),
        (Answer::Silence { was_sent: false }, Class::Down, false),
    ] {
        let mut settings = settings();
        settings.set("transport", Setting::Text("tcp".into()));
        let mut play = Play::new(&settings, &[later()]);
        play.update(true, answer);
        assert_unconfirmed(&play.end()[0], class, maybe_written);
    }
}

#[test]
fn what_nobody_signed_in_a_datagram_is_asked_again_over_tcp() {
    for answer in [
        Answer::Unsigned(NOERROR),
        Answer::Unsigned(5),
        Answer::TsigError(17),
        Answer::Misplaced,
        Answer::Silence { was_sent: true },
        Answer::Silence { was_sent: false },
    ] {
        let mut play = Play::new(&settings(), &[later()]);
        let first = play.update(false, answer);
        let second = play.update(true, Answer::Signed(NOERROR));
        assert_eq!(first.message, second.message, "the same message, not another one");
        assert_eq!(play.end(), [confirmed(300)], "{answer:?}");
    }
    // An earlier copy may have arrived, even if the later one did not.
    let mut play = Play::new(&settings(), &[later()]);
    play.update(false, Answer::Silence { was_sent: true });
    play.update(true, Answer::Silence { was_sent: false });
    assert_unconfirmed(&play.end()[0], Class::Down, true);
}

#[test]
fn a_host_that_is_not_as_believed_is_looked_at_and_told_again() {
    let mut play = Play::new(&settings(), &[later()]);
    play.update(false, Answer::Signed(NXRRSET));
    play.look("nas.home.test", Family::V4, &["192.0.2.77"], false);
    play.update(false, Answer::Signed(NOERROR));
    assert_eq!(play.end(), [confirmed(300)]);

    // It stands already: an answer was lost before.
    let mut doubted = later();
    doubted.doubted = vec![set("192.0.2.2")];
    let mut play = Play::new(&settings(), &[doubted]);
    play.look("nas.home.test", Family::V4, &["192.0.2.2"], false);
    assert_eq!(play.end(), [confirmed(300)]);

    // An alias is in the way: what is seen confirms why it was refused.
    let mut play = Play::new(&settings(), &[host("nas.home.test", "192.0.2.2")]);
    play.update(false, Answer::Signed(7));
    play.look("nas.home.test", Family::V4, &[], true);
    play.update(false, Answer::Signed(7));
    assert_refused(&play.end()[0], Class::Invalid, "CNAME");

    // Somebody else writes all the time.
    let mut play = Play::new(&settings(), &[later()]);
    for last in ["192.0.2.77", "192.0.2.78"] {
        play.update(false, Answer::Signed(NXRRSET));
        play.look("nas.home.test", Family::V4, &[last], false);
    }
    play.update(false, Answer::Signed(NXRRSET));
    assert_unconfirmed(&play.end()[0], Class::Busy, false);
}

#[test]
fn a_host_that_is_refused_keeps_no_other_waiting() {
    let names = ["a.home.test", "b.home.test", "c.home.test", "d.home.test"];
    let hosts: Vec<HostJob> = names.iter().map(|name| host(name, "192.0.2.1")).collect();
    for refusal in [Answer::Signed(5), Answer::TsigError(17)] {
        let mut settings = settings();
        settings.set("transport", Setting::Text("tcp".into()));
        let mut play = Play::new(&settings, &hosts);
        play.update(true, refusal); // a b c d
        play.update(true, refusal); // a b
        play.update(true, Answer::Signed(NOERROR)); // a
        play.update(true, refusal); // b
        play.update(true, Answer::Signed(NOERROR)); // c d
        let outcomes = play.end();
        assert_refused(&outcomes[1], Class::Denied, "key");
        assert!(outcomes.iter().enumerate().all(|(at, outcome)| at == 1 || *outcome == confirmed(60)), "{outcomes:?}");
    }
    // A key that is unknown for two of them is unknown.
    let mut settings = settings();
    settings.set("transport", Setting::Text("tcp".into()));
    let mut play = Play::new(&settings, &hosts);
    for _ in 0..4 {
        play.update(true, Answer::TsigError(17)); // all, a b, a, b
    }
    let outcomes = play.end();
    assert_refused(&outcomes[1], Class::Auth, "key_name");
    assert_refused(&outcomes[3], Class::Auth, "key_name");
}

#[test]
fn a_message_says_what_it_expects() {
    let mut play = Play::new(&settings(), &[later()]);
    let call = play.update(false, Answer::Signed(NOERROR));
    let zone = Hostname::parse("home.test").unwrap();
    let host = Hostname::parse("nas.home.test").unwrap();
    let (old, new) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let edit = Edit {
        requires: vec![Requires::Exactly(host.clone(), vec![old])],
        changes: vec![Change::Remove(host.clone(), old), Change::Add(host, new, 300)],
    };
    let id = u16::from_be_bytes([call.message[0], call.message[1]]);
    let expected = Account::read(&settings()).unwrap().key.sign(edit.compose(id, &zone).unwrap(), NOON.now.seconds());
    assert_eq!(call.message, expected.message);
}

#[test]
fn settings_are_checked_before_anything_is_sent() {
    let transport = Account::read(&settings()).unwrap().transport;
    assert_eq!(transport, Transport::Either);
    for (key, value) in [
        ("server", "2001:db8::1"),
        ("key_name", ""),
        ("key_name", "a..b"),
        ("key_algorithm", "hmac-md5"),
        ("transport", "tls"),
    ] {
        let mut settings = settings();
        settings.set(key, Setting::Text(value.into()));
        assert_eq!(settings.open().map(|_| ()).unwrap_err().key, key, "{value}");
    }
    let mut settings = settings();
    settings.set("key_secret", Setting::Secret(Secret::new("no base64, but hush-hush".into())));
    let bad = settings.open().map(|_| ()).unwrap_err();
    assert!(bad.key == "key_secret" && !bad.why.contains("hush"), "{bad}");
    settings.endpoint = Some("http://127.0.0.1".into());
    assert_eq!(settings.open().map(|_| ()).unwrap_err().key, "endpoint");
}
