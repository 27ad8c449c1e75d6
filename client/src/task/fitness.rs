//! Whether a plan can ever work: told before anything is registered, with the cure. Pure.
//!
//! Most complaints about scheduled clients are of this kind: the program was started by hand once, and fails by itself,
//! because it is started by another account, from another folder, without a desktop.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Account, Plan, Scheduler, Unfit, systemd, text_of};
use crate::settings::key::SEALED;

/// What has to be known about the machine and the configuration.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who will start it.
    pub scheduler: Scheduler,
    /// Whether the definition belongs to the system rather than to a person. On Windows it always does.
    pub is_system: bool,
    /// Folders that are emptied now and then.
    pub temporary: Vec<String>,
    /// Folders below which each person's own lie, as `C:\Users`.
    pub homes: Vec<String>,
    /// Where the configuration has its key from.
    pub key: KeyPlace,
    /// The state file, if the configuration names one: as it is written there.
    pub state_file: Option<String>,
    /// Whether nobody but its owner can read the configuration.
    pub is_config_private: bool,
    /// The program or the configuration of a service of the system, if others than root may change it: and what lets
    /// them. Not looked at on Windows.
    pub exposed: Option<(PathBuf, PathBuf)>,
}

/// Where a key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// It stands in the configuration.
    Config,
    /// In a variable of whoever starts the program.
    Environment(String),
    /// In this file.
    File(String),
    /// In this file, sealed so that only the person who stored it opens it, with that person's password (Windows).
    SealedForPerson(String),
}

/// How seldom and how often Task Scheduler repeats; the others get the same bounds.
const OFTEN: Duration = Duration::from_secs(60);
const SELDOM: Duration = Duration::from_secs(31 * 86_400);

/// Looks through a plan.
///
/// # Errors
/// The first reason why it could never work.
pub fn check(plan: &Plan, facts: &Facts) -> Result<(), Unfit> {
    let (exe, config) = (text_of(&plan.exe)?, text_of(&plan.config)?);
    if plan.every < OFTEN || plan.every > SELDOM {
        return Err(Unfit::new(
            "an update cannot be looked at so often or so seldom",
            "write --every 1m to --every 31d",
        ));
    }
    for path in [exe, config] {
        if !is_absolute(facts.scheduler, path) {
            return Err(Unfit::new(format!("{path} is not a full path"), "give it with its folder"));
        }
    }
    let key = match &facts.key {
        KeyPlace::File(key) | KeyPlace::SealedForPerson(key) => Some(key.as_str()),
        KeyPlace::Config | KeyPlace::Environment(_) => None,
    };
    let files = || [exe, config].into_iter().chain(key);
    let is_in = |path: &str, folders: &[String]| folders.iter().any(|folder| is_below(facts.scheduler, path, folder));
    let move_it = |path: &str| match path == exe {
        true => format!("move the program first, {}", program_place(facts)),
        false => format!("put it into {}", file_place(facts)),
    };
    if let Some(path) = files().find(|path| is_in(path, &facts.temporary)) {
        let what = format!("{path} is in a temporary folder, where others write and which is emptied some day");
        return Err(Unfit::new(what, move_it(path)));
    }
    // Whoever can replace what the system itself runs or reads becomes the system.
    let is_mighty = facts.is_system && (plan.account == Account::System || facts.scheduler == Scheduler::Launchd);
    if let Some(path) = files().find(|path| is_mighty && is_in(path, &facts.homes)) {
        let who = if facts.scheduler == Scheduler::TaskScheduler { "SYSTEM" } else { "root" };
        let what = format!("{path} is among a person's own files; {who} must not run or read what lies there");
        return Err(Unfit::new(what, move_it(path)));
    }
    if let Some((path, by)) = &facts.exposed {
        let (path, by) = (path.display(), by.display());
        let what = format!("others than root may change {by}, and with it what the system runs: {path}");
        return Err(Unfit::new(what, format!("chown root {by}; chmod go-w {by}; or move the file")));
    }
    if let KeyPlace::Environment(name) = &facts.key {
        let what = format!("the key is in the variable {name}, which a scheduled program does not have");
        return Err(Unfit::new(what, "write the key into a file and name it as key_file"));
    }
    match facts.scheduler {
        Scheduler::TaskScheduler => check_windows(plan, facts, exe, config),
        Scheduler::Systemd if facts.is_system => check_system(plan, facts, exe, config),
        Scheduler::Systemd | Scheduler::Launchd if !facts.is_system => check_person(facts, config),
        Scheduler::Systemd | Scheduler::Launchd => Ok(()),
    }
}

/// The state of a configuration of the system's is where the system's programs write.
fn check_person(facts: &Facts, config: &str) -> Result<(), Unfit> {
    if facts.state_file.is_none() && is_below(facts.scheduler, config, "/etc") {
        let what = format!("{config} is the system's, and so is the place of its state: {}", systemd::STATE);
        return Err(Unfit::new(what, "use --system; or copy it to ~/.config/nicgate, or let state_file name your own"));
    }
    Ok(())
}

fn check_windows(plan: &Plan, facts: &Facts, exe: &str, config: &str) -> Result<(), Unfit> {
    let mut files = vec![exe, config];
    match &facts.key {
        KeyPlace::File(key) => files.push(key),
        // S4U gives a task its account without the password, and DPAPI wants the password.
        KeyPlace::SealedForPerson(key) => {
            let what = format!("{key} opens for the person who stored it while logged on, and for no scheduled task");
            return Err(Unfit::new(what, "store the key for the machine: run `nicgate-client init` as administrator"));
        }
        KeyPlace::Config | KeyPlace::Environment(_) => {}
    }
    if let Some(path) = files.iter().find(|path| path.starts_with("\\\\")) {
        let what = format!("{path} is on another machine; a scheduled program has no password to go there");
        return Err(Unfit::new(what, "copy it to a disk of this machine"));
    }
    let in_a_home = |path: &&&str| facts.homes.iter().any(|home| is_below(facts.scheduler, path, home));
    match plan.account {
        Account::User(_) => Ok(()),
        Account::Service => match files.iter().find(in_a_home) {
            None => Ok(()),
            Some(path) if *path == exe => Err(Unfit::new(
                format!("{exe} is among a person's own files, which LOCAL SERVICE may not read"),
                format!("move the program first, {}; or use --as me", program_place(facts)),
            )),
            Some(path) => Err(Unfit::new(
                format!("{path} is among a person's own files, which LOCAL SERVICE may not read"),
                "put it into %ProgramData%\\nicgate (`nicgate-client init` does), or use --as me",
            )),
        },
        Account::System => Ok(()),
    }
}

fn check_system(plan: &Plan, facts: &Facts, exe: &str, config: &str) -> Result<(), Unfit> {
    let in_a_home = |path: &str| facts.homes.iter().any(|home| is_below(facts.scheduler, path, home));
    if in_a_home(exe) {
        let what = format!("{exe} is among a person's own files, which the service does not see");
        return Err(Unfit::new(what, format!("move the program first, {}; or use --user", program_place(facts))));
    }
    if let Some(state) = &facts.state_file
        && !is_below(facts.scheduler, state, systemd::STATE)
    {
        let what = format!("the configuration names {state} as state_file, where the service may not write");
        return Err(Unfit::new(
            what,
            format!("leave state_file out: the service keeps its state in {}", systemd::STATE),
        ));
    }
    match plan.account {
        Account::System => return Ok(()),
        Account::User(_) => {
            let what = "a service of the system does not run as a person";
            return Err(Unfit::new(what, "use --user, or leave --as out: the service gets an account of its own"));
        }
        Account::Service => {}
    }
    if in_a_home(config) {
        let what = format!("{config} is among a person's own files, which the service does not see");
        return Err(Unfit::new(what, "put it into /etc/nicgate, or use --user"));
    }
    if facts.key == KeyPlace::Config {
        let what = format!("{config} holds the key itself, so the account of the service must not read it");
        return Err(Unfit::new(
            what,
            "write the key into a file of its own and name it as key_file; or use --as system",
        ));
    }
    if facts.is_config_private {
        let what = format!("nobody but its owner can read {config}, and the service has an account of its own");
        return Err(Unfit::new(what, format!("chmod 644 {config} (the key is in key_file, which stays as it is)")));
    }
    Ok(())
}

/// Whether the text of a key file is sealed for one person alone. DPAPI's form begins with a version, the provider, the
/// master key's version and its identifier; then come flags. It is published nowhere but has not changed since Windows
/// 2000; what does not name the provider is not judged.
#[must_use]
pub fn is_for_a_person(text: &str) -> bool {
    const PROVIDER: [u8; 16] =
        [0xd0, 0x8c, 0x9d, 0xdf, 0x01, 0x15, 0xd1, 0x11, 0x8c, 0x7a, 0x00, 0xc0, 0x4f, 0xc2, 0x97, 0xeb];
    /// `CRYPTPROTECT_LOCAL_MACHINE`, in the lowest byte of the flags.
    const FOR_THE_MACHINE: u8 = 0x04;
    let sealed = text.trim().strip_prefix(SEALED).and_then(|sealed| STANDARD.decode(sealed).ok());
    let Some(blob) = sealed else { return false };
    blob.get(4..20) == Some(&PROVIDER) && blob.get(40).is_some_and(|flags| flags & FOR_THE_MACHINE == 0)
}

/// Where programs are at home.
fn program_place(facts: &Facts) -> &'static str {
    match facts.scheduler {
        Scheduler::TaskScheduler => "for instance to C:\\Program Files\\nicgate",
        Scheduler::Systemd | Scheduler::Launchd => "for instance to /usr/local/bin",
    }
}

/// Where configurations and keys of the machine are at home.
fn file_place(facts: &Facts) -> &'static str {
    match facts.scheduler {
        Scheduler::TaskScheduler => "%ProgramData%\\nicgate (`nicgate-client init` as administrator does)",
        Scheduler::Systemd if facts.is_system => "/etc/nicgate (`nicgate-client init` as root does)",
        Scheduler::Launchd if facts.is_system => {
            "/Library/Application Support/nicgate (`nicgate-client init` as root does)"
        }
        Scheduler::Systemd | Scheduler::Launchd => "~/.config/nicgate (`nicgate-client init` does)",
    }
}

fn is_absolute(scheduler: Scheduler, path: &str) -> bool {
    match scheduler {
        Scheduler::TaskScheduler => {
            path.starts_with("\\\\")
                || matches!(path.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
        }
        Scheduler::Systemd | Scheduler::Launchd => path.starts_with('/'),
    }
}

/// Whether a path lies below a folder. Windows knows two separators and no difference between great and small letters.
fn is_below(scheduler: Scheduler, path: &str, folder: &str) -> bool {
    if scheduler != Scheduler::TaskScheduler {
        return folder != "/" && Path::new(path).starts_with(folder);
    }
    let plain = |text: &str| text.replace('/', "\\").trim_end_matches('\\').to_lowercase();
    let (path, folder) = (plain(path), plain(folder));
    !folder.is_empty() && path.strip_prefix(&folder).is_some_and(|rest| rest.starts_with('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(scheduler: Scheduler) -> Facts {
        let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (temporary, homes) = match scheduler {
            Scheduler::TaskScheduler => {
                (all(&[r"C:\Users\ana\AppData\Local\Temp", r"C:\Windows\Temp"]), all(&[r"C:\Users"]))
            }
            Scheduler::Systemd | Scheduler::Launchd => (all(&["/tmp", "/var/tmp"]), all(&["/home", "/root"])),
        };
        let key = KeyPlace::File("/etc/nicgate/k".to_owned());
        let (state_file, is_config_private, exposed) = (None, false, None);
        Facts { scheduler, is_system: true, temporary, homes, key, state_file, is_config_private, exposed }
    }

    fn unfit(plan: &Plan, facts: &Facts) -> String {
        check(plan, facts).map_or_else(|unfit| unfit.to_string(), |()| "fit".to_owned())
    }

    const EXE: &str = r"C:\Program Files\nicgate\n.exe";
    const CONFIG: &str = r"C:\ProgramData\nicgate\client.toml";

    #[test]
    fn what_the_account_cannot_read_is_refused_on_windows() {
        let me = || Account::User("S-1-5-21-1".to_owned());
        for (exe, config, account, part) in [
            (EXE, CONFIG, Account::Service, "fit"),
            (EXE, CONFIG, Account::System, "fit"),
            (EXE, r"C:\Users\ana\client.toml", Account::Service, "--as me"),
            (EXE, r"c:\USERS/ana\client.toml", Account::Service, "%ProgramData%"),
            (EXE, r"C:\Users\ana\client.toml", me(), "fit"),
            (r"C:\Users\ana\n.exe", CONFIG, Account::Service, r"C:\Program Files\nicgate"),
            (r"C:\Users\ana\n.exe", CONFIG, Account::System, "SYSTEM must not run"),
            (EXE, r"C:\Users\ana\client.toml", Account::System, "%ProgramData%"),
            (EXE, r"C:\Windows\Temp\client.toml", Account::System, "temporary"),
            (EXE, r"C:\Windows\Temp\client.toml", Account::Service, "temporary"),
            (r"C:\Users\ana\n.exe", CONFIG, me(), "fit"),
            (r"C:\Users\ana\AppData\Local\Temp\n.exe", CONFIG, me(), "temporary"),
            (EXE, r"\\nas\share\client.toml", me(), "another machine"),
            ("n.exe", CONFIG, me(), "full path"),
            (r"C:n.exe", CONFIG, me(), "full path"),
        ] {
            let plan = Plan::new(exe.into(), config.into(), account);
            let said = unfit(&plan, &facts(Scheduler::TaskScheduler));
            assert!(said.contains(part), "{exe}, {config}: {said}");
        }
    }

    #[test]
    fn a_key_that_is_out_of_reach_is_refused() {
        let plan = Plan::new(EXE.into(), CONFIG.into(), Account::Service);
        for (key, part) in [
            (KeyPlace::Environment("KEY".to_owned()), "the variable KEY"),
            (KeyPlace::SealedForPerson(r"C:\ProgramData\nicgate\k".to_owned()), "for the machine"),
            (KeyPlace::File(r"C:\Users\ana\k".to_owned()), r"C:\Users\ana\k is among"),
            (KeyPlace::Config, "fit"),
        ] {
            let said = unfit(&plan, &Facts { key, ..facts(Scheduler::TaskScheduler) });
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn a_key_that_is_sealed_for_a_person_is_known_by_its_flags() {
        let blob = |provider: u8, flags: u8| {
            let mut blob = vec![1, 0, 0, 0, provider, 0x8c, 0x9d, 0xdf, 0x01, 0x15, 0xd1, 0x11, 0x8c, 0x7a, 0x00, 0xc0];
            blob.extend([0x4f, 0xc2, 0x97, 0xeb, 1, 0, 0, 0]);
            blob.extend([0x55; 16]);
            blob.extend([flags, 0, 0, 0, 2, 0]);
            format!("dpapi:{}\n", STANDARD.encode(blob))
        };
        for (text, is_so) in [
            (blob(0xd0, 0), true),
            (blob(0xd0, 4), false),
            (blob(0x57, 0), false),
            ("dpapi:AQAAANCM".to_owned(), false),
            ("dpapi:?".to_owned(), false),
            ("k".repeat(43), false),
        ] {
            assert_eq!(is_for_a_person(&text), is_so, "{text}");
        }
    }

    #[test]
    fn what_a_service_cannot_see_is_refused_under_systemd() {
        let system = facts(Scheduler::Systemd);
        let (exe, config) = ("/usr/bin/nicgate-client", "/etc/nicgate/client.toml");
        let written = |path: &str| Facts { state_file: Some(path.to_owned()), ..system.clone() };
        let with_key = |path: &str| Facts { key: KeyPlace::File(path.to_owned()), ..system.clone() };
        let exposed = Facts { exposed: Some((exe.into(), "/usr/bin".into())), ..system.clone() };
        for (exe, config, account, facts, part) in [
            (exe, config, Account::Service, system.clone(), "fit"),
            ("/home/ana/n", config, Account::Service, system.clone(), "/usr/local/bin"),
            ("/tmp/n", config, Account::Service, system.clone(), "temporary"),
            (exe, "/root/c.toml", Account::Service, system.clone(), "/etc/nicgate"),
            (exe, "/root/c.toml", Account::System, system.clone(), "root must not run or read"),
            (exe, "/var/tmp/c.toml", Account::System, system.clone(), "temporary"),
            (exe, config, Account::System, with_key("/home/ana/k"), "put it into /etc/nicgate"),
            (exe, config, Account::Service, with_key("/tmp/k"), "temporary"),
            (exe, config, Account::Service, exposed.clone(), "chmod go-w /usr/bin"),
            (exe, config, Account::System, exposed, "others than root may change /usr/bin"),
            (exe, config, Account::User("ana".to_owned()), system.clone(), "--user"),
            (exe, config, Account::Service, Facts { key: KeyPlace::Config, ..system.clone() }, "key_file"),
            (exe, config, Account::Service, Facts { is_config_private: true, ..system.clone() }, "chmod 644"),
            (exe, config, Account::Service, written("state.json"), "leave state_file out"),
            (exe, config, Account::Service, written("/var/lib/nicgate-client/s.json"), "fit"),
            ("/home/ana/n", "/home/ana/c", Account::Service, Facts { is_system: false, ..system.clone() }, "fit"),
            ("/home/ana/n", "/etc/n/c", Account::Service, Facts { is_system: false, ..system.clone() }, "--system"),
        ] {
            let said = unfit(&Plan::new(exe.into(), config.into(), account), &facts);
            assert!(said.contains(part), "{exe}, {config}: {said}");
        }
    }

    #[test]
    fn what_root_runs_and_reads_is_nobodys_own_under_launchd() {
        let homes = vec!["/Users".to_owned()];
        let system = Facts { homes, ..facts(Scheduler::Launchd) };
        let (exe, config) = ("/usr/local/bin/nicgate-client", "/Library/Application Support/nicgate/client.toml");
        let own = Facts { is_system: false, ..system.clone() };
        let with_key = Facts { key: KeyPlace::File("/Users/ana/k".to_owned()), ..system.clone() };
        for (exe, config, facts, part) in [
            (exe, config, &system, "fit"),
            ("/Users/ana/n", config, &system, "/usr/local/bin"),
            (exe, "/Users/ana/c.toml", &system, "Application Support"),
            (exe, config, &with_key, "/Users/ana/k is among"),
            ("/Users/ana/n", "/Users/ana/c.toml", &own, "fit"),
        ] {
            let said = unfit(&Plan::new(exe.into(), config.into(), Account::System), facts);
            assert!(said.contains(part), "{exe}, {config}: {said}");
        }
    }

    #[test]
    fn too_often_and_too_seldom_are_refused() {
        let plan = Plan::new("/usr/bin/n".into(), "/etc/c".into(), Account::Service);
        for (seconds, is_fit) in [(59, false), (60, true), (31 * 86_400, true), (32 * 86_400, false)] {
            let plan = Plan { every: Duration::from_secs(seconds), ..plan.clone() };
            assert_eq!(check(&plan, &facts(Scheduler::Systemd)).is_ok(), is_fit, "{seconds}");
        }
    }

    #[test]
    fn below_means_below() {
        use Scheduler::{Systemd, TaskScheduler};
        for (scheduler, path, folder, is_so) in [
            (Systemd, "/home/ana/x", "/home", true),
            (Systemd, "/homestead/x", "/home", false),
            (Systemd, "/home", "/", false),
            (TaskScheduler, r"C:\Users\Ana\x", r"c:/users/", true),
            (TaskScheduler, r"C:\UsersOld\x", r"C:\Users", false),
            (TaskScheduler, r"C:\Users\x", "", false),
        ] {
            assert_eq!(is_below(scheduler, path, folder), is_so, "{path} {folder}");
        }
    }
}
