//! A Cloudflare of our own on loopback: strict about method, path, token and body, and able to misbehave on order.
//!
//! It keeps records as the real one does (content in its own spelling, TTL 1 when proxied, no two alike) and counts
//! calls. What it does not know it answers like the real one: 7000, "no route for that URI".

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The id of its only zone.
pub const ZONE_ID: &str = "023e105f4ecef8ad9ca31a8372d0c353";
/// The name of its only zone.
pub const ZONE: &str = "home.test";
/// The token that it takes.
pub const TOKEN: &str = "fake-token-0123456789";

/// How it misbehaves, once per order.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// Answers this instead, and does nothing.
    Answers {
        /// The status.
        status: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
        /// The body.
        body: &'static str,
    },
    /// Does what was asked, and cuts the connection before the answer.
    CutsAfterWrite,
    /// Does what was asked, announces the whole answer and sends half of it.
    SendsHalf,
}

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

#[derive(Default)]
struct World {
    records: Vec<Value>,
    made: u32,
    calls: Vec<String>,
    mistakes: Vec<String>,
    mishaps: VecDeque<Mishap>,
}

/// The running fake.
#[derive(Clone)]
pub struct FakeCloudflare {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    mood: Arc<watch::Sender<Mood>>,
    #[expect(dead_code, reason = "holds what it runs on, where that is its own")]
    runtime: Option<Arc<Runtime>>,
}

impl FakeCloudflare {
    /// Starts it on a free port; it lives as long as the runtime.
    ///
    /// # Panics
    /// When loopback takes no listener.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let mood = Arc::new(watch::Sender::new(Mood::Well));
        let fake = Self { address, world: Arc::default(), mood, runtime: None };
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| fake.clone().answer(request));
                    // A connection that ends in an error is one that we cut.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        fake
    }

    /// Starts it on a runtime of its own, for stories that are not async; it lives as long as its handle.
    ///
    /// # Panics
    /// When the system gives no runtime, or loopback no listener.
    #[must_use]
    pub fn start_apart() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = Arc::new(runtime.expect("a runtime"));
        Self { runtime: Some(Arc::clone(&runtime)), ..runtime.block_on(Self::start()) }
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
        self.mood.send_replace(Mood::Well);
    }

    /// The base URL to configure.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}/client/v4", self.address)
    }

    /// Puts a record there, as somebody would by hand. Members in `extra` replace the usual ones.
    pub fn put(&self, kind: &str, name: &str, content: &str, extra: &Value) -> String {
        let mut body = json!({"type": kind, "name": name, "content": content, "ttl": 300, "proxied": false});
        merge(&mut body, extra);
        let mut world = self.lock();
        let record = world.new_record(&body);
        let id = record["id"].as_str().unwrap_or_default().to_owned();
        world.records.push(record);
        id
    }

    /// Removes a record behind everybody's back.
    pub fn lose(&self, id: &str) {
        self.lock().records.retain(|record| record["id"] != id);
    }

    /// Orders a misbehaviour for the next call that has none yet.
    pub fn then(&self, mishap: Mishap) {
        self.lock().mishaps.push_back(mishap);
    }

    /// Calls since the last look, as `METHOD path`.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().calls)
    }

    /// How many calls there were since the last look, which this is not.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.lock().calls.len()
    }

    /// What a caller did that the real one would not have liked. Empty when all is well.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        self.lock().mistakes.clone()
    }

    /// All records of a name, the oldest first.
    #[must_use]
    pub fn records(&self, name: &str) -> Vec<Value> {
        self.lock().records.iter().filter(|record| record["name"] == name).cloned().collect()
    }

    /// The contents of the records of a name and type.
    #[must_use]
    pub fn contents(&self, name: &str, kind: &str) -> Vec<String> {
        let records = self.records(name).into_iter().filter(|record| record["type"] == kind);
        records.filter_map(|record| record["content"].as_str().map(str::to_owned)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Cuttable>, Cut> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let target = head.uri.path_and_query().map_or("", |target| target.as_str()).to_owned();
        let token = head.headers.get("authorization").and_then(|value| value.to_str().ok());
        let is_json = head.headers.get("content-type").is_some_and(|value| value == "application/json");
        let call = format!("{} {}", head.method, target.strip_prefix("/client/v4").unwrap_or(&target));
        self.lock().calls.push(call);
        let mut moods = self.mood.subscribe();
        let mood = *moods.wait_for(|mood| *mood != Mood::Silent).await.map_err(|_| Cut)?;
        if mood == Mood::Down {
            return Ok(response(503, None, Bytes::from_static(b"upstream connect error"), false));
        }
        let mut world = self.lock();
        if !head.headers.get("user-agent").is_some_and(|agent| agent.as_bytes().starts_with(b"nicgate/")) {
            world.mistakes.push("no User-Agent of our own".to_owned());
        }
        if is_json == body.is_empty() {
            world.mistakes.push(format!("{} {target}: content type and body do not match", head.method));
        }
        let mishap = world.mishaps.pop_front();
        if let Some(Mishap::Answers { status, retry_after, body }) = mishap {
            return Ok(response(status, retry_after, Bytes::from_static(body.as_bytes()), false));
        }
        let (status, value) = match token {
            Some(text) if text == format!("Bearer {TOKEN}") => world.act(head.method.as_str(), &target, &body),
            Some(text) if text.starts_with("Bearer ") => failure(403, 9109, "Invalid access token"),
            Some(_) | None => failure(400, 9106, "Missing Authorization headers"),
        };
        let whole = Bytes::from(value.to_string());
        match mishap {
            Some(Mishap::CutsAfterWrite) => Err(Cut),
            Some(Mishap::SendsHalf) => Ok(response(status, None, whole, true)),
            Some(Mishap::Answers { .. }) | None => Ok(response(status, None, whole, false)),
        }
    }
}

impl World {
    fn act(&mut self, method: &str, target: &str, body: &[u8]) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let body = match serde_json::from_slice::<Value>(body) {
            Ok(body) => body,
            Err(_) if body.is_empty() => Value::Null,
            Err(_) => return failure(400, 9207, "Request body is invalid."),
        };
        match (method, parts.as_slice()) {
            ("GET", ["client", "v4", "zones"]) => {
                let is_asked_for = parameter(query, "name").is_none_or(|name| name == ZONE);
                let zone = json!({"id": ZONE_ID, "name": ZONE, "status": "active", "type": "full"});
                list(if is_asked_for { vec![zone] } else { Vec::new() })
            }
            (_, ["client", "v4", "zones", zone, "dns_records", rest @ ..]) if *zone == ZONE_ID => {
                self.act_on_records(method, rest, query, &body)
            }
            (_, ["client", "v4", "zones", _, "dns_records", ..]) => {
                failure(404, 7003, "Could not route to the zone, perhaps your object identifier is invalid?")
            }
            _ => failure(404, 7000, "No route for that URI"),
        }
    }

    fn act_on_records(&mut self, method: &str, rest: &[&str], query: &str, body: &Value) -> (u16, Value) {
        match (method, rest) {
            ("GET", []) => {
                let fits =
                    |record: &&Value, key: &str| parameter(query, key).is_none_or(|wanted| record[key] == wanted);
                let found = self.records.iter().filter(|record| fits(record, "name") && fits(record, "type"));
                list(found.cloned().collect())
            }
            ("POST", []) => in_envelope(self.create(body)),
            ("POST", ["batch"]) => {
                let before = self.records.clone();
                let done = self.batch(body);
                if done.is_err() {
                    self.records = before; // one transaction
                }
                in_envelope(done)
            }
            ("PATCH", [id]) => in_envelope(self.patch(id, body)),
            ("DELETE", [id]) => in_envelope(self.delete(id)),
            ("PUT", _) => {
                self.mistakes.push("PUT resets what the operator set by hand".to_owned());
                failure(400, 9207, "Not here.")
            }
            _ => failure(404, 7000, "No route for that URI"),
        }
    }

    fn batch(&mut self, body: &Value) -> Result<Value, (u16, Value)> {
        let of = |list: &str| body[list].as_array().cloned().unwrap_or_default();
        let id = |entry: &Value| entry["id"].as_str().unwrap_or_default().to_owned();
        let deletes: Result<Vec<Value>, _> = of("deletes").iter().map(|entry| self.delete(&id(entry))).collect();
        let patches: Result<Vec<Value>, _> = of("patches").iter().map(|entry| self.patch(&id(entry), entry)).collect();
        let posts: Result<Vec<Value>, _> = of("posts").iter().map(|entry| self.create(entry)).collect();
        Ok(json!({"deletes": deletes?, "patches": patches?, "posts": posts?, "puts": null}))
    }

    fn create(&mut self, body: &Value) -> Result<Value, (u16, Value)> {
        for member in ["type", "name", "content", "ttl"] {
            if body[member].is_null() {
                return Err(failure(400, 9000, "DNS name is invalid."));
            }
        }
        let record = self.new_record(body);
        self.check(&record)?;
        self.records.push(record.clone());
        Ok(record)
    }

    fn patch(&mut self, id: &str, body: &Value) -> Result<Value, (u16, Value)> {
        let Some(index) = self.records.iter().position(|record| record["id"] == id) else {
            return Err(failure(404, 81044, "Record does not exist."));
        };
        let mut record = self.records[index].clone();
        merge(&mut record, body);
        let record = spelled(record);
        self.check(&record)?;
        self.records[index] = record.clone();
        Ok(record)
    }

    fn delete(&mut self, id: &str) -> Result<Value, (u16, Value)> {
        let Some(index) = self.records.iter().position(|record| record["id"] == id) else {
            return Err(failure(404, 81044, "Record does not exist."));
        };
        self.records.remove(index);
        Ok(json!({ "id": id }))
    }

    fn new_record(&mut self, body: &Value) -> Value {
        self.made += 1;
        let mut record = json!({"id": format!("{:032x}", self.made), "proxied": false, "proxiable": true, "comment": null,
            "tags": [], "settings": {}, "meta": {}});
        merge(&mut record, body);
        spelled(record)
    }

    /// What the real one refuses.
    fn check(&self, record: &Value) -> Result<(), (u16, Value)> {
        let address: Option<IpAddr> = record["content"].as_str().and_then(|text| text.parse().ok());
        match (record["type"].as_str(), address) {
            (Some("A"), Some(IpAddr::V4(_))) | (Some("AAAA"), Some(IpAddr::V6(_))) => {}
            (Some("A"), _) => return Err(failure(400, 9005, "Content for A record must be a valid IPv4 address.")),
            (Some("AAAA"), _) => {
                return Err(failure(400, 9006, "Content for AAAA record must be a valid IPv6 address."));
            }
            (_, _) => return Err(failure(400, 1004, "DNS Validation Error")),
        }
        if !matches!(record["ttl"].as_u64(), Some(1 | 60..=86400)) {
            return Err(failure(400, 9021, "Invalid TTL."));
        }
        let is_same = |other: &&Value| {
            other["id"] != record["id"] && ["name", "type", "content"].iter().all(|key| other[*key] == record[*key])
        };
        if self.records.iter().any(|other| is_same(&other)) {
            return Err(failure(400, 81058, "An identical record already exists."));
        }
        if self.records.iter().any(|other| other["name"] == record["name"] && other["type"] == "CNAME") {
            return Err(failure(400, 81054, "A CNAME record with that host already exists."));
        }
        Ok(())
    }
}

/// As the real one spells it: addresses compressed, the TTL of proxied records 1.
fn spelled(mut record: Value) -> Value {
    if let Some(address) = record["content"].as_str().and_then(|text| text.parse::<IpAddr>().ok()) {
        record["content"] = json!(address);
    }
    if record["proxied"] == true {
        record["ttl"] = json!(1);
    }
    record
}

fn merge(into: &mut Value, from: &Value) {
    let nothing = Map::new();
    for (key, value) in from.as_object().unwrap_or(&nothing) {
        if key != "id" {
            into[key] = value.clone();
        }
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
    found.map(|(_, value)| value.replace("%2A", "*"))
}

fn failure(status: u16, code: u32, message: &str) -> (u16, Value) {
    let errors = json!([{"code": code, "message": message}]);
    (status, json!({"success": false, "errors": errors, "messages": [], "result": null}))
}

fn success(result: Value) -> (u16, Value) {
    (200, json!({"success": true, "errors": [], "messages": [], "result": result}))
}

fn list(found: Vec<Value>) -> (u16, Value) {
    let count = found.len();
    let (status, mut body) = success(Value::Array(found));
    body["result_info"] = json!({"page": 1, "per_page": 100, "count": count, "total_count": count, "total_pages": 1});
    (status, body)
}

fn in_envelope(done: Result<Value, (u16, Value)>) -> (u16, Value) {
    done.map_or_else(|failure| failure, success)
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

fn response(status: u16, retry_after: Option<u64>, body: Bytes, is_half: bool) -> Response<Cuttable> {
    let announced = body.len() as u64;
    let sent = if is_half { body.slice(..body.len() / 2) } else { body };
    let mut response = Response::new(Cuttable { sent: Some(sent), announced, is_half });
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", seconds.into());
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
