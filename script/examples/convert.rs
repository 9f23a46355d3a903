//! Microseconds of `mona:toJSON` and its neighbours for equal work: one value, written and read by
//! each format, and the same JSON read and written by serde_json alone. Run with
//! `cargo run --release -p ramona-script --example convert`.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_media::MediaFrame;
use ramona_script::*;

struct Printer;

impl Host for Printer {
    fn log(&self, record: &LogRecord<'_>) {
        println!("{:?} {}", record.level, String::from_utf8_lossy(record.text));
    }
    fn epoch_ms(&self) -> u64 {
        0
    }
    fn send(&self, _: ServerId, _: &[u8], _: &[u8]) -> SendOutcome {
        SendOutcome::Queued
    }
    fn reject_server(&self, _: ServerId, _: &[u8]) {}
    fn announce_app(&self, _: &str) {}
    fn publish(&self, _: &Bytes, _: bool) -> Result<PublicationInfo, PublishError> {
        Err(PublishError::Refused)
    }
    fn push(&self, _: PublicationId, _: MediaFrame) {}
    fn close_publication(&self, _: PublicationId, _: Option<(Bytes, Bytes)>) {}
    fn watch(&self, _: PublicationId, _: Watch) {}
    fn write(&self, _: ClientId, _: ClientMessage) {}
    fn close_client(&self, _: ClientId, _: u32) {}
    fn set_listener(&self, _: ListenerId, _: bool, _: bool, _: (bool, bool)) {}
}

/// What a client of a shop would ask for: 20 items with four fields each, and some around.
const VALUE: &str = r#"
    value = { id = 12345, name = "a text of about thirty letters", tags = { "a", "bb", "ccc" },
        position = { x = 1.5, y = -2.25, z = 100 }, items = {} }
    for i = 1, 20 do
        value.items[i] = { id = i, label = "item " .. i, price = i * 1.25, available = i % 3 > 0 }
    end
    texts, values = {}, {}
    function onServerConnection(server)
        function server:write(count, name)
            local f = mona["to" .. name]
            for i = 1, count do texts[name] = f(mona, value) end
        end
        function server:read(count, name)
            local f, text = mona["from" .. (name == "AMF0" and "AMF" or name)], texts[name]
            for i = 1, count do values[name] = f(mona, text) end
        end
        function server:sizes()
            for _, name in ipairs { "AMF", "AMF0", "JSON", "XMLRPC", "XML" } do
                NOTE(name, ": ", #texts[name], " bytes")
            end
        end
    end
"#;

const COUNT: u32 = 20_000;
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("ramona-convert-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("www"))?;
    std::fs::write(dir.join("www/main.lua"), VALUE)?;
    let config = EngineConfig {
        dir: dir.clone(),
        entries: Vec::new(),
        arguments: Vec::new(),
        slow: Duration::from_secs(60),
        memory: 0,
    };
    let mut engine = Engine::new(config, Rc::new(Printer))?;
    engine.start();
    let server = ServerId(1);
    let info = ServerInfo {
        id: server,
        is_target: true,
        ip: "127.0.0.1".into(),
        port: 1936,
        host: String::new(),
        properties: Vec::new(),
        configs: Vec::new(),
    };
    engine.server_up(info).map_err(|text| String::from_utf8_lossy(&text).into_owned())?;
    let origin = Instant::now();
    for name in ["AMF", "AMF0", "JSON", "XMLRPC", "XML"] {
        let mut args = Vec::new();
        let mut encoder = ramona_amf::Amf3Encoder::new(&mut args);
        encoder.number(f64::from(COUNT));
        encoder.string(name.as_bytes())?;
        for function in ["write", "read"] {
            report(&format!("{function} {name}"), origin, || {
                engine.server_call(server, function.as_bytes(), &args);
            });
        }
    }
    engine.server_call(server, b"sizes", &[]);

    // The same JSON without any Lua.
    let text = reference();
    report("read JSON, serde_json to its own values", origin, || {
        for _ in 0..COUNT {
            std::hint::black_box(serde_json::from_str::<serde_json::Value>(&text).ok());
        }
    });
    let value: serde_json::Value = serde_json::from_str(&text)?;
    report("write JSON, serde_json from its own values", origin, || {
        for _ in 0..COUNT {
            std::hint::black_box(serde_json::to_string(&value).ok());
        }
    });
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// The text that `mona:toJSON` makes of the value, but for the order of fields.
fn reference() -> String {
    let items: Vec<String> = (1..=20)
        .map(|i| {
            let (price, available) = (f64::from(i) * 1.25, i % 3 > 0);
            format!(r#"{{"id":{i},"label":"item {i}","price":{price},"available":{available}}}"#)
        })
        .collect();
    format!(
        r#"[{{"id":12345,"name":"a text of about thirty letters","tags":["a","bb","ccc"],"position":{{"x":1.5,"y":-2.25,"z":100}},"items":[{}]}}]"#,
        items.join(",")
    )
}

/// The best of some rounds: what other programs add is no part of it.
fn report(what: &str, origin: Instant, mut work: impl FnMut()) {
    let best = (0..ROUNDS).map(|_| {
        let start = now(origin);
        work();
        now(origin) - start
    });
    let best = best.min().unwrap_or(0) as f64;
    println!("{what}: {:.2} µs", best / f64::from(COUNT) / 1_000.0);
}

/// Time since some fixed point: of this thread on a processor where Linux tells it, else of the
/// clock.
fn now(origin: Instant) -> u128 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| origin.elapsed().as_nanos())
}
