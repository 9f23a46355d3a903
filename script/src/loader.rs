//! Source text of applications: reading, and the token pair `is not` (ENV-36).

use std::borrow::Cow;
use std::path::Path;

/// A chunk's source as it is given to Lua.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source<'a> {
    pub(crate) text: Cow<'a, [u8]>,
    /// Line of the first pair that was rewritten.
    pub(crate) first_pair: Option<u32>,
}

/// Prepares the text of a file: a byte order mark goes, a first line that starts with `#` becomes
/// a comment (as when Lua reads a file), and `is not` becomes `~=` where it stands as two
/// tokens, which no valid chunk has. Strings and comments stay untouched, lines keep their number.
pub(crate) fn prepare(text: &[u8]) -> Source<'_> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut out = Cow::Borrowed(text);
    if text.first() == Some(&b'#') {
        let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
        out = Cow::Owned(text[end..].to_vec());
    }
    let mut pairs = Vec::new();
    // Where the identifier `is` began, if it was the last token.
    let mut is_at = None;
    let mut scanner = Scanner { text: &out, at: 0 };
    while let Some(token) = scanner.next_token() {
        let previous = is_at.take();
        match (token, previous) {
            (Token::Word(start, b"not"), Some(is)) => pairs.push((is, start)),
            (Token::Word(start, b"is"), _) => is_at = Some(start),
            _ => {}
        }
    }
    let first_pair = pairs.first().map(|(is, _)| {
        let lines = out[..*is].iter().filter(|byte| **byte == b'\n').count();
        u32::try_from(lines + 1).unwrap_or(u32::MAX)
    });
    for (is, not) in pairs {
        let text = out.to_mut();
        text[is..is + 2].copy_from_slice(b"~=");
        text[not..not + 3].copy_from_slice(b"   ");
    }
    Source { text: out, first_pair }
}

#[derive(Debug)]
enum Token<'a> {
    /// Identifier or keyword, and where it begins.
    Word(usize, &'a [u8]),
    Other,
}

/// Finds words outside strings and comments; everything else needs no care.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn next_token(&mut self) -> Option<Token<'a>> {
        loop {
            let byte = self.peek(0)?;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | 0x0B | 0x0C => self.at += 1,
                b'-' if self.peek(1) == Some(b'-') => {
                    self.at += 2;
                    if !self.long_bracket() {
                        self.skip_line();
                    }
                }
                b'[' => {
                    if !self.long_bracket() {
                        self.at += 1;
                    }
                    return Some(Token::Other);
                }
                b'"' | b'\'' => {
                    self.skip_string(byte);
                    return Some(Token::Other);
                }
                b'0'..=b'9' => {
                    // Numbers swallow letters, so that `1is` is no word.
                    while self.peek(0).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'.') {
                        self.at += 1;
                    }
                    return Some(Token::Other);
                }
                b'_' | b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => {
                    let start = self.at;
                    while self
                        .peek(0)
                        .is_some_and(|b| b == b'_' || b.is_ascii_alphanumeric() || b >= 0x80)
                    {
                        self.at += 1;
                    }
                    return Some(Token::Word(start, &self.text[start..self.at]));
                }
                _ => {
                    self.at += 1;
                    return Some(Token::Other);
                }
            }
        }
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    /// Skips `[[…]]` or `[==[…]==]` if it begins here.
    fn long_bracket(&mut self) -> bool {
        if self.peek(0) != Some(b'[') {
            return false;
        }
        let mut level = 0;
        while self.peek(1 + level) == Some(b'=') {
            level += 1;
        }
        if self.peek(1 + level) != Some(b'[') {
            return false;
        }
        self.at += level + 2;
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if byte == b']'
                && (0..level).all(|i| self.peek(i) == Some(b'='))
                && self.peek(level) == Some(b']')
            {
                self.at += level + 1;
                return true;
            }
        }
        true
    }

    fn skip_string(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'\n' => return,
                _ if byte == quote => return,
                _ => {}
            }
        }
    }
}

/// Name of a file's chunk as it stands in error texts: relative to the folder that holds `www`.
pub(crate) fn chunk_name(dir: &Path, file: &Path) -> String {
    let shown = file.strip_prefix(dir).unwrap_or(file);
    format!("@{}", shown.display())
}

/// The last two parts of a chunk's path (LOG-03).
pub(crate) fn short_name(source: &str) -> &str {
    let path = source.strip_prefix(['@', '=']).unwrap_or(source);
    match path.rmatch_indices('/').nth(1) {
        Some((at, _)) => &path[at + 1..],
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::{chunk_name, prepare, short_name};
    use proptest::prelude::*;
    use std::path::Path;

    fn rewritten(text: &str) -> String {
        String::from_utf8(prepare(text.as_bytes()).text.into_owned()).unwrap()
    }

    #[test]
    fn env_36_the_pair_becomes_an_operator() {
        assert_eq!(rewritten("if a is not b then"), "if a ~=     b then");
        assert_eq!(rewritten("if a is\n\tnot b"), "if a ~=\n\t    b");
        assert_eq!(rewritten("a is--[[x]]not b"), "a ~=--[[x]]    b");
        assert_eq!(prepare(b"x=1\ny = x is not 2").first_pair, Some(2));
    }

    #[test]
    fn env_36_strings_comments_and_other_words_stay() {
        for text in [
            "x = 'is not'",
            "x = \"a \\\" is not\"",
            "x = [[ is not ]]",
            "x = [==[ ]] is not ]==]",
            "-- is not\nx=1",
            "--[[ is\nnot ]] x=1",
            "--[==[ is not ]] ]==]",
            "if not is then",
            "this not",
            "is_not()",
            "isnot()",
            "x = is + 1 y = not x",
            "x = 1is not",
            "x = t[is]",
            "unfinished = [[ is not",
            "unfinished = 'is not",
        ] {
            assert_eq!(rewritten(text), text);
            assert_eq!(prepare(text.as_bytes()).first_pair, None, "{text}");
        }
    }

    #[test]
    fn the_first_line_may_be_a_shebang_and_begin_with_a_byte_order_mark() {
        assert_eq!(rewritten("#!/usr/bin/lua is not\nx=1"), "\nx=1");
        assert_eq!(rewritten("\u{feff}x=1"), "x=1");
    }

    #[test]
    fn names_of_chunks_are_short() {
        assert_eq!(chunk_name(Path::new("/a"), Path::new("/a/www/x/main.lua")), "@www/x/main.lua");
        assert_eq!(chunk_name(Path::new("/a"), Path::new("/b/x.lua")), "@/b/x.lua");
        assert_eq!(short_name("@www/Games/x/main.lua"), "x/main.lua");
        assert_eq!(short_name("@main.lua"), "main.lua");
    }

    proptest! {
        #[test]
        fn any_bytes_keep_their_length_and_lines(text: Vec<u8>) {
            let source = prepare(&text);
            if text.first() != Some(&b'#') && !text.starts_with(b"\xEF\xBB\xBF") {
                prop_assert_eq!(source.text.len(), text.len());
            }
            let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(lines(&source.text), lines(&text));
        }

        #[test]
        fn pairs_in_any_surroundings_are_found(before in "[a-z =(){}\n]{0,20}", blank in "[ \t\n]{1,5}") {
            let text = format!("{before} is{blank}not x");
            prop_assert!(prepare(text.as_bytes()).first_pair.is_some());
        }
    }
}
