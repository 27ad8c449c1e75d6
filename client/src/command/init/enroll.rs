//! The exchange of a one-time code for the key: asks, and says in words what the gateway meant.

use std::time::Duration;

use nicgate_protocol::enrollment::{Invitation, PATH};
use nicgate_protocol::hostname::HostPattern;
use nicgate_protocol::secret::Key;
use nicgate_protocol::{Hostname, ReturnCode, Secret};
use serde::Deserialize;

use super::failure::Failure;
use crate::base_url::BaseUrl;
use crate::gateway;
use crate::http::{Answer, Caller, HttpFault};
use crate::reply::{self, NotOurs};
use crate::schedule::Span;
use crate::settings::{Trust, key};
use crate::way::Way;

/// How long a gateway may take to connect, and again to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the gateway gave for the code.
pub(super) struct Granted {
    /// What signs.
    pub(super) key: Key,
    /// The names that the device may touch.
    pub(super) hosts: Vec<Hostname>,
    /// Names below which it may touch all: `lan.example.com` for `*.lan.example.com`.
    pub(super) bases: Vec<String>,
}

/// Shows the code.
///
/// # Errors
/// When the gateway cannot be asked or does not take the code.
pub(super) async fn exchange(invitation: &Invitation, url: &BaseUrl, trust: &Trust) -> Result<Granted, Failure> {
    let caller = Caller::new(trust, Way::ANY, PATIENCE);
    let ask = async || {
        let mut line = caller.connect(url, None).await?;
        line.ask(&gateway::post(url, PATH, invitation.form().to_string())).await
    };
    // The gateway gives the same answer to the same code for a while, so that one that was lost can be heard again.
    let mut asked = ask().await;
    if matches!(&asked, Err(fault) if fault.may_have_been_heard()) {
        asked = ask().await;
    }
    let answer = asked.map_err(|fault| unheard(url, &fault))?;
    read(answer, invitation, url)
}

fn unheard(url: &BaseUrl, fault: &HttpFault) -> Failure {
    let cure = if fault.may_have_been_heard() {
        "the code may be used already: repeat the same command within 10 minutes from this network, and the gateway \
         gives the same answer once more"
    } else {
        "nothing was written, and the code is as good as before; check the network and repeat the command"
    };
    Failure::new(4, format!("no answer from {url}: {fault}"), cure)
}

#[derive(Deserialize)]
struct Body {
    device: String,
    key: String,
    hosts: Vec<String>,
}

/// What the answer means.
fn read(answer: Answer, invitation: &Invitation, url: &BaseUrl) -> Result<Granted, Failure> {
    if answer.status != 200 {
        return Err(refused(&answer, url));
    }
    let not_ours = || {
        let what = format!("{url} is {}", NotOurs::Form(200));
        Failure::new(4, what, "nothing was written; is the machine behind a portal that wants a login first?")
    };
    // There is a key in it.
    let body = Secret::new(answer.body);
    let body: Body = serde_json::from_slice(body.expose()).map_err(|_| not_ours())?;
    let key = key::parse(&Secret::new(body.key)).map_err(|_| not_ours())?;
    if body.device != invitation.device().as_str() {
        return Err(not_ours());
    }
    let mut granted = Granted { key, hosts: Vec::new(), bases: Vec::new() };
    for pattern in body.hosts.iter().filter_map(|text| HostPattern::parse(text).ok()) {
        match pattern.wildcard_base() {
            Some(base) => granted.bases.push(base.to_owned()),
            None => granted.hosts.push(pattern.as_hostname().clone()),
        }
    }
    Ok(granted)
}

fn refused(answer: &Answer, url: &BaseUrl) -> Failure {
    // A refusal speaks of no host; the reader wants one to put the word at.
    let host = Hostname::parse("any.invalid").into_iter().collect::<Vec<_>>();
    let code = match reply::read(answer, &host) {
        Ok(heard) => heard.results.first().map(|result| result.code),
        Err(why) => {
            let what = format!("{url} does not answer as a nicgate gateway: {why}");
            return Failure::new(4, what, "nothing was written, and the code is as good as before");
        }
    };
    let pause = answer.retry_after.map_or_else(|| "a while".to_owned(), |pause| Span(pause).to_string());
    match (answer.status, code) {
        (401, _) => Failure::new(
            5,
            format!("{url} does not take the code: it is used, expired, or replaced by a newer line"),
            "ask the gateway's operator for a new line: `nicgate device invite ID` makes it",
        ),
        (429, _) => Failure::new(
            4,
            format!("{url} takes no code from this network now: too many that do not hold came from here"),
            format!("try again in {pause}; the code is as good as before"),
        ),
        (503, _) => Failure::new(
            4,
            format!("{url} cannot exchange codes at the moment"),
            format!("try again in {pause}; the code is as good as before"),
        ),
        (404 | 405, Some(ReturnCode::BadAgent)) => Failure::new(
            5,
            format!("{url} is a nicgate gateway that does not exchange codes: it is older than this line's form"),
            "ask its operator to update it; or use --device and --key-file with what `nicgate device show` prints",
        ),
        (status, _) => Failure::new(
            5,
            format!("{url} does not understand the request (status {status})"),
            "nothing was written; is this program as new as the gateway?",
        ),
    }
}

#[cfg(test)]
mod tests {
    use nicgate_protocol::DeviceId;
    use nicgate_protocol::enrollment::CODE_BYTES;

    use super::*;

    const KEY: &str = "TMXYMpMRxDQBdZRC6o8NNl9Ym-raN3GbmvvOE4e56dg";

    fn read(status: u16, body: &str) -> Result<Granted, Failure> {
        let device = DeviceId::parse("laptop").unwrap();
        let invitation = Invitation::new("https://g.example", device, Secret::new([0; CODE_BYTES]), None).unwrap();
        let content_type = Some("application/json".to_owned());
        let answer = Answer { status, content_type, body: body.as_bytes().to_vec(), ..Answer::default() };
        super::read(answer, &invitation, &BaseUrl::parse("https://g.example").unwrap())
    }

    #[test]
    fn names_and_patterns_are_told_apart() {
        let body = format!(
            "{{\"device\":\"laptop\",\"key\":\"{KEY}\",\"hosts\":[\"*.lan.home.test\",\"a.home.test\",\"?\"],\"x\":1}}"
        );
        let granted = read(200, &body).unwrap_or_else(|failure| panic!("{failure:?}"));
        assert_eq!(granted.key.text(), KEY);
        assert_eq!(granted.hosts, [Hostname::parse("a.home.test").unwrap()]);
        assert_eq!(granted.bases, ["lan.home.test"]);
    }

    #[test]
    fn what_is_no_key_for_us_is_none() {
        for body in [
            String::new(),
            "<html>".to_owned(),
            format!("{{\"device\":\"other\",\"key\":\"{KEY}\",\"hosts\":[]}}"),
            "{\"device\":\"laptop\",\"key\":\"short\",\"hosts\":[]}".to_owned(),
        ] {
            assert_eq!(read(200, &body).err().map(|failure| failure.exit_code), Some(4), "{body}");
        }
    }

    #[test]
    fn every_refusal_has_its_cure() {
        for (status, word, exit_code, part) in [
            (401, "badauth", 5, "nicgate device invite"),
            (429, "911", 4, "try again in a while"),
            (503, "911", 4, "as good as before"),
            (404, "badagent", 5, "update it"),
            (400, "badagent", 5, "as new as"),
        ] {
            let body = format!("{{\"results\":[{{\"code\":\"{word}\"}}]}}");
            let failure = read(status, &body).err().unwrap();
            assert_eq!(failure.exit_code, exit_code, "{status}");
            assert!(failure.cure.as_deref().unwrap().contains(part), "{failure:?}");
        }
        // A portal's page is no refusal.
        for status in [302, 401, 404, 503] {
            assert_eq!(read(status, "<html>").err().unwrap().exit_code, 4, "{status}");
        }
    }
}
