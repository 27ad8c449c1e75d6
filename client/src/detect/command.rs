//! A program of the user's own that prints an address. Offered only where the file says so twice: whoever can change
//! what it runs can run anything. It is started as written, without a shell.

use std::fmt;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use nicgate_protocol::Family;
use nicgate_protocol::address::unmapped;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

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
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(CommandFault::Start)?;
    let output = child.stdout.take();
    let reading = spawn_blocking(move || {
        let mut text = Vec::new();
        output.map_or(Ok(0), |output| output.take(LONGEST).read_to_end(&mut text)).map(|_| text)
    });
    let text = match timeout(patience, reading).await {
        Ok(Ok(text)) => text.map_err(CommandFault::Start)?,
        Ok(Err(_)) | Err(_) => {
            // It may have ended by itself meanwhile; either way it is waited for.
            let _ = child.kill();
            let _ = child.wait();
            return Err(CommandFault::Timeout(patience));
        }
    };
    // Its output is closed, so it is ending.
    let status = spawn_blocking(move || child.wait()).await.unwrap_or_else(|fault| Err(io::Error::other(fault)));
    if !status.map_err(CommandFault::Start)?.success() {
        return Err(CommandFault::NotAnAddress(family));
    }
    read(&text, family).ok_or(CommandFault::NotAnAddress(family))
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
}
