//! May this device touch these hosts, and what does it want of each? An authenticated request becomes an
//! [`Update`]: per host either something wanted or a refusal, in the order of the request.
//!
//! A foreign host and one that does not exist look the same from outside. What is made here can be read everywhere
//! and made nowhere else: hence `non_exhaustive`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use nicgate_protocol::address::Prefix;
use nicgate_protocol::update::{Endpoint, Said, UpdateRequest};
use nicgate_protocol::{Hostname, Timestamp};

use crate::authenticate::{Authenticated, Signed};
use crate::device::Device;
use crate::now::Now;
use crate::policy::{HostPolicy, Policy};
use crate::refusal::Refusal;

/// How many hosts one request may name (dyndns2: `numhost` above that).
pub const MOST_HOSTS: usize = 20;

/// What a device may have done, host by host. Made by [`authorize`] alone.
#[derive(Debug)]
#[non_exhaustive]
pub struct Update {
    /// One for each host of the request, in its order.
    pub asked: Vec<Asked>,
    /// Hosts that move along with a prefix although nobody named them; they get no line in the answer.
    pub related: Vec<Wanted>,
}

/// One host of a request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Asked {
    /// The name as the request wrote it.
    pub written: Box<str>,
    /// What is wanted of it, or why that is refused.
    pub wanted: Result<Wanted, Refusal>,
}

/// One host, and what is wanted of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Wanted {
    /// The host.
    pub hostname: Hostname,
    /// What the operator decided about it.
    pub policy: HostPolicy,
    /// What is wanted.
    pub wish: Wish,
    /// The request names no address and means the peer's, which no signature covers.
    pub is_from_peer: bool,
    /// Where the wish stands among others.
    pub sent: Sent,
}

/// What an update wants of a host. A family that is not mentioned stays untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Publish these.
    Publish {
        /// The A record.
        v4: Option<Ipv4Addr>,
        /// The AAAA record, or its network for hosts with an interface id.
        v6: Option<Prefix>,
    },
    /// Take the records of these families away.
    Remove {
        /// The A record.
        v4: bool,
        /// The AAAA record.
        v6: bool,
    },
}

/// When and by whom something was sent: what decides which of two updates is newer.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The device.
    pub device: Arc<Device>,
    /// The earlier of the sender's clock and ours: a clock that runs ahead must not lock out its own true time.
    pub ordered_at: Timestamp,
    /// What the signature adds; `None` for a password.
    pub signed: Option<Signed>,
}

/// Sorts the hosts of a request into what may be done and what not.
///
/// # Errors
/// A refusal that ends the whole request.
pub fn authorize(request: &Authenticated<'_>, policy: &Policy, now: Now) -> Result<Update, Refusal> {
    let parameters = &request.screened.parameters;
    let update = UpdateRequest::read(parameters);
    if update.hosts.is_empty() {
        return Err(Refusal::NoHostname);
    }
    if update.hosts.len() > MOST_HOSTS {
        return Err(Refusal::TooManyHosts);
    }
    let device = &request.device;
    // A repeat counts as sent when the first of its kind came: it can never be newer than that one was.
    let order = |signed: &Signed| signed.claimed.min(signed.again.unwrap_or(now.wall));
    let ordered_at = request.signed.as_ref().map_or(now.wall, order);
    let sent = Sent { device: Arc::clone(device), ordered_at, signed: request.signed.clone() };
    let want = Want { endpoint: request.screened.endpoint, update: &update, peer: request.screened.raw.peer, device };

    let is_from_peer = update.addresses.as_ref().is_ok_and(|said| said.is_from_peer);
    let asked: Vec<Asked> = update
        .hosts
        .iter()
        .map(|host| {
            let wanted = host.name.clone().map_err(Refusal::NotFull).and_then(|hostname| {
                let policy = granted(device, policy, &hostname)?;
                Ok(Wanted { wish: want.of(&policy)?, is_from_peer, hostname, policy, sent: sent.clone() })
            });
            Asked { written: cut(host.written).into(), wanted }
        })
        .collect();
    let related = related(&update, &asked, device, policy, &sent);
    Ok(Update { asked, related })
}

fn granted(device: &Device, policy: &Policy, hostname: &Hostname) -> Result<HostPolicy, Refusal> {
    if !device.grants.cover(hostname) {
        return Err(Refusal::NotGranted);
    }
    policy.of(hostname).ok_or(Refusal::NoZone)
}

/// Hosts with an interface id that the device may touch move with the prefix of its network.
fn related(update: &UpdateRequest<'_>, asked: &[Asked], device: &Device, policy: &Policy, sent: &Sent) -> Vec<Wanted> {
    let Ok(Said { lan: Some(network), .. }) = update.addresses else {
        return Vec::new();
    };
    // Nobody's network moves on the word of a request that was refused throughout.
    if update.offline || asked.iter().all(|host| host.wanted.is_err()) {
        return Vec::new();
    }
    let is_asked =
        |name: &Hostname| asked.iter().any(|host| host.wanted.as_ref().is_ok_and(|one| one.hostname == *name));
    policy
        .with_interface_id()
        .iter()
        .filter(|name| !is_asked(name))
        .filter_map(|name| {
            let policy = granted(device, policy, name).ok()?;
            let wish = Wish::Publish { v4: None, v6: Some(network) };
            Some(Wanted { hostname: name.clone(), policy, wish, is_from_peer: false, sent: sent.clone() })
        })
        .collect()
}

/// A name as the request wrote it, short enough to keep.
fn cut(written: &str) -> &str {
    match written.char_indices().nth(253) {
        Some((end, _)) => &written[..end],
        None => written,
    }
}

/// One request's wish, to be read for each of its hosts.
struct Want<'a> {
    endpoint: Endpoint,
    update: &'a UpdateRequest<'a>,
    peer: IpAddr,
    device: &'a Device,
}

impl Want<'_> {
    fn of(&self, policy: &HostPolicy) -> Result<Wish, Refusal> {
        let said = self.update.addresses.as_ref().map_err(|_| Refusal::BadAddress)?;
        if self.update.offline || self.endpoint == Endpoint::Delete {
            if !self.device.allowances.delete {
                return Err(Refusal::NotGranted);
            }
            // The addresses only say which family; without any, both go (nsupdate.info's `/nic/delete`).
            let v6 = said.v6.is_some() || said.lan.is_some();
            let is_both = self.endpoint == Endpoint::Update || (said.v4.is_none() && !v6);
            return Ok(Wish::Remove { v4: is_both || said.v4.is_some(), v6: is_both || v6 });
        }
        if said.is_from_peer {
            return Ok(match self.peer {
                IpAddr::V4(v4) => Wish::Publish { v4: Some(v4), v6: None },
                IpAddr::V6(v6) => Wish::Publish { v4: None, v6: Some(Prefix { address: v6, length: 128 }) },
            });
        }
        let v6 = match policy.rule.interface_id {
            Some(interface_id) => said.lan.or(said.v6.filter(|v6| v6.length < 128 || is_own(v6.address, interface_id))),
            // A bare network is an address for nobody else, unless the host already has one to move.
            None => said.v6.or(if said.v4.is_none() { said.lan } else { None }),
        };
        if said.v4.is_none() && v6.is_none() {
            return Err(Refusal::BadAddress);
        }
        Ok(Wish::Publish { v4: said.v4, v6 })
    }
}

/// Whether a plain address has the host part that the operator gave the host: the router's own address in the
/// same request must not become the address of everything behind it.
fn is_own(address: Ipv6Addr, interface_id: Ipv6Addr) -> bool {
    address.to_bits() as u64 == interface_id.to_bits() as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nicgate_protocol::{DeviceId, HostPattern, MasterKey};

    use super::*;
    use crate::authenticate::authenticate;
    use crate::device::{Allowances, Generation, Grants, Origin, Registry};
    use crate::policy::{AddressPolicy, HostRule, ZonePolicy};
    use crate::screen::screen;
    use crate::screen::tests::raw;

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn policy() -> Policy {
        let zone =
            ZonePolicy { name: name("home.test"), providers: Vec::new(), addresses: AddressPolicy::Any, ttl: None };
        let interface_id = Some("::211:32ff:fe12:3456".parse().unwrap());
        let rule = HostRule { interface_id, ..HostRule::default() };
        Policy::new(
            vec![zone],
            vec![(name("nas.home.test"), rule.clone()), (name("foreign.home.test"), rule)],
            Duration::ZERO,
        )
    }

    fn ask(query: &str, may_delete: bool) -> Result<Update, Refusal> {
        let master = MasterKey::new(&[1; 32]);
        let patterns =
            ["home.home.test", "nas.home.test", "x.elsewhere.test"].map(|text| HostPattern::parse(text).unwrap());
        let device = Device {
            id: DeviceId::parse("box").unwrap(),
            grants: Arc::new(Grants::new(patterns)),
            profile: None,
            allowances: Allowances { query_credentials: true, plain: false, delete: may_delete },
            generation: Generation::default(),
            origin: Origin::Command,
        };
        let registry = Registry::new([device]);
        let (path, query) = query.split_once('?').unwrap_or(("/nic/update", query));
        let password = master.password("box", 1);
        let request =
            raw("GET", &format!("{path}?{query}&username=box&password={}", password.text()), &[("host", "h")]);
        let now = Now { wall: Timestamp::from_seconds(1_795_348_800), uptime: Duration::ZERO };
        let known = authenticate(screen(&request).unwrap(), &master, &registry, now).unwrap();
        authorize(&known, &policy(), now)
    }

    fn wish(query: &str) -> Result<Wish, Refusal> {
        ask(query, true).and_then(|update| update.asked.into_iter().next().unwrap().wanted).map(|wanted| wanted.wish)
    }

    fn publish(v4: Option<&str>, v6: Option<(&str, u8)>) -> Result<Wish, Refusal> {
        let v6 = v6.map(|(address, length)| Prefix { address: address.parse().unwrap(), length });
        Ok(Wish::Publish { v4: v4.map(|text| text.parse().unwrap()), v6 })
    }

    #[test]
    fn hosts_are_sorted_one_by_one_in_order() {
        let update = ask("hostname=home.home.test,other.home.test,x.elsewhere.test,bad_,nas.home.test", false).unwrap();
        let sorted: Vec<_> = update
            .asked
            .iter()
            .map(|host| (&*host.written, host.wanted.as_ref().err().map(|no| no.error_code())))
            .collect();
        assert_eq!(
            sorted,
            [
                ("home.home.test", None),
                ("other.home.test", Some("not_granted")),
                ("x.elsewhere.test", Some("no_zone")),
                ("bad_", Some("not_full")),
                // The peer spoke over IPv4, so nothing is said about its interface id.
                ("nas.home.test", None),
            ]
        );
    }

    #[test]
    fn no_host_and_too_many_end_the_request() {
        assert_eq!(ask("myip=192.0.2.1", false).err(), Some(Refusal::NoHostname));
        let many = vec!["home.home.test"; 21].join(",");
        assert_eq!(ask(&format!("hostname={many}"), false).err(), Some(Refusal::TooManyHosts));
        let many = vec!["home.home.test"; 20].join(",");
        assert!(ask(&format!("hostname={many}"), false).is_ok());
    }

    #[test]
    fn without_an_address_the_peer_gives_its_own_family() {
        assert_eq!(wish("hostname=home.home.test"), publish(Some("198.51.100.7"), None));
        assert_eq!(wish("hostname=home.home.test&myip=2001:db8::1"), publish(None, Some(("2001:db8::1", 128))));
        assert_eq!(wish("hostname=home.home.test&myip=rubbish"), Err(Refusal::BadAddress));
    }

    #[test]
    fn a_host_with_an_interface_id_takes_networks_and_its_own_address() {
        let network = "2001:db8:1:5600::";
        assert_eq!(wish(&format!("hostname=nas.home.test&myip={network}/59")), publish(None, Some((network, 59))));
        let both = format!("hostname=nas.home.test&myip=192.0.2.1,2001:db8:9::1&ip6lanprefix={network}/64");
        assert_eq!(wish(&both), publish(Some("192.0.2.1"), Some((network, 64))));
        let own = "2001:db8::211:32ff:fe12:3456";
        assert_eq!(wish(&format!("hostname=nas.home.test&myip={own}")), publish(None, Some((own, 128))));
        assert_eq!(wish("hostname=nas.home.test&myip=2001:db8::1"), Err(Refusal::BadAddress));
        assert_eq!(wish("hostname=nas.home.test&myip=192.0.2.1,2001:db8::1"), publish(Some("192.0.2.1"), None));
    }

    #[test]
    fn a_network_moves_the_related_hosts_that_are_granted() {
        let update = ask("hostname=home.home.test&myip=192.0.2.1&ip6lanprefix=2001:db8:1::/64", false).unwrap();
        let related: Vec<_> = update.related.iter().map(|wanted| wanted.hostname.as_str()).collect();
        assert_eq!(related, ["nas.home.test"]);
        let refused = ask("hostname=other.home.test&myip=192.0.2.1&ip6lanprefix=2001:db8:1::/64", false).unwrap();
        assert!(refused.related.is_empty());
    }

    #[test]
    fn deleting_needs_a_permission_and_names_its_families() {
        let first = |query: &str, may| ask(query, may).unwrap().asked.remove(0).wanted.map(|wanted| wanted.wish);
        assert_eq!(first("hostname=home.home.test&offline=YES", false), Err(Refusal::NotGranted));
        assert_eq!(
            first("hostname=home.home.test&offline=YES&myip=192.0.2.1", true),
            Ok(Wish::Remove { v4: true, v6: true })
        );
        assert_eq!(first("/nic/delete?hostname=home.home.test", true), Ok(Wish::Remove { v4: true, v6: true }));
        assert_eq!(
            first("/nic/delete?hostname=home.home.test&myip=2001:db8::1", true),
            Ok(Wish::Remove { v4: false, v6: true })
        );
        assert_eq!(
            first("hostname=home.home.test&offline=NO&myip=192.0.2.1", false).ok(),
            publish(Some("192.0.2.1"), None).ok()
        );
    }
}
