use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Command;

use super::*;

/// A machine of paper: notes every call, answers from a table by the first word after the program, else with nothing.
struct Paper {
    calls: RefCell<Vec<String>>,
    answers: BTreeMap<&'static str, (i32, &'static str)>,
    is_elevated: bool,
    asked: RefCell<Option<Vec<OsString>>>,
    exposed: Option<PathBuf>,
}

impl Paper {
    fn new(is_elevated: bool, answers: &[(&'static str, (i32, &'static str))]) -> Self {
        let answers = answers.iter().copied().collect();
        Self { calls: RefCell::default(), answers, is_elevated, asked: RefCell::default(), exposed: None }
    }
}

impl Machine for Paper {
    fn run(&self, program: &Path, words: &[OsString]) -> io::Result<Output> {
        let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let first = words.first().map(String::as_str).unwrap_or_default();
        if first == "/create" {
            let bytes = fs::read(&words[2]).unwrap();
            assert!(
                bytes.starts_with(&[0xff, 0xfe]) && bytes.len().is_multiple_of(2),
                "the file is there during the call"
            );
        }
        let (code, output) = self.answers.get(first).copied().unwrap_or_default();
        let program = program.display().to_string();
        let program = program.rsplit(['/', '\\']).next().unwrap().to_owned();
        self.calls.borrow_mut().push(format!("{program} {}", words.join(" ")));
        Ok(Output { status: ended_with(code), stdout: output.into(), stderr: Vec::new() })
    }

    fn is_elevated(&self) -> bool {
        self.is_elevated
    }

    fn run_elevated(&self, words: &[OsString]) -> io::Result<u32> {
        *self.asked.borrow_mut() = Some(words.to_vec());
        Ok(0)
    }

    fn keep_events(&self, is_wanted: bool) -> io::Result<()> {
        self.calls.borrow_mut().push(format!("events {is_wanted}"));
        Ok(())
    }

    fn exposed(&self, _path: &Path) -> Option<PathBuf> {
        self.exposed.clone()
    }

    fn temporary_folders(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn restrict(&self, path: &Path, readers: Readers) -> io::Result<()> {
        self.calls.borrow_mut().push(format!("restrict {} {readers:?}", path.display()));
        Ok(())
    }
}

/// An exit status can only be had from a process.
fn ended_with(code: i32) -> std::process::ExitStatus {
    let (shell, option) = if std::env::consts::OS == "windows" { ("cmd", "/c") } else { ("sh", "-c") };
    Command::new(shell).args([option, &format!("exit {code}")]).status().unwrap()
}

/// A folder with a configuration that loads; gone afterwards.
struct Folder(PathBuf);

impl Folder {
    /// `None`, and a word about it, where paths are not those of the scheduler that the test is about.
    fn new(name: &str, scheduler: Scheduler) -> Option<Self> {
        if (std::path::MAIN_SEPARATOR == '\\') != (scheduler == Scheduler::TaskScheduler) {
            eprintln!("skipped: paths are others here");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("nicgate-install-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("etc/nicgate")).unwrap();
        let text = "gateway = \"https://g.example\"\ndevice = \"laptop\"\nhosts = [\"a.example.com\"]\nkey_file = \"laptop.key\"\n";
        fs::write(folder.join("etc/nicgate/client.toml"), text).unwrap();
        fs::write(folder.join("etc/nicgate/laptop.key"), "k".repeat(43)).unwrap();
        Some(Self(folder))
    }

    fn config(&self) -> PathBuf {
        self.0.join("etc/nicgate/client.toml")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Asked<'a> {
    scheduler: Scheduler,
    exe: &'a str,
    environment: &'a [(&'a str, &'a str)],
}

impl Asked<'_> {
    fn around<T>(&self, machine: &dyn Machine, act: impl FnOnce(&Surroundings<'_>) -> T) -> (T, Vec<String>) {
        let said = RefCell::new(Vec::new());
        let environment =
            |name: &str| self.environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let say = |line: &str| said.borrow_mut().push(line.to_owned());
        let exe = PathBuf::from(self.exe);
        let ended =
            act(&Surroundings { scheduler: self.scheduler, exe, environment: &environment, machine, say: &say });
        (ended, said.into_inner())
    }
}

const LINUX: Asked<'_> = Asked { scheduler: Scheduler::Systemd, exe: "/usr/bin/nicgate-client", environment: &[] };

fn order(config: PathBuf) -> InstallOrder {
    let every = crate::task::EVERY;
    InstallOrder { config, every, who: None, resident: false, scope: Scope::Natural, root: None, is_dry: false }
}

fn removal(root: Option<PathBuf>) -> UninstallOrder {
    UninstallOrder { config: None, scope: Scope::Natural, root, is_purge: false, is_dry: false }
}

/// The failure, which there must be.
fn failure(ended: Result<(), Failure>) -> Failure {
    ended.expect_err("this should fail")
}

#[test]
fn what_is_installed_for_a_person_goes_again_without_a_trace() {
    let Some(folder) = Folder::new("user", Scheduler::Systemd) else { return };
    let home = folder.0.to_str().unwrap();
    let asked = Asked { environment: &[("HOME", home)], ..LINUX };
    let paper = Paper::new(false, &[]);
    let with_both = InstallOrder { resident: true, ..order(folder.config()) };
    let (ended, said) = asked.around(&paper, |around| install(&with_both, around));
    ended.unwrap();
    assert!(said.last().unwrap().contains("enable-linger"), "{said:?}");
    let units = folder.0.join(".config/systemd/user");
    let text = fs::read_to_string(units.join("nicgate-client.service")).unwrap();
    assert!(text.contains("etc/nicgate/client.toml update --scheduled\n") && !text.contains("DynamicUser"), "{text}");
    assert!(units.join("nicgate-client-resident.service").exists());
    let calls = paper.calls.take().join("\n");
    assert!(calls.contains("systemctl --user enable nicgate-client.timer"), "{calls}");

    asked.around(&paper, |around| install(&order(folder.config()), around)).0.unwrap();
    assert!(!units.join("nicgate-client-resident.service").exists(), "it is not wanted any more");

    asked.around(&paper, |around| uninstall(&removal(None), around)).0.unwrap();
    assert_eq!(fs::read_dir(&units).unwrap().count(), 0);
    assert!(folder.config().exists(), "the configuration stays");
    let (again, _) = asked.around(&paper, |around| uninstall(&removal(None), around));
    assert!(matches!(failure(again), Failure::Nothing));
}

#[test]
fn an_image_is_installed_into_from_outside() {
    let Some(folder) = Folder::new("image", Scheduler::Systemd) else { return };
    let paper = Paper::new(false, &[]);
    let root = Some(folder.0.clone());
    let image = InstallOrder { root: root.clone(), ..order("/etc/nicgate/client.toml".into()) };
    LINUX.around(&paper, |around| install(&image, around)).0.unwrap();
    let text = fs::read_to_string(folder.0.join("etc/systemd/system/nicgate-client.service")).unwrap();
    for line in [
        "ExecStart=/usr/bin/nicgate-client --config /etc/nicgate/client.toml update --scheduled\n",
        "LoadCredential=laptop.key:/etc/nicgate/laptop.key\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    let purge = UninstallOrder { config: Some(image.config), is_purge: true, ..removal(root) };
    let (ended, said) = LINUX.around(&paper, |around| uninstall(&purge, around));
    ended.unwrap();
    assert!(said.iter().any(|line| line.ends_with("etc/nicgate/laptop.key")), "what is deleted is named: {said:?}");
    assert!(!folder.config().exists() && !folder.0.join("etc/nicgate/laptop.key").exists());
}

#[cfg(unix)]
#[test]
fn nothing_in_an_image_leads_out_of_it() {
    for (name, key_file, link) in [
        ("up", "../../../outside.key", None),
        ("link", "laptop.key", Some(("etc/nicgate/laptop.key", "/etc/hostname"))),
        ("folder", "laptop.key", Some(("etc/systemd", "/tmp"))),
        ("nowhere", "laptop.key", Some(("etc/systemd", "/there/is/no/such/folder"))),
    ] {
        let Some(folder) = Folder::new(&format!("image-{name}"), Scheduler::Systemd) else { return };
        let text = fs::read_to_string(folder.config()).unwrap();
        fs::write(folder.config(), text.replace("laptop.key", key_file)).unwrap();
        if let Some((from, to)) = link {
            let _ = fs::remove_file(folder.0.join(from));
            std::os::unix::fs::symlink(to, folder.0.join(from)).unwrap();
        }
        let paper = Paper::new(true, &[]);
        let root = Some(folder.0.clone());
        let image = InstallOrder { root: root.clone(), ..order("/etc/nicgate/client.toml".into()) };
        let refused = failure(LINUX.around(&paper, |around| install(&image, around)).0);
        assert!(refused.exit_code() == 2 && refused.to_string().contains("leads out of"), "{name}: {refused}");
        let purge = UninstallOrder { config: Some(image.config), is_purge: true, ..removal(root) };
        let refused = failure(LINUX.around(&paper, |around| uninstall(&purge, around)).0);
        assert!(refused.to_string().contains("leads out of"), "{name}: {refused}");
        assert!(paper.calls.take().is_empty() && folder.config().exists());
    }
}

#[test]
fn a_service_of_the_system_runs_nothing_that_others_may_change() {
    let Some(folder) = Folder::new("exposed", Scheduler::Systemd) else { return };
    let paper = Paper { exposed: Some("/opt".into()), ..Paper::new(true, &[]) };
    let order = InstallOrder { scope: Scope::System, is_dry: true, ..order(folder.config()) };
    let refused = failure(LINUX.around(&paper, |around| install(&order, around)).0);
    assert!(refused.exit_code() == 2 && refused.to_string().contains("others than root may change /opt"), "{refused}");
    assert!(paper.calls.take().is_empty());
}

#[test]
fn a_purge_of_an_image_leaves_our_own_files_alone() {
    let Some(folder) = Folder::new("purge", Scheduler::Systemd) else { return };
    let ours = folder.0.join("ours.key");
    fs::write(&ours, "x").unwrap();
    let text = fs::read_to_string(folder.config()).unwrap();
    fs::write(folder.config(), text.replace("laptop.key", ours.to_str().unwrap())).unwrap();
    let theirs = folder.0.join(ours.strip_prefix("/").unwrap());
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, "x").unwrap();
    let config = Some("/etc/nicgate/client.toml".into());
    let purge = UninstallOrder { config, is_purge: true, ..removal(Some(folder.0.clone())) };
    LINUX.around(&Paper::new(false, &[]), |around| uninstall(&purge, around)).0.unwrap();
    assert!(ours.exists() && !theirs.exists() && !folder.config().exists());
}

#[test]
fn no_configuration_chooses_what_an_administrator_deletes() {
    for (name, key_file, is_there) in [
        ("elsewhere", "../../precious/file", true),
        ("above", "../nicgate/laptop.key", true),
        ("beside", "laptop.key", false),
    ] {
        let Some(folder) = Folder::new(&format!("purge-{name}"), Scheduler::Systemd) else { return };
        let key = folder.config().parent().unwrap().join(key_file);
        fs::create_dir_all(folder.0.join("precious")).unwrap();
        fs::write(&key, "k".repeat(43)).unwrap();
        let text = fs::read_to_string(folder.config()).unwrap();
        fs::write(folder.config(), text.replace("laptop.key", key_file)).unwrap();
        let asked = Asked { environment: &[("HOME", folder.0.to_str().unwrap())], ..LINUX };
        let config = Some(folder.config());
        let purge = UninstallOrder { config, is_purge: true, scope: Scope::User, ..removal(None) };
        let (ended, said) = asked.around(&Paper::new(true, &[]), |around| uninstall(&purge, around));
        ended.unwrap();
        assert_eq!(key.exists(), is_there, "{name}");
        assert_eq!(said.iter().any(|line| line.starts_with("left, ")), is_there, "{said:?}");
        assert!(!folder.config().exists());
    }
}

#[test]
fn a_folder_that_a_configuration_names_stays_whoever_asks() {
    for (key_file, is_elevated) in [(".", false), ("sub", false), ("sub", true), (".", true)] {
        let Some(folder) = Folder::new("purge-folder", Scheduler::Systemd) else { return };
        let sub = folder.config().parent().unwrap().join("sub");
        fs::create_dir(&sub).unwrap();
        fs::write(sub.join("precious"), "x").unwrap();
        let text = fs::read_to_string(folder.config()).unwrap();
        fs::write(folder.config(), text.replace("laptop.key", key_file)).unwrap();
        let asked = Asked { environment: &[("HOME", folder.0.to_str().unwrap())], ..LINUX };
        let config = Some(folder.config());
        let purge = UninstallOrder { config, is_purge: true, scope: Scope::User, ..removal(None) };
        let (ended, said) = asked.around(&Paper::new(is_elevated, &[]), |around| uninstall(&purge, around));
        ended.unwrap();
        assert!(sub.join("precious").exists(), "{key_file}: {said:?}");
    }
}

#[test]
fn a_purge_deletes_configuration_key_state_and_log_and_names_them() {
    let Some(folder) = Folder::new("purge-here", Scheduler::Systemd) else { return };
    let asked = Asked { environment: &[("HOME", folder.0.to_str().unwrap())], ..LINUX };
    let nicgate = folder.config().parent().unwrap().to_owned();
    for name in ["client.state.json", "client.state.json.lock", "client.log", "client.log.1", "others.txt"] {
        fs::write(nicgate.join(name), "").unwrap();
    }
    let purge = UninstallOrder { config: Some(folder.config()), is_purge: true, ..removal(None) };
    let (ended, said) = asked.around(&Paper::new(false, &[]), |around| uninstall(&purge, around));
    ended.unwrap();
    let left: Vec<_> = fs::read_dir(&nicgate).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["others.txt"]);
    assert_eq!(said.iter().filter(|line| line.starts_with("deleted: ")).count(), 6, "{said:?}");
}

#[test]
fn nothing_is_changed_without_the_right_to() {
    let Some(folder) = Folder::new("sudo", Scheduler::Systemd) else { return };
    let paper = Paper::new(false, &[]);
    let for_the_system = InstallOrder { scope: Scope::System, who: Some(Who::System), ..order(folder.config()) };
    let (ended, _) = LINUX.around(&paper, |around| install(&for_the_system, around));
    let Failure::Denied(_, cure) = failure(ended) else { panic!("rights are missing") };
    assert!(
        cure.starts_with("sudo /usr/bin/nicgate-client --config /") && cure.ends_with("--as system --system"),
        "{cure}"
    );
    assert_eq!(paper.calls.take(), [""; 0]);
}

#[test]
fn a_dry_run_shows_everything_and_does_nothing() {
    let Some(folder) = Folder::new("dry", Scheduler::Systemd) else { return };
    let asked = Asked { environment: &[("HOME", folder.0.to_str().unwrap())], ..LINUX };
    let paper = Paper::new(false, &[]);
    let dry = InstallOrder { is_dry: true, ..order(folder.config()) };
    let (ended, said) = asked.around(&paper, |around| install(&dry, around));
    ended.unwrap();
    let said = said.join("\n");
    for part in ["nicgate-client.timer\n[Unit]", "run systemctl --user enable nicgate-client.timer"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(paper.calls.take().is_empty() && !folder.0.join(".config").exists());
}

#[test]
fn a_configuration_that_does_not_load_is_told_before_anything_happens() {
    let Some(folder) = Folder::new("broken", Scheduler::Systemd) else { return };
    fs::write(folder.config(), "gatewy = 1\n").unwrap();
    let asked = Asked { environment: &[("HOME", folder.0.to_str().unwrap())], ..LINUX };
    let paper = Paper::new(false, &[]);
    let failure = failure(asked.around(&paper, |around| install(&order(folder.config()), around)).0);
    assert!(failure.exit_code() == 2 && failure.to_string().contains("gatewy"), "{failure}");
    assert!(paper.calls.take().is_empty());
}

#[test]
fn a_call_that_fails_is_told_with_its_words_and_nothing_follows_it() {
    let Some(folder) = Folder::new("fails", Scheduler::Systemd) else { return };
    let asked = Asked { environment: &[("HOME", folder.0.to_str().unwrap())], ..LINUX };
    let paper = Paper::new(false, &[("--user", (1, "Failed to connect\nto bus"))]);
    let failure = failure(asked.around(&paper, |around| install(&order(folder.config()), around)).0);
    let Failure::Call(call, words) = &failure else { panic!("{failure}") };
    assert_eq!(
        (call.as_str(), words.as_str()),
        ("systemctl --user daemon-reload", "Failed to connect to bus (exit code 1)")
    );
    assert_eq!(paper.calls.take().len(), 1);
}

/// On Windows itself: an order goes through to calls of `schtasks.exe`, and its paths with it.
#[test]
fn task_scheduler_is_told_what_an_administrator_installs() {
    let Some(folder) = Folder::new("windows", Scheduler::TaskScheduler) else { return };
    let windows = [("SystemRoot", "C:\\Windows"), ("USERPROFILE", "C:\\users\\ana")];
    let asked = Asked { scheduler: Scheduler::TaskScheduler, exe: "C:\\Program Files\\n.exe", environment: &windows };
    let me = || InstallOrder { who: Some(Who::Me), ..order(folder.config()) };
    let answers = [("/user", (0, "\"pc\\ana\",\"S-1-5-21-7\"\r\n")), ("/query", (0x8007_0002_u32.cast_signed(), ""))];

    let unelevated = Paper::new(false, &answers);
    let (ended, said) = asked.around(&unelevated, |around| install(&me(), around));
    ended.unwrap();
    assert!(said[0].contains("Windows will ask"), "{said:?}");
    let words = unelevated.asked.take().unwrap();
    assert!(words.ends_with(&["--as".into(), "S-1-5-21-7".into()]), "{words:?}");

    let paper = Paper::new(true, &answers);
    asked.around(&paper, |around| install(&me(), around)).0.unwrap();
    let calls = paper.calls.take();
    let created = calls.iter().find(|call| call.contains("/create")).unwrap();
    assert!(created.ends_with(r"/tn \nicgate-update /f"), "{created}");
    assert!(calls.iter().any(|call| call == "events true"), "{calls:?}");
    let file = created.split(' ').nth(3).unwrap();
    assert!(!Path::new(file).exists(), "the file is gone after the call: {file}");

    let (again, _) = asked.around(&paper, |around| uninstall(&removal(None), around));
    assert!(matches!(failure(again), Failure::Nothing), "Task Scheduler says that there is none");
    let service = InstallOrder { who: Some(Who::Service), ..me() };
    let refused = failure(asked.around(&paper, |around| install(&service, around)).0);
    assert!(refused.to_string().contains("LOCAL SERVICE may not read"), "{refused}");
}

#[test]
fn whoever_made_the_machines_folder_loses_it_with_every_file_that_we_know() {
    let here = if std::path::MAIN_SEPARATOR == '\\' { Scheduler::TaskScheduler } else { Scheduler::Systemd };
    let Some(folder) = Folder::new("claims", here) else { return };
    let nicgate = folder.config().parent().unwrap().to_owned();
    let state = nicgate.join("state");
    let mut settings = settings::load(&folder.config(), &|_| None).unwrap_or_else(|why| panic!("{why}")).settings;
    settings.state_file = Some(state.join("client.state.json"));
    settings.log = None;
    for (account, reads, writes) in
        [(Account::Service, "Service", "ServiceWriter"), (Account::System, "Administrators", "Administrators")]
    {
        let plan = Plan::new("n".into(), folder.config(), account);
        let paper = Paper::new(true, &[]);
        let claims = claims(&plan, &settings, &state).unwrap();
        LINUX.around(&paper, |around| prepare(&claims, true, around)).0.unwrap();
        LINUX.around(&paper, |around| prepare(&claims, false, around)).0.unwrap();
        let restricted = |path: &Path, readers| format!("restrict {} {readers}", path.display());
        let mut expected = vec![
            restricted(&nicgate, reads),
            restricted(&folder.config(), reads),
            restricted(&nicgate.join("laptop.key"), reads),
            restricted(&state, writes),
        ];
        // From the second time on there is state.
        expected.extend(settings.state_file.iter().filter(|path| path.exists()).map(|path| restricted(path, writes)));
        expected.push("events true".to_owned());
        assert_eq!(paper.calls.take(), expected);
        fs::write(state.join("client.state.json"), "{}").unwrap();
    }
    let me = Plan::new("n".into(), folder.config(), Account::User("me".to_owned()));
    assert!(claims(&me, &settings, &state).unwrap().is_empty());

    let service = Plan { account: Account::Service, ..me };
    settings.key_path = Some(nicgate.join("../elsewhere/laptop.key"));
    let elsewhere = |claim: &Claim| claim.path.ends_with("elsewhere/laptop.key");
    assert!(!claims(&service, &settings, &state).unwrap().iter().any(elsewhere), "what is elsewhere is not ours");
    settings.state_file = Some(nicgate.join("client.state.json"));
    assert!(claims(&service, &settings, &state).is_err_and(|unfit| unfit.cure.contains("leave state_file")));
}

#[test]
fn who_is_read_and_written_the_same() {
    for text in ["me", "service", "system", "S-1-5-21-1-2-3-1001", "PC\\ana"] {
        assert_eq!(text.parse::<Who>().unwrap().to_string(), text);
    }
    assert!("root".parse::<Who>().is_err());
}

#[test]
fn a_person_who_said_me_stays_that_person_when_an_administrator_says_yes() {
    let plan = Plan::new("C:\\n.exe".into(), "C:\\c.toml".into(), Account::User("S-1-5-21-7".to_owned()));
    let order = InstallOrder { who: Some(Who::Me), resident: true, ..order("c.toml".into()) };
    let words: Vec<_> = order.words(&plan).iter().map(|word| word.to_string_lossy().into_owned()).collect();
    assert_eq!(words.join(" "), "--config C:\\c.toml install --every 600s --as S-1-5-21-7 --resident");
}

#[test]
fn words_reach_a_shell_as_they_are() {
    for (word, text) in [("/etc/a.toml", "/etc/a.toml"), ("/a b", "'/a b'"), ("it's", "'it'\\''s'"), ("", "''")] {
        assert_eq!(shell(word), text);
    }
}
