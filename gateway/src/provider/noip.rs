//! No-IP (noip.com/integrate/request, /response): dyndns2 with a User-Agent of a given form.
//!
//! Unchanged addresses get a client blocked, and so do repeats after an error: what was confirmed is not sent again,
//! `911` rests for half an hour, and whatever needs a person is refused. Nothing can be read, and nothing removed:
//! taking a host offline is a paid feature that other hosts of the account would hear `!donator` for.

use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue, USER_AGENT};

use super::dyndns2::{answer, user};
use super::encode::{basic_header, query};
use super::send::OPERATING_SYSTEM;
use super::service::{Message, Service, Told, Way};
use super::trouble::Trouble;
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Moment, Provider, ProviderSettings, Window, base_url_before,
};

const DEFAULT_ENDPOINT: &str = "https://dynupdate.no-ip.com";
const PATH: &str = "/nic/update";
/// Our own bound: No-IP names none, and blocks who comes too often.
const BUDGET: Budget = Budget::of(&[Window::new(10, 60)]);
/// The TTL of dynamic hosts, in seconds; nobody can set another.
const TTL: u32 = 60;

/// Who is named where the operator names nobody: No-IP turns away what has no address in this place.
const MAINTAINER: &str = "nicgate@users.noreply.github.com";

const CONTACT: &str = "contact";
const KEYS: &[Key] = &[
    Key::text("username", "The user of a DDNS key, or the account's e-mail address."),
    Key::secret("password", "The password that goes with it."),
    Key::text(CONTACT, "Your e-mail address: No-IP wants one in every request; left out, username if it is one.")
        .optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "noip", about: "No-IP, by its update URL.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let (username, password) = user(settings)?;
    Ok(Told::provider(Account {
        base: base_url_before(PATH, settings, DEFAULT_ENDPOINT)?,
        authorization: basic_header(&username, password.expose()),
        agent: agent(settings.text(CONTACT), &username)?,
    }))
}

/// `Company NameOfProgram/OSVersion-ReleaseVersion maintainer@example.com`.
fn agent(contact: Option<&str>, username: &str) -> Result<HeaderValue, BadSetting> {
    let is_mail = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_graphic())
            && text.split_once('@').is_some_and(|(a, b)| !a.is_empty() && b.contains('.'))
    };
    let contact = match contact.map(str::trim) {
        Some(contact) if is_mail(contact) => contact,
        Some(_) => {
            return Err(BadSetting {
                key: CONTACT,
                why: "write an e-mail address, for instance \"me@example.com\"".into(),
            });
        }
        None if is_mail(username) => username,
        None => MAINTAINER,
    };
    let text = format!("nicgate nicgate/{}-{} {contact}", OPERATING_SYSTEM, env!("CARGO_PKG_VERSION"));
    HeaderValue::from_str(&text).map_err(|_| BadSetting { key: CONTACT, why: "write an e-mail address".into() })
}

struct Account {
    base: String,
    authorization: HeaderValue,
    agent: HeaderValue,
}

impl Service for Account {
    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check username and password: a DDNS key has its own",
            Class::NoZone | Class::Denied | Class::Invalid | Class::Quota => "",
            Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    /// Whether No-IP keeps a family that is not mentioned is documented nowhere, so both go whenever one changes.
    fn way(&self) -> Way {
        Way::Whole
    }

    fn ttl(&self, _asked: Option<u32>) -> u32 {
        TTL
    }

    fn call(&self, message: &Message, _moment: Moment) -> Result<HttpCall, Trouble> {
        let addresses = message.addresses.to_string();
        let query = query(&[("hostname", message.host().as_str()), ("myip", &addresses)]);
        let call = HttpCall::plain(Method::GET, format!("{}{PATH}?{query}", self.base));
        Ok(call.with(AUTHORIZATION, self.authorization.clone()).with(USER_AGENT, self.agent.clone()))
    }

    fn heard(&self, message: &Message, answer: &Answer) -> Result<(), Trouble> {
        answer::read(answer, message.addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, header, host, host_after, play};
    use crate::provider::{HostJob, Outcome, Setting};

    fn settings() -> ProviderSettings {
        let mut settings = play::settings("noip", &[("password", "pass:word ü")]);
        settings.set("username", Setting::Text("me@home.test".into()));
        settings
    }

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(&settings(), "ddns.net", &[host], &script, |call| {
            assert_eq!(header(call, "authorization"), "Basic bWVAaG9tZS50ZXN0OnBhc3M6d29yZCDDvA==");
            let agent = header(call, "user-agent").to_str().unwrap();
            let words: Vec<&str> = agent.split(' ').collect();
            let ["nicgate", program, "me@home.test"] = words[..] else { panic!("{agent}") };
            assert!(program.starts_with("nicgate/") && program.contains('-'), "{agent}");
        })
        .remove(0)
    }

    const FIRST: &str = "GET /nic/update?hostname=nas.ddns.net&myip=192.0.2.1";

    #[test]
    fn both_families_go_together_and_never_again() {
        let done = Outcome::Confirmed { remembered: None, ttl: 60 };
        assert_eq!(one(host("nas.ddns.net", "192.0.2.1"), &[(FIRST, (200, "good 192.0.2.1\r\n"))]), done);
        let both = "GET /nic/update?hostname=nas.ddns.net&myip=192.0.2.2%2C2001%3Adb8%3A%3A1";
        let later = host_after("nas.ddns.net", "192.0.2.1,2001:db8::1", "", "192.0.2.2,2001:db8::1");
        assert_eq!(one(later, &[(both, (200, "good 192.0.2.2,2001:db8::1"))]), done);
        assert_eq!(one(host_after("nas.ddns.net", "192.0.2.2", "", "192.0.2.2"), &[]), done);
        // Doubt is the one reason to say it again.
        let mut doubted = host_after("nas.ddns.net", "192.0.2.2", "", "192.0.2.1");
        doubted.doubted.push(doubted.wanted);
        assert_eq!(one(doubted, &[(FIRST, (200, "nochg 192.0.2.1"))]), done);
    }

    #[test]
    fn what_cannot_be_done_is_said_and_the_rest_is_done() {
        assert_refused(&one(host_after("nas.ddns.net", "192.0.2.1", "", ""), &[]), Class::Invalid, "offline");
        let half = host_after("nas.ddns.net", "192.0.2.9,2001:db8::1", "", "192.0.2.1");
        let outcome = one(half, &[(FIRST, (200, "good 192.0.2.1"))]);
        assert!(matches!(outcome, Outcome::Refused { maybe_written: true, .. }), "{outcome:?}");
    }

    #[test]
    fn an_outage_rests_for_half_an_hour_and_errors_stop() {
        let outage = one(host("nas.ddns.net", "192.0.2.1"), &[(FIRST, (200, "911"))]);
        assert_unconfirmed(&outage, Class::Down, true);
        let Outcome::Unconfirmed { retry_after, .. } = outage else { unreachable!() };
        assert_eq!(retry_after, Some(Duration::from_secs(1800)));
        for (word, class) in
            [("badauth", Class::Auth), ("badagent", Class::Denied), ("abuse", Class::Denied), ("nohost", Class::NoZone)]
        {
            assert_refused(&one(host("nas.ddns.net", "192.0.2.1"), &[(FIRST, (200, word))]), class, word);
        }
    }

    #[test]
    fn the_contact_is_an_address() {
        for (contact, username, part) in [
            (Some("you@example.com"), "key", Some(" you@example.com")),
            (None, "me@home.test", Some(" me@home.test")),
            (None, "key", Some(" nicgate@")),
            (Some("nobody"), "me@home.test", None),
            (Some("a@b.c\r\nX: y"), "key", None),
        ] {
            let agent = agent(contact, username).ok();
            assert_eq!(agent.is_some(), part.is_some(), "{contact:?}");
            assert!(agent.is_none_or(|agent| agent.to_str().unwrap().contains(part.unwrap())));
        }
    }
}
