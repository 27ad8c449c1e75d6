//! The journey of an enrolling, stage by stage: screened, its code admitted, the use recorded, the key told. Whatever a
//! stage decides is decided in `nicgate-logic`; this page only leads from one to the next.
//!
//! `routes.rs` dresses and logs what comes back.

use nicgate_logic::answer::Ending;
use nicgate_logic::enrollment::{Admission, Enrolled, admit, screen};
use nicgate_logic::screen::RawRequest;
use nicgate_logic::{Now, Refusal};

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
    let desk = &gateway.desk;
    let presented = screen(raw).map_err(Ending::Refused)?;
    // Nobody uses the same code, or revokes the device, between what is admitted and what is recorded.
    let turn = desk.store.device_turn().await;
    let device = desk.registry.load().find(presented.device().as_str()).cloned();
    let kept = desk.store.device(presented.device());
    let invite = kept.as_ref().and_then(|kept| kept.invite.as_ref());
    let admission = admit(&presented, device.as_deref(), invite, now).map_err(Ending::Refused)?;
    // Nobody else is admitted.
    let (Some(device), Some(kept)) = (device, kept) else { return Err(Ending::Refused(Refusal::UnknownDevice)) };
    let is_again = match admission {
        Admission::Again => true,
        Admission::First(used) => {
            // Durable from here on: the code is spent before anybody hears the key.
            let spent = StoredDevice { invite: Some(used), ..kept };
            desk.store.put_device(&turn, spent).await.map_err(|fault| gateway.fault(&fault))?;
            false
        }
    };
    let key = desk.master.key(device.id.as_str(), device.generation.number);
    Ok(Enrolled { device, key, is_again })
}
