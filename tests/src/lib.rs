//! The harness: what stands around a gateway in tests.

pub mod fake_cloudflare;
