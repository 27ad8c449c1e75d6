//! The dyndns2 grammar: which endpoint a path names, what the parameters of a request say about addresses. There is
//! no RFC; what routers send was collected from them.
//!
//! Nothing here refuses a request as a whole, asks who speaks, or knows the peer: what was said comes out, what
//! could not be read comes out as such, and the gateway judges.

mod parameters;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) use self::parameters::MOST_PARAMETERS;
pub use self::parameters::Parameters;
use crate::address::{Prefix, unmapped};
use crate::hostname::{BadHostname, Hostname};

/// How many names of one request are looked at: one more than dyndns2 allows, so that too many can be seen.
pub const MOST_NAMES: usize = 21;

/// Every parameter that may hold addresses. Any of them takes either family: routers mix them up.
const ADDRESS_PARAMETERS: [&str; 10] =
    ["myip", "myipv4", "ip", "ipv4", "myipv6", "myip6", "ip6", "ipv6", "ip6addr", LAN_PREFIX];
/// The one that holds the prefix of the network behind the router.
const LAN_PREFIX: &str = "ip6lanprefix";

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/nic/update`, `/v3/update`, `/v2/update`, `/update`, `/nic/dyndns`: change addresses.
    Update,
    /// `/nic/delete`: take addresses away.
    Delete,
    /// `/nic/checkip`, `/nic/checkip.html`, `/checkip`: the peer's address in Dyn's HTML form.
    CheckIp,
    /// `/myip`, `/ip`, `/nic/ip`: the peer's address as bare text.
    MyIp,
}

impl Endpoint {
    /// The endpoint of a raw path, spelled in any of the ways routers do: doubled slashes, a stray backslash
    /// (UniFi needs `/\/nic/update`), either of them percent-encoded.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let mut segments = [""; 2];
        let mut count = 0;
        let mut rest = path;
        while !rest.is_empty() {
            let (segment, behind) = next_segment(rest);
            rest = behind;
            if segment.is_empty() {
                continue;
            }
            *segments.get_mut(count)? = segment;
            count += 1;
        }
        match segments {
            ["nic" | "v2" | "v3", "update"] | ["update", ""] | ["nic", "dyndns"] => Some(Self::Update),
            ["nic", "delete"] => Some(Self::Delete),
            ["nic", "checkip" | "checkip.html"] | ["checkip", ""] => Some(Self::CheckIp),
            ["myip" | "ip", ""] | ["nic", "ip"] => Some(Self::MyIp),
            _ => None,
        }
    }
}

/// The text before the next separator and what follows it.
fn next_segment(text: &str) -> (&str, &str) {
    for (index, byte) in text.bytes().enumerate() {
        let width = match byte {
            b'/' | b'\\' => 1,
            b'%' => match text.as_bytes().get(index + 1..index + 3) {
                Some([b'2', b'f' | b'F'] | [b'5', b'c' | b'C']) => 3,
                _ => continue,
            },
            _ => continue,
        };
        return (&text[..index], &text[index + width..]);
    }
    (text, "")
}

/// What a request wants, as far as it could be read.
#[derive(Debug)]
pub struct UpdateRequest<'a> {
    /// The names in request order, at most [`MOST_NAMES`] of them; more than 20 are too many.
    pub hosts: Vec<WantedName<'a>>,
    /// What was said about addresses.
    pub addresses: Result<Said, BadAddress>,
    /// Whether `offline=yes` asks for the addresses to be taken away.
    pub offline: bool,
}

/// One name of the list.
#[derive(Debug)]
pub struct WantedName<'a> {
    /// As it was written, blanks around it left out.
    pub written: &'a str,
    /// As it was understood.
    pub name: Result<Hostname, BadHostname>,
}

/// What a request says about addresses. A family that is not mentioned stays untouched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address; `/128` when it was said without a length.
    pub v6: Option<Prefix>,
    /// The network behind the router, its host bits zero: `ip6lanprefix`, or a bare prefix where an address could
    /// stand.
    pub lan: Option<Prefix>,
    /// Nothing at all was said: the peer's address is meant, for the family it came over. Never set beside an
    /// address, a prefix or a deliberate `no`.
    pub is_from_peer: bool,
}

/// What was said about addresses makes no sense: garbage, or two different addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no address, or two different ones of one family")
    }
}

impl std::error::Error for BadAddress {}

impl<'a> UpdateRequest<'a> {
    /// Reads the parameters; unknown ones never matter.
    #[must_use]
    pub fn read(parameters: &'a Parameters<'_>) -> Self {
        Self {
            hosts: names(parameters),
            addresses: addresses(parameters),
            offline: parameters.get("offline").is_some_and(|value| value.trim().eq_ignore_ascii_case("yes")),
        }
    }
}

/// The items of a comma list, blanks and empty ones left out.
fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn names<'a>(parameters: &'a Parameters<'_>) -> Vec<WantedName<'a>> {
    let hostname = parameters.get("hostname").unwrap_or_default();
    // dyndns1 sends the dummy `hostname=YES` and the name in `host_id`.
    let is_dummy = |text: &str| text.is_empty() || text.eq_ignore_ascii_case("yes");
    let list = match parameters.get("host_id") {
        Some(host_id) if is_dummy(hostname.trim()) => host_id,
        _ => hostname,
    };
    items(list).take(MOST_NAMES).map(|written| WantedName { written, name: Hostname::parse(written) }).collect()
}

fn addresses(parameters: &Parameters<'_>) -> Result<Said, BadAddress> {
    let mut said = Said::default();
    let mut is_declined = false;
    for name in ADDRESS_PARAMETERS {
        let Some(list) = parameters.get(name) else { continue };
        for item in items(list) {
            match Item::read(item, name == LAN_PREFIX)? {
                Item::Declined => is_declined = true,
                Item::Nothing => {}
                Item::V4(v4) => agree(&mut said.v4, v4)?,
                Item::V6(v6) => agree_v6(&mut said.v6, v6)?,
                Item::Lan(lan) => agree(&mut said.lan, lan)?,
            }
        }
    }
    said.is_from_peer = !is_declined && said == Said::default();
    Ok(said)
}

/// Saying the same twice is fine, saying two things is not.
fn agree<T: PartialEq + Copy>(slot: &mut Option<T>, said: T) -> Result<(), BadAddress> {
    match slot {
        Some(before) if *before != said => Err(BadAddress),
        _ => {
            *slot = Some(said);
            Ok(())
        }
    }
}

/// An address said once with and once without its length is one address; the length is kept.
fn agree_v6(slot: &mut Option<Prefix>, said: Prefix) -> Result<(), BadAddress> {
    match slot {
        Some(before) if before.address == said.address && said.length == 128 => Ok(()),
        Some(before) if before.address == said.address && before.length == 128 => {
            *before = said;
            Ok(())
        }
        _ => agree(slot, said),
    }
}

/// One item of an address list.
enum Item {
    /// `no`: this family is left out on purpose, and the peer's address is no substitute.
    Declined,
    /// As good as absent: a placeholder nobody filled in, or the unspecified address.
    Nothing,
    V4(Ipv4Addr),
    V6(Prefix),
    Lan(Prefix),
}

impl Item {
    fn read(text: &str, is_lan: bool) -> Result<Self, BadAddress> {
        if text.eq_ignore_ascii_case("no") {
            return Ok(Self::Declined);
        }
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let Ok(address) = address.parse() else {
            return if is_placeholder(text) { Ok(Self::Nothing) } else { Err(BadAddress) };
        };
        let most = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
        let length = length.map_or(Ok(most), |length| read_length(length, most))?;
        let address = unmapped(address);
        if address.is_unspecified() {
            return Ok(Self::Nothing);
        }
        match address {
            IpAddr::V4(v4) if length == most && !is_lan => Ok(Self::V4(v4)),
            IpAddr::V4(_) => Err(BadAddress),
            IpAddr::V6(_) if length == 0 || is_lan && length == 128 => Err(BadAddress),
            IpAddr::V6(address) => {
                let prefix = Prefix { address, length };
                if is_lan || length < 128 && prefix.is_bare() {
                    return Ok(Self::Lan(Prefix { address: prefix.join(Ipv6Addr::UNSPECIFIED), length }));
                }
                Ok(Self::V6(prefix))
            }
        }
    }
}

/// A decimal number of bits, up to `most`.
fn read_length(text: &str, most: u8) -> Result<u8, BadAddress> {
    let is_plain = text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if is_plain && length <= most => Ok(length),
        _ => Err(BadAddress),
    }
}

/// Whether a text has the shape of a variable that the client should have filled in: `<ipaddr>`, `%i`, `%IP%`,
/// `__MYIP__`, `[IP]`, `#{ip}`, `${ip}`, `{ip}`, `@IP@`. A word in brackets only: an address in them is none.
fn is_placeholder(text: &str) -> bool {
    const SHAPES: [(&str, &str); 11] = [
        ("<", ">"),
        ("__", "__"),
        ("[", "]"),
        ("#{", "}"),
        ("${", "}"),
        ("{{", "}}"),
        ("{", "}"),
        ("@", "@"),
        ("%", "%"),
        ("%", ""),
        ("$", ""),
    ];
    SHAPES.iter().any(|(open, close)| {
        let word = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        word.is_some_and(|word| {
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            word.starts_with(|first: char| first.is_ascii_alphabetic()) && word.bytes().all(is_word)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(query: &str) -> Result<Said, BadAddress> {
        UpdateRequest::read(&Parameters::read(Some(query), None)).addresses
    }

    fn v4(text: &str) -> Said {
        Said { v4: Some(text.parse().unwrap()), ..Said::default() }
    }

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix { address: address.parse().unwrap(), length }
    }

    fn v6(address: &str, length: u8) -> Said {
        Said { v6: Some(prefix(address, length)), ..Said::default() }
    }

    fn lan(address: &str, length: u8) -> Said {
        Said { lan: Some(prefix(address, length)), ..Said::default() }
    }

    const FROM_PEER: Said = Said { v4: None, v6: None, lan: None, is_from_peer: true };
    const NOTHING: Said = Said { v4: None, v6: None, lan: None, is_from_peer: false };

    fn names(query: &str) -> Vec<String> {
        let parameters = Parameters::read(Some(query), None);
        UpdateRequest::read(&parameters).hosts.iter().map(|host| host.written.to_owned()).collect()
    }

    /// An old ddclient appends its own path to the one it was given.
    #[test]
    fn a_second_question_mark_is_data() {
        let query = "ip=%i&hostname=%h/nic/update?system=dyndns&hostname=home.test&myip=203.0.113.7";
        assert_eq!(names(query), ["home.test"]);
        assert_eq!(said(query), Ok(v4("203.0.113.7")));
    }

    #[test]
    fn paths_are_known_in_every_spelling_routers_use() {
        for (path, endpoint) in [
            ("/nic/update", Some(Endpoint::Update)),
            ("//nic/update", Some(Endpoint::Update)),
            ("/\\/nic/update", Some(Endpoint::Update)),
            ("/%5C/nic/update", Some(Endpoint::Update)),
            ("/%5c/nic%2Fupdate/", Some(Endpoint::Update)),
            ("nic/update", Some(Endpoint::Update)),
            ("/v3/update", Some(Endpoint::Update)),
            ("/v2/update", Some(Endpoint::Update)),
            ("/update", Some(Endpoint::Update)),
            ("/nic/dyndns", Some(Endpoint::Update)),
            ("/nic/delete", Some(Endpoint::Delete)),
            ("/nic/checkip", Some(Endpoint::CheckIp)),
            ("/nic/checkip.html", Some(Endpoint::CheckIp)),
            ("/checkip", Some(Endpoint::CheckIp)),
            ("/myip", Some(Endpoint::MyIp)),
            ("/ip", Some(Endpoint::MyIp)),
            ("/nic/ip", Some(Endpoint::MyIp)),
            ("", None),
            ("/", None),
            ("/nic", None),
            ("/delete", None),
            ("/v2/delete", None),
            ("/NIC/update", None),
            ("/nic/update/x", None),
            ("/nic/../update", None),
            ("/nic/%75pdate", None),
            ("/nic%5", None),
            ("/nic/update%ü", None),
        ] {
            assert_eq!(Endpoint::of_path(path), endpoint, "{path}");
        }
    }

    #[test]
    fn names_are_a_comma_list() {
        assert_eq!(names("hostname=a.home.test,b.home.test"), ["a.home.test", "b.home.test"]);
        assert_eq!(names("hostname=+a.home.test%2C+,,B.home.test.,"), ["a.home.test", "B.home.test."]);
        assert_eq!(names("hostname="), [""; 0]);
        assert_eq!(names("myip=1.2.3.4"), [""; 0]);
        let parameters = Parameters::read(Some("hostname=Home.Test.,x"), None);
        let hosts = UpdateRequest::read(&parameters).hosts;
        assert_eq!(hosts[0].name.as_ref().unwrap().as_str(), "home.test");
        assert_eq!(hosts[1].name, Err(BadHostname::NotFull));
    }

    #[test]
    fn too_many_names_are_seen_and_not_read() {
        assert_eq!(names(&format!("hostname={}", "a.test,".repeat(20))).len(), 20);
        assert_eq!(names(&format!("hostname={}", "a.test,".repeat(500))).len(), MOST_NAMES);
    }

    #[test]
    fn the_old_dummy_name_points_to_host_id() {
        assert_eq!(names("hostname=YES&host_id=home.test"), ["home.test"]);
        assert_eq!(names("host_id=home.test"), ["home.test"]);
        assert_eq!(names("hostname=a.test&host_id=b.test"), ["a.test"]);
        assert_eq!(names("hostname=YES"), ["YES"]);
    }

    #[test]
    fn offline_acts_only_when_it_says_yes() {
        for (query, offline) in [
            ("offline=YES", true),
            ("offline=yes", true),
            ("offline=NO", false),
            ("offline=", false),
            ("offline=1", false),
            ("", false),
        ] {
            assert_eq!(UpdateRequest::read(&Parameters::read(Some(query), None)).offline, offline, "{query}");
        }
    }

    #[test]
    fn addresses_come_in_any_parameter_and_order() {
        let both = Said { v4: v4("203.0.113.7").v4, ..v6("2001:db8::1", 128) };
        for query in [
            "myip=203.0.113.7,2001:db8::1",
            "myip=2001:DB8::1,203.0.113.7",
            "myip=2001%3adb8%3a%3a1%2C+203.0.113.7",
            "myipv6=203.0.113.7&myip=2001:db8::1",
            "myipv4=203.0.113.7&myip6=2001:db8:0::1",
            "ip=::ffff:203.0.113.7&ip6=2001:db8::1",
            "ipv4=203.0.113.7/32&ipv6=2001:db8::1/128",
            "myip=203.0.113.7&myip=,&ip6addr=2001:db8::1&ip=203.0.113.7&IPv4=203.0.113.7,203.0.113.7",
        ] {
            assert_eq!(said(query), Ok(both), "{query}");
        }
    }

    #[test]
    fn a_length_makes_a_prefix_and_zero_host_bits_a_network() {
        for (query, expected) in [
            ("myipv6=2001:db8::1/64", v6("2001:db8::1", 64)),
            ("myipv6=2001:db8::1/64&myip=2001:db8::1", v6("2001:db8::1", 64)),
            ("myip=2001:db8::1&myipv6=2001:db8::1/64", v6("2001:db8::1", 64)),
            ("myip=2001:db8:1:5600::/59", lan("2001:db8:1:5600::", 59)),
            ("ip6lanprefix=2001:db8:1:5600::/59", lan("2001:db8:1:5600::", 59)),
            ("ip6lanprefix=2001:db8:1:5600::1/64", lan("2001:db8:1:5600::", 64)),
            ("myip=2001:db8::/64&ip6lanprefix=2001:db8::/64", lan("2001:db8::", 64)),
            ("myip=2001:db8::", v6("2001:db8::", 128)),
        ] {
            assert_eq!(said(query), Ok(expected), "{query}");
        }
        let all = "myip=203.0.113.7&myipv6=2001:db8::1&ip6lanprefix=2001:db8:1::/56";
        let expected = Said { v4: v4("203.0.113.7").v4, lan: lan("2001:db8:1::", 56).lan, ..v6("2001:db8::1", 128) };
        assert_eq!(said(all), Ok(expected));
    }

    #[test]
    fn what_nobody_filled_in_is_as_good_as_absent() {
        for value in [
            "",
            ",",
            "+",
            "0.0.0.0",
            "::",
            "0.0.0.0/0",
            "0.0.0.0/32",
            "::/0",
            "::/64",
            "::ffff:0.0.0.0",
            "0.0.0.0,::",
            "<ipaddr>",
            "%3Cip6addr%3E",
            "<ipaddr>,<ip6addr>",
            "%i",
            "%IP%",
            "__MYIP__",
            "[IP]",
            "#{ip}",
            "#{ipv4Addr}",
            "${ip}",
            "{ip}",
            "{{ip}}",
            "@IP@",
            "$ip",
            "%myip",
            "<preserve>",
        ] {
            for name in ["myip", "ipv6", "ip6lanprefix"] {
                assert_eq!(said(&format!("{name}={value}")), Ok(FROM_PEER), "{name}={value}");
            }
            let beside = format!("ip6lanprefix={value}&myip=203.0.113.7,{value}");
            assert_eq!(said(&beside), Ok(v4("203.0.113.7")), "{beside}");
        }
        assert_eq!(said("hostname=home.test"), Ok(FROM_PEER));
    }

    #[test]
    fn no_means_that_the_peer_is_not_asked_either() {
        assert_eq!(said("myip=no&myipv6="), Ok(NOTHING));
        assert_eq!(said("myip=NO&myipv6=2001:db8::1"), Ok(v6("2001:db8::1", 128)));
        assert_eq!(said("myip=203.0.113.7&myipv6=no"), Ok(v4("203.0.113.7")));
    }

    #[test]
    fn garbage_and_contradictions_are_bad() {
        for query in [
            "myip=203.0.113.7,203.0.113.8",
            "myip=203.0.113.7&ip=203.0.113.8",
            "myip=2001:db8::1&myipv6=2001:db8::2",
            "myip=2001:db8::1/64&myipv6=2001:db8::1/56",
            "myip=2001:db8:1::/64&ip6lanprefix=2001:db8:2::/64",
            "myip=2001:db8::/647656:3cff:fe47:1",
            "ip6lanprefix=2001:db8::/64%2B1",
            "ip6lanprefix=2001:db8::",
            "ip6lanprefix=2001:db8::1/128",
            "ip6lanprefix=203.0.113.7",
            "ip6lanprefix=203.0.113.0/24",
            "myip=203.0.113.7/24",
            "myip=203.0.113.7/33",
            "myip=::ffff:203.0.113.7/32",
            "myip=2001:db8::1/129",
            "myip=2001:db8::1/0",
            "myip=2001:db8::1/",
            "myip=2001:db8::1/%2B64",
            "myip=2001:db8::1/64/64",
            "myip=[2001:db8::1]",
            "myip=fe80::1%25eth0",
            "myip=203.0.113",
            "myip=203.0.113.007",
            "myip=0x7f.1",
            "myip=auto",
            "myip=203.0.113.7;reboot",
            "myip=$(reboot)",
            "myip=<script>alert(1)</script>",
            "myip=203.0.113.7,junk",
            "myip=%ff",
        ] {
            assert_eq!(said(query), Err(BadAddress), "{query}");
        }
    }
}
