//! Bodies of the fuzz targets `amf0` and `amf3`: plain functions that assert what must hold for
//! any input. The crate's tests run them over its corpus.

use crate::builder::{Builder, Container};
use crate::decoder::Decoder;
use crate::error::{DecodeError, EncodeError};
use crate::limits::MAX_DEPTH;
use crate::value::Value;
use crate::value_builder::ValueDecoder;

/// Any bytes as AMF0.
#[doc(hidden)]
pub fn amf0(data: &[u8]) {
    watch(Decoder::amf0(data), data);
    rewrite(|bytes| ValueDecoder::amf0(bytes), |value, out| value.encode_amf0(out), data);
}

/// Any bytes as AMF3.
#[doc(hidden)]
pub fn amf3(data: &[u8]) {
    watch(Decoder::amf3(data), data);
    rewrite(|bytes| ValueDecoder::amf3(bytes), |value, out| value.encode_amf3(out), data);
}

/// Decodes with a builder that checks the decoder's promises.
fn watch(mut decoder: Decoder<'_, Watched>, data: &[u8]) {
    let mut watch = Watch { input: data.len(), ..Watch::default() };
    let result = loop {
        let before = decoder.remaining().len();
        match decoder.next(&mut watch) {
            Ok(Some(_)) => assert!(decoder.remaining().len() < before, "a value takes bytes"),
            Ok(None) => break Ok(()),
            Err(error) => break Err((error, before)),
        }
        assert!(watch.open.is_empty(), "each container ends inside its value");
    };
    assert!(data.ends_with(decoder.remaining()));
    match result {
        Ok(()) => assert!(decoder.remaining().is_empty()),
        Err((error, before)) => {
            assert_eq!(decoder.remaining().len(), before, "a broken value takes no bytes");
            let offset = data.len() - before;
            let again = decoder.next(&mut watch).map(|_| ());
            assert_eq!(again, Err(DecodeError::AlreadyFailed { offset }));
            assert_ne!(error, DecodeError::AlreadyFailed { offset });
        }
    }
}

/// What decodes as a tree can be written and decodes as the same tree.
fn rewrite<'a>(
    decoder: impl for<'b> Fn(&'b [u8]) -> ValueDecoder<'b>,
    encode: impl Fn(&Value, &mut Vec<u8>) -> Result<(), EncodeError>,
    data: &'a [u8],
) {
    let mut values = decoder(data);
    while let Ok(Some(value)) = values.next_value() {
        let mut bytes = Vec::new();
        match encode(&value, &mut bytes) {
            Ok(()) => {}
            // Sealed members may have empty names; only dynamic members can be written.
            Err(EncodeError::EmptyKey) => continue,
            // AMF3 names may be longer than those of AMF0, and all values of AMF3 can stand in
            // an AMF0 message; there a name of AMF3 came by the marker 0x11.
            Err(EncodeError::KeyTooLong { .. }) => continue,
            Err(error) => panic!("{error}: {value:?}"),
        }
        let mut decoder = decoder(&bytes);
        let again = decoder.next_value();
        let again = again.unwrap_or_else(|error| panic!("{error}: {value:?}"));
        let again = again.unwrap_or_else(|| panic!("nothing written: {value:?}"));
        assert!(decoder.remaining().is_empty(), "{value:?}");
        let mut same = Vec::new();
        assert_eq!(encode(&again, &mut same), Ok(()));
        assert_eq!(bytes, same, "{value:?} became {again:?}");
    }
}

#[derive(Debug, Default)]
struct Watch {
    input: usize,
    next: usize,
    /// Containers begun and not ended, with elements so far and elements announced.
    open: Vec<(usize, usize, usize)>,
}

/// Number of a container; scalars are 0.
type Watched = usize;

impl Watch {
    fn bytes(&mut self, bytes: &[u8]) -> Result<Watched, DecodeError> {
        assert!(bytes.len() <= self.input);
        Ok(0)
    }

    fn top(&mut self, container: Watched) -> &mut (usize, usize, usize) {
        let top = self.open.last_mut().expect("children come between begin and end");
        assert_eq!(top.0, container, "children belong to the innermost container");
        top
    }
}

impl Builder for Watch {
    type Value = Watched;
    type Error = DecodeError;

    fn null(&mut self) -> Result<Watched, DecodeError> {
        Ok(0)
    }

    fn undefined(&mut self) -> Result<Watched, DecodeError> {
        Ok(0)
    }

    fn boolean(&mut self, _: bool) -> Result<Watched, DecodeError> {
        Ok(0)
    }

    fn number(&mut self, _: f64) -> Result<Watched, DecodeError> {
        Ok(0)
    }

    fn string(&mut self, value: &[u8]) -> Result<Watched, DecodeError> {
        self.bytes(value)
    }

    fn date(&mut self, _: f64) -> Result<Watched, DecodeError> {
        Ok(0)
    }

    fn byte_array(&mut self, value: &[u8]) -> Result<Watched, DecodeError> {
        self.bytes(value)
    }

    fn begin(&mut self, kind: Container<'_>) -> Result<Watched, DecodeError> {
        let announced = match kind {
            Container::Array { len_hint } => len_hint,
            Container::Dictionary { len, .. } => len,
            Container::Object { type_name } => {
                assert_ne!(type_name, Some(b"".as_slice()));
                0
            }
            Container::EcmaArray => 0,
        };
        assert!(announced <= self.input, "counts are bounded by the input");
        self.next += 1;
        self.open.push((self.next, 0, announced));
        assert!(self.open.len() <= MAX_DEPTH);
        Ok(self.next)
    }

    fn member(&mut self, container: &Watched, key: &[u8], _: Watched) -> Result<(), DecodeError> {
        self.bytes(key)?;
        self.top(*container);
        Ok(())
    }

    fn element(
        &mut self,
        container: &Watched,
        index: usize,
        _: Watched,
    ) -> Result<(), DecodeError> {
        let (_, elements, announced) = self.top(*container);
        assert_eq!(*elements, index, "elements come in order");
        assert!(index < *announced);
        *elements += 1;
        Ok(())
    }

    fn entry(&mut self, container: &Watched, _: Watched, _: Watched) -> Result<(), DecodeError> {
        self.top(*container).1 += 1;
        Ok(())
    }

    fn end(&mut self, container: &Watched) -> Result<(), DecodeError> {
        let (_, elements, announced) = *self.top(*container);
        assert_eq!(elements, announced);
        self.open.pop();
        Ok(())
    }
}
