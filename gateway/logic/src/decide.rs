//! What must change: a host's state and what is wanted of it become a [`Plan`]. Pure, and the only place that
//! decides whether an update is new, old, a repeat, held back by a pin, or nothing at all.

use std::net::Ipv6Addr;
use std::time::Duration;

use nicgate_protocol::{AddressSet, DeviceId, Timestamp};

use crate::authorize::{Wanted, Wish};
use crate::failover::{FailOver, Word};
use crate::now::Watch;
use crate::refusal::Refusal;
use crate::state::{Feeds, HostState};

/// What to do about one host.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Nothing has to change and nobody is called. `next` holds what to remember, in memory only.
    Nothing {
        /// What to remember.
        next: HostState,
        /// What to answer.
        echo: AddressSet,
    },
    /// What is wanted is recorded already, but the primary provider has not confirmed it yet: ask how it goes.
    Settle {
        /// What to remember, in memory only.
        next: HostState,
        /// What to answer when it is confirmed.
        echo: AddressSet,
    },
    /// Record, then push.
    Publish {
        /// The state to record.
        next: HostState,
        /// What to answer when it is confirmed.
        echo: AddressSet,
    },
    /// A pin holds the host: record what the device asked for, answer with what is pinned.
    Note {
        /// The state to record.
        next: HostState,
        /// What to answer.
        echo: AddressSet,
    },
    /// The same request as the newest one: the same answer, no effect.
    Repeat {
        /// What to answer.
        echo: AddressSet,
        /// The newest request changed something.
        changed: bool,
    },
}

impl Plan {
    /// The state that the plan makes; `None` where nothing is to be remembered.
    #[must_use]
    pub fn next(&self) -> Option<&HostState> {
        match self {
            Self::Nothing { next, .. }
            | Self::Settle { next, .. }
            | Self::Publish { next, .. }
            | Self::Note { next, .. } => Some(next),
            Self::Repeat { .. } => None,
        }
    }
}

/// What [`decide`] has to know beside state and wish.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The present.
    pub watch: Watch,
    /// How long automatic updates wait after a pin.
    pub cool_down: Duration,
    /// The primary provider confirmed what is desired.
    pub is_settled: bool,
    /// When the replay memory began: what was signed before may have been seen by an earlier process.
    pub remembers_since: Timestamp,
}

/// Decides.
///
/// # Errors
/// [`Refusal::Replayed`], [`Refusal::Stale`], [`Refusal::BadAddress`] or [`Refusal::OutsidePolicy`].
pub fn decide(state: &HostState, wanted: &Wanted, circumstances: Circumstances) -> Result<Plan, Refusal> {
    // A hold that is over ends here, should nobody have looked since.
    let lifted = state.lifted(circumstances.watch.now.wall, circumstances.cool_down);
    let heard = match &wanted.policy.rule.fail_over {
        Some(rule) => hear_among(lifted, rule, wanted, circumstances)?,
        None => hear(lifted, wanted, circumstances)?,
    };
    Ok(plan(state, heard, circumstances.is_settled))
}

/// What an update amounts to, before anybody asks what is published already.
struct Heard {
    /// The host with everything remembered but what is published and noted.
    next: HostState,
    /// What would be published without a hold.
    automatic: AddressSet,
    /// Whose addresses these are.
    by: DeviceId,
    /// When they count as sent.
    ordered_at: Timestamp,
    /// What its sender said, in the families that it named.
    said: AddressSet,
    /// The newest update once more; whether it changed something then.
    repeats: Option<bool>,
    /// It is its sender who is published, rather than another device.
    is_published: bool,
    /// There is something to record even if nothing else is published.
    is_news: bool,
}

/// An update of a host that whoever spoke last decides about.
fn hear(state: HostState, wanted: &Wanted, circumstances: Circumstances) -> Result<Heard, Refusal> {
    let signature = wanted.sent.signed.as_ref().map(|signed| signed.id);
    let is_newest = signature.is_some() && state.newest == signature;
    if !is_newest {
        check_order(state.ordered_at, wanted, circumstances.remembers_since)?;
    }
    let before = state.automatic();
    let (automatic, said) = resolve(before, before.v6.or(state.desired.v6), wanted)?;
    check_words(automatic != before, wanted, circumstances.remembers_since)?;
    Ok(Heard {
        automatic,
        by: wanted.sent.device.id.clone(),
        ordered_at: wanted.sent.ordered_at,
        said,
        repeats: is_newest.then_some(state.newest_changed),
        is_published: true,
        is_news: false,
        // The host may have had fail-over before.
        next: HostState { newest: signature, newest_changed: is_newest && state.newest_changed, feeds: None, ..state },
    })
}

/// An update of a host that several devices feed. Each has an order of its own: what one says is not older for what
/// another said since.
fn hear_among(
    mut state: HostState,
    rule: &FailOver,
    wanted: &Wanted,
    circumstances: Circumstances,
) -> Result<Heard, Refusal> {
    let Circumstances { watch, remembers_since, .. } = circumstances;
    let sender = &wanted.sent.device.id;
    let is_first_of_all = state.feeds.is_none();
    let mut feeds = Feeds::take(&mut state, sender, watch);
    let known = feeds.report(sender).cloned();
    let signature = wanted.sent.signed.as_ref().map(|signed| signed.id);
    let repeated = known.as_ref().filter(|report| signature.is_some() && report.newest == signature);
    if repeated.is_none() {
        // Before a device's first report, the host's order is its own.
        check_order(known.as_ref().map_or(state.ordered_at, |report| report.ordered_at), wanted, remembers_since)?;
    }
    let before = known.as_ref().map(|report| report.addresses).unwrap_or_default();
    let (addresses, said) = resolve(before, before.v6.or(state.desired.v6), wanted)?;
    check_words(addresses != before, wanted, remembers_since)?;

    let is_other = addresses != before;
    let ordered_at = match &known {
        Some(report) if !is_other => report.ordered_at,
        Some(_) | None => wanted.sent.ordered_at,
    };
    let repeats = repeated.map(|report| report.newest_changed);
    let is_heartbeat = repeats.is_none() && !may_be_seen(wanted, remembers_since);
    feeds.hear(sender, &Word { addresses, ordered_at, is_heartbeat }, rule, watch);
    let has_switched = feeds.choose(rule, watch);
    let is_published = feeds.active == *sender;
    let automatic = feeds.addresses();
    let changes = is_published && state.hold.is_none() && automatic != state.desired;
    if let Some(report) = feeds.reports.iter_mut().find(|report| report.device == *sender) {
        (report.newest, report.newest_changed) = (signature, changes || repeats.unwrap_or(false));
    }
    let sent = if is_published && !has_switched { wanted.sent.ordered_at } else { watch.now.wall };
    Ok(Heard {
        automatic,
        by: feeds.active.clone(),
        ordered_at: state.ordered_at.max(sent),
        said,
        repeats,
        is_published,
        is_news: is_first_of_all || known.is_none() || is_other || has_switched,
        next: HostState { newest: signature, newest_changed: changes, feeds: Some(feeds), ..state },
    })
}

/// From what an update amounts to, and what is recorded, to what is to be done.
fn plan(state: &HostState, heard: Heard, is_settled: bool) -> Plan {
    let Heard { mut next, automatic, by, ordered_at, said, repeats, is_published, is_news } = heard;
    let has_ended = state.hold.is_some() && next.hold.is_none();
    if let Some(hold) = &mut next.hold {
        let echo = next.desired;
        next.newest_changed = false;
        if hold.noted != Some(automatic) {
            // What is noted has its place in the order of updates too: an older one must not come after it.
            next.ordered_at = ordered_at;
            (hold.noted, hold.noted_by) = (Some(automatic), Some(by));
        } else if !is_news {
            return match repeats {
                Some(_) => Plan::Repeat { echo, changed: false },
                None => Plan::Nothing { next, echo },
            };
        }
        return Plan::Note { next, echo };
    }
    // Who is not published hears what is, and that all is well: so it does not ask again.
    let echo = if is_published { said } else { automatic };
    next.desired = automatic;
    let is_change = automatic != state.desired;
    if is_change || has_ended {
        next = HostState { ordered_at, device: Some(by), newest_changed: is_change, ..next };
    }
    if is_change || has_ended || is_news {
        let is_waited_for = is_published && (is_change || !is_settled);
        return if is_waited_for { Plan::Publish { next, echo } } else { Plan::Note { next, echo } };
    }
    match repeats {
        Some(changed) if is_settled || !is_published => Plan::Repeat { echo, changed: changed && is_published },
        None if is_settled || !is_published => Plan::Nothing { next, echo },
        Some(_) | None => Plan::Settle { next, echo },
    }
}

/// A signed request must not undo what came after it. A password has no time of its own: it counts as sent now.
///
/// A repeat is no crime in itself: copies may overtake each other, and what was turned away may be sent again. It
/// stands where the first one stood, so whatever changed the host since then is newer.
fn check_order(newest: Timestamp, wanted: &Wanted, remembers_since: Timestamp) -> Result<(), Refusal> {
    let Some(signed) = &wanted.sent.signed else { return Ok(()) };
    // Signatures carry whole seconds. Within the second of the newest change the order of arrival decides, as
    // long as this process knows that it did not see the request before.
    let (sent, newest) = (wanted.sent.ordered_at.seconds(), newest.seconds());
    if sent > newest || (sent == newest && !may_be_seen(wanted, remembers_since)) {
        return Ok(());
    }
    Err(if signed.again.is_some() { Refusal::Replayed } else { Refusal::Stale })
}

/// A request that names no address means its peer's, and no signature covers that: repeated from elsewhere it would
/// mean another.
fn check_words(is_change: bool, wanted: &Wanted, remembers_since: Timestamp) -> Result<(), Refusal> {
    if is_change && wanted.is_from_peer && may_be_seen(wanted, remembers_since) {
        return Err(Refusal::Replayed);
    }
    Ok(())
}

/// Whether a signed request may have come before: it did, or it was signed before our memory began.
fn may_be_seen(wanted: &Wanted, remembers_since: Timestamp) -> bool {
    let signed = wanted.sent.signed.as_ref();
    signed.is_some_and(|signed| signed.again.is_some() || signed.claimed.seconds() <= remembers_since.seconds())
}

/// The addresses that there would be instead of `current`, and those that the answer names: the families of the
/// request. A bare network moves `own`.
fn resolve(current: AddressSet, own: Option<Ipv6Addr>, wanted: &Wanted) -> Result<(AddressSet, AddressSet), Refusal> {
    let (v4, v6) = match wanted.wish {
        Wish::Remove { v4, v6 } => {
            let kept = AddressSet { v4: current.v4.filter(|_| !v4), v6: current.v6.filter(|_| !v6) };
            return Ok((kept, AddressSet::EMPTY));
        }
        Wish::Publish { v4, v6 } => (v4, v6),
    };
    let v6: Option<Ipv6Addr> = match v6 {
        None => None,
        Some(prefix) => Some(match wanted.policy.rule.interface_id {
            Some(interface_id) if prefix.length < 128 => prefix.join(interface_id),
            // A bare network moves the address that the host has.
            None if prefix.length < 128 && prefix.is_bare() => prefix.join(own.ok_or(Refusal::BadAddress)?),
            Some(_) | None => prefix.address,
        }),
    };
    let said = AddressSet { v4, v6 };
    if !said.iter().all(|address| wanted.policy.zone.addresses.takes(address)) {
        return Err(Refusal::OutsidePolicy);
    }
    Ok((AddressSet { v4: v4.or(current.v4), v6: v6.or(current.v6) }, said))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nicgate_protocol::address::Prefix;
    use nicgate_protocol::{DeviceId, Hostname};

    use super::*;
    use crate::Now;
    use crate::authenticate::Signed;
    use crate::authorize::Sent;
    use crate::device::{Allowances, Device, Generation, Origin};
    use crate::policy::{AddressPolicy, HostPolicy, HostRule, ZonePolicy};
    use crate::state::Hold;

    const NOON: Timestamp = Timestamp(1_795_348_800_500);
    const ONE: [u8; 16] = [1; 16];
    const TWO: [u8; 16] = [2; 16];

    fn at(wall: Timestamp, is_settled: bool) -> Circumstances {
        let now = Now { wall, uptime: Duration::from_secs(3600) };
        Circumstances {
            watch: Watch { now, since: Duration::ZERO },
            cool_down: Duration::ZERO,
            is_settled,
            remembers_since: Timestamp(NOON.0 - 3_600_000),
        }
    }

    fn calm() -> Circumstances {
        at(NOON, true)
    }

    fn just_restarted() -> Circumstances {
        Circumstances { remembers_since: Timestamp(NOON.0 - 1000), ..calm() }
    }

    fn v4(text: &str) -> Wish {
        Wish::Publish { v4: Some(text.parse().unwrap()), v6: None }
    }

    fn v6(text: &str, length: u8) -> Wish {
        Wish::Publish { v4: None, v6: Some(Prefix { address: text.parse().unwrap(), length }) }
    }

    fn wanted(wish: Wish) -> Wanted {
        let name = |text| Hostname::parse(text).unwrap();
        let zone =
            ZonePolicy { name: name("home.test"), providers: Vec::new(), addresses: AddressPolicy::Any, ttl: None };
        let device = Device {
            id: DeviceId::parse("box").unwrap(),
            grants: Arc::default(),
            profile: None,
            allowances: Allowances::default(),
            generation: Generation::default(),
            origin: Origin::Command,
        };
        Wanted {
            hostname: name("a.home.test"),
            policy: HostPolicy { zone: Arc::new(zone), rule: HostRule::default() },
            wish,
            is_from_peer: false,
            sent: Sent { device: Arc::new(device), ordered_at: NOON, signed: None },
        }
    }

    fn signed(wish: Wish, id: [u8; 16], claimed: Timestamp) -> Wanted {
        let mut wanted = wanted(wish);
        wanted.sent.ordered_at = claimed.min(NOON);
        wanted.sent.signed = Some(Signed { id, nonce: [0; 8].into(), claimed, again: None });
        wanted
    }

    /// The state after a plan was carried out.
    fn after(state: &HostState, wanted: &Wanted, circumstances: Circumstances) -> HostState {
        decide(state, wanted, circumstances).unwrap().next().unwrap_or(state).clone()
    }

    #[test]
    fn a_new_address_is_published_and_the_same_is_nothing() {
        let state = HostState::default();
        let plan = decide(&state, &wanted(v4("192.0.2.1")), calm()).unwrap();
        let Plan::Publish { next, echo } = plan else { panic!("{plan:?}") };
        assert_eq!(echo.to_string(), "192.0.2.1");
        assert_eq!(next.device.as_ref().unwrap().as_str(), "box");
        let plan = decide(&next, &wanted(v4("192.0.2.1")), calm()).unwrap();
        assert!(matches!(plan, Plan::Nothing { .. }), "{plan:?}");
        let waiting = Circumstances { is_settled: false, ..calm() };
        let plan = decide(&next, &wanted(v4("192.0.2.1")), waiting).unwrap();
        assert!(matches!(plan, Plan::Settle { .. }), "{plan:?}");
    }

    #[test]
    fn a_family_that_is_not_mentioned_stays() {
        let state = after(&HostState::default(), &wanted(v4("192.0.2.1")), calm());
        let plan = decide(&state, &wanted(v6("2001:db8::1", 128)), calm()).unwrap();
        let Plan::Publish { next, echo } = plan else { panic!("{plan:?}") };
        assert_eq!(next.desired.to_string(), "192.0.2.1,2001:db8::1");
        assert_eq!(echo.to_string(), "2001:db8::1");
    }

    #[test]
    fn a_network_gives_the_host_part_of_the_interface_id() {
        let mut wanted = wanted(v6("2001:db8:1:5600::", 59));
        wanted.policy.rule.interface_id = Some("::211:32ff:fe12:3456".parse().unwrap());
        let next = after(&HostState::default(), &wanted, calm());
        assert_eq!(next.desired.to_string(), "2001:db8:1:5600:211:32ff:fe12:3456");
    }

    #[test]
    fn a_bare_network_moves_the_address_that_is_there_or_is_none() {
        let bare = wanted(v6("2001:db8:2::", 64));
        assert_eq!(decide(&HostState::default(), &bare, calm()), Err(Refusal::BadAddress));
        let state = after(&HostState::default(), &wanted(v6("2001:db8:1::7", 64)), calm());
        assert_eq!(state.desired.to_string(), "2001:db8:1::7");
        assert_eq!(after(&state, &bare, calm()).desired.to_string(), "2001:db8:2::7");
    }

    #[test]
    fn the_zone_says_which_ranges_it_takes() {
        let mut wanted = wanted(v4("192.168.1.1"));
        let mut zone = (*wanted.policy.zone).clone();
        zone.addresses = AddressPolicy::PublicOnly;
        wanted.policy.zone = Arc::new(zone);
        assert_eq!(decide(&HostState::default(), &wanted, calm()), Err(Refusal::OutsidePolicy));
        wanted.wish = v4("8.8.8.8");
        assert!(decide(&HostState::default(), &wanted, calm()).is_ok());
    }

    #[test]
    fn removing_takes_only_the_families_named() {
        let both = Wish::Publish {
            v4: Some([192, 0, 2, 1].into()),
            v6: Some(Prefix { address: "2001:db8::1".parse().unwrap(), length: 128 }),
        };
        let state = after(&HostState::default(), &wanted(both), calm());
        let one = after(&state, &wanted(Wish::Remove { v4: true, v6: false }), calm());
        assert_eq!(one.desired.to_string(), "2001:db8::1");
        let none = after(&one, &wanted(Wish::Remove { v4: true, v6: true }), calm());
        assert!(none.desired.is_empty());
        let plan = decide(&none, &wanted(Wish::Remove { v4: true, v6: true }), calm()).unwrap();
        assert!(matches!(plan, Plan::Nothing { .. }), "{plan:?}");
    }

    #[test]
    fn an_exact_repeat_of_the_newest_gets_the_same_answer() {
        let first = signed(v4("192.0.2.1"), ONE, NOON);
        let state = after(&HostState::default(), &first, calm());
        let mut again = first.clone();
        again.sent.signed.as_mut().unwrap().again = Some(NOON);
        let plan = decide(&state, &again, calm()).unwrap();
        assert!(matches!(plan, Plan::Repeat { changed: true, .. }), "{plan:?}");
        // Also after a restart that forgot the nonce.
        assert!(matches!(decide(&state, &first, just_restarted()), Ok(Plan::Repeat { changed: true, .. })));
        // A newer one of any kind ends that, even one that changed nothing.
        let state = after(&state, &wanted(v4("192.0.2.1")), calm());
        assert_eq!(decide(&state, &again, calm()), Err(Refusal::Replayed));
    }

    #[test]
    fn a_signature_that_names_no_address_cannot_be_repeated_from_elsewhere() {
        // Without `myip` the peer's address is meant, and no signature covers that.
        let from_peer = |text, again| {
            let mut wanted = signed(v4(text), ONE, NOON);
            wanted.is_from_peer = true;
            wanted.sent.signed.as_mut().unwrap().again = again;
            wanted
        };
        let state = after(&HostState::default(), &from_peer("192.0.2.1", None), calm());
        // Nor when a password said the same since, and it is not the newest any more.
        for state in [state.clone(), after(&state, &wanted(v4("192.0.2.1")), calm())] {
            let elsewhere = from_peer("192.0.2.66", Some(NOON));
            assert_eq!(decide(&state, &elsewhere, calm()), Err(Refusal::Replayed));
            // Nor after a restart that forgot it: it was signed before the memory began.
            let forgotten = Circumstances { remembers_since: NOON, ..calm() };
            assert!(decide(&state, &from_peer("192.0.2.66", None), forgotten).is_err());
        }
        // An old nochg is no newest change, so nothing but this rule stands in the way.
        let mut old = state.clone();
        old.ordered_at = Timestamp(NOON.0 - 600_000);
        old.newest = None;
        let forgotten = Circumstances { remembers_since: NOON, ..calm() };
        assert_eq!(decide(&old, &from_peer("192.0.2.66", None), forgotten), Err(Refusal::Replayed));
        assert!(decide(&old, &from_peer("192.0.2.66", None), calm()).is_ok());
    }

    #[test]
    fn a_repeat_asks_how_it_goes_while_the_push_is_under_way() {
        let first = signed(v4("192.0.2.1"), ONE, NOON);
        let state = after(&HostState::default(), &first, calm());
        let plan = decide(&state, &first, Circumstances { is_settled: false, ..calm() }).unwrap();
        let Plan::Settle { next, .. } = plan else { panic!("{plan:?}") };
        assert!(next.newest_changed, "the answer must stay `good`");
    }

    #[test]
    fn a_signed_request_cannot_undo_a_later_basic_one() {
        let old = signed(v4("192.0.2.1"), ONE, Timestamp(NOON.0 - 10_000));
        let state = after(&HostState::default(), &old, calm());
        let state = after(&state, &wanted(v4("192.0.2.2")), calm());
        assert_eq!(decide(&state, &old, just_restarted()), Err(Refusal::Stale));
        let unsent = signed(v4("192.0.2.3"), TWO, Timestamp(NOON.0 - 5_000));
        assert_eq!(decide(&state, &unsent, calm()), Err(Refusal::Stale));
    }

    #[test]
    fn within_one_second_the_order_of_arrival_decides_unless_memory_is_younger() {
        let state = after(&HostState::default(), &wanted(v4("192.0.2.2")), calm());
        let same_second = signed(v4("192.0.2.3"), TWO, Timestamp(NOON.0 - 500));
        assert!(matches!(decide(&state, &same_second, calm()), Ok(Plan::Publish { .. })));
        let restarted_since = Circumstances { remembers_since: NOON, ..calm() };
        assert_eq!(decide(&state, &same_second, restarted_since), Err(Refusal::Stale));
    }

    #[test]
    fn a_fast_clock_does_not_lock_out_its_own_true_time() {
        let fast = signed(v4("192.0.2.1"), ONE, Timestamp(NOON.0 + 270_000));
        let state = after(&HostState::default(), &fast, calm());
        let mut true_time = signed(v4("192.0.2.2"), TWO, Timestamp(NOON.0 + 2_000));
        true_time.sent.ordered_at = Timestamp(NOON.0 + 2_000);
        assert!(matches!(decide(&state, &true_time, calm()), Ok(Plan::Publish { .. })));
    }

    #[test]
    fn a_repeat_stands_where_the_first_one_stood() {
        let again = |first| {
            let mut copy = signed(v4("192.0.2.1"), ONE, Timestamp(NOON.0 + 270_000));
            copy.sent.ordered_at = first;
            copy.sent.signed.as_mut().unwrap().again = Some(first);
            copy
        };
        // A copy that overtook the first one does its work.
        let state = after(&HostState::default(), &again(NOON), calm());
        assert_eq!(state.desired.to_string(), "192.0.2.1");
        assert!(matches!(decide(&state, &again(NOON), calm()), Ok(Plan::Repeat { changed: true, .. })));
        // Whatever changed the host since then, or in the same second, is newer.
        for later in [200, 2_000_u64] {
            let mut newer = wanted(v4("192.0.2.2"));
            newer.sent.ordered_at = Timestamp(NOON.0 + later);
            let state = after(&state, &newer, calm());
            assert_eq!(decide(&state, &again(NOON), calm()), Err(Refusal::Replayed));
        }
        // Nobody knows any more when the first one came.
        assert_eq!(decide(&HostState::default(), &again(Timestamp(0)), calm()), Err(Refusal::Replayed));
    }

    #[test]
    fn what_a_pin_notes_keeps_the_order_of_updates() {
        let mut state = after(&HostState::default(), &wanted(v4("192.0.2.9")), calm());
        state.hold =
            Some(Box::new(Hold { until: Some(Timestamp(NOON.0 + 60_000)), is_pin: true, noted: None, noted_by: None }));
        let sent_at = |seconds: u64, id, text| {
            let mut wanted = signed(v4(text), id, Timestamp(NOON.0 + seconds * 1000));
            wanted.sent.ordered_at = Timestamp(NOON.0 + seconds * 1000);
            wanted
        };
        let (first, second) = (sent_at(10, ONE, "192.0.2.1"), sent_at(20, TWO, "192.0.2.2"));
        let state = after(&after(&state, &first, calm()), &second, calm());
        assert!(matches!(decide(&state, &second, calm()), Ok(Plan::Repeat { changed: false, .. })));
        assert_eq!(decide(&state, &first, calm()), Err(Refusal::Stale));
        let pin_is_over =
            Circumstances { remembers_since: just_restarted().remembers_since, ..at(Timestamp(NOON.0 + 61_000), true) };
        assert_eq!(decide(&state, &first, pin_is_over), Err(Refusal::Stale));
    }

    #[test]
    fn a_pin_holds_and_notes_what_was_asked() {
        let mut state = after(&HostState::default(), &wanted(v4("192.0.2.9")), calm());
        state.hold = Some(Box::new(Hold { until: None, is_pin: true, noted: None, noted_by: None }));
        let plan = decide(&state, &wanted(v4("192.0.2.1")), calm()).unwrap();
        let Plan::Note { next, echo } = plan else { panic!("{plan:?}") };
        assert_eq!(echo.to_string(), "192.0.2.9");
        assert_eq!(next.desired, state.desired);
        assert_eq!(next.hold.unwrap().noted.unwrap().to_string(), "192.0.2.1");
    }

    #[test]
    fn under_a_pin_both_families_are_noted_and_saying_the_same_again_records_nothing() {
        let both = Wish::Publish {
            v4: Some([192, 0, 2, 1].into()),
            v6: Some(Prefix { address: "2001:db8::1".parse().unwrap(), length: 128 }),
        };
        let state = after(&HostState::default(), &wanted(both), calm());
        let pin = AddressSet { v4: Some([192, 0, 2, 9].into()), v6: None };
        let state = HostState { number: 7, ..state }.pinned(pin, None, NOON, Duration::ZERO);
        let state = after(&state, &wanted(v4("192.0.2.2")), calm());
        let state = after(&state, &wanted(v6("2001:db8::2", 128)), calm());
        assert_eq!(state.desired.to_string(), "192.0.2.9,2001:db8::1");
        let hold = state.hold.as_ref().unwrap();
        assert_eq!(hold.noted.unwrap().to_string(), "192.0.2.2,2001:db8::2");
        assert_eq!(hold.noted_by.as_ref().unwrap().as_str(), "box");
        let plan = decide(&state, &wanted(v4("192.0.2.2")), calm()).unwrap();
        assert!(matches!(plan, Plan::Nothing { echo, .. } if echo == state.desired), "{plan:?}");
    }

    #[test]
    fn an_update_at_the_end_of_a_hold_stands_on_what_was_noted() {
        let noted = AddressSet { v4: Some([192, 0, 2, 1].into()), v6: Some("2001:db8::1".parse().unwrap()) };
        let pinned = AddressSet { v4: Some([192, 0, 2, 9].into()), v6: None };
        let hold = Hold { until: Some(NOON), is_pin: true, noted: Some(noted), noted_by: None };
        let state = HostState { desired: pinned, number: 7, hold: Some(Box::new(hold)), ..HostState::default() };
        for (wish, published) in [
            (v4("192.0.2.1"), "192.0.2.1,2001:db8::1"),
            (v4("192.0.2.2"), "192.0.2.2,2001:db8::1"),
            // It says what was pinned: IPv6 is published all the same.
            (v4("192.0.2.9"), "192.0.2.9,2001:db8::1"),
        ] {
            let plan = decide(&state, &wanted(wish), calm()).unwrap();
            let Plan::Publish { next, .. } = plan else { panic!("{plan:?}") };
            assert_eq!((next.desired.to_string().as_str(), next.hold), (published, None));
        }
        // Nothing is left to publish, but the end of the hold must not come back after a restart.
        let hold = Hold { noted: Some(AddressSet { v6: None, ..noted }), ..*state.hold.clone().unwrap() };
        let state = HostState { hold: Some(Box::new(hold)), ..state };
        let plan = decide(&state, &wanted(v4("192.0.2.9")), calm()).unwrap();
        let Plan::Note { next, .. } = plan else { panic!("{plan:?}") };
        assert_eq!((next.desired, next.hold), (pinned, None));
        let cooling = Circumstances { cool_down: Duration::from_secs(1), ..calm() };
        assert!(matches!(decide(&state, &wanted(v4("192.0.2.2")), cooling), Ok(Plan::Note { .. })));
    }

    /// The wish of one of several devices, at so many minutes after noon.
    fn of_device(id: &str, wish: Wish) -> Wanted {
        let mut wanted = wanted(wish);
        let device = Device { id: DeviceId::parse(id).unwrap(), ..Device::clone(&wanted.sent.device) };
        wanted.sent.device = Arc::new(device);
        wanted.policy.rule.fail_over = Some(Arc::new(FailOver {
            devices: ["fiber", "lte"].map(|id| DeviceId::parse(id).unwrap()).into(),
            heartbeat: Duration::from_secs(600),
            misses: 3,
            returns: 2,
            hold_down: Duration::ZERO,
        }));
        wanted
    }

    fn minutes(minutes: u64) -> Circumstances {
        let mut later = at(Timestamp(NOON.0 + minutes * 60_000), true);
        later.watch.now.uptime += Duration::from_secs(minutes * 60);
        later
    }

    #[test]
    fn a_device_that_is_not_the_published_one_is_remembered_and_hears_what_is_published() {
        let (fiber, lte) = (of_device("fiber", v4("192.0.2.1")), of_device("lte", v4("192.0.2.2")));
        let state = after(&HostState::default(), &fiber, minutes(0));
        let plan = decide(&state, &lte, minutes(0)).unwrap();
        let Plan::Note { next, echo } = plan else { panic!("{plan:?}") };
        assert_eq!((echo.to_string().as_str(), next.desired), ("192.0.2.1", state.desired));
        // Saying it again is a heartbeat, and nothing to record.
        let plan = decide(&next, &lte, minutes(20)).unwrap();
        let Plan::Nothing { next, echo } = plan else { panic!("{plan:?}") };
        assert_eq!(echo.to_string(), "192.0.2.1");
        // While the provider has not confirmed, it is not the one to wait for that.
        let waiting = Circumstances { is_settled: false, ..minutes(21) };
        assert!(matches!(decide(&next, &lte, waiting), Ok(Plan::Nothing { .. })));
        assert!(matches!(decide(&next, &fiber, waiting), Ok(Plan::Settle { .. })));
        // Its heartbeat may be what shows that the other one is silent.
        let plan = decide(&next, &lte, minutes(30)).unwrap();
        let Plan::Publish { next, .. } = plan else { panic!("{plan:?}") };
        assert_eq!((next.desired.to_string().as_str(), next.device.unwrap().as_str()), ("192.0.2.2", "lte"));
    }

    #[test]
    fn each_device_has_an_order_of_its_own() {
        let sent = |device, text, id, seconds: u64, again| {
            let mut wanted = of_device(device, v4(text));
            let claimed = Timestamp(NOON.0 + seconds * 1000);
            wanted.sent.ordered_at = claimed;
            wanted.sent.signed = Some(Signed { id, nonce: [0; 8].into(), claimed, again });
            wanted
        };
        let state = after(&HostState::default(), &of_device("lte", v4("192.0.2.9")), minutes(0));
        let state = after(&state, &sent("fiber", "192.0.2.1", ONE, 20, None), minutes(1));
        // Signed before the other one's change, and come after it.
        let late = sent("lte", "192.0.2.2", TWO, 10, None);
        let state = after(&state, &late, minutes(1));
        assert_eq!(
            state.feeds.as_ref().unwrap().report(&late.sent.device.id).unwrap().addresses.to_string(),
            "192.0.2.2"
        );
        // Its own order holds, and nothing that may be a replay is a sign of life.
        let older = sent("lte", "192.0.2.3", [3; 16], 5, None);
        assert_eq!(decide(&state, &older, minutes(1)), Err(Refusal::Stale));
        let copy = sent("lte", "192.0.2.2", TWO, 10, Some(Timestamp(NOON.0 + 10_000)));
        let plan = decide(&state, &copy, minutes(1)).unwrap();
        assert!(matches!(plan, Plan::Repeat { echo, changed: false } if echo == state.desired), "{plan:?}");
        let heard = |state: &HostState| state.feeds.as_ref().unwrap().report(&late.sent.device.id).unwrap().heard;
        let state_after = after(&state, &copy, minutes(25));
        assert_eq!(heard(&state_after), heard(&state));
        let restarted = Circumstances { remembers_since: Timestamp(NOON.0 + 60_000), ..minutes(2) };
        let same = sent("lte", "192.0.2.2", [4; 16], 30, None);
        assert_eq!(heard(&after(&state, &same, restarted)), heard(&state));
    }

    #[test]
    fn a_pin_goes_before_fail_over_and_its_end_publishes_whoever_is_living() {
        let (fiber, lte) = (of_device("fiber", v4("192.0.2.1")), of_device("lte", v4("192.0.2.2")));
        let state = after(&after(&HostState::default(), &fiber, minutes(0)), &lte, minutes(0));
        let pin = AddressSet { v4: Some([192, 0, 2, 99].into()), v6: None };
        let state = HostState { number: 7, ..state }.pinned(pin, None, NOON, Duration::ZERO);
        let state = after(&state, &lte, minutes(20));
        let plan = decide(&state, &lte, minutes(30)).unwrap();
        let Plan::Note { next, echo } = plan else { panic!("{plan:?}") };
        assert_eq!((echo, next.desired), (pin, pin));
        let over = next.released(NOON, Duration::ZERO).unwrap();
        assert_eq!((over.desired.to_string().as_str(), over.device.unwrap().as_str()), ("192.0.2.2", "lte"));
    }

    #[test]
    fn a_host_without_its_fail_over_is_everybodys_again() {
        let (fiber, lte) = (of_device("fiber", v4("192.0.2.1")), of_device("lte", v4("192.0.2.2")));
        let state = after(&after(&HostState::default(), &fiber, minutes(0)), &lte, minutes(0));
        let mut free = lte.clone();
        free.policy.rule.fail_over = None;
        let next = after(&state, &free, minutes(1));
        assert_eq!((next.desired.to_string().as_str(), next.feeds), ("192.0.2.2", None));
    }
}
