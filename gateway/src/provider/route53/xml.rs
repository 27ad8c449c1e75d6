//! What Route 53 says and is told, in XML. Tags are found by their local names; document types are refused.

use roxmltree::{Document, Node};

use crate::provider::records::{Act, Change};
use crate::provider::trouble::{Meaning, Trouble};
use crate::provider::{Answer, Class};

/// A hosted zone.
pub(super) struct Zone {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) is_private: bool,
}

/// One page of a list of sets.
pub(super) struct List {
    pub(super) sets: Vec<Set>,
    pub(super) next: Option<Next>,
}

/// A record set.
pub(super) struct Set {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) ttl: u32,
    pub(super) values: Vec<String>,
    /// What is special about it, in words.
    pub(super) routing: Option<&'static str>,
}

/// Where the next page starts.
pub(super) struct Next {
    pub(super) name: String,
    kind: String,
    identifier: Option<String>,
}

impl Next {
    /// In one text. Blanks in names are escaped, only the identifier may have some.
    pub(super) fn page(&self) -> String {
        let words = [Some(self.name.as_str()), Some(&self.kind), self.identifier.as_deref()];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// The zones of a list.
pub(super) fn zones(answer: &Answer) -> Result<Vec<Zone>, Trouble> {
    let document = read(answer, "ListHostedZonesByNameResponse")?;
    let zone = |node: Node<'_, '_>| {
        Some(Zone {
            id: text(node, "Id")?.trim_start_matches("/hostedzone/").to_owned(),
            name: text(node, "Name")?.to_owned(),
            is_private: text(node, "PrivateZone") == Some("true"),
        })
    };
    let zones: Option<Vec<Zone>> = all(document.root_element(), "HostedZone").map(zone).collect();
    zones.ok_or_else(|| Trouble::unknown("the list of zones cannot be read"))
}

/// The record sets of a list.
pub(super) fn sets(answer: &Answer) -> Result<List, Trouble> {
    let document = read(answer, "ListResourceRecordSetsResponse")?;
    let root = document.root_element();
    let set = |node: Node<'_, '_>| {
        let routings = [
            ("AliasTarget", "an alias target"),
            ("TrafficPolicyInstanceId", "a traffic policy"),
            ("SetIdentifier", "special routing"),
            ("HealthCheckId", "a health check"),
        ];
        let routing = routings.into_iter().find(|(tag, _)| child(node, tag).is_some()).map(|(_, words)| words);
        Some(Set {
            name: text(node, "Name")?.to_owned(),
            kind: text(node, "Type")?.to_owned(),
            ttl: text(node, "TTL").and_then(|ttl| ttl.parse().ok()).unwrap_or(0),
            values: all(node, "Value").filter_map(|value| value.text()).map(|value| value.trim().to_owned()).collect(),
            routing,
        })
    };
    let unknown = || Trouble::unknown("the list of record sets cannot be read");
    let sets: Option<Vec<Set>> = all(root, "ResourceRecordSet").map(set).collect();
    let is_more = text(root, "IsTruncated") == Some("true");
    let next = || {
        Some(Next {
            name: text(root, "NextRecordName")?.to_owned(),
            kind: text(root, "NextRecordType")?.to_owned(),
            identifier: text(root, "NextRecordIdentifier").map(str::to_owned),
        })
    };
    let next = if is_more { Some(next().ok_or_else(unknown)?) } else { None };
    Ok(List { sets: sets.ok_or_else(unknown)?, next })
}

/// Whether the answer to a batch says that it was taken.
pub(super) fn is_taken(answer: &Answer) -> Result<bool, Trouble> {
    let document = read(answer, "ChangeResourceRecordSetsResponse")?;
    Ok(matches!(text(document.root_element(), "Status"), Some("PENDING" | "INSYNC")))
}

/// One batch with all changes.
pub(super) fn batch(changes: &[Change]) -> String {
    let changes: String = changes.iter().map(one).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ChangeResourceRecordSetsRequest \
         xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes>{changes}</Changes>\
         </ChangeBatch></ChangeResourceRecordSetsRequest>"
    )
}

fn one(change: &Change) -> String {
    let set = change.set();
    let (action, values) = match &change.act {
        Act::Remove { known, .. } if set.is_empty() => ("DELETE", known.note.split(',').map(str::to_owned).collect()),
        Act::Create { .. } | Act::Alter { .. } | Act::Remove { .. } => {
            ("UPSERT", set.iter().map(ToString::to_string).collect::<Vec<_>>())
        }
    };
    let value = |value: &String| format!("<ResourceRecord><Value>{}</Value></ResourceRecord>", escaped(value));
    let values: String = values.iter().map(value).collect();
    let (name, kind, ttl) = (escaped(change.hostname.as_str()), change.family.record_type(), change.ttl());
    format!(
        "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}.</Name><Type>{kind}</Type><TTL>{ttl}</TTL>\
         <ResourceRecords>{values}</ResourceRecords></ResourceRecordSet></Change>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The document of a success.
fn read<'a>(answer: &'a Answer, root: &str) -> Result<Document<'a>, Trouble> {
    let text = std::str::from_utf8(&answer.body).unwrap_or_default();
    match Document::parse(text) {
        Ok(document) if (200..300).contains(&answer.status) && document.root_element().tag_name().name() == root => {
            Ok(document)
        }
        Ok(document) => Err(explain(answer.status, &document).unwrap_or_else(|| Trouble::by_status(answer))),
        Err(_) => Err(Trouble::by_status(answer)),
    }
}

fn all<'a, 'i>(node: Node<'a, 'i>, tag: &str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.descendants().filter(move |node| node.tag_name().name() == tag)
}

fn child<'a, 'i>(node: Node<'a, 'i>, tag: &str) -> Option<Node<'a, 'i>> {
    all(node, tag).next()
}

fn text<'a>(node: Node<'a, '_>, tag: &str) -> Option<&'a str> {
    child(node, tag)?.text().map(str::trim)
}

/// `<ErrorResponse><Error><Code/><Message/></Error></ErrorResponse>`, and for batches also
/// `<InvalidChangeBatch><Messages><Message/></Messages></InvalidChangeBatch>`.
fn explain(status: u16, document: &Document<'_>) -> Option<Trouble> {
    let root = document.root_element();
    let is_batch = root.tag_name().name() == "InvalidChangeBatch";
    let code = if is_batch { "InvalidChangeBatch" } else { text(root, "Code")? };
    let message = text(root, "Message").unwrap_or_default();
    let is_about = |words: &str| message.contains(words);
    let meaning = match code {
        "InvalidChangeBatch" if is_about("not found") || is_about("do not match the current values") => {
            Meaning::NoRecord
        }
        "InvalidChangeBatch" if is_about("already exists") => Meaning::Exists,
        "NoSuchHostedZone" => Meaning::NoZone,
        "AccessDenied" | "AccessDeniedException" => Meaning::Forbidden,
        _ => Meaning::Plain(match code {
            "ExpiredToken" | "InvalidClientTokenId" | "MissingAuthenticationToken" | "RequestExpired" => Class::Auth,
            "InvalidSignatureException" | "SignatureDoesNotMatch" | "UnrecognizedClientException" => Class::Auth,
            "InvalidChangeBatch" | "InvalidInput" | "InvalidDomainName" => Class::Invalid,
            // Both come with status 400.
            "Throttling" | "ThrottlingException" => Class::Rate,
            "PriorRequestNotComplete" => Class::Busy,
            "ServiceUnavailable" | "InternalFailure" => Class::Down,
            _ => return Some(Trouble::with_status(status, code, message)),
        }),
    };
    Some(Trouble::new(meaning, code, message))
}
