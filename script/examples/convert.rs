//! Microseconds of `mona:toJSON` and its neighbours for equal work: one value, written and read by
//! each format, and the same JSON read and written by serde_json alone. What a format cannot say of
//! that value (a document of XML is all text, a query string is flat) it says of another one, beside
//! AMF of the same. Run with `cargo run --release -p ramona-script --example convert`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_media::MediaFrame;
use ramona_script::*;

/// Keeps notes, prints everything else.
#[derive(Default)]
struct Printer {
    notes: RefCell<Vec<String>>,
}

impl Host for Printer {
    fn log(&self, record: &LogRecord<'_>) {
        let text = String::from_utf8_lossy(record.text).into_owned();
        match record.level {
            LogLevel::Note => self.notes.borrow_mut().push(text),
            level => println!("{level:?} {text}"),
        }
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

/// What a client of a shop would ask for: 20 items with four fields each, and some around. The same as
/// a document, and 88 fields of one table.
const VALUES: &str = r#"
    local items = { id = 12345, name = "a text of about thirty letters", tags = { "a", "bb", "ccc" },
        position = { x = 1.5, y = -2.25, z = 100 }, items = {} }
    local document = { '<?xml version="1.0"?><order id="12345"><name>a text of about thirty letters</name>',
        '<tag>a</tag><tag>bb</tag><tag>ccc</tag><x>1.5</x><y>-2.25</y><z>100</z>' }
    local fields = {}
    for i = 1, 20 do
        local item = { id = i, label = "item " .. i, price = i * 1.25, available = i % 3 > 0 }
        items.items[i] = item
        document[#document + 1] = '<item id="' .. i .. '"><label>' .. item.label .. '</label><price>'
            .. item.price .. '</price><available>' .. tostring(item.available) .. '</available></item>'
        for key, field in pairs(item) do fields[key .. i] = field end
    end
    for i = 1, 8 do fields["more" .. i] = i end
    document[#document + 1] = '</order>'
    local values = { items = items, document = mona:fromXML(table.concat(document)), fields = fields }
    local texts, results = {}, {}
    function onServerConnection(server)
        function server:write(count, value, name)
            local f, v, text = mona["to" .. name], values[value], nil
            for i = 1, count do text = f(mona, v) end
            texts[value .. name] = text
        end
        function server:read(count, value, name)
            local f, text = mona["from" .. (name == "AMF0" and "AMF" or name)], texts[value .. name]
            for i = 1, count do results[1] = f(mona, text) end
        end
        function server:size(_, value, name) NOTE(#texts[value .. name]) end
    end
"#;

/// Value, and the end of the functions' names; AMF of a value comes first. A document is no AMF0.
const CASES: [(&str, &str); 9] = [
    ("items", "AMF0"),
    ("items", "AMF"),
    ("items", "JSON"),
    ("items", "XMLRPC"),
    ("items", "XML"),
    ("document", "AMF"),
    ("document", "XML"),
    ("fields", "AMF0"),
    ("fields", "Query"),
];

const COUNT: u32 = 20_000;
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("ramona-convert-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("www"))?;
    std::fs::write(dir.join("www/main.lua"), VALUES)?;
    let config = EngineConfig {
        dir: dir.clone(),
        entries: Vec::new(),
        arguments: Vec::new(),
        slow: Duration::from_secs(60),
        memory: 0,
    };
    let host = Rc::<Printer>::default();
    let mut engine = Engine::new(config, host.clone())?;
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
    println!(
        "| value | format | bytes | `mona:to…` µs | ratio to AMF | `mona:from…` µs | ratio to AMF |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut base = ("", [f64::NAN; 2]);
    for (value, name) in CASES {
        let mut args = Vec::new();
        let mut encoder = ramona_amf::Amf3Encoder::new(&mut args);
        encoder.number(f64::from(COUNT));
        encoder.string(value.as_bytes())?;
        encoder.string(name.as_bytes())?;
        let mut call = |function: &str| engine.server_call(server, function.as_bytes(), &args);
        let took = ["write", "read"].map(|function| best(origin, || call(function)));
        call("size");
        let bytes = host.notes.borrow_mut().pop().ok_or("a case failed, see above")?;
        if value != base.0 {
            base = (value, took);
        }
        println!(
            "| {value} | {name} | {bytes} | {:.1} | {:.2} | {:.1} | {:.2} |",
            took[0],
            took[0] / base.1[0],
            took[1],
            took[1] / base.1[1]
        );
    }

    // The same JSON without any Lua.
    let text = reference();
    let read = best(origin, || {
        for _ in 0..COUNT {
            std::hint::black_box(serde_json::from_str::<serde_json::Value>(&text).ok());
        }
    });
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let write = best(origin, || {
        for _ in 0..COUNT {
            std::hint::black_box(serde_json::to_string(&value).ok());
        }
    });
    println!("\nserde_json alone, from and to values of its own: {write:.1} and {read:.1} µs");
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

/// Microseconds of one of [`COUNT`] times, the best of some rounds: what other programs add is no part
/// of it.
fn best(origin: Instant, mut work: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = now(origin);
        work();
        now(origin) - start
    });
    rounds.min().unwrap_or(0) as f64 / f64::from(COUNT) / 1_000.0
}

/// Time since some fixed point: of this thread on a processor where Linux tells it, else of the
/// clock.
fn now(origin: Instant) -> u128 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| origin.elapsed().as_nanos())
}
