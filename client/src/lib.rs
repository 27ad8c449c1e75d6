//! The nicgate client: finds this machine's addresses, chooses which to publish, signs them and tells the gateway.
//!
//! The map, from judgement to effect:
//!
//! | module | does |
//! |---|---|
//! | [`choose`], [`schedule`], [`reply`] | all judgement: what to send, whether to send, what the answer meant. Pure |
//! | [`settings`], [`base_url`] | what the configuration file says, with file, line and column where it errs |
//! | [`detect`], [`platform`] | where addresses come from |
//! | [`gateway`] | connects, signs, sends |
//! | [`task`] | what runs by itself, as each system's scheduler is told. Pure |
//! | [`state`] | what was last sent and heard; one instance at a time |
//! | [`command`] | the verbs; [`command::update`] holds the journey of one update |
//! | [`report`], [`trouble`] | how it ended, for people, for scripts, as an exit code |
//!
//! A program that brings its own settings (the gateway's demo does) needs [`update`] alone.
#![deny(unsafe_code)]

pub mod base_url;
pub mod choose;
pub mod clock;
pub mod command;
pub mod detect;
pub mod entropy;
pub mod gateway;
pub mod http;
pub mod lease;
pub mod log;
pub mod outside;
pub mod platform;
pub mod reply;
pub mod report;
pub mod schedule;
pub mod settings;
pub mod state;
pub mod task;
pub mod tls;
pub mod trouble;
pub mod uplink;
pub mod way;

pub use base_url::BaseUrl;
pub use command::update::{Role, When, update};
pub use outside::Outside;
pub use report::Report;
pub use settings::{Settings, Source, Trust};
pub use trouble::Trouble;
