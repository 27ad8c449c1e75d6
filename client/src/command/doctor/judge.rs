//! What `doctor` makes of what it sees, in words. Pure.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use nicgate_protocol::{AddressSet, Family, ReturnCode, Timestamp};
use serde_json::{Value, json};

use crate::base_url::BaseUrl;
use crate::choose::key_of;
use crate::command::status::{StateLine, is_fine, job_line};
use crate::detect::Unlearned;
use crate::http::{Answer, HttpFault};
use crate::lease::Resident;
use crate::platform::{Interface, Kind};
use crate::reply::{self, Heard, NotOurs, Verdict};
use crate::schedule::Span;
use crate::settings::Settings;
use crate::task::{self, Job, Unfit};
use crate::trouble::{NoAnswer, Trouble};

/// How far two clocks may differ without a word.
const TELL: Duration = Duration::from_secs(60);
/// How far the gateway lets them differ.
const REFUSE: Duration = Duration::from_secs(300);

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    /// As it should.
    Fine,
    /// It may be meant so.
    Doubtful,
    /// An update fails for it, or a secret is open.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) about: String,
    /// How it stands.
    pub(super) grade: Grade,
    /// A sentence, or several lines.
    pub(super) says: String,
    /// What to do.
    pub(super) cure: Option<String>,
}

/// An address of a gateway, and why it takes no connection.
pub(super) type Reached = (SocketAddr, Option<io::Error>);

impl Finding {
    fn fine(about: impl Into<String>, says: impl Into<String>) -> Self {
        Self { about: about.into(), grade: Grade::Fine, says: says.into(), cure: None }
    }

    fn doubtful(about: impl Into<String>, says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { grade: Grade::Doubtful, cure: Some(cure.into()), ..Self::fine(about, says) }
    }

    fn wrong(about: impl Into<String>, says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { grade: Grade::Wrong, ..Self::doubtful(about, says, cure) }
    }

    /// For scripts.
    pub(super) fn json(&self) -> Value {
        let grade = match self.grade {
            Grade::Fine => "ok",
            Grade::Doubtful => "doubtful",
            Grade::Wrong => "wrong",
        };
        json!({ "about": self.about, "grade": grade, "says": self.says, "cure": self.cure })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.grade {
            Grade::Fine => "ok",
            Grade::Doubtful => "?",
            Grade::Wrong => "!!",
        };
        write!(f, "{mark:2}  {}: {}", self.about, self.says)?;
        match &self.cure {
            Some(cure) => write!(f, "\n      {cure}"),
            None => Ok(()),
        }
    }
}

/// There is no configuration, or it cannot be used.
pub(super) fn no_config(trouble: &Trouble) -> Finding {
    Finding::wrong(
        "configuration",
        trouble.to_string(),
        "mend it, or let `nicgate-client init` write one; what this account cannot read, it can as administrator or with sudo",
    )
}

pub(super) fn config(path: &Path, settings: &Settings) -> Finding {
    let hosts: Vec<&str> = settings.hosts.iter().map(|host| host.as_str()).collect();
    Finding::fine("configuration", format!("{}: device {}, {}", path.display(), settings.device, hosts.join(", ")))
}

/// A key that cannot be had is a mistake of the configuration; what else there is to say are warnings.
pub(super) fn key(warnings: &[String]) -> Finding {
    match warnings {
        [] => Finding::fine("key", "there, of the right form, and closed to others as far as this system tells"),
        warnings => Finding::wrong(
            "key",
            warnings.join("; "),
            "close the file; if others may have read it: `nicgate device rotate ID` at the gateway, and `init` again",
        ),
    }
}

/// `is_others`: the file may well belong to the account that the scheduler uses.
pub(super) fn writable(about: &str, path: &Path, tried: io::Result<()>, is_others: bool) -> Finding {
    let shown = path.display();
    match tried {
        Ok(()) => Finding::fine(about, format!("{shown} can be written")),
        Err(fault) if fault.kind() == io::ErrorKind::PermissionDenied && is_others => Finding::doubtful(
            about,
            format!("{shown} cannot be written by this account; the scheduled one may well be able to"),
            "repeat `doctor` as administrator or with sudo",
        ),
        // The last folder of the path is made when it is needed, and no more.
        Err(fault)
            if fault.kind() == io::ErrorKind::NotFound
                && path.parent().and_then(Path::parent).is_some_and(Path::is_dir) =>
        {
            Finding::doubtful(about, format!("the folder of {shown} is not there yet"), "the first update makes it")
        }
        Err(fault) => Finding::wrong(
            about,
            format!("{shown} cannot be written: {fault}"),
            format!("let `{about}_file` name a place that this account can write"),
        ),
    }
}

pub(super) fn task(job: Job, answer: &task::Answer, resident: Option<&Resident>) -> Finding {
    let about = "task";
    let line = job_line(job, answer);
    let is_resident = matches!(resident, Some(Resident::AtWork(_)));
    match answer {
        answer if is_fine(job, answer) => Finding::fine(about, line),
        task::Answer::Missing if is_resident => Finding::fine(about, format!("{line} (a resident client is at work)")),
        task::Answer::Missing => Finding::doubtful(
            about,
            line,
            "without it nothing tells the gateway of a new address, unless cron or the like runs `update --scheduled`",
        ),
        task::Answer::Denied | task::Answer::Unclear(_) => {
            Finding::doubtful(about, line, "`nicgate-client status` asks again; here that stops nothing")
        }
        task::Answer::There(_) => Finding::wrong(about, line, "`nicgate-client install` makes it anew"),
    }
}

pub(super) fn no_task(unfit: &Unfit) -> Finding {
    Finding::doubtful("task", unfit.what.clone(), unfit.cure.clone())
}

pub(super) fn remembered(line: &StateLine) -> Finding {
    if line.is_fine {
        return Finding::fine(&line.about, &line.says);
    }
    Finding::doubtful(&line.about, &line.says, "`nicgate-client update` tries now and says how it goes")
}

pub(super) fn interfaces(interfaces: &io::Result<Vec<Interface>>) -> Finding {
    let about = "interfaces";
    let interfaces = match interfaces {
        Ok(interfaces) => interfaces,
        Err(fault) => {
            let says = format!("the system does not list them: {fault}");
            return Finding::doubtful(about, says, "\"interface\" gives no address here; use \"web\"");
        }
    };
    let of = |interface: &Interface| {
        let addresses: Vec<String> = interface.addresses.iter().map(|local| local.address.to_string()).collect();
        let kind = if interface.kind == Kind::Vpn { ", a VPN" } else { "" };
        format!("{} ({}{kind})", interface.name, addresses.join(", "))
    };
    let useful =
        |interface: &&Interface| interface.is_up && interface.kind != Kind::Loopback && !interface.addresses.is_empty();
    let list: Vec<String> = interfaces.iter().filter(useful).map(of).collect();
    if list.is_empty() {
        return Finding::doubtful(
            about,
            "none that is up has an address",
            "is the cable in, or the wireless network on?",
        );
    }
    Finding::fine(about, list.join(", "))
}

/// Where packets leave, for every family that is wanted.
pub(super) fn routes(settings: &Settings, interfaces: &io::Result<Vec<Interface>>) -> Vec<Finding> {
    let none = Vec::new();
    let interfaces = interfaces.as_ref().unwrap_or(&none);
    let wanted = Family::BOTH.into_iter().filter(|family| !settings.sources(*family).is_empty());
    wanted.map(|family| route(family, interfaces)).collect()
}

fn route(family: Family, interfaces: &[Interface]) -> Finding {
    let about = format!("route for {}", key_of(family));
    let routes = interfaces.iter().filter(|interface| interface.is_up).flat_map(|interface| {
        let of_family = interface.routes.iter().filter(move |route| Family::of(route.router) == family);
        of_family.map(move |route| (route.metric, interface.name.as_str(), route.router))
    });
    match routes.min() {
        Some((_, name, router)) if router.is_unspecified() => Finding::fine(about, format!("leaves by {name}")),
        Some((_, name, router)) => Finding::fine(about, format!("leaves by {name} to {router}")),
        None => Finding::doubtful(
            about,
            "no default route is known",
            format!(
                "only a gateway in this network can be reached; if that is meant so, or `{}` should be \"off\", \
                     all is well",
                key_of(family)
            ),
        ),
    }
}

/// `taken` is the one in use; empty when none works.
pub(super) fn uplink(name: &str, taken: &str, broken: &[(String, String)]) -> Finding {
    let about = format!("uplink {name}");
    match broken.iter().find(|(broken, _)| broken == name) {
        Some((_, why)) if taken.is_empty() => {
            Finding::wrong(about, why, "no uplink works: look at cables and modems, and at `probe` and `bind`")
        }
        Some((_, why)) => Finding::doubtful(about, why, format!("{taken} is used instead")),
        None if name == taken => Finding::fine(about, "works, in use"),
        None => Finding::fine(about, "works"),
    }
}

fn about(url: &BaseUrl, what: &str) -> String {
    format!("{url} {what}")
}

pub(super) fn name(url: &BaseUrl, looked: Result<&[SocketAddr], &io::Error>) -> Finding {
    let about = about(url, "name");
    match looked {
        Ok(_) if url.host().parse::<IpAddr>().is_ok() => Finding::fine(about, "is an address, nothing to look up"),
        Ok(addresses) => {
            let mut list: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
            list.dedup();
            Finding::fine(about, format!("{} is {}", url.host(), list.join(", ")))
        }
        Err(fault) => Finding::wrong(
            about,
            format!("{} cannot be looked up: {fault}", url.host()),
            "is the name in `gateway` spelled right, and does this machine have a name server that answers?",
        ),
    }
}

pub(super) fn tcp(url: &BaseUrl, reached: &[Reached]) -> Finding {
    let about = about(url, "connection");
    let failed: Vec<String> = reached
        .iter()
        .filter_map(|(address, fault)| fault.as_ref().map(|fault| format!("{address}: {fault}")))
        .collect();
    if failed.is_empty() {
        let list: Vec<String> = reached.iter().map(|(address, _)| address.to_string()).collect();
        return Finding::fine(about, format!("{} answers", list.join(", ")));
    }
    let says = format!("no connection to {}", failed.join("; "));
    if failed.len() < reached.len() {
        return Finding::doubtful(about, says, "another address of it answers; updates go there");
    }
    Finding::wrong(
        about,
        says,
        "does the gateway run, is the port in `gateway` right, and does no firewall in between close it?",
    )
}

pub(super) fn tls(url: &BaseUrl, fault: Option<&HttpFault>) -> Finding {
    let about = about(url, "TLS");
    match fault {
        // The sentence of a certificate that is not accepted names its own cure.
        Some(fault) => Finding::wrong(
            about,
            fault.to_string(),
            "nothing was sent; compare the certificate with `gateway` and `ca_file`, and the clock with the time",
        ),
        None if url.is_secure() => Finding::fine(about, "the certificate is accepted"),
        None => Finding::doubtful(
            about,
            "plain http: whoever is on the way can read along and invent answers",
            "write https into `gateway`, unless it is on this machine",
        ),
    }
}

pub(super) fn silent(url: &BaseUrl, fault: &HttpFault) -> Finding {
    Finding::wrong(about(url, "answer"), fault.to_string(), "is `gateway` the right URL, with the right port?")
}

/// What /myip was answered with.
pub(super) fn seen(url: &BaseUrl, answer: &Answer) -> Finding {
    let about = about(url, "answer");
    let address = std::str::from_utf8(&answer.body).ok().and_then(|text| text.trim().parse::<IpAddr>().ok());
    match address.filter(|_| answer.status == 200) {
        Some(address) => Finding::fine(about, format!("sees us come from {address}")),
        None => Finding::wrong(
            about,
            NotOurs::Form(answer.status).to_string(),
            "write the URL that the operator gave into `gateway`; log in at the portal, if there is one",
        ),
    }
}

/// Our clock against the gateway's; nothing where it does not tell.
pub(super) fn clock(url: &BaseUrl, now: Timestamp, date: Option<&str>) -> Option<Finding> {
    let theirs = date.and_then(reply::date)?;
    let (difference, direction) =
        if now < theirs { (theirs.since(now), "behind") } else { (now.since(theirs), "ahead of") };
    let about = about(url, "clock");
    let says = format!("this machine's clock is {} {direction} the gateway's", Span(difference));
    let cure = "set it right, by NTP for good (Windows: w32tm /resync, Linux: timedatectl set-ntp true)";
    Some(if difference <= TELL {
        Finding::fine(about, "agrees with the gateway's to a minute")
    } else if difference <= REFUSE {
        Finding::doubtful(about, says, cure)
    } else {
        let says = format!("{says}: it refuses what is signed more than {} off", Span(REFUSE));
        Finding::wrong(about, says, cure)
    })
}

/// What the gateway said to a signed update of a name that cannot exist.
pub(super) fn credentials(
    url: &BaseUrl,
    settings: &Settings,
    heard: Result<Heard, NoAnswer>,
    is_clock_wrong: bool,
) -> Finding {
    let about = about(url, "key");
    let device = &settings.device;
    let heard = match heard {
        Ok(heard) => heard,
        Err(why) => {
            return Finding::wrong(about, why.to_string(), "nothing was changed; is `gateway` the right URL?");
        }
    };
    let unclear = |what: &str| {
        Finding::doubtful(
            about.clone(),
            format!("it answers \"{what}\", which says nothing about the key"),
            "try again",
        )
    };
    match heard.results.first().map(|result| (result.verdict, result.code)) {
        Some((Verdict::Refused, ReturnCode::NoHost)) => {
            Finding::fine(about, format!("device {device} signs as the gateway expects (nothing was changed)"))
        }
        Some((Verdict::Refused, ReturnCode::BadAuth)) if is_clock_wrong => Finding::wrong(
            about,
            format!("the gateway does not accept the signature of device {device}"),
            "set the clock right first: with a wrong one no key is accepted",
        ),
        Some((Verdict::Refused, ReturnCode::BadAuth)) => Finding::wrong(
            about,
            format!("the gateway does not accept the signature of device {device}"),
            format!(
                "compare `device` and the key with `nicgate device show {device}`; after a rotation: `nicgate device \
                 invite {device}` there, and `nicgate-client init --force` with its line here"
            ),
        ),
        Some((Verdict::Refused, ReturnCode::Abuse)) => {
            Finding::wrong(about, "the gateway refuses this machine for good", "ask its operator")
        }
        Some((Verdict::NotNow, _)) => {
            let pause = heard.retry_after.map_or_else(|| "a while".to_owned(), |pause| Span(pause).to_string());
            let says = "the gateway answers nobody's updates from here now: too many came, or it is overloaded";
            Finding::doubtful(about, says, format!("try again in {pause}"))
        }
        Some((Verdict::Done | Verdict::ProviderRefused | Verdict::Refused | Verdict::Unconfirmed, code)) => {
            unclear(code.word())
        }
        None => unclear("nothing"),
    }
}

/// What would be sent.
pub(super) fn addresses(settings: &Settings, addresses: AddressSet, unlearned: &[Unlearned]) -> Vec<Finding> {
    let wanted = Family::BOTH.into_iter().filter(|family| !settings.sources(*family).is_empty());
    let of_family = |family: Family| {
        let about = format!("address for {}", key_of(family));
        if let Some(address) = addresses.of(family) {
            return Finding::fine(about, format!("{address} would be sent"));
        }
        let why: Vec<String> =
            unlearned.iter().filter(|unlearned| unlearned.family == family).map(ToString::to_string).collect();
        let says = if why.is_empty() { "none that may be sent was found".to_owned() } else { why.join("; ") };
        let cure = "`nicgate-client detect` shows every address and why it is not sent";
        if addresses.is_empty() { Finding::wrong(about, says, cure) } else { Finding::doubtful(about, says, cure) }
    };
    wanted.map(of_family).collect()
}

pub(super) fn trouble(trouble: &Trouble) -> Finding {
    Finding::wrong("this machine", trouble.to_string(), trouble.cure().unwrap_or("without that nothing can be signed"))
}

#[cfg(test)]
mod tests;
