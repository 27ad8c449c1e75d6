//! As much XML as routers' device descriptions and SOAP answers need: elements and their text, in order. Pure, one
//! pass, nothing is built.
//!
//! Prefixes of names are dropped, attributes, comments and instructions passed over. A text with a document type
//! ends there: that is where entities of one's own would come from, and no router has use for them.

/// What comes next in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// `<u:service …>`: its name without the prefix.
    Open(&'a str),
    /// `</u:service>`.
    Close(&'a str),
    /// Text between tags, trimmed, entities as they are; never empty.
    Text(&'a str),
}

/// The events of a text. What is malformed ends them.
pub(crate) fn events(text: &str) -> Events<'_> {
    Events { rest: text, pending: None }
}

/// See [`events`].
pub(crate) struct Events<'a> {
    rest: &'a str,
    /// The end of an element that ended where it began: `<a/>`.
    pending: Option<&'a str>,
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        if let Some(name) = self.pending.take() {
            return Some(Event::Close(name));
        }
        loop {
            let Some(tag) = self.rest.strip_prefix('<') else {
                let end = self.rest.find('<')?;
                let (text, rest) = self.rest.split_at(end);
                self.rest = rest;
                match text.trim() {
                    "" => continue,
                    text => return Some(Event::Text(text)),
                }
            };
            if let Some(comment) = tag.strip_prefix("!--") {
                self.rest = comment.split_once("-->")?.1;
            } else if let Some(instruction) = tag.strip_prefix('?') {
                self.rest = instruction.split_once("?>")?.1;
            } else if tag.starts_with('!') {
                self.rest = "";
            } else if let Some(tag) = tag.strip_prefix('/') {
                let (name, rest) = tag.split_once('>')?;
                self.rest = rest;
                return Some(Event::Close(local(name.trim_end())));
            } else {
                let (inside, rest) = tag.split_at(end_of_tag(tag)?);
                self.rest = &rest[1..];
                let is_whole = inside.ends_with('/');
                let name = inside.split(|letter: char| letter == '/' || letter.is_ascii_whitespace()).next()?;
                self.pending = is_whole.then(|| local(name));
                return Some(Event::Open(local(name)));
            }
        }
    }
}

/// Where the `>` of a tag is; those in quotes belong to attributes.
fn end_of_tag(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// The text of the first element of a name, entities resolved. Elements within end it.
pub(crate) fn text_of(text: &str, name: &str) -> Option<String> {
    let mut events = events(text);
    events.find(|event| *event == Event::Open(name))?;
    match events.next()? {
        Event::Text(text) => Some(unescape(text)),
        Event::Close(_) | Event::Open(_) => Some(String::new()),
    }
}

/// Resolves the five entities of XML and the numbered ones. Others stay as they are.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let entity = after.split_once(';').and_then(|(name, after)| Some((letter(name)?, after)));
        let (letter, after) = entity.unwrap_or(('&', after));
        out.push(letter);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn letter(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "apos" => Some('\''),
        "gt" => Some('>'),
        "lt" => Some('<'),
        "quot" => Some('"'),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_their_text_come_in_order() {
        use Event::{Close, Open, Text};
        let text = "<?xml version=\"1.0\"?>\n<!-- <x> --><s:a b='>' c=\"/>\"> one &amp; two <d/><e f = \"\" /></s:a >";
        let expected = [Open("a"), Text("one &amp; two"), Open("d"), Close("d"), Open("e"), Close("e"), Close("a")];
        assert_eq!(events(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn malformed_text_ends_where_it_breaks() {
        for (text, expected) in [
            ("", 0),
            ("no tags", 0),
            ("<a", 0),
            ("<a b=\"", 0),
            ("<a><b", 1),
            ("<a></a", 1),
            ("<a><!-- ", 1),
            ("<a><?", 1),
            ("<!DOCTYPE x [<!ENTITY y \"z\">]><a>", 0),
            ("<a>text", 1),
            ("<a><![CDATA[<b>]]></a>", 1),
        ] {
            assert_eq!(events(text).count(), expected, "{text}");
        }
    }

    #[test]
    fn the_text_of_an_element_is_found_and_unescaped() {
        for (text, expected) in [
            ("<x><u:a> 1 </u:a></x>", Some("1")),
            ("<a></a>", Some("")),
            ("<a/>", Some("")),
            ("<a><b>1</b></a>", Some("")),
            ("<b>1</b>", None),
            ("<a>&lt;&gt;&quot;&apos;&amp;amp;</a>", Some("<>\"'&amp;")),
            ("<a>&#49;&#x31;</a>", Some("11")),
            ("<a>&nbsp; & &; &#xd800; &#; a&b</a>", Some("&nbsp; & &; &#xd800; &#; a&b")),
        ] {
            assert_eq!(text_of(text, "a").as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn garbage_of_any_shape_is_survived() {
        const PIECES: [&str; 20] = [
            "<", ">", "/", "</", "/>", "<a", "a", ":", "\"", "'", "=", " ", "<!--", "-->", "<?", "?>", "<!", "&", ";",
            "\u{e9}",
        ];
        // xorshift: the same garbage each time.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..20_000 {
            let mut text = String::new();
            for _ in 0..round % 40 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                text += PIECES[usize::try_from(state % 20).unwrap()];
            }
            // Each event takes at least one letter, but for the ends of whole elements.
            assert!(events(&text).count() <= 2 * text.len(), "{text}");
            let _ = (text_of(&text, "a"), unescape(&text));
        }
    }
}
