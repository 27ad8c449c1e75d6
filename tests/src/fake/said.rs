//! What a fake says: an answer, or a mishap instead of one.

use bytes::Bytes;
use nicgate_protocol::Timestamp;
use serde_json::Value;

/// One whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The status.
    pub status: u16,
    /// The headers, besides the length of the body.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl Said {
    /// A status and nothing else.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// JSON.
    #[must_use]
    pub fn json(status: u16, value: &Value) -> Self {
        Self::of_type(status, "application/json", value.to_string())
    }

    /// Plain text.
    #[must_use]
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::of_type(status, "text/plain; charset=utf-8", text.into())
    }

    /// XML.
    #[must_use]
    pub fn xml(status: u16, text: impl Into<String>) -> Self {
        Self::of_type(status, "text/xml", text.into())
    }

    /// A page for people, as proxies and gateways before an API send it.
    #[must_use]
    pub fn html(status: u16) -> Self {
        let page = "<!DOCTYPE html><html><head><title>Just a moment</title></head><body>ray 1</body></html>";
        Self::of_type(status, "text/html; charset=utf-8", page.to_owned())
    }

    /// The way to somewhere else.
    #[must_use]
    pub fn redirect(status: u16, to: &str) -> Self {
        Self::empty(status).with("location", to)
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn of_type(status: u16, content_type: &str, body: String) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }
}

/// How a fake misbehaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Cuts the connection without having done anything.
    Cuts,
    /// Does what was asked, and cuts the connection before the answer.
    CutsAfter,
    /// Takes the request, does nothing and says nothing until the caller gives up.
    Mute,
    /// Does what was asked, and says nothing until the caller gives up.
    MuteAfter,
    /// None: does what was asked and answers.
    None,
    /// Says this instead, and does nothing.
    Says(Said),
    /// Does what was asked, announces the whole answer, sends half of it and cuts the connection.
    SendsHalf,
}

/// As `Retry-After` and others write a time: IMF-fixdate (RFC 9110 5.6.7).
#[must_use]
pub fn http_date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // 1970 began on a Thursday
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second) = at.civil();
    let weekday = usize::try_from(at.seconds() / 86_400 % 7).map_or("", |day| DAYS[day]);
    let month = usize::try_from(month - 1).map_or("", |month| MONTHS[month]);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_writes_them() {
        // The example of RFC 9110 5.6.7.
        assert_eq!(http_date(Timestamp::from_seconds(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
