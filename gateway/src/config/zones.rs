//! `[[zone]]`: which names there are at all, where their updates go, and which addresses they take.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use nicgate_logic::policy::{AddressPolicy, ZonePolicy};
use nicgate_protocol::Hostname;

use super::file::Section;
use super::nearest::suggest;
use super::providers::{LONGEST_TTL, Providers};
use super::reading::{At, Once, Reading};

/// How many zones a message lists.
const LISTED: usize = 5;
/// How long "no such name" is remembered unless the zone says otherwise, in seconds.
const NEGATIVE_TTL: u32 = 60;

/// `[[zone]]`.
#[derive(Clone, Debug)]
pub struct ZoneSettings {
    /// Its name, its providers and what it takes.
    pub policy: ZonePolicy,
    /// Whether the embedded name server serves it; what follows is of use only then.
    pub is_embedded: bool,
    /// The names of its name servers.
    pub nameservers: Vec<Hostname>,
    /// Who answers for it, as a name: `hostmaster.example.com` for `hostmaster@example.com` (RFC 1035 3.3.13).
    pub mailbox: Hostname,
    /// How long "no such name" is remembered, in seconds (RFC 2308).
    pub negative_ttl: u32,
}

/// The zones of a file.
pub(super) struct Zones {
    pub(super) settings: Vec<ZoneSettings>,
    /// Every name, also of zones whose section has mistakes, and where it stands.
    names: Vec<At<Hostname>>,
    /// The same, to be looked up.
    set: HashSet<Hostname>,
    /// Whether every zone has a name: only then can a host be said to lie in none.
    is_complete: bool,
}

impl Zones {
    /// The zone that holds a name, the longest there is; without one a mistake is noted.
    pub(super) fn holder(&self, reading: &Reading<'_>, name: &At<Hostname>) -> Option<&Hostname> {
        let above = std::iter::once(name.value.as_str()).chain(name.value.ancestors());
        let holder = above.into_iter().find_map(|name| self.set.get(name));
        if holder.is_none() && self.is_complete {
            let hint = match self.names.as_slice() {
                [] => "there is no zone; add a [[zone]] that holds it".to_owned(),
                some => {
                    let listed: Vec<&str> = some.iter().take(LISTED).map(|zone| zone.value.as_str()).collect();
                    let more = if some.len() > LISTED { ", …" } else { "" };
                    format!("the zones are {}{more}", listed.join(", "))
                }
            };
            reading.missing(Some(&name.span), format!("\"{}\" lies in no zone", name.value), hint);
        }
        holder
    }

    /// Warns of zones in which no device has a host. `held` are those in which one has.
    pub(super) fn warn_of_idle(&self, reading: &Reading<'_>, held: &HashSet<&Hostname>) {
        for zone in self.names.iter().filter(|zone| !held.contains(&zone.value)) {
            let found = format!("no device has a host in zone \"{}\"", zone.value);
            reading.warn(Some(&zone.span), found, "name one in a device's hosts, or add a device by command");
        }
    }
}

pub(super) fn read_zones(sections: Vec<Section<'_>>, reading: &Reading<'_>, providers: &Providers) -> Zones {
    let mut zones = Zones { settings: Vec::new(), names: Vec::new(), set: HashSet::new(), is_complete: true };
    let mut once = Once::default();
    let mut used: HashSet<Arc<str>> = HashSet::new();
    for mut section in sections {
        let name = section.take_parsed("name", zone_name);
        section.require("name", "\"home.example.com\"");
        match &name {
            Some(name) => {
                if once.admit(reading, "zone", name.value.as_str(), &name.span) {
                    zones.set.insert(name.value.clone());
                    zones.names.push(name.clone());
                }
            }
            None => zones.is_complete = false,
        }
        let chosen = take_providers(&mut section, providers);
        used.extend(chosen.iter().cloned());
        zones.settings.extend(read_zone(section, name.map(|at| at.value), chosen, providers));
    }
    for unused in providers.names().filter(|name| !used.contains(&name.value)) {
        let found = format!("no zone uses provider \"{}\"", unused.value);
        reading.warn(Some(&unused.span), found, "name it in a zone's providers, or leave it out");
    }
    if zones.names.is_empty() {
        reading.warn(None, "there is no zone: every update will be refused", "add [[zone]]");
    }
    zones
}

/// The names of a zone's providers, the primary first; each must exist.
fn take_providers(section: &mut Section<'_>, providers: &Providers) -> Vec<Arc<str>> {
    let reading = section.reading;
    let written = section.take_list("providers", "main", |text| Ok::<Arc<str>, Infallible>(text.into()));
    if !section.holds_entries("providers") {
        let names: Vec<&str> = providers.names().map(|name| &*name.value).collect();
        let example = names.first().unwrap_or(&"main");
        let hint = format!("write providers = [\"{example}\"]");
        reading.missing(
            section.value_span("providers").or(section.span().cloned()).as_ref(),
            "the zone has no provider",
            hint,
        );
    }
    let mut once = Once::default();
    for name in &written {
        let is_new = once.admit(reading, "provider", &name.value, &name.span);
        if is_new && providers.is_complete && providers.find(&name.value).is_none() {
            let found = format!("there is no provider \"{}\"", name.value);
            let hint = match providers.names().next() {
                Some(_) => suggest(&name.value, providers.names().map(|name| &*name.value)),
                None => "add it as [[provider]]".to_owned(),
            };
            reading.missing(Some(&name.span), found, hint);
        }
    }
    written.into_iter().map(|at| at.value).collect()
}

fn read_zone(
    mut section: Section<'_>,
    name: Option<Hostname>,
    chosen: Vec<Arc<str>>,
    providers: &Providers,
) -> Option<ZoneSettings> {
    let reading = section.reading;
    let addresses = section.take_word(
        "addresses",
        &[
            ("public-only", AddressPolicy::PublicOnly),
            ("allow-private", AddressPolicy::AllowPrivate),
            ("any", AddressPolicy::Any),
        ],
    );
    if let Some(At { value: AddressPolicy::Any, span }) = &addresses {
        let hint = "write \"public-only\" or \"allow-private\", unless this is a laboratory";
        reading.warn(Some(span), "the zone takes any address, loopback and documentation too", hint);
    }
    let ttl = section.take_number("ttl", 1..=LONGEST_TTL);
    let nameservers = section.take_list("nameservers", "ns.home.example.com", zone_name);
    let mailbox = section.take_parsed("mailbox", mailbox);
    let negative_ttl = section.take_number("negative_ttl", 0..=LONGEST_TTL);

    let is_embedded = chosen.iter().filter_map(|name| providers.find(name)).any(|found| found.is_embedded);
    if !is_embedded {
        for key in ["nameservers", "mailbox", "negative_ttl"] {
            if let Some(span) = section.key_span(key) {
                let hint = "leave it out, or name a provider of type \"embedded\"";
                reading.warn(Some(&span), format!("{key} concerns the embedded name server alone"), hint);
            }
        }
    }
    section.finish(false);
    let name = name?;
    // A zone whose name leaves no room for one more label is its own name server.
    let below = |label: &str| Hostname::parse(&format!("{label}.{name}")).unwrap_or_else(|_| name.clone());
    let nameservers = match nameservers.as_slice() {
        [] => vec![below("ns")],
        _ => nameservers.into_iter().map(|at| at.value).collect(),
    };
    Some(ZoneSettings {
        is_embedded,
        nameservers,
        mailbox: mailbox.map_or_else(|| below("hostmaster"), |at| at.value),
        negative_ttl: negative_ttl.unwrap_or(NEGATIVE_TTL),
        policy: ZonePolicy {
            name,
            providers: chosen,
            addresses: addresses.map(|at| at.value).unwrap_or_default(),
            ttl,
        },
    })
}

fn zone_name(text: &str) -> Result<Hostname, String> {
    match Hostname::parse(text) {
        Ok(name) if name.is_wildcard() => Err("only a host may begin with \"*\"".to_owned()),
        Ok(name) => Ok(name),
        Err(why) => Err(why.to_string()),
    }
}

/// `hostmaster@example.com`, or the name that DNS makes of it.
fn mailbox(text: &str) -> Result<Hostname, &'static str> {
    const FORM: &str = "write it like \"hostmaster@example.com\", without a dot before the \"@\"";
    match text.split_once('@') {
        Some((local, _)) if local.contains('.') => Err(FORM),
        Some((local, domain)) => Hostname::parse(&format!("{local}.{domain}")).map_err(|_| FORM),
        None => Hostname::parse(text).map_err(|_| FORM),
    }
}
