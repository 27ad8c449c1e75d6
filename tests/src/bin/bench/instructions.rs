//! (i) Instructions of an update that changes nothing, counted by callgrind: the same on a busy machine and a quiet
//! one. Valgrind hides the CPU's SHA instructions, so whatever hashes weighs more here than in life.

use std::fs;
use std::path::Path;
use std::process::Command;

use nicgate_protocol::signature::sign_param::sign;
use nicgate_protocol::update::Parameters;

use crate::Effort;
use crate::generator::send_all;
use crate::laboratory::{ADDRESS, Contestant, DEVICE, Laboratory, host, present};
use crate::table::{Aim, Table};

/// Two runs of different length: their difference is free of start and stop.
const SHORT: usize = 200;
const LONG: usize = 2200;

pub(crate) fn measure(laboratory: &Laboratory, _: Effort, table: &mut Table) {
    let by_password = || {
        let basic = laboratory.basic(DEVICE);
        let target = format!("/nic/update?hostname={}&myip={ADDRESS}", host(0));
        vec![format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {basic}\r\n\r\n"); LONG]
    };
    let signed = || {
        let (key, now) = (laboratory.master.key(DEVICE, 1), present());
        let one = |number: usize| {
            let query = format!(
                "hostname={}&id={DEVICE}&myip={ADDRESS}&nonce={:x}-{number:06}&ts={}",
                host(0),
                now.0,
                now.seconds()
            );
            let sign = sign(key.text(), "GET", "localhost", "/nic/update", &Parameters::read(Some(&query), None));
            format!("GET /nic/update?{query}&sign={sign} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        };
        (0..LONG).map(one).collect()
    };
    let configuration = laboratory.configure("instructions.toml", "instructions", &Laboratory::one_device());
    let out = laboratory.path("callgrind.out");
    let under = |program: &Path| {
        let mut command = Command::new("valgrind");
        command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
        command.arg("--quiet").arg(program).env("TOKIO_WORKER_THREADS", "1");
        command
    };
    let this = std::env::current_exe().expect("a program knows itself");
    let gateway = || laboratory.gateway_by(under(laboratory.gateway_program()), &configuration);
    let bare = || laboratory.bare_by(under(&this));
    // Known from here on: none of what is counted changes it.
    send_all(laboratory, &laboratory.gateway(&configuration), &by_password()[..1], "");
    let count = |start: &dyn Fn() -> Contestant, requests: &dyn Fn() -> Vec<String>| {
        let total = |count: usize| {
            let contestant = start();
            send_all(laboratory, &contestant, &requests()[..count], "nochg");
            contestant.program.stop();
            let text = fs::read_to_string(&out).expect("callgrind writes what it counted");
            let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
            totals.and_then(|totals| totals.trim().parse::<f64>().ok()).expect("callgrind counts")
        };
        (total(LONG) - total(SHORT)) / (LONG - SHORT) as f64
    };
    for (what, requests) in [
        ("nochg by password: instructions", &by_password as &dyn Fn() -> Vec<String>),
        ("nochg signed: instructions", &signed),
    ] {
        let ours = count(&gateway, requests);
        table.ratio("i", what, &[ours], ("bare", &[count(&bare, requests)]), Aim::None);
    }
}
