//! What a provider's file says of its API, for the conversation to be led: how to ask, how to read the answers, and the
//! words in which both are said.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use nicgate_protocol::{Family, Hostname};

use crate::provider::trouble::Trouble;
use crate::provider::{Answer, Budget, Class, HttpCall, Moment, is_same_name};

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

    /// Whether [`Meaning::Forbidden`] is about rights only, because a wrong credential gets another answer.
    fn tells_rights_apart(&self) -> bool {
        false
    }

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

    /// For an API whose answer shows the records that stand now: each change must be among them.
    ///
    /// # Errors
    /// When one is not.
    pub(crate) fn among(records: &[Record], changes: &[Change]) -> Result<Vec<Self>, Trouble> {
        let shown = |change: &Change| {
            let Some(to) = change.to() else { return Ok(Self::default()) };
            let is_it = |record: &&Record| {
                record.address == to
                    && is_same_name(&record.name, &change.hostname)
                    && change.known().is_none_or(|known| known.id == record.known.id)
            };
            let record = records.iter().find(is_it).cloned().map(Self::shown);
            record.ok_or_else(|| {
                Trouble::unknown(&format!("the answer to the write does not show {to} at {}", change.hostname))
            })
        };
        changes.iter().map(shown).collect()
    }

    /// As a record in the answer shows it.
    pub(crate) fn shown(record: Record) -> Self {
        let Known { id, ttl, note } = record.known;
        Self { id: Some(id), address: Some(record.address), ttl: Some(ttl), note: Some(note) }
    }
}
