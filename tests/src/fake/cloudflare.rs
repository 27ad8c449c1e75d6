//! A Cloudflare of our own, API version 4: strict about method, path, token, parameters and body.
//!
//! It keeps records as the real one does (content in its own spelling, TTL 1 when proxied, no two alike). What it does
//! not know it answers like the real one: 7000, "no route for that URI". Shapes and codes are those of the recorded
//! traffic of 2025 and of the vendor's pages.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use serde_json::{Map, Value, json};

use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone};

/// The id of its only zone, whatever its name.
pub const ZONE_ID: &str = "023e105f4ecef8ad9ca31a8372d0c353";
/// The name of its only zone, unless told otherwise.
pub const ZONE: &str = "home.test";
/// The token that it takes.
pub const TOKEN: &str = "fake-token-0123456789";

const MEMBERS: [&str; 8] = ["id", "type", "name", "content", "ttl", "proxied", "comment", "tags"];

/// Cloudflare in the suite.
pub static SUBJECT: Subject = Subject {
    word: "cloudflare",
    start,
    traits: Traits {
        dual_stack_calls: 1, // a batch
        batch: 100,
        beside: || json!({"comment": "the box in the cellar", "tags": ["owner:me"]}),
        spoil: |settings| settings.set("api_token", token("wrong-token-0123456789")),
        throttled: || failure(429, 971, "Please wait and consider throttling your request speed"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Cloudflare::default());
    let mut settings = ProviderSettings::new("cloud", kind("cloudflare").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("api_token", token(TOKEN));
    Started { vendor: Box::new(fake), settings }
}

fn token(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

/// The API.
pub struct Cloudflare {
    zone: Zone,
}

impl Default for Cloudflare {
    fn default() -> Self {
        Self::of(ZONE)
    }
}

impl Cloudflare {
    /// One that holds another zone.
    #[must_use]
    pub fn of(zone: &str) -> Self {
        Self { zone: Zone::new(zone) }
    }
}

impl Api for Cloudflare {
    fn base(&self) -> &'static str {
        "/client/v4"
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn put_by_hand(&mut self, record: Record) {
        let mut extra = beside(false);
        merge(&mut extra, &record.extra);
        self.zone.add(spelled(record.with(extra)));
    }

    fn answer(&mut self, asked: &Asked, _now: Timestamp) -> Said {
        match asked.credential("Bearer") {
            Some(TOKEN) => {}
            Some(_) => return failure(403, 9109, "Invalid access token"),
            None => return failure(400, 9106, "Missing Authorization headers"),
        }
        let body = if asked.body().is_empty() { Some(Value::Null) } else { asked.json() };
        let Some(body) = body else { return failure(400, 9207, "Request body is invalid.") };
        match (asked.method(), asked.path().as_slice()) {
            ("GET", ["zones"]) => {
                asked.only_parameters(&["name", "page", "per_page"]);
                let zone = json!({"id": ZONE_ID, "name": self.zone.name, "status": "active", "type": "full"});
                let is_asked_for = asked.parameter("name").is_none_or(|name| name == self.zone.name);
                list(asked, if is_asked_for { vec![zone] } else { Vec::new() })
            }
            (_, ["zones", ZONE_ID, "dns_records", rest @ ..]) => self.records(asked, rest, &body),
            (_, ["zones", _, "dns_records", ..]) => {
                failure(404, 7003, "Could not route to the zone, perhaps your object identifier is invalid?")
            }
            _ => asked.unknown_call(failure(404, 7000, "No route for that URI")),
        }
    }
}

/// A change, or why not.
type Done = Result<Value, Said>;

impl Cloudflare {
    fn records(&mut self, asked: &Asked, rest: &[&str], body: &Value) -> Said {
        match (asked.method(), rest) {
            ("GET", []) => {
                asked.only_parameters(&["name", "type", "page", "per_page"]);
                let is_named = |one: &Record| asked.parameter("name").is_none_or(|name| name == one.hostname);
                // One type: that several by comma work as well stands on no page of the vendor.
                let is_typed = |one: &Record| asked.parameter("type").is_none_or(|kind| kind == one.record_type);
                let records = self.zone.records.iter().filter(|one| is_named(one) && is_typed(one));
                list(asked, records.map(shown).collect())
            }
            ("POST", []) => in_envelope(self.create(asked, body)),
            ("POST", ["batch"]) => {
                let before = self.zone.records.clone();
                let done = self.batch(asked, body);
                if done.is_err() {
                    self.zone.records = before; // one transaction
                }
                in_envelope(done)
            }
            ("PATCH", [id]) => in_envelope(self.patch(asked, id, body)),
            ("DELETE", [id]) => in_envelope(self.delete(id)),
            ("PUT", _) => {
                asked.mistake("PUT resets what the operator set by hand");
                failure(400, 9207, "Not here.")
            }
            _ => asked.unknown_call(failure(404, 7000, "No route for that URI")),
        }
    }

    fn batch(&mut self, asked: &Asked, body: &Value) -> Done {
        asked.only_members(body, &["deletes", "patches", "posts"]);
        let of = |list: &str| body[list].as_array().cloned().unwrap_or_default();
        let id = |entry: &Value| entry["id"].as_str().unwrap_or_default().to_owned();
        let deletes: Result<Vec<Value>, _> = of("deletes").iter().map(|entry| self.delete(&id(entry))).collect();
        let patches = of("patches").into_iter().map(|entry| self.patch(asked, &id(&entry), &entry));
        let (deletes, patches) = (deletes?, patches.collect::<Result<Vec<Value>, _>>()?);
        let posts: Result<Vec<Value>, _> = of("posts").iter().map(|entry| self.create(asked, entry)).collect();
        Ok(json!({"deletes": deletes, "patches": patches, "posts": posts?, "puts": null}))
    }

    fn create(&mut self, asked: &Asked, body: &Value) -> Done {
        asked.only_members(body, &MEMBERS);
        if ["type", "name", "content", "ttl"].iter().any(|member| body[member].is_null()) {
            return Err(failure(400, 9000, "DNS name is invalid."));
        }
        let record = changed(Record::new("", "", "").with(beside(false)), body);
        self.check(&record)?;
        Ok(shown(self.zone.add(record)))
    }

    fn patch(&mut self, asked: &Asked, id: &str, body: &Value) -> Done {
        asked.only_members(body, &MEMBERS);
        let known = number(id).and_then(|id| self.zone.by_id(id));
        let record = changed(known.ok_or_else(no_record)?.clone(), body);
        self.check(&record)?;
        let answer = shown(&record);
        if let Some(place) = self.zone.by_id_mut(record.id) {
            *place = record;
        }
        Ok(answer)
    }

    fn delete(&mut self, id: &str) -> Done {
        let gone = number(id).and_then(|id| self.zone.remove(id));
        gone.map(|_| json!({ "id": id })).ok_or_else(no_record)
    }

    /// What the real one refuses.
    fn check(&self, record: &Record) -> Result<(), Said> {
        let refuse = |code, message| Err(failure(400, code, message));
        match record.record_type.as_str() {
            "A" if !record.is_sound() => return refuse(9005, "Content for A record must be a valid IPv4 address."),
            "AAAA" if !record.is_sound() => {
                return refuse(9006, "Content for AAAA record must be a valid IPv6 address.");
            }
            "A" | "AAAA" => {}
            _ => return refuse(1004, "DNS Validation Error"),
        }
        if !(record.ttl == 1 || (60..=86400).contains(&record.ttl)) {
            return refuse(9021, "Invalid TTL.");
        }
        if self.zone.relative(&record.hostname).is_none() {
            return refuse(9000, "DNS name is invalid.");
        }
        if self.zone.has_same(record) {
            return refuse(81058, "An identical record already exists.");
        }
        if self.zone.is_cname_in_the_way(record) {
            return refuse(81054, "A CNAME record with that host already exists.");
        }
        Ok(())
    }
}

/// What a record has beside name, type, content and TTL.
fn beside(is_proxied: bool) -> Value {
    json!({"proxied": is_proxied, "proxiable": true, "comment": null, "tags": [], "settings": {}, "meta": {}})
}

/// A record with the members that a body names.
fn changed(mut record: Record, body: &Value) -> Record {
    let text = |member: &str| body[member].as_str().map(str::to_owned);
    record.hostname = text("name").unwrap_or(record.hostname);
    record.record_type = text("type").unwrap_or(record.record_type);
    record.content = text("content").unwrap_or(record.content);
    record.ttl = body["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(record.ttl);
    let mut more = body.clone();
    if let Some(members) = more.as_object_mut() {
        members.retain(|name, _| ["proxied", "comment", "tags"].contains(&name.as_str()));
    }
    merge(&mut record.extra, &more);
    spelled(record)
}

/// As the real one spells it: addresses compressed, the TTL of proxied records 1.
fn spelled(mut record: Record) -> Record {
    if let Ok(address) = record.content.parse::<std::net::IpAddr>() {
        record.content = address.to_string();
    }
    if record.extra["proxied"] == true {
        record.ttl = 1;
    }
    record
}

fn shown(record: &Record) -> Value {
    let mut shown = json!({"id": id(record.id), "name": record.hostname, "type": record.record_type,
        "content": record.content, "ttl": record.ttl});
    merge(&mut shown, &record.extra);
    shown
}

fn id(number: u64) -> String {
    format!("{number:032x}")
}

fn number(id: &str) -> Option<u64> {
    u64::from_str_radix(id, 16).ok().filter(|_| id.len() == 32)
}

fn merge(into: &mut Value, from: &Value) {
    let nothing = Map::new();
    for (key, value) in from.as_object().unwrap_or(&nothing) {
        into[key] = value.clone();
    }
}

fn no_record() -> Said {
    failure(404, 81044, "Record does not exist.")
}

fn failure(status: u16, code: u32, message: &str) -> Said {
    let errors = json!([{"code": code, "message": message}]);
    Said::json(status, &json!({"success": false, "errors": errors, "messages": [], "result": null}))
}

fn success(result: Value) -> Value {
    json!({"success": true, "errors": [], "messages": [], "result": result})
}

/// One page of a list.
fn list(asked: &Asked, found: Vec<Value>) -> Said {
    let number = |name: &str| asked.parameter(name).map(str::parse::<usize>);
    let (Ok(page), Ok(per_page)) = (number("page").unwrap_or(Ok(1)), number("per_page").unwrap_or(Ok(100))) else {
        return failure(400, 9207, "Request is invalid.");
    };
    let (total, per_page) = (found.len(), per_page.max(1));
    let shown: Vec<Value> = found.into_iter().skip(page.saturating_sub(1) * per_page).take(per_page).collect();
    let mut info = json!({"page": page, "per_page": per_page, "count": shown.len(), "total_count": total});
    info["total_pages"] = total.div_ceil(per_page).into();
    let mut body = success(Value::Array(shown));
    body["result_info"] = info;
    Said::json(200, &body)
}

fn in_envelope(done: Done) -> Said {
    done.map_or_else(|failure| failure, |result| Said::json(200, &success(result)))
}
