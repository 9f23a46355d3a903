//! Lua's own stack, for conversions: the other place of this crate with unsafe steps.
//!
//! A handle of mlua costs some 100 ns for each key and value, which is more than to convert it. So
//! tables are walked and made on the stack of a call of our own, and only what a script's function
//! gets or answers becomes a handle.
//!
//! # Why this is sound
//! - A [`Stack`] is the frame of the C function that [`Stack::run`] runs. LuaJIT reads a place beyond
//!   the top as nil and makes room for what is pushed, and every method that needs a table looks
//!   whether it is one: a wrong [`Slot`] gives a wrong value and never breaks memory.
//! - Bytes of a string are borrowed from the `Stack`. Whatever takes values off or may run the
//!   collector borrows it mutably, so a string stays where it is while it is looked at.
//! - No error of Lua leaves a method, for it would pass through Rust's frames. What is called raises
//!   only for memory, of which the allocator of this state never refuses any (`raw.rs`), for
//!   tables and strings beyond the bounds of LuaJIT (2^26 members and 2^31 bytes, a hundred times
//!   what the formats let through), and for the next key of a table that has lost the present one:
//!   that needs Lua code to run in between, and from then on keys are asked for in a protected call.
//! - A panic does not pass through Lua's frames: it is caught in the innermost one and goes on outside.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::{ptr, slice};

use mlua::{FromLua, IntoLua, IntoLuaMulti, Lua, Table, ffi};

/// Places that one step takes at most: what a container asks for before it is walked or made.
const STEP: c_int = 8;

/// Where the table stands through which values go to and from handles.
const EXCHANGE: c_int = 1;

/// Place of a value on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(c_int);

impl Slot {
    /// Number of the place.
    pub(super) fn number(self) -> u32 {
        self.0.unsigned_abs()
    }
}

impl From<u32> for Slot {
    fn from(number: u32) -> Self {
        Self(c_int::try_from(number).unwrap_or(c_int::MAX))
    }
}

/// A value as conversions see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Item<'a> {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(&'a [u8]),
    Table,
    Function,
    /// Userdata, threads and the like, which no message holds.
    Other,
}

/// See the module. Used by the call that made it only, not by functions that Lua calls meanwhile.
pub(crate) struct Stack<'l> {
    state: *mut ffi::lua_State,
    exchange: &'l Table,
    /// Lua code ran since the call began, and may have changed what is being walked.
    stirred: bool,
}

impl<'l> Stack<'l> {
    /// Runs `work` in a call of Lua whose arguments are on the stack. `exchange` is a table with
    /// room for one element.
    ///
    /// # Errors
    /// No room for the arguments.
    pub(crate) fn run<R>(
        lua: &Lua,
        exchange: &'l Table,
        args: impl IntoLuaMulti,
        work: impl FnOnce(&mut Stack<'l>) -> R,
    ) -> mlua::Result<R> {
        let mut result = None;
        // SAFETY: nothing raises in the closure, see the module, and it leaves no value.
        unsafe {
            lua.exec_raw::<()>((exchange, args), |state| {
                let mut stack = Stack { state, exchange, stirred: false };
                result = Some(catch_unwind(AssertUnwindSafe(|| work(&mut stack))));
                ffi::lua_settop(state, 0);
            })?;
        }
        match result {
            Some(Ok(result)) => Ok(result),
            Some(Err(panic)) => resume_unwind(panic),
            None => Err(mlua::Error::runtime("the call did not run")),
        }
    }

    /// An argument of [`run`](Self::run), the first is 0.
    pub(crate) fn argument(&self, index: usize) -> Slot {
        Slot(EXCHANGE + 1 + c_int::try_from(index).unwrap_or(c_int::MAX / 2))
    }

    /// All places, from the first argument on.
    pub(super) fn places(&self) -> impl Iterator<Item = Slot> + use<> {
        (EXCHANGE + 1..=self.top().0).map(Slot)
    }

    /// The last value.
    pub(super) fn top(&self) -> Slot {
        // SAFETY: only looks.
        Slot(unsafe { ffi::lua_gettop(self.state) })
    }

    /// Takes off what stands above a place.
    #[inline]
    pub(super) fn cut(&mut self, top: Slot) {
        debug_assert!(top <= self.top(), "nothing to take off");
        if top.0 >= EXCHANGE {
            // SAFETY: not below the bottom; places that are not there yet would be nil.
            unsafe { ffi::lua_settop(self.state, top.0) }
        }
    }

    /// Takes a value off if it is the last.
    #[inline]
    pub(super) fn drop_last(&mut self, at: Slot) {
        if at == self.top() {
            self.cut(Slot(at.0 - 1));
        }
    }

    /// What stands at a place.
    #[inline]
    pub(super) fn item(&self, at: Slot) -> Item<'_> {
        // SAFETY: any place may be looked at, and the type fits what is asked for. A string's bytes
        // stay while the stack is borrowed; Lua never gives a null pointer for one.
        unsafe {
            match ffi::lua_type(self.state, at.0) {
                ffi::LUA_TNIL | ffi::LUA_TNONE => Item::Nil,
                ffi::LUA_TBOOLEAN => Item::Boolean(ffi::lua_toboolean(self.state, at.0) != 0),
                ffi::LUA_TNUMBER => Item::Number(ffi::lua_tonumber(self.state, at.0)),
                ffi::LUA_TSTRING => {
                    let mut length = 0;
                    let bytes = ffi::lua_tolstring(self.state, at.0, &raw mut length);
                    Item::Text(slice::from_raw_parts(bytes.cast(), length))
                }
                ffi::LUA_TTABLE => Item::Table,
                ffi::LUA_TFUNCTION => Item::Function,
                _ => Item::Other,
            }
        }
    }

    /// Bytes of a string; none of anything else.
    pub(super) fn text(&self, at: Slot) -> &[u8] {
        match self.item(at) {
            Item::Text(bytes) => bytes,
            _ => &[],
        }
    }

    fn is_table(&self, at: Slot) -> bool {
        // SAFETY: any place may be looked at.
        unsafe { ffi::lua_type(self.state, at.0) == ffi::LUA_TTABLE }
    }

    /// Address of a table, its identity while it lives.
    pub(super) fn pointer(&self, at: Slot) -> *const c_void {
        // SAFETY: any place may be looked at.
        unsafe { ffi::lua_topointer(self.state, at.0) }
    }

    /// Elements of a table's sequence, without metamethods.
    pub(super) fn len(&self, table: Slot) -> usize {
        // SAFETY: only looks.
        if self.is_table(table) { unsafe { ffi::lua_objlen(self.state, table.0) } } else { 0 }
    }

    /// Address of a table's metatable, null when it has none.
    #[inline]
    pub(super) fn metatable(&self, table: Slot) -> *const c_void {
        // SAFETY: any place may be asked, and the answer goes again.
        unsafe {
            if ffi::lua_getmetatable(self.state, table.0) == 0 {
                return ptr::null();
            }
            let pointer = ffi::lua_topointer(self.state, -1);
            ffi::lua_settop(self.state, -2);
            pointer
        }
    }

    /// Makes room for one step.
    ///
    /// # Errors
    /// Lua's limit, near 8,000 places of one call.
    #[inline]
    pub(super) fn room(&mut self) -> mlua::Result<()> {
        // SAFETY: refuses where there is none, and protects itself where memory is needed.
        if unsafe { ffi::lua_checkstack(self.state, STEP) } == 0 {
            return Err(mlua::Error::StackError);
        }
        Ok(())
    }

    /// Puts a metatable on the stack; nil when there is none.
    pub(super) fn push_metatable(&mut self, table: Slot) -> Slot {
        // SAFETY: any place may be asked.
        unsafe {
            if ffi::lua_getmetatable(self.state, table.0) == 0 {
                ffi::lua_pushnil(self.state);
            }
        }
        self.top()
    }

    /// Puts nil on the stack, for a value to come.
    pub(super) fn push_nil(&mut self) -> Slot {
        // SAFETY: a push.
        unsafe { ffi::lua_pushnil(self.state) };
        self.top()
    }

    /// Copies a value to a place that has one already.
    pub(super) fn copy(&mut self, from: Slot, to: Slot) {
        if to < self.top() {
            // SAFETY: the place is below the copy that is pushed.
            unsafe {
                ffi::lua_pushvalue(self.state, from.0);
                ffi::lua_replace(self.state, to.0);
            }
        }
    }

    /// Puts an element of a table's sequence on the stack, from 1; nil beyond it.
    #[inline]
    pub(super) fn push_element(&mut self, table: Slot, index: usize) -> Slot {
        match c_int::try_from(index) {
            // SAFETY: it is a table.
            Ok(index) if self.is_table(table) => unsafe {
                ffi::lua_rawgeti_(self.state, table.0, index);
            },
            _ => return self.push_nil(),
        }
        self.top()
    }

    /// Puts a member of a table on the stack, without metamethods; nil when there is none.
    #[inline]
    pub(super) fn push_member(&mut self, table: Slot, key: Slot) -> Slot {
        if !self.is_table(table) {
            return self.push_nil();
        }
        // SAFETY: a table, and a key at the top, which the value replaces.
        unsafe {
            ffi::lua_pushvalue(self.state, key.0);
            ffi::lua_rawget_(self.state, table.0);
        }
        self.top()
    }

    /// Calls `visit` with each key and value of a table, without metamethods; what it leaves on the
    /// stack is taken off.
    ///
    /// # Errors
    /// Those of `visit`; no room; a table that Lua code changed meanwhile.
    #[inline]
    pub(super) fn each(
        &mut self,
        table: Slot,
        mut visit: impl FnMut(&mut Self, Slot, Slot) -> mlua::Result<()>,
    ) -> mlua::Result<()> {
        self.room()?;
        let key = self.push_nil();
        let value = Slot(key.0 + 1);
        let result = loop {
            // The last key goes by itself.
            match self.next(table) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
            if let Err(error) = visit(self, key, value) {
                break Err(error);
            }
            self.cut(key);
        };
        if result.is_err() {
            self.cut(Slot(key.0 - 1));
        }
        result
    }

    /// Puts the key after the one at the top in its place, and its value above; takes it off when it
    /// is the last.
    #[inline]
    fn next(&mut self, table: Slot) -> mlua::Result<bool> {
        if !self.is_table(table) {
            self.cut(Slot(self.top().0 - 1));
            return Ok(false);
        }
        if self.stirred {
            return self.next_protected(table);
        }
        // SAFETY: a table, and a key of it above: nobody removes a key while no Lua code runs.
        Ok(unsafe { ffi::lua_next(self.state, table.0) != 0 })
    }

    #[cold]
    fn next_protected(&mut self, table: Slot) -> mlua::Result<bool> {
        unsafe extern "C-unwind" fn next(state: *mut ffi::lua_State) -> c_int {
            // SAFETY: called with a table and a key; no value with a destructor is on this frame.
            unsafe { if ffi::lua_next(state, 1) == 0 { 0 } else { 2 } }
        }
        // SAFETY: the key at the top becomes the second argument; `pcall` lets no error through and
        // leaves nothing, two values, or a message.
        unsafe {
            let before = ffi::lua_gettop(self.state) - 1;
            ffi::lua_pushcfunction(self.state, next);
            ffi::lua_insert(self.state, -2);
            ffi::lua_pushvalue(self.state, table.0);
            ffi::lua_insert(self.state, -2);
            if ffi::lua_pcall(self.state, 2, ffi::LUA_MULTRET, 0) != ffi::LUA_OK {
                ffi::lua_settop(self.state, before);
                return Err(mlua::Error::runtime("a table was changed while it was written"));
            }
            Ok(ffi::lua_gettop(self.state) > before)
        }
    }

    /// A handle of a value.
    pub(super) fn handle<T: FromLua>(&mut self, at: Slot) -> mlua::Result<T> {
        self.stirred = true;
        // SAFETY: the exchange is a table with room for the element, and is in its place.
        unsafe {
            ffi::lua_pushvalue(self.state, at.0);
            ffi::lua_rawseti_(self.state, EXCHANGE, 1);
        }
        let handle = self.exchange.raw_get(1);
        self.exchange.raw_set(1, mlua::Nil)?;
        handle
    }

    /// Puts the value of a handle on the stack.
    pub(super) fn push(&mut self, value: impl IntoLua) -> mlua::Result<Slot> {
        self.stirred = true;
        self.room()?;
        self.exchange.raw_set(1, value)?;
        let at = self.push_element(Slot(EXCHANGE), 1);
        self.exchange.raw_set(1, mlua::Nil)?;
        Ok(at)
    }

    /// Puts a string on the stack.
    #[inline]
    pub(super) fn push_text(&mut self, text: &[u8]) -> Slot {
        self.push_bytes(text);
        self.top()
    }

    #[inline]
    fn push_bytes(&mut self, text: &[u8]) {
        // SAFETY: the bytes are copied, or found among the strings there are.
        unsafe { ffi::lua_pushlstring_(self.state, text.as_ptr().cast(), text.len()) }
    }

    /// Puts a new table on the stack, with room for elements and members.
    #[inline]
    pub(super) fn push_table(&mut self, elements: usize, members: usize) -> Slot {
        let count = |value| c_int::try_from(value).unwrap_or(0);
        // SAFETY: a push.
        unsafe { ffi::lua_createtable(self.state, count(elements), count(members)) };
        self.top()
    }

    /// Puts a value on the stack.
    #[inline]
    fn push_node(&mut self, value: Node) {
        // SAFETY: pushes; any place may be copied.
        unsafe {
            match value {
                Node::Nil => ffi::lua_pushnil(self.state),
                Node::Boolean(value) => ffi::lua_pushboolean(self.state, value.into()),
                Node::Number(value) => ffi::lua_pushnumber(self.state, value),
                Node::At(at) => ffi::lua_pushvalue(self.state, at.0),
            }
        }
    }

    /// Sets a member of a table, without metamethods.
    #[inline]
    pub(super) fn set(&mut self, table: Slot, key: &[u8], value: Node) {
        self.push_bytes(key);
        self.push_node(value);
        self.set_top(table);
    }

    /// Sets a member whose key may be anything but nil and what is no number; nothing is set for
    /// those.
    pub(super) fn set_any(&mut self, table: Slot, key: Node, value: Node) {
        self.push_node(key);
        match self.item(self.top()) {
            Item::Nil => return self.cut(Slot(self.top().0 - 1)),
            Item::Number(number) if number.is_nan() => {
                return self.cut(Slot(self.top().0 - 1));
            }
            _ => {}
        }
        self.push_node(value);
        self.set_top(table);
    }

    /// Sets the member whose key and value are at the top, and takes them off.
    #[inline]
    fn set_top(&mut self, table: Slot) {
        if self.is_table(table) {
            // SAFETY: a table, and a key that is allowed.
            unsafe { ffi::lua_rawset(self.state, table.0) }
        } else {
            debug_assert!(false, "no table to set a member of");
            self.cut(Slot(self.top().0 - 2));
        }
    }

    /// Sets an element of a table, from 1.
    #[inline]
    pub(super) fn set_element(&mut self, table: Slot, index: usize, value: Node) {
        let Ok(index) = c_int::try_from(index) else { return };
        if self.is_table(table) {
            self.push_node(value);
            // SAFETY: a table, and a value at the top.
            unsafe { ffi::lua_rawseti_(self.state, table.0, index) }
        }
    }

    /// Gives a table a metatable.
    pub(super) fn set_metatable(&mut self, table: Slot, meta: Slot) {
        if self.is_table(table) && self.is_table(meta) {
            // SAFETY: both are tables; this runs nothing.
            unsafe {
                ffi::lua_pushvalue(self.state, meta.0);
                ffi::lua_setmetatable(self.state, table.0);
            }
        }
    }
}

/// A value to put into a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Node {
    Nil,
    Boolean(bool),
    Number(f64),
    At(Slot),
}
