//! (b) A new TLS 1.3 connection with a full handshake for each update, as routers make them.

use crate::Effort;
use crate::generator::connect_anew;
use crate::laboratory::{ADDRESS, CONSTANT, DEVICE, Laboratory, host};
use crate::load::ask;
use crate::table::{Aim, Sample, Table, each};

pub(crate) fn measure(laboratory: &Laboratory, effort: Effort, table: &mut Table) {
    let configuration = laboratory.configure("connections.toml", "connections", &Laboratory::one_device());
    let contestants = [laboratory.gateway(&configuration), laboratory.bare(), laboratory.nginx()];
    let basic = laboratory.basic(DEVICE);
    let target = format!("/nic/update?hostname={}&myip={ADDRESS}", host(0));
    let _ = ask(laboratory, &contestants[0], &target, &basic);
    for contestant in &contestants {
        assert_eq!(ask(laboratory, contestant, &target, &basic), CONSTANT, "{} answers the same", contestant.name);
    }
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {basic}\r\nConnection: close\r\n\r\n");
    let mut samples: [Vec<Sample>; 3] = Default::default();
    for _ in 0..effort.rounds {
        for (contestant, samples) in contestants.iter().zip(&mut samples) {
            samples.push(connect_anew(laboratory, contestant, &request, effort.turn));
        }
    }
    let [ours, bare, nginx] = samples;
    let cpu = |samples: &[Sample]| each(samples, |sample| sample.cpu);
    let rate = |samples: &[Sample]| each(samples, |sample| sample.rate);
    let p99 = |samples: &[Sample]| each(samples, |sample| sample.p99);
    table.ratio("b", "new connection: CPU us", &cpu(&ours), ("bare", &cpu(&bare)), Aim::AtMost(1.15));
    table.ratio("b", "new connection: CPU us", &cpu(&ours), ("nginx", &cpu(&nginx)), Aim::AtMost(0.7));
    table.ratio("b", "new connection: updates/s", &rate(&ours), ("bare", &rate(&bare)), Aim::None);
    table.ratio("b", "new connection: updates/s", &rate(&ours), ("nginx", &rate(&nginx)), Aim::None);
    table.ratio("b", "new connection: p99 ms", &p99(&ours), ("bare", &p99(&bare)), Aim::None);
}
