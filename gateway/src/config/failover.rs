//! The keys of fail-over, `devices`, `heartbeat`, `misses`, `returns` and `hold_down`: in `[[host]]` what holds for
//! it, in `[[service]]` what holds for its hosts unless they say otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nicgate_logic::device::Device;
use nicgate_logic::failover::FailOver;
use nicgate_logic::policy::HostRule;
use nicgate_protocol::{DeviceId, Hostname};

use super::file::Section;
use super::nearest::nearest;
use super::reading::{At, Once, Reading};

/// How many heartbeats may be missed.
const MISSES: u32 = 3;
/// How many bring a silent device back.
const RETURNS: u32 = 2;
/// The most of either.
const MOST: u32 = 1000;
/// The shortest time between two switches.
const HOLD_DOWN: Duration = Duration::from_secs(300);
/// The longest such time.
const LONGEST_HOLD_DOWN: Duration = Duration::from_secs(24 * 3600);
/// An example of a heartbeat, and its bounds.
const HEARTBEAT: Duration = Duration::from_secs(600);
const SHORTEST_HEARTBEAT: Duration = Duration::from_secs(5);
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The keys but `devices`, those that are written.
#[derive(Clone, Copy, Default)]
pub(super) struct Pace {
    heartbeat: Option<Duration>,
    misses: Option<u32>,
    returns: Option<u32>,
    hold_down: Option<Duration>,
}

/// A host's `devices`, to be compared with the devices there are.
pub(super) struct Fed {
    hostname: Hostname,
    devices: Vec<At<DeviceId>>,
}

impl Pace {
    pub(super) fn take(section: &mut Section<'_>) -> Self {
        let mut span = |key, range, example| {
            let is_written = section.has(key);
            let span = section.take_duration(key, range, example);
            is_written.then_some(span)
        };
        let heartbeat = span("heartbeat", SHORTEST_HEARTBEAT..=LONGEST_HEARTBEAT, HEARTBEAT);
        let hold_down = span("hold_down", Duration::ZERO..=LONGEST_HOLD_DOWN, HOLD_DOWN);
        let misses = section.take_number("misses", 1..=MOST);
        let returns = section.take_number("returns", 1..=MOST);
        Self { heartbeat, misses, returns, hold_down }
    }

    fn or(self, other: Self) -> Self {
        Self {
            heartbeat: self.heartbeat.or(other.heartbeat),
            misses: self.misses.or(other.misses),
            returns: self.returns.or(other.returns),
            hold_down: self.hold_down.or(other.hold_down),
        }
    }
}

/// The fail-over of a host. `of_service` stands behind what the host itself says; what is to be compared with the
/// devices there are is added to `fed`.
pub(super) fn take_fail_over(
    section: &mut Section<'_>,
    hostname: Option<&Hostname>,
    of_service: Pace,
    fed: &mut Vec<Fed>,
) -> Option<Arc<FailOver>> {
    let reading = section.reading;
    let devices = section.take_list("devices", "fiber", DeviceId::parse);
    let own = Pace::take(section);
    if !section.has("devices") {
        for key in ["heartbeat", "misses", "returns", "hold_down"] {
            if let Some(span) = section.key_span(key) {
                let hint = "write devices = [\"fiber\", \"lte\"], the preferred one first, or leave it out";
                reading.missing(Some(&span), format!("{key} stands without devices"), hint);
            }
        }
        return None;
    }
    if !section.holds_entries("devices") {
        let hint = "write devices = [\"fiber\", \"lte\"], the preferred one first, or leave it out";
        reading.missing(section.value_span("devices").as_ref(), "devices is empty", hint);
    }
    let mut once = Once::default();
    for device in &devices {
        once.admit(reading, "device", device.value.as_str(), &device.span);
    }
    let pace = own.or(of_service);
    if pace.heartbeat.is_none() {
        let hint = "write heartbeat = \"10m\": how often each of them speaks at the least";
        reading.missing(section.key_span("devices").as_ref(), "devices stands without heartbeat", hint);
    }
    let rule = FailOver {
        devices: devices.iter().map(|device| device.value.clone()).collect(),
        heartbeat: pace.heartbeat.unwrap_or(HEARTBEAT),
        misses: pace.misses.unwrap_or(MISSES),
        returns: pace.returns.unwrap_or(RETURNS),
        hold_down: pace.hold_down.unwrap_or(HOLD_DOWN),
    };
    fed.extend(hostname.map(|hostname| Fed { hostname: hostname.clone(), devices }));
    Some(Arc::new(rule))
}

/// Compares the `devices` of hosts with the devices of the file. Others may have come by command; but where the file
/// has some, one that it does not have deserves a look.
pub(super) fn check_devices(reading: &Reading<'_>, fed: &[Fed], devices: &[Device]) {
    let by_id: HashMap<&str, &Device> = devices.iter().map(|device| (device.id.as_str(), device)).collect();
    for Fed { hostname, devices: listed } in fed {
        for At { value: id, span } in listed {
            let Some(device) = by_id.get(id.as_str()) else {
                if !devices.is_empty() {
                    let hint = match nearest(id.as_str(), devices.iter().map(|device| device.id.as_str())) {
                        Some(word) => format!("did you mean \"{word}\"?"),
                        None => format!("add it as [[device]], or by `nicgate device add {id} --host {hostname}`"),
                    };
                    reading.warn(Some(span), format!("no device \"{id}\" stands in this file"), hint);
                }
                continue;
            };
            if !device.grants.cover(hostname) {
                let found = format!("device \"{id}\" may not update \"{hostname}\"");
                reading.missing(Some(span), found, format!("add \"{hostname}\" to the hosts of [[device]] \"{id}\""));
            }
        }
    }
}

/// The hosts of a file: what holds for each, and what is still to be compared.
pub(super) type Hosts = (Vec<(Hostname, HostRule)>, Vec<Fed>);
