//! What is written in the configuration file, key by key, each value with its place.
//!
//! Collects mistakes instead of stopping at the first. Knows which keys exist, not what they mean.

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Mistakes};

/// Every key there is.
pub(super) const KEYS: [&str; 14] = [
    "allow_plain",
    "allow_private",
    "ca_file",
    "device",
    "gateway",
    "hosts",
    "ipv4",
    "ipv6",
    "key",
    "key_env",
    "key_file",
    "refresh",
    "state_file",
    "timeout",
];

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
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let place = error.span().unwrap_or_default();
                return Err(Mistakes(vec![Mistake::at(path, text, place, error.message())]));
            }
        };
        let mut mistakes = Vec::new();
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !KEYS.contains(&name) {
                let what = match nearest(name) {
                    Some(near) => format!("there is no key {name:?}; perhaps {near:?} is meant"),
                    None => format!("there is no key {name:?}; there are {}", KEYS.join(", ")),
                };
                mistakes.push(Mistake::at(path, text, key.span(), &what));
            }
        }
        Ok(Self { path, text, table, mistakes })
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

    /// The truth value under a key, if it is there and one.
    pub(super) fn truth(&mut self, key: &str) -> Option<bool> {
        let value = self.table.get(key)?;
        if let DeValue::Boolean(truth) = value.get_ref() {
            return Some(*truth);
        }
        self.note(value.span(), &format!("{key} is true or false, without quotes"));
        None
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

    /// The mistakes, in the order of the file.
    pub(super) fn into_mistakes(mut self) -> Mistakes {
        self.mistakes.sort_by_key(Mistake::place);
        self.mistakes.dedup();
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

/// The known key that differs least, if it differs by little.
fn nearest(name: &str) -> Option<&'static str> {
    let (distance, key) = KEYS.iter().map(|key| (distance(name, key), *key)).min()?;
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
