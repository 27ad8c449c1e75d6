//! Our own client, from the line that an operator hands out to a name that points somewhere: `init` and `doctor`, with
//! the real gateway over TLS.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use nicgate_tests::program::{Served, Site};
use nicgate_tests::wine::Wine;
use nicgate_tests::{Folder, PLAIN, dig, program, run, text, tool};
use serde_json::Value;

const ADDRESS: &str = "192.0.2.7";

/// A gateway, and a folder for the client's files.
struct Stage {
    site: Site,
    served: Option<Served>,
}

/// How a run ended.
struct Ended {
    code: Option<i32>,
    said: String,
}

impl Stage {
    fn new(name: &str) -> Self {
        let site = Site::new(name, PLAIN);
        let served = Some(site.serve());
        Self { site, served }
    }

    fn gateway(&self) -> String {
        format!("https://localhost:{}", self.served.as_ref().unwrap().https[0].port())
    }

    fn folder(&self) -> PathBuf {
        self.site.folder().join("client")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    fn nicgate(&self, words: &[&str]) -> Value {
        let mut command = Command::new(program("nicgate"));
        let output = run(command.args(words).args(["--json", "--config"]).arg(self.site.configuration()));
        assert!(output.status.success(), "{words:?}: {}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The line for a new device.
    fn line(&self, device: &str, hosts: &[&str]) -> String {
        let gateway = self.gateway();
        let mut words = vec!["device", "add", device, "--gateway", &gateway];
        hosts.iter().for_each(|host| words.extend(["--host", host]));
        self.nicgate(&words)["enroll"].as_str().unwrap().to_owned()
    }

    fn key(&self, device: &str) -> String {
        self.nicgate(&["device", "show", device])["key"].as_str().unwrap().to_owned()
    }

    /// Runs the client with our configuration and something to read.
    fn client(&self, words: &[&str], read: &str) -> Ended {
        let mut child = Command::new(program("nicgate-client"))
            .args(words)
            .arg("--config")
            .arg(self.file("client.toml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that reads nothing has closed it already.
        let _ = child.stdin.take().unwrap().write_all(read.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ended { code: output.status.code(), said: text(&output) }
    }

    /// The options of a configuration without a line.
    fn options<'a>(&self, gateway: &'a str, device: &'a str, ca: &'a str) -> Vec<&'a str> {
        vec!["init", "--gateway", gateway, "--device", device, "--ca", ca, "--ipv4", ADDRESS, "--for", "user"]
    }

    fn ca(&self) -> String {
        self.site.ca().display().to_string()
    }

    fn address_of(&self, name: &str) -> Vec<String> {
        dig(self.served.as_ref().unwrap().dns[0], name, "A")
    }

    /// The files of the client in which a text stands.
    fn holding(&self, part: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().path());
        let holds = |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap()).contains(part);
        entries.filter(holds).map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[track_caller]
fn expect(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.said);
    for part in parts {
        assert!(ended.said.contains(part), "{part:?} is not in: {}", ended.said);
    }
}

#[test]
fn a_line_becomes_a_name_that_points_here() {
    let stage = Stage::new("init-line");
    let line = stage.line("laptop", &["pc.home.test", "*.lan.home.test"]);
    let words = ["init", &line, "--ipv4", ADDRESS, "--for", "user"];
    let first = stage.client(&words, "");
    expect(&first, 0, &["pc.home.test: good 192.0.2.7", "below lan.home.test", "install", "status"]);
    assert_eq!(stage.address_of("pc.home.test"), [ADDRESS]);
    for (name, expected) in [("client.toml", 0o600), ("laptop.key", 0o600), ("ca.crt", 0o600), ("", 0o700)] {
        assert_eq!(mode(&stage.file(name)), expected, "{name}");
    }
    let left: Vec<_> = fs::read_dir(stage.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".new")), "{left:?}");

    let again = stage.client(&["update"], "");
    expect(&again, 0, &["nothing to do"]);
    // What is there stays, and a code that was used is nobody's any more.
    let kept = fs::read(stage.file("client.toml")).unwrap();
    let refused = stage.client(&words, "");
    expect(&refused, 2, &["client.toml is there already", "--force"]);
    assert_eq!(fs::read(stage.file("client.toml")).unwrap(), kept);
    stage.nicgate(&["device", "rotate", "laptop"]);
    let dead = stage.client(&[&words[..], &["--force"]].concat(), "");
    expect(&dead, 5, &["does not take the code", "nicgate device invite"]);
    assert_eq!(fs::read(stage.file("client.toml")).unwrap(), kept);

    let fresh = stage.line("laptop2", &["pc2.home.test"]);
    let by_stdin = ["init", "-", "--ipv4", "192.0.2.8", "--force", "--json", "--for", "machine"];
    // As a mail breaks it.
    let (head, tail) = fresh.split_at(60);
    let by_stdin = stage.client(&by_stdin, &format!(" {head}\r\n{tail}\r\n"));
    expect(&by_stdin, 0, &[]);
    let told: Value = serde_json::from_str(&by_stdin.said).unwrap();
    assert_eq!((&told["outcome"], &told["update"]["outcome"]), (&"written".into(), &"sent".into()), "{told}");
    assert_eq!((mode(&stage.file("client.toml")), mode(&stage.file("laptop2.key"))), (0o644, 0o600));

    let keys = [stage.key("laptop2")];
    for ended in [&first, &again, &refused, &dead, &by_stdin] {
        assert!(!keys.iter().any(|key| ended.said.contains(key)) && !ended.said.contains(&line), "{}", ended.said);
    }
    assert_eq!(stage.holding(&keys[0]), ["laptop2.key"]);
    assert_eq!(stage.holding(&fresh[9..40]), Vec::<String>::new());
}

#[test]
fn options_and_a_key_do_without_a_line() {
    let stage = Stage::new("init-options");
    let (gateway, ca, key) = (stage.gateway(), stage.ca(), stage.key("box"));
    let options = stage.options(&gateway, "box", &ca);
    let with = |more: &[&'static str]| [&options[..], more].concat();

    let wrong = stage.client(&with(&["--host", "a.home.test", "--key-file", "-"]), &"w".repeat(43));
    expect(&wrong, 5, &["a.home.test: badauth", "the files stay", "nicgate device show box"]);
    assert!(stage.file("box.key").exists() && stage.file("client.toml").exists());

    let key_file = stage.file("box.key").display().to_string();
    fs::write(&key_file, &key).unwrap();
    let mended = [&with(&["--host", "a.home.test", "--force", "--key-file"])[..], &[&key_file]].concat();
    let mended = stage.client(&mended, "");
    expect(&mended, 0, &["a.home.test: good 192.0.2.7"]);
    assert_eq!((stage.holding(&key), mode(&stage.file("box.key"))), (vec!["box.key".to_owned()], 0o600));
    assert!(!wrong.said.contains("www") && !mended.said.contains(&key));
}

#[test]
fn what_cannot_work_is_said_before_anything_is_written() {
    let stage = Stage::new("init-refused");
    let (gateway, ca) = (stage.gateway(), stage.ca());
    let line = stage.line("laptop", &["*.lan.home.test"]);
    let options = stage.options(&gateway, "box", &ca);
    let with = |more: &[&'static str]| [&options[..], more].concat();
    let cut = &line[..line.len() - 9];
    for (words, read, part) in [
        (vec!["init", cut], "", "cut off"),
        (vec!["init", "-"], cut, "init - < FILE"),
        (vec!["init", "nonsense"], "", "nicgate1_"),
        (vec!["init"], "", "--gateway"),
        (vec!["init", "--gateway", &gateway], "", "--device"),
        (with(&[]), "", "--host"),
        (with(&["--host", "a.home.test"]), "", "--key-file"),
        (with(&["--host", "a.home.test", "--key-file", "-"]), "short", "43 letters"),
        (with(&["--host", "a.home.test", "--key-file", "/none"]), "", "cannot be read"),
        (with(&["--host", "-"]), "", "--host -"),
        (vec!["init", &line, "--device", "other"], "", "not other"),
        (vec!["init", &line, "--key-file", "-"], "", "leave --key-file out"),
        (vec!["init", &line, "--ca", &ca], "", "leave --ca out"),
        (vec!["init", &line, "--ipv4", "wbe"], "", "wbe"),
        (vec!["init", "--gateway", "http://ddns.example.com", "--device", "a"], "", "plain http"),
    ] {
        let ended = stage.client(&words, read);
        expect(&ended, 2, &[part]);
        assert!(!stage.folder().exists(), "{words:?}");
    }
    // A folder that cannot be had, before the code is used. Root may write anywhere but where a file is.
    fs::write(stage.folder(), "a file").unwrap();
    expect(&stage.client(&["init", &line], ""), 1, &["cannot be made"]);
    fs::remove_file(stage.folder()).unwrap();
    // No name to choose, and nobody to ask: the key is not lost.
    let ended = stage.client(&["init", &line, "--for", "user", "--ipv4", ADDRESS], "");
    expect(&ended, 2, &["below lan.home.test", "the key is safe in", "--host NAME"]);
    assert_eq!(stage.holding(&stage.key("laptop")), ["laptop.key"]);
    let go_on = ended.said.split("go on with: ").nth(1).unwrap().trim().replace("NAME", "pc.lan.home.test");
    let folder = program("nicgate-client").parent().unwrap().display().to_string();
    let shell = format!("PATH={folder}:$PATH; {go_on}");
    let output = run(Command::new("sh").args(["-c", &shell]));
    assert!(output.status.success(), "{shell}: {}", text(&output));
    assert_eq!(stage.address_of("pc.lan.home.test"), [ADDRESS]);
}

#[test]
fn a_gateway_that_is_away_leaves_nothing_behind() {
    let mut stage = Stage::new("init-away");
    let line = stage.line("laptop", &["pc.home.test"]);
    stage.served = None;
    expect(&stage.client(&["init", &line, "--for", "user"], ""), 4, &["no answer from", "as good as before"]);
    assert_eq!(fs::read_dir(stage.folder()).unwrap().count(), 0);
}

/// Types what it is told, each answer after what is printed before it, and prints all that was seen.
const TYPIST: &str = r#"
import os, pty, sys
child, screen = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:sys.argv.index("--")])
answers, seen = sys.argv[sys.argv.index("--") + 1:], b""
while True:
    try:
        part = os.read(screen, 4096)
    except OSError:
        break
    if not part:
        break
    seen += part
    if answers and seen.rstrip(b" ").endswith(answers[0].encode()):
        os.write(screen, answers[1].encode() + b"\n")
        answers, seen = answers[2:], seen + b"|"
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[test]
fn a_person_is_asked_for_what_is_missing_and_the_key_is_not_shown() {
    let Some(python) = tool("python3") else { return };
    let stage = Stage::new("init-asked");
    let (gateway, key, line) = (stage.gateway(), stage.key("box"), stage.line("laptop", &["pc.home.test"]));
    let client = program("nicgate-client");
    let typed = |words: &[&str], answers: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-c", TYPIST]).arg(&client).args(words).args(["--for", "user", "--ipv4", ADDRESS, "--config"]);
        let output = run(command.arg(stage.file("client.toml")).arg("--").args(answers));
        Ended { code: output.status.code(), said: text(&output) }
    };
    let ca = stage.ca();
    let asked = typed(
        &["init", "--ca", &ca],
        &[
            "asked for.\r\n",
            "",
            "example.com:",
            "nonsense",
            "example.com:",
            &gateway,
            "]:",
            "box",
            "home.example.com:",
            "a.home.test",
            "(it is not shown):",
            &key,
        ],
    );
    expect(&asked, 0, &["write the gateway as a URL", "a.home.test: good"]);
    assert!(!asked.said.contains(&key), "{}", asked.said);
    assert_eq!(stage.holding(&key), ["box.key"]);

    // The line in two parts; it is whole before an empty line says so.
    let (head, tail) = line.split_at(300);
    let pasted = typed(&["init", "--force"], &["asked for.\r\n", &format!("{head}\n{tail}")]);
    expect(&pasted, 0, &["pc.home.test: good"]);
}

#[test]
fn the_doctor_finds_what_is_wrong_and_names_the_cure() {
    let mut stage = Stage::new("doctor");
    expect(&stage.client(&["doctor"], ""), 2, &["!!  configuration", "nicgate-client init"]);
    let line = stage.line("laptop", &["pc.home.test"]);
    expect(&stage.client(&["init", &line, "--ipv4", ADDRESS, "--for", "user"], ""), 0, &[]);

    let well = stage.client(&["doctor"], "");
    expect(&well, 0, &["ok  key", "ok  state", "ok  log", "TLS: the certificate is accepted", "clock: agrees"]);
    expect(&well, 0, &["device laptop signs as the gateway expects", "192.0.2.7 would be sent", "ok  last update"]);
    assert!(!well.said.contains("!!"), "{}", well.said);
    let json = stage.client(&["doctor", "--json"], "");
    let told: Value = serde_json::from_str(&json.said).unwrap();
    assert!(told["exit_code"] == 0 && told["checks"].as_array().unwrap().len() > 10, "{told}");
    // The signed question has left no trace but in the log.
    assert!(stage.address_of("doctor.invalid").is_empty());
    let hosts = stage.nicgate(&["host", "list"]).to_string();
    assert!(!hosts.contains("doctor.invalid") && hosts.contains("pc.home.test"), "{hosts}");

    let (key_file, key) = (stage.file("laptop.key"), stage.key("laptop"));
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o644)).unwrap();
    expect(&stage.client(&["doctor"], ""), 1, &["!!  key", "chmod 600", "signs as the gateway expects"]);
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key_file, "w".repeat(43)).unwrap();
    expect(&stage.client(&["doctor"], ""), 1, &["key: the gateway does not accept", "nicgate device show laptop"]);
    fs::write(&key_file, &key).unwrap();

    fs::write(stage.file("ca.crt"), fs::read(other_authority(&stage)).unwrap()).unwrap();
    expect(&stage.client(&["doctor"], ""), 1, &["TLS: TLS was refused", "ca_file"]);
    fs::write(stage.file("ca.crt"), fs::read(stage.site.ca()).unwrap()).unwrap();

    let config = fs::read_to_string(stage.file("client.toml")).unwrap();
    fs::write(stage.file("client.toml"), format!("{config}state_file = \"none/none/s.json\"\n")).unwrap();
    expect(&stage.client(&["doctor"], ""), 1, &["!!  state", "`state_file`"]);
    fs::write(stage.file("client.toml"), format!("{config}hots = []\n")).unwrap();
    expect(&stage.client(&["doctor"], ""), 2, &["perhaps \"hosts\""]);
    fs::write(stage.file("client.toml"), config).unwrap();

    stage.served = None;
    let away = stage.client(&["doctor"], "");
    expect(&away, 1, &["!!  https://localhost", "no connection to", "does the gateway run"]);
    assert!(!away.said.contains(&key) && !well.said.contains(&key));
}

#[test]
fn on_windows_the_key_is_sealed_and_opens_again() {
    let Some(wine) = Wine::find() else { return };
    let stage = Stage::new("init-windows");
    for (device, host, scope) in [("box", "a.home.test", "user"), ("other", "foreign.home.test", "machine")] {
        let invited = stage.nicgate(&["device", "invite", device, "--gateway", &stage.gateway()]);
        let folder = stage.file(device);
        let config = wine.path(&folder.join("client.toml"));
        let client = |words: &[&str]| {
            let output = run(wine.command(wine.client()).args(words).args(["--config", &config]));
            Ended { code: output.status.code(), said: text(&output) }
        };
        let line = invited["enroll"].as_str().unwrap();
        let first = client(&["init", line, "--ipv4", ADDRESS, "--for", scope, "--host", host]);
        expect(&first, 0, &["ca.crt", "client.toml", &format!("{host}: good {ADDRESS}")]);
        let sealed = fs::read_to_string(folder.join(format!("{device}.key"))).unwrap();
        assert!(sealed.starts_with("dpapi:") && !sealed.contains(&stage.key(device)), "{sealed}");
        expect(&client(&["doctor"]), 0, &[&format!("device {device} signs as the gateway expects")]);
        expect(&client(&["update"]), 0, &["nothing to do: the gateway acknowledged"]);

        // Whole letters of base64, and half of what was sealed.
        fs::write(folder.join(format!("{device}.key")), &sealed[..6 + (sealed.len() - 6) / 8 * 4]).unwrap();
        expect(&client(&["update"]), 2, &["cannot be opened by this account on this machine", "anew with `init`"]);
        fs::write(folder.join(format!("{device}.key")), &sealed[..9]).unwrap();
        expect(&client(&["update"]), 2, &["is sealed, but not whole", "anew with `init`"]);
    }
}

/// An authority that vouches for nobody here.
fn other_authority(stage: &Stage) -> PathBuf {
    let folder = stage.site.folder().join("other");
    fs::create_dir_all(&folder).unwrap();
    nicgate::http::tls::development_ca(&folder, &["localhost".to_owned()]).unwrap();
    folder.join("ca.crt")
}

/// Answers whatever comes over two connections as a gateway whose clock is right and ours is not.
fn gateway_of_another_time(listener: &TcpListener) {
    for _ in 0..2 {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        // Each of the client's requests is one segment.
        while let Ok(length @ 1..) = stream.read(&mut request) {
            let is_update = String::from_utf8_lossy(&request[..length]).contains("/nic/update");
            let (status, body) = if is_update {
                ("401 Unauthorized", "{\"results\":[{\"code\":\"badauth\"}]}")
            } else {
                ("200 OK", "192.0.2.7\n")
            };
            let head = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json";
            let answer = format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).unwrap();
        }
    }
}

#[test]
fn the_doctor_blames_the_clock_before_the_key() {
    let folder = Folder::new("doctor-clock");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = folder.path().join("client.toml");
    let text_of_file = format!(
        "gateway = \"http://{}\"\ndevice = \"box\"\nkey = \"{}\"\nhosts = [\"a.home.test\"]\nipv4 = \"{ADDRESS}\"\n",
        listener.local_addr().unwrap(),
        "k".repeat(43)
    );
    fs::write(&file, text_of_file).unwrap();
    let output = thread::scope(|scope| {
        scope.spawn(|| gateway_of_another_time(&listener));
        run(Command::new(program("nicgate-client")).args(["doctor", "--config"]).arg(file))
    });
    let ended = Ended { code: output.status.code(), said: text(&output) };
    expect(&ended, 1, &["ahead of the gateway's: it refuses", "set the clock right first", "plain http"]);
}
