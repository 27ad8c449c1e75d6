//! What dyndns2 clients expect, point by point, from the real server over TLS: the protocol as it is spoken by
//! routers, ddclient, inadyn and the like.

use nicgate_tests::{House, PLAIN, Request, wire};

fn basic(house: &House, request: Request) -> Request {
    request.header("Authorization", &house.basic("box"))
}

// 1. Versions, Host, header names.

#[test]
fn http_1_0_without_host_is_served_and_closed() {
    let house = House::new("http10");
    let answer = house.send(&basic(&house, Request::get("/nic/update?hostname=a.home.test&myip=192.0.2.1").http10()));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, "good 192.0.2.1\n");
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.header("content-length"), Some("15"));
    let reason = answer.head.lines().next().unwrap();
    assert!(reason.ends_with("200 OK"), "inadyn wants a reason phrase: {reason}");
}

#[test]
fn a_host_without_its_port_and_header_names_in_any_case_do() {
    let house = House::new("headers");
    let request = Request::get("/nic/update?hostname=a.home.test&myip=192.0.2.1").http10();
    let request = request.header("HOST", "localhost").header("aUtHoRiZaTiOn", &house.basic("box"));
    assert_eq!(house.send(&request).body, "good 192.0.2.1\n");
}

// 2. The challenge.

#[test]
fn without_credentials_there_is_a_challenge_and_no_harm() {
    let house = House::with("challenge", &PLAIN.replace("enabled = false", "enabled = true"));
    for _ in 0..30 {
        let answer = house.send(&Request::get("/nic/update?hostname=a.home.test&myip=192.0.2.1"));
        assert_eq!((answer.status, answer.body.as_str()), (401, "badauth\n"));
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm="), "{challenge}");
    }
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
}

// 3. Lists.

#[test]
fn hosts_are_answered_line_by_line_in_order() {
    let house = House::new("order");
    let answer = house.update("hostname=a.home.test,foreign.home.test,b.home.test&myip=192.0.2.1");
    assert_eq!(answer.body, "good 192.0.2.1\nnohost\ngood 192.0.2.1\n");
    assert_eq!(answer.status, 200);
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.1"]);
    assert_eq!(house.dig("b.home.test", "A"), ["192.0.2.1"]);
    assert!(house.dig("foreign.home.test", "A").is_empty());
}

#[test]
fn a_foreign_host_and_none_look_the_same() {
    let house = House::new("foreign");
    let foreign = house.update("hostname=foreign.home.test&myip=192.0.2.1");
    let none = house.update("hostname=nobody.home.test&myip=192.0.2.1");
    let elsewhere = house.update("hostname=home.example.org&myip=192.0.2.1");
    let without_date = |answer: &nicgate_tests::Answer| {
        let lines: Vec<_> =
            answer.head.lines().filter(|line| !line.to_lowercase().starts_with("date")).map(str::to_owned).collect();
        (answer.status, lines, answer.body.clone())
    };
    assert_eq!(without_date(&foreign), without_date(&none));
    assert_eq!(without_date(&foreign), without_date(&elsewhere));
    assert_eq!(foreign.body, "nohost\n");
}

// 4. Spellings of names.

#[test]
fn names_come_in_many_spellings() {
    let house = House::new("spellings");
    for (number, query) in [
        "hostname=a.home.test%2Cb.home.test&myip=192.0.2.N",
        "hostname=a.home.test%2cb.home.test&myip=192.0.2.N",
        "hostname=A.HOME.Test,b.home.test&myip=192.0.2.N",
        "hostname=a.home.test.,b.home.test.&myip=192.0.2.N",
        "hostname=a.home.test,%20b.home.test&myip=192.0.2.N",
        "hostname=a.home.test,+b.home.test&myip=192.0.2.N",
        "hostname=a.home.test,,b.home.test,&myip=192.0.2.N",
        "system=dyndns&hostname=a.home.test,b.home.test&myip=192.0.2.N&wildcard=ON&mx=NO&backmx=NO&offline=NO",
        "myip=192.0.2.N&hostname=a.home.test,b.home.test",
        "ip=%i&hostname=%h/nic/update?system=dyndns&hostname=a.home.test,b.home.test&myip=192.0.2.N",
        "hostname=YES&host_id=a.home.test,b.home.test&action=edit&started=1&myip=192.0.2.N",
    ]
    .iter()
    .enumerate()
    {
        let address = format!("192.0.2.{}", number + 1);
        let answer = house.update(&query.replace("192.0.2.N", &address));
        assert_eq!(answer.body, format!("good {address}\ngood {address}\n"), "{query}");
        assert_eq!(house.dig("b.home.test", "A"), [address]);
    }
}

// 5. Spellings of addresses.

#[test]
fn addresses_come_in_many_spellings() {
    let house = House::new("addresses");
    for (query, body) in [
        ("myip=192.0.2.1", "good 192.0.2.1\n"),
        ("myip=2001:db8::1,192.0.2.2", "good 192.0.2.2,2001:db8::1\n"),
        ("myip=192.0.2.3,2001:DB8::0:2", "good 192.0.2.3,2001:db8::2\n"),
        ("myip=%3A%3Affff%3A192.0.2.4", "good 192.0.2.4\n"),
        ("myip=2001%3Adb8%3A%3A3", "good 2001:db8::3\n"),
        ("myip=192.0.2.5&myipv6=2001:db8::5", "good 192.0.2.5,2001:db8::5\n"),
        ("myip=no&myipv6=2001:db8::6", "good 2001:db8::6\n"),
        ("myip=0.0.0.0&myipv6=2001:db8::7", "good 2001:db8::7\n"),
        ("myip=<ipaddr>&myipv6=2001:db8::8", "good 2001:db8::8\n"),
        ("myip=192.0.2.9&myipv6=<ip6addr>", "good 192.0.2.9\n"),
        ("myip=192.0.2.10&myipv6=%3Cip6addr%3E", "good 192.0.2.10\n"),
        ("myip=2001:db8::9/64", "good 2001:db8::9\n"),
        // Absent and empty: the peer's address, for the family that it came over.
        ("", "good 127.0.0.1\n"),
        ("myip=", "nochg 127.0.0.1\n"),
        ("myip=0.0.0.0", "nochg 127.0.0.1\n"),
        ("myip=300.1.1.1", "dnserr\n"),
        ("myip=192.0.2.1,192.0.2.2", "dnserr\n"),
        ("myip=2001:db8::/647656:3cff:fe47:1", "dnserr\n"),
    ] {
        let answer = house.update(&format!("hostname=a.home.test&{query}"));
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{query}");
    }
    assert_eq!(house.dig("a.home.test", "A"), ["127.0.0.1"]);
    assert_eq!(house.dig("a.home.test", "AAAA"), ["2001:db8::9"]);
}

#[test]
fn a_network_moves_every_host_with_an_interface_id() {
    let hosts = "[[host]]\nname = \"nas.lan.home.test\"\ninterface_id = \"::211:32ff:fe12:3456\"\n";
    let house = House::with("prefix", &format!("{PLAIN}{hosts}"));
    let answer = house.update("hostname=a.home.test&myip=192.0.2.1,2001:db8:9::1&ip6lanprefix=2001:db8:1:5600::/59");
    assert_eq!(answer.body, "good 192.0.2.1,2001:db8:9::1\n");
    assert_eq!(house.dig("nas.lan.home.test", "AAAA"), ["2001:db8:1:5600:211:32ff:fe12:3456"]);
    let answer = house.update("hostname=nas.lan.home.test&myip=2001:db8:2::/64");
    assert_eq!(answer.body, "good 2001:db8:2:0:211:32ff:fe12:3456\n");
    assert_eq!(house.dig("a.home.test", "AAAA"), ["2001:db8:9::1"]);
}

// 6. The same again.

#[test]
fn the_same_request_again_is_no_change_and_never_punished() {
    let house = House::with("again", &PLAIN.replace("enabled = false", "enabled = true"));
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
    for _ in 0..50 {
        let answer = house.update("hostname=a.home.test&myip=192.0.2.1");
        assert_eq!((answer.status, answer.body.as_str()), (200, "nochg 192.0.2.1\n"));
    }
}

// 8. Two families within a second.

#[test]
fn both_families_in_one_second_are_both_taken() {
    let house = House::with("families", &PLAIN.replace("enabled = false", "enabled = true"));
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
    assert_eq!(house.update("hostname=a.home.test&myip=2001:db8::1").body, "good 2001:db8::1\n");
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.2,2001:db8::2").body, "good 192.0.2.2,2001:db8::2\n");
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.2"]);
    assert_eq!(house.dig("a.home.test", "AAAA"), ["2001:db8::2"]);
}

#[test]
fn a_dummy_address_before_the_real_one_costs_nothing() {
    let sections = PLAIN
        .replace("enabled = false", "enabled = true")
        .replace("addresses = \"any\"", "addresses = \"public-only\"");
    let house = House::with("dummy", &sections);
    for _ in 0..4 {
        for dummy in ["192.168.1.1", "127.0.0.1", "::1", "fd00:d::1", "203.0.113.9"] {
            let answer = house.update(&format!("hostname=a.home.test&myip={dummy}"));
            assert_eq!((answer.status, answer.body.as_str()), (200, "dnserr\n"), "{dummy}");
        }
    }
    assert_eq!(house.update("hostname=a.home.test&myip=8.8.8.8").body, "good 8.8.8.8\n");
}

// 9. Where the secret may stand.

#[test]
fn secrets_in_the_query_are_for_devices_that_may() {
    let sections = format!("{PLAIN}[[device]]\nid = \"dvr\"\nhosts = [\"dvr.home.test\"]\nquery_credentials = true\n");
    let house = House::with("query", &sections);
    let ask = |device: &str, host: &str, password: &str| {
        let target = format!("/nic/update?hostname={host}&myip=192.0.2.1&username={device}&password={password}");
        Request::get(&target)
    };
    let (dvr, plain) = (house.password("dvr"), house.password("box"));
    assert_eq!(house.send(&ask("dvr", "dvr.home.test", &dvr)).body, "good 192.0.2.1\n");
    assert_eq!(house.send(&ask("box", "a.home.test", &plain)).body, "badauth\n");
    assert_eq!(house.send(&ask("dvr", "dvr.home.test", "wrong")).body, "badauth\n");
    // With both, the header alone counts: a FRITZ!Box sends Basic whatever its URL says.
    let both = ask("dvr", "a.home.test", "wrong").header("Authorization", &house.basic("box"));
    assert_eq!(house.send(&both).body, "good 192.0.2.1\n");
    let both = ask("dvr", "dvr.home.test", &dvr).header("Authorization", "Basic Ym94Ondyb25n");
    assert_eq!(house.send(&both).body, "badauth\n");
    let log = format!("{:?}", house.log());
    assert!(!log.contains(&dvr) && !log.contains(&plain), "a secret stands in the log");
}

// 10. Spellings of the path.

#[test]
fn paths_come_in_many_spellings() {
    let house = House::new("paths");
    let target = |path: &str| format!("{path}?hostname=a.home.test&myip=192.0.2.1");
    for path in [
        "/nic/update",
        "//nic/update",
        "/\\/nic/update",
        "/%5C/nic/update",
        "/v3/update",
        "/v2/update",
        "/update",
        "/nic/dyndns",
        "/nic//update",
    ] {
        let answer = house.send(&basic(&house, Request::get(&target(path))));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.body.ends_with(" 192.0.2.1\n"), "{path}: {answer:?}");
    }
    let absolute = format!("https://localhost:{}{}", house.https().port(), target("/nic/update"));
    assert_eq!(house.send(&basic(&house, Request::get(&absolute))).body, "nochg 192.0.2.1\n");
    // inadyn in some routers leaves the first slash out.
    let answer = house.send(&basic(&house, Request::get(&target("nic/update")).http10()));
    assert_eq!(answer.body, "nochg 192.0.2.1\n");
    for (path, status) in [("/", 404), ("/nic", 404), ("/nic/update/x", 404), ("/admin", 404), ("/nic/updates", 404)] {
        assert_eq!(house.send(&basic(&house, Request::get(&target(path)))).status, status, "{path}");
    }
    assert_eq!(house.send(&basic(&house, Request::get(&target("/nic/update")).method("DELETE"))).status, 405);
}

#[test]
fn a_posted_form_is_as_good_as_a_query() {
    let house = House::new("form");
    let answer = house.send(&basic(&house, Request::form("/nic/update", "hostname=a.home.test&myip=192.0.2.1")));
    assert_eq!(answer.body, "good 192.0.2.1\n");
    let answer = house.send(&basic(&house, Request::form("/nic/update?hostname=a.home.test&myip=192.0.2.2", "")));
    assert_eq!(answer.body, "good 192.0.2.2\n");
}

// 11. Refusals that cannot be mistaken.

#[test]
fn a_refusal_never_looks_like_success() {
    let house = House::new("mistaken");
    for query in [
        "hostname=good.example.org&myip=192.0.2.1",
        "hostname=nochg&myip=192.0.2.1",
        "hostname=&myip=192.0.2.1",
        "hostname=good.home.test&myip=ok",
    ] {
        let answer = house.update(query);
        for word in ["good", "nochg", "ok", "true", "updated", "success"] {
            assert!(!answer.body.to_lowercase().contains(word), "{query}: {}", answer.body);
        }
        assert_eq!(answer.body.lines().count(), 1);
    }
}

// 12. Too many.

#[test]
fn twenty_hosts_are_taken_and_one_more_is_not() {
    let house = House::new("many");
    let names =
        |count: usize| (0..count).map(|number| format!("h{number}.lan.home.test")).collect::<Vec<_>>().join(",");
    let answer = house.update(&format!("hostname={}&myip=192.0.2.1", names(20)));
    assert_eq!(answer.body, "good 192.0.2.1\n".repeat(20));
    let answer = house.update(&format!("hostname={}&myip=192.0.2.2", names(21)));
    assert_eq!((answer.status, answer.body.as_str()), (200, "numhost\n"));
    assert_eq!(house.dig("h0.lan.home.test", "A"), ["192.0.2.1"]);
}

// 13. One's own address.

#[test]
fn checkip_is_what_its_readers_look_for() {
    let house = House::new("checkip");
    let answer = house.send(&Request::get("/nic/checkip"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/html"));
    // ddclient: behind these words, the first address.
    let behind = answer.body.split("Current IP Address:").nth(1).expect("Dyn's words");
    assert!(behind.trim_start().starts_with("127.0.0.1"), "{behind}");
    // pfSense, OPNsense, OpenWrt: the first thing that looks like an address, anywhere.
    let first = answer
        .body
        .split(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .find(|word| word.split('.').count() == 4);
    assert_eq!(first, Some("127.0.0.1"));
    // MikroTik scripts: from the first ": " to "</body>".
    let cut = answer.body.split_once(": ").and_then(|(_, rest)| rest.split_once("</body>")).map(|(cut, _)| cut);
    assert_eq!(cut, Some("127.0.0.1"));
    for path in ["/nic/checkip.html", "/checkip"] {
        assert_eq!(house.send(&Request::get(path)).body, answer.body);
    }
    for path in ["/myip", "/ip"] {
        let answer = house.send(&Request::get(path));
        assert_eq!((answer.status, answer.body.as_str()), (200, "127.0.0.1\n"));
    }
}

// What is told apart beyond the fourteen points.

#[test]
fn the_answer_wears_the_clients_dress() {
    let sections = format!("{PLAIN}[[device]]\nid = \"sense\"\nhosts = [\"sense.home.test\"]\nprofile = \"strict\"\n");
    let house = House::with("dress", &sections);
    let ask = |query: &str, headers: &[(&str, &str)]| {
        let mut request = Request::get(&format!("/nic/update?{query}")).header("Authorization", &house.basic("box"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        house.send(&request)
    };
    let strict = [("User-Agent", "OPNsense-dyndns/1.0")];
    let json = [("Accept", "application/json")];
    for (query, classic, other) in [
        ("hostname=foreign.home.test&myip=192.0.2.1", 200, 404),
        ("hostname=a..b&myip=192.0.2.1", 200, 422),
        ("hostname=a.home.test&myip=rubbish", 200, 422),
        ("hostname=a.home.test&myip=192.0.2.1", 200, 200),
        ("hostname=a.home.test,foreign.home.test&myip=192.0.2.1", 200, 207),
    ] {
        assert_eq!(ask(query, &[]).status, classic, "{query}");
        assert_eq!(ask(query, &strict).status, other, "{query}");
        assert_eq!(ask(query, &json).status, other, "{query}");
    }
    let answer = ask("hostname=a.home.test,foreign.home.test&myip=192.0.2.1", &json);
    let value: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(value["results"][0]["code"], "nochg");
    assert_eq!(value["results"][0]["addresses"][0], "192.0.2.1");
    assert_eq!(value["results"][1]["code"], "nohost");
    let device = Request::get("/nic/update?hostname=foreign.home.test").header("Authorization", &house.basic("sense"));
    assert_eq!(house.send(&device).status, 404);
}

#[test]
fn deleting_is_its_own_request_and_its_own_permission() {
    let sections = format!("{PLAIN}[[device]]\nid = \"tidy\"\nhosts = [\"x.home.test\"]\nallow_delete = true\n");
    let house = House::with("delete", &sections);
    let tidy = |target: &str| house.send(&Request::get(target).header("Authorization", &house.basic("tidy")));
    assert_eq!(
        tidy("/nic/update?hostname=x.home.test&myip=192.0.2.1,2001:db8::1").body,
        "good 192.0.2.1,2001:db8::1\n"
    );
    assert_eq!(tidy("/nic/delete?hostname=x.home.test&myip=192.0.2.1").body, "good\n");
    assert!(house.dig("x.home.test", "A").is_empty());
    assert_eq!(house.dig("x.home.test", "AAAA"), ["2001:db8::1"]);
    assert_eq!(tidy("/nic/update?hostname=x.home.test&offline=yes").body, "good\n");
    assert_eq!(tidy("/nic/update?hostname=x.home.test&offline=yes").body, "nochg\n");
    assert!(house.dig("x.home.test", "AAAA").is_empty());
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
    assert_eq!(house.update("hostname=a.home.test&offline=YES").body, "nohost\n");
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.1"]);
}

#[test]
fn messages_that_break_http_are_refused() {
    let house = House::new("broken");
    let ca = house.folder().join("ca.crt");
    let line = "GET /nic/update?hostname=a.home.test HTTP/1.1\r\n";
    for head in [
        format!("{line}\r\n"),
        format!("{line}Host: a\r\nHost: b\r\n\r\n"),
        format!("{line}Host: a/b\r\n\r\n"),
        format!("{line}Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{line}Host: a\r\n Folded: x\r\n\r\n"),
        "GET /nic/update ?hostname=a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        let answer = nicgate_tests::Answer::read(&wire::exchange(house.https(), &ca, head.as_bytes()));
        assert!((400..=431).contains(&answer.status) && answer.status != 401, "{head:?}: {answer:?}");
        // Nothing that follows such a message is read.
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    }
}
