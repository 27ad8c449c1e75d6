//! DNS messages: updates (RFC 2136) and the plain questions that go before them, written and read. Signing them is
//! `tsig`'s.

use std::net::IpAddr;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message_builder::{PushError, StaticCompressor};
use domain::base::name::{Name, ParsedName, ToName as _};
use domain::base::{Message, MessageBuilder, Ttl, UnknownRecordData};
use domain::rdata::{A, Aaaa};
use nicgate_protocol::{Family, Hostname};

/// What an update asks for, in the terms of RFC 2136: if all that `requires` says holds, all of `changes` is done,
/// else nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edit {
    /// Section 2.4, the prerequisites.
    pub(super) requires: Vec<Requires>,
    /// Section 2.5, the changes.
    pub(super) changes: Vec<Change>,
}

/// One prerequisite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Requires {
    /// The name has no alias: beside one, a server leaves an address out without a word (3.4.2.2).
    NoAlias(Hostname),
    /// The name has no records of the family (2.4.3).
    None(Hostname, Family),
    /// The name has exactly these, whatever their TTL (2.4.2).
    Exactly(Hostname, Vec<IpAddr>),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// One record comes, or gets this TTL (2.5.1).
    Add(Hostname, IpAddr, u32),
    /// One record goes (2.5.4).
    Remove(Hostname, IpAddr),
}

impl Edit {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn append(&mut self, other: Self) {
        self.requires.extend(other.requires);
        self.changes.extend(other.changes);
    }

    /// The message, unsigned.
    ///
    /// # Errors
    /// When it has more records than a message can have.
    pub(super) fn compose(&self, id: u16, zone: &Hostname) -> Result<Vec<u8>, PushError> {
        let mut builder = builder(id, Opcode::UPDATE)?.question();
        builder.push((name(zone), Rtype::SOA, Class::IN))?;
        let mut builder = builder.answer();
        for requires in &self.requires {
            match requires {
                Requires::NoAlias(host) => builder.push(nothing(host, Class::NONE, Rtype::CNAME))?,
                Requires::None(host, family) => builder.push(nothing(host, Class::NONE, rtype(*family)))?,
                Requires::Exactly(host, addresses) => {
                    for address in addresses {
                        match address {
                            IpAddr::V4(v4) => builder.push((name(host), Class::IN, Ttl::ZERO, A::new(*v4)))?,
                            IpAddr::V6(v6) => builder.push((name(host), Class::IN, Ttl::ZERO, Aaaa::new(*v6)))?,
                        }
                    }
                }
            }
        }
        let mut builder = builder.authority();
        for change in &self.changes {
            let (host, class, ttl, address) = match change {
                Change::Add(host, address, ttl) => (host, Class::IN, Ttl::from_secs(*ttl), address),
                Change::Remove(host, address) => (host, Class::NONE, Ttl::ZERO, address),
            };
            match address {
                IpAddr::V4(v4) => builder.push((name(host), class, ttl, A::new(*v4)))?,
                IpAddr::V6(v6) => builder.push((name(host), class, ttl, Aaaa::new(*v6)))?,
            }
        }
        Ok(builder.finish().into_target())
    }
}

type Composer = StaticCompressor<Vec<u8>>;

fn builder(id: u16, opcode: Opcode) -> Result<MessageBuilder<Composer>, PushError> {
    let target = StaticCompressor::new(Vec::with_capacity(512));
    let mut builder = MessageBuilder::from_target(target).map_err(|_| PushError::ShortBuf)?;
    builder.header_mut().set_id(id);
    builder.header_mut().set_opcode(opcode);
    Ok(builder)
}

/// A record without data, which stands for a record set.
fn nothing(host: &Hostname, class: Class, rtype: Rtype) -> (Name<Vec<u8>>, Class, Ttl, UnknownRecordData<[u8; 0]>) {
    let data = UnknownRecordData::from_octets(rtype, []).expect("nothing is not too long");
    (name(host), class, Ttl::ZERO, data)
}

pub(super) fn name(host: &Hostname) -> Name<Vec<u8>> {
    host.as_str().parse().expect("a Hostname is a DNS name of at most 253 letters and labels of at most 63")
}

fn rtype(family: Family) -> Rtype {
    match family {
        Family::V4 => Rtype::A,
        Family::V6 => Rtype::AAAA,
    }
}

/// A question to the server that holds the zone: recursion is not desired, so what it says is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Which addresses of a family a name has.
    Addresses(Hostname, Family),
    /// Which zone a name is in.
    Zone(Hostname),
}

impl Question {
    pub(super) fn compose(&self, id: u16) -> Result<Vec<u8>, PushError> {
        let (name, rtype) = self.asked();
        let mut builder = builder(id, Opcode::QUERY)?.question();
        builder.push((name, rtype, Class::IN))?;
        Ok(builder.finish().into_target())
    }

    fn asked(&self) -> (Name<Vec<u8>>, Rtype) {
        match self {
            Self::Addresses(host, family) => (name(host), rtype(*family)),
            Self::Zone(zone) => (name(zone), Rtype::SOA),
        }
    }
}

/// Why an answer is none of ours or cannot be used.
pub(super) type Unreadable = &'static str;

/// The answer to an update as far as it can be read; whether to believe it is `tsig`'s.
///
/// # Errors
/// When it is not the answer to an update with this id.
pub(super) fn read_update(answer: &[u8], id: u16) -> Result<Rcode, Unreadable> {
    let message = Message::from_slice(answer).map_err(|_| "the answer is shorter than a header")?;
    let header = message.header();
    if header.id() != id || !header.qr() || header.opcode() != Opcode::UPDATE {
        return Err("the answer belongs to another message");
    }
    Ok(header.rcode())
}

/// What stands at a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The addresses, sorted.
    pub(super) addresses: Vec<IpAddr>,
    /// Their TTL.
    pub(super) ttl: Option<u32>,
    /// Whether there is an alias in their place.
    pub(super) is_alias: bool,
}

/// What came back to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// To [`Question::Addresses`].
    Standing(Standing),
    /// To [`Question::Zone`]: the zone that holds the name.
    Zone(Hostname),
    /// Not the server's own to say: it refused, failed, or only knows who to ask.
    NotHere(Rcode),
}

/// Reads the answer to a question.
///
/// # Errors
/// When it is not the whole answer to this question.
pub(super) fn read_reply(answer: &[u8], id: u16, question: &Question) -> Result<Reply, Unreadable> {
    const BROKEN: Unreadable = "the answer cannot be read";
    let message = Message::from_slice(answer).map_err(|_| "the answer is shorter than a header")?;
    let header = message.header();
    let (owner, asked) = question.asked();
    // A server that refuses may leave the question out.
    let is_other =
        |found: &domain::base::Question<ParsedName<&[u8]>>| found.qtype() != asked || !found.qname().name_eq(&owner);
    if header.id() != id || !header.qr() || message.sole_question().is_ok_and(|found| is_other(&found)) {
        return Err("the answer belongs to another question");
    }
    if header.tc() {
        return Err("the answer was cut short");
    }
    if !header.aa() || !matches!(header.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN) {
        return Ok(Reply::NotHere(header.rcode()));
    }
    match question {
        Question::Addresses(_, family) => {
            let mut standing = Standing::default();
            for record in message.answer().map_err(|_| BROKEN)? {
                let record = record.map_err(|_| BROKEN)?;
                if !record.owner().name_eq(&owner) {
                    continue;
                }
                let address = match (record.rtype(), family) {
                    (Rtype::CNAME, _) => {
                        standing.is_alias = true;
                        continue;
                    }
                    (Rtype::A, Family::V4) => {
                        let data = record.to_record::<A>().map_err(|_| BROKEN)?.ok_or(BROKEN)?;
                        IpAddr::V4(data.data().addr())
                    }
                    (Rtype::AAAA, Family::V6) => {
                        let data = record.to_record::<Aaaa>().map_err(|_| BROKEN)?.ok_or(BROKEN)?;
                        IpAddr::V6(data.data().addr())
                    }
                    _ => continue,
                };
                standing.ttl = Some(record.ttl().as_secs());
                standing.addresses.push(address);
            }
            standing.addresses.sort_unstable();
            standing.addresses.dedup();
            Ok(Reply::Standing(standing))
        }
        Question::Zone(zone) => {
            let sections = [message.answer(), message.authority()];
            for section in sections {
                for record in section.map_err(|_| BROKEN)? {
                    let record = record.map_err(|_| BROKEN)?;
                    if record.rtype() != Rtype::SOA {
                        continue;
                    }
                    let found = Hostname::parse(&record.owner().to_string()).map_err(|_| BROKEN)?;
                    if zone.is_within(&found) {
                        return Ok(Reply::Zone(found));
                    }
                }
            }
            Ok(Reply::NotHere(header.rcode()))
        }
    }
}
