//! Whether the gateway has to be told: what it acknowledged, what is wanted, and the time in; an answer out. Pure.
//! Which gateway is told first stands in [`gateways`], when to try again in [`pace`].

pub mod gateways;
pub mod pace;

use std::fmt;
use std::time::Duration;

use nicgate_protocol::{AddressSet, Family, Hostname, Timestamp};

use crate::state::Remembered;

/// Whether to send, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// The gateway acknowledged these addresses for every host; the oldest acknowledgement is this old.
    No(Duration),
    /// There is something to say.
    Yes(Why),
}

/// Why there is something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The caller wants it sent whatever we remember.
    Asked,
    /// The acknowledged address of this host is another one.
    Changed(Hostname),
    /// The last acknowledgement lies ahead of the clock: our memory cannot be trusted.
    ClockSetBack,
    /// The last word about this host was no acknowledgement.
    NotAcknowledged(Hostname),
    /// The last acknowledgement is older than `refresh`.
    Refresh(Duration),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("because it was asked for"),
            Self::Changed(hostname) => write!(f, "because the address of {hostname} changed"),
            Self::ClockSetBack => f.write_str("because the clock was set back"),
            Self::NotAcknowledged(hostname) => write!(f, "because {hostname} is not acknowledged yet"),
            Self::Refresh(age) => write!(f, "because the last acknowledgement is {} old", Span(*age)),
        }
    }
}

/// Decides for all hosts together: when one of them is due, all are sent. What a host never had acknowledged is
/// `None` in `remembered`; a family that is not wanted now is not compared.
#[must_use]
pub fn decide<'a>(
    wanted: AddressSet,
    remembered: impl Iterator<Item = (&'a Hostname, Option<&'a Remembered>)>,
    refresh: Duration,
    now: Timestamp,
) -> Due {
    let mut oldest = Duration::ZERO;
    for (hostname, entry) in remembered {
        let Some(entry) = entry else {
            return Due::Yes(Why::NotAcknowledged(hostname.clone()));
        };
        let acknowledged = entry.acknowledged();
        if Family::BOTH
            .into_iter()
            .any(|family| wanted.of(family).is_some() && wanted.of(family) != acknowledged.of(family))
        {
            return Due::Yes(Why::Changed(hostname.clone()));
        }
        if !entry.is_acknowledged() {
            return Due::Yes(Why::NotAcknowledged(hostname.clone()));
        }
        if entry.acknowledged_at() > now {
            return Due::Yes(Why::ClockSetBack);
        }
        oldest = oldest.max(now.since(entry.acknowledged_at()));
    }
    if oldest >= refresh { Due::Yes(Why::Refresh(oldest)) } else { Due::No(oldest) }
}

/// A span of time for people: its largest unit alone.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{} min", seconds / 60),
            3600..172_800 => write!(f, "{} h", seconds / 3600),
            _ => write!(f, "{} days", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nicgate_protocol::ReturnCode;

    const DAY: Duration = Duration::from_secs(86_400);

    fn set(text: &str) -> AddressSet {
        let mut set = AddressSet::EMPTY;
        for address in text.split(',') {
            match address.parse().unwrap() {
                std::net::IpAddr::V4(v4) => set.v4 = Some(v4),
                std::net::IpAddr::V6(v6) => set.v6 = Some(v6),
            }
        }
        set
    }

    fn heard(addresses: &str, code: ReturnCode, at: u64) -> Remembered {
        let mut entry = Remembered::new("https://g", "laptop", &host());
        entry.note(set(addresses), &code, Timestamp::from_seconds(at));
        entry
    }

    fn host() -> Hostname {
        Hostname::parse("laptop.home.test").unwrap()
    }

    fn due(wanted: &str, entry: Option<&Remembered>, now: u64) -> Due {
        decide(set(wanted), [(&host(), entry)].into_iter(), DAY, Timestamp::from_seconds(now))
    }

    #[test]
    fn nothing_is_sent_while_the_acknowledged_addresses_stand_and_are_fresh() {
        let good = ReturnCode::Good(AddressSet::EMPTY);
        let entry = heard("192.0.2.1,2001:db8::1", good, 1000);
        assert_eq!(due("192.0.2.1,2001:db8::1", Some(&entry), 1060), Due::No(Duration::from_secs(60)));
        assert_eq!(
            due("192.0.2.1", Some(&entry), 1000),
            Due::No(Duration::ZERO),
            "a family that is gone stays untouched"
        );
        assert_eq!(due("192.0.2.2", Some(&entry), 1060), Due::Yes(Why::Changed(host())));
        assert_eq!(due("192.0.2.1", None, 1060), Due::Yes(Why::NotAcknowledged(host())));
        assert_eq!(due("192.0.2.1", Some(&entry), 1000 + 86_400), Due::Yes(Why::Refresh(DAY)));
        assert_eq!(due("192.0.2.1", Some(&entry), 999), Due::Yes(Why::ClockSetBack));
    }

    #[test]
    fn a_refusal_after_an_acknowledgement_is_asked_about_again() {
        let mut entry = heard("192.0.2.1", ReturnCode::NoChg(AddressSet::EMPTY), 1000);
        entry.note(set("192.0.2.2"), &ReturnCode::NineOneOne, Timestamp::from_seconds(1010));
        assert_eq!(due("192.0.2.2", Some(&entry), 1020), Due::Yes(Why::Changed(host())));
        assert_eq!(
            due("192.0.2.1", Some(&entry), 1020),
            Due::Yes(Why::NotAcknowledged(host())),
            "the gateway recorded .2"
        );
    }

    #[test]
    fn spans_are_short() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (172_800, "2 days")] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
