use std::time::Duration;

use bytes::Bytes;

use crate::code::Code;
use crate::preamble::{PROTOCOL_VERSION, Stranger};

/// Why a link ended: what was wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This node closed it in order ([`Link::close`](crate::Link::close)).
    #[error("closed here: {0}")]
    Local(String),
    /// The peer closed it in order, usually because it shuts down.
    #[error("closed by peer: {0}")]
    Peer(String),
    /// The connection ended without a word: the peer died or the network cut it.
    #[error("connection lost")]
    Lost,
    /// The connection ended before the peer said hello.
    #[error("connection ended before the hello: is this the servers.port of a Ramona node?")]
    LostBeforeHello,
    /// The peer refuses this node with this text (CLU-10).
    #[error("refused by peer: {}", show(.0))]
    Rejected(Bytes),
    /// A script of this node refused the peer ([`Link::reject`](crate::Link::reject)).
    #[error("refused here: {}", show(.0))]
    RejectedHere(Bytes),
    /// Another link between the same nodes stays (CLU-08); both ends have this reason.
    #[error("duplicate: another link between the same two nodes stays")]
    Duplicate,
    /// The node dialled itself.
    #[error("the node dialled itself: take its own address out of servers.targets")]
    SelfLink,
    /// Another node with the same id.
    #[error(
        "the peer has this node's id: was the data folder copied? delete the id file of one of \
         the two nodes"
    )]
    SameNodeId,
    /// No hello in time (CLU-09).
    #[error("no hello within {} s: is this the servers.port of a Ramona node?", .0.as_secs_f64())]
    HelloTimeout(Duration),
    /// Nothing heard for so long.
    #[error("nothing heard from the peer for {:.1} s", .0.as_secs_f64())]
    Dead(Duration),
    /// The peer is something else than a node of this kind.
    #[error("not a link of a Ramona node: {0}")]
    Stranger(Stranger),
    /// The peer speaks another version of the protocol.
    #[error(
        "the peer speaks link version {theirs}, this node version {PROTOCOL_VERSION}: run the same \
         release on both"
    )]
    Version {
        /// Version in the peer's first bytes.
        theirs: u8,
    },
    /// This node has a secret and the peer came without.
    #[error(
        "the peer has no servers.secret, this node has one: set the same servers.secret on both \
         nodes"
    )]
    PeerWithoutSecret,
    /// The peer has a secret and this node has none.
    #[error(
        "the peer has a servers.secret, this node has none: set the same servers.secret on both \
         nodes"
    )]
    NoSecretHere,
    /// The secrets differ.
    #[error("wrong secret: set the same servers.secret on both nodes")]
    WrongSecret,
    /// A record after the handshake is not what the peer encrypted.
    #[error("a record failed its authentication: the bytes were changed on their way")]
    Tampered,
    /// A frame claims more than it may have.
    #[error("a frame of {claimed} bytes, at most {limit} are allowed here")]
    FrameTooLarge {
        /// Length in front of the frame.
        claimed: usize,
        /// What was allowed.
        limit: usize,
    },
    /// The peer broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// The peer says that this node broke the protocol, or another thing that it alone knows.
    #[error("closed by peer because of an error: {0}")]
    PeerError(String),
}

/// What the dialler of a link that ended should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redial {
    /// Dial again after the next wait of [`Backoff`](crate::Backoff).
    AfterBackoff,
    /// Rest while another link to the same node is up; without one, as `AfterBackoff`.
    WhenOtherLinkEnds,
    /// Never: the target is this node.
    Never,
}

impl CloseReason {
    /// What the dialler should do next.
    pub fn redial(&self) -> Redial {
        match self {
            CloseReason::Duplicate => Redial::WhenOtherLinkEnds,
            CloseReason::SelfLink => Redial::Never,
            _ => Redial::AfterBackoff,
        }
    }

    /// Whether the end was meant, by a node that shuts down or by the duplicate rule.
    pub fn is_orderly(&self) -> bool {
        matches!(self, CloseReason::Local(_) | CloseReason::Peer(_) | CloseReason::Duplicate)
    }

    /// Whether an operator should look at it: not at an orderly end, nor at what this node decided
    /// itself, be it by a script or because it stops.
    pub fn is_trouble(&self) -> bool {
        !self.is_orderly() && !matches!(self, CloseReason::RejectedHere(_))
    }

    /// What the peer is told; `None` where it would not understand, or is gone.
    pub(crate) fn telling(&self) -> Option<(Code, String)> {
        let code = match self {
            CloseReason::Local(text) => return Some((Code::Closed, text.clone())),
            CloseReason::Duplicate => Code::Duplicate,
            CloseReason::SelfLink => Code::SelfLink,
            CloseReason::SameNodeId => Code::SameNodeId,
            CloseReason::Version { .. } => Code::Version,
            CloseReason::PeerWithoutSecret => Code::SecretRequired,
            CloseReason::NoSecretHere => Code::NoSecret,
            CloseReason::WrongSecret => Code::WrongSecret,
            CloseReason::RejectedHere(text) => {
                return Some((Code::Rejected, String::from_utf8_lossy(text).into_owned()));
            }
            CloseReason::Protocol(_)
            | CloseReason::FrameTooLarge { .. }
            | CloseReason::Tampered
            | CloseReason::HelloTimeout(_)
            | CloseReason::Dead(_) => Code::Error,
            CloseReason::Peer(_)
            | CloseReason::PeerError(_)
            | CloseReason::Rejected(_)
            | CloseReason::Lost
            | CloseReason::LostBeforeHello
            | CloseReason::Stranger(_) => return None,
        };
        Some((code, self.to_string()))
    }

    /// The reason on this side when the peer told `code` and `text`.
    pub(crate) fn told(code: u8, text: &[u8]) -> Self {
        match Code::from_wire(code) {
            Some(Code::Closed) => CloseReason::Peer(show(text)),
            Some(Code::Duplicate) => CloseReason::Duplicate,
            Some(Code::SelfLink) => CloseReason::SelfLink,
            Some(Code::SameNodeId) => CloseReason::SameNodeId,
            Some(Code::SecretRequired) => CloseReason::NoSecretHere,
            Some(Code::NoSecret) => CloseReason::PeerWithoutSecret,
            Some(Code::WrongSecret) => CloseReason::WrongSecret,
            Some(Code::Rejected) => CloseReason::Rejected(Bytes::copy_from_slice(text)),
            Some(Code::Error | Code::Version) | None => CloseReason::PeerError(show(text)),
        }
    }
}

/// Text of a peer for a log line: one line, no control characters.
fn show(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_end_tells_the_other_end_understands() {
        let text = Bytes::from_static(b"not from here");
        for (here, there) in [
            (CloseReason::Local("shutting down".into()), CloseReason::Peer("shutting down".into())),
            (CloseReason::Duplicate, CloseReason::Duplicate),
            (CloseReason::SelfLink, CloseReason::SelfLink),
            (CloseReason::SameNodeId, CloseReason::SameNodeId),
            (CloseReason::PeerWithoutSecret, CloseReason::NoSecretHere),
            (CloseReason::NoSecretHere, CloseReason::PeerWithoutSecret),
            (CloseReason::WrongSecret, CloseReason::WrongSecret),
            (CloseReason::RejectedHere(text.clone()), CloseReason::Rejected(text)),
            (
                CloseReason::Protocol("call before hello".into()),
                CloseReason::PeerError("protocol error: call before hello".into()),
            ),
        ] {
            let (code, text) = here.telling().unwrap();
            assert_eq!(CloseReason::told(code as u8, text.as_bytes()), there);
        }
    }

    #[test]
    fn a_code_of_the_future_is_shown_with_its_text() {
        let reason = CloseReason::told(200, b"too\nnew\x1b[31m");
        let text = "closed by peer because of an error: too\u{FFFD}new\u{FFFD}[31m";
        assert_eq!(reason.to_string(), text);
    }

    #[test]
    fn only_a_self_link_is_never_dialled_again() {
        assert_eq!(CloseReason::SelfLink.redial(), Redial::Never);
        assert_eq!(CloseReason::Duplicate.redial(), Redial::WhenOtherLinkEnds);
        assert_eq!(CloseReason::WrongSecret.redial(), Redial::AfterBackoff);
        assert_eq!(CloseReason::Rejected(Bytes::new()).redial(), Redial::AfterBackoff);
    }
}
