//! Updates of a zone that lives at a provider, and what becomes of them when that provider is down, slow, or says no:
//! nobody is told `good` too early, nothing recorded is forgotten, and nobody is punished for asking again.

use std::time::Duration;

use nicgate_tests::fake::Fake;
use nicgate_tests::fake::cloudflare::{Cloudflare, TOKEN, ZONE_ID};
use nicgate_tests::wire::Connection;
use nicgate_tests::{Answer, House, Request, Stopwatch, program, run, text};

/// `home.test` at one fake, `other.test` at another, `own.test` at home. Limits are on: nobody may run into them.
fn house(name: &str, fake: &Fake, other: &Fake, token: &str) -> House {
    let sections = format!(
        r#"reply_deadline = "1s"

[[provider]]
name = "cloud"
type = "cloudflare"
endpoint = "{}"
api_token = "{token}"

[[provider]]
name = "second"
type = "cloudflare"
endpoint = "{}"
api_token = "{TOKEN}"
zone_id = "{ZONE_ID}"

[[provider]]
name = "lab"
type = "embedded"

[[zone]]
name = "home.test"
providers = ["cloud"]
addresses = "any"

[[zone]]
name = "other.test"
providers = ["second"]
addresses = "any"

[[zone]]
name = "own.test"
providers = ["lab"]
addresses = "any"

[[device]]
id = "box"
hosts = ["a.home.test", "b.home.test", "a.other.test", "a.own.test"]
"#,
        fake.endpoint(),
        other.endpoint()
    );
    House::with(name, &sections)
}

struct Story {
    fake: Fake,
    other: Fake,
    house: House,
}

impl Story {
    fn new(name: &str) -> Self {
        Self::with_token(name, TOKEN)
    }

    fn with_token(name: &str, token: &str) -> Self {
        let (fake, other) = (Fake::start_apart(Cloudflare::default()), Fake::start_apart(Cloudflare::of("other.test")));
        let house = house(name, &fake, &other, token);
        Self { fake, other, house }
    }

    fn update(&self, host: &str, address: &str) -> Answer {
        self.house.update(&format!("hostname={host}&myip={address}"))
    }

    /// Waits for what the provider publishes, with the clock going on meanwhile.
    fn wait_for(&self, host: &str, address: &str) {
        self.house.wait_until(&format!("{host} is {address}"), |house| {
            house.hands.forward(Duration::from_millis(50));
            self.fake.contents(host, "A") == [address]
        });
    }

    /// Waits until the gateway, too, knows that the provider confirmed.
    fn wait_for_confirmation(&self, host: &str) {
        self.house.wait_until("the push is told", |house| {
            house.log().iter().any(|line| line["event"] == "pushed" && line["host"] == host)
        });
    }
}

fn is_not_yet(answer: &Answer) -> bool {
    let patience = answer.header("retry-after").and_then(|value| value.parse::<u32>().ok());
    answer.status == 503 && answer.body == "911\n" && patience.is_some_and(|seconds| seconds > 0)
}

#[test]
fn a_change_costs_one_call_and_no_change_costs_none() {
    let story = Story::new("calls");
    assert_eq!(story.update("a.home.test", "192.0.2.1").body, "good 192.0.2.1\n");
    assert_eq!(story.fake.calls().len(), 3, "the zone, the record, the write");
    for address in ["192.0.2.2", "192.0.2.3"] {
        assert_eq!(story.update("a.home.test", address).body, format!("good {address}\n"));
        assert_eq!(story.fake.calls().len(), 1, "{address}");
        for _ in 0..10 {
            assert_eq!(story.update("a.home.test", address).body, format!("nochg {address}\n"));
        }
        assert_eq!(story.fake.calls(), [""; 0]);
    }
    assert_eq!(story.fake.contents("a.home.test", "A"), ["192.0.2.3"]);
    assert_eq!(story.fake.mistakes(), [""; 0]);
}

#[test]
fn a_provider_that_is_down_costs_the_client_nothing_and_is_told_when_it_is_back() {
    let story = Story::new("down");
    story.fake.goes_down();
    for _ in 0..40 {
        let answer = story.update("a.home.test", "192.0.2.1");
        assert!(is_not_yet(&answer), "{answer:?}");
    }
    let calls = story.fake.calls().len();
    assert!(calls <= 3, "{calls} calls: who is down is not hammered, however often clients ask");
    story.fake.recovers();
    story.wait_for("a.home.test", "192.0.2.1");
    story.wait_for_confirmation("a.home.test");
    let again = story.update("a.home.test", "192.0.2.1");
    assert_eq!(again.status, 200, "{again:?}");
    assert!(["good 192.0.2.1\n", "nochg 192.0.2.1\n"].contains(&again.body.as_str()), "{again:?}");
    assert_eq!(story.update("a.home.test", "192.0.2.2").body, "good 192.0.2.2\n");
    assert_eq!(story.update("b.home.test", "192.0.2.2").body, "good 192.0.2.2\n");
}

#[test]
fn of_several_changes_while_it_was_down_the_newest_alone_is_pushed() {
    let story = Story::new("newest");
    assert_eq!(story.update("a.home.test", "192.0.2.1").status, 200);
    story.fake.goes_down();
    for last in 2..8 {
        assert!(is_not_yet(&story.update("a.home.test", &format!("192.0.2.{last}"))));
    }
    story.fake.calls();
    story.fake.recovers();
    story.wait_for("a.home.test", "192.0.2.7");
    story.wait_for_confirmation("a.home.test");
    let writes: Vec<_> = story.fake.calls().into_iter().filter(|call| !call.starts_with("GET ")).collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(story.fake.records("a.home.test").len(), 1);
}

#[test]
fn a_refused_token_is_the_operators_trouble_and_looks_like_it() {
    let story = Story::with_token("token", "wrong-token-of-a-story");
    let ask = |agent: &str| {
        let request = Request::get("/nic/update?hostname=a.home.test&myip=192.0.2.1");
        let request = request.header("Authorization", &story.house.basic("box"));
        story.house.send(&request.header("User-Agent", agent))
    };
    let classic = ask("Fritz!Box DDNS/1.0.1");
    assert_eq!((classic.status, classic.body.as_str()), (503, "dnserr\n"));
    assert!(classic.header("retry-after").is_some());
    let strict = ask("OPNsense-dyndns/1.0");
    assert_eq!((strict.status, strict.body.as_str()), (502, "dnserr\n"));
    let shown = run(std::process::Command::new(program("nicgate"))
        .args(["host", "show", "a.home.test", "--config"])
        .arg(story.house.configuration()));
    let shown = text(&shown);
    assert!(shown.contains("cloud") && shown.contains("Invalid access token"), "{shown}");
    let log = format!("{:?}", story.house.log());
    assert!(log.contains("Invalid access token"), "{log}");
    assert!(!log.contains("wrong-token-of-a-story") && !shown.contains("wrong-token-of-a-story"));
}

#[test]
fn host_show_names_the_trouble_of_a_provider_that_is_down() {
    let story = Story::new("show");
    let show = || {
        let shown = run(std::process::Command::new(program("nicgate"))
            .args(["host", "show", "a.home.test", "--config"])
            .arg(story.house.configuration()));
        assert_eq!(shown.status.code(), Some(0));
        text(&shown)
    };
    story.fake.goes_down();
    assert!(is_not_yet(&story.update("a.home.test", "192.0.2.1")));
    let shown = show();
    assert!(shown.contains("192.0.2.1") && shown.contains("503") && shown.contains("next try"), "{shown}");
    story.fake.recovers();
    story.wait_for("a.home.test", "192.0.2.1");
    story.wait_for_confirmation("a.home.test");
    let shown = show();
    assert!(shown.contains("confirmed") && !shown.contains("503"), "{shown}");
}

#[test]
fn a_slow_provider_delays_its_own_hosts_alone() {
    let story = Story::new("slow");
    story.fake.falls_silent();
    let (server, ca) = (story.house.https(), story.house.ca());
    let mut waiting = Connection::secure(server, &ca);
    let request = Request::get("/nic/update?hostname=a.home.test&myip=192.0.2.1");
    let request = request.header("Authorization", &story.house.basic("box"));
    waiting.send(&request.bytes(server));
    story.house.wait_until("the slow provider is asked", |_| story.fake.call_count() > 0);
    let begun = Stopwatch::start();
    assert_eq!(story.update("a.other.test", "192.0.2.2").body, "good 192.0.2.2\n");
    assert_eq!(story.update("a.own.test", "192.0.2.3").body, "good 192.0.2.3\n");
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(story.other.contents("a.other.test", "A"), ["192.0.2.2"]);
    assert!(is_not_yet(&waiting.answer()));
    story.fake.recovers();
    story.wait_for("a.home.test", "192.0.2.1");
}

#[test]
fn a_client_that_hangs_up_has_its_change_pushed_all_the_same() {
    let story = Story::new("hang-up");
    story.fake.falls_silent();
    let mut client = Connection::secure(story.house.https(), &story.house.ca());
    let request = Request::get("/nic/update?hostname=a.home.test&myip=192.0.2.1");
    client.send(&request.header("Authorization", &story.house.basic("box")).bytes(story.house.https()));
    story.house.wait_until("the provider is asked", |_| story.fake.call_count() > 0);
    drop(client);
    story.fake.recovers();
    story.wait_for("a.home.test", "192.0.2.1");
}

#[test]
fn what_was_recorded_before_a_crash_is_pushed_after_it() {
    let mut story = Story::new("crash");
    assert_eq!(story.update("a.home.test", "192.0.2.1").status, 200);
    story.fake.falls_silent();
    story.fake.calls();
    let mut client = Connection::secure(story.house.https(), &story.house.ca());
    let request = Request::get("/nic/update?hostname=a.home.test&myip=192.0.2.2");
    client.send(&request.header("Authorization", &story.house.basic("box")).bytes(story.house.https()));
    story.house.wait_until("the provider is asked", |_| story.fake.call_count() > 0);
    story.house.crash();
    assert_eq!(client.answer().status, 0, "nobody was told anything");
    assert_eq!(story.fake.contents("a.home.test", "A"), ["192.0.2.1"]);
    story.fake.recovers();
    story.house.start();
    story.wait_for("a.home.test", "192.0.2.2");
    assert_eq!(story.fake.records("a.home.test").len(), 1);
    story.wait_for_confirmation("a.home.test");
    assert_eq!(story.update("a.home.test", "192.0.2.2").body, "nochg 192.0.2.2\n");
}
