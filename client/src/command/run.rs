//! `run`: the resident client. It looks at its interval and whenever the system says that an address or a route
//! changed, and again soon after a failure. It reads its file anew when that changes.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use crate::command::update::{Role, When, update};
use crate::command::{Speaker, environment};
use crate::outside::Outside;
use crate::platform::{Changes, service};
use crate::report::Ending;
use crate::schedule::pace;
use crate::settings::{self, Loaded, Settings};
use crate::state::{Opened, ResidentLock, State};
use crate::trouble::Trouble;
use crate::{clock, entropy};

/// A change of one address comes as several events, and a new line needs a moment: look when they have ended.
const SETTLE: Duration = Duration::from_secs(2);
/// Events that never end do not make us look more often.
const LEAST: Duration = Duration::from_secs(10);
/// When another instance is at work, look again soon.
const BUSY: Duration = Duration::from_secs(15);

/// Looks after the names until it is told to stop.
///
/// # Errors
/// When the system gives no random bytes, or the state file cannot be used.
pub async fn run(path: &Path, loaded: Loaded, speaker: &Speaker) -> Result<u8, Trouble> {
    let mut settings = loaded.settings;
    let Some(_lock) = ResidentLock::take(&settings)? else {
        speaker.warn("another resident client is at work with the same state file");
        return Ok(1);
    };
    let mut changes = match Changes::watch() {
        Ok(changes) => Some(changes),
        Err(fault) => {
            speaker.warn(&format!("the system does not tell of changed addresses ({fault}): only the interval counts"));
            None
        }
    };
    let outside = Outside::of_system();
    let mut stop = std::pin::pin!(async {
        if let Err(fault) = service::asked_to_stop().await {
            speaker.warn(&format!("the system does not tell when to stop: {fault}"));
            std::future::pending::<()>().await;
        }
    });
    let mut alive = std::pin::pin!(service::keep_alive());
    let mut written = modified(path);
    let mut failures: u32 = 0;
    service::notify_ready();
    loop {
        let begun = Instant::now();
        let round = update(&settings, When::IfDue, Role::Resident(settings.interval), outside);
        let ended = tokio::select! {
            ended = round => ended,
            () = &mut stop => break,
            () = &mut alive => break,
        };
        speaker.log(settings.log.as_ref(), "resident", outside.now(), &ended, failures == 0);
        let dice = outside.number()?;
        let rest = match &ended {
            Ok(report) if matches!(report.ending, Ending::Busy) => BUSY,
            Ok(report) => {
                failures = if report.exit_code() == 0 { 0 } else { failures + 1 };
                pace::next_look(failures, settings.interval, report.another_try().flatten(), dice)
            }
            Err(_) => {
                failures += 1;
                pace::next_look(failures, settings.interval, None, dice)
            }
        };
        speaker.say_round(&ended, rest);

        let next = begun.max(Instant::now()) + rest;
        tokio::select! {
            () = sleep_until(next) => {}
            () = changed(&mut changes, begun) => {}
            () = &mut stop => break,
            () = &mut alive => break,
        }
        if modified(path) != written {
            written = modified(path);
            match settings::load(path, &environment) {
                Ok(loaded) => {
                    settings = loaded.settings;
                    speaker.say("the configuration was read anew");
                }
                Err(mistakes) => speaker.warn(&format!("the configuration stays as it was: {mistakes}")),
            }
        }
    }
    leave(&settings);
    speaker.say("told to stop");
    Ok(0)
}

/// Waits for a change of an address or route, until the events have settled.
async fn changed(changes: &mut Option<Changes>, begun: Instant) {
    let Some(changes) = changes else { return std::future::pending().await };
    changes.next().await;
    let deadline = Instant::now() + 5 * SETTLE;
    while Instant::now() < deadline && tokio::time::timeout(SETTLE, changes.next()).await.is_ok() {}
    sleep_until(begun + LEAST).await;
}

/// Takes the heartbeat out of the state, so that a scheduled update knows that it is alone. If that fails, the
/// heartbeat gets old by itself.
fn leave(settings: &Settings) {
    let nonce = entropy::throw().map(entropy::nonce).unwrap_or_default();
    if let Ok(Opened::Ours(mut state, _)) = State::open(settings, &nonce, clock::now(), Duration::from_secs(10)) {
        state.note_resident(None);
        let _ = state.close();
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|about| about.modified()).ok()
}
