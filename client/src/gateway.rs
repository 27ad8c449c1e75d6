//! Speaks with a gateway: signs, sends, and sends again what may have been lost. What the answer means is decided in
//! `reply`, which gateway to speak with in `schedule`.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method};
use nicgate_protocol::signature::Message;
use nicgate_protocol::signature::rfc9421;
use nicgate_protocol::{AddressSet, Hostname, Timestamp};

use crate::base_url::BaseUrl;
use crate::http::{Answer, Caller, HttpFault, Line, Question};
use crate::settings::Settings;

/// One of the gateways that the settings name, by the way that the caller takes.
pub struct Gateway<'a> {
    settings: &'a Settings,
    url: &'a BaseUrl,
    caller: &'a Caller,
}

impl<'a> Gateway<'a> {
    /// Prepares to speak with the gateway at `url`; connects to nothing yet.
    #[must_use]
    pub fn new(settings: &'a Settings, url: &'a BaseUrl, caller: &'a Caller) -> Self {
        Self { settings, url, caller }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &'a BaseUrl {
        self.url
    }

    /// Who calls it.
    #[must_use]
    pub fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// The signed update of `hosts` (RFC 9421: method, authority, path and query are covered).
    ///
    /// # Errors
    /// When a signature cannot stand in a header, which takes a nonce that breaks the protocol's grammar.
    pub fn update(
        &self,
        hosts: &[Hostname],
        addresses: AddressSet,
        now: Timestamp,
        nonce: &str,
    ) -> Result<Question, HttpFault> {
        let names: Vec<&str> = hosts.iter().map(Hostname::as_str).collect();
        // Letters of names, addresses and commas stand in a query as they are (RFC 3986 3.4).
        let query = format!("hostname={}&myip={addresses}", names.join(","));
        let path = self.url.path("/nic/update");
        let mut question = get(self.url, "/nic/update");
        let authority = self.url.authority();
        let message = Message {
            method: Method::GET.as_str(),
            authority: &authority,
            path: &path,
            query: Some(&query),
            headers: &question.headers,
            body: &[],
        };
        let fields = rfc9421::sign(self.settings.key.text(), self.settings.device.as_str(), &message, now, nonce);
        for (name, value) in [("signature-input", fields.signature_input), ("signature", fields.signature)] {
            let value = HeaderValue::try_from(value).map_err(|_| HttpFault::BadRequest)?;
            question.headers.insert(HeaderName::from_static(name), value);
        }
        question.target = format!("{path}?{query}");
        Ok(question)
    }

    /// Sends a question over `line` if that still stands, else over a new connection. When the answer is lost after
    /// the question was sent, the very same bytes are sent once more: to the gateway that is a repeat, which changes
    /// nothing and gets the same answer.
    ///
    /// # Errors
    /// When the gateway cannot be reached, or no answer came. [`HttpFault::may_have_been_heard`] tells which.
    pub async fn exchange(&self, question: &Question, line: Option<Line>) -> Result<Answer, HttpFault> {
        let mut standing = line;
        if let Some(line) = &mut standing
            && !line.is_ready().await
        {
            standing = None;
        }
        let mut line = match standing {
            Some(line) => line,
            None => self.caller.connect(self.url, None).await?,
        };
        let lost = match line.ask(question).await {
            Err(lost @ HttpFault::Broken(_)) => lost,
            ended => return ended,
        };
        match self.caller.connect(self.url, None).await {
            Ok(mut line) => line.ask(question).await,
            Err(_) => Err(lost),
        }
    }
}

/// A GET of a path below a base URL, unsigned.
#[must_use]
pub fn get(url: &BaseUrl, path: &str) -> Question {
    let mut target = url.path(path);
    if target.is_empty() {
        target.push('/');
    }
    Question { method: Method::GET, target, headers: headers(url), body: Bytes::new() }
}

/// A POST of a form to a path below a base URL, unsigned.
#[must_use]
pub fn post(url: &BaseUrl, path: &str, form: String) -> Question {
    let mut headers = headers(url);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Question { method: Method::POST, target: url.path(path), headers, body: form.into() }
}

fn headers(url: &BaseUrl) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // The base URL was read by the same grammar, so its authority is a header value.
    headers.insert(HOST, HeaderValue::try_from(url.authority()).unwrap_or(HeaderValue::from_static("")));
    headers.insert(USER_AGENT, user_agent());
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers
}

/// `nicgate-client/0.1.0 (linux)`.
fn user_agent() -> HeaderValue {
    let text = format!("nicgate-client/{} ({})", env!("CARGO_PKG_VERSION"), std::env::consts::OS);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("nicgate-client"))
}
