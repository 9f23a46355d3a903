//! The rules by which one viewer gets, skips or misses a frame.

use crate::clock::StreamClock;
use crate::frame::{MediaFrame, MediaKind};

/// Bounds of one viewer's outbound queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Payload bytes waiting for the viewer. Past it frames are dropped to the next key frame
    /// that finds the queue half empty; past twice this value the viewer is closed.
    pub bytes: usize,
    /// How long the oldest frame may wait for the viewer, in milliseconds; same policy.
    pub age_ms: u32,
}

impl Default for QueueLimits {
    /// 16 MiB and 5 s: a cached group of pictures passes at once, and a viewer that stalls for
    /// some seconds catches up without loss.
    fn default() -> Self {
        Self { bytes: 16 << 20, age_ms: 5_000 }
    }
}

/// How full a viewer's queue is when a frame is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Bytes not yet taken by the transport.
    pub bytes: usize,
    /// How long the oldest of them has waited, in milliseconds; 0 when nothing waits. Not the
    /// age of its picture: a new viewer gets the past of its group in one burst.
    pub waited_ms: u32,
}

/// What becomes of a frame for one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it with this time: milliseconds since this viewer's first frame (PUB-19).
    Send(u32),
    /// Not for this viewer now: muted, paused, or before its first key frame.
    Skip,
    /// Lost because the viewer is too slow: count it.
    Drop,
    /// The viewer reads nothing at all: close it.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first key frame, after a pause or an unmute: audio flows, video waits.
    Waiting,
    Flowing,
    /// Too slow: nothing flows before a key frame finds room.
    Dropping,
}

/// State of one viewer of one publication.
#[derive(Debug)]
pub struct ViewerGate {
    limits: QueueLimits,
    state: State,
    receive_audio: bool,
    receive_video: bool,
    paused: bool,
    clock: StreamClock,
}

impl ViewerGate {
    /// A viewer that has received nothing.
    pub fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            state: State::Waiting,
            receive_audio: true,
            receive_video: true,
            paused: false,
            clock: StreamClock::from_zero(),
        }
    }

    /// Judges one frame. `has_video` says whether the publication carries video: without it there
    /// is no key frame to wait for.
    pub fn offer(&mut self, frame: &MediaFrame, queued: Queued, has_video: bool) -> Verdict {
        if queued.bytes > self.limits.bytes.saturating_mul(2) {
            return Verdict::Close;
        }
        if frame.is_header || frame.kind == MediaKind::Data {
            return self.send(frame);
        }
        if self.paused {
            return Verdict::Skip;
        }
        match frame.kind {
            MediaKind::Audio if !self.receive_audio => return Verdict::Skip,
            MediaKind::Video if !self.receive_video => return Verdict::Skip,
            _ => {}
        }
        let awaits_key = has_video && self.receive_video;
        match self.state {
            State::Waiting if frame.kind == MediaKind::Video && !frame.is_keyframe => {
                return Verdict::Skip;
            }
            State::Dropping => {
                let restarts = frame.is_keyframe || !awaits_key;
                if !restarts || !self.has_room(frame, queued, 2) {
                    return Verdict::Drop;
                }
                self.state = State::Flowing;
            }
            State::Waiting | State::Flowing => {
                if !self.has_room(frame, queued, 1) {
                    self.state = State::Dropping;
                    return Verdict::Drop;
                }
                if frame.is_keyframe {
                    self.state = State::Flowing;
                }
            }
        }
        self.send(frame)
    }

    /// `NetStream.receiveAudio`, LIS-05.
    pub fn set_receive_audio(&mut self, on: bool) {
        self.receive_audio = on;
    }

    /// `NetStream.receiveVideo`, LIS-05: video starts again at a key frame.
    pub fn set_receive_video(&mut self, on: bool) {
        if on && !self.receive_video {
            self.wait_for_keyframe();
        }
        self.receive_video = on;
    }

    /// `NetStream.pause`: a live stream goes on at a key frame.
    pub fn set_paused(&mut self, on: bool) {
        if !on && self.paused {
            self.wait_for_keyframe();
        }
        self.paused = on;
    }

    /// The publication ended; another run of the same name may follow, whose times begin anywhere.
    /// For this viewer they go on behind the last one.
    pub fn next_run(&mut self) {
        self.clock.next_run();
        self.state = State::Waiting;
    }

    /// Frames got lost on their way here: video goes on at a key frame.
    pub fn after_gap(&mut self) {
        self.wait_for_keyframe();
    }

    fn wait_for_keyframe(&mut self) {
        if self.state == State::Flowing {
            self.state = State::Waiting;
        }
    }

    /// Whether the queue has room for `frame` when its bounds are divided by `part`.
    fn has_room(&self, frame: &MediaFrame, queued: Queued, part: usize) -> bool {
        // An empty queue takes a frame of any size, or large key frames would never pass.
        queued.bytes == 0
            || (queued.bytes + frame.payload.len() <= self.limits.bytes / part
                && queued.waited_ms <= self.limits.age_ms / part as u32)
    }

    fn send(&mut self, frame: &MediaFrame) -> Verdict {
        Verdict::Send(self.clock.advance(frame))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn video(time: u32, key: bool) -> MediaFrame {
        let body: &'static [u8] = if key { b"\x17\x01k" } else { b"\x27\x01i" };
        MediaFrame::new(MediaKind::Video, time, Bytes::from_static(body))
    }
    fn audio(time: u32) -> MediaFrame {
        MediaFrame::new(MediaKind::Audio, time, Bytes::from_static(b"\xAF\x01a"))
    }
    const EMPTY: Queued = Queued { bytes: 0, waited_ms: 0 };
    fn gate() -> ViewerGate {
        ViewerGate::new(QueueLimits { bytes: 100, age_ms: 1_000 })
    }

    #[test]
    fn pub_02_and_19_no_video_flows_before_the_first_keyframe_and_time_starts_at_zero() {
        let mut gate = gate();
        assert_eq!(gate.offer(&video(5_000, false), EMPTY, true), Verdict::Skip);
        assert_eq!(gate.offer(&video(5_040, true), EMPTY, true), Verdict::Send(0));
        assert_eq!(gate.offer(&audio(5_030), EMPTY, true), Verdict::Send(0));
        assert_eq!(gate.offer(&video(5_080, false), EMPTY, true), Verdict::Send(40));
    }

    #[test]
    fn a_slow_viewer_loses_frames_to_the_next_keyframe_that_finds_room() {
        let mut gate = gate();
        let full = Queued { bytes: 99, waited_ms: 1 };
        let half = Queued { bytes: 60, waited_ms: 1 };
        let low = Queued { bytes: 20, waited_ms: 1 };
        assert_eq!(gate.offer(&video(0, true), EMPTY, true), Verdict::Send(0));
        assert_eq!(gate.offer(&video(40, false), full, true), Verdict::Drop);
        assert_eq!(gate.offer(&video(80, false), EMPTY, true), Verdict::Drop);
        assert_eq!(gate.offer(&audio(80), EMPTY, true), Verdict::Drop);
        assert_eq!(gate.offer(&video(120, true), half, true), Verdict::Drop);
        assert_eq!(gate.offer(&video(160, true), low, true), Verdict::Send(160));
        assert_eq!(gate.offer(&audio(161), low, true), Verdict::Send(161));
    }

    #[test]
    fn a_queue_that_waits_too_long_counts_as_full() {
        let mut gate = gate();
        gate.offer(&video(0, true), EMPTY, true);
        let old = |waited_ms| Queued { bytes: 3, waited_ms };
        assert_eq!(gate.offer(&video(40, false), old(1_000), true), Verdict::Send(40));
        assert_eq!(gate.offer(&video(80, false), old(1_001), true), Verdict::Drop);
    }

    #[test]
    fn audio_alone_starts_at_once_and_resumes_without_a_keyframe() {
        let mut gate = gate();
        assert_eq!(gate.offer(&audio(10), EMPTY, false), Verdict::Send(0));
        let full = Queued { bytes: 99, waited_ms: 1 };
        assert_eq!(gate.offer(&audio(20), full, false), Verdict::Drop);
        assert_eq!(gate.offer(&audio(30), EMPTY, false), Verdict::Send(20));
    }

    #[test]
    fn a_viewer_that_reads_nothing_is_closed_at_twice_the_bound() {
        let mut gate = gate();
        let stuck = Queued { bytes: 201, waited_ms: 1 };
        let data = MediaFrame::new(MediaKind::Data, 0, Bytes::from_static(b"\x02\x00\x00"));
        assert_eq!(gate.offer(&data, Queued { bytes: 200, ..stuck }, true), Verdict::Send(0));
        assert_eq!(gate.offer(&data, stuck, true), Verdict::Close);
    }

    #[test]
    fn mute_and_pause_skip_frames_and_return_at_a_keyframe() {
        let mut gate = gate();
        gate.offer(&video(0, true), EMPTY, true);
        gate.set_receive_video(false);
        assert_eq!(gate.offer(&video(40, true), EMPTY, true), Verdict::Skip);
        assert_eq!(gate.offer(&audio(40), EMPTY, true), Verdict::Send(40));
        gate.set_receive_video(true);
        assert_eq!(gate.offer(&video(80, false), EMPTY, true), Verdict::Skip);
        assert_eq!(gate.offer(&video(120, true), EMPTY, true), Verdict::Send(120));
        gate.set_paused(true);
        assert_eq!(gate.offer(&audio(130), EMPTY, true), Verdict::Skip);
        gate.set_paused(false);
        assert_eq!(gate.offer(&video(160, false), EMPTY, true), Verdict::Skip);
        assert_eq!(gate.offer(&audio(160), EMPTY, true), Verdict::Send(160));
        gate.set_receive_audio(false);
        assert_eq!(gate.offer(&audio(170), EMPTY, true), Verdict::Skip);
        let header = MediaFrame::new(MediaKind::Audio, 0, Bytes::from_static(b"\xAF\x00"));
        assert_eq!(gate.offer(&header, EMPTY, true), Verdict::Send(160), "headers still pass");
    }

    #[test]
    fn a_second_run_of_the_publication_goes_on_where_the_first_ended() {
        let mut gate = gate();
        gate.offer(&video(9_000, true), EMPTY, true);
        gate.offer(&video(9_500, false), EMPTY, true);
        gate.next_run();
        assert_eq!(gate.offer(&video(40, false), EMPTY, true), Verdict::Skip);
        assert_eq!(gate.offer(&video(80, true), EMPTY, true), Verdict::Send(500));
    }

    #[test]
    fn after_a_gap_video_goes_on_at_a_keyframe() {
        let mut gate = gate();
        gate.offer(&video(0, true), EMPTY, true);
        gate.after_gap();
        assert_eq!(gate.offer(&video(40, false), EMPTY, true), Verdict::Skip);
        assert_eq!(gate.offer(&video(80, true), EMPTY, true), Verdict::Send(80));
    }

    #[test]
    fn the_publishers_clock_may_wrap() {
        let mut gate = gate();
        assert_eq!(gate.offer(&video(u32::MAX - 9, true), EMPTY, true), Verdict::Send(0));
        assert_eq!(gate.offer(&video(10, false), EMPTY, true), Verdict::Send(20));
    }
}
