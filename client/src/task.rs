//! What shall run by itself, and how each system's scheduler is told: texts out, answers in. Pure.
//!
//! A [`Plan`] says what is wanted; [`windows_xml`], [`systemd`] and [`launchd`] turn it into a definition and into the
//! [`Step`]s that put it in place; [`schtasks`] and the two latter read what their scheduler answers. [`fitness`] tells
//! beforehand what could never run. Everything here is compiled and tested on every system; nothing here writes a file
//! or starts a program: `command/install.rs` does.
//!
//! No definition holds a secret: what is scheduled reads the configuration, and that names the key.

pub mod fitness;
pub mod launchd;
pub mod place;
pub mod schtasks;
pub mod systemd;
pub mod windows_xml;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often an update is looked at, when nobody says.
pub const EVERY: Duration = Duration::from_secs(600);
/// How long one update may take: name lookups, every gateway, its answer.
pub const LIMIT: Duration = Duration::from_secs(300);
/// How long after the start of the machine the first update waits for the network.
pub const BOOT_DELAY: Duration = Duration::from_secs(60);

/// What starts programs by itself on a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// macOS.
    Launchd,
    /// Linux.
    Systemd,
    /// Windows.
    TaskScheduler,
}

impl Scheduler {
    /// That of an operating system as `std::env::consts::OS` names it. What is neither Windows nor macOS gets
    /// systemd; where there is none, its absence is told when it is called.
    #[must_use]
    pub fn of(system: &str) -> Self {
        match system {
            "windows" => Self::TaskScheduler,
            "macos" => Self::Launchd,
            _ => Self::Systemd,
        }
    }
}

/// What shall run by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Our program, absolute.
    pub exe: PathBuf,
    /// The configuration, absolute.
    pub config: PathBuf,
    /// How often an update is looked at.
    pub every: Duration,
    /// Who runs it.
    pub account: Account,
    /// Whether `run` stays in memory as well. The updates go on beside it: they find the lock taken and leave, or find
    /// that the resident one has died and do its work.
    pub resident: bool,
    /// How long one update may take.
    pub limit: Duration,
    /// How long after the start of the machine the first one waits.
    pub boot_delay: Duration,
}

impl Plan {
    /// A plan with the usual times.
    #[must_use]
    pub fn new(exe: PathBuf, config: PathBuf, account: Account) -> Self {
        Self { exe, config, every: EVERY, account, resident: false, limit: LIMIT, boot_delay: BOOT_DELAY }
    }

    /// What of it runs.
    #[must_use]
    pub fn jobs(&self) -> &'static [Job] {
        if self.resident { &Job::BOTH } else { &[Job::Update] }
    }
}

/// Who runs what is scheduled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// One with few rights: LOCAL SERVICE (S-1-5-19) on Windows, an account of its own under systemd.
    Service,
    /// The machine itself: SYSTEM (S-1-5-18), root.
    System,
    /// A person, by security identifier (`S-1-5-21-…`) or name (`DOMAIN\name`). Elsewhere than on Windows, whoever
    /// installs.
    User(String),
}

/// One thing that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// `run`: started once, stays.
    Resident,
    /// `update`: started again and again, ends.
    Update,
}

impl Job {
    /// Both, the one that is always there first.
    pub const BOTH: [Self; 2] = [Self::Update, Self::Resident];

    /// What schedulers that know folders call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resident => "resident",
            Self::Update => "update",
        }
    }

    /// The words after `--config FILE`.
    #[must_use]
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Resident => &["run"],
            Self::Update => &["update", "--scheduled"],
        }
    }

    /// What it does, for people who look through what is scheduled.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Resident => "Watches this machine's addresses and tells the nicgate gateway when they change",
            Self::Update => "Tells the nicgate gateway where this machine is, if it does not know yet",
        }
    }
}

/// One thing to do to the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Takes a file away; one that is not there is fine.
    Remove(PathBuf),
    /// Starts a program and waits for it.
    Run(Call),
    /// Writes a file as a whole, in place of what stands there. Others may read it.
    Write(PathBuf, String),
}

/// A program to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which: a path, or a name to be looked up.
    pub program: PathBuf,
    /// Its arguments.
    pub words: Vec<String>,
    /// A text it reads from a file, named in place of the argument [`ENCLOSED`]. The file, in UTF-16, is there for the
    /// time of the call.
    pub enclosed: Option<String>,
    /// Whether the steps after it make sense when it fails.
    pub may_fail: bool,
}

/// Stands among a call's words for the file that holds the enclosed text.
pub const ENCLOSED: &str = "{file}";

impl Call {
    /// A call that must succeed.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { program: program.into(), words, enclosed: None, may_fail: false }
    }

    /// The same, but its failure stops nothing.
    #[must_use]
    pub fn that_may_fail(self) -> Self {
        Self { may_fail: true, ..self }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.display())?;
        for word in &self.words {
            if word.contains(' ') { write!(f, " \"{word}\"") } else { write!(f, " {word}") }?;
        }
        Ok(())
    }
}

/// Why something cannot be scheduled, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// A sentence.
    pub what: String,
    /// Another one.
    pub cure: String,
}

impl Unfit {
    /// Puts the two together.
    #[must_use]
    pub fn new(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { what: what.into(), cure: cure.into() }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}", self.what, self.cure)
    }
}

impl std::error::Error for Unfit {}

/// A path as text that can stand in a definition.
///
/// # Errors
/// When it is not Unicode, or holds control characters.
pub fn text_of(path: &Path) -> Result<&str, Unfit> {
    match path.to_str() {
        Some(text) if !text.chars().any(char::is_control) => Ok(text),
        Some(_) | None => Err(Unfit::new(
            format!("{} holds letters that no definition can carry", path.display()),
            "give the file or its folder a name in ordinary letters",
        )),
    }
}

/// What a scheduler tells about one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether the scheduler starts it or has it running: `Some(false)` when it is there but switched off.
    pub is_on: Option<bool>,
    /// How the last run ended.
    pub last: Option<Ended>,
    /// When that was, as the scheduler prints it.
    pub last_run: Option<String>,
    /// When it runs next, as the scheduler prints it.
    pub next_run: Option<String>,
}

/// What a scheduler answers when asked about a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is there, but this account may not look at it.
    Denied,
    /// There is no such job.
    Missing,
    /// None of these: what was answered instead.
    Unclear(String),
    /// It is there. `None`: and nothing is told about it.
    There(Option<Told>),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// In words, with the cure where there is one.
    pub words: String,
    /// Whether that is as it should be.
    pub is_fine: bool,
}

/// How our own program ended, by its exit code.
#[must_use]
pub fn ended(exit_code: u32) -> Ended {
    let words = match exit_code {
        0 => "good, or nothing to do",
        1 => "this machine failed: no event queue or no random bytes",
        2 => "bad configuration; `nicgate-client doctor` shows where",
        3 => "no address detected; `nicgate-client detect` shows every address and why it is not sent",
        4 => "no gateway reachable, or it takes no update now; the next run tries again",
        5 => "refused by the gateway: bad credentials, not our host, or an address that the zone does not take",
        6 => "the gateway has it, but the DNS provider refused or has not confirmed yet",
        101 | 134 => "our program crashed; that is a bug worth a report",
        other => return Ended { words: format!("exit code {other}, which is none of ours"), is_fine: false },
    };
    Ended { words: words.to_owned(), is_fine: exit_code == 0 }
}

/// A complaint of another program's on one line.
#[must_use]
pub fn one_line(complaint: &str) -> String {
    complaint.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `10m`, `90s`, `2h` for people and for systemd.
fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}min", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_no_text_cannot_be_scheduled() {
        assert_eq!(text_of(Path::new("/opt/Ünï 名/c.toml")), Ok("/opt/Ünï 名/c.toml"));
        for bad in ["/opt/a\nExecStartPre=/bin/sh", "C:\\a\u{1}", "/a\u{7f}", "/a\tb"] {
            assert!(text_of(Path::new(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_zero_is_fine() {
        for code in 0..=7 {
            assert_eq!(ended(code).is_fine, code == 0, "{code}");
        }
        assert!(ended(5).words.starts_with("refused"));
        assert!(ended(77).words.contains("77"));
    }

    /// Says that a program is missing. Where `tests/run` has installed what it could, that is a failure; Linux programs
    /// are not to be had under Wine.
    pub(super) fn skipped(program: &str) {
        let is_complete = std::env::var_os("NICGATE_TESTS_COMPLETE").is_some() && std::path::MAIN_SEPARATOR == '/';
        assert!(!is_complete, "{program} is missing: tests/run installs it");
        eprintln!("skipped: there is no {program}");
    }

    /// Compares with a golden file beside this module; `NICGATE_BLESS=1` writes it instead.
    pub(super) fn golden(name: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/task/golden").join(name);
        if std::env::var_os("NICGATE_BLESS").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
        assert_eq!(text, expected, "{name}; NICGATE_BLESS=1 takes the new text over");
    }
}
