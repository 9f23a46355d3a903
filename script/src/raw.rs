//! The one unsafe step of this crate.

use mlua::{Lua, LuaOptions, StdLib};

/// A Lua state with all standard libraries open (GEN-02): scripts are the operator's own
/// programs and may use `debug`, `ffi` and C modules, as under MonaServer.
#[allow(unsafe_code)]
pub(crate) fn new_state() -> Lua {
    // SAFETY: what makes this constructor unsafe is that scripts get `debug`, `ffi` and C modules,
    // with which they can break any invariant of the process. That is the operator's choice, as
    // with every program they run; nothing that comes from a network is run as Lua.
    unsafe { Lua::unsafe_new_with(StdLib::ALL, LuaOptions::default()) }
}
