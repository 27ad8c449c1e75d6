//! How an update ended, host by host: the rows of the answer table, before anybody dresses them for a client.
//!
//! Statuses and bodies are made of this in `gateway/src/http/reply.rs`, log lines in `gateway/src/log.rs`.

use nicgate_protocol::{AddressSet, DeviceId, ReturnCode};

use crate::device::Profile;
use crate::refusal::Refusal;

/// How one host of an update ended, or the request as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Changed: durable here and confirmed by the primary provider.
    Good(AddressSet),
    /// Nothing had to change.
    NoChg(AddressSet),
    /// We said no.
    Refused(Refusal),
    /// The provider said no: the operator's problem, never the client's.
    ProviderRefused,
    /// Recorded and still being pushed when the reply was due.
    Unconfirmed,
    /// We broke: nothing was recorded.
    Fault(&'static str),
}

impl Ending {
    /// The word and the addresses of the line.
    #[must_use]
    pub fn return_code(&self) -> ReturnCode {
        match self {
            Self::Good(addresses) => ReturnCode::Good(*addresses),
            Self::NoChg(addresses) => ReturnCode::NoChg(*addresses),
            Self::Refused(refusal) => refusal.return_code(),
            Self::ProviderRefused => ReturnCode::DnsErr,
            Self::Unconfirmed | Self::Fault(_) => ReturnCode::NineOneOne,
        }
    }

    /// The refusal that ends the whole request, rather than one host of it.
    #[must_use]
    pub fn refusal_of_request(&self) -> Option<Refusal> {
        if let Self::Refused(refusal) = self { Some(*refusal).filter(|refusal| refusal.is_of_request()) } else { None }
    }

    /// The word that the log keeps; `None` for a success.
    #[must_use]
    pub fn error_code(&self) -> Option<&'static str> {
        match self {
            Self::Good(_) | Self::NoChg(_) => None,
            Self::Refused(refusal) => Some(refusal.error_code()),
            Self::ProviderRefused => Some("provider_refused"),
            Self::Unconfirmed => Some("unconfirmed"),
            Self::Fault(code) => Some(code),
        }
    }
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The host as the request wrote it, cut to 253 characters; empty when the line speaks for the whole request.
    pub hostname: Box<str>,
    /// How it ended.
    pub ending: Ending,
}

impl Line {
    /// A line that speaks for the whole request.
    #[must_use]
    pub fn of_request(ending: Ending) -> Self {
        Self { hostname: "".into(), ending }
    }
}

/// The whole answer: one line for the request, or one per host in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Never empty.
    pub lines: Vec<Line>,
    /// Who spoke, where that was proved.
    pub device: Option<DeviceId>,
    /// The profile that the operator gave the device.
    pub profile: Option<Profile>,
}

impl Answer {
    /// One line that speaks for the whole request.
    #[must_use]
    pub fn of_request(ending: Ending) -> Self {
        Self { lines: vec![Line::of_request(ending)], device: None, profile: None }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::of_request(Ending::Refused(refusal))
    }
}
