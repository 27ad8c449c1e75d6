//! How a mistake of the operator is shown: file, line, column, what was found, what would be right, and the line
//! itself with a caret under the place.
//!
//! Lines and columns count from 1; a column is a character, not a byte. Nothing here decides what is a mistake.
//! Secrets are masked wherever a line is shown. Every character is taken to be one cell wide, a tab four.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The most characters of a line that are shown; longer lines are cut around the place.
const LONGEST_EXCERPT: usize = 160;
/// What stands before the place in a line that was cut.
const LEAD: usize = 40;
/// What is shown for a secret.
const MASK: &str = "\"***\"";

/// Where something stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as the operator named it.
    pub file: Arc<str>,
    /// Line and column; `None` for what concerns the file as a whole.
    pub position: Option<Position>,
}

/// A line and a column, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        match self.position {
            Some(Position { line, column }) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// Something the operator should change. Prints as a report of one or three lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands.
    pub place: Place,
    /// What is there, for instance `reply_deadline is "8 sec"`.
    pub found: String,
    /// What would be right.
    pub hint: String,
    /// The line, and carets under the place.
    excerpt: Option<Excerpt>,
}

/// A line made fit to be shown, and the line of carets below it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    line: String,
    carets: String,
}

impl Mistake {
    /// A mistake that concerns a file as a whole.
    #[must_use]
    pub fn about_file(file: &Path, found: impl Into<String>, hint: impl Into<String>) -> Self {
        let place = Place { file: file.display().to_string().into(), position: None };
        Self { place, found: found.into(), hint: hint.into(), excerpt: None }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.found, self.hint)?;
        let (Some(Excerpt { line, carets }), Some(position)) = (&self.excerpt, self.place.position) else {
            return Ok(());
        };
        write!(f, "\n{:>5} | {line}\n{:>5} | {carets}", position.line, "")
    }
}

/// Every mistake of a file, in file order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// An array of objects with `file`, `line`, `column`, `found` and `hint`, for `check --json`. `line` and
    /// `column` are null for what concerns the file as a whole.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let one = |mistake: &Mistake| {
            serde_json::json!({
                "file": &*mistake.place.file,
                "line": mistake.place.position.map(|position| position.line),
                "column": mistake.place.position.map(|position| position.column),
                "found": mistake.found,
                "hint": mistake.hint,
            })
        };
        self.0.iter().map(one).collect()
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

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

/// A text and where its lines begin.
pub(super) struct Source<'a> {
    file: Arc<str>,
    text: &'a str,
    /// The offset of each line's first byte.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &Path, text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: file.display().to_string().into(), text, lines }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The line that holds a byte, counted from 1.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    /// The bytes of a line, without its end.
    pub(super) fn line(&self, number: usize) -> Range<usize> {
        let start = self.lines[number - 1];
        let text = self.text[start..].split('\n').next().unwrap_or_default();
        start..start + text.strip_suffix('\r').unwrap_or(text).len()
    }

    /// Where a byte stands.
    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.line_of(offset);
        let column = self.text[self.lines[line - 1]..offset].chars().count() + 1;
        Place { file: Arc::clone(&self.file), position: Some(Position { line, column }) }
    }

    /// A mistake about the bytes `span`, or about the file. `secrets` are the bytes that nobody may see.
    pub(super) fn mistake(
        &self,
        span: Option<Range<usize>>,
        found: String,
        hint: String,
        secrets: &[Range<usize>],
    ) -> Mistake {
        let Some(span) = span else {
            let place = Place { file: Arc::clone(&self.file), position: None };
            return Mistake { place, found, hint, excerpt: None };
        };
        let excerpt = Some(self.excerpt(&span, secrets));
        Mistake { place: self.place(span.start), found, hint, excerpt }
    }

    /// The line on which `span` begins, with carets under as much of it as stands there.
    fn excerpt(&self, span: &Range<usize>, secrets: &[Range<usize>]) -> Excerpt {
        let span = span.start..span.end.max(span.start + 1);
        let range = self.line(self.line_of(span.start));
        let secrets: Vec<_> =
            secrets.iter().filter(|secret| secret.start < range.end && secret.end > range.start).collect();
        let characters = self.text[range.clone()].chars().count();
        let before = self.text[range.start..span.start.min(range.end)].chars().count();
        let skipped = if characters > LONGEST_EXCERPT { before.saturating_sub(LEAD) } else { 0 };

        let (mut line, mut carets) = (String::new(), String::new());
        let mut masked = None;
        if skipped > 0 {
            line.push('…');
            carets.push(' ');
        }
        for (index, character) in self.text[range.clone()].char_indices().skip(skipped).take(LONGEST_EXCERPT) {
            let at = range.start + index;
            let secret = secrets.iter().position(|secret| secret.contains(&at));
            let shown = match (secret, character) {
                (Some(_), _) if secret == masked => continue,
                (Some(_), _) => MASK.to_owned(),
                (None, '\t') => "    ".to_owned(),
                (None, _) if character.is_control() => "\u{fffd}".to_owned(),
                (None, _) => character.to_string(),
            };
            masked = secret;
            let is_under = match secret.and_then(|index| secrets.get(index)) {
                Some(secret) => secret.start < span.end && span.start < secret.end,
                None => span.contains(&at),
            };
            let under = if is_under { '^' } else { ' ' };
            carets.extend(shown.chars().map(|_| under));
            line.push_str(&shown);
        }
        if skipped + LONGEST_EXCERPT < characters {
            line.push('…');
        }
        if !carets.contains('^') {
            carets.push('^'); // the place is the end of the line
        }
        Excerpt { line, carets: carets.trim_end().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The report about the first occurrence of `what`.
    fn report(text: &str, what: &str, secrets: &[Range<usize>]) -> String {
        let start = text.find(what).unwrap();
        let source = Source::new(Path::new("g.toml"), text);
        source.mistake(Some(start..start + what.len()), "x".to_owned(), "y".to_owned(), secrets).to_string()
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        for (text, what, wanted) in [
            ("a = 1\nb = 2\n", "2", "g.toml:2:5: x; y\n    2 | b = 2\n      |     ^"),
            ("ä = \"ö\" # ü\r\n", "\"ö\"", "g.toml:1:5: x; y\n    1 | ä = \"ö\" # ü\n      |     ^^^"),
            ("\ta = \"b\tc\"", "\"b\tc\"", "g.toml:1:6: x; y\n    1 |     a = \"b    c\"\n      |         ^^^^^^^^"),
            ("a = [1,\n2]", "[1,\n2]", "g.toml:1:5: x; y\n    1 | a = [1,\n      |     ^^^"),
            ("a =", "", "g.toml:1:1: x; y\n    1 | a =\n      | ^"),
        ] {
            assert_eq!(report(text, what, &[]), wanted, "{text:?}");
        }
    }

    #[test]
    fn the_end_of_a_text_is_a_place_too() {
        let source = Source::new(Path::new("g.toml"), "a = [1");
        let mistake = source.mistake(Some(6..6), "x".to_owned(), "y".to_owned(), &[]);
        assert_eq!(mistake.to_string(), "g.toml:1:7: x; y\n    1 | a = [1\n      |       ^");
    }

    #[test]
    fn a_secret_is_masked_and_the_caret_follows() {
        let text = r#"{ token = "hunter2hunter2", ttl = 0 }"#;
        assert_eq!(
            report(text, "0", std::slice::from_ref(&(10..26))),
            "g.toml:1:35: x; y\n    1 | { token = \"***\", ttl = 0 }\n      |                        ^"
        );
        assert_eq!(
            report(text, "\"hunter2hunter2\"", std::slice::from_ref(&(10..26))),
            "g.toml:1:11: x; y\n    1 | { token = \"***\", ttl = 0 }\n      |           ^^^^^"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("a = [{}7, {}]", "1, ".repeat(200), "2, ".repeat(200));
        let report = report(&text, "7", &[]);
        let lines: Vec<&str> = report.lines().collect();
        assert!(lines[1].chars().count() < 180 && lines[1].contains('7'), "{report}");
        let caret = lines[2].chars().position(|character| character == '^').unwrap();
        assert_eq!(lines[1].chars().nth(caret), Some('7'), "{report}");
    }

    #[test]
    fn json_has_a_place_or_none() {
        let source = Source::new(Path::new("g.toml"), "a = 1");
        let with = source.mistake(Some(4..5), "x".to_owned(), "y".to_owned(), &[]);
        let without = Mistake::about_file(Path::new("g.toml"), "cannot be read", "make it readable");
        assert_eq!(without.to_string(), "g.toml: cannot be read; make it readable");
        assert_eq!(
            Mistakes(vec![with, without]).to_json(),
            serde_json::json!([
                { "file": "g.toml", "line": 1, "column": 5, "found": "x", "hint": "y" },
                { "file": "g.toml", "line": null, "column": null, "found": "cannot be read", "hint": "make it readable" },
            ])
        );
    }
}
