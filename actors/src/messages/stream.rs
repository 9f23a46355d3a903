//! What sessions and the script bridge say to a publication.

use actix::prelude::*;
use bytes::Bytes;
use ramona_script::{ClientId, ListenerId, PublicationId, PublicationInfo, Watch};

use super::client::ToSession;
use crate::metrics::Protocol;

/// Control of one publication. Frames come as [`PublishBatch`](super::media::PublishBatch).
#[derive(Debug)]
pub enum ToPublication {
    /// The claimed run begins.
    Start {
        /// Name, run and moving numbers.
        info: PublicationInfo,
        /// How its frames come.
        protocol: Protocol,
        /// Who publishes; `None` is a script.
        publisher: Option<(ClientId, Recipient<ToSession>)>,
    },
    /// The publisher ended its run: everything it sent before is delivered first.
    End {
        /// Which run.
        run: PublicationId,
    },
    /// A script ends the run (PUB-05).
    Close {
        /// Which run.
        run: PublicationId,
        /// `NetStream.<code>` and description for the publisher.
        status: Option<(Bytes, Bytes)>,
    },
    /// A viewer of a worker joins.
    Join {
        /// The viewer.
        listener: ListenerId,
        /// Index of its worker.
        worker: usize,
    },
    /// It leaves.
    Leave {
        /// Index of its worker.
        worker: usize,
    },
    /// A script wants to see packets of a run.
    Watch {
        /// Which run.
        run: PublicationId,
        /// Which kinds.
        watch: Watch,
    },
    /// Nobody needs this publication any more: the directory has forgotten it.
    Stop,
}

impl Message for ToPublication {
    type Result = ();
}
