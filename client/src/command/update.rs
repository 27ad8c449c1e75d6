//! `update`: the journey of one update, from the lock to the last word of the gateway.

use std::net::IpAddr;

use nicgate_protocol::{AddressSet, Family, Timestamp};

use crate::choose::{Judged, Rule, choose, chosen};
use crate::detect::{Reach, Survey, Unlearned, survey};
use crate::gateway::Gateway;
use crate::reply;
use crate::report::{Ending, Report, Sent};
use crate::schedule::{self, Due, Why};
use crate::settings::Settings;
use crate::state::{Opened, State};
use crate::trouble::Trouble;

/// When to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Whatever was acknowledged before.
    Always,
    /// Only when the gateway does not know yet, or its word is old.
    IfDue,
}

/// Finds this machine's addresses and tells the gateway, if it does not know them yet. `now` and `nonce` go into the
/// signature: the nonce must be fresh, 8 to 64 letters of `A-Za-z0-9_-` (see [`crate::entropy::nonce`]).
///
/// # Errors
/// When there is nothing to send or no answer about the hosts. A refusal by the gateway is no error here: it is in the
/// report.
pub async fn update(settings: &Settings, when: When, now: Timestamp, nonce: &str) -> Result<Report, Trouble> {
    let (mut state, set_aside) = match State::open(settings)? {
        Opened::Ours(state, set_aside) => (state, set_aside),
        Opened::Busy => return Ok(Report { ending: Ending::Busy, judged: Vec::new(), notes: Vec::new() }),
    };
    let mut notes = Vec::from_iter(set_aside);
    let gateway = Gateway::new(settings);

    let Survey { found, unlearned, line } = survey(settings, &gateway, Reach::Asked).await;
    let (addresses, judged) = choose_both(settings, &state, &found);
    if addresses.is_empty() {
        return Err(Trouble::NoAddress(unlearned, judged.len()));
    }
    notes.extend(unlearned.iter().map(untouched));

    let why = match (due(settings, &state, addresses, now), when) {
        (Due::Yes(why), _) => why,
        (Due::No(_), When::Always) => Why::Asked,
        (Due::No(age), When::IfDue) => {
            return Ok(Report { ending: Ending::NothingToDo(addresses, age), judged, notes });
        }
    };

    let unreachable = |fault| Trouble::Unreachable(settings.gateway.to_string(), fault);
    let question = gateway.update(&settings.hosts, addresses, now, nonce).map_err(unreachable)?;
    settings.hosts.iter().for_each(|hostname| state.note_sending(hostname));
    state.save()?;
    let answer = gateway.exchange(&question, line).await.map_err(unreachable)?;
    let heard =
        reply::read(&answer, &settings.hosts).map_err(|why| Trouble::NotOurs(settings.gateway.to_string(), why))?;

    for result in &heard.results {
        state.note(&result.hostname, addresses, &result.code, now);
    }
    if let Err(fault) = state.save() {
        // The gateway has spoken, so this changes nothing about how the update ended: the next run repeats it.
        notes.push(fault.to_string());
    }
    let sent = Sent { device: settings.device.clone(), addresses, why, heard };
    Ok(Report { ending: Ending::Sent(sent), judged, notes })
}

/// The best address of each family, and what became of every one found.
pub(super) fn choose_both(
    settings: &Settings,
    state: &State,
    found: &[crate::choose::Found],
) -> (AddressSet, Vec<Judged>) {
    let mut addresses = AddressSet::EMPTY;
    let mut all = Vec::new();
    for family in Family::BOTH {
        let remembered = settings.hosts.first().and_then(|hostname| state.of(hostname));
        let rule = Rule {
            family,
            source: settings.source(family),
            allow_private: settings.allow_private,
            last: remembered.and_then(|entry| entry.acknowledged().of(family)),
        };
        let judged = choose(rule, found);
        match chosen(&judged) {
            Some(IpAddr::V4(v4)) => addresses.v4 = Some(v4),
            Some(IpAddr::V6(v6)) => addresses.v6 = Some(v6),
            None => {}
        }
        all.extend(judged);
    }
    (addresses, all)
}

fn due(settings: &Settings, state: &State, addresses: AddressSet, now: Timestamp) -> Due {
    let remembered = settings.hosts.iter().map(|hostname| (hostname, state.of(hostname)));
    schedule::decide(addresses, remembered, settings.refresh, now)
}

/// A family about which nothing could be learned is left alone, and people hear of it.
fn untouched(unlearned: &Unlearned) -> String {
    format!("{unlearned}; what the DNS holds of that family is left alone")
}
