//! A program of the user's own that prints an address. Offered only where the file says so twice: whoever can change
//! what it runs can run anything. It is started as written, without a shell.

use std::fmt;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nicgate_protocol::Family;
use nicgate_protocol::address::unmapped;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// How often we look whether it has ended.
const LOOK: Duration = Duration::from_millis(10);
/// The most of its output that is read.
const LONGEST: u64 = 4096;

/// Why there is no address.
#[derive(Debug)]
pub enum CommandFault {
    /// It printed something else than one address of the family.
    NotAnAddress(Family),
    /// It could not be started or read.
    Start(io::Error),
    /// It did not end in time.
    Timeout(Duration),
}

impl fmt::Display for CommandFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnAddress(Family::V4) => {
                f.write_str("the command did not print one IPv4 address on a line of its own")
            }
            Self::NotAnAddress(Family::V6) => {
                f.write_str("the command did not print one IPv6 address on a line of its own")
            }
            Self::Start(fault) => write!(f, "the command cannot be run: {fault}"),
            Self::Timeout(patience) => write!(f, "the command did not end within {} s", patience.as_secs()),
        }
    }
}

/// Runs the program and reads the one address of `family` that it prints; it may print one of each, a line each.
///
/// # Errors
/// When it cannot be run, does not end in time or prints something else.
pub async fn address(command: &[String], family: Family, patience: Duration) -> Result<IpAddr, CommandFault> {
    let [program, arguments @ ..] = command else { return Err(CommandFault::Start(io::ErrorKind::NotFound.into())) };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(CommandFault::Start)?;
    let mut running = Running(child);
    let output = running.0.stdout.take();
    let reading = spawn_blocking(move || {
        let mut text = Vec::new();
        output.map_or(Ok(0), |output| output.take(LONGEST).read_to_end(&mut text)).map(|_| text)
    });
    let ending = async {
        let text = reading.await.map_err(io::Error::other)??;
        loop {
            match running.0.try_wait()? {
                Some(status) => return Ok((text, status)),
                None => sleep(LOOK).await,
            }
        }
    };
    let ended: io::Result<_> = timeout(patience, ending).await.map_err(|_| CommandFault::Timeout(patience))?;
    let (text, status) = ended.map_err(CommandFault::Start)?;
    if !status.success() {
        return Err(CommandFault::NotAnAddress(family));
    }
    read(&text, family).ok_or(CommandFault::NotAnAddress(family))
}

/// A program that is running, and ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only for one that has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(text: &[u8], family: Family) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let addresses: Option<Vec<IpAddr>> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().ok().map(unmapped))
        .collect();
    let mut of_family = addresses?.into_iter().filter(|address| Family::of(*address) == family);
    let first = of_family.next()?;
    of_family.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_addresses_on_lines_of_their_own_are_read() {
        for (text, family, expected) in [
            ("192.0.2.1\n", Family::V4, Some("192.0.2.1")),
            ("192.0.2.1\r\n2001:db8::1\r\n", Family::V6, Some("2001:db8::1")),
            ("192.0.2.1\n192.0.2.2\n", Family::V4, None),
            ("address: 192.0.2.1\n", Family::V4, None),
            ("", Family::V4, None),
        ] {
            assert_eq!(read(text.as_bytes(), family).map(|address| address.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_program_that_stays_is_ended() {
        let run = |script: &str| {
            let command = ["/bin/sh", "-c", script].map(str::to_owned);
            async move { address(&command, Family::V4, Duration::from_millis(300)).await.map_err(|fault| fault.to_string()) }
        };
        assert_eq!(run("echo 192.0.2.1").await, "192.0.2.1".parse().map_err(|_| String::new()));
        assert!(run("echo 192.0.2.1; exit 3").await.is_err());
        for script in ["echo 192.0.2.1; exec sleep 60", "echo 192.0.2.1; exec sleep 60 >&-"] {
            assert!(run(script).await.unwrap_err().contains("did not end"), "{script}");
        }
    }
}
