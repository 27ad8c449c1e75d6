//! Hosts of a zone that go together.

use super::*;

fn batching(name: &str, hosts_at_once: usize) -> LaneSettings {
    LaneSettings { hosts_at_once, ..lane(name) }
}

fn names(push: &Push) -> Vec<Hostname> {
    push.items.iter().map(|item| item.hostname.clone()).collect()
}

fn hosts(range: std::ops::Range<usize>) -> Vec<Hostname> {
    let mut hosts: Vec<Hostname> = range.map(host).collect();
    hosts.sort();
    hosts
}

#[test]
fn a_burst_of_fifty_hosts_costs_two_pushes_where_they_go_together() {
    let mut plan = plan_of(&[batching(ME, 100)]);
    plan.want(ME, &host(0), want(1, 1), seconds(0));
    let first = take(&mut plan, seconds(0));
    assert_eq!((first.len(), names(&first[0])), (1, vec![host(0)]));
    for index in 1..50 {
        plan.want(ME, &host(index), want(1, 1), seconds(0));
    }
    assert!(plan.next(seconds(0)).is_none(), "one push of a zone at a time");
    plan.want(ME, &Hostname::parse("a.other.test").unwrap(), Want { zone: host(0), ..want(1, 1) }, seconds(0));
    assert_eq!(take(&mut plan, seconds(0)).len(), 1, "another zone goes beside it");
    plan.ended(&first[0], &[End::Confirmed], seconds(1), 0);
    let second = take(&mut plan, seconds(1));
    assert_eq!((second.len(), names(&second[0])), (1, hosts(1..50)));
}

#[test]
fn a_push_takes_no_more_hosts_than_the_provider_does_and_the_longest_waiting_first() {
    let mut plan = plan_of(&[batching(ME, 4)]);
    for index in 0..10 {
        plan.want(ME, &host(index), want(1, 1), seconds(10 - index as u64));
    }
    for expected in [hosts(6..10), hosts(2..6), hosts(0..2)] {
        let push = plan.next(seconds(10)).unwrap();
        let mut taken = names(&push);
        taken.sort();
        assert_eq!(taken, expected);
        plan.ended(&push, &vec![End::Confirmed; push.items.len()], seconds(10), 0);
    }
}

#[test]
fn a_batch_refused_as_a_whole_goes_host_by_host_at_once_and_only_the_bad_one_rests() {
    let mut plan = plan_of(&[batching(ME, 100)]);
    for index in 0..5 {
        plan.want(ME, &host(index), want(1, 1), seconds(0));
    }
    let batch = plan.next(seconds(0)).unwrap();
    let ends = vec![refused(Class::Invalid); 5];
    assert!(batch.is_split_by(&ends));
    plan.ended(&batch, &ends, seconds(1), 0);
    assert_eq!(
        plan.standing(ME, &host(0), 1, seconds(0)),
        Standing::Pending(Duration::from_secs(1)),
        "nothing is decided yet"
    );
    for _ in 0..5 {
        let push = plan.next(seconds(1)).unwrap();
        assert_eq!(push.items.len(), 1);
        let end = if push.items[0].hostname == host(3) { refused(Class::Invalid) } else { End::Confirmed };
        assert!(!push.is_split_by(&[end]));
        plan.ended(&push, &[end], seconds(1), 0);
    }
    assert_eq!((plan.pending(), plan.standing(ME, &host(3), 1, seconds(0))), (1, Standing::Refused));
    // Once it changes it goes alone again: it shall not spoil another batch.
    for index in [2, 3, 4] {
        plan.want(ME, &host(index), want(2, 2), seconds(2));
    }
    let first = plan.next(seconds(2)).unwrap();
    assert_eq!(names(&first), [host(2), host(4)]);
}

#[test]
fn ends_that_differ_host_by_host_are_taken_as_they_are() {
    let mut plan = plan_of(&[batching(ME, 100)]);
    for index in 0..4 {
        plan.want(ME, &host(index), want(1, 1), seconds(0));
    }
    let batch = plan.next(seconds(0)).unwrap();
    let ends = [End::Confirmed, refused(Class::Denied), unconfirmed(Class::Busy)];
    assert!(!batch.is_split_by(&ends));
    plan.ended(&batch, &ends, seconds(0), 0);
    assert_eq!(plan.standing(ME, &host(0), 1, seconds(0)), Standing::Applied);
    assert_eq!(plan.standing(ME, &host(1), 1, seconds(0)), Standing::Refused);
    assert_eq!(plan.standing(ME, &host(2), 1, seconds(0)), Standing::Pending(Duration::from_secs(1)));
    let again = plan.next(seconds(1)).unwrap();
    let doubts: Vec<usize> = again.items.iter().map(|item| item.doubted.len()).collect();
    assert_eq!((names(&again), doubts), (vec![host(2), host(3)], vec![0, 1]), "no end: unconfirmed, maybe written");
}

#[test]
fn a_host_that_breaks_every_answer_ends_up_alone() {
    let mut plan = plan_of(&[batching(ME, 100)]);
    for index in 0..16 {
        plan.want(ME, &host(index), want(1, 1), seconds(0));
    }
    let poison = host(5);
    for _ in 0..40 {
        let Some(wake) = plan.wake_at() else { break };
        let push = plan.next(at(wake)).unwrap();
        let end = if names(&push).contains(&poison) { unconfirmed(Class::Bug) } else { End::Confirmed };
        plan.ended(&push, &vec![end; push.items.len()], at(wake), 0);
    }
    assert_eq!(plan.pending(), 1);
}
