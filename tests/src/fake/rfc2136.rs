//! Dynamic updates: no fake, a real BIND. What is put there by hand goes by ISC's nsupdate, what stands there is asked
//! for by DNS.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::Secret;

use super::{Fake, Record, Started, Subject, Traits, Vendor};
use crate::servers::bind::HAND_KEY;
use crate::servers::{Bind, KEY, SECRET, ZONE, nsupdate};
use crate::wire;

/// A secret of the right length that the server does not have.
const WRONG: &str = "d3Jvbmctc2VjcmV0LW9mLXRoZS1yaWdodC1sZW5ndGg=";

/// The subject.
pub static SUBJECT: Subject = Subject {
    word: "rfc2136",
    start,
    traits: Traits {
        zone: ZONE,
        // An update says what it expects; nothing has to be read before.
        first_calls: 1,
        dual_stack_calls: 1,
        batch: 50,
        spoil: |settings| settings.set("key_secret", Setting::Secret(Secret::new(WRONG.to_owned()))),
        needs: &["named", "nsupdate"],
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let bind = Bind::start("every-rfc2136", "").expect("the suite asked whether it is installed");
    let mut settings = ProviderSettings::new("own", kind("rfc2136").expect("a kind of provider"));
    settings.set("server", Setting::Text(bind.address.to_string()));
    settings.set("key_name", Setting::Text(KEY.to_owned()));
    settings.set("key_secret", Setting::Secret(Secret::new(SECRET.to_owned())));
    Started { vendor: Box::new(bind), settings }
}

impl Bind {
    fn by_hand(&self, line: &str) {
        let said = nsupdate(self.address, (HAND_KEY, "hmac-sha256"), line);
        assert_eq!(said.as_deref(), Some(""), "{line}");
    }
}

impl Vendor for Bind {
    fn records(&self, hostname: &str) -> Vec<Record> {
        let mut records = Vec::new();
        for record_type in ["A", "AAAA", "CNAME", "MX", "TXT"] {
            for found in wire::query(self.address, hostname, record_type).answers {
                let name = found.name.to_string();
                // What an alias leads to is another name's.
                if name.trim_end_matches('.') == hostname && found.record_type().to_string() == record_type {
                    let content = found.data.to_string();
                    let content = content.trim_matches('"').trim_end_matches('.');
                    records.push(Record { ttl: found.ttl, ..Record::new(hostname, record_type, content) });
                }
            }
        }
        records
    }

    fn put_by_hand(&self, record: Record) {
        let Record { hostname, ttl, record_type, content, .. } = record;
        let content = if record_type == "TXT" { format!("\"{content}\"") } else { content };
        self.by_hand(&format!("add {hostname} {ttl} {record_type} {content}"));
    }

    fn lose(&self, hostname: &str, record_type: &str) {
        self.by_hand(&format!("del {hostname} {record_type}"));
    }

    fn fake(&self) -> Option<&Fake> {
        None
    }
}
