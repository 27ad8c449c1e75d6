//! End-to-end stories, one file each.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[cfg(target_os = "linux")]
mod address_sources;
mod client_init;
mod clients;
mod cloudflare;
mod configuration;
mod conformance;
mod credentials;
mod demo;
mod disk;
mod enrollment;
mod every_provider;
mod failover;
mod floors;
mod kill;
mod kill_while_pushing;
mod manners;
mod name_server;
mod own_name_servers;
mod packages;
mod peer;
mod pins;
mod powerdns;
mod provider_command;
mod provider_down;
mod replay;
mod rfc2136;
mod route53;
mod servers;
mod several_providers;
mod signatures;
mod tls;
mod uplinks;
mod upstream;
mod windows_client;
mod windows_platform;
