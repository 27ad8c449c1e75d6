//! A whole gateway in front of one's own name server: a router's update comes in by HTTPS, and `dig` shows it at BIND,
//! Knot and PowerDNS. BIND and Knot run the configuration that `docs/providers/rfc2136.md` tells to paste.

use std::net::SocketAddr;
use std::time::Duration;

use nicgate_tests::servers::{Bind, KEY, Knot, PowerDns, SECRET};
use nicgate_tests::{House, dig};

/// A gateway with a provider block of these keys.
fn house(name: &str, keys: &str) -> House {
    let sections = format!(
        "reply_deadline = \"2s\"\n\n[[provider]]\nname = \"own\"\n{keys}\n\
         [[zone]]\nname = \"example.com\"\nproviders = [\"own\"]\naddresses = \"any\"\n\n\
         [limits]\nenabled = false\n\n\
         [[device]]\nid = \"box\"\nhosts = [\"nas.example.com\", \"*.lan.example.com\", \"example.com\"]\n"
    );
    // Signatures hold for five minutes, by the name server's clock.
    House::with(name, &sections).brought_to_the_present()
}

/// What a router does, and what the name server shows then.
fn updates_arrive(house: &House, server: SocketAddr) {
    for (host, addresses, v4, v6) in [
        ("nas.example.com", "192.0.2.1", "192.0.2.1", ""),
        ("nas.example.com", "192.0.2.2,2001:db8::2", "192.0.2.2", "2001:db8::2"),
        ("*.lan.example.com", "192.0.2.3", "192.0.2.3", ""),
        ("example.com", "192.0.2.4", "192.0.2.4", ""),
    ] {
        let answer = house.update(&format!("hostname={host}&myip={addresses}"));
        assert_eq!(
            (answer.status, &*answer.body),
            (200, &*format!("good {addresses}\n")),
            "{host}: {:#?}",
            house.log()
        );
        for (kind, expected) in [("A", v4), ("AAAA", v6)] {
            assert_eq!(dig(server, host, kind).join(","), expected, "{host} {kind}");
        }
        let again = house.update(&format!("hostname={host}&myip={addresses}"));
        assert_eq!(again.body, format!("nochg {addresses}\n"));
    }
    assert!(!format!("{:?}", house.log()).contains(SECRET));
}

/// A code block of the page, by the word after its fence, with what the tests have in place of what an operator has.
fn block(word: &str) -> String {
    let page = include_str!("../../docs/providers/rfc2136.md");
    let (_, rest) = page.split_once(&format!("```{word}\n")).unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    assert!(block.contains("SECRET"), "{block}");
    block.replace("SECRET", SECRET).replace("/var/lib/bind/", "").replace("/var/lib/knot", ".")
}

fn tsig(server: SocketAddr) -> String {
    format!("type = \"rfc2136\"\nserver = \"{server}\"\nkey_name = \"{KEY}\"\nkey_secret = \"{SECRET}\"\n")
}

#[test]
fn an_update_arrives_at_bind_as_the_page_configures_it() {
    let Some(bind) = Bind::with("own-bind", &block("named.conf"), "") else { return };
    updates_arrive(&house("own-bind-gateway", &tsig(bind.address)), bind.address);
}

#[test]
fn an_update_arrives_at_knot_as_the_page_configures_it() {
    let Some(knot) = Knot::with("own-knot", &block("knot.conf"), "") else { return };
    updates_arrive(&house("own-knot-gateway", &tsig(knot.address)), knot.address);
}

#[test]
fn an_update_arrives_at_powerdns_either_way() {
    let Some(powerdns) = PowerDns::start("own-powerdns") else { return };
    let keys =
        format!("type = \"powerdns\"\nendpoint = \"{}\"\napi_key = \"{}\"\n", powerdns.endpoint(), powerdns.api_key());
    updates_arrive(&house("own-powerdns-gateway", &keys), powerdns.address);
    let Some(powerdns) = PowerDns::start("own-powerdns-dns") else { return };
    updates_arrive(&house("own-powerdns-dns-gateway", &tsig(powerdns.address)), powerdns.address);
}

#[test]
fn a_name_server_that_halts_gets_the_newest_when_it_goes_on() {
    let Some(bind) = Bind::start("own-halted", "") else { return };
    let house = house("own-halted-gateway", &tsig(bind.address));
    assert_eq!(house.update("hostname=nas.example.com&myip=192.0.2.1").body, "good 192.0.2.1\n");
    bind.server.halt();
    for last in [2, 3] {
        let answer = house.update(&format!("hostname=nas.example.com&myip=192.0.2.{last}"));
        assert_eq!((answer.status, &*answer.body), (503, "911\n"), "nobody confirmed it");
    }
    // What it finds waiting in its sockets it does now, too; nobody hears its answer.
    bind.server.go_on();
    house.wait_until("the name server shows the newest and the gateway knows", |house| {
        house.hands.forward(Duration::from_millis(50));
        dig(bind.address, "nas.example.com", "A") == ["192.0.2.3"]
            && house.update("hostname=nas.example.com&myip=192.0.2.3").body == "nochg 192.0.2.3\n"
    });
}
