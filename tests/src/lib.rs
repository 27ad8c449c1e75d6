//! The harness of the end-to-end stories: a whole gateway in this process on free loopback ports, with a clock
//! that stories set, and the means to speak to it as real clients do.
//!
//! Outside programs are asked for by [`tool`]: a story that misses one says so and is skipped, unless
//! `NICGATE_TESTS_COMPLETE` is set, as `tests/run` does after installing them.
#![forbid(unsafe_code)]

pub mod fake;
#[cfg(target_os = "linux")]
pub mod namespace;
pub mod program;
pub mod pusher;
pub mod servers;
pub mod signing;
pub mod wine;
pub mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nicgate::clock::Clock;
use nicgate::config;
use nicgate::desk::DeskError;
use nicgate::gateway::{Running, Start, StartError};
use nicgate::log::{Format, Log, Writer};
use nicgate::store::StoreError;
use nicgate_logic::Now;
use nicgate_protocol::Timestamp;

pub use program::program;
pub use wire::{Answer, Request};

/// 2026-11-22T12:00:00Z, where every story's clock starts.
pub const NOON: Timestamp = Timestamp(1_795_348_800_000);

/// A zone of the embedded name server, a device for it, no limits: what most stories need.
pub const PLAIN: &str = r#"
[[provider]]
name = "lab"
type = "embedded"

[[zone]]
name = "home.test"
providers = ["lab"]
addresses = "any"

[limits]
enabled = false

[[device]]
id = "box"
hosts = ["a.home.test", "b.home.test", "c.home.test", "good.home.test", "*.lan.home.test"]

[[device]]
id = "other"
hosts = ["foreign.home.test"]
"#;

/// A folder that goes with its owner.
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder in the system's temporary one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nicgate-{name}-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the temporary folder takes another one");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The hands of a story's clock.
#[derive(Clone)]
pub struct Hands(Arc<Mutex<Now>>);

impl Hands {
    /// Moves the clock on.
    pub fn forward(&self, span: Duration) {
        let mut now = self.0.lock().expect("nobody panics with the hands of the clock");
        now.wall = now.wall + span;
        now.uptime += span;
    }

    /// Sets the clock to a time of day; what has passed since the start stays.
    pub fn set(&self, wall: Timestamp) {
        self.0.lock().expect("nobody panics with the hands of the clock").wall = wall;
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Now {
        *self.0.lock().expect("nobody panics with the hands of the clock")
    }
}

/// Measures how long the real gateway takes in real time; the only clock here that no story sets.
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "deadlines of real sockets are measured by the real clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long since then.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Where log lines are collected.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with the log").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A gateway that runs in this process.
pub struct House {
    runtime: tokio::runtime::Runtime,
    running: Option<Running>,
    writer: Option<Writer>,
    lines: Lines,
    folder: Folder,
    /// The clock.
    pub hands: Hands,
}

impl House {
    /// A gateway with [`PLAIN`].
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::with(name, PLAIN)
    }

    /// A gateway with other sections; `[server]`'s ports, `[tls]` and `[dns]` are the harness' unless `sections`
    /// has its own. What `sections` says above its first section goes into `[server]`.
    #[must_use]
    pub fn with(name: &str, sections: &str) -> Self {
        let folder = Folder::new(name);
        nicgate::http::tls::development_ca(folder.path(), &["localhost", "127.0.0.1", "::1"].map(str::to_owned))
            .expect("a development CA is made");
        let hands = Hands(Arc::new(Mutex::new(Now { wall: NOON, uptime: Duration::from_secs(3600) })));
        let mut house =
            Self { runtime: runtime(), running: None, writer: None, lines: Lines::default(), folder, hands };
        house.write_configuration(sections);
        house.start();
        house
    }

    /// A gateway with [`PLAIN`] whose clock stands at the present: for programs that sign by the system's clock.
    #[must_use]
    pub fn in_the_present(name: &str) -> Self {
        Self::new(name).brought_to_the_present()
    }

    /// The same gateway, started again with its clock at the present.
    #[must_use]
    pub fn brought_to_the_present(mut self) -> Self {
        const BEFORE: Duration = Duration::from_secs(5);
        self.stop();
        // Started a moment ago, so that nothing signed from now on is as old as the gateway's memory.
        self.hands.set(Clock::system().now().wall - BEFORE);
        self.start();
        self.hands.forward(BEFORE);
        self
    }

    /// Writes the configuration; a running gateway reads it by itself.
    pub fn write_configuration(&self, sections: &str) {
        let text = configuration_text(sections);
        // Written beside and renamed, as a careful operator does.
        let (file, draft) = (self.configuration(), self.folder.path().join("draft.toml"));
        std::fs::write(&draft, text)
            .and_then(|()| std::fs::rename(&draft, &file))
            .expect("the configuration is written");
    }

    /// The configuration file.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// The folder that holds the configuration, `data` and the certificates.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the gateway that was stopped.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&mut self) {
        // Another story may just be starting a program: for a moment that child holds every lock of this process, too.
        for _ in 0..200 {
            match self.try_start() {
                Ok(()) => return,
                Err(StartError::Desk(DeskError::Store(StoreError::InUse { .. }))) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the store stays in use");
    }

    fn try_start(&mut self) -> Result<(), StartError> {
        let settings = match config::load(&self.configuration(), &|_| None) {
            Ok(settings) => settings,
            Err(mistakes) => panic!("{mistakes}"),
        };
        let clock = Clock::Set(Arc::clone(&self.hands.0));
        let (log, writer) = Log::start(Format::Json, clock.clone(), self.lines.clone());
        let start = Start { settings, file: Some(self.configuration()), clock, log };
        self.running = Some(self.runtime.block_on(Running::start(start))?);
        self.writer = Some(writer);
        Ok(())
    }

    /// Stops the gateway in good order.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
        self.writer = None;
    }

    /// Ends the gateway as a crash does: whatever it was about to do is not done. What the disk has, it keeps.
    ///
    /// # Panics
    /// When the system gives no other runtime.
    pub fn crash(&mut self) {
        let running = self.running.take();
        let runtime = std::mem::replace(&mut self.runtime, runtime());
        runtime.shutdown_timeout(Duration::from_secs(5));
        drop(running);
        self.writer = None;
    }

    /// Runs `ask` while the gateway stops, which begins a moment before.
    pub fn stop_while<T>(&mut self, ask: impl FnOnce() -> T) -> T {
        let running = self.running.take().expect("the gateway runs");
        let stopping = self.runtime.spawn(running.stop());
        let answer = ask();
        self.runtime.block_on(stopping).expect("stopping does not panic");
        self.writer = None;
        answer
    }

    /// What runs.
    #[must_use]
    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("the gateway runs")
    }

    /// Where HTTPS is spoken.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        self.running().https[0]
    }

    /// Where plain HTTP is spoken.
    #[must_use]
    pub fn plain(&self) -> SocketAddr {
        self.running().plain[0]
    }

    /// The CA that vouches for the gateway.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Where the name server listens.
    #[must_use]
    pub fn dns(&self) -> SocketAddr {
        self.running().dns[0]
    }

    /// The password of a device, first generation.
    #[must_use]
    pub fn password(&self, device: &str) -> String {
        self.running().gateway.desk.master.password(device, 1).text().to_owned()
    }

    /// The signing key of a device, first generation.
    #[must_use]
    pub fn key(&self, device: &str) -> String {
        self.running().gateway.desk.master.key(device, 1).text().to_owned()
    }

    /// The value of an Authorization header for Basic.
    #[must_use]
    pub fn basic(&self, device: &str) -> String {
        wire::basic(device, &self.password(device))
    }

    /// Sends a request over TLS and reads the answer.
    #[must_use]
    pub fn send(&self, request: &Request) -> Answer {
        wire::over_tls(self.https(), &self.folder.path().join("ca.crt"), request)
    }

    /// An update of `box` with Basic: the classic router.
    #[must_use]
    pub fn update(&self, query: &str) -> Answer {
        self.send(&Request::get(&format!("/nic/update?{query}")).header("Authorization", &self.basic("box")))
    }

    /// What the name server says, as `dig +short` prints it, sorted.
    #[must_use]
    pub fn dig(&self, name: &str, record_type: &str) -> Vec<String> {
        dig(self.dns(), name, record_type)
    }

    /// The log so far, as JSON values.
    #[must_use]
    pub fn log(&self) -> Vec<serde_json::Value> {
        // Lines wait for at most a tenth of a second.
        std::thread::sleep(Duration::from_millis(150));
        let bytes = self.lines.0.lock().expect("nobody panics with the log").clone();
        let text = String::from_utf8(bytes).expect("the log is UTF-8");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not one JSON object: {line}")))
            .collect()
    }

    /// Waits until `holds`, for at most ten seconds.
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        for _ in 0..200 {
            if holds(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("waited ten seconds in vain: {what}\nlog: {:#?}", self.log());
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A configuration file: `sections`, and what every story's gateway has where they say nothing else. What they say
/// above their first section goes into `[server]`.
#[must_use]
pub fn configuration_text(sections: &str) -> String {
    let start = if sections.starts_with('[') { 0 } else { sections.find("\n[").map_or(sections.len(), |at| at + 1) };
    let (server, rest) = sections.split_at(start);
    let mut text = String::from("[server]\n");
    for (key, value) in [("listen", "[\"127.0.0.1:0\"]"), ("data_dir", "\"data\"")] {
        if !server.lines().any(|line| line.starts_with(&format!("{key} ="))) {
            text += &format!("{key} = {value}\n");
        }
    }
    text += server;
    for (title, keys) in [
        ("\n[tls]\n", "cert_file = \"server.crt\"\nkey_file = \"server.key\"\n"),
        ("\n[dns]\n", "listen = [\"127.0.0.1:0\"]\n"),
    ] {
        if !format!("\n{rest}").contains(title) {
            text += &format!("{title}{keys}");
        }
    }
    text + "\n" + rest
}

/// What a name server says, as `dig +short` prints it, sorted. The wire format is somebody else's library.
#[must_use]
pub fn dig(server: SocketAddr, name: &str, record_type: &str) -> Vec<String> {
    wire::resolve(server, name, record_type)
}

/// Where an outside program is; `None`, with a word about it, when it is missing and may be.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(extra).map(|folder| folder.join(name)).find(|file| file.is_file());
    missing(name, found)
}

/// A Python of the tests' own environment, which `tests/run` makes.
#[must_use]
pub fn python() -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let found = file.is_file().then_some(file);
    missing("the tests' Python environment", found)
}

/// Whether something else that a story needs is there, asked for by a command that succeeds if it is.
#[must_use]
pub fn has(name: &str, question: &mut Command) -> bool {
    let succeeds = question.output().is_ok_and(|output| output.status.success());
    missing(name, succeeds.then(PathBuf::new)).is_some()
}

fn missing(name: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    if found.is_none() {
        assert!(
            std::env::var_os("NICGATE_TESTS_COMPLETE").is_none(),
            "{name} is missing, and tests/run should have installed it"
        );
        eprintln!("SKIPPED: {name} is missing; tests/run installs it");
    }
    found
}

/// Runs a program to its end and gives what it printed.
#[must_use]
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Standard output and error of a program, as one text.
#[must_use]
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
