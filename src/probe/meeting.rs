//! The probe's end of RTMFP, and what it does as a member of a NetGroup: it meets those that the
//! server tells it of, and is met.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use ramona_rtmfp::{EndpointConfig, Entropy, Epd, OpenId, OpeningProgress, PeerId, SessionId};
use ramona_tc::{Client, ClientEndpoint, ClientEndpointOutput, ClientEvent};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::report::{Report, millis};
use super::rtmfp::Watched;
use super::{ProbeError, visit};

/// Members that are met at a time; of others only the name is told.
const MAX_MEETINGS: usize = 32;

/// How long a member may take to answer.
const MEETING_PATIENCE: Duration = Duration::from_secs(10);

/// The largest UDP payload.
const DATAGRAM: usize = 65_535;

/// A socket and the client's endpoint on it.
pub(super) struct Rtmfp {
    socket: UdpSocket,
    is_ipv6: bool,
    endpoint: ClientEndpoint,
    /// Sessions that nobody looked at yet.
    opened: VecDeque<(Option<OpenId>, SessionId)>,
    outbox: Vec<(SocketAddr, Vec<u8>)>,
    events: VecDeque<ClientEvent>,
    members: VecDeque<PeerId>,
    agreement: Duration,
    sender: Option<SocketAddr>,
    /// The last datagram that the system did not take.
    trouble: Option<(SocketAddr, std::io::Error)>,
    buffer: Vec<u8>,
}

impl Rtmfp {
    /// A free port for both families, of IPv4 alone where there is no IPv6.
    pub(super) async fn open(config: EndpointConfig, entropy: Entropy) -> Result<Self, ProbeError> {
        let (socket, is_ipv6) = match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await {
            Ok(socket) => (socket, true),
            Err(_) => {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await;
                let failed = |error| ProbeError::Io { step: "UDP port", error };
                (socket.map_err(failed)?, false)
            }
        };
        Ok(Self {
            socket,
            is_ipv6,
            endpoint: ClientEndpoint::new(Instant::now(), config, entropy),
            opened: VecDeque::new(),
            outbox: Vec::new(),
            events: VecDeque::new(),
            members: VecDeque::new(),
            agreement: Duration::ZERO,
            sender: None,
            trouble: None,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// From here on this is the session with the server.
    pub(super) fn visit(&mut self, server: SessionId) {
        self.endpoint.visit(Instant::now(), server);
    }

    pub(super) fn server(&self) -> Option<&Client> {
        self.endpoint.server()
    }

    pub(super) fn session(&self, id: SessionId) -> Option<&ramona_rtmfp::Session> {
        self.endpoint.session(id)
    }

    pub(super) fn ask(&mut self, epd: Epd, at: &[SocketAddr]) -> Result<OpenId, ProbeError> {
        let opening = self.endpoint.open(Instant::now(), epd, at);
        opening.map_err(|error| ProbeError::Unsent { step: "hello", text: error.to_string() })
    }

    pub(super) fn cancel(&mut self, opening: OpenId) {
        self.endpoint.cancel(opening);
    }

    pub(super) fn progress(&self, opening: OpenId) -> Option<OpeningProgress> {
        self.endpoint.progress(opening)
    }

    /// Keyings that could not be combined with the probe's policies.
    pub(super) fn refused_keyings(&self) -> u64 {
        self.endpoint.endpoint().stats().keyings_refused
    }

    /// What the last computation of keys took.
    pub(super) fn agreement(&self) -> Duration {
        self.agreement
    }

    /// Who sent the last datagram.
    pub(super) fn last_sender(&self) -> String {
        self.sender.map_or_else(|| "somebody".to_owned(), |sender| sender.to_string())
    }

    /// The session that an opening led to.
    pub(super) fn take_opened(&mut self, opening: OpenId) -> Option<SessionId> {
        let at = self.opened.iter().position(|(by, _)| *by == Some(opening))?;
        self.opened.remove(at).map(|(_, id)| id)
    }

    /// Says something to the server.
    pub(super) fn speak<T>(
        &mut self,
        step: &'static str,
        say: impl FnOnce(&mut Client) -> Result<T, ProbeError>,
    ) -> Result<T, ProbeError> {
        match self.endpoint.server_mut(Instant::now()) {
            Some(server) => say(server),
            None => Err(ProbeError::Unsent { step, text: "no session".to_owned() }),
        }
    }

    /// Sends what is to be sent, then takes one datagram or lets the time come; at `until` at the
    /// latest.
    pub(super) async fn turn(&mut self, until: Instant) -> Result<(), ProbeError> {
        let deadline = self.pump();
        self.send().await;
        if !self.events.is_empty() || !self.opened.is_empty() {
            return Ok(());
        }
        let wake = deadline.map_or(until, |deadline| deadline.min(until));
        let left = wake.saturating_duration_since(Instant::now());
        match timeout(left, self.socket.recv_from(&mut self.buffer)).await {
            Ok(Ok((length, from))) => {
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                self.sender = Some(from);
                let datagram = &mut self.buffer[..length];
                self.endpoint.handle_datagram(Instant::now(), from, datagram);
            }
            // What ICMP says of one address is nothing about the others.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Ok(Err(error)) => return Err(ProbeError::Io { step: "UDP", error }),
            Err(_) => self.endpoint.handle_timeout(Instant::now()),
        }
        self.pump();
        self.send().await;
        Ok(())
    }

    /// Moves everything out of the machines; when they want to be called again.
    fn pump(&mut self) -> Option<Instant> {
        use ClientEndpointOutput as Out;
        loop {
            match self.endpoint.poll_output() {
                Out::Transmit { to, bytes } => self.outbox.push((to, bytes)),
                Out::Agree(job) => {
                    let begun = Instant::now();
                    let agreement = job.run();
                    self.agreement = begun.elapsed();
                    self.endpoint.handle_agreement(Instant::now(), agreement);
                }
                Out::Server(event) => self.events.push_back(event),
                Out::Opened { opening, session } => self.opened.push_back((opening, session)),
                Out::OpenFailed(_) => {}
                Out::Timeout(at) => return at,
            }
        }
    }

    async fn send(&mut self) {
        for (to, bytes) in std::mem::take(&mut self.outbox) {
            let ip = match to.ip() {
                IpAddr::V4(ip) if self.is_ipv6 => IpAddr::V6(ip.to_ipv6_mapped()),
                ip => ip,
            };
            if let Err(error) = self.socket.send_to(&bytes, (ip, to.port())).await {
                self.trouble = Some((to, error));
            }
        }
    }

    /// The next event that a visit waits for; others are told.
    pub(super) fn next_of_server(
        &mut self,
        step: &'static str,
        report: &mut Report<'_>,
    ) -> Result<Option<ramona_rtmp::ClientEvent>, ProbeError> {
        if let Some((to, error)) = self.trouble.take() {
            report.line("udp", format_args!("{to}: {error}"));
        }
        self.opened.retain(|(by, _)| by.is_some());
        while let Some(event) = self.events.pop_front() {
            match event {
                ClientEvent::Net(event) => return Ok(Some(event)),
                ClientEvent::Closed(reason) => {
                    return Err(ProbeError::Closed { step, text: format!("{reason:?}") });
                }
                ClientEvent::ControlEnded => {
                    let text = "the server ended its control flow".to_owned();
                    return Err(ProbeError::Closed { step, text });
                }
                ClientEvent::Keepalive { server_ms, peer_ms } => report.line(
                    "keepalive",
                    format_args!("every {server_ms} ms with the server, {peer_ms} ms with peers"),
                ),
                ClientEvent::Member { peer, .. } => self.members.push_back(peer),
                ClientEvent::ForwardedHello { reply, .. } => {
                    report.line("forward", format_args!("{} wants to meet", reply.socket));
                }
                ClientEvent::FlowRejected { stream, code } => {
                    let text = format!("a flow of stream {} with code {code}", stream.0);
                    return Err(ProbeError::Refused { step, text });
                }
                ClientEvent::GroupRefused(_) => {
                    let text = "the server takes no flow of a NetGroup".to_owned();
                    return Err(ProbeError::Refused { step: "group", text });
                }
                other => report.line("event", format_args!("{other:?}")),
            }
        }
        Ok(None)
    }

    /// Ends all sessions and waits until everybody heard, or no longer than `patience`.
    pub(super) async fn leave(&mut self, patience: Duration) {
        self.endpoint.close(Instant::now());
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if self.endpoint.is_over() || self.turn(until).await.is_err() {
                break;
            }
            self.events.clear();
            self.opened.clear();
        }
        self.pump();
        self.send().await;
    }

    /// This machine's address on the way to another.
    fn own_address(&self, to: SocketAddr) -> Option<SocketAddr> {
        let port = self.socket.local_addr().ok()?.port();
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        // Nothing is sent by connecting a UDP socket.
        let socket = std::net::UdpSocket::bind(any).ok()?;
        socket.connect(to).ok()?;
        Some(SocketAddr::new(socket.local_addr().ok()?.ip(), port))
    }
}

/// Is a member of a NetGroup for some time.
pub(super) async fn meet(
    link: &mut Rtmfp,
    specification: &str,
    duration: Duration,
    report: &mut Report<'_>,
) -> Result<(), ProbeError> {
    const STEP: &str = "NetGroup";
    let unsent = |error: ramona_rtmfp::WriteError| ProbeError::Unsent {
        step: STEP,
        text: error.to_string(),
    };
    let Some(server) = link.server().map(|server| server.session().far_address()) else {
        return Err(ProbeError::Unsent { step: STEP, text: "no session".to_owned() });
    };
    if let Some(own) = link.own_address(server) {
        link.speak(STEP, |client| client.set_peer_info(&[own]).map_err(unsent))?;
        report.line("group", format_args!("told the server the address {own}"));
    }
    let bytes = specification.as_bytes();
    let group = link.speak(STEP, |client| client.join_group_of(bytes).map_err(unsent))?;
    report.line("group", format_args!("joined {specification:?}"));
    let until = Instant::now() + duration;
    let (mut told, mut met) = (Vec::new(), Vec::new());
    let mut openings: Vec<(PeerId, Watched)> = Vec::new();
    while Instant::now() < until {
        while let Some(event) = link.next_of_server_or_peer(STEP, &mut met, report)? {
            visit::told(event, report);
        }
        while let Some(peer) = link.members.pop_front() {
            report.line("member", format_args!("{peer}"));
            told.push(peer);
            if openings.len() < MAX_MEETINGS && !met.contains(&peer) {
                let watched = Watched::open(link, Epd::of_peer(peer), &[server], "member")?;
                openings.push((peer, watched));
            }
        }
        openings.retain_mut(|(peer, watched)| {
            if let Some(session) = watched.look(link, report) {
                let after = millis(watched.asked.elapsed());
                if let Some(at) = link.session(session).map(ramona_rtmfp::Session::far_address) {
                    report.line("met", format_args!("{peer} at {at} after {after:.1} ms"));
                }
                met.push(*peer);
                return false;
            }
            if watched.asked.elapsed() > MEETING_PATIENCE {
                report.line("member", format_args!("{peer} does not answer"));
                link.cancel(watched.opening);
                return false;
            }
            // Over without a session: the other end opened one.
            link.progress(watched.opening).is_some()
        });
        link.turn(until).await?;
    }
    link.speak(STEP, |client| {
        client.leave_group(group);
        Ok(())
    })?;
    told.sort_unstable();
    told.dedup();
    met.sort_unstable();
    met.dedup();
    let (told, met) = (told.len(), met.len());
    report.line("group", format_args!("left; {told} members were told, {met} met"));
    if told > 0 && met == 0 {
        let hint = "the server introduces nobody, or members cannot be reached from here";
        return Err(ProbeError::Silent { step: "session with a member", waited: duration, hint });
    }
    Ok(())
}

/// Whom to wait for, whoever it is.
const ANYBODY: &str = "anybody";

/// Meets a peer through the server, or waits for one, and stays for the time.
pub(super) async fn find(
    link: &mut Rtmfp,
    peer: &str,
    duration: Duration,
    report: &mut Report<'_>,
) -> Result<(), ProbeError> {
    const STEP: &str = "session with a peer";
    let unsent = |text: String| ProbeError::Unsent { step: STEP, text };
    let sought = match peer {
        ANYBODY => None,
        peer => Some(peer.parse::<PeerId>().map_err(|_| {
            unsent(format!("{peer:?} is no peer id of 64 hex digits, nor {ANYBODY:?}"))
        })?),
    };
    let Some(server) = link.server().map(|server| server.session().far_address()) else {
        return Err(unsent("no session".to_owned()));
    };
    if let Some(own) = link.own_address(server) {
        link.speak(STEP, |client| {
            client.set_peer_info(&[own]).map_err(|error| unsent(error.to_string()))
        })?;
        report.line("meet", format_args!("told the server the address {own}"));
    }
    let until = Instant::now() + duration;
    let mut met = Vec::new();
    let mut watched = match sought {
        Some(peer) => Some(Watched::open(link, Epd::of_peer(peer), &[server], "peer")?),
        None => None,
    };
    report.line(
        "meet",
        match sought {
            Some(peer) => format!("seeks {peer}"),
            None => "waits for whoever asks".to_owned(),
        },
    );
    while Instant::now() < until {
        while let Some(event) = link.next_of_server_or_peer(STEP, &mut met, report)? {
            visit::told(event, report);
        }
        if let (Some(asked), Some(peer)) = (&mut watched, sought)
            && let Some(session) = asked.look(link, report)
        {
            let after = millis(asked.asked.elapsed());
            if let Some(at) = link.session(session).map(ramona_rtmfp::Session::far_address) {
                report.line("met", format_args!("{peer} at {at} after {after:.1} ms"));
            }
            met.push(peer);
            watched = None;
        }
        link.turn(until).await?;
    }
    if met.is_empty() {
        let hint = match sought {
            Some(_) => {
                "the server knows no such peer and sends on to none that does, or the peer \
                        cannot be reached from here"
            }
            None => "nobody asked for this peer",
        };
        return Err(ProbeError::Silent { step: STEP, waited: duration, hint });
    }
    Ok(())
}

impl Rtmfp {
    /// As [`next_of_server`](Self::next_of_server); sessions that others opened are told too.
    fn next_of_server_or_peer(
        &mut self,
        step: &'static str,
        met: &mut Vec<PeerId>,
        report: &mut Report<'_>,
    ) -> Result<Option<ramona_rtmp::ClientEvent>, ProbeError> {
        for (_, id) in self.opened.iter().filter(|(by, _)| by.is_none()) {
            if let Some(session) = self.endpoint.session(*id) {
                let (peer, at) = (session.peer_id(), session.far_address());
                report.line("met", format_args!("{peer} at {at}, who asked"));
                met.push(peer);
            }
        }
        self.next_of_server(step, report)
    }
}
