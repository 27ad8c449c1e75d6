//! Every reason to say no: what the peer hears, what the log keeps, and whether it ends the whole request.
//!
//! A closed list. A new reason compiles only once it has its answer and its `error_code`.

use std::fmt;

use nicgate_protocol::ReturnCode;
use nicgate_protocol::hostname::BadHostname;

/// Why a request, or one host of it, was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An address that is malformed, given twice for a family, or a prefix for a host without interface id.
    BadAddress,
    /// A one-time code that is not the device's.
    BadCode,
    /// An enrolling that is not a form of device and code.
    BadForm,
    /// HTTP that the grammar forbids or that two readers could read in two ways.
    BadHttp,
    /// A method that no update uses.
    BadMethod,
    /// Basic or query credentials with the wrong password.
    BadPassword,
    /// A signature that does not hold.
    BadSignature,
    /// A signature or credential that cannot be read.
    BadProof,
    /// A one-time code whose time is over.
    CodeExpired,
    /// A one-time code that was used before.
    CodeUsed,
    /// The peer stands on the deny list.
    Denied,
    /// An enrolling without TLS.
    EnrollInClear,
    /// An enrolling with a body that is longer than any form of it.
    FormTooLong,
    /// The signature's time is more than 300 s from ours.
    ClockOff,
    /// The device may not speak without TLS.
    InClear,
    /// A hostname that is none.
    NotFull(BadHostname),
    /// No hostname at all.
    NoHostname,
    /// No such path.
    NoSuchPath,
    /// Nobody said who is speaking. Not an attack: many clients wait for the challenge.
    NoCredentials,
    /// Not this device's host, or the device may not delete.
    NotGranted,
    /// No configured zone holds the host.
    NoZone,
    /// The address lies in a range that the zone does not take.
    OutsidePolicy,
    /// Too much at once here: connections or replay memory.
    Overloaded,
    /// Credentials in the query from a device that may not put them there.
    QueryCredentials,
    /// A signature that was already used, and not by the newest update.
    Replayed,
    /// The credential was revoked.
    Revoked,
    /// Signed before the newest change of the host.
    Stale,
    /// Over a rate limit.
    TooFast,
    /// More than 20 hostnames.
    TooManyHosts,
    /// A device that nobody registered.
    UnknownDevice,
}

impl Refusal {
    /// What the peer is told. Several reasons share one word, so a reply teaches a stranger nothing.
    #[must_use]
    pub fn return_code(self) -> ReturnCode {
        match self {
            Self::BadCode
            | Self::BadPassword
            | Self::BadProof
            | Self::BadSignature
            | Self::ClockOff
            | Self::CodeExpired
            | Self::CodeUsed
            | Self::InClear
            | Self::NoCredentials
            | Self::QueryCredentials
            | Self::Replayed
            | Self::Revoked
            | Self::Stale
            | Self::UnknownDevice => ReturnCode::BadAuth,
            Self::NotGranted | Self::NoZone => ReturnCode::NoHost,
            Self::NotFull(_) | Self::NoHostname => ReturnCode::NotFqdn,
            Self::TooManyHosts => ReturnCode::NumHost,
            Self::BadAddress | Self::OutsidePolicy => ReturnCode::DnsErr,
            // `abuse` would end inadyn for good: whoever is merely too fast hears 911.
            Self::TooFast | Self::Overloaded => ReturnCode::NineOneOne,
            Self::Denied => ReturnCode::Abuse,
            Self::BadForm
            | Self::BadHttp
            | Self::BadMethod
            | Self::EnrollInClear
            | Self::FormTooLong
            | Self::NoSuchPath => ReturnCode::BadAgent,
        }
    }

    /// The word that the log keeps as `error_code`; it never changes once shipped.
    #[must_use]
    pub fn error_code(self) -> &'static str {
        match self {
            Self::BadAddress => "bad_address",
            Self::BadCode => "bad_code",
            Self::BadForm => "bad_form",
            Self::BadHttp => "bad_http",
            Self::BadMethod => "bad_method",
            Self::BadPassword => "bad_password",
            Self::BadSignature => "bad_signature",
            Self::BadProof => "bad_proof",
            Self::Denied => "denied",
            Self::ClockOff => "clock_off",
            Self::CodeExpired => "code_expired",
            Self::CodeUsed => "code_used",
            Self::EnrollInClear => "enroll_in_clear",
            Self::FormTooLong => "form_too_long",
            Self::InClear => "in_clear",
            Self::NotFull(_) => "not_full",
            Self::NoHostname => "no_hostname",
            Self::NoSuchPath => "no_such_path",
            Self::NoCredentials => "no_credentials",
            Self::NotGranted => "not_granted",
            Self::NoZone => "no_zone",
            Self::OutsidePolicy => "outside_policy",
            Self::Overloaded => "overloaded",
            Self::QueryCredentials => "query_credentials",
            Self::Replayed => "replayed",
            Self::Revoked => "revoked",
            Self::Stale => "stale",
            Self::TooFast => "too_fast",
            Self::TooManyHosts => "too_many_hosts",
            Self::UnknownDevice => "unknown_device",
        }
    }

    /// Whether the whole request ends with it, rather than one host of it.
    #[must_use]
    pub fn is_of_request(self) -> bool {
        match self {
            Self::BadCode
            | Self::BadForm
            | Self::BadHttp
            | Self::BadMethod
            | Self::BadPassword
            | Self::BadProof
            | Self::BadSignature
            | Self::ClockOff
            | Self::CodeExpired
            | Self::CodeUsed
            | Self::Denied
            | Self::EnrollInClear
            | Self::FormTooLong
            | Self::InClear
            | Self::NoCredentials
            | Self::NoHostname
            | Self::NoSuchPath
            | Self::Overloaded
            | Self::QueryCredentials
            | Self::Replayed
            | Self::Revoked
            | Self::TooManyHosts
            | Self::UnknownDevice => true,
            Self::BadAddress
            | Self::NotFull(_)
            | Self::NotGranted
            | Self::NoZone
            | Self::OutsidePolicy
            | Self::Stale
            | Self::TooFast => false,
        }
    }

    /// Whether somebody tried a credential that does not hold: what guessing looks like.
    #[must_use]
    pub fn is_wrong_credential(self) -> bool {
        matches!(
            self,
            Self::BadCode
                | Self::BadPassword
                | Self::BadProof
                | Self::BadSignature
                | Self::CodeExpired
                | Self::CodeUsed
                | Self::Revoked
                | Self::UnknownDevice
        )
    }
}

/// For the operator's eyes: what happened and what to do. Never sent to a peer.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadAddress => "the address cannot be read, or comes twice for one family",
            Self::BadCode => "the one-time code is wrong: `nicgate device invite ID` makes a new line",
            Self::BadForm => "enrolling is a posted form of device and code, and nothing else",
            Self::BadHttp => "the request breaks HTTP in a way that two programs could read differently",
            Self::BadMethod => "updates come by GET or POST, enrolling by POST",
            Self::BadPassword => "the password is wrong: `nicgate device show ID` prints the right one",
            Self::BadSignature => "the signature does not hold: wrong key, or the request was altered on the way",
            Self::BadProof => "the credentials cannot be read",
            Self::CodeExpired => "the one-time code is too old: `nicgate device invite ID` makes a new line",
            Self::CodeUsed => {
                "the one-time code was used before: `nicgate device invite ID` makes a new line; \
                 if that was not its owner: `nicgate device rotate ID --now`"
            }
            Self::Denied => "the peer stands on the deny list",
            Self::EnrollInClear => {
                "enrolling is answered over TLS alone; a code that came so was seen and holds no more: \
                 `nicgate device invite ID` makes another"
            }
            Self::FormTooLong => "a form of device and code is not that long",
            Self::ClockOff => "the signature's time is more than 300 s from ours: set the clock of the device",
            Self::InClear => "the device spoke without TLS: rotate its secret, then use https or set allow_plain",
            Self::NotFull(why) => return write!(f, "the hostname is none: {why}"),
            Self::NoHostname => "the request names no host",
            Self::NoSuchPath => "no such path",
            Self::NoCredentials => "no credentials; the challenge was sent",
            Self::NotGranted => "the device may not do this to this host: `nicgate device show ID` lists what it may",
            Self::NoZone => "no [[zone]] holds this host",
            Self::OutsidePolicy => "the zone does not take addresses of this range: see `addresses` of the [[zone]]",
            Self::Overloaded => "too much at once",
            Self::QueryCredentials => "credentials in the query: use Basic, or set query_credentials for the device",
            Self::Replayed => "this signed request was already used",
            Self::Revoked => "the credential was revoked",
            Self::Stale => "signed before the newest change of this host",
            Self::TooFast => "over a rate limit",
            Self::TooManyHosts => "more than 20 hostnames in one request",
            Self::UnknownDevice => "no such device",
        })
    }
}
