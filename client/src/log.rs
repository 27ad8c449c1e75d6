//! The log: one JSON object a line, in a file beside the configuration that is begun anew when it has grown; and, for
//! what an administrator should see, the system's own log.
//!
//! Writing it never fails an update: what cannot be written is said on the screen and forgotten.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nicgate_protocol::{ReturnCode, Timestamp};
use serde_json::{Value, json};

use crate::platform::events::{self, Level};
use crate::report::{Ending, Report};
use crate::settings::LogFile;
use crate::state::Last;
use crate::trouble::Failed;

/// How many full files are kept.
const KEPT: u32 = 3;

/// What an event is about: its id in the system's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A name was changed.
    Changed = 1,
    /// An update failed that did not fail before.
    Failed = 2,
    /// Updates work again.
    Recovered = 3,
    /// Somebody took over from somebody, or another line or gateway is used.
    Noted = 4,
}

/// Writes a line about how an update ended.
///
/// # Errors
/// When the file cannot be written.
pub fn update(file: &LogFile, role: &str, now: Timestamp, ended: &Result<Report, Failed>) -> io::Result<()> {
    append(file, &line(role, now, ended))
}

/// Tells the system's log what an administrator should see, given how the update before this one ended.
pub fn tell_system(ended: &Result<Report, Failed>, before: Option<&Last>) {
    for (event, text) in events_of(ended, before) {
        let level = match event {
            Event::Changed | Event::Recovered => Level::Information,
            Event::Failed => Level::Error,
            Event::Noted => Level::Warning,
        };
        // Not every system has such a log, and ours may not be known to it yet.
        let _ = events::report(level, event as u16, &text);
    }
}

/// The line of the file.
fn line(role: &str, now: Timestamp, ended: &Result<Report, Failed>) -> Value {
    let mut line = match ended {
        Ok(report) => {
            let mut line = report.json();
            line["message"] = json!(report.to_string());
            line
        }
        Err(Failed { trouble, notes }) => json!({
            "outcome": "trouble",
            "exit_code": trouble.exit_code(),
            "message": trouble.to_string(),
            "cure": trouble.cure(),
            "notes": notes,
        }),
    };
    let is_well = line["exit_code"] == 0;
    line["time"] = json!(now.to_string());
    line["level"] = json!(if is_well { "info" } else { "error" });
    line["role"] = json!(role);
    line
}

/// What the system's log should have: changes, the first of several failures, the recovery, and what was not noted
/// the time before.
fn events_of(ended: &Result<Report, Failed>, before: Option<&Last>) -> Vec<(Event, String)> {
    let was_well = before.is_none_or(|last| last.exit_code == 0);
    let (notes, exit_code, text) = match ended {
        Ok(Report { ending: Ending::Busy | Ending::LeftToResident(_), .. }) => return Vec::new(),
        Ok(report) => (&report.notes, report.exit_code(), report.to_string()),
        Err(failed) => (&failed.notes, failed.trouble.exit_code(), failed.to_string()),
    };
    let is_new = |note: &&String| before.is_none_or(|last| !last.notes.contains(note));
    let mut list: Vec<_> = notes.iter().filter(is_new).map(|note| (Event::Noted, note.clone())).collect();
    let has_changed = ended
        .as_ref()
        .is_ok_and(|report| report.results().iter().any(|result| matches!(result.code, ReturnCode::Good(_))));
    match (exit_code, was_well) {
        (0, false) => list.push((Event::Recovered, text)),
        (0, true) if has_changed => list.push((Event::Changed, text)),
        (1.., true) => list.push((Event::Failed, text)),
        (0, true) | (1.., false) => {}
    }
    list
}

fn append(file: &LogFile, line: &Value) -> io::Result<()> {
    let length = fs::metadata(&file.path).map_or(0, |about| about.len());
    if length >= file.size {
        rotate(&file.path)?;
    }
    let mut text = line.to_string();
    text.push('\n');
    let open = || OpenOptions::new().create(true).append(true).open(&file.path);
    let mut log = match open() {
        // Begun by an administrator who ran the program by hand: it is kept, and ours begins.
        Err(denied) if denied.kind() == io::ErrorKind::PermissionDenied => {
            rotate(&file.path).map_err(|_| denied)?;
            open()?
        }
        opened => opened?,
    };
    // One write: lines of two programs do not mix.
    log.write_all(text.as_bytes())
}

/// `client.log` becomes `client.log.1`, that `client.log.2`, and so on; the oldest goes.
fn rotate(path: &Path) -> io::Result<()> {
    for number in (1..KEPT).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, numbered(path, 1))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::Trouble;
    use std::time::Duration;

    #[test]
    fn a_log_that_has_grown_is_begun_anew_and_the_oldest_goes() {
        let folder = std::env::temp_dir().join(format!("nicgate-log-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let file = LogFile { path: folder.join("client.log"), size: 100 };
        for number in 0..40 {
            append(&file, &json!({ "number": number, "padding": "x".repeat(20) })).unwrap();
        }
        let mut names: Vec<String> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["client.log", "client.log.1", "client.log.2", "client.log.3"]);
        let newest = fs::read_to_string(&file.path).unwrap();
        let last: Value = serde_json::from_str(newest.lines().last().unwrap()).unwrap();
        assert_eq!(last["number"], 39);
        assert!(fs::read_to_string(folder.join("client.log.1")).unwrap().lines().all(|line| line.ends_with('}')));
        fs::remove_dir_all(folder).unwrap();
    }

    fn failed() -> Result<Report, Failed> {
        Err(Trouble::TooLong(Duration::from_secs(180)).into())
    }

    #[test]
    fn a_line_says_when_who_and_how_it_ended() {
        let line = line("scheduled", Timestamp::from_seconds(0), &failed());
        assert_eq!(line["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!((&line["role"], &line["level"]), (&json!("scheduled"), &json!("error")));
        assert_eq!(line["exit_code"], 4);
    }

    #[test]
    fn the_systems_log_hears_of_the_first_failure_of_the_recovery_and_of_each_note_once() {
        let last = |exit_code, notes: &[&str]| {
            let notes = notes.iter().map(|note| (*note).to_owned()).collect();
            Last { at: 0, exit_code, message: String::new(), notes }
        };
        let events = |ended: &Result<Report, Failed>, before: Option<Last>| {
            events_of(ended, before.as_ref()).into_iter().map(|(event, _)| event).collect::<Vec<_>>()
        };
        assert_eq!(events(&failed(), None), [Event::Failed]);
        assert_eq!(events(&failed(), Some(last(0, &[]))), [Event::Failed]);
        assert_eq!(events(&failed(), Some(last(4, &[]))), []);
        let nothing = Ending::NothingToDo(nicgate_protocol::AddressSet::EMPTY, Duration::ZERO);
        let quiet = Ok(Report { notes: vec!["careful".to_owned()], ..Report::without_work(nothing) });
        assert_eq!(events(&quiet, Some(last(4, &["careful"]))), [Event::Recovered]);
        assert_eq!(events(&quiet, Some(last(0, &[]))), [Event::Noted]);
        assert_eq!(events(&quiet, Some(last(0, &["careful"]))), []);
    }
}
