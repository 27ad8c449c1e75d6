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
mod tests;
