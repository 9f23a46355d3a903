use mpeg2ts::ts::{ReadTsPacket, TsPacketReader};
use proptest::prelude::*;

use super::*;

const AVC: &[u8] = b"\x17\x00\0\0\0\x01\x42\xC0\x1E\xFF\xE1\x00\x02\x67\x42\x01\x00\x02\x68\xCE";
const AAC: &[u8] = b"\xAF\x00\x12\x10";

fn frame(kind: MediaKind, time: u32, body: &[u8]) -> MediaFrame {
    MediaFrame::new(kind, time, Bytes::copy_from_slice(body))
}

/// A video frame whose one NAL unit has `length` bytes.
fn video(time: u32, key: bool, composition: u8, length: usize) -> MediaFrame {
    let mut body = vec![if key { 0x17 } else { 0x27 }, 1, 0, 0, composition];
    body.extend_from_slice(&(length as u32).to_be_bytes());
    body.push(if key { 0x65 } else { 0x41 });
    body.resize(5 + 4 + length.max(1), 0xAA);
    frame(MediaKind::Video, time, &body)
}

fn audio(time: u32) -> MediaFrame {
    frame(MediaKind::Audio, time, b"\xAF\x01\x21\x10\x04")
}

fn packets(bytes: &[u8]) -> Vec<TsPacket> {
    assert_eq!(bytes.len() % TsPacket::SIZE, 0);
    let mut reader = TsPacketReader::new(bytes);
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_ts_packet().unwrap() {
        packets.push(packet);
    }
    packets
}

/// Puts the elementary streams together again: stream, times and data of each unit.
fn units(packets: &[TsPacket]) -> Vec<(u16, u64, u64, Vec<u8>)> {
    let mut units: Vec<(u16, u64, u64, Vec<u8>)> = Vec::new();
    for packet in packets {
        let pid = packet.header.pid.as_u16();
        match &packet.payload {
            Some(TsPayload::PesStart(pes)) => {
                let pts = pes.header.pts.unwrap();
                let dts = pes.header.dts.unwrap_or(pts);
                units.push((pid, pts.as_u64(), dts.as_u64(), pes.data.to_vec()));
            }
            Some(TsPayload::PesContinuation(data)) => {
                let unit = units.iter_mut().rev().find(|unit| unit.0 == pid).unwrap();
                unit.3.extend_from_slice(data);
            }
            _ => {}
        }
    }
    units
}

/// Every packet of a stream has the number after the one before.
fn assert_continuous(packets: &[TsPacket]) {
    let mut last = std::collections::HashMap::new();
    for packet in packets {
        let (pid, counter) = (packet.header.pid, packet.header.continuity_counter.as_u8());
        if let Some(last) = last.insert(pid, counter) {
            assert_eq!((last + 1) % 16, counter, "{pid:?}");
        }
    }
}

fn mux(muxer: &mut TsMuxer, frames: &[MediaFrame]) -> Vec<u8> {
    let write = |frame: &MediaFrame| muxer.write(frame.kind, frame.timestamp_ms, &frame.payload);
    frames.iter().map(write).collect::<Vec<_>>().concat()
}

#[test]
fn tables_name_the_streams_before_the_first_frame_and_before_key_frames() {
    let mut muxer = TsMuxer::new();
    assert!(
        mux(&mut muxer, &[frame(MediaKind::Video, 0, AVC), frame(MediaKind::Audio, 0, AAC)])
            .is_empty()
    );
    let bytes = mux(&mut muxer, &[video(0, true, 0, 10)]);
    assert_eq!(mux(&mut muxer, &[video(40, false, 0, 10)]).len(), TsPacket::SIZE);
    assert_eq!(mux(&mut muxer, &[video(80, true, 0, 10)]).len(), 3 * TsPacket::SIZE);
    let first = packets(&bytes);
    let Some(TsPayload::Pat(pat)) = &first[0].payload else { panic!() };
    assert_eq!(pat.table[0].program_map_pid.as_u16(), PIDS[PMT]);
    let Some(TsPayload::Pmt(pmt)) = &first[1].payload else { panic!() };
    let kinds: Vec<_> = pmt.es_info.iter().map(|es| es.stream_type).collect();
    assert_eq!(kinds, [StreamType::H264, StreamType::AdtsAac]);
    assert_eq!(pmt.pcr_pid, Some(Pid::new(PIDS[VIDEO]).unwrap()));
    let field = first[2].adaptation_field.as_ref().unwrap();
    assert!(field.random_access_indicator && field.pcr.is_some());
}

#[test]
fn a_stream_that_comes_later_gets_new_tables() {
    let mut muxer = TsMuxer::new();
    mux(&mut muxer, &[frame(MediaKind::Audio, 0, AAC), audio(0)]);
    let changed =
        packets(&mux(&mut muxer, &[frame(MediaKind::Video, 0, AVC), video(1, true, 0, 9)]));
    let Some(TsPayload::Pmt(pmt)) = &changed[1].payload else { panic!() };
    assert_eq!((pmt.es_info.len(), pmt.version_number.as_u8()), (2, 1));
}

#[test]
fn times_are_those_of_the_frames_in_90_khz_and_wrap_at_33_bits() {
    let mut muxer = TsMuxer::new();
    let frames =
        [frame(MediaKind::Video, 0, AVC), video(1_000, true, 80, 10), video(1_040, false, 0, 5)];
    let mut bytes = mux(&mut muxer, &frames);
    bytes.extend(mux(&mut muxer, &[video(u32::MAX, false, 0, 5)]));
    let times: Vec<_> = units(&packets(&bytes)).iter().map(|unit| (unit.1, unit.2)).collect();
    let at = |ms: u64| (ms * 90 + DELAY_90KHZ) & Timestamp::MAX;
    let late = at(u64::from(u32::MAX));
    assert_eq!(times, [(at(1_080), at(1_000)), (at(1_040), at(1_040)), (late, late)]);
}

#[test]
fn what_cannot_be_carried_leaves_no_bytes_and_no_stream_in_the_tables() {
    let mut muxer = TsMuxer::new();
    let none = [
        frame(MediaKind::Video, 0, b"\x90av01cfg"),
        frame(MediaKind::Video, 0, b"\x91av01frame"),
        frame(MediaKind::Audio, 0, b"\x90OpusHead"),
        frame(MediaKind::Data, 0, b"\x02\x00\x01f"),
        audio(0),
        video(0, true, 0, 10),
        frame(MediaKind::Video, 0, b"\x17\x01\0\0\0\0\0\0\x50lies"),
    ];
    assert!(mux(&mut muxer, &none).is_empty(), "no configuration, no length, no codec");
    let mp3 = frame(MediaKind::Audio, 0, b"\x2F\xFF\xFB\x90\x00");
    let sound = packets(&mux(&mut muxer, &[mp3]));
    let Some(TsPayload::Pmt(pmt)) = &sound[1].payload else { panic!() };
    assert_eq!(pmt.es_info.len(), 1);
    assert_eq!(pmt.es_info[0].stream_type, StreamType::Mpeg1Audio);
    assert_eq!(pmt.pcr_pid, Some(Pid::new(PIDS[AUDIO]).unwrap()));
}

#[test]
fn audio_alone_repeats_its_tables_and_carries_the_clock() {
    let mut muxer = TsMuxer::new();
    let mut frames = vec![frame(MediaKind::Audio, 0, AAC)];
    frames.extend((0..100).map(|index| audio(index * 20)));
    let packets = packets(&mux(&mut muxer, &frames));
    let tables = packets.iter().filter(|p| matches!(p.payload, Some(TsPayload::Pat(_)))).count();
    assert_eq!(tables, 4, "at 0, 0.5, 1 and 1.5 s");
    assert_continuous(&packets);
}

#[test]
fn a_late_viewer_sees_no_gap_between_its_past_and_what_all_get() {
    let mut shared = SharedTs::default();
    let headers = [frame(MediaKind::Video, 0, AVC), frame(MediaKind::Audio, 0, AAC)];
    let mut cache = crate::StreamCache::default();
    let mut live = Vec::new();
    for frame in &headers {
        cache.push(frame.clone());
    }
    shared.join(&cache.snapshot());
    for index in 0..30 {
        let frames =
            [video(index * 40, index % 12 == 0, 0, 700 + index as usize), audio(index * 40)];
        for frame in &frames {
            cache.push(frame.clone());
        }
        live.extend(shared.write(&frames));
    }
    let mut viewer = shared.join(&cache.snapshot()).to_vec();
    assert!(viewer.len() > 5 * 188);
    for index in 30..40 {
        for bytes in shared.write(&[video(index * 40, false, 0, 900), audio(index * 40)]) {
            viewer.extend_from_slice(&bytes);
            live.push(bytes);
        }
    }
    let (late, live) = (packets(&viewer), packets(&live.concat()));
    assert!(matches!(late[0].payload, Some(TsPayload::Pat(_))), "starts with its tables");
    assert_continuous(&late);
    assert_continuous(&live);
    let (late, live) = (units(&late), units(&live));
    assert_eq!(late[..], live[live.len() - late.len()..], "the same units at the same times");
}

proptest! {
    #[test]
    fn all_of_a_frame_comes_out_again(lengths in proptest::collection::vec(1usize..2_000, 1..20)) {
        let mut muxer = TsMuxer::new();
        let mut frames = vec![frame(MediaKind::Video, 0, AVC)];
        frames.extend(lengths.iter().enumerate().map(|(index, &length)| {
            video(index as u32 * 40, false, (index % 3) as u8 * 40, length)
        }));
        let packets = packets(&mux(&mut muxer, &frames));
        assert_continuous(&packets);
        let units = units(&packets);
        prop_assert_eq!(units.len(), lengths.len());
        for (unit, length) in units.iter().zip(lengths) {
            // Delimiter of 6 bytes, start code of 4, NAL unit.
            prop_assert_eq!(unit.3.len(), 10 + length);
            prop_assert_eq!(&unit.3[6..11], b"\0\0\0\x01\x41");
        }
    }
}
