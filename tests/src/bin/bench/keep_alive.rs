//! (a) An update that changes nothing, over connections that are kept: by password and signed.

use nicgate_protocol::signature::sign_param::sign;
use nicgate_protocol::update::Parameters;

use crate::laboratory::{ADDRESS, CONSTANT, Contestant, DEVICE, Laboratory, host, present};
use crate::load::{Requests, ask, turn};
use crate::table::{Aim, Sample, Table, each};
use crate::{Effort, load};

/// More than wrk sends: a signature counts once.
const SIGNED_EACH_SECOND: u64 = 110_000;

pub(crate) fn measure(laboratory: &Laboratory, effort: Effort, table: &mut Table) {
    let configuration = laboratory.configure("keep-alive.toml", "keep-alive", &Laboratory::one_device());
    let gateway = laboratory.gateway(&configuration);
    let signed_configuration = laboratory.configure("signed.toml", "signed-data", &Laboratory::one_device());
    let bare = laboratory.bare();
    let nginx = laboratory.nginx();
    let basic = laboratory.basic(DEVICE);
    let target = format!("/nic/update?hostname={}&myip={ADDRESS}", host(0));
    let _ = ask(laboratory, &gateway, &target, &basic);
    let for_signed = laboratory.gateway(&signed_configuration);
    let _ = ask(laboratory, &for_signed, &target, &basic);
    for_signed.program.stop();
    for contestant in [&gateway, &bare, &nginx] {
        assert_eq!(ask(laboratory, contestant, &target, &basic), CONSTANT, "{} answers the same", contestant.name);
    }

    let by_password =
        Requests::write(laboratory, "by-password", gateway.https.to_string(), [(target, basic)].into_iter());
    let mut samples: [Vec<Sample>; 5] = Default::default();
    for _ in 0..effort.rounds {
        samples[0].push(load::turn(&gateway, &by_password, effort).0);
        samples[1].push(load::turn(&bare, &by_password, effort).0);
        samples[2].push(load::turn(&nginx, &by_password, effort).0);
        // One of its own for each round: it remembers a million signatures, and five rounds might be more.
        let for_signed = laboratory.gateway(&signed_configuration);
        let signed = signed(laboratory, &for_signed, effort);
        let (sample, count) = turn(&for_signed, &signed, effort);
        assert!(count <= signed.count(), "more requests were sent than had been signed: {count}");
        samples[3].push(sample);
        samples[4].push(turn(&bare, &signed, effort).0);
        for_signed.program.stop();
    }

    let [ours, bare, nginx, ours_signed, bare_signed] = samples;
    let cpu = |samples: &[Sample]| each(samples, |sample| sample.cpu);
    let rate = |samples: &[Sample]| each(samples, |sample| sample.rate);
    table.ratio("a", "nochg by password: CPU us", &cpu(&ours), ("bare", &cpu(&bare)), Aim::AtMost(1.20));
    table.ratio("a", "nochg signed: CPU us", &cpu(&ours_signed), ("bare", &cpu(&bare_signed)), Aim::AtMost(1.30));
    table.ratio("a", "nochg by password: CPU us", &cpu(&ours), ("nginx", &cpu(&nginx)), Aim::None);
    table.ratio("a", "nochg by password: requests/s", &rate(&ours), ("bare", &rate(&bare)), Aim::None);
    table.ratio("a", "nochg signed: requests/s", &rate(&ours_signed), ("bare", &rate(&bare_signed)), Aim::None);
    let p99 = |samples: &[Sample]| each(samples, |sample| sample.p99);
    table.ratio("a", "nochg by password: p99 ms", &p99(&ours), ("bare", &p99(&bare)), Aim::None);
}

/// Fresh signatures with the `sign` parameter, made this second.
fn signed(laboratory: &Laboratory, gateway: &Contestant, effort: Effort) -> Requests {
    let authority = gateway.https.to_string();
    let key = laboratory.master.key(DEVICE, 1);
    let now = present();
    let requests = (0..SIGNED_EACH_SECOND * effort.turn.as_secs()).map(|number| {
        let query = format!(
            "hostname={}&id={DEVICE}&myip={ADDRESS}&nonce={:x}-{number:06}&ts={}",
            host(0),
            now.0,
            now.seconds()
        );
        let sign = sign(key.text(), "GET", &authority, "/nic/update", &Parameters::read(Some(&query), None));
        (format!("/nic/update?{query}&sign={sign}"), String::new())
    });
    Requests::write(laboratory, "signed", authority.clone(), requests)
}
