//! Signed requests for stories: taken apart, so that any part can be swapped after signing, and signed in each of
//! the three schemes. SigV4 is signed by botocore: there is no signer of ours.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use hyper::HeaderMap;
use nicgate_protocol::Timestamp;
use nicgate_protocol::signature::{Message, rfc9421, sign_param};
use nicgate_protocol::update::Parameters;
use serde_json::{Value, json};

use crate::{House, Request};

/// A request in the parts that signatures cover.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The method.
    pub method: String,
    /// The value of `Host`.
    pub authority: String,
    /// The path.
    pub path: String,
    /// The query, raw.
    pub query: String,
    /// Other header fields.
    pub headers: Vec<(String, String)>,
    /// The body: a form, or empty.
    pub body: String,
}

impl Parts {
    /// An update by GET.
    #[must_use]
    pub fn get(house: &House, query: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            authority: format!("localhost:{}", house.https().port()),
            path: "/nic/update".to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// An update by a posted form.
    #[must_use]
    pub fn form(house: &House, body: &str) -> Self {
        Self { method: "POST".to_owned(), body: body.to_owned(), ..Self::get(house, "") }
    }

    /// As it goes over the wire.
    #[must_use]
    pub fn request(&self) -> Request {
        let target = self.target();
        let request = if self.body.is_empty() { Request::get(&target) } else { Request::form(&target, &self.body) };
        let request = request.method(&self.method).header("Host", &self.authority);
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    /// The whole URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}{}", self.authority, self.target())
    }

    fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// Who signs, and when.
#[derive(Clone, Copy, Debug)]
pub struct Pen<'a> {
    /// The device's id.
    pub device: &'a str,
    /// Its key.
    pub key: &'a str,
    /// The time that the signature claims; whole seconds count.
    pub created: Timestamp,
    /// The nonce; SigV4 has none.
    pub nonce: &'a str,
}

/// The three ways to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 9421.
    HttpMessage,
    /// The `sign` parameter.
    SignParam,
    /// AWS Signature Version 4.
    SigV4,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HttpMessage, Self::SignParam, Self::SigV4];

    /// Signs a request; `None` where botocore is missing and may be.
    #[must_use]
    pub fn sign(self, parts: &Parts, pen: Pen<'_>) -> Option<Parts> {
        let mut signed = parts.clone();
        match self {
            Self::HttpMessage => {
                let headers = HeaderMap::new();
                let fields = rfc9421::sign(pen.key, pen.device, &message(parts, &headers), pen.created, pen.nonce);
                signed.add("Signature-Input", &fields.signature_input);
                signed.add("Signature", &fields.signature);
                if let Some(digest) = &fields.content_digest {
                    signed.add("Content-Digest", digest);
                }
            }
            Self::SignParam => {
                let said = format!("id={}&ts={}&nonce={}", pen.device, pen.created.seconds(), pen.nonce);
                let place = if parts.body.is_empty() { &mut signed.query } else { &mut signed.body };
                *place = if place.is_empty() { said } else { format!("{place}&{said}") };
                let form = (!signed.body.is_empty()).then_some(signed.body.as_bytes());
                let parameters = Parameters::read(Some(&signed.query), form);
                let sign = sign_param::sign(pen.key, &parts.method, &parts.authority, &parts.path, &parameters);
                let place = if parts.body.is_empty() { &mut signed.query } else { &mut signed.body };
                *place += &format!("&sign={sign}");
            }
            Self::SigV4 => signed = signed_by("botocore_sign.py", parts, pen, &Value::Null)?,
        }
        Some(signed)
    }
}

fn message<'a>(parts: &'a Parts, headers: &'a HeaderMap) -> Message<'a> {
    Message {
        method: &parts.method,
        authority: &parts.authority,
        path: &parts.path,
        query: (!parts.query.is_empty()).then_some(&parts.query),
        headers,
        body: parts.body.as_bytes(),
    }
}

/// Lets a program of `oracles/` sign; `extra` holds what only that one understands. `None` where Python is missing
/// and may be.
///
/// # Panics
/// When the program fails.
#[must_use]
pub fn signed_by(oracle: &str, parts: &Parts, pen: Pen<'_>, extra: &Value) -> Option<Parts> {
    let content_type =
        if parts.body.is_empty() { json!({}) } else { json!({"Content-Type": "application/x-www-form-urlencoded"}) };
    let mut question = json!({
        "method": parts.method,
        "url": parts.url(),
        "headers": content_type,
        "body": parts.body,
        "device": pen.device,
        "key": pen.key,
        "created": pen.created.seconds(),
        "nonce": pen.nonce,
    });
    for (name, value) in extra.as_object().into_iter().flatten() {
        question[name] = value.clone();
    }
    let answer = ask(oracle, &question)?;
    let mut signed = parts.clone();
    for (name, value) in answer["headers"].as_object().expect("signers answer with header fields") {
        // What the harness writes itself.
        if !["content-type", "content-length", "host"].contains(&name.to_ascii_lowercase().as_str()) {
            signed.add(name, value.as_str().expect("a field's value is text"));
        }
    }
    Some(signed)
}

/// Asks a program of `oracles/` one question. `None` where Python is missing and may be.
///
/// # Panics
/// When the program fails.
#[must_use]
pub fn ask(oracle: &str, question: &Value) -> Option<Value> {
    let python = crate::python()?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracles").join(oracle);
    let mut child = Command::new(python)
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python runs");
    // Dropped at the end of the statement, so that the program sees the end of its input.
    child.stdin.take().expect("it was piped").write_all(question.to_string().as_bytes()).expect("Python listens");
    let output = child.wait_with_output().expect("a child can be waited for");
    assert!(output.status.success(), "{oracle}: {}", crate::text(&output));
    Some(serde_json::from_slice(&output.stdout).expect("oracles answer in JSON"))
}
