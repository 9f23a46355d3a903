//! The socket below: plain, half of one, or encrypted.

use std::io::{self, IoSlice};
use std::ops::Deref;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::tls::TlsSocket;

/// A whole socket, the writing end of one that somebody else reads, or an encrypted one.
#[derive(Debug)]
pub(super) enum Stream {
    Whole(TcpStream),
    Writing(OwnedWriteHalf),
    Tls(Box<TlsSocket>),
}

impl Stream {
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tls(socket) => socket.try_read(buffer),
            plain => TcpStream::try_read(plain, buffer),
        }
    }

    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tls(socket) => socket.try_write_vectored(slices),
            plain => TcpStream::try_write_vectored(plain, slices),
        }
    }

    /// Past tokio, whose record of the socket's readiness is one more cold line of memory; when
    /// the socket is full, `drive` finds it full once more and waits.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tls(socket) => socket.try_write_vectored(&[IoSlice::new(bytes)]),
            plain => SockRef::from(&**plain).send(bytes),
        }
    }

    /// Whether bytes that were taken wait below, encrypted.
    pub(super) fn has_pending(&self) -> bool {
        matches!(self, Self::Tls(socket) if socket.has_pending())
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        match self {
            Self::Tls(socket) => socket.flush(),
            Self::Whole(_) | Self::Writing(_) => Ok(()),
        }
    }
}

impl Deref for Stream {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        match self {
            Self::Whole(stream) => stream,
            Self::Writing(half) => half.as_ref(),
            Self::Tls(socket) => socket.stream(),
        }
    }
}
