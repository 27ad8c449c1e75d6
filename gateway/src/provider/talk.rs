//! The conversation with a provider: what it is about, what is said, what is heard, how it ends.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use nicgate_logic::state::Applied;
use nicgate_protocol::{AddressSet, Family, Hostname, Timestamp};

use super::Class;

/// What a provider shall publish, for one or several hosts of a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The zone that holds the hosts, as it is configured. At the provider they may lie in a zone above it.
    pub zone: Hostname,
    /// The hosts; at most [`super::Provider::hosts_at_once`], none of them twice, never empty.
    pub hosts: Vec<HostJob>,
}

/// What a provider shall publish for one host.
///
/// A family that is absent in `wanted` but was written by us (present in `before` or `doubted`) is removed, as far as
/// its records still say what we wrote. A family absent in all of them is not touched.
#[derive(Clone, Debug, PartialEq)]
pub struct HostJob {
    /// The host.
    pub hostname: Hostname,
    /// What this provider confirmed last.
    pub before: Option<Applied>,
    /// What earlier pushes with an unknown end tried to publish: any of it may stand there. While this is not empty,
    /// `before` may be out of date, so look before writing.
    pub doubted: Vec<AddressSet>,
    /// What it shall publish.
    pub wanted: AddressSet,
    /// The TTL asked for, in seconds; `None`: keep what is there.
    pub ttl: Option<u32>,
}

impl HostJob {
    /// What this provider confirmed last; empty when nothing.
    pub(crate) fn written(&self) -> AddressSet {
        self.before.as_ref().map(|before| before.addresses).unwrap_or_default()
    }

    /// Whether this gateway wrote an address, or may have.
    pub(crate) fn may_be_ours(&self, address: IpAddr) -> bool {
        let family = Family::of(address);
        std::iter::once(&self.written()).chain(&self.doubted).any(|ours| ours.of(family) == Some(address))
    }

    /// Whether this gateway has something to do with a family of the host at all.
    pub(crate) fn concerns(&self, family: Family) -> bool {
        let ours = [self.wanted, self.written()];
        ours.iter().chain(&self.doubted).any(|set| set.of(family).is_some())
    }
}

/// When something is said, and a random number to go with it: handed in, so that a conversation asks neither clock nor
/// dice for its signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub now: Timestamp,
    /// Unguessable, another one each time.
    pub dice: u128,
}

/// A conversation about one [`Job`].
pub trait Talk {
    /// What to do, given what was heard after the last [`Step::Send`]; `None` at the start.
    fn next(&mut self, heard: Option<Heard>, moment: Moment) -> Step;
}

/// What a conversation wants.
#[derive(Debug)]
pub enum Step {
    /// It is over: one outcome for each host of the job, in the job's order.
    Done(Vec<Outcome>),
    /// It was only to look, and this is what stands there.
    Seen(Sight),
    /// Send this and tell what comes back.
    Send(Call),
}

/// What stands at a provider for one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The provider's zone, in its own words.
    pub zone: String,
    /// Every address of the name.
    pub addresses: Vec<IpAddr>,
    /// What is in the way of an update, in words: a CNAME, a record with special routing.
    pub obstacles: Vec<String>,
}

/// One message to a provider.
#[derive(Debug)]
pub enum Call {
    /// A DNS message.
    Dns(DnsCall),
    /// An HTTP request.
    Http(HttpCall),
}

/// One DNS message and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsCall {
    /// The server, as `host:port`.
    pub server: Box<str>,
    /// Over TCP rather than UDP.
    pub is_tcp: bool,
    /// The message, without the length that TCP puts before it.
    pub message: Bytes,
}

/// One HTTP request. Header values that hold a secret are marked sensitive; URLs are never logged.
pub struct HttpCall {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// The headers, besides those that every request carries.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; empty for none.
    pub body: Bytes,
}

impl fmt::Debug for HttpCall {
    /// Without query, headers and body: several providers want their secrets there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url.split('?').next().unwrap_or_default())
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A whole HTTP answer.
    Answer(Answer),
    /// A DNS message.
    Message(Bytes),
    /// No answer, or half of one.
    Silence(Silence),
}

/// A whole HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// How long the provider asks to be left alone: `Retry-After` in seconds or as a date (RFC 9110 10.2.3), else the
    /// seconds of `RateLimit` (draft-ietf-httpapi-ratelimit-headers) or of `RateLimit-Reset` and its kin where nothing
    /// is left.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let field = |name: &str| self.headers.get(name)?.to_str().ok().map(str::trim);
        if let Some(text) = field("retry-after") {
            return match text.parse() {
                Ok(seconds) => Some(Duration::from_secs(seconds)),
                Err(_) => httpdate::parse_http_date(text).ok().and_then(|date| {
                    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
                    Some(Timestamp::from_seconds(since.as_secs()).since(now))
                }),
            };
        }
        // `"default";r=0;t=30`, several by commas.
        let spent = |policy: &str| {
            let part = |name| policy.split(';').find_map(|part| part.trim().strip_prefix(name)?.parse().ok());
            part("t=").filter(|_| part("r=") == Some(0))
        };
        if let Some(seconds) = field("ratelimit").and_then(|text| text.split(',').filter_map(spent).max()) {
            return Some(Duration::from_secs(seconds));
        }
        let names = ["ratelimit", "x-ratelimit", "x-rate-limit"];
        let spent = names.into_iter().find(|name| field(&format!("{name}-remaining")) == Some("0"))?;
        let reset: u64 = field(&format!("{spent}-reset"))?.parse().ok()?;
        // Some write seconds from now, some the time in Unix seconds.
        let is_date = reset > 1_000_000_000;
        Some(if is_date { Timestamp::from_seconds(reset).since(now) } else { Duration::from_secs(reset) })
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// In words; holds no URL.
    pub why: String,
    /// Whether the request may have arrived. A write that may have arrived may have been made.
    pub was_sent: bool,
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider publishes what was wanted: it said so itself, in the answer to a write or to a look.
    Confirmed {
        /// Zone and record ids, in the provider's own words; comes back in [`HostJob::before`].
        remembered: Option<Box<str>>,
        /// The TTL that went with it, in seconds; 0 when nothing is published.
        ttl: u32,
    },
    /// The provider said no.
    Refused {
        /// Why.
        class: Class,
        /// The provider's own code.
        code: Box<str>,
        /// What happened and what would help.
        text: Box<str>,
        /// A part of the change was made before, in a call of its own.
        maybe_written: bool,
    },
    /// Nobody knows, or not now.
    Unconfirmed {
        /// `Rate`, `Busy`, `Down` or `Bug`.
        class: Class,
        /// In words.
        why: Box<str>,
        /// The provider asked to wait so long.
        retry_after: Option<Duration>,
        /// The change may have been made all the same.
        maybe_written: bool,
    },
}

impl Outcome {
    /// Refused, and nothing was changed.
    pub(crate) fn refused(class: Class, code: &str, text: &str) -> Self {
        Self::Refused { class, code: code.into(), text: text.into(), maybe_written: false }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_shows_neither_query_nor_headers() {
        let secret = HeaderValue::from_static("hush");
        let call = HttpCall {
            method: Method::GET,
            url: "https://api.test/update?token=hush".into(),
            headers: vec![(http::header::AUTHORIZATION, secret)],
            body: Bytes::from_static(b"hush"),
        };
        assert_eq!(format!("{call:?}"), "GET https://api.test/update");
    }

    #[test]
    fn patience_is_read_however_it_is_written() {
        let now = Timestamp::from_seconds(1_795_348_800); // Sun, 22 Nov 2026 12:00:00 GMT
        for (fields, seconds) in [
            (&[("retry-after", "30")][..], Some(30)),
            (&[("retry-after", " 7 ")], Some(7)),
            (&[("retry-after", "Sun, 22 Nov 2026 12:01:30 GMT")], Some(90)),
            (&[("retry-after", "Sun, 22 Nov 2026 11:59:00 GMT")], Some(0)),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "5"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "9")], Some(5)),
            (&[("ratelimit-remaining", "0"), ("ratelimit-reset", "9")], Some(9)),
            (&[("ratelimit-remaining", "3"), ("ratelimit-reset", "9")], None),
            (&[("ratelimit", "\"default\";r=0;t=42")], Some(42)),
            (&[("ratelimit", "\"a\"; r=0; t=7, \"b\"; r=0; t=11, \"c\";r=5;t=99")], Some(11)),
            (&[("ratelimit", "\"default\";r=1199;t=42")], None),
            (&[("ratelimit", "nonsense")], None),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795348860")], Some(60)),
            (&[], None),
        ] {
            let field = |(name, text): &(&'static str, &str)| {
                (HeaderName::from_static(name), HeaderValue::from_str(text).unwrap())
            };
            let answer = Answer { status: 429, headers: fields.iter().map(field).collect(), body: Bytes::new() };
            assert_eq!(answer.retry_after(now), seconds.map(Duration::from_secs), "{fields:?}");
        }
    }
}
