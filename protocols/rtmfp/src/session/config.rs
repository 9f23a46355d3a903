//! Times and limits of a session.

use std::time::Duration;

/// Times and limits of a session.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Without a packet for this long, a ping asks for one.
    pub keepalive: Duration,
    /// Without a packet for this long, an idle session is over.
    pub idle_timeout: Duration,
    /// With data that nobody acknowledges for this long, the session is over.
    pub unacknowledged_timeout: Duration,
    /// A responder hears the first packet within this time.
    pub confirm_timeout: Duration,
    /// Take an empty answer for proof of a new address from peers without HMAC: librtmfp answers
    /// every ping so (quirk Q8).
    pub legacy_mobility: bool,
    /// Receiving flows that may be open or undecided; further ones are rejected.
    pub max_recv_flows: usize,
    /// Sending flows that are not over.
    pub max_send_flows: usize,
    /// Bytes that may wait on a sending flow.
    pub send_capacity: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            unacknowledged_timeout: Duration::from_secs(45),
            confirm_timeout: Duration::from_secs(30),
            legacy_mobility: true,
            // The control flow; an application raises this when a client has connected.
            max_recv_flows: 64,
            max_send_flows: 4096,
            send_capacity: 4 << 20,
        }
    }
}

/// Receiving flows that are remembered, rejected and completed ones too; chunks of others are
/// dropped.
pub(crate) const MAX_KNOWN_RECV_FLOWS: usize = 1024;
/// Receive buffer of a flow until the application decides.
pub(crate) const PENDING_CAPACITY: usize = 65_536;
/// Bytes of all flows that wait for missing fragments.
pub(crate) const MAX_BUFFERED: usize = 32 << 20;
/// Longest delay of an acknowledgement (RFC 7016 §3.6.3.4.3).
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(200);
/// An echo of a timestamp older than this says nothing (RFC 7016 §2.2.4).
pub(crate) const ECHO_LIFETIME: Duration = Duration::from_secs(128);
/// Answers, pings and introductions that wait for [`poll_output`](crate::Session::poll_output).
pub(crate) const MAX_CONTROLS: usize = 64;
/// Pings that are answered in a second, and the longest.
pub(crate) const MAX_PINGS: u32 = 50;
pub(crate) const MAX_PING: usize = 1000;
/// Bytes of discriminator and tag of an introduction, so that it fits a packet.
pub(crate) const MAX_FORWARDED: usize = 1100;
/// Data packets that may leave between acknowledgements without pacing.
pub(crate) const MAX_BURST: u32 = 6;
/// Round trips shorter than this are not paced.
pub(crate) const MIN_PACED_RTT: Duration = Duration::from_micros(4500);
/// A receiver without room is waited for this long.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Probing of a full receiver: first interval, growth, last (RFC 7016 §3.6.2.9.1).
pub(crate) const PROBE_MIN: Duration = Duration::from_secs(1);
pub(crate) const PROBE_GROWTH: f64 = std::f64::consts::SQRT_2;
pub(crate) const PROBE_MAX: Duration = Duration::from_secs(60);
