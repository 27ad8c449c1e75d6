//! The embedded name server as resolvers meet it: ISC's dig and nsupdate, dnspython and hickory ask, and each of them
//! reads the same.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::RData;
use nicgate_tests::program::Site;
use nicgate_tests::{House, PLAIN, python, run, text, tool, wire};
use serde_json::{Value, json};

/// A zone with two name servers, hosts of every service class, and a wildcard.
const ZONE: &str = r#"
[[provider]]
name = "lab"
type = "embedded"

[[zone]]
name = "home.test"
providers = ["lab"]
addresses = "any"
nameservers = ["ns1.home.test", "ns.example.net"]
mailbox = "hostmaster@home.test"
negative_ttl = 30

[limits]
enabled = false

[[service]]
name = "camera"
ttl = 20

[[host]]
name = "nas.home.test"
service = "nas"

[[host]]
name = "desk.home.test"
service = "remote-desktop"

[[host]]
name = "live.home.test"
service = "realtime"

[[host]]
name = "cam.home.test"
service = "camera"

[[device]]
id = "box"
hosts = ["a.home.test", "*.w.home.test", "x.y.home.test", "nas.home.test", "desk.home.test", "live.home.test", "cam.home.test"]
"#;

fn house(name: &str) -> House {
    let house = House::with(name, ZONE);
    for (host, addresses) in [
        ("a.home.test", "192.0.2.1,2001:db8::1"),
        ("*.w.home.test", "192.0.2.2"),
        ("x.y.home.test", "2001:db8::3"),
        ("nas.home.test", "192.0.2.4"),
        ("desk.home.test", "192.0.2.5"),
        ("live.home.test", "192.0.2.6"),
        ("cam.home.test", "192.0.2.7"),
    ] {
        let answer = house.update(&format!("hostname={host}&myip={addresses}"));
        assert_eq!(answer.body, format!("good {addresses}\n"), "{host}");
    }
    house
}

/// The serial that the name server shows.
fn serial(server: SocketAddr) -> u32 {
    let reply = wire::query(server, "home.test", "SOA");
    let RData::SOA(soa) = &reply.answers[0].data else { panic!("no SOA: {reply}") };
    soa.serial
}

/// What a question ends in.
struct Row {
    name: &'static str,
    record_type: &'static str,
    rcode: &'static str,
    /// As zone files write them, without the final dots of names; `SERIAL` stands for the serial.
    answer: &'static [&'static str],
    /// Whether the SOA stands in the authority section.
    is_negative: bool,
}

const SOA: &str = "home.test 3600 SOA ns1.home.test hostmaster.home.test SERIAL 7200 900 1209600 30";
const NEGATIVE: &str = "home.test 30 SOA ns1.home.test hostmaster.home.test SERIAL 7200 900 1209600 30";

const fn row(name: &'static str, record_type: &'static str, answer: &'static [&'static str]) -> Row {
    Row { name, record_type, rcode: "NOERROR", answer, is_negative: answer.is_empty() }
}

const fn no_name(name: &'static str, record_type: &'static str) -> Row {
    Row { name, record_type, rcode: "NXDOMAIN", answer: &[], is_negative: true }
}

const fn refused(name: &'static str, record_type: &'static str) -> Row {
    Row { name, record_type, rcode: "REFUSED", answer: &[], is_negative: false }
}

const TABLE: &[Row] = &[
    row("a.home.test", "A", &["a.home.test 60 A 192.0.2.1"]),
    row("a.home.test", "AAAA", &["a.home.test 60 AAAA 2001:db8::1"]),
    row("home.test", "SOA", &[SOA]),
    row("home.test", "NS", &["home.test 3600 NS ns.example.net", "home.test 3600 NS ns1.home.test"]),
    // TTL by class of service.
    row("nas.home.test", "A", &["nas.home.test 300 A 192.0.2.4"]),
    row("desk.home.test", "A", &["desk.home.test 120 A 192.0.2.5"]),
    row("live.home.test", "A", &["live.home.test 60 A 192.0.2.6"]),
    row("cam.home.test", "A", &["cam.home.test 20 A 192.0.2.7"]),
    // The wildcard stands for what is below it, and for nothing else (RFC 4592).
    row("cam.w.home.test", "A", &["cam.w.home.test 60 A 192.0.2.2"]),
    row("deep.down.w.home.test", "A", &["deep.down.w.home.test 60 A 192.0.2.2"]),
    row("cam.w.home.test", "AAAA", &[]),
    row("w.home.test", "A", &[]),
    // There, but nothing of that type; there, but only because of what is below.
    row("nas.home.test", "AAAA", &[]),
    row("a.home.test", "TXT", &[]),
    row("a.home.test", "HTTPS", &[]),
    row("home.test", "A", &[]),
    row("y.home.test", "A", &[]),
    no_name("nobody.home.test", "A"),
    no_name("below.a.home.test", "A"),
    no_name("nobody.home.test", "SOA"),
    // Nothing of ours, and nobody else is asked.
    refused("example.org", "A"),
    refused("test", "NS"),
    refused("xhome.test", "A"),
];

impl Row {
    fn answer(&self, serial: u32) -> Vec<String> {
        self.answer.iter().map(|record| record.replace("SERIAL", &serial.to_string())).collect()
    }

    fn authority(&self, serial: u32) -> Vec<String> {
        self.is_negative.then(|| NEGATIVE.replace("SERIAL", &serial.to_string())).into_iter().collect()
    }
}

// Three readers.

#[test]
fn hickory_reads_every_kind_of_answer() {
    let house = house("hickory");
    let now = serial(house.dns());
    let records = |section: &[hickory_proto::rr::Record]| {
        let mut list: Vec<String> = section
            .iter()
            .map(|record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data))
            .map(|line| line.replace(". ", " ").trim_end_matches('.').to_owned())
            .collect();
        list.sort();
        list
    };
    for row in TABLE {
        let reply = wire::query(house.dns(), row.name, row.record_type);
        let told = format!("{} {}: {reply}", row.name, row.record_type);
        let rcode = match row.rcode {
            "NOERROR" => ResponseCode::NoError,
            "NXDOMAIN" => ResponseCode::NXDomain,
            _ => ResponseCode::Refused,
        };
        assert_eq!(reply.metadata.response_code, rcode, "{told}");
        assert_eq!(reply.metadata.authoritative, row.rcode != "REFUSED", "{told}");
        assert!(!reply.metadata.recursion_available && !reply.metadata.truncation, "{told}");
        assert_eq!(records(&reply.answers), row.answer(now), "{told}");
        assert_eq!(records(&reply.authorities), row.authority(now), "{told}");
    }
}

#[test]
fn dnspython_reads_the_same_over_udp_and_tcp_with_edns_and_without() {
    let Some(python) = python() else { return };
    let house = house("dnspython");
    let now = serial(house.dns());
    let dressed: Vec<(&Row, bool, Option<u16>)> = TABLE
        .iter()
        .flat_map(|row| [(false, None), (false, Some(1232)), (true, None), (true, Some(512))].map(|how| (row, how)))
        .map(|(row, (tcp, payload))| (row, tcp, payload))
        .collect();
    let questions: Vec<Value> = dressed
        .iter()
        .map(|(row, tcp, payload)| json!({"name": row.name, "type": row.record_type, "tcp": tcp, "payload": payload}))
        .collect();
    let asked = json!({"address": "127.0.0.1", "port": house.dns().port(), "questions": questions});
    let replies = ask_oracle(&python, "dnspython_ask.py", &asked);
    let replies = replies.as_array().unwrap();
    assert_eq!(replies.len(), dressed.len());
    for (reply, (row, tcp, payload)) in replies.iter().zip(dressed) {
        let told = format!("{} {} tcp {tcp} payload {payload:?}: {reply}", row.name, row.record_type);
        let list = |key: &str| -> Vec<String> {
            let lines = reply[key].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
            lines.map(|line| line.replace(". ", " ").trim_end_matches('.').to_owned()).collect()
        };
        assert_eq!(reply["rcode"], row.rcode, "{told}");
        assert_eq!(reply["flags"], if row.rcode == "REFUSED" { "QR RD" } else { "QR AA RD" }, "{told}");
        assert_eq!(list("answer"), row.answer(now), "{told}");
        assert_eq!(list("authority"), row.authority(now), "{told}");
        assert_eq!(reply["payload"], payload.map_or(Value::Null, |_| json!(1232)), "{told}");
        assert!(reply["length"].as_u64().unwrap() <= 512, "{told}");
    }
}

/// Hands JSON to one of the programs in `tests/oracles` and reads JSON back.
fn ask_oracle(python: &Path, name: &str, asked: &Value) -> Value {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracles").join(name);
    let mut command = Command::new(python);
    command.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What dig says.
fn dig(program: &Path, server: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string(), "+tries=2", "+time=2"]);
    text(&run(command.args(arguments)))
}

#[test]
fn dig_reads_every_kind_of_answer() {
    let Some(program) = tool("dig") else { return };
    let house = house("dig");
    let ask = |arguments: &[&str]| dig(&program, house.dns(), arguments);
    for row in TABLE {
        for more in [&[][..], &["+tcp"], &["+noedns"], &["+dnssec", "+bufsize=4096"]] {
            let said = ask(&[more, &[row.name, row.record_type][..]].concat());
            assert!(said.contains(&format!("status: {}", row.rcode)), "{more:?} {said}");
            assert!(!said.contains("WARNING: Message") && !said.contains("communications error"), "{more:?} {said}");
            // dig asks for recursion, and says so when it is not to be had.
            assert!(said.contains("recursion requested but not available"), "{more:?} {said}");
            let counts = format!("ANSWER: {}, AUTHORITY: {}", row.answer.len(), usize::from(row.is_negative));
            assert!(said.contains(&counts), "{more:?} {said}");
        }
    }
    assert_eq!(ask(&["+short", "a.home.test", "A"]), "192.0.2.1\n");
    assert_eq!(ask(&["+short", "a.home.test", "ANY"]).lines().count(), 1, "one set is enough (RFC 8482)");

    // A name comes back as it was written: resolvers that mix the case look at it (0x20).
    let said = ask(&["+noall", "+question", "+answer", "A.hOmE.tESt", "A"]);
    assert_eq!(said.matches("A.hOmE.tESt.").count(), 2, "{said}");

    assert!(ask(&["+edns=1", "+noednsnegotiation", "a.home.test", "A"]).contains("status: BADVERS"));
    assert!(ask(&["-c", "CH", "version.bind", "TXT"]).contains("status: REFUSED"));
    assert!(ask(&["+norecurse", "a.home.test", "A"]).contains("flags: qr aa;"));
}

#[test]
fn nobody_transfers_updates_or_notifies() {
    let Some(program) = tool("dig") else { return };
    let house = house("closed");
    let ask = |arguments: &[&str]| dig(&program, house.dns(), arguments);
    let before = serial(house.dns());
    for transfer in ["AXFR", "IXFR=1"] {
        let said = ask(&["home.test", transfer]);
        assert!(said.contains("Transfer failed") && !said.contains("192.0.2.1"), "{said}");
    }
    let reply = wire::query(house.dns(), "home.test", "AXFR");
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused, "{reply}");
    assert!(reply.answers.is_empty() && reply.authorities.is_empty(), "{reply}");
    assert!(ask(&["+opcode=notify", "home.test", "SOA"]).contains("status: NOTIMP"));
    assert!(ask(&["+opcode=status", "home.test", "SOA"]).contains("status: NOTIMP"));

    if let Some(nsupdate) = tool("nsupdate") {
        let orders = format!(
            "server 127.0.0.1 {}\nzone home.test\nupdate add evil.home.test 60 A 192.0.2.66\nsend\n",
            house.dns().port()
        );
        let file = house.folder().join("orders");
        std::fs::write(&file, orders).unwrap();
        let output = run(Command::new(nsupdate).args(["-t", "5", "-u", "3", "-r", "1"]).arg(&file));
        assert!(!output.status.success() && text(&output).contains("NOTIMP"), "{}", text(&output));
    }
    assert!(house.dig("evil.home.test", "A").is_empty());
    assert_eq!(serial(house.dns()), before);
}

// What changes.

#[test]
fn an_update_is_visible_at_once_under_a_higher_serial_that_is_durable() {
    let house = House::with("visible", ZONE);
    let mut before = serial(house.dns());
    for number in 1..=50 {
        let address = format!("192.0.2.{number}");
        assert_eq!(house.update(&format!("hostname=a.home.test&myip={address}")).body, format!("good {address}\n"));
        assert_eq!(house.dig("a.home.test", "A"), [address.as_str()]);
        let now = serial(house.dns());
        assert!(now > before, "{before} became {now}");
        // The number of the store's newest commit that is on disk.
        assert!(u64::from(now) <= house.running().gateway.desk.store.number(), "{now} is not durable");
        before = now;

        assert_eq!(house.update(&format!("hostname=a.home.test&myip={address}")).body, format!("nochg {address}\n"));
        assert_eq!(serial(house.dns()), now, "nothing changed");
    }
}

#[test]
fn a_restart_serves_the_same_under_a_serial_that_is_no_lower() {
    let mut house = house("restart");
    let before = serial(house.dns());
    house.stop();
    house.start();
    assert_eq!(house.dig("a.home.test", "AAAA"), ["2001:db8::1"]);
    assert_eq!(house.dig("any.w.home.test", "A"), ["192.0.2.2"]);
    assert!(serial(house.dns()) >= before);
}

// What nobody should send.

#[test]
fn garbage_costs_nothing_and_replies_stay_small() {
    let site = Site::new("garbage", PLAIN);
    let served = site.serve();
    let server = served.dns[0];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let plain = wire::question("a.home.test", "A");
    let mut dressed = plain.clone();
    let mut edns = Edns::new();
    edns.set_max_payload(65_000);
    dressed.edns = Some(edns);
    let whole = [plain.to_vec().unwrap(), dressed.to_vec().unwrap()];

    let mut dice = 0x6e69_6367_6174_6531_u64;
    let mut roll = move |limit: usize| {
        // xorshift64
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice % limit as u64) as usize
    };
    let mut buffer = [0; 65_535];
    let mut flood = |count: usize, is_patient: bool| {
        socket.set_nonblocking(!is_patient).unwrap();
        for number in 0..count {
            let mut bytes = whole[number % 2].clone();
            match number % 4 {
                0 => bytes = (0..roll(600)).map(|_| roll(256) as u8).collect(),
                1 => bytes.truncate(roll(bytes.len())),
                2 => {
                    for _ in 0..=roll(6) {
                        let place = roll(bytes.len());
                        bytes[place] = roll(256) as u8;
                    }
                }
                _ => bytes.extend((0..roll(4000)).map(|_| roll(256) as u8)),
            }
            // A server that does not keep up loses datagrams, as the system sees fit.
            let _ = socket.send(&bytes);
            if let Ok(length) = socket.recv(&mut buffer) {
                let most = if is_patient { bytes.len().clamp(512, 1232) } else { 1232 };
                assert!(length <= most, "{length} octets for {} ({bytes:02x?})", bytes.len());
                // Nothing that another server would take for a question, so that no two of them talk for ever.
                assert_eq!(buffer[2] & 0x80, 0x80);
            }
        }
    };
    flood(1500, true);
    let before = memory(served.id());
    flood(50_000, false);
    let grown = memory(served.id()).saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} octets more after garbage");

    // Over TCP too: lengths that lie, silence, noise.
    for bytes in
        [&[0xff, 0xff, 1, 2, 3][..], &[0, 0], &[0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], b"GET / HTTP/1.0\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut reply = Vec::new();
        // Cut or closed, but not kept waiting for ever.
        let ended = stream.read_to_end(&mut reply);
        assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{bytes:?}");
        assert!(reply.len() <= 64, "{bytes:?}: {reply:?}");
    }

    let reply = wire::ask(server, &Message::from_vec(&whole[1]).unwrap()).unwrap();
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(served.log().iter().filter(|line| line["level"] == "error").count(), 0, "{}", served.text());
}

/// Octets of memory that a process has in use.
fn memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}
