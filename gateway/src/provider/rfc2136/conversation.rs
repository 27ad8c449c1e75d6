//! In which order a server is asked and told.
//!
//! All hosts of a job go in one update, which the server makes whole or not at all. What it requires says what was
//! believed: that there is nothing yet, or what this gateway wrote last. When the belief was wrong, or one host is
//! refused, the hosts part until the one is found; it is looked at and told again, the others are not kept waiting.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use domain::base::iana::Rcode;
use nicgate_protocol::{AddressSet, Family, Hostname};

use super::Account;
use super::host::{ALIAS, Host, Memory, Side};
use super::message::{self, Edit, Question, Reply};
use super::settings::Transport;
use super::tsig::{Seal, Signed};
use crate::provider::{Call, Class, DnsCall, Heard, HostJob, Job, Moment, Outcome, Sight, Silence, Step, Talk};

/// What a datagram may hold without anything agreed (RFC 1035 4.2.1).
const DATAGRAM: usize = 512;
/// What the answer we wait for is about.
enum Asked {
    Nothing,
    Question { question: Question, host: usize, id: u16 },
    Update { hosts: Vec<usize>, id: u16, request: Signed },
}

/// The message that is out.
struct Out {
    asked: Asked,
    message: Bytes,
    is_tcp: bool,
    /// Whether an earlier copy may have arrived.
    may_have_arrived: bool,
}

pub(super) struct Conversation {
    account: Arc<Account>,
    /// Whether it only reads.
    is_look: bool,
    /// The zone as it is configured.
    configured: Hostname,
    /// The zone at the server: the same, or one above it.
    zone: Hostname,
    /// Whether the server named it, in this conversation.
    is_zone_asked: bool,
    must_ask_zone: bool,
    hosts: Vec<Host>,
    /// Hosts that the key may not change, if it is good at all.
    foreign_hosts: u32,
    /// Hosts that go in one message.
    groups: VecDeque<Vec<usize>>,
    out: Out,
}

impl Talk for Conversation {
    fn next(&mut self, heard: Option<Heard>, moment: Moment) -> Step {
        if let Some(heard) = heard {
            let nothing = Out { asked: Asked::Nothing, message: Bytes::new(), is_tcp: false, may_have_arrived: false };
            let out = mem::replace(&mut self.out, nothing);
            if let Some(step) = self.hear(out, heard, moment) {
                return step;
            }
        }
        self.ask_on(moment)
    }
}

impl Conversation {
    pub(super) fn update(account: Arc<Account>, job: Job) -> Self {
        let mut zone = job.zone.clone();
        let hosts: Vec<Host> = job
            .hosts
            .into_iter()
            .map(|job_of_host| {
                let remembered = job_of_host.before.as_ref().and_then(|before| before.remembered.as_deref());
                let memory = remembered.and_then(|text| Memory::parse(text, &job.zone));
                if let Some(memory) = &memory {
                    zone = memory.zone.clone();
                }
                Host::new(job_of_host, memory.map(|memory| memory.ttls))
            })
            .collect();
        let everybody = (0..hosts.len()).collect();
        Self { groups: VecDeque::from([everybody]), ..Self::new(account, job.zone, zone, hosts) }
    }

    pub(super) fn look(account: Arc<Account>, zone: &Hostname, hostname: &Hostname) -> Self {
        let job = HostJob {
            hostname: hostname.clone(),
            before: None,
            doubted: Vec::new(),
            wanted: AddressSet::EMPTY,
            ttl: None,
        };
        let mut host = Host::new(job, None);
        host.sides = [Side::Unseen, Side::Unseen];
        let conversation = Self::new(account, zone.clone(), zone.clone(), vec![host]);
        Self { is_look: true, must_ask_zone: true, ..conversation }
    }

    fn new(account: Arc<Account>, configured: Hostname, zone: Hostname, hosts: Vec<Host>) -> Self {
        Self {
            account,
            is_look: false,
            configured,
            zone,
            is_zone_asked: false,
            must_ask_zone: false,
            hosts,
            foreign_hosts: 0,
            groups: VecDeque::new(),
            out: Out { asked: Asked::Nothing, message: Bytes::new(), is_tcp: false, may_have_arrived: false },
        }
    }

    /// The next message, or the end.
    fn ask_on(&mut self, moment: Moment) -> Step {
        let is_unseen = |host: &Host| host.outcome.is_none() && host.sides.contains(&Side::Unseen);
        if self.must_ask_zone && self.hosts.iter().any(|host| host.outcome.is_none()) {
            return self.ask(Question::Zone(self.configured.clone()), 0, moment);
        }
        if let Some(at) = self.hosts.iter().position(is_unseen) {
            let host = &self.hosts[at];
            let family = Family::BOTH.into_iter().find(|family| *host.side(*family) == Side::Unseen);
            let family = family.unwrap_or(Family::V4);
            return self.ask(Question::Addresses(host.job.hostname.clone(), family), at, moment);
        }
        while let Some(group) = self.groups.pop_front() {
            let mut edit = Edit::default();
            let mut hosts = Vec::new();
            for at in group {
                let Some(host) = self.hosts.get_mut(at).filter(|host| host.outcome.is_none()) else { continue };
                match host.edit() {
                    Ok(of_host) if of_host.is_empty() => {
                        host.outcome = Some(host.confirmed(&self.zone, &self.configured))
                    }
                    Ok(of_host) => {
                        edit.append(of_host);
                        hosts.push(at);
                    }
                    Err(outcome) => host.outcome = Some(outcome),
                }
            }
            if !hosts.is_empty() {
                return self.tell(&edit, hosts, moment);
            }
        }
        self.end()
    }

    fn ask(&mut self, question: Question, host: usize, moment: Moment) -> Step {
        let id = id(moment);
        match question.compose(id) {
            Ok(message) => self.send(Asked::Question { question, host, id }, message),
            Err(error) => self.all_end(&broken(&error.to_string(), false)),
        }
    }

    fn tell(&mut self, edit: &Edit, hosts: Vec<usize>, moment: Moment) -> Step {
        let id = id(moment);
        let composed = edit.compose(id, &self.zone).map(|message| self.account.key.sign(message, moment.now.seconds()));
        match composed {
            Ok(request) if u16::try_from(request.message.len()).is_ok() => {
                let message = request.message.clone();
                self.send(Asked::Update { hosts, id, request }, message)
            }
            Ok(_) | Err(_) if hosts.len() > 1 => {
                self.part(hosts);
                self.ask_on(moment)
            }
            Ok(_) | Err(_) => {
                let outcome =
                    Outcome::refused(Class::Invalid, "too_long", "the name has more records than fit into a message");
                self.some_end(&hosts, &outcome);
                self.ask_on(moment)
            }
        }
    }

    fn send(&mut self, asked: Asked, message: Vec<u8>) -> Step {
        let is_tcp = match self.account.transport {
            Transport::Either => message.len() > DATAGRAM,
            Transport::Tcp => true,
            Transport::Udp => false,
        };
        self.out = Out { asked, message: message.into(), is_tcp, may_have_arrived: false };
        self.step()
    }

    fn step(&self) -> Step {
        let Out { message, is_tcp, .. } = &self.out;
        Step::Send(Call::Dns(DnsCall {
            server: self.account.server.clone(),
            is_tcp: *is_tcp,
            message: message.clone(),
        }))
    }

    /// Whether asking once more over TCP may help: nobody but the server can answer there.
    fn may_ask_over_tcp(&self, out: &Out) -> bool {
        !out.is_tcp && self.account.transport == Transport::Either
    }

    /// The same message once more.
    fn over_tcp(&mut self, out: Out, may_have_arrived: bool) -> Step {
        let may_have_arrived = out.may_have_arrived || may_have_arrived;
        self.out = Out { is_tcp: true, may_have_arrived, ..out };
        self.step()
    }

    /// Takes up what was heard; gives the next step where it is the same message again, or the end.
    fn hear(&mut self, out: Out, heard: Heard, moment: Moment) -> Option<Step> {
        let answer = match heard {
            Heard::Message(answer) => answer,
            Heard::Silence(Silence { was_sent, .. }) if self.may_ask_over_tcp(&out) => {
                return Some(self.over_tcp(out, was_sent));
            }
            Heard::Silence(Silence { why, was_sent }) => {
                let is_update = matches!(out.asked, Asked::Update { .. });
                let maybe_written = is_update && (was_sent || out.may_have_arrived);
                return Some(self.all_end(&unconfirmed(Class::Down, &why, maybe_written)));
            }
            Heard::Answer(_) => return Some(self.all_end(&broken("an HTTP answer to a DNS message", true))),
        };
        match &out.asked {
            Asked::Nothing => None,
            Asked::Question { question, host, id } => match message::read_reply(&answer, *id, question) {
                Ok(reply) => self.replied(*host, question, reply),
                Err(_) if self.may_ask_over_tcp(&out) => Some(self.over_tcp(out, false)),
                Err(why) => Some(self.all_end(&broken(why, false))),
            },
            Asked::Update { hosts, id, request } => {
                let rcode = message::read_update(&answer, *id);
                match (self.account.key.judge(&answer, request, moment.now.seconds()), rcode) {
                    (Seal::Good, Ok(rcode)) => self.answered(hosts, rcode),
                    (Seal::BadTime { server }, Ok(_)) => Some(self.all_end(&clocks_differ(server, request.time))),
                    // Anybody may have said it. Over TCP it was the server, as far as one can see.
                    _ if self.may_ask_over_tcp(&out) => Some(self.over_tcp(out, true)),
                    (seal, rcode) => self.unsigned(hosts, &seal, rcode),
                }
            }
        }
    }

    fn replied(&mut self, at: usize, question: &Question, reply: Reply) -> Option<Step> {
        match (question, reply) {
            (Question::Addresses(_, family), Reply::Standing(standing)) => {
                self.hosts[at].saw(*family, standing);
                None
            }
            (Question::Zone(_), Reply::Zone(zone)) => {
                (self.zone, self.is_zone_asked, self.must_ask_zone) = (zone, true, false);
                None
            }
            (_, Reply::NotHere(Rcode::SERVFAIL)) => {
                Some(self.all_end(&unconfirmed(Class::Down, "the server failed (SERVFAIL); its log tells why", false)))
            }
            (Question::Addresses(hostname, _), Reply::NotHere(Rcode::REFUSED)) => {
                let text = format!(
                    "the server does not say what stands at {hostname}; let this machine ask it (BIND: allow-query)"
                );
                Some(self.all_end(&Outcome::refused(Class::Denied, "REFUSED", &text)))
            }
            (_, Reply::NotHere(_) | Reply::Standing(_) | Reply::Zone(_)) => Some(self.all_end(&self.no_zone())),
        }
    }

    /// What a signed answer to an update says.
    fn answered(&mut self, hosts: &[usize], rcode: Rcode) -> Option<Step> {
        match rcode {
            Rcode::NOERROR => {
                for at in hosts {
                    let outcome = self.hosts[*at].confirmed(&self.zone, &self.configured);
                    self.hosts[*at].outcome = Some(outcome);
                }
                None
            }
            // What was required does not hold, for one host at least.
            Rcode::NXDOMAIN | Rcode::YXDOMAIN | Rcode::NXRRSET | Rcode::YXRRSET => {
                match hosts {
                    [only] => {
                        self.hosts[*only].be_surprised();
                        self.groups.push_front(vec![*only]);
                    }
                    several => self.part(several.to_vec()),
                }
                None
            }
            rcode => self.refused(hosts, rcode),
        }
    }

    /// What an answer to an update says that nobody signed with our key.
    fn unsigned(&mut self, hosts: &[usize], seal: &Seal, rcode: Result<Rcode, message::Unreadable>) -> Option<Step> {
        let key = &self.account.key_in_words;
        let refused = |code: &str, text: String| Outcome::refused(Class::Auth, code, &text);
        let outcome = match (seal, rcode) {
            (_, Err(why)) => broken(why, true),
            // Knot says so, too, of a key that may not change this name.
            (Seal::NotAccepted { code: "BADKEY" }, _) if hosts.len() > 1 => {
                self.part(hosts.to_vec());
                return None;
            }
            (Seal::NotAccepted { code: code @ "BADKEY" }, _) => {
                let text = format!(
                    "the server has no key {key}, or (Knot) none that may change this name; compare key_name and \
                     key_algorithm with the key at the server"
                );
                let is_key_good = self.hosts.iter().any(|host| matches!(host.outcome, Some(Outcome::Confirmed { .. })));
                let may_be_good = self.foreign_hosts == 0;
                self.foreign_hosts += 1;
                if is_key_good || may_be_good && self.hosts.len() > 1 {
                    self.some_end(hosts, &Outcome::refused(Class::Denied, code, &text));
                    return None;
                }
                refused(code, text)
            }
            (Seal::NotAccepted { code: code @ "BADSIG" }, _) => {
                refused(code, format!("the secret of the key {key} is not the server's; compare key_secret"))
            }
            (Seal::NotAccepted { code }, _) => refused(code, format!("the server does not accept the key {key}")),
            (Seal::Missing, Ok(Rcode::NOERROR)) => {
                let why = "the server says yes without signing it, as one does that knows no TSIG; whether it is so \
                           nobody knows";
                broken(why, true)
            }
            (Seal::Missing, Ok(rcode)) => return self.refused(hosts, rcode),
            (Seal::Broken | Seal::Good | Seal::BadTime { .. }, Ok(_)) => {
                broken("the signature of the answer does not hold; is something between here and the server?", true)
            }
        };
        Some(self.all_end(&outcome))
    }

    /// What an answer says that is no success.
    fn refused(&mut self, hosts: &[usize], rcode: Rcode) -> Option<Step> {
        let code = rcode.to_string();
        let key = &self.account.key_in_words;
        let (class, text) = match rcode {
            // The zone may lie above the configured one, or the remembered one be gone.
            Rcode::NOTAUTH | Rcode::NOTZONE if !self.is_zone_asked => {
                self.must_ask_zone = true;
                self.groups.push_front(hosts.to_vec());
                return None;
            }
            Rcode::NOTAUTH => return Some(self.all_end(&self.no_zone())),
            Rcode::SERVFAIL => {
                let why = "the server failed (SERVFAIL): its journal, its disk, or a frozen zone; its log tells";
                return Some(self.all_end(&unconfirmed(Class::Down, why, true)));
            }
            Rcode::REFUSED => (
                Class::Denied,
                format!(
                    "the key {key} may not change this, or (PowerDNS) is not the server's; grant it A and AAAA of the name \
                     (BIND: update-policy; Knot: acl; PowerDNS: TSIG-ALLOW-DNSUPDATE, dnsupdate, allow-dnsupdate-from)"
                ),
            ),
            Rcode::NOTZONE => (Class::Invalid, format!("the name is not in the server's zone {}", self.zone)),
            Rcode::FORMERR => (Class::Invalid, "the server does not understand the update".to_owned()),
            Rcode::NOTIMP => {
                (Class::Invalid, "the server takes no dynamic updates; switch them on, or use another".to_owned())
            }
            _ => return Some(self.all_end(&broken(&format!("the server answers {code}"), true))),
        };
        // One host may be refused where the others are not.
        match hosts {
            [_, _, ..] => self.part(hosts.to_vec()),
            one => self.some_end(one, &Outcome::refused(class, &code, &text)),
        }
        None
    }

    fn no_zone(&self) -> Outcome {
        let text = format!(
            "the server {} does not hold the zone {}; check server (the primary, not a resolver) and the zone's name",
            self.account.server, self.configured
        );
        Outcome::refused(Class::NoZone, "NOTAUTH", &text)
    }

    /// Two messages instead of one.
    fn part(&mut self, mut hosts: Vec<usize>) {
        let second = hosts.split_off(hosts.len() / 2);
        self.groups.push_front(second);
        self.groups.push_front(hosts);
    }

    fn some_end(&mut self, hosts: &[usize], outcome: &Outcome) {
        for at in hosts {
            self.hosts[*at].outcome = Some(outcome.clone());
        }
    }

    /// No host gets any further.
    fn all_end(&mut self, outcome: &Outcome) -> Step {
        for host in self.hosts.iter_mut().filter(|host| host.outcome.is_none()) {
            host.outcome = Some(outcome.clone());
        }
        self.end()
    }

    fn end(&mut self) -> Step {
        if self.is_look
            && let [Host { outcome: None, sides, .. }] = self.hosts.as_slice()
        {
            let mut sight = Sight { zone: self.zone.to_string(), ..Sight::default() };
            for side in sides {
                let Side::Believed(standing) = side else { continue };
                sight.addresses.extend(&standing.addresses);
                if standing.is_alias && sight.obstacles.is_empty() {
                    sight.obstacles.push(ALIAS.to_owned());
                }
            }
            return Step::Seen(sight);
        }
        let unknown = || broken("the conversation ended without an outcome", true);
        Step::Done(self.hosts.iter_mut().map(|host| host.outcome.take().unwrap_or_else(unknown)).collect())
    }
}

/// A message's id: chance, so that nobody guesses it (RFC 5452 4.3).
fn id(moment: Moment) -> u16 {
    let [high, low, ..] = moment.dice.to_be_bytes();
    u16::from_be_bytes([high, low])
}

fn clocks_differ(server: u64, ours: u64) -> Outcome {
    let side = if server > ours { "ahead of" } else { "behind" };
    let text = format!(
        "the server's clock is {} seconds {side} this machine's, and signatures allow 300; let both be set by NTP",
        server.abs_diff(ours)
    );
    Outcome::refused(Class::Auth, "BADTIME", &text)
}

fn unconfirmed(class: Class, why: &str, maybe_written: bool) -> Outcome {
    Outcome::Unconfirmed { class, why: why.into(), retry_after: None, maybe_written }
}

fn broken(why: &str, maybe_written: bool) -> Outcome {
    unconfirmed(Class::Bug, why, maybe_written)
}
