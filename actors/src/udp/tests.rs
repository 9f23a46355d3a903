use super::*;
use futures_util::FutureExt;

#[actix::test]
async fn datagrams_of_all_sizes_arrive_whole_and_in_order_through_batches() {
    let near = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
    let far = bind("0.0.0.0:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
    let to = SocketAddr::new([127, 0, 0, 1].into(), far.local_addr().unwrap().port());
    let (near, far) = (Udp::new(near).unwrap(), Udp::new(far).unwrap());
    let sizes = [100, 100, 100, 40, 1_200, 1_200, 7, 0, 1_200, 1_300];
    for (index, size) in sizes.into_iter().enumerate() {
        near.send(to, None, &vec![index as u8; size]);
    }
    near.flush();
    let mut got = Vec::new();
    let mut buffers = ReceiveBuffers::new();
    while got.len() < sizes.len() {
        far.readable().await.unwrap();
        far.receive(
            &mut buffers,
            |_| {},
            |from, _, datagram| {
                assert!(from.is_ipv4(), "{from}");
                got.push((datagram.first().copied(), datagram.len()));
            },
        )
        .unwrap();
    }
    let sent: Vec<_> = sizes
        .into_iter()
        .enumerate()
        .map(|(index, size)| ((size > 0).then_some(index as u8), size))
        .collect();
    assert_eq!(got, sent);
    assert_eq!(near.take_dropped(), 0);
}

#[actix::test]
async fn one_batch_reaches_many_and_one_that_cannot_be_sent_costs_no_other() {
    let near = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
    let near = Udp::new(near).unwrap();
    let far: Vec<_> = (0..2 * MAX_ADDRESSES + 3)
        .map(|_| bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main)
        .map(|socket| (socket.local_addr().unwrap(), Udp::new(socket).unwrap()))
        .collect();
    let nowhere = "127.0.0.1:0".parse().unwrap();
    for (index, (to, _)) in far.iter().enumerate() {
        for length in [300, 300, index, 1_200] {
            near.send(*to, None, &vec![index as u8; length]);
        }
        if index == 5 {
            near.send(nowhere, None, b"lost");
        }
    }
    near.flush();
    assert_eq!(near.take_dropped(), 1);
    let mut buffers = ReceiveBuffers::new();
    for (index, (_, udp)) in far.iter().enumerate() {
        let mut got = Vec::new();
        while got.len() < 4 {
            udp.readable().await.unwrap();
            udp.receive(
                &mut buffers,
                |_| {},
                |_, _, datagram| {
                    assert!(datagram.iter().all(|byte| *byte == index as u8));
                    got.push(datagram.len());
                },
            )
            .unwrap();
        }
        assert_eq!(got, [300, 300, index, 1_200]);
    }
}

#[actix::test]
async fn what_the_kernel_does_not_cut_is_sent_one_by_one() {
    let near = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
    let near = Udp::new(near).unwrap();
    let far = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
    let (to, far) = (far.local_addr().unwrap(), Udp::new(far).unwrap());
    // More than the kernel cuts at a time: it says EINVAL, as for what it never cuts.
    near.segments.set(usize::MAX);
    let count = 300;
    (0..count).for_each(|_| near.send(to, None, &[7; 20]));
    near.flush();
    assert_eq!((near.segments.get(), near.take_dropped()), (1, 0));
    let mut buffers = ReceiveBuffers::new();
    let mut got = 0;
    while got < count {
        far.readable().await.unwrap();
        far.receive(
            &mut buffers,
            |_| {},
            |_, _, datagram| {
                assert_eq!(datagram, [7; 20]);
                got += 1;
            },
        )
        .unwrap();
    }
}

#[actix::test]
async fn a_watched_socket_is_told_of_again_until_all_was_read_and_of_each_later_datagram() {
    let near = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
    let far = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
    let to = far.local_addr().unwrap();
    let (near, far) = (Udp::new(near).unwrap(), Udp::new(far).unwrap());
    let watch = far.watch().unwrap();
    let mut buffers = ReceiveBuffers::new();
    let mut read = || {
        let mut count = 0;
        let is_more = far.receive(&mut buffers, |_| {}, |_, _, _| count += 1).unwrap();
        (is_more, count)
    };
    // More than one batch: what is left must not be forgotten.
    const COUNT: usize = BATCH_SIZE + 5;
    near.segments.set(1);
    (0..COUNT).for_each(|_| near.send(to, None, b"one of many"));
    near.flush();
    for expected in [(true, BATCH_SIZE), (false, COUNT - BATCH_SIZE)] {
        let mut ready = watch.readable().await.unwrap();
        assert_eq!(read(), expected);
        if !expected.0 {
            ready.clear_ready();
        }
    }
    for _ in 0..3 {
        assert!(watch.readable().now_or_never().is_none(), "all was read");
        near.send(to, None, b"one more");
        near.flush();
        let mut ready = watch.readable().await.unwrap();
        assert_eq!(read(), (false, 1));
        ready.clear_ready();
    }
}

/// A datagram for a session: its ID, scrambled with words of which `salt` is a part.
fn for_session(id: u32, salt: u32, length: usize) -> Vec<u8> {
    let mut datagram = vec![0; length];
    let (a, b) = (0x1234_5678_u32 ^ salt, 0x9abc_def0_u32 ^ id.rotate_left(7));
    for (word, value) in [id ^ a ^ b, a, b].into_iter().enumerate() {
        datagram[4 * word..][..4].copy_from_slice(&value.to_be_bytes());
    }
    assert_eq!(ramona_rtmfp::session_of(&datagram).map_or(0, |id| id.0), id);
    datagram
}

/// Reads so many datagrams, and all that are there: their session IDs and lengths.
async fn read(socket: UdpSocket, expected: usize) -> Vec<(u32, usize)> {
    let udp = Udp::new(socket).unwrap();
    let mut buffers = ReceiveBuffers::new();
    let mut got = Vec::new();
    loop {
        let take = |_, _, datagram: &mut [u8]| {
            let id = ramona_rtmfp::session_of(datagram).map_or(0, |id| id.0);
            got.push((id, datagram.len()));
        };
        let is_more = udp.receive(&mut buffers, |_| {}, take).unwrap();
        match is_more {
            true => {}
            false if got.len() < expected => udp.readable().await.unwrap(),
            false => return got,
        }
    }
}

#[actix::test]
async fn readers_of_one_port_get_the_datagrams_of_their_sessions_and_the_small_ones_apart() {
    const READERS: u32 = 3;
    let shares = bind("127.0.0.1:0".parse().unwrap(), None, READERS as usize).unwrap();
    let at = shares[0].main.local_addr().unwrap();
    let sources: Vec<_> = (0..4).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let ids = [1, 2, 3, 4, 700_000_001, u32::MAX, u32::MAX - 1, 0x8000_0000];
    let lengths = [20, 36, 52, 68, 1_220];
    let is_small = |id, length| match id & ramona_rtmfp::SessionId::AUTHENTICATED {
        0 => length <= 36,
        _ => length <= 52,
    };
    for source in &sources {
        for id in ids {
            for length in lengths {
                source.send_to(&for_session(id, 0, length), at).unwrap();
            }
        }
    }
    for (index, shares) in shares.into_iter().enumerate() {
        for (small, socket) in [(false, shares.main), (true, shares.small.unwrap())] {
            let own = ids.iter().filter(|id| *id % READERS == index as u32);
            let mut expected: Vec<_> = own
                .flat_map(|id| lengths.map(|length| (*id, length)))
                .filter(|(id, length)| is_small(*id, *length) == small)
                .flat_map(|one| [one; 4])
                .collect();
            let mut got = read(socket, expected.len()).await;
            expected.sort_unstable();
            got.sort_unstable();
            assert_eq!(got, expected, "reader {index}, small: {small}");
        }
    }
}

#[actix::test]
async fn readers_of_one_port_share_what_is_outside_sessions_and_no_stranger_joins_them() {
    let shares = bind("127.0.0.1:0".parse().unwrap(), None, 2).unwrap();
    let at = shares[0].main.local_addr().unwrap();
    let error = bind(at, None, 2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let source = UdpSocket::bind("127.0.0.1:0").unwrap();
    for salt in 0..64 {
        source.send_to(&for_session(0, salt, 36), at).unwrap();
    }
    for shares in shares {
        assert_eq!(read(shares.main, 32).await.len(), 32);
        assert!(read(shares.small.unwrap(), 0).await.is_empty());
    }
}
