//! RFC 2136: dynamic updates, signed with TSIG (RFC 8945), to one's own name server: BIND, Knot, PowerDNS.
//!
//! No `records` conversation: the protocol itself can say "only if this stands there", so a change needs no look
//! beforehand and still never overwrites what somebody else put there. `plan` says what an update requires and changes,
//! `host` what is believed, `conversation` in which order, `message` and `tsig` how it looks on the wire.
//!
//! Not here: GSS-TSIG (RFC 3645), which Windows DNS asks for, SIG(0), and DNS over TLS or QUIC.

mod conversation;
mod host;
mod message;
mod plan;
mod settings;
mod tsig;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use nicgate_protocol::Hostname;

use self::conversation::Conversation;
use self::settings::Transport;
use super::{BadSetting, Budget, Job, Key, Kind, Provider, ProviderSettings, Talk, Window};

/// Its entry in the list of kinds.
pub const KIND: Kind = Kind {
    word: "rfc2136",
    about: "Your own name server (BIND, Knot, PowerDNS), by dynamic updates with TSIG.",
    keys: KEYS,
    open,
};

/// Hosts in one update. Each needs some 110 octets where both families change, so 64 KiB would hold many more; but the
/// fewer they are, the fewer wait when one of them is refused.
const HOSTS_AT_ONCE: usize = 50;

/// A bound of ours: a name server bears more, and less would slow a restart of many hosts.
const BUDGET: Budget = Budget::of(&[Window::new(100, 1)]);

const SERVER: &str = "server";
const KEY_NAME: &str = "key_name";
const KEY_ALGORITHM: &str = "key_algorithm";
const KEY_SECRET: &str = "key_secret";
const TRANSPORT: &str = "transport";

static KEYS: &[Key] = &[
    Key::text(SERVER, "The primary name server of the zone, as host or host:port; IPv6 in brackets."),
    Key::text(KEY_NAME, "The name of the TSIG key, the same as at the server."),
    Key::text(KEY_ALGORITHM, "Its algorithm: hmac-sha256, unless the server has another one.").optional(),
    Key::secret(KEY_SECRET, "Its secret in base64, or all that tsig-keygen printed."),
    Key::text(TRANSPORT, "udp or tcp, where only one of them gets through; left out, whichever fits.").optional(),
];

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Arc::new(Dynamic(Arc::new(Account::read(settings)?))))
}

/// One server and the key for it.
struct Account {
    /// As `host:port`.
    server: Box<str>,
    transport: Transport,
    key: tsig::Key,
    /// What the operator calls the key, with its algorithm; for the cures.
    key_in_words: String,
}

struct Dynamic(Arc<Account>);

impl Provider for Dynamic {
    fn update(&self, job: &Job) -> Box<dyn Talk + Send> {
        Box::new(Conversation::update(Arc::clone(&self.0), job.clone()))
    }

    fn look(&self, zone: &Hostname, hostname: &Hostname) -> Option<Box<dyn Talk + Send>> {
        Some(Box::new(Conversation::look(Arc::clone(&self.0), zone, hostname)))
    }

    fn hosts_at_once(&self) -> usize {
        match self.0.transport {
            Transport::Either | Transport::Tcp => HOSTS_AT_ONCE,
            // More do not fit into a datagram that gets through everywhere.
            Transport::Udp => 1,
        }
    }

    fn budget(&self) -> Budget {
        BUDGET
    }
}
