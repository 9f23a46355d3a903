//! Nanoseconds of the two hot paths of node links: `server:send` (Lua to AMF3) and a call of a
//! server function (AMF3 to Lua), and of one round of a plain loop. Run with
//! `cargo run --release -p ramona-script --example calls`. Environment: `CALLS_LUA` is Lua text to
//! run first (`jit.off()`), `CALLS_MEMORY` the limit of the state in bytes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_media::MediaFrame;
use ramona_script::*;

/// Counts bytes, does nothing else.
#[derive(Default)]
struct Counter {
    bytes: Cell<u64>,
    messages: Cell<u64>,
}

impl Host for Counter {
    fn log(&self, record: &LogRecord<'_>) {
        println!("{:?} {}", record.level, String::from_utf8_lossy(record.text));
    }
    fn epoch_ms(&self) -> u64 {
        0
    }
    fn send(&self, _: ServerId, handler: &[u8], args: &[u8]) -> SendOutcome {
        self.messages.set(self.messages.get() + 1);
        self.bytes.set(self.bytes.get() + (handler.len() + args.len()) as u64);
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

const CALLS: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("ramona-calls-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("www"))?;
    let first = std::env::var("CALLS_LUA").unwrap_or_default();
    std::fs::write(
        dir.join("www/main.lua"),
        first
            + r#"
        local payload = ("x"):rep(80)
        function onServerConnection(server)
            function server:echo(name, time, packet) last = packet end
            function server:burst(count)
                for i = 1, count do server:send("echo", "name", i, payload) end
            end
            function server:loop(count)
                local sum = 0
                for i = 1, 100 * count do sum = sum + i % 7 end
                last = sum
            end
        end
        "#,
    )?;
    let host = Rc::new(Counter::default());
    let config = EngineConfig {
        dir: dir.clone(),
        entries: Vec::new(),
        arguments: Vec::new(),
        slow: Duration::from_secs(60),
        memory: std::env::var("CALLS_MEMORY").map_or(Ok(0), |bytes| bytes.parse())?,
    };
    let mut engine = Engine::new(config, host.clone())?;
    engine.start();
    let server = ServerId(1);
    engine
        .server_up(ServerInfo {
            id: server,
            is_target: true,
            ip: "127.0.0.1".into(),
            port: 1936,
            host: String::new(),
            properties: Vec::new(),
            configs: Vec::new(),
        })
        .map_err(|text| String::from_utf8_lossy(&text).into_owned())?;

    let mut count = Vec::new();
    ramona_amf::Amf3Encoder::new(&mut count).number(f64::from(CALLS));
    let mut args = Vec::new();
    let mut encoder = ramona_amf::Amf3Encoder::new(&mut args);
    encoder.string(b"name")?;
    encoder.number(12_345.0);
    encoder.string(&[b'x'; 80])?;

    let origin = Instant::now();
    for _ in 0..3 {
        let start = now(origin);
        engine.server_call(server, b"burst", &count);
        report("server:send, 3 arguments, 100 B", now(origin) - start);
        let start = now(origin);
        for _ in 0..CALLS {
            engine.server_call(server, b"echo", &args);
        }
        report("server_call, 3 arguments, 100 B", now(origin) - start);
        let start = now(origin);
        engine.server_call(server, b"loop", &count);
        report("100 rounds of a plain loop", now(origin) - start);
    }
    println!("{} messages, {} bytes", host.messages.get(), host.bytes.get());
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// Time since some fixed point: of this thread on a processor where Linux tells it, so that other
/// programs do not count, else of the clock.
fn now(origin: Instant) -> u128 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| origin.elapsed().as_nanos())
}

fn report(what: &str, nanoseconds: u128) {
    println!("{what}: {} ns", nanoseconds / u128::from(CALLS));
}
