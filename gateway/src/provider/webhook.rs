//! A webhook: any HTTP interface as a provider. Method, URL, headers and body are the operator's, with words in braces
//! for names and addresses (`template.rs`), and so is what counts as a success (`expect.rs`).
//!
//! A template with `{ip}` or `{type}` makes one call for each address that changed; one that has only `{ipv4}` and `{ipv6}`
//! makes one call with all of them. Taking a host offline needs `delete_url`. With `hmac_secret` every call is signed, so that a
//! receiver knows who calls and when: HMAC-SHA256 of the timestamp, a dot and the body.
//!
//! Nothing is read, no redirect followed, and no link-local address called (`send.rs`).

mod expect;
mod template;

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Uri};
use nicgate_logic::policy::DEFAULT_TTL;
use nicgate_protocol::{AddressSet, Family, Hostname, Secret};
use sha2::Sha256;

use self::expect::Expectation;
use self::template::{Place, Template, Values, Word};
use super::service::{Message, Removal, Service, Told, Way};
use super::trouble::{Meaning, Trouble};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Moment, Provider, ProviderSettings, Shape, Window, base_url,
};

/// Our own bound: what is called is the operator's own, and told of changes only.
const BUDGET: Budget = Budget::of(&[Window::new(60, 60)]);
/// What the timestamp and the signature of a call stand in.
const SIGNATURE: HeaderName = HeaderName::from_static("x-nicgate-signature");
/// Headers that belong to the connection.
const RESERVED: [&str; 5] = ["connection", "content-length", "host", "transfer-encoding", "x-nicgate-signature"];

const BODY: &str = "body";
const DELETE_METHOD: &str = "delete_method";
const DELETE_URL: &str = "delete_url";
const EXPECT: &str = "expect";
const HEADERS: &str = "headers";
const HMAC_SECRET: &str = "hmac_secret";
const METHOD: &str = "method";
const URL: &str = "url";

const KEYS: &[Key] = &[
    Key::secret(
        URL,
        "Where to call, with words: {hostname} {domain} {subdomain} {zone} {type} {ip} {ipv4} {ipv6} {ttl} {timestamp}.",
    ),
    Key::text(METHOD, "GET, POST, PUT, PATCH or DELETE; when left out, POST with a body and GET without.").optional(),
    Key::text(HEADERS, "Headers to send, such as Authorization.").optional().shaped(Shape::Headers),
    Key::secret(BODY, "The body, with words; Content-Type says how their values are escaped.").optional(),
    Key::text(
        EXPECT,
        "What a success is like, for instance \"status 200-299; json /success = true\", or a text in it.",
    )
    .optional(),
    Key::secret(HMAC_SECRET, "Signs every call, in the header X-Nicgate-Signature.").optional(),
    Key::secret(DELETE_URL, "Where to call when a host goes offline, with words; without it that is refused.")
        .optional(),
    Key::text(DELETE_METHOD, "The method for delete_url; DELETE when left out.").optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind =
    Kind { word: "webhook", about: "Any HTTP interface, by a call of your own making.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Told::provider(Hook::new(settings)?))
}

struct Hook {
    method: Method,
    url: Template,
    /// The text, and how values are escaped in it.
    body: Option<(Template, Place)>,
    headers: Vec<(HeaderName, Template)>,
    /// The type of the body, where no header says so.
    content_type: Option<&'static str>,
    expect: Expectation,
    delete: Option<(Method, Template)>,
    key: Option<Secret<String>>,
    way: Way,
}

impl Hook {
    fn new(settings: &ProviderSettings) -> Result<Self, BadSetting> {
        let url = url(settings, URL)?.ok_or_else(|| bad(URL, "it is missing"))?;
        let headers = settings.headers(HEADERS);
        let headers: Vec<_> = headers.iter().map(|(name, value)| header(name, value)).collect::<Result<_, _>>()?;
        let written_type = headers.iter().find(|(name, _)| *name == CONTENT_TYPE).map(|(_, value)| value.start());
        let body = text(settings, BODY)?;
        let guessed = body.map(|body| if body.trim_start().starts_with(['{', '[']) { JSON } else { FORM });
        let place = place_of(written_type.or(guessed).unwrap_or_default());
        let body = body.map(|text| Ok((parse(BODY, text)?, place))).transpose()?;
        let method = method(settings, METHOD, if body.is_some() { Method::POST } else { Method::GET })?;
        if body.is_some() && method == Method::GET {
            return Err(bad(METHOD, "a GET has no body; write POST, PUT or PATCH"));
        }
        let expect = settings.text(EXPECT).map(Expectation::parse).transpose().map_err(|why| bad(EXPECT, &why))?;
        let expect = expect.unwrap_or_default();
        if expect.templates().any(|text| text.has(Word::Timestamp)) {
            return Err(bad(EXPECT, "an answer is not compared with {timestamp}"));
        }
        let delete = url_of_deletion(settings)?;
        let mut templates: Vec<&Template> = vec![&url];
        templates.extend(body.iter().map(|(body, _)| body));
        templates.extend(headers.iter().map(|(_, value)| value));
        let way = way(&templates)?;
        // One call about both families has no single address and type.
        let has_one = |template: &Template| template.has(Word::Ip) || template.has(Word::Type);
        let with_one =
            [(EXPECT, expect.templates().any(has_one)), (DELETE_URL, delete.iter().any(|(_, url)| has_one(url)))];
        if let Some((key, _)) = with_one.into_iter().find(|(_, has)| *has && way == Way::Whole) {
            return Err(bad(key, "{ip} and {type} stand for something only where url, body or a header has them, too"));
        }
        let content_type = guessed.filter(|_| written_type.is_none());
        let key = settings.secret(HMAC_SECRET).map(|_| settings.credential(HMAC_SECRET)).transpose()?;
        let key = key.map(|key| Secret::new(key.to_owned()));
        let hook = Self { method, url, body, headers, content_type, expect, delete, key, way };
        hook.rehearse()?;
        Ok(hook)
    }

    /// Fills everything in once: what cannot be sent is a mistake now rather than an outage later.
    fn rehearse(&self) -> Result<(), BadSetting> {
        let name = Hostname::parse("nas.example.com").map_err(|_| bad(URL, "no example can be made"))?;
        let addresses = AddressSet::from(std::net::IpAddr::from([192, 0, 2, 1]));
        let message = Message {
            zone: name.clone(),
            hosts: vec![name],
            addresses,
            all: addresses,
            removed: Vec::new(),
            ttl: None,
            is_known: false,
        };
        let values = values(&message, Moment::default());
        if self.url.fill(&values, Place::Url).parse::<Uri>().is_err() {
            return Err(bad(URL, "it is no URL; write other characters as %XX"));
        }
        if let Some((body, Place::Json)) = &self.body
            && let Err(error) = serde_json::from_str::<serde_json::Value>(&body.fill(&values, Place::Json))
        {
            let why =
                format!("with an address filled in it is no JSON: line {}, column {}", error.line(), error.column());
            return Err(bad(BODY, &why));
        }
        match self.headers.iter().find(|(_, value)| HeaderValue::from_str(&value.fill(&values, Place::Plain)).is_err())
        {
            Some((name, _)) => Err(bad(HEADERS, &format!("the value of {name} holds what no header may"))),
            None => Ok(()),
        }
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn bad(key: &'static str, why: &str) -> BadSetting {
    BadSetting { key, why: why.to_owned() }
}

fn text<'a>(settings: &'a ProviderSettings, key: &'static str) -> Result<Option<&'a str>, BadSetting> {
    match settings.secret(key).map(|secret| secret.expose().trim()).or(settings.text(key).map(str::trim)) {
        Some("") => Err(bad(key, "it is empty")),
        found => Ok(found),
    }
}

fn parse(key: &'static str, text: &str) -> Result<Template, BadSetting> {
    Template::parse(text).map_err(|why| bad(key, &why))
}

/// A URL whose scheme, user and host are the operator's own words: no value decides who is called. A path alone goes
/// behind `endpoint`.
fn url(settings: &ProviderSettings, key: &'static str) -> Result<Option<Template>, BadSetting> {
    let Some(written) = text(settings, key)? else { return Ok(None) };
    let text = match &settings.endpoint {
        Some(_) if written.starts_with('/') => format!("{}{written}", base_url(settings, "https://hooks.example.com")?),
        Some(base) if !written.starts_with(base.trim()) => {
            return Err(bad(key, "it leads elsewhere than endpoint; write the path alone, or leave endpoint out"));
        }
        Some(_) | None => written.to_owned(),
    };
    let text = text.as_str();
    let template = parse(key, text)?;
    let rest = ["http://", "https://"].iter().find_map(|scheme| template.start().strip_prefix(scheme));
    let rest = rest.ok_or_else(|| bad(key, "it begins with http:// or https://"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    if end == rest.len() && text.len() > template.start().len() {
        return Err(bad(key, "no word may stand in the name of the server"));
    }
    if rest[..end].is_empty() || rest[..end].contains(['@', '{', '}']) {
        return Err(bad(key, "after the scheme comes a server, without a user: \"https://hooks.example.com/dns\""));
    }
    if text.replace("#{", "{").contains('#') {
        return Err(bad(key, "a URL that is called has no fragment; write # as %23"));
    }
    Ok(Some(template))
}

fn url_of_deletion(settings: &ProviderSettings) -> Result<Option<(Method, Template)>, BadSetting> {
    let Some(url) = url(settings, DELETE_URL)? else {
        return match settings.text(DELETE_METHOD) {
            Some(_) => Err(bad(DELETE_METHOD, "there is no delete_url that it could belong to")),
            None => Ok(None),
        };
    };
    Ok(Some((method(settings, DELETE_METHOD, Method::DELETE)?, url)))
}

fn method(settings: &ProviderSettings, key: &'static str, default: Method) -> Result<Method, BadSetting> {
    const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let Some(text) = settings.text(key) else { return Ok(default) };
    let found = METHODS.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text.trim()));
    found.ok_or_else(|| bad(key, "write GET, POST, PUT, PATCH or DELETE"))
}

fn header(name: &str, value: &Secret<String>) -> Result<(HeaderName, Template), BadSetting> {
    let wrong = |why: &str| bad(HEADERS, &format!("{name:?} {why}"));
    let found = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("is no name of a header"))?;
    if RESERVED.contains(&found.as_str()) {
        return Err(wrong("is not for you to set"));
    }
    if value.expose().contains(['\r', '\n']) {
        return Err(wrong("has a value of several lines"));
    }
    Ok((found, parse(HEADERS, value.expose())?))
}

fn place_of(content_type: &str) -> Place {
    let content_type = content_type.to_ascii_lowercase();
    if content_type.contains("json") {
        Place::Json
    } else if content_type.contains("form-urlencoded") {
        Place::Url
    } else {
        Place::Plain
    }
}

/// One call a family, or one with both.
fn way(templates: &[&Template]) -> Result<Way, BadSetting> {
    let has = |word| templates.iter().any(|template| template.has(word));
    if !templates.iter().any(|template| template.has_address()) {
        return Err(bad(URL, "no address is told: write {ip}, or {ipv4} and {ipv6}, into url, body or a header"));
    }
    Ok(if has(Word::Ip) || has(Word::Type) { Way::Separate } else { Way::Whole })
}

fn values(message: &Message, moment: Moment) -> Values<'_> {
    let is_removal = message.addresses.is_empty();
    let mut addresses = if is_removal { AddressSet::EMPTY } else { message.all };
    // What goes offline is named by what it was.
    for last in message.removed.iter().filter(|_| is_removal).filter_map(|(_, last)| *last) {
        match last {
            std::net::IpAddr::V4(v4) => addresses.v4 = Some(v4),
            std::net::IpAddr::V6(v6) => addresses.v6 = Some(v6),
        }
    }
    let told = Family::BOTH.into_iter().find(|family| message.addresses.of(*family).is_some());
    Values {
        hostname: message.host(),
        zone: &message.zone,
        addresses,
        family: told.or(message.removed.first().map(|(family, _)| *family)),
        ttl: message.ttl.unwrap_or(DEFAULT_TTL),
        timestamp: moment.now.seconds(),
    }
}

impl Service for Hook {
    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, _class: Class) -> &'static str {
        ""
    }

    fn way(&self) -> Way {
        self.way
    }

    fn ttl(&self, asked: Option<u32>) -> u32 {
        asked.unwrap_or(DEFAULT_TTL)
    }

    fn lacks(&self, family: Family) -> Option<&'static str> {
        let word = if family == Family::V4 { Word::Ipv4 } else { Word::Ipv6 };
        let templates = self.headers.iter().map(|(_, value)| value).chain(self.body.iter().map(|(body, _)| body));
        let has = templates.chain([&self.url]).any(|template| template.has(word));
        match (self.way, family) {
            (Way::Separate, _) => None,
            (Way::Changed | Way::Whole, _) if has => None,
            (Way::Changed | Way::Whole, Family::V4) => Some("the webhook has no {ipv4}"),
            (Way::Changed | Way::Whole, Family::V6) => Some("the webhook has no {ipv6}"),
        }
    }

    /// A call that tells both families tells that one is gone as well: its word stands for nothing then.
    fn removal(&self) -> Removal {
        Removal { family: self.delete.is_some() || self.way == Way::Whole, host: self.delete.is_some() }
    }

    fn call(&self, message: &Message, moment: Moment) -> Result<HttpCall, Trouble> {
        let values = values(message, moment);
        let is_removal = message.addresses.is_empty();
        let (method, url) = match &self.delete {
            Some((method, url)) if is_removal => (method, url),
            Some(_) | None => (&self.method, &self.url),
        };
        let mut call = HttpCall::plain(method.clone(), url.fill(&values, Place::Url));
        let body = self.body.as_ref().filter(|_| !is_removal);
        if let Some((body, place)) = body {
            call.body = Bytes::from(body.fill(&values, *place));
        }
        for (name, value) in &self.headers {
            if *name == CONTENT_TYPE && body.is_none() {
                continue;
            }
            let value = HeaderValue::from_str(&value.fill(&values, Place::Plain));
            let mut value = value.map_err(|_| Trouble::of(Class::Invalid, "header", "a header cannot be sent"))?;
            value.set_sensitive(true);
            call.headers.push((name.clone(), value));
        }
        if let Some(content_type) = self.content_type.filter(|_| body.is_some()) {
            call.headers.push((CONTENT_TYPE, HeaderValue::from_static(content_type)));
        }
        if let Some(key) = &self.key {
            let signature = signature(key.expose(), values.timestamp, &call.body);
            let value = HeaderValue::from_str(&signature);
            let value = value.map_err(|_| Trouble::of(Class::Invalid, "header", "the signature cannot be sent"))?;
            call.headers.push((SIGNATURE, value));
        }
        Ok(call)
    }

    fn heard(&self, message: &Message, answer: &Answer) -> Result<(), Trouble> {
        if !self.expect.takes(answer.status) {
            let mut trouble = Trouble::by_status(answer);
            if answer.status == 503 && answer.headers.contains_key(http::header::RETRY_AFTER) {
                (trouble.meaning, trouble.maybe_written) = (Meaning::Plain(Class::Rate), false);
            }
            return Err(trouble);
        }
        // Nothing that is expected depends on the present.
        let values = values(message, Moment::default());
        let is_removal = message.addresses.is_empty();
        self.expect
            .check(&answer.body, &values, is_removal)
            .map_err(|why| Trouble::of(Class::Bug, "not_as_expected", &why))
    }
}

/// `t=<timestamp>,v1=<hex HMAC-SHA256(timestamp "." body)>`.
fn signature(key: &str, timestamp: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(body);
    let mut text = format!("t={timestamp},v1=");
    for byte in mac.finalize().into_bytes() {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
