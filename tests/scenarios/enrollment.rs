//! Enrolling: from the line that an operator hands out to the key that signs. What a code opens, how often and for how
//! long; and where it must never stand.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nicgate_protocol::Invitation;
use nicgate_protocol::enrollment::PATH;
use nicgate_tests::program::{Served, Site};
use nicgate_tests::{Answer, House, PLAIN, Request, Stopwatch, program, run, text, tool, wire};
use serde_json::Value;

/// Sources are what a trusted proxy says, where a story needs several.
const SEVERAL_SOURCES: &str = "plain_listen = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.1\"]\n";
const HERE: &str = "198.51.100.7";
const ELSEWHERE: &str = "198.51.100.8";

/// Runs `nicgate`, which has to succeed, and gives what it said.
fn nicgate(configuration: &Path, words: &[&str]) -> String {
    let output = run(Command::new(program("nicgate")).args(words).arg("--config").arg(configuration));
    assert!(output.status.success(), "{words:?}: {}", text(&output));
    text(&output)
}

/// The line in what a command printed as JSON.
fn line(configuration: &Path, words: &[&str]) -> Invitation {
    let said = nicgate(configuration, &[words, &["--json"]].concat());
    let value: Value = serde_json::from_str(&said).unwrap();
    let line = value["enroll"].as_str().unwrap_or_else(|| panic!("no line: {said}"));
    let invitation = Invitation::parse(line).unwrap_or_else(|why| panic!("{why}: {line}"));
    assert_eq!(invitation.device().as_str(), value["id"]);
    invitation
}

fn house(name: &str) -> House {
    House::with(name, &format!("{SEVERAL_SOURCES}{PLAIN}"))
}

fn invite(house: &House, device: &str, more: &[&str]) -> Invitation {
    let words = [&["device", "invite", device, "--gateway", "https://localhost:1"], more].concat();
    line(&house.configuration(), &words)
}

/// Shows the code over TLS, from a source.
fn enroll(house: &House, invitation: &Invitation, from: &str) -> Answer {
    house.send(&Request::form(PATH, &invitation.form()).header("X-Forwarded-For", from))
}

/// What tells one answer from another: status, head without the date, body.
fn look(answer: &Answer) -> (u16, Vec<String>, String) {
    let head = answer.head.lines().filter(|line| !line.to_lowercase().starts_with("date:"));
    (answer.status, head.map(str::to_owned).collect(), answer.body.clone())
}

fn key_in(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{} {}", answer.head, answer.body);
    let value: Value = serde_json::from_str(&answer.body).unwrap();
    value["key"].as_str().unwrap().to_owned()
}

/// `curl` as a client would use it that knows nothing but the line.
fn curl(site: &Site, invitation: &Invitation, arguments: &[&str]) -> (u16, String) {
    let ca = site.folder().join("from-the-line.der");
    std::fs::write(&ca, invitation.ca().expect("a private authority goes into the line")).unwrap();
    let pem = run(Command::new("openssl").args(["x509", "-inform", "der", "-in"]).arg(&ca));
    std::fs::write(ca.with_extension("pem"), pem.stdout).unwrap();
    let mut command = Command::new("curl");
    command.args(["--silent", "--write-out", "\n%{http_code}", "--cacert"]).arg(ca.with_extension("pem"));
    let said = text(&run(command.args(arguments)));
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn gateway_of(served: &Served) -> String {
    format!("https://localhost:{}", served.https[0].port())
}

#[test]
fn a_line_becomes_a_key_that_signs_and_outlives_a_kill() {
    if tool("curl").is_none() || tool("openssl").is_none() {
        return;
    }
    let site = Site::new("enroll", PLAIN);
    let served = site.serve();
    let gateway = gateway_of(&served);
    let added =
        line(&site.configuration(), &["device", "add", "laptop", "--host", "pc.home.test", "--gateway", &gateway]);
    assert_eq!(added.gateway(), gateway);

    let url = format!("{gateway}{PATH}");
    let (status, body) = curl(&site, &added, &["--interface", "127.0.0.1", "--data", &added.form(), &url]);
    served.kill();
    assert_eq!(status, 200, "{body}");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&told["device"], &told["hosts"]), (&"laptop".into(), &serde_json::json!(["pc.home.test"])));

    // The use was on disk before the answer: nobody else gets one, and who lost it gets it again.
    let served = site.serve();
    let url = |path: &str| format!("{}{path}", gateway_of(&served));
    let at = |from: &str| curl(&site, &added, &["--interface", from, "--data", &added.form(), &url(PATH)]);
    assert_eq!(at("127.0.0.2"), (401, "badauth\n".to_owned()));
    assert_eq!(at("127.0.0.1"), (200, body));

    let user = format!("laptop:{}", told["key"].as_str().unwrap());
    let update = url("/nic/update?hostname=pc.home.test&myip=203.0.113.7");
    let signed = curl(&site, &added, &["--aws-sigv4", "aws:amz:auto:ddns", "--user", &user, &update]);
    assert_eq!(signed, (200, "good 203.0.113.7\n".to_owned()));
}

#[test]
fn a_line_that_was_made_while_the_gateway_was_stopped_holds_when_it_runs() {
    let mut house = house("enroll-stopped");
    let running = invite(&house, "box", &[]);
    house.stop();
    let words = ["device", "add", "laptop", "--host", "pc.home.test", "--gateway", "https://localhost:1"];
    let stopped = line(&house.configuration(), &words);
    house.start();
    for (invitation, device) in [(running, "box"), (stopped, "laptop")] {
        assert_eq!(key_in(&enroll(&house, &invitation, HERE)), house.key(device));
    }
}

#[test]
fn a_code_is_good_once_but_for_a_lost_answer() {
    let house = house("enroll-once");
    let invitation = invite(&house, "box", &[]);
    let first = enroll(&house, &invitation, HERE);
    assert_eq!(key_in(&first), house.key("box"));
    assert_eq!(first.header("cache-control"), Some("no-store"));
    house.hands.forward(Duration::from_secs(599));
    assert_eq!(enroll(&house, &invitation, HERE).body, first.body);
    assert_eq!(enroll(&house, &invitation, ELSEWHERE).status, 401);
    house.hands.forward(Duration::from_secs(1));
    assert_eq!(enroll(&house, &invitation, HERE).status, 401);
    // The device itself is as good as before.
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
    // Who had the line is told at once, once a minute; the rest is among what strangers cause.
    let used: Vec<Value> = house.log().into_iter().filter(|line| line["error_code"] == "code_used").collect();
    assert_eq!(used.len(), 2, "{used:?}");
    assert_eq!(
        (&used[0]["level"], &used[0]["device"], &used[0]["peer"]),
        (&"warn".into(), &"box".into(), &ELSEWHERE.into())
    );
    assert!(used[0]["first_use"].as_str().unwrap().ends_with(&format!("from {HERE}")), "{}", used[0]);
    assert!(used[0]["message"].as_str().unwrap().contains("device rotate ID --now"), "{}", used[0]);
    assert_eq!(used[1]["event"], "refused");
}

#[test]
fn a_right_code_that_opens_nothing_is_told_beside_all_that_strangers_cause() {
    let house = house("enroll-told");
    let warned = |code: &str, device: &str| {
        let log = house.log();
        log.iter()
            .filter(|line| line["level"] == "warn" && line["error_code"] == code && line["device"] == device)
            .count()
    };
    let (used, expired) = (invite(&house, "box", &[]), invite(&house, "other", &["--for", "1s"]));
    enroll(&house, &used, HERE);
    house.hands.forward(Duration::from_secs(1));
    // The log's share of this second goes to others.
    for _ in 0..30 {
        let _ = house.send(&Request::get("/nic/update?hostname=a.home.test"));
    }
    for _ in 0..3 {
        enroll(&house, &used, ELSEWHERE);
        enroll(&house, &expired, ELSEWHERE);
    }
    house
        .wait_until("both are told, once", |_| (warned("code_used", "box"), warned("code_expired", "other")) == (1, 1));
    house.hands.forward(Duration::from_secs(60));
    enroll(&house, &used, ELSEWHERE);
    house.wait_until("it is told again", |_| warned("code_used", "box") == 2);
}

#[test]
fn repeats_have_a_budget() {
    let limited = format!("{SEVERAL_SOURCES}{}", PLAIN.replace("enabled = false", "enabled = true"));
    let house = House::with("enroll-repeats", &limited);
    let invitation = invite(&house, "box", &[]);
    let statuses: Vec<u16> = (0..20).map(|_| enroll(&house, &invitation, HERE).status).collect();
    assert_eq!((statuses.iter().filter(|status| **status == 200).count(), statuses[19]), (11, 429));
    // It is the code's: the device itself has its own.
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
    house.hands.forward(Duration::from_secs(30));
    assert_eq!(enroll(&house, &invitation, HERE).status, 200);
}

#[test]
fn a_code_that_came_in_clear_is_spent() {
    let house = House::with("enroll-clear", &format!("plain_listen = [\"127.0.0.1:0\"]\n{PLAIN}"));
    let clear = |invitation: &Invitation, headers: &[(&str, &str)]| {
        let request = Request::form(PATH, &invitation.form());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let answer = Answer::read(&wire::exchange_in_clear(house.plain(), &request.bytes(house.plain())));
        (answer.status, answer.body)
    };
    // On this machine itself nothing is exposed, unless somebody forwards from elsewhere and is not named.
    let local = invite(&house, "box", &[]);
    assert_eq!(clear(&local, &[]).0, 200);
    for header in [("X-Forwarded-For", HERE), ("X-Real-IP", HERE), ("Via", "1.1 proxy"), ("Forwarded", "for=unknown")] {
        let (seen, other) = (invite(&house, "box", &[]), invite(&house, "other", &[]));
        let wrong = Invitation::new("https://localhost:1", seen.device().clone(), other.code().clone(), None).unwrap();
        let refused = clear(&wrong, &[header]);
        assert_eq!(refused, (404, "badagent\n".to_owned()), "{header:?}");
        assert_eq!(clear(&seen, &[header]), refused, "a right code gets the same answer");
        assert_eq!(house.send(&Request::form(PATH, &seen.form())).status, 401, "{header:?}");
        // A wrong one spends nothing.
        assert_eq!(house.send(&Request::form(PATH, &other.form())).status, 200, "{header:?}");
    }
    let told = house.log();
    let told: Vec<_> =
        told.iter().filter(|line| line["error_code"] == "enroll_in_clear" && line["level"] == "warn").collect();
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|line| line["device"] == "box"));
}

#[test]
fn two_who_come_at_the_same_time_do_not_both_get_the_key() {
    let house = house("enroll-race");
    for _ in 0..5 {
        let invitation = invite(&house, "box", &[]);
        let sources: Vec<String> = (1..9).map(|last| format!("198.51.100.{last}")).collect();
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let ask = |from| {
                scope.spawn({
                    let (house, it) = (&house, &invitation);
                    move || enroll(house, it, from).status
                })
            };
            let asked: Vec<_> = sources.iter().map(|from| ask(from)).collect();
            asked.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    }
}

/// Runs what a story asks of the gateway's own parts, beside the gateway.
fn beside<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn guessers_wait_for_nobody_and_others_only_for_a_while() {
    let house = House::with("enroll-turn", &format!("reply_deadline = \"1s\"\n{SEVERAL_SOURCES}{PLAIN}"));
    let desk = &house.running().gateway.desk;
    let invitation = invite(&house, "box", &[]);
    let turn = beside(desk.store.device_turn());
    let begun = Stopwatch::start();
    let guess = Request::form(PATH, "device=box&code=AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(house.send(&guess).status, 401);
    assert!(begun.elapsed() < Duration::from_millis(900), "a wrong code waits for nobody");
    let busy = enroll(&house, &invitation, HERE);
    assert_eq!((busy.status, busy.body.as_str()), (503, "911\n"));
    // Settings that were read meanwhile wait as well: they must not bring back what is just being taken away.
    let settings = desk.settings.load_full();
    let configured = beside(async { tokio::time::timeout(Duration::from_millis(50), desk.configure(settings)).await });
    assert!(configured.is_err());
    drop(turn);
    assert_eq!(key_in(&enroll(&house, &invitation, HERE)), house.key("box"));
    // A lost answer is given again without a turn.
    let _turn = beside(desk.store.device_turn());
    assert_eq!(enroll(&house, &invitation, HERE).status, 200);
}

#[test]
fn a_line_opens_no_other_generation_than_its_own() {
    let house = house("enroll-generation");
    let desk = &house.running().gateway.desk;
    let before = desk.registry.load_full();
    let words = ["device", "rotate", "box", "--gateway", "https://localhost:1"];
    let rotated = line(&house.configuration(), &words);
    // However the registry came to be older than the store.
    let current = desk.registry.swap(before);
    assert_eq!(enroll(&house, &rotated, HERE).status, 401);
    desk.registry.store(current);
    assert_eq!(key_in(&enroll(&house, &rotated, HERE)), desk.master.key("box", 2).text().to_owned());
}

#[test]
fn a_second_line_tells_who_used_the_first_and_rotating_at_once_shuts_that_one_out() {
    let house = house("enroll-second");
    let configuration = house.configuration();
    let words = ["device", "invite", "box", "--gateway", "https://localhost:1"];
    assert!(!nicgate(&configuration, &words).contains("before"), "the line before was not used");
    let first = invite(&house, "box", &[]);
    key_in(&enroll(&house, &first, HERE));
    let said = nicgate(&configuration, &words);
    assert!(said.contains(&format!("from {HERE}")) && said.contains("device rotate box --now"), "{said}");
    assert!(!nicgate(&configuration, &words).contains("before"), "and of that one, nothing");

    let update = |password: &str| {
        let request = Request::get("/nic/update?hostname=a.home.test&myip=192.0.2.1");
        house.send(&request.header("Authorization", &wire::basic("box", password))).status
    };
    let password = |generation| house.running().gateway.desk.master.password("box", generation).text().to_owned();
    nicgate(&configuration, &["device", "rotate", "box"]);
    assert_eq!((update(&password(1)), update(&password(2))), (200, 200), "there is a grace period");
    nicgate(&configuration, &["device", "rotate", "box", "--now"]);
    assert_eq!((update(&password(2)), update(&password(3))), (401, 200), "there is none");
}

#[test]
fn who_left_the_file_comes_back_with_other_secrets_and_without_a_line() {
    let mut house = house("enroll-departed");
    let configuration = house.configuration();
    let full = format!("{SEVERAL_SOURCES}{PLAIN}");
    let without = full.replace("id = \"box\"", "id = \"crate\"");
    let waiting = |house: &House, id: &str, is_there: bool| {
        house.wait_until("the file is read", |house| {
            house.running().gateway.desk.registry.load().find(id).is_some() == is_there
        });
    };
    let generation = |house: &House, id: &str| {
        house.running().gateway.desk.registry.load().find(id).map(|device| device.generation.number)
    };
    // `crate` has no row in the store, `box` has one.
    let line = invite(&house, "box", &[]);
    for round in 1..3 {
        house.write_configuration(&without);
        waiting(&house, "box", false);
        assert_eq!(generation(&house, "crate"), Some(round));
        house.write_configuration(&full);
        waiting(&house, "box", true);
        waiting(&house, "crate", false);
        assert_eq!(generation(&house, "box"), Some(round + 1));
        assert_eq!(enroll(&house, &line, HERE).status, 401);
    }
    let left = house.log().iter().filter(|line| line["error_code"] == "device_left").count();
    assert_eq!(left, 4);

    // The same while nobody runs: noticed at the next start, or by whoever adds the id by command.
    let line = invite(&house, "box", &[]);
    house.stop();
    house.write_configuration(&without);
    house.start();
    house.stop();
    house.write_configuration(&full);
    house.start();
    assert_eq!(generation(&house, "box"), Some(4));
    assert_eq!(enroll(&house, &line, HERE).status, 401);
    invite(&house, "box", &[]);
    house.stop();
    house.write_configuration(&without);
    let added = nicgate(&configuration, &["device", "add", "box", "--host", "a.home.test"]);
    house.start();
    assert_eq!(generation(&house, "box"), Some(5));
    assert!(added.contains(house.running().gateway.desk.master.password("box", 5).text()), "{added}");
}

#[test]
fn every_code_that_does_not_hold_gets_the_same_answer() {
    let house = house("enroll-refused");
    let configuration = house.configuration();
    let add = |id: &str| {
        line(&configuration, &["device", "add", id, "--host", "x.home.test", "--gateway", "https://localhost:1"])
    };
    let ask = |invitation: &Invitation| look(&enroll(&house, invitation, HERE));

    let short = invite(&house, "box", &["--for", "10m"]);
    let replaced = invite(&house, "other", &[]);
    let (rotated, revoked) = (add("rotated"), add("revoked"));
    let again = line(&configuration, &["device", "rotate", "rotated", "--gateway", "https://localhost:1"]);
    nicgate(&configuration, &["device", "revoke", "revoked"]);
    // A new line ends the one before.
    let current = invite(&house, "other", &[]);
    house.hands.forward(Duration::from_secs(600));

    let unknown = ("nobody", "AAAAAAAAAAAAAAAAAAAAAA");
    let form = |(id, code): (&str, &str)| house.send(&Request::form(PATH, &format!("device={id}&code={code}")));
    let seen = look(&form(unknown));
    assert_eq!((seen.0, seen.2.as_str()), (401, "badauth\n"));
    for pair in [("box", unknown.1), ("other", unknown.1), ("box", "short"), ("revoked", unknown.1), ("a/b", unknown.1)]
    {
        assert_eq!(look(&form(pair)), seen, "{pair:?}");
    }
    // Somebody else's code is no code.
    assert_eq!(look(&form(("box", &current.code().text()))), seen);
    for dead in [&short, &replaced, &rotated, &revoked] {
        assert_eq!(ask(dead), seen, "{}", dead.device());
    }
    assert_eq!(key_in(&enroll(&house, &current, HERE)), house.key("other"));
    let second = house.running().gateway.desk.master.key("rotated", 2).text().to_owned();
    assert_eq!(key_in(&enroll(&house, &again, HERE)), second);
    // A rotation ends what a lost answer would be given again for.
    nicgate(&configuration, &["device", "rotate", "rotated"]);
    assert_eq!(ask(&again), seen);
    // Who is registered again starts anew.
    let anew = add("revoked");
    assert_eq!(ask(&revoked), seen);
    assert_ne!(key_in(&enroll(&house, &anew, HERE)), house.key("revoked"));
}

#[test]
fn what_is_no_enrolling_hears_what_is_wrong() {
    let house = house("enroll-shape");
    let invitation = invite(&house, "box", &[]);
    let form = invitation.form();
    let json = format!("{{\"device\":\"box\",\"code\":\"{}\"}}", &*invitation.code().text());
    let long = format!("{}&x={}", &*form, "x".repeat(1024));
    let query = format!("{PATH}?{}", &*form);
    for (request, status) in [
        (Request::get(PATH), 405),
        (Request::get(&query), 405),
        (Request::get(PATH).method("PUT"), 405),
        (Request::get(PATH).method("POST"), 400),
        (Request::form(PATH, "").body("application/json", &json), 400),
        (Request::form(PATH, &format!("{}&hostname=a.home.test", &*form)), 400),
        (Request::form(&query, &form), 400),
        (Request::form(PATH, &long), 413),
        (Request::form(PATH, &"x".repeat(9000)), 413),
        (Request::form("/auth/enroll/", &form), 404),
        (Request::form("//auth/enroll", &form), 404),
        (Request::form("/auth", &form), 404),
    ] {
        let answer = house.send(&request);
        assert_eq!((answer.status, answer.body.as_str()), (status, "badagent\n"), "{}", answer.head);
        assert_eq!(answer.header("allow"), (status == 405).then_some("POST"), "{}", answer.head);
    }
    // None of this has used it up.
    assert_eq!(key_in(&enroll(&house, &invitation, HERE)), house.key("box"));
}

#[test]
fn guessing_spends_the_sources_budget_and_locks_nobody_out() {
    let limited = format!("{SEVERAL_SOURCES}{}", PLAIN.replace("enabled = false", "enabled = true"));
    let house = House::with("enroll-guess", &limited);
    let invitation = invite(&house, "box", &[]);
    let guess = |from: &str| {
        let form = "device=box&code=AAAAAAAAAAAAAAAAAAAAAA";
        house.send(&Request::form(PATH, form).header("X-Forwarded-For", from)).status
    };
    let heard: Vec<u16> = (0..25).map(|_| guess(HERE)).collect();
    assert_eq!((heard.iter().filter(|status| **status == 401).count(), heard[24]), (20, 429));
    // The budget is that of wrong passwords, too.
    let wrong = Request::get("/nic/update?hostname=a.home.test").header("Authorization", &wire::basic("box", "wrong"));
    assert_eq!(house.send(&wrong.header("X-Forwarded-For", HERE)).body, "911\n");
    assert_eq!(guess(ELSEWHERE), 401);
    assert_eq!(key_in(&enroll(&house, &invitation, HERE)), house.key("box"));
}

#[test]
fn commands_say_where_a_line_comes_from_or_why_there_is_none() {
    let site = Site::new("enroll-commands", PLAIN);
    let configuration = site.configuration();
    let words = ["device", "add", "laptop", "--host", "pc.home.test"];
    // The harness listens on any free port: the configuration does not tell which.
    let said = nicgate(&configuration, &[&words[..], &["--json"]].concat());
    let value: Value = serde_json::from_str(&said).unwrap();
    assert!(value["enroll"].is_null() && value["enroll_hint"].as_str().unwrap().contains("public_url"), "{said}");
    assert!(["id", "password", "key", "hosts", "generation", "origin"].iter().all(|name| !value[name].is_null()));
    for (more, because) in [
        (&[][..], "public_url"),
        (&["--gateway", "ddns.example.com"], "is no gateway"),
        (&["--gateway", "https://ddns.example.com", "--for", "721h"], "720h"),
        (&["--gateway", "https://ddns.example.com", "--for", "0s"], "720h"),
    ] {
        let words = [&["device", "invite", "laptop"], more].concat();
        let output = run(Command::new(program("nicgate")).args(words).arg("--config").arg(&configuration));
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(because), "{}", text(&output));
    }
    let output = run(Command::new(program("nicgate"))
        .args(["device", "add", "pad", "--host", "pad.home.test", "--gateway", "nonsense", "--config"])
        .arg(&configuration));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(!nicgate(&configuration, &["device", "list"]).contains("pad"), "a refused command changes nothing");

    let with_url = std::fs::read_to_string(&configuration).unwrap();
    let with_url = with_url.replacen("[server]\n", "[server]\npublic_url = \"https://ddns.example.com/\"\n", 1);
    std::fs::write(&configuration, with_url).unwrap();
    for words in [&["device", "invite", "laptop"][..], &["device", "rotate", "laptop"], &["device", "invite", "box"]] {
        assert_eq!(line(&configuration, words).gateway(), "https://ddns.example.com");
        assert!(nicgate(&configuration, words).contains("enroll    nicgate1_"), "{words:?}");
    }
    assert!(!nicgate(&configuration, &["device", "show", "laptop"]).contains("enroll"));
}

#[test]
fn a_self_signed_certificate_goes_into_the_line() {
    let tls = "\n[tls]\nself_signed = true\n";
    let mut house = House::with("enroll-self-signed", &format!("{PLAIN}{tls}"));
    let invitation = invite(&house, "box", &[]);
    house.stop();
    // The same when no gateway runs.
    assert_eq!(invite(&house, "box", &[]).ca(), invitation.ca());
    house.start();
    let invitation = invite(&house, "box", &[]);
    let pem = house.folder().join("data/tls/self-signed.crt");
    let ca = nicgate_tests::wire::certificates(&pem);
    assert_eq!(invitation.ca(), Some(&*ca[0]));
    // It is all that a client needs to trust it.
    let answer = wire::over_tls(house.https(), &pem, &Request::form(PATH, &invitation.form()));
    assert_eq!(key_in(&answer), house.key("box"));
}

#[test]
fn a_code_stands_in_no_log_and_not_in_the_store() {
    let site = Site::new("enroll-canary", &format!("{SEVERAL_SOURCES}{PLAIN}"));
    let served = site.serve();
    let gateway = gateway_of(&served);
    let make = |id: &str| line(&site.configuration(), &["device", "invite", id, "--gateway", &gateway]);
    let (used, open) = (make("box"), make("other"));
    let send = |request: &Request| wire::over_tls(served.https[0], &site.ca(), request).status;
    // By mistake in all the wrong places first.
    let (form, code) = (used.form(), used.code().text());
    for request in [
        Request::get(&format!("{PATH}?{}", &*form)),
        Request::get(&format!("{PATH}/{}", &*code)),
        Request::get(&format!("{PATH}&{}", &*form)),
        Request::get(&format!("/{used}")),
        Request::form(&format!("{PATH}?{}", &*form), &form),
        Request::form(PATH, &format!("{}&a=b", &*form)),
        Request::form(PATH, &format!("device={}&code={}", &*code, &*code)),
        Request::form(PATH, &form.replace("box", "nobody")),
        Request::form("/nic/update", &form),
        Request::get("/nic/update?hostname=a.home.test").header("Authorization", &format!("Bearer {}", &*code)),
    ] {
        assert!(send(&request) >= 400);
    }
    assert_eq!(send(&Request::form(PATH, &form)), 200);
    let clear = Request::form(PATH, &form).header("X-Forwarded-For", HERE);
    assert!(wire::exchange_in_clear(served.plain[0], &clear.bytes(served.plain[0])).contains(" 404 "));

    std::thread::sleep(Duration::from_millis(250));
    let log = served.text();
    for told in ["\"enrolled\"", "bad_form", "enroll_in_clear", "unknown_device"] {
        assert!(log.contains(told), "{told}: {log}");
    }
    assert!(served.stop().success());
    let places = [("log", log.into_bytes()), ("store", std::fs::read(site.data().join("nicgate.redb")).unwrap())];
    for invitation in [&used, &open] {
        let code = invitation.code();
        let hex: String = code.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        let secrets = [code.expose().to_vec(), code.text().as_bytes().to_vec(), hex.into_bytes()];
        for (place, bytes) in &places {
            for secret in &secrets {
                assert!(!bytes.windows(secret.len()).any(|window| window == secret), "a code stands in the {place}");
            }
        }
        // The search itself finds what is there.
        let digest = code.digest();
        assert!(places[1].1.windows(32).any(|window| window == digest), "the digest stands in the store");
    }
}
