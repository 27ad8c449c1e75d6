//! The journey of an enrolling, stage by stage: screened, its code judged, the use recorded, the key told. Whatever a
//! stage decides is decided in `nicgate-logic`; this page only leads from one to the next.
//!
//! `routes.rs` dresses and logs what comes back.

use std::sync::Arc;

use nicgate_logic::answer::Ending;
use nicgate_logic::device::Device;
use nicgate_logic::enrollment::{Admission, Enrolled, Presented, admit, screen};
use nicgate_logic::screen::RawRequest;
use nicgate_logic::{Now, Refusal};
use tokio::time::timeout;

use crate::gateway::Gateway;
use crate::journey;
use crate::store::StoredDevice;

/// Answers one enrolling, or says how it ended instead: refused, or in a fault of ours.
///
/// # Errors
/// How it ended.
pub async fn answer(gateway: &Gateway, raw: &RawRequest, now: Now) -> Result<Enrolled, Ending> {
    match enroll(gateway, raw, now).await {
        Err(Ending::Refused(refusal)) => Err(Ending::Refused(journey::refused(gateway, raw, refusal, now))),
        ended => ended,
    }
}

async fn enroll(gateway: &Gateway, raw: &RawRequest, now: Now) -> Result<Enrolled, Ending> {
    let presented = screen(raw).map_err(Ending::Refused)?;
    // Whoever guesses keeps nobody waiting, and waits for nobody: only a use has to be the only one.
    let (device, admission) = judge(gateway, &presented, now).map_err(Ending::Refused)?;
    if admission == Admission::Again {
        return Ok(enrolled(gateway, device, true));
    }
    let deadline = gateway.desk.settings.load().server.reply_deadline;
    let used = timeout(deadline, spend(gateway, &presented, now)).await;
    used.unwrap_or(Err(Ending::Refused(Refusal::Overloaded)))
}

/// Whether the code holds, as far as is known now.
fn judge(gateway: &Gateway, presented: &Presented, now: Now) -> Result<(Arc<Device>, Admission), Refusal> {
    let desk = &gateway.desk;
    let device = desk.registry.load().find(presented.device().as_str()).cloned();
    let kept = desk.store.with_device(presented.device(), |kept| (kept.generation.number, kept.invite.clone()));
    // A line opens the generation that it was made for. Where the registry has another one, one of the two is old.
    let in_force = device.as_ref().map(|device| device.generation.number);
    let invite = kept.and_then(|(number, invite)| invite.filter(|_| in_force == Some(number)));
    let admission = admit(presented, device.as_deref(), invite.as_ref(), now)?;
    Ok((device.ok_or(Refusal::UnknownDevice)?, admission))
}

/// Uses a code, if it still holds when it is this one's turn.
async fn spend(gateway: &Gateway, presented: &Presented, now: Now) -> Result<Enrolled, Ending> {
    let store = &gateway.desk.store;
    // Nobody uses the same code, or revokes the device, between what is judged and what is recorded.
    let turn = store.device_turn().await;
    let (device, admission) = judge(gateway, presented, now).map_err(Ending::Refused)?;
    let Admission::First(used) = admission else { return Ok(enrolled(gateway, device, true)) };
    let kept = store.device(presented.device()).ok_or(Ending::Refused(Refusal::UnknownDevice))?;
    // Durable from here on: the code is spent before anybody hears the key.
    let spent = StoredDevice { invite: Some(used), ..kept };
    store.put_device(&turn, spent).await.map_err(|fault| gateway.fault(&fault))?;
    Ok(enrolled(gateway, device, false))
}

fn enrolled(gateway: &Gateway, device: Arc<Device>, is_again: bool) -> Enrolled {
    let key = gateway.desk.master.key(device.id.as_str(), device.generation.number);
    Enrolled { device, key, is_again }
}
