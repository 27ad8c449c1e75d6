use nicgate_protocol::Timestamp;

use super::*;
use crate::budget::Window;

const ME: &str = "cloud";

fn at(uptime: Duration) -> Now {
    Now { wall: Timestamp::from_seconds(1_700_000_000) + uptime, uptime }
}

fn seconds(seconds: u64) -> Now {
    at(Duration::from_secs(seconds))
}

fn host(index: usize) -> Hostname {
    Hostname::parse(&format!("h{index}.home.test")).unwrap()
}

fn addresses(last: u8) -> AddressSet {
    AddressSet { v4: Some([192, 0, 2, last].into()), v6: None }
}

fn want(last: u8, number: u64) -> Want {
    let zone = Hostname::parse("home.test").unwrap();
    Want { zone, desired: addresses(last), number, applied: AddressSet::EMPTY, doubted: Vec::new() }
}

fn only(calls: u32, seconds: u64) -> Budget {
    Budget { windows: vec![Window::new(calls, seconds)].into() }
}

/// A provider with an account of its own.
fn lane(name: &str) -> LaneSettings {
    let account = name.bytes().map(u64::from).sum();
    LaneSettings { provider: name.into(), account, budget: Budget::default(), hosts_at_once: 1 }
}

fn plan_of(lanes: &[LaneSettings]) -> Reconcile {
    let mut plan = Reconcile::new();
    plan.configure(lanes, seconds(0), stays);
    plan
}

fn one_lane() -> Reconcile {
    plan_of(&[lane(ME)])
}

/// Whatever goes to a provider goes there after a reload.
fn stays(_: &str, hostname: &Hostname) -> Option<Hostname> {
    let (_, zone) = hostname.as_str().split_once('.')?;
    Hostname::parse(zone).ok()
}

fn refused(class: Class) -> End {
    End::Refused { class, maybe_written: false }
}

fn unconfirmed(class: Class) -> End {
    End::Unconfirmed { class, retry_after: None, maybe_written: false }
}

/// All pushes that may go now.
fn take(plan: &mut Reconcile, now: Now) -> Vec<Push> {
    std::iter::from_fn(|| plan.next(now)).collect()
}

#[test]
fn what_is_applied_already_is_never_pushed() {
    let mut plan = one_lane();
    let applied = Want { applied: addresses(1), ..want(1, 5) };
    plan.want(ME, &host(1), applied, seconds(1));
    assert!(plan.next(seconds(1)).is_none());
    assert_eq!(plan.standing(ME, &host(1), 5, seconds(0)), Standing::Applied);
    assert_eq!(plan.wake_at(), None);
}

#[test]
fn a_push_in_flight_finishes_and_the_newest_goes_next() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), want(1, 1), seconds(0));
    let first = plan.next(seconds(0)).unwrap();
    plan.want(ME, &host(1), want(2, 2), seconds(0));
    plan.want(ME, &host(1), want(4, 4), seconds(0));
    plan.want(ME, &host(1), want(3, 3), seconds(0)); // late: an older one
    assert!(plan.next(seconds(0)).is_none());
    plan.ended(&first, &[End::Confirmed], seconds(1), 0);
    let second = plan.next(seconds(1)).unwrap();
    let item = &second.items[0];
    assert_eq!((item.desired, item.number, item.attempt), (addresses(4), 4, 1));
    plan.ended(&second, &[End::Confirmed], seconds(2), 0);
    assert_eq!(plan.pending(), 0);
}

#[test]
fn a_lost_answer_is_pushed_again_even_when_the_old_address_comes_back() {
    let mut plan = one_lane();
    let from_1_to_2 = Want { applied: addresses(1), ..want(2, 2) };
    plan.want(ME, &host(1), from_1_to_2, seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    let lost = End::Unconfirmed { class: Class::Down, retry_after: None, maybe_written: true };
    plan.ended(&push, &[lost], seconds(1), 0);
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(1, 3) }, seconds(1));
    let again = plan.next(seconds(1)).unwrap();
    assert_eq!((again.items[0].desired, &again.items[0].doubted), (addresses(1), &vec![addresses(2)]));
}

#[test]
fn a_change_that_surely_was_not_made_and_is_taken_back_needs_no_push() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(2, 2) }, seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    plan.ended(&push, &[unconfirmed(Class::Busy)], seconds(1), 0);
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(1, 3) }, seconds(1));
    assert_eq!(plan.pending(), 0);
}

#[test]
fn retry_after_holds_the_whole_provider_back_and_has_a_ceiling() {
    for (asked, waits) in [(0, 1), (30, 30), (7200, 7200), (1_000_000, 86_400)] {
        let mut plan = one_lane();
        for index in 0..3 {
            plan.want(ME, &host(index), want(1, 1), seconds(0));
        }
        let push = plan.next(seconds(0)).unwrap();
        let slow_down = End::Unconfirmed {
            class: Class::Rate,
            retry_after: Some(Duration::from_secs(asked)),
            maybe_written: false,
        };
        plan.ended(&push, &[slow_down], seconds(0), 7);
        assert_eq!(plan.wake_at(), Some(Duration::from_secs(waits)));
        assert!(plan.next(at(Duration::from_secs(waits) - Duration::from_millis(1))).is_none());
        let probes = take(&mut plan, seconds(waits));
        assert_eq!(probes.len(), 1, "one probe, not all");
        plan.ended(&probes[0], &[End::Confirmed], seconds(waits), 0);
        assert_eq!(take(&mut plan, seconds(waits)).len(), 2);
    }
}

#[test]
fn a_success_that_was_under_way_does_not_lift_a_retry_after() {
    let mut plan = one_lane();
    for index in 0..3 {
        plan.want(ME, &host(index), want(1, 1), seconds(0));
    }
    let pushes = take(&mut plan, seconds(0));
    let slow_down =
        End::Unconfirmed { class: Class::Rate, retry_after: Some(Duration::from_secs(60)), maybe_written: false };
    plan.ended(&pushes[0], &[slow_down], seconds(0), 0);
    plan.ended(&pushes[1], &[End::Confirmed], seconds(1), 0);
    assert!(plan.next(seconds(59)).is_none());
    assert!(plan.next(seconds(60)).is_none(), "the third is still in flight");
    plan.ended(&pushes[2], &[End::Confirmed], seconds(60), 0);
    assert!(plan.next(seconds(60)).is_some());
}

#[test]
fn a_refused_credential_is_probed_by_one_host_at_growing_intervals() {
    let mut plan = one_lane();
    for index in 0..5 {
        plan.want(ME, &host(index), want(1, 1), seconds(0));
    }
    let mut now = Duration::ZERO;
    for push in take(&mut plan, at(now)) {
        plan.ended(&push, &[refused(Class::Auth)], at(now), 0);
    }
    assert_eq!(plan.standing(ME, &host(2), 1, seconds(0)), Standing::Refused);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let at_last = plan.wake_at().unwrap();
        pauses.push((at_last - now).as_secs());
        now = at_last;
        let probes = take(&mut plan, at(now));
        assert_eq!(probes.len(), 1);
        plan.ended(&probes[0], &[refused(Class::Auth)], at(now), 0);
    }
    assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    plan.configure(&[lane(ME)], at(now), stays);
    assert_eq!(take(&mut plan, at(now)).len(), 5, "a reload may have brought a new credential");
}

#[test]
fn one_host_that_may_not_be_touched_does_not_keep_the_others_out() {
    let mut plan = one_lane();
    plan.want(ME, &host(0), want(1, 1), seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    plan.ended(&push, &[refused(Class::Auth)], seconds(0), 0);
    let again = plan.next(seconds(60)).unwrap();
    plan.ended(&again, &[refused(Class::Auth)], seconds(60), 0);
    plan.want(ME, &host(1), want(1, 2), seconds(61));
    let probe = plan.next(seconds(180)).unwrap();
    assert_eq!(probe.items[0].hostname, host(1), "whoever has not been tried goes first");
    plan.ended(&probe, &[End::Confirmed], seconds(180), 0);
    assert_eq!(plan.standing(ME, &host(1), 2, seconds(0)), Standing::Applied);
}

#[test]
fn a_provider_that_is_down_is_probed_by_one_push_at_a_time() {
    let mut plan = one_lane();
    for index in 0..40 {
        plan.want(ME, &host(index), want(1, 1), seconds(0));
    }
    let pushes = take(&mut plan, seconds(0));
    assert_eq!(pushes.len(), PUSHES_PER_ACCOUNT);
    for push in pushes {
        plan.ended(&push, &[unconfirmed(Class::Down)], seconds(20), 0);
    }
    for _ in 0..30 {
        let now = at(plan.wake_at().unwrap());
        let probes = take(&mut plan, now);
        assert_eq!(probes.len(), 1);
        plan.ended(&probes[0], &[unconfirmed(Class::Down)], now, 999);
    }
    let now = at(plan.wake_at().unwrap());
    let probe = plan.next(now).unwrap();
    plan.ended(&probe, &[End::Confirmed], now, 0);
    assert!(take(&mut plan, now).len() > 1, "it answers again, so the others follow");
}

#[test]
fn one_failing_host_among_good_ones_delays_only_itself() {
    let mut plan = one_lane();
    plan.want(ME, &host(0), want(1, 1), seconds(0));
    for round in 0..20u8 {
        let now = seconds(u64::from(round) * 1000);
        plan.want(ME, &host(1), want(round, u64::from(round) + 1), now);
        for push in take(&mut plan, now) {
            let end = if push.items[0].hostname == host(0) { unconfirmed(Class::Down) } else { End::Confirmed };
            plan.ended(&push, &[end], now, 0);
        }
        assert_eq!(plan.standing(ME, &host(1), u64::from(round) + 1, seconds(0)), Standing::Applied);
    }
}

#[test]
fn a_refused_host_rests_until_something_changes() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), want(1, 1), seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    plan.ended(&push, &[refused(Class::Invalid)], seconds(0), 0);
    assert_eq!(plan.standing(ME, &host(1), 1, seconds(0)), Standing::Refused);
    plan.want(ME, &host(1), want(1, 2), seconds(10)); // the same again: the answer stands
    assert_eq!(plan.standing(ME, &host(1), 2, seconds(0)), Standing::Refused);
    assert!(plan.next(seconds(3599)).is_none());
    plan.want(ME, &host(1), want(2, 3), seconds(20));
    assert_eq!(plan.standing(ME, &host(1), 3, seconds(0)), Standing::Pending(Duration::from_secs(20)));
    let push = plan.next(seconds(20)).unwrap();
    plan.ended(&push, &[refused(Class::Invalid)], seconds(20), 0);
    assert_eq!(plan.wake_at(), Some(Duration::from_secs(3620)), "the slow probe");
    plan.configure(&[lane(ME)], seconds(30), stays);
    assert!(plan.next(seconds(30)).is_some(), "a reload asks again");
}

#[test]
fn what_waits_for_a_vanished_provider_is_dropped_and_its_last_push_ends_quietly() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), want(1, 1), seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    plan.want(ME, &host(2), want(1, 2), seconds(0));
    plan.configure(&[lane("other")], seconds(1), stays);
    assert!(plan.next(seconds(1)).is_none());
    // Back again before the push has ended: still never two at once.
    plan.configure(&[lane(ME)], seconds(2), stays);
    plan.want(ME, &host(1), want(2, 3), seconds(2));
    assert!(plan.next(seconds(2)).is_none());
    plan.ended(&push, &[End::Confirmed], seconds(3), 0);
    let last = plan.next(seconds(3)).unwrap();
    assert_eq!(last.items[0].number, 3);
    plan.configure(&[], seconds(4), stays);
    plan.ended(&last, &[unconfirmed(Class::Down)], seconds(5), 0);
    assert_eq!((plan.pending(), plan.in_flight(), plan.wake_at()), (0, 0, None));
}

#[test]
fn hosts_that_no_longer_go_to_a_provider_are_dropped() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), want(1, 1), seconds(0));
    plan.want(ME, &host(2), want(1, 2), seconds(0));
    plan.configure(&[lane(ME)], seconds(1), |provider, hostname| {
        stays(provider, hostname).filter(|_| *hostname == host(2))
    });
    assert_eq!(take(&mut plan, seconds(1)).len(), 1);
}

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

#[test]
fn a_refusal_that_is_partly_written_leaves_a_doubt() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(2, 2) }, seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    plan.ended(&push, &[End::Refused { class: Class::Quota, maybe_written: true }], seconds(0), 0);
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(1, 3) }, seconds(1));
    assert_eq!(plan.next(seconds(1)).unwrap().items[0].doubted, [addresses(2)]);
}

/// Two providers under one credential.
fn twins(budget: Budget) -> Reconcile {
    let twin = |name: &str| LaneSettings { account: 7, budget: budget.clone(), ..lane(name) };
    plan_of(&[twin("one"), twin("two"), lane(ME)])
}

#[test]
fn patience_asked_of_one_provider_holds_for_all_that_share_its_credential() {
    let mut plan = twins(Budget::default());
    for name in ["one", "two", ME] {
        plan.want(name, &host(1), want(1, 1), seconds(0));
    }
    let pushes = take(&mut plan, seconds(0));
    let one = pushes.iter().find(|push| &*push.provider == "one").unwrap();
    let slow_down =
        End::Unconfirmed { class: Class::Rate, retry_after: Some(Duration::from_secs(60)), maybe_written: false };
    plan.ended(one, &[slow_down], seconds(0), 0);
    assert_eq!(plan.blocked_for("two", seconds(20)), Some(Duration::from_secs(40)));
    assert_eq!(plan.blocked_for(ME, seconds(20)), None);
    for (name, may_go) in [("two", false), (ME, true)] {
        plan.want(name, &host(2), want(1, 1), seconds(20));
        assert_eq!(plan.next(seconds(20)).is_some(), may_go, "{name}");
    }
}

#[test]
fn no_budget_no_push_and_it_is_known_when_there_is() {
    let mut plan = twins(only(2, 10));
    for index in 0..3 {
        plan.want("one", &host(index), want(1, 1), seconds(0));
        plan.want("two", &host(index), want(1, 1), seconds(0));
    }
    let mut times = Vec::new();
    while let Some(wake) = plan.wake_at() {
        for push in take(&mut plan, at(wake)) {
            times.push(wake.as_secs());
            plan.ended(&push, &[End::Confirmed], at(wake), 0);
        }
    }
    assert_eq!(times, [0, 5, 10, 15, 20, 25]);
    assert_eq!(plan.blocked_for("one", seconds(26)).map(|wait| wait.as_secs()), Some(4));
    plan.configure(&[LaneSettings { account: 7, budget: Budget::of(&[]), ..lane("one") }], seconds(26), stays);
    assert_eq!(plan.blocked_for("one", seconds(26)), None);
}

#[test]
fn a_reload_gives_no_spent_budget_back() {
    let settings = [LaneSettings { budget: only(1, 10), ..lane(ME) }];
    let mut plan = plan_of(&settings);
    plan.want(ME, &host(1), want(1, 1), seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    plan.ended(&push, &[End::Confirmed], seconds(0), 0);
    plan.configure(&settings, seconds(1), stays);
    plan.want(ME, &host(1), want(2, 2), seconds(1));
    assert!(plan.next(seconds(1)).is_none());
    assert_eq!(plan.wake_at().unwrap().as_secs(), 10);
}

#[test]
fn what_was_begun_gets_its_next_call_before_anything_new_starts() {
    let mut plan = twins(only(2, 10));
    for index in 0..5 {
        plan.want("two", &host(index), want(1, 1), seconds(0));
    }
    let push = plan.next(seconds(0)).unwrap();
    let wait = plan.permit(&push.provider, seconds(0)).unwrap_err();
    let then = at(wait);
    assert!(plan.next(then).is_none());
    assert_eq!(plan.permit(&push.provider, then), Ok(()));
    assert!(plan.next(then).is_none());
    assert!(plan.next(at(wait * 2)).is_some());
}

#[test]
fn a_conversation_that_could_not_be_afforded_comes_back_when_it_can_be() {
    let mut plan = plan_of(&[LaneSettings { budget: only(40, 36_000), ..lane(ME) }]);
    // Others have spent it all but for one call.
    for _ in 0..19 {
        assert_eq!(plan.permit(ME, seconds(0)), Ok(()));
    }
    plan.want(ME, &host(1), want(1, 1), seconds(0));
    let (mut now, mut begun) = (Duration::ZERO, 0);
    loop {
        now = now.max(plan.wake_at().unwrap());
        let Some(push) = plan.next(at(now)) else { continue };
        begun += 1;
        // It takes five calls.
        let wait = (1..5).find_map(|_| plan.permit(ME, at(now)).err());
        let Some(wait) = wait else {
            plan.ended(&push, &[End::Confirmed], at(now), 0);
            break;
        };
        assert!(wait > plan.patience(ME));
        plan.ended(&push, &[End::Unaffordable], at(now), 0);
    }
    assert_eq!((begun, plan.pending()), (4, 0), "1, 2, 4, then 8 calls had to be free");
}

#[test]
fn a_host_that_changes_all_the_time_keeps_fifty_quiet_ones_waiting_for_one_call_each() {
    let mut plan = twins(only(6, 60));
    let mut ends = BTreeMap::new();
    for index in 0..50 {
        plan.want(if index % 2 == 0 { "one" } else { "two" }, &host(index), want(1, 1), seconds(0));
    }
    let mut noisy_pushes = 0;
    for second in 0..3600 {
        plan.want("one", &host(99), want(second as u8, second + 1), seconds(second));
        for push in take(&mut plan, seconds(second)) {
            if push.items[0].hostname == host(99) {
                noisy_pushes += 1;
            } else {
                ends.insert(push.items[0].hostname.clone(), second);
            }
            plan.ended(&push, &[End::Confirmed], seconds(second), 0);
        }
    }
    assert_eq!(ends.len(), 50);
    // 51 hosts wait at first, and a call comes back every 15 seconds.
    assert!(*ends.values().max().unwrap() <= 51 * 15, "{ends:?}");
    assert!(noisy_pushes > 100, "{noisy_pushes}");
}

#[test]
fn one_lane_of_an_account_does_not_starve_another() {
    let mut plan = twins(only(1, 10));
    let mut served = BTreeMap::<_, u32>::new();
    for second in 0..5000u64 {
        // Eleven hosts that change all the time, ten of them in the lane that comes first by its name.
        for index in 0..11 {
            let name = if index == 10 { "two" } else { "one" };
            plan.want(name, &host(index), want(second as u8, second + 1), seconds(second));
        }
        for push in take(&mut plan, seconds(second)) {
            *served.entry(push.items[0].hostname.clone()).or_default() += 1;
            plan.ended(&push, &[End::Confirmed], seconds(second), 0);
        }
    }
    let (least, most) = (served.values().min().unwrap(), served.values().max().unwrap());
    assert!(served.len() == 11 && most - least <= 1, "{served:?}");
}

#[test]
fn whatever_may_stand_there_when_a_newer_update_comes_is_known() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), want(1, 1), seconds(0));
    assert_eq!(plan.overtaken(ME, &host(1)), []);
    let push = plan.next(seconds(0)).unwrap();
    assert_eq!(plan.overtaken(ME, &host(1)), [], "it is on its way and still wanted");
    plan.want(ME, &host(1), want(2, 2), seconds(0));
    assert_eq!(plan.overtaken(ME, &host(1)), [addresses(1)]);
    plan.ended(
        &push,
        &[End::Unconfirmed { class: Class::Down, retry_after: None, maybe_written: true }],
        seconds(1),
        0,
    );
    assert_eq!(plan.overtaken(ME, &host(1)), [addresses(1)]);
    let push = plan.next(seconds(2)).unwrap();
    plan.ended(&push, &[End::Confirmed], seconds(3), 0);
    assert_eq!(plan.overtaken(ME, &host(1)), []);
}

#[test]
fn a_doubt_of_the_store_is_looked_into_although_the_plan_knows_of_none() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(2, 2) }, seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    // While 2 is on its way, 3 is recorded, and with it that 2 may stand there. It does not, but the store keeps that.
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(3, 3) }, seconds(0));
    plan.ended(&push, &[unconfirmed(Class::Busy)], seconds(0), 0);
    plan.want(ME, &host(1), Want { applied: addresses(1), doubted: vec![addresses(2)], ..want(1, 4) }, seconds(1));
    let push = plan.next(seconds(1)).unwrap();
    assert_eq!((push.items[0].desired, &push.items[0].doubted), (addresses(1), &vec![addresses(2)]));
}

#[test]
fn calls_that_one_conversation_was_begun_for_are_not_counted_on_by_another() {
    let budget = only(40, 36_000);
    let mut plan = plan_of(&[LaneSettings { budget, ..lane(ME) }]);
    for index in 0..2 {
        plan.want(ME, &host(index), want(1, 1), seconds(0));
    }
    for push in take(&mut plan, seconds(0)) {
        plan.ended(&push, &[End::Unaffordable], seconds(0), 0);
    }
    // Each must find two calls now. Of twenty, two are spent, fifteen go elsewhere: three are left, for one of them.
    for _ in 0..15 {
        assert_eq!(plan.permit(ME, seconds(0)), Ok(()));
    }
    assert_eq!(take(&mut plan, seconds(0)).len(), 1);
    assert_eq!(plan.permit(ME, seconds(0)), Ok(()));
}
