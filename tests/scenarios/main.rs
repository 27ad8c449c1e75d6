//! End-to-end stories, one file each.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod clients;
mod cloudflare;
mod conformance;
mod disk;
mod kill;
mod name_server;
