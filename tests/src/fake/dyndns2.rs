//! A dyndns2 server of our own, as most are: Basic, `/nic/update`, a comma between the families, and what is not
//! mentioned is deleted, as at the strictest of them. The story against a real one, another gateway, is
//! `scenarios/upstream.rs`.

use std::net::IpAddr;

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};

use super::{Api, Asked, Fake, Record, Removal, Said, Started, Subject, Traits, Zone};

const USER: &str = "somebody";
const PASSWORD: &str = "fake:password-0123";

/// A dyndns2 server in the suite.
pub static SUBJECT: Subject = Subject {
    word: "dyndns2",
    start,
    traits: Traits {
        first_calls: 1,
        dual_stack_calls: 1,
        can_look: false,
        has_record_sets: false,
        removal: Removal::Nothing, // there is no word for it that servers agree on
        ttl: None,
        spoil: |settings| settings.set("password", secret("wrong:password-0123")),
        unknown_zone: None,
        throttled: || Said::text(429, "Request was throttled. Expected available in 42 seconds."),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Dyndns2 { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("dyndns2").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("username", Setting::Text(USER.to_owned()));
    settings.set("password", secret(PASSWORD));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

/// The API.
pub struct Dyndns2 {
    zone: Zone,
}

impl Api for Dyndns2 {
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
            return Said::text(401, "badauth").with("www-authenticate", "Basic realm=\"updates\"");
        }
        asked.only_parameters(&["hostname", "myip"]);
        let hostname = asked.parameter("hostname").unwrap_or_default().to_owned();
        if self.zone.relative(&hostname).is_none() {
            return Said::text(200, "nohost");
        }
        let sent = asked.parameter("myip").unwrap_or_default();
        let addresses: Option<Vec<IpAddr>> = sent.split(',').map(|text| text.parse().ok()).collect();
        let Some(addresses) = addresses.filter(|addresses| !addresses.is_empty()) else {
            asked.mistake("without addresses a server takes the caller's own");
            return Said::text(200, "dnserr");
        };
        let before = self.zone.records.clone();
        for (kind, is_v4) in [("A", true), ("AAAA", false)] {
            let address = addresses.iter().find(|address| address.is_ipv4() == is_v4).map(ToString::to_string);
            // Somebody's own record, set by hand, is not the client's to delete.
            let is_by_hand = |record: &Record| record.is(&hostname, kind) && record.ttl != 60;
            if address.is_some() || !self.zone.records.iter().any(is_by_hand) {
                self.zone.replace(&hostname, kind, 60, address.as_slice());
            }
        }
        let word = if self.zone.records == before { "nochg" } else { "good" };
        Said::text(200, format!("{word} {sent}"))
    }
}
