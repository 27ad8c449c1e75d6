//! Where a client behind a home router learns its address: STUN, DNS, and the router itself, asked of coturn, BIND
//! and miniupnpd.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nicgate_client::detect::router::{self, Method, igd, natpmp, pcp};
use nicgate_client::detect::whoami::Question;
use nicgate_client::detect::{claims, stun, whoami};
use nicgate_client::way::{Card, Way};
use nicgate_protocol::Family;
use nicgate_tests::namespace::{End, Namespace, cable};
use nicgate_tests::servers::miniupnpd::{Router, rules};
use nicgate_tests::servers::{Bind, Coturn, Miniupnpd};
use nicgate_tests::tool;

const PATIENCE: Duration = Duration::from_secs(6);
const NONCE: [u8; 12] = *b"twelve bytes";

/// Runs a story's questions on one thread, as the client does.
fn wait<T>(asking: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(asking)
}

/// An outcome as a client tells it.
fn told<T: ToString, E: ToString>(outcome: Result<T, E>) -> String {
    outcome.map_or_else(|fault| fault.to_string(), |address| address.to_string())
}

#[test]
fn coturn_tells_our_address_over_either_family() {
    let Some(coturn) = Coturn::start("coturn") else { return };
    let ask = |way: &Way, family, server: &str| told(wait(stun::address(way, family, server, PATIENCE, NONCE)));
    let port = coturn.port;
    assert_eq!(ask(&Way::ANY, Family::V4, &format!("127.0.0.1:{port}")), "127.0.0.1");
    assert_eq!(ask(&Way::ANY, Family::V6, &format!("[::1]:{port}")), "::1");
    assert_eq!(ask(&Way::ANY, Family::V4, &format!("localhost:{port}")), "127.0.0.1");
    assert_eq!(ask(&Way::ANY, Family::V6, &format!("127.0.0.1:{port}")), "the server has no IPv6 address");
    // The card decides from which address we are seen.
    let card = Card { name: "lo".to_owned(), index: 1, v4: Some(Ipv4Addr::new(127, 9, 9, 9)), v6: None };
    let way = Way { card: Some(card) };
    assert_eq!(ask(&way, Family::V4, &format!("127.0.0.1:{port}")), "127.9.9.9");
    drop(coturn);
    assert_eq!(ask(&Way::ANY, Family::V4, &format!("127.0.0.1:{port}")), format!("nobody listens at 127.0.0.1:{port}"));
}

/// BIND with answers to the well-known questions, and to some that are no good.
fn bind() -> Option<Bind> {
    let zone = "$TTL 0\n@ SOA ns1.example.com. hostmaster.example.com. 1 3600 600 86400 30\n@ NS ns1.example.com.\n";
    let opendns = "myip A 203.0.113.7\ntwo A 203.0.113.7\ntwo A 203.0.113.8\nalias CNAME myip\n";
    let google = "o-o.myaddr.l TXT \"203.0.113.7\"\no-o.myaddr.l TXT \"edns0-client-subnet 203.0.113.0/24\"\n\
                  words TXT \"who knows\"\n";
    let long = (0..8).map(|number| format!("long TXT \"{number}{}\"\n", "x".repeat(90))).collect::<String>();
    let bind = Bind::with_files(
        "whoami",
        "view \"internet\" IN { match-clients { any; };\n\
         zone \"example.com\" { type primary; file \"example.com.zone\"; };\n\
         zone \"opendns.com\" { type primary; file \"opendns.com.zone\"; };\n\
         zone \"google.com\" { type primary; file \"google.com.zone\"; }; };\n\
         view \"chaos\" CH { match-clients { any; };\n\
         zone \"cloudflare\" CH { type primary; file \"cloudflare.zone\"; }; };\n",
        "",
        &[
            ("opendns.com.zone", &format!("{zone}{opendns}")),
            ("google.com.zone", &format!("{zone}{google}{long}")),
            ("cloudflare.zone", &format!("{zone}whoami TXT \"203.0.113.7\"\n")),
        ],
    )?;
    Some(bind)
}

#[test]
fn bind_answers_who_we_are_in_every_style() {
    let Some(bind) = bind() else { return };
    let server = bind.address;
    let ask = |question: &str, family| {
        let question: Question = format!("{question}@{server}").parse().unwrap();
        told(wait(whoami::address(&Way::ANY, family, &question, PATIENCE, 0x4711)))
    };
    for (question, expected) in [
        ("myip.opendns.com", "203.0.113.7"),
        ("alias.opendns.com", "203.0.113.7"),
        ("txt:o-o.myaddr.l.google.com", "203.0.113.7"),
        ("txt-ch:whoami.cloudflare", "203.0.113.7"),
        ("two.opendns.com", "the name server answered with several addresses: which is ours is unknown"),
        ("txt:long.google.com", "the name server's answer is longer than any with one address"),
        (
            "txt:words.google.com",
            "the name server answered without an address: it does not know this question, or somebody else answered in \
             its stead",
        ),
        (
            "nobody.opendns.com",
            "the name server refused (NXDOMAIN): it does not know this question, or somebody else answered in its stead",
        ),
        (
            "txt-ch:id.server",
            "the name server refused (REFUSED): it does not know this question, or somebody else answered in its stead",
        ),
    ] {
        assert_eq!(ask(question, Family::V4), expected, "{question}");
    }
    assert_eq!(ask("myip.opendns.com", Family::V6), "the server has no IPv6 address");
    let probe = || wait(whoami::probe(&Way::ANY, Family::V4, &server.to_string(), PATIENCE, 0x4711));
    probe().unwrap();
    drop(bind);
    assert_eq!(probe().unwrap_err().to_string(), format!("nobody listens at {server}"));
}

const INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 1);
const HOME: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 2);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const PROVIDER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// What the router is told that it is called; miniupnpd takes no address that is not a public one.
const CALLED: Ipv4Addr = Ipv4Addr::new(93, 184, 215, 14);

/// A machine at home, its router, and the provider.
struct Internet {
    home: Namespace,
    router: Namespace,
    provider: Namespace,
}

impl Internet {
    fn new() -> Option<Self> {
        let (home, router, provider) = (Namespace::new()?, Namespace::new()?, Namespace::new()?);
        cable(
            End { network: &home, card: "eth0", addresses: &["192.168.7.2/24"] },
            End { network: &router, card: "lan", addresses: &["192.168.7.1/24"] },
        );
        cable(
            End { network: &router, card: "wan", addresses: &["203.0.113.7/24"] },
            End { network: &provider, card: "eth0", addresses: &["203.0.113.1/24"] },
        );
        home.ip("route add default via 192.168.7.1");
        router.ip("route add default via 203.0.113.1");
        Some(Self { home, router, provider })
    }

    fn router(&self) -> Router<'_> {
        let (speaks_natpmp, speaks_upnp) = (true, true);
        let external = Some(CALLED);
        Router { network: &self.router, inside: "lan", outside: "wan", external, speaks_natpmp, speaks_upnp }
    }

    /// What the router tells who asks it from home.
    fn ask(&self, router: Option<Ipv4Addr>, method: Method, patience: Duration) -> String {
        let way = Way::ANY;
        self.home.run(|| match wait(router::address(&way, router, method, patience, NONCE)) {
            Ok((address, how)) => format!("{address} by {how}"),
            Err(fault) => fault.to_string(),
        })
    }
}

/// The way by the home machine's only card.
fn card() -> Way {
    Way { card: Some(Card { name: "eth0".to_owned(), index: 2, v4: Some(HOME), v6: None }) }
}

#[test]
fn a_router_tells_its_address_by_every_protocol() {
    let Some(internet) = Internet::new() else { return };
    let Some(miniupnpd) = Miniupnpd::start(internet.router()) else { return };
    let port = SocketAddr::new(INSIDE.into(), router::PORT);
    let search = igd::Search { router: Some(INSIDE), ..igd::Search::default() };
    for way in [Way::ANY, card()] {
        internet.home.run(|| {
            wait(async {
                assert_eq!(told(natpmp::address(&way, port, PATIENCE).await), CALLED.to_string(), "{way:?}");
                assert_eq!(told(pcp::address(&way, port, PATIENCE, NONCE).await), CALLED.to_string(), "{way:?}");
                for search in [search, igd::Search::default()] {
                    assert_eq!(
                        told(igd::address(&way, search, PATIENCE).await),
                        CALLED.to_string(),
                        "{way:?} {search:?}"
                    );
                }
            });
        });
    }
    let said = miniupnpd.server.said();
    let count = |what: &str| said.matches(what).count();
    assert_eq!((count("PCP MAP: added mapping"), count("mapping removed")), (2, 2), "given back: {said}");
    let left = rules(&internet.router).unwrap();
    assert!(left.contains("chain miniupnpd") && !left.contains("dnat"), "{left}");

    let called = CALLED.to_string();
    assert_eq!(internet.ask(Some(INSIDE), Method::Any, PATIENCE), format!("{called} by NAT-PMP"));
    assert_eq!(internet.ask(None, Method::Any, PATIENCE), format!("{called} by UPnP"));
    assert_eq!(internet.ask(Some(INSIDE), Method::Upnp, PATIENCE), format!("{called} by UPnP"));
    // Another device than the default router is believed when the router itself says nothing.
    let elsewhere = Some(Ipv4Addr::new(192, 168, 7, 99));
    assert_eq!(internet.ask(elsewhere, Method::Upnp, PATIENCE), format!("{called} by UPnP"));
}

#[test]
fn a_router_that_speaks_upnp_alone_is_asked_by_that() {
    let Some(internet) = Internet::new() else { return };
    let router = Router { speaks_natpmp: false, ..internet.router() };
    let Some(_miniupnpd) = Miniupnpd::start(router) else { return };
    assert_eq!(internet.ask(Some(INSIDE), Method::Any, PATIENCE), format!("{CALLED} by UPnP"));
    assert_eq!(
        internet.ask(Some(INSIDE), Method::Pcp, PATIENCE),
        "the router tells no address (NAT-PMP: nobody listens at 192.168.7.1:5351)"
    );
    assert_eq!(
        internet.ask(None, Method::Pcp, PATIENCE),
        "the router tells no address (NAT-PMP: this machine has no default IPv4 route, so no router is known)"
    );
}

#[test]
fn a_router_that_speaks_nothing_is_told_apart_from_a_fault() {
    let Some(internet) = Internet::new() else { return };
    assert_eq!(
        internet.ask(Some(INSIDE), Method::Any, PATIENCE),
        "the router tells no address (NAT-PMP: nobody listens at 192.168.7.1:5351; UPnP: no router answered; is UPnP \
         switched on there?)"
    );
}

#[test]
fn a_router_behind_another_one_does_not_tell_a_public_address() {
    let Some(internet) = Internet::new() else { return };
    // miniupnpd sees that its card outside has no public address.
    let router = Router { external: None, ..internet.router() };
    let Some(_miniupnpd) = Miniupnpd::start(router) else { return };
    assert_eq!(
        internet.ask(Some(INSIDE), Method::Pcp, PATIENCE),
        "the router tells no address (NAT-PMP: the router has no external address at present)"
    );
    // Told as it is: that it is none is for others to say.
    assert_eq!(internet.ask(Some(INSIDE), Method::Upnp, PATIENCE), "0.0.0.0 by UPnP");
}

#[test]
fn behind_a_router_the_outside_sees_the_routers_address() {
    let Some(internet) = Internet::new() else { return };
    let Some(nft) = tool("nft") else { return };
    let masquerade = "add table ip home; add chain ip home out { type nat hook postrouting priority 100; }; \
                      add rule ip home out oifname \"wan\" masquerade";
    assert!(internet.router.command(nft).arg(masquerade).status().unwrap().success());
    internet.router.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    let Some(_coturn) = Coturn::start_in(&internet.provider, PROVIDER.into()) else { return };
    for way in [Way::ANY, card()] {
        let seen = internet
            .home
            .run(|| wait(stun::address(&way, Family::V4, &PROVIDER.to_string(), PATIENCE, NONCE)).unwrap());
        assert_eq!(seen, IpAddr::V4(OUTSIDE));
        assert_eq!(claims::objection(seen).unwrap().kind, claims::Kind::NotAnAddress, "it is one of documentation");
    }
}
