use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::noise::{Cipher, MAX_RECORD_PLAIN, NoiseError};

/// Sealed bytes made at a time: four full records. Enough for one large write, little enough that
/// a heartbeat between two of them is not late.
const SEAL_BATCH: usize = 256 << 10;

/// What waits to be transmitted: bytes that go as they are, then frames.
///
/// Frames wait until the own hello is put in front of them, so nothing can overtake it (CLU-03).
#[derive(Default)]
pub(crate) struct Outbound {
    raw: VecDeque<Bytes>,
    frames: VecDeque<Bytes>,
    frame_bytes: usize,
    is_open: bool,
    scratch: Vec<u8>,
}

impl Outbound {
    /// Bytes of waiting frames.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Bytes outside frames: preamble, handshake, refusal.
    pub(crate) fn push_raw(&mut self, bytes: Bytes) {
        self.raw.push_back(bytes);
    }

    /// Whole frames behind all others.
    pub(crate) fn push(&mut self, frames: Bytes) {
        if !frames.is_empty() {
            self.frame_bytes += frames.len();
            self.frames.push_back(frames);
        }
    }

    /// The own hello: before all frames that wait, which may leave from now on.
    pub(crate) fn open_with(&mut self, hello: Bytes) {
        self.frame_bytes += hello.len();
        self.frames.push_front(hello);
        self.is_open = true;
    }

    /// The last frame. Frames that still wait for the hello are dropped, for nobody would take
    /// them.
    pub(crate) fn close_with(&mut self, frame: Bytes) {
        if !self.is_open {
            self.drop_frames();
            self.is_open = true;
        }
        self.push(frame);
    }

    /// Drops all frames.
    pub(crate) fn drop_frames(&mut self) {
        self.frames.clear();
        self.frame_bytes = 0;
    }

    /// The next bytes to transmit.
    pub(crate) fn poll(
        &mut self,
        cipher: Option<&mut Cipher>,
    ) -> Result<Option<Bytes>, NoiseError> {
        if let Some(raw) = self.raw.pop_front() {
            return Ok(Some(raw));
        }
        if !self.is_open || self.frames.is_empty() {
            return Ok(None);
        }
        match cipher {
            Some(cipher) => self.seal(cipher).map(Some),
            None => {
                let frames = self.frames.pop_front();
                self.frame_bytes -= frames.as_ref().map_or(0, Bytes::len);
                Ok(frames)
            }
        }
    }

    /// Seals waiting frames into as few records as possible, whatever pieces they came in.
    fn seal(&mut self, cipher: &mut Cipher) -> Result<Bytes, NoiseError> {
        let mut sealed = BytesMut::new();
        while sealed.len() < SEAL_BATCH
            && let Some(front) = self.frames.front_mut()
        {
            if front.len() >= MAX_RECORD_PLAIN || self.frames.len() == 1 {
                let piece = self.take_front(MAX_RECORD_PLAIN);
                cipher.seal(&piece, &mut sealed)?;
            } else {
                let mut scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                while scratch.len() < MAX_RECORD_PLAIN && !self.frames.is_empty() {
                    scratch.extend_from_slice(&self.take_front(MAX_RECORD_PLAIN - scratch.len()));
                }
                let done = cipher.seal(&scratch, &mut sealed);
                self.scratch = scratch;
                done?;
            }
        }
        Ok(sealed.freeze())
    }

    /// At most `limit` bytes of the first piece, which must be there.
    fn take_front(&mut self, limit: usize) -> Bytes {
        let Some(front) = self.frames.front_mut() else {
            return Bytes::new();
        };
        let piece = front.split_to(front.len().min(limit));
        if front.is_empty() {
            self.frames.pop_front();
        }
        self.frame_bytes -= piece.len();
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use crate::noise::Handshake;

    fn ciphers() -> (Cipher, Cipher) {
        let secret = Secret::new("s").unwrap();
        let mut dialler = Handshake::dial(&secret, [1; 32]);
        let mut acceptor = Handshake::accept(&secret, [2; 32]);
        let mut wire = BytesMut::new();
        dialler.write(&mut wire).unwrap();
        acceptor.read(&wire[2..]).unwrap();
        wire.clear();
        acceptor.write(&mut wire).unwrap();
        dialler.read(&wire[2..]).unwrap();
        (dialler.finish().unwrap(), acceptor.finish().unwrap())
    }

    fn drain(outbound: &mut Outbound, mut cipher: Option<&mut Cipher>) -> Vec<Bytes> {
        std::iter::from_fn(|| outbound.poll(cipher.as_deref_mut()).unwrap()).collect()
    }

    #[test]
    fn frames_wait_for_the_hello_and_follow_it() {
        let mut outbound = Outbound::default();
        outbound.push("one".into());
        outbound.push_raw("preamble".into());
        assert_eq!(drain(&mut outbound, None), ["preamble"]);
        outbound.open_with("hello".into());
        outbound.push("two".into());
        assert_eq!(outbound.frame_bytes(), 11);
        assert_eq!(drain(&mut outbound, None), ["hello", "one", "two"]);
        assert_eq!(outbound.frame_bytes(), 0);
    }

    #[test]
    fn a_last_frame_without_hello_drops_what_waited() {
        let mut outbound = Outbound::default();
        outbound.push("one".into());
        outbound.close_with("bye".into());
        assert_eq!(drain(&mut outbound, None), ["bye"]);
        let mut outbound = Outbound::default();
        outbound.open_with("hello".into());
        outbound.close_with("bye".into());
        assert_eq!(drain(&mut outbound, None), ["hello", "bye"]);
    }

    #[test]
    fn many_small_frames_share_records_and_large_ones_are_cut() {
        let (mut sealing, mut opening) = ciphers();
        let mut outbound = Outbound::default();
        outbound.open_with("hello".into());
        let mut expected = b"hello".to_vec();
        let small = (0..1_000).map(|n| vec![n as u8; 40]);
        for frames in small.chain([vec![7; 600_000], vec![8; 3], vec![9; MAX_RECORD_PLAIN]]) {
            expected.extend(&frames);
            outbound.push(frames.into());
        }
        assert_eq!(outbound.frame_bytes(), expected.len());
        let batches = drain(&mut outbound, Some(&mut sealing));
        assert!(batches.iter().all(|b| b.len() <= SEAL_BATCH + 65_537), "batches are bounded");
        let mut wire = BytesMut::from(&batches.concat()[..]);
        let records = expected.len().div_ceil(MAX_RECORD_PLAIN);
        assert!(wire.len() - expected.len() <= 18 * (records + 2), "as few records as possible");
        let mut plain = BytesMut::new();
        opening.open(&mut wire, &mut plain).unwrap();
        assert!(plain == expected[..]);
        assert_eq!(outbound.frame_bytes(), 0);
    }
}
