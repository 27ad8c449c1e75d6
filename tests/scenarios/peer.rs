//! Who speaks, when somebody else carries the words: reverse proxies that are trusted and those that are not, the PROXY
//! protocol, and doors without TLS.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use nicgate_tests::wire::{self, Connection};
use nicgate_tests::{Answer, House, PLAIN, Request};

/// The harness' own connections come from a trusted proxy.
const TRUSTED: &str = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\", \"2001:db8:ff::/48\"]\n";

fn peer(house: &House, headers: &[(&str, &str)]) -> String {
    let request = headers.iter().fold(Request::get("/myip"), |request, (name, value)| request.header(name, value));
    house.send(&request).body.trim_end().to_owned()
}

/// A free port. Nobody else in this process asks for one by number.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_trusted_proxy_names_the_peer_and_lists_are_read_from_the_right() {
    let house = House::with("proxied", &format!("{TRUSTED}{PLAIN}"));
    for (headers, address) in [
        (&[][..], "127.0.0.1"),
        (&[("X-Forwarded-For", "192.0.2.7")], "192.0.2.7"),
        (&[("X-Forwarded-For", "6.6.6.6, 192.0.2.7")], "192.0.2.7"),
        (&[("X-Forwarded-For", "6.6.6.6, 192.0.2.7, 10.0.0.2")], "192.0.2.7"),
        (&[("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "192.0.2.7")], "192.0.2.7"),
        (&[("X-Forwarded-For", "2001:DB8::7")], "2001:db8::7"),
        (&[("X-Forwarded-For", "[2001:db8::7]:4711")], "2001:db8::7"),
        (&[("X-Forwarded-For", "::ffff:192.0.2.7")], "192.0.2.7"),
        (&[("X-Forwarded-For", "6.6.6.6, rubbish")], "127.0.0.1"),
        (&[("Forwarded", "for=6.6.6.6, for=192.0.2.7;proto=https")], "192.0.2.7"),
        (&[("Forwarded", "for=\"[2001:db8::7]:4711\";proto=https, for=10.0.0.2")], "2001:db8::7"),
        (&[("Forwarded", "For=\"[2001:DB8::7]\"")], "2001:db8::7"),
        (&[("Forwarded", "for=unknown")], "127.0.0.1"),
        (&[("Forwarded", "for=192.0.2.7"), ("X-Forwarded-For", "6.6.6.6")], "127.0.0.1"),
        (&[("X-Real-IP", "6.6.6.6")], "127.0.0.1"),
    ] {
        assert_eq!(peer(&house, headers), address, "{headers:?}");
    }
}

#[test]
fn an_update_without_an_address_takes_the_peer_that_the_proxy_names() {
    let house = House::with("absent", &format!("{TRUSTED}{PLAIN}"));
    let update = |query: &str, forwarded: &str| {
        let request = Request::get(&format!("/nic/update?hostname=a.home.test{query}"));
        house.send(&request.header("Authorization", &house.basic("box")).header("X-Forwarded-For", forwarded)).body
    };
    assert_eq!(update("", "192.0.2.7"), "good 192.0.2.7\n");
    assert_eq!(update("&myip=", "2001:db8::7"), "good 2001:db8::7\n");
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.7"]);
    assert_eq!(house.dig("a.home.test", "AAAA"), ["2001:db8::7"]);
    assert_eq!(update("&myip=192.0.2.8", "192.0.2.7"), "good 192.0.2.8\n");
    let log = house.log();
    let peers: Vec<_> = log.iter().filter(|line| line["event"] == "update").map(|line| line["peer"].clone()).collect();
    assert_eq!(peers, ["192.0.2.7", "2001:db8::7", "192.0.2.7"]);
}

#[test]
fn nobody_else_is_believed_about_it() {
    let house = House::with("spoofed", &format!("trusted_proxies = [\"10.0.0.0/8\"]\n{PLAIN}"));
    for header in ["X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "Client-IP"] {
        assert_eq!(peer(&house, &[(header, "6.6.6.6")]), "127.0.0.1", "{header}");
    }
    assert_eq!(peer(&house, &[("Forwarded", "for=6.6.6.6")]), "127.0.0.1");
    let update = Request::get("/nic/update?hostname=a.home.test").header("Authorization", &house.basic("box"));
    assert_eq!(house.send(&update.header("X-Forwarded-For", "6.6.6.6")).body, "good 127.0.0.1\n");
}

#[test]
fn a_stranger_is_one_source_however_many_addresses_it_claims() {
    let sections = PLAIN.replace("enabled = false", "enabled = true");
    let wrong = |house: &House, number: u32| {
        let request = Request::get("/nic/update?hostname=a.home.test").header("Authorization", "Basic Ym94Ong=");
        house.send(&request.header("X-Forwarded-For", &format!("203.0.113.{number}"))).body
    };
    let house = House::with("claims", &sections);
    let answers: Vec<_> = (0..40).map(|number| wrong(&house, number)).collect();
    assert_eq!(answers[0], "badauth\n");
    assert_eq!(answers[39], "911\n");
    // Behind a proxy, each peer has a budget of its own.
    let house = House::with("budgets", &format!("{TRUSTED}{sections}"));
    assert!((0..40).all(|number| wrong(&house, number) == "badauth\n"));
}

// In clear.

#[test]
fn in_clear_only_those_are_heard_who_may() {
    let sections = format!(
        "plain_listen = [\"127.0.0.1:0\"]\n{PLAIN}\n[[device]]\nid = \"old\"\nhosts = [\"old.home.test\"]\nallow_plain = true\n"
    );
    let house = House::with("plain", &sections);
    let update = |device: &str, host: &str| {
        let request = Request::get(&format!("/nic/update?hostname={host}&myip=192.0.2.1"));
        let bytes = request.header("Authorization", &house.basic(device)).bytes(house.plain());
        Answer::read(&wire::exchange_in_clear(house.plain(), &bytes))
    };
    assert_eq!(update("old", "old.home.test").body, "good 192.0.2.1\n");
    let refused = update("box", "a.home.test");
    assert_eq!((refused.status, refused.body.as_str()), (401, "badauth\n"));
    assert!(house.dig("a.home.test", "A").is_empty());
    assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n", "over TLS it may");
    assert!(house.log().iter().any(|line| line["error_code"] == "in_clear"));
}

#[test]
fn in_clear_behind_a_proxy_counts_what_the_proxy_says() {
    let house = House::with("behind", &format!("plain_listen = [\"127.0.0.1:0\"]\n{TRUSTED}{PLAIN}"));
    let update = |proto: &str| {
        let request = Request::get("/nic/update?hostname=a.home.test").header("Authorization", &house.basic("box"));
        let request = request.header("X-Forwarded-For", "192.0.2.7").header("X-Forwarded-Proto", proto);
        Answer::read(&wire::exchange_in_clear(house.plain(), &request.bytes(house.plain()))).body
    };
    assert_eq!(update("http"), "badauth\n");
    assert_eq!(update("https"), "good 192.0.2.7\n");
}

// The PROXY protocol, version 2.

/// A header as HAProxy writes it: signature, version and command, family, and both ends.
fn proxy_header(source: SocketAddr) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    match source {
        SocketAddr::V4(source) => {
            header.extend([0x11, 0, 12]);
            header.extend(source.ip().octets());
            header.extend([127, 0, 0, 1]);
        }
        SocketAddr::V6(source) => {
            header.extend([0x21, 0, 36]);
            header.extend(source.ip().octets());
            header.extend(Ipv6Addr::LOCALHOST.octets());
        }
    }
    header.extend(source.port().to_be_bytes());
    header.extend(443_u16.to_be_bytes());
    header
}

fn with_proxy_header(trusted: &str) -> (House, SocketAddr) {
    let address = free();
    let sections = format!(
        "plain_listen = [\"{address}\"]\nproxy_protocol = [\"{address}\"]\ntrusted_proxies = [\"{trusted}\"]\n{PLAIN}"
    );
    (House::with("proxy", &sections), address)
}

#[test]
fn a_proxy_header_in_front_names_the_peer() {
    let (house, door) = with_proxy_header("127.0.0.1");
    for source in ["192.0.2.7:4711", "[2001:db8::7]:4711"] {
        let source: SocketAddr = source.parse().unwrap();
        let mut connection = Connection::plain(door);
        connection.send(&proxy_header(source));
        for _ in 0..2 {
            connection.send(&Request::get("/myip").header("X-Forwarded-For", "6.6.6.6").kept().bytes(door));
            assert_eq!(connection.answer().body, format!("{}\n", source.ip()));
        }
    }
    assert_eq!(peer(&house, &[]), "127.0.0.1", "the other door goes on without");
}

#[test]
fn without_a_header_or_from_a_stranger_the_door_stays_shut() {
    let (house, door) = with_proxy_header("127.0.0.1");
    assert_eq!(wire::exchange_in_clear(door, &Request::get("/myip").bytes(door)), "");
    let old = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\nGET /myip HTTP/1.0\r\n\r\n";
    assert_eq!(wire::exchange_in_clear(door, old), "");
    assert_eq!(house.log().iter().filter(|line| line["event"] == "no_proxy_header").count(), 2);

    let (house, door) = with_proxy_header("10.0.0.1");
    let mut sent = proxy_header("192.0.2.7:4711".parse().unwrap());
    sent.extend(Request::get("/myip").bytes(door));
    assert_eq!(wire::exchange_in_clear(door, &sent), "");
    assert_eq!(house.log().iter().filter(|line| line["event"] == "no_proxy_header").count(), 1);
}
