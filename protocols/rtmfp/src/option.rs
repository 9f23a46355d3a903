//! Option lists (RFC 7016 §2.1.3): length, type, value; a length of zero is a marker.

use crate::reader::Reader;
use crate::vlu;

/// One element of an option list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A type and its value.
    Option(u64, &'a [u8]),
    /// An option of length zero: the end of a list, or a separator.
    Marker,
}

/// Reads one item; `None` when it is cut off.
pub(crate) fn decode<'a>(reader: &mut Reader<'a>) -> Option<Item<'a>> {
    let field = reader.field()?;
    if field.is_empty() {
        return Some(Item::Marker);
    }
    let mut inner = Reader::new(field);
    let kind = inner.vlu()?;
    Some(Item::Option(kind, inner.rest()))
}

/// Appends one option.
pub(crate) fn encode(kind: u64, value: &[u8], out: &mut Vec<u8>) {
    vlu::encode((vlu::encoded_len(kind) + value.len()) as u64, out);
    vlu::encode(kind, out);
    out.extend_from_slice(value);
}

/// Bytes that [`encode`] writes.
pub(crate) fn encoded_len(kind: u64, value_len: usize) -> usize {
    let inner = vlu::encoded_len(kind) + value_len;
    vlu::encoded_len(inner as u64) + inner
}

/// Iterates over a list up to its first marker or its end; a cut-off option ends it with an error.
pub(crate) struct Options<'a>(Reader<'a>);

impl<'a> Options<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes))
    }
}

/// An option list that ends inside an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truncated;

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u64, &'a [u8]), Truncated>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        match decode(&mut self.0) {
            Some(Item::Option(kind, value)) => Some(Ok((kind, value))),
            Some(Item::Marker) => {
                self.0 = Reader::new(&[]);
                None
            }
            None => {
                self.0 = Reader::new(&[]);
                Some(Err(Truncated))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn a_list_ends_at_its_marker() {
        let bytes = hex("05005443040002 0a02 00 ffff".replace(' ', "").as_str());
        let items: Vec<_> = Options::new(&bytes).collect();
        assert_eq!(items, [Ok((0, &hex("54430400")[..])), Ok((0x0a, &[2][..]))]);
    }

    #[test]
    fn a_list_without_marker_ends_with_its_bytes() {
        let bytes = hex("0215020215 0e".replace(' ', "").as_str());
        let items: Vec<_> = Options::new(&bytes).collect();
        assert_eq!(items, [Ok((0x15, &[2][..])), Ok((0x15, &[0x0e][..]))]);
    }

    #[test]
    fn a_cut_off_option_is_an_error() {
        for bytes in ["0215", "05", "81", "0180"] {
            let bytes = hex(bytes);
            assert_eq!(Options::new(&bytes).last(), Some(Err(Truncated)));
        }
    }

    #[test]
    fn the_announced_length_is_the_written_one() {
        for (kind, len) in
            [(0_u64, 0_usize), (0x0a, 3), (0x2000, 126), (5, 126), (5, 127), (5, 600)]
        {
            let mut out = Vec::new();
            encode(kind, &vec![7; len], &mut out);
            assert_eq!(out.len(), encoded_len(kind, len));
            let items: Vec<_> = Options::new(&out).collect();
            assert_eq!(items, [Ok((kind, &vec![7; len][..]))]);
        }
    }
}
