//! GoDaddy, Domains API version 1 (developer.godaddy.com/doc/endpoint/domains).
//!
//! Records of one name and type are one set; `PUT` on name and type replaces it. The wider forms of `PUT` replace all
//! records of a type, or of the domain, and are not used. Reading goes by name and type as well, so where a set is empty
//! a second look asks for a CNAME.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nicgate_protocol::{Family, Hostname};
use serde_json::{Value, json};

use super::encode::{absolute, number, relative, seconds, secret_header, segment};
use super::records::{Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json, says_nothing};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://api.godaddy.com";
/// 60 calls a minute for each endpoint (developer.godaddy.com/getstarted); not told apart here.
const BUDGET: Budget = Budget::of(&[Window::new(60, 60)]);
/// The second page of a look: what may stand in the place of an empty set.
const CNAME: &str = "CNAME";

const API_KEY: &str = "api_key";
const API_SECRET: &str = "api_secret";
const KEYS: &[Key] = &[
    Key::secret(API_KEY, "The key of a production API key; GoDaddy gives small accounts no access to DNS."),
    Key::secret(API_SECRET, "The secret that was shown with it."),
];

/// Its entry in the list of kinds.
pub const KIND: Kind =
    Kind { word: "godaddy", about: "GoDaddy, by its API; not for small accounts.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let (key, secret) = (settings.credential(API_KEY)?, settings.credential(API_SECRET)?);
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        authorization: secret_header(API_SECRET, &format!("sso-key {key}:{secret}"))?,
    }))
}

struct Account {
    base: String,
    authorization: HeaderValue,
}

impl Account {
    /// A call about one set.
    fn call(&self, method: Method, ask: &Ask<'_>, hostname: &Hostname, kind: &str) -> HttpCall {
        let name = segment(relative(hostname, ask.zone, "@"));
        let url = format!("{}/v1/domains/{}/records/{kind}/{name}", self.base, ask.zone);
        HttpCall::new(method, url).with(AUTHORIZATION, self.authorization.clone())
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Family
    }

    /// The least is the vendor's; the most is ours.
    fn ttls(&self) -> RangeInclusive<u32> {
        600..=86_400
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
                "; check api_key and api_secret: a production key, and not one of the test environment (OTE)?"
            }
            Class::Denied => {
                "; since May 2024 GoDaddy lets only accounts with 10 domains or more, or with a Discount Domain Club \
                 (Premier) plan, use its DNS API: with fewer, move the zone to another DNS provider"
            }
            Class::NoZone => "; the domain must be in the account of the key and use GoDaddy's name servers",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn writes_sets(&self) -> bool {
        true
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        self.call(Method::GET, ask, at.hostname, page.unwrap_or(at.family.record_type()))
    }

    fn looked(&self, ask: &Ask<'_>, at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body =
            read_json(answer, |status, body| explain(status, body, Meaning::NoZone)).map_err(Trouble::about_zone)?;
        let unreadable = || Trouble::unknown("the list of records cannot be read");
        let list = body.as_array().ok_or_else(unreadable)?;
        if at.page == Some(CNAME) {
            let why = |_| (at.hostname.to_string(), "the name has a CNAME record".to_owned());
            return Ok(Page { obstacles: list.iter().map(why).collect(), ..Page::default() });
        }
        let records: Option<Vec<Record>> = list.iter().map(|shown| record(shown, ask.zone)).collect();
        let next = list.is_empty().then(|| CNAME.to_owned());
        Ok(Page { records: records.ok_or_else(unreadable)?, next, ..Page::default() })
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let values = change.set();
        if values.is_empty() {
            return self.call(Method::DELETE, ask, &change.hostname, change.family.record_type());
        }
        let ttl = change.ttl();
        let body = values.iter().map(|address| json!({ "data": address, "ttl": ttl })).collect();
        self.call(Method::PUT, ask, &change.hostname, change.family.record_type()).with_json(&Value::Array(body))
    }

    /// The answer is a status of success and nothing else.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read_json(answer, |status, body| explain(status, body, Meaning::NoRecord))?;
        if says_nothing(&body) && matches!(answer.status, 200 | 201 | 204) {
            return Ok(Written::unechoed(changes));
        }
        Err(Trouble::unknown("the answer to the write does not say that it was made"))
    }
}

/// `{"data": "192.0.2.1", "name": "nas", "ttl": 600, "type": "A"}`.
fn record(shown: &Value, zone: &Hostname) -> Option<Record> {
    let address: IpAddr = shown["data"].as_str()?.parse().ok()?;
    if Family::of(address).record_type() != shown["type"].as_str()? {
        return None;
    }
    let known = Known { ttl: seconds(&shown["ttl"])?, ..Known::default() };
    Some(Record { name: absolute(shown["name"].as_str()?, zone), address, known })
}

/// `{"code": "UNKNOWN_DOMAIN", "message": "…", "fields": [{"code": "…", "message": "…", "path": "…"}]}`; `missing`: what
/// is not there when something is not.
fn explain(status: u16, body: &Value, missing: Meaning) -> Option<Trouble> {
    let (code, text) = (body["code"].as_str()?, body["message"].as_str().unwrap_or_default());
    let field = |field: &Value| Some(format!("; {}: {}", field["path"].as_str()?, field["message"].as_str()?));
    let fields: String = body["fields"].as_array().into_iter().flatten().filter_map(field).collect();
    let text = format!("{text}{fields}");
    let meaning = match (status, code) {
        (_, "ACCESS_DENIED") => Meaning::Plain(Class::Denied),
        (_, "DUPLICATE_RECORD") => Meaning::Exists,
        (_, "UNKNOWN_DOMAIN") => Meaning::NoZone,
        (404, _) => missing,
        _ => {
            let patience = number(&body["retryAfterSec"]).map(Duration::from_secs);
            return Some(Trouble::with_status(status, code, &text).patient(patience));
        }
    };
    Some(Trouble::new(meaning, code, &text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome};

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        let settings = play::settings("godaddy", &[(API_KEY, "key"), (API_SECRET, "right")]);
        play(&settings, "home.test", &[host], &script, |call| {
            assert_eq!(play::header(call, "authorization"), "sso-key key:right");
        })
        .remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    const NONE: (u16, &str) = (200, "[]");
    const DONE: (u16, &str) = (200, "");
    const LOOK: &str = "GET /v1/domains/home.test/records/A/nas";
    const LOOK_ASIDE: &str = "GET /v1/domains/home.test/records/CNAME/nas";
    const MEMORY: &str = "2 home.test home.test id= A=/600/";
    const PUT: &str = r#"PUT /v1/domains/home.test/records/A/nas [{"data":"192.0.2.2","ttl":600}]"#;

    #[test]
    fn a_new_name_is_looked_at_and_made_and_later_changes_are_one_put() {
        let put = PUT.replace("192.0.2.2", "192.0.2.1");
        assert_eq!(
            one(host("nas.home.test", "192.0.2.1"), &[(LOOK, NONE), (LOOK_ASIDE, NONE), (&put, DONE)]),
            confirmed(MEMORY, 600)
        );
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        assert_eq!(one(later(), &[(PUT, DONE)]), confirmed(MEMORY, 600));
        for body in ["[]", r#"["something"]"#] {
            assert_unconfirmed(&one(later(), &[(PUT, (200, body))]), Class::Bug, true);
        }
    }

    #[test]
    fn a_set_keeps_its_ttl_and_the_values_of_others() {
        // As recorded in 2021.
        let two = r#"[{"data": "192.0.2.1", "name": "@", "ttl": 3600, "type": "A"}, {"data": "192.0.2.77", "name": "@", "ttl": 3600, "type": "A"}]"#;
        let look = "GET /v1/domains/home.test/records/A/@";
        let put = r#"PUT /v1/domains/home.test/records/A/@ [{"data":"192.0.2.2","ttl":3600},{"data":"192.0.2.77","ttl":3600}]"#;
        let forgotten = host_after("home.test", "192.0.2.1", "", "192.0.2.2");
        let outcome = one(forgotten, &[(look, (200, two)), (put, DONE)]);
        assert_eq!(outcome, confirmed("2 home.test home.test id=", 3600));
        assert_refused(&one(host("home.test", "192.0.2.9"), &[(look, (200, two))]), Class::Invalid, "192.0.2.77");
    }

    #[test]
    fn wildcard_both_families_and_removal() {
        let path = |kind: &str| format!("/v1/domains/home.test/records/{kind}/*.lan");
        let put = |kind: &str, address: &str| format!(r#"PUT {} [{{"data":"{address}","ttl":600}}]"#, path(kind));
        let script = [
            (&*format!("GET {}", path("A")), NONE),
            (&*format!("GET {}", path("CNAME")), NONE),
            (&*format!("GET {}", path("AAAA")), NONE),
            (&*format!("GET {}", path("CNAME")), NONE),
            (&*put("A", "192.0.2.1"), DONE),
            (&*put("AAAA", "2001:db8::1"), DONE),
        ];
        let memory = "2 home.test home.test id= A=/600/ AAAA=/600/";
        assert_eq!(one(host("*.lan.home.test", "192.0.2.1,2001:db8::1"), &script), confirmed(memory, 600));
        let known = r#"[{"data": "192.0.2.1", "name": "*.lan", "ttl": 600, "type": "A"}]"#;
        let gone = host_after("*.lan.home.test", "192.0.2.1", MEMORY, "");
        let script = [(script[0].0, (200, known)), (&*format!("DELETE {}", path("A")), (204, ""))];
        assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=", 0));
    }

    #[test]
    fn answers_in_other_words_are_read() {
        let set = r#"[{"data": "192.0.2.1", "name": "nas", "ttl": "600", "type": "A", "port": null}]"#;
        let forgotten = || host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
        for answer in [DONE, (200, "{}"), (204, "")] {
            assert_eq!(one(forgotten(), &[(LOOK, (200, set)), (PUT, answer)]), confirmed(MEMORY, 600));
        }
        let outcome = one(forgotten(), &[(LOOK, (404, r#"{"message": "no"}"#))]);
        assert_refused(&outcome, Class::NoZone, "home.test");
    }

    #[test]
    fn refusals_are_told_apart() {
        let error = |code: &str| format!(r#"{{"code": "{code}", "message": "said so"}}"#);
        let new = || host("nas.home.test", "192.0.2.1");
        for (status, code, class, word) in [
            (401, "UNABLE_TO_AUTHENTICATE", Class::Auth, "api_secret"),
            (403, "ACCESS_DENIED", Class::Denied, "10 domains"),
            (404, "UNKNOWN_DOMAIN", Class::NoZone, "home.test"),
            (404, "NOT_FOUND", Class::NoZone, "home.test"),
            (422, "INVALID_BODY", Class::Invalid, "said so"),
        ] {
            assert_refused(&one(new(), &[(LOOK, (status, &error(code)))]), class, word);
        }
        let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
        let fields = r#"{"code": "INVALID_BODY", "message": "Request body doesn't fulfill schema", "fields": [{"code": "UNEXPECTED_TYPE", "message": "is not a string", "path": "records[0].data"}]}"#;
        assert_refused(&one(later(), &[(PUT, (422, fields))]), Class::Invalid, "records[0].data: is not a string");
        let cname = r#"[{"data": "elsewhere.test", "name": "nas", "ttl": 3600, "type": "CNAME"}]"#;
        assert_refused(&one(new(), &[(LOOK, NONE), (LOOK_ASIDE, (200, cname))]), Class::Invalid, "CNAME");
        // Something that is not seen is in the way.
        let duplicate = error("DUPLICATE_RECORD");
        let script = [(PUT, (422, &*duplicate)), (LOOK, NONE), (LOOK_ASIDE, NONE), (PUT, (422, &*duplicate))];
        assert_refused(&one(later(), &script), Class::Invalid, "said so");
        let hasty = r#"{"code": "TOO_MANY_REQUESTS", "message": "Too many requests received within interval", "retryAfterSec": 42}"#;
        let outcome = one(later(), &[(PUT, (429, hasty))]);
        assert_unconfirmed(&outcome, Class::Rate, false);
        assert!(matches!(outcome, Outcome::Unconfirmed { retry_after: Some(span), .. } if span.as_secs() == 42));
        assert_unconfirmed(&one(later(), &[(PUT, (500, &error("ERROR_INTERNAL")))]), Class::Down, true);
    }
}
