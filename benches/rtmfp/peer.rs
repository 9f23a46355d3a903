//! One RTMFP client on a UDP socket of its own, as a real one has.

use std::io::{Error, Result};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ramona_rtmfp::{
    Endpoint, EndpointConfig, EndpointEvent, EndpointOutput, Entropy, Epd, Group, Identity,
    KeyPair, Policy, Session,
};
use ramona_rtmp::{ClientEvent as Net, StreamId};
use ramona_tc::{Client, ClientEvent, ClientOutput};
use tokio::net::UdpSocket;

/// Larger than any datagram of a session.
const DATAGRAM: usize = 4096;

/// How long a session may take to open, with repeated hellos.
const OPENING: Duration = Duration::from_secs(20);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// The checks of packets that a session uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// HMAC and session sequence numbers, both ways.
    Full,
    /// The simple checksum.
    Simple,
}

impl Checks {
    pub(crate) fn policy(self) -> Policy {
        match self {
            Self::Full => Policy::STRICT,
            Self::Simple => Policy::ON_REQUEST,
        }
    }
}

/// A client with an open session.
pub(crate) struct Peer {
    socket: UdpSocket,
    client: Client,
    buffer: Box<[u8]>,
}

impl Peer {
    /// Opens a session with the server from an address of this machine.
    pub(crate) async fn open(
        from: IpAddr,
        server: SocketAddr,
        checks: Checks,
        group: Group,
    ) -> Result<Self> {
        let socket = UdpSocket::bind((from, 0)).await?;
        let opened = tokio::time::timeout(OPENING, handshake(&socket, server, checks, group));
        let session = opened.await.map_err(|_| Error::other("no session was opened"))??;
        let client = Client::new(Instant::now(), session);
        Ok(Self { socket, client, buffer: vec![0; DATAGRAM].into() })
    }

    /// connect; waits for the answer.
    pub(crate) async fn connect(&mut self, server: SocketAddr) -> Result<()> {
        self.client().connect(&format!("rtmfp://{server}/live"), &[]).map_err(Error::other)?;
        self.expect(|event| match event {
            ClientEvent::Net(Net::Connected { .. }) => Some(()),
            _ => None,
        })
        .await
    }

    /// createStream; waits for the answer.
    pub(crate) async fn create_stream(&mut self) -> Result<StreamId> {
        self.client().create_stream().map_err(Error::other)?;
        self.expect(|event| match event {
            ClientEvent::Net(Net::StreamCreated(stream)) => Some(stream),
            _ => None,
        })
        .await
    }

    /// The client, told what time it is. What it says leaves with the next event waited for.
    pub(crate) fn client(&mut self) -> &mut Client {
        self.client.set_now(Instant::now());
        &mut self.client
    }

    /// Waits for an event that `pick` takes; others are passed over.
    pub(crate) async fn expect<T>(&mut self, pick: impl Fn(ClientEvent) -> Option<T>) -> Result<T> {
        let until = Instant::now() + ANSWER;
        while let Some(event) = self.event(Some(until)).await? {
            if let ClientEvent::Net(Net::Refused(info)) = &event {
                return Err(Error::other(format!("connect was refused: {info:?}")));
            }
            if let Some(found) = pick(event) {
                return Ok(found);
            }
        }
        Err(Error::other("the server does not answer"))
    }

    /// The next event, or none until then.
    pub(crate) async fn event(&mut self, until: Option<Instant>) -> Result<Option<ClientEvent>> {
        loop {
            let deadline = loop {
                match self.client.poll_output() {
                    ClientOutput::Event(ClientEvent::Closed(reason)) => {
                        return Err(Error::other(format!("the session closed: {reason:?}")));
                    }
                    ClientOutput::Event(event) => return Ok(Some(event)),
                    ClientOutput::Transmit { to, bytes } => {
                        // Without room it is lost, as datagrams may be.
                        let _ = self.socket.try_send_to(bytes, to);
                    }
                    ClientOutput::Timeout(Some(at)) => break at,
                    ClientOutput::Timeout(None) => return Err(Error::other("the session is over")),
                }
            };
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(None);
            }
            let wake = until.map_or(deadline, |until| until.min(deadline));
            let received = self.socket.recv_from(&mut self.buffer);
            match tokio::time::timeout_at(wake.into(), received).await {
                Ok(received) => {
                    let (length, from) = received?;
                    let datagram = &mut self.buffer[..length];
                    self.client.handle_packet(Instant::now(), from, datagram);
                }
                Err(_) => self.client.handle_timeout(Instant::now()),
            }
        }
    }
}

/// An endpoint for one session: each client is somebody else.
async fn handshake(
    socket: &UdpSocket,
    server: SocketAddr,
    checks: Checks,
    group: Group,
) -> Result<Box<Session>> {
    let mut entropy = entropy()?;
    let pair = KeyPair::generate(group, &mut entropy);
    let identity = Identity::client(vec![pair]).ok_or(Error::other("no identity"))?;
    let mut config = EndpointConfig::new(Arc::new(identity));
    config.hmac = checks.policy();
    config.sequence_numbers = checks.policy();
    let mut endpoint = Endpoint::new(Instant::now(), config, entropy);
    let epd = Epd::of_server(format!("rtmfp://{server}/live").as_bytes(), None);
    endpoint.open(Instant::now(), epd, &[server]).map_err(Error::other)?;
    let mut opened = None;
    let mut buffer = [0; DATAGRAM];
    loop {
        let deadline = loop {
            match endpoint.poll_output() {
                EndpointOutput::Transmit { to, bytes } => {
                    socket.send_to(&bytes, to).await?;
                }
                EndpointOutput::Event(EndpointEvent::Agree(job)) => {
                    endpoint.handle_agreement(Instant::now(), job.run());
                }
                EndpointOutput::Event(EndpointEvent::SessionOpened { session, .. }) => {
                    opened = Some(session);
                }
                EndpointOutput::Event(_) => {}
                EndpointOutput::Timeout(at) => break at,
            }
        };
        if let Some(session) = opened {
            return Ok(session);
        }
        let deadline = deadline.ok_or(Error::other("the opening was given up"))?;
        match tokio::time::timeout_at(deadline.into(), socket.recv_from(&mut buffer)).await {
            Ok(received) => {
                let (length, from) = received?;
                endpoint.handle_datagram(Instant::now(), from, &mut buffer[..length]);
            }
            Err(_) => endpoint.handle_timeout(Instant::now()),
        }
    }
}

/// Random bytes of the operating system.
pub(crate) fn entropy() -> Result<Entropy> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(Error::other)?;
    Ok(Entropy::from_seed(seed))
}
