//! Bodies of the fuzz targets `websocket_guard` and `websocket_text`: plain functions that assert
//! what must hold for any input. The crate's tests run them over its corpus.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{Event, FrameGuard, Input, Message, Session, SessionConfig};
use crate::{data_message, limits::MAX_CLOSE_TEXT};

/// Any bytes as frames: the pieces in which they come change nothing.
#[doc(hidden)]
pub fn websocket_guard(data: &[u8]) {
    let whole = FrameGuard::default().pass(data);
    if let Err((_, before)) = &whole {
        assert!(*before <= data.len());
        assert_eq!(FrameGuard::default().pass(&data[..*before]), Ok(()));
    }
    let mut guard = FrameGuard::default();
    let pieces = data.chunks(3).try_for_each(|piece| guard.pass(piece));
    let violation = |result: Result<(), (crate::Violation, usize)>| result.map_err(|(why, _)| why);
    assert_eq!(violation(whole), violation(pieces));
}

/// Any bytes as texts of a client, one a line: the session goes on or closes, never both.
#[doc(hidden)]
pub fn websocket_text(data: &[u8]) {
    let now = instant();
    let mut session = Session::new(now, SessionConfig::default());
    session.open(now);
    let mut closed = false;
    for (index, line) in data.split(|byte| *byte == b'\n').enumerate() {
        if std::str::from_utf8(line).is_err() {
            continue;
        }
        let at = now + Duration::from_millis(index as u64);
        session.handle_input(at, Input::Text(Bytes::copy_from_slice(line)));
        while let Some(event) = session.poll_event() {
            assert!(!closed, "{event:?} after the end");
            match event {
                Event::Closed(_) => closed = true,
                Event::Publish { name, .. } => {
                    assert!(!name.is_empty() && session.is_waiting());
                    session.accept_publish();
                }
                Event::Play { name, .. } => {
                    assert!(!name.is_empty() && session.is_waiting());
                    session.accept_play();
                }
                Event::Data(frame) => {
                    assert_eq!(data_message(line).ok(), Some(frame.payload));
                }
                Event::Message { body, .. } => assert_eq!(body, line),
                Event::Unpublish | Event::StopPlay | Event::RoundTrip(_) => {}
            }
        }
        assert_eq!(closed, session.is_closed());
        while let Some(message) = session.poll_message() {
            if let Message::Close(Some((_, text))) = message {
                assert!(text.len() <= MAX_CLOSE_TEXT);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
fn instant() -> Instant {
    Instant::now()
}
