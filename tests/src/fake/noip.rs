//! A No-IP of our own, after noip.com/integrate/request and /response: strict about the User-Agent, and never pleased
//! to hear the same twice.
//!
//! One line a host; both families are listed where both were sent. What an update of one family does to the other is
//! documented nowhere; here it stays.

use std::net::IpAddr;

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};

use super::{Api, Asked, Fake, Record, Removal, Said, Started, Subject, Traits, Zone};

const USER: &str = "me@home.test";
const PASSWORD: &str = "fake-password-0123";
const ZONE: &str = "ddns.net";
const TTL: u32 = 60;

/// No-IP in the suite.
pub static SUBJECT: Subject = Subject {
    word: "noip",
    start,
    traits: Traits {
        zone: ZONE,
        first_calls: 1,
        dual_stack_calls: 1, // both in one list
        has_wildcard: false,
        has_root: false,
        has_deep_names: false,
        can_look: false,
        has_record_sets: false,
        removal: Removal::Nothing, // `offline` is paid for
        ttl: None,
        ttl_by_hand: TTL,
        spoil: |settings| settings.set("password", secret("wrong-password-0123")),
        unknown_zone: None,
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(NoIp { zone: Zone::new(ZONE) });
    let mut settings = ProviderSettings::new("some", kind("noip").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("username", Setting::Text(USER.to_owned()));
    settings.set("password", secret(PASSWORD));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

/// The API.
pub struct NoIp {
    zone: Zone,
}

impl Api for NoIp {
    fn is_write(&self, _asked: &Asked) -> bool {
        true
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if (asked.method(), asked.path().as_slice()) != ("GET", &["nic", "update"]) {
            return asked.unknown_call(Said::text(404, "Not Found"));
        }
        if asked.basic() != Some((USER.to_owned(), PASSWORD.to_owned())) {
            return Said::text(401, "badauth");
        }
        if !asked.header("user-agent").is_some_and(is_certified) {
            asked.mistake("the User-Agent has another form than the vendor asks for");
            return Said::text(200, "badagent");
        }
        asked.only_parameters(&["hostname", "myip"]);
        let hostname = asked.parameter("hostname").unwrap_or_default();
        match self.zone.relative(hostname) {
            Some(label) if !label.is_empty() && !label.contains(['*', '.']) => {}
            _ => return Said::text(200, "nohost"),
        }
        let sent = asked.parameter("myip").unwrap_or_default();
        let addresses: Option<Vec<IpAddr>> = sent.split(',').map(|text| text.parse().ok()).collect();
        let Some(addresses) = addresses.filter(|addresses| !addresses.is_empty()) else {
            asked.mistake("without addresses No-IP takes the caller's own");
            return Said::text(200, "911");
        };
        let mut is_news = false;
        for address in addresses {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            is_news |= self.zone.contents(hostname, kind) != [address.to_string()];
            self.zone.replace(hostname, kind, TTL, &[address.to_string()]);
        }
        Said::text(200, format!("{} {sent}\r\n", if is_news { "good" } else { "nochg" }))
    }

    fn put_by_hand(&mut self, record: Record) {
        self.zone.add(Record { ttl: TTL, ..record });
    }
}

/// `Company NameOfProgram/OSVersion-ReleaseVersion maintainer-contact@example.com`.
fn is_certified(agent: &str) -> bool {
    let words: Vec<&str> = agent.split(' ').collect();
    let [_company, program, contact] = words[..] else { return false };
    let version = program.split_once('/').map(|(_, version)| version);
    version.is_some_and(|version| version.contains('-')) && contact.contains('@')
}
