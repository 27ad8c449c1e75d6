//! Property lists for launchd, and how they are put in place (launchd.plist(5), launchctl(1)).
//!
//! A daemon runs as root. macOS has no account that comes and goes with a service and hands no credentials over, so the
//! key would have to be readable by an account that other services share (`nobody`); root alone is the smaller evil. An
//! agent runs as whoever installs it, while that person is logged in.
//!
//! launchd puts no limit on how long a run takes: our own time limits end it.

use std::path::PathBuf;

use super::windows_xml::escaped;
use super::{Answer, Call, Ended, Job, Plan, Step, Told, Unfit, ended, one_line, text_of};

/// Changes when a network comes, goes or hands out another name server: launchd starts an update then.
const CHANGES: &str = "/private/var/run/resolv.conf";

/// Where definitions go, and whose launchd reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `/Library/LaunchDaemons` or `~/Library/LaunchAgents`.
    pub folder: PathBuf,
    /// `/Library/Logs` or `~/Library/Logs`.
    pub logs: PathBuf,
    /// `system` or `gui/501`.
    pub domain: String,
}

/// What launchd calls a job.
#[must_use]
pub fn label(job: Job) -> String {
    format!("io.github.nicgate.{}", job.name())
}

/// The file of a job. `/` by hand: these paths are macOS' own wherever this is compiled.
#[must_use]
pub fn file(job: Job, place: &Place) -> PathBuf {
    PathBuf::from(format!("{}/{}.plist", place.folder.display(), label(job)))
}

/// What puts a plan in place and starts it.
///
/// # Errors
/// When a path cannot stand in a definition.
pub fn install(plan: &Plan, place: &Place) -> Result<Vec<Step>, Unfit> {
    let mut steps = Vec::new();
    for job in plan.jobs() {
        let file = file(*job, place);
        steps.push(Step::Run(bootout(*job, place)));
        steps.push(Step::Write(file.clone(), definition(plan, *job, place)?));
        steps.push(Step::Run(Call::new("/bin/launchctl", &["bootstrap", &place.domain, text_of(&file)?])));
    }
    Ok(steps)
}

/// What ends a job and takes its definition away.
#[must_use]
pub fn uninstall(job: Job, place: &Place) -> [Step; 2] {
    [Step::Run(bootout(job, place)), Step::Remove(file(job, place))]
}

fn bootout(job: Job, place: &Place) -> Call {
    Call::new("/bin/launchctl", &["bootout", &target(job, place)]).that_may_fail()
}

/// What asks about a job.
#[must_use]
pub fn query(job: Job, place: &Place) -> Call {
    Call::new("/bin/launchctl", &["print", &target(job, place)])
}

fn target(job: Job, place: &Place) -> String {
    format!("{}/{}", place.domain, label(job))
}

/// The definition of one job.
///
/// # Errors
/// When a path cannot stand in it.
pub fn definition(plan: &Plan, job: Job, place: &Place) -> Result<String, Unfit> {
    let mut words = vec![text_of(&plan.exe)?, "--config", text_of(&plan.config)?];
    words.extend(job.words());
    let words: String = words.iter().map(|word| format!("    <string>{}</string>\n", escaped(word))).collect();
    let log = escaped(&format!("{}/nicgate-client.log", text_of(&place.logs)?));
    let label = label(job);
    let when = match job {
        Job::Resident => "  <key>KeepAlive</key>
  <true/>
  <key>ThrottleInterval</key>
  <integer>30</integer>\n"
            .to_owned(),
        Job::Update => format!(
            "  <key>StartInterval</key>
  <integer>{}</integer>
  <key>WatchPaths</key>
  <array>
    <string>{CHANGES}</string>
  </array>\n",
            plan.every.as_secs()
        ),
    };
    // 63 is 077: what we write is ours alone.
    Ok(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{label}</string>
  <key>ProgramArguments</key>
  <array>
{words}  </array>
  <key>RunAtLoad</key>
  <true/>
{when}  <key>ProcessType</key>
  <string>Background</string>
  <key>LowPriorityIO</key>
  <true/>
  <key>Umask</key>
  <integer>63</integer>
  <key>StandardErrorPath</key>
  <string>{log}</string>
</dict>
</plist>
"#
    ))
}

/// `launchctl`'s exit code for a job it does not know.
const UNKNOWN: u32 = 113;

/// Reads what `launchctl print` printed. Its form is not promised, so what is not found is not told.
#[must_use]
pub fn answer(exit_code: u32, output: &str, complaint: &str) -> Answer {
    match exit_code {
        0 => {}
        UNKNOWN => return Answer::Missing,
        _ => return Answer::Unclear(one_line(complaint)),
    }
    let value = |name: &str| output.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(" = "));
    let last = match (value("state"), value("last exit code")) {
        (Some("running"), _) => Some(Ended { words: "is running now".to_owned(), is_fine: true }),
        (_, Some("(never exited)")) => Some(Ended { words: "has not run yet".to_owned(), is_fine: true }),
        // Newer systems write `5: Input/output error`, the number's meaning as an error of the system's.
        (_, Some(code)) => code.split(':').next().and_then(|code| code.parse().ok()).map(ended),
        (_, None) => None,
    };
    Answer::There(Some(Told { is_on: Some(true), last, last_run: None, next_run: None }))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::task::Account;
    use crate::task::tests::{golden, skipped};

    fn place() -> Place {
        let (folder, logs) = ("/Library/LaunchDaemons".into(), "/Library/Logs".into());
        Place { folder, logs, domain: "system".to_owned() }
    }

    fn plan() -> Plan {
        let (exe, config) = ("/usr/local/bin/nicgate-client", "/Library/Application Support/nic & gate/客户端.toml");
        Plan { resident: true, ..Plan::new(exe.into(), config.into(), Account::System) }
    }

    #[test]
    fn definitions_are_those_of_the_golden_files() {
        for job in Job::BOTH {
            golden(&format!("{}.plist", job.name()), &definition(&plan(), job, &place()).unwrap());
        }
    }

    #[test]
    fn definitions_are_property_lists_that_say_what_the_plan_says() {
        let script = "import plistlib, sys; d = plistlib.load(open(sys.argv[1], 'rb')); \
                      print(d['ProgramArguments'][2], d.get('StartInterval'), d.get('KeepAlive'), d['Umask'])";
        for (job, expected) in [(Job::Update, "600 None 63"), (Job::Resident, "None True 63")] {
            let file = std::env::temp_dir().join(format!("nicgate-{}-{}.plist", job.name(), std::process::id()));
            std::fs::write(&file, definition(&plan(), job, &place()).unwrap()).unwrap();
            let output = Command::new("python3").args(["-X", "utf8", "-c", script]).arg(&file).output();
            std::fs::remove_file(&file).unwrap();
            let Ok(output) = output else {
                return skipped("python3");
            };
            let told = String::from_utf8_lossy(&output.stdout);
            let expected = format!("{} {expected}", plan().config.display());
            assert_eq!(told.trim(), expected, "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    #[test]
    fn a_job_is_taken_out_before_it_is_put_in_again() {
        let calls: Vec<String> = install(&plan(), &place())
            .unwrap()
            .iter()
            .map(|step| match step {
                Step::Run(call) => call.words.join(" "),
                Step::Write(file, _) => format!("write {}", file.display()),
                Step::Remove(_) => panic!("nothing is removed"),
            })
            .collect();
        assert_eq!(
            &calls[..3],
            [
                "bootout system/io.github.nicgate.update",
                "write /Library/LaunchDaemons/io.github.nicgate.update.plist",
                "bootstrap system /Library/LaunchDaemons/io.github.nicgate.update.plist",
            ]
        );
        assert_eq!(calls.len(), 6);
    }

    #[test]
    fn an_answer_tells_how_the_last_run_ended() {
        let words = |text: &str| match answer(0, text, "") {
            Answer::There(told) => told?.last.map(|last| (last.words, last.is_fine)),
            other @ (Answer::Denied | Answer::Missing | Answer::Unclear(_)) => panic!("{other:?}"),
        };
        let printed = "system/io.github.nicgate.update = {\n\tstate = not running\n\tlast exit code = 5: Input\n}";
        assert!(words(printed).unwrap().0.starts_with("refused"));
        assert_eq!(words("\tstate = running\n"), Some(("is running now".to_owned(), true)));
        assert!(words("\tlast exit code = (never exited)\n").unwrap().1);
        assert_eq!(words("something else"), None);
        assert_eq!(answer(113, "", "Could not find service"), Answer::Missing);
        assert_eq!(answer(1, "", "a\nb"), Answer::Unclear("a b".to_owned()));
    }
}
