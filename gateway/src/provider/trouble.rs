//! Answers that are no success, in the words that all providers share.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::{Answer, Class, Outcome};

/// Letters of an unexpected body that are kept for the operator.
const SHOWN: usize = 200;
/// Stands where a text goes on.
pub(crate) const CUT: char = '…';

/// What went wrong, as far as one answer alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// What the operator or the reconciler must know, whatever was asked.
    Plain(Class),
    /// The same record is there already, or nothing would change.
    Exists,
    /// The credential is not good for this: wrong, or good for other zones only.
    Forbidden,
    /// The zone takes no TTL as low as that.
    LowTtl,
    /// No such record, or an id that leads nowhere.
    NoRecord,
    /// No such zone, or an id that leads nowhere.
    NoZone,
}

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) meaning: Meaning,
    /// The provider's code, else the HTTP status, else a word of ours.
    pub(crate) code: Box<str>,
    /// The provider's message, else a sentence of ours.
    pub(crate) text: Box<str>,
    /// How long the provider asked to be left alone, if its own form of saying so is not one of
    /// [`Answer::retry_after`]'s.
    pub(crate) retry_after: Option<Duration>,
    /// Whether a write may have been made all the same.
    pub(crate) maybe_written: bool,
}

impl Trouble {
    /// With the provider's own code and message. A write may have been made where the class leaves that open.
    pub(crate) fn new(meaning: Meaning, code: &str, text: &str) -> Self {
        Self {
            meaning,
            code: code.into(),
            text: text.into(),
            retry_after: None,
            maybe_written: matches!(meaning, Meaning::Plain(Class::Down | Class::Bug)),
        }
    }

    /// Of a class.
    pub(crate) fn of(class: Class, code: &str, text: &str) -> Self {
        Self::new(Meaning::Plain(class), code, text)
    }

    /// An answer of unknown shape.
    pub(crate) fn unknown(text: &str) -> Self {
        Self::of(Class::Bug, "unknown_answer", text)
    }

    /// What a status says by itself, with a body that says nothing we know.
    pub(crate) fn by_status(answer: &Answer) -> Self {
        let body = shown(&answer.body);
        let text = format!("HTTP status {} and an answer that is none of the API's: {body}", answer.status);
        let is_page = body.trim_start().starts_with('<')
            && answer
                .headers
                .get(CONTENT_TYPE)
                .is_none_or(|kind| kind.to_str().is_ok_and(|kind| kind.contains("html")));
        let meaning = match answer.status {
            _ if is_page && !matches!(answer.status, 401 | 429) => Meaning::Plain(Class::Down),
            status => meaning_of(status),
        };
        Self::new(meaning, &answer.status.to_string(), &text)
    }

    /// What a status says, with the provider's own code and message.
    pub(crate) fn with_status(status: u16, code: &str, text: &str) -> Self {
        Self::new(meaning_of(status), code, text)
    }

    /// The same, with the patience that the provider asked for in a form of its own.
    pub(crate) fn patient(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after: retry_after.or(self.retry_after), ..self }
    }

    /// The same, where nothing but the zone can be missing.
    pub(crate) fn about_zone(self) -> Self {
        let meaning = if self.meaning == Meaning::NoRecord { Meaning::NoZone } else { self.meaning };
        Self { meaning, ..self }
    }

    /// As the end of a conversation. `is_write`: the answer was to a write; `before`: an earlier part of the change was
    /// made.
    pub(crate) fn outcome(&self, class: Class, is_write: bool, before: bool, cure: &str) -> Outcome {
        let maybe_written = before || is_write && self.maybe_written;
        match class {
            Class::Auth | Class::Denied | Class::NoZone | Class::Invalid | Class::Quota => Outcome::Refused {
                class,
                code: self.code.clone(),
                text: format!("{}{cure}", self.text).into(),
                maybe_written,
            },
            Class::Rate | Class::Busy | Class::Down | Class::Bug => {
                Outcome::Unconfirmed { class, why: self.text.clone(), retry_after: self.retry_after, maybe_written }
            }
        }
    }
}

/// The beginning of a body. Where something is left out stands [`CUT`], so that half a secret can be told from none.
fn shown(body: &[u8]) -> String {
    let whole = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    if body.len() <= SHOWN { whole.into_owned() } else { format!("{}{CUT}", whole.trim_end_matches('\u{fffd}')) }
}

/// What a status says by itself (RFC 9110 15).
fn meaning_of(status: u16) -> Meaning {
    Meaning::Plain(match status {
        401 => Class::Auth,
        403 => return Meaning::Forbidden,
        404 => return Meaning::NoRecord,
        429 => Class::Rate,
        409 | 423 => Class::Busy,
        408 | 500.. => Class::Down,
        400..=499 => Class::Invalid,
        _ => Class::Bug,
    })
}

/// The JSON of an answer with a status of success (2xx); `Null` where the body is empty.
///
/// # Errors
/// With another status, what `explain` makes of it and of the JSON; `None` from it, and whatever is no JSON at all, is
/// explained by the status alone.
pub(crate) fn read_json(
    answer: &Answer,
    explain: impl FnOnce(u16, &Value) -> Option<Trouble>,
) -> Result<Value, Trouble> {
    let is_success = (200..300).contains(&answer.status);
    let is_empty = answer.body.iter().all(u8::is_ascii_whitespace);
    let parsed = if is_empty && is_success { Ok(Value::Null) } else { serde_json::from_slice(&answer.body) };
    match parsed {
        Ok(value) if is_success => Ok(value),
        Ok(value) => Err(explain(answer.status, &value).unwrap_or_else(|| Trouble::by_status(answer))),
        Err(_) => Err(Trouble::by_status(answer)),
    }
}

/// Whether the body of a success adds nothing to its status: for APIs that answer a write so.
pub(crate) fn says_nothing(body: &Value) -> bool {
    body.is_null() || body.as_object().is_some_and(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn a_status_alone_has_its_meaning() {
        for (status, body, meaning, maybe_written) in [
            (401, "", Meaning::Plain(Class::Auth), false),
            (403, "no", Meaning::Forbidden, false),
            (403, "\n<html>blocked</html>", Meaning::Plain(Class::Down), true),
            (404, "", Meaning::NoRecord, false),
            (422, "{}", Meaning::Plain(Class::Invalid), false),
            (423, "", Meaning::Plain(Class::Busy), false),
            (429, "<html>slow down</html>", Meaning::Plain(Class::Rate), false),
            (502, "<html>bad gateway</html>", Meaning::Plain(Class::Down), true),
            (522, "", Meaning::Plain(Class::Down), true),
            (200, "<!DOCTYPE html><title>Just a moment</title>", Meaning::Plain(Class::Down), true),
            (200, "half a js", Meaning::Plain(Class::Bug), true),
            (302, "", Meaning::Plain(Class::Bug), true),
        ] {
            let answer = Answer { status, headers: HeaderMap::new(), body: Bytes::from(body) };
            let trouble = Trouble::by_status(&answer);
            assert_eq!((trouble.meaning, trouble.maybe_written), (meaning, maybe_written), "{status} {body}");
        }
    }

    #[test]
    fn a_long_body_is_cut_where_one_can_see_it() {
        let answer = |body: String| Answer { status: 400, headers: HeaderMap::new(), body: Bytes::from(body) };
        let said = |body: &str| Trouble::by_status(&answer(body.repeat(SHOWN))).text;
        assert!(said("a").ends_with('a') && said("ab").ends_with("ab…") && said("€").ends_with("€…"));
    }

    #[test]
    fn xml_is_no_page() {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/xml"))]);
        let answer = Answer { status: 400, headers, body: Bytes::from("<Error/>") };
        assert_eq!(Trouble::by_status(&answer).meaning, Meaning::Plain(Class::Invalid));
    }

    #[test]
    fn only_json_with_a_status_of_success_is_one() {
        let read = |status, body: &'static str| {
            let answer = Answer { status, headers: HeaderMap::new(), body: Bytes::from(body) };
            read_json(&answer, |_, body| body["known"].as_bool().map(|_| Trouble::of(Class::Quota, "known", "")))
        };
        assert!(read(200, "{}").is_ok() && read(201, "[]").is_ok());
        assert_eq!((read(204, ""), read(200, "\r\n")), (Ok(Value::Null), Ok(Value::Null)));
        assert!(["", "null", "{}"].into_iter().all(|body| says_nothing(&read(200, body).unwrap())));
        assert!(["[]", "{\"a\": 1}", "\"OK\""].into_iter().all(|body| !says_nothing(&read(200, body).unwrap())));
        assert_eq!(read(200, "{").unwrap_err().meaning, Meaning::Plain(Class::Bug));
        assert_eq!(read(400, r#"{"known": true}"#).unwrap_err().meaning, Meaning::Plain(Class::Quota));
        assert_eq!(read(400, r#"{"other": true}"#).unwrap_err().meaning, Meaning::Plain(Class::Invalid));
        assert_eq!(read(500, "").unwrap_err().meaning, Meaning::Plain(Class::Down));
    }
}
