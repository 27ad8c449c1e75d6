//! The screen: is this shaped like an update?

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, Version};

/// One request as it came off the wire: owned and bounded, believed in nothing.
#[derive(Debug)]
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// The target as sent, in origin or absolute form.
    pub target: Uri,
    /// 1.0, 1.1 or 2.
    pub version: Version,
    /// All header fields.
    pub headers: HeaderMap,
    /// The whole body, at most 8 KiB.
    pub body: Bytes,
    /// Who speaks: the other end of the socket, or whom a trusted proxy names. IPv4-mapped addresses are unwrapped.
    pub peer: IpAddr,
    /// Whether it came over TLS, here or at a trusted proxy.
    pub secure: bool,
}
