//! Everything that a visitor can grow or draw out, in one place.

use std::time::Duration;

/// How long the head of a request may take from its first byte on: a client that sends it byte by
/// byte holds a connection no longer than that.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a response may find the socket full: the client does not read.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a URL without host (RFC 9110 §4.1 asks for 8,000 at least).
pub const MAX_URL: usize = 8 << 10;

/// Bytes of all names and values of headers together; actix-http itself reads heads of 128 KiB and
/// 96 headers at most.
pub const MAX_HEADERS: usize = 32 << 10;

/// Bytes of bodies of all requests of a node at once; past it, requests with a body are refused.
pub const BODY_BUDGET: usize = 256 << 20;

/// A body may take so long whatever its size; then it must have come at [`MIN_BODY_RATE`].
pub const BODY_GRACE: Duration = Duration::from_secs(10);

/// Bytes a second, from the first byte on, that a body must reach: a client that sends it in drops
/// holds a request no longer.
pub const MIN_BODY_RATE: f64 = 4096.0;

/// Cookies that may wait for one response; browsers keep as many of one site.
pub const MAX_COOKIES: usize = 64;

/// Bytes of a file whose marks are filled (HTT-06): it is held in memory, and scanned.
pub const MAX_TEMPLATE: u64 = 4 << 20;

/// Entries of a folder that a listing shows.
pub const MAX_LISTED: usize = 10_000;
