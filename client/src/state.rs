//! What was last sent and heard, host by host, and the lock that keeps two instances apart.
//!
//! A JSON file, replaced as a whole by writing a new one and renaming it. It holds no secret, and losing it costs one
//! update that changes nothing; so a damaged file is set aside and said, never fatal.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use nicgate_protocol::{AddressSet, Hostname, ReturnCode, Timestamp};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// The form of the file; another number is another program's.
const VERSION: u32 = 1;

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

/// The file as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    hosts: Vec<Remembered>,
}

/// What is remembered, with the lock held. A state without a file remembers nothing beyond its own life.
pub struct State {
    file: Option<PathBuf>,
    /// Held open: the lock ends with it, also when the program is killed.
    _lock: Option<File>,
    gateway: String,
    device: String,
    hosts: Vec<Remembered>,
}

/// How opening the state ended.
pub enum Opened {
    /// It is ours. A sentence says what was set aside, if anything was.
    Ours(State, Option<String>),
    /// Another instance holds the lock.
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
    /// Takes the lock and reads the file that `settings` name.
    ///
    /// # Errors
    /// When the lock file cannot be made or the file cannot be read; not when it is missing or damaged.
    pub fn open(settings: &Settings) -> Result<Opened, StateFault> {
        let mut state = Self {
            file: settings.state_file.clone(),
            _lock: None,
            gateway: settings.gateway.to_string(),
            device: settings.device.to_string(),
            hosts: Vec::new(),
        };
        let Some(path) = &settings.state_file else { return Ok(Opened::Ours(state, None)) };
        let Some(lock) = lock(&with_ending(path, ".lock"))? else { return Ok(Opened::Busy) };
        state._lock = Some(lock);
        let (hosts, set_aside) = read(path)?;
        state.hosts = hosts;
        Ok(Opened::Ours(state, set_aside))
    }

    /// Reads without the lock and changes nothing, for those who only look. A damaged file counts as an empty one.
    #[must_use]
    pub fn peek(settings: &Settings) -> Self {
        let text = settings.state_file.as_ref().and_then(|path| fs::read(path).ok());
        let written = text.and_then(|text| serde_json::from_slice::<Written>(&text).ok());
        Self {
            file: None,
            _lock: None,
            gateway: settings.gateway.to_string(),
            device: settings.device.to_string(),
            hosts: written.filter(|written| written.version == VERSION).map_or(Vec::new(), |written| written.hosts),
        }
    }

    /// What is remembered about a host at this gateway.
    #[must_use]
    pub fn of(&self, hostname: &Hostname) -> Option<&Remembered> {
        self.hosts.iter().find(|entry| self.is_about(entry, hostname))
    }

    /// Notes that an update of a host is about to be sent. An answer that is lost, or a crash before it comes, must
    /// not leave the older acknowledgement standing: the gateway may have recorded the new address.
    pub fn note_sending(&mut self, hostname: &Hostname) {
        self.entry(hostname).note_sending();
    }

    /// Notes what was sent for a host and the word that came back.
    pub fn note(&mut self, hostname: &Hostname, sent: AddressSet, code: &ReturnCode, now: Timestamp) {
        self.entry(hostname).note(sent, code, now);
    }

    fn entry(&mut self, hostname: &Hostname) -> &mut Remembered {
        let index = self.hosts.iter().position(|entry| self.is_about(entry, hostname)).unwrap_or_else(|| {
            self.hosts.push(Remembered::new(&self.gateway, &self.device, hostname));
            self.hosts.len() - 1
        });
        &mut self.hosts[index]
    }

    /// Writes everything down, durably.
    ///
    /// # Errors
    /// When the file cannot be written; then the old one stands.
    pub fn save(&self) -> Result<(), StateFault> {
        let Some(path) = &self.file else { return Ok(()) };
        let fault = |source| StateFault { path: path.clone(), what: "cannot be written", source };
        let written = Written { version: VERSION, hosts: self.hosts.clone() };
        let mut text = serde_json::to_vec_pretty(&written).map_err(|error| fault(error.into()))?;
        text.push(b'\n');
        let fresh = with_ending(path, ".new");
        let mut file = File::create(&fresh).map_err(fault)?;
        file.write_all(&text).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&fresh, path)).map_err(fault)
    }

    fn is_about(&self, entry: &Remembered, hostname: &Hostname) -> bool {
        entry.hostname == hostname.as_str() && entry.gateway == self.gateway && entry.device == self.device
    }
}

/// The lock, or `None` when somebody else holds it.
fn lock(path: &Path) -> Result<Option<File>, StateFault> {
    let fault = |source| StateFault { path: path.to_owned(), what: "cannot be locked", source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(fault(source)),
    }
}

/// The entries of the file; a damaged file is moved out of the way, and a sentence says so.
fn read(path: &Path) -> Result<(Vec<Remembered>, Option<String>), StateFault> {
    let fault = |what| move |source| StateFault { path: path.to_owned(), what, source };
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
        Err(error) => return Err(fault("cannot be read")(error)),
    };
    let why = match serde_json::from_slice::<Written>(&text) {
        Ok(written) if written.version == VERSION => return Ok((written.hosts, None)),
        Ok(written) => format!("its version is {}, not {VERSION}", written.version),
        Err(error) => error.to_string(),
    };
    let aside = with_ending(path, ".damaged");
    fs::rename(path, &aside).map_err(fault("is damaged and cannot be set aside"))?;
    Ok((Vec::new(), Some(format!("{} is damaged ({why}); it was set aside as {}", path.display(), aside.display()))))
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

    fn settings(folder: &Path) -> Settings {
        let text =
            "gateway = \"https://g.example\"\ndevice = \"laptop\"\nhosts = [\"a.example.com\"]\nkey_env = \"K\"\n";
        let key = |_: &str| Some("k".repeat(43));
        settings::read(&folder.join("c.toml"), text, &key).unwrap_or_else(|mistakes| panic!("{mistakes}")).settings
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("nicgate-state-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn open(settings: &Settings) -> (State, Option<String>) {
        match State::open(settings).unwrap() {
            Opened::Ours(state, set_aside) => (state, set_aside),
            Opened::Busy => panic!("nobody else should hold the lock"),
        }
    }

    #[test]
    fn what_was_noted_is_there_next_time_and_only_for_that_gateway() {
        let folder = folder("noted");
        let mut settings = settings(&folder);
        let sent = AddressSet { v4: Some(Ipv4Addr::new(192, 0, 2, 1)), v6: None };
        let (mut state, _) = open(&settings);
        assert!(state.of(&settings.hosts[0]).is_none());
        state.note(&settings.hosts[0], sent, &ReturnCode::Good(sent), Timestamp::from_seconds(7));
        state.note(&settings.hosts[0], sent, &ReturnCode::NineOneOne, Timestamp::from_seconds(9));
        state.save().unwrap();
        drop(state);

        let (state, set_aside) = open(&settings);
        let entry = state.of(&settings.hosts[0]).unwrap();
        assert_eq!((entry.acknowledged(), entry.acknowledged_at().seconds()), (sent, 7));
        assert!(!entry.is_acknowledged());
        assert_eq!(set_aside, None);
        drop(state);

        let (mut state, _) = open(&settings);
        state.note(&settings.hosts[0], sent, &ReturnCode::NoChg(sent), Timestamp::from_seconds(11));
        assert!(state.of(&settings.hosts[0]).unwrap().is_acknowledged());
        state.note_sending(&settings.hosts[0]);
        assert!(!state.of(&settings.hosts[0]).unwrap().is_acknowledged(), "an answer is outstanding");
        drop(state);

        settings.device = nicgate_protocol::DeviceId::parse("other").unwrap();
        assert!(open(&settings).0.of(&settings.hosts[0]).is_none());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_said() {
        let folder = folder("damaged");
        let settings = settings(&folder);
        let path = settings.state_file.clone().unwrap();
        for text in ["{\"version\": 1, \"hosts\": [", "{\"version\": 2, \"hosts\": []}", "\u{0}\u{0}"] {
            fs::write(&path, text).unwrap();
            let (state, set_aside) = open(&settings);
            assert!(set_aside.unwrap().contains("set aside as"), "{text}");
            assert_eq!(fs::read_to_string(with_ending(&path, ".damaged")).unwrap(), text);
            state.save().unwrap();
        }
        assert_eq!(open(&settings).1, None);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn two_instances_do_not_run_at_once() {
        let folder = folder("lock");
        let settings = settings(&folder);
        let first = open(&settings);
        assert!(matches!(State::open(&settings).unwrap(), Opened::Busy));
        drop(first);
        assert!(matches!(State::open(&settings).unwrap(), Opened::Ours(..)));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_place_that_cannot_be_written_is_a_fault() {
        let mut settings = settings(Path::new("/"));
        settings.state_file = Some(PathBuf::from("/no/such/folder/state.json"));
        let Err(fault) = State::open(&settings) else { panic!("there is no such folder") };
        assert!(fault.to_string().starts_with("/no/such/folder/state.json.lock cannot be locked"), "{fault}");
    }
}
