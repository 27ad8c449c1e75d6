//! `detect`: every address found, which would be sent, and why. Changes nothing and sends no update.

use std::fmt;

use nicgate_protocol::{AddressSet, Family};
use serde_json::{Value, json};

use crate::choose::{Judged, Origin, key_of};
use crate::command::update::choose_both;
use crate::detect::{Reach, Unlearned, survey};
use crate::gateway::Gateway;
use crate::settings::{Settings, Source};
use crate::state::State;

/// Everything found.
pub struct View {
    addresses: AddressSet,
    judged: Vec<Judged>,
    unlearned: Vec<Unlearned>,
}

/// Looks everywhere, also where the settings do not ask.
pub async fn look(settings: &Settings) -> View {
    let state = State::peek(settings);
    let gateway = Gateway::new(settings);
    let survey = survey(settings, &gateway, Reach::Everywhere).await;
    let (addresses, judged) = choose_both(settings, &state, &survey.found);
    let is_wanted = |unlearned: &Unlearned| match unlearned {
        Unlearned::Interfaces(_) => true,
        Unlearned::Web(family, _) => *settings.source(*family) == Source::Web,
    };
    let unlearned = survey.unlearned.into_iter().filter(is_wanted).collect();
    View { addresses, judged, unlearned }
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
        json!({ "would_send": send, "found": found, "not_learned": unlearned })
    }
}

fn judged_json(judged: &Judged) -> Value {
    json!({
        "address": judged.found.address.to_string(),
        "family": key_of(Family::of(judged.found.address)),
        "origin": place(&judged.found.origin),
        "would_send": judged.is_chosen,
        "why": judged.why,
    })
}

fn place(origin: &Origin) -> String {
    match origin {
        Origin::Config => "config".to_owned(),
        Origin::Interface(standing) => format!("interface:{}", standing.name),
        Origin::Web => "web".to_owned(),
    }
}

/// One address as a line of the table.
pub(super) fn line(judged: &Judged) -> String {
    let (mark, found) = (if judged.is_chosen { "send" } else { "-" }, &judged.found);
    format!("{mark:4}  {:39}  {:16}  {}", found.address.to_string(), place(&found.origin), judged.why)
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for judged in &self.judged {
            writeln!(f, "{}", line(judged))?;
        }
        for unlearned in &self.unlearned {
            writeln!(f, "?     {unlearned}")?;
        }
        match self.addresses {
            AddressSet::EMPTY => f.write_str("nothing would be sent"),
            addresses => write!(f, "would send {addresses}"),
        }
    }
}
