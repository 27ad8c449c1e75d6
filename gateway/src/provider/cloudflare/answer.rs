//! What an answer of Cloudflare's API means: the envelope, the table of error codes, records.

use std::net::IpAddr;

use nicgate_protocol::{Family, Hostname};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::AUTOMATIC_TTL;
use crate::provider::encode::{is_id, number, seconds};
use crate::provider::records::{Known, Page, Record};
use crate::provider::trouble::{Meaning, Trouble};
use crate::provider::{Answer, Class, is_same_name};

/// "Please wait and consider throttling your request speed", which may come with any status.
const THROTTLED: u32 = 971;
/// Codes below which the real cause may hide in `error_chain`.
const WRAPPERS: [u32; 2] = [1004, 6003];
/// What is noted of a proxied record.
pub(super) const PROXIED_NOTE: &str = "proxied";

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Envelope {
    success: Option<bool>,
    errors: Option<Vec<ApiError>>,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    result_info: Value,
}

impl Envelope {
    /// `"success": true`. The reference shows the answer to a `DELETE` without that member, so where it is missing, a
    /// result with an id counts.
    fn is_success(&self) -> bool {
        let has_errors = self.errors.as_ref().is_some_and(|errors| !errors.is_empty());
        self.success.unwrap_or_else(|| self.result["id"].is_string() && !has_errors)
    }
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(deserialize_with = "code")]
    code: u32,
    message: Option<String>,
    error_chain: Option<Vec<ApiError>>,
}

/// A code as a number or as a text; 0 is none of Cloudflare's.
fn code<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    Value::deserialize(from).map(|value| seconds(&value).unwrap_or(0))
}

/// The contents of a success.
#[derive(Debug)]
pub(super) struct Contents {
    /// `result`, of whatever shape.
    pub(super) result: Value,
    /// The number of the next page.
    pub(super) next: Option<u64>,
}

/// Reads an answer. A success is HTTP 200 (201 would say no less) and `"success": true`.
pub(super) fn read(answer: &Answer) -> Result<Contents, Trouble> {
    match serde_json::from_slice::<Envelope>(&answer.body) {
        Ok(envelope) if matches!(answer.status, 200 | 201) && envelope.is_success() => {
            let paging = |member: &str| number(&envelope.result_info[member]).unwrap_or(1);
            let page = paging("page");
            let next = (page < paging("total_pages")).then_some(page + 1);
            Ok(Contents { result: envelope.result, next })
        }
        Ok(envelope) => Err(explain(answer, &envelope.errors.unwrap_or_default())),
        // A page of the edge, half an answer, something else altogether.
        Err(_) => Err(Trouble::by_status(answer)),
    }
}

fn explain(answer: &Answer, errors: &[ApiError]) -> Trouble {
    let cause = errors.iter().map(root_cause).find(|error| by_code(error.code, answer.status).is_some());
    let shown = cause.or_else(|| errors.first().map(root_cause));
    let Some(error) = shown else { return Trouble::by_status(answer) };
    let (code, text) = (error.code.to_string(), error.message.as_deref().unwrap_or_default());
    if answer.status == 429 || errors.iter().any(|error| error.code == THROTTLED) {
        return Trouble::of(Class::Rate, &code, text);
    }
    match by_code(error.code, answer.status) {
        Some(meaning) if !matches!(answer.status, 408 | 500..) => Trouble::new(meaning, &code, text),
        Some(_) | None => Trouble::with_status(answer.status, &code, text),
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

#[derive(Deserialize)]
struct WrittenRecord {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    content: Option<String>,
    #[serde(default)]
    ttl: Value,
    proxied: Option<bool>,
}

/// The address record in `value`.
pub(super) fn record(value: &Value) -> Option<Record> {
    let written = WrittenRecord::deserialize(value).ok()?;
    let family = Family::BOTH.into_iter().find(|family| family.record_type() == written.kind)?;
    let address: IpAddr = written.content?.trim().parse().ok()?;
    let note = if written.proxied.unwrap_or(false) { PROXIED_NOTE } else { "" };
    let ttl = seconds(&written.ttl).unwrap_or(AUTOMATIC_TTL);
    let known = Known { id: written.id.as_str().into(), ttl, note: note.into() };
    (Family::of(address) == family && is_id(&written.id)).then_some(Record { name: written.name, address, known })
}

/// One page of a list of records.
pub(super) fn page(contents: Contents) -> Option<Page> {
    let list = contents.result.as_array()?;
    let alias = |value: &Value| {
        let name = value["name"].as_str()?;
        (value["type"] == "CNAME").then(|| (name.to_owned(), "the name has a CNAME record".to_owned()))
    };
    Some(Page {
        records: list.iter().filter_map(record).collect(),
        obstacles: list.iter().filter_map(alias).collect(),
        next: contents.next.map(|page| page.to_string()),
    })
}

/// The ids of the zones named `zone`.
pub(super) fn zone_ids(list: &Value, zone: &Hostname) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Zone {
        id: String,
        name: String,
    }
    let zones = Vec::<Zone>::deserialize(list).ok()?;
    let named = zones.into_iter().filter(|known| is_same_name(&known.name, zone) && is_id(&known.id));
    Some(named.map(|known| known.id).collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn said(status: u16, body: &str) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()) }
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
            let trouble = read(&said(status, &error(code))).unwrap_err();
            assert_eq!(trouble.meaning, meaning, "{status} {code}");
            assert_eq!(&*trouble.code, code.to_string());
        }
    }

    #[test]
    fn the_cause_below_a_wrapper_counts() {
        let body = r#"{"success":false,"result":null,"errors":[{"code":1004,"message":"DNS Validation Error",
            "error_chain":[{"code":81057,"message":"The record already exists."}]}]}"#;
        let trouble = read(&said(400, body)).unwrap_err();
        assert_eq!((trouble.meaning, &*trouble.code), (Meaning::Exists, "81057"));
        let body = r#"{"success":false,"errors":[{"code":6003,"message":"Invalid request headers",
            "error_chain":[{"code":6111,"message":"Invalid format for Authorization header"}]}]}"#;
        assert_eq!(read(&said(400, body)).unwrap_err().meaning, Meaning::Plain(Class::Auth));
    }

    #[test]
    fn success_is_status_200_and_success_true() {
        for (status, body, is_success) in [
            (200, r#"{"success":true,"result":{},"errors":[]}"#, true),
            (200, r#"{"success":true,"result":{},"errors":[{"code":1000,"message":"a remark"}]}"#, true),
            (200, r#"{"success":false,"result":{},"errors":[]}"#, false),
            (200, r#"{"result":{}}"#, false),
            (200, r#"{"success":null,"result":[]}"#, false),
            (201, r#"{"success":true,"result":{},"errors":null}"#, true),
            // The reference's example of an answer to a DELETE.
            (200, r#"{"result":{"id":"023e105f4ecef8ad9ca31a8372d0c353"}}"#, true),
            (200, r#"{"result":{"id":"a1"},"errors":[{"code":"1000","message":null}]}"#, false),
            (200, r#"{"success":true,"result":[],"result_info":{"page":"1","total_pages":null}}"#, true),
            (202, r#"{"success":true,"result":{},"errors":[]}"#, false),
        ] {
            assert_eq!(read(&said(status, body)).is_ok(), is_success, "{status} {body}");
        }
    }

    #[test]
    fn addresses_are_read_however_they_are_written() {
        let written = |kind: &str, content: &str, id: &str| {
            serde_json::json!({"id": id, "name": "home.zone.example", "type": kind, "content": content, "ttl": 300,
                "proxied": false, "proxiable": true, "settings": {}, "meta": {}, "comment": null, "tags": []})
        };
        let read = |value: &Value| record(value).map(|record| record.address.to_string());
        let mut text = written("A", "192.0.2.1", "a1");
        text["ttl"] = "300".into();
        assert_eq!(record(&text).map(|record| record.known.ttl), Some(300));
        assert_eq!(read(&written("A", "192.0.2.1", "a1")).as_deref(), Some("192.0.2.1"));
        assert_eq!(read(&written("AAAA", "2001:0DB8:0:0:0:0:0:1", "a1")).as_deref(), Some("2001:db8::1"));
        for other in [
            written("CNAME", "a.example", "a1"),
            written("A", "2001:db8::1", "a1"),
            written("A", "192.0.2.1", "../../zones"),
            written("A", "192.0.2.1", ""),
        ] {
            assert_eq!(read(&other), None, "{other}");
        }
    }
}
