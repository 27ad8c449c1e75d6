//! `init`: writes a configuration and the key beside it, and tries them.
//!
//! Three ways that mix: the line of an invitation, options, questions on a terminal. A code is good once, so whatever
//! can be checked here is checked before it is shown, the files are opened first, and the key is on the disk before
//! anything else can fail. Nothing that is there is replaced unless that is asked for.

mod asking;
mod draft;
mod enroll;
mod failure;
mod files;

use std::fs;
use std::path::{Path, PathBuf};

use nicgate_protocol::enrollment::Invitation;
use nicgate_protocol::secret::{KEY_LETTERS, Key};
use nicgate_protocol::{DeviceId, Hostname, Secret};
use serde_json::{Value, json};

pub(super) use self::draft::CA_NAME;
use self::draft::{Draft, KeyAt};
use self::enroll::Granted;
use self::failure::Failure;
use self::files::{Place, Slot};
use super::{Speaker, environment, print, trouble_json};
use crate::base_url::BaseUrl;
use crate::command::update::{self, Role, When};
use crate::outside::Outside;
use crate::platform;
use crate::settings::{self, MOST_HOSTS, Settings, Trust, key};
use crate::state::State;
use crate::trouble::Failed;

/// What `init` is asked for. What is missing is asked for on a terminal.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct InitOrder {
    /// The line of an invitation; `-` reads it from standard input.
    pub invitation: Option<String>,
    /// The gateways, in the order of preference.
    pub gateways: Vec<String>,
    /// Our name there.
    pub device: Option<String>,
    /// The names that shall point here.
    pub hosts: Vec<String>,
    /// Where the key is read from; `-` reads it from standard input.
    pub key_file: Option<PathBuf>,
    /// The gateway's own certificate authority.
    pub ca_file: Option<PathBuf>,
    /// Where the IPv4 address comes from.
    pub ipv4: Option<String>,
    /// Where the IPv6 address comes from.
    pub ipv6: Option<String>,
    /// Whether the files go to the machine's place and the key is sealed for the machine; `None`: where we may.
    pub is_for_machine: Option<bool>,
    /// Whether to replace what is there.
    pub is_forced: bool,
    /// Whether not to ask the gateway.
    pub is_untested: bool,
}

/// Where the key comes from.
enum KeyFrom {
    /// It is here.
    Hand(Key),
    /// The gateway gives it for a code.
    Code(Box<Invitation>),
}

/// What was given or asked for, checked as far as that goes without the gateway.
struct Wanted {
    draft: Draft,
    key: KeyFrom,
    trust: Trust,
    /// The authority's certificate in PEM form.
    ca: Option<Vec<u8>>,
}

/// What was written.
struct Written {
    config: PathBuf,
    key: PathBuf,
    ca: Option<PathBuf>,
    device: DeviceId,
    settings: Settings,
    /// What people should hear: full sentences.
    notes: Vec<String>,
}

/// Sets up, tries, and says how that ended. Returns the exit code.
pub(super) async fn init(order: InitOrder, config: Option<PathBuf>, speaker: &Speaker) -> u8 {
    let is_usual = config.is_none();
    let is_untested = order.is_untested;
    match set_up(order, config, speaker).await {
        Ok(written) => finish(&written, is_usual, is_untested, speaker).await,
        Err(Failure { what, cure, exit_code }) => speaker.complain_of(&what, cure.as_deref(), exit_code),
    }
}

async fn set_up(order: InitOrder, config: Option<PathBuf>, speaker: &Speaker) -> Result<Written, Failure> {
    let place = Place::of(config, order.is_for_machine, &environment)?;
    if !order.is_forced {
        refuse_to_replace(&place.config, "a configuration")?;
    }
    let (is_forced, key_source) = (order.is_forced, order.key_file.clone());
    let wanted = gather(order)?;
    check(&wanted, &place.config)?;
    let key_name = draft::key_name(&wanted.draft.device);
    let key_path = place.folder.join(&key_name);
    if key_path == place.config || place.ca() == place.config {
        return Err(Failure::bad(format!("{} is the place of another file; use another name", place.config.display())));
    }
    if !is_forced {
        // The very file that the key is taken from may become the one that keeps it.
        if !key_source.is_some_and(|source| is_same(&source, &key_path)) {
            refuse_to_replace(&key_path, "a key")?;
        }
        if let Some(ca) = &wanted.ca
            && fs::read(place.ca()).map_or(place.ca().exists(), |there| there != *ca)
        {
            refuse_to_replace(&place.ca(), "another certificate")?;
        }
    }
    place.make_folder()?;
    let key_slot = place.key_slot(key_path.clone())?;
    let ca_slot = wanted.ca.as_ref().map(|_| place.slot(place.ca())).transpose()?;
    let config_slot = place.slot(place.config.clone())?;
    // What cannot be sealed must show before a code is used.
    let probe = Secret::new([b'A'; KEY_LETTERS]);
    place.sealed(&probe).map_err(|fault| Failure::file(&key_path, "sealed", &fault))?;

    let Wanted { mut draft, key, trust, ca } = wanted;
    let (key, granted) = match key {
        KeyFrom::Hand(key) => (key, None),
        KeyFrom::Code(invitation) => {
            speaker.say(&format!("asking {} for the key of device {}", draft.gateways[0], draft.device));
            let Granted { key, hosts, bases } = enroll::exchange(&invitation, &draft.gateways[0], &trust).await?;
            (key, Some((hosts, bases)))
        }
    };
    let sealed = place.sealed(&key).map_err(|fault| Failure::file(&key_path, "sealed", &fault))?;
    let is_from_code = granted.is_some();
    fill(key_slot, sealed.expose().as_bytes())?;
    drop((key, sealed));

    // From here on the key is there, and a code is gone: whatever fails says how to go on without it.
    let slots = Slots { ca: ca_slot, config: config_slot };
    let ended = complete(&mut draft, slots, ca.as_deref(), granted, &key_name);
    let go_on = |draft: &Draft| go_on(draft, &place, &key_path, ca.is_some());
    let (ca_path, mut notes) = ended.map_err(|failure| match is_from_code {
        true => Failure { cure: Some(go_on(&draft)), ..failure },
        false => failure,
    })?;
    let loaded = settings::load(&place.config, &environment)
        .map_err(|mistakes| Failure::new(1, format!("what was written is not read back: {mistakes}"), go_on(&draft)))?;
    notes.extend(loaded.warnings);
    Ok(Written {
        config: place.config.clone(),
        key: key_path.clone(),
        ca: ca_path,
        device: draft.device,
        settings: loaded.settings,
        notes,
    })
}

/// The places of what follows the key.
struct Slots {
    ca: Option<Slot>,
    config: Slot,
}

/// Writes what follows the key, the configuration last. Gives where the certificate is, and what people should hear.
fn complete(
    draft: &mut Draft,
    slots: Slots,
    ca: Option<&[u8]>,
    granted: Option<(Vec<Hostname>, Vec<String>)>,
    key_name: &str,
) -> Result<(Option<PathBuf>, Vec<String>), Failure> {
    let ca_path = slots.ca.as_ref().map(|slot| slot.path().to_owned());
    if let (Some(slot), Some(ca)) = (slots.ca, ca) {
        fill(slot, ca)?;
    }
    let mut notes = Vec::new();
    if let Some((hosts, bases)) = granted {
        choose_hosts(draft, hosts, &bases, &mut notes)?;
    }
    fill(slots.config, draft.text(KeyAt::File(key_name)).as_bytes())?;
    Ok((ca_path, notes))
}

fn fill(slot: Slot, content: &[u8]) -> Result<(), Failure> {
    let path = slot.path().to_owned();
    slot.fill(content).map_err(|fault| Failure::file(&path, "written", &fault))
}

/// What to do when the key is there and the rest is not.
fn go_on(draft: &Draft, place: &Place, key: &Path, has_ca: bool) -> String {
    let mut words = format!("the key is safe in {}; go on with: nicgate-client init --force", key.display());
    words.push_str(&format!(" --config \"{}\" --key-file \"{}\"", place.config.display(), key.display()));
    draft.gateways.iter().for_each(|url| words.push_str(&format!(" --gateway {url}")));
    words.push_str(&format!(" --device {}", draft.device));
    if has_ca {
        words.push_str(&format!(" --ca \"{}\"", place.ca().display()));
    }
    for (option, source) in [("ipv4", &draft.ipv4), ("ipv6", &draft.ipv6)] {
        source.iter().for_each(|source| words.push_str(&format!(" --{option} \"{source}\"")));
    }
    words.push_str(if place.is_for_machine { " --for machine" } else { " --for user" });
    if draft.hosts.is_empty() {
        words.push_str(" --host NAME");
    }
    draft.hosts.iter().for_each(|host| words.push_str(&format!(" --host {host}")));
    words
}

fn refuse_to_replace(path: &Path, what: &str) -> Result<(), Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let what = format!("{} is there already: {what}", path.display());
    Err(Failure::new(2, what, "--force replaces it; --config FILE names another place"))
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// Puts together what was given, and asks for what was not.
fn gather(order: InitOrder) -> Result<Wanted, Failure> {
    let of_stdin = |text: &Option<String>| text.as_deref() == Some("-");
    if of_stdin(&order.invitation) && order.key_file.as_deref() == Some(Path::new("-")) {
        return Err(Failure::bad("standard input holds either the line or the key"));
    }
    let is_asked = asking::is_somebody_there();
    let names_nothing = order.gateways.is_empty() && order.device.is_none() && order.key_file.is_none();
    let parse = |text: &str| Invitation::parse(text).map_err(asking::bad_invitation);
    let invitation = match &order.invitation {
        Some(text) if text == "-" => Some(parse(asking::all_of_stdin()?.expose())?),
        Some(text) => Some(parse(text)?),
        None if names_nothing && is_asked => asking::ask_for_invitation()?,
        None if names_nothing => return Err(Failure::missing("the line of an invitation", "it, or --gateway")),
        None => None,
    };

    let mut gateways: Vec<BaseUrl> = Vec::new();
    let given = order.gateways.iter().map(String::as_str);
    for text in invitation.iter().map(Invitation::gateway).chain(given) {
        let url = BaseUrl::parse(text).map_err(|why| Failure::bad(format!("--gateway {text}: {why}")))?;
        if !gateways.contains(&url) {
            gateways.push(url);
        }
    }
    if gateways.is_empty() {
        gateways.push(if is_asked {
            asking::ask("Where is the gateway, for instance https://ddns.example.com", None, BaseUrl::parse)?
        } else {
            return Err(Failure::missing("the gateway", "--gateway URL"));
        });
    }

    let device = match (&invitation, &order.device) {
        (Some(invitation), Some(given)) if given != invitation.device().as_str() => {
            return Err(Failure::bad(format!("the line is for device {}, not {given}", invitation.device())));
        }
        (Some(invitation), _) => invitation.device().clone(),
        (None, Some(given)) => {
            DeviceId::parse(given).map_err(|why| Failure::bad(format!("--device {given}: {why}")))?
        }
        (None, None) if is_asked => {
            let name = platform::machine_name().map(|name| name.to_lowercase());
            let name = name.filter(|name| DeviceId::parse(name).is_ok());
            asking::ask("What is this machine called there (`nicgate device list`)", name.as_deref(), DeviceId::parse)?
        }
        (None, None) => return Err(Failure::missing("the device", "--device ID")),
    };

    let (ca, trust) = authority(invitation.as_ref().and_then(Invitation::ca), order.ca_file.as_deref())?;
    let mut hosts = Vec::new();
    for text in &order.hosts {
        let host = Hostname::parse(text).map_err(|why| Failure::bad(format!("--host {text}: {why}")))?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if hosts.is_empty() && invitation.is_none() {
        hosts.push(if is_asked {
            asking::ask("Which name shall point here, for instance laptop.home.example.com", None, Hostname::parse)?
        } else {
            return Err(Failure::missing("the name that shall point here", "--host NAME"));
        });
    }
    let key = match (invitation, &order.key_file) {
        (Some(_), Some(_)) => return Err(Failure::bad("the line brings the key: leave --key-file out")),
        (Some(invitation), None) => KeyFrom::Code(Box::new(invitation)),
        (None, Some(path)) => KeyFrom::Hand(key_of(path)?),
        (None, None) if is_asked => {
            let question = "The key, as `nicgate device show` prints it after \"key\"";
            KeyFrom::Hand(asking::ask_unseen(question, key::parse)?)
        }
        (None, None) => return Err(Failure::missing("the key", "--key-file FILE (`-` for standard input)")),
    };
    let draft = Draft { gateways, device, hosts, has_ca: ca.is_some(), ipv4: order.ipv4, ipv6: order.ipv6 };
    Ok(Wanted { draft, key, trust, ca })
}

/// The authority that may vouch for the gateway: in the line, or in a file.
fn authority(of_line: Option<&[u8]>, file: Option<&Path>) -> Result<(Option<Vec<u8>>, Trust), Failure> {
    let pem = match (of_line, file) {
        (Some(_), Some(_)) => {
            return Err(Failure::bad("the line brings the gateway's certificate authority: leave --ca out"));
        }
        (Some(der), None) => draft::pem(der).into_bytes(),
        (None, Some(path)) => fs::read(path).map_err(|fault| Failure::bad(format!("{}: {fault}", path.display())))?,
        (None, None) => return Ok((None, Trust::PublicRoots)),
    };
    let name = file.map_or_else(|| "the certificate in the line".to_owned(), |path| path.display().to_string());
    let trust = Trust::from_pem(&pem).map_err(|why| Failure::bad(format!("{name} {why}")))?;
    Ok((Some(pem), trust))
}

/// The key in a file, or in standard input.
fn key_of(path: &Path) -> Result<Key, Failure> {
    if path == Path::new("-") {
        return key::parse(&asking::all_of_stdin()?).map_err(|why| Failure::bad(format!("standard input: {why}")));
    }
    let failed = |why: String| Failure::bad(format!("{} {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|fault| failed(format!("cannot be read: {fault}")))?;
    let text = key::unsealed(text).map_err(failed)?;
    key::parse(&text).map_err(|why| Failure::bad(format!("{}: {why}", path.display())))
}

/// Reads the configuration as it will be, with a key that is none: what the file's reader would complain about, it
/// does now.
fn check(wanted: &Wanted, config: &Path) -> Result<(), Failure> {
    let Draft { gateways, device, hosts, ipv4, ipv6, .. } = &wanted.draft;
    let mut hosts = hosts.clone();
    if hosts.is_empty() {
        hosts.extend(Hostname::parse("to-be-told.invalid"));
    }
    let (gateways, device, ipv4, ipv6) = (gateways.clone(), device.clone(), ipv4.clone(), ipv6.clone());
    let text = Draft { gateways, device, hosts, has_ca: false, ipv4, ipv6 }.text(KeyAt::Variable("key"));
    match settings::read(config, &text, &|_| Some("A".repeat(KEY_LETTERS))) {
        Ok(_) => Ok(()),
        Err(mistakes) => Err(Failure::bad(format!("this would not make a configuration that holds:\n{mistakes}"))),
    }
}

/// The names for the file, out of those that the device may touch.
fn choose_hosts(
    draft: &mut Draft,
    hosts: Vec<Hostname>,
    bases: &[String],
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let may_touch =
        |host: &Hostname| hosts.contains(host) || bases.iter().any(|base| host.ancestors().any(|above| above == base));
    let below = bases.join(" and ");
    if !draft.hosts.is_empty() {
        let strange = draft.hosts.iter().filter(|host| !may_touch(host));
        notes.extend(strange.map(|host| format!("{host} is not among the names of device {}", draft.device)));
        return Ok(());
    }
    if hosts.is_empty() {
        let Some(base) = bases.first() else {
            return Err(Failure::bad(format!("the gateway says that device {} may touch no name", draft.device)));
        };
        let example = platform::machine_name().map(|name| format!("{}.{base}", name.to_lowercase()));
        let example = example.filter(|name| Hostname::parse(name).is_ok());
        if !asking::is_somebody_there() {
            return Err(Failure::bad(format!("the device may touch any name below {below}: say which with --host")));
        }
        let question = format!("Which name below {below} shall point here");
        draft.hosts.push(asking::ask(&question, example.as_deref(), Hostname::parse)?);
        return Ok(());
    }
    if !bases.is_empty() {
        notes.push(format!("the device may touch any name below {below} as well: `hosts` in the file, or --host"));
    }
    if hosts.len() > MOST_HOSTS {
        let count = hosts.len();
        notes.push(format!(
            "the device may touch {count} names; the file has the first {MOST_HOSTS}: see `hosts` there"
        ));
    }
    draft.hosts = hosts.into_iter().take(MOST_HOSTS).collect();
    Ok(())
}

/// Says what was written, tries it, and says what to do next.
async fn finish(written: &Written, is_usual: bool, is_untested: bool, speaker: &Speaker) -> u8 {
    let Written { config, key, ca, device, settings, notes } = written;
    for path in [Some(key), ca.as_ref(), Some(config)].into_iter().flatten() {
        speaker.say(&format!("wrote {}", path.display()));
    }
    if !speaker.is_json {
        speaker.warn_all(notes);
    }
    let (mut code, mut tried) = (0, Value::Null);
    if !is_untested {
        speaker.say("trying it:");
        let outside = Outside::of_system();
        let before = State::peek(settings).last().cloned();
        let ended = update::update(settings, When::Always, Role::Person, outside).await;
        speaker.log(settings, "person", outside.now(), &ended, before.as_ref());
        match ended {
            Ok(report) if speaker.is_json => (code, tried) = (report.exit_code(), report.json()),
            Ok(report) => code = speaker.report(&report),
            Err(Failed { trouble, .. }) if speaker.is_json => {
                code = trouble.exit_code();
                tried = trouble_json(&trouble.to_string(), trouble.cure(), code);
            }
            Err(failed) => code = speaker.fail(&failed),
        }
    }
    if speaker.is_json {
        let path = |path: &Path| path.display().to_string();
        let hosts: Vec<&str> = settings.hosts.iter().map(Hostname::as_str).collect();
        let object = json!({
            "outcome": "written",
            "exit_code": code,
            "config": path(config),
            "key_file": path(key),
            "ca_file": ca.as_deref().map(path),
            "device": device.as_str(),
            "hosts": hosts,
            "notes": notes,
            "update": tried,
        });
        print(&object.to_string());
        return code;
    }
    if code != 0 {
        speaker.say("the files stay as they are");
    }
    let named = if is_usual { String::new() } else { format!(" --config \"{}\"", config.display()) };
    speaker.say(&format!("next: nicgate-client{named} install   lets updates run by themselves"));
    speaker.say(&format!("      nicgate-client{named} status    shows how they go"));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(hosts: &[&str]) -> Draft {
        Draft {
            gateways: vec![BaseUrl::parse("https://g.example").unwrap()],
            device: DeviceId::parse("laptop").unwrap(),
            hosts: names(hosts),
            has_ca: false,
            ipv4: None,
            ipv6: None,
        }
    }

    fn names(texts: &[&str]) -> Vec<Hostname> {
        texts.iter().map(|text| Hostname::parse(text).unwrap()).collect()
    }

    #[test]
    fn the_file_gets_the_names_that_are_names() {
        let many: Vec<String> = (0..30).map(|number| format!("h{number}.home.test")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (wanted, granted, bases, written, notes) in [
            (&[][..], &["a.home.test"][..], &[][..], 1, ""),
            (&[], &["a.home.test", "b.home.test"], &["lan.home.test"], 2, "below lan.home.test as well"),
            (&["b.home.test"], &["a.home.test", "b.home.test"], &[], 1, ""),
            (&["x.lan.home.test"], &["a.home.test"], &["lan.home.test"], 1, ""),
            (&["x.home.test"], &["a.home.test"], &["lan.home.test"], 1, "x.home.test is not among"),
            (&[], &many, &[], MOST_HOSTS, "30 names"),
        ] {
            let bases: Vec<String> = bases.iter().map(|base: &&str| (*base).to_owned()).collect();
            let (mut draft, mut said) = (draft(wanted), Vec::new());
            choose_hosts(&mut draft, names(granted), &bases, &mut said).unwrap();
            assert_eq!(draft.hosts.len(), written, "{wanted:?} {granted:?}");
            assert_eq!(said.is_empty(), notes.is_empty(), "{said:?}");
            assert!(said.join(" ").contains(notes), "{said:?}");
        }
        assert!(choose_hosts(&mut draft(&[]), Vec::new(), &[], &mut Vec::new()).is_err());
    }

    #[test]
    fn what_the_reader_would_refuse_is_refused_before_anything_is_asked() {
        for (ipv4, ipv6, part) in [
            (Some("wbe"), None, "wbe"),
            (Some("2001:db8::1"), None, "other family"),
            (None, Some("router"), "IPv4 address only"),
            (Some("off"), None, "both families"),
            (Some("command"), None, "allow_command"),
        ] {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let draft = Draft { ipv4: text(ipv4), ipv6: text(ipv6), ..draft(&[]) };
            let wanted =
                Wanted { draft, key: KeyFrom::Hand(Secret::new([b'A'; 43])), trust: Trust::PublicRoots, ca: None };
            let failure = check(&wanted, Path::new("/x/client.toml")).unwrap_err();
            assert!(failure.exit_code == 2 && failure.what.contains(part), "{failure:?}");
        }
    }
}
