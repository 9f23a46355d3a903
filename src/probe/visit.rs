//! What a probe does once it has a connection: connect, ping, play.

use std::time::{Duration, Instant};

use ramona_amf::{Object, Value};
use ramona_media::{MediaFrame, MediaKind};
use ramona_rtmp::{ClientEvent, StreamId, UserControl};

use super::link::Link;
use super::report::{Report, millis};
use super::values::{show, text};
use super::{Probe, ProbeError};

/// Pings of one measure.
const PINGS: u32 = 5;

/// A server that does not answer pings is no broken one.
const PING_PATIENCE: Duration = Duration::from_secs(2);

/// connect, and the answer with everything in it.
pub(super) async fn connect<L: Link>(
    link: &mut L,
    probe: &Probe,
    report: &mut Report<'_>,
) -> Result<(), ProbeError> {
    const STEP: &str = "answer to connect";
    let asked = Instant::now();
    link.connect(&probe.url)?;
    report.line("connect", format_args!("asked with tcUrl {}", probe.url));
    let until = asked + probe.timeout;
    loop {
        let Some(event) = link.next(STEP, until, report).await? else {
            let hint = "the server took the connection, but a script or the server itself does \
                        not decide";
            return Err(ProbeError::Silent { step: STEP, waited: probe.timeout, hint });
        };
        match event {
            ClientEvent::Connected { properties, info } => {
                let after = millis(asked.elapsed());
                report.line("connect", format_args!("accepted after {after:.1} ms"));
                members("server", &properties, report);
                members("info", &info, report);
                return Ok(());
            }
            ClientEvent::Refused(info) => {
                members("info", &info, report);
                return Err(ProbeError::Refused { step: "connect", text: reason(&info) });
            }
            other => told(other, report),
        }
    }
}

/// Round trips of pings.
pub(super) async fn ping<L: Link>(link: &mut L, report: &mut Report<'_>) -> Result<(), ProbeError> {
    const STEP: &str = "answer to ping";
    let mut times = Vec::new();
    for value in 1..=PINGS {
        let asked = Instant::now();
        link.ping(value)?;
        while let Some(event) = link.next(STEP, asked + PING_PATIENCE, report).await? {
            match event {
                ClientEvent::Control(UserControl::PingResponse(back)) if back == value => {
                    times.push(asked.elapsed());
                    break;
                }
                other => told(other, report),
            }
        }
        if times.len() < value as usize {
            break;
        }
    }
    let (Some(best), Some(worst)) = (times.iter().min(), times.iter().max()) else {
        let waited = PING_PATIENCE.as_secs();
        report.line("round trip", format_args!("unknown: no answer to a ping within {waited} s"));
        return Ok(());
    };
    let mean = times.iter().sum::<Duration>() / times.len() as u32;
    report.line(
        "round trip",
        format_args!(
            "{} pings: {:.2} ms at best, {:.2} ms on average, {:.2} ms at worst",
            times.len(),
            millis(*best),
            millis(mean),
            millis(*worst)
        ),
    );
    Ok(())
}

/// Plays a stream and counts.
pub(super) async fn play<L: Link>(
    link: &mut L,
    probe: &Probe,
    name: &str,
    duration: Duration,
    report: &mut Report<'_>,
) -> Result<(), ProbeError> {
    const CREATE: &str = "answer to createStream";
    const PLAY: &str = "frame of the stream";
    link.create_stream()?;
    let until = Instant::now() + probe.timeout;
    let stream = loop {
        match link.next(CREATE, until, report).await? {
            Some(ClientEvent::StreamCreated(stream)) => break stream,
            Some(other) => told(other, report),
            None => {
                let hint = "the server accepted connect and answers no command";
                return Err(ProbeError::Silent { step: CREATE, waited: probe.timeout, hint });
            }
        }
    };
    link.play(stream, name)?;
    report.line("play", format_args!("asked for {name:?} on stream {}", stream.0));
    let (asked, mut count) = (Instant::now(), Count::default());
    while let Some(event) = link.next(PLAY, asked + duration, report).await? {
        match event {
            // Told to every player, also of a name that nobody publishes.
            ClientEvent::Media { frame, .. } if is_sample_access(&frame) => {}
            ClientEvent::Media { frame, .. } => {
                if count.first.is_none() {
                    let after = millis(asked.elapsed());
                    report.line("play", format_args!("first message after {after:.1} ms"));
                }
                count.add(&frame);
            }
            ClientEvent::Status { ref level, ref code, ref description, .. }
                if level == "error" =>
            {
                let text = format!("{} {}", text(code), text(description));
                return Err(ProbeError::Refused { step: "play", text });
            }
            other => told(other, report),
        }
    }
    count.report(report);
    if count.frames() == 0 {
        let hint = "nobody publishes that name, or the publisher sends nothing";
        return Err(ProbeError::Silent { step: PLAY, waited: duration, hint });
    }
    Ok(())
}

/// Whether a message says what of the stream a player may look at (LIS-06).
fn is_sample_access(frame: &MediaFrame) -> bool {
    const NAME: &[u8] = b"\x02\x00\x11|RtmpSampleAccess";
    frame.kind == MediaKind::Data && frame.payload.starts_with(NAME)
}

/// Frames and bytes by kind.
#[derive(Default)]
struct Count {
    kinds: [(u64, u64); 3],
    keyframes: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Count {
    fn add(&mut self, frame: &MediaFrame) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
        let (frames, bytes) = &mut self.kinds[frame.kind as usize];
        *frames += 1;
        *bytes += frame.payload.len() as u64;
        self.keyframes += u64::from(frame.kind == MediaKind::Video && frame.is_keyframe);
    }

    fn frames(&self) -> u64 {
        self.kinds.iter().map(|(frames, _)| frames).sum()
    }

    fn report(&self, report: &mut Report<'_>) {
        let seconds = match (self.first, self.last) {
            (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
            _ => 0.0,
        };
        for kind in [MediaKind::Video, MediaKind::Audio, MediaKind::Data] {
            let (frames, bytes) = self.kinds[kind as usize];
            let name = format!("{kind:?}").to_lowercase();
            let mut line = format!("{name}: {frames} messages, {bytes} bytes");
            if kind == MediaKind::Video {
                line += &format!(", {} key frames", self.keyframes);
            }
            if seconds > 0.0 {
                line += &format!(", {:.0} kbit/s", bytes as f64 * 0.008 / seconds);
            }
            report.line("play", line);
        }
    }
}

/// What nobody waits for, but somebody may want to know.
pub(super) fn told(event: ClientEvent, report: &mut Report<'_>) {
    match event {
        ClientEvent::HandshakeDone(true) => report.line("handshake", "done, with digests"),
        ClientEvent::HandshakeDone(false) => {
            report.line("handshake", "done, plain: the server answers with no digest");
        }
        ClientEvent::ChunkSize(size) => {
            report.line("chunks", format_args!("the server sends chunks of {size} bytes"));
        }
        ClientEvent::WindowAcknowledgementSize(size) => {
            report.line("window", format_args!("acknowledge {size} bytes of the server's"));
        }
        ClientEvent::PeerBandwidth(size) => {
            report.line("window", format_args!("the server takes {size} unacknowledged bytes"));
        }
        ClientEvent::Status { stream, level, code, description } => {
            let (level, code, description) = (text(&level), text(&code), text(&description));
            report
                .line("status", format_args!("stream {}: {level} {code} {description}", stream.0));
        }
        ClientEvent::Call { stream: StreamId(stream), name, args } => {
            let args: Vec<_> = args.iter().map(show).collect();
            let (name, args) = (text(&name), args.join(", "));
            report.line("call", format_args!("stream {stream}: {name}({args})"));
        }
        ClientEvent::Error { info, .. } => report.line("error", reason(&info)),
        ClientEvent::Control(control) => report.line("control", format_args!("{control:?}")),
        _ => {}
    }
}

fn members(about: &str, object: &Object, report: &mut Report<'_>) {
    for (key, value) in &object.members {
        report.line(about, format_args!("{} = {}", text(key), show(value)));
    }
}

/// Code and description of an info object.
fn reason(info: &Object) -> String {
    let field = |key| info.get(key).and_then(Value::as_string).map_or(String::new(), |v| text(v));
    format!("{} {}", field("code"), field("description")).trim().to_owned()
}
