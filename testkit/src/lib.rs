//! What tests of whole nodes need: real sockets, several nodes in one process, ffmpeg.
//!
//! - [`TestNode`] runs a node on a thread of its own, in a folder of its own, on free ports;
//!   [`Program`] runs the real binary.
//! - [`RtmpClient`] and [`RtmfpClient`] publish, play and call; [`WebSocketClient`] sends and
//!   receives; [`Stranger`] and [`RawWebSocket`] send any bytes; [`Proxy`] stands
//!   between two nodes and swallows or cuts.
//! - [`chromium`] opens pages in a real browser.
//! - [`ffmpeg`] publishes and plays real streams; [`flv`] reads what it wrote.
//! - Waits are on conditions, with a deadline ([`wait`]); what fails prints the logs of its node.

#![forbid(unsafe_code)]

mod certificate;
pub mod chromium;
mod client;
pub mod ffmpeg;
pub mod flv;
mod http;
mod linked;
mod logs;
mod node;
pub mod pictures;
mod program;
mod proxy;
mod stage;
mod stranger;
pub mod wait;
mod websocket;

pub use certificate::Certificate;
pub use client::{
    ClientOptions, Machine, NetClient, Path, Play, RtmfpClient, RtmfpOptions, RtmpClient, text,
};
pub use http::{HttpClient, HttpResponse, http_get, sample};
pub use linked::LinkedStranger;
pub use node::{NodeBuilder, TestNode, link, link_secretly};
pub use program::{Program, free_port};
pub use proxy::Proxy;
pub use stage::Stage;
pub use stranger::Stranger;
pub use websocket::{RawWebSocket, WebSocketClient, frame_header, masked_frame};
