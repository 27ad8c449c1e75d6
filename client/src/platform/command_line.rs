//! One text out of several arguments, as Windows passes them: the rules by which `CommandLineToArgvW` and the C
//! runtime take it apart again. A backslash is plain unless a quotation mark follows.

const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;

/// Puts arguments, each in UTF-16, together.
pub(super) fn join(arguments: impl IntoIterator<Item = Vec<u16>>) -> Vec<u16> {
    let mut line = Vec::new();
    for argument in arguments {
        if !line.is_empty() {
            line.push(u16::from(b' '));
        }
        line.push(QUOTE);
        let mut backslashes = 0;
        for unit in argument {
            match unit {
                BACKSLASH => backslashes += 1,
                QUOTE => {
                    // Those before it once more each, and one for the mark.
                    line.extend(std::iter::repeat_n(BACKSLASH, backslashes + 1));
                    backslashes = 0;
                }
                _ => backslashes = 0,
            }
            line.push(unit);
        }
        line.extend(std::iter::repeat_n(BACKSLASH, backslashes));
        line.push(QUOTE);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_out_as_they_went_in() {
        for (arguments, line) in [
            (&[][..], ""),
            (&["run"], r#""run""#),
            (&["", "a b"], r#""" "a b""#),
            (&[r"C:\Program Files\x"], r#""C:\Program Files\x""#),
            (&[r"C:\dir\", "x"], r#""C:\dir\\" "x""#),
            (&[r#"say "yes""#], r#""say \"yes\"""#),
            (&[r#"a\"b"#, r#"a\\"b"#], r#""a\\\"b" "a\\\\\"b""#),
        ] {
            let units = arguments.iter().map(|argument| argument.encode_utf16().collect());
            assert_eq!(String::from_utf16(&join(units)).unwrap(), line);
        }
    }
}
