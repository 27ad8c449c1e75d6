//! Queries and what comes back, as tables. Queries are written and replies are read by the `domain` crate.

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::rdata::AllRecordData;
use nicgate_protocol::{AddressSet, Hostname};

use super::*;
use crate::dns::ZoneHead;

fn host(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

fn head(zone: &str) -> ZoneHead {
    ZoneHead {
        name: host(zone),
        nameservers: vec![host(&format!("ns.{zone}"))],
        mailbox: host(&format!("hostmaster.{zone}")),
        ttl: 300,
        negative_ttl: 30,
        nameserver_addresses: AddressSet { v4: Some(Ipv4Addr::new(192, 0, 2, 53)), v6: None },
    }
}

/// `home.test` with hosts, a wildcard and empty names, and `a.b.home.test`, a zone of its own within it.
fn zones() -> Zones {
    let v4 = |last| AddressSet { v4: Some(Ipv4Addr::new(192, 0, 2, last)), v6: None };
    let v6 = |last| AddressSet { v4: None, v6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)) };
    let both = AddressSet { v4: v4(1).v4, v6: v6(1).v6 };
    let zones = Zones::new(vec![head("home.test"), head("a.b.home.test")]);
    let records = [
        ("home.test", v4(9)),
        ("nas.home.test", both),
        ("four.home.test", v4(4)),
        ("six.home.test", v6(6)),
        ("*.lan.home.test", v4(7)),
        ("pc.lan.home.test", v6(8)),
        ("deep.one.two.lan.home.test", v4(10)),
        ("www.a.b.home.test", v4(11)),
    ];
    zones.load(records.into_iter().map(|(name, addresses)| (host(name), addresses, 60)), 7);
    zones
}

struct Asked {
    name: &'static str,
    rtype: Rtype,
    class: Class,
    edns: Option<(u16, u8)>,
}

impl Asked {
    fn new(name: &'static str, rtype: Rtype) -> Self {
        Self { name, rtype, class: Class::IN, edns: None }
    }

    fn octets(&self) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(0x1234);
        builder.header_mut().set_rd(true);
        let mut question = builder.question();
        question.push((Name::<Vec<u8>>::from_chars(self.name.chars()).unwrap(), self.rtype, self.class)).unwrap();
        let mut additional = question.additional();
        if let Some((payload, version)) = self.edns {
            let opt = additional.opt(|opt| {
                opt.set_udp_payload_size(payload);
                opt.set_version(version);
                opt.set_dnssec_ok(true);
                Ok(())
            });
            opt.unwrap();
        }
        additional.finish()
    }
}

fn reply_to(zones: &Zones, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let mut reply = ReplyBuffer::new();
    zones.answer(query, transport, &mut reply).then(|| reply.message().to_vec())
}

/// A reply in a line: rcode, flags, then the records of each section.
fn told(reply: &[u8]) -> String {
    let message = Message::from_octets(reply).unwrap();
    let header = message.header();
    let mut line = message.opt_rcode().to_string();
    for (set, flag) in [(header.aa(), " aa"), (header.tc(), " tc"), (header.ra(), " ra"), (header.ad(), " ad")] {
        line += if set { flag } else { "" };
    }
    let (_, answer, authority, additional) = message.sections().unwrap();
    for (title, section) in [("", answer), (" AUTHORITY", authority), (" ADDITIONAL", additional)] {
        let mut title = title;
        for record in section.limit_to::<AllRecordData<_, _>>() {
            let record = record.unwrap();
            if record.rtype() != Rtype::OPT {
                let (owner, ttl, rtype) = (record.owner(), record.ttl().as_secs(), record.rtype());
                line += &format!("{title} | {owner} {ttl} {rtype} {}", record.data());
                title = "";
            }
        }
    }
    line
}

fn ask(zones: &Zones, asked: &Asked) -> String {
    told(&reply_to(zones, &asked.octets(), Transport::Udp).unwrap())
}

const NOTHING: &str = " aa AUTHORITY | home.test 30 SOA ns.home.test. hostmaster.home.test. 7 7200 900 1209600 30";

#[test]
fn every_name_and_type_gets_its_answer() {
    let zones = zones();
    for (name, rtype, expected) in [
        ("nas.home.test", Rtype::A, "NOERROR aa | nas.home.test 60 A 192.0.2.1"),
        ("nas.home.test", Rtype::AAAA, "NOERROR aa | nas.home.test 60 AAAA 2001:db8::1"),
        // The question's letters come back as they were asked.
        ("NaS.hOmE.tEsT", Rtype::A, "NOERROR aa | NaS.hOmE.tEsT 60 A 192.0.2.1"),
        ("home.test", Rtype::A, "NOERROR aa | home.test 60 A 192.0.2.9"),
        (
            "home.test",
            Rtype::SOA,
            "NOERROR aa | home.test 300 SOA ns.home.test. hostmaster.home.test. 7 7200 900 1209600 30",
        ),
        (
            "home.test",
            Rtype::NS,
            "NOERROR aa | home.test 300 NS ns.home.test. ADDITIONAL | ns.home.test 300 A 192.0.2.53",
        ),
        ("ns.home.test", Rtype::A, "NOERROR aa | ns.home.test 300 A 192.0.2.53"),
        // ANY: one record set (RFC 8482 4.1).
        ("nas.home.test", Rtype::ANY, "NOERROR aa | nas.home.test 60 A 192.0.2.1"),
        ("six.home.test", Rtype::ANY, "NOERROR aa | six.home.test 60 AAAA 2001:db8::6"),
        ("x.lan.home.test", Rtype::ANY, "NOERROR aa | x.lan.home.test 60 A 192.0.2.7"),
        // Wildcards (RFC 4592): any depth below, the wildcard itself, no further than names that are there.
        ("X.lan.home.test", Rtype::A, "NOERROR aa | X.lan.home.test 60 A 192.0.2.7"),
        ("x.y.lan.home.test", Rtype::A, "NOERROR aa | x.y.lan.home.test 60 A 192.0.2.7"),
        ("*.lan.home.test", Rtype::A, "NOERROR aa | *.lan.home.test 60 A 192.0.2.7"),
        ("deep.one.two.lan.home.test", Rtype::A, "NOERROR aa | deep.one.two.lan.home.test 60 A 192.0.2.10"),
        // A zone within a zone.
        ("www.a.b.home.test", Rtype::A, "NOERROR aa | www.a.b.home.test 60 A 192.0.2.11"),
        (
            "x.a.b.home.test",
            Rtype::A,
            "NXDOMAIN aa AUTHORITY | a.b.home.test 30 SOA ns.a.b.home.test. hostmaster.a.b.home.test. 7 7200 900 1209600 30",
        ),
    ] {
        assert_eq!(ask(&zones, &Asked::new(name, rtype)), expected, "{name} {rtype}");
    }
}

#[test]
fn what_is_not_there_is_told_apart_by_name_and_by_type() {
    let zones = zones();
    for (name, rtype, rcode) in [
        ("four.home.test", Rtype::AAAA, "NOERROR"),
        ("six.home.test", Rtype::A, "NOERROR"),
        ("nas.home.test", Rtype::NS, "NOERROR"),
        ("nas.home.test", Rtype::HTTPS, "NOERROR"),
        ("home.test", Rtype::MX, "NOERROR"),
        ("ns.home.test", Rtype::AAAA, "NOERROR"),
        ("x.lan.home.test", Rtype::AAAA, "NOERROR"),
        ("x.lan.home.test", Rtype::TXT, "NOERROR"),
        // Empty names above others.
        ("lan.home.test", Rtype::A, "NOERROR"),
        ("one.two.lan.home.test", Rtype::A, "NOERROR"),
        ("two.lan.home.test", Rtype::ANY, "NOERROR"),
        ("b.home.test", Rtype::A, "NOERROR"),
        // Names that are there keep the wildcard away, from themselves and from below them.
        ("pc.lan.home.test", Rtype::A, "NOERROR"),
        ("x.pc.lan.home.test", Rtype::A, "NXDOMAIN"),
        ("x.two.lan.home.test", Rtype::A, "NXDOMAIN"),
        ("x.one.two.lan.home.test", Rtype::A, "NXDOMAIN"),
        ("x.home.test", Rtype::A, "NXDOMAIN"),
        ("x.home.test", Rtype::TXT, "NXDOMAIN"),
        ("x.nas.home.test", Rtype::A, "NXDOMAIN"),
        ("x.b.home.test", Rtype::A, "NXDOMAIN"),
        ("x.ns.home.test", Rtype::A, "NXDOMAIN"),
    ] {
        assert_eq!(ask(&zones, &Asked::new(name, rtype)), format!("{rcode}{NOTHING}"), "{name} {rtype}");
    }
}

#[test]
fn what_is_not_ours_or_not_offered_is_refused_with_the_question_alone() {
    let zones = zones();
    let chaos = |name| Asked { class: Class::CH, ..Asked::new(name, Rtype::TXT) };
    for (asked, rcode) in [
        (Asked::new("www.example.com", Rtype::A), "REFUSED"),
        (Asked::new("test", Rtype::SOA), "REFUSED"),
        (Asked::new(".", Rtype::NS), "REFUSED"),
        (Asked::new("myhome.test", Rtype::A), "REFUSED"),
        (chaos("version.bind"), "REFUSED"),
        (chaos("nas.home.test"), "REFUSED"),
        (Asked { class: Class::ANY, ..Asked::new("nas.home.test", Rtype::A) }, "REFUSED"),
        (Asked::new("home.test", Rtype::AXFR), "REFUSED"),
        (Asked::new("home.test", Rtype::IXFR), "REFUSED"),
        (Asked::new("home.test", Rtype::MAILB), "REFUSED"),
        (Asked::new("home.test", Rtype::OPT), "FORMERR"),
        (Asked::new("home.test", Rtype::TSIG), "FORMERR"),
    ] {
        let query = asked.octets();
        let reply = reply_to(&zones, &query, Transport::Udp).unwrap();
        assert_eq!(told(&reply), rcode, "{} {}", asked.name, asked.rtype);
        assert_eq!(reply.len(), query.len());
        assert_eq!(reply[12..], query[12..], "the question comes back as it was");
    }
}

#[test]
fn the_header_is_the_querys_with_our_flags() {
    let mut query = Asked::new("nas.home.test", Rtype::A).octets();
    for rd in [0, 1] {
        // Every other flag of the query is of no concern: AA, TC, RA, Z, AD, CD.
        query[2] = 0b0000_0110 | rd;
        query[3] = 0b1111_0000;
        let reply = reply_to(&zones(), &query, Transport::Udp).unwrap();
        assert_eq!(reply[..4], [0x12, 0x34, 0b1000_0100 | rd, 0]);
    }
}

#[test]
fn what_is_no_query_is_met_with_silence_and_what_is_a_bad_one_with_a_header() {
    let good = Asked::new("nas.home.test", Rtype::A).octets();
    let changed = |at: usize, to: u8| {
        let mut query = good.clone();
        query[at] = to;
        query
    };
    let with = |counts: [u8; 4], behind: &[u8]| {
        let mut query = [&good, behind].concat();
        for (count, at) in counts.iter().zip([5, 7, 9, 11]) {
            query[at] = *count;
        }
        query
    };
    let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let opt_twice = [opt, opt].concat();
    let opt_with_owner = [&[1, b'x'], &opt[..]].concat();
    let opt_with_half_an_option = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 2, 0, 3];
    let record = [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0];
    for (query, expected) in [
        (vec![], None),
        (good[..11].to_vec(), None),
        (changed(2, 0x80), None),
        (good[..12].to_vec(), Some("FORMERR")),
        (good[..good.len() - 1].to_vec(), Some("FORMERR")),
        (changed(5, 0), Some("FORMERR")),
        (changed(5, 2), Some("FORMERR")),
        (changed(12, 0x40), Some("FORMERR")),
        (changed(12, 0xc0), Some("FORMERR")),
        (with([1, 1, 0, 0], &record), Some("FORMERR")),
        (with([1, 0, 1, 0], &record), Some("FORMERR")),
        (with([1, 0, 0, 1], &[]), Some("FORMERR")),
        (with([1, 0, 0, 2], &opt_twice), Some("FORMERR")),
        (with([1, 0, 0, 3], &[opt_twice.as_slice(), &record].concat()), Some("FORMERR")),
        (with([1, 0, 0, 1], &opt_with_owner), Some("FORMERR")),
        (with([1, 0, 0, 1], &opt_with_half_an_option), Some("FORMERR")),
        (changed(2, 0x08), Some("NOTIMP")), // IQUERY
        (changed(2, 0x10), Some("NOTIMP")), // STATUS
        (changed(2, 0x20), Some("NOTIMP")), // NOTIFY
        (changed(2, 0x28), Some("NOTIMP")), // UPDATE
    ] {
        let reply = reply_to(&zones(), &query, Transport::Udp);
        assert_eq!(reply.as_deref().map(told).as_deref(), expected, "{query:?}");
        assert!(reply.is_none_or(|reply| reply.len() == 12));
    }
    // A signature that we do not ask for, and an octet too many, harm nothing.
    for query in [with([1, 0, 0, 2], &[&record, &opt[..]].concat()), with([1, 0, 0, 0], b"x")] {
        let reply = reply_to(&zones(), &query, Transport::Udp).unwrap();
        assert_eq!(told(&reply), "NOERROR aa | nas.home.test 60 A 192.0.2.1");
    }
}

#[test]
fn edns_is_answered_with_edns() {
    let zones = zones();
    for (name, version, rcode) in [
        ("nas.home.test", 0, OptRcode::NOERROR),
        ("x.home.test", 0, OptRcode::NXDOMAIN),
        ("example.com", 0, OptRcode::REFUSED),
        ("nas.home.test", 1, OptRcode::BADVERS),
        ("example.com", 255, OptRcode::BADVERS),
    ] {
        let asked = Asked { edns: Some((4096, version)), ..Asked::new(name, Rtype::A) };
        let reply = reply_to(&zones, &asked.octets(), Transport::Udp).unwrap();
        let message = Message::from_octets(reply.as_slice()).unwrap();
        let opt = message.opt().unwrap();
        assert_eq!(message.opt_rcode(), rcode, "{name} {version}");
        assert_eq!((opt.udp_payload_size(), opt.version(), opt.dnssec_ok()), (PAYLOAD, 0, true));
        assert_eq!(message.header().aa(), matches!(rcode, OptRcode::NOERROR | OptRcode::NXDOMAIN));
    }
    let plain = reply_to(&zones, &Asked::new("nas.home.test", Rtype::A).octets(), Transport::Udp).unwrap();
    assert!(Message::from_octets(plain.as_slice()).unwrap().opt().is_none());
}

/// A zone whose name servers have names as long as they come.
fn long_winded(count: u8) -> Zones {
    let nameserver = |index| {
        let label = |letter: char, length| letter.to_string().repeat(length);
        let first = char::from(b'a' + index);
        host(&format!("{}.{}.{}.{}.example", label(first, 63), label(first, 63), label(first, 63), label(first, 53)))
    };
    let nameservers = (0..count).map(nameserver).collect();
    Zones::new(vec![ZoneHead { nameservers, ..head("home.test") }])
}

#[test]
fn what_does_not_fit_is_cut_to_nothing_with_tc_and_whole_over_tcp() {
    // Each NS record takes 264 octets.
    for (count, edns, expected) in [
        (1, None, "NOERROR aa |"),
        (2, None, "NOERROR aa tc"),
        (2, Some(0), "NOERROR aa tc"),
        (2, Some(600), "NOERROR aa |"),
        (4, Some(1232), "NOERROR aa |"),
        (5, Some(1232), "NOERROR aa tc"),
        (5, Some(65_535), "NOERROR aa tc"),
        (20, Some(65_535), "NOERROR aa tc"),
    ] {
        let zones = long_winded(count);
        let asked = Asked { edns: edns.map(|payload| (payload, 0)), ..Asked::new("home.test", Rtype::NS) };
        let reply = reply_to(&zones, &asked.octets(), Transport::Udp).unwrap();
        assert!(told(&reply).starts_with(expected), "{count} {edns:?}: {}", told(&reply));
        assert!(reply.len() <= edns.map_or(512, |payload| usize::from(payload.clamp(512, 1232))));
        let counts =
            *Message::from_octets(reply.as_slice()).unwrap().header_counts().as_slice().first_chunk::<8>().unwrap();
        let answers = if expected.ends_with("tc") { 0 } else { count };
        assert_eq!(counts, [0, 1, 0, answers, 0, 0, 0, u8::from(edns.is_some())]);

        let whole = reply_to(&zones, &asked.octets(), Transport::Tcp).unwrap();
        assert_eq!(whole[6..8], [0, count.min(13)], "thirteen at the most");
        assert!(!told(&whole).contains("tc"));
    }
    // A negative answer whose SOA does not fit.
    let name: &str = &*format!("{}x.home.test", "a.".repeat(110)).leak();
    let zones = long_winded(1);
    assert_eq!(ask(&zones, &Asked::new(name, Rtype::A)).split(" |").next(), Some("NXDOMAIN aa tc"));
    let edns = Asked { edns: Some((1232, 0)), ..Asked::new(name, Rtype::A) };
    assert_eq!(ask(&zones, &edns).split(" |").next(), Some("NXDOMAIN aa AUTHORITY"));
}

/// The largest reply over UDP, in relation to its query, over all types: octets of reply and of query.
fn worst_ratio(zones: &Zones) -> (usize, usize) {
    let mut worst = (0, 1);
    let mut reply = ReplyBuffer::new();
    for name in ["home.test", "nas.home.test", "x.lan.home.test", "lan.home.test", "x.home.test", "example.com"] {
        for edns in [None, Some((65_535, 0))] {
            let mut query = Asked { edns, ..Asked::new(name, Rtype::A) }.octets();
            let at = 12 + name.len() + 2;
            // Types beyond the assigned ones are all alike; one name shows it.
            let last = if name == "home.test" && edns.is_none() { u16::MAX } else { 300 };
            for rtype in 0..=last {
                query[at..at + 2].copy_from_slice(&rtype.to_be_bytes());
                assert!(zones.answer(&query, Transport::Udp, &mut reply));
                let length = reply.message().len();
                assert!(length <= 512, "{name} {rtype}");
                if length * worst.1 > worst.0 * query.len() {
                    worst = (length, query.len());
                }
            }
        }
    }
    worst
}

#[test]
fn no_reply_is_much_larger_than_its_query() {
    // The worst is a SOA behind the shortest question; it does not grow with the number of hosts.
    assert_eq!(worst_ratio(&zones()), (77, 27));
    // With more name servers the worst is NS, here of two servers with two addresses each.
    let both = AddressSet { v4: Some(Ipv4Addr::LOCALHOST), v6: Some(Ipv6Addr::LOCALHOST) };
    let nameservers = vec![host("ns1.home.test"), host("ns2.home.test")];
    let two = Zones::new(vec![ZoneHead { nameservers, nameserver_addresses: both, ..head("home.test") }]);
    assert_eq!(worst_ratio(&two), (151, 27));
}

/// A small generator of numbers that look like chance and are the same every time (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
}

#[test]
fn garbage_is_answered_within_bounds_or_not_at_all() {
    let zones = zones();
    let mut dice = Dice(0x6e69_6367_6174_6521);
    let seeds: Vec<Vec<u8>> =
        [("nas.home.test", Rtype::A), ("home.test", Rtype::NS), ("x.y.lan.home.test", Rtype::ANY)]
            .into_iter()
            .flat_map(|(name, rtype)| {
                [None, Some((1232, 0))].map(|edns| Asked { edns, ..Asked::new(name, rtype) }.octets())
            })
            .collect();
    let (mut answered, mut parsed) = (0, 0);
    for round in 0..100_000 {
        let mut query = if round % 4 == 0 {
            (0..dice.roll(1300)).map(|_| dice.roll(256) as u8).collect()
        } else {
            seeds[dice.roll(seeds.len())].clone()
        };
        for _ in 0..dice.roll(4) {
            if query.is_empty() {
                break;
            }
            let at = dice.roll(query.len());
            match dice.roll(4) {
                0 => query[at] = dice.roll(256) as u8,
                1 => query[at] ^= 1 << dice.roll(8),
                2 => query.truncate(at),
                _ => query.insert(at, [0xc0, 0xff, 0, 1][dice.roll(4)]),
            }
        }
        for transport in [Transport::Udp, Transport::Tcp] {
            let Some(reply) = reply_to(&zones, &query, transport) else { continue };
            answered += 1;
            assert!(reply.len() <= 512 && reply.len() <= query.len() + 100, "{query:?}");
            assert_eq!(reply[..2], query[..2], "{query:?}");
            assert!(reply[2] & 0x80 != 0 && query[2] & 0x80 == 0, "{query:?}");
            parsed += usize::from(!told(&reply).starts_with("FORMERR"));
        }
    }
    assert!(answered > 100_000 && parsed > 50_000, "{answered} {parsed}: the garbage is too bad to prove anything");
}
