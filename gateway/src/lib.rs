//! x

pub mod http;
