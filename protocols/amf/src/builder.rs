//! What a decoder needs of whoever receives its values.

use crate::decoder::ExternalBody;
use crate::error::DecodeError;

/// The kinds of container, as they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container<'a> {
    /// Members by name. A type name is never empty.
    Object {
        /// Class alias of a typed object.
        type_name: Option<&'a [u8]>,
    },
    /// AMF0 strict array or AMF3 array. In AMF3 an associative part may come before the
    /// elements, as [`Builder::member`] (CNV-11).
    Array {
        /// Elements to come. Never more than bytes remain in the input, so it may be reserved
        /// with care for the size of an element.
        len_hint: usize,
    },
    /// AMF0 ECMA array: members by name; names that are numbers are what the peer calls indexes.
    EcmaArray,
    /// AMF3 dictionary: entries with keys of any type.
    Dictionary {
        /// Keys are weak references.
        weak: bool,
        /// Entries to come, bounded as `len_hint`.
        len: usize,
    },
}

/// Receives decoded values of either format.
///
/// A container is made by [`begin`](Self::begin) before its children and filled through a shared
/// handle, so `Value` is cheap to clone and names the same container each time: that is how
/// references, cyclic ones too, come out right. An error ends the decoding of the message.
pub trait Builder {
    /// Handle of a value.
    type Value: Clone;
    /// What can go wrong, broken input included.
    type Error: From<DecodeError>;

    /// Null.
    fn null(&mut self) -> Result<Self::Value, Self::Error>;
    /// Undefined; also AMF0's "unsupported".
    fn undefined(&mut self) -> Result<Self::Value, Self::Error>;
    /// A boolean.
    fn boolean(&mut self, value: bool) -> Result<Self::Value, Self::Error>;
    /// A number; AMF3 integers come as their exact double.
    fn number(&mut self, value: f64) -> Result<Self::Value, Self::Error>;
    /// A string, any bytes.
    fn string(&mut self, value: &[u8]) -> Result<Self::Value, Self::Error>;
    /// A date, milliseconds since 1970 UTC. AMF0's time zone is reserved and ignored.
    fn date(&mut self, ms: f64) -> Result<Self::Value, Self::Error>;
    /// A byte array.
    fn byte_array(&mut self, value: &[u8]) -> Result<Self::Value, Self::Error>;

    /// Makes a container; its children follow, then [`end`](Self::end).
    fn begin(&mut self, kind: Container<'_>) -> Result<Self::Value, Self::Error>;
    /// Sets a member of an object, an ECMA array, or the associative part of an array. The key
    /// may be empty, and may come twice.
    fn member(
        &mut self,
        container: &Self::Value,
        key: &[u8],
        value: Self::Value,
    ) -> Result<(), Self::Error>;
    /// Sets an element of an array; indexes come from 0 in order.
    fn element(
        &mut self,
        container: &Self::Value,
        index: usize,
        value: Self::Value,
    ) -> Result<(), Self::Error>;
    /// Sets an entry of a dictionary.
    fn entry(
        &mut self,
        container: &Self::Value,
        key: Self::Value,
        value: Self::Value,
    ) -> Result<(), Self::Error>;
    /// All children of the container are set. Typed objects get their handler here (EVT-06).
    fn end(&mut self, container: &Self::Value) -> Result<(), Self::Error>;

    /// Makes the object for an externalizable AMF3 type that the receiver can read (BIO-01), or
    /// answers `None`: then only `flex.messaging.io.ArrayCollection` is read, as its inner array,
    /// and any other type ends the decoding with [`DecodeError::Externalizable`].
    ///
    /// After `Some`, [`read_external`](Self::read_external) follows, then [`end`](Self::end).
    fn begin_external(&mut self, type_name: &[u8]) -> Result<Option<Self::Value>, Self::Error> {
        let _ = type_name;
        Ok(None)
    }

    /// Reads the body of an object made by [`begin_external`](Self::begin_external). Only the
    /// reader of the type knows where the body ends: what it leaves is read as the next value.
    ///
    /// The default reads nothing, for it is not called while `begin_external` answers `None`.
    fn read_external(
        &mut self,
        object: &Self::Value,
        body: &mut ExternalBody<'_, '_, Self::Value>,
    ) -> Result<(), Self::Error> {
        let _ = (object, body);
        Ok(())
    }
}
