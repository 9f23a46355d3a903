//! Tables that the prelude gets from Rust.

use mlua::{Lua, Table, Value};

use crate::api::names::NAMES;
use crate::value::text::typed_value;

/// `{ {key, value}, … }` with typed values (GEN-15).
pub(crate) fn typed_list<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    lua: &Lua,
    entries: &[(K, V)],
) -> mlua::Result<Table> {
    let list = lua.create_table_with_capacity(entries.len(), 0)?;
    for (index, (key, value)) in entries.iter().enumerate() {
        let entry = lua.create_table_with_capacity(2, 0)?;
        entry.raw_seti(1, lua.create_string(key.as_ref())?)?;
        entry.raw_seti(2, typed_value(lua, value.as_ref())?)?;
        list.raw_seti(index + 1, entry)?;
    }
    Ok(list)
}

/// The table of built-in names for the prelude: class -> name -> kind.
pub(crate) fn names_table(lua: &Lua) -> mlua::Result<Table> {
    let classes = lua.create_table()?;
    for (class, kind, _, names) in NAMES {
        let table: Table = match classes.raw_get(*class)? {
            Value::Table(table) => table,
            _ => {
                let table = lua.create_table()?;
                classes.raw_set(*class, &table)?;
                table
            }
        };
        for name in *names {
            table.raw_set(*name, kind.word())?;
        }
    }
    Ok(classes)
}
