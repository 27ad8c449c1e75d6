//! (d) Ten hosts and a million: what a request costs, how much memory a host takes, how long a start takes.
//!
//! A million twice: known to the store alone, with one device that may touch all of them; and each standing in the
//! configuration file too, as those of ten thousand devices.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, ExitCode};

use nicgate::dns::{ZoneHead, Zones};
use nicgate::store::seed;
use nicgate_logic::state::HostState;
use nicgate_protocol::{AddressSet, DeviceId, Hostname};

use crate::Effort;
use crate::laboratory::{Contestant, DEVICE, Laboratory, ZONE, host, present};
use crate::load::{Requests, ask, turn};
use crate::process::{now, resident_of};
use crate::table::{Aim, Sample, Table, each};

const FEW: usize = 10;
const MILLION: usize = 1_000_000;
/// How many hosts each device of the file has.
const PER_DEVICE: usize = 100;
/// How many different requests are sent, over and over.
const REQUESTS: usize = 100_000;

pub(crate) fn measure(laboratory: &Laboratory, effort: Effort, table: &mut Table) {
    let one_device = Laboratory::one_device();
    let few = laboratory.configure("few.toml", "few", &one_device);
    let wildcard = laboratory.configure("wildcard.toml", "million", &one_device);
    let listed = laboratory.configure("listed.toml", "million", &devices(MILLION));
    for (data, count) in [("few", FEW), ("million", MILLION)] {
        let begun = now();
        seed(&laboratory.path(data), present(), (0..count).map(known)).expect("the store takes them");
        println!("  {count} hosts written in {:.1} s", begun.elapsed().as_secs_f64());
    }
    let few = laboratory.gateway(&few);
    let zone = zone_memory(MILLION);
    table.figure("d", "the zone's own memory for each host", &[zone], "B", Aim::None);

    for (what, configuration) in [("a million in the store", &wildcard), ("in the store and the file", &listed)] {
        let (mut clean, mut killed) = (Vec::new(), Vec::new());
        for round in 0..effort.rounds {
            let (gateway, _) = started(laboratory, configuration);
            gateway.program.stop();
            let (gateway, took) = started(laboratory, configuration);
            clean.push(took);
            // So that there is something to be made whole.
            change_one(laboratory, &gateway, configuration == &wildcard, round);
            gateway.program.kill();
            let (gateway, took) = started(laboratory, configuration);
            killed.push(took);
            gateway.program.stop();
        }
        let (million, _) = started(laboratory, configuration);
        let memory = million.program.resident().saturating_sub(few.program.resident()) as f64 / MILLION as f64;
        table.figure("d", &format!("{what}: start"), &clean, "s", Aim::AtMost(2.0));
        table.figure("d", &format!("{what}: start after SIGKILL"), &killed, "s", Aim::None);
        table.figure("d", &format!("{what}: memory for each"), &[memory], "B", Aim::None);
        table.figure("d", &format!("{what}: beside the zone's"), &[memory - zone], "B", Aim::AtMost(400.0));

        let device = |number: usize| {
            if configuration == &wildcard { DEVICE.to_owned() } else { id(number / PER_DEVICE) }
        };
        let of_few = requests(laboratory, "of-few", &few, FEW, &|_| DEVICE.to_owned());
        let of_million = requests(laboratory, "of-million", &million, MILLION, &device);
        let (mut with_few, mut with_million): (Vec<Sample>, Vec<Sample>) = Default::default();
        for _ in 0..effort.rounds {
            with_few.push(turn(&few, &of_few, effort).0);
            with_million.push(turn(&million, &of_million, effort).0);
        }
        let cpu = |samples: &[Sample]| each(samples, |sample| sample.cpu);
        table.ratio(
            "d",
            &format!("{what}: nochg CPU us"),
            &cpu(&with_million),
            ("ten hosts", &cpu(&with_few)),
            Aim::AtMost(1.10),
        );
        million.program.stop();
    }
}

/// Host `number` as the store knows it.
fn known(number: usize) -> (Hostname, HostState) {
    let state = HostState {
        desired: AddressSet { v4: Some(address(number)), v6: None },
        number: 1,
        ordered_at: present(),
        device: DeviceId::parse(DEVICE).ok(),
        ..HostState::default()
    };
    (host(number), state)
}

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + number as u32)
}

fn id(device: usize) -> String {
    format!("d{device:04}")
}

/// `[[device]]`s with all the hosts between them.
fn devices(count: usize) -> String {
    let mut text = String::new();
    for device in 0..count / PER_DEVICE {
        let _ = write!(text, "[[device]]\nid = \"{}\"\nhosts = [", id(device));
        for number in device * PER_DEVICE..(device + 1) * PER_DEVICE {
            let _ = write!(text, "\"{}\",", host(number));
        }
        text.push_str("]\n");
    }
    text
}

/// Starts a gateway; gives how long that took, in seconds.
fn started(laboratory: &Laboratory, configuration: &Path) -> (Contestant, f64) {
    let begun = now();
    let gateway = laboratory.gateway(configuration);
    (gateway, begun.elapsed().as_secs_f64())
}

fn change_one(laboratory: &Laboratory, gateway: &Contestant, by_wildcard: bool, round: usize) {
    let device = if by_wildcard { DEVICE.to_owned() } else { id(0) };
    for address in [Ipv4Addr::from_bits(0x0b00_0000 + round as u32), address(0)] {
        let target = format!("/nic/update?hostname={}&myip={address}", host(0));
        let body = ask(laboratory, gateway, &target, &laboratory.basic(&device));
        assert_eq!(body, format!("good {address}\n"));
    }
}

/// Updates that change nothing, of hosts here and there among `count`.
fn requests(
    laboratory: &Laboratory,
    name: &str,
    to: &Contestant,
    count: usize,
    device: &dyn Fn(usize) -> String,
) -> Requests {
    // Knuth's multiplicative hash: far apart and the same in every run.
    let numbers = (0..REQUESTS).map(|turn| turn.wrapping_mul(2_654_435_761) % count);
    let all = numbers.map(|number| {
        let target = format!("/nic/update?hostname={}&myip={}", host(number), address(number));
        (target, laboratory.basic(&device(number)))
    });
    let requests = Requests::write(laboratory, name, to.https.to_string(), all);
    let number = 2_654_435_761 % count;
    let target = format!("/nic/update?hostname={}&myip={}", host(number), address(number));
    let body = ask(laboratory, to, &target, &laboratory.basic(&device(number)));
    assert_eq!(body, format!("nochg {}\n", address(number)));
    requests
}

/// What one host costs the embedded name server, measured in a process of its own.
fn zone_memory(count: usize) -> f64 {
    let this = std::env::current_exe().expect("a program knows itself");
    let output = nicgate_tests::run(Command::new(this).arg("zone").arg(count.to_string()));
    nicgate_tests::text(&output).trim().parse().expect("it prints a number")
}

/// Fills a zone with `count` hosts and prints how much memory each of them took.
pub(crate) fn hold_zone(count: &str) -> ExitCode {
    let count: usize = count.parse().expect("a number of hosts");
    let name = |text: &str| Hostname::parse(text).expect("a name");
    let head = ZoneHead {
        name: name(ZONE),
        nameservers: vec![name(&format!("ns.{ZONE}"))],
        mailbox: name(&format!("hostmaster.{ZONE}")),
        ttl: 3600,
        negative_ttl: 60,
        nameserver_addresses: AddressSet::EMPTY,
    };
    let zones = Zones::new(vec![head]);
    let before = resident_of("self");
    zones.load((0..count).map(|number| (host(number), AddressSet { v4: Some(address(number)), v6: None }, 60)), 1);
    let after = resident_of("self");
    assert_eq!(zones.len(), count);
    println!("{:.1}", (after - before) as f64 / count as f64);
    ExitCode::SUCCESS
}
