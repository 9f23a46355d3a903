//! The view of a folder (HTT-08).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::page::{STYLE, escape_html};

/// What may stand unescaped in a link to a name.
const LINK: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// A file or folder of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Bytes; 0 for a folder.
    pub size: u64,
    /// When it was changed, as far as that is known.
    pub modified: Option<SystemTime>,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// By which column a listing is sorted. Folders always come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Column {
    /// `N`.
    #[default]
    Name,
    /// `M`.
    Modified,
    /// `S`.
    Size,
}

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    column: Column,
    descending: bool,
}

impl Order {
    /// `N`, `M` or `S`, each `=A` or `=D`, as links of a listing have it; anything else sorts by
    /// name.
    pub fn of_query(query: &str) -> Self {
        let part = query.split('&').find_map(|part| part.split_once('='));
        let Some((column, direction)) = part else { return Self::default() };
        let column = match column {
            "N" => Column::Name,
            "M" => Column::Modified,
            "S" => Column::Size,
            _ => return Self::default(),
        };
        Self { column, descending: direction == "D" }
    }

    fn sort(self, entries: &mut [Entry]) {
        entries.sort_by(|a, b| {
            let by_name =
                || a.name.to_lowercase().cmp(&b.name.to_lowercase()).then(a.name.cmp(&b.name));
            let order = match self.column {
                Column::Name => by_name(),
                Column::Modified => a.modified.cmp(&b.modified).then_with(by_name),
                Column::Size => a.size.cmp(&b.size).then_with(by_name),
            };
            b.is_folder.cmp(&a.is_folder).then(if self.descending {
                order.reverse()
            } else {
                order
            })
        });
    }

    /// The query that a click on a column's head asks for: the other way round when it is sorted
    /// by that column already.
    fn link(self, column: Column, letter: char) -> String {
        let descending = self.column == column && !self.descending;
        format!("?{letter}={}", if descending { 'D' } else { 'A' })
    }

    fn mark(self, column: Column) -> &'static str {
        match (self.column == column, self.descending) {
            (true, false) => " ▲",
            (true, true) => " ▼",
            (false, _) => "",
        }
    }
}

/// The page that lists a folder. `path` is the application's, `more` says how many entries the
/// list leaves out.
pub fn listing(path: &str, mut entries: Vec<Entry>, order: Order, more: usize) -> String {
    order.sort(&mut entries);
    let title = escape_html(&format!("{path}/"));
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
         <body><h1>{title}</h1><table><thead><tr>"
    );
    let heads = [
        (Column::Name, 'N', "Name", ""),
        (Column::Modified, 'M', "Changed (UTC)", ""),
        (Column::Size, 'S', "Size", " class=\"n\""),
    ];
    for (column, letter, head, class) in heads {
        let (link, mark) = (order.link(column, letter), order.mark(column));
        out += &format!("<th{class}><a href=\"{link}\">{head}</a>{mark}</th>");
    }
    out += "</tr></thead><tbody>\n";
    if !path.is_empty() {
        out += "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n";
    }
    for entry in &entries {
        out += &row(entry);
    }
    out += "</tbody></table>";
    if more > 0 {
        out += &format!("<p>And {more} more.</p>");
    }
    out += "<footer>Ramona</footer></body></html>\n";
    out
}

fn row(entry: &Entry) -> String {
    let slash = if entry.is_folder { "/" } else { "" };
    let link: String = utf8_percent_encode(&entry.name, LINK).collect();
    let size = if entry.is_folder { "–".to_owned() } else { size_text(entry.size) };
    format!(
        "<tr><td><a href=\"./{link}{slash}\">{}{slash}</a></td><td>{}</td>\
         <td class=\"n\">{size}</td></tr>\n",
        escape_html(&entry.name),
        entry.modified.map(date_text).unwrap_or_default(),
    )
}

/// `2014-06-30 08:05`.
fn date_text(time: SystemTime) -> String {
    // The dates that HTTP can write, `Sun, 06 Nov 1994 08:49:37 GMT`, are those that a person reads.
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    if !(UNIX_EPOCH..=last).contains(&time) {
        return String::new();
    }
    let text = httpdate::fmt_http_date(time);
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, clock, _] = words[..] else { return String::new() };
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = MONTHS.find(month).map_or(0, |at| at / 3 + 1);
    format!("{year}-{month:02}-{day} {}", clock.get(..5).unwrap_or_default())
}

/// `512 B`, `1.5 KiB`, `3.2 GiB`.
fn size_text(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, size: u64, seconds: u64, is_folder: bool) -> Entry {
        let modified = Some(UNIX_EPOCH + Duration::from_secs(seconds));
        Entry { name: name.into(), size, modified, is_folder }
    }

    fn names(query: &str) -> Vec<String> {
        let mut entries = vec![
            entry("b.txt", 10, 300, false),
            entry("A.txt", 30, 100, false),
            entry("c.txt", 20, 200, false),
            entry("z", 0, 400, true),
        ];
        Order::of_query(query).sort(&mut entries);
        entries.into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn htt_08_a_listing_is_sorted_as_its_query_says() {
        assert_eq!(names(""), ["z", "A.txt", "b.txt", "c.txt"]);
        assert_eq!(names("N=D"), ["z", "c.txt", "b.txt", "A.txt"]);
        assert_eq!(names("M=A"), ["z", "A.txt", "c.txt", "b.txt"]);
        assert_eq!(names("M=D"), ["z", "b.txt", "c.txt", "A.txt"]);
        assert_eq!(names("S=A"), ["z", "b.txt", "c.txt", "A.txt"]);
        assert_eq!(names("S=D"), ["z", "A.txt", "c.txt", "b.txt"]);
        assert_eq!(names("X=D&N=D"), names(""));
    }

    #[test]
    fn htt_08_names_are_escaped_in_text_and_link() {
        let file = entry("<img src=x onerror=alert(1)>\"&.txt", 5, 784_111_777, false);
        let page = listing("/a&b", vec![file, entry("sub", 0, 0, true)], Order::default(), 3);
        assert!(!page.contains("<img"), "{page}");
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&amp;.txt</a>"), "{page}");
        assert!(page.contains("href=\"./%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%22%26.txt\""));
        assert!(page.contains("<title>/a&amp;b/</title>"));
        assert!(page.contains("href=\"./sub/\">sub/</a>") && page.contains("href=\"../\""));
        assert!(page.contains("1994-11-06 08:49") && page.contains("5 B"), "{page}");
        assert!(page.contains("And 3 more.") && page.contains("href=\"?N=D\">Name</a> ▲"));
        assert!(!listing("", Vec::new(), Order::default(), 0).contains("../"));
    }

    #[test]
    fn sizes_are_readable() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
            (3 << 41, "6.0 TiB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }
}
