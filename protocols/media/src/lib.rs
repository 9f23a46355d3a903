//! Media as every protocol of the node sees it.
//!
//! A [`MediaFrame`] is one FLV tag body (the payload of one RTMP audio, video or data message):
//! what RTMP carries, what scripts expect, and what RTMFP and HTTP-FLV wrap again.
//! [`StreamCache`] is what a publication keeps for viewers that come later, [`ViewerGate`] the
//! rules by which one viewer gets or misses a frame.

#![forbid(unsafe_code)]

mod cache;
mod data;
mod flv;
mod frame;
mod gate;

pub use cache::{CacheLimits, StreamCache};
pub use data::{DataMessage, leading_name};
pub use frame::{MediaFrame, MediaKind};
pub use gate::{QueueLimits, Queued, Verdict, ViewerGate};
