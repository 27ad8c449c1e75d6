//! `update --scheduled`: one run of the system's scheduler. It goes on trying while trying helps, within the time
//! that the file gives it: at boot the network may not be there yet, and nobody is there to start it again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::command::update::{self, Role, When};
use crate::outside::Outside;
use crate::report::Report;
use crate::schedule::pace;
use crate::settings::Settings;
use crate::trouble::Failed;

/// How long the last try may go on after `retry_for`. The scheduler's own limit lies behind it.
pub const LAST_TRY: Duration = Duration::from_secs(45);

/// Updates, and tries again.
///
/// # Errors
/// As [`update::update`]: what the last try met.
pub async fn update(settings: &Settings, when: When, outside: Outside<'_>) -> Result<Report, Failed> {
    let begun = Instant::now();
    let mut failures = 0;
    let mut notes = Vec::new();
    loop {
        let left = (settings.retry_for + LAST_TRY).saturating_sub(begun.elapsed());
        let mut ended = update::update(settings, when, Role::Scheduled(left), outside).await;
        let said = match &mut ended {
            Ok(report) => &mut report.notes,
            Err(failed) => &mut failed.notes,
        };
        // What a try that came to nothing had to say is said with the last one.
        said.retain(|note| !notes.contains(note));
        notes.append(said);
        let retry_after = match &ended {
            Ok(report) => report.another_try(),
            Err(failed) => failed.trouble.may_pass().then_some(None),
        };
        failures += 1;
        let pause = match (retry_after, outside.number()) {
            (Some(retry_after), Ok(dice)) => {
                pace::another_try(failures, begun.elapsed(), settings.retry_for, retry_after, dice)
            }
            (None, _) | (_, Err(_)) => None,
        };
        match pause {
            Some(pause) => sleep(pause).await,
            None => {
                return match ended {
                    Ok(report) => Ok(Report { notes, ..report }),
                    Err(failed) => Err(Failed { notes, ..failed }),
                };
            }
        }
    }
}
