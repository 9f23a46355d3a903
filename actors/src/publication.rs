//! Publication: one name, its publisher of the moment and its viewers.
//!
//! Lives from the first claim or the first waiting viewer to the last of them (see
//! [`Directory`](crate::directory::Directory)). Frames come in batches from one publisher, pass
//! the cache and go out as **one batch per worker**, whatever its viewers there. A script that
//! watches packets is one more receiver, which may lag; viewers never wait for it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use actix::prelude::*;
use bytes::Bytes;
use ramona_media::{CacheLimits, MediaFrame, MediaKind, StreamCache};
use ramona_script::{ClientId, ListenerId, PublicationId, PublicationInfo, Watch};
use tracing::{debug, info, warn};

use crate::messages::client::ToSession;
use crate::messages::media::{Deliver, PublishBatch, RunChanged, StreamKey, Welcome};
use crate::messages::script::ToScript;
use crate::messages::stream::ToPublication;
use crate::metrics::{ActorKind, Alive, Metrics, Protocol, RateMeter};
use crate::outbox::{Backlog, Offer, Outbox, Ticketed};
use crate::services::epoch_ms;
use crate::text::shown;
use crate::worker::WorkerHandle;

/// Payload bytes of watched packets that may wait for the script: past it they are dropped to the
/// next key frame. About 30 s of 16 Mbit/s.
pub const WATCH_BACKLOG: usize = 64 << 20;

/// One log line of dropped frames at most this often.
const LOG_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// What every publication of a node shares.
#[derive(Clone)]
pub struct PublicationContext {
    /// One entry per arbiter.
    pub workers: Arc<[WorkerHandle]>,
    /// The script bridge.
    pub script: Recipient<Ticketed<ToScript>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Bounds of the cache.
    pub cache: CacheLimits,
}

/// See the module's text.
pub struct Publication {
    key: StreamKey,
    name: Bytes,
    context: PublicationContext,
    cache: StreamCache,
    run: Option<Run>,
    /// A script's wish may arrive before the run it is for.
    watch: Option<(PublicationId, Watch)>,
    to_script: Outbox<ToScript>,
    workers: Vec<WorkerSlot>,
    _alive: Alive,
}

struct Run {
    info: PublicationInfo,
    protocol: Protocol,
    publisher: Option<(ClientId, Recipient<ToSession>)>,
    meters: [RateMeter; 3],
    /// The script missed frames: it starts again at a key frame.
    script_gap: bool,
    script_dropped: u64,
    last_log: Option<Instant>,
    overflows: u64,
}

struct WorkerSlot {
    out: Outbox<Deliver>,
    control: Recipient<Welcome>,
    runs: Recipient<RunChanged>,
    viewers: usize,
    /// The worker did not take a batch: the next one it takes starts with the codec headers.
    gap: bool,
}

impl Publication {
    /// A publication without publisher or viewers.
    pub fn new(key: StreamKey, name: Bytes, context: PublicationContext) -> Self {
        let backlog = Arc::new(Backlog::default());
        let to_script = Outbox::from_recipient(context.script.clone(), backlog, WATCH_BACKLOG);
        let workers = context.workers.iter().map(WorkerSlot::new).collect();
        let alive = context.metrics.alive(ActorKind::Publication);
        let cache = StreamCache::new(context.cache);
        Self {
            key,
            name,
            context,
            cache,
            run: None,
            watch: None,
            to_script,
            workers,
            _alive: alive,
        }
    }

    fn start(
        &mut self,
        info: PublicationInfo,
        protocol: Protocol,
        publisher: Option<(ClientId, Recipient<ToSession>)>,
    ) {
        self.cache = StreamCache::new(self.context.cache);
        info!(
            name = %shown(&self.name),
            by = protocol.name(),
            "publication started"
        );
        self.run = Some(Run {
            info,
            protocol,
            publisher,
            meters: Default::default(),
            script_gap: false,
            script_dropped: 0,
            last_log: None,
            overflows: 0,
        });
        self.tell_viewers(true);
    }

    /// Ends a run if it is the present one; everything it sent was delivered before.
    fn end(&mut self, run: PublicationId, reason: &'static str) -> Option<Run> {
        let ended = self.run.take_if(|known| known.info.id == run)?;
        self.cache = StreamCache::new(self.context.cache);
        self.watch = None;
        self.tell_viewers(false);
        self.to_script.push(ToScript::Unpublished(run));
        info!(name = %shown(&self.name), reason, "publication ended");
        Some(ended)
    }

    fn tell_viewers(&mut self, running: bool) {
        for worker in &mut self.workers {
            worker.gap = false;
            if worker.viewers > 0 {
                worker.runs.do_send(RunChanged { stream: self.key, running });
            }
        }
    }

    fn join(&mut self, listener: ListenerId, index: usize) {
        let Some(worker) = self.workers.get_mut(index) else { return };
        worker.viewers += 1;
        worker.control.do_send(Welcome {
            stream: self.key,
            listener,
            running: self.run.is_some(),
            frames: self.cache.snapshot().into(),
            has_video: self.cache.has_video(),
        });
    }

    fn publish(&mut self, batch: PublishBatch) {
        let Some(run) = self.run.as_mut().filter(|run| run.info.id == batch.run) else {
            debug!(name = %shown(&self.name), "frames of an ended run ignored");
            return;
        };
        self.context.metrics.media(run.protocol).received(&batch.frames);
        run.measure(&batch.frames, &self.context.metrics);
        self.show_script(&batch.frames);

        let mut shown = Vec::with_capacity(batch.frames.len());
        for frame in batch.frames {
            let is_data = frame.kind == MediaKind::Data;
            let before = is_data.then(|| self.cache.metadata().cloned());
            let frame = self.cache.push(frame);
            if let Some(before) = before
                && before.as_ref() != self.cache.metadata()
            {
                self.metadata_changed();
            }
            shown.push(frame);
        }
        self.count_overflows();
        if !shown.is_empty() {
            self.deliver(shown.into());
        }
    }

    fn deliver(&mut self, frames: Arc<[MediaFrame]>) {
        let has_video = self.cache.has_video();
        for worker in self.workers.iter_mut().filter(|worker| worker.viewers > 0) {
            let frames = if worker.gap {
                let mut repaired = self.cache.leading(frames.first().map(|f| f.timestamp_ms));
                repaired.extend(frames.iter().cloned());
                repaired.into()
            } else {
                frames.clone()
            };
            let batch = Deliver { stream: self.key, frames, has_video, after_gap: worker.gap };
            match worker.out.offer(batch, 1) {
                Offer::Accepted => worker.gap = false,
                Offer::Full(_) => {
                    if !worker.gap {
                        warn!(name = %shown(&self.name), "worker too busy, frames dropped");
                    }
                    worker.gap = true;
                    self.context.metrics.worker_gaps.fetch_add(1, Relaxed);
                }
                Offer::Gone(_) => {}
            }
        }
    }

    /// Hands watched packets to the script, or drops them to the next key frame.
    fn show_script(&mut self, frames: &[MediaFrame]) {
        let Some(run) = self.run.as_mut() else { return };
        let Some((_, watch)) = self.watch.filter(|(id, _)| *id == run.info.id) else { return };
        let has_video = self.cache.has_video();
        let wanted = frames.iter().filter(|frame| watch.wants(frame.kind));
        let mut frames: Vec<_> = wanted.cloned().collect();
        if run.script_gap {
            let resume = frames.iter().position(|f| f.is_keyframe || !has_video || !watch.video);
            let skipped = resume.unwrap_or(frames.len());
            run.script_dropped += skipped as u64;
            self.context.metrics.script.frames_dropped.fetch_add(skipped as u64, Relaxed);
            frames.drain(..skipped);
        }
        if frames.is_empty() {
            return;
        }
        let bytes = frames.iter().map(|frame| frame.payload.len() + 64).sum();
        match self.to_script.offer(ToScript::Media { run: run.info.id, frames }, bytes) {
            Offer::Accepted => run.script_gap = false,
            Offer::Full(ToScript::Media { frames, .. }) => {
                run.script_gap = true;
                run.script_dropped += frames.len() as u64;
                let counter = &self.context.metrics.script.frames_dropped;
                counter.fetch_add(frames.len() as u64, Relaxed);
                if run.last_log.is_none_or(|last| last.elapsed() > LOG_INTERVAL) {
                    run.last_log = Some(Instant::now());
                    warn!(
                        name = %shown(&self.name),
                        dropped = run.script_dropped,
                        "onAudio/onVideo/onData handlers too slow, packets dropped to the next \
                         key frame"
                    );
                }
            }
            Offer::Full(_) | Offer::Gone(_) => {}
        }
    }

    fn metadata_changed(&self) {
        let Some(run) = &self.run else { return };
        let message = self.cache.metadata().cloned();
        self.to_script.push(ToScript::Metadata { run: run.info.id, message });
    }

    fn count_overflows(&mut self) {
        let Some(run) = &mut self.run else { return };
        let overflows = self.cache.overflows();
        if overflows > run.overflows {
            self.context.metrics.cache_overflows.fetch_add(overflows - run.overflows, Relaxed);
            if run.overflows == 0 {
                warn!(
                    name = %shown(&self.name),
                    "group of pictures larger than the cache: new viewers wait for a key frame"
                );
            }
            run.overflows = overflows;
        }
    }
}

impl Run {
    fn measure(&mut self, frames: &[MediaFrame], metrics: &Metrics) {
        let now = metrics.started.elapsed().as_millis() as u64;
        let qos = &self.info.qos;
        let kinds = [&qos.audio, &qos.video, &qos.data];
        let wall = epoch_ms();
        for frame in frames {
            let kind = frame.kind as usize;
            self.meters[kind].add(now, frame.payload.len() as u64);
            kinds[kind].last_sending_ms.store(wall, Relaxed);
            if frame.kind != MediaKind::Data {
                qos.last_time_ms.store(frame.timestamp_ms, Relaxed);
            }
        }
        for (meter, qos) in self.meters.iter_mut().zip(kinds) {
            qos.byte_rate.store(meter.per_second(now), Relaxed);
        }
    }
}

impl WorkerSlot {
    fn new(worker: &WorkerHandle) -> Self {
        Self {
            out: worker.outbox(),
            control: worker.to.clone().recipient(),
            runs: worker.to.clone().recipient(),
            viewers: 0,
            gap: false,
        }
    }
}

impl Actor for Publication {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some(run) = &self.run {
            let run = run.info.id;
            self.end(run, "node stopped");
        }
    }
}

impl Handler<Ticketed<PublishBatch>> for Publication {
    type Result = ();

    fn handle(&mut self, message: Ticketed<PublishBatch>, _: &mut Self::Context) {
        let metrics = self.context.metrics.clone();
        let _handling = metrics.handling(ActorKind::Publication);
        self.publish(message.message);
    }
}

impl Handler<ToPublication> for Publication {
    type Result = ();

    fn handle(&mut self, message: ToPublication, ctx: &mut Self::Context) {
        let metrics = self.context.metrics.clone();
        let _handling = metrics.handling(ActorKind::Publication);
        match message {
            ToPublication::Start { info, protocol, publisher } => {
                self.start(info, protocol, publisher);
            }
            ToPublication::End { run } => {
                self.end(run, "publisher left");
            }
            ToPublication::Close { run, status } => {
                if let Some(ended) = self.end(run, "closed by script")
                    && let Some((_, session)) = ended.publisher
                {
                    session.do_send(ToSession::PublicationClosed { run, status });
                }
            }
            ToPublication::Join { listener, worker } => self.join(listener, worker),
            ToPublication::Leave { worker } => {
                if let Some(worker) = self.workers.get_mut(worker) {
                    worker.viewers = worker.viewers.saturating_sub(1);
                }
            }
            ToPublication::Watch { run, watch } => self.watch = Some((run, watch)),
            ToPublication::Stop => ctx.stop(),
        }
    }
}
