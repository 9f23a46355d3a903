//! A probe over RTMFP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ramona_rtmfp::{
    EndpointConfig, Entropy, Epd, Group, Identity, KeyPair, Negotiation, OpeningProgress, PeerId,
    Policy, SessionId,
};
use ramona_rtmp::{ClientEvent, StreamId};

use super::link::{Link, ping};
use super::meeting::{self, Rtmfp};
use super::report::{Report, millis};
use super::{Probe, ProbeError, visit};

/// What the probe takes of Diffie-Hellman groups; a server picks none, the strongest of both
/// counts.
const GROUPS: [Group; 3] = [Group::Modp1024, Group::Modp2048, Group::Modp4096];

/// From the end of the probe's session to the end of waiting for the server's answer.
const GOODBYE: Duration = Duration::from_secs(1);

pub(super) async fn probe(
    probe: &Probe,
    addresses: &[SocketAddr],
    report: &mut Report<'_>,
) -> Result<(), ProbeError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| ProbeError::Io { step: "keys", error: error.into() })?;
    let mut entropy = Entropy::from_seed(seed);
    let keys = GROUPS.iter().map(|group| KeyPair::generate(*group, &mut entropy)).collect();
    let identity =
        Arc::new(Identity::client(keys).ok_or_else(|| ProbeError::Unsent {
            step: "keys",
            text: "no certificate".to_owned(),
        })?);
    report.line("identity", format_args!("the probe's peer id is {}", identity.peer_id()));
    let mut link = None;
    for policy in [Policy::STRICT, Policy::ON_REQUEST] {
        let mut config = EndpointConfig::new(identity.clone());
        (config.hmac, config.sequence_numbers) = (policy, policy);
        let mut candidate = Rtmfp::open(config, entropy.fork()).await?;
        if let Some(session) = session(&mut candidate, probe, addresses, report).await? {
            candidate.visit(session);
            link = Some(candidate);
            break;
        }
        report.line("keying", "the server offers neither HMAC nor numbers: asking for none");
    }
    let Some(mut link) = link else {
        let text = "the server's keying fits none of what the probe offers".to_owned();
        return Err(ProbeError::Refused { step: "keying", text });
    };
    let visited = visit(&mut link, probe, report).await;
    link.leave(GOODBYE).await;
    report.line("end", "closed by the probe");
    visited
}

async fn visit(link: &mut Rtmfp, probe: &Probe, report: &mut Report<'_>) -> Result<(), ProbeError> {
    visit::connect(link, probe, report).await?;
    visit::ping(link, report).await?;
    if let Some(time) = link.server().and_then(|server| server.session().round_trip()) {
        report.line("round trip", format_args!("of packets: {:.2} ms, smoothed", millis(time)));
    }
    if let Some((name, duration)) = &probe.play {
        visit::play(link, probe, name, *duration, report).await?;
    }
    if let Some((specification, duration)) = &probe.group {
        meeting::meet(link, specification, *duration, report).await?;
    }
    if let Some((peer, duration)) = &probe.meet {
        meeting::find(link, peer, *duration, report).await?;
    }
    Ok(())
}

/// A session with the server; `None` when it cannot what the policies require.
async fn session(
    link: &mut Rtmfp,
    probe: &Probe,
    addresses: &[SocketAddr],
    report: &mut Report<'_>,
) -> Result<Option<SessionId>, ProbeError> {
    let epd = Epd::of_server(probe.url.as_bytes(), None);
    let mut watched = Watched::open(link, epd, addresses, "server")?;
    let until = watched.asked + probe.timeout;
    loop {
        link.turn(until).await?;
        if link.refused_keyings() > 0 {
            link.cancel(watched.opening);
            return Ok(None);
        }
        if let Some(session) = watched.look(link, report) {
            return Ok(Some(session));
        }
        let waited = probe.timeout;
        if Instant::now() >= until {
            return Err(match watched.hello {
                None => ProbeError::Silent {
                    step: "answer to Initiator Hello",
                    waited,
                    hint: "nothing listens on that UDP port, a firewall drops it, or a script \
                           redirects to where nobody is",
                },
                Some(_) => ProbeError::Silent {
                    step: "answer to Initiator Keying",
                    waited,
                    hint: "the server answered the hello, but takes no more sessions or none \
                           with this cryptography",
                },
            });
        }
    }
}

/// An opening and what was told of it.
pub(super) struct Watched {
    pub(super) opening: ramona_rtmfp::OpenId,
    pub(super) asked: Instant,
    who: &'static str,
    known: Vec<SocketAddr>,
    hello: Option<(Instant, PeerId)>,
}

impl Watched {
    pub(super) fn open(
        link: &mut Rtmfp,
        epd: Epd,
        addresses: &[SocketAddr],
        who: &'static str,
    ) -> Result<Self, ProbeError> {
        let asked = Instant::now();
        let opening = link.ask(epd, addresses)?;
        Ok(Self { opening, asked, who, known: addresses.to_vec(), hello: None })
    }

    /// Tells what is new; the session when it is there.
    pub(super) fn look(&mut self, link: &mut Rtmfp, report: &mut Report<'_>) -> Option<SessionId> {
        let (who, now) = (self.who, Instant::now());
        let after = millis(now - self.asked);
        match link.progress(self.opening) {
            Some(OpeningProgress::Asking(list)) => {
                let from = link.last_sender();
                for address in list.into_iter().filter(|address| !self.known.contains(address)) {
                    report.line(
                        "redirect",
                        format_args!("after {after:.1} ms {from} gives the address {address}"),
                    );
                }
                self.note(link);
            }
            Some(OpeningProgress::Keying { to, responder, group, .. }) if self.hello.is_none() => {
                self.hello = Some((now, responder));
                report.line(
                    "hello",
                    format_args!("answered by {to} after {after:.1} ms; {who} {responder}"),
                );
                report.line("keying", format_args!("with group {}", group.id()));
            }
            Some(_) => {}
            None => {
                let id = link.take_opened(self.opening)?;
                let session = link.session(id)?;
                let keying = self.hello.map_or(0.0, |(hello, _)| millis(now - hello));
                let computing = millis(link.agreement());
                report.line(
                    "keying",
                    format_args!(
                        "answered after {keying:.1} ms, of which {computing:.1} ms are the \
                         probe's own computing"
                    ),
                );
                let far = session.far_address();
                report
                    .line("session", format_args!("up with {who} {} at {far}", session.peer_id()));
                let Negotiation { send_mac, receive_mac, send_sequence, receive_sequence } =
                    session.negotiation();
                report.line("session", format_args!("sends {}", checks(send_mac, send_sequence)));
                report.line(
                    "session",
                    format_args!("receives {}", checks(receive_mac, receive_sequence)),
                );
                return Some(id);
            }
        }
        None
    }

    /// Addresses that were told.
    fn note(&mut self, link: &Rtmfp) {
        if let Some(OpeningProgress::Asking(list)) = link.progress(self.opening) {
            self.known.extend(list);
            self.known.dedup();
        }
    }
}

fn checks(mac: Option<usize>, is_numbered: bool) -> String {
    let mac = match mac {
        Some(bytes) => format!("packets with an HMAC of {bytes} bytes"),
        None => "packets with the simple checksum".to_owned(),
    };
    format!("{mac}, {}", if is_numbered { "numbered" } else { "not numbered" })
}

fn unsent(step: &'static str) -> impl Fn(ramona_rtmfp::WriteError) -> ProbeError {
    move |error| ProbeError::Unsent { step, text: error.to_string() }
}

impl Link for Rtmfp {
    fn connect(&mut self, url: &str) -> Result<(), ProbeError> {
        self.speak("connect", |server| server.connect(url, &[]).map_err(unsent("connect")))
    }

    fn create_stream(&mut self) -> Result<(), ProbeError> {
        self.speak("createStream", |server| server.create_stream().map_err(unsent("createStream")))
    }

    fn play(&mut self, stream: StreamId, name: &str) -> Result<(), ProbeError> {
        self.speak("play", |server| server.play(stream, name).map_err(unsent("play")))
    }

    fn ping(&mut self, value: u32) -> Result<(), ProbeError> {
        self.speak("ping", |server| server.send_message(&ping(value)).map_err(unsent("ping")))
    }

    async fn next(
        &mut self,
        step: &'static str,
        until: Instant,
        report: &mut Report<'_>,
    ) -> Result<Option<ClientEvent>, ProbeError> {
        loop {
            if let Some(event) = self.next_of_server(step, report)? {
                return Ok(Some(event));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            self.turn(until).await?;
        }
    }
}
