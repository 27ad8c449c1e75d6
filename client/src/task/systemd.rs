//! Units for systemd: a timer with a service that ends, a service that stays, and how they are put in place.
//!
//! A system unit runs in an account that exists only while it runs (`DynamicUser`), sees the key as a credential, writes
//! to its state folder and nowhere else, and has no capability: since Linux 5.7 a socket may be bound to a network
//! device without one. On older kernels updates that name a device fail, and say so.
//!
//! A unit of the user's own manager has no such account, and the options that need a file system of their own would
//! need user namespaces, which many systems forbid; it keeps those that need neither.
//!
//! Names: systemd.unit(5), systemd.exec(5), systemd.timer(5). Quoting: systemd.service(5), "Command lines".

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Account, Answer, Call, Ended, Job, Plan, Step, Told, Unfit, ended, one_line, span, text_of};

/// Where a system service keeps its state.
pub const STATE: &str = "/var/lib/nicgate-client";
/// How long the resident one may be silent before it is started anew.
const WATCHDOG: Duration = Duration::from_secs(300);
/// How many seconds the timer may wander at most, so that a house full of machines does not call at once.
const WANDER: u64 = 60;

/// Whose manager the units are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manager {
    /// The system in this folder, which is not running now.
    Offline(PathBuf),
    /// The system's.
    System,
    /// That of whoever calls us.
    User,
}

/// The unit that is switched on for a job.
#[must_use]
pub fn unit(job: Job) -> &'static str {
    match job {
        Job::Resident => "nicgate-client-resident.service",
        Job::Update => "nicgate-client.timer",
    }
}

/// The service that a job runs in.
fn service(job: Job) -> &'static str {
    match job {
        Job::Resident => unit(job),
        Job::Update => "nicgate-client.service",
    }
}

/// Every unit file a job can have.
#[must_use]
pub fn files(job: Job, folder: &Path) -> Vec<PathBuf> {
    match job {
        Job::Resident => vec![folder.join(unit(job))],
        Job::Update => vec![folder.join(service(job)), folder.join(unit(job))],
    }
}

/// What puts a plan in place and starts it. `folder` is where the manager looks for units, `key_file` where the key is.
///
/// # Errors
/// When a path cannot stand in a unit.
pub fn install(plan: &Plan, manager: &Manager, folder: &Path, key_file: Option<&Path>) -> Result<Vec<Step>, Unfit> {
    let mut steps = Vec::new();
    for job in plan.jobs() {
        let text = service_text(plan, *job, manager, key_file)?;
        steps.push(Step::Write(folder.join(service(*job)), text));
    }
    steps.push(Step::Write(folder.join(unit(Job::Update)), timer_text(plan)));
    let units = plan.jobs().iter().copied().map(unit);
    if let Manager::Offline(_) = manager {
        steps.extend(units.map(|unit| Step::Run(systemctl(manager, &["enable", unit]))));
        return Ok(steps);
    }
    steps.push(Step::Run(systemctl(manager, &["daemon-reload"])));
    for unit in units {
        // `enable --now` would leave a unit that runs already with its old definition.
        steps.push(Step::Run(systemctl(manager, &["enable", unit])));
        steps.push(Step::Run(systemctl(manager, &["restart", "--no-block", unit])));
    }
    Ok(steps)
}

/// What stops a job and takes its units away.
#[must_use]
pub fn uninstall(job: Job, manager: &Manager, folder: &Path) -> Vec<Step> {
    let words: &[&str] = match manager {
        Manager::Offline(_) => &["disable", unit(job)],
        Manager::System | Manager::User => &["disable", "--now", unit(job), service(job)],
    };
    let mut steps = vec![Step::Run(systemctl(manager, words).that_may_fail())];
    steps.extend(files(job, folder).into_iter().map(Step::Remove));
    if !matches!(manager, Manager::Offline(_)) {
        steps.push(Step::Run(systemctl(manager, &["daemon-reload"]).that_may_fail()));
        // A unit that failed is remembered after its file is gone.
        steps.push(Step::Run(systemctl(manager, &["reset-failed", service(job)]).that_may_fail()));
    }
    steps
}

/// The calls that ask about a job: its units, then when its timer elapses.
#[must_use]
pub fn query(job: Job, manager: &Manager) -> [Call; 2] {
    let properties = "--property=Id,LoadState,ActiveState,SubState,Result,ExecMainStatus,ExecMainExitTimestamp";
    let units: &[&str] = match job {
        Job::Resident => &["show", properties, "nicgate-client-resident.service"],
        Job::Update => &["show", properties, "nicgate-client.timer", "nicgate-client.service"],
    };
    [systemctl(manager, units), systemctl(manager, &["list-timers", "--all", "--no-legend", unit(job)])]
}

fn systemctl(manager: &Manager, words: &[&str]) -> Call {
    let mut call = Call::new("systemctl", words);
    match manager {
        Manager::Offline(folder) => call.words.insert(0, format!("--root={}", folder.display())),
        Manager::System => {}
        Manager::User => call.words.insert(0, "--user".to_owned()),
    }
    call
}

fn timer_text(plan: &Plan) -> String {
    let wander = Duration::from_secs((plan.every.as_secs() / 10).min(WANDER));
    format!(
        "[Unit]
Description={}, again and again

[Timer]
# Counted from the start of the machine and from the last run, whatever the clock does; so there is nothing to catch up
# with, and no Persistent=.
OnBootSec={}
OnUnitActiveSec={}
RandomizedDelaySec={}
AccuracySec=10s
WakeSystem=no

[Install]
WantedBy=timers.target
",
        Job::Update.description(),
        span(plan.boot_delay),
        span(plan.every),
        span(wander)
    )
}

fn service_text(plan: &Plan, job: Job, manager: &Manager, key_file: Option<&Path>) -> Result<String, Unfit> {
    let mut text = format!("[Unit]\nDescription={}\n", job.description());
    if *manager != Manager::User {
        text.push_str("Wants=network-online.target\nAfter=network-online.target nss-lookup.target\n");
    }
    if job == Job::Resident {
        // It is started again for ever: a gateway that is away for a day must not end it.
        text.push_str("StartLimitIntervalSec=0\n");
    }
    text.push_str("\n[Service]\n");
    let mut command = format!("{} --config {}", program(text_of(&plan.exe)?)?, argument(text_of(&plan.config)?));
    for word in job.words() {
        command.push(' ');
        command.push_str(word);
    }
    match job {
        Job::Update => text.push_str("Type=oneshot\n"),
        Job::Resident => {
            text.push_str("Type=notify\nRestart=always\nRestartSec=30s\n");
            text.push_str("# 2 is a mistake in the configuration: trying again does not mend it.\n");
            text.push_str(&format!("RestartPreventExitStatus=2\nWatchdogSec={}\n", span(WATCHDOG)));
        }
    }
    text.push_str(&format!("ExecStart={command}\nTimeoutStartSec={}\n", span(plan.limit)));
    text.push_str("Nice=5\n\n");
    if *manager != Manager::User {
        text.push_str(match plan.account {
            Account::System => "ProtectHome=read-only\n",
            // One name for both services: two accounts would take the state folder from each other.
            Account::Service | Account::User(_) => "DynamicUser=yes\nUser=nicgate-client\nProtectHome=yes\n",
        });
        text.push_str("StateDirectory=nicgate-client\nStateDirectoryMode=0700\n");
        if let (Some(key_file), Account::Service) = (key_file, &plan.account) {
            text.push_str(&credential(key_file)?);
        }
        text.push_str(OF_THE_SYSTEM);
    }
    text.push_str(OF_ANYBODY);
    if job == Job::Resident {
        let target = if *manager == Manager::User { "default.target" } else { "multi-user.target" };
        text.push_str(&format!("\n[Install]\nWantedBy={target}\n"));
    }
    Ok(text)
}

/// What only the system's manager can take from a service. Not `ProcSubset=pid`: what the kernel notes about addresses
/// is in `/proc/net`.
const OF_THE_SYSTEM: &str = "\
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectProc=invisible
RemoveIPC=yes
CapabilityBoundingSet=
AmbientCapabilities=
";

/// What every manager can. The names that stand for sets of system calls are in `systemd-analyze syscall-filter`.
const OF_ANYBODY: &str = "\
NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
";

/// Hands the key over under its file's own name, by which the configuration knows it. A name that ends in `.cred` is
/// that of a file which `systemd-creds` encrypted.
fn credential(key_file: &Path) -> Result<String, Unfit> {
    let path = text_of(key_file)?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    if name.is_empty() || name.len() > 255 || !name.chars().all(is_plain) {
        let what =
            format!("{path}: systemd hands a key over only by a name of letters, digits, dot, hyphen, underscore");
        return Err(Unfit::new(what, "rename the key file, and in the configuration too"));
    }
    let option = if name.ends_with(".cred") { "LoadCredentialEncrypted" } else { "LoadCredential" };
    // The path is taken as it stands to the end of the line: no quotes, and only specifiers are escaped.
    Ok(format!("{option}={name}:{}\n", path.replace('%', "%%")))
}

/// The program of a command line. No variable is looked for in it, so `$` stands for itself; what quotes a word cannot
/// stand in it at all.
fn program(path: &str) -> Result<String, Unfit> {
    if path.contains(['"', '\'', '\\']) {
        let what = format!("{path}: systemd starts no program whose path holds a quote or a backslash");
        return Err(Unfit::new(what, "give the program or its folder a plainer name"));
    }
    Ok(quoted(&path.replace('%', "%%")))
}

/// An argument of a command line.
fn argument(word: &str) -> String {
    quoted(&word.replace('%', "%%").replace('$', "$$"))
}

/// A word in quotes, where it needs them.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-:=@+,%$".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Reads what the two calls of [`query`] printed.
#[must_use]
pub fn answer(job: Job, exit_code: u32, units: &str, timers: &str, complaint: &str) -> Answer {
    if exit_code != 0 {
        return Answer::Unclear(one_line(complaint));
    }
    let (switch, service) = (properties(units, unit(job)), properties(units, service(job)));
    if switch("LoadState") != Some("loaded") {
        return Answer::Missing;
    }
    let last_run = service("ExecMainExitTimestamp").filter(|when| !when.is_empty() && *when != "n/a");
    let last = match (service("SubState"), last_run) {
        (Some("running" | "start"), _) => Some(Ended { words: "is running now".to_owned(), is_fine: true }),
        (_, None) => Some(Ended { words: "has not run yet".to_owned(), is_fine: true }),
        (_, Some(_)) => Some(how(service("Result"), service("ExecMainStatus"))),
    };
    let next_run = timers.lines().next().and_then(next).filter(|_| job == Job::Update);
    let is_on = Some(switch("ActiveState") == Some("active"));
    Answer::There(Some(Told { is_on, last, last_run: last_run.map(str::to_owned), next_run }))
}

/// How the service ended: by its own exit code, or for a reason of systemd's.
fn how(result: Option<&str>, status: Option<&str>) -> Ended {
    let status = status.and_then(|status| status.parse().ok()).unwrap_or(0);
    let words = match result.unwrap_or("success") {
        // What systemd itself could not set up has numbers from 200 on (systemd.exec(5), "Process exit codes").
        "exit-code" if status >= 200 => {
            format!("systemd could not start it ({status}); `journalctl -u nicgate-client` says why")
        }
        "success" | "exit-code" => return ended(status),
        "timeout" => "was ended after its time limit".to_owned(),
        "watchdog" => "was silent for too long and was started anew".to_owned(),
        "signal" | "core-dump" => format!("was ended by signal {status}"),
        other => format!("ended: {other}"),
    };
    Ended { words, is_fine: false }
}

/// The properties of one unit among blocks that an empty line parts.
fn properties<'a>(text: &'a str, id: &'a str) -> impl Fn(&str) -> Option<&'a str> {
    let is_ours = move |block: &&str| block.lines().any(|line| line.strip_prefix("Id=") == Some(id));
    let block = text.split("\n\n").find(is_ours).unwrap_or_default();
    move |name| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// Weekday, date, time and zone at the head of a line of `list-timers`.
fn next(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().take(4).collect();
    let is_date = words.get(1).is_some_and(|date| date.starts_with(|first: char| first.is_ascii_digit()));
    is_date.then(|| words.join(" "))
}

#[cfg(test)]
mod tests;
