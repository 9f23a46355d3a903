//! Writing values, whatever the format.

use crate::error::WriteError;

/// Writes values in one of the text formats.
///
/// The caller walks its own data and calls begin, key, value, …, end in order; separators and
/// escaping are the encoder's. What the caller leaves out or doubles makes broken text. Values
/// outside of every container are the values of the message (arguments of a call, elements of
/// JSON's outer array).
///
/// An error means that nothing was written: the caller writes null in its place, or leaves the
/// member out.
pub trait Encoder {
    /// Writes nil (CNV-01).
    fn null(&mut self);
    /// Writes a boolean (CNV-02).
    fn boolean(&mut self, value: bool);
    /// Writes a number; nil when it is none (CNV-03).
    fn number(&mut self, value: f64);
    /// Writes a string, any bytes; where the format cannot hold them, as
    /// [`bytes`](Self::bytes) (CNV-04, CNV-21, CNV-27).
    fn string(&mut self, value: &[u8]);
    /// Writes bytes (CNV-05).
    fn bytes(&mut self, value: &[u8]);
    /// Writes a date, milliseconds since 1970 UTC (CNV-06).
    ///
    /// # Errors
    /// [`WriteError::DateOutOfRange`].
    fn date(&mut self, ms: f64) -> Result<(), WriteError>;

    /// Begins an object (CNV-08, CNV-09): key and value for each member, then
    /// [`end_object`](Self::end_object). An empty type name is none.
    ///
    /// # Errors
    /// [`WriteError::TooDeep`]; [`WriteError::KeyNotText`] for a type name.
    fn begin_object(&mut self, type_name: Option<&[u8]>) -> Result<(), WriteError>;
    /// Ends the object.
    fn end_object(&mut self);

    /// Begins an array of exactly `len` elements, then [`end_array`](Self::end_array). With
    /// `mixed`, key and value for each member come first, and
    /// [`begin_elements`](Self::begin_elements) after them (CNV-09).
    ///
    /// # Errors
    /// [`WriteError::TooDeep`].
    fn begin_array(&mut self, len: usize, mixed: bool) -> Result<(), WriteError>;
    /// Ends the members of a mixed array.
    fn begin_elements(&mut self);
    /// Ends the array.
    fn end_array(&mut self);

    /// Writes the name of the member whose value follows.
    ///
    /// # Errors
    /// [`WriteError::KeyNotText`], [`WriteError::KeyNotName`].
    fn key(&mut self, key: &[u8]) -> Result<(), WriteError>;

    /// Containers begun and not ended, as the format counts them.
    fn depth(&self) -> usize;
}
