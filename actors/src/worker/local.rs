//! What the sessions of one arbiter share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use actix::prelude::*;
use ramona_script::{ClientId, ListenerId};

use super::viewer::{Sent, Viewer};
use crate::awake::Awake;
use crate::http_live::Containers;
use crate::http_session::HttpService;
use crate::messages::client::ToSession;
use crate::messages::media::{Deliver, StreamKey};
use crate::metrics::Protocol;
use crate::rtmfp_session::RtmfpHub;
use crate::websocket_session::Texts;

/// Bytes that one read of a socket may take: one buffer per worker serves all its sessions.
const READ_BUFFER: usize = 64 << 10;

/// Viewers whose memory is fetched ahead of sending to them. Between two batches it has left the
/// cache; one after the other, each viewer would wait for its own two or three lines, while many
/// looked at in a row wait together. So many lines stay in the first level cache.
const AHEAD: usize = 16;

/// What the sessions of one arbiter share.
pub(crate) struct Local {
    /// Index of the worker.
    pub(crate) index: usize,
    /// For the links here.
    pub(crate) awake: Rc<Awake>,
    pub(super) viewers: RefCell<HashMap<StreamKey, Vec<Slot>>>,
    pub(super) sessions: RefCell<HashMap<ClientId, Recipient<ToSession>>>,
    rtmfp: RefCell<Option<Rc<RtmfpHub>>>,
    containers: RefCell<HashMap<StreamKey, Weak<Containers>>>,
    /// Counts batches: [`Containers`] are made once per turn.
    turn: Rc<Cell<u64>>,
    http: RefCell<Option<Rc<HttpService>>>,
    /// Data messages as WebSocket viewers get them.
    pub(crate) texts: RefCell<Texts>,
    /// Read buffer of all sessions here: a session reads, then leaves it empty.
    pub(crate) scratch: RefCell<Box<[u8]>>,
}

pub(super) struct Slot {
    pub(super) listener: ListenerId,
    pub(super) viewer: Rc<dyn Viewer>,
    /// Got its `Welcome`; batches before it are part of the cached group.
    pub(super) joined: bool,
}

impl Local {
    pub(super) fn new(index: usize, awake: Rc<Awake>) -> Self {
        Self {
            index,
            awake,
            viewers: RefCell::default(),
            sessions: RefCell::default(),
            rtmfp: RefCell::default(),
            containers: RefCell::default(),
            turn: Rc::default(),
            http: RefCell::default(),
            texts: RefCell::default(),
            scratch: RefCell::new(vec![0; READ_BUFFER].into()),
        }
    }

    /// The RTMFP sessions of this arbiter, once the node has an RTMFP port.
    pub(crate) fn rtmfp(&self) -> Option<Rc<RtmfpHub>> {
        self.rtmfp.borrow().clone()
    }

    /// Gives the arbiter its RTMFP sessions.
    pub(crate) fn set_rtmfp(&self, hub: Rc<RtmfpHub>) {
        *self.rtmfp.borrow_mut() = Some(hub);
    }

    /// What serves HTTP connections here, once the node has an HTTP port.
    pub(crate) fn http(&self) -> Option<Rc<HttpService>> {
        self.http.borrow().clone()
    }

    /// Gives the arbiter its HTTP service.
    pub(crate) fn set_http(&self, service: Rc<HttpService>) {
        *self.http.borrow_mut() = Some(service);
    }

    /// The containers that all viewers of a publication share here; they last as long as one of
    /// them does.
    pub(crate) fn containers(&self, stream: StreamKey) -> Rc<Containers> {
        let mut all = self.containers.borrow_mut();
        if let Some(known) = all.get(&stream).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, containers| containers.strong_count() > 0);
        let new = Rc::new(Containers::new(self.turn.clone()));
        all.insert(stream, Rc::downgrade(&new));
        new
    }

    /// Remembers a session, to tell it when the node stops.
    pub(crate) fn add_session(&self, client: ClientId, session: Recipient<ToSession>) {
        self.sessions.borrow_mut().insert(client, session);
    }

    /// Forgets a session.
    pub(crate) fn remove_session(&self, client: ClientId) {
        self.sessions.borrow_mut().remove(&client);
    }

    /// Adds a viewer, which waits for its `Welcome`.
    pub(crate) fn attach(&self, stream: StreamKey, listener: ListenerId, viewer: Rc<dyn Viewer>) {
        let slot = Slot { listener, viewer, joined: false };
        self.viewers.borrow_mut().entry(stream).or_default().push(slot);
    }

    /// Takes a viewer away.
    pub(crate) fn detach(&self, stream: StreamKey, listener: ListenerId) {
        let mut viewers = self.viewers.borrow_mut();
        if let Some(slots) = viewers.get_mut(&stream) {
            if let Some(index) = slots.iter().position(|slot| slot.listener == listener) {
                slots.swap_remove(index);
            }
            if slots.is_empty() {
                viewers.remove(&stream);
            }
        }
    }

    /// Sends a batch to all viewers of its publication here; answers what they did, by protocol.
    pub(super) fn deliver(&self, batch: &Deliver) -> [Sent; Protocol::ALL.len()] {
        self.turn.set(self.turn.get() + 1);
        let viewers = self.viewers.borrow();
        let mut sent = [Sent::default(); Protocol::ALL.len()];
        let slots = viewers.get(&batch.stream).map(Vec::as_slice).unwrap_or_default();
        let mut deliver = || {
            for slots in slots.chunks(AHEAD) {
                let look = |step| {
                    let ahead = |more, slot: &Slot| more | slot.viewer.look_ahead(step);
                    slots.iter().fold(false, ahead)
                };
                (0..).find(|step| !look(*step));
                for slot in slots.iter().filter(|slot| slot.joined) {
                    let done = slot.viewer.deliver(&batch.frames, batch.has_video, batch.after_gap);
                    sent[slot.viewer.protocol() as usize].add(done);
                }
            }
        };
        match self.rtmfp() {
            Some(hub) => hub.deliver(deliver),
            None => deliver(),
        }
        sent
    }
}
