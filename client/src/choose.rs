//! What to send, and why: found addresses and rules in, one verdict for each address out. Pure.
//!
//! The rule. A family has sources in an order of preference; the first that gives an address without an objection
//! gives the one to send. Objections are: not of a host at all; on an interface: down, a VPN's, temporary, deprecated,
//! tentative, private, link-local; from anybody but the gateway: whatever [`claims`]
//! recognizes (carrier NAT, a resolver's, a VPN's or proxy network's address); through a VPN: any. `allow_…` lifts
//! them one by one. Among several addresses of one source the order is: public, already published, on the way out,
//! known to last.
//!
//! What the gateway sees and what the file names is sent as it is: which ranges a zone takes is the gateway's to
//! judge. Whether anything has to be sent at all is decided in `schedule`.

use std::cmp::Reverse;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use nicgate_protocol::address::unmapped;
use nicgate_protocol::{Family, Scope};

use crate::detect::claims::{self, Objection};
use crate::settings::source::fits;
use crate::settings::{Allow, Source, Which};

/// An address and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The address, IPv4-mapped ones unwrapped.
    pub address: IpAddr,
    /// Who told us.
    pub origin: Origin,
}

/// Where an address was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command printed it.
    Command,
    /// Written in the configuration file.
    Config,
    /// A DNS server was asked.
    Dns(Heard),
    /// A public service sees us come from there.
    Echo(Heard),
    /// A gateway sees us come from there.
    Gateway(Heard),
    /// On a network interface.
    Interface(Standing),
    /// The home router says so; by this protocol.
    Router(&'static str),
    /// A STUN server sees us come from there.
    Stun(Heard),
}

/// Somebody outside was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Who.
    pub from: String,
    /// The VPN through which the question went, if it did: the answer is then the VPN's address.
    pub vpn: Option<String>,
    /// What the system notes about the address seen, where it is one of this machine's own.
    pub marks: Option<Marks>,
}

/// How an address stands on its interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The interface's name.
    pub name: String,
    /// Its hardware address, if it has one.
    pub mac: Option<[u8; 6]>,
    /// Whether the interface is up.
    pub is_up: bool,
    /// Whether it leads into somebody else's network.
    pub is_vpn: bool,
    /// Whether packets to the outside leave by this interface.
    pub leads_out: bool,
    /// What the system says about the address; `None` when it says nothing.
    pub marks: Option<Marks>,
}

/// What a system notes about an IPv6 address (RFC 4862, RFC 8981).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// A privacy address that is replaced within days.
    pub is_temporary: bool,
    /// Past its preferred lifetime: no longer for new connections.
    pub is_deprecated: bool,
    /// Not yet, or not successfully, checked for duplicates.
    pub is_tentative: bool,
}

/// An address with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The address.
    pub found: Found,
    /// The address to send, if this is the one: the one found, or the one with the configured interface id.
    pub chosen: Option<IpAddr>,
    /// Why, as part of a sentence.
    pub why: String,
}

/// What is asked of one family.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Which family.
    pub family: Family,
    /// Where its address comes from, in the order of preference.
    pub sources: &'a [Source],
    /// Which objections are lifted.
    pub allow: Allow,
    /// What replaces the last 64 bits of an IPv6 address.
    pub interface_id: Option<Ipv6Addr>,
    /// The address that the gateway last acknowledged: kept while it is as good as any other, so that a name does
    /// not swing between two equals.
    pub last: Option<IpAddr>,
}

/// Judges every address of one family, in the order found. At most one is chosen.
#[must_use]
pub fn choose(rule: Rule<'_>, found: &[Found]) -> Vec<Judged> {
    let mut judged = Vec::new();
    let mut best: Option<(Rank, usize)> = None;
    for found in found.iter().filter(|found| Family::of(found.address) == rule.family) {
        let (rank, why) = match place(rule, found).and_then(|place| match objection(rule, found) {
            Some(why) => Err(why),
            None => Ok(place),
        }) {
            Ok(place) => (Some(rank(rule, place, found)), "another is preferred".to_owned()),
            Err(why) => (None, why),
        };
        if let Some(rank) = rank
            && best.is_none_or(|(other, _)| rank < other)
        {
            best = Some((rank, judged.len()));
        }
        judged.push(Judged { found: found.clone(), chosen: None, why });
    }
    if let Some((_, index)) = best {
        let winner = &mut judged[index];
        let address = sent_for(rule, winner.found.address);
        winner.why = reason(rule, &winner.found);
        if address != winner.found.address {
            winner.why += &format!("; sent as {address}, with the interface id of the file");
        }
        winner.chosen = Some(address);
    }
    judged
}

/// The address chosen out of a judgement.
#[must_use]
pub fn chosen(judged: &[Judged]) -> Option<IpAddr> {
    judged.iter().find_map(|judged| judged.chosen)
}

/// What people should know of an address that is sent all the same: the router was asked first, and what it says of
/// itself shows that it shares its address with others.
#[must_use]
pub fn caveat(judged: &[Judged]) -> Option<String> {
    let sent = judged.iter().filter(|judged| matches!(judged.found.origin, Origin::Gateway(_) | Origin::Echo(_)));
    let sent = sent.filter_map(|judged| judged.chosen).find(IpAddr::is_ipv4)?;
    let router = judged.iter().find(|judged| matches!(judged.found.origin, Origin::Router(_)))?.found.address;
    let why = claims::objection(router)?.sentence;
    Some(format!("the router's outer address is {router}, not {sent}: {why}"))
}

/// Whether an address could be sent: then sources behind its own need not be asked.
#[must_use]
pub fn is_acceptable(rule: Rule<'_>, found: &Found) -> bool {
    Family::of(found.address) == rule.family && place(rule, found).is_ok() && objection(rule, found).is_none()
}

/// The prefix found, with the interface id of the file.
fn sent_for(rule: Rule<'_>, found: IpAddr) -> IpAddr {
    match (found, rule.interface_id) {
        (IpAddr::V6(v6), Some(id)) => Ipv6Addr::from_bits((v6.to_bits() >> 64 << 64) | id.to_bits()).into(),
        (found, _) => found,
    }
}

/// Which source of the rule, counted from the first, an address comes from; or that none of them is meant.
fn place(rule: Rule<'_>, found: &Found) -> Result<usize, String> {
    let comes_from = |source: &Source| match (source, &found.origin) {
        (Source::Command, Origin::Command)
        | (Source::Dns, Origin::Dns(_))
        | (Source::Router(_), Origin::Router(_))
        | (Source::Stun, Origin::Stun(_))
        | (Source::Web, Origin::Gateway(_) | Origin::Echo(_)) => true,
        (Source::Fixed(address), Origin::Config) => *address == found.address,
        (Source::Interface(which), Origin::Interface(standing)) => is_meant(which, found.address, standing),
        (
            Source::Command
            | Source::Dns
            | Source::Fixed(_)
            | Source::Interface(_)
            | Source::Router(_)
            | Source::Stun
            | Source::Web,
            _,
        ) => false,
    };
    rule.sources.iter().position(comes_from).ok_or_else(|| {
        let key = key_of(rule.family);
        match rule.sources {
            [] => format!("{key} is \"off\""),
            [only] => format!("{key} is \"{only}\""),
            [..] => format!("{key} does not name this source"),
        }
    })
}

/// Whether an interface, or the address on it, is the one that is meant.
#[must_use]
pub fn is_meant(which: &Which, address: IpAddr, standing: &Standing) -> bool {
    match which {
        Which::Address(wanted) => *wanted == address,
        Which::Any => true,
        Which::DefaultRoute => standing.leads_out,
        Which::Mac(mac) => standing.mac == Some(*mac),
        Which::Named(pattern) => fits(pattern, &standing.name),
    }
}

/// Why an address cannot be sent although its source is asked for.
fn objection(rule: Rule<'_>, found: &Found) -> Option<String> {
    if Scope::of(found.address) == Scope::Never {
        return Some("never the address of a host".to_owned());
    }
    match &found.origin {
        Origin::Config => None,
        Origin::Interface(standing) => unfit(rule, found.address, standing),
        Origin::Gateway(heard) => through(rule, heard).or_else(|| {
            // The gateway may stand in the same network, so only what is another network's own is refused.
            let objection = claims::objection(found.address)?;
            matches!(objection.kind, claims::Kind::Vpn | claims::Kind::Cdn).then(|| refused(rule, objection)).flatten()
        }),
        Origin::Dns(heard) | Origin::Echo(heard) | Origin::Stun(heard) => {
            through(rule, heard).or_else(|| refused(rule, claims::objection(found.address)?))
        }
        Origin::Command | Origin::Router(_) => refused(rule, claims::objection(found.address)?),
    }
}

/// Why what somebody outside saw is not our address.
fn through(rule: Rule<'_>, heard: &Heard) -> Option<String> {
    if let Some(vpn) = heard.vpn.as_ref().filter(|_| !rule.allow.vpn) {
        return Some(format!(
            "seen through the VPN {vpn}, so it is the VPN's address; `bind` another card, or `allow_vpn = true`"
        ));
    }
    let will_go = passing(rule, heard.marks.unwrap_or_default())?;
    let key = key_of(rule.family);
    Some(format!("{will_go}; with `{key} = \"interface\"` one that lasts is found"))
}

/// Why an address on an interface of ours will not last.
fn passing(rule: Rule<'_>, marks: Marks) -> Option<&'static str> {
    if marks.is_deprecated && !rule.allow.deprecated {
        return Some("deprecated: past its preferred lifetime (`allow_deprecated = true` would take it)");
    }
    // With an interface id of our own only the prefix is taken.
    let is_unfit = marks.is_temporary && !rule.allow.temporary && rule.interface_id.is_none();
    is_unfit.then_some("temporary: replaced within days (`allow_temporary = true` would take it)")
}

/// Why an address that somebody told us is not one to publish, unless the file allows it.
fn refused(rule: Rule<'_>, objection: Objection) -> Option<String> {
    let is_allowed = match objection.kind {
        claims::Kind::CarrierNat | claims::Kind::Private => rule.allow.private,
        claims::Kind::Cdn | claims::Kind::Vpn => rule.allow.vpn,
        claims::Kind::NotAnAddress | claims::Kind::Resolver | claims::Kind::Translated => false,
    };
    (!is_allowed).then(|| objection.sentence.to_owned())
}

/// Why an address on an interface is not fit to be published.
fn unfit(rule: Rule<'_>, address: IpAddr, standing: &Standing) -> Option<String> {
    let (allow, marks) = (rule.allow, standing.marks.unwrap_or_default());
    let why = if !standing.is_up {
        "the interface is down"
    } else if marks.is_tentative {
        "tentative: not yet known to be unique"
    } else if let Some(why) = passing(rule, marks) {
        why
    } else if standing.is_vpn && !allow.vpn {
        "a VPN's address (`allow_vpn = true` would take it)"
    } else {
        match Scope::of(address) {
            Scope::Public => return None,
            Scope::Private if allow.private => return None,
            Scope::Private
                if claims::objection(address).is_some_and(|found| found.kind == claims::Kind::CarrierNat) =>
            {
                "carrier-grade NAT: your provider shares one public address among many, and nobody can reach you at \
                 this one (`allow_private = true` would take it)"
            }
            Scope::Private => "private (`allow_private = true` would take it)",
            Scope::Special if is_link_local(address) && allow.link_local => return None,
            Scope::Special if is_link_local(address) => "link-local (`allow_link_local = true` would take it)",
            Scope::Special if address.is_loopback() => "loopback",
            Scope::Special => "in a special range (documentation, benchmarks, tunnels)",
            Scope::Never => "never the address of a host",
        }
    };
    Some(why.to_owned())
}

fn is_link_local(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Smaller is better: the source, then public before private, then the one already published, then the way out, then
/// those known to last.
type Rank = (usize, Scope, Reverse<bool>, Reverse<bool>, Reverse<bool>);

fn rank(rule: Rule<'_>, place: usize, found: &Found) -> Rank {
    let (leads_out, is_known) = match &found.origin {
        Origin::Interface(standing) => (standing.leads_out, standing.marks.is_some() || found.address.is_ipv4()),
        Origin::Command
        | Origin::Config
        | Origin::Dns(_)
        | Origin::Echo(_)
        | Origin::Gateway(_)
        | Origin::Router(_)
        | Origin::Stun(_) => (true, true),
    };
    let is_last = rule.last == Some(sent_for(rule, found.address));
    (place, Scope::of(found.address), Reverse(is_last), Reverse(leads_out), Reverse(is_known))
}

/// Why the chosen one was chosen.
fn reason(rule: Rule<'_>, found: &Found) -> String {
    match &found.origin {
        Origin::Command => "the command printed it".to_owned(),
        Origin::Config => "written in the configuration".to_owned(),
        Origin::Dns(_) => "the DNS server sees us there".to_owned(),
        Origin::Echo(_) => "public services see us there".to_owned(),
        Origin::Gateway(_) => "the gateway sees us there".to_owned(),
        Origin::Router(_) => "the router says that this is its outer address".to_owned(),
        Origin::Stun(_) => "the STUN server sees us there".to_owned(),
        Origin::Interface(standing) => {
            let mut why = match Scope::of(found.address) {
                Scope::Public => "public".to_owned(),
                Scope::Private => "private, and there is no public one".to_owned(),
                Scope::Special | Scope::Never => "link-local, and there is no better one".to_owned(),
            };
            if rule.last == Some(sent_for(rule, found.address)) {
                why += ", already published";
            } else if standing.leads_out {
                why += ", on the interface that leads out";
            }
            if standing.marks.is_none() && found.address.is_ipv6() {
                why += "; the system does not say whether it is temporary";
            }
            why
        }
    }
}

/// The key of the configuration that speaks for a family.
#[must_use]
pub fn key_of(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// `interface:eth0`, `gateway ddns.example.com`: one word or two for a table.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command => f.write_str("command"),
            Self::Config => f.write_str("config"),
            Self::Dns(heard) => write!(f, "dns:{}", heard.from),
            Self::Echo(heard) => write!(f, "web:{}", heard.from),
            Self::Gateway(_) => f.write_str("web"),
            Self::Interface(standing) => write!(f, "interface:{}", standing.name),
            Self::Router(by) => write!(f, "router:{by}"),
            Self::Stun(heard) => write!(f, "stun:{}", heard.from),
        }
    }
}

#[cfg(test)]
mod tests;
