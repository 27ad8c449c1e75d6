//! One reading of one file: what may be looked up, and every mistake, warning and secret met on the way.
//!
//! Mistakes are noted and never end the reading, so that all of them come at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::report::{Mistake, Source};

/// Where in the text something stands, in bytes.
pub(super) type Span = Range<usize>;

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

/// One reading of one file: its text, what it may look up, and what was noted so far.
pub(super) struct Reading<'a> {
    pub(super) source: Source<'a>,
    /// Relative paths begin here.
    folder: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
    mistakes: RefCell<Vec<Note>>,
    warnings: RefCell<Vec<Note>>,
    /// What nobody may see.
    secrets: RefCell<Vec<Span>>,
    /// The key of the first secret that stands in the file itself.
    first_secret: RefCell<Option<At<String>>>,
    /// What is no TOML, and was read by guesswork. What is missing elsewhere may stand there.
    guessed: RefCell<Vec<Span>>,
}

struct Note {
    span: Option<Span>,
    found: String,
    hint: String,
    is_syntax: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(source: Source<'a>, folder: &'a Path, environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            source,
            folder,
            environment,
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
            secrets: RefCell::default(),
            first_secret: RefCell::default(),
            guessed: RefCell::default(),
        }
    }

    /// Notes a mistake.
    pub(super) fn mistake(&self, span: &Span, found: impl Into<String>, hint: impl Into<String>) {
        self.note(Some(span.clone()), found.into(), hint.into(), false);
    }

    /// Notes that something is missing; `span` is what lacks it. Not said of a text that is no TOML.
    pub(super) fn missing(&self, span: Option<&Span>, found: impl Into<String>, hint: impl Into<String>) {
        if self.guessed.borrow().is_empty() {
            self.note(span.cloned(), found.into(), hint.into(), false);
        }
    }

    /// Notes what TOML itself forbids. What `guessed` holds is not to be believed.
    pub(super) fn syntax(&self, span: Span, guessed: Span, found: String, hint: String) {
        self.guessed.borrow_mut().push(guessed);
        self.note(Some(span), found, hint, true);
    }

    fn note(&self, span: Option<Span>, found: String, hint: String, is_syntax: bool) {
        self.mistakes.borrow_mut().push(Note { span, found, hint, is_syntax });
    }

    /// Notes what is allowed and deserves a second thought.
    pub(super) fn warn(&self, span: Option<&Span>, found: impl Into<String>, hint: impl Into<String>) {
        let note = Note { span: span.cloned(), found: found.into(), hint: hint.into(), is_syntax: false };
        self.warnings.borrow_mut().push(note);
    }

    /// Marks bytes that nobody may see.
    pub(super) fn hide(&self, span: Span) {
        self.secrets.borrow_mut().push(span);
    }

    /// Marks a value of which nobody knows what it should be, if it or its key speaks of something secret.
    pub(super) fn hide_suspect(&self, key: &str, value: &Span) {
        if sounds_secret(key) || sounds_secret(&self.source.text()[value.clone()]) {
            self.hide(value.clone());
        }
    }

    /// Marks a secret that stands in the file itself.
    pub(super) fn hide_secret(&self, key: &str, span: Span) {
        self.first_secret.borrow_mut().get_or_insert_with(|| At { value: key.to_owned(), span: span.clone() });
        self.hide(span);
    }

    /// The first secret that stands in the file itself: its key, and where.
    pub(super) fn first_secret(&self) -> Option<At<String>> {
        self.first_secret.borrow().clone()
    }

    pub(super) fn environment(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// A path as the file means it.
    pub(super) fn path(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }

    /// Everything noted, mistakes and warnings, each in file order.
    pub(super) fn finish(self) -> (Vec<Mistake>, Vec<Mistake>) {
        let secrets = merged(self.secrets.into_inner());
        let mut mistakes = self.mistakes.into_inner();
        let guessed = merged(self.guessed.into_inner());
        let is_guessed = |span: &Span| {
            let before = guessed.partition_point(|range| range.start <= span.start);
            before > 0 && guessed[before - 1].end > span.start
        };
        mistakes.retain(|note| note.is_syntax || !note.span.as_ref().is_some_and(is_guessed));
        let report = |mut notes: Vec<Note>| {
            notes.sort_by_key(|note| note.span.as_ref().map(|span| span.start));
            notes.dedup_by(|later, earlier| later.span == earlier.span && later.found == earlier.found);
            let show = |note: Note| self.source.mistake(note.span, note.found, note.hint, &secrets);
            notes.into_iter().map(show).collect()
        };
        (report(mistakes), report(self.warnings.into_inner()))
    }
}

/// Names that may stand once each.
#[derive(Default)]
pub(super) struct Once {
    /// Where each was met first.
    seen: HashMap<String, usize>,
}

impl Once {
    /// Whether a name is met for the first time; notes a mistake when it is not. `what` names its kind.
    pub(super) fn admit(&mut self, reading: &Reading<'_>, what: &str, name: &str, span: &Span) -> bool {
        if let Some(first) = self.seen.get(name) {
            let line = reading.source.line_of(*first);
            reading.mistake(span, format!("{what} \"{name}\" stands twice"), format!("line {line} has it already"));
            return false;
        }
        self.seen.insert(name.to_owned(), span.start);
        true
    }
}

/// Ranges in order, those that touch made one.
fn merged(mut ranges: Vec<Span>) -> Vec<Span> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Span> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Whether the name of a key, or a line, speaks of something that nobody should see.
pub(super) fn sounds_secret(text: &str) -> bool {
    const WORDS: [&str; 7] = ["secret", "token", "password", "passwd", "key", "header", "authorization"];
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}
