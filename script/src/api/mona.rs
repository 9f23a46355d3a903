//! What `mona` asks of Rust: time and AMF.

use mlua::{LuaString, MultiValue, Value, Variadic};

use crate::core::Core;
use crate::host::LogLevel;
use crate::value::from_amf::{self, Amf};
use crate::value::walk::Amf0Style;

impl Core {
    pub(crate) fn add_mona_natives(&self) -> mlua::Result<()> {
        self.native("now", |core, _, ()| Ok(core.host.epoch_ms() as f64))?;
        self.native("to_amf", |core, lua, values: Variadic<Value>| {
            let bytes = core.encode_amf0(lua, "mona:toAMF", Amf0Style::Auto, &[], values)?;
            lua.create_string(bytes).map(Some)
        })?;
        self.native("to_amf0", |core, lua, values: Variadic<Value>| {
            let bytes = core.encode_amf0(lua, "mona:toAMF0", Amf0Style::Plain, &[], values)?;
            lua.create_string(bytes).map(Some)
        })?;
        self.native("from_amf", |core, lua, (app, data): (LuaString, LuaString)| {
            let Some(hooks) = core.hooks.get() else { return Ok(MultiValue::new()) };
            let typed = |name: &[u8], table| {
                hooks.typed.call::<()>((app.clone(), lua.create_string(name)?, table))
            };
            let mut values = Vec::new();
            let data = data.as_bytes();
            let problem = from_amf::decode(lua, hooks, &typed, Amf::Zero, &data, &mut values);
            if let Some(problem) = problem {
                let text = format!("mona:fromAMF: {problem}");
                core.log_here(lua, LogLevel::Error, text.as_bytes());
            }
            Ok(MultiValue::from_vec(values))
        })
    }
}
