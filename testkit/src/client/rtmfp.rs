//! An RTMFP client over UDP, around [`ramona_tc::ClientEndpoint`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ramona_amf::Value;
use ramona_media::MediaFrame;
use ramona_rtmfp::{
    EndpointConfig, Entropy, Epd, Group, Identity, KeyPair, OpenId, PeerId, Policy, SessionId,
};
use ramona_rtmp::{ClientEvent, Message, PublishMode, StreamId};
use ramona_tc::{Client, ClientEndpoint, ClientEndpointOutput};
use tokio::net::UdpSocket;

use super::{Machine, NetClient, Shared, amf0};
use crate::wait;

/// How a client connects.
#[derive(Clone, Debug)]
pub struct RtmfpOptions {
    /// HMAC and session sequence numbers.
    pub checks: Policy,
    /// What its keys are computed with.
    pub group: Group,
    /// Its address on this machine.
    pub from: IpAddr,
    /// Of its keys: the same seed is the same peer. Random when there is none.
    pub seed: Option<[u8; 32]>,
    /// Arguments of connect.
    pub args: Vec<Value>,
    /// What its path does to datagrams, in both directions.
    pub path: Path,
}

/// What happens to datagrams on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// Lost of a hundred.
    pub loss: u32,
    /// How long each takes, one way.
    pub delay: Duration,
}

impl Default for RtmfpOptions {
    fn default() -> Self {
        Self {
            checks: Policy::ON_REQUEST,
            group: Group::Modp1024,
            from: Ipv4Addr::LOCALHOST.into(),
            seed: None,
            args: Vec::new(),
            path: Path::default(),
        }
    }
}

/// A client over UDP.
pub type RtmfpClient = NetClient<Rtmfp>;

/// The machine of an [`RtmfpClient`].
pub struct Rtmfp {
    endpoint: ClientEndpoint,
    socket: Arc<UdpSocket>,
    server: Vec<SocketAddr>,
    out: Vec<(SocketAddr, Vec<u8>)>,
    own: Vec<ramona_tc::ClientEvent>,
    opened: Vec<(Option<OpenId>, SessionId)>,
    deadline: Option<Instant>,
    path: Path,
    is_cut: bool,
    received: Vec<usize>,
    recorded: Option<Vec<Vec<u8>>>,
    random: Entropy,
}

impl Rtmfp {
    fn server(&mut self) -> &mut Client {
        self.endpoint.server_mut(Instant::now()).expect("a session with the server")
    }

    /// Whether the path takes a datagram.
    fn passes(&mut self) -> bool {
        !self.is_cut && self.random.u32() % 100 >= self.path.loss
    }
}

impl Machine for Rtmfp {
    type Client = Client;

    fn client(&mut self) -> &mut Client {
        self.server()
    }

    fn create_stream(&mut self) {
        self.server().create_stream().expect("there is room");
    }

    fn publish(&mut self, stream: StreamId, name: &str) {
        self.server().publish(stream, name, PublishMode::Live).expect("there is room");
    }

    fn play(&mut self, stream: StreamId, name: &str) {
        self.server().play(stream, name).expect("there is room");
    }

    fn call(&mut self, name: &str, args: &[u8]) -> f64 {
        self.server().call(name, args).expect("there is room")
    }

    fn send_frame(&mut self, stream: StreamId, frame: &MediaFrame) {
        self.server().send_frame(stream, frame, true).expect("there is room");
    }

    fn send_message(&mut self, message: &Message) {
        self.server().send_message(message).expect("there is room");
    }

    fn drain(&mut self, events: &mut Vec<ClientEvent>) -> bool {
        use ClientEndpointOutput as Out;
        loop {
            match self.endpoint.poll_output() {
                Out::Transmit { to, bytes } => self.out.push((to, bytes)),
                Out::Agree(job) => self.endpoint.handle_agreement(Instant::now(), job.run()),
                Out::Server(ramona_tc::ClientEvent::Net(event)) => events.push(event),
                Out::Server(event) => self.own.push(event),
                Out::Opened { opening, session } => self.opened.push((opening, session)),
                Out::OpenFailed(_) => {}
                Out::Timeout(at) => {
                    self.deadline = at;
                    let is_over = |event: &_| matches!(event, ramona_tc::ClientEvent::Closed(_));
                    return self.own.iter().any(is_over);
                }
            }
        }
    }
}

impl RtmfpClient {
    /// Connects to an application and waits until it is accepted.
    ///
    /// # Panics
    /// The server refuses, or nothing comes in time; so does every other wait of a client.
    pub async fn connect(server: SocketAddr, app: &str) -> Self {
        Self::connect_with(server, app, RtmfpOptions::default()).await
    }

    /// As [`connect`](Self::connect), with options.
    pub async fn connect_with(server: SocketAddr, app: &str, options: RtmfpOptions) -> Self {
        let client = Self::open(server, app, options).await;
        client.info().await;
        client
    }

    /// Opens a session, sends connect and goes on.
    pub async fn open(server: SocketAddr, app: &str, options: RtmfpOptions) -> Self {
        let args = amf0(&options.args);
        let client = Self::session(server, app, options).await;
        let url = format!("rtmfp://{server}/{app}");
        client.with(|server| server.connect(&url, &args).expect("there is room"));
        client
    }

    /// Opens a session and says nothing.
    pub async fn session(server: SocketAddr, app: &str, options: RtmfpOptions) -> Self {
        let (client, opening) = Self::seek_server(server, app, options).await;
        client.visit(opening).await;
        client
    }

    /// Says hello and goes on.
    pub async fn seek_server(
        server: SocketAddr,
        app: &str,
        options: RtmfpOptions,
    ) -> (Self, OpenId) {
        let socket = bind(options.from).await;
        let local = socket.local_addr().expect("an address");
        let seed = options.seed.unwrap_or_else(|| {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).expect("randomness");
            seed
        });
        let mut entropy = Entropy::from_seed(seed);
        let pair = KeyPair::generate(options.group, &mut entropy);
        let identity = Identity::client(vec![pair]).expect("an identity");
        let mut config = EndpointConfig::new(Arc::new(identity));
        (config.hmac, config.sequence_numbers) = (options.checks, options.checks);
        // The same peer may come twice; its sessions and nonces differ.
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).expect("randomness");
        let mut random = Entropy::from_seed(fresh);
        let mut endpoint = ClientEndpoint::new(Instant::now(), config, random.fork());
        let url = format!("rtmfp://{server}/{app}");
        let epd = Epd::of_server(url.as_bytes(), None);
        let opening = endpoint.open(Instant::now(), epd, &[server]).expect("an opening");
        let shared = Shared::new(Rtmfp {
            endpoint,
            socket: Arc::new(socket),
            server: vec![server],
            out: Vec::new(),
            own: Vec::new(),
            opened: Vec::new(),
            deadline: None,
            path: options.path,
            is_cut: false,
            received: Vec::new(),
            recorded: None,
            random,
        });
        let tasks = vec![tokio::spawn(serve(shared.clone()))];
        let client = Self { shared, tasks, local };
        client.shared.work(|_| ());
        (client, opening)
    }

    /// Waits for the session that an opening leads to; it is the one with the server.
    pub async fn visit(&self, opening: OpenId) {
        let what = format!("a session of {} with the server", self.local);
        let session = wait::until_some(&what, || self.opened_by(opening)).await;
        self.shared.work(|machine| machine.endpoint.visit(Instant::now(), session));
    }

    /// Whether an opening has led to a session.
    pub fn has_opened(&self, opening: OpenId) -> bool {
        self.opened_by(opening).is_some()
    }

    fn opened_by(&self, opening: OpenId) -> Option<SessionId> {
        let opened = &self.shared.lock().machine.opened;
        opened.iter().find_map(|(by, session)| (*by == Some(opening)).then_some(*session))
    }

    /// Who it is to others.
    pub fn peer_id(&self) -> PeerId {
        self.shared.lock().machine.endpoint.endpoint().identity().peer_id()
    }

    /// The address of the server that it has a session with.
    pub fn server(&self) -> SocketAddr {
        self.with(|server| server.session().far_address())
    }

    /// What happened besides what clients of RTMP are told too.
    pub fn own_events(&self) -> Vec<ramona_tc::ClientEvent> {
        self.shared.lock().machine.own.clone()
    }

    /// Waits for such an event.
    pub async fn own<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&ramona_tc::ClientEvent) -> Option<T>,
    ) -> T {
        let what = format!("client {}: {what}", self.local);
        wait::until_some(&what, || self.shared.lock().machine.own.iter().find_map(&mut look)).await
    }

    /// Members of groups that the server told, in their order.
    pub fn members(&self) -> Vec<PeerId> {
        let of = |event: &_| match event {
            ramona_tc::ClientEvent::Member { peer, .. } => Some(*peer),
            _ => None,
        };
        self.shared.lock().machine.own.iter().filter_map(of).collect()
    }

    /// Waits until the server told this member.
    pub async fn member(&self, peer: PeerId) {
        let what = format!("client {} to be told the member {peer}", self.local);
        wait::until(&what, || self.members().contains(&peer)).await;
    }

    /// Seeks a peer through the server that was dialled first.
    pub fn seek(&self, peer: PeerId) -> OpenId {
        self.shared.work(|machine| {
            let server = machine.server.clone();
            let opening = machine.endpoint.open(Instant::now(), Epd::of_peer(peer), &server);
            opening.expect("an opening")
        })
    }

    /// Seeks a peer and waits for a session with it; the peer's address.
    pub async fn meet(&self, peer: PeerId) -> SocketAddr {
        self.seek(peer);
        self.met(peer).await
    }

    /// Waits for a session with a peer, whoever opened it; the peer's address.
    pub async fn met(&self, peer: PeerId) -> SocketAddr {
        let what = format!("client {} to meet {peer}", self.local);
        wait::until_some(&what, || self.address_of(peer)).await
    }

    /// Where a peer is, with whom there is a session.
    pub fn address_of(&self, peer: PeerId) -> Option<SocketAddr> {
        let state = self.shared.lock();
        let endpoint = &state.machine.endpoint;
        let session = endpoint.session(endpoint.endpoint().session_of(peer)?)?;
        Some(session.far_address())
    }

    /// Continues from another port, as behind an address translator that forgot it.
    pub async fn rebind(&self) -> SocketAddr {
        let socket = bind(self.local.ip()).await;
        let address = socket.local_addr().expect("an address");
        self.shared.work(|machine| machine.socket = Arc::new(socket));
        address
    }

    /// Nothing reaches it and nothing leaves it, or it does again.
    pub fn cut(&self, is_cut: bool) {
        self.shared.lock().machine.is_cut = is_cut;
    }

    /// Another path.
    pub fn set_path(&self, path: Path) {
        self.shared.lock().machine.path = path;
    }

    /// Sizes of all datagrams that came in.
    pub fn received_sizes(&self) -> Vec<usize> {
        self.shared.lock().machine.received.clone()
    }

    /// Keeps what it sends from now on, or no more.
    pub fn record(&self, on: bool) {
        self.shared.lock().machine.recorded = on.then(Vec::new);
    }

    /// Datagrams sent since [`record`](Self::record).
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        self.shared.lock().machine.recorded.clone().unwrap_or_default()
    }

    /// Ends all its sessions in order.
    pub fn leave(&self) {
        self.shared.work(|machine| machine.endpoint.close(Instant::now()));
    }

    /// Frames that may get lost, on a publication.
    pub fn send_unreliably<'f>(
        &self,
        stream: StreamId,
        frames: impl IntoIterator<Item = &'f MediaFrame>,
    ) {
        self.with(|server| {
            for frame in frames {
                server.send_frame(stream, frame, false).expect("there is room");
            }
        });
    }
}

async fn bind(ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).await.expect("a UDP port");
    // A socket that nobody waited for takes nothing yet.
    socket.writable().await.expect("a UDP port");
    socket
}

/// Largest UDP payload.
const DATAGRAM: usize = 65_535;

async fn serve(shared: Arc<Shared<Rtmfp>>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (socket, deadline, delay) = {
            let machine = &mut shared.lock().machine;
            let out = std::mem::take(&mut machine.out);
            let socket = machine.socket.clone();
            for (to, bytes) in out {
                if machine.passes() {
                    if let Some(recorded) = &mut machine.recorded {
                        recorded.push(bytes.clone());
                    }
                    post(socket.clone(), to, bytes, machine.path.delay);
                }
            }
            (socket, machine.deadline, machine.path.delay)
        };
        let ring = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                // An ICMP answer to something sent before says nothing of this socket.
                let Ok((length, from)) = received else { continue };
                let datagram = buffer[..length].to_vec();
                if delay.is_zero() {
                    arrive(&shared, from, datagram);
                } else {
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(delay).await;
                        arrive(&shared, from, datagram);
                    });
                }
            }
            () = ring => shared.work(|machine| machine.endpoint.handle_timeout(Instant::now())),
            () = shared.work.notified() => {}
        }
    }
}

fn arrive(shared: &Shared<Rtmfp>, from: SocketAddr, mut datagram: Vec<u8>) {
    shared.work(|machine| {
        if machine.passes() {
            machine.received.push(datagram.len());
            machine.endpoint.handle_datagram(Instant::now(), from, &mut datagram);
        }
    });
}

fn post(socket: Arc<UdpSocket>, to: SocketAddr, bytes: Vec<u8>, delay: Duration) {
    if delay.is_zero() {
        // Without room it is lost, as datagrams may be.
        let _ = socket.try_send_to(&bytes, to);
        return;
    }
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        let _ = socket.try_send_to(&bytes, to);
    });
}
