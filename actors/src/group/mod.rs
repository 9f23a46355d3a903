//! Group: one NetGroup, its members on this node and the virtual ones that scripts add.
//!
//! Lives from its first member to its last (see [`Groups`](crate::groups::Groups)). Group data
//! never passes the node: a joiner is told some members and finds the others through them.

mod ring;

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;
use ramona_script::ClientId;
use tracing::{debug, info};

use crate::messages::client::ToSession;
use crate::messages::group::{GroupId, ToGroup};
use crate::metrics::{ActorKind, Alive, Metrics};
use ring::{Peer, Ring};

/// See the module's text.
pub(crate) struct Group {
    id: GroupId,
    ring: Ring,
    local: HashMap<(ClientId, u64), Local>,
    metrics: Arc<Metrics>,
    _alive: Alive,
}

struct Local {
    peer: Peer,
    session: Recipient<ToSession>,
}

impl Group {
    pub(crate) fn new(id: GroupId, metrics: Arc<Metrics>) -> Self {
        info!(group = %id, "group created");
        let alive = metrics.alive(ActorKind::Group);
        Self { id, ring: Ring::default(), local: HashMap::new(), metrics, _alive: alive }
    }

    fn join(&mut self, client: ClientId, peer: Peer, join: u64, session: Recipient<ToSession>) {
        let members = self.ring.neighbours(peer);
        debug!(group = %self.id, client = client.0, told = members.len(), "join");
        self.ring.add(peer);
        if !members.is_empty() {
            session.do_send(ToSession::Members { join, members });
        }
        self.local.insert((client, join), Local { peer, session });
    }

    fn leave(&mut self, client: ClientId, join: u64) {
        let Some(member) = self.local.remove(&(client, join)) else { return };
        debug!(group = %self.id, client = client.0, members = self.local.len(), "leave");
        let neighbours = self.ring.neighbours(member.peer);
        if self.ring.remove(member.peer) {
            self.close_ring(&neighbours);
        }
    }

    /// One neighbour of a member that left is told another one, so that the ring stays closed.
    fn close_ring(&self, neighbours: &[Peer]) {
        let [first, .., last] = neighbours else { return };
        let Some(((_, join), member)) = self.local.iter().find(|(_, m)| m.peer == *first) else {
            return;
        };
        member.session.do_send(ToSession::Members { join: *join, members: vec![*last] });
    }
}

impl Actor for Group {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        info!(group = %self.id, "group removed");
    }
}

impl Handler<ToGroup> for Group {
    type Result = ();

    fn handle(&mut self, message: ToGroup, ctx: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::Group);
        match message {
            ToGroup::Join { client, peer, join, session } => self.join(client, peer, join, session),
            ToGroup::Leave { client, join } => self.leave(client, join),
            ToGroup::AddVirtual(peer) => {
                self.ring.add(peer);
            }
            ToGroup::RemoveVirtual(peer) => {
                self.ring.remove(peer);
            }
            ToGroup::Stop => ctx.stop(),
        }
    }
}
