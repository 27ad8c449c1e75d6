//! The first thing that anybody types: `nicgate demo`. It proves itself, and every line that it prints can be pasted.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nicgate_tests::{Folder, program, run, text, tool};

/// A temporary folder of the story's own, so that what is left behind is seen.
fn demo(temporary: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("nicgate"));
    command.args(["demo", "--https-port", "0", "--dns-port", "0"]).args(arguments);
    command.env("TMPDIR", temporary.path()).stdin(Stdio::null());
    command
}

fn left_in(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn once_proves_itself_and_leaves_nothing_behind() {
    let temporary = Folder::new("demo-once");
    let output = run(&mut demo(&temporary, &["--once"]));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("good 203.0.113.7"), "{said}");
    assert!(said.contains("name server  home.home.test A 203.0.113.7"), "{said}");
    assert_eq!(left_in(temporary.path()), BTreeSet::new());
}

#[test]
fn once_in_a_folder_of_ones_own_keeps_it_and_works_again() {
    let temporary = Folder::new("demo-kept");
    let folder = temporary.path().join("kept");
    for _ in 0..2 {
        let output = run(demo(&temporary, &["--once", "--data-dir"]).arg(&folder));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        // A gateway that restarts takes no signature from the second of a host's newest change: it could have seen it.
        std::thread::sleep(Duration::from_millis(1100));
    }
    assert!(folder.join("gateway.toml").is_file() && folder.join("data").is_dir());
    assert_eq!(left_in(temporary.path()), BTreeSet::from(["kept".to_owned()]));
}

#[test]
fn a_port_that_is_taken_is_told_and_nothing_is_left() {
    let temporary = Folder::new("demo-taken");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = Command::new(program("nicgate"));
    command.args(["demo", "--once", "--dns-port", "0", "--https-port", &port]).env("TMPDIR", temporary.path());
    let output = run(&mut command);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("another program listens there"), "{}", text(&output));
    assert_eq!(left_in(temporary.path()), BTreeSet::new());
}

/// A demo that serves, killed by its id when dropped.
struct Serving {
    child: Child,
    /// What it printed.
    page: Vec<String>,
}

impl Serving {
    fn start(temporary: &Folder) -> Self {
        let mut child = demo(temporary, &[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut serving = Self { child, page: Vec::new() };
        loop {
            let line = lines.recv_timeout(Duration::from_secs(30)).expect("the demo prints its page to the end");
            let is_last = line.starts_with("Serving until Ctrl-C");
            serving.page.push(line);
            if is_last {
                return serving;
            }
        }
    }

    /// The printed lines that begin like this, without what they are indented by.
    fn lines(&self, start: &str) -> Vec<&str> {
        self.page.iter().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with(start)).collect()
    }

    fn end(mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
        for _ in 0..200 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{signal} did not end the demo");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Fails only for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a line as it was printed, from somewhere else.
fn paste(line: &str) -> String {
    let output = run(Command::new("sh").args(["-c", line]).current_dir("/").stdin(Stdio::null()));
    assert_eq!(output.status.code(), Some(0), "{line}\n{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn whoever_ends_it_early_finds_nothing_left_either() {
    for signal in ["-INT", "-TERM"] {
        let temporary = Folder::new("demo-ended");
        // Sent the moment the page is there, and answered in good order.
        assert_eq!(Serving::start(&temporary).end(signal), Some(0));
        assert_eq!(left_in(temporary.path()), BTreeSet::new(), "{signal}");
    }
}

#[test]
fn every_printed_line_works_as_it_stands() {
    // Built beside it, so the client's line names it.
    let client = program("nicgate-client");
    if [tool("curl"), tool("openssl"), tool("dig")].contains(&None::<PathBuf>) {
        return;
    }
    let temporary = Folder::new("demo-lines");
    let serving = Serving::start(&temporary);

    let curls = serving.lines("curl ");
    assert_eq!(curls.len(), 2, "{:?}", serving.page);
    assert_eq!(paste(curls[0]), "good 203.0.113.8\n");
    assert_eq!(paste(curls[0]), "nochg 203.0.113.8\n");
    assert_eq!(paste(curls[1]), "good 203.0.113.9\n");
    let signed = serving.lines("Q=");
    assert_eq!(paste(signed[0]), "good 203.0.113.10\n");
    let ours = serving.lines(&format!("{} ", client.display()));
    let said = paste(ours[0]);
    assert!(said.contains("127.0.0.1") && said.contains("pc.home.test"), "{said}");

    let dig = serving.lines("dig ")[0];
    assert_eq!(paste(dig), "203.0.113.8\n");
    for (host, address) in
        [("signed", "203.0.113.9"), ("script", "203.0.113.10"), ("pc", "127.0.0.1"), ("home", "203.0.113.7")]
    {
        assert_eq!(paste(&dig.replace("router", host)), format!("{address}\n"));
    }

    let gateway = program("nicgate");
    let commands = serving.lines(&format!("{} ", gateway.display()));
    assert_eq!(commands.len(), 2, "{:?}", serving.page);
    let shown = paste(commands[0]);
    assert!(shown.contains("home.home.test") && shown.contains("203.0.113.7") && shown.contains("demo"), "{shown}");
    let listed = paste(commands[1]);
    assert!(listed.contains("demo") && listed.contains("*.home.test"), "{listed}");

    // What a FRITZ!Box makes of its form: it fills in the marks and sends Basic, over HTTP/1.1.
    let form = |label: &str| serving.lines(label)[0].trim_start_matches(label).trim().to_owned();
    let url = form("Update URL").replace("<domain>", &form("Domain name")).replace("<ipaddr>", "203.0.113.20");
    let (user, password) = (form("User name"), form("Password"));
    let ca = curls[0].split(' ').nth(2).unwrap();
    assert_eq!(paste(&format!("curl -g --cacert {ca} --user '{user}:{password}' '{url}'")), "good 203.0.113.20\n");
    assert_eq!(paste(dig), "203.0.113.20\n");

    assert_eq!(serving.end("-INT"), Some(0));
    assert_eq!(left_in(temporary.path()), BTreeSet::new());
}
