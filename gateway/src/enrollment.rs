//! The journey of an enrolling, stage by stage: screened, its code judged, the use recorded, the key told. Whatever a
//! stage decides is decided in `nicgate-logic`; this page only leads from one to the next.
//!
//! `routes.rs` dresses and logs what comes back.

use std::sync::Arc;

use nicgate_logic::answer::Ending;
use nicgate_logic::device::Device;
use nicgate_logic::enrollment::{self, Admission, Enrolled, Invite, Presented, admit, screen};
use nicgate_logic::screen::RawRequest;
use nicgate_logic::{Now, Refusal};
use nicgate_protocol::DeviceId;
use tokio::time::timeout;

use crate::gateway::Gateway;
use crate::journey;
use crate::store::StoredDevice;

/// How an enrolling ended that opened nothing.
#[derive(Debug)]
pub struct Declined {
    /// What the peer hears.
    pub ending: Ending,
    /// Where the code was right: whoever came had the line.
    pub known: Option<Known>,
}

/// A right code that opened nothing.
#[derive(Debug)]
pub struct Known {
    /// Whose it is.
    pub device: DeviceId,
    /// Why it opened nothing.
    pub refusal: Refusal,
    /// What is kept of it.
    pub invite: Invite,
}

impl From<Ending> for Declined {
    fn from(ending: Ending) -> Self {
        Self { ending, known: None }
    }
}

impl From<Refusal> for Declined {
    fn from(refusal: Refusal) -> Self {
        Ending::Refused(refusal).into()
    }
}

/// Answers one enrolling, or says how it ended instead: refused, or in a fault of ours.
///
/// # Errors
/// How it ended.
pub async fn answer(gateway: &Gateway, raw: &RawRequest, now: Now) -> Result<Enrolled, Declined> {
    match enroll(gateway, raw, now).await {
        Err(Declined { ending: Ending::Refused(refusal), known }) => {
            Err(Declined { ending: Ending::Refused(journey::refused(gateway, raw, refusal, now)), known })
        }
        ended => ended,
    }
}

async fn enroll(gateway: &Gateway, raw: &RawRequest, now: Now) -> Result<Enrolled, Declined> {
    let presented = screen(raw)?;
    // Whoever guesses keeps nobody waiting, and waits for nobody: only a use has to be the only one.
    let (device, admission) = judge(gateway, &presented, now)?;
    if admission == Admission::Again {
        return repeat(gateway, &presented, device, now);
    }
    let deadline = gateway.desk.settings.load().server.reply_deadline;
    timeout(deadline, spend(gateway, &presented, now)).await.unwrap_or(Err(Refusal::Overloaded.into()))
}

/// Whether the code holds, as far as is known now.
fn judge(gateway: &Gateway, presented: &Presented, now: Now) -> Result<(Arc<Device>, Admission), Declined> {
    let desk = &gateway.desk;
    let device = desk.registry.load().find(presented.device().as_str()).cloned();
    let kept = desk.store.with_device(presented.device(), |kept| (kept.generation.number, kept.invite.clone()));
    // A line opens the generation that it was made for. Where the registry has another one, one of the two is old.
    let in_force = device.as_ref().map(|device| device.generation.number);
    let invite = kept.and_then(|(number, invite)| invite.filter(|_| in_force == Some(number)));
    let admission = admit(presented, device.as_deref(), invite.as_ref(), now).map_err(|declined| {
        let enrollment::Declined { refusal, known } = declined;
        let known = known.map(|invite| Known { device: presented.device().clone(), refusal, invite });
        Declined { ending: Ending::Refused(refusal), known }
    })?;
    Ok((device.ok_or(Refusal::UnknownDevice)?, admission))
}

/// Uses a code, if it still holds when it is this one's turn.
async fn spend(gateway: &Gateway, presented: &Presented, now: Now) -> Result<Enrolled, Declined> {
    let store = &gateway.desk.store;
    // Nobody uses the same code, or revokes the device, between what is judged and what is recorded.
    let turn = store.device_turn().await;
    let (device, admission) = judge(gateway, presented, now)?;
    let (used, is_exposed) = match admission {
        Admission::Again => return repeat(gateway, presented, device, now),
        Admission::Exposed(used) => (used, true),
        Admission::First(used) => (used, false),
    };
    let kept = store.device(presented.device()).ok_or(Refusal::UnknownDevice)?;
    // Durable from here on: the code is spent before anybody hears the key.
    let spent = StoredDevice { invite: Some(used.clone()), ..kept };
    store.put_device(&turn, spent).await.map_err(|fault| gateway.fault(&fault))?;
    if is_exposed {
        let refusal = Refusal::EnrollInClear;
        let known = Some(Known { device: device.id.clone(), refusal, invite: used });
        return Err(Declined { ending: Ending::Refused(refusal), known });
    }
    Ok(enrolled(gateway, device, false))
}

/// The same answer once more, if not too often.
fn repeat(gateway: &Gateway, presented: &Presented, device: Arc<Device>, now: Now) -> Result<Enrolled, Declined> {
    let is_limited = gateway.desk.settings.load().limits.is_enabled;
    if is_limited && gateway.limits.repeat(&presented.digest(), now).is_err() {
        return Err(Refusal::TooFast.into());
    }
    Ok(enrolled(gateway, device, true))
}

fn enrolled(gateway: &Gateway, device: Arc<Device>, is_again: bool) -> Enrolled {
    let key = gateway.desk.master.key(device.id.as_str(), device.generation.number);
    Enrolled { device, key, is_again }
}
