//! The conversation that APIs with zones and records have in common. A provider's file says how to ask and how to read
//! ([`Api`]); here stands what to ask, in which order, and what follows from the answers:
//!
//! - log in where the API has sessions; find the zone, upwards from the configured one; look at the records; write;
//! - what is remembered from an earlier change (zone and record ids) spares all but the write, and is forgotten when
//!   the API says that it is stale;
//! - doubt, or a family that is new or to be removed, calls for a look; what stands already is not written;
//! - records are changed in place. Where an API cannot, the new one is made before the old one is removed;
//! - of several records of one type only the one that this gateway wrote is changed; when none is, the host is refused;
//! - TTL and whatever else a record holds stays, unless it was asked for.
//!
//! It follows no vendor: no URL, no field, no code is known here.

mod memory;
mod plan;
#[cfg(test)]
mod tests;

use std::mem;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use nicgate_logic::policy::DEFAULT_TTL;
use nicgate_protocol::{Family, Hostname};

use self::memory::Memory;
use super::trouble::{Meaning, Trouble};
use super::{Answer, Budget, Call, Class, Heard, HttpCall, Job, Moment, Outcome, Provider, Sight, Step, Talk};

/// How one API is asked, and what its answers say.
pub(crate) trait Api: Send + Sync {
    /// How much one [`Self::look`] shows, when so many hosts of the zone are to be looked at.
    fn view(&self, hosts: usize) -> View;

    /// The TTLs that the API takes, in seconds; what is asked for beyond is moved to the nearest.
    fn ttls(&self) -> RangeInclusive<u32>;

    /// How many calls the vendor allows.
    fn budget(&self) -> Budget;

    /// What the operator can do about a refusal, beginning with "; ".
    fn cure(&self, class: Class) -> &'static str;

    /// How many changes of one zone go into one [`Self::write`], all or none of them made; also the number of hosts
    /// in one job.
    fn changes_at_once(&self) -> usize {
        1
    }

    /// Whether a name's records of one type are one set that is written whole, rather than records with ids.
    fn writes_sets(&self) -> bool {
        false
    }

    /// Whether the address of a record can be changed in place.
    fn changes_in_place(&self) -> bool {
        true
    }

    /// Whether address and TTL of a record are changed by calls of their own. A change whose [`Change::new_ttl`] is
    /// there is then one of the TTL alone.
    fn changes_ttl_apart(&self) -> bool {
        false
    }

    /// The TTL that a change has to ask for: `asked` is what the configuration wants, `standing` what the record has.
    fn ttl_for(&self, standing: Option<&Known>, asked: Option<u32>) -> Option<u32> {
        let (least, most) = (*self.ttls().start(), *self.ttls().end());
        let asked = asked.map(|ttl| ttl.clamp(least, most));
        asked.filter(|ttl| standing.is_none_or(|known| known.ttl != *ttl))
    }

    /// The least TTL of a zone, in seconds, where it depends on the zone's plan rather than on the API; its id tells.
    fn least_ttl(&self, _zone_id: &str) -> u32 {
        0
    }

    /// What the zone's id is to be after [`Meaning::LowTtl`]: one with a greater [`Self::least_ttl`]. `None`: there is
    /// none, and the change is refused.
    fn after_low_ttl(&self, _zone_id: &str) -> Option<String> {
        None
    }

    /// Whether a record is as the configuration wants it, apart from address and TTL.
    fn is_as_asked(&self, _known: &Known) -> bool {
        true
    }

    /// The call that opens a session, where the API has them.
    fn log_in(&self, _moment: Moment) -> Option<HttpCall> {
        None
    }

    /// What the answer to [`Self::log_in`] gives for [`Ask::session`].
    ///
    /// # Errors
    /// When it gives nothing.
    fn logged_in(&self, _answer: &Answer) -> Result<String, Trouble> {
        Ok(String::new())
    }

    /// A further call without which the session does not count, such as one with a second factor.
    fn unlock(&self, _ask: &Ask<'_>) -> Option<HttpCall> {
        None
    }

    /// What the answer to [`Self::unlock`] says.
    ///
    /// # Errors
    /// When the session stays locked.
    fn unlocked(&self, _ask: &Ask<'_>, _answer: &Answer) -> Result<(), Trouble> {
        Ok(())
    }

    /// The id of the zone, where the operator configured it.
    fn configured_zone(&self) -> Option<&str> {
        None
    }

    /// The call that finds the zone [`Ask::zone`]. `None`: its name is all that the API wants.
    fn find_zone(&self, _ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        None
    }

    /// What the answer to [`Self::find_zone`] says.
    ///
    /// # Errors
    /// When it is no answer to that; [`Meaning::NoZone`] and [`Meaning::NoRecord`] mean that there is no such zone.
    fn zone_found(&self, _ask: &Ask<'_>, _answer: &Answer) -> Result<Found, Trouble> {
        Ok(Found::Nothing)
    }

    /// The call that shows what stands, as far as [`Spot::view`] reaches.
    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall;

    /// What the answer to [`Self::look`] shows. [`Meaning::NoRecord`] means that nothing stands there.
    ///
    /// # Errors
    /// When it shows nothing of that kind.
    fn looked(&self, ask: &Ask<'_>, at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble>;

    /// The call that makes these changes, at most [`Self::changes_at_once`].
    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall;

    /// What the answer to [`Self::write`] says: one entry for each change, in their order.
    ///
    /// # Errors
    /// When it does not say that all of them were made.
    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble>;

    /// The call that ends the conversation: a publication, a logout. `wrote`: something was changed, now or by an
    /// earlier conversation whose end nobody knows.
    fn finish(&self, _ask: &Ask<'_>, _wrote: bool) -> Option<HttpCall> {
        None
    }

    /// What the answer to [`Self::finish`] says.
    ///
    /// # Errors
    /// When the changes do not count without it.
    fn finished(&self, _answer: &Answer) -> Result<(), Trouble> {
        Ok(())
    }

    /// Whether [`Self::finish`] is a publication, without which nothing counts. Nobody minds how a logout ends.
    fn is_publication(&self) -> bool {
        true
    }
}

/// How much one look shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// The records of one name and type.
    Family,
    /// The records of one name.
    Name,
    /// The records of the zone.
    Zone,
}

/// Where a look looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'a> {
    /// The name.
    pub(crate) hostname: &'a Hostname,
    /// The type; for [`View::Family`].
    pub(crate) family: Family,
    /// How much is to be seen.
    pub(crate) view: View,
    /// Which page of it; `None`: the first.
    pub(crate) page: Option<&'a str>,
}

/// What every call may need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// The zone as the provider has it: the configured one, or one above.
    pub(crate) zone: &'a Hostname,
    /// Its id; empty where [`Api::find_zone`] finds none.
    pub(crate) zone_id: &'a str,
    /// What [`Api::logged_in`] gave.
    pub(crate) session: &'a str,
    /// The present, and a random number.
    pub(crate) moment: Moment,
}

/// What became of the search for a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is more to see: the next page.
    More(String),
    /// No such zone.
    Nothing,
    /// Several zones of that name: in words, what the operator should configure.
    Several(String),
    /// Its id.
    Zone(String),
}

/// What a look shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// The address records. Those of other names are ignored.
    pub(crate) records: Vec<Record>,
    /// What must not be touched: whole names, and why, such as a CNAME or weighted records.
    pub(crate) obstacles: Vec<(String, String)>,
    /// The page after this one, in the API's own words.
    pub(crate) next: Option<String>,
}

/// One address record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its whole name, however spelled.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: IpAddr,
    /// The rest.
    pub(crate) known: Known,
}

impl Record {
    /// Of a type and a value as an API writes them; `None` when it is no address record.
    pub(crate) fn read(name: String, kind: &str, value: &str, known: Known) -> Option<Self> {
        let address: IpAddr = value.trim().parse().ok()?;
        (Family::of(address).record_type() == kind).then_some(Self { name, address, known })
    }
}

/// What is known of a record besides its address, and remembered between changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its id; empty where the API has none.
    pub(crate) id: Box<str>,
    /// Its time to live, in seconds.
    pub(crate) ttl: u32,
    /// Whatever else the API needs to know to change it.
    pub(crate) note: Box<str>,
}

/// One change of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Of which host.
    pub(crate) hostname: Hostname,
    /// Of which type.
    pub(crate) family: Family,
    /// What to do.
    pub(crate) act: Act,
    /// Other addresses of this name and type, which stay.
    pub(crate) others: Vec<IpAddr>,
}

/// What to do with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Make one.
    Create {
        /// Its address.
        to: IpAddr,
        /// Its TTL, in seconds.
        ttl: u32,
    },
    /// Change one.
    Alter {
        /// Which.
        known: Known,
        /// What it holds now, as far as we know.
        from: Option<IpAddr>,
        /// What it shall hold.
        to: IpAddr,
        /// Its new TTL, in seconds; `None`: keep it.
        ttl: Option<u32>,
    },
    /// Remove one.
    Remove {
        /// Which.
        known: Known,
        /// What it holds.
        address: IpAddr,
    },
}

impl Change {
    /// The address after the change.
    pub(crate) fn to(&self) -> Option<IpAddr> {
        match self.act {
            Act::Create { to, .. } | Act::Alter { to, .. } => Some(to),
            Act::Remove { .. } => None,
        }
    }

    /// The record that is changed.
    pub(crate) fn known(&self) -> Option<&Known> {
        match &self.act {
            Act::Alter { known, .. } | Act::Remove { known, .. } => Some(known),
            Act::Create { .. } => None,
        }
    }

    /// The TTL after the change, in seconds.
    pub(crate) fn ttl(&self) -> u32 {
        match &self.act {
            Act::Create { ttl, .. } => *ttl,
            Act::Alter { known, ttl, .. } => ttl.unwrap_or(known.ttl),
            Act::Remove { known, .. } => known.ttl,
        }
    }

    /// The TTL that a record which is there already shall have from now on, in seconds.
    pub(crate) fn new_ttl(&self) -> Option<u32> {
        match &self.act {
            Act::Alter { ttl, .. } => *ttl,
            Act::Create { .. } | Act::Remove { .. } => None,
        }
    }

    /// The whole set after the change, for APIs that write sets.
    pub(crate) fn set(&self) -> Vec<IpAddr> {
        self.to().into_iter().chain(self.others.iter().copied()).collect()
    }
}

/// What the answer to a write says about one change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// The record's id, where it is new.
    pub(crate) id: Option<Box<str>>,
    /// The address that stands now, where the answer repeats it.
    pub(crate) address: Option<IpAddr>,
    /// The TTL, where the answer repeats it.
    pub(crate) ttl: Option<u32>,
    /// [`Known::note`], where it changed.
    pub(crate) note: Option<Box<str>>,
}

impl Written {
    /// For an API that says yes and repeats nothing.
    pub(crate) fn unechoed(changes: &[Change]) -> Vec<Self> {
        vec![Self::default(); changes.len()]
    }

    /// As a record in the answer shows it.
    pub(crate) fn shown(record: Record) -> Self {
        let Known { id, ttl, note } = record.known;
        Self { id: Some(id), address: Some(record.address), ttl: Some(ttl), note: Some(note) }
    }
}

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
        let most = self.api.changes_at_once();
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
        let may_ask_again = !mem::replace(&mut self.has_asked_again, true);
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
            Meaning::Forbidden if self.is_proved => Class::Denied,
            Meaning::Forbidden => Class::Auth,
            Meaning::NoZone | Meaning::NoRecord if !is_write => Class::NoZone,
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
        let is_own = matches!(class, Class::Denied | Class::Invalid | Class::Quota);
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

/// The TTL of a new record.
fn ttl_of_new(api: &dyn Api, host: &Host) -> u32 {
    let (least, most) = (*api.ttls().start(), *api.ttls().end());
    let ttl = api.ttl_for(None, host.asked_ttl()).unwrap_or_else(|| DEFAULT_TTL.clamp(least, most));
    ttl.max(host.least_ttl)
}
