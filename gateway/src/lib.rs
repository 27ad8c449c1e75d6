//! x
pub mod provider;
pub mod reconciler;
