//! AAC frames with a header of their own each: ISO/IEC 14496-3 §1.6.2.1 and 13818-7 §6.2.

/// Longest ADTS frame, 13 bits of length.
const MAX_FRAME: usize = (1 << 13) - 1;

const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// What AudioSpecificConfig says, as far as ADTS can say it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AacConfig {
    /// Audio object type less one, 0 to 3.
    profile: u8,
    /// Index in the table of sample rates.
    rate: u8,
    /// Channel configuration, 1 to 7.
    channels: u8,
}

impl AacConfig {
    /// Reads an AudioSpecificConfig; `None` when it is cut or ADTS has no word for it.
    pub(super) fn read(config: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes: config, at: 0 };
        let mut object = bits.object_type()?;
        let rate = bits.rate()?;
        let channels = bits.take(4)? as u8;
        if matches!(object, 5 | 29) {
            // HE-AAC: the decoder finds what is above the core by itself, as it does in ADTS.
            bits.rate()?;
            object = bits.object_type()?;
        }
        let profile = u8::try_from(object).ok()?.checked_sub(1)?;
        ((profile < 4) && (1..8).contains(&channels)).then_some(Self { profile, rate, channels })
    }

    /// The 7 bytes before a raw frame; `None` for one that is too long.
    pub(super) fn header(&self, length: usize) -> Option<[u8; 7]> {
        let whole = length + 7;
        if whole > MAX_FRAME {
            return None;
        }
        let [.., high, low] = (whole as u32).to_be_bytes();
        Some([
            0xFF,
            0xF1, // MPEG-4, no checksum
            self.profile << 6 | self.rate << 2 | self.channels >> 2,
            self.channels << 6 | high >> 3,
            high << 5 | low >> 3,
            low << 5 | 0x1F, // buffer fullness: variable rate
            0xFC,
        ])
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            object => Some(object),
        }
    }

    /// Index of a sample rate; one that is spelled out has to be in the table.
    fn rate(&mut self) -> Option<u8> {
        match self.take(4)? {
            15 => {
                let rate = self.take(24)?;
                SAMPLE_RATES.iter().position(|&known| known == rate).map(|index| index as u8)
            }
            index => Some(index as u8).filter(|index| usize::from(*index) < SAMPLE_RATES.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_complexity_at_44100_in_stereo() {
        let config = AacConfig::read(&[0x12, 0x10]).unwrap();
        assert_eq!(config, AacConfig { profile: 1, rate: 4, channels: 2 });
        // As ffmpeg writes it for a frame of 9 bytes.
        assert_eq!(config.header(9), Some([0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC]));
    }

    #[test]
    fn high_efficiency_is_its_core() {
        // SBR over LC: core 24 kHz, output 48 kHz.
        assert_eq!(
            AacConfig::read(&[0x2B, 0x11, 0x88]),
            Some(AacConfig { profile: 1, rate: 6, channels: 2 })
        );
    }

    #[test]
    fn a_rate_in_full_is_looked_up() {
        // LC, rate index 15, 44,100 in 24 bits, 1 channel.
        let bits = [0b0001_0111, 0b1000_0000, 0b0101_0110, 0b0010_0010, 0b0000_1000];
        assert_eq!(AacConfig::read(&bits), Some(AacConfig { profile: 1, rate: 4, channels: 1 }));
    }

    #[test]
    fn what_adts_cannot_say_is_refused() {
        for config in [&[][..], &[0x12], &[0xFF, 0xFF, 0xFF], &[0x12, 0x00], &[0x02, 0x10]] {
            assert_eq!(AacConfig::read(config), None, "{config:?}");
        }
        let config = AacConfig::read(&[0x12, 0x10]).unwrap();
        assert!(config.header(MAX_FRAME - 7).is_some());
        assert_eq!(config.header(MAX_FRAME - 6), None);
    }
}
