//! The commands, one file each, and what `--help` says about them.
//!
//! A command prints for people, or with `--json` one JSON value for scripts. It never ends the program itself:
//! it gives an exit code.

mod check;
mod demo;
mod device;
mod host;
mod order;
mod provider;
mod serve;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Everything went well.
const DONE: u8 = 0;
/// Refused or failed.
const FAILED: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 2;

/// A self-hosted DynDNS gateway: routers and machines say where they are, the DNS says so too.
#[derive(Debug, Parser)]
#[command(name = "nicgate", version, about, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  nicgate demo                                          see everything work, on loopback
  nicgate check --config gateway.toml                   find every mistake before it bites
  nicgate serve --config gateway.toml                   the real thing
  nicgate device add fritzbox --host home.example.com   a credential for a router
  nicgate host show home.example.com                    what happened to a name
  nicgate provider test cloud                           is the provider's key right, and the zone there?

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
Without --config: ./nicgate.toml, then /etc/nicgate/gateway.toml.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything on loopback, prove one signed update, and print lines to try
    Demo(DemoArguments),
    /// Run the gateway
    Serve(ConfigArgument),
    /// Read the configuration and tell every mistake in it
    Check(CheckArguments),
    /// Credentials: who may update what
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Hosts: what is published, and manual overrides
    #[command(subcommand)]
    Host(HostCommand),
    /// Providers: what there is to choose from, and whether what was chosen works
    #[command(subcommand)]
    Provider(ProviderCommand),
}

/// Which configuration file.
#[derive(Args, Debug)]
struct ConfigArgument {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct DemoArguments {
    /// End after the proof: 0 if it held
    #[arg(long)]
    once: bool,
    /// HTTPS port on loopback; 0: any free one
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    https_port: u16,
    /// DNS port on loopback, UDP and TCP; 0: any free one
    #[arg(long, value_name = "PORT", default_value_t = 5353)]
    dns_port: u16,
    /// Where to keep keys, certificates and state [default: a temporary folder, removed at the end]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct CheckArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Print one JSON array of mistakes and warnings
    #[arg(long)]
    json: bool,
}

/// What every command that gives an order takes.
#[derive(Args, Debug)]
struct Common {
    #[command(flatten)]
    config: ConfigArgument,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum DeviceCommand {
    /// Register a device and print its secrets
    #[command(
        after_help = "Example:\n  nicgate device add fritzbox --host home.example.com --host '*.lan.example.com'"
    )]
    Add {
        /// Its id, the user name in a router's form
        id: String,
        /// What it may update: a name, or `*.` and a name for all below it; may be given several times
        #[arg(long = "host", value_name = "NAME", required = true, num_args = 1..)]
        hosts: Vec<String>,
        /// How replies are dressed: `classic` or `strict` [default: by User-Agent]
        #[arg(long)]
        profile: Option<String>,
        /// Let it put its credentials into the query (routers without Basic)
        #[arg(long)]
        query_credentials: bool,
        /// Let it speak without TLS, where a plain listener is open
        #[arg(long)]
        allow_plain: bool,
        /// Let it take its hosts offline
        #[arg(long)]
        allow_delete: bool,
        /// Where clients reach the gateway, for the `enroll` line [default: `public_url`, or where it listens]
        #[arg(long, value_name = "URL")]
        gateway: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Make a line from which `nicgate-client init` gets the device's key, once
    #[command(after_help = "Example:\n  nicgate device invite laptop --gateway https://ddns.example.com --for 2h")]
    Invite {
        /// Its id
        id: String,
        /// Where clients reach the gateway [default: `public_url`, or where it listens]
        #[arg(long, value_name = "URL")]
        gateway: Option<String>,
        /// For how long: a number with s, m or h [default: 24h]
        #[arg(long = "for", value_name = "TIME")]
        span: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// List all devices, without their secrets
    List(Common),
    /// Show one device with its secrets
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        common: Common,
    },
    /// Give a device new secrets; the old ones hold for a grace period
    Rotate {
        /// Its id
        id: String,
        /// The old ones hold no more from now on
        #[arg(long)]
        now: bool,
        /// Where clients reach the gateway, for the `enroll` line [default: `public_url`, or where it listens]
        #[arg(long, value_name = "URL")]
        gateway: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Make a device's secrets worthless at once
    Revoke {
        /// Its id
        id: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Subcommand)]
enum HostCommand {
    /// List all hosts and what is published for them
    List(Common),
    /// Show one host: addresses, who changed it, how each provider stands
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Pin a host to an address, against all updates
    #[command(
        after_help = "Examples:\n  nicgate host pin home.example.com 203.0.113.7 --for 2h\n  nicgate host pin home.example.com 203.0.113.7,2001:db8::7"
    )]
    Pin {
        /// Its name
        name: String,
        /// The address, or one of each family
        #[arg(value_delimiter = ',', required = true)]
        addresses: Vec<IpAddr>,
        /// For how long: a number with s, m or h [default: until released]
        #[arg(long = "for", value_name = "TIME")]
        span: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Release a pin; updates count again after a cool-down
    Release {
        /// Its name
        name: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Subcommand)]
enum ProviderCommand {
    /// List every type of provider and the keys it takes
    #[command(after_help = "Examples:\n  nicgate provider list\n  nicgate provider list cloudflare")]
    List {
        /// Only this type
        #[arg(value_name = "TYPE")]
        kind: Option<String>,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Check key, rights and zones of a configured provider, by reading only
    #[command(
        after_help = "Examples:\n  nicgate provider test cloud\n  nicgate provider test cloud --host nas.home.example.com\n\nExit codes: 0 all zones can be read (or the provider has no way to ask), 1 refused or not reached."
    )]
    Test {
        /// Its name in the configuration
        name: String,
        /// Look at this host instead of the zones' own names
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        #[command(flatten)]
        config: ConfigArgument,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
}

/// Runs a command.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    ExitCode::from(match cli.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Device(command) => device::run(command),
        Command::Host(command) => host::run(command),
        Command::Provider(command) => provider::run(command),
    })
}

/// Prints a sentence where people look for what went wrong.
fn complain(message: &str) {
    eprintln!("nicgate: {message}");
}
