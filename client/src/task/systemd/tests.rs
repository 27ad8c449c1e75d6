use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::task::tests::{golden, skipped};

fn plan(exe: &str, config: &str) -> Plan {
    Plan { resident: true, ..Plan::new(exe.into(), config.into(), Account::Service) }
}

/// The units of a plan by name.
fn units(plan: &Plan, manager: &Manager) -> Vec<(String, String)> {
    let key = Path::new("/etc/nicgate/laptop.key");
    let steps = install(plan, manager, Path::new(""), Some(key)).unwrap();
    let written = steps.into_iter().filter_map(|step| match step {
        Step::Write(path, text) => Some((path.display().to_string(), text)),
        Step::Remove(_) | Step::Run(_) => None,
    });
    written.collect()
}

/// A folder that is gone afterwards, also when the test fails.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("nicgate-units-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program of systemd's; `None`, and a word about it, where there is none.
fn systemd(program: &str, words: &[&str], folder: &Path) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    // A user's manager, even one that only verifies, wants a folder to run in.
    command.args(words).current_dir(folder).env("XDG_RUNTIME_DIR", folder);
    match command.output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
        }
        Err(_) => {
            skipped(program);
            None
        }
    }
}

#[test]
fn units_are_those_of_the_golden_files() {
    let plan = plan("/usr/local/bin/nicgate-client", "/etc/nicgate/client.toml");
    for (name, text) in units(&plan, &Manager::System) {
        golden(&name, &text);
    }
    for (name, text) in units(&plan, &Manager::User) {
        golden(&format!("user-{name}"), &text);
    }
}

#[test]
fn systemd_takes_the_units_also_where_paths_need_quotes() {
    let Some(_) = systemd("systemd-analyze", &["--version"], Path::new(".")) else { return };
    for (number, name) in ["nicgate-client", "nic gate 100%", "a$b %h {x};", "Ünï 名前"].iter().enumerate() {
        let folder = Folder::new(&format!("verify-{number}"));
        let exe = folder.0.join(name);
        // Verifying looks whether the program can be started, so a path that is misread is found out.
        fs::copy("/bin/true", &exe).unwrap();
        for manager in [Manager::System, Manager::User] {
            let plan = plan(exe.to_str().unwrap(), "/etc/nic gate/$a%b\\c\".toml");
            for (name, text) in units(&plan, &manager) {
                fs::write(folder.0.join(name), text).unwrap();
            }
            let user = if manager == Manager::User { "--user" } else { "--system" };
            let words = ["verify", user, "--man=no", "nicgate-client.timer", "nicgate-client-resident.service"];
            let Some((is_fine, said)) = systemd("systemd-analyze", &words, &folder.0) else { return };
            assert!(is_fine && !said.contains("nicgate-client"), "{name}, {user}: {said}");
        }
        fs::remove_file(&exe).unwrap();
        let Some((is_fine, said)) = systemd("systemd-analyze", &["verify", "nicgate-client.service"], &folder.0) else {
            return;
        };
        assert!(!is_fine && said.contains("not executable"), "a missing program should be found: {said}");
    }
}

#[test]
fn system_services_expose_next_to_nothing() {
    let folder = Folder::new("security");
    for (name, text) in units(&plan("/bin/true", "/etc/nicgate/client.toml"), &Manager::System) {
        fs::write(folder.0.join(name), text).unwrap();
    }
    for unit in ["nicgate-client.service", "nicgate-client-resident.service"] {
        // In tenths: 1.5 of 10, where 10 is a service without any protection.
        let words = ["security", "--offline=yes", "--threshold=15", "--no-pager", unit];
        let Some((is_fine, said)) = systemd("systemd-analyze", &words, &folder.0) else { return };
        assert!(is_fine, "{said}");
    }
}

#[test]
fn an_image_gets_its_units_switched_on_and_off() {
    let image = Folder::new("image");
    let folder = image.0.join("etc/systemd/system");
    let manager = Manager::Offline(image.0.clone());
    fs::create_dir_all(&folder).unwrap();
    let plan = plan("/usr/bin/nicgate-client", "/etc/nicgate/client.toml");
    let perform = |steps: Vec<Step>| {
        for step in steps {
            match step {
                Step::Write(path, text) => fs::write(path, text).unwrap(),
                Step::Remove(path) => fs::remove_file(path).unwrap(),
                Step::Run(call) => {
                    let words: Vec<&str> = call.words.iter().map(String::as_str).collect();
                    let (is_fine, said) = systemd("systemctl", &words, &image.0)?;
                    assert!(is_fine, "{call}: {said}");
                }
            }
        }
        Some(())
    };
    let Some(()) = perform(install(&plan, &manager, &folder, None).unwrap()) else { return };
    let wanted = [
        folder.join("timers.target.wants/nicgate-client.timer"),
        folder.join("multi-user.target.wants/nicgate-client-resident.service"),
    ];
    assert!(wanted.iter().all(|link| link.is_symlink()));
    for job in Job::BOTH {
        perform(uninstall(job, &manager, &folder)).unwrap();
    }
    assert!(!wanted.iter().any(|link| link.is_symlink()));
    assert!(!Job::BOTH.iter().flat_map(|job| files(*job, &folder)).any(|file| file.exists()));
}

#[test]
fn words_of_a_command_line_are_escaped() {
    for (word, as_argument, as_program) in [
        ("/etc/nicgate/client.toml", "/etc/nicgate/client.toml", Some("/etc/nicgate/client.toml")),
        ("/a b", "\"/a b\"", Some("\"/a b\"")),
        ("/100%", "/100%%", Some("/100%%")),
        ("/a$b", "/a$$b", Some("/a$b")),
        ("/${HOME}", "\"/$${HOME}\"", Some("\"/${HOME}\"")),
        ("/a\"b", "\"/a\\\"b\"", None),
        ("/a\\b", "\"/a\\\\b\"", None),
        ("/it's", "\"/it's\"", None),
        (";", "\";\"", Some("\";\"")),
        ("/Ünï/名", "/Ünï/名", Some("/Ünï/名")),
    ] {
        assert_eq!((argument(word).as_str(), program(word).ok().as_deref()), (as_argument, as_program));
    }
}

#[test]
fn the_key_is_handed_over_under_its_own_name() {
    for (path, line) in [
        ("/etc/nicgate/laptop.key", "LoadCredential=laptop.key:/etc/nicgate/laptop.key\n"),
        ("/etc/nic gate/100%/k.cred", "LoadCredentialEncrypted=k.cred:/etc/nic gate/100%%/k.cred\n"),
    ] {
        assert_eq!(credential(Path::new(path)).as_deref(), Ok(line));
    }
    for path in ["/etc/a:b", "/etc/a b", "/etc/ü", "/etc/"] {
        assert!(credential(Path::new(path)).is_err(), "{path}");
    }
    let root = Plan { account: Account::System, ..plan("/bin/true", "/etc/c.toml") };
    assert!(!units(&root, &Manager::System).iter().any(|(_, text)| text.contains("LoadCredential")));
}

#[test]
fn an_answer_tells_the_timer_and_the_last_run() {
    let show = |service: &str| {
        format!(
            "Id=nicgate-client.timer\nLoadState=loaded\nActiveState=active\n\nId=nicgate-client.service\n{service}\n"
        )
    };
    let timers = "Mon 2026-11-23 04:01:00 UTC 4min 2s left Mon 2026-11-23 03:51:00 UTC 5min ago nicgate-client.timer\n";
    let ran = "ExecMainExitTimestamp=Mon 2026-11-23 03:51:02 UTC\nSubState=dead\n";
    for (service, part, is_fine) in [
        (format!("{ran}Result=success\nExecMainStatus=0"), "good", true),
        (format!("{ran}Result=exit-code\nExecMainStatus=5"), "refused", false),
        (format!("{ran}Result=exit-code\nExecMainStatus=203"), "could not start it (203)", false),
        (format!("{ran}Result=timeout\nExecMainStatus=15"), "time limit", false),
        ("ExecMainExitTimestamp=\nSubState=dead\nResult=success".to_owned(), "not run yet", true),
        ("SubState=start\nResult=success".to_owned(), "running now", true),
    ] {
        let Answer::There(Some(told)) = answer(Job::Update, 0, &show(&service), timers, "") else {
            panic!("{service}")
        };
        let last = told.last.unwrap();
        assert!(last.words.contains(part) && last.is_fine == is_fine, "{service}: {last:?}");
        assert_eq!((told.is_on, told.next_run.as_deref()), (Some(true), Some("Mon 2026-11-23 04:01:00 UTC")));
    }
    let missing = "Id=nicgate-client.timer\nLoadState=not-found\nActiveState=inactive\n\nId=nicgate-client.service\n";
    assert_eq!(answer(Job::Update, 0, missing, "", ""), Answer::Missing);
    let no_systemd = answer(Job::Update, 1, "", "", "System has not been booted\nwith systemd");
    assert_eq!(no_systemd, Answer::Unclear("System has not been booted with systemd".to_owned()));
    assert_eq!(next("- - Mon 2026-11-23 03:51:00 UTC 5min ago nicgate-client.timer"), None);
}
