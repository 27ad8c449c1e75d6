use nicgate_protocol::Timestamp;

use super::*;

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
    Want { desired: addresses(last), number, applied: AddressSet::EMPTY, is_doubtful: false }
}

fn one_lane() -> Reconcile {
    let mut plan = Reconcile::new();
    plan.configure(&[ME.into()], seconds(0), |_, _| true);
    plan
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
    assert_eq!(plan.standing(ME, &host(1), 5), Standing::Applied);
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
    plan.ended(ME, &first.hostname, &End::Confirmed, seconds(1), 0);
    let second = plan.next(seconds(1)).unwrap();
    assert_eq!((second.desired, second.number, second.attempt), (addresses(4), 4, 1));
    plan.ended(ME, &second.hostname, &End::Confirmed, seconds(2), 0);
    assert_eq!(plan.pending(), 0);
}

#[test]
fn a_lost_answer_is_pushed_again_even_when_the_old_address_comes_back() {
    let mut plan = one_lane();
    let from_1_to_2 = Want { applied: addresses(1), ..want(2, 2) };
    plan.want(ME, &host(1), from_1_to_2, seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    let lost = End::Unconfirmed { class: Class::Down, retry_after: None, maybe_written: true };
    plan.ended(ME, &push.hostname, &lost, seconds(1), 0);
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(1, 3) }, seconds(1));
    let again = plan.next(seconds(1)).unwrap();
    assert_eq!((again.desired, again.doubted), (addresses(1), vec![addresses(2)]));
}

#[test]
fn a_change_that_surely_was_not_made_and_is_taken_back_needs_no_push() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(2, 2) }, seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    plan.ended(ME, &push.hostname, &unconfirmed(Class::Busy), seconds(1), 0);
    plan.want(ME, &host(1), Want { applied: addresses(1), ..want(1, 3) }, seconds(1));
    assert_eq!(plan.pending(), 0);
}

#[test]
fn pauses_double_up_to_a_quarter_of_an_hour_and_never_vanish() {
    for (attempt, longest) in [(1, 2), (2, 4), (5, 32), (9, 512), (10, 900), (40, 900)] {
        let longest = Duration::from_secs(longest);
        assert_eq!(pause(attempt, 0), SHORTEST_PAUSE);
        let spread = u64::try_from((longest - SHORTEST_PAUSE).as_millis()).unwrap();
        assert_eq!(pause(attempt, spread), longest, "{attempt}");
        assert_eq!(pause(attempt, spread + 1), SHORTEST_PAUSE);
    }
}

#[test]
fn retry_after_holds_the_whole_provider_back_and_has_a_ceiling() {
    for (asked, waits) in [(0, 1), (30, 30), (1_000_000, 3600)] {
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
        plan.ended(ME, &push.hostname, &slow_down, seconds(0), 7);
        assert_eq!(plan.wake_at(), Some(Duration::from_secs(waits)));
        assert!(plan.next(at(Duration::from_secs(waits) - Duration::from_millis(1))).is_none());
        let probes = take(&mut plan, seconds(waits));
        assert_eq!(probes.len(), 1, "one probe, not all");
        plan.ended(ME, &probes[0].hostname, &End::Confirmed, seconds(waits), 0);
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
    plan.ended(ME, &pushes[0].hostname, &slow_down, seconds(0), 0);
    plan.ended(ME, &pushes[1].hostname, &End::Confirmed, seconds(1), 0);
    assert!(plan.next(seconds(59)).is_none());
    assert!(plan.next(seconds(60)).is_none(), "the third is still in flight");
    plan.ended(ME, &pushes[2].hostname, &End::Confirmed, seconds(60), 0);
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
        plan.ended(ME, &push.hostname, &End::Refused(Class::Auth), at(now), 0);
    }
    assert_eq!(plan.standing(ME, &host(2), 1), Standing::Refused);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let at_last = plan.wake_at().unwrap();
        pauses.push((at_last - now).as_secs());
        now = at_last;
        let probes = take(&mut plan, at(now));
        assert_eq!(probes.len(), 1);
        plan.ended(ME, &probes[0].hostname, &End::Refused(Class::Auth), at(now), 0);
    }
    assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    plan.configure(&[ME.into()], at(now), |_, _| true);
    assert_eq!(take(&mut plan, at(now)).len(), 5, "a reload may have brought a new credential");
}

#[test]
fn one_host_that_may_not_be_touched_does_not_keep_the_others_out() {
    let mut plan = one_lane();
    plan.want(ME, &host(0), want(1, 1), seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    plan.ended(ME, &push.hostname, &End::Refused(Class::Auth), seconds(0), 0);
    let again = plan.next(seconds(60)).unwrap();
    plan.ended(ME, &again.hostname, &End::Refused(Class::Auth), seconds(60), 0);
    plan.want(ME, &host(1), want(1, 2), seconds(61));
    let probe = plan.next(seconds(180)).unwrap();
    assert_eq!(probe.hostname, host(1), "whoever has not been tried goes first");
    plan.ended(ME, &probe.hostname, &End::Confirmed, seconds(180), 0);
    assert_eq!(plan.standing(ME, &host(1), 2), Standing::Applied);
}

#[test]
fn a_provider_that_is_down_is_probed_by_one_push_at_a_time() {
    let mut plan = one_lane();
    for index in 0..40 {
        plan.want(ME, &host(index), want(1, 1), seconds(0));
    }
    let pushes = take(&mut plan, seconds(0));
    assert_eq!(pushes.len(), PUSHES_PER_PROVIDER);
    for push in pushes {
        plan.ended(ME, &push.hostname, &unconfirmed(Class::Down), seconds(20), 0);
    }
    for _ in 0..30 {
        let now = at(plan.wake_at().unwrap());
        let probes = take(&mut plan, now);
        assert_eq!(probes.len(), 1);
        plan.ended(ME, &probes[0].hostname, &unconfirmed(Class::Down), now, 999);
    }
    let now = at(plan.wake_at().unwrap());
    let probe = plan.next(now).unwrap();
    plan.ended(ME, &probe.hostname, &End::Confirmed, now, 0);
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
            let end = if push.hostname == host(0) { unconfirmed(Class::Down) } else { End::Confirmed };
            plan.ended(ME, &push.hostname, &end, now, 0);
        }
        assert_eq!(plan.standing(ME, &host(1), u64::from(round) + 1), Standing::Applied);
    }
}

#[test]
fn a_refused_host_rests_until_something_changes() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), want(1, 1), seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    plan.ended(ME, &push.hostname, &End::Refused(Class::Invalid), seconds(0), 0);
    assert_eq!(plan.standing(ME, &host(1), 1), Standing::Refused);
    plan.want(ME, &host(1), want(1, 2), seconds(10)); // the same again: the answer stands
    assert_eq!(plan.standing(ME, &host(1), 2), Standing::Refused);
    assert!(plan.next(seconds(3599)).is_none());
    plan.want(ME, &host(1), want(2, 3), seconds(20));
    assert_eq!(plan.standing(ME, &host(1), 3), Standing::Pending(Duration::from_secs(20)));
    let push = plan.next(seconds(20)).unwrap();
    plan.ended(ME, &push.hostname, &End::Refused(Class::Invalid), seconds(20), 0);
    assert_eq!(plan.wake_at(), Some(Duration::from_secs(3620)), "the slow probe");
    plan.configure(&[ME.into()], seconds(30), |_, _| true);
    assert!(plan.next(seconds(30)).is_some(), "a reload asks again");
}

#[test]
fn what_waits_for_a_vanished_provider_is_dropped_and_its_last_push_ends_quietly() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), want(1, 1), seconds(0));
    let push = plan.next(seconds(0)).unwrap();
    plan.want(ME, &host(2), want(1, 2), seconds(0));
    plan.configure(&["other".into()], seconds(1), |_, _| true);
    assert!(plan.next(seconds(1)).is_none());
    // Back again before the push has ended: still never two at once.
    plan.configure(&[ME.into()], seconds(2), |_, _| true);
    plan.want(ME, &host(1), want(2, 3), seconds(2));
    assert!(plan.next(seconds(2)).is_none());
    plan.ended(ME, &push.hostname, &End::Confirmed, seconds(3), 0);
    assert_eq!(plan.next(seconds(3)).unwrap().number, 3);
    plan.configure(&[], seconds(4), |_, _| true);
    plan.ended(ME, &host(1), &unconfirmed(Class::Down), seconds(5), 0);
    assert_eq!((plan.pending(), plan.in_flight(), plan.wake_at()), (0, 0, None));
}

#[test]
fn hosts_that_no_longer_go_to_a_provider_are_dropped() {
    let mut plan = one_lane();
    plan.want(ME, &host(1), want(1, 1), seconds(0));
    plan.want(ME, &host(2), want(1, 2), seconds(0));
    plan.configure(&[ME.into()], seconds(1), |_, hostname| *hostname == host(2));
    assert_eq!(take(&mut plan, seconds(1)).len(), 1);
}

/// SplitMix64: the same numbers from the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

/// One provider as it really is, on the other side of the network.
#[derive(Default)]
struct Truth {
    published: HashMap<Hostname, AddressSet>,
    confirmed: HashMap<Hostname, AddressSet>,
    in_flight: HashMap<Hostname, Push>,
}

/// Thousands of updates, random ends, a clock that jumps from event to event.
fn simulate(seed: u64) {
    let mut dice = Dice(seed);
    let providers: Vec<Arc<str>> = vec!["one".into(), "two".into()];
    let mut plan = Reconcile::new();
    let mut now = Duration::ZERO;
    plan.configure(&providers, at(now), |_, _| true);
    let mut truths = [Truth::default(), Truth::default()];
    let mut desired: HashMap<Hostname, (AddressSet, u64)> = HashMap::new();
    let mut number = 0;
    let updates = 2000;
    loop {
        let is_calm = number >= updates;
        // Either an update, or the end of a push, or time passes.
        if !is_calm && dice.below(3) == 0 {
            number += 1;
            let hostname = host(usize::try_from(dice.below(60)).unwrap());
            let addresses = if dice.below(20) == 0 { AddressSet::EMPTY } else { addresses(dice.below(4) as u8) };
            desired.insert(hostname.clone(), (addresses, number));
            for (name, truth) in providers.iter().zip(&truths) {
                let applied = truth.confirmed.get(&hostname).copied().unwrap_or_default();
                let want = Want { desired: addresses, number, applied, is_doubtful: false };
                plan.want(name, &hostname, want, at(now));
            }
        }
        for (name, truth) in providers.iter().zip(&mut truths) {
            if !truth.in_flight.is_empty() && dice.below(2) == 0 {
                let mut names: Vec<&Hostname> = truth.in_flight.keys().collect();
                names.sort();
                let hostname = names[usize::try_from(dice.below(names.len() as u64)).unwrap()].clone();
                let push = truth.in_flight.remove(&hostname).unwrap();
                let end = random_end(&mut dice, is_calm, push.number, truth, &push);
                plan.ended(name, &hostname, &end, at(now), dice.roll());
            }
        }
        if !is_calm && dice.below(200) == 0 {
            plan.configure(&providers, at(now), |_, _| true);
        }
        while let Some(push) = plan.next(at(now)) {
            let index = providers.iter().position(|name| *name == push.provider).unwrap();
            let truth = &mut truths[index];
            assert!(!truth.in_flight.contains_key(&push.hostname), "seed {seed}: two pushes of one host");
            assert_eq!(push.number, desired[&push.hostname].1, "seed {seed}: not the newest");
            let lane = &plan.lanes[&push.provider];
            assert!(truth.in_flight.len() < PUSHES_PER_PROVIDER, "seed {seed}: too many at once");
            if matches!(lane.gate, Gate::Closed { .. }) {
                assert!(truth.in_flight.is_empty(), "seed {seed}: two in flight to a blocked provider");
            }
            truth.in_flight.insert(push.hostname.clone(), push);
        }
        let is_idle = truths.iter().all(|truth| truth.in_flight.is_empty());
        match plan.wake_at() {
            None if is_idle && is_calm => break,
            Some(wake) if is_idle && is_calm => now = now.max(wake),
            None | Some(_) => now += Duration::from_millis(dice.below(2000)),
        }
    }
    assert_eq!(plan.pending(), 0);
    for (hostname, (addresses, _)) in &desired {
        for truth in &truths {
            let published = truth.published.get(hostname).copied().unwrap_or_default();
            assert_eq!(published, *addresses, "seed {seed}: {hostname}");
        }
    }
}

fn random_end(dice: &mut Dice, is_calm: bool, number: u64, truth: &mut Truth, push: &Push) -> End {
    // A bad spell every few hundred updates, in which nearly everything fails.
    let is_bad_spell = !is_calm && number % 500 > 350;
    if is_calm || (!is_bad_spell && dice.below(3) > 0) {
        truth.published.insert(push.hostname.clone(), push.desired);
        truth.confirmed.insert(push.hostname.clone(), push.desired);
        return End::Confirmed;
    }
    let class =
        [Class::Auth, Class::Denied, Class::Invalid, Class::Rate, Class::Busy, Class::Down, Class::Down, Class::Bug]
            [usize::try_from(dice.below(8)).unwrap()];
    match class {
        Class::Auth | Class::Denied | Class::NoZone | Class::Invalid | Class::Quota => End::Refused(class),
        Class::Rate => {
            let retry_after = (dice.below(2) == 0).then(|| Duration::from_secs(dice.below(400)));
            End::Unconfirmed { class, retry_after, maybe_written: false }
        }
        Class::Busy => unconfirmed(class),
        Class::Down | Class::Bug => {
            let maybe_written = dice.below(2) == 0;
            if maybe_written && dice.below(2) == 0 {
                truth.published.insert(push.hostname.clone(), push.desired);
            }
            End::Unconfirmed { class, retry_after: None, maybe_written }
        }
    }
}

#[test]
fn whatever_happens_every_host_ends_with_its_newest_addresses() {
    for seed in 0..20 {
        simulate(seed);
    }
}
