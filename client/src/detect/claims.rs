//! What a claim to be our public address may look like: ranges that nobody outside reaches us at, each with a
//! sentence for people. Pure; which kinds are let through all the same is for the caller to say.
//!
//! An answer from outside can be honest and yet of no use: behind carrier NAT or a VPN it is the address of a
//! machine that many share. Ranges are listed only where a registry or their owner names them.

use std::net::{IpAddr, Ipv6Addr};

use nicgate_protocol::address::unmapped;

/// What stands against an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The kind.
    pub kind: Kind,
    /// For people, as it follows "192.0.2.1 is".
    pub sentence: &'static str,
}

/// The kinds of objections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Shared by many customers of one provider (RFC 6598).
    CarrierNat,
    /// The servers of a content delivery network.
    Cdn,
    /// Nobody's address: loopback, link-local, multicast, documentation, reserved.
    NotAnAddress,
    /// Of use inside a network alone (RFC 1918, RFC 4193).
    Private,
    /// A well-known public resolver.
    Resolver,
    /// Made by a translator or a tunnel between the families.
    Translated,
    /// Where a VPN comes out.
    Vpn,
}

/// What stands against publishing an address that somebody outside saw; `None` when nothing does.
#[must_use]
pub fn objection(address: IpAddr) -> Option<Objection> {
    let (ranges, bits, otherwise) = match unmapped(address) {
        IpAddr::V4(v4) => (&V4[..], u128::from(v4.to_bits()) << 96, None),
        IpAddr::V6(v6) => (&V6[..], v6.to_bits(), (v6.segments()[0] >> 13 != 1).then_some(UNASSIGNED)),
    };
    let holds = |range: &&Range| (range.network ^ bits).leading_zeros() >= range.length;
    ranges.iter().find(holds).map(|range| range.objection).or(otherwise)
}

/// A range and what stands against it.
struct Range {
    /// The network's bits, left-aligned for both families.
    network: u128,
    /// How many of them count.
    length: u32,
    objection: Objection,
}

const fn v4(octets: [u8; 4], length: u32, kind: Kind, sentence: &'static str) -> Range {
    Range { network: (u32::from_be_bytes(octets) as u128) << 96, length, objection: Objection { kind, sentence } }
}

const fn v6(segments: [u16; 8], length: u32, kind: Kind, sentence: &'static str) -> Range {
    let [a, b, c, d, e, f, g, h] = segments;
    let network = Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits();
    Range { network, length, objection: Objection { kind, sentence } }
}

const PRIVATE: &str = "private: your router stands behind another router";
const CARRIER: &str =
    "carrier-grade NAT: your provider shares one public address among many; nobody can reach you at it";
const DS_LITE: &str =
    "of a line that carries IPv4 inside IPv6 (DS-Lite): your provider shares one public address among many";
const LOCAL: &str = "an address of this machine or this cable alone";
const NO_HOST: &str = "never the address of a host";
const RESERVED: &str = "reserved: nobody on the Internet has it";
const DOCUMENTATION: &str = "an address for examples in documentation";
const RESOLVER: &str = "a public name server: something on the way answered with the address that was asked";
const CLOUDFLARE: &str = "Cloudflare's: a proxy was seen, not you";
const WARP: &str = "where Cloudflare WARP comes out: a VPN was seen, not you";
const TRANSLATED: &str = "made by a translator between IPv6 and IPv4 (NAT64)";
const TEREDO: &str = "a Teredo tunnel's: it ends when the tunnel does";
const SIX_TO_FOUR: &str = "a 6to4 tunnel's, which the Internet has given up";

/// Everything outside 2000::/3 that no row names.
const UNASSIGNED: Objection = Objection { kind: Kind::NotAnAddress, sentence: RESERVED };

/// The first range that holds an address speaks: single hosts before the networks around them.
///
/// - Special-purpose ranges: IANA's IPv4 registry (RFC 6890).
/// - Cloudflare's edge: `cloudflare.com/ips-v4`, as it stood on 2026-10-14.
/// - WARP: `cloudflare.com/ips` lost 104.28.0.0/14 on 2021-05-07, and Cloudflare announced then that it was to carry
///   Gateway and WARP. No list of these is published.
static V4: [Range; 44] = [
    v4([1, 1, 1, 1], 32, Kind::Resolver, RESOLVER),
    v4([1, 0, 0, 1], 32, Kind::Resolver, RESOLVER),
    v4([8, 8, 8, 8], 32, Kind::Resolver, RESOLVER),
    v4([8, 8, 4, 4], 32, Kind::Resolver, RESOLVER),
    v4([9, 9, 9, 9], 32, Kind::Resolver, RESOLVER),
    v4([149, 112, 112, 112], 32, Kind::Resolver, RESOLVER),
    v4([208, 67, 222, 222], 32, Kind::Resolver, RESOLVER),
    v4([208, 67, 220, 220], 32, Kind::Resolver, RESOLVER),
    v4([10, 0, 0, 0], 8, Kind::Private, PRIVATE),
    v4([172, 16, 0, 0], 12, Kind::Private, PRIVATE),
    v4([192, 168, 0, 0], 16, Kind::Private, PRIVATE),
    v4([100, 64, 0, 0], 10, Kind::CarrierNat, CARRIER),
    v4([192, 0, 0, 0], 29, Kind::CarrierNat, DS_LITE),
    v4([0, 0, 0, 0], 8, Kind::NotAnAddress, NO_HOST),
    v4([127, 0, 0, 0], 8, Kind::NotAnAddress, LOCAL),
    v4([169, 254, 0, 0], 16, Kind::NotAnAddress, LOCAL),
    v4([224, 0, 0, 0], 4, Kind::NotAnAddress, NO_HOST),
    v4([255, 255, 255, 255], 32, Kind::NotAnAddress, NO_HOST),
    v4([240, 0, 0, 0], 4, Kind::NotAnAddress, RESERVED),
    v4([192, 0, 0, 0], 24, Kind::NotAnAddress, RESERVED),
    v4([192, 31, 196, 0], 24, Kind::NotAnAddress, RESERVED),
    v4([192, 52, 193, 0], 24, Kind::NotAnAddress, RESERVED),
    v4([192, 88, 99, 0], 24, Kind::NotAnAddress, RESERVED),
    v4([192, 175, 48, 0], 24, Kind::NotAnAddress, RESERVED),
    v4([198, 18, 0, 0], 15, Kind::NotAnAddress, RESERVED),
    v4([192, 0, 2, 0], 24, Kind::NotAnAddress, DOCUMENTATION),
    v4([198, 51, 100, 0], 24, Kind::NotAnAddress, DOCUMENTATION),
    v4([203, 0, 113, 0], 24, Kind::NotAnAddress, DOCUMENTATION),
    v4([104, 28, 0, 0], 14, Kind::Vpn, WARP),
    v4([103, 21, 244, 0], 22, Kind::Cdn, CLOUDFLARE),
    v4([103, 22, 200, 0], 22, Kind::Cdn, CLOUDFLARE),
    v4([103, 31, 4, 0], 22, Kind::Cdn, CLOUDFLARE),
    v4([104, 16, 0, 0], 13, Kind::Cdn, CLOUDFLARE),
    v4([104, 24, 0, 0], 14, Kind::Cdn, CLOUDFLARE),
    v4([108, 162, 192, 0], 18, Kind::Cdn, CLOUDFLARE),
    v4([131, 0, 72, 0], 22, Kind::Cdn, CLOUDFLARE),
    v4([141, 101, 64, 0], 18, Kind::Cdn, CLOUDFLARE),
    v4([162, 158, 0, 0], 15, Kind::Cdn, CLOUDFLARE),
    v4([172, 64, 0, 0], 13, Kind::Cdn, CLOUDFLARE),
    v4([173, 245, 48, 0], 20, Kind::Cdn, CLOUDFLARE),
    v4([188, 114, 96, 0], 20, Kind::Cdn, CLOUDFLARE),
    v4([190, 93, 240, 0], 20, Kind::Cdn, CLOUDFLARE),
    v4([197, 234, 240, 0], 22, Kind::Cdn, CLOUDFLARE),
    v4([198, 41, 128, 0], 17, Kind::Cdn, CLOUDFLARE),
];

/// As [`V4`]: IANA's IPv6 registry; `cloudflare.com/ips-v6` of 2026-10-14; WARP as RIPE registers it, under the name
/// CLOUDFLAREWARP.
static V6: [Range; 28] = [
    v6([0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111], 128, Kind::Resolver, RESOLVER),
    v6([0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1001], 128, Kind::Resolver, RESOLVER),
    v6([0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888], 128, Kind::Resolver, RESOLVER),
    v6([0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8844], 128, Kind::Resolver, RESOLVER),
    v6([0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe], 128, Kind::Resolver, RESOLVER),
    v6([0x2620, 0xfe, 0, 0, 0, 0, 0, 0x9], 128, Kind::Resolver, RESOLVER),
    v6([0x2620, 0x119, 0x35, 0, 0, 0, 0, 0x35], 128, Kind::Resolver, RESOLVER),
    v6([0x2620, 0x119, 0x53, 0, 0, 0, 0, 0x53], 128, Kind::Resolver, RESOLVER),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Kind::Private, "unique local: of use inside your network alone"),
    v6([0, 0, 0, 0, 0, 0, 0, 0x1], 128, Kind::NotAnAddress, LOCAL),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Kind::NotAnAddress, LOCAL),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, Kind::NotAnAddress, NO_HOST),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Kind::NotAnAddress, NO_HOST),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Kind::Translated, TRANSLATED),
    v6([0x64, 0xff9b, 0x1, 0, 0, 0, 0, 0], 48, Kind::Translated, TRANSLATED),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Kind::Translated, TEREDO),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Kind::Translated, SIX_TO_FOUR),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Kind::NotAnAddress, DOCUMENTATION),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Kind::NotAnAddress, DOCUMENTATION),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Kind::NotAnAddress, RESERVED),
    v6([0x2a09, 0xbac0, 0, 0, 0, 0, 0, 0], 29, Kind::Vpn, WARP),
    v6([0x2400, 0xcb00, 0, 0, 0, 0, 0, 0], 32, Kind::Cdn, CLOUDFLARE),
    v6([0x2405, 0x8100, 0, 0, 0, 0, 0, 0], 32, Kind::Cdn, CLOUDFLARE),
    v6([0x2405, 0xb500, 0, 0, 0, 0, 0, 0], 32, Kind::Cdn, CLOUDFLARE),
    v6([0x2606, 0x4700, 0, 0, 0, 0, 0, 0], 32, Kind::Cdn, CLOUDFLARE),
    v6([0x2803, 0xf800, 0, 0, 0, 0, 0, 0], 32, Kind::Cdn, CLOUDFLARE),
    v6([0x2a06, 0x98c0, 0, 0, 0, 0, 0, 0], 29, Kind::Cdn, CLOUDFLARE),
    v6([0x2c0f, 0xf248, 0, 0, 0, 0, 0, 0], 32, Kind::Cdn, CLOUDFLARE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_known_up_to_its_edges() {
        use Kind::{CarrierNat, Cdn, NotAnAddress, Private, Resolver, Translated, Vpn};
        for (first, last, kind) in [
            ("0.0.0.0", "0.255.255.255", NotAnAddress),
            ("10.0.0.0", "10.255.255.255", Private),
            ("100.64.0.0", "100.127.255.255", CarrierNat),
            ("103.21.244.0", "103.21.247.255", Cdn),
            ("104.16.0.0", "104.27.255.255", Cdn),
            ("104.28.0.0", "104.31.255.255", Vpn),
            ("127.0.0.0", "127.255.255.255", NotAnAddress),
            ("162.158.0.0", "162.159.255.255", Cdn),
            ("169.254.0.0", "169.254.255.255", NotAnAddress),
            ("172.16.0.0", "172.31.255.255", Private),
            ("172.64.0.0", "172.71.255.255", Cdn),
            ("192.0.0.0", "192.0.0.7", CarrierNat),
            ("192.0.0.8", "192.0.0.255", NotAnAddress),
            ("192.0.2.0", "192.0.2.255", NotAnAddress),
            ("192.168.0.0", "192.168.255.255", Private),
            ("198.18.0.0", "198.19.255.255", NotAnAddress),
            ("198.41.128.0", "198.41.255.255", Cdn),
            ("224.0.0.0", "239.255.255.255", NotAnAddress),
            ("240.0.0.0", "255.255.255.255", NotAnAddress),
            ("8.8.8.8", "8.8.8.8", Resolver),
            ("1.1.1.1", "1.1.1.1", Resolver),
            ("208.67.222.222", "208.67.222.222", Resolver),
            ("::", "::1", NotAnAddress),
            ("::ffff:10.0.0.0", "::ffff:10.255.255.255", Private),
            ("64:ff9b::", "64:ff9b::ffff:ffff", Translated),
            ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", Translated),
            ("2001:1::", "2001:1ff:ffff::", NotAnAddress),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", NotAnAddress),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Translated),
            ("2606:4700::", "2606:4700:ffff:ffff:ffff:ffff:ffff:ffff", Cdn),
            ("2606:4700:4700::1111", "2606:4700:4700::1111", Resolver),
            ("2620:fe::fe", "2620:fe::fe", Resolver),
            ("2a06:98c0::", "2a06:98c7:ffff:ffff:ffff:ffff:ffff:ffff", Cdn),
            ("2a09:bac0::", "2a09:bac7:ffff:ffff:ffff:ffff:ffff:ffff", Vpn),
            ("4000::", "5fff::", NotAnAddress),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Private),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NotAnAddress),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NotAnAddress),
        ] {
            for address in [first, last] {
                let found = objection(address.parse().unwrap());
                assert_eq!(found.map(|objection| objection.kind), Some(kind), "{address}: {found:?}");
            }
        }
    }

    #[test]
    fn addresses_beside_the_ranges_are_let_through() {
        for address in [
            "1.0.0.2",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "103.21.243.255",
            "103.21.248.0",
            "104.15.255.255",
            "104.32.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "172.63.255.255",
            "172.72.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "198.41.127.255",
            "223.255.255.255",
            "8.8.8.9",
            "::ffff:11.0.0.0",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::1",
            "2003::1",
            "2606:4701::1",
            "2a09:bac8::1",
            "2a09:babf::1",
            "3ffe::1",
        ] {
            assert_eq!(objection(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn rows_are_networks_and_none_hides_behind_an_earlier_one() {
        for ranges in [&V4[..], &V6[..]] {
            for (index, range) in ranges.iter().enumerate() {
                assert_eq!(range.network & u128::MAX.checked_shr(range.length).unwrap_or(0), 0, "row {index}");
                let hides = |earlier: &Range| {
                    earlier.length <= range.length
                        && (earlier.network ^ range.network).leading_zeros() >= earlier.length
                };
                assert!(!ranges[..index].iter().any(hides), "row {index}");
            }
        }
    }
}
