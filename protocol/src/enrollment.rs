//! The line that an operator hands to a user, and that `nicgate-client init` takes: where the gateway is, for which
//! device, and a code that the gateway exchanges for the device's key, once. Never the key itself.
//!
//! A line is `nicgate1_` and base64url (RFC 4648 5, no padding) of: the code, 16 bytes; device and gateway, each after
//! one byte with its length; the CA's certificate after two, length 0 for none; and the first four bytes of the SHA-256
//! of all that. The last ones tell a line that was cut off from one that was altered; they prove nothing.
//!
//! Whether a code still holds is the gateway's judgement, not decided here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::secret::{DeviceId, Secret};

/// Where codes are exchanged, below the gateway's base URL: by POST, with [`Invitation::form`] as the body.
pub const PATH: &str = "/auth/enroll";
/// Bytes of a code.
pub const CODE_BYTES: usize = 16;
/// Letters of a code in base64url without padding.
pub const CODE_LETTERS: usize = 22;
/// The longest base URL of a gateway.
pub const LONGEST_GATEWAY: usize = 255;
/// The longest certificate that a line carries, in DER.
pub const LONGEST_CA: usize = 4096;

const PREFIX: &str = "nicgate1_";
const CHECK_BYTES: usize = 4;
/// Longer texts are not looked at; blanks and line breaks count.
const LONGEST_TEXT: usize = 8192;

/// A one-time code: 128 bits that nobody can guess.
pub type Code = Secret<[u8; CODE_BYTES]>;

impl Code {
    /// Reads the text form, [`CODE_LETTERS`] letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != CODE_LETTERS {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        Some(Self::new(bytes.as_slice().try_into().ok()?))
    }

    /// The code as text.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.expose()))
    }

    /// What a gateway keeps instead of the code: its SHA-256.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.expose()).into()
    }
}

/// What a line says. No `Debug`: there is a code in it.
#[derive(Clone)]
pub struct Invitation {
    gateway: String,
    device: DeviceId,
    code: Code,
    ca: Option<Vec<u8>>,
}

/// Why a text is no invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadInvitation {
    /// The certificate is longer than [`LONGEST_CA`].
    CaTooLong,
    /// The beginning of a line; its end is missing.
    CutOff,
    /// A line in which something was altered, or something that only begins like one.
    Damaged,
    /// The gateway's address is none.
    Gateway(BadGateway),
    /// Something else altogether.
    NotOne,
    /// A line of a form that this version does not know.
    Newer,
}

impl fmt::Display for BadInvitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CaTooLong => "the CA's certificate is longer than 4096 bytes",
            Self::CutOff => "the line is cut off: its end is missing; copy the whole line",
            Self::Damaged => "the line was altered on its way; copy it once more",
            Self::Gateway(why) => return why.fmt(f),
            Self::NotOne => {
                "this is no line for enrolling: one begins with \"nicgate1_\"; `nicgate device invite ID` makes it"
            }
            Self::Newer => "this line comes from a newer gateway; update this program",
        })
    }
}

impl std::error::Error for BadInvitation {}

/// Why a text is no base URL of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadGateway {
    /// A user name, a query or a fragment.
    Extra,
    /// Not a URL with scheme and host, or longer than [`LONGEST_GATEWAY`].
    NotAUrl,
    /// Another scheme than `https`, or `http` to something else than loopback.
    Scheme,
}

impl fmt::Display for BadGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Extra => "a gateway's URL has no user name, no query and no fragment",
            Self::NotAUrl => "write the gateway as a URL, for instance \"https://ddns.example.com\"",
            Self::Scheme => "the scheme is \"https\" (\"http\" for loopback alone)",
        })
    }
}

impl std::error::Error for BadGateway {}

/// Reads a gateway's base URL and gives it without a final `/`.
///
/// # Errors
/// What is wrong with it.
pub fn base_url(text: &str) -> Result<String, BadGateway> {
    let uri: Uri = text.parse().map_err(|_| BadGateway::NotAUrl)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(BadGateway::NotAUrl);
    };
    let is_loopback = matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
    if scheme != "https" && !(scheme == "http" && is_loopback) {
        return Err(BadGateway::Scheme);
    }
    if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
        return Err(BadGateway::Extra);
    }
    if authority.host().is_empty() || text.len() > LONGEST_GATEWAY {
        return Err(BadGateway::NotAUrl);
    }
    Ok(text.trim_end_matches('/').to_owned())
}

impl Invitation {
    /// An invitation of `device` to the gateway at a base URL. `ca` is the certificate (DER) of the authority that
    /// vouches for the gateway, where no public one does.
    ///
    /// # Errors
    /// When the URL is none, or the certificate too long.
    pub fn new(gateway: &str, device: DeviceId, code: Code, ca: Option<Vec<u8>>) -> Result<Self, BadInvitation> {
        let gateway = base_url(gateway).map_err(BadInvitation::Gateway)?;
        if ca.as_ref().is_some_and(|ca| ca.len() > LONGEST_CA) {
            return Err(BadInvitation::CaTooLong);
        }
        Ok(Self { gateway, device, code, ca: ca.filter(|ca| !ca.is_empty()) })
    }

    /// Reads a line. Blanks and line breaks anywhere in it are left out: a mail may have broken it.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn parse(text: &str) -> Result<Self, BadInvitation> {
        if text.len() > LONGEST_TEXT {
            return Err(BadInvitation::NotOne);
        }
        let letters = |letter: &u8| !letter.is_ascii_whitespace();
        let line = Zeroizing::new(text.bytes().filter(letters).collect::<Vec<u8>>());
        let Some(body) = line.strip_prefix(PREFIX.as_bytes()) else { return Err(other_form(&line)) };
        if !body.iter().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_')) {
            return Err(BadInvitation::Damaged);
        }
        // Letters that are right and end where no text ends: what is whole of them tells what else is missing.
        let whole = |letters| URL_SAFE_NO_PAD.decode(letters).map(Zeroizing::new);
        let (payload, is_whole) = match whole(body) {
            Ok(payload) => (payload, true),
            Err(_) => (whole(&body[..body.len() / 4 * 4]).unwrap_or_default(), false),
        };
        let mut rest = Rest(&payload);
        let code = rest.take(CODE_BYTES)?;
        let device = rest.take_counted(1)?;
        let gateway = rest.take_counted(1)?;
        let ca = rest.take_counted(2)?;
        let content = &payload[..payload.len() - rest.0.len()];
        let check = rest.take(CHECK_BYTES)?;
        if !is_whole || !rest.0.is_empty() || check != check_of(content) {
            return Err(BadInvitation::Damaged);
        }
        let code = code.try_into().map_err(|_| BadInvitation::Damaged)?;
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| BadInvitation::Damaged);
        let device = DeviceId::parse(text(device)?).map_err(|_| BadInvitation::Damaged)?;
        Self::new(text(gateway)?, device, Secret::new(code), Some(ca.to_vec()))
    }

    /// The gateway's base URL, without a final `/`.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Whose key it is about.
    #[must_use]
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// What the gateway takes for the key.
    #[must_use]
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// The certificate (DER) of the authority that vouches for the gateway; `None`: a public one does.
    #[must_use]
    pub fn ca(&self) -> Option<&[u8]> {
        self.ca.as_deref()
    }

    /// The body of the request, `application/x-www-form-urlencoded`: neither value has letters to escape.
    #[must_use]
    pub fn form(&self) -> Zeroizing<String> {
        Zeroizing::new(["device=", self.device.as_str(), "&code=", &self.code.text()].concat())
    }
}

/// The line. Whoever prints it hands out the code.
impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, gateway) = (self.device.as_str().as_bytes(), self.gateway.as_bytes());
        let ca = self.ca().unwrap_or_default();
        // Device, URL and certificate are bounded where an invitation is made: their lengths fit.
        let lengths = [&[device.len() as u8][..], &[gateway.len() as u8], &(ca.len() as u16).to_be_bytes()];
        let mut payload = Zeroizing::new(self.code.expose().to_vec());
        for (length, field) in lengths.into_iter().zip([device, gateway, ca]) {
            payload.extend_from_slice(length);
            payload.extend_from_slice(field);
        }
        let check = check_of(&payload);
        payload.extend_from_slice(&check);
        f.write_str(PREFIX)?;
        f.write_str(&Zeroizing::new(URL_SAFE_NO_PAD.encode(&*payload)))
    }
}

fn check_of(content: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(content));
    [a, b, c, d]
}

/// What a text is that does not begin as a line does.
fn other_form(line: &[u8]) -> BadInvitation {
    if !line.is_empty() && PREFIX.as_bytes().starts_with(line) {
        return BadInvitation::CutOff;
    }
    let version = line.strip_prefix(b"nicgate").and_then(|rest| rest.split(|letter| *letter == b'_').next());
    match version {
        Some(digits) if !digits.is_empty() && digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            BadInvitation::Newer
        }
        Some(_) | None => BadInvitation::NotOne,
    }
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], BadInvitation> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BadInvitation::CutOff)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A field after its length, which takes `width` bytes.
    fn take_counted(&mut self, width: usize) -> Result<&'a [u8], BadInvitation> {
        let length = self.take(width)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation(ca: Option<Vec<u8>>) -> Invitation {
        let code = Secret::new(*b"0123456789abcdef");
        Invitation::new("https://ddns.example.com", DeviceId::parse("laptop").unwrap(), code, ca).unwrap()
    }

    /// Why a text is refused.
    fn why(text: &str) -> BadInvitation {
        Invitation::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"))
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for ca in [None, Some(vec![0x30; 700]), Some(vec![7; LONGEST_CA])] {
            let line = invitation(ca.clone()).to_string();
            let read = Invitation::parse(&line).unwrap();
            assert_eq!((read.gateway(), read.device().as_str()), ("https://ddns.example.com", "laptop"));
            assert_eq!((read.code().expose(), read.ca()), (b"0123456789abcdef", ca.as_deref()));
            assert_eq!(read.to_string(), line);
            // As a mail breaks it.
            let broken: Vec<String> = line.as_bytes().chunks(76).map(|part| part.escape_ascii().to_string()).collect();
            assert!(Invitation::parse(&format!(" {}\r\n", broken.join("\r\n"))).is_ok());
        }
    }

    /// Lines lie in mails for a day, and in clients of other versions for longer.
    #[test]
    fn the_first_form_never_changes() {
        let line = "nicgate1_MDEyMzQ1Njc4OWFiY2RlZgZsYXB0b3AYaHR0cHM6Ly9kZG5zLmV4YW1wbGUuY29tAABiKHmv";
        assert_eq!(invitation(None).to_string(), line);
        assert_eq!(&*invitation(None).form(), "device=laptop&code=MDEyMzQ1Njc4OWFiY2RlZg");
    }

    #[test]
    fn a_line_cut_anywhere_is_told_as_such() {
        for ca in [None, Some(vec![0x30; 300])] {
            let line = invitation(ca).to_string();
            assert!(line[1..].char_indices().all(|(end, _)| why(&line[..=end]) == BadInvitation::CutOff), "{line}");
        }
    }

    #[test]
    fn one_other_letter_anywhere_is_noticed() {
        let line = invitation(Some(vec![9; 30])).to_string();
        for at in 0..line.len() {
            for letter in ["A", "x", "-", "7", "%", "="] {
                let mut altered = line.clone();
                altered.replace_range(at..=at, letter);
                assert!(altered == line || Invitation::parse(&altered).is_err(), "{altered}");
            }
        }
    }

    #[test]
    fn what_is_no_line_hears_why() {
        let line = invitation(None).to_string();
        for (text, reason) in [
            ("", BadInvitation::NotOne),
            ("\n", BadInvitation::NotOne),
            ("hello", BadInvitation::NotOne),
            ("nicgate-client init", BadInvitation::NotOne),
            ("nicgate_x", BadInvitation::NotOne),
            ("TMXYMpMRxDQBdZRC6o8NNl9Ym-raN3GbmvvOE4e56dg", BadInvitation::NotOne),
            (&"x".repeat(100_000), BadInvitation::NotOne),
            ("nicgate2_AAAA", BadInvitation::Newer),
            ("nicgate12_", BadInvitation::Newer),
            (&line.replace("nicgate1", "nicgate2"), BadInvitation::Newer),
            ("nicgate1_", BadInvitation::CutOff),
            ("nicgate1_\u{e4}", BadInvitation::Damaged),
            (&format!("{line}{line}"), BadInvitation::Damaged),
            (&format!("{line}AAAA"), BadInvitation::Damaged),
            (&format!("{line}."), BadInvitation::Damaged),
        ] {
            assert_eq!(why(text), reason, "{text}");
        }
        // The sums are right, and what they stand for is not.
        for (device, gateway) in [("a b", "https://a.example"), ("a", "ftp://a.example"), ("", "https://a.example")] {
            let mut payload = [&[0; CODE_BYTES][..], &[device.len() as u8], device.as_bytes()].concat();
            payload.extend([&[gateway.len() as u8], gateway.as_bytes(), &[0, 0]].concat());
            payload.extend(check_of(&payload));
            assert!(Invitation::parse(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(payload))).is_err());
        }
    }

    #[test]
    fn a_gateway_is_a_plain_url() {
        for (text, url) in [
            ("https://ddns.example.com", Ok("https://ddns.example.com")),
            ("https://ddns.example.com:8443/", Ok("https://ddns.example.com:8443")),
            ("https://example.com/ddns/", Ok("https://example.com/ddns")),
            ("https://[2001:db8::1]:8443", Ok("https://[2001:db8::1]:8443")),
            ("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080")),
            ("http://[::1]:8080", Ok("http://[::1]:8080")),
            ("http://ddns.example.com", Err(BadGateway::Scheme)),
            ("http://localhost.example.com", Err(BadGateway::Scheme)),
            ("ftp://ddns.example.com", Err(BadGateway::Scheme)),
            ("https://user@ddns.example.com", Err(BadGateway::Extra)),
            ("https://ddns.example.com/?a=b", Err(BadGateway::Extra)),
            ("https://ddns.example.com/#a", Err(BadGateway::Extra)),
            ("ddns.example.com", Err(BadGateway::NotAUrl)),
            ("https://", Err(BadGateway::NotAUrl)),
            ("https://a b", Err(BadGateway::NotAUrl)),
            ("", Err(BadGateway::NotAUrl)),
            (&format!("https://{}.example", "x".repeat(250)), Err(BadGateway::NotAUrl)),
        ] {
            assert_eq!(base_url(text), url.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_certificate_that_is_too_long_is_refused() {
        let (device, code) = (DeviceId::parse("a").unwrap(), Secret::new([0; CODE_BYTES]));
        let made = Invitation::new("https://a.example", device, code, Some(vec![0; LONGEST_CA + 1]));
        assert_eq!(made.err(), Some(BadInvitation::CaTooLong));
    }

    #[test]
    fn codes_are_read_as_they_are_written() {
        let code: Code = Secret::new([0xfb; CODE_BYTES]);
        assert_eq!(code.text().len(), CODE_LETTERS);
        assert_eq!(Code::parse(&code.text()).unwrap().expose(), code.expose());
        for bad in [
            "",
            "AAAA",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAAA=",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "+++++++++++++++++++++A",
        ] {
            assert!(Code::parse(bad).is_none(), "{bad}");
        }
        let known = [0xba, 0x78, 0x16, 0xbf];
        assert_eq!(check_of(b"abc"), known, "FIPS 180-2, appendix B.1");
    }
}
