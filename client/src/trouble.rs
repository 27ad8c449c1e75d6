//! Why an update ended without an answer about its hosts: one sentence for people, one exit code for scripts.
//!
//! What the gateway *said* is no trouble but a [`Report`](crate::Report), also when it said no.

use std::fmt;
use std::time::Duration;

use crate::detect::{Unlearned, Why};
use crate::http::HttpFault;
use crate::reply::NotOurs;
use crate::schedule::Span;
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
    NoDice,
    /// No uplink works: the name of each, and why.
    NoUplink(Vec<(String, String)>),
    /// The state file or its lock cannot be used.
    State(StateFault),
    /// It took longer than an update may.
    TooLong(Duration),
    /// No gateway gave an answer: which, and why.
    Unanswered(Vec<(String, NoAnswer)>),
}

/// An update that came to nothing, and what people should hear besides.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub trouble: Trouble,
    /// Full sentences.
    pub notes: Vec<String>,
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, notes: Vec::new() }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trouble.fmt(f)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.trouble)
    }
}

/// Why a gateway gave no answer that counts.
#[derive(Debug)]
pub enum NoAnswer {
    /// It cannot be reached, or its answer was lost.
    Http(HttpFault),
    /// It answered something that nicgate does not say.
    NotOurs(NotOurs),
}

impl Trouble {
    /// 1 this machine failed, 2 bad configuration, 3 no address, 4 no gateway reachable.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoDice => 1,
            Self::Mistakes(_) | Self::State(_) => 2,
            Self::NoAddress(unlearned, _) if unlearned.iter().any(is_silent) => 4,
            Self::NoAddress(..) => 3,
            Self::NoUplink(_) | Self::TooLong(_) | Self::Unanswered(_) => 4,
        }
    }

    /// What to do next; `None` where the sentence says it already.
    #[must_use]
    pub fn cure(&self) -> Option<&'static str> {
        match self {
            Self::NoAddress(unlearned, _) if unlearned.iter().any(is_silent) => {
                Some("check the network and `gateway`; nothing was sent, the next run tries again")
            }
            Self::NoAddress(..) => Some("`nicgate-client detect` shows every address and why it is not sent"),
            Self::NoUplink(_) => Some("nothing was sent; the next run tries again"),
            Self::State(_) => Some("let `state_file` name a place that this account can write"),
            Self::TooLong(_) => Some("what was sent is not confirmed; the next run asks again"),
            Self::Unanswered(list) if list.iter().any(|(_, why)| why.may_have_been_heard()) => {
                Some("the update is not confirmed: it may have been recorded; the next run asks again")
            }
            Self::Unanswered(_) => Some("nothing was sent; the next run tries again"),
            Self::Mistakes(_) | Self::NoDice => None,
        }
    }

    /// Whether trying again soon may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoAddress(..) | Self::NoUplink(_) | Self::TooLong(_) | Self::Unanswered(_) => true,
            Self::Mistakes(_) | Self::NoDice | Self::State(_) => false,
        }
    }
}

impl NoAnswer {
    fn may_have_been_heard(&self) -> bool {
        match self {
            Self::Http(fault) => fault.may_have_been_heard(),
            Self::NotOurs(_) => true,
        }
    }
}

/// Whether a gateway could not be spoken with at all. A gateway without an address in one family was found, and one
/// that answers something else was reached.
fn is_silent(unlearned: &Unlearned) -> bool {
    matches!(unlearned.why, Why::Silent(_))
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(fault) => write!(f, "no answer: {fault}"),
            Self::NotOurs(why) => write!(f, "not answering as a nicgate gateway: {why}"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mistakes(mistakes) => mistakes.fmt(f),
            Self::NoAddress(unlearned, passed_over) => {
                f.write_str("no address to send")?;
                list(f, unlearned)?;
                match passed_over {
                    0 => Ok(()),
                    1 => f.write_str(" (one address was found and passed over)"),
                    number => write!(f, " ({number} addresses were found and passed over)"),
                }
            }
            Self::NoDice => f.write_str("the system gives no random bytes"),
            Self::NoUplink(broken) => {
                f.write_str("no uplink works")?;
                list(f, broken.iter().map(|(name, why)| format!("{name}: {why}")))
            }
            Self::State(fault) => fault.fmt(f),
            Self::TooLong(limit) => write!(f, "the update was not over within {}", Span(*limit)),
            Self::Unanswered(unanswered) => match unanswered.as_slice() {
                [(gateway, NoAnswer::Http(fault))] => write!(f, "no answer from {gateway}: {fault}"),
                [(gateway, why)] => write!(f, "{gateway} is {why}"),
                several => {
                    f.write_str("no gateway gives an answer")?;
                    list(f, several.iter().map(|(gateway, why)| format!("{gateway}: {why}")))
                }
            },
        }
    }
}

/// `: one; two; three`.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item = T>) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        write!(f, "{} {item}", if index == 0 { ":" } else { ";" })?;
    }
    Ok(())
}

impl std::error::Error for Trouble {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Mistakes(mistakes) => Some(mistakes),
            Self::State(fault) => Some(fault),
            Self::NoAddress(..) | Self::NoDice | Self::NoUplink(_) | Self::TooLong(_) | Self::Unanswered(_) => None,
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
    use crate::detect::web::WebFault;
    use nicgate_protocol::Family;

    fn unlearned(why: Why) -> Unlearned {
        Unlearned { family: Family::V4, from: "web".to_owned(), why, took: Duration::ZERO }
    }

    #[test]
    fn no_address_and_no_gateway_are_told_apart() {
        let silent = || unlearned(Why::Silent(WebFault::Http(HttpFault::ConnectTimeout(Duration::from_secs(1)))));
        let said = || unlearned(Why::Said("it has no IPv4 address".to_owned()));
        for (list, code) in [(vec![], 3), (vec![said()], 3), (vec![silent()], 4), (vec![said(), silent()], 4)] {
            let trouble = Trouble::NoAddress(list, 0);
            assert_eq!(trouble.exit_code(), code, "{trouble}");
        }
    }

    #[test]
    fn a_lost_answer_is_called_unconfirmed() {
        let lost = || NoAnswer::Http(HttpFault::AnswerTimeout(Duration::from_secs(20)));
        let one = Trouble::Unanswered(vec![("https://g".to_owned(), lost())]);
        assert_eq!(one.to_string(), "no answer from https://g: it did not answer within 20 s");
        assert!(one.cure().unwrap().contains("not confirmed"));
        let two = Trouble::Unanswered(vec![("https://g".to_owned(), lost()), ("https://h".to_owned(), lost())]);
        assert!(two.to_string().contains("https://h: no answer: it did not answer within 20 s"), "{two}");
    }
}
