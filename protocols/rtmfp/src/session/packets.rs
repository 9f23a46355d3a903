//! The memory in which a session builds its datagrams.

use std::net::SocketAddr;

/// Datagrams of one session, from being built until they are given out; used again for the next.
///
/// Empty between two turns of a session. Sessions that lend each other one
/// ([`Session::swap_buffer`](crate::Session::swap_buffer)) find it in the cache, where buffers of
/// their own, some 8 kB each, would have left it since the last message.
#[derive(Debug, Default)]
pub struct PacketBuffer {
    /// The packet that is being built.
    pub(super) out: Vec<u8>,
    /// Where each of `packets` goes; behind them lie empty ones.
    pub(super) sealed: Vec<SocketAddr>,
    pub(super) packets: Vec<Vec<u8>>,
    /// How many were given out.
    pub(super) sent: usize,
}

impl PacketBuffer {
    /// Forgets what was given out.
    pub(super) fn clear(&mut self) {
        self.sealed.clear();
        self.sent = 0;
    }

    /// Whether all was given out.
    pub(super) fn is_drained(&self) -> bool {
        self.sent == self.sealed.len()
    }

    /// Keeps the packet in `out`, which is for `to`.
    pub(super) fn keep(&mut self, to: SocketAddr) {
        let at = self.sealed.len();
        if at == self.packets.len() {
            self.packets.push(Vec::new());
        }
        std::mem::swap(&mut self.out, &mut self.packets[at]);
        self.sealed.push(to);
    }

    /// Those that are kept.
    pub(super) fn kept(&mut self) -> &mut [Vec<u8>] {
        &mut self.packets[..self.sealed.len()]
    }

    /// Gives the next one out, [`latest`](Self::latest) from now on: where it goes.
    pub(super) fn advance(&mut self) -> Option<SocketAddr> {
        let to = *self.sealed.get(self.sent)?;
        self.sent += 1;
        Some(to)
    }

    /// The one given out last; nothing before the first.
    pub(super) fn latest(&self) -> &[u8] {
        self.sent.checked_sub(1).and_then(|at| self.packets.get(at)).map_or(&[], Vec::as_slice)
    }
}
