//! Numbers that move by themselves (QOS-*, CLI-07, CLI-08, PUB-14).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mlua::LuaString;

use crate::core::Core;
use crate::host::{ClientId, ClientStats, ListenerId, MediaQos, PublicationId, Qos};

/// QOS-02: what counts of the past.
const WINDOW_MS: u64 = 4_000;

/// Packets of one kind that a script pushed, and those that it says were lost before (PUB-21).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loss {
    since_ms: u64,
    received: f64,
    lost: f64,
}

impl Loss {
    /// Counts a packet and those lost before it; answers the rate in parts per million.
    fn count(&mut self, now_ms: u64, lost: f64) -> u32 {
        if now_ms.saturating_sub(self.since_ms) > WINDOW_MS {
            // Half of the last window goes on, so that the rate does not jump.
            let (received, lost) = (self.received / 2.0, self.lost / 2.0);
            *self = Self { since_ms: now_ms, received, lost };
        }
        self.received += 1.0;
        self.lost += lost;
        // Below a million.
        (self.lost / (self.lost + self.received) * 1e6) as u32
    }
}

fn number(qos: &Qos, name: &[u8]) -> f64 {
    match name {
        b"byteRate" => qos.byte_rate.load(Relaxed) as f64,
        b"lostRate" => f64::from(qos.lost_ppm.load(Relaxed)) / 1_000_000.0,
        b"latency" => f64::from(qos.latency_ms.load(Relaxed)),
        b"droppedFrames" => qos.dropped_frames.load(Relaxed) as f64,
        b"lastSendingTime" => qos.last_sending_ms.load(Relaxed) as f64,
        // QOS-04: congestionRate is unknown.
        _ => 0.0,
    }
}

/// WRI-10: the numbers of a client's session, whichever of its writers is asked.
fn client_number(stats: &ClientStats, name: &[u8], now_ms: u64) -> f64 {
    match name {
        b"byteRate" => stats.sent.per_second(now_ms) as f64,
        b"lostRate" => {
            let lost = stats.path_lost.per_second(now_ms) as f64;
            lost / (stats.path_sent.per_second(now_ms) as f64).max(lost).max(1.0)
        }
        b"latency" => f64::from(stats.ping_ms.load(Relaxed)) / 2.0,
        b"droppedFrames" => stats.dropped_frames.load(Relaxed) as f64,
        b"lastSendingTime" => stats.last_sending_ms.load(Relaxed) as f64,
        // QOS-04: congestionRate is unknown.
        _ => 0.0,
    }
}

fn kind<'a>(media: &'a MediaQos, kind: &[u8]) -> &'a Qos {
    match kind {
        b"audio" => &media.audio,
        b"video" => &media.video,
        _ => &media.data,
    }
}

impl Core {
    /// PUB-14: milliseconds of the last media message.
    pub(crate) fn last_time(&self, id: PublicationId) -> u32 {
        // What a script pushed counts at once, before its publication has seen it.
        if let Some(time) = self.pushed.borrow().get(&id) {
            return *time;
        }
        let publications = self.publications.borrow();
        publications.get(&id).map_or(0, |qos| qos.last_time_ms.load(Relaxed))
    }

    fn media_qos(&self, source: &[u8], id: u64) -> Option<Arc<MediaQos>> {
        match source {
            b"publication" => self.publications.borrow().get(&PublicationId(id)).cloned(),
            b"listener" => self.listeners.borrow().get(&ListenerId(id)).cloned(),
            _ => None,
        }
    }

    pub(crate) fn add_qos_natives(&self) -> mlua::Result<()> {
        self.native(
            "qos",
            |core, _, (source, id, media, name): (LuaString, Option<u64>, LuaString, LuaString)| {
                let Some(id) = id else { return Ok(0.0) };
                let name = name.as_bytes();
                if &*source.as_bytes() == b"client" {
                    let stats = core.clients.borrow().get(&ClientId(id)).map(|s| s.stats.clone());
                    let now = core.host.epoch_ms();
                    return Ok(stats.map_or(0.0, |stats| client_number(&stats, &name, now)));
                }
                let qos = core.media_qos(&source.as_bytes(), id);
                Ok(qos.map_or(0.0, |qos| number(kind(&qos, &media.as_bytes()), &name)))
            },
        )?;
        self.native("count_lost", |core, _, (id, name, lost): (u64, LuaString, f64)| {
            let id = PublicationId(id);
            let Some(qos) = core.publications.borrow().get(&id).cloned() else { return Ok(()) };
            let lost = if lost.is_finite() { lost.max(0.0) } else { 0.0 };
            let key = (id, super::publication::kind_of(&name));
            let mut losses = core.losses.borrow_mut();
            let ppm = losses.entry(key).or_default().count(core.host.epoch_ms(), lost);
            kind(&qos, &name.as_bytes()).lost_ppm.store(ppm, Relaxed);
            Ok(())
        })?;
        self.native("client_stat", |core, _, (id, name): (u64, LuaString)| {
            let clients = core.clients.borrow();
            let Some(stats) = clients.get(&ClientId(id)).map(|client| &client.stats) else {
                return Ok(0.0);
            };
            Ok(match &*name.as_bytes() {
                b"ping" => f64::from(stats.ping_ms.load(Relaxed).min(u32::from(u16::MAX))),
                _ => stats.last_reception_ms.load(Relaxed) as f64,
            })
        })?;
        self.native("publication_time", |core, _, id: u64| {
            Ok(f64::from(core.last_time(PublicationId(id))))
        })
    }
}
