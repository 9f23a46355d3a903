//! AMF to Lua (CNV-10..14, 16, 17).

use mlua::{Lua, Value};
use ramona_amf::Decoder;

use super::tables::{Error, Message, Tables, Typed};
use crate::core::Hooks;

/// Values of one message that are handed to a script. Lua's own limit of a call is near 8,000
/// stack slots (LUAI_MAXCSTACK); a message of more values is cut, with an ERROR.
pub(crate) const MAX_VALUES: usize = 4_000;

/// Which version a message starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amf {
    Zero,
    Three,
}

/// Decodes the values of a message into `values` and answers what was wrong, if anything: then
/// the values before it are there (CNV-17).
pub(crate) fn decode(
    lua: &Lua,
    hooks: &Hooks,
    typed: Typed<'_>,
    version: Amf,
    bytes: &[u8],
    values: &mut Vec<Value>,
) -> Option<String> {
    let mut message = Message::new(lua, hooks, typed);
    let mut result = read(&mut Tables::without_stack(&mut message), version, bytes, values);
    // Most calls have no tables and no need of a stack. Nobody has seen anything of the others yet.
    if let Err(Error::NeedsStack) = result {
        values.clear();
        result =
            Tables::run(lua, hooks, typed, false, |tables| read(tables, version, bytes, values))
                .unwrap_or_else(|error| Err(error.into()));
    }
    result.err().map(|error| error.to_string())
}

fn read(
    tables: &mut Tables<'_, '_>,
    version: Amf,
    bytes: &[u8],
    values: &mut Vec<Value>,
) -> Result<(), Error> {
    let mut decoder = match version {
        Amf::Zero => Decoder::amf0(bytes),
        Amf::Three => Decoder::amf3(bytes),
    };
    while let Some(handle) = decoder.next(tables)? {
        if values.len() >= MAX_VALUES {
            return Err(Error::TooMany);
        }
        values.push(tables.value(handle)?);
    }
    Ok(())
}
