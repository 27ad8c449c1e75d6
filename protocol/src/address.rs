//! Addresses: one of each family at the most, in which ranges they lie, and IPv6 prefixes with interface ids.
//!
//! Which ranges a zone takes is the gateway's policy, not decided here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One of the two address families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, record type A.
    V4,
    /// IPv6, record type AAAA.
    V6,
}

impl Family {
    /// Both, IPv4 first: the order of every list that this project prints.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address; an IPv4-mapped IPv6 address is not unwrapped.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// `A` or `AAAA`.
    #[must_use]
    pub fn record_type(self) -> &'static str {
        match self {
            Self::V4 => "A",
            Self::V6 => "AAAA",
        }
    }
}

/// The addresses of one host: none or one of each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddressSet {
    /// The A record.
    pub v4: Option<Ipv4Addr>,
    /// The AAAA record.
    pub v6: Option<Ipv6Addr>,
}

impl AddressSet {
    /// No address at all.
    pub const EMPTY: Self = Self { v4: None, v6: None };

    /// The address of one family.
    #[must_use]
    pub fn of(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    /// The addresses, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        Family::BOTH.into_iter().filter_map(|family| self.of(family))
    }
}

impl From<IpAddr> for AddressSet {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { v4: Some(v4), v6: None },
            IpAddr::V6(v6) => Self { v4: None, v6: Some(v6) },
        }
    }
}

/// Comma-joined, IPv4 first: `203.0.113.7,2001:db8::1` (RFC 5952 text). Nothing when empty.
impl fmt::Display for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(v4) = self.v4 {
            write_v4(f, v4)?;
        }
        match (self.v4, self.v6) {
            (Some(_), Some(v6)) => write!(f, ",{v6}"),
            (None, Some(v6)) => v6.fmt(f),
            (_, None) => Ok(()),
        }
    }
}

/// As the standard library prints it, without its formatting machinery: every update prints three of them.
fn write_v4(f: &mut fmt::Formatter<'_>, v4: Ipv4Addr) -> fmt::Result {
    let mut text = [b'.'; "255.255.255.255".len()];
    let mut end = 0;
    for (index, octet) in v4.octets().into_iter().enumerate() {
        // Past the dot that stands there already.
        end += usize::from(index > 0);
        for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
            if octet >= least {
                text[end] = b'0' + digit;
                end += 1;
            }
        }
    }
    f.write_str(std::str::from_utf8(&text[..end]).unwrap_or_default())
}

/// `::ffff:a.b.c.d` as the IPv4 address that it is; everything else unchanged.
#[must_use]
pub fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Where an address may be of use (IANA special-purpose registries, RFC 6890).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Globally routable unicast.
    Public,
    /// RFC 1918, carrier NAT (RFC 6598) and unique local (RFC 4193): of use inside a network.
    Private,
    /// Loopback, link-local, documentation, benchmarking and other special ranges: laboratories only.
    Special,
    /// Unspecified, multicast, broadcast: never the address of a host.
    Never,
}

impl Scope {
    /// The scope of an address; an IPv4-mapped address counts as the one inside.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match unmapped(address) {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let octets = address.octets();
        match octets {
            [0, 0, 0, 0] | [224..=239, ..] | [255, 255, 255, 255] => Self::Never,
            [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Self::Private,
            [0 | 127 | 240..=255, ..]
            | [169, 254, ..]
            | [192, 0, 0 | 2, _]
            | [192, 31, 196, _]
            | [192, 52, 193, _]
            | [192, 88, 99, _]
            | [192, 175, 48, _]
            | [198, 18..=19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _] => Self::Special,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let segments = address.segments();
        match segments {
            [0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..] => Self::Never,
            [0xfc00..=0xfdff, ..] => Self::Private,
            // IETF protocol assignments, benchmarking, ORCHID, documentation, 6to4.
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => Self::Special,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Special,
        }
    }
}

/// An IPv6 network: address and length, host bits kept as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The address as written, host bits included.
    pub address: Ipv6Addr,
    /// How many bits belong to the network, 1 to 128.
    pub length: u8,
}

impl Prefix {
    fn mask(self) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0)
    }

    /// Whether no bit beyond the length is set: a network, not a host in it.
    #[must_use]
    pub fn is_bare(self) -> bool {
        self.address.to_bits() & !self.mask() == 0
    }

    /// The network bits of this prefix with the host bits of `interface_id`.
    #[must_use]
    pub fn join(self, interface_id: Ipv6Addr) -> Ipv6Addr {
        let mask = self.mask();
        Ipv6Addr::from_bits(self.address.to_bits() & mask | interface_id.to_bits() & !mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_everybody_prints_them() {
        for octet in 0..=255 {
            let v4 = Ipv4Addr::new(octet, 0, 255 - octet, octet);
            assert_eq!(AddressSet { v4: Some(v4), v6: None }.to_string(), v4.to_string());
        }
        let v6 = Some(Ipv6Addr::LOCALHOST);
        assert_eq!(AddressSet { v4: Some(Ipv4Addr::LOCALHOST), v6 }.to_string(), "127.0.0.1,::1");
        assert_eq!(AddressSet { v4: None, v6 }.to_string(), "::1");
    }

    #[test]
    fn ranges_are_told_apart() {
        for (text, scope) in [
            ("8.8.8.8", Scope::Public),
            ("1.1.1.1", Scope::Public),
            ("2a01:4f8::1", Scope::Public),
            ("10.1.2.3", Scope::Private),
            ("172.31.0.1", Scope::Private),
            ("172.32.0.1", Scope::Public),
            ("100.64.0.1", Scope::Private),
            ("100.128.0.1", Scope::Public),
            ("fd00::1", Scope::Private),
            ("127.0.0.1", Scope::Special),
            ("169.254.1.1", Scope::Special),
            ("192.0.2.1", Scope::Special),
            ("198.18.0.1", Scope::Special),
            ("203.0.113.7", Scope::Special),
            ("::1", Scope::Special),
            ("fe80::1", Scope::Special),
            ("2001:db8::1", Scope::Special),
            ("2002:c000:204::1", Scope::Special),
            ("64:ff9b::1", Scope::Special),
            ("::ffff:8.8.8.8", Scope::Public),
            ("::ffff:10.0.0.1", Scope::Private),
            ("0.0.0.0", Scope::Never),
            ("::", Scope::Never),
            ("224.0.0.1", Scope::Never),
            ("255.255.255.255", Scope::Never),
            ("ff02::1", Scope::Never),
        ] {
            assert_eq!(Scope::of(text.parse().unwrap()), scope, "{text}");
        }
    }

    #[test]
    fn a_prefix_and_an_interface_id_make_an_address() {
        let prefix = Prefix { address: "2001:db8:1:5600::".parse().unwrap(), length: 59 };
        assert!(prefix.is_bare());
        let joined = prefix.join("::1:211:32ff:fe12:3456".parse().unwrap());
        assert_eq!(joined, "2001:db8:1:5601:211:32ff:fe12:3456".parse::<Ipv6Addr>().unwrap());
        let whole = Prefix { address: "2001:db8::1".parse().unwrap(), length: 128 };
        assert_eq!(whole.join("::7".parse().unwrap()), whole.address);
    }

    #[test]
    fn addresses_print_ipv4_first() {
        let set = AddressSet { v4: Some(Ipv4Addr::new(192, 0, 2, 1)), v6: Some("2001:DB8::1".parse().unwrap()) };
        assert_eq!(set.to_string(), "192.0.2.1,2001:db8::1");
        assert_eq!(AddressSet::EMPTY.to_string(), "");
    }
}
