//! How a command's order is carried out: by the running gateway, or, when none is running, here and now.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::control;
use crate::clock::Clock;
use crate::command::{Common, FAILED, complain};
use crate::config::{self, Settings};
use crate::desk::{Desk, DeskError, Order, Report};
use crate::store::StoreError;

/// How often a command tries again while a gateway is starting or stopping.
const TRIES: u32 = 20;
/// How long it waits in between.
const PAUSE: Duration = Duration::from_millis(100);

/// Finds and reads the configuration, or says what is wrong with it.
pub(super) fn settings(given: Option<&PathBuf>) -> Result<(PathBuf, Settings), u8> {
    let Some(path) = config::find(given.map(PathBuf::as_path)) else {
        complain("no configuration: give --config FILE, or put one at ./nicgate.toml or /etc/nicgate/gateway.toml");
        return Err(FAILED);
    };
    match config::load(&path, &|name| std::env::var(name).ok()) {
        Ok(settings) => Ok((path, settings)),
        Err(mistakes) => {
            complain(&format!("the configuration has mistakes\n{mistakes}"));
            Err(FAILED)
        }
    }
}

/// Carries out one order and gives its report; a refusal is printed and becomes an exit code.
pub(super) fn give(common: &Common, order: Order) -> Result<Report, u8> {
    let (_, settings) = settings(common.config.config.as_ref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        complain(&format!("the system gives no event loop: {error}"));
        FAILED
    })?;
    match runtime.block_on(send_or_do(settings, order)) {
        Ok(Report::Refused { message }) | Err(message) => {
            complain(&message);
            Err(FAILED)
        }
        Ok(report) => Ok(report),
    }
}

async fn send_or_do(settings: Settings, order: Order) -> Result<Report, String> {
    let data_dir = settings.server.data_dir.clone();
    let settings = Arc::new(settings);
    for _ in 0..TRIES {
        if let Some(report) = control::send(&data_dir, &order).await.map_err(|error| error.to_string())? {
            return Ok(report);
        }
        match Desk::open(Arc::clone(&settings), Clock::system()).await {
            Ok(desk) => {
                let stopped = |_: &_, _: &str| "the gateway is not running".to_owned();
                return Ok(desk.carry_out(order, &stopped).await);
            }
            // A gateway that is just starting owns the store before its socket is open.
            Err(DeskError::Store(StoreError::InUse { .. })) => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!("{} is in use by another program that does not answer on its control socket", data_dir.display()))
}

/// Prints a report as one JSON value.
pub(super) fn print_json(value: &impl serde::Serialize) -> u8 {
    match serde_json::to_string_pretty(value) {
        Ok(text) => {
            println!("{text}");
            super::DONE
        }
        Err(error) => {
            complain(&format!("the report cannot be printed: {error}"));
            FAILED
        }
    }
}
