//! Alibaba Cloud DNS (AliDNS), API of 2015-01-09 (help.aliyun.com/zh/dns, "API overview").
//!
//! Calls name their action in a header and carry all parameters in the query; requests are signed
//! (`sign/acs3.rs`). Every record has an id of its own, a text of digits that may not fit a float. An
//! update is one call for each record: there is no batch that changes records in place.
//!
//! The least TTL depends on the domain's edition (600 in the free one), so it is read together with the domain and
//! stands for the zone's id: the API itself wants the domain's name only. Of the lines of resolution only `default` is
//! written; records of other lines are somebody's intention and refuse the host.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::Method;
use serde_json::Value;

use super::encode::{absolute, number, relative, scalar, seconds};
use super::records::{Act, Api, Ask, Change, Found, Known, Page, Record, Spot, View, Written, Zoned};
use super::sign::{Draft, Keys, Site, acs3};
use super::trouble::{Meaning, Trouble, read_json};
use super::{Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Provider, ProviderSettings, Window, base_url};

const DEFAULT_ENDPOINT: &str = "https://alidns.aliyuncs.com";
const VERSION: &str = "2015-01-09";
/// The line of everybody for whom there is no other.
const LINE: &str = "default";
/// The `VersionCode` of the free edition.
const FREE: &str = "mianfei";
/// What the free edition takes, and so every other.
const SAFE_TTL: u32 = 600;
/// Most records of a page.
const PAGE: &str = "100";
/// Adding, updating and deleting: 60 a second for an account (help.aliyun.com/zh/dns, "QPS limits").
const BUDGET: Budget = Budget::of(&[Window::new(60, 1)]);

const ACCESS_KEY_ID: &str = "access_key_id";
const ACCESS_KEY_SECRET: &str = "access_key_secret";
const SECURITY_TOKEN: &str = "security_token";

const KEYS: &[Key] = &[
    Key::secret(ACCESS_KEY_ID, "The id of an AccessKey of a RAM user who may change DNS records."),
    Key::secret(ACCESS_KEY_SECRET, "The secret of that AccessKey."),
    Key::secret(SECURITY_TOKEN, "The token of temporary credentials (STS).").optional(),
];

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind { word: "alidns", about: "Alibaba Cloud DNS.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Zoned::provider(Account {
        keys: Keys::of(settings, ACCESS_KEY_ID, ACCESS_KEY_SECRET, SECURITY_TOKEN)?,
        site: Site::of(base_url(settings, DEFAULT_ENDPOINT)?),
    }))
}

struct Account {
    keys: Keys,
    site: Site,
}

impl Account {
    fn call(&self, ask: &Ask<'_>, action: &str, parameters: &[(&str, &str)]) -> HttpCall {
        let method = if action.starts_with("Describe") { Method::GET } else { Method::POST };
        let draft = Draft::new(&self.site, method, "/").with_query(&[("Lang", "en")]).with_query(parameters);
        acs3::sign(draft, &self.keys, action, VERSION, ask.moment)
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
            Class::Auth => "; check access_key_id, access_key_secret and the clock (15 minutes off are too much)",
            Class::Denied => "; give the RAM user the policy AliyunDNSFullAccess, or its part for this domain",
            Class::NoZone => "; the domain must be in the list of Alibaba Cloud DNS of this account",
            Class::Quota => "; the edition's limit of records is reached",
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
        Some(self.call(ask, "DescribeDomainInfo", &[("DomainName", ask.zone.as_str())]))
    }

    fn zone_found(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Found, Trouble> {
        let body = read(answer)?;
        let is_it = |member: &str| body[member].as_str().is_some_and(|name| super::is_same_name(name, ask.zone));
        if !(is_it("DomainName") || is_it("PunyCode")) {
            return Err(Trouble::unknown("the answer does not show the domain"));
        }
        let available = body["AvailableTtls"]["AvailableTtl"].as_array().into_iter().flatten();
        let of_the_free = (body["VersionCode"] == FREE).then_some(SAFE_TTL.into());
        let least = number(&body["MinTtl"]).or_else(|| available.filter_map(number).min()).or(of_the_free);
        Ok(Found::Zone(least.map(|least| least.to_string()).unwrap_or_default()))
    }

    fn look(&self, ask: &Ask<'_>, at: &Spot<'_>, page: Option<&str>) -> HttpCall {
        let whole = format!("{}.{}", relative(at.hostname, ask.zone, "@"), ask.zone);
        let parameters = [
            ("DomainName", ask.zone.as_str()),
            ("SubDomain", &whole),
            ("PageSize", PAGE),
            ("PageNumber", page.unwrap_or("1")),
        ];
        self.call(ask, "DescribeSubDomainRecords", &parameters)
    }

    fn looked(&self, ask: &Ask<'_>, _at: &Spot<'_>, answer: &Answer) -> Result<Page, Trouble> {
        let body = read(answer)?;
        let unknown = || Trouble::unknown("the list of records cannot be read");
        let records = body["DomainRecords"]["Record"].as_array().ok_or_else(unknown)?;
        let mut page = Page::default();
        for record in records {
            let text = |member: &str| record[member].as_str().unwrap_or_default();
            let (name, kind) = (absolute(text("RR"), ask.zone), text("Type"));
            match kind {
                "A" | "AAAA" if !matches!(text("Line"), "" | LINE) => {
                    page.obstacles.push((name, format!("the name has an {kind} record for the line {}", text("Line"))));
                }
                "A" | "AAAA" if text("Status").eq_ignore_ascii_case("DISABLE") => {
                    page.obstacles.push((name, format!("the name has a disabled {kind} record")))
                }
                "A" | "AAAA" => page.records.push(read_record(record, name).ok_or_else(unknown)?),
                "CNAME" | "ALIAS" | "REDIRECT_URL" | "FORWARD_URL" => {
                    page.obstacles.push((name, format!("the name has a {kind} record")));
                }
                _ => {}
            }
        }
        let (at, size) = (number(&body["PageNumber"]).unwrap_or(1), number(&body["PageSize"]).unwrap_or(100));
        let is_more = number(&body["TotalCount"]).is_some_and(|total| total > at.saturating_mul(size));
        page.next = (is_more && !records.is_empty()).then(|| at.saturating_add(1).to_string());
        Ok(page)
    }

    fn write(&self, ask: &Ask<'_>, changes: &[Change]) -> HttpCall {
        let [change] = changes else { unreachable!("one change at a time") };
        let (name, ttl) = (relative(&change.hostname, ask.zone, "@"), change.ttl().to_string());
        let value = change.to().map(|to| to.to_string()).unwrap_or_default();
        let record =
            [("RR", name), ("Type", change.family.record_type()), ("Value", &value), ("TTL", &ttl), ("Line", LINE)];
        match &change.act {
            Act::Create { .. } => {
                let parameters = [&[("DomainName", ask.zone.as_str())], &record[..]].concat();
                self.call(ask, "AddDomainRecord", &parameters)
            }
            // What is left out would fall back to its default.
            Act::Alter { known, .. } => {
                self.call(ask, "UpdateDomainRecord", &[&[("RecordId", &*known.id)], &record[..]].concat())
            }
            Act::Remove { known, .. } => self.call(ask, "DeleteDomainRecord", &[("RecordId", &known.id)]),
        }
    }

    /// The answer names the record, not its value; a success is one without a `Code`, so a removal needs no name.
    fn written(&self, _ask: &Ask<'_>, changes: &[Change], answer: &Answer) -> Result<Vec<Written>, Trouble> {
        let body = read(answer)?;
        let id = record_id(&body);
        if matches!(changes, [Change { act: Act::Remove { .. }, .. }]) && id.is_none() && body["RequestId"].is_string()
        {
            return Ok(Written::unechoed(changes));
        }
        let expected = changes.iter().find_map(Change::known).map(|known| &known.id);
        if id.is_none() || expected.is_some_and(|expected| id.as_ref() != Some(expected)) {
            return Err(Trouble::unknown("the answer to the write does not name the record"));
        }
        Ok(vec![Written { id, ..Written::default() }])
    }
}

fn record_id(body: &Value) -> Option<Box<str>> {
    scalar(&body["RecordId"]).map(Into::into)
}

fn read_record(record: &Value, name: String) -> Option<Record> {
    let known = Known { id: record_id(record)?, ttl: seconds(&record["TTL"])?, ..Known::default() };
    Some(Record { name, address: record["Value"].as_str()?.parse().ok()?, known })
}

/// A success has no `Code`.
fn read(answer: &Answer) -> Result<Value, Trouble> {
    let body = read_json(answer, explain)?;
    match explain(answer.status, &body) {
        Some(trouble) => Err(trouble),
        None => Ok(body),
    }
}

/// `{"RequestId": …, "HostId": …, "Code": …, "Message": …, "Recommend": …}`.
fn explain(status: u16, body: &Value) -> Option<Trouble> {
    let code = body["Code"].as_str()?;
    let text = body["Message"].as_str().unwrap_or_default();
    let is_of = |family: &str| code == family || code.strip_prefix(family).is_some_and(|rest| rest.starts_with('.'));
    let meaning = match code {
        _ if code.contains("TTL") => Meaning::LowTtl,
        "DomainRecordDuplicate" => Meaning::Exists,
        "InvalidRecordId.NotFound" | "DomainRecordNotBelongToUser" => Meaning::NoRecord,
        "DomainNotFound" => Meaning::NoZone,
        // `.NoExist`; and of what is no name of a domain, such as a name below one, perhaps another.
        _ if is_of("InvalidDomainName") => Meaning::NoZone,
        // The next one has another nonce.
        "LastOperationNotFinished" | "SignatureNonceUsed" => Meaning::Plain(Class::Busy),
        "ServiceUnavailable" | "InternalError" | "UnKnownError" | "UnknownError" => Meaning::Plain(Class::Down),
        "SignatureDoesNotMatch" | "IncompleteSignature" => Meaning::Plain(Class::Auth),
        "NoPermission" | "IncorrectDomainUser" | "DomainRecordLocked" | "DomainForbidden" => {
            Meaning::Plain(Class::Denied)
        }
        "DomainRecordConflict" => Meaning::Plain(Class::Invalid),
        _ if ["InvalidAccessKeyId", "InvalidSecurityToken", "InvalidTimeStamp"].into_iter().any(is_of) => {
            Meaning::Plain(Class::Auth)
        }
        _ if ["Forbidden", "RecordForbidden"].into_iter().any(is_of) => Meaning::Plain(Class::Denied),
        _ if is_of("QuotaExceeded") => Meaning::Plain(Class::Quota),
        _ if is_of("Throttling") => Meaning::Plain(Class::Rate),
        _ if code.starts_with("Invalid") || code.starts_with("Missing") || is_of("SubDomainInvalid") => {
            Meaning::Plain(Class::Invalid)
        }
        _ => return Some(Trouble::with_status(status, code, text)),
    };
    Some(Trouble::new(meaning, code, text))
}

#[cfg(test)]
mod tests;
