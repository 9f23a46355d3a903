//! User Data and Next User Data (RFC 7016 §2.3.11 and §2.3.12).

use crate::chunk::{self, HEADER_LEN, kind};
use crate::option::{self, Item};
use crate::reader::Reader;
use crate::vlu;

const OPTIONS: u8 = 0x80;
const FRACTION: u8 = 0x30;
/// The number of this chunk is abandoned; it carries no data.
pub(crate) const ABANDONED: u8 = 0x02;
/// This is the last number of the flow.
pub(crate) const FINAL: u8 = 0x01;

/// Option types of a flow's first chunks.
const METADATA: u64 = 0x00;
const RETURN_ASSOCIATION: u64 = 0x0a;
/// Unknown options below this type make the receiver reject the flow.
const FIRST_OPTIONAL_TYPE: u64 = 0x2000;

/// Which part of its message a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fraction {
    Whole = 0x00,
    Begin = 0x10,
    End = 0x20,
    Middle = 0x30,
}

/// What the options of a flow's first chunks say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Startup<'a> {
    /// Mandatory for a new flow.
    pub(crate) metadata: Option<&'a [u8]>,
    /// Identifier of the receiver's sending flow that this flow answers.
    pub(crate) association: Option<u64>,
    /// An option that must be understood is not.
    pub(crate) unknown_mandatory: bool,
}

/// Either chunk; a Next User Data has its numbers from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserData<'a> {
    pub(crate) flow: u64,
    pub(crate) sequence: u64,
    /// Forward sequence number: nothing up to it will be sent any more.
    pub(crate) forward: u64,
    pub(crate) fraction: Fraction,
    pub(crate) abandoned: bool,
    pub(crate) is_final: bool,
    pub(crate) startup: Option<Startup<'a>>,
    pub(crate) data: &'a [u8],
}

impl<'a> UserData<'a> {
    /// Reads a User Data payload. `None` when it is cut off, or its forward offset is greater than
    /// its number, or zero without being abandoned.
    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let flags = reader.u8()?;
        let flow = reader.vlu()?;
        let sequence = reader.vlu()?;
        let forward = sequence.checked_sub(reader.vlu()?)?;
        if forward == sequence && flags & ABANDONED == 0 {
            return None;
        }
        Self::finish(reader, flags, flow, sequence, forward)
    }

    /// Reads a Next User Data payload that follows `self` in the same packet.
    pub(crate) fn decode_next<'b>(&self, payload: &'b [u8]) -> Option<UserData<'b>> {
        let mut reader = Reader::new(payload);
        let flags = reader.u8()?;
        UserData::finish(reader, flags, self.flow, self.sequence.checked_add(1)?, self.forward)
    }

    fn finish(
        mut reader: Reader<'a>,
        flags: u8,
        flow: u64,
        sequence: u64,
        forward: u64,
    ) -> Option<Self> {
        let startup = match flags & OPTIONS {
            0 => None,
            _ => Some(Startup::decode(&mut reader)?),
        };
        Some(Self {
            flow,
            sequence,
            forward,
            fraction: match flags & FRACTION {
                0x00 => Fraction::Whole,
                0x10 => Fraction::Begin,
                0x20 => Fraction::End,
                _ => Fraction::Middle,
            },
            abandoned: flags & ABANDONED != 0,
            is_final: flags & FINAL != 0,
            startup,
            data: reader.rest(),
        })
    }
}

impl<'a> Startup<'a> {
    fn decode(reader: &mut Reader<'a>) -> Option<Self> {
        let mut startup = Self::default();
        loop {
            match option::decode(reader)? {
                Item::Marker => return Some(startup),
                Item::Option(METADATA, value) => startup.metadata = Some(value),
                Item::Option(RETURN_ASSOCIATION, value) => {
                    startup.association = Some(Reader::new(value).vlu()?);
                }
                Item::Option(kind, _) if kind < FIRST_OPTIONAL_TYPE => {
                    startup.unknown_mandatory = true;
                }
                Item::Option(..) => {}
            }
        }
    }

    /// Metadata first, then the association: librtmfp compares bytes at that place (quirk Q9).
    fn encode(&self, out: &mut Vec<u8>) {
        if let Some(metadata) = self.metadata {
            option::encode(METADATA, metadata, out);
        }
        if let Some(flow) = self.association {
            vlu::encode((1 + vlu::encoded_len(flow)) as u64, out);
            vlu::encode(RETURN_ASSOCIATION, out);
            vlu::encode(flow, out);
        }
        out.push(0);
    }

    fn len(&self) -> usize {
        self.metadata.map_or(0, |m| option::encoded_len(METADATA, m.len()))
            + self
                .association
                .map_or(0, |f| option::encoded_len(RETURN_ASSOCIATION, vlu::encoded_len(f)))
            + 1
    }
}

/// Bytes of a User Data chunk with its header, for `data` bytes.
pub(crate) fn user_data_len(
    flow: u64,
    sequence: u64,
    forward: u64,
    startup: Option<Startup<'_>>,
    data: usize,
) -> usize {
    HEADER_LEN
        + 1
        + vlu::encoded_len(flow)
        + vlu::encoded_len(sequence)
        + vlu::encoded_len(sequence - forward)
        + startup.map_or(0, |s| s.len())
        + data
}

/// Bytes of a Next User Data chunk with its header, for `data` bytes.
pub(crate) fn next_user_data_len(data: usize) -> usize {
    HEADER_LEN + 1 + data
}

/// Appends a User Data chunk; `fill` appends its data. `flags` are [`ABANDONED`] and [`FINAL`].
#[expect(clippy::too_many_arguments, reason = "one per field of the chunk")]
pub(crate) fn encode_user_data(
    flags: u8,
    fraction: Fraction,
    flow: u64,
    sequence: u64,
    forward: u64,
    startup: Option<Startup<'_>>,
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    chunk::encode(kind::USER_DATA, out, |out| {
        out.push(flags | fraction as u8 | if startup.is_some() { OPTIONS } else { 0 });
        vlu::encode(flow, out);
        vlu::encode(sequence, out);
        vlu::encode(sequence - forward, out);
        if let Some(startup) = startup {
            startup.encode(out);
        }
        fill(out);
    });
}

/// Appends a Next User Data chunk; `fill` appends its data.
pub(crate) fn encode_next_user_data(
    flags: u8,
    fraction: Fraction,
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    chunk::encode(kind::NEXT_USER_DATA, out, |out| {
        out.push(flags | fraction as u8);
        fill(out);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Chunks;
    use crate::testing::hex;
    use proptest::prelude::*;

    fn startup(metadata: &[u8], association: Option<u64>) -> Option<Startup<'_>> {
        Some(Startup { metadata: Some(metadata), association, unknown_mandatory: false })
    }

    /// Vector V12: flows with options.
    #[test]
    fn rtmfp_060_first_chunks_have_the_bytes_of_the_vectors() {
        let stream = hex("544304fa8901");
        let cases = [
            (
                "10001d80020101050054430400020a02000400000000002900003a9800002710",
                2,
                startup(b"TC\x04\0", Some(2)),
                "0400000000002900003a9800002710",
            ),
            (
                "10001a80050101050054430401020a02000800000000af00120856e500",
                5,
                startup(b"TC\x04\x01", Some(2)),
                "0800000000af00120856e500",
            ),
            ("10000d800301010700544304fa890100", 3, startup(&stream, None), ""),
        ];
        for (bytes, flow, options, data) in cases {
            let (bytes, data) = (hex(bytes), hex(data));
            let mut out = Vec::new();
            encode_user_data(0, Fraction::Whole, flow, 1, 0, options, &mut out, |out| {
                out.extend_from_slice(&data);
            });
            assert_eq!(out, bytes);
            assert_eq!(out.len(), user_data_len(flow, 1, 0, options, data.len()));
            let read = UserData::decode(&out[HEADER_LEN..]).expect("user data");
            assert_eq!((read.flow, read.sequence, read.forward), (flow, 1, 0));
            assert_eq!((read.startup, read.data), (options, &data[..]));
            assert!(!read.abandoned && !read.is_final);
        }
    }

    /// Vector V12: three fragments, the second and third in chunks of type 11.
    #[test]
    fn rtmfp_060_next_chunks_take_their_numbers_from_the_first() {
        let bytes = hex("10000a1004020100010203040511000730060708090a0b110004200c0d0e");
        let mut chunks = Chunks::new(&bytes);
        let first = UserData::decode(chunks.next().expect("10").1).expect("begin");
        assert_eq!((first.sequence, first.forward, first.fraction), (2, 1, Fraction::Begin));
        let second = first.decode_next(chunks.next().expect("11").1).expect("middle");
        assert_eq!((second.sequence, second.forward, second.fraction), (3, 1, Fraction::Middle));
        let third = second.decode_next(chunks.next().expect("11").1).expect("end");
        assert_eq!((third.sequence, third.forward, third.fraction), (4, 1, Fraction::End));
        let data: Vec<u8> = [first.data, second.data, third.data].concat();
        assert_eq!(data, (0..15).collect::<Vec<u8>>());

        let mut out = Vec::new();
        encode_user_data(0, Fraction::Begin, 4, 2, 1, None, &mut out, |o| o.extend(0..6));
        encode_next_user_data(0, Fraction::Middle, &mut out, |o| o.extend(6..12));
        encode_next_user_data(0, Fraction::End, &mut out, |o| o.extend(12..15));
        assert_eq!(out, bytes);
        assert_eq!(next_user_data_len(3), 7);
    }

    /// Vector V12: explicit abandonment and the end of a flow.
    #[test]
    fn rtmfp_060_abandoned_numbers_may_have_a_forward_offset_of_zero() {
        for (bytes, sequence, is_final) in
            [("10000402040900", 9, false), ("10000403040a00", 10, true)]
        {
            let bytes = hex(bytes);
            let read = UserData::decode(&bytes[HEADER_LEN..]).expect("abandoned");
            assert_eq!((read.flow, read.sequence, read.forward), (4, sequence, sequence));
            assert!(read.abandoned);
            assert_eq!(read.is_final, is_final);
            let flags = ABANDONED | if is_final { FINAL } else { 0 };
            let mut out = Vec::new();
            encode_user_data(flags, Fraction::Whole, 4, sequence, sequence, None, &mut out, |_| {});
            assert_eq!(out, bytes);
        }
        assert_eq!(UserData::decode(&hex("00040900")), None, "offset zero without ABN");
        assert_eq!(UserData::decode(&hex("0004090a")), None, "offset beyond the number");
    }

    #[test]
    fn unknown_options_below_2000_are_mandatory_and_others_ignored() {
        let read = |options: &str| {
            let bytes = hex(&format!("80040101{options}"));
            UserData::decode(&bytes).and_then(|d| d.startup.map(|s| s.unknown_mandatory))
        };
        assert_eq!(read("05005443040000"), Some(false));
        assert_eq!(read("0500544304000205ff00"), Some(true));
        assert_eq!(read("050054430400 03c000ff00"), Some(false));
        assert_eq!(read("050054430400 03bf7fff00"), Some(true), "1fff is the last mandatory type");
        assert_eq!(read("050054430400"), None, "no marker");
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(
            flow: u64, sequence in 1..u64::MAX, offset in 1..1000_u64,
            metadata in proptest::collection::vec(any::<u8>(), 0..512),
            association: Option<u64>, data in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let forward = sequence.saturating_sub(offset);
            let options = startup(&metadata, association);
            let mut out = Vec::new();
            encode_user_data(0, Fraction::End, flow, sequence, forward, options, &mut out, |out| {
                out.extend_from_slice(&data);
            });
            prop_assert_eq!(out.len(), user_data_len(flow, sequence, forward, options, data.len()));
            let read = UserData::decode(&out[HEADER_LEN..]).expect("user data");
            prop_assert_eq!(read, UserData {
                flow, sequence, forward, fraction: Fraction::End, abandoned: false,
                is_final: false, startup: options, data: &data,
            });
        }
    }
}
