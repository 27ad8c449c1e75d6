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
use crate::http::{Caller, Line};
use crate::lease::{Heartbeat, Resident};
use crate::outside::Outside;
use crate::platform::Interface;
use crate::reply::{self, Heard, Verdict};
use crate::report::{Ending, Report, Sent};
use crate::schedule::{self, Due, Span, Why, gateways};
use crate::settings::Settings;
use crate::state::{Last, Opened, ResidentLock, State};
use crate::trouble::{NoAnswer, Trouble};
use crate::uplink::{self, Choice};
use crate::way::Way;

/// How long one update may take in all. Whoever is at work for longer is stuck, and others may take over.
pub const LONGEST: Duration = Duration::from_secs(180);

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
    /// The system's scheduler: it leaves the work to a resident client that does it.
    Scheduled,
}

/// Finds this machine's addresses and tells a gateway, if it does not know them yet.
///
/// # Errors
/// When there is nothing to send or no answer about the hosts. A refusal by the gateway is no error here: it is in the
/// report.
pub async fn update(settings: &Settings, when: When, role: Role, outside: Outside<'_>) -> Result<Report, Trouble> {
    let now = outside.now();
    let heartbeat = |next, is_well| {
        let next = outside.now().seconds() + Duration::as_secs(&next);
        Heartbeat { pid: std::process::id(), at: outside.now().seconds(), next, is_well }
    };
    let (mut state, mut notes) = match State::open(settings, &entropy::nonce(outside.throw()?), now, LONGEST)? {
        Opened::Ours(state, notes) => (state, notes),
        Opened::Busy => return Ok(Report::without_work(Ending::Busy)),
    };
    match (role, state.resident(now)) {
        (Role::Scheduled, Resident::AtWork(age)) => {
            state.close()?;
            return Ok(Report::without_work(Ending::LeftToResident(age)));
        }
        (Role::Scheduled | Role::Person, Resident::Silent(age)) => {
            // One that is dead has let go of its lock, and is mentioned this once.
            let is_dead = ResidentLock::take(settings)?.is_some();
            if is_dead {
                state.note_resident(None);
            }
            let how = if is_dead { "dead" } else { "stuck" };
            let age = Span(age);
            notes
                .push(format!("the resident client has not come round for {age}: it is {how}; this run does its work"));
        }
        (Role::Scheduled, Resident::Failing) => {
            notes.push("the resident client fails; this run tries for itself".to_owned());
        }
        (Role::Resident(_), _) => {
            let was_well = state.last().is_none_or(|last| last.exit_code == 0);
            state.note_resident(Some(heartbeat(LONGEST, was_well)));
            state.save()?;
        }
        (Role::Person, Resident::AtWork(_) | Resident::Failing | Resident::None)
        | (Role::Scheduled, Resident::None) => {}
    }

    let mut ended =
        timeout(LONGEST, attempt(settings, when, outside, &mut state)).await.unwrap_or(Err(Trouble::TooLong(LONGEST)));
    let (exit_code, message) = match &mut ended {
        Ok(report) => {
            notes.append(&mut report.notes);
            (report.exit_code(), report.to_string())
        }
        Err(trouble) => (trouble.exit_code(), trouble.to_string()),
    };
    state.note_last(Last { at: outside.now().seconds(), exit_code, message });
    if let Role::Resident(interval) = role {
        // A gateway may wish for more quiet than that.
        let wish = ended.as_ref().ok().and_then(Report::another_try).flatten().unwrap_or_default();
        state.note_resident(Some(heartbeat(interval.max(wish), exit_code == 0)));
    }
    if let Err(fault) = state.close() {
        // The gateway has spoken, so this changes nothing about how the update ended: the next run repeats it.
        notes.push(fault.to_string());
    }
    ended.map(|report| Report { notes, ..report })
}

/// One attempt, with the work claimed.
async fn attempt(settings: &Settings, when: When, outside: Outside<'_>, state: &mut State) -> Result<Report, Trouble> {
    let mut notes = Vec::new();
    let interfaces = detect::interfaces();
    let way = match take_uplink(settings, &interfaces, state.uplinks(), outside).await? {
        Some(taken) => {
            if taken.has_changed {
                notes.push(format!("uplink {}: {}", taken.name, taken.choice.why));
            }
            state.remember_uplinks(taken.choice.memory);
            taken.way
        }
        None => Way::ANY,
    };
    let caller = Caller::new(&settings.trust, way, settings.timeout);
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
        match ask(&gateway, telling, standing, state).await? {
            Ok(heard) => {
                if let Some(age) = gateways::note_answer(state.silent_mut(), &name, outside.now()) {
                    notes.push(format!("{name} answers again, after {} of silence", Span(age)));
                }
                let now = outside.now();
                for result in &heard.results {
                    state.note(&name, &result.hostname, addresses, &result.code, now);
                }
                let is_busy = heard.results.iter().all(|result| result.verdict == Verdict::NotNow);
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
) -> Result<Result<Heard, NoAnswer>, Trouble> {
    let hosts = &telling.settings.hosts;
    let nonce = entropy::nonce(telling.outside.throw()?);
    let question = match gateway.update(hosts, telling.addresses, telling.outside.now(), &nonce) {
        Ok(question) => question,
        Err(fault) => return Ok(Err(NoAnswer::Http(fault))),
    };
    let name = gateway.url().to_string();
    hosts.iter().for_each(|hostname| state.note_sending(&name, hostname));
    state.save()?;
    Ok(match gateway.exchange(&question, line).await {
        Ok(answer) => reply::read(&answer, hosts).map_err(NoAnswer::NotOurs),
        Err(fault) => Err(NoAnswer::Http(fault)),
    })
}

/// An uplink, ready to be used.
pub(super) struct Taken {
    /// Its name.
    pub(super) name: String,
    /// The sockets that keep to it.
    pub(super) way: Way,
    /// Why it was taken.
    pub(super) choice: Choice,
    /// Whether another one was in use before.
    pub(super) has_changed: bool,
    /// What is wrong with each of the others: name and sentence.
    pub(super) broken: Vec<(String, String)>,
}

/// Probes every uplink by its own card and takes one; nothing where the file names none.
///
/// # Errors
/// [`Trouble::NoUplink`] when none works.
pub(super) async fn take_uplink(
    settings: &Settings,
    interfaces: &io::Result<Vec<Interface>>,
    memory: &uplink::Memory,
    outside: Outside<'_>,
) -> Result<Option<Taken>, Trouble> {
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
    let mut ways: Vec<Result<Way, String>> = join_all(probing.collect()).await;
    let seen: Vec<(&str, bool)> =
        settings.uplinks.iter().zip(&ways).map(|(uplink, way)| (uplink.name.as_str(), way.is_ok())).collect();
    let choice = uplink::decide(&seen, memory, settings.hold_down, outside.now());
    let broken = settings
        .uplinks
        .iter()
        .zip(&ways)
        .filter_map(|(uplink, way)| way.as_ref().err().map(|why| (uplink.name.clone(), why.clone())))
        .collect();
    match choice.index.map(|index| (index, ways.swap_remove(index))) {
        Some((index, Ok(way))) => {
            let name = settings.uplinks[index].name.clone();
            let has_changed = memory.current().is_some_and(|current| current != name);
            Ok(Some(Taken { name, way, choice, has_changed, broken }))
        }
        Some((_, Err(_))) | None => Err(Trouble::NoUplink(broken)),
    }
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
