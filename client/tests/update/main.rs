//! `nicgate-client update` and `detect` as the real program, against a gateway of paper over real TLS.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod server;

use std::fs::File;
use std::path::Path;
use std::pin::Pin;

use nicgate_client::{BaseUrl, Outside, Role, Settings, Trust, When, update};
use nicgate_protocol::signature::{Message, Presented, presented};
use nicgate_protocol::update::Parameters;
use nicgate_protocol::{DeviceId, Hostname, Secret, Timestamp};

use server::{Act, Heard, KEY, Server, run};

const GOOD: Act = Act::Json(200, r#"{"results":[{"hostname":"a.home.test","code":"good","addresses":["192.0.2.1"]}]}"#);

/// Whether the gateway's own check takes the signature.
fn is_signed(heard: &Heard, device: &str) -> bool {
    let (path, query) = heard.target.split_once('?').unwrap();
    let message = Message {
        method: &heard.method,
        authority: heard.headers["host"].to_str().unwrap(),
        path,
        query: Some(query),
        headers: &heard.headers,
        body: &[],
    };
    let parameters = Parameters::read(Some(query), None);
    let key = Secret::new(KEY.as_bytes().try_into().unwrap());
    match presented(&message, &parameters).unwrap() {
        Presented::Signed(claim) => claim.device() == device && claim.is_signed_by(&key, &message),
        Presented::Nobody | Presented::Password(_) => false,
    }
}

#[test]
fn what_the_gateway_sees_is_signed_and_sent_over_one_connection() {
    let server = Server::start("one", "192.0.2.1\n", &[GOOD]);
    let ended = server.run("update");
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "a.home.test: good 192.0.2.1\n", ""));

    let everything = server.everything();
    let targets: Vec<&str> = everything.iter().map(|heard| heard.target.as_str()).collect();
    assert_eq!(targets, ["/myip", "/nic/update?hostname=a.home.test&myip=192.0.2.1"]);
    assert!(everything.iter().all(|heard| heard.connection == 0 && heard.method == "GET"));
    let update = &everything[1];
    assert_eq!(update.headers["accept"], "application/json");
    assert_eq!(update.headers["host"], format!("localhost:{}", server.port));
    assert!(update.headers["user-agent"].to_str().unwrap().starts_with("nicgate-client/"));
    assert!(is_signed(update, "laptop"));
    assert!(!is_signed(&Heard { target: update.target.replace(".1", ".2"), ..update.clone() }, "laptop"));
}

#[test]
fn nothing_is_sent_twice_unless_it_changed_or_was_asked_for() {
    let server = Server::start("twice", "192.0.2.1", &[GOOD]);
    assert_eq!(server.run("update").code, 0);
    let ended = server.run("update");
    assert_eq!(ended.code, 0);
    assert!(ended.out.starts_with("nothing to do: the gateway acknowledged 192.0.2.1"), "{ended:?}");
    assert_eq!(server.run("update --json").json()["outcome"], "nothing_to_do");
    assert_eq!(server.updates().len(), 1);

    assert_eq!(server.run("update --force").code, 0);
    assert_eq!(server.updates().len(), 2);
    server.configure("ipv4 = \"192.0.2.2\"");
    assert_eq!(server.run("update").code, 0);
    assert!(server.updates()[2].target.ends_with("myip=192.0.2.2"));
    server.configure("gateway = \"https://127.0.0.1:0\"".replace(":0", &format!(":{}/gate", server.port)).as_str());
    assert_eq!(server.run("update -q").out, "");
    assert!(server.updates()[3].target.starts_with("/gate/nic/update?"), "another gateway knows nothing yet");
}

#[test]
fn both_families_and_several_hosts_go_in_one_request() {
    const BOTH: Act = Act::Json(
        207,
        r#"{"results":[{"hostname":"a.home.test","code":"nochg","addresses":["192.0.2.1","2001:db8::1"]},{"hostname":"b.home.test","code":"nohost"}]}"#,
    );
    let server = Server::start("both", "", &[BOTH]);
    server.configure("hosts = [\"a.home.test\", \"b.home.test\"]\nipv4 = \"192.0.2.1\"\nipv6 = \"2001:db8::1\"");
    let ended = server.run("update --json");
    let json = ended.json();
    assert_eq!(
        (ended.code, &json["results"][0]["code"], &json["results"][1]["verdict"]),
        (5, &"nochg".into(), &"refused".into())
    );
    let updates = server.updates();
    assert_eq!(updates[0].target, "/nic/update?hostname=a.home.test,b.home.test&myip=192.0.2.1,2001:db8::1");
    assert!(is_signed(&updates[0], "laptop"));
    server.run("update");
    assert_eq!(server.updates().len(), 2, "a host that was refused is asked about again");
}

#[test]
fn every_answer_has_its_exit_code_and_says_what_to_do() {
    for (act, code, part) in [
        (
            Act::Json(200, r#"{"results":[{"hostname":"a.home.test","code":"nochg","addresses":["192.0.2.1"]}]}"#),
            0,
            "nochg",
        ),
        (Act::Json(401, r#"{"results":[{"code":"badauth"}]}"#), 5, "nicgate device show laptop"),
        (Act::Json(404, r#"{"results":[{"hostname":"a.home.test","code":"nohost"}]}"#), 5, "not among the hosts"),
        (Act::Json(422, r#"{"results":[{"hostname":"a.home.test","code":"dnserr"}]}"#), 5, "does not take 192.0.2.1"),
        (Act::Json(403, r#"{"results":[{"code":"abuse"}]}"#), 5, "ask its operator"),
        (Act::Json(502, r#"{"results":[{"hostname":"a.home.test","code":"dnserr"}]}"#), 6, "DNS provider did not"),
        (Act::Json(503, r#"{"results":[{"hostname":"a.home.test","code":"911"}]}"#), 6, "being pushed"),
        (Act::Json(503, r#"{"results":[{"code":"911"}]}"#), 4, "7 s of quiet"),
        (Act::Json(429, r#"{"results":[{"code":"911"}]}"#), 4, "nothing was recorded"),
        (Act::Json(200, "good 192.0.2.1"), 4, "not answering as a nicgate gateway"),
        (Act::Raw("good 192.0.2.1"), 4, "captive portal"),
        (
            Act::Raw("HTTP/1.1 302 Found\r\nlocation: https://portal.test/\r\ncontent-length: 0\r\n\r\n"),
            4,
            "redirects to https://portal.test/",
        ),
        (
            Act::Raw("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\ncontent-type: application/json\r\n\r\n{"),
            4,
            "longer than any",
        ),
    ] {
        let server = Server::start(&format!("code{code}"), "192.0.2.1", &[act]);
        let ended = server.run("update");
        assert_eq!(ended.code, code, "{ended:?}");
        let said = if code == 0 { &ended.out } else { &ended.err };
        assert!(said.contains(part), "{part}: {ended:?}");
        let json = server.run("update --json --force").json();
        assert_eq!(json["exit_code"], code, "{json}");
    }
}

#[test]
fn a_lost_answer_is_asked_for_once_more_with_the_same_bytes() {
    let server = Server::start("lost", "192.0.2.1", &[Act::HangUp, GOOD]);
    assert_eq!(server.run("update").code, 0);
    let updates = server.updates();
    assert_eq!(updates.len(), 2);
    assert_eq!((&updates[0].target, &updates[0].headers), (&updates[1].target, &updates[1].headers));
    assert_ne!(updates[0].connection, updates[1].connection);
}

#[test]
fn an_update_that_nobody_answered_is_unconfirmed_and_sent_again() {
    let server = Server::start("unheard", "192.0.2.1", &[GOOD, Act::HangUp, Act::HangUp, GOOD]);
    assert_eq!(server.run("update").code, 0);
    server.configure("ipv4 = \"192.0.2.2\"");
    let ended = server.run("update");
    assert_eq!(ended.code, 4);
    assert!(ended.err.contains("the connection broke") && ended.err.contains("not confirmed"), "{ended:?}");
    assert_eq!(server.updates().len(), 3);
    // The gateway may hold .2 now: that .1 was acknowledged before is worth nothing.
    server.configure("");
    assert_eq!(server.run("update").code, 0);
    let updates = server.updates();
    assert_eq!(updates.len(), 4);
    assert_ne!(updates[3].headers["signature-input"], updates[2].headers["signature-input"]);
}

#[test]
fn without_an_address_nothing_is_sent() {
    for (myip, lines, code) in [
        ("<html>log in here: 192.0.2.1</html>", "", 3),
        ("2001:db8::1", "", 3),
        ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "", 3),
        ("192.0.2.1", "ipv4 = \"interface:no-such-interface\"", 3),
        // The server listens on IPv4 alone, so that over IPv6 nobody can be reached.
        ("192.0.2.1", "gateway = \"https://127.0.0.1:1\"", 4),
        ("192.0.2.1", "gateway = \"https://no-such-name.invalid\"", 4),
        ("192.0.2.1", "gateway = \"https://127.0.0.1:1\"\nipv4 = \"192.0.2.1\"", 4),
    ] {
        let server = Server::start("none", myip, &[GOOD]);
        server.configure(lines);
        let ended = server.run("update");
        assert_eq!(ended.code, code, "{myip} {lines}: {ended:?}");
        assert!(ended.err.starts_with("nicgate-client: no a"), "{ended:?}");
        assert!(server.updates().is_empty());
    }
}

#[test]
fn a_family_that_cannot_be_learned_is_left_alone() {
    let server = Server::start("family", "192.0.2.1", &[GOOD]);
    server.configure(&format!("gateway = \"https://127.0.0.1:{}\"\nipv6 = \"web\"", server.port));
    let ended = server.run("update");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("no IPv6 address") && ended.err.contains("left alone"), "{ended:?}");
    assert!(server.updates()[0].target.ends_with("&myip=192.0.2.1"));
}

#[test]
fn a_certificate_of_somebody_else_is_refused_with_its_cure() {
    let server = Server::start("trust", "192.0.2.1", &[GOOD]);
    for (name, cure) in
        [("rcgen self signed cert", "was made anew"), ("Somebody else", "name its certificate in `ca_file`")]
    {
        let mut other = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        other.distinguished_name.push(rcgen::DnType::CommonName, name);
        let other = other.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        server.write("ca.crt", &other.pem());
        let ended = server.run("update");
        assert_eq!(ended.code, 4);
        assert!(ended.err.contains("TLS was refused") && ended.err.contains(cure), "{ended:?}");
    }
    assert!(server.everything().is_empty(), "not a byte of HTTP before the certificate is known");

    server.write("ca.crt", "no certificate");
    let ended = server.run("update");
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("ca.crt holds no certificate"), "{ended:?}");
}

#[test]
fn mistakes_end_with_two() {
    let server = Server::start("mistakes", "192.0.2.1", &[GOOD]);
    server.configure("hostz = [\"a.home.test\"]");
    let ended = server.run("update");
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("client.toml:9:1: there is no key \"hostz\"; perhaps \"hosts\" is meant"), "{ended:?}");
    assert_eq!(server.run("update --json").json()["exit_code"], 2);
    assert_eq!(run(Path::new("/no/such/file.toml"), "update").code, 2);
    assert_eq!(server.run("updat").code, 2);
    assert_eq!(server.run("").code, 2);
    server.configure("state_file = \"no/such/folder/state.json\"");
    assert_eq!(server.run("update").code, 2);
    let help = server.run("--help");
    assert!(help.code == 0 && help.out.contains("exit codes"), "{help:?}");
    assert!(server.updates().is_empty());
}

#[test]
fn an_instance_that_is_at_work_is_left_to_it() {
    let server = Server::start("busy", "192.0.2.1", &[GOOD]);
    let lock = File::create(server.file("state.json.lock")).unwrap();
    lock.lock().unwrap();
    let ended = server.run("update");
    assert!(ended.code == 0 && ended.out.contains("another nicgate-client"), "{ended:?}");
    assert!(server.everything().is_empty());
    drop(lock);
    assert_eq!(server.run("update").code, 0);
    assert_eq!(server.updates().len(), 1);
}

#[test]
fn a_damaged_state_costs_one_update_and_is_said() {
    let server = Server::start("damaged", "192.0.2.1", &[GOOD]);
    server.write("state.json", "{");
    let ended = server.run("update");
    assert!(ended.code == 0 && ended.err.contains("set aside as"), "{ended:?}");
    assert!(server.file("state.json.damaged").exists());
    assert!(server.run("update").out.starts_with("nothing to do"));
}

#[test]
fn detect_shows_every_address_and_sends_nothing() {
    let server = Server::start("detect", "192.0.2.1", &[GOOD]);
    let ended = server.run("detect");
    assert_eq!(ended.code, 0, "{ended:?}");
    let sent = ended.out.lines().find(|line| line.starts_with("send")).unwrap();
    assert!(sent.contains("192.0.2.1") && sent.contains("the gateway sees us there"), "{sent}");
    assert!(ended.out.contains("interface:lo") || ended.out.contains("127.0.0.1"), "{ended:?}");
    let json = server.run("detect --json").json();
    assert_eq!(json["would_send"][0], "192.0.2.1");
    server.configure("ipv4 = \"interface:no-such-interface\"");
    let ended = server.run("detect");
    assert!(ended.code == 3 && ended.out.contains("nothing would be sent"), "{ended:?}");
    assert!(server.updates().is_empty() && !server.file("state.json").exists());
}

#[test]
fn when_the_first_gateway_is_silent_the_next_is_told_and_the_first_is_tried_again_later() {
    let server = Server::start("several", "192.0.2.1", &[GOOD]);
    // Port 1 of loopback: nobody listens there.
    let gateways = format!("gateway = [\"https://127.0.0.1:1\", \"https://localhost:{}\"]", server.port);
    server.configure(&gateways);
    let silence = || server.json("state.json")["silent"][0].clone();
    let ended = server.run("update");
    assert_eq!((ended.code, ended.out.as_str()), (0, "a.home.test: good 192.0.2.1\n"));
    assert!(ended.err.contains("https://127.0.0.1:1") && ended.err.contains("another gateway answered"), "{ended:?}");
    assert_eq!((&silence()["gateway"], &silence()["failures"]), (&"https://127.0.0.1:1".into(), &1.into()));

    let ended = server.run("update");
    assert!(ended.code == 0 && ended.out.starts_with("nothing to do") && ended.err.is_empty(), "{ended:?}");
    assert_eq!(silence()["failures"], 1, "it is left alone for a while");
    let mut state = server.json("state.json");
    state["silent"][0]["until"] = 0.into();
    server.write("state.json", &state.to_string());
    assert_eq!(server.run("update").code, 0);
    assert_eq!(silence()["failures"], 2, "and tried first again");

    server.configure(&format!("{gateways}\nipv4 = \"192.0.2.9\""));
    let ended = server.run("update");
    assert_eq!((ended.code, server.updates().len()), (0, 2), "{ended:?}");
    server.configure("gateway = [\"https://127.0.0.1:1\", \"https://127.0.0.1:2\"]\nipv4 = \"192.0.2.9\"");
    let ended = server.run("update");
    assert!(ended.code == 4 && ended.err.contains("no gateway gives an answer: https://127.0.0.1:"), "{ended:?}");
}

#[test]
fn a_clock_that_is_off_is_named_when_the_signature_is_refused() {
    let refused = Act::Raw(
        "HTTP/1.1 401 Unauthorized\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n\
         Content-Length: 32\r\n\r\n{\"results\":[{\"code\":\"badauth\"}]}",
    );
    let server = Server::start("clock", "192.0.2.1", &[refused]);
    let ended = server.run("update");
    assert!(ended.code == 5 && ended.err.contains("days ahead of the gateway's"), "{ended:?}");
}

#[test]
fn a_gateway_that_takes_no_update_now_is_passed_over() {
    let busy = Server::start("passed-over", "192.0.2.1", &[Act::Json(429, r#"{"results":[{"code":"911"}]}"#)]);
    let other = Server::start("takes-over", "192.0.2.1", &[GOOD]);
    busy.write("ca.crt", &format!("{}{}", busy.certificate, other.certificate));
    busy.configure(&format!("gateway = [\"https://localhost:{}\", \"https://localhost:{}\"]", busy.port, other.port));
    let ended = busy.run("update");
    assert_eq!((ended.code, ended.out.as_str()), (0, "a.home.test: good 192.0.2.1\n"), "{ended:?}");
    assert_eq!((busy.updates().len(), other.updates().len()), (1, 1));
}

#[test]
fn a_scheduled_update_tries_again_within_its_time_and_a_persons_does_not() {
    const NOT_YET: Act = Act::Json(503, r#"{"results":[{"hostname":"a.home.test","code":"911"}]}"#);
    let server = Server::start("again", "192.0.2.1", &[NOT_YET, NOT_YET, GOOD]);
    assert_eq!(server.run("update").code, 6);
    assert_eq!(server.updates().len(), 1);
    let ended = server.run("update --scheduled");
    assert_eq!((ended.code, server.updates().len()), (0, 3), "{ended:?}");
    let lines = std::fs::read_to_string(server.file("client.log")).unwrap();
    let roles: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&roles[0]["role"], &roles[0]["exit_code"]), (&"person".into(), &6.into()));
    assert_eq!((&roles[1]["role"], &roles[1]["outcome"]), (&"scheduled".into(), &"sent".into()));
    assert!(!lines.contains(KEY));

    // The gateway asks for seven seconds of quiet, which are more than there are.
    let server = Server::start("gives-up", "192.0.2.1", &[NOT_YET]);
    server.configure("retry_for = \"3s\"");
    assert_eq!(server.run("update --scheduled").code, 6);
    assert_eq!(server.updates().len(), 1);
}

#[test]
fn a_program_can_bring_its_own_settings() {
    let server = Server::start("library", "127.0.0.1", &[GOOD]);
    let gateway = BaseUrl::parse(&format!("https://localhost:{}", server.port)).unwrap();
    let trust = Trust::from_pem(server.certificate.as_bytes()).unwrap();
    let key = Secret::new(KEY.as_bytes().try_into().unwrap());
    let hosts = vec![Hostname::parse("a.home.test").unwrap()];
    let settings = Settings::new(gateway, trust, DeviceId::parse("demo").unwrap(), key, hosts);
    let now = || Timestamp::from_seconds(1_767_323_045);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    // A program with many threads may move it between them.
    let update: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(update(&settings, When::IfDue, Role::Person, Outside::with_clock(&now)));
    let report = runtime.block_on(update).unwrap();
    assert_eq!((report.exit_code(), report.results().len()), (0, 1));
    let update = &server.updates()[0];
    let input = update.headers["signature-input"].to_str().unwrap();
    assert!(input.contains("created=1767323045"), "{input}");
    assert!(is_signed(update, "demo"));
}
