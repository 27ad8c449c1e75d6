//! Vercel DNS (vercel.com/docs/rest-api/dns).
//!
//! The list shows the whole zone, page by page, and takes no filter. Records have ids and are changed by `PATCH`, which
//! leaves what it does not name, such as the comment.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nicgate_protocol::Hostname;
use serde_json::{Value, json};

use super::encode::{absolute, bearer, is_id, query, relative, scalar, seconds};
use super::records::{Act, Api, Ask, Change, Known, Page, Record, Spot, View, Written, Zoned};
use super::trouble::{Meaning, Trouble, read_json};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://api.vercel.com";
/// Vercel has a limit for each kind of call and names them only in headers; 50 changes a minute were seen.
const BUDGET: Budget = Budget::of(&[Window::new(50, 60)]);
/// Records on one page, the most that the list takes.
const PAGE: usize = 100;

const TOKEN: &str = "token";
const TEAM_ID: &str = "team_id";
const KEYS: &[Key] = &[
    Key::secret(TOKEN, "An access token whose scope holds the domain."),
    Key::text(TEAM_ID, "The id of the team that holds the domain (team_…); left out, the token's own account.")
        .optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "vercel", about: "Vercel DNS.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let team = settings.text(TEAM_ID).map(str::trim);
    if team.is_some_and(|team| !is_id(team)) {
        return Err(BadSetting { key: TEAM_ID, why: "write the team's id, as in \"team_0123456789\"".to_owned() });
    }
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        authorization: bearer(settings, TOKEN)?,
        team: team.map(Into::into),
    }))
}

struct Account {
    base: String,
    authorization: HeaderValue,
    team: Option<Box<str>>,
}

impl Account {
    fn call(&self, method: Method, path: &str, pairs: &[(&str, &str)]) -> HttpCall {
        let pairs: Vec<_> = pairs.iter().copied().chain(self.team.as_deref().map(|team| ("teamId", team))).collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        HttpCall::new(method, format!("{}{path}{mark}{}", self.base, query(&pairs)))
            .with(AUTHORIZATION, self.authorization.clone())
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Zone
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        60..=604_800
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check token: is it whole, and not expired?",
            Class::Denied => "; give the token a scope that holds the domain, and set team_id where a team has it",
            Class::NoZone => "; the domain must use Vercel's name servers; set team_id where a team has it",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn look(&self, ask: &Ask<'_>, _at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let limit = PAGE.to_string();
        let pairs = [("limit", limit.as_str()), ("until", page.unwrap_or_default())];
        let pairs = if page.is_some() { &pairs[..] } else { &pairs[..1] };
        self.call(Method::GET, &format!("/v5/domains/{}/records", ask.zone), pairs)
    }

    /// `pagination.next` stands there also on the last page, so only a full page has one after it.
    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, explain).map_err(Trouble::about_zone)?;
        let list = body["records"].as_array().ok_or_else(|| Trouble::unknown("the list of records cannot be read"))?;
        let mut page = Page::default();
        for value in list {
            let kind = value["type"].as_str().unwrap_or_default();
            let name = absolute(value["name"].as_str().unwrap_or_default(), ask.zone);
            match kind {
                "ALIAS" | "CNAME" => page.obstacles.push((name, format!("the name has a {kind} record"))),
                _ => page.records.extend(record(value, kind, ask.zone)),
            }
        }
        let next = scalar(&body["pagination"]["next"]);
        page.next = next.filter(|_| list.len() >= PAGE);
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let body = json!({ "value": change.to(), "ttl": change.ttl() });
        match &change.act {
            Act::Create { .. } => {
                let mut body = body;
                body["name"] = json!(relative(&change.hostname, ask.zone, ""));
                body["type"] = json!(change.family.record_type());
                self.call(Method::POST, &format!("/v2/domains/{}/records", ask.zone), &[]).with_json(&body)
            }
            Act::Alter { known, .. } => {
                self.call(Method::PATCH, &format!("/v1/domains/records/{}", known.id), &[]).with_json(&body)
            }
            Act::Remove { known, .. } => {
                self.call(Method::DELETE, &format!("/v2/domains/{}/records/{}", ask.zone, known.id), &[])
            }
        }
    }

    /// A new record is told by its `uid`; a changed one is shown, with its type in `recordType` where `type` is another.
    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read_json(answer, explain)?;
        let [change] = changes else { unreachable!("one change at a time") };
        let unknown = || Trouble::unknown("the answer to the write does not show the record");
        Ok(vec![match &change.act {
            Act::Create { .. } => {
                let id = body["uid"].as_str().filter(|id| is_id(id)).ok_or_else(unknown)?;
                Written { id: Some(id.into()), ..Written::default() }
            }
            Act::Alter { .. } => {
                let kind = body["recordType"].as_str().or_else(|| body["type"].as_str()).unwrap_or_default();
                Written::shown(record(&body, kind, ask.zone).ok_or_else(unknown)?)
            }
            Act::Remove { .. } => Written::default(),
        }])
    }
}

fn record(value: &Value, kind: &str, zone: &Hostname) -> Option<Record> {
    let id = value["id"].as_str().filter(|id| is_id(id))?;
    let ttl = seconds(&value["ttl"]).unwrap_or(0);
    let name = absolute(value["name"].as_str().unwrap_or_default(), zone);
    Record::read(name, kind, value["value"].as_str()?, Known { id: id.into(), ttl, note: "".into() })
}

/// `{"error": {"code": "forbidden", "message": "Not authorized"}}`.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let error = &body["error"];
    let (code, text) = (error["code"].as_str()?, error["message"].as_str().unwrap_or_default());
    Some(match code {
        "forbidden" if error["invalidToken"] == true => Trouble::of(Class::Auth, code, text),
        "rate_limited" => Trouble::of(Class::Rate, code, text),
        "record_conflicts" => Trouble::new(Meaning::Exists, code, text),
        _ => Trouble::with_status(status, code, text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after, play};
    use crate::provider::{HostJob, Outcome, Setting};

    const LOOK: &str = "GET /v5/domains/zone1.example/records?limit=100";
    const LIST: &str = r#"{"records": [
        {"id": "rec_dc62", "slug": "", "name": "*", "type": "CNAME", "value": "cname.vercel-dns.com.", "creator": "x",
         "created": 1628537900677, "updated": 1628537900677, "createdAt": 1628537900677, "ttl": 60},
        {"id": "rec_5020", "slug": "", "name": "", "type": "A", "value": "203.0.113.10", "creator": "x", "ttl": 60},
        {"id": "rec_0fef", "slug": "", "name": "", "type": "CAA", "value": "0 issue \"letsencrypt.org\"", "ttl": 60}],
        "pagination": {"count": 3, "next": 1628537900675, "prev": 1628537900677}}"#;
    const CREATE: &str =
        r#"POST /v2/domains/zone1.example/records {"name":"nas","ttl":60,"type":"A","value":"192.0.2.1"}"#;
    const PATCH: &str = r#"PATCH /v1/domains/records/rec_455c {"ttl":60,"value":"192.0.2.2"}"#;
    const PATCHED: &str = r#"{"id": "rec_455c", "domain": "zone1.example", "name": "nas", "type": "record",
        "recordType": "A", "value": "192.0.2.2", "ttl": 60, "creator": "x", "createdAt": 1, "comment": "by hand"}"#;
    const MEMORY: &str = "2 zone1.example zone1.example id= A=rec_455c/60/";

    fn settings() -> ProviderSettings {
        play::settings("vercel", &[(TOKEN, "right")])
    }

    fn one(settings: &ProviderSettings, host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
        let script: Vec<_> =
            script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
        play(settings, "zone1.example", &[host], &script, |call| {
            assert_eq!(play::header(call, "authorization"), "Bearer right");
        })
        .remove(0)
    }

    fn confirmed(memory: &str, ttl: u32) -> Outcome {
        Outcome::Confirmed { remembered: Some(memory.into()), ttl }
    }

    fn later() -> HostJob {
        host_after("nas.zone1.example", "192.0.2.1", MEMORY, "192.0.2.2")
    }

    #[test]
    fn a_new_record_is_made_and_a_later_change_is_one_patch() {
        let script = [(LOOK, (200, LIST)), (CREATE, (200, r#"{"uid": "rec_455c"}"#))];
        assert_eq!(one(&settings(), host("nas.zone1.example", "192.0.2.1"), &script), confirmed(MEMORY, 60));
        assert_eq!(one(&settings(), later(), &[(PATCH, (200, PATCHED))]), confirmed(MEMORY, 60));
        let other = PATCHED.replace("192.0.2.2", "192.0.2.3");
        assert_unconfirmed(&one(&settings(), later(), &[(PATCH, (200, &other))]), Class::Bug, true);
    }

    #[test]
    fn a_team_goes_along_and_full_pages_are_followed() {
        let mut settings = settings();
        settings.set(TEAM_ID, Setting::Text("team_1".into()));
        let full: Vec<Value> = (0..PAGE).map(|n| json!({"id": format!("r{n}"), "name": "x", "type": "TXT"})).collect();
        let full = json!({"records": full, "pagination": {"count": PAGE, "next": 1_628_537_900_675_u64}}).to_string();
        let last = r#"{"records": [{"id": "rec_455c", "name": "nas", "type": "A", "value": "192.0.2.1", "ttl": 60}],
            "pagination": {"count": 1, "next": 1, "prev": 2}}"#;
        let first = format!("{LOOK}&teamId=team_1");
        let second = format!("{LOOK}&until=1628537900675&teamId=team_1");
        let script = [(first.as_str(), (200, full.as_str())), (&second, (200, last))];
        assert_eq!(one(&settings, host("nas.zone1.example", "192.0.2.1"), &script), confirmed(MEMORY, 60));
        settings.set(TEAM_ID, Setting::Text("my team".into()));
        assert!(settings.open().is_err());
    }

    #[test]
    fn root_removal_and_a_cname() {
        let gone = host_after("zone1.example", "203.0.113.10", "2 zone1.example zone1.example id= A=rec_5020/60/", "");
        let delete = "DELETE /v2/domains/zone1.example/records/rec_5020";
        let script = [(LOOK, (200, LIST)), (delete, (200, "{}"))];
        assert_eq!(one(&settings(), gone, &script), confirmed("2 zone1.example zone1.example id=", 0));
        let outcome = one(&settings(), host("*.zone1.example", "192.0.2.1"), &[(LOOK, (200, LIST))]);
        assert_refused(&outcome, Class::Invalid, "CNAME");
    }

    #[test]
    fn refusals_are_told_apart() {
        for (status, error, class, word) in [
            (403, r#"{"code": "forbidden", "message": "Not authorized", "invalidToken": true}"#, Class::Auth, "token"),
            (403, r#"{"code": "forbidden", "message": "Not authorized"}"#, Class::Auth, "token"),
            (404, r#"{"code": "not_found", "message": "Domain not found"}"#, Class::NoZone, "team_id"),
            (400, r#"{"code": "bad_request", "message": "Invalid request"}"#, Class::Invalid, "Invalid"),
        ] {
            let body = format!(r#"{{"error": {error}}}"#);
            let outcome = one(&settings(), host("nas.zone1.example", "192.0.2.1"), &[(LOOK, (status, &body))]);
            assert_refused(&outcome, class, word);
        }
        let gone = (404, r#"{"error": {"code": "not_found", "message": "The DNS record was not found."}}"#);
        let script = [(PATCH, gone), (LOOK, (200, LIST)), (&CREATE.replace(".1\"", ".2\""), (200, r#"{"uid": "r2"}"#))];
        assert_eq!(one(&settings(), later(), &script), confirmed("2 zone1.example zone1.example id= A=r2/60/", 60));
        let slow = (429, r#"{"error": {"code": "rate_limited", "message": "slow down"}}"#);
        assert_unconfirmed(&one(&settings(), later(), &[(PATCH, slow)]), Class::Rate, false);
    }

    #[test]
    fn a_changed_record_may_be_shown_as_in_lists() {
        let shown = r#"{"id": "rec_455c", "name": "nas", "type": "A", "value": "192.0.2.2", "ttl": "60"}"#;
        assert_eq!(one(&settings(), later(), &[(PATCH, (200, shown))]), confirmed(MEMORY, 60));
        assert_unconfirmed(&one(&settings(), later(), &[(PATCH, (200, "{}"))]), Class::Bug, true);
    }
}
