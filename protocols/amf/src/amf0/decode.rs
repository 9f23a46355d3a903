//! Reading AMF0.

use super::marker;
use crate::builder::{Builder, Container};
use crate::decoder::Decoder;
use crate::error::DecodeError;

impl<'a, V: Clone> Decoder<'a, V> {
    /// Reads one AMF0 value that stands `depth` containers deep.
    #[inline]
    pub(crate) fn read_amf0<B>(&mut self, builder: &mut B, depth: usize) -> Result<V, B::Error>
    where
        B: Builder<Value = V>,
    {
        let marker = self.cursor.u8()?;
        match marker {
            marker::NUMBER => builder.number(self.cursor.f64()?),
            marker::STRING => builder.string(self.amf0_string()?),
            marker::BOOLEAN => builder.boolean(self.cursor.u8()? != 0),
            marker::NULL => builder.null(),
            marker::AVMPLUS => self.read_amf3(builder, depth),
            _ => self.read_amf0_other(builder, depth, marker),
        }
    }

    #[inline(never)]
    fn read_amf0_other<B>(
        &mut self,
        builder: &mut B,
        depth: usize,
        marker: u8,
    ) -> Result<V, B::Error>
    where
        B: Builder<Value = V>,
    {
        let offset = self.cursor.offset() - 1;
        match marker {
            marker::OBJECT => {
                self.read_amf0_members(builder, depth, Container::Object { type_name: None })
            }
            marker::ECMA_ARRAY => {
                // The count lies often enough in the field (0, or without the numbered members)
                // that everybody reads up to the end marker.
                self.cursor.u32()?;
                self.read_amf0_members(builder, depth, Container::EcmaArray)
            }
            marker::TYPED_OBJECT => {
                let name = self.amf0_string()?;
                let type_name = (!name.is_empty()).then_some(name);
                self.read_amf0_members(builder, depth, Container::Object { type_name })
            }
            marker::STRICT_ARRAY => self.read_amf0_array(builder, depth),
            marker::REFERENCE => {
                let index = usize::from(self.cursor.u16()?);
                let found = self.amf0_containers.get(index).cloned();
                found.ok_or_else(|| DecodeError::BadReference { index, offset }.into())
            }
            marker::UNDEFINED | marker::UNSUPPORTED => builder.undefined(),
            marker::DATE => {
                let ms = self.cursor.f64()?;
                // Time zone: reserved, should be zero, to be ignored (§2.13).
                self.cursor.u16()?;
                builder.date(ms)
            }
            marker::LONG_STRING => {
                let length = self.cursor.u32()?;
                let length = usize::try_from(length).map_err(|_| self.cursor.truncated())?;
                builder.string(self.cursor.take(length)?)
            }
            marker::MOVIE_CLIP => {
                Err(DecodeError::Unsupported { what: "MovieClip", offset }.into())
            }
            marker::RECORD_SET => {
                Err(DecodeError::Unsupported { what: "RecordSet", offset }.into())
            }
            marker::XML_DOCUMENT => {
                Err(DecodeError::Unsupported { what: "XMLDocument", offset }.into())
            }
            _ => Err(DecodeError::UnknownMarker { marker, offset }.into()),
        }
    }

    fn read_amf0_members<B>(
        &mut self,
        builder: &mut B,
        depth: usize,
        kind: Container<'_>,
    ) -> Result<V, B::Error>
    where
        B: Builder<Value = V>,
    {
        let inner = self.enter(depth)?;
        self.check_containers()?;
        let container = builder.begin(kind)?;
        self.amf0_containers.push(container.clone());
        loop {
            let key = self.amf0_string()?;
            // Only an empty key followed by the end marker ends: an empty name is a name too.
            if key.is_empty() && self.cursor.peek() == Some(marker::OBJECT_END) {
                self.cursor.u8()?;
                break;
            }
            let value = self.read_amf0(builder, inner)?;
            builder.member(&container, key, value)?;
        }
        builder.end(&container)?;
        Ok(container)
    }

    fn read_amf0_array<B>(&mut self, builder: &mut B, depth: usize) -> Result<V, B::Error>
    where
        B: Builder<Value = V>,
    {
        let inner = self.enter(depth)?;
        self.check_containers()?;
        let count = self.cursor.u32()?;
        let count = usize::try_from(count).map_err(|_| self.cursor.truncated())?;
        self.check_count(count, 1)?;
        let container = builder.begin(Container::Array { len_hint: count })?;
        self.amf0_containers.push(container.clone());
        for index in 0..count {
            let value = self.read_amf0(builder, inner)?;
            builder.element(&container, index, value)?;
        }
        builder.end(&container)?;
        Ok(container)
    }

    #[inline]
    fn amf0_string(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.cursor.u16()?;
        self.cursor.take(usize::from(length))
    }
}
