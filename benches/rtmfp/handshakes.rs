//! Handshakes of a server, in this process: what is left beside the mathematics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ramona_modexp::Modulus;
use ramona_rtmfp::{
    Endpoint, EndpointConfig, EndpointEvent, EndpointOutput, Entropy, Epd, Group, Identity,
    KeyPair, SessionId,
};
use rustix::time::{ClockId, clock_gettime};

use super::peer::entropy;
use super::support::Outcome;

/// Bytes of the exponents that the server uses with group 14: 320 bits.
const EXPONENT: usize = 40;

/// Group 14 (RFC 3526 §3).
const PRIME: &str = "
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD
    EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F
    83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B
    E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510
    15728E5A8AACAA68FFFFFFFFFFFFFFFF";

/// What a number of handshakes took, in processor time of one thread.
#[derive(Default)]
pub(crate) struct Times {
    /// All that the server does from the first hello to the answer of the keying.
    pub(crate) handshakes: Duration,
    /// A fresh public key and a shared secret for each, computed apart.
    pub(crate) mathematics: Duration,
}

/// Measures so many handshakes with group 14. Each comes from a client of its own, whose part is
/// not measured.
pub(crate) fn measure(count: u32) -> Outcome<Times> {
    let failed = |error: std::io::Error| error.to_string();
    let mut entropy = entropy().map_err(failed)?;
    let groups = [Group::Modp1024, Group::Modp2048, Group::Modp4096];
    let identity = Identity::server(&groups, &mut entropy);
    let mut config = EndpointConfig::new(Arc::new(identity));
    // One machine asks for all.
    config.new_sessions_per_second = u32::MAX;
    config.max_sessions_per_address = usize::MAX;
    config.answer_bytes_per_second = u32::MAX;
    config.total_answer_bytes_per_second = u32::MAX;
    let mut server = Endpoint::new(Instant::now(), config, entropy.fork());
    let digits: Vec<u8> =
        PRIME.bytes().filter_map(|c| char::from(c).to_digit(16).map(|d| d as u8)).collect();
    let prime: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let modulus = Modulus::new(&prime, EXPONENT * 8).ok_or("no memory for the group")?;
    // Tables are built at first use.
    modulus.power_of_two(&[1; EXPONENT]);

    let mut times = Times::default();
    for number in 0..=count {
        let pair = KeyPair::generate(Group::Modp2048, &mut entropy);
        let far_public = pair.public().to_vec();
        let one = handshake(&mut server, pair, number, &mut entropy)?;
        let (begin, exponent) = (processor_time(), entropy.array::<EXPONENT>());
        let both = (modulus.power_of_two(&exponent), modulus.power(&far_public, &exponent));
        let mathematics = processor_time() - begin;
        std::hint::black_box(both);
        // The first one builds the server's tables.
        if number > 0 {
            times.handshakes += one;
            times.mathematics += mathematics;
        }
    }
    Ok(times)
}

/// One handshake; what it cost the server.
fn handshake(
    server: &mut Endpoint,
    pair: KeyPair,
    number: u32,
    entropy: &mut Entropy,
) -> Outcome<Duration> {
    let [a, b, c, d] = number.to_be_bytes();
    let near = SocketAddr::from(([192, 0, 2, 1], 1935));
    let far = SocketAddr::from(([10 | a, b, c, d], 50_000));
    let identity = Identity::client(vec![pair]).ok_or("no identity")?;
    let config = EndpointConfig::new(Arc::new(identity));
    let mut client = Endpoint::new(Instant::now(), config, entropy.fork());
    let epd = Epd::of_server(b"rtmfp://192.0.2.1/live", None);
    client.open(Instant::now(), epd, &[near]).map_err(|error| error.to_string())?;
    let mut hello = transmitted(&mut client)?;
    let mut cost = Duration::ZERO;

    let begin = processor_time();
    server.handle_datagram(Instant::now(), far, &mut hello);
    let mut answer = transmitted(server)?;
    cost += processor_time() - begin;

    client.handle_datagram(Instant::now(), near, &mut answer);
    let mut keying = transmitted(&mut client)?;

    let begin = processor_time();
    server.handle_datagram(Instant::now(), far, &mut keying);
    let opened = finish(server)?;
    cost += processor_time() - begin;
    server.remove_session(opened);
    Ok(cost)
}

/// The datagram that an endpoint wants to send.
fn transmitted(endpoint: &mut Endpoint) -> Outcome<Vec<u8>> {
    match endpoint.poll_output() {
        EndpointOutput::Transmit { bytes, .. } => Ok(bytes),
        other => Err(format!("a datagram was expected, not {other:?}")),
    }
}

/// Computes the agreement and opens the session; its answer is there to be sent.
fn finish(server: &mut Endpoint) -> Outcome<SessionId> {
    let mut opened = None;
    loop {
        match server.poll_output() {
            EndpointOutput::Event(EndpointEvent::Agree(job)) => {
                server.handle_agreement(Instant::now(), job.run());
            }
            EndpointOutput::Event(EndpointEvent::SessionOpened { session, .. }) => {
                opened = Some(session.id());
            }
            EndpointOutput::Event(event) => return Err(format!("unexpected {event:?}")),
            EndpointOutput::Transmit { bytes, .. } => {
                std::hint::black_box(bytes);
            }
            EndpointOutput::Timeout(_) => return opened.ok_or("no session opened".to_owned()),
        }
    }
}

/// Processor time of this thread: other work of the machine does not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
