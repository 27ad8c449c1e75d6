//! How states look on disk: a version byte, then the row in postcard's wire format (postcard.jamesmunns.com/wire-format).
//!
//! A row's shape never changes under its version: a new field means a new version, and the old ones stay readable.
//! The shapes stand apart from the types of the program, so that neither binds the other.

use std::collections::HashSet;
use std::time::Duration;

use nicgate_logic::Now;
use nicgate_logic::device::{Allowances, Generation, Profile};
use nicgate_logic::enrollment::{FirstUse, Invite};
use nicgate_logic::state::{Applied, Feeds, Hold, HostState, Presence, Report};
use nicgate_protocol::{AddressSet, DeviceId, HostPattern, Timestamp};
use serde::{Deserialize, Serialize};

use super::nonces::Mark;
use super::{Registration, StoredDevice};

/// The version of the marks that this program writes.
const MARK_VERSION: u8 = 1;
/// The same for hosts. Version 1 ended before [`HostTail`].
const HOST_VERSION: u8 = 2;
/// The same for devices. Version 1 ended before [`DeviceTail`].
const DEVICE_VERSION: u8 = 2;

/// Why a row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadRow {
    /// Its version is newer than this program.
    Newer(u8),
    /// It is cut short, too long, or holds what cannot be.
    Unreadable(&'static str),
}

#[derive(Serialize, Deserialize)]
struct HostRow<'a> {
    desired: AddressRow,
    number: u64,
    ordered_at: u64,
    newest: Option<[u8; 16]>,
    newest_changed: bool,
    #[serde(borrow)]
    device: Option<&'a str>,
    #[serde(borrow)]
    applied: Vec<AppliedRow<'a>>,
    hold: Option<HoldRow>,
}

/// What came with version 2; follows the rest of the row.
#[derive(Default, Serialize, Deserialize)]
struct HostTail<'a> {
    #[serde(borrow)]
    noted_by: Option<&'a str>,
    #[serde(borrow)]
    feeds: Option<FeedsRow<'a>>,
    /// What is doubted of each provider in `applied`; empty when nothing is.
    doubted: Vec<Vec<AddressRow>>,
}

#[derive(Serialize, Deserialize)]
struct FeedsRow<'a> {
    active: &'a str,
    switched: Option<u64>,
    #[serde(borrow)]
    reports: Vec<ReportRow<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ReportRow<'a> {
    device: &'a str,
    addresses: AddressRow,
    ordered_at: u64,
    newest: Option<[u8; 16]>,
    newest_changed: bool,
    heard: u64,
    is_silent: bool,
}

#[derive(Serialize, Deserialize)]
struct AddressRow {
    v4: Option<[u8; 4]>,
    v6: Option<[u8; 16]>,
}

#[derive(Serialize, Deserialize)]
struct AppliedRow<'a> {
    provider: &'a str,
    addresses: AddressRow,
    ttl: u32,
    remembered: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct HoldRow {
    until: Option<u64>,
    is_pin: bool,
    noted: Option<AddressRow>,
}

#[derive(Serialize, Deserialize)]
struct DeviceRow<'a> {
    generation: u32,
    previous_until: Option<u64>,
    #[serde(borrow)]
    registration: Option<RegistrationRow<'a>>,
    is_revoked: bool,
}

/// What came with version 2; follows the rest of the row.
#[derive(Default, Serialize, Deserialize)]
struct DeviceTail {
    invite: Option<InviteRow>,
}

#[derive(Serialize, Deserialize)]
struct InviteRow {
    digest: [u8; 32],
    until: u64,
    used: Option<FirstUseRow>,
}

#[derive(Serialize, Deserialize)]
struct FirstUseRow {
    at: u64,
    source: u64,
}

#[derive(Serialize, Deserialize)]
struct RegistrationRow<'a> {
    #[serde(borrow)]
    patterns: Vec<&'a str>,
    profile: Option<ProfileRow>,
    query_credentials: bool,
    plain: bool,
    delete: bool,
}

#[derive(Serialize, Deserialize)]
enum ProfileRow {
    Classic,
    Strict,
}

impl From<AddressSet> for AddressRow {
    fn from(set: AddressSet) -> Self {
        Self { v4: set.v4.map(|v4| v4.octets()), v6: set.v6.map(|v6| v6.octets()) }
    }
}

impl From<AddressRow> for AddressSet {
    fn from(row: AddressRow) -> Self {
        Self { v4: row.v4.map(Into::into), v6: row.v6.map(Into::into) }
    }
}

/// Device ids met so far. A million hosts of a thousand devices then share a thousand texts.
#[derive(Default)]
pub(super) struct DeviceNames(HashSet<DeviceId>);

impl DeviceNames {
    fn share(&mut self, text: &str) -> Result<DeviceId, BadRow> {
        if let Some(known) = self.0.get(text) {
            return Ok(known.clone());
        }
        let id = DeviceId::parse(text).map_err(BadRow::Unreadable)?;
        self.0.insert(id.clone());
        Ok(id)
    }
}

/// A host as it goes to disk.
pub(super) fn from_host(state: &HostState) -> Vec<u8> {
    let row = HostRow {
        desired: state.desired.into(),
        number: state.number,
        ordered_at: state.ordered_at.0,
        newest: state.newest,
        newest_changed: state.newest_changed,
        device: state.device.as_ref().map(DeviceId::as_str),
        applied: state
            .applied
            .iter()
            .map(|applied| AppliedRow {
                provider: &applied.provider,
                addresses: applied.addresses.into(),
                ttl: applied.ttl,
                remembered: applied.remembered.as_deref(),
            })
            .collect(),
        hold: state.hold.as_deref().map(|hold| HoldRow {
            until: hold.until.map(|until| until.0),
            is_pin: hold.is_pin,
            noted: hold.noted.map(Into::into),
        }),
    };
    let tail = HostTail {
        noted_by: state.hold.as_deref().and_then(|hold| hold.noted_by.as_ref()).map(DeviceId::as_str),
        feeds: state.feeds.as_deref().map(from_feeds),
        doubted: from_doubts(&state.applied),
    };
    encode(HOST_VERSION, &(row, tail))
}

/// A host as it came from disk.
pub(super) fn to_host(bytes: &[u8], names: &mut DeviceNames) -> Result<HostState, BadRow> {
    let (row, tail): (HostRow<'_>, HostTail<'_>) = match version_of(bytes, HOST_VERSION)? {
        1 => (decode(bytes)?, HostTail::default()),
        _ => decode(bytes)?,
    };
    let noted_by = tail.noted_by.map(|text| names.share(text)).transpose()?;
    let feeds = tail.feeds.map(|row| to_feeds(row, names)).transpose()?;
    let applied: Vec<Applied> = row
        .applied
        .into_iter()
        .map(|applied| Applied {
            provider: applied.provider.into(),
            addresses: applied.addresses.into(),
            ttl: applied.ttl,
            remembered: applied.remembered.map(Into::into),
            doubted: Vec::new(),
        })
        .collect();
    Ok(HostState {
        desired: row.desired.into(),
        number: row.number,
        ordered_at: Timestamp(row.ordered_at),
        newest: row.newest,
        newest_changed: row.newest_changed,
        device: row.device.map(|text| names.share(text)).transpose()?,
        applied: with_doubts(applied, tail.doubted)?,
        hold: row.hold.map(|hold| {
            let (until, noted) = (hold.until.map(Timestamp), hold.noted.map(Into::into));
            Box::new(Hold { until, is_pin: hold.is_pin, noted, noted_by })
        }),
        feeds: feeds.map(Box::new),
    })
}

fn from_doubts(applied: &[Applied]) -> Vec<Vec<AddressRow>> {
    if !applied.iter().any(Applied::is_doubted) {
        return Vec::new();
    }
    applied.iter().map(|applied| applied.doubted.iter().map(|addresses| (*addresses).into()).collect()).collect()
}

fn with_doubts(mut applied: Vec<Applied>, doubted: Vec<Vec<AddressRow>>) -> Result<Vec<Applied>, BadRow> {
    if !doubted.is_empty() && doubted.len() != applied.len() {
        return Err(BadRow::Unreadable("its doubts are not those of its providers"));
    }
    for (applied, doubted) in applied.iter_mut().zip(doubted) {
        applied.doubted = doubted.into_iter().map(Into::into).collect();
    }
    Ok(applied)
}

fn from_feeds(feeds: &Feeds) -> FeedsRow<'_> {
    FeedsRow {
        active: feeds.active.as_str(),
        switched: feeds.switched.map(|switched| switched.wall.0),
        reports: feeds
            .reports
            .iter()
            .map(|report| ReportRow {
                device: report.device.as_str(),
                addresses: report.addresses.into(),
                ordered_at: report.ordered_at.0,
                newest: report.newest,
                newest_changed: report.newest_changed,
                heard: report.heard.wall.0,
                is_silent: report.presence != Presence::Here,
            })
            .collect(),
    }
}

/// Whoever was returning begins anew: the heartbeats of another process do not count.
fn to_feeds(row: FeedsRow<'_>, names: &mut DeviceNames) -> Result<Feeds, BadRow> {
    let before_our_start = |wall| Now { wall: Timestamp(wall), uptime: Duration::ZERO };
    let reports: Result<Vec<_>, _> = row
        .reports
        .into_iter()
        .map(|report| {
            Ok(Report {
                device: names.share(report.device)?,
                addresses: report.addresses.into(),
                ordered_at: Timestamp(report.ordered_at),
                newest: report.newest,
                newest_changed: report.newest_changed,
                heard: before_our_start(report.heard),
                presence: if report.is_silent { Presence::Silent } else { Presence::Here },
            })
        })
        .collect();
    Ok(Feeds { reports: reports?, active: names.share(row.active)?, switched: row.switched.map(before_our_start) })
}

/// A device as it goes to disk; its id is the key.
pub(super) fn from_device(device: &StoredDevice) -> Vec<u8> {
    let row = DeviceRow {
        generation: device.generation.number,
        previous_until: device.generation.previous_until.map(|until| until.0),
        registration: device.registration.as_ref().map(|registration| RegistrationRow {
            patterns: registration.patterns.iter().map(|pattern| pattern.as_hostname().as_str()).collect(),
            profile: registration.profile.map(|profile| match profile {
                Profile::Classic => ProfileRow::Classic,
                Profile::Strict => ProfileRow::Strict,
            }),
            query_credentials: registration.allowances.query_credentials,
            plain: registration.allowances.plain,
            delete: registration.allowances.delete,
        }),
        is_revoked: device.is_revoked,
    };
    let invite = device.invite.as_ref().map(|invite| InviteRow {
        digest: invite.digest,
        until: invite.until.0,
        used: invite.used.map(|used| FirstUseRow { at: used.at.0, source: used.source }),
    });
    encode(DEVICE_VERSION, &(row, DeviceTail { invite }))
}

/// A device as it came from disk.
pub(super) fn to_device(id: &str, bytes: &[u8]) -> Result<StoredDevice, BadRow> {
    let (row, tail): (DeviceRow<'_>, DeviceTail) = match version_of(bytes, DEVICE_VERSION)? {
        1 => (decode(bytes)?, DeviceTail::default()),
        _ => decode(bytes)?,
    };
    Ok(StoredDevice {
        id: DeviceId::parse(id).map_err(BadRow::Unreadable)?,
        generation: Generation { number: row.generation, previous_until: row.previous_until.map(Timestamp) },
        registration: row.registration.map(to_registration).transpose()?,
        is_revoked: row.is_revoked,
        invite: tail.invite.map(|invite| Invite {
            digest: invite.digest,
            until: Timestamp(invite.until),
            used: invite.used.map(|used| FirstUse { at: Timestamp(used.at), source: used.source }),
        }),
    })
}

fn to_registration(row: RegistrationRow<'_>) -> Result<Registration, BadRow> {
    let patterns: Result<Vec<_>, _> = row.patterns.into_iter().map(HostPattern::parse).collect();
    Ok(Registration {
        patterns: patterns.map_err(|_| BadRow::Unreadable("a granted name is no hostname"))?,
        profile: row.profile.map(|profile| match profile {
            ProfileRow::Classic => Profile::Classic,
            ProfileRow::Strict => Profile::Strict,
        }),
        allowances: Allowances { query_credentials: row.query_credentials, plain: row.plain, delete: row.delete },
    })
}

/// The mark of a nonce that was used ahead of our clock, as it goes to disk; time and nonce are the key.
pub(super) fn from_mark(mark: Mark) -> Vec<u8> {
    encode(MARK_VERSION, &mark)
}

/// The same, as it came from disk.
pub(super) fn to_mark(bytes: &[u8]) -> Result<Mark, BadRow> {
    version_of(bytes, MARK_VERSION)?;
    decode(bytes)
}

fn encode(version: u8, row: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(version);
    postcard::to_extend(row, bytes).expect("rows are plain data of known length, and memory grows as needed")
}

/// The version of a row, one of those that were ever written.
fn version_of(bytes: &[u8], newest: u8) -> Result<u8, BadRow> {
    match bytes.first() {
        None => Err(BadRow::Unreadable("it is empty")),
        Some(&version) if version > newest => Err(BadRow::Newer(version)),
        Some(0) => Err(BadRow::Unreadable("no such version was ever written")),
        Some(&version) => Ok(version),
    }
}

/// Reads what follows the version.
fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadRow> {
    let rest = bytes.get(1..).unwrap_or_default();
    match postcard::take_from_bytes(rest) {
        Ok((row, [])) => Ok(row),
        Ok(_) => Err(BadRow::Unreadable("something follows the row")),
        Err(_) => Err(BadRow::Unreadable("it does not have the shape of its version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with something in every field.
    fn full_host() -> HostState {
        let desired = AddressSet { v4: Some([203, 0, 113, 7].into()), v6: Some("2001:db8::7".parse().unwrap()) };
        HostState {
            desired,
            number: 1_767_323_045,
            ordered_at: Timestamp(1_767_323_045_678),
            newest: Some(*b"0123456789abcdef"),
            newest_changed: true,
            device: Some(DeviceId::parse("fritzbox").unwrap()),
            applied: vec![Applied {
                provider: "cloud".into(),
                addresses: desired,
                ttl: 60,
                remembered: Some("zone/record".into()),
                doubted: vec![AddressSet { v4: desired.v4, v6: None }, AddressSet::EMPTY],
            }],
            hold: Some(Box::new(Hold {
                until: Some(Timestamp(5)),
                is_pin: true,
                noted: Some(AddressSet::EMPTY),
                noted_by: DeviceId::parse("laptop").ok(),
            })),
            feeds: Some(Box::new(Feeds {
                reports: vec![Report {
                    device: DeviceId::parse("lte").unwrap(),
                    addresses: AddressSet { v6: None, ..desired },
                    ordered_at: Timestamp(6),
                    newest: Some(*b"fedcba9876543210"),
                    newest_changed: true,
                    heard: Now { wall: Timestamp(7), uptime: Duration::ZERO },
                    presence: Presence::Silent,
                }],
                active: DeviceId::parse("lte").unwrap(),
                switched: Some(Now { wall: Timestamp(8), uptime: Duration::ZERO }),
            })),
        }
    }

    fn full_device() -> StoredDevice {
        StoredDevice {
            id: DeviceId::parse("laptop").unwrap(),
            generation: Generation { number: 3, previous_until: Some(Timestamp(9)) },
            registration: Some(Registration {
                patterns: vec![HostPattern::parse("*.lan.home.test").unwrap()],
                profile: Some(Profile::Strict),
                allowances: Allowances { query_credentials: false, plain: true, delete: true },
            }),
            is_revoked: false,
            invite: Some(Invite {
                digest: *b"0123456789abcdef0123456789abcdef",
                until: Timestamp(10),
                used: Some(FirstUse { at: Timestamp(11), source: 12 }),
            }),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for state in [HostState::default(), full_host()] {
            assert_eq!(to_host(&from_host(&state), &mut DeviceNames::default()), Ok(state));
        }
        let revoked = StoredDevice { registration: None, is_revoked: true, invite: None, ..full_device() };
        for device in [full_device(), revoked] {
            assert_eq!(to_device(device.id.as_str(), &from_device(&device)), Ok(device));
        }
        assert_eq!(to_mark(&from_mark(*b"12345678")), Ok(*b"12345678"));
    }

    #[test]
    fn a_row_cut_anywhere_or_followed_by_anything_is_refused() {
        let whole = from_host(&full_host());
        for end in 0..whole.len() {
            assert!(to_host(&whole[..end], &mut DeviceNames::default()).is_err(), "{end}");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert!(to_host(&longer, &mut DeviceNames::default()).is_err());
        let whole = from_device(&full_device());
        for end in 0..whole.len() {
            assert!(to_device("laptop", &whole[..end]).is_err(), "{end}");
        }
        assert!(to_device("laptop", &[whole.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn a_newer_version_is_told_apart_from_damage() {
        let mut bytes = from_device(&full_device());
        bytes[0] = DEVICE_VERSION + 1;
        assert_eq!(to_device("laptop", &bytes), Err(BadRow::Newer(DEVICE_VERSION + 1)));
        bytes[0] = 0;
        assert!(matches!(to_device("laptop", &bytes), Err(BadRow::Unreadable(_))));
    }

    /// What version 1 wrote of [`full_host`], which knew less.
    fn first_version() -> Vec<u8> {
        [
            &[1, 1, 203, 0, 113, 7, 1][..],
            &"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets(),
            &[0xa5, 0xeb, 0xdc, 0xca, 0x06, 0xae, 0x9e, 0xa6, 0xe5, 0xb7, 0x33, 1],
            b"0123456789abcdef",
            &[1, 1, 8],
            b"fritzbox",
            &[1, 5],
            b"cloud",
            &[1, 203, 0, 113, 7, 1],
            &"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets(),
            &[60, 1, 11],
            b"zone/record",
            &[1, 1, 5, 1, 1, 0, 0],
        ]
        .concat()
    }

    /// What stands on disks today must be readable for ever.
    #[test]
    fn the_first_version_stays_readable() {
        let hold = Hold { noted_by: None, ..*full_host().hold.unwrap() };
        let mut known_then = HostState { hold: Some(Box::new(hold)), feeds: None, ..full_host() };
        known_then.applied[0].doubted.clear();
        assert_eq!(to_host(&first_version(), &mut DeviceNames::default()), Ok(known_then));
    }

    #[test]
    fn the_second_version_never_changes() {
        let tail: [&[u8]; 10] = [
            &[1, 6],
            b"laptop",
            &[1, 3],
            b"lte",
            &[1, 8, 1, 3],
            b"lte",
            &[1, 203, 0, 113, 7, 0, 6, 1],
            b"fedcba9876543210",
            &[1, 7, 1],
            &[1, 2, 1, 203, 0, 113, 7, 0, 0, 0],
        ];
        let mut bytes = [first_version(), tail.concat()].concat();
        bytes[0] = 2;
        assert_eq!(from_host(&full_host()), bytes);
    }

    /// What version 1 wrote of [`full_device`], which knew of no invitations.
    fn first_version_of_a_device() -> Vec<u8> {
        [&[1, 3, 1, 9, 1, 1, 15][..], b"*.lan.home.test", &[1, 1, 0, 1, 1, 0]].concat()
    }

    #[test]
    fn the_first_version_of_a_device_stays_readable() {
        let known_then = StoredDevice { invite: None, ..full_device() };
        assert_eq!(to_device("laptop", &first_version_of_a_device()), Ok(known_then));
    }

    #[test]
    fn the_second_version_of_a_device_never_changes() {
        let tail = [&[1][..], b"0123456789abcdef0123456789abcdef", &[10, 1, 11, 12]].concat();
        let mut bytes = [first_version_of_a_device(), tail].concat();
        bytes[0] = 2;
        assert_eq!(from_device(&full_device()), bytes);
    }
}
