//! The tracing layer: what is written at all, and in which span it happened.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use ramona_actors::LogTail;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Dump;
use super::format::{Line, SpanFields};
use super::level::LogLevel;
use super::writer::Queue;

/// Target of packets.
const DUMP: &str = "dump";

/// Writes events as lines to a [`Queue`].
pub(super) struct LineLayer {
    level: LogLevel,
    dump: Option<Dump>,
    tail: Option<LogTail>,
    queue: Arc<Queue>,
}

impl LineLayer {
    pub(super) fn new(
        level: LogLevel,
        dump: Option<Dump>,
        tail: Option<LogTail>,
        queue: Arc<Queue>,
    ) -> Self {
        Self { level, dump, tail, queue }
    }

    /// Whether events of that place in the code may be written; the level that an event names is
    /// looked at later.
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        if target == DUMP {
            return self.dump.is_some();
        }
        // What is wrong with a request comes back to the session, which says it with the client.
        if target.starts_with("actix_http") && self.level < LogLevel::TRACE {
            return false;
        }
        let own = target.starts_with("ramona") || target == "script" || target == "metrics";
        let level = if own || self.level >= LogLevel::TRACE {
            self.level
        } else {
            self.level.min(LogLevel::WARN)
        };
        // Spans of other crates are kept out as their events are.
        LevelFilter::from_level(*metadata.level()) <= level.filter()
    }

    fn dumps(&self, protocol: &str) -> bool {
        let wanted = self.dump.as_ref().map(|dump| dump.protocol.as_deref());
        wanted.is_some_and(|name| name.is_none_or(|name| name.eq_ignore_ascii_case(protocol)))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LineLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // Records of the `log` crate all have this target here; their own is known later.
        metadata.target() == "log" || self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.dump.is_some() { LevelFilter::TRACE } else { self.level.filter() })
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = SpanFields::default();
        attributes.record(&mut fields);
        span.extensions_mut().replace(fields);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<SpanFields>() {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let normal = event.normalized_metadata();
        let metadata = normal.as_ref().unwrap_or_else(|| event.metadata());
        if !self.wants(metadata) {
            return;
        }
        let limit = self.dump.as_ref().map_or(0, |dump| dump.limit);
        let mut line = Line::new(LogLevel::of(*metadata.level()), limit);
        event.record(&mut line);
        let now = SystemTime::now();
        let text = match metadata.target() {
            DUMP if self.dumps(&line.protocol) => line.packet(now, &spans(event, &context)),
            DUMP => return,
            _ if line.level > self.level => return,
            "script" => line.script(now),
            target => line.engine(now, target, &spans(event, &context)),
        };
        if let Some(tail) = &self.tail {
            tail.push(&text);
        }
        self.queue.push(text);
    }
}

/// `outer{field=value}:inner{field=value}`.
fn spans<S: Subscriber + for<'a> LookupSpan<'a>>(
    event: &Event<'_>,
    context: &Context<'_, S>,
) -> String {
    let mut out = String::new();
    for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
        if !out.is_empty() {
            out.push(':');
        }
        out += span.name();
        if let Some(SpanFields(fields)) = span.extensions().get::<SpanFields>()
            && !fields.is_empty()
        {
            // Writing to a String cannot fail.
            let _ = write!(out, "{{{}}}", fields.trim_start());
        }
    }
    out
}
