//! What an update of one host requires and changes, from what is believed to stand there.
//!
//! The change names single records, never whole sets, and it requires that the set is exactly as it was believed. So a
//! value that somebody else added is either seen and left alone, or stops the whole update; it is never lost.

use std::net::IpAddr;

use nicgate_logic::policy::DEFAULT_TTL;
use nicgate_protocol::Family;

use super::message::{Change, Edit, Requires, Standing};
use crate::provider::{Class, HostJob, Outcome};

/// The changes of one family, and the TTL after them.
///
/// # Errors
/// When several records stand there and none of them is ours.
pub(super) fn edit(job: &HostJob, family: Family, standing: &Standing) -> Result<(Edit, Option<u32>), Outcome> {
    let hostname = &job.hostname;
    let mut edit = Edit::default();
    let ours: Vec<IpAddr> = standing.addresses.iter().copied().filter(|address| job.may_be_ours(*address)).collect();
    let Some(new) = job.wanted.of(family) else {
        edit.changes = ours.into_iter().map(|address| Change::Remove(hostname.clone(), address)).collect();
        require(&mut edit, job, family, standing);
        return Ok((edit, None));
    };
    let ttl = job.ttl.or(standing.ttl).unwrap_or(DEFAULT_TTL);
    let gone: Vec<IpAddr> = match standing.addresses.as_slice() {
        // A record with another TTL is another record for some servers: it goes and comes again.
        several if several.contains(&new) => {
            let is_stale =
                |address: &IpAddr| if *address == new { standing.ttl != Some(ttl) } else { ours.contains(address) };
            several.iter().copied().filter(is_stale).collect()
        }
        [] => Vec::new(),
        [only] => vec![*only],
        several if ours.is_empty() => return Err(several_records(family, several)),
        _ => ours,
    };
    let stays = standing.addresses.contains(&new) && !gone.contains(&new);
    edit.changes = gone.into_iter().map(|address| Change::Remove(hostname.clone(), address)).collect();
    if !stays {
        edit.changes.push(Change::Add(hostname.clone(), new, ttl));
    }
    require(&mut edit, job, family, standing);
    Ok((edit, Some(ttl)))
}

/// Whatever is changed must be as it was believed.
fn require(edit: &mut Edit, job: &HostJob, family: Family, standing: &Standing) {
    if edit.is_empty() {
        return;
    }
    let hostname = job.hostname.clone();
    if standing.addresses.is_empty() {
        edit.requires = vec![Requires::NoAlias(hostname.clone()), Requires::None(hostname, family)];
    } else {
        edit.requires = vec![Requires::Exactly(hostname, standing.addresses.clone())];
    }
}

fn several_records(family: Family, several: &[IpAddr]) -> Outcome {
    let addresses: Vec<String> = several.iter().map(ToString::to_string).collect();
    let text = format!(
        "the name has {} {} records ({}) and none holds an address that was written from here; leave one of them",
        several.len(),
        family.record_type(),
        addresses.join(", ")
    );
    Outcome::refused(Class::Invalid, "several_records", &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{host, host_after, set};

    /// An edit in the words of nsupdate.
    fn words(edit: &Edit) -> String {
        let requires = edit.requires.iter().map(|requires| match requires {
            Requires::NoAlias(_) => "no CNAME".to_owned(),
            Requires::None(_, family) => format!("no {}", family.record_type()),
            Requires::Exactly(_, addresses) => format!("exactly {addresses:?}"),
        });
        let changes = edit.changes.iter().map(|change| match change {
            Change::Add(_, address, ttl) => format!("add {address} {ttl}"),
            Change::Remove(_, address) => format!("remove {address}"),
        });
        requires.chain(changes).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn only_what_is_ours_goes_and_only_if_all_is_as_believed() {
        for (before, wanted, asked, standing, expected) in [
            // Nothing there yet.
            ("", "192.0.2.1", None, "", "no CNAME; no A; add 192.0.2.1 60"),
            ("", "192.0.2.1", Some(5), "", "no CNAME; no A; add 192.0.2.1 5"),
            // One record, ours or not.
            ("192.0.2.1", "192.0.2.2", None, "192.0.2.1", "exactly [192.0.2.1]; remove 192.0.2.1; add 192.0.2.2 300"),
            ("", "192.0.2.2", None, "192.0.2.9", "exactly [192.0.2.9]; remove 192.0.2.9; add 192.0.2.2 300"),
            ("", "192.0.2.2", Some(60), "192.0.2.9", "exactly [192.0.2.9]; remove 192.0.2.9; add 192.0.2.2 60"),
            // It is so already; only its TTL may be wrong.
            ("", "192.0.2.2", None, "192.0.2.2", ""),
            ("", "192.0.2.2", Some(300), "192.0.2.2", ""),
            ("", "192.0.2.2", Some(60), "192.0.2.2", "exactly [192.0.2.2]; remove 192.0.2.2; add 192.0.2.2 60"),
            // Several: only ours moves.
            (
                "192.0.2.1",
                "192.0.2.2",
                None,
                "192.0.2.1,192.0.2.9",
                "exactly [192.0.2.1, 192.0.2.9]; remove 192.0.2.1; add 192.0.2.2 300",
            ),
            ("192.0.2.1", "192.0.2.9", None, "192.0.2.1,192.0.2.9", "exactly [192.0.2.1, 192.0.2.9]; remove 192.0.2.1"),
            ("192.0.2.1", "192.0.2.2", None, "192.0.2.8,192.0.2.9", "several_records"),
            ("", "192.0.2.8", None, "192.0.2.8,192.0.2.9", ""),
            // Gone: only ours.
            ("192.0.2.1", "", None, "192.0.2.1", "exactly [192.0.2.1]; remove 192.0.2.1"),
            ("192.0.2.1", "", None, "192.0.2.1,192.0.2.9", "exactly [192.0.2.1, 192.0.2.9]; remove 192.0.2.1"),
            ("192.0.2.1", "", None, "192.0.2.9", ""),
            ("192.0.2.1", "", None, "", ""),
        ] {
            let mut job = if before.is_empty() {
                host("nas.home.test", wanted)
            } else {
                host_after("nas.home.test", before, "", wanted)
            };
            job.ttl = asked;
            let addresses: Vec<IpAddr> =
                standing.split(',').filter(|part| !part.is_empty()).map(|part| part.parse().unwrap()).collect();
            let standing = Standing { ttl: (!addresses.is_empty()).then_some(300), addresses, is_alias: false };
            let found = match edit(&job, Family::V4, &standing) {
                Ok((edit, _)) => words(&edit),
                Err(Outcome::Refused { code, .. }) => code.into(),
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(found, expected, "{before} -> {wanted} where {standing:?}");
        }
    }

    #[test]
    fn what_a_lost_answer_may_have_left_is_ours() {
        let mut job = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.3");
        job.doubted = vec![set("192.0.2.2")];
        let addresses = vec!["192.0.2.2".parse().unwrap(), "192.0.2.9".parse().unwrap()];
        let standing = Standing { addresses, ttl: Some(60), is_alias: false };
        let (edit, ttl) = edit(&job, Family::V4, &standing).unwrap();
        assert_eq!(words(&edit), "exactly [192.0.2.2, 192.0.2.9]; remove 192.0.2.2; add 192.0.2.3 60");
        assert_eq!(ttl, Some(60));
    }
}
