//! `update`: the journey of one update, from the claim on the work to the last word of a gateway.
//!
//! claim → uplink → survey → choose → due? → sign and send, gateway after gateway → remember. What awaits here does
//! not choose: the choices are made in `uplink`, `choose`, `schedule` and `reply`.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use nicgate_protocol::{AddressSet, Family, Timestamp};
use tokio::time::timeout;

use crate::choose::{Found, Judged, Rule, caveat, choose, chosen};
use crate::detect::{self, Reach, Surroundings, Survey, Unlearned, probe};
use crate::entropy;
use crate::gateway::Gateway;
use crate::http::{Answer, Caller, Line};
use crate::lease::{Heartbeat, Resident};
use crate::outside::Outside;
use crate::platform::Interface;
use crate::reply::{self, Heard, Verdict};
use crate::report::{Ending, Report, Sent};
use crate::schedule::{self, Due, Span, Why, gateways};
use crate::settings::Settings;
use crate::state::{Last, Opened, ResidentLock, State, StateFault};
use crate::trouble::{Failed, NoAnswer, Trouble};
use crate::uplink::{self, Choice};
use crate::way::Way;

/// How long one update may take in all. Whoever is at work for longer is stuck, and others may take over.
pub const LONGEST: Duration = Duration::from_secs(180);

/// How long all gateways together may take to connect, and again to answer.
const SHARED_PATIENCE: Duration = Duration::from_secs(40);

/// How far off a clock may be for a signature to be accepted.
const SIGNED_WITHIN: Duration = Duration::from_secs(300);

/// When to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Whatever was acknowledged before.
    Always,
    /// Only when the gateway does not know yet, or its word is old.
    IfDue,
}

/// For whom an update is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A person, or another program.
    Person,
    /// The resident client, which looks again after so long at the latest.
    Resident(Duration),
    /// The system's scheduler, which ends us after so long: the work is left to a resident client that does it.
    Scheduled(Duration),
}

/// Finds this machine's addresses and tells a gateway, if it does not know them yet.
///
/// # Errors
/// When there is nothing to send or no answer about the hosts. A refusal by the gateway is no error here: it is in the
/// report.
pub async fn update(settings: &Settings, when: When, role: Role, outside: Outside<'_>) -> Result<Report, Failed> {
    let now = outside.now();
    let limit = if let Role::Scheduled(limit) = role { limit.min(LONGEST) } else { LONGEST };
    let heartbeat = |next, is_well| {
        let next = outside.now().seconds() + Duration::as_secs(&next);
        Heartbeat { pid: std::process::id(), at: outside.now().seconds(), next, is_well }
    };
    let nonce = entropy::nonce(outside.throw().map_err(Failed::from)?);
    let (mut state, mut notes) = match State::open(settings, &nonce, now, limit).map_err(Trouble::State)? {
        Opened::Ours(state, notes) => (state, notes),
        Opened::Busy => return Ok(Report::without_work(Ending::Busy)),
    };
    let resident = match state.resident(now) {
        there @ (Resident::AtWork(_) | Resident::Failing | Resident::Silent(_))
            if !matches!(role, Role::Resident(_)) =>
        {
            // One that is dead has let go of its lock, and is mentioned this once.
            if ResidentLock::take(settings).map_err(Trouble::State)?.is_some() {
                state.note_resident(None);
                notes.push("the resident client has died; this run does its work".to_owned());
                Resident::None
            } else {
                there
            }
        }
        there @ (Resident::AtWork(_) | Resident::Failing | Resident::None | Resident::Silent(_)) => there,
    };
    match (role, resident) {
        (Role::Scheduled(_), Resident::AtWork(age)) => {
            state.close().map_err(Trouble::State)?;
            return Ok(Report::without_work(Ending::LeftToResident(age)));
        }
        (Role::Scheduled(_) | Role::Person, Resident::Silent(age)) => {
            let age = Span(age);
            notes
                .push(format!("the resident client has not come round for {age}: it is stuck; this run does its work"));
        }
        (Role::Scheduled(_), Resident::Failing) => {
            notes.push("the resident client fails; this run tries for itself".to_owned());
        }
        (Role::Resident(_), _) => {
            let was_well = state.last().is_none_or(|last| last.exit_code == 0);
            state.note_resident(Some(heartbeat(LONGEST, was_well)));
            note(state.save(), &mut notes);
        }
        (Role::Person, Resident::AtWork(_) | Resident::Failing | Resident::None)
        | (Role::Scheduled(_), Resident::None) => {}
    }

    let mut ended =
        timeout(limit, attempt(settings, when, outside, &mut state)).await.unwrap_or(Err(Trouble::TooLong(limit)));
    let (exit_code, message) = match &mut ended {
        Ok(report) => {
            notes.append(&mut report.notes);
            (report.exit_code(), report.to_string())
        }
        Err(trouble) => (trouble.exit_code(), trouble.to_string()),
    };
    state.note_last(Last { at: outside.now().seconds(), exit_code, message, notes: notes.clone() });
    if let Role::Resident(interval) = role {
        // A gateway may wish for more quiet than that.
        let wish = ended.as_ref().ok().and_then(Report::quiet).unwrap_or_default();
        state.note_resident(Some(heartbeat(interval.max(wish), exit_code == 0)));
    }
    // The gateway has spoken, so this changes nothing about how the update ended: the next run repeats it.
    note(state.close(), &mut notes);
    match ended {
        Ok(report) => Ok(Report { notes, ..report }),
        Err(trouble) => Err(Failed { trouble, notes }),
    }
}

/// What cannot be written down is mentioned, and no more: a full disk is no reason to leave a name wrong.
fn note(written: Result<(), StateFault>, notes: &mut Vec<String>) {
    notes.extend(written.err().map(|fault| fault.to_string()));
}

/// One attempt, with the work claimed.
async fn attempt(settings: &Settings, when: When, outside: Outside<'_>, state: &mut State) -> Result<Report, Trouble> {
    let mut notes = Vec::new();
    let interfaces = detect::interfaces();
    let looked = take_uplink(settings, &interfaces, state.uplinks(), outside).await?;
    let way = match looked {
        Some(looked) => {
            // Also when none works: what was seen broken has to prove itself anew.
            state.remember_uplinks(looked.choice.memory.clone());
            let taken = looked.taken()?;
            if taken.has_changed {
                notes.push(format!("uplink {}: {}", taken.name, taken.why));
            }
            taken.way
        }
        None => Way::ANY,
    };
    let caller = Caller::new(&settings.trust, way, patience(settings));
    let urls: Vec<String> = settings.gateways.iter().map(ToString::to_string).collect();
    let order = gateways::order(&urls, state.silent(), outside.now());

    let dice = || outside.throw();
    let around = Surroundings {
        settings,
        caller: &caller,
        gateways: &order,
        interfaces: &interfaces,
        dice: &dice,
        reach: Reach::Enough,
    };
    let Survey { found, unlearned, line, silent, .. } = detect::survey(&around, rules(settings, state)).await;
    let survey_has_line = line.is_some();
    for place in &silent {
        gateways::note_silence(state.silent_mut(), &urls[order[*place]], outside.now());
    }
    let (addresses, judged) = choose_both(rules(settings, state), &found);
    if addresses.is_empty() {
        return Err(Trouble::NoAddress(unlearned, judged.len()));
    }
    for unlearned in &unlearned {
        let is_silent = matches!(unlearned.why, detect::Why::Silent(_));
        if addresses.of(unlearned.family).is_none() {
            notes.push(untouched(unlearned));
        } else if is_silent && survey_has_line {
            notes.push(format!("{unlearned}; another gateway answered"));
        }
    }
    notes.extend(caveat(&judged));

    let ending = tell(
        &Telling { settings, caller: &caller, when, outside, addresses },
        Doors { order, silent, line },
        state,
        &mut notes,
    )
    .await?;
    Ok(Report { ending, judged, notes })
}

/// What is to be told.
struct Telling<'a> {
    settings: &'a Settings,
    caller: &'a Caller,
    when: When,
    outside: Outside<'a>,
    addresses: AddressSet,
}

/// The gateways as the survey left them.
struct Doors {
    /// Places in the settings, in the order to try.
    order: Vec<usize>,
    /// Places in `order` that were just silent.
    silent: Vec<usize>,
    /// A connection that still stands: the place in `order`.
    line: Option<(usize, Line)>,
}

/// Tells the first gateway that listens; the one that answered the survey first of all.
async fn tell(
    telling: &Telling<'_>,
    doors: Doors,
    state: &mut State,
    notes: &mut Vec<String>,
) -> Result<Ending, Trouble> {
    let Telling { settings, caller, when, outside, addresses } = *telling;
    let Doors { order, silent, line } = doors;
    let mut line = line;
    let mut places: Vec<usize> = (0..order.len()).collect();
    let answered = line.as_ref().map(|(place, _)| *place);
    places.sort_by_key(|place| (Some(*place) != answered, silent.contains(place), *place));

    let mut unanswered = Vec::new();
    let mut not_now = None;
    for place in places {
        let url = &settings.gateways[order[place]];
        let name = url.to_string();
        let why = match (due(settings, state, &name, addresses, outside.now()), when) {
            (Due::Yes(why), _) => why,
            (Due::No(_), When::Always) => Why::Asked,
            (Due::No(age), When::IfDue) => return Ok(Ending::NothingToDo(addresses, age)),
        };
        let gateway = Gateway::new(settings, url, caller);
        let standing = line.take_if(|(at, _)| *at == place).map(|(_, line)| line);
        match ask(&gateway, telling, standing, state, notes).await? {
            Ok(heard) => {
                if let Some(age) = gateways::note_answer(state.silent_mut(), &name, outside.now()) {
                    notes.push(format!("{name} answers again, after {} of silence", Span(age)));
                }
                let now = outside.now();
                for result in &heard.results {
                    state.note(&name, &result.hostname, addresses, &result.code, now);
                }
                // Not now, or not yet: another one may be able to, and hears the same.
                let passes = |verdict| matches!(verdict, Verdict::NotNow | Verdict::Unconfirmed);
                let is_busy = heard.results.iter().all(|result| passes(result.verdict));
                let sent = Sent { device: settings.device.clone(), gateway: name, addresses, why, heard };
                if !is_busy {
                    notes.extend(
                        unanswered.iter().map(|(name, why)| format!("{name}: {why}; the next gateway was told")),
                    );
                    return Ok(Ending::Sent(sent));
                }
                not_now.get_or_insert(sent);
            }
            Err(why) => {
                if !silent.contains(&place) {
                    gateways::note_silence(state.silent_mut(), &name, outside.now());
                }
                unanswered.push((name, why));
            }
        }
    }
    not_now.map(Ending::Sent).ok_or(Trouble::Unanswered(unanswered))
}

/// Signs, sends and reads. The outer failure is ours, the inner one the gateway's.
async fn ask(
    gateway: &Gateway<'_>,
    telling: &Telling<'_>,
    line: Option<Line>,
    state: &mut State,
    notes: &mut Vec<String>,
) -> Result<Result<Heard, NoAnswer>, Trouble> {
    let hosts = &telling.settings.hosts;
    let nonce = entropy::nonce(telling.outside.throw()?);
    let question = match gateway.update(hosts, telling.addresses, telling.outside.now(), &nonce) {
        Ok(question) => question,
        Err(fault) => return Ok(Err(NoAnswer::Http(fault))),
    };
    let name = gateway.url().to_string();
    hosts.iter().for_each(|hostname| state.note_sending(&name, hostname, telling.addresses));
    note(state.save(), notes);
    Ok(match gateway.exchange(&question, line).await {
        Ok(answer) => {
            notes.extend(clock_off(&answer, telling.outside.now()));
            reply::read(&answer, hosts).map_err(NoAnswer::NotOurs)
        }
        Err(fault) => Err(NoAnswer::Http(fault)),
    })
}

/// How long a gateway may take to connect, and again to answer: all of them together have less than an update.
pub(super) fn patience(settings: &Settings) -> Duration {
    let gateways = u32::try_from(settings.gateways.len()).unwrap_or(u32::MAX).max(1);
    settings.timeout.min(SHARED_PATIENCE / gateways)
}

/// What was seen of the uplinks.
pub(super) struct Looked {
    /// Which one to use, and what to remember.
    pub(super) choice: Choice,
    /// What is wrong with each that does not work: name and sentence.
    pub(super) broken: Vec<(String, String)>,
    /// The name of the one to use; empty when none works.
    pub(super) name: String,
    way: Option<Way>,
    has_changed: bool,
}

/// Why a signature was not accepted, if it is the clock: a machine that just started may not know the time yet.
fn clock_off(answer: &Answer, now: Timestamp) -> Option<String> {
    let theirs = answer.date.as_deref().filter(|_| answer.status == 401).and_then(reply::date)?;
    let (off, direction) = if now < theirs { (theirs.since(now), "behind") } else { (now.since(theirs), "ahead of") };
    let off = (off > SIGNED_WITHIN).then_some(Span(off))?;
    Some(format!(
        "this machine's clock is {off} {direction} the gateway's, which refuses what is signed more than {} off: set \
         it right",
        Span(SIGNED_WITHIN)
    ))
}

/// An uplink, ready to be used.
pub(super) struct Taken {
    /// Its name.
    pub(super) name: String,
    /// The sockets that keep to it.
    pub(super) way: Way,
    /// Why it was taken.
    pub(super) why: uplink::Why,
    /// Whether another one was in use before.
    pub(super) has_changed: bool,
}

impl Looked {
    /// The uplink to use.
    ///
    /// # Errors
    /// [`Trouble::NoUplink`] when none works.
    pub(super) fn taken(self) -> Result<Taken, Trouble> {
        match self.way {
            Some(way) => Ok(Taken { name: self.name, way, why: self.choice.why, has_changed: self.has_changed }),
            None => Err(Trouble::NoUplink(self.broken)),
        }
    }
}

/// Probes every uplink by its own card and chooses one; nothing where the file names none.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) async fn take_uplink(
    settings: &Settings,
    interfaces: &io::Result<Vec<Interface>>,
    memory: &uplink::Memory,
    outside: Outside<'_>,
) -> Result<Option<Looked>, Trouble> {
    if settings.uplinks.is_empty() {
        return Ok(None);
    }
    let id = outside.number()? as u16;
    // One that is alone and has no probes is used as it is: whether it works shows when the gateway is asked.
    let is_alone = settings.uplinks.len() == 1 && settings.uplinks[0].probes.is_empty();
    let probing = settings.uplinks.iter().map(|uplink| async move {
        let way = detect::way(interfaces, &uplink.bind)?;
        if is_alone {
            return Ok(way);
        }
        probe::works(settings, &way, &uplink.probes, id).await.map(|()| way)
    });
    let ways: Vec<Result<Way, String>> = join_all(probing.collect()).await;
    let seen: Vec<(&str, bool)> =
        settings.uplinks.iter().zip(&ways).map(|(uplink, way)| (uplink.name.as_str(), way.is_ok())).collect();
    let choice = uplink::decide(&seen, memory, settings.hold_down, outside.now());
    let name = choice.index.map_or(String::new(), |index| settings.uplinks[index].name.clone());
    let way = choice.index.and_then(|index| ways.get(index)).and_then(|way| way.clone().ok());
    let has_changed = memory.current().is_some_and(|current| current != name);
    let broken = settings.uplinks.iter().zip(ways);
    let broken = broken.filter_map(|(uplink, way)| way.err().map(|why| (uplink.name.clone(), why))).collect();
    Ok(Some(Looked { choice, broken, name, way, has_changed }))
}

/// Waits for all of them at once. There are a handful.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_over = true;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => is_over = false,
                }
            }
        }
        if is_over { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}

/// What is asked of each family.
pub(super) fn rules<'a>(settings: &'a Settings, state: &State) -> [Rule<'a>; 2] {
    let remembered = settings.hosts.first().and_then(|hostname| state.newest(hostname));
    Family::BOTH.map(|family| Rule {
        family,
        sources: settings.sources(family),
        allow: settings.allow,
        interface_id: settings.interface_id,
        last: remembered.and_then(|entry| entry.acknowledged().of(family)),
    })
}

/// The best address of each family, and what became of every one found.
pub(super) fn choose_both(rules: [Rule<'_>; 2], found: &[Found]) -> (AddressSet, Vec<Judged>) {
    let mut addresses = AddressSet::EMPTY;
    let mut all = Vec::new();
    for rule in rules {
        let judged = choose(rule, found);
        match chosen(&judged) {
            Some(IpAddr::V4(v4)) => addresses.v4 = Some(v4),
            Some(IpAddr::V6(v6)) => addresses.v6 = Some(v6),
            None => {}
        }
        all.extend(judged);
    }
    (addresses, all)
}

fn due(settings: &Settings, state: &State, gateway: &str, addresses: AddressSet, now: Timestamp) -> Due {
    let remembered = settings.hosts.iter().map(|hostname| (hostname, state.of(gateway, hostname)));
    schedule::decide(addresses, remembered, settings.refresh, now)
}

/// A family about which nothing could be learned is left alone, and people hear of it.
fn untouched(unlearned: &Unlearned) -> String {
    format!("{unlearned}; what the DNS holds of that family is left alone")
}
