//! The command line: words in, an order out. Prints nothing and reads no file.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};
use lexopt::{Parser, ValueExt as _};

use crate::command::init::InitOrder;
use crate::command::install::{UninstallOrder, Who};
use crate::command::update::When;
use crate::settings::span;
use crate::task::EVERY;
use crate::task::place::Scope;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Order {
    /// What to do.
    pub verb: Verb,
    /// The configuration file, where one was named.
    pub config: Option<PathBuf>,
    /// Whether to answer with one JSON object.
    pub is_json: bool,
    /// How much to say.
    pub volume: Volume,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Verb {
    /// Show every address found; whether third parties are asked that the file does not name.
    Detect(bool),
    /// Check everything, one by one.
    Doctor,
    /// Write a configuration.
    Init(Box<InitOrder>),
    /// Make updates run by themselves.
    Install(Installing),
    /// Stay, and look after the names.
    Run,
    /// Print a text: help or version.
    Say(&'static str),
    /// Show what is scheduled and how it went.
    Status(Scope),
    /// Take away what `install` made; whether the configuration, key and state go as well.
    Uninstall(UninstallOrder),
    /// Tell the gateway; whether the system's scheduler asks.
    Update(When, bool),
}

/// What `install` is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Installing {
    /// How often an update is looked at.
    pub every: Duration,
    /// Who runs it.
    pub who: Option<Who>,
    /// Whether `run` stays in memory as well.
    pub resident: bool,
    /// Whom it is installed for.
    pub scope: Scope,
    /// The folder of a system that does not run now.
    pub root: Option<PathBuf>,
    /// Whether to show what would be done instead.
    pub is_dry: bool,
}

/// How much to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    /// Also what was found and why it was sent.
    Loud,
    /// The result.
    Normal,
    /// Complaints only.
    Quiet,
}

/// `--help`.
pub const HELP: &str = "\
nicgate-client: tells a nicgate gateway where this machine is

usage: nicgate-client [options] COMMAND

  init [LINE]        write a configuration: from the line that `nicgate device add` printed, from options, or by
                     asking; tests the connection
  update             find the addresses, and tell the gateway if it does not know them yet
  run                stay, and do so whenever an address changes and every few minutes
  detect             show every address found, and which would be sent and why; sends nothing
  install            let updates run by themselves: Task Scheduler, systemd or launchd
  uninstall          take that away again
  status             what is scheduled, how it went, what was sent and heard last
  doctor             check clock, network, certificate, key and task one by one, and name the cure

options for every command
  -c, --config FILE  default: ./nicgate-client.toml (but for root and administrators), then the user's own
                     (~/.config/nicgate/client.toml, %APPDATA%\\nicgate\\client.toml), then the system's
                     (/etc/nicgate/client.toml, %ProgramData%\\nicgate\\client.toml)
      --json         answer with one JSON object
  -q, --quiet        complaints only
  -v, --verbose      also say what was found and why it was sent
  -h, --help         this text
  -V, --version      the version

update
      --force        send although nothing changed
      --scheduled    as a scheduler runs it: go on trying for a while, leave the work to a resident client
detect
      --all          also ask public services that the file does not name
init
      --gateway URL --device ID --host NAME (each may be repeated but the device)
      --key-file FILE   read the key from there, `-` for standard input; it is never taken from the command line
      --ca FILE         the gateway's own certificate authority
      --ipv4 SOURCE, --ipv6 SOURCE
      --for user|machine  who can open the key (Windows) and where the files go; default: machine where we may
      --force        replace a configuration that is there
      --no-test      do not ask the gateway
install
      --every SPAN   default 10m
      --as WHO       service (few rights, default), me, system
      --resident     also keep `run` in memory
      --system, --user   for the machine or for you (systemd, launchd)
      --root DIR     into a system that does not run now (systemd)
      --dry-run      show every file and every call instead
uninstall
      --system, --user, --root DIR, --dry-run
      --purge        also delete configuration, key, state and log: of --config FILE, or of the usual place
status
      --system, --user

examples
  nicgate-client init nicgate1_AbC...
  nicgate-client update
      once; from cron, a timer or Task Scheduler, every few minutes. Costs one short connection.
  nicgate-client --config /etc/nicgate/nas.toml update --json
  nicgate-client install --every 5m --resident

exit codes
  0  good, nochg, or nothing to do (another instance at work counts as that)
  1  this machine failed or said no; status and doctor: something is not as it should be
  2  bad configuration or usage
  3  no address detected
  4  no gateway reachable, no answer from it, or it takes no update now: try again later
  5  refused: bad credentials, not our host, or an address that the zone does not take
  6  the gateway has it, but the DNS provider refused or has not confirmed yet
  When hosts end differently, 5 goes before 6.";

/// The verbs, for a complaint.
const VERBS: &str = "init, update, run, detect, install, uninstall, status and doctor";

/// `--version`.
pub const VERSION: &str = concat!("nicgate-client ", env!("CARGO_PKG_VERSION"));

/// Reads the words after the program's name.
///
/// # Errors
/// A sentence about the first word that does not fit.
pub fn read(words: impl Iterator<Item = OsString>) -> Result<Order, String> {
    read_words(Parser::from_args(words)).map_err(|error| error.to_string())
}

/// Everything that options say, whichever command they are for.
#[derive(Default)]
struct Said {
    /// The options that not every command has.
    given: Vec<&'static str>,
    every: Option<Duration>,
    who: Option<Who>,
    scope: Scope,
    root: Option<PathBuf>,
    init: InitOrder,
}

/// Which commands take an option that not every command has.
const TAKEN_BY: [(&str, &[&str]); 20] = [
    ("all", &["detect"]),
    ("as", &["install"]),
    ("ca", &["init"]),
    ("device", &["init"]),
    ("dry-run", &["install", "uninstall"]),
    ("every", &["install"]),
    ("for", &["init"]),
    ("force", &["init", "update"]),
    ("gateway", &["init"]),
    ("host", &["init"]),
    ("ipv4", &["init"]),
    ("ipv6", &["init"]),
    ("key-file", &["init"]),
    ("no-test", &["init"]),
    ("purge", &["uninstall"]),
    ("resident", &["install"]),
    ("root", &["install", "uninstall"]),
    ("scheduled", &["update"]),
    ("system", &["install", "status", "uninstall"]),
    ("user", &["install", "status", "uninstall"]),
];

fn read_words(mut parser: Parser) -> Result<Order, lexopt::Error> {
    let mut verb: Option<String> = None;
    let mut config = None;
    let (mut is_json, mut volume) = (false, Volume::Normal);
    let mut said = Said::default();
    let say = |text| Ok(Order { verb: Verb::Say(text), config: None, is_json: false, volume: Volume::Normal });
    while let Some(word) = parser.next()? {
        match word {
            Short('c') | Long("config") => config = Some(PathBuf::from(parser.value()?)),
            Long("json") => is_json = true,
            Short('q') | Long("quiet") => volume = Volume::Quiet,
            Short('v') | Long("verbose") => volume = Volume::Loud,
            Short('h') | Long("help") => return say(HELP),
            Short('V') | Long("version") => return say(VERSION),
            Long(name) => match TAKEN_BY.iter().find(|(known, _)| *known == name) {
                Some((known, _)) => {
                    said.given.push(known);
                    said.take(known, &mut parser)?;
                }
                None => return Err(Long(name).unexpected()),
            },
            Value(name) if verb.is_none() => match name.string()? {
                help if help == "help" => return say(HELP),
                name => verb = Some(name),
            },
            Value(line) if verb.as_deref() == Some("init") && said.init.invitation.is_none() => {
                said.init.invitation = Some(line.string()?);
            }
            Short(_) | Value(_) => return Err(word.unexpected()),
        }
    }
    let Some(verb) = verb else { return Err(format!("say what to do: {VERBS}").into()) };
    let verb = said.order(&verb)?;
    Ok(Order { verb, config, is_json, volume })
}

impl Said {
    /// Takes an option's value, where it has one.
    fn take(&mut self, option: &str, parser: &mut Parser) -> Result<(), lexopt::Error> {
        match option {
            "as" => self.who = Some(parser.value()?.parse_with(str::parse)?),
            "every" => {
                let span = |text: &str| span(text).ok_or("write a number with s, m, h or d, for instance \"10m\"");
                self.every = Some(parser.value()?.parse_with(span)?);
            }
            "root" => self.root = Some(parser.value()?.into()),
            "system" => self.scope = Scope::System,
            "user" => self.scope = Scope::User,
            "ca" => self.init.ca_file = Some(parser.value()?.into()),
            "device" => self.init.device = Some(parser.value()?.string()?),
            "for" => {
                self.init.is_for_machine = Some(match parser.value()?.string()?.as_str() {
                    "machine" => true,
                    "user" => false,
                    _ => return Err("--for takes user or machine".into()),
                });
            }
            "gateway" => self.init.gateways.push(parser.value()?.string()?),
            "host" => self.init.hosts.push(parser.value()?.string()?),
            "ipv4" => self.init.ipv4 = Some(parser.value()?.string()?),
            "ipv6" => self.init.ipv6 = Some(parser.value()?.string()?),
            "key-file" => self.init.key_file = Some(parser.value()?.into()),
            _ => {}
        }
        Ok(())
    }

    fn has(&self, option: &str) -> bool {
        self.given.contains(&option)
    }

    /// The order, when every option given is one that the command takes.
    fn order(self, verb: &str) -> Result<Verb, lexopt::Error> {
        for (option, verbs) in TAKEN_BY {
            if self.has(option) && !verbs.contains(&verb) && VERBS.contains(verb) {
                return Err(format!("--{option} belongs to {}", verbs.join(" and ")).into());
            }
        }
        if self.has("system") && self.has("user") {
            return Err("--system and --user: one of them".into());
        }
        Ok(match verb {
            "detect" => Verb::Detect(self.has("all")),
            "doctor" => Verb::Doctor,
            "init" => {
                let (is_forced, is_untested) = (self.has("force"), self.has("no-test"));
                Verb::Init(Box::new(InitOrder { is_forced, is_untested, ..self.init }))
            }
            "install" => Verb::Install(Installing {
                every: self.every.unwrap_or(EVERY),
                resident: self.has("resident"),
                is_dry: self.has("dry-run"),
                who: self.who,
                scope: self.scope,
                root: self.root,
            }),
            "run" => Verb::Run,
            "status" => Verb::Status(self.scope),
            "uninstall" => Verb::Uninstall(UninstallOrder {
                config: None,
                is_purge: self.has("purge"),
                is_dry: self.has("dry-run"),
                scope: self.scope,
                root: self.root,
            }),
            "update" => {
                let when = if self.has("force") { When::Always } else { When::IfDue };
                Verb::Update(when, self.has("scheduled"))
            }
            other => return Err(format!("there is no command \"{other}\"; there are {VERBS}").into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Order, String> {
        read(text.split_ascii_whitespace().map(OsString::from))
    }

    #[test]
    fn options_stand_before_or_after_the_verb() {
        let expected = Order {
            verb: Verb::Update(When::Always, false),
            config: Some(PathBuf::from("a.toml")),
            is_json: true,
            volume: Volume::Quiet,
        };
        for text in [
            "-q --json -c a.toml update --force",
            "update --force --config=a.toml --json --quiet",
            "-qca.toml --force --json update",
        ] {
            assert_eq!(words(text).as_ref(), Ok(&expected), "{text}");
        }
        assert_eq!(words("update").unwrap().verb, Verb::Update(When::IfDue, false));
        assert_eq!(words("detect -v").unwrap().volume, Volume::Loud);
        assert_eq!(words("update --help").unwrap().verb, Verb::Say(HELP));
        assert_eq!(words("-V nonsense").unwrap().verb, Verb::Say(VERSION));
        let Verb::Install(install) = words("install --every 5m --as me --resident --dry-run").unwrap().verb else {
            panic!("it is to install")
        };
        assert_eq!((install.every, install.who), (Duration::from_secs(300), Some(Who::Me)));
        assert!(install.resident && install.is_dry && install.scope == Scope::Natural);
        let Verb::Init(init) = words("init nicgate1_x --host a.example --host b.example --for user").unwrap().verb
        else {
            panic!("it is to begin")
        };
        assert_eq!((init.invitation.as_deref(), init.is_for_machine), (Some("nicgate1_x"), Some(false)));
        assert_eq!(init.hosts, ["a.example", "b.example"]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (text, part) in [
            ("", "init, update, run"),
            ("updat", "no command \"updat\""),
            ("update twice", "twice"),
            ("update --frce", "--frce"),
            ("update --config", "--config"),
            ("detect --force", "--force belongs to init and update"),
            ("install --as nobody", "service, me or system"),
            ("install --every 10", "10m"),
            ("status --user --system", "one of them"),
            ("uninstall --every 10m", "--every belongs to install"),
            ("init one two", "two"),
            ("update --json=yes", "--json"),
        ] {
            let complaint = words(text).unwrap_err();
            assert!(complaint.contains(part), "{text}: {complaint}");
        }
    }
}
