//! JSON, XML-RPC, XML and query strings, read into and written from any value type, without
//! input or output.
//!
//! - [`read_json`], [`read_xmlrpc`], [`read_xml`], [`read_xml_body`] and [`read_query`] check a
//!   whole text and answer a [`Document`], which hands its values to a
//!   [`Builder`](ramona_amf::Builder), the receiver of AMF too.
//! - [`JsonEncoder`], [`XmlRpcEncoder`], [`XmlArrayEncoder`] and [`QueryEncoder`] append to a
//!   `Vec<u8>`; the caller walks its own data through the trait [`Encoder`], or writes
//!   elements with [`XmlDocumentEncoder`].
//! - [`read_values`] and [`write_value`] do the same with trees of [`Value`](ramona_amf::Value).
//! - [`typed_text`] gives a text the type that it looks like.
//!
//! Strings are bytes to both sides; what JSON and XML cannot hold travels as base64. Everything a
//! peer can grow has a limit in [`limits`].
//!
//! ```
//! use ramona_amf::{Value, ValueBuilder};
//! use ramona_formats::{Encoder, JsonEncoder, read_json};
//!
//! let mut text = Vec::new();
//! let mut json = JsonEncoder::list(&mut text);
//! json.string(b"onChat");
//! json.begin_object(None)?;
//! json.key(b"x")?;
//! json.number(1.0);
//! json.end_object();
//! json.finish();
//! assert_eq!(text, br#"["onChat",{"x":1}]"#);
//!
//! let mut values = ValueBuilder::default();
//! let mut document = read_json(&text)?;
//! let node = document.next(&mut values)?.ok_or("two values")?;
//! assert_eq!(values.finish(node)?, Value::from("onChat"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod binary;
mod date;
mod document;
mod encoder;
mod error;
pub mod fuzz;
mod json;
pub mod limits;
mod query;
mod text;
mod value;
mod xml;
mod xmlrpc;

pub use document::{Document, Kind};
pub use encoder::Encoder;
pub use error::{Problem, ReadError, WriteError};
pub use json::{JsonEncoder, read_json};
pub use query::{QueryEncoder, read_query};
pub use text::{TypedText, typed_text};
pub use value::{read_values, write_value};
pub use xml::{XmlArrayEncoder, XmlDocumentEncoder, read_xml, read_xml_body};
pub use xmlrpc::{XmlRpcEncoder, read_xmlrpc};
