//! `server:send` of plain values, straight from Lua's stack.
//!
//! Through mlua each string of a call gets a handle in the registry, and all values go through a list:
//! that is four fifths of the time of a call of three arguments, and links carry a million of these a second. What
//! is not plain, and every trouble, is left to the functions of `api/server.rs`.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Weak;

use mlua::{Function, Lua, ffi};
use ramona_amf::Amf3Encoder;

use crate::core::{Core, stack_is_low};
use crate::host::{SendOutcome, ServerId};

/// The function `(id, name, …)`. It answers `true` when the call is queued, `false` when it was not
/// tried, and else what `not_sent` is to be told: 1 for a full queue, 2 for a link that is gone.
pub(crate) fn function(lua: &Lua, core: Weak<Core>) -> mlua::Result<Function> {
    // It lives as long as the process, as with `raw::Memory`: a script may call this while its state is
    // closed, after everything else has gone.
    let core: &'static Weak<Core> = Box::leak(Box::new(core));
    // SAFETY: inside, errors of Lua are allowed, and nothing there has a destructor.
    unsafe {
        lua.exec_raw((), |state| {
            ffi::lua_pushlightuserdata(state, std::ptr::from_ref(core).cast_mut().cast());
            ffi::lua_pushcclosure(state, send, 1);
        })
    }
}

unsafe extern "C-unwind" fn send(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the upvalue was made by `function`. A panic does not get past this frame, nothing in
    // the closure raises an error of Lua, and what is pushed needs one place of the twenty that each
    // C function has.
    unsafe {
        let core = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Weak<Core>>();
        let sent = catch_unwind(AssertUnwindSafe(|| {
            let core = (*core).upgrade()?;
            try_send(&core, state)
        }));
        match sent {
            Ok(Some(SendOutcome::Queued)) => ffi::lua_pushboolean(state, 1),
            Ok(Some(SendOutcome::Full)) => ffi::lua_pushinteger(state, 1),
            Ok(Some(SendOutcome::Gone)) => ffi::lua_pushinteger(state, 2),
            Ok(None) | Err(_) => ffi::lua_pushboolean(state, 0),
        }
    }
    1
}

/// `None`: not tried.
///
/// # Safety
/// `state` is running a C function. Raises no error of Lua.
unsafe fn try_send(core: &Core, state: *mut ffi::lua_State) -> Option<SendOutcome> {
    // SAFETY: these functions look at the stack and change nothing, for `lua_tonumber` and
    // `lua_tolstring` are asked for numbers and strings only; a string lives while it is on the stack.
    unsafe {
        let number = |index| ffi::lua_tonumber(state, index);
        let string = |index| {
            let mut length = 0;
            let start = ffi::lua_tolstring(state, index, &raw mut length);
            std::slice::from_raw_parts(start.cast::<u8>(), length)
        };
        let is_call = ffi::lua_type(state, 1) == ffi::LUA_TNUMBER
            && ffi::lua_type(state, 2) == ffi::LUA_TSTRING;
        if !is_call || stack_is_low() {
            return None;
        }
        let mut message = core.scratch.take();
        message.clear();
        let mut encoder = Amf3Encoder::new(&mut message);
        let is_plain = (3..=ffi::lua_gettop(state)).all(|index| {
            match ffi::lua_type(state, index) {
                ffi::LUA_TNIL => encoder.null(),
                ffi::LUA_TBOOLEAN => encoder.boolean(ffi::lua_toboolean(state, index) != 0),
                ffi::LUA_TNUMBER => encoder.number(number(index)),
                ffi::LUA_TSTRING => return encoder.string(string(index)).is_ok(),
                _ => return false,
            }
            true
        });
        let id = ServerId(number(1) as u64);
        let outcome = is_plain.then(|| core.host.send(id, string(2), &message));
        core.keep_buffer(message);
        if outcome == Some(SendOutcome::Queued) {
            core.sent(id.0);
        }
        outcome
    }
}
