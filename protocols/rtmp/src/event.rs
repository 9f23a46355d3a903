//! What a session tells its owner.

use std::time::Duration;

use bytes::Bytes;
use ramona_amf::Object;
use ramona_media::MediaFrame;

use crate::close::CloseReason;
use crate::message::StreamId;

/// How a publisher asks to publish. The node records nothing: all three are published live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishMode {
    /// `live`, and anything unknown.
    Live,
    /// `record`.
    Record,
    /// `append`.
    Append,
}

/// The connect command.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    /// `app` as sent; at most [`MAX_URL`](crate::limits::MAX_URL) bytes, as `tc_url`.
    pub app: Bytes,
    /// `tcUrl` as sent.
    pub tc_url: Bytes,
    /// Path of the application, `""` or `/a/b`, normalised (ENV-01).
    pub path: String,
    /// Query of the URL without `?` (CLI-05).
    pub query: Bytes,
    /// All members of the connect object (CLI-10).
    pub properties: Object,
    /// The arguments after the object, as AMF0 values (EVT-03).
    pub args: Bytes,
    /// 0 for AMF0, 3 for AMF3.
    pub object_encoding: u8,
}

/// What happened on a connection, in the order in which the client caused it.
///
/// `Connect`, `Publish` and `Play` ask for a decision: no input is consumed until it is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The client wants to connect.
    Connect(Box<Connect>),
    /// The client wants to publish.
    Publish {
        /// On which of its streams.
        stream: StreamId,
        /// Name without query.
        name: Bytes,
        /// What followed `?` in the name.
        query: Bytes,
        /// What it asked for.
        mode: PublishMode,
    },
    /// An accepted publication ended, by closing or reusing its stream. Not sent when the
    /// connection itself ends.
    Unpublish {
        /// Its stream.
        stream: StreamId,
    },
    /// The client wants to play.
    Play {
        /// On which of its streams.
        stream: StreamId,
        /// Name without query, prefixes such as `mp4:` included.
        name: Bytes,
        /// What followed `?` in the name.
        query: Bytes,
        /// The start argument as sent: milliseconds, −2000 (the default) live or recorded,
        /// −1000 live, −3000 unbuffered (LIS-08).
        start_ms: f64,
        /// Whether an earlier playlist is to be dropped; the default.
        reset: bool,
        /// What the player buffers, when it told so before.
        buffer_ms: Option<u32>,
    },
    /// An accepted play ended, by closing or reusing its stream. Not sent when the connection
    /// itself ends.
    StopPlay {
        /// Its stream.
        stream: StreamId,
    },
    /// The player pauses or goes on; it has been answered.
    Pause {
        /// Its stream.
        stream: StreamId,
        /// True: nothing more is wanted for now.
        on: bool,
    },
    /// The player wants, or does not want, audio.
    ReceiveAudio {
        /// Its stream.
        stream: StreamId,
        /// Wanted.
        on: bool,
    },
    /// The player wants, or does not want, video.
    ReceiveVideo {
        /// Its stream.
        stream: StreamId,
        /// Wanted.
        on: bool,
    },
    /// The player seeks; it has been answered.
    Seek {
        /// Its stream.
        stream: StreamId,
        /// Milliseconds as sent.
        position_ms: f64,
    },
    /// The player tells how much it buffers.
    BufferLength {
        /// Its stream.
        stream: StreamId,
        /// Milliseconds.
        length_ms: u32,
    },
    /// Audio, video or data of an accepted publication.
    Media {
        /// Its stream.
        stream: StreamId,
        /// The message.
        frame: MediaFrame,
    },
    /// A command that this crate does not know: a call of the script's functions (CLI-20).
    Call {
        /// To be given back with the answer; 0 when none is expected.
        transaction: f64,
        /// Name of the function.
        name: Bytes,
        /// AMF0 values (one may be `0x11` and AMF3).
        args: Bytes,
    },
    /// A ping was answered (CLI-07).
    RoundTrip(Duration),
    /// The connection is over; nothing follows. What was to be sent before has been given out.
    Closed(CloseReason),
}
