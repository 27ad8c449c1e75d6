//! What is written: a TOML file as sections, and one reader of keys that notes every mistake it meets and goes on.
//!
//! A [`Section`] hands out each key by its type, and remembers which keys it was asked for; what is left in the end is
//! unknown. What the values mean is decided by the files named after sections.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::duration;
use super::nearest::{enumerate, nearest, suggest};
use super::reading::{At, Reading, Span, sounds_secret};

/// Longer values are cut in messages.
const LONGEST_VALUE: usize = 80;

/// One table of the file, key by key.
pub(super) struct Section<'a> {
    pub(super) reading: &'a Reading<'a>,
    /// As it is written, for instance `[server]`.
    pub(super) title: &'static str,
    /// `None` where nothing is written.
    table: Option<&'a DeTable<'a>>,
    /// The header.
    span: Option<Span>,
    known: Vec<Cow<'static, str>>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(reading: &'a Reading<'a>, table: &'a DeTable<'a>) -> Self {
        Self { reading, title: "the file", table: Some(table), span: None, known: Vec::new() }
    }

    /// Whether the section stands in the file at all.
    pub(super) fn is_written(&self) -> bool {
        self.table.is_some()
    }

    /// The header.
    pub(super) fn span(&self) -> Option<&Span> {
        self.span.as_ref()
    }

    fn take(&mut self, key: impl Into<Cow<'static, str>>) -> Option<&'a Spanned<DeValue<'a>>> {
        let key = key.into();
        let value = self.table.and_then(|table| table.get(&*key));
        self.known.push(key);
        value
    }

    /// Whether a key is written, with whatever value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where a key is written.
    pub(super) fn key_span(&self, key: &str) -> Option<Span> {
        self.table.and_then(|table| table.get_key_value(key)).map(|(key, _)| key.span())
    }

    /// Where a key's value is written.
    pub(super) fn value_span(&self, key: &str) -> Option<Span> {
        self.table.and_then(|table| table.get(key)).map(Spanned::span)
    }

    /// Whether a list is written and not empty. A value of another type counts: it is noted elsewhere.
    pub(super) fn holds_entries(&self, key: &str) -> bool {
        let value = self.table.and_then(|table| table.get(key));
        value.is_some_and(|value| value.get_ref().as_array().is_none_or(|entries| !entries.is_empty()))
    }

    /// Makes a key known without a look at its value.
    pub(super) fn know(&mut self, key: &'static str) {
        self.known.push(key.into());
    }

    /// Notes that a value is not what it should be.
    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, hint: impl Into<String>) {
        self.reading.mistake(&value.span(), format!("{key} is {}", describe(value.get_ref())), hint);
    }

    /// Notes a missing key; `value` is an example of one.
    pub(super) fn require(&self, key: &str, value: &str) {
        if !self.has(key) {
            self.reading.missing(self.span(), format!("{} has no {key}", self.title), format!("write {key} = {value}"));
        }
    }

    /// A text in quotes.
    pub(super) fn take_text(&mut self, key: impl Into<Cow<'static, str>>) -> Option<At<&'a str>> {
        let key = key.into();
        let value = self.take(key.clone())?;
        match value.get_ref().as_str() {
            Some(text) => Some(At { value: text, span: value.span() }),
            None => {
                self.wrong(&key, value, "write a text in quotes");
                None
            }
        }
    }

    /// A text in quotes that `parse` understands; its error says what would be right.
    pub(super) fn take_parsed<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<At<T>> {
        let At { value: text, span } = self.take_text(key)?;
        match parse(text) {
            Ok(value) => Some(At { value, span }),
            Err(why) => {
                self.reading.mistake(&span, format!("{key} is {}", quote(text)), why.to_string());
                None
            }
        }
    }

    /// A list of texts in quotes; one that `parse` does not understand is noted and left out. `example` is one entry.
    pub(super) fn take_list<T, E: Display>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<At<T>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(entries) = value.get_ref().as_array() else {
            let example = value.get_ref().as_str().unwrap_or(example);
            self.wrong(key, value, format!("write a list: {key} = [{}]", quote(example)));
            return Vec::new();
        };
        let mut list = Vec::new();
        for entry in entries {
            let found = || format!("{key} holds {}", describe(entry.get_ref()));
            match entry.get_ref().as_str().map(&parse) {
                Some(Ok(value)) => list.push(At { value, span: entry.span() }),
                Some(Err(why)) => self.reading.mistake(&entry.span(), found(), why.to_string()),
                None => {
                    self.reading.mistake(&entry.span(), found(), format!("write a text in quotes: {}", quote(example)))
                }
            }
        }
        list
    }

    /// One of a few words.
    pub(super) fn take_word<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<At<T>> {
        self.take_parsed(key, |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or_else(|| suggest(text, words.iter().map(|(word, _)| *word)))
        })
    }

    /// `true` or `false`.
    pub(super) fn take_flag(&mut self, key: &'static str) -> Option<At<bool>> {
        let value = self.take(key)?;
        match value.get_ref().as_bool() {
            Some(flag) => Some(At { value: flag, span: value.span() }),
            None => {
                self.wrong(key, value, "write true or false, without quotes");
                None
            }
        }
    }

    /// A whole number within a range.
    pub(super) fn take_number(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.take(key)?;
        let number = value.get_ref().as_integer().and_then(|integer| {
            u32::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|number| range.contains(number))
        });
        if number.is_none() {
            let hint = format!("write a whole number from {} to {}, without quotes", range.start(), range.end());
            self.wrong(key, value, hint);
        }
        number
    }

    /// A span of time within a range, or else `default`, which is also the example in messages.
    pub(super) fn take_duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let Some(value) = self.take(key) else { return default };
        let hint = match value.get_ref().as_str().and_then(duration::parse) {
            Some(span) if range.contains(&span) => return span,
            Some(_) => {
                let (least, most) = (duration::print(*range.start()), duration::print(*range.end()));
                format!("write at least \"{least}\" and at most \"{most}\"")
            }
            None => {
                let example = duration::print(default);
                format!("write a number with s, m or h, for instance \"{example}\"")
            }
        };
        self.wrong(key, value, hint);
        default
    }

    /// A text in quotes that nobody may see.
    pub(super) fn take_secret_text(&mut self, key: &'static str) -> Option<At<&'a str>> {
        let value = self.take(key)?;
        self.reading.hide_secret(key, value.span());
        match value.get_ref().as_str() {
            Some(text) => Some(At { value: text, span: value.span() }),
            None => {
                self.reading.mistake(&value.span(), format!("{key} is no text"), "write a text in quotes");
                None
            }
        }
    }

    /// A table of texts, such as header fields, in file order. The values are secrets.
    pub(super) fn take_secret_pairs(&mut self, key: &'static str) -> Option<Vec<(&'a str, &'a str)>> {
        let value = self.take(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.reading.hide_secret(key, value.span());
            let hint = format!("write {key} = {{ Name = \"value\" }}");
            self.reading.mistake(&value.span(), format!("{key} is no table"), hint);
            return None;
        };
        let mut pairs = Vec::new();
        for (name, value) in table {
            self.reading.hide_secret(key, value.span());
            match value.get_ref().as_str() {
                Some(text) => pairs.push((value.span().start, &**name.get_ref(), text)),
                None => {
                    let found = format!("{key} has a value that is no text");
                    self.reading.mistake(&value.span(), found, "write a text in quotes");
                }
            }
        }
        pairs.sort_unstable_by_key(|(start, ..)| *start);
        let is_whole = pairs.len() == table.len();
        is_whole.then(|| pairs.into_iter().map(|(_, name, text)| (name, text)).collect())
    }

    /// A section that may stand once. `title` is how it is written, for instance `[server]`. Written as one of
    /// several, it is noted, and the first is read.
    pub(super) fn take_section(&mut self, key: &'static str, title: &'static str) -> Section<'a> {
        let value = self.take(key);
        let table = value.and_then(|value| value.get_ref().as_table());
        let Some(value) = value.filter(|_| table.is_none()) else {
            return self.below(title, value, table);
        };
        self.wrong_section(key, value, format!("write one section {title}"));
        let first = value.get_ref().as_array().and_then(|entries| entries.first());
        self.below(title, first, first.and_then(|first| first.get_ref().as_table()))
    }

    /// Sections that may stand any number of times. `title` is how each is written, for instance `[[zone]]`. One
    /// written as the only one is noted and read.
    pub(super) fn take_sections(&mut self, key: &'static str, title: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let hint = format!("there may be several: write {title}");
        let entries: &[Spanned<DeValue<'a>>] = match value.get_ref() {
            DeValue::Array(entries) => entries,
            DeValue::Table(_) => {
                self.wrong_section(key, value, hint.clone());
                std::slice::from_ref(value)
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {
                self.wrong_section(key, value, hint);
                return Vec::new();
            }
        };
        let mut sections = Vec::new();
        for entry in entries {
            match entry.get_ref().as_table() {
                Some(table) => sections.push(self.below(title, Some(entry), Some(table))),
                None => self.wrong_section(key, entry, hint.clone()),
            }
        }
        sections
    }

    fn wrong_section(&self, key: &str, value: &Spanned<DeValue<'_>>, hint: String) {
        self.reading.hide_suspect(key, &value.span());
        self.wrong(key, value, hint);
    }

    fn below(
        &self,
        title: &'static str,
        value: Option<&Spanned<DeValue<'_>>>,
        table: Option<&'a DeTable<'a>>,
    ) -> Section<'a> {
        Section { reading: self.reading, title, table, span: value.map(Spanned::span), known: Vec::new() }
    }

    /// Leaves alone what was not asked for, and hides it but for the keys in `open`: for a section whose other keys
    /// cannot be known. Notes what looks like one of `open` that is missing.
    pub(super) fn finish_unread(self, open: &[&str]) {
        for (key, value) in self.table.into_iter().flatten() {
            let written: &str = key.get_ref();
            if open.contains(&written) {
                continue;
            }
            self.reading.hide(value.span());
            if let Some(word) = nearest(written, open.iter().copied()).filter(|word| !self.has(word)) {
                let found = format!("unknown key `{}`", clip(written));
                self.reading.mistake(&key.span(), found, format!("did you mean `{word}`?"));
            }
        }
    }

    /// Notes every key that was not asked for. Where secrets are at home, `hides` their values.
    pub(super) fn finish(self, hides: bool) {
        for (key, value) in self.table.into_iter().flatten() {
            let written: &str = key.get_ref();
            if self.known.iter().any(|known| known == written) {
                continue;
            }
            if hides {
                self.reading.hide(value.span());
            }
            self.reading.hide_suspect(written, &value.span());
            // At the top of the file a key is a section, and is called one.
            let is_section = self.span.is_none() && value.get_ref().as_str().is_none();
            let (found, open, close) = if is_section { ("section", "[", "]") } else { ("key", "`", "`") };
            let known = self.known.iter().map(|known| &**known);
            let hint = match nearest(written, known.clone()) {
                Some(word) => format!("did you mean {open}{word}{close}?"),
                None => format!("{} takes {}", self.title, enumerate(known)),
            };
            self.reading.mistake(&key.span(), format!("unknown {found} {open}{}{close}", clip(written)), hint);
        }
    }
}

/// Reads TOML and notes what is none.
pub(super) fn parse<'a>(reading: &Reading<'a>) -> Spanned<DeTable<'a>> {
    let text = reading.source.text();
    let (table, mut errors) = DeTable::parse_recoverable(text);
    if errors.iter().any(|error| error.message().starts_with("unclosed array,"))
        && let Some(list) = endless_list(text, table.get_ref())
    {
        // Everything below was taken for a part of the list.
        errors.retain(|error| error.span().is_some_and(|span| span.start < list.start));
        reading.hide_suspect("", &list);
        reading.syntax(
            list.start..list.start + 1,
            list,
            "the list has no end".to_owned(),
            "close it with ]".to_owned(),
        );
    }
    let span_of = |error: &Error| error.span().unwrap_or(text.len()..text.len());
    let broken: BTreeSet<usize> = errors.iter().map(|error| reading.source.line_of(span_of(error).start)).collect();
    for line in &broken {
        hide_broken(reading, *line, &broken);
    }
    for error in &errors {
        let span = span_of(error);
        let line = reading.source.line_of(span.start);
        let message = error.message();
        let (found, hint) = match message.split_once(", expected ").unwrap_or((message, "")) {
            ("duplicate key", _) => (format!("`{}` stands twice", clip(&text[span.clone()])), "keep one".to_owned()),
            ("string values must be quoted", _) => {
                ("this is no value".to_owned(), "a text stands in quotes".to_owned())
            }
            ("invalid boolean", _) => {
                ("this is no value".to_owned(), "write true or false, or a text in quotes".to_owned())
            }
            ("invalid basic string", "`\"`") => ("the text has no end".to_owned(), "close it with \"".to_owned()),
            (what, "") => (what.to_owned(), "this is no TOML, see https://toml.io".to_owned()),
            (what, wanted) => (what.to_owned(), format!("expected {wanted}")),
        };
        reading.syntax(span, reading.source.line(line), found, hint);
    }
    table
}

/// The list that runs to the end of the text.
fn endless_list(text: &str, table: &DeTable<'_>) -> Option<Span> {
    table.into_iter().find_map(|(_, value)| match value.get_ref() {
        DeValue::Table(table) => endless_list(text, table),
        DeValue::Array(entries) => {
            let is_of_sections = |entry: &Spanned<DeValue<'_>>| entry.span().start == value.span().start;
            if entries.first().is_some_and(is_of_sections) {
                let tables = entries.iter().filter_map(|entry| entry.get_ref().as_table());
                return tables.into_iter().find_map(|table| endless_list(text, table));
            }
            (value.span().end >= text.trim_end().len()).then(|| value.span())
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            None
        }
    })
}

/// Hides what may be a secret in a line that is no TOML: nobody knows where it begins and ends. It may have begun on
/// a line above that is none either.
fn hide_broken(reading: &Reading<'_>, line: usize, broken: &BTreeSet<usize>) {
    let text = reading.source.text();
    // The sign between key and value; a sign at the end belongs to base64.
    let equals = |line: usize| {
        let range = reading.source.line(line);
        let at = text[range.clone()].find('=')?;
        let value = text[range.start + at + 1..range.end].trim_start();
        (!value.is_empty() && !value.starts_with('=')).then_some(range.end - value.len())
    };
    let mut first = line;
    while equals(first).is_none() && broken.contains(&(first - 1)) {
        first -= 1;
    }
    if let Some(start) = equals(first).filter(|_| sounds_secret(&text[reading.source.line(first)])) {
        reading.hide(start..reading.source.line(line).end);
    }
}

/// A value as a message names it.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(number) => clip(&number.to_string()),
        DeValue::Float(number) => clip(&number.to_string()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(entries) if entries.iter().any(|entry| entry.get_ref().is_table()) => {
            "several sections".to_owned()
        }
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "one section".to_owned(),
    }
}

/// A text in quotes, control characters escaped.
pub(super) fn quote(text: &str) -> String {
    format!("{:?}", clip(text))
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
