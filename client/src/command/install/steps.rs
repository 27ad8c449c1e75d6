//! Doing what a plan comes to, step by step: the only place where installing changes anything.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Failure, Surroundings};
use crate::entropy;
use crate::platform;
use crate::task::place::Said;
use crate::task::{Call, ENCLOSED, Step, one_line, windows_xml};

/// Does a step.
pub(super) fn perform(step: &Step, around: &Surroundings<'_>) -> Result<(), Failure> {
    match step {
        Step::Remove(path) => remove(path),
        Step::Write(path, text) => write(path, text.as_bytes()).map_err(|fault| Failure::File(path.clone(), fault)),
        Step::Run(call) => match run(call, around) {
            Ok(said) if said.exit_code == 0 || call.may_fail => Ok(()),
            Ok(said) => {
                let words = if said.complaint.trim().is_empty() { said.output } else { said.complaint };
                let words = format!("{} (exit code {})", one_line(&words), said.exit_code);
                Err(Failure::Call(call.to_string(), words.trim_start().to_owned()))
            }
            Err(_) if call.may_fail => Ok(()),
            Err(fault) => Err(Failure::Call(call.to_string(), fault.to_string())),
        },
    }
}

/// Says what a step would do.
pub(super) fn show(step: &Step, around: &Surroundings<'_>) {
    match step {
        Step::Remove(path) => (around.say)(&format!("remove {}", path.display())),
        Step::Write(path, text) => (around.say)(&format!("write {}\n{text}", path.display())),
        Step::Run(call) => {
            (around.say)(&format!("run {call}"));
            if let Some(text) = &call.enclosed {
                (around.say)(text);
            }
        }
    }
}

/// Makes a call. What it encloses is in a file of its own for that time, also when the call fails.
pub(super) fn run(call: &Call, around: &Surroundings<'_>) -> io::Result<Said> {
    let enclosed = call.enclosed.as_deref().map(Enclosed::write).transpose()?;
    let words: Vec<OsString> = call
        .words
        .iter()
        .map(|word| match &enclosed {
            Some(file) if word == ENCLOSED => file.path.clone().into(),
            Some(_) | None => word.into(),
        })
        .collect();
    let output = around.machine.run(&call.program, &words)?;
    Ok(Said {
        exit_code: output.status.code().map_or(1, i32::cast_unsigned),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        complaint: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A file that is there as long as this is. It lies where others write, too, and what reads it may have more rights
/// than they.
struct Enclosed {
    path: PathBuf,
    held: Option<fs::File>,
}

impl Enclosed {
    fn write(text: &str) -> io::Result<Self> {
        let dice = entropy::throw().ok_or_else(|| io::Error::other("the system gives no random bytes"))?;
        let path = std::env::temp_dir().join(format!("nicgate-{}.xml", entropy::nonce(dice)));
        let mut enclosed = Self { path, held: None };
        enclosed.held = Some(platform::write_held(&enclosed.path, &windows_xml::utf16(text))?);
        Ok(enclosed)
    }
}

impl Drop for Enclosed {
    fn drop(&mut self) {
        drop(self.held.take());
        // What stays holds no secret, and the system empties the folder.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a file as a whole: whoever reads it meanwhile sees the old one or the new one.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
}

/// Takes a file or a link away, never a folder.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    gone(path, fs::remove_file(path))
}

/// Takes a folder away with all that is in it; a link goes alone. Only for folders that are ours by a fixed name.
pub(super) fn remove_folder(path: &Path) -> Result<(), Failure> {
    let is_folder = path.symlink_metadata().is_ok_and(|about| about.is_dir());
    gone(path, if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) })
}

fn gone(path: &Path, ended: io::Result<()>) -> Result<(), Failure> {
    match ended {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(Failure::File(path.to_owned(), fault)),
        Ok(()) | Err(_) => Ok(()),
    }
}
