//! A machine with two lines to the outside, of which one is cut: the real client, the real gateway, and cables of the
//! kernel's between them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nicgate::http::tls::development_ca;
use nicgate_client::platform::Changes;
use nicgate_tests::namespace::{End, Namespace, cable};
use nicgate_tests::program::{Served, Site, program};
use nicgate_tests::{dig, run, text};
use serde_json::Value;

const HOST: &str = "machine.home.test";
const GATEWAY: &str = "203.0.113.1";
/// The machine's address on each line.
const FIBRE: &str = "192.0.2.2";
const LTE: &str = "198.51.100.2";

/// The machine, the world with the gateway in it, and two cables between them.
struct Scene {
    machine: Namespace,
    world: Namespace,
    site: Site,
    gateway: Option<Served>,
}

impl Scene {
    /// `None`, with a word about it, where there are no networks of one's own.
    fn new(name: &str, client: &str) -> Option<Self> {
        let (machine, world) = (Namespace::new()?, Namespace::new()?);
        let line = |card, here: &str, there: &str, far| {
            let (here, there) = (format!("{here}/24"), format!("{there}/24"));
            cable(
                End { network: &machine, card, addresses: &[&here] },
                End { network: &world, card: far, addresses: &[&there] },
            );
        };
        line("fibre", FIBRE, "192.0.2.1", "to-fibre");
        line("lte", LTE, "198.51.100.1", "to-lte");
        world.ip(&format!("address add {GATEWAY}/32 dev lo"));
        machine.ip("route add default via 192.0.2.1 dev fibre metric 100");
        machine.ip("route add default via 198.51.100.1 dev lte metric 200");

        let site = Site::new(
            name,
            &format!(
                "listen = [\"{GATEWAY}:8443\"]\n[dns]\nlisten = [\"{GATEWAY}:5353\"]\n\
                 [[provider]]\nname = \"lab\"\ntype = \"embedded\"\n\
                 [[zone]]\nname = \"home.test\"\nproviders = [\"lab\"]\naddresses = \"any\"\n\
                 [[device]]\nid = \"machine\"\nhosts = [\"{HOST}\"]\n"
            ),
        );
        development_ca(site.folder(), &[GATEWAY.to_owned()]).unwrap();
        let gateway = world.run(|| site.serve());
        // In the second of its start a gateway cannot tell a second signed update of a host from an older one.
        std::thread::sleep(Duration::from_millis(1100));
        let scene = Self { machine, world, site, gateway: Some(gateway) };
        fs::write(scene.file("machine.key"), scene.site.key("machine")).unwrap();
        fs::set_permissions(scene.file("machine.key"), fs::Permissions::from_mode(0o600)).unwrap();
        scene.configure(client);
        Some(scene)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.site.folder().join(name)
    }

    /// Writes the client's configuration; `more` goes at its end.
    fn configure(&self, more: &str) {
        let text = format!(
            "gateway = \"https://{GATEWAY}:8443\"\nca_file = \"ca.crt\"\ndevice = \"machine\"\n\
             key_file = \"machine.key\"\nhosts = [\"{HOST}\"]\ntimeout = \"3s\"\n{more}"
        );
        fs::write(self.file("client.toml"), text).unwrap();
    }

    fn client(&self, words: &str) -> Command {
        let mut command = self.machine.command(program("nicgate-client"));
        command.arg("--config").arg(self.file("client.toml")).args(words.split(' '));
        command
    }

    /// Runs the client on the machine; gives its exit code and everything it said.
    fn ask(&self, words: &str) -> (i32, String) {
        let output = run(&mut self.client(words));
        (output.status.code().unwrap(), text(&output))
    }

    /// What the world's name server says.
    fn published(&self) -> Vec<String> {
        self.world.run(|| dig(format!("{GATEWAY}:5353").parse().unwrap(), HOST, "A"))
    }

    /// Lets what the world sends to an address vanish: the line is up, and dead.
    fn cut(&self, address: &str) {
        self.world.ip(&format!("route add blackhole {address}/32"));
    }

    fn mend(&self, address: &str) {
        self.world.ip(&format!("route del blackhole {address}/32"));
    }
}

/// Waits for something that another process does.
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..300 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("waited half a minute in vain: {what}");
}

/// Documentation ranges are no public address on an interface, so the gateway tells which one it sees.
const UPLINKS: &str = "ipv4 = \"web\"\nhold_down = \"2s\"\n\
    [[uplink]]\nname = \"fibre\"\nbind = \"fibre\"\n[[uplink]]\nname = \"lte\"\nbind = \"lte\"\n";

#[test]
fn a_dead_line_is_left_at_once_and_taken_back_after_the_hold_down() {
    let Some(scene) = Scene::new("uplinks", UPLINKS) else { return };
    assert_eq!(scene.ask("update"), (0, format!("{HOST}: good {FIBRE}\n")));
    assert_eq!(scene.published(), [FIBRE]);

    scene.cut(FIBRE);
    let (code, said) = scene.ask("update");
    assert!(code == 0 && said.contains(&format!("good {LTE}")), "{said}");
    assert!(said.contains("uplink lte: fibre does not work"), "{said}");
    assert_eq!(scene.published(), [LTE]);
    let (code, table) = scene.ask("detect");
    assert!(code == 0 && table.contains("use   uplink lte") && table.contains("-     uplink fibre: "), "{table}");

    scene.mend(FIBRE);
    let (code, said) = scene.ask("update");
    assert!(code == 0 && said.starts_with("nothing to do"), "held down: {said}");
    wait_until("the hold-down is over", || scene.ask("update").1.contains(FIBRE));
    assert_eq!(scene.published(), [FIBRE]);
}

#[test]
fn a_card_without_carrier_is_no_uplink_and_none_at_all_is_told() {
    let Some(scene) = Scene::new("no-carrier", UPLINKS) else { return };
    scene.world.ip("link set to-fibre down");
    let (code, said) = scene.ask("update");
    assert!(code == 0 && said.contains(&format!("good {LTE}")), "{said}");

    scene.world.ip("link set to-lte down");
    let (code, said) = scene.ask("update");
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("no uplink works: fibre: ") && said.contains("lte: "), "{said}");
    assert_eq!(scene.published(), [LTE], "what cannot be learned changes nothing");
}

#[test]
fn a_bound_client_speaks_through_its_card_whatever_the_routes_prefer() {
    let Some(scene) = Scene::new("bound", "bind = \"lte\"\n") else { return };
    assert_eq!(scene.ask("update"), (0, format!("{HOST}: good {LTE}\n")));
    scene.configure("bind = \"198.51.100.2\"\nipv4 = \"interface:lte\"\n");
    let (code, said) = scene.ask("update");
    assert!(code == 3 && said.contains("no address to send"), "documentation ranges are no public address: {said}");
}

#[test]
fn the_resident_client_follows_a_changed_address_at_once() {
    let Some(scene) = Scene::new("resident", "interval = \"1h\"\n") else { return };
    let mut resident = Resident::start(&scene);
    wait_until("the first address", || scene.published() == [FIBRE]);
    scene.machine.ip("address del 192.0.2.2/24 dev fibre");
    scene.machine.ip("address add 192.0.2.77/24 dev fibre");
    scene.machine.ip("route replace default via 192.0.2.1 dev fibre metric 100");
    wait_until("the changed address", || scene.published() == ["192.0.2.77"]);
    scene.machine.ip("link set fibre down");
    wait_until("the other line's address", || scene.published() == [LTE]);
    assert_eq!(resident.stop(), Some(0));
}

/// A resident client, killed when dropped.
struct Resident(Child);

impl Resident {
    fn start(scene: &Scene) -> Self {
        Self(scene.client("run").stdin(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        // `ip netns exec` becomes the program that it starts, so this is the client's own id.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0.id())]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{name}");
    }

    fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.0.wait().unwrap().code()
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The client's state file as it stands, changed and written back.
fn change_state(scene: &Scene, change: impl FnOnce(&mut Value)) {
    let path = scene.file("client.state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut state);
    fs::write(&path, state.to_string()).unwrap();
}

#[test]
fn the_scheduled_client_leaves_the_work_to_a_resident_one_until_that_is_stuck() {
    let Some(scene) = Scene::new("insurance", "") else { return };
    let mut resident = Resident::start(&scene);
    wait_until("the first address", || scene.published() == [FIBRE]);
    wait_until("the heartbeat", || scene.ask("update --scheduled").1.contains("the resident client is at work"));
    let second = run(&mut scene.client("run"));
    assert!(second.status.code() == Some(1) && text(&second).contains("another resident client"), "{}", text(&second));

    // Stuck, and long enough ago: only the clock is helped along.
    resident.signal("STOP");
    change_state(&scene, |state| {
        state["resident"]["at"] = 1000.into();
        state["resident"]["next"] = 1300.into();
    });
    scene.machine.ip("link set fibre down");
    let (code, said) = scene.ask("update --scheduled");
    assert!(code == 0 && said.contains(&format!("good {LTE}")), "{said}");
    assert!(said.contains("it is stuck; this run does its work"), "{said}");
    assert_eq!(scene.published(), [LTE]);

    resident.signal("CONT");
    assert_eq!(resident.stop(), Some(0));
    let (code, said) = scene.ask("update --scheduled");
    assert!(code == 0 && said.starts_with("nothing to do: the gateway acknowledged"), "it left for good: {said}");
}

#[test]
fn a_client_that_hangs_with_the_lock_in_its_hand_is_taken_over() {
    let Some(mut scene) = Scene::new("hanging", "") else { return };
    // The gateway's port takes connections and nobody answers them.
    drop(scene.gateway.take());
    let patient = fs::read_to_string(scene.file("client.toml")).unwrap().replace("\"3s\"", "\"100s\"");
    fs::write(scene.file("client.toml"), patient).unwrap();
    let mute = scene.world.run(|| std::net::TcpListener::bind(format!("{GATEWAY}:8443")).unwrap());
    let mut hanging = Resident(scene.client("update").stdin(Stdio::null()).spawn().unwrap());
    wait_until("the claim", || {
        fs::read_to_string(scene.file("client.state.json")).is_ok_and(|state| state.contains("claim"))
    });
    let (code, said) = scene.ask("update");
    assert!(code == 0 && said.contains("another nicgate-client is at work"), "{said}");

    hanging.signal("STOP");
    drop(mute);
    scene.configure("");
    change_state(&scene, |state| state["claim"]["until"] = 1000.into());
    scene.gateway = Some(scene.world.run(|| scene.site.serve()));
    let (code, said) = scene.ask("update");
    assert!(code == 0 && said.contains("this run takes over"), "{said}");
    assert!(said.contains(&format!("good {FIBRE}")), "{said}");

    // What wakes up late changes nothing any more.
    hanging.signal("CONT");
    let _ = hanging.0.wait();
    let (code, said) = scene.ask("update");
    assert!(code == 0 && said.starts_with("nothing to do"), "{said}");
}

#[test]
fn the_system_tells_of_changed_addresses_routes_and_links_and_of_nothing_else() {
    let (Some(here), Some(there)) = (Namespace::new(), Namespace::new()) else { return };
    cable(
        End { network: &here, card: "near", addresses: &["192.0.2.2/24"] },
        End { network: &there, card: "far", addresses: &["192.0.2.1/24"] },
    );
    let hears = async |changes: &mut Changes, span| tokio::time::timeout(span, changes.next()).await.is_ok();
    let story = async {
        let mut changes = Changes::watch().unwrap();
        for change in [
            "address add 192.0.2.3/24 dev near",
            "address del 192.0.2.3/24 dev near",
            "address add 2001:db8::3/64 dev near nodad",
            "route add default via 192.0.2.1",
            "route del default via 192.0.2.1",
            "-6 route add default via 2001:db8::1",
            "link set near down",
            "link set near up",
        ] {
            // One change comes as several events, and a line that is new sends some of its own.
            while hears(&mut changes, Duration::from_millis(700)).await {}
            here.ip(change);
            assert!(hears(&mut changes, Duration::from_secs(5)).await, "{change}");
        }
        while hears(&mut changes, Duration::from_secs(2)).await {}
        assert!(!hears(&mut changes, Duration::from_millis(500)).await, "nothing changed");
    };
    here.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(story);
    });
}
