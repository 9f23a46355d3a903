//! One session and a far end that writes its packets by hand.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::certificate::PeerId;
use crate::chunk::{Chunks, Fraction, Startup, encode_user_data};
use crate::crypto::{Keys, Negotiation, Opener, Sealer, session_id};
use crate::packet::{Header, Mode};
use crate::session::{
    Established, Event, Output, PacketError, Role, Session, SessionConfig, SessionId,
};
use crate::timecritical::TimeCritical;

pub(crate) const NEAR: SessionId = SessionId(0x0200_0000);
pub(crate) const FAR: SessionId = SessionId(0x0300_0000);

/// A packet of the session, opened.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) at: Instant,
    pub(crate) to: SocketAddr,
    pub(crate) len: usize,
    pub(crate) header: Header,
    pub(crate) chunks: Vec<(u8, Vec<u8>)>,
}

impl Packet {
    /// Payloads of the chunks of one type.
    pub(crate) fn of(&self, kind: u8) -> Vec<&[u8]> {
        self.chunks.iter().filter(|(k, _)| *k == kind).map(|(_, p)| &p[..]).collect()
    }
}

/// A session under test, its far end and virtual time.
pub(crate) struct Raw {
    pub(crate) session: Session,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) far: SocketAddr,
    pub(crate) events: Vec<Event>,
    pub(crate) sent: Vec<Packet>,
    pub(crate) datagrams: Vec<Vec<u8>>,
    sealer: Sealer,
    opener: Opener,
    ticks: u16,
    timeout: Option<Instant>,
}

pub(crate) fn plain() -> Negotiation {
    Negotiation::default()
}

pub(crate) fn secure() -> Negotiation {
    Negotiation {
        send_mac: Some(16),
        receive_mac: Some(16),
        send_sequence: true,
        receive_sequence: true,
    }
}

impl Raw {
    pub(crate) fn new(negotiation: Negotiation) -> Self {
        Self::with(negotiation, SessionConfig::default(), None)
    }

    pub(crate) fn with(
        negotiation: Negotiation,
        config: SessionConfig,
        shared: Option<TimeCritical>,
    ) -> Self {
        let start = Instant::now_for_tests();
        let far: SocketAddr = "192.0.2.1:1000".parse().expect("address");
        let session = Session::new(
            start,
            Established {
                role: Role::Responder,
                near_id: NEAR,
                far_id: FAR,
                address: far,
                peer_id: PeerId([7; 32]),
                keys: Keys::derive(b"secret", b"near", b"far"),
                negotiation,
                time_critical: shared.unwrap_or_else(|| TimeCritical::new(start)),
                secret: [9; 32],
                config,
            },
        );
        let keys = Keys::derive(b"secret", b"far", b"near");
        let mut this = Self {
            session,
            start,
            now: start,
            far,
            events: Vec::new(),
            sent: Vec::new(),
            datagrams: Vec::new(),
            sealer: keys.sealer(&negotiation),
            opener: keys.opener(&negotiation),
            ticks: 0,
            timeout: None,
        };
        this.poll();
        this
    }

    pub(crate) fn ms(&self) -> u64 {
        self.now.duration_since(self.start).as_millis() as u64
    }

    /// Seals a packet of the far end.
    pub(crate) fn seal(&mut self, header: Header, chunks: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.sealer.begin(&mut out);
        header.encode(&mut out);
        out.extend_from_slice(chunks);
        self.sealer.finish(&mut out);
        self.sealer.seal(NEAR.0, std::slice::from_mut(&mut out));
        out
    }

    pub(crate) fn header(&mut self) -> Header {
        self.ticks = self.ticks.wrapping_add(1);
        Header {
            mode: Mode::Initiator,
            time_critical: false,
            time_critical_reverse: false,
            timestamp: Some(self.ticks),
            timestamp_echo: None,
        }
    }

    pub(crate) fn send(&mut self, chunks: &[u8]) {
        let header = self.header();
        self.send_with(header, chunks);
    }

    pub(crate) fn send_with(&mut self, header: Header, chunks: &[u8]) {
        let mut datagram = self.seal(header, chunks);
        self.deliver(self.far, &mut datagram).expect("a valid packet");
    }

    pub(crate) fn deliver(
        &mut self,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<(), PacketError> {
        assert_eq!(session_id(datagram), Some(NEAR.0));
        let result = self.session.handle_packet(self.now, from, datagram);
        self.poll();
        result
    }

    /// Drains the session's outputs.
    pub(crate) fn poll(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Event(event) => self.events.push(event),
                Output::Transmit { to, bytes } => {
                    let mut datagram = bytes.to_vec();
                    self.datagrams.push(datagram.clone());
                    let len = datagram.len();
                    assert_eq!(session_id(&datagram), Some(FAR.0));
                    let plain = self.opener.open(&mut datagram).expect("opens").to_vec();
                    let (header, chunks) = Header::decode(&plain).expect("header");
                    assert_eq!(header.mode, Mode::Responder);
                    // RTMFP-006: TS in every packet, so TSE never without it.
                    assert!(header.timestamp.is_some(), "every packet has a timestamp");
                    // RTMFP-008.
                    assert!(len <= 1220, "{len} bytes");
                    let chunks = Chunks::new(chunks).map(|(k, p)| (k, p.to_vec())).collect();
                    self.sent.push(Packet { at: self.now, to, len, header, chunks });
                }
                Output::Timeout(at) => {
                    self.timeout = at;
                    return;
                }
            }
        }
    }

    /// Lets time pass, ringing every timer on its way.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut rings = 0;
        while let Some(at) = self.timeout.filter(|at| *at <= until) {
            assert!(at >= self.now || rings < 100, "a timer rings without end");
            rings = if at > self.now { 0 } else { rings + 1 };
            assert!(rings < 100, "a timer rings without end");
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.poll();
        }
        self.now = until;
    }

    pub(crate) fn advance_ms(&mut self, ms: u64) {
        self.advance(Duration::from_millis(ms));
    }

    pub(crate) fn take_sent(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.sent)
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Payloads of messages among the events, which are taken.
    pub(crate) fn take_messages(&mut self) -> Vec<Bytes> {
        self.take_events()
            .into_iter()
            .filter_map(|event| match event {
                Event::Message { payload, .. } => Some(payload),
                _ => None,
            })
            .collect()
    }
}

/// A User Data chunk.
pub(crate) fn data(flow: u64, sequence: u64, forward: u64, bytes: &[u8]) -> Vec<u8> {
    fragment(0, Fraction::Whole, flow, sequence, forward, bytes)
}

/// A User Data chunk of any kind.
pub(crate) fn fragment(
    flags: u8,
    fraction: Fraction,
    flow: u64,
    sequence: u64,
    forward: u64,
    bytes: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    encode_user_data(flags, fraction, flow, sequence, forward, None, &mut out, |out| {
        out.extend_from_slice(bytes);
    });
    out
}

/// The first User Data chunk of a flow.
pub(crate) fn first_data(flow: u64, association: Option<u64>, bytes: &[u8]) -> Vec<u8> {
    let startup = Startup { metadata: Some(b"TC\x04\0"), association, unknown_mandatory: false };
    let mut out = Vec::new();
    encode_user_data(0, Fraction::Whole, flow, 1, 0, Some(startup), &mut out, |out| {
        out.extend_from_slice(bytes);
    });
    out
}

/// A range acknowledgement.
pub(crate) fn ack(flow: u64, blocks: u64, cumulative: u64, above: &[(u64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::chunk::encode_range_ack(flow, blocks, cumulative, above.iter().copied(), 1000, &mut out);
    out
}

/// A starting point of virtual time.
pub(crate) trait TestInstant {
    fn now_for_tests() -> Instant;
}

impl TestInstant for Instant {
    #[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
    fn now_for_tests() -> Instant {
        Instant::now()
    }
}
