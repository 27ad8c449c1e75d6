//! `detect`: every source, what it said and in how long, which address would be sent, and why. Changes nothing and
//! sends no update.

use std::fmt;
use std::time::Duration;

use nicgate_protocol::{AddressSet, Family};
use serde_json::{Value, json};

use crate::choose::{Found, Judged, key_of};
use crate::command::update::{choose_both, patience, rules, take_uplink};
use crate::detect::{self, Reach, Surroundings, Unlearned, survey};
use crate::http::Caller;
use crate::outside::Outside;
use crate::schedule::gateways;
use crate::settings::Settings;
use crate::state::State;
use crate::trouble::Trouble;
use crate::way::Way;

/// Everything found.
pub struct View {
    uplinks: Vec<UplinkView>,
    addresses: AddressSet,
    judged: Vec<(Judged, Duration)>,
    unlearned: Vec<Unlearned>,
}

/// How one uplink stands.
struct UplinkView {
    name: String,
    is_taken: bool,
    why: String,
}

/// Looks everywhere, also where the settings do not ask; at third parties only where they name them, or where
/// `is_all` says so.
///
/// # Errors
/// When no uplink works, or the system gives no random bytes.
pub async fn look(settings: &Settings, is_all: bool, outside: Outside<'_>) -> Result<View, Trouble> {
    let state = State::peek(settings);
    let interfaces = detect::interfaces();
    let looked = take_uplink(settings, &interfaces, state.uplinks(), outside).await?;
    let mut uplinks = Vec::new();
    if let Some(looked) = &looked {
        for (index, uplink) in settings.uplinks.iter().enumerate() {
            let broken = looked.broken.iter().find(|(name, _)| *name == uplink.name);
            let is_taken = looked.choice.index == Some(index);
            let why = match broken {
                Some((_, why)) => why.clone(),
                None if is_taken => looked.choice.why.to_string(),
                None => "works".to_owned(),
            };
            uplinks.push(UplinkView { name: uplink.name.clone(), is_taken, why });
        }
    }
    let way = match looked {
        Some(looked) => looked.taken()?.way,
        None => Way::ANY,
    };
    let caller = Caller::new(&settings.trust, way, patience(settings));
    let urls: Vec<String> = settings.gateways.iter().map(ToString::to_string).collect();
    let order = gateways::order(&urls, state.silent(), outside.now());
    let dice = || outside.throw();
    let reach = if is_all { Reach::Everywhere } else { Reach::Known };
    let around =
        Surroundings { settings, caller: &caller, gateways: &order, interfaces: &interfaces, dice: &dice, reach };
    let survey = survey(&around, rules(settings, &state)).await;
    let (addresses, judged) = choose_both(rules(settings, &state), &survey.found);
    // Judging sorts by family; the times are found again by the address and who told it.
    let took = |found: &Found| {
        let place = survey.found.iter().position(|other| other == found);
        place.map(|place| survey.took[place]).unwrap_or_default()
    };
    let judged = judged.into_iter().map(|judged| (judged.clone(), took(&judged.found))).collect();
    Ok(View { uplinks, addresses, judged, unlearned: survey.unlearned })
}

impl View {
    /// Whether nothing would be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// One JSON object with the same content.
    #[must_use]
    pub fn json(&self) -> Value {
        let found: Vec<Value> = self.judged.iter().map(judged_json).collect();
        let send: Vec<String> = self.addresses.iter().map(|address| address.to_string()).collect();
        let unlearned: Vec<String> = self.unlearned.iter().map(Unlearned::to_string).collect();
        let uplinks: Vec<Value> = self
            .uplinks
            .iter()
            .map(|uplink| json!({ "name": uplink.name, "in_use": uplink.is_taken, "why": uplink.why }))
            .collect();
        json!({ "would_send": send, "found": found, "not_learned": unlearned, "uplinks": uplinks })
    }
}

fn judged_json((judged, took): &(Judged, Duration)) -> Value {
    json!({
        "address": judged.found.address.to_string(),
        "family": key_of(Family::of(judged.found.address)),
        "origin": judged.found.origin.to_string(),
        "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "would_send": judged.chosen.is_some(),
        "why": judged.why,
    })
}

/// One address as a line of the table.
pub(super) fn line(judged: &Judged, took: Option<Duration>) -> String {
    let (mark, found) = (if judged.chosen.is_some() { "send" } else { "-" }, &judged.found);
    let took = took.map_or(String::new(), |took| format!("{:>9}  ", milliseconds(took)));
    format!("{mark:4}  {:39}  {:20}  {took}{}", found.address.to_string(), found.origin.to_string(), judged.why)
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for uplink in &self.uplinks {
            let mark = if uplink.is_taken { "use" } else { "-" };
            writeln!(f, "{mark:4}  uplink {}: {}", uplink.name, uplink.why)?;
        }
        for (judged, took) in &self.judged {
            writeln!(f, "{}", line(judged, Some(*took)))?;
        }
        for unlearned in &self.unlearned {
            writeln!(f, "?     {unlearned} ({})", milliseconds(unlearned.took))?;
        }
        match self.addresses {
            AddressSet::EMPTY => f.write_str("nothing would be sent"),
            addresses => write!(f, "would send {addresses}"),
        }
    }
}
