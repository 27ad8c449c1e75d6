//! The journey of one update, stage by stage, on one page: screened, authenticated, admitted once, authorized,
//! and then host by host decided, recorded, pushed. Whatever a stage decides is decided in `nicgate-logic`;
//! this page only leads from one to the next.
//!
//! `routes.rs` dresses and logs what comes back.

use futures_util::future::join_all;
use nicgate_logic::answer::{Answer, Ending, Line};
use nicgate_logic::authenticate::{Authenticated, authenticate};
use nicgate_logic::authorize::{Asked, Wanted, authorize};
use nicgate_logic::decide::{Circumstances, Plan, decide};
use nicgate_logic::screen::{RawRequest, screen};
use nicgate_logic::state::HostState;
use nicgate_logic::{Now, Refusal, Watch, failover, upkeep};
use nicgate_protocol::{AddressSet, Family};

use crate::gateway::Gateway;
use crate::reconciler::Settled;
use crate::store::{Admission, AdmitError, Ticket};

/// Answers one update.
pub async fn answer(gateway: &Gateway, raw: &RawRequest, now: Now) -> Answer {
    match update(gateway, raw, now).await {
        Ok(answer) => answer,
        Err(refusal) => refused(gateway, raw, refusal, now).into(),
    }
}

async fn update(gateway: &Gateway, raw: &RawRequest, now: Now) -> Result<Answer, Refusal> {
    let request = screen(raw)?;
    let mut request = authenticate(request, &gateway.desk.master, &gateway.desk.registry.load(), now)?;
    // From here on we know whom we answer, whatever the answer is.
    let lines = match update_hosts(gateway, &mut request, now).await {
        Ok(lines) => lines,
        Err(refusal) => vec![Line::of_request(Ending::Refused(refusal))],
    };
    let device = request.device();
    Ok(Answer { lines, device: Some(device.id.clone()), profile: device.profile })
}

async fn update_hosts(gateway: &Gateway, request: &mut Authenticated<'_>, now: Now) -> Result<Vec<Line>, Refusal> {
    let settings = gateway.desk.settings.load();
    if settings.limits.is_enabled {
        gateway.limits.device(&request.device().id, now).map_err(|_| Refusal::TooFast)?;
    }
    admit_once(gateway, request, now).await?;
    let update = authorize(request, &settings.policy, now)?;

    let lines = match update.asked.as_slice() {
        [only] => vec![line(gateway, only, now).await],
        several => join_all(several.iter().map(|asked| line(gateway, asked, now))).await,
    };
    // Hosts that move with the network have no line of their own; what becomes of them is in the log.
    for wanted in &update.related {
        gateway.report_related(wanted, publish(gateway, wanted, now).await);
    }
    match lines.iter().find_map(|line| line.ending.refusal_of_request()) {
        Some(refusal) => Err(refusal),
        None => Ok(lines),
    }
}

/// The store remembers signatures, and is asked only of those who could sign.
async fn admit_once(gateway: &Gateway, request: &mut Authenticated<'_>, now: Now) -> Result<(), Refusal> {
    let Some(signed) = request.signed() else { return Ok(()) };
    let store = &gateway.desk.store;
    match store.admit_once(&request.device().id, &signed.nonce, signed.id, signed.claimed, now.wall).await {
        Ok(Admission::First) => {}
        Ok(Admission::Again(first)) => request.set_again(first),
        Err(AdmitError::Reused) => return Err(Refusal::Replayed),
        Err(AdmitError::Full | AdmitError::Fault(_)) => return Err(Refusal::Overloaded),
    }
    Ok(())
}

async fn line(gateway: &Gateway, asked: &Asked, now: Now) -> Line {
    let ending = match &asked.wanted {
        Ok(wanted) => publish(gateway, wanted, now).await,
        Err(refusal) => Ending::Refused(*refusal),
    };
    Line { hostname: asked.written.clone(), ending }
}

/// From a wish to a name that points there.
async fn publish(gateway: &Gateway, wanted: &Wanted, now: Now) -> Ending {
    // One decision per host at a time.
    let turn = gateway.desk.store.turn(&wanted.hostname).await;
    let cool_down = gateway.desk.settings.load().policy.cool_down;
    let circumstances = Circumstances {
        watch: Watch { now, since: gateway.desk.since },
        cool_down,
        is_settled: gateway.is_settled(turn.state(), &wanted.policy),
        remembers_since: gateway.desk.store.remembers_since(),
    };
    let plan = match decide(turn.state(), wanted, circumstances) {
        Ok(plan) => plan,
        Err(refusal) => return Ending::Refused(refusal),
    };
    let mut switch = None;
    if let Some(next) = plan.next() {
        // Before it is recorded: whoever hangs up meanwhile does not stop that.
        let rule = wanted.policy.rule.fail_over.as_deref();
        gateway.desk.upkeep.expect(&wanted.hostname, upkeep::due(next, rule, cool_down, circumstances.watch));
        switch = rule.and_then(|rule| failover::switch(turn.state(), next, rule));
    }
    match plan {
        Plan::Nothing { next, echo } => {
            turn.note(next);
            Ending::NoChg(echo)
        }
        Plan::Repeat { echo, changed: true } => Ending::Good(echo),
        Plan::Repeat { echo, changed: false } => Ending::NoChg(echo),
        Plan::Note { next, echo } => match turn.record(next).await {
            Ok(ticket) => {
                gateway.tell_switch(&ticket, switch.as_ref());
                Ending::NoChg(echo)
            }
            Err(fault) => gateway.fault(&fault),
        },
        Plan::Settle { next, echo } => {
            let ticket = turn.note(next);
            settle(gateway, wanted, &ticket, echo).await
        }
        Plan::Publish { next, echo } => {
            if let Err(refusal) = check_haste(gateway, wanted, turn.state(), &next, now) {
                return Ending::Refused(refusal);
            }
            // Durable from here on; the turn is over.
            match turn.record(next).await {
                Ok(ticket) => {
                    gateway.tell_switch(&ticket, switch.as_ref());
                    settle(gateway, wanted, &ticket, echo).await
                }
                Err(fault) => gateway.fault(&fault),
            }
        }
    }
}

async fn settle(gateway: &Gateway, wanted: &Wanted, ticket: &Ticket, echo: AddressSet) -> Ending {
    let deadline = gateway.desk.settings.load().server.reply_deadline;
    match gateway.reconciler.settle(ticket, &wanted.policy, deadline).await {
        Settled::Confirmed => Ending::Good(echo),
        Settled::Refused => Ending::ProviderRefused,
        Settled::NotYet => Ending::Unconfirmed,
    }
}

/// Real changes of one host and family have a budget; what changes nothing is free.
fn check_haste(
    gateway: &Gateway,
    wanted: &Wanted,
    state: &HostState,
    next: &HostState,
    now: Now,
) -> Result<(), Refusal> {
    if !gateway.desk.settings.load().limits.is_enabled {
        return Ok(());
    }
    for family in Family::BOTH {
        if state.desired.of(family) != next.desired.of(family) {
            gateway.limits.change(&wanted.hostname, family, now).map_err(|_| Refusal::TooFast)?;
        }
    }
    Ok(())
}

/// What a source hears that is refused too often: 911, so that nobody learns whether a guess was warm.
pub(crate) fn refused(gateway: &Gateway, raw: &RawRequest, refusal: Refusal, now: Now) -> Refusal {
    if !gateway.desk.settings.load().limits.is_enabled {
        return refusal;
    }
    let budget = if refusal == Refusal::NoCredentials {
        gateway.limits.challenge(raw.peer, now)
    } else if refusal.is_wrong_credential() {
        gateway.limits.wrong(raw.peer, now)
    } else {
        return refusal;
    };
    if budget.is_ok() { refusal } else { Refusal::TooFast }
}
