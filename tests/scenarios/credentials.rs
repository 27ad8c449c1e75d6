//! Devices and hosts by command, through the real `nicgate`: beside a gateway that runs and one that does not; what
//! a secret opens, for how long, and where it must never appear.

use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use nicgate_tests::program::{Served, Site};
use nicgate_tests::{Answer, Request, configuration_text, dig, program, run, text, wire};
use serde_json::Value;

/// A zone, one device in the file, no limits.
const SECTIONS: &str = r#"
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
id = "filed"
hosts = ["filed.home.test"]
"#;

/// What a command ended with: exit code and everything it said.
type Said = (i32, String);

/// Runs `nicgate` with words, and with the site's configuration.
fn nicgate(site: &Site, words: &[&str]) -> Said {
    let output = run(Command::new(program("nicgate")).args(words).arg("--config").arg(site.configuration()));
    (output.status.code().unwrap(), text(&output))
}

fn done(site: &Site, words: &[&str]) -> String {
    let (code, said) = nicgate(site, words);
    assert_eq!(code, 0, "{words:?}: {said}");
    said
}

fn refused(site: &Site, words: &[&str], because: &str) {
    let (code, said) = nicgate(site, words);
    assert_eq!(code, 1, "{words:?}: {said}");
    assert!(said.contains(because), "{words:?}: {said}");
}

fn json(site: &Site, words: &[&str]) -> Value {
    let said = done(site, words);
    serde_json::from_str(&said).unwrap_or_else(|why| panic!("{words:?}: {why}: {said}"))
}

/// The secrets of one device, as `--json` prints them.
#[derive(Clone, Debug, PartialEq)]
struct Credentials {
    id: String,
    password: String,
    key: String,
}

impl Credentials {
    fn read(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}")).to_owned();
        let credentials = Self { id: text("id"), password: text("password"), key: text("key") };
        assert_eq!(credentials.password.len(), 22);
        assert!(credentials.password.bytes().all(|byte| byte.is_ascii_alphanumeric()), "a router's form takes no more");
        assert_eq!(credentials.key.len(), 43);
        credentials
    }

    fn of(site: &Site, id: &str) -> Self {
        Self::read(&json(site, &["device", "show", id, "--json"]))
    }

    fn update(&self, site: &Site, served: &Served, hostname: &str, address: &str) -> Answer {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", self.id, self.password));
        let request = Request::get(&format!("/nic/update?hostname={hostname}&myip={address}"));
        wire::over_tls(served.https[0], &site.ca(), &request.header("Authorization", &format!("Basic {pair}")))
    }

    fn hears(&self, site: &Site, served: &Served, hostname: &str, address: &str) -> String {
        self.update(site, served, hostname, address).body.trim_end().to_owned()
    }
}

#[test]
fn a_device_by_command_holds_at_once_while_the_gateway_runs() {
    let site = Site::new("device-running", SECTIONS);
    let served = site.serve();
    let added =
        json(&site, &["device", "add", "router", "--host", "nas.home.test", "--host", "*.lan.home.test", "--json"]);
    assert_eq!(added["hosts"], serde_json::json!(["*.lan.home.test", "nas.home.test"]));
    let router = Credentials::read(&added);
    assert_eq!(router.id, "router");
    for (hostname, answer) in [
        ("nas.home.test", "good 192.0.2.1"),
        ("pc.lan.home.test", "good 192.0.2.1"),
        ("a.b.lan.home.test", "good 192.0.2.1"),
        ("*.lan.home.test", "good 192.0.2.1"),
        ("lan.home.test", "nohost"),
        ("filed.home.test", "nohost"),
        ("lan.home.test.example.org", "nohost"),
    ] {
        assert_eq!(router.hears(&site, &served, hostname, "192.0.2.1"), answer, "{hostname}");
    }
    assert_eq!(dig(served.dns[0], "pc.lan.home.test", "A"), ["192.0.2.1"]);

    assert_eq!(Credentials::of(&site, "router"), router);
    let people = done(&site, &["device", "show", "router"]);
    assert!(people.contains(&router.password) && people.contains(&router.key), "{people}");
    let list = done(&site, &["device", "list"]);
    assert!(list.contains("router") && list.contains("filed"), "{list}");
    assert!(!list.contains(&router.password) && !list.contains(&router.key), "a list shows no secrets: {list}");
    let list = json(&site, &["device", "list", "--json"]);
    assert_eq!(list.as_array().unwrap().iter().map(|one| &one["id"]).collect::<Vec<_>>(), ["filed", "router"]);

    done(&site, &["device", "revoke", "router"]);
    assert_eq!(router.hears(&site, &served, "nas.home.test", "192.0.2.2"), "badauth");
    refused(&site, &["device", "show", "router"], "no device");
    assert_eq!(dig(served.dns[0], "nas.home.test", "A"), ["192.0.2.1"]);

    let again = Credentials::read(&json(&site, &["device", "add", "router", "--host", "nas.home.test", "--json"]));
    assert_ne!(again.password, router.password);
    assert_ne!(again.key, router.key);
    assert_eq!(router.hears(&site, &served, "nas.home.test", "192.0.2.2"), "badauth");
    assert_eq!(again.hears(&site, &served, "nas.home.test", "192.0.2.2"), "good 192.0.2.2");
    assert_eq!(again.hears(&site, &served, "pc.lan.home.test", "192.0.2.2"), "nohost");
}

#[test]
fn a_device_by_command_waits_for_a_gateway_that_is_stopped() {
    let site = Site::new("device-stopped", SECTIONS);
    // Before the first start ever: the master key is made here.
    let filed = Credentials::of(&site, "filed");
    let router = Credentials::read(&json(&site, &["device", "add", "router", "--host", "nas.home.test", "--json"]));
    let gone = Credentials::read(&json(&site, &["device", "add", "gone", "--host", "gone.home.test", "--json"]));
    done(&site, &["device", "revoke", "gone"]);
    let served = site.serve();
    assert_eq!(filed.hears(&site, &served, "filed.home.test", "192.0.2.1"), "good 192.0.2.1");
    assert_eq!(router.hears(&site, &served, "nas.home.test", "192.0.2.1"), "good 192.0.2.1");
    assert_eq!(gone.hears(&site, &served, "gone.home.test", "192.0.2.1"), "badauth");
    assert!(served.stop().success());

    let rotated = Credentials::read(&json(&site, &["device", "rotate", "router", "--json"]));
    assert_ne!(rotated, router);
    done(&site, &["host", "pin", "nas.home.test", "192.0.2.7"]);
    assert!(done(&site, &["host", "show", "nas.home.test"]).contains("192.0.2.7"));
    let served = site.serve();
    assert_eq!(dig(served.dns[0], "nas.home.test", "A"), ["192.0.2.7"]);
    assert_eq!(rotated.hears(&site, &served, "nas.home.test", "192.0.2.2"), "nochg 192.0.2.7");
    assert_eq!(router.hears(&site, &served, "nas.home.test", "192.0.2.2"), "nochg 192.0.2.7", "grace outlives a start");
}

#[test]
fn exit_codes_tell_refused_from_misused() {
    let site = Site::new("exit-codes", SECTIONS);
    // The same words, without and with a gateway that runs.
    for is_running in [false, true] {
        let served = is_running.then(|| site.serve());
        refused(&site, &["device", "show", "nobody"], "no device");
        refused(&site, &["device", "rotate", "nobody"], "no device");
        refused(&site, &["device", "revoke", "nobody"], "no device");
        refused(&site, &["device", "add", "filed", "--host", "x.home.test"], "already");
        refused(&site, &["device", "add", "bad id", "--host", "x.home.test"], "no device id");
        refused(&site, &["device", "add", "stray", "--host", "x.example.org"], "no [[zone]]");
        refused(&site, &["device", "add", "stray", "--host", "a..b"], "no host");
        refused(&site, &["device", "add", "stray", "--host", "x.home.test", "--profile", "odd"], "profile");
        refused(&site, &["device", "revoke", "filed"], "configuration file");
        refused(&site, &["host", "show", "unseen.home.test"], "nobody has sent");
        refused(&site, &["host", "release", "unseen.home.test"], "not pinned");
        refused(&site, &["host", "pin", "x.example.org", "192.0.2.1"], "no [[zone]]");
        for words in [
            &["device", "add", "lonely"][..],
            &["device", "show"],
            &["device", "dance"],
            &["host", "pin", "a.home.test"],
            &["host", "pin", "a.home.test", "nonsense"],
            &["host", "pin", "a.home.test", "192.0.2.1", "--for", "soon"],
        ] {
            let (code, said) = nicgate(&site, words);
            assert_eq!(code, 2, "{words:?}: {said}");
        }
        assert!(!done(&site, &["device", "list"]).contains("stray"));
        drop(served);
    }
    let output = run(Command::new(program("nicgate")).args(["device", "list", "--config", "/nonexistent.toml"]));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}

#[test]
fn a_rotated_secret_holds_through_the_grace_period_and_not_without_one() {
    for (grace, old_holds) in [("", true), ("rotation_grace = \"0s\"\n", false)] {
        let site = Site::new("rotate", &format!("{grace}{SECTIONS}"));
        let served = site.serve();
        done(&site, &["device", "add", "router", "--host", "nas.home.test"]);
        for (id, hostname) in [("router", "nas.home.test"), ("filed", "filed.home.test")] {
            let first = Credentials::of(&site, id);
            let second = Credentials::read(&json(&site, &["device", "rotate", id, "--json"]));
            assert!(second.password != first.password && second.key != first.key);
            assert_eq!(second.hears(&site, &served, hostname, "192.0.2.1"), "good 192.0.2.1", "{id}");
            let answer = first.hears(&site, &served, hostname, "192.0.2.2");
            assert_eq!(answer, if old_holds { "good 192.0.2.2" } else { "badauth" }, "{id} {grace}");
            // Once more, and the first is two generations old.
            let third = Credentials::read(&json(&site, &["device", "rotate", id, "--json"]));
            assert_eq!(first.hears(&site, &served, hostname, "192.0.2.3"), "badauth", "{id} {grace}");
            assert_eq!(third.hears(&site, &served, hostname, "192.0.2.4"), "good 192.0.2.4", "{id}");
            assert_eq!(Credentials::of(&site, id), third);
        }
    }
}

#[test]
fn an_unknown_device_and_a_wrong_password_look_the_same() {
    let site = Site::new("strangers", SECTIONS);
    let served = site.serve();
    let right = Credentials::of(&site, "filed");
    let wrong = Credentials { password: right.password.chars().rev().collect(), ..right.clone() };
    let unknown = Credentials { id: "nobody".to_owned(), ..right.clone() };
    let key_for_password = Credentials { password: right.key.clone(), ..right.clone() };
    let revoked = Credentials::read(&json(&site, &["device", "add", "gone", "--host", "gone.home.test", "--json"]));
    done(&site, &["device", "revoke", "gone"]);
    let look = |credentials: &Credentials, hostname: &str| {
        let answer = credentials.update(&site, &served, hostname, "192.0.2.1");
        let head: Vec<String> =
            answer.head.lines().filter(|line| !line.to_lowercase().starts_with("date:")).map(str::to_owned).collect();
        (answer.status, head, answer.body)
    };
    let seen = look(&wrong, "filed.home.test");
    assert_eq!((seen.0, seen.2.as_str()), (401, "badauth\n"));
    for (credentials, hostname) in [
        (&unknown, "filed.home.test"),
        (&unknown, "unknown.example.org"),
        (&wrong, "unknown.example.org"),
        (&key_for_password, "filed.home.test"),
        (&revoked, "gone.home.test"),
    ] {
        assert_eq!(look(credentials, hostname), seen, "{} {hostname}", credentials.id);
    }
}

#[test]
fn a_pin_holds_against_updates_until_it_is_released() {
    let site = Site::new("pin", &format!("{SECTIONS}\n[policy]\ncool_down = \"0s\"\n"));
    let served = site.serve();
    let filed = Credentials::of(&site, "filed");
    let name = "filed.home.test";
    assert_eq!(done(&site, &["host", "list"]), "");
    assert_eq!(filed.hears(&site, &served, name, "192.0.2.1"), "good 192.0.2.1");
    assert!(done(&site, &["host", "list"]).contains("filed.home.test  192.0.2.1"));
    let shown = json(&site, &["host", "show", name, "--json"]);
    assert_eq!((&shown["device"], &shown["desired"][0]), (&Value::from("filed"), &Value::from("192.0.2.1")));

    done(&site, &["host", "pin", name, "192.0.2.99,2001:db8::99", "--for", "2h"]);
    assert_eq!(dig(served.dns[0], name, "A"), ["192.0.2.99"]);
    assert_eq!(dig(served.dns[0], name, "AAAA"), ["2001:db8::99"]);
    assert_eq!(filed.hears(&site, &served, name, "192.0.2.2"), "nochg 192.0.2.99,2001:db8::99");
    assert_eq!(dig(served.dns[0], name, "A"), ["192.0.2.99"]);
    let shown = json(&site, &["host", "show", name, "--json"]);
    assert!(shown["hold"].as_str().unwrap().starts_with("pinned until "), "{shown}");
    assert_eq!((&shown["noted"][0], &shown["noted_by"]), (&Value::from("192.0.2.2"), &Value::from("filed")));
    assert!(done(&site, &["host", "list"]).contains("pinned"));

    done(&site, &["host", "release", name]);
    refused(&site, &["host", "release", name], "not pinned");
    // Without a cool-down it is over at once, and the pin leaves nothing behind.
    assert_eq!(dig(served.dns[0], name, "A"), ["192.0.2.2"]);
    assert_eq!(dig(served.dns[0], name, "AAAA"), [""; 0]);
    assert_eq!(filed.hears(&site, &served, name, "192.0.2.3"), "good 192.0.2.3");
    assert_eq!(dig(served.dns[0], name, "A"), ["192.0.2.3"]);
}

#[test]
fn a_device_added_to_the_file_holds_without_a_restart() {
    let site = Site::new("reload", SECTIONS);
    let served = site.serve();
    let newcomer = "\n[[device]]\nid = \"late\"\nhosts = [\"late.home.test\"]\n";
    let write = |sections: &str| {
        let draft = site.folder().join("draft.toml");
        std::fs::write(&draft, configuration_text(sections)).unwrap();
        std::fs::rename(&draft, site.configuration()).unwrap();
    };
    write(&format!("{}{newcomer}", SECTIONS.replace("\"filed.home.test\"", "\"filed.home.test\", \"more.home.test\"")));
    wait_for(&served, "configured", 1);
    let (filed, late) = (Credentials::of(&site, "filed"), Credentials::of(&site, "late"));
    assert_eq!(late.hears(&site, &served, "late.home.test", "192.0.2.1"), "good 192.0.2.1");
    assert_eq!(filed.hears(&site, &served, "more.home.test", "192.0.2.1"), "good 192.0.2.1");

    // A file with a mistake changes nothing.
    write(&format!("{SECTIONS}{newcomer}hots = 1\n"));
    wait_for(&served, "configuration_kept", 1);
    assert_eq!(filed.hears(&site, &served, "more.home.test", "192.0.2.2"), "good 192.0.2.2");

    // What is taken out does not hold any more.
    write(SECTIONS);
    wait_for(&served, "configured", 2);
    assert_eq!(late.hears(&site, &served, "late.home.test", "192.0.2.3"), "badauth");
    assert_eq!(filed.hears(&site, &served, "more.home.test", "192.0.2.3"), "nohost");
    assert_eq!(filed.hears(&site, &served, "filed.home.test", "192.0.2.3"), "good 192.0.2.3");
}

/// Waits until the log holds an event, or an error of that code, so many times.
fn wait_for(served: &Served, event: &str, times: usize) {
    let is_it = |line: &&Value| line["event"] == event || line["error_code"] == event;
    for _ in 0..200 {
        if served.log().iter().filter(is_it).count() >= times {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited ten seconds in vain for {event}: {}", served.text());
}

#[test]
fn no_secret_reaches_the_log_or_the_store() {
    let query_device = "\n[[device]]\nid = \"dvr\"\nhosts = [\"dvr.home.test\"]\nquery_credentials = true\n";
    let site = Site::new("canary", &format!("{SECTIONS}{query_device}"));
    let served = site.serve();
    done(&site, &["device", "add", "router", "--host", "nas.home.test"]);
    let devices = ["router", "filed", "dvr"].map(|id| Credentials::of(&site, id));
    let [router, filed, dvr] = &devices;
    let send = |request: &Request| wire::over_tls(served.https[0], &site.ca(), request);

    assert_eq!(router.hears(&site, &served, "nas.home.test", "192.0.2.1"), "good 192.0.2.1");
    let target = |path: &str, id: &str, password: &str| {
        format!("{path}?username={id}&password={password}&hostname=dvr.home.test&myip=192.0.2.1")
    };
    assert_eq!(send(&Request::get(&target("/nic/update", "dvr", &dvr.password))).body, "good 192.0.2.1\n");
    // What people do by mistake: the right secret in the wrong place.
    for request in [
        Request::get(&target("/nic/update", "filed", &filed.password)),
        Request::get(&target("/nosuchpath", "filed", &filed.password)),
        Request::get(&target("/nic/update", "filed", &filed.key)),
        Request::get(&target("/nic/update", "filed", &filed.password)).header("User-Agent", "router/1.0"),
        Request::get(&target("//nic/update", "filed", &filed.password)).method("PUT"),
        Request::form("/nic/update", &format!("username=filed&password={}&hostname=filed.home.test", filed.password)),
        Request::get("/nic/update?hostname=x.home.test").header("Authorization", &format!("Bearer {}", filed.key)),
        Request::get("/nic/update?hostname=x.home.test").header("Authorization", &format!("Basic {}", filed.password)),
    ] {
        assert!(send(&request).status >= 400);
    }
    done(&site, &["device", "rotate", "router"]);
    done(&site, &["device", "revoke", "router"]);

    let master = std::fs::read_to_string(site.data().join("master.key")).unwrap().trim().to_owned();
    assert_eq!(master.len(), 64);
    let bytes: Vec<u8> = (0..64).step_by(2).map(|at| u8::from_str_radix(&master[at..at + 2], 16).unwrap()).collect();
    let mut secrets: Vec<Vec<u8>> = vec![master.to_lowercase().into_bytes(), master.to_uppercase().into_bytes(), bytes];
    for device in &devices {
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text).into_bytes();
        secrets.extend([device.password.clone().into_bytes(), device.key.clone().into_bytes()]);
        secrets.push(base64(&format!("{}:{}", device.id, device.password)));
    }
    let configuration = site.configuration();
    std::thread::sleep(Duration::from_millis(250));
    let log = served.text();
    assert!(log.contains("192.0.2.1") && log.contains("refused"), "the log tells what happened: {log}");
    assert!(served.stop().success());
    let places = [
        ("log", log.into_bytes()),
        ("store", std::fs::read(site.data().join("nicgate.redb")).unwrap()),
        ("configuration", std::fs::read(configuration).unwrap()),
    ];
    for (place, bytes) in &places {
        for secret in &secrets {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!is_there, "{} stands in the {place}", String::from_utf8_lossy(secret));
        }
    }
    // The search itself finds what is there.
    let found = places[1].1.windows(b"nas.home.test".len()).any(|window| window == b"nas.home.test");
    assert!(found, "host names stand in the store");
}
