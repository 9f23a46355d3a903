//! What `publication`, `listener` and `mona:publish` ask of the host.

use bytes::Bytes;
use mlua::{Lua, LuaString, UserData, Value, Variadic};
use ramona_amf::Amf0Encoder;
use ramona_formats::read_values;
use ramona_media::{MediaFrame, MediaKind};

use crate::api::writer::copy;
use crate::core::{Core, Garbage};
use crate::host::{Format, ListenerId, LogLevel, PublicationId, PublishError, Watch};
use crate::value::from_text;
use crate::value::walk::Amf0Style;

/// Milliseconds of a media clock wrap here: 32 bits, as in RTMP.
const CLOCK: f64 = 4_294_967_296.0;

/// Held beside an object that a script owns: tells the engine when the collector took it.
struct Guard {
    garbage: std::rc::Rc<std::cell::RefCell<Vec<Garbage>>>,
    what: Garbage,
}

impl UserData for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        // Runs inside the collector: only remember it.
        if let Ok(mut garbage) = self.garbage.try_borrow_mut() {
            garbage.push(self.what);
        }
    }
}

pub(crate) fn kind_of(kind: &LuaString) -> MediaKind {
    match &*kind.as_bytes() {
        b"audio" => MediaKind::Audio,
        b"video" => MediaKind::Video,
        _ => MediaKind::Data,
    }
}

/// A time of a script on the clock of media; nothing for one that is no finite number.
pub(crate) fn clock(time: f64) -> Option<u32> {
    // In range after the remainder.
    time.is_finite().then(|| time.floor().rem_euclid(CLOCK) as u32)
}

/// The AMF0 values of a message in a text format, and what became null in it.
fn data_message(format: Format, text: &[u8]) -> Result<(Bytes, Option<String>), String> {
    let mut document = from_text::read(format, true, text)?;
    let values = read_values(&mut document).map_err(|error| error.to_string())?;
    let mut message = Vec::with_capacity(text.len() + 16);
    for value in values {
        value.encode_amf0(&mut message).map_err(|error| error.to_string())?;
    }
    Ok((message.into(), document.problems().first().map(|problem| problem.to_string())))
}

impl Core {
    pub(crate) fn add_publication_natives(&self) -> mlua::Result<()> {
        self.native("publish", |core, _, (name, record): (LuaString, bool)| {
            let name = copy(&name);
            let shown = String::from_utf8_lossy(&name);
            match core.host.publish(&name, record) {
                Ok(info) => {
                    let id = info.id;
                    core.publications.borrow_mut().insert(id, info.qos);
                    Ok((Some(id.0), None))
                }
                Err(PublishError::AlreadyPublishing) => {
                    Ok((None, Some(format!("{shown} is already publishing"))))
                }
                Err(PublishError::Refused) => {
                    Ok((None, Some(format!("{shown} is refused by the node"))))
                }
            }
        })?;
        self.native(
            "push",
            |core, lua, (id, kind, time, packet, offset): (u64, LuaString, f64, LuaString, f64)| {
                let kind = kind_of(&kind);
                let packet = packet.as_bytes();
                // Saturating: an offset beyond the packet leaves nothing.
                let payload = packet.get((offset.max(0.0)) as usize..).unwrap_or_default();
                core.push(lua, id, kind, time, Bytes::copy_from_slice(payload));
                Ok(())
            },
        )?;
        self.native(
            "push_values",
            |core, lua, (id, format, values): (u64, LuaString, Variadic<Value>)| {
                let style = match &*format.as_bytes() {
                    b"amf0" => Amf0Style::Plain,
                    _ => Amf0Style::Auto,
                };
                let message = core.encode_amf0(lua, "publication:pushData", style, &[], values)?;
                core.push(lua, id, MediaKind::Data, 0.0, message.into());
                Ok(())
            },
        )?;
        // A message in a text format is pushed as AMF0, which every viewer's protocol is made of, and
        // past Lua, which has no null in lists and no empty object: who asks for JSON gets the same.
        // False when it is not of that format, which is said when there is a label.
        self.native(
            "push_text",
            |core, lua, (id, format, label, text): (u64, LuaString, Option<String>, LuaString)| {
                let format = match &*format.as_bytes() {
                    b"json" => Format::Json,
                    _ => Format::XmlRpc,
                };
                match data_message(format, &text.as_bytes()) {
                    Ok((message, problem)) => {
                        if let Some(problem) = problem {
                            let label = label.as_deref().unwrap_or("publication:pushData");
                            let text = format!("{label}: {problem}");
                            core.log_here(lua, LogLevel::Error, text.as_bytes());
                        }
                        core.push(lua, id, MediaKind::Data, 0.0, message);
                        Ok(true)
                    }
                    Err(problem) => {
                        if let Some(label) = label {
                            let text = format!("{label}: {problem}");
                            core.log_here(lua, LogLevel::Error, text.as_bytes());
                        }
                        Ok(false)
                    }
                }
            },
        )?;
        self.native(
            "push_named",
            |core, lua, (id, name, packet, offset): (u64, LuaString, LuaString, f64)| {
                let mut message = Vec::new();
                if Amf0Encoder::new(&mut message).string(&name.as_bytes()).is_ok() {
                    let packet = packet.as_bytes();
                    let offset = (offset.max(0.0)) as usize;
                    message.extend_from_slice(packet.get(offset..).unwrap_or_default());
                    core.push(lua, id, MediaKind::Data, 0.0, message.into());
                }
                Ok(())
            },
        )?;
        self.native(
            "close_publication",
            |core, _, (id, code, text): (u64, Option<LuaString>, Option<LuaString>)| {
                let status =
                    code.map(|code| (copy(&code), text.as_ref().map(copy).unwrap_or_default()));
                core.host.close_publication(PublicationId(id), status);
                Ok(())
            },
        )?;
        self.native("watch", |core, _, (id, audio, video, data): (u64, bool, bool, bool)| {
            core.host.watch(PublicationId(id), Watch { audio, video, data });
            Ok(())
        })?;
        self.native(
            "set_listener",
            |core, _, (id, audio, video, audio_sample, video_sample): (u64, bool, bool, bool, bool)| {
                let access = (audio_sample, video_sample);
                core.host.set_listener(ListenerId(id), audio, video, access);
                Ok(())
            },
        )?;
        self.native("defer", |core, _, ()| {
            core.deferred.set(true);
            Ok(())
        })?;
        self.native("own", |core, lua, (kind, key): (LuaString, u64)| {
            let what = match &*kind.as_bytes() {
                b"publication" => Garbage::Publication(key),
                b"socket" => Garbage::Socket(key),
                b"writer" => Garbage::Writer(key),
                _ => Garbage::Member(key),
            };
            let guard = Guard { garbage: core.garbage.clone(), what };
            lua.create_userdata(guard).map(Some)
        })?;
        self.native("garbage", |core, _, ()| {
            let next = core.garbage.borrow_mut().pop();
            Ok(match next {
                Some(Garbage::Publication(id)) => (Some("publication"), Some(id)),
                Some(Garbage::Member(token)) => (Some("member"), Some(token)),
                Some(Garbage::Socket(id)) => (Some("socket"), Some(id)),
                Some(Garbage::Writer(token)) => (Some("writer"), Some(token)),
                None => (None, None),
            })
        })?;
        self.native(
            "group_changed",
            |core, _, (group, peer, member): (LuaString, LuaString, bool)| {
                let id = |text: &LuaString| <[u8; 32]>::try_from(&*text.as_bytes()).ok();
                if let (Some(group), Some(peer)) = (id(&group), id(&peer)) {
                    core.host.group_changed(group, peer, member);
                }
                Ok(())
            },
        )
    }

    /// A data message carries the time of the media before it.
    fn push(&self, lua: &Lua, id: u64, kind: MediaKind, time: f64, payload: Bytes) {
        let id = PublicationId(id);
        let time = match kind {
            MediaKind::Data => f64::from(self.last_time(id)),
            MediaKind::Audio | MediaKind::Video => time,
        };
        let Some(timestamp_ms) = clock(time) else {
            self.log_here(lua, LogLevel::Error, b"publication: the time is no finite number");
            return;
        };
        if kind != MediaKind::Data {
            self.pushed.borrow_mut().insert(id, timestamp_ms);
        }
        self.host.push(id, MediaFrame::new(kind, timestamp_ms, payload));
    }
}
