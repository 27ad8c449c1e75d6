//! Namecheap's dynamic DNS of our own: XML that calls itself UTF-16 and is UTF-8, as the recorded answers in the issue
//! trackers of its clients are.
//!
//! The real one changes only records that stand there already. The suite makes new hosts, so here they are made.

use std::net::Ipv4Addr;

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};

use super::{Api, Asked, Fake, Record, Removal, Said, Started, Subject, Traits, Zone};

const PASSWORD: &str = "0123456789abcdef0123456789abcdef";
const TTL: u32 = 1800;

/// Namecheap in the suite.
pub static SUBJECT: Subject = Subject {
    word: "namecheap",
    start,
    traits: Traits {
        first_calls: 1,
        dual_stack_calls: 1,
        has_ipv6: false,
        can_look: false,
        has_record_sets: false,
        removal: Removal::Nothing,
        ttl: None,
        spoil: |settings| settings.set("password", secret("fedcba9876543210fedcba9876543210")),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Namecheap { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("namecheap").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("password", secret(PASSWORD));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

/// The API.
pub struct Namecheap {
    zone: Zone,
}

impl Api for Namecheap {
    fn is_write(&self, _asked: &Asked) -> bool {
        true
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        if (asked.method(), asked.path().as_slice()) != ("GET", &["update"]) {
            return asked.unknown_call(Said::text(404, "Not Found"));
        }
        asked.only_parameters(&["host", "domain", "password", "ip"]);
        if asked.parameter("domain") != Some(self.zone.name.as_str()) {
            return refusal("Domain name not found", "Validation error; not found; domain name(s)");
        }
        if asked.parameter("password") != Some(PASSWORD) {
            return refusal("Passwords do not match", "Validation error; invalid ; password");
        }
        let Some(address) = asked.parameter("ip").and_then(|text| text.parse::<Ipv4Addr>().ok()) else {
            return refusal("Invalid IP", "Validation error; invalid ; IP Address");
        };
        let host = asked.parameter("host").unwrap_or_default();
        if host.is_empty() {
            asked.mistake("the domain itself is @");
        }
        let hostname = self.zone.absolute(host);
        self.zone.replace(&hostname, "A", TTL, &[address.to_string()]);
        said(&format!(
            "<IP>{address}</IP><ErrCount>0</ErrCount><errors /><ResponseCount>0</ResponseCount><responses />"
        ))
    }

    fn put_by_hand(&mut self, record: Record) {
        self.zone.add(record);
    }
}

fn said(inner: &str) -> Said {
    Said::xml(
        200,
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-16\"?><interface-response><Command>SETDNSHOST</Command>\
             <Language>eng</Language>{inner}<Done>true</Done><debug><![CDATA[]]></debug></interface-response>"
        ),
    )
}

fn refusal(error: &str, response: &str) -> Said {
    said(&format!(
        "<ErrCount>1</ErrCount><errors><Err1>{error}</Err1></errors><ResponseCount>1</ResponseCount><responses><response>\
         <Description>{error}</Description><ResponseNumber>304156</ResponseNumber><ResponseString>{response}\
         </ResponseString></response></responses>"
    ))
}
