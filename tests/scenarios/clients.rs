//! Other people's clients against the real server over TLS, as Debian ships them: ddclient, inadyn, GNU wget,
//! BusyBox wget, curl. What counts is what they make of our answers, in their own words.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nicgate_tests::fake::cloudflare::{Cloudflare, TOKEN, ZONE_ID};
use nicgate_tests::fake::{Fake, Mishap, Said};
use nicgate_tests::{Folder, House, PLAIN, has, run, text, tool};

/// The URL of an update at `house`, over TLS.
fn url(house: &House, query: &str) -> String {
    format!("https://localhost:{}/nic/update?{query}", house.https().port())
}

fn ca(house: &House) -> PathBuf {
    house.folder().join("ca.crt")
}

/// How many updates the gateway has answered, by its log.
fn updates(house: &House) -> usize {
    house.log().iter().filter(|line| line["event"] == "update").count()
}

// ddclient.

/// ddclient with a configuration, a cache and a pid file of its own.
struct Ddclient {
    program: PathBuf,
    folder: Folder,
}

impl Ddclient {
    fn new(name: &str) -> Option<Self> {
        let program = tool("ddclient")?;
        // Without it ddclient speaks plain HTTP only.
        let has_tls = has("Perl's IO::Socket::SSL", Command::new("perl").args(["-MIO::Socket::SSL", "-e", "1"]));
        has_tls.then(|| Self { program, folder: Folder::new(name) })
    }

    /// One run in the foreground; what it said, and whether it was content.
    fn run(&self, house: &House, address: &str, password: &str, hosts: &str, more: &[&str]) -> (String, bool) {
        self.run_at(house.https(), &ca(house), address, password, hosts, more)
    }

    fn run_at(
        &self,
        server: SocketAddr,
        ca: &Path,
        address: &str,
        password: &str,
        hosts: &str,
        more: &[&str],
    ) -> (String, bool) {
        // Had the server a name, it would need a dot in it.
        let text_of_file = format!(
            "ssl=yes\nssl_ca_file={}\nuse=ip\nip={address}\nmin-interval=1s\nmin-error-interval=1s\nprotocol=dyndns2\n\
             server={server}\nlogin=box\npassword='{password}'\n{hosts}\n",
            ca.display()
        );
        let file = |name: &str| self.folder.path().join(name);
        std::fs::write(file("ddclient.conf"), text_of_file).unwrap();
        let mut command = Command::new(&self.program);
        command.args(["-daemon=0", "-verbose", "-noquiet", "-file"]).arg(file("ddclient.conf"));
        command.arg("-cache").arg(file("ddclient.cache")).arg("-pid").arg(file("ddclient.pid")).args(more);
        let output = run(&mut command);
        (text(&output), output.status.success())
    }
}

#[test]
fn ddclient_updates_two_hosts_in_one_request() {
    let Some(ddclient) = Ddclient::new("ddclient-two") else { return };
    let house = House::new("ddclient-two-house");
    let password = house.password("box");
    let run = |more: &[&str]| ddclient.run(&house, "192.0.2.7", &password, "a.home.test,b.home.test", more);

    let (said, is_content) = run(&[]);
    assert!(is_content, "{said}");
    assert!(said.contains("hostname=a.home.test,b.home.test&myip=192.0.2.7 HTTP/1.1"), "{said}");
    for host in ["a", "b"] {
        let success = format!("SUCCESS:  updating {host}.home.test: good: IP address set to 192.0.2.7");
        assert!(said.contains(&success), "{said}");
        assert_eq!(house.dig(&format!("{host}.home.test"), "A"), ["192.0.2.7"]);
    }
    assert_eq!(updates(&house), 1);

    // It remembers what we said, and asks nobody.
    let (said, is_content) = run(&[]);
    assert!(is_content && said.contains("a.home.test: skipped: IP address was already set to 192.0.2.7"), "{said}");
    assert_eq!(updates(&house), 1);

    let (said, is_content) = run(&["-force"]);
    assert!(is_content, "{said}");
    assert!(said.contains("RECEIVE:  nochg 192.0.2.7"), "{said}");
    assert!(said.contains("updating b.home.test: nochg: No update required"), "{said}");
    assert_eq!(updates(&house), 2);
}

#[test]
fn ddclient_updates_both_families_one_after_the_other() {
    let Some(v4) = Ddclient::new("ddclient-v4") else { return };
    let Some(v6) = Ddclient::new("ddclient-v6") else { return };
    let house = House::new("ddclient-both");
    let password = house.password("box");
    for (ddclient, address) in [(&v4, "192.0.2.8"), (&v6, "2001:db8::8")] {
        let (said, is_content) = ddclient.run(&house, address, &password, "a.home.test", &[]);
        assert!(is_content && said.contains(&format!("good: IP address set to {address}")), "{said}");
    }
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.8"]);
    assert_eq!(house.dig("a.home.test", "AAAA"), ["2001:db8::8"]);
}

#[test]
fn ddclient_reports_a_wrong_password_and_a_name_that_is_not_its_own() {
    let Some(ddclient) = Ddclient::new("ddclient-wrong") else { return };
    let house = House::new("ddclient-wrong-house");
    let (said, is_content) = ddclient.run(&house, "192.0.2.9", "wrong", "a.home.test", &[]);
    assert!(!is_content, "{said}");
    assert!(said.contains("updating a.home.test: authorization failed (HTTP/1.1 401 Unauthorized"), "{said}");
    assert!(house.dig("a.home.test", "A").is_empty());

    let (said, is_content) = ddclient.run(&house, "192.0.2.9", &house.password("box"), "foreign.home.test", &[]);
    assert!(!is_content, "{said}");
    assert!(said.contains("updating foreign.home.test: nohost: "), "{said}");
}

#[test]
fn ddclient_recovers_once_the_gateway_is_back() {
    let Some(ddclient) = Ddclient::new("ddclient-back") else { return };
    let mut house = House::new("ddclient-back-house");
    let password = house.password("box");
    let before = house.https();
    house.stop();
    let (said, is_content) = ddclient.run_at(before, &ca(&house), "192.0.2.11", &password, "a.home.test", &[]);
    assert!(!is_content && said.contains("cannot connect to"), "{said}");

    house.start();
    // ddclient 3.10 notes the address that it could not send as the host's own (its issue 434): only a new one, or
    // an operator, moves it again.
    let (said, _) = ddclient.run(&house, "192.0.2.11", &password, "a.home.test", &["-force"]);
    assert!(said.contains("good: IP address set to 192.0.2.11"), "{said}");
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.11"]);

    let before = house.https();
    house.stop();
    // What min-interval asks for, and below min-error-interval.
    thread::sleep(Duration::from_millis(2100));
    let (said, is_content) = ddclient.run_at(before, &ca(&house), "192.0.2.12", &password, "a.home.test", &[]);
    assert!(!is_content && said.contains("cannot connect to"), "{said}");
    house.start();
    thread::sleep(Duration::from_millis(2100));
    let (said, is_content) = ddclient.run(&house, "192.0.2.13", &password, "a.home.test", &[]);
    assert!(is_content && said.contains("good: IP address set to 192.0.2.13"), "{said}");
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.13"]);
}

// inadyn.

/// inadyn with a provider of the operator's making, as one points it at a gateway.
struct Inadyn {
    program: PathBuf,
    folder: Folder,
}

impl Inadyn {
    fn new(name: &str) -> Option<Self> {
        Some(Self { program: tool("inadyn")?, folder: Folder::new(name) })
    }

    fn command(&self, house: &House, address: &str, password: &str) -> Command {
        let text_of_file = format!(
            "period = 60\nca-trust-file = {}\ncustom nicgate {{\n  username = box\n  password = {password}\n  \
             ddns-server = localhost:{}\n  ddns-path = \"/nic/update?hostname=%h&myip=%i\"\n  \
             hostname = a.home.test\n  checkip-command = \"/bin/echo {address}\"\n}}\n",
            ca(house).display(),
            house.https().port()
        );
        let file = self.folder.path().join("inadyn.conf");
        std::fs::write(&file, text_of_file).unwrap();
        let mut command = Command::new(&self.program);
        command.args(["-n", "--no-pidfile", "-l", "debug", "-f"]).arg(file).arg("--cache-dir").arg(self.cache());
        command
    }

    /// Where it remembers what it sent.
    fn cache(&self) -> PathBuf {
        let cache = self.folder.path().join("cache");
        std::fs::create_dir_all(&cache).unwrap();
        cache
    }

    fn forget(&self) {
        std::fs::remove_dir_all(self.cache()).unwrap();
    }
}

/// A program that goes on running, and what it said so far. Killed by its id when dropped.
struct Watched {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Watched {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        listen(child.stdout.take().unwrap(), &said);
        listen(child.stderr.take().unwrap(), &said);
        Self { child, said }
    }

    /// Waits until it has said something so many times.
    fn wait_for(&self, words: &str, times: usize) {
        for _ in 0..300 {
            if self.said.lock().unwrap().matches(words).count() >= times {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{words:?} was not said {times} times: {}", self.said.lock().unwrap());
    }

    fn signal(&self, name: &str) {
        let sent = run(Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]));
        assert!(sent.status.success(), "{}", text(&sent));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stream: impl Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    });
}

#[test]
fn inadyn_hears_good_and_later_no_change() {
    let Some(inadyn) = Inadyn::new("inadyn") else { return };
    let house = House::new("inadyn-house");
    let password = house.password("box");
    for (word, address) in [("good", "9.9.9.9"), ("nochg", "9.9.9.9"), ("good", "9.9.9.10")] {
        let output = run(inadyn.command(&house, address, &password).arg("-1"));
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        assert!(said.contains(&format!("\n{word} {address}")), "{said}");
        assert!(
            said.contains(&format!("Successful alias table update for a.home.test => new IP# {address}")),
            "{said}"
        );
        assert_eq!(house.dig("a.home.test", "A"), [address]);
        // As after a reboot of a router that keeps nothing.
        inadyn.forget();
    }
}

#[test]
fn inadyn_ends_by_itself_when_its_password_is_wrong() {
    let Some(inadyn) = Inadyn::new("inadyn-wrong") else { return };
    let house = House::new("inadyn-wrong-house");
    let output = run(&mut inadyn.command(&house, "9.9.9.9", "wrong"));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(50), "{said}");
    assert!(said.contains("[401 Unauthorized] badauth"), "{said}");
    assert!(said.contains("Error code 50: Authentication failure"), "{said}");
}

#[test]
fn inadyn_waits_while_the_provider_is_in_trouble_and_is_served_afterwards() {
    let Some(inadyn) = Inadyn::new("inadyn-trouble") else { return };
    let fake = Fake::start_apart(Cloudflare::default());
    fake.then(Mishap::Says(Said::empty(503).with("retry-after", "30")));
    let embedded = "type = \"embedded\"";
    let cloudflare = format!(
        "type = \"cloudflare\"\nzone_id = \"{ZONE_ID}\"\napi_token = \"{TOKEN}\"\nendpoint = \"{}\"",
        fake.endpoint()
    );
    let house = House::with("inadyn-trouble-house", &PLAIN.replace(embedded, &cloudflare));

    let running = Watched::start(&mut inadyn.command(&house, "9.9.9.9", &house.password("box")));
    running.wait_for("[503 Service Unavailable] 911", 1);
    running.wait_for("Will retry again in 600 sec", 1);
    assert!(fake.contents("a.home.test", "A").is_empty());

    // The trouble is over; the operator has inadyn try again.
    house.hands.forward(Duration::from_secs(31));
    running.signal("USR1");
    running.wait_for("Successful alias table update for a.home.test => new IP# 9.9.9.9", 1);
    assert_eq!(fake.contents("a.home.test", "A"), ["9.9.9.9"]);
    assert_eq!(fake.mistakes(), [""; 0]);
}

// wget and curl.

fn wget(house: &House, program: &Path, query: &str, more: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(program);
    command.args(["-nv", "--tries=1", "-O", "-"]).arg("--ca-certificate").arg(ca(house)).args(more);
    let output = run(command.arg(url(house, query)));
    (text(&output), output.status.code())
}

#[test]
fn wget_takes_the_challenge_or_does_without() {
    let Some(program) = tool("wget") else { return };
    let house = House::new("wget");
    let password = format!("--password={}", house.password("box"));
    let query = "hostname=a.home.test&myip=192.0.2.1";

    // Asked for credentials, as wget likes to be.
    let (said, code) = wget(&house, &program, query, &["--user=box", &password]);
    assert!(code == Some(0) && said.starts_with("good 192.0.2.1\n"), "{code:?} {said}");
    let refused = house.log().iter().filter(|line| line["error_code"] == "no_credentials").count();
    assert_eq!(refused, 1);

    let (said, code) = wget(&house, &program, query, &["--user=box", &password, "--auth-no-challenge"]);
    assert!(code == Some(0) && said.starts_with("nochg 192.0.2.1\n"), "{code:?} {said}");
    let refused = house.log().iter().filter(|line| line["error_code"] == "no_credentials").count();
    assert_eq!(refused, 1, "wget had no need to be asked");

    // 6 is wget's word for "authentication failure".
    let (said, code) = wget(&house, &program, query, &[]);
    assert!(code == Some(6) && !said.contains("good"), "{code:?} {said}");
    let (said, code) = wget(&house, &program, query, &["--user=box", "--password=wrong"]);
    assert_eq!(code, Some(6), "{said}");
}

#[test]
fn wget_that_does_not_know_our_ca_sends_nothing() {
    let Some(program) = tool("wget") else { return };
    let house = House::new("wget-ca");
    let mut command = Command::new(program);
    command.args(["-nv", "--tries=1", "-O", "-", "--auth-no-challenge", "--user=box"]);
    let output = run(command.arg("--password=secret").arg(url(&house, "hostname=a.home.test&myip=192.0.2.1")));
    // 5 is wget's word for "SSL verification failure".
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert_eq!(updates(&house), 0);
}

#[test]
fn busybox_wget_updates_over_tls_and_in_clear() {
    let Some(program) = tool("busybox") else { return };
    let sections = format!(
        "plain_listen = [\"127.0.0.1:0\"]\n{PLAIN}[[device]]\nid = \"old\"\nhosts = [\"old.home.test\"]\nallow_plain = true\n"
    );
    let house = House::with("busybox", &sections);
    let fetch = |url: &str| {
        let mut command = Command::new(&program);
        // Its own TLS verifies nobody; where it has openssl at hand it lets that verify.
        let output = run(command.env("SSL_CERT_FILE", ca(&house)).args(["wget", "-q", "-O", "-", url]));
        (text(&output), output.status.code())
    };
    let secure = |pair: &str, query: &str| url(&house, query).replace("https://", &format!("https://{pair}@"));
    let plain = |pair: &str, query: &str| format!("http://{pair}@{}/nic/update?{query}", house.running().plain[0]);
    let (pair, old) = (format!("box:{}", house.password("box")), format!("old:{}", house.password("old")));

    let (said, code) = fetch(&secure(&pair, "hostname=a.home.test&myip=192.0.2.1"));
    assert!(code == Some(0) && said.ends_with("good 192.0.2.1\n"), "{code:?} {said}");
    let (said, code) = fetch(&plain(&old, "hostname=old.home.test&myip=192.0.2.2"));
    assert!(code == Some(0) && said == "good 192.0.2.2\n", "{code:?} {said}");
    // A device that may not speak in clear is refused there, right password or not.
    for pair in [pair.as_str(), "box:wrong"] {
        let (said, code) = fetch(&plain(pair, "hostname=a.home.test&myip=192.0.2.3"));
        assert!(code == Some(1) && said.contains("401 Unauthorized"), "{code:?} {said}");
    }
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.1"]);
}

#[test]
fn curl_fails_where_it_shall() {
    let Some(program) = tool("curl") else { return };
    let sections = format!("{PLAIN}[[device]]\nid = \"script\"\nhosts = [\"s.home.test\"]\nprofile = \"strict\"\n");
    let house = House::with("curl", &sections);
    let curl = |pair: &str, query: &str| {
        let mut command = Command::new(&program);
        command.args(["-sS", "--fail", "--user", pair, "--cacert"]).arg(ca(&house)).arg(url(&house, query));
        let output = run(&mut command);
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    };
    let pair = |device: &str| format!("{device}:{}", house.password(device));
    for (pair, query, said, code) in [
        (pair("box"), "hostname=a.home.test&myip=192.0.2.1", "good 192.0.2.1\n", 0),
        (pair("box"), "hostname=a.home.test&myip=192.0.2.1", "nochg 192.0.2.1\n", 0),
        (pair("script"), "hostname=s.home.test&myip=192.0.2.1", "good 192.0.2.1\n", 0),
        // 22 is curl's word for a status of 400 or more.
        ("box:wrong".to_owned(), "hostname=a.home.test&myip=192.0.2.2", "", 22),
        (pair("script"), "hostname=foreign.home.test&myip=192.0.2.2", "", 22),
        (pair("script"), "hostname=s.home.test&myip=rubbish", "", 22),
        // Who reads the body hears it there.
        (pair("box"), "hostname=foreign.home.test&myip=192.0.2.2", "nohost\n", 0),
    ] {
        assert_eq!(curl(&pair, query), (said.to_owned(), Some(code)), "{query}");
    }
}
