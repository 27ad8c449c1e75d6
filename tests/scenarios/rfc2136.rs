//! Dynamic updates against real name servers, and against a responder that lies.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nicgate::provider::{Class, Outcome};
use nicgate_tests::pusher::Pusher;
use nicgate_tests::servers::bind::V6_ONLY_KEY;
use nicgate_tests::servers::{ALGORITHMS, Bind, KEY, Knot, PowerDns, SECRET, ZONE, nsupdate};
use nicgate_tests::{dig, wire};

/// What stands in the zone before.
const RECORDS: &str = "one IN A 192.0.2.77\n\
                       two IN A 192.0.2.77\n\
                       two IN A 192.0.2.78\n\
                       alias IN CNAME one\n\
                       *.wild 900 IN A 192.0.2.99\n\
                       *.aliases IN CNAME one\n";

fn pusher(server: SocketAddr) -> Pusher {
    let server = server.to_string();
    Pusher::new("rfc2136", ZONE, &[("server", &server), ("key_name", KEY), ("key_secret", SECRET)])
}

fn ttl(server: SocketAddr, name: &str) -> u32 {
    wire::query(server, name, "A").answers[0].ttl
}

#[track_caller]
fn assert_refused(outcome: &Outcome, wanted: Class, word: &str) {
    let fits = matches!(outcome, Outcome::Refused { class, code, text, maybe_written: false }
        if *class == wanted && (text.contains(word) || **code == *word));
    assert!(fits, "not {wanted:?} with {word:?}: {outcome:?}");
}

/// The life of hosts, the same on every server. `has_records`: [`RECORDS`] are there.
fn lives(address: SocketAddr, transport: Option<&str>) {
    let mut pusher = pusher(address);
    if let Some(transport) = transport {
        pusher.set("transport", transport);
    }
    for host in ["nas.example.com", "*.lan.example.com", "example.com"] {
        // A literal asterisk is asked for as such.
        assert_eq!(pusher.confirm(host, "192.0.2.1"), 1, "{host}: new");
        assert_eq!(dig(address, host, "A"), ["192.0.2.1"]);
        assert_eq!(ttl(address, host), 60);
        assert_eq!(pusher.confirm(host, "192.0.2.2"), 1, "{host}: changed");
        assert_eq!(pusher.confirm(host, "192.0.2.2"), 0, "{host}: repeated");
        assert_eq!(pusher.confirm(host, "192.0.2.2,2001:db8::2"), 1, "{host}: a family more");
        assert_eq!(pusher.confirm(host, "192.0.2.3,2001:db8::3"), 1, "{host}: both families");
        assert_eq!(
            (dig(address, host, "A"), dig(address, host, "AAAA")),
            (vec!["192.0.2.3".into()], vec!["2001:db8::3".into()])
        );
        assert_eq!(pusher.confirm(host, "192.0.2.3"), 1, "{host}: a family less");
        assert!(dig(address, host, "AAAA").is_empty());
        let forgotten = pusher.hosts.remove(host);
        assert_eq!(pusher.confirm(host, "192.0.2.3"), 2, "{host}: told again after everything was forgotten");
        pusher.hosts.extend(forgotten.map(|known| (host.to_owned(), known)));
        pusher.ttl = Some(30);
        assert_eq!(pusher.confirm(host, "192.0.2.4"), 1);
        assert_eq!(ttl(address, host), 30);
        pusher.ttl = None;
        assert_eq!(pusher.confirm(host, ""), 1, "{host}: gone");
        assert!(dig(address, host, "A").is_empty());
    }
    assert_eq!(dig(address, "example.com", "NS"), ["ns1.example.com."], "the root keeps the rest");
}

#[test]
fn hosts_live_on_bind() {
    let Some(bind) = Bind::start("rfc2136-bind", RECORDS) else { return };
    lives(bind.address, None);
    lives(bind.address, Some("tcp"));
    lives(bind.address, Some("udp"));
}

#[test]
fn hosts_live_on_knot() {
    let Some(knot) = Knot::start("rfc2136-knot", RECORDS) else { return };
    lives(knot.address, None);
    lives(knot.address, Some("tcp"));
}

#[test]
fn hosts_live_on_powerdns() {
    let Some(powerdns) = PowerDns::start("rfc2136-powerdns") else { return };
    lives(powerdns.address, None);
    lives(powerdns.address, Some("tcp"));
}

/// What others put there, the same on every server with [`RECORDS`].
fn leaves_others_alone(address: SocketAddr, key: (&str, &str)) {
    let mut pusher = pusher(address);
    let by_hand = |lines: &str| nsupdate(address, key, lines).map(|said| assert_eq!(said, "", "{lines}"));

    assert_eq!(pusher.confirm("one.example.com", "192.0.2.1"), 3, "told, looked, told");
    assert_eq!(dig(address, "one.example.com", "A"), ["192.0.2.1"], "a single value is replaced");
    assert_eq!(ttl(address, "one.example.com"), 300, "and keeps its TTL");

    assert_refused(&pusher.outcome("two.example.com", "192.0.2.1"), Class::Invalid, "192.0.2.78");
    assert_eq!(dig(address, "two.example.com", "A"), ["192.0.2.77", "192.0.2.78"]);
    assert_refused(&pusher.outcome("alias.example.com", "192.0.2.1"), Class::Invalid, "CNAME");
    assert_eq!(pusher.look("alias.example.com").unwrap().obstacles.len(), 1);
    assert_eq!(pusher.look("two.example.com").unwrap().addresses.len(), 2);

    // Somebody adds a value beside ours.
    pusher.confirm("own.example.com", "192.0.2.1");
    if by_hand("add own.example.com 60 A 192.0.2.78").is_none() {
        return;
    }
    assert_eq!(pusher.confirm("own.example.com", "192.0.2.2"), 3);
    assert_eq!(dig(address, "own.example.com", "A"), ["192.0.2.2", "192.0.2.78"]);
    pusher.confirm("own.example.com", "");
    assert_eq!(dig(address, "own.example.com", "A"), ["192.0.2.78"]);

    // Somebody changes ours, or removes it.
    pusher.confirm("moved.example.com", "192.0.2.1");
    by_hand("del moved.example.com A\nadd moved.example.com 60 A 192.0.2.78");
    pusher.confirm("moved.example.com", "192.0.2.2");
    assert_eq!(dig(address, "moved.example.com", "A"), ["192.0.2.2"]);
    by_hand("del moved.example.com A\nadd moved.example.com 60 A 192.0.2.78");
    pusher.confirm("moved.example.com", "");
    assert_eq!(dig(address, "moved.example.com", "A"), ["192.0.2.78"], "only what we wrote is removed");

    // A wildcard answers for names that are not there.
    assert_eq!(pusher.confirm("nas.wild.example.com", "192.0.2.1"), 1);
    by_hand("del nas.wild.example.com A");
    assert_eq!(dig(address, "nas.wild.example.com", "A"), ["192.0.2.99"]);
    pusher.confirm("nas.wild.example.com", "192.0.2.2");
    assert_eq!(dig(address, "nas.wild.example.com", "A"), ["192.0.2.2"]);
    assert_eq!(dig(address, "other.wild.example.com", "A"), ["192.0.2.99"]);
    assert_eq!(pusher.confirm("nas.aliases.example.com", "192.0.2.1"), 1);
    assert_eq!(dig(address, "nas.aliases.example.com", "A"), ["192.0.2.1"]);

    // After a lost answer it is looked first, and what stands already is not written.
    let known = pusher.hosts.get_mut("one.example.com").unwrap();
    known.doubted = vec!["192.0.2.1".parse::<std::net::IpAddr>().unwrap().into()];
    assert_eq!(pusher.confirm("one.example.com", "192.0.2.1"), 1);
}

#[test]
fn bind_and_knot_keep_what_others_put_there() {
    if let Some(bind) = Bind::start("rfc2136-others", RECORDS) {
        leaves_others_alone(bind.address, (KEY, "hmac-sha256"));
    }
    if let Some(knot) = Knot::start("rfc2136-others", RECORDS) {
        leaves_others_alone(knot.address, (KEY, "hmac-sha256"));
    }
}

#[test]
fn refusals_of_bind_and_knot_are_told_apart() {
    let (Some(bind), Some(knot)) = (Bind::start("rfc2136-no", RECORDS), Knot::start("rfc2136-no", RECORDS)) else {
        return;
    };
    let other_secret = "YW5vdGhlciBzZWNyZXQgb2YgdGhlIHNhbWUga2luZCE=";
    for (server, address) in [("BIND", bind.address), ("Knot", knot.address)] {
        for (key, value, class, word) in [
            ("key_secret", other_secret, Class::Auth, "BADSIG"),
            ("key_name", "nobody.example", Class::Auth, "BADKEY"),
            ("key_algorithm", "hmac-sha512", Class::Auth, "BADKEY"),
        ] {
            let mut pusher = pusher(address);
            pusher.set(key, value);
            let outcome = pusher.outcome("nas.example.com", "192.0.2.1");
            assert_refused(&outcome, class, word);
            assert!(!format!("{outcome:?}").contains(value) || key != "key_secret", "{server}: {outcome:?}");
        }
        for (clock_off, word) in [(3600, "behind"), (-3600, "ahead")] {
            let mut pusher = pusher(address);
            pusher.clock_off = clock_off;
            let outcome = pusher.outcome("nas.example.com", "192.0.2.1");
            assert_refused(&outcome, Class::Auth, word);
            let Outcome::Refused { text, .. } = outcome else { panic!("{server}") };
            let seconds: i64 = text.split(' ').find_map(|word| word.parse().ok()).unwrap();
            assert!((seconds - 3600).abs() < 60, "{server}: {text}");
        }
        let mut elsewhere = pusher(address);
        elsewhere.zone = "elsewhere.test".to_owned();
        assert_refused(&elsewhere.outcome("nas.elsewhere.test", "192.0.2.1"), Class::NoZone, "elsewhere.test");
        assert!(dig(address, "nas.example.com", "A").is_empty(), "{server}");
        for algorithm in ALGORITHMS {
            let mut pusher = pusher(address);
            pusher.set("key_name", algorithm);
            pusher.set("key_algorithm", algorithm);
            assert_eq!(pusher.confirm(&format!("{algorithm}.example.com"), "192.0.2.1"), 1, "{server}: {algorithm}");
        }
        // A zone that lies above the configured one is found, and remembered.
        let mut above = pusher(address);
        above.zone = "dyn.example.com".to_owned();
        assert_eq!(above.confirm("nas.dyn.example.com", "192.0.2.1"), if server == "Knot" { 4 } else { 3 }, "{server}");
        assert_eq!(above.confirm("nas.dyn.example.com", "192.0.2.2"), 1, "{server}");
    }
    // A key that may write AAAA only: the others of a batch are not refused with the one.
    let mut narrow = pusher(bind.address);
    narrow.set("key_name", V6_ONLY_KEY);
    assert_refused(&narrow.outcome("nas.example.com", "192.0.2.1"), Class::Denied, "update-policy");
    let pushed = narrow.push(&[
        ("a.example.com", "2001:db8::1"),
        ("b.example.com", "192.0.2.1"),
        ("c.example.com", "2001:db8::3"),
    ]);
    assert!(
        matches!(pushed.outcomes[..], [Outcome::Confirmed { .. }, Outcome::Refused { .. }, Outcome::Confirmed { .. }]),
        "{pushed:?}"
    );
    let mut fixed = pusher(bind.address);
    fixed.zone = "static.test".to_owned();
    assert_refused(&fixed.outcome("nas.static.test", "192.0.2.1"), Class::Denied, "REFUSED");
    let mut copy = pusher(bind.address);
    copy.zone = "copy.test".to_owned();
    let outcome = copy.outcome("nas.copy.test", "192.0.2.1");
    assert!(!matches!(outcome, Outcome::Confirmed { .. }), "{outcome:?}");
}

#[test]
fn refusals_of_powerdns_are_told_apart() {
    let Some(powerdns) = PowerDns::start("rfc2136-powerdns-no") else { return };
    for (key, value) in [
        ("key_secret", "YW5vdGhlciBzZWNyZXQgb2YgdGhlIHNhbWUga2luZCE="),
        ("key_name", "nobody.example"),
        ("key_algorithm", "hmac-sha512"),
    ] {
        let mut pusher = pusher(powerdns.address);
        pusher.set(key, value);
        // It does not say what is wrong with a key.
        assert_refused(&pusher.outcome("nas.example.com", "192.0.2.1"), Class::Denied, "is not the server's");
    }
    let mut elsewhere = pusher(powerdns.address);
    elsewhere.zone = "elsewhere.test".to_owned();
    assert_refused(&elsewhere.outcome("nas.elsewhere.test", "192.0.2.1"), Class::NoZone, "elsewhere.test");
    // A zone that names no key takes any of the server's, as docs/providers/rfc2136.md warns.
    powerdns.add_zone("open.test", "Native");
    let mut open = pusher(powerdns.address);
    open.zone = "open.test".to_owned();
    assert_eq!(open.confirm("nas.open.test", "192.0.2.1"), 1);
}

#[test]
fn a_burst_of_fifty_hosts_is_one_message() {
    let (Some(bind), Some(knot)) = (Bind::start("rfc2136-burst", RECORDS), Knot::start("rfc2136-burst", RECORDS))
    else {
        return;
    };
    let names: Vec<String> = (0..50).map(|n| format!("h{n}.example.com")).collect();
    for address in [bind.address, knot.address] {
        let mut pusher = pusher(address);
        for round in 1..4 {
            let addresses = format!("192.0.2.{round},2001:db8::{round}");
            let wanted: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), &*addresses)).collect();
            let pushed = pusher.push(&wanted);
            assert!(pushed.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Confirmed { .. })), "{pushed:?}");
            assert_eq!(pushed.calls, 1);
        }
        for name in &names {
            assert_eq!(dig(address, name, "AAAA"), ["2001:db8::3"]);
        }
        // One that was changed by hand costs a few messages more, and is put right with the others.
        if nsupdate(address, (KEY, "hmac-sha256"), "del h17.example.com A\nadd h17.example.com 60 A 192.0.2.77")
            .is_none()
        {
            return;
        }
        let wanted: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "192.0.2.9,2001:db8::9")).collect();
        let pushed = pusher.push(&wanted);
        assert!(pushed.calls < 20, "{}", pushed.calls);
        assert!(names.iter().all(|name| dig(address, name, "A") == ["192.0.2.9"]), "{pushed:?}");
    }
}

/// What a responder says to a message; `None`: nothing.
type Says = dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync;

/// A responder of ours: it says what it likes over UDP, and over TCP the same, or what a true server says.
struct Responder {
    address: SocketAddr,
    /// Messages heard over TCP.
    streams: Arc<AtomicU32>,
}

impl Responder {
    /// Its threads end with the test's process.
    fn start(says: Arc<Says>, truth: Option<SocketAddr>) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).unwrap();
        let streams = Arc::new(AtomicU32::new(0));
        let (lies, heard) = (Arc::clone(&says), Arc::clone(&streams));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                if let Some(answer) = lies(&buffer[..length]) {
                    let _ = udp.send_to(&answer, from);
                }
            }
        });
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let mut stream = stream.unwrap();
                heard.fetch_add(1, Ordering::Relaxed);
                let message = read_framed(&mut stream);
                let answer = match truth {
                    Some(server) => {
                        let mut onward = std::net::TcpStream::connect(server).unwrap();
                        write_framed(&mut onward, &message);
                        Some(read_framed(&mut onward))
                    }
                    None => says(&message),
                };
                if let Some(answer) = answer {
                    write_framed(&mut stream, &answer);
                }
            }
        });
        Self { address, streams }
    }
}

fn read_framed(stream: &mut std::net::TcpStream) -> Vec<u8> {
    use std::io::Read as _;
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

fn write_framed(stream: &mut std::net::TcpStream, message: &[u8]) {
    use std::io::Write as _;
    stream.write_all(&[&(message.len() as u16).to_be_bytes()[..], message].concat()).unwrap();
}

/// The message turned into an answer with this code and nothing else.
fn unsigned(message: &[u8], rcode: u8) -> Vec<u8> {
    vec![message[0], message[1], message[2] | 0x80, rcode, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// The message itself, signature and all, sent back as an answer with this code.
fn echoed(message: &[u8], rcode: u8) -> Vec<u8> {
    let mut answer = message.to_vec();
    (answer[2], answer[3]) = (answer[2] | 0x80, rcode);
    answer
}

#[test]
fn lies_in_datagrams_are_overruled_by_the_server_itself() {
    let Some(bind) = Bind::start("rfc2136-lies", RECORDS) else { return };
    let lies: [(&str, Arc<Says>); 6] = [
        ("an unsigned yes", Arc::new(|message| Some(unsigned(message, 0)))),
        ("an unsigned no", Arc::new(|message| Some(unsigned(message, 5)))),
        ("our own signature sent back", Arc::new(|message| Some(echoed(message, 0)))),
        ("half a message", Arc::new(|message| Some(message[..14].to_vec()))),
        (
            "truncated",
            Arc::new(|message| {
                let mut answer = unsigned(message, 0);
                answer[2] |= 2;
                Some(answer)
            }),
        ),
        ("nothing", Arc::new(|_| None)),
    ];
    for (last, (what, says)) in lies.into_iter().enumerate() {
        let responder = Responder::start(says, Some(bind.address));
        let mut pusher = pusher(responder.address);
        assert_eq!(pusher.confirm(&format!("h{last}.example.com"), "192.0.2.1"), 2, "{what}");
        assert_eq!(dig(bind.address, &format!("h{last}.example.com"), "A"), ["192.0.2.1"], "{what}");
        assert_eq!(responder.streams.load(Ordering::Relaxed), 1, "{what}");
    }
}

#[test]
fn a_yes_that_nobody_signed_is_never_success() {
    for (what, says) in [
        ("unsigned", Arc::new(|message: &[u8]| Some(unsigned(message, 0))) as Arc<Says>),
        ("our own signature sent back", Arc::new(|message: &[u8]| Some(echoed(message, 0)))),
        ("nothing", Arc::new(|_: &[u8]| None)),
    ] {
        let responder = Responder::start(says, None);
        let mut pusher = pusher(responder.address);
        let outcome = pusher.outcome("nas.example.com", "192.0.2.1");
        let is_doubt =
            matches!(outcome, Outcome::Unconfirmed { class: Class::Bug | Class::Down, maybe_written: true, .. });
        assert!(is_doubt, "{what}: {outcome:?}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = pusher(closed).outcome("nas.example.com", "192.0.2.1");
    assert!(matches!(outcome, Outcome::Unconfirmed { class: Class::Down, maybe_written: false, .. }), "{outcome:?}");
}
