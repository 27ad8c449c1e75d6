//! Pins that end: what a device asked for meanwhile is published by itself when pin and cool-down are over, at the
//! embedded name server and at a provider, and across restarts.

use std::process::Command;
use std::time::Duration;

use nicgate_tests::fake::Fake;
use nicgate_tests::fake::cloudflare::{Cloudflare, TOKEN};
use nicgate_tests::{House, PLAIN, program, run, text};

const HOUR: Duration = Duration::from_secs(3600);
/// The default of `[policy] cool_down`.
const COOL_DOWN: Duration = Duration::from_secs(300);
const HOST: &str = "a.home.test";

fn nicgate(house: &House, words: &[&str]) -> String {
    let output = run(Command::new(program("nicgate")).args(words).arg("--config").arg(house.configuration()));
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output));
    text(&output)
}

fn update(house: &House, address: &str) -> String {
    house.update(&format!("hostname={HOST}&myip={address}")).body.trim_end().to_owned()
}

fn wait_for(house: &House, address: &str) {
    house.wait_until(&format!("{HOST} is {address}"), |house| house.dig(HOST, "A") == [address]);
}

fn holds_over(house: &House) -> usize {
    house.log().iter().filter(|line| line["event"] == "hold_over").count()
}

#[test]
fn the_end_of_a_pin_publishes_what_was_noted() {
    let house = House::new("pin-end");
    assert_eq!(update(&house, "192.0.2.1"), "good 192.0.2.1");
    nicgate(&house, &["host", "pin", HOST, "192.0.2.99", "--for", "2h"]);
    assert_eq!(update(&house, "192.0.2.2"), "nochg 192.0.2.99");
    assert_eq!(update(&house, "192.0.2.3,2001:db8::3"), "nochg 192.0.2.99");

    // The pin is over; the cool-down is not.
    house.hands.forward(2 * HOUR);
    assert_eq!(update(&house, "192.0.2.3"), "nochg 192.0.2.99");
    let shown = nicgate(&house, &["host", "show", HOST]);
    assert!(shown.contains("cooling down until") && shown.contains("asked for by box"), "{shown}");
    assert_eq!(holds_over(&house), 0);
    assert_eq!(house.dig(HOST, "A"), ["192.0.2.99"]);

    house.hands.forward(COOL_DOWN);
    wait_for(&house, "192.0.2.3");
    assert_eq!(house.dig(HOST, "AAAA"), ["2001:db8::3"]);
    assert_eq!(update(&house, "192.0.2.3"), "nochg 192.0.2.3");
    assert_eq!(holds_over(&house), 1);
    let shown = nicgate(&house, &["host", "show", HOST]);
    assert!(!shown.contains("hold") && shown.contains("by box"), "{shown}");
}

#[test]
fn a_release_counts_from_its_own_time_and_the_second_of_two_commands_from_the_first_ones_state() {
    let house = House::new("pin-release");
    assert_eq!(update(&house, "192.0.2.1"), "good 192.0.2.1");
    nicgate(&house, &["host", "pin", HOST, "192.0.2.98", "--for", "2h"]);
    nicgate(&house, &["host", "pin", HOST, "192.0.2.99"]);
    // The first pin would be over by now.
    house.hands.forward(3 * HOUR);
    assert_eq!(update(&house, "192.0.2.2"), "nochg 192.0.2.99");
    let said = nicgate(&house, &["host", "release", HOST]);
    assert!(said.contains("192.0.2.2 is published at 2026-11-22T15:05:00"), "{said}");
    assert_eq!(update(&house, "192.0.2.2"), "nochg 192.0.2.99");
    house.hands.forward(COOL_DOWN);
    wait_for(&house, "192.0.2.2");
    // A host that nobody ever updated keeps what it was pinned to.
    nicgate(&house, &["host", "pin", "b.home.test", "192.0.2.50", "--for", "1h"]);
    house.hands.forward(2 * HOUR);
    house.wait_until("the second hold is over", |house| holds_over(house) == 2);
    assert_eq!(house.dig("b.home.test", "A"), ["192.0.2.50"]);
}

#[test]
fn a_pin_that_ended_while_nobody_ran_is_seen_to_at_the_start() {
    let mut house = House::new("pin-restart");
    assert_eq!(update(&house, "192.0.2.1"), "good 192.0.2.1");
    nicgate(&house, &["host", "pin", HOST, "192.0.2.99", "--for", "1h"]);
    assert_eq!(update(&house, "192.0.2.2"), "nochg 192.0.2.99");
    house.crash();
    house.start();
    assert_eq!(house.dig(HOST, "A"), ["192.0.2.99"]);
    house.stop();
    house.hands.forward(2 * HOUR);
    house.start();
    wait_for(&house, "192.0.2.2");
    house.crash();
    house.start();
    assert_eq!(house.dig(HOST, "A"), ["192.0.2.2"]);
}

#[test]
fn a_shorter_cool_down_in_the_file_counts_at_once() {
    let house = House::new("pin-reload");
    assert_eq!(update(&house, "192.0.2.1"), "good 192.0.2.1");
    nicgate(&house, &["host", "pin", HOST, "192.0.2.99", "--for", "1h"]);
    house.hands.forward(HOUR);
    house.write_configuration(&format!("{PLAIN}\n[policy]\ncool_down = \"0s\"\n"));
    wait_for(&house, "192.0.2.1");
}

#[test]
fn the_end_of_a_pin_is_pushed_to_a_provider() {
    let fake = Fake::start_apart(Cloudflare::default());
    let provider = format!("type = \"cloudflare\"\nendpoint = \"{}\"\napi_token = \"{TOKEN}\"", fake.endpoint());
    let house = House::with("pin-push", &PLAIN.replace("type = \"embedded\"", &provider));
    assert_eq!(update(&house, "192.0.2.1"), "good 192.0.2.1");
    nicgate(&house, &["host", "pin", HOST, "192.0.2.99", "--for", "1h"]);
    assert_eq!(update(&house, "192.0.2.2"), "nochg 192.0.2.99");
    house.wait_until("the pin is pushed", |_| fake.contents(HOST, "A") == ["192.0.2.99"]);
    house.hands.forward(HOUR + COOL_DOWN);
    house.wait_until("the end of the pin is pushed", |house| {
        house.hands.forward(Duration::from_millis(50));
        fake.contents(HOST, "A") == ["192.0.2.2"]
    });
    assert_eq!(fake.mistakes(), [""; 0]);
}
