//! Somebody's webhook: JSON in, JSON out, a token in a header, and a signature that is looked at.
//!
//! It repeats what it was told, as a good one does, and so the suite expects it to.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

const TOKEN: &str = "fake-token-0123456789";
const KEY: &str = "fake-hmac-key-0123456789";
const TTL: u32 = 120;

/// A webhook in the suite.
pub static SUBJECT: Subject = Subject {
    word: "webhook",
    start,
    traits: Traits {
        first_calls: 1,
        can_look: false,
        has_record_sets: false,
        ttl: Some((TTL, TTL)),
        spoil: |settings| settings.set("headers", headers("wrong-token-0123456789")),
        unknown_zone: None, // it is told of any
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Webhook { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("webhook").expect("it is in the list"));
    let text = |text: &str| Setting::Text(text.to_owned());
    let secret = |text: String| Setting::Secret(Secret::new(text));
    let body = r#"{"zone": "{zone}", "name": "{subdomain}", "type": "{type}", "address": "{ip}", "ttl": {ttl}}"#;
    settings.set("url", secret(format!("{}/hook", fake.endpoint())));
    settings.set("method", text("PUT"));
    settings.set("headers", headers(TOKEN));
    settings.set("body", secret(body.to_owned()));
    settings.set("expect", text("status 200; json /stored/address = {ip}"));
    settings.set("hmac_secret", secret(KEY.to_owned()));
    settings.set("delete_url", secret(format!("{}/hook/{{hostname}}/{{type}}", fake.endpoint())));
    Started { vendor: Box::new(fake), settings }
}

fn headers(token: &str) -> Setting {
    Setting::Headers(vec![("X-Token".to_owned(), Secret::new(token.to_owned()))])
}

/// The receiver.
pub struct Webhook {
    zone: Zone,
}

impl Api for Webhook {
    fn is_write(&self, _asked: &Asked) -> bool {
        true
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, now: Timestamp) -> Said {
        if asked.header("x-token") != Some(TOKEN) {
            return Said::text(401, "who are you?");
        }
        asked.only_parameters(&[]);
        if !is_signed(asked, now) {
            asked.mistake("the signature does not hold");
        }
        match (asked.method(), asked.path().as_slice()) {
            ("PUT", ["hook"]) => {
                let Some(body) = asked.json() else { return Said::text(400, "no JSON") };
                asked.only_members(&body, &["zone", "name", "type", "address", "ttl"]);
                let text = |member: &str| body[member].as_str().unwrap_or_default();
                let ttl = body["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or_default();
                let record = Record::new(&self.zone.absolute(text("name")), text("type"), text("address"));
                if !record.is_sound() || ttl == 0 {
                    return Said::text(422, "that is no record");
                }
                self.zone.replace(&record.hostname, &record.record_type, ttl, std::slice::from_ref(&record.content));
                Said::json(200, &json!({"stored": {"address": record.content}}))
            }
            ("DELETE", ["hook", hostname, kind]) => {
                asked.no_body();
                self.zone.remove_all(hostname, kind);
                Said::json(200, &json!({"stored": {"address": Value::Null}}))
            }
            _ => asked.unknown_call(Said::empty(404)),
        }
    }
}

/// `t=…,v1=…`: the time is the present, and the key's holder wrote the rest.
fn is_signed(asked: &Asked, now: Timestamp) -> bool {
    let Some((time, mac)) = asked.header("x-nicgate-signature").and_then(|text| text.split_once(",v1=")) else {
        return false;
    };
    let Some(seconds) = time.strip_prefix("t=").and_then(|time| time.parse::<u64>().ok()) else { return false };
    let mut text = format!("{seconds}.").into_bytes();
    text.extend_from_slice(asked.body());
    let expected: String = hmac_sha256(KEY.as_bytes(), &text).iter().map(|byte| format!("{byte:02x}")).collect();
    now.seconds().abs_diff(seconds) < 300 && mac == expected
}

/// RFC 2104, by hand: the gateway's own is what is on trial.
fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let pad = |byte: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ byte).collect() };
    let inner = Sha256::digest([pad(0x36), text.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_that_of_rfc_4231() {
        let mac = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }
}
