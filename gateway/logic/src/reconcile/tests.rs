//! One lane: what waits, goes, comes back and is doubted.

use nicgate_protocol::Timestamp;

use super::*;
use crate::budget::Window;

mod accounts;
mod batches;

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

#[test]
fn a_refusal_that_is_partly_written_leaves_a_doubt() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(2, 2) }, seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    plan.ended(&push, &[End::Refused { class: Class::Quota, maybe_written: true }], seconds(0), 0);
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(1, 3) }, seconds(1));
    assert_eq!(plan.next(seconds(1)).unwrap().items[0].doubted, [addresses(2)]);
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
