//! Cloudflare, API version 4 (developers.cloudflare.com/api).
//!
//! The first change of a host asks for the zone and for the records of the name; ids are remembered, so that later
//! changes are one call: a `PATCH` of the content, or one batch for both families. `PUT` is never used, it would
//! reset what the operator set by hand (proxied, comment, tags), and nothing is deleted to be created again.
//!
//! It does not verify through DNS: a proxied record answers with Cloudflare's own addresses. The answer to the write
//! is the proof.

mod answer;
mod memory;
#[cfg(test)]
mod tests;

use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use nicgate_logic::policy::DEFAULT_TTL;
use nicgate_protocol::Family;
use serde_json::{Value, json};

use self::answer::{Contents, Meaning, Record, Trouble};
use self::memory::{KnownRecord, Memory};
use super::send::percent_encoded;
use super::{
    BadSetting, Call, Class, Heard, HttpCall, Job, Key, Kind, Outcome, Provider, ProviderSettings, Shape, Step, Talk,
    base_url,
};

const DEFAULT_ENDPOINT: &str = "https://api.cloudflare.com/client/v4";
/// "Automatic", the TTL of every proxied record.
const AUTOMATIC_TTL: u32 = 1;

const API_TOKEN: &str = "api_token";
const PROXIED: &str = "proxied";
const ZONE_ID: &str = "zone_id";

/// Its entry in the list of kinds.
pub const KIND: Cloudflare = Cloudflare;

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Cloudflare;

impl Kind for Cloudflare {
    fn word(&self) -> &'static str {
        "cloudflare"
    }

    fn about(&self) -> &'static str {
        "Cloudflare DNS, by its API."
    }

    fn keys(&self) -> &'static [Key] {
        &[
            Key {
                name: API_TOKEN,
                about: "An API token with the right Zone - DNS - Edit, and Zone - Zone - Read unless zone_id is given.",
                is_secret: true,
                is_required: true,
                shape: Shape::Text,
            },
            Key {
                name: PROXIED,
                about: "Whether records go through Cloudflare's proxy; left out, each record keeps what it has.",
                is_secret: false,
                is_required: false,
                shape: Shape::Flag,
            },
            Key {
                name: ZONE_ID,
                about: "The zone's id, from its overview page; left out, the zone is found by its name.",
                is_secret: false,
                is_required: false,
                shape: Shape::Text,
            },
        ]
    }

    fn open(&self, settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
        let bad = |key, why: &str| BadSetting { key, why: why.to_owned() };
        let token = settings.secret(API_TOKEN).ok_or_else(|| bad(API_TOKEN, "it is missing"))?.expose().trim();
        let is_plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let authorization = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| is_plain);
        let mut authorization =
            authorization.ok_or_else(|| bad(API_TOKEN, "a token holds letters, digits and signs, and no blanks"))?;
        authorization.set_sensitive(true);
        let zone_id = settings.text(ZONE_ID).map(str::trim);
        if zone_id.is_some_and(|id| !answer::is_id(id)) {
            return Err(bad(ZONE_ID, "an id is 32 hexadecimal digits; the zone's name belongs into [[zone]]"));
        }
        if settings.ttl.is_some_and(|ttl| ttl != AUTOMATIC_TTL && !(30..=86400).contains(&ttl)) {
            return Err(bad("ttl", "Cloudflare takes 60 to 86400 seconds (Enterprise zones from 30), or 1: automatic"));
        }
        let account = Account {
            base: base_url(settings, DEFAULT_ENDPOINT)?,
            authorization,
            zone_id: zone_id.map(Into::into),
            proxied: settings.flag(PROXIED),
        };
        Ok(Arc::new(account))
    }
}

/// One token and what belongs to it.
#[derive(Clone)]
struct Account {
    base: String,
    authorization: HeaderValue,
    zone_id: Option<Box<str>>,
    proxied: Option<bool>,
}

impl Account {
    fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Step {
        let mut headers: Vec<(HeaderName, HeaderValue)> =
            vec![(AUTHORIZATION, self.authorization.clone()), (ACCEPT, HeaderValue::from_static("application/json"))];
        if body.is_some() {
            headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        Step::Send(Call::Http(HttpCall { method, url: format!("{}{path}", self.base), headers, body }))
    }
}

impl Provider for Account {
    fn update(&self, job: &Job) -> Box<dyn Talk + Send> {
        Box::new(Update {
            account: self.clone(),
            job: job.clone(),
            memory: None,
            stage: Stage::Look,
            is_fresh: false,
            has_asked_again: false,
        })
    }
}

/// What the answer we wait for is about.
enum Stage {
    FindZone,
    Look,
    Write(Vec<Change>),
}

/// One write.
#[derive(Clone, Debug)]
enum Change {
    Patch { id: Box<str>, to: IpAddr, ttl: Option<u32>, proxied: Option<bool> },
    Post { to: IpAddr },
    Delete { id: Box<str>, family: Family },
}

/// The conversation about one host.
struct Update {
    account: Account,
    job: Job,
    memory: Option<Memory>,
    stage: Stage,
    /// Whether the zone id was found in this conversation, rather than remembered or configured.
    is_fresh: bool,
    /// Whether what we believed turned out wrong once already; the second time it is the answer.
    has_asked_again: bool,
}

impl Talk for Update {
    fn next(&mut self, heard: Option<Heard>) -> Step {
        let Some(heard) = heard else { return self.begin() };
        match (answer::read(heard), mem::replace(&mut self.stage, Stage::Look)) {
            (Ok(contents), Stage::FindZone) => self.zone_found(&contents),
            (Ok(contents), Stage::Look) => self.looked(&contents),
            (Ok(contents), Stage::Write(changes)) => self.written(&contents, &changes),
            (Err(trouble), stage) => self.trouble(trouble, &stage),
        }
    }
}

impl Update {
    fn begin(&mut self) -> Step {
        let remembered = self.job.before.as_ref().and_then(|before| before.remembered.as_deref());
        let is_ours = |memory: &Memory| {
            memory.zone == self.job.zone && self.account.zone_id.as_ref().is_none_or(|id| *id == memory.zone_id)
        };
        self.memory = remembered.and_then(Memory::parse).filter(is_ours);
        if self.memory.is_none() {
            let configured = self.account.zone_id.as_deref();
            self.memory = configured.map(|id| Memory::of_zone(&self.job.zone, id));
        }
        match &self.memory {
            None => self.find_zone(),
            Some(memory) => match self.changes_from(memory) {
                Some(changes) => self.write(changes),
                None => self.look(),
            },
        }
    }

    /// The changes, where memory alone suffices to know them.
    fn changes_from(&self, memory: &Memory) -> Option<Vec<Change>> {
        if !self.job.doubted.is_empty() {
            return None;
        }
        let before = self.job.before.as_ref().map(|before| before.addresses).unwrap_or_default();
        let mut changes = Vec::new();
        for family in Family::BOTH {
            match (before.of(family), self.job.wanted.of(family)) {
                (None, None) => {}
                (Some(old), Some(new)) => {
                    let record = memory.of(family)?;
                    if old != new {
                        changes.push(self.patch(record, new));
                    }
                }
                // What stands at a new family, or whether the old one still says what we wrote, must be looked at.
                (None, Some(_)) | (Some(_), None) => return None,
            }
        }
        Some(changes)
    }

    fn find_zone(&mut self) -> Step {
        self.stage = Stage::FindZone;
        self.account.call(Method::GET, &format!("/zones?name={}", percent_encoded(self.job.zone.as_str())), None)
    }

    fn zone_found(&mut self, contents: &Contents) -> Step {
        let Some(ids) = answer::zone_ids(&contents.result, &self.job.zone) else {
            return self.trouble(Trouble::unknown("the list of zones cannot be read"), &Stage::FindZone);
        };
        let zone = &self.job.zone;
        let why = match ids.as_slice() {
            [id] => {
                self.memory = Some(Memory::of_zone(zone, id));
                self.is_fresh = true;
                return self.look();
            }
            [] => format!(
                "this token sees no zone named {zone}; check the token's zones and its right Zone - Zone - Read, or \
                 set zone_id"
            ),
            [_, _, ..] => format!("this token sees several zones named {zone}; set zone_id"),
        };
        Step::Done(refused(Class::NoZone, "no_zone", &why))
    }

    /// Asks for all records of the name at once: one call for both families.
    fn look(&mut self) -> Step {
        let Some(memory) = &self.memory else { return self.find_zone() };
        self.stage = Stage::Look;
        let name = percent_encoded(self.job.hostname.as_str());
        let path = format!("/zones/{}/dns_records?name={name}&per_page=100", memory.zone_id);
        self.account.call(Method::GET, &path, None)
    }

    fn looked(&mut self, contents: &Contents) -> Step {
        let (Some(list), Some(mut memory)) = (contents.result.as_array(), self.memory.clone()) else {
            return self.trouble(Trouble::unknown("the list of records cannot be read"), &Stage::Look);
        };
        if contents.has_more {
            return Step::Done(refused(Class::Invalid, "too_many_records", "the name has more than 100 records"));
        }
        let records: Vec<Record> = list.iter().filter_map(|value| answer::record(value, &self.job.hostname)).collect();
        let mut changes = Vec::new();
        for family in Family::BOTH {
            let standing: Vec<&Record> = records.iter().filter(|record| record.family == family).collect();
            let Some(new) = self.job.wanted.of(family) else {
                let ours = standing.iter().filter(|record| self.may_be_ours(record.address));
                changes.extend(ours.map(|record| Change::Delete { id: record.id.clone(), family }));
                memory.set(family, None);
                continue;
            };
            let chosen = match standing.as_slice() {
                [] => None,
                [only] => Some(*only),
                several => match self.ours_among(several, memory.of(family)) {
                    Some(record) => Some(record),
                    None => return Step::Done(several_records(family, several)),
                },
            };
            match chosen {
                None => {
                    changes.push(Change::Post { to: new });
                    memory.set(family, None);
                }
                Some(record) => {
                    let known = KnownRecord::from(record);
                    let patch = self.patch(&known, new);
                    if record.address != new || !is_content_only(&patch) {
                        changes.push(patch);
                    }
                    memory.set(family, Some(known));
                }
            }
        }
        self.memory = Some(memory);
        self.write(changes)
    }

    /// Whether this gateway wrote an address, or may have.
    fn may_be_ours(&self, address: IpAddr) -> bool {
        let before = self.job.before.as_ref().map(|before| &before.addresses);
        before.into_iter().chain(&self.job.doubted).any(|ours| ours.of(Family::of(address)) == Some(address))
    }

    /// Of several records of one type the one that this gateway wrote. The others are somebody's intention.
    fn ours_among<'a>(&self, several: &[&'a Record], known: Option<&KnownRecord>) -> Option<&'a Record> {
        let by_id = several.iter().find(|record| known.is_some_and(|known| known.id == record.id));
        by_id.or_else(|| several.iter().find(|record| self.may_be_ours(record.address))).copied()
    }

    /// The content, and beyond it only what the operator asked for and the record does not have.
    fn patch(&self, record: &KnownRecord, to: IpAddr) -> Change {
        let proxied = self.account.proxied.filter(|proxied| *proxied != record.is_proxied);
        let will_be_proxied = self.account.proxied.unwrap_or(record.is_proxied);
        let ttl = self.job.ttl.filter(|ttl| !will_be_proxied && *ttl != record.ttl);
        Change::Patch { id: record.id.clone(), to, ttl, proxied }
    }

    fn write(&mut self, changes: Vec<Change>) -> Step {
        let Some(memory) = &self.memory else { return self.find_zone() };
        let records = format!("/zones/{}/dns_records", memory.zone_id);
        let step = match changes.as_slice() {
            [] => return self.confirmed(),
            [Change::Patch { id, .. }] => {
                self.account.call(Method::PATCH, &format!("{records}/{id}"), Some(&self.body(&changes[0])))
            }
            [Change::Post { .. }] => self.account.call(Method::POST, &records, Some(&self.body(&changes[0]))),
            [Change::Delete { id, .. }] => self.account.call(Method::DELETE, &format!("{records}/{id}"), None),
            several => self.account.call(Method::POST, &format!("{records}/batch"), Some(&self.batch(several))),
        };
        self.stage = Stage::Write(changes);
        step
    }

    fn body(&self, change: &Change) -> Value {
        match change {
            Change::Patch { to, ttl, proxied, .. } => {
                let mut body = json!({ "content": to });
                if let Some(ttl) = ttl {
                    body["ttl"] = json!(ttl);
                }
                if let Some(proxied) = proxied {
                    body["proxied"] = json!(proxied);
                }
                body
            }
            Change::Post { to } => {
                let proxied = self.account.proxied.unwrap_or(false);
                let ttl = if proxied { AUTOMATIC_TTL } else { self.job.ttl.unwrap_or(DEFAULT_TTL) };
                json!({
                    "type": Family::of(*to).record_type(),
                    "name": self.job.hostname.as_str(),
                    "content": to,
                    "ttl": ttl,
                    "proxied": proxied,
                })
            }
            Change::Delete { id, .. } => json!({ "id": id }),
        }
    }

    /// All changes in one transaction; Cloudflare makes them in the order deletes, patches, posts.
    fn batch(&self, changes: &[Change]) -> Value {
        let mut batch = json!({});
        for change in changes {
            let mut body = self.body(change);
            let list = match change {
                Change::Delete { .. } => "deletes",
                Change::Patch { id, .. } => {
                    body["id"] = json!(id);
                    "patches"
                }
                Change::Post { .. } => "posts",
            };
            match batch[list].as_array_mut() {
                Some(list) => list.push(body),
                None => batch[list] = json!([body]),
            }
        }
        batch
    }

    /// Holds the answer to a write against what was asked for.
    fn written(&mut self, contents: &Contents, changes: &[Change]) -> Step {
        let lists = ["patches", "posts"].into_iter().filter_map(|list| contents.result.get(list)?.as_array());
        let values: Vec<&Value> = if changes.len() == 1 { vec![&contents.result] } else { lists.flatten().collect() };
        let records: Vec<Record> =
            values.into_iter().filter_map(|value| answer::record(value, &self.job.hostname)).collect();
        for change in changes {
            let (family, record) = match change {
                Change::Delete { family, .. } => (*family, None),
                Change::Patch { to, .. } | Change::Post { to } => {
                    let is_it = |record: &&Record| {
                        record.address == *to && !matches!(change, Change::Patch { id, .. } if *id != record.id)
                    };
                    match records.iter().find(is_it) {
                        Some(record) => (Family::of(*to), Some(KnownRecord::from(record))),
                        None => {
                            let text = format!("the answer to the write does not show {to} at {}", self.job.hostname);
                            return self.trouble(Trouble::unknown(&text), &Stage::Write(changes.to_vec()));
                        }
                    }
                }
            };
            if let Some(memory) = &mut self.memory {
                memory.set(family, record);
            }
        }
        self.confirmed()
    }

    fn confirmed(&self) -> Step {
        let known = |family| self.memory.as_ref().and_then(|memory| memory.of(family));
        let ttl = Family::BOTH.into_iter().find_map(known).map_or(0, |record| record.ttl);
        let remembered = self.memory.as_ref().map(|memory| memory.to_string().into());
        Step::Done(Outcome::Confirmed { remembered, ttl })
    }

    /// What to do about an answer that is no success.
    fn trouble(&mut self, trouble: Trouble, stage: &Stage) -> Step {
        let is_write = matches!(stage, Stage::Write(_));
        let may_ask_again = !mem::replace(&mut self.has_asked_again, true);
        let may_find_zone = may_ask_again && self.account.zone_id.is_none() && !self.is_fresh && self.memory.is_some();
        let class = match trouble.meaning {
            Meaning::Plain(class) => class,
            // A remembered zone may be gone, or belong to the token before: only a fresh look tells which.
            Meaning::Forbidden | Meaning::NoZone if may_find_zone => {
                self.memory = None;
                return self.find_zone();
            }
            // A token that could read the zone and may not write is good, only not for this.
            Meaning::Forbidden if self.is_fresh => Class::Denied,
            Meaning::Forbidden => Class::Auth,
            // An unknown record id may come as "no route", so look before the zone is blamed.
            Meaning::NoRecord | Meaning::NoZone | Meaning::Exists if is_write && may_ask_again => return self.look(),
            Meaning::NoZone | Meaning::NoRecord if !is_write => Class::NoZone,
            Meaning::NoZone | Meaning::NoRecord => Class::Busy,
            Meaning::Exists => Class::Invalid,
        };
        Step::Done(match class {
            Class::Auth | Class::Denied | Class::NoZone | Class::Invalid | Class::Quota => {
                refused(class, &trouble.code, &format!("{}{}", trouble.text, cure(class)))
            }
            Class::Rate | Class::Busy | Class::Down | Class::Bug => Outcome::Unconfirmed {
                class,
                why: trouble.text,
                retry_after: trouble.retry_after,
                maybe_written: is_write && trouble.maybe_written,
            },
        })
    }
}

/// Whether nothing but the address would change.
fn is_content_only(change: &Change) -> bool {
    matches!(change, Change::Patch { ttl: None, proxied: None, .. })
}

fn refused(class: Class, code: &str, text: &str) -> Outcome {
    Outcome::Refused { class, code: code.into(), text: text.into() }
}

fn several_records(family: Family, several: &[&Record]) -> Outcome {
    let addresses: Vec<String> = several.iter().map(|record| record.address.to_string()).collect();
    let text = format!(
        "the name has {} {} records ({}) and none holds an address that was written from here; leave one of them",
        several.len(),
        family.record_type(),
        addresses.join(", ")
    );
    refused(Class::Invalid, "several_records", &text)
}

/// What the operator can do about it.
fn cure(class: Class) -> &'static str {
    match class {
        Class::Auth => "; check api_token: is it whole, active, not expired, and allowed from this address?",
        Class::Denied => "; give the token the right Zone - DNS - Edit on this zone",
        Class::NoZone => "; check zone_id, and which zones the token includes",
        Class::Quota => "; the plan's limit of records is reached",
        Class::Invalid | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
    }
}
