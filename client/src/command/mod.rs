//! The verbs, one file each. Here they are called, and what they end with is printed.
//!
//! Results go to standard output, complaints and warnings to standard error. No colours: nothing here is long enough
//! to need them.

pub mod arguments;
pub mod detect;
pub mod update;

use std::io::Write as _;

use serde_json::json;

use crate::command::arguments::{Order, Verb, Volume};
use crate::settings::{self, Loaded};
use crate::trouble::Trouble;
use crate::{clock, entropy};

/// Does what was ordered and prints how it ended. Returns the exit code.
pub async fn run(order: Order) -> u8 {
    match order.verb {
        Verb::Say(text) => {
            print(text);
            0
        }
        Verb::Update(when) => match load(&order) {
            Ok(loaded) => report_update(&order, when, loaded).await,
            Err(trouble) => complain(&order, &trouble),
        },
        Verb::Detect => match load(&order) {
            Ok(loaded) => {
                warn(&order, &loaded.warnings);
                let view = detect::look(&loaded.settings).await;
                print(&if order.is_json { view.json().to_string() } else { view.to_string() });
                if view.is_empty() { 3 } else { 0 }
            }
            Err(trouble) => complain(&order, &trouble),
        },
    }
}

fn load(order: &Order) -> Result<Loaded, Trouble> {
    let environment = |name: &str| std::env::var(name).ok();
    let path = match &order.config {
        Some(path) => path.clone(),
        None => settings::locate(&environment)?,
    };
    Ok(settings::load(&path, &environment)?)
}

async fn report_update(order: &Order, when: update::When, loaded: Loaded) -> u8 {
    warn(order, &loaded.warnings);
    let report = match entropy::nonce() {
        Ok(nonce) => update::update(&loaded.settings, when, clock::now(), &nonce).await,
        Err(trouble) => Err(trouble),
    };
    let report = match report {
        Ok(report) => report,
        Err(trouble) => return complain(order, &trouble),
    };
    let code = report.exit_code();
    if order.is_json {
        print(&report.json().to_string());
        return code;
    }
    warn(order, &report.notes);
    if order.volume == Volume::Loud {
        for judged in &report.judged {
            print(&detect::line(judged));
        }
        if let crate::report::Ending::Sent(sent) = &report.ending {
            print(&format!("sent {} as device {} {}", sent.addresses, sent.device, sent.why));
        }
    }
    if code != 0 {
        eprintln!("nicgate-client: {report}");
    } else if order.volume != Volume::Quiet {
        print(&report.to_string());
    }
    code
}

/// Warnings are for people: a script finds the notes of an update in its JSON.
fn warn(order: &Order, warnings: &[String]) {
    if order.volume != Volume::Quiet {
        for warning in warnings {
            eprintln!("nicgate-client: warning: {warning}");
        }
    }
}

fn complain(order: &Order, trouble: &Trouble) -> u8 {
    let code = trouble.exit_code();
    if order.is_json {
        let object = json!({
            "outcome": "trouble",
            "exit_code": code,
            "message": trouble.to_string(),
            "cure": trouble.cure(),
        });
        print(&object.to_string());
        return code;
    }
    eprintln!("nicgate-client: {trouble}");
    if let Some(cure) = trouble.cure() {
        eprintln!("  {cure}");
    }
    code
}

/// Prints a line. A reader that has gone away is no reason to fail: the exit code still tells.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
