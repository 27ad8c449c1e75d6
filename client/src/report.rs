//! How an update ended: lines for people, one object for scripts, an exit code for schedulers.

use std::fmt;
use std::time::Duration;

use nicgate_protocol::{AddressSet, DeviceId, Family, ReturnCode};
use serde_json::{Value, json};

use crate::choose::Judged;
use crate::reply::{Heard, HostResult, Verdict};
use crate::schedule::{Span, Why};

/// How an update ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// What came of it.
    pub ending: Ending,
    /// Every address found, with what became of it.
    pub judged: Vec<Judged>,
    /// What people should hear although it changed nothing: full sentences.
    pub notes: Vec<String>,
}

/// What came of an update.
#[derive(Clone, Debug)]
pub enum Ending {
    /// Another instance is at work with the same state file and reports for itself.
    Busy,
    /// The resident client looked so long ago, and all was well.
    LeftToResident(Duration),
    /// The gateway knows already; it said so this long ago.
    NothingToDo(AddressSet, Duration),
    /// Sent, and answered.
    Sent(Sent),
}

/// An update that was answered.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Who asked.
    pub device: DeviceId,
    /// Who was asked.
    pub gateway: String,
    /// What was sent.
    pub addresses: AddressSet,
    /// Why.
    pub why: Why,
    /// What the gateway said about each host.
    pub heard: Heard,
}

impl Report {
    /// Nothing was looked at.
    #[must_use]
    pub fn without_work(ending: Ending) -> Self {
        Self { ending, judged: Vec::new(), notes: Vec::new() }
    }

    /// How long to wait before another try that may help: what the gateway wishes, or nothing in particular. `None`
    /// when no other try is called for.
    #[must_use]
    pub fn another_try(&self) -> Option<Option<Duration>> {
        let Ending::Sent(sent) = &self.ending else { return None };
        let passes = |result: &HostResult| matches!(result.verdict, Verdict::NotNow | Verdict::Unconfirmed);
        sent.heard.results.iter().any(passes).then_some(sent.heard.retry_after)
    }

    /// How long the gateway wants to be left alone.
    #[must_use]
    pub fn quiet(&self) -> Option<Duration> {
        if let Ending::Sent(sent) = &self.ending { sent.heard.retry_after } else { None }
    }

    /// The exit code of `update`: that of the host that needs a person most.
    ///
    /// 0 every host points where it should, or nothing had to be done; 5 refused; 6 the gateway has it, the DNS does
    /// not yet; 4 the gateway takes no update now.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let Ending::Sent(sent) = &self.ending else { return 0 };
        let has = |code: u8| sent.heard.results.iter().any(|result| result.verdict.exit_code() == code);
        [5, 6, 4].into_iter().find(|code| has(*code)).unwrap_or(0)
    }

    /// What the gateway said about each host; nothing when it was not asked.
    #[must_use]
    pub fn results(&self) -> &[HostResult] {
        if let Ending::Sent(sent) = &self.ending { &sent.heard.results } else { &[] }
    }

    /// One JSON object with the same content.
    #[must_use]
    pub fn json(&self) -> Value {
        let results: Vec<Value> = self.results().iter().map(result_json).collect();
        let (outcome, addresses) = match &self.ending {
            Ending::Busy => ("busy", AddressSet::EMPTY),
            Ending::LeftToResident(_) => ("left_to_resident", AddressSet::EMPTY),
            Ending::NothingToDo(addresses, _) => ("nothing_to_do", *addresses),
            Ending::Sent(sent) => ("sent", sent.addresses),
        };
        let addresses: Vec<String> = addresses.iter().map(|address| address.to_string()).collect();
        let mut object = json!({
            "outcome": outcome,
            "exit_code": self.exit_code(),
            "addresses": addresses,
            "results": results,
            "notes": self.notes,
        });
        if let Ending::Sent(sent) = &self.ending {
            object["gateway"] = json!(sent.gateway);
            object["why"] = json!(sent.why.to_string());
            if let Some(pause) = sent.heard.retry_after {
                object["retry_after_seconds"] = json!(pause.as_secs());
            }
        }
        object
    }
}

fn result_json(result: &HostResult) -> Value {
    let addresses: Vec<String> =
        result.code.addresses().unwrap_or_default().iter().map(|address| address.to_string()).collect();
    let verdict = match result.verdict {
        Verdict::Done => "done",
        Verdict::NotNow => "not_now",
        Verdict::ProviderRefused => "provider_refused",
        Verdict::Refused => "refused",
        Verdict::Unconfirmed => "unconfirmed",
    };
    json!({
        "hostname": result.hostname.as_str(),
        "code": result.code.word(),
        "verdict": verdict,
        "addresses": addresses,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ending {
            Ending::Busy => f.write_str("nothing done: another nicgate-client is at work with the same state file"),
            Ending::LeftToResident(age) => {
                write!(f, "nothing to do: the resident client is at work, and looked {} ago", Span(*age))
            }
            Ending::NothingToDo(addresses, age) => write!(
                f,
                "nothing to do: the gateway acknowledged {addresses} {} ago (--force sends anyway)",
                Span(*age)
            ),
            Ending::Sent(sent) => {
                for (index, result) in sent.heard.results.iter().enumerate() {
                    write!(f, "{}{}: {}", if index > 0 { "\n" } else { "" }, result.hostname, result.code)?;
                    if let Some(meaning) = meaning(result, sent) {
                        write!(f, "\n  {meaning}")?;
                    }
                }
                if let Some(pause) = sent.heard.retry_after.filter(|_| self.exit_code() != 0) {
                    write!(f, "\n  the gateway asks for {} of quiet before the next try", Span(pause))?;
                }
                Ok(())
            }
        }
    }
}

/// What a word means here and what to do next; nothing where it needs no words.
fn meaning(result: &HostResult, sent: &Sent) -> Option<String> {
    let (hostname, device, addresses) = (&result.hostname, &sent.device, sent.addresses);
    Some(match (result.verdict, result.code) {
        (Verdict::Done, code) => {
            // A family that was sent and comes back otherwise is pinned or served by somebody else.
            let answered = code.addresses().unwrap_or_default();
            let differs = |family| {
                answered.of(family).is_some()
                    && addresses.of(family).is_some()
                    && answered.of(family) != addresses.of(family)
            };
            if !Family::BOTH.into_iter().any(differs) {
                return None;
            }
            format!(
                "{addresses} was noted, but the gateway keeps another address for now (pinned, or another device is preferred)"
            )
        }
        (Verdict::Unconfirmed, _) => {
            "recorded and being pushed; the DNS provider has not confirmed it yet. The next run asks how it went"
                .to_owned()
        }
        (Verdict::ProviderRefused, _) => {
            "the gateway took it, its DNS provider did not: the gateway's log says why".to_owned()
        }
        (Verdict::NotNow, _) => {
            "the gateway takes no update now (too fast, or overloaded); nothing was recorded".to_owned()
        }
        (Verdict::Refused, ReturnCode::BadAuth) => format!(
            "the gateway does not accept this signature of device \"{device}\": compare `device` and the key with \
             `nicgate device show {device}`, and check this machine's clock"
        ),
        (Verdict::Refused, ReturnCode::NoHost) => format!(
            "{hostname} is not among the hosts of device \"{device}\", or the gateway serves no such zone: see \
             `nicgate device show {device}`"
        ),
        (Verdict::Refused, ReturnCode::DnsErr) => format!(
            "the zone does not take {addresses}: it is outside the ranges that the gateway publishes there \
             (`addresses` in gateway.toml)"
        ),
        (Verdict::Refused, ReturnCode::Abuse) => {
            "the gateway refuses this machine for good: ask its operator".to_owned()
        }
        (Verdict::Refused, ReturnCode::NotFqdn | ReturnCode::NumHost) => {
            "the gateway does not take `hosts` as they are".to_owned()
        }
        (
            Verdict::Refused,
            ReturnCode::BadAgent | ReturnCode::Good(_) | ReturnCode::NoChg(_) | ReturnCode::NineOneOne,
        ) => {
            "the gateway does not understand the request: is `gateway` the right URL, and is it as new as this client?"
                .to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nicgate_protocol::Hostname;

    fn report(verdicts: &[(Verdict, ReturnCode)]) -> Report {
        let results = verdicts
            .iter()
            .map(|(verdict, code)| HostResult {
                hostname: Hostname::parse("a.home.test").unwrap(),
                code: *code,
                verdict: *verdict,
            })
            .collect();
        let addresses = AddressSet { v4: Some("192.0.2.1".parse().unwrap()), v6: None };
        let heard = Heard { results, retry_after: Some(Duration::from_secs(90)) };
        let device = DeviceId::parse("laptop").unwrap();
        let ending = Ending::Sent(Sent { device, gateway: "https://g".to_owned(), addresses, why: Why::Asked, heard });
        Report { ending, judged: Vec::new(), notes: Vec::new() }
    }

    #[test]
    fn the_host_that_needs_a_person_most_gives_the_exit_code() {
        let good = (Verdict::Done, ReturnCode::Good(AddressSet::EMPTY));
        let refused = (Verdict::Refused, ReturnCode::NoHost);
        let unconfirmed = (Verdict::Unconfirmed, ReturnCode::NineOneOne);
        let not_now = (Verdict::NotNow, ReturnCode::NineOneOne);
        for (verdicts, code) in [
            (&[good][..], 0),
            (&[good, refused], 5),
            (&[unconfirmed, refused], 5),
            (&[good, unconfirmed], 6),
            (&[(Verdict::ProviderRefused, ReturnCode::DnsErr)], 6),
            (&[not_now], 4),
        ] {
            assert_eq!(report(verdicts).exit_code(), code, "{verdicts:?}");
        }
    }

    #[test]
    fn a_success_is_one_line_and_a_refusal_says_what_to_do() {
        let answered = |text: &str| ReturnCode::parse(text).unwrap();
        assert_eq!(report(&[(Verdict::Done, answered("good 192.0.2.1"))]).to_string(), "a.home.test: good 192.0.2.1");
        let pinned = report(&[(Verdict::Done, answered("nochg 192.0.2.9"))]).to_string();
        assert!(pinned.contains("pinned"), "{pinned}");
        let refused = report(&[(Verdict::Refused, ReturnCode::BadAuth)]).to_string();
        assert!(refused.contains("nicgate device show laptop") && refused.contains("1 min of quiet"), "{refused}");
    }

    #[test]
    fn scripts_get_the_same_in_json() {
        let json = report(&[(Verdict::Done, ReturnCode::parse("good 192.0.2.1").unwrap())]).json();
        assert_eq!(json["outcome"], "sent");
        assert_eq!(json["exit_code"], 0);
        assert_eq!(json["retry_after_seconds"], 90);
        assert_eq!(json["results"][0]["hostname"], "a.home.test");
        assert_eq!(json["results"][0]["code"], "good");
        assert_eq!(json["results"][0]["addresses"][0], "192.0.2.1");
    }
}
