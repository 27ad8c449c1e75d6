//! The conversation that APIs with zones and records have in common. A provider's file says how to ask and how to read
//! ([`Api`]); here stands what to ask, in which order, and what follows from the answers:
//!
//! - log in where the API has sessions; find the zone, upwards from the configured one; look at the records; write;
//! - what is remembered from an earlier change (zone and record ids) spares all but the write, and is forgotten when
//!   the API says that it is stale;
//! - doubt, or a family that is new or to be removed, calls for a look; what stands already is not written;
//! - records are changed in place. Where an API cannot, the new one is made before the old one is removed;
//! - several changes go in one call where the API has one, and one by one when that call leads nowhere;
//! - of several records of one type only the one that this gateway wrote is changed; when none is, the host is refused;
//! - TTL and whatever else a record holds stays, unless it was asked for.
//!
//! It follows no vendor: no URL, no field, no code is known here.

mod api;
mod memory;
mod plan;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;

use nicgate_logic::policy::DEFAULT_TTL;
use nicgate_protocol::{Family, Hostname};

pub(crate) use self::api::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written};
use self::memory::Memory;
use super::trouble::{Meaning, Trouble};
use super::{Budget, Call, Class, Heard, HttpCall, Job, Moment, Outcome, Provider, Sight, Step, Talk};

/// The status of a method that a place does not know (RFC 9110 15.5.6), as a code of [`Trouble`].
const NO_SUCH_CALL: &str = "405";

/// A provider whose API has zones and records.
pub(crate) struct Zoned(Arc<dyn Api>);

impl Zoned {
    /// Of an API.
    pub(crate) fn provider(api: impl Api + 'static) -> Arc<dyn Provider> {
        Arc::new(Self(Arc::new(api)))
    }
}

impl Provider for Zoned {
    fn update(&self, job: &Job) -> Box<dyn Talk + Send> {
        Box::new(Conversation::new(Arc::clone(&self.0), job.clone(), Purpose::Update))
    }

    fn look(&self, zone: &Hostname, hostname: &Hostname) -> Option<Box<dyn Talk + Send>> {
        let host = super::HostJob {
            hostname: hostname.clone(),
            before: None,
            doubted: Vec::new(),
            wanted: nicgate_protocol::AddressSet::EMPTY,
            ttl: None,
        };
        let job = Job { zone: zone.clone(), hosts: vec![host] };
        Some(Box::new(Conversation::new(Arc::clone(&self.0), job, Purpose::Look)))
    }

    fn hosts_at_once(&self) -> usize {
        self.0.changes_at_once()
    }

    fn budget(&self) -> Budget {
        self.0.budget()
    }
}

/// What a conversation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Look,
    Update,
}

/// One host of the job, and how far it got.
struct Host {
    job: super::HostJob,
    memory: Memory,
    /// The least TTL of the zone, as far as it is known.
    least_ttl: u32,
    /// The TTL of what was written last.
    written_ttl: Option<u32>,
    /// The families still to be looked at.
    unseen: Vec<Family>,
    /// What was seen.
    records: Vec<Record>,
    obstacles: Vec<String>,
    /// Whether the changes are worked out.
    is_planned: bool,
    changes: Vec<Change>,
    /// Whether a part of the changes was made in a call before.
    is_partly_written: bool,
    outcome: Option<Outcome>,
}

impl Host {
    /// The TTL asked for, or the least that the zone takes.
    fn asked_ttl(&self) -> Option<u32> {
        self.job.ttl.map(|ttl| ttl.max(self.least_ttl))
    }

    fn has_work(&self) -> bool {
        self.outcome.is_none() && (!self.is_planned || !self.changes.is_empty())
    }

    fn is_unseen(&self) -> bool {
        self.outcome.is_none() && !self.unseen.is_empty()
    }
}

/// What the answer we wait for is about.
enum Stage {
    Finish,
    LogIn,
    Look { host: usize, family: Family, view: View },
    Unlock,
    Write { changes: Vec<Change> },
    Zone,
}

struct Conversation {
    api: Arc<dyn Api>,
    purpose: Purpose,
    /// The zone as it is configured.
    configured: Hostname,
    /// The zones above the one that is tried, the nearest first.
    above: Vec<Hostname>,
    /// The zone that is tried or known.
    zone: Hostname,
    zone_id: Option<String>,
    session: Option<String>,
    is_unlocked: bool,
    hosts: Vec<Host>,
    stage: Stage,
    /// The page that comes next, of zones or of records.
    page: Option<String>,
    /// Whether the credential was good for a call of this conversation.
    is_proved: bool,
    /// Whether the zone was found in this conversation, rather than remembered.
    is_fresh: bool,
    /// Whether what was believed turned out wrong once already; the second time it is the answer.
    has_asked_again: bool,
    /// Whether each change goes alone, because several at once were not understood.
    is_one_by_one: bool,
    has_written: bool,
    is_finished: bool,
}

impl Talk for Conversation {
    fn next(&mut self, heard: Option<Heard>, moment: Moment) -> Step {
        match heard {
            None => self.begin(),
            Some(heard) => self.hear(heard, moment),
        }
        self.ask_on(moment)
    }
}

impl Conversation {
    fn new(api: Arc<dyn Api>, job: Job, purpose: Purpose) -> Self {
        let hosts = job.hosts.into_iter().map(|job| Host {
            job,
            memory: Memory::default(),
            least_ttl: 0,
            written_ttl: None,
            unseen: Vec::new(),
            records: Vec::new(),
            obstacles: Vec::new(),
            is_planned: false,
            changes: Vec::new(),
            is_partly_written: false,
            outcome: None,
        });
        Self {
            hosts: hosts.collect(),
            api,
            purpose,
            above: Vec::new(),
            zone: job.zone.clone(),
            configured: job.zone,
            zone_id: None,
            session: None,
            is_unlocked: false,
            stage: Stage::Zone,
            page: None,
            is_proved: false,
            is_fresh: false,
            has_asked_again: false,
            is_one_by_one: false,
            has_written: false,
            is_finished: false,
        }
    }

    /// Takes up what is remembered.
    fn begin(&mut self) {
        let mut zones = Vec::new();
        for host in &mut self.hosts {
            let remembered = host.job.before.as_ref().and_then(|before| before.remembered.as_deref());
            let memory = remembered.and_then(|text| Memory::parse(text, &self.configured));
            if let Some((zone, memory)) = memory {
                host.memory = memory;
                zones.push(zone);
            }
        }
        let agreed = zones.first().filter(|first| zones.iter().all(|zone| zone == *first)).cloned();
        match (agreed, Arc::clone(&self.api).configured_zone()) {
            (Some(zone), None) => (self.zone, self.zone_id) = (zone.name, Some(zone.id)),
            (Some(zone), Some(id)) if zone.id == id => (self.zone, self.zone_id) = (zone.name, Some(zone.id)),
            // Memories of different zones, or of another than the configured one: ids of one are none of the other.
            (agreed, configured) => {
                if agreed.is_some() || !zones.is_empty() {
                    self.hosts.iter_mut().for_each(|host| host.memory = Memory::default());
                }
                self.begin_zone();
                self.zone_id = configured.map(str::to_owned);
            }
        }
        let least_ttl = self.least_ttl();
        for host in &mut self.hosts {
            host.least_ttl = least_ttl;
            plan::from_memory(&*self.api, host);
        }
        if self.purpose == Purpose::Look {
            self.look_at_all();
        }
    }

    /// Begins the search for the zone at the configured one.
    fn begin_zone(&mut self) {
        let above = self.configured.ancestors().filter(|name| name.contains('.'));
        self.above = above.filter_map(|name| Hostname::parse(name).ok()).collect();
        self.zone = self.configured.clone();
        self.zone_id = None;
        self.page = None;
    }

    fn look_at_all(&mut self) {
        for host in &mut self.hosts {
            host.is_planned = false;
            host.unseen = Family::BOTH.to_vec();
        }
    }

    fn ask<'a>(&'a self, moment: Moment) -> Ask<'a> {
        Ask {
            zone: &self.zone,
            zone_id: self.zone_id.as_deref().unwrap_or_default(),
            session: self.session.as_deref().unwrap_or_default(),
            moment,
        }
    }

    /// The least TTL of the zone, as far as it is known.
    fn least_ttl(&self) -> u32 {
        self.zone_id.as_deref().map_or(0, |id| self.api.least_ttl(id))
    }

    /// The next call, or the end.
    fn ask_on(&mut self, moment: Moment) -> Step {
        if self.hosts.iter().any(Host::has_work) {
            if self.session.is_none() {
                match self.api.log_in(moment) {
                    Some(call) => return self.send(Stage::LogIn, call),
                    None => self.session = Some(String::new()),
                }
            }
            if !self.is_unlocked {
                match self.api.unlock(&self.ask(moment)) {
                    Some(call) => return self.send(Stage::Unlock, call),
                    None => self.is_unlocked = true,
                }
            }
            if self.zone_id.is_none() {
                match self.api.find_zone(&self.ask(moment), self.page.as_deref()) {
                    Some(call) => return self.send(Stage::Zone, call),
                    None => (self.zone_id, self.is_fresh) = (Some(String::new()), true),
                }
            }
        }
        if let Some((host, family)) = self.unseen() {
            let view = self.api.view(self.hosts.iter().filter(|host| host.is_unseen()).count());
            let at = Spot { hostname: &self.hosts[host].job.hostname, family, view, page: self.page.as_deref() };
            let call = self.api.look(&self.ask(moment), &at, self.page.as_deref());
            return self.send(Stage::Look { host, family, view }, call);
        }
        if self.purpose == Purpose::Update {
            let least_ttl = self.least_ttl();
            for host in self.hosts.iter_mut().filter(|host| host.outcome.is_none() && !host.is_planned) {
                host.least_ttl = least_ttl;
                plan::from_sight(&*self.api, host);
            }
            let changes = self.due();
            if !changes.is_empty() {
                let call = self.api.write(&self.ask(moment), &changes);
                return self.send(Stage::Write { changes }, call);
            }
        }
        if !mem::replace(&mut self.is_finished, true)
            && self.session.is_some()
            && let Some(call) = self.api.finish(&self.ask(moment), self.may_have_written())
        {
            return self.send(Stage::Finish, call);
        }
        match self.purpose {
            Purpose::Look => self.seen(),
            Purpose::Update => self.done(),
        }
    }

    /// Whether something was changed: in this conversation, or by an earlier one whose end nobody knows.
    fn may_have_written(&self) -> bool {
        self.has_written || self.hosts.iter().any(|host| !host.job.doubted.is_empty())
    }

    fn send(&mut self, stage: Stage, call: HttpCall) -> Step {
        self.stage = stage;
        Step::Send(Call::Http(call))
    }

    fn unseen(&self) -> Option<(usize, Family)> {
        let index = self.hosts.iter().position(Host::is_unseen)?;
        self.hosts[index].unseen.first().map(|family| (index, *family))
    }

    /// The changes that go into the next write: whole hosts, as many as fit; of a host with more than fit, a part.
    fn due(&self) -> Vec<Change> {
        let most = if self.is_one_by_one { 1 } else { self.api.changes_at_once() };
        let mut due: Vec<Change> = Vec::new();
        for host in self.hosts.iter().filter(|host| host.outcome.is_none()) {
            if due.len() + host.changes.len() <= most {
                due.extend(host.changes.iter().cloned());
            } else if due.is_empty() {
                due.extend(host.changes.iter().take(most).cloned());
                break;
            }
        }
        due
    }

    fn hear(&mut self, heard: Heard, moment: Moment) {
        let stage = mem::replace(&mut self.stage, Stage::Finish);
        let answer = match heard {
            Heard::Answer(answer) => answer,
            Heard::Silence(silence) => {
                let mut trouble = Trouble::of(Class::Down, "silence", &silence.why);
                trouble.maybe_written = silence.was_sent;
                return self.trouble(trouble, stage);
            }
            Heard::Message(_) => return self.trouble(Trouble::unknown("a DNS message instead of HTTP"), stage),
        };
        let done = match &stage {
            Stage::LogIn => self.api.logged_in(&answer).map(|session| self.session = Some(session)),
            Stage::Unlock => self.api.unlocked(&self.ask(moment), &answer).map(|()| self.is_unlocked = true),
            Stage::Zone => {
                let found = self.api.zone_found(&self.ask(moment), &answer);
                found.and_then(|found| self.zone_found(found))
            }
            Stage::Look { host, family, view } => {
                let (hostname, page) = (&self.hosts[*host].job.hostname, self.page.as_deref());
                let at = Spot { hostname, family: *family, view: *view, page };
                let page = match self.api.looked(&self.ask(moment), &at, &answer) {
                    Err(trouble) if trouble.meaning == Meaning::NoRecord => Ok(Page::default()),
                    page => page,
                };
                page.map(|page| self.looked(*host, *family, *view, page))
            }
            Stage::Write { changes } => {
                let written = self.api.written(&self.ask(moment), changes, &answer);
                written.and_then(|written| self.written(changes, &written))
            }
            Stage::Finish => self.api.finished(&answer),
        };
        match done {
            Ok(()) => self.is_proved = true,
            Err(trouble) => self.trouble(trouble.patient(answer.retry_after(moment.now)), stage),
        }
    }

    fn zone_found(&mut self, found: Found) -> Result<(), Trouble> {
        self.page = None;
        match found {
            Found::More(page) => self.page = Some(page),
            Found::Nothing => return Err(Trouble::new(Meaning::NoZone, "no_zone", "")),
            Found::Several(cure) => {
                let text = format!("there are several zones named {}; {cure}", self.zone);
                return Err(Trouble::of(Class::NoZone, "several_zones", &text));
            }
            Found::Zone(id) => (self.zone_id, self.is_fresh) = (Some(id), true),
        }
        Ok(())
    }

    fn looked(&mut self, asked: usize, family: Family, view: View, page: Page) {
        self.page = page.next;
        let is_last = self.page.is_none();
        for (index, host) in self.hosts.iter_mut().enumerate() {
            if view != View::Zone && index != asked {
                continue;
            }
            let is_its = |name: &str| super::is_same_name(name, &host.job.hostname);
            host.records.extend(page.records.iter().filter(|record| is_its(&record.name)).cloned());
            host.obstacles.extend(page.obstacles.iter().filter(|(name, _)| is_its(name)).map(|(_, why)| why.clone()));
            if is_last {
                host.unseen.retain(|unseen| view == View::Family && *unseen != family);
            }
        }
    }

    fn written(&mut self, changes: &[Change], written: &[Written]) -> Result<(), Trouble> {
        if changes.len() != written.len() {
            return Err(Trouble::unknown("the answer to the write does not speak of every change"));
        }
        for (change, written) in changes.iter().zip(written) {
            if let (Some(to), Some(stands)) = (change.to(), written.address)
                && to != stands
            {
                let text = format!("the answer to the write shows {stands}, not {to}, at {}", change.hostname);
                return Err(Trouble::unknown(&text));
            }
        }
        self.has_written = true;
        for (change, written) in changes.iter().zip(written) {
            let Some(host) = self.hosts.iter_mut().find(|host| host.job.hostname == change.hostname) else { continue };
            host.changes.retain(|left| left != change);
            if change.to().is_some() {
                host.written_ttl = Some(written.ttl.unwrap_or(change.ttl()));
            }
            host.is_partly_written = true;
            let sets = self.api.writes_sets();
            let known = match change.act {
                Act::Remove { .. } => None,
                Act::Create { .. } | Act::Alter { .. } => plan::known_after(change, written, sets),
            };
            // Of "make the new, remove the old" only the first says what stands from now on.
            if change.to().is_some() || host.job.wanted.of(change.family).is_none() {
                host.memory.set(change.family, known);
            }
        }
        Ok(())
    }

    /// What to do about an answer that is no success.
    fn trouble(&mut self, trouble: Trouble, stage: Stage) {
        let is_write = matches!(stage, Stage::Write { .. });
        if matches!(stage, Stage::Finish) {
            return self.unfinished(&trouble);
        }
        if matches!(stage, Stage::Zone | Stage::Look { .. })
            && matches!(trouble.meaning, Meaning::NoZone | Meaning::NoRecord)
            && (self.is_fresh || self.zone_id.is_none())
            && self.api.configured_zone().is_none()
            && !self.above.is_empty()
        {
            // A zone above may hold the names.
            self.zone = self.above.remove(0);
            (self.zone_id, self.page, self.is_fresh) = (None, None, false);
            return;
        }
        let may_ask_again = !self.has_asked_again;
        let is_lost = matches!(trouble.meaning, Meaning::NoRecord | Meaning::NoZone) && !may_ask_again;
        let are_several = matches!(&stage, Stage::Write { changes } if changes.len() > 1);
        if are_several && !self.is_one_by_one && (is_lost || &*trouble.code == NO_SUCH_CALL) {
            // Perhaps one of them leads nowhere, or there is no call for several: the others shall not suffer for it.
            self.is_one_by_one = true;
            return self.look_again(false);
        }
        let is_remembered = self.zone_id.is_some() && !self.is_fresh && self.api.configured_zone().is_none();
        let class = match trouble.meaning {
            Meaning::Plain(class) => class,
            Meaning::Forbidden if matches!(stage, Stage::LogIn | Stage::Unlock) => Class::Auth,
            // A remembered zone may be gone, or belong to the credential before: only a fresh search tells which.
            Meaning::Forbidden | Meaning::NoZone if may_ask_again && is_remembered => {
                self.begin_zone();
                return self.look_again(true);
            }
            // An unknown record may come as an unknown route, so look before the zone is blamed.
            Meaning::NoRecord | Meaning::NoZone | Meaning::Exists if is_write && may_ask_again => {
                return self.look_again(false);
            }
            // The address counts for more than the TTL.
            Meaning::LowTtl
                if is_write
                    && may_ask_again
                    && let Some(id) = self.zone_id.as_deref().and_then(|id| self.api.after_low_ttl(id)) =>
            {
                self.zone_id = Some(id);
                return self.look_again(false);
            }
            // A credential that was good a moment ago is good, only not for this.
            Meaning::Forbidden if self.is_proved || self.api.tells_rights_apart() => Class::Denied,
            Meaning::Forbidden => Class::Auth,
            // What a new record misses is its zone.
            Meaning::NoZone | Meaning::NoRecord if !is_write || is_creation(&stage) => Class::NoZone,
            Meaning::NoZone | Meaning::NoRecord => Class::Busy,
            Meaning::Exists | Meaning::LowTtl => Class::Invalid,
        };
        self.end_with(trouble, class, &stage);
    }

    /// Ends what the trouble is about. A refusal for a host's own sake lets the others go on.
    fn end_with(&mut self, mut trouble: Trouble, class: Class, stage: &Stage) {
        let cure = self.api.cure(class);
        if class == Class::NoZone {
            let said = if trouble.text.is_empty() { String::new() } else { format!(" ({})", trouble.text) };
            trouble.text = format!("this credential sees no zone named {}{said}", self.configured).into();
        }
        let about: Vec<bool> = match stage {
            Stage::Write { changes } => {
                let is_in = |host: &Host| changes.iter().any(|change| change.hostname == host.job.hostname);
                self.hosts.iter().map(is_in).collect()
            }
            Stage::Look { host, view: View::Family | View::Name, .. } => {
                (0..self.hosts.len()).map(|index| index == *host).collect()
            }
            Stage::Look { .. } | Stage::LogIn | Stage::Unlock | Stage::Zone | Stage::Finish => {
                vec![true; self.hosts.len()]
            }
        };
        let is_own = matches!(class, Class::Denied | Class::Invalid | Class::Quota)
            || self.is_one_by_one && class == Class::Busy;
        let is_write = matches!(stage, Stage::Write { .. });
        for (host, is_about) in self.hosts.iter_mut().zip(about).filter(|(host, _)| host.has_work()) {
            if is_about {
                host.outcome = Some(trouble.outcome(class, is_write, host.is_partly_written, cure));
            } else if !is_own {
                host.outcome = Some(trouble.outcome(class, false, host.is_partly_written, cure));
            }
        }
        self.page = None;
        // Whoever did not hear us will not hear a farewell either.
        let is_deaf = matches!(class, Class::Auth | Class::Rate | Class::Down | Class::Bug);
        self.is_finished |= is_deaf && !self.has_written;
    }

    /// The last call failed. What was written before stands, but does not count without it.
    fn unfinished(&mut self, trouble: &Trouble) {
        if !self.api.is_publication() {
            return;
        }
        let class = match trouble.meaning {
            Meaning::Plain(class) => class,
            Meaning::Forbidden => Class::Denied,
            Meaning::NoRecord | Meaning::NoZone | Meaning::Exists | Meaning::LowTtl => Class::Bug,
        };
        let cure = self.api.cure(class);
        let is_unpublished = |host: &&mut Host| host.is_partly_written || !host.job.doubted.is_empty();
        for host in self.hosts.iter_mut().filter(|host| host.outcome.is_none()).filter(is_unpublished) {
            host.outcome = Some(trouble.outcome(class, true, true, cure));
        }
    }

    /// Plans anew, from what stands; `forgetting` also what is remembered.
    fn look_again(&mut self, forgetting: bool) {
        self.has_asked_again = true;
        self.page = None;
        for host in self.hosts.iter_mut().filter(|host| host.has_work()) {
            host.records.clear();
            host.obstacles.clear();
            if forgetting {
                host.memory = Memory::default();
            }
            plan::look(host);
        }
    }

    fn done(&mut self) -> Step {
        let zone = memory::Zone { name: self.zone.clone(), id: self.zone_id.clone().unwrap_or_default() };
        let is_known = self.zone_id.is_some();
        let outcome = |host: &mut Host| {
            host.outcome.take().unwrap_or_else(|| {
                let known = |family| host.memory.of(family);
                let known = Family::BOTH.into_iter().find_map(known).map(|known| known.ttl);
                let before = host.job.before.as_ref().map(|before| before.ttl);
                let ttl = known.or(host.written_ttl).or(before).unwrap_or(0);
                let ttl = if host.job.wanted.is_empty() { 0 } else { ttl };
                let remembered = is_known.then(|| host.memory.write(&zone, &self.configured).into());
                Outcome::Confirmed { remembered, ttl }
            })
        };
        Step::Done(self.hosts.iter_mut().map(outcome).collect())
    }

    fn seen(&mut self) -> Step {
        let Some(host) = self.hosts.first_mut() else { return Step::Done(Vec::new()) };
        match host.outcome.take() {
            Some(outcome) => Step::Done(vec![outcome]),
            None => Step::Seen(Sight {
                zone: self.zone.to_string(),
                addresses: host.records.iter().map(|record| record.address).collect(),
                obstacles: mem::take(&mut host.obstacles),
            }),
        }
    }
}

/// Whether a write only makes records.
fn is_creation(stage: &Stage) -> bool {
    match stage {
        Stage::Write { changes } => changes.iter().all(|change| matches!(change.act, Act::Create { .. })),
        Stage::Finish | Stage::LogIn | Stage::Look { .. } | Stage::Unlock | Stage::Zone => false,
    }
}

/// The TTL of a new record.
fn ttl_of_new(api: &dyn Api, host: &Host) -> u32 {
    let (least, most) = (*api.ttls().start(), *api.ttls().end());
    let ttl = api.ttl_for(None, host.asked_ttl()).unwrap_or_else(|| DEFAULT_TTL.clamp(least, most));
    ttl.max(host.least_ttl)
}
