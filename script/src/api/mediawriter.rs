//! `mona:createMediaWriter` (MON-29).

use mlua::{AnyUserData, LuaString, UserData};
use ramona_media::MediaWriter;

use crate::api::publication::{clock, kind_of};
use crate::core::Core;

struct Writer(MediaWriter);

impl UserData for Writer {}

impl Core {
    pub(crate) fn add_media_writer_natives(&self) -> mlua::Result<()> {
        self.native("media_writer", |_, lua, transport_stream: bool| {
            let writer = if transport_stream { MediaWriter::mp2t() } else { MediaWriter::flv() };
            lua.create_userdata(Writer(writer)).map(Some)
        })?;
        self.native(
            "write_media",
            |_, lua, (writer, kind, time, data): (AnyUserData, LuaString, f64, LuaString)| {
                let mut writer = writer.borrow_mut::<Writer>()?;
                let time = clock(time).unwrap_or(0);
                let bytes = writer.0.write(kind_of(&kind), time, &data.as_bytes());
                lua.create_string(bytes).map(Some)
            },
        )
    }
}
