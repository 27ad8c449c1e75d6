//! `nicgate check`: every mistake of a configuration, each with its place and its cure.

use crate::command::{CheckArguments, DONE, FAILED, complain};
use crate::config::{self, Mistakes};

pub(super) fn run(arguments: &CheckArguments) -> u8 {
    let Some(path) = config::find(arguments.config.config.as_deref()) else {
        complain("no configuration: give --config FILE, or put one at ./nicgate.toml or /etc/nicgate/gateway.toml");
        return FAILED;
    };
    match config::load(&path, &|name| std::env::var(name).ok()) {
        Ok(settings) if arguments.json => {
            println!("{}", Mistakes(settings.warnings).to_json());
            DONE
        }
        Ok(settings) => {
            for warning in &settings.warnings {
                println!("warning: {warning}");
            }
            println!("{}: in order", path.display());
            DONE
        }
        Err(mistakes) if arguments.json => {
            println!("{}", mistakes.to_json());
            FAILED
        }
        Err(mistakes) => {
            println!("{mistakes}");
            FAILED
        }
    }
}
