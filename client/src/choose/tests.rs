//! Which address is sent, and which is not.

use super::*;

/// `ADDRESS NAME [down] [vpn] [out] [temporary] [deprecated] [tentative] [unmarked]`, or instead of the name one of
/// `web config echo stun dns router command`, where `vpn` says that the question went through one.
fn found(text: &str) -> Found {
    let mut words = text.split(' ');
    let address: IpAddr = words.next().unwrap().parse().unwrap();
    let rest: Vec<&str> = words.collect();
    let has = |word: &str| rest.contains(&word);
    let marks = Marks { is_temporary: has("temporary"), ..Marks::default() };
    let vpn = || has("vpn").then(|| "wg0".to_owned());
    let heard = || Heard { from: "there".to_owned(), vpn: vpn(), marks: Some(marks) };
    let origin = match rest[0] {
        "web" => Origin::Gateway(heard()),
        "echo" => Origin::Echo(heard()),
        "stun" => Origin::Stun(heard()),
        "dns" => Origin::Dns(heard()),
        "router" => Origin::Router("UPnP"),
        "command" => Origin::Command,
        "config" => Origin::Config,
        name => Origin::Interface(Standing {
            name: name.to_owned(),
            mac: Some([0, 0x11, 0x22, 0xaa, 0xbb, 0xcc]),
            is_up: !has("down"),
            is_vpn: has("vpn"),
            leads_out: has("out"),
            marks: (address.is_ipv6() && !has("unmarked")).then(|| Marks {
                is_temporary: has("temporary"),
                is_deprecated: has("deprecated"),
                is_tentative: has("tentative"),
            }),
        }),
    };
    Found { address, origin }
}

/// What is sent, by sources in their order (`web,router`), with what `allow` names.
fn send(family: Family, sources: &str, allow: &str, last: Option<&str>, list: &[&str]) -> Option<String> {
    let sources: Vec<Source> =
        sources.split(',').filter(|source| *source != "off").map(|text| Source::parse(text).unwrap()).collect();
    let allow = Allow {
        deprecated: allow.contains("deprecated"),
        link_local: allow.contains("link-local"),
        private: allow.contains("private"),
        temporary: allow.contains("temporary"),
        vpn: allow.contains("vpn"),
    };
    let last = last.map(|text| text.parse().unwrap());
    let list: Vec<Found> = list.iter().map(|text| found(text)).collect();
    let rule = Rule { family, sources: &sources, allow, interface_id: None, last };
    let judged = choose(rule, &list);
    assert!(judged.iter().filter(|judged| judged.chosen.is_some()).count() <= 1);
    assert!(judged.iter().all(|judged| !judged.why.is_empty()));
    let acceptable = list.iter().any(|found| is_acceptable(rule, found));
    assert_eq!(acceptable, chosen(&judged).is_some(), "what is acceptable alone is chosen when it is alone");
    chosen(&judged).map(|address| address.to_string())
}

fn pick(family: Family, source: &str, allow_private: bool, last: Option<&str>, list: &[&str]) -> Option<String> {
    send(family, source, if allow_private { "private" } else { "" }, last, list)
}

#[test]
fn an_ipv6_address_that_will_go_away_is_never_sent() {
    for (expected, list) in [
        (Some("2a00::1"), &["2a00::1 eth0"][..]),
        (Some("2a00::1"), &["2a00::99 eth0 temporary out", "2a00::1 eth0"]),
        (Some("2a00::1"), &["2a00:1::1 eth0 deprecated", "2a00::1 eth0"]),
        (Some("2a00::1"), &["2a00::2 eth0 tentative", "2a00::1 eth0"]),
        (Some("2a00::1"), &["2a00::2 eth0 down", "2a00::1 eth1"]),
        (Some("2a00::1"), &["2a00::2 eth1 unmarked", "2a00::1 eth0"]),
        (Some("2a00::2"), &["2a00::2 eth1 unmarked"]),
        (Some("2a00::2"), &["2a00::1 eth0", "2a00::2 eth1 out"]),
        (None, &["2a00::99 eth0 temporary"]),
        (None, &["fd00::1 eth0"]),
        (None, &["fe80::1 eth0", "::1 lo", "2001:db8::1 eth0"]),
        (None, &["192.0.2.1 eth0"]),
        (None, &[]),
    ] {
        assert_eq!(pick(Family::V6, "interface", false, None, list).as_deref(), expected, "{list:?}");
    }
}

#[test]
fn private_addresses_wait_to_be_asked_and_stand_behind_public_ones() {
    let list = &["10.0.0.1 docker0", "192.168.1.5 eth0 out", "127.0.0.1 lo"][..];
    assert_eq!(pick(Family::V4, "interface", false, None, list), None);
    assert_eq!(pick(Family::V4, "interface", true, None, list).as_deref(), Some("192.168.1.5"));
    assert_eq!(pick(Family::V4, "interface:docker0", true, None, list).as_deref(), Some("10.0.0.1"));
    assert_eq!(pick(Family::V4, "interface:lo", true, None, list), None);
    let list = &["192.168.1.5 eth0 out", "84.0.0.4 ppp0"][..];
    assert_eq!(pick(Family::V4, "interface", true, Some("192.168.1.5"), list).as_deref(), Some("84.0.0.4"));
}

#[test]
fn an_address_already_published_stays_while_it_is_as_good() {
    let list = &["2a00::1 eth0 out", "2a00::2 eth0 out"][..];
    assert_eq!(pick(Family::V6, "interface", false, None, list).as_deref(), Some("2a00::1"));
    assert_eq!(pick(Family::V6, "interface", false, Some("2a00::2"), list).as_deref(), Some("2a00::2"));
    let aged = &["2a00::1 eth0 out", "2a00::2 eth0 out deprecated"][..];
    assert_eq!(pick(Family::V6, "interface", false, Some("2a00::2"), aged).as_deref(), Some("2a00::1"));
}

#[test]
fn each_source_is_heard_only_where_it_was_asked() {
    let list = &["8.8.8.8 eth0 out", "9.9.9.9 web", "1.1.1.1 config"][..];
    for (source, expected) in [
        ("web", Some("9.9.9.9")),
        ("interface", Some("8.8.8.8")),
        ("interface:eth0", Some("8.8.8.8")),
        ("interface:eth1", None),
        ("1.1.1.1", Some("1.1.1.1")),
        ("off", None),
    ] {
        assert_eq!(pick(Family::V4, source, false, None, list).as_deref(), expected, "{source}");
        assert_eq!(pick(Family::V6, source, false, None, list), None, "{source}");
    }
}

#[test]
fn ranges_are_the_gateways_to_judge_when_it_saw_them_or_the_file_names_them() {
    assert_eq!(pick(Family::V4, "web", false, None, &["127.0.0.1 web"]).as_deref(), Some("127.0.0.1"));
    assert_eq!(pick(Family::V4, "192.0.2.1", false, None, &["192.0.2.1 config"]).as_deref(), Some("192.0.2.1"));
    assert_eq!(pick(Family::V4, "web", false, None, &["0.0.0.0 web"]), None);
}

#[test]
fn the_first_source_without_an_objection_gives_the_address() {
    let list = &["100.64.0.9 router", "84.0.0.4 web", "84.0.0.5 stun"][..];
    assert_eq!(send(Family::V4, "router,web", "", None, list).as_deref(), Some("84.0.0.4"));
    assert_eq!(send(Family::V4, "router,web", "private", None, list).as_deref(), Some("100.64.0.9"));
    assert_eq!(send(Family::V4, "stun,web", "", None, list).as_deref(), Some("84.0.0.5"));
    assert_eq!(send(Family::V4, "router", "", None, list), None);
    assert_eq!(
        send(Family::V4, "web,stun", "", Some("84.0.0.5"), list).as_deref(),
        Some("84.0.0.4"),
        "the order of the sources goes before what is published"
    );
}

#[test]
fn what_is_seen_through_a_vpn_is_the_vpns_address() {
    for source in ["web", "echo", "stun", "dns"] {
        let seen = format!("84.0.0.4 {source} vpn");
        let list = &[seen.as_str()][..];
        let name = if source == "echo" { "web" } else { source };
        assert_eq!(send(Family::V4, name, "", None, list), None, "{source}");
        assert_eq!(send(Family::V4, name, "vpn", None, list).as_deref(), Some("84.0.0.4"), "{source}");
    }
    assert_eq!(send(Family::V4, "interface", "", None, &["84.0.0.4 wg0 vpn out"]), None);
    assert_eq!(send(Family::V4, "interface", "vpn", None, &["84.0.0.4 wg0 vpn out"]).as_deref(), Some("84.0.0.4"));
}

#[test]
fn a_temporary_address_is_not_sent_because_somebody_outside_sees_it() {
    for source in ["web", "stun", "dns"] {
        let seen = format!("2a00::9 {source} temporary");
        assert_eq!(send(Family::V6, source, "", None, &[&seen]), None, "{source}");
        assert_eq!(send(Family::V6, source, "temporary", None, &[&seen]).as_deref(), Some("2a00::9"), "{source}");
    }
    let list = &["2a00::9 web temporary", "2a00::1 eth0"][..];
    assert_eq!(send(Family::V6, "web,interface", "", None, list).as_deref(), Some("2a00::1"));
}

#[test]
fn objections_are_lifted_one_by_one() {
    for (allow, address) in [
        ("temporary", "2a00::9 eth0 temporary"),
        ("deprecated", "2a00::9 eth0 deprecated"),
        ("link-local", "fe80::9 eth0"),
        ("private", "fd00::9 eth0"),
    ] {
        let expected = address.split(' ').next();
        assert_eq!(send(Family::V6, "interface", "", None, &[address]), None, "{address}");
        assert_eq!(send(Family::V6, "interface", allow, None, &[address]).as_deref(), expected, "{address}");
    }
    assert_eq!(send(Family::V6, "interface", "temporary deprecated", None, &["2a00::9 eth0 tentative"]), None);
}

#[test]
fn an_interface_is_meant_by_name_pattern_hardware_address_or_default_route() {
    let list = &["84.0.0.4 eth0", "84.0.0.5 eth1 out"][..];
    for (source, expected) in [
        ("interface:eth0", "84.0.0.4"),
        ("interface:ETH*", "84.0.0.5"),
        ("interface:default", "84.0.0.5"),
        ("interface:84.0.0.4", "84.0.0.4"),
        ("interface:00-11-22-AA-BB-CC", "84.0.0.5"),
    ] {
        assert_eq!(send(Family::V4, source, "", None, list).as_deref(), Some(expected), "{source}");
    }
}

#[test]
fn an_interface_id_takes_the_place_of_what_was_found() {
    let sources = [Source::Interface(Which::Any)];
    let rule = |last: Option<&str>| Rule {
        family: Family::V6,
        sources: &sources,
        allow: Allow::default(),
        interface_id: Some("::1:2".parse().unwrap()),
        last: last.map(|text| text.parse().unwrap()),
    };
    let list = ["2a00:0:0:1:aaaa::9 eth0 temporary", "2a00:0:0:2::9 eth0"].map(found);
    let sent = |last| chosen(&choose(rule(last), &list)).unwrap().to_string();
    assert_eq!(sent(None), "2a00::1:0:0:1:2", "only the prefix is taken, and that is not temporary");
    assert_eq!(sent(Some("2a00:0:0:2::1:2")), "2a00::2:0:0:1:2", "what is published is recognized");
}

#[test]
fn a_router_behind_carrier_nat_is_mentioned() {
    let sources = ["router", "web"].map(|text| Source::parse(text).unwrap());
    let (family, allow) = (Family::V4, Allow::default());
    let rule = Rule { family, sources: &sources, allow, interface_id: None, last: None };
    let said = |list: [&str; 2]| caveat(&choose(rule, &list.map(found)));
    let caveat = said(["100.64.0.9 router", "84.0.0.4 web"]).unwrap();
    assert!(caveat.starts_with("the router's outer address is 100.64.0.9, not 84.0.0.4: "), "{caveat}");
    assert_eq!(said(["84.0.0.4 router", "84.0.0.4 web"]), None);
}

#[test]
fn of_whatever_is_found_only_the_acceptable_is_sent_and_the_earliest_source_first() {
    let pool = [
        "84.0.0.1 web",
        "84.0.0.2 web vpn",
        "84.0.0.3 stun",
        "100.64.0.1 router",
        "84.0.0.4 router",
        "10.0.0.1 eth0 out",
        "84.0.0.5 eth0 out",
        "84.0.0.6 eth1 down",
        "84.0.0.7 wg0 vpn",
        "1.1.1.1 dns",
        "84.0.0.8 dns",
        "0.0.0.0 web",
        "2a00::1 eth0 out",
        "2a00::2 eth0 temporary",
        "2a00::3 eth1 deprecated",
        "fd00::1 eth0",
        "fe80::1 eth0",
        "2a00::4 eth2 tentative",
        "2001:db8::1 eth0",
        "2a00::5 web",
    ];
    let texts = ["web", "interface", "router", "stun", "dns", "interface:eth0"];
    for seed in 0..3000_u64 {
        let mut dice = seed;
        let mut roll = |below: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(dice >> 33).unwrap() % below
        };
        let family = Family::BOTH[roll(2)];
        let sources: Vec<Source> = (0..1 + roll(4)).map(|_| Source::parse(texts[roll(texts.len())]).unwrap()).collect();
        let list: Vec<Found> = (0..roll(9)).map(|_| found(pool[roll(pool.len())])).collect();
        let allow = Allow { private: roll(3) == 0, vpn: roll(3) == 0, temporary: roll(3) == 0, ..Allow::default() };
        let rule = Rule { family, sources: &sources, allow, interface_id: None, last: None };
        let judged = choose(rule, &list);
        let acceptable: Vec<&Found> = list.iter().filter(|found| is_acceptable(rule, found)).collect();
        let earliest = acceptable.iter().filter_map(|found| place(rule, found).ok()).min();
        match judged.iter().find(|judged| judged.chosen.is_some()) {
            Some(winner) => {
                assert!(acceptable.contains(&&winner.found), "seed {seed}");
                assert_eq!(place(rule, &winner.found).ok(), earliest, "seed {seed}");
            }
            None => assert!(acceptable.is_empty(), "seed {seed}"),
        }
        assert!(judged.iter().all(|judged| Family::of(judged.found.address) == family && !judged.why.is_empty()));
    }
}
