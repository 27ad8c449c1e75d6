//! `update --scheduled`: one run of the system's scheduler. It goes on trying while trying helps, within the time
//! that the file gives it: at boot the network may not be there yet, and nobody is there to start it again.

use tokio::time::{Instant, sleep};

use crate::command::update::{self, Role, When};
use crate::outside::Outside;
use crate::report::Report;
use crate::schedule::pace;
use crate::settings::Settings;
use crate::trouble::Trouble;

/// Updates, and tries again.
///
/// # Errors
/// As [`update::update`]: what the last try met.
pub async fn update(settings: &Settings, when: When, outside: Outside<'_>) -> Result<Report, Trouble> {
    let begun = Instant::now();
    let mut failures = 0;
    loop {
        let ended = update::update(settings, when, Role::Scheduled, outside).await;
        let retry_after = match &ended {
            Ok(report) => match report.another_try() {
                Some(retry_after) => retry_after,
                None => return ended,
            },
            Err(trouble) if trouble.may_pass() => None,
            Err(_) => return ended,
        };
        failures += 1;
        let dice = outside.number()?;
        match pace::another_try(failures, begun.elapsed(), settings.retry_for, retry_after, dice) {
            Some(pause) => sleep(pause).await,
            None => return ended,
        }
    }
}
