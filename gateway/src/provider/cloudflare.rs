//! Cloudflare, API version 4 (developers.cloudflare.com/api).
//!
//! Changes are a `PATCH` of the content, or one batch for several, which Cloudflare makes all or none. `PUT` is never
//! used: it would reset what the operator set by hand (proxied, comment, tags).
//!
//! It does not verify through DNS: a proxied record answers with Cloudflare's own addresses. The answer to the write
//! is the proof.

mod answer;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nicgate_logic::policy::DEFAULT_TTL;
use serde_json::{Value, json};

use self::answer::PROXIED_NOTE;
use super::encode::{bearer, is_id, percent_encoded};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Spot, View, Written, Zoned};
use super::trouble::Trouble;
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Shape, Window, base_url,
};

const DEFAULT_ENDPOINT: &str = "https://api.cloudflare.com/client/v4";
/// "Automatic", the TTL of every proxied record.
const AUTOMATIC_TTL: u32 = 1;
/// Records on one page of a zone's list.
const PAGE: usize = 500;
/// Changes in one batch; free plans take 200.
const BATCH: usize = 100;
/// 1,200 calls in 5 minutes per user or account token (fundamentals/api/reference/limits).
const BUDGET: Budget = Budget::of(&[Window::new(1200, 300)]);

const API_TOKEN: &str = "api_token";
const PROXIED: &str = "proxied";
const ZONE_ID: &str = "zone_id";

const KEYS: &[Key] = &[
    Key::secret(
        API_TOKEN,
        "An API token with the right Zone - DNS - Edit, and Zone - Zone - Read unless zone_id is given.",
    ),
    Key::text(PROXIED, "Whether records go through Cloudflare's proxy; left out, each record keeps what it has.")
        .optional()
        .shaped(Shape::Flag),
    Key::text(ZONE_ID, "The zone's id, from its overview page; left out, the zone is found by its name.").optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "cloudflare", about: "Cloudflare DNS, by its API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let bad = |key, why: &str| BadSetting { key, why: why.to_owned() };
    let authorization = bearer(settings, API_TOKEN)?;
    let zone_id = settings.text(ZONE_ID).map(str::trim);
    if zone_id.is_some_and(|id| !is_id(id)) {
        return Err(bad(ZONE_ID, "an id is 32 hexadecimal digits; the zone's name belongs into [[zone]]"));
    }
    if settings.ttl.is_some_and(|ttl| ttl != AUTOMATIC_TTL && !(30..=86400).contains(&ttl)) {
        return Err(bad("ttl", "Cloudflare takes 60 to 86400 seconds (Enterprise zones from 30), or 1: automatic"));
    }
    Ok(Zoned::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        authorization,
        zone_id: zone_id.map(Into::into),
        proxied: settings.flag(PROXIED),
    }))
}

/// One token and what belongs to it.
struct Account {
    base: String,
    authorization: HeaderValue,
    zone_id: Option<Box<str>>,
    proxied: Option<bool>,
}

impl Account {
    fn call(&self, method: Method, path: &str) -> HttpCall {
        HttpCall::new(method, format!("{}{path}", self.base)).with(AUTHORIZATION, self.authorization.clone())
    }

    fn is_proxied_after(&self, known: Option<&Known>) -> bool {
        self.proxied.unwrap_or(known.is_some_and(is_proxied))
    }

    fn body(&self, change: &Change) -> Value {
        match &change.act {
            Act::Create { to, ttl } => json!({
                "type": change.family.record_type(),
                "name": change.hostname.as_str(),
                "content": to,
                "ttl": ttl,
                "proxied": self.is_proxied_after(None),
            }),
            Act::Alter { known, to, ttl, .. } => {
                let mut body = json!({ "content": to });
                if let Some(ttl) = ttl {
                    body["ttl"] = json!(ttl);
                }
                if !self.is_as_asked(known) {
                    body["proxied"] = json!(self.is_proxied_after(Some(known)));
                }
                body
            }
            Act::Remove { known, .. } => json!({ "id": known.id }),
        }
    }

    /// All changes in one transaction; Cloudflare makes them in the order deletes, patches, posts.
    fn batch(&self, changes: &[Change]) -> Value {
        let mut batch = json!({});
        for change in changes {
            let mut body = self.body(change);
            let list = match &change.act {
                Act::Create { .. } => "posts",
                Act::Alter { known, .. } => {
                    body["id"] = json!(known.id);
                    "patches"
                }
                Act::Remove { .. } => "deletes",
            };
            match batch[list].as_array_mut() {
                Some(list) => list.push(body),
                None => batch[list] = json!([body]),
            }
        }
        batch
    }
}

fn is_proxied(known: &Known) -> bool {
    &*known.note == PROXIED_NOTE
}

impl Api for Account {
    fn view(&self, hosts: usize) -> View {
        if hosts > 1 { View::Zone } else { View::Name }
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        30..=86_400
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check api_token: is it whole, active, not expired, and allowed from this address?",
            Class::Denied => "; give the token the right Zone - DNS - Edit on this zone",
            Class::NoZone => {
                "; check the token's zones and its right Zone - Zone - Read, or set zone_id if it is configured wrong"
            }
            Class::Quota => "; the plan's limit of records is reached",
            Class::Invalid | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn changes_at_once(&self) -> usize {
        BATCH
    }

    /// Proxied records have no TTL of their own.
    fn ttl_for(&self, standing: Option<&Known>, asked: Option<u32>) -> Option<u32> {
        if self.is_proxied_after(standing) {
            return standing.is_none().then_some(AUTOMATIC_TTL);
        }
        let asked = asked.map(|ttl| if ttl == AUTOMATIC_TTL { ttl } else { ttl.clamp(30, 86_400) });
        match standing {
            Some(known) => asked.filter(|ttl| *ttl != known.ttl),
            None => Some(asked.unwrap_or(DEFAULT_TTL)),
        }
    }

    fn is_as_asked(&self, known: &Known) -> bool {
        self.proxied.is_none_or(|proxied| proxied == is_proxied(known))
    }

    fn configured_zone(&self) -> Option<&str> {
        self.zone_id.as_deref()
    }

    fn find_zone(&self, ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        Some(self.call(Method::GET, &format!("/zones?name={}", percent_encoded(ask.zone.as_str()))))
    }

    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let contents = answer::read(answer)?;
        let ids = answer::zone_ids(&contents.result, ask.zone)
            .ok_or_else(|| Trouble::unknown("the list of zones cannot be read"))?;
        Ok(match ids.as_slice() {
            [] => Found::Nothing,
            [id] => Found::Zone(id.clone()),
            [_, _, ..] => Found::Several("set zone_id".to_owned()),
        })
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let records = format!("/zones/{}/dns_records", ask.zone_id);
        self.call(
            Method::GET,
            &match at.view {
                // Of all types: a filter by several of them works, but is documented nowhere.
                View::Zone => format!("{records}?page={}&per_page={PAGE}", page.unwrap_or("1")),
                View::Family | View::Name => {
                    format!("{records}?name={}&per_page=100", percent_encoded(at.hostname.as_str()))
                }
            },
        )
    }

    fn looked(&self, _ask: &Ask<'_>, at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let contents = answer::read(answer)?;
        if at.view == View::Name && contents.next.is_some() {
            return Err(Trouble::of(Class::Invalid, "too_many_records", "the name has more than 100 records"));
        }
        answer::page(contents).ok_or_else(|| Trouble::unknown("the list of records cannot be read"))
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let records = format!("/zones/{}/dns_records", ask.zone_id);
        match changes {
            [only] => match &only.act {
                Act::Create { .. } => self.call(Method::POST, &records).with_json(&self.body(only)),
                Act::Alter { known, .. } => {
                    self.call(Method::PATCH, &format!("{records}/{}", known.id)).with_json(&self.body(only))
                }
                Act::Remove { known, .. } => self.call(Method::DELETE, &format!("{records}/{}", known.id)),
            },
            several => self.call(Method::POST, &format!("{records}/batch")).with_json(&self.batch(several)),
        }
    }

    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let result = answer::read(answer)?.result;
        let lists = ["patches", "posts"].into_iter().filter_map(|list| result.get(list)?.as_array());
        let values: Vec<&Value> = if changes.len() == 1 { vec![&result] } else { lists.flatten().collect() };
        let records: Vec<_> = values.into_iter().filter_map(answer::record).collect();
        Written::among(&records, changes)
    }
}
