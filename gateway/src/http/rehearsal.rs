//! For the tests of this module: an answerer that says back what it heard, and both ends of a connection in memory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nicgate_logic::screen::RawRequest;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep;

use super::{Answerer, Notice, Reply, reply};

/// Answers with what it heard. `/slow` takes five seconds, `/never` a day, `/big` is a long answer, `/panic` a fault.
#[derive(Debug, Default)]
pub(super) struct Echo {
    notices: Mutex<Vec<&'static str>>,
}

impl Echo {
    /// The error codes of everything noticed so far.
    pub(super) fn notices(&self) -> Vec<&'static str> {
        self.notices.lock().unwrap().clone()
    }
}

impl Answerer for Echo {
    async fn answer(&self, request: RawRequest) -> Reply {
        match request.target.path() {
            "/slow" => sleep(Duration::from_secs(5)).await,
            "/never" => sleep(Duration::from_secs(86_400)).await,
            "/panic" => panic!("as asked"),
            _ => {}
        }
        let mut text = String::new();
        let (method, target, version) = (&request.method, &request.target, request.version);
        let body = String::from_utf8_lossy(&request.body);
        let leg = if request.secure { "tls" } else { "clear" };
        writeln!(text, "{method} {target} {version:?} from {} in {leg} [{body}]", request.peer).unwrap();
        if request.target.path() == "/big" {
            text = text.repeat(10_000);
        }
        let mut reply = reply::my_ip(request.peer);
        reply.body = text.into();
        reply
    }

    fn notice(&self, notice: Notice<'_>) {
        self.notices.lock().unwrap().push(notice.error_code());
    }
}

/// Sends the bytes and reads until the other side closes.
pub(super) async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), sent: &[u8]) -> String {
    // A refusal may come, and the stream close, before everything is sent.
    let _ = stream.write_all(sent).await;
    let _ = stream.flush().await;
    read_all(stream).await
}

/// Reads until the other side closes; what came before a broken end counts.
pub(super) async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    String::from_utf8_lossy(&heard).into_owned()
}

/// Sends one request over a connection that stays, and reads its one-line answer.
pub(super) async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    read_one(stream).await
}

/// Reads one answer up to the line feed of its body.
pub(super) async fn read_one(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut heard = Vec::new();
    while !(heard.windows(4).any(|end| end == b"\r\n\r\n") && heard.ends_with(b"]\n")) {
        heard.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(heard).unwrap()
}

/// A folder of its own for one test.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nicgate-http-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An answerer to share.
pub(super) fn echo() -> Arc<Echo> {
    Arc::default()
}
