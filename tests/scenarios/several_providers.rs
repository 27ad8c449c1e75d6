//! A zone at several providers: all are told, the first decides the answer, each is seen in `host show`. And what
//! somebody changes by hand at one that is watched.

use std::process::Command;
use std::time::Duration;

use nicgate_tests::fake::cloudflare::{Cloudflare, TOKEN};
use nicgate_tests::fake::{Fake, Record};
use nicgate_tests::{House, program, run};
use serde_json::{Value, json};

const HOST: &str = "a.home.test";

struct Story {
    first: Fake,
    second: Fake,
    house: House,
}

impl Story {
    /// `more` goes into the section of the first provider.
    fn new(name: &str, more: &str) -> Self {
        let (first, second) = (Fake::start_apart(Cloudflare::default()), Fake::start_apart(Cloudflare::default()));
        let sections = format!(
            r#"
[[provider]]
name = "first"
type = "cloudflare"
endpoint = "{}"
api_token = "{TOKEN}"
{more}

[[provider]]
name = "second"
type = "cloudflare"
endpoint = "{}"
api_token = "{TOKEN}"

[[provider]]
name = "own"
type = "embedded"

[[zone]]
name = "home.test"
providers = ["first", "second", "own"]
addresses = "any"

[[device]]
id = "box"
hosts = ["{HOST}"]
"#,
            first.endpoint(),
            second.endpoint(),
        );
        Self { first, second, house: House::with(name, &sections) }
    }

    fn update(&self, address: &str) -> String {
        self.house.update(&format!("hostname={HOST}&myip={address}")).body
    }

    /// How each provider stands: its name, what it publishes, in words.
    fn show(&self) -> Vec<(String, Value, String)> {
        let mut command = Command::new(program("nicgate"));
        command.args(["host", "show", HOST, "--json", "--config"]).arg(self.house.configuration());
        let host: Value = serde_json::from_slice(&run(&mut command).stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let line = |one: &Value| (text(&one["name"]), one["applied"].clone(), text(&one["status"]));
        host["providers"].as_array().unwrap().iter().map(line).collect()
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        self.house.wait_until(what, |house| {
            house.hands.forward(Duration::from_millis(50));
            holds(self)
        });
    }
}

#[test]
fn all_are_told_and_each_is_seen() {
    let story = Story::new("several", "");
    assert_eq!(story.update("192.0.2.1"), "good 192.0.2.1\n");
    story.wait_until("the second is told too", |story| story.second.contents(HOST, "A") == ["192.0.2.1"]);
    assert_eq!(story.first.contents(HOST, "A"), ["192.0.2.1"]);
    assert_eq!(story.house.dig(HOST, "A"), ["192.0.2.1"]);
    let confirmed = json!(["192.0.2.1"]);
    let all = [("first", "confirmed"), ("second", "confirmed"), ("own", "served")];
    let all = all.map(|(name, status)| (name.to_owned(), confirmed.clone(), status.to_owned()));
    story.wait_until("all are confirmed", |story| story.show() == all);
}

#[test]
fn the_first_decides_the_answer_and_the_others_catch_up() {
    let story = Story::new("several-down", "");
    story.second.goes_down();
    assert_eq!(story.update("192.0.2.1"), "good 192.0.2.1\n");
    assert_eq!(story.update("192.0.2.1"), "nochg 192.0.2.1\n");
    let (_, applied, status) = story.show().remove(1);
    assert!(applied == json!([]) && status.contains("attempt"), "{applied} {status}");
    story.second.recovers();
    story.wait_until("the second has caught up", |story| story.second.contents(HOST, "A") == ["192.0.2.1"]);
    assert_eq!(story.first.mistakes(), [""; 0]);
    assert_eq!(story.second.mistakes(), [""; 0]);
}

#[test]
fn what_was_changed_by_hand_is_changed_back_where_that_is_wanted_and_else_told() {
    for (word, after) in [("repair", "192.0.2.1"), ("report", "192.0.2.99")] {
        let story = Story::new("drift", &format!("drift = \"{word}\"\ndrift_every = \"1m\""));
        assert_eq!(story.update("192.0.2.1"), "good 192.0.2.1\n");
        let by_hand = |record: &mut Record| record.content = "192.0.2.99".into();
        story.first.zone(|zone| zone.records.iter_mut().filter(|record| record.record_type == "A").for_each(by_hand));
        story.house.hands.forward(Duration::from_secs(61));
        story.wait_until("the drift is told", |story| {
            story.house.log().iter().any(|line| line["error_code"] == "drift" && line["host"] == HOST)
        });
        let drift = story.house.log().into_iter().find(|line| line["error_code"] == "drift").unwrap();
        assert_eq!((&drift["confirmed"], &drift["standing"]), (&"192.0.2.1".into(), &"192.0.2.99".into()));
        story.wait_until("it ends as configured", |story| story.first.contents(HOST, "A") == [after]);
        assert_eq!(story.update("192.0.2.2"), "good 192.0.2.2\n");
        assert_eq!(story.first.contents(HOST, "A"), ["192.0.2.2"], "{word}");
    }
}
