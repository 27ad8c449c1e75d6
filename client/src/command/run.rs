//! `run`: the resident client. It looks at its interval and whenever the system says that an address or a route
//! changed, and again soon after a failure that may pass. It reads its files anew each time.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::command::update::{Role, When, update};
use crate::command::{Speaker, environment};
use crate::outside::Outside;
use crate::platform::{Changes, Interface, service};
use crate::report::{Ending, Report};
use crate::schedule::pace;
use crate::settings::{self, Loaded, Settings};
use crate::state::{Opened, ResidentLock, State};
use crate::trouble::{Failed, Trouble};
use crate::{clock, detect, entropy};

/// A change of one address comes as several events, and a new line needs a moment: look when they have ended.
const SETTLE: Duration = Duration::from_secs(2);
/// Events that never end do not make us look more often.
const LEAST: Duration = Duration::from_secs(10);
/// When another instance is at work, look again soon.
const BUSY: Duration = Duration::from_secs(15);
/// How often, and after which pauses, the lock of a resident client that is just ending is tried for.
const ENDING: (u32, Duration) = (5, Duration::from_millis(200));

/// Looks after the names until it is told to stop.
///
/// # Errors
/// When the system gives no random bytes, or the state file cannot be used.
pub async fn run(path: &Path, loaded: Loaded, speaker: &Speaker) -> Result<u8, Trouble> {
    let mut settings = loaded.settings;
    let Some(mut lock) = take_lock(&settings).await? else {
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
    let (mut failures, mut complaint) = (0_u32, String::new());
    service::notify_ready();
    loop {
        let begun = Instant::now();
        let seen = detect::interfaces().ok();
        let before = State::peek(&settings).last().cloned();
        let round = update(&settings, When::IfDue, Role::Resident(settings.interval), outside);
        let ended = tokio::select! {
            ended = round => ended,
            () = &mut stop => break,
            () = &mut alive => break,
        };
        speaker.log(&settings, "resident", outside.now(), &ended, before.as_ref());
        let is_well = ended.as_ref().is_ok_and(|report| report.exit_code() == 0);
        failures = if is_well { 0 } else { failures + 1 };
        let (rest, quiet) = rest(&settings, &ended, failures, outside.number()?);
        speaker.say_round(&ended, rest);

        tokio::select! {
            () = sleep_until(Instant::now() + rest) => {}
            () = changed(&mut changes, seen, begun + LEAST.max(quiet)) => {}
            () = &mut stop => break,
            () = &mut alive => break,
        }
        // Read anew each time: the key or the authority beside it may have been replaced.
        match settings::load(path, &environment) {
            Ok(loaded) => {
                if loaded.settings.state_file != settings.state_file {
                    match take_lock(&loaded.settings).await? {
                        Some(other) => lock = other,
                        None => continue,
                    }
                }
                settings = loaded.settings;
                complaint.clear();
            }
            Err(mistakes) => {
                let said = mistakes.to_string();
                if said != complaint {
                    speaker.warn(&format!("the configuration stays as it was: {said}"));
                }
                complaint = said;
            }
        }
    }
    leave(&settings);
    drop(lock);
    speaker.say("told to stop");
    Ok(0)
}

/// The lock of the one resident client. One that is just ending, or an update that only looks whether there is one,
/// holds it for a moment.
async fn take_lock(settings: &Settings) -> Result<Option<ResidentLock>, Trouble> {
    for _ in 0..ENDING.0 {
        if let Some(lock) = ResidentLock::take(settings)? {
            return Ok(Some(lock));
        }
        sleep(ENDING.1).await;
    }
    Ok(None)
}

/// How long to rest after a look, and how long not to look at all, whatever changes.
fn rest(settings: &Settings, ended: &Result<Report, Failed>, failures: u32, dice: u32) -> (Duration, Duration) {
    let interval = settings.interval;
    match ended {
        Ok(Report { ending: Ending::Busy, .. }) => (BUSY, Duration::ZERO),
        Ok(report) => {
            let quiet = report.quiet().unwrap_or_default();
            match report.another_try() {
                Some(wish) => (pace::next_look(failures, interval, wish, dice), quiet),
                // All is well, or somebody has to change something before another try can help.
                None => (interval.max(quiet), quiet),
            }
        }
        Err(failed) if failed.trouble.may_pass() => (pace::next_look(failures, interval, None, dice), Duration::ZERO),
        Err(_) => (interval, Duration::ZERO),
    }
}

/// Waits until the interfaces are others than those `seen`: systems tell of every renewed lifetime, too.
async fn changed(changes: &mut Option<Changes>, seen: Option<Vec<Interface>>, not_before: Instant) {
    let Some(changes) = changes else { return std::future::pending().await };
    loop {
        changes.next().await;
        let deadline = Instant::now() + 5 * SETTLE;
        while Instant::now() < deadline && timeout(SETTLE, changes.next()).await.is_ok() {}
        if detect::interfaces().ok() != seen {
            return sleep_until(not_before).await;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::{Heard, HostResult, Verdict};
    use crate::report::Sent;
    use crate::schedule::Why;
    use nicgate_protocol::{AddressSet, DeviceId, Hostname, ReturnCode};

    fn answered(verdict: Verdict, quiet: u64) -> Result<Report, Failed> {
        let hostname = Hostname::parse("a.home.test").unwrap();
        let results = vec![HostResult { hostname, code: ReturnCode::NineOneOne, verdict }];
        let retry_after = (quiet > 0).then(|| Duration::from_secs(quiet));
        let (device, gateway) = (DeviceId::parse("laptop").unwrap(), String::new());
        let heard = Heard { results, retry_after };
        let sent = Sent { device, gateway, addresses: AddressSet::EMPTY, why: Why::Asked, heard };
        Ok(Report::without_work(Ending::Sent(sent)))
    }

    #[test]
    fn the_resident_hammers_nobody() {
        let text = "gateway = \"https://g.example\"\ndevice = \"a\"\nhosts = [\"a.example\"]\nkey_env = \"K\"\n";
        let loaded = settings::read(Path::new("/c.toml"), text, &|name| (name == "K").then(|| "k".repeat(43)));
        let settings = loaded.unwrap_or_else(|mistakes| panic!("{mistakes}")).settings;
        let seconds = |ended| {
            let (rest, quiet) = rest(&settings, &ended, 1, 0);
            (rest.as_secs(), quiet.as_secs())
        };
        let interval = settings.interval.as_secs();
        assert_eq!(seconds(answered(Verdict::Done, 0)), (interval, 0));
        assert_eq!(seconds(answered(Verdict::Refused, 0)), (interval, 0), "trying again soon would not help");
        assert_eq!(seconds(answered(Verdict::ProviderRefused, 900)), (900, 900), "the gateway's wish is heeded");
        assert_eq!(seconds(answered(Verdict::NotNow, 30)), (30, 30));
        assert_eq!(seconds(answered(Verdict::Unconfirmed, 0)), (1, 0));
        assert_eq!(seconds(Err(Trouble::Unanswered(Vec::new()).into())), (1, 0));
        assert_eq!(seconds(Err(Trouble::NoDice.into())), (interval, 0));
        assert_eq!(seconds(Ok(Report::without_work(Ending::Busy))), (BUSY.as_secs(), 0));
    }
}
