//! What is written in the configuration file, key by key, each value with its place.
//!
//! Collects mistakes instead of stopping at the first. Knows which keys exist, not what they mean.

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Mistakes};

/// Every key of the file itself.
pub(super) const KEYS: [&str; 33] = [
    "allow_command",
    "allow_deprecated",
    "allow_link_local",
    "allow_plain",
    "allow_private",
    "allow_temporary",
    "allow_vpn",
    "bind",
    "ca_file",
    "command",
    "device",
    "echo",
    "gateway",
    "hold_down",
    "hosts",
    "interface_id",
    "interval",
    "ipv4",
    "ipv6",
    "key",
    "key_env",
    "key_file",
    "log_file",
    "log_size",
    "probe",
    "refresh",
    "retry_for",
    "router",
    "state_file",
    "stun",
    "timeout",
    "uplink",
    "whoami",
];

/// Every key of an `[[uplink]]`.
pub(super) const UPLINK_KEYS: [&str; 3] = ["bind", "name", "probe"];

/// What to do about `"C:\keys\laptop.key"`.
const BACKSLASH: &str = "between double quotes a backslash has a meaning of its own: write paths between single quotes, \
                         for instance 'C:\\keys\\laptop.key'";

/// A text from the file and where it stands.
#[derive(Clone)]
pub(super) struct Written {
    /// The value.
    pub(super) text: String,
    place: Range<usize>,
}

/// A file that is TOML, and the mistakes found in it so far.
pub(super) struct File<'a> {
    path: &'a Path,
    text: &'a str,
    table: DeTable<'a>,
    mistakes: Vec<Mistake>,
}

impl<'a> File<'a> {
    /// Takes a text apart. Unknown keys are noted as mistakes, with the nearest known one.
    pub(super) fn parse(path: &'a Path, text: &'a str) -> Result<Self, Mistakes> {
        let text = text.strip_prefix(super::MARK).unwrap_or(text);
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let place = error.span().unwrap_or_default();
                let what = match is_behind_backslash(text, place.start) {
                    true => format!("{}; {BACKSLASH}", error.message()),
                    false => error.message().to_owned(),
                };
                return Err(Mistakes(vec![Mistake::at(path, text, place, &what)]));
            }
        };
        let mut file = Self { path, text, table, mistakes: Vec::new() };
        file.check_keys(&KEYS);
        file.check_texts();
        Ok(file)
    }

    /// Notes every text with control characters: no setting has any, but `"C:\new"` holds a line break.
    fn check_texts(&mut self) {
        let mut odd = Vec::new();
        let mut look = |value: &Spanned<DeValue<'_>>| {
            if as_text(value).is_some_and(|written| written.text.contains(char::is_control)) {
                odd.push(value.span());
            }
        };
        for value in self.table.values() {
            look(value);
            if let DeValue::Array(list) = value.get_ref() {
                list.iter().for_each(&mut look);
            }
        }
        for place in odd {
            self.note(place, &format!("this holds a control character; {BACKSLASH}"));
        }
    }

    /// Notes every key that is not among `known`, with the nearest one that is.
    fn check_keys(&mut self, known: &[&'static str]) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let what = match nearest(name, known) {
                    Some(near) => format!("there is no key {name:?}; perhaps {near:?} is meant"),
                    None => format!("there is no key {name:?}; there are {}", known.join(", ")),
                };
                self.mistakes.push(Mistake::at(self.path, self.text, key.span(), &what));
            }
        }
    }

    /// Reads every `[[key]]` by `read`, for which the file then is that section alone.
    pub(super) fn sections<T>(
        &mut self,
        key: &str,
        known: &[&'static str],
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        let Some(value) = self.table.get(key).cloned() else { return Vec::new() };
        let place = value.span();
        let mut list = Vec::new();
        if let DeValue::Array(sections) = value.into_inner() {
            for section in sections {
                if let DeValue::Table(section) = section.into_inner() {
                    let whole = std::mem::replace(&mut self.table, section);
                    self.check_keys(known);
                    self.check_texts();
                    list.push(read(self));
                    self.table = whole;
                } else {
                    self.note(place.clone(), &format!("write [[{key}]] and its keys below"));
                }
            }
        } else {
            self.note(place, &format!("write [[{key}]], with two brackets: there may be several"));
        }
        list
    }

    pub(super) fn path(&self) -> &Path {
        self.path
    }

    /// A path as the file means it: relative ones start at the file's own folder.
    pub(super) fn beside(&self, written: &Written) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(&written.text)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The text under a key, if it is there and a text.
    pub(super) fn text(&mut self, key: &str) -> Option<Written> {
        let value = self.table.get(key)?;
        let (written, place) = (as_text(value), value.span());
        if written.is_none() {
            self.note(place, &format!("{key} is a text: put it between quotes"));
        }
        written
    }

    /// The texts under a key, if it is there and a list of texts.
    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<Written>> {
        let value = self.table.get(key)?;
        let place = value.span();
        let list: Option<Vec<Written>> =
            if let DeValue::Array(list) = value.get_ref() { list.iter().map(as_text).collect() } else { None };
        if list.is_none() {
            self.note(place, &format!("{key} is a list of texts, for instance [\"a.example.com\", \"b.example.com\"]"));
        }
        list
    }

    /// The text, or the texts of a list, under a key, if it is there and that.
    pub(super) fn one_or_more(&mut self, key: &str) -> Option<Vec<Written>> {
        let value = self.table.get(key)?;
        if let Some(one) = as_text(value) {
            return Some(vec![one]);
        }
        let place = value.span();
        let list: Option<Vec<Written>> =
            if let DeValue::Array(list) = value.get_ref() { list.iter().map(as_text).collect() } else { None };
        if list.as_ref().is_none_or(Vec::is_empty) {
            self.note(place, &format!("{key} is a text, or a list of texts in the order of preference"));
            return None;
        }
        list
    }

    /// Every text under a key, parsed; `None` where the key is not there or something is wrong with it.
    pub(super) fn parsed<T, E: Display>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<Vec<T>> {
        let mut list = Vec::new();
        let mut is_sound = true;
        for written in self.one_or_more(key)? {
            match parse(&written.text) {
                Ok(value) => list.push(value),
                Err(why) => {
                    self.mistake(&written, &why.to_string());
                    is_sound = false;
                }
            }
        }
        is_sound.then_some(list)
    }

    /// The truth value under a key; false where it is not there.
    pub(super) fn truth(&mut self, key: &str) -> bool {
        let Some(value) = self.table.get(key) else { return false };
        if let DeValue::Boolean(truth) = value.get_ref() {
            return *truth;
        }
        self.note(value.span(), &format!("{key} is true or false, without quotes"));
        false
    }

    /// The text under a key that must be there, parsed.
    pub(super) fn required<T, E: Display>(
        &mut self,
        key: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if !self.has(key) {
            self.missing(key, example);
            return None;
        }
        let written = self.text(key)?;
        parse(&written.text).map_err(|why| self.mistake(&written, &why.to_string())).ok()
    }

    /// Notes that a key is not there.
    pub(super) fn missing(&mut self, key: &str, example: &str) {
        self.mistakes.push(Mistake::of_file(self.path, &format!("{key} is missing; write for instance: {example}")));
    }

    /// Notes what is wrong with a text.
    pub(super) fn mistake(&mut self, written: &Written, what: &str) {
        self.note(written.place.clone(), what);
    }

    /// Notes what is wrong with the value of a key, whatever it is.
    pub(super) fn mistake_at_key(&mut self, key: &str, what: &str) {
        let place = self.table.get(key).map_or(0..0, Spanned::span);
        self.note(place, what);
    }

    fn note(&mut self, place: Range<usize>, what: &str) {
        self.mistakes.push(Mistake::at(self.path, self.text, place, what));
    }

    /// Whether no mistake was noted.
    pub(super) fn is_sound(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// The mistakes, in the order of the file; of several about one value the first, because the others follow from it.
    pub(super) fn into_mistakes(mut self) -> Mistakes {
        self.mistakes.sort_by_key(Mistake::place);
        self.mistakes.dedup_by(|later, first| later == first || (later.has_place() && later.place() == first.place()));
        Mistakes(self.mistakes)
    }
}

fn as_text(value: &Spanned<DeValue<'_>>) -> Option<Written> {
    if let DeValue::String(text) = value.get_ref() {
        Some(Written { text: text.to_string(), place: value.span() })
    } else {
        None
    }
}

/// Whether what stands before a place on its line, between double quotes as far as one can tell, has a backslash.
fn is_behind_backslash(text: &str, place: usize) -> bool {
    let head = text.get(..place).unwrap_or_default();
    let line = head.rsplit('\n').next().unwrap_or_default();
    line.rsplit('"').next().is_some_and(|quoted| quoted.len() < line.len() && quoted.contains('\\'))
}

/// The known key that differs least, if it differs by little.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let (distance, key) = known.iter().map(|key| (distance(name, key), *key)).min()?;
    (distance <= 1 + key.len() / 3).then_some(key)
}

/// How many letters must be added, dropped or replaced to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, against) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *against);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
