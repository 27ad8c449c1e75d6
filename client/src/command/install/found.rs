//! What is found on this machine and in a configuration, as far as installing wants to know it.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::Surroundings;
use super::steps::run;
use crate::platform;
use crate::settings;
use crate::task::fitness::{self, KeyPlace};
use crate::task::place::{Place, Standing};
use crate::task::{Call, Scheduler, Unfit, schtasks};

/// A path of another system as we see it.
///
/// # Errors
/// When it leads out of that system, by `..` or by a link on the way: a link means another file here than there.
pub(super) fn inside(root: Option<&Path>, path: &Path) -> Result<PathBuf, Unfit> {
    let Some(root) = root else { return Ok(path.to_owned()) };
    let inner = root.join(path.strip_prefix("/").unwrap_or(path));
    let there = inner.ancestors().find(|part| part.symlink_metadata().is_ok()).unwrap_or(root);
    let stays = |real: PathBuf| fs::canonicalize(root).is_ok_and(|root| real.starts_with(root));
    if is_straight(path) && (!root.exists() || fs::canonicalize(there).is_ok_and(stays)) {
        return Ok(inner);
    }
    let what = format!("{} leads out of {}", path.display(), root.display());
    Err(Unfit::new(what, "name it without `..`, and let no link on the way lead out of the folder that --root names"))
}

/// Where a configuration has its key from and what it names as state file, relative paths taken as `config` means
/// them. What the file does not say, or not rightly, is told when it is loaded.
pub(super) fn places(config: &Path, readable: &Path, root: Option<&Path>) -> (KeyPlace, Option<String>) {
    let text = fs::read_to_string(readable).unwrap_or_default();
    let table = DeTable::parse(&text).map(toml::Spanned::into_inner).unwrap_or_default();
    let value = |name: &str| match table.get(name).map(toml::Spanned::get_ref) {
        Some(DeValue::String(text)) => Some(text.to_string()),
        Some(_) | None => None,
    };
    let beside = |path: String| config.parent().unwrap_or(Path::new("")).join(path).display().to_string();
    let key = match (value("key_file").map(beside), value("key_env")) {
        (Some(file), _) => {
            let text = inside(root, Path::new(&file)).map(fs::read_to_string);
            let text = text.unwrap_or_else(|_| Ok(String::new())).unwrap_or_default();
            if fitness::is_for_a_person(&text) { KeyPlace::SealedForPerson(file) } else { KeyPlace::File(file) }
        }
        (None, Some(name)) => KeyPlace::Environment(name),
        (None, None) => KeyPlace::Config,
    };
    (key, value("state_file").map(beside))
}

/// What `--purge` finds.
#[derive(Default)]
pub(super) struct Leftovers {
    /// Files to delete: the configuration, and what it names. Never a folder.
    pub(super) files: Vec<PathBuf>,
    /// Folders of ours to delete with all that is in them. No configuration names these.
    pub(super) folders: Vec<PathBuf>,
    /// Folders that the configuration names, and what it names elsewhere: it is not for a configuration to choose what an administrator deletes.
    pub(super) left: Vec<PathBuf>,
}

/// What `--purge` deletes: configuration and key; where the program has run, state and log too. Below `root` nothing
/// has run, and what its configuration names is looked for in it and never here.
pub(super) fn leftovers(
    config: &Path,
    root: Option<&Path>,
    place: &Place,
    around: &Surroundings<'_>,
) -> Result<Leftovers, Unfit> {
    let readable = inside(root, config)?;
    let state_folder = own_state_folder(config, root, place);
    let named = named(config, &readable, root, place, around)?;
    let is_ours = |path: &PathBuf| {
        let parent = path.parent().filter(|_| is_straight(path));
        let is_folder = path.symlink_metadata().is_ok_and(|about| about.is_dir());
        let may_choose = !around.machine.is_elevated()
            || parent
                .is_some_and(|parent| Some(parent) == readable.parent() || Some(parent) == state_folder.as_deref());
        may_choose && !is_folder
    };
    let (mut files, left): (Vec<_>, Vec<_>) = named.into_iter().partition(is_ours);
    files.insert(0, readable);
    let mut folders: Vec<PathBuf> = state_folder.into_iter().collect();
    if place.state_folder().is_some() && root.is_none() {
        // With an account of its own the service's folder is a link into `private`.
        folders.push("/var/lib/private/nicgate-client".into());
    }
    Ok(Leftovers { files, folders, left })
}

/// Our folder for the state of what is scheduled, if it has one: fixed, whatever a configuration says.
fn own_state_folder(config: &Path, root: Option<&Path>, place: &Place) -> Option<PathBuf> {
    match place {
        _ if root.is_some() => None,
        Place::Launchd(_) | Place::Systemd(..) => place.state_folder().map(PathBuf::from),
        Place::TaskScheduler(_) => config.parent().and_then(platform::state_folder),
    }
}

/// Whether a path says where it is without going back up.
pub(super) fn is_straight(path: &Path) -> bool {
    !path.components().any(|part| part == Component::ParentDir)
}

/// The files that a configuration names, or would have by default.
fn named(
    config: &Path,
    readable: &Path,
    root: Option<&Path>,
    place: &Place,
    around: &Surroundings<'_>,
) -> Result<Vec<PathBuf>, Unfit> {
    let (key, _) = places(config, readable, root);
    let mut paths = Vec::new();
    if let KeyPlace::File(key) | KeyPlace::SealedForPerson(key) = key {
        paths.push(inside(root, Path::new(&key))?);
    }
    if root.is_some() {
        return Ok(paths);
    }
    // One that does not load any more does not say where these are.
    if let Ok(loaded) = settings::load(config, &environment(place, around)) {
        let with_endings = |path: PathBuf, endings: &[&str]| {
            let name = |ending: &&str| [path.as_os_str(), ending.as_ref()].into_iter().collect::<OsString>().into();
            endings.iter().map(name).collect::<Vec<PathBuf>>()
        };
        let (state, log) = (loaded.settings.state_file, loaded.settings.log);
        let endings = ["", ".lock", ".takeover", ".resident", ".new", ".damaged"];
        paths.extend(state.into_iter().flat_map(|state| with_endings(state, &endings)));
        paths.extend(log.into_iter().flat_map(|log| with_endings(log.path, &["", ".1", ".2", ".3"])));
    }
    Ok(paths)
}

/// The environment as far as it matters to settings, seen from what is scheduled: with its state folder.
pub(in crate::command) fn environment(place: &Place, around: &Surroundings<'_>) -> impl Fn(&str) -> Option<String> {
    let folder = place.state_folder();
    move |name| match name {
        "STATE_DIRECTORY" if folder.is_some() => folder.map(str::to_owned),
        name => (around.environment)(name),
    }
}

/// Who and where we are.
pub(in crate::command) fn standing(around: &Surroundings<'_>) -> Standing {
    let folder = |name: &str| (around.environment)(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user_id = match around.scheduler {
        Scheduler::Launchd => said_by(around, "/usr/bin/id", &["-u"]),
        Scheduler::Systemd | Scheduler::TaskScheduler => None,
    };
    Standing {
        is_elevated: around.machine.is_elevated(),
        home: folder("HOME"),
        config_home: folder("XDG_CONFIG_HOME"),
        user_id,
        programs: platform::programs_folder(),
    }
}

/// The person who installs: by identifier on Windows; elsewhere nobody asks.
pub(super) fn whoever_installs(around: &Surroundings<'_>) -> String {
    if around.scheduler != Scheduler::TaskScheduler {
        return "me".to_owned();
    }
    let whoami = format!("{}\\whoami.exe", platform::programs_folder().display());
    let said = said_by(around, &whoami, &["/user", "/fo", "csv", "/nh"]);
    said.and_then(|said| schtasks::who(&said)).unwrap_or_else(|| {
        let variable = |name: &str| (around.environment)(name).unwrap_or_default();
        format!("{}\\{}", variable("USERDOMAIN"), variable("USERNAME"))
    })
}

fn said_by(around: &Surroundings<'_>, program: &str, words: &[&str]) -> Option<String> {
    let said = run(&Call::new(program, words), around).ok()?;
    (said.exit_code == 0).then(|| said.output.trim().to_owned())
}

/// Folders that are emptied now and then, and those below which people's own lie.
pub(super) fn folders(around: &Surroundings<'_>) -> (Vec<String>, Vec<String>) {
    let set = |name: &&str| (around.environment)(name).filter(|value| !value.is_empty());
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let mut temporary: Vec<String> = ["TMPDIR", "TEMP", "TMP"].iter().filter_map(set).collect();
    temporary.extend(around.machine.temporary_folders().iter().map(|folder| folder.display().to_string()));
    let homes = match around.scheduler {
        Scheduler::TaskScheduler => {
            // Ours lies beside the others'; but that of the system itself lies elsewhere.
            let ours = set(&"USERPROFILE");
            let beside = ours.as_deref().and_then(|ours| ours.rsplit_once('\\')).map(|(folder, _)| folder.to_owned());
            let drive = set(&"SystemDrive").unwrap_or_else(|| "C:".to_owned());
            beside.into_iter().chain([format!("{drive}\\Users")]).collect()
        }
        Scheduler::Systemd => texts(&["/home", "/root", "/run/user"]),
        Scheduler::Launchd => texts(&["/Users"]),
    };
    (temporary, homes)
}
