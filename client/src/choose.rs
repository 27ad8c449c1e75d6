//! What to send, and why: found addresses and rules in, one verdict for each address out. Pure.
//!
//! An IPv6 address that will go away (temporary, deprecated) or is not ready (tentative) is never taken from an
//! interface, nor are link-local and other special ranges; private ones only where `allow_private` says so. An
//! address that the gateway saw or that the file names is sent as it is: which ranges a zone takes is the gateway's
//! to judge. Whether anything has to be sent at all is decided in `schedule`.

use std::cmp::Reverse;
use std::net::IpAddr;

use nicgate_protocol::address::unmapped;
use nicgate_protocol::{Family, Scope};

use crate::settings::Source;

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
    /// Written in the configuration file.
    Config,
    /// On a network interface.
    Interface(Standing),
    /// The gateway saw us come from there.
    Web,
}

/// How an address stands on its interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The interface's name.
    pub name: String,
    /// Whether the interface is up.
    pub is_up: bool,
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
    /// Whether this is the one to send.
    pub is_chosen: bool,
    /// Why, as part of a sentence.
    pub why: String,
}

/// What is asked of one family.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Which family.
    pub family: Family,
    /// Where its address comes from.
    pub source: &'a Source,
    /// Whether a private address on an interface will do when there is no public one.
    pub allow_private: bool,
    /// The address that the gateway last acknowledged: kept while it is as good as any other, so that a name does
    /// not swing between two equals.
    pub last: Option<IpAddr>,
}

/// Judges every address of one family, in the order found. At most one is chosen.
#[must_use]
pub fn choose(rule: Rule<'_>, found: &[Found]) -> Vec<Judged> {
    let of_family = |found: &&Found| Family::of(found.address) == rule.family;
    let mut judged: Vec<Judged> = found
        .iter()
        .filter(of_family)
        .map(|found| match objection(rule, found) {
            Some(why) => Judged { found: found.clone(), is_chosen: false, why },
            None => Judged { found: found.clone(), is_chosen: true, why: String::new() },
        })
        .collect();

    let best = judged
        .iter()
        .enumerate()
        .filter(|(_, judged)| judged.is_chosen)
        .min_by_key(|(index, judged)| (rank(rule, &judged.found), *index))
        .map(|(index, _)| index);
    for (index, judged) in judged.iter_mut().enumerate().filter(|(_, judged)| judged.is_chosen) {
        judged.is_chosen = Some(index) == best;
        judged.why = if judged.is_chosen { reason(rule, &judged.found) } else { "another is preferred".to_owned() };
    }
    judged
}

/// The address chosen out of a judgement.
#[must_use]
pub fn chosen(judged: &[Judged]) -> Option<IpAddr> {
    judged.iter().find(|judged| judged.is_chosen).map(|judged| judged.found.address)
}

/// Why an address cannot be sent at all.
fn objection(rule: Rule<'_>, found: &Found) -> Option<String> {
    let key = key_of(rule.family);
    if Scope::of(found.address) == Scope::Never {
        return Some("never the address of a host".to_owned());
    }
    match (rule.source, &found.origin) {
        (Source::Off, _) => Some(format!("{key} is \"off\"")),
        (Source::Web, Origin::Web) | (Source::Fixed(_), Origin::Config) => None,
        (Source::Web, _) => Some(format!("{key} is \"web\": only what the gateway sees counts")),
        (Source::Fixed(fixed), _) => Some(format!("{key} is \"{fixed}\"")),
        (Source::Interface(wanted), Origin::Interface(standing)) => {
            if let Some(wanted) = wanted.as_ref().filter(|wanted| **wanted != standing.name) {
                return Some(format!("{key} is \"interface:{wanted}\""));
            }
            unfit(rule, found.address, standing).map(str::to_owned)
        }
        (Source::Interface(_), Origin::Config | Origin::Web) => Some(format!("{key} is \"interface\"")),
    }
}

/// Why an address on an interface is not fit to be published.
fn unfit(rule: Rule<'_>, address: IpAddr, standing: &Standing) -> Option<&'static str> {
    if !standing.is_up {
        return Some("the interface is down");
    }
    if let Some(marks) = standing.marks {
        if marks.is_temporary {
            return Some("temporary: replaced within days");
        }
        if marks.is_deprecated {
            return Some("deprecated: past its preferred lifetime");
        }
        if marks.is_tentative {
            return Some("tentative: not yet known to be unique");
        }
    }
    match Scope::of(address) {
        Scope::Public => None,
        Scope::Private if rule.allow_private => None,
        Scope::Private => Some("private: `allow_private = true` would take it"),
        Scope::Special => Some(match unmapped(address) {
            IpAddr::V4(v4) if v4.is_loopback() => "loopback",
            IpAddr::V4(v4) if v4.is_link_local() => "link-local",
            IpAddr::V6(v6) if v6.is_loopback() => "loopback",
            IpAddr::V6(v6) if v6.is_unicast_link_local() => "link-local",
            IpAddr::V4(_) | IpAddr::V6(_) => "in a special range (documentation, benchmarks, tunnels)",
        }),
        Scope::Never => Some("never the address of a host"),
    }
}

/// Smaller is better: public, then the one already published, then the way out, then those known to last.
fn rank(rule: Rule<'_>, found: &Found) -> (Scope, Reverse<bool>, Reverse<bool>, Reverse<bool>) {
    let (leads_out, is_known) = match &found.origin {
        Origin::Config | Origin::Web => (true, true),
        Origin::Interface(standing) => (standing.leads_out, standing.marks.is_some() || found.address.is_ipv4()),
    };
    let is_last = rule.last == Some(found.address);
    (Scope::of(found.address), Reverse(is_last), Reverse(leads_out), Reverse(is_known))
}

/// Why the chosen one was chosen.
fn reason(rule: Rule<'_>, found: &Found) -> String {
    match &found.origin {
        Origin::Config => "written in the configuration".to_owned(),
        Origin::Web => "the gateway sees us there".to_owned(),
        Origin::Interface(standing) => {
            let mut why = match Scope::of(found.address) {
                Scope::Public => "public".to_owned(),
                Scope::Private | Scope::Special | Scope::Never => "private, and there is no public one".to_owned(),
            };
            if rule.last == Some(found.address) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `ADDRESS [if NAME] [down] [out] [temporary] [deprecated] [tentative] [unmarked] | web | config`
    fn found(text: &str) -> Found {
        let mut words = text.split(' ');
        let address: IpAddr = words.next().unwrap().parse().unwrap();
        let rest: Vec<&str> = words.collect();
        let has = |word: &str| rest.contains(&word);
        let origin = match rest[0] {
            "web" => Origin::Web,
            "config" => Origin::Config,
            name => Origin::Interface(Standing {
                name: name.to_owned(),
                is_up: !has("down"),
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

    fn pick(family: Family, source: &str, allow_private: bool, last: Option<&str>, list: &[&str]) -> Option<String> {
        let source: Source = source.parse().unwrap();
        let last = last.map(|text| text.parse().unwrap());
        let list: Vec<Found> = list.iter().map(|text| found(text)).collect();
        let judged = choose(Rule { family, source: &source, allow_private, last }, &list);
        assert!(judged.iter().filter(|judged| judged.is_chosen).count() <= 1);
        assert!(judged.iter().all(|judged| !judged.why.is_empty()));
        chosen(&judged).map(|address| address.to_string())
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
        let list = &["192.168.1.5 eth0 out", "8.8.4.4 ppp0"][..];
        assert_eq!(pick(Family::V4, "interface", true, Some("192.168.1.5"), list).as_deref(), Some("8.8.4.4"));
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
}
