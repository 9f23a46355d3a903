//! Bodies of the fuzz targets: plain functions that assert what must hold for any bytes. The
//! tests below run them over the seed corpus, its truncations and its bit flips.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use crate::chunk::{ChunkError, Reader};
use crate::command::{PublishRefusal, RejectCode};
use crate::event::Event;
use crate::handshake::{HandshakeError, ServerHandshake};
use crate::message::{Message, control_value, kind, max_length};
use crate::session::{Output, Session, SessionConfig};

/// Entropy of all sessions here: a run depends on the input alone.
const ENTROPY: [u8; 64] = [0x5A; 64];

/// C0, C1 and C2 of the simple handshake.
fn simple_handshake() -> BytesMut {
    let mut bytes = BytesMut::zeroed(1 + 2 * 1536);
    bytes[0] = 3;
    bytes
}

/// Chunks in any pieces give the same messages and the same error, within the limits.
#[doc(hidden)]
pub fn chunk_reader(data: &[u8]) {
    let step = data.first().map_or(1, |&byte| usize::from(byte).max(1));
    let whole = read_chunks(data, data.len().max(1));
    assert_eq!(whole, read_chunks(data, step), "pieces of {step}");
    assert_eq!(whole, read_chunks(data, 1), "pieces of one byte");
}

fn read_chunks(data: &[u8], step: usize) -> (Vec<Message>, Option<ChunkError>) {
    let (mut reader, mut input, mut messages) = (Reader::new(), BytesMut::new(), Vec::new());
    for piece in data.chunks(step) {
        input.extend_from_slice(piece);
        loop {
            let result = reader.read(&mut input).and_then(|message| {
                if let Some(message) = &message
                    && let Ok(value) = control_value(message)
                {
                    match message.kind {
                        kind::SET_CHUNK_SIZE => reader.set_chunk_size(value)?,
                        kind::ABORT => reader.abort(value),
                        _ => {}
                    }
                }
                Ok(message)
            });
            match result {
                Ok(Some(message)) => {
                    assert!(message.payload.len() <= max_length(message.kind));
                    messages.push(message);
                }
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(input.len() < 3 + 11 + 4, "only the beginning of a header is left");
    }
    (messages, None)
}

/// A handshake in any pieces gives the same answer.
#[doc(hidden)]
pub fn handshake(data: &[u8]) {
    let whole = shake(data, data.len().max(1));
    assert_eq!(whole, shake(data, 1));
    if let Ok((out, _, _)) = whole {
        assert!(out.is_empty() || out.len() == 1 + 2 * 1536);
    }
}

fn shake(data: &[u8], step: usize) -> Result<(Bytes, bool, usize), HandshakeError> {
    let mut server = ServerHandshake::new(ENTROPY);
    let (mut input, mut out, mut done) = (BytesMut::new(), BytesMut::new(), false);
    for piece in data.chunks(step) {
        input.extend_from_slice(piece);
        done = server.handle_input(&mut input, &mut out)?;
    }
    Ok((out.freeze(), done, input.len()))
}

/// Bytes after the handshake into a whole session, whose owner decides in turn yes and no. Every
/// third count of bytes a timeout passes.
#[doc(hidden)]
pub fn session(data: &[u8]) {
    let mut now = start();
    let mut session = Session::new(now, SessionConfig::default(), ENTROPY);
    let mut input = simple_handshake();
    let mut owner = Owner::default();
    session.handle_input(now, &mut input);
    owner.drain(&mut session);
    let mut rest = data;
    while rest.has_remaining() {
        let count = (usize::from(rest[0]) + 1).min(rest.len());
        input.extend_from_slice(&rest[..count]);
        rest.advance(count);
        loop {
            let before = input.len();
            session.handle_input(now, &mut input);
            owner.drain(&mut session);
            if input.len() == before && !session.is_waiting() {
                break;
            }
        }
        if count.is_multiple_of(3) {
            now += Duration::from_secs(11);
            session.handle_timeout(now);
            owner.drain(&mut session);
        }
    }
    session.handle_timeout(now + Duration::from_secs(3600));
    owner.drain(&mut session);
    assert!(owner.closed, "silence ends every session");
}

/// Any instant does: only distances count.
#[expect(clippy::disallowed_methods, reason = "there is no other way to get an instant")]
fn start() -> Instant {
    Instant::now()
}

/// An owner that decides whatever it is asked.
#[derive(Default)]
struct Owner {
    decisions: usize,
    closed: bool,
}

impl Owner {
    fn drain(&mut self, session: &mut Session) {
        loop {
            match session.poll_output() {
                Output::Transmit(bytes) => assert!(!bytes.is_empty()),
                Output::Timeout(_) => return,
                Output::Event(event) => {
                    assert!(!self.closed, "nothing follows the end");
                    self.act(session, event);
                }
            }
        }
    }

    fn act(&mut self, session: &mut Session, event: Event) {
        self.decisions += 1;
        let yes = !self.decisions.is_multiple_of(5);
        match event {
            Event::Connect(_) if yes => session.accept_connect(&[]),
            Event::Connect(_) => session.reject_connect(RejectCode::InvalidApp, b"no"),
            Event::Publish { stream, .. } if yes => session.accept_publish(stream),
            Event::Publish { stream, .. } => {
                session.refuse_publish(stream, &PublishRefusal::BadName);
            }
            Event::Play { stream, .. } if yes => session.accept_play(stream, true, true, true),
            Event::Play { stream, .. } => session.refuse_play(stream, b"no"),
            Event::Call { transaction, args, .. } if yes => {
                session.answer_call(transaction, &args).expect("it came in a message");
            }
            Event::Call { transaction, .. } => session.fail_call(transaction, b"no"),
            Event::Closed(_) => self.closed = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Each seed, each of its truncations (in steps for long ones), and one flipped bit at
    /// places spread over it.
    fn over_corpus(target: &str, body: fn(&[u8])) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut seeds = 0;
        for entry in std::fs::read_dir(folder).expect("the corpus is there") {
            let seed = std::fs::read(entry.expect("readable").path()).expect("readable");
            seeds += 1;
            body(&seed);
            let step = seed.len() / 60 + 1;
            for end in (0..seed.len()).step_by(step) {
                body(&seed[..end]);
            }
            for index in (0..seed.len()).step_by(step) {
                let mut flipped = seed.clone();
                flipped[index] ^= 1 << (index % 8);
                body(&flipped);
            }
        }
        assert!(seeds > 0, "no seeds for {target}");
    }

    #[test]
    fn chunk_reader_holds_over_the_corpus() {
        over_corpus("chunk_reader", chunk_reader);
    }

    #[test]
    fn handshake_holds_over_the_corpus() {
        over_corpus("handshake", handshake);
    }

    #[test]
    fn session_holds_over_the_corpus() {
        over_corpus("session", session);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_hold(data in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            chunk_reader(&data);
            session(&data);
        }
    }
}
