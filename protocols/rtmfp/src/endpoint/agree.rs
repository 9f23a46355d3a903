//! The expensive part of a handshake, apart from everything else: it owns what it needs and can run
//! on any thread.

use crate::certificate::Certificate;
use crate::certificate::find_option;
use crate::crypto::{Group, KeyPair, Keys, Negotiation, encode_key, option_kind};
use crate::entropy::Entropy;
use crate::option;
use crate::reader::Reader;

/// The near end's key.
pub(super) enum NearKey {
    /// Make one for this session only.
    Fresh,
    /// The key in the near end's certificate.
    Static(KeyPair),
}

/// The near end's keying component.
pub(super) enum NearComponent {
    /// The initiator's, as it was sent.
    Sent(Vec<u8>),
    /// The responder's, to be made.
    Response,
}

/// A Diffie-Hellman agreement to compute: about half a millisecond with group 14.
pub struct AgreeJob {
    pub(super) id: u64,
    pub(super) group: Group,
    pub(super) near_key: NearKey,
    pub(super) far_public: Vec<u8>,
    pub(super) near_component: NearComponent,
    pub(super) far_component: Vec<u8>,
    pub(super) negotiation: Negotiation,
    pub(super) entropy: Entropy,
}

/// The result of an [`AgreeJob`].
pub struct Agreement {
    pub(super) id: u64,
    /// `None`: the far public key is not valid.
    pub(super) result: Option<Agreed>,
}

pub(super) struct Agreed {
    pub(super) keys: Keys,
    pub(super) negotiation: Negotiation,
    pub(super) near_component: Vec<u8>,
}

impl AgreeJob {
    /// Computes the keys.
    pub fn run(self) -> Agreement {
        Agreement { id: self.id, result: self.compute() }
    }

    fn compute(mut self) -> Option<Agreed> {
        let (pair, is_fresh) = match self.near_key {
            NearKey::Fresh => (KeyPair::generate(self.group, &mut self.entropy), true),
            NearKey::Static(pair) => (pair, false),
        };
        let secret = pair.agree(&self.far_public)?;
        let near = match self.near_component {
            NearComponent::Sent(component) => component,
            NearComponent::Response => {
                // In this order, nothing after the key: librtmfp knows no other (quirk Q2).
                let mut component = Vec::with_capacity(12 + pair.public().len());
                self.negotiation.encode_response(&mut component);
                if is_fresh {
                    let kind = option_kind::EPHEMERAL_KEY;
                    encode_key(kind, self.group.id(), pair.public(), &mut component);
                } else {
                    let random: [u8; 64] = self.entropy.array();
                    option::encode(option_kind::EXTRA_RANDOMNESS, &random, &mut component);
                }
                component
            }
        };
        Some(Agreed {
            keys: Keys::derive(&secret, &near, &self.far_component),
            negotiation: self.negotiation,
            near_component: near,
        })
    }
}

impl std::fmt::Debug for AgreeJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgreeJob").field("id", &self.id).field("group", &self.group).finish()
    }
}

impl std::fmt::Debug for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agreement")
            .field("id", &self.id)
            .field("valid", &self.result.is_some())
            .finish()
    }
}

/// Group and public key of a far end: in its certificate if that is static, else in its component
/// (RFC 7425 §4.5). `chosen`: the group that the initiator has chosen.
pub(super) fn far_key(
    certificate: &Certificate,
    component: &[u8],
    chosen: Option<Group>,
) -> Option<(Group, Vec<u8>)> {
    if certificate.is_ephemeral() {
        let mut value = Reader::new(find_option(component, option_kind::EPHEMERAL_KEY)?);
        let group = Group::from_id(value.vlu()?)?;
        let fits = chosen.is_none_or(|chosen| chosen == group);
        return fits.then(|| (group, value.rest().to_vec()));
    }
    let group = match chosen {
        Some(group) => group,
        None => {
            let value = find_option(component, option_kind::GROUP_SELECT)?;
            Group::from_id(Reader::new(value).vlu()?)?
        }
    };
    Some((group, certificate.static_key(group)?.to_vec()))
}
