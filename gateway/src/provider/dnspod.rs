//! DNSPod by the API 3.0 of Tencent Cloud, version 2021-03-23 (cloud.tencent.com/document/api/1427).
//!
//! Every call is a signed `POST` of JSON (`sign/tc3.rs`) and is answered with status 200; a failure has an
//! `Error`. An address is changed with `ModifyDynamicDNS`, which was made for that and leaves the record's other
//! settings alone. Lines of resolution have Chinese names; `0` is the id of the default one, and only that is written.
//!
//! The old API (dnsapi.cn, `login_token`) is not spoken. A list may miss a record that was made within the last half
//! minute, as the vendor says himself.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::encode::{absolute, number, relative, scalar, seconds};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::sign::{Draft, Keys, Site, tc3};
use super::trouble::{Meaning, Trouble, read_json};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://dnspod.tencentcloudapi.com";
const VERSION: &str = "2021-03-23";
/// The line of everybody for whom there is no other: its name is required, its id counts.
const LINE: &str = "默认";
const LINE_ID: &str = "0";
/// What the free plan takes, and so every other.
const SAFE_TTL: u32 = 600;
/// Records of one name that are listed at once.
const MOST: u64 = 100;
/// 20 calls a second, unless a page says otherwise.
const BUDGET: Budget = Budget::of(&[Window::new(20, 1)]);

const SECRET_ID: &str = "secret_id";
const SECRET_KEY: &str = "secret_key";
const TOKEN: &str = "token";

const KEYS: &[Key] = &[
    Key::secret(SECRET_ID, "The SecretId of a Tencent Cloud API key with the right to change DNSPod records."),
    Key::secret(SECRET_KEY, "The SecretKey that belongs to it."),
    Key::secret(TOKEN, "The token of temporary credentials (STS).").optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "dnspod", about: "DNSPod, by the API of Tencent Cloud.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        keys: Keys::of(settings, SECRET_ID, SECRET_KEY, TOKEN)?,
        site: Site::of(base_url(settings, DEFAULT_ENDPOINT)?),
    }))
}

struct Account {
    keys: Keys,
    site: Site,
}

impl Account {
    fn call(&self, ask: &Ask<'_>, action: &str, body: &Value) -> HttpCall {
        let draft = Draft::new(&self.site, Method::POST, "/").with_body("application/json", body.to_string());
        tc3::sign(draft, &self.keys, "dnspod", action, VERSION, ask.moment)
    }
}

impl Api for Account {
    fn view(&self, _hosts: usize) -> View {
        View::Name
    }

    fn ttls(&self) -> RangeInclusive<u32> {
        1..=604_800
    }

    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check secret_id, secret_key and the clock (5 minutes off are too much)",
            Class::Denied => {
                "; give the sub-account the policy QcloudDNSPodFullAccess, and look whether the domain is in order"
            }
            Class::NoZone => "; the domain must be in the DNSPod list of this account",
            Class::Quota => "; the plan's limit of records is reached",
            Class::Invalid | Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    fn least_ttl(&self, zone_id: &str) -> u32 {
        zone_id.parse().unwrap_or(0)
    }

    fn after_low_ttl(&self, zone_id: &str) -> Option<String> {
        (self.least_ttl(zone_id) < SAFE_TTL).then(|| SAFE_TTL.to_string())
    }

    fn find_zone(&self, ask: &Ask<'_>, _page: Option<&str>) -> Option<HttpCall> {
        Some(self.call(ask, "DescribeDomain", &json!({ "Domain": ask.zone.as_str() })))
    }

    /// The API wants the name, not the id; what stands for the id is the plan's least TTL, where it is known.
    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let domain = &read(answer)?["DomainInfo"];
        let is_it = |member: &str| domain[member].as_str().is_some_and(|name| super::is_same_name(name, ask.zone));
        if !(is_it("Domain") || is_it("Punycode")) {
            return Err(Trouble::unknown("the answer does not show the domain"));
        }
        let is_free = domain["Grade"].as_str().is_some_and(|grade| grade.eq_ignore_ascii_case("DP_FREE"));
        Ok(Found::Zone(if is_free { SAFE_TTL.to_string() } else { String::new() }))
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, _page: Option<&str>) -> HttpCall {
        let body = json!({
            "Domain": ask.zone.as_str(),
            "Subdomain": relative(at.hostname, ask.zone, "@"),
            "Limit": MOST,
            "ErrorOnEmpty": "no",
        });
        self.call(ask, "DescribeRecordList", &body)
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let response = read(answer)?;
        let unknown = || Trouble::unknown("the list of records cannot be read");
        let total = number(&response["RecordCountInfo"]["TotalCount"]);
        let list = response["RecordList"].as_array().map(Vec::as_slice);
        let records = list.or((total == Some(0)).then_some(&[])).ok_or_else(unknown)?;
        if total.is_some_and(|total| total > MOST) {
            return Err(Trouble::of(Class::Invalid, "too_many_records", "the name has more than 100 records"));
        }
        let mut page = Page::default();
        for record in records {
            let text = |member: &str| record[member].as_str().unwrap_or_default();
            let (name, kind) = (absolute(text("Name"), ask.zone), text("Type"));
            let is_default = match scalar(&record["LineId"]) {
                Some(id) => id == LINE_ID,
                None => matches!(text("Line"), "" | LINE),
            };
            match kind {
                "A" | "AAAA" if !is_default => {
                    page.obstacles.push((name, format!("the name has an {kind} record for the line {}", text("Line"))));
                }
                "A" | "AAAA" if text("Status").eq_ignore_ascii_case("DISABLE") => {
                    page.obstacles.push((name, format!("the name has a disabled {kind} record")));
                }
                "A" | "AAAA" => page.records.push(read_record(record, name).ok_or_else(unknown)?),
                "CNAME" | "显性URL" | "隐性URL" => {
                    page.obstacles.push((name, format!("the name has a {kind} record")))
                }
                _ => {}
            }
        }
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let mut body = json!({ "Domain": ask.zone.as_str() });
        if let Some(known) = change.known() {
            // Ids are numbers; one that is none leads nowhere and is looked up again.
            body["RecordId"] = json!(known.id.parse::<u64>().unwrap_or(0));
        }
        let Some(to) = change.to() else { return self.call(ask, "DeleteRecord", &body) };
        body["SubDomain"] = json!(relative(&change.hostname, ask.zone, "@"));
        body["RecordLine"] = json!(LINE);
        body["RecordLineId"] = json!(LINE_ID);
        body["Value"] = json!(to);
        match change.act {
            Act::Create { ttl, .. } => {
                body["RecordType"] = json!(change.family.record_type());
                body["TTL"] = json!(ttl);
                self.call(ask, "CreateRecord", &body)
            }
            Act::Alter { .. } | Act::Remove { .. } => {
                // Left out, it would become the domain's default.
                body["Ttl"] = json!(change.ttl());
                self.call(ask, "ModifyDynamicDNS", &body)
            }
        }
    }

    /// The answer names the record, not its value; to a deletion it has no more than no error.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let [change] = changes else { unreachable!("one change at a time") };
        let response = read(answer)?;
        if change.to().is_none() {
            return Ok(Written::unechoed(changes));
        }
        let id = scalar(&response["RecordId"]).map(String::into_boxed_str);
        let is_it = id.is_some() && change.known().is_none_or(|known| id.as_ref() == Some(&known.id));
        if is_it {
            return Ok(vec![Written { id, ..Written::default() }]);
        }
        Err(Trouble::unknown("the answer to the write does not name the record"))
    }
}

fn read_record(record: &Value, name: String) -> Option<Record> {
    let known = Known { id: scalar(&record["RecordId"])?.into(), ttl: seconds(&record["TTL"])?, ..Known::default() };
    Some(Record { name, address: record["Value"].as_str()?.parse().ok()?, known })
}

/// What stands in `Response`, unless it is an `Error`.
fn read(answer: &Answer) -> Result<Value, Trouble> {
    let mut body = read_json(answer, |status, body| explain(status, &body["Response"]))?;
    let response = body.get_mut("Response").map(Value::take).unwrap_or_default();
    match explain(answer.status, &response) {
        Some(trouble) => Err(trouble),
        None if response.is_object() => Ok(response),
        None => Err(Trouble::unknown("the answer has no response")),
    }
}

/// `{"Response": {"Error": {"Code": …, "Message": …}, "RequestId": …}}`, with status 200.
fn explain(status: u16, response: &Value) -> Option<Trouble> {
    let error = &response["Error"];
    let (code, text) = (error["Code"].as_str()?, error["Message"].as_str().unwrap_or_default());
    let family = code.split('.').next().unwrap_or_default();
    let meaning = match code {
        "ResourceNotFound.NoDataOfDomain"
        | "InvalidParameterValue.DomainNotExists"
        | "InvalidParameter.DomainInvalid" => Meaning::NoZone,
        "ResourceNotFound.NoDataOfRecord" | "InvalidParameter.RecordIdInvalid" => Meaning::NoRecord,
        "InvalidParameter.DomainRecordExist" => Meaning::Exists,
        "LimitExceeded.RecordTtlLimit" => Meaning::LowTtl,
        _ => Meaning::Plain(match (family, code) {
            (_, "AuthFailure.UnauthorizedOperation" | "InvalidParameter.RequestIpLimited") => Class::Denied,
            (_, "FailedOperation.NotDomainOwner" | "FailedOperation.DomainIsLocked") => Class::Denied,
            (_, "FailedOperation.DomainIsSpam" | "InvalidParameter.DomainIsAliaser") => Class::Denied,
            (_, "FailedOperation.FrequencyLimit" | "InvalidParameter.OperationIsTooFrequent") => Class::Rate,
            (_, "FailedOperation.UnknowError") | ("InternalError", _) => Class::Down,
            ("AuthFailure", _) => Class::Auth,
            ("UnauthorizedOperation" | "OperationDenied", _) => Class::Denied,
            ("InvalidParameter" | "InvalidParameterValue" | "MissingParameter" | "UnknownParameter", _) => {
                Class::Invalid
            }
            ("LimitExceeded", _) => Class::Quota,
            ("RequestLimitExceeded", _) => Class::Rate,
            _ => return Some(Trouble::with_status(status, code, text)),
        }),
    };
    Some(Trouble::new(meaning, code, text))
}

#[cfg(test)]
mod tests;
