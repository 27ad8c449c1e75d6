//! `nicgate`, the gateway's program: arguments in, exit code out. 0 done, 1 refused or failed, 2 wrong usage.

use std::process::ExitCode;

use clap::Parser as _;
use nicgate::command::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse())
}
