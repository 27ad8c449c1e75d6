//! What the gateway and its client must agree on, byte for byte: names, addresses, the dyndns2 grammar,
//! its return codes, device secrets, the four ways to sign, and the line that enrolls a client.
//!
//! Pure on purpose: no I/O, no clock, no dice, no async. Bytes and `now` come in, an answer goes out.
#![forbid(unsafe_code)]

pub mod address;
pub mod enrollment;
pub mod hostname;
pub mod return_code;
pub mod secret;
pub mod signature;
pub mod timestamp;
pub mod update;

pub use address::{AddressSet, Family, Scope};
pub use enrollment::Invitation;
pub use hostname::{HostPattern, Hostname};
pub use return_code::ReturnCode;
pub use secret::{DeviceId, MasterKey, Secret};
pub use timestamp::Timestamp;
