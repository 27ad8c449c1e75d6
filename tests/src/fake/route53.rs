//! A Route 53 of our own, API of 2013-04-01: strict about signature, XML and batches.
//!
//! Lists start at a name, in the order of reversed labels, and write `*` as `\052`; a private zone bears the same name
//! and another zone comes after. Shapes are those of the recorded traffic of 2022, codes those of the vendor's pages.

use nicgate::provider::{ProviderSettings, Setting, kind};
use nicgate_protocol::{Secret, Timestamp};
use roxmltree::{Document, Node};

use super::canonical::{are_signed, canonical_request, encoded, part, parts};
use super::{Api, Asked, Fake, Record, Said, Started, Subject, Traits, Zone, hex, hmac_sha256, sha256_hex};

const KEY_ID: &str = "AKIAFAKEKEYID0123456";
const SECRET: &str = "fake-secret-access-key-0123456789";
const ZONE_ID: &str = "Z0FAKEZONEID000001";

/// Route 53 in the suite.
pub static SUBJECT: Subject = Subject {
    word: "route53",
    start,
    traits: Traits {
        dual_stack_calls: 1, // one batch
        batch: 100,
        replaces_sets: true,
        spoil: |settings| settings.set("secret_access_key", secret("wrong-secret-access-key-0123456789")),
        throttled: || failure(400, "Throttling", "Rate exceeded"),
        oracle: Some("route53.py"),
        ..Traits::USUAL
    },
};

fn start() -> Started {
    let fake = Fake::start(Route53 { zone: Zone::new("home.test") });
    let mut settings = ProviderSettings::new("some", kind("route53").expect("it is in the list"));
    settings.endpoint = Some(fake.endpoint());
    settings.set("access_key_id", secret(KEY_ID));
    settings.set("secret_access_key", secret(SECRET));
    settings.set("region", Setting::Text("us-east-1".to_owned()));
    Started { vendor: Box::new(fake), settings }
}

fn secret(text: &str) -> Setting {
    Setting::Secret(Secret::new(text.to_owned()))
}

struct Route53 {
    zone: Zone,
}

impl Api for Route53 {
    fn is_write(&self, asked: &Asked) -> bool {
        asked.method() != "GET"
    }

    fn zone(&mut self) -> &mut Zone {
        &mut self.zone
    }

    fn answer(&mut self, asked: &Asked, now: Timestamp) -> Said {
        if let Err(refused) = check(asked, now) {
            return refused;
        }
        match (asked.method(), asked.path().as_slice()) {
            ("GET", ["2013-04-01", "hostedzonesbyname"]) => self.zones(asked),
            (_, ["2013-04-01", "hostedzone", zone, ..]) if *zone != ZONE_ID => {
                failure(404, "NoSuchHostedZone", &format!("No hosted zone found with ID: {zone}"))
            }
            ("GET", ["2013-04-01", "hostedzone", _, "rrset"]) => self.list(asked),
            ("POST", ["2013-04-01", "hostedzone", _, "rrset", ""]) => {
                let before = self.zone.clone();
                match self.change(asked) {
                    Ok(()) => document(
                        "ChangeResourceRecordSetsResponse",
                        "<ChangeInfo><Id>/change/C0FAKE</Id>\
                        <Status>PENDING</Status><SubmittedAt>2022-04-19T20:56:28.449Z</SubmittedAt></ChangeInfo>",
                    ),
                    Err(refused) => {
                        self.zone = before; // one transaction
                        refused
                    }
                }
            }
            _ => asked.unknown_call(failure(404, "UnknownOperationException", "No such operation")),
        }
    }
}

fn check(asked: &Asked, now: Timestamp) -> Result<(), Said> {
    let no = |code, message| Err(failure(403, code, message));
    let Some(parts) = parts(asked, "AWS4-HMAC-SHA256") else {
        return no("MissingAuthenticationToken", "Missing Authentication Token");
    };
    let names = part(&parts, "SignedHeaders").unwrap_or_default();
    let wanted =
        if asked.body().is_empty() { &["host", "x-amz-date"][..] } else { &["content-type", "host", "x-amz-date"] };
    let time = asked.header("x-amz-date").unwrap_or_default();
    let is_near = |time: Timestamp| time.seconds().abs_diff(now.seconds()) <= 300;
    if !are_signed(names, wanted) || !Timestamp::from_basic(time).is_some_and(is_near) {
        return no("SignatureDoesNotMatch", "Signature expired");
    }
    let credential = part(&parts, "Credential").unwrap_or_default();
    let Some((id, scope)) = credential.split_once('/') else { return no("SignatureDoesNotMatch", "No scope") };
    if id != KEY_ID {
        return no("InvalidClientTokenId", "The security token included in the request is invalid.");
    }
    if scope != format!("{}/us-east-1/route53/aws4_request", &time[..8])
        || part(&parts, "Signature") != signature(asked, names, time, scope, SECRET).as_deref()
    {
        return no(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        );
    }
    Ok(())
}

impl Route53 {
    fn zones(&self, asked: &Asked) -> Said {
        asked.only_parameters(&["dnsname", "maxitems"]);
        let zone = |id: &str, name: &str, private: bool| {
            (
                reversed(name),
                format!(
                    "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}.</Name><CallerReference>1\
                </CallerReference><Config><PrivateZone>{private}</PrivateZone></Config></HostedZone>"
                ),
            )
        };
        let mut zones = vec![
            zone("Z0PRIVATE", &self.zone.name, true),
            zone(ZONE_ID, &self.zone.name, false),
            zone("Z0OTHER", "zzz.test", false),
        ];
        let from = reversed(asked.parameter("dnsname").unwrap_or_default());
        zones.retain(|(key, _)| *key >= from);
        let list: String = zones.into_iter().map(|(_, zone)| zone).collect();
        let list = format!("<HostedZones>{list}</HostedZones><IsTruncated>false</IsTruncated><MaxItems>100</MaxItems>");
        document("ListHostedZonesByNameResponse", &list)
    }

    fn list(&self, asked: &Asked) -> Said {
        asked.only_parameters(&["identifier", "maxitems", "name", "type"]);
        let key = |name: &str, kind: &str| (reversed(name), kind.to_owned());
        let mut keys: Vec<((String, String), &Record)> =
            self.zone.records.iter().map(|one| (key(&one.hostname, &one.record_type), one)).collect();
        keys.sort_by(|one, other| one.0.cmp(&other.0));
        keys.dedup_by(|one, other| one.0 == other.0);
        let name = asked.parameter("name").unwrap_or_default().trim_end_matches('.').replace("\\052", "*");
        let from = key(&name, asked.parameter("type").unwrap_or_default());
        let most = asked.parameter("maxitems").and_then(|most| most.parse().ok()).unwrap_or(100);
        keys.retain(|(key, _)| *key >= from);
        let next = keys.get(most).map(|(_, record)| {
            format!(
                "<NextRecordName>{}</NextRecordName><NextRecordType>{}</NextRecordType>",
                spelled(&record.hostname),
                record.record_type
            )
        });
        let sets: String = keys.iter().take(most).map(|(_, record)| self.shown(record)).collect();
        let (is_more, next) = (next.is_some(), next.unwrap_or_default());
        let list = format!(
            "<ResourceRecordSets>{sets}</ResourceRecordSets><IsTruncated>{is_more}</IsTruncated>{next}\
            <MaxItems>{most}</MaxItems>"
        );
        document("ListResourceRecordSetsResponse", &list)
    }

    /// The set of a record.
    fn shown(&self, record: &Record) -> String {
        let values = self.zone.contents(&record.hostname, &record.record_type);
        let values: String =
            values.iter().map(|value| format!("<ResourceRecord><Value>{value}</Value></ResourceRecord>")).collect();
        format!(
            "<ResourceRecordSet><Name>{}</Name><Type>{}</Type><TTL>{}</TTL><ResourceRecords>{values}</ResourceRecords>\
            </ResourceRecordSet>",
            spelled(&record.hostname),
            record.record_type,
            record.ttl
        )
    }

    fn change(&mut self, asked: &Asked) -> Result<(), Said> {
        let text = asked.text("text/xml");
        let malformed = || failure(400, "InvalidInput", "The XML you provided is not well-formed");
        let document = Document::parse(text).map_err(|_| malformed())?;
        let root = document.root_element();
        if root.tag_name().name() != "ChangeResourceRecordSetsRequest"
            || root.tag_name().namespace() != Some("https://route53.amazonaws.com/doc/2013-04-01/")
        {
            return Err(malformed());
        }
        for change in root
            .descendants()
            .filter(|node| node.has_tag_name((root.tag_name().namespace().unwrap_or_default(), "Change")))
        {
            self.one(change).map_err(|message| invalid_batch(&message))?;
        }
        Ok(())
    }

    fn one(&mut self, change: Node<'_, '_>) -> Result<(), String> {
        let all = |tag: &str| -> Vec<String> {
            let named = change.descendants().filter(|node| node.tag_name().name() == tag);
            named.filter_map(|node| node.text().map(str::to_owned)).collect()
        };
        let first = |tag: &str| all(tag).into_iter().next().unwrap_or_default();
        let name = first("Name").trim_end_matches('.').replace("\\052", "*");
        let (kind, values, ttl) = (first("Type"), all("Value"), first("TTL").parse::<u32>().unwrap_or(u32::MAX));
        let what = format!("[name='{name}.', type='{kind}']");
        if self.zone.relative(&name).is_none() {
            return Err(format!("RRSet with DNS name {name}. is not permitted in zone {}.", self.zone.name));
        }
        let mut different = values.clone();
        different.sort();
        different.dedup();
        let is_sound = |value: &String| Record::new(&name, &kind, value).is_sound();
        if different.is_empty() || different.len() != values.len() || !values.iter().all(is_sound) {
            return Err(format!("Invalid Resource Record: FATAL problem: {what}"));
        }
        match first("Action").as_str() {
            "UPSERT" if self.zone.is_cname_in_the_way(&Record::new(&name, &kind, "")) => Err(format!(
                "RRSet of type {kind} with DNS name {name}. is not permitted as it conflicts with other records with the \
                 same DNS name in zone {}.",
                self.zone.name
            )),
            "UPSERT" => {
                self.zone.replace(&name, &kind, ttl, &values);
                Ok(())
            }
            "DELETE" => {
                let mut standing = self.zone.contents(&name, &kind);
                standing.sort();
                if standing.is_empty() {
                    return Err(format!("Tried to delete resource record set {what} but it was not found"));
                }
                if standing != different || self.zone.of(&name, &kind).any(|record| record.ttl != ttl) {
                    return Err(format!(
                        "Tried to delete resource record set {what} but the values provided do not match \
                        the current values"
                    ));
                }
                self.zone.remove_all(&name, &kind);
                Ok(())
            }
            action => Err(format!("Invalid action {action}")),
        }
    }
}

/// The order of Route 53: label by label from the right.
fn reversed(name: &str) -> String {
    name.trim_end_matches('.').split('.').rev().collect::<Vec<_>>().join(".")
}

fn spelled(name: &str) -> String {
    format!("{}.", name.replace('*', "\\052"))
}

/// "Create a signed AWS API request": the key of the day, of the region, of the service.
fn signature(asked: &Asked, names: &str, time: &str, scope: &str, secret: &str) -> Option<String> {
    let path: Vec<String> = asked.raw_path().split('/').map(encoded).collect();
    let request = canonical_request(asked, &path.join("/"), names)?;
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(request.as_bytes()));
    let start = format!("AWS4{secret}").into_bytes();
    let key = scope.split('/').fold(start, |key, part| hmac_sha256(&key, part.as_bytes()));
    Some(hex(&hmac_sha256(&key, text.as_bytes())))
}

fn document(root: &str, inner: &str) -> Said {
    let text = format!(
        "<?xml version=\"1.0\"?>\n<{root} xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">{inner}</{root}>"
    );
    Said::xml(200, text)
}

fn failure(status: u16, code: &str, message: &str) -> Said {
    let inner = format!(
        "<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId>"
    );
    Said { status, ..document("ErrorResponse", &inner) }
}

fn invalid_batch(message: &str) -> Said {
    let inner = format!("<Messages><Message>{message}</Message></Messages><RequestId>1</RequestId>");
    Said { status: 400, ..document("InvalidChangeBatch", &inner) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::canonical::asked;

    #[test]
    fn the_signature_is_the_sdks() {
        // botocore 1.44.5 with made-up keys.
        let (time, host) = ("20260102T030405Z", "route53.amazonaws.com");
        let target = "/2013-04-01/hostedzone/Z0EXAMPLEZONEID00001/rrset?type=A&name=home.example.com.&maxitems=1";
        let asked = asked("GET", target, &[("host", host), ("x-amz-date", time)], "");
        let scope = "20260102/us-east-1/route53/aws4_request";
        let signature = signature(&asked, "host;x-amz-date", time, scope, "FakeSecretKeyForTestsOnly0000000001");
        assert_eq!(signature.as_deref(), Some("e98565390afc97f34e1aaac9d9111ee2b753bd77d5ee31d7858f115147f26b82"));
    }
}
