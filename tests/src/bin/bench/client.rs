//! (u) One update by our client as a scheduler runs it, against curl doing the same work: asking which address the
//! gateway sees, then the signed update over the same connection. Whole processes, from nothing to their end.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::Effort;
use crate::laboratory::{DEVICE, Laboratory, host};
use crate::process::{cpu_of, now};
use crate::table::{Aim, Spread, Table};

/// How often each contestant runs in a round.
const RUNS: usize = 30;
/// What the whole process may have in memory at its peak, in MiB.
const MEMORY: f64 = 4.0;
/// How large the program for Windows may be on disk, in MB.
const SIZE: f64 = 1.6;

/// A command that runs to its end, and what each round of it cost.
struct Contestant {
    name: &'static str,
    program: PathBuf,
    words: Vec<OsString>,
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

pub(crate) fn measure(laboratory: &Laboratory, effort: Effort, table: &mut Table) {
    let configuration = laboratory.configure("client-gateway.toml", "client", &Laboratory::one_device());
    let gateway = laboratory.gateway(&configuration);
    // In the second of its start a gateway cannot tell a second signed update of a host from an older one.
    std::thread::sleep(Duration::from_millis(1100));

    let key = laboratory.master.key(DEVICE, 1);
    let base = format!("https://{}", gateway.https);
    let file = laboratory.path("client.toml");
    let text = format!(
        "gateway = \"{base}\"\nca_file = \"ca.crt\"\ndevice = \"{DEVICE}\"\nkey = \"{}\"\nhosts = [\"{}\"]\n",
        key.text(),
        host(0)
    );
    std::fs::write(&file, text).expect("the client's configuration is written");
    let program = built("small/nicgate-client");
    let client = |name, words: &[&str]| {
        let config = ["--config".into(), file.clone().into_os_string()];
        Contestant::new(name, &program, config.into_iter().chain(words.iter().map(OsString::from)).collect())
    };

    let curl = nicgate_tests::tool("curl").expect("tests/bench looked for curl");
    let ca = laboratory.path("ca.crt").display().to_string();
    let user = format!("{DEVICE}:{}", key.text());
    let (asked, sent) = (format!("{base}/myip"), format!("{base}/nic/update?hostname={}&myip=127.0.0.1", host(0)));
    let signed = ["-s", "--cacert", &ca, "--aws-sigv4", "aws:amz:auto:ddns", "--user", &user, &sent];
    let both = [&["-s", "--cacert", &ca, &asked, "--next"][..], &signed].concat();
    let words = |words: &[&str]| words.iter().map(OsString::from).collect();

    let mut contestants = [
        client("update --force", &["update", "--force"]),
        client("update with nothing to do", &["update"]),
        Contestant::new("curl, both questions", &curl, words(&both)),
        Contestant::new("curl, the update alone", &curl, words(&signed)),
    ];
    for (contestant, answer) in
        contestants.iter().zip([": good ", "nothing to do", "nochg 127.0.0.1", "nochg 127.0.0.1"])
    {
        let output = contestant.command().stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(answer), "{}: {said}{}", contestant.name, String::from_utf8_lossy(&output.stderr));
    }
    for _ in 0..effort.rounds {
        let mut costs = [(); 4].map(|()| (Vec::new(), Vec::new()));
        for _ in 0..RUNS {
            for (contestant, (walls, cpus)) in contestants.iter().zip(&mut costs) {
                let (wall, cpu) = contestant.run();
                walls.push(wall.as_secs_f64() * 1e3);
                cpus.push(cpu.as_secs_f64() * 1e3);
            }
        }
        for (contestant, (walls, cpus)) in contestants.iter_mut().zip(costs) {
            contestant.wall.push(Spread::of(walls).median());
            contestant.cpu.push(Spread::of(cpus).median());
        }
    }
    let [forced, idle, both, alone] = contestants;
    for ours in [&forced, &idle] {
        for (theirs, aim) in [(&both, Aim::AtMost(1.0)), (&alone, Aim::None)] {
            table.ratio("u", &format!("{}: wall ms", ours.name), &ours.wall, (theirs.name, &theirs.wall), aim);
        }
        table.ratio("u", &format!("{}: CPU ms", ours.name), &ours.cpu, (both.name, &both.cpu), Aim::None);
    }
    let peaks = |contestant: &Contestant| (0..effort.rounds).map(|_| contestant.peak()).collect::<Vec<f64>>();
    table.figure("u", "update --force: peak memory", &peaks(&forced), "MiB", Aim::AtMost(MEMORY));
    table.figure("u", "curl, both questions: peak memory", &peaks(&both), "MiB", Aim::None);
    for (name, file, aim) in [
        ("nicgate-client for Linux", "small/nicgate-client", Aim::None),
        ("nicgate-client.exe for Windows", "x86_64-pc-windows-gnu/small/nicgate-client.exe", Aim::AtMost(SIZE)),
    ] {
        match built(file).metadata() {
            Ok(about) => table.figure("u", name, &[about.len() as f64 / 1e6], "MB", aim),
            Err(_) => println!("  {name} is not built; tests/windows does that"),
        }
    }
}

impl Contestant {
    fn new(name: &'static str, program: &Path, words: Vec<OsString>) -> Self {
        Self { name, program: program.to_owned(), words, wall: Vec::new(), cpu: Vec::new() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// One run: how long it took, and how long it was on a CPU.
    fn run(&self) -> (Duration, Duration) {
        let begun = now();
        let mut child = self.command().spawn().expect("it runs");
        // Left as it is once it has ended, so that the kernel still tells what it cost.
        let pid = Pid::from_child(&child);
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("a child can be waited for");
        let wall = begun.elapsed();
        let cpu = cpu_of(child.id());
        assert!(child.wait().is_ok_and(|status| status.success()), "{} failed", self.name);
        (wall, cpu)
    }

    /// The most memory that it had at a time, in MiB.
    fn peak(&self) -> f64 {
        let time = nicgate_tests::tool("time").expect("tests/bench looked for it");
        let mut command = Command::new(time);
        command.args(["-q", "-f", "%M"]).arg(&self.program).args(&self.words).stdin(Stdio::null());
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let kilobytes = said.lines().last().and_then(|line| line.parse::<f64>().ok());
        kilobytes.unwrap_or_else(|| panic!("{}: {said}", self.name)) / 1024.0
    }
}

/// A file in the folder where cargo builds.
fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a program knows itself");
    own.ancestors().nth(2).expect("it is built into a folder of the target folder").join(name)
}
