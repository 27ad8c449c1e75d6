//! The server that any fake API plugs into: HTTP/1.1 on loopback, what happened on it, and mishaps on order.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use nicgate::clock::Clock;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{Api, Asked, Mishap, Record, Said, Zone};

/// How it feels, until told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Does what it is asked, but for [`Mishap`]s.
    Well,
    /// Answers 503 to everything.
    Down,
    /// Takes requests and says nothing until it is well again.
    Silent,
}

/// A call that the API answered.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `METHOD path`.
    pub call: String,
    /// Whether it was one that changes something.
    pub is_write: bool,
    /// As it was sent, for somebody else's opinion on its signature.
    pub sent: Value,
    /// The records that stood there afterwards.
    pub after: Vec<Record>,
}

#[derive(Default)]
struct Book {
    calls: Vec<String>,
    seen: Vec<Seen>,
    mistakes: Vec<String>,
    next: VecDeque<Mishap>,
    next_at_write: VecDeque<Mishap>,
    always: Option<Mishap>,
}

/// A running fake.
#[derive(Clone)]
pub struct Fake {
    address: SocketAddr,
    base: &'static str,
    api: Arc<Mutex<dyn Api>>,
    book: Arc<Mutex<Book>>,
    mood: Arc<watch::Sender<Mood>>,
    clock: Clock,
    #[expect(dead_code, reason = "holds what it runs on, where that is its own")]
    runtime: Option<Arc<Runtime>>,
}

impl Fake {
    /// Starts one on a free port; it lives as long as the runtime that it is started on, and its clock is the
    /// system's.
    ///
    /// # Panics
    /// Outside of a runtime, or when loopback takes no listener.
    #[must_use]
    pub fn start(api: impl Api) -> Self {
        Self::start_with(api, Clock::system())
    }

    /// Starts one with a clock of its own.
    ///
    /// # Panics
    /// Outside of a runtime, or when loopback takes no listener.
    #[must_use]
    pub fn start_with(api: impl Api, clock: Clock) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a listener need not block");
        let address = listener.local_addr().expect("a bound listener has an address");
        let listener = TcpListener::from_std(listener).expect("the runtime takes a listener");
        let base = api.base();
        let mood = Arc::new(watch::Sender::new(Mood::Well));
        let api = Arc::new(Mutex::new(api));
        let fake = Self { address, base, api, book: Arc::default(), mood, clock, runtime: None };
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| fake.clone().serve(request));
                    // A connection that ends in an error is one that we cut.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        fake
    }

    /// Starts one on a runtime of its own, for stories that are not async; it lives as long as its handle.
    ///
    /// # Panics
    /// When the system gives no runtime, or loopback no listener.
    #[must_use]
    pub fn start_apart(api: impl Api) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = Arc::new(runtime.expect("a runtime"));
        let fake = {
            let _inside = runtime.enter();
            Self::start(api)
        };
        Self { runtime: Some(runtime), ..fake }
    }

    /// The base URL to configure.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}{}", self.address, self.base)
    }

    /// From now on, answers 503 to everything.
    pub fn goes_down(&self) {
        self.mood.send_replace(Mood::Down);
    }

    /// From now on, takes requests and says nothing.
    pub fn falls_silent(&self) {
        self.mood.send_replace(Mood::Silent);
    }

    /// From now on, works again; what was taken meanwhile is answered.
    pub fn recovers(&self) {
        self.book().always = None;
        self.mood.send_replace(Mood::Well);
    }

    /// Orders a mishap for the next call that has none yet.
    pub fn then(&self, mishap: Mishap) {
        self.book().next.push_back(mishap);
    }

    /// Orders a mishap for the next changing call that has none yet.
    pub fn then_at_write(&self, mishap: Mishap) {
        self.book().next_at_write.push_back(mishap);
    }

    /// Orders a mishap for every call until [`Self::recovers`].
    pub fn always(&self, mishap: Mishap) {
        self.book().always = Some(mishap);
    }

    /// Whether an ordered mishap has not happened yet.
    #[must_use]
    pub fn has_mishaps_left(&self) -> bool {
        let book = self.book();
        !(book.next.is_empty() && book.next_at_write.is_empty())
    }

    /// Calls since the last look, as `METHOD path`, answered or not.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.book().calls)
    }

    /// How many calls there were since the last look, which this is not.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.book().calls.len()
    }

    /// The calls that the API answered since the last look, and what stood there after each.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.book().seen)
    }

    /// What a caller did that a strict vendor would not have liked. Empty when all is well.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        self.book().mistakes.clone()
    }

    /// The zone, to look into or to change behind everybody's back.
    pub fn zone<T>(&self, look: impl FnOnce(&mut Zone) -> T) -> T {
        look(self.api().zone())
    }

    /// All records of a name, the oldest first.
    #[must_use]
    pub fn records(&self, hostname: &str) -> Vec<Record> {
        self.zone(|zone| zone.records.iter().filter(|record| record.hostname == hostname).cloned().collect())
    }

    /// The contents of the records of a name and type.
    #[must_use]
    pub fn contents(&self, hostname: &str, record_type: &str) -> Vec<String> {
        self.zone(|zone| zone.contents(hostname, record_type))
    }

    /// Puts a record there, as somebody would by hand.
    pub fn put_by_hand(&self, record: Record) {
        self.api().put_by_hand(record);
    }

    fn api(&self) -> MutexGuard<'_, dyn Api + 'static> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, request: Request<Incoming>) -> Result<Response<Cuttable>, Cut> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        self.book().calls.push(format!("{} {}", head.method, head.uri.path()));
        let mut moods = self.mood.subscribe();
        let mood = *moods.wait_for(|mood| *mood != Mood::Silent).await.map_err(|_| Cut)?;
        if mood == Mood::Down {
            return Ok(response(&Said::text(503, "upstream connect error"), false));
        }
        match self.act(&head, body) {
            Reaction::Says(said) => Ok(response(&said, false)),
            Reaction::SaysHalf(said) => Ok(response(&said, true)),
            Reaction::Cuts => Err(Cut),
            // Until the caller hangs up, which ends this.
            Reaction::Mute => std::future::pending().await,
        }
    }

    fn act(&self, head: &Parts, body: Bytes) -> Reaction {
        let Some(asked) = Asked::new(head, body, self.base) else {
            let text = format!("{} {} lies outside of {:?}", head.method, head.uri.path(), self.base);
            self.book().mistakes.push(text);
            return Reaction::Says(Said::empty(404));
        };
        let mut api = self.api();
        let is_write = api.is_write(&asked);
        let mishap = {
            let mut book = self.book();
            let at_write = if is_write { book.next_at_write.pop_front() } else { None };
            at_write.or_else(|| book.next.pop_front()).or_else(|| book.always.clone())
        };
        expect_manners(&asked, head);
        let mut answer = || {
            let said = api.answer(&asked, self.clock.wall());
            let after = api.zone().records.clone();
            self.book().seen.push(Seen { call: asked.to_string(), is_write, sent: asked.as_sent(), after });
            said
        };
        let reaction = match mishap {
            None | Some(Mishap::None) => Reaction::Says(answer()),
            Some(Mishap::Cuts) => Reaction::Cuts,
            Some(Mishap::CutsAfter) => {
                answer();
                Reaction::Cuts
            }
            Some(Mishap::Mute) => Reaction::Mute,
            Some(Mishap::MuteAfter) => {
                answer();
                Reaction::Mute
            }
            Some(Mishap::Says(said)) => Reaction::Says(said),
            Some(Mishap::SendsHalf) => match answer() {
                said if said.body.is_empty() => Reaction::Cuts, // nothing has no half
                said => Reaction::SaysHalf(said),
            },
        };
        self.book().mistakes.extend(asked.mistakes());
        reaction
    }
}

/// What becomes of a request.
enum Reaction {
    Says(Said),
    SaysHalf(Said),
    Cuts,
    Mute,
}

/// What no vendor needs to say: our own name, and a content type exactly where there is content.
fn expect_manners(asked: &Asked, head: &Parts) {
    let is_named = |agent: &HeaderValue| agent.to_str().is_ok_and(|agent| agent.to_lowercase().contains("nicgate"));
    if !head.headers.get(USER_AGENT).is_some_and(is_named) {
        asked.mistake("no User-Agent of our own");
    }
    if head.headers.contains_key(CONTENT_TYPE) == asked.body().is_empty() {
        asked.mistake("content type and body do not match");
    }
    if head.method == hyper::Method::GET && !asked.body().is_empty() {
        asked.mistake("GET with a body");
    }
}

/// The connection ends here.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut on order")
    }
}

impl std::error::Error for Cut {}

fn response(said: &Said, is_half: bool) -> Response<Cuttable> {
    let announced = said.body.len() as u64;
    let sent = if is_half { said.body.slice(..said.body.len() / 2) } else { said.body.clone() };
    let mut response = Response::new(Cuttable { sent: Some(sent), announced, is_half });
    *response.status_mut() = StatusCode::from_u16(said.status).expect("fakes say statuses that exist");
    for (name, value) in &said.headers {
        let value = HeaderValue::from_str(value).expect("fakes say headers that can be sent");
        response.headers_mut().append(HeaderName::from_static(name), value);
    }
    response
}

/// A body that may end before its announced length.
struct Cuttable {
    sent: Option<Bytes>,
    announced: u64,
    is_half: bool,
}

impl Body for Cuttable {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Poll::Ready(match self.sent.take() {
            Some(bytes) => Some(Ok(Frame::data(bytes))),
            None if self.is_half => Some(Err(Cut)),
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}
