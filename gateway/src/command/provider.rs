//! `nicgate provider …`: what there is to choose from, and whether what was chosen works.

use std::sync::Arc;

use nicgate_protocol::Hostname;
use serde::Serialize;

use crate::clock::Clock;
use crate::command::order::{print_json, settings};
use crate::command::{ConfigArgument, DONE, FAILED, ProviderCommand, complain};
use crate::config::{Settings, enumerate};
use crate::entropy;
use crate::provider::send::{Mask, Sender, Unbounded};
use crate::provider::{COMMON_KEYS, KINDS, Kind, Moment, Outcome, ProviderSettings, Shape, Sight};

pub(super) fn run(command: ProviderCommand) -> u8 {
    match command {
        ProviderCommand::List { kind, json } => list(kind.as_deref(), json),
        ProviderCommand::Test { name, host, config, json } => test(&name, host.as_deref(), &config, json),
    }
}

/// A type of provider, for scripts.
#[derive(Serialize)]
struct KindLine {
    r#type: &'static str,
    about: &'static str,
    keys: Vec<KeyLine>,
}

#[derive(Serialize)]
struct KeyLine {
    name: &'static str,
    about: &'static str,
    shape: &'static str,
    secret: bool,
    required: bool,
}

impl KindLine {
    fn of(kind: &'static Kind) -> Self {
        let key = |key: &crate::provider::Key| KeyLine {
            name: key.name,
            about: key.about,
            shape: match key.shape {
                Shape::Flag => "flag",
                Shape::Headers => "headers",
                Shape::Number => "number",
                Shape::Text => "text",
                Shape::Url => "url",
            },
            secret: key.is_secret,
            required: key.is_required,
        };
        Self { r#type: kind.word, about: kind.about, keys: kind.keys.iter().map(key).collect() }
    }
}

/// All types, or one of them.
fn list(wanted: Option<&str>, json: bool) -> u8 {
    let kinds: Vec<KindLine> = KINDS.iter().map(KindLine::of).collect();
    let chosen: Vec<KindLine> = match wanted {
        None => kinds,
        Some(word) => kinds.into_iter().filter(|kind| kind.r#type == word).collect(),
    };
    if chosen.is_empty() {
        complain(&format!("there is no type \"{}\"; `nicgate provider list` shows all", wanted.unwrap_or_default()));
        return FAILED;
    }
    if json {
        return print_json(&chosen);
    }
    for kind in chosen {
        println!("{}\n    {}", kind.r#type, kind.about);
        for key in kind.keys {
            let mut marks = Vec::new();
            marks.extend((!key.required).then_some("optional"));
            marks.extend(key.secret.then_some("secret"));
            let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
            println!("    {:<18} {}{marks}", key.name, key.about);
        }
        println!();
    }
    if wanted.is_none() {
        println!("Every type also takes {}.", enumerate(COMMON_KEYS.into_iter().filter(|key| *key != "type")));
        println!("A secret key x may be written as x, x_file, x_env or x_credential.");
    }
    DONE
}

/// What a test found out about one zone.
#[derive(Serialize)]
struct Finding {
    zone: String,
    host: String,
    /// `readable`, `refused`, `unknown` (nobody knows, or not now) or `unreadable` (the API shows nothing).
    result: &'static str,
    /// In words.
    text: String,
    /// The zone in the provider's own words.
    found_zone: Option<String>,
    addresses: Vec<String>,
}

/// Reads from a configured provider, for each zone that uses it, and changes nothing.
fn test(name: &str, host: Option<&str>, config: &ConfigArgument, json: bool) -> u8 {
    let (_, settings) = match settings(config.config.as_ref()) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let Some(provider) = settings.providers.iter().find(|provider| &*provider.name == name) else {
        let names: Vec<&str> = settings.providers.iter().map(|provider| &*provider.name).collect();
        complain(&format!("the configuration has no provider \"{name}\"; it has {}", names.join(", ")));
        return FAILED;
    };
    let spots = match spots(&settings, provider, host) {
        Ok(spots) => spots,
        Err(why) => {
            complain(&why);
            return FAILED;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the system gives no event loop: {error}"));
            return FAILED;
        }
    };
    let findings = match runtime.block_on(look(provider, spots)) {
        Ok(findings) => findings,
        Err(why) => {
            complain(&why);
            return FAILED;
        }
    };
    let is_good = findings.iter().all(|finding| matches!(finding.result, "readable" | "unreadable"));
    if json {
        print_json(&findings);
    } else {
        for finding in findings {
            println!("{}: {}", finding.zone, finding.text);
        }
    }
    if is_good { DONE } else { FAILED }
}

/// The zones that use a provider, with the host to look at: the given one, else the zone's own name.
fn spots(
    settings: &Settings,
    provider: &ProviderSettings,
    host: Option<&str>,
) -> Result<Vec<(Hostname, Hostname)>, String> {
    let uses = |zone: &&Arc<str>| **zone == provider.name;
    if let Some(host) = host {
        let hostname = Hostname::parse(host).map_err(|why| format!("\"{host}\" is no host: {why}"))?;
        let policy =
            settings.policy.of(&hostname).filter(|policy| policy.zone.providers.iter().any(|name| uses(&name)));
        let zone = policy.ok_or_else(|| format!("no zone that uses \"{}\" holds \"{hostname}\"", provider.name))?.zone;
        return Ok(vec![(zone.name.clone(), hostname)]);
    }
    let zones =
        settings.zones.iter().map(|zone| &zone.policy).filter(|zone| zone.providers.iter().any(|name| uses(&name)));
    let spots: Vec<_> = zones.map(|zone| (zone.name.clone(), zone.name.clone())).collect();
    if spots.is_empty() {
        return Err(format!("no zone uses \"{}\": there is nothing to look at", provider.name));
    }
    Ok(spots)
}

async fn look(settings: &ProviderSettings, spots: Vec<(Hostname, Hostname)>) -> Result<Vec<Finding>, String> {
    let provider = settings.open().map_err(|bad| bad.to_string())?;
    let sender = Sender::of(settings).map_err(|why| why.to_string())?;
    let mask = Mask::new(settings);
    let clock = Clock::system();
    let outside = Unbounded(move || Moment { now: clock.now().wall, dice: entropy::nonce() });
    let mut findings = Vec::new();
    for (zone, hostname) in spots {
        let finding = match provider.look(&zone, &hostname) {
            None => unreadable(provider.is_embedded()),
            Some(talk) => match sender.look(talk, &mask, &outside).await {
                Ok(sight) => readable(&hostname, sight),
                Err(outcome) => trouble(outcome),
            },
        };
        findings.push(Finding { zone: zone.to_string(), host: hostname.to_string(), ..finding });
    }
    Ok(findings)
}

fn finding(result: &'static str, text: String) -> Finding {
    Finding { zone: String::new(), host: String::new(), result, text, found_zone: None, addresses: Vec::new() }
}

fn unreadable(is_embedded: bool) -> Finding {
    let text = if is_embedded {
        "served by the embedded name server; there is nobody to ask"
    } else {
        "this kind of provider cannot be asked without changing something; the next update will show"
    };
    finding("unreadable", text.to_owned())
}

fn readable(hostname: &Hostname, sight: Sight) -> Finding {
    let addresses: Vec<String> = sight.addresses.iter().map(ToString::to_string).collect();
    let shown = if addresses.is_empty() { "no address".to_owned() } else { addresses.join(", ") };
    let mut text = format!(
        "the credential is accepted, the zone is there (as {}), {hostname} has {shown}. Whether it may also be \
         changed, only a change can tell",
        sight.zone
    );
    for obstacle in &sight.obstacles {
        text.push_str(&format!("; in the way of updates: {obstacle}"));
    }
    Finding { found_zone: Some(sight.zone), addresses, ..finding("readable", text) }
}

fn trouble(outcome: Outcome) -> Finding {
    match outcome {
        Outcome::Refused { class, code, text, .. } => {
            finding("refused", format!("{}: {text} ({code})", class.error_code()))
        }
        Outcome::Unconfirmed { class, why, .. } => finding("unknown", format!("{}: {why}", class.error_code())),
        Outcome::Confirmed { .. } => {
            finding("unknown", "the provider said yes to a question that was never asked".into())
        }
    }
}
