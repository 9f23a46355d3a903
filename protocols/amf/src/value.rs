//! A tree of values, for what the node itself reads and writes.

use bytes::Bytes;

/// One value of either format. References are resolved by copying; what is cyclic ends in null.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Undefined; also AMF0's "unsupported".
    Undefined,
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string, any bytes.
    String(Bytes),
    /// An object, typed or anonymous.
    Object(Object),
    /// AMF0 ECMA array; an AMF3 array with nothing but an associative part.
    EcmaArray(Vec<(Bytes, Value)>),
    /// AMF0 strict array; an AMF3 array without associative part.
    Array(Vec<Value>),
    /// AMF3 array with members and elements.
    MixedArray {
        /// Associative part, in the order of the message.
        members: Vec<(Bytes, Value)>,
        /// Dense part.
        elements: Vec<Value>,
    },
    /// AMF3 dictionary.
    Dictionary {
        /// Keys are weak references.
        weak: bool,
        /// Keys and values, in the order of the message.
        entries: Vec<(Value, Value)>,
    },
    /// Milliseconds since 1970 UTC.
    Date(f64),
    /// AMF3 byte array.
    ByteArray(Bytes),
}

/// Members by name, in the order of the message; a name may come twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// Class alias of a typed object; never empty when decoded.
    pub type_name: Option<Bytes>,
    /// Names and values.
    pub members: Vec<(Bytes, Value)>,
}

impl Object {
    /// An anonymous object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member after the others; for building in one expression.
    #[must_use]
    pub fn with(mut self, key: impl Into<Bytes>, value: impl Into<Value>) -> Self {
        self.members.push((key.into(), value.into()));
        self
    }

    /// The first member of this name.
    pub fn get(&self, key: &str) -> Option<&Value> {
        find(&self.members, key)
    }
}

impl Value {
    /// The member of an object or array of members.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Object(object) => object.get(key),
            Self::EcmaArray(members) | Self::MixedArray { members, .. } => find(members, key),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(value) = self { Some(*value) } else { None }
    }

    /// The bytes of a string, if it is one.
    pub fn as_string(&self) -> Option<&Bytes> {
        if let Self::String(value) = self { Some(value) } else { None }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(value) = self { Some(value) } else { None }
    }

    /// Null or undefined.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }
}

fn find<'v>(members: &'v [(Bytes, Value)], key: &str) -> Option<&'v Value> {
    members.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::String(Bytes::from_static(value.as_bytes()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

impl From<Bytes> for Value {
    fn from(value: Bytes) -> Self {
        Self::String(value)
    }
}

impl From<Object> for Value {
    fn from(value: Object) -> Self {
        Self::Object(value)
    }
}

#[cfg(test)]
mod tests {
    use super::{Object, Value};

    #[test]
    fn get_finds_the_first_member_of_a_name() {
        let object = Object::new().with("a", 1.0).with("b", "x").with("a", 2.0);
        assert_eq!(object.get("a"), Some(&Value::Number(1.0)));
        assert_eq!(object.get("c"), None);
        let members = object.members.clone();
        let mixed = Value::MixedArray { members: members.clone(), elements: vec![] };
        for value in [Value::Object(object), Value::EcmaArray(members), mixed] {
            assert_eq!(value.get("b").and_then(Value::as_string), Some(&"x".into()));
        }
        assert_eq!(Value::Array(vec![Value::Null]).get("0"), None);
    }

    #[test]
    fn accessors_answer_only_their_own_type() {
        let all = [
            Value::from(1.0),
            Value::from(true),
            Value::from("s"),
            Value::from(Object::new()),
            Value::Null,
            Value::Undefined,
        ];
        let answers = all.each_ref().map(|value| {
            [
                value.as_number().is_some(),
                value.as_bool().is_some(),
                value.as_string().is_some(),
                value.as_object().is_some(),
                value.is_null(),
            ]
        });
        for (index, answer) in answers.iter().enumerate() {
            let expected = index.min(4);
            assert!(answer.iter().enumerate().all(|(at, is)| *is == (at == expected)), "{index}");
        }
    }
}
