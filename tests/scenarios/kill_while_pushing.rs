//! The real gateway, killed by SIGKILL while it tells a provider something: between record and push, and between push
//! and confirmation. After the next start the provider publishes what was recorded last, once.

use std::process::Command;
use std::time::Duration;

use nicgate_tests::fake::cloudflare::{Cloudflare, TOKEN, ZONE_ID};
use nicgate_tests::fake::{Fake, Mishap};
use nicgate_tests::program::{Served, Site};
use nicgate_tests::wire::{self, Connection};
use nicgate_tests::{Request, program, run};
use serde_json::Value;

const HOST: &str = "nas.home.test";

struct Story {
    fake: Fake,
    site: Site,
    password: String,
    served: Option<Served>,
}

impl Story {
    fn new(name: &str) -> Self {
        let fake = Fake::start_apart(Cloudflare::default());
        let sections = format!(
            r#"
[[provider]]
name = "cloud"
type = "cloudflare"
endpoint = "{}"
api_token = "{TOKEN}"
zone_id = "{ZONE_ID}"

[[zone]]
name = "home.test"
providers = ["cloud"]
addresses = "any"

[[device]]
id = "box"
hosts = ["{HOST}"]
"#,
            fake.endpoint()
        );
        let site = Site::new(name, &sections);
        let served = Some(site.serve());
        let password = site.password("box");
        Self { fake, site, password, served }
    }

    fn served(&self) -> &Served {
        self.served.as_ref().expect("it runs")
    }

    /// Sends an update and does not wait for the answer.
    fn send(&self, address: &str) -> Connection {
        let https = self.served().https[0];
        let mut connection = Connection::secure(https, &self.site.ca());
        let request = Request::get(&format!("/nic/update?hostname={HOST}&myip={address}"));
        connection.send(&request.header("Authorization", &wire::basic("box", &self.password)).bytes(https));
        connection
    }

    /// An update that is answered `good`.
    fn publish(&self, address: &str) {
        let answer = self.send(address).answer();
        assert_eq!((answer.status, answer.body.as_str()), (200, format!("good {address}\n").as_str()));
    }

    /// What `nicgate host show` says is desired.
    fn desired(&self) -> Vec<String> {
        let mut command = Command::new(program("nicgate"));
        command.args(["host", "show", HOST, "--json", "--config"]).arg(self.site.configuration());
        let host: Value = serde_json::from_slice(&run(&mut command).stdout).unwrap();
        host["desired"].as_array().unwrap().iter().map(|address| address.as_str().unwrap().to_owned()).collect()
    }

    fn kill(&mut self) {
        self.served.take().expect("it runs").kill();
        self.fake.recovers();
    }

    fn start(&mut self) {
        self.served = Some(self.site.serve());
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..400 {
            if holds(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!(
            "waited in vain: {what}: {:?}\n{}",
            self.fake.records(HOST),
            self.served.as_ref().map(Served::text).unwrap_or_default()
        );
    }

    /// The provider publishes this, in one record, and the gateway knows it.
    fn is_settled_with(&self, address: &str) {
        self.wait_until(&format!("{address} is published"), |story| story.fake.contents(HOST, "A") == [address]);
        self.wait_until("the gateway knows", |story| {
            story.served().log().iter().any(|line| line["event"] == "pushed" && line["desired"] == address)
        });
        assert_eq!(self.fake.records(HOST).len(), 1);
        self.fake.calls();
        self.publish("192.0.2.200");
        assert_eq!(self.fake.calls().len(), 1, "what was found out is remembered");
        assert_eq!(self.fake.mistakes(), [""; 0]);
    }
}

#[test]
fn what_was_recorded_and_not_yet_pushed_is_pushed_after_a_kill() {
    for is_first in [true, false] {
        let mut story = Story::new("kill-recorded");
        if !is_first {
            story.publish("192.0.2.1");
        }
        story.fake.calls();
        story.fake.falls_silent();
        let waiting = story.send("192.0.2.2");
        story.wait_until("the provider is asked", |story| story.fake.call_count() > 0);
        story.kill();
        drop(waiting);
        story.start();
        story.is_settled_with("192.0.2.2");
    }
}

#[test]
fn what_was_pushed_and_not_yet_confirmed_is_found_and_not_made_twice() {
    for is_first in [true, false] {
        let mut story = Story::new("kill-pushed");
        if !is_first {
            story.publish("192.0.2.1");
        }
        story.fake.then_at_write(Mishap::MuteAfter);
        let waiting = story.send("192.0.2.2");
        story.wait_until("the provider has made the change", |story| story.fake.contents(HOST, "A") == ["192.0.2.2"]);
        story.kill();
        drop(waiting);
        story.start();
        story.is_settled_with("192.0.2.2");
    }
}

#[test]
fn a_change_whose_answer_was_lost_does_not_outlive_the_way_back_and_a_kill() {
    let mut story = Story::new("kill-way-back");
    story.publish("192.0.2.1");
    // The new address stands at the provider, and nobody here knows for certain.
    story.fake.then_at_write(Mishap::CutsAfter);
    let waiting = story.send("192.0.2.2");
    story.wait_until("the provider has made the change", |story| story.fake.contents(HOST, "A") == ["192.0.2.2"]);
    story.fake.goes_down();
    // The host goes back to what was confirmed last, and the gateway dies before it can tell.
    let back = story.send("192.0.2.1");
    story.wait_until("the way back is recorded", |story| story.desired() == ["192.0.2.1"]);
    story.kill();
    drop((waiting, back));
    story.start();
    story.is_settled_with("192.0.2.1");
}
