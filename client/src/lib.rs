//! The nicgate client: finds this machine's addresses, chooses which to publish, signs them and tells the gateway.
#![forbid(unsafe_code)]

pub mod base_url;
pub mod choose;
pub mod clock;
pub mod detect;
pub mod entropy;
pub mod gateway;
pub mod platform;
pub mod reply;
pub mod schedule;
pub mod settings;
pub mod state;
pub mod trouble;
