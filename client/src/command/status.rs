//! `status`: what is scheduled, how it went the last time, and what the gateway was last told. Changes nothing.
//!
//! Exit codes: 0 all is well, 1 something is missing, switched off, or ended otherwise than it should.

use std::fmt;

use nicgate_protocol::{AddressSet, Hostname, Timestamp};
use serde_json::{Value, json};

use crate::command::install::{Surroundings, ask, standing};
use crate::lease::Resident;
use crate::schedule::Span;
use crate::settings::Settings;
use crate::state::{Remembered, State};
use crate::task::place::{Place, Scope};
use crate::task::{Answer, Ended, Job, Told, Unfit};

/// What the resident client does when there is none.
const NOT_RUNNING: &str = "not running";

/// What was found.
#[derive(Debug)]
pub struct Status {
    jobs: Vec<(Job, Answer)>,
    state: StateView,
}

/// What is remembered, as lines for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateView {
    /// In the order in which they are printed.
    pub lines: Vec<StateLine>,
}

/// One thing that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateLine {
    /// What it is about: a hostname, a gateway.
    pub about: String,
    /// A part of a sentence.
    pub says: String,
    /// Whether that is as it should be.
    pub is_fine: bool,
}

impl StateView {
    /// What is remembered about every host of the settings.
    #[must_use]
    pub fn of(state: &State, settings: &Settings, now: Timestamp) -> Self {
        let mut lines: Vec<StateLine> = settings.hosts.iter().map(|host| Self::of_host(state, host, now)).collect();
        let urls: Vec<String> = settings.gateways.iter().map(ToString::to_string).collect();
        for silence in state.silent().iter().filter(|silence| urls.contains(&silence.gateway)) {
            let for_long = Span(now.since(Timestamp::from_seconds(silence.since)));
            lines.push(StateLine {
                about: silence.gateway.clone(),
                says: format!("silent for {for_long}, {} tries", silence.failures),
                is_fine: settings.gateways.len() > 1,
            });
        }
        let is_known = |name: &&str| settings.uplinks.iter().any(|uplink| uplink.name == *name);
        if let Some(uplink) = state.uplinks().current().filter(is_known) {
            lines.push(StateLine { about: "uplink".to_owned(), says: format!("{uplink} is in use"), is_fine: true });
        }
        let (says, is_fine) = match state.resident(now) {
            Resident::AtWork(age) => (format!("at work, looked {} ago", Span(age)), true),
            Resident::Failing => ("at work, but its updates fail".to_owned(), false),
            Resident::Silent(age) => (format!("stuck or dead: it has not come round for {}", Span(age)), false),
            Resident::None => (NOT_RUNNING.to_owned(), true),
        };
        lines.push(StateLine { about: "resident client".to_owned(), says, is_fine });
        if let Some(last) = state.last() {
            let age = Span(now.since(Timestamp::from_seconds(last.at)));
            let says = format!("{age} ago, exit code {}: {}", last.exit_code, last.message.replace('\n', " "));
            lines.push(StateLine { about: "last update".to_owned(), says, is_fine: last.exit_code == 0 });
        }
        Self { lines }
    }

    /// Nothing is known, because the configuration cannot be used.
    #[must_use]
    pub fn without_settings(why: &str) -> Self {
        let says = why.lines().next().unwrap_or_default().to_owned();
        Self { lines: vec![StateLine { about: "configuration".to_owned(), says, is_fine: false }] }
    }

    fn of_host(state: &State, hostname: &Hostname, now: Timestamp) -> StateLine {
        let entry = state.newest(hostname);
        let is_fine = entry.is_some_and(Remembered::is_acknowledged);
        let says = match entry.map(|entry| (entry, entry.acknowledged(), entry.acknowledged_at())) {
            None | Some((_, AddressSet::EMPTY, _)) => "no gateway has acknowledged it yet".to_owned(),
            Some((entry, addresses, at)) => {
                let age = Span(now.since(at));
                let since = if is_fine { "" } else { "; the newest update is not acknowledged" };
                format!("{addresses} at {}, acknowledged {age} ago ({at}){since}", entry.gateway())
            }
        };
        StateLine { about: hostname.to_string(), says, is_fine }
    }
}

/// Where a look has to be taken: at the place that has something installed, the system's before the person's.
///
/// # Errors
/// When the scheduler has no such place.
pub fn place(scope: Scope, around: &Surroundings<'_>) -> Result<Place, Unfit> {
    let standing = standing(around);
    if scope == Scope::Natural
        && let Ok(system) = Place::of(around.scheduler, Scope::System, None, &standing)
        && system.files(Job::Update).iter().any(|file| file.exists())
    {
        return Ok(system);
    }
    Place::of(around.scheduler, scope, None, &standing)
}

/// Asks the scheduler about both jobs.
#[must_use]
pub fn look(place: &Place, mut state: StateView, around: &Surroundings<'_>) -> Status {
    let jobs: Vec<(Job, Answer)> = Job::BOTH.into_iter().map(|job| (job, ask(place, job, around))).collect();
    // A resident client that need not be there may be missing; one that is installed may not.
    if jobs.iter().any(|(job, answer)| *job == Job::Resident && matches!(answer, Answer::There(_))) {
        state.lines.iter_mut().filter(|line| line.says == NOT_RUNNING).for_each(|line| line.is_fine = false);
    }
    Status { jobs, state }
}

impl Status {
    /// 0 all is well, 1 it is not.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let is_fine = self.jobs.iter().all(|(job, answer)| is_fine(*job, answer));
        u8::from(!is_fine || self.state.lines.iter().any(|line| !line.is_fine))
    }

    /// One JSON object with the same content.
    #[must_use]
    pub fn json(&self) -> Value {
        let jobs = self.jobs.iter().map(|(job, answer)| job_json(*job, answer)).collect::<Vec<_>>();
        let line = |line: &StateLine| json!({ "about": line.about, "says": line.says, "is_fine": line.is_fine });
        let state = self.state.lines.iter().map(line).collect::<Vec<_>>();
        json!({ "exit_code": self.exit_code(), "jobs": jobs, "state": state })
    }
}

/// The resident one need not be there.
pub(super) fn is_fine(job: Job, answer: &Answer) -> bool {
    match answer {
        Answer::Missing => job == Job::Resident,
        Answer::Denied | Answer::Unclear(_) => false,
        Answer::There(None) => true,
        Answer::There(Some(told)) => told.is_on != Some(false) && told.last.as_ref().is_none_or(|last| last.is_fine),
    }
}

fn job_json(job: Job, answer: &Answer) -> Value {
    let none = Told::default();
    let (presence, told) = match answer {
        Answer::Denied => ("denied", &none),
        Answer::Missing => ("missing", &none),
        Answer::Unclear(_) => ("unclear", &none),
        Answer::There(told) => ("there", told.as_ref().unwrap_or(&none)),
    };
    let said = if let Answer::Unclear(said) = answer { Some(said) } else { None };
    json!({
        "job": job.name(),
        "presence": presence,
        "said": said,
        "is_on": told.is_on,
        "last_result": told.last.as_ref().map(|last| &last.words),
        "last_run": told.last_run,
        "next_run": told.next_run,
        "is_fine": is_fine(job, answer),
    })
}

/// A job as a line of the answer.
pub(super) fn job_line(job: Job, answer: &Answer) -> String {
    let name = job.name();
    let told = match answer {
        Answer::Denied => {
            return format!("{name}: it is there, but this account may not look; repeat as administrator or with sudo");
        }
        Answer::Missing if job == Job::Resident => return format!("{name}: not installed, and need not be"),
        Answer::Missing => return format!("{name}: not installed; `nicgate-client install` does that"),
        Answer::Unclear(said) => return format!("{name}: the scheduler does not say: {said}"),
        Answer::There(None) => {
            return format!("{name}: the task is registered, but the scheduler tells nothing about it");
        }
        Answer::There(Some(told)) => told,
    };
    let mut line = format!("{name}: {}", if told.is_on == Some(false) { "switched off" } else { "installed" });
    if let Some(Ended { words, .. }) = &told.last {
        line.push_str(&format!("; last: {words}"));
        told.last_run.iter().for_each(|when| line.push_str(&format!(" ({when})")));
    }
    told.next_run.iter().for_each(|when| line.push_str(&format!("; next: {when}")));
    line
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs = self.jobs.iter().map(|(job, answer)| job_line(*job, answer));
        let lines = self.state.lines.iter().map(|line| format!("{}: {}", line.about, line.says));
        f.write_str(&jobs.chain(lines).collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &str, is_fine: bool, is_on: bool) -> Answer {
        let last = Some(Ended { words: words.to_owned(), is_fine });
        let (last_run, next_run) = (Some("03:50".to_owned()), Some("04:00".to_owned()));
        Answer::There(Some(Told { is_on: Some(is_on), last, last_run, next_run }))
    }

    fn status(update: Answer, resident: Answer, is_fine: bool) -> Status {
        let line = StateLine { about: "a.home.test".to_owned(), says: "192.0.2.1".to_owned(), is_fine };
        Status { jobs: vec![(Job::Update, update), (Job::Resident, resident)], state: StateView { lines: vec![line] } }
    }

    #[test]
    fn anything_wrong_gives_one() {
        let good = || told("good", true, true);
        for (update, resident, is_acknowledged, code) in [
            (good(), Answer::Missing, true, 0),
            (good(), good(), true, 0),
            (Answer::There(None), Answer::Missing, true, 0),
            (good(), Answer::Missing, false, 1),
            (Answer::Missing, Answer::Missing, true, 1),
            (told("refused", false, true), Answer::Missing, true, 1),
            (told("good", true, false), Answer::Missing, true, 1),
            (good(), told("crashed", false, true), true, 1),
            (Answer::Denied, Answer::Missing, true, 1),
            (Answer::Unclear("?".to_owned()), Answer::Missing, true, 1),
        ] {
            let status = status(update, resident, is_acknowledged);
            assert_eq!(status.exit_code(), code, "{status}");
            assert_eq!(status.json()["exit_code"], code);
        }
    }

    #[test]
    fn people_read_what_scripts_read() {
        let status = status(told("good", true, true), Answer::Missing, true);
        assert_eq!(
            status.to_string(),
            "update: installed; last: good (03:50); next: 04:00\nresident: not installed, and need not be\n\
             a.home.test: 192.0.2.1"
        );
        let json = status.json();
        assert_eq!((&json["jobs"][0]["last_result"], &json["jobs"][0]["next_run"]), (&json!("good"), &json!("04:00")));
        assert_eq!(json["jobs"][1]["presence"], "missing");
        assert_eq!(json["state"][0]["about"], "a.home.test");
    }
}
