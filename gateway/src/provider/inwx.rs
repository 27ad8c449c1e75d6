//! INWX (DomRobot), by JSON-RPC (inwx.com/en/help/apidoc).
//!
//! Every conversation logs in, works with the session's cookie, and logs out. An account with a second factor is
//! unlocked by a TOTP code (RFC 6238). INWX takes each code once, so such an account makes one conversation in 30
//! seconds; the others wait.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Value, json};
use sha1::Sha1;

use super::encode::{number, scalar, seconds};
use super::records::{Act, Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Moment, Provider, ProviderSettings, Window, base_url,
};

const DEFAULT_ENDPOINT: &str = "https://api.domrobot.com/jsonrpc";
/// INWX names no limit; a bound of our own, in calls and seconds.
const BUDGET: Budget = Budget::of(&[Window::new(120, 60)]);
/// How long a code holds, in seconds.
const STEP: u64 = 30;
/// What the login says of an account without a second factor.
const UNLOCKED: &str = "0";
/// What it says of one with an authenticator.
const LOCKED: &str = "GOOGLE-AUTH";

const USERNAME: &str = "username";
const PASSWORD: &str = "password";
const SHARED_SECRET: &str = "shared_secret";
const KEYS: &[Key] = &[
    Key::text(USERNAME, "The account's user name, best that of a sub-account for DNS alone."),
    Key::secret(PASSWORD, "Its password."),
    Key::secret(SHARED_SECRET, "The secret of the second factor (base32), where the account has one.").optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "inwx", about: "INWX, by its API (DomRobot).", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let shared_secret = match settings.secret(SHARED_SECRET) {
        Some(secret) => Some(Secret::new(base32(secret.expose()).ok_or_else(|| {
            let why = "write the letters A to Z and digits 2 to 7 that INWX showed with the QR code".to_owned();
            BadSetting { key: SHARED_SECRET, why }
        })?)),
        None => None,
    };
    Ok(Zoned::provider(Account {
        url: format!("{}/", base_url(settings, DEFAULT_ENDPOINT)?),
        username: settings.credential(USERNAME)?.to_owned(),
        password: Secret::new(password(settings)?.to_owned()),
        shared_secret,
        last_step: AtomicU64::new(0),
    }))
}

/// Unlike other credentials it may hold blanks and letters of any kind.
fn password(settings: &ProviderSettings) -> Result<&str, BadSetting> {
    let text = settings.secret(PASSWORD).map(|secret| secret.expose().trim_end_matches(['\r', '\n']));
    text.filter(|text| !text.is_empty()).ok_or_else(|| BadSetting { key: PASSWORD, why: "it is missing".to_owned() })
}

struct Account {
    url: String,
    username: String,
    password: Secret<String>,
    shared_secret: Option<Secret<Vec<u8>>>,
    /// The newest step whose code was used up, in Unix seconds by [`STEP`].
    last_step: AtomicU64,
}

impl Account {
    fn call(&self, method: &str, params: &Value) -> HttpCall {
        HttpCall::new(Method::POST, self.url.clone()).with_json(&json!({ "method": method, "params": params }))
    }

    /// A call of a session.
    fn ask(&self, ask: &Ask<'_>, method: &str, params: &Value) -> HttpCall {
        let (_, cookie) = ask.session.split_once(' ').unwrap_or_default();
        let mut value = HeaderValue::from_str(cookie).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        self.call(method, params).with(COOKIE, value)
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Name
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        300..=604_800
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check username, password and shared_secret, and this machine's clock",
            Class::Denied => "; give the account the role for DNS, and allow API calls from this address",
            Class::NoZone => "; the account must have the zone among its name server entries",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn log_in(&self, _moment: Moment) -> Option<HttpCall> {
        let params = json!({ "user": self.username, "pass": self.password.expose(), "lang": "en" });
        Some(self.call("account.login", &params))
    }

    /// The session: what the login says of a second factor, a blank, and the cookie.
    fn logged_in(&self, answer: &Answer) -> Result<String, Trouble> {
        let data = read(answer, Meaning::Plain(Class::Auth))?;
        let cookies = answer.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs: Vec<&str> = cookies.filter_map(|cookie| cookie.split(';').next()).map(str::trim).collect();
        if pairs.is_empty() {
            return Err(Trouble::unknown("the login gave no cookie"));
        }
        let factor = match scalar(&data["tfa"]) {
            None => UNLOCKED.to_owned(),
            Some(factor) if [UNLOCKED, LOCKED].contains(&factor.as_str()) => factor,
            Some(other) => {
                let text = format!("the account asks for a second factor that is not known here: {other}");
                return Err(Trouble::of(Class::Auth, "tfa", &text));
            }
        };
        if factor == LOCKED && self.shared_secret.is_none() {
            return Err(Trouble::of(Class::Auth, "tfa", "the account asks for a second factor: set shared_secret"));
        }
        Ok(format!("{factor} {}", pairs.join("; ")))
    }

    fn unlock(&self, ask: &Ask<'_>) -> Option<HttpCall> {
        let secret = self.shared_secret.as_ref().filter(|_| ask.session.starts_with(LOCKED))?;
        let tan = code(secret.expose(), ask.moment.now);
        Some(self.ask(ask, "account.unlock", &json!({ "tan": tan })))
    }

    /// A code that was used before is refused like a wrong one; which it was, only we know.
    fn unlocked(&self, ask: &Ask<'_>, answer: &Answer) -> Result<(), Trouble> {
        let step = ask.moment.now.seconds() / STEP;
        match read(answer, Meaning::Plain(Class::Auth)) {
            Ok(_) => {
                self.last_step.fetch_max(step, Ordering::Relaxed);
                Ok(())
            }
            // The code may have been made just before its step ended.
            Err(trouble) if step <= self.last_step.load(Ordering::Relaxed) + 1 => {
                let text = format!("{}; the code of these {STEP} seconds was used already", trouble.text);
                let left = STEP - ask.moment.now.seconds() % STEP;
                Err(Trouble::of(Class::Rate, &trouble.code, &text).patient(Some(Duration::from_secs(left))))
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, _page: Option<&str>) -> HttpCall {
        let params = json!({ "domain": ask.zone.as_str(), "name": at.hostname.as_str() });
        self.ask(ask, "nameserver.info", &params)
    }

    /// Without a record of that name there is no list.
    fn looked(&self, _ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let data = read(answer, Meaning::NoZone)?;
        let list = data["record"].as_array().map_or(&[][..], Vec::as_slice);
        let mut page = Page::default();
        for value in list {
            let (Some(name), Some(kind)) = (value["name"].as_str(), value["type"].as_str()) else { continue };
            if matches!(kind, "ALIAS" | "CNAME" | "URL") {
                page.obstacles.push((name.to_owned(), format!("the name has a {kind} record")));
            }
            page.records.extend(record(value, name, kind));
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        // As it was read: a number or a text.
        let id = |known: &Known| serde_json::from_str(&known.id).unwrap_or_else(|_| json!(known.id));
        match &change.act {
            Act::Create { to, ttl } => {
                let (name, kind) = (change.hostname.as_str(), change.family.record_type());
                let params =
                    json!({ "domain": ask.zone.as_str(), "name": name, "type": kind, "content": to, "ttl": ttl });
                self.ask(ask, "nameserver.createRecord", &params)
            }
            Act::Alter { known, to, .. } => {
                let params = json!({ "id": id(known), "content": to, "ttl": change.ttl() });
                self.ask(ask, "nameserver.updateRecord", &params)
            }
            Act::Remove { known, .. } => self.ask(ask, "nameserver.deleteRecord", &json!({ "id": id(known) })),
        }
    }

    /// Code 1000 and nothing more, but for the id of a new record.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let data = read(answer, Meaning::NoRecord)?;
        let is_new = matches!(changes, [Change { act: Act::Create { .. }, .. }]);
        let id = is_new.then(|| id(&data["id"])).flatten();
        if is_new && id.is_none() {
            return Err(Trouble::unknown("the answer to the write does not show the record's id"));
        }
        Ok(vec![Written { id, ..Written::default() }])
    }

    fn finish(&self, ask: &Ask<'_>, _wrote: bool) -> Option<HttpCall> {
        Some(self.ask(ask, "account.logout", &json!({})))
    }

    fn is_publication(&self) -> bool {
        false
    }
}

/// An id, in JSON: older ones are numbers, newer ones texts, and both go back as they came.
fn id(value: &Value) -> Option<Box<str>> {
    (value.is_u64() || value.as_str().is_some_and(|text| !text.is_empty())).then(|| value.to_string().into())
}

fn record(value: &Value, name: &str, kind: &str) -> Option<Record> {
    let ttl = seconds(&value["ttl"]).unwrap_or(0);
    let known = Known { id: id(&value["id"])?, ttl, note: "".into() };
    Record::read(name.to_owned(), kind, value["content"].as_str()?, known)
}

/// `resData` of `{"code": 1000, "msg": "…", "resData": {…}}`. Codes are those of EPP (RFC 5730 3); `missing` is what 2303
/// means here.
fn read(answer: &Answer, missing: Meaning) -> Result<Value, Trouble> {
    let body = read_json(answer, |_, _| None)?;
    let Some(number) = number(&body["code"]) else { return Err(Trouble::unknown("the answer has no code")) };
    let class = match number {
        // Done some day, so not yet.
        1001 => Class::Busy,
        1000..=1999 => return Ok(body["resData"].clone()),
        2200 | 2501 => Class::Auth,
        2201 => Class::Denied,
        2104 => Class::Quota,
        2304 | 2305 => Class::Busy,
        2400 | 2500 => Class::Down,
        2502 => Class::Rate,
        2000..=2999 => Class::Invalid,
        _ => Class::Bug,
    };
    let meaning = match number {
        2302 => Meaning::Exists,
        2303 => missing,
        _ => Meaning::Plain(class),
    };
    let said = |member: &str| body[member].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let text = match (said("msg"), said("reason")) {
        (Some(message), Some(reason)) => format!("{message} ({reason})"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => String::new(),
    };
    Err(Trouble::new(meaning, &number.to_string(), &text))
}

/// The code of RFC 6238: six digits of HMAC-SHA-1 over the number of the step.
fn code(secret: &[u8], now: Timestamp) -> String {
    let mut hmac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes keys of any length");
    hmac.update(&(now.seconds() / STEP).to_be_bytes());
    let digest = hmac.finalize().into_bytes();
    let offset = usize::from(digest[digest.len() - 1] & 0x0f);
    let four = digest.iter().skip(offset).take(4);
    let number = four.fold(0u32, |sum, byte| sum << 8 | u32::from(*byte)) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// The bytes of a base32 text (RFC 4648 6), in any case, with or without blanks and padding.
fn base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0u32, 0);
    for letter in text.trim().trim_end_matches('=').bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
        let value = match letter.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        buffer = (buffer << 5 | u32::from(value)) & 0xffff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits & 0xff) as u8);
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use nicgate_protocol::Hostname;

    use super::*;
    use crate::provider::play::{NOON, assert_refused, assert_unconfirmed, host, host_after};
    use crate::provider::{Call, Heard, HostJob, Job, Outcome, Setting, Step, play};

    /// RFC 6238, appendix B: `12345678901234567890`.
    const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    const LOGIN: &str = r#"account.login {"lang":"en","pass":"right","user":"me"}"#;
    const LOGOUT: (&str, &str) = ("account.logout {}", r#"{"code": 1500, "msg": "ending session"}"#);
    const OPEN: (&str, &str) = (LOGIN, r#"{"code": 1000, "msg": "ok", "resData": {"customerId": 1, "tfa": "0"}}"#);
    const LOOK: &str = r#"nameserver.info {"domain":"home.test","name":"nas.home.test"}"#;
    const DONE: &str = r#"{"code": 1000, "msg": "Command completed successfully", "runtime": 0.08}"#;
    const UPDATE: &str = r#"nameserver.updateRecord {"content":"192.0.2.2","id":16851,"ttl":3600}"#;
    const MEMORY: &str = "2 home.test home.test id= A=16851/3600/";

    fn settings(shared_secret: Option<&str>) -> ProviderSettings {
        let mut settings = play::settings("inwx", &[(PASSWORD, "right")]);
        settings.set(USERNAME, Setting::Text("me".into()));
        if let Some(secret) = shared_secret {
            settings.set(SHARED_SECRET, Setting::Secret(Secret::new(secret.to_owned())));
        }
        settings
    }

    /// Plays a conversation: each call as its method and parameters, and the answer's body. The first sets the cookie.
    #[track_caller]
    fn run(provider: &dyn Provider, host: HostJob, script: &[(&str, &str)]) -> Outcome {
        let job = Job { zone: Hostname::parse("home.test").unwrap(), hosts: vec![host] };
        let mut talk = provider.update(&job);
        let mut heard = None;
        for (index, (asked, body)) in script.iter().enumerate() {
            let step = talk.next(heard.take(), NOON);
            let Step::Send(Call::Http(call)) = step else { panic!("ended before {asked}: {step:?}") };
            assert_eq!((call.method.as_str(), call.url.as_str()), ("POST", "http://api.test/"));
            let sent: Value = serde_json::from_slice(&call.body).unwrap();
            assert_eq!(format!("{} {}", sent["method"].as_str().unwrap(), sent["params"]), *asked);
            let mut headers = HeaderMap::new();
            if index == 0 {
                headers.insert(SET_COOKIE, HeaderValue::from_static("domrobot=abc; path=/; secure; HttpOnly"));
            } else {
                assert_eq!(play::header(&call, "cookie"), "domrobot=abc");
            }
            heard = Some(Heard::Answer(Answer { status: 200, headers, body: Bytes::from((*body).to_owned()) }));
        }
        let step = talk.next(heard, NOON);
        let Step::Done(mut outcomes) = step else { panic!("one call too many: {step:?}") };
        outcomes.remove(0)
    }

    fn one(host: HostJob, script: &[(&str, &str)]) -> Outcome {
        run(&*settings(None).open().unwrap(), host, script)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    fn later() -> HostJob {
        host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2")
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = base32(SEED).unwrap();
        assert_eq!(secret, b"12345678901234567890");
        for (seconds, expected) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(code(&secret, Timestamp::from_seconds(seconds)), expected);
        }
        assert_eq!(base32(" gezd gnbv===\n").as_deref(), Some(&b"12345"[..]));
        assert!([base32(""), base32("18"), base32("ä")].iter().all(Option::is_none));
    }

    #[test]
    fn every_conversation_logs_in_and_out() {
        let none = r#"{"code": 1000, "resData": {"roId": 2238, "domain": "home.test", "type": "MASTER"}}"#;
        let create = r#"nameserver.createRecord {"content":"192.0.2.1","domain":"home.test","name":"nas.home.test","ttl":300,"type":"A"}"#;
        let made = r#"{"code": 1000, "resData": {"id": "0a-7"}}"#;
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[OPEN, (LOOK, none), (create, made), LOGOUT]);
        assert_eq!(outcome, confirmed("2 home.test home.test id= A=%220a-7%22/300/", 300));
        assert_eq!(one(later(), &[OPEN, (UPDATE, DONE), LOGOUT]), confirmed(MEMORY, 3600));
        // Nobody minds how the logout ends.
        assert_eq!(one(later(), &[OPEN, (UPDATE, DONE), (LOGOUT.0, "<html>")]), confirmed(MEMORY, 3600));
    }

    #[test]
    fn removal_and_a_cname() {
        let list = |kind: &str| {
            format!(
                r#"{{"code": 1000, "resData": {{"count": 1, "record": [{{"id": 16851, "name": "nas.home.test",
                "type": "{kind}", "content": "192.0.2.1", "ttl": 3600, "prio": 0}}]}}}}"#
            )
        };
        let gone = host_after("nas.home.test", "192.0.2.1", MEMORY, "");
        let script = [OPEN, (LOOK, &list("A")), (r#"nameserver.deleteRecord {"id":16851}"#, DONE), LOGOUT];
        assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=", 0));
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[OPEN, (LOOK, &list("CNAME")), LOGOUT]);
        assert_refused(&outcome, Class::Invalid, "CNAME");
    }

    #[test]
    fn a_second_factor_unlocks_the_session_once_in_its_time() {
        let locked = (LOGIN, r#"{"code": 1000, "resData": {"tfa": "GOOGLE-AUTH"}}"#);
        assert_refused(&one(later(), &[locked]), Class::Auth, "set shared_secret");
        let provider = settings(Some(SEED)).open().unwrap();
        let tan = code(b"12345678901234567890", NOON.now);
        let unlock = format!(r#"account.unlock {{"tan":"{tan}"}}"#);
        let wrong = (unlock.as_str(), r#"{"code": 2200, "msg": "Authentication error"}"#);
        assert_refused(&run(&*provider, later(), &[locked, wrong]), Class::Auth, "Authentication error");
        let script = [locked, (unlock.as_str(), DONE), (UPDATE, DONE), LOGOUT];
        assert_eq!(run(&*provider, later(), &script), confirmed(MEMORY, 3600));
        // The same code again is no wrong credential, only too early.
        let outcome = run(&*provider, later(), &[locked, wrong]);
        assert_unconfirmed(&outcome, Class::Rate, false);
        assert!(matches!(outcome, Outcome::Unconfirmed { retry_after: Some(left), .. } if left.as_secs() == 30));
        assert_eq!(settings(Some("0189")).open().err().map(|bad| bad.key), Some(SHARED_SECRET));
    }

    #[test]
    fn refusals_are_told_apart() {
        let wrong = (LOGIN, r#"{"code": 2200, "msg": "Authentication error"}"#);
        assert_refused(&one(later(), &[wrong]), Class::Auth, "password");
        for (number, class) in [(2201, Class::Denied), (2005, Class::Invalid), (2308, Class::Invalid)] {
            let body = format!(r#"{{"code": {number}, "msg": "the reason", "reason": "why"}}"#);
            assert_refused(&one(later(), &[OPEN, (UPDATE, &body), LOGOUT]), class, "the reason (why)");
        }
        assert_unconfirmed(&one(later(), &[OPEN, (UPDATE, r#"{"code": 2400}"#)]), Class::Down, true);
        assert_unconfirmed(&one(later(), &[OPEN, (UPDATE, "{}")]), Class::Bug, true);
        let missing = r#"{"code": 2303, "msg": "Object does not exist"}"#;
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[OPEN, (LOOK, missing), LOGOUT]);
        assert_refused(&outcome, Class::NoZone, "no zone named home.test");
        let list = r#"{"code": 1000, "resData": {"record": [{"id": "b", "name": "nas.home.test", "type": "A",
            "content": "192.0.2.2", "ttl": 300}]}}"#;
        let outcome = one(later(), &[OPEN, (UPDATE, missing), (LOOK, list), LOGOUT]);
        assert_eq!(outcome, confirmed("2 home.test home.test id= A=%22b%22/300/", 300));
    }

    #[test]
    fn numbers_may_be_texts_and_what_is_pending_is_not_done() {
        let done = r#"{"code": "1000"}"#;
        assert_eq!(one(later(), &[OPEN, (UPDATE, done), LOGOUT]), confirmed(MEMORY, 3600));
        let pending = r#"{"code": 1001, "msg": "Command completed successfully; action pending"}"#;
        assert!(matches!(one(later(), &[OPEN, (UPDATE, pending), LOGOUT]), Outcome::Unconfirmed { .. }));
        let list = r#"{"code": 1000, "resData": {"record": [{"id": 16851, "name": "nas.home.test", "type": "A",
            "content": "192.0.2.2", "ttl": "3600"}]}}"#;
        assert_eq!(one(host("nas.home.test", "192.0.2.2"), &[OPEN, (LOOK, list), LOGOUT]), confirmed(MEMORY, 3600));
    }
}
