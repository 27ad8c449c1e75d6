//! How the gateway behaves towards whoever connects, and what it writes about it: stopping, limits of size and number,
//! kept connections, health, and the log.

use std::net::TcpStream;
use std::time::Duration;

use nicgate_tests::fake::Fake;
use nicgate_tests::fake::cloudflare::{Cloudflare, TOKEN, ZONE_ID};
use nicgate_tests::wire::{self, Connection};
use nicgate_tests::{Answer, House, PLAIN, Request, Stopwatch};
use serde_json::Value;

/// [`PLAIN`], and `cloud.test` at a fake provider; `server` goes into `[server]`.
fn with_cloud(fake: &Fake, server: &str) -> String {
    format!(
        r#"{server}
{PLAIN}
[[provider]]
name = "cloud"
type = "cloudflare"
endpoint = "{}"
api_token = "{TOKEN}"
zone_id = "{ZONE_ID}"

[[zone]]
name = "cloud.test"
providers = ["cloud"]
addresses = "any"

[[device]]
id = "far"
hosts = ["*.cloud.test"]
query_credentials = true
"#,
        fake.endpoint()
    )
}

fn update(house: &House, device: &str, query: &str) -> Request {
    Request::get(&format!("/nic/update?{query}")).header("Authorization", &house.basic(device))
}

/// Updates under way, one connection each: all are recorded, and the provider is asked for the first.
fn under_way(house: &House, fake: &Fake, count: usize) -> Vec<Connection> {
    let connections = (0..count).map(|number| {
        let mut connection = Connection::secure(house.https(), &house.ca());
        let request = update(house, "far", &format!("hostname=h{number}.cloud.test&myip=192.0.2.1"));
        connection.send(&request.bytes(house.https()));
        connection
    });
    let connections = connections.collect();
    let recorded = |house: &House| house.running().gateway.desk.store.host_count();
    house.wait_until("all of them are recorded", |house| recorded(house) >= count && fake.call_count() > 0);
    connections
}

// Stopping.

#[test]
fn stopping_closes_idle_connections_and_answers_who_waits() {
    let fake = Fake::start_apart(Cloudflare::of("cloud.test"));
    let mut house = House::with("stop", &with_cloud(&fake, "reply_deadline = \"3s\""));
    let server = house.https();
    fake.falls_silent();
    let mut waiting = under_way(&house, &fake, 1);
    let mut idle = Connection::secure(server, &house.ca());
    idle.send(&Request::get("/myip").kept().bytes(server));
    assert_eq!(idle.answer().body, "127.0.0.1\n");
    let begun = Stopwatch::start();
    house.stop_while(|| {
        assert_eq!(idle.rest(), "");
        assert!(begun.elapsed() < Duration::from_secs(2), "an idle connection waited {:?}", begun.elapsed());
        assert!(TcpStream::connect(server).is_err(), "nobody new is let in");
        let answer = waiting[0].answer();
        assert_eq!((answer.status, answer.body.as_str()), (503, "911\n"), "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        fake.recovers();
    });
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    // What was recorded is pushed, now or after the next start.
    house.start();
    house.wait_until("it is pushed", |_| fake.contents("h0.cloud.test", "A") == ["192.0.2.1"]);
}

#[test]
fn an_update_that_is_under_way_is_finished_before_the_gateway_stops() {
    let fake = Fake::start_apart(Cloudflare::of("cloud.test"));
    let mut house = House::with("finish", &with_cloud(&fake, ""));
    fake.falls_silent();
    let mut waiting = under_way(&house, &fake, 3);
    house.stop_while(|| {
        fake.recovers();
        for connection in &mut waiting {
            let answer = connection.answer();
            assert_eq!((answer.status, answer.body.as_str()), (200, "good 192.0.2.1\n"));
            assert_eq!(answer.header("connection"), Some("close"));
        }
    });
    let log = house.log();
    let stopped = log.iter().position(|line| line["event"] == "stopped");
    assert_eq!(stopped, Some(log.len() - 1), "the last line says so");
}

#[test]
fn even_a_patient_gateway_answers_everybody_before_it_stops() {
    let fake = Fake::start_apart(Cloudflare::of("cloud.test"));
    let mut house = House::with("patient", &with_cloud(&fake, "reply_deadline = \"60s\""));
    fake.falls_silent();
    let mut waiting = under_way(&house, &fake, 2);
    let begun = Stopwatch::start();
    house.stop_while(|| {
        for connection in &mut waiting {
            let answer = connection.answer();
            assert_eq!((answer.status, answer.body.as_str()), (503, "911\n"), "{answer:?}");
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert!(house.log().iter().all(|line| line["error_code"] != "connections_cut"));
}

// Sizes and numbers.

#[test]
fn what_is_too_long_is_told_so() {
    let house = House::new("sizes");
    let line = "/nic/update?hostname=a.home.test&myip=192.0.2.1";
    let long = "x".repeat(9000);
    let headers = (0..70).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    for (sent, status) in [
        (format!("POST {line} HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n{long}"), 413),
        (
            format!("POST {line} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2328\r\n{long}\r\n0\r\n\r\n"),
            413,
        ),
        (format!("POST {line} HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"), 413),
        (format!("GET {line} HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n"), 431),
        (format!("GET {line} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 431),
    ] {
        let answer = Answer::read(&wire::exchange(house.https(), &house.ca(), sent.as_bytes()));
        assert_eq!(answer.status, status, "{}: {answer:?}", &sent[..80]);
        assert!(!answer.body.contains("good"), "{answer:?}");
    }
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
}

#[test]
fn one_source_has_its_share_of_connections_and_no_more() {
    let fake = Fake::start_apart(Cloudflare::of("cloud.test"));
    let house = House::with("share", &with_cloud(&fake, "max_connections_per_source = 3"));
    fake.falls_silent();
    let mut waiting = under_way(&house, &fake, 3);
    let mut fourth = Connection::secure(house.https(), &house.ca());
    fourth.send(&Request::get("/myip").bytes(house.https()));
    assert_eq!(fourth.rest(), "", "all three are being answered");
    fake.recovers();
    for connection in &mut waiting {
        assert_eq!(connection.answer().body, "good 192.0.2.1\n");
    }
    // Those three are kept and idle now: the longest idle makes room.
    assert_eq!(house.send(&Request::get("/myip")).body, "127.0.0.1\n");
    assert_eq!(waiting[0].rest(), "");
    assert!(house.log().iter().any(|line| line["event"] == "connections_full"));
}

#[test]
fn a_silent_connection_is_closed_after_a_while_and_keeps_nobody_waiting() {
    let house = House::new("silent");
    let begun = Stopwatch::start();
    let mut silent = Connection::plain(house.https());
    let mut kept = Connection::secure(house.https(), &house.ca());
    kept.send(&Request::get("/myip").kept().bytes(house.https()));
    assert_eq!(kept.answer().status, 200);
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(silent.rest(), "");
    assert_eq!(kept.rest(), "");
    let waited = begun.elapsed();
    assert!(waited > Duration::from_secs(9) && waited < Duration::from_secs(13), "{waited:?}");
    let log = house.log();
    for event in ["slow_handshake", "slow_head"] {
        assert!(log.iter().any(|line| line["event"] == event), "{event}: {log:?}");
    }
}

// Connections that are kept.

#[test]
fn requests_in_one_piece_are_answered_in_order() {
    let house = House::new("pipeline");
    let mut bytes = Vec::new();
    for (host, address) in [("a", "192.0.2.1"), ("b", "192.0.2.2"), ("c", "192.0.2.3")] {
        let request = update(&house, "box", &format!("hostname={host}.home.test&myip={address}"));
        bytes.extend(request.kept().bytes(house.https()));
    }
    let mut connection = Connection::secure(house.https(), &house.ca());
    connection.send(&bytes);
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        assert_eq!(connection.answer().body, format!("good {address}\n"));
    }
}

#[test]
fn one_connection_bears_many_requests() {
    let house = House::new("many-requests");
    let mut connection = Connection::secure(house.https(), &house.ca());
    for number in 0..300 {
        let query = format!("hostname=a.home.test&myip=192.0.2.{}", number / 100 + 1);
        connection.send(&update(&house, "box", &query).kept().bytes(house.https()));
        let word = if number % 100 == 0 { "good" } else { "nochg" };
        assert_eq!(connection.answer().body, format!("{word} 192.0.2.{}\n", number / 100 + 1), "{number}");
    }
}

// Health, HEAD.

#[test]
fn health_is_told_to_anybody_and_tells_no_more() {
    let house = House::new("health");
    for path in ["/healthz", "/readyz"] {
        let answer = house.send(&Request::get(path));
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
        let head = house.send(&Request::get(path).method("HEAD"));
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(head.header("content-length"), Some("3"));
        assert_eq!(house.send(&Request::get(path).method("POST")).status, 405);
    }
}

#[test]
fn head_is_answered_without_a_body_and_changes_nothing() {
    let house = House::new("head");
    for path in ["/nic/checkip", "/myip"] {
        let (head, get) = (house.send(&Request::get(path).method("HEAD")), house.send(&Request::get(path)));
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(head.header("content-length"), get.header("content-length"));
    }
    let answer = house.send(&update(&house, "box", "hostname=a.home.test&myip=192.0.2.1").method("HEAD"));
    assert_eq!((answer.status, answer.body.as_str()), (405, ""), "{answer:?}");
    assert!(house.dig("a.home.test", "A").is_empty());
}

// The log.

fn fields(line: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_line_of_an_update_says_what_was_sent_answered_and_why() {
    let house = House::new("line");
    let request = update(&house, "box", "hostname=a.home.test,foreign.home.test&myip=192.0.2.1&myipv6=<ip6addr>");
    let answer = house.send(&request.header("User-Agent", "Fritz!Box DDNS/1.0.1"));
    assert_eq!(answer.body, "good 192.0.2.1\nnohost\n");
    let log = house.log();
    let line = log.iter().find(|line| line["event"] == "update").unwrap();
    assert_eq!(
        fields(line),
        ["agent", "device", "event", "hosts", "level", "peer", "sent", "status", "time", "took_us"]
    );
    assert_eq!(line["device"], "box");
    assert_eq!(line["peer"], "127.0.0.1");
    assert_eq!(line["sent"], "myip=192.0.2.1 myipv6=<ip6addr>");
    assert_eq!(line["agent"], "Fritz!Box DDNS/1.0.1");
    assert_eq!(line["status"], 200);
    assert_eq!(
        (&line["hosts"][0]["host"], &line["hosts"][0]["answer"]),
        (&"a.home.test".into(), &"good 192.0.2.1".into())
    );
    assert_eq!(fields(&line["hosts"][0]), ["answer", "host"]);
    assert_eq!(
        (&line["hosts"][1]["host"], &line["hosts"][1]["answer"]),
        (&"foreign.home.test".into(), &"nohost".into())
    );
    assert_eq!(line["hosts"][1]["error_code"], "not_granted");
    assert!(line["hosts"][1]["why"].as_str().is_some_and(|why| !why.is_empty()));
}

#[test]
fn the_line_of_a_stranger_says_why_and_not_more() {
    let house = House::new("stranger");
    let request = Request::get("/nic/update?hostname=a.home.test&password=canary").header("User-Agent", "wget\"}\u{1}");
    assert_eq!(house.send(&request).status, 400, "a control character is none of HTTP's");
    let request = Request::get("/nic/update?hostname=a.home.test&password=canary").header("User-Agent", "wget\"}");
    assert_eq!(house.send(&request).status, 401);
    let log = house.log();
    let line = log.iter().rfind(|line| line["event"] == "refused").unwrap();
    assert_eq!(
        fields(line),
        ["agent", "error_code", "event", "level", "method", "path", "peer", "status", "time", "why"]
    );
    assert_eq!(
        (&line["level"], &line["path"], &line["agent"]),
        (&"info".into(), &"/nic/update".into(), &"wget\"}".into())
    );
}

#[test]
fn strangers_do_not_fill_the_log() {
    let house = House::new("flood");
    let ask =
        || house.send(&Request::get("/nic/update?hostname=a.home.test").header("Authorization", "Basic Ym94Ong="));
    for _ in 0..60 {
        assert_eq!(ask().body, "badauth\n");
    }
    let refused = |log: &[Value]| log.iter().filter(|line| line["event"] == "refused").count();
    assert_eq!(refused(&house.log()), 20);
    house.hands.forward(Duration::from_secs(1));
    assert_eq!(ask().status, 401);
    let log = house.log();
    assert_eq!(refused(&log), 21);
    let passed_over = log.iter().find(|line| line["event"] == "lines_passed_over").unwrap();
    assert_eq!(passed_over["count"], 40);
}

#[test]
fn no_secret_is_in_any_line() {
    let fake = Fake::start_apart(Cloudflare::of("cloud.test"));
    let house = House::with("canary", &with_cloud(&fake, "plain_listen = [\"127.0.0.1:0\"]"));
    let (password, key) = (house.password("far"), house.key("far"));
    let basic = house.basic("far");
    let query = "/nic/update?hostname=a.cloud.test&myip=192.0.2.1";
    let bearer = "Bearer canary-bearer";
    let requests = [
        Request::get(query).header("Authorization", &basic),
        Request::get(query).header("Authorization", bearer),
        Request::get(query).header("Authorization", &basic.replace("Basic ", "Basic x")),
        Request::get(query).header("Authorization", &basic.replace("Basic ", "Negotiate ")),
        Request::get(query).header("Cookie", "session=canary-cookie"),
        Request::get(query).header("User-Agent", "routerd").header("Proxy-Authorization", &basic),
        Request::get(&format!("{query}&username=far&password={password}")),
        Request::get(&format!("{query}&username=box&password={password}")),
        Request::get(&format!("/nic/update/{password}?username=far&password={password}")),
        Request::get(&format!("/nic/update&hostname=a.cloud.test&username=far&password={password}")),
        Request::get(&format!("%2fnic%2fupdate%3fhostname=a.cloud.test%26username=far%26password={password}")),
        Request::get(&format!("https://far:{password}@localhost/nic/update?hostname=a.cloud.test")),
        Request::form("/nic/update", &format!("hostname=a.cloud.test&myip=192.0.2.2&username=far&password={password}")),
        Request::form("/nic/update", &format!("hostname=a.cloud.test&username=box&password={password}")),
        Request::get(&format!("{query}&id=far&ts=1795348800&nonce=canary-nonce&sign={}", "ab".repeat(32))),
        Request::get(&format!("{query}&id=far&ts=1795348800&nonce=canary-nonce&sign={key}")),
        Request::get(&format!("/nic/update?hostname={password}&myip=192.0.2.1")).header("Authorization", "Basic Og=="),
    ];
    for request in &requests {
        let _ = house.send(request);
        let in_clear = request.bytes(house.plain());
        let _ = wire::exchange_in_clear(house.plain(), &in_clear);
        house.hands.forward(Duration::from_secs(1));
    }
    fake.goes_down();
    let _ = house.send(&update(&house, "far", "hostname=b.cloud.test&myip=192.0.2.1"));
    house.write_configuration(&with_cloud(&fake, "colour = \"red\"").replace("api_token =", "api_tokn ="));
    house.wait_until("the bad file is read", |house| {
        house.log().iter().any(|line| line["error_code"] == "configuration_kept")
    });
    let log = house.log();
    assert!(log.iter().filter(|line| line["event"] == "refused").count() >= 10, "{log:#?}");
    let text = serde_json::to_string(&log).unwrap();
    let encoded = basic.trim_start_matches("Basic ");
    for secret in [&password, &key, encoded, "canary-bearer", "canary-cookie", "canary-nonce", TOKEN, &"ab".repeat(32)]
    {
        let around = text.find(secret).map(|at| &text[at.saturating_sub(300)..at + secret.len()]);
        assert_eq!(around, None, "a secret is in the log");
    }
}
