//! TLS as routers, curl and openssl speak it, and a certificate that is replaced while the gateway runs.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nicgate::http::tls::development_ca;
use nicgate_tests::wire::{self, Connection};
use nicgate_tests::{Answer, Folder, House, PLAIN, Request, Stopwatch, run, text, tool};

const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What the gateway says to `openssl s_client`.
fn s_client(house: &House, arguments: &[&str]) -> Option<String> {
    let mut child = Command::new(tool("openssl")?)
        .args(["s_client", "-connect", &house.https().to_string(), "-quiet", "-verify_return_error", "-CAfile"])
        .arg(house.ca())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A client that was refused no longer reads.
    let _ = child.stdin.take().unwrap().write_all(b"GET /myip HTTP/1.0\r\n\r\n");
    Some(text(&child.wait_with_output().unwrap()))
}

fn curl(arguments: &[&str]) -> Option<String> {
    Some(text(&run(Command::new(tool("curl")?).args(["-sS", "-m", "10"]).args(arguments))))
}

#[test]
fn both_versions_are_spoken_with_any_name_and_none() {
    let house = House::new("versions");
    for version in ["-tls1_2", "-tls1_3"] {
        for name in [&["-servername", "localhost"][..], &["-noservername"], &["-servername", "wrong.example.org"]] {
            let Some(said) = s_client(&house, &[&[version][..], name].concat()) else { return };
            assert!(said.contains("HTTP/1.0 200 OK") && said.contains("127.0.0.1"), "{version} {name:?}: {said}");
        }
    }
    // Ciphers and curves of clients from 2015 on.
    for cipher in ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"] {
        let said = s_client(&house, &["-tls1_2", "-cipher", cipher, "-curves", "P-256"]).unwrap();
        assert!(said.contains("200 OK"), "{cipher}: {said}");
    }
}

#[test]
fn older_versions_are_refused_by_an_alert() {
    let house = House::new("old-tls");
    for version in ["-tls1", "-tls1_1"] {
        let Some(said) = s_client(&house, &[version, "-cipher", "ALL:@SECLEVEL=0"]) else { return };
        assert!(said.contains("alert") && !said.contains("HTTP/"), "{version}: {said}");
    }
    let log = house.log();
    assert_eq!(log.iter().filter(|line| line["event"] == "handshake_failed").count(), 2);
    assert!(log.iter().all(|line| line["event"] != "handshake_failed" || line["level"] == "info"));
}

#[test]
fn curl_takes_it_with_the_ca_and_refuses_it_without() {
    let house = House::new("curl");
    let (url, ca) = (format!("https://localhost:{}/myip", house.https().port()), house.ca().display().to_string());
    let Some(said) = curl(&["--cacert", &ca, &url]) else { return };
    assert_eq!(said, "127.0.0.1\n");
    assert_eq!(curl(&["--cacert", &ca, "--tls-max", "1.2", &url]).unwrap(), "127.0.0.1\n");
    // A client that would like HTTP/2 gets 1.1.
    assert_eq!(curl(&["--cacert", &ca, "--http2", "-w", "%{http_version}", &url]).unwrap(), "127.0.0.1\n1.1");
    assert!(curl(&[&url]).unwrap().contains("certificate problem"));
}

#[test]
fn http_at_a_tls_door_is_closed_and_does_not_hang() {
    let house = House::new("http-at-tls");
    let begun = Stopwatch::start();
    let said = wire::exchange_in_clear(house.https(), b"GET /myip HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!said.contains("HTTP/"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn tls_at_a_door_in_clear_is_closed_and_does_not_hang() {
    let house = House::with("tls-at-http", &format!("plain_listen = [\"127.0.0.1:0\"]\n{PLAIN}"));
    let begun = Stopwatch::start();
    assert_eq!(wire::exchange(house.plain(), &house.ca(), b"GET /myip HTTP/1.0\r\n\r\n"), "");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

// A new certificate.

fn copy(from: &Path, to: &Path, file: &str) {
    std::fs::copy(from.join(file), to.join(file)).unwrap();
}

fn ask(house: &House, ca: &Path) -> Answer {
    wire::over_tls(house.https(), ca, &Request::get("/myip"))
}

#[test]
fn a_new_certificate_is_served_at_once_and_nobody_is_cut_off() {
    let house = House::new("renewed");
    let new = Folder::new("new-certificate");
    development_ca(new.path(), &NAMES.map(str::to_owned)).unwrap();
    let new_ca = new.path().join("ca.crt");
    assert_eq!(ask(&house, &new_ca).status, 0, "not yet");
    let mut kept = Connection::secure(house.https(), &house.ca());
    kept.send(&Request::get("/myip").kept().bytes(house.https()));
    assert_eq!(kept.answer().status, 200);
    let begun = Stopwatch::start();
    // As certbot's hook would: one file after the other.
    copy(new.path(), house.folder(), "server.crt");
    copy(new.path(), house.folder(), "server.key");
    house.wait_until("the new certificate is served", |house| ask(house, &new_ca).status == 200);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(ask(&house, &house.ca()).status, 0, "and the old one is not");
    kept.send(&Request::get("/myip").kept().bytes(house.https()));
    assert_eq!(kept.answer().status, 200, "who was connected stays so");
    assert!(house.log().iter().any(|line| line["event"] == "certificate_read"));
}

#[test]
fn a_broken_or_foreign_pair_is_told_and_the_old_one_served_on() {
    let house = House::new("broken-pair");
    let other = Folder::new("other-certificate");
    development_ca(other.path(), &NAMES.map(str::to_owned)).unwrap();
    let whole = std::fs::read(house.folder().join("server.crt")).unwrap();
    let key = std::fs::read(house.folder().join("server.key")).unwrap();
    let kept = |house: &House| {
        let log = house.log();
        let lines = log.iter().filter(|line| line["error_code"] == "certificate_kept");
        lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    std::fs::write(house.folder().join("server.crt"), &whole[..whole.len() / 2]).unwrap();
    house.wait_until("half a file is told", |house| kept(house).len() == 1);
    assert!(kept(&house)[0].contains("server.crt: no certificate in it"), "{:?}", kept(&house));
    assert_eq!(ask(&house, &house.ca()).status, 200);

    copy(other.path(), house.folder(), "server.key");
    std::fs::write(house.folder().join("server.crt"), &whole).unwrap();
    house.wait_until("a foreign key is told", |house| kept(house).len() >= 2);
    let said = kept(&house);
    assert!(said.last().unwrap().contains("server.key: not the key of the first certificate in"), "{said:?}");
    assert_eq!(ask(&house, &house.ca()).status, 200);

    std::fs::write(house.folder().join("server.key"), &key).unwrap();
    house.wait_until("it is whole again", |house| house.log().iter().any(|line| line["event"] == "certificate_read"));
    assert_eq!(ask(&house, &house.ca()).status, 200);
    assert!(house.log().iter().all(|line| !line.to_string().contains("PRIVATE")));
}

#[test]
fn a_self_signed_certificate_is_made_once_and_kept() {
    let mut house = House::with("self-signed", &format!("{PLAIN}[tls]\nself_signed = true\nnames = [\"localhost\"]\n"));
    let made = house.folder().join("data/tls/self-signed.crt");
    let before = std::fs::read(&made).unwrap();
    assert_eq!(ask(&house, &made).body, "127.0.0.1\n", "who trusts this one certificate is served");
    assert_eq!(ask(&house, &house.ca()).status, 0);
    if let Some(said) = curl(&["-k", &format!("https://localhost:{}/myip", house.https().port())]) {
        assert_eq!(said, "127.0.0.1\n");
    }
    house.stop();
    house.start();
    assert_eq!(std::fs::read(&made).unwrap(), before);
    assert_eq!(ask(&house, &made).body, "127.0.0.1\n");
}
