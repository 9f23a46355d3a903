//! The reader against a sender that uses every form the format allows.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::limits::{FIRST_RESERVE, MAX_CHUNK_STREAMS, MAX_COMMAND_MESSAGE, MAX_MEDIA_MESSAGE};
use crate::message::{Message, StreamId, kind};

fn read_all(bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let mut reader = Reader::new();
    let mut input = BytesMut::from(bytes);
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input)? {
        messages.push(message);
    }
    Ok(messages)
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hex digit") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// How a sender treats the extended timestamp in type 3 chunks.
#[derive(Clone, Copy, Debug)]
enum Repeat {
    Field,
    Absolute,
    Never,
}

/// One chunk stream of a sender.
struct Sender {
    id: u32,
    queue: Vec<(Message, u8)>,
    /// Timestamp, delta and extended field as the receiver keeps them, and the last message.
    last: Option<(u32, u32, Option<u32>, Message)>,
    open: Option<(Message, usize)>,
}

impl Sender {
    fn basic(&self, format: u8, out: &mut Vec<u8>) {
        match self.id {
            0..=63 => out.push(format << 6 | self.id as u8),
            64..=319 => out.extend([format << 6, (self.id - 64) as u8]),
            _ => {
                let rest = self.id - 64;
                out.extend([format << 6 | 1, rest as u8, (rest >> 8) as u8]);
            }
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        let (message, wish) = self.queue.remove(0);
        let time = message.timestamp_ms;
        let same = |other: &Message| {
            other.payload.len() == message.payload.len() && other.kind == message.kind
        };
        let format = match &self.last {
            Some((last, delta, extended, other)) if time >= *last => {
                let steady = time - last == *delta && extended.is_none();
                match (other.stream == message.stream, same(other), steady) {
                    (true, true, true) => wish,
                    (true, true, false) => wish.min(2),
                    (true, false, _) => wish.min(1),
                    (false, ..) => 0,
                }
            }
            _ => 0,
        };
        let (last_time, delta) = self.last.as_ref().map_or((0, 0), |last| (last.0, last.1));
        let field = match format {
            0 => time,
            3 => delta,
            _ => time - last_time,
        };
        let extended = (format < 3 && field >= EXTENDED).then_some(field);
        self.basic(format, out);
        if format < 3 {
            out.extend(&field.min(EXTENDED).to_be_bytes()[1..]);
        }
        if format < 2 {
            out.extend(&(message.payload.len() as u32).to_be_bytes()[1..]);
            out.push(message.kind);
        }
        if format == 0 {
            out.extend(message.stream.0.to_le_bytes());
        }
        if let Some(extended) = extended {
            out.extend(extended.to_be_bytes());
        }
        let delta = if format == 0 && extended.is_some() { 0 } else { field };
        self.last = Some((time, delta, extended, message.clone()));
        self.open = Some((message, 0));
    }

    fn step(&mut self, out: &mut Vec<u8>, chunk_size: usize, repeat: Repeat) -> Option<Message> {
        if self.open.is_none() {
            if self.queue.is_empty() {
                return None;
            }
            self.begin(out);
        } else {
            self.basic(3, out);
            let (time, _, extended, _) = self.last.as_ref().expect("a message is open");
            match (extended, repeat) {
                (Some(field), Repeat::Field) => out.extend(field.to_be_bytes()),
                (Some(_), Repeat::Absolute) => out.extend(time.to_be_bytes()),
                _ => {}
            }
        }
        let (message, sent) = self.open.take().expect("a message is open");
        let end = message.payload.len().min(sent + chunk_size);
        out.extend_from_slice(&message.payload[sent..end]);
        if end == message.payload.len() {
            return Some(message);
        }
        self.open = Some((message, end));
        None
    }
}

prop_compose! {
    fn message()(
        kind in prop::sample::select(vec![8u8, 9, 18]),
        stream in 1u32..3,
        gap in prop_oneof![Just(20u32), 0u32..50, Just(0xFF_FFFF), Just(0x0100_0007)],
        length in prop_oneof![Just(0usize), Just(5), 1usize..400, 2000usize..5000],
        wish in 0u8..4,
    ) -> (u8, u32, u32, usize, u8) {
        (kind, stream, gap, length, wish)
    }
}

proptest! {
    #[test]
    fn interleaved_chunks_of_every_type_give_the_messages_sent(
        lanes in prop::collection::vec(prop::collection::vec(message(), 0..8), 4),
        turns in prop::collection::vec(0usize..4, 1..40),
        chunk_size in prop_oneof![Just(1usize), Just(128), 2usize..6000],
        repeat in prop::sample::select(vec![Repeat::Field, Repeat::Absolute, Repeat::Never]),
        cuts in prop::collection::vec(1usize..3000, 1..20),
    ) {
        let mut senders: Vec<_> = [3, 63, 64, 65_599].into_iter().zip(lanes).map(|(id, lane)| {
            let mut time = 0u32;
            let queue = lane.into_iter().map(|(kind, stream, gap, length, wish)| {
                time = time.wrapping_add(gap);
                let payload = Bytes::from(vec![0xA5; length]);
                let stream = StreamId(stream);
                (Message { kind, stream, timestamp_ms: time, payload }, wish)
            }).collect();
            Sender { id, queue, last: None, open: None }
        }).collect();
        let mut wire = bytes("02 000000 000004 01 00000000");
        wire.extend((chunk_size as u32).to_be_bytes());
        let mut sent = Vec::new();
        let mut turn = turns.iter().cycle();
        while senders.iter().any(|sender| sender.open.is_some() || !sender.queue.is_empty()) {
            let lane = *turn.next().expect("cycles");
            sent.extend(senders[lane].step(&mut wire, chunk_size, repeat));
            // A lane that is done must not be the only one that gets turns.
            for sender in &mut senders {
                sent.extend(sender.step(&mut wire, chunk_size, repeat));
            }
        }
        let (mut reader, mut input, mut got) = (Reader::new(), BytesMut::new(), Vec::new());
        let (mut rest, mut cut) = (&wire[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let count = (*cut.next().expect("cycles")).min(rest.len());
            input.extend_from_slice(&rest[..count]);
            rest = &rest[count..];
            while let Some(message) = reader.read(&mut input).expect("sound chunks") {
                if message.kind == kind::SET_CHUNK_SIZE {
                    reader.set_chunk_size(chunk_size as u32).expect("allowed");
                } else {
                    got.push(message);
                }
            }
        }
        prop_assert_eq!(input.len(), 0);
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn what_the_writer_writes_is_read_again(
        length in 0usize..20_000,
        timestamp_ms in any::<u32>(),
        stream in any::<u32>(),
        kind in prop::sample::select(vec![4u8, 8, 9, 18, 20]),
    ) {
        let payload = Bytes::from(vec![7; length]);
        let message = Message { kind, stream: StreamId(stream), timestamp_ms, payload };
        let mut writer = Writer::new();
        writer.write(&message).expect("fits");
        let wire = writer.take().expect("was written");
        prop_assert_eq!(read_all(&wire), Ok(vec![message]));
    }

    #[test]
    fn shared_payload_between_viewer_headers_is_the_frame(
        length in prop_oneof![0usize..10, 65_530usize..65_545, 131_070usize..131_080],
        timestamp_ms in any::<u32>(),
    ) {
        let payload = vec![9; length];
        let media = ramona_media::MediaKind::Video;
        let mut wire = bytes("02 000000 000004 01 00000000 00010000");
        let header = media_header(media, StreamId(3), timestamp_ms, length).expect("fits");
        wire.extend_from_slice(&header);
        for (index, piece) in payload.chunks(OUT_CHUNK_SIZE).enumerate() {
            if index > 0 {
                wire.extend_from_slice(&continuation_header(media, timestamp_ms));
            }
            wire.extend_from_slice(piece);
        }
        let mut reader = Reader::new();
        let mut input = BytesMut::from(&wire[..]);
        reader.read(&mut input).expect("sound").expect("the chunk size");
        reader.set_chunk_size(OUT_CHUNK_SIZE as u32).expect("allowed");
        let message = reader.read(&mut input).expect("sound").expect("whole");
        prop_assert_eq!(message.timestamp_ms, timestamp_ms);
        prop_assert_eq!(message.stream, StreamId(3));
        prop_assert_eq!(&message.payload[..], &payload[..]);
    }
}

#[test]
fn type_3_message_repeats_the_delta_also_after_type_0() {
    let wire = bytes("03 000010 000001 08 01000000 aa  c3 bb  83 000005 cc  c3 dd");
    let times: Vec<_> =
        read_all(&wire).expect("sound").iter().map(|message| message.timestamp_ms).collect();
    assert_eq!(times, [0x10, 0x20, 0x25, 0x2A]);
}

#[test]
fn type_3_message_after_an_extended_type_0_has_the_same_time() {
    let wire = bytes("03 ffffff 000001 08 01000000 01000000 aa  c3 bb  c3 01000000 cc");
    let messages = read_all(&wire).expect("sound");
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|message| message.timestamp_ms == 0x0100_0000));
    assert_eq!(messages[1].payload, &[0xbb][..]);
}

#[test]
fn first_header_of_type_1_is_accepted_as_librtmp_sends_it() {
    let messages = read_all(&bytes("42 000000 000006 04 0006 00000001")).expect("sound");
    assert_eq!((messages[0].kind, messages[0].stream), (4, StreamId(0)));
}

#[test]
fn first_header_of_type_2_or_3_is_an_error() {
    assert_eq!(read_all(&bytes("83 000000")), Err(ChunkError::NoHeader(3, 2)));
    assert_eq!(read_all(&bytes("c0 00")), Err(ChunkError::NoHeader(64, 3)));
}

#[test]
fn message_inside_an_unfinished_one_is_an_error() {
    let mut wire = bytes("04 000000 000100 09 01000000");
    wire.extend([0; 128]);
    wire.extend(bytes("04 000000 000001 09 01000000 00"));
    assert_eq!(read_all(&wire), Err(ChunkError::InsideMessage(4)));
}

#[test]
fn claims_beyond_the_limit_of_the_type_are_refused_at_the_header() {
    let error = read_all(&bytes("04 000000 ffffff 09 01000000")).expect_err("too long");
    let limit = MAX_MEDIA_MESSAGE;
    assert_eq!(error, ChunkError::TooLong { kind: 9, length: 0xFF_FFFF, limit });
    assert_eq!(
        error.to_string(),
        "message of type 9 claims 16777215 bytes; at most 8388608 are accepted"
    );
    let error = read_all(&bytes("03 000000 200000 14 00000000")).expect_err("too long");
    assert_eq!(
        error,
        ChunkError::TooLong { kind: 20, length: 0x20_0000, limit: MAX_COMMAND_MESSAGE }
    );
}

#[test]
fn chunk_sizes_of_zero_and_of_4_gib_are_refused_and_large_ones_taken_as_the_largest() {
    let mut reader = Reader::new();
    assert_eq!(reader.set_chunk_size(0), Err(ChunkError::ChunkSize(0)));
    assert_eq!(reader.set_chunk_size(u32::MAX), Err(ChunkError::ChunkSize(u32::MAX)));
    assert_eq!(reader.set_chunk_size(0x7FFF_FFFF), Ok(()));
}

#[test]
fn chunk_streams_are_counted() {
    let mut wire = Vec::new();
    for id in 0..=MAX_CHUNK_STREAMS as u16 {
        wire.push(1);
        wire.extend(id.to_le_bytes());
        wire.extend(bytes("000000 000000 08 01000000"));
    }
    assert_eq!(read_all(&wire), Err(ChunkError::TooManyStreams));
    wire.truncate(wire.len() - 14);
    assert_eq!(read_all(&wire).map(|messages| messages.len()), Ok(MAX_CHUNK_STREAMS));
}

#[test]
fn unfinished_messages_are_bounded_together() {
    let mut reader = Reader::new();
    reader.set_chunk_size(MAX_MEDIA_MESSAGE as u32 - 1).expect("allowed");
    let body = vec![0; MAX_MEDIA_MESSAGE - 1];
    for id in 3..6 {
        let mut input = BytesMut::from(&[id][..]);
        input.extend_from_slice(&bytes("000000 800000 09 01000000"));
        input.extend_from_slice(&body);
        let result = reader.read(&mut input);
        let expected = if id < 5 { Ok(None) } else { Err(ChunkError::TooMuchPartial) };
        assert_eq!(result, expected, "chunk stream {id}");
    }
}

#[test]
fn finished_and_aborted_messages_count_no_more() {
    let mut reader = Reader::new();
    reader.set_chunk_size(MAX_MEDIA_MESSAGE as u32 - 1).expect("allowed");
    let body = vec![0; MAX_MEDIA_MESSAGE - 1];
    for round in 0..8 {
        let mut input = BytesMut::from(&bytes("03 000000 800000 09 01000000")[..]);
        input.extend_from_slice(&body);
        assert_eq!(reader.read(&mut input), Ok(None), "round {round}");
        if round % 2 == 0 {
            reader.abort(3);
        } else {
            input.extend_from_slice(&[0xC3, 0]);
            let message = reader.read(&mut input).expect("within the bound");
            assert_eq!(message.map(|message| message.payload.len()), Some(MAX_MEDIA_MESSAGE));
        }
    }
}

#[test]
fn abort_frees_what_came_and_lets_a_new_message_begin() {
    let mut reader = Reader::new();
    let mut input = BytesMut::from(&bytes("04 000000 000100 09 01000000")[..]);
    input.extend_from_slice(&[1; 128]);
    assert_eq!(reader.read(&mut input), Ok(None));
    reader.abort(4);
    reader.abort(77);
    input.extend_from_slice(&bytes("04 000000 000001 09 01000000 55"));
    let message = reader.read(&mut input).expect("sound").expect("whole");
    assert_eq!(message.payload, &[0x55][..]);
}

#[test]
fn claim_alone_reserves_little() {
    let mut reader = Reader::new();
    reader.set_chunk_size(0xFF_FFFF).expect("allowed");
    let mut input = BytesMut::from(&bytes("04 000000 7fffff 09 01000000 00")[..]);
    assert_eq!(reader.read(&mut input), Ok(None));
    assert!((1..=FIRST_RESERVE).contains(&reader.reserved()), "{}", reader.reserved());
}

#[test]
fn long_message_whole_in_the_input_is_cut_out_of_it() {
    let mut reader = Reader::new();
    reader.set_chunk_size(0x1_0000).expect("allowed");
    let mut input = BytesMut::from(&bytes("04 000000 001000 09 01000000")[..]);
    input.extend_from_slice(&[3; 0x1000]);
    let start = input[12..].as_ptr();
    let message = reader.read(&mut input).expect("sound").expect("whole");
    assert_eq!(message.payload.as_ptr(), start);
}
