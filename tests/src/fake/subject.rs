//! A subject of the suite that every provider must pass: how to set one up, and what its vendor can and cannot do.

use nicgate::provider::{Class, ProviderSettings};
use serde_json::Value;

use super::{Fake, Record, Said};

/// What stands on the other side: a [`Fake`], or a real server that a story starts and ends.
pub trait Vendor: Send + Sync {
    /// All records of a name. A real server may leave out ids and what stands beside.
    fn records(&self, hostname: &str) -> Vec<Record>;

    /// Puts a record there, as somebody would by hand.
    fn put_by_hand(&self, record: Record);

    /// Removes the records of a name and type behind everybody's back.
    fn lose(&self, hostname: &str, record_type: &str);

    /// The fake, where it is one. Without it there are no mishaps and no counted calls.
    fn fake(&self) -> Option<&Fake>;
}

impl Vendor for Fake {
    fn records(&self, hostname: &str) -> Vec<Record> {
        Self::records(self, hostname)
    }

    fn put_by_hand(&self, record: Record) {
        Self::put_by_hand(self, record);
    }

    fn lose(&self, hostname: &str, record_type: &str) {
        self.zone(|zone| zone.remove_all(hostname, record_type));
    }

    fn fake(&self) -> Option<&Fake> {
        Some(self)
    }
}

/// One provider, ready to be told.
pub struct Started {
    /// The other side, with an empty zone.
    pub vendor: Box<dyn Vendor>,
    /// What an operator would write, the endpoint included.
    pub settings: ProviderSettings,
}

/// One subject. Each `fake/NAME.rs` has one as `SUBJECT`.
pub struct Subject {
    /// The kind's word, as in `type =`.
    pub word: &'static str,
    /// Starts it anew, on the runtime that it is called on.
    pub start: fn() -> Started,
    /// What its vendor can and cannot do.
    pub traits: Traits,
}

/// What a vendor can and cannot do. Write what differs from [`Traits::USUAL`], each with its reason.
#[derive(Clone, Copy)]
pub struct Traits {
    /// The zone that the other side holds.
    pub zone: &'static str,
    /// Calls of the first change of a host that nothing is remembered of.
    pub first_calls: usize,
    /// Calls of a change of one family, from one address to another.
    pub change_calls: usize,
    /// Calls of such a change of both families.
    pub dual_stack_calls: usize,
    /// Whether the address of a record is changed in place; else a lost answer leaves the old one and the new one.
    pub in_place: bool,
    /// Whether AAAA records can be set.
    pub has_ipv6: bool,
    /// Whether `*` below the zone can be a host.
    pub has_wildcard: bool,
    /// Whether the zone's own name can be a host.
    pub has_root: bool,
    /// Whether hosts may stand deeper than one label below the zone.
    pub has_deep_names: bool,
    /// Whether the vendor can be asked what stands there.
    pub can_look: bool,
    /// Whether a name may hold several records of one type, and other types beside: TXT, MX, CNAME.
    pub has_record_sets: bool,
    /// Whether a change of a host that is known replaces the whole set of its records, with whatever somebody added
    /// since: such an API has no ids, and looking first would cost every change a call.
    pub replaces_sets: bool,
    /// Whether the answer to a creation does not name the record: then the next change has to look, one call more.
    pub learns_late: bool,
    /// What can be removed.
    pub removal: Removal,
    /// A TTL to ask for, and what then stands there. `None`: the vendor has one of its own.
    pub ttl: Option<(u32, u32)>,
    /// A TTL that somebody set by hand and that must stay.
    pub ttl_by_hand: u32,
    /// What somebody may have set by hand beside a record ([`Record::extra`]) and what must stay.
    pub beside: fn() -> Value,
    /// Hosts that go in one call; 1: each goes alone.
    pub batch: usize,
    /// Makes the credential wrong; the settings must still open.
    pub spoil: fn(&mut ProviderSettings),
    /// What is told of a wrong credential: usually [`Class::Auth`], else as near as the vendor's words allow.
    pub spoilt: Class,
    /// What is told of a zone that the account does not hold. `None`: the vendor has no zones.
    pub unknown_zone: Option<Class>,
    /// How this vendor says "too many requests" in its own form.
    pub throttled: fn() -> Said,
    /// The program of `tests/oracles` that holds an opinion on the signature of every request: it gets
    /// `{"requests": [{method, url, headers, body}, …]}` and answers `{"mistakes": […]}`.
    pub oracle: Option<&'static str>,
    /// Programs that the other side is made of, where it is no fake; without them its stories are skipped.
    pub needs: &'static [&'static str],
}

/// What a vendor can remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// One family of a host.
    Family,
    /// A host with all its addresses, only at once.
    Host,
    /// Nothing.
    Nothing,
}

impl Traits {
    /// An API with ids for zones and records.
    pub const USUAL: Self = Self {
        zone: "home.test",
        first_calls: 3,
        change_calls: 1,
        dual_stack_calls: 2,
        in_place: true,
        has_ipv6: true,
        has_wildcard: true,
        has_root: true,
        has_deep_names: true,
        can_look: true,
        has_record_sets: true,
        replaces_sets: false,
        learns_late: false,
        removal: Removal::Family,
        ttl: Some((120, 120)),
        ttl_by_hand: 300,
        beside: || Value::Null,
        batch: 1,
        spoil: |_| panic!("say how the credential of this vendor is made wrong"),
        spoilt: Class::Auth,
        unknown_zone: Some(Class::NoZone),
        throttled: || Said::text(429, "Too Many Requests"),
        oracle: None,
        needs: &[],
    };
}
