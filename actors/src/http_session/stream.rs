//! The socket under an HTTP connection: it tells the connection what moves, and ends when the
//! connection says so.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio_rustls::server::TlsStream;

use super::connection::{Connection, End};
use crate::transport::Transport;

/// See the module's text.
pub(crate) struct HttpStream {
    socket: Socket,
    connection: Rc<Connection>,
}

/// What bytes travel on.
pub(crate) enum Socket {
    /// TCP: its reading end; writing goes through what live viewers write to as well.
    Plain(OwnedReadHalf, Rc<Transport>),
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl HttpStream {
    pub(crate) fn new(socket: Socket, connection: Rc<Connection>) -> Self {
        Self { socket, connection }
    }

    /// Whose socket it is.
    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.connection.end() {
            Some(End::Abort) => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            // No further request is taken; what was answered is still sent.
            Some(End::Finish) => return Poll::Ready(Ok(())),
            None => {}
        }
        let before = buffer.filled().len();
        let polled = match &mut self.socket {
            Socket::Plain(socket, _) => Pin::new(socket).poll_read(cx, buffer),
            Socket::Tls(socket) => Pin::new(socket).poll_read(cx, buffer),
        };
        match &polled {
            Poll::Pending => self.connection.keep_waker(cx.waker()),
            Poll::Ready(Ok(())) => self.connection.received(buffer.filled().len() - before),
            Poll::Ready(Err(_)) => {}
        }
        polled
    }
}

impl HttpStream {
    fn note_write(&self, polled: &Poll<io::Result<usize>>, cx: &Context<'_>) {
        match polled {
            Poll::Pending => {
                self.connection.keep_waker(cx.waker());
                self.connection.write_stalled();
            }
            Poll::Ready(Ok(sent)) => self.connection.sent(*sent),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if matches!(self.connection.end(), Some(End::Abort)) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let polled = match &mut self.socket {
            Socket::Plain(_, transport) => transport.poll_write(cx, bytes),
            Socket::Tls(socket) => Pin::new(socket).poll_write(cx, bytes),
        };
        self.note_write(&polled, cx);
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut self.socket {
            // Nothing is kept here: all that was to be written is on its way.
            Socket::Plain(..) => Poll::Ready(Ok(())),
            Socket::Tls(socket) => Pin::new(socket).poll_flush(cx),
        };
        match polled {
            Poll::Ready(Ok(())) => self.connection.flushed(),
            Poll::Pending => {
                self.connection.keep_waker(cx.waker());
                self.connection.write_stalled();
            }
            Poll::Ready(Err(_)) => {}
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(_, transport) => {
                transport.shutdown_write();
                Poll::Ready(Ok(()))
            }
            Socket::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}
