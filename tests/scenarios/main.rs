//! The end-to-end stories, one file each.

mod cloudflare;
