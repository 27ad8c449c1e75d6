//! Dynu, API version 2 (dynu.com/Support/API).
//!
//! Addresses stand in two places: those of the domain itself are members of the domain object, those of names below it
//! are records, and a list of records does not show the former. A change of the domain repeats all of its settings, so
//! it is read before each. The wildcard of the domain is a switch, not a record.
//!
//! An answer is a success when status and `statusCode` are 200 and there is no `exception`. An unknown host or id comes
//! as "Argument Exception", like any other mistake.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use nicgate_protocol::{AddressSet, Family, Hostname};
use serde_json::{Value, json};

use super::apex::{Apex, Located, Members, Sheet, TwoPlaces};
use super::encode::{number, percent_encoded, relative, scalar, seconds, secret_header};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written};
use super::trouble::{Meaning, Trouble, read_json};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://api.dynu.com/v2";
/// Our own bound: Dynu has limits and does not publish them.
const BUDGET: Budget = Budget::of(&[Window::new(60, 60)]);
const API_KEY_HEADER: HeaderName = HeaderName::from_static("api-key");
/// The members that a change of a domain repeats.
const SETTINGS: [&str; 11] = [
    "name",
    "group",
    "ipv4Address",
    "ipv6Address",
    "ttl",
    "ipv4",
    "ipv6",
    "ipv4WildcardAlias",
    "ipv6WildcardAlias",
    "allowZoneTransfer",
    "dnssec",
];

const API_KEY: &str = "api_key";
const KEYS: &[Key] = &[Key::secret(API_KEY, "The API key, from the control panel under API Credentials.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "dynu", about: "Dynu, by its API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(TwoPlaces::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        key: secret_header(API_KEY, settings.credential(API_KEY)?)?,
    }))
}

#[derive(Clone)]
struct Account {
    base: String,
    key: HeaderValue,
}

impl Account {
    fn call(&self, method: Method, path: &str) -> HttpCall {
        HttpCall::new(method, format!("{}/dns{path}", self.base)).with(API_KEY_HEADER, self.key.clone())
    }
}

impl Api for Account {
    /// All records in one call: only so a CNAME of the name is seen.
    fn view(&self, _hosts: usize) -> View {
        View::Zone
    }

    /// Clients ask for 30; Dynu names no bounds.
    fn ttls(&self) -> RangeInclusive<u32> {
        30..=604_800
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check api_key, or make a new one in the control panel",
            Class::NoZone => "; name the zone as the domain is named at Dynu",
            Class::Denied | Class::Invalid | Class::Quota | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn find_zone(&self, ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        Some(self.find(ask.zone))
    }

    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let found = self.found(ask.zone, answer)?;
        Ok(found.map_or(Found::Nothing, |found| Found::Zone(found.id)))
    }

    fn look(&self, ask: &Ask<'_>, _at: &Spot<'_>, _page: Option<&str>) -> HttpCall {
        self.call(Method::GET, &format!("/{}/record", ask.zone_id))
    }

    fn looked(&self, _ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read(answer, Meaning::NoZone)?;
        let list = body["dnsRecords"].as_array();
        let list = list.ok_or_else(|| Trouble::unknown("the list of records cannot be read"))?;
        let mut page = Page::default();
        for one in list {
            if one["recordType"] == "CNAME" {
                let name = one["hostname"].as_str().unwrap_or_default();
                page.obstacles.push((name.to_owned(), "the name has a CNAME record".to_owned()));
            }
            page.records.extend(record(one));
        }
        Ok(page)
    }

    /// A record that is switched off is no address.
    fn is_as_asked(&self, known: &Known) -> bool {
        !known.note.starts_with(OFF)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let path = match change.known() {
            Some(known) => format!("/{}/record/{}", ask.zone_id, percent_encoded(&known.id)),
            None => format!("/{}/record", ask.zone_id),
        };
        let Some(to) = change.to() else { return self.call(Method::DELETE, &path) };
        let group = change.known().map_or("", |known| known.note.trim_start_matches(OFF));
        let mut body = json!({
            "nodeName": relative(&change.hostname, ask.zone, ""),
            "recordType": change.family.record_type(),
            "ttl": change.ttl(),
            "state": true,
            "group": group,
        });
        body[member(change.family)] = json!(to);
        self.call(Method::POST, &path).with_json(&body)
    }

    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let [change] = changes else { unreachable!("one change at a time") };
        let missing = if change.known().is_some() { Meaning::NoRecord } else { Meaning::Plain(Class::Invalid) };
        let body = read(answer, missing)?;
        match (&change.act, record(&body)) {
            (Act::Remove { .. }, _) => Ok(Written::unechoed(changes)),
            (_, Some(record)) => Ok(vec![Written::shown(record)]),
            (_, None) => Err(Trouble::unknown("the answer to the write shows no record")),
        }
    }
}

impl Apex for Account {
    fn find(&self, zone: &Hostname) -> HttpCall {
        self.call(Method::GET, &format!("/getroot/{}", percent_encoded(zone.as_str())))
    }

    fn found(&self, _zone: &Hostname, answer: &Answer) -> Result<Option<Located>, Trouble> {
        let body = read(answer, Meaning::NoZone)?;
        match (scalar(&body["id"]), body["node"].as_str()) {
            (Some(id), None | Some("")) => Ok(Some(Located { id, sheet: None })),
            (Some(_), Some(_)) => Ok(None),
            (None, _) => Err(Trouble::unknown("the answer names no domain")),
        }
    }

    fn read(&self, id: &str) -> HttpCall {
        self.call(Method::GET, &format!("/{}", percent_encoded(id)))
    }

    fn shown(&self, answer: &Answer) -> Result<Sheet, Trouble> {
        let body = read(answer, Meaning::NoZone)?;
        let (Some(ttl), true) = (seconds(&body["ttl"]), SETTINGS.iter().all(|name| body.get(name).is_some())) else {
            return Err(Trouble::unknown("the answer shows no domain with all of its settings"));
        };
        let mut addresses = AddressSet::EMPTY;
        let is_on = |name: &str| body[name] == true;
        if is_on("ipv4") {
            addresses.v4 = body["ipv4Address"].as_str().and_then(|text| text.parse().ok());
        }
        if is_on("ipv6") {
            addresses.v6 = body["ipv6Address"].as_str().and_then(|text| text.parse().ok());
        }
        let wildcards = Family::BOTH.into_iter().filter(|family| is_on(wildcard(*family))).collect();
        Ok(Sheet { addresses, wildcards, ttl, whole: body })
    }

    fn put(&self, id: &str, sheet: Option<&Sheet>, change: &Members) -> HttpCall {
        let whole = sheet.map_or(&Value::Null, |sheet| &sheet.whole);
        let mut body: Value = SETTINGS.iter().map(|name| ((*name).to_owned(), whole[*name].clone())).collect();
        for (family, address) in &change.addresses {
            body[flag(*family)] = json!(address.is_some());
            if let Some(address) = address {
                body[member(*family)] = json!(address);
            }
        }
        for (family, follows) in &change.wildcards {
            body[wildcard(*family)] = json!(follows);
        }
        if let Some(ttl) = change.ttl {
            body["ttl"] = json!(ttl);
        }
        self.call(Method::POST, &format!("/{}", percent_encoded(id))).with_json(&body)
    }

    /// No page shows what the answer repeats; where it repeats an address, that must be ours.
    fn put_done(&self, change: &Members, answer: &Answer) -> Result<(), Trouble> {
        let body = read(answer, Meaning::NoZone)?;
        for (family, address) in &change.addresses {
            let shown = body[member(*family)].as_str().and_then(|text| text.parse::<IpAddr>().ok());
            if let (Some(address), Some(shown)) = (address, shown)
                && *address != shown
            {
                return Err(Trouble::unknown(&format!("the answer to the write shows {shown}, not {address}")));
            }
        }
        Ok(())
    }

    fn writes_whole(&self) -> bool {
        true
    }

    fn can_remove(&self) -> bool {
        true
    }

    fn has_wildcard_switch(&self) -> bool {
        true
    }
}

/// Before the group in [`Known::note`]: the record is switched off.
const OFF: char = '!';

/// An address record.
fn record(value: &Value) -> Option<Record> {
    let family = Family::BOTH.into_iter().find(|family| value["recordType"] == family.record_type())?;
    let address: IpAddr = value[member(family)].as_str()?.parse().ok()?;
    let group = value["group"].as_str().unwrap_or_default();
    let note = if value["state"] == false { format!("{OFF}{group}") } else { group.to_owned() };
    let known = Known { id: scalar(&value["id"])?.into(), ttl: seconds(&value["ttl"])?, note: note.into() };
    Some(Record { name: value["hostname"].as_str()?.to_owned(), address, known })
}

fn member(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4Address",
        Family::V6 => "ipv6Address",
    }
}

fn flag(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

fn wildcard(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4WildcardAlias",
        Family::V6 => "ipv6WildcardAlias",
    }
}

/// A success; `missing` is what an "Argument Exception" means here.
fn read(answer: &Answer, missing: Meaning) -> Result<Value, Trouble> {
    let body = read_json(answer, |status, body| explain(status, body, missing))?;
    match explain(answer.status, &body, missing) {
        Some(trouble) => Err(trouble),
        None if body["statusCode"] == 200 || body["statusCode"].is_null() && scalar(&body["id"]).is_some() => Ok(body),
        None => Err(Trouble::unknown("the answer does not say that it is a success")),
    }
}

/// `{"statusCode": 501, "type": "Argument Exception", "message": "Invalid."}`, whole or as `exception`.
fn explain(status: u16, body: &Value, missing: Meaning) -> Option<Trouble> {
    let error = if body["exception"].is_object() { &body["exception"] } else { body };
    let kind = error["type"].as_str()?;
    let text = error["message"].as_str().unwrap_or(kind);
    let code = number(&error["statusCode"]).unwrap_or(status.into());
    let meaning = match (kind.trim_end_matches("Exception").trim(), code) {
        ("Authentication", _) | (_, 401) => Meaning::Plain(Class::Auth),
        ("Authorization", _) | (_, 403) => Meaning::Plain(Class::Denied),
        ("Quota", _) | (_, 429) => Meaning::Plain(Class::Rate),
        ("Argument", _) => missing,
        ("Validation" | "Parse", _) => Meaning::Plain(Class::Invalid),
        ("Timeout" | "Server" | "IO" | "Application", _) => Meaning::Plain(Class::Down),
        _ => {
            let status = u16::try_from(code).unwrap_or(status);
            return Some(Trouble::with_status(status, &format!("{code} {kind}"), text));
        }
    };
    Some(Trouble::new(meaning, &format!("{code} {kind}"), text))
}

#[cfg(test)]
mod tests;
