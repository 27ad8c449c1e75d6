//! What is there for a name and a type: zones and records together (RFC 1034 4.3.2, wildcards by RFC 4592).
//!
//! A plain hit costs one look-up. Everything else walks down from the top of the zone and stops at the first
//! name that is not there, so a question of 127 labels costs no more than what the operator has put in.

use std::net::IpAddr;

use domain::base::Ttl;
use domain::base::iana::Rtype;

use super::name::{LONGEST, WireName};
use super::records::{Record, Records};
use super::zone::{Zone, ZoneSet};

/// Everything we answer from, seen at one moment.
#[derive(Default)]
pub(super) struct Content {
    pub(super) zones: ZoneSet,
    pub(super) records: Records,
}

/// What there is.
pub(super) enum Found<'a> {
    /// An address, of the host or of a wildcard above it.
    Address(IpAddr, Ttl),
    /// The zone's name servers.
    Nameservers(&'a Zone),
    /// The zone's SOA.
    Soa(&'a Zone),
    /// The name, but nothing of that type.
    NoData(&'a Zone),
    /// No such name.
    NoName(&'a Zone),
    /// Not in a zone of ours.
    NotOurs,
}

impl Content {
    pub(super) fn find(&self, name: &WireName, rtype: Rtype) -> Found<'_> {
        if matches!(rtype, Rtype::A | Rtype::AAAA | Rtype::ANY)
            && let Some(record) = self.records.get(name.key())
            && let Some(address) = record.pick(rtype)
        {
            return Found::Address(address, Ttl::from_secs(record.ttl));
        }
        let Some((zone, depth)) = self.zones.of(name) else {
            return Found::NotOurs;
        };
        if depth == name.labels() {
            return match rtype {
                Rtype::SOA | Rtype::ANY => Found::Soa(zone),
                Rtype::NS => Found::Nameservers(zone),
                _ => Found::NoData(zone),
            };
        }
        let Some(record) = self.below(name, depth) else {
            return Found::NoName(zone);
        };
        match record.pick(rtype) {
            Some(address) => Found::Address(address, Ttl::from_secs(record.ttl)),
            None => Found::NoData(zone),
        }
    }

    /// What a name below the top of its zone has, or the wildcard that stands for it (RFC 4592 3.3.1).
    fn below(&self, name: &WireName, zone_labels: usize) -> Option<&Record> {
        let mut encloser = zone_labels;
        let mut found = None;
        while encloser < name.labels() {
            found = self.at(name.suffix(encloser + 1));
            if found.is_none() {
                return self.records.get(name.wildcard(encloser, &mut [0; LONGEST])?);
            }
            encloser += 1;
        }
        found
    }

    /// What stands at one name below the top of its zone; empty when there are only names below it.
    pub(super) fn at(&self, key: &[u8]) -> Option<&Record> {
        let empty = || self.records.is_above(key).then_some(&Record::EMPTY);
        self.records.get(key).or_else(|| self.zones.fixed(key)).or_else(empty)
    }
}
