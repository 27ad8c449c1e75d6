//! x
pub mod dns;
