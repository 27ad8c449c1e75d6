//! "Did you mean": the known word that a mistyped one is nearest to, or all that are known.

/// The known word nearest to `written`, if one is near enough to be meant.
pub(super) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = plain(written);
    let allowance = (written.len() / 3).max(1);
    known
        .into_iter()
        .map(|word| (distance(&written, &plain(word)), word))
        .map(|(far, word)| (if is_part(&written, word) { far.min(allowance) } else { far }, word))
        .filter(|(far, _)| *far <= allowance)
        .min_by_key(|(far, _)| *far)
        .map(|(_, word)| word)
}

/// `did you mean "x"?`, or all the words there are.
pub(super) fn suggest<'a>(written: &str, words: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(written, words.clone()) {
        Some(word) => format!("did you mean \"{word}\"?"),
        None => format!("write {}", enumerate_with(words.into_iter().map(|word| format!("\"{word}\"")), "or")),
    }
}

/// `a, b and c`.
pub(crate) fn enumerate<'a>(words: impl Iterator<Item = &'a str>) -> String {
    enumerate_with(words.map(str::to_owned), "and")
}

fn enumerate_with(words: impl Iterator<Item = String>, last: &str) -> String {
    let words: Vec<String> = words.collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., end] => format!("{} {last} {end}", most.join(", ")),
    }
}

/// Case and the kind of dash make no difference. Bounded: no known word is longer.
fn plain(text: &str) -> Vec<char> {
    text.chars().take(64).map(|letter| if letter == '-' { '_' } else { letter.to_ascii_lowercase() }).collect()
}

/// Whether the written word is one of the words that the known one is made of, as `cert` is of `cert_file`.
fn is_part(written: &[char], known: &str) -> bool {
    written.len() >= 3 && known.split(['_', '-']).any(|part| part.chars().eq(written.iter().copied()))
}

/// How many letters to insert, leave out, replace or swap with their neighbour (optimal string alignment).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != wanted);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && one[row - 1] == *wanted && other[column - 1] == *letter {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_none() {
        let known = ["listen", "plain_listen", "data_dir", "http2", "cert_file", "key_file", "reply_deadline"];
        for (written, wanted) in [
            ("lisen", Some("listen")),
            ("lsiten", Some("listen")),
            ("Listen", Some("listen")),
            ("plain-listen", Some("plain_listen")),
            ("replyDeadline", Some("reply_deadline")),
            ("http", Some("http2")),
            ("cert", Some("cert_file")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), wanted, "{written}");
        }
    }

    #[test]
    fn distances_are_counted_in_letters() {
        for (one, other, wanted) in [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(&plain(one), &plain(other)), wanted, "{one} {other}");
        }
    }
}
