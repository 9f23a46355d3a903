//! AMF0 and AMF3, read into and written from any value type, without input or output.
//!
//! - [`Decoder`] reads values one after another and hands them to a [`Builder`], which makes
//!   whatever its caller works with (Lua tables, [`Value`]s). Containers are made before their
//!   members, so shared and cyclic references come out shared and cyclic.
//! - [`Amf0Encoder`] and [`Amf3Encoder`] append to a `Vec<u8>`; the caller walks its own data.
//! - [`Value`] is a plain tree for the commands that the node itself reads and writes;
//!   [`ValueDecoder`], [`decode_amf0_all`] and [`decode_amf3_all`] read it.
//!
//! Strings are bytes: never validated, never changed. Everything a peer can grow has a limit in
//! [`limits`].
//!
//! ```
//! use ramona_amf::{Amf0Encoder, Value, decode_amf0_all};
//!
//! let mut bytes = Vec::new();
//! let mut encoder = Amf0Encoder::new(&mut bytes);
//! encoder.string(b"connect")?;
//! encoder.number(1.0);
//! let (values, error) = decode_amf0_all(&bytes);
//! assert_eq!(values, [Value::from("connect"), Value::Number(1.0)]);
//! assert_eq!(error, None);
//! # Ok::<(), ramona_amf::EncodeError>(())
//! ```

#![forbid(unsafe_code)]

mod amf0;
mod amf3;
mod builder;
mod cursor;
mod decoder;
mod error;
pub mod fuzz;
pub mod limits;
mod value;
mod value_builder;
mod value_encode;

pub use amf0::{Amf0Encoder, Amf0Mark};
pub use amf3::Amf3Encoder;
pub use builder::{Builder, Container};
pub use decoder::{Decoder, ExternalBody};
pub use error::{DecodeError, EncodeError};
pub use limits::MAX_DEPTH;
pub use value::{Object, Value};
pub use value_builder::{ValueBuilder, ValueDecoder, ValueNode, decode_amf0_all, decode_amf3_all};
