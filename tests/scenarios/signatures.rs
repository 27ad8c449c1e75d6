//! Other people's signers against the real server, ours against other people's verifier, and what happens to a
//! signature when the request is altered on the way.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nicgate_tests::signing::{Parts, Pen, Scheme, ask, signed_by};
use nicgate_tests::{Answer, House, PLAIN, program, run, text, tool};
use serde_json::{Value, json};

/// Runs curl against the gateway and gives what it heard: the body, and the status behind it.
fn curl(curl: &Path, house: &House, arguments: &[&str], target: &str) -> Answer {
    let mut command = Command::new(curl);
    command.args(["-sS", "-4", "-g", "-w", "%{http_code}", "--cacert"]).arg(house.folder().join("ca.crt"));
    command.args(arguments).arg(format!("https://localhost:{}{target}", house.https().port()));
    let output = run(&mut command);
    assert!(output.status.success(), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    let (body, status) = said.split_at(said.len() - 3);
    Answer { status: status.parse().unwrap(), head: String::new(), body: body.to_owned() }
}

#[test]
fn stock_curl_signs_what_the_gateway_takes() {
    let Some(program) = tool("curl") else { return };
    let house = House::in_the_present("curl");
    let user = format!("box:{}", house.key("box"));
    let signed = ["--aws-sigv4", "aws:amz:auto:ddns", "--user", &user];
    for (target, arguments, body) in [
        ("?hostname=a.home.test&myip=192.0.2.1", &[][..], "good 192.0.2.1\n"),
        // Neither sorted nor encoded.
        (
            "?myip=2001:db8::1,192.0.2.2&hostname=b.home.test,a.home.test",
            &[],
            "good 192.0.2.2,2001:db8::1\ngood 192.0.2.2,2001:db8::1\n",
        ),
        ("?myip=2001%3Adb8%3A%3A3&hostname=a.home.test%2Cb.home.test", &[], "good 2001:db8::3\ngood 2001:db8::3\n"),
        ("?hostname=*.lan.home.test&myip=192.0.2.4", &[], "good 192.0.2.4\n"),
        ("", &["-d", "myip=192.0.2.5,2001:db8::5&hostname=a.home.test"], "good 192.0.2.5,2001:db8::5\n"),
        ("", &["-d", "hostname=a.home.test", "-d", "myip=192.0.2.6"], "good 192.0.2.6\n"),
        ("?myip=192.0.2.7", &["-d", "hostname=a.home.test"], "good 192.0.2.7\n"),
        ("?x", &["-G", "-d", "hostname=a.home.test", "--data-urlencode", "myip=192.0.2.8"], "good 192.0.2.8\n"),
        ("?hostname=a.home.test&myip=192.0.2.9", &["--http1.0"], "good 192.0.2.9\n"),
    ] {
        let arguments: Vec<&str> = signed.iter().chain(arguments).copied().collect();
        let answer = curl(&program, &house, &arguments, &format!("/nic/update{target}"));
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{target} {arguments:?}");
    }
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.9"]);
    assert_eq!(house.dig("a.home.test", "AAAA"), ["2001:db8::5"]);

    let key = house.key("box");
    let (other, wrong) = (format!("other:{key}"), format!("box:{}", house.key("other")));
    for (scope, user) in [
        ("aws:amz:auto:ddns", wrong.as_str()),
        ("aws:amz:auto:ddns", other.as_str()),
        ("aws:amz:auto:s3", user.as_str()),
    ] {
        let arguments = ["--aws-sigv4", scope, "--user", user];
        let answer = curl(&program, &house, &arguments, "/nic/update?hostname=a.home.test&myip=192.0.2.99");
        assert_eq!((answer.status, answer.body.as_str()), (401, "badauth\n"), "{scope}");
    }
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.9"]);
}

#[test]
fn botocore_signs_what_the_gateway_takes() {
    let house = House::new("botocore");
    house.hands.forward(Duration::from_secs(1));
    let key = house.key("box");
    for (parts, region, body) in [
        (
            Parts::get(&house, "myip=2001:db8::1,192.0.2.1&hostname=b.home.test,a.home.test"),
            "auto",
            "good 192.0.2.1,2001:db8::1\ngood 192.0.2.1,2001:db8::1\n",
        ),
        (Parts::get(&house, "hostname=a.home.test&myip=192.0.2.2"), "eu-central-1", "good 192.0.2.2\n"),
        (
            Parts::form(&house, "hostname=a.home.test&myip=192.0.2.3%2C2001%3Adb8%3A%3A3"),
            "auto",
            "good 192.0.2.3,2001:db8::3\n",
        ),
    ] {
        let pen = Pen { device: "box", key: &key, created: house.hands.now().wall, nonce: "" };
        let Some(signed) = signed_by("botocore_sign.py", &parts, pen, &json!({"region": region})) else { return };
        assert_eq!(house.send(&signed.request()).body, body, "{parts:?}");
    }
}

/// What our signatures cover.
const COVERED: [&str; 5] = ["@method", "@authority", "@path", "@query", "content-digest"];

#[test]
fn http_message_signatures_signs_what_the_gateway_takes() {
    let house = House::new("rfc9421-theirs");
    house.hands.forward(Duration::from_secs(1));
    let key = house.key("box");
    let get = |address: &str| Parts::get(&house, &format!("hostname=a.home.test&myip={address}"));
    let form = Parts::form(&house, "hostname=a.home.test&myip=192.0.2.5,2001:db8::5");
    for (number, (parts, extra, body)) in [
        (get("192.0.2.1"), json!({"components": COVERED[..4]}), "good 192.0.2.1\n"),
        (get("2001:db8::2,192.0.2.2"), json!({"label": "mine", "include_alg": false}), "good 192.0.2.2,2001:db8::2\n"),
        (get("192.0.2.3"), json!({"components": ["@target-uri", "@method"]}), "good 192.0.2.3\n"),
        (form.clone(), json!({"components": COVERED}), "good 192.0.2.5,2001:db8::5\n"),
        // A body that is not covered could be anybody's, and a signature for another purpose is no proof.
        (form, json!({"body": ""}), "badauth\n"),
        (get("192.0.2.6"), json!({"components": ["@method", "@authority", "@path"]}), "badauth\n"),
        (get("192.0.2.7"), json!({"tag": "other"}), "badauth\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let nonce = format!("n0nce-000{number}");
        let pen = Pen { device: "box", key: &key, created: house.hands.now().wall, nonce: &nonce };
        let Some(signed) = signed_by("http_message_signatures_sign.py", &parts, pen, &extra) else { return };
        assert_eq!(house.send(&signed.request()).body, body, "{parts:?} {extra}");
    }
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.5"]);
}

#[test]
fn what_we_sign_http_message_signatures_verifies() {
    let house = House::in_the_present("rfc9421-ours");
    let key = house.key("box");
    let pen = Pen { device: "box", key: &key, created: house.hands.now().wall, nonce: "n0nce-0001" };
    let verify = |parts: &Parts, key: &str| -> Option<Value> {
        let headers: serde_json::Map<String, Value> =
            parts.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let question = json!({"method": parts.method, "url": parts.url(), "headers": headers, "body": parts.body,
            "device": "box", "key": key});
        Some(ask("http_message_signatures_verify.py", &question)?["ok"].clone())
    };
    for parts in [
        Parts::get(&house, "hostname=a.home.test&myip=192.0.2.1,2001:db8::1"),
        Parts::get(&house, "hostname=a.home.test%2Cb.home.test&myip="),
        Parts::form(&house, "hostname=a.home.test&myip=192.0.2.1"),
    ] {
        let signed = Scheme::HttpMessage.sign(&parts, pen).unwrap();
        let Some(ok) = verify(&signed, &key) else { return };
        assert_eq!(ok, true, "{signed:?}");
        assert_eq!(verify(&signed, &house.key("other")).unwrap(), false);
        let mut altered = signed;
        altered.path = "/v3/update".to_owned();
        assert_eq!(verify(&altered, &key).unwrap(), false);
    }
}

#[test]
fn openssl_signs_a_sign_parameter_as_the_demo_prints_it() {
    if ["curl", "openssl", "sh"].iter().any(|name| tool(name).is_none()) {
        return;
    }
    let house = House::in_the_present("openssl");
    let (key, ca, port) = (house.key("box"), house.folder().join("ca.crt"), house.https().port());
    for (line, body) in [
        // Sorted and encoded by hand, sent in that order or in another.
        (
            "Q=\"hostname=a.home.test&id=box&myip=192.0.2.1&nonce=$(openssl rand -hex 8)&ts=$(date +%s)\"; M=GET; U=\"$Q\"",
            "good 192.0.2.1\n",
        ),
        (
            "N=$(openssl rand -hex 8); T=$(date +%s); Q=\"hostname=a.home.test%2Cb.home.test&id=box&myip=2001%3Adb8%3A%3A2&nonce=$N&ts=$T\"; M=GET; U=\"ts=$T&nonce=$N&id=box&myip=2001:db8::2&hostname=a.home.test,b.home.test\"",
            "good 2001:db8::2\ngood 2001:db8::2\n",
        ),
        (
            "Q=\"hostname=a.home.test&id=box&myip=192.0.2.3&nonce=$(openssl rand -hex 8)&ts=$(date +%s)\"; M=POST; D=\"$Q\"",
            "good 192.0.2.3\n",
        ),
        ("Q=\"hostname=a.home.test&id=box&myip=192.0.2.4&nonce=short&ts=$(date +%s)\"; M=GET; U=\"$Q\"", "badauth\n"),
        (
            "Q=\"hostname=a.home.test&id=box&myip=192.0.2.4&nonce=$(openssl rand -hex 8)&ts=$(date +%s)\"; M=GET; U=\"$Q&offline=yes\"",
            "badauth\n",
        ),
    ] {
        let sign = format!(
            "S=$(printf \"NICGATE-HMAC-SHA256\\n$M\\nlocalhost:{port}\\n/nic/update\\n%s\" \"$Q\" | openssl dgst -sha256 -hmac \"{key}\" -r | cut -d' ' -f1)"
        );
        let send = format!(
            "if [ $M = GET ]; then curl -sS -4 -g --cacert '{ca}' \"https://localhost:{port}/nic/update?$U&sign=$S\"; \
             else curl -sS -4 --cacert '{ca}' -d \"$D&sign=$S\" \"https://localhost:{port}/nic/update\"; fi",
            ca = ca.display()
        );
        let output = run(Command::new("sh").arg("-c").arg(format!("{line}; {sign}; {send}")));
        assert_eq!(text(&output), body, "{line}");
    }
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.3"]);
}

#[test]
fn our_own_client_is_understood() {
    let house = House::in_the_present("client");
    let (folder, port) = (house.folder(), house.https().port());
    std::fs::write(folder.join("client.key"), house.key("box")).unwrap();
    let write = |address: &str, hosts: &str| {
        let text = format!(
            "gateway = \"https://localhost:{port}\"\nca_file = \"ca.crt\"\ndevice = \"box\"\nkey_file = \"client.key\"\n\
             hosts = [{hosts}]\nipv4 = \"{address}\"\nipv6 = \"2001:db8::1\"\n"
        );
        std::fs::write(folder.join("client.toml"), text).unwrap();
    };
    let update = |arguments: &[&str]| {
        let mut command = Command::new(program("nicgate-client"));
        command.args(["update", "--config"]).arg(folder.join("client.toml")).args(arguments);
        let output = run(&mut command);
        (output.status.code(), text(&output))
    };
    write("192.0.2.1", "\"a.home.test\", \"b.home.test\"");
    let (code, said) = update(&[]);
    assert_eq!(code, Some(0), "{said}");
    for name in ["a.home.test", "b.home.test"] {
        assert_eq!(house.dig(name, "A"), ["192.0.2.1"]);
        assert_eq!(house.dig(name, "AAAA"), ["2001:db8::1"]);
    }
    let before = house.running().gateway.desk.store.number();
    assert_eq!(update(&["--force"]).0, Some(0));
    assert_eq!(house.running().gateway.desk.store.number(), before, "nothing had to change");
    write("192.0.2.2", "\"a.home.test\"");
    assert_eq!(update(&["--json"]).0, Some(0));
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.2"]);

    write("192.0.2.3", "\"foreign.home.test\"");
    assert_eq!(update(&["--force"]).0, Some(5), "not our host");
    std::fs::write(folder.join("client.key"), house.key("other")).unwrap();
    write("192.0.2.3", "\"a.home.test\"");
    let (code, said) = update(&["--force"]);
    assert_eq!(code, Some(5), "{said}");
    assert!(!said.contains(&house.key("other")), "the key was printed");
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.2"]);
}

#[test]
fn whatever_is_swapped_on_the_way_is_refused() {
    type Swap = (&'static str, fn(&mut Parts));
    // Each for requests whose parameters stand in the query, and for posted forms.
    let of_both: [Swap; 6] = [
        ("host", |parts| parts.authority = "elsewhere.test".to_owned()),
        ("port", |parts| parts.authority = "localhost".to_owned()),
        ("path", |parts| parts.path = "/v3/update".to_owned()),
        ("slashes", |parts| parts.path = "//nic/update".to_owned()),
        ("parameter added", |parts| parts.query += if parts.query.is_empty() { "offline=yes" } else { "&offline=yes" }),
        ("parameter before", |parts| {
            let gap = if parts.query.is_empty() { "" } else { "&" };
            parts.query = format!("myipv6=2001:db8::66{gap}{}", parts.query);
        }),
    ];
    let of_get: [Swap; 4] = [
        ("method", |parts| parts.method = "POST".to_owned()),
        ("address", |parts| parts.query = parts.query.replace("192.0.2.1", "192.0.2.66")),
        ("hostname", |parts| parts.query = parts.query.replace("a.home", "b.home")),
        ("body added", |parts| parts.body = "offline=yes".to_owned()),
    ];
    let of_form: [Swap; 4] = [
        ("address", |parts| parts.body = parts.body.replace("192.0.2.1", "192.0.2.66")),
        ("hostname", |parts| parts.body = parts.body.replace("a.home", "b.home")),
        ("body longer", |parts| parts.body += "&offline=yes"),
        ("sent as a query", |parts| {
            parts.query = std::mem::take(&mut parts.body);
            parts.method = "GET".to_owned();
        }),
    ];
    let sections = PLAIN.replace("id = \"box\"", "id = \"box\"\nallow_delete = true");
    let house = House::with("swapped", &sections);
    assert_eq!(house.update("hostname=a.home.test,b.home.test&myip=192.0.2.9").body, "good 192.0.2.9\n".repeat(2));
    house.hands.forward(Duration::from_secs(2));
    let (key, created) = (house.key("box"), house.hands.now().wall);
    let before = house.running().gateway.desk.store.number();
    let said = "hostname=a.home.test&myip=192.0.2.1";
    for scheme in Scheme::ALL {
        for (parts, own) in [(Parts::get(&house, said), of_get), (Parts::form(&house, said), of_form)] {
            let nonce = format!("n0nce-{scheme:?}-{}", parts.method);
            let pen = Pen { device: "box", key: &key, created, nonce: &nonce };
            let Some(signed) = scheme.sign(&parts, pen) else { continue };
            for (what, swap) in of_both.iter().chain(&own) {
                // The body of a GET is nobody's parameters, so this scheme has nothing to say about it.
                if (scheme, *what) == (Scheme::SignParam, "body added") {
                    continue;
                }
                let mut altered = signed.clone();
                swap(&mut altered);
                let answer = house.send(&altered.request());
                let seen = (answer.status, answer.body.as_str());
                assert_eq!(seen, (401, "badauth\n"), "{scheme:?} {}: {what}", parts.method);
            }
            let Some(signed) = scheme.sign(&parts, Pen { key: &house.key("other"), ..pen }) else { continue };
            assert_eq!(house.send(&signed.request()).status, 401, "{scheme:?} {}: key", parts.method);
        }
    }
    assert_eq!(house.running().gateway.desk.store.number(), before);
    assert_eq!(house.dig("a.home.test", "A"), ["192.0.2.9"]);
    // The same requests, untouched, are taken: it was the swapping that was refused.
    for scheme in Scheme::ALL {
        for parts in [Parts::get(&house, said), Parts::form(&house, said)] {
            let nonce = format!("n0nce-{scheme:?}-{}", parts.method);
            let Some(signed) = scheme.sign(&parts, Pen { device: "box", key: &key, created, nonce: &nonce }) else {
                continue;
            };
            assert!(house.send(&signed.request()).body.ends_with(" 192.0.2.1\n"), "{scheme:?} {}", parts.method);
            assert_eq!(house.update("hostname=a.home.test&myip=192.0.2.9").status, 200);
        }
    }
}
