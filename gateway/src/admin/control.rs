//! The control socket in `data_dir`: how commands reach a running gateway. One order a line, one report a line,
//! both JSON. Whoever can open the socket may do everything: its mode is 0600, and its folder's 0700.
//!
//! Who may order what by network is not decided here: this socket never leaves the machine.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::desk::{Order, Report};

/// The socket's name in `data_dir`.
pub const SOCKET: &str = "control.sock";
/// The longest order, in bytes.
const LONGEST_ORDER: u64 = 64 * 1024;
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many commands may speak at once.
const MOST_SPEAKERS: usize = 16;

/// An open control socket; the file goes when it is dropped.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Opens the socket. A file that a killed gateway left behind is replaced: whoever owns the store owns the
    /// socket too.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Answers commands until it is dropped. What was begun is carried out to its end, also when the command no longer
    /// waits for it.
    pub async fn run<F, R>(self, carry_out: F)
    where
        F: Fn(Order) -> R + Send + Sync + 'static,
        R: Future<Output = Report> + Send + 'static,
    {
        let carry_out = Arc::new(carry_out);
        let speakers = Arc::new(Semaphore::new(MOST_SPEAKERS));
        loop {
            let Ok(speaker) = Arc::clone(&speakers).acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let carry_out = Arc::clone(&carry_out);
            tokio::spawn(async move {
                // A command that goes away has nobody left to tell.
                let _ = tokio::time::timeout(PATIENCE, converse(stream, &*carry_out)).await;
                drop(speaker);
            });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn converse<F, R>(stream: UnixStream, carry_out: &F) -> io::Result<()>
where
    F: Fn(Order) -> R,
    R: Future<Output = Report> + Send + 'static,
{
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reading.take(LONGEST_ORDER)).read_line(&mut line).await?;
    let report = match serde_json::from_str::<Order>(&line) {
        // In a task of its own: half an order, recorded and not in force, is worse than none.
        Ok(order) => tokio::spawn(carry_out(order)).await.map_err(io::Error::other)?,
        Err(error) => Report::Refused {
            message: format!("the running gateway does not know this order ({error}); are both of one version?"),
        },
    };
    let mut text = serde_json::to_vec(&report)?;
    text.push(b'\n');
    writing.write_all(&text).await?;
    writing.shutdown().await
}

/// Sends one order to the gateway that owns `data_dir`; `None` when none is running.
///
/// # Errors
/// When one is running and does not answer.
pub async fn send(data_dir: &Path, order: &Order) -> io::Result<Option<Report>> {
    let mut stream = match UnixStream::connect(data_dir.join(SOCKET)).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut text = serde_json::to_vec(order)?;
    text.push(b'\n');
    let answer = async {
        stream.write_all(&text).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, answer)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the running gateway does not answer"))??;
    Ok(Some(serde_json::from_slice(&answer)?))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_order_is_carried_out_to_its_end_also_when_nobody_waits_any_more() {
        let folder = std::env::temp_dir().join(format!("nicgate-control-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let control = Control::open(&folder).unwrap();
        let (disk, is_done) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (slow, done) = (Arc::clone(&disk), Arc::clone(&is_done));
        let running = tokio::spawn(control.run(move |_| {
            let (slow, done) = (Arc::clone(&slow), Arc::clone(&done));
            async move {
                slow.notified().await;
                done.store(true, Ordering::Release);
                Report::Done { message: String::new() }
            }
        }));
        // The clock jumps ahead to whatever is due next: that is the end of patience.
        assert!(!matches!(send(&folder, &Order::Reload).await, Ok(Some(_))));
        tokio::time::sleep(2 * PATIENCE).await;
        disk.notify_one();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(is_done.load(Ordering::Acquire));
        running.abort();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
