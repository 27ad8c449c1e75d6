//! The task definition of Windows Task Scheduler, as XML, and how it is registered.
//!
//! Form and types follow \[MS-TSCH\] 2.5 ("XML Task Definition Format"), version 1.3 (Windows 7). What it leaves open was
//! settled from Microsoft's own definitions:
//!
//! - A built-in account is named by its identifier, with **no** `LogonType`: the schema's list holds `S4U`, `Password`
//!   and `InteractiveToken` alone, and `ServiceAccount`, which is what the COM interface calls it, is refused.
//! - `Command` is quoted; `WorkingDirectory` must not be. Both end at 260 letters.
//! - `%name%` is expanded in both and in `Arguments`, where `$(Arg0)` is too, and nothing escapes them: paths with such
//!   parts are refused.
//! - The events are of channels that every Windows has switched on: NetworkProfile 10000 (a network is connected) and
//!   4004 (the state of a network changed: also a new address on it), and Power-Troubleshooter 1 in `System` (back from
//!   sleep). The operational channels of the DHCP clients and of TCP/IP know more, but are off until somebody switches
//!   them on, and a task that names a channel which is not there is refused.
//!
//! Not `RunOnlyIfNetworkAvailable`: Windows decides that by its own probe of a Microsoft server, and where that is
//! filtered the task would never run. We find out by asking the gateway.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Account, Call, ENCLOSED, Job, Plan, Step, Unfit, text_of};

/// The longest path that the schema takes.
const LONGEST_PATH: usize = 260;
/// How long an event's network gets to settle: the address comes after the cable.
const SETTLE: Duration = Duration::from_secs(10);
/// A start in the past: the repetition runs from the moment of registration.
const START: &str = "2020-01-01T00:00:00";
/// Administrators and the system may do everything, whoever is logged on may look: so `status` needs no elevation.
const WHO_MAY: &str = "D:(A;;FA;;;BA)(A;;FA;;;SY)(A;;FR;;;AU)";

/// What starts an update besides the clock: channel, provider, event.
const EVENTS: [(&str, &str, u16); 3] = [
    ("Microsoft-Windows-NetworkProfile/Operational", "Microsoft-Windows-NetworkProfile", 10000),
    ("Microsoft-Windows-NetworkProfile/Operational", "Microsoft-Windows-NetworkProfile", 4004),
    ("System", "Microsoft-Windows-Power-Troubleshooter", 1),
];

/// The path of a job's task in Task Scheduler's library. No folder of our own: its program removes tasks, but no
/// folders, and nothing is to stay behind.
#[must_use]
pub fn task_name(job: Job) -> String {
    format!("\\nicgate-{}", job.name())
}

/// What registers a plan, replacing what is registered, and starts it. `system_folder` is `C:\Windows\System32`.
///
/// # Errors
/// When a path cannot stand in a definition.
pub fn install(plan: &Plan, system_folder: &Path) -> Result<Vec<Step>, Unfit> {
    let mut steps = Vec::new();
    for job in plan.jobs() {
        let name = task_name(*job);
        let create = Call {
            enclosed: Some(definition(plan, *job)?),
            ..schtasks(system_folder, &["/create", "/xml", ENCLOSED, "/tn", &name, "/f"])
        };
        // A resident one that runs already would go on with the old definition.
        steps.push(Step::Run(schtasks(system_folder, &["/end", "/tn", &name]).that_may_fail()));
        steps.push(Step::Run(create));
        steps.push(Step::Run(schtasks(system_folder, &["/run", "/tn", &name]).that_may_fail()));
    }
    Ok(steps)
}

/// What ends a job and takes its task away.
#[must_use]
pub fn uninstall(job: Job, system_folder: &Path) -> [Step; 2] {
    let name = task_name(job);
    [
        Step::Run(schtasks(system_folder, &["/end", "/tn", &name]).that_may_fail()),
        Step::Run(schtasks(system_folder, &["/delete", "/tn", &name, "/f"])),
    ]
}

/// What asks about a job. Its exit code is an HRESULT, so a task that is missing differs from one we may not see
/// whatever language Windows speaks.
#[must_use]
pub fn query(job: Job, system_folder: &Path) -> Call {
    schtasks(system_folder, &["/query", "/tn", &task_name(job), "/fo", "CSV", "/v", "/nh", "/hresult"])
}

fn schtasks(system_folder: &Path, words: &[&str]) -> Call {
    // `\` by hand: these paths are Windows' own wherever this is compiled.
    let program = format!("{}\\schtasks.exe", system_folder.display());
    Call::new(PathBuf::from(program), words)
}

/// The definition of one job.
///
/// # Errors
/// When a path cannot stand in it.
pub fn definition(plan: &Plan, job: Job) -> Result<String, Unfit> {
    let exe = path(&plan.exe)?;
    let config = path(&plan.config)?;
    let folder = match exe.rsplit_once('\\') {
        // The root of a drive keeps its backslash: `C:` alone is the folder one was in last.
        Some((drive, _)) if drive.ends_with(':') => format!("{drive}\\"),
        Some((folder, _)) => folder.to_owned(),
        None => return Err(Unfit::new(format!("{exe} is not a full path"), "give the program with its folder")),
    };
    let (command, folder) = (escaped(&format!("\"{exe}\"")), escaped(&folder));
    let mut arguments = format!("--config {}", quoted(config));
    for word in job.words() {
        arguments.push(' ');
        arguments.push_str(word);
    }
    let arguments = escaped(&arguments);
    let (name, description) = (task_name(job), job.description());
    let (triggers, settings) = (triggers(plan, job), settings(plan, job));
    let principal = principal(&plan.account);
    Ok(format!(
        r#"<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Author>nicgate</Author>
    <Description>{description}</Description>
    <URI>{name}</URI>
    <SecurityDescriptor>{WHO_MAY}</SecurityDescriptor>
  </RegistrationInfo>
  <Triggers>
{triggers}  </Triggers>
  <Principals>
    <Principal id="Author">
{principal}      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>false</RunOnlyIfNetworkAvailable>
    <IdleSettings>
      <StopOnIdleEnd>false</StopOnIdleEnd>
      <RestartOnIdle>false</RestartOnIdle>
    </IdleSettings>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <Hidden>true</Hidden>
    <RunOnlyIfIdle>false</RunOnlyIfIdle>
    <WakeToRun>false</WakeToRun>
{settings}    <Priority>7</Priority>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{command}</Command>
      <Arguments>{arguments}</Arguments>
      <WorkingDirectory>{folder}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"#
    ))
}

/// The start of the machine and the clock start both; an update is started by what happens to the network as well.
/// For the resident one the clock is the second net below `RestartOnFailure`: while it runs, a start is ignored.
fn triggers(plan: &Plan, job: Job) -> String {
    let (delay, every) = (iso(plan.boot_delay), iso(plan.every));
    let mut text = format!(
        "    <BootTrigger>
      <Enabled>true</Enabled>
      <Delay>{delay}</Delay>
    </BootTrigger>
    <TimeTrigger>
      <Enabled>true</Enabled>
      <StartBoundary>{START}</StartBoundary>
      <Repetition>
        <Interval>{every}</Interval>
        <StopAtDurationEnd>false</StopAtDurationEnd>
      </Repetition>
    </TimeTrigger>\n"
    );
    if job == Job::Resident {
        return text;
    }
    for (channel, provider, event) in EVENTS {
        let query = format!(
            "<QueryList><Query Id=\"0\" Path=\"{channel}\"><Select Path=\"{channel}\">*[System[Provider[@Name='{provider}'] \
             and EventID={event}]]</Select></Query></QueryList>"
        );
        text.push_str(&format!(
            "    <EventTrigger>
      <Enabled>true</Enabled>
      <Subscription>{}</Subscription>
      <Delay>{}</Delay>
    </EventTrigger>\n",
            escaped(&query),
            iso(SETTLE)
        ));
    }
    text
}

/// How long it may run, and what happens when it fails. The schema's count of restarts ends at 255.
fn settings(plan: &Plan, job: Job) -> String {
    match job {
        Job::Update => format!("    <ExecutionTimeLimit>{}</ExecutionTimeLimit>\n", iso(plan.limit)),
        Job::Resident => "    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>255</Count>
    </RestartOnFailure>\n"
            .to_owned(),
    }
}

/// S4U: whether logged on or not, and no password is stored.
fn principal(account: &Account) -> String {
    match account {
        Account::Service => "      <UserId>S-1-5-19</UserId>\n".to_owned(),
        Account::System => "      <UserId>S-1-5-18</UserId>\n".to_owned(),
        Account::User(who) => {
            format!("      <UserId>{}</UserId>\n      <LogonType>S4U</LogonType>\n", escaped(who))
        }
    }
}

/// A path that means the same to Task Scheduler as to us.
fn path(path: &Path) -> Result<&str, Unfit> {
    let text = text_of(path)?;
    let cure = "move the file to a folder with a plainer name";
    if text.matches('%').count() > 1 || text.contains("$(") {
        return Err(Unfit::new(format!("Task Scheduler would read a part of {text} as a variable"), cure));
    }
    if text.contains(['"', '<', '>', '|']) {
        return Err(Unfit::new(format!("{text} is no path that Windows knows"), cure));
    }
    if text.encode_utf16().count() + 2 > LONGEST_PATH {
        return Err(Unfit::new(format!("{text} is longer than the 258 letters that Task Scheduler takes"), cure));
    }
    Ok(text)
}

/// One argument as `CommandLineToArgvW` takes it apart again: in quotes, with every backslash that stands before a
/// quote doubled.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    let mut backslashes = 0;
    for letter in word.chars() {
        if letter == '"' {
            text.push_str(&"\\".repeat(backslashes + 1));
        }
        backslashes = if letter == '\\' { backslashes + 1 } else { 0 };
        text.push(letter);
    }
    text.push_str(&"\\".repeat(backslashes));
    text.push('"');
    text
}

/// Text between tags. Control characters cannot be escaped in XML 1.0; [`text_of`] refused them.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A span as XML Schema writes it.
fn iso(span: Duration) -> String {
    match span.as_secs() {
        seconds if seconds % 60 == 0 => format!("PT{}M", seconds / 60),
        seconds => format!("PT{seconds}S"),
    }
}

/// The bytes of a definition as Task Scheduler reads it: UTF-16, the lower byte first, with its mark.
#[must_use]
pub fn utf16(text: &str) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests;
