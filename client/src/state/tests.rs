//! What is remembered, who may work, and who is fenced off.

use super::*;
use crate::settings;

const GATEWAY: &str = "https://g.example";
const SPAN: Duration = Duration::from_secs(180);

fn settings(folder: &Path) -> Settings {
    let text = "gateway = \"https://g.example\"\ndevice = \"laptop\"\nhosts = [\"a.example.com\"]\nkey_env = \"K\"\n";
    let key = |name: &str| (name == "K").then(|| "k".repeat(43));
    settings::read(&folder.join("c.toml"), text, &key).unwrap_or_else(|mistakes| panic!("{mistakes}")).settings
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("nicgate-state-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn open_as(settings: &Settings, nonce: &str, now: u64) -> Option<(State, Vec<String>)> {
    match State::open(settings, nonce, at(now), SPAN).unwrap() {
        Opened::Ours(state, notes) => Some((*state, notes)),
        Opened::Busy => None,
    }
}

/// Opens what nobody holds. A child that another test is just starting has our locks, too, for a moment.
fn must_open(settings: &Settings, nonce: &str, now: u64) -> (State, Vec<String>) {
    for _ in 0..500 {
        if let Some(opened) = open_as(settings, nonce, now) {
            return opened;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody else should be at work");
}

fn open(settings: &Settings) -> (State, Vec<String>) {
    must_open(settings, "n", 0)
}

#[test]
fn what_was_noted_is_there_next_time_and_only_for_that_gateway() {
    let folder = folder("noted");
    let mut settings = settings(&folder);
    let host = settings.hosts[0].clone();
    let sent = AddressSet { v4: Some(Ipv4Addr::new(192, 0, 2, 1)), v6: None };
    let (mut state, _) = open(&settings);
    assert!(state.of(GATEWAY, &host).is_none());
    state.note(GATEWAY, &host, sent, &ReturnCode::Good(sent), at(7));
    state.note(GATEWAY, &host, sent, &ReturnCode::NineOneOne, at(9));
    state.close().unwrap();

    let (state, notes) = open(&settings);
    let entry = state.of(GATEWAY, &host).unwrap();
    assert_eq!((entry.acknowledged(), entry.acknowledged_at().seconds()), (sent, 7));
    assert!(!entry.is_acknowledged());
    assert!(notes.is_empty());
    assert!(state.of("https://other.example", &host).is_none());
    assert_eq!(state.newest(&host).unwrap().acknowledged(), sent);
    drop(state);

    let (mut state, _) = open(&settings);
    state.note(GATEWAY, &host, sent, &ReturnCode::NoChg(sent), at(11));
    assert!(state.of(GATEWAY, &host).unwrap().is_acknowledged());
    state.note_sending(GATEWAY, &host, sent);
    assert!(!state.of(GATEWAY, &host).unwrap().is_acknowledged(), "an answer is outstanding");
    drop(state);

    settings.device = nicgate_protocol::DeviceId::parse("other").unwrap();
    assert!(open(&settings).0.of(GATEWAY, &host).is_none());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_one_gateway_is_told_makes_another_acknowledgement_old() {
    let folder = folder("several");
    let settings = settings(&folder);
    let host = settings.hosts[0].clone();
    let [x, y] = [1, 2].map(|last| AddressSet { v4: Some(Ipv4Addr::new(192, 0, 2, last)), v6: None });
    let (mut state, _) = open(&settings);
    let other = "https://other.example";
    state.note(GATEWAY, &host, x, &ReturnCode::Good(x), at(7));
    state.note_sending(other, &host, x);
    assert!(state.of(GATEWAY, &host).unwrap().is_acknowledged(), "it was told the same");
    state.note_sending(other, &host, y);
    assert!(!state.of(GATEWAY, &host).unwrap().is_acknowledged(), "it knows less than the other now");
    drop(state);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_of_an_earlier_version_of_the_program_is_read() {
    let folder = folder("earlier");
    let settings = settings(&folder);
    let text = r#"{"version": 1, "hosts": [{"gateway": "https://g.example", "device": "laptop",
        "hostname": "a.example.com", "ipv4": "192.0.2.1", "acknowledged_at": 7, "heard": "good", "heard_at": 7}]}"#;
    fs::write(settings.state_file.as_ref().unwrap(), text).unwrap();
    let (state, notes) = open(&settings);
    assert!(state.of(GATEWAY, &settings.hosts[0]).unwrap().is_acknowledged() && notes.is_empty());
    drop(state);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_damaged_file_is_set_aside_and_said() {
    let folder = folder("damaged");
    let settings = settings(&folder);
    let path = settings.state_file.clone().unwrap();
    for text in ["{\"version\": 1, \"hosts\": [", "{\"version\": 2, \"hosts\": []}", "\u{0}\u{0}"] {
        fs::write(&path, text).unwrap();
        let (state, notes) = open(&settings);
        assert!(notes[0].contains("set aside as"), "{text}");
        assert_eq!(fs::read_to_string(with_ending(&path, ".damaged")).unwrap(), text);
        state.close().unwrap();
    }
    assert!(open(&settings).1.is_empty());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn two_instances_do_not_work_at_once() {
    let folder = folder("lock");
    let settings = settings(&folder);
    let first = open(&settings);
    assert!(open_as(&settings, "other", 100).is_none());
    drop(first);
    // What a dead one left does not stand in the way.
    drop(must_open(&settings, "other", 100));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn one_that_is_stuck_is_taken_over_and_writes_nothing_more() {
    let folder = folder("stuck");
    let settings = settings(&folder);
    let host = settings.hosts[0].clone();
    let [old, new] = [1, 2].map(|last| AddressSet { v4: Some(Ipv4Addr::new(192, 0, 2, last)), v6: None });

    let (mut stuck, _) = must_open(&settings, "stuck", 1000);
    assert!(open_as(&settings, "other", 1180).is_none(), "it may still be at work");
    let (mut taker, notes) = must_open(&settings, "taker", 1181);
    assert!(notes[0].contains("takes over"), "{notes:?}");
    assert!(open_as(&settings, "third", 1182).is_none(), "one takes over, not two");
    taker.note(GATEWAY, &host, new, &ReturnCode::Good(new), at(1185));
    taker.close().unwrap();

    stuck.note(GATEWAY, &host, old, &ReturnCode::Good(old), at(1190));
    stuck.save().unwrap();
    assert_eq!(State::peek(&settings).of(GATEWAY, &host).unwrap().acknowledged(), new);
    let (next, _) = must_open(&settings, "next", 1200);
    drop(next);
    stuck.close().unwrap();
    assert_eq!(must_open(&settings, "after", 1300).0.of(GATEWAY, &host).unwrap().acknowledged(), new);
    fs::remove_dir_all(folder).unwrap();
}

/// What happens to an instance that opened the state: it ends in time, late, or is killed.
struct AtWork {
    state: State,
    opened: u64,
    ends: u64,
    is_killed: bool,
}

#[test]
fn whoever_wakes_up_late_never_writes_over_what_came_after() {
    for seed in 0..20_u64 {
        let mut dice = seed;
        let mut roll = |below: u64| {
            // Steele, Lea, Flood: splittable generators; any will do.
            dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (dice ^ (dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ (mixed >> 27)) % below
        };
        let folder = folder(&format!("late-{seed}"));
        let settings = settings(&folder);
        let host = settings.hosts[0].clone();
        let (mut at_work, mut newest): (Vec<AtWork>, u64) = (Vec::new(), 0);
        for step in 1..120_u64 {
            let now = 1000 + step * 20;
            // Those whose time has come write what they learned when they began.
            let (ending, going_on): (Vec<AtWork>, Vec<AtWork>) = at_work.into_iter().partition(|one| one.ends <= now);
            at_work = going_on;
            for mut one in ending.into_iter().filter(|one| !one.is_killed) {
                let sent = AddressSet { v4: Some(Ipv4Addr::from(u32::try_from(one.opened).unwrap())), v6: None };
                one.state.note(GATEWAY, &host, sent, &ReturnCode::Good(sent), at(one.opened));
                let was_ours = one.state.is_still_ours();
                one.state.close().unwrap();
                if was_ours {
                    assert!(one.opened >= newest, "seed {seed}, {now}: {} after {newest}", one.opened);
                    newest = one.opened;
                }
            }
            let stands = State::peek(&settings).of(GATEWAY, &host).map_or(0, |entry| entry.acknowledged_at().seconds());
            assert_eq!(stands, newest, "seed {seed}, {now}");
            let in_time = at_work.iter().filter(|one| one.opened + SPAN.as_secs() >= now).count();
            if let Some((state, _)) = open_as(&settings, &format!("{now}"), now) {
                assert_eq!(in_time, 0, "seed {seed}, {now}: nobody is disturbed within its time");
                let lasts = if roll(4) == 0 { 200 + roll(600) } else { roll(160) };
                at_work.push(AtWork { state, opened: now, ends: now + lasts, is_killed: roll(5) == 0 });
            }
        }
        assert!(newest > 1000, "seed {seed}: work was done");
        drop(at_work);
        fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn a_place_that_cannot_be_written_is_a_fault() {
    let mut settings = settings(Path::new("/"));
    settings.state_file = Some(PathBuf::from("/no/such/folder/state.json"));
    let Err(fault) = State::open(&settings, "n", at(0), SPAN) else { panic!("there is no such folder") };
    assert!(fault.to_string().starts_with("/no/such/folder/state.json.lock cannot be locked"), "{fault}");
}
