//! Chunks of session startup and of introductions (RFC 7016 §2.3.2 to §2.3.8).

use crate::address::Address;
use crate::chunk::{self, kind};
use crate::reader::Reader;
use crate::vlu;

/// Initiator Hello (30): who is sought, and a tag to recognise the answer by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InitiatorHello<'a> {
    pub(crate) epd: &'a [u8],
    pub(crate) tag: &'a [u8],
}

impl<'a> InitiatorHello<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Self { epd: reader.field()?, tag: reader.rest() })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        chunk::encode(kind::INITIATOR_HELLO, out, |out| {
            vlu::encode_field(self.epd, out);
            out.extend_from_slice(self.tag);
        });
    }
}

/// Responder Hello (70): the tag again, a cookie and the responder's certificate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResponderHello<'a> {
    pub(crate) tag: &'a [u8],
    pub(crate) cookie: &'a [u8],
    pub(crate) certificate: &'a [u8],
}

impl<'a> ResponderHello<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Self { tag: reader.field()?, cookie: reader.field()?, certificate: reader.rest() })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        chunk::encode(kind::RESPONDER_HELLO, out, |out| {
            vlu::encode_field(self.tag, out);
            vlu::encode_field(self.cookie, out);
            out.extend_from_slice(self.certificate);
        });
    }
}

/// Responder Redirect (71): other addresses to try; none means the packet's source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Redirect<'a> {
    pub(crate) tag: &'a [u8],
    addresses: &'a [u8],
}

impl<'a> Redirect<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Self { tag: reader.field()?, addresses: reader.rest() })
    }

    /// The addresses, up to the first that is cut off.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Address> + use<'a> {
        let mut reader = Reader::new(self.addresses);
        std::iter::from_fn(move || Address::decode(&mut reader))
    }

    pub(crate) fn encode(tag: &[u8], addresses: &[Address], out: &mut Vec<u8>) {
        chunk::encode(kind::REDIRECT, out, |out| {
            vlu::encode_field(tag, out);
            for address in addresses {
                address.encode(out);
            }
        });
    }
}

/// Initiator Initial Keying (38).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InitiatorKeying<'a> {
    pub(crate) session_id: u32,
    pub(crate) cookie: &'a [u8],
    pub(crate) certificate: &'a [u8],
    pub(crate) component: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> InitiatorKeying<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Self {
            session_id: reader.u32()?,
            cookie: reader.field()?,
            certificate: reader.field()?,
            component: reader.field()?,
            signature: reader.rest(),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        chunk::encode(kind::INITIATOR_KEYING, out, |out| {
            out.extend_from_slice(&self.session_id.to_be_bytes());
            vlu::encode_field(self.cookie, out);
            vlu::encode_field(self.certificate, out);
            vlu::encode_field(self.component, out);
            out.extend_from_slice(self.signature);
        });
    }
}

/// Responder Initial Keying (78).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResponderKeying<'a> {
    pub(crate) session_id: u32,
    pub(crate) component: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> ResponderKeying<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Self {
            session_id: reader.u32()?,
            component: reader.field()?,
            signature: reader.rest(),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        chunk::encode(kind::RESPONDER_KEYING, out, |out| {
            out.extend_from_slice(&self.session_id.to_be_bytes());
            vlu::encode_field(self.component, out);
            out.extend_from_slice(self.signature);
        });
    }
}

/// Responder Hello Cookie Change (79): another cookie, bound to the address that keyed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CookieChange<'a> {
    pub(crate) old: &'a [u8],
    pub(crate) new: &'a [u8],
}

impl<'a> CookieChange<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Self { old: reader.field()?, new: reader.rest() })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        chunk::encode(kind::COOKIE_CHANGE, out, |out| {
            vlu::encode_field(self.old, out);
            out.extend_from_slice(self.new);
        });
    }
}

/// Forwarded IHello (0f): an Initiator Hello passed on inside a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ForwardedHello<'a> {
    pub(crate) epd: &'a [u8],
    pub(crate) reply: Address,
    pub(crate) tag: &'a [u8],
}

impl<'a> ForwardedHello<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Self {
            epd: reader.field()?,
            reply: Address::decode(&mut reader)?,
            tag: reader.rest(),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        chunk::encode(kind::FORWARDED_HELLO, out, |out| {
            vlu::encode_field(self.epd, out);
            self.reply.encode(out);
            out.extend_from_slice(self.tag);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Origin;
    use crate::testing::hex;

    const TAG: &str = "000102030405060708090a0b0c0d0e0f";

    fn payload(chunk: &[u8]) -> &[u8] {
        &chunk[chunk::HEADER_LEN..]
    }

    fn address(socket: &str, origin: Origin) -> Address {
        Address::new(socket.parse().expect("socket"), origin)
    }

    /// Vector V10: redirects for load balancing, implied, and of a rendezvous.
    #[test]
    fn rtmfp_040_redirects_have_the_bytes_of_the_vectors() {
        let cases = [
            (
                TAG,
                vec![
                    address("198.51.100.7:1936", Origin::Relay),
                    address("[2001:db8::7]:1936", Origin::Relay),
                ],
                "71002b10000102030405060708090a0b0c0d0e0f03c633640707908320010db8000000000000000000
                 0000070790",
            ),
            (TAG, vec![], "71001110000102030405060708090a0b0c0d0e0f"),
            (
                "bdfe700a3c813ab5d8ecff5b5a916440",
                vec![],
                "71001110bdfe700a3c813ab5d8ecff5b5a916440",
            ),
            (
                "0bdfe700a3c813ab5d8ecff5b5a91644",
                vec![
                    address("127.0.0.1:56219", Origin::Observed),
                    address("192.0.2.2:56219", Origin::Reported),
                    address("[fd00::2]:42532", Origin::Reported),
                ],
                "710032100bdfe700a3c813ab5d8ecff5b5a91644027f000001db9b01c0000202db9b81fd0000000000
                 00000000000000000002a624",
            ),
        ];
        for (tag, addresses, bytes) in cases {
            let mut out = Vec::new();
            Redirect::encode(&hex(tag), &addresses, &mut out);
            assert_eq!(out, hex(bytes));
            let read = Redirect::decode(payload(&out)).expect("redirect");
            assert_eq!(read.tag, hex(tag));
            assert_eq!(read.addresses().collect::<Vec<_>>(), addresses);
        }
    }

    /// Vector V11.
    #[test]
    fn a_forwarded_hello_has_the_bytes_of_the_vector() {
        let bytes =
            hex("0f003a22210fd7d1705374e7368317c3af4af78bd738dcdf0b6626d398ae800ca47c523eee\
                         8402c0000202e4ba0bdfe700a3c813ab5d8ecff5b5a91644");
        let hello = ForwardedHello::decode(payload(&bytes)).expect("hello");
        assert_eq!(hello.epd.len(), 34);
        assert_eq!(hello.reply, address("192.0.2.2:58554", Origin::Observed));
        assert_eq!(hello.tag, hex("0bdfe700a3c813ab5d8ecff5b5a91644"));
        let mut out = Vec::new();
        hello.encode(&mut out);
        assert_eq!(out, bytes);
    }

    #[test]
    fn startup_chunks_come_back_as_they_were_written() {
        let (a, b, c) = (&[1_u8; 64][..], &[2_u8; 132][..], &[3_u8; 76][..]);
        let mut out = Vec::new();
        InitiatorHello { epd: b, tag: a }.encode(&mut out);
        assert_eq!(InitiatorHello::decode(payload(&out)), Some(InitiatorHello { epd: b, tag: a }));
        out.clear();
        let hello = ResponderHello { tag: c, cookie: a, certificate: b };
        hello.encode(&mut out);
        assert_eq!(ResponderHello::decode(payload(&out)), Some(hello));
        out.clear();
        let keying = InitiatorKeying {
            session_id: 0x0200_0000,
            cookie: a,
            certificate: b,
            component: c,
            signature: &[0x58],
        };
        keying.encode(&mut out);
        assert_eq!(InitiatorKeying::decode(payload(&out)), Some(keying));
        out.clear();
        let keying = ResponderKeying { session_id: 1, component: b, signature: &[0x58] };
        keying.encode(&mut out);
        assert_eq!(ResponderKeying::decode(payload(&out)), Some(keying));
        out.clear();
        let change = CookieChange { old: a, new: b };
        change.encode(&mut out);
        assert_eq!(CookieChange::decode(payload(&out)), Some(change));
    }

    #[test]
    fn truncated_startup_chunks_are_refused() {
        assert_eq!(InitiatorHello::decode(&[]), None);
        assert_eq!(InitiatorHello::decode(&[5, 1, 2]), None);
        assert_eq!(ResponderHello::decode(&[1, 0]), None);
        assert_eq!(Redirect::decode(&[]), None);
        assert_eq!(InitiatorKeying::decode(&[0, 0, 0, 1, 1, 9, 1, 9]), None);
        assert_eq!(ResponderKeying::decode(&[0, 0, 0]), None);
        assert_eq!(CookieChange::decode(&[64]), None);
        assert_eq!(ForwardedHello::decode(&[0, 2, 1, 1, 1, 1, 0]), None);
    }
}
