//! The command line: words in, an order out. Prints nothing and reads no file.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};
use lexopt::{Parser, ValueExt as _};

use crate::command::update::When;

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
    /// Stay, and look after the names.
    Run,
    /// Print a text: help or version.
    Say(&'static str),
    /// Tell the gateway; whether the system's scheduler asks.
    Update(When, bool),
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

usage: nicgate-client [options] update [--force]
       nicgate-client [options] detect

  update             find the addresses, and tell the gateway if it does not know them yet
  detect             show every address found, and which would be sent and why; sends nothing

  -c, --config FILE  default: ./nicgate-client.toml, then ~/.config/nicgate/client.toml
                     ($XDG_CONFIG_HOME is heeded), then /etc/nicgate/client.toml
      --force        send although nothing changed
      --json         answer with one JSON object
  -q, --quiet        complaints only
  -v, --verbose      also say what was found and why it was sent
  -h, --help         this text
  -V, --version      the version

examples
  nicgate-client update
      once; from cron, a timer or Task Scheduler, every few minutes. Costs one short connection.
  nicgate-client --config /etc/nicgate/nas.toml update --json
  nicgate-client detect

exit codes
  0  good, nochg, or nothing to do (another instance at work counts as that)
  1  this machine failed: no event queue, no random bytes
  2  bad configuration or usage
  3  no address detected
  4  no gateway reachable, no answer from it, or it takes no update now: try again later
  5  refused: bad credentials, not our host, or an address that the zone does not take
  6  the gateway has it, but the DNS provider refused or has not confirmed yet
  When hosts end differently, 5 goes before 6.";

/// The verbs, for a complaint.
const VERBS: &str = "update, run and detect";

/// `--version`.
pub const VERSION: &str = concat!("nicgate-client ", env!("CARGO_PKG_VERSION"));

/// Reads the words after the program's name.
///
/// # Errors
/// A sentence about the first word that does not fit.
pub fn read(words: impl Iterator<Item = OsString>) -> Result<Order, String> {
    read_words(Parser::from_args(words)).map_err(|error| error.to_string())
}

fn read_words(mut parser: Parser) -> Result<Order, lexopt::Error> {
    let mut verb = None;
    let mut config = None;
    let (mut is_json, mut volume) = (false, Volume::Normal);
    let (mut is_all, mut is_forced, mut is_scheduled) = (false, false, false);
    while let Some(word) = parser.next()? {
        match word {
            Short('c') | Long("config") => config = Some(PathBuf::from(parser.value()?)),
            Long("all") => is_all = true,
            Long("force") => is_forced = true,
            Long("scheduled") => is_scheduled = true,
            Long("json") => is_json = true,
            Short('q') | Long("quiet") => volume = Volume::Quiet,
            Short('v') | Long("verbose") => volume = Volume::Loud,
            Short('h') | Long("help") => verb = Some(Verb::Say(HELP)),
            Short('V') | Long("version") => verb = Some(Verb::Say(VERSION)),
            Value(name) if verb.is_none() => {
                verb = Some(match name.string()?.as_str() {
                    "detect" => Verb::Detect(false),
                    "help" => Verb::Say(HELP),
                    "run" => Verb::Run,
                    "update" => Verb::Update(When::IfDue, false),
                    other => return Err(format!("there is no command \"{other}\"; there are {VERBS}").into()),
                });
            }
            Short(_) | Long(_) | Value(_) => return Err(word.unexpected()),
        }
        if matches!(verb, Some(Verb::Say(_))) {
            break;
        }
    }
    let when = if is_forced { When::Always } else { When::IfDue };
    let verb = match verb.ok_or_else(|| lexopt::Error::from(format!("say what to do: {VERBS}")))? {
        Verb::Update(..) if !is_all => Verb::Update(when, is_scheduled),
        Verb::Detect(_) if !is_forced && !is_scheduled => Verb::Detect(is_all),
        _ if is_forced => return Err("--force belongs to update".into()),
        _ if is_scheduled => return Err("--scheduled belongs to update".into()),
        _ if is_all => return Err("--all belongs to detect".into()),
        verb => verb,
    };
    Ok(Order { verb, config, is_json, volume })
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
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (text, part) in [
            ("", "update, run and detect"),
            ("updat", "no command \"updat\""),
            ("update twice", "twice"),
            ("update --frce", "--frce"),
            ("update --config", "--config"),
            ("detect --force", "--force belongs"),
            ("update --json=yes", "--json"),
        ] {
            let complaint = words(text).unwrap_err();
            assert!(complaint.contains(part), "{text}: {complaint}");
        }
    }
}
