//! Which changes make a host so: from what is remembered, or from what stands.

use std::net::IpAddr;

use nicgate_protocol::Family;

use super::{Act, Api, Change, Host, Known, Outcome, Record, Written, ttl_of_new};
use crate::provider::Class;

/// Works out the changes from memory alone; where that does not suffice, notes what must be looked at.
pub(super) fn from_memory(api: &dyn Api, host: &mut Host) {
    match remembered_changes(api, host) {
        Some(changes) => (host.changes, host.is_planned) = (changes, true),
        None => look(host),
    }
}

/// Notes what must be looked at before anything is written.
pub(super) fn look(host: &mut Host) {
    host.changes.clear();
    host.is_planned = false;
    host.unseen = Family::BOTH.into_iter().filter(|family| host.job.concerns(*family)).collect();
}

fn remembered_changes(api: &dyn Api, host: &Host) -> Option<Vec<Change>> {
    if !host.job.doubted.is_empty() {
        return None;
    }
    let before = host.job.written();
    let mut changes = Vec::new();
    for family in Family::BOTH {
        match (before.of(family), host.job.wanted.of(family)) {
            (None, None) => {}
            (Some(old), Some(new)) if old == new && host.memory.is_of_zone => {}
            (Some(old), Some(new)) => {
                let known = host.memory.of(family)?;
                changes.extend(move_record(api, host, known, Some(old), new, Vec::new()));
            }
            // What stands at a new family, or whether the old one still says what we wrote, must be looked at.
            (None, Some(_)) | (Some(_), None) => return None,
        }
    }
    Some(changes)
}

/// Works out the changes from what was seen.
pub(super) fn from_sight(api: &dyn Api, host: &mut Host) {
    host.is_planned = true;
    if let Some(why) = host.obstacles.first() {
        let text = format!("{why}; remove it, or give the host another name");
        host.outcome = Some(Outcome::refused(Class::Invalid, "in_the_way", &text));
        return;
    }
    let mut changes = Vec::new();
    for family in Family::BOTH.into_iter().filter(|family| host.job.concerns(*family)) {
        let standing: Vec<&Record> =
            host.records.iter().filter(|record| Family::of(record.address) == family).collect();
        match changes_of_family(api, host, family, &standing) {
            Ok((known, some)) => {
                changes.extend(some);
                host.memory.set(family, known);
            }
            Err(outcome) => {
                host.outcome = Some(outcome);
                return;
            }
        }
    }
    host.changes = changes;
}

/// The changes of one type, and what is known of its record before them.
fn changes_of_family(
    api: &dyn Api,
    host: &Host,
    family: Family,
    standing: &[&Record],
) -> Result<(Option<Known>, Vec<Change>), Outcome> {
    let is_ours = |record: &&&Record| host.job.may_be_ours(record.address);
    let others = |without: &[&Record]| -> Vec<IpAddr> {
        let stays = |record: &&&Record| !without.contains(*record);
        standing.iter().filter(stays).map(|record| record.address).collect()
    };
    let Some(new) = host.job.wanted.of(family) else {
        let ours: Vec<&Record> = standing.iter().filter(is_ours).copied().collect();
        let left = others(&ours);
        // A set is removed, or narrowed, in one write; records one by one.
        let removed = if api.writes_sets() { &ours[..ours.len().min(1)] } else { &ours[..] };
        let changes = removed.iter().map(|record| change(host, family, remove(record), left.clone()));
        return Ok((None, changes.collect()));
    };
    let there = standing.iter().find(|record| record.address == new).copied();
    let chosen = match (standing, there) {
        ([], _) => {
            let act = Act::Create { to: new, ttl: ttl_of_new(api, host) };
            return Ok((None, vec![change(host, family, act, Vec::new())]));
        }
        (_, Some(there)) => there,
        ([only], None) => only,
        (several, None) => {
            let known = host.memory.of(family).filter(|known| !known.id.is_empty());
            let by_id = several.iter().find(|record| known.is_some_and(|known| known.id == record.known.id));
            by_id.or_else(|| several.iter().find(is_ours)).copied().ok_or_else(|| several_records(family, several))?
        }
    };
    let mut changes = Vec::new();
    let ttl = api.ttl_for(Some(&chosen.known), host.asked_ttl());
    // What we wrote before and what is no longer wanted goes, once the new one stands. Where nothing is changed in
    // place, a lost answer leaves both.
    let is_clear = there.is_some() || !api.changes_in_place();
    let is_stale = |record: &&&Record| is_clear && record.address != new && **record != chosen;
    let stale: Vec<&Record> = standing.iter().filter(is_ours).filter(is_stale).copied().collect();
    let mut gone = stale.clone();
    gone.push(chosen);
    let left = others(&gone);
    if api.writes_sets() && !stale.is_empty() {
        changes.extend(alter(api, host, &chosen.known, Some(chosen.address), new, ttl, &left));
    } else if chosen.address != new {
        changes.extend(move_record(api, host, &chosen.known, Some(chosen.address), new, left.clone()));
    } else if ttl.is_some() || !api.is_as_asked(&chosen.known) {
        let act = Act::Alter { known: chosen.known.clone(), from: Some(new), to: new, ttl };
        changes.push(change(host, family, act, left.clone()));
    }
    if !api.writes_sets() {
        changes.extend(stale.iter().map(|record| change(host, family, remove(record), left.clone())));
    }
    // Of a set with other values only a look tells what they are next time.
    let known = Some(chosen.known.clone()).filter(|_| !api.writes_sets() || left.is_empty());
    Ok((known, changes))
}

/// Gives a record another address: in place, or by a new record before the old one goes.
fn move_record(
    api: &dyn Api,
    host: &Host,
    known: &Known,
    from: Option<IpAddr>,
    to: IpAddr,
    others: Vec<IpAddr>,
) -> Vec<Change> {
    let family = Family::of(to);
    let ttl = api.ttl_for(Some(known), host.asked_ttl());
    match from {
        Some(address) if !api.changes_in_place() => {
            let create = Act::Create { to, ttl: ttl.unwrap_or(known.ttl) };
            let remove = Act::Remove { known: known.clone(), address };
            vec![change(host, family, create, others.clone()), change(host, family, remove, others)]
        }
        Some(_) | None => alter(api, host, known, from, to, ttl, &others),
    }
}

/// Gives a record another address and, where one is given, another TTL.
fn alter(
    api: &dyn Api,
    host: &Host,
    known: &Known,
    from: Option<IpAddr>,
    to: IpAddr,
    ttl: Option<u32>,
    others: &[IpAddr],
) -> Vec<Change> {
    let act = |from, ttl| Act::Alter { known: known.clone(), from, to, ttl };
    let acts = match ttl {
        Some(_) if api.changes_ttl_apart() => vec![act(from, None), act(Some(to), ttl)],
        Some(_) | None => vec![act(from, ttl)],
    };
    acts.into_iter().map(|act| change(host, Family::of(to), act, others.to_vec())).collect()
}

fn change(host: &Host, family: Family, act: Act, others: Vec<IpAddr>) -> Change {
    Change { hostname: host.job.hostname.clone(), family, act, others }
}

fn remove(record: &Record) -> Act {
    Act::Remove { known: record.known.clone(), address: record.address }
}

/// What is known of a record after a change; `None`: not enough to change it again without a look.
pub(super) fn known_after(change: &Change, written: &Written, sets: bool) -> Option<Known> {
    let before = change.known().cloned().unwrap_or_default();
    let known = Known {
        id: written.id.clone().unwrap_or(before.id),
        ttl: written.ttl.unwrap_or(change.ttl()),
        note: written.note.clone().unwrap_or(before.note),
    };
    let is_enough = if sets { change.others.is_empty() } else { !known.id.is_empty() };
    is_enough.then_some(known)
}

fn several_records(family: Family, several: &[&Record]) -> Outcome {
    let addresses: Vec<String> = several.iter().map(|record| record.address.to_string()).collect();
    let text = format!(
        "the name has {} {} records ({}) and none holds an address that was written from here; leave one of them",
        several.len(),
        family.record_type(),
        addresses.join(", ")
    );
    Outcome::refused(Class::Invalid, "several_records", &text)
}
