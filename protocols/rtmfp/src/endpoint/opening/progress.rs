//! How far an opening is, for tools that tell their user.

use std::net::SocketAddr;

use super::{Endpoint, OpenId, Opening, State};
use crate::certificate::PeerId;
use crate::crypto::Group;

/// How far an opening is (see [`Endpoint::opening_progress`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpeningProgress {
    /// Initiator Hellos go to these addresses: first those given to [`Endpoint::open`], then those
    /// of redirects in the order in which they came.
    Asking(Vec<SocketAddr>),
    /// A Responder Hello came.
    Keying {
        /// Who sent it; Initiator Keyings go there.
        to: SocketAddr,
        /// Fingerprint of its certificate.
        responder: PeerId,
        /// The strongest Diffie-Hellman group of both.
        group: Group,
        /// A Responder Keying came too, and the keys are computed.
        is_answered: bool,
    },
}

impl Endpoint {
    /// How far an opening is; `None` when it is over.
    pub fn opening_progress(&self, opening: OpenId) -> Option<OpeningProgress> {
        self.openings.iter().find(|known| known.id == opening).map(Opening::progress)
    }
}

impl Opening {
    fn progress(&self) -> OpeningProgress {
        match &self.state {
            State::Hello(candidates) => {
                OpeningProgress::Asking(candidates.iter().map(|(address, _)| *address).collect())
            }
            State::Keying(keying) => OpeningProgress::Keying {
                to: keying.to,
                responder: keying.certificate.fingerprint(),
                group: keying.group,
                is_answered: keying.job.is_some(),
            },
        }
    }
}
