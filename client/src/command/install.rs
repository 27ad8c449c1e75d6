//! `install` and `uninstall`: makes the updates run by themselves, and takes that away again without a trace.
//!
//! What is to be done is decided in [`task`](crate::task); here files are written and programs called. Everything is
//! checked before the first change, and `--dry-run` shows every file and every call instead. What needs rights that we
//! do not have is said, and asked for where the system lets us (Windows); `sudo` is never called by ourselves.

mod found;
mod steps;

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::str::FromStr;
use std::time::Duration;

use super::init::CA_NAME;
use crate::platform::{self, Readers};
use crate::settings::{self, Mistakes, Settings};
use crate::task::fitness::{self, Facts, KeyPlace};
use crate::task::place::{Place, Scope};
use crate::task::{Account, Answer, Job, Plan, Scheduler, Unfit};
use found::{Leftovers, folders, inside, is_straight, leftovers, places, whoever_installs};
pub(super) use found::{environment, standing};
use steps::{perform, remove, remove_folder, run, show};

/// How much longer a run may take than it goes on trying: the last try has to end.
const MARGIN: Duration = Duration::from_secs(60);

/// Where the units of an image go.
const UNITS: &str = "/etc/systemd/system";

/// What `install` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallOrder {
    /// The configuration.
    pub config: PathBuf,
    /// How often an update is looked at.
    pub every: Duration,
    /// Who runs it; `None` for whoever is usual at that place.
    pub who: Option<Who>,
    /// Whether `run` stays in memory as well.
    pub resident: bool,
    /// Whom it is installed for.
    pub scope: Scope,
    /// The folder of a system that does not run now; then `config` is a path in that system.
    pub root: Option<PathBuf>,
    /// Whether to show what would be done instead.
    pub is_dry: bool,
}

/// What `uninstall` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UninstallOrder {
    /// The configuration: what `is_purge` deletes.
    pub config: Option<PathBuf>,
    /// Whom it was installed for.
    pub scope: Scope,
    /// The folder of a system that does not run now.
    pub root: Option<PathBuf>,
    /// Whether configuration, key and state go as well.
    pub is_purge: bool,
    /// Whether to show what would be done instead.
    pub is_dry: bool,
}

/// The value of `--as`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever installs.
    Me,
    /// A person by identifier or name. An elevated second run gets this: the administrator who said yes may be another
    /// person than the one who asked.
    Named(String),
    /// An account with few rights.
    Service,
    /// The machine itself.
    System,
}

impl FromStr for Who {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "me" => Ok(Self::Me),
            "service" => Ok(Self::Service),
            "system" => Ok(Self::System),
            name if name.starts_with("S-1-5-21-") || name.contains('\\') => Ok(Self::Named(name.to_owned())),
            _ => Err("write service, me or system"),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Me => "me",
            Self::Named(name) => name,
            Self::Service => "service",
            Self::System => "system",
        })
    }
}

/// The machine as far as installing touches it besides files.
pub trait Machine {
    /// Runs a program to its end, without a window.
    ///
    /// # Errors
    /// When it cannot be started.
    fn run(&self, program: &Path, words: &[OsString]) -> io::Result<Output>;

    /// Whether we may change the system.
    fn is_elevated(&self) -> bool;

    /// Runs this program once more with the rights to change the system, after asking the person at the screen, and
    /// gives its exit code.
    ///
    /// # Errors
    /// When that person says no, or there is nobody to ask.
    fn run_elevated(&self, words: &[OsString]) -> io::Result<u32>;

    /// Makes our name known to the system's event log, or takes it off.
    ///
    /// # Errors
    /// When the system refuses.
    fn keep_events(&self, is_wanted: bool) -> io::Result<()>;

    /// What lets others than the administrators change a file, if anything does.
    fn exposed(&self, path: &Path) -> Option<PathBuf>;

    /// Folders that are emptied now and then, wherever the environment says that they are.
    fn temporary_folders(&self) -> Vec<PathBuf>;

    /// Lets nobody but `readers` at a file or folder.
    ///
    /// # Errors
    /// When the system does not set it.
    fn restrict(&self, path: &Path, readers: Readers) -> io::Result<()>;
}

/// The machine we run on.
pub struct ThisMachine;

impl Machine for ThisMachine {
    fn run(&self, program: &Path, words: &[OsString]) -> io::Result<Output> {
        platform::run_hidden(program, words)
    }

    fn is_elevated(&self) -> bool {
        platform::is_elevated()
    }

    fn run_elevated(&self, words: &[OsString]) -> io::Result<u32> {
        platform::run_elevated(words)
    }

    fn keep_events(&self, is_wanted: bool) -> io::Result<()> {
        if is_wanted { platform::events::register() } else { platform::events::unregister() }
    }

    fn exposed(&self, path: &Path) -> Option<PathBuf> {
        platform::exposed(path)
    }

    fn temporary_folders(&self) -> Vec<PathBuf> {
        platform::temporary_folders()
    }

    fn restrict(&self, path: &Path, readers: Readers) -> io::Result<()> {
        platform::restrict(path, readers)
    }
}

/// What surrounds a command.
pub struct Surroundings<'a> {
    /// What starts programs here.
    pub scheduler: Scheduler,
    /// Our own program.
    pub exe: PathBuf,
    /// Looks a variable up.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The rest of it.
    pub machine: &'a dyn Machine,
    /// Takes lines for the person who asked.
    pub say: &'a dyn Fn(&str),
}

/// Why nothing was installed or removed, or not all of it.
#[derive(Debug)]
pub enum Failure {
    /// A program did not do what it was called for.
    Call(String, String),
    /// Rights are missing: why, and what to do.
    Denied(String, String),
    /// The run with more rights failed with this exit code.
    Elevated(u32),
    /// A file cannot be written or removed.
    File(PathBuf, io::Error),
    /// The configuration cannot be used.
    Mistakes(Mistakes),
    /// There is nothing to remove.
    Nothing,
    /// What is wanted can never run.
    Unfit(Unfit),
}

impl Failure {
    /// 1 this machine failed or said no, 2 bad configuration or a plan that cannot work; else what the run with more
    /// rights ended with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Mistakes(_) | Self::Unfit(_) => 2,
            Self::Elevated(code) => u8::try_from(*code).unwrap_or(1),
            Self::Call(..) | Self::Denied(..) | Self::File(..) | Self::Nothing => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call, complaint) => write!(f, "{call}\n  failed: {complaint}"),
            Self::Denied(what, cure) => write!(f, "{what}\n  {cure}"),
            Self::Elevated(code) => write!(
                f,
                "the run as administrator ended with exit code {code}\n  its words are lost with its window; in a \
                 terminal that was started as administrator they stay"
            ),
            Self::File(path, fault) => write!(f, "{}: {fault}", path.display()),
            Self::Mistakes(mistakes) => mistakes.fmt(f),
            Self::Nothing => f.write_str("nothing is installed here"),
            Self::Unfit(unfit) => unfit.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

/// Makes the updates run by themselves.
///
/// # Errors
/// When it cannot work, we may not, or the system does not do it.
pub fn install(order: &InstallOrder, around: &Surroundings<'_>) -> Result<(), Failure> {
    let standing = standing(around);
    let place = Place::of(around.scheduler, order.scope, order.root.as_deref(), &standing)?;
    let config = std::path::absolute(&order.config).map_err(|fault| Failure::File(order.config.clone(), fault))?;
    let account = match &order.who {
        None => place.usual_account("me"),
        Some(Who::Me) => Account::User(whoever_installs(around)),
        Some(Who::Named(name)) => Account::User(name.clone()),
        Some(Who::Service) => Account::Service,
        Some(Who::System) => Account::System,
    };
    let mut plan = Plan::new(around.exe.clone(), config, account);
    (plan.every, plan.resident) = (order.every, order.resident);

    let readable = inside(order.root.as_deref(), &plan.config)?;
    let may = order.is_dry || standing.is_elevated || !place.is_guarded();
    // What we may not even read is looked through by the run that may.
    let is_closed = fs::read(&readable).is_err_and(|fault| fault.kind() == io::ErrorKind::PermissionDenied);
    if !may && is_closed {
        return elevate(order.words(&plan), around);
    }
    let (key, state_file) = places(&plan.config, &readable, order.root.as_deref());
    let key_file = match &key {
        KeyPlace::File(path) => Some(PathBuf::from(path)),
        KeyPlace::Config | KeyPlace::Environment(_) | KeyPlace::SealedForPerson(_) => None,
    };
    let written = key_file.iter().map(PathBuf::as_path).chain(state_file.as_deref().map(Path::new));
    written.chain([Path::new(UNITS)]).try_for_each(|path| inside(order.root.as_deref(), path).map(drop))?;
    let (temporary, homes) = folders(around);
    // Files of an image have the owners that they will have only when it runs; Windows' lists we do not judge.
    let is_looked_at = place.is_guarded() && around.scheduler != Scheduler::TaskScheduler;
    let exposed = [&plan.exe, &plan.config].into_iter().filter(|_| is_looked_at);
    let exposed = exposed.filter_map(|path| Some((path.clone(), around.machine.exposed(path)?))).next();
    let facts = Facts {
        scheduler: around.scheduler,
        is_system: place.is_system(),
        temporary,
        homes,
        key,
        state_file,
        is_config_private: platform::is_readable_by_others(&readable) == Some(false),
        exposed,
    };
    fitness::check(&plan, &facts)?;
    if !may {
        return elevate(order.words(&plan), around);
    }
    let loaded = settings::load(&readable, &environment(&place, around)).map_err(Failure::Mistakes)?;
    loaded.warnings.iter().for_each(|warning| (around.say)(warning));
    // Our own patience ends before the scheduler's.
    plan.limit = plan.limit.max(loaded.settings.retry_for + MARGIN);

    // Of this machine's, the very file that was read just now; of an image, where it will be.
    let key_file = if order.root.is_none() { loaded.settings.key_path.clone() } else { key_file };
    let mut steps = place.install(&plan, key_file.as_deref())?;
    if !plan.resident && is_there(&place, Job::Resident, around) {
        steps.extend(place.uninstall(Job::Resident));
    }
    if around.scheduler == Scheduler::TaskScheduler {
        let state = plan.config.parent().and_then(platform::state_folder);
        let claims = state.map_or(Ok(Vec::new()), |state| claims(&plan, &loaded.settings, &state))?;
        prepare(&claims, order.is_dry, around)?;
    }
    if order.is_dry {
        steps.iter().for_each(|step| show(step, around));
        return Ok(());
    }
    steps.iter().try_for_each(|step| perform(step, around))?;
    let every = plan.every.as_secs();
    let every = if every.is_multiple_of(60) { format!("{} min", every / 60) } else { format!("{every} s") };
    (around.say)(&format!(
        "installed: an update is looked at every {every}; `nicgate-client status` shows how it goes"
    ));
    if !place.is_system() && around.scheduler == Scheduler::Systemd {
        (around.say)(
            "it runs while you are logged in; `loginctl enable-linger` lets it run from the start of the machine",
        );
    }
    Ok(())
}

/// Something in the machine's folder that nobody but `readers` may come at from now on, whoever made it.
struct Claim {
    path: PathBuf,
    readers: Readers,
    /// Whether it is a folder, to be made where it is missing.
    is_folder: bool,
}

/// Who may come at what in the machine's folder: a service reads configuration and key, and writes in `state` alone.
/// Outermost first, so that nobody can put anything into what is still to be claimed.
///
/// # Errors
/// When the configuration has a service write elsewhere in the folder.
fn claims(plan: &Plan, settings: &Settings, state: &Path) -> Result<Vec<Claim>, Unfit> {
    let (reads, writes) = match plan.account {
        Account::Service => (Readers::Service, Readers::ServiceWriter),
        Account::System => (Readers::Administrators, Readers::Administrators),
        Account::User(_) => return Ok(Vec::new()),
    };
    let Some(folder) = plan.config.parent() else { return Ok(Vec::new()) };
    let is_in = |path: &Path, folder: &Path| {
        let parent = path.parent().filter(|_| is_straight(path));
        parent.is_some_and(|parent| parent.as_os_str().eq_ignore_ascii_case(folder))
    };
    let mut claims = vec![Claim { path: folder.to_owned(), readers: reads, is_folder: true }];
    let read = [Some(plan.config.clone()), settings.key_path.clone(), Some(folder.join(CA_NAME))];
    let read = read.into_iter().flatten().filter(|path| is_in(path, folder));
    claims.extend(read.map(|path| Claim { path, readers: reads, is_folder: false }));
    claims.push(Claim { path: state.to_owned(), readers: writes, is_folder: true });
    let log = settings.log.as_ref().map(|log| &log.path);
    for path in settings.state_file.iter().chain(log) {
        if plan.account == Account::Service && is_in(path, folder) {
            let what = format!("the configuration has {} written, where LOCAL SERVICE may only read", path.display());
            return Err(Unfit::new(
                what,
                format!("leave state_file and log_file out: they are in {}", state.display()),
            ));
        }
        if is_in(path, state) {
            claims.push(Claim { path: path.clone(), readers: writes, is_folder: false });
        }
    }
    Ok(claims)
}

/// What Windows needs besides the tasks.
fn prepare(claims: &[Claim], is_dry: bool, around: &Surroundings<'_>) -> Result<(), Failure> {
    for Claim { path, readers, is_folder } in claims {
        let is_missing = is_missing(path);
        if is_missing && !is_folder {
            continue;
        }
        if is_dry {
            (around.say)(&format!("let nobody but {readers:?} at {}", path.display()));
            continue;
        }
        let made = if is_missing { fs::create_dir(path) } else { Ok(()) };
        let claimed = made.and_then(|()| around.machine.restrict(path, *readers));
        claimed.map_err(|fault| Failure::File(path.clone(), fault))?;
    }
    if is_dry {
        (around.say)("make our name known to the event log");
    } else if let Err(fault) = around.machine.keep_events(true) {
        // Without it everything works, and the log shows our texts with a complaint of its own around them.
        (around.say)(&format!("the event log does not take our name: {fault}"));
    }
    Ok(())
}

/// Takes away what [`install`] made.
///
/// # Errors
/// When there is nothing, we may not, or the system does not do it.
pub fn uninstall(order: &UninstallOrder, around: &Surroundings<'_>) -> Result<(), Failure> {
    let standing = standing(around);
    let place = Place::of(around.scheduler, order.scope, order.root.as_deref(), &standing)?;
    inside(order.root.as_deref(), Path::new(UNITS))?;
    let jobs: Vec<Job> = Job::BOTH.into_iter().filter(|job| is_there(&place, *job, around)).collect();
    let mut rest = match (&order.config, order.is_purge) {
        (Some(config), true) => leftovers(config, order.root.as_deref(), &place, around)?,
        (None, true) => {
            return Err(Unfit::new("--purge deletes a configuration", "name it with --config FILE").into());
        }
        (_, false) => Leftovers::default(),
    };
    for paths in [&mut rest.files, &mut rest.folders, &mut rest.left] {
        paths.retain(|path| path.symlink_metadata().is_ok());
    }
    if jobs.is_empty() && rest.files.is_empty() && rest.folders.is_empty() {
        return Err(Failure::Nothing);
    }
    if !order.is_dry && place.is_guarded() && !standing.is_elevated {
        return elevate(order.words(), around);
    }
    for job in jobs {
        for step in place.uninstall(job) {
            if order.is_dry {
                show(&step, around);
                continue;
            }
            perform(&step, around)?;
        }
        if !order.is_dry {
            (around.say)(&format!("removed: {}", job.name()));
        }
    }
    if around.scheduler == Scheduler::TaskScheduler
        && !order.is_dry
        && let Err(fault) = around.machine.keep_events(false)
    {
        (around.say)(&format!("the event log keeps our name: {fault}"));
    }
    let files = rest.files.iter().map(|path| (path, remove as fn(&Path) -> Result<(), Failure>));
    let folders = rest.folders.iter().map(|path| (path, remove_folder as fn(&Path) -> Result<(), Failure>));
    for (path, take) in files.chain(folders) {
        if !order.is_dry {
            take(path)?;
        }
        (around.say)(&format!("{}: {}", if order.is_dry { "delete" } else { "deleted" }, path.display()));
    }
    for path in rest.left {
        (around.say)(&format!("left, as it is a folder or not beside the configuration: {}", path.display()));
    }
    Ok(())
}

impl InstallOrder {
    /// The same order as words, with nothing left to what surrounds it.
    fn words(&self, plan: &Plan) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["--config".into(), plan.config.clone().into(), "install".into()];
        words.extend(["--every".into(), format!("{}s", self.every.as_secs()).into()]);
        let who = match (&plan.account, &self.who) {
            (Account::User(name), Some(_)) => Some(name.clone()),
            (_, Some(who)) => Some(who.to_string()),
            (_, None) => None,
        };
        words.extend(who.into_iter().flat_map(|who| ["--as".into(), who.into()]));
        words.extend(self.resident.then(|| "--resident".into()));
        words.extend((self.scope == Scope::System).then(|| "--system".into()));
        words
    }
}

impl UninstallOrder {
    fn words(&self) -> Vec<OsString> {
        let config = self.config.as_ref().map(|config| std::path::absolute(config).unwrap_or_else(|_| config.clone()));
        let mut words: Vec<OsString> = Vec::new();
        words.extend(config.into_iter().flat_map(|config| ["--config".into(), config.into()]));
        words.push("uninstall".into());
        words.extend(self.is_purge.then(|| "--purge".into()));
        words.extend((self.scope == Scope::System).then(|| "--system".into()));
        words
    }
}

/// Says why more rights are needed, and gets them where the system lets us.
fn elevate(words: Vec<OsString>, around: &Surroundings<'_>) -> Result<(), Failure> {
    if around.scheduler != Scheduler::TaskScheduler {
        let exe = around.exe.display();
        let words: Vec<_> = words.iter().map(|word| shell(&word.to_string_lossy())).collect();
        let cure = format!("sudo {} {}", shell(&exe.to_string()), words.join(" "));
        return Err(Failure::Denied("only root may change what the system runs".to_owned(), cure));
    }
    (around.say)("a task that runs whoever is logged on needs an administrator; Windows will ask for one");
    match around.machine.run_elevated(&words) {
        Ok(0) => Ok(()),
        Ok(code) => Err(Failure::Elevated(code)),
        Err(fault) => Err(Failure::Denied(
            format!("no administrator: {fault}"),
            "start a terminal as administrator and repeat the command there".to_owned(),
        )),
    }
}

/// A word as a POSIX shell takes it.
fn shell(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-:=@+,%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Whether something of a job is there. A scheduler that does not say counts as yes: removing tells.
fn is_there(place: &Place, job: Job, around: &Surroundings<'_>) -> bool {
    match place {
        Place::Launchd(_) | Place::Systemd(..) => place.files(job).iter().any(|file| file.exists()),
        Place::TaskScheduler(_) => ask(place, job, around) != Answer::Missing,
    }
}

/// Asks the scheduler about a job.
pub(super) fn ask(place: &Place, job: Job, around: &Surroundings<'_>) -> Answer {
    let mut said = Vec::new();
    for call in place.queries(job) {
        match run(&call, around) {
            Ok(answer) => said.push(answer),
            Err(fault) => return Answer::Unclear(format!("{}: {fault}", call.program.display())),
        }
    }
    let answer = place.answer(job, &said);
    // A Task Scheduler that only pretends (Wine's) says yes to everything. The file of a task tells.
    let is_silent = answer == Answer::There(None);
    if is_silent && place.keeps(job).is_some_and(|file| is_missing(&file)) { Answer::Missing } else { answer }
}

/// Whether a file is known not to be there; one that we may not look at is no such file.
fn is_missing(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|fault| fault.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests;
