//! Media as every protocol of the node sees it.
//!
//! A [`MediaFrame`] is one FLV tag body (the payload of one RTMP audio, video or data message):
//! what RTMP carries, what scripts expect, and what RTMFP and HTTP-FLV wrap again.
//! [`StreamCache`] is what a publication keeps for viewers that come later, [`ViewerGate`] the
//! rules by which one viewer gets or misses a frame.
//!
//! For viewers that play files, [`flv_tags`] and [`SharedTs`] make containers of frames, once for
//! all viewers of a stream; [`MediaWriter`] does it for one that a script feeds.

#![forbid(unsafe_code)]

mod cache;
mod clock;
mod data;
mod flv;
mod flv_file;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod gate;
mod ts;
mod writer;

pub use cache::{CacheLimits, StreamCache};
pub use clock::StreamClock;
pub use data::{DataMessage, leading_name, raw_data};
pub use flv_file::{
    FLV_HEAD, FLV_TAG_OVERHEAD, MAX_FLV_BODY, announced, flv_head, flv_header, flv_past, flv_tag,
    flv_tag_header, flv_tags,
};
pub use frame::{MediaFrame, MediaKind};
pub use gate::{QueueLimits, Queued, Verdict, ViewerGate};
pub use ts::{SharedTs, TsMuxer};
pub use writer::MediaWriter;
