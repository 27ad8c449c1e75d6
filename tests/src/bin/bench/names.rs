//! (e) The embedded name server and BIND, on the same zone, asked by dnsperf.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use nicgate::store::seed;
use nicgate_logic::state::HostState;
use nicgate_protocol::AddressSet;

use crate::Effort;
use crate::laboratory::{Laboratory, ZONE, free_address, host, present};
use crate::process::Program;
use crate::table::{Aim, Sample, Table, each};

/// How many different questions are asked, over and over.
const QUESTIONS: usize = 100_000;

pub(crate) fn measure(laboratory: &Laboratory, effort: Effort, table: &mut Table) {
    for count in [10, 100_000] {
        let data = format!("names-{count}");
        let hosts = (0..count).map(|number| {
            let desired = AddressSet { v4: Some(address(number)), v6: None };
            (host(number), HostState { desired, number: 1, ordered_at: present(), ..HostState::default() })
        });
        seed(&laboratory.path(&data), present(), hosts).expect("the store takes them");
        let configuration = laboratory.configure(&format!("{data}.toml"), &data, &Laboratory::one_device());
        let gateway = laboratory.gateway(&configuration);
        let (named, named_address) = named(laboratory, &data, count);
        for server in [gateway.dns, named_address] {
            for number in [0, count / 2, count - 1] {
                let answer = nicgate_tests::dig(server, host(number).as_str(), "A");
                assert_eq!(answer, [address(number).to_string()], "{server} knows the zone");
            }
        }
        let questions = laboratory.path("questions");
        let text = (0..QUESTIONS).fold(String::new(), |mut text, turn| {
            let _ = writeln!(text, "{} A", host(turn.wrapping_mul(2_654_435_761) % count));
            text
        });
        fs::write(&questions, text).expect("the questions are written");

        let mut samples: [Vec<Sample>; 2] = Default::default();
        for _ in 0..effort.rounds {
            samples[0].push(ask(&gateway.program, gateway.dns, &questions, effort));
            samples[1].push(ask(&named, named_address, &questions, effort));
        }
        let [ours, theirs] = samples;
        let cpu = |samples: &[Sample]| each(samples, |sample| sample.cpu);
        let rate = |samples: &[Sample]| each(samples, |sample| sample.rate);
        let what = format!("{count} hosts: CPU us for an answer");
        table.ratio("e", &what, &cpu(&ours), ("named", &cpu(&theirs)), Aim::AtMost(1.0));
        let what = format!("{count} hosts: answers/s");
        table.ratio("e", &what, &rate(&ours), ("named", &rate(&theirs)), Aim::None);
    }
}

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + number as u32)
}

/// BIND with the zone that the gateway serves, and nothing else to do.
fn named(laboratory: &Laboratory, name: &str, count: usize) -> (Program, SocketAddr) {
    let folder = laboratory.path(&format!("{name}.bind"));
    fs::create_dir_all(&folder).expect("the folder is made");
    let mut zone = format!(
        "$TTL 60\n@ 3600 IN SOA ns.{ZONE}. hostmaster.{ZONE}. 1 3600 600 604800 60\n@ 3600 IN NS ns.{ZONE}.\nns IN A 192.0.2.53\n"
    );
    for number in 0..count {
        let _ = writeln!(zone, "{}. 60 IN A {}", host(number), address(number));
    }
    let address = free_address();
    let configuration = format!(
        r#"options {{
  directory "{folder}";
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  pid-file "{folder}/pid";
  session-keyfile "{folder}/session.key";
  recursion no;
  dnssec-validation no;
  minimal-responses yes;
  notify no;
}};
controls {{ }};
zone "{ZONE}" {{ type primary; file "zone"; }};
"#,
        folder = folder.display(),
        port = address.port(),
    );
    fs::write(folder.join("zone"), zone).expect("the zone is written");
    let file = folder.join("named.conf");
    fs::write(&file, configuration).expect("BIND's configuration is written");
    let program = nicgate_tests::tool("named").expect("tests/bench looked for named");
    let mut command = Command::new(program);
    let mut program = Program::start(command.arg("-g").arg("-c").arg(file), &folder.join("log"));
    program.wait_until_listening(address);
    // It listens before it has read a large zone.
    while nicgate_tests::dig(address, host(count - 1).as_str(), "A").is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    (program, address)
}

/// One turn of a name server.
fn ask(program: &Program, server: SocketAddr, questions: &std::path::Path, effort: Effort) -> Sample {
    let before = program.cpu();
    let mut dnsperf = Command::new("dnsperf");
    dnsperf.args(["-c", "16", "-T", "1", "-s"]).arg(server.ip().to_string()).arg("-p").arg(server.port().to_string());
    let output = nicgate_tests::run(dnsperf.arg("-d").arg(questions).arg("-l").arg(effort.turn.as_secs().to_string()));
    let cpu = program.cpu().saturating_sub(before);
    let said = nicgate_tests::text(&output);
    let number = |label: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(label));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
    };
    let (Some(count), Some(rate)) = (number("Queries completed:"), number("Queries per second:")) else {
        panic!("dnsperf says nothing that can be read: {said}")
    };
    let codes = said.lines().find(|line| line.trim().starts_with("Response codes:")).unwrap_or_default();
    assert!(codes.contains("NOERROR") && !codes.contains(','), "not every question was answered: {said}");
    Sample { cpu: cpu.as_secs_f64() * 1e6 / count, rate, ..Sample::default() }
}
