//! OVHcloud, API 1.0 (eu.api.ovh.com/console, section `/domain/zone`).
//!
//! Every call is signed with SHA-1 over both secrets, method, URL, body and time. A list shows ids only, so each record
//! is read by a call of its own. Nothing that was written counts before the zone is refreshed.
//!
//! It does not ask OVH for the time (`/auth/time`): a gateway whose clock is wrong has other troubles, and is told.
//! OAuth2 is not spoken.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use nicgate_protocol::{Hostname, Secret};
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::encode::{absolute, number, percent_encoded, query, relative, seconds, secret_header};
use super::records::{Act, Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Moment, Provider, ProviderSettings, Window, base_url,
};

/// The endpoints of the regions (github.com/ovh/python-ovh, `ENDPOINTS`).
const REGIONS: [(&str, &str); 3] = [
    ("ovh-eu", "https://eu.api.ovh.com/1.0"),
    ("ovh-ca", "https://ca.api.ovh.com/1.0"),
    ("ovh-us", "https://api.us.ovhcloud.com/1.0"),
];
/// OVH names no limit; a bound of our own, in calls and seconds.
const BUDGET: Budget = Budget::of(&[Window::new(300, 60)]);
/// Records of one name and type beyond which nobody reads them one by one.
const MOST: usize = 20;
/// The page of a look after an empty list: whether a CNAME stands there instead.
const ALIASES: &str = "CNAME";

const APPLICATION_KEY: &str = "application_key";
const APPLICATION_SECRET: &str = "application_secret";
const CONSUMER_KEY: &str = "consumer_key";
const REGION: &str = "region";
const KEYS: &[Key] = &[
    Key::secret(APPLICATION_KEY, "The application key (AK)."),
    Key::secret(APPLICATION_SECRET, "The application secret (AS)."),
    Key::secret(CONSUMER_KEY, "The consumer key (CK), with GET, POST, PUT and DELETE on /domain/zone/*."),
    Key::text(REGION, "Where the account lives: ovh-eu (the default), ovh-ca or ovh-us.").optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "ovh", about: "OVHcloud DNS zones, by their API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let region = settings.text(REGION).map_or(REGIONS[0].0, str::trim);
    let found = REGIONS.into_iter().find(|(word, _)| *word == region);
    let (_, endpoint) = found.ok_or_else(|| {
        let why = "write \"ovh-eu\", \"ovh-ca\" or \"ovh-us\"".to_owned();
        BadSetting { key: REGION, why }
    })?;
    let consumer_key = settings.credential(CONSUMER_KEY)?;
    Ok(Zoned::provider(Account {
        base: base_url(settings, endpoint)?,
        application: secret_header(APPLICATION_KEY, settings.credential(APPLICATION_KEY)?)?,
        application_secret: Secret::new(settings.credential(APPLICATION_SECRET)?.to_owned()),
        consumer: secret_header(CONSUMER_KEY, consumer_key)?,
        consumer_key: Secret::new(consumer_key.to_owned()),
    }))
}

struct Account {
    base: String,
    application: HeaderValue,
    application_secret: Secret<String>,
    consumer: HeaderValue,
    consumer_key: Secret<String>,
}

impl Account {
    /// A signed call about a zone.
    fn call(&self, method: Method, ask: &Ask<'_>, path: &str, body: Option<&Value>) -> HttpCall {
        let call = HttpCall::new(method, format!("{}/domain/zone/{}{path}", self.base, ask.zone));
        let call = match body {
            Some(body) => call.with_json(body),
            None => call,
        };
        self.signed(call, ask.moment)
    }

    fn signed(&self, call: HttpCall, moment: Moment) -> HttpCall {
        let seconds = moment.now.seconds();
        let signature = signature(self.application_secret.expose(), self.consumer_key.expose(), &call, seconds);
        let value = HeaderValue::from_str(&signature).expect("hexadecimal digits fit into a header");
        call.with(HeaderName::from_static("x-ovh-application"), self.application.clone())
            .with(HeaderName::from_static("x-ovh-consumer"), self.consumer.clone())
            .with(HeaderName::from_static("x-ovh-timestamp"), HeaderValue::from(seconds))
            .with(HeaderName::from_static("x-ovh-signature"), value)
    }

    fn list(&self, ask: &Ask<'_>, kind: &str, hostname: &Hostname) -> HttpCall {
        let name = relative(hostname, ask.zone, "");
        let path = format!("/record?{}", query(&[("fieldType", kind), ("subDomain", name)]));
        self.call(Method::GET, ask, &path, None)
    }
}

/// `$1$` and the hexadecimal SHA-1 of `AS+CK+METHOD+URL+BODY+TIME`.
fn signature(application_secret: &str, consumer_key: &str, call: &HttpCall, seconds: u64) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("{application_secret}+{consumer_key}+{}+{}+", call.method, call.url));
    hash.update(&call.body);
    hash.update(format!("+{seconds}"));
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("$1${digits}")
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Family
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        60..=604_800
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => {
                "; check application_key, application_secret and consumer_key, the region, and this machine's clock"
            }
            Class::Denied => "; make a consumer key with GET, POST, PUT and DELETE on /domain/zone/*",
            Class::NoZone => "; the zone must be one of this account, in this region",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    /// The ids of the type's records; then each of them, `page` being the ids that are left.
    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        match page {
            None => self.list(ask, at.family.record_type(), at.hostname),
            Some(ALIASES) => self.list(ask, ALIASES, at.hostname),
            Some(ids) => {
                let id = ids.split(',').next().unwrap_or(ids);
                self.call(Method::GET, ask, &format!("/record/{}", percent_encoded(id)), None)
            }
        }
    }

    fn looked(&self, ask: &Ask<'_>, at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, explain)?;
        let left = match at.page {
            None => {
                let ids = ids(&body).ok_or_else(|| Trouble::unknown("the list of records cannot be read"))?;
                if ids.len() > MOST {
                    let text = format!("the name has more than {MOST} records of one type");
                    return Err(Trouble::of(Class::Invalid, "too_many_records", &text));
                }
                let next = if ids.is_empty() { ALIASES.to_owned() } else { ids.join(",") };
                return Ok(Page { next: Some(next), ..Page::default() });
            }
            Some(ALIASES) => {
                let ids = ids(&body).ok_or_else(|| Trouble::unknown("the list of records cannot be read"))?;
                let alias = || (at.hostname.as_str().to_owned(), "the name has a CNAME record".to_owned());
                let obstacles = ids.first().map(|_| alias()).into_iter().collect();
                return Ok(Page { obstacles, ..Page::default() });
            }
            Some(ids) => ids.split_once(',').map(|(_, left)| left.to_owned()),
        };
        let record = record(&body, ask.zone).ok_or_else(|| Trouble::unknown("the record cannot be read"))?;
        Ok(Page { records: vec![record], next: left, ..Page::default() })
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let name = relative(&change.hostname, ask.zone, "");
        let body = json!({ "subDomain": name, "target": change.to(), "ttl": change.ttl() });
        let path = |known: &Known| format!("/record/{}", percent_encoded(&known.id));
        match &change.act {
            Act::Create { .. } => {
                let mut body = body;
                body["fieldType"] = json!(change.family.record_type());
                self.call(Method::POST, ask, "/record", Some(&body))
            }
            Act::Alter { known, .. } => self.call(Method::PUT, ask, &path(known), Some(&body)),
            Act::Remove { known, .. } => self.call(Method::DELETE, ask, &path(known), None),
        }
    }

    /// A new record is shown; the answers to a change and to a removal are `null`. A changed one may be shown as well.
    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read_json(answer, explain)?;
        let is_new = matches!(changes, [Change { act: Act::Create { .. }, .. }]);
        let is_gone = matches!(changes, [Change { act: Act::Remove { .. }, .. }]);
        match record(&body, ask.zone) {
            Some(record) if !is_gone => Ok(vec![Written::shown(record)]),
            None if !is_new && body.is_null() => Ok(Written::unechoed(changes)),
            Some(_) | None => Err(Trouble::unknown("the answer to the write does not say that it was made")),
        }
    }

    fn finish(&self, ask: &Ask<'_>, wrote: bool) -> Option<HttpCall> {
        wrote.then(|| self.call(Method::POST, ask, "/refresh", None))
    }

    fn finished(&self, answer: &Answer) -> Result<(), Trouble> {
        read_json(answer, explain).map(drop)
    }
}

/// A list of ids, which are numbers.
fn ids(body: &Value) -> Option<Vec<String>> {
    body.as_array()?.iter().map(|id| number(id).map(|id| id.to_string())).collect()
}

/// `{"target": "192.0.2.1", "ttl": 3600, "zone": "…", "fieldType": "A", "id": 1553659879, "subDomain": "nas"}`.
fn record(body: &Value, zone: &Hostname) -> Option<Record> {
    let known =
        Known { id: number(&body["id"])?.to_string().into(), ttl: seconds(&body["ttl"]).unwrap_or(0), note: "".into() };
    let name = absolute(body["subDomain"].as_str().unwrap_or_default(), zone);
    Record::read(name, body["fieldType"].as_str()?, body["target"].as_str()?, known)
}

/// `{"errorCode": "INVALID_CREDENTIAL", "httpCode": "403 Forbidden", "message": "This credential is not valid"}`, or with
/// `class` (`Client::NotFound`) in place of `errorCode`.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let text = body["message"].as_str()?;
    let code = body["errorCode"].as_str().or_else(|| body["class"].as_str()).unwrap_or("error");
    Some(match (status, code) {
        (_, "INVALID_CREDENTIAL" | "INVALID_KEY" | "INVALID_SIGNATURE" | "NOT_CREDENTIAL" | "QUERY_TIME_OUT") => {
            Trouble::of(Class::Auth, code, text)
        }
        (_, "NOT_GRANTED_CALL") => Trouble::of(Class::Denied, code, text),
        (404, _) if text.contains("service does not exist") => Trouble::new(Meaning::NoZone, code, text),
        _ => Trouble::with_status(status, code, text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play, set};
    use crate::provider::{HostJob, Outcome, Setting};

    fn settings() -> ProviderSettings {
        play::settings(
            "ovh",
            &[(APPLICATION_KEY, "right-ak"), (APPLICATION_SECRET, "right-as"), (CONSUMER_KEY, "right-ck")],
        )
    }

    fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(&settings(), "home.test", &[host], &script, |call| {
            assert_eq!(play::header(call, "x-ovh-application"), "right-ak");
            assert_eq!(play::header(call, "x-ovh-consumer"), "right-ck");
            assert_eq!(play::header(call, "x-ovh-timestamp"), "1795348800");
            let expected = signature("right-as", "right-ck", call, 1_795_348_800);
            assert_eq!(play::header(call, "x-ovh-signature"), expected.as_str());
        })
        .remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    const DONE: (u16, &str) = (200, "null");
    const NONE: (u16, &str) = (200, "[]");
    const LIST: &str = "GET /domain/zone/home.test/record?fieldType=A&subDomain=nas";
    const ALIAS: &str = "GET /domain/zone/home.test/record?fieldType=CNAME&subDomain=nas";
    const REFRESH: &str = "POST /domain/zone/home.test/refresh";
    const PUT: &str = r#"PUT /domain/zone/home.test/record/15 {"subDomain":"nas","target":"192.0.2.2","ttl":3600}"#;
    const MEMORY: &str = "2 home.test home.test id= A=15/3600/";
    const RECORD: &str =
        r#"{"target": "192.0.2.1", "ttl": 3600, "zone": "home.test", "fieldType": "A", "id": 15, "subDomain": "nas"}"#;

    fn later() -> HostJob {
        host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2")
    }

    /// Made with the official Python package, ovh 1.2.0.
    #[test]
    fn signatures_are_those_of_the_official_package() {
        let base = "https://eu.api.ovh.com/1.0/domain/zone/example.com/record";
        let body = r#"{"fieldType":"A","subDomain":"home","target":"203.0.113.7","ttl":60}"#;
        for (method, path, body, expected) in [
            (Method::GET, "?fieldType=A&subDomain=home", "", "$1$eb254a47380827c749b6b712068f864f5831f6aa"),
            (Method::GET, "/1234567890", "", "$1$9d84e24f8ee6045907ea71c80ca1d45cfbe64380"),
            (Method::POST, "", body, "$1$f3171b6e968ba6411e8fe28a0a41cd8b9c29fd1c"),
        ] {
            let call = HttpCall::new(method, format!("{base}{path}")).with_body("application/json", body.to_owned());
            let (secret, consumer) = ("FakeOvhApplicationSecret00000001", "FakeOvhConsumerKey00000000000001");
            assert_eq!(signature(secret, consumer, &call, 1_767_323_045), expected, "{path}");
        }
    }

    #[test]
    fn a_new_record_is_made_and_published_and_a_later_change_is_a_put_and_a_refresh() {
        let create =
            r#"POST /domain/zone/home.test/record {"fieldType":"A","subDomain":"nas","target":"192.0.2.1","ttl":60}"#;
        let script = [(LIST, NONE), (ALIAS, NONE), (create, (200, RECORD)), (REFRESH, DONE)];
        assert_eq!(one(host("nas.home.test", "192.0.2.1"), &script), confirmed(MEMORY, 3600));
        assert_eq!(one(later(), &[(PUT, DONE), (REFRESH, DONE)]), confirmed(MEMORY, 3600));
    }

    #[test]
    fn records_are_read_one_by_one() {
        let second = RECORD.replace("192.0.2.1", "192.0.2.9").replace("15", "16");
        let script = [
            (LIST, (200, "[15, 16]")),
            ("GET /domain/zone/home.test/record/15", (200, RECORD)),
            ("GET /domain/zone/home.test/record/16", (200, second.as_str())),
            (PUT, DONE),
            (REFRESH, DONE),
        ];
        let forgotten = host_after("nas.home.test", "192.0.2.1", "", "192.0.2.2");
        assert_eq!(one(forgotten, &script), confirmed(MEMORY, 3600));
    }

    #[test]
    fn root_wildcard_both_families_and_removal() {
        let memory = "2 home.test home.test id= A=15/60/ AAAA=16/60/";
        let both = host_after("home.test", "192.0.2.1,2001:db8::1", memory, "192.0.2.2,2001:db8::2");
        let script = [
            (r#"PUT /domain/zone/home.test/record/15 {"subDomain":"","target":"192.0.2.2","ttl":60}"#, DONE),
            (r#"PUT /domain/zone/home.test/record/16 {"subDomain":"","target":"2001:db8::2","ttl":60}"#, DONE),
            (REFRESH, DONE),
        ];
        assert_eq!(one(both, &script), confirmed(memory, 60));
        let star = RECORD.replace("nas", "*.lan");
        let gone = host_after("*.lan.home.test", "192.0.2.1", MEMORY, "");
        let script = [
            ("GET /domain/zone/home.test/record?fieldType=A&subDomain=%2A.lan", (200, "[15]")),
            ("GET /domain/zone/home.test/record/15", (200, star.as_str())),
            ("DELETE /domain/zone/home.test/record/15", DONE),
            (REFRESH, DONE),
        ];
        assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=", 0));
    }

    #[test]
    fn what_is_not_published_does_not_count() {
        let trouble = (500, r#"{"message": "Internal Server Error"}"#);
        assert_unconfirmed(&one(later(), &[(PUT, DONE), (REFRESH, trouble)]), Class::Down, true);
        // The record stands already; whether it was published nobody knows.
        let doubting = HostJob { doubted: vec![set("192.0.2.1")], ..host("nas.home.test", "192.0.2.1") };
        let read = ("GET /domain/zone/home.test/record/15", (200, RECORD));
        let script = [(LIST, (200, "[15]")), read, (REFRESH, DONE)];
        assert_eq!(one(doubting, &script), confirmed(MEMORY, 3600));
    }

    #[test]
    fn a_cname_is_in_the_way() {
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[(LIST, NONE), (ALIAS, (200, "[7]"))]);
        assert_refused(&outcome, Class::Invalid, "CNAME");
    }

    #[test]
    fn refusals_are_told_apart() {
        for (status, code, text, class) in [
            (403, "INVALID_CREDENTIAL", "This credential is not valid", Class::Auth),
            (403, "NOT_CREDENTIAL", "This credential does not exist", Class::Auth),
            (403, "INVALID_KEY", "Invalid application key", Class::Auth),
            (400, "INVALID_SIGNATURE", "Invalid signature", Class::Auth),
            (400, "QUERY_TIME_OUT", "Query out of time", Class::Auth),
            (403, "NOT_GRANTED_CALL", "This call has not been granted", Class::Denied),
            (400, "Client::BadRequest", "Invalid target", Class::Invalid),
        ] {
            let body = json!({ "errorCode": code, "httpCode": status.to_string(), "message": text }).to_string();
            assert_refused(&one(later(), &[(PUT, (status, &body))]), class, text);
        }
        let no_zone = (404, r#"{"class": "Client::NotFound", "message": "This service does not exist"}"#);
        let unseen = one(host("nas.home.test", "192.0.2.1"), &[(LIST, no_zone)]);
        assert_refused(&unseen, Class::NoZone, "no zone named home.test");
        let no_record = (404, r#"{"message": "The requested object (id = 15) does not exist"}"#);
        let read = ("GET /domain/zone/home.test/record/16", (200, &*RECORD.replace("15", "16")));
        let put = PUT.replace("15", "16");
        let script = [(PUT, no_record), (LIST, (200, "[16]")), read, (put.as_str(), DONE), (REFRESH, DONE)];
        assert_eq!(one(later(), &script), confirmed("2 home.test home.test id= A=16/3600/", 3600));
        assert_unconfirmed(&one(later(), &[(PUT, (200, r#"{"odd": 1}"#))]), Class::Bug, true);
    }

    #[test]
    fn a_region_has_its_endpoint() {
        let mut settings = settings();
        settings.endpoint = None;
        for (region, is_known) in [("ovh-ca", true), ("ovh-us", true), ("ovh-mars", false)] {
            settings.set(REGION, Setting::Text(region.into()));
            assert_eq!(settings.open().is_ok(), is_known, "{region}");
        }
    }

    #[test]
    fn spelling_and_what_is_left_out_make_no_difference() {
        let changed = RECORD.replace("192.0.2.1", "192.0.2.2");
        let text = changed.replace("15", r#""15""#).replace("3600", r#""3600""#);
        for (status, body) in [(200, ""), (204, ""), (200, &changed), (200, &text)] {
            assert_eq!(one(later(), &[(PUT, (status, body)), (REFRESH, (200, ""))]), confirmed(MEMORY, 3600), "{body}");
        }
        assert_unconfirmed(&one(later(), &[(PUT, (200, RECORD))]), Class::Bug, true);
    }
}
