//! A mistake in the configuration, drawn with its line and a caret.

use std::fmt;
use std::ops::Range;
use std::path::Path;

/// One mistake: where it stands, what it is, what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    path: String,
    /// `None` when the file as a whole is meant.
    line: Option<Line>,
    what: String,
}

/// A line of the file; numbers start at 1, columns count letters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    column: usize,
    width: usize,
    /// Empty where showing it could show a secret.
    text: String,
}

impl Mistake {
    /// A mistake at a place in the text, given in bytes.
    pub(super) fn at(path: &Path, text: &str, place: Range<usize>, what: &str) -> Self {
        let start = floor(text, place.start);
        let end = floor(text, place.end.max(start));
        let head = text.get(..start).unwrap_or_default();
        let from = head.rfind('\n').map_or(0, |newline| newline + 1);
        let to = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| start + newline);
        let line = text.get(from..to).unwrap_or_default().trim_end_matches('\r');
        let column = text.get(from..start).map_or(0, |before| before.chars().count()) + 1;
        let width = text.get(start..end.min(to)).map_or(1, |marked| marked.chars().count().max(1));
        let line = if holds_the_key(line) { "" } else { line };
        let line = Line { number: head.matches('\n').count() + 1, column, width, text: line.to_owned() };
        Self { path: path.display().to_string(), line: Some(line), what: what.to_owned() }
    }

    /// A mistake of the file as a whole.
    pub(super) fn of_file(path: &Path, what: &str) -> Self {
        Self { path: path.display().to_string(), line: None, what: what.to_owned() }
    }

    /// Whether it is about a place in the file.
    pub(super) fn has_place(&self) -> bool {
        self.line.is_some()
    }

    /// What mistakes are sorted by: the file as a whole comes last.
    pub(super) fn place(&self) -> (usize, usize) {
        self.line.as_ref().map_or((usize::MAX, 0), |line| (line.number, line.column))
    }
}

/// Whether a line of the file is `key = …`: a secret is not repeated on a screen that others may see.
fn holds_the_key(line: &str) -> bool {
    let name = line.split('=').next().unwrap_or_default();
    name.trim().trim_matches(['"', '\'']) == "key"
}

/// The last place at or before `index` where a letter begins.
fn floor(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(line) = &self.line else {
            return write!(f, "{}: {}", self.path, self.what);
        };
        write!(f, "{}:{}:{}: {}", self.path, line.number, line.column, self.what)?;
        if line.text.is_empty() {
            return Ok(());
        }
        let caret = format!("{}{}", " ".repeat(line.column - 1), "^".repeat(line.width));
        write!(f, "\n{:5} | {}\n      | {caret}", line.number, line.text)
    }
}

/// Every mistake of one file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// A file that cannot be used at all.
    #[must_use]
    pub fn of_file(path: &Path, what: &str) -> Self {
        Self(vec![Mistake::of_file(path, what)])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
