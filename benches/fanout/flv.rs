//! Just enough HTTP-FLV for the load: it shares no code with the node that it measures.

use std::io::{Error, Result, Write};
use std::net::{SocketAddr, TcpStream};

/// Bytes of a body that are kept: the stamp stands there.
const KEPT: usize = 256;

const FILE_HEADER: usize = 13;
const TAG_HEADER: usize = 11;
/// The length behind each tag.
const BEHIND: usize = 4;

/// A player; the name need not be running.
pub(crate) fn play(address: SocketAddr, name: &str) -> Result<(TcpStream, Reader)> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.write_all(
        format!("GET /live/{name}.flv HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes(),
    )?;
    Ok((socket, Reader::default()))
}

/// Reads a response; hands out the type and the first bytes of each tag's body.
#[derive(Default)]
pub(crate) struct Reader {
    part: Part,
    /// Bytes of the present part; of a body, the first ones.
    kept: Vec<u8>,
    /// Bytes of a body still to come, with the length behind it.
    left: usize,
    kind: u8,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Part {
    #[default]
    Head,
    FileHeader,
    TagHeader,
    Body,
}

impl Reader {
    /// Reads bytes as they came from the socket.
    pub(crate) fn read(
        &mut self,
        mut input: &[u8],
        mut on_message: impl FnMut(u8, &[u8]),
    ) -> Result<()> {
        while !input.is_empty() {
            if self.part == Part::Body {
                let (now, rest) = input.split_at(self.left.min(input.len()));
                input = rest;
                self.left -= now.len();
                let room = KEPT - self.kept.len();
                self.kept.extend_from_slice(&now[..now.len().min(room)]);
                if self.left == 0 {
                    on_message(self.kind, &self.kept);
                    self.kept.clear();
                    self.part = Part::TagHeader;
                }
                continue;
            }
            self.kept.push(input[0]);
            input = &input[1..];
            match self.part {
                Part::Head if self.kept.ends_with(b"\r\n\r\n") => {
                    if !self.kept.starts_with(b"HTTP/1.1 200 ") {
                        return Err(Error::other(String::from_utf8_lossy(&self.kept).into_owned()));
                    }
                    self.next(Part::FileHeader);
                }
                Part::FileHeader if self.kept.len() == FILE_HEADER => self.next(Part::TagHeader),
                Part::TagHeader if self.kept.len() == TAG_HEADER => {
                    self.kind = self.kept[0];
                    let length = u32::from_be_bytes([0, self.kept[1], self.kept[2], self.kept[3]]);
                    self.left = length as usize + BEHIND;
                    self.next(Part::Body);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn next(&mut self, part: Part) {
        self.part = part;
        self.kept.clear();
    }
}
