//! Bodies are those of recorded traffic (2022).

use super::*;
use crate::provider::play::{self, assert_refused, assert_unconfirmed, host, host_after};
use crate::provider::{HostJob, Outcome, Setting};

fn settings() -> ProviderSettings {
    let mut settings = play::settings("route53", &[(ACCESS_KEY_ID, "AKID"), (SECRET_ACCESS_KEY, "secret")]);
    settings.set(REGION, Setting::Text("us-east-1".into()));
    settings
}

fn several(settings: &ProviderSettings, hosts: &[HostJob], script: &[(&str, (u16, &str))]) -> Vec<Outcome> {
    let script: Vec<_> = script.iter().map(|(asked, (status, body))| (*asked, (*status, (*body).to_owned()))).collect();
    play::play(settings, "home.test", hosts, &script, |call| {
        let authorization = play::header(call, "authorization").to_str().unwrap();
        let names = if call.body.is_empty() { "host;x-amz-date" } else { "content-type;host;x-amz-date" };
        let start = format!(
            "AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/route53/aws4_request, SignedHeaders={names}, "
        );
        assert!(authorization.starts_with(&start), "{authorization}");
        assert!(!call.headers.iter().any(|(name, _)| name == ACCEPT));
    })
}

fn one(host: HostJob, script: &[(&str, (u16, &str))]) -> Outcome {
    several(&settings(), &[host], script).remove(0)
}

const ZONES: &str = "GET /2013-04-01/hostedzonesbyname?dnsname=home.test&maxitems=100";
const LOOK: &str = "GET /2013-04-01/hostedzone/Z1/rrset?maxitems=10&name=nas.home.test.";
const TAKEN: (u16, &str) = (
    200,
    "<?xml version=\"1.0\"?>\n<ChangeResourceRecordSetsResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
     <ChangeInfo><Id>/change/C0537538G8T0NETNOSFS</Id><Status>PENDING</Status>\
     <SubmittedAt>2022-04-19T20:56:28.449Z</SubmittedAt></ChangeInfo></ChangeResourceRecordSetsResponse>",
);
const MEMORY: &str = "2 home.test home.test id=Z1 A=/60/";

fn zone(id: &str, name: &str, private: bool) -> String {
    format!(
        "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}</Name><CallerReference>5679</CallerReference><Config>\
         <Comment>Test</Comment><PrivateZone>{private}</PrivateZone></Config>\
         <ResourceRecordSetCount>3</ResourceRecordSetCount></HostedZone>"
    )
}

fn zones(zones: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<ListHostedZonesByNameResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
         <HostedZones>{zones}</HostedZones><IsTruncated>false</IsTruncated><MaxItems>100</MaxItems>\
         </ListHostedZonesByNameResponse>"
    )
}

fn set(name: &str, kind: &str, ttl: u32, values: &[&str], more: &str) -> String {
    let value = |value: &&str| format!("<ResourceRecord><Value>{value}</Value></ResourceRecord>");
    let values: String = values.iter().map(value).collect();
    format!(
        "<ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type>{more}<TTL>{ttl}</TTL>\
         <ResourceRecords>{values}</ResourceRecords></ResourceRecordSet>"
    )
}

fn listed(sets: &str, next: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<ListResourceRecordSetsResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
         <ResourceRecordSets>{sets}</ResourceRecordSets><IsTruncated>{}</IsTruncated>{next}<MaxItems>10</MaxItems>\
         </ListResourceRecordSetsResponse>",
        !next.is_empty()
    )
}

fn post(changes: &[(&str, &str, &str, u32, &[&str])]) -> String {
    let change = |(action, name, kind, ttl, values): &(&str, &str, &str, u32, &[&str])| {
        format!("<Change><Action>{action}</Action>{}</Change>", set(name, kind, *ttl, values, ""))
    };
    let changes: String = changes.iter().map(change).collect();
    format!(
        "POST /2013-04-01/hostedzone/Z1/rrset/ <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes>\
         {changes}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
    )
}

fn error(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Error>\
         <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    )
}

fn confirmed(memory: &str, ttl: u32) -> Outcome {
    Outcome::Confirmed { remembered: Some(memory.into()), ttl }
}

#[test]
fn a_new_name_is_made_in_the_public_zone_and_changed_by_one_call() {
    // Lists start at a name; what comes after it does not count, nor does a private zone.
    let list =
        zones(&(zone("Z9", "home.test.", true) + &zone("Z1", "home.test.", false) + &zone("Z2", "other.test.", false)));
    let beyond = listed(
        &set("zebra.home.test.", "A", 300, &["192.0.2.9"], ""),
        "<NextRecordName>zoo.home.test.</NextRecordName><NextRecordType>A</NextRecordType>",
    );
    let both = host("nas.home.test", "192.0.2.1,2001:db8::1");
    let upsert = post(&[
        ("UPSERT", "nas.home.test.", "A", 60, &["192.0.2.1"]),
        ("UPSERT", "nas.home.test.", "AAAA", 60, &["2001:db8::1"]),
    ]);
    let memory = "2 home.test home.test id=Z1 A=/60/ AAAA=/60/";
    assert_eq!(one(both, &[(ZONES, (200, &list)), (LOOK, (200, &beyond)), (&upsert, TAKEN)]), confirmed(memory, 60));
    let later = host_after("nas.home.test", "192.0.2.1,2001:db8::1", memory, "192.0.2.2,2001:db8::1");
    let upsert = post(&[("UPSERT", "nas.home.test.", "A", 60, &["192.0.2.2"])]);
    assert_eq!(one(later, &[(&upsert, TAKEN)]), confirmed(memory, 60));
}

#[test]
fn a_set_is_deleted_exactly_as_it_stands() {
    let list = listed(&set("nas.home.test.", "AAAA", 77, &["2001:DB8::1"], ""), "");
    let delete = post(&[("DELETE", "nas.home.test.", "AAAA", 77, &["2001:DB8::1"])]);
    let gone = host_after("nas.home.test", "2001:db8::1", "2 home.test home.test id=Z1 AAAA=/77/", "");
    assert_eq!(one(gone, &[(LOOK, (200, &list)), (&delete, TAKEN)]), confirmed("2 home.test home.test id=Z1", 0));
}

#[test]
fn wildcards_are_recognised_and_pages_of_a_name_are_read() {
    let look = LOOK.replace("nas", "%2A");
    let first = listed(
        &set("\\052.home.test.", "MX", 300, &["10 mail.home.test."], ""),
        "<NextRecordName>\\052.home.test.</NextRecordName><NextRecordType>TXT</NextRecordType>",
    );
    let next = "GET /2013-04-01/hostedzone/Z1/rrset?maxitems=10&name=%5C052.home.test.&type=TXT";
    let second = listed(&set("\\052.home.test.", "A", 300, &["192.0.2.1"], ""), "");
    let upsert = post(&[("UPSERT", "*.home.test.", "A", 300, &["192.0.2.2"])]);
    let forgotten = host_after("*.home.test", "192.0.2.1", "", "192.0.2.2");
    let list = zones(&zone("Z1", "home.test.", false));
    let script = [(ZONES, (200, list.as_str())), (&look, (200, &first)), (next, (200, &second)), (&upsert, TAKEN)];
    assert_eq!(one(forgotten, &script), confirmed("2 home.test home.test id=Z1 A=/300/", 300));
}

#[test]
fn all_hosts_of_a_job_go_in_one_batch() {
    let mut settings = settings();
    settings.set(ZONE_ID, Setting::Text("/hostedzone/Z1".into()));
    let list = listed(&set("a.home.test.", "A", 300, &["192.0.2.1"], ""), "");
    let upsert =
        post(&[("UPSERT", "b.home.test.", "A", 60, &["192.0.2.2"]), ("UPSERT", "home.test.", "A", 60, &["192.0.2.3"])]);
    let hosts = [host("a.home.test", "192.0.2.1"), host("b.home.test", "192.0.2.2"), host("home.test", "192.0.2.3")];
    let script = [("GET /2013-04-01/hostedzone/Z1/rrset?maxitems=300", (200, list.as_str())), (&upsert, TAKEN)];
    let outcomes = several(&settings, &hosts, &script);
    let note = "192.0.2.1";
    let seen = format!("2 home.test home.test id=Z1 A=/300/{note}");
    assert_eq!(outcomes, [confirmed(&seen, 300), confirmed(MEMORY, 60), confirmed(MEMORY, 60)]);
}

#[test]
fn what_is_somebodys_intention_is_in_the_way() {
    let list = zones(&zone("Z1", "home.test.", false));
    for (kind, more, word) in [
        ("A", "<SetIdentifier>x</SetIdentifier><Weight>1</Weight>", "special routing"),
        ("AAAA", "<SetIdentifier>x</SetIdentifier><Region>eu-west-1</Region>", "special routing"),
        ("A", "<AliasTarget><DNSName>elsewhere.</DNSName></AliasTarget>", "alias target"),
        ("A", "<TrafficPolicyInstanceId>x</TrafficPolicyInstanceId>", "traffic policy"),
        ("CNAME", "", "CNAME"),
    ] {
        let sets = listed(&set("nas.home.test.", kind, 60, &[], more), "");
        let outcome = one(host("nas.home.test", "192.0.2.1"), &[(ZONES, (200, &list)), (LOOK, (200, &sets))]);
        assert_refused(&outcome, Class::Invalid, word);
    }
    let twice = zones(&(zone("Z1", "home.test.", false) + &zone("Z2", "home.test.", false)));
    let outcome = one(host("nas.home.test", "192.0.2.1"), &[(ZONES, (200, &twice))]);
    assert_refused(&outcome, Class::NoZone, "set zone_id to one of Z1, Z2");
}

#[test]
fn refusals_are_told_apart() {
    for (code, status, class) in [
        ("SignatureDoesNotMatch", 403, Class::Auth),
        ("InvalidClientTokenId", 403, Class::Auth),
        ("UnrecognizedClientException", 400, Class::Auth),
        ("MissingAuthenticationToken", 403, Class::Auth),
        ("ExpiredToken", 403, Class::Auth),
        ("RequestExpired", 400, Class::Auth),
        ("AccessDenied", 403, Class::Denied),
        ("AccessDeniedException", 403, Class::Denied),
        ("NoSuchHostedZone", 404, Class::NoZone),
        ("InvalidInput", 400, Class::Invalid),
        ("InvalidDomainName", 400, Class::Invalid),
    ] {
        let said = error(code, "words");
        assert_refused(&one(host("nas.home.test", "192.0.2.1"), &[(ZONES, (status, &said))]), class, "words");
    }
    let upsert = post(&[("UPSERT", "nas.home.test.", "A", 60, &["192.0.2.2"])]);
    let later = || host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    for (code, status, class, maybe_written) in [
        ("Throttling", 400, Class::Rate, false),
        ("ThrottlingException", 400, Class::Rate, false),
        ("PriorRequestNotComplete", 400, Class::Busy, false),
        ("ServiceUnavailable", 503, Class::Down, true),
        ("InternalFailure", 500, Class::Down, true),
    ] {
        let said = error(code, "Rate exceeded");
        assert_unconfirmed(&one(later(), &[(&upsert, (status, &said))]), class, maybe_written);
    }
    let batch = |message: &str| {
        format!(
            "<?xml version=\"1.0\"?>\n<InvalidChangeBatch xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
             <Messages><Message>{message}</Message></Messages><RequestId>1</RequestId></InvalidChangeBatch>"
        )
    };
    let conflict = "RRSet of type A with DNS name nas.home.test. is not permitted as it conflicts with other records \
                    with the same DNS name in zone home.test.";
    for said in [batch(conflict), error("InvalidChangeBatch", conflict)] {
        assert_refused(&one(later(), &[(&upsert, (400, &said))]), Class::Invalid, "conflicts with other records");
    }
    let gone = host_after("nas.home.test", "192.0.2.1", MEMORY, "");
    let there = listed(&set("nas.home.test.", "A", 60, &["192.0.2.1"], ""), "");
    let delete = post(&[("DELETE", "nas.home.test.", "A", 60, &["192.0.2.1"])]);
    let not_found = batch("Tried to delete resource record set [name='nas.home.test.', type='A'] but it was not found");
    let nothing = listed("", "");
    let script = [(LOOK, (200, there.as_str())), (&delete, (400, &not_found)), (LOOK, (200, &nothing))];
    assert_eq!(one(gone, &script), confirmed("2 home.test home.test id=Z1", 0));
    for body in ["", "<html/>", "<ChangeResourceRecordSetsResponse/>", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"] {
        let outcome = one(later(), &[(&upsert, (200, body))]);
        let is_open =
            matches!(outcome, Outcome::Unconfirmed { class: Class::Bug | Class::Down, maybe_written: true, .. });
        assert!(is_open, "{body}: {outcome:?}");
    }
}

#[test]
fn a_zone_that_moved_to_another_account_is_looked_for_again() {
    let upsert = post(&[("UPSERT", "nas.home.test.", "A", 60, &["192.0.2.2"])]);
    let later = host_after("nas.home.test", "192.0.2.1", MEMORY, "192.0.2.2");
    let denied = error("AccessDenied", "User is not authorized to access this resource");
    let list = zones(&zone("Z7", "home.test.", false));
    let (look, again) = (LOOK.replace("Z1", "Z7"), upsert.replace("/Z1/", "/Z7/"));
    let nothing = listed("", "");
    let script =
        [(upsert.as_str(), (403, denied.as_str())), (ZONES, (200, &list)), (&look, (200, &nothing)), (&again, TAKEN)];
    assert_eq!(one(later, &script), confirmed("2 home.test home.test id=Z7 A=/60/", 60));
}

#[test]
fn a_region_leads_to_its_partition() {
    for (region, signing, endpoint) in [
        ("eu-central-1", "us-east-1", "https://route53.amazonaws.com"),
        ("cn-north-1", "cn-northwest-1", "https://route53.amazonaws.com.cn"),
        ("us-gov-east-1", "us-gov-west-1", "https://route53.us-gov.amazonaws.com"),
    ] {
        assert_eq!(partition(region), (signing, endpoint));
    }
    for (key, value, taken) in
        [(ZONE_ID, "home.test", false), (ZONE_ID, "/hostedzone/Z1", true), (REGION, "Ohio", false)]
    {
        let mut settings = settings();
        settings.set(key, Setting::Text(value.into()));
        assert_eq!(settings.open().is_ok(), taken, "{value}");
    }
}

#[test]
fn what_is_left_out_makes_no_difference() {
    let bare = |text: &str| {
        let text = text.replace("<IsTruncated>false</IsTruncated>", "");
        text.replace(" xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"", "")
            .replace("<TTL>60</TTL>", "<TTL> 60 </TTL>")
    };
    let (zones, sets) = (
        bare(&zones(&zone("Z1", "HOME.test", false))),
        bare(&listed(&set("nas.home.test", "A", 60, &["192.0.2.1"], ""), "")),
    );
    let script = [(ZONES, (200, zones.as_str())), (LOOK, (200, &sets))];
    assert_eq!(
        one(host("nas.home.test", "192.0.2.1"), &script),
        Outcome::Confirmed { remembered: Some("2 home.test home.test id=Z1 A=/60/192.0.2.1".into()), ttl: 60 }
    );
}
