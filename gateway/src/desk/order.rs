//! What an operator may order, and what an order gives: also what travels over the control socket.

use serde::{Deserialize, Serialize};

/// What an operator may order. This is also what travels over the control socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// Registers a device.
    DeviceAdd {
        /// Its id.
        id: String,
        /// What it may touch.
        hosts: Vec<String>,
        /// `classic` or `strict`.
        profile: Option<String>,
        /// Credentials may stand in the query.
        query_credentials: bool,
        /// It may speak without TLS.
        allow_plain: bool,
        /// It may delete.
        allow_delete: bool,
        /// Where clients reach the gateway, if not where the configuration says.
        #[serde(default)]
        gateway: Option<String>,
    },
    /// Makes a line that enrolls a client.
    DeviceInvite {
        /// Its id.
        id: String,
        /// Where clients reach the gateway, if not where the configuration says.
        gateway: Option<String>,
        /// For how many seconds; a day without.
        seconds: Option<u64>,
    },
    /// Lists all devices.
    DeviceList,
    /// Shows one device with its secrets.
    DeviceShow {
        /// Its id.
        id: String,
    },
    /// New secrets; the old ones hold for a grace period.
    DeviceRotate {
        /// Its id.
        id: String,
        /// Where clients reach the gateway, if not where the configuration says.
        #[serde(default)]
        gateway: Option<String>,
        /// Without a grace period.
        #[serde(default)]
        at_once: bool,
    },
    /// The secrets hold no more, from now on.
    DeviceRevoke {
        /// Its id.
        id: String,
    },
    /// One page of hosts, sorted.
    HostList {
        /// The last host of the page before.
        after: Option<String>,
    },
    /// Shows one host.
    HostShow {
        /// Its name.
        name: String,
    },
    /// Pins a host to addresses, against all updates.
    HostPin {
        /// Its name.
        name: String,
        /// The addresses, comma-joined.
        addresses: String,
        /// For how many seconds; for ever without.
        seconds: Option<u64>,
    },
    /// Releases a pin.
    HostRelease {
        /// Its name.
        name: String,
    },
    /// Reads the configuration again.
    Reload,
}

/// What an order gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// One device with its secrets.
    Device(DeviceReport),
    /// All devices, without secrets.
    Devices {
        /// Sorted by id.
        devices: Vec<DeviceLine>,
    },
    /// One host.
    Host(HostReport),
    /// One page of hosts.
    Hosts {
        /// Sorted by name.
        hosts: Vec<HostReport>,
        /// There are more.
        has_more: bool,
    },
    /// A line that enrolls a client.
    Invitation(InvitationReport),
    /// Done; a sentence for the operator.
    Done {
        /// The sentence.
        message: String,
    },
    /// Not done; a sentence for the operator.
    Refused {
        /// What happened and what to do.
        message: String,
    },
}

/// A device with its secrets.
#[derive(Clone, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Its id.
    pub id: String,
    /// For Basic.
    pub password: String,
    /// For signatures.
    pub key: String,
    /// What it may touch.
    pub hosts: Vec<String>,
    /// Which secrets these are: 1, and one more with each rotation.
    pub generation: u32,
    /// `file` or `command`.
    pub origin: String,
    /// The line for `nicgate-client init`, when one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enroll: Option<String>,
    /// Until when the line may be used (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enroll_until: Option<String>,
    /// Why no line was made, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enroll_hint: Option<String>,
}

/// The secrets stay out of whatever prints a report while looking for a fault.
impl std::fmt::Debug for DeviceReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceReport").field("id", &self.id).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// A line that enrolls a client, once.
#[derive(Clone, Serialize, Deserialize)]
pub struct InvitationReport {
    /// The device's id.
    pub id: String,
    /// The line for `nicgate-client init`.
    pub enroll: String,
    /// Until when it may be used (RFC 3339).
    pub until: String,
    /// Where the client will ask.
    pub gateway: String,
    /// It carries the certificate of a private authority.
    pub carries_ca: bool,
    /// When and from where the line before was used, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_before: Option<String>,
}

/// The line holds a code.
impl std::fmt::Debug for InvitationReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InvitationReport").field("id", &self.id).field("until", &self.until).finish_non_exhaustive()
    }
}

/// A device without its secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceLine {
    /// Its id.
    pub id: String,
    /// What it may touch.
    pub hosts: Vec<String>,
    /// One more with each rotation.
    pub generation: u32,
    /// `file` or `command`.
    pub origin: String,
    /// The secrets before still hold until then (RFC 3339).
    pub previous_until: Option<String>,
}

/// A host as the operator sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostReport {
    /// Its name.
    pub name: String,
    /// What is wanted, IPv4 first.
    pub desired: Vec<String>,
    /// The device that changed it last; `None`: the operator.
    pub device: Option<String>,
    /// When that was (RFC 3339).
    pub changed: Option<String>,
    /// `pinned`, `cooling down` or nothing.
    pub hold: Option<String>,
    /// What would be published without it.
    pub noted: Vec<String>,
    /// The device that asked for that.
    pub noted_by: Option<String>,
    /// The devices that feed it, the preferred one first; none without fail-over.
    pub devices: Vec<FeedReport>,
    /// What each provider publishes.
    pub providers: Vec<ProviderReport>,
}

/// One of several devices that feed a host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FeedReport {
    /// The device.
    pub device: String,
    /// Its place in the order of preference, from 0; devices outside the list come last.
    pub rank: usize,
    /// What it said last.
    pub addresses: Vec<String>,
    /// It is the one that is published.
    pub is_active: bool,
    /// `living`, `returning`, `silent` or `never heard`.
    pub standing: String,
    /// Its last heartbeat (RFC 3339).
    pub heard: Option<String>,
    /// The same, when it is silent.
    pub silent_since: Option<String>,
}

/// What one provider publishes of a host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProviderReport {
    /// The provider.
    pub name: String,
    /// What it confirmed.
    pub applied: Vec<String>,
    /// `confirmed`, or what is in the way.
    pub status: String,
}
