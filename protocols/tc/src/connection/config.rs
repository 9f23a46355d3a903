//! Times and sizes of a connection.

use std::time::Duration;

/// When media is too late to be worth sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaDeadlines {
    /// Audio begins to leave within this time.
    pub audio: Duration,
    /// Video does.
    pub video: Duration,
    /// Both are acknowledged within this time more.
    pub finish: Duration,
    /// What is left of the frames before a keyframe, from then on.
    pub previous_group: Duration,
}

impl Default for MediaDeadlines {
    /// The values of the profile's author.
    fn default() -> Self {
        Self {
            audio: Duration::from_millis(2200),
            video: Duration::from_secs(2),
            finish: Duration::from_millis(100),
            previous_group: Duration::from_millis(100),
        }
    }
}

/// Times and sizes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// What a client is told to keep its session with the server alive with; it takes 5 s at least.
    pub keepalive_server: Duration,
    /// What a client is told to keep its sessions with peers alive with.
    pub keepalive_peer: Duration,
    /// From the start of the session to the connect command.
    pub connect_timeout: Duration,
    /// When media is too late.
    pub deadlines: MediaDeadlines,
    /// Bytes of commands and data that may wait for a client on one flow. One that lets more wait
    /// does not read, and is closed.
    pub control_queue: usize,
    /// Bytes of audio or video that may wait on one flow; further frames are dropped. A viewer's
    /// gate drops long before.
    pub media_queue: usize,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            keepalive_server: Duration::from_secs(15),
            keepalive_peer: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(30),
            deadlines: MediaDeadlines::default(),
            // The largest message of a script, twice.
            control_queue: 32 << 20,
            // Twice the bytes at which a viewer's gate begins to drop.
            media_queue: 32 << 20,
        }
    }
}
