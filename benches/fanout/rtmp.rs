//! Just enough RTMP for the load: it shares no code with the node that it measures.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::stream::STAMPED;

/// Chunk size of what the load sends, so that a message is one chunk.
pub(crate) const CHUNK_SIZE: u32 = 65_536;

const SET_CHUNK_SIZE: u8 = 1;
const COMMAND: u8 = 20;

/// The message stream that a server creates first.
const STREAM: u32 = 1;

/// Bytes of a message that are kept: commands are read from them, media only has its stamp there.
const KEPT: usize = 256;

/// The bytes of a message up to its payload (RTMP 1.0 §5.3.1, chunk type 0).
pub(crate) fn header(kind: u8, stream: u32, time_ms: u32, length: usize) -> [u8; 12] {
    let chunk_stream = 4 + (kind & 3);
    let [_, t0, t1, t2] = time_ms.to_be_bytes();
    let [_, l0, l1, l2] = (length as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_le_bytes();
    [chunk_stream, t0, t1, t2, l0, l1, l2, kind, s0, s1, s2, s3]
}

/// A media message of the published stream.
pub(crate) fn media(kind: u8, time_ms: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, STREAM, time_ms, payload.len()).to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// Connects and goes as far as createStream. What the server sends from now on is the reader's.
fn open(address: SocketAddr) -> Result<(TcpStream, Reader)> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut hello = [0; 1537];
    hello[0] = 3;
    socket.write_all(&hello)?;
    let mut answer = [0; 1 + 2 * 1536];
    socket.read_exact(&mut answer)?;
    socket.write_all(&answer[1..1537])?;

    let mut reader = Reader::new(128);
    let mut out = header(SET_CHUNK_SIZE, 0, 0, 4).to_vec();
    out.extend_from_slice(&CHUNK_SIZE.to_be_bytes());
    let url = format!("rtmp://{address}/live");
    let mut object = vec![3];
    for (key, value) in [("app", "live"), ("tcUrl", &url)] {
        object.extend_from_slice(&(key.len() as u16).to_be_bytes());
        object.extend_from_slice(key.as_bytes());
        object.extend(string(value));
    }
    object.extend_from_slice(&[0, 0, 9]);
    out.extend(command(0, "connect", 1.0, &object));
    socket.write_all(&out)?;
    wait_for(&mut socket, &mut reader, b"_result")?;
    socket.write_all(&command(0, "createStream", 2.0, &[5]))?;
    wait_for(&mut socket, &mut reader, b"_result")?;
    Ok((socket, reader))
}

/// A publisher that the server has accepted.
pub(crate) fn publish(address: SocketAddr, name: &str) -> Result<TcpStream> {
    let (mut socket, mut reader) = open(address)?;
    let arguments = [vec![5], string(name), string("live")].concat();
    socket.write_all(&command(STREAM, "publish", 3.0, &arguments))?;
    wait_for(&mut socket, &mut reader, b"NetStream.Publish.Start")?;
    Ok(socket)
}

/// A player; the name need not be running.
pub(crate) fn play(address: SocketAddr, name: &str) -> Result<(TcpStream, Reader)> {
    let (mut socket, reader) = open(address)?;
    socket.write_all(&command(STREAM, "play", 3.0, &[vec![5], string(name)].concat()))?;
    Ok((socket, reader))
}

fn command(stream: u32, name: &str, transaction: f64, arguments: &[u8]) -> Vec<u8> {
    let mut body = string(name);
    body.push(0);
    body.extend_from_slice(&transaction.to_be_bytes());
    body.extend_from_slice(arguments);
    let mut bytes = header(COMMAND, stream, 0, body.len()).to_vec();
    bytes.extend(body);
    bytes
}

fn string(text: &str) -> Vec<u8> {
    let mut out = vec![2];
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    out
}

/// Reads up to a command that contains these bytes.
fn wait_for(socket: &mut TcpStream, reader: &mut Reader, text: &[u8]) -> Result<()> {
    let mut buffer = [0; 4096];
    let mut found = false;
    while !found {
        let n = socket.read(&mut buffer)?;
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        reader.read(&buffer[..n], |kind, body| {
            found |= kind == COMMAND && body.windows(text.len()).any(|window| window == text);
        })?;
    }
    Ok(())
}

/// Reads a chunk stream; hands out the type and the first bytes of each message.
pub(crate) struct Reader {
    chunk_size: usize,
    /// By chunk stream id; servers use small ones.
    streams: Vec<ChunkStream>,
    header: Vec<u8>,
    /// Chunk stream and bytes left of the present chunk.
    chunk: Option<(usize, usize)>,
}

#[derive(Clone, Default)]
struct ChunkStream {
    kind: u8,
    length: usize,
    is_extended: bool,
    /// Bytes of the message that have come.
    got: usize,
    kept: Vec<u8>,
}

impl Reader {
    /// A reader of chunks of this size, until the server announces another.
    pub(crate) fn new(chunk_size: usize) -> Self {
        let streams = vec![ChunkStream::default(); 64];
        Self { chunk_size, streams, header: Vec::with_capacity(18), chunk: None }
    }

    /// Reads bytes as they came from the socket.
    pub(crate) fn read(
        &mut self,
        mut input: &[u8],
        mut on_message: impl FnMut(u8, &[u8]),
    ) -> Result<()> {
        while !input.is_empty() {
            let Some((id, left)) = self.chunk else {
                self.header.push(input[0]);
                input = &input[1..];
                self.chunk = self.begin_chunk()?;
                continue;
            };
            let (now, rest) = input.split_at(left.min(input.len()));
            input = rest;
            let stream = &mut self.streams[id];
            stream.got += now.len();
            let room = KEPT - stream.kept.len();
            stream.kept.extend_from_slice(&now[..now.len().min(room)]);
            self.chunk = (left > now.len()).then_some((id, left - now.len()));
            if stream.got == stream.length {
                let body = std::mem::take(&mut stream.kept);
                stream.got = 0;
                if stream.kind == SET_CHUNK_SIZE
                    && let Some(&size) = body.first_chunk::<4>()
                {
                    self.chunk_size = u32::from_be_bytes(size) as usize;
                }
                on_message(stream.kind, &body);
                // The room is used again.
                self.streams[id].kept = body;
                self.streams[id].kept.clear();
            }
        }
        Ok(())
    }

    /// The chunk that the header begins, when the header is whole.
    fn begin_chunk(&mut self) -> Result<Option<(usize, usize)>> {
        let header = &self.header;
        let id = usize::from(header[0] & 63);
        if id < 2 {
            return Err(Error::other("the load does not know long chunk stream ids"));
        }
        let stream = &mut self.streams[id];
        let fields = [11, 7, 3, 0][usize::from(header[0] >> 6)];
        if header.len() < 1 + fields {
            return Ok(None);
        }
        let mut is_extended = stream.is_extended;
        if fields >= 3 {
            is_extended = header[1..4] == [0xFF; 3];
        }
        if header.len() < 1 + fields + if is_extended { 4 } else { 0 } {
            return Ok(None);
        }
        stream.is_extended = is_extended;
        if fields >= 7 {
            stream.length = u32::from_be_bytes([0, header[4], header[5], header[6]]) as usize;
            stream.kind = header[7];
        }
        self.header.clear();
        let left = (stream.length - stream.got).min(self.chunk_size);
        if left == 0 {
            return Err(Error::other("a message without bytes"));
        }
        Ok(Some((id, left)))
    }
}

const _: () = assert!(STAMPED <= KEPT);
