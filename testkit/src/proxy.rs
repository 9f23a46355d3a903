//! A wire between two nodes that can be stopped or cut.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Taken and forgotten: the other side seems to have died.
    Swallow,
    /// Not taken: the other side seems not to read.
    Stall,
    Cut,
}

/// Passes connections to its address on to another one.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// A wire to `to`.
    ///
    /// # Panics
    /// No port is free.
    pub async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (mode, modes) = watch::channel(Mode::Pass);
        let mode_of_wires = modes.clone();
        let accept = async move {
            let wires = Arc::new(mode_of_wires);
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(to).await else { continue };
                tokio::spawn(wire(near, far, (*wires).clone()));
            }
        };
        let mut ended = modes;
        tokio::spawn(async move {
            tokio::select! {
                () = accept => {}
                // The proxy was dropped.
                () = async { while ended.changed().await.is_ok() {} } => {}
            }
        });
        Self { address, mode }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on bytes are taken and forgotten, in both directions.
    pub fn swallow(&self) {
        self.set(Mode::Swallow);
    }

    /// From now on no bytes are taken.
    pub fn stall(&self) {
        self.set(Mode::Stall);
    }

    /// Bytes pass again.
    pub fn pass(&self) {
        self.set(Mode::Pass);
    }

    /// Ends the connections there are; later ones pass.
    pub fn cut(&self) {
        self.set(Mode::Cut);
        self.set(Mode::Pass);
    }

    fn set(&self, mode: Mode) {
        // Without connections nobody listens.
        let _ = self.mode.send(mode);
    }
}

async fn wire(near: TcpStream, far: TcpStream, modes: watch::Receiver<Mode>) {
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        () = copy(near_in, far_out, modes.clone()) => {}
        () = copy(far_in, near_out, modes.clone()) => {}
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
) {
    let mut buffer = vec![0; 64 << 10];
    let mut mode = *modes.borrow_and_update();
    loop {
        if mode == Mode::Cut {
            return;
        }
        tokio::select! {
            changed = modes.changed() => {
                if changed.is_err() {
                    return;
                }
                mode = *modes.borrow_and_update();
            }
            read = from.read(&mut buffer), if mode != Mode::Stall => match read {
                // A dead side does not even notice that the other one closed.
                Ok(0) | Err(_) if mode == Mode::Swallow => {
                    // Whatever comes next, or the end of the test.
                    let _ = modes.changed().await;
                    return;
                }
                Ok(0) | Err(_) => return,
                Ok(_) if mode == Mode::Swallow => {}
                Ok(n) => {
                    if to.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
            },
        }
    }
}
