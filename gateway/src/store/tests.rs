//! The store as its callers see it, on real files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;

use redb::{Database, TableDefinition};

use super::*;

const NOW: Timestamp = Timestamp(1_767_323_045_000);

/// A folder of its own for one test; gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nicgate-store-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    /// Another test may just be starting a program: for a moment that child holds every lock of this process, too.
    fn open(&self) -> Store {
        for _ in 0..200 {
            match Store::open(&self.0, NOW) {
                Err(StoreError::InUse { .. }) => std::thread::sleep(Duration::from_millis(10)),
                opened => return opened.unwrap(),
            }
        }
        panic!("the store stays in use")
    }

    fn file(&self) -> PathBuf {
        self.0.join("nicgate.redb")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn name(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

fn numbered(number: u32) -> Hostname {
    name(&format!("h{number}.home.test"))
}

fn desired(last: u8) -> AddressSet {
    AddressSet { v4: Some([203, 0, 113, last].into()), v6: None }
}

fn device(id: &str) -> StoredDevice {
    StoredDevice {
        id: DeviceId::parse(id).unwrap(),
        generation: Generation { number: 2, previous_until: Some(NOW) },
        registration: Some(Registration {
            patterns: vec![HostPattern::parse("*.lan.home.test").unwrap()],
            profile: Some(Profile::Strict),
            allowances: Allowances { delete: true, ..Allowances::default() },
        }),
        is_revoked: false,
        invite: Some(Invite { digest: [3; 32], until: NOW, used: None }),
    }
}

fn confirmed(provider: &str, addresses: AddressSet) -> Applied {
    Applied {
        provider: provider.into(),
        addresses,
        ttl: 60,
        remembered: Some("zone/record".into()),
        ..Applied::default()
    }
}

async fn publish(store: &Store, hostname: &Hostname, addresses: AddressSet) -> Result<Ticket, StoreError> {
    let turn = store.turn(hostname).await;
    let next = HostState { desired: addresses, ..turn.state().clone() };
    turn.record(next).await
}

#[tokio::test]
async fn what_was_recorded_is_there_after_a_restart() {
    let folder = Folder::new("restart");
    let store = folder.open();
    assert_eq!(store.number(), NOW.seconds());
    let ticket = publish(&store, &name("a.home.test"), desired(1)).await.unwrap();
    assert_eq!(ticket.number, NOW.seconds() + 1);
    publish(&store, &name("b.home.test"), desired(2)).await.unwrap();
    let turn = store.device_turn().await;
    store.put_device(&turn, device("laptop")).await.unwrap();
    store.set_key_fingerprint([7; 16]).await.unwrap();
    store.close().unwrap();

    let store = folder.open();
    assert_eq!(store.number(), NOW.seconds() + 2);
    assert_eq!(store.host_count(), 2);
    let state = store.host("a.home.test").unwrap();
    assert_eq!((state.desired, state.number), (desired(1), ticket.number));
    assert_eq!(store.devices(), [device("laptop")]);
    assert_eq!(store.key_fingerprint(), Some([7; 16]));
    let names: Vec<String> = store.hosts_after(None, 9).into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["a.home.test", "b.home.test"]);
}

/// What gateways wrote before there were invitations.
#[tokio::test]
async fn a_store_of_before_invitations_opens() {
    let folder = Folder::new("before-invitations");
    folder.open().close().unwrap();
    let row = [&[1, 2, 0, 1, 1, 11][..], b"a.home.test", &[0, 0, 0, 0, 0]].concat();
    let database = Database::open(folder.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    let devices = TableDefinition::<&str, &[u8]>::new("devices");
    transaction.open_table(devices).unwrap().insert("laptop", row.as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);

    let store = folder.open();
    let old = StoredDevice {
        id: DeviceId::parse("laptop").unwrap(),
        generation: Generation { number: 2, previous_until: None },
        registration: Some(Registration {
            patterns: vec![HostPattern::parse("a.home.test").unwrap()],
            ..Registration::default()
        }),
        is_revoked: false,
        invite: None,
    };
    assert_eq!(store.device(&old.id).as_ref(), Some(&old));
    let invited = StoredDevice { invite: Some(Invite { digest: [3; 32], until: NOW, used: None }), ..old };
    let turn = store.device_turn().await;
    store.put_device(&turn, invited.clone()).await.unwrap();
    drop((turn, store));
    assert_eq!(folder.open().device(&invited.id), Some(invited));
}

#[tokio::test]
async fn the_turn_of_devices_lasts_until_what_was_put_is_durable() {
    let folder = Folder::new("device-turn");
    let store = folder.open();
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    store.between_commits(move || gate.recv().unwrap_or_default());
    let turn = store.device_turn().await;
    // Somebody who stops waiting, as a command does that is broken off.
    let waited = tokio::time::timeout(Duration::from_millis(20), store.put_device(&turn, device("laptop"))).await;
    assert!(waited.is_err());
    drop(turn);
    let early = tokio::time::timeout(Duration::from_millis(20), store.device_turn()).await;
    assert!(early.is_err(), "the row is still on its way to the disk");
    go_on.send(()).unwrap();
    let _turn = store.device_turn().await;
    assert_eq!(store.devices(), [device("laptop")]);
}

#[tokio::test]
async fn a_doubt_is_there_after_a_crash_and_gone_with_the_next_confirmation() {
    let (folder, crashed) = (Folder::new("doubt"), Folder::new("doubt-crashed"));
    let (store, host) = (folder.open(), name("a.home.test"));
    fs::create_dir_all(&crashed.0).unwrap();
    publish(&store, &host, desired(1)).await.unwrap();
    store.confirm(&host, confirmed("cloud", desired(1))).await;
    // The answer to a push of 2 got lost, and a push to a provider that never confirmed anything as well.
    publish(&store, &host, desired(2)).await.unwrap();
    store.doubt(&host, "cloud", desired(2)).await;
    store.doubt(&host, "other", desired(2)).await;
    publish(&store, &host, desired(1)).await.unwrap();
    fs::copy(folder.file(), crashed.file()).unwrap();
    let state = crashed.open().host("a.home.test").unwrap();
    assert_eq!(state.desired, desired(1));
    assert!(!state.is_applied_by("cloud") && !state.is_applied_by("other"));
    assert_eq!(state.applied_by("cloud").unwrap().doubted, [desired(2)]);
    store.confirm(&host, confirmed("cloud", desired(1))).await;
    assert!(store.host("a.home.test").unwrap().is_applied_by("cloud"));
}

#[tokio::test]
async fn what_was_recorded_is_there_after_a_crash() {
    let (folder, crashed) = (Folder::new("crash"), Folder::new("crashed"));
    let store = folder.open();
    fs::create_dir_all(&crashed.0).unwrap();
    for last in 1..20 {
        let ticket = publish(&store, &name("a.home.test"), desired(last)).await.unwrap();
        // The file as a crash at this moment would leave it.
        fs::copy(folder.file(), crashed.file()).unwrap();
        let after = crashed.open();
        assert_eq!((after.number(), after.host("a.home.test")), (ticket.number, store.host("a.home.test")));
    }
}

#[tokio::test]
async fn what_was_only_noted_is_in_memory_and_follows_with_the_next_record() {
    let folder = Folder::new("note");
    let store = folder.open();
    let note = |turn: Turn<'_>, mark| {
        let next = HostState { newest: Some([mark; 16]), ..turn.state().clone() };
        turn.note(next);
    };
    publish(&store, &name("a.home.test"), desired(1)).await.unwrap();
    note(store.turn(&name("a.home.test")).await, 1);
    assert_eq!(store.host("a.home.test").unwrap().newest, Some([1; 16]));
    drop(store);
    let store = folder.open();
    assert_eq!(store.host("a.home.test").unwrap().newest, None);
    note(store.turn(&name("a.home.test")).await, 2);
    publish(&store, &name("a.home.test"), desired(2)).await.unwrap();
    drop(store);
    assert_eq!(folder.open().host("a.home.test").unwrap().newest, Some([2; 16]));
}

#[tokio::test]
async fn whoever_waits_together_shares_one_commit() {
    let folder = Folder::new("group");
    let store = Arc::new(folder.open());
    let (held, holding) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    store.follow(move |committed| {
        held.send((committed.number, committed.changes.len())).unwrap();
        // The first commit lasts until the others have queued; later ones find the sender gone.
        let _ = released.recv();
    });
    let first = tokio::spawn({
        let store = Arc::clone(&store);
        async move { publish(&store, &numbered(0), desired(0)).await }
    });
    let (number, changes) = tokio::task::spawn_blocking(move || (holding.recv().unwrap(), holding)).await.unwrap();
    assert_eq!(number, (NOW.seconds() + 1, 1));

    // Polled once each: they have their turns and stand in the queue. Hosts of one stripe would have to wait for
    // each other, so names are chosen that do not share one.
    let mut stripes = std::collections::HashSet::new();
    let names: Vec<_> =
        (1..).map(numbered).filter(|name| stripes.insert(Arc::as_ptr(&store.stripe(name)))).take(63).collect();
    let mut others: Vec<_> = names.iter().map(|name| Box::pin(publish(&store, name, desired(9)))).collect();
    for other in &mut others {
        assert!(other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(release);
    assert_eq!(first.await.unwrap().unwrap().number, NOW.seconds() + 1);
    for other in others {
        assert_eq!(other.await.unwrap().number, NOW.seconds() + 2);
    }
    assert_eq!(changes.recv().unwrap(), (NOW.seconds() + 2, 63));
    assert_eq!(store.number(), NOW.seconds() + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_decides_about_a_host_at_a_time() {
    let folder = Folder::new("turns");
    let store = Arc::new(folder.open());
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..10 {
                    let turn = store.turn(&name("a.home.test")).await;
                    let next =
                        HostState { ordered_at: Timestamp(turn.state().ordered_at.0 + 1), ..turn.state().clone() };
                    turn.record(next).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.host("a.home.test").unwrap().ordered_at, Timestamp(160));
}

#[tokio::test]
async fn a_turn_lasts_until_its_commit_even_when_nobody_waits_for_it() {
    let folder = Folder::new("abandoned");
    let store = folder.open();
    let host = name("a.home.test");
    {
        let abandoned = pin!(publish(&store, &host, desired(1)));
        assert!(abandoned.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(store.turn(&host).await.state().desired, desired(1));
}

#[tokio::test]
async fn a_confirmation_waits_for_the_turn_and_leaves_what_is_desired() {
    let folder = Folder::new("confirm");
    let store = folder.open();
    let host = name("a.home.test");
    publish(&store, &host, desired(1)).await.unwrap();

    let turn = store.turn(&host).await;
    let mut confirm = Box::pin(store.confirm(&host, confirmed("cloud", desired(1))));
    assert!(confirm.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let next = HostState { desired: desired(2), ..turn.state().clone() };
    turn.record(next).await.unwrap();
    confirm.await;

    let state = store.host("a.home.test").unwrap();
    assert_eq!(state.desired, desired(2));
    assert_eq!(state.applied, [confirmed("cloud", desired(1))]);
    store.close().unwrap();
    assert_eq!(folder.open().host("a.home.test").unwrap(), state);
}

#[tokio::test]
async fn a_confirmation_reaches_the_disk_though_nobody_waits() {
    let folder = Folder::new("confirm-alone");
    let store = folder.open();
    for number in 0..600 {
        store.confirm(&numbered(number), confirmed("cloud", AddressSet::EMPTY)).await;
    }
    store.close().unwrap();
    assert_eq!(folder.open().host_count(), 600);
}

#[tokio::test]
async fn observers_hear_every_change_once_and_in_order() {
    let folder = Folder::new("observers");
    let store = folder.open();
    let (heard, hearing) = mpsc::channel();
    store.follow(move |committed| heard.send((committed.number, committed.changes.to_vec())).unwrap());
    let host = name("a.home.test");
    for last in [1, 1, 2] {
        let ticket = publish(&store, &host, desired(last)).await.unwrap();
        assert_eq!(store.host(host.as_str()).unwrap().number, ticket.number);
    }
    store.confirm(&host, confirmed("cloud", desired(2))).await;
    store.close().unwrap();
    let base = NOW.seconds();
    let expected =
        [(base + 1, vec![(host.clone(), desired(1))]), (base + 2, vec![]), (base + 3, vec![(host, desired(2))])];
    assert_eq!(hearing.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_request_sent_sixteen_times_at_once_one_is_the_first() {
    let folder = Folder::new("sixteen");
    let store = Arc::new(folder.open());
    for ahead in [0, 270] {
        let claimed = NOW + Duration::from_secs(ahead);
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let store = Arc::clone(&store);
                let id = DeviceId::parse("laptop").unwrap();
                tokio::spawn(async move {
                    store.admit_once(&id, &ahead.to_be_bytes(), [1; 16], claimed, NOW).await.unwrap()
                })
            })
            .collect();
        let mut first = 0;
        for task in tasks {
            first += usize::from(task.await.unwrap() == Admission::First);
        }
        assert_eq!(first, 1);
    }
}

#[tokio::test]
async fn a_nonce_used_ahead_of_our_clock_outlives_a_restart() {
    let folder = Folder::new("ahead");
    let id = DeviceId::parse("laptop").unwrap();
    let ahead = NOW + Duration::from_secs(270);
    let store = folder.open();
    assert_eq!(store.admit_once(&id, b"ahead", [1; 16], ahead, NOW).await.unwrap(), Admission::First);
    assert_eq!(store.admit_once(&id, b"level", [2; 16], NOW, NOW).await.unwrap(), Admission::First);
    drop(store);

    let restart = NOW + Duration::from_secs(60);
    let store = Store::open(&folder.0, restart).unwrap();
    assert_eq!(store.admit_once(&id, b"ahead", [1; 16], ahead, restart).await.unwrap(), Admission::Again(Timestamp(0)));
    assert!(matches!(store.admit_once(&id, b"ahead", [9; 16], ahead, restart).await, Err(AdmitError::Reused)));
    // The other one is forgotten, and the store says so.
    assert!(NOW.seconds() <= store.remembers_since().seconds());
    assert_eq!(store.admit_once(&id, b"level", [2; 16], NOW, restart).await.unwrap(), Admission::First);
    drop(store);

    // Once it cannot pass any more it is dropped, and its row goes with the next of its kind.
    let later = NOW + Duration::from_secs(571);
    let store = Store::open(&folder.0, later).unwrap();
    assert_eq!(store.admit_once(&id, b"ahead", [3; 16], later, later).await.unwrap(), Admission::First);
    let next = later + Duration::from_secs(5);
    assert_eq!(store.admit_once(&id, b"next", [4; 16], next, later).await.unwrap(), Admission::First);
    drop(store);
    let database = Database::open(folder.file()).unwrap();
    let claims = redb::ReadableDatabase::begin_read(&database).unwrap();
    let claims = claims.open_table(TableDefinition::<(u64, &[u8; 16]), &[u8]>::new("claims")).unwrap();
    assert_eq!(redb::ReadableTableMetadata::len(&claims).unwrap(), 1);
}

#[tokio::test]
async fn a_clock_set_back_while_we_were_down_makes_nothing_look_new() {
    let folder = Folder::new("clock-back");
    let store = folder.open();
    let turn = store.turn(&name("a.home.test")).await;
    let next = HostState { ordered_at: NOW, desired: desired(1), ..HostState::default() };
    turn.record(next).await.unwrap();
    drop(store);
    let store = Store::open(&folder.0, NOW - Duration::from_secs(3600)).unwrap();
    assert_eq!(store.remembers_since(), NOW);
}

#[test]
fn a_second_owner_is_turned_away() {
    let folder = Folder::new("in-use");
    let store = folder.open();
    assert!(matches!(Store::open(&folder.0, NOW), Err(StoreError::InUse { .. })));
    assert!(matches!(seed(&folder.0, NOW, []), Err(StoreError::InUse { .. })));
    drop(store);
    folder.open();
}

#[test]
fn nobody_else_may_read_the_file() {
    let folder = Folder::new("modes");
    drop(folder.open());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder.0), mode(&folder.file())), (0o700, 0o600));
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o644)).unwrap();
    drop(folder.open());
    assert_eq!(mode(&folder.file()), 0o600);
}

#[test]
fn a_start_that_was_cut_short_is_repeated() {
    let folder = Folder::new("cut-short");
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(folder.0.join("nicgate.redb.new"), b"half of a file").unwrap();
    assert_eq!(folder.open().number(), NOW.seconds());
}

#[test]
fn a_bad_row_is_named_and_ends_the_start() {
    let folder = Folder::new("bad-row");
    drop(folder.open());
    let put = |row: &[u8]| {
        let database = Database::open(folder.file()).unwrap();
        let transaction = database.begin_write().unwrap();
        let hosts = TableDefinition::<&str, &[u8]>::new("hosts");
        transaction.open_table(hosts).unwrap().insert("a.home.test", row).unwrap();
        transaction.commit().unwrap();
    };
    put(&[1, 7, 7]);
    let Err(damaged @ StoreError::Damaged { .. }) = Store::open(&folder.0, NOW) else { panic!() };
    assert!(damaged.to_string().contains("host a.home.test"), "{damaged}");
    put(&[9, 7, 7]);
    let Err(newer @ StoreError::NewerFormat { .. }) = Store::open(&folder.0, NOW) else { panic!() };
    assert!(newer.to_string().contains("host a.home.test: row version 9"), "{newer}");
}

#[test]
fn what_is_no_store_is_damage_and_never_a_panic() {
    let folder = Folder::new("no-store");
    drop(folder.open());
    let whole = fs::read(folder.file()).unwrap();
    for (what, content) in [("text", b"this is no store".to_vec()), ("empty", vec![]), ("half", whole[..9000].to_vec())]
    {
        fs::write(folder.file(), content).unwrap();
        assert!(matches!(Store::open(&folder.0, NOW), Err(StoreError::Damaged { .. })), "{what}");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_told_with_its_name() {
    let folder = Folder::new("not-a-folder");
    fs::write(&folder.0, b"").unwrap();
    let Err(why @ StoreError::Unwritable { .. }) = Store::open(&folder.0, NOW) else { panic!() };
    assert!(why.to_string().contains("not-a-folder"), "{why}");
    fs::remove_file(&folder.0).unwrap();
}

#[test]
fn seeded_hosts_are_there_at_the_next_start() {
    let folder = Folder::new("seed");
    let hosts = (0..1000).map(|number| (numbered(number), HostState { desired: desired(1), ..HostState::default() }));
    assert_eq!(seed(&folder.0, NOW, hosts).unwrap(), 1000);
    let store = folder.open();
    assert_eq!(store.host_count(), 1000);
    assert_eq!(store.host("h999.home.test").unwrap().desired, desired(1));
}

/// A disk of one megabyte; unmounted at the end.
struct SmallDisk(Folder);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(name: &str) -> Option<Self> {
        let folder = Folder::new(name);
        fs::create_dir_all(&folder.0).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "nicgate-test"]).arg(&folder.0).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_records_keeps_reads_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount("full") else {
        eprintln!("SKIPPED: mounting a small disk needs root");
        return;
    };
    let folder = &disk.0;
    let store = folder.open();
    let (heard, hearing) = mpsc::channel();
    store.follow(move |committed| heard.send(committed.number).unwrap());
    publish(&store, &name("a.home.test"), desired(1)).await.unwrap();
    assert_eq!(hearing.recv().unwrap(), store.number());

    fill(&folder.0);
    let mut recorded = 0;
    let refused = loop {
        match publish(&store, &numbered(recorded), desired(1)).await {
            Ok(_) => recorded += 1,
            Err(why) => break why,
        }
    };
    assert!(matches!(refused, StoreError::Unwritable { .. }), "{refused}");
    assert!(refused.to_string().contains("No space left"), "{refused}");
    assert!(store.trouble().is_some());
    for _ in 0..3 {
        assert!(publish(&store, &name("a.home.test"), desired(2)).await.is_err());
    }
    let id = DeviceId::parse("laptop").unwrap();
    let ahead = NOW + Duration::from_secs(9);
    assert!(matches!(store.admit_once(&id, b"n", [1; 16], ahead, NOW).await, Err(AdmitError::Fault(_))));
    let turn = store.device_turn().await;
    assert!(store.put_device(&turn, device("laptop")).await.is_err());
    assert!(store.devices().is_empty());
    assert_eq!(store.host("a.home.test").unwrap().desired, desired(1));
    assert_eq!(store.host_count(), recorded as usize + 1);
    store.confirm(&name("a.home.test"), confirmed("cloud", desired(1))).await;

    fs::remove_file(folder.0.join("ballast")).unwrap();
    // The writer tries by itself; nobody has to record something for the trouble to end.
    while store.trouble().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    publish(&store, &name("b.home.test"), desired(3)).await.unwrap();
    // What could not be made durable before is made so now; the nonce is still the same request's.
    assert_eq!(store.admit_once(&id, b"n", [1; 16], ahead, NOW).await.unwrap(), Admission::Again(NOW));
    let heard: Vec<u64> = hearing.try_iter().collect();
    assert!(heard.is_sorted_by(|one, next| one + 1 == *next), "{heard:?}");
    store.close().unwrap();

    let store = folder.open();
    let state = store.host("a.home.test").unwrap();
    assert_eq!((state.desired, state.applied), (desired(1), vec![confirmed("cloud", desired(1))]));
    assert_eq!(store.host_count(), recorded as usize + 2);
    assert_eq!(store.host("b.home.test").unwrap().desired, desired(3));
    assert!(store.devices().is_empty());
}

/// Takes all the room that is left.
fn fill(folder: &Path) {
    use std::io::Write as _;
    let mut ballast = fs::File::create(folder.join("ballast")).unwrap();
    while ballast.write(&[1; 4096]).is_ok_and(|count| count > 0) {}
}
