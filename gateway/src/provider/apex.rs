//! Vendors where a zone's own addresses are members of the zone, not records: Dynu and dynv6. Names below the zone are
//! records, and belong to the conversation of [`super::records`]; this one is about the zone itself.
//!
//! One host of a job at a time. What is remembered is the zone's id; where the vendor takes single members, a change
//! from one known address to another is one call, else the zone is read before it is written.

use std::net::IpAddr;
use std::sync::Arc;

use nicgate_protocol::{AddressSet, Family, Hostname};
use serde_json::Value;

use super::encode::{percent_decoded, percent_encoded};
use super::records::Api;
use super::trouble::{Meaning, Trouble};
use super::{Answer, Budget, Call, Class, Heard, HostJob, HttpCall, Job, Moment, Outcome, Provider, Sight, Step, Talk};

/// The first word of what is remembered; the records below the zone have another.
const FORM: &str = "zone";

/// How one vendor's zones are asked, and what its answers say.
pub(crate) trait Apex: Api {
    /// The call that finds a zone by its name.
    fn find(&self, zone: &Hostname) -> HttpCall;

    /// What the answer says. `None`: the name is no zone of its own, but lies in one.
    ///
    /// # Errors
    /// When it says nothing of that kind; [`Meaning::NoZone`]: the vendor holds nothing of that name.
    fn found(&self, zone: &Hostname, answer: &Answer) -> Result<Option<Located>, Trouble>;

    /// The call that shows a zone.
    fn read(&self, id: &str) -> HttpCall;

    /// What the answer shows.
    ///
    /// # Errors
    /// When it shows no zone.
    fn shown(&self, answer: &Answer) -> Result<Sheet, Trouble>;

    /// The call that makes a change; `sheet` is what stands, as far as it was read.
    fn put(&self, id: &str, sheet: Option<&Sheet>, change: &Members) -> HttpCall;

    /// Whether the answer says that the change was made.
    ///
    /// # Errors
    /// When it does not.
    fn put_done(&self, change: &Members, answer: &Answer) -> Result<(), Trouble>;

    /// Whether a write has to repeat everything else, so that it must be read before.
    fn writes_whole(&self) -> bool;

    /// Whether an address can be taken away.
    fn can_remove(&self) -> bool;

    /// Whether `*` below the zone is a switch of the zone: it follows the zone's own address.
    fn has_wildcard_switch(&self) -> bool {
        false
    }
}

/// A zone that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Located {
    /// Its id.
    pub(crate) id: String,
    /// What stands in it, where the answer shows that at once.
    pub(crate) sheet: Option<Sheet>,
}

/// What stands in a zone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sheet {
    /// Its own addresses.
    pub(crate) addresses: AddressSet,
    /// The families in which `*` follows them.
    pub(crate) wildcards: Vec<Family>,
    /// Its time to live, in seconds.
    pub(crate) ttl: u32,
    /// The zone as the vendor shows it.
    pub(crate) whole: Value,
}

/// The members to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    /// Its own addresses; `None`: none from now on.
    pub(crate) addresses: Vec<(Family, Option<IpAddr>)>,
    /// Whether `*` follows.
    pub(crate) wildcards: Vec<(Family, bool)>,
    /// The time to live, in seconds.
    pub(crate) ttl: Option<u32>,
}

impl Members {
    fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.wildcards.is_empty() && self.ttl.is_none()
    }
}

/// A vendor with addresses in both places.
pub(crate) struct TwoPlaces {
    apex: Arc<dyn Apex>,
    records: Arc<dyn Provider>,
}

impl TwoPlaces {
    /// Of an API.
    pub(crate) fn provider(api: impl Apex + Clone + 'static) -> Arc<dyn Provider> {
        let records = super::records::Zoned::provider(api.clone());
        Arc::new(Self { apex: Arc::new(api), records })
    }

    fn is_at_the_zone(&self, hostname: &Hostname, zone: &Hostname) -> bool {
        hostname == zone || self.apex.has_wildcard_switch() && is_wildcard_of(hostname, zone)
    }

    fn talk(&self, job: &Job, host: HostJob, records: Box<dyn Talk + Send>, is_look: bool) -> Box<dyn Talk + Send> {
        let remembered = host.before.as_ref().and_then(|before| before.remembered.as_deref());
        Box::new(Conversation {
            apex: Arc::clone(&self.apex),
            is_wildcard: host.hostname != job.zone,
            id: remembered.and_then(|text| recall(text, &job.zone)),
            zone: job.zone.clone(),
            host,
            is_look,
            records: Some(records),
            stage: Stage::Start,
            is_proved: false,
            has_found: false,
        })
    }
}

impl Provider for TwoPlaces {
    fn update(&self, job: &Job) -> Box<dyn Talk + Send> {
        let records = self.records.update(job);
        match job.hosts.first() {
            Some(host) if self.is_at_the_zone(&host.hostname, &job.zone) => {
                self.talk(job, host.clone(), records, false)
            }
            Some(_) | None => records,
        }
    }

    fn look(&self, zone: &Hostname, hostname: &Hostname) -> Option<Box<dyn Talk + Send>> {
        let records = self.records.look(zone, hostname)?;
        if !self.is_at_the_zone(hostname, zone) {
            return Some(records);
        }
        let (wanted, before) = (AddressSet::EMPTY, None);
        let host = HostJob { hostname: hostname.clone(), before, doubted: Vec::new(), wanted, ttl: None };
        let job = Job { zone: zone.clone(), hosts: Vec::new() };
        Some(self.talk(&job, host, records, true))
    }

    fn budget(&self) -> Budget {
        self.records.budget()
    }
}

fn is_wildcard_of(hostname: &Hostname, zone: &Hostname) -> bool {
    hostname.as_str().strip_prefix("*.") == Some(zone.as_str())
}

fn recall(text: &str, zone: &Hostname) -> Option<String> {
    let mut words = text.split(' ');
    let is_of_zone = words.next() == Some(FORM) && words.next() == Some(zone.as_str());
    let id = words.next().filter(|_| is_of_zone)?;
    percent_decoded(id).filter(|id| !id.is_empty() && words.next().is_none())
}

/// What the answer we wait for is about.
enum Stage {
    Start,
    Find,
    Read,
    Put {
        change: Members,
        ttl: u32,
    },
    /// It is about a record after all.
    Records(Box<dyn Talk + Send>),
}

struct Conversation {
    apex: Arc<dyn Apex>,
    /// The zone as it is configured.
    zone: Hostname,
    host: HostJob,
    /// Whether it is about `*` below the zone.
    is_wildcard: bool,
    is_look: bool,
    /// The conversation that takes over where the zone's name is a record of a zone above.
    records: Option<Box<dyn Talk + Send>>,
    id: Option<String>,
    stage: Stage,
    /// Whether the credential was good for a call of this conversation.
    is_proved: bool,
    /// Whether the id was found in this conversation, rather than remembered.
    has_found: bool,
}

impl Talk for Conversation {
    fn next(&mut self, heard: Option<Heard>, moment: Moment) -> Step {
        if let Stage::Records(records) = &mut self.stage {
            return records.next(heard, moment);
        }
        let answer = match heard {
            None => return self.begin(),
            Some(Heard::Answer(answer)) => answer,
            Some(Heard::Silence(silence)) => {
                let mut trouble = Trouble::of(Class::Down, "silence", &silence.why);
                trouble.maybe_written = silence.was_sent;
                return self.fail(trouble);
            }
            Some(Heard::Message(_)) => return self.fail(Trouble::unknown("a DNS message instead of HTTP")),
        };
        let step = match &self.stage {
            Stage::Find => self.apex.found(&self.zone, &answer).map(|found| self.found(found, moment)),
            Stage::Read => self.apex.shown(&answer).map(|sheet| self.shown(&sheet)),
            Stage::Put { change, ttl } => self.apex.put_done(change, &answer).map(|()| self.done(*ttl, true)),
            Stage::Start | Stage::Records(_) => Err(Trouble::unknown("an answer to no question")),
        };
        match step {
            Ok(step) => {
                self.is_proved = true;
                step
            }
            Err(trouble) => self.fail(trouble.patient(answer.retry_after(moment.now))),
        }
    }
}

impl Conversation {
    fn begin(&mut self) -> Step {
        let Some(id) = self.id.clone() else { return self.find() };
        if self.is_look || !self.host.doubted.is_empty() {
            return self.read(&id);
        }
        let before = self.host.written();
        if before == self.host.wanted {
            let ttl = self.host.before.as_ref().map_or(0, |before| before.ttl);
            return self.done(ttl, false);
        }
        let is_known = |family| before.of(family).is_some() == self.host.wanted.of(family).is_some();
        if self.is_wildcard || self.apex.writes_whole() || !Family::BOTH.into_iter().all(is_known) {
            return self.read(&id);
        }
        let moved = |family| self.host.wanted.of(family) != before.of(family);
        let addresses = Family::BOTH.into_iter().filter(|family| moved(*family));
        let addresses = addresses.map(|family| (family, self.host.wanted.of(family))).collect();
        self.put(None, Members { addresses, ..Members::default() })
    }

    fn send(&mut self, stage: Stage, call: HttpCall) -> Step {
        self.stage = stage;
        Step::Send(Call::Http(call))
    }

    fn find(&mut self) -> Step {
        let call = self.apex.find(&self.zone);
        self.send(Stage::Find, call)
    }

    fn read(&mut self, id: &str) -> Step {
        let call = self.apex.read(id);
        self.send(Stage::Read, call)
    }

    fn found(&mut self, found: Option<Located>, moment: Moment) -> Step {
        let Some(Located { id, sheet }) = found else {
            let Some(mut records) = self.records.take() else {
                return Step::Done(vec![Outcome::refused(Class::NoZone, "no_zone", "the zone is no zone any more")]);
            };
            let step = records.next(None, moment);
            self.stage = Stage::Records(records);
            return step;
        };
        self.id = Some(id.clone());
        self.has_found = true;
        match sheet {
            Some(sheet) => self.shown(&sheet),
            None => self.read(&id),
        }
    }

    fn shown(&mut self, sheet: &Sheet) -> Step {
        if self.is_look {
            let is_seen = |address: &IpAddr| !self.is_wildcard || sheet.wildcards.contains(&Family::of(*address));
            let addresses = sheet.addresses.iter().filter(is_seen).collect();
            return Step::Seen(Sight { zone: self.zone.to_string(), addresses, obstacles: Vec::new() });
        }
        let change = if self.is_wildcard { self.switched(sheet) } else { Ok(self.changed(sheet)) };
        match change {
            Err(outcome) => Step::Done(vec![outcome]),
            Ok(change) if change.is_empty() => self.done(sheet.ttl, false),
            Ok(change) => self.put(Some(sheet), change),
        }
    }

    /// What makes the zone's own addresses so.
    fn changed(&self, sheet: &Sheet) -> Members {
        let mut change = Members::default();
        for family in Family::BOTH.into_iter().filter(|family| self.host.concerns(*family)) {
            let (stands, wanted) = (sheet.addresses.of(family), self.host.wanted.of(family));
            let is_stale = match wanted {
                Some(_) => stands != wanted,
                None => self.apex.can_remove() && stands.is_some_and(|address| self.host.may_be_ours(address)),
            };
            change.addresses.extend(is_stale.then_some((family, wanted)));
        }
        if !self.host.wanted.is_empty() {
            let (least, most) = (*self.apex.ttls().start(), *self.apex.ttls().end());
            change.ttl = self.host.ttl.map(|ttl| ttl.clamp(least, most)).filter(|ttl| *ttl != sheet.ttl);
        }
        change
    }

    /// What makes `*` follow the zone, or no longer.
    fn switched(&self, sheet: &Sheet) -> Result<Members, Outcome> {
        let mut change = Members::default();
        for family in Family::BOTH.into_iter().filter(|family| self.host.concerns(*family)) {
            let follows = sheet.wildcards.contains(&family);
            let wanted = self.host.wanted.of(family);
            if wanted.is_some() && wanted != sheet.addresses.of(family) {
                let why = format!(
                    "the wildcard has the address of {0} itself, which is another; let the same device update {0}",
                    self.zone
                );
                let (why, retry_after) = (why.into(), None);
                return Err(Outcome::Unconfirmed { class: Class::Busy, why, retry_after, maybe_written: false });
            }
            if wanted.is_some() != follows {
                change.wildcards.push((family, wanted.is_some()));
            }
        }
        Ok(change)
    }

    fn put(&mut self, sheet: Option<&Sheet>, change: Members) -> Step {
        let id = self.id.clone().unwrap_or_default();
        let before = self.host.before.as_ref().map_or(0, |before| before.ttl);
        let ttl = change.ttl.unwrap_or(sheet.map_or(before, |sheet| sheet.ttl));
        let call = self.apex.put(&id, sheet, &change);
        self.send(Stage::Put { change, ttl }, call)
    }

    fn done(&self, ttl: u32, has_written: bool) -> Step {
        let gone =
            |family: &Family| self.host.wanted.of(*family).is_none() && self.host.written().of(*family).is_some();
        if let Some(family) = Family::BOTH.into_iter().find(gone).filter(|_| !self.apex.can_remove()) {
            let kind = family.record_type();
            let text = format!("the zone's own {kind} address can only be removed by hand, at the provider");
            let (class, code) = (Class::Invalid, "cannot_remove".into());
            return Step::Done(vec![Outcome::Refused { class, code, text: text.into(), maybe_written: has_written }]);
        }
        let remembered = self.id.as_ref().map(|id| format!("{FORM} {} {}", self.zone, percent_encoded(id)).into());
        let ttl = if self.host.wanted.is_empty() { 0 } else { ttl };
        Step::Done(vec![Outcome::Confirmed { remembered, ttl }])
    }

    fn fail(&mut self, mut trouble: Trouble) -> Step {
        let is_write = matches!(self.stage, Stage::Put { .. });
        let class = match trouble.meaning {
            Meaning::Plain(class) => class,
            // A remembered id may lead nowhere any more.
            Meaning::NoZone | Meaning::NoRecord | Meaning::Forbidden if self.id.is_some() && !self.has_found => {
                return self.find();
            }
            // The zone was there a moment ago, so it is about what was written.
            Meaning::NoZone | Meaning::NoRecord if is_write => Class::Invalid,
            Meaning::NoZone | Meaning::NoRecord => Class::NoZone,
            Meaning::Forbidden if self.is_proved || self.apex.tells_rights_apart() => Class::Denied,
            Meaning::Forbidden => Class::Auth,
            Meaning::Exists | Meaning::LowTtl => Class::Invalid,
        };
        if class == Class::NoZone {
            trouble.text = format!("this credential sees no zone named {} ({})", self.zone, trouble.text).into();
        }
        Step::Done(vec![trouble.outcome(class, is_write, false, self.apex.cure(class))])
    }
}
