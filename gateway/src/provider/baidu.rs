//! Baidu AI Cloud DNS, version 1 (cloud.baidu.com/doc/DNS, "Resolution Records Related Interfaces").
//!
//! JSON below `/v1/dns/zone`, signed with bce-auth-v1. Writes are answered with an empty body: the status alone says
//! yes, and the id of a new record is learnt by the next look. So the second change of a host costs two calls, all
//! later ones one. A token makes each write idempotent for the vendor.
//!
//! The least TTL depends on the edition (300, 120 or 1). No page names the code of its refusal; so any refusal of a
//! request that speaks of the TTL is answered with what every edition takes. Codes of other refusals of this service
//! are not documented either: what is not one of Baidu's common codes is told by its status.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::encode::{absolute, percent_encoded, relative, scalar, seconds};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::sign::{Draft, Keys, Site, bce};
use super::trouble::{Meaning, Trouble, read_json, says_nothing};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://dns.baidubce.com";
/// The line of everybody for whom there is no other.
const LINE: &str = "default";
/// The default of the basic edition, and good in every other.
const SAFE_TTL: u32 = 300;
/// The vendor names no figure; two calls a second are ours.
const BUDGET: Budget = Budget::of(&[Window::new(120, 60)]);

const ACCESS_KEY_ID: &str = "access_key_id";
const SECRET_ACCESS_KEY: &str = "secret_access_key";
const SESSION_TOKEN: &str = "session_token";

const KEYS: &[Key] = &[
    Key::secret(ACCESS_KEY_ID, "The access key (AK) of a user who may change DNS records."),
    Key::secret(SECRET_ACCESS_KEY, "The secret key (SK) that belongs to it."),
    Key::secret(SESSION_TOKEN, "The token of temporary credentials (STS).").optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "baidu", about: "Baidu AI Cloud DNS.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        keys: Keys::of(settings, ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN)?,
        site: Site::of(base_url(settings, DEFAULT_ENDPOINT)?),
    }))
}

struct Account {
    keys: Keys,
    site: Site,
}

impl Account {
    fn get(&self, ask: &Ask<'_>, path: &str, query: &[(&str, &str)], page: Option<&str>) -> HttpCall {
        let marker = page.map(|page| ("marker", page));
        let draft = Draft::new(&self.site, Method::GET, path).with_query(query).with_query(marker.as_slice());
        bce::sign(draft, &self.keys, ask.moment)
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Name
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        1..=86_400
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check access_key_id, secret_access_key and the clock (30 minutes off are too much)",
            Class::Denied => "; the account must be verified, and the user be allowed to change DNS records",
            Class::NoZone => "; the domain must be in the list of public zones of this account",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn least_ttl(&self, zone_id: &str) -> u32 {
        zone_id.parse().unwrap_or(0)
    }

    fn after_low_ttl(&self, zone_id: &str) -> Option<String> {
        (self.least_ttl(zone_id) < SAFE_TTL).then(|| SAFE_TTL.to_string())
    }

    fn find_zone(&self, ask: &Ask<'_>, page: Option<&str>) -> Option<HttpCall> {
        Some(self.get(ask, "/v1/dns/zone", &[("name", ask.zone.as_str())], page))
    }

    /// The API wants the name, not the id; what stands for the id is the least TTL, once it was found out.
    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let body = read_json(answer, explain)?;
        let zones = body["zones"].as_array().ok_or_else(|| Trouble::unknown("the list of zones cannot be read"))?;
        let is_it = |zone: &Value| zone["name"].as_str().is_some_and(|name| super::is_same_name(name, ask.zone));
        Ok(match (zones.iter().any(is_it), next_page(&body)) {
            (true, _) => Found::Zone(String::new()),
            (false, Some(next)) => Found::More(next),
            (false, None) => Found::Nothing,
        })
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let path = format!("/v1/dns/zone/{}/record", ask.zone);
        self.get(ask, &path, &[("rr", relative(at.hostname, ask.zone, "@"))], page)
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        // What is not there when its records are listed is the zone.
        let body = read_json(answer, explain).map_err(Trouble::about_zone)?;
        let unknown = || Trouble::unknown("the list of records cannot be read");
        let mut page = Page { next: next_page(&body), ..Page::default() };
        for record in body["records"].as_array().ok_or_else(unknown)? {
            let text = |member: &str| record[member].as_str().unwrap_or_default();
            let (name, kind, line) = (absolute(text("rr"), ask.zone), text("type"), text("line"));
            match kind {
                "A" | "AAAA" if !matches!(line, "" | LINE) => {
                    page.obstacles.push((name, format!("the name has an {kind} record for the line {line}")));
                }
                "A" | "AAAA" if text("status").to_ascii_lowercase().contains("disable") => {
                    page.obstacles.push((name, format!("the name has a disabled {kind} record")));
                }
                "A" | "AAAA" => page.records.push(read_record(record, name).ok_or_else(unknown)?),
                "CNAME" => page.obstacles.push((name, "the name has a CNAME record".to_owned())),
                _ => {}
            }
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let records = format!("/v1/dns/zone/{}/record", ask.zone);
        let one = |known: &Known| format!("{records}/{}", percent_encoded(&known.id));
        let mut body = json!({
            "rr": relative(&change.hostname, ask.zone, "@"),
            "type": change.family.record_type(),
            "value": change.to(),
            "ttl": change.ttl(),
        });
        let token = format!("{:032x}", ask.moment.dice);
        let draft = match &change.act {
            Act::Create { .. } => {
                body["line"] = json!(LINE);
                Draft::new(&self.site, Method::POST, records)
            }
            Act::Alter { known, .. } => {
                // What was set by hand beside the value goes along, lest it is reset.
                if !known.note.is_empty() {
                    body["description"] = json!(known.note);
                }
                Draft::new(&self.site, Method::PUT, one(known))
            }
            Act::Remove { known, .. } => Draft::new(&self.site, Method::DELETE, one(known)),
        };
        let draft = draft.with_query(&[("clientToken", &token)]);
        let draft = match change.act {
            Act::Remove { .. } => draft,
            Act::Create { .. } | Act::Alter { .. } => {
                draft.with_body("application/json; charset=utf-8", body.to_string())
            }
        };
        bce::sign(draft, &self.keys, ask.moment)
    }

    /// "No parameters": the status says yes.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read_json(answer, explain)?;
        match explain(answer.status, &body) {
            Some(trouble) => Err(trouble),
            None if says_nothing(&body) => Ok(Written::unechoed(changes)),
            None => Err(Trouble::unknown("the answer to the write does not say that it was made")),
        }
    }
}

fn next_page(body: &Value) -> Option<String> {
    let next = body["nextMarker"].as_str().filter(|_| body["isTruncated"] == true);
    next.map(str::to_owned)
}

fn read_record(record: &Value, name: String) -> Option<Record> {
    let text = |member: &str| record[member].as_str();
    let note = text("description").unwrap_or_default().into();
    let known = Known { id: scalar(&record["id"])?.into(), ttl: seconds(&record["ttl"])?, note };
    Some(Record { name, address: text("value")?.parse().ok()?, known })
}

/// `{"code": "NoSuchObject", "message": …, "requestId": …}`.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let (code, text) = (body["code"].as_str()?, body["message"].as_str().unwrap_or_default());
    let meaning = match code {
        "NoSuchObject" => Meaning::NoRecord,
        _ if status == 400 && text.to_ascii_lowercase().contains("ttl") => Meaning::LowTtl,
        _ => Meaning::Plain(match code {
            "InvalidAccessKeyId" | "InvalidHTTPAuthHeader" | "RequestExpired" | "SignatureDoesNotMatch" => Class::Auth,
            "AccessDenied" | "QualifyNotPass" => Class::Denied,
            "InappropriateJSON" | "InvalidHTTPRequest" | "InvalidURI" | "MalformedJSON" => Class::Invalid,
            "InternalError" => Class::Down,
            _ => return Some(Trouble::with_status(status, code, text)),
        }),
    };
    Some(Trouble::new(meaning, code, text))
}

#[cfg(test)]
mod tests;
