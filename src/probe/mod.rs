//! `ramona probe URL`: connects to a server as a client would, and tells step by step what was
//! negotiated.

mod link;
mod meeting;
mod place;
mod report;
mod rtmfp;
mod rtmp;
mod values;
mod visit;

use std::io::Write;
use std::time::Duration;

use thiserror::Error;

use place::{Place, Scheme};
use report::Report;

/// What a step may take, unless the command line says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What to do at a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// `rtmp://host[:port]/app` or `rtmfp://host[:port]/app`.
    pub url: String,
    /// A stream to play, and for how long.
    pub play: Option<(String, Duration)>,
    /// A NetGroup to be a member of, by its plain specification, and for how long (RTMFP).
    pub group: Option<(String, Duration)>,
    /// A peer to meet by its id in hex, or `anybody` to wait for one, and for how long (RTMFP).
    pub meet: Option<(String, Duration)>,
    /// What each step may take.
    pub timeout: Duration,
}

impl Probe {
    /// Connects, measures, and leaves.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), play: None, group: None, meet: None, timeout: DEFAULT_TIMEOUT }
    }
}

/// At which step a probe failed.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The URL is none of ours.
    #[error("{url:?} is no URL like rtmp://host[:port]/app or rtmfp://host[:port]/app")]
    Url {
        /// As it was given.
        url: String,
    },
    /// The host's name has no address.
    #[error("{host} has no address: {error}")]
    Resolve {
        /// Host and port.
        host: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The system refuses.
    #[error("{step}: {error}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// What the system says.
        error: std::io::Error,
    },
    /// Nothing came in time.
    #[error("{step}: nothing came within {} s; {hint}", .waited.as_secs_f64())]
    Silent {
        /// What was waited for.
        step: &'static str,
        /// How long.
        waited: Duration,
        /// What may be the reason.
        hint: &'static str,
    },
    /// The server said no.
    #[error("{step}: refused: {text}")]
    Refused {
        /// What was asked for.
        step: &'static str,
        /// The server's words.
        text: String,
    },
    /// The connection ended.
    #[error("{step}: the connection ended: {text}")]
    Closed {
        /// What was waited for.
        step: &'static str,
        /// How it ended.
        text: String,
    },
    /// A message cannot be sent.
    #[error("{step}: not sent: {text}")]
    Unsent {
        /// What was to be said.
        step: &'static str,
        /// Why.
        text: String,
    },
}

/// Runs a probe and writes a line for each step. It needs a tokio runtime with its drivers on.
///
/// # Errors
/// The step that failed, after the lines of those that did not.
pub async fn run(probe: &Probe, out: &mut dyn Write) -> Result<(), ProbeError> {
    let place = Place::parse(&probe.url)?;
    let mut report = Report::new(out);
    let addresses = place.resolve().await?;
    let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    report.line("address", format_args!("{} is {}", place.authority(), list.join(", ")));
    match place.scheme {
        Scheme::Rtmp => rtmp::probe(probe, &addresses, &mut report).await,
        Scheme::Rtmfp => rtmfp::probe(probe, &addresses, &mut report).await,
    }
}
