//! (c) Durable changes from 64 connections, with store and embedded zone; against the store alone, and against its
//! file alone with as many rows in a commit.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use nicgate::store::Store;
use nicgate_logic::state::HostState;
use nicgate_protocol::DeviceId;
use redb::{Database, TableDefinition};
use tokio::task::JoinSet;

use crate::Effort;
use crate::generator::keep_asking;
use crate::laboratory::{DEVICE, Laboratory, ZONE, host, present};
use crate::process::now;
use crate::table::{Aim, Sample, Table, each};

/// How many speak at once.
const CONNECTIONS: usize = 64;
/// How many hosts each of them has.
const HOSTS: usize = 100;

pub(crate) fn measure(laboratory: &Laboratory, effort: Effort, table: &mut Table) {
    let configuration = laboratory.configure("changes.toml", "changes", &Laboratory::one_device());
    let gateway = laboratory.gateway(&configuration);
    let basic = laboratory.basic(DEVICE);
    let mut samples: Vec<Sample> = Vec::new();
    let (mut rows, mut store, mut store_rows, mut file) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..effort.rounds {
        let basic = basic.clone();
        let before = serial(gateway.dns);
        let sample = keep_asking(laboratory, &gateway, CONNECTIONS, "good ", effort.turn, move |connection, number| {
            let (name, address) = change(round, connection, number);
            format!(
                "GET /nic/update?hostname={name}&myip={address} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {basic}\r\n\r\n"
            )
        });
        let commits = f64::from(serial(gateway.dns).wrapping_sub(before));
        let in_commit = sample.rate * effort.turn.as_secs_f64() / commits;
        rows.push(in_commit);
        samples.push(sample);
        let alone = store_alone(&laboratory.path("store"), round, effort);
        store.push(alone.0);
        store_rows.push(alone.1);
        file.push(file_alone(&laboratory.path("file.redb"), in_commit.round() as usize, effort));
    }
    let rate = each(&samples, |sample| sample.rate);
    table.ratio("c", "changes/s, 64 connections", &rate, ("the store, 64 tasks", &store), Aim::AtLeast(0.8));
    table.ratio("c", "changes/s, 64 connections", &rate, ("its file, same rows", &file), Aim::AtLeast(0.8));
    table.ratio("c", "rows in a commit", &rows, ("the store", &store_rows), Aim::None);
    table.figure("c", "changes: CPU us", &each(&samples, |sample| sample.cpu), "us", Aim::None);
    table.figure("c", "changes: p50", &each(&samples, |sample| sample.p50), "ms", Aim::None);
    table.figure("c", "changes: p99", &each(&samples, |sample| sample.p99), "ms", Aim::None);
}

/// A host of this connection and an address that it did not have before.
fn change(round: usize, connection: usize, number: usize) -> (nicgate_protocol::Hostname, Ipv4Addr) {
    let turn = u32::try_from(1 + number / HOSTS + (round << 12)).unwrap_or(u32::MAX);
    (host(connection * HOSTS + number % HOSTS), Ipv4Addr::from_bits(0x0a00_0000 + turn))
}

/// The serial of the zone, which is the number of the newest commit.
fn serial(dns: SocketAddr) -> u32 {
    let answers = nicgate_tests::dig(dns, ZONE, "SOA");
    let serial = answers.first().and_then(|soa| soa.split(' ').nth(2)?.parse().ok());
    serial.unwrap_or_else(|| panic!("an SOA has a serial: {answers:?}"))
}

/// Rows each second, and rows in a commit, of the gateway's store when nobody speaks TLS or HTTP.
fn store_alone(folder: &Path, round: usize, effort: Effort) -> (f64, f64) {
    let store = Arc::new(Store::open(folder, present()).expect("the store opens"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let device = DeviceId::parse(DEVICE).expect("an id");
    let (before, begun) = (store.number(), now());
    let count: usize = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for task in 0..CONNECTIONS {
            let (store, device) = (Arc::clone(&store), device.clone());
            tasks.spawn(async move {
                let mut count = 0;
                while begun.elapsed() < effort.turn {
                    let (name, address) = change(round, task, count);
                    let turn = store.turn(&name).await;
                    let mut next = HostState { device: Some(device.clone()), ..turn.state().clone() };
                    next.desired.v4 = Some(address);
                    next.ordered_at = present();
                    turn.record(next).await.expect("the disk takes it");
                    count += 1;
                }
                count
            });
        }
        tasks.join_all().await.into_iter().sum()
    });
    let commits = store.number() - before;
    (count as f64 / begun.elapsed().as_secs_f64(), count as f64 / commits as f64)
}

/// Rows each second of a bare redb file with `rows` in each commit, of the size that the store writes.
fn file_alone(file: &Path, rows: usize, effort: Effort) -> f64 {
    const HOSTS_TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("hosts");
    const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
    let database = Database::create(file).expect("the file is made");
    let begun = now();
    let (mut commits, mut next) = (0_u64, 0);
    while begun.elapsed() < effort.turn {
        let transaction = database.begin_write().expect("nobody else writes");
        {
            let mut hosts = transaction.open_table(HOSTS_TABLE).expect("the table opens");
            for _ in 0..rows {
                // Spread over the hosts as the connections spread them.
                next = (next + HOSTS + 1) % (CONNECTIONS * HOSTS);
                hosts.insert(host(next).as_str(), [0_u8; 28].as_slice()).expect("the disk takes it");
            }
            let mut numbers = transaction.open_table(NUMBERS).expect("the table opens");
            numbers.insert("number", commits).expect("the disk takes it");
        }
        transaction.commit().expect("the disk takes it");
        commits += 1;
    }
    (commits * rows as u64) as f64 / begun.elapsed().as_secs_f64()
}
