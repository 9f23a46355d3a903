//! The same numbers as Prometheus text (exposition format 0.0.4).

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::{
    ActorKind, ActorStats, AwakeStats, LinkStats, MediaStats, Metrics, Protocol, RtmfpStats,
};

/// All counters as Prometheus reads them.
pub fn prometheus(metrics: &Metrics) -> String {
    let mut out = Text::default();
    out.one("ramona_uptime_seconds", "gauge", "Seconds since the node started.", || {
        metrics.started.elapsed().as_secs()
    });
    actors(&mut out, metrics);
    media(&mut out, metrics);
    script(&mut out, metrics);
    links(&mut out, metrics);
    awake(&mut out, metrics);
    rtmfp(&mut out, &metrics.rtmfp);
    out.one(
        "ramona_protocol_errors_total",
        "counter",
        "Connections ended because the peer broke the protocol.",
        || metrics.protocol_errors.load(Relaxed),
    );
    out.one(
        "ramona_connections_refused_total",
        "counter",
        "Connections refused because a limit of the node was reached.",
        || metrics.connections_refused.load(Relaxed),
    );
    out.one(
        "ramona_cache_overflows_total",
        "counter",
        "Groups of pictures that outgrew the cache of their publication.",
        || metrics.cache_overflows.load(Relaxed),
    );
    out.one(
        "ramona_worker_gaps_total",
        "counter",
        "Batches that a worker was too busy to take.",
        || metrics.worker_gaps.load(Relaxed),
    );
    out.0
}

fn actors(out: &mut Text, metrics: &Metrics) {
    type Read = fn(&ActorStats) -> f64;
    let families: [(&str, &str, &str, Read); 6] = [
        ("ramona_actors_alive", "gauge", "Actors alive.", |s| s.alive.load(Relaxed) as f64),
        ("ramona_actors_started_total", "counter", "Actors started.", |s| {
            s.started.load(Relaxed) as f64
        }),
        ("ramona_actor_panics_total", "counter", "Actors ended by a panic.", |s| {
            s.panics.load(Relaxed) as f64
        }),
        ("ramona_actor_messages_total", "counter", "Messages handled.", |s| {
            s.handling.count() as f64
        }),
        ("ramona_actor_handling_seconds_total", "counter", "Time spent in handlers.", |s| {
            s.handling.sum().as_secs_f64()
        }),
        ("ramona_actor_backlog", "gauge", "Units waiting in bounded mailboxes.", |s| {
            s.backlog.len() as f64
        }),
    ];
    for (name, kind, help, read) in families {
        out.family(name, kind, help);
        for actor in ActorKind::ALL {
            out.sample(name, &[("actor", actor.name())], read(metrics.actor(actor)));
        }
    }
}

fn media(out: &mut Text, metrics: &Metrics) {
    type Read = fn(&MediaStats) -> u64;
    let families: [(&str, &str, Read); 6] = [
        ("ramona_media_in_frames_total", "Frames received from publishers.", |s| {
            s.frames_in.load(Relaxed)
        }),
        ("ramona_media_in_bytes_total", "Payload bytes received from publishers.", |s| {
            s.bytes_in.load(Relaxed)
        }),
        ("ramona_media_out_frames_total", "Frames sent, once per viewer.", |s| {
            s.frames_out.load(Relaxed)
        }),
        ("ramona_media_out_bytes_total", "Payload bytes sent, once per viewer.", |s| {
            s.bytes_out.load(Relaxed)
        }),
        (
            "ramona_media_dropped_frames_total",
            "Frames slow viewers lost, those that got too old on their way too.",
            |s| s.frames_dropped.load(Relaxed),
        ),
        ("ramona_media_closed_viewers_total", "Viewers closed for reading nothing.", |s| {
            s.viewers_closed.load(Relaxed)
        }),
    ];
    for (name, help, read) in families {
        out.family(name, "counter", help);
        for protocol in Protocol::ALL {
            let value = read(metrics.media(protocol));
            out.sample(name, &[("protocol", protocol.name())], value as f64);
        }
    }
}

fn script(out: &mut Text, metrics: &Metrics) {
    let script = &metrics.script;
    out.one("ramona_script_calls_total", "counter", "Lua handlers called.", || {
        script.handlers.count()
    });
    out.family("ramona_script_seconds_total", "counter", "Time spent in Lua handlers.");
    out.sample("ramona_script_seconds_total", &[], script.handlers.sum().as_secs_f64());
    out.one("ramona_script_errors_total", "counter", "Handlers that ended by an error.", || {
        script.errors.load(Relaxed)
    });
    out.one(
        "ramona_socket_refused_total",
        "counter",
        "Sockets and sends of scripts that were refused because of a bound.",
        || script.sockets_refused.load(Relaxed),
    );
    out.one(
        "ramona_blacklisted_total",
        "counter",
        "Connections and datagrams dropped because a script blocks their address.",
        || script.blacklisted.load(Relaxed),
    );
    out.one(
        "ramona_data_refused_total",
        "counter",
        "Assignments to data that were refused: of a wrong type, or past a bound.",
        || script.data_refused.load(Relaxed),
    );
    out.one(
        "ramona_data_failures_total",
        "counter",
        "Assignments to data that could not be saved.",
        || script.data_failures.load(Relaxed),
    );
    out.one(
        "ramona_data_waits_total",
        "counter",
        "Assignments to data that waited because the disk is far behind.",
        || script.data_waits.load(Relaxed),
    );
    out.one(
        "ramona_script_interrupted_total",
        "counter",
        "Handlers interrupted after script.budget.",
        || script.interrupted.load(Relaxed),
    );
    out.one(
        "ramona_script_memory_errors_total",
        "counter",
        "Times that scripts met script.memory.",
        || script.memory_errors.load(Relaxed),
    );
    out.one("ramona_script_memory_bytes", "gauge", "Memory of the Lua state.", || {
        script.memory_bytes.load(Relaxed)
    });
    out.one(
        "ramona_script_dropped_frames_total",
        "counter",
        "Frames of watched publications that the script was too slow for.",
        || script.frames_dropped.load(Relaxed),
    );
    out.one(
        "ramona_script_refused_writes_total",
        "counter",
        "Messages of scripts to clients that read nothing.",
        || script.writes_refused.load(Relaxed),
    );
}

fn links(out: &mut Text, metrics: &Metrics) {
    type Read = fn(&LinkStats) -> f64;
    let families: [(&str, &str, &str, Read); 7] = [
        ("ramona_link_out_calls_total", "counter", "Calls sent.", |s| {
            s.calls_out.load(Relaxed) as f64
        }),
        ("ramona_link_in_calls_total", "counter", "Calls received.", |s| {
            s.calls_in.load(Relaxed) as f64
        }),
        ("ramona_link_out_bytes_total", "counter", "Bytes sent.", |s| {
            s.bytes_out.load(Relaxed) as f64
        }),
        ("ramona_link_in_bytes_total", "counter", "Bytes received.", |s| {
            s.bytes_in.load(Relaxed) as f64
        }),
        ("ramona_link_refused_calls_total", "counter", "Calls refused by a full queue.", |s| {
            s.refused.load(Relaxed) as f64
        }),
        ("ramona_link_queued_bytes", "gauge", "Bytes on their way out.", |s| s.queued.len() as f64),
        ("ramona_link_round_trip_seconds", "gauge", "Last round trip.", |s| {
            s.round_trip_us.load(Relaxed) as f64 / 1e6
        }),
    ];
    let links = metrics.links();
    out.one("ramona_links", "gauge", "Linked nodes.", || links.len() as u64);
    for (name, kind, help, read) in families {
        out.family(name, kind, help);
        for (node, stats) in &links {
            out.sample(name, &[("node", node)], read(stats));
        }
    }
}

fn awake(out: &mut Text, metrics: &Metrics) {
    type Read = fn(&AwakeStats) -> f64;
    let threads = [("link", &metrics.links_awake), ("script", &metrics.script_awake)];
    let families: [(&str, &str, Read); 3] = [
        (
            "ramona_awake_hits_total",
            "Times that a thread was awake when a server call came.",
            |s| s.hits.load(Relaxed) as f64,
        ),
        ("ramona_awake_misses_total", "Times that it was awake and none came.", |s| {
            s.misses.load(Relaxed) as f64
        }),
        ("ramona_awake_seconds_total", "Time that threads were awake for that.", |s| {
            s.nanos.load(Relaxed) as f64 / 1e9
        }),
    ];
    for (name, help, read) in families {
        out.family(name, "counter", help);
        for (thread, stats) in &threads {
            out.sample(name, &[("thread", thread)], read(stats));
        }
    }
}

fn rtmfp(out: &mut Text, stats: &RtmfpStats) {
    let sessions = "Sessions, with those that only say their last words.";
    out.one("ramona_rtmfp_sessions", "gauge", sessions, || {
        stats.sessions.load(Relaxed).max(0) as u64
    });
    for (name, help, counter) in [
        ("ramona_rtmfp_in_datagrams_total", "Datagrams received.", &stats.datagrams_in),
        (
            "ramona_rtmfp_ignored_datagrams_total",
            "Datagrams that were no packet, of no session, forged, replayed or cut.",
            &stats.datagrams_ignored,
        ),
        (
            "ramona_rtmfp_dropped_datagrams_total",
            "Datagrams that a busy worker had no room for.",
            &stats.datagrams_dropped,
        ),
        (
            "ramona_rtmfp_dropped_sends_total",
            "Datagrams that the kernel did not take.",
            &stats.sends_dropped,
        ),
        (
            "ramona_rtmfp_limited_handshakes_total",
            "Handshakes not answered because of a limit.",
            &stats.handshakes_limited,
        ),
        (
            "ramona_rtmfp_dropped_questions_total",
            "Questions to scripts not asked because too many were open.",
            &stats.questions_dropped,
        ),
        (
            "ramona_rtmfp_introductions_total",
            "Peers introduced to each other.",
            &stats.introductions,
        ),
        ("ramona_rtmfp_unknown_peers_total", "Peers that nobody knew.", &stats.unknown_peers),
        (
            "ramona_rtmfp_dropped_packets_total",
            "Packets of sessions that were forged, replayed, cut or of a wrong mode.",
            &stats.packets_dropped,
        ),
        (
            "ramona_rtmfp_refused_flows_total",
            "Flows refused: too many, without a meaning or out of place.",
            &stats.flows_refused,
        ),
        (
            "ramona_rtmfp_oversized_messages_total",
            "Messages larger than their flow may hold.",
            &stats.oversized_messages,
        ),
        (
            "ramona_rtmfp_refused_joins_total",
            "NetGroup joins refused: no such id, or too many.",
            &stats.joins_refused,
        ),
        (
            "ramona_rtmfp_ignored_messages_total",
            "Chunks and messages without a meaning.",
            &stats.messages_ignored,
        ),
    ] {
        out.one(name, "counter", help, || counter.load(Relaxed));
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Label values come from closed sets or are hex: nothing to escape.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, read: impl FnOnce() -> u64) {
        self.family(name, kind, help);
        self.sample(name, &[], read() as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_sample_of_a_declared_family() {
        let metrics = Arc::new(Metrics::default());
        let _alive = metrics.alive(ActorKind::Publication);
        metrics.link("00ff").calls_in.fetch_add(3, Relaxed);
        let text = prometheus(&metrics);
        let mut declared = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                declared.push(rest.split(' ').next().unwrap().to_owned());
                continue;
            }
            if line.starts_with("# HELP ") {
                continue;
            }
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(declared.iter().any(|known| known == name), "{line}");
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        }
        assert!(text.contains("ramona_actors_alive{actor=\"publication\"} 1\n"), "{text}");
        assert!(text.contains("ramona_link_in_calls_total{node=\"00ff\"} 3\n"), "{text}");
    }
}
