//! A TLS socket with the calls of a non-blocking TCP socket, for those who read and write by
//! themselves ([`Transport`](crate::transport::Transport)).

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};
use socket2::SockRef;
use tokio::net::TcpStream;

/// Plain bytes in and out of an encrypted connection.
///
/// What was written is encrypted at once and waits here when the socket is full, up to the limit
/// of rustls (64 KiB): [`has_pending`](Self::has_pending) says so, and the next
/// [`flush`](Self::flush) goes on.
#[derive(Debug)]
pub(crate) struct TlsSocket {
    stream: TcpStream,
    tls: RefCell<ServerConnection>,
    /// Bytes that can be read without the socket.
    readable: Cell<usize>,
}

impl TlsSocket {
    /// The server's side of a connection; the handshake happens with the first reads.
    ///
    /// # Errors
    /// The configuration is unusable.
    pub(crate) fn accept(
        stream: TcpStream,
        config: Arc<ServerConfig>,
    ) -> Result<Self, rustls::Error> {
        let tls = RefCell::new(ServerConnection::new(config)?);
        Ok(Self { stream, tls, readable: Cell::new(0) })
    }

    /// The socket below.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether reading finds something whatever the socket says.
    pub(crate) fn is_readable(&self) -> bool {
        self.readable.get() > 0
    }

    /// Whether encrypted bytes wait for room in the socket.
    pub(crate) fn has_pending(&self) -> bool {
        self.tls.try_borrow().is_ok_and(|tls| tls.wants_write())
    }

    /// Reads plain bytes; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; `InvalidData` when the peer broke TLS.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut tls = self.tls.borrow_mut();
        loop {
            match tls.reader().read(buffer) {
                Ok(n) => {
                    self.readable.set(self.readable.get().saturating_sub(n));
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Without a good-bye, as many clients leave.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
            if tls.read_tls(&mut Socket(&self.stream))? == 0 {
                return Ok(0);
            }
            match tls.process_new_packets() {
                Ok(state) => self.readable.set(state.plaintext_bytes_to_read()),
                Err(error) => {
                    // The alert says why; whether it arrives matters to nobody here.
                    let _ = write_out(&mut tls, &self.stream);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
            write_out(&mut tls, &self.stream)?;
        }
    }

    /// Takes plain bytes; fewer than all when the socket is full.
    ///
    /// # Errors
    /// `WouldBlock` when nothing was taken.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut tls = self.tls.borrow_mut();
        write_out(&mut tls, &self.stream)?;
        // Before the handshake is over rustls keeps what is written.
        if tls.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut taken = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            let n = tls.writer().write(slice)?;
            taken += n;
            if n < slice.len() {
                break;
            }
        }
        write_out(&mut tls, &self.stream)?;
        if taken == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    /// Writes what waits as far as the socket has room.
    ///
    /// # Errors
    /// The socket failed.
    pub(crate) fn flush(&self) -> io::Result<()> {
        write_out(&mut self.tls.borrow_mut(), &self.stream)
    }

    /// Says good-bye, then that nothing follows.
    pub(crate) fn shutdown_write(&self) {
        let mut tls = self.tls.borrow_mut();
        tls.send_close_notify();
        // Fails when the peer is gone already, which is as good.
        let _ = write_out(&mut tls, &self.stream);
        let _ = SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
    }
}

fn write_out(tls: &mut ServerConnection, stream: &TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(&mut Socket(stream)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A tokio socket for code that reads and writes without waiting.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
