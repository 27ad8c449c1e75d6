//! From the octets of a query to the octets of a reply (RFC 1035 4.1, EDNS by RFC 6891). Pure: no socket, no
//! clock, and no allocation.

use std::net::IpAddr;

use domain::base::header::Header;
use domain::base::iana::{Class, Opcode, OptRcode, Rcode, Rtype};
use domain::base::message_builder::{AdditionalBuilder, AnswerBuilder, StaticCompressor};
use domain::base::name::{Name, ParsedName};
use domain::base::opt::{Opt, OptRecord};
use domain::base::wire::Composer;
use domain::base::{Message, MessageBuilder, ParsedRecord, Question, Ttl};
use domain::dep::octseq::{OctetsBuilder, ShortBuf, Truncate};
use domain::rdata::{A, Aaaa, Ns};

use super::Zones;
use super::lookup::{Content, Found};
use super::name::WireName;

/// The largest reply over UDP to a query without EDNS (RFC 1035 4.2.1).
const PLAIN_PAYLOAD: u16 = 512;
/// What we send and take over UDP at the most: no fragments on any usual path (RFC 9715).
pub(super) const PAYLOAD: u16 = 1232;
/// The largest reply of all: a question of the longest name, thirteen name servers of the longest names, and EDNS.
const CAPACITY: usize = 4096;
/// An OPT record without options (RFC 6891 6.1.2).
const OPT_LENGTH: usize = 11;

/// How a query came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram; the reply has to fit into one.
    Udp,
    /// In a stream.
    Tcp,
}

/// Room for one reply, to be used again and again.
pub struct ReplyBuffer {
    /// Two octets for the length that goes ahead in a stream, then the message.
    framed: Box<[u8; CAPACITY + 2]>,
    /// Of the message.
    length: usize,
}

impl ReplyBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self { framed: Box::new([0; CAPACITY + 2]), length: 0 }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.framed[2..2 + self.length]
    }

    /// The message with its length in front, as it goes into a stream (RFC 1035 4.2.2).
    #[must_use]
    pub fn framed(&mut self) -> &[u8] {
        let length = self.length as u16;
        self.framed[..2].copy_from_slice(&length.to_be_bytes());
        &self.framed[..2 + self.length]
    }
}

impl Default for ReplyBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl AsRef<[u8]> for ReplyBuffer {
    fn as_ref(&self) -> &[u8] {
        self.message()
    }
}

impl AsMut<[u8]> for ReplyBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.framed[2..2 + self.length]
    }
}

impl OctetsBuilder for ReplyBuffer {
    type AppendError = ShortBuf;

    fn append_slice(&mut self, slice: &[u8]) -> Result<(), ShortBuf> {
        let start = 2 + self.length;
        self.framed.get_mut(start..start + slice.len()).ok_or(ShortBuf)?.copy_from_slice(slice);
        self.length += slice.len();
        Ok(())
    }
}

impl Truncate for ReplyBuffer {
    fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl Composer for ReplyBuffer {}

/// See `Zones::answer`.
pub(super) fn answer(zones: &Zones, query: &[u8], transport: Transport, reply: &mut ReplyBuffer) -> bool {
    let Ok(message) = Message::from_slice(query) else {
        return false;
    };
    if message.header().qr() {
        return false;
    }
    let composed = match Query::read(message) {
        Ok(query) => query.answer(zones, transport, reply),
        Err(rcode) => compose_bare(message.header(), rcode, reply),
    };
    composed.is_ok()
}

/// The header alone, for what could not be read.
fn compose_bare(asked: Header, rcode: Rcode, reply: &mut ReplyBuffer) -> Result<(), ShortBuf> {
    let mut builder = MessageBuilder::from_target(reply)?;
    *builder.header_mut() = answered(asked, rcode);
    Ok(())
}

/// The header of a reply: id, opcode and RD of the query, QR set, all else clear.
fn answered(asked: Header, rcode: Rcode) -> Header {
    let mut header = Header::new();
    header.set_id(asked.id());
    header.set_qr(true);
    header.set_opcode(asked.opcode());
    header.set_rd(asked.rd());
    header.set_rcode(rcode);
    header
}

/// What we make out of a query.
struct Query<'a> {
    header: Header,
    question: Question<ParsedName<&'a [u8]>>,
    name: WireName,
    edns: Option<Edns>,
}

struct Edns {
    payload: u16,
    version: u8,
    dnssec_ok: bool,
}

impl<'a> Query<'a> {
    /// Reads a query, or says with what it is turned away.
    fn read(message: &'a Message<[u8]>) -> Result<Self, Rcode> {
        let header = message.header();
        if header.opcode() != Opcode::QUERY {
            return Err(Rcode::NOTIMP);
        }
        let question = message.sole_question().map_err(|_| Rcode::FORMERR)?;
        let labels = question.qname().iter().map(|label| label.as_slice()).filter(|label| !label.is_empty());
        let name = WireName::from_labels(labels).ok_or(Rcode::FORMERR)?;
        Ok(Self { header, edns: Edns::read(message, question.qtype())?, name, question })
    }

    /// With what a well-formed query is turned away before any zone is asked.
    fn refusal(&self) -> Option<OptRcode> {
        if self.edns.as_ref().is_some_and(|edns| edns.version > 0) {
            return Some(OptRcode::BADVERS);
        }
        if self.question.qclass() != Class::IN {
            return Some(OptRcode::REFUSED);
        }
        match self.question.qtype() {
            Rtype::ANY => None,
            Rtype::AXFR | Rtype::IXFR | Rtype::MAILA | Rtype::MAILB => Some(OptRcode::REFUSED),
            // The rest of what can stand in no zone (RFC 6895 3.1).
            rtype if rtype == Rtype::OPT || (128..=255).contains(&rtype.to_int()) => Some(OptRcode::FORMERR),
            _ => None,
        }
    }

    fn answer(&self, zones: &Zones, transport: Transport, reply: &mut ReplyBuffer) -> Result<(), ShortBuf> {
        let limit = match (transport, &self.edns) {
            (Transport::Tcp, _) => CAPACITY,
            (Transport::Udp, None) => usize::from(PLAIN_PAYLOAD),
            (Transport::Udp, Some(edns)) => usize::from(edns.payload.clamp(PLAIN_PAYLOAD, PAYLOAD)),
        };
        if let Some(rcode) = self.refusal() {
            return self.compose(rcode, None, limit, reply);
        }
        let content = zones.read();
        let found = content.find(&self.name, self.question.qtype());
        let rcode = match &found {
            Found::Address(..) | Found::Nameservers(_) | Found::Soa(_) | Found::NoData(_) => OptRcode::NOERROR,
            Found::NoName(_) => OptRcode::NXDOMAIN,
            Found::NotOurs => OptRcode::REFUSED,
        };
        self.compose(rcode, Some((&content, found)), limit, reply)
    }

    /// Writes the reply; what does not fit below `limit` is left out, and TC says so.
    fn compose(
        &self,
        rcode: OptRcode,
        found: Option<(&Content, Found<'_>)>,
        limit: usize,
        reply: &mut ReplyBuffer,
    ) -> Result<(), ShortBuf> {
        let mut builder = MessageBuilder::from_target(StaticCompressor::new(reply))?;
        // A push fails from its limit on, not beyond it.
        builder.set_push_limit(limit + 1 - self.edns.as_ref().map_or(0, |_| OPT_LENGTH));
        *builder.header_mut() = answered(self.header, rcode.rcode());
        let mut question = builder.question();
        question.push(self.question).map_err(|_| ShortBuf)?;
        let mut answer = question.answer();
        let mut additional = match found {
            None | Some((_, Found::NotOurs)) => answer.additional(),
            Some((_, Found::Address(address, ttl))) => {
                answer.header_mut().set_aa(true);
                let owner = self.question.qname();
                let pushed = match address {
                    IpAddr::V4(v4) => answer.push((owner, ttl, A::from(v4))),
                    IpAddr::V6(v6) => answer.push((owner, ttl, Aaaa::from(v6))),
                };
                or_truncated(answer, pushed.is_ok())
            }
            Some((_, Found::Soa(zone))) => {
                answer.header_mut().set_aa(true);
                let pushed = answer.push((&zone.name, zone.ttl, zone.soa()));
                or_truncated(answer, pushed.is_ok())
            }
            Some((content, Found::Nameservers(zone))) => {
                answer.header_mut().set_aa(true);
                let mut names = zone.nameservers.iter().map(|name| Ns::new(name.for_slice()));
                let whole = names.all(|name| answer.push((&zone.name, zone.ttl, name)).is_ok());
                let mut additional = or_truncated(answer, whole);
                if whole {
                    push_addresses(&mut additional, content, &zone.nameservers);
                }
                additional
            }
            Some((_, Found::NoData(zone) | Found::NoName(zone))) => {
                answer.header_mut().set_aa(true);
                let mut authority = answer.authority();
                let pushed = authority.push((&zone.name, zone.negative_ttl(), zone.soa()));
                if pushed.is_ok() { authority.additional() } else { or_truncated(authority.answer(), false) }
            }
        };
        if let Some(edns) = &self.edns {
            additional.set_push_limit(limit + 1);
            let opt = additional.opt(|opt| {
                opt.set_udp_payload_size(PAYLOAD);
                opt.set_rcode(rcode);
                opt.set_dnssec_ok(edns.dnssec_ok);
                Ok(())
            });
            opt.map_err(|_| ShortBuf)?;
        }
        Ok(())
    }
}

/// On to the additional section; with everything taken back and TC set when not all of it did fit.
fn or_truncated<T: Composer>(answer: AnswerBuilder<T>, whole: bool) -> AdditionalBuilder<T> {
    if whole { answer.additional() } else { answer.tc_rewind_into().additional() }
}

/// The addresses of name servers that we know, as many as fit: a resolver can ask for the others.
fn push_addresses<T: Composer>(additional: &mut AdditionalBuilder<T>, content: &Content, names: &[Name<Vec<u8>>]) {
    for name in names {
        let key = name.as_slice().split_last().map_or(&[][..], |(_root, key)| key);
        let Some(record) = content.at(key) else { continue };
        let ttl = Ttl::from_secs(record.ttl);
        let v4 = record.addresses.v4.map(|v4| additional.push((name, ttl, A::from(v4))));
        let v6 = record.addresses.v6.map(|v6| additional.push((name, ttl, Aaaa::from(v6))));
        if [v4, v6].into_iter().flatten().any(|pushed| pushed.is_err()) {
            return;
        }
    }
}

impl Edns {
    /// Reads the OPT record if there is one. Of other records a query has none, save a signature we do not ask
    /// for, and IXFR the serial it starts from.
    fn read(message: &Message<[u8]>, qtype: Rtype) -> Result<Option<Self>, Rcode> {
        let counts = message.header_counts();
        let in_authority = if qtype == Rtype::IXFR { 1 } else { 0 };
        if counts.ancount() > 0 || counts.nscount() > in_authority || counts.arcount() > 2 {
            return Err(Rcode::FORMERR);
        }
        if counts.arcount() == 0 {
            return Ok(None);
        }
        let mut edns = None;
        for record in message.additional().map_err(|_| Rcode::FORMERR)? {
            let record: ParsedRecord<'_, [u8]> = record.map_err(|_| Rcode::FORMERR)?;
            if record.rtype() != Rtype::OPT {
                continue;
            }
            // Only one, and only under the root's name (RFC 6891 6.1.1, 6.1.2).
            if edns.is_some() || !record.owner().is_root() {
                return Err(Rcode::FORMERR);
            }
            let record = record.into_record::<Opt<_>>().ok().flatten().ok_or(Rcode::FORMERR)?;
            let opt = OptRecord::from_record(record);
            edns = Some(Self { payload: opt.udp_payload_size(), version: opt.version(), dnssec_ok: opt.dnssec_ok() });
        }
        Ok(edns)
    }
}

#[cfg(test)]
mod tests;
