//! `nicgate device …`: credentials.

use crate::command::order::{give, print_json};
use crate::command::{Common, DONE, DeviceCommand, FAILED, complain};
use crate::desk::{DeviceLine, DeviceReport, Order, Report};

pub(super) fn run(command: DeviceCommand) -> u8 {
    let (common, order) = match command {
        DeviceCommand::Add { id, hosts, profile, query_credentials, allow_plain, allow_delete, common } => {
            (common, Order::DeviceAdd { id, hosts, profile, query_credentials, allow_plain, allow_delete })
        }
        DeviceCommand::List(common) => (common, Order::DeviceList),
        DeviceCommand::Show { id, common } => (common, Order::DeviceShow { id }),
        DeviceCommand::Rotate { id, common } => (common, Order::DeviceRotate { id }),
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
    DONE
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
