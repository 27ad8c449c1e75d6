//! `[[provider]]`: each kind says which keys it takes; see `provider/mod.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nicgate_protocol::{DeviceId, Hostname, Secret};

use super::file::{Section, quote};
use super::nearest::nearest;
use super::reading::{At, Once, Span};
use super::secrets::{self, Home};
use crate::provider::send::Sender;
use crate::provider::{COMMON_KEYS, Drift, KINDS, Key, Kind, Provider, ProviderSettings, Setting, Shape};

/// What people call some kinds instead.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("akamai", "linode"),
    ("aliyun", "alidns"),
    ("aws", "route53"),
    ("bind", "rfc2136"),
    ("callback", "webhook"),
    ("dyndns", "dyndns2"),
    ("knot", "rfc2136"),
    ("nsupdate", "rfc2136"),
    ("pdns", "powerdns"),
    ("tencent", "dnspod"),
    ("tencentcloud", "dnspod"),
];

/// The most calls that an operator may allow a minute.
const MOST_CALLS: u32 = 60_000;

/// How often a host is read to find changes by hand.
const SHORTEST_DRIFT: Duration = Duration::from_secs(60);
const USUAL_DRIFT: Duration = Duration::from_secs(6 * 3600);
const LONGEST_DRIFT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The word of the embedded name server's kind.
const EMBEDDED: &str = "embedded";

/// The longest time to live: a week. What moves should not be remembered for longer.
pub(super) const LONGEST_TTL: u32 = 7 * 86_400;

/// The providers of a file, and where each name stands.
pub(super) struct Providers {
    pub(super) settings: Vec<ProviderSettings>,
    /// Every name, also of providers whose section has mistakes.
    named: Vec<Named>,
    /// Whether every section has a name: only then can one be said not to exist.
    pub(super) is_complete: bool,
}

/// A provider's name, where it stands, and what it is the name of.
pub(super) struct Named {
    name: At<Arc<str>>,
    pub(super) is_embedded: bool,
}

impl Providers {
    /// Every name and where it stands, in file order.
    pub(super) fn names(&self) -> impl Iterator<Item = &At<Arc<str>>> + Clone {
        self.named.iter().map(|named| &named.name)
    }

    /// The provider with a name.
    pub(super) fn find(&self, name: &str) -> Option<&Named> {
        self.named.iter().find(|named| *named.name.value == *name)
    }
}

pub(super) fn read_providers(sections: Vec<Section<'_>>, has_dns: bool) -> Providers {
    let mut providers = Providers { settings: Vec::new(), named: Vec::new(), is_complete: true };
    let mut once = Once::default();
    for mut section in sections {
        let reading = section.reading;
        let name = section.take_parsed("name", provider_name);
        section.require("name", "\"main\"");
        let kind = take_kind(&mut section);
        let is_embedded = kind.as_ref().is_some_and(|kind| kind.value.word == EMBEDDED);
        if let (true, false, Some(kind)) = (is_embedded, has_dns, &kind) {
            let hint = "add [dns] with listen = [\"[::]:53\"]";
            reading.missing(Some(&kind.span), "type is \"embedded\", and there is no [dns]", hint);
        }
        match &name {
            Some(name) => {
                if once.admit(reading, "provider", &name.value, &name.span) {
                    providers.named.push(Named { name: name.clone(), is_embedded });
                }
            }
            None => providers.is_complete = false,
        }
        match kind {
            Some(kind) => {
                let name = name.as_ref().map_or("", |name| &name.value);
                providers.settings.push(read_settings(section, name, kind.value));
            }
            None => section.finish_unread(&COMMON_KEYS),
        }
    }
    providers
}

/// The kind after `type =`.
fn take_kind(section: &mut Section<'_>) -> Option<At<&'static Kind>> {
    let words = || KINDS.iter().map(|kind| kind.word);
    section.require("type", &quote(EMBEDDED));
    let written = section.take_text("type")?;
    if let Some(kind) = KINDS.iter().find(|kind| kind.word == written.value) {
        return Some(At { value: kind, span: written.span });
    }
    let other = OTHER_NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(written.value)).map(|(_, word)| *word);
    let hint = match other.or_else(|| nearest(written.value, words())) {
        Some(word) => format!("did you mean \"{word}\"?"),
        None => "`nicgate provider list` shows all types".to_owned(),
    };
    section.reading.mistake(&written.span, format!("type is {}", quote(written.value)), hint);
    None
}

fn read_settings(mut section: Section<'_>, name: &str, kind: &'static Kind) -> ProviderSettings {
    let reading = section.reading;
    let mut settings = ProviderSettings::new(name, kind);
    settings.endpoint = section.take_parsed("endpoint", url).map(|at| at.value);
    settings.ttl = section.take_number("ttl", 1..=LONGEST_TTL);
    settings.calls_per_minute = section.take_number("calls_per_minute", 1..=MOST_CALLS);
    settings.ca_file = take_authorities(&mut section);
    settings.drift = take_drift(&mut section);
    // Where each key stands, for what the kind itself has to say about it.
    let mut spans: Vec<(&str, Span)> =
        section.value_span("endpoint").map(|span| ("endpoint", span)).into_iter().collect();
    let mut is_complete = true;
    for key in kind.keys {
        let found = take_key(&mut section, key, &mut settings);
        let is_written = section.has(key.name) || key.is_secret && is_elsewhere(&section, key);
        if key.is_required && !is_written {
            let example = match key.shape {
                Shape::Text if key.is_secret => format!("{0} = \"…\", {0}_file = \"…\" or {0}_env = \"…\"", key.name),
                Shape::Text | Shape::Url => format!("{} = \"…\"", key.name),
                Shape::Number => format!("{} = 1", key.name),
                Shape::Flag => format!("{} = true", key.name),
                Shape::Headers => format!("{} = {{ Name = \"value\" }}", key.name),
            };
            let found = format!("provider of type \"{}\" has no {}", kind.word, key.name);
            reading.missing(section.span(), found, format!("write {example}"));
        }
        is_complete &= found.is_some() || !is_written && !key.is_required;
        spans.extend(found.map(|span| (key.name, span)));
    }
    if is_complete {
        match (kind.open)(&settings) {
            Ok(provider) if settings.drift.is_some() => warn_of_blindness(&section, &*provider),
            Ok(_) => {}
            Err(bad) => match spans.into_iter().find(|(key, _)| *key == bad.key) {
                Some((key, span)) => reading.mistake(&span, format!("{key} cannot be used"), bad.why),
                None => reading.missing(section.span(), format!("{} cannot be used", bad.key), bad.why),
            },
        }
    }
    section.finish(true);
    settings
}

/// Whether and how often the provider is read, to find what was changed by hand.
fn take_drift(section: &mut Section<'_>) -> Option<Drift> {
    let repairs = section.take_word("drift", &[("report", false), ("repair", true)]);
    let written = section.key_span("drift_every");
    let every = section.take_duration("drift_every", SHORTEST_DRIFT..=LONGEST_DRIFT, USUAL_DRIFT);
    if let (None, Some(span), false) = (&repairs, written, section.has("drift")) {
        section.reading.warn(Some(&span), "drift_every without drift does nothing", "write drift = \"report\"");
    }
    Some(Drift { every, repairs: repairs?.value })
}

/// Warns of a provider that is to be watched and cannot be read.
fn warn_of_blindness(section: &Section<'_>, provider: &dyn Provider) {
    let Ok(any) = Hostname::parse("example.com") else { return };
    if provider.look(&any, &any).is_none() {
        let found = "drift cannot be looked for: this type of provider shows nothing without changing it";
        section.reading.warn(section.value_span("drift").as_ref(), found, "leave drift out");
    }
}

/// The certificate authorities that are trusted instead of the public ones.
fn take_authorities(section: &mut Section<'_>) -> Option<PathBuf> {
    let reading = section.reading;
    let file = section.take_text("ca_file")?;
    let path = reading.path(file.value);
    match Sender::with_authorities(&path) {
        Ok(_) => Some(path),
        Err(why) => {
            let hint = "write the path of a PEM file with the certificate of the authority";
            reading.mistake(&file.span, format!("ca_file cannot be used: {why}"), hint);
            None
        }
    }
}

fn is_elsewhere(section: &Section<'_>, key: &Key) -> bool {
    secrets::ELSEWHERE.iter().any(|place| section.has(&format!("{}_{place}", key.name)))
}

/// Reads one key into `settings`; where its value stands, if it has a usable one.
fn take_key(section: &mut Section<'_>, key: &Key, settings: &mut ProviderSettings) -> Option<Span> {
    let name = key.name;
    match key.shape {
        Shape::Headers => {
            let pairs = section.take_secret_pairs(name)?;
            let secret = |(field, value): (&str, &str)| (field.to_owned(), Secret::new(value.to_owned()));
            settings.set(name, Setting::Headers(pairs.into_iter().map(secret).collect()));
            section.value_span(name)
        }
        Shape::Text | Shape::Url if key.is_secret => {
            let At { value, span } = secrets::take(section, name, Home::Anywhere)?;
            if key.shape == Shape::Url && url(value.expose()).is_err() {
                section.reading.mistake(&span, format!("{name} is no URL"), "write one with http:// or https://");
                return None;
            }
            settings.set(name, Setting::Secret(value));
            Some(span)
        }
        Shape::Text | Shape::Url => {
            let take = |text: &str| if key.shape == Shape::Url { url(text) } else { Ok(text.to_owned()) };
            let At { value, span } = section.take_parsed(name, take)?;
            settings.set(name, Setting::Text(value));
            Some(span)
        }
        Shape::Number => {
            settings.set(name, Setting::Number(section.take_number(name, 0..=u32::MAX)?.into()));
            section.value_span(name)
        }
        Shape::Flag => {
            let At { value, span } = section.take_flag(name)?;
            settings.set(name, Setting::Flag(value));
            Some(span)
        }
    }
}

fn provider_name(text: &str) -> Result<Arc<str>, &'static str> {
    // The same letters as a device's id: both stand in logs, metrics and commands.
    DeviceId::parse(text).map(|_| text.into()).map_err(|_| "a name is 1 to 64 letters, digits, \".\", \"_\" or \"-\"")
}

fn url(text: &str) -> Result<String, &'static str> {
    const EXAMPLE: &str = "write a URL, for instance \"https://api.example.com\"";
    let parsed: http::Uri = text.parse().map_err(|_| EXAMPLE)?;
    match (parsed.scheme_str(), parsed.authority()) {
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => Ok(text.to_owned()),
        _ => Err(EXAMPLE),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file;
    use super::super::reading::Reading;
    use super::super::report::Source;
    use super::*;
    use crate::provider::BadSetting;

    const fn key(name: &'static str, shape: Shape, is_secret: bool) -> Key {
        Key { name, about: "A key.", is_secret, is_required: false, shape }
    }

    /// A kind with a key of every shape, which takes no answer but 42.
    static EVERY: Kind = Kind {
        word: "every",
        about: "Every shape there is.",
        keys: &[
            key("answer", Shape::Number, false),
            key("fast", Shape::Flag, false),
            key("headers", Shape::Headers, true),
            key("hook", Shape::Url, true),
            key("page", Shape::Url, false),
            key("word", Shape::Text, false),
        ],
        open: |_| Err(BadSetting { key: "answer", why: "write 42".to_owned() }),
    };

    /// What is said about the keys of such a provider.
    fn said(keys: &str) -> Vec<String> {
        let text = format!("[[provider]]\n{keys}");
        let reading = Reading::new(Source::new(Path::new("g.toml"), &text), Path::new(""), &|_| None);
        let table = file::parse(&reading);
        for section in Section::root(&reading, table.get_ref()).take_sections("provider", "[[provider]]") {
            read_settings(section, "p", &EVERY);
        }
        drop(table);
        let (mistakes, _) = reading.finish();
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_shape_is_held_to_itself_and_secret_ones_are_masked() {
        for (key, wanted) in [
            (
                "answer = \"1\"",
                "2:10: answer is \"1\"; write a whole number from 0 to 4294967295, without quotes\n    2 | answer = \"1\"\n      |          ^^^",
            ),
            ("fast = 1", "2:8: fast is 1; write true or false, without quotes\n    2 | fast = 1\n      |        ^"),
            (
                "headers = \"X: hush\"",
                "2:11: headers is no table; write headers = { Name = \"value\" }\n    2 | headers = \"***\"\n      |           ^^^^^",
            ),
            (
                "headers = { X = 1 }",
                "2:17: headers has a value that is no text; write a text in quotes\n    2 | headers = { X = \"***\" }\n      |                 ^^^^^",
            ),
            (
                "hook = \"hush\"",
                "2:8: hook is no URL; write one with http:// or https://\n    2 | hook = \"***\"\n      |        ^^^^^",
            ),
            (
                "page = \"ftp://x\"",
                "2:8: page is \"ftp://x\"; write a URL, for instance \"https://api.example.com\"\n    2 | page = \"ftp://x\"\n      |        ^^^^^^^^^",
            ),
            ("word = []", "2:8: word is a list; write a text in quotes\n    2 | word = []\n      |        ^^"),
        ] {
            assert_eq!(said(key), [format!("g.toml:{wanted}")], "{key}");
        }
    }

    #[test]
    fn what_a_kind_refuses_is_shown_at_its_key() {
        let all = "fast = true\nheaders = { X = \"a\" }\nhook = \"https://a.test/b\"\npage = \"http://a.test\"\nword = \"w\"\nanswer = 41\n";
        assert_eq!(
            said(all),
            ["g.toml:7:10: answer cannot be used; write 42\n    7 | answer = 41\n      |          ^^"]
        );
        assert_eq!(
            said("word = \"w\""),
            ["g.toml:1:1: answer cannot be used; write 42\n    1 | [[provider]]\n      | ^^^^^^^^^^^^"]
        );
    }
}
