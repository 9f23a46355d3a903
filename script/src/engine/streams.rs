//! Events of publications and subscriptions.

use std::time::Instant;

use bytes::Bytes;
use mlua::{LuaString, MultiValue, Value};
use ramona_media::{MediaFrame, MediaKind};

use super::Engine;
use crate::dispatch::Context;
use crate::host::*;
use crate::object::typed_list;
use crate::value::from_amf::Amf;
use crate::value::text::parse_query;

impl Engine {
    /// A client asks to publish (CLI-33). When accepted, the publication is running.
    ///
    /// # Errors
    /// The text for the publisher.
    pub fn publish(
        &mut self,
        client: ClientId,
        publication: PublicationInfo,
    ) -> Result<(), Refusal> {
        let _run = self.core.runs.begin();
        let id = publication.id;
        self.core.publications.borrow_mut().insert(id, publication.qos);
        let name = LuaString::wrap(&publication.name);
        let refusal = self.core.ask("onPublish", "publish", (client.0, id.0, name));
        if refusal.is_some() {
            self.core.publications.borrow_mut().remove(&id);
        }
        refusal.map_or(Ok(()), |text| Err(Refusal::Rejected(text)))
    }

    /// A publication ended: `onUnpublish` for a client's (CLI-34); the object dies (GEN-07).
    pub fn unpublish(&mut self, publication: PublicationId) {
        let _run = self.core.runs.begin();
        self.core.event("onUnpublish", "unpublish", publication.0);
        self.core.publications.borrow_mut().remove(&publication);
        self.core.pushed.borrow_mut().remove(&publication);
        self.core.losses.borrow_mut().retain(|(lossy, _), _| *lossy != publication);
    }

    /// The node ended a script's publication, or confirms the end that the script asked for.
    pub fn publication_ended(&mut self, publication: PublicationId) {
        self.unpublish(publication);
    }

    /// A client asks to play (CLI-35), whether the publication runs or not: the engine finds it
    /// by its name.
    ///
    /// # Errors
    /// The text for the player.
    pub fn subscribe(
        &mut self,
        listener: ListenerInfo,
        publication: Option<PublicationId>,
    ) -> Result<(), Refusal> {
        let _run = self.core.runs.begin();
        let _ = publication;
        let id = listener.id;
        self.core.listeners.borrow_mut().insert(id, listener.qos.clone());
        let refusal = self.ask_subscription(&listener).unwrap_or_else(|error| {
            self.core.internal_error("onSubscribe", &error);
            Some(Bytes::from_static(b"internal error"))
        });
        if refusal.is_some() {
            self.core.listeners.borrow_mut().remove(&id);
        }
        refusal.map_or(Ok(()), |text| Err(Refusal::Rejected(text)))
    }

    fn ask_subscription(&self, listener: &ListenerInfo) -> mlua::Result<Option<Bytes>> {
        let info = self.lua.create_table()?;
        info.raw_set("id", listener.id.0)?;
        info.raw_set("client", listener.client.0)?;
        info.raw_set("name", self.lua.create_string(&listener.name)?)?;
        let query = typed_list(&self.lua, &parse_query(&listener.query))?;
        Ok(self.core.ask("onSubscribe", "subscribe", (info, query)))
    }

    /// The player of an accepted subscription told how much it buffers, in milliseconds (LIS-07).
    pub fn buffer_time(&mut self, listener: ListenerId, ms: u32) {
        let _run = self.core.runs.begin();
        self.core.event("bufferTime", "buffer_time", (listener.0, ms));
    }

    /// An accepted subscription ended (CLI-36).
    pub fn unsubscribe(&mut self, listener: ListenerId) {
        let _run = self.core.runs.begin();
        self.core.event("onUnsubscribe", "unsubscribe", listener.0);
        self.core.listeners.borrow_mut().remove(&listener);
    }

    /// Packets of a client's publication that a script asked for ([`Host::watch`]): `onVideo`,
    /// `onAudio`, `onData` (PUB-06..08).
    pub fn media(&mut self, publication: PublicationId, frames: &[MediaFrame]) {
        for frame in frames {
            let _run = self.core.runs.begin();
            let started = Instant::now();
            let result = match frame.kind {
                MediaKind::Audio => self.packet(publication, "audio", frame),
                MediaKind::Video => self.packet(publication, "video", frame),
                MediaKind::Data => self.data(publication, frame),
            };
            match result {
                Ok(ran) => self.core.done(media_label(frame.kind), ran, started),
                Err(error) => self.core.internal_error("publication packet", &error),
            }
        }
        let _run = self.core.runs.begin();
        self.core.event("publication:onFlush", "flushed", publication.0);
    }

    fn packet(
        &self,
        publication: PublicationId,
        kind: &str,
        frame: &MediaFrame,
    ) -> mlua::Result<Option<LuaString>> {
        self.media.call((
            publication.0,
            kind,
            f64::from(frame.timestamp_ms),
            LuaString::wrap(&frame.payload),
        ))
    }

    /// PUB-08, PUB-23..25.
    fn data(
        &self,
        publication: PublicationId,
        frame: &MediaFrame,
    ) -> mlua::Result<Option<LuaString>> {
        let form = self.core.shared_event("data_form")?;
        let (form, app): (Option<LuaString>, Option<LuaString>) = form.call(publication.0)?;
        let (Some(form), Some(app)) = (form, app) else { return Ok(None) };
        let event = self.core.shared_event("data")?;
        let id = publication.0;
        let payload = &frame.payload;
        if &*form.as_bytes() == b"packet" {
            return event.call((id, LuaString::wrap(payload)));
        }
        let app = app.to_string_lossy();
        let mut values = self.core.decode(&self.lua, Context::App(&app), Amf::Zero, payload);
        let name = match values.first() {
            Some(Value::String(_)) => values.remove(0),
            _ => Value::Nil,
        };
        if &*form.as_bytes() == b"older" {
            let rest = ramona_media::leading_name(payload)
                .and_then(|(_, end)| payload.get(end..))
                .unwrap_or(payload);
            return event.call((id, name, LuaString::wrap(rest)));
        }
        event.call((id, name, LuaString::wrap(payload), MultiValue::from_vec(values)))
    }

    /// Metadata of a publication changed (PUB-15, PUB-17): an AMF0 data message, of which the
    /// last value counts; `None` when it was cleared.
    pub fn metadata(&mut self, publication: PublicationId, message: Option<Bytes>) {
        let _run = self.core.runs.begin();
        let fields = message.and_then(|message| {
            self.core.decode(&self.lua, Context::App(""), Amf::Zero, &message).pop()
        });
        self.core.event("publication:onProperties", "metadata", (publication.0, fields));
    }
}

fn media_label(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "publication:onAudio",
        MediaKind::Video => "publication:onVideo",
        MediaKind::Data => "publication:onData",
    }
}
