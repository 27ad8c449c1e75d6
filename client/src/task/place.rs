//! Where definitions go on this machine, and one set of questions for every scheduler. Pure.

use std::path::{Path, PathBuf};

use super::{Account, Answer, Call, Job, Plan, Scheduler, Step, Unfit, launchd, schtasks, systemd, windows_xml};

/// Whom something is installed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The system where we may change it, else the person.
    #[default]
    Natural,
    /// The machine: runs from its start, whoever is logged in.
    System,
    /// The person who installs.
    User,
}

/// Who and where we are.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Whether we may change the system.
    pub is_elevated: bool,
    /// The person's folder.
    pub home: Option<PathBuf>,
    /// Where the person's configurations are, if not in `.config`.
    pub config_home: Option<PathBuf>,
    /// The person's number (macOS).
    pub user_id: Option<String>,
    /// The folder of Windows' own programs.
    pub programs: PathBuf,
}

/// Where definitions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A launchd.
    Launchd(launchd::Place),
    /// A systemd, and where it looks for units.
    Systemd(systemd::Manager, PathBuf),
    /// Task Scheduler, and the folder of its program.
    TaskScheduler(PathBuf),
}

/// What a program that was asked has said.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Its exit code; Windows' are shown as they are, a signal counts as 1.
    pub exit_code: u32,
    /// What it printed.
    pub output: String,
    /// What it complained about.
    pub complaint: String,
}

impl Place {
    /// The place for `scope`. `root` is the folder of a system that does not run now (systemd alone).
    ///
    /// # Errors
    /// When the scheduler has no such place.
    pub fn of(scheduler: Scheduler, scope: Scope, root: Option<&Path>, standing: &Standing) -> Result<Self, Unfit> {
        if let Some(root) = root {
            if scheduler != Scheduler::Systemd || scope == Scope::User {
                return Err(Unfit::new("--root is for a Linux system as a whole", "leave it out"));
            }
            let folder = root.join("etc/systemd/system");
            return Ok(Self::Systemd(systemd::Manager::Offline(root.to_owned()), folder));
        }
        let is_system = match scope {
            Scope::Natural => standing.is_elevated,
            Scope::System => true,
            Scope::User => false,
        };
        let home = || {
            let unfit = || Unfit::new("there is no HOME in the environment", "set it, or use --system");
            standing.home.clone().ok_or_else(unfit)
        };
        match scheduler {
            Scheduler::TaskScheduler if scope == Scope::User => {
                Err(Unfit::new("Task Scheduler has one library for everybody", "use --as me instead of --user"))
            }
            Scheduler::TaskScheduler => Ok(Self::TaskScheduler(standing.programs.clone())),
            Scheduler::Systemd if is_system => {
                Ok(Self::Systemd(systemd::Manager::System, PathBuf::from("/etc/systemd/system")))
            }
            Scheduler::Systemd => {
                let config_home = match &standing.config_home {
                    Some(folder) => folder.clone(),
                    None => home()?.join(".config"),
                };
                Ok(Self::Systemd(systemd::Manager::User, config_home.join("systemd/user")))
            }
            Scheduler::Launchd if is_system => Ok(Self::Launchd(launchd::Place {
                folder: PathBuf::from("/Library/LaunchDaemons"),
                logs: PathBuf::from("/Library/Logs"),
                domain: "system".to_owned(),
            })),
            Scheduler::Launchd => {
                let library = home()?.join("Library");
                let user_id = standing.user_id.as_deref();
                let user_id = user_id.ok_or_else(|| Unfit::new("`id -u` does not say who we are", "use --system"))?;
                Ok(Self::Launchd(launchd::Place {
                    folder: library.join("LaunchAgents"),
                    logs: library.join("Logs"),
                    domain: format!("gui/{user_id}"),
                }))
            }
        }
    }

    /// Whether the definitions belong to the machine rather than to a person.
    #[must_use]
    pub fn is_system(&self) -> bool {
        match self {
            Self::Launchd(place) => place.domain == "system",
            Self::Systemd(manager, _) => *manager != systemd::Manager::User,
            Self::TaskScheduler(_) => true,
        }
    }

    /// Whether changing it takes rights that not everybody has.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.is_system() && !matches!(self, Self::Systemd(systemd::Manager::Offline(_), _))
    }

    /// Who runs what is scheduled here, when nobody says.
    #[must_use]
    pub fn usual_account(&self, me: &str) -> Account {
        match self {
            Self::Launchd(_) if self.is_system() => Account::System,
            Self::Systemd(..) if self.is_system() => Account::Service,
            Self::TaskScheduler(_) => Account::Service,
            Self::Launchd(_) | Self::Systemd(..) => Account::User(me.to_owned()),
        }
    }

    /// The folder where what is scheduled keeps its state, where that is not beside the configuration.
    #[must_use]
    pub fn state_folder(&self) -> Option<&'static str> {
        (matches!(self, Self::Systemd(..)) && self.is_system()).then_some(systemd::STATE)
    }

    /// What puts a plan in place and starts it.
    ///
    /// # Errors
    /// When a path cannot stand in a definition.
    pub fn install(&self, plan: &Plan, key_file: Option<&Path>) -> Result<Vec<Step>, Unfit> {
        match self {
            Self::Launchd(place) => launchd::install(plan, place),
            Self::Systemd(manager, folder) => systemd::install(plan, manager, folder, key_file),
            Self::TaskScheduler(programs) => windows_xml::install(plan, programs),
        }
    }

    /// What ends a job and takes its definition away.
    #[must_use]
    pub fn uninstall(&self, job: Job) -> Vec<Step> {
        match self {
            Self::Launchd(place) => launchd::uninstall(job, place).into(),
            Self::Systemd(manager, folder) => systemd::uninstall(job, manager, folder),
            Self::TaskScheduler(programs) => windows_xml::uninstall(job, programs).into(),
        }
    }

    /// The files that define a job; none where the scheduler keeps definitions to itself.
    #[must_use]
    pub fn files(&self, job: Job) -> Vec<PathBuf> {
        match self {
            Self::Launchd(place) => vec![launchd::file(job, place)],
            Self::Systemd(_, folder) => systemd::files(job, folder),
            Self::TaskScheduler(_) => Vec::new(),
        }
    }

    /// The file in which a scheduler that keeps definitions to itself has that of a job.
    #[must_use]
    pub fn keeps(&self, job: Job) -> Option<PathBuf> {
        match self {
            Self::Launchd(_) | Self::Systemd(..) => None,
            Self::TaskScheduler(programs) => {
                Some(PathBuf::from(format!("{}\\Tasks{}", programs.display(), windows_xml::task_name(job))))
            }
        }
    }

    /// What asks about a job.
    #[must_use]
    pub fn queries(&self, job: Job) -> Vec<Call> {
        match self {
            Self::Launchd(place) => vec![launchd::query(job, place)],
            Self::Systemd(manager, _) => systemd::query(job, manager).into(),
            Self::TaskScheduler(programs) => vec![windows_xml::query(job, programs)],
        }
    }

    /// What the answers to [`Self::queries`] mean, in the same order.
    #[must_use]
    pub fn answer(&self, job: Job, said: &[Said]) -> Answer {
        let none = Said::default();
        let first = said.first().unwrap_or(&none);
        match self {
            Self::Launchd(_) => launchd::answer(first.exit_code, &first.output, &first.complaint),
            Self::Systemd(..) => {
                let timers = said.get(1).unwrap_or(&none);
                systemd::answer(job, first.exit_code, &first.output, &timers.output, &first.complaint)
            }
            Self::TaskScheduler(_) => schtasks::answer(first.exit_code, &first.output, &first.complaint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_natural_for_whoever_may_change_it() {
        let place = |scheduler, scope, is_elevated| {
            let home = Some(PathBuf::from("/home/ana"));
            let standing = Standing { is_elevated, home, user_id: Some("501".to_owned()), ..Standing::default() };
            Place::of(scheduler, scope, None, &standing)
        };
        for (scheduler, scope, is_elevated, file, is_system) in [
            (Scheduler::Systemd, Scope::Natural, true, "/etc/systemd/system/nicgate-client.timer", true),
            (Scheduler::Systemd, Scope::Natural, false, "/home/ana/.config/systemd/user/nicgate-client.timer", false),
            (Scheduler::Systemd, Scope::System, false, "/etc/systemd/system/nicgate-client.timer", true),
            (Scheduler::Systemd, Scope::User, true, "/home/ana/.config/systemd/user/nicgate-client.timer", false),
            (Scheduler::Launchd, Scope::Natural, true, "/Library/LaunchDaemons/io.github.nicgate.update.plist", true),
            (
                Scheduler::Launchd,
                Scope::Natural,
                false,
                "/home/ana/Library/LaunchAgents/io.github.nicgate.update.plist",
                false,
            ),
        ] {
            let place = place(scheduler, scope, is_elevated).unwrap();
            assert_eq!(place.files(Job::Update).last().unwrap(), Path::new(file));
            assert_eq!(place.is_system(), is_system, "{file}");
        }
        assert!(place(Scheduler::TaskScheduler, Scope::User, true).unwrap_err().cure.contains("--as me"));
        let windows = place(Scheduler::TaskScheduler, Scope::Natural, false).unwrap();
        assert_eq!(windows.usual_account("ana"), Account::Service);
    }

    #[test]
    fn an_image_is_nobodys_and_not_guarded() {
        let place = Place::of(Scheduler::Systemd, Scope::System, Some(Path::new("/i")), &Standing::default()).unwrap();
        assert_eq!(place.files(Job::Resident), [Path::new("/i/etc/systemd/system/nicgate-client-resident.service")]);
        assert!(place.is_system() && !place.is_guarded());
        for (scheduler, scope) in [(Scheduler::Systemd, Scope::User), (Scheduler::Launchd, Scope::System)] {
            assert!(Place::of(scheduler, scope, Some(Path::new("/i")), &Standing::default()).is_err());
        }
    }
}
