//! The node's own small pages (HTT-10).

/// A text as it may stand in HTML, also inside an attribute.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

/// What the pages look like: no file beside them.
pub(crate) const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.3rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}a{text-decoration:none}\
a:hover{text-decoration:underline}footer{margin-top:1.5rem;opacity:.6;font-size:.85rem}";

/// A page that says what went wrong: `title` is the status, `text` the reason.
pub fn error_page(title: &str, text: &str) -> String {
    let (title, text) = (escape_html(title), escape_html(text));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
         <body><h1>{title}</h1><p>{text}</p><footer>Ramona</footer></body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::error_page;

    #[test]
    fn htt_10_a_page_holds_the_text_and_no_markup_of_it() {
        let page = error_page("404 Not Found", "<script>alert(\"x\")</script> 'a' & b");
        assert!(page.contains("<h1>404 Not Found</h1>"));
        assert!(
            page.contains("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &#39;a&#39; &amp; b")
        );
        assert!(!page.contains("<script"));
    }
}
