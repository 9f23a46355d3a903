//! MPEG-2 transport streams (ISO/IEC 13818-1) of H.264, HEVC, AAC and MP3. Packets and tables
//! are laid out by the crate `mpeg2ts`; what goes into them is decided here.

mod adts;
mod body;
mod nal;

use bytes::Bytes;
use mpeg2ts::es::{StreamId, StreamType};
use mpeg2ts::pes::PesHeader;
use mpeg2ts::time::{ClockReference, Timestamp};
use mpeg2ts::ts::payload::{self, Pat, Pes, Pmt};
use mpeg2ts::ts::{
    AdaptationField, ContinuityCounter, EsInfo, Pid, ProgramAssociation,
    TransportScramblingControl, TsHeader, TsPacket, TsPacketWriter, TsPayload, VersionNumber,
    WriteTsPacket,
};

use self::adts::AacConfig;
use self::body::{Audio, Video, VideoCodec};
use self::nal::NalConfig;
use crate::clock::StreamClock;
use crate::frame::{MediaFrame, MediaKind};

const PROGRAM: u16 = 1;
/// Packet identifiers: the tables', then the streams'. Any would do; players read the tables.
const PIDS: [u16; 4] = [Pid::PAT, 0x1000, 0x0100, 0x0101];
const PAT: usize = 0;
const PMT: usize = 1;
const VIDEO: usize = 2;
const AUDIO: usize = 3;

/// How far decoding lies behind the clock reference: what a decoder may buffer.
const DELAY_90KHZ: u64 = 9_000;

/// Without video, tables come this often; with it, before each key frame.
const TABLES_EVERY_MS: u32 = 500;

/// Turns frames of one publication into a transport stream.
///
/// Frames of codecs that it cannot carry, data messages and broken frames give no bytes.
#[derive(Clone, Debug, Default)]
pub struct TsMuxer {
    video: Option<NalConfig>,
    audio: Option<AudioTrack>,
    /// The streams as the last tables said them.
    announced: Option<[Option<StreamType>; 2]>,
    version: VersionNumber,
    tables_at: u32,
    counters: [ContinuityCounter; 4],
}

#[derive(Clone, Copy, Debug)]
enum AudioTrack {
    Aac(AacConfig),
    Mp3(StreamType),
}

impl TsMuxer {
    /// A stream without anything in it yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The packets of one frame, a multiple of 188 bytes; none for a configuration, which comes
    /// again before key frames. Tables are put before the first frame, before key frames and
    /// wherever the streams change. `time_ms` is the decoding time, modulo 2^32.
    pub fn write(&mut self, kind: MediaKind, time_ms: u32, body: &[u8]) -> Bytes {
        let mut out = Vec::new();
        let written = match kind {
            MediaKind::Video => self.write_video(&mut out, time_ms, body),
            MediaKind::Audio => self.write_audio(&mut out, time_ms, body),
            MediaKind::Data => Ok(()),
        };
        // All that goes into packets was measured before, and a `Vec` takes everything.
        debug_assert!(written.is_ok(), "{written:?}");
        out.into()
    }

    /// What a viewer is sent who joins a stream that others see already: a snapshot of the past,
    /// numbered so that the frames that come next for everybody follow it without a gap.
    pub fn join(&self, frames: &[MediaFrame], times: &[u32]) -> Bytes {
        let mut own = Self { announced: None, ..self.clone() };
        let mut out = Vec::new();
        for (frame, &time) in frames.iter().zip(times) {
            out.extend_from_slice(&own.write(frame.kind, time, &frame.payload));
        }
        for packet in out.chunks_exact_mut(TsPacket::SIZE) {
            let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
            let Some(index) = PIDS.iter().position(|known| *known == pid) else { continue };
            let ahead = own.counters[index].as_u8().wrapping_sub(self.counters[index].as_u8());
            packet[3] = packet[3] & 0xF0 | packet[3].wrapping_sub(ahead) & 0x0F;
        }
        out.into()
    }

    fn write_video(&mut self, out: &mut Vec<u8>, time: u32, body: &[u8]) -> mpeg2ts::Result<()> {
        let (codec, composition, data) = match body::video(body) {
            Video::Config(codec, record) => {
                self.video = NalConfig::read(codec, record);
                return Ok(());
            }
            Video::Foreign => {
                self.video = None;
                return Ok(());
            }
            Video::Frame(codec, composition, data) => (codec, composition, data),
            Video::Nothing => return Ok(()),
        };
        let is_keyframe = crate::flv::classify_video(body).is_keyframe;
        let config = self.video.as_ref().filter(|config| config.codec() == codec);
        let Some(unit) = config.and_then(|config| config.access_unit(data, is_keyframe)) else {
            return Ok(());
        };
        self.write_tables(out, time, is_keyframe)?;
        let clock = ticks(time);
        let decoding = clock + DELAY_90KHZ;
        let presentation = decoding.wrapping_add_signed(i64::from(composition) * 90);
        let header = PesHeader {
            stream_id: StreamId::new_video(StreamId::VIDEO_MIN)?,
            priority: false,
            data_alignment_indicator: true,
            copyright: false,
            original_or_copy: false,
            pts: Some(wrap(presentation)?),
            dts: (composition != 0).then(|| wrap(decoding)).transpose()?,
            escr: None,
        };
        let field = Some(adaptation(is_keyframe, Some(wrap(clock)?)));
        // Video may leave its length open (§2.4.3.7), and frames are often longer than it says.
        self.write_pes(out, VIDEO, header, 0, field, &unit)
    }

    fn write_audio(&mut self, out: &mut Vec<u8>, time: u32, body: &[u8]) -> mpeg2ts::Result<()> {
        let mut unit = Vec::new();
        match body::audio(body) {
            Audio::AacConfig(config) => {
                self.audio = AacConfig::read(config).map(AudioTrack::Aac);
                return Ok(());
            }
            Audio::Foreign => {
                self.audio = None;
                return Ok(());
            }
            Audio::Aac(data) => {
                let Some(AudioTrack::Aac(config)) = &self.audio else { return Ok(()) };
                let Some(header) = config.header(data.len()) else { return Ok(()) };
                unit.extend_from_slice(&header);
                unit.extend_from_slice(data);
            }
            Audio::Mp3(data) => {
                // Sync word and version (ISO/IEC 11172-3 §2.4.1.3): 3 is MPEG-1.
                let &[0xFF, second, ..] = data else { return Ok(()) };
                self.audio = Some(AudioTrack::Mp3(match second >> 3 & 3 {
                    3 => StreamType::Mpeg1Audio,
                    _ => StreamType::Mpeg2HalvedSampleRateAudio,
                }));
                unit.extend_from_slice(data);
            }
            Audio::Nothing => return Ok(()),
        }
        let due = time.wrapping_sub(self.tables_at) >= TABLES_EVERY_MS;
        self.write_tables(out, time, self.video.is_none() && due)?;
        let clock = ticks(time);
        let header = PesHeader {
            stream_id: StreamId::new_audio(StreamId::AUDIO_MIN)?,
            priority: false,
            data_alignment_indicator: true,
            copyright: false,
            original_or_copy: false,
            pts: Some(wrap(clock + DELAY_90KHZ)?),
            dts: None,
            escr: None,
        };
        let length = u16::try_from(unit.len() + 8).unwrap_or(0);
        let reference = if self.video.is_none() { Some(wrap(clock)?) } else { None };
        let field = reference.map(|reference| adaptation(true, Some(reference)));
        self.write_pes(out, AUDIO, header, length, field, &unit)
    }

    /// Which streams there are: association and map tables (§2.4.4), when they are due or changed.
    fn write_tables(&mut self, out: &mut Vec<u8>, time: u32, due: bool) -> mpeg2ts::Result<()> {
        let video = self.video.as_ref().map(|config| match config.codec() {
            VideoCodec::Avc => StreamType::H264,
            VideoCodec::Hevc => StreamType::H265,
        });
        let audio = self.audio.map(|track| match track {
            AudioTrack::Aac(_) => StreamType::AdtsAac,
            AudioTrack::Mp3(kind) => kind,
        });
        let streams = [video, audio];
        if self.announced == Some(streams) && !due {
            return Ok(());
        }
        if self.announced.is_some_and(|known| known != streams) {
            self.version.increment();
        }
        self.announced = Some(streams);
        self.tables_at = time;
        let association =
            ProgramAssociation { program_num: PROGRAM, program_map_pid: Pid::new(PIDS[PMT])? };
        let pat = Pat {
            transport_stream_id: 1,
            version_number: VersionNumber::new(),
            table: vec![association],
        };
        self.write_packet(out, PAT, None, TsPayload::Pat(pat))?;
        let mut es_info = Vec::new();
        for (stream, index) in streams.into_iter().zip([VIDEO, AUDIO]) {
            if let Some(stream_type) = stream {
                let elementary_pid = Pid::new(PIDS[index])?;
                es_info.push(EsInfo { stream_type, elementary_pid, descriptors: Vec::new() });
            }
        }
        let pmt = Pmt {
            program_num: PROGRAM,
            pcr_pid: Some(Pid::new(PIDS[if video.is_some() { VIDEO } else { AUDIO }])?),
            version_number: self.version,
            program_info: Vec::new(),
            es_info,
        };
        self.write_packet(out, PMT, None, TsPayload::Pmt(pmt))
    }

    /// One elementary stream packet (§2.4.3.6) in as many transport packets as it needs.
    fn write_pes(
        &mut self,
        out: &mut Vec<u8>,
        index: usize,
        header: PesHeader,
        length: u16,
        field: Option<AdaptationField>,
        data: &[u8],
    ) -> mpeg2ts::Result<()> {
        let around = 9 + 5 * (1 + usize::from(header.dts.is_some()));
        // Length and flags, and the clock reference.
        let adaptation = field.as_ref().map_or(0, |field| 2 + 6 * usize::from(field.pcr.is_some()));
        let room = payload::Bytes::MAX_SIZE - around - adaptation;
        let (first, rest) = data.split_at(room.min(data.len()));
        let data = payload::Bytes::new(first)?;
        let start = TsPayload::PesStart(Pes { header, pes_packet_len: length, data });
        self.write_packet(out, index, field, start)?;
        for chunk in rest.chunks(payload::Bytes::MAX_SIZE) {
            let chunk = TsPayload::PesContinuation(payload::Bytes::new(chunk)?);
            self.write_packet(out, index, None, chunk)?;
        }
        Ok(())
    }

    fn write_packet(
        &mut self,
        out: &mut Vec<u8>,
        index: usize,
        adaptation_field: Option<AdaptationField>,
        payload: TsPayload,
    ) -> mpeg2ts::Result<()> {
        let header = TsHeader {
            transport_error_indicator: false,
            transport_priority: false,
            pid: Pid::new(PIDS[index])?,
            transport_scrambling_control: TransportScramblingControl::NotScrambled,
            continuity_counter: self.counters[index],
        };
        self.counters[index].increment();
        let packet = TsPacket { header, adaptation_field, payload: Some(payload) };
        TsPacketWriter::new(out).write_ts_packet(&packet)
    }
}

/// One transport stream for all its viewers: the muxer and the clock that they share.
#[derive(Debug)]
pub struct SharedTs {
    muxer: TsMuxer,
    clock: StreamClock,
    has_started: bool,
}

impl Default for SharedTs {
    fn default() -> Self {
        Self { muxer: TsMuxer::new(), clock: StreamClock::as_published(), has_started: false }
    }
}

impl SharedTs {
    /// What a new viewer gets of the past.
    pub fn join(&mut self, frames: &[MediaFrame]) -> Bytes {
        let times = self.clock.past(frames);
        if !std::mem::replace(&mut self.has_started, true) {
            // Nobody sees this stream yet: it starts with this viewer.
            let parts = frames
                .iter()
                .zip(times)
                .map(|(frame, time)| self.muxer.write(frame.kind, time, &frame.payload));
            return parts.collect::<Vec<_>>().concat().into();
        }
        self.muxer.join(frames, &times)
    }

    /// The packets of each frame, for all viewers.
    pub fn write(&mut self, frames: &[MediaFrame]) -> Vec<Bytes> {
        let write = |frame: &MediaFrame| {
            let time = self.clock.advance(frame);
            self.muxer.write(frame.kind, time, &frame.payload)
        };
        frames.iter().map(write).collect()
    }

    /// The publication ended: times go on in its next run.
    pub fn next_run(&mut self) {
        self.clock.next_run();
    }
}

/// Milliseconds in ticks of 90 kHz.
fn ticks(time_ms: u32) -> u64 {
    u64::from(time_ms) * 90
}

/// 33 bits.
fn wrap(ticks: u64) -> mpeg2ts::Result<Timestamp> {
    Timestamp::new(ticks & Timestamp::MAX)
}

fn adaptation(random_access: bool, reference: Option<Timestamp>) -> AdaptationField {
    AdaptationField {
        discontinuity_indicator: false,
        random_access_indicator: random_access,
        es_priority_indicator: false,
        pcr: reference.map(ClockReference::from),
        opcr: None,
        splice_countdown: None,
        transport_private_data: Vec::new(),
        extension: None,
    }
}

#[cfg(test)]
mod tests;
