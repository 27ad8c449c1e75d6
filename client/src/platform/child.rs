//! A program that is run to its end: what it printed, and how it ended.
//!
//! Its end counts, not that of its pipes. What it leaves running in the background may have inherited them, and would
//! keep whoever reads to their end waiting for as long as it runs itself.

use std::io::{self, Read};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long a program may run: those that are called here answer within seconds.
const LONGEST: Duration = Duration::from_secs(60);
/// How often we look whether it has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long after its end the rest of what it printed may take to arrive.
const GRACE: Duration = Duration::from_millis(500);

/// Runs a program without anything to read from.
///
/// # Errors
/// When it cannot be started, or is ended because it runs for too long.
pub(super) fn run(command: &mut Command) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take().map(collect), child.stderr.take().map(collect));
    let status = end(&mut child)?;
    Ok(Output { status, stdout: stdout.map_or(Vec::new(), rest), stderr: stderr.map_or(Vec::new(), rest) })
}

fn end(child: &mut Child) -> io::Result<std::process::ExitStatus> {
    let looks = LONGEST.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(LOOK);
    }
    // It may have ended just now; either way it is waited for.
    let _ = child.kill();
    child.wait()?;
    Err(io::Error::new(io::ErrorKind::TimedOut, "it did not end within a minute and was ended"))
}

/// Hands over what comes out of a pipe, piece by piece, until it is closed.
fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut piece) {
            if sender.send(piece[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// What has come, and what still comes without a pause. The receiver ends with the pipe.
fn rest(pieces: Receiver<Vec<u8>>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(piece) = pieces.recv_timeout(GRACE) {
        all.extend(piece);
    }
    all
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Output {
        run(Command::new("/bin/sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn everything_printed_arrives_with_the_exit_code() {
        let output = shell("echo out; echo err >&2; exit 3");
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(shell("head -c 1000000 /dev/zero").stdout.len(), 1_000_000);
    }

    #[test]
    fn what_it_leaves_running_is_not_waited_for() {
        // The rest keeps both pipes open for longer than the whole suite may take.
        let output = shell("sleep 1000 & echo $!");
        let id = String::from_utf8(output.stdout).unwrap();
        assert!(Command::new("kill").arg(id.trim()).status().unwrap().success(), "it still ran");
    }
}
