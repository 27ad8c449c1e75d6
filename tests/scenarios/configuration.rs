//! The operator's file: what `nicgate check` says about it, and what a running gateway does when it changes.

use std::path::Path;
use std::process::{Command, Output};

use nicgate_tests::fake::Fake;
use nicgate_tests::fake::cloudflare::{Cloudflare, TOKEN, ZONE_ID};
use nicgate_tests::program::{Served, Site};
use nicgate_tests::{Folder, House, PLAIN, Request, program, run, text, wire};
use serde_json::Value;

fn check(file: &Path, more: &[&str]) -> Output {
    run(Command::new(program("nicgate")).args(["check", "--config"]).arg(file).args(more))
}

fn written(folder: &Folder, content: &str) -> std::path::PathBuf {
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, content).unwrap();
    file
}

const GOOD: &str = r#"[server]
listen = ["127.0.0.1:8443"]
data_dir = "data"

[tls]
self_signed = true

[dns]
listen = ["127.0.0.1:5353"]

[[provider]]
name = "lab"
type = "embedded"

[[zone]]
name = "home.test"
providers = ["lab"]
"#;

#[test]
fn a_good_file_is_in_order_and_nothing_is_made() {
    let folder = Folder::new("check-good");
    let file = written(&folder, GOOD);
    let output = check(&file, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output), format!("{}: in order\n", file.display()));
    assert!(!folder.path().join("data").exists(), "checking makes nothing");
    let output = check(&file, &["--json"]);
    assert_eq!((output.status.code(), text(&output).trim()), (Some(0), "[]"));
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_cure() {
    let folder = Folder::new("check-bad");
    let content = GOOD
        .replace("data_dir = \"data\"", "data_dri = \"data\"\nreply_deadline = \"8 sec\"")
        .replace("\"embedded\"", "\"clodflare\"\napi_token = \"canary-token\"")
        .replace("[\"lab\"]", "[\"labs\"]\ncolour = \"red\"");
    let file = written(&folder, &content);
    let output = check(&file, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output).replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(
        said,
        r#"gateway.toml:3:1: unknown key `data_dri`; did you mean `data_dir`?
    3 | data_dri = "data"
      | ^^^^^^^^
gateway.toml:4:18: reply_deadline is "8 sec"; write a number with s, m or h, for instance "8s"
    4 | reply_deadline = "8 sec"
      |                  ^^^^^^^
gateway.toml:14:8: type is "clodflare"; did you mean "cloudflare"?
   14 | type = "clodflare"
      |        ^^^^^^^^^^^
gateway.toml:19:14: there is no provider "labs"; did you mean "lab"?
   19 | providers = ["labs"]
      |              ^^^^^^
gateway.toml:20:1: unknown key `colour`; [[zone]] takes name, providers, addresses, ttl, nameservers, mailbox and negative_ttl
   20 | colour = "red"
      | ^^^^^^
"#
    );
    let output = check(&file, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let mistakes: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(mistakes.len(), said.lines().count() / 3);
    assert_eq!((&mistakes[1]["line"], &mistakes[1]["column"]), (&4.into(), &18.into()));
    assert_eq!(mistakes[0]["found"], "unknown key `data_dri`");
    assert_eq!(mistakes[0]["hint"], "did you mean `data_dir`?");
    assert!(!said.contains("canary-token"));
}

#[test]
fn what_deserves_a_second_thought_is_a_warning_and_no_mistake() {
    let folder = Folder::new("check-warn");
    let file = written(&folder, &format!("{GOOD}\n[limits]\nenabled = false\n"));
    let output = check(&file, &[]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output);
    assert!(said.starts_with("warning: ") && said.contains("limits are off"), "{said}");
    assert!(said.ends_with(": in order\n"), "{said}");
}

#[test]
fn a_file_that_cannot_be_read_and_wrong_usage_have_their_own_words() {
    let folder = Folder::new("check-none");
    let output = check(&folder.path().join("none.toml"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("none.toml: cannot be read"), "{}", text(&output));
    let output = run(Command::new(program("nicgate")).arg("check").current_dir(folder.path()));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("--config FILE"), "{}", text(&output));
    for wrong in [&["check", "--colour"][..], &["chek"], &[]] {
        let output = run(Command::new(program("nicgate")).args(wrong));
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", text(&output));
    }
}

#[test]
fn serve_refuses_what_check_refuses_in_the_same_words() {
    let folder = Folder::new("serve-bad");
    let file = written(&folder, &GOOD.replace("data_dir", "data_dri"));
    let said = text(&check(&file, &[]));
    let output = run(Command::new(program("nicgate")).args(["serve", "--config"]).arg(&file));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains(said.trim_end()), "{}", text(&output));
    assert!(!folder.path().join("data").exists());
}

#[test]
fn every_shipped_gateway_file_is_in_order() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let mut count = 0;
    for entry in std::fs::read_dir(config).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("gateway") {
            let output = check(&file, &[]);
            assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output));
            assert!(!text(&output).contains("warning"), "{name}: {}", text(&output));
            count += 1;
        } else if name.starts_with("client") {
            // The client's own reader is asked: its example names a key file that is not there, and nothing else.
            let output = run(Command::new(program("nicgate-client")).args(["detect", "--config"]).arg(&file));
            let said = text(&output);
            assert!(said.contains("laptop.key") && !said.contains("unknown"), "{name}: {said}");
            count += 1;
        }
    }
    assert!(count >= 2);
}

// A file that changes.

fn heard(house: &House, code: &str) -> usize {
    let is = |line: &&Value| line["event"] == code || line["error_code"] == code;
    house.log().iter().filter(is).count()
}

/// Writes a file and waits until it is in force.
fn put_in_force(house: &House, sections: &str) {
    let before = heard(house, "configured");
    house.write_configuration(sections);
    house.wait_until("the file is in force", |house| heard(house, "configured") > before);
}

#[test]
fn devices_zones_and_ttls_change_while_it_runs() {
    let house = House::new("reload");
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
    let ttl = |house: &House| wire::query(house.dns(), "a.home.test", "A").answers[0].ttl;
    assert_eq!(ttl(&house), 60);

    let more = format!(
        "{}\n[[device]]\nid = \"new\"\nhosts = [\"x.new.test\"]\n\n[[zone]]\nname = \"new.test\"\nproviders = [\"lab\"]\naddresses = \"any\"\n",
        PLAIN.replace("addresses = \"any\"", "addresses = \"any\"\nttl = 300")
    );
    let (server, ca) = (house.https(), house.ca());
    let mut kept = wire::Connection::secure(server, &ca);
    kept.send(&Request::get("/myip").kept().bytes(server));
    assert_eq!(kept.answer().status, 200);
    put_in_force(&house, &more);
    let new =
        Request::get("/nic/update?hostname=x.new.test&myip=192.0.2.2").header("Authorization", &house.basic("new"));
    kept.send(&new.clone().kept().bytes(server));
    assert_eq!(kept.answer().body, "good 192.0.2.2\n", "on a connection that stood before");
    assert_eq!(house.dig("x.new.test", "A"), ["192.0.2.2"]);
    assert_eq!(ttl(&house), 300, "without any update");

    put_in_force(&house, PLAIN);
    assert_eq!(house.send(&new).body, "badauth\n", "and taken out again");
    assert!(house.dig("x.new.test", "A").is_empty());
    assert_eq!(ttl(&house), 60);
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "nochg 192.0.2.1\n");
}

#[test]
fn a_zone_moves_to_another_provider_which_hears_of_what_is_there() {
    let fake = Fake::start_apart(Cloudflare::default());
    let house = House::new("moves");
    assert_eq!(house.update("hostname=a.home.test,b.home.test&myip=192.0.2.1").status, 200);
    let cloud = format!(
        "[[provider]]\nname = \"cloud\"\ntype = \"cloudflare\"\nendpoint = \"{}\"\napi_token = \"{TOKEN}\"\nzone_id = \"{ZONE_ID}\"\n",
        fake.endpoint()
    );
    let both = format!("{cloud}{}", PLAIN.replace("[\"lab\"]", "[\"cloud\", \"lab\"]"));
    put_in_force(&house, &both);
    house.wait_until("the new provider is told", |_| {
        ["a.home.test", "b.home.test"].iter().all(|host| fake.contents(host, "A") == ["192.0.2.1"])
    });
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.2").body, "good 192.0.2.2\n");
    assert_eq!(fake.contents("a.home.test", "A"), ["192.0.2.2"]);
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.2"]);
}

#[test]
fn a_bad_file_changes_nothing_and_says_why_until_it_is_mended() {
    let house = House::new("bad-reload");
    house.write_configuration(&PLAIN.replace("type = \"embedded\"", "typ = \"embedded\""));
    house.wait_until("the bad file is told", |house| heard(house, "configuration_kept") == 1);
    let log = house.log();
    let mistakes: Vec<_> = log.iter().filter(|line| line["error_code"] == "configuration_mistake").collect();
    let is_told = mistakes.iter().filter_map(|line| line["message"].as_str()).any(|message| {
        message.contains("gateway.toml:") && message.contains("unknown key `typ`; did you mean `type`?")
    });
    assert!(is_told, "{mistakes:?}");
    assert_eq!(mistakes[0]["level"], "error");
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.1"]);

    // A file that is gone for a moment is as bad.
    let away = house.folder().join("away.toml");
    std::fs::rename(house.configuration(), &away).unwrap();
    house.wait_until("the missing file is told", |house| heard(house, "configuration_kept") == 2);
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.2").body, "good 192.0.2.2\n");

    put_in_force(&house, &PLAIN.replace("hosts = [\"foreign", "hosts = [\"mended.home.test\", \"foreign"));
    let request = Request::get("/nic/update?hostname=mended.home.test&myip=192.0.2.3");
    assert_eq!(house.send(&request.header("Authorization", &house.basic("other"))).body, "good 192.0.2.3\n");
}

#[test]
fn what_needs_a_restart_is_said_and_the_rest_is_in_force() {
    let house = House::new("restart");
    let server = house.https();
    put_in_force(
        &house,
        &format!(
            "max_connections = 7\nplain_listen = [\"127.0.0.1:0\"]\n{}",
            PLAIN.replace("\"c.home", "\"d.home.test\", \"c.home")
        ),
    );
    let log = house.log();
    let said: Vec<_> = log.iter().filter(|line| line["error_code"] == "restart_needed").collect();
    let said: Vec<_> = said.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    for key in ["[server] plain_listen", "[server] max_connections"] {
        assert!(said.iter().any(|line| line.starts_with(key) && line.contains("next start")), "{key}: {said:?}");
    }
    assert_eq!(house.https(), server);
    assert_eq!(house.update("hostname=d.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
}

// The real program.

fn wait_for(served: &Served, what: &str, holds: impl Fn(&Value) -> bool) {
    for _ in 0..200 {
        if served.log().iter().any(&holds) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("waited ten seconds in vain: {what}\n{}", served.text());
}

#[test]
fn sighup_reads_the_file_again_at_once_and_sigterm_ends_in_order() {
    let site = Site::new("sighup", PLAIN);
    let served = site.serve();
    // Nothing changed, so only the signal can be the reason.
    let sent = Command::new("kill").arg("-HUP").arg(served.id().to_string()).status();
    assert!(sent.unwrap().success());
    wait_for(&served, "the file is read", |line| line["event"] == "configured");

    let good = std::fs::read_to_string(site.configuration()).unwrap();
    std::fs::write(site.configuration(), good.replace("[[zone]]", "[[zones]]")).unwrap();
    wait_for(&served, "the bad file is told", |line| line["error_code"] == "configuration_kept");
    std::fs::write(site.configuration(), good.replace("\"a.home.test\"", "\"a.home.test\", \"e.home.test\"")).unwrap();
    let request = Request::get("/nic/update?hostname=e.home.test&myip=192.0.2.1");
    let token = base64(&format!("box:{}", site.password("box")));
    let request = request.header("Authorization", &format!("Basic {token}"));
    let mut answer = wire::over_tls(served.https[0], &site.ca(), &request);
    for _ in 0..100 {
        if answer.body != "nohost\n" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        answer = wire::over_tls(served.https[0], &site.ca(), &request);
    }
    assert_eq!(answer.body, "good 192.0.2.1\n", "{}", served.text());
    assert_eq!(served.stop().code(), Some(0));
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
