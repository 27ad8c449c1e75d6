//! Volcengine DNS (TrafficRoute), API of 2018-08-01 (www.volcengine.com/docs/6758).
//!
//! Calls name their action in the query; reads are `GET`, writes `POST` of JSON, all signed
//! (`sign/volc.rs`). Records have ids, and the answer to a write shows the record.
//!
//! The least TTL depends on the edition. No call tells it; so the first refusal that speaks of the TTL is answered with
//! the one that every edition takes, and that is remembered with the zone's id. Only the line `default` is written.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::encode::{absolute, number, relative, scalar, seconds};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::sign::{Draft, Keys, Site, volc};
use super::trouble::{Meaning, Trouble, read_json};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://open.volcengineapi.com";
const VERSION: &str = "2018-08-01";
const REGION: &str = "cn-north-1";
const SERVICE: &str = "DNS";
/// The line of everybody for whom there is no other.
const LINE: &str = "default";
/// The default of every edition.
const SAFE_TTL: u32 = 600;
/// Records of one name that are listed at once.
const MOST: u64 = 100;
/// Ten calls a second of one action (www.volcengine.com/docs/6758/155106); all together are kept below that here.
const BUDGET: Budget = Budget::of(&[Window::new(10, 1)]);

const ACCESS_KEY_ID: &str = "access_key_id";
const SECRET_ACCESS_KEY: &str = "secret_access_key";
const SESSION_TOKEN: &str = "session_token";

const KEYS: &[Key] = &[
    Key::secret(ACCESS_KEY_ID, "The access key id of an IAM user who may change DNS records."),
    Key::secret(SECRET_ACCESS_KEY, "The secret access key that belongs to it, as it is shown (do not decode it)."),
    Key::secret(SESSION_TOKEN, "The token of temporary credentials (STS).").optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "volcengine", about: "Volcengine DNS (TrafficRoute).", keys: KEYS, open };

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
    fn sign(&self, ask: &Ask<'_>, action: &str, draft: Draft<'_>) -> HttpCall {
        let draft = draft.with_query(&[("Action", action), ("Version", VERSION)]);
        volc::sign(draft, &self.keys, REGION, SERVICE, ask.moment)
    }

    fn get(&self, ask: &Ask<'_>, action: &str, parameters: &[(&str, &str)]) -> HttpCall {
        self.sign(ask, action, Draft::new(&self.site, Method::GET, "/").with_query(parameters))
    }

    fn post(&self, ask: &Ask<'_>, action: &str, body: &Value) -> HttpCall {
        let draft = Draft::new(&self.site, Method::POST, "/").with_body("application/json", body.to_string());
        self.sign(ask, action, draft)
    }
}

/// The zone's number, and the least TTL where it was found out: `1234` or `1234>600`.
fn zone_parts(zone_id: &str) -> (&str, u32) {
    let (id, least) = zone_id.split_once('>').unwrap_or((zone_id, "0"));
    (id, least.parse().unwrap_or(0))
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
            Class::Auth => "; check access_key_id, secret_access_key and the clock",
            Class::Denied => "; allow the user to change DNS records",
            Class::NoZone => "; the domain must be in the list of public zones of this account",
            Class::Quota => "; the edition's limit of records is reached",
            Class::Invalid | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn least_ttl(&self, zone_id: &str) -> u32 {
        zone_parts(zone_id).1
    }

    fn after_low_ttl(&self, zone_id: &str) -> Option<String> {
        let (id, least) = zone_parts(zone_id);
        (least < SAFE_TTL).then(|| format!("{id}>{SAFE_TTL}"))
    }

    fn find_zone(&self, ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        Some(self.get(ask, "ListZones", &[("Key", ask.zone.as_str()), ("SearchMode", "exact")]))
    }

    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let result = read(answer)?;
        let zones = list(&result, "Zones")?;
        let is_it = |zone: &&Value| zone["ZoneName"].as_str().is_some_and(|name| super::is_same_name(name, ask.zone));
        let ids: Vec<String> =
            zones.iter().filter(is_it).filter_map(|zone| Some(number(&zone["ZID"])?.to_string())).collect();
        Ok(match ids.as_slice() {
            [] => Found::Nothing,
            [id] => Found::Zone(id.clone()),
            [_, _, ..] => Found::Several("leave one of them in the account".to_owned()),
        })
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, _page: Option<&str>) -> HttpCall {
        let host = relative(at.hostname, ask.zone, "@");
        let parameters =
            [("ZID", zone_parts(ask.zone_id).0), ("Host", host), ("SearchMode", "exact"), ("PageSize", "100")];
        self.get(ask, "ListRecords", &parameters)
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let result = read(answer)?;
        let unknown = || Trouble::unknown("the list of records cannot be read");
        if number(&result["TotalCount"]).is_some_and(|total| total > MOST) {
            return Err(Trouble::of(Class::Invalid, "too_many_records", "the name has more than 100 records"));
        }
        let mut page = Page::default();
        for record in list(&result, "Records")? {
            let text = |member: &str| record[member].as_str().unwrap_or_default();
            let (name, kind, line) = (absolute(text("Host"), ask.zone), text("Type"), text("Line"));
            match kind {
                "A" | "AAAA" if !matches!(line, "" | LINE) => {
                    page.obstacles.push((name, format!("the name has an {kind} record for the line {line}")));
                }
                "A" | "AAAA" if record["Enable"] == false => {
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
        let Some(to) = change.to() else {
            let id = change.known().map(|known| &known.id);
            return self.post(ask, "DeleteRecord", &json!({ "RecordID": id }));
        };
        let mut body = json!({
            "Host": relative(&change.hostname, ask.zone, "@"),
            "Line": LINE,
            "TTL": change.ttl(),
            "Type": change.family.record_type(),
            "Value": to,
        });
        match &change.act {
            Act::Alter { known, .. } => {
                body["RecordID"] = json!(known.id);
                // What was set by hand beside the value goes along, lest it is reset.
                if let Some((weight, remark)) = known.note.split_once(' ') {
                    body["Weight"] = json!(weight.parse::<u32>().unwrap_or(1));
                    body["Remark"] = json!(remark);
                }
                self.post(ask, "UpdateRecord", &body)
            }
            Act::Create { .. } | Act::Remove { .. } => {
                body["ZID"] = json!(zone_parts(ask.zone_id).0.parse::<u64>().unwrap_or(0));
                self.post(ask, "CreateRecord", &body)
            }
        }
    }

    fn written(&self, ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let [change] = changes else { unreachable!("one change at a time") };
        let result = read(answer)?;
        if change.to().is_none() {
            return Ok(Written::unechoed(changes));
        }
        // Some answers tell of the record's id alone.
        if let (Some(id), Value::Null) = (scalar(&result["RecordID"]), &result["Value"])
            && change.known().is_none_or(|known| *known.id == *id)
        {
            return Ok(vec![Written { id: Some(id.into()), ..Written::default() }]);
        }
        let name = absolute(result["Host"].as_str().unwrap_or_default(), ask.zone);
        let record = read_record(&result, name).filter(|record| {
            super::is_same_name(&record.name, &change.hostname)
                && change.known().is_none_or(|known| known.id == record.known.id)
        });
        let record = record.ok_or_else(|| Trouble::unknown("the answer to the write does not show the record"))?;
        Ok(vec![Written::shown(record)])
    }
}

/// A list of the result; the API writes `null` for an empty one.
fn list<'a>(result: &'a Value, member: &str) -> Result<&'a [Value], Trouble> {
    match (result[member].as_array(), &result[member]) {
        (Some(list), _) => Ok(list),
        (None, Value::Null) if result.is_object() => Ok(&[]),
        (None, _) => Err(Trouble::unknown(&format!("the answer has no list of {member}"))),
    }
}

fn read_record(record: &Value, name: String) -> Option<Record> {
    let text = |member: &str| record[member].as_str();
    let ttl = seconds(&record["TTL"])?;
    let (weight, remark) = (number(&record["Weight"]).unwrap_or(1), text("Remark").unwrap_or_default());
    let is_plain = weight <= 1 && remark.is_empty();
    let note = if is_plain { String::new() } else { format!("{weight} {remark}") };
    let known = Known { id: scalar(&record["RecordID"])?.into(), ttl, note: note.into() };
    Some(Record { name, address: text("Value")?.parse().ok()?, known })
}

/// What stands in `Result`, unless the metadata tell of an error.
fn read(answer: &Answer) -> Result<Value, Trouble> {
    let mut body = read_json(answer, explain)?;
    match explain(answer.status, &body) {
        Some(trouble) => Err(trouble),
        None if body["ResponseMetadata"].is_object() => Ok(body.get_mut("Result").map(Value::take).unwrap_or_default()),
        None => Err(Trouble::unknown("the answer has no metadata")),
    }
}

/// `{"ResponseMetadata": {"Error": {"CodeN": …, "Code": …, "Message": …}}}`.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let error = &body["ResponseMetadata"]["Error"];
    let (code, text) = (error["Code"].as_str()?, error["Message"].as_str().unwrap_or_default());
    let meaning = match code {
        // "A parameter does not fit the edition"; which one stands in the text alone.
        "ErrSpecNotValid" | "ErrParamInvalid" if text.to_ascii_lowercase().contains("ttl") => Meaning::LowTtl,
        "ErrDBDuplicated" => Meaning::Exists,
        "ErrDBNotFound" => Meaning::NoRecord,
        "ErrZoneNotFound" => Meaning::NoZone,
        _ => Meaning::Plain(match code {
            "InvalidAccessKey" | "InvalidAuthorization" | "InvalidCredential" | "InvalidSecretToken" => Class::Auth,
            "InvalidTimestamp" | "MissingAuthenticationToken" | "MissingSignature" | "SignatureDoesNotMatch" => {
                Class::Auth
            }
            "AccessDenied" => Class::Denied,
            "ErrParsingParams" | "ErrParamInvalid" | "ErrSpecNotValid" | "ErrHostCanNotBeEmpty" => Class::Invalid,
            "ErrQuotaExceeded" | "ErrAccountRecordCountLimited" | "ErrZoneRecordCountLimited" => Class::Quota,
            "FlowLimitExceeded" => Class::Rate,
            "ErrInternalServer" | "InternalError" | "InternalServiceError" | "InternalServiceTimeout" => Class::Down,
            "ServiceUnavailableTemp" => Class::Down,
            _ => return Some(Trouble::with_status(status, code, text)),
        }),
    };
    Some(Trouble::new(meaning, code, text))
}

#[cfg(test)]
mod tests;
