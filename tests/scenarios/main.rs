//! End-to-end stories, one file each.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod cloudflare;
mod conformance;
mod credentials;
mod replay;
mod signatures;
