//! Gandi LiveDNS, API version 5 (api.gandi.net/docs/livedns).
//!
//! Records of one name and type are one set; `PUT` replaces it. There are no ids, so a change is one call also after
//! everything was forgotten but what stood there.
//!
//! Both families at once, or several names, would take a `PUT` on the name or on the whole domain. Either removes all
//! records that it does not name, those of other types and those made since the last look included, so it is not used:
//! each family costs a call.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nicgate_protocol::{Family, Hostname};
use serde_json::{Value, json};

use super::encode::{absolute, bearer, relative, seconds, segment};
use super::records::{Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json, says_nothing};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://api.gandi.net/v5/livedns";
/// 1,000 calls a minute from one address (api.gandi.net/docs/reference, Rate limit).
const BUDGET: Budget = Budget::of(&[Window::new(1000, 60)]);

const TOKEN: &str = "token";
const KEYS: &[Key] =
    &[Key::secret(TOKEN, "A personal access token with the right to manage the domain's technical configuration.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "gandi", about: "Gandi LiveDNS.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        authorization: bearer(settings, TOKEN)?,
    }))
}

struct Account {
    base: String,
    authorization: HeaderValue,
}

impl Account {
    /// A call about all records of a name, or with `kind` about those of one type.
    fn call(&self, method: Method, ask: &Ask<'_>, hostname: &Hostname, kind: &str) -> HttpCall {
        let name = segment(relative(hostname, ask.zone, "@"));
        let url = format!("{}/domains/{}/records/{name}{kind}", self.base, ask.zone);
        HttpCall::new(method, url).with(AUTHORIZATION, self.authorization.clone())
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Name
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        300..=2_592_000
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn tells_rights_apart(&self) -> bool {
        true
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => {
                "; check token: is it a personal access token, whole, and not expired? Gandi's always expire"
            }
            Class::Denied => "; give the token the right to manage the technical configuration of this domain",
            Class::NoZone => "; the domain must use LiveDNS and belong to the organization of the token",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn writes_sets(&self) -> bool {
        true
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, _page: Option<&str>) -> HttpCall {
        self.call(Method::GET, ask, at.hostname, "")
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, explain)?;
        let unreadable = || Trouble::unknown("the list of records cannot be read");
        let sets = body.as_array().ok_or_else(unreadable)?;
        let mut page = Page::default();
        for set in sets {
            let (Some(name), Some(kind)) = (set["rrset_name"].as_str(), set["rrset_type"].as_str()) else {
                return Err(unreadable());
            };
            let name = absolute(name, ask.zone);
            match kind {
                "A" | "AAAA" => page.records.extend(records(set, &name, kind).ok_or_else(unreadable)?),
                "ALIAS" | "CNAME" => page.obstacles.push((name, format!("the name has a {kind} record"))),
                _ => {}
            }
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let kind = format!("/{}", change.family.record_type());
        let values = change.set();
        if values.is_empty() {
            return self.call(Method::DELETE, ask, &change.hostname, &kind);
        }
        let body = json!({ "rrset_values": values, "rrset_ttl": change.ttl() });
        self.call(Method::PUT, ask, &change.hostname, &kind).with_json(&body)
    }

    /// The answer to a `PUT` is "DNS Record Created" (201), to a `DELETE` nothing (204): neither repeats the values.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read_json(answer, explain)?;
        if matches!(answer.status, 200 | 201 | 204) && (body["message"].is_string() || says_nothing(&body)) {
            return Ok(Written::unechoed(changes));
        }
        Err(Trouble::unknown("the answer to the write does not say that it was made"))
    }
}

/// The addresses of a set. One that cannot be read would be lost with the next write, so then there are none.
fn records(set: &Value, name: &str, kind: &str) -> Option<Vec<Record>> {
    let known = Known { ttl: seconds(&set["rrset_ttl"])?, ..Known::default() };
    let record = |value: &Value| {
        let address = value.as_str()?.parse::<IpAddr>().ok()?;
        let record = Record { name: name.to_owned(), address, known: known.clone() };
        (Family::of(address).record_type() == kind).then_some(record)
    };
    set["rrset_values"].as_array()?.iter().map(record).collect()
}

/// `{"code": 404, "message": "…", "object": "dns-record", "cause": "Not Found"}`, sometimes with `errors`:
/// `[{"location": "body", "name": "rrset_ttl", "description": "…"}]`.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let field = |field: &Value| Some(format!("; {}: {}", field["name"].as_str()?, field["description"].as_str()?));
    let fields: String = body["errors"].as_array().into_iter().flatten().filter_map(field).collect();
    let text = &format!("{}{fields}", body["message"].as_str()?);
    let code = body["cause"].as_str().unwrap_or("error");
    Some(match (status, body["object"].as_str()) {
        (404, Some(object)) if object.contains("record") => Trouble::new(Meaning::NoRecord, code, text),
        (404, _) => Trouble::new(Meaning::NoZone, code, text),
        _ => Trouble::with_status(status, code, text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(&play::settings("gandi", &[(TOKEN, "right")]), "home.test", &[host], &script, |call| {
            assert_eq!(play::header(call, "authorization"), "Bearer right");
        })
        .remove(0)
    }

    const MADE: (u16, &str) = (201, r#"{"message": "DNS Record Created"}"#);
    const NONE: (u16, &str) = (200, "[]");
    const LOOK: &str = "GET /domains/home.test/records/nas";

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    #[test]
    fn a_new_name_is_looked_at_and_made_and_later_changes_are_one_put() {
        let put = r#"PUT /domains/home.test/records/nas/A {"rrset_ttl":300,"rrset_values":["192.0.2.1"]}"#;
        let memory = "2 home.test home.test id= A=/300/";
        assert_eq!(one(host("nas.home.test", "192.0.2.1"), &[(LOOK, NONE), (put, MADE)]), confirmed(memory, 300));
        let put = r#"PUT /domains/home.test/records/nas/A {"rrset_ttl":300,"rrset_values":["192.0.2.2"]}"#;
        let later = host_after("nas.home.test", "192.0.2.1", memory, "192.0.2.2");
        assert_eq!(one(later, &[(put, MADE)]), confirmed(memory, 300));
    }

    #[test]
    fn a_set_keeps_its_ttl_and_the_values_of_others() {
        let sets = r#"[{"rrset_name": "nas", "rrset_ttl": 10800, "rrset_type": "A", "rrset_values": ["192.0.2.1", "192.0.2.77"],
            "rrset_href": "https://api.gandi.net/v5/livedns/domains/home.test/records/nas/A"}]"#;
        let put =
            r#"PUT /domains/home.test/records/nas/A {"rrset_ttl":10800,"rrset_values":["192.0.2.2","192.0.2.77"]}"#;
        let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
        let memory = "2 home.test home.test id=";
        assert_eq!(one(forgotten, &[(LOOK, (200, sets)), (put, MADE)]), confirmed(memory, 10800));
        assert_refused(&one(host("nas.home.test", "192.0.2.9"), &[(LOOK, (200, sets))]), Class::Invalid, "192.0.2.77");
    }

    #[test]
    fn root_wildcard_removal_and_a_zone_above() {
        let look = "GET /domains/home.test/records/@";
        let put = r#"PUT /domains/home.test/records/@/AAAA {"rrset_ttl":300,"rrset_values":["2001:db8::1"]}"#;
        let outcome = one(host("home.test", "2001:db8::1"), &[(look, NONE), (put, MADE)]);
        assert_eq!(outcome, confirmed("2 home.test home.test id= AAAA=/300/", 300));
        let gone = host_after("*.home.test", "192.0.2.1", "2 home.test home.test id= A=/300/", "");
        let look = "GET /domains/home.test/records/*";
        let sets = r#"[{"rrset_name": "*", "rrset_ttl": 300, "rrset_type": "A", "rrset_values": ["192.0.2.1"]}]"#;
        let delete = "DELETE /domains/home.test/records/*/A";
        assert_eq!(one(gone, &[(look, (200, sets)), (delete, (204, ""))]), confirmed("2 home.test home.test id=", 0));
    }

    #[test]
    fn a_value_that_cannot_be_read_is_not_lost_by_a_write() {
        let sets =
            r#"[{"rrset_name": "nas", "rrset_ttl": 300, "rrset_type": "A", "rrset_values": ["192.0.2.1", "192.0.2"]}]"#;
        let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
        assert_unconfirmed(&one(forgotten, &[(LOOK, (200, sets))]), Class::Bug, false);
    }

    #[test]
    fn answers_in_other_words_are_read() {
        let sets = r#"[{"rrset_name": "nas", "rrset_ttl": "300", "rrset_type": "A", "rrset_values": ["192.0.2.1"]}]"#;
        let put = r#"PUT /domains/home.test/records/nas/A {"rrset_ttl":300,"rrset_values":["192.0.2.2"]}"#;
        let memory = "2 home.test home.test id= A=/300/";
        let forgotten = || host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
        for answer in [(200, MADE.1), (201, ""), (204, "")] {
            assert_eq!(one(forgotten(), &[(LOOK, (200, sets)), (put, answer)]), confirmed(memory, 300));
        }
        for answer in [(202, MADE.1), (200, "[]"), (201, r#"{"something": "else"}"#)] {
            assert_unconfirmed(&one(forgotten(), &[(LOOK, (200, sets)), (put, answer)]), Class::Bug, true);
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let no_zone = r#"{"code": 404, "message": "Unknown domain", "object": "dns-zone", "cause": "Not Found"}"#;
        for (answer, class, word) in [
            (
                (
                    401,
                    r#"{"code": 401, "message": "The server could not verify", "object": "HTTPUnauthorized", "cause": "Unauthorized"}"#,
                ),
                Class::Auth,
                "token",
            ),
            (
                (
                    403,
                    r#"{"code": 403, "message": "Access was denied", "object": "HTTPForbidden", "cause": "Forbidden"}"#,
                ),
                Class::Denied,
                "give the token the right",
            ),
            ((404, no_zone), Class::NoZone, "home.test"),
        ] {
            assert_refused(&one(host("nas.home.test", "192.0.2.1"), &[(LOOK, answer)]), class, word);
        }
        let wrong = r#"{"code": 400, "message": "The request could not be understood", "object": "HTTPBadRequest", "cause": "Bad Request",
            "errors": [{"location": "body", "name": "rrset_ttl", "description": "299 is less than minimum value 300"}]}"#;
        let put = r#"PUT /domains/home.test/records/nas/A {"rrset_ttl":300,"rrset_values":["192.0.2.1"]}"#;
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[(LOOK, NONE), (put, (400, wrong))]);
        assert_refused(&outcome, Class::Invalid, "rrset_ttl: 299");
        // As recorded in 2020.
        let missing =
            r#"{"code": 404, "message": "Can't find the DNS record", "object": "dns-record", "cause": "Not Found"}"#;
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[(LOOK, (404, missing)), (put, MADE)]);
        assert!(matches!(outcome, Outcome::Confirmed { .. }), "{outcome:?}");
    }
}
