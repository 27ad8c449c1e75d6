//! A DuckDNS of our own, after duckdns.org/spec.jsp and the recorded traffic of 2023: always 200, `OK` or `KO`.
//!
//! With neither `ip` nor `ipv6` the real one takes the caller's address; that is a mistake here, and so is a `txt`: the
//! gateway has no business with it. `clear` takes both families and leaves the TXT record.

use std::net::IpAddr;

use nicgate::provider::{Class, ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};

use super::{Api, Asked, Fake, Record, Removal, Said, Started, Subject, Traits, Zone};

const TOKEN: &str = "a7c4d0ad-114e-40ef-ba1d-d217904a50f2";
const ZONE: &str = "duckdns.org";
const TTL: u32 = 60;

/// DuckDNS in the suite.
pub static SUBJECT: Subject = Subject {
    word: "duckdns",
    start,
    traits: Traits {
        zone: ZONE,
        first_calls: 1,
        dual_stack_calls: 1,
        has_wildcard: false,
        has_root: false,
        has_deep_names: false, // they are their parent
        can_look: false,
        has_record_sets: false,
        removal: Removal::Host,
        ttl: None,
        ttl_by_hand: TTL,
        batch: 10,
        spoil: |settings| settings.set("token", secret("00000000-1111-2222-3333-444444444444")),
        spoilt: Class::NoZone, // KO has no reason, and the name was never taken before
        unknown_zone: None,
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let mut zone = Zone::new(ZONE);
    // Somebody's certificate depends on it: the suite finds every change of it.
    zone.add(Record { ttl: TTL, ..Record::new("nas.duckdns.org", "TXT", "challengetoken") });
    let fake = Fake::start(DuckDns { zone });
    let mut settings = ProviderSettings::new("some", kind("duckdns").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("token", secret(TOKEN));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

/// The API.
pub struct DuckDns {
    zone: Zone,
}

impl Api for DuckDns {
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
        asked.only_parameters(&["domains", "token", "ip", "ipv6", "verbose", "clear"]);
        let labels: Vec<&str> = asked.parameter("domains").unwrap_or_default().split(',').collect();
        let is_label =
            |label: &&str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if asked.parameter("token") != Some(TOKEN) || !labels.iter().all(is_label) {
            return Said::text(200, "KO");
        }
        let is_clear = asked.parameter("clear") == Some("true");
        if !is_clear && asked.parameter("ip").or(asked.parameter("ipv6")).is_none() {
            asked.mistake("without an address it takes the caller's own");
        }
        let mut shown = Vec::new();
        let mut is_news = false;
        for (kind, name) in [("A", "ip"), ("AAAA", "ipv6")] {
            let sent = asked.parameter(name).filter(|_| !is_clear);
            let address = sent.map(str::parse::<IpAddr>);
            let contents: Vec<String> = match address {
                Some(Ok(address)) if address.is_ipv4() == (kind == "A") => vec![address.to_string()],
                Some(_) => return Said::text(200, "KO"),
                None if is_clear => Vec::new(),
                None => {
                    shown.push(String::new());
                    continue;
                }
            };
            for label in &labels {
                let hostname = self.zone.absolute(label);
                is_news |= self.zone.contents(&hostname, kind) != contents;
                self.zone.replace(&hostname, kind, TTL, &contents);
            }
            shown.push(contents.concat());
        }
        let news = if is_news { "UPDATED" } else { "NOCHANGE" };
        match asked.parameter("verbose") {
            Some("true") => Said::text(200, format!("OK\n{}\n{news}", shown.join("\n"))),
            _ => Said::text(200, "OK"),
        }
    }
}
