//! A new configuration: read when its file changes or somebody asks, put in force as a whole, or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Gateway;
use super::follow::{fill, zone_heads};
use crate::config::{self, Settings, Stamp};
use crate::desk::Departure;
use crate::log::{Level, Log, Value};
use crate::reconciler::Reconciler;
use crate::upkeep;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reads the configuration again when its file changes, or when somebody asks. A bad file changes nothing.
pub(super) async fn watch_configuration(gateway: Arc<Gateway>, file: PathBuf, mut reloads: watch::Receiver<()>) {
    // Not the file that is there now: it may have changed since it was read.
    let mut seen = gateway.desk.settings.load().stamp;
    loop {
        let is_asked = tokio::select! {
            asked = reloads.changed() => asked.is_ok(),
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let stamp = Stamp::of(&file);
        if !is_asked && stamp == seen {
            continue;
        }
        seen = stamp;
        reload(&gateway, &file).await;
    }
}

async fn reload(gateway: &Gateway, file: &Path) {
    let log = &gateway.log;
    let settings = match config::load(file, &|name| std::env::var(name).ok()) {
        Ok(settings) => Arc::new(settings),
        Err(mistakes) => {
            for mistake in &mistakes.0 {
                log.say(Level::Error, "configuration_mistake", &mistake.to_string(), &[]);
            }
            log.say(
                Level::Error,
                "configuration_kept",
                "the configuration has mistakes; the one before stays in force",
                &[],
            );
            return;
        }
    };
    let before = gateway.desk.settings.load_full();
    if let Err(error) = configure(&gateway.reconciler, &settings) {
        log.say(Level::Error, "configuration_kept", &format!("{error}; the configuration before stays in force"), &[]);
        return;
    }
    let departures = gateway.desk.configure(Arc::clone(&settings)).await;
    tell_departures(log, &departures);
    let zones = Arc::clone(&gateway.zones);
    let store = Arc::clone(&gateway.desk.store);
    let in_force = Arc::clone(&settings);
    // Between two commits, so that no commit is overtaken by what was there before it.
    gateway.desk.store.between_commits(move || {
        zones.configure(zone_heads(&in_force));
        fill(&in_force, &zones, &store);
    });
    upkeep::expect_all(&gateway.desk);
    for what in before.needs_restart(&settings) {
        let text = format!("{what} changed; that takes effect at the next start");
        log.say(Level::Warn, "restart_needed", &text, &[]);
    }
    for warning in &settings.warnings {
        log.say(Level::Warn, "configuration_warning", &warning.to_string(), &[]);
    }
    log.say(Level::Info, "configured", "the configuration was read again and is in force", &[]);
}

/// Tells which devices left the configuration file.
pub(super) fn tell_departures(log: &Log, departures: &[Departure]) {
    for departure in departures {
        let fields = [("device", Value::Text(departure.id.as_str()))];
        match &departure.recorded {
            Ok(()) if departure.has_left => {
                let text = "it stands in the file no more; should it come back, then with other secrets";
                log.say(Level::Warn, "device_left", text, &fields);
            }
            Ok(()) => {}
            Err(fault) => {
                let text = format!("{fault}; that the device left the file, or came back to it, is not recorded");
                log.say(Level::Error, fault.error_code(), &text, &fields);
            }
        }
    }
}

/// Gives the reconciler the providers and zones of a configuration.
pub(super) fn configure(reconciler: &Reconciler, settings: &Settings) -> Result<(), String> {
    reconciler
        .configure(Arc::clone(&settings.policy), &settings.providers)
        .map_err(|(name, bad)| format!("the provider \"{name}\": {}: {}", bad.key, bad.why))
}
