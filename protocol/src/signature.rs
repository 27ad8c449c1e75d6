//! The ways to say who is speaking: which scheme a request uses, what it claims, whether the claim holds.
//!
//! Filled in by `signature/{basic,sign_param,sigv4,rfc9421}.rs`, one scheme each.
