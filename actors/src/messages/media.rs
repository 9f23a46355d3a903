//! Frames on their way: publisher → publication → workers → viewers.

use std::sync::Arc;

use actix::prelude::*;
use ramona_media::MediaFrame;
use ramona_script::{ListenerId, PublicationId};

/// One publication actor of this node; a name that is used again later gets a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey(pub u64);

/// All frames that a publisher had ready at once.
#[derive(Debug)]
pub struct PublishBatch {
    /// The run they belong to; frames of an ended run are ignored.
    pub run: PublicationId,
    /// In order of arrival.
    pub frames: Vec<MediaFrame>,
}

impl Message for PublishBatch {
    type Result = ();
}

/// One batch for all viewers that one worker has of a publication.
#[derive(Debug)]
pub struct Deliver {
    /// Whose frames they are.
    pub stream: StreamKey,
    /// Shared by all viewers of all workers.
    pub frames: Arc<[MediaFrame]>,
    /// Whether viewers start at a key frame.
    pub has_video: bool,
    /// Frames before these did not reach the worker: its mailbox was full.
    pub after_gap: bool,
}

impl Message for Deliver {
    type Result = ();
}

/// What one new viewer gets before it takes part in [`Deliver`]: the cached group of pictures.
#[derive(Debug)]
pub struct Welcome {
    /// The publication it joined.
    pub stream: StreamKey,
    /// The new viewer.
    pub listener: ListenerId,
    /// Whether a publisher is there.
    pub running: bool,
    /// Metadata, codec headers, group of pictures.
    pub frames: Arc<[MediaFrame]>,
    /// Whether viewers start at a key frame.
    pub has_video: bool,
}

impl Message for Welcome {
    type Result = ();
}

/// A publication started or ended; its waiting viewers are told (STA-12).
#[derive(Debug)]
pub struct RunChanged {
    /// Which one.
    pub stream: StreamKey,
    /// Whether it runs now.
    pub running: bool,
}

impl Message for RunChanged {
    type Result = ();
}
