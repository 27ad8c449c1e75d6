//! `doctor`: looks at everything that an update needs, one thing after the other, cheap ones first, and names the cure.
//! Goes on after a fault wherever that makes sense. Changes nothing: the update that it sends is for a name that
//! cannot exist.
//!
//! Here is what looks; what it means, and every text, is in [`judge`].
//!
//! Exit codes: 0 nothing is wrong (doubts do not count), 1 something is, 2 there is no configuration that can be used.

mod judge;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nicgate_protocol::{AddressSet, Hostname};
use serde_json::json;
use tokio::time::timeout;

use self::judge::{Finding, Grade, Reached};
use super::arguments::Volume;
use super::install::ask;
use super::scheduling::with_surroundings;
use super::status::{self, StateView};
use super::update::{choose_both, patience, rules, take_uplink};
use super::{Speaker, located, print};
use crate::base_url::BaseUrl;
use crate::clock;
use crate::detect::{self, Reach, Surroundings, survey};
use crate::entropy;
use crate::gateway::{self, Gateway};
use crate::http::{Caller, HttpFault, resolve};
use crate::outside::Outside;
use crate::platform;
use crate::reply;
use crate::schedule::gateways;
use crate::settings::Settings;
use crate::state::State;
use crate::task::Job;
use crate::task::place::Scope;
use crate::trouble::{NoAnswer, Trouble};
use crate::way::Way;

/// A name below a domain that nobody can have (RFC 2606 2), and an address that nobody has (RFC 5737): a gateway can
/// only refuse them, and whether it does so for the name or for the signature tells whether the key is right.
const NOBODY: &str = "doctor.invalid";
const NOWHERE: AddressSet = AddressSet { v4: Some(std::net::Ipv4Addr::new(192, 0, 2, 1)), v6: None };

/// What was found so far. People see it as it comes.
struct Chart<'a> {
    findings: Vec<Finding>,
    speaker: &'a Speaker,
}

impl Chart<'_> {
    fn note(&mut self, finding: Finding) {
        let is_said = self.speaker.volume != Volume::Quiet || finding.grade == Grade::Wrong;
        if !self.speaker.is_json && is_said {
            print(&finding.to_string());
        }
        self.findings.push(finding);
    }

    /// Prints what scripts read. Returns the exit code.
    fn close(self, is_usable: bool) -> u8 {
        let is_wrong = self.findings.iter().any(|finding| finding.grade == Grade::Wrong);
        let code = if is_usable { u8::from(is_wrong) } else { 2 };
        if self.speaker.is_json {
            let checks: Vec<_> = self.findings.iter().map(Finding::json).collect();
            print(&json!({ "exit_code": code, "checks": checks }).to_string());
        }
        code
    }
}

/// Examines everything. Returns the exit code.
pub(super) async fn doctor(config: Option<PathBuf>, speaker: &Speaker) -> u8 {
    let mut chart = Chart { findings: Vec::new(), speaker };
    let (path, loaded) = match located(config.as_deref()) {
        Ok(found) => found,
        Err(trouble) => {
            chart.note(judge::no_config(&trouble));
            examine_task(None, &mut chart);
            return chart.close(false);
        }
    };
    let settings = loaded.settings;
    chart.note(judge::config(&path, &settings));
    chart.note(judge::key(&loaded.warnings));
    let is_others = path.starts_with(platform::system_folder()) && !platform::is_elevated();
    if let Some(file) = &settings.state_file {
        chart.note(judge::writable("state", file, can_replace(file), is_others));
    }
    if let Some(log) = &settings.log {
        chart.note(judge::writable("log", &log.path, can_append(&log.path), is_others));
    }
    examine_task(Some(&settings), &mut chart);
    if let Err(trouble) = examine_network(&settings, &mut chart).await {
        chart.note(judge::trouble(&trouble));
    }
    chart.close(true)
}

/// Whether a file can be replaced by a new one beside it.
fn can_replace(path: &Path) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".doctor");
    let beside = PathBuf::from(beside);
    File::create(&beside)?;
    fs::remove_file(beside)?;
    if path.exists() { can_append(path) } else { Ok(()) }
}

/// Whether something can be written behind what stands in a file; one that is not there is not made.
fn can_append(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).open(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => can_replace(path),
        opened => opened.map(|_| ()),
    }
}

/// What is scheduled, and what is remembered of earlier updates.
fn examine_task(settings: Option<&Settings>, chart: &mut Chart<'_>) {
    let state = settings.map(|settings| (State::peek(settings), settings));
    let resident = state.as_ref().map(|(state, _)| state.resident(clock::now()));
    let asked = with_surroundings(chart.speaker, |around| {
        let place = status::place(Scope::Natural, around)?;
        Ok(Job::BOTH.map(|job| (job, ask(&place, job, around))))
    });
    match asked {
        Ok(Ok(jobs)) => {
            jobs.iter().for_each(|(job, answer)| chart.note(judge::task(*job, answer, resident.as_ref())));
        }
        Ok(Err(unfit)) => chart.note(judge::no_task(&unfit)),
        // Said already.
        Err(_) => {}
    }
    if let Some((state, settings)) = &state {
        for line in StateView::of(state, settings, clock::now()).lines {
            chart.note(judge::remembered(&line));
        }
    }
}

/// Everything that goes over the network.
async fn examine_network(settings: &Settings, chart: &mut Chart<'_>) -> Result<(), Trouble> {
    let outside = Outside::of_system();
    let state = State::peek(settings);
    let interfaces = detect::interfaces();
    chart.note(judge::interfaces(&interfaces));
    judge::routes(settings, &interfaces).into_iter().for_each(|finding| chart.note(finding));

    let way = match take_uplink(settings, &interfaces, state.uplinks(), outside).await? {
        None => Way::ANY,
        Some(looked) => {
            for uplink in &settings.uplinks {
                chart.note(judge::uplink(&uplink.name, &looked.name, &looked.broken));
            }
            // When none works: perhaps the gateway can be reached by another line. That would be worth knowing.
            looked.taken().map_or(Way::ANY, |taken| taken.way)
        }
    };
    let caller = Caller::new(&settings.trust, way, patience(settings));
    let mut is_any_reached = false;
    for url in &settings.gateways {
        is_any_reached |= examine_gateway(settings, url, &caller, outside, chart).await?;
    }
    if !is_any_reached {
        return Ok(());
    }
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
    let found = survey(&around, rules(settings, &state)).await;
    let (addresses, _) = choose_both(rules(settings, &state), &found.found);
    judge::addresses(settings, addresses, &found.unlearned).into_iter().for_each(|finding| chart.note(finding));
    Ok(())
}

/// One gateway, from its name to its word about our key. Gives whether it answers.
async fn examine_gateway(
    settings: &Settings,
    url: &BaseUrl,
    caller: &Caller,
    outside: Outside<'_>,
    chart: &mut Chart<'_>,
) -> Result<bool, Trouble> {
    let patience = settings.timeout;
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let looked = timeout(patience, resolve(url.host(), url.port())).await.unwrap_or_else(|_| Err(late()));
    chart.note(judge::name(url, looked.as_deref()));
    let Ok(addresses) = looked else { return Ok(false) };

    let mut reached: Vec<Reached> = Vec::new();
    for address in addresses {
        let connected = timeout(patience.min(Duration::from_secs(5)), caller.way().connect(address)).await;
        reached.push((address, connected.unwrap_or_else(|_| Err(late())).err()));
    }
    let is_reached = reached.iter().any(|(_, fault)| fault.is_none());
    chart.note(judge::tcp(url, &reached));
    if !is_reached {
        return Ok(false);
    }

    let mut line = match caller.connect(url, None).await {
        Ok(line) => line,
        Err(fault) => {
            chart.note(judge::tls(url, Some(&fault)));
            return Ok(false);
        }
    };
    chart.note(judge::tls(url, None));
    let answer = match line.ask(&gateway::get(url, "/myip")).await {
        Ok(answer) => answer,
        Err(fault) => {
            chart.note(judge::silent(url, &fault));
            return Ok(false);
        }
    };
    let now = outside.now();
    chart.note(judge::seen(url, &answer));
    let clock = judge::clock(url, now, answer.date.as_deref());
    let is_clock_wrong = clock.as_ref().is_some_and(|finding| finding.grade == Grade::Wrong);
    clock.into_iter().for_each(|finding| chart.note(finding));

    let hosts: Vec<Hostname> = Hostname::parse(NOBODY).into_iter().collect();
    let gateway = Gateway::new(settings, url, caller);
    let nonce = entropy::nonce(outside.throw()?);
    let asked: Result<_, HttpFault> = match gateway.update(&hosts, NOWHERE, now, &nonce) {
        Ok(question) => gateway.exchange(&question, Some(line)).await,
        Err(fault) => Err(fault),
    };
    let heard =
        asked.map_err(NoAnswer::Http).and_then(|answer| reply::read(&answer, &hosts).map_err(NoAnswer::NotOurs));
    chart.note(judge::credentials(url, settings, heard, is_clock_wrong));
    Ok(true)
}
