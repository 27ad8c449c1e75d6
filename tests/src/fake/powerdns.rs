//! PowerDNS' API: no fake, the real program.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::Secret;
use serde_json::{Value, json};

use super::{Fake, Record, Started, Subject, Traits, Vendor};
use crate::servers::{PowerDns, ZONE};

/// The subject.
pub static SUBJECT: Subject = Subject {
    word: "powerdns",
    start,
    traits: Traits {
        zone: ZONE,
        // The zone's name is all that the API wants.
        first_calls: 2,
        dual_stack_calls: 1,
        batch: 100,
        spoil: |settings| settings.set("api_key", Setting::Secret(Secret::new("wrong-wrong-wrong".to_owned()))),
        replaces_sets: true,
        needs: &["pdns_server", "pdnsutil", "python3"],
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let powerdns = PowerDns::start("every-powerdns").expect("the suite asked whether it is installed");
    let mut settings = ProviderSettings::new("own", kind("powerdns").expect("a kind of provider"));
    settings.endpoint = Some(powerdns.endpoint());
    settings.set("api_key", Setting::Secret(Secret::new(powerdns.api_key())));
    Started { vendor: Box::new(powerdns), settings }
}

impl PowerDns {
    fn write(&self, hostname: &str, record_type: &str, ttl: u32, contents: &[String]) {
        let change = if contents.is_empty() { "DELETE" } else { "REPLACE" };
        let record = |content: &String| json!({ "content": content, "disabled": false });
        let records: Vec<Value> = contents.iter().map(record).collect();
        self.patch(&json!([{ "name": format!("{hostname}."), "type": record_type, "ttl": ttl, "changetype": change,
            "records": records }]));
    }

    /// The sets of a name.
    fn sets(&self, hostname: &str) -> Vec<Value> {
        let name = hostname.replace('*', "%2A");
        let answer = self.ask("GET", &format!("/zones/{ZONE}.?rrset_name={name}."), None);
        let zone: Value = serde_json::from_str(&answer.body).expect("a zone");
        zone["rrsets"].as_array().expect("its sets").clone()
    }
}

impl Vendor for PowerDns {
    fn records(&self, hostname: &str) -> Vec<Record> {
        let mut records = Vec::new();
        for set in self.sets(hostname) {
            let record_type = set["type"].as_str().expect("a type");
            let ttl = set["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).expect("a TTL");
            for value in set["records"].as_array().expect("its records") {
                let content = value["content"].as_str().expect("a content");
                let content = content.trim_matches('"').trim_end_matches('.');
                records.push(Record { ttl, ..Record::new(hostname, record_type, content) });
            }
        }
        records
    }

    fn put_by_hand(&self, record: Record) {
        let Record { hostname, ttl, record_type, content, .. } = record;
        let content = match record_type.as_str() {
            "TXT" => format!("\"{content}\""),
            "CNAME" | "MX" => format!("{content}."),
            _ => content,
        };
        let beside = self.records(&hostname).into_iter().filter(|other| other.record_type == record_type);
        let mut contents: Vec<String> = beside.map(|other| other.content).collect();
        contents.push(content);
        self.write(&hostname, &record_type, ttl, &contents);
    }

    fn lose(&self, hostname: &str, record_type: &str) {
        self.write(hostname, record_type, 300, &[]);
    }

    fn fake(&self) -> Option<&Fake> {
        None
    }
}
