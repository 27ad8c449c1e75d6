//! nicgate, a self-hosted DynDNS gateway: takes updates from routers and machines, checks who is speaking,
//! records what they say durably, and makes the DNS say so too.
//!
//! The map: an update comes in at [`http`], is led through its stages by [`journey`], judged by `nicgate-logic`,
//! recorded by [`store`], pushed by [`reconciler`] through [`provider`], or served by [`dns`]. [`gateway`] puts
//! these parts together, [`config`] says how, [`command`] is what people type.
#![forbid(unsafe_code)]

pub mod admin;
pub mod clock;
pub mod command;
pub mod config;
pub mod desk;
pub mod dns;
pub mod enrollment;
pub mod entropy;
pub mod gateway;
pub mod http;
pub mod journey;
pub mod log;
pub mod master_key;
pub mod provider;
pub mod reconciler;
pub mod routes;
pub mod store;
pub mod upkeep;
