//! Enrolling: a client shows the one-time code that its operator made for a device, and hears that device's key, once.
//!
//! The shape of the request is judged here, and whether the code holds; an update passes the same kind of stages in
//! `screen.rs` and `authenticate.rs`. Making the use durable before anybody hears the key is `gateway/src/enrollment.rs`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use nicgate_protocol::enrollment::Code;
use nicgate_protocol::secret::Key;
use nicgate_protocol::update::Parameters;
use nicgate_protocol::{DeviceId, Secret, Timestamp};

use crate::device::Device;
use crate::limits::source;
use crate::now::Now;
use crate::refusal::Refusal;
use crate::screen::{RawRequest, Via, check_http};

/// The longest body that is looked at: one that fits has not a tenth of it.
pub const LONGEST_FORM: usize = 1024;
/// How long a code that was used still gives the same answer to the same source: answers get lost.
pub const AGAIN: Duration = Duration::from_secs(600);
/// The source of a use that nobody may repeat: a multicast network, where nobody speaks from.
const NOBODY: u64 = u64::MAX;

/// An open invitation, as it is kept: never the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The code's SHA-256.
    pub digest: [u8; 32],
    /// Until when it may be used first.
    pub until: Timestamp,
    /// Its first use.
    pub used: Option<FirstUse>,
}

/// When and by whom a code was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstUse {
    /// When that was.
    pub at: Timestamp,
    /// The IPv4 address, or the IPv6 /64, as a number; the highest where it told nobody apart from others.
    pub source: u64,
}

/// When and from where, for the operator.
impl fmt::Display for FirstUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from ", self.at)?;
        match (self.source, u32::try_from(self.source)) {
            (NOBODY, _) => f.write_str("somebody in clear or behind a forwarder"),
            (1.., Ok(v4)) => Ipv4Addr::from_bits(v4).fmt(f),
            (network, _) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(network) << 64)),
        }
    }
}

/// A request that is shaped like an enrolling. Made by [`screen`] alone. No `Debug`: there is a code in it.
pub struct Presented {
    device: DeviceId,
    code: Code,
    source: u64,
    /// It came so that others may have read it.
    is_exposed: bool,
}

impl Presented {
    /// Whose key is asked for.
    #[must_use]
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The code's SHA-256.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.code.digest()
    }
}

/// Passes a request on that is shaped like an enrolling, or says why it is none: a form of exactly one `device` and
/// one `code`, posted, without a query, over TLS or from this machine itself. One that comes in clear passes too, for
/// its code to be judged: [`admit`] lets none of them in.
///
/// # Errors
/// A refusal that ends the request. A code that cannot be one counts as wrong.
pub fn screen(raw: &RawRequest) -> Result<Presented, Refusal> {
    check_http(raw)?;
    // Behind a forwarder the whole Internet comes from loopback.
    let is_local = raw.peer.is_loopback() && raw.via == Via::Nobody;
    let is_exposed = !raw.secure && !is_local;
    let read = read(raw, is_exposed);
    if is_exposed { read.map_err(|_| Refusal::EnrollInClear) } else { read }
}

fn read(raw: &RawRequest, is_exposed: bool) -> Result<Presented, Refusal> {
    if raw.method != Method::POST {
        return Err(Refusal::BadMethod);
    }
    if raw.body.len() > LONGEST_FORM {
        return Err(Refusal::FormTooLong);
    }
    if raw.target.query().is_some() {
        return Err(Refusal::BadForm);
    }
    let form = Parameters::read(None, Some(&raw.body));
    let mut fields: Vec<(&str, &str)> = form.iter().collect();
    fields.sort_unstable();
    let [("code", code), ("device", device)] = fields[..] else { return Err(Refusal::BadForm) };
    Ok(Presented {
        device: DeviceId::parse(device).map_err(|_| Refusal::UnknownDevice)?,
        code: Code::parse(code).ok_or(Refusal::BadCode)?,
        source: if is_exposed || raw.via == Via::Forwarder { NOBODY } else { source(raw.peer) },
        is_exposed,
    })
}

/// What a code that holds leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The answer is given once more; nothing changes.
    Again,
    /// Others may have read it: this is to be kept, durably, and nobody hears the key.
    Exposed(Invite),
    /// Its first use: this is to be kept, durably, before anybody hears the key.
    First(Invite),
}

/// Why a code was not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declined {
    /// The reason.
    pub refusal: Refusal,
    /// What is kept of the code, where it was the right one: whoever came had the line.
    pub known: Option<Invite>,
}

impl From<Refusal> for Declined {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, known: None }
    }
}

/// What a client hears whose code held. No `Debug`: there is a key in it.
pub struct Enrolled {
    /// Whose key it is.
    pub device: Arc<Device>,
    /// The key that holds now.
    pub key: Key,
    /// The answer was given before, to the same source.
    pub is_again: bool,
}

/// Whether what was presented holds for `device`, of which `invite` is kept. An unknown device and one without an
/// invitation cost the same comparison.
///
/// # Errors
/// `badauth`, whatever the reason; in clear what everybody hears there.
pub fn admit(
    presented: &Presented,
    device: Option<&Device>,
    invite: Option<&Invite>,
    now: Now,
) -> Result<Admission, Declined> {
    match (presented.is_exposed, judge(presented, device, invite, now)) {
        (false, judged) => judged,
        (true, Ok(Admission::First(used) | Admission::Exposed(used))) => Ok(Admission::Exposed(used)),
        (true, Ok(Admission::Again)) => Err(Refusal::EnrollInClear.into()),
        (true, Err(declined)) => Err(Declined { refusal: Refusal::EnrollInClear, ..declined }),
    }
}

fn judge(
    presented: &Presented,
    device: Option<&Device>,
    invite: Option<&Invite>,
    now: Now,
) -> Result<Admission, Declined> {
    let kept = Secret::new(invite.map_or([0; 32], |invite| invite.digest));
    let is_right = kept.verify_slice(&presented.code.digest());
    if device.is_none() {
        return Err(Refusal::UnknownDevice.into());
    }
    let invite = invite.filter(|_| is_right).ok_or(Refusal::BadCode)?;
    match invite.used {
        None if now.wall >= invite.until => {
            Err(Declined { refusal: Refusal::CodeExpired, known: Some(invite.clone()) })
        }
        None => {
            let used = FirstUse { at: now.wall, source: presented.source };
            Ok(Admission::First(Invite { used: Some(used), ..invite.clone() }))
        }
        // A clock that was set back makes no code live longer.
        Some(used)
            if used.source == presented.source
                && used.source != NOBODY
                && now.wall.since(used.at) + used.at.since(now.wall) < AGAIN =>
        {
            Ok(Admission::Again)
        }
        Some(_) => Err(Declined { refusal: Refusal::CodeUsed, known: Some(invite.clone()) }),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nicgate_protocol::HostPattern;

    use super::*;
    use crate::device::{Allowances, Generation, Grants, Origin};
    use crate::screen::tests::raw;

    const NOON: Timestamp = Timestamp(1_795_348_800_000);
    const CODE: &str = "MDEyMzQ1Njc4OWFiY2RlZg";

    fn request(body: &str) -> RawRequest {
        let mut request = raw("POST", "/auth/enroll", &[("host", "h")]);
        request.body = Bytes::copy_from_slice(body.as_bytes());
        request
    }

    fn after(milliseconds: u64) -> Now {
        Now { wall: Timestamp(NOON.0 + milliseconds), uptime: Duration::ZERO }
    }

    fn presented(code: &str, peer: &str) -> Presented {
        let mut request = request(&format!("device=box&code={code}"));
        request.peer = peer.parse().unwrap();
        screen(&request).ok().unwrap()
    }

    fn invite() -> Invite {
        Invite { digest: Code::parse(CODE).unwrap().digest(), until: after(1000).wall, used: None }
    }

    fn device() -> Device {
        Device {
            id: DeviceId::parse("box").unwrap(),
            grants: Arc::new(Grants::new([HostPattern::parse("home.home.test").unwrap()])),
            profile: None,
            allowances: Allowances::default(),
            generation: Generation::default(),
            origin: Origin::Command,
        }
    }

    #[test]
    fn a_form_of_device_and_code_passes_and_nothing_else() {
        let good = format!("device=box&code={CODE}");
        for (body, refusal) in [
            (good.clone(), None),
            (format!("code={CODE}&device=box"), None),
            (format!("device=b%6fx&code={CODE}"), None),
            (format!("device=box&code={CODE}&"), None),
            (String::new(), Some(Refusal::BadForm)),
            ("device=box".to_owned(), Some(Refusal::BadForm)),
            (format!("code={CODE}"), Some(Refusal::BadForm)),
            (format!("{good}&hostname=a.b"), Some(Refusal::BadForm)),
            (format!("{good}&device=box"), Some(Refusal::BadForm)),
            (format!("{good}&code={CODE}"), Some(Refusal::BadForm)),
            (format!("Device=box&code={CODE}"), Some(Refusal::BadForm)),
            (format!("{{\"device\":\"box\",\"code\":\"{CODE}\"}}"), Some(Refusal::BadForm)),
            (format!("{good}{}", " ".repeat(LONGEST_FORM)), Some(Refusal::FormTooLong)),
            (format!("device=a/b&code={CODE}"), Some(Refusal::UnknownDevice)),
            (format!("device=&code={CODE}"), Some(Refusal::UnknownDevice)),
            ("device=box&code=".to_owned(), Some(Refusal::BadCode)),
            (format!("device=box&code={CODE}A"), Some(Refusal::BadCode)),
        ] {
            assert_eq!(screen(&request(&body)).err(), refusal, "{body}");
        }
    }

    #[test]
    fn it_comes_by_post_over_tls_and_not_in_the_query() {
        let good = format!("device=box&code={CODE}");
        for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
            let got = RawRequest { method: method.parse().unwrap(), ..request(&good) };
            assert_eq!(screen(&got).err(), Some(Refusal::BadMethod), "{method}");
        }
        let queried = RawRequest { target: format!("/auth/enroll?{good}").parse().unwrap(), ..request("") };
        assert_eq!(screen(&queried).err(), Some(Refusal::BadForm));
    }

    #[test]
    fn in_clear_only_this_machine_itself_gets_an_answer_and_a_right_code_is_spent() {
        let good = format!("device=box&code={CODE}");
        let device = device();
        for (peer, via, is_local) in [
            ("198.51.100.7", Via::Nobody, false),
            ("2001:db8::7", Via::Nobody, false),
            ("127.0.0.1", Via::Nobody, true),
            ("::1", Via::Nobody, true),
            ("127.0.0.1", Via::Proxy, false),
            ("127.0.0.1", Via::Forwarder, false),
            ("::1", Via::Forwarder, false),
        ] {
            let clear = |body: &str| RawRequest { secure: false, peer: peer.parse().unwrap(), via, ..request(body) };
            let ask = |code: &str, invite: &Invite, now| {
                admit(
                    &screen(&clear(&format!("device=box&code={code}"))).ok().unwrap(),
                    Some(&device),
                    Some(invite),
                    now,
                )
            };
            let refused = |asked: Result<Admission, Declined>| asked.map_err(|declined| declined.refusal);
            let wrong = "MDEyMzQ1Njc4OWFiY2RlZw";
            if is_local {
                assert!(matches!(ask(CODE, &invite(), after(0)), Ok(Admission::First(_))), "{peer}");
                assert_eq!(refused(ask(wrong, &invite(), after(0))), Err(Refusal::BadCode));
                continue;
            }
            assert_eq!(screen(&clear("nonsense")).err(), Some(Refusal::EnrollInClear), "{peer}");
            let by_get = RawRequest { method: Method::GET, ..clear(&good) };
            assert_eq!(screen(&by_get).err(), Some(Refusal::EnrollInClear), "{peer}");
            assert_eq!(refused(ask(wrong, &invite(), after(0))), Err(Refusal::EnrollInClear), "{peer}");
            assert_eq!(refused(ask(CODE, &invite(), after(1000))), Err(Refusal::EnrollInClear), "{peer}");
            let Ok(Admission::Exposed(used)) = ask(CODE, &invite(), after(0)) else { panic!("{peer} {via:?}") };
            // From then on it opens nothing, for nobody: also not where it came from.
            assert_eq!(refused(ask(CODE, &used, after(1))), Err(Refusal::EnrollInClear), "{peer}");
            let over_tls = admit(&presented(CODE, peer), Some(&device), Some(&used), after(1));
            assert_eq!(over_tls, Err(Declined { refusal: Refusal::CodeUsed, known: Some(used) }), "{peer}");
        }
    }

    #[test]
    fn nobody_repeats_a_use_behind_a_forwarder() {
        let device = device();
        let ask = |via, invite: &Invite| {
            let raw = RawRequest { via, ..request(&format!("device=box&code={CODE}")) };
            admit(&screen(&raw).ok().unwrap(), Some(&device), Some(invite), after(0))
                .map_err(|declined| declined.refusal)
        };
        for (first, then, again) in [
            (Via::Nobody, Via::Nobody, Ok(Admission::Again)),
            (Via::Proxy, Via::Proxy, Ok(Admission::Again)),
            (Via::Forwarder, Via::Forwarder, Err(Refusal::CodeUsed)),
            (Via::Forwarder, Via::Nobody, Err(Refusal::CodeUsed)),
            (Via::Nobody, Via::Forwarder, Err(Refusal::CodeUsed)),
        ] {
            let Ok(Admission::First(used)) = ask(first, &invite()) else { panic!("the first use holds") };
            assert_eq!(ask(then, &used), again, "{first:?} {then:?}");
        }
    }

    #[test]
    fn a_first_use_tells_when_and_from_where() {
        for (peer, told) in [("198.51.100.7", "198.51.100.7"), ("2001:db8::7", "2001:db8::/64"), ("::1", "::/64")] {
            let told = format!("2026-11-22T12:00:00.000Z from {told}");
            assert_eq!(FirstUse { at: NOON, source: source(peer.parse().unwrap()) }.to_string(), told);
        }
        assert!(FirstUse { at: NOON, source: NOBODY }.to_string().ends_with("behind a forwarder"));
    }

    #[test]
    fn a_code_holds_once_and_for_its_time() {
        let right = presented(CODE, "198.51.100.7");
        let used = Invite { used: Some(FirstUse { at: NOON, source: right.source }), ..invite() };
        let device = device();
        let admit = |presented: &Presented, device: Option<&Device>, invite: Option<&Invite>, now| {
            admit(presented, device, invite, now).map_err(|declined| declined.refusal)
        };
        let ask = |presented: &Presented, invite: &Invite, now| admit(presented, Some(&device), Some(invite), now);
        assert_eq!(ask(&right, &invite(), after(0)), Ok(Admission::First(used.clone())));
        assert!(ask(&right, &invite(), after(999)).is_ok());
        assert_eq!(ask(&right, &invite(), after(1000)), Err(Refusal::CodeExpired));
        let wrong = presented("MDEyMzQ1Njc4OWFiY2RlZw", "198.51.100.7");
        assert_eq!(ask(&wrong, &invite(), after(0)), Err(Refusal::BadCode));
        assert_eq!(ask(&wrong, &used, after(0)), Err(Refusal::BadCode));
        assert_eq!(admit(&right, Some(&device), None, after(0)), Err(Refusal::BadCode));
        assert_eq!(admit(&right, None, None, after(0)), Err(Refusal::UnknownDevice));
        // What a device that is gone left behind helps nobody.
        assert_eq!(admit(&right, None, Some(&invite()), after(0)), Err(Refusal::UnknownDevice));
    }

    #[test]
    fn a_lost_answer_is_given_again_to_the_same_source_for_ten_minutes() {
        let window = 600_000;
        let device = device();
        for (first, then, later, refusal) in [
            ("198.51.100.7", "198.51.100.7", 0, None),
            ("198.51.100.7", "198.51.100.7", window - 1, None),
            ("198.51.100.7", "198.51.100.7", window, Some(Refusal::CodeUsed)),
            ("198.51.100.7", "198.51.100.8", 1, Some(Refusal::CodeUsed)),
            ("2001:db8::1", "2001:db8::ffff:2", 1, None),
            ("2001:db8::1", "2001:db8:0:1::1", 1, Some(Refusal::CodeUsed)),
            ("2001:db8::1", "198.51.100.7", 1, Some(Refusal::CodeUsed)),
        ] {
            let Ok(Admission::First(used)) = admit(&presented(CODE, first), Some(&device), Some(&invite()), after(0))
            else {
                panic!("the first use holds")
            };
            let again = admit(&presented(CODE, then), Some(&device), Some(&used), after(later));
            let again = again.map_err(|declined| declined.refusal);
            assert_eq!(again, refusal.map_or(Ok(Admission::Again), Err), "{first} {then} {later}");
            let set_back = Now { wall: Timestamp(NOON.0 - window), uptime: Duration::ZERO };
            assert!(admit(&presented(CODE, first), Some(&device), Some(&used), set_back).is_err());
        }
    }
}
