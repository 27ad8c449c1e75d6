//! Spans of time as an operator writes them: a whole number and `s`, `m` or `h`.

use std::time::Duration;

/// Reads `8s`, `5m` or `24h`. `None` for anything else.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
}

/// A span in the largest unit that fits without a rest.
pub(super) fn print(span: Duration) -> String {
    match span.as_secs() {
        seconds if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        seconds if seconds > 60 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_make_a_span() {
        for (text, seconds) in [
            ("8s", Some(8)),
            ("0s", Some(0)),
            ("5m", Some(300)),
            ("24h", Some(86_400)),
            ("8", None),
            ("8 s", None),
            ("8 sec", None),
            ("s", None),
            ("", None),
            ("-8s", None),
            ("+8s", None),
            ("1.5h", None),
            ("8ß", None),
            ("99999999999999999999s", None),
            ("9999999999999999999h", None),
        ] {
            assert_eq!(parse(text), seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read() {
        for (seconds, text) in [(0, "0s"), (8, "8s"), (60, "60s"), (61, "61s"), (300, "5m"), (86_400, "24h")] {
            let span = Duration::from_secs(seconds);
            assert_eq!(print(span), text);
            assert_eq!(parse(text), Some(span));
        }
    }
}
