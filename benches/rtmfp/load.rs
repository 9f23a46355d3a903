//! The load: a publisher and viewers, RTMFP both, on one thread.

use std::cell::RefCell;
use std::io::{Error, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ramona_media::{MediaFrame, MediaKind};
use ramona_rtmfp::Group;
use ramona_rtmp::{ClientEvent as Net, PublishMode, StreamId};
use ramona_tc::ClientEvent;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::peer::{Checks, Peer};
use super::stream::{self, Stamp, WARM_UP};
use super::support::{Outcome, say};

/// What is published and played.
const NAME: &str = "bench";

/// How long the last messages may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sessions that are opened at a time; the node computes up to 16 agreements at once.
const OPENING: usize = 8;

/// Addresses of this machine that idle sessions come from: the node takes 50 new sessions a second
/// and 1,024 in all from one.
const ADDRESSES: usize = 20;

/// What the viewers have seen, of messages after the warm-up.
#[derive(Default)]
struct Seen {
    messages: u64,
    /// Messages that came after a later one of their kind.
    disorder: u64,
    latencies_us: Vec<u32>,
}

/// Runs a future with tasks beside it.
fn block_on<T>(future: impl Future<Output = Result<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    LocalSet::new().block_on(&runtime, future).map_err(|error| format!("the load failed: {error}"))
}

/// One publisher and many viewers; says `begin` after the warm-up, `end` when all has arrived, and
/// then the figures.
pub(crate) fn media(
    server: SocketAddr,
    checks: Checks,
    viewers: usize,
    messages: u32,
) -> Outcome<()> {
    let seen = block_on(async {
        let clock = Instant::now();
        let seen = Rc::new(RefCell::new(Seen::default()));
        for _ in 0..viewers {
            let (peer, stream) = player(server, checks).await?;
            let seen = seen.clone();
            spawn_local(async move {
                if let Err(error) = view(peer, stream, clock, &seen).await {
                    eprintln!("a viewer ended: {error}");
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let expected = viewers as u64 * u64::from(messages);
        seen.borrow_mut().latencies_us.reserve(expected as usize);
        let publisher = spawn_local(publish(server, checks, messages, clock));
        let mut peer = publisher.await.map_err(Error::other)??;
        let deadline = Instant::now() + PATIENCE;
        while seen.borrow().messages < expected && Instant::now() < deadline {
            peer.event(Some(Instant::now() + Duration::from_millis(10))).await?;
        }
        say("end");
        // The measured process is looked at before its viewers leave.
        let until = Instant::now() + Duration::from_millis(300);
        while peer.event(Some(until)).await?.is_some() {}
        Ok(seen.take())
    })?;
    let Seen { messages: arrived, disorder, mut latencies_us } = seen;
    latencies_us.sort_unstable();
    let at = |part: f64| {
        let index = (latencies_us.len() as f64 * part) as usize;
        latencies_us.get(index).copied().unwrap_or(0)
    };
    let expected = viewers as u64 * u64::from(messages);
    say(&format!("figures {arrived} {expected} {disorder} {} {}", at(0.5), at(0.99)));
    Ok(())
}

/// Opens as many sessions, connects each and keeps it; says `ready`, and waits to be ended.
pub(crate) fn idle(server: SocketAddr, sessions: usize) -> Outcome<()> {
    block_on(async {
        let mut opening: Vec<JoinHandle<Result<()>>> = Vec::new();
        for number in 0..sessions {
            if opening.len() >= OPENING {
                opening.remove(0).await.map_err(Error::other)??;
            }
            opening.push(spawn_local(idle_session(number, server)));
        }
        for last in opening {
            last.await.map_err(Error::other)??;
        }
        say("ready");
        tokio::time::sleep(Duration::from_secs(600)).await;
        Ok(())
    })
}

async fn idle_session(number: usize, server: SocketAddr) -> Result<()> {
    let network = 1 + (number % ADDRESSES) as u8;
    let from = Ipv4Addr::new(127, 0, network, 1).into();
    let mut peer = Peer::open(from, server, Checks::Full, Group::Modp1024).await?;
    peer.connect(server).await?;
    // The answer says how often to keep the session alive.
    peer.client().set_peer_info(&[]).map_err(Error::other)?;
    peer.expect(|event| matches!(event, ClientEvent::Keepalive { .. }).then_some(())).await?;
    spawn_local(async move {
        loop {
            if let Err(error) = peer.event(None).await {
                return eprintln!("an idle session ended: {error}");
            }
        }
    });
    Ok(())
}

async fn client(server: SocketAddr, checks: Checks) -> Result<(Peer, StreamId)> {
    let from = Ipv4Addr::LOCALHOST.into();
    let mut peer = Peer::open(from, server, checks, Group::Modp2048).await?;
    peer.connect(server).await?;
    let stream = peer.create_stream().await?;
    Ok((peer, stream))
}

async fn player(server: SocketAddr, checks: Checks) -> Result<(Peer, StreamId)> {
    let (mut peer, stream) = client(server, checks).await?;
    peer.client().play(stream, NAME).map_err(Error::other)?;
    Ok((peer, stream))
}

async fn view(
    mut peer: Peer,
    stream: StreamId,
    clock: Instant,
    seen: &RefCell<Seen>,
) -> Result<()> {
    // Audio and video are flows of their own, so that one may overtake the other.
    let mut last = [None; 2];
    loop {
        let Some(ClientEvent::Net(Net::Media { stream: from, frame })) = peer.event(None).await?
        else {
            continue;
        };
        let Some(stamp) = Stamp::read(&frame.payload).filter(|_| from == stream) else { continue };
        let now = clock.elapsed().as_nanos() as u64;
        let last = &mut last[usize::from(frame.kind == MediaKind::Video)];
        let follows = last.replace(stamp.number).is_none_or(|last| last < stamp.number);
        if stamp.number >= WARM_UP {
            let mut seen = seen.borrow_mut();
            seen.messages += 1;
            seen.disorder += u64::from(!follows);
            seen.latencies_us.push((now.saturating_sub(stamp.nanos) / 1000) as u32);
        }
    }
}

/// Sends each message when it is due, its stamp inside.
async fn publish(
    server: SocketAddr,
    checks: Checks,
    messages: u32,
    clock: Instant,
) -> Result<Peer> {
    let (mut peer, stream) = client(server, checks).await?;
    peer.client().publish(stream, NAME, PublishMode::Live).map_err(Error::other)?;
    peer.expect(|event| match event {
        ClientEvent::Net(Net::Status { code, .. }) if &code[..] == b"NetStream.Publish.Start" => {
            Some(())
        }
        _ => None,
    })
    .await?;
    for message in stream::headers() {
        send(&mut peer, stream, message)?;
    }
    let begin = Instant::now();
    for (number, mut message) in (0..WARM_UP + messages).zip(stream::messages()) {
        while peer.event(Some(begin + message.due)).await?.is_some() {}
        if number == WARM_UP {
            say("begin");
        }
        let nanos = clock.elapsed().as_nanos() as u64;
        Stamp { nanos, number }.write(&mut message.payload);
        send(&mut peer, stream, message)?;
    }
    Ok(peer)
}

fn send(peer: &mut Peer, stream: StreamId, message: stream::Message) -> Result<()> {
    let kind = if message.kind == stream::VIDEO { MediaKind::Video } else { MediaKind::Audio };
    let time_ms = message.due.as_millis() as u32;
    let frame = MediaFrame::new(kind, time_ms, message.payload.into());
    peer.client().send_frame(stream, &frame, true).map_err(Error::other)
}
