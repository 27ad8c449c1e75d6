//! `nicgate device …`: credentials.

use crate::command::order::{give, print_json};
use crate::command::{Common, DONE, DeviceCommand, FAILED, USAGE, complain};
use crate::config::parse_duration;
use crate::desk::{DeviceLine, DeviceReport, InvitationReport, Order, Report};

pub(super) fn run(command: DeviceCommand) -> u8 {
    let (common, order) = match command {
        DeviceCommand::Add { id, hosts, profile, query_credentials, allow_plain, allow_delete, gateway, common } => {
            (common, Order::DeviceAdd { id, hosts, profile, query_credentials, allow_plain, allow_delete, gateway })
        }
        DeviceCommand::Invite { id, gateway, span, common } => {
            let seconds = match span.as_deref().map(parse_duration) {
                None => None,
                Some(Ok(span)) => Some(span.as_secs()),
                Some(Err(why)) => {
                    complain(&format!("--for: {why}"));
                    return USAGE;
                }
            };
            (common, Order::DeviceInvite { id, gateway, seconds })
        }
        DeviceCommand::List(common) => (common, Order::DeviceList),
        DeviceCommand::Show { id, common } => (common, Order::DeviceShow { id }),
        DeviceCommand::Rotate { id, now, gateway, common } => {
            (common, Order::DeviceRotate { id, gateway, at_once: now })
        }
        DeviceCommand::Revoke { id, common } => (common, Order::DeviceRevoke { id }),
    };
    match give(&common, order) {
        Ok(report) => print(&common, report),
        Err(code) => code,
    }
}

fn print(common: &Common, report: Report) -> u8 {
    match report {
        Report::Device(device) if common.json => print_json(&device),
        Report::Device(device) => print_device(&device),
        Report::Invitation(invitation) if common.json => print_json(&invitation),
        Report::Invitation(invitation) => print_invitation(&invitation),
        Report::Devices { devices } if common.json => print_json(&devices),
        Report::Devices { devices } => print_devices(&devices),
        Report::Done { message } if common.json => print_json(&serde_json::json!({ "message": message })),
        Report::Done { message } => {
            println!("{message}");
            DONE
        }
        Report::Host(_) | Report::Hosts { .. } | Report::Refused { .. } => {
            complain("the running gateway answered something else; are both of one version?");
            FAILED
        }
    }
}

fn print_device(device: &DeviceReport) -> u8 {
    println!("device    {}", device.id);
    println!("password  {}   (Basic: routers, curl --user)", device.password);
    println!("key       {}   (signatures: nicgate-client, curl --aws-sigv4)", device.key);
    for host in &device.hosts {
        println!("host      {host}");
    }
    match (&device.enroll, &device.enroll_until, &device.enroll_hint) {
        (Some(line), Some(until), _) => print_line(line, until),
        (_, _, Some(hint)) => println!("enroll    ({hint})"),
        (_, _, None) => {}
    }
    DONE
}

fn print_invitation(invitation: &InvitationReport) -> u8 {
    println!("device    {}", invitation.id);
    println!("gateway   {}", invitation.gateway);
    if invitation.carries_ca {
        println!("trust     the line carries the gateway's own certificate authority");
    }
    print_line(&invitation.enroll, &invitation.until);
    if let Some(used) = &invitation.used_before {
        println!("before    the line before this one was used {used}");
        println!("          if that was not its owner: `nicgate device rotate {} --now`", invitation.id);
    }
    DONE
}

fn print_line(line: &str, until: &str) {
    println!("enroll    {line}");
    println!("          (for nicgate-client init: gives the key once, until {until})");
}

fn print_devices(devices: &[DeviceLine]) -> u8 {
    if devices.is_empty() {
        println!("no devices yet; `nicgate device add ID --host NAME` makes one");
        return DONE;
    }
    let width = devices.iter().map(|device| device.id.len()).max().unwrap_or(0);
    for device in devices {
        let grace =
            device.previous_until.as_ref().map(|until| format!("  (old secrets until {until})")).unwrap_or_default();
        println!("{:width$}  {:7}  {}{grace}", device.id, device.origin, device.hosts.join(" "));
    }
    DONE
}
