//! Namecheap's dynamic DNS (namecheap.com/support/knowledgebase/article.aspx/29): one GET with the domain's dynamic DNS
//! password, one small XML document back.
//!
//! It changes the A record of a host that stands there already as "A + Dynamic DNS", and nothing else: no IPv6, no
//! removal, no TTL. Namecheap's XML API is not spoken: its `setHosts` writes the whole zone anew and forgets which
//! records are dynamic, so every update would risk records that are none of its business.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use nicgate_protocol::{Family, Secret};
use roxmltree::Document;

use super::encode::{query, relative};
use super::service::{Message, Service, Told, Way};
use super::trouble::{Meaning, Trouble};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Moment, Provider, ProviderSettings, Window, base_url_before,
};

const DEFAULT_ENDPOINT: &str = "https://dynamicdns.park-your-domain.com";
const PATH: &str = "/update";
/// Our own bound: Namecheap names none for updates.
const BUDGET: Budget = Budget::of(&[Window::new(30, 60)]);
/// What "Automatic", the default of a record, stands for, in seconds.
const TTL: u32 = 1800;

const PASSWORD: &str = "password";
const KEYS: &[Key] =
    &[Key::secret(PASSWORD, "The domain's dynamic DNS password, from Advanced DNS; not the account's password.")];

/// Its entry in the list of kinds.
pub const KIND: Kind =
    Kind { word: "namecheap", about: "Namecheap, by its dynamic DNS update URL; IPv4 only.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Told::provider(Domain {
        base: base_url_before(PATH, settings, DEFAULT_ENDPOINT)?,
        password: Secret::new(settings.credential(PASSWORD)?.to_owned()),
    }))
}

struct Domain {
    base: String,
    password: Secret<String>,
}

impl Service for Domain {
    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check password: it is the domain's own, from Advanced DNS, Dynamic DNS",
            Class::NoZone => "; make the host there first, as \"A + Dynamic DNS Record\"",
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

    fn lacks(&self, family: Family) -> Option<&'static str> {
        (family == Family::V6).then_some("Namecheap's dynamic DNS takes no IPv6 addresses")
    }

    fn call(&self, message: &Message, _moment: Moment) -> Result<HttpCall, Trouble> {
        let address = message.addresses.to_string();
        let query = query(&[
            ("host", relative(message.host(), &message.zone, "@")),
            ("domain", message.zone.as_str()),
            (PASSWORD, self.password.expose()),
            ("ip", &address),
        ]);
        Ok(HttpCall::plain(Method::GET, format!("{}{PATH}?{query}", self.base)))
    }

    fn heard(&self, message: &Message, answer: &Answer) -> Result<(), Trouble> {
        let text = std::str::from_utf8(&answer.body).unwrap_or_default();
        let Ok(document) = Document::parse(text) else { return Err(Trouble::by_status(answer)) };
        if answer.status != 200 || !document.root_element().has_tag_name("interface-response") {
            return Err(Trouble::by_status(answer));
        }
        let text = |name: &str| {
            document.descendants().find(|node| node.has_tag_name(name)).and_then(|node| node.text()).map(str::trim)
        };
        match (text("ErrCount"), text("Done"), text("IP")) {
            (Some("0"), Some(done), shown) if done.eq_ignore_ascii_case("true") => {
                let shown = shown.and_then(|shown| shown.parse::<IpAddr>().ok());
                match shown.filter(|shown| message.addresses.of(Family::V4) != Some(*shown)) {
                    None => Ok(()),
                    Some(other) => {
                        Err(Trouble::unknown(&format!("Namecheap shows {other}, not {}", message.addresses)))
                    }
                }
            }
            (Some(count), ..) if count != "0" => {
                let said = text("Err1").or(text("ResponseString")).unwrap_or("an error without a text");
                let about = format!("{} in the domain {}", message.host(), message.zone);
                Err(refusal(text("ResponseNumber").unwrap_or("error"), said, &about))
            }
            _ => Err(Trouble::unknown("Namecheap's answer does not say how it went")),
        }
    }
}

/// One number, 304156, stands for several validation errors, so the text decides.
fn refusal(code: &str, said: &str, about: &str) -> Trouble {
    let lower = said.to_ascii_lowercase();
    let meaning = if lower.contains("password") {
        Meaning::Plain(Class::Auth)
    } else if lower.contains("not found") {
        Meaning::NoRecord
    } else {
        Meaning::Plain(Class::Invalid)
    };
    Trouble::new(meaning, code, &format!("{said} ({about})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    fn one(host: HostJob, script: &[(&str, (u16, String))]) -> Outcome {
        play(&play::settings("namecheap", &[(PASSWORD, "0123456789abcdef")]), "home.test", &[host], script, |_| ())
            .remove(0)
    }

    /// As the real one declares it: UTF-16, and sent as UTF-8.
    fn done(address: &str) -> (u16, String) {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-16\"?>\n<interface-response>\n  <Command>SETDNSHOST</Command>\n  \
             <Language>eng</Language>\n  <IP>{address}</IP>\n  <ErrCount>0</ErrCount>\n  <errors />\n  \
             <ResponseCount>0</ResponseCount>\n  <responses />\n  <Done>true</Done>\n  <debug><![CDATA[]]></debug>\n\
             </interface-response>"
        );
        (200, text)
    }

    fn refused(error: &str, response: &str) -> (u16, String) {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-16\"?><interface-response><Command>SETDNSHOST</Command>\
             <Language>eng</Language><ErrCount>1</ErrCount><errors><Err1>{error}</Err1></errors>\
             <ResponseCount>1</ResponseCount><responses><response><Description>{error}</Description>\
             <ResponseNumber>304156</ResponseNumber><ResponseString>{response}</ResponseString></response></responses>\
             <Done>true</Done><debug><![CDATA[]]></debug></interface-response>"
        );
        (200, text)
    }

    const FIRST: &str = "GET /update?host=nas&domain=home.test&password=0123456789abcdef&ip=192.0.2.1";

    #[test]
    fn hosts_the_root_and_wildcards_are_told_by_their_names_within_the_domain() {
        let confirmed = Outcome::Confirmed { remembered: None, ttl: TTL };
        for (name, label) in [("nas", "nas"), ("*.lan", "%2A.lan"), ("a.b", "a.b")] {
            let asked = FIRST.replace("host=nas", &format!("host={label}"));
            let host = host(&format!("{name}.home.test"), "192.0.2.1");
            assert_eq!(one(host, &[(&asked, done("192.0.2.1"))]), confirmed);
        }
        let asked = FIRST.replace("host=nas", "host=%40");
        assert_eq!(one(host("home.test", "192.0.2.1"), &[(&asked, done("192.0.2.1"))]), confirmed);
        assert_eq!(one(host_after("home.test", "192.0.2.1", "", "192.0.2.1"), &[]), confirmed);
    }

    #[test]
    fn ipv6_and_removal_are_refused_in_words_after_the_rest() {
        assert_refused(&one(host("nas.home.test", "2001:db8::1"), &[]), Class::Invalid, "IPv6");
        let both = one(host("nas.home.test", "192.0.2.1,2001:db8::1"), &[(FIRST, done("192.0.2.1"))]);
        assert!(matches!(both, Outcome::Refused { maybe_written: true, .. }), "{both:?}");
        assert_refused(&one(host_after("nas.home.test", "192.0.2.1", "", ""), &[]), Class::Invalid, "offline");
    }

    #[test]
    fn refusals_are_told_apart_by_their_words() {
        for (error, response, class) in [
            ("Passwords do not match", "Validation error; invalid ; password", Class::Auth),
            ("Domain name not found", "Validation error; not found; domain name(s)", Class::NoZone),
            ("No Records updated. A record not Found;", "", Class::NoZone),
            ("Invalid IP", "Validation error; invalid ; IP Address", Class::Invalid),
        ] {
            let outcome = one(host("nas.home.test", "192.0.2.1"), &[(FIRST, refused(error, response))]);
            assert_refused(&outcome, class, error);
        }
        for (answer, class) in [
            ((200, "<html><body>maintenance</body></html>".to_owned()), Class::Down),
            ((200, "<interface-response><ErrCount>0</ErrCount></interface-response>".to_owned()), Class::Bug),
            ((200, String::new()), Class::Bug),
            (done("192.0.2.7"), Class::Bug),
            ((502, done("192.0.2.1").1), Class::Down),
        ] {
            assert_unconfirmed(&one(host("nas.home.test", "192.0.2.1"), &[(FIRST, answer)]), class, true);
        }
    }
}
