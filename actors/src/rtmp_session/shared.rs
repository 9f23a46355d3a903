//! What a session shares with its viewers: they write to its socket and, at the start and end of
//! a publication, speak through its machine.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use ramona_rtmp as rtmp;
use tokio::net::TcpStream;

use crate::transport::Transport;

pub(super) struct Shared {
    pub(super) machine: RefCell<rtmp::Session>,
    pub(super) transport: Transport,
    events: RefCell<VecDeque<rtmp::Event>>,
    deadline: Cell<Option<Instant>>,
    connected: Cell<bool>,
}

impl Shared {
    pub(super) fn new(machine: rtmp::Session, stream: TcpStream) -> Self {
        Self {
            machine: RefCell::new(machine),
            transport: Transport::new(stream),
            events: RefCell::default(),
            deadline: Cell::new(None),
            connected: Cell::new(false),
        }
    }

    /// Sends what the machine has to send and keeps its events for [`next_event`](Self::next_event).
    pub(super) fn drain(&self) {
        let mut machine = self.machine.borrow_mut();
        loop {
            match machine.poll_output() {
                rtmp::Output::Transmit(bytes) => self.transport.send_bytes(bytes),
                rtmp::Output::Event(event) => self.events.borrow_mut().push_back(event),
                rtmp::Output::Timeout(at) => {
                    self.deadline.set(Some(at));
                    return;
                }
            }
        }
    }

    pub(super) fn next_event(&self) -> Option<rtmp::Event> {
        self.events.borrow_mut().pop_front()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// The client was accepted: its end is worth an info line.
    pub(super) fn set_connected(&self) {
        self.connected.set(true);
    }

    pub(super) fn was_connected(&self) -> bool {
        self.connected.get()
    }
}
