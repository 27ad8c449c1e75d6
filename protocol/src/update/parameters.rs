//! Parameters in query and form, decoded as routers mean them (the `application/x-www-form-urlencoded` of the WHATWG
//! URL standard, section 5). Which names matter is not known here.

use std::borrow::Cow;

/// How many parameters are looked at; the rest is as good as absent.
pub(crate) const MOST_PARAMETERS: usize = 100;

/// The decoded parameters of query and form, query first.
///
/// A bad percent escape is literal text, `+` is a space, a second `?` is data: routers send all of that. Bytes
/// that are no UTF-8 become U+FFFD. At most 100 parameters are looked at. No `Debug`: there may be a password in it.
#[derive(Default)]
pub struct Parameters<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Parameters<'a> {
    /// Decodes a query (the text behind the first `?`) and a body of `application/x-www-form-urlencoded`.
    #[must_use]
    pub fn read(query: Option<&'a str>, form: Option<&'a [u8]>) -> Self {
        // As many as updates have; growing step by step costs more than reading them.
        let mut pairs = Vec::with_capacity(8);
        for item in query.unwrap_or_default().split('&') {
            push(&mut pairs, item);
        }
        match form.map(String::from_utf8_lossy) {
            Some(Cow::Borrowed(form)) => form.split('&').for_each(|item| push(&mut pairs, item)),
            Some(Cow::Owned(form)) => {
                let mut own = Vec::new();
                form.split('&').for_each(|item| push(&mut own, item));
                pairs.extend(own.into_iter().map(|(name, value)| (into_owned(name), into_owned(value))));
                pairs.truncate(MOST_PARAMETERS);
            }
            None => {}
        }
        Self { pairs }
    }

    /// The value of the last parameter of this name; letters of either case are the same.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// All of them as name and value, in the order they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether one name stands twice with different values, so that their order matters. A signature over sorted
    /// parameters does not cover an order.
    #[must_use]
    pub fn contradicts_itself(&self) -> bool {
        self.pairs.iter().enumerate().any(|(index, (name, value))| {
            self.pairs[..index].iter().any(|(other, said)| other.eq_ignore_ascii_case(name) && said != value)
        })
    }
}

fn push<'a>(pairs: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>, item: &'a str) {
    if item.is_empty() || pairs.len() == MOST_PARAMETERS {
        return;
    }
    let (name, value) = item.split_once('=').unwrap_or((item, ""));
    pairs.push((decode(name), decode(value)));
}

fn into_owned<'b>(text: Cow<'_, str>) -> Cow<'b, str> {
    Cow::Owned(text.into_owned())
}

/// `application/x-www-form-urlencoded` to text; plain text costs nothing.
fn decode(text: &str) -> Cow<'_, str> {
    // Without a way out of the loop it is done 16 bytes at a time.
    if !text.bytes().fold(false, |found, byte| found | (byte == b'%') | (byte == b'+')) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        index += 1;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => match (bytes.get(index).and_then(hex_digit), bytes.get(index + 1).and_then(hex_digit)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    index += 2;
                }
                _ => decoded.push(b'%'),
            },
            _ => decoded.push(byte),
        }
    }
    match String::from_utf8(decoded) {
        Ok(text) => Cow::Owned(text),
        Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

fn hex_digit(byte: &u8) -> Option<u8> {
    // A hexadecimal digit is below 16 and fits.
    char::from(*byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_bad_ones_are_text() {
        let parameters = Parameters::read(Some("a=%2C+%2c&b=%zz%&%63=1%2&d=%C3%BC&e=%ff&f"), None);
        let pairs: Vec<_> = parameters.iter().collect();
        assert_eq!(pairs, [("a", ", ,"), ("b", "%zz%"), ("c", "1%2"), ("d", "ü"), ("e", "\u{fffd}"), ("f", "")]);
    }

    #[test]
    fn plain_text_is_borrowed() {
        let parameters = Parameters::read(Some("hostname=home.test&myip=2001:db8::1"), None);
        assert!(parameters.pairs.iter().all(|(_, value)| matches!(value, Cow::Borrowed(_))));
    }

    #[test]
    fn the_last_one_of_a_name_wins_in_any_case_and_the_form_stands_behind_the_query() {
        let parameters = Parameters::read(Some("myip=1&MyIP=2&a=3"), Some(b"a=4&b=\xff"));
        assert_eq!(parameters.get("myip"), Some("2"));
        assert_eq!(parameters.get("A"), Some("4"));
        assert_eq!(parameters.get("b"), Some("\u{fffd}"));
        assert_eq!(parameters.get("c"), None);
    }

    #[test]
    fn no_more_than_a_hundred_parameters_are_looked_at() {
        let query = format!("{}late=1", "&a=1".repeat(99).replacen('&', "", 1) + "&");
        assert_eq!(Parameters::read(Some(&query), None).get("late"), Some("1"));
        let query = format!("a=1&{query}");
        for form in [&b"later=1"[..], b"later=\xff"] {
            let parameters = Parameters::read(Some(&query), Some(form));
            assert_eq!(parameters.get("late"), None);
            assert_eq!(parameters.get("later"), None);
            assert_eq!(parameters.iter().count(), 100);
        }
    }

    #[test]
    fn only_different_values_of_one_name_contradict() {
        for (query, contradicts) in [("a=1&b=1", false), ("a=1&a=1", false), ("a=1&A=2", true), ("a=1&b=1&a=", true)] {
            assert_eq!(Parameters::read(Some(query), None).contradicts_itself(), contradicts, "{query}");
        }
    }
}
