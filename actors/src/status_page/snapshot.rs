//! What the operator's page shows, as JSON. Counters count from the node's start: the page makes
//! rates of them.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use crate::clients::{Look, Row};
use crate::metrics::{ActorKind, Protocol, Snapshot};
use crate::services::{Services, epoch_ms};

/// Rows of one table; the page says how many there are besides.
const MAX_ROWS: usize = 200;

/// Clock ticks of /proc are hundredths of a second on Linux, whatever the kernel's own clock.
const TICK_MS: u64 = 10;

/// One viewer of the page: what it has seen.
#[derive(Default)]
pub(super) struct Watcher {
    script: Snapshot,
    log: u64,
}

impl Watcher {
    /// The node as it is now; of the log and of script times, what came since the last call.
    pub(super) fn look(&mut self, services: &Services) -> Value {
        let metrics = &services.metrics;
        let (log, seen) = services.status.config.log.since(self.log);
        self.log = seen;
        let clients = services.clients.busiest(MAX_ROWS);
        let media = |read: fn(&crate::metrics::MediaStats) -> u64| -> u64 {
            Protocol::ALL.iter().map(|protocol| read(metrics.media(*protocol))).sum()
        };
        let panics: u64 =
            ActorKind::ALL.iter().map(|kind| metrics.actor(*kind).panics.load(Relaxed)).sum();
        let (memory, cpu_ms) = process();
        json!({
            "now": epoch_ms(),
            "uptime": metrics.started.elapsed().as_secs(),
            "version": env!("CARGO_PKG_VERSION"),
            "host": services.status.config.host,
            "memory": memory,
            "cpu_ms": cpu_ms,
            "panics": panics,
            "clients": clients.protocols.iter().collect::<Vec<_>>(),
            "media": {
                "in_bytes": media(|stats| stats.bytes_in.load(Relaxed)),
                "out_bytes": media(|stats| stats.bytes_out.load(Relaxed)),
                "in_frames": media(|stats| stats.frames_in.load(Relaxed)),
                "out_frames": media(|stats| stats.frames_out.load(Relaxed)),
                "dropped": media(|stats| stats.frames_dropped.load(Relaxed)),
                "closed": media(|stats| stats.viewers_closed.load(Relaxed)),
            },
            "refused": metrics.connections_refused.load(Relaxed),
            "protocol_errors": metrics.protocol_errors.load(Relaxed),
            "client_list": client_list(&clients),
            "publications": publications(services),
            "groups": groups(services),
            "links": links(services),
            "script": self.script(services),
            "log": log,
        })
    }

    fn script(&mut self, services: &Services) -> Value {
        let script = &services.metrics.script;
        let times = script.handlers.since(&mut self.script);
        let lately = script.slowest_lately.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let slowest = lately.filter(|slow| slow.is_recent());
        json!({
            "calls": script.handlers.count(),
            "busy_ms": script.handlers.sum().as_millis() as u64,
            "p50_us": times.p50.as_micros() as u64,
            "p99_us": times.p99.as_micros() as u64,
            "errors": script.errors.load(Relaxed),
            "memory": script.memory_bytes.load(Relaxed),
            "slowest_us": slowest.as_ref().map(|slow| slow.us),
            "slowest": slowest.as_ref().map(|slow| &slow.handler),
        })
    }
}

fn client_list(look: &Look) -> Value {
    let row = |row: &Row| {
        json!({
            "id": row.raw_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            "address": row.peer.to_string(),
            "protocol": row.protocol,
            "path": row.path,
            "since": row.since_ms,
            "ping_ms": row.ping_ms,
            "in_rate": row.rates.0,
            "out_rate": row.rates.1,
            "in_bytes": row.bytes.0,
            "out_bytes": row.bytes.1,
        })
    };
    json!({ "total": look.total, "rows": look.rows.iter().map(row).collect::<Vec<_>>() })
}

fn publications(services: &Services) -> Value {
    let mut all = services.directory.snapshot();
    let total = all.len();
    let viewers: usize = all.iter().map(|entry| entry.viewers).sum();
    let running = all.iter().filter(|entry| entry.qos.is_some()).count();
    all.sort_by(|a, b| b.viewers.cmp(&a.viewers).then_with(|| a.name.cmp(&b.name)));
    let rows: Vec<Value> = all
        .iter()
        .take(MAX_ROWS)
        .map(|entry| {
            let rate = |read: fn(&ramona_script::MediaQos) -> &ramona_script::Qos| {
                entry.qos.as_ref().map(|qos| read(qos).byte_rate.load(Relaxed))
            };
            json!({
                "name": String::from_utf8_lossy(&entry.name),
                "viewers": entry.viewers,
                "running": entry.qos.is_some(),
                "video": rate(|qos| &qos.video),
                "audio": rate(|qos| &qos.audio),
                "data": rate(|qos| &qos.data),
                "dropped": entry.dropped,
                "time_ms": entry.qos.as_ref().map(|qos| qos.last_time_ms.load(Relaxed)),
            })
        })
        .collect();
    json!({ "total": total, "running": running, "viewers": viewers, "rows": rows })
}

fn groups(services: &Services) -> Value {
    let mut all = services.groups.snapshot();
    let total = all.len();
    let members: usize = all.iter().map(|(_, members)| members).sum();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(MAX_ROWS);
    json!({ "total": total, "members": members, "rows": all })
}

fn links(services: &Services) -> Vec<Value> {
    let links = services.metrics.links();
    let row = |(node, stats): &(String, std::sync::Arc<crate::metrics::LinkStats>)| {
        let peer = stats.peer.get();
        json!({
            "node": node,
            "address": peer.map(|peer| &peer.address),
            "host": peer.map(|peer| &peer.host),
            "dialled": peer.map(|peer| peer.is_target),
            "in_calls": stats.calls_in.load(Relaxed),
            "out_calls": stats.calls_out.load(Relaxed),
            "in_bytes": stats.bytes_in.load(Relaxed),
            "out_bytes": stats.bytes_out.load(Relaxed),
            "refused": stats.refused.load(Relaxed),
            "queued": stats.queued.len(),
            "round_trip_us": stats.round_trip_us.load(Relaxed),
        })
    };
    links.iter().take(MAX_ROWS).map(row).collect()
}

/// Resident memory in bytes and processor time in milliseconds; nothing where there is no /proc.
fn process() -> (Option<u64>, Option<u64>) {
    let read = |name| std::fs::read_to_string(name).ok();
    let memory = read("/proc/self/status").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    // Behind the program's name, which may contain anything: the 12th and 13th field.
    let cpu = read("/proc/self/stat").and_then(|text| {
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut next = || fields.next()?.parse::<u64>().ok();
        Some(next()? + next()?)
    });
    (memory.map(|kib| kib * 1_024), cpu.map(|ticks| ticks * TICK_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_processor_time() {
        if std::path::Path::new("/proc/self/stat").exists() {
            let (memory, cpu) = process();
            assert!(memory.is_some_and(|bytes| bytes > 1 << 20));
            assert!(cpu.is_some());
        }
    }
}
