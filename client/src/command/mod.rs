//! The verbs, one file each. Here they are called, and what they end with is printed.
//!
//! Results go to standard output, complaints and warnings to standard error. No colours: nothing here is long enough
//! to need them.

pub mod arguments;
pub mod detect;
mod doctor;
pub mod init;
pub mod install;
pub mod run;
pub mod scheduled;
mod scheduling;
pub mod status;
pub mod update;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nicgate_protocol::Timestamp;
use serde_json::{Value, json};

use crate::command::arguments::{Order, Verb, Volume};
use crate::command::update::Role;
use crate::log;
use crate::outside::Outside;
use crate::report::{Ending, Report, Sent};
use crate::schedule::Span;
use crate::settings::{self, Settings};
use crate::state::{Last, State};
use crate::trouble::{Failed, Trouble};

/// Does what was ordered and prints how it ended. Returns the exit code.
pub async fn run(order: Order) -> u8 {
    let speaker = Speaker { is_json: order.is_json, volume: order.volume };
    let ended = match order.verb {
        Verb::Say(text) => {
            print(text);
            Ok(0)
        }
        Verb::Update(when, is_scheduled) => run_update(order.config, &speaker, when, is_scheduled).await,
        Verb::Detect(is_all) => run_detect(order.config, &speaker, is_all).await,
        Verb::Init(wanted) => return init::init(*wanted, order.config, &speaker).await,
        Verb::Doctor => return doctor::doctor(order.config, &speaker).await,
        Verb::Install(wanted) => return scheduling::install(order.config, wanted, &speaker),
        Verb::Uninstall(wanted) => return scheduling::uninstall(order.config, wanted, &speaker),
        Verb::Status(scope) => return scheduling::status(order.config, scope, &speaker),
        Verb::Run => match located(order.config.as_deref()) {
            Ok((path, loaded)) => {
                speaker.warn_all(&loaded.warnings);
                run::run(&path, loaded, &speaker).await
            }
            Err(trouble) => Err(trouble),
        },
    };
    ended.unwrap_or_else(|trouble| speaker.complain(&trouble))
}

/// A variable of the environment.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn located(config: Option<&Path>) -> Result<(PathBuf, settings::Loaded), Trouble> {
    let path = match config {
        Some(path) => path.to_owned(),
        None => settings::locate(&environment)?,
    };
    let loaded = settings::load(&path, &environment)?;
    Ok((path, loaded))
}

async fn run_update(
    config: Option<PathBuf>,
    speaker: &Speaker,
    when: update::When,
    is_scheduled: bool,
) -> Result<u8, Trouble> {
    let (_, settings::Loaded { settings, warnings }) = located(config.as_deref())?;
    speaker.warn_all(&warnings);
    let outside = Outside::of_system();
    let before = State::peek(&settings).last().cloned();
    let (name, ended) = if is_scheduled {
        ("scheduled", scheduled::update(&settings, when, outside).await)
    } else {
        ("person", update::update(&settings, when, Role::Person, outside).await)
    };
    speaker.log(&settings, name, outside.now(), &ended, before.as_ref());
    Ok(match &ended {
        Ok(report) => speaker.report(report),
        Err(failed) => speaker.fail(failed),
    })
}

async fn run_detect(config: Option<PathBuf>, speaker: &Speaker, is_all: bool) -> Result<u8, Trouble> {
    let (_, loaded) = located(config.as_deref())?;
    speaker.warn_all(&loaded.warnings);
    let view = detect::look(&loaded.settings, is_all, Outside::of_system()).await?;
    print(&if speaker.is_json { view.json().to_string() } else { view.to_string() });
    Ok(if view.is_empty() { 3 } else { 0 })
}

/// Prints, as much and in the form that was ordered.
pub struct Speaker {
    is_json: bool,
    volume: Volume,
}

impl Speaker {
    /// A sentence for people who watch.
    pub fn say(&self, text: &str) {
        if self.volume != Volume::Quiet && !self.is_json {
            print(text);
        }
    }

    /// Warnings are for people: a script finds the notes of an update in its JSON.
    pub fn warn(&self, warning: &str) {
        if self.volume != Volume::Quiet {
            eprintln!("nicgate-client: warning: {warning}");
        }
    }

    fn warn_all(&self, warnings: &[String]) {
        warnings.iter().for_each(|warning| self.warn(warning));
    }

    /// Prints how an update ended. Returns the exit code.
    fn report(&self, report: &Report) -> u8 {
        let code = report.exit_code();
        if self.is_json {
            print(&report.json().to_string());
            return code;
        }
        self.warn_all(&report.notes);
        if self.volume == Volume::Loud {
            for judged in &report.judged {
                print(&detect::line(judged, None));
            }
            if let Ending::Sent(sent) = &report.ending {
                let Sent { addresses, device, gateway, why, .. } = sent;
                print(&format!("sent {addresses} as device {device} to {gateway} {why}"));
            }
        }
        if code != 0 {
            eprintln!("nicgate-client: {report}");
        } else {
            self.say(&report.to_string());
        }
        code
    }

    /// Prints how a look of the resident client ended: what changed, and what is wrong.
    fn say_round(&self, ended: &Result<Report, Failed>, rest: Duration) {
        let is_quiet = matches!(ended, Ok(Report { ending: Ending::NothingToDo(..) | Ending::Busy, notes, .. }) if notes.is_empty());
        if is_quiet && self.volume != Volume::Loud {
            return;
        }
        let code = match ended {
            Ok(report) => self.report(report),
            Err(failed) => self.fail(failed),
        };
        if code != 0 {
            self.say(&format!("next look in {}", Span(rest)));
        }
    }

    /// Writes down how an update ended; `before` is how the one before it did.
    fn log(
        &self,
        settings: &Settings,
        role: &str,
        now: Timestamp,
        ended: &Result<Report, Failed>,
        before: Option<&Last>,
    ) {
        log::tell_system(ended, before);
        if let Some(file) = &settings.log
            && let Err(fault) = log::update(file, role, now, ended)
        {
            self.warn(&format!("the log {} cannot be written: {fault}", file.path.display()));
        }
    }

    /// Prints why an update came to nothing. Returns the exit code.
    fn fail(&self, failed: &Failed) -> u8 {
        if !self.is_json {
            self.warn_all(&failed.notes);
        }
        self.complain(&failed.trouble)
    }

    /// Prints what is wrong. Returns the exit code.
    fn complain(&self, trouble: &Trouble) -> u8 {
        self.complain_of(&trouble.to_string(), trouble.cure(), trouble.exit_code())
    }

    /// Prints a sentence about what is wrong, and its cure. Returns the exit code.
    fn complain_of(&self, what: &str, cure: Option<&str>, code: u8) -> u8 {
        if self.is_json {
            print(&trouble_json(what, cure, code).to_string());
            return code;
        }
        eprintln!("nicgate-client: {what}");
        if let Some(cure) = cure {
            eprintln!("  {cure}");
        }
        code
    }
}

/// What is wrong, for scripts.
fn trouble_json(what: &str, cure: Option<&str>, code: u8) -> Value {
    json!({ "outcome": "trouble", "exit_code": code, "message": what, "cure": cure })
}

/// Prints a line. A reader that has gone away is no reason to fail: the exit code still tells.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
