//! Externalizable AMF3 objects, read and written by scripts (BIO-01..03).

use std::cell::RefCell;

use mlua::{IntoLua, Lua, LuaString, MultiValue, Table, Value};
use ramona_amf::{Amf3Encoder, DecodeError, ExternalBody};

use super::from_amf::MAX_VALUES;
use super::stack::{Item, Slot, Stack};
use super::tables::{Error, Handle, Tables};
use super::walk::Walk;
use crate::core::Core;

/// Runs the script's reader over the body of an object.
pub(super) fn read(
    tables: &mut Tables<'_, '_>,
    object: Table,
    body: &mut ExternalBody<'_, '_, Handle>,
) -> Result<(), Error> {
    let (lua, hooks) = (tables.lua(), tables.hooks());
    let name = lua.create_string(body.type_name())?;
    // What stopped the reader, which it may have caught.
    let failure = RefCell::new(None);
    let state = RefCell::new((tables, body));
    let read = hooks.read_external.clone();
    let succeeded: bool = lua.scope(|scope| {
        let next = scope.create_function(|lua, (kind, count): (LuaString, Option<f64>)| {
            // A handler of an object inside this one holds the reader of the outer one.
            let Ok(mut state) = state.try_borrow_mut() else {
                return Err(mlua::Error::runtime("this reader waits for an object inside"));
            };
            let (tables, body) = &mut *state;
            item(lua, tables, body, &kind.as_bytes(), count).map_err(|error| {
                let text = error.to_string();
                failure.borrow_mut().get_or_insert(error);
                mlua::Error::runtime(text)
            })
        })?;
        read.call((object, name, next))
    })?;
    match failure.into_inner() {
        Some(error) => Err(error),
        None if succeeded => Ok(()),
        None => Err(Error::Lua(mlua::Error::runtime("__readExternal failed"))),
    }
}

fn item(
    lua: &Lua,
    tables: &mut Tables<'_, '_>,
    body: &mut ExternalBody<'_, '_, Handle>,
    kind: &[u8],
    count: Option<f64>,
) -> Result<MultiValue, Error> {
    // Saturating: a count beyond the body is truncation.
    let count = count.unwrap_or(0.0).max(0.0) as usize;
    if kind == b"amf" {
        return tables.inside(lua, |tables| {
            let mut values = Vec::new();
            for _ in 0..count.min(MAX_VALUES) {
                let handle = body.value(tables)?;
                values.push(tables.value(handle)?);
            }
            Ok(MultiValue::from_vec(values))
        })?;
    }
    let value = match kind {
        b"boolean" => Value::Boolean(array::<1>(body)? != [0]),
        b"byte" => Value::Number(f64::from(i8::from_be_bytes(array(body)?))),
        b"ubyte" => Value::Number(f64::from(u8::from_be_bytes(array(body)?))),
        b"short" => Value::Number(f64::from(i16::from_be_bytes(array(body)?))),
        b"ushort" => Value::Number(f64::from(u16::from_be_bytes(array(body)?))),
        b"int" => Value::Number(f64::from(i32::from_be_bytes(array(body)?))),
        b"uint" => Value::Number(f64::from(u32::from_be_bytes(array(body)?))),
        b"float" => Value::Number(f64::from(f32::from_be_bytes(array(body)?))),
        b"double" => Value::Number(f64::from_be_bytes(array(body)?)),
        b"utf" => {
            let length = u16::from_be_bytes(array(body)?);
            lua.create_string(body.bytes(usize::from(length))?)?.into_lua(lua)?
        }
        _ => lua.create_string(body.bytes(count)?)?.into_lua(lua)?,
    };
    Ok(MultiValue::from_vec(vec![value]))
}

fn array<const N: usize>(body: &mut ExternalBody<'_, '_, Handle>) -> Result<[u8; N], DecodeError> {
    let mut bytes = [0; N];
    bytes.copy_from_slice(body.bytes(N)?);
    Ok(bytes)
}

impl Walk<'_> {
    /// Writes an object by its own `__writeExternal`; null when that fails.
    pub(super) fn amf3_external(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut Amf3Encoder<'_>,
        table: Slot,
        name: Slot,
        depth: usize,
    ) -> mlua::Result<()> {
        let (object, type_name): (Table, LuaString) = (stack.handle(table)?, stack.handle(name)?);
        let parts: Option<Table> = self.marks.write_external.call((object, type_name))?;
        let Some(parts) = parts else {
            out.null();
            return Ok(());
        };
        let index = match out.begin_external(stack.text(name)) {
            Ok(index) => index,
            Err(_) => {
                self.notes.long += 1;
                out.null();
                return Ok(());
            }
        };
        self.amf3.insert(stack.pointer(table), index);
        let list = stack.push(&parts)?;
        self.kept.push(parts);
        for at in 1..=stack.len(list) {
            let part = stack.push_element(list, at);
            match stack.item(part) {
                Item::Text(bytes) => out.external_bytes(bytes),
                Item::Table => {
                    let value = stack.push_element(part, 1);
                    self.amf3(stack, out, value, depth + 1)?;
                }
                _ => {}
            }
            stack.cut(list);
        }
        out.end_external();
        Ok(())
    }
}

impl Core {
    pub(crate) fn add_external_natives(&self) -> mlua::Result<()> {
        // Integers are cut to their size, as AS3 does.
        self.native("pack_number", |_, lua, (kind, number): (LuaString, f64)| {
            let whole = number as i64;
            let bytes: &[u8] = match &*kind.as_bytes() {
                b"byte" => &(whole as u8).to_be_bytes(),
                b"short" => &(whole as u16).to_be_bytes(),
                b"int" => &(whole as u32).to_be_bytes(),
                b"float" => &(number as f32).to_be_bytes(),
                _ => &number.to_be_bytes(),
            };
            lua.create_string(bytes).map(Some)
        })
    }
}
