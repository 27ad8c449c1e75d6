//! Looks for addresses in every place that the settings name. Finds and reports; what to send of it is decided in
//! `choose`.

pub(crate) mod ask;
pub mod claims;
pub mod echo;
pub mod interface;
pub mod router;
pub mod stun;
pub mod whoami;

use std::io;

use nicgate_protocol::Family;

use crate::choose::{Found, Origin};
use crate::detect::echo::EchoFault;
use crate::gateway::{Gateway, Line};
use crate::settings::{Settings, Source};

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Only where an address that may be sent can come from.
    Asked,
    /// Everywhere: for people who want to see it all.
    Everywhere,
}

/// What was found, and what could not be learned.
pub struct Survey {
    /// Every address with its origin.
    pub found: Vec<Found>,
    /// Where nothing could be learned, and why. Not the same as finding nothing.
    pub unlearned: Vec<Unlearned>,
    /// A connection to the gateway that is still open.
    pub line: Option<Line>,
}

/// A place that could not be asked.
#[derive(Debug)]
pub enum Unlearned {
    /// The interfaces.
    Interfaces(io::Error),
    /// The gateway, over one family.
    Web(Family, EchoFault),
}

/// Looks around. Never fails as a whole: what could not be learned is part of the answer.
pub async fn survey(settings: &Settings, gateway: &Gateway<'_>, reach: Reach) -> Survey {
    let mut survey = Survey { found: Vec::new(), unlearned: Vec::new(), line: None };
    for family in Family::BOTH {
        if let Source::Fixed(address) = settings.source(family) {
            survey.found.push(Found { address: *address, origin: Origin::Config });
        }
    }
    let uses_interfaces = Family::BOTH.iter().any(|family| matches!(settings.source(*family), Source::Interface(_)));
    if uses_interfaces || reach == Reach::Everywhere {
        match interface::addresses() {
            Ok(found) => survey.found.extend(found),
            Err(fault) => survey.unlearned.push(Unlearned::Interfaces(fault)),
        }
    }
    let ask = |family| async move {
        let is_asked = reach == Reach::Everywhere || *settings.source(family) == Source::Web;
        if is_asked { Some((family, echo::address(gateway, family).await)) } else { None }
    };
    let (v4, v6) = tokio::join!(ask(Family::V4), ask(Family::V6));
    for (family, heard) in [v4, v6].into_iter().flatten() {
        match heard {
            Ok((address, line)) => {
                survey.found.push(Found { address, origin: Origin::Web });
                survey.line.get_or_insert(line);
            }
            Err(fault) => survey.unlearned.push(Unlearned::Web(family, fault)),
        }
    }
    survey
}
