//! Looks for addresses in the places that the settings name, one source after the other until one gives an address
//! that can be sent. Finds and reports; what to send of it is decided in `choose`.

mod ask;
pub mod claims;
pub mod command;
pub mod interface;
pub mod probe;
pub mod router;
pub mod stun;
pub mod web;
pub mod whoami;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use nicgate_protocol::Family;
use tokio::time::Instant;

use crate::choose::{Found, Heard, Marks, Origin, Rule, is_acceptable, key_of};
use crate::entropy::Throw;
use crate::http::{Caller, HttpFault, Line};
use crate::platform::{self, Interface};
use crate::settings::{Method, Settings, Source, Trust, Which};
use crate::trouble::Trouble;
use crate::way::Way;
use web::WebFault;

/// The STUN servers that are asked when the file names none.
const STUN: [&str; 2] = ["stun.cloudflare.com:3478", "stun.l.google.com:19302"];

/// How long a router may take, which is in the same room; one that says nothing knows neither protocol.
const NEARBY: Duration = Duration::from_secs(4);
/// How long an answer in a datagram may take, repeats included.
const DATAGRAM: Duration = Duration::from_secs(6);

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Until something that may be sent is found.
    Enough,
    /// Also where it is not needed: every source of the file, the interfaces, the gateways and the router. For people
    /// who want to see it all.
    Known,
    /// Also the public services, STUN and DNS servers that the file does not name.
    Everywhere,
}

/// What was found, and what could not be learned.
#[derive(Default)]
pub struct Survey {
    /// Every address with its origin.
    pub found: Vec<Found>,
    /// How long each took to be learned, in the order of `found`.
    pub took: Vec<Duration>,
    /// Where nothing could be learned, and why. Not the same as finding nothing.
    pub unlearned: Vec<Unlearned>,
    /// A connection to a gateway that is still open: the place of the gateway in the order asked.
    pub line: Option<(usize, Line)>,
    /// The gateways that were silent, likewise.
    pub silent: Vec<usize>,
    /// The gateways that were found, likewise, over one family at least.
    reached: Vec<usize>,
}

/// A source that gave nothing.
#[derive(Debug)]
pub struct Unlearned {
    /// Which family was asked for.
    pub family: Family,
    /// Who was asked, as for a table.
    pub from: String,
    /// Why nothing came of it.
    pub why: Why,
    /// How long that took.
    pub took: Duration,
}

/// Why a source gave nothing.
#[derive(Debug)]
pub enum Why {
    /// A gateway gave no answer at all.
    Silent(WebFault),
    /// A sentence.
    Said(String),
}

/// What a survey needs to know.
pub struct Surroundings<'a> {
    /// What the file says.
    pub settings: &'a Settings,
    /// How to call, by the way chosen.
    pub caller: &'a Caller,
    /// The gateways in the order in which to ask them, as places in the settings.
    pub gateways: &'a [usize],
    /// The interfaces, or why the system does not list them.
    pub interfaces: &'a io::Result<Vec<Interface>>,
    /// Random bytes for questions whose answers must be hard to guess.
    pub dice: &'a (dyn Fn() -> Result<Throw, Trouble> + Sync),
    /// How far to look.
    pub reach: Reach,
}

/// Looks around for both families at once. Never fails as a whole: what could not be learned is part of the answer.
pub async fn survey(around: &Surroundings<'_>, rules: [Rule<'_>; 2]) -> Survey {
    let [v4, v6] = rules;
    let (mut survey, other) = tokio::join!(survey_family(around, v4), survey_family(around, v6));
    survey.found.extend(other.found);
    survey.took.extend(other.took);
    survey.unlearned.extend(other.unlearned);
    survey.line = survey.line.or(other.line);
    survey.silent.extend(other.silent);
    survey.reached.extend(other.reached);
    // A gateway that one family could reach is not silent.
    survey.silent.retain(|silent| !survey.reached.contains(silent));
    survey
}

async fn survey_family(around: &Surroundings<'_>, rule: Rule<'_>) -> Survey {
    let mut survey = Survey::default();
    let mut sources = rule.sources.to_vec();
    let mut others = Vec::new();
    if around.reach != Reach::Enough {
        others.extend([Source::Interface(Which::Any), Source::Web]);
        if rule.family == Family::V4 {
            others.push(Source::Router(Method::Any));
        }
    }
    if around.reach == Reach::Everywhere {
        others.extend([Source::Stun, Source::Dns]);
    }
    let is_of_a_kind = |one: &Source, other: &Source| std::mem::discriminant(one) == std::mem::discriminant(other);
    others.retain(|other| !sources.iter().any(|source| is_of_a_kind(source, other)));
    sources.extend(others);
    for source in &sources {
        let before = survey.found.len();
        ask(around, rule, source, &mut survey).await;
        let has_enough = || survey.found[before..].iter().any(|found| is_acceptable(rule, found));
        if around.reach == Reach::Enough && has_enough() {
            break;
        }
    }
    survey
}

/// Asks one source for one family.
async fn ask(around: &Surroundings<'_>, rule: Rule<'_>, source: &Source, survey: &mut Survey) {
    let (settings, family, patience) = (around.settings, rule.family, around.settings.timeout);
    let begun = Instant::now();
    let way = around.caller.way();
    let told: Told = match source {
        Source::Fixed(address) => Ok((*address, Origin::Config)),
        Source::Command => command::address(&settings.asked.command, family, patience)
            .await
            .map(|address| (address, Origin::Command))
            .map_err(|fault| ("command".to_owned(), fault.to_string())),
        Source::Interface(_) => {
            match around.interfaces {
                Ok(interfaces) => {
                    let of_family = |found: &Found| Family::of(found.address) == family;
                    for found in interface::addresses(interfaces, way).into_iter().filter(of_family) {
                        survey.note(found, begun);
                    }
                }
                Err(fault) => survey.unlearned(
                    family,
                    "interface",
                    Why::Said(format!("the system does not list its network interfaces: {fault}")),
                    begun,
                ),
            }
            return;
        }
        Source::Web => return ask_web(around, rule, survey).await,
        Source::Router(method) => ask_router(around, *method).await,
        Source::Stun => ask_stun(around, family).await,
        Source::Dns => ask_dns(around, family).await,
    };
    match told {
        Ok((address, origin)) => survey.note(Found { address, origin }, begun),
        Err((from, why)) => survey.unlearned(family, &from, Why::Said(why), begun),
    }
}

/// Where something was found, or else who was asked and what came of it.
type Told = Result<(IpAddr, Origin), (String, String)>;

/// Asks the router of the default route, or the one that the file names.
async fn ask_router(around: &Surroundings<'_>, method: Method) -> Told {
    let way = around.caller.way();
    let next_hop = || around.interfaces.as_ref().ok().and_then(|interfaces| interface::router(interfaces, way));
    let router = around.settings.asked.router.or_else(next_hop);
    let from = || "router".to_owned();
    // The first 12 bytes of the dice, which are all alike.
    let [nonce @ .., _, _, _, _] = (around.dice)().map_err(|trouble| (from(), trouble.to_string()))?;
    router::address(way, router, method, around.settings.timeout.min(NEARBY), nonce)
        .await
        .map(|(address, by)| (address, Origin::Router(by)))
        .map_err(|fault| (from(), fault.to_string()))
}

/// Asks the STUN servers in order until one can tell.
async fn ask_stun(around: &Surroundings<'_>, family: Family) -> Told {
    let mut said = Vec::new();
    let patience = around.settings.timeout.min(DATAGRAM);
    for server in or_known(&around.settings.asked.stun, &STUN) {
        let [id @ .., _, _, _, _] = (around.dice)().map_err(|trouble| (server.clone(), trouble.to_string()))?;
        match stun::address(around.caller.way(), family, &server, patience, id).await {
            Ok(address) => {
                let marks = around.marks_of(address);
                return Ok((address, Origin::Stun(Heard { marks, ..around.heard(server, family) })));
            }
            Err(fault) => said.push(format!("{server}: {fault}")),
        }
    }
    Err(("stun".to_owned(), said.join("; ")))
}

/// Asks the DNS servers in order until one can tell.
async fn ask_dns(around: &Surroundings<'_>, family: Family) -> Told {
    let mut said = Vec::new();
    let patience = around.settings.timeout.min(DATAGRAM);
    for question in or_known(&around.settings.asked.whoami, &whoami::WELL_KNOWN) {
        let [high, low, ..] = (around.dice)().map_err(|trouble| (question.clone(), trouble.to_string()))?;
        let id = u16::from_be_bytes([high, low]);
        let asked = match question.parse() {
            Ok(asked) => whoami::address(around.caller.way(), family, &asked, patience, id).await,
            Err(whoami::NotAQuestion) => continue,
        };
        match asked {
            Ok(address) => {
                let marks = around.marks_of(address);
                return Ok((address, Origin::Dns(Heard { marks, ..around.heard(question, family) })));
            }
            Err(fault) => said.push(format!("{question}: {fault}")),
        }
    }
    Err(("dns".to_owned(), said.join("; ")))
}

/// What the file names, or else what is known.
fn or_known(named: &[String], known: &[&str]) -> Vec<String> {
    if named.is_empty() { known.iter().map(|text| (*text).to_owned()).collect() } else { named.to_vec() }
}

/// Asks the gateways in order until one can tell; then, if at least one of them could be reached, public services.
async fn ask_web(around: &Surroundings<'_>, rule: Rule<'_>, survey: &mut Survey) {
    let family = rule.family;
    let mut is_reached = false;
    for (place, index) in around.gateways.iter().enumerate() {
        let url = &around.settings.gateways[*index];
        let begun = Instant::now();
        match web::by_gateway(around.caller, url, family).await {
            Ok((address, line)) => {
                let vpn = line.local().and_then(|local| around.vpn_of(local));
                let origin =
                    Origin::Gateway(Heard { from: url.host().to_owned(), vpn, marks: around.marks_of(address) });
                survey.note(Found { address, origin }, begun);
                survey.line.get_or_insert((place, line));
                survey.reached.push(place);
                return;
            }
            Err(WebFault::Http(HttpFault::NoSuchFamily(none))) => {
                is_reached = true;
                survey.reached.push(place);
                let why = Why::Said(HttpFault::NoSuchFamily(none).to_string());
                survey.unlearned(family, &format!("web ({url})"), why, begun);
            }
            Err(fault @ WebFault::Http(_)) => {
                // Without IPv6 here, a gateway that has it is not silent: that shows when it is told something.
                if family == Family::V4 {
                    survey.silent.push(place);
                }
                survey.unlearned(family, &format!("web ({url})"), Why::Silent(fault), begun);
            }
            Err(fault @ (WebFault::NotAnAddress(..) | WebFault::Disagreement(_))) => {
                is_reached = true;
                survey.reached.push(place);
                survey.unlearned(family, &format!("web ({url})"), Why::Said(fault.to_string()), begun);
            }
        }
    }
    // Without a gateway to tell it to, an address is of no use, and nobody else need hear of us.
    let is_wanted = rule.sources.contains(&Source::Web) || around.reach == Reach::Everywhere;
    if !is_wanted || !is_reached || around.settings.asked.echo.is_empty() {
        return;
    }
    let caller = Caller::new(&Trust::PublicRoots, around.caller.way().clone(), around.caller.patience());
    let begun = Instant::now();
    match web::by_echo(&caller, &around.settings.asked.echo, family).await {
        Ok((address, from, local)) => {
            let vpn = local.and_then(|local| around.vpn_of(local));
            let origin = Origin::Echo(Heard { from, vpn, marks: around.marks_of(address) });
            survey.note(Found { address, origin }, begun);
        }
        Err(fault) => survey.unlearned(family, "web (public services)", Why::Said(fault.to_string()), begun),
    }
}

impl Surroundings<'_> {
    /// Who saw us, and through which VPN, for questions whose packets leave as the routing table says.
    fn heard(&self, from: String, family: Family) -> Heard {
        let source = interface::WayOut::of(self.caller.way()).source(family);
        Heard { from, vpn: source.and_then(|source| self.vpn_of(source)), marks: None }
    }

    /// What the system notes about an address, if it is one of ours.
    fn marks_of(&self, address: IpAddr) -> Option<Marks> {
        let interfaces = self.interfaces.as_ref().ok()?;
        let mut locals = interfaces.iter().flat_map(|interface| &interface.addresses);
        locals.find(|local| local.address == address).and_then(|local| local.marks)
    }

    /// The VPN that owns an address of ours, if one does.
    fn vpn_of(&self, local: IpAddr) -> Option<String> {
        self.interfaces.as_ref().ok().and_then(|interfaces| interface::vpn_of(interfaces, local))
    }
}

impl Survey {
    fn note(&mut self, found: Found, begun: Instant) {
        self.found.push(found);
        self.took.push(begun.elapsed());
    }

    fn unlearned(&mut self, family: Family, from: &str, why: Why, begun: Instant) {
        self.unlearned.push(Unlearned { family, from: from.to_owned(), why, took: begun.elapsed() });
    }
}

/// By which way to ask, as [`interface::card`] finds it.
///
/// # Errors
/// A part of a sentence, when the card is missing or of no use.
pub fn way(interfaces: &io::Result<Vec<Interface>>, bind: &Which) -> Result<Way, String> {
    match interfaces {
        Ok(interfaces) => interface::card(interfaces, bind).map(|card| Way { card: Some(card) }),
        Err(fault) => Err(format!("the system does not list its network interfaces: {fault}")),
    }
}

/// The interfaces as the system lists them now.
///
/// # Errors
/// When it does not.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    platform::interfaces()
}

impl std::fmt::Display for Unlearned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from {}: ", key_of(self.family), self.from)?;
        match &self.why {
            Why::Silent(fault) => fault.fmt(f),
            Why::Said(why) => f.write_str(why),
        }
    }
}
