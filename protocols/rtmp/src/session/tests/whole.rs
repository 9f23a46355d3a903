//! A whole conversation gives the same events however its bytes are cut.

use proptest::prelude::*;

use super::*;
use crate::handshake::Greeting;

/// Connect, publish with media of many sizes, a call, play on a second stream, and the end.
fn conversation(greeting: Greeting, chunk_size: usize, cuts: Vec<usize>) -> Pair {
    let config = ClientConfig { greeting, chunk_size, ..ClientConfig::default() };
    let mut pair = Pair::with(config, cuts);
    pair.decide = |session, event| {
        accept(session, event);
        if let Event::Call { transaction, args, .. } = event {
            session.answer_call(*transaction, args).expect("fits");
        }
    };
    let (first, second) = (StreamId(1), StreamId(2));
    let client = &mut pair.client;
    client.connect("rtmp://host/app?x=1", &amf0(&["arg".into()])).expect("fits");
    client.create_stream();
    client.create_stream();
    client.publish(first, "s", PublishMode::Live).expect("fits");
    for (index, length) in [0, 1, 127, 128, 129, 2047, 2048, 9000].into_iter().enumerate() {
        let kind = [MediaKind::Audio, MediaKind::Video, MediaKind::Data][index % 3];
        let time = 0xFF_FFF0 + 5 * index as u32;
        client.send_frame(first, &frame(kind, time, &vec![index as u8; length])).expect("fits");
    }
    client.call("f", &amf0(&[vec_of_text(3000)])).expect("fits");
    client.play(second, "t").expect("fits");
    client.delete_stream(first);
    client.close_stream(second);
    pair.drive();
    pair
}

fn vec_of_text(length: usize) -> Value {
    Value::from("t".repeat(length))
}

#[test]
fn conversation_is_the_same_byte_by_byte() {
    let whole = conversation(Greeting::DigestFirst, 4096, vec![usize::MAX]);
    let single = conversation(Greeting::DigestFirst, 4096, vec![1]);
    assert_eq!(whole.events, single.events);
    assert_eq!(whole.client_events, single.client_events);
    assert_eq!(whole.events.len(), 1 + 1 + 8 + 1 + 1 + 2);
    assert_eq!(whole.statuses().len(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn conversation_is_the_same_however_it_is_cut(
        cuts in prop::collection::vec(prop_oneof![1usize..20, 100usize..3000], 1..30),
        chunk_size in prop_oneof![Just(1usize), Just(128), 2usize..70_000],
        digest in any::<bool>(),
    ) {
        let greeting = if digest { Greeting::DigestSecond } else { Greeting::Simple };
        let whole = conversation(greeting, chunk_size, vec![usize::MAX]);
        let cut = conversation(greeting, chunk_size, cuts);
        prop_assert_eq!(whole.events, cut.events);
        prop_assert_eq!(whole.client_events, cut.client_events);
    }
}
