//! What is known of vendors that speak dyndns2: where, how they take IPv6, and what else they want.
//!
//! Facts are those of the vendors' pages where they have some, else what clients with many users send (ddclient,
//! inadyn, ddns-updater). Where it is not known how a vendor takes IPv6, the preset takes none; `ip6` overrides that.

use std::borrow::Cow;

/// How one vendor is told.
#[derive(Clone, Debug)]
pub(super) struct Preset {
    pub(super) word: &'static str,
    /// Empty: there is none, the operator must name one.
    pub(super) endpoint: &'static str,
    pub(super) path: Cow<'static, str>,
    pub(super) hostname_parameter: Cow<'static, str>,
    pub(super) ip_parameter: Cow<'static, str>,
    pub(super) ip6: Ip6,
    pub(super) credentials: Credentials,
    /// Parameters that the vendor insists on.
    pub(super) extra: &'static [(&'static str, &'static str)],
    /// What to send for a family that is none of our business, where leaving it out means something else.
    pub(super) absent: Option<&'static str>,
    /// What to send for a family that is to go, where the vendor has a word for it.
    pub(super) removed: Option<&'static str>,
}

/// How IPv6 addresses go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ip6 {
    /// In the parameter of IPv4, after it and a comma.
    Comma,
    /// Not at all.
    None,
    /// In a parameter of their own.
    Parameter(&'static str),
    /// In the parameter of IPv4, in a request of their own.
    Separate,
}

impl Ip6 {
    /// As it is written in the configuration.
    pub(super) const WORDS: [&'static str; 7] = ["comma", "separate", "none", "myipv6", "myip6", "ipv6", "ip6"];

    pub(super) fn parse(word: &str) -> Option<Self> {
        match Self::WORDS.into_iter().find(|known| *known == word)? {
            "comma" => Some(Self::Comma),
            "separate" => Some(Self::Separate),
            "none" => Some(Self::None),
            parameter => Some(Self::Parameter(parameter)),
        }
    }
}

/// Where user and password go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    Basic,
    /// Into the query, under these names.
    Query(&'static str, &'static str),
}

impl Preset {
    /// Dyn's own form, as most servers take it.
    pub(super) const PLAIN: Self = Self {
        word: "",
        endpoint: "",
        path: Cow::Borrowed("/nic/update"),
        hostname_parameter: Cow::Borrowed("hostname"),
        ip_parameter: Cow::Borrowed("myip"),
        ip6: Ip6::Comma,
        credentials: Credentials::Basic,
        extra: &[],
        absent: None,
        removed: None,
    };
}

/// The vendors, by their word.
pub(super) const PRESETS: &[Preset] = &[
    // Clients send `host` here, and IPv6 as `myip6`.
    Preset {
        word: "all-inkl",
        endpoint: "https://dyndns.kasserver.com",
        path: Cow::Borrowed("/"),
        hostname_parameter: Cow::Borrowed("host"),
        ip6: Ip6::Parameter("myip6"),
        ..Preset::PLAIN
    },
    // A family that is left out is taken from the connection, or deleted; "preserve" keeps it, an empty value deletes.
    Preset {
        word: "desec",
        endpoint: "https://update.dedyn.io",
        ip6: Ip6::Parameter("myipv6"),
        absent: Some("preserve"),
        removed: Some(""),
        ..Preset::PLAIN
    },
    Preset { word: "dyn", endpoint: "https://members.dyndns.org", path: Cow::Borrowed("/v3/update"), ..Preset::PLAIN },
    // "no" leaves a family out.
    Preset {
        word: "dynu",
        endpoint: "https://api.dynu.com",
        ip6: Ip6::Parameter("myipv6"),
        absent: Some("no"),
        ..Preset::PLAIN
    },
    // Answers NO_ERROR, NO_ACCESS, NO_SERVICE, ILLEGAL_INPUT, TOO_SOON.
    Preset {
        word: "easydns",
        endpoint: "https://api.cp.easydns.com",
        path: Cow::Borrowed("/dyn/generic.php"),
        ip6: Ip6::None,
        ..Preset::PLAIN
    },
    // The user is the host: username = "{hostname}".
    Preset { word: "he", endpoint: "https://dyn.dns.he.net", ip6: Ip6::Separate, ..Preset::PLAIN },
    Preset { word: "infomaniak", endpoint: "https://infomaniak.com", ip6: Ip6::None, ..Preset::PLAIN },
    Preset { word: "inwx", endpoint: "https://dyndns.inwx.com", ip6: Ip6::Parameter("myipv6"), ..Preset::PLAIN },
    Preset {
        word: "loopia",
        endpoint: "https://dyndns.loopia.se",
        path: Cow::Borrowed("/"),
        ip6: Ip6::None,
        ..Preset::PLAIN
    },
    Preset { word: "noip", endpoint: "https://dynupdate.no-ip.com", ..Preset::PLAIN },
    // DynHost; without `system` it answers badsys.
    Preset {
        word: "ovh",
        endpoint: "https://dns.eu.ovhapis.com",
        ip6: Ip6::None,
        extra: &[("system", "dyndns")],
        ..Preset::PLAIN
    },
    // The user is the host, with its update token: username = "{hostname}".
    Preset {
        word: "spdyn",
        endpoint: "https://update.spdyn.de",
        ip6: Ip6::None,
        credentials: Credentials::Query("user", "pass"),
        ..Preset::PLAIN
    },
    // The user is the domain.
    Preset { word: "strato", endpoint: "https://dyndns.strato.com", ip6: Ip6::None, ..Preset::PLAIN },
];
