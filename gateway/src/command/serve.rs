//! `nicgate serve`: the real thing, until SIGTERM or Ctrl-C; SIGHUP reads the configuration again.

use std::io::IsTerminal as _;

use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::command::order::settings;
use crate::command::{ConfigArgument, DONE, FAILED, complain};
use crate::config::LogForm;
use crate::gateway::{Running, Start};
use crate::log::{Format, Log};

pub(super) fn run(arguments: &ConfigArgument) -> u8 {
    let (file, settings) = match settings(arguments.config.as_ref()) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the system gives no event loop: {error}"));
            return FAILED;
        }
    };
    let format = match settings.server.log {
        Some(LogForm::Json) => Format::Json,
        Some(LogForm::Human) => Format::Human,
        None if std::io::stderr().is_terminal() => Format::Human,
        None => Format::Json,
    };
    let clock = Clock::system();
    // Dropped last, so that the last lines are written.
    let (log, _writer) = Log::start(format, clock.clone(), std::io::stderr());
    runtime.block_on(async {
        let start = Start { settings, file: Some(file), clock, log };
        let running = match Running::start(start).await {
            Ok(running) => running,
            Err(error) => {
                complain(&error.to_string());
                return FAILED;
            }
        };
        if let Err(error) = until_stopped(&running).await {
            complain(&format!("signals cannot be listened to: {error}"));
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        running.stop().await;
        DONE
    })
}

/// Tells systemd that we are there, and waits for a signal to go.
async fn until_stopped(running: &Running) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => running.reload(),
        }
    }
}
