//! What a person is asked for on a terminal, and what comes over standard input instead.
//!
//! Questions go to standard error: standard output is for results.

use std::fmt::Display;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use nicgate_protocol::Secret;
use nicgate_protocol::enrollment::{BadInvitation, Invitation};

use super::failure::Failure;
use crate::platform::Hush;

/// How often something that cannot be used is asked for again.
const TRIES: usize = 3;
/// More than the longest line with every blank that a mail may put into it, and than any key.
const LONGEST: u64 = 16 * 1024;

/// Whether somebody is there to ask.
pub(super) fn is_somebody_there() -> bool {
    io::stdin().is_terminal()
}

/// Everything that stands in standard input.
pub(super) fn all_of_stdin() -> Result<Secret<String>, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST).read_to_string(&mut text);
    let text = Secret::new(text);
    read.map(|_| text).map_err(|fault| Failure::bad(format!("standard input cannot be read: {fault}")))
}

/// Asks until the answer can be used. `otherwise` stands for an empty one.
pub(super) fn ask<T, E: Display>(
    question: &str,
    otherwise: Option<&str>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, Failure> {
    let mut last = String::from("nothing was entered");
    for _ in 0..TRIES {
        match otherwise {
            Some(otherwise) => prompt(&format!("{question} [{otherwise}]: ")),
            None => prompt(&format!("{question}: ")),
        }
        let Some(line) = line()? else { break };
        let text = match (line.expose().trim(), otherwise) {
            ("", Some(otherwise)) => otherwise,
            (text, _) => text,
        };
        match parse(text) {
            Ok(value) => return Ok(value),
            Err(why) => last = why.to_string(),
        }
        prompt(&format!("  {last}\n"));
    }
    Err(Failure::bad(last))
}

/// Asks for a secret, unseen where the terminal lets us.
pub(super) fn ask_unseen<T, E: Display>(
    question: &str,
    parse: impl Fn(&Secret<String>) -> Result<T, E>,
) -> Result<T, Failure> {
    let mut last = String::from("nothing was entered");
    for _ in 0..TRIES {
        let hush = Hush::begin();
        prompt(&match hush {
            Some(_) => format!("{question} (it is not shown): "),
            None => format!("{question} (this terminal shows it; see that nobody looks on): "),
        });
        let line = line();
        if hush.is_some() {
            drop(hush);
            prompt("\n");
        }
        let Some(line) = line? else { break };
        match parse(&line) {
            Ok(value) => return Ok(value),
            Err(why) => last = why.to_string(),
        }
        prompt(&format!("  {last}\n"));
    }
    Err(Failure::bad(last))
}

/// Asks for the line of an invitation; `None` when there is none. It may come in several lines: a mail has broken it,
/// and a terminal takes so many letters at once.
pub(super) fn ask_for_invitation() -> Result<Option<Invitation>, Failure> {
    prompt(
        "Paste the line that `nicgate device add` printed (nicgate1_...), and an empty line after it.\n\
         Without such a line press Enter: then the parts are asked for.\n",
    );
    let mut last = BadInvitation::NotOne;
    for _ in 0..TRIES {
        let mut text = Secret::new(String::new());
        loop {
            let Some(line) = line()? else { break };
            if line.expose().trim().is_empty() {
                break;
            }
            text = Secret::new([text.expose().as_str(), line.expose().trim()].concat());
            if let Ok(invitation) = Invitation::parse(text.expose()) {
                return Ok(Some(invitation));
            }
        }
        if text.expose().is_empty() {
            return Ok(None);
        }
        last = Invitation::parse(text.expose()).err().unwrap_or(BadInvitation::NotOne);
        prompt(&format!("  {last}\nOnce more:\n"));
    }
    Err(bad_invitation(last))
}

/// Why a line cannot be used, and what to do.
pub(super) fn bad_invitation(why: BadInvitation) -> Failure {
    match why {
        BadInvitation::CutOff => Failure::new(
            2,
            why.to_string(),
            "terminals cut long lines: put it into a file and use `nicgate-client init - < FILE`",
        ),
        BadInvitation::CaTooLong
        | BadInvitation::Damaged
        | BadInvitation::Gateway(_)
        | BadInvitation::Newer
        | BadInvitation::NotOne => Failure::bad(why.to_string()),
    }
}

fn prompt(text: &str) {
    let mut screen = io::stderr().lock();
    // Without a screen there is nobody to see that it fails.
    let _ = screen.write_all(text.as_bytes()).and_then(|()| screen.flush());
}

/// One line, without its end; `None` at the end of everything.
fn line() -> Result<Option<Secret<String>>, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST).read_line(&mut text);
    let text = Secret::new(text);
    match read {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(text)),
        Err(fault) => Err(Failure::bad(format!("the terminal cannot be read: {fault}"))),
    }
}
