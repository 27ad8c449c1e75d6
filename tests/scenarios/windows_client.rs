//! The client's program for Windows at work, under Wine: it updates a real gateway over TLS, from a folder with a name
//! as people give them and a configuration as Notepad writes it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nicgate_tests::program::{Served, Site};
use nicgate_tests::wine::Wine;
use nicgate_tests::{configuration_text, dig, run, text};
use serde_json::Value;

const HOST: &str = "laptop.home.test";
const HERE: &str = "192.0.2.7";
const ELSEWHERE: &str = "192.0.2.8";

/// A gateway, and a folder of a Windows client beside its own.
struct Scene {
    wine: Wine,
    site: Site,
    gateway: Option<Served>,
    https: SocketAddr,
}

impl Scene {
    /// `None`, with a word about it, where there is no Wine.
    fn new(name: &str) -> Option<Self> {
        let wine = Wine::find()?;
        let https = free_address();
        let site = Site::new(name, &sections(&[https]));
        let gateway = Some(site.serve());
        // In the second of its start a gateway cannot tell a second signed update of a host from an older one.
        std::thread::sleep(Duration::from_millis(1100));
        let scene = Self { wine, site, gateway, https };
        fs::create_dir(scene.file("")).unwrap();
        fs::write(scene.file("laptop.key"), scene.site.key("laptop")).unwrap();
        scene.configure(HERE, "");
        Some(scene)
    }

    /// A file of the client's.
    fn file(&self, name: &str) -> PathBuf {
        self.site.folder().join("Bücher & Co").join(name)
    }

    /// Writes the client's configuration; `more` goes at its end.
    fn configure(&self, address: &str, more: &str) {
        self.write(&format!(
            "gateway = \"https://{}\"\nca_file = '..\\ca.crt'\nipv4 = \"{address}\"\n{more}",
            self.https
        ));
    }

    /// Writes a configuration as Notepad does: with a byte order mark, and two letters at the end of a line.
    fn write(&self, text: &str) {
        let text =
            format!("device = \"laptop\"\nkey_file = '.\\laptop.key'\nhosts = [\"{HOST}\"]\ntimeout = \"3s\"\n{text}");
        fs::write(self.file("client.toml"), format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    }

    fn client(&self, words: &str) -> Command {
        let mut command = self.wine.command(self.wine.client());
        command.arg("--config").arg(self.wine.path(&self.file("client.toml"))).args(words.split(' '));
        command
    }

    /// Runs the client; gives its exit code and everything it said.
    fn ask(&self, words: &str) -> (i32, String) {
        let output = run(&mut self.client(words));
        (output.status.code().unwrap(), text(&output))
    }

    fn serve(&mut self, listen: &[SocketAddr]) {
        self.gateway = None;
        fs::write(self.site.configuration(), configuration_text(&sections(listen))).unwrap();
        self.gateway = Some(self.site.serve());
        std::thread::sleep(Duration::from_millis(1100));
    }

    fn gateway(&self) -> &Served {
        self.gateway.as_ref().unwrap()
    }

    /// What the gateway's name server says.
    fn published(&self) -> Vec<String> {
        dig(self.gateway().dns[0], HOST, "A")
    }

    /// How many updates the gateway has heard.
    fn updates(&self) -> usize {
        // Lines of the log wait for at most a tenth of a second.
        std::thread::sleep(Duration::from_millis(150));
        self.gateway().log().iter().filter(|line| line["event"] == "update").count()
    }

    /// The state file, which is whole whenever one looks.
    fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file("client.state.json")).unwrap()).unwrap()
    }

    /// The client's log, line by line.
    fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file("client.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn sections(listen: &[SocketAddr]) -> String {
    let listen: Vec<String> = listen.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "listen = [{}]\n[[provider]]\nname = \"lab\"\ntype = \"embedded\"\n\
         [[zone]]\nname = \"home.test\"\nproviders = [\"lab\"]\naddresses = \"any\"\n\
         [[device]]\nid = \"laptop\"\nhosts = [\"{HOST}\"]\n",
        listen.join(", ")
    )
}

/// A loopback address with a port that nobody uses, for whoever comes back to it later.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Waits for something that another process does.
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..300 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited in vain: {what}");
}

/// A client that was started and goes on. Killed when dropped.
struct Started(Child);

impl Started {
    fn new(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_update_is_in_the_dns_and_what_the_gateway_knows_is_not_sent_again() {
    let Some(scene) = Scene::new("windows-update") else { return };
    assert_eq!(scene.ask("update"), (0, format!("{HOST}: good {HERE}\n")), "this line and nothing else");
    assert_eq!(scene.published(), [HERE]);

    let (code, said) = scene.ask("update");
    assert!(code == 0 && said.starts_with(&format!("nothing to do: the gateway acknowledged {HERE} ")), "{said}");
    assert_eq!(scene.updates(), 1);

    scene.configure(ELSEWHERE, "");
    assert_eq!(scene.ask("update"), (0, format!("{HOST}: good {ELSEWHERE}\n")));
    assert_eq!((scene.published(), scene.updates()), (vec![ELSEWHERE.to_owned()], 2));

    let outcomes: Vec<Value> = scene.log().iter_mut().map(|line| line["outcome"].take()).collect();
    assert_eq!(outcomes, ["sent", "nothing_to_do", "sent"]);
    assert_eq!(scene.state()["hosts"][0]["ipv4"], ELSEWHERE);
    let mut left: Vec<String> =
        fs::read_dir(scene.file("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["client.log", "client.state.json", "client.state.json.lock", "client.toml", "laptop.key"]);
}

#[test]
fn a_wrong_key_and_a_gateway_that_is_gone_are_told_apart_and_with_their_cures() {
    let Some(mut scene) = Scene::new("windows-trouble") else { return };
    let key = fs::read_to_string(scene.file("laptop.key")).unwrap();
    fs::write(scene.file("laptop.key"), "TMXYMpMRxDQBdZRC6o8NNl9Ym-raN3GbmvvOE4e56dg").unwrap();
    let (code, said) = scene.ask("update");
    assert!(code == 5 && said.contains("badauth") && said.contains("`nicgate device show laptop`"), "{said}");
    assert!(scene.published().is_empty());

    fs::write(scene.file("laptop.key"), format!("\u{feff}{key}\r\n")).unwrap();
    scene.gateway = None;
    let (code, said) = scene.ask("update");
    assert!(code == 4 && said.contains(&format!("no answer from https://{}: ", scene.https)), "{said}");
    assert!(said.contains("the next run tries again"), "{said}");
    let outcomes: Vec<Value> = scene.log().iter_mut().map(|line| line["exit_code"].take()).collect();
    assert_eq!(outcomes, [5, 4]);

    let https = scene.https;
    scene.serve(&[https]);
    let (code, said) = scene.ask("update");
    assert!(code == 0 && said.starts_with(&format!("{HOST}: good {HERE}\n")), "{said}");
    assert!(said.contains("answers again, after "), "{said}");
}

#[test]
fn an_authority_that_nobody_knows_is_refused_and_the_cure_named() {
    let Some(scene) = Scene::new("windows-authority") else { return };
    scene.write(&format!("gateway = \"https://{}\"\nipv4 = \"{HERE}\"\n", scene.https));
    let (code, said) = scene.ask("update");
    assert!(code == 4 && said.contains("name its certificate in `ca_file`"), "{said}");
    assert_eq!(scene.updates(), 0);
}

#[test]
fn the_second_gateway_is_told_while_the_first_is_silent_and_the_first_again_when_it_is_back() {
    let Some(mut scene) = Scene::new("windows-two-gateways") else { return };
    let (first, second) = (free_address(), scene.https);
    let configure = |scene: &Scene, address: &str| {
        scene.write(&format!(
            "gateway = [\"https://{first}\", \"https://{second}\"]\nca_file = '..\\ca.crt'\nipv4 = \"{address}\"\n"
        ));
    };
    configure(&scene, HERE);
    let (code, said) = scene.ask("update");
    assert!(code == 0 && said.contains(&format!("good {HERE}")), "{said}");
    assert!(said.contains(&format!("warning: https://{first}: no answer: ")), "{said}");
    assert!(said.contains("the next gateway was told"), "{said}");
    assert_eq!(scene.published(), [HERE]);

    scene.serve(&[first, second]);
    // It is left alone for a minute: only the clock is helped along.
    let mut state = scene.state();
    state["silent"][0]["until"] = 1000.into();
    fs::write(scene.file("client.state.json"), state.to_string()).unwrap();
    configure(&scene, ELSEWHERE);
    let (code, said) = scene.ask("update");
    assert!(code == 0 && said.contains(&format!("https://{first} answers again")), "{said}");
    assert_eq!(scene.log()[1]["gateway"], format!("https://{first}"));
    assert_eq!(scene.published(), [ELSEWHERE]);
}

#[test]
fn of_several_instances_one_works_and_the_others_say_so() {
    let Some(mut scene) = Scene::new("windows-several") else { return };
    scene.gateway = None;
    // The gateway's port takes connections and nobody answers them.
    let mute = TcpListener::bind(scene.https).unwrap();
    let mut hanging = Started::new(scene.client("update"));
    wait_until("the claim", || scene.file("client.state.json").exists() && scene.state()["claim"].is_object());
    let (code, said) = scene.ask("update");
    assert_eq!(code, 0, "{said}");
    assert_eq!(said, "nothing done: another nicgate-client is at work with the same state file\n");
    drop(mute);
    assert_eq!(hanging.0.wait().unwrap().code(), Some(4));

    let https = scene.https;
    scene.serve(&[https]);
    let words: Vec<(i32, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| scene.ask("update --force"))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(words.iter().all(|(code, _)| *code == 0), "{words:?}");
    assert!(words.iter().any(|(_, said)| said.contains(HERE)), "{words:?}");
    assert!(scene.state()["hosts"][0]["heard"] != "" && scene.state()["claim"].is_null());
    assert_eq!(scene.published(), [HERE]);
}

#[test]
fn the_resident_client_reads_its_changed_file_and_leaves_nothing_wrong_behind_when_killed() {
    let Some(scene) = Scene::new("windows-resident") else { return };
    scene.configure(HERE, "interval = \"1s\"\n");
    let resident = Started::new(scene.client("run"));
    wait_until("the first address", || scene.published() == [HERE]);
    let (code, said) = scene.ask("run");
    assert!(code == 1 && said.contains("another resident client is at work"), "{said}");
    scene.configure(ELSEWHERE, "interval = \"1s\"\n");
    wait_until("the address of the changed file", || scene.published() == [ELSEWHERE]);
    drop(resident);
    let (code, said) = scene.ask("update");
    assert!(code == 0 && said.starts_with("nothing to do: the gateway acknowledged"), "{said}");
}

#[test]
fn detect_lists_interfaces_with_its_reasons() {
    let Some(scene) = Scene::new("windows-detect") else { return };
    scene.configure("interface", "");
    // Who is asked besides need not answer here.
    let (code, table) = scene.ask("detect");
    let loopback = table.lines().find(|line| line.contains(" 127.0.0.1 ")).unwrap_or_else(|| panic!("{table}"));
    assert!(loopback.starts_with('-') && loopback.contains("loopback"), "{table}");
    assert!(code == 0 || code == 3 && table.ends_with("nothing would be sent\n"), "{table}");

    let output = run(&mut scene.client("detect --json"));
    let view: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code));
    assert!(view["found"].as_array().unwrap().iter().any(|found| found["address"] == "127.0.0.1"), "{view}");
}

#[test]
fn tasks_are_made_and_taken_away_again() {
    let Some(scene) = Scene::new("windows-tasks") else { return };
    let _alone = scene.wine.scheduler();
    let _ = scene.ask("uninstall");
    for round in ["first", "second"] {
        let (code, said) = scene.ask("install --as me");
        assert_eq!(code, 0, "{round}: {said}");
    }
    // Wine keeps no task that one could look at; but what was installed is known.
    let (_, said) = scene.ask("status");
    assert!(said.contains(&format!("{HOST}: no gateway has acknowledged it yet")), "{said}");
    let (code, said) = scene.ask("uninstall");
    assert_eq!(code, 0, "{said}");
    let (code, said) = scene.ask("uninstall");
    assert!(code == 1 && said.contains("nothing"), "{said}");
}
