//! Two uplinks for one name: the second takes over when the first falls silent and gives back when it has returned, at
//! the embedded name server and at a provider, across restarts, beside pins, and never faster than it may.

use std::process::Command;
use std::time::Duration;

use nicgate_tests::fake::Fake;
use nicgate_tests::fake::cloudflare::{Cloudflare, TOKEN};
use nicgate_tests::signing::{Parts, Pen, Scheme};
use nicgate_tests::{House, Request, program, run, text};
use serde_json::Value;

const HOST: &str = "office.home.test";

/// Heartbeats every ten minutes, three may be missed, two bring back.
const SECTIONS: &str = r#"
[[provider]]
name = "lab"
type = "embedded"

[[zone]]
name = "home.test"
providers = ["lab"]
addresses = "any"

[limits]
enabled = false

[[device]]
id = "fiber"
hosts = ["office.home.test"]

[[device]]
id = "lte"
hosts = ["office.home.test"]

[[device]]
id = "laptop"
hosts = ["office.home.test"]

[[host]]
name = "office.home.test"
service = "uplink"
devices = ["fiber", "lte"]

[[service]]
name = "uplink"
ttl = 60
heartbeat = "10m"
"#;

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// What a device hears.
fn says(house: &House, device: &str, address: &str) -> String {
    let request = Request::get(&format!("/nic/update?hostname={HOST}&myip={address}"));
    house.send(&request.header("Authorization", &house.basic(device))).body.trim_end().to_owned()
}

fn wait_for(house: &House, address: &str) {
    house.wait_until(&format!("{HOST} is {address}"), |house| house.dig(HOST, "A") == [address]);
}

fn show(house: &House) -> Value {
    let output = run(Command::new(program("nicgate"))
        .args(["host", "show", HOST, "--json", "--config"])
        .arg(house.configuration()));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {}", text(&output)))
}

/// Of each device: is it published, and how does it stand?
fn standings(house: &House) -> Vec<(String, bool, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let shown = show(house);
    let devices = shown["devices"].as_array().unwrap().iter();
    devices.map(|one| (word(&one["device"]), one["is_active"] == true, word(&one["standing"]))).collect()
}

fn stands(device: &str, is_active: bool, standing: &str) -> (String, bool, String) {
    (device.to_owned(), is_active, standing.to_owned())
}

/// The switches so far: `failover` or `failback`, from, to.
fn switches(house: &House) -> Vec<[String; 3]> {
    let log = house.log();
    let word = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let told = |line: &Value| {
        let kind = [word(line, "error_code"), word(line, "event")].concat();
        ["failover", "failback"].contains(&kind.as_str()).then(|| [kind, word(line, "from"), word(line, "to")])
    };
    log.iter().filter_map(told).collect()
}

/// Both speak; then the fiber falls silent, and half an hour later the other line has its place.
fn fail_over(house: &House) {
    assert_eq!(says(house, "fiber", "192.0.2.1,2001:db8::1"), "good 192.0.2.1,2001:db8::1");
    assert_eq!(says(house, "lte", "198.51.100.2"), "nochg 192.0.2.1,2001:db8::1");
    for _ in 0..2 {
        house.hands.forward(minutes(10));
        assert_eq!(says(house, "lte", "198.51.100.2"), "nochg 192.0.2.1,2001:db8::1");
    }
    house.hands.forward(minutes(10) - Duration::from_secs(1));
    assert_eq!(house.dig(HOST, "A"), ["192.0.2.1"]);
    house.hands.forward(Duration::from_secs(1));
    wait_for(house, "198.51.100.2");
}

#[test]
fn a_silent_uplink_is_replaced_and_comes_back_without_flapping() {
    let house = House::with("failover", SECTIONS);
    fail_over(&house);
    // The address of the silent line goes with it, in both families.
    assert_eq!(house.dig(HOST, "AAAA"), [""; 0]);
    assert_eq!(standings(&house), [stands("fiber", false, "silent"), stands("lte", true, "living")]);
    let shown = show(&house);
    assert_eq!(shown["devices"][0]["silent_since"], "2026-11-22T12:00:00.000Z");
    assert_eq!(shown["devices"][0]["addresses"], serde_json::json!(["192.0.2.1", "2001:db8::1"]));
    let listed =
        text(&run(Command::new(program("nicgate")).args(["host", "list", "--config"]).arg(house.configuration())));
    assert_eq!(listed, "office.home.test  198.51.100.2  (fail-over)\n");

    // It is back, with another address: remembered, and not published yet.
    assert_eq!(says(&house, "fiber", "192.0.2.9"), "nochg 198.51.100.2");
    assert_eq!(standings(&house)[0], stands("fiber", false, "returning"));
    assert_eq!(says(&house, "lte", "198.51.100.3"), "good 198.51.100.3");
    house.hands.forward(minutes(10));
    assert_eq!(says(&house, "fiber", "192.0.2.9"), "good 192.0.2.9");
    assert_eq!(house.dig(HOST, "A"), ["192.0.2.9"]);
    assert_eq!(house.dig(HOST, "AAAA"), ["2001:db8::1"]);
    assert_eq!(says(&house, "lte", "198.51.100.3"), "nochg 192.0.2.9,2001:db8::1");
    assert_eq!(
        switches(&house),
        [["failover", "fiber", "lte"], ["failback", "lte", "fiber"]].map(|switch| switch.map(str::to_owned))
    );
}

#[test]
fn nobody_is_silent_before_a_restarted_gateway_listened_that_long() {
    let mut house = House::with("failover-restart", SECTIONS);
    fail_over(&house);
    house.crash();
    house.hands.forward(minutes(600));
    house.start();
    assert_eq!(house.dig(HOST, "A"), ["198.51.100.2"], "what was recorded is there");
    assert_eq!(standings(&house), [stands("fiber", false, "silent"), stands("lte", true, "living")]);
    // The other line falls silent, too: nothing changes.
    house.hands.forward(minutes(100));
    house.wait_until("the other line is silent", |house| standings(house)[1] == stands("lte", true, "silent"));
    assert_eq!(house.dig(HOST, "A"), ["198.51.100.2"]);
    assert_eq!(switches(&house).len(), 1);
    // Its addresses are remembered: two heartbeats that name them again bring the fiber back.
    assert_eq!(says(&house, "fiber", "192.0.2.1"), "nochg 198.51.100.2");
    house.hands.forward(minutes(5));
    assert_eq!(says(&house, "fiber", "192.0.2.1"), "good 192.0.2.1");
    assert_eq!(house.dig(HOST, "AAAA"), ["2001:db8::1"]);
}

#[test]
fn a_device_outside_the_list_ranks_last() {
    let house = House::with("failover-others", SECTIONS);
    assert_eq!(says(&house, "laptop", "192.0.2.77"), "good 192.0.2.77");
    assert_eq!(says(&house, "lte", "198.51.100.2"), "good 198.51.100.2");
    assert_eq!(says(&house, "laptop", "192.0.2.78"), "nochg 198.51.100.2");
    assert_eq!(
        standings(&house),
        [stands("fiber", false, "never heard"), stands("lte", true, "living"), stands("laptop", false, "living")]
    );
    house.hands.forward(minutes(29));
    assert_eq!(says(&house, "laptop", "192.0.2.78"), "nochg 198.51.100.2");
    house.hands.forward(minutes(1));
    wait_for(&house, "192.0.2.78");
}

#[test]
fn a_pin_goes_before_fail_over() {
    let house = House::with("failover-pin", SECTIONS);
    assert_eq!(says(&house, "fiber", "192.0.2.1"), "good 192.0.2.1");
    let pin = ["host", "pin", HOST, "192.0.2.99", "--for", "1h", "--config"];
    assert!(run(Command::new(program("nicgate")).args(pin).arg(house.configuration())).status.success());
    assert_eq!(says(&house, "lte", "198.51.100.2"), "nochg 192.0.2.99");
    for _ in 0..3 {
        house.hands.forward(minutes(10));
        assert_eq!(says(&house, "lte", "198.51.100.2"), "nochg 192.0.2.99");
    }
    house.wait_until("the switch is told", |house| switches(house).len() == 1);
    assert_eq!(house.dig(HOST, "A"), ["192.0.2.99"]);
    assert_eq!((&show(&house)["noted"][0], &show(&house)["noted_by"]), (&"198.51.100.2".into(), &"lte".into()));
    house.hands.forward(minutes(35));
    wait_for(&house, "198.51.100.2");
}

#[test]
fn a_replay_is_no_sign_of_life_and_rolls_nothing_back() {
    let house = House::with("failover-replay", SECTIONS);
    house.hands.forward(minutes(1));
    let parts = Parts::get(&house, &format!("hostname={HOST}&myip=192.0.2.1"));
    let (key, created) = (house.key("fiber"), house.hands.now().wall);
    let pen = Pen { device: "fiber", key: &key, created, nonce: "first-of-fiber" };
    let signed = Scheme::SignParam.sign(&parts, pen).unwrap().request();
    let replay = || house.send(&signed).body.trim_end().to_owned();
    assert_eq!(replay(), "good 192.0.2.1");
    assert_eq!(says(&house, "lte", "198.51.100.2"), "nochg 192.0.2.1");
    for _ in 0..4 {
        house.hands.forward(minutes(1));
        assert_eq!(replay(), "good 192.0.2.1", "the same answer, no effect");
    }
    house.hands.forward(minutes(25));
    assert_eq!(says(&house, "lte", "198.51.100.2"), "nochg 192.0.2.1");
    house.hands.forward(minutes(1));
    wait_for(&house, "198.51.100.2");
}

#[test]
fn fail_over_is_pushed_to_a_provider() {
    let fake = Fake::start_apart(Cloudflare::default());
    let provider = format!("type = \"cloudflare\"\nendpoint = \"{}\"\napi_token = \"{TOKEN}\"", fake.endpoint());
    let house = House::with("failover-push", &SECTIONS.replace("type = \"embedded\"", &provider));
    assert_eq!(says(&house, "fiber", "192.0.2.1"), "good 192.0.2.1");
    assert_eq!(says(&house, "lte", "198.51.100.2"), "nochg 192.0.2.1");
    house.hands.forward(minutes(29));
    assert_eq!(says(&house, "lte", "198.51.100.2"), "nochg 192.0.2.1");
    house.hands.forward(minutes(1));
    house.wait_until("the other line is pushed", |house| {
        house.hands.forward(Duration::from_millis(50));
        fake.contents(HOST, "A") == ["198.51.100.2"]
    });
    assert_eq!(fake.mistakes(), [""; 0]);
}
