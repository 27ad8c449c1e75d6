//! The real servers that stories about providers speak to: they run, take changes from others' tools, and leave
//! nothing behind.

use std::net::SocketAddr;
use std::path::PathBuf;

use nicgate_tests::dig;
use nicgate_tests::servers::{ALGORITHMS, Bind, KEY, Knot, Moto, PowerDns, Server, ZONE, nsupdate};
use nicgate_tests::wire::Request;
use serde_json::json;

/// Whether a process is gone, and its folder with it.
fn leaves_nothing(server: Server) {
    let (process, folder) = (PathBuf::from(format!("/proc/{}", server.id())), server.folder().to_owned());
    assert!(folder.exists() && (process.exists() || !cfg!(target_os = "linux")));
    drop(server);
    assert!(!process.exists() && !folder.exists(), "{}", folder.display());
}

/// A server that was just started takes updates signed by ISC's program, whatever the algorithm.
fn takes_signed_updates(server: Server, address: SocketAddr) {
    assert_eq!(dig(address, "old.example.com", "A"), ["192.0.2.1"]);
    for (last, algorithm) in ALGORITHMS.into_iter().enumerate() {
        let lines = format!("del new.{ZONE} A\nadd new.{ZONE} 60 A 192.0.2.{last}");
        let Some(said) = nsupdate(address, (algorithm, algorithm), &lines) else { return };
        assert_eq!(said, "", "{algorithm}");
        assert_eq!(dig(address, "new.example.com", "A"), [format!("192.0.2.{last}")]);
    }
    let Some(wrong) = nsupdate(address, (KEY, "hmac-sha512"), "del new.example.com A") else { return };
    assert!(wrong.contains("BADKEY"), "{wrong}");
    leaves_nothing(server);
}

#[test]
fn bind_takes_signed_updates_of_every_algorithm() {
    let Some(bind) = Bind::start("bind", "old IN A 192.0.2.1\n") else { return };
    takes_signed_updates(bind.server, bind.address);
}

#[test]
fn knot_takes_signed_updates_of_every_algorithm() {
    let Some(knot) = Knot::start("knot", "old IN A 192.0.2.1\n") else { return };
    takes_signed_updates(knot.server, knot.address);
}

#[test]
fn powerdns_takes_changes_by_its_api_and_by_signed_updates() {
    let Some(powerdns) = PowerDns::start("powerdns") else { return };
    let records = json!([{ "content": "192.0.2.1", "disabled": false }]);
    powerdns.patch(&json!([
        { "name": "api.example.com.", "type": "A", "ttl": 60, "changetype": "REPLACE", "records": records }
    ]));
    assert_eq!(dig(powerdns.address, "api.example.com", "A"), ["192.0.2.1"]);
    let lines = format!("del api.{ZONE} A\nadd api.{ZONE} 60 A 192.0.2.2");
    let Some(said) = nsupdate(powerdns.address, (KEY, "hmac-sha256"), &lines) else { return };
    assert_eq!(said, "");
    assert_eq!(dig(powerdns.address, "api.example.com", "A"), ["192.0.2.2"]);
    powerdns.add_zone("copy.test", "Slave");
    leaves_nothing(powerdns.server);
}

#[test]
fn moto_makes_a_zone_and_a_record() {
    let Some(moto) = Moto::start("moto") else { return };
    let namespace = "https://route53.amazonaws.com/doc/2013-04-01/";
    let zone = format!(
        "<CreateHostedZoneRequest xmlns=\"{namespace}\"><Name>{ZONE}.</Name><CallerReference>once</CallerReference>\
         </CreateHostedZoneRequest>"
    );
    let post = |path: &str, body: &str| moto.ask(Request::get(path).method("POST").body("text/xml", body));
    let made = post("/2013-04-01/hostedzone", &zone);
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.body.split_once("<Id>/hostedzone/").and_then(|(_, rest)| rest.split_once("</Id>")).unwrap().0;
    let change = format!(
        "<ChangeResourceRecordSetsRequest xmlns=\"{namespace}\"><ChangeBatch><Changes><Change><Action>UPSERT</Action>\
         <ResourceRecordSet><Name>a.{ZONE}.</Name><Type>A</Type><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>\
         192.0.2.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch>\
         </ChangeResourceRecordSetsRequest>"
    );
    let changed = post(&format!("/2013-04-01/hostedzone/{id}/rrset/"), &change);
    assert_eq!(changed.status, 200, "{changed:?}");
    let listed = moto.ask(Request::get(&format!("/2013-04-01/hostedzone/{id}/rrset")));
    assert!(listed.body.contains("192.0.2.1"), "{listed:?}");
    leaves_nothing(moto.server);
}
