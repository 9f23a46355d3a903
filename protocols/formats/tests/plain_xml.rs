//! Plain tags and texts of XML are read in another way than the rest (`src/xml/tree.rs`).

use proptest::prelude::*;
use ramona_formats::{read_values, read_xml};

/// What a text is made of.
const PIECES: [&str; 12] = [
    "<a>",
    "</a>",
    "<bb>",
    "</bb>",
    "x",
    " ",
    "&lt;",
    "\r\n",
    "<!--c-->",
    "<a/>",
    "<a b='1'>",
    "</c>",
];

proptest! {
    #[test]
    fn cnv_32_blanks_in_tags_change_nothing(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..20),
        ends in any::<bool>(),
    ) {
        let mut text = format!("<r>{}</r>", pieces.concat());
        if ends {
            // Whatever is open is ended.
            let mut open = Vec::new();
            let mut balanced = String::from("<r>");
            for piece in &pieces {
                match *piece {
                    "<a>" | "<a b='1'>" => open.push("</a>"),
                    "<bb>" => open.push("</bb>"),
                    end if end.starts_with("</") && open.last() != Some(&end) => continue,
                    end if end.starts_with("</") => drop(open.pop()),
                    _ => {}
                }
                balanced.push_str(piece);
            }
            balanced.extend(open.into_iter().rev());
            text = balanced + "</r>";
        }
        let blanks = text.replace("a>", "a >").replace("bb>", "bb\n>").replace("r>", "r >");
        let read = |text: &str| read_xml(text.as_bytes()).ok().map(|mut document| {
            read_values(&mut document).unwrap()
        });
        prop_assert_eq!(read(&text), read(&blanks));
        prop_assert!(!ends || read(&text).is_some(), "{}", text);
    }
}

#[test]
fn xml_that_ends_what_did_not_begin_is_malformed() {
    for malformed in
        ["<a></a></a>", "<a><b></a></b>", "<a><b></a>", "<a></b>", "<a></ab>", "<a></a>x"]
    {
        let error = read_xml(malformed.as_bytes()).expect_err(malformed);
        assert!(error.to_string().contains("at byte"), "{malformed}: {error}");
    }
}
