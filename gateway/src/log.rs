//! The log: one line per event, as JSON for machines or as text for people.
//!
//! A line costs well under a microsecond, because the line of an update stands on the hot path: it is put
//! together in memory, and a thread of its own writes what has gathered. What strangers cause is never louder
//! than `info`, and at most [`STRANGER_LINES`] a second are written; the rest is counted and told once.
//!
//! Secrets and raw queries never come here; text from outside is cut and cleaned on its way in.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use nicgate_protocol::Timestamp;

use crate::clock::Clock;

/// How many lines of refused strangers are written each second.
pub const STRANGER_LINES: u64 = 20;
/// What may wait for the writer, in bytes; beyond that lines are dropped and counted.
const MOST_WAITING: usize = 4 << 20;
/// How long a line waits at the most before it is written.
const PATIENCE: Duration = Duration::from_millis(100);

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Human,
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Somebody must act.
    Error,
    /// Somebody should look.
    Warn,
    /// What happened.
    Info,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }
}

/// One value of a line.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// Text, cleaned on the way.
    Text(&'a str),
    /// Anything that prints.
    Shown(&'a dyn fmt::Display),
    /// A number.
    Number(u64),
    /// Several lines of fields, one per host of an update.
    Rows(&'a [&'a [(&'static str, Value<'a>)]]),
}

/// A handle to the log; cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    format: Format,
    clock: Clock,
    waiting: Mutex<Vec<u8>>,
    wake: Condvar,
    is_closed: AtomicBool,
    dropped: AtomicU64,
    /// The second in which strangers were last heard, and how many lines they had in it.
    strangers: Mutex<(u64, u64)>,
}

/// Keeps the writer alive; dropping it writes what is left.
pub struct Writer {
    log: Log,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Log {
    /// Starts a log that writes to `sink`.
    #[must_use]
    pub fn start(format: Format, clock: Clock, sink: impl io::Write + Send + 'static) -> (Self, Writer) {
        let log = Self(Arc::new(Shared {
            format,
            clock,
            waiting: Mutex::new(Vec::new()),
            wake: Condvar::new(),
            is_closed: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            strangers: Mutex::new((0, 0)),
        }));
        let shared = Arc::clone(&log.0);
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || shared.write_to(sink)).ok();
        (log.clone(), Writer { log, thread })
    }

    /// Writes a line. `event` names what happened and never changes once shipped; for errors and refusals it
    /// is the `error_code`.
    pub fn say(&self, level: Level, event: &'static str, text: &str, fields: &[(&'static str, Value<'_>)]) {
        let line = self.0.line(level, event, text, fields);
        self.0.push(line.as_bytes(), level == Level::Error);
    }

    /// Writes a line that a stranger caused, unless strangers had their share of this second.
    pub fn say_of_stranger(&self, event: &'static str, text: &str, fields: &[(&'static str, Value<'_>)]) {
        if self.0.may_stranger_speak() {
            self.say(Level::Info, event, text, fields);
        }
    }
}

impl Shared {
    fn line(&self, level: Level, event: &str, text: &str, fields: &[(&'static str, Value<'_>)]) -> String {
        let mut line = String::with_capacity(384);
        let time = self.clock.wall();
        // Writing into a String cannot fail.
        let _ = match self.format {
            Format::Json => json_line(&mut line, time, level, event, text, fields),
            Format::Human => human_line(&mut line, time, level, event, text, fields),
        };
        line
    }

    fn push(&self, line: &[u8], is_urgent: bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() + line.len() > MOST_WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.extend_from_slice(line);
        let is_much = waiting.len() > MOST_WAITING / 4;
        drop(waiting);
        if is_urgent || is_much {
            self.wake.notify_one();
        }
    }

    fn may_stranger_speak(&self) -> bool {
        let second = self.clock.uptime().as_secs();
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if strangers.0 == second {
            strangers.1 += 1;
            return strangers.1 <= STRANGER_LINES;
        }
        let passed_over = strangers.1.saturating_sub(STRANGER_LINES);
        *strangers = (second, 1);
        drop(strangers);
        if passed_over > 0 {
            let fields = [("count", Value::Number(passed_over))];
            let line = self.line(Level::Info, "lines_passed_over", "refused strangers were not all written", &fields);
            self.push(line.as_bytes(), false);
        }
        true
    }

    fn write_to(&self, mut sink: impl io::Write) {
        let mut batch = Vec::new();
        loop {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let (mut waiting, _) = self.wake.wait_timeout(waiting, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            // Asked before the batch is taken: a line said before closing is then always in it.
            let is_last = self.is_closed.load(Ordering::Acquire);
            std::mem::swap(&mut *waiting, &mut batch);
            drop(waiting);
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let fields = [("count", Value::Number(dropped))];
                batch.extend(
                    self.line(Level::Warn, "log_overflow", "lines were lost: nobody reads as fast", &fields).bytes(),
                );
            }
            // A log that cannot be written is no reason to stop answering.
            let _ = sink.write_all(&batch).and_then(|()| sink.flush());
            batch.clear();
            batch.shrink_to(MOST_WAITING / 4);
            if is_last {
                return;
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.log.0.is_closed.store(true, Ordering::Release);
        self.log.0.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn json_line(
    line: &mut String,
    time: Timestamp,
    level: Level,
    event: &str,
    text: &str,
    fields: &[(&'static str, Value<'_>)],
) -> fmt::Result {
    write!(line, "{{\"time\":\"{time}\"")?;
    // Whoever looks for what went wrong looks for `error_code`; all else is an event.
    let key = if level == Level::Info { "\",\"event\":\"" } else { "\",\"error_code\":\"" };
    for piece in [",\"level\":\"", level.word(), key, event, "\""] {
        line.push_str(piece);
    }
    if !text.is_empty() {
        line.push_str(",\"message\":");
        json_text(line, &Value::Text(text))?;
    }
    json_fields(line, fields, true)?;
    line.push_str("}\n");
    Ok(())
}

fn json_fields(line: &mut String, fields: &[(&'static str, Value<'_>)], mut needs_comma: bool) -> fmt::Result {
    for (name, value) in fields {
        if needs_comma {
            line.push(',');
        }
        needs_comma = true;
        // Piece by piece: the formatting machinery costs more than what it would print.
        line.push('"');
        line.push_str(name);
        line.push_str("\":");
        match value {
            Value::Number(number) => write!(line, "{number}")?,
            Value::Rows(rows) => {
                line.push('[');
                for (index, row) in rows.iter().enumerate() {
                    line.push_str(if index == 0 { "{" } else { ",{" });
                    json_fields(line, row, false)?;
                    line.push('}');
                }
                line.push(']');
            }
            Value::Text(_) | Value::Shown(_) => json_text(line, value)?,
        }
    }
    Ok(())
}

fn json_text(line: &mut String, value: &Value<'_>) -> fmt::Result {
    line.push('"');
    print_text(&mut Clean { out: line, is_json: true }, value)?;
    line.push('"');
    Ok(())
}

fn print_text(out: &mut Clean<'_>, value: &Value<'_>) -> fmt::Result {
    match value {
        Value::Text(text) => out.write_str(text),
        Value::Shown(shown) => write!(out, "{shown}"),
        Value::Number(number) => write!(out, "{number}"),
        Value::Rows(_) => Ok(()),
    }
}

fn human_line(
    line: &mut String,
    time: Timestamp,
    level: Level,
    event: &str,
    text: &str,
    fields: &[(&'static str, Value<'_>)],
) -> fmt::Result {
    write!(line, "{time} {:5} {event}", level.word())?;
    if !text.is_empty() {
        line.push_str(": ");
        Clean { out: line, is_json: false }.write_str(text)?;
    }
    human_fields(line, fields)?;
    line.push('\n');
    Ok(())
}

fn human_fields(line: &mut String, fields: &[(&'static str, Value<'_>)]) -> fmt::Result {
    for (name, value) in fields {
        match value {
            Value::Rows(rows) => {
                for row in *rows {
                    line.push_str(" |");
                    human_fields(line, row)?;
                }
            }
            Value::Text(_) | Value::Shown(_) | Value::Number(_) => {
                write!(line, " {name}=")?;
                print_text(&mut Clean { out: line, is_json: false }, value)?;
            }
        }
    }
    Ok(())
}

/// Text on its way into a line: control characters become visible, and in JSON quotes are escaped. So nobody
/// can forge a line or colour a terminal.
struct Clean<'a> {
    out: &'a mut String,
    is_json: bool,
}

impl fmt::Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Without a way out of the loop it is done 16 bytes at a time.
        let is_odd = |byte: u8| !(b' '..=b'~').contains(&byte) | (byte == b'"') | (byte == b'\\');
        if !text.bytes().fold(false, |found, byte| found | is_odd(byte)) {
            self.out.push_str(text);
            return Ok(());
        }
        for letter in text.chars() {
            match letter {
                '"' | '\\' if self.is_json => {
                    self.out.push('\\');
                    self.out.push(letter);
                }
                // Line separators and direction marks would confuse a reader as control characters do.
                letter
                    if letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
                {
                    write!(self.out, "\\u{:04x}", letter as u32)?;
                }
                letter => self.out.push(letter),
            }
        }
        Ok(())
    }
}

/// Text from outside, cut to a length that a log can bear, at a character's edge.
#[must_use]
pub fn cut(text: &str, longest: usize) -> &str {
    let end = (0..=longest.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use nicgate_logic::Now;

    use super::*;

    struct Pipe(mpsc::Sender<Vec<u8>>);

    impl io::Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, speak: impl FnOnce(&Log, &dyn Fn(u64))) -> String {
        let hands = Arc::new(Mutex::new(Now { wall: Timestamp(1_767_323_045_678), uptime: Duration::ZERO }));
        let (sender, receiver) = mpsc::channel();
        let (log, writer) = Log::start(format, Clock::Set(Arc::clone(&hands)), Pipe(sender));
        speak(&log, &|seconds| hands.lock().unwrap().uptime = Duration::from_secs(seconds));
        drop(writer);
        String::from_utf8(receiver.iter().flatten().collect()).unwrap()
    }

    #[test]
    fn every_line_is_one_json_object_whatever_it_holds() {
        let text = written(Format::Json, |log, _| {
            let row: &[(&'static str, Value<'_>)] =
                &[("host", Value::Text("a\"b\\\n\u{202e}")), ("n", Value::Number(7))];
            log.say(Level::Warn, "odd", "it's\r\n{\"forged\":1}", &[("hosts", Value::Rows(&[row, row]))]);
        });
        assert_eq!(text.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["error_code"], "odd");
        assert_eq!(value["hosts"][1]["n"], 7);
        assert_eq!(value["hosts"][0]["host"], "a\"b\\\n\u{202e}");
        assert_eq!(value["time"], "2026-01-02T03:04:05.678Z");
    }

    #[test]
    fn people_read_a_line_of_text() {
        let text = written(Format::Human, |log, _| {
            log.say(
                Level::Info,
                "started",
                "listening",
                &[("port", Value::Number(8443)), ("name", Value::Text("\u{1b}[31mx"))],
            );
        });
        assert_eq!(text, "2026-01-02T03:04:05.678Z info  started: listening port=8443 name=\\u001b[31mx\n");
    }

    #[test]
    fn strangers_cannot_flood_the_log() {
        let text = written(Format::Json, |log, set| {
            for _ in 0..1000 {
                log.say_of_stranger("bad_password", "", &[]);
            }
            set(1);
            log.say_of_stranger("bad_password", "", &[]);
        });
        assert_eq!(text.lines().count(), 22);
        assert!(text.contains("\"count\":980"));
    }
}
