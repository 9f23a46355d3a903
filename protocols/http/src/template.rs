//! Files with `<% key %>` in them (HTT-06).

/// The text with every `<% key %>` replaced by what `value` answers for its key, the first word
/// between the marks; nothing for a key that it does not know. A mark without an end stays.
pub fn render<'a>(text: &[u8], value: impl Fn(&[u8]) -> Option<&'a [u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = find(rest, b"<%") {
        let Some(length) = find(&rest[start + 2..], b"%>") else { break };
        out.extend_from_slice(&rest[..start]);
        let inside = &rest[start + 2..start + 2 + length];
        let key = inside.split(u8::is_ascii_whitespace).find(|word| !word.is_empty());
        if let Some(value) = key.and_then(&value) {
            out.extend_from_slice(value);
        }
        rest = &rest[start + 2 + length + 2..];
    }
    out.extend_from_slice(rest);
    out
}

fn find(text: &[u8], mark: &[u8; 2]) -> Option<usize> {
    text.windows(2).position(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::render;

    fn text(template: &str) -> String {
        let value = |key: &[u8]| match key {
            b"name" => Some(&b"robert"[..]),
            b"mark" => Some(&b"<% name %>"[..]),
            _ => None,
        };
        String::from_utf8(render(template.as_bytes(), value)).expect("text")
    }

    #[test]
    fn htt_06_marks_become_values() {
        assert_eq!(text("hello <% name %>!"), "hello robert!");
        assert_eq!(text("<%name%><%  name  and more %>"), "robertrobert");
        assert_eq!(text("<% unknown %>|<%%>|<% %>"), "||");
        assert_eq!(text("<% name"), "<% name");
        assert_eq!(text("%> <% name %> %>"), "%> robert %>");
        assert_eq!(text("<% mark %>"), "<% name %>", "values are not templates");
    }

    proptest! {
        #[test]
        fn text_without_marks_is_unchanged(text: Vec<u8>) {
            let text: Vec<u8> = text.into_iter().filter(|byte| *byte != b'%').collect();
            prop_assert_eq!(render(&text, |_| None), text);
        }
    }
}
