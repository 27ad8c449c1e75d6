//! `init`: writes a configuration and the key beside it, after trying them.

use std::path::PathBuf;

/// What `init` is asked for. What is missing is asked for on a terminal.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct InitOrder {
    /// The line of an invitation; `-` reads it from standard input.
    pub invitation: Option<String>,
    /// The gateways, in the order of preference.
    pub gateways: Vec<String>,
    /// Our name there.
    pub device: Option<String>,
    /// The names that shall point here.
    pub hosts: Vec<String>,
    /// Where the key is read from; `-` reads it from standard input.
    pub key_file: Option<PathBuf>,
    /// The gateway's own certificate authority.
    pub ca_file: Option<PathBuf>,
    /// Where the IPv4 address comes from.
    pub ipv4: Option<String>,
    /// Where the IPv6 address comes from.
    pub ipv6: Option<String>,
    /// Whether the files go to the machine's place and the key is sealed for the machine; `None`: where we may.
    pub is_for_machine: Option<bool>,
    /// Whether to replace what is there.
    pub is_forced: bool,
    /// Whether not to ask the gateway.
    pub is_untested: bool,
}
