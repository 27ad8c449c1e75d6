//! Providers: what each kind is called, which settings it takes, and how a change is told to it.
//!
//! A provider file is a conversation, not a client: what to send next, and what the answer meant. It touches no
//! network, no clock and no dice; [`send`] alone talks. So a provider is tested by a table of answers and cannot
//! forget a timeout. What it may remember for the next change (zone and record ids) comes back with the outcome.
//!
//! Most APIs know zones and records. They share one conversation, `records.rs`: what to look at before writing, what
//! may be changed, what a lost answer means. Their files only say how to ask and how to read the answers. So it is with
//! services that can be told and not be asked (`service.rs`), and with vendors that keep a zone's own address apart
//! (`apex.rs`). RFC 2136 has a conversation of its own, because its messages have conditions.
//!
//! A new provider is one file here and one word in the `providers!` list.

use std::fmt;
use std::sync::Arc;

use nicgate_protocol::Hostname;

pub use nicgate_logic::budget::{Budget, Window};
pub use nicgate_logic::reconcile::Class;

pub(crate) use self::encode::is_same_name;
pub use self::settings::{BadSetting, COMMON_KEYS, Drift, Key, ProviderSettings, Setting, Shape};
pub(crate) use self::settings::{base_url, base_url_before};
pub use self::talk::{
    Answer, Call, DnsCall, Heard, HostJob, HttpCall, Job, Moment, Outcome, Sight, Silence, Step, Talk,
};

mod apex;
mod encode;
#[cfg(test)]
mod nonsense;
#[cfg(test)]
mod play;
mod records;
pub mod send;
mod service;
mod settings;
mod sign;
mod talk;
mod trouble;

/// Writes both the modules and the list of kinds. `cargo fmt` does not enter modules named in a macro: a format check
/// names `gateway/src/provider/*.rs` by hand.
macro_rules! providers {
    ($($name:ident),+ $(,)?) => {
        $(pub mod $name;)+

        /// Every kind of provider, sorted by its word.
        pub static KINDS: &[Kind] = &[$($name::KIND),+];
    };
}

providers! {
    alidns,
    baidu,
    bunny,
    cloudflare,
    desec,
    digitalocean,
    dnspod,
    duckdns,
    dyndns2,
    dynu,
    dynv6,
    embedded,
    gandi,
    gcore,
    godaddy,
    hetzner,
    huaweicloud,
    inwx,
    ionos,
    linode,
    namecheap,
    namecom,
    namesilo,
    netcup,
    noip,
    ovh,
    porkbun,
    powerdns,
    rfc2136,
    route53,
    scaleway,
    spaceship,
    vercel,
    volcengine,
    vultr,
    webhook,
}

/// The kind with this word after `type =`.
#[must_use]
pub fn kind(word: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.word == word)
}

/// One kind of provider. Each provider's file has one as `KIND`.
#[derive(Clone, Copy)]
pub struct Kind {
    /// What stands after `type =`.
    pub word: &'static str,
    /// A sentence for the operator.
    pub about: &'static str,
    /// The keys of its own.
    pub keys: &'static [Key],
    /// Makes a provider of this kind. Talks to nobody. The error is the first setting that cannot be used, and what
    /// would be right.
    pub open: fn(&ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting>,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word)
    }
}

/// One configured provider.
pub trait Provider: Send + Sync {
    /// Starts the conversation that makes the hosts of a job so.
    fn update(&self, job: &Job) -> Box<dyn Talk + Send>;

    /// Starts a conversation that only reads what stands for a host; it ends with [`Step::Seen`], or with one outcome.
    /// `None`: the API cannot be read.
    fn look(&self, _zone: &Hostname, _hostname: &Hostname) -> Option<Box<dyn Talk + Send>> {
        None
    }

    /// How many hosts of one zone a job may have: more than one where the API changes them in one call.
    fn hosts_at_once(&self) -> usize {
        1
    }

    /// How many calls the vendor allows.
    fn budget(&self) -> Budget;

    /// Whether this is our own name server, which follows the store by itself and is never pushed to.
    fn is_embedded(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_their_word_and_explain_themselves() {
        let words: Vec<&str> = KINDS.iter().map(|kind| kind.word).collect();
        let mut sorted = words.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(words, sorted);
        for kind in KINDS {
            assert_eq!(super::kind(kind.word).map(|kind| kind.word), Some(kind.word));
            assert!(kind.about.ends_with('.'), "{}", kind.word);
            for key in kind.keys {
                assert!(key.about.ends_with('.'), "{} {}", kind.word, key.name);
                assert!(!COMMON_KEYS.contains(&key.name), "every kind takes {}", key.name);
            }
        }
        assert!(super::kind("no-such-thing").is_none());
    }
}
