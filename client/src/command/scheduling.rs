//! `install`, `uninstall` and `status` as the command line asks for them: finds what surrounds them and prints how
//! they end.

use std::fmt::Display;
use std::path::PathBuf;

use super::arguments::Installing;
use super::install::{self, Failure, uninstall as do_uninstall};
use super::install::{InstallOrder, Surroundings, ThisMachine, UninstallOrder, install as do_install};
use super::status::{self, StateView};
use super::{Speaker, environment, print};
use crate::clock;
use crate::platform;
use crate::settings;
use crate::state::State;
use crate::task::place::Scope;
use crate::task::{Scheduler, Unfit};

/// Calls `act` with what surrounds a command here.
pub(super) fn with_surroundings<T>(speaker: &Speaker, act: impl FnOnce(&Surroundings<'_>) -> T) -> Result<T, u8> {
    let exe = std::env::current_exe()
        .map_err(|fault| fail(&format!("the system does not say where this program is: {fault}"), 1))?;
    let say = |text: &str| speaker.say(text);
    let scheduler = Scheduler::of(std::env::consts::OS);
    Ok(act(&Surroundings { scheduler, exe, environment: &environment, machine: &ThisMachine, say: &say }))
}

fn fail(what: &dyn Display, code: u8) -> u8 {
    eprintln!("nicgate-client: {what}");
    code
}

fn ended(result: Result<Result<(), Failure>, u8>) -> u8 {
    match result {
        Ok(Ok(())) => 0,
        Ok(Err(failure)) => fail(&failure, failure.exit_code()),
        Err(code) => code,
    }
}

/// The configuration that was named, or the one that is found.
fn config(named: Option<PathBuf>, root: Option<&PathBuf>) -> Result<PathBuf, u8> {
    match (named, root) {
        (Some(path), _) => Ok(path),
        (None, Some(_)) => Ok(platform::system_folder().join("client.toml")),
        (None, None) => settings::locate(&environment).map_err(|mistakes| fail(&mistakes, 2)),
    }
}

/// The one configuration that is deleted without being named: the person's own, where Windows does not ask for an
/// administrator to delete it, or the system's.
fn usual_config(scope: Scope) -> PathBuf {
    let is_person = scope != Scope::System && !platform::is_elevated();
    let is_own = is_person && Scheduler::of(std::env::consts::OS) != Scheduler::TaskScheduler;
    let own = is_own.then(|| platform::own_folder(&environment)).flatten();
    own.unwrap_or_else(platform::system_folder).join("client.toml")
}

pub(super) fn install(named: Option<PathBuf>, wanted: Installing, speaker: &Speaker) -> u8 {
    let config = match config(named, wanted.root.as_ref()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let Installing { every, who, resident, scope, root, is_dry } = wanted;
    let order = InstallOrder { config, every, who, resident, scope, root, is_dry };
    ended(with_surroundings(speaker, |around| do_install(&order, around)))
}

pub(super) fn uninstall(named: Option<PathBuf>, wanted: UninstallOrder, speaker: &Speaker) -> u8 {
    // What is deleted is never what happens to lie in the folder one is in.
    let config = named.or_else(|| wanted.is_purge.then(|| usual_config(wanted.scope)));
    let order = UninstallOrder { config, ..wanted };
    ended(with_surroundings(speaker, |around| do_uninstall(&order, around)))
}

pub(super) fn status(named: Option<PathBuf>, scope: Scope, speaker: &Speaker) -> u8 {
    let looked = with_surroundings(speaker, |around| {
        let place = status::place(scope, around)?;
        let path = named.map_or_else(|| settings::locate(&environment), Ok);
        // What is scheduled has its state where its scheduler puts it. Without a configuration it can be told still.
        let state = match path.and_then(|path| settings::load(&path, &install::environment(&place, around))) {
            Ok(loaded) => StateView::of(&State::peek(&loaded.settings), &loaded.settings, clock::now()),
            Err(mistakes) => StateView::without_settings(&mistakes.to_string()),
        };
        Ok::<_, Unfit>(status::look(&place, state, around))
    });
    match looked {
        Ok(Ok(status)) => {
            print(&if speaker.is_json { status.json().to_string() } else { status.to_string() });
            status.exit_code()
        }
        Ok(Err(unfit)) => fail(&unfit, 2),
        Err(code) => code,
    }
}
