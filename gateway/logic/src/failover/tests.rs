//! Tables of what devices do, and one long random life on a virtual clock.

use super::*;
use crate::Now;

const START: Duration = Duration::from_secs(3600);
const NOON: Timestamp = Timestamp(1_795_348_800_000);

fn id(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

/// Heartbeats every ten minutes, three may be missed, two bring back, five minutes between switches.
fn rule() -> FailOver {
    FailOver {
        devices: vec![id("fiber"), id("lte"), id("sat")],
        heartbeat: minutes(10),
        misses: 3,
        returns: 2,
        hold_down: minutes(5),
    }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn v4(last: u8) -> AddressSet {
    AddressSet { v4: Some([192, 0, 2, last].into()), v6: None }
}

/// A host without requests around it.
struct Host {
    rule: FailOver,
    state: HostState,
    watch: Watch,
    switches: Vec<Duration>,
}

impl Host {
    fn new(rule: FailOver) -> Self {
        let watch = Watch { now: Now { wall: NOON, uptime: START }, since: START };
        Self { rule, state: HostState::default(), watch, switches: Vec::new() }
    }

    fn at(&mut self, minute: u64) -> &mut Self {
        self.set(START + minutes(minute))
    }

    fn set(&mut self, uptime: Duration) -> &mut Self {
        assert!(uptime >= self.watch.now.uptime, "time goes on");
        self.watch.now.wall = self.watch.now.wall + (uptime - self.watch.now.uptime);
        self.watch.now.uptime = uptime;
        self
    }

    /// What the gateway does when the host is due, and at no other time.
    fn live_until(&mut self, uptime: Duration) {
        while let Some(due) = self.due().filter(|due| *due <= uptime) {
            self.set(due.max(self.watch.now.uptime)).look();
            assert!(self.due().is_none_or(|next| next > due), "a look that is due at once again never ends");
        }
        self.set(uptime);
    }

    fn due(&self) -> Option<Duration> {
        self.state.feeds.as_deref().and_then(|feeds| feeds.due(&self.rule, self.watch))
    }

    fn look(&mut self) -> &mut Self {
        if let Some(mut feeds) = self.state.feeds.take() {
            feeds.pass(&self.rule, self.watch);
            self.choose(feeds);
        }
        self
    }

    fn says(&mut self, device: &str, addresses: AddressSet) -> &mut Self {
        self.word(device, addresses, true)
    }

    fn word(&mut self, device: &str, addresses: AddressSet, is_heartbeat: bool) -> &mut Self {
        let mut feeds = Feeds::take(&mut self.state, &id(device), self.watch);
        let word = Word { addresses, ordered_at: self.watch.now.wall, is_heartbeat };
        feeds.hear(&id(device), &word, &self.rule, self.watch);
        self.choose(feeds);
        self
    }

    fn choose(&mut self, mut feeds: Box<Feeds>) {
        if feeds.choose(&self.rule, self.watch) {
            self.switches.push(self.watch.now.uptime);
        }
        self.state.feeds = Some(feeds);
    }

    fn restart(&mut self) -> &mut Self {
        self.watch.since = self.watch.now.uptime;
        if let Some(feeds) = &mut self.state.feeds {
            for report in &mut feeds.reports {
                report.heard.uptime = Duration::ZERO;
                if report.presence != Presence::Here {
                    report.presence = Presence::Silent;
                }
            }
            if let Some(switched) = &mut feeds.switched {
                switched.uptime = Duration::ZERO;
            }
        }
        self
    }

    fn active(&self) -> &str {
        self.state.feeds.as_deref().map_or("nobody", |feeds| feeds.active.as_str())
    }

    fn published(&self) -> AddressSet {
        self.state.feeds.as_deref().map(Feeds::addresses).unwrap_or_default()
    }
}

#[test]
fn the_preferred_device_is_published_as_soon_as_it_speaks_for_the_first_time() {
    let mut host = Host::new(rule());
    assert_eq!(host.says("sat", v4(3)).active(), "sat", "who is alone is published at once");
    assert_eq!(host.says("lte", v4(2)).active(), "lte");
    // That was the second switch within five minutes.
    assert_eq!(host.at(1).says("fiber", v4(1)).active(), "lte");
    host.live_until(START + minutes(5));
    assert_eq!((host.active(), host.published()), ("fiber", v4(1)));
    host.says("lte", v4(4)).says("sat", v4(5));
    assert_eq!((host.active(), host.published()), ("fiber", v4(1)));
}

#[test]
fn a_silent_device_is_replaced_and_comes_back_after_two_heartbeats_in_a_row() {
    let mut host = Host::new(rule());
    host.says("fiber", v4(1)).says("lte", v4(2));
    for minute in [10, 20, 29] {
        host.at(minute).says("lte", v4(2));
    }
    host.live_until(START + minutes(30) - Duration::from_millis(1));
    assert_eq!(host.active(), "fiber");
    host.live_until(START + minutes(30));
    assert_eq!((host.active(), host.published()), ("lte", v4(2)));

    // A burst is one heartbeat.
    for _ in 0..5 {
        host.says("fiber", v4(1)).says("lte", v4(2));
    }
    host.at(31).says("fiber", v4(1));
    assert_eq!(host.active(), "lte");
    // One, and then nothing for too long, begins anew.
    host.live_until(START + minutes(62));
    host.says("lte", v4(2)).says("fiber", v4(9));
    assert_eq!(host.active(), "lte");
    host.at(67).says("fiber", v4(9));
    assert_eq!((host.active(), host.published()), ("fiber", v4(9)));
}

#[test]
fn when_all_are_silent_nothing_changes() {
    let mut host = Host::new(rule());
    host.says("fiber", v4(1)).says("lte", v4(2));
    host.live_until(START + minutes(1000));
    assert_eq!((host.active(), host.published(), host.due()), ("fiber", v4(1), None));
    // The published one speaks first: no switch, and what it says is published at once.
    host.says("fiber", v4(7));
    assert_eq!((host.active(), host.published()), ("fiber", v4(7)));
    // Another one needs two heartbeats, as every silent device does.
    host.live_until(START + minutes(2000));
    assert_eq!(host.says("lte", v4(2)).active(), "fiber");
    host.live_until(START + minutes(2010));
    assert_eq!(host.says("lte", v4(2)).active(), "lte");
}

#[test]
fn a_restart_and_a_replay_make_nobody_silent_and_nobody_living() {
    let mut host = Host::new(rule());
    host.says("fiber", v4(1)).at(25).says("lte", v4(2)).restart();
    host.live_until(START + minutes(54));
    assert_eq!(host.active(), "fiber", "nobody listened long enough");
    host.says("lte", v4(2));
    host.live_until(START + minutes(55));
    assert_eq!(host.active(), "lte");
    // Who was silent before the restart is so after it, and a replay does not count.
    host.restart().word("fiber", v4(1), false);
    host.at(66).says("lte", v4(2)).word("fiber", v4(1), false);
    assert_eq!(host.active(), "lte");
    host.says("fiber", v4(1)).at(71).says("fiber", v4(1));
    assert_eq!(host.active(), "fiber");
}

#[test]
fn a_device_that_takes_its_addresses_away_is_replaced() {
    let mut host = Host::new(rule());
    host.says("fiber", v4(1)).says("lte", v4(2)).at(10).says("fiber", AddressSet::EMPTY);
    assert_eq!((host.active(), host.published()), ("lte", v4(2)));
    host.at(16).says("fiber", v4(1));
    assert_eq!(host.active(), "fiber");
    // With nobody to replace it, its wish is done.
    let mut alone = Host::new(rule());
    alone.says("fiber", v4(1)).says("fiber", AddressSet::EMPTY);
    assert_eq!((alone.active(), alone.published()), ("fiber", AddressSet::EMPTY));
}

#[test]
fn a_device_outside_the_list_ranks_last_and_takes_no_room() {
    let mut host = Host::new(rule());
    assert_eq!(host.says("laptop", v4(50)).active(), "laptop");
    assert_eq!(host.says("phone", v4(51)).active(), "laptop", "of two such devices the one that is published stays");
    assert_eq!(host.at(1).says("lte", v4(2)).active(), "lte");
    for number in 0..100 {
        host.says(&format!("guest{number}"), v4(number));
    }
    assert_eq!((host.active(), host.state.feeds.as_ref().unwrap().reports.len()), ("lte", 2));
    // Better than nobody.
    host.at(30).says("guest99", v4(52));
    host.live_until(START + minutes(31));
    assert_eq!((host.active(), host.published()), ("guest99", v4(52)));
}

#[test]
fn a_host_that_gets_fail_over_later_begins_with_the_device_that_published_last() {
    let mut host = Host::new(rule());
    host.state = HostState { desired: v4(1), number: 7, device: Some(id("fiber")), ..HostState::default() };
    assert_eq!(host.says("lte", v4(2)).active(), "fiber");
    host.at(29).says("lte", v4(2)).live_until(START + minutes(30));
    assert_eq!(host.active(), "lte");
}

#[test]
fn the_log_is_told_what_happened() {
    let told = |host: &mut Host, live: &dyn Fn(&mut Host)| {
        let before = host.state.clone();
        live(host);
        switch(&before, &host.state, &host.rule).map(|switch| (switch.from.to_string(), switch.is_back, switch.why))
    };
    let mut host = Host::new(rule());
    host.says("fiber", v4(1)).says("lte", v4(2));
    assert_eq!(told(&mut host, &|host| _ = host.at(20).says("lte", v4(2))), None);
    let silent = told(&mut host, &|host| host.live_until(START + minutes(30)));
    assert_eq!(silent, Some(("fiber".into(), false, "fiber was not heard since 2026-11-22T12:00:00.000Z".into())));
    host.at(40).says("fiber", v4(1)).says("lte", v4(2));
    let back = told(&mut host, &|host| _ = host.at(45).says("fiber", v4(1)));
    assert_eq!(back, Some(("lte".into(), true, "fiber goes before lte, and is there".into())));
    let away = told(&mut host, &|host| _ = host.at(50).says("fiber", AddressSet::EMPTY));
    assert_eq!(away, Some(("fiber".into(), false, "fiber took its addresses away".into())));
}

/// SplitMix64, so that a seed replays.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

#[test]
fn whatever_devices_do_it_never_flaps_and_ends_at_the_best_living_one() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let rule = FailOver {
            misses: 1 + dice.below(4) as u32,
            returns: 1 + dice.below(3) as u32,
            hold_down: minutes(dice.below(90)),
            ..rule()
        };
        let mut host = Host::new(rule.clone());
        let names = ["fiber", "lte", "sat"];
        let mut is_up = [true; 3];
        let mut uptime = START;
        for _ in 0..300 {
            uptime += Duration::from_secs(dice.below(900));
            host.live_until(uptime);
            let device = dice.below(3) as usize;
            match dice.below(20) {
                0 => is_up[device] = !is_up[device],
                1 => _ = host.restart(),
                2 => _ = host.says(names[device], AddressSet::EMPTY),
                _ if is_up[device] => _ = host.says(names[device], v4(1 + device as u8)),
                _ => {}
            }
        }
        // From here on some speak as they should, and the others not at all.
        let living: Vec<usize> = (0..3).filter(|_| dice.below(2) == 0).collect();
        let mut settled = Vec::new();
        for round in 0..40 {
            for device in &living {
                host.says(names[*device], v4(1 + *device as u8));
            }
            uptime += minutes(9);
            host.live_until(uptime);
            if round == 30 {
                settled = host.switches.clone();
            }
        }
        assert_eq!(host.switches, settled, "seed {seed}: {living:?}");
        if let Some(best) = living.first() {
            assert_eq!(host.active(), names[*best], "seed {seed}: {living:?}");
        }
        let gaps = host.switches.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.into_iter().all(|gap| gap >= rule.hold_down), "seed {seed}: {:?}", host.switches);
    }
}

#[test]
fn looking_when_it_is_due_is_as_good_as_looking_all_the_time() {
    for seed in 0..100 {
        let (mut dice, mut lazy, mut eager) = (Dice(seed), Host::new(rule()), Host::new(rule()));
        let mut uptime = START;
        for _ in 0..60 {
            let until = uptime + Duration::from_secs(60 * dice.below(25));
            lazy.live_until(until);
            while uptime < until {
                uptime += minutes(1);
                eager.set(uptime).look();
            }
            let device = ["fiber", "lte", "sat"][dice.below(3) as usize];
            for host in [&mut lazy, &mut eager] {
                host.says(device, v4(1));
            }
            assert_eq!(lazy.active(), eager.active(), "seed {seed}");
            assert_eq!(lazy.switches, eager.switches, "seed {seed}");
        }
    }
}
