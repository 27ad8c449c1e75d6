//! Providers that share a credential, and its budget.

use super::*;

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
