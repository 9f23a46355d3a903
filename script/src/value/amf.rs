//! What is written the same way in both versions of AMF.

use ramona_amf::{Amf0Encoder, Amf3Encoder, EncodeError};

use super::stack::Item;
use super::walk::Walk;

/// The parts that both encoders have.
pub(crate) trait Amf {
    fn null(&mut self);
    fn boolean(&mut self, value: bool);
    fn number(&mut self, value: f64);
    fn string(&mut self, value: &[u8]) -> Result<(), EncodeError>;
    fn key(&mut self, key: &[u8]) -> Result<(), EncodeError>;
}

macro_rules! amf {
    ($encoder:ident) => {
        impl Amf for $encoder<'_> {
            fn null(&mut self) {
                $encoder::null(self);
            }
            fn boolean(&mut self, value: bool) {
                $encoder::boolean(self, value);
            }
            fn number(&mut self, value: f64) {
                $encoder::number(self, value);
            }
            fn string(&mut self, value: &[u8]) -> Result<(), EncodeError> {
                $encoder::string(self, value)
            }
            fn key(&mut self, key: &[u8]) -> Result<(), EncodeError> {
                $encoder::key(self, key)
            }
        }
    };
}

amf!(Amf0Encoder);
amf!(Amf3Encoder);

impl Walk<'_> {
    /// Writes what is no table.
    pub(crate) fn amf_scalar<O: Amf>(&mut self, out: &mut O, item: Item<'_>) {
        match item {
            Item::Nil => out.null(),
            Item::Boolean(value) => out.boolean(value),
            Item::Number(value) => out.number(value),
            Item::Text(value) => {
                if out.string(value).is_err() {
                    self.notes.long += 1;
                    out.null();
                }
            }
            Item::Table | Item::Function | Item::Other => {
                self.notes.omitted += 1;
                out.null();
            }
        }
    }

    /// Writes the name of a member; false when it is none.
    pub(super) fn amf_key<O: Amf>(&mut self, out: &mut O, key: &[u8]) -> bool {
        let written = out.key(key).is_ok();
        self.notes.keys += usize::from(!written);
        written
    }
}
