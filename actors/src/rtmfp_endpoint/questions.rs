//! Questions to the script that are open: where shall this hello go, who knows this peer?

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use ramona_rtmfp::{Address, Epd, Origin, PeerId};
use ramona_rtmp::split_url;
use ramona_script::Redirect;

use super::RtmfpEndpointConfig;
use crate::messages::rtmfp::{HandshakeQuestion, Redirects};
use crate::messages::script::ToScript;
use crate::outbox::{Backlog, Offer, Outbox, Ticketed};

/// Questions that may be open; further ones are dropped, for who asks repeats the question.
const MAX_OPEN: usize = 1_024;

/// An unanswered question is forgotten after this: it was repeated since.
const LIFETIME: Duration = Duration::from_secs(10);

/// Clients whose attempts are counted, and how long after the last one (EVT-08).
const MAX_COUNTED: usize = 8_192;
const COUNTED_FOR: Duration = Duration::from_secs(120);

/// Addresses of one answer; an initiator keeps at most 24 (RFC 7016 §3.5.1.1.1).
const MAX_ADDRESSES: usize = 24;

/// How long a host name may take to be looked up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) struct Questions {
    config: RtmfpEndpointConfig,
    script: Outbox<ToScript>,
    next: u64,
    open: HashMap<u64, Question>,
    attempts: Attempts,
}

/// How often clients asked, told by their tags.
#[derive(Default)]
struct Attempts(HashMap<Bytes, (u32, Instant)>);

/// An open question.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) from: SocketAddr,
    pub(super) own: Option<IpAddr>,
    pub(super) tag: Bytes,
    pub(super) is_handshake: bool,
    /// What the URL of a hello says of this node.
    url: (Option<IpAddr>, Option<u16>),
    asked: Instant,
}

impl Questions {
    pub(super) fn new(config: RtmfpEndpointConfig, script: Recipient<Ticketed<ToScript>>) -> Self {
        let script = Outbox::from_recipient(script, Arc::new(Backlog::default()), MAX_OPEN);
        Self { config, script, next: 0, open: HashMap::new(), attempts: Attempts::default() }
    }

    /// Asks `onHandshake` (EVT-08); false when too many questions are open.
    pub(super) fn ask_handshake(
        &mut self,
        from: SocketAddr,
        own: Option<IpAddr>,
        epd: &Epd,
        tag: Bytes,
        answer: Recipient<Redirects>,
    ) -> bool {
        let ancillary = epd.ancillary().cloned().unwrap_or_default();
        let (path, query) = split_url(&ancillary);
        let attempts = self.attempts.count(&tag, Instant::now());
        let url = Some(reached_by(&ancillary));
        let Some(number) = self.open(from, own, tag, url) else { return false };
        let address = from.to_string();
        let question = HandshakeQuestion { number, address, path, query, attempts };
        self.send(number, ToScript::Handshake { question, answer })
    }

    /// Asks `onRendezVousUnknown` (EVT-09); false when too many questions are open.
    pub(super) fn ask_rendezvous(
        &mut self,
        from: SocketAddr,
        own: Option<IpAddr>,
        peer: PeerId,
        tag: Bytes,
        answer: Recipient<Redirects>,
    ) -> bool {
        let Some(number) = self.open(from, own, tag, None) else { return false };
        self.send(number, ToScript::RendezvousUnknown { peer: peer.0, number, answer })
    }

    /// The question that an answer belongs to, unless it is forgotten.
    pub(super) fn take(&mut self, number: u64) -> Option<Question> {
        self.open.remove(&number)
    }

    /// Addresses that an answer means. Names are looked up; those that nobody knows are left out.
    pub(super) fn resolve(
        &self,
        question: &Question,
        redirects: Vec<Redirect>,
    ) -> impl Future<Output = Vec<Address>> + use<> {
        // RED-06: the way that the client came, which a router in between may know alone.
        let again = question.is_handshake.then(|| {
            let (ip, port) = question.url;
            let own = || question.own.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
            let host = ip.map(|ip| ip.to_string()).or_else(|| self.config.host.clone());
            (host.or_else(own).unwrap_or_default(), port.unwrap_or(self.config.port))
        });
        async move {
            let mut addresses: Vec<Address> = Vec::new();
            for redirect in redirects {
                let (host, port) = match redirect {
                    Redirect::Address { host, port } => (host, port),
                    Redirect::Again => match again.clone() {
                        Some(again) => again,
                        None => continue,
                    },
                };
                for socket in lookup(&host, port).await {
                    let address = Address::new(socket, Origin::Relay);
                    if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
            }
            addresses
        }
    }

    fn open(
        &mut self,
        from: SocketAddr,
        own: Option<IpAddr>,
        tag: Bytes,
        hello: Option<(Option<IpAddr>, Option<u16>)>,
    ) -> Option<u64> {
        if self.open.len() >= MAX_OPEN {
            self.open.retain(|_, question| question.asked.elapsed() < LIFETIME);
        }
        if self.open.len() >= MAX_OPEN {
            return None;
        }
        self.next += 1;
        let (is_handshake, url) = (hello.is_some(), hello.unwrap_or_default());
        let question = Question { from, own, tag, is_handshake, url, asked: Instant::now() };
        self.open.insert(self.next, question);
        Some(self.next)
    }

    fn send(&mut self, number: u64, message: ToScript) -> bool {
        match self.script.offer(message, 1) {
            Offer::Accepted => true,
            Offer::Full(_) | Offer::Gone(_) => {
                self.open.remove(&number);
                false
            }
        }
    }
}

impl Attempts {
    /// Counts an attempt; 1 is the first.
    fn count(&mut self, tag: &Bytes, now: Instant) -> u32 {
        let is_fresh = |last: &Instant| now.saturating_duration_since(*last) < COUNTED_FOR;
        if self.0.len() >= MAX_COUNTED && !self.0.contains_key(tag) {
            self.0.retain(|_, (_, last)| is_fresh(last));
            if self.0.len() >= MAX_COUNTED {
                return 1;
            }
        }
        // The tag is a slice of a larger buffer.
        let (count, last) = self.0.entry(Bytes::copy_from_slice(tag)).or_insert((0, now));
        if !is_fresh(last) {
            *count = 0;
        }
        *last = now;
        *count = count.saturating_add(1);
        *count
    }
}

/// IP and port in the URL of a hello, where it names them.
fn reached_by(url: &[u8]) -> (Option<IpAddr>, Option<u16>) {
    let url = String::from_utf8_lossy(url);
    let Some((_, rest)) = url.split_once("://") else { return (None, None) };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((ip, rest)) => (ip, rest.strip_prefix(':')),
        None => authority.split_once(':').map_or((authority, None), |(ip, port)| (ip, Some(port))),
    };
    let ip = host.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified());
    (ip, port.and_then(|port| port.parse().ok()).filter(|port| *port != 0))
}

async fn lookup(host: &str, port: u16) -> Vec<SocketAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return vec![SocketAddr::new(ip, port)];
    }
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, port))).await;
    match found {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            tracing::error!(host, %error, "redirect: name not found");
            Vec::new()
        }
        Err(_) => {
            tracing::error!(host, "redirect: name not found in time");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evt_08_attempts_are_forgotten_120_s_after_the_last_one() {
        let (start, mut attempts) = (Instant::now(), Attempts::default());
        let mut count = |tag: &'static [u8], seconds: f64| {
            attempts.count(&Bytes::from_static(tag), start + Duration::from_secs_f64(seconds))
        };
        assert_eq!([count(b"a", 0.0), count(b"a", 1.5), count(b"b", 2.0)], [1, 2, 1]);
        assert_eq!(count(b"a", 121.4), 3);
        assert_eq!(count(b"b", 122.0), 1);
        assert_eq!(count(b"a", 241.4), 1);
        assert_eq!(count(b"a", 241.5), 2);
    }

    #[test]
    fn evt_08_clients_beyond_the_bound_are_at_their_first_attempt_until_others_are_forgotten() {
        let (start, mut attempts) = (Instant::now(), Attempts::default());
        for number in 0..MAX_COUNTED as u32 {
            let tag = Bytes::copy_from_slice(&number.to_be_bytes());
            assert_eq!(attempts.count(&tag, start), 1);
        }
        let late = Bytes::from_static(b"late");
        assert_eq!([attempts.count(&late, start), attempts.count(&late, start)], [1, 1]);
        assert_eq!(attempts.0.len(), MAX_COUNTED);
        let then = start + COUNTED_FOR;
        assert_eq!([attempts.count(&late, then), attempts.count(&late, then)], [1, 2]);
        assert_eq!(attempts.0.len(), 1);
    }

    #[test]
    fn red_06_the_url_of_a_hello_says_where_the_node_is() {
        for (url, ip, port) in [
            ("rtmfp://192.0.2.1:2935/live?x=1", Some("192.0.2.1"), Some(2935)),
            ("rtmfp://192.0.2.1", Some("192.0.2.1"), None),
            ("rtmfp://[2001:db8::1]:1936?x", Some("2001:db8::1"), Some(1936)),
            ("rtmfp://[2001:db8::1]/", Some("2001:db8::1"), None),
            ("rtmfp://www.example.com:1936/", None, Some(1936)),
            ("rtmfp://0.0.0.0:0/", None, None),
            ("rtmfp://192.0.2.1:x/://9.9.9.9:9", Some("192.0.2.1"), None),
            ("/live", None, None),
            ("", None, None),
        ] {
            let ip = ip.map(|ip| ip.parse().expect("an address"));
            assert_eq!(reached_by(url.as_bytes()), (ip, port), "{url}");
        }
        assert_eq!(reached_by(b"rtmfp://\xff"), (None, None));
    }
}
