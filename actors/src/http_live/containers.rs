//! The containers of one publication for its viewers on one worker: each batch is serialised
//! once, by the first viewer that asks. Tags of FLV get a head with the viewer's own time when they
//! leave (PUB-19); packets of a transport stream carry the publisher's, on which their tables and
//! counters rest.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use ramona_media::{MediaFrame, SharedTs, flv_tags};

/// What a player asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// FLV.
    Flv,
    /// MPEG-2 transport stream.
    Ts,
}

impl Container {
    /// By the end of a file's name, in any case.
    pub(crate) fn of_extension(extension: &str) -> Option<Self> {
        match () {
            () if extension.eq_ignore_ascii_case("flv") => Some(Self::Flv),
            () if extension.eq_ignore_ascii_case("ts") => Some(Self::Ts),
            () => None,
        }
    }

    /// HTT-12.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Flv => "video/x-flv",
            Self::Ts => "video/mp2t",
        }
    }
}

/// See the module's text.
pub(crate) struct Containers {
    /// The worker's count of batches: tells the batch of the moment from the one before.
    turn: Rc<Cell<u64>>,
    flv: RefCell<Shared<()>>,
    ts: RefCell<Shared<SharedTs>>,
}

struct Shared<C> {
    container: C,
    turn: u64,
    /// One entry per frame of the batch of that turn.
    batch: Rc<[Bytes]>,
}

impl<C: Default> Default for Shared<C> {
    fn default() -> Self {
        Self { container: C::default(), turn: 0, batch: Rc::default() }
    }
}

impl<C> Shared<C> {
    fn batch(&mut self, turn: u64, write: impl FnOnce(&mut C) -> Vec<Bytes>) -> Rc<[Bytes]> {
        if self.turn != turn {
            self.batch = write(&mut self.container).into();
            self.turn = turn;
        }
        self.batch.clone()
    }
}

impl Containers {
    pub(crate) fn new(turn: Rc<Cell<u64>>) -> Self {
        Self { turn, flv: RefCell::default(), ts: RefCell::default() }
    }

    /// The bytes of each frame of the batch that the worker delivers just now; empty for one that the
    /// container cannot carry.
    pub(super) fn batch(&self, container: Container, frames: &[MediaFrame]) -> Rc<[Bytes]> {
        let turn = self.turn.get();
        match container {
            Container::Flv => self.flv.borrow_mut().batch(turn, |()| flv_tags(frames)),
            Container::Ts => self.ts.borrow_mut().batch(turn, |ts| ts.write(frames)),
        }
    }

    /// The packets that a new viewer of a transport stream gets of the past.
    pub(super) fn join_ts(&self, frames: &[MediaFrame]) -> Bytes {
        self.ts.borrow_mut().container.join(frames)
    }

    /// The publication ended. Each viewer says so; once is enough.
    pub(super) fn next_run(&self) {
        self.ts.borrow_mut().container.next_run();
    }
}

#[cfg(test)]
mod tests {
    use ramona_media::MediaKind;

    use super::*;

    #[test]
    fn a_batch_is_serialised_once_for_all_viewers_of_a_container() {
        let turn = Rc::new(Cell::new(1));
        let containers = Containers::new(turn.clone());
        let body = Bytes::from_static(b"\xAF\x01a");
        let frames = [MediaFrame::new(MediaKind::Audio, 40, body)];
        let first = containers.batch(Container::Flv, &frames);
        let second = containers.batch(Container::Flv, &frames);
        assert_eq!(first[0].as_ptr(), second[0].as_ptr());
        turn.set(2);
        let third = containers.batch(Container::Flv, &frames);
        assert_ne!(first[0].as_ptr(), third[0].as_ptr(), "another batch at the same place");
        assert_eq!(first[0], third[0]);
    }
}
