//! A stream that goes on beside something bad.

use std::sync::atomic::Ordering::Relaxed;

use ramona_actors::metrics::Protocol;
use ramona_media::MediaFrame;
use ramona_rtmp::StreamId;

use crate::client::{Play, RtmpClient};
use crate::node::TestNode;
use crate::{flv, pictures};

/// A publisher and a viewer of one stream on one node.
pub struct Stage {
    publisher: RtmpClient,
    stream: StreamId,
    viewer: RtmpClient,
    play: Play,
    sent: Vec<MediaFrame>,
}

impl Stage {
    /// Publishes the first frames of `stage` on a node and plays them.
    pub async fn on(node: &TestNode) -> Self {
        let viewer = RtmpClient::connect(node.rtmp(), "").await;
        let play = viewer.play("stage").await;
        let publisher = RtmpClient::connect(node.rtmp(), "").await;
        let stream = publisher.publish("stage").await;
        let mut stage = Self { publisher, stream, viewer, play, sent: Vec::new() };
        stage.publish(pictures::stream(20, 10, 2_000));
        stage
    }

    /// Publishes frames; the viewer must get them all.
    pub fn publish(&mut self, frames: Vec<MediaFrame>) {
        self.publisher.send(self.stream, &frames);
        self.sent.extend(frames);
    }

    /// Publishes a data message, which is not compared.
    pub fn publish_data(&self, message: &MediaFrame) {
        self.publisher.send(self.stream, [message]);
    }

    /// Publishes more and waits until the viewer has it.
    ///
    /// # Panics
    /// The viewer missed a frame since the beginning, or an actor of the node panicked.
    pub async fn assert_untouched(&mut self, node: &TestNode) {
        let next = self.sent.len() as u32;
        self.publish(pictures::range(next..next + 40, 10, 2_000));
        let last = self.sent.last().expect("frames were sent");
        let received = flv::audio_and_video(&self.viewer.frames_to(self.play, last).await);
        assert_eq!(received.len(), self.sent.len(), "the viewer missed something");
        for (index, (received, sent)) in received.iter().zip(&self.sent).enumerate() {
            let same = received.kind == sent.kind && received.payload == sent.payload;
            assert!(same, "frame {index} is not what was sent");
        }
        let media = node.metrics().media(Protocol::Rtmp);
        assert_eq!(media.frames_dropped.load(Relaxed), 0);
        assert_eq!(node.panics(), 0);
    }
}
