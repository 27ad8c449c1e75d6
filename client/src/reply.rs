//! What the gateway's answer means. Pure and strict: only JSON of our own protocol with one result for each host
//! counts as an answer about hosts; a captive portal's friendly page does not.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use nicgate_protocol::address::unmapped;
use nicgate_protocol::{AddressSet, Hostname, ReturnCode, Timestamp};
use serde::Deserialize;

use crate::http::Answer;

/// What the gateway said about each host, in the order they were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// One for each host.
    pub results: Vec<HostResult>,
    /// How long the gateway wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// What the gateway said about one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostResult {
    /// The host.
    pub hostname: Hostname,
    /// The word, with its addresses.
    pub code: ReturnCode,
    /// What the word means here.
    pub verdict: Verdict,
}

/// What a word means, given the status it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The name points where it should.
    Done,
    /// The gateway takes no update now: too fast, or overloaded. Nothing was recorded.
    NotNow,
    /// The DNS provider refused: the operator's problem.
    ProviderRefused,
    /// Refused: somebody has to change something before it can work.
    Refused,
    /// Recorded and being pushed, not yet confirmed by the DNS provider.
    Unconfirmed,
}

impl Verdict {
    /// The exit code for one host: 0, 4, 5 or 6.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotNow => 4,
            Self::Refused => 5,
            Self::ProviderRefused | Self::Unconfirmed => 6,
        }
    }
}

/// Why an answer is none of ours. Nothing is known about the update then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOurs {
    /// It sends us elsewhere.
    Redirect(String),
    /// Not JSON of our form.
    Form(u16),
    /// Not one result for each host.
    Hosts,
    /// A word and a status that do not go together.
    Contradiction(u16, &'static str),
}

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redirect(place) => {
                write!(f, "it redirects to {place}; redirects are not followed: write the right place into `gateway`")
            }
            Self::Form(status) => write!(
                f,
                "it answered with status {status} and something else than nicgate's JSON; is `gateway` the right URL, \
                 and is no captive portal or proxy in between?"
            ),
            Self::Hosts => f.write_str("its answer does not hold one result for each host that was sent"),
            Self::Contradiction(status, word) => {
                write!(f, "it answered \"{word}\" with status {status}, which do not go together")
            }
        }
    }
}

impl std::error::Error for NotOurs {}

/// The body. Fields that are not named here may come with later gateways.
#[derive(Deserialize)]
struct Body {
    results: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    /// Missing or empty when the line speaks for the whole request.
    #[serde(default)]
    hostname: String,
    code: String,
    #[serde(default)]
    addresses: Vec<IpAddr>,
}

/// Reads the answer to an update of `hosts`.
///
/// # Errors
/// When the answer is not one that a nicgate gateway gives.
pub fn read(answer: &Answer, hosts: &[Hostname]) -> Result<Heard, NotOurs> {
    if (300..400).contains(&answer.status) {
        let place: String =
            answer.location.as_deref().unwrap_or("nowhere").chars().filter(|c| !c.is_control()).collect();
        return Err(NotOurs::Redirect(place.chars().take(200).collect()));
    }
    let is_json = answer
        .content_type
        .as_deref()
        .is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json"));
    let body: Option<Body> = if is_json { serde_json::from_slice(&answer.body).ok() } else { None };
    let Some(Body { results: lines }) = body else { return Err(NotOurs::Form(answer.status)) };

    let results = match lines.as_slice() {
        [line] if line.hostname.is_empty() => of_request(answer.status, line, hosts)?,
        lines => of_hosts(answer.status, lines, hosts)?,
    };
    Ok(Heard { results, retry_after: answer.retry_after })
}

/// One line for the whole request: never a success, since that is said host by host.
fn of_request(status: u16, line: &Line, hosts: &[Hostname]) -> Result<Vec<HostResult>, NotOurs> {
    let code = line.code(status)?;
    let verdict = match verdict(status, &code)? {
        Verdict::Done => return Err(NotOurs::Hosts),
        Verdict::Unconfirmed => Verdict::NotNow,
        verdict @ (Verdict::NotNow | Verdict::ProviderRefused | Verdict::Refused) => verdict,
    };
    Ok(hosts.iter().map(|hostname| HostResult { hostname: hostname.clone(), code, verdict }).collect())
}

/// One line for each host, in any order.
fn of_hosts(status: u16, lines: &[Line], hosts: &[Hostname]) -> Result<Vec<HostResult>, NotOurs> {
    let mut by_name = BTreeMap::new();
    for line in lines {
        let hostname = Hostname::parse(&line.hostname).map_err(|_| NotOurs::Hosts)?;
        if by_name.insert(hostname, line).is_some() {
            return Err(NotOurs::Hosts);
        }
    }
    if by_name.len() != hosts.len() {
        return Err(NotOurs::Hosts);
    }
    // When all failed, the status is that of one of them, and the others' words tell for themselves.
    let fits = |line: &&Line| line.code(status).is_ok_and(|code| verdict(status, &code).is_ok());
    let status_of_one = lines.len() > 1 && lines.iter().any(|line| fits(&line));
    let result = |hostname: &Hostname| {
        let line = by_name.get(hostname).ok_or(NotOurs::Hosts)?;
        let code = line.code(status)?;
        let verdict = match verdict(status, &code) {
            Err(_) if status_of_one && !code.is_success() => verdict(207, &code)?,
            ended => ended?,
        };
        Ok(HostResult { hostname: hostname.clone(), verdict, code })
    };
    hosts.iter().map(result).collect()
}

impl Line {
    fn code(&self, status: u16) -> Result<ReturnCode, NotOurs> {
        let mut addresses = AddressSet::EMPTY;
        for address in &self.addresses {
            match unmapped(*address) {
                IpAddr::V4(v4) => addresses.v4 = Some(v4),
                IpAddr::V6(v6) => addresses.v6 = Some(v6),
            }
        }
        match ReturnCode::parse(&self.code).ok_or(NotOurs::Form(status))? {
            ReturnCode::Good(_) => Ok(ReturnCode::Good(addresses)),
            ReturnCode::NoChg(_) => Ok(ReturnCode::NoChg(addresses)),
            code @ (ReturnCode::BadAuth
            | ReturnCode::NoHost
            | ReturnCode::NotFqdn
            | ReturnCode::NumHost
            | ReturnCode::DnsErr
            | ReturnCode::NineOneOne
            | ReturnCode::Abuse
            | ReturnCode::BadAgent) => Ok(code),
        }
    }
}

/// The table of answers, read from the client's side. 207 says that hosts ended differently, so there the word alone
/// must tell: a refused address and a refusing provider share `dnserr`, and the second is the likelier when the same
/// address was good for another host.
fn verdict(status: u16, code: &ReturnCode) -> Result<Verdict, NotOurs> {
    Ok(match (code, status) {
        (ReturnCode::Good(_) | ReturnCode::NoChg(_), 200 | 207) => Verdict::Done,
        (ReturnCode::BadAuth, 207 | 401) => Verdict::Refused,
        (ReturnCode::NoHost, 207 | 404) => Verdict::Refused,
        (ReturnCode::NotFqdn | ReturnCode::NumHost, 207 | 422) => Verdict::Refused,
        (ReturnCode::DnsErr, 422) => Verdict::Refused,
        (ReturnCode::DnsErr, 207 | 502 | 503) => Verdict::ProviderRefused,
        (ReturnCode::NineOneOne, 429) => Verdict::NotNow,
        (ReturnCode::NineOneOne, 207 | 503) => Verdict::Unconfirmed,
        (ReturnCode::Abuse, 207 | 403) => Verdict::Refused,
        (ReturnCode::BadAgent, 400..=499) => Verdict::Refused,
        (code, _) => return Err(NotOurs::Contradiction(status, code.word())),
    })
}

/// A date as HTTP writes it (RFC 9110 5.6.7, IMF-fixdate): `Sun, 06 Nov 1994 08:49:37 GMT`.
#[must_use]
pub fn date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| name == month)? + 1;
    let time: Vec<&str> = time.split(':').collect();
    // Everything but the month has its length; what is no digit is refused by whoever reads the whole.
    let is_whole = |part: &&str| part.len() == 2;
    if time.len() != 3 || year.len() != 4 || !is_whole(day) || !time.iter().all(is_whole) {
        return None;
    }
    Timestamp::from_basic(&format!("{year}{month:02}{day}T{}Z", time.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<Hostname> {
        text.split(' ').map(|name| Hostname::parse(&format!("{name}.home.test")).unwrap()).collect()
    }

    fn answer(status: u16, body: &str) -> Answer {
        let content_type = Some("application/json; charset=utf-8".to_owned());
        Answer { status, content_type, body: body.as_bytes().to_vec(), ..Answer::default() }
    }

    /// `a good 192.0.2.1|b nohost` becomes the JSON that the gateway writes; a name of `-` is left out.
    fn json(lines: &str) -> String {
        let line = |line: &str| {
            let mut words = line.split(' ');
            let (name, code) = (words.next().unwrap(), words.next().unwrap());
            let hostname = if name == "-" { String::new() } else { format!("\"hostname\":\"{name}.home.test\",") };
            let addresses = words.next().map_or(String::new(), |list| {
                let list: Vec<String> = list.split(',').map(|address| format!("\"{address}\"")).collect();
                format!(",\"addresses\":[{}]", list.join(","))
            });
            format!("{{{hostname}\"code\":\"{code}\"{addresses},\"later\":1}}")
        };
        format!("{{\"results\":[{}]}}", lines.split('|').map(line).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn every_answer_of_the_table_has_its_meaning() {
        for (status, lines, verdicts) in [
            (200, "a good 192.0.2.1", &[Verdict::Done][..]),
            (200, "a nochg 192.0.2.1,2001:db8::1", &[Verdict::Done]),
            (200, "b nochg 192.0.2.1|a good 192.0.2.1", &[Verdict::Done, Verdict::Done]),
            (207, "a good 192.0.2.1|b nohost", &[Verdict::Done, Verdict::Refused]),
            (207, "a good 192.0.2.1|b 911", &[Verdict::Done, Verdict::Unconfirmed]),
            (207, "a dnserr|b good 192.0.2.1", &[Verdict::ProviderRefused, Verdict::Done]),
            (401, "- badauth", &[Verdict::Refused]),
            (404, "a nohost|b nohost", &[Verdict::Refused, Verdict::Refused]),
            (502, "a dnserr|b nohost", &[Verdict::ProviderRefused, Verdict::Refused]),
            (404, "a nohost|b 911", &[Verdict::Refused, Verdict::Unconfirmed]),
            (422, "a notfqdn|b dnserr", &[Verdict::Refused, Verdict::Refused]),
            (422, "a notfqdn", &[Verdict::Refused]),
            (422, "- numhost", &[Verdict::Refused]),
            (422, "a dnserr", &[Verdict::Refused]),
            (403, "- abuse", &[Verdict::Refused]),
            (405, "- badagent", &[Verdict::Refused]),
            (502, "a dnserr", &[Verdict::ProviderRefused]),
            (503, "a 911", &[Verdict::Unconfirmed]),
            (503, "- 911", &[Verdict::NotNow]),
            (429, "- 911", &[Verdict::NotNow]),
            (429, "a 911|b 911", &[Verdict::NotNow, Verdict::NotNow]),
        ] {
            let hosts = if lines.contains("|") { hosts("a b") } else { hosts("a") };
            let heard =
                read(&answer(status, &json(lines)), &hosts).unwrap_or_else(|why| panic!("{status} {lines}: {why}"));
            let found: Vec<Verdict> = heard.results.iter().map(|result| result.verdict).collect();
            assert_eq!(found, verdicts, "{status} {lines}");
            assert!(heard.results.iter().map(|result| &result.hostname).eq(&hosts), "{status} {lines}");
        }
    }

    #[test]
    fn addresses_come_along() {
        let heard = read(&answer(200, &json("a good 192.0.2.1,2001:db8::1")), &hosts("a")).unwrap();
        assert_eq!(heard.results[0].code.to_string(), "good 192.0.2.1,2001:db8::1");
    }

    #[test]
    fn only_one_result_for_each_host_is_a_success() {
        for lines in ["- good", "b good", "a good|a good", "a good|b good|a good", "a good|- good"] {
            assert_eq!(read(&answer(200, &json(lines)), &hosts("a")), Err(NotOurs::Hosts), "{lines}");
        }
        assert_eq!(read(&answer(200, &json("a good")), &hosts("a b")), Err(NotOurs::Hosts));
        assert_eq!(read(&answer(200, "{\"results\":[]}"), &hosts("a")), Err(NotOurs::Hosts));
    }

    #[test]
    fn what_is_not_our_protocol_is_no_answer() {
        let mut page = answer(200, "<html>good nochg</html>");
        assert_eq!(read(&page, &hosts("a")), Err(NotOurs::Form(200)));
        page.body = json("a good").into_bytes();
        for kind in [None, Some("text/html"), Some("text/plain"), Some("application/jsonp")] {
            page.content_type = kind.map(str::to_owned);
            assert_eq!(read(&page, &hosts("a")), Err(NotOurs::Form(200)), "{kind:?}");
        }
        for body in [
            "",
            "good",
            "[]",
            "{\"results\":[{\"code\":\"perfect\"}]}",
            "{\"results\":[{\"hostname\":\"a.home.test\"}]}",
        ] {
            assert_eq!(read(&answer(200, body), &hosts("a")), Err(NotOurs::Form(200)), "{body}");
        }
        let moved = Answer { status: 301, location: Some("https://else.example/".to_owned()), ..Answer::default() };
        assert_eq!(read(&moved, &hosts("a")), Err(NotOurs::Redirect("https://else.example/".to_owned())));
    }

    #[test]
    fn a_success_with_the_status_of_a_failure_is_none() {
        for status in [201, 204, 400, 401, 500, 503] {
            assert_eq!(
                read(&answer(status, &json("a good")), &hosts("a")),
                Err(NotOurs::Contradiction(status, "good"))
            );
        }
        assert_eq!(read(&answer(200, &json("a nohost")), &hosts("a")), Err(NotOurs::Contradiction(200, "nohost")));
    }
}
