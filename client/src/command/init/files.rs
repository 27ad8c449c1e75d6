//! The files that `init` makes: where they go, who may read them, and that none is ever half there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nicgate_protocol::Secret;
use nicgate_protocol::secret::Key;

use super::draft::CA_NAME;
use super::failure::{Failure, RIGHTS};
use crate::platform::{self, Readers, Scope};
use crate::settings::key::SEALED;

/// Where the files go.
pub(super) struct Place {
    /// The configuration, absolute.
    pub(super) config: PathBuf,
    /// Its folder.
    pub(super) folder: PathBuf,
    /// Whether a service of the machine shall be able to use them.
    pub(super) is_for_machine: bool,
    /// Whether nobody but us puts files there.
    is_our_folder: bool,
}

impl Place {
    /// The place that was named, or the machine's or the person's.
    pub(super) fn of(
        named: Option<PathBuf>,
        is_for_machine: Option<bool>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let is_for_machine = is_for_machine.unwrap_or_else(platform::is_elevated);
        let config = match named {
            Some(path) => path,
            None if is_for_machine => platform::system_folder().join("client.toml"),
            None => {
                let folder = platform::own_folder(environment).ok_or_else(|| {
                    Failure::new(2, "the environment does not say where your files are", "name a place with --config")
                })?;
                folder.join("client.toml")
            }
        };
        let config = std::path::absolute(&config).map_err(|fault| Failure::file(&config, "used", &fault))?;
        let (Some(folder), Some(_)) = (config.parent(), config.file_name()) else {
            return Err(Failure::bad(format!("{} is no file", config.display())));
        };
        let folder = folder.to_owned();
        let is_our_folder =
            folder == platform::system_folder() || platform::own_folder(environment).is_some_and(|own| folder == own);
        Ok(Self { config, folder, is_for_machine, is_our_folder })
    }

    /// Where the certificate authority's certificate goes.
    pub(super) fn ca(&self) -> PathBuf {
        self.folder.join(CA_NAME)
    }

    /// Makes the folder, and lets those at it who need it. LOCAL SERVICE, in whose name Task Scheduler runs us, has to
    /// write state and log, and must not write the configuration: the machine's folder has another one in it for those.
    /// Under systemd they are elsewhere.
    pub(super) fn make_folder(&self) -> Result<(), Failure> {
        let state = platform::state_folder(&self.folder).filter(|_| self.is_for_machine);
        let readers = match (self.is_for_machine, &state) {
            (false, _) => Readers::Owner,
            (true, None) => Readers::ServiceWriter,
            (true, Some(_)) => Readers::Service,
        };
        make(&self.folder, readers, self.is_our_folder)?;
        // By now nobody else can put anything in its place.
        state.map_or(Ok(()), |state| make(&state, Readers::ServiceWriter, true))
    }

    fn readers(&self) -> Readers {
        if self.is_for_machine { Readers::Service } else { Readers::Owner }
    }

    /// A place for the key.
    pub(super) fn key_slot(&self, path: PathBuf) -> Result<Slot, Failure> {
        let readers = self.readers();
        Slot::open(path, &|fresh| platform::create_private(fresh, readers))
    }

    /// A place for something that is no secret.
    pub(super) fn slot(&self, path: PathBuf) -> Result<Slot, Failure> {
        let readers = self.readers();
        Slot::open(path, &|fresh| {
            let file = File::create_new(fresh)?;
            platform::share(fresh, readers).map(|()| file)
        })
    }

    /// A key as its file holds it: sealed where the system can do that.
    ///
    /// # Errors
    /// When the system can and does not.
    pub(super) fn sealed(&self, key: &Key) -> io::Result<Secret<String>> {
        let scope = if self.is_for_machine { Scope::Machine } else { Scope::User };
        Ok(Secret::new(match platform::seal(key.text().as_bytes(), scope)? {
            Some(sealed) => format!("{SEALED}{}\n", STANDARD.encode(sealed)),
            None => format!("{}\n", key.text()),
        }))
    }
}

/// Makes a folder for `readers`. One that was there before is left as it is unless it is ours.
fn make(folder: &Path, readers: Readers, is_ours: bool) -> Result<(), Failure> {
    let is_new = !folder.is_dir();
    fs::create_dir_all(folder).map_err(|fault| Failure::file(folder, "made", &fault))?;
    if !is_new && !is_ours {
        return Ok(());
    }
    platform::claim_folder(folder, readers, is_new)
        .map_err(|fault| Failure::new(1, format!("{} cannot be protected: {fault}", folder.display()), RIGHTS))
}

/// A file that is about to be there. It is made beside its place at once, so that whatever forbids it shows before
/// anything is lost; it takes its place as a whole, or not at all.
pub(super) struct Slot {
    path: PathBuf,
    fresh: PathBuf,
    file: Option<File>,
}

impl Slot {
    fn open(path: PathBuf, make: &dyn Fn(&Path) -> io::Result<File>) -> Result<Self, Failure> {
        let mut fresh = path.clone().into_os_string();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        // Left behind by a run that was killed; nobody's file has such a name.
        match fs::remove_file(&fresh) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::file(&fresh, "removed", &fault));
            }
            Ok(()) | Err(_) => {}
        }
        // From here on it is removed again, whatever happens.
        let mut slot = Self { path, fresh, file: None };
        slot.file = Some(make(&slot.fresh).map_err(|fault| Failure::file(&slot.path, "written", &fault))?);
        Ok(slot)
    }

    /// Where it will be.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it, waits for the disk and puts it in its place.
    pub(super) fn fill(mut self, content: &[u8]) -> io::Result<()> {
        if let Some(mut file) = self.file.take() {
            file.write_all(content)?;
            file.sync_all()?;
        }
        fs::rename(&self.fresh, &self.path)?;
        // Its name is on the disk when the folder is. Not every system lets a folder be opened.
        if let Some(folder) = self.path.parent().and_then(|folder| File::open(folder).ok()) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.file.take());
        // Gone already, when it took its place.
        let _ = fs::remove_file(&self.fresh);
    }
}
