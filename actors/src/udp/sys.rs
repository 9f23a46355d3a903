//! Calls of the kernel that no safe crate makes.
//!
//! Datagrams for many addresses at once (`sendmmsg`), each address with a segment size of its own
//! (GSO): quinn-udp sends to one address a call, rustix knows neither control message that is needed,
//! and nix wants the same segment size for all. And which of the sockets of a port reads a datagram
//! (`SO_ATTACH_REUSEPORT_CBPF`), which none of them has.

#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use ramona_rtmfp::SessionId;
use socket2::SockAddr;

/// Room for the control messages of one address: the source address and the segment size take 64.
const CONTROL: usize = 72;

/// Ends what quinn-udp asks the kernel to tell of each datagram that comes, and nobody reads here: its
/// time, for which the kernel looks at the clock with every packet of the machine, and its type of
/// service. A kernel that goes on costs time only.
pub(super) fn tell_less(socket: BorrowedFd<'_>) {
    let off: libc::c_int = 0;
    for (level, name) in [
        (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
        (libc::IPPROTO_IP, libc::IP_RECVTOS),
        (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
    ] {
        // SAFETY: `off` is as long as the kernel is told, and it is read only.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                level,
                name,
                (&raw const off).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
    }
}

/// How long a datagram of a session is that counts as small, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Small {
    /// With a checksum.
    pub(crate) plain: u32,
    /// With a tag of up to 16 bytes, by [`SessionId::AUTHENTICATED`].
    pub(crate) authenticated: u32,
}

/// Makes the kernel give a datagram to the socket whose index, in the order in which they were
/// bound, is the remainder of its session ID by `readers`; as many sockets behind those get the small
/// ones. Datagrams outside sessions, of ID 0, are spread by their second word, which is enciphered.
pub(super) fn steer(socket: BorrowedFd<'_>, readers: u32, small: Small) -> io::Result<()> {
    const SCRATCH: u32 = 0;
    const ID: u32 = 1;
    let step =
        |code: u32, operand: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: operand };
    // Jumps count from the step behind them.
    let unless =
        |code: u32, operand: u32, skip: u8| libc::sock_filter { jf: skip, ..step(code, operand) };
    let load = |at: u32| step(LOAD_WORD, at);
    // The ID is the first word, unscrambled with the two after it. A datagram that ends before them
    // goes to the first socket.
    let mut program = [
        load(0),
        step(STORE, SCRATCH),
        load(4),
        step(RECALL_BESIDE, SCRATCH),
        step(EXCLUSIVE_OR, 0),
        step(STORE, SCRATCH),
        load(8),
        step(RECALL_BESIDE, SCRATCH),
        step(EXCLUSIVE_OR, 0),
        step(STORE, ID),
        unless(JUMP_IF_EQUAL, 0, 3),
        load(4),
        step(REMAINDER, readers),
        step(ANSWER, 0),
        unless(JUMP_IF_ANY_BIT, SessionId::AUTHENTICATED, 3),
        step(LOAD_LENGTH, 0),
        unless(JUMP_IF_GREATER, small.authenticated, 6),
        step(JUMP, 2),
        step(LOAD_LENGTH, 0),
        unless(JUMP_IF_GREATER, small.plain, 3),
        step(RECALL, ID),
        step(REMAINDER, readers),
        step(ANSWER, 0),
        step(RECALL, ID),
        step(REMAINDER, readers),
        step(ADD, readers),
        step(ANSWER, 0),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: `filter` points to `len` steps; the kernel copies them before the call returns, and
    // checks the program.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Steps of a filter's program: an accumulator, a register beside it and words of memory.
const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_LENGTH: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_LEN;
const STORE: u32 = libc::BPF_ST;
const RECALL: u32 = libc::BPF_LD | libc::BPF_MEM;
const RECALL_BESIDE: u32 = libc::BPF_LDX | libc::BPF_MEM;
const EXCLUSIVE_OR: u32 = libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X;
const REMAINDER: u32 = libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K;
const ADD: u32 = libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_IF_GREATER: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
const JUMP_IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const ANSWER: u32 = libc::BPF_RET | libc::BPF_A;

/// Datagrams for one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) to: SocketAddr,
    /// Which of our addresses they leave from; the kernel chooses when none is given.
    pub(super) from: Option<IpAddr>,
    /// Bytes of all of them.
    pub(super) length: usize,
    /// Bytes of each but the last, which may be shorter.
    pub(super) segment: usize,
    pub(super) count: usize,
}

/// A control buffer, aligned as its headers have to be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Memory of the headers, used again for each call.
#[derive(Default)]
pub(super) struct Headers {
    addresses: Vec<SockAddr>,
    slices: Vec<libc::iovec>,
    controls: Vec<Control>,
    headers: Vec<libc::mmsghdr>,
}

impl Headers {
    /// Sends messages whose bytes lie one behind the other in `bytes`; answers how many the kernel
    /// took, at least one.
    ///
    /// # Errors
    /// The kernel did not take the first one.
    pub(super) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        bytes: &[u8],
        messages: &[Message],
    ) -> io::Result<usize> {
        self.addresses.clear();
        self.slices.clear();
        self.headers.clear();
        self.addresses.extend(messages.iter().map(|message| SockAddr::from(message.to)));
        self.controls.resize(messages.len(), Control([0; CONTROL]));
        let mut rest = bytes;
        for message in messages {
            let own;
            (own, rest) =
                rest.split_at_checked(message.length).ok_or(io::ErrorKind::InvalidInput)?;
            // The kernel reads it only.
            let base = own.as_ptr().cast_mut().cast();
            self.slices.push(libc::iovec { iov_base: base, iov_len: own.len() });
        }
        // From here on no list grows, for the headers point into them.
        let parts = self.addresses.iter().zip(&mut self.slices).zip(&mut self.controls);
        for (message, ((address, slice), control)) in messages.iter().zip(parts) {
            // SAFETY: a header of zeros is a valid one without address, bytes and control messages.
            let mut header: libc::mmsghdr = unsafe { zeroed() };
            header.msg_hdr.msg_name = address.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = address.len();
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            message.write_control(control, &mut header.msg_hdr);
            self.headers.push(header);
        }
        loop {
            let count = self.headers.len() as libc::c_uint;
            // SAFETY: `headers` holds `count` of them. What each points to, an address of
            // `msg_namelen` bytes, one slice of `bytes` and a control buffer of `msg_controllen`
            // bytes, is borrowed or owned by `self` until the call returns, and the kernel writes
            // to `msg_len` of the headers only.
            let sent =
                unsafe { libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, 0) };
            match usize::try_from(sent) {
                Ok(sent) => return Ok(sent),
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
    }
}

impl Message {
    /// Writes the segment size and the source address, where there are any.
    fn write_control(&self, control: &mut Control, header: &mut libc::msghdr) {
        let mut length = 0;
        let mut add = |level, kind, value: &[u8]| {
            length += write_one(&mut control.0[length..], level, kind, value);
        };
        if self.count > 1 {
            // A datagram is shorter than 64 KiB.
            add(libc::SOL_UDP, libc::UDP_SEGMENT, &(self.segment as u16).to_ne_bytes());
        }
        match self.from {
            // `in_pktinfo`: interface, source, destination.
            Some(IpAddr::V4(ip)) => {
                let mut info = [0; size_of::<libc::in_pktinfo>()];
                info[4..8].copy_from_slice(&ip.octets());
                add(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            // `in6_pktinfo`: source, interface.
            Some(IpAddr::V6(ip)) => {
                let mut info = [0; size_of::<libc::in6_pktinfo>()];
                info[..16].copy_from_slice(&ip.octets());
                add(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
            None => {}
        }
        if length > 0 {
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = length as _;
        }
    }
}

/// Writes one control message: a `cmsghdr` (length, level, kind), the value, and room up to the next
/// header; answers the bytes of it all.
fn write_one(out: &mut [u8], level: libc::c_int, kind: libc::c_int, value: &[u8]) -> usize {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    const LEVEL: usize = HEADER - 8;
    let length = HEADER + value.len();
    // The first field is of the width of a pointer.
    out[..LEVEL].copy_from_slice(&length.to_ne_bytes()[..LEVEL]);
    out[LEVEL..LEVEL + 4].copy_from_slice(&level.to_ne_bytes());
    out[LEVEL + 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
    out[HEADER..length].copy_from_slice(value);
    length.next_multiple_of(size_of::<usize>())
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Headers(..)")
    }
}
