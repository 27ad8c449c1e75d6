//! What a resident program and whoever supervises it have to say to each other: stop, and still alive.

use std::io;

/// Comes back when the system, its service manager or a person wants the program to end.
///
/// # Errors
/// When the system does not tell programs so.
#[cfg(unix)]
pub async fn asked_to_stop() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Comes back when the system, its service manager or a person wants the program to end.
///
/// # Errors
/// When the system does not tell programs so.
#[cfg(windows)]
pub async fn asked_to_stop() -> io::Result<()> {
    use tokio::signal::windows::{ctrl_c, ctrl_close, ctrl_shutdown};

    let (mut interrupt, mut close, mut shutdown) = (ctrl_c()?, ctrl_close()?, ctrl_shutdown()?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = close.recv() => {}
        _ = shutdown.recv() => {}
    }
    Ok(())
}

/// Tells systemd that we are at work (sd_notify(3)); without it nothing.
pub fn notify_ready() {
    #[cfg(target_os = "linux")]
    // Whoever started us may not listen.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// Tells systemd's watchdog that we are alive, as often as it wants to hear it; without one never comes back.
pub async fn keep_alive() {
    #[cfg(target_os = "linux")]
    if let Some(patience) = sd_notify::watchdog_enabled() {
        loop {
            tokio::time::sleep(patience / 3).await;
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
    std::future::pending().await
}
