//! `[[service]]`, `[[host]]`, `[[device]]` and `[policy]`: who may touch which names, and what holds for each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use nicgate_logic::device::{Allowances, Device, Generation, Grants, Origin, Profile};
use nicgate_logic::policy::HostRule;
use nicgate_protocol::{DeviceId, HostPattern, Hostname};

use super::failover::{Hosts, Pace, take_fail_over};
use super::file::{Section, quote};
use super::nearest::suggest;
use super::providers::LONGEST_TTL;
use super::reading::{At, Once, Reading};
use super::report::Place;
use super::zones::Zones;

/// The kinds of service that are known from the start, with their TTL in seconds.
const SERVICES: [(&str, u32); 3] = [("nas", 300), ("realtime", 60), ("remote-desktop", 120)];
/// How long automatic updates wait after a release.
const COOL_DOWN: Duration = Duration::from_secs(300);
/// The longest such wait.
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(24 * 3600);

/// The kinds of service.
pub(super) struct Services {
    kinds: BTreeMap<String, Service>,
    /// Whether every section has a name.
    is_complete: bool,
}

/// What holds for the hosts of a kind of service, unless they say otherwise.
#[derive(Clone, Copy, Default)]
struct Service {
    /// In seconds; `None` where the section has no usable one.
    ttl: Option<u32>,
    pace: Pace,
}

pub(super) fn read_services(sections: Vec<Section<'_>>) -> Services {
    let shipped = |(name, ttl): &(&str, u32)| ((*name).to_owned(), Service { ttl: Some(*ttl), ..Service::default() });
    let mut services = Services { kinds: SERVICES.iter().map(shipped).collect(), is_complete: true };
    let mut once = Once::default();
    for mut section in sections {
        let name = section.take_parsed("name", |text| {
            DeviceId::parse(text).map_err(|_| "a service's name is 1 to 64 letters, digits, \".\", \"_\" or \"-\"")
        });
        section.require("name", "\"camera\"");
        let ttl = section.take_number("ttl", 1..=LONGEST_TTL);
        section.require("ttl", "60");
        let pace = Pace::take(&mut section);
        match name {
            Some(name) => {
                once.admit(section.reading, "service", name.value.as_str(), &name.span);
                services.kinds.insert(name.value.to_string(), Service { ttl, pace });
            }
            None => services.is_complete = false,
        }
        section.finish(false);
    }
    services
}

pub(super) fn read_hosts(sections: Vec<Section<'_>>, services: &Services, zones: &Zones) -> Hosts {
    let (mut hosts, mut fed) = (Vec::new(), Vec::new());
    let mut once = Once::default();
    for mut section in sections {
        let reading = section.reading;
        let name = section.take_parsed("name", Hostname::parse);
        section.require("name", "\"nas.home.example.com\"");
        if let Some(name) = &name
            && once.admit(reading, "host", name.value.as_str(), &name.span)
        {
            zones.holder(reading, name);
        }
        let service = section.take_text("service");
        let of_service = service.as_ref().and_then(|service| services.kinds.get(service.value));
        if let (Some(service), None, true) = (&service, of_service, services.is_complete) {
            let found = format!("there is no service {}", quote(service.value));
            reading.missing(
                Some(&service.span),
                found,
                suggest(service.value, services.kinds.keys().map(String::as_str)),
            );
        }
        let of_service = of_service.copied().unwrap_or_default();
        let ttl = section.take_number("ttl", 1..=LONGEST_TTL).or(of_service.ttl);
        let interface_id = section.take_parsed("interface_id", interface_id).map(|at| at.value);
        let hostname = name.map(|name| name.value);
        let fail_over = take_fail_over(&mut section, hostname.as_ref(), of_service.pace, &mut fed);
        section.finish(false);
        hosts.extend(hostname.map(|hostname| (hostname, HostRule { ttl, interface_id, fail_over })));
    }
    (hosts, fed)
}

/// The devices, and where each id stands.
pub(super) fn read_devices(
    sections: Vec<Section<'_>>,
    reading: &Reading<'_>,
    zones: &Zones,
) -> (Vec<Device>, HashMap<DeviceId, Place>) {
    let has_devices = !sections.is_empty();
    let (mut devices, mut places) = (Vec::new(), HashMap::new());
    let mut ids = Once::default();
    let mut held = HashSet::new();
    for mut section in sections {
        let id = section.take_parsed("id", DeviceId::parse);
        section.require("id", "\"fritzbox\"");
        if let Some(id) = &id
            && ids.admit(reading, "device", id.value.as_str(), &id.span)
        {
            places.insert(id.value.clone(), reading.source.place(id.span.start));
        }
        let hosts = take_hosts(&mut section, zones, &mut held);
        let profile = section.take_word("profile", &[("classic", Profile::Classic), ("strict", Profile::Strict)]);
        let mut flag = |key| section.take_flag(key).is_some_and(|at| at.value);
        let allowances = Allowances {
            query_credentials: flag("query_credentials"),
            plain: flag("allow_plain"),
            delete: flag("allow_delete"),
        };
        section.finish(false);
        devices.extend(id.map(|id| Device {
            id: id.value,
            grants: Arc::new(Grants::new(hosts)),
            profile: profile.map(|at| at.value),
            allowances,
            generation: Generation::default(),
            origin: Origin::File,
        }));
    }
    // Where no device stands in the file, all come by command.
    if has_devices {
        zones.warn_of_idle(reading, &held);
    }
    (devices, places)
}

/// What a device may touch. `held` learns the zones that hold it.
fn take_hosts<'z>(section: &mut Section<'_>, zones: &'z Zones, held: &mut HashSet<&'z Hostname>) -> Vec<HostPattern> {
    let reading = section.reading;
    let hosts = section.take_list("hosts", "home.example.com", HostPattern::parse);
    if !section.holds_entries("hosts") {
        let span = section.value_span("hosts").or(section.span().cloned());
        reading.missing(span.as_ref(), "the device has no hosts", "write hosts = [\"home.example.com\"]");
    }
    let mut once = Once::default();
    for At { value, span } in &hosts {
        let name = At { value: value.as_hostname().clone(), span: span.clone() };
        if once.admit(reading, "host", name.value.as_str(), span) {
            held.extend(zones.holder(reading, &name));
        }
    }
    hosts.into_iter().map(|at| at.value).collect()
}

/// The cool-down of `[policy]`.
pub(super) fn read_cool_down(mut section: Section<'_>) -> Duration {
    let cool_down = section.take_duration("cool_down", Duration::ZERO..=LONGEST_COOL_DOWN, COOL_DOWN);
    section.finish(false);
    cool_down
}

/// The host's part of an IPv6 address; the network's part is zero, but a subnet number may stand before it.
fn interface_id(text: &str) -> Result<Ipv6Addr, String> {
    const FORM: &str = "write the host's part of an IPv6 address, for instance \"::211:32ff:fe12:3456\"";
    let address: Ipv6Addr = text.parse().map_err(|_| FORM)?;
    if address.is_unspecified() {
        return Err(FORM.to_owned());
    }
    if address.segments()[0] != 0 {
        let host = Ipv6Addr::from_bits(address.to_bits() & u128::from(u64::MAX));
        return Err(format!("leave the prefix out, it is what changes: \"{host}\""));
    }
    Ok(address)
}
