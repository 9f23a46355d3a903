//! A connection as the steps of a visit need it, whatever carries it.

use std::time::Instant;

use ramona_rtmp::{ClientEvent, StreamId};

use super::ProbeError;
use super::report::Report;

/// What a visit says and hears.
pub(super) trait Link {
    /// connect to a URL.
    fn connect(&mut self, url: &str) -> Result<(), ProbeError>;
    /// createStream.
    fn create_stream(&mut self) -> Result<(), ProbeError>;
    /// play.
    fn play(&mut self, stream: StreamId, name: &str) -> Result<(), ProbeError>;
    /// A ping with a value that comes back.
    fn ping(&mut self, value: u32) -> Result<(), ProbeError>;
    /// The next thing that happened; `None` when nothing did until then. `step` names what is
    /// waited for when the connection ends.
    async fn next(
        &mut self,
        step: &'static str,
        until: Instant,
        report: &mut Report<'_>,
    ) -> Result<Option<ClientEvent>, ProbeError>;
}

/// A user control message with a ping (RTMP 1.0 §7.1.7).
pub(super) fn ping(value: u32) -> ramona_rtmp::Message {
    const USER_CONTROL: u8 = 4;
    const PING_REQUEST: u16 = 6;
    let mut payload = PING_REQUEST.to_be_bytes().to_vec();
    payload.extend_from_slice(&value.to_be_bytes());
    ramona_rtmp::Message {
        kind: USER_CONTROL,
        stream: StreamId(0),
        timestamp_ms: 0,
        payload: payload.into(),
    }
}
