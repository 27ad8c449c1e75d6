//! DNS "who am I": name servers that answer a question with the address from which it came.
//!
//! Plain DNS over UDP (RFC 1035), one question, no EDNS: a server that wants to say more than fits is given up. Only
//! the server that was asked is heard, and only when the answer bears the question's number and repeats the question.
//! Routers and providers that answer port 53 in the server's stead tell an address all the same: what it may look
//! like is for [`super::claims`] to say.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name};
use domain::rdata::{A, Aaaa, Txt};
use nicgate_protocol::Family;
use nicgate_protocol::address::unmapped;
use tokio::time::timeout;

use super::ask::{self, AskFault, Line, Rhythm};
use crate::settings::source::host_and_port;
use crate::way::Way;

/// Where name servers listen.
pub const PORT: u16 = 53;

/// The well-known questions, in the form that [`Question`] reads.
pub const WELL_KNOWN: [&str; 6] = [
    "myip.opendns.com@208.67.222.222",
    "myip.opendns.com@[2620:119:35::35]",
    "txt:o-o.myaddr.l.google.com@216.239.32.10",
    "txt:o-o.myaddr.l.google.com@[2001:4860:4802:32::a]",
    "txt-ch:whoami.cloudflare@1.1.1.1",
    "txt-ch:whoami.cloudflare@[2606:4700:4700::1111]",
];

/// A lost packet is likelier than a slow server.
const RHYTHM: Rhythm = Rhythm { first: Duration::from_secs(1), most: Duration::from_secs(4) };

/// What to ask whom: `name@server`, `txt:name@server` or `txt-ch:name@server`. A server is a name or an address with
/// an optional port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    style: Style,
    name: Name<Vec<u8>>,
    server: String,
}

/// In which kind of record the address comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// A or AAAA, as the family is.
    Address,
    /// TXT.
    Text,
    /// TXT of the class CH, in which servers tell about themselves.
    ChaosText,
}

impl Style {
    /// Each with what stands before the name.
    const ALL: [(Self, &str); 3] = [(Self::ChaosText, "txt-ch:"), (Self::Text, "txt:"), (Self::Address, "")];

    fn record(self, family: Family) -> (Rtype, Class) {
        match (self, family) {
            (Self::Address, Family::V4) => (Rtype::A, Class::IN),
            (Self::Address, Family::V6) => (Rtype::AAAA, Class::IN),
            (Self::Text, _) => (Rtype::TXT, Class::IN),
            (Self::ChaosText, _) => (Rtype::TXT, Class::CH),
        }
    }
}

/// A text that is no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAQuestion;

impl fmt::Display for NotAQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "write \"name@server\" (A or AAAA), \"txt:name@server\" or \"txt-ch:name@server\", for instance \
             \"myip.opendns.com@208.67.222.222\"",
        )
    }
}

impl std::error::Error for NotAQuestion {}

impl FromStr for Question {
    type Err = NotAQuestion;

    fn from_str(text: &str) -> Result<Self, NotAQuestion> {
        let (question, server) = text.split_once('@').ok_or(NotAQuestion)?;
        let after = |(style, mark): (Style, &str)| question.strip_prefix(mark).map(|name| (style, name));
        let (style, name) = Style::ALL.into_iter().find_map(after).ok_or(NotAQuestion)?;
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_letter) || host_and_port(server, Some(PORT)).is_none() {
            return Err(NotAQuestion);
        }
        let name = Name::from_str(name).map_err(|_| NotAQuestion)?;
        Ok(Self { style, name, server: server.to_owned() })
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = Style::ALL.into_iter().find(|(style, _)| *style == self.style).map_or("", |(_, mark)| mark);
        write!(f, "{mark}{}@{}", self.name, self.server)
    }
}

/// Asks over one family. `id` numbers the question: 16 random bits.
///
/// # Errors
/// When no answer comes, or one that is not exactly one address of the family.
pub async fn address(
    way: &Way,
    family: Family,
    question: &Question,
    patience: Duration,
    id: u16,
) -> Result<IpAddr, WhoamiFault> {
    let (record, class) = question.style.record(family);
    let message = write(&question.name, record, class, id);
    let answer = exchange(way, family, &question.server, patience, message).await?;
    read(&answer, record, class, family)
}

/// Whether a name server can be reached this way: any well-formed answer about the root counts, a refusal too.
///
/// # Errors
/// When none comes.
pub async fn probe(way: &Way, family: Family, server: &str, patience: Duration, id: u16) -> Result<(), WhoamiFault> {
    let message = write(&Name::root(), Rtype::NS, Class::IN, id);
    exchange(way, family, server, patience, message).await.map(drop)
}

/// A question that wants recursion: resolvers refuse others.
fn write(name: &Name<Vec<u8>>, record: Rtype, class: Class, id: u16) -> Message<Vec<u8>> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_id(id);
    message.header_mut().set_rd(true);
    let mut message = message.question();
    message.push((name, record, class)).expect("one question fits into any message");
    message.into_message()
}

/// The answer to `message`: from the server that was asked, of the same number, with the same question.
async fn exchange(
    way: &Way,
    family: Family,
    server: &str,
    patience: Duration,
    message: Message<Vec<u8>>,
) -> Result<Message<Vec<u8>>, WhoamiFault> {
    let exchange = async {
        let server = ask::look_up(server, PORT, family).await?;
        let line = Line::open(way, server).await?;
        line.ask(message.as_slice(), RHYTHM, |bytes| heard(bytes.to_vec(), &message)).await
    };
    let answer = timeout(patience, exchange).await.unwrap_or(Err(AskFault::NoAnswer));
    answer.map_err(WhoamiFault::Ask)
}

/// A datagram as the answer to `message`, if it is that.
fn heard(bytes: Vec<u8>, message: &Message<Vec<u8>>) -> Option<Message<Vec<u8>>> {
    Message::from_octets(bytes).ok().filter(|answer| answer.is_answer(message))
}

/// The one address of a family in an answer.
fn read(answer: &Message<Vec<u8>>, record: Rtype, class: Class, family: Family) -> Result<IpAddr, WhoamiFault> {
    let header = answer.header();
    if header.tc() {
        return Err(WhoamiFault::Truncated);
    }
    if header.rcode() != Rcode::NOERROR {
        return Err(WhoamiFault::Refused(header.rcode()));
    }
    let mut found = None;
    for address in addresses(answer, record, class).ok_or(WhoamiFault::Malformed)? {
        if Family::of(address) != family {
            return Err(WhoamiFault::OtherFamily(address));
        }
        if found.replace(address).is_some_and(|other| other != address) {
            return Err(WhoamiFault::Several);
        }
    }
    found.ok_or(WhoamiFault::NoAddress)
}

/// The addresses in an answer; `None` when it is malformed.
fn addresses(answer: &Message<Vec<u8>>, record: Rtype, class: Class) -> Option<Vec<IpAddr>> {
    let mut found = Vec::new();
    for entry in answer.answer().ok()? {
        let entry = entry.ok()?;
        if (entry.rtype(), entry.class()) != (record, class) {
            continue;
        }
        if record == Rtype::A {
            found.push(IpAddr::V4(entry.to_record::<A>().ok()??.data().addr()));
        } else if record == Rtype::AAAA {
            found.push(IpAddr::V6(entry.to_record::<Aaaa>().ok()??.data().addr()));
        } else {
            // Each text by itself: some servers put a word before the address.
            let entry = entry.to_record::<Txt<_>>().ok()??;
            let texts = entry.data().iter().filter_map(|text| std::str::from_utf8(text).ok()?.parse().ok());
            found.extend(texts.map(unmapped));
        }
    }
    Some(found)
}

/// Why there is no address.
#[derive(Debug)]
pub enum WhoamiFault {
    /// Nothing was heard.
    Ask(AskFault),
    /// The answer cannot be read.
    Malformed,
    /// The answer has no address in it.
    NoAddress,
    /// The answer is an address of the other family.
    OtherFamily(IpAddr),
    /// The server answered with a code that is no success.
    Refused(Rcode),
    /// The answer has several addresses.
    Several,
    /// The answer does not fit into a datagram.
    Truncated,
}

impl fmt::Display for WhoamiFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(fault) => fault.fmt(f),
            Self::Malformed => f.write_str("the name server's answer cannot be read"),
            Self::NoAddress => f.write_str(
                "the name server answered without an address: it does not know this question, or somebody else \
                 answered in its stead",
            ),
            Self::OtherFamily(address) => {
                write!(f, "the name server saw {address}, which is of the other family: something between translates")
            }
            Self::Refused(code) => write!(
                f,
                "the name server refused ({code}): it does not know this question, or somebody else answered in its \
                 stead"
            ),
            Self::Several => f.write_str("the name server answered with several addresses: which is ours is unknown"),
            Self::Truncated => f.write_str("the name server's answer is longer than any with one address"),
        }
    }
}

impl std::error::Error for WhoamiFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ask(fault) => Some(fault),
            Self::Malformed
            | Self::NoAddress
            | Self::OtherFamily(_)
            | Self::Refused(_)
            | Self::Several
            | Self::Truncated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u16 = 0x1234;

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        hex.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    fn question(text: &str) -> Question {
        text.parse().unwrap()
    }

    /// What an answer of these records tells who asked `question`. `flags` are the header's second word.
    fn told(text: &str, family: Family, flags: &str, records: &[&str]) -> String {
        let question = question(text);
        let (record, class) = question.style.record(family);
        let asked = write(&question.name, record, class, ID);
        let mut answer = asked.as_slice().to_vec();
        answer[2..4].copy_from_slice(&bytes(flags));
        answer[7] = u8::try_from(records.len()).unwrap();
        answer.extend(records.iter().flat_map(|record| bytes(record)));
        let Some(answer) = heard(answer, &asked) else { return "no answer".to_owned() };
        read(&answer, record, class, family).map_or_else(|fault| fault.to_string(), |address| address.to_string())
    }

    #[test]
    fn a_question_reads_as_it_is_written() {
        for text in WELL_KNOWN.into_iter().chain(["a@b:5353", "whoami.akamai.net@ns1-1.akamaitech.net", "txt:a@::1"]) {
            assert_eq!(question(text).to_string(), text);
        }
        for text in
            ["", "@", "a@", "@a", "a", "txt:@a", "mx:a@b", "a b@c", "a@b c", "a@b:0", "a..b@c", "a@b@c", "a\"@b"]
        {
            assert_eq!(text.parse::<Question>(), Err(NotAQuestion), "{text:?}");
        }
        let long = format!("{}@a", "a".repeat(64));
        assert_eq!(long.parse::<Question>(), Err(NotAQuestion));
    }

    #[test]
    fn a_question_is_written_as_every_resolver_reads_it() {
        let asked = write(&question("txt-ch:whoami.cloudflare@1.1.1.1").name, Rtype::TXT, Class::CH, ID);
        assert_eq!(
            asked.as_slice(),
            bytes("1234 0100 0001 0000 0000 0000 06 77686f616d69 0a 636c6f7564666c617265 00 0010 0003")
        );
    }

    #[test]
    fn answers_give_an_address_or_a_reason() {
        const A: &str = "myip.opendns.com@208.67.222.222";
        const GOOGLE: &str = "txt:o-o.myaddr.l.google.com@216.239.32.10";
        const CLOUDFLARE: &str = "txt-ch:whoami.cloudflare@1.1.1.1";
        const NONE: &str = "the name server answered without an address: it does not know this question, or somebody \
                            else answered in its stead";
        const SEVERAL: &str = "the name server answered with several addresses: which is ours is unknown";
        const GARBLED: &str = "the name server's answer cannot be read";
        let a = "c00c 0001 0001 00000000 0004 c0000201";
        let other = "c00c 0001 0001 00000000 0004 c0000202";
        let v6 = "c00c 001c 0001 00000000 0010 20010db8000000000000000000000001";
        let alias = "c00c 0005 0001 00000000 0002 c00c";
        let text = "c00c 0010 0001 00000000 000a 09 3139322e302e322e31";
        let chaos = "c00c 0010 0003 00000000 000a 09 3139322e302e322e31";
        // "edns0-client-subnet" in a record of its own, "ns" before the address in the same one.
        let subnet = "c00c 0010 0001 00000000 0014 13 65646e73302d636c69656e742d7375626e6574";
        let prefixed = "c00c 0010 0001 00000000 000d 02 6e73 09 3139322e302e322e31";
        for (text, family, flags, records, expected) in [
            (A, Family::V4, "8180", &[a][..], "192.0.2.1"),
            (A, Family::V4, "8180", &[alias, a], "192.0.2.1"),
            (A, Family::V4, "8180", &[a, a], "192.0.2.1"),
            (A, Family::V6, "8180", &[v6], "2001:db8::1"),
            (GOOGLE, Family::V4, "8400", &[text], "192.0.2.1"),
            (GOOGLE, Family::V4, "8400", &[subnet, text], "192.0.2.1"),
            (GOOGLE, Family::V4, "8400", &[prefixed], "192.0.2.1"),
            (CLOUDFLARE, Family::V4, "8180", &[chaos], "192.0.2.1"),
            (A, Family::V4, "8180", &[a, other], SEVERAL),
            (A, Family::V4, "8180", &[], NONE),
            (A, Family::V4, "8180", &[v6], NONE),
            (GOOGLE, Family::V4, "8400", &[subnet], NONE),
            (CLOUDFLARE, Family::V4, "8180", &[text], NONE),
            (
                GOOGLE,
                Family::V6,
                "8400",
                &[text],
                "the name server saw 192.0.2.1, which is of the other family: something between translates",
            ),
            (A, Family::V4, "8380", &[a], "the name server's answer is longer than any with one address"),
            (
                A,
                Family::V4,
                "8185",
                &[],
                "the name server refused (REFUSED): it does not know this question, or somebody else answered in its \
                 stead",
            ),
            (A, Family::V4, "8180", &["c00c 0001 0001 00000000 0003 c00002"], GARBLED),
            (A, Family::V4, "8180", &["c00c 0001 0001 00000000 0004 c000"], GARBLED),
            (A, Family::V4, "8180", &["c0ff 0001 0001 00000000 0004 c0000201"], GARBLED),
            (GOOGLE, Family::V4, "8400", &["c00c 0010 0001 00000000 0003 09 3139"], GARBLED),
            // A question, not an answer.
            (A, Family::V4, "0100", &[a], "no answer"),
        ] {
            assert_eq!(told(text, family, flags, records), expected, "{text} {flags} {records:?}");
        }
    }

    #[test]
    fn what_is_no_answer_to_this_question_is_passed_over() {
        let asked = write(&question("myip.opendns.com@a").name, Rtype::A, Class::IN, ID);
        let mut good = asked.as_slice().to_vec();
        good[2] |= 0x80;
        assert!(heard(good.clone(), &asked).is_some());
        for (at, what) in [(0, "number"), (1, "number"), (5, "count"), (14, "name"), (31, "type"), (33, "class")] {
            let mut other = good.clone();
            other[at] ^= 2;
            assert!(heard(other, &asked).is_none(), "{what}");
        }
        for length in 0..good.len() {
            assert!(heard(good[..length].to_vec(), &asked).is_none(), "{length} bytes");
        }
        good[14] ^= 0x20;
        assert!(heard(good, &asked).is_some(), "letters differ in case alone");
    }

    #[test]
    fn garbage_of_any_shape_is_survived() {
        // xorshift: the same garbage each time.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for (style, family) in [("", Family::V4), ("", Family::V6), ("txt:", Family::V4), ("txt-ch:", Family::V4)] {
            let (record, class) = question(&format!("{style}a@b")).style.record(family);
            let asked = write(&question("a@b").name, record, class, ID);
            for round in 0..10_000_usize {
                let mut answer = asked.as_slice().to_vec();
                (answer[2], answer[7]) = (0x81, 3);
                for _ in 0..round % 67 {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    let byte = state.to_le_bytes()[0];
                    // Pointers, small types and lengths now and then.
                    answer.push(match state >> 62 {
                        0 => byte,
                        1 => 0xc0 | byte & 1,
                        2 => byte & 0x1d,
                        _ => 0,
                    });
                }
                let answer = heard(answer, &asked).unwrap();
                let _ = read(&answer, record, class, family);
            }
        }
    }
}
