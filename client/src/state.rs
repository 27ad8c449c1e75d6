//! What was last sent and heard, host by host, what is known of gateways and uplinks, and who is at work.
//!
//! A JSON file, replaced as a whole by writing a new one and renaming it. It holds no secret, and losing it costs one
//! update that changes nothing; so a damaged file is set aside and said, never fatal.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nicgate_protocol::{AddressSet, Family, Hostname, ReturnCode, Timestamp};
use serde::{Deserialize, Serialize};

use crate::lease::{self, Claim, Heartbeat, Resident};
use crate::schedule::gateways::Silence;
use crate::settings::Settings;
use crate::uplink;

/// How long whoever got the lock may take to write its claim.
const WRITING: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 500 });
/// The form of the file; another number is another program's.
const VERSION: u32 = 1;

/// How often the file's place is tried again while somebody else has it open.
const REPLACE_TRIES: u32 = 10;
/// And how long each time.
const REPLACE_PAUSE: Duration = Duration::from_millis(20);

/// What is remembered about one host at one gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Remembered {
    gateway: String,
    device: String,
    hostname: String,
    /// What the gateway acknowledged, by family; a family that was not sent keeps its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ipv4: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ipv6: Option<Ipv6Addr>,
    /// Seconds since 1970; 0 when nothing was acknowledged yet.
    acknowledged_at: u64,
    /// The word last heard, and when; empty from the moment of sending until a word is heard.
    heard: String,
    heard_at: u64,
}

impl Remembered {
    /// A host about which nothing was heard yet.
    #[must_use]
    pub fn new(gateway: &str, device: &str, hostname: &Hostname) -> Self {
        Self {
            gateway: gateway.to_owned(),
            device: device.to_owned(),
            hostname: hostname.to_string(),
            ipv4: None,
            ipv6: None,
            acknowledged_at: 0,
            heard: String::new(),
            heard_at: 0,
        }
    }

    /// Notes what was sent and the word that came back.
    pub fn note(&mut self, sent: AddressSet, code: &ReturnCode, now: Timestamp) {
        self.heard = code.word().to_owned();
        self.heard_at = now.seconds();
        if code.is_success() {
            self.ipv4 = sent.v4.or(self.ipv4);
            self.ipv6 = sent.v6.or(self.ipv6);
            self.acknowledged_at = now.seconds();
        }
    }

    /// Notes that something is being sent: until a word comes back, nothing is known.
    pub fn note_sending(&mut self) {
        self.heard.clear();
    }

    /// Which gateway is meant.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// The addresses last acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> AddressSet {
        AddressSet { v4: self.ipv4, v6: self.ipv6 }
    }

    /// When they were.
    #[must_use]
    pub fn acknowledged_at(&self) -> Timestamp {
        Timestamp::from_seconds(self.acknowledged_at)
    }

    /// Whether the last word heard was an acknowledgement.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        ReturnCode::parse(&self.heard).is_some_and(|code| code.is_success())
    }
}

/// How the last update ended, for people who ask later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Last {
    /// When (seconds since 1970).
    pub at: u64,
    /// The exit code.
    pub exit_code: u8,
    /// In words.
    pub message: String,
    /// What people were told besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The file as it is written. What later versions add has a default, so that older files stay readable.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Written {
    version: u32,
    hosts: Vec<Remembered>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    silent: Vec<Silence>,
    #[serde(default)]
    uplinks: uplink::Memory,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim: Option<Claim>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resident: Option<Heartbeat>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Last>,
}

/// What is remembered, with the claim held. A state without a file remembers nothing beyond its own life.
pub struct State {
    file: Option<PathBuf>,
    /// Held open: the lock ends with it, also when the program is killed.
    _lock: Option<File>,
    /// What tells our claim from another's.
    nonce: String,
    /// The claim of the instance from which we took over, if it still holds the lock: whoever comes next must see
    /// that it is stuck.
    stuck: Option<Claim>,
    device: String,
    written: Written,
}

/// How opening the state ended.
pub enum Opened {
    /// It is ours. Sentences say what was set aside or whom we took over from.
    Ours(Box<State>, Vec<String>),
    /// Another instance is at work.
    Busy,
}

/// What cannot be done with the state file.
#[derive(Debug)]
pub struct StateFault {
    path: PathBuf,
    what: &'static str,
    source: io::Error,
}

impl fmt::Display for StateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.path.display(), self.what, self.source)
    }
}

impl std::error::Error for StateFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl State {
    /// Claims the work for `span` of time and reads the file that `settings` name. `nonce` tells this claim from any
    /// other.
    ///
    /// # Errors
    /// When the lock file cannot be made or the file cannot be read; not when it is missing or damaged.
    pub fn open(settings: &Settings, nonce: &str, now: Timestamp, span: Duration) -> Result<Opened, StateFault> {
        let mut state = Self::without_file(settings);
        let Some(path) = &settings.state_file else { return Ok(Opened::Ours(Box::new(state), Vec::new())) };
        let mut notes = Vec::new();
        let takeover = with_ending(path, ".takeover");
        let lock = match lock(&with_ending(path, ".lock"))? {
            // The one that was stuck has let go, but whoever took over from it may still be at work.
            Some(_) if takeover.exists() && is_held(&takeover)? && stuck(path, now).is_none() => {
                return Ok(Opened::Busy);
            }
            Some(lock) => lock,
            // Somebody is at work. Only if it should have been over long ago is it taken over, by one of us.
            None => match (stuck(path, now), lock(&takeover)?) {
                (Some(claim), Some(lock)) => {
                    notes.push(format!(
                        "process {} has been at work for longer than it may; this run takes over",
                        claim.pid
                    ));
                    // Under another nonce, so that it knows itself no longer if it ever wakes.
                    let nonce = format!("{} taken over", claim.nonce.trim_end_matches(" taken over"));
                    state.stuck = Some(Claim { nonce, ..claim });
                    lock
                }
                (None, _) | (_, None) => return Ok(Opened::Busy),
            },
        };
        state._lock = Some(lock);
        let (written, set_aside) = read(path)?;
        notes.extend(set_aside);
        state.written = written;
        state.file = Some(path.clone());
        nonce.clone_into(&mut state.nonce);
        state.written.claim = Some(Claim::new(std::process::id(), nonce.to_owned(), now, span));
        // What the file no longer names is of no interest.
        let urls: Vec<String> = settings.gateways.iter().map(ToString::to_string).collect();
        state.written.silent.retain(|silence| urls.contains(&silence.gateway));
        // Not worth a wait for the disk: a claim that a power cut takes away has nobody behind it. A full disk is no
        // reason to leave a name wrong: then nothing is remembered, and the next run sends again.
        if let Err(fault) = state.write(false) {
            notes.push(format!("nothing can be remembered: {fault}"));
        }
        Ok(Opened::Ours(Box::new(state), notes))
    }

    /// Reads without a lock and changes nothing, for those who only look. A damaged file counts as an empty one.
    #[must_use]
    pub fn peek(settings: &Settings) -> Self {
        let mut state = Self::without_file(settings);
        state.written = settings.state_file.as_ref().and_then(|path| peek(path)).unwrap_or_default();
        state
    }

    fn without_file(settings: &Settings) -> Self {
        Self {
            file: None,
            _lock: None,
            nonce: String::new(),
            stuck: None,
            device: settings.device.to_string(),
            written: Written::default(),
        }
    }

    /// What is remembered about a host at a gateway.
    #[must_use]
    pub fn of(&self, gateway: &str, hostname: &Hostname) -> Option<&Remembered> {
        self.written.hosts.iter().find(|entry| self.is_about(entry, gateway, hostname))
    }

    /// The newest acknowledgement of a host by any gateway.
    #[must_use]
    pub fn newest(&self, hostname: &Hostname) -> Option<&Remembered> {
        let about = |entry: &&Remembered| entry.hostname == hostname.as_str() && entry.device == self.device;
        self.written.hosts.iter().filter(about).max_by_key(|entry| entry.acknowledged_at)
    }

    /// Notes that an update of a host is about to be sent. An answer that is lost, or a crash before it comes, must
    /// not leave an older acknowledgement standing: the gateway may have recorded the new address. What another
    /// gateway acknowledged counts no longer either, if it was something else: both may drive the same DNS.
    pub fn note_sending(&mut self, gateway: &str, hostname: &Hostname, addresses: AddressSet) {
        self.entry(gateway, hostname).note_sending();
        let device = self.device.clone();
        for entry in &mut self.written.hosts {
            let is_elsewhere =
                entry.gateway != gateway && entry.hostname == hostname.as_str() && entry.device == device;
            if is_elsewhere && addresses.iter().any(|sent| entry.acknowledged().of(Family::of(sent)) != Some(sent)) {
                entry.note_sending();
            }
        }
    }

    /// Notes what was sent for a host and the word that came back.
    pub fn note(&mut self, gateway: &str, hostname: &Hostname, sent: AddressSet, code: &ReturnCode, now: Timestamp) {
        self.entry(gateway, hostname).note(sent, code, now);
    }

    /// The gateways that were silent lately.
    #[must_use]
    pub fn silent(&self) -> &[Silence] {
        &self.written.silent
    }

    /// The same, to be changed.
    pub fn silent_mut(&mut self) -> &mut Vec<Silence> {
        &mut self.written.silent
    }

    /// What is known of the uplinks.
    #[must_use]
    pub fn uplinks(&self) -> &uplink::Memory {
        &self.written.uplinks
    }

    /// Remembers what is known of the uplinks.
    pub fn remember_uplinks(&mut self, memory: uplink::Memory) {
        self.written.uplinks = memory;
    }

    /// How the resident client stands.
    #[must_use]
    pub fn resident(&self, now: Timestamp) -> Resident {
        lease::resident(self.written.resident.as_ref(), now)
    }

    /// Notes that the resident client came round, or that it ended.
    pub fn note_resident(&mut self, heartbeat: Option<Heartbeat>) {
        self.written.resident = heartbeat;
    }

    /// How the last update ended.
    #[must_use]
    pub fn last(&self) -> Option<&Last> {
        self.written.last.as_ref()
    }

    /// Notes how the update ended.
    pub fn note_last(&mut self, last: Last) {
        self.written.last = Some(last);
    }

    fn entry(&mut self, gateway: &str, hostname: &Hostname) -> &mut Remembered {
        let known = self.written.hosts.iter().position(|entry| self.is_about(entry, gateway, hostname));
        let index = known.unwrap_or_else(|| {
            self.written.hosts.push(Remembered::new(gateway, &self.device, hostname));
            self.written.hosts.len() - 1
        });
        &mut self.written.hosts[index]
    }

    /// Writes everything down, durably.
    ///
    /// # Errors
    /// When the file cannot be written; then the old one stands.
    pub fn save(&self) -> Result<(), StateFault> {
        if self.is_still_ours() { self.write(true) } else { Ok(()) }
    }

    /// Writes everything down and gives the claim back.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn close(mut self) -> Result<(), StateFault> {
        if !self.is_still_ours() {
            return Ok(());
        }
        self.written.claim = self.stuck.take();
        self.write(true)
    }

    /// Whether nobody has taken over: then what we know is older than what stands in the file.
    fn is_still_ours(&self) -> bool {
        let Some(path) = &self.file else { return true };
        // A file that is gone or damaged has nothing newer in it.
        peek(path).is_none_or(|written| written.claim.is_some_and(|claim| claim.nonce == self.nonce))
    }

    fn write(&self, is_durable: bool) -> Result<(), StateFault> {
        let Some(path) = &self.file else { return Ok(()) };
        let fault = |source| StateFault { path: path.clone(), what: "cannot be written", source };
        let written = Written { version: VERSION, ..self.written.clone() };
        let mut text = serde_json::to_vec_pretty(&written).map_err(|error| fault(error.into()))?;
        text.push(b'\n');
        let fresh = with_ending(path, ".new");
        let mut file = File::create(&fresh).map_err(fault)?;
        file.write_all(&text).map_err(fault)?;
        if is_durable {
            file.sync_all().map_err(fault)?;
        }
        drop(file);
        replace(&fresh, path).map_err(fault)
    }

    fn is_about(&self, entry: &Remembered, gateway: &str, hostname: &Hostname) -> bool {
        entry.hostname == hostname.as_str() && entry.gateway == gateway && entry.device == self.device
    }
}

/// Puts a file in the place of another. On Windows that is denied as long as anybody reads the old one: other instances
/// and virus scanners do, for moments.
fn replace(fresh: &Path, path: &Path) -> io::Result<()> {
    for _ in 0..REPLACE_TRIES {
        match fs::rename(fresh, path) {
            Err(denied) if denied.kind() == io::ErrorKind::PermissionDenied => std::thread::sleep(REPLACE_PAUSE),
            ended => return ended,
        }
    }
    fs::rename(fresh, path)
}

/// Keeps a second resident client from starting: held for life.
pub struct ResidentLock {
    _lock: Option<File>,
}

impl ResidentLock {
    /// Takes it; `None` when another resident client has it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn take(settings: &Settings) -> Result<Option<Self>, StateFault> {
        let Some(path) = &settings.state_file else { return Ok(Some(Self { _lock: None })) };
        Ok(lock(&with_ending(path, ".resident"))?.map(|lock| Self { _lock: Some(lock) }))
    }
}

/// The lock, or `None` when somebody else holds it. The folder is made where it is missing.
fn lock(path: &Path) -> Result<Option<File>, StateFault> {
    let fault = |source| StateFault { path: path.to_owned(), what: "cannot be locked", source };
    let open = || OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = match open() {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            // Only the last folder: a path that is wrong from the start should not grow a tree.
            let made = path.parent().map_or(Ok(()), fs::create_dir);
            made.and_then(|()| open())
        }
        // Made by an administrator who ran the program by hand: locking takes no right to write.
        Err(denied) if denied.kind() == io::ErrorKind::PermissionDenied => File::open(path).map_err(|_| denied),
        opened => opened,
    };
    let file = file.map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(fault(source)),
    }
}

/// Whether somebody holds a lock.
fn is_held(path: &Path) -> Result<bool, StateFault> {
    Ok(lock(path)?.is_none())
}

/// The claim of whoever holds the lock, if it should have ended by now.
fn stuck(path: &Path, now: Timestamp) -> Option<Claim> {
    let expired = || peek(path).and_then(|written| written.claim).filter(|claim| !claim.holds(now));
    let first = expired()?;
    // One that has just got the lock may not have written its claim over that of a dead one yet.
    std::thread::sleep(WRITING);
    expired().filter(|claim| *claim == first)
}

/// The file, if it is there, whole and of our version.
fn peek(path: &Path) -> Option<Written> {
    let written: Written = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (written.version == VERSION).then_some(written)
}

/// What stands in the file; a damaged one is moved out of the way, and a sentence says so.
fn read(path: &Path) -> Result<(Written, Option<String>), StateFault> {
    let fault = |what| move |source| StateFault { path: path.to_owned(), what, source };
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Written::default(), None)),
        Err(error) => return Err(fault("cannot be read")(error)),
    };
    let why = match serde_json::from_slice::<Written>(&text) {
        Ok(written) if written.version == VERSION => return Ok((written, None)),
        Ok(written) => format!("its version is {}, not {VERSION}", written.version),
        Err(error) => error.to_string(),
    };
    let aside = with_ending(path, ".damaged");
    fs::rename(path, &aside).map_err(fault("is damaged and cannot be set aside"))?;
    let note = format!("{} is damaged ({why}); it was set aside as {}", path.display(), aside.display());
    Ok((Written::default(), Some(note)))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings;

    const GATEWAY: &str = "https://g.example";
    const SPAN: Duration = Duration::from_secs(180);

    fn settings(folder: &Path) -> Settings {
        let text =
            "gateway = \"https://g.example\"\ndevice = \"laptop\"\nhosts = [\"a.example.com\"]\nkey_env = \"K\"\n";
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
                let (ending, going_on): (Vec<AtWork>, Vec<AtWork>) =
                    at_work.into_iter().partition(|one| one.ends <= now);
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
                let stands =
                    State::peek(&settings).of(GATEWAY, &host).map_or(0, |entry| entry.acknowledged_at().seconds());
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
}
