//! How long media is worth sending.

use std::time::Duration;

/// What a media message is for a receiver that lost the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaClass {
    /// Codec configuration or the end of a sequence: never expires.
    Header,
    /// Video that can be decoded on its own.
    Keyframe,
    /// Video that needs the frame before it.
    Dependent,
    /// Audio.
    Audio,
}

/// How long media of a stream is worth sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// Everything is sent until it is acknowledged.
    Reliable,
    /// Video leaves within 2.0 s, audio within 2.2 s, or not at all.
    #[default]
    Live,
    /// The same, and nothing that was lost is sent again.
    Unbuffered,
}

impl Lifetime {
    /// What the frames before a keyframe have left.
    pub(crate) const BEFORE_KEYFRAME: Duration = Duration::from_millis(100);
    const VIDEO: Duration = Duration::from_millis(2000);
    const AUDIO: Duration = Duration::from_millis(2200);
    /// From the start to the end of a message.
    const FINISH: Duration = Duration::from_millis(100);

    /// When a message has to start and to be finished; `None`: never.
    pub(super) fn limits(self, class: MediaClass) -> Option<(Duration, Duration)> {
        let start = match class {
            _ if self == Self::Reliable => return None,
            MediaClass::Header => return None,
            MediaClass::Keyframe | MediaClass::Dependent => Self::VIDEO,
            MediaClass::Audio => Self::AUDIO,
        };
        Some((start, start + Self::FINISH))
    }

    pub(super) fn retransmits(self, class: MediaClass) -> bool {
        self != Self::Unbuffered || class == MediaClass::Header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 7.9.
    #[test]
    fn rtmfp_091_headers_never_expire_and_media_does() {
        let ms = Duration::from_millis;
        for lifetime in [Lifetime::Reliable, Lifetime::Live, Lifetime::Unbuffered] {
            assert_eq!(lifetime.limits(MediaClass::Header), None);
            assert!(lifetime.retransmits(MediaClass::Header));
        }
        assert_eq!(Lifetime::Reliable.limits(MediaClass::Audio), None);
        for lifetime in [Lifetime::Live, Lifetime::Unbuffered] {
            assert_eq!(lifetime.limits(MediaClass::Keyframe), Some((ms(2000), ms(2100))));
            assert_eq!(lifetime.limits(MediaClass::Dependent), Some((ms(2000), ms(2100))));
            assert_eq!(lifetime.limits(MediaClass::Audio), Some((ms(2200), ms(2300))));
        }
        assert!(Lifetime::Live.retransmits(MediaClass::Audio));
        assert!(!Lifetime::Unbuffered.retransmits(MediaClass::Dependent));
    }
}
