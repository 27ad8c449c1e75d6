//! Looks at hosts when their time has come: the task that records and logs what time alone changes. What that is, and
//! when it is due, is decided in `nicgate_logic::upkeep`; pushing follows the record, as for any change.
//!
//! Only hosts that wait for something stand in the queue. While there are any, the task looks at its head once a
//! second, since somebody may have set the clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use nicgate_logic::agenda::{Agenda, Due};
use nicgate_logic::upkeep::{Look, due, look};
use nicgate_logic::{Now, failover};
use nicgate_protocol::Hostname;
use tokio::sync::Notify;

use crate::desk::Desk;
use crate::gateway::Gateway;
use crate::log::{Level, Value};
use crate::store::StoreError;

/// How long the task sleeps at the most while anything is waited for.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How many hosts are looked at together, so that they share commits.
const TOGETHER: usize = 256;
/// How long a host waits whose change the disk did not take.
const RETRY: Duration = Duration::from_secs(5);

/// The hosts that wait for something.
#[derive(Default)]
pub struct Upkeep {
    agenda: Mutex<Agenda>,
    changed: Notify,
}

impl Upkeep {
    /// Sees to it that a host is looked at when it is due, at the latest.
    pub fn expect(&self, hostname: &Hostname, due: Due) {
        if !due.is_never() {
            self.lock().expect(hostname, due);
            self.changed.notify_one();
        }
    }

    fn take_due(&self, now: Now) -> Vec<Hostname> {
        let mut agenda = self.lock();
        std::iter::from_fn(|| agenda.take(now)).take(TOGETHER).collect()
    }

    /// Nothing panics half-way through a change under this lock.
    fn lock(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Enters every host that waits for something: at the start, and when the configuration changed what they wait for.
pub fn expect_all(desk: &Desk) {
    let (policy, watch) = (Arc::clone(&desk.settings.load().policy), desk.watch());
    desk.store.for_each_host(|hostname, state| {
        // Most hosts wait for nothing, and there may be a million of them.
        if state.hold.is_some() || state.feeds.is_some() {
            let host = policy.of(hostname);
            let rule = host.as_ref().and_then(|host| host.rule.fail_over.as_deref());
            desk.upkeep.expect(hostname, due(state, rule, policy.cool_down, watch));
        }
    });
}

/// Runs as long as the gateway does.
pub async fn run(gateway: Arc<Gateway>) {
    let upkeep = &gateway.desk.upkeep;
    loop {
        let now = gateway.desk.clock.now();
        let hosts = upkeep.take_due(now);
        if hosts.is_empty() {
            let pause = upkeep.lock().pause(now).map(|pause| pause.min(LONGEST_SLEEP));
            match pause {
                None => upkeep.changed.notified().await,
                Some(pause) => {
                    // Timers round down to milliseconds; one more spares an empty round.
                    let _ = tokio::time::timeout(pause + Duration::from_millis(1), upkeep.changed.notified()).await;
                }
            }
            continue;
        }
        let looks = join_all(hosts.iter().map(|hostname| see_to(&gateway, hostname))).await;
        // One disk in trouble is one line, not one for each host.
        if let Some(fault) = looks.into_iter().find_map(Result::err) {
            let _ = gateway.fault(&fault);
        }
    }
}

async fn see_to(gateway: &Gateway, hostname: &Hostname) -> Result<(), StoreError> {
    let desk = &gateway.desk;
    let (policy, watch) = (Arc::clone(&desk.settings.load().policy), desk.watch());
    let host = policy.of(hostname);
    let rule = host.as_ref().and_then(|host| host.rule.fail_over.as_deref());
    let expect = |state| desk.upkeep.expect(hostname, due(state, rule, policy.cool_down, watch));

    let turn = desk.store.turn(hostname).await;
    let before = turn.state();
    let next = match look(before, rule, policy.cool_down, watch) {
        Look::Nothing => {
            expect(before);
            return Ok(());
        }
        Look::Note(next) => {
            expect(&next);
            turn.note(next);
            return Ok(());
        }
        Look::Record(next) => next,
    };
    let has_ended = before.hold.is_some() && next.hold.is_none();
    let switch = rule.and_then(|rule| failover::switch(before, &next, rule));
    expect(&next);
    let ticket = match turn.record(next).await {
        Ok(ticket) => ticket,
        Err(fault) => {
            desk.upkeep.expect(hostname, Due { wall: None, uptime: Some(watch.now.uptime + RETRY) });
            return Err(fault);
        }
    };
    if has_ended {
        let fields = [("host", Value::Text(hostname.as_str())), ("desired", Value::Shown(&ticket.desired))];
        gateway.log.say(Level::Info, "hold_over", "", &fields);
    }
    gateway.tell_switch(&ticket, switch.as_ref());
    Ok(())
}
