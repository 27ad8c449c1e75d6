//! What a dyndns2 server answers: one word for each host, with the address where it is a success. The words are those
//! of Dyn's help pages and of the dialects that servers and clients show (No-IP, Dynu, OVH, dy.fi, easyDNS,
//! Infomaniak). No server is asked about more than one host at once.
//!
//! Which status goes with a word differs from server to server, so a known word counts and the status does not, but
//! that a success needs one of success.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use nicgate_protocol::AddressSet;
use nicgate_protocol::address::unmapped;

use crate::provider::trouble::{Meaning, Trouble};
use crate::provider::{Answer, Class};

/// No-IP asks for it after `911`; Dyn's own words are ten minutes.
const OUTAGE: Duration = Duration::from_secs(30 * 60);
/// What Dyn answered to clients it did not like, in place of the address that was asked for.
const IGNORED: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Whether the answer says that `sent` stands now.
///
/// # Errors
/// When it does not, with the server's word for it.
pub(in crate::provider) fn read(answer: &Answer, sent: AddressSet) -> Result<(), Trouble> {
    let is_success = (200..300).contains(&answer.status);
    let body = std::str::from_utf8(&answer.body).unwrap_or_default();
    let lines: Vec<&str> = body.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut is_told = false;
    for line in lines {
        let (word, rest) = line.split_once(|letter: char| letter.is_whitespace()).unwrap_or((line, ""));
        let word = word.trim_end_matches([':', ',', '.', ';']).to_ascii_lowercase();
        match meaning(&word) {
            Some(Said::Success) if is_success => {
                echoes(rest, sent)?;
                is_told = true;
            }
            Some(Said::Refusal(meaning, text)) => {
                let patience = (word == "911").then_some(OUTAGE);
                return Err(Trouble::new(meaning, &word, &format!("the server says {word}: {text}")).patient(patience));
            }
            // Some servers add a line of prose to a success.
            Some(Said::Success) | None if is_told => {}
            Some(Said::Success) | None => break,
        }
    }
    if is_told { Ok(()) } else { Err(Trouble::by_status(answer)) }
}

/// What a success shows must be what was sent, as far as it shows any of that family.
fn echoes(rest: &str, sent: AddressSet) -> Result<(), Trouble> {
    let words = rest.split(|letter: char| letter.is_whitespace() || letter == ',');
    for shown in words.filter_map(|word| word.parse().ok()).map(unmapped) {
        let same = sent.iter().any(|address| address == shown);
        let is_of_its_family = sent.iter().any(|address| address.is_ipv4() == shown.is_ipv4());
        if !same && shown == IGNORED {
            let text = "the server says good 127.0.0.1, which means that it ignores this program";
            return Err(Trouble::of(Class::Denied, "good 127.0.0.1", text));
        }
        if !same && is_of_its_family {
            return Err(Trouble::unknown(&format!("the server says good for {shown}, and was sent {sent}")));
        }
    }
    Ok(())
}

enum Said {
    Success,
    Refusal(Meaning, &'static str),
}

/// A word in lower case; `None` for one that nobody documents.
fn meaning(word: &str) -> Option<Said> {
    let (class, text) = match word {
        "good"
        | "ok"
        | "nochg"
        | "nochange"
        | "nochglocal"
        | "no_change"
        | "successfully_changed"
        | "no_error"
        | "noerror" => return Some(Said::Success),
        "badauth" | "no_access" | "noaccess" => (Class::Auth, "username or password is wrong"),
        "!donator" => (Class::Denied, "this needs a paid account"),
        "badagent" => (Class::Denied, "it does not serve this program, until the program changes"),
        "abuse" => (Class::Denied, "the host is blocked for abuse, until somebody asks the vendor to lift that"),
        "!yours" => (Class::Denied, "the host belongs to somebody else"),
        "!active" => (Class::Denied, "the host is not active"),
        "no_service" | "noservice" => (Class::Denied, "the domain has no dynamic DNS"),
        "nohost" => return Some(Said::Refusal(Meaning::NoRecord, "the account has no such host; make it there first")),
        "notfqdn" | "nofqdn" => (Class::Invalid, "it is no full host name"),
        "numhost" => (Class::Invalid, "too many hosts at once, or a host with several addresses"),
        "badip" | "badparam" | "badsys" | "badrequest" | "illegal_input" => {
            (Class::Invalid, "it does not understand the request; compare path and parameter names")
        }
        "dnserr" | "servererror" | "unknown" => (Class::Down, "a fault over there"),
        "911" => (Class::Down, "an outage or maintenance over there"),
        "tooquick" | "too_soon" | "toosoon" => (Class::Rate, "it was told too often"),
        _ if word.starts_with("wait") => (Class::Rate, "it was told too often"),
        _ => return None,
    };
    Some(Said::Refusal(Meaning::Plain(class), text))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::provider::play::set;

    fn said(status: u16, body: &'static str, sent: &str) -> Result<(), Trouble> {
        read(&Answer { status, headers: HeaderMap::new(), body: Bytes::from(body) }, set(sent))
    }

    #[test]
    fn successes_are_those_of_every_dialect() {
        for (body, sent) in [
            ("good 192.0.2.1\n", "192.0.2.1"),
            ("nochg 192.0.2.1", "192.0.2.1"),
            ("GOOD\r\n", "192.0.2.1"),
            ("good 192.0.2.1,2001:DB8::1", "192.0.2.1,2001:db8::1"),
            ("good 2001:db8:0::1 192.0.2.1", "192.0.2.1,2001:db8::1"),
            ("good 192.0.2.1\nnochg 2001:db8::1\n", "192.0.2.1,2001:db8::1"),
            ("\n\ngood 192.0.2.1", "192.0.2.1"),
            ("good 127.0.0.1", "127.0.0.1"),
            ("good 192.0.2.1", "2001:db8::1"),
            ("OK", "192.0.2.1"),
            ("successfully_changed 192.0.2.1", "192.0.2.1"),
            ("NO_ERROR: done\nThank you.", "192.0.2.1"),
        ] {
            assert_eq!(said(200, body, sent), Ok(()), "{body}");
        }
    }

    #[test]
    fn every_other_word_has_its_class_whatever_the_status() {
        for (word, class) in [
            ("badauth", Class::Auth),
            ("!donator", Class::Denied),
            ("badagent", Class::Denied),
            ("abuse", Class::Denied),
            ("!yours", Class::Denied),
            ("notfqdn", Class::Invalid),
            ("nofqdn", Class::Invalid),
            ("numhost", Class::Invalid),
            ("badip 1.2.3", Class::Invalid),
            ("badparam", Class::Invalid),
            ("badsys", Class::Invalid),
            ("dnserr", Class::Down),
            ("911", Class::Down),
            ("servererror", Class::Down),
            ("unknown", Class::Down),
            ("wait15m", Class::Rate),
            ("TOO_SOON", Class::Rate),
            ("tooquick", Class::Rate),
        ] {
            for status in [200, 400, 500] {
                let answer = Answer { status, headers: HeaderMap::new(), body: Bytes::from(word) };
                let trouble = read(&answer, set("192.0.2.1")).unwrap_err();
                assert_eq!(trouble.meaning, Meaning::Plain(class), "{status} {word}");
            }
        }
        assert_eq!(said(200, "nohost", "192.0.2.1").unwrap_err().meaning, Meaning::NoRecord);
        assert_eq!(said(200, "911", "192.0.2.1").unwrap_err().retry_after, Some(OUTAGE));
    }

    #[test]
    fn what_is_no_answer_to_that_is_none() {
        for (status, body, sent, meaning) in [
            (200, "", "192.0.2.1", Meaning::Plain(Class::Bug)),
            (200, "updated", "192.0.2.1", Meaning::Plain(Class::Bug)),
            (200, "<html>good", "192.0.2.1", Meaning::Plain(Class::Down)),
            (500, "good 192.0.2.1", "192.0.2.1", Meaning::Plain(Class::Down)),
            (401, "who are you?", "192.0.2.1", Meaning::Plain(Class::Auth)),
            (403, "no", "192.0.2.1", Meaning::Forbidden),
            (429, "Request was throttled.", "192.0.2.1", Meaning::Plain(Class::Rate)),
            (200, "good 192.0.2.7", "192.0.2.1", Meaning::Plain(Class::Bug)),
            (200, "good 127.0.0.1", "192.0.2.1", Meaning::Plain(Class::Denied)),
            (200, "good 192.0.2.1\nbadauth", "192.0.2.1,2001:db8::1", Meaning::Plain(Class::Auth)),
        ] {
            assert_eq!(said(status, body, sent).unwrap_err().meaning, meaning, "{status} {body}");
        }
    }
}
