//! The objects of the script API: for each class what it is in Lua, and the functions that its
//! Lua side calls.

mod address;
mod convert;
pub(crate) mod data;
mod file;
mod http;
mod mediawriter;
mod mona;
pub(crate) mod names;
mod publication;
mod qos;
mod server;
mod sockets;
mod writer;

pub(crate) use qos::Loss;

use crate::core::Core;

/// The prelude, in the order of its loading.
pub(crate) const PRELUDE: &[(&str, &str)] = &[
    ("object", include_str!("../object.lua")),
    ("env", include_str!("../env.lua")),
    ("dispatch", include_str!("../dispatch.lua")),
    ("xml", include_str!("xml.lua")),
    ("view", include_str!("view.lua")),
    ("qos", include_str!("qos.lua")),
    ("client", include_str!("client.lua")),
    ("http", include_str!("http.lua")),
    ("writer", include_str!("writer.lua")),
    ("servers", include_str!("servers.lua")),
    ("server", include_str!("server.lua")),
    ("publication", include_str!("publication.lua")),
    ("listener", include_str!("listener.lua")),
    ("groups", include_str!("groups.lua")),
    ("data", include_str!("data.lua")),
    ("datalist", include_str!("datalist.lua")),
    ("file", include_str!("file.lua")),
    ("address", include_str!("address.lua")),
    ("sockets", include_str!("sockets.lua")),
    ("bytes", include_str!("bytes.lua")),
    ("mediawriter", include_str!("mediawriter.lua")),
    ("mail", include_str!("mail.lua")),
    ("mona", include_str!("mona.lua")),
    ("redirect", include_str!("redirect.lua")),
];

impl Core {
    /// Everything that the prelude calls.
    pub(crate) fn add_natives(&self) -> mlua::Result<()> {
        self.add_log_natives()?;
        self.add_app_natives()?;
        self.add_convert_natives()?;
        self.add_file_natives()?;
        self.add_address_natives()?;
        self.add_external_natives()?;
        self.add_media_writer_natives()?;
        self.add_watch_natives()?;
        self.add_data_natives()?;
        self.add_socket_natives()?;
        self.add_mona_natives()?;
        self.add_server_natives()?;
        self.add_writer_natives()?;
        self.add_http_natives()?;
        self.add_publication_natives()?;
        self.add_qos_natives()
    }
}
