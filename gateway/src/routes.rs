//! Which page a request asks for: an update goes on its journey, the rest is small talk. Every update leaves one
//! line in the log that says what was sent, what we answered and why.

use std::fmt;
use std::time::Duration;

use ::http::header::USER_AGENT;
use ::http::{Method, StatusCode};
use nicgate_logic::answer::{Answer, Ending, Line};
use nicgate_logic::enrollment::Enrolled;
use nicgate_logic::screen::{RawRequest, check_http};
use nicgate_logic::{Now, Refusal};
use nicgate_protocol::update::{Endpoint, Parameters};
use nicgate_protocol::{AddressSet, ReturnCode, enrollment};

use crate::enrollment::{Declined, Known};
use crate::gateway::Gateway;
use crate::http::reply::{self, Dress, Reply};
use crate::http::{self, Answerer, Notice};
use crate::log::{Level, Value, cut};
use crate::{enrollment as enrolling, journey};

/// How much of a text from outside the log keeps, in bytes.
const LOGGED: usize = 120;

impl Answerer for Gateway {
    async fn answer(&self, raw: RawRequest) -> Reply {
        let now = self.desk.clock.now();
        let path = raw.target.path();
        match Endpoint::of_path(path) {
            Some(Endpoint::Update | Endpoint::Delete) => update(self, &raw, now).await,
            Some(page @ (Endpoint::CheckIp | Endpoint::MyIp)) => small_talk(&raw, |raw| match page {
                Endpoint::CheckIp => reply::check_ip(raw.peer),
                Endpoint::MyIp | Endpoint::Update | Endpoint::Delete => reply::my_ip(raw.peer),
            }),
            None => match path {
                enrollment::PATH => enroll(self, &raw, now).await,
                "/healthz" => small_talk(&raw, |_| reply::health(true)),
                // What exactly is wrong is for the operator's log, not for whoever asks.
                "/readyz" => small_talk(&raw, |_| reply::health(self.desk.store.trouble().is_none())),
                _ => update(self, &raw, now).await,
            },
        }
    }

    fn notice(&self, notice: Notice<'_>) {
        let (code, text) = (notice.error_code(), notice.to_string());
        match notice.level() {
            http::Level::Debug => self.log.say_of_stranger(code, &text, &[]),
            http::Level::Warning => self.log.say(Level::Warn, code, &text, &[]),
            http::Level::Error => self.log.say(Level::Error, code, &text, &[]),
        }
    }
}

/// How long a client that hears "not now" shall wait.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Pages that anybody may read, by GET.
fn small_talk(raw: &RawRequest, page: impl FnOnce(&RawRequest) -> Reply) -> Reply {
    let refusal = match check_http(raw) {
        Err(refusal) => refusal,
        Ok(()) if raw.method != Method::GET && raw.method != Method::HEAD => Refusal::BadMethod,
        Ok(()) => return page(raw),
    };
    reply::of_update(&Answer::from(refusal), Dress::choose(&raw.headers), RETRY_AFTER)
}

async fn update(gateway: &Gateway, raw: &RawRequest, now: Now) -> Reply {
    let answer = journey::answer(gateway, raw, now).await;
    let reply = reply::of_update(&answer, Dress::choose(&raw.headers), RETRY_AFTER);
    log_update(gateway, raw, &answer, reply.status, now);
    reply
}

async fn enroll(gateway: &Gateway, raw: &RawRequest, now: Now) -> Reply {
    let enrolled = enrolling::answer(gateway, raw, now).await;
    let reply = reply::of_enrolling(enrolled.as_ref().map_err(|declined| declined.ending), &raw.headers, RETRY_AFTER);
    match &enrolled {
        Ok(enrolled) => log_enrolled(gateway, raw, enrolled),
        Err(declined) => log_declined(gateway, raw, declined, reply.status, now),
    }
    reply
}

/// A right code that opens nothing is no stranger's: somebody has the line who should not, or had it read. That is told
/// beside whatever strangers cause, once a minute for each code.
fn log_declined(gateway: &Gateway, raw: &RawRequest, declined: &Declined, status: StatusCode, now: Now) {
    let is_new = |known: &&Known| gateway.limits.tell_of_code(&known.invite.digest, now).is_ok();
    let Some(known) = declined.known.as_ref().filter(is_new) else {
        return log_stranger(gateway, raw, &declined.ending, status);
    };
    let peer = AddressSet::from(raw.peer);
    let mut fields = vec![
        ("device", Value::Text(known.device.as_str())),
        ("peer", Value::Shown(&peer)),
        ("agent", Value::Text(agent(raw))),
        ("status", Value::Number(u64::from(status.as_u16()))),
    ];
    // In clear, this is the use.
    if let Some(used) = known.invite.used.as_ref().filter(|_| known.refusal == Refusal::CodeUsed) {
        fields.insert(1, ("first_use", Value::Shown(used)));
    }
    gateway.log.say(Level::Warn, known.refusal.error_code(), &known.refusal.to_string(), &fields);
}

/// Somebody holds a key from now on. The code is in no line.
fn log_enrolled(gateway: &Gateway, raw: &RawRequest, enrolled: &Enrolled) {
    let peer = AddressSet::from(raw.peer);
    let fields = [
        ("device", Value::Text(enrolled.device.id.as_str())),
        ("peer", Value::Shown(&peer)),
        ("agent", Value::Text(agent(raw))),
    ];
    let message = if enrolled.is_again { "the same answer once more" } else { "" };
    gateway.log.say(Level::Info, "enrolled", message, &fields);
}

fn agent(raw: &RawRequest) -> &str {
    raw.header(&USER_AGENT).map_or("", |agent| cut(agent, LOGGED))
}

/// Nobody proved who they are: one short line, and not more of them than a log can bear.
fn log_stranger(gateway: &Gateway, raw: &RawRequest, ending: &Ending, status: StatusCode) {
    let (peer, why) = (AddressSet::from(raw.peer), Why(ending));
    let fields = [
        ("error_code", Value::Text(ending.error_code().unwrap_or_default())),
        ("why", Value::Shown(&why)),
        ("peer", Value::Shown(&peer)),
        ("method", Value::Text(cut(raw.method.as_str(), 16))),
        ("path", Value::Shown(&SaidPath(raw.target.path()))),
        ("agent", Value::Text(agent(raw))),
        ("status", Value::Number(u64::from(status.as_u16()))),
    ];
    gateway.log.say_of_stranger("refused", "", &fields);
}

/// The line that answers: what did the router send, what did we say, why.
fn log_update(gateway: &Gateway, raw: &RawRequest, answer: &Answer, status: StatusCode, started: Now) {
    let log = &gateway.log;
    let took = gateway.desk.clock.uptime().saturating_sub(started.uptime);
    let peer = AddressSet::from(raw.peer);
    let peer = Value::Shown(&peer);
    let code = Value::Number(u64::from(status.as_u16()));
    let took = Value::Number(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));

    let Some(device) = &answer.device else { return log_stranger(gateway, raw, &answer.lines[0].ending, status) };

    let said = SaidAddresses(raw);
    let endings: Vec<(ReturnCode, Why<'_>)> =
        answer.lines.iter().map(|line| (line.ending.return_code(), Why(&line.ending))).collect();
    let rows: Vec<[(&'static str, Value<'_>); 4]> = endings
        .iter()
        .zip(&answer.lines)
        .map(|((code, why), line)| {
            [
                ("host", Value::Text(&line.hostname)),
                ("answer", Value::Shown(code)),
                ("error_code", Value::Text(line.ending.error_code().unwrap_or_default())),
                ("why", Value::Shown(why)),
            ]
        })
        .collect();
    // A success has neither of the last two.
    let told = |line: &Line| if line.ending.error_code().is_some() { 4 } else { 2 };
    let rows: Vec<&[(&'static str, Value<'_>)]> =
        rows.iter().zip(&answer.lines).map(|(row, line)| &row[..told(line)]).collect();
    let fields = [
        ("device", Value::Text(device.as_str())),
        ("peer", peer),
        ("sent", Value::Shown(&said)),
        ("hosts", Value::Rows(&rows)),
        ("agent", Value::Text(agent(raw))),
        ("status", code),
        ("took_us", took),
    ];
    let is_ours = answer.lines.iter().any(|line| matches!(line.ending, Ending::ProviderRefused | Ending::Fault(_)));
    if is_ours {
        log.say(Level::Warn, "update_failed", "", &fields);
    } else {
        log.say(Level::Info, "update", "", &fields);
    }
}

/// Why a line ended as it did, in the operator's words.
struct Why<'a>(&'a Ending);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ending::Refused(refusal) => refusal.fmt(f),
            Ending::ProviderRefused => f.write_str("the provider refused; `nicgate host show NAME` has its words"),
            Ending::Unconfirmed => f.write_str("recorded, and still being pushed when the reply was due"),
            Ending::Fault(_) => f.write_str("nothing was recorded; the error before this line says why"),
            Ending::Good(_) | Ending::NoChg(_) => Ok(()),
        }
    }
}

/// The path of a request that is none of ours may hold a secret: a query behind a wrong mark (`/nic/update&password=…`,
/// `/update%3Fpassword=…`), or a token where other services want it (`/update/name/token`). So of such a path only what
/// is a plain word is told: up to the first mark, and long words as `…`.
struct SaidPath<'a>(&'a str);

impl fmt::Display for SaidPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Shorter than any password or key of ours.
        const LONGEST_WORD: usize = 16;
        if Endpoint::of_path(self.0).is_some() {
            return f.write_str(cut(self.0, LOGGED));
        }
        let is_mark = |letter: char| !(letter.is_ascii_alphanumeric() || "/._-".contains(letter));
        let plain = self.0.split(is_mark).next().unwrap_or_default();
        for (index, word) in cut(plain, LOGGED).split('/').enumerate() {
            let gap = if index == 0 { "" } else { "/" };
            let word = if word.len() > LONGEST_WORD { "…" } else { word };
            write!(f, "{gap}{word}")?;
        }
        f.write_str(if plain.len() < self.0.len() { "…" } else { "" })
    }
}

/// The address parameters as they were sent. Never the raw query: it may hold a password.
struct SaidAddresses<'a>(&'a RawRequest);

impl fmt::Display for SaidAddresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TOLD: [&str; 11] =
            ["myip", "myipv4", "myipv6", "myip6", "ip", "ipv4", "ipv6", "ip6", "ip6addr", "ip6lanprefix", "offline"];
        let form = (self.0.method == Method::POST).then_some(&*self.0.body);
        let parameters = Parameters::read(self.0.target.query(), form);
        let mut gap = "";
        for (name, value) in parameters.iter() {
            if TOLD.iter().any(|told| told.eq_ignore_ascii_case(name)) {
                for piece in [gap, name, "=", cut(value, LOGGED)] {
                    f.write_str(piece)?;
                }
                gap = " ";
            }
        }
        if gap.is_empty() { f.write_str("no address") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_without_what_may_be_secret() {
        for (path, told) in [
            ("/nic/update", "/nic/update"),
            ("/%5C/nic/update", "/%5C/nic/update"),
            ("/wp-login.php", "/wp-login.php"),
            ("/", "/"),
            ("/nic/update&password=secret", "/nic/update…"),
            ("/%2Fupdate%3Fhostname=a&password=secret", "/…"),
            ("/update/home/z4Fp0FyyATBLKCc3sv7AxU", "/update/home/…"),
            ("/z4Fp0FyyATBLKCc3sv7AxU/x", "/…/x"),
            ("secret:word", "secret…"),
        ] {
            assert_eq!(SaidPath(path).to_string(), told);
        }
    }
}
