//! Why an update ended without an answer about its hosts: one sentence for people, one exit code for scripts.
//!
//! What the gateway *said* is no trouble but a [`Report`](crate::Report), also when it said no.

use std::fmt;

use crate::choose::key_of;
use crate::detect::Unlearned;
use crate::detect::echo::EchoFault;
use crate::gateway::GatewayFault;
use crate::reply::NotOurs;
use crate::settings::Mistakes;
use crate::state::StateFault;

/// Why there is no answer about any host.
#[derive(Debug)]
pub enum Trouble {
    /// The configuration cannot be used.
    Mistakes(Mistakes),
    /// No address to send: what could not be learned, and how many addresses were passed over.
    NoAddress(Vec<Unlearned>, usize),
    /// The system gives no random bytes.
    NoDice(String),
    /// The gateway answered something that nicgate does not say.
    NotOurs(String, NotOurs),
    /// The state file or its lock cannot be used.
    State(StateFault),
    /// The gateway cannot be reached, or its answer was lost.
    Unreachable(String, GatewayFault),
}

impl Trouble {
    /// 1 this machine failed, 2 bad configuration, 3 no address, 4 no gateway reachable.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoDice(_) => 1,
            Self::Mistakes(_) | Self::State(_) => 2,
            Self::NoAddress(unlearned, _) if unlearned.iter().any(is_unreachable) => 4,
            Self::NoAddress(..) => 3,
            Self::NotOurs(..) | Self::Unreachable(..) => 4,
        }
    }

    /// What to do next; `None` where the sentence says it already.
    #[must_use]
    pub fn cure(&self) -> Option<&'static str> {
        match self {
            Self::NoAddress(unlearned, _) if unlearned.iter().any(is_unreachable) => {
                Some("check the network and `gateway`; nothing was sent, the next run tries again")
            }
            Self::NoAddress(..) => Some("`nicgate-client detect` shows every address and why it is not sent"),
            Self::State(_) => Some("let `state_file` name a place that this account can write"),
            Self::Unreachable(_, fault) if fault.may_have_been_heard() => {
                Some("the update is not confirmed: it may have been recorded; the next run asks again")
            }
            Self::Unreachable(..) => Some("nothing was sent; the next run tries again"),
            Self::Mistakes(_) | Self::NoDice(_) | Self::NotOurs(..) => None,
        }
    }
}

/// Whether the gateway could not be spoken with at all. A gateway without an address in one family was found, and
/// one that answers something else was reached.
fn is_unreachable(unlearned: &Unlearned) -> bool {
    match unlearned {
        Unlearned::Web(_, EchoFault::Gateway(GatewayFault::NoSuchFamily(_)) | EchoFault::NotAnAddress(..)) => false,
        Unlearned::Web(_, EchoFault::Gateway(_)) => true,
        Unlearned::Interfaces(_) => false,
    }
}

impl fmt::Display for Unlearned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interfaces(fault) => write!(f, "the system does not list its network interfaces: {fault}"),
            Self::Web(family, fault) => write!(f, "{} from the gateway: {fault}", key_of(*family)),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mistakes(mistakes) => mistakes.fmt(f),
            Self::NoAddress(unlearned, passed_over) => {
                f.write_str("no address to send")?;
                for (index, unlearned) in unlearned.iter().enumerate() {
                    write!(f, "{} {unlearned}", if index == 0 { ":" } else { ";" })?;
                }
                match passed_over {
                    0 => Ok(()),
                    1 => f.write_str(" (one address was found and passed over)"),
                    number => write!(f, " ({number} addresses were found and passed over)"),
                }
            }
            Self::NoDice(fault) => write!(f, "the system gives no random bytes: {fault}"),
            Self::NotOurs(gateway, why) => write!(f, "{gateway} is not answering as a nicgate gateway: {why}"),
            Self::State(fault) => fault.fmt(f),
            Self::Unreachable(gateway, fault) => write!(f, "no answer from {gateway}: {fault}"),
        }
    }
}

impl std::error::Error for Trouble {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Mistakes(mistakes) => Some(mistakes),
            Self::NotOurs(_, why) => Some(why),
            Self::State(fault) => Some(fault),
            Self::Unreachable(_, fault) => Some(fault),
            Self::NoAddress(..) | Self::NoDice(_) => None,
        }
    }
}

impl From<StateFault> for Trouble {
    fn from(fault: StateFault) -> Self {
        Self::State(fault)
    }
}

impl From<Mistakes> for Trouble {
    fn from(mistakes: Mistakes) -> Self {
        Self::Mistakes(mistakes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nicgate_protocol::Family;
    use std::time::Duration;

    #[test]
    fn no_address_and_no_gateway_are_told_apart() {
        let echo = |fault| Unlearned::Web(Family::V4, EchoFault::Gateway(fault));
        for (unlearned, code) in [
            (vec![], 3),
            (vec![echo(GatewayFault::NoSuchFamily(Family::V4))], 3),
            (vec![Unlearned::Web(Family::V4, EchoFault::NotAnAddress(200, Family::V4))], 3),
            (vec![echo(GatewayFault::ConnectTimeout(Duration::from_secs(1)))], 4),
            (vec![echo(GatewayFault::NoSuchFamily(Family::V6)), echo(GatewayFault::Connect(Vec::new()))], 4),
        ] {
            let trouble = Trouble::NoAddress(unlearned, 0);
            assert_eq!(trouble.exit_code(), code, "{trouble}");
        }
    }

    #[test]
    fn a_lost_answer_is_called_unconfirmed() {
        let lost = Trouble::Unreachable("https://g".to_owned(), GatewayFault::AnswerTimeout(Duration::from_secs(20)));
        assert_eq!(lost.to_string(), "no answer from https://g: it did not answer within 20 s");
        assert!(lost.cure().unwrap().contains("not confirmed"));
    }
}
