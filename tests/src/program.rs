//! The programs as they are shipped: found beside the tests, started as processes, killed without mercy.
//!
//! Most stories run a gateway in their own process, see [`crate::House`]. Those that kill it, fill its disk or read
//! its last words need the real one.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Folder, configuration_text};

/// How long a gateway may take to say that it has started.
const START: Duration = Duration::from_secs(30);

/// Where one of our programs is, as cargo built it beside the tests.
///
/// # Panics
/// When it is missing, or older than one of its sources: a story about last week's program proves nothing.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a test knows where it is");
    // target/debug/deps/scenarios-…: programs are one floor up.
    let folder = tests.ancestors().nth(2).expect("tests are built into a folder of the target folder");
    newest(folder.join(name), "cargo build --workspace")
}

/// Where cargo builds everything.
pub(crate) fn target_folder() -> PathBuf {
    let tests = std::env::current_exe().expect("a test knows where it is");
    tests.ancestors().nth(3).expect("tests are built into a folder of the target folder").to_owned()
}

/// That very file, if it is there and none of its sources is newer; `build` is what makes it so.
pub(crate) fn newest(file: PathBuf, build: &str) -> PathBuf {
    let written = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(built) = written(&file) else { panic!("{} is missing: run `{build}` first", file.display()) };
    let newer = sources(&file).into_iter().find(|source| written(source).is_none_or(|time| time > built));
    if let Some(newer) = newer {
        panic!("{} is older than {}: run `{build}` first", file.display(), newer.display());
    }
    file
}

/// What a program was built from, as cargo noted beside it.
fn sources(file: &Path) -> Vec<PathBuf> {
    let note = std::fs::read_to_string(file.with_extension("d")).unwrap_or_default();
    let list = note.split_once(": ").map_or("", |(_, list)| list);
    list.split_whitespace().map(PathBuf::from).collect()
}

/// A folder with a configuration, certificates and, after the first start, data: all that a gateway owns.
pub struct Site {
    folder: Folder,
}

impl Site {
    /// A folder for a gateway with other sections than the harness' own, as [`crate::House::with`] takes them.
    #[must_use]
    pub fn new(name: &str, sections: &str) -> Self {
        let folder = Folder::new(name);
        nicgate::http::tls::development_ca(folder.path(), &["localhost", "127.0.0.1", "::1"].map(str::to_owned))
            .expect("a development CA is made");
        let site = Self { folder };
        std::fs::write(site.configuration(), configuration_text(sections)).expect("the configuration is written");
        site
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// The certificate of the CA that the gateway's certificate comes from.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Where the gateway keeps what must not be lost.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts `nicgate serve` here.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn serve(&self) -> Served {
        Served::start(&self.configuration()).unwrap_or_else(|refused| panic!("nicgate serve: {refused:?}"))
    }

    /// The password of a device, as `nicgate device show` prints it.
    ///
    /// # Panics
    /// When the command fails.
    #[must_use]
    pub fn password(&self, device: &str) -> String {
        self.shown(device, "password")
    }

    /// The key with which a device signs, as `nicgate device show` prints it.
    ///
    /// # Panics
    /// When the command fails.
    #[must_use]
    pub fn key(&self, device: &str) -> String {
        self.shown(device, "key")
    }

    fn shown(&self, device: &str, secret: &str) -> String {
        let mut command = Command::new(program("nicgate"));
        command.args(["device", "show", device, "--json", "--config"]).arg(self.configuration());
        let output = crate::run(&mut command);
        assert!(output.status.success(), "{}", crate::text(&output));
        let device: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        device[secret].as_str().expect("a secret").to_owned()
    }
}

/// A `nicgate serve` that did not start.
#[derive(Debug)]
pub struct Refused {
    /// Its exit status.
    pub status: ExitStatus,
    /// Everything it said.
    pub text: String,
}

/// A running `nicgate serve`, killed by its id when dropped.
pub struct Served {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    /// How long it took from nothing to `started` in the log, whose lines wait for up to a tenth of a second.
    pub start_time: Duration,
    /// Where HTTPS is spoken.
    pub https: Vec<SocketAddr>,
    /// Where plain HTTP is spoken.
    pub plain: Vec<SocketAddr>,
    /// Where the name server listens.
    pub dns: Vec<SocketAddr>,
}

impl Served {
    /// Starts `nicgate serve` with a configuration and waits until it says where it listens.
    ///
    /// # Errors
    /// When it ends instead.
    ///
    /// # Panics
    /// When it neither starts nor ends.
    pub fn start(configuration: &Path) -> Result<Self, Refused> {
        let began = this_instant();
        let mut child = Command::new(program("nicgate"))
            .args(["serve", "--config"])
            .arg(configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nicgate runs");
        let stderr = child.stderr.take().expect("it was piped");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let reader = std::thread::spawn({
            let lines = Arc::clone(&lines);
            move || collect(stderr, &lines)
        });
        let mut served = Self {
            child,
            lines,
            reader: Some(reader),
            start_time: Duration::ZERO,
            https: Vec::new(),
            plain: Vec::new(),
            dns: Vec::new(),
        };
        loop {
            if let Some(started) = served.log().into_iter().find(|line| line["event"] == "started") {
                served.start_time = began.elapsed();
                let addresses = |key: &str| {
                    let text = started[key].as_str().expect("`started` names every kind of address");
                    text.split_whitespace().map(|address| address.parse().expect("an address")).collect()
                };
                (served.https, served.plain, served.dns) = (addresses("https"), addresses("plain"), addresses("dns"));
                return Ok(served);
            }
            if let Some(status) = served.child.try_wait().expect("a child can be waited for") {
                served.finish_reading();
                return Err(Refused { status, text: served.text() });
            }
            assert!(began.elapsed() < START, "neither started nor ended: {}", served.text());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.lock().expect("nobody panics with the lines").join("\n")
    }

    /// The log so far; lines that are no JSON are left out.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        let lines = self.lines.lock().expect("nobody panics with the lines");
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Ends it by SIGKILL, in the middle of whatever it does.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to end, as an init system does, and gives its exit status.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(mut self) -> ExitStatus {
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(asked.is_ok_and(|status| status.success()), "SIGTERM cannot be sent");
        let began = this_instant();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(began.elapsed() < START, "SIGTERM did not end it: {}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn end(&mut self) {
        // Fails only for one that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.finish_reading();
    }

    fn finish_reading(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

fn collect(stderr: ChildStderr, lines: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        lines.lock().expect("nobody panics with the lines").push(line);
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a process takes is measured by the real clock")]
fn this_instant() -> Instant {
    Instant::now()
}
