//! A gateway behind a gateway: the one at home tells the one with the name server by dyndns2, over TLS with a private
//! authority. So what one gateway answers is what the other understands.

use std::time::Duration;

use nicgate_tests::fake::Fake;
use nicgate_tests::fake::cloudflare::{Cloudflare, TOKEN};
use nicgate_tests::{Answer, House, program, run, text};

/// The gateway with the name server. `cloud.test` lies at a provider that may be down.
fn upper(name: &str, fake: &Fake) -> House {
    let sections = format!(
        r#"reply_deadline = "1s"

[limits]
enabled = false

[[provider]]
name = "lab"
type = "embedded"

[[provider]]
name = "cloud"
type = "cloudflare"
endpoint = "{}"
api_token = "{TOKEN}"

[[zone]]
name = "home.test"
providers = ["lab"]
addresses = "any"

[[zone]]
name = "cloud.test"
providers = ["cloud"]
addresses = "any"

[[device]]
id = "downstairs"
hosts = ["a.home.test", "a.cloud.test"]

[[device]]
id = "box"
hosts = ["a.home.test"]
"#,
        fake.endpoint()
    );
    House::with(&format!("{name}-upper"), &sections)
}

/// The gateway that tells it; `provider` are more lines of the provider's section.
fn lower(name: &str, upper: &House, password: &str, provider: &str) -> House {
    let sections = format!(
        r#"reply_deadline = "4s"

[[provider]]
name = "upstairs"
type = "dyndns2"
endpoint = "https://localhost:{}"
username = "downstairs"
password = "{password}"
{provider}

[[zone]]
name = "home.test"
providers = ["upstairs"]
addresses = "any"

[[zone]]
name = "cloud.test"
providers = ["upstairs"]
addresses = "any"

[[device]]
id = "box"
hosts = ["a.home.test", "b.home.test", "a.cloud.test"]
"#,
        upper.https().port()
    );
    House::with(&format!("{name}-lower"), &sections)
}

struct Story {
    upper: House,
    lower: House,
    fake: Fake,
}

impl Story {
    fn new(name: &str) -> Self {
        let fake = Fake::start_apart(Cloudflare::of("cloud.test"));
        let upper = upper(name, &fake);
        let authority = format!("ca_file = \"{}\"", upper.ca().display());
        let lower = lower(name, &upper, &upper.password("downstairs"), &authority);
        Self { upper, lower, fake }
    }

    fn update(&self, host: &str, addresses: &str) -> Answer {
        self.lower.update(&format!("hostname={host}&myip={addresses}"))
    }

    /// Requests that the upper gateway answered.
    fn answered(&self) -> usize {
        self.upper.log().iter().filter(|line| line["event"] == "update").count()
    }
}

#[test]
fn an_update_goes_through_both_and_no_change_stops_at_the_first() {
    let story = Story::new("both");
    assert_eq!(story.update("a.home.test", "192.0.2.1").body, "good 192.0.2.1\n");
    assert_eq!(story.upper.dig("a.home.test", "A"), ["192.0.2.1"]);
    let both = "192.0.2.2,2001:db8::1";
    assert_eq!(story.update("a.home.test", both).body, format!("good {both}\n"));
    assert_eq!(story.upper.dig("a.home.test", "A"), ["192.0.2.2"]);
    assert_eq!(story.upper.dig("a.home.test", "AAAA"), ["2001:db8::1"]);
    let answered = story.answered();
    assert!(answered >= 2, "{:#?}", story.upper.log());
    for _ in 0..3 {
        assert_eq!(story.update("a.home.test", both).body, format!("nochg {both}\n"));
    }
    assert_eq!(story.answered(), answered);
}

#[test]
fn what_stands_there_already_is_confirmed_all_the_same() {
    let story = Story::new("nochg");
    assert_eq!(story.upper.update("hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
    assert_eq!(story.update("a.home.test", "192.0.2.1").body, "good 192.0.2.1\n");
    assert_eq!(story.upper.dig("a.home.test", "A"), ["192.0.2.1"]);
}

#[test]
fn a_wrong_password_and_a_foreign_host_are_told_apart_and_no_secret_is_shown() {
    let story = Story::new("refused");
    let answer = story.update("b.home.test", "192.0.2.1");
    assert_eq!((answer.status, answer.body.as_str()), (503, "dnserr\n"), "{answer:?}");
    let shown = shown(&story.lower, "b.home.test");
    assert!(shown.contains("nohost"), "{shown}");

    let wrong = "wrong-password-of-a-story";
    let authority = format!("ca_file = \"{}\"", story.upper.ca().display());
    let lower = lower("refused-again", &story.upper, wrong, &authority);
    let answer = lower.update("hostname=a.home.test&myip=192.0.2.1");
    assert_eq!((answer.status, answer.body.as_str()), (503, "dnserr\n"), "{answer:?}");
    let text = format!("{} {:?}", self::shown(&lower, "a.home.test"), lower.log());
    assert!(text.contains("badauth") && text.contains("provider_auth"), "{text}");
    assert!(!text.contains(wrong), "{text}");
    assert_eq!(story.upper.dig("a.home.test", "A"), [""; 0]);
}

#[test]
fn an_outage_behind_the_upper_one_is_waited_for() {
    let mut story = Story::new("outage");
    story.fake.goes_down();
    let answer = story.update("a.cloud.test", "192.0.2.1");
    assert_eq!((answer.status, answer.body.as_str()), (503, "911\n"), "{answer:?}");
    // Retry-After counts, not the half hour for servers that say nothing.
    let log = story.lower.log();
    let trouble = log.iter().find(|line| line["error_code"] == "provider_down").expect("the outage is logged");
    assert!(trouble["outcome"].as_str().is_some_and(|text| text.contains("911")), "{trouble}");
    assert!(trouble["next_try_s"].as_u64().is_some_and(|seconds| seconds <= 60), "{trouble}");
    story.fake.recovers();
    story.lower.stop();
    story.lower.start();
    let is_pushed = |house: &House| house.log().iter().any(|line| line["event"] == "pushed");
    story.lower.wait_until("the one below is told", |lower| {
        story.upper.hands.forward(Duration::from_secs(1));
        lower.hands.forward(Duration::from_secs(1));
        is_pushed(lower)
    });
    assert_eq!(story.fake.contents("a.cloud.test", "A"), ["192.0.2.1"]);
    assert_eq!(story.update("a.cloud.test", "192.0.2.1").status, 200);
}

#[test]
fn an_authority_that_nobody_knows_is_not_believed() {
    let story = Story::new("authority");
    let lower = lower("stranger", &story.upper, &story.upper.password("downstairs"), "");
    let answer = lower.update("hostname=a.home.test&myip=192.0.2.1");
    assert_eq!((answer.status, answer.body.as_str()), (503, "911\n"), "{answer:?}");
    let shown = shown(&lower, "a.home.test");
    assert!(shown.contains("certificate"), "{shown}");
    assert_eq!(story.upper.dig("a.home.test", "A"), [""; 0]);
}

fn shown(house: &House, host: &str) -> String {
    let mut command = std::process::Command::new(program("nicgate"));
    text(&run(command.args(["host", "show", host, "--config"]).arg(house.configuration())))
}
