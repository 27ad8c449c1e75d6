//! deSEC, API version 1 (desec.readthedocs.io, and docs/ of github.com/desec-io/desec-stack).
//!
//! Records of one name and type are one set. A `PATCH` of a list of sets makes, changes and removes several of them, all
//! or none, and counts as one call against limits that are narrow: a day has 300 writes for each domain. What a set in
//! the list leaves out (here its TTL) stays.
//!
//! Each domain has a least TTL, 3600 as a rule. It is the zone's id here; what is asked for below is moved up to it.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, LINK};
use nicgate_protocol::Family;
use serde_json::{Value, json};

use super::encode::{absolute, number, percent_decoded, percent_encoded, relative, seconds, secret_header};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url, is_same_name,
};

const DEFAULT_ENDPOINT: &str = "https://desec.io/api/v1";
/// The least of a domain that does not say its own, as most have it.
const USUAL_LEAST: u64 = 3600;
/// The vendor's most, in seconds.
const MOST_TTL: u32 = 86_400;
/// Sets in one write. The vendor names no bound; ours keeps calls and answers small.
const BATCH: usize = 50;
/// Writes: 2 a second, 15 a minute, 100 an hour and 300 a day for each domain; reads 10 a second and 50 a minute; 2,000
/// calls a day in all (rate-limits.html). Not told apart here, so that the narrower ones hold.
const BUDGET: Budget =
    Budget::of(&[Window::new(2, 1), Window::new(15, 60), Window::new(100, 3600), Window::new(300, 86_400)]);

const TOKEN: &str = "token";
const KEYS: &[Key] = &[Key::secret(TOKEN, "An API token; a policy may bound it to the domain's A and AAAA records.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "desec", about: "deSEC, by its API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        authorization: secret_header(TOKEN, &format!("Token {}", settings.credential(TOKEN)?))?,
    }))
}

struct Account {
    base: String,
    authorization: HeaderValue,
}

impl Account {
    fn call(&self, method: Method, ask: &Ask<'_>, below: &str) -> HttpCall {
        let url = format!("{}/domains/{}/{below}", self.base, ask.zone);
        HttpCall::new(method, url).with(AUTHORIZATION, self.authorization.clone())
    }
}

impl Api for Account {
    fn view(&self, hosts: usize) -> View {
        if hosts > 1 { View::Zone } else { View::Name }
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        1..=MOST_TTL
    }

    fn least_ttl(&self, zone_id: &str) -> u32 {
        zone_id.parse().unwrap_or(1).min(MOST_TTL)
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn tells_rights_apart(&self) -> bool {
        true
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check token: is it whole, not expired, and allowed from this address?",
            Class::Denied => "; give the token a policy that lets it write this domain's records",
            Class::NoZone => "; the domain must be in the account of the token",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn changes_at_once(&self) -> usize {
        BATCH
    }

    fn writes_sets(&self) -> bool {
        true
    }

    fn find_zone(&self, ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        Some(self.call(Method::GET, ask, ""))
    }

    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let body = read_json(answer, |status, body| explain(status, body, Meaning::NoZone))?;
        let is_other = body["name"].as_str().is_some_and(|name| !is_same_name(name, ask.zone));
        if is_other || !body.is_object() {
            return Err(Trouble::unknown("the domain cannot be read"));
        }
        Ok(Found::Zone(number(&body["minimum_ttl"]).unwrap_or(USUAL_LEAST).to_string()))
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let name = percent_encoded(relative(at.hostname, ask.zone, ""));
        let query = match at.view {
            View::Zone => format!("cursor={}", percent_encoded(page.unwrap_or_default())),
            View::Family | View::Name => format!("subname={name}"),
        };
        self.call(Method::GET, ask, &format!("rrsets/?{query}"))
    }

    fn looked(&self, ask: &Ask<'_>, at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body =
            read_json(answer, |status, body| explain(status, body, Meaning::NoZone)).map_err(Trouble::about_zone)?;
        let unreadable = || Trouble::unknown("the list of records cannot be read");
        let sets = body.as_array().ok_or_else(unreadable)?;
        let next = if at.view == View::Zone { next_cursor(&answer.headers) } else { None };
        let mut page = Page { next, ..Page::default() };
        for set in sets {
            let (Some(name), Some(kind)) = (set["subname"].as_str(), set["type"].as_str()) else {
                return Err(unreadable());
            };
            match kind {
                "A" | "AAAA" => page.records.extend(records(set, ask).ok_or_else(unreadable)?),
                "CNAME" => page.obstacles.push((absolute(name, ask.zone), "the name has a CNAME record".to_owned())),
                _ => {}
            }
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let set = |change: &Change| {
            let mut set = json!({
                "subname": relative(&change.hostname, ask.zone, ""),
                "type": change.family.record_type(),
                "records": change.set(),
            });
            let ttl = match change.act {
                Act::Create { ttl, .. } => Some(ttl),
                Act::Alter { ttl, .. } => ttl,
                Act::Remove { .. } => None,
            };
            if let Some(ttl) = ttl {
                set["ttl"] = json!(ttl);
            }
            set
        };
        let body = changes.iter().map(set).collect();
        self.call(Method::PATCH, ask, "rrsets/").with_json(&Value::Array(body))
    }

    /// The answer shows every set that is left.
    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read_json(answer, |status, body| explain(status, body, Meaning::NoRecord))?;
        let sets = match body.as_array() {
            Some(sets) => sets.as_slice(),
            None if answer.status == 204 => &[],
            None => return Err(Trouble::unknown("the answer to the write does not show the records")),
        };
        let records: Vec<Record> = sets.iter().filter_map(|set| records(set, ask)).flatten().collect();
        Written::among(&records, changes)
    }
}

/// The addresses of a set. One that cannot be read would be lost with the next write, so then there are none.
fn records(set: &Value, ask: &Ask<'_>) -> Option<Vec<Record>> {
    let name = absolute(set["subname"].as_str()?, ask.zone);
    let known = Known { ttl: seconds(&set["ttl"])?, ..Known::default() };
    let record = |value: &Value| {
        let address = value.as_str()?.parse::<IpAddr>().ok()?;
        let record = Record { name: name.clone(), address, known: known.clone() };
        (set["type"] == Family::of(address).record_type()).then_some(record)
    };
    set["records"].as_array()?.iter().map(record).collect()
}

/// The cursor of the page after this one, out of `Link: <…?cursor=abc>; rel="next"`.
fn next_cursor(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let mut next = links.filter(|link| link.contains("rel=\"next\""));
    let (_, query) = next.next()?.split_once('>')?.0.split_once('?')?;
    query.split('&').find_map(|pair| percent_decoded(pair.strip_prefix("cursor=")?))
}

/// `{"detail": "Not found."}`, or what is wrong with which field: `{"ttl": ["…"]}`, or a list of these with an entry for
/// each set. `missing`: what is not there when something is not.
fn explain(status: u16, body: &Value, missing: Meaning) -> Option<Trouble> {
    if let Some(text) = body["detail"].as_str() {
        return Some(match status {
            404 => Trouble::new(missing, "not_found", text),
            _ => Trouble::with_status(status, &status.to_string(), text),
        });
    }
    let faults = faults(body);
    let (code, first) = faults.first()?;
    // A set that was to be changed and is gone: to make one, its TTL would have had to be told.
    if *code == "ttl" && first.contains("required") {
        return Some(Trouble::new(Meaning::NoRecord, code, first));
    }
    let text = faults.iter().map(|(code, text)| format!("{code}: {text}")).collect::<Vec<_>>().join("; ");
    Some(Trouble::with_status(status, code, &text))
}

/// What is wrong with which field.
fn faults(body: &Value) -> Vec<(&str, &str)> {
    let parts = body.as_array().map_or_else(|| std::slice::from_ref(body), Vec::as_slice);
    let fields = parts.iter().filter_map(Value::as_object).flatten();
    let texts = |value| Some(Value::as_array(value)?.iter().filter_map(Value::as_str));
    fields.flat_map(|(name, value)| texts(value).into_iter().flatten().map(|text| (name.as_str(), text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    fn all(hosts: &[HostJob], script: &[(&str, (u16, &str))]) -> Vec<Outcome> {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(&play::settings("desec", &[(TOKEN, "right")]), "home.test", hosts, &script, |call| {
            assert_eq!(play::header(call, "authorization"), "Token right");
        })
    }

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        all(&[host], script).remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    const DOMAIN: (&str, (u16, &str)) = (
        "GET /domains/home.test/",
        (
            200,
            r#"{"created": "2022-11-12T18:01:35.454616Z", "published": "2022-11-12T18:03:19.516440Z",
                "touched": "2022-11-12T18:03:19.516440Z", "name": "home.test", "minimum_ttl": 3600}"#,
        ),
    );
    const NONE: (u16, &str) = (200, "[]");
    const LOOK: &str = "GET /domains/home.test/rrsets/?subname=nas";
    const MEMORY: &str = "2 home.test home.test id=3600 A=/3600/";

    /// As recorded in 2025.
    fn set(subname: &str, kind: &str, values: &str) -> String {
        format!(
            r#"{{"created": "2025-10-15T23:22:14.754330Z", "domain": "home.test", "subname": "{subname}",
                "name": "{subname}.home.test.", "records": [{values}], "ttl": 3600, "type": "{kind}",
                "touched": "2025-10-15T23:22:14.762918Z"}}"#
        )
    }

    fn list(sets: &[String]) -> String {
        format!("[{}]", sets.join(", "))
    }

    #[test]
    fn a_new_name_gets_the_least_ttl_and_later_changes_are_one_call() {
        let patch =
            r#"PATCH /domains/home.test/rrsets/ [{"records":["192.0.2.1"],"subname":"nas","ttl":3600,"type":"A"}]"#;
        let made = list(&[set("nas", "A", r#""192.0.2.1""#)]);
        let new = HostJob { ttl: Some(60), ..host("nas.home.test", "192.0.2.1") };
        assert_eq!(one(new, &[DOMAIN, (LOOK, NONE), (patch, (200, &made))]), confirmed(MEMORY, 3600));
        let patch = r#"PATCH /domains/home.test/rrsets/ [{"records":["192.0.2.2"],"subname":"nas","type":"A"}]"#;
        let made = list(&[set("nas", "A", r#""192.0.2.2""#)]);
        for ttl in [None, Some(60)] {
            let later = HostJob { ttl, ..host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2") };
            assert_eq!(one(later, &[(patch, (200, &made))]), confirmed(MEMORY, 3600));
        }
        for other in ["[]".to_owned(), list(&[set("x", "A", r#""192.0.2.2""#)])] {
            let later = host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
            assert_unconfirmed(&one(later, &[(patch, (200, &other))]), Class::Bug, true);
        }
        let patch =
            r#"PATCH /domains/home.test/rrsets/ [{"records":["192.0.2.2"],"subname":"nas","ttl":7200,"type":"A"}]"#;
        let dearer = HostJob { ttl: Some(7200), ..host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2") };
        let made = made.replace(r#""ttl": 3600"#, r#""ttl": 7200"#);
        assert_eq!(one(dearer, &[(patch, (200, &made))]), confirmed("2 home.test home.test id=3600 A=/7200/", 7200));
    }

    #[test]
    fn families_and_hosts_go_together() {
        let memory = "2 home.test home.test id=3600 A=/3600/ AAAA=/3600/";
        let both = host_after("home.test", "192.0.2.1,2001:db8::1", memory, "192.0.2.2,2001:db8::2");
        let wild = host_after("*.lan.home.test", "192.0.2.1", MEMORY, "192.0.2.3");
        let patch = concat!(
            r#"PATCH /domains/home.test/rrsets/ [{"records":["192.0.2.2"],"subname":"","type":"A"},"#,
            r#"{"records":["2001:db8::2"],"subname":"","type":"AAAA"},"#,
            r#"{"records":["192.0.2.3"],"subname":"*.lan","type":"A"}]"#
        );
        let made = list(&[
            set("", "A", r#""192.0.2.2""#),
            set("*.lan", "A", r#""192.0.2.3""#),
            set("", "AAAA", r#""2001:db8::2""#),
        ]);
        let outcomes = all(&[both, wild], &[(patch, (200, &made))]);
        assert_eq!(outcomes, [confirmed(memory, 3600), confirmed(MEMORY, 3600)]);
    }

    #[test]
    fn a_removal_leaves_what_others_put_there() {
        let empty = r#"PATCH /domains/home.test/rrsets/ [{"records":[],"subname":"nas","type":"A"}]"#;
        let sets = list(&[set("nas", "A", r#""192.0.2.1""#), set("nas", "TXT", r#""\"x\"""#)]);
        let gone = || host_after("nas.home.test", "192.0.2.1", MEMORY, "");
        for answer in [(200, "[]"), (204, "")] {
            let outcome = one(gone(), &[(LOOK, (200, &sets)), (empty, answer)]);
            assert_eq!(outcome, confirmed("2 home.test home.test id=3600", 0));
        }
        let left = r#"PATCH /domains/home.test/rrsets/ [{"records":["192.0.2.77"],"subname":"nas","type":"A"}]"#;
        let sets = list(&[set("nas", "A", r#""192.0.2.77", "192.0.2.1""#)]);
        let outcome = one(gone(), &[(LOOK, (200, &sets)), (left, (200, &sets))]);
        assert_eq!(outcome, confirmed("2 home.test home.test id=3600", 0));
    }

    #[test]
    fn the_next_page_stands_in_a_header() {
        for (text, cursor) in [
            (
                r#"<https://desec.io/api/v1/domains/home.test/rrsets/?cursor=>; rel="first", <https://desec.io/api/v1/domains/home.test/rrsets/?cursor=a%3D%3D&x=1>; rel="next""#,
                Some("a=="),
            ),
            (r#"<https://desec.io/api/v1/domains/home.test/rrsets/?cursor=:prev>; rel="prev""#, None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_str(text).unwrap())]);
            assert_eq!(next_cursor(&headers).as_deref(), cursor, "{text}");
        }
        let hosts = [host("a.home.test", "192.0.2.1"), host("b.home.test", "192.0.2.1")];
        let script = [DOMAIN, ("GET /domains/home.test/rrsets/?cursor=", (401, r#"{"detail": "Invalid token."}"#))];
        assert_refused(&all(&hosts, &script)[1], Class::Auth, "Invalid token.");
    }

    #[test]
    fn answers_in_other_words_are_read() {
        // A domain as it was recorded in 2025, and as it could be told with a text for a number.
        let made = list(&[set("nas", "A", r#""192.0.2.1""#).replace("3600", "\"3600\"")]);
        let patch =
            r#"PATCH /domains/home.test/rrsets/ [{"records":["192.0.2.1"],"subname":"nas","ttl":3600,"type":"A"}]"#;
        for domain in ["{}", r#"{"name": "home.test.", "minimum_ttl": "3600", "keys": null}"#] {
            let script = [(DOMAIN.0, (200, domain)), (LOOK, NONE), (patch, (201, &*made))];
            assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 3600), "{domain}");
        }
        for other in [r#"{"name": "x.test"}"#, "[]", "null"] {
            assert_unconfirmed(
                &one(host("nas.home.test", "192.0.2.1"), &[(DOMAIN.0, (200, other))]),
                Class::Bug,
                false,
            );
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let new = || host("nas.home.test", "192.0.2.1");
        for (status, detail, class, word) in [
            (401, "Invalid token.", Class::Auth, "check token"),
            (403, "You do not have permission to perform this action.", Class::Denied, "policy"),
            (404, "Not found.", Class::NoZone, "home.test"),
        ] {
            let answer = (status, &*format!(r#"{{"detail": "{detail}"}}"#));
            assert_refused(&one(new(), &[(DOMAIN.0, answer)]), class, word);
        }
        let cname = list(&[set("nas", "CNAME", r#""elsewhere.test.""#)]);
        assert_refused(&one(new(), &[DOMAIN, (LOOK, (200, &cname))]), Class::Invalid, "CNAME");
        let patch = r#"PATCH /domains/home.test/rrsets/ [{"records":["192.0.2.2"],"subname":"nas","type":"A"}]"#;
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        let throttled = r#"{"detail": "Request was throttled. Expected available in 3321 seconds."}"#;
        assert_unconfirmed(&one(later(), &[(patch, (429, throttled))]), Class::Rate, false);
        let wrong = r#"[{"records": ["Record content of type A malformed."]}]"#;
        assert_refused(&one(later(), &[(patch, (400, wrong))]), Class::Invalid, "records: Record content");
        let wrong = r#"{"non_field_errors": ["too much"]}"#;
        assert_refused(&one(later(), &[(patch, (400, wrong))]), Class::Invalid, "non_field_errors: too much");
        // A set that somebody removed is made again.
        let gone = r#"[{"ttl": ["This field is required."]}]"#;
        let again =
            r#"PATCH /domains/home.test/rrsets/ [{"records":["192.0.2.2"],"subname":"nas","ttl":3600,"type":"A"}]"#;
        let made = list(&[set("nas", "A", r#""192.0.2.2""#)]);
        let script = [(patch, (400, gone)), (LOOK, NONE), (again, (200, &*made))];
        assert_eq!(one(later(), &script), confirmed(MEMORY, 3600));
    }
}
