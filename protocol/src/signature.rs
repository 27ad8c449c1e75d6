//! The ways to say who is speaking.
