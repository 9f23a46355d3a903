//! JSON, XML-RPC, XML and query strings to Lua (CNV-20..35).

use mlua::{Lua, Value};
use ramona_formats as formats;
use ramona_formats::{Document, Kind};

use super::from_amf::MAX_VALUES;
use super::tables::{Error, Tables, Typed};
use crate::core::Hooks;
use crate::host::Format;

/// Reads a whole text, of which nothing is handed on yet. JSON of a message must be an array or an
/// object (WSK-01), and XML-RPC is known by its root; a conversion reads what it is told.
///
/// # Errors
/// It is no text of the format.
pub(crate) fn read(format: Format, is_message: bool, text: &[u8]) -> Result<Document, String> {
    let read = match format {
        Format::Json => formats::read_json(text),
        Format::XmlRpc if !is_message => formats::read_xmlrpc(text),
        Format::Xml if !is_message => formats::read_xml(text),
        Format::XmlRpc | Format::Xml => formats::read_xml_body(text),
        Format::Query => formats::read_query(text),
        Format::Amf0 | Format::Raw => return Err("no text".to_owned()),
    };
    let document = read.map_err(|error| error.to_string())?;
    if is_message && document.kind() == Kind::JsonScalar {
        return Err("neither array nor object".to_owned());
    }
    Ok(document)
}

/// Hands the values of a text to Lua and answers what was wrong, if anything.
pub(crate) fn values(
    lua: &Lua,
    hooks: &Hooks,
    typed: Typed<'_>,
    document: &mut Document,
    values: &mut Vec<Value>,
) -> Option<String> {
    let is_dom = document.kind() == Kind::XmlDom;
    let result = Tables::run(lua, hooks, typed, is_dom, |tables| -> Result<(), Error> {
        loop {
            if values.len() >= MAX_VALUES && document.remaining() > 0 {
                return Err(Error::TooMany);
            }
            let Some(handle) = document.next(tables)? else { return Ok(()) };
            values.push(tables.value(handle)?);
        }
    });
    let problem = result.unwrap_or_else(|error| Err(error.into())).err();
    problem.map(|problem| problem.to_string()).or_else(|| {
        let count = document.problem_count();
        let first = document.problems().first()?;
        Some(match count {
            1 => first.to_string(),
            _ => format!("{first} and {} more", count - 1),
        })
    })
}
