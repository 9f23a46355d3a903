//! The clients of a node as the operator's page lists them (`status_page/`): who is there, and what
//! moves between him and the node.
//!
//! Sessions write their numbers down when they work anyway, viewers once a second. The rates are
//! made when somebody looks, at most once a second for all who do.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ramona_script::{ClientId, ClientStats};

use crate::services::epoch_ms;

/// Parts of the list with a lock of their own: HTTP clients come and go thousands of times a second,
/// on all threads.
const PARTS: u64 = 16;

/// Looks of several pages within this time are one.
const PERIOD: Duration = Duration::from_millis(900);

/// A look makes rates since the last one unless that is so long ago.
const LATELY: Duration = Duration::from_secs(5);

/// Bytes of one connection so far.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
    /// What scripts see of it (WRI-10), and other numbers of the client.
    pub(crate) stats: Arc<ClientStats>,
}

impl Traffic {
    /// Of a client on a connection that others had before.
    pub(crate) fn since(received: u64, sent: u64) -> Self {
        Self { received: received.into(), sent: sent.into(), stats: Arc::default() }
    }

    /// Writes down what a connection has counted.
    pub(crate) fn show(&self, received: u64, sent: u64) {
        self.received.store(received, Relaxed);
        self.show_sent(sent);
    }

    /// The same of what it sent.
    pub(crate) fn show_sent(&self, sent: u64) {
        let more = sent.saturating_sub(self.sent.swap(sent, Relaxed));
        if more > 0 {
            let now = epoch_ms();
            self.stats.sent.add(now, more);
            self.stats.last_sending_ms.store(now, Relaxed);
        }
    }
}

/// One client, from its acceptance on.
#[derive(Debug)]
pub(crate) struct Client {
    /// CLI-02.
    pub(crate) raw_id: [u8; 32],
    /// CLI-06.
    pub(crate) protocol: &'static str,
    /// CLI-04.
    pub(crate) path: String,
    /// What it moves, and its round trip.
    pub(crate) traffic: Arc<Traffic>,
}

#[derive(Debug)]
struct Listed {
    client: Client,
    peer: SocketAddr,
    since_ms: u64,
    /// What was received and sent at the last look.
    seen: (u64, u64),
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Clients {
    parts: [Mutex<HashMap<ClientId, Listed>>; PARTS as usize],
    look: Mutex<Option<(Instant, Arc<Look>)>>,
}

/// A place in the list, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    id: ClientId,
    clients: Arc<Clients>,
}

/// The busiest clients at one moment, the newest of those that do nothing.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// All there are.
    pub(crate) total: usize,
    /// And how many speak which protocol.
    pub(crate) protocols: BTreeMap<&'static str, usize>,
    /// Some of them, busiest first.
    pub(crate) rows: Vec<Row>,
}

/// A client at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) raw_id: [u8; 32],
    pub(crate) peer: SocketAddr,
    pub(crate) protocol: &'static str,
    pub(crate) path: String,
    pub(crate) since_ms: u64,
    /// `None` before the first measure.
    pub(crate) ping_ms: Option<u32>,
    /// Bytes a second, received and sent.
    pub(crate) rates: (u64, u64),
    /// Bytes so far, received and sent.
    pub(crate) bytes: (u64, u64),
}

impl Default for Clients {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()), look: Mutex::default() }
    }
}

impl Clients {
    /// Lists a client.
    pub(crate) fn enter(self: &Arc<Self>, id: ClientId, peer: SocketAddr, client: Client) -> Place {
        let listed = Listed { client, peer, since_ms: epoch_ms(), seen: (0, 0) };
        self.part(id).insert(id, listed);
        Place { id, clients: self.clone() }
    }

    /// At most `limit` clients. Those who look again within a second see the same.
    pub(crate) fn busiest(&self, limit: usize) -> Arc<Look> {
        let mut last = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = last.as_ref().map(|(at, _)| at.elapsed());
        if let Some((_, look)) = last.as_ref().filter(|(at, _)| at.elapsed() < PERIOD) {
            return look.clone();
        }
        let look = Arc::new(self.look(limit, elapsed.filter(|elapsed| *elapsed < LATELY)));
        *last = Some((Instant::now(), look.clone()));
        look
    }

    /// What moved in the time that `elapsed` since the last look; without one there are no rates.
    fn look(&self, limit: usize, elapsed: Option<Duration>) -> Look {
        let mut rows = Vec::new();
        let mut total = 0;
        let mut protocols = BTreeMap::new();
        for part in &self.parts {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            total += part.len();
            for listed in part.values() {
                *protocols.entry(listed.client.protocol).or_default() += 1;
            }
            rows.extend(part.values_mut().map(|listed| listed.look(elapsed)));
            keep_busiest(&mut rows, limit);
        }
        rows.sort_unstable_by(busier);
        Look { total, protocols, rows }
    }

    fn part(&self, id: ClientId) -> MutexGuard<'_, HashMap<ClientId, Listed>> {
        let part = &self.parts[(id.0 % PARTS) as usize];
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The client's address changed (CLI-37).
    pub(crate) fn moved(&self, to: SocketAddr) {
        if let Some(listed) = self.clients.part(self.id).get_mut(&self.id) {
            listed.peer = to;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.part(self.id).remove(&self.id);
    }
}

impl Listed {
    fn look(&mut self, elapsed: Option<Duration>) -> Row {
        let client = &self.client;
        let bytes = (client.traffic.received.load(Relaxed), client.traffic.sent.load(Relaxed));
        let seen = std::mem::replace(&mut self.seen, bytes);
        let rate = |now: u64, before: u64| {
            let seconds = elapsed.map_or(f64::INFINITY, |elapsed| elapsed.as_secs_f64().max(0.1));
            (now.saturating_sub(before) as f64 / seconds) as u64
        };
        Row {
            raw_id: client.raw_id,
            peer: self.peer,
            protocol: client.protocol,
            path: client.path.clone(),
            since_ms: self.since_ms,
            ping_ms: Some(client.traffic.stats.ping_ms.load(Relaxed)).filter(|ping| *ping > 0),
            rates: (rate(bytes.0, seen.0), rate(bytes.1, seen.1)),
            bytes,
        }
    }
}

fn busier(a: &Row, b: &Row) -> std::cmp::Ordering {
    let key = |row: &Row| (row.rates.0.saturating_add(row.rates.1), row.since_ms);
    key(b).cmp(&key(a))
}

fn keep_busiest(rows: &mut Vec<Row>, limit: usize) {
    if rows.len() > limit {
        rows.select_nth_unstable_by(limit, busier);
        rows.truncate(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(clients: &Arc<Clients>, id: u64) -> (Place, Arc<Traffic>) {
        let traffic = Arc::<Traffic>::default();
        let client = Client {
            raw_id: [id as u8; 32],
            protocol: "RTMP",
            path: "/live".to_owned(),
            traffic: traffic.clone(),
        };
        let peer = SocketAddr::from(([127, 0, 0, 1], id as u16));
        (clients.enter(ClientId(id), peer, client), traffic)
    }

    fn ids(look: &Look) -> Vec<u8> {
        look.rows.iter().map(|row| row.raw_id[0]).collect()
    }

    #[test]
    fn the_busiest_come_first_with_their_rates_and_the_others_are_counted() {
        let clients = Arc::<Clients>::default();
        let mut all: Vec<_> = (1..=100).map(|id| enter(&clients, id)).collect();
        let first = clients.look(10, None);
        assert_eq!((first.total, first.rows.len()), (100, 10));
        assert_eq!(first.protocols, [("RTMP", 100)].into());
        assert!(first.rows.iter().all(|row| row.rates == (0, 0)), "nothing to compare with");
        all[6].1.show(100, 4_000);
        all[41].1.show(9_000, 0);
        let look = clients.look(10, Some(Duration::from_secs(2)));
        assert_eq!(ids(&look)[..2], [42, 7]);
        assert_eq!(look.rows[0].rates, (4_500, 0));
        assert_eq!(look.rows[1].rates, (50, 2_000));
        let look = clients.look(10, Some(Duration::from_secs(2)));
        assert!(look.rows.iter().all(|row| row.rates == (0, 0)), "nothing moved since");
        all.truncate(3);
        let look = clients.look(10, None);
        assert_eq!((look.total, look.rows.len()), (3, 3), "who left is not listed");
    }

    #[test]
    fn the_list_knows_round_trip_and_the_present_address() {
        let clients = Arc::<Clients>::default();
        let (place, _) = enter(&clients, 5);
        assert_eq!(clients.look(10, None).rows[0].ping_ms, None);
        clients.part(ClientId(5))[&ClientId(5)].client.traffic.stats.ping_ms.store(17, Relaxed);
        let to = SocketAddr::from(([192, 0, 2, 1], 9));
        place.moved(to);
        let row = clients.look(10, None).rows[0].clone();
        assert_eq!((row.ping_ms, row.peer, &*row.path), (Some(17), to, "/live"));
    }

    #[test]
    fn pages_that_look_at_the_same_time_share_one_look() {
        let clients = Arc::<Clients>::default();
        let _one = enter(&clients, 1);
        let look = clients.busiest(10);
        let _two = enter(&clients, 2);
        assert!(Arc::ptr_eq(&look, &clients.busiest(10)));
    }
}
