//! The conversation that services with update URLs have in common: they are told, and cannot be asked what stands.
//!
//! A service's file says how it is told and what its answers mean ([`Service`]); here stands what to tell it:
//!
//! - what was confirmed is not told again; in doubt, all of it is;
//! - what a service cannot do (an address of that family, a removal) is refused in words, after the rest was told;
//! - several hosts go in one message only where they get the same. When that is refused, each is told alone: one wrong
//!   name must not hold up the others.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use nicgate_protocol::{AddressSet, Family, Hostname};

use super::trouble::{Meaning, Trouble};
use super::{Answer, Budget, Call, Class, Heard, HostJob, HttpCall, Job, Moment, Outcome, Provider, Step, Talk};

/// How one service is told.
pub(crate) trait Service: Send + Sync {
    /// How many calls the vendor allows.
    fn budget(&self) -> Budget;

    /// What the operator can do about a refusal, beginning with "; ".
    fn cure(&self, class: Class) -> &'static str;

    /// What one message tells.
    fn way(&self) -> Way;

    /// The TTL that the service publishes with, in seconds, as far as anybody knows.
    fn ttl(&self, asked: Option<u32>) -> u32;

    /// How many hosts of a zone fit into one message.
    fn hosts_at_once(&self) -> usize {
        1
    }

    /// Why the service takes no address of a family.
    fn lacks(&self, _family: Family) -> Option<&'static str> {
        None
    }

    /// What can be taken away.
    fn removal(&self) -> Removal {
        Removal::default()
    }

    /// The call.
    ///
    /// # Errors
    /// When the service cannot be told this at all.
    fn call(&self, message: &Message, moment: Moment) -> Result<HttpCall, Trouble>;

    /// Whether the answer says that it is so now.
    ///
    /// # Errors
    /// When it does not.
    fn heard(&self, message: &Message, answer: &Answer) -> Result<(), Trouble>;
}

/// What one message tells of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The addresses that changed.
    Changed,
    /// One address.
    Separate,
    /// All of its addresses.
    Whole,
}

/// What can be taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removal {
    /// One family of a host that keeps the other.
    pub(crate) family: bool,
    /// All addresses of a host.
    pub(crate) host: bool,
}

/// What is told in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The zone of the hosts.
    pub(crate) zone: Hostname,
    /// The hosts: one, unless [`Service::hosts_at_once`] says otherwise.
    pub(crate) hosts: Vec<Hostname>,
    /// What to publish.
    pub(crate) addresses: AddressSet,
    /// What shall stand there afterwards: besides `addresses` what did not change.
    pub(crate) all: AddressSet,
    /// What to take away, and what was published there last.
    pub(crate) removed: Vec<(Family, Option<IpAddr>)>,
    /// The TTL asked for, in seconds.
    pub(crate) ttl: Option<u32>,
    /// Whether the service took all of these hosts before.
    pub(crate) is_known: bool,
}

impl Message {
    /// The only host of a service that takes one at a time.
    pub(crate) fn host(&self) -> &Hostname {
        // The conversation makes no message without hosts.
        self.hosts.first().unwrap_or(&self.zone)
    }
}

/// A provider that is such a service.
pub(crate) struct Told(Arc<dyn Service>);

impl Told {
    /// Of a service.
    pub(crate) fn provider(service: impl Service + 'static) -> Arc<dyn Provider> {
        Arc::new(Self(Arc::new(service)))
    }
}

impl Provider for Told {
    fn update(&self, job: &Job) -> Box<dyn Talk + Send> {
        Box::new(Conversation::new(Arc::clone(&self.0), job))
    }

    fn hosts_at_once(&self) -> usize {
        self.0.hosts_at_once()
    }

    fn budget(&self) -> Budget {
        self.0.budget()
    }
}

struct Host {
    /// What the service cannot do for it.
    unable: Vec<String>,
    is_told: bool,
    ttl: u32,
    outcome: Option<Outcome>,
}

struct Conversation {
    service: Arc<dyn Service>,
    hosts: Vec<Host>,
    /// What is still to be told, and to which hosts it belongs.
    queue: VecDeque<(Vec<usize>, Message)>,
}

impl Talk for Conversation {
    fn next(&mut self, heard: Option<Heard>, moment: Moment) -> Step {
        if let Some(heard) = heard {
            self.hear(heard, moment);
        }
        while let Some((hosts, message)) = self.queue.front() {
            match self.service.call(message, moment) {
                Ok(call) => return Step::Send(Call::Http(call)),
                Err(trouble) => {
                    let hosts = hosts.clone();
                    self.queue.pop_front();
                    self.end(&hosts, &trouble, false);
                }
            }
        }
        Step::Done(self.hosts.iter_mut().map(outcome).collect())
    }
}

impl Conversation {
    fn new(service: Arc<dyn Service>, job: &Job) -> Self {
        let mut conversation = Self { hosts: Vec::new(), queue: VecDeque::new(), service };
        for (index, host) in job.hosts.iter().enumerate() {
            let mut unable = Vec::new();
            for message in messages(&*conversation.service, &job.zone, host, &mut unable) {
                conversation.add(index, message);
            }
            let ttl = if host.wanted.is_empty() { 0 } else { conversation.service.ttl(host.ttl) };
            conversation.hosts.push(Host { unable, is_told: false, ttl, outcome: None });
        }
        conversation
    }

    /// Puts a message into the queue, together with one that tells the same of other hosts.
    fn add(&mut self, index: usize, message: Message) {
        let most = self.service.hosts_at_once();
        let is_same = |other: &Message| {
            let known =
                |message: &Message| (message.addresses, message.removed.is_empty(), message.ttl, message.is_known);
            other.hosts.len() < most && known(other) == known(&message)
        };
        match self.queue.iter_mut().find(|(_, other)| is_same(other)) {
            Some((hosts, other)) => {
                hosts.push(index);
                other.hosts.extend(message.hosts);
            }
            None => self.queue.push_back((vec![index], message)),
        }
    }

    fn hear(&mut self, heard: Heard, moment: Moment) {
        let Some((hosts, message)) = self.queue.pop_front() else { return };
        let trouble = match heard {
            Heard::Answer(answer) => match self.service.heard(&message, &answer) {
                Ok(()) => {
                    for host in &hosts {
                        self.hosts[*host].is_told = true;
                    }
                    return;
                }
                Err(trouble) => trouble.patient(answer.retry_after(moment.now)),
            },
            Heard::Silence(silence) => {
                let mut trouble = Trouble::of(Class::Down, "silence", &silence.why);
                trouble.maybe_written = silence.was_sent;
                trouble
            }
            Heard::Message(_) => Trouble::unknown("a DNS message instead of HTTP"),
        };
        let is_of_one = matches!(class_of(&trouble), Class::Denied | Class::Invalid | Class::NoZone | Class::Quota);
        if is_of_one && hosts.len() > 1 {
            for (index, hostname) in hosts.iter().zip(&message.hosts).rev() {
                let alone = Message { hosts: vec![hostname.clone()], ..message.clone() };
                self.queue.push_front((vec![*index], alone));
            }
            return;
        }
        self.end(&hosts, &trouble, true);
        if !is_of_one {
            // It is about the service or the credential: the others would hear the same.
            let others: Vec<usize> = (0..self.hosts.len()).filter(|index| self.is_due(*index)).collect();
            self.end(&others, &trouble, false);
        }
    }

    fn is_due(&self, index: usize) -> bool {
        self.queue.iter().any(|(hosts, _)| hosts.contains(&index))
    }

    /// Ends the conversation for some hosts.
    fn end(&mut self, hosts: &[usize], trouble: &Trouble, is_write: bool) {
        let class = class_of(trouble);
        for index in hosts {
            let host = &mut self.hosts[*index];
            host.outcome = Some(trouble.outcome(class, is_write, host.is_told, self.service.cure(class)));
        }
        for (told, message) in &mut self.queue {
            let stays: Vec<bool> = told.iter().map(|index| !hosts.contains(index)).collect();
            let mut kept = stays.iter();
            told.retain(|_| *kept.next().unwrap_or(&true));
            let mut kept = stays.iter();
            message.hosts.retain(|_| *kept.next().unwrap_or(&true));
        }
        self.queue.retain(|(told, _)| !told.is_empty());
    }
}

fn class_of(trouble: &Trouble) -> Class {
    match trouble.meaning {
        Meaning::Plain(class) => class,
        Meaning::Forbidden => Class::Denied,
        Meaning::NoRecord | Meaning::NoZone => Class::NoZone,
        Meaning::Exists | Meaning::LowTtl => Class::Invalid,
    }
}

fn outcome(host: &mut Host) -> Outcome {
    if let Some(outcome) = host.outcome.take() {
        return outcome;
    }
    if host.unable.is_empty() {
        return Outcome::Confirmed { remembered: None, ttl: host.ttl };
    }
    let text = host.unable.join("; ");
    Outcome::Refused { class: Class::Invalid, code: "cannot".into(), text: text.into(), maybe_written: host.is_told }
}

/// What to tell of one host.
fn messages(service: &dyn Service, zone: &Hostname, host: &HostJob, unable: &mut Vec<String>) -> Vec<Message> {
    let (before, is_doubted) = (host.written(), !host.doubted.is_empty());
    let (mut all, mut changed, mut removed) = (AddressSet::EMPTY, AddressSet::EMPTY, Vec::new());
    for family in Family::BOTH {
        match (host.wanted.of(family), before.of(family)) {
            (Some(new), old) => {
                let is_news = is_doubted || old != Some(new);
                match service.lacks(family) {
                    Some(why) => unable.extend(is_news.then(|| why.to_owned())),
                    None => {
                        set(&mut all, new);
                        if is_news {
                            set(&mut changed, new);
                        }
                    }
                }
            }
            (None, old) if host.concerns(family) && service.lacks(family).is_none() => removed.push((family, old)),
            (None, _) => {}
        }
    }
    let can_remove = if host.wanted.is_empty() { service.removal().host } else { service.removal().family };
    if !removed.is_empty() && !can_remove {
        unable.push(match host.wanted.is_empty() {
            true => "the service has no way to take a host offline; do it there, by hand".to_owned(),
            false => "the service cannot take away one address and leave the other; do it there, by hand".to_owned(),
        });
        removed.clear();
    }
    let message = |addresses: AddressSet, removed: Vec<(Family, Option<IpAddr>)>| Message {
        zone: zone.clone(),
        hosts: vec![host.hostname.clone()],
        addresses,
        all,
        removed,
        ttl: host.ttl,
        is_known: host.before.is_some(),
    };
    let mut messages = Vec::new();
    match service.way() {
        Way::Separate => {
            messages.extend(changed.iter().map(|address| message(address.into(), Vec::new())));
            messages.extend(removed.into_iter().map(|gone| message(AddressSet::EMPTY, vec![gone])));
        }
        Way::Changed if !changed.is_empty() || !removed.is_empty() => messages.push(message(changed, removed)),
        Way::Whole if !changed.is_empty() || !removed.is_empty() => messages.push(message(all, removed)),
        Way::Changed | Way::Whole => {}
    }
    messages
}

fn set(addresses: &mut AddressSet, one: IpAddr) {
    match one {
        IpAddr::V4(v4) => addresses.v4 = Some(v4),
        IpAddr::V6(v6) => addresses.v6 = Some(v6),
    }
}

#[cfg(test)]
mod tests;
