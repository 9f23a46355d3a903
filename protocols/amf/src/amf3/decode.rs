//! Reading AMF3.

use super::marker;
use super::tables::Traits;
use crate::builder::{Builder, Container};
use crate::decoder::{Decoder, ExternalBody};
use crate::error::DecodeError;

/// The one externalizable type that everybody sends: Flex wraps its lists in it. Its body is one
/// value, the inner array (BIO-01).
const ARRAY_COLLECTION: &[u8] = b"flex.messaging.io.ArrayCollection";

impl<'a, V: Clone> Decoder<'a, V> {
    /// Reads one AMF3 value that stands `depth` containers deep.
    #[inline]
    pub(crate) fn read_amf3<B>(&mut self, builder: &mut B, depth: usize) -> Result<V, B::Error>
    where
        B: Builder<Value = V>,
    {
        let marker = self.cursor.u8()?;
        match marker {
            marker::INTEGER => {
                // 29 bits, two's complement: the sign is moved up to bit 31 and back.
                let value = self.cursor.u29()?;
                builder.number(f64::from((value << 3).cast_signed() >> 3))
            }
            marker::DOUBLE => builder.number(self.cursor.f64()?),
            marker::STRING => {
                let value = self.amf3_string()?;
                builder.string(value)
            }
            marker::TRUE => builder.boolean(true),
            marker::FALSE => builder.boolean(false),
            marker::NULL => builder.null(),
            marker::UNDEFINED => builder.undefined(),
            _ => self.read_amf3_other(builder, depth, marker),
        }
    }

    #[inline(never)]
    fn read_amf3_other<B>(
        &mut self,
        builder: &mut B,
        depth: usize,
        marker: u8,
    ) -> Result<V, B::Error>
    where
        B: Builder<Value = V>,
    {
        let offset = self.cursor.offset() - 1;
        let unsupported = |what| Err(DecodeError::Unsupported { what, offset }.into());
        match marker {
            marker::DATE
            | marker::ARRAY
            | marker::OBJECT
            | marker::BYTE_ARRAY
            | marker::DICTIONARY => {}
            marker::XML_DOCUMENT => return unsupported("XMLDocument"),
            marker::XML => return unsupported("XML"),
            marker::VECTOR_INT
            | marker::VECTOR_UINT
            | marker::VECTOR_DOUBLE
            | marker::VECTOR_OBJECT => return unsupported("Vector"),
            _ => return Err(DecodeError::UnknownMarker { marker, offset }.into()),
        }
        let header = self.cursor.u29()?;
        let rest = (header >> 1) as usize;
        if header & 1 == 0 {
            let found = self.amf3.container(rest);
            return found.ok_or_else(|| DecodeError::BadReference { index: rest, offset }.into());
        }
        self.check_containers()?;
        match marker {
            marker::DATE => {
                let value = builder.date(self.cursor.f64()?)?;
                self.amf3.add_container(value.clone());
                Ok(value)
            }
            marker::BYTE_ARRAY => {
                let value = builder.byte_array(self.cursor.take(rest)?)?;
                self.amf3.add_container(value.clone());
                Ok(value)
            }
            marker::ARRAY => self.read_array(builder, depth, rest),
            marker::DICTIONARY => self.read_dictionary(builder, depth, rest),
            _ => self.read_object(builder, depth, rest),
        }
    }

    fn read_array<B>(&mut self, builder: &mut B, depth: usize, count: usize) -> Result<V, B::Error>
    where
        B: Builder<Value = V>,
    {
        let inner = self.enter(depth)?;
        self.check_count(count, 1)?;
        let container = builder.begin(Container::Array { len_hint: count })?;
        self.amf3.add_container(container.clone());
        self.read_dynamic(builder, inner, &container)?;
        for index in 0..count {
            let value = self.read_amf3(builder, inner)?;
            builder.element(&container, index, value)?;
        }
        builder.end(&container)?;
        Ok(container)
    }

    fn read_dictionary<B>(
        &mut self,
        builder: &mut B,
        depth: usize,
        len: usize,
    ) -> Result<V, B::Error>
    where
        B: Builder<Value = V>,
    {
        let inner = self.enter(depth)?;
        let weak = self.cursor.u8()? != 0;
        // A key and a value take a byte each at least.
        self.check_count(len, 2)?;
        let container = builder.begin(Container::Dictionary { weak, len })?;
        self.amf3.add_container(container.clone());
        for _ in 0..len {
            let key = self.read_amf3(builder, inner)?;
            let value = self.read_amf3(builder, inner)?;
            builder.entry(&container, key, value)?;
        }
        builder.end(&container)?;
        Ok(container)
    }

    /// `header` is the U29 of the object without its reference flag.
    fn read_object<B>(
        &mut self,
        builder: &mut B,
        depth: usize,
        header: usize,
    ) -> Result<V, B::Error>
    where
        B: Builder<Value = V>,
    {
        let inner = self.enter(depth)?;
        let traits = self.read_traits(header)?;
        if traits.externalizable {
            return self.read_external(builder, inner, traits.type_name);
        }
        let type_name = (!traits.type_name.is_empty()).then_some(traits.type_name);
        let container = builder.begin(Container::Object { type_name })?;
        self.amf3.add_container(container.clone());
        for index in 0..traits.sealed {
            let key = self.amf3.sealed_name(&traits, index);
            let value = self.read_amf3(builder, inner)?;
            builder.member(&container, key, value)?;
        }
        if traits.dynamic {
            self.read_dynamic(builder, inner, &container)?;
        }
        builder.end(&container)?;
        Ok(container)
    }

    fn read_traits(&mut self, header: usize) -> Result<Traits<'a>, DecodeError> {
        let offset = self.cursor.offset();
        if header & 1 == 0 {
            let index = header >> 1;
            let found = self.amf3.traits(index);
            let traits = found.ok_or(DecodeError::BadReference { index, offset })?;
            self.amf3.expand_traits(&traits, offset)?;
            return Ok(traits);
        }
        let (externalizable, dynamic) = (header & 2 != 0, header & 4 != 0);
        // The count means nothing in an externalizable class, which has no members.
        let count = if externalizable { 0 } else { header >> 3 };
        self.amf3.check_sealed(count, offset)?;
        self.check_count(count, 1)?;
        let mut traits = Traits::new(self.amf3_string()?, dynamic, externalizable);
        for _ in 0..count {
            let name = self.amf3_string()?;
            self.amf3.add_sealed(&mut traits, name);
        }
        self.amf3.add_traits(traits);
        Ok(traits)
    }

    #[inline(never)]
    fn read_external<B>(
        &mut self,
        builder: &mut B,
        inner: usize,
        type_name: &'a [u8],
    ) -> Result<V, B::Error>
    where
        B: Builder<Value = V>,
    {
        if let Some(object) = builder.begin_external(type_name)? {
            self.amf3.add_container(object.clone());
            let mut body = ExternalBody { decoder: self, type_name, depth: inner };
            builder.read_external(&object, &mut body)?;
            builder.end(&object)?;
            return Ok(object);
        }
        if type_name == ARRAY_COLLECTION {
            // A reference to the collection from within the array means the array.
            let place = self.amf3.add_next();
            let array = self.read_amf3(builder, inner)?;
            self.amf3.settle(place, array.clone());
            return Ok(array);
        }
        let type_name = type_name.get(..64).unwrap_or(type_name).into();
        let offset = self.cursor.offset();
        Err(DecodeError::Externalizable { type_name, offset }.into())
    }

    /// Members by name, up to the empty name.
    fn read_dynamic<B>(
        &mut self,
        builder: &mut B,
        inner: usize,
        container: &V,
    ) -> Result<(), B::Error>
    where
        B: Builder<Value = V>,
    {
        loop {
            let key = self.amf3_string()?;
            if key.is_empty() {
                return Ok(());
            }
            let value = self.read_amf3(builder, inner)?;
            builder.member(container, key, value)?;
        }
    }

    /// A string without its marker (§1.3.2): inline, or by reference to an earlier one.
    #[inline]
    fn amf3_string(&mut self) -> Result<&'a [u8], DecodeError> {
        let offset = self.cursor.offset();
        let header = self.cursor.u29()?;
        let rest = (header >> 1) as usize;
        if header & 1 == 0 {
            return self.referenced_string(rest, offset);
        }
        let string = self.cursor.take(rest)?;
        // The empty string is never sent by reference, so it takes no index.
        if rest != 0 {
            self.amf3.add_string(offset);
        }
        Ok(string)
    }

    #[inline(never)]
    fn referenced_string(&mut self, index: usize, offset: usize) -> Result<&'a [u8], DecodeError> {
        let found = self.amf3.string(index);
        let start = found.ok_or(DecodeError::BadReference { index, offset })?;
        let mut at = self.cursor.at(start);
        let length = (at.u29()? >> 1) as usize;
        let string = at.take(length)?;
        self.amf3.expand(length, offset)?;
        Ok(string)
    }
}
