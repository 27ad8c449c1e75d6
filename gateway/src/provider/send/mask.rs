//! What a provider said and an operator will read: cut, cleaned, and without secrets.

use std::fmt;

use nicgate_protocol::Secret;

use crate::provider::encode::percent_encoded;
use crate::provider::trouble::CUT;
use crate::provider::{Outcome, ProviderSettings};

/// Letters of a provider's text that are kept; enough for what a body says and what would help.
const LONGEST_TEXT: usize = 400;
/// Shorter secrets are not masked: they would tear holes into ordinary words.
const SHORTEST_SECRET: usize = 4;

/// Makes a provider's text fit to be read by an operator.
#[derive(Clone, Default)]
pub struct Mask {
    secrets: Vec<Secret<String>>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask of {}", self.secrets.len())
    }
}

impl Mask {
    /// Covers the secrets of one provider, as they are and as they look in a URL.
    #[must_use]
    pub fn new(settings: &ProviderSettings) -> Self {
        let mut secrets = Vec::new();
        for secret in settings.secrets() {
            let plain = secret.expose().trim();
            if plain.len() < SHORTEST_SECRET {
                continue;
            }
            let escaped = percent_encoded(plain);
            if escaped != plain {
                secrets.push(Secret::new(escaped));
            }
            secrets.push(Secret::new(plain.to_owned()));
        }
        // The longest first: a secret may hold another.
        secrets.sort_by_key(|secret: &Secret<String>| std::cmp::Reverse(secret.expose().len()));
        Self { secrets }
    }

    /// Without secrets and control characters, in one line of at most 400 letters.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in &self.secrets {
            if masked.contains(secret.expose().as_str()) {
                masked = masked.replace(secret.expose().as_str(), "***");
            }
            // The half of a secret that was left before a cut.
            let starts = secret.expose().char_indices().map(|(at, _)| &secret.expose()[..at]);
            for start in starts.rev().take_while(|start| start.len() >= SHORTEST_SECRET) {
                if masked.contains(&format!("{start}{CUT}")) {
                    masked = masked.replace(&format!("{start}{CUT}"), &format!("***{CUT}"));
                }
            }
        }
        let one_line = masked.split(|letter: char| letter.is_control() || letter.is_whitespace());
        let words: Vec<&str> = one_line.filter(|word| !word.is_empty()).collect();
        words.join(" ").chars().take(LONGEST_TEXT).collect()
    }

    pub(super) fn clean_outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Confirmed { .. } => outcome,
            Outcome::Refused { class, code, text, maybe_written } => Outcome::Refused {
                class,
                code: self.clean(&code).into(),
                text: self.clean(&text).into(),
                maybe_written,
            },
            Outcome::Unconfirmed { class, why, retry_after, maybe_written } => {
                Outcome::Unconfirmed { class, why: self.clean(&why).into(), retry_after, maybe_written }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Setting, kind};

    fn mask(secrets: &[(&'static str, &str)]) -> Mask {
        let mut settings = ProviderSettings::new("cloud", kind("cloudflare").unwrap());
        for (key, secret) in secrets {
            settings.set(key, Setting::Secret(Secret::new((*secret).to_owned())));
        }
        Mask::new(&settings)
    }

    #[test]
    fn what_is_kept_is_one_short_line_without_secrets() {
        let mask = mask(&[("a", "tok+en/1"), ("b", "tok+en/1-longer"), ("c", "abc")]);
        for (text, kept) in [
            ("all good", "all good"),
            ("token tok+en/1 is wrong", "token *** is wrong"),
            ("tok+en/1-longer", "***"),
            ("at /update?token=tok%2Ben%2F1&x", "at /update?token=***&x"),
            ("two\r\nlines\u{1b}[31m and\ttabs", "two lines [31m and tabs"),
            ("abc is too short to mask", "abc is too short to mask"),
            ("at /update?token=tok%2Ben…; check token", "at /update?token=***…; check token"),
            ("tok+en/1-long… and tok…", "***… and tok…"),
        ] {
            assert_eq!(mask.clean(text), kept);
        }
        assert_eq!(mask.clean(&"ä".repeat(1000)).chars().count(), LONGEST_TEXT);
        assert!(!format!("{mask:?}").contains("tok"));
    }
}
