//! Counters of a session.

/// Counters of a session, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// Datagrams that were opened, and their bytes.
    pub packets_received: u64,
    /// Bytes of these datagrams.
    pub bytes_received: u64,
    /// Datagrams given out.
    pub packets_sent: u64,
    /// Bytes of these datagrams.
    pub bytes_sent: u64,
    /// Datagrams dropped: not opened, replayed, of a wrong mode.
    pub packets_dropped: u64,
    /// Chunks dropped: unknown, cut off or out of place.
    pub chunks_dropped: u64,
    /// Bytes of messages sent, each time they were sent.
    pub data_bytes_sent: u64,
    /// Bytes of these that were taken for lost.
    pub data_bytes_lost: u64,
    /// Messages given up because they became too old, and those that depend on them.
    pub messages_expired: u64,
    /// Messages given out.
    pub messages_received: u64,
    /// Gaps told.
    pub gaps: u64,
    /// Flows that were rejected for want of metadata, a bad association or an unknown option, or
    /// because too many were open.
    pub flows_rejected: u64,
    /// Chunks of new flows dropped, for too many flows are known.
    pub flows_ignored: u64,
    /// Messages larger than the buffer of their flow.
    pub oversized_messages: u64,
    /// Pings that were not answered, for there were too many or they were too long.
    pub pings_ignored: u64,
    /// Answers, checks and introductions dropped, for too many waited.
    pub controls_dropped: u64,
    /// Times the congestion window was cut because acknowledgements showed losses.
    pub losses: u64,
    /// Times everything in flight was taken for lost.
    pub timeouts: u64,
}
