/// Code of a refusal or close on the wire; numbers are appended, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Closed = 0,
    Error = 1,
    Version = 2,
    SecretRequired = 3,
    NoSecret = 4,
    WrongSecret = 5,
    Rejected = 6,
    Duplicate = 7,
    SelfLink = 8,
    SameNodeId = 9,
}

impl Code {
    pub(crate) const ALL: [Code; 10] = [
        Code::Closed,
        Code::Error,
        Code::Version,
        Code::SecretRequired,
        Code::NoSecret,
        Code::WrongSecret,
        Code::Rejected,
        Code::Duplicate,
        Code::SelfLink,
        Code::SameNodeId,
    ];

    pub(crate) fn from_wire(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == code)
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_never_change_their_numbers() {
        let numbers: Vec<_> = Code::ALL.iter().map(|&code| code as u8).collect();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    }
}
