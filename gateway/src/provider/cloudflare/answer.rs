//! What an answer of Cloudflare's API means: the envelope, the table of error codes, records.

use std::net::IpAddr;
use std::time::Duration;

use nicgate_protocol::{Family, Hostname};
use serde::Deserialize;
use serde_json::Value;

use crate::provider::{Answer, Class, Heard, is_same_name};

/// "Please wait and consider throttling your request speed", which may come with any status.
const THROTTLED: u32 = 971;
/// Codes below which the real cause may hide in `error_chain`.
const WRAPPERS: [u32; 2] = [1004, 6003];

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    success: bool,
    errors: Option<Vec<ApiError>>,
    #[serde(default)]
    result: Value,
    result_info: Option<Paging>,
}

#[derive(Deserialize)]
struct ApiError {
    code: u32,
    #[serde(default)]
    message: String,
    error_chain: Option<Vec<ApiError>>,
}

#[derive(Deserialize)]
struct Paging {
    total_pages: Option<u64>,
}

/// The contents of a success.
#[derive(Debug)]
pub(super) struct Contents {
    /// `result`, of whatever shape.
    pub(super) result: Value,
    /// Whether there are more pages than the one asked for.
    pub(super) has_more: bool,
}

/// What went wrong, as far as the answer alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// One of the classes that all providers have.
    Plain(Class),
    /// The token is not good for this: wrong, or good for other zones only.
    Forbidden,
    /// The zone id leads nowhere.
    NoZone,
    /// The record id leads nowhere.
    NoRecord,
    /// The same record is there already.
    Exists,
}

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) meaning: Meaning,
    /// Cloudflare's code, else the HTTP status, else a word of ours.
    pub(super) code: Box<str>,
    /// Cloudflare's message, else a sentence of ours.
    pub(super) text: Box<str>,
    pub(super) retry_after: Option<Duration>,
    /// Whether a write may have been made all the same.
    pub(super) maybe_written: bool,
}

impl Trouble {
    /// An answer of unknown shape.
    pub(super) fn unknown(text: &str) -> Self {
        Self {
            meaning: Meaning::Plain(Class::Bug),
            code: "unknown_answer".into(),
            text: text.into(),
            retry_after: None,
            maybe_written: true,
        }
    }
}

/// Reads an answer. A success is HTTP 200 and `"success": true`, nothing less.
pub(super) fn read(heard: Heard) -> Result<Contents, Trouble> {
    let answer = match heard {
        Heard::Answer(answer) => answer,
        Heard::Silence(silence) => {
            return Err(Trouble {
                meaning: Meaning::Plain(Class::Down),
                code: "silence".into(),
                text: silence.why.into(),
                retry_after: None,
                maybe_written: silence.was_sent,
            });
        }
    };
    match serde_json::from_slice::<Envelope>(&answer.body) {
        Ok(envelope) if answer.status == 200 && envelope.success => {
            let pages = envelope.result_info.and_then(|paging| paging.total_pages).unwrap_or(1);
            Ok(Contents { result: envelope.result, has_more: pages > 1 })
        }
        Ok(envelope) => Err(explain(&answer, &envelope.errors.unwrap_or_default())),
        Err(_) => Err(without_envelope(&answer)),
    }
}

/// A body that is not what the API sends: a page of the edge, half an answer, something else altogether.
fn without_envelope(answer: &Answer) -> Trouble {
    let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]);
    let class = match answer.status {
        429 => Class::Rate,
        408 | 500.. => Class::Down,
        _ if body.trim_start().starts_with('<') => Class::Down,
        _ => Class::Bug,
    };
    Trouble {
        meaning: Meaning::Plain(class),
        code: answer.status.to_string().into(),
        text: format!("HTTP status {} and no JSON of the API: {body}", answer.status).into(),
        retry_after: answer.retry_after(),
        maybe_written: class != Class::Rate,
    }
}

fn explain(answer: &Answer, errors: &[ApiError]) -> Trouble {
    let cause = errors.iter().map(root_cause).find(|error| by_code(error.code, answer.status).is_some());
    let shown = cause.or_else(|| errors.first().map(root_cause));
    let is_throttled = answer.status == 429 || errors.iter().any(|error| error.code == THROTTLED);
    let meaning = match answer.status {
        _ if is_throttled => Meaning::Plain(Class::Rate),
        408 | 500.. => Meaning::Plain(Class::Down),
        status => shown.and_then(|error| by_code(error.code, status)).unwrap_or_else(|| by_status(status)),
    };
    let maybe_written = matches!(meaning, Meaning::Plain(Class::Down | Class::Bug));
    match shown {
        Some(error) => Trouble {
            meaning,
            code: error.code.to_string().into(),
            text: error.message.as_str().into(),
            retry_after: answer.retry_after(),
            maybe_written,
        },
        None => Trouble {
            meaning,
            code: answer.status.to_string().into(),
            text: format!("HTTP status {} without a reason", answer.status).into(),
            retry_after: answer.retry_after(),
            maybe_written,
        },
    }
}

/// Before October 2024 the real cause could sit in `error_chain`.
fn root_cause(error: &ApiError) -> &ApiError {
    let inner = error.error_chain.as_deref().and_then(<[ApiError]>::first);
    match inner {
        Some(inner) if WRAPPERS.contains(&error.code) => inner,
        Some(_) | None => error,
    }
}

/// The table of codes.
fn by_code(code: u32, status: u16) -> Option<Meaning> {
    Some(match code {
        9109 | 10000 if status == 403 => Meaning::Forbidden,
        6003 | 6103 | 6111 | 9106 | 9107 | 9109 | 10000 => Meaning::Plain(Class::Auth),
        7000 | 7003 => Meaning::NoZone,
        81044 => Meaning::NoRecord,
        81057 | 81058 => Meaning::Exists,
        1004 | 9000 | 9005 | 9006 | 9021 | 9041 | 81053..=81056 => Meaning::Plain(Class::Invalid),
        81045 => Meaning::Plain(Class::Quota),
        THROTTLED => Meaning::Plain(Class::Rate),
        _ => return None,
    })
}

/// What a status says by itself, where the code is not one we know.
fn by_status(status: u16) -> Meaning {
    Meaning::Plain(match status {
        401 => Class::Auth,
        403 => return Meaning::Forbidden,
        404 => return Meaning::NoRecord,
        409 | 423 => Class::Busy,
        400..=499 => Class::Invalid,
        _ => Class::Bug,
    })
}

/// One address record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: Box<str>,
    pub(super) family: Family,
    pub(super) address: IpAddr,
    pub(super) ttl: u32,
    pub(super) is_proxied: bool,
}

#[derive(Deserialize)]
struct WrittenRecord {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    content: Option<String>,
    ttl: u32,
    proxied: Option<bool>,
}

/// The address record in `value`, when it is one of `hostname`.
pub(super) fn record(value: &Value, hostname: &Hostname) -> Option<Record> {
    let written = WrittenRecord::deserialize(value).ok()?;
    let family = Family::BOTH.into_iter().find(|family| family.record_type() == written.kind)?;
    let address: IpAddr = written.content?.trim().parse().ok()?;
    let fits = Family::of(address) == family && is_same_name(&written.name, hostname) && is_id(&written.id);
    fits.then(|| Record {
        id: written.id.into(),
        family,
        address,
        ttl: written.ttl,
        is_proxied: written.proxied.unwrap_or(false),
    })
}

/// The ids of the zones named `zone`.
pub(super) fn zone_ids(list: &Value, zone: &Hostname) -> Option<Vec<Box<str>>> {
    #[derive(Deserialize)]
    struct Zone {
        id: String,
        name: String,
    }
    let zones = Vec::<Zone>::deserialize(list).ok()?;
    let named = zones.into_iter().filter(|known| is_same_name(&known.name, zone) && is_id(&known.id));
    Some(named.map(|known| known.id.into()).collect())
}

/// Whether a text may stand in a path as an id. Today's are 32 hexadecimal digits; nothing promises that.
pub(super) fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.len() <= 64 && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn heard(status: u16, body: &str) -> Heard {
        Heard::Answer(Answer { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()) })
    }

    fn error(code: u32) -> String {
        format!(r#"{{"success":false,"errors":[{{"code":{code},"message":"m"}}],"messages":[],"result":null}}"#)
    }

    #[test]
    fn every_code_has_its_meaning() {
        use Class::{Auth, Down, Invalid, Quota, Rate};
        use Meaning::{Exists, Forbidden, NoRecord, NoZone, Plain};
        for (status, code, meaning) in [
            (400, 10000, Plain(Auth)),
            (401, 10000, Plain(Auth)),
            (403, 10000, Forbidden),
            (401, 9109, Plain(Auth)),
            (403, 9109, Forbidden),
            (400, 6003, Plain(Auth)),
            (400, 6103, Plain(Auth)),
            (400, 6111, Plain(Auth)),
            (403, 9106, Plain(Auth)),
            (403, 9107, Plain(Auth)),
            (400, 7000, NoZone),
            (404, 7003, NoZone),
            (404, 81044, NoRecord),
            (400, 81057, Exists),
            (400, 81058, Exists),
            (400, 81053, Plain(Invalid)),
            (400, 81054, Plain(Invalid)),
            (400, 81055, Plain(Invalid)),
            (400, 81056, Plain(Invalid)),
            (400, 1004, Plain(Invalid)),
            (400, 9000, Plain(Invalid)),
            (400, 9005, Plain(Invalid)),
            (400, 9006, Plain(Invalid)),
            (400, 9021, Plain(Invalid)),
            (400, 9041, Plain(Invalid)),
            (400, 81045, Plain(Quota)),
            (400, 971, Plain(Rate)),
            (429, 10000, Plain(Rate)),
            (500, 81057, Plain(Down)),
            (401, 1, Plain(Auth)),
            (403, 1, Forbidden),
            (404, 1, NoRecord),
            (409, 1, Plain(Class::Busy)),
            (422, 1, Plain(Invalid)),
            (200, 1, Plain(Class::Bug)),
        ] {
            let trouble = read(heard(status, &error(code))).unwrap_err();
            assert_eq!(trouble.meaning, meaning, "{status} {code}");
            assert_eq!(&*trouble.code, code.to_string());
        }
    }

    #[test]
    fn the_cause_below_a_wrapper_counts() {
        let body = r#"{"success":false,"result":null,"errors":[{"code":1004,"message":"DNS Validation Error",
            "error_chain":[{"code":81057,"message":"The record already exists."}]}]}"#;
        let trouble = read(heard(400, body)).unwrap_err();
        assert_eq!((trouble.meaning, &*trouble.code), (Meaning::Exists, "81057"));
        let body = r#"{"success":false,"errors":[{"code":6003,"message":"Invalid request headers",
            "error_chain":[{"code":6111,"message":"Invalid format for Authorization header"}]}]}"#;
        assert_eq!(read(heard(400, body)).unwrap_err().meaning, Meaning::Plain(Class::Auth));
    }

    #[test]
    fn what_is_not_json_of_the_api_is_down_or_a_bug() {
        for (status, body, class, maybe_written) in [
            (502, "<html>bad gateway</html>", Class::Down, true),
            (522, "", Class::Down, true),
            (200, "<!DOCTYPE html><title>Just a moment</title>", Class::Down, true),
            (403, "\n<html>blocked</html>", Class::Down, true),
            (200, r#"{"success":true,"result":{"id":"abc"#, Class::Bug, true),
            (200, "", Class::Bug, true),
            (200, "[]", Class::Bug, true),
            (429, "slow down", Class::Rate, false),
            (302, "", Class::Bug, true),
        ] {
            let trouble = read(heard(status, body)).unwrap_err();
            assert_eq!(
                (trouble.meaning, trouble.maybe_written),
                (Meaning::Plain(class), maybe_written),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn success_is_status_200_and_success_true() {
        for (status, body, is_success) in [
            (200, r#"{"success":true,"result":{},"errors":[]}"#, true),
            (200, r#"{"success":true,"result":{},"errors":[{"code":1000,"message":"a remark"}]}"#, true),
            (200, r#"{"success":false,"result":{},"errors":[]}"#, false),
            (200, r#"{"result":{}}"#, false),
            (202, r#"{"success":true,"result":{},"errors":[]}"#, false),
        ] {
            assert_eq!(read(heard(status, body)).is_ok(), is_success, "{status} {body}");
        }
    }

    #[test]
    fn addresses_are_read_however_they_are_written() {
        let hostname = Hostname::parse("home.zone.example").unwrap();
        let written = |kind: &str, name: &str, content: &str, id: &str| {
            serde_json::json!({"id": id, "name": name, "type": kind, "content": content, "ttl": 300, "proxied": false,
                "proxiable": true, "settings": {}, "meta": {}, "comment": null, "tags": []})
        };
        let read = |value| record(&value, &hostname).map(|record| record.address.to_string());
        assert_eq!(read(written("A", "home.zone.example", "192.0.2.1", "a1")).as_deref(), Some("192.0.2.1"));
        let expanded = written("AAAA", "HOME.zone.example.", "2001:0DB8:0:0:0:0:0:1", "a1");
        assert_eq!(read(expanded).as_deref(), Some("2001:db8::1"));
        for other in [
            written("CNAME", "home.zone.example", "a.example", "a1"),
            written("A", "www.zone.example", "192.0.2.1", "a1"),
            written("A", "home.zone.example", "2001:db8::1", "a1"),
            written("A", "home.zone.example", "192.0.2.1", "../../zones"),
            written("A", "home.zone.example", "192.0.2.1", ""),
        ] {
            assert_eq!(read(other.clone()), None, "{other}");
        }
    }
}
