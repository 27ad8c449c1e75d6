//! Who speaks: a screened request becomes an authenticated one, or hears `badauth`.
//!
//! Secrets are derived on the spot and compared in constant time; an unknown device costs the same derivation
//! as a known one. Whether a signature was used before is asked of the store, after this and only after this.

use std::sync::Arc;
use std::time::Duration;

use nicgate_protocol::signature::{Presented, presented};
use nicgate_protocol::{MasterKey, Timestamp};

use crate::device::{Device, Generation, Registry};
use crate::now::Now;
use crate::refusal::Refusal;
use crate::screen::Screened;
use crate::state::SignatureId;

/// How far a signer's clock may be off, either way.
pub const CLOCK_WINDOW: Duration = Duration::from_secs(300);

/// A request whose sender is proved. Made by [`authenticate`] alone.
pub struct Authenticated<'a> {
    pub(crate) screened: Screened<'a>,
    pub(crate) device: Arc<Device>,
    pub(crate) signed: Option<Signed>,
}

/// What a signature adds to a proof: it can be told from every other, and it has a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Tells this request from every other.
    pub id: SignatureId,
    /// What may count only once per device: the nonce, or for SigV4 the signature.
    pub nonce: Box<[u8]>,
    /// When the sender says it signed.
    pub claimed: Timestamp,
    /// When the store first saw the very same request, if it did before this one.
    pub again: Option<Timestamp>,
}

impl Authenticated<'_> {
    /// Who speaks.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// What the store must admit once before the request goes on; nothing for passwords.
    #[must_use]
    pub fn signed(&self) -> Option<&Signed> {
        self.signed.as_ref()
    }

    /// Notes that the store has seen this very request before, and when first: it counts as sent then.
    pub fn set_again(&mut self, first: Timestamp) {
        if let Some(signed) = &mut self.signed {
            signed.again = Some(first);
        }
    }
}

/// Finds out who speaks.
///
/// # Errors
/// A refusal that ends the request, `badauth` for each of them.
pub fn authenticate<'a>(
    screened: Screened<'a>,
    master: &MasterKey,
    registry: &Registry,
    now: Now,
) -> Result<Authenticated<'a>, Refusal> {
    let message = screened.raw.message();
    let proof = presented(&message, &screened.parameters).map_err(|_| Refusal::BadProof)?;
    let (device, signed) = match &proof {
        Presented::Nobody => return Err(Refusal::NoCredentials),
        Presented::Password(claim) => {
            let holds = |generation| claim.is_right(&master.password(claim.device(), generation));
            let device = find(registry, claim.device(), now, holds, Refusal::BadPassword)?;
            if claim.is_in_query() && !device.allowances.query_credentials {
                return Err(Refusal::QueryCredentials);
            }
            (device, None)
        }
        Presented::Signed(claim) => {
            let holds = |generation| claim.is_signed_by(&master.key(claim.device(), generation), &message);
            let device = find(registry, claim.device(), now, holds, Refusal::BadSignature)?;
            let claimed = claim.created();
            let is_expired = claim.expires().is_some_and(|end| end < now.wall);
            if is_expired || now.wall.since(claimed) > CLOCK_WINDOW || claimed.since(now.wall) > CLOCK_WINDOW {
                return Err(Refusal::ClockOff);
            }
            (device, Some(Signed { id: claim.id(), nonce: claim.nonce().into(), claimed, again: None }))
        }
    };
    if !screened.raw.secure && !device.allowances.plain {
        return Err(Refusal::InClear);
    }
    Ok(Authenticated { screened, device, signed })
}

/// The device of that id if its secret `holds`. Whoever is refused costs two derivations, those of the secret and of
/// the one before, whether the device is known or not and whether the older secret would count or not.
fn find(
    registry: &Registry,
    id: &str,
    now: Now,
    holds: impl Fn(u32) -> bool,
    wrong: Refusal,
) -> Result<Arc<Device>, Refusal> {
    let found = registry.find(id);
    let generation = found.map_or(Generation::default(), |device| device.generation);
    let is_right = holds(generation.number);
    if let (true, Some(device)) = (is_right, found) {
        return Ok(Arc::clone(device));
    }
    let was_right = holds(generation.number.saturating_sub(1));
    let is_in_grace = generation.number > 1 && generation.previous_until.is_some_and(|until| now.wall < until);
    let device = found.ok_or(Refusal::UnknownDevice)?;
    if was_right && is_in_grace { Ok(Arc::clone(device)) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use nicgate_protocol::signature::{rfc9421, sign_param};
    use nicgate_protocol::update::Parameters;
    use nicgate_protocol::{DeviceId, HostPattern};

    use super::*;
    use crate::device::{Allowances, Grants, Origin};
    use crate::screen::screen;
    use crate::screen::tests::raw;

    const NOON: Timestamp = Timestamp(1_795_348_800_000);

    fn now() -> Now {
        Now { wall: NOON, uptime: Duration::from_secs(60) }
    }

    fn device(id: &str, generation: Generation, allowances: Allowances) -> Device {
        Device {
            id: DeviceId::parse(id).unwrap(),
            grants: Arc::new(Grants::new([HostPattern::parse("home.home.test").unwrap()])),
            profile: None,
            allowances,
            generation,
            origin: Origin::Command,
        }
    }

    fn master() -> MasterKey {
        MasterKey::new(&[9; 32])
    }

    fn basic(id: &str, password: &str) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{password}")))
    }

    fn try_basic(registry: &Registry, id: &str, password: &str, secure: bool) -> Result<String, Refusal> {
        let mut request = raw("GET", "/nic/update?hostname=home.home.test", &[("host", "h")]);
        request.headers.insert("authorization", basic(id, password).parse().unwrap());
        request.secure = secure;
        let screened = screen(&request).unwrap();
        authenticate(screened, &master(), registry, now()).map(|found| found.device.id.to_string())
    }

    #[test]
    fn a_password_proves_its_device_and_no_other() {
        let registry = Registry::new([
            device("one", Generation::default(), Allowances::default()),
            device("two", Generation::default(), Allowances::default()),
        ]);
        let password = master().password("one", 1);
        assert_eq!(try_basic(&registry, "one", password.text(), true).as_deref(), Ok("one"));
        assert_eq!(try_basic(&registry, "two", password.text(), true), Err(Refusal::BadPassword));
        assert_eq!(try_basic(&registry, "one", "", true), Err(Refusal::BadPassword));
        assert_eq!(try_basic(&registry, "one", password.text(), false), Err(Refusal::InClear));
        let stranger = master().password("three", 1);
        assert_eq!(try_basic(&registry, "three", stranger.text(), true), Err(Refusal::UnknownDevice));
    }

    #[test]
    fn the_old_secret_holds_until_the_grace_period_ends() {
        let rotated = |until| Generation { number: 2, previous_until: until };
        let old = master().password("one", 1);
        let new = master().password("one", 2);
        for (until, old_holds) in [(None, false), (Some(NOON), false), (Some(Timestamp(NOON.0 + 1)), true)] {
            let registry = Registry::new([device("one", rotated(until), Allowances::default())]);
            assert_eq!(try_basic(&registry, "one", old.text(), true).is_ok(), old_holds);
            assert!(try_basic(&registry, "one", new.text(), true).is_ok());
        }
    }

    #[test]
    fn an_unknown_device_costs_the_derivations_of_a_known_one() {
        let rotated = Generation { number: 2, previous_until: Some(Timestamp(NOON.0 + 1)) };
        let registry = Registry::new([
            device("one", Generation::default(), Allowances::default()),
            device("two", rotated, Allowances::default()),
        ]);
        for (id, refusal) in
            [("one", Refusal::BadPassword), ("two", Refusal::BadPassword), ("nobody", Refusal::UnknownDevice)]
        {
            let derived = std::cell::Cell::new(0);
            let holds = |_| {
                derived.set(derived.get() + 1);
                false
            };
            assert_eq!(find(&registry, id, now(), holds, Refusal::BadPassword).err(), Some(refusal));
            assert_eq!(derived.get(), 2, "{id}");
        }
        // Generation 0 is nobody's: its secrets never hold.
        let zeroth = master().password("one", 0);
        assert_eq!(try_basic(&registry, "one", zeroth.text(), true), Err(Refusal::BadPassword));
    }

    #[test]
    fn a_plain_connection_and_the_query_are_for_those_allowed() {
        let allowances = Allowances { plain: true, query_credentials: true, delete: false };
        let open = Registry::new([device("one", Generation::default(), allowances)]);
        let closed = Registry::new([device("one", Generation::default(), Allowances::default())]);
        let password = master().password("one", 1);
        assert!(try_basic(&open, "one", password.text(), false).is_ok());
        let target = format!("/nic/update?hostname=a.b&username=one&password={}", password.text());
        let request = raw("GET", &target, &[("host", "h")]);
        let ask = |registry: &Registry| authenticate(screen(&request).unwrap(), &master(), registry, now()).err();
        assert_eq!(ask(&open), None);
        assert_eq!(ask(&closed), Some(Refusal::QueryCredentials));
    }

    #[test]
    fn nobody_is_not_a_wrong_somebody() {
        let request = raw("GET", "/nic/update?hostname=a.b", &[("host", "h")]);
        let refusal = authenticate(screen(&request).unwrap(), &master(), &Registry::default(), now()).err().unwrap();
        assert_eq!(refusal, Refusal::NoCredentials);
        assert!(!refusal.is_wrong_credential());
    }

    fn try_signed_at(seconds: u64) -> Result<Signed, Refusal> {
        let registry = Registry::new([device("one", Generation::default(), Allowances::default())]);
        let mut request = raw("GET", "/nic/update?hostname=home.home.test", &[("host", "h")]);
        let created = Timestamp::from_seconds(seconds);
        let fields = rfc9421::sign(master().key("one", 1).text(), "one", &request.message(), created, "nonce-0001");
        request.headers.insert("signature-input", fields.signature_input.parse().unwrap());
        request.headers.insert("signature", fields.signature.parse().unwrap());
        authenticate(screen(&request).unwrap(), &master(), &registry, now()).map(|found| found.signed.unwrap())
    }

    #[test]
    fn a_signature_counts_within_300_seconds_either_way() {
        let noon = NOON.seconds();
        for (seconds, within) in
            [(noon, true), (noon - 300, true), (noon + 300, true), (noon - 301, false), (noon + 301, false)]
        {
            let result = try_signed_at(seconds);
            assert_eq!(result.is_ok(), within, "{result:?}");
            if !within {
                assert_eq!(result, Err(Refusal::ClockOff));
            }
        }
    }

    #[test]
    fn the_sign_parameter_proves_too() {
        let registry = Registry::new([device("one", Generation::default(), Allowances::default())]);
        let query = format!("hostname=home.home.test&id=one&ts={}&nonce=n0nce-0001", NOON.seconds());
        let sign = sign_param::sign(
            master().key("one", 1).text(),
            "GET",
            "h",
            "/nic/update",
            &Parameters::read(Some(&query), None),
        );
        let ask = |query: &str| {
            let request = raw("GET", &format!("/nic/update?{query}"), &[("host", "h")]);
            authenticate(screen(&request).unwrap(), &master(), &registry, now())
                .map(|found| found.device.id.to_string())
        };
        assert_eq!(ask(&format!("{query}&sign={sign}")).as_deref(), Ok("one"));
        assert_eq!(ask(&format!("{query}&myip=192.0.2.1&sign={sign}")), Err(Refusal::BadSignature));
    }
}
