//! H.264 and HEVC from length-prefixed NAL units (ISO/IEC 14496-15) to byte streams (H.264 and
//! H.265 annex B), which is what a transport stream carries.

use super::body::VideoCodec;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Parameter sets of one stream; encoders send some hundred bytes.
const MAX_PARAMETER_SETS: usize = 64 << 10;

/// What the configuration record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NalConfig {
    codec: VideoCodec,
    /// Bytes of each length, 1 to 4.
    length_size: usize,
    /// Parameter sets as a byte stream.
    parameter_sets: Vec<u8>,
}

impl NalConfig {
    /// Reads a configuration record (ISO/IEC 14496-15 §5.3.3.1, §8.3.3.1); `None` when it is cut.
    pub(super) fn read(codec: VideoCodec, record: &[u8]) -> Option<Self> {
        let mut sets = Vec::new();
        let length_size = match codec {
            VideoCodec::Avc => {
                let (head, mut rest) = record.split_at_checked(5)?;
                let (&sps, after) = rest.split_first()?;
                rest = after;
                for _ in 0..sps & 0x1F {
                    rest = copy_set(rest, &mut sets)?;
                }
                let (&pps, after) = rest.split_first()?;
                rest = after;
                for _ in 0..pps {
                    rest = copy_set(rest, &mut sets)?;
                }
                head[4] & 3
            }
            VideoCodec::Hevc => {
                let (head, rest) = record.split_at_checked(22)?;
                let (&arrays, mut rest) = rest.split_first()?;
                for _ in 0..arrays {
                    let (&[_, high, low], after) = rest.split_first_chunk::<3>()?;
                    rest = after;
                    for _ in 0..u16::from_be_bytes([high, low]) {
                        rest = copy_set(rest, &mut sets)?;
                    }
                }
                head[21] & 3
            }
        };
        let length_size = usize::from(length_size) + 1;
        (sets.len() <= MAX_PARAMETER_SETS).then_some(Self {
            codec,
            length_size,
            parameter_sets: sets,
        })
    }

    pub(super) fn codec(&self) -> VideoCodec {
        self.codec
    }

    /// One access unit as a byte stream: an access unit delimiter, the parameter sets before a
    /// key frame that does not bring its own, the NAL units. `None` when a length lies.
    pub(super) fn access_unit(&self, data: &[u8], is_keyframe: bool) -> Option<Vec<u8>> {
        let mut unit = Vec::with_capacity(data.len() + self.parameter_sets.len() + 64);
        unit.extend_from_slice(&START_CODE);
        unit.extend_from_slice(match self.codec {
            VideoCodec::Avc => &[0x09, 0xF0],
            VideoCodec::Hevc => &[0x46, 0x01, 0x50],
        });
        let mut nals = Vec::new();
        let mut rest = data;
        while !rest.is_empty() {
            let (length, after) = rest.split_at_checked(self.length_size)?;
            let length = length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
            let (nal, after) = after.split_at_checked(length)?;
            rest = after;
            if let Some(&first) = nal.first() {
                nals.push((self.role(first), nal));
            }
        }
        if is_keyframe && !nals.iter().any(|(role, _)| *role == Role::ParameterSet) {
            unit.extend_from_slice(&self.parameter_sets);
        }
        for (_, nal) in nals.iter().filter(|(role, _)| *role != Role::Delimiter) {
            unit.extend_from_slice(&START_CODE);
            unit.extend_from_slice(nal);
        }
        (!nals.is_empty()).then_some(unit)
    }

    fn role(&self, first: u8) -> Role {
        match (self.codec, first & 0x1F, first >> 1 & 0x3F) {
            (VideoCodec::Avc, 9, _) | (VideoCodec::Hevc, _, 35) => Role::Delimiter,
            (VideoCodec::Avc, 7, _) | (VideoCodec::Hevc, _, 33) => Role::ParameterSet,
            _ => Role::Other,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// There is one already.
    Delimiter,
    /// A sequence parameter set.
    ParameterSet,
    Other,
}

fn copy_set<'a>(record: &'a [u8], sets: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&[high, low], rest) = record.split_first_chunk::<2>()?;
    let (set, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    sets.extend_from_slice(&START_CODE);
    sets.extend_from_slice(set);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of 4 bytes, one SPS, one PPS.
    const AVCC: &[u8] = b"\x01\x42\xC0\x1E\xFF\xE1\x00\x02\x67\x42\x01\x00\x02\x68\xCE";

    #[test]
    fn a_key_frame_gets_a_delimiter_and_its_parameter_sets() {
        let config = NalConfig::read(VideoCodec::Avc, AVCC).unwrap();
        let unit = config.access_unit(b"\0\0\0\x02\x65\x88", true).unwrap();
        assert_eq!(
            unit,
            b"\0\0\0\x01\x09\xF0\0\0\0\x01\x67\x42\0\0\0\x01\x68\xCE\0\0\0\x01\x65\x88"
        );
        let unit = config.access_unit(b"\0\0\0\x02\x41\x9A", false).unwrap();
        assert_eq!(unit, b"\0\0\0\x01\x09\xF0\0\0\0\x01\x41\x9A");
    }

    #[test]
    fn delimiters_and_parameter_sets_that_are_there_are_not_doubled() {
        let config = NalConfig::read(VideoCodec::Avc, AVCC).unwrap();
        let own = b"\0\0\0\x02\x09\x10\0\0\0\x02\x67\x64\0\0\0\x02\x68\x01\0\0\0\x01\x65";
        assert_eq!(
            config.access_unit(own, true).unwrap(),
            b"\0\0\0\x01\x09\xF0\0\0\0\x01\x67\x64\0\0\0\x01\x68\x01\0\0\0\x01\x65"
        );
    }

    #[test]
    fn hevc_reads_its_arrays_and_lengths_of_two_bytes() {
        let mut record = vec![1; 21];
        record.push(0xFD);
        record.extend_from_slice(b"\x02\x20\x00\x01\x00\x02\x40\x01\x21\x00\x01\x00\x02\x42\x01");
        let config = NalConfig::read(VideoCodec::Hevc, &record).unwrap();
        assert_eq!(config.length_size, 2);
        assert_eq!(
            config.access_unit(b"\0\x03\x26\x01\xAF", true).unwrap(),
            b"\0\0\0\x01\x46\x01\x50\0\0\0\x01\x40\x01\0\0\0\x01\x42\x01\0\0\0\x01\x26\x01\xAF"
        );
    }

    #[test]
    fn cut_records_and_lying_lengths_are_refused() {
        for end in 0..AVCC.len() {
            assert_eq!(NalConfig::read(VideoCodec::Avc, &AVCC[..end]), None, "{end}");
        }
        let config = NalConfig::read(VideoCodec::Avc, AVCC).unwrap();
        for data in [&b"\0\0\0\x05ab"[..], b"\0\0\0", b"\xFF\xFF\xFF\xFFa", b"", b"\0\0\0\0"] {
            assert_eq!(config.access_unit(data, true), None, "{data:?}");
        }
    }
}
