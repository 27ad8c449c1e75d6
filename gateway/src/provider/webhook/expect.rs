//! What an answer must be like to count as a success.
//!
//! ```text
//! expect = "status 200-299; contains OK"
//! expect = "status 200,202; json /result/ok = true; json /ip = {ip}"
//! ```
//!
//! Clauses stand between `;` and all of them must hold. Without a `status` clause it is 200-299.
//!
//! - `status LIST`: numbers and ranges between commas; `2xx` is 200-299.
//! - `contains TEXT`: the body has the text in it, as it is written; the blanks around it do not count.
//! - `json POINTER = VALUE`: at the pointer (RFC 6901) stands a text, number, `true`, `false` or `null` that reads so.
//!   Addresses are compared as addresses.
//!
//! A clause may do without its first word: `200-299` and `2xx` are statuses, `/success = true` is a pointer and a value, and
//! whatever else is a text that the body has in it.
//!
//! Words such as `{ip}` may stand in texts and values. A clause with an address in it is no matter when a host goes
//! offline.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::template::{Place, Template, Values};

/// All clauses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expectation {
    statuses: Vec<RangeInclusive<u16>>,
    clauses: Vec<Clause>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Clause {
    Contains(Template),
    Json(String, Template),
}

impl Clause {
    fn template(&self) -> &Template {
        match self {
            Self::Contains(text) | Self::Json(_, text) => text,
        }
    }
}

impl Default for Expectation {
    fn default() -> Self {
        Self { statuses: vec![200..=299], clauses: Vec::new() }
    }
}

impl Expectation {
    /// Reads the clauses.
    ///
    /// # Errors
    /// What is wrong with the first that cannot be read, and what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut statuses, mut clauses) = (Vec::new(), Vec::new());
        for clause in text.split(';').map(str::trim).filter(|clause| !clause.is_empty()) {
            let (word, rest) = clause.split_once(' ').unwrap_or((clause, ""));
            let rest = rest.trim();
            let (word, rest) = match word {
                "status" | "contains" | "json" => (word, rest),
                _ if parse_statuses(clause).is_ok() => ("status", clause),
                _ if clause.starts_with('/') && clause.contains('=') => ("json", clause),
                _ => ("contains", clause),
            };
            match word {
                "status" => statuses.extend(parse_statuses(rest)?),
                "json" => {
                    let parts = rest.split_once('=').map(|(pointer, value)| (pointer.trim(), value.trim()));
                    let Some((pointer, value)) = parts.filter(|(pointer, _)| pointer.starts_with('/')) else {
                        return Err(format!("{clause:?} has no pointer and value: \"json /success = true\""));
                    };
                    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
                    clauses.push(Clause::Json(pointer.to_owned(), Template::parse(value)?));
                }
                _ if rest.is_empty() => return Err("contains needs a text: \"contains OK\"".to_owned()),
                _ => clauses.push(Clause::Contains(Template::parse(rest)?)),
            }
        }
        if statuses.is_empty() {
            statuses = Self::default().statuses;
        }
        Ok(Self { statuses, clauses })
    }

    /// Whether a status is one of success.
    pub(super) fn takes(&self, status: u16) -> bool {
        self.statuses.iter().any(|range| range.contains(&status))
    }

    /// Every text in it.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.clauses.iter().map(Clause::template)
    }

    /// Whether a body is as it must be; `is_removal`: it answers to a call that takes addresses away.
    ///
    /// # Errors
    /// What it is not.
    pub(super) fn check(&self, body: &[u8], values: &Values<'_>, is_removal: bool) -> Result<(), String> {
        for clause in self.clauses.iter().filter(|clause| !(is_removal && clause.template().has_address())) {
            match clause {
                Clause::Contains(text) => {
                    let text = text.fill(values, Place::Plain);
                    if !String::from_utf8_lossy(body).contains(&text) {
                        return Err(format!("the answer does not contain {text:?}"));
                    }
                }
                Clause::Json(pointer, value) => {
                    let value = value.fill(values, Place::Plain);
                    let document: Value =
                        serde_json::from_slice(body).map_err(|_| "the answer is no JSON".to_owned())?;
                    match document.pointer(pointer) {
                        Some(found) if reads_so(found, &value) => {}
                        Some(Value::Array(_) | Value::Object(_)) => {
                            return Err(format!("{pointer} of the answer is a list or an object, not {value}"));
                        }
                        Some(found) => return Err(format!("{pointer} of the answer is {found}, not {value}")),
                        None => return Err(format!("the answer has no {pointer}")),
                    }
                }
            }
        }
        Ok(())
    }
}

fn reads_so(found: &Value, wanted: &str) -> bool {
    let text = match found {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) => found.to_string(),
        Value::Array(_) | Value::Object(_) => return false,
    };
    let address = |text: &str| text.parse::<IpAddr>().ok();
    text == wanted || address(&text).is_some_and(|found| address(wanted) == Some(found))
}

fn parse_statuses(text: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    let wrong = || format!("status {text:?} is no list of statuses: \"status 200-299\" or \"status 200,204\"");
    let number = |text: &str| text.trim().parse().ok().filter(|status| (100..=599).contains(status));
    let range = |part: &str| {
        if let Some(hundred) = part.trim().to_ascii_lowercase().strip_suffix("xx") {
            let hundred: u16 = hundred.parse().ok().filter(|hundred| (1..=5).contains(hundred))?;
            return Some(hundred * 100..=hundred * 100 + 99);
        }
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let range = number(from)?..=number(to)?;
        (!range.is_empty()).then_some(range)
    };
    text.split(',').map(|part| range(part).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use nicgate_protocol::{Family, Hostname};

    use super::*;
    use crate::provider::play::set;

    #[test]
    fn clauses_hold_or_do_not() {
        let name = Hostname::parse("home.test").unwrap();
        let values = Values {
            hostname: &name,
            zone: &name,
            addresses: set("2001:db8::1"),
            family: Some(Family::V6),
            ttl: 60,
            timestamp: 0,
        };
        for (text, status, body, holds) in [
            ("", 204, "", true),
            ("", 302, "", false),
            ("status 200,300-302", 301, "", true),
            ("status 200", 201, "", false),
            ("contains OK; contains {ip}", 200, "OK 2001:db8::1", true),
            ("contains OK;", 200, "ko", false),
            ("json /success = true", 200, r#"{"success": true}"#, true),
            ("json /success = true", 200, r#"{"success": "true"}"#, true),
            ("json /success = true", 200, r#"{"success": false}"#, false),
            ("json /success = true", 200, "<html>", false),
            ("json /a/0/code = 1000", 200, r#"{"a": [{"code": 1000}]}"#, true),
            ("json /error = null", 200, r#"{"error": null}"#, true),
            ("json /error = null", 200, r#"{}"#, false),
            ("json /ip = {ip}", 200, r#"{"ip": "2001:0DB8::0001"}"#, true),
            ("json /text = \"a = b\"", 200, r#"{"text": "a = b"}"#, true),
            ("2xx", 204, "", true),
            ("200, 204", 201, "", false),
            ("200-299; updated {ip}", 200, "updated 2001:db8::1", true),
            ("OK", 200, "KO", false),
            ("/success = true", 200, r#"{"success": false}"#, false),
        ] {
            let expectation = Expectation::parse(text).unwrap();
            let is_met = expectation.takes(status) && expectation.check(body.as_bytes(), &values, false).is_ok();
            assert_eq!(is_met, holds, "{text} {status} {body}");
        }
        let expectation = Expectation::parse("json /done = true; contains {ip}").unwrap();
        let body = br#"{"done": true}"#;
        assert!(expectation.check(body, &values, true).is_ok() && expectation.check(body, &values, false).is_err());
    }

    #[test]
    fn what_is_no_clause_is_named() {
        for text in
            ["status", "status 6xx", "status 300-200", "status 99", "contains", "json /a", "json a = 1", "contains {x}"]
        {
            assert!(Expectation::parse(text).is_err(), "{text}");
        }
    }
}
