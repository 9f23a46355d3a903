//! Log lines of each node of the process: an event belongs to the node whose actix system it was
//! made in.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines kept of one node: no test writes so many, unless the node runs wild.
const MAX_LINES: usize = 200_000;

/// Lines of one node, as `LEVEL target: text field=value {span}`.
#[derive(Debug, Default)]
pub(crate) struct Logs(Mutex<Vec<String>>);

static NODES: LazyLock<Mutex<HashMap<usize, Arc<Logs>>>> = LazyLock::new(Mutex::default);

impl Logs {
    /// Starts to keep the lines of an actix system.
    pub(crate) fn keep(system: usize, logs: Arc<Logs>) {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            // A test that has a subscriber of its own gets no lines.
            let _ = tracing_subscriber::registry().with(Capture).try_init();
        });
        lock(&NODES).insert(system, logs);
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        lock(&self.0).clone()
    }

    /// The first line at or behind `from` that contains all of `parts`.
    pub(crate) fn find(&self, from: usize, parts: &[&str]) -> Option<(usize, String)> {
        let lines = lock(&self.0);
        let mut rest = lines.iter().enumerate().skip(from);
        rest.find(|(_, line)| parts.iter().all(|part| line.contains(part)))
            .map(|(index, line)| (index, line.clone()))
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Capture;

/// Fields of a span, as they stand behind its lines.
struct SpanText(String);

#[derive(Default)]
struct Fields {
    message: String,
    level: Option<String>,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "level_name" => self.level = Some(format!("{value:?}").replace('"', "")),
            name => {
                // Writing to a string cannot fail.
                let _ = write!(self.others, " {name}={value:?}");
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Capture {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let target = metadata.target();
        let ours = target.starts_with("ramona") || target == "script" || target == "metrics";
        *metadata.level() <= if ours { Level::DEBUG } else { Level::WARN }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            let text = format!("{{{}{}}}", span.name(), fields.others);
            span.extensions_mut().insert(SpanText(text));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = context.span(id)
            && let Some(text) = span.extensions_mut().get_mut::<SpanText>()
        {
            text.0.push_str(&fields.others);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(system) = actix_rt::System::try_current() else { return };
        let Some(logs) = lock(&NODES).get(&system.id()).cloned() else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let level = fields.level.unwrap_or_else(|| metadata.level().to_string());
        let Fields { message, others, .. } = fields;
        let mut line = format!("{level} {}: {message}{others}", metadata.target());
        if let Some(scope) = context.event_scope(event) {
            for span in scope {
                if let Some(text) = span.extensions().get::<SpanText>() {
                    line.push(' ');
                    line.push_str(&text.0);
                }
            }
        }
        let mut lines = lock(&logs.0);
        if lines.len() < MAX_LINES {
            lines.push(line);
        }
    }
}
