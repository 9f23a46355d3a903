//! MetricsLog: what an operator reads, every `metrics.period`, target `metrics`.
//!
//! One line per kind of actor that lives or worked, one for media, one per link, one for scripts.
//! Numbers are of the period that ended; `alive`, `queued` and `waiting` are of the moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tracing::{info, warn};

use crate::metrics::{ActorKind, LinkStats, MediaStats, Metrics, Protocol, Snapshot};

/// See the module's text.
pub(crate) struct MetricsLog {
    metrics: Arc<Metrics>,
    period: Duration,
    actors: HashMap<ActorKind, Snapshot>,
    script: Snapshot,
    media: Vec<[u64; 6]>,
    links: HashMap<String, [u64; 5]>,
    dropped_frames: u64,
    last: Instant,
}

/// The node stops.
pub(crate) struct StopLog;

impl Message for StopLog {
    type Result = ();
}

impl MetricsLog {
    pub(crate) fn new(metrics: Arc<Metrics>, period: Duration) -> Self {
        Self {
            metrics,
            period,
            actors: HashMap::new(),
            script: Snapshot::default(),
            media: vec![[0; 6]; Protocol::ALL.len()],
            links: HashMap::new(),
            dropped_frames: 0,
            last: Instant::now(),
        }
    }

    fn log(&mut self) {
        let seconds = self.last.elapsed().as_secs_f64().max(0.001);
        self.last = Instant::now();
        self.log_actors(seconds);
        self.log_media(seconds);
        self.log_links(seconds);
        self.log_script(seconds);
    }

    fn log_actors(&mut self, seconds: f64) {
        for kind in ActorKind::ALL {
            let stats = self.metrics.actor(kind);
            let q = stats.handling.since(self.actors.entry(kind).or_default());
            let alive = stats.alive.load(Relaxed);
            let (waiting, peak) = (stats.backlog.len(), stats.backlog.take_peak());
            if alive == 0 && q.count == 0 {
                continue;
            }
            info!(
                target: "metrics",
                alive,
                per_second = rate(q.count, seconds),
                waiting,
                waiting_max = peak,
                p50 = ?q.p50,
                p99 = ?q.p99,
                max = ?q.max,
                panics = stats.panics.load(Relaxed),
                "{}",
                kind.name()
            );
        }
    }

    fn log_media(&mut self, seconds: f64) {
        for (protocol, last) in Protocol::ALL.into_iter().zip(&mut self.media) {
            let now = read_media(self.metrics.media(protocol));
            let [frames_in, bytes_in, frames_out, bytes_out, dropped, closed] = since(now, last);
            if frames_in + frames_out + dropped + closed == 0 {
                continue;
            }
            info!(
                target: "metrics",
                in_frames_per_second = rate(frames_in, seconds),
                in_kbit_per_second = rate(bytes_in / 125, seconds),
                out_frames_per_second = rate(frames_out, seconds),
                out_kbit_per_second = rate(bytes_out / 125, seconds),
                dropped,
                closed,
                "media {}",
                protocol.name()
            );
        }
    }

    fn log_links(&mut self, seconds: f64) {
        let links = self.metrics.links();
        self.links.retain(|node, _| links.iter().any(|(live, _)| live == node));
        for (node, stats) in links {
            let last = self.links.entry(node.clone()).or_default();
            let [calls_in, calls_out, bytes_in, bytes_out, refused] =
                since(read_link(&stats), last);
            info!(
                target: "metrics",
                in_calls_per_second = rate(calls_in, seconds),
                out_calls_per_second = rate(calls_out, seconds),
                in_kbit_per_second = rate(bytes_in / 125, seconds),
                out_kbit_per_second = rate(bytes_out / 125, seconds),
                queued = stats.queued.len(),
                queued_max = stats.queued.take_peak(),
                refused,
                round_trip = ?Duration::from_micros(stats.round_trip_us.load(Relaxed)),
                "link {node}"
            );
        }
    }

    fn log_script(&mut self, seconds: f64) {
        let script = &self.metrics.script;
        let q = script.handlers.since(&mut self.script);
        let slowest = script.slowest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let dropped = script.frames_dropped.load(Relaxed);
        let newly_dropped = dropped - std::mem::replace(&mut self.dropped_frames, dropped);
        if newly_dropped > 0 {
            warn!(target: "metrics", frames = newly_dropped, "scripts too slow for their packets");
        }
        if q.count == 0 {
            return;
        }
        // Only handlers of a millisecond and more are known by name.
        let (slowest, handler) =
            slowest.map_or((q.max, "-".into()), |(us, name)| (Duration::from_micros(us), name));
        info!(
            target: "metrics",
            per_second = rate(q.count, seconds),
            p50 = ?q.p50,
            p99 = ?q.p99,
            slowest = ?slowest,
            handler,
            errors = script.errors.load(Relaxed),
            memory_kib = script.memory_bytes.load(Relaxed) / 1024,
            "script"
        );
    }
}

fn rate(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds).round() as u64
}

/// What came since `last`, which becomes the present.
fn since<const N: usize>(now: [u64; N], last: &mut [u64; N]) -> [u64; N] {
    let mut period = now;
    for (period, last) in period.iter_mut().zip(last.iter()) {
        *period = period.saturating_sub(*last);
    }
    *last = now;
    period
}

fn read_media(stats: &MediaStats) -> [u64; 6] {
    [
        &stats.frames_in,
        &stats.bytes_in,
        &stats.frames_out,
        &stats.bytes_out,
        &stats.frames_dropped,
        &stats.viewers_closed,
    ]
    .map(|counter| counter.load(Relaxed))
}

fn read_link(stats: &LinkStats) -> [u64; 5] {
    [&stats.calls_in, &stats.calls_out, &stats.bytes_in, &stats.bytes_out, &stats.refused]
        .map(|counter| counter.load(Relaxed))
}

impl Actor for MetricsLog {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if !self.period.is_zero() {
            ctx.run_interval(self.period, |metrics, _| metrics.log());
        }
    }
}

impl Handler<StopLog> for MetricsLog {
    type Result = ();

    fn handle(&mut self, _: StopLog, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
