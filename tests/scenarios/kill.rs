//! Crashes: the real gateway is killed by SIGKILL in the middle of its work, again and again, and what was said is
//! compared with what is there afterwards. What a power cut takes from the system itself is not tried here.
//!
//! Every host's address counts its updates, so whatever the name server says tells which update it came from.
//! After a kill it must be the last one that was answered `good` or the one that was on its way, never an older
//! one, never anything else; the serial must not go back; nothing that resolvers saw may be unsaid.
//!
//! `NICGATE_KILL_ROUNDS` says how often (`tests/kill`: 200), `NICGATE_KILL_SEED` repeats the moments of a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hickory_proto::rr::RData;
use nicgate_tests::program::{Served, Site};
use nicgate_tests::wire::{self, Connection};
use nicgate_tests::{PLAIN, Request, dig, program};

/// Hosts, each with a sender of its own.
const HOSTS: usize = 12;

/// What is known about one host.
#[derive(Clone, Debug, Default)]
struct Host {
    /// The newest update that was sent.
    sent: u32,
    /// The newest update that a client heard `good` for, or that a resolver saw.
    known: u32,
    /// How many times `good` was heard.
    goods: u64,
}

#[test]
fn a_kill_loses_nothing_that_was_said_and_brings_nothing_back() {
    let rounds: u32 = number("NICGATE_KILL_ROUNDS").map_or(8, |rounds| rounds.try_into().unwrap());
    let seed = number("NICGATE_KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | u64::from(rounds));
    println!("rounds {rounds}, seed {seed} (NICGATE_KILL_SEED={seed} repeats its moments)");
    let mut dice = Dice(seed);
    let site = Site::new("kill", PLAIN);
    let mut hosts = vec![Host::default(); HOSTS];
    let mut serial = 0;
    let mut starts = Vec::new();
    let (mut lost, mut resurrected, mut on_their_way) = (0, 0, 0);

    for round in 1..=rounds {
        if dice.below(4) == 0 {
            kill_while_it_starts(&site, Duration::from_micros(dice.below(40_000)));
        }
        let served = site.serve();
        starts.push(served.start_time);

        // What is there now, against what was said before.
        let now = soa(served.dns[0]).unwrap();
        assert!(now >= serial, "round {round}, seed {seed}: the serial went back from {serial} to {now}");
        serial = now;
        let mut complaint = String::new();
        for (index, host) in hosts.iter_mut().enumerate() {
            let shown = shown(served.dns[0], index).unwrap();
            if shown < host.known {
                lost += 1;
                let _ = writeln!(complaint, "h{index}: {} was said, {shown} is there", host.known);
            } else if shown > host.sent {
                resurrected += 1;
                let _ = writeln!(complaint, "h{index}: {shown} is there, but only {} was sent", host.sent);
            }
            // Both families of an update are there, or neither is.
            let v6: Vec<String> = (shown > 0).then(|| addresses(shown).1.to_string()).into_iter().collect();
            assert_eq!(dig(served.dns[0], &name(index), "AAAA"), v6, "round {round}, seed {seed}: h{index} in halves");
            on_their_way += u64::from(shown > host.known);
            host.known = shown;
        }
        assert!(complaint.is_empty(), "round {round}, seed {seed}:\n{complaint}{}", served.text());

        let while_loaded = Duration::from_micros(30_000 + dice.below(250_000));
        (hosts, serial) = load_and_kill(&site, served, hosts, serial, while_loaded);
    }

    let goods: u64 = hosts.iter().map(|host| host.goods).sum();
    starts.sort();
    let (half, last) = (starts[starts.len() / 2], starts[starts.len() - 1]);
    println!(
        "{rounds} kills, {goods} answers of good, {lost} lost, {resurrected} resurrected; {on_their_way} times the \
         update on its way was there too; start: {half:.0?} in the middle, {last:.0?} at most"
    );
    // A run in which nothing was under way proves nothing.
    assert!(goods >= u64::from(rounds), "only {goods} updates were answered");
}

/// Loads the gateway from all sides, kills it after a while, and gives what was heard until then.
fn load_and_kill(
    site: &Site,
    served: Served,
    hosts: Vec<Host>,
    serial: u32,
    while_loaded: Duration,
) -> (Vec<Host>, u32) {
    let (https, dns) = (served.https[0], served.dns[0]);
    let config = wire::tls_config(&site.ca());
    let authorization = wire::basic("box", &site.password("box"));
    let is_over = Arc::new(AtomicBool::new(false));

    let senders: Vec<_> = hosts
        .into_iter()
        .enumerate()
        .map(|(index, mut host)| {
            let (config, authorization) = (Arc::clone(&config), authorization.clone());
            thread::spawn(move || {
                // Two in three keep their connection, as clients in a hurry do; the others are routers.
                let stays = index % 3 != 0;
                let mut connection = None;
                while send_next(&mut host, index, https, &config, &authorization, stays, &mut connection).is_ok() {}
                host
            })
        })
        .collect();
    let watcher = thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || watch(dns, serial, &is_over)
    });

    thread::sleep(while_loaded);
    served.kill();
    is_over.store(true, Ordering::Relaxed);

    let mut hosts: Vec<Host> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    let (seen, serial) = watcher.join().unwrap();
    for (index, seen) in seen {
        hosts[index].known = hosts[index].known.max(seen);
    }
    (hosts, serial)
}

/// One update of one host; an error when the gateway is gone.
fn send_next(
    host: &mut Host,
    index: usize,
    https: SocketAddr,
    config: &Arc<rustls::ClientConfig>,
    authorization: &str,
    stays: bool,
    connection: &mut Option<Connection>,
) -> std::io::Result<()> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(https, config)?,
    };
    host.sent += 1;
    let (v4, v6) = addresses(host.sent);
    let target = format!("/nic/update?hostname={}&myip={v4},{v6}", name(index));
    let request = Request::get(&target).header("Authorization", authorization);
    let answer = open.ask(&if stays { request.kept() } else { request })?;
    assert_eq!((answer.status, answer.body), (200, format!("good {v4},{v6}\n")), "{target}");
    host.known = host.sent;
    host.goods += 1;
    if stays {
        *connection = Some(open);
    }
    Ok(())
}

/// Looks at the name server until the gateway is gone: what it shows must be durable, and its serial never goes
/// back.
fn watch(dns: SocketAddr, mut serial: u32, is_over: &AtomicBool) -> (BTreeMap<usize, u32>, u32) {
    let mut seen = BTreeMap::new();
    while !is_over.load(Ordering::Relaxed) {
        for index in 0..HOSTS {
            let (Some(now), Some(counter)) = (soa(dns), shown(dns, index)) else { return (seen, serial) };
            assert!(now >= serial, "the serial went back from {serial} to {now}");
            serial = now;
            let before = seen.insert(index, counter);
            assert!(before.is_none_or(|before| before <= counter), "h{index} went back from {before:?} to {counter}");
        }
    }
    (seen, serial)
}

/// Starts a gateway and kills it before it gets far.
fn kill_while_it_starts(site: &Site, after: Duration) {
    let mut child = Command::new(program("nicgate"))
        .args(["serve", "--config"])
        .arg(site.configuration())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn name(index: usize) -> String {
    format!("h{index}.lan.home.test")
}

/// The addresses of an update, by its number.
fn addresses(counter: u32) -> (Ipv4Addr, Ipv6Addr) {
    let v6 = u128::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0)) | u128::from(counter);
    (Ipv4Addr::from(0x0a00_0000 | counter), Ipv6Addr::from(v6))
}

/// Which update of a host the name server shows, 0 for none; `None` when it does not answer.
fn shown(dns: SocketAddr, index: usize) -> Option<u32> {
    let reply = wire::ask(dns, &wire::question(&name(index), "A")).ok()?;
    let Some(record) = reply.answers.first() else { return Some(0) };
    let RData::A(address) = &record.data else { panic!("no address: {reply}") };
    Some(u32::from(address.0) & 0x00ff_ffff)
}

/// The serial of the zone; `None` when nobody answers.
fn soa(dns: SocketAddr) -> Option<u32> {
    let reply = wire::ask(dns, &wire::question("home.test", "SOA")).ok()?;
    let RData::SOA(soa) = &reply.answers.first()?.data else { panic!("no SOA: {reply}") };
    Some(soa.serial)
}

/// A number out of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Chance that repeats itself (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
