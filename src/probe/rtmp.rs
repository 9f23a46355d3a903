//! A probe over RTMP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ramona_rtmp::{Client, ClientConfig, ClientEvent, ClientOutput, StreamId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::link::{Link, ping};
use super::report::Report;
use super::{Probe, ProbeError, visit};

/// The machine's own patience; the probe's is shorter, and it tells where it ended.
const MACHINE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Bytes taken from the socket at once.
const READ: usize = 64 << 10;

struct Rtmp {
    socket: TcpStream,
    client: Client,
    input: BytesMut,
}

pub(super) async fn probe(
    probe: &Probe,
    addresses: &[SocketAddr],
    report: &mut Report<'_>,
) -> Result<(), ProbeError> {
    let socket = open(probe, addresses, report).await?;
    let mut entropy = [0; 64];
    getrandom::fill(&mut entropy)
        .map_err(|error| ProbeError::Io { step: "handshake", error: error.into() })?;
    let config = ClientConfig { connect_timeout: MACHINE_TIMEOUT, ..ClientConfig::default() };
    let client = Client::new(Instant::now(), config, entropy);
    let mut link = Rtmp { socket, client, input: BytesMut::new() };
    handshake(&mut link, probe, report).await?;
    visit::connect(&mut link, probe, report).await?;
    visit::ping(&mut link, report).await?;
    if let Some((name, duration)) = &probe.play {
        visit::play(&mut link, probe, name, *duration, report).await?;
    }
    if probe.group.is_some() {
        report.line("group", "NetGroups are of RTMFP: not asked for");
    }
    if probe.meet.is_some() {
        report.line("meet", "peers are of RTMFP: not asked for");
    }
    report.line("end", "closed by the probe");
    Ok(())
}

/// The first address that takes the connection.
async fn open(
    probe: &Probe,
    addresses: &[SocketAddr],
    report: &mut Report<'_>,
) -> Result<TcpStream, ProbeError> {
    const STEP: &str = "TCP connection";
    let mut failure = None;
    for address in addresses {
        match timeout(probe.timeout, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                // Pings are to be measured, not collected.
                let _ = socket.set_nodelay(true);
                report.line("tcp", format_args!("connected to {address}"));
                return Ok(socket);
            }
            Ok(Err(error)) => {
                report.line("tcp", format_args!("{address}: {error}"));
                failure = Some(ProbeError::Io { step: STEP, error });
            }
            Err(_) => {
                report.line("tcp", format_args!("{address}: no answer"));
                let hint = "a firewall may drop what is sent there";
                failure = Some(ProbeError::Silent { step: STEP, waited: probe.timeout, hint });
            }
        }
    }
    let nothing = || ProbeError::Io { step: STEP, error: std::io::ErrorKind::NotFound.into() };
    Err(failure.unwrap_or_else(nothing))
}

async fn handshake(
    link: &mut Rtmp,
    probe: &Probe,
    report: &mut Report<'_>,
) -> Result<(), ProbeError> {
    const STEP: &str = "answer to the handshake";
    let until = Instant::now() + probe.timeout;
    loop {
        match link.next(STEP, until, report).await? {
            Some(event @ ClientEvent::HandshakeDone(_)) => {
                visit::told(event, report);
                return Ok(());
            }
            Some(other) => visit::told(other, report),
            None => {
                let hint = "whoever took the TCP connection does not speak RTMP";
                return Err(ProbeError::Silent { step: STEP, waited: probe.timeout, hint });
            }
        }
    }
}

fn unsent(step: &'static str) -> impl Fn(ramona_rtmp::TooLong) -> ProbeError {
    move |error| ProbeError::Unsent { step, text: error.to_string() }
}

impl Link for Rtmp {
    fn connect(&mut self, url: &str) -> Result<(), ProbeError> {
        self.client.connect(url, &[]).map_err(unsent("connect"))
    }

    fn create_stream(&mut self) -> Result<(), ProbeError> {
        self.client.create_stream();
        Ok(())
    }

    fn play(&mut self, stream: StreamId, name: &str) -> Result<(), ProbeError> {
        self.client.play(stream, name).map_err(unsent("play"))
    }

    fn ping(&mut self, value: u32) -> Result<(), ProbeError> {
        self.client.send_message(&ping(value)).map_err(unsent("ping"))
    }

    async fn next(
        &mut self,
        step: &'static str,
        until: Instant,
        _: &mut Report<'_>,
    ) -> Result<Option<ClientEvent>, ProbeError> {
        let failed = |error| ProbeError::Io { step, error };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.client.poll_output() {
                ClientOutput::Transmit(bytes) => {
                    match timeout(left, self.socket.write_all(&bytes)).await {
                        Ok(result) => result.map_err(failed)?,
                        Err(_) => return Ok(None),
                    }
                }
                ClientOutput::Event(ClientEvent::Closed(reason)) => {
                    return Err(ProbeError::Closed { step, text: reason.to_string() });
                }
                ClientOutput::Event(event) => return Ok(Some(event)),
                ClientOutput::Timeout(_) => {
                    if left.is_zero() {
                        return Ok(None);
                    }
                    self.input.reserve(READ);
                    match timeout(left, self.socket.read_buf(&mut self.input)).await {
                        Ok(Ok(0)) => {
                            let text = "closed by the server".to_owned();
                            return Err(ProbeError::Closed { step, text });
                        }
                        Ok(Ok(_)) => self.client.handle_input(Instant::now(), &mut self.input),
                        Ok(Err(error)) => return Err(failed(error)),
                        Err(_) => return Ok(None),
                    }
                }
            }
        }
    }
}
