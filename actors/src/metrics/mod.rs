//! Every metric these actors export, with name, unit and meaning.
//!
//! Counters are shared atomics: actors add, the `MetricsLog` actor
//! and `/metrics` read. Labels come from closed sets: actor kinds, protocols, media kinds; a link
//! is labelled by its node id, of which there are as many as linked nodes.

mod histogram;
mod rate;
mod registry;
mod text;

pub use histogram::{Histogram, Quantiles, Snapshot};
pub use rate::RateMeter;
pub use registry::{
    ActorKind, ActorStats, Alive, AwakeStats, Handling, LinkPeer, LinkStats, MediaStats, Metrics,
    Protocol, RtmfpStats, ScriptStats, SlowHandler,
};
pub use text::prometheus;
