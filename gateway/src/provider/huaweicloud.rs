//! Huawei Cloud DNS (support.huaweicloud.com/api-dns): public zones by API v2, their record sets by v2.1.
//!
//! Records of one name, type, line and weight are one set with an id; `PUT` replaces its values. Writes are answered
//! with the set as it will be, in a pending state, and nobody waits for the end of that: the answer is the proof.
//!
//! Only the line of everybody (`default_view`) is written. Sets of other lines, or several that share a line by weight,
//! are somebody's intention and refuse the host. Private zones are not looked at.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::encode::{is_id, seconds};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::sign::{Draft, Keys, Site, sdk_hmac};
use super::trouble::{Meaning, Trouble, read_json};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

/// The line of everybody for whom there is no other.
const LINE: &str = "default_view";
/// Record sets of a full page.
const PAGE: usize = 500;
/// The vendor names no figure; two calls a second are ours.
const BUDGET: Budget = Budget::of(&[Window::new(120, 60)]);

const ACCESS_KEY: &str = "access_key";
const SECRET_KEY: &str = "secret_key";
const SECURITY_TOKEN: &str = "security_token";
const REGION: &str = "region";

const KEYS: &[Key] = &[
    Key::secret(ACCESS_KEY, "The access key (AK) of an IAM user who may change DNS records."),
    Key::secret(SECRET_KEY, "The secret key (SK) that belongs to it."),
    Key::text(
        REGION,
        "A region of the account's site, such as \"cn-north-4\" or \"ap-southeast-1\"; public zones are the same in all.",
    ),
    Key::secret(SECURITY_TOKEN, "The token of temporary credentials.").optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "huaweicloud", about: "Huawei Cloud DNS, public zones.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let keys = Keys::of(settings, ACCESS_KEY, SECRET_KEY, SECURITY_TOKEN)?;
    let region = settings.credential(REGION)?;
    if !region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        let why = "write a region's id, for instance \"cn-north-4\"".to_owned();
        return Err(BadSetting { key: REGION, why });
    }
    // The European site has a domain of its own.
    let site = if region.starts_with("eu-") { "eu" } else { "com" };
    let base = base_url(settings, &format!("https://dns.{region}.myhuaweicloud.{site}"))?;
    Ok(Zoned::provider(Account { keys, site: Site::of(base) }))
}

struct Account {
    keys: Keys,
    site: Site,
}

impl Account {
    fn draft(&self, method: Method, path: String) -> Draft<'_> {
        Draft::new(&self.site, method, path)
    }

    fn sign(&self, ask: &Ask<'_>, draft: Draft<'_>) -> HttpCall {
        sdk_hmac::sign(draft, &self.keys, ask.moment)
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Name
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        1..=2_147_483_647
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check access_key, secret_key and the clock (15 minutes off are too much)",
            Class::Denied => {
                "; give the user the role DNS Administrator, and look whether account and zone are in order"
            }
            Class::NoZone => "; it must be a public zone of this account",
            Class::Quota => "; the account's quota of record sets is used up",
            Class::Invalid | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn writes_sets(&self) -> bool {
        true
    }

    fn find_zone(&self, ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        let name = format!("{}.", ask.zone);
        let query = [("type", "public"), ("name", &name), ("search_mode", "equal"), ("limit", "500")];
        Some(self.sign(ask, self.draft(Method::GET, "/v2/zones".to_owned()).with_query(&query)))
    }

    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let body = read_json(answer, explain)?;
        let zones = body["zones"].as_array().ok_or_else(|| Trouble::unknown("the list of zones cannot be read"))?;
        let is_it = |zone: &&Value| zone["name"].as_str().is_some_and(|name| super::is_same_name(name, ask.zone));
        let ids: Vec<&str> = zones.iter().filter(is_it).map(|zone| zone["id"].as_str().unwrap_or_default()).collect();
        Ok(match ids.as_slice() {
            [] => Found::Nothing,
            [id] if is_id(id) => Found::Zone((*id).to_owned()),
            [_] => return Err(Trouble::unknown("the id of the zone cannot be read")),
            [_, _, ..] => Found::Several("leave one of them in the account".to_owned()),
        })
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let name = format!("{}.", at.hostname);
        let mut query = vec![("name", name.as_str()), ("search_mode", "equal"), ("limit", "500")];
        query.extend(page.map(|page| ("marker", page)));
        self.sign(ask, self.draft(Method::GET, format!("/v2.1/zones/{}/recordsets", ask.zone_id)).with_query(&query))
    }

    fn looked(&self, _ask: &Ask<'_>, at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, explain)?;
        let unknown = || Trouble::unknown("the list of record sets cannot be read");
        let mut page = Page::default();
        let mut seen = Vec::new();
        let sets = body["recordsets"].as_array().ok_or_else(unknown)?;
        // Where the search is not exact after all, what was asked for may stand on a later page.
        let last = sets.last().filter(|_| sets.len() >= PAGE);
        page.next = last.and_then(|set| set["id"].as_str()).map(str::to_owned);
        for set in sets {
            let text = |member: &str| set[member].as_str().unwrap_or_default();
            let (name, kind, line) = (text("name"), text("type"), text("line"));
            if !super::is_same_name(name, at.hostname) {
                continue;
            }
            if kind == "CNAME" {
                page.obstacles.push((name.to_owned(), "the name has a CNAME record".to_owned()));
            }
            if !matches!(kind, "A" | "AAAA") {
                continue;
            }
            let obstacle = match text("status") {
                // It will be gone in a moment, and nothing may be written before.
                "PENDING_DELETE" => {
                    return Err(Trouble::of(Class::Busy, "pending_delete", "its record set is being deleted"));
                }
                "DISABLE" => Some(format!("the name has a disabled {kind} record set")),
                _ if !matches!(line, "" | LINE) => {
                    Some(format!("the name has an {kind} record set for the line {line}"))
                }
                _ if seen.contains(&kind) => {
                    Some(format!("the name has several {kind} record sets, told apart by weight"))
                }
                _ => None,
            };
            match obstacle {
                Some(why) => page.obstacles.push((name.to_owned(), why)),
                None => page.records.extend(records(set, kind).ok_or_else(unknown)?),
            }
            seen.push(kind);
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let sets = format!("/v2.1/zones/{}/recordsets", ask.zone_id);
        let body = json!({
            "name": format!("{}.", change.hostname),
            "type": change.family.record_type(),
            "ttl": change.ttl(),
            "records": change.set(),
        });
        let draft = match (change.known(), &change.act) {
            (Some(known), Act::Remove { .. }) if change.set().is_empty() => {
                self.draft(Method::DELETE, format!("{sets}/{}", known.id))
            }
            (Some(known), _) => {
                let draft = self.draft(Method::PUT, format!("{sets}/{}", known.id));
                draft.with_body("application/json", body.to_string())
            }
            (None, _) => self.draft(Method::POST, sets).with_body("application/json", body.to_string()),
        };
        self.sign(ask, draft)
    }

    /// The answer shows the set: as it will be, or, when it is deleted, as it was. Of a deleted one it may show nothing.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let [change] = changes else { unreachable!("one change at a time") };
        let set = read_json(answer, explain)?;
        let unknown = || Trouble::unknown("the answer to the write does not show the record set");
        let wanted = change.set();
        if wanted.is_empty() && set.is_null() {
            return Ok(Written::unechoed(changes));
        }
        let is_named = set["name"].as_str().is_some_and(|name| super::is_same_name(name, &change.hostname));
        let records = records(&set, change.family.record_type()).filter(|_| is_named).ok_or_else(unknown)?;
        if wanted.is_empty() {
            return if set["status"] == "PENDING_DELETE" { Ok(Written::unechoed(changes)) } else { Err(unknown()) };
        }
        let stands: Vec<IpAddr> = records.iter().map(|record| record.address).collect();
        if stands.len() != wanted.len() || !wanted.iter().all(|address| stands.contains(address)) {
            return Err(Trouble::unknown(&format!("the answer to the write shows {stands:?}, not {wanted:?}")));
        }
        let known = records.into_iter().next().map(|record| record.known).ok_or_else(unknown)?;
        Ok(vec![Written { id: Some(known.id), address: change.to(), ttl: Some(known.ttl), note: None }])
    }
}

/// The addresses of a set of this type.
fn records(set: &Value, kind: &str) -> Option<Vec<Record>> {
    let text = |member: &str| set[member].as_str();
    let id = text("id").filter(|id| is_id(id))?;
    let known = Known { id: id.into(), ttl: seconds(&set["ttl"])?, ..Known::default() };
    let name = text("name").filter(|_| text("type") == Some(kind))?;
    let record = |value: &Value| {
        Some(Record { name: name.to_owned(), address: value.as_str()?.parse().ok()?, known: known.clone() })
    };
    set["records"].as_array()?.iter().map(record).collect()
}

/// `{"code": "DNS.0302", "message": …}` of DNS, or `{"error_code": "APIGW.0301", "error_msg": …}` of the gateway
/// before it.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let either = |one: &str, other: &str| body[one].as_str().or_else(|| body[other].as_str());
    let (code, text) = (either("code", "error_code")?, either("message", "error_msg").unwrap_or_default());
    let meaning = match code {
        "DNS.0312" | "DNS.0335" | "DNS.0016" => Meaning::Exists,
        "DNS.0313" | "DNS.0004" => Meaning::NoRecord,
        "DNS.0302" | "DNS.0101" | "DNS.1206" => Meaning::NoZone,
        _ => Meaning::Plain(match code {
            "APIGW.0301" | "APIGW.0303" | "APIGW.0305" | "DNS.0005" => Class::Auth,
            "APIGW.0302" | "APIGW.0306" | "DNS.0013" | "DNS.0030" | "DNS.0040" | "DNS.1802" => Class::Denied,
            // Zone or account are suspended or frozen.
            "DNS.0209" | "DNS.0213" | "DNS.0214" | "DNS.2003" | "DNS.2005" | "DNS.2006" => Class::Denied,
            "DNS.0202" | "DNS.0303" | "DNS.0304" | "DNS.0307" | "DNS.0308" | "DNS.0319" => Class::Invalid,
            "DNS.0403" | "DNS.0404" | "DNS.0409" | "DNS.2002" => Class::Quota,
            "DNS.0021" => Class::Busy,
            "APIGW.0308" | "DNS.0014" => Class::Rate,
            "DNS.0000" | "DNS.0001" | "DNS.0003" => Class::Down,
            _ => return Some(Trouble::with_status(status, code, text)),
        }),
    };
    Some(Trouble::new(meaning, code, text))
}

#[cfg(test)]
mod tests;
