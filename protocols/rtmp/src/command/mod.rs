//! Commands (RTMP 1.0 §7.2): name, transaction, command object and arguments, and the state
//! machines that answer them.

mod netconnection;
mod netstream;
mod on_status;

use bytes::Bytes;
use ramona_amf::{DecodeError, Value, ValueDecoder};

use crate::limits::{MAX_COMMAND_NAME, MAX_STREAMS};
use crate::message::{StreamId, kind};

pub use netconnection::{NetConnection, RejectCode};
pub use netstream::PublishRefusal;
pub use on_status::MAX_DESCRIPTION;

/// A command that breaks the protocol or a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The message does not begin with a string.
    #[error("command message does not begin with a name")]
    NoName,
    /// The AMF bytes of something that must be read are broken.
    #[error("command {}: {error}", .name.escape_ascii())]
    Amf {
        /// Name of the command, as far as it is known.
        name: Bytes,
        /// What is wrong.
        error: DecodeError,
    },
    /// A text is longer than accepted.
    #[error("{what} has {length} bytes; at most {limit} are accepted")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// Its length.
        length: usize,
        /// What is accepted.
        limit: usize,
    },
    /// The connect object has too many members.
    #[error("connect object has {0} members")]
    TooManyMembers(usize),
    /// The connect command carries no object.
    #[error("connect command without an object")]
    NoConnectObject,
    /// Anything before connect.
    #[error("command {} before connect", .0.escape_ascii())]
    BeforeConnect(Bytes),
    /// A second connect on one connection.
    #[error("connect on a connection that is connected")]
    ConnectTwice,
    /// publish or play on a stream that createStream did not make.
    #[error("command {} on stream {stream}, which does not exist", .name.escape_ascii())]
    UnknownStream {
        /// Name of the command.
        name: Bytes,
        /// The stream.
        stream: StreamId,
    },
    /// More streams than a connection may have.
    #[error("more than {MAX_STREAMS} streams on one connection")]
    TooManyStreams,
}

/// Refuses a text beyond its limit.
pub(crate) fn check_length(
    what: &'static str,
    length: usize,
    limit: usize,
) -> Result<(), CommandError> {
    if length > limit { Err(CommandError::TooLong { what, length, limit }) } else { Ok(()) }
}

/// A command message, read as far as every command has it.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: Bytes,
    /// 0 when no answer is expected.
    pub(crate) transaction: f64,
    /// The command object; undefined when missing. Broken: what is wrong with it.
    pub(crate) object: Result<Value, DecodeError>,
    /// Raw AMF0 values after the object; from the object on when that is broken or an argument.
    pub(crate) args: Bytes,
}

impl Command {
    /// Reads the body of a command message of type 20 or 17.
    pub(crate) fn read(message_kind: u8, payload: &Bytes) -> Result<Self, CommandError> {
        let body = amf0_body(message_kind == kind::COMMAND_AMF3, payload);
        let mut decoder = ValueDecoder::amf0(&body);
        let name = match decoder.next_value() {
            Ok(Some(Value::String(name))) => name,
            Ok(_) => return Err(CommandError::NoName),
            Err(error) => return Err(CommandError::Amf { name: Bytes::new(), error }),
        };
        check_length("name of a command", name.len(), MAX_COMMAND_NAME)?;
        let transaction = match decoder.next_value() {
            Ok(Some(Value::Number(transaction))) => transaction,
            Ok(_) => 0.0,
            Err(error) => return Err(CommandError::Amf { name, error }),
        };
        let before_object = decoder.remaining().len();
        let object = decoder.next_value().map(|value| value.unwrap_or(Value::Undefined));
        let rest = match &object {
            Ok(value) if is_argument(value) => before_object,
            _ => decoder.remaining().len(),
        };
        let args = body.slice(body.len() - rest..);
        Ok(Self { name, transaction, object, args })
    }

    /// The first arguments, as many as are sound and at most `count`.
    pub(crate) fn arguments<const COUNT: usize>(&self) -> [Value; COUNT] {
        let mut decoder = ValueDecoder::amf0(&self.args);
        std::array::from_fn(|_| decoder.next_value().ok().flatten().unwrap_or(Value::Undefined))
    }
}

/// Whether the value after the transaction is no command object, nor null for none, but the first
/// argument: librtmfp leaves the null out.
fn is_argument(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Undefined | Value::Object(_) | Value::EcmaArray(_))
}

/// The AMF0 values of a message: AMF3 types (15, 17) begin with a byte 0 that is none of them.
pub(crate) fn amf0_body(is_amf3: bool, payload: &Bytes) -> Bytes {
    if is_amf3 && payload.first() == Some(&0) { payload.slice(1..) } else { payload.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[Value]) -> Command {
        let mut body = Vec::new();
        for value in values {
            value.encode_amf0(&mut body).expect("encodes");
        }
        Command::read(kind::COMMAND_AMF0, &body.into()).expect("a command")
    }

    #[test]
    fn rtmfp_082_arguments_may_follow_the_transaction_without_a_null() {
        let (name, zero) = (Value::from("play"), Value::Number(0.0));
        let foo = Value::from("foo");
        for between in [vec![Value::Null], vec![], vec![ramona_amf::Object::new().into()]] {
            let values = [vec![name.clone(), zero.clone()], between, vec![foo.clone()]].concat();
            let command = read(&values);
            assert_eq!(command.arguments(), [foo.clone(), Value::Undefined], "{values:?}");
        }
        let none: [Value; 1] = read(&[name.clone(), zero.clone()]).arguments();
        assert_eq!(none, [Value::Undefined]);
        let command = read(&[name, zero, Value::Number(3.0), foo.clone()]);
        assert_eq!(command.arguments(), [Value::Number(3.0), foo]);
    }
}
