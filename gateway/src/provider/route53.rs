//! Amazon Route 53, API of 2013-04-01 (docs.aws.amazon.com/Route53/latest/APIReference). XML, signed with SigV4.
//!
//! Records of one name and type are one set. All changes of a job go in one batch, a transaction: `UPSERT` makes or
//! replaces a set, `DELETE` wants its TTL and values exactly as they stand. Lists do not filter, they *start at* a
//! name, so names are compared; they write `*` as `\052`.
//!
//! Sets with special routing (alias, weighted, latency, geolocation …) are somebody's intention and refuse the host.
//! Private zones are skipped. Nobody waits until a change is `INSYNC`.

#[cfg(test)]
mod tests;
mod xml;

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::ACCEPT;

use super::encode::is_id;
use super::records::{Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::sign::{Draft, Keys, Site, sigv4};
use super::trouble::{Meaning, Trouble};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

/// Changes in one batch; the API takes 1000 records, an UPSERT counting twice.
const BATCH: usize = 100;
/// Five calls a second for an account (Route 53 developer guide, "Quotas").
const BUDGET: Budget = Budget::of(&[Window::new(5, 1)]);

const ACCESS_KEY_ID: &str = "access_key_id";
const SECRET_ACCESS_KEY: &str = "secret_access_key";
const SESSION_TOKEN: &str = "session_token";
const REGION: &str = "region";
const ZONE_ID: &str = "zone_id";

const KEYS: &[Key] = &[
    Key::secret(ACCESS_KEY_ID, "The access key id of an IAM user who may change the hosted zone."),
    Key::secret(SECRET_ACCESS_KEY, "The secret access key that belongs to it."),
    Key::text(REGION, "Any region of the account's partition, such as \"us-east-1\"; Route 53 is the same in all."),
    Key::secret(SESSION_TOKEN, "The token of temporary credentials (STS).").optional(),
    Key::text(ZONE_ID, "The hosted zone's id; left out, the zone is found by its name.").optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "route53", about: "Amazon Route 53, public hosted zones.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    let bad = |key, why: &str| BadSetting { key, why: why.to_owned() };
    let keys = Keys::of(settings, ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN)?;
    let region = settings.credential(REGION)?;
    if !region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Err(bad(REGION, "write a region's id, for instance \"us-east-1\""));
    }
    let zone_id = settings.text(ZONE_ID).map(|id| id.trim().trim_start_matches("/hostedzone/"));
    if zone_id.is_some_and(|id| !is_zone_id(id)) {
        return Err(bad(ZONE_ID, "an id is up to 32 letters and digits, for instance \"Z0123456789ABCDEFGHIJ\""));
    }
    let (signing_region, default) = partition(region);
    // Whoever names an endpoint knows its region.
    let region = if settings.endpoint.is_some() { region } else { signing_region };
    Ok(Zoned::provider(Account {
        keys,
        region: region.to_owned(),
        site: Site::of(base_url(settings, default)?),
        zone_id: zone_id.map(Into::into),
    }))
}

/// Where Route 53 of a region's partition is, and the region that its signatures name (AWS General Reference, "Route 53
/// endpoints and quotas").
fn partition(region: &str) -> (&'static str, &'static str) {
    match region {
        _ if region.starts_with("cn-") => ("cn-northwest-1", "https://route53.amazonaws.com.cn"),
        _ if region.starts_with("us-gov-") => ("us-gov-west-1", "https://route53.us-gov.amazonaws.com"),
        _ => ("us-east-1", "https://route53.amazonaws.com"),
    }
}

/// `ResourceId` of the API: 32 letters at most. Which ones it does not say; those that Amazon makes are capitals and
/// digits.
fn is_zone_id(id: &str) -> bool {
    id.len() <= 32 && is_id(id)
}

struct Account {
    keys: Keys,
    region: String,
    site: Site,
    zone_id: Option<Box<str>>,
}

impl Account {
    fn sign(&self, ask: &Ask<'_>, draft: Draft<'_>) -> HttpCall {
        let mut call = sigv4::sign(draft, &self.keys, &self.region, "route53", ask.moment);
        call.headers.retain(|(name, _)| *name != ACCEPT);
        call
    }

    fn get(&self, ask: &Ask<'_>, path: &str, query: &[(&str, &str)]) -> HttpCall {
        self.sign(ask, Draft::new(&self.site, Method::GET, format!("/2013-04-01/{path}")).with_query(query))
    }

    /// A zone that was found by its name may have moved to another account since; one that is configured not.
    fn denied(&self, trouble: Trouble) -> Trouble {
        let is_sure = trouble.meaning == Meaning::Forbidden && self.zone_id.is_some();
        if is_sure { Trouble { meaning: Meaning::Plain(Class::Denied), ..trouble } } else { trouble }
    }
}

impl Api for Account {
    fn view(&self, hosts: usize) -> View {
        if hosts > 1 { View::Zone } else { View::Name }
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        0..=2_147_483_647
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => {
                "; check access_key_id, secret_access_key, region and the clock (5 minutes off are too much)"
            }
            Class::Denied => {
                "; allow route53:ListHostedZonesByName, route53:ListResourceRecordSets and \
                 route53:ChangeResourceRecordSets"
            }
            Class::NoZone => "; it must be a public hosted zone of this account",
            Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn changes_at_once(&self) -> usize {
        BATCH
    }

    fn writes_sets(&self) -> bool {
        true
    }

    fn configured_zone(&self) -> Option<&str> {
        self.zone_id.as_deref()
    }

    fn find_zone(&self, ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        Some(self.get(ask, "hostedzonesbyname", &[("dnsname", ask.zone.as_str()), ("maxitems", "100")]))
    }

    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let is_right = |zone: &xml::Zone| !zone.is_private && super::is_same_name(&zone.name, ask.zone);
        // Who may not list zones is told so, whatever else the credential is good for.
        let zones = xml::zones(answer).map_err(|trouble| {
            let is_denied = trouble.meaning == Meaning::Forbidden;
            if is_denied { Trouble { meaning: Meaning::Plain(Class::Denied), ..trouble } } else { trouble }
        })?;
        let ids: Vec<String> = zones.into_iter().filter(is_right).map(|zone| zone.id).collect();
        Ok(match ids.as_slice() {
            [] => Found::Nothing,
            [id] if is_zone_id(id) => Found::Zone(id.clone()),
            [_] => return Err(Trouble::unknown("the id of the zone cannot be read")),
            [_, _, ..] => Found::Several(format!("set zone_id to one of {}", ids.join(", "))),
        })
    }

    /// A page is named by what it starts at: name, type, and the identifier of a set with special routing.
    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let path = format!("hostedzone/{}/rrset", ask.zone_id);
        let name = format!("{}.", at.hostname);
        let mut query = vec![("maxitems", if at.view == View::Zone { "300" } else { "10" })];
        match page {
            Some(page) => query.extend(["name", "type", "identifier"].into_iter().zip(page.splitn(3, ' '))),
            None if at.view == View::Zone => {}
            None => query.push(("name", &name)),
        }
        self.get(ask, &path, &query)
    }

    fn looked(&self, _ask: &Ask<'_>, at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let list = xml::sets(answer).map_err(|trouble| self.denied(trouble))?;
        let mut page = Page::default();
        for set in &list.sets {
            let name = set.name.trim_end_matches('.').to_owned();
            match set.kind.as_str() {
                "CNAME" => page.obstacles.push((name, "the name has a CNAME record".to_owned())),
                kind @ ("A" | "AAAA") => match &set.routing {
                    Some(routing) => {
                        page.obstacles.push((name, format!("the name has an {kind} record with {routing}")))
                    }
                    None => page.records.extend(records(set, &name)?),
                },
                _ => {}
            }
        }
        // Whatever comes after the name is none of this look's business.
        let is_on = |next: &&xml::Next| at.view == View::Zone || super::is_same_name(&next.name, at.hostname);
        page.next = list.next.as_ref().filter(is_on).map(xml::Next::page);
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let path = format!("/2013-04-01/hostedzone/{}/rrset/", ask.zone_id);
        self.sign(ask, Draft::new(&self.site, Method::POST, path).with_body("text/xml", xml::batch(changes)))
    }

    /// A batch that was taken is made as a whole; its answer repeats nothing of it.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        if !xml::is_taken(answer).map_err(|trouble| self.denied(trouble))? {
            return Err(Trouble::unknown("the answer to the write does not say that it was taken"));
        }
        Ok(vec![Written { note: Some("".into()), ..Written::default() }; changes.len()])
    }
}

/// The addresses of a set. Each knows all values as they are written, for the day when the set is deleted.
fn records(set: &xml::Set, name: &str) -> Result<Vec<Record>, Trouble> {
    let known = Known { id: "".into(), ttl: set.ttl, note: set.values.join(",").into() };
    let record = |value: &String| {
        let address = value.parse().map_err(|_| Trouble::unknown("a set holds something else than addresses"))?;
        Ok(Record { name: name.to_owned(), address, known: known.clone() })
    };
    set.values.iter().map(record).collect()
}
