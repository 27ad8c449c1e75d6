//! Several hosts of one zone in one call, where the API can.

use nicgate::provider::Outcome;
use nicgate::provider::send::Pushed;
use nicgate_tests::fake::{Mishap, Record};

use super::bench::Bench;

/// As many hosts as go into one call, but not so many that a story becomes long.
fn hosts(bench: &Bench) -> Option<Vec<String>> {
    let at_once = bench.provider().hosts_at_once();
    assert_eq!(at_once, bench.traits.batch, "{}: hosts in one call", bench.word);
    (at_once > 1).then(|| (0..at_once.min(5)).map(|number| bench.below(&format!("h{number}"))).collect())
}

async fn push(bench: &mut Bench, hosts: &[String], address: &str) -> Pushed {
    let wanted: Vec<(&str, &str)> = hosts.iter().map(|host| (host.as_str(), address)).collect();
    bench.push_all(&wanted).await
}

pub(super) async fn several_hosts_go_in_one_call(mut bench: Bench) {
    let Some(hosts) = hosts(&bench) else { return };
    let is_confirmed = |outcome: &Outcome| matches!(outcome, Outcome::Confirmed { .. });
    for (address, most) in [("192.0.2.1", usize::MAX), ("192.0.2.2", bench.traits.change_calls)] {
        let pushed = push(&mut bench, &hosts, address).await;
        assert!(pushed.outcomes.iter().all(is_confirmed), "{}: {pushed:?}", bench.word);
        assert!(pushed.calls <= most, "{}: {} calls for {}", bench.word, pushed.calls, hosts.len());
        for host in &hosts {
            assert_eq!(bench.addresses(host), address, "{}: {host}", bench.word);
        }
    }
    assert_eq!(push(&mut bench, &hosts, "192.0.2.2").await.calls, 0, "{}", bench.word);
}

pub(super) async fn a_refused_host_does_not_hold_up_the_others(mut bench: Bench) {
    let Some(hosts) = hosts(&bench).filter(|_| bench.traits.has_record_sets) else { return };
    let bad = &hosts[1];
    bench.vendor.put_by_hand(Record::new(bad, "CNAME", "elsewhere.test"));
    let pushed = push(&mut bench, &hosts, "192.0.2.1").await;
    for (host, outcome) in hosts.iter().zip(&pushed.outcomes) {
        match outcome {
            Outcome::Confirmed { .. } if host != bad => {}
            Outcome::Refused { maybe_written: false, .. } => {
                assert_eq!(bench.addresses(host), "", "{}: {host}: {outcome:?}", bench.word);
            }
            Outcome::Confirmed { .. } | Outcome::Refused { .. } | Outcome::Unconfirmed { .. } => {
                panic!("{}: {host}: {outcome:?}", bench.word);
            }
        }
    }
    // A transaction that is refused names no host: the gateway has each go alone then.
    for host in hosts.iter().filter(|host| *host != bad) {
        bench.confirm(host, "192.0.2.1").await;
    }
    let alone = bench.push(bad, "192.0.2.1").await;
    assert!(matches!(alone.outcomes[..], [Outcome::Refused { .. }]), "{}: {alone:?}", bench.word);
}

pub(super) async fn a_record_that_somebody_removed_does_not_hold_up_a_batch(mut bench: Bench) {
    let Some(hosts) = hosts(&bench) else { return };
    push(&mut bench, &hosts, "192.0.2.1").await;
    bench.vendor.lose(&hosts[1], "A");
    let pushed = push(&mut bench, &hosts, "192.0.2.2").await;
    for (host, outcome) in hosts.iter().zip(&pushed.outcomes) {
        assert!(matches!(outcome, Outcome::Confirmed { .. }), "{}: {host}: {outcome:?}", bench.word);
        assert_eq!(bench.addresses(host), "192.0.2.2", "{}: {host}", bench.word);
    }
}

pub(super) async fn a_lost_answer_leaves_all_hosts_of_a_batch_in_doubt(mut bench: Bench) {
    let (Some(hosts), Some(fake)) = (hosts(&bench), bench.fake().cloned()) else { return };
    push(&mut bench, &hosts, "192.0.2.1").await;
    fake.then_at_write(Mishap::CutsAfter);
    let pushed = push(&mut bench, &hosts, "192.0.2.2").await;
    let is_doubted = |outcome: &Outcome| matches!(outcome, Outcome::Unconfirmed { maybe_written: true, .. });
    assert!(pushed.outcomes.iter().all(is_doubted), "{}: {pushed:?}", bench.word);
    for host in &hosts {
        bench.confirm(host, "192.0.2.3").await;
    }
}
