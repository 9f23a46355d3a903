//! From the publisher's clock to the one that viewers see.

use crate::frame::{MediaFrame, MediaKind};

/// Headers and metadata at most this far ahead of the last frame keep their distance; further
/// away their times are not in step with the frames' (0 is common).
const IN_STEP_MS: i32 = 10_000;

/// Times of one viewer, or of all viewers that share one serialisation. They go on where they
/// were when the publication ends and starts again, whose own times then begin anywhere.
#[derive(Clone, Debug, Default)]
pub struct StreamClock {
    /// The last frame: its time on the publisher's clock and on this one.
    last: Option<(u32, i64)>,
    /// Time of the next run's first frame; `None` is that frame's own time.
    resume_at: Option<i64>,
}

impl StreamClock {
    /// The first frame has time 0 (PUB-19).
    pub fn from_zero() -> Self {
        Self { last: None, resume_at: Some(0) }
    }

    /// The first run has the publisher's own times: viewers that join at different moments see
    /// the same time at the same frame, so one serialisation serves all of them.
    pub fn as_published() -> Self {
        Self::default()
    }

    /// The time of a frame in milliseconds, modulo 2^32; the clock moves on to it.
    pub fn advance(&mut self, frame: &MediaFrame) -> u32 {
        let time = self.time_of(frame);
        // Headers and metadata may be much older than the first frame: they never move the clock.
        if is_coded(frame) {
            self.last = Some((frame.timestamp_ms, time));
        }
        time.max(0) as u32
    }

    /// Times of a snapshot of the past, such as a cached group: its frames lie before the last
    /// frame, its headers and metadata at the first of them. The first snapshot starts the clock.
    pub fn past(&mut self, frames: &[MediaFrame]) -> Vec<u32> {
        let Some((last_in, last_out)) = self.last else {
            return frames.iter().map(|frame| self.advance(frame)).collect();
        };
        let time = |frame: &MediaFrame| {
            let delta = frame.timestamp_ms.wrapping_sub(last_in).cast_signed();
            (last_out + i64::from(delta)).max(0) as u32
        };
        let start = frames.iter().find(|frame| is_coded(frame)).map_or(last_out as u32, time);
        frames.iter().map(|frame| if is_coded(frame) { time(frame) } else { start }).collect()
    }

    /// The time of the last frame.
    pub fn now(&self) -> Option<u32> {
        self.last.map(|(_, time)| time.max(0) as u32)
    }

    /// The publication ended: the next frame is of another run.
    pub fn next_run(&mut self) {
        if let Some((_, last_out)) = self.last.take() {
            self.resume_at = Some(last_out.max(0));
        }
    }

    fn time_of(&self, frame: &MediaFrame) -> i64 {
        let Some((last_in, last_out)) = self.last else {
            return self.resume_at.unwrap_or_else(|| i64::from(frame.timestamp_ms));
        };
        let delta = frame.timestamp_ms.wrapping_sub(last_in).cast_signed();
        if !is_coded(frame) && !(0..IN_STEP_MS).contains(&delta) {
            return last_out.max(0);
        }
        last_out + i64::from(delta)
    }
}

/// Whether a frame has a time of its own: headers and metadata do not.
fn is_coded(frame: &MediaFrame) -> bool {
    !frame.is_header && frame.kind != MediaKind::Data
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn audio(time: u32) -> MediaFrame {
        MediaFrame::new(MediaKind::Audio, time, Bytes::from_static(b"\xAF\x01a"))
    }
    fn header(time: u32) -> MediaFrame {
        MediaFrame::new(MediaKind::Audio, time, Bytes::from_static(b"\xAF\x00\x12"))
    }

    #[test]
    fn a_shared_clock_shows_the_publishers_times_and_goes_on_in_the_next_run() {
        let mut clock = StreamClock::as_published();
        assert_eq!(clock.advance(&header(0)), 0);
        assert_eq!(clock.advance(&audio(5_000)), 5_000);
        assert_eq!(clock.advance(&header(0)), 5_000, "out of step");
        assert_eq!(clock.advance(&audio(5_040)), 5_040);
        clock.next_run();
        assert_eq!(clock.advance(&header(0)), 5_040);
        assert_eq!(clock.advance(&audio(20)), 5_040);
        assert_eq!(clock.advance(&audio(60)), 5_080);
        clock.next_run();
        clock.next_run();
        assert_eq!(clock.advance(&audio(0)), 5_080, "an empty run changes nothing");
    }

    #[test]
    fn a_group_of_the_past_lies_before_the_last_frame() {
        let mut clock = StreamClock::as_published();
        assert_eq!(clock.past(&[header(70), audio(70)]), [70, 70], "starts the clock");
        clock.advance(&audio(5_000));
        clock.next_run();
        clock.advance(&audio(100));
        clock.advance(&audio(300));
        assert_eq!(clock.past(&[header(0), audio(100), audio(300)]), [5_000, 5_000, 5_200]);
        assert_eq!(clock.past(&[header(0)]), [5_200], "without a group");
        assert_eq!(clock.advance(&audio(340)), 5_240, "a snapshot moves nothing");
    }

    #[test]
    fn times_wrap_as_flv_s_do() {
        let mut clock = StreamClock::as_published();
        assert_eq!(clock.advance(&audio(u32::MAX - 9)), u32::MAX - 9);
        assert_eq!(clock.advance(&audio(10)), 10);
        let mut clock = StreamClock::from_zero();
        assert_eq!(clock.advance(&audio(u32::MAX - 9)), 0);
        assert_eq!(clock.advance(&audio(10)), 20);
    }
}
