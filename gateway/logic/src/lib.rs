//! All judgement of the gateway: who may speak, what a request means, what must change, what to push next.
//!
//! Architecture invariant: no socket, no file, no clock, no dice, no task. Requests, states and [`Now`] come in,
//! decisions go out. The crate knows `nicgate-protocol` and never tokio, hyper, rustls or reqwest.
//!
//! An update passes through these types, each made only by the stage before it:
//! [`screen::RawRequest`] → [`screen::Screened`] → [`authenticate::Authenticated`] → [`authorize::Update`] → [`decide::Plan`].
#![forbid(unsafe_code)]

pub mod agenda;
pub mod answer;
pub mod authenticate;
pub mod authorize;
pub mod budget;
pub mod decide;
pub mod device;
pub mod drift;
pub mod enrollment;
pub mod failover;
pub mod hold;
pub mod limits;
pub mod now;
pub mod policy;
pub mod reconcile;
pub mod refusal;
pub mod screen;
pub mod state;
pub mod upkeep;

pub use now::{Now, Watch};
pub use refusal::Refusal;
