//! Programs under measurement: started, waited for, asked of the kernel what they cost, and ended.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take until it has started.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running program. Killed when it goes out of scope.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program; what it says goes into the file `log`, as it would in service.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let _ = fs::remove_file(log);
        let sink = OpenOptions::new().create(true).append(true).open(log).expect("the log file is made");
        let for_output = sink.try_clone().expect("a file can be written by two");
        let child = command.stdin(Stdio::null()).stdout(for_output).stderr(sink).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// Waits for the line that says it has started, and gives it.
    pub(crate) fn wait_until_started(&mut self) -> serde_json::Value {
        let begun = now();
        while begun.elapsed() < PATIENCE {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            let line = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            if let Some(started) = line.into_iter().find(|line| line["event"] == "started") {
                return started;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("ended with {status}: {said}");
            }
            pause();
        }
        panic!("did not start within {PATIENCE:?}");
    }

    /// Waits until somebody accepts connections at `address`.
    pub(crate) fn wait_until_listening(&mut self, address: SocketAddr) {
        let begun = now();
        while std::net::TcpStream::connect(address).is_err() {
            let said = || fs::read_to_string(&self.log).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "nobody listens on {address}: {}", said());
            pause();
        }
    }

    /// Empties its log, so that a long measurement does not fill the disk.
    pub(crate) fn empty_log(&self) {
        let _ = File::options().write(true).open(&self.log).and_then(|file| file.set_len(0));
    }

    /// The CPU time of all threads, and of the processes that it started: what the scheduler counted.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        resident_of(&self.child.id().to_string())
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }

    /// Ends it without a word.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // With a word, so that a master takes its workers along.
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
            for _ in 0..500 {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return;
                }
                pause();
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Resident memory of a process (`self`: this one), in bytes.
pub(crate) fn resident_of(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.expect("Linux says how much memory a process has") * 1024
}

/// The CPU time of a process and of those that it started, as far as they are not waited for.
pub(crate) fn cpu_of(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .map(|task| {
            // The first field: nanoseconds on a CPU.
            let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let own = schedstat.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0);
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let of_children: Duration =
                children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(cpu_of).sum();
            Duration::from_nanos(own) + of_children
        })
        .sum()
}

/// The one place here that looks at a clock.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}
