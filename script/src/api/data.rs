//! What the persistent table `data` asks of the host, and the form of its keys.
//!
//! A key is the names on the way to an entry, each with its zero bytes written as `00 FF` and
//! ended by `00 01`: no key is the beginning of another one but of those in its table.

use bytes::Bytes;
use mlua::{Lua, LuaString, Table, Value};

use crate::core::Core;
use crate::host::{DataChange, LogLevel};

/// The names on the way to an entry of `data` as one key ([`DataChange`]).
pub fn data_key<K: AsRef<[u8]>>(parts: &[K]) -> Vec<u8> {
    let mut key = Vec::new();
    for part in parts {
        for byte in part.as_ref() {
            key.push(*byte);
            if *byte == 0 {
                key.push(0xFF);
            }
        }
        key.extend_from_slice(&[0, 1]);
    }
    key
}

/// The names of a key; `None` when it is none.
fn parts_of(key: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    let mut bytes = key.iter();
    while let Some(byte) = bytes.next() {
        match (byte, if *byte == 0 { bytes.next() } else { None }) {
            (0, Some(0xFF)) => part.push(0),
            (0, Some(1)) => parts.push(std::mem::take(&mut part)),
            (0, _) => return None,
            (byte, _) => part.push(*byte),
        }
    }
    (part.is_empty() && !parts.is_empty()).then_some(parts)
}

impl Core {
    pub(crate) fn add_data_natives(&self) -> mlua::Result<()> {
        self.native("data_refused", |core, _, ()| {
            core.data_refused.set(core.data_refused.get() + 1);
            Ok(())
        })?;
        self.native("save_data", |core, _, changes: Table| {
            let mut list = Vec::with_capacity(changes.raw_len());
            for change in changes.sequence_values::<Table>() {
                let change = change?;
                let key = Bytes::copy_from_slice(&change.raw_get::<LuaString>(1)?.as_bytes());
                list.push(match change.raw_get::<Value>(2)? {
                    Value::String(text) => {
                        DataChange::Set(key, Bytes::copy_from_slice(&text.as_bytes()))
                    }
                    Value::Boolean(_) => DataChange::Table(key),
                    _ => DataChange::Remove(key),
                });
            }
            core.host.save_data(list);
            Ok(())
        })
    }

    /// Loads `data` (DAT-07), before the root.
    pub(crate) fn load_data(&self, lua: &Lua) {
        let result = self.shared_event("load_data").and_then(|load| {
            for change in self.host.load_data() {
                let (key, value) = match change {
                    DataChange::Set(key, value) => (key, Value::String(lua.create_string(value)?)),
                    DataChange::Table(key) => (key, Value::Boolean(false)),
                    DataChange::Remove(_) => continue,
                };
                let parts = parts_of(&key).map(|parts| {
                    let parts = parts.into_iter().map(|part| lua.create_string(part));
                    lua.create_sequence_from(parts.collect::<mlua::Result<Vec<_>>>()?)
                });
                let fits = match parts.transpose()? {
                    Some(parts) => load.call::<bool>((parts, value))?,
                    None => false,
                };
                if !fits {
                    let text = format!("data: entry '{}' does not fit", key.escape_ascii());
                    self.log_app(LogLevel::Error, "", text.as_bytes());
                }
            }
            Ok(())
        });
        if let Err(error) = result {
            self.internal_error("data", &error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{data_key, parts_of};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_are_their_names(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 1..5)) {
            prop_assert_eq!(parts_of(&data_key(&parts)), Some(parts));
        }

        #[test]
        fn any_bytes_are_a_key_or_none(bytes in prop::collection::vec(0u8..4, 0..9)) {
            if let Some(parts) = parts_of(&bytes) {
                prop_assert_eq!(data_key(&parts), bytes);
            }
        }
    }
}
