//! `nicgate host …`: what is published, and manual overrides.

use std::time::Duration;

use crate::command::order::{give, print_json};
use crate::command::{Common, DONE, FAILED, HostCommand, USAGE, complain};
use crate::config::parse_duration;
use crate::desk::{HostReport, Order, Report};

pub(super) fn run(command: HostCommand) -> u8 {
    let (common, order) = match command {
        HostCommand::List(common) => return list(&common),
        HostCommand::Show { name, common } => (common, Order::HostShow { name }),
        HostCommand::Pin { name, addresses, span, common } => {
            let seconds = match span.as_deref().map(parse_duration) {
                None => None,
                Some(Ok(span)) => Some(Duration::as_secs(&span)),
                Some(Err(why)) => {
                    complain(&format!("--for: {why}"));
                    return USAGE;
                }
            };
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            (common, Order::HostPin { name, addresses: addresses.join(","), seconds })
        }
        HostCommand::Release { name, common } => (common, Order::HostRelease { name }),
    };
    match give(&common, order) {
        Ok(Report::Host(host)) if common.json => print_json(&host),
        Ok(Report::Host(host)) => print_host(&host),
        Ok(Report::Done { message }) if common.json => print_json(&serde_json::json!({ "message": message })),
        Ok(Report::Done { message }) => {
            println!("{message}");
            DONE
        }
        Ok(
            Report::Device(_)
            | Report::Devices { .. }
            | Report::Invitation(_)
            | Report::Hosts { .. }
            | Report::Refused { .. },
        ) => unexpected(),
        Err(code) => code,
    }
}

/// All hosts, page by page, so that a million of them need no million in memory.
fn list(common: &Common) -> u8 {
    let mut after = None;
    let mut all = Vec::new();
    loop {
        let (hosts, has_more) = match give(common, Order::HostList { after: after.take() }) {
            Ok(Report::Hosts { hosts, has_more }) => (hosts, has_more),
            Ok(_) => return unexpected(),
            Err(code) => return code,
        };
        after = hosts.last().map(|host| host.name.clone());
        if common.json {
            all.extend(hosts);
        } else {
            for host in &hosts {
                let hold = host.hold.as_ref().map(|hold| format!("  ({hold})")).unwrap_or_default();
                let over = if is_failed_over(host) { "  (fail-over)" } else { "" };
                println!("{}  {}{hold}{over}", host.name, shown(&host.desired));
            }
        }
        if !has_more || after.is_none() {
            break;
        }
    }
    if common.json { print_json(&all) } else { DONE }
}

fn print_host(host: &HostReport) -> u8 {
    println!("host      {}", host.name);
    println!("desired   {}", shown(&host.desired));
    match (&host.changed, &host.device) {
        (Some(when), Some(device)) => println!("changed   {when} by {device}"),
        (Some(when), None) => println!("changed   {when} by the operator"),
        (None, _) => {}
    }
    if let Some(hold) = &host.hold {
        println!("hold      {hold}");
    }
    if !host.noted.is_empty() {
        let by = host.noted_by.as_ref().map(|device| format!(", asked for by {device}")).unwrap_or_default();
        println!("noted     {} (published when that is over{by})", shown(&host.noted));
    }
    for feed in &host.devices {
        let active = if feed.is_active { "active, " } else { "" };
        let standing = match (&feed.silent_since, &feed.heard) {
            (Some(since), _) => format!("silent since {since}"),
            (None, Some(heard)) => format!("{}, heard {heard}", feed.standing),
            (None, None) => feed.standing.clone(),
        };
        println!("device    {}: {} ({active}{standing})", feed.device, shown(&feed.addresses));
    }
    for provider in &host.providers {
        println!("provider  {}: {} ({})", provider.name, shown(&provider.applied), provider.status);
    }
    DONE
}

/// Whether another device is published than the preferred one.
fn is_failed_over(host: &HostReport) -> bool {
    host.devices.iter().any(|feed| feed.is_active && feed.rank > 0)
}

fn shown(addresses: &[String]) -> String {
    if addresses.is_empty() { "no address".to_owned() } else { addresses.join(",") }
}

fn unexpected() -> u8 {
    complain("the running gateway answered something else; are both of one version?");
    FAILED
}
