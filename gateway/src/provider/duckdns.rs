//! DuckDNS (duckdns.org/spec.jsp): one GET with the token in it; the first letters of the body say how it went.
//!
//! Only `ip` and `ipv6` are ever sent, and `clear` to take a host offline. The TXT record of a name, which people use
//! for certificates, is neither written nor cleared: DuckDNS touches it only when `txt` is in the call.
//!
//! What is not sent stays as it is. A single family cannot be cleared. A name below one's own resolves like that one, so
//! `box.nas.duckdns.org` is told as `nas`.

use std::sync::Arc;

use http::Method;
use nicgate_protocol::{AddressSet, Family, Hostname, Secret};

use super::encode::percent_encoded;
use super::service::{Message, Removal, Service, Told, Way};
use super::trouble::{Meaning, Trouble};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Moment, Provider, ProviderSettings, Window, base_url_before,
};

const DEFAULT_ENDPOINT: &str = "https://www.duckdns.org";
/// Below it stand all names.
const PARENT: &str = "duckdns.org";
/// Our own bound: DuckDNS names none.
const BUDGET: Budget = Budget::of(&[Window::new(30, 60)]);
/// The TTL of every record, in seconds.
const TTL: u32 = 60;
/// Names in one call; the vendor names no bound.
const HOSTS: usize = 10;

const TOKEN: &str = "token";
const KEYS: &[Key] = &[Key::secret(TOKEN, "The account's token, from the page after the login.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "duckdns", about: "DuckDNS, by its update URL.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Told::provider(Account {
        base: base_url_before("/update", settings, DEFAULT_ENDPOINT)?,
        is_elsewhere: settings.endpoint.is_some(),
        token: Secret::new(settings.credential(TOKEN)?.to_owned()),
    }))
}

struct Account {
    base: String,
    /// Whether the endpoint is another server's, whose names need not end with DuckDNS's own.
    is_elsewhere: bool,
    token: Secret<String>,
}

impl Account {
    /// What DuckDNS calls a host.
    fn label<'a>(&self, hostname: &'a Hostname, zone: &Hostname) -> Option<&'a str> {
        let below = |parent: &str| hostname.as_str().strip_suffix(parent)?.strip_suffix('.');
        let within = below(PARENT).or_else(|| below(zone.as_str()).filter(|_| self.is_elsewhere))?;
        within.rsplit('.').next().filter(|label| *label != "*")
    }
}

impl Service for Account {
    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check token",
            Class::NoZone => "; check token, and that the name is listed on your DuckDNS page",
            Class::Denied | Class::Invalid | Class::Quota => "",
            Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn way(&self) -> Way {
        Way::Changed
    }

    fn ttl(&self, _asked: Option<u32>) -> u32 {
        TTL
    }

    fn hosts_at_once(&self) -> usize {
        HOSTS
    }

    fn removal(&self) -> Removal {
        Removal { family: false, host: true }
    }

    fn call(&self, message: &Message, _moment: Moment) -> Result<HttpCall, Trouble> {
        let mut labels: Vec<&str> = Vec::new();
        for hostname in &message.hosts {
            let label = self.label(hostname, &message.zone).ok_or_else(|| {
                let text = format!("{hostname} is no name that DuckDNS could hold; those end with .{PARENT}");
                Trouble::of(Class::Invalid, "foreign_name", &text)
            })?;
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        let labels: Vec<String> = labels.into_iter().map(percent_encoded).collect();
        let mut url = format!("{}/update?domains={}", self.base, labels.join(","));
        url.push_str(&format!("&token={}", percent_encoded(self.token.expose())));
        for address in message.addresses.iter() {
            let name = if address.is_ipv4() { "ip" } else { "ipv6" };
            url.push_str(&format!("&{name}={}", percent_encoded(&address.to_string())));
        }
        // With neither it would take our own address.
        url.push_str(if message.addresses.is_empty() { "&clear=true&verbose=true" } else { "&verbose=true" });
        Ok(HttpCall::plain(Method::GET, url))
    }

    /// `OK`, the IPv4 address, the IPv6 address, and whether that was news; or `KO` without a reason.
    fn heard(&self, message: &Message, answer: &Answer) -> Result<(), Trouble> {
        let body = std::str::from_utf8(&answer.body).unwrap_or_default();
        let lines: Vec<&str> = body.trim_end().lines().map(str::trim).collect();
        match (answer.status, lines.as_slice()) {
            (200, ["KO", ..]) => {
                // It took this name before, so the name is right.
                let meaning = if message.is_known { Meaning::Plain(Class::Auth) } else { Meaning::NoZone };
                let names: Vec<&str> = message.hosts.iter().map(Hostname::as_str).collect();
                let text = format!("DuckDNS says KO for {} and gives no reason", names.join(", "));
                Err(Trouble::new(meaning, "KO", &text))
            }
            (200, ["OK", shown @ .., "UPDATED" | "NOCHANGE"]) => echoed(shown, message.addresses),
            // What it says to those who do not ask for more.
            (200, ["OK"]) => Ok(()),
            (200, ["OK", ..]) => Err(Trouble::unknown("DuckDNS says OK and not of what")),
            _ => Err(Trouble::by_status(answer)),
        }
    }
}

/// Whether what was sent is what is shown.
fn echoed(shown: &[&str], sent: AddressSet) -> Result<(), Trouble> {
    let is_shown = |family| shown.iter().any(|line| line.parse().ok() == sent.of(family));
    match Family::BOTH.into_iter().find(|family| sent.of(*family).is_some() && !is_shown(*family)) {
        None => Ok(()),
        Some(_) => {
            let text = format!("DuckDNS was sent {sent} and shows {}", shown.join(" "));
            Err(Trouble::unknown(&text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    const TOKEN_TEXT: &str = "a7c4d0ad-114e-40ef-ba1d-d217904a50f2";

    fn all(hosts: &[HostJob], script: &[(&str, (u16, &str))]) -> Vec<Outcome> {
        let place = format!("&token={TOKEN_TEXT}&");
        let script: Vec<_> = script
            .iter()
            .map(|(asked, (status, body))| (asked.replacen('&', &place, 1), (*status, (*body).to_owned())))
            .collect();
        play(&play::settings("duckdns", &[(TOKEN, TOKEN_TEXT)]), "duckdns.org", hosts, &script, |_| ())
    }

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        all(&[host], script).remove(0)
    }

    const DONE: Outcome = Outcome::Confirmed { remembered: None, ttl: TTL };
    const FIRST: &str = "GET /update?domains=nas&ip=192.0.2.1&verbose=true";

    #[test]
    fn what_changed_is_told_and_compared() {
        // The answer as it was recorded.
        let recorded = "OK\n192.0.2.1\n\nUPDATED";
        assert_eq!(one(host("nas.duckdns.org", "192.0.2.1"), &[(FIRST, (200, recorded))]), DONE);
        let six = "GET /update?domains=nas&ipv6=2001%3Adb8%3A%3A1&verbose=true";
        let later = host_after("nas.duckdns.org", "192.0.2.1", "", "192.0.2.1,2001:db8::1");
        assert_eq!(one(later, &[(six, (200, "OK\n\n2001:0db8::0001\nNOCHANGE\n"))]), DONE);
        assert_eq!(one(host_after("nas.duckdns.org", "192.0.2.1", "", "192.0.2.1"), &[]), DONE);
        assert_eq!(one(host("nas.duckdns.org", "192.0.2.1"), &[(FIRST, (200, "OK"))]), DONE);
        assert_eq!(one(host("box.nas.duckdns.org", "192.0.2.1"), &[(FIRST, (200, recorded))]), DONE);
        assert_eq!(one(host("*.nas.duckdns.org", "192.0.2.1"), &[(FIRST, (200, recorded))]), DONE);
        for (body, class) in [
            ("OK\n192.0.2.7\n\nUPDATED", Class::Bug),
            ("OK\n\n\nUPDATED", Class::Bug),
            ("OK\n192.0.2.1", Class::Bug),
            ("OK\n192.0.2.1\n\nUPD", Class::Bug),
            ("<html>", Class::Down),
            ("", Class::Bug),
        ] {
            assert_unconfirmed(&one(host("nas.duckdns.org", "192.0.2.1"), &[(FIRST, (200, body))]), class, true);
        }
    }

    #[test]
    fn a_host_goes_offline_whole_or_not_at_all() {
        let clear = "GET /update?domains=nas&clear=true&verbose=true";
        let gone = host_after("nas.duckdns.org", "192.0.2.1,2001:db8::1", "", "");
        assert_eq!(one(gone, &[(clear, (200, "OK\n\n\nUPDATED"))]), Outcome::Confirmed { remembered: None, ttl: 0 });
        let half = host_after("nas.duckdns.org", "192.0.2.1,2001:db8::1", "", "192.0.2.1");
        assert_refused(&one(half, &[]), Class::Invalid, "leave the other");
    }

    #[test]
    fn hosts_with_the_same_address_go_together_and_a_wrong_one_fails_alone() {
        let hosts = [
            host("a.duckdns.org", "192.0.2.1"),
            host("b.duckdns.org", "192.0.2.2"),
            host("c.duckdns.org", "192.0.2.1"),
        ];
        let together = "GET /update?domains=a,c&ip=192.0.2.1&verbose=true";
        let (a, c) = (together.replace("a,c", "a"), together.replace("a,c", "c"));
        let b = "GET /update?domains=b&ip=192.0.2.2&verbose=true";
        let (ok, other) = ((200, "OK\n192.0.2.1\n\nUPDATED"), (200, "OK\n192.0.2.2\n\nUPDATED"));
        assert_eq!(all(&hosts, &[(together, ok), (b, other)]), [DONE, DONE, DONE]);
        let outcomes = all(&hosts, &[(together, (200, "KO")), (&a, ok), (&c, (200, "KO")), (b, other)]);
        assert_eq!((&outcomes[0], &outcomes[1]), (&DONE, &DONE));
        assert_refused(&outcomes[2], Class::NoZone, "c.duckdns.org");
        // A silence leaves them all in doubt, and is not answered with more calls.
        let outcomes = all(&hosts, &[(together, (503, ""))]);
        assert_unconfirmed(&outcomes[0], Class::Down, true);
        assert_unconfirmed(&outcomes[1], Class::Down, false);
        assert_unconfirmed(&outcomes[2], Class::Down, true);
    }

    #[test]
    fn a_ko_of_a_name_that_was_taken_before_is_the_token() {
        assert_refused(&one(host("nas.duckdns.org", "192.0.2.1"), &[(FIRST, (200, "KO"))]), Class::NoZone, "token");
        let known = host_after("nas.duckdns.org", "192.0.2.9", "", "192.0.2.1");
        assert_refused(&one(known, &[(FIRST, (200, "KO"))]), Class::Auth, "token");
    }

    #[test]
    fn names_elsewhere_are_not_told() {
        let refused = |name: &str| one(host(name, "192.0.2.1"), &[]);
        assert_refused(&refused("duckdns.org"), Class::Invalid, "duckdns.org");
        assert_refused(&refused("*.duckdns.org"), Class::Invalid, "*.duckdns.org");
        let mut settings = play::settings("duckdns", &[(TOKEN, TOKEN_TEXT)]);
        settings.endpoint = None;
        let job = crate::provider::Job {
            zone: Hostname::parse("home.test").unwrap(),
            hosts: vec![host("nas.home.test", "192.0.2.1")],
        };
        let step = settings.open().unwrap().update(&job).next(None, play::NOON);
        let crate::provider::Step::Done(outcomes) = step else { panic!("{step:?}") };
        assert_refused(&outcomes[0], Class::Invalid, "nas.home.test");
    }
}
