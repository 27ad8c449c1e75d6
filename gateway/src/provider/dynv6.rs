//! dynv6, API version 2 (dynv6.github.io/api-spec).
//!
//! Addresses stand in two places: those of the zone itself are members of the zone (`ipv4address`, `ipv6prefix`), those
//! of names below it are records. A record's data may be an address or, for AAAA, an interface id that goes with the
//! zone's prefix; only whole addresses are written here. TTLs do not exist. How a zone's own address is taken away is
//! not documented, so that is refused.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nicgate_logic::policy::DEFAULT_TTL;
use nicgate_protocol::{AddressSet, Family, Hostname};
use serde_json::{Value, json};

use super::apex::{Apex, Located, Members, Sheet, TwoPlaces};
use super::encode::{absolute, bearer, percent_encoded, relative, scalar};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written};
use super::trouble::{Meaning, Trouble, read_json, says_nothing};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://dynv6.com/api/v2";
/// Our own bound: dynv6 publishes none.
const BUDGET: Budget = Budget::of(&[Window::new(60, 60)]);
/// dynv6 neither shows a TTL nor takes one; this stands for it, in seconds.
const TTL: u32 = DEFAULT_TTL;

const TOKEN: &str = "token";
const KEYS: &[Key] = &[Key::secret(TOKEN, "An HTTP token, from Keys in the account's settings.")];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "dynv6", about: "dynv6, by its API.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(TwoPlaces::provider(Account {
        base: base_url(settings, DEFAULT_ENDPOINT)?,
        authorization: bearer(settings, TOKEN)?,
    }))
}

#[derive(Clone)]
struct Account {
    base: String,
    authorization: HeaderValue,
}

impl Account {
    fn call(&self, method: Method, path: &str) -> HttpCall {
        HttpCall::new(method, format!("{}/zones{path}", self.base)).with(AUTHORIZATION, self.authorization.clone())
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Zone
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        TTL..=TTL
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check token",
            Class::NoZone => "; name the zone as it is named at dynv6",
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
        self.call(Method::GET, &format!("/{}/records", percent_encoded(ask.zone_id)))
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read_json(answer, explain)?;
        let list = body.as_array().ok_or_else(|| Trouble::unknown("the list of records cannot be read"))?;
        let mut page = Page::default();
        for one in list {
            let name = absolute(one["name"].as_str().unwrap_or_default(), ask.zone);
            let Some(family) = Family::BOTH.into_iter().find(|family| one["type"] == family.record_type()) else {
                if one["type"] == "CNAME" {
                    page.obstacles.push((name, "the name has a CNAME record".to_owned()));
                }
                continue;
            };
            match record(one, family, ask.zone) {
                Some(record) => page.records.push(record),
                // An empty one shows the zone's address, an interface id goes with the zone's prefix.
                None => {
                    page.obstacles.push((name, "the name has a record that follows the zone's own address".to_owned()))
                }
            }
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let records = format!("/{}/records", percent_encoded(ask.zone_id));
        let one = |known: &Known| format!("{records}/{}", percent_encoded(&known.id));
        match &change.act {
            Act::Remove { known, .. } => self.call(Method::DELETE, &one(known)),
            Act::Alter { known, to, .. } => self.call(Method::PATCH, &one(known)).with_json(&json!({ "data": to })),
            Act::Create { to, .. } => {
                let (name, kind) = (relative(&change.hostname, ask.zone, ""), change.family.record_type());
                let body = json!({ "name": name, "type": kind, "data": to });
                self.call(Method::POST, &records).with_json(&body)
            }
        }
    }

    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let [change] = changes else { unreachable!("one change at a time") };
        let body = read_json(answer, explain)?;
        match (&change.act, record(&body, change.family, ask.zone)) {
            (Act::Remove { .. }, _) if says_nothing(&body) => Ok(Written::unechoed(changes)),
            (Act::Create { .. } | Act::Alter { .. }, Some(record)) => Ok(vec![Written::shown(record)]),
            _ => Err(Trouble::unknown("the answer to the write shows no record")),
        }
    }
}

impl Apex for Account {
    fn find(&self, zone: &Hostname) -> HttpCall {
        self.call(Method::GET, &format!("/by-name/{}", percent_encoded(zone.as_str())))
    }

    fn found(&self, zone: &Hostname, answer: &Answer) -> Result<Option<Located>, Trouble> {
        let sheet = match self.shown(answer) {
            // It may be a name in a zone above.
            Err(trouble) if trouble.meaning == Meaning::NoRecord => {
                return if zone.as_str().matches('.').count() > 1 { Ok(None) } else { Err(trouble) };
            }
            sheet => sheet?,
        };
        let id = scalar(&sheet.whole["id"]).ok_or_else(|| Trouble::unknown("the zone has no id"))?;
        Ok(Some(Located { id, sheet: Some(sheet) }))
    }

    fn read(&self, id: &str) -> HttpCall {
        self.call(Method::GET, &format!("/{}", percent_encoded(id)))
    }

    fn shown(&self, answer: &Answer) -> Result<Sheet, Trouble> {
        let body = read_json(answer, explain)?;
        if !body["name"].is_string() {
            return Err(Trouble::unknown("the answer shows no zone"));
        }
        let v4 = body[IPV4].as_str().and_then(|text| text.parse().ok());
        Ok(Sheet { addresses: AddressSet { v4, v6: own_v6(&body) }, wildcards: Vec::new(), ttl: TTL, whole: body })
    }

    fn put(&self, id: &str, _sheet: Option<&Sheet>, change: &Members) -> HttpCall {
        let mut body = json!({});
        for (family, address) in &change.addresses {
            let name = if *family == Family::V4 { IPV4 } else { IPV6 };
            body[name] = json!(address);
        }
        self.call(Method::PATCH, &format!("/{}", percent_encoded(id))).with_json(&body)
    }

    /// The documented answer is a bare 200; where it shows the zone, the addresses must be ours.
    fn put_done(&self, change: &Members, answer: &Answer) -> Result<(), Trouble> {
        let body = read_json(answer, explain)?;
        if !(body.is_null() || body.is_object()) {
            return Err(Trouble::unknown("the answer to the write shows no zone"));
        }
        for (family, address) in &change.addresses {
            let shown: Option<IpAddr> = match family {
                Family::V4 => body[IPV4].as_str().and_then(|text| text.parse().ok()),
                Family::V6 => own_v6(&body).map(IpAddr::V6),
            };
            if shown.is_some_and(|shown| Some(shown) != *address) {
                return Err(Trouble::unknown("the answer to the write shows another address"));
            }
        }
        Ok(())
    }

    fn writes_whole(&self) -> bool {
        false
    }

    fn can_remove(&self) -> bool {
        false
    }
}

const IPV4: &str = "ipv4address";
const IPV6: &str = "ipv6prefix";

/// The zone's own IPv6 address: the member holds it, or a network that it is the first address of.
fn own_v6(zone: &Value) -> Option<Ipv6Addr> {
    let text = zone[IPV6].as_str()?;
    text.split('/').next()?.parse().ok()
}

fn record(value: &Value, family: Family, zone: &Hostname) -> Option<Record> {
    let address: IpAddr = value["data"].as_str()?.parse().ok()?;
    let is_whole = match address {
        IpAddr::V4(_) => true,
        // `::1` is an interface id, not an address.
        IpAddr::V6(v6) => v6.segments()[..4] != [0; 4],
    };
    let known = Known { id: scalar(&value["id"])?.into(), ttl: TTL, note: "".into() };
    let name = absolute(value["name"].as_str()?, zone);
    (Family::of(address) == family && is_whole).then_some(Record { name, address, known })
}

/// `{"error": {"name": "…", "message": "…", "fields": [{"name", "message"}]}}`, or a bare status.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let error = &body["error"];
    let (code, message) = (error["name"].as_str()?, error["message"].as_str()?);
    let fields = error["fields"].as_array().into_iter().flatten();
    let fields =
        fields.filter_map(|field| Some(format!("; {}: {}", field["name"].as_str()?, field["message"].as_str()?)));
    Some(Trouble::with_status(status, code, &format!("{message}{}", fields.collect::<String>())))
}

#[cfg(test)]
mod tests;
